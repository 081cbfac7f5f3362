#include "base/map.h"

#include <stdlib.h>

#include "base/mem.h"

#include "base/banned.h"

enum {
    BUCKETS_FIRST = 16,
    MOVED_PER_INSERT = 2, /* the old buckets are gone before the map can be full again */
};

void map_init(struct map *m, const struct siphash_key *seed)
{
    *m = (struct map){.seed = *seed};
}

void map_release(struct map *m)
{
    ASSERT(m->count == 0);
    struct siphash_key seed = m->seed;
    free(m->buckets);
    free(m->old);
    map_init(m, &seed);
}

static void link_node(struct map_node **bucket, struct map_node *node)
{
    node->next = *bucket;
    node->link = bucket;
    if (node->next != NULL) {
        node->next->link = &node->next;
    }
    *bucket = node;
}

static void move_bucket(struct map *m)
{
    struct map_node *node = m->old[m->n_moved];
    m->old[m->n_moved] = NULL;
    m->n_moved++; /* from here on the nodes' bucket is the new one */
    while (node != NULL) {
        struct map_node *next = node->next;
        link_node(map_bucket(m, node->hash), node);
        node = next;
    }
    if (m->n_moved == m->n_buckets / 2) {
        free(m->old);
        m->old = NULL;
    }
}

static struct map_node **new_buckets(size_t n)
{
    return mem_zeroed(n * sizeof(struct map_node *));
}

static void make_room(struct map *m)
{
    if (m->buckets == NULL) {
        m->n_buckets = BUCKETS_FIRST;
        m->buckets = new_buckets(m->n_buckets);
    }
    if (m->old == NULL && m->count >= m->n_buckets) {
        m->old = m->buckets;
        m->n_moved = 0;
        m->n_buckets *= 2;
        m->buckets = new_buckets(m->n_buckets);
    }
    for (int i = 0; i < MOVED_PER_INSERT && m->old != NULL; i++) {
        move_bucket(m);
    }
}

void map_insert(struct map *m, struct map_node *node, struct span key)
{
    uint64_t hash = digest_siphash(&m->seed, key);
    ASSERT(!map_is_linked(node));
    ASSERT(map_find_hashed(m, hash, key) == NULL);
    make_room(m);
    node->key = key;
    node->hash = hash;
    link_node(map_bucket(m, hash), node);
    m->count++;
}

/* The first node in a bucket from index at on; the indexes of the old buckets come first. */
static struct map_node *first_from(const struct map *m, size_t at)
{
    size_t n_old = m->old == NULL ? 0 : m->n_buckets / 2;
    if (at < n_old && at < m->n_moved) {
        at = m->n_moved;
    }
    for (; at < n_old; at++) {
        if (m->old[at] != NULL) {
            return m->old[at];
        }
    }
    for (; at < n_old + m->n_buckets; at++) {
        if (m->buckets[at - n_old] != NULL) {
            return m->buckets[at - n_old];
        }
    }
    return NULL;
}

struct map_node *map_first(const struct map *m)
{
    return m->count == 0 ? NULL : first_from(m, 0);
}

struct map_node *map_next(const struct map *m, const struct map_node *node)
{
    ASSERT(map_is_linked(node));
    if (node->next != NULL) {
        return node->next;
    }
    size_t n_old = m->old == NULL ? 0 : m->n_buckets / 2;
    size_t at = (size_t)node->hash & (m->n_buckets - 1);
    size_t old_at = n_old == 0 ? 0 : at & (n_old - 1);
    bool in_old = n_old > 0 && old_at >= m->n_moved;
    return first_from(m, (in_old ? old_at : n_old + at) + 1);
}
