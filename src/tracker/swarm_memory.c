#include "tracker/swarm_memory.h"

#include <string.h>

#include "base/assert.h"
#include "base/pages.h"
#include "tracker/swarm_array.h"

#include "base/banned.h"

enum {
    CLASS_SWARMS = 2 * PEERS_CAPS,
    CLASS_SPACES,
    N_SPACES = 10,
    N_CLASSES = CLASS_SPACES + N_SPACES,
};

_Static_assert(SPACE_LEN_MIN << (N_SPACES - 1) == BLOCK_LEN_MAX, "every shorter space has a class");
_Static_assert((int)N_CLASSES <= (int)BLOCK_CLASSES_MAX, "the classes fit a pool");

/* Numbers of peers grow by this power of two around n. */
static unsigned step_bits(uint32_t n)
{
    return n <= PEERS_EXACT_MAX ? 0 : 28 - (unsigned)__builtin_clz(n - 1);
}

uint32_t swarm_memory_cap(uint32_t n)
{
    uint32_t step = 1u << step_bits(n);
    return (n + step - 1) & ~(step - 1);
}

unsigned swarm_memory_class(bool v6, uint32_t cap)
{
    unsigned bits = step_bits(cap);
    return (v6 ? PEERS_CAPS : 0) + 8 * bits + (cap >> bits) - 1;
}

unsigned swarm_memory_class_of_swarms(void)
{
    return CLASS_SWARMS;
}

static unsigned class_of_space(size_t len)
{
    unsigned at = 0;
    while ((size_t)SPACE_LEN_MIN << at < len) {
        at++;
    }
    ASSERT((size_t)SPACE_LEN_MIN << at == len);
    return CLASS_SPACES + at;
}

void swarm_memory_init(struct swarm_memory *m)
{
    uint32_t lens[N_CLASSES];
    pthread_mutexattr_t attr;
    for (uint32_t cap = 1; cap <= PEERS_BLOCK_MAX; cap = swarm_memory_cap(cap + 1)) {
        lens[swarm_memory_class(false, cap)] = peers_block_len(false, cap);
        lens[swarm_memory_class(true, cap)] = peers_block_len(true, cap);
    }
    lens[CLASS_SWARMS] = sizeof(struct swarm) << SWARM_CHUNK_BITS;
    for (uint32_t i = 0; i < N_SPACES; i++) {
        lens[CLASS_SPACES + i] = (uint32_t)SPACE_LEN_MIN << i;
    }
    block_pool_init(&m->pool, lens, N_CLASSES);
    m->mapped_len = 0;
    ASSERT(pthread_mutexattr_init(&attr) == 0);
    ASSERT(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP) == 0);
    ASSERT(pthread_mutex_init(&m->lock, &attr) == 0);
    pthread_mutexattr_destroy(&attr);
}

void swarm_memory_release(struct swarm_memory *m)
{
    ASSERT(m->mapped_len == 0);
    block_pool_release(&m->pool);
    pthread_mutex_destroy(&m->lock);
}

static void lock(struct swarm_memory *m)
{
    (void)pthread_mutex_lock(&m->lock); /* fails only for locks that were not made by us */
}

static void unlock(struct swarm_memory *m)
{
    (void)pthread_mutex_unlock(&m->lock);
}

size_t swarm_memory_held(struct swarm_memory *m)
{
    lock(m);
    size_t len = block_pool_held(&m->pool) + m->mapped_len;
    unlock(m);
    return len;
}

void *swarm_memory_take(struct swarm_memory *m, unsigned class_at)
{
    lock(m);
    void *block = block_pool_alloc(&m->pool, class_at);
    unlock(m);
    return block;
}

void swarm_memory_give(struct swarm_memory *m, unsigned class_at, void *block)
{
    lock(m);
    block_pool_free(&m->pool, class_at, block);
    unlock(m);
}

static void *map(struct swarm_memory *m, size_t len)
{
    lock(m);
    m->mapped_len += len;
    unlock(m);
    return pages_map(len);
}

void *swarm_memory_take_space(struct swarm_memory *m, size_t len)
{
    if (len > BLOCK_LEN_MAX) {
        return map(m, len);
    }
    void *space = swarm_memory_take(m, class_of_space(len));
    memset(space, 0, len);
    return space;
}

void swarm_memory_give_space(struct swarm_memory *m, void *space, size_t len)
{
    if (len <= BLOCK_LEN_MAX) {
        swarm_memory_give(m, class_of_space(len), space);
        return;
    }
    pages_unmap(space, len);
    lock(m);
    m->mapped_len -= len;
    unlock(m);
}

void swarm_memory_trim(struct swarm_memory *m)
{
    lock(m);
    block_pool_trim(&m->pool);
    unlock(m);
}

bool swarm_memory_is_sparse(struct swarm_memory *m)
{
    lock(m);
    bool sparse = block_pool_is_sparse(&m->pool);
    unlock(m);
    return sparse;
}

void *swarm_memory_settle(struct swarm_memory *m, unsigned class_at, void *block)
{
    lock(m);
    void *to = block_pool_settle(&m->pool, class_at, block);
    unlock(m);
    return to;
}

void *swarm_memory_settle_space(struct swarm_memory *m, void *space, size_t len)
{
    return len > BLOCK_LEN_MAX ? space : swarm_memory_settle(m, class_of_space(len), space);
}
