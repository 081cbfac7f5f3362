/* The engine: its parts, what is asked of it, and its time.
 *
 * An input         engine_begin, find the object by its number (gone: nothing to do), let its part
 *                  do the work, engine_end. No input calls another one.
 * At its end       connections and torrents that died in it are freed, announces that may begin are
 *                  given out, and the limits' next turn is known. Nothing there looks at more than
 *                  what has changed.
 * Time             torrents and connections have a node each in a heap; whoever has nothing planned
 *                  is in none. A deadline is moved to an earlier time at once, to a later one when
 *                  the old one is there.
 * End of a torrent torrents that stop or are removed are in engine.ending from the request until
 *                  trackers were told (END_MS at most), the disk is done and the state is stored.
 *
 *   running --engine_stop--> ending --all of that--> stopped (engine_is_idle: all of them)
 *   running --engine_remove--> ending --files gone--> REMOVED, freed at the end of the input
 */
#include "client/engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/engine_impl.h"

#include "base/banned.h"

const struct engine_cfg engine_cfg_default = {
    .max_peers = 2000,
    .max_peers_per_torrent = 200,
    .max_half_open = 100,
    .connects_per_s = 30,
    .max_disk_queue_len = 64 << 20,
    .pex = true,
    .announce_to_own_tracker = true,
    .version = "Rookery",
};

/* ---- new and free ---- */

static void init_lists(struct engine *e)
{
    struct list *const lists[] = {
        &e->sessions,        &e->torrents, &e->all_conns, &e->dead,    &e->gone,
        &e->strangers,       &e->sendable, &e->readable,  &e->stalled, &e->connecting,
        &e->connecting_done, &e->dirty,    &e->ending,
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        list_init(lists[i]);
    }
}

struct engine *engine_new(const struct engine_cfg *cfg, uint64_t now_ms)
{
    struct engine *e = mem_new(struct engine);
    e->cfg = *cfg;
    e->now_ms = now_ms;
    e->limit_ms = UINT64_MAX;
    e->rng.state = cfg->seed;
    for (size_t i = 0; i < sizeof e->seed.b; i++) {
        e->seed.b[i] = (uint8_t)rng_next(&e->rng);
    }
    init_lists(e);
    map_init(&e->by_hash, &e->seed);
    map_init(&e->by_id, &e->seed);
    map_init(&e->conns, &e->seed);
    limiter_init(&e->down);
    limiter_init(&e->up);
    bucket_set_rate(&e->down.bucket, cfg->max_down_bps, now_ms);
    bucket_set_rate(&e->up.bucket, cfg->max_up_bps, now_ms);
    e->pool = data_pool_new();
    e->announces = announce_queue_new(rng_next(&e->rng));
    e->scraper = scraper_new(rng_next(&e->rng));
    return e;
}

static void unlink_if(struct list *node)
{
    if (list_is_linked(node)) {
        list_remove(node);
    }
}

/* Out of everything; it is freed at the end of the input. */
static void torrent_unlink(struct torrent *t)
{
    struct engine *e = t->e;
    announce_forget(t);
    scrape_forget(t);
    map_remove(&e->by_hash, &t->by_hash);
    map_remove(&e->by_id, &t->by_id);
    list_remove(&t->all_node);
    unlink_if(&t->connect_node);
    unlink_if(&t->save_node);
    unlink_if(&t->ending_node);
    heap_remove(&e->timers, &t->timer);
    t->session->n_torrents--;
    list_add_tail(&e->gone, &t->gone_node);
}

static void free_gone(struct engine *e)
{
    conns_free_dead(e);
    LIST_FOREACH_SAFE (node, &e->gone) {
        struct torrent *t = container_of(node, struct torrent, gone_node);
        list_remove(node);
        free(t->synced_bits);
        torrent_free(t);
    }
}

static void release_outputs(struct engine *e)
{
    for (size_t i = 0; i < e->n_outs; i++) {
        struct engine_out *out = &e->outs[(e->first_out + i) & (e->outs_cap - 1)];
        if (out->kind == ENGINE_OUT_DISK) {
            engine_job_recycle(e, out->job);
        }
    }
    free(e->outs);
    while (e->free_jobs != NULL) {
        struct disk_job *job = e->free_jobs;
        e->free_jobs = job->next;
        free(job);
    }
}

static void session_free(struct session *s)
{
    list_remove(&s->node);
    free(s->listen);
    free(s);
}

void engine_free(struct engine *e)
{
    if (e == NULL) {
        return;
    }
    e->stopping = true;
    LIST_FOREACH_SAFE (node, &e->torrents) {
        container_of(node, struct torrent, all_node)->stopping = true;
    }
    LIST_FOREACH_SAFE (node, &e->all_conns) {
        conn_drop(container_of(node, struct conn, all_node), "the engine ends", false, false);
    }
    LIST_FOREACH_SAFE (node, &e->torrents) {
        struct torrent *t = container_of(node, struct torrent, all_node);
        torrent_unlink(t);
        t->n_jobs = 0; /* whoever still has one keeps it */
    }
    free_gone(e);
    LIST_FOREACH_SAFE (node, &e->sessions) {
        session_free(container_of(node, struct session, node));
    }
    release_outputs(e);
    announce_queue_free(e->announces);
    scraper_free(e->scraper);
    map_release(&e->by_hash);
    map_release(&e->by_id);
    map_release(&e->conns);
    heap_release(&e->timers);
    heap_release(&e->conn_timers);
    data_pool_free(e->pool);
    free(e);
}

/* ---- around every input ---- */

void engine_begin(struct engine *e, uint64_t now_ms)
{
    ASSERT(now_ms >= e->now_ms);
    e->now_ms = now_ms;
}

void engine_end(struct engine *e)
{
    if (!list_is_empty(&e->dead) || !list_is_empty(&e->gone)) {
        free_gone(e);
    }
    if (e->announces_changed) {
        announce_run(e);
    }
    e->limit_ms = limits_deadline_ms(e);
}

/* ---- sessions ---- */

struct session *engine_session(const struct engine *e, session_id id)
{
    LIST_FOREACH_SAFE (node, &e->sessions) {
        struct session *s = container_of(node, struct session, node);
        if (s->id == id) {
            return s;
        }
    }
    return NULL;
}

void engine_add_session(struct engine *e, const struct session_add *add)
{
    ASSERT(engine_session(e, add->id) == NULL);
    struct session *s = mem_new(struct session);
    s->id = add->id;
    s->peer_id = add->peer_id;
    s->key = (uint32_t)rng_next(&e->rng);
    s->n_listen = add->n_listen;
    if (add->n_listen > 0) {
        s->listen = mem_array(add->n_listen, sizeof *s->listen);
        memcpy(s->listen, add->listen, add->n_listen * sizeof *s->listen);
    }
    list_add_tail(&e->sessions, &s->node);
}

void engine_remove_session(struct engine *e, session_id id)
{
    struct session *s = engine_session(e, id);
    if (s == NULL) {
        return;
    }
    ASSERT(s->n_torrents == 0);
    LIST_FOREACH_SAFE (node, &e->strangers) {
        struct conn *c = container_of(node, struct conn, stranger_node);
        if (c->session == s) {
            conn_drop(c, "its session ends", false, true);
        }
    }
    session_free(s);
    engine_end(e);
}

/* ---- torrents in and out ---- */

struct torrent *engine_torrent(const struct engine *e, torrent_id id)
{
    struct map_node *node = map_find(&e->by_id, span_of(&id, sizeof id));
    return node == NULL ? NULL : container_of(node, struct torrent, by_id);
}

torrent_id engine_find(const struct engine *e, const struct infohash *info_hash)
{
    struct map_node *node = map_find(&e->by_hash, span_of(info_hash->b, sizeof info_hash->b));
    return node == NULL ? 0 : container_of(node, struct torrent, by_hash)->id;
}

torrent_id engine_next_torrent(const struct engine *e, torrent_id after)
{
    const struct torrent *t = engine_torrent(e, after);
    const struct list *node = t == NULL ? e->torrents.next : t->all_node.next;
    for (; node != &e->torrents; node = node->next) {
        torrent_id id = container_of(node, struct torrent, all_node)->id;
        if (id > after) { /* `after` may be gone: numbers grow in the order they were added */
            return id;
        }
    }
    return 0;
}

static void torrent_link(struct engine *e, struct torrent *t)
{
    t->id = ++e->last_id;
    t->arm_ms = UINT64_MAX;
    t->connect_ms = UINT64_MAX;
    map_insert(&e->by_hash, &t->by_hash, span_of(t->info_hash.b, sizeof t->info_hash.b));
    map_insert(&e->by_id, &t->by_id, span_of(&t->id, sizeof t->id));
    list_add_tail(&e->torrents, &t->all_node);
    t->session->n_torrents++;
}

int engine_add_torrent(struct engine *e, const struct torrent_add *add, torrent_id *out,
                       uint64_t now_ms, const char **why)
{
    torrent_id existing = engine_find(e, &add->info_hash);
    engine_begin(e, now_ms);
    *out = existing;
    if (existing != 0) {
        *why = "the torrent is here already";
        return ERR_EXISTS;
    }
    if (e->stopping || engine_session(e, add->session) == NULL) {
        *why = e->stopping ? "the client is stopping" : "there is no such session";
        return e->stopping ? ERR_UNAVAILABLE : ERR_NOT_FOUND;
    }
    struct torrent *t = torrent_new(e, add, why);
    if (t == NULL) {
        return ERR_MALFORMED;
    }
    torrent_link(e, t);
    t->one_of_many = add->start_delay_ms > 0;
    *out = t->id;
    torrent_begin(t);
    scrape_check(t);
    torrent_rearm(t);
    engine_end(e);
    return 0;
}

static void end_torrent(struct torrent *t)
{
    if (!list_is_linked(&t->ending_node)) {
        list_add_tail(&t->e->ending, &t->ending_node);
        t->end_by_ms = t->e->now_ms + END_MS;
    }
    engine_want_peers(t, false);
}

static bool has_said_goodbye(const struct torrent *t)
{
    return t->announcing.id == 0 && t->announcing_own.id == 0 &&
           (t->e->now_ms >= t->end_by_ms || announcer_is_done(t->announcer));
}

static void put_removed(struct torrent *t)
{
    struct engine_out out = {
        .kind = ENGINE_OUT_REMOVED,
        .torrent = t->id,
        .session = t->session->id,
        .status = t->remove_status,
    };
    if (t->remove_status < 0 && t->remove_err != NULL) {
        out.err = *t->remove_err;
    }
    engine_put(t->e, &out);
}

void engine_check_end(struct torrent *t)
{
    if (!list_is_linked(&t->ending_node)) {
        return;
    }
    if (t->e->now_ms >= t->end_by_ms) {
        announce_forget(t);
    }
    if (!has_said_goodbye(t) || t->n_jobs > 0 || !list_is_empty(&t->conns)) {
        return;
    }
    if (!t->removing) {
        if (resume_is_clean(t)) {
            list_remove(&t->ending_node);
            torrent_rearm(t);
        }
    } else if (t->removed) {
        put_removed(t);
        torrent_unlink(t);
    }
}

void engine_remove_torrent(struct engine *e, torrent_id id, bool with_data, uint64_t now_ms)
{
    engine_begin(e, now_ms);
    struct torrent *t = engine_torrent(e, id);
    if (t != NULL && !t->removing) {
        end_torrent(t);
        torrent_remove(t, with_data);
        unlink_if(&t->save_node);
        torrent_rearm(t);
        engine_check_end(t);
    }
    engine_end(e);
}

/* ---- what is asked of them ---- */

void engine_pause(struct engine *e, torrent_id id, uint64_t now_ms)
{
    engine_begin(e, now_ms);
    struct torrent *t = engine_torrent(e, id);
    if (t != NULL && !t->removing && (t->flags & TORRENT_PAUSED) == 0) {
        t->flags |= TORRENT_PAUSED;
        t->arm_ms = UINT64_MAX;
        torrent_pause(t);
        engine_want_peers(t, false);
        torrent_rearm(t);
    }
    engine_end(e);
}

void engine_resume(struct engine *e, torrent_id id, uint64_t now_ms)
{
    engine_begin(e, now_ms);
    struct torrent *t = engine_torrent(e, id);
    if (t != NULL && !t->removing && !e->stopping &&
        ((t->flags & TORRENT_PAUSED) != 0 || t->fault != FAULT_NONE)) {
        t->flags &= ~(unsigned)TORRENT_PAUSED;
        torrent_unpause(t);
        torrent_rearm(t);
    }
    engine_end(e);
}

void engine_recheck(struct engine *e, torrent_id id, uint64_t now_ms)
{
    engine_begin(e, now_ms);
    struct torrent *t = engine_torrent(e, id);
    if (t != NULL && !t->removing && !e->stopping) {
        torrent_recheck(t);
        torrent_rearm(t);
    }
    engine_end(e);
}

void engine_set_flags(struct engine *e, torrent_id id, unsigned set, unsigned clear,
                      uint64_t now_ms)
{
    engine_begin(e, now_ms);
    struct torrent *t = engine_torrent(e, id);
    if (t != NULL && !t->removing) {
        torrent_set_flags(t, set, clear);
        torrent_rearm(t);
    }
    engine_end(e);
}

void engine_set_limits(struct engine *e, torrent_id id, uint64_t max_down_bps, uint64_t max_up_bps,
                       uint32_t max_peers, uint64_t now_ms)
{
    engine_begin(e, now_ms);
    struct torrent *t = engine_torrent(e, id);
    if (t != NULL && !t->removing) {
        bucket_set_rate(&t->down.bucket, max_down_bps, e->now_ms);
        bucket_set_rate(&t->up.bucket, max_up_bps, e->now_ms);
        t->max_peers = max_peers;
        if (torrent_is_running(t)) {
            engine_want_peers(t, true);
        }
    }
    engine_end(e);
}

int engine_set_priorities(struct engine *e, torrent_id id, struct span priorities, uint64_t now_ms)
{
    engine_begin(e, now_ms);
    struct torrent *t = engine_torrent(e, id);
    int status = ERR_NOT_FOUND;
    if (t != NULL && !t->removing) {
        status = torrent_set_priorities(t, priorities);
        torrent_rearm(t);
    }
    engine_end(e);
    return status;
}

void engine_set_rates(struct engine *e, uint64_t max_down_bps, uint64_t max_up_bps, uint64_t now_ms)
{
    engine_begin(e, now_ms);
    bucket_set_rate(&e->down.bucket, max_down_bps, e->now_ms);
    bucket_set_rate(&e->up.bucket, max_up_bps, e->now_ms);
    engine_end(e);
}

void engine_add_peer(struct engine *e, torrent_id id, const struct endpoint *peer, uint64_t now_ms)
{
    engine_begin(e, now_ms);
    struct torrent *t = engine_torrent(e, id);
    if (t != NULL && !t->removing) {
        struct endpoint own;
        bool known = torrent_own_endpoint(t, peer->addr.v6, &own);
        (void)candidates_add(t->candidates, peer, CANDIDATE_TRACKER, false, known ? &own : NULL);
        if (torrent_is_running(t)) {
            engine_want_peers(t, true);
        }
    }
    engine_end(e);
}

/* ---- stop ---- */

static void stop_torrent(struct torrent *t)
{
    if (t->removing) {
        return; /* ends already */
    }
    end_torrent(t);
    t->stopping = true;
    t->arm_ms = UINT64_MAX;
    torrent_pause(t);
    if (!resume_is_clean(t)) {
        resume_touch(t, false, true);
    }
    torrent_rearm(t);
    engine_check_end(t);
}

void engine_stop(struct engine *e, uint64_t now_ms)
{
    engine_begin(e, now_ms);
    if (!e->stopping) {
        e->stopping = true;
        LIST_FOREACH_SAFE (node, &e->torrents) {
            stop_torrent(container_of(node, struct torrent, all_node));
        }
        LIST_FOREACH_SAFE (node, &e->all_conns) {
            conn_drop(container_of(node, struct conn, all_node), "the client stops", false, true);
        }
    }
    engine_end(e);
}

bool engine_is_idle(const struct engine *e)
{
    return e->n_conns == 0 && e->n_jobs == 0 && e->n_announces == 0 && e->n_outs == 0 &&
           list_is_empty(&e->dirty) && list_is_empty(&e->ending);
}

/* ---- time ---- */

static uint64_t earlier(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

void torrent_rearm(struct torrent *t)
{
    if (!map_is_linked(&t->by_id)) {
        return;
    }
    uint64_t at_ms = earlier(t->arm_ms, t->connect_ms);
    at_ms = earlier(at_ms, announce_deadline_ms(t));
    at_ms = earlier(at_ms, resume_deadline_ms(t));
    if (list_is_linked(&t->ending_node) && t->e->now_ms < t->end_by_ms) {
        at_ms = earlier(at_ms, t->end_by_ms);
    }
    heap_set(&t->e->timers, &t->timer, at_ms);
}

void torrent_arm(struct torrent *t, uint64_t at_ms)
{
    if (at_ms >= t->arm_ms) {
        return;
    }
    t->arm_ms = at_ms;
    if (!heap_is_linked(&t->timer) || at_ms < t->timer.at_ms) {
        heap_set(&t->e->timers, &t->timer, at_ms);
    }
}

static void torrent_run(struct torrent *t)
{
    struct engine *e = t->e;
    heap_remove(&e->timers, &t->timer);
    if (t->arm_ms <= e->now_ms) {
        t->arm_ms = UINT64_MAX;
        torrent_on_deadline(t);
    }
    resume_on_deadline(t);
    if (t->connect_ms <= e->now_ms) {
        engine_want_peers(t, torrent_is_running(t));
    }
    engine_announce_check(t);
    engine_check_end(t);
    torrent_rearm(t);
    if (heap_is_linked(&t->timer) && t->timer.at_ms <= e->now_ms) {
        heap_set(&e->timers, &t->timer, e->now_ms + 1);
    }
}

uint64_t engine_deadline_ms(const struct engine *e)
{
    uint64_t at_ms = earlier(heap_first_ms(&e->timers), heap_first_ms(&e->conn_timers));
    at_ms = earlier(at_ms, announce_queue_deadline_ms(e->announces));
    at_ms = earlier(at_ms, scraper_deadline_ms(e->scraper));
    at_ms = earlier(at_ms, connect_deadline_ms(e));
    return earlier(at_ms, e->limit_ms);
}

void engine_on_deadline(struct engine *e, uint64_t now_ms)
{
    engine_begin(e, now_ms);
    e->totals.ticks++;
    while (heap_first_ms(&e->timers) <= now_ms) {
        torrent_run(container_of(heap_first(&e->timers), struct torrent, timer));
    }
    while (heap_first_ms(&e->conn_timers) <= now_ms) {
        conn_on_deadline(container_of(heap_first(&e->conn_timers), struct conn, timer));
    }
    if (announce_queue_deadline_ms(e->announces) <= now_ms) {
        e->announces_changed = true;
    }
    if (scraper_deadline_ms(e->scraper) <= now_ms) {
        scrape_run(e);
    }
    connect_run(e);
    if (e->limit_ms <= now_ms) {
        limits_run(e);
    }
    engine_end(e);
}

int64_t engine_unix_s(const struct engine *e)
{
    return (e->cfg.unix_ms_at_zero + (int64_t)e->now_ms) / 1000;
}
