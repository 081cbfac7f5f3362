/* swarm_hash.h: seeded hashes of what strangers choose: info-hashes and endpoints.
 *
 * Shape    32 bits for swarm_table. Multiply and fold over a secret of 256 bits: two
 *          multiplications a key; without the secret nobody can aim at one place of a table.
 */
#ifndef TRACKER_SWARM_HASH_H
#define TRACKER_SWARM_HASH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/ids.h"
#include "proto/announce.h"

struct hash_seed {
    uint64_t s[4];
};

static inline uint64_t hash_load(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return v;
}

static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint32_t hash_finish(const struct hash_seed *seed, uint64_t x, uint64_t tail)
{
    return (uint32_t)(hash_fold(x ^ seed->s[2], tail ^ seed->s[3]) >> 16);
}

static inline uint32_t hash_infohash(const struct hash_seed *seed, const struct infohash *hash)
{
    uint64_t x =
        hash_fold(hash_load(hash->b, 8) ^ seed->s[0], hash_load(hash->b + 8, 8) ^ seed->s[1]);
    return hash_finish(seed, x, hash_load(hash->b + 16, 4));
}

/* A peer in wire form: COMPACT4_LEN or COMPACT6_LEN bytes. */
static inline uint32_t hash_wire(const struct hash_seed *seed, const uint8_t *wire, bool v6)
{
    if (!v6) {
        return hash_finish(seed, seed->s[0], hash_load(wire, COMPACT4_LEN));
    }
    uint64_t x = hash_fold(hash_load(wire, 8) ^ seed->s[0], hash_load(wire + 8, 8) ^ seed->s[1]);
    return hash_finish(seed, x, hash_load(wire + 16, 2));
}

#endif
