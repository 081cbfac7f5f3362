/* http_fixture.h: an HTTP server of a few lines on the test's own loop. It answers what the test
 * says, right or wrong, byte by byte. Header only; include after cmocka.h. */
#ifndef TESTS_HTTP_FIXTURE_H
#define TESTS_HTTP_FIXTURE_H

#include <stdio.h>
#include <string.h>

#include <uv.h>

#include "base/buf.h"
#include "base/endpoint.h"
#include "base/mem.h"
#include "base/span.h"

enum { FAKE_HTTP_REQUEST_MAX = 16384, FAKE_HTTP_REPLY_MAX = 8 << 20 };

struct fake_http;

/* What to answer to a request (its head): bytes into reply; none: no answer. True: keep the
 * connection. */
typedef bool (*fake_http_answer)(struct fake_http *s, struct span request, struct buf *reply);

struct fake_http {
    uv_tcp_t listener;
    fake_http_answer answer;
    void *ctx;
    unsigned port;
    size_t n_connections;
    size_t n_requests;
    struct fake_http_conn *conns;
};

struct fake_http_conn {
    uv_tcp_t tcp;
    uv_write_t write;
    struct fake_http *server;
    struct fake_http_conn *next;
    struct buf in;
    struct buf reply;
    bool keep;
    bool closing;
};

static inline void fake_http_on_conn_closed(uv_handle_t *handle)
{
    struct fake_http_conn *c = handle->data;
    buf_release(&c->in);
    buf_release(&c->reply);
    free(c);
}

static inline void fake_http_conn_close(struct fake_http_conn *c)
{
    struct fake_http_conn **at = &c->server->conns;
    if (c->closing) {
        return;
    }
    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    c->closing = true;
    uv_close((uv_handle_t *)&c->tcp, fake_http_on_conn_closed);
}

static inline void fake_http_on_alloc(uv_handle_t *handle, size_t n, uv_buf_t *out)
{
    struct fake_http_conn *c = handle->data;
    (void)n;
    out->base = (char *)buf_reserve(&c->in, 4096);
    out->len = out->base == NULL ? 0 : 4096;
}

static inline void fake_http_on_written(uv_write_t *write, int status)
{
    struct fake_http_conn *c = container_of(write, struct fake_http_conn, write);
    buf_clear(&c->reply);
    if (status < 0 || !c->keep) {
        fake_http_conn_close(c);
    }
}

static inline void fake_http_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct fake_http_conn *c = stream->data;
    (void)bytes;
    if (n < 0) {
        fake_http_conn_close(c);
        return;
    }
    c->in.len += (size_t)n;
    uint8_t *end = memmem(c->in.p, c->in.len, "\r\n\r\n", 4);
    if (end == NULL || c->reply.len > 0) {
        return;
    }
    size_t len = (size_t)(end - c->in.p) + 4;
    c->server->n_requests++;
    c->keep = c->server->answer(c->server, span_of(c->in.p, len), &c->reply);
    buf_consume(&c->in, len);
    if (c->reply.len > 0) {
        uv_buf_t out = uv_buf_init((char *)c->reply.p, (unsigned)c->reply.len);
        assert_int_equal(uv_write(&c->write, stream, &out, 1, fake_http_on_written), 0);
    } else if (!c->keep) {
        fake_http_conn_close(c);
    }
}

static inline void fake_http_on_connection(uv_stream_t *listener, int status)
{
    struct fake_http *s = listener->data;
    struct fake_http_conn *c = mem_new(struct fake_http_conn);
    assert_int_equal(status, 0);
    buf_init(&c->in, FAKE_HTTP_REQUEST_MAX);
    buf_init(&c->reply, FAKE_HTTP_REPLY_MAX);
    c->server = s;
    c->next = s->conns;
    s->conns = c;
    s->n_connections++;
    assert_int_equal(uv_tcp_init(listener->loop, &c->tcp), 0);
    c->tcp.data = c;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&c->tcp), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&c->tcp, fake_http_on_alloc, fake_http_on_read),
                     0);
}

/* Listens on a loopback address and a free port. */
static inline void fake_http_open(struct fake_http *s, uv_loop_t *loop, fake_http_answer answer,
                                  void *ctx)
{
    struct sockaddr_in at;
    struct sockaddr_storage ss;
    int len = sizeof ss;
    struct endpoint bound;
    *s = (struct fake_http){.answer = answer, .ctx = ctx};
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &at), 0);
    assert_int_equal(uv_tcp_init(loop, &s->listener), 0);
    s->listener.data = s;
    assert_int_equal(uv_tcp_bind(&s->listener, (struct sockaddr *)&at, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&s->listener, 64, fake_http_on_connection), 0);
    assert_int_equal(uv_tcp_getsockname(&s->listener, (struct sockaddr *)&ss, &len), 0);
    assert_true(endpoint_from_sockaddr(&bound, (struct sockaddr *)&ss));
    s->port = bound.port;
}

static inline void fake_http_close(struct fake_http *s)
{
    uv_close((uv_handle_t *)&s->listener, NULL);
    while (s->conns != NULL) {
        fake_http_conn_close(s->conns);
    }
}

/* The path (and query) of a request. */
static inline struct span fake_http_path(struct span request)
{
    struct span rest;
    (void)span_cut(request, ' ', &rest);
    return span_cut(rest, ' ', NULL);
}

static inline bool fake_http_has(struct span request, const char *text)
{
    return memmem(request.p, request.n, text, strlen(text)) != NULL;
}

/* A whole answer with a length. */
static inline void fake_http_reply(struct buf *reply, const char *status, const char *headers,
                                   struct span body)
{
    buf_addf(reply, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status, body.n, headers);
    buf_add(reply, body);
}

#endif
