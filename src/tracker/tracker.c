/* An announce: key and whitelist (policy, by the snapshot that tracker_begin took), who the peer is
 * (address and port), then the swarm. Whatever is refused leaves no trace but a counter.
 *
 * A peer may be recorded a moment after its torrent left the whitelist, by a worker that still
 * holds the snapshot of before. The sweep asks the whitelist again for every torrent, so such a
 * peer is gone within a round; that is also how the many torrents of a reload go in slices.
 */
#include "tracker/tracker.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tracker/access.h"
#include "tracker/policy.h"
#include "tracker/swarm.h"
#include "tracker/swarm_view.h"

#include "base/banned.h"

_Static_assert((int)TRACKER_VISITS_MAX == (int)SWARM_VISITS_MAX, "one batch is one batch");

enum {
    RECLAIM_AT_ONCE = 512,
    GONE_AT_ONCE = 4096, /* hashes a reload compares itself; the sweep does the rest */
};

struct tracker_worker {
    struct access_slot slot;
    struct stats_block stats;
    struct tracker *tracker;
    const struct access_list *list; /* between begin and end */
    struct tracker_time now;
    struct rng rng;
    bool needs_no_key;
};

struct tracker {
    struct tracker_cfg cfg;
    struct access *access;
    struct swarms *swarms;
    struct tracker_worker **workers;
    const struct access_slot **slots;
    size_t n_workers;
    struct stats_block *main_stats; /* what the main loop counts */
    _Atomic int64_t unix_offset_ms; /* wall clock minus monotonic clock */
};

/* ---- life ---------------------------------------------------------------------------------- */

/* Independent secrets out of the one seed; none gives away the seed or another. */
static uint64_t derive(uint64_t seed, uint64_t what)
{
    struct siphash_key key = {{0}};
    memcpy(key.b, &seed, sizeof seed);
    return digest_siphash(&key, span_of(&what, sizeof what));
}

static void *aligned_zeroed(size_t align, size_t len)
{
    void *p = aligned_alloc(align, len);
    ASSERT(p != NULL);
    memset(p, 0, len);
    return p;
}

static void note_clocks(struct tracker *t, struct tracker_time now)
{
    int64_t offset_ms = now.unix_ms - (int64_t)now.mono_ms;
    int64_t known_ms = atomic_load_explicit(&t->unix_offset_ms, memory_order_relaxed);
    int64_t drift_ms = offset_ms - known_ms;
    /* Not with every batch: the workers share this line. */
    if (drift_ms > 500 || drift_ms < -500) {
        atomic_store_explicit(&t->unix_offset_ms, offset_ms, memory_order_relaxed);
    }
}

struct tracker *tracker_new(const struct tracker_cfg *cfg, size_t n_workers,
                            struct tracker_time now)
{
    struct tracker *t = mem_new(struct tracker);
    struct swarms_cfg swarms = {.max_torrents = cfg->max_torrents, .max_peers = cfg->max_peers};
    struct siphash_key key_secret;
    uint64_t secret[2] = {derive(cfg->seed, 0), derive(cfg->seed, 1)};
    ASSERT(cfg->peer_timeout_s > 0 && cfg->max_numwant <= NUMWANT_LIMIT);
    memcpy(key_secret.b, secret, sizeof key_secret.b);
    for (uint64_t i = 0; i < 4; i++) {
        swarms.seed.s[i] = derive(cfg->seed, 2 + i);
    }
    t->cfg = *cfg;
    t->n_workers = n_workers;
    t->workers = mem_array(n_workers, sizeof(t->workers[0]));
    t->slots = mem_array(n_workers, sizeof(t->slots[0]));
    for (size_t i = 0; i < n_workers; i++) {
        struct tracker_worker *w =
            aligned_zeroed(_Alignof(struct tracker_worker), sizeof(struct tracker_worker));
        w->tracker = t;
        w->now = now;
        w->rng.state = derive(cfg->seed, 6 + i);
        t->workers[i] = w;
        t->slots[i] = &w->slot;
    }
    t->main_stats = aligned_zeroed(_Alignof(struct stats_block), sizeof(struct stats_block));
    t->swarms = swarms_new(&swarms);
    t->access = access_new(&swarms.seed, &key_secret, t->slots, n_workers);
    atomic_store(&t->unix_offset_ms, now.unix_ms - (int64_t)now.mono_ms);
    return t;
}

void tracker_free(struct tracker *t)
{
    if (t == NULL) {
        return;
    }
    access_free(t->access);
    swarms_free(t->swarms);
    for (size_t i = 0; i < t->n_workers; i++) {
        free(t->workers[i]);
    }
    free(t->workers);
    free(t->slots);
    free(t->main_stats);
    free(t);
}

const struct tracker_cfg *tracker_cfg(const struct tracker *t)
{
    return &t->cfg;
}

/* ---- workers ------------------------------------------------------------------------------- */

struct tracker_worker *tracker_worker(struct tracker *t, size_t index)
{
    ASSERT(index < t->n_workers);
    return t->workers[index];
}

void tracker_worker_needs_no_key(struct tracker_worker *w)
{
    w->needs_no_key = true;
}

struct stats_block *tracker_worker_stats(struct tracker_worker *w)
{
    return &w->stats;
}

void tracker_begin(struct tracker_worker *w, struct tracker_time now)
{
    w->now = now;
    note_clocks(w->tracker, now);
    w->list = access_hold(w->tracker->access, &w->slot);
}

void tracker_end(struct tracker_worker *w)
{
    access_let_go(&w->slot);
    w->list = NULL;
}

static uint32_t now_s(const struct tracker_worker *w)
{
    return (uint32_t)(w->now.mono_ms / 1000);
}

static struct policy policy_of(const struct tracker_worker *w)
{
    return (struct policy){
        .mode = w->tracker->cfg.mode,
        .access = w->tracker->access,
        .list = w->list,
        .now_unix_ms = w->now.unix_ms,
    };
}

/* Marks the key as used and gives its id. */
static int admit_key(struct tracker_worker *w, struct span key, uint32_t *key_id,
                     struct announce_failure *failure)
{
    struct tracker *t = w->tracker;
    struct key_entry *entry;
    const struct policy policy = policy_of(w);
    *key_id = 0;
    if (w->needs_no_key) {
        return 0;
    }
    int status = policy_check_key(&policy, key, &entry, failure);
    if (status != 0) {
        stats_count(&w->stats, COUNT_refused_key);
    } else if (entry != NULL) {
        *key_id = key_entry_id(entry);
        access_mark_used(t->access, entry, w->now.unix_ms / 1000);
    }
    return status;
}

static int admit_hash(struct tracker_worker *w, const struct infohash *hash,
                      struct announce_failure *failure)
{
    const struct policy policy = policy_of(w);
    int status = policy_check_hash(&policy, hash, failure);
    if (status != 0) {
        stats_count(&w->stats, COUNT_refused_whitelist);
    }
    return status;
}

static struct endpoint identity(const struct tracker_cfg *cfg, const struct announce_req *req)
{
    struct endpoint e = {.addr = req->from, .port = req->port};
    if (cfg->trust_ip_param && req->has_ip) {
        e.addr = req->ip;
    }
    if (addr_is_private(&e.addr) && (e.addr.v6 ? cfg->has_external6 : cfg->has_external4)) {
        e.addr = e.addr.v6 ? cfg->external6 : cfg->external4;
    }
    return e;
}

static uint32_t numwant(const struct tracker_cfg *cfg, const struct announce_req *req)
{
    uint32_t n = req->numwant < 0 ? NUMWANT_DEFAULT : (uint32_t)req->numwant;
    return n < cfg->max_numwant ? n : cfg->max_numwant;
}

/* Longer by up to 10 %, never shorter, so that clients do not come in waves. */
static uint32_t interval_s(const struct tracker_cfg *cfg, struct rng *rng)
{
    return cfg->announce_interval_s + rng_below(rng, cfg->announce_interval_s / 10 + 1);
}

static void count_answer(struct stats_block *stats, const struct swarm_answer *answer)
{
    if (answer->added) {
        stats_count(stats, COUNT_peers_added);
    }
    if (answer->removed) {
        stats_count(stats, COUNT_peers_removed);
    }
    if (answer->completed) {
        stats_count(stats, COUNT_completed);
    }
    stats_add(stats, COUNT_peers_sent, answer->n4 + answer->n6);
}

/* Whether it may be recorded: then *out is filled, else the visit is answered. */
static bool admit(struct tracker_worker *w, struct tracker_visit *v, struct swarm_visit *out)
{
    const struct tracker_cfg *cfg = &w->tracker->cfg;
    const struct announce_req *req = v->req;
    if (req->port == 0) {
        v->failure = (struct announce_failure){.reason = SPAN("port must be 1 to 65535")};
        v->status = ERR_INVALID;
        return false;
    }
    v->status = admit_key(w, req->key, &out->key_id, &v->failure);
    if (v->status == 0) {
        v->status = admit_hash(w, &req->info_hash, &v->failure);
    }
    out->req = req;
    out->room = &v->room;
    out->now_s = now_s(w);
    out->identity = identity(cfg, req);
    out->numwant = numwant(cfg, req);
    return v->status == 0;
}

static void fill_reply(struct tracker_worker *w, const struct swarm_answer *answer,
                       struct tracker_visit *v)
{
    const struct tracker_cfg *cfg = &w->tracker->cfg;
    const struct peer_room *room = &v->room;
    if (answer->status != 0) {
        stats_count(&w->stats, COUNT_refused_limit);
    }
    count_answer(&w->stats, answer);
    v->reply = (struct announce_reply){
        .interval_s = interval_s(cfg, &w->rng),
        .min_interval_s = cfg->min_announce_interval_s,
        .counts = answer->counts,
        .peers4 = span_of(room->peers4, (size_t)answer->n4 * COMPACT4_LEN),
        .peers6 = span_of(room->peers6, (size_t)answer->n6 * COMPACT6_LEN),
        .peer4_ids = room->ids4,
        .peer6_ids = room->ids6,
        .warning = answer->status != 0
                       ? SPAN("the tracker is full: others do not see this peer yet")
                       : (struct span){NULL, 0},
    };
}

void tracker_announce_all(struct tracker_worker *w, struct tracker_visit *visits, size_t n)
{
    struct swarm_visit admitted[TRACKER_VISITS_MAX];
    struct tracker_visit *of[TRACKER_VISITS_MAX];
    size_t n_admitted = 0;
    ASSERT(w->list != NULL && n <= TRACKER_VISITS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (admit(w, &visits[i], &admitted[n_admitted])) {
            of[n_admitted++] = &visits[i];
        }
    }
    swarms_announce(w->tracker->swarms, admitted, n_admitted, &w->rng);
    for (size_t i = 0; i < n_admitted; i++) {
        fill_reply(w, &admitted[i].answer, of[i]);
    }
}

int tracker_announce(struct tracker_worker *w, const struct announce_req *req,
                     const struct peer_room *room, struct announce_reply *out,
                     struct announce_failure *failure)
{
    struct tracker_visit visit = {.req = req, .room = *room};
    tracker_announce_all(w, &visit, 1);
    if (visit.status == 0) {
        *out = visit.reply;
    } else {
        *failure = visit.failure;
    }
    return visit.status;
}

int tracker_scrape(struct tracker_worker *w, struct span key, const struct infohash *hashes,
                   size_t n, struct scrape_counts *out, struct announce_failure *failure)
{
    struct tracker *t = w->tracker;
    uint32_t key_id;
    ASSERT(w->list != NULL);
    int status = admit_key(w, key, &key_id, failure);
    if (status != 0) {
        memset(out, 0, n * sizeof *out);
        return status;
    }
    swarms_scrape(t->swarms, hashes, n, out);
    for (size_t i = 0; mode_is_listed(t->cfg.mode) && i < n; i++) {
        if (!access_has_hash(t->access, w->list, &hashes[i])) {
            out[i] = (struct scrape_counts){0};
        }
    }
    return 0;
}

static bool keep_listed(void *ctx, const struct infohash *hash)
{
    struct tracker_worker *w = ctx;
    return access_has_hash(w->tracker->access, w->list, hash);
}

bool tracker_sweep(struct tracker_worker *w, uint32_t budget_us, uint64_t (*clock_us)(void))
{
    const struct tracker_cfg *cfg = &w->tracker->cfg;
    uint32_t seconds = now_s(w);
    uint32_t cutoff_s = seconds > cfg->peer_timeout_s ? seconds - cfg->peer_timeout_s : 0;
    swarms_keep keep = mode_is_listed(cfg->mode) ? keep_listed : NULL;
    struct swarms_swept swept = {0};
    uint64_t start_us = clock_us();
    bool round = false;
    /* A snapshot of its own: the sweep may run outside of begin and end. */
    bool outside = w->list == NULL;
    if (outside) {
        w->list = access_hold(w->tracker->access, &w->slot);
    }
    do {
        round = swarms_sweep(w->tracker->swarms, cutoff_s, keep, w, &swept);
    } while (!round && clock_us() - start_us < budget_us);
    if (outside) {
        tracker_end(w);
    }
    stats_add(&w->stats, COUNT_peers_expired, swept.expired);
    stats_add(&w->stats, COUNT_peers_forgotten, swept.forgotten);
    return round;
}

/* ---- access lists -------------------------------------------------------------------------- */

bool tracker_whitelist_has(struct tracker *t, const struct infohash *hash)
{
    return access_has_hash(t->access, access_current(t->access), hash);
}

size_t tracker_whitelist_count(struct tracker *t)
{
    return access_hash_count(t->access);
}

void tracker_whitelist_add(struct tracker *t, const struct infohash *hashes, size_t n)
{
    access_add_hashes(t->access, hashes, n);
}

static size_t forget(struct tracker *t, const struct infohash *hash)
{
    size_t n = swarms_forget(t->swarms, hash);
    stats_add(t->main_stats, COUNT_peers_forgotten, n);
    return n;
}

static void forget_unlisted(struct tracker *t, const struct infohash *hashes, size_t n)
{
    for (size_t i = 0; mode_is_listed(t->cfg.mode) && i < n; i++) {
        forget(t, &hashes[i]);
    }
}

void tracker_whitelist_remove(struct tracker *t, const struct infohash *hashes, size_t n)
{
    access_remove_hashes(t->access, hashes, n);
    forget_unlisted(t, hashes, n);
}

void tracker_whitelist_load_begin(struct tracker *t)
{
    access_load_hashes_begin(t->access);
}

void tracker_whitelist_load_add(struct tracker *t, const struct infohash *hash)
{
    access_load_hash(t->access, hash);
}

void tracker_whitelist_load_commit(struct tracker *t)
{
    struct infohash *gone = mem_array(GONE_AT_ONCE, sizeof *gone);
    forget_unlisted(t, gone, access_load_hashes_commit(t->access, gone, GONE_AT_ONCE));
    free(gone);
}

void tracker_whitelist_load_abort(struct tracker *t)
{
    access_load_hashes_abort(t->access);
}

size_t tracker_whitelist_list(struct tracker *t, const struct infohash *after, struct infohash *out,
                              size_t cap)
{
    return access_list_hashes(t->access, after, out, cap);
}

void tracker_key_put(struct tracker *t, const struct access_key *key)
{
    access_put_key(t->access, key);
}

bool tracker_key_remove(struct tracker *t, struct span key)
{
    return access_remove_key(t->access, key);
}

bool tracker_key_get(struct tracker *t, struct span key, struct access_key *out)
{
    return access_get_key(t->access, key, out);
}

size_t tracker_key_count(struct tracker *t)
{
    return access_key_count(t->access);
}

void tracker_key_load_begin(struct tracker *t)
{
    access_load_keys_begin(t->access);
}

void tracker_key_load_add(struct tracker *t, const struct access_key *key)
{
    access_load_key(t->access, key);
}

void tracker_key_load_commit(struct tracker *t)
{
    access_load_keys_commit(t->access);
}

void tracker_key_load_abort(struct tracker *t)
{
    access_load_keys_abort(t->access);
}

bool tracker_reclaim(struct tracker *t)
{
    return access_reclaim(t->access, RECLAIM_AT_ONCE);
}

size_t tracker_key_list(struct tracker *t, struct span after, struct access_key *out, size_t cap)
{
    return access_list_keys(t->access, after, out, cap);
}

size_t tracker_key_take_used(struct tracker *t, struct access_key *out, size_t cap)
{
    return access_take_used(t->access, out, cap);
}

/* ---- completed counts ---------------------------------------------------------------------- */

void tracker_completed_set(struct tracker *t, const struct infohash *hash, uint32_t stored)
{
    swarms_completed_set(t->swarms, hash, stored);
}

size_t tracker_completed_take(struct tracker *t, struct completed_count *out, size_t cap)
{
    return swarms_completed_take(t->swarms, out, cap);
}

void tracker_completed_give_back(struct tracker *t, const struct completed_count *counts, size_t n)
{
    swarms_completed_give_back(t->swarms, counts, n);
}

/* ---- views --------------------------------------------------------------------------------- */

void tracker_totals(struct tracker *t, struct tracker_totals *out)
{
    swarm_view_totals(t->swarms, out);
    out->whitelisted = access_hash_count(t->access);
    out->keys = access_key_count(t->access);
}

void tracker_stats(struct tracker *t, struct stats_totals *out)
{
    memset(out, 0, sizeof *out);
    stats_sum(out, t->main_stats);
    for (size_t i = 0; i < t->n_workers; i++) {
        stats_sum(out, &t->workers[i]->stats);
    }
}

size_t tracker_loop_gaps(const struct tracker *t, uint64_t *gaps_us, size_t cap)
{
    size_t n = t->n_workers < cap ? t->n_workers : cap;
    for (size_t i = 0; i < n; i++) {
        gaps_us[i] = stats_loop_gap_max_us(&t->workers[i]->stats);
    }
    return n;
}

size_t tracker_list(struct tracker *t, struct torrent_cursor *cursor, struct torrent_row *rows,
                    size_t cap)
{
    return swarm_view_list(t->swarms, cursor, rows, cap);
}

int tracker_torrent(struct tracker *t, const struct infohash *hash, struct torrent_row *out)
{
    return swarm_view_torrent(t->swarms, hash, out);
}

static const char *key_text(const void *ctx, uint32_t id)
{
    return access_key_text(ctx, id);
}

static struct swarm_view_names names(struct tracker *t)
{
    return (struct swarm_view_names){
        .key_text = key_text,
        .ctx = t->access,
        .unix_offset_ms = atomic_load_explicit(&t->unix_offset_ms, memory_order_relaxed),
    };
}

size_t tracker_peers(struct tracker *t, const struct infohash *hash, size_t *at,
                     struct peer_row *rows, size_t cap)
{
    struct swarm_view_names n = names(t);
    return swarm_view_peers(t->swarms, &n, hash, at, rows, cap);
}

size_t tracker_find_peers(struct tracker *t, struct torrent_cursor *cursor,
                          const struct peer_filter *filter, struct peer_row *rows, size_t cap)
{
    struct swarm_view_names n = names(t);
    struct swarm_view_filter by = {.filter = filter};
    if (filter->by_key) {
        const struct key_entry *k =
            access_find_key(t->access, access_current(t->access),
                            span_of(filter->key, strnlen(filter->key, ACCESS_KEY_LEN)));
        by.key_id = k == NULL ? 0 : key_entry_id(k);
        if (by.key_id == 0) {
            cursor->done = true;
            return 0;
        }
    }
    return swarm_view_find(t->swarms, &n, cursor, &by, rows, cap);
}

int tracker_forget(struct tracker *t, const struct infohash *hash)
{
    return forget(t, hash) == 0 ? ERR_NOT_FOUND : 0;
}
