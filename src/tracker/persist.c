/* Between the tracker's memory and the database.
 *
 * Happy path: persist_start → first on_reload_needed of the store (both its connections are up) →
 * load: rows go into the tracker's new lists → done → commit, replay what changed meanwhile →
 * started(0). From then on the watch keeps the lists equal to the database, and the timer flushes.
 * What a load replaced is freed in slices, so that no worker on the same processor waits for it.
 *
 * Failures
 * - a load breaks: the new lists are dropped, the old ones stay; again after LOAD_RETRY_MS if the
 *   database is there, else when it is back. Those who asked for a reload are told.
 * - more changes during a load than the replay holds: the load is dropped and begins again.
 * - a flush fails: completed counts go back to the tracker, last uses stay here; next time. When it
 *   is not known whether the counts were stored (the connection broke), the same batch is sent again.
 *
 * Closing: no more watch, a load under way is forgotten (its callbacks still come, and find
 * closing set), one flush, at most PERSIST_CLOSE_MS. A flush that is still in flight then keeps the
 * memory of p, and nothing else, until the store calls back.
 *
 * At the end: timer closed, closed called; no callback of the store is outstanding when p is freed.
 */
#include "tracker/persist.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "tracker/persist_replay.h"
#include "tracker/tracker.h"

#include "base/banned.h"

enum {
    LOAD_RETRY_MS = 1000,
    LOAD_GAP_MS = 200, /* between two loads that nobody waits for */
    RECLAIM_GAP_MS = 1,
};

struct waiter {
    struct list node;
    persist_done done;
    void *ctx;
};

struct persist {
    uv_loop_t *loop;
    struct tracker *tracker;
    struct store *store; /* NULL before persist_start */
    bool with_completed;
    uv_timer_t timer; /* the nearest of what is due; when closing: the end of it */

    bool started;
    persist_done on_started;
    void *started_ctx;

    bool load_wanted;
    bool loading;
    bool reclaiming; /* what a load replaced is being freed */
    uint64_t load_at_ms;
    struct replay replay;
    struct list waiting; /* for the next load; struct waiter */
    struct list served;  /* by the load under way */
    size_t n_waiters;

    uint64_t flush_at_ms;
    bool completed_busy, used_busy; /* a statement is in flight */
    bool flush_failing;
    struct completed_count taken[PERSIST_BATCH];
    size_t n_taken; /* 0: no batch is under way, or waits to be sent again */
    uint64_t batch; /* its number */
    struct store_key used[PERSIST_BATCH];
    size_t n_used;

    bool was_available;
    bool closing;
    bool closed;
    void (*on_closed)(void *ctx);
    void *closed_ctx;
};

static void persist_on_timer(uv_timer_t *timer);
static void persist_flush(struct persist *p);
static void persist_finish(struct persist *p);
static void persist_close_when_flushed(struct persist *p);

static void persist_arm(struct persist *p)
{
    if (p->closing || p->store == NULL) {
        return;
    }
    const uint64_t now_ms = uv_now(p->loop);
    uint64_t at_ms = p->flush_at_ms;
    if (p->load_wanted && !p->loading && p->load_at_ms < at_ms) {
        at_ms = p->load_at_ms;
    }
    if (p->reclaiming && now_ms + RECLAIM_GAP_MS < at_ms) {
        at_ms = now_ms + RECLAIM_GAP_MS;
    }
    (void)uv_timer_start(&p->timer, persist_on_timer, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

static void persist_want_load(struct persist *p, uint64_t at_ms)
{
    if (!p->load_wanted || at_ms < p->load_at_ms) {
        p->load_at_ms = at_ms;
    }
    p->load_wanted = true;
    persist_arm(p);
}

static void persist_free_if_idle(struct persist *p)
{
    if (p->closed && !p->loading && !p->completed_busy && !p->used_busy) {
        replay_release(&p->replay);
        free(p);
    }
}

/* ---- loading ------------------------------------------------------------------------------ */

static void waiters_call(struct persist *p, struct list *waiters, int status, const struct err *e)
{
    struct list all;
    list_init(&all);
    LIST_FOREACH_SAFE (node, waiters) {
        list_remove(node);
        list_add_tail(&all, node);
    }
    LIST_FOREACH_SAFE (node, &all) {
        struct waiter *w = container_of(node, struct waiter, node);
        list_remove(node);
        p->n_waiters--;
        if (w->done != NULL) {
            w->done(w->ctx, status, e);
        }
        free(w);
    }
}

static void load_on_whitelist(void *ctx, const struct infohash *hash)
{
    struct persist *p = ctx;
    if (!p->closing) {
        tracker_whitelist_load_add(p->tracker, hash);
    }
}

static void load_on_key(void *ctx, const struct store_key *key)
{
    struct persist *p = ctx;
    if (!p->closing) {
        const struct access_key k = access_key_from_store(key);
        tracker_key_load_add(p->tracker, &k);
    }
}

static void load_on_completed(void *ctx, const struct store_completed *count)
{
    struct persist *p = ctx;
    if (!p->closing) {
        tracker_completed_set(p->tracker, &count->info_hash, count->n);
    }
}

static void load_drop(struct persist *p)
{
    tracker_whitelist_load_abort(p->tracker);
    tracker_key_load_abort(p->tracker);
    p->reclaiming = true;
    replay_clear(&p->replay);
}

static void load_commit(struct persist *p)
{
    tracker_whitelist_load_commit(p->tracker);
    tracker_key_load_commit(p->tracker);
    replay_apply(&p->replay, p->tracker);
    p->reclaiming = true;
    p->load_at_ms = uv_now(p->loop) + LOAD_GAP_MS;
    log_debug(LOG_TRACKER, "whitelist and keys loaded",
              KV_INT("whitelist", tracker_whitelist_count(p->tracker)),
              KV_INT("keys", tracker_key_count(p->tracker)));
    if (!p->started) {
        p->started = true;
        p->on_started(p->started_ctx, 0, NULL);
    }
    waiters_call(p, &p->served, 0, NULL);
}

static void load_on_done(void *ctx, int status, const struct err *e)
{
    struct persist *p = ctx;
    p->loading = false;
    if (p->closing) {
        persist_free_if_idle(p);
        return;
    }
    if (status == 0 && !p->replay.overflow) {
        load_commit(p);
    } else if (status == 0) {
        load_drop(p);
        LIST_FOREACH_SAFE (node, &p->served) {
            list_remove(node);
            list_add_tail(&p->waiting, node);
        }
        persist_want_load(p, uv_now(p->loop));
    } else {
        load_drop(p);
        log_debug(LOG_TRACKER, "loading from the database failed", KV_STR("why", e->msg));
        persist_want_load(p, uv_now(p->loop) + LOAD_RETRY_MS);
        waiters_call(p, &p->served, status, e);
    }
    if (!p->closing) {
        persist_arm(p);
    }
}

static void load_begin(struct persist *p)
{
    const struct store_load load = {.on_whitelist = load_on_whitelist,
                                    .on_key = load_on_key,
                                    .on_completed = load_on_completed,
                                    .done = load_on_done,
                                    .ctx = p,
                                    .with_completed = p->with_completed && !p->started};
    int status = store_load(p->store, &load);
    if (status < 0) {
        struct err e;
        (void)err_set(&e, status, "load: %s", err_text(status));
        p->load_at_ms = uv_now(p->loop) + LOAD_RETRY_MS;
        waiters_call(p, &p->waiting, status, &e);
        return;
    }
    p->load_wanted = false;
    p->loading = true;
    replay_clear(&p->replay);
    tracker_whitelist_load_begin(p->tracker);
    tracker_key_load_begin(p->tracker);
    LIST_FOREACH_SAFE (node, &p->waiting) {
        list_remove(node);
        list_add_tail(&p->served, node);
    }
}

/* ---- the watch ---------------------------------------------------------------------------- */

static void watch_on_whitelist(void *ctx, const struct infohash *present, size_t n_present,
                               const struct infohash *absent, size_t n_absent)
{
    struct persist *p = ctx;
    if (n_present > 0) {
        tracker_whitelist_add(p->tracker, present, n_present);
    }
    if (n_absent > 0) {
        tracker_whitelist_remove(p->tracker, absent, n_absent);
    }
    if (p->loading) {
        replay_note_hashes(&p->replay, present, n_present, true);
        replay_note_hashes(&p->replay, absent, n_absent, false);
    }
}

static void watch_on_key(void *ctx, const struct store_key *present, size_t n_present,
                         const char (*absent)[33], size_t n_absent)
{
    struct persist *p = ctx;
    for (size_t i = 0; i < n_present; i++) {
        const struct access_key key = access_key_from_store(&present[i]);
        tracker_key_put(p->tracker, &key);
        if (p->loading) {
            replay_note_key(&p->replay, &present[i], true);
        }
    }
    for (size_t i = 0; i < n_absent; i++) {
        (void)tracker_key_remove(p->tracker, span_str(absent[i]));
        if (p->loading) {
            struct store_key gone = {.permanent = false};
            memcpy(gone.key, absent[i], sizeof gone.key);
            replay_note_key(&p->replay, &gone, false);
        }
    }
}

static void watch_on_reload_needed(void *ctx)
{
    struct persist *p = ctx;
    const uint64_t now_ms = uv_now(p->loop);
    persist_want_load(p, p->load_at_ms > now_ms ? p->load_at_ms : now_ms);
}

static void watch_on_available(void *ctx, bool available)
{
    struct persist *p = ctx;
    if (!available) {
        log_warn(LOG_STORE, "the database is away, the tracker goes on without it");
    } else if (p->was_available) {
        log_info(LOG_STORE, "the database is back");
    }
    p->was_available = true;
}

struct store_watch persist_watch(struct persist *p)
{
    return (struct store_watch){.on_whitelist = watch_on_whitelist,
                                .on_key = watch_on_key,
                                .on_reload_needed = watch_on_reload_needed,
                                .on_available = watch_on_available,
                                .ctx = p};
}

/* ---- flushing ----------------------------------------------------------------------------- */

/* One line when it begins to fail and one when it works again. */
static void flush_result(struct persist *p, int status, const struct err *e)
{
    if (status < 0 && !p->flush_failing) {
        log_warn(LOG_TRACKER, "counts cannot be stored now, they are kept",
                 KV_STR("why", e != NULL ? e->msg : err_text(status)));
    } else if (status == 0 && p->flush_failing) {
        log_info(LOG_TRACKER, "counts are stored again");
    }
    p->flush_failing = status < 0;
}

static void flush_on_completed(void *ctx, int status, const struct store_completed *totals,
                               size_t n, const struct err *e)
{
    struct persist *p = ctx;
    p->completed_busy = false;
    if (p->closed) {
        persist_free_if_idle(p);
        return;
    }
    bool more = status == 0 && p->n_taken == PERSIST_BATCH;
    flush_result(p, status, e);
    if (status < 0 && status != ERR_UNAVAILABLE) {
        tracker_completed_give_back(p->tracker, p->taken, p->n_taken);
    }
    for (size_t i = 0; i < n; i++) {
        tracker_completed_set(p->tracker, &totals[i].info_hash, totals[i].n);
    }
    if (status != ERR_UNAVAILABLE) {
        p->n_taken = 0;
    }
    if (more) {
        persist_flush(p);
    }
    persist_close_when_flushed(p);
}

static void flush_completed(struct persist *p)
{
    struct store_completed counts[PERSIST_BATCH];
    if (p->completed_busy) {
        return;
    }
    if (p->n_taken == 0) {
        p->n_taken = tracker_completed_take(p->tracker, p->taken, PERSIST_BATCH);
        p->batch++;
    }
    if (p->n_taken == 0) {
        return;
    }
    for (size_t i = 0; i < p->n_taken; i++) {
        counts[i] = (struct store_completed){p->taken[i].info_hash, p->taken[i].n};
    }
    int status = store_completed_add(p->store, counts, p->n_taken, p->batch, flush_on_completed, p);
    if (status < 0) { /* not sent: the batch waits */
        flush_result(p, status, NULL);
        return;
    }
    p->completed_busy = true;
}

static void flush_on_used(void *ctx, int status, const struct err *e)
{
    struct persist *p = ctx;
    p->used_busy = false;
    if (p->closed) {
        persist_free_if_idle(p);
        return;
    }
    flush_result(p, status, e);
    if (status == 0) {
        bool more = p->n_used == PERSIST_BATCH;
        p->n_used = 0;
        if (more) {
            persist_flush(p);
        }
    }
    persist_close_when_flushed(p);
}

static void flush_used(struct persist *p)
{
    struct access_key keys[64];
    if (p->used_busy) {
        return;
    }
    while (p->n_used < PERSIST_BATCH) {
        size_t room = PERSIST_BATCH - p->n_used;
        size_t cap = room < 64 ? room : 64;
        size_t n = tracker_key_take_used(p->tracker, keys, cap);
        for (size_t i = 0; i < n; i++) {
            struct store_key *used = &p->used[p->n_used++];
            *used = (struct store_key){.last_used_unix_s = keys[i].last_used_unix_s};
            memcpy(used->key, keys[i].key, sizeof used->key);
        }
        if (n < cap) {
            break;
        }
    }
    if (p->n_used > 0) {
        int status = store_keys_used(p->store, p->used, p->n_used, flush_on_used, p);
        p->used_busy = status == 0;
    }
}

static void persist_flush(struct persist *p)
{
    if (store_is_available(p->store)) {
        if (p->with_completed) {
            flush_completed(p);
        }
        flush_used(p);
    }
}

/* ---- time --------------------------------------------------------------------------------- */

static void persist_on_timer(uv_timer_t *timer)
{
    struct persist *p = container_of(timer, struct persist, timer);
    const uint64_t now_ms = uv_now(p->loop);
    if (p->closing) {
        persist_finish(p);
        return;
    }
    if (p->reclaiming) {
        p->reclaiming = tracker_reclaim(p->tracker);
    }
    if (p->load_wanted && !p->loading && now_ms >= p->load_at_ms) {
        load_begin(p);
    }
    if (!p->closing && now_ms >= p->flush_at_ms) {
        p->flush_at_ms = now_ms + PERSIST_FLUSH_MS;
        if (p->started) {
            persist_flush(p);
        } else if (!p->loading && !p->load_wanted && store_is_available(p->store)) {
            persist_want_load(p, now_ms); /* the store was up before we got it */
        }
    }
    persist_arm(p);
}

/* ---- life cycle --------------------------------------------------------------------------- */

struct persist *persist_new(uv_loop_t *loop, struct tracker *tracker, bool with_completed)
{
    struct persist *p = mem_new(struct persist);
    p->loop = loop;
    p->tracker = tracker;
    p->with_completed = with_completed;
    list_init(&p->waiting);
    list_init(&p->served);
    ASSERT(uv_timer_init(loop, &p->timer) == 0);
    return p;
}

void persist_start(struct persist *p, struct store *store, persist_done started, void *ctx)
{
    p->store = store;
    p->on_started = started;
    p->started_ctx = ctx;
    p->flush_at_ms = uv_now(p->loop) + PERSIST_FLUSH_MS;
    persist_arm(p);
}

int persist_reload(struct persist *p, persist_done done, void *ctx)
{
    if (p->store == NULL || p->closing || !store_is_available(p->store)) {
        return ERR_UNAVAILABLE;
    }
    if (p->n_waiters >= PERSIST_WAITERS_MAX) {
        return ERR_LIMIT;
    }
    struct waiter *w = mem_new(struct waiter);
    w->done = done;
    w->ctx = ctx;
    list_add_tail(&p->waiting, &w->node);
    p->n_waiters++;
    persist_want_load(p, uv_now(p->loop));
    return 0;
}

static void persist_on_timer_closed(uv_handle_t *handle)
{
    struct persist *p = container_of(handle, struct persist, timer);
    struct err e;
    void (*on_closed)(void *) = p->on_closed;
    void *ctx = p->closed_ctx;
    (void)err_set(&e, ERR_CANCELED, "the server is stopping");
    waiters_call(p, &p->served, e.code, &e);
    waiters_call(p, &p->waiting, e.code, &e);
    p->closed = true;
    persist_free_if_idle(p);
    on_closed(ctx);
}

static void persist_finish(struct persist *p)
{
    if (!uv_is_closing((uv_handle_t *)&p->timer)) {
        uv_close((uv_handle_t *)&p->timer, persist_on_timer_closed);
    }
}

static void persist_close_when_flushed(struct persist *p)
{
    if (p->closing && !p->completed_busy && !p->used_busy) {
        persist_finish(p);
    }
}

void persist_close(struct persist *p, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(!p->closing);
    p->closing = true;
    p->on_closed = closed;
    p->closed_ctx = ctx;
    if (p->loading) {
        load_drop(p);
    }
    if (p->store != NULL) {
        store_unwatch(p->store);
        if (p->started) {
            persist_flush(p);
        }
    }
    bool busy = p->completed_busy || p->used_busy;
    (void)uv_timer_start(&p->timer, persist_on_timer, busy ? PERSIST_CLOSE_MS : 0, 0);
}
