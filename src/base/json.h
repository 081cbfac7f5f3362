/* json.h: writing JSON strings into given memory or a growing buffer.
 *
 * Input is any bytes: valid UTF-8 passes, quotes, backslashes and control characters are escaped,
 * and each byte that is not valid UTF-8 becomes U+FFFD, so the output is always valid JSON.
 * Source: RFC 8259.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"
#include "base/cursor.h"
#include "base/span.h"

/* s as a quoted JSON string. */
void json_write_string(struct wr *w, struct span s);
void json_add_string(struct buf *b, struct span s);

/* Length of the valid UTF-8 sequence at the start of s (1..4), or 0 when there is none. */
size_t utf8_sequence_len(struct span s);

#endif
