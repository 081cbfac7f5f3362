/* hash_param.h: an info-hash as people and programs write it. Pure.
 *
 * Forms    40 hex digits; 32 base32 characters (as in magnet links); 20 raw bytes; UTF-8 text of 20
 *          code points up to U+00FF, each standing for a byte. Letters of any case.
 */
#ifndef API_HASH_PARAM_H
#define API_HASH_PARAM_H

#include <stdbool.h>

#include "base/ids.h"
#include "base/span.h"

/* text is %-decoded already. False when it is none of the forms. */
bool hash_param_parse(struct infohash *out, struct span text);

#endif
