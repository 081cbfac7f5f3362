/* Every test of a connection runs twice: plain and over TLS. The client is a thread with a blocking
 * socket, so that both ends of a full kernel buffer can be seen. */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "net/stream.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "unit/net/net_fixture.h"

#include "base/banned.h"

enum { LARGE = 1500000, ECHO_LEN = 100000 };

/* ---- the client --------------------------------------------------------------------------- */

struct client {
    int fd;
    SSL_CTX *ctx; /* NULL: plain */
    SSL *ssl;
};

static void client_open(struct client *c, const struct endpoint *to, bool tls)
{
    *c = (struct client){.fd = fixture_connect(SOCK_STREAM, to)};
    if (tls) {
        c->ctx = SSL_CTX_new(TLS_client_method());
        c->ssl = SSL_new(c->ctx);
        assert_int_equal(SSL_set_fd(c->ssl, c->fd), 1);
        assert_int_equal(SSL_connect(c->ssl), 1);
    }
}

static void client_send(struct client *c, const void *bytes, size_t n)
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
static size_t client_receive(struct client *c, void *out, size_t cap)
{
    ssize_t n = c->ssl != NULL ? SSL_read(c->ssl, out, (int)cap) : recv(c->fd, out, cap, 0);
    if (n <= 0 && c->ssl != NULL) {
        assert_int_equal(SSL_get_error(c->ssl, (int)n), SSL_ERROR_ZERO_RETURN);
        n = 0;
    }
    assert_true(n >= 0);
    return (size_t)n;
}

static void client_close(struct client *c)
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

static struct server *server_of(struct tcp_conn *c)
{
    return container_of(c->scratch, struct server, scratch);
}

static void on_conn_closed(struct tcp_conn *c)
{
    struct server *s = server_of(c);
    assert_false(s->conn_closed);
    s->conn_closed = true;
    free(c);
    s->conn = NULL;
}

static void on_read(struct tcp_conn *c, struct span bytes)
{
    struct server *s = server_of(c);
    assert_false(tcp_is_pending(c));
    s->n_read += bytes.n;
    s->read_something = true;
    s->on_bytes(s, bytes);
}

static void on_drained(struct tcp_conn *c)
{
    struct server *s = server_of(c);
    assert_false(tcp_is_pending(c));
    s->n_drained++;
    s->drained = true;
}

static void on_end(struct tcp_conn *c, int why)
{
    struct server *s = server_of(c);
    s->n_ended++;
    s->ended = true;
    s->why = why;
    tcp_close(c, on_conn_closed);
    tcp_close(c, on_conn_closed);
}

static const struct tcp_events events = {on_read, on_drained, on_end};

static void on_connection(void *ctx, int fd, const struct endpoint *peer)
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

static void on_listener_closed(void *ctx)
{
    struct server *s = ctx;
    s->listener_closed = true;
}

static void on_client_done(uv_async_t *async)
{
    struct server *s = container_of(async, struct server, client_done);
    s->client_is_done = true;
}

static void client_thread(void *arg)
{
    struct server *s = arg;
    struct client c;
    client_open(&c, &s->at, s->tls_client);
    s->client(s, &c);
    client_close(&c);
    assert_int_equal(uv_async_send(&s->client_done), 0);
}

static void echo(struct server *s, struct span bytes)
{
    assert_int_equal(tcp_write(s->conn, bytes), 0);
}

static void ignore(struct server *s, struct span bytes)
{
    (void)s;
    (void)bytes;
}

static void server_open(struct server *s, bool tls)
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

static void server_start(struct server *s, bool tls,
                         void (*client)(struct server *, struct client *))
{
    server_open(s, tls);
    s->tls_client = tls;
    s->client = client;
    assert_int_equal(uv_thread_create(&s->thread, client_thread, s), 0);
}

static void server_close(struct server *s)
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

/* ---- echo --------------------------------------------------------------------------------- */

static void echo_client(struct server *s, struct client *c)
{
    (void)s;
    static uint8_t sent[ECHO_LEN];
    uint8_t got[4096];
    for (size_t i = 0; i < sizeof sent; i++) {
        sent[i] = (uint8_t)(i * 31);
    }
    for (size_t at = 0; at < sizeof sent; at += 1000) {
        client_send(c, sent + at, 1000);
        for (size_t have = 0; have < 1000;) {
            size_t n = client_receive(c, got, sizeof got);
            assert_true(n > 0);
            assert_memory_equal(got, sent + at + have, n);
            have += n;
        }
    }
}

static void echo_scenario(bool tls)
{
    struct server s = {.on_bytes = echo};
    server_start(&s, tls, echo_client);
    fixture_run_until(&s.loop, &s.conn_closed);
    assert_int_equal(s.n_read, ECHO_LEN);
    assert_int_equal(s.why, ERR_CLOSED);
    assert_int_equal(s.n_ended, 1);
    assert_int_equal(uv_thread_join(&s.thread), 0);
    server_close(&s);
}

static void test_echo(void **state)
{
    (void)state;
    echo_scenario(false);
    echo_scenario(true);
}

/* ---- a peer that does not read, then does -------------------------------------------------- */

static uint8_t large[LARGE];

static void slow_client(struct server *s, struct client *c)
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

static void answer_large(struct server *s, struct span bytes)
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

static void slow_scenario(bool tls)
{
    struct server s = {.on_bytes = answer_large};
    for (size_t i = 0; i < LARGE; i++) {
        large[i] = (uint8_t)(i ^ (i >> 8));
    }
    server_start(&s, tls, slow_client);
    fixture_run_until(&s.loop, &s.read_something);
    assert_true(tcp_is_pending(s.conn));
    uv_sem_post(&s.gate);
    fixture_run_until(&s.loop, &s.conn_closed);
    assert_int_equal(s.n_drained, 1);
    assert_int_equal(s.n_read, 6);
    assert_int_equal(s.why, ERR_CLOSED);
    assert_int_equal(uv_thread_join(&s.thread), 0);
    server_close(&s);
}

static void test_partial_writes(void **state)
{
    (void)state;
    slow_scenario(false);
    slow_scenario(true);
}

/* Two TLS records in one segment: the second is decrypted only when the answer to the first has
 * gone, though nothing more comes from the network. */
static void two_records_client(struct server *s, struct client *c)
{
    static uint8_t got[LARGE];
    size_t have = 0;
    int cork = 1;
    assert_int_equal(setsockopt(c->fd, IPPROTO_TCP, TCP_CORK, &cork, sizeof cork), 0);
    client_send(c, "go", 2);
    client_send(c, "more", 4);
    cork = 0;
    assert_int_equal(setsockopt(c->fd, IPPROTO_TCP, TCP_CORK, &cork, sizeof cork), 0);
    uv_sem_wait(&s->gate);
    while (have < LARGE) {
        size_t n = client_receive(c, got + have, LARGE - have);
        assert_true(n > 0);
        have += n;
    }
    assert_int_equal(client_receive(c, got, sizeof got), 0);
}

static void test_record_behind_a_full_output(void **state)
{
    (void)state;
    struct server s = {.on_bytes = answer_large};
    server_start(&s, true, two_records_client);
    fixture_run_until(&s.loop, &s.read_something);
    assert_int_equal(s.n_read, 2);
    assert_true(tcp_is_pending(s.conn));
    uv_sem_post(&s.gate);
    fixture_run_until(&s.loop, &s.conn_closed);
    assert_int_equal(s.n_read, 6);
    assert_int_equal(uv_thread_join(&s.thread), 0);
    server_close(&s);
}

/* ---- the bound of the queue, and closing with output waiting ------------------------------- */

static void deaf_client(struct server *s, struct client *c)
{
    client_send(c, "go", 2);
    uv_sem_wait(&s->gate);
}

static void write_without_end(struct server *s, struct span bytes)
{
    (void)bytes;
    for (int i = 0; i < 1000; i++) {
        int status = tcp_write(s->conn, span_of(large, 1 << 19));
        if (status < 0) {
            assert_int_equal(status, ERR_LIMIT);
            tcp_close(s->conn, on_conn_closed);
            return;
        }
    }
    fail_msg("%s", "the queue has no bound");
}

static void deaf_scenario(bool tls)
{
    struct server s = {.on_bytes = write_without_end};
    server_start(&s, tls, deaf_client);
    fixture_run_until(&s.loop, &s.conn_closed);
    assert_int_equal(s.n_ended, 0);
    uv_sem_post(&s.gate);
    fixture_run_until(&s.loop, &s.client_is_done);
    assert_int_equal(uv_thread_join(&s.thread), 0);
    server_close(&s);
}

static void test_queue_is_bounded(void **state)
{
    (void)state;
    deaf_scenario(false);
    deaf_scenario(true);
}

/* ---- a peer that resets while output waits ------------------------------------------------- */

static void resetting_client(struct server *s, struct client *c)
{
    struct linger now = {.l_onoff = 1};
    client_send(c, "go", 2);
    uv_sem_wait(&s->gate);
    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
}

static void write_large(struct server *s, struct span bytes)
{
    (void)bytes;
    assert_int_equal(tcp_write(s->conn, span_of(large, LARGE)), 0);
}

static void reset_scenario(bool tls)
{
    struct server s = {.on_bytes = write_large};
    server_start(&s, tls, resetting_client);
    fixture_run_until(&s.loop, &s.read_something);
    assert_true(tcp_is_pending(s.conn));
    uv_sem_post(&s.gate);
    fixture_run_until(&s.loop, &s.conn_closed);
    assert_int_equal(s.n_ended, 1);
    assert_int_equal(s.why, ERR_CLOSED);
    assert_int_equal(s.n_drained, 0);
    assert_int_equal(uv_thread_join(&s.thread), 0);
    server_close(&s);
}

static void test_reset_while_output_waits(void **state)
{
    (void)state;
    reset_scenario(false);
    reset_scenario(true);
}

/* ---- before the loop watches --------------------------------------------------------------- */

/* Waits for all that the client sends first: a test may block where the loop does not. */
static void wait_for_bytes(struct server *s, size_t n)
{
    static uint8_t peeked[256];
    assert_int_equal(fcntl(s->conn->fd, F_SETFL, 0), 0);
    ssize_t got = recv(s->conn->fd, peeked, n, MSG_PEEK | MSG_WAITALL);
    assert_int_equal(got, (ssize_t)n);
    assert_int_equal(fcntl(s->conn->fd, F_SETFL, O_NONBLOCK), 0);
}

/* Asks and wants the answer, then the end, and no error in front of it. */
static void one_answer_client(struct server *s, struct client *c)
{
    uint8_t got[64];
    size_t have = 0;
    (void)s;
    client_send(c, "ask", 3);
    while (have < 6) {
        size_t n = client_receive(c, got + have, sizeof got - have);
        assert_true(n > 0);
        have += n;
    }
    assert_memory_equal(got, "answer", 6);
    assert_int_equal(client_receive(c, got, sizeof got), 0);
}

static void answer_last(struct server *s, struct span bytes)
{
    (void)bytes;
    assert_int_equal(tcp_write_last(s->conn, SPAN("answer")), 0);
    tcp_close(s->conn, on_conn_closed);
    assert_false(s->conn_closed); /* never from inside the call */
}

static void read_at_once(struct server *s)
{
    wait_for_bytes(s, 3);
    tcp_read_now(s->conn);
    assert_true(s->read_something);
    tcp_watch(s->conn); /* closing: nothing happens */
}

static void test_short_connection_never_meets_the_loop(void **state)
{
    (void)state;
    struct server s = {.on_bytes = answer_last, .begin = read_at_once};
    server_start(&s, false, one_answer_client);
    fixture_run_until(&s.loop, &s.conn_closed);
    assert_int_equal(s.n_ended, 0);
    assert_int_equal(uv_thread_join(&s.thread), 0);
    server_close(&s);
}

/* More than was asked for is on its way when we end: the answer must not be lost with it. */
static void talkative_client(struct server *s, struct client *c)
{
    uint8_t got[64];
    size_t have = 0;
    client_send(c, "ask", 3);
    uv_sem_wait(&s->gate); /* that was read */
    client_send(c, "more", 4);
    uv_sem_post(&s->sent);
    while (have < 6) {
        size_t n = client_receive(c, got + have, sizeof got - have);
        assert_true(n > 0);
        have += n;
    }
    assert_memory_equal(got, "answer", 6);
}

static void answer_before_more(struct server *s, struct span bytes)
{
    assert_int_equal(bytes.n, 3);
    uv_sem_post(&s->gate);
    uv_sem_wait(&s->sent);
    wait_for_bytes(s, 4);
    answer_last(s, bytes);
}

static void test_last_answer_is_not_lost_to_unread_bytes(void **state)
{
    (void)state;
    struct server s = {.on_bytes = answer_before_more, .begin = read_at_once};
    server_start(&s, false, talkative_client);
    fixture_run_until(&s.loop, &s.conn_closed);
    assert_int_equal(uv_thread_join(&s.thread), 0);
    server_close(&s);
}

static void read_and_watch(struct server *s)
{
    wait_for_bytes(s, 2);
    tcp_read_now(s->conn);
    assert_true(tcp_is_pending(s->conn)); /* which made the loop watch it */
    tcp_watch(s->conn);
    tcp_read_now(s->conn); /* it is the loop's: nothing happens */
}

static void test_partial_write_before_the_loop_watches(void **state)
{
    (void)state;
    struct server s = {.on_bytes = answer_large, .begin = read_and_watch};
    server_start(&s, false, slow_client);
    fixture_run_until(&s.loop, &s.read_something);
    uv_sem_post(&s.gate);
    fixture_run_until(&s.loop, &s.conn_closed);
    assert_int_equal(s.n_drained, 1);
    assert_int_equal(s.n_read, 6);
    assert_int_equal(uv_thread_join(&s.thread), 0);
    server_close(&s);
}

static void finish_at_once(struct server *s)
{
    assert_int_equal(tcp_write(s->conn, SPAN("answer")), 0);
    tcp_finish(s->conn);
}

static void test_finish_before_the_loop_watches(void **state)
{
    (void)state;
    struct server s = {.on_bytes = ignore, .begin = finish_at_once};
    server_start(&s, false, one_answer_client);
    fixture_run_until(&s.loop, &s.conn_closed);
    assert_int_equal(s.why, ERR_CLOSED);
    assert_int_equal(s.n_read, 3);
    assert_int_equal(uv_thread_join(&s.thread), 0);
    server_close(&s);
}

/* ---- TLS ---------------------------------------------------------------------------------- */

static void plain_client(struct server *s, struct client *c)
{
    uint8_t got[256];
    (void)s;
    client_send(c, "GET / HTTP/1.1\r\n\r\n", 18);
    while (client_receive(c, got, sizeof got) > 0) { /* the alert, then the end */
    }
}

static void test_plain_bytes_on_a_tls_port(void **state)
{
    (void)state;
    struct server s = {.on_bytes = ignore};
    server_open(&s, true);
    s.client = plain_client;
    assert_int_equal(uv_thread_create(&s.thread, client_thread, &s), 0);
    fixture_run_until(&s.loop, &s.conn_closed);
    assert_int_equal(s.why, ERR_MALFORMED);
    assert_int_equal(s.n_read, 0);
    assert_int_equal(uv_thread_join(&s.thread), 0);
    server_close(&s);
}

static void test_files_that_cannot_be_used_are_named(void **state)
{
    (void)state;
    struct fixture_certificate a;
    struct fixture_certificate b;
    struct tls_server *tls = NULL;
    struct err e;
    fixture_certificate_make(&a);
    fixture_certificate_make(&b);
    assert_int_equal(tls_server_new(&tls, "/nowhere/c.pem", a.key, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.msg, "/nowhere/c.pem"));
    assert_int_equal(tls_server_new(&tls, a.certificate, "/nowhere/k.pem", &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.msg, "/nowhere/k.pem"));
    assert_int_equal(tls_server_new(&tls, a.key, a.key, &e), ERR_INVALID);
    assert_non_null(strstr(e.msg, a.key));
    assert_int_equal(tls_server_new(&tls, a.certificate, b.key, &e), ERR_INVALID);
    assert_non_null(strstr(e.msg, b.key));
    assert_null(tls);
    fixture_certificate_remove(&a);
    fixture_certificate_remove(&b);
}

static int ignore_sigpipe(void **state)
{
    (void)state;
    struct sigaction ignore_it = {.sa_handler = SIG_IGN};
    return sigaction(SIGPIPE, &ignore_it, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_partial_writes),
        cmocka_unit_test(test_record_behind_a_full_output),
        cmocka_unit_test(test_queue_is_bounded),
        cmocka_unit_test(test_reset_while_output_waits),
        cmocka_unit_test(test_short_connection_never_meets_the_loop),
        cmocka_unit_test(test_last_answer_is_not_lost_to_unread_bytes),
        cmocka_unit_test(test_partial_write_before_the_loop_watches),
        cmocka_unit_test(test_finish_before_the_loop_watches),
        cmocka_unit_test(test_plain_bytes_on_a_tls_port),
        cmocka_unit_test(test_files_that_cannot_be_used_are_named),
    };
    return cmocka_run_group_tests(tests, ignore_sigpipe, NULL);
}
