/* swarm.h: who shares which torrent. Tracker core: no I/O, no clock, no globals.
 *
 * Model      one swarm per info-hash with at least one peer; a peer is its address and port. The
 *            table is cut into SWARM_SHARDS shards by the first bits of the info-hash, so that the
 *            shards in order are the hashes in order.
 * Threads    any thread may call anything; shards are locked for one step of work, and nothing is
 *            called back under a lock but swarms_keep. Sweeping is for one caller at a time.
 * Limits     cfg.max_torrents, cfg.max_peers; full means ERR_LIMIT. Remembered completed counts of
 *            torrents without peers, and those not stored yet: cfg.max_torrents each.
 * Expiry     a peer silent for longer than the timeout is dropped within a round of the sweep, or
 *            the one after if it was moved meanwhile; until then it may still be handed out.
 */
#ifndef TRACKER_SWARM_H
#define TRACKER_SWARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/endpoint.h"
#include "base/ids.h"
#include "base/rng.h"
#include "proto/announce.h"
#include "tracker/swarm_hash.h"
#include "tracker/tracker.h"

enum { SWARM_SHARD_BITS = 10, SWARM_SHARDS = 1 << SWARM_SHARD_BITS };

struct swarms_cfg {
    uint64_t max_torrents;
    uint64_t max_peers;
    struct hash_seed seed;
};

struct swarms;

struct swarms *swarms_new(const struct swarms_cfg *cfg);
void swarms_free(struct swarms *s);

struct swarm_answer {
    int status; /* 0, or ERR_LIMIT: the peer is new and a table is full. It is not recorded, but
                 * peers are chosen for it all the same. */
    struct scrape_counts counts;
    uint32_t n4, n6; /* peers written to room */
    bool added;
    bool removed;
    bool completed;
};

/* One announce after all checks. */
struct swarm_visit {
    const struct announce_req *req;
    struct endpoint identity; /* how the peer is known and handed out */
    uint32_t key_id;          /* below 2^29; 0: none */
    uint32_t now_s;           /* monotonic */
    uint32_t numwant;         /* <= NUMWANT_LIMIT */
    const struct peer_room *room;
    struct swarm_answer answer; /* out */
};

enum { SWARM_VISITS_MAX = 64 };

/* Record up to SWARM_VISITS_MAX announces and choose peers for the answers. Those of one torrent
 * happen in their order. A few go on side by side, so that their waits for memory overlap.
 *
 * chooses  different peers, all equally likely over both families as far as their caps allow, in
 *          runs of a few neighbours from all over the swarm; never the visitor itself; only
 *          leechers for a seeder; none for a peer that stops.
 * cost     O(1) and O(numwant) each, plus a scan of at most PEERS_BLOCK_MAX endpoints.
 */
void swarms_announce(struct swarms *s, struct swarm_visit *visits, size_t n, struct rng *rng);

/* The counts of n torrents, in the order of their hashes. A torrent without peers shows its
 * completed count alone. Look-ups go in groups, so that their waits for memory overlap. */
void swarms_scrape(struct swarms *s, const struct infohash *hashes, size_t n,
                   struct scrape_counts *out);

/* Forget all peers of a torrent; returns how many they were. However many, announces of the torrent
 * and its shard go on meanwhile. */
size_t swarms_forget(struct swarms *s, const struct infohash *hash);

/* Whether the torrent may have peers. Called under a shard's lock: it must not call back. */
typedef bool (*swarms_keep)(void *ctx, const struct infohash *hash);

struct swarms_swept {
    uint64_t expired;   /* peers silent since before cutoff_s */
    uint64_t forgotten; /* peers of torrents that keep refused */
};

/* A small step of the sweep (at most a hundred peers or so under one lock; what a refused torrent
 * had is freed over several). keep may be NULL. Adds to *out. Returns true at the end of a round. */
bool swarms_sweep(struct swarms *s, uint32_t cutoff_s, swarms_keep keep, void *ctx,
                  struct swarms_swept *out);

/* ---- completed counts: as in tracker.h --------------------------------------------------------
 */

void swarms_completed_set(struct swarms *s, const struct infohash *hash, uint32_t stored);
size_t swarms_completed_take(struct swarms *s, struct completed_count *out, size_t cap);
void swarms_completed_give_back(struct swarms *s, const struct completed_count *counts, size_t n);

#endif
