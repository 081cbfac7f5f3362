/* access_directory.h: the keys of the current snapshot by id and in order, for access.c alone.
 *
 * Threads    the main loop only; readers find keys in the snapshot's parts.
 * Order      by_text is kept in order by single changes; of a load's keys it is made when it is
 *            asked for first, so that a load does not wait for it.
 */
#ifndef TRACKER_ACCESS_DIRECTORY_H
#define TRACKER_ACCESS_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tracker/access_parts.h"
#include "tracker/swarm_table.h"

struct key_directory {
    struct swarm_table id_index;
    struct key_entry **by_id;   /* in no order */
    struct key_entry **by_text; /* text_sorted: in order; else nothing is in it yet */
    size_t n, cap;
    bool text_sorted;
};

static inline uint32_t key_id_hash(uint32_t id)
{
    return id * UINT32_C(0x9e3779b1);
}

/* NULL: there is none. */
static inline struct key_entry *key_directory_by_id(const struct key_directory *d, uint32_t id)
{
    struct swarm_table_probe probe;
    uint32_t i = swarm_table_find(&d->id_index, key_id_hash(id), &probe);
    while (i != SWARM_TABLE_NONE && d->by_id[i]->id != id) {
        i = swarm_table_next(&probe);
    }
    return i == SWARM_TABLE_NONE ? NULL : d->by_id[i];
}

/* Where text is in by_text (which is in order), or where it would be. */
size_t key_directory_position(const struct key_directory *d, const char *text);
/* by_text is in order afterwards. */
void key_directory_sort(struct key_directory *d);
/* Adding what is not there, removing what is; k stays the access lists' own. */
void key_directory_add(struct key_directory *d, struct key_entry *k);
void key_directory_remove(struct key_directory *d, const struct key_entry *k);
/* Its n keys, in no order, in an array that is the caller's (to free(), NULL when empty); the
 * directory is empty afterwards. */
struct key_entry **key_directory_take(struct key_directory *d, size_t *n);

#endif
