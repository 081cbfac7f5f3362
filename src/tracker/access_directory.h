/* access_directory.h: the keys of the current snapshot by id and in order, for access.c alone.
 *
 * Threads    the main loop only; readers find keys in the snapshot's parts.
 * Order      by_text is kept in order by single changes; after a load it is sorted when it is asked
 *            for first, so that a load does not wait for it.
 */
#ifndef TRACKER_ACCESS_DIRECTORY_H
#define TRACKER_ACCESS_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tracker/access_parts.h"
#include "tracker/swarm_table.h"

struct key_directory {
    struct swarm_table id_index;
    struct key_entry **by_id; /* in no order */
    struct key_entry **by_text;
    size_t n, cap;
    bool text_sorted;
};

static inline uint32_t key_id_hash(uint32_t id)
{
    return id * UINT32_C(0x9e3779b1);
}

static inline uint32_t key_directory_hash_at(const void *ctx, uint32_t i)
{
    return key_id_hash(((const struct key_directory *)ctx)->by_id[i]->id);
}

static inline struct key_entry *key_directory_by_id(const struct key_directory *d, uint32_t id)
{
    struct swarm_table_probe probe;
    uint32_t i = swarm_table_find(&d->id_index, key_id_hash(id), &probe);
    while (i != SWARM_TABLE_NONE && d->by_id[i]->id != id) {
        i = swarm_table_next(&probe);
    }
    return i == SWARM_TABLE_NONE ? NULL : d->by_id[i];
}

static inline int key_directory_compare(const void *x, const void *y)
{
    const struct key_entry *const *a = x;
    const struct key_entry *const *b = y;
    return strcmp((*a)->key.key, (*b)->key.key);
}

/* Where text is in by_text, or where it would be. */
static inline size_t key_directory_position(const struct key_directory *d, const char *text)
{
    size_t from = 0;
    size_t to = d->n;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (strcmp(d->by_text[middle]->key.key, text) < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

static inline void key_directory_sort(struct key_directory *d)
{
    if (!d->text_sorted) {
        qsort(d->by_text, d->n, sizeof(d->by_text[0]), key_directory_compare);
        d->text_sorted = true;
    }
}

static inline void key_directory_fit(struct key_directory *d, size_t n)
{
    if (n > d->cap) {
        d->cap = n + n / 2 + 4;
        d->by_id = mem_resize(d->by_id, d->cap, sizeof(d->by_id[0]));
        d->by_text = mem_resize(d->by_text, d->cap, sizeof(d->by_text[0]));
    }
}

static inline void key_directory_add(struct key_directory *d, struct key_entry *k)
{
    key_directory_fit(d, d->n + 1);
    k->by_id_at = (uint32_t)d->n;
    d->by_id[k->by_id_at] = k;
    swarm_table_insert(&d->id_index, key_id_hash(k->id), k->by_id_at, key_directory_hash_at, d);
    size_t at = d->n;
    if (d->text_sorted) {
        at = key_directory_position(d, k->key.key);
        memmove(&d->by_text[at + 1], &d->by_text[at], (d->n - at) * sizeof(d->by_text[0]));
    }
    d->by_text[at] = k;
    d->n++;
}

static inline void key_directory_remove(struct key_directory *d, const struct key_entry *k)
{
    key_directory_sort(d);
    size_t at = key_directory_position(d, k->key.key);
    ASSERT(at < d->n && d->by_text[at] == k);
    memmove(&d->by_text[at], &d->by_text[at + 1], (d->n - at - 1) * sizeof(d->by_text[0]));
    swarm_table_remove(&d->id_index, key_id_hash(k->id), k->by_id_at, key_directory_hash_at, d);
    uint32_t last = (uint32_t)--d->n;
    if (k->by_id_at != last) {
        swarm_table_move(&d->id_index, key_id_hash(d->by_id[last]->id), last, k->by_id_at);
        d->by_id[k->by_id_at] = d->by_id[last];
        d->by_id[last]->by_id_at = k->by_id_at;
    }
}

#endif
