#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/udp.h"
#include "unit/net/net_fixture.h"

#include "base/banned.h"

enum { MANY = 200 };

struct fixture {
    uv_loop_t loop;
    struct udp_socket *socket;
    int fd;
    struct endpoint at;
    struct endpoint expect_from;
    size_t expected;
    size_t got;
    size_t batches;
    size_t largest_batch;
    bool saw_truncated;
    bool break_sending;
    bool close_in_batch;
    bool enough;
    bool closed;
};

static void on_closed(void *ctx)
{
    struct fixture *f = ctx;
    assert_false(f->closed);
    f->closed = true;
}

/* Answers with the datagram's bytes and one more; a datagram that starts with 'x' gets nothing. */
static void on_batch(void *ctx, struct udp_datagram *datagrams, size_t n)
{
    struct fixture *f = ctx;
    assert_true(n > 0 && n <= UDP_BATCH);
    f->batches++;
    f->largest_batch = n > f->largest_batch ? n : f->largest_batch;
    for (size_t i = 0; i < n; i++) {
        struct udp_datagram *d = &datagrams[i];
        assert_int_equal(d->out_len, 0);
        assert_true(endpoint_eq(&d->from, &f->expect_from));
        f->saw_truncated |= d->truncated;
        f->got++;
        if (d->in.n > 0 && d->in.p[0] != 'x' && !d->truncated) {
            memcpy(d->out, d->in.p, d->in.n);
            d->out[d->in.n] = '!';
            d->out_len = d->in.n + 1;
        }
    }
    if (f->break_sending) {
        /* What stands under the descriptor now cannot send. */
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        assert_true(null >= 0);
        assert_int_equal(dup2(null, f->fd), f->fd);
        assert_int_equal(close(null), 0);
    }
    if (f->close_in_batch) {
        udp_close(f->socket, on_closed, f);
    }
    f->enough = f->got >= f->expected;
}

static int open_with_client(struct fixture *f, const char *bind_to, const char *reach)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    assert_int_equal(uv_loop_init(&f->loop), 0);
    f->fd = fixture_bind(LISTEN_UDP, bind_to, &f->at);
    assert_int_equal(udp_open(&f->socket, &f->loop, f->fd, on_batch, f), 0);
    struct endpoint to = fixture_endpoint(reach);
    to.port = f->at.port;
    int client = fixture_connect(SOCK_DGRAM, &to);
    assert_int_equal(getsockname(client, (struct sockaddr *)&ss, &len), 0);
    assert_true(endpoint_from_sockaddr(&f->expect_from, (struct sockaddr *)&ss));
    return client;
}

static void close_all(struct fixture *f, int client)
{
    udp_close(f->socket, on_closed, f);
    udp_close(f->socket, on_closed, f); /* the second asks for nothing */
    assert_false(f->closed);
    fixture_run_until(&f->loop, &f->closed);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    assert_int_equal(close(client), 0);
}

static void test_batches(void **state)
{
    (void)state;
    struct fixture f = {.expected = MANY};
    char text[64];
    int client = open_with_client(&f, "127.0.0.1:0", "127.0.0.1:1");
    for (int i = 0; i < MANY; i++) {
        int n = snprintf(text, sizeof text, "%c%d", i % 3 == 0 ? 'x' : 'd', i);
        assert_int_equal(send(client, text, (size_t)n, 0), n);
    }
    fixture_run_until(&f.loop, &f.enough);
    assert_int_equal(f.got, MANY);
    assert_int_equal(f.largest_batch, UDP_BATCH);
    assert_int_equal(f.batches, (MANY + UDP_BATCH - 1) / UDP_BATCH);
    for (int i = 0; i < MANY; i++) {
        if (i % 3 != 0) {
            char expect[64];
            int n = snprintf(expect, sizeof expect, "d%d!", i);
            assert_int_equal(recv(client, text, sizeof text, 0), n);
            assert_memory_equal(text, expect, (size_t)n);
        }
    }
    assert_int_equal(recv(client, text, sizeof text, MSG_DONTWAIT), -1);
    assert_int_equal(udp_take_send_failures(f.socket), 0);
    close_all(&f, client);
}

static void test_mapped_address_is_unwrapped(void **state)
{
    (void)state;
    struct fixture f = {.expected = 1};
    char text[8];
    int client = open_with_client(&f, "[::]:0", "127.0.0.1:1");
    assert_false(f.expect_from.addr.v6);
    assert_int_equal(send(client, "d", 1, 0), 1);
    fixture_run_until(&f.loop, &f.enough);
    assert_int_equal(recv(client, text, sizeof text, 0), 2);
    close_all(&f, client);
}

/* The client is connected to one of many addresses: it hears only what comes from there. */
static void test_wildcard_answers_from_the_address_asked(void **state)
{
    (void)state;
    static const struct {
        const char *bind_to;
        const char *reach;
    } table[] = {
        {"0.0.0.0:0", "127.0.0.5:1"},
        {"[::]:0", "127.0.0.5:1"},
        {"[::]:0", "[::1]:1"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct fixture f = {.expected = 1};
        char text[8];
        int client = open_with_client(&f, table[i].bind_to, table[i].reach);
        assert_int_equal(send(client, "d", 1, 0), 1);
        fixture_run_until(&f.loop, &f.enough);
        assert_int_equal(recv(client, text, sizeof text, 0), 2);
        assert_int_equal(udp_take_send_failures(f.socket), 0);
        close_all(&f, client);
    }
}

static void test_ipv6(void **state)
{
    (void)state;
    struct fixture f = {.expected = 1};
    char text[8];
    int client = open_with_client(&f, "[::1]:0", "[::1]:1");
    assert_true(f.expect_from.addr.v6);
    assert_int_equal(send(client, "d", 1, 0), 1);
    fixture_run_until(&f.loop, &f.enough);
    assert_int_equal(recv(client, text, sizeof text, 0), 2);
    close_all(&f, client);
}

static void test_long_and_empty_datagrams(void **state)
{
    (void)state;
    struct fixture f = {.expected = 1};
    static const uint8_t large[UDP_RECV_LEN + 1] = {'x'};
    int client = open_with_client(&f, "127.0.0.1:0", "127.0.0.1:1");
    assert_int_equal(send(client, large, UDP_RECV_LEN, 0), UDP_RECV_LEN);
    fixture_run_until(&f.loop, &f.enough);
    assert_false(f.saw_truncated);
    f.enough = false;
    f.expected = 3;
    assert_int_equal(send(client, large, 0, 0), 0);
    assert_int_equal(send(client, large, sizeof large, 0), sizeof large);
    fixture_run_until(&f.loop, &f.enough);
    assert_true(f.saw_truncated);
    close_all(&f, client);
}

static void test_refused_answers_are_counted(void **state)
{
    (void)state;
    struct fixture f = {.expected = 3, .break_sending = true};
    int client = open_with_client(&f, "127.0.0.1:0", "127.0.0.1:1");
    assert_int_equal(send(client, "a", 1, 0), 1);
    assert_int_equal(send(client, "x", 1, 0), 1);
    assert_int_equal(send(client, "b", 1, 0), 1);
    fixture_run_until(&f.loop, &f.enough);
    assert_int_equal(udp_take_send_failures(f.socket), 2);
    assert_int_equal(udp_take_send_failures(f.socket), 0);
    close_all(&f, client);
}

static void test_close_inside_the_callback(void **state)
{
    (void)state;
    struct fixture f = {.expected = 1, .close_in_batch = true};
    int client = open_with_client(&f, "127.0.0.1:0", "127.0.0.1:1");
    assert_int_equal(send(client, "d", 1, 0), 1);
    fixture_run_until(&f.loop, &f.closed);
    assert_int_equal(f.batches, 1);
    assert_int_equal(uv_loop_close(&f.loop), 0);
    assert_int_equal(close(client), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_mapped_address_is_unwrapped),
        cmocka_unit_test(test_wildcard_answers_from_the_address_asked),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_long_and_empty_datagrams),
        cmocka_unit_test(test_refused_answers_are_counted),
        cmocka_unit_test(test_close_inside_the_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
