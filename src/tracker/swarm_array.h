/* swarm_array.h: the swarms of one shard, and the peers of each. Tracker core.
 *
 * Shape      a swarm is one cache line; it points to its IPv4 and IPv6 peers. Peers of a family
 *            are a hot array in wire form (an answer is copied out of it) and a cold array with all
 *            the rest at the same index; seeders first, then leechers.
 * Blocks     up to PEERS_BLOCK_MAX peers: one block with both arrays; more: blocks of PEERS_CHUNK
 *            each (the last may be shorter), with an index by endpoint.
 * Moving     removing moves the last into the gap everywhere (swarms, peers), so memory stays
 *            dense and goes back when it is not needed. Positions are good until the next
 *            remove. Going through positions from the last to the first misses nothing that stays.
 * Limits     SWARM_TABLE_MAX swarms, and as many peers in a family of a swarm (the caller checks).
 * Threads    none of its own: the shard's lock is held.
 */
#ifndef TRACKER_SWARM_ARRAY_H
#define TRACKER_SWARM_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ids.h"
#include "proto/announce.h"
#include "proto/compact.h"
#include "tracker/swarm_memory.h"
#include "tracker/swarm_table.h"

enum {
    PEERS_CHUNK_BITS = 7,
    PEERS_CHUNK = 1 << PEERS_CHUNK_BITS,
    PEERS_CHUNKED = 255, /* in place of a cap */
};

struct peer_cold {
    struct peer_id peer_id;
    uint64_t uploaded;
    uint64_t downloaded;
    uint64_t left;
    uint32_t last_seen_s;   /* monotonic */
    uint32_t key_id : 29;   /* access key of the last announce; 0: none */
    uint32_t event : 2;     /* enum announce_event of the last announce */
    uint32_t completed : 1; /* this download was completed: another completed event is no news */
} __attribute__((packed, aligned(4)));

/* The peers of one family of one swarm. */
struct peers {
    void *p; /* the block; PEERS_CHUNKED: struct peers_chunks */
    uint32_t n;
    uint32_t n_seeders : 24;
    uint32_t cap : 8; /* of the block; 0: there is none; PEERS_CHUNKED: there are several */
};

struct swarm {
    struct infohash info_hash;
    uint32_t completed;     /* completed downloads, as shown */
    struct peers family[2]; /* IPv4, IPv6 */
    uint32_t hash;          /* hash_infohash of info_hash */
    uint32_t oldest_s;      /* no peer was seen last before this */
};

/* Peers beyond PEERS_BLOCK_MAX, in a space. All blocks but the last have room for PEERS_CHUNK. */
struct peers_chunks {
    struct swarm_table index; /* by endpoint */
    uint32_t n;
    uint32_t last_cap;
    size_t len; /* of the space */
    uint8_t *chunk[];
};

struct swarm_array {
    uint32_t n; /* swarms */
    /* private */
    uint32_t n_chunks;
    struct swarm **chunk;
    struct swarm_memory *memory;
    struct hash_seed seed;
};

/* memory: borrowed. */
void swarm_array_init(struct swarm_array *a, struct swarm_memory *memory,
                      const struct hash_seed *seed);
void swarm_array_release(struct swarm_array *a);

/* What lies thinly moves (swarm_memory.h), in units: those of the swarm at position at are 0 ..
 * swarm_array_units - 1. Unit 0 are the lines of the swarm and its neighbours. */
uint32_t swarm_array_units(const struct swarm_array *a, uint32_t at);
void swarm_array_settle(struct swarm_array *a, uint32_t at, uint32_t unit);

static inline struct swarm *swarm_array_at(const struct swarm_array *a, uint32_t at)
{
    return &a->chunk[at >> SWARM_CHUNK_BITS][at & ((1 << SWARM_CHUNK_BITS) - 1)];
}

/* Asks for what swarm_array_at reads. */
static inline void swarm_array_prefetch_at(const struct swarm_array *a, uint32_t at)
{
    __builtin_prefetch(&a->chunk[at >> SWARM_CHUNK_BITS]);
}

/* A new swarm without peers, at the last position (a->n - 1). */
struct swarm *swarm_array_add(struct swarm_array *a, const struct infohash *info_hash,
                              uint32_t hash);
/* Takes it out with its peers; the last swarm takes its position. What it has is freed later. */
struct swarm swarm_array_take(struct swarm_array *a, uint32_t at);

/* Frees up to *n blocks, lists and tables (or parts of those) of a swarm that was taken out, and
 * counts *n down. Returns true when nothing is left. No shard's lock is needed. */
bool swarm_array_free(struct swarm_memory *memory, struct swarm *taken, uint32_t *n);

/* ---- peers of the swarm at position at; v6 chooses the family ------------------------------ */

static inline uint32_t peers_cold_at(bool v6, uint32_t cap)
{
    return (uint32_t)(compact_len(v6) * cap + 3) & ~3u;
}

/* Bytes of a block for cap peers. */
static inline uint32_t peers_block_len(bool v6, uint32_t cap)
{
    return peers_cold_at(v6, cap) + cap * (uint32_t)sizeof(struct peer_cold);
}

static inline uint8_t *swarm_array_hot(const struct peers *f, bool v6, uint32_t i)
{
    if (f->cap == PEERS_CHUNKED) {
        const struct peers_chunks *c = f->p;
        return c->chunk[i >> PEERS_CHUNK_BITS] + compact_len(v6) * (i & (PEERS_CHUNK - 1));
    }
    return (uint8_t *)f->p + compact_len(v6) * i;
}

static inline struct peer_cold *swarm_array_cold(const struct peers *f, bool v6, uint32_t i)
{
    uint8_t *block = f->p;
    uint32_t cap = f->cap;
    if (f->cap == PEERS_CHUNKED) {
        const struct peers_chunks *c = f->p;
        uint32_t at = i >> PEERS_CHUNK_BITS;
        block = c->chunk[at];
        cap = at == c->n - 1 ? c->last_cap : PEERS_CHUNK;
        i &= PEERS_CHUNK - 1;
    }
    return (struct peer_cold *)(void *)(block + peers_cold_at(v6, cap)) + i;
}

/* What swarm_array_find_peer will read, in two steps: the second reads what the first asked for.
 * Only hints. */
void swarm_array_prefetch_peers(const struct peers *f);
void swarm_array_prefetch_find(const struct swarm_array *a, const struct peers *f, bool v6,
                               const uint8_t *wire);
/* Where the peer with this endpoint is, or SWARM_TABLE_NONE. */
uint32_t swarm_array_find_peer(const struct swarm_array *a, const struct peers *f, bool v6,
                               const uint8_t *wire);
/* Adds a peer that is not there yet; returns its position. */
uint32_t swarm_array_add_peer(struct swarm_array *a, uint32_t at, bool v6, const uint8_t *wire,
                              const struct peer_cold *cold, bool seeder);
void swarm_array_remove_peer(struct swarm_array *a, uint32_t at, bool v6, uint32_t i);
/* Makes peer i a seeder or a leecher; returns where it is now. */
uint32_t swarm_array_set_seeder(struct swarm_array *a, struct peers *f, bool v6, uint32_t i,
                                bool seeder);

#endif
