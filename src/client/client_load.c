/* The torrents from the database at start: one query, streamed. Each row goes straight to the engine,
 * which begins to announce later: the first ones at once, the others spread over START_SPREAD_MS.
 * A load that breaks off is begun again until it ends well; what came in by it stays.
 *
 * Left out  a row that cannot be read, or that the engine refuses, is logged once and counted. It
 *           stays as it is, so that nothing is lost by it, and until the next start nobody can add
 *           that torrent: what was answered would not be what is stored.
 */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "client/client_impl.h"
#include "client/partials.h"

#include "base/banned.h"

enum { START_AT_ONCE = 50, START_PER_S = 50, LOAD_RETRY_MS = 1000 };

static uint64_t start_delay_ms(const struct client *c)
{
    size_t n = map_count(&c->records_by_id);
    return n < START_AT_ONCE ? 0 : (uint64_t)(n - START_AT_ONCE) * 1000 / START_PER_S;
}

static size_t decode_partials(struct span in, struct torrent_partial *out)
{
    size_t n = 0;
    while (n < PARTIALS_MAX && partials_next(&in, &out[n])) {
        n++;
    }
    return n;
}

static void fill_resume(struct torrent_resume *out, const struct store_torrent *t,
                        struct torrent_partial *partials)
{
    *out = (struct torrent_resume){
        .checked = t->checked,
        .bitfield = t->bitfield,
        .partials = partials,
        .n_partials = decode_partials(t->partials, partials),
        .total_down = t->total_down,
        .total_up = t->total_up,
        .wasted = t->wasted,
        .active_s = t->active_s,
        .finished_s = t->finished_s,
        .seeding_s = t->seeding_s,
        .completed_unix_s = t->completed_unix_s,
        .last_seen_complete_unix_s = t->last_seen_complete_unix_s,
        .stop_pending = t->stop_pending,
    };
}

/* ---- those that are left out ---- */

struct left_out {
    struct map_node by_hash;
    struct infohash hash;
};

static void leave_out(struct client *c, const struct infohash *hash, const char *why)
{
    struct left_out *l = mem_new(struct left_out);
    l->hash = *hash;
    map_insert(&c->left_out, &l->by_hash, span_of(l->hash.b, sizeof l->hash.b));
    log_error(LOG_CLIENT, "a stored torrent is left out", KV_HASH("info_hash", hash),
              KV_STR("why", why));
}

bool client_leaves_out(const struct client *c, const struct infohash *hash)
{
    return map_find(&c->left_out, span_of(hash->b, sizeof hash->b)) != NULL;
}

size_t client_count_left_out(const struct client *c)
{
    return map_count(&c->left_out);
}

void client_forget_left_out(struct client *c)
{
    struct map_node *node;
    while ((node = map_first(&c->left_out)) != NULL) {
        map_remove(&c->left_out, node);
        free(container_of(node, struct left_out, by_hash));
    }
    map_release(&c->left_out);
}

/* ---- rows ---- */

static void start_row(struct client *c, const struct store_torrent *t,
                      const struct torrent_tracker *trackers, const struct torrent_resume *resume)
{
    const struct torrent_add add = {
        .info_hash = t->info_hash,
        .session = t->session,
        .info = t->info,
        .name = t->name,
        .trackers = trackers,
        .n_trackers = t->n_trackers,
        .flags = t->flags,
        .max_down_bps = t->max_down_bps,
        .max_up_bps = t->max_up_bps,
        .max_peers = t->max_peers,
        .max_uploads = t->max_uploads,
        .priorities = t->priorities,
        .added_unix_s = t->added_unix_s,
        .resume = resume,
        .start_delay_ms = start_delay_ms(c),
    };
    struct session_net *s = session_find(c, t->session);
    ASSERT(s != NULL); /* sessions come first, and a torrent of none is not in the database */
    struct record *r = record_new(s, &t->info_hash);
    const char *why = NULL;
    record_set_facts(r, t);
    r->unlisted = true;
    if (record_start(r, &add, &why) < 0) {
        leave_out(c, &t->info_hash, why);
        record_free(r);
    }
}

/* From a load that broke off. */
static bool is_known(const struct client *c, const struct infohash *hash)
{
    return record_of_hash(c, hash) != NULL || client_leaves_out(c, hash);
}

static void on_torrent(void *ctx, const struct store_torrent *t)
{
    struct client *c = ctx;
    if (c->closed != NULL || is_known(c, &t->info_hash)) {
        return;
    }
    struct torrent_tracker *trackers =
        mem_array(t->n_trackers == 0 ? 1 : t->n_trackers, sizeof *trackers);
    struct torrent_partial *partials =
        mem_array(t->partials.n == 0 ? 1 : PARTIALS_MAX, sizeof *partials);
    struct torrent_resume resume;
    for (size_t i = 0; i < t->n_trackers; i++) {
        trackers[i] = (struct torrent_tracker){t->trackers[i].url, t->trackers[i].tier};
    }
    fill_resume(&resume, t, partials);
    start_row(c, t, trackers, &resume);
    free(trackers);
    free(partials);
    client_drain(c);
}

static void on_unreadable(void *ctx, const struct infohash *hash, const char *why)
{
    struct client *c = ctx;
    if (c->closed == NULL && !is_known(c, hash)) {
        leave_out(c, hash, why);
    }
}

static void on_session(void *ctx, const struct store_session *session)
{
    struct client *c = ctx;
    struct err e;
    if (c->closed != NULL || session_find(c, session->id) != NULL) {
        return;
    }
    struct session_net *s = session_new(c, SESSION_LIVE);
    s->id = session->id;
    s->port_first = session->port_first;
    s->port_last = session->port_last;
    session_set_options(s, session->options);
    if (session_bind_range(s, &e) < 0) {
        log_warn(LOG_CLIENT, "a session cannot listen, its torrents only connect out",
                 KV_INT("session", session->id), KV_STR("why", e.msg));
    }
    session_start(s);
}

static void on_retry(uv_timer_t *timer)
{
    client_load(container_of(timer, struct client, load_timer));
}

static void finish(struct client *c)
{
    c->loading = false;
    log_debug(LOG_CLIENT, "torrents loaded", KV_INT("torrents", map_count(&c->records_by_id)),
              KV_INT("left_out", client_count_left_out(c)));
    client_list(c);
    client_tell_loaded(c, 0);
}

static void on_done(void *ctx, int status, const struct err *e)
{
    struct client *c = ctx;
    if (c->closed != NULL) {
        c->loading = false;
    } else if (status == 0) {
        finish(c);
    } else {
        log_warn(LOG_CLIENT, "torrents are not loaded, will try again", KV_STR("why", e->msg));
        (void)uv_timer_start(&c->load_timer, on_retry, LOAD_RETRY_MS, 0);
        client_tell_loaded(c, ERR_UNAVAILABLE); /* whoever asks is not kept waiting for that */
    }
    c->n_calls--;
    client_check_closed(c);
}

void client_load(struct client *c)
{
    const struct store_torrents_load load = {
        .on_session = on_session,
        .on_torrent = on_torrent,
        .on_unreadable = on_unreadable,
        .done = on_done,
        .ctx = c,
    };
    c->loading = true;
    if (store_torrents_load(c->opts.store, &load) == 0) {
        c->n_calls++;
    } else {
        (void)uv_timer_start(&c->load_timer, on_retry, LOAD_RETRY_MS, 0);
    }
}

/* ---- those who wait ---- */

struct held {
    struct list node;
    void (*tell)(void *ctx, int status);
    void *ctx;
};

bool client_when_loaded(struct client *c, void (*tell)(void *ctx, int status), void *ctx)
{
    if (!c->loading) {
        return false;
    }
    struct held *h = mem_new(struct held);
    h->tell = tell;
    h->ctx = ctx;
    list_add_tail(&c->held, &h->node);
    return true;
}

void client_tell_loaded(struct client *c, int status)
{
    LIST_FOREACH_SAFE (node, &c->held) {
        struct held *h = container_of(node, struct held, node);
        list_remove(node);
        h->tell(h->ctx, status);
        free(h);
    }
}
