/* fake_client.h: a client that does what a test wants, and remembers what it was asked for. In place
 * of the client's shell, its engine, its disk and outgoing HTTP; include in one file of a program,
 * after cmocka.h. One call at a time is under way; it is answered a millisecond later, or never. */
#ifndef TESTS_API_FAKE_CLIENT_H
#define TESTS_API_FAKE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <uv.h>

#include "base/ids.h"
#include "client/announce_queue.h"
#include "client/client.h"
#include "net/http_client.h"

enum { FAKE_TEXT_MAX = 4096, FAKE_SESSIONS_MAX = 4, FAKE_PEERS_MAX = 2 };

struct client {
    uv_timer_t timer;
    /* What it says. */
    int refuse; /* of every call, at once */
    int fail;   /* ... later */
    bool silent;
    bool existed;
    bool here; /* the torrent of status */
    struct torrent_status status;
    struct client_facts facts;
    struct layout *layout;
    struct engine_totals totals;
    struct trackers_stats trackers_stats;
    bool loading;
    /* Those that were added, or put here by a test; the torrent is in the session that it names. */
    struct client_session sessions[FAKE_SESSIONS_MAX];
    size_t n_sessions;
    char session_options[FAKE_SESSIONS_MAX][64];
    struct peer_view peers[FAKE_PEERS_MAX];
    size_t n_peers;
    struct tracker_view trackers[FAKE_PEERS_MAX];
    size_t n_trackers;
    const uint8_t *bitfield;
    struct client_options options; /* as they are; what was asked for, once it was answered */
    /* What a URL leads to. */
    struct addr fetch_addr; /* each hop's; asked for through allow */
    struct http_response response;
    /* What it was asked for. */
    char asked[16]; /* "add", "remove", "pause", "resume", "fetch", "session", "end", "options" */
    unsigned n_asked;
    bool with_data;
    size_t metainfo_len, magnet_len;
    char metainfo[FAKE_TEXT_MAX], magnet[FAKE_TEXT_MAX], save_path[FAKE_TEXT_MAX];
    char url[FAKE_TEXT_MAX];
    struct infohash hash;
    struct http_get_opts fetch;
    struct client_add add; /* without its texts */
    unsigned set, clear;   /* of options */
    bool named_down, named_up;
    /* Under way. */
    client_added added;
    client_session_added session_added;
    client_done done;
    void *ctx;
};

static inline void fake_client_fetched(struct client *c)
{
    struct http_get_opts fetch = c->fetch;
    c->fetch.done = NULL;
    struct http_response r = c->response;
    if (r.status == 0 && !fetch.allow(fetch.ctx, &c->fetch_addr, true)) {
        r = (struct http_response){.status = ERR_DENIED, .why = "refused"};
    }
    if (r.status == 0 && r.body.n > fetch.max_len) {
        r = (struct http_response){.status = ERR_LIMIT, .why = "too long"};
    }
    fetch.done(fetch.ctx, &r);
}

static inline void fake_client_answer(struct client *c)
{
    struct err e = {c->fail, "the text of the client"};
    const struct err *why = c->fail < 0 ? &e : NULL;
    if (c->fetch.done != NULL) {
        fake_client_fetched(c);
    } else if (c->session_added != NULL) {
        client_session_added session_added = c->session_added;
        c->session_added = NULL;
        c->n_sessions += c->fail == 0;
        session_added(c->ctx, c->fail, c->fail < 0 ? 0 : c->sessions[c->n_sessions - 1].id, why);
    } else if (c->added != NULL) {
        client_added added = c->added;
        c->added = NULL;
        added(c->ctx, c->fail, &c->hash, c->existed, why);
    } else if (c->done != NULL) {
        client_done done = c->done;
        c->done = NULL;
        done(c->ctx, c->fail);
    }
}

static inline void fake_client_on_timer(uv_timer_t *timer)
{
    struct client *c = timer->data;
    if (!c->silent) {
        fake_client_answer(c);
    }
}

static inline void fake_client_init(struct client *c, uv_loop_t *loop)
{
    c->timer.data = c;
    (void)uv_timer_init(loop, &c->timer);
}

/* Notes a call; what it returns. */
static inline int fake_client_ask(struct client *c, const char *what)
{
    (void)snprintf(c->asked, sizeof c->asked, "%s", what);
    c->n_asked++;
    if (c->refuse == 0) {
        (void)uv_timer_start(&c->timer, fake_client_on_timer, 1, 0);
    }
    return c->refuse;
}

static inline size_t fake_client_keep(char out[static FAKE_TEXT_MAX], struct span s)
{
    size_t n = s.n < FAKE_TEXT_MAX ? s.n : FAKE_TEXT_MAX - 1;
    if (n > 0) {
        memcpy(out, s.p, n);
    }
    out[n] = '\0';
    return s.n;
}

int client_add(struct client *c, const struct client_add *add, client_added done, void *ctx,
               struct err *e)
{
    c->metainfo_len = fake_client_keep(c->metainfo, add->metainfo);
    c->magnet_len = fake_client_keep(c->magnet, add->magnet);
    (void)fake_client_keep(c->save_path, add->save_path);
    c->add = *add;
    c->added = done;
    c->ctx = ctx;
    int status = fake_client_ask(c, "add");
    if (status < 0) {
        c->added = NULL;
        (void)err_set(e, status, "the text of the client");
    }
    return status;
}

static inline int fake_client_change(struct client *c, const char *what,
                                     const struct infohash *hash, client_done done, void *ctx)
{
    c->hash = *hash;
    int status = fake_client_ask(c, what);
    if (status == 0) {
        c->done = done;
        c->ctx = ctx;
    }
    return status;
}

bool client_when_loaded(struct client *c, void (*tell)(void *ctx, int status), void *ctx)
{
    (void)c;
    (void)tell;
    (void)ctx;
    return false; /* there is nothing to wait for */
}

int client_remove(struct client *c, const struct infohash *hash, bool with_data, client_done done,
                  void *ctx)
{
    c->with_data = with_data;
    return fake_client_change(c, "remove", hash, done, ctx);
}

int client_set_paused(struct client *c, const struct infohash *hash, bool paused, client_done done,
                      void *ctx)
{
    return fake_client_change(c, paused ? "pause" : "resume", hash, done, ctx);
}

int client_options_of(const struct client *c, const struct infohash *hash,
                      struct client_options *out)
{
    *out = c->options;
    return c->here && infohash_eq(hash, &c->status.info_hash) ? 0 : ERR_NOT_FOUND;
}

int client_set_options(struct client *c, const struct infohash *hash,
                       const struct client_change *change, client_done done, void *ctx)
{
    int status = fake_client_change(c, "options", hash, done, ctx);
    c->set = change->set;
    c->clear = change->clear;
    c->named_down = change->max_down_bps != NULL;
    c->named_up = change->max_up_bps != NULL;
    if (status == 0 && c->fail == 0) {
        struct client_options *o = &c->options;
        o->flags = (o->flags & ~change->clear) | change->set;
        o->max_down_bps = change->max_down_bps == NULL ? o->max_down_bps : *change->max_down_bps;
        o->max_up_bps = change->max_up_bps == NULL ? o->max_up_bps : *change->max_up_bps;
        o->max_peers = change->max_peers == NULL ? o->max_peers : *change->max_peers;
        o->priorities = change->priorities == NULL ? o->priorities : *change->priorities;
    }
    return status;
}

uint64_t client_now_ms(const struct client *c)
{
    return uv_now(c->timer.loop);
}

int client_status(const struct client *c, const struct infohash *hash, struct torrent_status *out)
{
    *out = c->status;
    return c->here && infohash_eq(hash, &c->status.info_hash) ? 0 : ERR_NOT_FOUND;
}

int client_facts(const struct client *c, const struct infohash *hash, struct client_facts *out)
{
    *out = c->facts;
    return c->here && infohash_eq(hash, &c->status.info_hash) ? 0 : ERR_NOT_FOUND;
}

/* ---- sessions ------------------------------------------------------------------------------- */

size_t client_count_left_out(const struct client *c)
{
    (void)c;
    return 0;
}

bool client_is_loading(const struct client *c)
{
    return c->loading;
}

int client_session_add(struct client *c, const struct client_session_add *add,
                       client_session_added done, void *ctx, struct err *e)
{
    struct client_session *s = &c->sessions[c->n_sessions];
    char *options = c->session_options[c->n_sessions];
    assert_true(c->n_sessions < FAKE_SESSIONS_MAX && add->options.n < 64);
    memcpy(options, add->options.p, add->options.n);
    *s = (struct client_session){
        .id = (session_id)c->n_sessions + 1,
        .port_first = add->port_first,
        .port_last = add->port_last,
        .port = add->port_last,
        .memory_only = add->memory_only,
        .options = span_of(options, add->options.n),
    };
    int status = fake_client_ask(c, "session");
    if (status < 0) {
        return err_set(e, status, "the text of the client");
    }
    c->session_added = done;
    c->ctx = ctx;
    return 0;
}

int client_session_remove(struct client *c, session_id id, bool with_data, client_done done,
                          void *ctx)
{
    assert_true(id <= c->n_sessions && !with_data);
    return fake_client_change(c, "end", &c->hash, done, ctx);
}

int client_session_of(const struct client *c, session_id id, struct client_session *out)
{
    if (id == 0 || id > c->n_sessions) {
        return c->loading ? ERR_UNAVAILABLE : ERR_NOT_FOUND;
    }
    *out = c->sessions[id - 1];
    return 0;
}

bool client_session_next(const struct client *c, session_id after, struct client_session *out)
{
    return client_session_of(c, after + 1, out) == 0;
}

torrent_id client_session_torrent(const struct client *c, session_id session, torrent_id after)
{
    return c->here && c->status.session == session && after < c->status.id ? c->status.id : 0;
}

/* ---- parts ---------------------------------------------------------------------------------- */

/* Engine, disk and HTTP of a test are its client. */
const struct engine *client_engine(const struct client *c)
{
    return (const struct engine *)(const void *)c;
}

const struct disk *client_disk(const struct client *c)
{
    return (const struct disk *)(const void *)c;
}

struct http_client *client_http(struct client *c)
{
    return (struct http_client *)(void *)c;
}

const struct layout *engine_layout(const struct engine *e, torrent_id id)
{
    const struct client *c = (const void *)e;
    return c->here && id == c->status.id ? c->layout : NULL;
}

int engine_status(const struct engine *e, torrent_id id, struct torrent_status *out,
                  uint64_t now_ms)
{
    const struct client *c = (const void *)e;
    (void)now_ms;
    *out = c->status;
    return c->here && id == c->status.id ? 0 : ERR_NOT_FOUND;
}

bool engine_peer(const struct engine *e, torrent_id id, size_t i, struct peer_view *out,
                 uint64_t now_ms)
{
    const struct client *c = (const void *)e;
    (void)now_ms;
    if (!c->here || id != c->status.id || i >= c->n_peers) {
        return false;
    }
    *out = c->peers[i];
    return true;
}

torrent_id engine_next_torrent(const struct engine *e, torrent_id after)
{
    const struct client *c = (const void *)e;
    return c->here && after < c->status.id ? c->status.id : 0;
}

bool engine_tracker(const struct engine *e, torrent_id id, uint32_t i, struct tracker_view *out)
{
    const struct client *c = (const void *)e;
    if (!c->here || id != c->status.id || i >= c->n_trackers) {
        return false;
    }
    *out = c->trackers[i];
    return true;
}

bool engine_bitfield(const struct engine *e, torrent_id id, uint8_t *out, size_t out_len)
{
    const struct client *c = (const void *)e;
    if (!c->here || id != c->status.id || c->bitfield == NULL ||
        out_len != ((size_t)c->status.n_pieces + 7) / 8) {
        return false;
    }
    memcpy(out, c->bitfield, out_len);
    return true;
}

bool engine_info_hash(const struct engine *e, torrent_id id, struct infohash *out)
{
    const struct client *c = (const void *)e;
    *out = c->status.info_hash;
    return c->here && id == c->status.id;
}

int64_t engine_queue_position(const struct engine *e, torrent_id id)
{
    const struct client *c = (const void *)e;
    return c->here && id == c->status.id ? 7 : -1;
}

/* None: it is not in seed mode. */
bool engine_verified(const struct engine *e, torrent_id id, uint8_t *out, size_t out_len)
{
    (void)e;
    (void)id;
    (void)out;
    (void)out_len;
    return false;
}

void client_trackers_stats(const struct client *c, struct trackers_stats *out)
{
    *out = c->trackers_stats;
}

void engine_totals(const struct engine *e, struct engine_totals *out)
{
    const struct client *c = (const void *)e;
    *out = c->totals;
}

const struct announce_queue *engine_announce_queue(const struct engine *e)
{
    return (const struct announce_queue *)(const void *)e;
}

size_t announce_queue_hosts(const struct announce_queue *q, struct announce_host_view *out,
                            size_t cap)
{
    (void)q;
    assert_true(cap > ANNOUNCE_HOSTS_MAX);
    out[0] = (struct announce_host_view){.host = "tracker.example:80", .n_ok = 7};
    return 1;
}

void disk_stats(const struct disk *d, struct disk_stats *out)
{
    (void)d;
    *out = (struct disk_stats){.opens = 3};
}

int http_get_start(struct http_get **out, struct http_client *http,
                   const struct http_get_opts *opts)
{
    struct client *c = (struct client *)(void *)http;
    (void)fake_client_keep(c->url, span_str(opts->url));
    int status = fake_client_ask(c, "fetch");
    if (status == 0) {
        c->fetch = *opts;
        *out = NULL;
    }
    return status;
}

#endif
