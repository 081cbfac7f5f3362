/* Commandments of a swarm.
 *
 * 1. A peer is its address and port; whoever announces them again is that peer.
 * 2. left == 0 is a seeder, all else a leecher.
 * 3. A completed event counts once a download, and only from a peer already known. A peer whose
 *    first word is "completed", or that was complete when it came, has nothing left to count;
 *    "started" with something left begins a new download.
 * 4. stopped removes at once, creates nothing, and is given no peers.
 * 5. A swarm without peers does not exist. Its completed count rests until it exists again.
 */
#include "tracker/swarm.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/compact.h"
#include "tracker/swarm_choose.h"
#include "tracker/swarm_shard.h"

#include "base/banned.h"

struct swarms *swarms_new(const struct swarms_cfg *cfg)
{
    struct swarms *s = aligned_alloc(_Alignof(struct swarms), sizeof *s);
    ASSERT(s != NULL);
    memset(s, 0, sizeof *s);
    s->cfg = *cfg;
    for (size_t i = 0; i < SWARM_MEMORIES; i++) {
        swarm_memory_init(&s->memories[i]);
    }
    for (size_t i = 0; i < SWARM_SHARDS; i++) {
        struct shard *sh = &s->shard[i];
        struct swarm_memory *memory = &s->memories[i * SWARM_MEMORIES / SWARM_SHARDS];
        swarm_array_init(&sh->array, memory, &cfg->seed);
        sh->index.memory = memory;
    }
    return s;
}

void shard_free_taken(struct swarm_memory *memory, struct swarm *taken)
{
    uint32_t all = UINT32_MAX;
    ASSERT(swarm_array_free(memory, taken, &all));
}

void swarms_free(struct swarms *s)
{
    if (s == NULL) {
        return;
    }
    if (s->sweep.gone_memory != NULL) {
        shard_free_taken(s->sweep.gone_memory, &s->sweep.gone);
    }
    for (size_t i = 0; i < SWARM_SHARDS; i++) {
        struct shard *sh = &s->shard[i];
        swarm_array_release(&sh->array);
        swarm_table_release(&sh->index);
        swarm_counts_release(&sh->resting);
        swarm_counts_release(&sh->untaken);
    }
    for (size_t i = 0; i < SWARM_MEMORIES; i++) {
        swarm_memory_release(&s->memories[i]);
    }
    free(s);
}

/* ---- limits -------------------------------------------------------------------------------- */

static bool reserve(_Atomic uint64_t *used, uint64_t max)
{
    if (atomic_fetch_add_explicit(used, 1, memory_order_relaxed) < max) {
        return true;
    }
    atomic_fetch_sub_explicit(used, 1, memory_order_relaxed);
    return false;
}

static void give_up(_Atomic uint64_t *used, uint64_t n)
{
    atomic_fetch_sub_explicit(used, n, memory_order_relaxed);
}

/* ---- completed counts ---------------------------------------------------------------------- */

/* Sets a count in one of the two side tables within its limit. What does not fit is dropped: of
 * resting counts the database has the truth, and it is shown again after the next flush. */
static void side_set(struct swarms *s, struct swarm_counts *counts, _Atomic uint64_t *used,
                     const struct infohash *hash, uint32_t n)
{
    uint32_t before = counts->n;
    bool is_new = n > 0 && swarm_counts_get(counts, &s->cfg.seed, hash) == 0;
    if (is_new && !reserve(used, s->cfg.max_torrents)) {
        return;
    }
    bool fits = swarm_counts_set(counts, &s->cfg.seed, hash, n);
    if ((is_new && !fits) || counts->n < before) {
        give_up(used, 1);
    }
}

static void rest(struct swarms *s, struct shard *sh, const struct infohash *hash, uint32_t n)
{
    sh->completed -= swarm_counts_get(&sh->resting, &s->cfg.seed, hash);
    side_set(s, &sh->resting, &s->n_resting, hash, n);
    sh->completed += swarm_counts_get(&sh->resting, &s->cfg.seed, hash);
}

static void add_untaken(struct swarms *s, struct shard *sh, const struct infohash *hash, uint32_t n)
{
    uint32_t before = swarm_counts_get(&sh->untaken, &s->cfg.seed, hash);
    uint32_t sum = n > UINT32_MAX - before ? UINT32_MAX : before + n;
    side_set(s, &sh->untaken, &s->n_untaken, hash, sum);
}

static void count_completed(struct swarms *s, struct shard *sh, struct swarm *m)
{
    if (m->completed < UINT32_MAX) {
        m->completed++;
        sh->completed++;
    }
    add_untaken(s, sh, &m->info_hash, 1);
}

void swarms_completed_set(struct swarms *s, const struct infohash *hash, uint32_t stored)
{
    struct shard *sh = shard_of(s, hash);
    shard_lock(sh);
    uint32_t untaken = swarm_counts_get(&sh->untaken, &s->cfg.seed, hash);
    uint32_t shown = untaken > UINT32_MAX - stored ? UINT32_MAX : stored + untaken;
    uint32_t at = shard_find(sh, hash, hash_infohash(&s->cfg.seed, hash));
    if (at != SWARM_TABLE_NONE) {
        struct swarm *m = swarm_array_at(&sh->array, at);
        sh->completed += (uint64_t)shown - m->completed;
        m->completed = shown;
    } else {
        rest(s, sh, hash, shown);
    }
    shard_unlock(sh);
}

size_t swarms_completed_take(struct swarms *s, struct completed_count *out, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < SWARM_SHARDS && n < cap; i++) {
        struct shard *sh = &s->shard[i];
        shard_lock(sh);
        while (sh->untaken.n > 0 && n < cap) {
            const struct swarm_count last = sh->untaken.at[sh->untaken.n - 1];
            out[n++] = (struct completed_count){last.info_hash, last.n};
            side_set(s, &sh->untaken, &s->n_untaken, &last.info_hash, 0);
        }
        shard_unlock(sh);
    }
    return n;
}

void swarms_completed_give_back(struct swarms *s, const struct completed_count *counts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct shard *sh = shard_of(s, &counts[i].info_hash);
        shard_lock(sh);
        add_untaken(s, sh, &counts[i].info_hash, counts[i].n);
        shard_unlock(sh);
    }
}

/* ---- swarms of a shard ----------------------------------------------------------------------- */

static uint32_t swarm_hash_at(const void *ctx, uint32_t at)
{
    return swarm_array_at(ctx, at)->hash;
}

/* Room for the torrent was reserved. Returns its position. */
static uint32_t shard_create(struct swarms *s, struct shard *sh, const struct infohash *hash,
                             uint32_t h)
{
    struct swarm *m = swarm_array_add(&sh->array, hash, h);
    uint32_t at = sh->array.n - 1;
    m->completed = swarm_counts_get(&sh->resting, &s->cfg.seed, hash);
    if (m->completed > 0) {
        side_set(s, &sh->resting, &s->n_resting, hash, 0);
    }
    swarm_table_insert(&sh->index, h, at, swarm_hash_at, &sh->array);
    return at;
}

size_t shard_take(struct swarms *s, struct shard *sh, uint32_t at, struct swarm *out)
{
    const struct swarm m = *swarm_array_at(&sh->array, at);
    uint32_t last = sh->array.n - 1;
    size_t n = (size_t)m.family[0].n + m.family[1].n;
    sh->peers[0] -= m.family[0].n;
    sh->peers[1] -= m.family[1].n;
    sh->seeders -= m.family[0].n_seeders + m.family[1].n_seeders;
    swarm_table_remove(&sh->index, m.hash, at, swarm_hash_at, &sh->array);
    if (at != last) {
        swarm_table_move(&sh->index, swarm_hash_at(&sh->array, last), last, at);
    }
    *out = swarm_array_take(&sh->array, at);
    sh->completed -= m.completed;
    if (m.completed > 0) {
        rest(s, sh, &m.info_hash, m.completed);
    }
    give_up(&s->n_torrents, 1);
    give_up(&s->n_peers, n);
    return n;
}

bool shard_remove_peer(struct swarms *s, struct shard *sh, uint32_t at, bool v6, uint32_t i)
{
    struct swarm *m = swarm_array_at(&sh->array, at);
    if (m->family[0].n + m->family[1].n == 1) {
        struct swarm last;
        (void)shard_take(s, sh, at, &last);
        shard_free_taken(sh->array.memory, &last);
        return true;
    }
    sh->seeders -= i < m->family[v6].n_seeders;
    sh->peers[v6]--;
    swarm_array_remove_peer(&sh->array, at, v6, i);
    give_up(&s->n_peers, 1);
    return false;
}

/* ---- announce ------------------------------------------------------------------------------ */

struct visitor {
    struct shard *shard;
    bool v6;
    bool stale; /* swarm and peer are to be found again */
    uint8_t wire[COMPACT6_LEN];
    uint32_t hash;  /* of the torrent */
    uint32_t swarm; /* SWARM_TABLE_NONE: there is none */
    uint32_t peer;  /* SWARM_TABLE_NONE: not in it */
    struct swarm_table_probe probe;
};

static int add(struct swarms *s, const struct swarm_visit *v, struct visitor *at)
{
    struct shard *sh = at->shard;
    const struct announce_req *req = v->req;
    const struct peer_cold cold = {
        .peer_id = req->peer_id,
        .uploaded = req->uploaded,
        .downloaded = req->downloaded,
        .left = req->left,
        .last_seen_s = v->now_s,
        .key_id = v->key_id & 0x1fffffff,
        .event = req->event & 3,
        .completed = req->left == 0 || req->event == EVENT_COMPLETED,
    };
    if (!reserve(&s->n_peers, s->cfg.max_peers)) {
        return ERR_LIMIT;
    }
    if (at->swarm == SWARM_TABLE_NONE) {
        bool room = sh->array.n < SWARM_TABLE_MAX;
        if (!room || !reserve(&s->n_torrents, s->cfg.max_torrents)) {
            give_up(&s->n_peers, 1);
            return ERR_LIMIT;
        }
        at->swarm = shard_create(s, sh, &req->info_hash, at->hash);
    } else if (swarm_array_at(&sh->array, at->swarm)->family[at->v6].n >= SWARM_TABLE_MAX - 1) {
        give_up(&s->n_peers, 1);
        return ERR_LIMIT;
    }
    struct swarm *m = swarm_array_at(&sh->array, at->swarm);
    m->oldest_s = m->oldest_s < v->now_s ? m->oldest_s : v->now_s;
    at->peer = swarm_array_add_peer(&sh->array, at->swarm, at->v6, at->wire, &cold, req->left == 0);
    sh->peers[at->v6]++;
    sh->seeders += req->left == 0;
    return 0;
}

/* Returns whether a completed download was counted. */
static bool update(struct swarms *s, const struct swarm_visit *v, struct visitor *at)
{
    struct shard *sh = at->shard;
    const struct announce_req *req = v->req;
    struct swarm *m = swarm_array_at(&sh->array, at->swarm);
    struct peers *f = &m->family[at->v6];
    struct peer_cold *cold = swarm_array_cold(f, at->v6, at->peer);
    bool was_seeder = at->peer < f->n_seeders;
    bool seeder = req->left == 0;
    bool counts = req->event == EVENT_COMPLETED && !cold->completed;
    if (counts) {
        cold->completed = 1;
        count_completed(s, sh, m);
    } else if (req->event == EVENT_STARTED && !seeder) {
        cold->completed = 0;
    }
    cold->peer_id = req->peer_id;
    cold->uploaded = req->uploaded;
    cold->downloaded = req->downloaded;
    cold->left = req->left;
    cold->last_seen_s = v->now_s;
    cold->key_id = v->key_id & 0x1fffffff;
    cold->event = req->event & 3;
    if (seeder != was_seeder) {
        sh->seeders += seeder ? 1 : UINT64_MAX;
        at->peer = swarm_array_set_seeder(&sh->array, f, at->v6, at->peer, seeder);
    }
    return counts;
}

/* How many of each family: in proportion to what there is, rounded at random so that a peer of
 * either family is equally likely; what one cannot fill the other may. */
static void split(const struct swarm_visit *v, const uint32_t have[2], struct rng *rng,
                  uint32_t k[2])
{
    uint32_t room[2] = {min_u32(have[0], v->room->cap4), min_u32(have[1], v->room->cap6)};
    uint64_t both = (uint64_t)have[0] + have[1];
    uint32_t want = v->numwant;
    if (room[0] == 0 || room[1] == 0 || want >= both) {
        k[0] = min_u32(want, room[0]);
    } else {
        uint64_t share = (uint64_t)want * have[0];
        uint32_t rest_of = (uint32_t)(share % both);
        k[0] = (uint32_t)(share / both) + (rng_next(rng) % both < rest_of);
        k[0] = min_u32(k[0], room[0]);
    }
    k[1] = min_u32(want - k[0], room[1]);
    k[0] = min_u32(want - k[1], room[0]);
}

static void choose(struct swarm_visit *v, const struct visitor *at, struct rng *rng)
{
    const struct swarm *m = swarm_array_at(&at->shard->array, at->swarm);
    const struct peer_room *room = v->room;
    struct peers_range ranges[2];
    uint32_t have[2];
    uint32_t k[2];
    if (v->numwant == 0) {
        return;
    }
    for (int v6 = 0; v6 < 2; v6++) {
        uint32_t self = at->v6 == (v6 == 1) ? at->peer : SWARM_TABLE_NONE;
        bool wanted = (v6 ? room->cap6 : room->cap4) > 0;
        ranges[v6] = swarm_range(&m->family[v6], v6 == 1, v->req->left == 0, self);
        have[v6] = wanted ? peers_range_count(&ranges[v6]) : 0;
    }
    split(v, have, rng, k);
    if (k[0] > 0) {
        swarm_choose(&ranges[0], k[0], rng, room->peers4, room->ids4);
    }
    if (k[1] > 0) {
        swarm_choose(&ranges[1], k[1], rng, room->peers6, room->ids6);
    }
    v->answer.n4 = k[0];
    v->answer.n6 = k[1];
}

static const struct peers *peers_of(const struct visitor *at)
{
    return &swarm_array_at(&at->shard->array, at->swarm)->family[at->v6];
}

static void find(const struct swarm_visit *v, struct visitor *at)
{
    at->swarm = shard_find(at->shard, &v->req->info_hash, at->hash);
    at->peer = SWARM_TABLE_NONE;
    if (at->swarm != SWARM_TABLE_NONE) {
        at->peer = swarm_array_find_peer(&at->shard->array, peers_of(at), at->v6, at->wire);
    }
    at->stale = false;
}

/* As find, for the rest of what find_together has begun. */
static void find_peer(struct visitor *at)
{
    at->peer = SWARM_TABLE_NONE;
    at->stale = false;
    if (at->swarm == SWARM_TABLE_NONE) {
        return;
    }
    const struct peers *f = peers_of(at);
    at->peer = swarm_array_find_peer(&at->shard->array, f, at->v6, at->wire);
    if (at->peer != SWARM_TABLE_NONE) {
        const struct peer_cold *cold = swarm_array_cold(f, at->v6, at->peer);
        __builtin_prefetch(cold, 1);
        __builtin_prefetch((const uint8_t *)(cold + 1) - 1, 1);
    }
}

/* Finds what n visitors look for: each wait for memory is begun for all before the first goes on. */
static void find_together(const struct swarm_visit *v, struct visitor *at, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        at[i].swarm = swarm_table_find(&at[i].shard->index, at[i].hash, &at[i].probe);
        if (at[i].swarm != SWARM_TABLE_NONE) {
            swarm_array_prefetch_at(&at[i].shard->array, at[i].swarm);
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (at[i].swarm != SWARM_TABLE_NONE) {
            __builtin_prefetch(swarm_array_at(&at[i].shard->array, at[i].swarm), 1);
        }
    }
    for (size_t i = 0; i < n; i++) {
        at[i].swarm = shard_match(at[i].shard, &v[i].req->info_hash, at[i].swarm, &at[i].probe);
        if (at[i].swarm != SWARM_TABLE_NONE) {
            swarm_array_prefetch_peers(peers_of(&at[i]));
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (at[i].swarm != SWARM_TABLE_NONE) {
            swarm_array_prefetch_find(&at[i].shard->array, peers_of(&at[i]), at[i].v6, at[i].wire);
        }
    }
    for (size_t i = 0; i < n; i++) {
        find_peer(&at[i]);
    }
}

/* Returns whether swarms or peers may be at other positions now. */
static bool record(struct swarms *s, struct swarm_visit *v, struct visitor *at)
{
    struct swarm_answer *out = &v->answer;
    uint32_t peer = at->peer;
    if (v->req->event == EVENT_STOPPED) {
        if (peer == SWARM_TABLE_NONE) {
            return false;
        }
        out->removed = true;
        if (shard_remove_peer(s, at->shard, at->swarm, at->v6, peer)) {
            at->swarm = SWARM_TABLE_NONE;
        }
        return true;
    }
    if (peer == SWARM_TABLE_NONE) {
        out->status = add(s, v, at);
        out->added = out->status == 0;
        return out->added;
    }
    out->completed = update(s, v, at);
    return at->peer != peer;
}

static void answer(struct swarms *s, struct swarm_visit *v, struct visitor *at, struct rng *rng)
{
    v->answer.counts = shard_counts(at->shard, &s->cfg.seed, &v->req->info_hash, at->swarm);
    if (at->swarm != SWARM_TABLE_NONE && v->req->event != EVENT_STOPPED) {
        choose(v, at, rng);
    }
}

static void announce_together(struct swarms *s, struct swarm_visit *v, struct visitor *at, size_t n,
                              struct rng *rng)
{
    struct swarm_lock *locks[SWARM_LOCKS_MAX];
    for (size_t i = 0; i < n; i++) {
        locks[i] = &at[i].shard->lock;
    }
    swarm_lock_take_all(locks, n);
    find_together(v, at, n);
    for (size_t i = 0; i < n; i++) {
        if (at[i].stale) {
            find(&v[i], &at[i]);
        }
        bool moved = record(s, &v[i], &at[i]);
        for (size_t k = i + 1; moved && k < n; k++) {
            at[k].stale |= at[k].shard == at[i].shard;
        }
        answer(s, &v[i], &at[i], rng);
    }
    swarm_lock_release_all(locks, n);
}

void swarms_announce(struct swarms *s, struct swarm_visit *visits, size_t n, struct rng *rng)
{
    struct visitor at[SWARM_VISITS_MAX];
    ASSERT(n <= SWARM_VISITS_MAX);
    for (size_t i = 0; i < n; i++) {
        at[i].shard = shard_of(s, &visits[i].req->info_hash);
        shard_prefetch(at[i].shard);
    }
    for (size_t i = 0; i < n; i++) {
        struct swarm_visit *v = &visits[i];
        v->answer = (struct swarm_answer){.status = 0};
        at[i].v6 = v->identity.addr.v6;
        at[i].hash = hash_infohash(&s->cfg.seed, &v->req->info_hash);
        compact_write(at[i].wire, &v->identity);
        swarm_table_prefetch(&at[i].shard->index, at[i].hash);
    }
    for (size_t from = 0; from < n; from += SWARM_LOCKS_MAX) {
        size_t len = n - from < SWARM_LOCKS_MAX ? n - from : SWARM_LOCKS_MAX;
        announce_together(s, visits + from, at + from, len, rng);
    }
}
