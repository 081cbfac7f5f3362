/* Two sizes, a list of free buffers for each.
 *
 * A busy client takes and gives back thousands of buffers a second; a list makes that a few
 * instructions and spares the allocator its large-block paths. What is kept is bounded for both
 * sizes together, so that a burst does not hold memory for ever.
 */
#include "client/data_buf.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"

#include "base/banned.h"

struct data_pool {
    struct data_buf *free_blocks;
    struct data_buf *free_reads;
    size_t kept_len;
    size_t used_len;
};

static struct data_buf **free_list(struct data_pool *pool, uint32_t cap)
{
    ASSERT(cap == DATA_BLOCK_LEN || cap == DATA_READ_LEN);
    return cap == DATA_BLOCK_LEN ? &pool->free_blocks : &pool->free_reads;
}

struct data_pool *data_pool_new(void)
{
    return mem_new(struct data_pool);
}

static void free_all(struct data_buf *d)
{
    while (d != NULL) {
        struct data_buf *next = d->next;
        free(d);
        d = next;
    }
}

void data_pool_free(struct data_pool *pool)
{
    ASSERT(pool->used_len == 0);
    free_all(pool->free_blocks);
    free_all(pool->free_reads);
    free(pool);
}

size_t data_pool_used(const struct data_pool *pool)
{
    return pool->used_len;
}

struct data_buf *data_new(struct data_pool *pool, uint32_t cap)
{
    struct data_buf **list = free_list(pool, cap);
    struct data_buf *d = *list;
    if (d != NULL) {
        *list = d->next;
        pool->kept_len -= cap;
    } else {
        d = mem_array(sizeof *d + cap, 1);
        d->cap = cap;
        d->pool = pool;
    }
    d->len = 0;
    d->refs = 1;
    d->next = NULL;
    pool->used_len += cap;
    return d;
}

struct data_buf *data_ref(struct data_buf *d)
{
    ASSERT(d->refs > 0 && d->refs < UINT32_MAX);
    d->refs++;
    return d;
}

void data_unref(struct data_buf *d)
{
    if (d == NULL) {
        return;
    }
    ASSERT(d->refs > 0);
    if (--d->refs > 0) {
        return;
    }
    struct data_pool *pool = d->pool;
    pool->used_len -= d->cap;
    if (d->cap > DATA_KEEP_LEN - pool->kept_len) {
        free(d);
        return;
    }
    struct data_buf **list = free_list(pool, d->cap);
    d->next = *list;
    *list = d;
    pool->kept_len += d->cap;
}
