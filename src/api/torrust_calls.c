/* Happy path   a handler checks the request -> ops_x -> torrust_pending_ok or a render of its own.
 * Failures     bad input: 400 at once. The database: torrust_pending_fail, at once or later.
 * At the end   every pending was freed by the one who answered.
 */
#include "api/torrust_calls.h"

#include <stdlib.h>

#include "api/hash_param.h"
#include "api/query.h"
#include "api/torrust.h"
#include "base/mem.h"
#include "base/parse.h"

#include "base/banned.h"

enum {
    ANSWER_MAX = 16384,
    PICKED_MAX = 200000, /* bytes of info-hashes in one ?info_hash= list; a head cannot hold more */
    V1_LIMIT = 4000,
};

enum torrust_form torrust_form_of(const struct dialect *d)
{
    return d == &torrust_v1_dialect ? TORRUST_V1 : TORRUST_SEED;
}

static bool is_v1(const struct call *c)
{
    return torrust_form_of(c->dialect) == TORRUST_V1;
}

/* ---- input ------------------------------------------------------------------------------- */

bool torrust_hash(struct call *c, struct span text, struct infohash *out)
{
    if (hash_param_parse(out, text)) {
        return true;
    }
    if (is_v1(c) && span_eq(text, SPAN(" "))) {
        call_fail(c, 404, "not found"); /* as if there were no segment */
    } else if (is_v1(c)) {
        call_fail(c, 400,
                  "Invalid URL: invalid infohash param: string \"%.*s\", expected a 40 character "
                  "long string",
                  SHOWN(text));
    } else {
        call_fail(c, 400, "invalid info_hash \"%.*s\": expected 40 hex digits", SHOWN(text));
    }
    return false;
}

bool torrust_page(struct call *c, uint64_t default_limit, struct page *out)
{
    bool bad = false;
    *out = (struct page){.offset = 0, .limit = default_limit};
    (void)query_u64(c->req->query, "offset", UINT64_MAX, &out->offset, &bad);
    (void)query_u64(c->req->query, "limit", UINT64_MAX, &out->limit, &bad);
    if (bad && is_v1(c)) {
        call_fail(c, 400, "Failed to deserialize query string: invalid digit found in string");
    } else if (bad) {
        call_fail(c, 400, "invalid offset or limit: expected whole numbers");
    }
    return !bad;
}

bool torrust_key_fault(struct call *c, enum key_fault fault, struct span key, struct span seconds)
{
    const char *rule = "";
    switch (fault) {
    case KEY_OK:
        return true;
    case KEY_BAD_DURATION:
        call_fail(c, 400,
                  is_v1(c) ? "Invalid URL: invalid auth key duration: \"%.*s\""
                           : "invalid seconds_valid \"%.*s\": it ends after the year 9999",
                  SHOWN(seconds));
        return false;
    case KEY_BAD_LABEL:
        call_fail(c, 400,
                  "invalid label: expected at most %d bytes of UTF-8 without control "
                  "characters",
                  KEY_LABEL_MAX);
        return false;
    case KEY_BAD_LENGTH:
        rule = "Invalid key length. Key must be have 32 chars";
        break;
    case KEY_BAD_CHARACTERS:
        rule = "Invalid chars for key. Key can only alphanumeric chars (0-9, a-z, A-Z)";
        break;
    }
    call_fail(c, 400, "Invalid URL: invalid auth key: string \"%.*s\", %s", SHOWN(key), rule);
    return false;
}

/* ---- while the database works ------------------------------------------------------------ */

struct torrust_pending *torrust_pending_new(struct call *c, const char *what)
{
    struct torrust_pending *p = mem_new(struct torrust_pending);
    p->x = c->x;
    p->dialect = c->dialect;
    p->what = what;
    return p;
}

void torrust_pending_fail(struct torrust_pending *p, int status)
{
    struct buf reason;
    buf_init(&reason, ANSWER_MAX);
    buf_add_str(&reason, p->what);
    if (torrust_form_of(p->dialect) == TORRUST_V1) {
        buf_addf(&reason, ": %s", err_text(status));
        p->dialect->fail(p->x, 500, buf_span(&reason));
    } else {
        p->dialect->fail(p->x, call_status_of(status), buf_span(&reason));
    }
    buf_release(&reason);
    free(p);
}

void torrust_pending_ok(void *pending, int status, size_t n)
{
    struct torrust_pending *p = pending;
    (void)n;
    if (status < 0) {
        torrust_pending_fail(p, status);
        return;
    }
    http_reply(p->x, 200, JSON_TYPE, SPAN("{\"status\":\"ok\"}"));
    free(p);
}

void torrust_pending_started(struct torrust_pending *p, int status)
{
    if (status < 0) {
        torrust_pending_fail(p, status);
    }
}

/* ---- reading ----------------------------------------------------------------------------- */

bool torrust_format(struct call *c, bool *prometheus)
{
    struct span format;
    *prometheus = false;
    if (!query_raw(c->req->query, "format", &format) || format.n == 0) {
        return true;
    }
    *prometheus = span_eq(format, SPAN("prometheus"));
    if (!*prometheus && !span_eq(format, SPAN("json"))) {
        call_fail(c, 400,
                  "Failed to deserialize query string: unknown variant `%.*s`, expected "
                  "`json` or `prometheus`",
                  SHOWN(format));
        return false;
    }
    return true;
}

void torrust_get_stats(struct call *c)
{
    bool plain = false;
    if (is_v1(c) && !torrust_format(c, &plain)) {
        return;
    }
    struct tracker_totals totals;
    struct stats_totals stats = {.counters = {0}};
    struct torrust_stat lines[TORRUST_STATS_MAX];
    struct buf out;
    tracker_totals(c->env->parts.tracker, &totals);
    tracker_stats(c->env->parts.tracker, &stats);
    size_t n = torrust_stats(lines, torrust_form_of(c->dialect), &totals, &stats);
    buf_init(&out, ANSWER_MAX);
    for (size_t i = 0; i < n; i++) {
        if (plain) {
            buf_addf(&out, "%s%s %llu", i == 0 ? "" : "\n", lines[i].name,
                     (unsigned long long)lines[i].value);
        } else {
            buf_addf(&out, "%s\"%s\":%llu", i == 0 ? "{" : ",", lines[i].name,
                     (unsigned long long)lines[i].value);
        }
    }
    if (!plain) {
        buf_add_byte(&out, '}');
    }
    http_reply(c->x, 200, plain ? TEXT_TYPE : JSON_TYPE, buf_span(&out));
    buf_release(&out);
}

/* The values of ?info_hash=, 20 bytes each. False when one was wrong and the call has failed. */
static bool picked_hashes(struct call *c, struct buf *hashes)
{
    struct span rest = c->req->query;
    struct span name;
    struct span value;
    while (query_next(&rest, &name, &value)) {
        if (!span_eq(name, SPAN("info_hash"))) {
            continue;
        }
        uint8_t text[QUERY_VALUE_MAX];
        struct infohash hash;
        long n = percent_decode(text, sizeof text, value);
        struct span decoded = n < 0 ? value : span_of(text, (size_t)n);
        if (!torrust_hash(c, decoded, &hash)) {
            return false;
        }
        buf_add(hashes, span_of(hash.b, sizeof hash.b));
    }
    return true;
}

void torrust_get_torrents(struct call *c)
{
    struct page page;
    struct buf hashes;
    if (!torrust_page(c, is_v1(c) ? V1_LIMIT : UINT64_MAX, &page)) {
        return;
    }
    buf_init(&hashes, PICKED_MAX);
    if (!picked_hashes(c, &hashes)) {
        buf_release(&hashes);
    } else if (hashes.len > 0) {
        torrust_stream_picked(c, torrust_form_of(c->dialect), &hashes);
    } else {
        torrust_stream_torrents(c, torrust_form_of(c->dialect), &page);
    }
}

void torrust_get_torrent(struct call *c)
{
    struct infohash hash;
    struct torrent_row row;
    if (!torrust_hash(c, c->params[0], &hash)) {
        return;
    }
    if (tracker_torrent(c->env->parts.tracker, &hash, &row) < 0) {
        /* Version 3 says it with 200, and its clients look for that. */
        http_reply(c->x, is_v1(c) ? 200 : 404, JSON_TYPE, SPAN("\"torrent not known\""));
        return;
    }
    torrust_stream_torrent(c, torrust_form_of(c->dialect), &row);
}

/* ---- whitelist --------------------------------------------------------------------------- */

void torrust_post_whitelist(struct call *c)
{
    struct infohash hash;
    if (torrust_hash(c, c->params[0], &hash)) {
        struct torrust_pending *p = torrust_pending_new(c, "failed to whitelist torrent");
        torrust_pending_started(p,
                                ops_whitelist_add(&c->env->parts, &hash, 1, torrust_pending_ok, p));
    }
}

void torrust_delete_whitelist(struct call *c)
{
    struct infohash hash;
    if (torrust_hash(c, c->params[0], &hash)) {
        struct torrust_pending *p =
            torrust_pending_new(c, "failed to remove torrent from whitelist");
        torrust_pending_started(p,
                                ops_whitelist_remove(&c->env->parts, &hash, torrust_pending_ok, p));
    }
}

static void reload(struct call *c, const char *what)
{
    struct torrust_pending *p = torrust_pending_new(c, what);
    torrust_pending_started(p, ops_reload(&c->env->parts, torrust_pending_ok, p));
}

void torrust_reload_whitelist(struct call *c)
{
    reload(c, "failed to reload whitelist");
}

void torrust_reload_keys(struct call *c)
{
    reload(c, "failed to reload keys");
}

/* ---- keys -------------------------------------------------------------------------------- */

static void on_key_added(void *pending, int status, size_t n)
{
    struct torrust_pending *p = pending;
    struct buf out;
    (void)n;
    if (status < 0) {
        torrust_pending_fail(p, status);
        return;
    }
    enum torrust_form form = torrust_form_of(p->dialect);
    buf_init(&out, ANSWER_MAX);
    torrust_add_key(&out, form, &p->key);
    http_reply(p->x, 200, form == TORRUST_V1 ? "application/json; charset=utf-8" : JSON_TYPE,
               buf_span(&out));
    buf_release(&out);
    free(p);
}

void torrust_create_key(struct call *c, const struct key_request *req, struct span seconds)
{
    struct access_key key;
    if (!torrust_key_fault(c, key_make(&key, req, call_unix_ms()), req->key, seconds)) {
        return;
    }
    struct torrust_pending *p = torrust_pending_new(c, "failed to generate key");
    p->key = key;
    torrust_pending_started(p, ops_key_add(&c->env->parts, &key, on_key_added, p));
}

void torrust_post_key(struct call *c)
{
    struct span text = c->params[0];
    struct key_request req = {.permanent = false};
    if (parse_u64(&req.seconds_valid, text, UINT64_MAX)) {
        torrust_create_key(c, &req, text);
    } else if (is_v1(c)) {
        call_fail(c, 400, "Invalid URL: Cannot parse `\"%.*s\"` to a `u64`", SHOWN(text));
    } else {
        call_fail(c, 400, "invalid seconds_valid \"%.*s\": expected a whole number of seconds",
                  SHOWN(text));
    }
}

static void on_key_removed(void *pending, int status, size_t n)
{
    struct torrust_pending *p = pending;
    if (status < 0 || n > 0) {
        torrust_pending_ok(p, status, n);
        return;
    }
    if (torrust_form_of(p->dialect) == TORRUST_V1) {
        torrust_pending_fail(p, ERR_NOT_FOUND);
        return;
    }
    p->dialect->fail(p->x, 404, span_str(p->what));
    free(p);
}

void torrust_delete_key(struct call *c)
{
    struct span key = c->params[0];
    if (key_check(key) != KEY_OK) {
        call_fail(c, 400,
                  is_v1(c) ? "Invalid auth key id param \"%.*s\""
                           : "invalid key \"%.*s\": expected 32 letters and digits",
                  SHOWN(key));
        return;
    }
    struct torrust_pending *p = torrust_pending_new(c, "failed to delete key");
    torrust_pending_started(p, ops_key_remove(&c->env->parts, key, on_key_removed, p));
}
