/* ids.h: the 20-byte names of BitTorrent as types of their own, hex and base32.
 *
 * Source: BEP 3, RFC 4648 (base32).
 */
#ifndef BASE_IDS_H
#define BASE_IDS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/span.h"

struct infohash {
    uint8_t b[20];
};

struct peer_id {
    uint8_t b[20];
};

enum { HEX20_LEN = 40 };

static inline bool infohash_eq(const struct infohash *a, const struct infohash *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

/* bytes as lower-case hex digits into out, with a NUL: 2 * bytes.n + 1 chars must fit. */
void hex_encode(char *out, struct span bytes);

/* hex digits of any case into out; false unless s has exactly 2 * out_len of them. */
bool hex_decode(uint8_t *out, size_t out_len, struct span s);

/* base32 digits (a-z2-7) of any case, without padding, into out; out_len is a multiple of 5. False
 * unless s has exactly out_len / 5 * 8 of them. */
bool base32_decode(uint8_t *out, size_t out_len, struct span s);

#endif
