/* trackers.c: which way an announce or a scrape goes.
 *
 * Happy path
 *   trackers_announce, trackers_scrape
 *                       the call is made; nothing is answered before the next turn of the loop
 *   own tracker         on_timer asks it by the options' functions
 *   HTTP                trackers_http_start; first resolved when its port is one of our own
 *   UDP                 resolved, then trackers_udp_start
 *   resolved            one of our own addresses and ports: as the own tracker, with no event
 *   tracker_call_finish, tracker_call_finish_scrape
 *                       done or scraped is called once, and the call is gone
 *
 * Failures
 *   a URL that leads nowhere, no such host   tracker_call_fail: done with the reason
 *   the announce's time is over              on_timer: done("timed out"); HTTP has its own clock
 *
 * Closing: UDP calls and those that wait for their turn are dropped at once; look-ups and HTTP are
 * canceled and come back one by one. At the end (closed) no call and no handle is left.
 *
 * The announce of an own URL has no event: the torrent says started, completed and stopped to the
 * same tracker without a URL, and must not be counted twice. Its stopped is not passed on at all,
 * because any other announce behind the true one would bring the peer back.
 */
#include "client/trackers.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/mem.h"
#include "base/parse.h"
#include "client/trackers_impl.h"
#include "proto/compact.h"

#include "base/banned.h"

enum {
    OWN_PER_TURN = 64,
    SCRAPE_TIMEOUT_MS = 30000,
};

static const uint64_t udp_retry_ms[UDP_TRIES] = {4000, 8000, 16000};

static void check_closed(struct trackers *t)
{
    if (t->closing && list_is_empty(&t->calls) && t->open_handles == 0) {
        void (*closed)(void *ctx) = t->closed;
        void *ctx = t->closed_ctx;
        free(t);
        if (closed != NULL) {
            closed(ctx);
        }
    }
}

void trackers_on_handle_closed(struct trackers *t)
{
    t->open_handles--;
    check_closed(t);
}

/* ---- calls ---- */

static void tracker_call_free(struct call *c)
{
    struct trackers *t = c->trackers;
    if (list_is_linked(&c->node)) {
        list_remove(&c->node);
    }
    free(c->url);
    free(c->hashes);
    free(c);
    check_closed(t);
}

void tracker_call_finish(struct call *c, const struct announce_result *result)
{
    struct trackers *t = c->trackers;
    list_remove(&c->node); /* done may close everything */
    if (!t->closing) {
        t->opts.done(t->opts.ctx, c->id, result);
    }
    tracker_call_free(c);
}

void tracker_call_finish_scrape(struct call *c, const struct scrape_result *result)
{
    struct trackers *t = c->trackers;
    list_remove(&c->node); /* scraped may close everything */
    if (!t->closing) {
        t->opts.scraped(t->opts.ctx, c->id, result);
    }
    tracker_call_free(c);
}

void tracker_call_fail(struct call *c, struct span why, bool refused, int32_t retry_in_min)
{
    if (c->hashes != NULL) {
        tracker_call_finish_scrape(c, &(struct scrape_result){.refused = refused});
        return;
    }
    struct announce_result result = {
        .outcome = {.why = why, .refused = refused, .retry_in_min = retry_in_min}};
    tracker_call_finish(c, &result);
}

static void arm_now(struct trackers *t);

void tracker_call_fail_later(struct call *c, const char *why)
{
    c->state = CALL_FAILED;
    c->why = why;
    arm_now(c->trackers);
}

size_t trackers_add_peers(struct trackers *t, size_t n, struct span wire, bool v6)
{
    while (n < TRACKER_PEERS_MAX && compact_next(&wire, v6, &t->peers[n])) {
        n += t->peers[n].port != 0 && !addr_is_unspecified(&t->peers[n].addr) ? 1 : 0;
    }
    return n;
}

/* ---- the own tracker ---- */

static size_t add_new_peers(struct trackers *t, size_t n, size_t n_more)
{
    size_t end = n + n_more;
    for (size_t at = n; at < end; at++) {
        size_t i = 0;
        while (i < n && !endpoint_eq(&t->peers[i], &t->peers[at])) {
            i++;
        }
        if (i == n) {
            t->peers[n++] = t->peers[at];
        }
    }
    return n;
}

/* As one of our addresses. returns 0, or ERR_* with *why. */
static int ask_own_as(struct call *c, const struct addr *from, struct announce_result *result,
                      const char **why)
{
    struct trackers *t = c->trackers;
    struct announce_reply reply = {.interval_s = 0};
    struct announce_req req = c->req;
    req.from = *from;
    int n = t->opts.own(t->opts.own_ctx, &req, &reply, t->peers + result->n_peers,
                        TRACKER_PEERS_MAX - result->n_peers, why);
    if (n < 0) {
        return n;
    }
    result->n_peers = add_new_peers(t, result->n_peers, (size_t)n);
    result->outcome.interval_s = reply.interval_s;
    result->outcome.min_interval_s = reply.min_interval_s;
    result->outcome.counts = reply.counts;
    return 0;
}

static void scrape_own(struct call *c)
{
    struct trackers *t = c->trackers;
    struct scrape_counts counts[SCRAPE_MAX];
    const struct scrape_result result = {.answered = true, .answers = t->answers, .n = c->n_hashes};
    if (t->opts.own_scrape == NULL) {
        tracker_call_fail(c, SPAN("there is none"), false, 0);
        return;
    }
    t->opts.own_scrape(t->opts.own_ctx, c->hashes, c->n_hashes, counts);
    for (size_t i = 0; i < c->n_hashes; i++) {
        t->answers[i] = (struct scrape_answer){.known = true, .counts = counts[i]};
    }
    tracker_call_finish_scrape(c, &result);
}

static void ask_own(struct call *c)
{
    struct trackers *t = c->trackers;
    if (c->hashes != NULL) {
        scrape_own(c);
        return;
    }
    const struct addr *from[] = {&t->opts.own_from4, &t->opts.own_from6};
    struct announce_result result = {.outcome = {.answered = true, .has_counts = true},
                                     .peers = t->peers};
    if (c->alias && c->req.event == EVENT_STOPPED) {
        result.outcome.has_counts = false;
        tracker_call_finish(c, &result);
        return;
    }
    c->req.event = c->alias ? EVENT_NONE : c->req.event;
    bool asked = false;
    for (size_t i = 0; i < 2; i++) {
        const char *why = "refused";
        if (addr_is_unspecified(from[i])) {
            continue;
        }
        if (asked && c->req.event == EVENT_COMPLETED) {
            c->req.event = EVENT_NONE; /* one download, whatever the number of families */
        }
        if (t->opts.own == NULL || ask_own_as(c, from[i], &result, &why) < 0) {
            tracker_call_fail(c, span_str(why), true, 0);
            return;
        }
        asked = true;
    }
    if (asked) {
        tracker_call_finish(c, &result);
    } else {
        tracker_call_fail(c, SPAN("no address to be known by"), false, 0);
    }
}

/* ---- where a URL leads ---- */

static bool url_parse(struct tracker_url *out, struct span url)
{
    struct span rest = span_cut(url, '#', NULL);
    size_t at = span_find(rest, ':');
    struct span scheme = span_sub(rest, 0, at);
    uint64_t port = 0;
    if (rest.n < at + 3 || rest.p[at + 1] != '/' || rest.p[at + 2] != '/') {
        return false;
    }
    rest = span_sub(rest, at + 3, rest.n);
    out->udp = scheme.n == 3;
    port = out->udp ? 0 : scheme.n == 5 ? 443 : 80; /* udp has none of its own */
    size_t end = 0;
    size_t host = 0;
    while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?') {
        end++;
        host = rest.p[end - 1] == '@' ? end : host;
    }
    out->path = span_sub(rest, end, rest.n);
    out->host = span_sub(rest, host, end - host);
    size_t colon = out->host.n;
    while (colon > 0 && out->host.p[colon - 1] != ':' && out->host.p[colon - 1] != ']') {
        colon--;
    }
    if (colon > 0 && out->host.p[colon - 1] == ':') {
        if (!parse_u64(&port, span_sub(out->host, colon, out->host.n), UINT16_MAX)) {
            return false;
        }
        out->host = span_sub(out->host, 0, colon - 1);
    }
    out->port = (uint16_t)port;
    return out->host.n > 0 && port > 0;
}

static bool has_port(const struct endpoint_list *list, uint16_t port)
{
    for (size_t i = 0; list != NULL && i < list->n; i++) {
        if (list->at[i].port == port) {
            return true;
        }
    }
    return false;
}

static bool is_of_this_machine(const struct addr *a)
{
    uv_interface_address_t *list;
    int n;
    bool found = addr_is_loopback(a) || addr_is_unspecified(a);
    if (found || uv_interface_addresses(&list, &n) < 0) {
        return found;
    }
    for (int i = 0; i < n && !found; i++) {
        struct endpoint e;
        found = endpoint_from_sockaddr(&e, (const struct sockaddr *)&list[i].address) &&
                addr_eq(&e.addr, a);
    }
    uv_free_interface_addresses(list, n);
    return found;
}

/* Is it where this server's own tracker listens, or what it is known as outside? */
static bool is_own(const struct trackers *t, const struct tracker_url *url, const struct addr *a)
{
    const struct endpoint_list *list = url->udp ? t->opts.own_udp : t->opts.own_http;
    if (!has_port(list, url->port)) {
        return false;
    }
    if (addr_eq(a, &t->opts.own_from4) || addr_eq(a, &t->opts.own_from6)) {
        return true;
    }
    for (size_t i = 0; i < list->n; i++) {
        const struct addr *listens = &list->at[i].addr;
        bool wildcard = addr_is_unspecified(listens) && (listens->v6 || !a->v6);
        if (list->at[i].port == url->port &&
            (addr_eq(listens, a) || (wildcard && is_of_this_machine(a)))) {
            return true;
        }
    }
    return false;
}

static void on_resolved(void *ctx, int status, const struct addr *addrs, size_t n,
                        const struct err *e)
{
    struct call *c = ctx;
    struct trackers *t = c->trackers;
    c->resolve = NULL;
    if (status < 0) {
        tracker_call_fail(c, span_str(status == ERR_CANCELED ? "timed out" : e->msg), false, 0);
        return;
    }
    if (t->closing) {
        tracker_call_free(c);
        return;
    }
    for (size_t i = 0; i < n && t->opts.own != NULL; i++) {
        c->alias = c->alias || is_own(t, &c->where, &addrs[i]);
    }
    for (size_t i = 0; i < n; i++) {
        c->to[i] = (struct endpoint){addrs[i], c->where.port};
    }
    c->n_to = n;
    if (c->alias) {
        ask_own(c);
    } else if (c->where.udp) {
        trackers_udp_start(c);
    } else {
        trackers_http_start(c);
    }
}

static void resolve_call(struct call *c)
{
    c->state = CALL_RESOLVING;
    if (resolve_start(&c->resolve, c->trackers->opts.loop, c->where.host, on_resolved, c) < 0) {
        tracker_call_fail_later(c, "not a host name");
        return;
    }
    trackers_arm(c->trackers); /* a look-up may take longer than the announce has */
}

/* ---- time ---- */

static uint64_t call_deadline_ms(const struct call *c)
{
    switch (c->state) {
    case CALL_OWN:
    case CALL_FAILED:
        return 0;
    case CALL_RESOLVING:
        return c->resolve == NULL ? UINT64_MAX : c->deadline_ms;
    case CALL_HTTP:
        return UINT64_MAX;
    case CALL_CONNECTING:
    case CALL_ASKING:
        break;
    }
    return c->retry_ms < c->deadline_ms ? c->retry_ms : c->deadline_ms;
}

static void call_on_deadline(struct call *c, uint64_t now_ms)
{
    switch (c->state) {
    case CALL_OWN:
        ask_own(c);
        break;
    case CALL_FAILED:
        tracker_call_fail(c, span_str(c->why), false, 0);
        break;
    case CALL_RESOLVING:
        resolve_cancel(c->resolve);
        c->deadline_ms = UINT64_MAX;
        break;
    case CALL_HTTP:
        break;
    case CALL_CONNECTING:
    case CALL_ASKING:
        trackers_udp_on_deadline(c, now_ms);
        break;
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct trackers *t = container_of(timer, struct trackers, timer);
    uint64_t now_ms = uv_now(t->opts.loop);
    size_t n = 0;
    /* done may begin further calls, which go to the end, but ends none. */
    LIST_FOREACH_SAFE (node, &t->calls) {
        struct call *c = container_of(node, struct call, node);
        if (call_deadline_ms(c) > now_ms) {
            continue;
        }
        call_on_deadline(c, now_ms);
        if (t->closing || ++n == OWN_PER_TURN) {
            break;
        }
    }
    trackers_arm(t);
}

static void arm_now(struct trackers *t)
{
    if (!t->closing) {
        (void)uv_timer_start(&t->timer, on_timer, 0, 0);
    }
}

void trackers_arm(struct trackers *t)
{
    uint64_t now_ms = uv_now(t->opts.loop);
    uint64_t first_ms = UINT64_MAX;
    if (t->closing) {
        return;
    }
    for (struct list *node = t->calls.next; node != &t->calls; node = node->next) {
        uint64_t at_ms = call_deadline_ms(container_of(node, struct call, node));
        first_ms = at_ms < first_ms ? at_ms : first_ms;
    }
    if (first_ms == UINT64_MAX) {
        (void)uv_timer_stop(&t->timer);
        return;
    }
    (void)uv_timer_start(&t->timer, on_timer, first_ms > now_ms ? first_ms - now_ms : 0, 0);
}

/* ---- public ---- */

void trackers_stats(const struct trackers *t, struct trackers_stats *out)
{
    *out = t->stats;
}

struct trackers *trackers_new(const struct trackers_opts *opts)
{
    struct trackers *t = mem_new(struct trackers);
    t->opts = *opts;
    list_init(&t->calls);
    list_init(&t->sources);
    list_init(&t->hosts);
    memcpy(t->udp_retry_ms, udp_retry_ms, sizeof t->udp_retry_ms);
    ASSERT(uv_timer_init(opts->loop, &t->timer) == 0);
    t->open_handles = 1;
    return t;
}

static struct call *call_new(struct trackers *t, uint64_t id, const struct addr *source4,
                             const struct addr *source6)
{
    struct call *c = mem_new(struct call);
    c->trackers = t;
    c->state = CALL_OWN;
    c->id = id;
    c->source4 = *source4;
    c->source6 = *source6;
    list_add_tail(&t->calls, &c->node);
    return c;
}

/* The way that url asks for. */
static void call_begin(struct call *c, const char *url, uint32_t timeout_ms)
{
    struct trackers *t = c->trackers;
    c->deadline_ms = uv_now(t->opts.loop) + timeout_ms;
    if (url == NULL) {
        arm_now(t);
        return;
    }
    c->url = mem_strndup(url, strlen(url));
    if (!url_parse(&c->where, span_str(c->url))) {
        tracker_call_fail_later(c, "the URL has no host or no port");
    } else if (c->where.udp || (t->opts.own != NULL && has_port(t->opts.own_http, c->where.port))) {
        resolve_call(c);
    } else {
        trackers_http_start(c);
    }
}

void trackers_announce(struct trackers *t, const struct engine_announce *a,
                       const struct addr *source4, const struct addr *source6)
{
    if (t->closing) {
        return;
    }
    struct call *c = call_new(t, a->id, source4, source6);
    c->req = a->req;
    c->req.compact = true;
    c->req.no_peer_id = true;
    c->key = a->key;
    call_begin(c, a->url, a->timeout_ms);
}

void trackers_scrape(struct trackers *t, const struct scrape_request *scrape,
                     const struct addr *source4, const struct addr *source6)
{
    if (t->closing) {
        return;
    }
    ASSERT(scrape->n > 0 && scrape->n <= SCRAPE_MAX);
    struct call *c = call_new(t, scrape->id, source4, source6);
    c->hashes = mem_array(scrape->n, sizeof *c->hashes);
    c->n_hashes = scrape->n;
    memcpy(c->hashes, scrape->hashes, scrape->n * sizeof *c->hashes);
    call_begin(c, scrape->url, SCRAPE_TIMEOUT_MS);
}

static void on_timer_closed(uv_handle_t *handle)
{
    trackers_on_handle_closed(container_of((uv_timer_t *)handle, struct trackers, timer));
}

void trackers_close(struct trackers *t, void (*closed)(void *ctx), void *ctx)
{
    if (t->closing) {
        return;
    }
    t->closing = true;
    t->closed = closed;
    t->closed_ctx = ctx;
    LIST_FOREACH_SAFE (node, &t->calls) {
        struct call *c = container_of(node, struct call, node);
        if (c->state == CALL_RESOLVING) {
            resolve_cancel(c->resolve);
        } else if (c->state == CALL_HTTP) {
            http_get_cancel(c->http);
        } else {
            tracker_call_free(c);
        }
    }
    trackers_udp_close(t);
    uv_close((uv_handle_t *)&t->timer, on_timer_closed);
}
