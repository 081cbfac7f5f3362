/* block_pool.h: blocks of a few fixed lengths, whose pages go back to the kernel.
 *
 * Model      the owner names its lengths once: the classes. Blocks of a class share slabs; a slab
 *            without a block gives its pages back, but for a few where there are many. Slabs are
 *            cut from arenas, which keep their addresses until the pool is released.
 * Waiting    giving pages back stops all threads of the process for a moment. So two slabs of each
 *            size wait for the next block with their pages, until block_pool_trim.
 * Sparse     a class is sparse when its slabs have room for an eighth more blocks than are in use,
 *            and a slab's worth. The pool cannot move what others point to: the owner, who can,
 *            asks block_pool_settle for each of its blocks, and a few slabs stay, nearly full.
 * Limits     BLOCK_CLASSES_MAX classes of BLOCK_LEN_MIN .. BLOCK_LEN_MAX bytes; exhaustion aborts,
 *            as in mem.h.
 * Threads    none of its own.
 */
#ifndef BASE_BLOCK_POOL_H
#define BASE_BLOCK_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BLOCK_CLASSES_MAX = 128,
    BLOCK_LEN_MIN = 16,
    BLOCK_LEN_MAX = 32768,
    BLOCK_SLAB_SIZES = 5, /* 4, 8, 16, 32, 64 KiB */
};

struct block_class {
    uint32_t len;
    uint32_t per_slab;
    uint32_t size;    /* of its slabs: 4 KiB << size */
    uint32_t reach;   /* bytes of a slab that blocks reach, in whole pages */
    uint32_t current; /* the slab that blocks are taken from; 0: none. Never full */
    uint32_t partial; /* list of all other slabs that are not full */
    uint32_t n_slabs;
    uint32_t n_used;
    bool sparse;
};

/* Slabs of one size without a block, as a stack. */
struct block_spares {
    uint32_t *at;
    uint32_t n;
    uint32_t n_bare; /* the first so many have no pages */
    uint32_t cap;
    uint32_t n_in_use;
};

struct block_pool {
    /* private */
    struct block_class classes[BLOCK_CLASSES_MAX];
    uint32_t n_classes;
    uint32_t n_sparse;
    struct block_spares spares[BLOCK_SLAB_SIZES];
    uint8_t **arenas;
    uint32_t n_arenas;
};

/* lens: of the classes 0 .. n - 1. A block is aligned to the largest power of two (up to 4 KiB)
 * that divides its length. */
void block_pool_init(struct block_pool *p, const uint32_t *lens, size_t n);
/* All blocks must have been freed. */
void block_pool_release(struct block_pool *p);

/* Not zeroed. */
void *block_pool_alloc(struct block_pool *p, unsigned class_at) __attribute__((returns_nonnull));
void block_pool_free(struct block_pool *p, unsigned class_at, void *block);

static inline bool block_pool_is_sparse(const struct block_pool *p)
{
    return p->n_sparse > 0;
}

/* Where the block's content is from now on: perhaps elsewhere when its class is sparse. */
void *block_pool_settle(struct block_pool *p, unsigned class_at, void *block)
    __attribute__((returns_nonnull));

/* Gives back the pages of slabs that wait, in two system calls a slab size at most. */
void block_pool_trim(struct block_pool *p);

/* Bytes of slabs that have pages. */
size_t block_pool_held(const struct block_pool *p);

#endif
