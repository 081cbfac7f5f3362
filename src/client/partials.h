/* partials.h: pieces under way as bytes for the database, both directions. Pure.
 *
 * Form     for each piece: its number, the bytes of its bitmap, both 32 bits big-endian, then the
 *          bitmap of its written blocks (MSB first).
 */
#ifndef CLIENT_PARTIALS_H
#define CLIENT_PARTIALS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"
#include "client/engine.h"

enum { PARTIALS_MAX = 4096, PARTIALS_LEN_MAX = 16 << 20 };

void partials_encode(struct buf *out, const struct torrent_partial *partials, size_t n);
/* Take the first off *in, borrowed from it. False: the end, or not of this form. */
bool partials_next(struct span *in, struct torrent_partial *out);

#endif
