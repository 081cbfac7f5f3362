/* bulk.h: many info-hashes in one body. Pure.
 *
 * Forms    a JSON array of strings, or text with one hash a line (LF or CRLF, empty lines skipped).
 *          A hash is any form of hash_param.h but raw bytes.
 */
#ifndef API_BULK_H
#define API_BULK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/span.h"

struct bulk_error {
    size_t line;       /* text: line from 1; JSON: item from 1 */
    struct span value; /* borrowed from the body; what stands there */
};

/* Appends 20 bytes a hash to hashes. returns 0; ERR_INVALID with *bad for a value that is no hash;
 * ERR_MALFORMED with *bad for a JSON text that is no array of strings; ERR_LIMIT. */
MUST_CHECK int bulk_parse_text(struct buf *hashes, struct span body, struct bulk_error *bad);
MUST_CHECK int bulk_parse_json(struct buf *hashes, struct span body, struct bulk_error *bad);

#endif
