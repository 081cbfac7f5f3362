/* base64.h: bytes as text of 64 letters, RFC 4648.
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stdbool.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/span.h"

/* bytes in the standard alphabet, padded with '=' to a multiple of four. */
void base64_add(struct buf *out, struct span bytes);

/* bytes in the alphabet for URLs and file names ('-' and '_'), without padding. */
void base64url_add(struct buf *out, struct span bytes);

/* What text stands for, in the standard alphabet; its padding may be left out, but is right when it
 * is there, and the bits that mean nothing are zero: each text stands for other bytes. False for
 * anything else, or when out is full; out then holds part of it. */
MUST_CHECK bool base64_add_decoded(struct buf *out, struct span text);

#endif
