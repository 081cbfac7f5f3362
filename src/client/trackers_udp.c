/* Announces and scrapes over UDP (BEP 15).
 *
 *   resolved --> CONNECTING --connect reply--> ASKING --announce or scrape reply--> finished
 *                 ^      \                       |    \
 *                 |       +--- a kept id --------+     +--- error: refused
 *                 +--------- "connection id ...": asked for again, once ---------+
 *
 * Each try has its time (4, 8, 16 s), and a phase that used up its tries, or the announce's time,
 * ends the call with "timed out". While an id is asked for, the tries go around the addresses of
 * the name, so that a family without a way out costs one try and not all of them.
 *
 * Connection ids are kept for a minute for each address of a tracker and each source. Calls to one
 * tracker that begin together ask once: the first sends, the others find it under way and wait; an
 * answer to one is an answer to all of them.
 *
 * Believed is a datagram that comes from the address that was asked, with the transaction id, which
 * is random, and with the action that is waited for. All others are dropped in silence.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/mem.h"
#include "client/trackers_impl.h"

#include "base/banned.h"

enum {
    CONNECTION_ID_MS = 60000,
    URL_OPTIONS_MAX = UDP_URL_DATA_MAX + 8,
    TEXT_MAX = 512,
};

/* ---- sockets ---- */

static void on_source_closed(uv_handle_t *handle)
{
    struct udp_source *s = container_of((uv_udp_t *)handle, struct udp_source, udp);
    struct trackers *t = s->trackers;
    free(s);
    trackers_on_handle_closed(t);
}

static void source_close(struct udp_source *s)
{
    list_remove(&s->node);
    s->trackers->n_sources--;
    uv_close((uv_handle_t *)&s->udp, on_source_closed);
}

static void on_alloc(uv_handle_t *handle, size_t n, uv_buf_t *out)
{
    struct udp_source *s = container_of((uv_udp_t *)handle, struct udp_source, udp);
    (void)n;
    *out = uv_buf_init((char *)s->trackers->datagram, sizeof s->trackers->datagram);
}

static void on_datagram(uv_udp_t *udp, ssize_t n, const uv_buf_t *bytes,
                        const struct sockaddr *from, unsigned flags);

static struct udp_source *source_open(struct trackers *t, const struct addr *addr)
{
    struct sockaddr_storage ss;
    struct endpoint at = {.addr = *addr};
    struct udp_source *s = mem_new(struct udp_source);
    s->trackers = t;
    s->addr = *addr;
    (void)endpoint_to_sockaddr(&at, &ss);
    if (uv_udp_init(t->opts.loop, &s->udp) < 0) {
        free(s);
        return NULL;
    }
    list_add_tail(&t->sources, &s->node);
    t->n_sources++;
    t->open_handles++;
    if (uv_udp_bind(&s->udp, (struct sockaddr *)&ss, addr->v6 ? UV_UDP_IPV6ONLY : 0) < 0 ||
        uv_udp_recv_start(&s->udp, on_alloc, on_datagram) < 0) {
        source_close(s);
        return NULL;
    }
    return s;
}

/* NULL: this machine has no such address or family. */
static struct udp_source *source_for(struct trackers *t, const struct addr *addr)
{
    for (struct list *node = t->sources.next; node != &t->sources; node = node->next) {
        struct udp_source *s = container_of(node, struct udp_source, node);
        if (addr_eq(&s->addr, addr)) {
            return s;
        }
    }
    return t->n_sources == UDP_SOURCES_MAX ? NULL : source_open(t, addr);
}

void trackers_udp_close(struct trackers *t)
{
    LIST_FOREACH_SAFE (host, &t->hosts) {
        list_remove(host);
        free(container_of(host, struct udp_host, node));
    }
    LIST_FOREACH_SAFE (source, &t->sources) {
        source_close(container_of(source, struct udp_source, node));
    }
}

/* ---- connection ids ---- */

static struct udp_host *host_find(struct trackers *t, const struct udp_source *source,
                                  const struct endpoint *at)
{
    for (struct list *node = t->hosts.next; node != &t->hosts; node = node->next) {
        struct udp_host *h = container_of(node, struct udp_host, node);
        if (h->source == source && endpoint_eq(&h->at, at)) {
            return h;
        }
    }
    return NULL;
}

static void keep_id(struct trackers *t, struct udp_source *source, const struct endpoint *at,
                    uint64_t connection_id)
{
    struct udp_host *h = host_find(t, source, at);
    if (h == NULL && t->n_hosts == UDP_HOSTS_MAX) {
        h = container_of(list_first(&t->hosts), struct udp_host, node);
    } else if (h == NULL) {
        h = mem_new(struct udp_host);
        t->n_hosts++;
    }
    if (list_is_linked(&h->node)) {
        list_remove(&h->node);
    }
    h->source = source;
    h->at = *at;
    h->connection_id = connection_id;
    h->expires_ms = uv_now(t->opts.loop) + CONNECTION_ID_MS;
    list_add_tail(&t->hosts, &h->node);
}

/* The id that is good now; NULL: none. */
static struct udp_host *kept_id(const struct call *c)
{
    struct udp_host *h = host_find(c->trackers, c->source, &c->to[c->at]);
    return h != NULL && uv_now(c->trackers->opts.loop) < h->expires_ms ? h : NULL;
}

/* ---- sending ---- */

static int send_to(const struct call *c, const struct wr *w)
{
    struct sockaddr_storage ss;
    uv_buf_t out = uv_buf_init((char *)w->start, (unsigned)wr_len(w));
    (void)endpoint_to_sockaddr(&c->to[c->at], &ss);
    int rc = uv_udp_try_send(&c->source->udp, &out, 1, (struct sockaddr *)&ss);
    c->trackers->stats.sent_len += rc > 0 ? (uint64_t)rc : 0;
    /* A full buffer is like a lost datagram. */
    return rc < 0 && rc != UV_EAGAIN && rc != UV_ENOBUFS ? ERR_UNAVAILABLE : 0;
}

static int send_connect(const struct call *c)
{
    uint8_t bytes[UDP_CONNECT_LEN];
    struct wr w = wr_over(bytes, sizeof bytes);
    udp_connect_encode(&w, c->transaction_id);
    return send_to(c, &w);
}

static int send_scrape(const struct call *c, uint64_t connection_id)
{
    uint8_t bytes[UDP_CONNECT_LEN + SCRAPE_MAX * sizeof *c->hashes];
    struct wr w = wr_over(bytes, sizeof bytes);
    udp_scrape_encode(&w, connection_id, c->transaction_id, c->hashes, c->n_hashes);
    return send_to(c, &w);
}

static int send_announce(const struct call *c, uint64_t connection_id)
{
    uint8_t bytes[UDP_ANNOUNCE_LEN + URL_OPTIONS_MAX];
    struct wr w = wr_over(bytes, sizeof bytes);
    udp_announce_encode(&w, connection_id, c->transaction_id, c->key, &c->req, c->where.path);
    return send_to(c, &w);
}

/* Another call asks the same tracker for an id right now. */
static bool is_asked_for(const struct call *c)
{
    struct trackers *t = c->trackers;
    for (struct list *node = t->calls.next; node != &t->calls; node = node->next) {
        const struct call *other = container_of(node, struct call, node);
        if (other != c && other->state == CALL_CONNECTING && other->source == c->source &&
            endpoint_eq(&other->to[other->at], &c->to[c->at])) {
            return true;
        }
    }
    return false;
}

/* The address to[at], from the source of its family. False: there is no way. */
static bool aim(struct call *c)
{
    const struct addr *source = c->to[c->at].addr.v6 ? &c->source6 : &c->source4;
    struct addr any = {.v6 = c->to[c->at].addr.v6};
    c->source = source_for(c->trackers, addr_is_unspecified(source) ? &any : source);
    return c->source != NULL;
}

static void begin_phase(struct call *c, enum call_state state)
{
    c->state = state;
    c->n_tries = 0;
    digest_random(&c->transaction_id, sizeof c->transaction_id);
}

static void set_retry(struct call *c)
{
    struct trackers *t = c->trackers;
    c->retry_ms = uv_now(t->opts.loop) + t->udp_retry_ms[c->n_tries];
    c->n_tries++;
}

static void send_question(struct call *c, uint64_t connection_id)
{
    /* What cannot be sent now is tried again. */
    (void)(c->hashes == NULL ? send_announce(c, connection_id) : send_scrape(c, connection_id));
    set_retry(c);
}

static void ask(struct call *c, uint64_t connection_id)
{
    begin_phase(c, CALL_ASKING);
    send_question(c, connection_id);
}

/* One try to get an id, from the address whose turn it is or the next that can be reached. */
static void try_connect(struct call *c, bool may_share)
{
    for (size_t i = 0; i < c->n_to; i++) {
        struct udp_host *h = aim(c) ? kept_id(c) : NULL;
        if (h != NULL) {
            c->id_was_kept = true;
            ask(c, h->connection_id);
            return;
        }
        if (c->source != NULL && ((may_share && is_asked_for(c)) || send_connect(c) == 0)) {
            set_retry(c);
            return;
        }
        c->at = (c->at + 1) % c->n_to;
    }
    tracker_call_fail_later(c, "no way to its address");
}

void trackers_udp_start(struct call *c)
{
    if (c->where.path.n > UDP_URL_DATA_MAX) {
        tracker_call_fail_later(c, "the URL is too long");
        return;
    }
    /* A session bound to addresses of one family has no others. */
    bool bound4 = !addr_is_unspecified(&c->source4);
    bool bound6 = !addr_is_unspecified(&c->source6);
    size_t n = 0;
    for (size_t i = 0; i < c->n_to; i++) {
        if (bound4 == bound6 || c->to[i].addr.v6 == bound6) {
            c->to[n++] = c->to[i];
        }
    }
    c->n_to = n;
    begin_phase(c, CALL_CONNECTING);
    try_connect(c, true);
    trackers_arm(c->trackers);
}

void trackers_udp_on_deadline(struct call *c, uint64_t now_ms)
{
    if (now_ms >= c->deadline_ms || c->n_tries == UDP_TRIES) {
        tracker_call_fail(c, SPAN("timed out"), false, 0);
        return;
    }
    if (c->state == CALL_CONNECTING) {
        c->at = (c->at + 1) % c->n_to;
        try_connect(c, false);
        return;
    }
    struct udp_host *h = kept_id(c);
    if (h != NULL) {
        send_question(c, h->connection_id);
    } else { /* it grew old while we waited */
        begin_phase(c, CALL_CONNECTING);
        try_connect(c, true);
    }
}

/* ---- receiving ---- */

/* Which of the addresses that were asked is it? */
static bool is_asked(const struct call *c, const struct endpoint *from, size_t *at)
{
    if (c->state == CALL_ASKING) {
        return endpoint_eq(&c->to[c->at], from);
    }
    for (*at = 0; *at < c->n_to; ++*at) {
        if (endpoint_eq(&c->to[*at], from)) {
            return true;
        }
    }
    return false;
}

static struct call *find_call(struct trackers *t, uint32_t transaction_id)
{
    for (struct list *node = t->calls.next; node != &t->calls; node = node->next) {
        struct call *c = container_of(node, struct call, node);
        if ((c->state == CALL_CONNECTING || c->state == CALL_ASKING) &&
            c->transaction_id == transaction_id) {
            return c;
        }
    }
    return NULL;
}

static void on_connected(struct trackers *t, struct udp_source *source, const struct endpoint *from,
                         uint64_t connection_id)
{
    keep_id(t, source, from, connection_id);
    LIST_FOREACH_SAFE (node, &t->calls) {
        struct call *c = container_of(node, struct call, node);
        if (c->state == CALL_CONNECTING && c->source == source &&
            endpoint_eq(&c->to[c->at], from)) {
            ask(c, connection_id);
        }
    }
}

static void on_answer(struct call *c, const struct udp_reply *reply)
{
    struct trackers *t = c->trackers;
    const struct announce_reply *r = &reply->announce;
    size_t n = trackers_add_peers(t, 0, r->peers4, false);
    struct announce_result result = {
        .outcome = {.answered = true,
                    .interval_s = r->interval_s,
                    .counts = r->counts,
                    .has_counts = true},
        .peers = t->peers,
        .n_peers = trackers_add_peers(t, n, r->peers6, true),
    };
    tracker_call_finish(c, &result);
}

static void on_counts(struct call *c, struct span counts)
{
    struct trackers *t = c->trackers;
    size_t n = counts.n / UDP_SCRAPE_ENTRY_LEN;
    n = n < c->n_hashes ? n : c->n_hashes;
    for (size_t i = 0; i < n; i++) {
        t->answers[i] = (struct scrape_answer){.known = true, .counts = udp_scrape_at(counts, i)};
    }
    const struct scrape_result result = {.answered = true, .answers = t->answers, .n = n};
    tracker_call_finish_scrape(c, &result);
}

static bool is_about_the_id(struct span text)
{
    return memmem(text.p, text.n, "onnection", 9) != NULL;
}

static void on_error(struct call *c, struct span text)
{
    text = span_sub(text, 0, TEXT_MAX);
    while (text.n > 0 && text.p[text.n - 1] == '\0') {
        text.n--;
    }
    if (c->state == CALL_ASKING && c->id_was_kept && is_about_the_id(text)) {
        struct udp_host *h = kept_id(c);
        c->id_was_kept = false;
        if (h != NULL) {
            h->expires_ms = 0;
        }
        begin_phase(c, CALL_CONNECTING);
        try_connect(c, true);
        return;
    }
    tracker_call_fail(c, text.n > 0 ? text : SPAN("refused"), true, 0);
}

static void on_reply(struct udp_source *source, const struct endpoint *from, struct span datagram)
{
    struct trackers *t = source->trackers;
    struct udp_reply reply;
    const char *why;
    size_t at = 0;
    if (udp_reply_decode(&reply, datagram, from->addr.v6, &why) < 0) {
        return;
    }
    struct call *c = find_call(t, reply.transaction_id);
    if (c == NULL || !is_asked(c, from, &at)) {
        return;
    }
    if (reply.action == UDP_ERROR) {
        on_error(c, reply.error);
    } else if (reply.action == UDP_CONNECT && c->state == CALL_CONNECTING) {
        c->at = at;
        c->source = source;
        on_connected(t, source, from, reply.connection_id);
    } else if (c->state == CALL_ASKING && c->hashes == NULL && reply.action == UDP_ANNOUNCE) {
        on_answer(c, &reply);
    } else if (c->state == CALL_ASKING && c->hashes != NULL && reply.action == UDP_SCRAPE) {
        on_counts(c, reply.scrape);
    }
}

static void on_datagram(uv_udp_t *udp, ssize_t n, const uv_buf_t *bytes,
                        const struct sockaddr *from, unsigned flags)
{
    struct udp_source *s = container_of(udp, struct udp_source, udp);
    struct endpoint e;
    if (n <= 0 || from == NULL || (flags & UV_UDP_PARTIAL) != 0 ||
        !endpoint_from_sockaddr(&e, from)) {
        return;
    }
    s->trackers->stats.datagrams++;
    s->trackers->stats.received_len += (uint64_t)n;
    on_reply(s, &e, span_of(bytes->base, (size_t)n));
    trackers_arm(s->trackers);
}
