/* The commands about torrents. A torrent of another session is not here, but in the way. */
#include <stdlib.h>
#include <strings.h>

#include "api/call.h"
#include "api/resttorrent_impl.h"
#include "api/resttorrent_json.h"
#include "api/torrent_ops.h"
#include "base/mem.h"

#include "base/banned.h"

enum { PEERS_MAX_LEN = 16 << 20, TORRENTS_A_SLICE = 64 };

/* ---- adding a torrent ---------------------------------------------------------------------- */

struct fault_answer {
    int http_status;
    const char *code;
    const char *message; /* NULL: the fault's own */
};

static struct fault_answer answer_of(enum add_fault fault)
{
    switch (fault) {
    case ADD_BAD_TORRENT:
    case ADD_BAD_URL:
    case ADD_NOT_THERE:
        return (struct fault_answer){400, "upload.invalid", NULL};
    case ADD_BAD_PATH:
        return (struct fault_answer){400, "upload.savepath", NULL};
    case ADD_PATH_DENIED:
        return (struct fault_answer){403, "access.denied", "access denied"};
    case ADD_URL_DENIED:
        return (struct fault_answer){403, "access.denied", NULL};
    case ADD_UNREACHABLE:
        return (struct fault_answer){502, "upload.fetch", NULL};
    case ADD_NO_SESSION:
        return (struct fault_answer){404, "session.notfound", "session not found"};
    case ADD_AWAY:
        return (struct fault_answer){503, "unavailable", NULL};
    case ADD_BROKEN:
    case ADD_OK:
        break;
    }
    return (struct fault_answer){500, "internal", NULL};
}

static void give_fault(const struct resttorrent_op *op, const struct torrent_result *result)
{
    struct client_session s;
    if (client_session_of(op->client, op->session, &s) == ERR_NOT_FOUND) {
        resttorrent_give_error(op->done, op->ctx, ERR_NOT_FOUND, "session"); /* it went meanwhile */
        return;
    }
    struct fault_answer a = answer_of(result->fault);
    resttorrent_give_failure(op->done, op->ctx, a.http_status, a.code,
                             a.message != NULL ? a.message : result->why);
}

static void give_added(const struct resttorrent_op *op, const struct infohash *hash)
{
    struct torrent_status status;
    struct client_facts facts;
    struct buf body;
    int rc = client_status(op->client, hash, &status);
    rc = rc < 0 ? rc : client_facts(op->client, hash, &facts);
    if (rc < 0) {
        resttorrent_give_error(op->done, op->ctx, rc, "torrent"); /* somebody removed it again */
    } else if (status.session != op->session) {
        resttorrent_give_failure(op->done, op->ctx, 409, "torrent.exists",
                                 "the torrent is in another session");
    } else {
        resttorrent_begin_success(&body, RESTTORRENT_ANSWER_MAX);
        buf_add_byte(&body, ',');
        resttorrent_add_torrent(&body, &status, &facts, REST_ALL_FIELDS);
        buf_add_byte(&body, '}');
        resttorrent_give(op->done, op->ctx, 200, &body);
    }
}

static void on_torrent_added(void *ctx, const struct torrent_result *result)
{
    struct resttorrent_op *op = ctx;
    if (result->fault == ADD_OK) {
        give_added(op, &result->hash);
    } else {
        give_fault(op, result);
    }
    free(op);
}

/* False when the command was answered. */
static bool take_source(const struct resttorrent_call *r, struct torrent_request *request)
{
    static const char scheme[] = "magnet:";
    struct span magnet;
    (void)resttorrent_params_get(r->params, REST_FILE, &request->metainfo);
    (void)resttorrent_params_get(r->params, REST_MAGNET, &magnet);
    (void)resttorrent_params_get(r->params, REST_URL, &request->url);
    if ((request->metainfo.n > 0) + (magnet.n > 0) + (request->url.n > 0) != 1) {
        resttorrent_refuse(r, 400, "upload.target.selectone", "select one of file, magnet, url");
        return false;
    }
    if (magnet.n == 0) {
        return true;
    }
    if (magnet.n < sizeof scheme ||
        strncasecmp((const char *)magnet.p, scheme, sizeof scheme - 1) != 0) {
        resttorrent_refuse(r, 400, "upload.invalid", "not a magnet link");
        return false;
    }
    request->url = magnet;
    return true;
}

/* False when the command was answered. */
static bool take_options(const struct resttorrent_call *r, const struct client_session *s,
                         struct client_add *options)
{
    struct span mode;
    bool autostart;
    (void)resttorrent_params_get(r->params, REST_SAVE_PATH, &options->save_path);
    if (options->save_path.n == 0) {
        resttorrent_refuse(r, 400, "upload.savepath", "save_path required");
        return false;
    }
    if (!resttorrent_params_flag(r->params, REST_AUTOSTART, true, &autostart)) {
        resttorrent_refuse(r, 400, "param.invalid", "autostart must be 0 or 1");
        return false;
    }
    if (!resttorrent_params_flag(r->params, REST_MEMORY_ONLY, s->memory_only,
                                 &options->memory_only)) {
        resttorrent_refuse(r, 400, "param.invalid", "memory_only must be 0 or 1");
        return false;
    }
    bool given = resttorrent_params_get(r->params, REST_STORAGE_MODE, &mode);
    options->allocate = span_eq(mode, SPAN("allocate"));
    if (given && !options->allocate && !span_eq(mode, SPAN("sparse"))) {
        resttorrent_refuse(r, 400, "param.invalid", "storage_mode must be sparse or allocate");
        return false;
    }
    options->session = s->id;
    options->flags = autostart ? 0 : TORRENT_PAUSED;
    return true;
}

void resttorrent_upload_torrent(const struct resttorrent_call *r)
{
    struct client_session s;
    struct torrent_request request = {.url = {NULL, 0}};
    struct torrent_result refused;
    if (!resttorrent_find_session(r, &s) || !take_source(r, &request) ||
        !take_options(r, &s, &request.options)) {
        return;
    }
    struct resttorrent_op *op = resttorrent_op_new(r, s.id);
    if (torrent_ops_add(r->parts, &request, on_torrent_added, op, &refused) < 0) {
        on_torrent_added(op, &refused);
    }
}

/* ---- torrents ------------------------------------------------------------------------------ */

struct list_stream {
    struct client *client;
    session_id session;
    torrent_id after;
    unsigned fields;
    bool begun, any;
};

static void add_listed(struct list_stream *l, struct buf *out)
{
    struct torrent_status status;
    struct client_facts facts;
    if (engine_status(client_engine(l->client), l->after, &status, client_now_ms(l->client)) < 0 ||
        client_facts(l->client, &status.info_hash, &facts) < 0) {
        return;
    }
    buf_add_str(out, l->any ? ",{" : "{");
    resttorrent_add_torrent(out, &status, &facts, l->fields);
    buf_add_byte(out, '}');
    l->any = true;
}

/* A session that is removed meanwhile ends its list, so that the answer stays JSON. */
static bool list_produce(void *ctx, struct buf *out)
{
    struct list_stream *l = ctx;
    buf_add_str(out, l->begun ? "" : "{\"status\":\"success\",\"torrents\":[");
    l->begun = true;
    for (int i = 0; i < TORRENTS_A_SLICE; i++) {
        l->after = client_session_torrent(l->client, l->session, l->after);
        if (l->after == 0) {
            buf_add_str(out, "]}");
            return false;
        }
        add_listed(l, out);
    }
    return true;
}

void resttorrent_get_torrent_list(const struct resttorrent_call *r)
{
    struct client_session s;
    struct span fields;
    if (!resttorrent_find_session(r, &s)) {
        return;
    }
    (void)resttorrent_params_get(r->params, REST_FIELDS, &fields);
    struct list_stream *l = mem_new(struct list_stream);
    l->client = r->client;
    l->session = s.id;
    l->fields = fields.n > 0 ? resttorrent_fields(fields) : REST_ALL_FIELDS;
    const struct resttorrent_answer answer = {
        .http_status = 200, .produce = list_produce, .release = free, .ctx = l};
    r->done(r->ctx, &answer);
}

void resttorrent_get_torrent(const struct resttorrent_call *r)
{
    struct resttorrent_found f;
    struct buf body;
    if (!resttorrent_find_torrent(r, &f)) {
        return;
    }
    resttorrent_begin_success(&body, RESTTORRENT_ANSWER_MAX);
    buf_add_byte(&body, ',');
    resttorrent_add_torrent(&body, &f.status, &f.facts, REST_ALL_FIELDS);
    buf_add_byte(&body, '}');
    resttorrent_give(r->done, r->ctx, 200, &body);
}

static void on_commanded(void *ctx, int status)
{
    struct resttorrent_op *op = ctx;
    if (status < 0) {
        resttorrent_give_error(op->done, op->ctx, status, "torrent");
    } else {
        resttorrent_give_success(op->done, op->ctx);
    }
    free(op);
}

void resttorrent_command_torrent(const struct resttorrent_call *r)
{
    struct resttorrent_found f;
    struct span ignored;
    bool pause;
    if (!resttorrent_find_torrent(r, &f)) {
        return;
    }
    if (!resttorrent_params_flag(r->params, REST_PAUSE, false, &pause)) {
        resttorrent_refuse(r, 400, "param.invalid", "pause must be 0 or 1");
    } else if (!resttorrent_params_get(r->params, REST_PAUSE, &ignored)) {
        resttorrent_give_success(r->done, r->ctx);
    } else {
        struct resttorrent_op *op = resttorrent_op_new(r, f.session.id);
        int status = client_set_paused(r->client, &f.status.info_hash, pause, on_commanded, op);
        if (status < 0) {
            on_commanded(op, status);
        }
    }
}

void resttorrent_get_peers(const struct resttorrent_call *r)
{
    struct resttorrent_found f;
    struct buf body;
    struct peer_view peer;
    if (!resttorrent_find_torrent(r, &f)) {
        return;
    }
    resttorrent_begin_success(&body, PEERS_MAX_LEN);
    buf_add_str(&body, ",\"peers\":[");
    for (size_t i = 0;
         engine_peer(client_engine(r->client), f.status.id, i, &peer, client_now_ms(r->client));
         i++) {
        buf_add_str(&body, i > 0 ? ",{" : "{");
        resttorrent_add_peer(&body, &peer);
        buf_add_byte(&body, '}');
    }
    buf_add_str(&body, "]}");
    resttorrent_give(r->done, r->ctx, 200, &body);
}
