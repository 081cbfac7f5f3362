/* swarm_memory.h: where shards have their swarms, peers and tables. Tracker core.
 *
 * Shape      a block pool with a lock. Several shards share one: alone, each would hold a few
 *            nearly empty slabs of every class.
 * Classes    blocks of peers by family and number, lines of swarms, and powers of two
 *            ("spaces", zeroed) for tables; a space over BLOCK_LEN_MAX is a mapping of its own.
 * Threads    any; the lock is held for one block, inside the shard's.
 */
#ifndef TRACKER_SWARM_MEMORY_H
#define TRACKER_SWARM_MEMORY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/block_pool.h"

enum {
    PEERS_EXACT_MAX = 16, /* up to here there is a class for every number of peers */
    PEERS_BLOCK_MAX = 128,
    PEERS_CAPS = 40, /* ... and from there eight to a doubling */
    SWARM_CHUNK_BITS = 4,
    SPACE_LEN_MIN = 64,
};

struct swarm_memory {
    /* private */
    _Alignas(64) pthread_mutex_t lock;
    struct block_pool pool;
    size_t mapped_len; /* of spaces that are mappings */
};

void swarm_memory_init(struct swarm_memory *m);
/* Everything must have been freed. */
void swarm_memory_release(struct swarm_memory *m);
/* Bytes that have pages, free ones included. */
size_t swarm_memory_held(struct swarm_memory *m);

/* The smallest number of peers (1 .. PEERS_BLOCK_MAX) >= n that has a class. */
uint32_t swarm_memory_cap(uint32_t n);
/* cap: of swarm_memory_cap. A block is that many peers in wire form, and on the next 4 bytes as
 * many struct peer_cold. */
unsigned swarm_memory_class(bool v6, uint32_t cap);
/* The class of 1 << SWARM_CHUNK_BITS swarms, each a cache line. */
unsigned swarm_memory_class_of_swarms(void);

void *swarm_memory_take(struct swarm_memory *m, unsigned class_at);
void swarm_memory_give(struct swarm_memory *m, unsigned class_at, void *block);

/* len: a power of two from SPACE_LEN_MIN. A space that is a mapping may be given in parts, each of
 * whole pages and over BLOCK_LEN_MAX. */
void *swarm_memory_take_space(struct swarm_memory *m, size_t len);
void swarm_memory_give_space(struct swarm_memory *m, void *space, size_t len);

/* Now and then, a second or more: gives back pages that are kept for what comes next. */
void swarm_memory_trim(struct swarm_memory *m);

/* Whether blocks lie so thinly that each should be settled. */
bool swarm_memory_is_sparse(struct swarm_memory *m);
/* These return where the content is now. */
void *swarm_memory_settle(struct swarm_memory *m, unsigned class_at, void *block);
void *swarm_memory_settle_space(struct swarm_memory *m, void *space, size_t len);

#endif
