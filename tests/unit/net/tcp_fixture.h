/* tcp_fixture.h: one connection of tcp.h on a loop. The client is a thread with a blocking socket, so
 * that both ends of a full kernel buffer can be seen. */
#ifndef UNIT_NET_TCP_FIXTURE_H
#define UNIT_NET_TCP_FIXTURE_H

#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "net/stream.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "unit/net/net_fixture.h"

enum { LARGE = 1500000 };

/* ---- the client --------------------------------------------------------------------------- */

struct client {
    int fd;
    SSL_CTX *ctx; /* NULL: plain */
    SSL *ssl;
};

static inline void client_open(struct client *c, const struct endpoint *to, bool tls)
{
    *c = (struct client){.fd = fixture_connect(SOCK_STREAM, to)};
    if (tls) {
        c->ctx = SSL_CTX_new(TLS_client_method());
        c->ssl = SSL_new(c->ctx);
        assert_int_equal(SSL_set_fd(c->ssl, c->fd), 1);
        assert_int_equal(SSL_connect(c->ssl), 1);
    }
}

static inline void client_send(struct client *c, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    while (n > 0) {
        ssize_t sent =
            c->ssl != NULL ? SSL_write(c->ssl, p, (int)n) : send(c->fd, p, n, MSG_NOSIGNAL);
        assert_true(sent > 0);
        p += sent;
        n -= (size_t)sent;
    }
}

/* Bytes, or 0 at the end. */
static inline size_t client_receive(struct client *c, void *out, size_t cap)
{
    ssize_t n = c->ssl != NULL ? SSL_read(c->ssl, out, (int)cap) : recv(c->fd, out, cap, 0);
    if (n <= 0 && c->ssl != NULL) {
        assert_int_equal(SSL_get_error(c->ssl, (int)n), SSL_ERROR_ZERO_RETURN);
        n = 0;
    }
    assert_true(n >= 0);
    return (size_t)n;
}

static inline void client_close(struct client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    assert_int_equal(close(c->fd), 0);
}

/* ---- the server --------------------------------------------------------------------------- */

struct server {
    uv_loop_t loop;
    struct stream_listener *listener;
    struct tcp_scratch scratch;
    struct tcp_conn *conn;
    struct endpoint at;
    struct tls_server *tls;
    struct fixture_certificate certificate;
    void (*on_bytes)(struct server *s, struct span bytes);
    void (*begin)(struct server *s); /* with a connection; NULL: the loop watches it */
    size_t n_read;
    size_t n_drained;
    size_t n_ended;
    int why;
    bool read_something;
    bool ended;
    bool drained;
    bool conn_closed;
    bool listener_closed;
    uv_thread_t thread;
    bool tls_client;
    void (*client)(struct server *s, struct client *c);
    uv_async_t client_done;
    bool client_is_done;
    uv_sem_t gate;
    uv_sem_t sent;
};

static inline struct server *server_of(struct tcp_conn *c)
{
    return container_of(c->scratch, struct server, scratch);
}

static inline void on_conn_closed(struct tcp_conn *c)
{
    struct server *s = server_of(c);
    assert_false(s->conn_closed);
    s->conn_closed = true;
    free(c);
    s->conn = NULL;
}

static inline void on_read(struct tcp_conn *c, struct span bytes)
{
    struct server *s = server_of(c);
    assert_false(tcp_is_pending(c));
    s->n_read += bytes.n;
    s->read_something = true;
    s->on_bytes(s, bytes);
}

static inline void on_drained(struct tcp_conn *c)
{
    struct server *s = server_of(c);
    assert_false(tcp_is_pending(c));
    s->n_drained++;
    s->drained = true;
}

static inline void on_end(struct tcp_conn *c, int why)
{
    struct server *s = server_of(c);
    s->n_ended++;
    s->ended = true;
    s->why = why;
    tcp_close(c, on_conn_closed);
    tcp_close(c, on_conn_closed);
}

static const struct tcp_events events = {on_read, on_drained, on_end};

static inline void on_connection(void *ctx, int fd, const struct endpoint *peer)
{
    struct server *s = ctx;
    struct tcp_accepted accepted = {&s->loop, fd, peer, s->tls};
    assert_null(s->conn);
    s->conn = mem_new(struct tcp_conn);
    assert_int_equal(tcp_accept(s->conn, &accepted, &events, &s->scratch), 0);
    assert_true(addr_is_loopback(&s->conn->peer.addr));
    assert_int_not_equal(s->conn->peer.port, 0);
    if (s->begin != NULL) {
        s->begin(s);
    } else {
        tcp_watch(s->conn);
    }
}

static inline void on_listener_closed(void *ctx)
{
    struct server *s = ctx;
    s->listener_closed = true;
}

static inline void on_client_done(uv_async_t *async)
{
    struct server *s = container_of(async, struct server, client_done);
    s->client_is_done = true;
}

static inline void client_thread(void *arg)
{
    struct server *s = arg;
    struct client c;
    client_open(&c, &s->at, s->tls_client);
    s->client(s, &c);
    client_close(&c);
    assert_int_equal(uv_async_send(&s->client_done), 0);
}

static inline void echo(struct server *s, struct span bytes)
{
    assert_int_equal(tcp_write(s->conn, bytes), 0);
}

static inline void ignore(struct server *s, struct span bytes)
{
    (void)s;
    (void)bytes;
}

static inline void server_open(struct server *s, bool tls)
{
    struct err e;
    assert_int_equal(uv_loop_init(&s->loop), 0);
    assert_int_equal(uv_sem_init(&s->gate, 0), 0);
    assert_int_equal(uv_sem_init(&s->sent, 0), 0);
    assert_int_equal(uv_async_init(&s->loop, &s->client_done, on_client_done), 0);
    if (tls) {
        fixture_certificate_make(&s->certificate);
        assert_int_equal(
            tls_server_new(&s->tls, s->certificate.certificate, s->certificate.key, &e), 0);
    }
    int fd = fixture_bind(LISTEN_TCP, "127.0.0.1:0", &s->at);
    assert_int_equal(stream_listen(&s->listener, &s->loop, fd, on_connection, s), 0);
}

static inline void server_start(struct server *s, bool tls,
                                void (*client)(struct server *, struct client *))
{
    server_open(s, tls);
    s->tls_client = tls;
    s->client = client;
    assert_int_equal(uv_thread_create(&s->thread, client_thread, s), 0);
}

static inline void server_close(struct server *s)
{
    uv_close((uv_handle_t *)&s->client_done, NULL);
    stream_listener_close(s->listener, on_listener_closed, s);
    fixture_run_until(&s->loop, &s->listener_closed);
    assert_null(s->conn);
    assert_int_equal(uv_loop_close(&s->loop), 0);
    uv_sem_destroy(&s->gate);
    uv_sem_destroy(&s->sent);
    if (s->tls != NULL) {
        tls_server_free(s->tls);
        fixture_certificate_remove(&s->certificate);
    }
}

/* ---- a peer that does not read, then does -------------------------------------------------- */

static uint8_t large[LARGE];

static inline void slow_client(struct server *s, struct client *c)
{
    static uint8_t got[LARGE];
    size_t have = 0;
    client_send(c, "go", 2);
    uv_sem_wait(&s->gate); /* the server's output waits */
    client_send(c, "more", 4);
    while (have < LARGE) {
        size_t n = client_receive(c, got + have, LARGE - have);
        assert_true(n > 0);
        have += n;
    }
    assert_memory_equal(got, large, LARGE);
    assert_int_equal(client_receive(c, got, sizeof got), 0);
}

static inline void answer_large(struct server *s, struct span bytes)
{
    if (s->n_read == bytes.n) {
        /* In two pieces, so that the second queues behind the first. */
        assert_int_equal(tcp_write(s->conn, span_of(large, LARGE / 3 * 2)), 0);
        assert_int_equal(tcp_write(s->conn, span_of(large + LARGE / 3 * 2, LARGE / 3)), 0);
    } else {
        assert_true(s->drained); /* not read while output waited */
        tcp_finish(s->conn);
        tcp_finish(s->conn);
    }
}

static inline int ignore_sigpipe(void **state)
{
    (void)state;
    struct sigaction ignore_it = {.sa_handler = SIG_IGN};
    return sigaction(SIGPIPE, &ignore_it, NULL);
}

#endif
