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
#include <stdlib.h>
#include <string.h>

#include "base/ids.h"
#include "base/mem.h"
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

struct hash_part_ctx {
    const struct hash_seed *seed;
    const struct hash_part *part;
};

static inline uint32_t hash_part_hash_at(const void *ctx, uint32_t i)
{
    const struct hash_part_ctx *c = ctx;
    return hash_infohash(c->seed, &c->part->at[i]);
}

static inline uint32_t key_part_hash_at(const void *ctx, uint32_t i)
{
    return ((const struct key_part *)ctx)->at[i]->hash;
}

static inline void hash_part_free(struct hash_part *p)
{
    if (p != NULL) {
        swarm_table_release(&p->index);
        free(p->at);
        free(p);
    }
}

/* Without its entries. */
static inline void key_part_free(struct key_part *p)
{
    if (p != NULL) {
        swarm_table_release(&p->index);
        free(p->at);
        free(p);
    }
}

static inline struct hash_part *hash_part_copy(const struct hash_part *from)
{
    struct hash_part *p = mem_new(struct hash_part);
    if (from != NULL && from->n > 0) {
        p->n = from->n;
        p->cap = from->n + 1;
        p->at = mem_array(p->cap, sizeof *p->at);
        memcpy(p->at, from->at, p->n * sizeof *p->at);
        swarm_table_copy(&p->index, &from->index);
    }
    return p;
}

static inline struct key_part *key_part_copy(const struct key_part *from)
{
    struct key_part *p = mem_new(struct key_part);
    if (from != NULL && from->n > 0) {
        p->n = from->n;
        p->cap = from->n + 1;
        p->at = mem_array(p->cap, sizeof *p->at);
        memcpy(p->at, from->at, p->n * sizeof(p->at[0]));
        swarm_table_copy(&p->index, &from->index);
    }
    return p;
}

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

static inline bool hash_part_add(const struct hash_seed *seed, struct hash_part *p,
                                 const struct infohash *hash)
{
    struct hash_part_ctx ctx = {seed, p};
    if (hash_part_find(seed, p, hash) != SWARM_TABLE_NONE || p->n == SWARM_TABLE_MAX) {
        return false;
    }
    if (p->n == p->cap) {
        p->cap += p->cap / 2 + 4;
        p->at = mem_resize(p->at, p->cap, sizeof *p->at);
    }
    p->at[p->n] = *hash;
    swarm_table_insert(&p->index, hash_infohash(seed, hash), p->n, hash_part_hash_at, &ctx);
    p->n++;
    return true;
}

static inline bool hash_part_remove(const struct hash_seed *seed, struct hash_part *p,
                                    const struct infohash *hash)
{
    struct hash_part_ctx ctx = {seed, p};
    uint32_t i = hash_part_find(seed, p, hash);
    if (i == SWARM_TABLE_NONE) {
        return false;
    }
    swarm_table_remove(&p->index, hash_infohash(seed, hash), i, hash_part_hash_at, &ctx);
    p->n--;
    if (i != p->n) {
        swarm_table_move(&p->index, hash_part_hash_at(&ctx, p->n), p->n, i);
        p->at[i] = p->at[p->n];
    }
    return true;
}

static inline void key_part_add(struct key_part *p, struct key_entry *k)
{
    if (p->n == p->cap) {
        p->cap += p->cap / 2 + 4;
        p->at = mem_resize(p->at, p->cap, sizeof(p->at[0]));
    }
    p->at[p->n] = k;
    swarm_table_insert(&p->index, k->hash, p->n, key_part_hash_at, p);
    p->n++;
}

static inline void key_part_remove(struct key_part *p, uint32_t i)
{
    swarm_table_remove(&p->index, p->at[i]->hash, i, key_part_hash_at, p);
    p->n--;
    if (i != p->n) {
        swarm_table_move(&p->index, p->at[p->n]->hash, p->n, i);
        p->at[i] = p->at[p->n];
    }
}

static inline size_t hash_part_of(const struct infohash *hash)
{
    return (size_t)hash->b[0] << (HASH_PARTS_BITS - 8) | hash->b[1] >> (16 - HASH_PARTS_BITS);
}

static inline size_t key_part_of(uint64_t hash)
{
    return hash >> 56;
}

static inline int hash_compare(const void *x, const void *y)
{
    return memcmp(x, y, sizeof(struct infohash));
}

/* The first cap hashes above *after (NULL: all) in ascending order; p is not empty. */
static inline size_t hash_part_list(const struct hash_part *p, const struct infohash *after,
                                    struct infohash *out, size_t cap)
{
    struct infohash *rows = mem_array(p->n, sizeof *rows);
    size_t n = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        if (after == NULL || hash_compare(&p->at[i], after) > 0) {
            rows[n++] = p->at[i];
        }
    }
    qsort(rows, n, sizeof *rows, hash_compare);
    n = n < cap ? n : cap;
    memcpy(out, rows, n * sizeof *rows);
    free(rows);
    return n;
}

#endif
