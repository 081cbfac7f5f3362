/* Connections that the loop watches. Every test of one runs twice: plain and over TLS. */
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/net/tcp_fixture.h"

#include "base/banned.h"

enum { ECHO_LEN = 100000 };

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_partial_writes),
        cmocka_unit_test(test_record_behind_a_full_output),
        cmocka_unit_test(test_queue_is_bounded),
        cmocka_unit_test(test_reset_while_output_waits),
        cmocka_unit_test(test_plain_bytes_on_a_tls_port),
        cmocka_unit_test(test_files_that_cannot_be_used_are_named),
    };
    return cmocka_run_group_tests(tests, ignore_sigpipe, NULL);
}
