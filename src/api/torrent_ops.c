/* Happy path   a .torrent or a magnet link -> client_add -> on_added -> done. A URL -> http_get_start
 *              -> on_fetched -> client_add with the body -> on_added -> done.
 * Failures     each becomes an add_fault with a text. The server is closing: the fetch ends with
 *              ERR_CANCELED, and the client is not asked for anything any more.
 * At the end   the op is freed by whoever answered.
 */
#include "api/torrent_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/url_policy.h"
#include "base/buf.h"
#include "base/mem.h"
#include "net/http_client.h"

#include "base/banned.h"

enum { TEXTS_MAX = 1 << 20 };

struct add_op {
    struct client *client;
    enum url_fetch fetch;
    uint64_t max_body;
    struct client_add options;
    struct buf texts;      /* what the spans of options point into */
    struct span *trackers; /* options.trackers */
    char user_agent[64];
    torrent_added done;
    void *ctx;
};

static void op_free(struct add_op *op)
{
    buf_release(&op->texts);
    free(op->trackers);
    free(op);
}

static struct torrent_result fault(enum add_fault what, const char *why)
{
    struct torrent_result r = {.fault = what};
    (void)snprintf(r.why, sizeof r.why, "%s", why);
    return r;
}

/* What client_add objected to. committing: what was given is good, it failed on its way in. */
static struct torrent_result client_fault(int status, const struct err *e, bool committing)
{
    const char *why = e != NULL && e->code < 0 ? e->msg : err_text(status);
    switch (status) {
    case ERR_MALFORMED:
        return fault(ADD_BAD_TORRENT, why);
    case ERR_LIMIT:
        return fault(committing ? ADD_AWAY : ADD_BAD_TORRENT, why);
    case ERR_DENIED:
        return fault(ADD_PATH_DENIED, why);
    case ERR_INVALID:
        return fault(ADD_BAD_PATH, why);
    case ERR_NOT_FOUND:
        return fault(ADD_NO_SESSION, why);
    case ERR_NO_SPACE:
    case ERR_SYSTEM:
        return fault(committing ? ADD_BROKEN : ADD_BAD_PATH, why);
    case ERR_UNAVAILABLE:
    case ERR_TIMEOUT:
    case ERR_CANCELED:
    case ERR_CLOSED:
    case ERR_IN_USE:
        return fault(ADD_AWAY, why);
    default:
        return fault(ADD_BROKEN, why);
    }
}

static void op_finish(struct add_op *op, const struct torrent_result *result)
{
    op->done(op->ctx, result);
    op_free(op);
}

static void on_added(void *ctx, int status, const struct infohash *hash, bool existed,
                     const struct err *e)
{
    struct torrent_result r = {.fault = ADD_OK, .existed = existed || status == ERR_EXISTS};
    /* The database had it, and whoever put it there was faster. */
    if (status < 0 && status != ERR_EXISTS) {
        r = client_fault(status, e, true);
    } else {
        r.hash = *hash;
    }
    op_finish(ctx, &r);
}

/* Gives it to the client; returns a negative code with *refused filled, the op still ours. */
static int op_add(struct add_op *op, struct span metainfo, struct span magnet,
                  struct torrent_result *refused)
{
    struct client_add add = op->options;
    struct err e = {.code = 0};
    add.metainfo = metainfo;
    add.magnet = magnet;
    int status = client_add(op->client, &add, on_added, op, &e);
    if (status < 0) {
        *refused = client_fault(status, &e, false);
    }
    return status;
}

/* ---- by URL -------------------------------------------------------------------------------- */

static struct torrent_result fetch_fault(const struct http_response *r)
{
    struct torrent_result out;
    switch (r->status) {
    case ERR_DENIED:
        return fault(ADD_URL_DENIED, "api.url_fetch does not allow the address it leads to");
    case ERR_LIMIT:
        return fault(ADD_NOT_THERE, "what the URL returned is larger than api.max_body");
    case ERR_MALFORMED:
        return fault(ADD_NOT_THERE, "what the URL returned is not HTTP");
    case ERR_CANCELED:
        return fault(ADD_AWAY, "the server is stopping");
    case 0:
        out = fault(ADD_NOT_THERE, "");
        (void)snprintf(out.why, sizeof out.why, "the URL returned http statusCode=%ld",
                       r->http_status);
        return out;
    default:
        return fault(ADD_UNREACHABLE, r->why != NULL ? r->why : err_text(r->status));
    }
}

static void on_fetched(void *ctx, const struct http_response *r)
{
    struct add_op *op = ctx;
    struct torrent_result result;
    if (r->status != 0 || r->http_status != 200) {
        result = fetch_fault(r);
        op_finish(op, &result);
        return;
    }
    if (op_add(op, r->body, span_of(NULL, 0), &result) < 0) {
        if (result.fault == ADD_BAD_TORRENT) {
            result.fault = ADD_NOT_THERE;
        }
        op_finish(op, &result);
    }
}

static bool allow(void *ctx, const struct addr *addr, bool first)
{
    const struct add_op *op = ctx;
    (void)first;
    return url_policy_allows(op->fetch, addr);
}

static int op_fetch(struct add_op *op, struct span url, const char *version,
                    struct torrent_result *refused)
{
    struct http_get *get;
    if (!url_policy_is_url(url)) {
        *refused = fault(ADD_BAD_URL, "not an http or https URL or a magnet link");
        return ERR_INVALID;
    }
    if (op->fetch == URL_FETCH_OFF) {
        *refused = fault(ADD_URL_DENIED, "fetching URLs is switched off by api.url_fetch");
        return ERR_DENIED;
    }
    char *text = mem_strndup((const char *)url.p, url.n);
    (void)snprintf(op->user_agent, sizeof op->user_agent, "Rookery/%s", version);
    const struct http_get_opts opts = {
        .url = text,
        .user_agent = op->user_agent,
        .timeout_ms = TORRENT_FETCH_MS,
        .max_len = (size_t)op->max_body,
        .max_redirects = TORRENT_FETCH_REDIRECTS,
        .allow = allow,
        .done = on_fetched,
        .ctx = op,
    };
    int status = http_get_start(&get, client_http(op->client), &opts);
    free(text);
    if (status == ERR_LIMIT) {
        *refused = fault(ADD_AWAY, "too many URLs are being fetched");
    } else if (status < 0) {
        *refused = fault(ADD_BAD_URL, "not an http or https URL or a magnet link");
    }
    return status;
}

static bool is_magnet(struct span url)
{
    static const char scheme[] = "magnet:";
    return url.n >= sizeof scheme - 1 &&
           strncasecmp((const char *)url.p, scheme, sizeof scheme - 1) == 0;
}

/* Moves *at behind what was added to the texts. */
static struct span take_copy(const struct add_op *op, size_t *at, size_t n)
{
    struct span s = span_sub(buf_span(&op->texts), *at, n);
    *at += n;
    return s;
}

/* The caller's spans are borrowed for the call only. False: that is more than anybody means. */
static bool copy_options(struct add_op *op, const struct client_add *from)
{
    struct client_add *to = &op->options;
    size_t at = 0;
    *to = *from;
    buf_init(&op->texts, TEXTS_MAX);
    buf_add(&op->texts, from->save_path);
    buf_add(&op->texts, from->name);
    buf_add(&op->texts, from->priorities);
    for (size_t i = 0; i < from->n_trackers; i++) {
        buf_add(&op->texts, from->trackers[i]);
    }
    if (op->texts.bad) {
        return false;
    }
    op->trackers = mem_array(from->n_trackers + 1, sizeof *op->trackers);
    to->trackers = op->trackers;
    to->save_path = take_copy(op, &at, from->save_path.n);
    to->name = take_copy(op, &at, from->name.n);
    to->priorities = take_copy(op, &at, from->priorities.n);
    for (size_t i = 0; i < from->n_trackers; i++) {
        op->trackers[i] = take_copy(op, &at, from->trackers[i].n);
    }
    return true;
}

int torrent_ops_add(const struct api_parts *parts, const struct torrent_request *request,
                    torrent_added done, void *ctx, struct torrent_result *refused)
{
    struct add_op *op = mem_new(struct add_op);
    struct span path = request->options.save_path;
    int status;
    op->client = parts->client;
    op->fetch = (enum url_fetch)parts->cfg->api.url_fetch;
    op->max_body = parts->cfg->api.max_body;
    op->done = done;
    op->ctx = ctx;
    if (!copy_options(op, &request->options)) {
        *refused = fault(ADD_BAD_PATH, "the options are too long");
        status = ERR_LIMIT;
    } else if (path.n > 0 && memchr(path.p, '\0', path.n) != NULL) {
        *refused = fault(ADD_BAD_PATH, "the save path has a NUL byte");
        status = ERR_INVALID;
    } else if (request->url.n == 0) {
        status = op_add(op, request->metainfo, span_of(NULL, 0), refused);
    } else if (is_magnet(request->url)) {
        status = op_add(op, span_of(NULL, 0), request->url, refused);
    } else {
        status = op_fetch(op, request->url, parts->version, refused);
    }
    if (status < 0) {
        op_free(op);
    }
    return status;
}
