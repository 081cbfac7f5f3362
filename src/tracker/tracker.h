/* tracker.h: the tracker as decisions: who may ask, what is recorded, what is answered.
 * Tracker core: no I/O, no clock, no globals; time comes in with every call.
 *
 * Threads   tracker_worker handles belong to one thread each. The view and admin functions belong
 *           to the main loop and may run beside the workers. Swarms are locked a shard at a time;
 *           access lists are read through a snapshot that the main loop swaps.
 * Lifetime  handles and views die with the tracker; free it when no worker runs any more.
 * Limits    cfg.max_torrents, cfg.max_peers: full means a refusal and a counter.
 */
#ifndef TRACKER_TRACKER_H
#define TRACKER_TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/endpoint.h"
#include "base/ids.h"
#include "base/span.h"
#include "proto/announce.h"
#include "tracker/stats.h"

enum tracker_mode { /* bit 0: whitelist, bit 1: keys */
                    MODE_PUBLIC = 0,
                    MODE_LISTED = 1,
                    MODE_PRIVATE = 2,
                    MODE_PRIVATE_LISTED = 3,
};

enum { NUMWANT_DEFAULT = 50, NUMWANT_LIMIT = 1000 };

struct tracker_cfg {
    enum tracker_mode mode;
    uint32_t announce_interval_s;
    uint32_t min_announce_interval_s;
    uint32_t peer_timeout_s; /* already resolved: never 0 */
    uint32_t max_numwant;    /* <= NUMWANT_LIMIT */
    uint32_t max_scrape;
    uint64_t max_torrents;
    uint64_t max_peers;
    bool trust_ip_param; /* believe the address a request names for itself */
    bool has_external4, has_external6;
    struct addr external4, external6; /* handed out for peers from private ranges */
    uint64_t seed;                    /* random choices of this tracker */
};

/* Both clocks at one moment. */
struct tracker_time {
    uint64_t mono_ms;
    int64_t unix_ms;
};

struct tracker;
struct tracker_worker;

/* n_workers handles; cfg is copied. Never fails. */
struct tracker *tracker_new(const struct tracker_cfg *cfg, size_t n_workers,
                            struct tracker_time now);
void tracker_free(struct tracker *t);
const struct tracker_cfg *tracker_cfg(const struct tracker *t);

/* ---- workers ---------------------------------------------------------------------------- */

struct tracker_worker *tracker_worker(struct tracker *t, size_t index);
struct stats_block *tracker_worker_stats(struct tracker_worker *w);
/* What comes through this handle is the server's own: it is not asked for an access key. */
void tracker_worker_needs_no_key(struct tracker_worker *w);

/* Around every batch of requests: sets the time and takes the current access lists. Between end
 * and the next begin the worker holds nothing back. */
void tracker_begin(struct tracker_worker *w, struct tracker_time now);
void tracker_end(struct tracker_worker *w);

/* Where the peers of an answer are to be written. The ids may be NULL. */
struct peer_room {
    uint8_t *peers4; /* COMPACT4_LEN bytes a peer */
    uint8_t *peers6; /* COMPACT6_LEN bytes a peer */
    struct peer_id *ids4;
    struct peer_id *ids6;
    uint32_t cap4; /* peers; 0: none of this family */
    uint32_t cap6;
};

/* An announce and its answer. */
struct tracker_visit {
    const struct announce_req *req;
    struct peer_room room;
    /* out */
    int status; /* 0 and reply, or an error and failure */
    struct announce_reply reply;
    struct announce_failure failure;
};

enum { TRACKER_VISITS_MAX = 64 };

/* Up to TRACKER_VISITS_MAX announces inside begin/end: each as by tracker_announce, those of one
 * torrent in their order. What they wait for is asked from memory for all together. */
void tracker_announce_all(struct tracker_worker *w, struct tracker_visit *visits, size_t n);

/* One announce inside begin/end: checks key and whitelist, records the peer, chooses peers.
 *
 * A peer from a private address is recorded and handed out as cfg.external4 or external6.
 *
 * req->from is the connection's address (mapped IPv4 unwrapped); req->port the announced port.
 * returns  0 with *out filled (spans point into room), or ERR_DENIED / ERR_INVALID
 *          with *failure filled with static text. Counts peers_*, completed and refused_*.
 * full     a new peer that a full table has no room for is not recorded, but answered like the
 *          others, with out->warning: it can find peers, only they do not find it.
 * numwant  unset: 50; then min(max_numwant); the sum over both families stays within it, each
 *          within its cap. Never the asking endpoint itself; for a seeder leechers only.
 */
int tracker_announce(struct tracker_worker *w, const struct announce_req *req,
                     const struct peer_room *room, struct announce_reply *out,
                     struct announce_failure *failure);

/* n counts in the order of hashes. Unknown or not whitelisted hashes: zeros. In a private mode
 * without a valid key: zeros for all, ERR_DENIED with *failure (the counts are filled all the
 * same, so that UDP, which cannot carry a key, answers zeros). */
int tracker_scrape(struct tracker_worker *w, struct span key, const struct infohash *hashes,
                   size_t n, struct scrape_counts *out, struct announce_failure *failure);

/* Drop silent peers in some shards, for at most budget_us of work; called often, by one worker at
 * a time (the caller sees to that). Returns true when a whole round is done. clock_us gives the
 * time for the budget. */
bool tracker_sweep(struct tracker_worker *w, uint32_t budget_us, uint64_t (*clock_us)(void));

/* ---- access lists (main loop) ------------------------------------------------------------ */

struct access_key {
    char key[ACCESS_KEY_LEN + 1];
    char label[65]; /* UTF-8, may be empty */
    bool permanent; /* expires_unix_ms does not count */
    int64_t expires_unix_ms;
    int64_t last_used_unix_s; /* 0: never */
    int64_t created_unix_s;
};

bool tracker_whitelist_has(struct tracker *t, const struct infohash *hash);
size_t tracker_whitelist_count(struct tracker *t);
/* Idempotent. One swap for all n. Removing in a listed mode drops the torrents' peers too. */
void tracker_whitelist_add(struct tracker *t, const struct infohash *hashes, size_t n);
void tracker_whitelist_remove(struct tracker *t, const struct infohash *hashes, size_t n);
/* Whole new content: begin, add in any order and any number of calls, then commit swaps at once
 * (hashes that are gone lose their peers in a listed mode), or abort. One load at a time. */
void tracker_whitelist_load_begin(struct tracker *t);
void tracker_whitelist_load_add(struct tracker *t, const struct infohash *hash);
void tracker_whitelist_load_commit(struct tracker *t);
void tracker_whitelist_load_abort(struct tracker *t);
/* Up to cap hashes above *after (NULL: from the start) in ascending order; returns their number. */
size_t tracker_whitelist_list(struct tracker *t, const struct infohash *after, struct infohash *out,
                              size_t cap);

/* Keys: put adds or replaces (last use is kept when it is later), remove says if it was there. */
void tracker_key_put(struct tracker *t, const struct access_key *key);
bool tracker_key_remove(struct tracker *t, struct span key);
bool tracker_key_get(struct tracker *t, struct span key, struct access_key *out);
size_t tracker_key_count(struct tracker *t);
void tracker_key_load_begin(struct tracker *t);
void tracker_key_load_add(struct tracker *t, const struct access_key *key);
void tracker_key_load_commit(struct tracker *t);
void tracker_key_load_abort(struct tracker *t);
/* After a commit or an abort, until it returns false: frees a slice of what is not needed any more,
 * some tenths of a millisecond. */
bool tracker_reclaim(struct tracker *t);
/* Ascending by key text, like tracker_whitelist_list; after: empty from the start. */
size_t tracker_key_list(struct tracker *t, struct span after, struct access_key *out, size_t cap);
/* Keys used since the last call (at most cap): key and last_used_unix_s are filled. */
size_t tracker_key_take_used(struct tracker *t, struct access_key *out, size_t cap);

/* ---- completed counts (main loop) -------------------------------------------------------- */

struct completed_count {
    struct infohash info_hash;
    uint32_t n;
};

/* The stored count of a torrent, at start or after a flush: what is shown from now on is this
 * plus what was counted here and not taken yet. Taking and giving back change nothing that is
 * shown: what was taken shows until the set that follows the flush has it. */
void tracker_completed_set(struct tracker *t, const struct infohash *hash, uint32_t stored);
/* Counts gathered since the last take (at most cap torrents), to be added to the database. */
size_t tracker_completed_take(struct tracker *t, struct completed_count *out, size_t cap);
/* Put back what could not be stored. */
void tracker_completed_give_back(struct tracker *t, const struct completed_count *counts, size_t n);

/* ---- views (main loop) ------------------------------------------------------------------- */

struct tracker_totals {
    uint64_t torrents; /* swarms with at least one peer */
    uint64_t seeders;
    uint64_t leechers;
    uint64_t completed; /* over all torrents ever known, stored counts included */
    uint64_t peers4, peers6;
    uint64_t whitelisted, keys;
    size_t memory_len; /* bytes of the swarm tables, roughly */
};

void tracker_totals(struct tracker *t, struct tracker_totals *out);
void tracker_stats(struct tracker *t, struct stats_totals *out);
/* The longest gap of each worker's loop lately (stats.h), of at most cap; returns how many. */
size_t tracker_loop_gaps(const struct tracker *t, uint64_t *gaps_us, size_t cap);

struct torrent_row {
    struct infohash info_hash;
    struct scrape_counts counts;
};

/* Torrents with peers, in ascending order of their hashes, a slice at a time: a bounded number of
 * shards a call. Start with a zeroed cursor; skip (rows) is counted down in it. rows has room for
 * cap entries. returns the rows written, which may be 0 before the end; cursor->done at the end. */
struct torrent_cursor {
    uint64_t skip;
    bool done;
    /* private */
    uint32_t shard;
    bool inside; /* what follows is valid: continue in the middle of this shard */
    struct infohash last;
    uint32_t swarm;
    uint64_t peer;
};
size_t tracker_list(struct tracker *t, struct torrent_cursor *cursor, struct torrent_row *rows,
                    size_t cap);

/* One torrent; ERR_NOT_FOUND when it has no peers. */
int tracker_torrent(struct tracker *t, const struct infohash *hash, struct torrent_row *out);

struct peer_row {
    struct infohash info_hash;
    struct endpoint endpoint; /* as handed out */
    struct peer_id peer_id;
    uint64_t uploaded, downloaded, left;
    enum announce_event event;
    int64_t updated_unix_ms;      /* last announce */
    char key[ACCESS_KEY_LEN + 1]; /* access key of its last announce; empty: none */
};

/* The peers of one torrent from position *at on (0 first; it is moved on), at most cap. Peers that
 * come or go between calls may be missed or seen twice. Returns the rows written, 0 at the end. */
size_t tracker_peers(struct tracker *t, const struct infohash *hash, size_t *at,
                     struct peer_row *rows, size_t cap);

/* Which peers are looked for: what is set must match. */
struct peer_filter {
    bool by_ip, by_peer_id, by_key;
    struct addr ip;
    struct peer_id peer_id;
    char key[ACCESS_KEY_LEN + 1];
};

/* All matching peers in no order, a bounded number of peers looked at a call; otherwise like
 * tracker_list. The cursor's skip is not used. Peers that move meanwhile may be seen twice. */
size_t tracker_find_peers(struct tracker *t, struct torrent_cursor *cursor,
                          const struct peer_filter *filter, struct peer_row *rows, size_t cap);

/* Forget all peers of a torrent; ERR_NOT_FOUND when it had none. */
int tracker_forget(struct tracker *t, const struct infohash *hash);

#endif
