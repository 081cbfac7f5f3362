/* swarm_table.h: positions by hash, and counts by info-hash. Tracker core.
 *
 * Model      open addressing with linear probing over 4-byte slots: 8 bits of the hash as a tag and
 *            24 bits of position into an array of the caller's. The table never sees the items:
 *            find gives candidates that the caller compares; where a hash is needed again it asks
 *            the caller for that of a position.
 * Growth     doubles over 13/16 full and halves under 1/8, a few slots with each insert and remove,
 *            so that no call pays for the whole; meanwhile both generations are searched. The
 *            memory of the old one then goes in parts of SWARM_TABLE_PART_LEN in the same way.
 * Limits     positions up to SWARM_TABLE_MAX - 1.
 * Threads    none of its own; swarm_table_prefetch alone may run beside a writer.
 */
#ifndef TRACKER_SWARM_TABLE_H
#define TRACKER_SWARM_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ids.h"
#include "tracker/swarm_hash.h"

#define SWARM_TABLE_NONE UINT32_MAX
#define SWARM_TABLE_GONE UINT32_MAX /* a slot of the old generation that was emptied */

enum {
    SWARM_TABLE_MAX = 0xfffffe,
    SWARM_TABLE_PART_LEN = 65536, /* the kernel takes back about a page in half a microsecond */
};

struct swarm_memory;

/* All zero is an empty table. */
struct swarm_table {
    struct swarm_memory *memory; /* of its slots, borrowed; NULL: the allocator's */
    /* private */
    _Atomic(uint32_t *) slots; /* 0: empty; else tag << 24 | position + 1 */
    _Atomic uint32_t mask;
    uint32_t n;    /* items in both generations */
    uint32_t *old; /* the generation being emptied, then freed from its end; NULL: none */
    uint32_t old_mask;
    uint32_t old_next; /* slots of old before this one are empty; over old_mask: all are */
};

/* A search under way. */
struct swarm_table_probe {
    const uint32_t *slots;
    const uint32_t *then; /* the generation to search next */
    uint32_t mask, then_mask;
    uint32_t at;
    uint32_t hash;
};

/* The hash of the item at a position, as it was when it was inserted. */
typedef uint32_t (*swarm_table_hash)(const void *ctx, uint32_t position);

void swarm_table_release(struct swarm_table *t);
/* A part of that; true when it was the last. Nothing else may be done between two parts. */
bool swarm_table_release_part(struct swarm_table *t);
/* A copy with slots of its own; to must be empty. */
void swarm_table_copy(struct swarm_table *to, const struct swarm_table *from);
/* Bytes of its slots. */
size_t swarm_table_len(const struct swarm_table *t);
/* Slots that lie thinly move (swarm_memory.h). t->memory must not be NULL. */
void swarm_table_settle(struct swarm_table *t);

/* position: below SWARM_TABLE_MAX, and its item must be in place already. */
void swarm_table_insert(struct swarm_table *t, uint32_t hash, uint32_t position,
                        swarm_table_hash hash_at, const void *ctx);
/* The item (which must be in the table) is still in place during the call. */
void swarm_table_remove(struct swarm_table *t, uint32_t hash, uint32_t position,
                        swarm_table_hash hash_at, const void *ctx);
/* The item (which must be in the table) changes its position. */
void swarm_table_move(struct swarm_table *t, uint32_t hash, uint32_t from, uint32_t to);

static inline uint32_t swarm_table_next(struct swarm_table_probe *p)
{
    while (p->slots != NULL) {
        uint32_t slot = p->slots[p->at];
        p->at = (p->at + 1) & p->mask;
        if (slot == 0) {
            p->slots = p->then;
            p->mask = p->then_mask;
            p->at = p->hash & p->then_mask;
            p->then = NULL;
        } else if (slot >> 24 == p->hash >> 24 && slot != SWARM_TABLE_GONE) {
            return (slot & 0xffffff) - 1;
        }
    }
    return SWARM_TABLE_NONE;
}

/* The old generation while it has items, or NULL. */
static inline uint32_t *swarm_table_old(const struct swarm_table *t)
{
    return t->old_next <= t->old_mask ? t->old : NULL;
}

/* The first candidate, or SWARM_TABLE_NONE; swarm_table_next gives the others. */
static inline uint32_t swarm_table_find(const struct swarm_table *t, uint32_t hash,
                                        struct swarm_table_probe *p)
{
    p->slots = atomic_load_explicit(&t->slots, memory_order_relaxed);
    p->mask = atomic_load_explicit(&t->mask, memory_order_relaxed);
    p->then = swarm_table_old(t);
    p->then_mask = t->old_mask;
    p->hash = hash;
    p->at = hash & p->mask;
    return swarm_table_next(p);
}

/* Asks for the line that a search begins at. A hint that reads no slot, so it needs no lock. */
static inline void swarm_table_prefetch(const struct swarm_table *t, uint32_t hash)
{
    const uint32_t *slots = atomic_load_explicit(&t->slots, memory_order_relaxed);
    if (slots != NULL) {
        uint32_t mask = atomic_load_explicit(&t->mask, memory_order_relaxed);
        __builtin_prefetch((const void *)((uintptr_t)slots + (hash & mask) * sizeof *slots));
    }
}

/* ---- counts by info-hash ------------------------------------------------------------------ */

struct swarm_count {
    struct infohash info_hash;
    uint32_t n;
};

/* All zero is empty. No count in it is 0. */
struct swarm_counts {
    struct swarm_count *at; /* in no order; removing moves the last into the gap */
    uint32_t n;
    /* private */
    uint32_t cap;
    struct swarm_table index;
};

void swarm_counts_release(struct swarm_counts *c);
/* The count of hash, 0 when there is none. */
uint32_t swarm_counts_get(const struct swarm_counts *c, const struct hash_seed *seed,
                          const struct infohash *hash);
/* Returns false (and leaves it out) when hash is new and the table has all the positions it can. */
bool swarm_counts_set(struct swarm_counts *c, const struct hash_seed *seed,
                      const struct infohash *hash, uint32_t n);

#endif
