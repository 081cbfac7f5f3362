/* trackers_fixture.h: trackers of a few lines on loopback, by UDP and HTTP, that do right and wrong
 * things, and announces and scrapes to them; the times of the UDP side are made short. Header only; include
 * after cmocka.h. */
#ifndef TESTS_TRACKERS_FIXTURE_H
#define TESTS_TRACKERS_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "client/trackers.h"
#include "client/trackers_impl.h"
#include "net/http_client.h"
#include "proto/compact.h"
#include "proto/http_tracker.h"
#include "proto/udp_tracker.h"
#include "unit/net/http_fixture.h"
#include "unit/net/net_fixture.h"

enum { ANSWERS_MAX = 40 };

/* A UDP tracker. */
struct fake_udp {
    uv_udp_t udp;
    unsigned port;
    uint8_t in[2048];
    int n_connects;
    int n_announces;
    int n_scrapes;
    size_t scrape_max; /* hashes that are answered; 0: all */
    int drop_connects; /* so many are not answered */
    int drop_announces;
    int n_bad_ids;     /* so many announces get an error about their id */
    bool wrong_first;  /* junk, other transaction ids and other actions before each answer */
    const char *error; /* the answer to announces */
    struct udp_request last;
    uint64_t id;
};

struct answer {
    uint64_t id;
    bool answered;
    bool refused;
    int32_t retry_in_min;
    uint32_t interval_s;
    uint32_t min_interval_s;
    struct scrape_counts counts;
    char text[200]; /* why, or warning */
    struct endpoint peers[4];
    size_t n_peers;
    bool has_external_ip;
    struct addr external_ip;
};

static struct {
    uv_loop_t loop;
    struct http_client *client;
    struct trackers *trackers;
    struct fake_http http;
    struct fake_udp udp;
    struct answer answers[ANSWERS_MAX];
    size_t n_answers;
    struct scrape_answer counts[SCRAPE_MAX]; /* of the last scrape, whose answer this is */
    struct scrape_result scraped;
    uint64_t scraped_id; /* 0: not yet */
    bool inside;
    bool closed;
    int n_own;
    enum announce_event own_events[8];
    struct addr own_from[8];
    bool own_refuses;
    char body[65536]; /* of the HTTP tracker */
    size_t body_len;
    const char *http_status;
    const char *http_headers;
    char path[8192];
    bool redirect; /* from /announce to /moved */
    struct announce_req http_req;
    struct endpoint own_at[2];
    struct endpoint_list own_udp;
    struct endpoint_list own_http;
} t;

static const struct addr ANY4;
static const struct addr ANY6 = {.v6 = true};

static inline void on_done(void *ctx, uint64_t announce, const struct announce_result *r)
{
    struct answer *a = &t.answers[t.n_answers];
    const struct announce_outcome *o = &r->outcome;
    struct span text = o->answered ? o->warning : o->why;
    assert_ptr_equal(ctx, &t);
    assert_false(t.inside);
    assert_true(t.n_answers < ANSWERS_MAX);
    uv_stop(&t.loop);
    *a = (struct answer){
        .id = announce,
        .answered = o->answered,
        .refused = o->refused,
        .retry_in_min = o->retry_in_min,
        .interval_s = o->interval_s,
        .min_interval_s = o->min_interval_s,
        .counts = o->counts,
        .n_peers = r->n_peers,
        .has_external_ip = r->has_external_ip,
        .external_ip = r->external_ip,
    };
    (void)snprintf(a->text, sizeof a->text, "%.*s", (int)text.n, (const char *)text.p);
    for (size_t i = 0; i < r->n_peers && i < 4; i++) {
        a->peers[i] = r->peers[i];
    }
    t.n_answers++;
}

static inline void on_scraped(void *ctx, uint64_t scrape, const struct scrape_result *r)
{
    assert_ptr_equal(ctx, &t);
    assert_false(t.inside);
    assert_int_equal(t.scraped_id, 0);
    assert_true(r->n <= SCRAPE_MAX);
    uv_stop(&t.loop);
    t.scraped = *r;
    t.scraped_id = scrape;
    if (r->n > 0) {
        memcpy(t.counts, r->answers, r->n * sizeof *r->answers);
    }
}

/* ---- the trackers ---- */

static inline void own_scrape(void *ctx, const struct infohash *hashes, size_t n,
                              struct scrape_counts *out)
{
    assert_ptr_equal(ctx, &t);
    assert_false(t.inside);
    for (size_t i = 0; i < n; i++) {
        out[i] = (struct scrape_counts){.complete = hashes[i].b[0], .incomplete = 77};
    }
}

static inline int own(void *ctx, const struct announce_req *req, struct announce_reply *reply,
                      struct endpoint *out, size_t cap, const char **why)
{
    assert_ptr_equal(ctx, &t);
    assert_false(t.inside);
    assert_true(t.n_own < 8 && cap >= 2);
    t.own_events[t.n_own] = req->event;
    t.own_from[t.n_own++] = req->from;
    if (t.own_refuses) {
        *why = "not today";
        return ERR_DENIED;
    }
    *reply = (struct announce_reply){.interval_s = 77, .counts = {.complete = 5}};
    out[0] = fixture_endpoint("198.51.100.1:1");
    out[1] = fixture_endpoint(req->from.v6 ? "[2001:db8::1]:2" : "198.51.100.2:2");
    return 2;
}

static inline void udp_send(struct fake_udp *u, const struct wr *w, const struct sockaddr *to)
{
    uv_buf_t out = uv_buf_init((char *)w->start, (unsigned)wr_len(w));
    assert_int_equal(uv_udp_try_send(&u->udp, &out, 1, to), (int)out.len);
}

/* Everything that must not be believed. */
static inline void udp_send_wrong(struct fake_udp *u, uint32_t transaction_id,
                                  const struct sockaddr *to)
{
    uint8_t bytes[64];
    struct wr w = wr_over(bytes, sizeof bytes);
    struct scrape_counts counts = {.complete = 666};
    udp_error_encode(&w, transaction_id + 1, SPAN("not for you"));
    udp_send(u, &w, to);
    w = wr_over(bytes, sizeof bytes);
    udp_announce_reply_encode(&w, transaction_id ^ 0x80000000, 666, &counts);
    udp_send(u, &w, to);
    w = wr_over(bytes, sizeof bytes);
    udp_scrape_reply_encode(&w, transaction_id, &counts, 1);
    udp_send(u, &w, to);
    w = wr_over(bytes, sizeof bytes);
    wr_u32(&w, UDP_ANNOUNCE); /* too short for its action */
    wr_u32(&w, transaction_id);
    udp_send(u, &w, to);
    w = wr_over(bytes, sizeof bytes);
    wr_bytes(&w, SPAN("junk"));
    udp_send(u, &w, to);
}

static inline void udp_answer_announce(struct fake_udp *u, struct wr *w)
{
    struct scrape_counts counts = {.complete = 3, .incomplete = 4};
    uint32_t transaction_id = u->last.transaction_id;
    if (u->n_bad_ids > 0) {
        u->n_bad_ids--;
        udp_error_encode(w, transaction_id, SPAN("Connection ID missmatch.\0"));
    } else if (u->error != NULL) {
        udp_error_encode(w, transaction_id, span_str(u->error));
    } else {
        assert_int_equal(u->last.connection_id, u->id);
        udp_announce_reply_encode(w, transaction_id, 1234, &counts);
        wr_bytes(w, SPAN("\xc6\x33\x64\x01\x1a\xe1"
                         "\xc6\x33\x64\x02\x00\x00" /* no port */
                         "\xc6\x33\x64\x03\x00\x01"));
    }
}

static inline void udp_answer_scrape(struct fake_udp *u, struct wr *w)
{
    struct scrape_counts counts[SCRAPE_MAX];
    size_t n = u->last.hashes.n / 20;
    assert_true(n <= SCRAPE_MAX);
    if (u->error != NULL) {
        udp_error_encode(w, u->last.transaction_id, span_str(u->error));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        counts[i] = (struct scrape_counts){u->last.hashes.p[20 * i], 6, 7};
    }
    udp_scrape_reply_encode(w, u->last.transaction_id, counts,
                            u->scrape_max != 0 && u->scrape_max < n ? u->scrape_max : n);
}

static inline void udp_on_request(uv_udp_t *udp, ssize_t n, const uv_buf_t *bytes,
                                  const struct sockaddr *from, unsigned flags)
{
    struct fake_udp *u = udp->data;
    uint8_t out[1024];
    struct wr w = wr_over(out, sizeof out);
    const char *why;
    (void)flags;
    if (n == 0) {
        return;
    }
    assert_true(n > 0);
    assert_true(udp_request_decode(&u->last, span_of(bytes->base, (size_t)n), &why) > 0);
    if (u->last.action == UDP_CONNECT) {
        assert_true(u->last.connection_id == UDP_PROTOCOL_ID);
        if (++u->n_connects <= u->drop_connects) {
            return;
        }
        udp_connect_reply_encode(&w, u->last.transaction_id, ++u->id);
    } else if (u->last.action == UDP_SCRAPE) {
        assert_int_equal(u->last.connection_id, u->id);
        u->n_scrapes++;
        udp_answer_scrape(u, &w);
    } else {
        assert_int_equal(u->last.action, UDP_ANNOUNCE);
        if (++u->n_announces <= u->drop_announces) {
            return;
        }
        udp_answer_announce(u, &w);
    }
    if (u->wrong_first) {
        udp_send_wrong(u, u->last.transaction_id, from);
    }
    udp_send(u, &w, from);
}

static inline void udp_on_alloc(uv_handle_t *handle, size_t n, uv_buf_t *out)
{
    struct fake_udp *u = handle->data;
    (void)n;
    *out = uv_buf_init((char *)u->in, sizeof u->in);
}

static inline void udp_open(struct fake_udp *u)
{
    struct sockaddr_in at;
    struct sockaddr_storage ss;
    int len = sizeof ss;
    struct endpoint bound;
    *u = (struct fake_udp){.id = 0x1000};
    assert_int_equal(uv_udp_init(&t.loop, &u->udp), 0);
    u->udp.data = u;
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &at), 0);
    assert_int_equal(uv_udp_bind(&u->udp, (struct sockaddr *)&at, 0), 0);
    assert_int_equal(uv_udp_recv_start(&u->udp, udp_on_alloc, udp_on_request), 0);
    assert_int_equal(uv_udp_getsockname(&u->udp, (struct sockaddr *)&ss, &len), 0);
    assert_true(endpoint_from_sockaddr(&bound, (struct sockaddr *)&ss));
    u->port = bound.port;
}

static inline bool http_answer(struct fake_http *s, struct span request, struct buf *reply)
{
    struct span path = fake_http_path(request);
    struct span query;
    const char *why;
    (void)s;
    (void)span_cut(path, '?', &query);
    (void)snprintf(t.path, sizeof t.path, "%.*s", (int)path.n, (const char *)path.p);
    assert_true(fake_http_has(request, "User-Agent: Rookery test\r\n"));
    if (!span_starts_with(path, SPAN("/scrape"))) {
        assert_int_equal(http_announce_decode(&t.http_req, query, &why), 0);
    }
    if (t.redirect && span_starts_with(path, SPAN("/announce"))) {
        char location[1024];
        (void)snprintf(location, sizeof location, "Location: /moved?%.*s\r\n", (int)query.n,
                       (const char *)query.p);
        fake_http_reply(reply, "302 Found", location, SPAN(""));
        return true;
    }
    fake_http_reply(reply, t.http_status, t.http_headers, span_of(t.body, t.body_len));
    return true;
}

/* ---- set-up ---- */

static inline void on_closed(void *ctx)
{
    *(bool *)ctx = true;
    uv_stop(&t.loop);
}

static inline void set_body(struct span body)
{
    assert_true(body.n <= sizeof t.body);
    memcpy(t.body, body.p, body.n);
    t.body_len = body.n;
}

static inline int open_all(void **state)
{
    struct err e;
    (void)state;
    memset(&t, 0, sizeof t);
    t.http_status = "200 OK";
    t.http_headers = "";
    set_body(SPAN("d8:intervali900e5:peers0:e"));
    assert_int_equal(digest_start(), 0);
    assert_int_equal(uv_loop_init(&t.loop), 0);
    assert_int_equal(http_client_open(&t.client, &t.loop, &e), 0);
    fake_http_open(&t.http, &t.loop, http_answer, NULL);
    udp_open(&t.udp);
    t.own_at[0] = (struct endpoint){.port = 1}; /* wildcards on ports that nobody names */
    t.own_at[1] = (struct endpoint){.port = 2};
    t.own_udp = (struct endpoint_list){&t.own_at[0], 1};
    t.own_http = (struct endpoint_list){&t.own_at[1], 1};
    struct trackers_opts opts = {
        .loop = &t.loop,
        .http = t.client,
        .user_agent = "Rookery test",
        .own = own,
        .own_scrape = own_scrape,
        .own_ctx = &t,
        .own_from4 = fixture_endpoint("203.0.113.1:0").addr,
        .own_udp = &t.own_udp,
        .own_http = &t.own_http,
        .done = on_done,
        .scraped = on_scraped,
        .ctx = &t,
    };
    t.trackers = trackers_new(&opts);
    for (size_t i = 0; i < UDP_TRIES; i++) {
        t.trackers->udp_retry_ms[i] = 20;
    }
    return 0;
}

static inline void close_trackers(void)
{
    bool closed = false;
    trackers_close(t.trackers, on_closed, &closed);
    assert_false(closed);
    fixture_run_until(&t.loop, &closed);
    t.trackers = NULL;
}

static inline int close_all(void **state)
{
    bool closed = false;
    (void)state;
    if (t.trackers != NULL) {
        close_trackers();
    }
    http_client_close(t.client, on_closed, &closed);
    fixture_run_until(&t.loop, &closed);
    fake_http_close(&t.http);
    uv_close((uv_handle_t *)&t.udp.udp, NULL);
    assert_int_equal(uv_run(&t.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&t.loop), 0);
    return 0;
}

static inline struct engine_announce announce_of(uint64_t id, const char *url,
                                                 enum announce_event event)
{
    struct engine_announce a = {
        .id = id,
        .url = url,
        .req = {.uploaded = 11,
                .downloaded = 22,
                .left = 33,
                .event = event,
                .numwant = 50,
                .port = 6881},
        .key = 0xdeadbeef,
        .timeout_ms = 5000,
    };
    memset(&a.req.info_hash, 0xa1, sizeof a.req.info_hash);
    memset(&a.req.peer_id, '-', sizeof a.req.peer_id);
    return a;
}

static inline void begin(const struct engine_announce *a)
{
    t.inside = true;
    trackers_announce(t.trackers, a, &ANY4, &ANY6);
    t.inside = false;
}

/* Turns the loop until so many answers are there. */
static inline void wait_for(size_t n)
{
    while (t.n_answers < n) {
        bool stop = false;
        uv_timer_t patience;
        assert_int_equal(uv_timer_init(&t.loop, &patience), 0);
        assert_int_equal(uv_timer_start(&patience, fixture_on_patience_end, FIXTURE_PATIENCE_MS, 0),
                         0);
        size_t before = t.n_answers;
        while (!stop) {
            (void)uv_run(&t.loop, UV_RUN_ONCE);
            stop = t.n_answers > before;
        }
        uv_close((uv_handle_t *)&patience, NULL);
        (void)uv_run(&t.loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(t.n_answers, n);
}

static inline const struct answer *ask(const char *url, enum announce_event event)
{
    struct engine_announce a = announce_of(100 + t.n_answers, url, event);
    begin(&a);
    wait_for(t.n_answers + 1);
    assert_int_equal(t.answers[t.n_answers - 1].id, a.id);
    return &t.answers[t.n_answers - 1];
}

static inline const char *url_of(const char *scheme, unsigned port, const char *rest)
{
    static char url[1200];
    (void)snprintf(url, sizeof url, "%s://127.0.0.1:%u%s", scheme, port, rest);
    return url;
}

static inline const struct answer *ask_udp(const char *rest)
{
    return ask(url_of("udp", t.udp.port, rest), EVENT_STARTED);
}

static inline const struct answer *ask_http(const char *rest)
{
    return ask(url_of("http", t.http.port, rest), EVENT_STARTED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)

#endif
