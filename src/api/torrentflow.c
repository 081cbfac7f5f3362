/* Happy path   POST reads the form -> torrent_ops_add -> answered after the commit. GET streams the
 *              status, files in slices. PUT and DELETE ask the client and wait for its word.
 * Failures     {"detail": text}; a field of the wrong kind: 422 with a list of what is wrong where.
 * At the end   every pending was freed by the one who answered.
 */
#include "api/torrentflow.h"

#include <stdlib.h>
#include <string.h>

#include "api/form.h"
#include "api/hash_param.h"
#include "api/torrent_ops.h"
#include "api/torrentflow_status.h"
#include "base/json.h"
#include "base/mem.h"

#include "base/banned.h"

enum {
    ANSWER_MAX = 4096,
    TEXT_MAX = 65536,   /* bytes of torrent_url or save_path: a magnet link may be long */
    HEAD_MAX = 900000,  /* bytes of a status without its files; a slice can hold it */
    FILES_A_SLICE = 64, /* of a status */
};

#define NOT_FOUND "Torrent not found"

static void fail(struct http_exchange *x, int status, struct span reason)
{
    struct buf out;
    if (status == 404 && span_eq(reason, SPAN("not found"))) {
        reason = SPAN("Not Found");
    } else if (status == 405) {
        reason = SPAN("Method Not Allowed");
    }
    buf_init(&out, ANSWER_MAX);
    buf_add_str(&out, "{\"detail\":");
    json_add_string(&out, reason);
    buf_add_byte(&out, '}');
    http_reply(x, status, JSON_TYPE, buf_span(&out));
    buf_release(&out);
}

static bool has_client(struct call *c)
{
    if (c->env->parts.client == NULL) {
        call_fail(c, 503, "the client is switched off");
        return false;
    }
    return true;
}

/* A hash that is none is a torrent that is not here. False when the call was answered. */
static bool take_hash(struct call *c, struct infohash *out)
{
    if (!has_client(c)) {
        return false;
    }
    if (!hash_param_parse(out, c->params[0])) {
        call_fail(c, 404, NOT_FOUND);
        return false;
    }
    return true;
}

/* ---- adding -------------------------------------------------------------------------------- */

/* What the form asks for. */
struct add_form {
    struct buf url;
    struct buf save_path;
    struct span file;
    unsigned n_files;
    bool file_is_text;
};

static void add_form_release(struct add_form *form)
{
    buf_release(&form->url);
    buf_release(&form->save_path);
}

static bool take_field(struct call *c, struct add_form *form, const struct form_field *field)
{
    if (span_eq(field->name, SPAN("torrent_url"))) {
        return call_take_text(c, &form->url, field);
    }
    if (span_eq(field->name, SPAN("save_path"))) {
        return call_take_text(c, &form->save_path, field);
    }
    if (span_eq(field->name, SPAN("torrent_file"))) {
        form->file_is_text = form->file_is_text || field->encoded;
        form->file = field->value;
        form->n_files++;
    }
    return true;
}

/* False when the call was answered. */
static bool read_form(struct call *c, struct add_form *form)
{
    struct span type = {NULL, 0};
    struct form walk;
    struct form_field field;
    const char *why = NULL;
    (void)http_header(c->req, "content-type", &type);
    int status = form_begin(&walk, type, c->req->body, &why);
    while (status == 0 && (status = form_next(&walk, &field, &why)) == 1) {
        if (!take_field(c, form, &field)) {
            return false;
        }
        status = 0;
    }
    if (status < 0) {
        call_fail(c, 400, "%s", why);
    } else if (form->file_is_text) {
        http_reply(c->x, 422, JSON_TYPE,
                   SPAN("{\"detail\":[{\"loc\":[\"body\",\"torrent_file\"],"
                        "\"msg\":\"Expected a file\",\"type\":\"value_error\"}]}"));
    } else if (form->n_files > 1) {
        call_fail(c, 400, "more than one torrent_file");
    } else if (form->url.len == 0 && form->file.n == 0) {
        call_fail(c, 400, "Either torrent_url or torrent_file must be provided");
    } else {
        return true;
    }
    return false;
}

static int status_of(enum add_fault fault)
{
    switch (fault) {
    case ADD_OK:
        return 200;
    case ADD_BAD_TORRENT:
    case ADD_BAD_URL:
    case ADD_UNREACHABLE:
    case ADD_NOT_THERE:
    case ADD_BAD_PATH:
        return 400;
    case ADD_URL_DENIED:
    case ADD_PATH_DENIED:
        return 403;
    case ADD_AWAY:
        return 503;
    case ADD_NO_SESSION: /* the one that is always there */
    case ADD_BROKEN:
        break;
    }
    return 500;
}

static void answer_added(struct http_exchange *x, const struct torrent_result *r)
{
    if (r->fault != ADD_OK) {
        fail(x, status_of(r->fault), span_str(r->why));
        return;
    }
    struct buf out;
    char hash[HEX20_LEN + 1];
    hex_encode(hash, span_of(r->hash.b, sizeof r->hash.b));
    buf_init(&out, ANSWER_MAX);
    buf_addf(&out, "{\"infohash\":\"%s\",\"info_hash\":\"%s\"}", hash, hash);
    http_reply(x, 200, JSON_TYPE, buf_span(&out));
    buf_release(&out);
}

static void on_added(void *exchange, const struct torrent_result *result)
{
    answer_added(exchange, result);
}

static void post_torrent(struct call *c)
{
    struct add_form form = {.n_files = 0};
    if (!has_client(c)) {
        return;
    }
    buf_init(&form.url, TEXT_MAX);
    buf_init(&form.save_path, TEXT_MAX);
    if (read_form(c, &form)) {
        const struct torrent_request request = {
            .url = buf_span(&form.url),
            .metainfo = form.file,
            .options.save_path = buf_span(&form.save_path),
        };
        struct torrent_result refused;
        if (torrent_ops_add(&c->env->parts, &request, on_added, c->x, &refused) < 0) {
            answer_added(c->x, &refused);
        }
    }
    add_form_release(&form);
}

static void answer_failure(struct http_exchange *x, int status)
{
    if (status == ERR_NOT_FOUND) {
        fail(x, 404, SPAN(NOT_FOUND));
    } else {
        fail(x, call_status_of(status), span_str(err_text(status)));
    }
}

/* ---- one torrent --------------------------------------------------------------------------- */

/* A call about a torrent, which may have to wait until the stored ones are loaded. */
struct torrent_call {
    struct http_exchange *x;
    struct client *client;
    struct infohash hash;
    void (*go)(const struct torrent_call *c);
};

static void on_loaded(void *ctx, int status)
{
    struct torrent_call *c = ctx;
    if (status < 0) {
        answer_failure(c->x, status);
    } else {
        c->go(c);
    }
    free(c);
}

static void for_torrent(struct call *c, void (*go)(const struct torrent_call *c))
{
    struct infohash hash;
    if (!take_hash(c, &hash)) {
        return;
    }
    struct client *client = c->env->parts.client;
    struct torrent_call *t = mem_new(struct torrent_call);
    *t = (struct torrent_call){c->x, client, hash, go};
    if (!client_when_loaded(client, on_loaded, t)) {
        on_loaded(t, 0);
    }
}

/* ---- status -------------------------------------------------------------------------------- */

struct status_stream {
    struct client *client;
    torrent_id id;
    struct buf head; /* of the moment of the request; empty once it is out */
    bool has_files;
    struct torrentflow_files at;
};

static void status_release(void *ctx)
{
    struct status_stream *s = ctx;
    buf_release(&s->head);
    free(s);
}

/* A torrent that is removed meanwhile ends its list, so that the answer stays JSON. */
static bool status_produce(void *ctx, struct buf *out)
{
    struct status_stream *s = ctx;
    const struct layout *layout =
        s->has_files ? engine_layout(client_engine(s->client), s->id) : NULL;
    if (s->head.len > 0) {
        buf_add(out, buf_span(&s->head));
        buf_clear(&s->head);
        return true;
    }
    if (torrentflow_status_add_files(out, layout, &s->at, FILES_A_SLICE)) {
        return true;
    }
    torrentflow_status_add_tail(out);
    return false;
}

static void show(const struct torrent_call *c)
{
    struct torrent_status status;
    struct client_facts facts;
    int rc = client_status(c->client, &c->hash, &status);
    rc = rc < 0 ? rc : client_facts(c->client, &c->hash, &facts);
    if (rc < 0) {
        answer_failure(c->x, rc);
        return;
    }
    const struct layout *layout = engine_layout(client_engine(c->client), status.id);
    struct status_stream *s = mem_new(struct status_stream);
    s->client = c->client;
    s->id = status.id;
    s->has_files = layout != NULL;
    buf_init(&s->head, HEAD_MAX);
    torrentflow_status_add_head(&s->head, &status, &facts, layout);
    if (s->head.bad) {
        status_release(s);
        fail(c->x, 500, SPAN("the torrent's texts are too long to show"));
        return;
    }
    http_stream(c->x, JSON_TYPE, status_produce, status_release, s);
}

static void get_torrent(struct call *c)
{
    for_torrent(c, show);
}

/* ---- changes ------------------------------------------------------------------------------- */

struct pending {
    struct http_exchange *x;
    const char *what; /* "Torrent paused" */
};

static void on_done(void *ctx, int status)
{
    struct pending *p = ctx;
    if (status < 0) {
        answer_failure(p->x, status);
    } else {
        struct buf out;
        buf_init(&out, ANSWER_MAX);
        buf_addf(&out, "{\"detail\":\"%s\",\"result\":\"%s\"}", p->what, p->what);
        http_reply(p->x, 200, JSON_TYPE, buf_span(&out));
        buf_release(&out);
    }
    free(p);
}

static struct pending *pending_new(const struct torrent_call *c, const char *what)
{
    struct pending *p = mem_new(struct pending);
    p->x = c->x;
    p->what = what;
    return p;
}

static void pending_started(struct pending *p, int status)
{
    if (status < 0) {
        answer_failure(p->x, status);
        free(p);
    }
}

static void remove_it(const struct torrent_call *c)
{
    struct pending *p = pending_new(c, "Torrent removed");
    pending_started(p, client_remove(c->client, &c->hash, false, on_done, p));
}

static void delete_torrent(struct call *c)
{
    for_torrent(c, remove_it);
}

static void pause_it(const struct torrent_call *c)
{
    struct pending *p = pending_new(c, "Torrent paused");
    pending_started(p, client_set_paused(c->client, &c->hash, true, on_done, p));
}

static void put_pause(struct call *c)
{
    for_torrent(c, pause_it);
}

static void resume_it(const struct torrent_call *c)
{
    struct pending *p = pending_new(c, "Torrent resumed");
    pending_started(p, client_set_paused(c->client, &c->hash, false, on_done, p));
}

static void put_resume(struct call *c)
{
    for_torrent(c, resume_it);
}

static const struct route routes[] = {
    {HTTP_POST, "/torrents", ROUTE_LOCAL, post_torrent},
    {HTTP_GET, "/torrents/:infohash", ROUTE_LOCAL, get_torrent},
    {HTTP_DELETE, "/torrents/:infohash", ROUTE_LOCAL, delete_torrent},
    {HTTP_PUT, "/torrents/:infohash/pause", ROUTE_LOCAL, put_pause},
    {HTTP_PUT, "/torrents/:infohash/resume", ROUTE_LOCAL, put_resume},
};

const struct dialect torrentflow_dialect = {
    .routes = routes,
    .n_routes = sizeof routes / sizeof routes[0],
    .otherwise = ROUTE_LOCAL,
    .fail = fail,
};
