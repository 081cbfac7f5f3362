/* How slabs lie in arenas.
 *
 *   arena, 1 MiB, on its own alignment, slabs of one size:
 *   | struct slab [0] [1] [2] ...  | slab 1 | slab 2 | ...
 *
 * The place of slab 0 is taken by what is known of the others, so that neither a block nor a slab
 * has a header, and a block's address leads to both. A slab's number is that of its arena and its
 * place there. Free blocks of a slab are a list through their first bytes.
 *
 * Pages are returned with madvise and not with munmap: the kernel limits the number of mappings, and
 * every hole would cost one. Huge pages are declined, for the kernel fills holes up with those.
 */
#include "base/block_pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/pages.h"

#include "base/banned.h"

enum {
    SLAB_BITS = 8, /* of a slab's number: its place in the arena */
    ARENA_LEN = PAGE_LEN << SLAB_BITS,
    TAIL_SHARE = 16,   /* of the pages of a slab at most one part in so many is left over */
    SPARSE_SHARE = 8,  /* of a class's blocks in use */
    SPARES_SHARE = 32, /* of the slabs in use: so many may wait with their pages ... */
    SPARES_EXTRA = 2,  /* ... and so many more until the next trim */
};

struct slab {
    uint32_t next; /* in the list of its class */
    uint32_t prev;
    uint16_t n_used;
    uint16_t n_touched; /* blocks behind these were never taken */
    uint16_t free;      /* number of the first in the list of free blocks, and 1; 0: none */
    uint16_t n_pages;   /* of one that waits: behind these it has none */
};

_Static_assert(sizeof(struct slab) << SLAB_BITS <= PAGE_LEN, "what is known of slabs is a page");

static uint32_t slab_len(uint32_t size)
{
    return (uint32_t)PAGE_LEN << size;
}

static struct slab *slab_at(const struct block_pool *p, uint32_t number)
{
    return (struct slab *)(void *)p->arenas[number >> SLAB_BITS] +
           (number & ((1u << SLAB_BITS) - 1));
}

static uint8_t *slab_bytes(const struct block_pool *p, uint32_t number, uint32_t size)
{
    return p->arenas[number >> SLAB_BITS] +
           (size_t)(number & ((1u << SLAB_BITS) - 1)) * slab_len(size);
}

/* Slab 0 is none: in its place is the arena's own number. */
static uint32_t slab_of(const struct block_class *c, const void *block)
{
    uintptr_t arena = (uintptr_t)block & ~(uintptr_t)(ARENA_LEN - 1);
    uint32_t place = (uint32_t)((uintptr_t)block - arena) / slab_len(c->size);
    return ((const struct slab *)arena)->next << SLAB_BITS | place;
}

/* ---- slabs --------------------------------------------------------------------------------- */

static void spares_push(struct block_spares *s, uint32_t number)
{
    if (s->n == s->cap) {
        s->cap = s->cap == 0 ? 1u << SLAB_BITS : s->cap * 2;
        s->at = mem_resize(s->at, s->cap, sizeof *s->at);
    }
    s->at[s->n++] = number;
}

static void arena_add(struct block_pool *p, uint32_t size)
{
    struct block_spares *s = &p->spares[size];
    uint32_t number = p->n_arenas++;
    uint8_t *arena = pages_map_aligned(ARENA_LEN);
    if ((number & (number - 1)) == 0) {
        p->arenas = mem_resize(p->arenas, number == 0 ? 1 : (size_t)number * 2, sizeof *p->arenas);
    }
    p->arenas[number] = arena;
    ((struct slab *)(void *)arena)->next = number;
    for (uint32_t place = ARENA_LEN / slab_len(size) - 1; place > 0; place--) {
        spares_push(s, number << SLAB_BITS | place);
    }
    s->n_bare = s->n;
}

static uint32_t slab_take(struct block_pool *p, struct block_class *c)
{
    struct block_spares *s = &p->spares[c->size];
    if (s->n == 0) {
        arena_add(p, c->size);
    }
    uint32_t number = s->at[--s->n];
    struct slab *slab = slab_at(p, number);
    if (s->n_bare > s->n) {
        s->n_bare = s->n;
    } else if ((uint32_t)slab->n_pages * PAGE_LEN > c->reach) {
        pages_give_back(slab_bytes(p, number, c->size) + c->reach,
                        (uint32_t)slab->n_pages * PAGE_LEN - c->reach);
    }
    s->n_in_use++;
    c->n_slabs++;
    *slab = (struct slab){.next = 0};
    return number;
}

/* Leaves the newest with their pages, as many as the share says and extra more. */
static void spares_give_back(struct block_pool *p, uint32_t size, uint32_t extra)
{
    struct block_spares *s = &p->spares[size];
    while (s->n - s->n_bare > s->n_in_use / SPARES_SHARE + extra) {
        pages_give_back(slab_bytes(p, s->at[s->n_bare++], size), slab_len(size));
    }
}

static void slab_give(struct block_pool *p, struct block_class *c, uint32_t number)
{
    struct block_spares *s = &p->spares[c->size];
    pages_allow(slab_bytes(p, number, c->size), slab_len(c->size));
    slab_at(p, number)->n_pages = (uint16_t)(c->reach / PAGE_LEN);
    spares_push(s, number);
    s->n_in_use--;
    c->n_slabs--;
    spares_give_back(p, c->size, SPARES_EXTRA);
}

static void link_partial(struct block_pool *p, struct block_class *c, uint32_t number)
{
    struct slab *slab = slab_at(p, number);
    slab->prev = 0;
    slab->next = c->partial;
    if (c->partial != 0) {
        slab_at(p, c->partial)->prev = number;
    }
    c->partial = number;
}

static void unlink_partial(struct block_pool *p, struct block_class *c, uint32_t number)
{
    const struct slab *slab = slab_at(p, number);
    if (slab->next != 0) {
        slab_at(p, slab->next)->prev = slab->prev;
    }
    if (slab->prev != 0) {
        slab_at(p, slab->prev)->next = slab->next;
    } else {
        c->partial = slab->next;
    }
}

/* ---- blocks -------------------------------------------------------------------------------- */

static void note_sparse(struct block_pool *p, struct block_class *c)
{
    uint64_t room = (uint64_t)c->n_slabs * c->per_slab - c->n_used;
    bool sparse = room > c->n_used / SPARSE_SHARE + c->per_slab;
    p->n_sparse += (uint32_t)sparse - (uint32_t)c->sparse;
    c->sparse = sparse;
}

void *block_pool_alloc(struct block_pool *p, unsigned class_at)
{
    struct block_class *c = &p->classes[class_at];
    if (c->current == 0 && c->partial != 0) {
        c->current = c->partial;
        unlink_partial(p, c, c->current);
    } else if (c->current == 0) {
        c->current = slab_take(p, c);
    }
    struct slab *slab = slab_at(p, c->current);
    uint8_t *block = slab_bytes(p, c->current, c->size);
    if (slab->free != 0) {
        block += (size_t)(slab->free - 1u) * c->len;
        pages_allow(block, c->len);
        memcpy(&slab->free, block, sizeof slab->free);
    } else {
        block += (size_t)slab->n_touched++ * c->len;
    }
    if (++slab->n_used == c->per_slab) {
        c->current = 0;
    }
    c->n_used++;
    note_sparse(p, c);
    return block;
}

void block_pool_free(struct block_pool *p, unsigned class_at, void *block)
{
    struct block_class *c = &p->classes[class_at];
    uint32_t number = slab_of(c, block);
    struct slab *slab = slab_at(p, number);
    size_t offset = (size_t)((uint8_t *)block - slab_bytes(p, number, c->size));
    bool was_full = slab->n_used == c->per_slab;
    ASSERT(offset % c->len == 0 && slab->n_used > 0);
    memcpy(block, &slab->free, sizeof slab->free);
    slab->free = (uint16_t)(offset / c->len + 1);
    pages_forbid(block, c->len);
    c->n_used--;
    if (--slab->n_used == 0) {
        if (number == c->current) {
            c->current = 0;
        } else if (!was_full) {
            unlink_partial(p, c, number);
        }
        slab_give(p, c, number);
    } else if (was_full) {
        link_partial(p, c, number);
    }
    note_sparse(p, c);
}

void *block_pool_settle(struct block_pool *p, unsigned class_at, void *block)
{
    struct block_class *c = &p->classes[class_at];
    if (!c->sparse) {
        return block;
    }
    uint32_t number = slab_of(c, block);
    const struct slab *slab = slab_at(p, number);
    if (number == c->current || slab->n_used == c->per_slab) {
        return block;
    }
    /* The fuller of two is the one to fill up. */
    if (c->current == 0 || slab_at(p, c->current)->n_used < slab->n_used) {
        unlink_partial(p, c, number);
        if (c->current != 0) {
            link_partial(p, c, c->current);
        }
        c->current = number;
        return block;
    }
    void *to = block_pool_alloc(p, class_at);
    memcpy(to, block, c->len);
    block_pool_free(p, class_at, block);
    return to;
}

void block_pool_trim(struct block_pool *p)
{
    for (uint32_t size = 0; size < BLOCK_SLAB_SIZES; size++) {
        spares_give_back(p, size, 0);
    }
}

/* ---- the pool ------------------------------------------------------------------------------ */

/* The smallest slabs of which little is left over; pages that no block reaches cost nothing. */
static uint32_t size_for(uint32_t len)
{
    uint32_t size = 0;
    while (size < BLOCK_SLAB_SIZES - 1) {
        uint32_t left_over = slab_len(size) % len % PAGE_LEN;
        if (len <= slab_len(size) && left_over <= slab_len(size) / TAIL_SHARE) {
            break;
        }
        size++;
    }
    return size;
}

void block_pool_init(struct block_pool *p, const uint32_t *lens, size_t n)
{
    ASSERT(n <= BLOCK_CLASSES_MAX);
    *p = (struct block_pool){.n_classes = (uint32_t)n};
    for (size_t i = 0; i < n; i++) {
        ASSERT(lens[i] >= BLOCK_LEN_MIN && lens[i] <= BLOCK_LEN_MAX);
        uint32_t size = size_for(lens[i]);
        uint32_t per_slab = slab_len(size) / lens[i];
        p->classes[i] = (struct block_class){
            .len = lens[i],
            .per_slab = per_slab,
            .size = size,
            .reach = (per_slab * lens[i] + PAGE_LEN - 1) & ~(uint32_t)(PAGE_LEN - 1),
        };
    }
}

void block_pool_release(struct block_pool *p)
{
    for (uint32_t i = 0; i < p->n_classes; i++) {
        ASSERT(p->classes[i].n_used == 0);
    }
    for (uint32_t i = 0; i < p->n_arenas; i++) {
        pages_allow(p->arenas[i], ARENA_LEN);
        pages_unmap(p->arenas[i], ARENA_LEN);
    }
    for (int i = 0; i < BLOCK_SLAB_SIZES; i++) {
        free(p->spares[i].at);
    }
    free(p->arenas);
    *p = (struct block_pool){.n_arenas = 0};
}

size_t block_pool_held(const struct block_pool *p)
{
    size_t len = (size_t)p->n_arenas * PAGE_LEN;
    for (uint32_t i = 0; i < p->n_classes; i++) {
        len += (size_t)p->classes[i].n_slabs * p->classes[i].reach;
    }
    for (uint32_t i = 0; i < BLOCK_SLAB_SIZES; i++) {
        len += (size_t)(p->spares[i].n - p->spares[i].n_bare) * slab_len(i);
    }
    return len;
}
