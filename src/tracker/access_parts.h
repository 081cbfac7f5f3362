/* access_parts.h: what snapshots of the access lists are made of, for access.c alone.
 *
 * Model      a part is a dense array with a table over it. Parts are changed only while no reader
 *            can see them; next_dead is the main loop's own even when readers can.
 * Memory     a part owns its array and its table. Key entries belong to the access lists.
 */
#ifndef TRACKER_ACCESS_PARTS_H
#define TRACKER_ACCESS_PARTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ids.h"
#include "base/span.h"
#include "tracker/swarm_hash.h"
#include "tracker/swarm_table.h"
#include "tracker/tracker.h"

enum {
    HASH_PARTS_BITS = 10,
    HASH_PARTS = 1 << HASH_PARTS_BITS, /* by the first bits: the parts in order are in order */
    KEY_PARTS = 256,
};

struct key_entry {
    struct access_key key; /* last_used_unix_s is not in use: see below */
    size_t key_len;
    uint32_t hash;
    uint32_t id;
    _Atomic int64_t last_used_unix_s;
    atomic_bool queued;
    struct key_entry *next_used;
    /* main loop only */
    struct key_entry *next_dead;
    bool dead; /* freed when it is popped */
    uint32_t by_id_at;
};

struct hash_part {
    struct swarm_table index;
    uint32_t n, cap;
    struct infohash *at;
    struct hash_part *next_dead;
};

struct key_part {
    struct swarm_table index;
    uint32_t n, cap;
    struct key_entry **at;
    struct key_part *next_dead;
};

void hash_part_free(struct hash_part *p);
/* Without its entries. */
void key_part_free(struct key_part *p);
/* A copy to change; of NULL, an empty part. */
struct hash_part *hash_part_copy(const struct hash_part *from);
struct key_part *key_part_copy(const struct key_part *from);

/* Positions, or SWARM_TABLE_NONE; p may be NULL. */
static inline uint32_t hash_part_find(const struct hash_seed *seed, const struct hash_part *p,
                                      const struct infohash *hash)
{
    struct swarm_table_probe probe;
    if (p == NULL) {
        return SWARM_TABLE_NONE;
    }
    uint32_t i = swarm_table_find(&p->index, hash_infohash(seed, hash), &probe);
    while (i != SWARM_TABLE_NONE && !infohash_eq(&p->at[i], hash)) {
        i = swarm_table_next(&probe);
    }
    return i;
}

static inline uint32_t key_part_find(const struct key_part *p, struct span key, uint32_t hash)
{
    struct swarm_table_probe probe;
    if (p == NULL) {
        return SWARM_TABLE_NONE;
    }
    uint32_t i = swarm_table_find(&p->index, hash, &probe);
    while (i != SWARM_TABLE_NONE && !span_eq(span_of(p->at[i]->key.key, p->at[i]->key_len), key)) {
        i = swarm_table_next(&probe);
    }
    return i;
}

/* False when it is there already, or the part can hold no more. */
bool hash_part_add(const struct hash_seed *seed, struct hash_part *p, const struct infohash *hash);
/* False when it is not there. */
bool hash_part_remove(const struct hash_seed *seed, struct hash_part *p,
                      const struct infohash *hash);
/* The key is not in it yet. */
void key_part_add(struct key_part *p, struct key_entry *k);
void key_part_remove(struct key_part *p, uint32_t i);

static inline size_t hash_part_of(const struct infohash *hash)
{
    return (size_t)hash->b[0] << (HASH_PARTS_BITS - 8) | hash->b[1] >> (16 - HASH_PARTS_BITS);
}

static inline size_t key_part_of(uint64_t hash)
{
    return hash >> 56;
}

/* The first cap hashes above *after (NULL: all) in ascending order; p is not empty. */
size_t hash_part_list(const struct hash_part *p, const struct infohash *after, struct infohash *out,
                      size_t cap);

#endif
