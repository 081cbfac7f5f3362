/* Connections that are read, answered and perhaps closed before the loop knows them. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/net/tcp_fixture.h"

#include "base/banned.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_connection_never_meets_the_loop),
        cmocka_unit_test(test_last_answer_is_not_lost_to_unread_bytes),
        cmocka_unit_test(test_partial_write_before_the_loop_watches),
        cmocka_unit_test(test_finish_before_the_loop_watches),
    };
    return cmocka_run_group_tests(tests, ignore_sigpipe, NULL);
}
