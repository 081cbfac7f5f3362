/* parse.h: numbers and %-encoding in text. */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cursor.h"
#include "base/span.h"

/* Decimal digits only (no sign, no space, at least one), value <= max. */
bool parse_u64(uint64_t *out, struct span s, uint64_t max);

/* Decode %XX into out (cap bytes); '+' stays '+'. Returns the decoded length, or -1 when it does
 * not fit or a % is not followed by two hex digits. in and out may not overlap. Source: RFC 3986 */
long percent_decode(uint8_t *out, size_t cap, struct span in);

/* s with every byte that is neither a letter, a digit nor one of signs as %XX. */
void percent_encode(struct wr *w, struct span s, struct span signs);

/* The signs that RFC 3986, 2.3 leaves as they are. */
#define PERCENT_UNRESERVED SPAN("-._~")

#endif
