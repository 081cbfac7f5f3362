/* Happy path   as in torrust_calls.c; the handlers here are those that only /api/v1 has.
 * Failures     fail() turns them into version 3's words: every 401 and 5xx is a 500 whose text
 *              looks like a framework's error dump, because programs match on that text.
 */
#include "api/torrust.h"

#include <stdlib.h>
#include <strings.h>

#include "api/bulk.h"
#include "api/key_body.h"
#include "api/metrics.h"
#include "api/query.h"
#include "api/torrust_calls.h"
#include "base/json.h"
#include "base/parse.h"

#include "base/banned.h"

enum {
    LIST_LIMIT = 4000,
    KEY_BODY_MAX = 65536,
    BULK_MAX = 32 << 20, /* bytes of hashes */
};

static void fail(struct http_exchange *x, int status, struct span reason)
{
    struct buf out;
    buf_init(&out, 8192);
    if (status == 401 || status == 429 || status >= 500) {
        buf_add(&out, SPAN("Unhandled rejection: Err { reason: "));
        json_add_string(&out, reason);
        buf_add(&out, SPAN(" }"));
    } else if (status != 404 && status != 405) {
        buf_add(&out, reason);
    }
    http_reply(x, status == 401 || status > 500 ? 500 : status, TEXT_TYPE, buf_span(&out));
    buf_release(&out);
}

static void get_metrics(struct call *c)
{
    bool prometheus;
    if (torrust_format(c, &prometheus)) {
        metrics_answer(c, !prometheus);
    }
}

static void get_whitelist(struct call *c)
{
    struct page page;
    if (torrust_page(c, LIST_LIMIT, &page)) {
        torrust_stream_whitelist(c, &page);
    }
}

static void get_keys(struct call *c)
{
    struct page page;
    if (torrust_page(c, LIST_LIMIT, &page)) {
        torrust_stream_keys(c, &page);
    }
}

/* Is the body's media type this one? Parameters behind ';' do not count. */
static bool has_type(const struct call *c, const char *type)
{
    struct span value;
    if (!http_header(c->req, "content-type", &value)) {
        return false;
    }
    value = span_cut(value, ';', NULL);
    while (value.n > 0 && value.p[value.n - 1] == ' ') {
        value.n--;
    }
    return value.n == strlen(type) && strncasecmp((const char *)value.p, type, value.n) == 0;
}

/* ---- many hashes at once ----------------------------------------------------------------- */

static void on_bulk_added(void *pending, int status, size_t n)
{
    struct torrust_pending *p = pending;
    struct buf out;
    if (status < 0) {
        torrust_pending_fail(p, status);
        return;
    }
    buf_init(&out, 256);
    buf_addf(&out, "{\"status\":\"ok\",\"added\":%zu,\"given\":%zu}", n, p->n_given);
    http_reply(p->x, 200, JSON_TYPE, buf_span(&out));
    buf_release(&out);
    free(p);
}

static void bulk_add(struct call *c, const struct buf *hashes)
{
    struct torrust_pending *p = torrust_pending_new(c, "failed to whitelist torrents");
    size_t n = hashes->len / sizeof(struct infohash);
    p->n_given = n;
    if (n == 0) {
        on_bulk_added(p, 0, 0);
        return;
    }
    torrust_pending_started(
        p, ops_whitelist_add(&c->env->parts, (struct infohash *)hashes->p, n, on_bulk_added, p));
}

static void post_whitelist_bulk(struct call *c)
{
    bool json = has_type(c, "application/json");
    struct bulk_error bad = {.line = 0};
    struct buf hashes;
    if (!json && !has_type(c, "text/plain")) {
        call_fail(c, 415,
                  "expected `Content-Type: application/json` (an array of hashes) or "
                  "`text/plain` (one hash a line)");
        return;
    }
    buf_init(&hashes, BULK_MAX);
    int status = json ? bulk_parse_json(&hashes, c->req->body, &bad)
                      : bulk_parse_text(&hashes, c->req->body, &bad);
    if (status == 0) {
        bulk_add(c, &hashes);
    } else if (status == ERR_INVALID) {
        call_fail(c, 400, "%s %zu: invalid infohash \"%.*s\", expected a 40 character long string",
                  json ? "item" : "line", bad.line, SHOWN(bad.value));
    } else if (status == ERR_LIMIT) {
        call_fail(c, 413, "too many hashes");
    } else {
        call_fail(c, 400, "item %zu: expected a JSON array of strings, found: %.*s", bad.line,
                  SHOWN(bad.value));
    }
    buf_release(&hashes);
}

/* ---- keys -------------------------------------------------------------------------------- */

static void post_keys(struct call *c)
{
    struct key_body body;
    const char *why = NULL;
    if (!has_type(c, "application/json")) {
        call_fail(c, 415, "Expected request with `Content-Type: application/json`");
        return;
    }
    int status =
        c->req->body.n > KEY_BODY_MAX ? ERR_MALFORMED : key_body_parse(&body, c->req->body, &why);
    if (status == ERR_MALFORMED) {
        call_fail(c, 400, "Failed to parse the request body as JSON");
        return;
    }
    if (status < 0) {
        call_fail(c, 422, "Failed to deserialize the JSON body into the target type: %s", why);
        return;
    }
    torrust_create_key(c, &body.req, body.seconds);
    key_body_release(&body);
}

/* ---- peers ------------------------------------------------------------------------------- */

/* "0x" and 40 hex digits, the digits alone, or the 20 bytes themselves. */
static bool parse_peer_id(struct peer_id *out, struct span text)
{
    if (text.n == sizeof out->b) {
        memcpy(out->b, text.p, sizeof out->b);
        return true;
    }
    if (span_starts_with(text, SPAN("0x"))) {
        text = span_sub(text, 2, text.n);
    }
    return hex_decode(out->b, sizeof out->b, text);
}

static bool take_filter(struct peer_filter *f, struct span name, struct span text)
{
    if (span_eq(name, SPAN("ip"))) {
        f->by_ip = true;
        return addr_parse(&f->ip, text);
    }
    if (span_eq(name, SPAN("peer_id"))) {
        f->by_peer_id = true;
        return parse_peer_id(&f->peer_id, text);
    }
    if (span_eq(name, SPAN("key"))) {
        f->by_key = true;
        if (key_check(text) != KEY_OK) {
            return false;
        }
        memcpy(f->key, text.p, ACCESS_KEY_LEN);
    }
    return true;
}

static void get_peers(struct call *c)
{
    struct peer_filter filter = {.by_ip = false};
    struct span rest = c->req->query;
    struct span name;
    struct span value;
    while (query_next(&rest, &name, &value)) {
        uint8_t text[QUERY_VALUE_MAX];
        long n = percent_decode(text, sizeof text, value);
        if (!take_filter(&filter, name, span_of(text, n < 0 ? 0 : (size_t)n))) {
            call_fail(c, 400, "invalid %.*s \"%.*s\": expected %s", SHOWN(name), SHOWN(value),
                      span_eq(name, SPAN("ip"))    ? "an IPv4 or IPv6 address"
                      : span_eq(name, SPAN("key")) ? "32 letters and digits"
                                                   : "40 hex digits");
            return;
        }
    }
    if (!filter.by_ip && !filter.by_peer_id && !filter.by_key) {
        call_fail(c, 400, "expected at least one of ip, peer_id and key");
        return;
    }
    torrust_stream_found_peers(c, &filter);
}

static void delete_torrent(struct call *c)
{
    struct infohash hash;
    if (!torrust_hash(c, c->params[0], &hash)) {
        return;
    }
    if (tracker_forget(c->env->parts.tracker, &hash) < 0) {
        http_reply(c->x, 404, JSON_TYPE, SPAN("\"torrent not known\""));
        return;
    }
    http_reply(c->x, 200, JSON_TYPE, SPAN("{\"status\":\"ok\"}"));
}

static const struct route routes[] = {
    {HTTP_GET, "/api/v1/stats", ROUTE_TOKEN, torrust_get_stats},
    {HTTP_GET, "/api/v1/metrics", ROUTE_TOKEN, get_metrics},
    {HTTP_GET, "/api/v1/torrents", ROUTE_TOKEN, torrust_get_torrents},
    {HTTP_GET, "/api/v1/torrent/:info_hash", ROUTE_TOKEN, torrust_get_torrent},
    {HTTP_DELETE, "/api/v1/torrent/:info_hash", ROUTE_TOKEN, delete_torrent},
    {HTTP_GET, "/api/v1/peers", ROUTE_TOKEN, get_peers},
    {HTTP_GET, "/api/v1/whitelist", ROUTE_TOKEN, get_whitelist},
    {HTTP_POST, "/api/v1/whitelist", ROUTE_TOKEN, post_whitelist_bulk},
    {HTTP_GET, "/api/v1/whitelist/reload", ROUTE_TOKEN, torrust_reload_whitelist},
    {HTTP_POST, "/api/v1/whitelist/:info_hash", ROUTE_TOKEN, torrust_post_whitelist},
    {HTTP_DELETE, "/api/v1/whitelist/:info_hash", ROUTE_TOKEN, torrust_delete_whitelist},
    {HTTP_GET, "/api/v1/keys", ROUTE_TOKEN, get_keys},
    {HTTP_POST, "/api/v1/keys", ROUTE_TOKEN, post_keys},
    {HTTP_GET, "/api/v1/keys/reload", ROUTE_TOKEN, torrust_reload_keys},
    {HTTP_POST, "/api/v1/key/:seconds_valid_or_key", ROUTE_TOKEN, torrust_post_key},
    {HTTP_DELETE, "/api/v1/key/:seconds_valid_or_key", ROUTE_TOKEN, torrust_delete_key},
};

const struct dialect torrust_v1_dialect = {
    .routes = routes,
    .n_routes = sizeof routes / sizeof routes[0],
    .otherwise = ROUTE_TOKEN,
    .fail = fail,
};
