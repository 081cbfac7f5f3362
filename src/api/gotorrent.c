/* Happy path   GET /alldata and /torrentdata stream sessions in slices. The other GETs change a torrent
 *              and wait for the client's word, POSTs add one (gotorrent_add.c): 200 without a body.
 * Parameters   headers, or the query string: a header counts first. An action with a parameter in its
 *              query needs the Authorization header, since a query can be made by any page that a
 *              browser shows, and a header cannot.
 * Failures     one line of text.
 * At the end   each exchange was answered once; nothing else was kept.
 */
#include "api/gotorrent.h"

#include <stdlib.h>

#include "api/gotorrent_impl.h"
#include "api/gotorrent_params.h"
#include "api/gotorrent_session.h"
#include "api/query.h"
#include "base/mem.h"
#include "base/parse.h"

#include "base/banned.h"

enum { ANSWER_MAX = 4096 };

void gotorrent_fail(struct http_exchange *x, int status, struct span reason)
{
    struct buf out;
    buf_init(&out, ANSWER_MAX);
    buf_add(&out, reason);
    buf_add_byte(&out, '\n');
    http_reply(x, status, TEXT_TYPE, buf_span(&out));
    buf_release(&out);
}

static void answer_failure(struct http_exchange *x, int status)
{
    if (status == ERR_NOT_FOUND) {
        gotorrent_fail(x, 404, SPAN("Torrent not found"));
    } else {
        gotorrent_fail(x, call_status_of(status), span_str(err_text(status)));
    }
}

void gotorrent_answer_done(struct http_exchange *x)
{
    http_reply(x, 200, NULL, SPAN(""));
}

bool gotorrent_has_client(struct call *c)
{
    if (c->env->parts.client == NULL) {
        call_fail(c, 503, "the client is switched off");
        return false;
    }
    return true;
}

/* ---- parameters -------------------------------------------------------------------------------- */

bool gotorrent_find_param(const struct call *c, const char *name, bool plus,
                          struct gotorrent_param *out)
{
    struct span raw;
    out->from_query = false;
    if (http_header(c->req, name, &out->value)) {
        return true;
    }
    if (!query_raw(c->req->query, name, &raw)) {
        return false;
    }
    long n = plus ? percent_decode(out->text, sizeof out->text, raw) : query_decode(out->text, raw);
    out->value = span_of(out->text, n < 0 ? 0 : (size_t)n);
    out->from_query = true;
    return true;
}

bool gotorrent_check_forged(struct call *c)
{
    static const char *const names[] = {"infohash", "deletedata", "downrate", "uprate", "targetdir",
                                        "path",     "start",      "maxdown",  "maxup"};
    struct span ignored;
    bool by_query = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        by_query = by_query || query_raw(c->req->query, names[i], &ignored);
    }
    if (!by_query || http_header(c->req, "authorization", &ignored)) {
        return true;
    }
    http_add_header(c->x, "www-authenticate", SPAN("Bearer"));
    call_fail(c, 401, "parameters in the query need the Authorization header");
    return false;
}

/* False when the call was answered. */
static bool take_hash(struct call *c, struct infohash *out)
{
    struct gotorrent_param p;
    if (!gotorrent_has_client(c)) {
        return false;
    }
    if (!gotorrent_find_param(c, "infohash", false, &p) || p.value.n == 0) {
        call_fail(c, 422, "Infohash missing");
        return false;
    }
    bool good = gotorrent_hash_parse(out, p.value);
    if (!good && p.from_query && gotorrent_find_param(c, "infohash", true, &p)) {
        good = gotorrent_hash_parse(out, p.value);
    }
    if (!good) {
        call_fail(c, 422, "Infohash invalid");
    }
    return good;
}

/* The hash of a call that changes something. */
static bool take_target(struct call *c, struct infohash *out)
{
    return gotorrent_check_forged(c) && take_hash(c, out);
}

/* ---- sessions ---------------------------------------------------------------------------------- */

struct stream {
    struct client *client;
    int64_t started_unix_s;
    bool all;      /* of all torrents, else of one */
    bool begun;    /* something was written */
    bool any;      /* a session was */
    torrent_id at; /* the last one looked at */
    bool in_session;
    struct gotorrent_session session;
};

static void stream_release(void *ctx)
{
    struct stream *s = ctx;
    if (s->in_session) {
        gotorrent_session_release(&s->session);
    }
    free(s);
}

static struct stream *stream_new(const struct call *c, bool all)
{
    struct stream *s = mem_new(struct stream);
    s->client = c->env->parts.client;
    s->started_unix_s = c->env->started_unix_s;
    s->all = all;
    return s;
}

static bool produce_one(void *ctx, struct buf *out)
{
    struct stream *s = ctx;
    s->in_session = gotorrent_session_produce(&s->session, out);
    return s->in_session;
}

/* True while there are more torrents. */
static bool begin_next(struct stream *s, struct buf *out)
{
    s->at = engine_next_torrent(client_engine(s->client), s->at);
    if (s->at == 0) {
        buf_add_str(out, "]}");
        return false;
    }
    s->in_session = gotorrent_session_begin(&s->session, s->client, s->at, s->started_unix_s);
    if (s->in_session && s->any) {
        buf_add_byte(out, ',');
    }
    s->any = s->any || s->in_session;
    return true;
}

static bool produce_all(void *ctx, struct buf *out)
{
    struct stream *s = ctx;
    if (!s->begun) {
        char now[GOTORRENT_TIME_LEN];
        gotorrent_time_text(now, call_unix_ms() / 1000);
        buf_addf(out, "{\"time\":\"%s\",\"sessions\":[", now);
        s->begun = true;
        return true;
    }
    if (s->in_session) {
        s->in_session = gotorrent_session_produce(&s->session, out);
        return true;
    }
    return begin_next(s, out);
}

static void get_all(struct call *c)
{
    if (gotorrent_has_client(c)) {
        http_stream(c->x, JSON_TYPE, produce_all, stream_release, stream_new(c, true));
    }
}

static void get_one(struct call *c)
{
    struct infohash hash;
    struct torrent_status status;
    if (!take_hash(c, &hash)) {
        return;
    }
    int rc = client_status(c->env->parts.client, &hash, &status);
    if (rc < 0) {
        answer_failure(c->x, rc);
        return;
    }
    struct stream *s = stream_new(c, false);
    s->in_session = gotorrent_session_begin(&s->session, s->client, status.id, s->started_unix_s);
    ASSERT(s->in_session);
    http_stream(c->x, JSON_TYPE, produce_one, stream_release, s);
}

/* ---- changes ----------------------------------------------------------------------------------- */

static void on_done(void *exchange, int status)
{
    if (status < 0) {
        answer_failure(exchange, status);
    } else {
        gotorrent_answer_done(exchange);
    }
}

static void started(struct call *c, int status)
{
    if (status < 0) {
        answer_failure(c->x, status);
    }
}

static void get_pause(struct call *c)
{
    struct infohash hash;
    if (take_target(c, &hash)) {
        started(c, client_set_paused(c->env->parts.client, &hash, true, on_done, c->x));
    }
}

static void get_resume(struct call *c)
{
    struct infohash hash;
    if (take_target(c, &hash)) {
        started(c, client_set_paused(c->env->parts.client, &hash, false, on_done, c->x));
    }
}

static void get_remove(struct call *c)
{
    struct infohash hash;
    struct gotorrent_param p;
    bool with_data = false;
    if (!take_target(c, &hash)) {
        return;
    }
    if (gotorrent_find_param(c, "deletedata", false, &p) &&
        !gotorrent_bool_parse(&with_data, p.value)) {
        call_fail(c, 422, "deletedata is not one of true, false, 1, 0, yes, no");
        return;
    }
    started(c, client_remove(c->env->parts.client, &hash, with_data, on_done, c->x));
}

static void set_rate(struct call *c, const char *name, bool down)
{
    struct infohash hash;
    struct gotorrent_param p;
    uint64_t bps;
    if (!take_target(c, &hash)) {
        return;
    }
    if (!gotorrent_find_param(c, name, false, &p)) {
        call_fail(c, 422, "%s missing", name);
        return;
    }
    if (!gotorrent_rate_parse(&bps, p.value)) {
        call_fail(c, 422, "%s is not a rate", name);
        return;
    }
    const struct client_change change = {
        .max_down_bps = down ? &bps : NULL,
        .max_up_bps = down ? NULL : &bps,
    };
    started(c, client_set_options(c->env->parts.client, &hash, &change, on_done, c->x));
}

static void get_down_rate(struct call *c)
{
    set_rate(c, "downrate", true);
}

static void get_up_rate(struct call *c)
{
    set_rate(c, "uprate", false);
}

/* ---- the table ---------------------------------------------------------------------------------- */

static const struct route routes[] = {
    {HTTP_GET, "/alldata", ROUTE_TOKEN, get_all},
    {HTTP_GET, "/torrentdata", ROUTE_TOKEN, get_one},
    {HTTP_POST, "/addmagnet", ROUTE_TOKEN, gotorrent_post_magnet},
    {HTTP_POST, "/addtorrentfile", ROUTE_TOKEN, gotorrent_post_file},
    {HTTP_GET, "/pause", ROUTE_ACT, get_pause},
    {HTTP_GET, "/resume", ROUTE_ACT, get_resume},
    {HTTP_GET, "/remove", ROUTE_ACT, get_remove},
    {HTTP_GET, "/setdownrate", ROUTE_ACT, get_down_rate},
    {HTTP_GET, "/setuprate", ROUTE_ACT, get_up_rate},
};

const struct dialect gotorrent_dialect = {
    .routes = routes,
    .n_routes = sizeof routes / sizeof routes[0],
    .otherwise = ROUTE_TOKEN,
    .fail = gotorrent_fail,
};
