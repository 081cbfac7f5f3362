/* Announces and scrapes over HTTP.
 *
 * Happy path   URL + query -> http_get_start -> on_done -> the body decoded -> tracker_call_finish
 * Failures     no connection, too long, not HTTP ...   the reason of http_client
 *              another status than 200                 its number, unless the body is a refusal
 *              a body that is no tracker's answer      what is wrong with it
 * Redirects    a tracker that is out in the world must not send us to a service of this machine or
 *              its network; one that is itself in there may.
 * Families     a session that is bound to an address of each asks by IPv4, and by IPv6 when there
 *              was no way.
 */
#include <stdio.h>
#include <string.h>

#include "client/trackers_impl.h"
#include "proto/http_tracker.h"

#include "base/banned.h"

enum {
    HTTP_REPLY_MAX = 1 << 20,
    HTTP_SCRAPE_REPLY_MAX = 1 << 16, /* each hash is looked up in all of it */
    HTTP_REDIRECTS_MAX = 3,
    HTTP_QUERY_MAX = SCRAPE_HTTP_MAX * 72, /* "&info_hash=" and three bytes for each of 20 */
    HTTP_URL_MAX = TRACKER_URL_MAX + HTTP_QUERY_MAX,
    WHY_MAX = 192,
};

bool tracker_call_allows(struct call *c, const struct addr *addr, bool first)
{
    bool inside = addr_is_private(addr) || addr_is_unspecified(addr);
    if (inside && !first && c->seen_public) {
        return false;
    }
    c->seen_public = c->seen_public || !inside;
    return true;
}

static bool on_allow(void *ctx, const struct addr *addr, bool first)
{
    return tracker_call_allows(ctx, addr, first);
}

/* What goes between a URL and further parameters. */
static void put_joint(struct wr *w)
{
    struct span url = wr_span(w);
    uint8_t last = url.n == 0 ? '\0' : url.p[url.n - 1]; /* empty: it was too long */
    if (span_find(url, '?') == url.n) {
        wr_u8(w, '?');
    } else if (last != '?' && last != '&') {
        wr_u8(w, '&');
    }
}

static void put_announce(struct wr *w, const struct call *c)
{
    char key[16];
    wr_bytes(w, span_cut(span_str(c->url), '#', NULL));
    put_joint(w);
    http_announce_encode(w, &c->req);
    (void)snprintf(key, sizeof key, "&key=%08x", c->key);
    wr_bytes(w, span_str(key));
    wr_u8(w, '\0');
}

/* False: the tracker has no scrape. */
static bool put_scrape(struct wr *w, const struct call *c)
{
    if (!http_scrape_url(w, span_str(c->url))) {
        return false;
    }
    put_joint(w);
    http_scrape_encode(w, c->hashes, c->n_hashes);
    wr_u8(w, '\0');
    return true;
}

static void on_reply(struct call *c, const struct http_reply *reply)
{
    struct trackers *t = c->trackers;
    const struct announce_reply *r = &reply->reply;
    if (reply->failed) {
        tracker_call_fail(c, reply->failure.reason, true, reply->failure.retry_in_min);
        return;
    }
    size_t n = trackers_add_peers(t, 0, r->peers4, false);
    struct announce_result result = {
        .outcome = {.answered = true,
                    .interval_s = r->interval_s,
                    .min_interval_s = r->min_interval_s,
                    .counts = r->counts,
                    .has_counts = reply->has_counts,
                    .warning = r->warning},
        .peers = t->peers,
        .n_peers = trackers_add_peers(t, n, r->peers6, true),
        .has_external_ip = reply->has_external_ip,
        .external_ip = reply->external_ip,
    };
    tracker_call_finish(c, &result);
}

static void on_scraped(struct call *c, const struct http_response *r)
{
    struct trackers *t = c->trackers;
    struct http_scrape_reply reply;
    const char *why;
    if (r->http_status != 200 || http_scrape_reply_decode(&reply, r->body, &why) < 0 ||
        reply.failed) {
        tracker_call_fail(c, SPAN("no counts"), true, 0);
        return;
    }
    for (size_t i = 0; i < c->n_hashes; i++) {
        struct scrape_answer *a = &t->answers[i];
        a->known = http_scrape_reply_find(&reply, &c->hashes[i], &a->counts);
    }
    const struct scrape_result result = {
        .answered = true,
        .answers = t->answers,
        .n = c->n_hashes,
        .min_interval_s = reply.min_request_interval_s,
    };
    tracker_call_finish_scrape(c, &result);
}

static void on_announced(struct call *c, const struct http_response *r)
{
    struct trackers *t = c->trackers;
    struct wr room = wr_over(t->room, sizeof t->room);
    struct http_reply_limits limits = {.peers_max = TRACKER_PEERS_MAX};
    struct http_reply reply;
    const char *why = "";
    char text[WHY_MAX];
    ssize_t n = http_announce_reply_decode(&reply, r->body, &room, &limits, &why);
    if (r->http_status != 200 && (n < 0 || !reply.failed)) {
        (void)snprintf(text, sizeof text, "HTTP status %ld", r->http_status);
        tracker_call_fail(c, span_str(text), false, 0);
    } else if (n < 0) {
        (void)snprintf(text, sizeof text, "not a tracker's answer: %s", why);
        tracker_call_fail(c, span_str(text), false, 0);
    } else {
        on_reply(c, &reply);
    }
}

static void on_done(void *ctx, const struct http_response *r)
{
    struct call *c = ctx;
    struct trackers *t = c->trackers;
    c->http = NULL;
    t->stats.sent_len += r->sent_len;
    t->stats.received_len += r->received_len;
    if (r->status == ERR_UNAVAILABLE && !t->closing && !c->tried4 &&
        !addr_is_unspecified(&c->source4) && !addr_is_unspecified(&c->source6)) {
        c->tried4 = true;
        trackers_http_start(c);
    } else if (r->status < 0) {
        /* All of what it has, though it was asked for less, is an answer as well. */
        bool refused = c->hashes != NULL && r->status == ERR_LIMIT;
        tracker_call_fail(c, span_str(r->why), refused, 0);
    } else if (c->hashes != NULL) {
        on_scraped(c, r);
    } else {
        on_announced(c, r);
    }
}

static const char *source_of(const struct call *c, char text[static ADDR_TEXT_LEN])
{
    bool v4 = !addr_is_unspecified(&c->source4) && !c->tried4;
    const struct addr *source = v4 ? &c->source4 : &c->source6;
    return addr_is_unspecified(source) ? NULL : addr_format(text, source);
}

void trackers_http_start(struct call *c)
{
    struct trackers *t = c->trackers;
    char url[HTTP_URL_MAX];
    char source[ADDR_TEXT_LEN];
    struct wr w = wr_over(url, sizeof url);
    uint64_t now_ms = uv_now(t->opts.loop);
    if (c->hashes == NULL) {
        put_announce(&w, c);
    } else if (!put_scrape(&w, c)) {
        tracker_call_fail_later(c, "the tracker has no scrape");
        return;
    }
    if (w.bad) {
        tracker_call_fail_later(c, "the URL is too long");
        return;
    }
    if (now_ms >= c->deadline_ms) {
        tracker_call_fail_later(c, "timed out");
        return;
    }
    struct http_get_opts opts = {
        .url = url,
        .user_agent = t->opts.user_agent,
        .source = source_of(c, source),
        .timeout_ms = (uint32_t)(c->deadline_ms - now_ms),
        .max_len = c->hashes == NULL ? HTTP_REPLY_MAX : HTTP_SCRAPE_REPLY_MAX,
        .max_redirects = HTTP_REDIRECTS_MAX,
        .allow = on_allow,
        .done = on_done,
        .ctx = c,
    };
    c->state = CALL_HTTP;
    int rc = http_get_start(&c->http, t->opts.http, &opts);
    if (rc < 0) {
        tracker_call_fail_later(c, rc == ERR_LIMIT ? "too many announces wait"
                                                   : "the URL is not valid");
    }
}
