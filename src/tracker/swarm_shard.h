/* swarm_shard.h: the inside of struct swarms, for swarm*.c alone.
 *
 * Lock       everything in a shard but what is marked is touched under its lock only. Who needs
 *            several takes them together (swarm_lock.h). The lock is held for a bounded number of
 *            peers.
 * Invariants the counters are those of the arrays; every swarm has a peer; no hash is both in the
 *            array and in resting.
 */
#ifndef TRACKER_SWARM_SHARD_H
#define TRACKER_SWARM_SHARD_H

#include <stdatomic.h>
#include <stdint.h>

#include "tracker/swarm.h"
#include "tracker/swarm_array.h"
#include "tracker/swarm_lock.h"
#include "tracker/swarm_memory.h"
#include "tracker/swarm_table.h"

enum { SWARM_MEMORIES = 8 }; /* each for as many shards as the others */

struct shard {
    _Alignas(64) struct swarm_lock lock;
    struct swarm_table index; /* by info-hash; its prefetch needs no lock */
    struct swarm_array array; /* what a look-up needs of it is in the same line */
    uint64_t seeders;
    uint64_t peers[2];           /* IPv4, IPv6 */
    uint64_t completed;          /* shown, over swarms and resting */
    struct swarm_counts resting; /* completed counts of torrents without peers */
    struct swarm_counts untaken; /* completed here and not taken yet */
};

/* Where the sweep is. It goes through a shard from the last swarm to the first, and through the
 * peers of a swarm in the same way; then, when the shard's memory is sparse, it settles them. */
struct sweep {
    uint32_t shard;
    bool settling;  /* the shard is swept; swarm and unit say what is to be settled */
    uint32_t unit;  /* units of the swarm at position swarm - 1 still to do */
    bool inside;    /* swarm is valid */
    uint32_t swarm; /* swarms of the shard still to do */
    bool paused;    /* in the swarm at position swarm - 1, which has this hash: */
    struct infohash hash;
    int family;
    uint32_t peer;     /* peers of the family still to do */
    struct swarm gone; /* refused and taken out: what it has is to be freed, into ... */
    struct swarm_memory *gone_memory; /* NULL: there is none */
};

struct swarms {
    struct shard shard[SWARM_SHARDS];
    struct swarm_memory memories[SWARM_MEMORIES];
    struct swarms_cfg cfg;
    struct sweep sweep; /* of the one who sweeps */
    /* Totals that limits are checked against; exact, but read and changed outside of the locks. */
    _Alignas(64) _Atomic uint64_t n_torrents;
    _Atomic uint64_t n_peers;
    _Atomic uint64_t n_resting;
    _Atomic uint64_t n_untaken;
};

static inline struct shard *shard_of(struct swarms *s, const struct infohash *hash)
{
    return &s->shard[hash->b[0] << (SWARM_SHARD_BITS - 8) | hash->b[1] >> (16 - SWARM_SHARD_BITS)];
}

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Asks for what locking and swarm_table_prefetch touch. Only a hint, and needs no lock. */
static inline void shard_prefetch(const struct shard *sh)
{
    __builtin_prefetch(sh, 1);
}

/* The first candidate from at on that is the swarm, or SWARM_TABLE_NONE. */
static inline uint32_t shard_match(const struct shard *sh, const struct infohash *hash, uint32_t at,
                                   struct swarm_table_probe *probe)
{
    while (at != SWARM_TABLE_NONE &&
           !infohash_eq(&swarm_array_at(&sh->array, at)->info_hash, hash)) {
        at = swarm_table_next(probe);
    }
    return at;
}

/* Position of the swarm, or SWARM_TABLE_NONE. */
static inline uint32_t shard_find(const struct shard *sh, const struct infohash *hash, uint32_t h)
{
    struct swarm_table_probe probe;
    return shard_match(sh, hash, swarm_table_find(&sh->index, h, &probe), &probe);
}

/* Takes the swarm out with whatever peers it still has, so that they can be freed without the lock
 * or step by step; returns how many they were. */
size_t shard_take(struct swarms *s, struct shard *sh, uint32_t at, struct swarm *out);
/* Frees what a swarm has that was taken out. */
void shard_free_taken(struct swarm_memory *memory, struct swarm *taken);
/* The swarm goes with its last peer: then true. */
bool shard_remove_peer(struct swarms *s, struct shard *sh, uint32_t at, bool v6, uint32_t i);

static inline void shard_lock(struct shard *sh)
{
    swarm_lock_take(&sh->lock);
}

static inline void shard_unlock(struct shard *sh)
{
    swarm_lock_release(&sh->lock);
}

static inline struct scrape_counts swarm_counts_of(const struct swarm *m)
{
    uint32_t seeders = m->family[0].n_seeders + m->family[1].n_seeders;
    return (struct scrape_counts){
        .complete = seeders,
        .downloaded = m->completed,
        .incomplete = m->family[0].n + m->family[1].n - seeders,
    };
}

/* at: the swarm's position, or SWARM_TABLE_NONE. */
static inline struct scrape_counts shard_counts(const struct shard *sh,
                                                const struct hash_seed *seed,
                                                const struct infohash *hash, uint32_t at)
{
    if (at != SWARM_TABLE_NONE) {
        return swarm_counts_of(swarm_array_at(&sh->array, at));
    }
    return (struct scrape_counts){
        .downloaded = swarm_counts_get(&sh->resting, seed, hash),
    };
}

#endif
