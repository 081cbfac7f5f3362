#include "tracker/swarm_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tracker/swarm_memory.h"

#include "base/banned.h"

enum {
    SLOTS_MIN = 16,
    SLOTS_A_STEP = 32, /* of the old generation: many, so that there are seldom two for long */
};

static uint32_t *slots_of(const struct swarm_table *t)
{
    return atomic_load_explicit(&t->slots, memory_order_relaxed);
}

static uint32_t mask_of(const struct swarm_table *t)
{
    return atomic_load_explicit(&t->mask, memory_order_relaxed);
}

static void set_slots(struct swarm_table *t, uint32_t *slots, uint32_t mask)
{
    atomic_store_explicit(&t->mask, mask, memory_order_relaxed);
    atomic_store_explicit(&t->slots, slots, memory_order_relaxed);
}

static uint32_t *slots_new(struct swarm_table *t, uint32_t n)
{
    size_t len = n * sizeof(uint32_t);
    return t->memory == NULL ? mem_zeroed(len) : swarm_memory_take_space(t->memory, len);
}

static void slots_free(struct swarm_table *t, uint32_t *slots, uint32_t mask)
{
    if (t->memory == NULL || slots == NULL) {
        free(slots);
    } else {
        swarm_memory_give_space(t->memory, slots, ((size_t)mask + 1) * sizeof *slots);
    }
}

/* Frees the end of slots, or all when that is no more than a part: then returns true. */
static bool slots_free_part(struct swarm_table *t, uint32_t *slots, uint32_t *mask)
{
    const uint32_t part = SWARM_TABLE_PART_LEN / sizeof *slots;
    if (t->memory == NULL || slots == NULL || *mask < part) {
        slots_free(t, slots, *mask);
        *mask = 0;
        return true;
    }
    *mask -= part;
    swarm_memory_give_space(t->memory, slots + *mask + 1, SWARM_TABLE_PART_LEN);
    return false;
}

/* The old generation is empty. */
static void free_old_part(struct swarm_table *t)
{
    if (slots_free_part(t, t->old, &t->old_mask)) {
        t->old = NULL;
        t->old_next = 0;
    }
}

bool swarm_table_release_part(struct swarm_table *t)
{
    uint32_t mask = mask_of(t);
    t->n = 0;
    if (t->old != NULL) {
        free_old_part(t);
        return false;
    }
    bool done = slots_free_part(t, slots_of(t), &mask);
    set_slots(t, done ? NULL : slots_of(t), mask);
    return done;
}

void swarm_table_release(struct swarm_table *t)
{
    while (!swarm_table_release_part(t)) {
        continue;
    }
}

static uint32_t *slots_copy(const uint32_t *slots, uint32_t mask)
{
    if (slots == NULL) {
        return NULL;
    }
    uint32_t *copy = mem_array((size_t)mask + 1, sizeof *copy);
    memcpy(copy, slots, ((size_t)mask + 1) * sizeof *copy);
    return copy;
}

void swarm_table_copy(struct swarm_table *to, const struct swarm_table *from)
{
    set_slots(to, slots_copy(slots_of(from), mask_of(from)), mask_of(from));
    to->n = from->n;
    ASSERT(from->old == swarm_table_old(from)); /* the allocator takes the whole at once */
    to->old = slots_copy(from->old, from->old_mask);
    to->old_mask = from->old_mask;
    to->old_next = from->old_next;
}

size_t swarm_table_len(const struct swarm_table *t)
{
    size_t slots = slots_of(t) == NULL ? 0 : (size_t)mask_of(t) + 1;
    size_t old = t->old == NULL ? 0 : (size_t)t->old_mask + 1;
    return (slots + old) * sizeof(uint32_t);
}

void swarm_table_settle(struct swarm_table *t)
{
    uint32_t *slots = slots_of(t);
    if (slots != NULL) {
        size_t len = ((size_t)mask_of(t) + 1) * sizeof *slots;
        set_slots(t, swarm_memory_settle_space(t->memory, slots, len), mask_of(t));
    }
}

static void put(struct swarm_table *t, uint32_t hash, uint32_t slot)
{
    uint32_t *slots = slots_of(t);
    uint32_t mask = mask_of(t);
    uint32_t at = hash & mask;
    while (slots[at] != 0) {
        at = (at + 1) & mask;
    }
    slots[at] = slot;
}

/* Moves a few slots of the old generation, or frees a part of it. Emptied ones are marked, not
 * zeroed, because searches in the old generation must still walk over them. */
static void step(struct swarm_table *t, swarm_table_hash hash_at, const void *ctx)
{
    if (t->old != NULL && swarm_table_old(t) == NULL) {
        free_old_part(t);
        return;
    }
    for (int i = 0; swarm_table_old(t) != NULL && i < SLOTS_A_STEP; i++) {
        uint32_t slot = t->old[t->old_next];
        if (slot != 0 && slot != SWARM_TABLE_GONE) {
            put(t, hash_at(ctx, (slot & 0xffffff) - 1), slot);
            t->old[t->old_next] = SWARM_TABLE_GONE;
        }
        if (t->old_next++ == t->old_mask) {
            t->old_next = UINT32_MAX;
            free_old_part(t);
        }
    }
}

static void begin_resize(struct swarm_table *t, uint32_t n_slots)
{
    t->old = slots_of(t);
    t->old_mask = mask_of(t);
    t->old_next = 0;
    set_slots(t, slots_new(t, n_slots), n_slots - 1);
}

void swarm_table_insert(struct swarm_table *t, uint32_t hash, uint32_t position,
                        swarm_table_hash hash_at, const void *ctx)
{
    ASSERT(position < SWARM_TABLE_MAX);
    step(t, hash_at, ctx);
    if (slots_of(t) == NULL) {
        begin_resize(t, SLOTS_MIN);
    } else if (t->n >= (mask_of(t) + 1) / 16 * 13) {
        while (t->old != NULL) {
            step(t, hash_at, ctx);
        }
        begin_resize(t, (mask_of(t) + 1) * 2);
    }
    put(t, hash, (hash & 0xff000000) | (position + 1));
    t->n++;
}

/* The slot of exactly this item. */
static uint32_t *slot_of(struct swarm_table *t, uint32_t hash, uint32_t position)
{
    uint32_t slot = (hash & 0xff000000) | (position + 1);
    uint32_t *slots = slots_of(t);
    uint32_t mask = mask_of(t);
    ASSERT(slots != NULL);
    for (uint32_t at = hash & mask; slots[at] != 0; at = (at + 1) & mask) {
        if (slots[at] == slot) {
            return &slots[at];
        }
    }
    ASSERT(swarm_table_old(t) != NULL);
    for (uint32_t at = hash & t->old_mask; t->old[at] != 0; at = (at + 1) & t->old_mask) {
        if (t->old[at] == slot) {
            return &t->old[at];
        }
    }
    ASSERT(position == SWARM_TABLE_NONE); /* the item is not in the table */
    return NULL;
}

void swarm_table_move(struct swarm_table *t, uint32_t hash, uint32_t from, uint32_t to)
{
    *slot_of(t, hash, from) = (hash & 0xff000000) | (to + 1);
}

/* Closes the gap by moving later items of the run back, so that no search stops too early. */
static void close_gap(struct swarm_table *t, uint32_t gap, swarm_table_hash hash_at,
                      const void *ctx)
{
    uint32_t *slots = slots_of(t);
    uint32_t mask = mask_of(t);
    for (uint32_t at = (gap + 1) & mask; slots[at] != 0; at = (at + 1) & mask) {
        uint32_t home = hash_at(ctx, (slots[at] & 0xffffff) - 1) & mask;
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            slots[gap] = slots[at];
            gap = at;
        }
    }
    slots[gap] = 0;
}

void swarm_table_remove(struct swarm_table *t, uint32_t hash, uint32_t position,
                        swarm_table_hash hash_at, const void *ctx)
{
    step(t, hash_at, ctx);
    uint32_t *slot = slot_of(t, hash, position);
    if (slot >= slots_of(t) && slot <= slots_of(t) + mask_of(t)) {
        close_gap(t, (uint32_t)(slot - slots_of(t)), hash_at, ctx);
    } else {
        *slot = SWARM_TABLE_GONE;
    }
    t->n--;
    if (t->n == 0) {
        swarm_table_release(t);
    } else if (t->old == NULL && mask_of(t) + 1 > SLOTS_MIN && t->n < (mask_of(t) + 1) / 8) {
        begin_resize(t, (mask_of(t) + 1) / 2);
    }
}

/* ---- counts by info-hash ------------------------------------------------------------------ */

struct counts_ctx {
    const struct swarm_counts *counts;
    const struct hash_seed *seed;
};

static uint32_t count_hash_at(const void *ctx, uint32_t position)
{
    const struct counts_ctx *c = ctx;
    return hash_infohash(c->seed, &c->counts->at[position].info_hash);
}

void swarm_counts_release(struct swarm_counts *c)
{
    free(c->at);
    swarm_table_release(&c->index);
    *c = (struct swarm_counts){.at = NULL};
}

static uint32_t count_find(const struct swarm_counts *c, uint32_t hash,
                           const struct infohash *info_hash)
{
    struct swarm_table_probe probe;
    uint32_t at = swarm_table_find(&c->index, hash, &probe);
    while (at != SWARM_TABLE_NONE && !infohash_eq(&c->at[at].info_hash, info_hash)) {
        at = swarm_table_next(&probe);
    }
    return at;
}

uint32_t swarm_counts_get(const struct swarm_counts *c, const struct hash_seed *seed,
                          const struct infohash *hash)
{
    uint32_t at = c->n == 0 ? SWARM_TABLE_NONE : count_find(c, hash_infohash(seed, hash), hash);
    return at == SWARM_TABLE_NONE ? 0 : c->at[at].n;
}

static void counts_fit(struct swarm_counts *c, uint32_t cap)
{
    c->at = mem_resize(c->at, cap, sizeof *c->at);
    c->cap = cap;
}

static void count_remove(struct swarm_counts *c, const struct counts_ctx *ctx, uint32_t hash,
                         uint32_t at)
{
    swarm_table_remove(&c->index, hash, at, count_hash_at, ctx);
    c->n--;
    if (at != c->n) {
        swarm_table_move(&c->index, count_hash_at(ctx, c->n), c->n, at);
        c->at[at] = c->at[c->n];
    }
    if (c->n == 0) {
        swarm_counts_release(c);
    } else if (c->n < c->cap / 2) {
        counts_fit(c, c->n + c->n / 8 + 1);
    }
}

bool swarm_counts_set(struct swarm_counts *c, const struct hash_seed *seed,
                      const struct infohash *hash, uint32_t n)
{
    struct counts_ctx ctx = {c, seed};
    uint32_t h = hash_infohash(seed, hash);
    uint32_t at = count_find(c, h, hash);
    if (at != SWARM_TABLE_NONE) {
        if (n == 0) {
            count_remove(c, &ctx, h, at);
        } else {
            c->at[at].n = n;
        }
        return true;
    }
    if (n == 0 || c->n == SWARM_TABLE_MAX) {
        return n == 0;
    }
    if (c->n == c->cap) {
        counts_fit(c, c->n + c->n / 8 + 4);
    }
    c->at[c->n] = (struct swarm_count){*hash, n};
    swarm_table_insert(&c->index, h, c->n, count_hash_at, &ctx);
    c->n++;
    return true;
}
