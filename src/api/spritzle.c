/* Happy path   GET writes what the client says now, lists in slices. POST adds (spritzle_add.c), DELETE
 *              removes (spritzle_remove.c); pause, resume and flags ask the client and wait for its
 *              word.
 * Failures     {"status": number, "reason": text, "message": "number: text"}.
 * At the end   each exchange was answered once; nothing else was kept.
 */
#include "api/spritzle.h"

#include <stdlib.h>
#include <string.h>

#include "api/hash_param.h"
#include "api/spritzle_flags.h"
#include "api/spritzle_impl.h"
#include "api/spritzle_json.h"
#include "api/spritzle_session.h"
#include "api/spritzle_torrent.h"
#include "base/json.h"
#include "base/mem.h"

#include "base/banned.h"

enum {
    ANSWER_MAX = 4096,
    SESSION_MAX = 32768,
    TEXTS_MAX = 900000,    /* bytes of a status without its pieces; a slice can hold it */
    PIECES_A_SLICE = 8192, /* of a status */
    HASHES_A_SLICE = 512,  /* of the list */
};

void spritzle_fail(struct http_exchange *x, int status, struct span reason)
{
    struct buf out;
    struct buf message;
    buf_init(&out, ANSWER_MAX);
    buf_init(&message, ANSWER_MAX);
    buf_addf(&message, "%d: ", status);
    buf_add(&message, reason);
    buf_add_byte(&out, '{');
    spritzle_json_int(&out, "status", status);
    spritzle_json_text(&out, "reason", reason);
    spritzle_json_text(&out, "message", buf_span(&message));
    buf_add_byte(&out, '}');
    http_reply(x, status, SPRITZLE_JSON_TYPE, buf_span(&out));
    buf_release(&message);
    buf_release(&out);
}

bool spritzle_has_client(struct call *c)
{
    if (c->env->parts.client == NULL) {
        call_fail(c, 503, "the client is switched off");
        return false;
    }
    return true;
}

bool spritzle_take_hash(struct call *c, struct infohash *out)
{
    if (!spritzle_has_client(c)) {
        return false;
    }
    if (!hash_param_parse(out, c->params[0])) {
        call_fail(c, 400, "not an info-hash");
        return false;
    }
    return true;
}

void spritzle_answer_failure(struct http_exchange *x, int status)
{
    if (status == ERR_NOT_FOUND) {
        spritzle_fail(x, 404, SPAN("Torrent not found"));
    } else {
        spritzle_fail(x, call_status_of(status), span_str(err_text(status)));
    }
}

void spritzle_answer_done(void *exchange, int status)
{
    if (status < 0) {
        spritzle_answer_failure(exchange, status);
    } else {
        http_reply(exchange, 200, NULL, span_of(NULL, 0));
    }
}

void spritzle_started(struct call *c, int status)
{
    if (status < 0) {
        spritzle_answer_failure(c->x, status);
    }
}

/* ---- session ------------------------------------------------------------------------------- */

static void get_session(struct call *c)
{
    struct spritzle_session session;
    struct buf out;
    if (!spritzle_has_client(c)) {
        return;
    }
    spritzle_session_gather(&session, c->env->parts.client);
    buf_init(&out, SESSION_MAX);
    spritzle_session_add(&out, &session);
    ASSERT(!out.bad);
    http_reply(c->x, 200, SPRITZLE_JSON_TYPE, buf_span(&out));
    buf_release(&out);
}

/* The client finds its peers by trackers and each other. */
static void get_dht(struct call *c)
{
    if (spritzle_has_client(c)) {
        http_reply(c->x, 200, SPRITZLE_JSON_TYPE, SPAN("false"));
    }
}

/* ---- list ---------------------------------------------------------------------------------- */

struct list_stream {
    const struct client *client;
    torrent_id at;
    bool begun, any;
};

static void list_release(void *ctx)
{
    free(ctx);
}

static bool list_produce(void *ctx, struct buf *out)
{
    struct list_stream *s = ctx;
    const struct engine *e = client_engine(s->client);
    if (!s->begun) {
        buf_add_byte(out, '[');
        s->begun = true;
    }
    for (size_t i = 0; i < HASHES_A_SLICE; i++) {
        struct infohash hash;
        struct client_facts facts;
        s->at = engine_next_torrent(e, s->at);
        if (s->at == 0) {
            buf_add_byte(out, ']');
            return false;
        }
        /* One that is being removed is in the engine still. */
        if (engine_info_hash(e, s->at, &hash) && client_facts(s->client, &hash, &facts) == 0) {
            buf_add_str(out, s->any ? ", \"" : "\"");
            buf_add_hex(out, span_of(hash.b, sizeof hash.b));
            buf_add_byte(out, '"');
            s->any = true;
        }
    }
    return true;
}

static void get_torrents(struct call *c)
{
    if (!spritzle_has_client(c)) {
        return;
    }
    if (client_is_loading(c->env->parts.client)) {
        spritzle_answer_failure(c->x, ERR_UNAVAILABLE);
        return;
    }
    struct list_stream *s = mem_new(struct list_stream);
    s->client = c->env->parts.client;
    http_stream(c->x, SPRITZLE_JSON_TYPE, list_produce, list_release, s);
}

/* ---- status -------------------------------------------------------------------------------- */

/* A status of one moment, on its way out: texts and lists in turn. */
struct status_stream {
    struct buf texts[3];
    uint8_t *bits[2]; /* verified_pieces and pieces; NULL: none */
    uint32_t n_pieces;
    uint32_t at;   /* in the list of this part */
    unsigned part; /* text and list, text and list, text */
};

static void status_release(void *ctx)
{
    struct status_stream *s = ctx;
    for (size_t i = 0; i < 3; i++) {
        buf_release(&s->texts[i]);
    }
    free(s->bits[0]);
    free(s->bits[1]);
    free(s);
}

static bool status_produce(void *ctx, struct buf *out)
{
    struct status_stream *s = ctx;
    unsigned i = s->part / 2;
    if (s->part % 2 == 0) {
        buf_add(out, buf_span(&s->texts[i]));
        s->part++;
        s->at = 0;
        return i < 2;
    }
    if (s->bits[i] == NULL ||
        !spritzle_json_bits(out, s->bits[i], s->n_pieces, &s->at, PIECES_A_SLICE)) {
        s->part++;
    }
    return true;
}

static void take_bits(struct status_stream *s, const struct engine *e,
                      const struct torrent_status *status)
{
    bool (*const from[2])(const struct engine *, torrent_id, uint8_t *, size_t) = {engine_verified,
                                                                                   engine_bitfield};
    size_t len = ((size_t)status->n_pieces + 7) / 8;
    s->n_pieces = status->n_pieces;
    for (size_t i = 0; i < 2 && status->n_pieces > 0; i++) {
        s->bits[i] = mem_array(len, 1);
        if (!from[i](e, status->id, s->bits[i], len)) {
            free(s->bits[i]);
            s->bits[i] = NULL;
        }
    }
}

static void get_torrent(struct call *c)
{
    struct infohash hash;
    struct spritzle_torrent t;
    struct client *client = c->env->parts.client;
    if (!spritzle_take_hash(c, &hash)) {
        return;
    }
    int rc = client_status(client, &hash, &t.status);
    rc = rc < 0 ? rc : client_facts(client, &hash, &t.facts);
    if (rc < 0) {
        spritzle_answer_failure(c->x, rc);
        return;
    }
    t.queue_position = engine_queue_position(client_engine(client), t.status.id);
    struct status_stream *s = mem_new(struct status_stream);
    for (size_t i = 0; i < 3; i++) {
        buf_init(&s->texts[i], TEXTS_MAX);
    }
    spritzle_torrent_add_head(&s->texts[0], &t);
    spritzle_torrent_add_middle(&s->texts[1], &t);
    spritzle_torrent_add_tail(&s->texts[2], &t);
    take_bits(s, client_engine(client), &t.status);
    if (s->texts[1].bad || s->texts[2].bad) {
        status_release(s);
        call_fail(c, 500, "the torrent's texts are too long to show");
        return;
    }
    http_stream(c->x, SPRITZLE_JSON_TYPE, status_produce, status_release, s);
}

/* ---- changes ------------------------------------------------------------------------------- */

static void set_paused(struct call *c, bool paused)
{
    struct infohash hash;
    if (spritzle_take_hash(c, &hash)) {
        spritzle_started(
            c, client_set_paused(c->env->parts.client, &hash, paused, spritzle_answer_done, c->x));
    }
}

static void post_pause(struct call *c)
{
    set_paused(c, true);
}

static void post_resume(struct call *c)
{
    set_paused(c, false);
}

static void get_flags(struct call *c)
{
    struct infohash hash;
    struct client_options options;
    struct buf out;
    if (!spritzle_take_hash(c, &hash)) {
        return;
    }
    int rc = client_options_of(c->env->parts.client, &hash, &options);
    if (rc < 0) {
        spritzle_answer_failure(c->x, rc);
        return;
    }
    buf_init(&out, ANSWER_MAX);
    spritzle_flags_add(&out, options.flags);
    http_reply(c->x, 200, SPRITZLE_JSON_TYPE, buf_span(&out));
    buf_release(&out);
}

static void put_flags(struct call *c)
{
    struct infohash hash;
    struct client_options options;
    struct client_change change = {.set = 0};
    char why[SPRITZLE_WHY_MAX];
    if (!spritzle_take_hash(c, &hash)) {
        return;
    }
    int rc = client_options_of(c->env->parts.client, &hash, &options);
    if (rc < 0) {
        spritzle_answer_failure(c->x, rc);
    } else if (spritzle_flags_parse(&change.set, &change.clear, options.flags, c->req->body, why) <
               0) {
        call_fail(c, 400, "%s", why);
    } else {
        spritzle_started(c, client_set_options(c->env->parts.client, &hash, &change,
                                               spritzle_answer_done, c->x));
    }
}

static const struct route routes[] = {
    {HTTP_GET, "/session", ROUTE_LOCAL, get_session},
    {HTTP_GET, "/session/dht", ROUTE_LOCAL, get_dht},
    {HTTP_GET, "/torrent", ROUTE_LOCAL, get_torrents},
    {HTTP_POST, "/torrent", ROUTE_LOCAL, spritzle_post_torrent},
    {HTTP_DELETE, "/torrent", ROUTE_LOCAL, spritzle_delete_all},
    {HTTP_GET, "/torrent/:info_hash", ROUTE_LOCAL, get_torrent},
    {HTTP_DELETE, "/torrent/:info_hash", ROUTE_LOCAL, spritzle_delete_one},
    {HTTP_POST, "/torrent/:info_hash/pause", ROUTE_LOCAL, post_pause},
    {HTTP_POST, "/torrent/:info_hash/resume", ROUTE_LOCAL, post_resume},
    {HTTP_GET, "/torrent/:info_hash/flags", ROUTE_LOCAL, get_flags},
    {HTTP_PUT, "/torrent/:info_hash/flags", ROUTE_LOCAL, put_flags},
};

const struct dialect spritzle_dialect = {
    .routes = routes,
    .n_routes = sizeof routes / sizeof routes[0],
    .otherwise = ROUTE_LOCAL,
    .fail = spritzle_fail,
};
