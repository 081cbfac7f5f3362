/* map.h: intrusive hash map keyed by bytes. A node knows if it is linked.
 *
 * Model      the owner embeds struct map_node (zeroed at first); its key is borrowed from the owner
 *            and must stay as it is while the node is linked. Keys are unique.
 * Hash       SipHash with a seed of the caller: who does not know it cannot make keys collide.
 * Growth     incremental: when the map doubles, each later insert moves two old buckets, so that
 *            no call is long. It never shrinks before map_release.
 * Threads    looking (find, first, next) changes nothing: any number of threads may do so at once.
 * Bugs       inserting a linked node or a key that is there, removing an unlinked node, releasing a
 *            map that has nodes: assert.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/digest.h"
#include "base/span.h"

struct map_node {
    /* private */
    struct map_node *next;
    struct map_node **link; /* what points to this node; NULL: not linked */
    uint64_t hash;
    struct span key;
};

struct map {
    /* private */
    size_t count;
    struct siphash_key seed;
    struct map_node **buckets; /* NULL before the first insert */
    size_t n_buckets;          /* a power of two */
    struct map_node **old;     /* half as many, while growing; else NULL */
    size_t n_moved;            /* old buckets that are empty for good */
};

/* Allocates nothing. The seed is copied. */
void map_init(struct map *m, const struct siphash_key *seed);

/* Frees the buckets of an empty map; it may be used again. */
void map_release(struct map *m);

/* cost  O(1), and an allocation now and then; aborts when memory is exhausted. */
void map_insert(struct map *m, struct map_node *node, struct span key);

static inline bool map_is_linked(const struct map_node *node)
{
    return node->link != NULL;
}

static inline size_t map_count(const struct map *m)
{
    return m->count;
}

/* The one bucket where a node with this hash is, or would be: the old one until it was moved. */
static inline struct map_node **map_bucket(const struct map *m, uint64_t hash)
{
    if (m->old != NULL) {
        size_t at = (size_t)hash & (m->n_buckets / 2 - 1);
        if (at >= m->n_moved) {
            return &m->old[at];
        }
    }
    return &m->buckets[(size_t)hash & (m->n_buckets - 1)];
}

static inline struct map_node *map_find_hashed(const struct map *m, uint64_t hash, struct span key)
{
    if (m->count == 0) {
        return NULL;
    }
    struct map_node *node = *map_bucket(m, hash);
    while (node != NULL && (node->hash != hash || !span_eq(node->key, key))) {
        node = node->next;
    }
    return node;
}

/* The node with this key, or NULL; the owner by container_of. */
static inline struct map_node *map_find(const struct map *m, struct span key)
{
    return map_find_hashed(m, digest_siphash(&m->seed, key), key);
}

static inline void map_remove(struct map *m, struct map_node *node)
{
    ASSERT(map_is_linked(node));
    *node->link = node->next;
    if (node->next != NULL) {
        node->next->link = node->link;
    }
    node->next = NULL;
    node->link = NULL;
    m->count--;
}

/* Iteration in no particular order, NULL at the end. A node may be removed once the one behind it
 * was asked for; nothing may be inserted meanwhile.
 * cost  O(1) a node on average. */
struct map_node *map_first(const struct map *m);
struct map_node *map_next(const struct map *m, const struct map_node *node);

#endif
