/* server_fixture.h: running workers on loopback, and blocking clients for them. Header only;
 * include after cmocka.h. */
#ifndef TESTS_SERVER_FIXTURE_H
#define TESTS_SERVER_FIXTURE_H

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "base/parse.h"
#include "tracker/workers.h"
#include "unit/net/net_fixture.h"
#include "unit/tracker/front_fixture.h"

enum { SERVER_ADDRESSES = 3 };

struct server {
    struct tracker *tracker;
    struct workers *workers;
    struct config cfg;
    struct endpoint udp[SERVER_ADDRESSES];
    struct endpoint http[SERVER_ADDRESSES];
};

static inline struct tracker_time server_now(void)
{
    struct timespec mono;
    struct timespec real;
    (void)clock_gettime(CLOCK_MONOTONIC, &mono);
    (void)clock_gettime(CLOCK_REALTIME, &real);
    return (struct tracker_time){
        .mono_ms = (uint64_t)mono.tv_sec * 1000 + (uint64_t)mono.tv_nsec / 1000000,
        .unix_ms = (int64_t)real.tv_sec * 1000 + real.tv_nsec / 1000000,
    };
}

/* A configuration on 127.0.0.1 and ::1 with any port, one worker, and patient timeouts. */
static inline void server_init(struct server *s)
{
    memset(s, 0, sizeof *s);
    s->udp[0] = fixture_at("127.0.0.1:0");
    s->udp[1] = fixture_at("[::1]:0");
    s->http[0] = fixture_at("127.0.0.1:0");
    s->http[1] = fixture_at("[::1]:0");
    s->cfg.tracker.udp = (struct endpoint_list){s->udp, 2};
    s->cfg.tracker.http = (struct endpoint_list){s->http, 2};
    s->cfg.tracker.workers = 1;
    s->cfg.tracker.peer_timeout_s = 3960;
    s->cfg.tracker.connection_id_lifetime_s = 120;
    s->cfg.tracker.max_connections = 1000;
    s->cfg.tracker.http_idle_timeout_s = 30;
    s->cfg.tracker.http_request_timeout_s = 30;
}

static inline void server_make_tracker(struct server *s)
{
    struct tracker_cfg cfg = fixture_tracker_cfg(MODE_PUBLIC);
    cfg.peer_timeout_s = s->cfg.tracker.peer_timeout_s;
    s->tracker = tracker_new(&cfg, workers_count(&s->cfg), server_now());
}

static inline void server_start(struct server *s)
{
    struct err e;
    server_make_tracker(s);
    if (workers_open(&s->workers, s->tracker, &s->cfg, &e) < 0) {
        fail_msg("%s", e.msg);
    }
}

static inline void server_stop(struct server *s)
{
    workers_close(s->workers);
    tracker_free(s->tracker);
}

/* The i-th bound HTTP address, connected. */
static inline int server_http(struct server *s, size_t i)
{
    assert_true(i < workers_http(s->workers)->n);
    return fixture_connect(SOCK_STREAM, &workers_http(s->workers)->at[i]);
}

static inline int server_udp(struct server *s, size_t i)
{
    assert_true(i < workers_udp(s->workers)->n);
    return fixture_connect(SOCK_DGRAM, &workers_udp(s->workers)->at[i]);
}

static inline void send_all(int fd, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        assert_true(sent > 0);
        p += sent;
        n -= (size_t)sent;
    }
}

static inline void send_text(int fd, const char *text)
{
    send_all(fd, text, strlen(text));
}

/* A client's side of HTTP: bytes that came and are not used yet. */
struct http_client {
    int fd;
    bool was_reset;
    size_t n;
    uint8_t in[1 << 17];
};

struct http_response {
    int status;
    size_t head_len;
    size_t body_len;
    char head[1024];
};

/* False at the end of the connection, also when it was reset. */
static inline bool http_client_more(struct http_client *c)
{
    assert_true(c->n < sizeof c->in);
    ssize_t n = recv(c->fd, c->in + c->n, sizeof c->in - c->n, 0);
    if (n <= 0) {
        assert_true(n == 0 || errno == ECONNRESET);
        c->was_reset = n < 0;
        return false;
    }
    c->n += (size_t)n;
    return true;
}

/* Waits for one response and takes it. head_only: it answers a HEAD. False at the end. */
static inline bool http_client_response(struct http_client *c, struct http_response *r,
                                        bool head_only)
{
    const uint8_t *end;
    uint64_t length = 0;
    while ((end = memmem(c->in, c->n, "\r\n\r\n", 4)) == NULL) {
        if (!http_client_more(c)) {
            return false;
        }
    }
    r->head_len = (size_t)(end - c->in) + 4;
    assert_true(r->head_len < sizeof r->head);
    memcpy(r->head, c->in, r->head_len);
    r->head[r->head_len] = '\0';
    assert_int_equal(strncmp(r->head, "HTTP/1.1 ", 9), 0);
    r->status = (int)strtol(r->head + 9, NULL, 10);
    const char *length_at = strstr(r->head, "\r\nContent-Length: ");
    assert_non_null(length_at);
    assert_true(parse_u64(&length, span_cut(span_str(length_at + 18), '\r', NULL), UINT32_MAX));
    r->body_len = head_only ? 0 : (size_t)length;
    while (c->n < r->head_len + r->body_len) {
        if (!http_client_more(c)) {
            return false;
        }
    }
    c->n -= r->head_len + r->body_len;
    memmove(c->in, c->in + r->head_len + r->body_len, c->n);
    return true;
}

/* Nothing more comes, and the connection ends. */
static inline void http_client_expect_end(struct http_client *c)
{
    while (c->n == 0 && http_client_more(c)) {
    }
    assert_int_equal(c->n, 0);
}

static inline void http_client_open(struct http_client *c, int fd)
{
    c->fd = fd;
    c->was_reset = false;
    c->n = 0;
}

static inline void http_client_close(struct http_client *c)
{
    assert_int_equal(close(c->fd), 0);
}

#endif
