/* spritzle_json.h: JSON as the spritzle API writes it: ", " between members and ": " behind a key, so
 * that answers have the lengths that its document shows. Pure.
 */
#ifndef API_SPRITZLE_JSON_H
#define API_SPRITZLE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

/* Members of an object; the comma in front comes by itself, unless out ends in a brace. */
void spritzle_json_key(struct buf *out, const char *key);
void spritzle_json_text(struct buf *out, const char *key, struct span text);
void spritzle_json_int(struct buf *out, const char *key, int64_t v);
void spritzle_json_count(struct buf *out, const char *key, uint64_t v);
void spritzle_json_bool(struct buf *out, const char *key, bool v);
/* With a point and at least one digit behind it; 0.0 for what is no number. */
void spritzle_json_float(struct buf *out, const char *key, double v);

/* Elements of a list of booleans: at most n more of n_bits, from *at on, which is moved. bits: MSB
 * first. returns true while there are more. */
bool spritzle_json_bits(struct buf *out, const uint8_t *bits, uint32_t n_bits, uint32_t *at,
                        uint32_t n);

#endif
