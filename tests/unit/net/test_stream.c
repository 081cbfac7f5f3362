/* Both ends of a connection on one loop, over loopback. */
#include "net/stream.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "net/listen.h"

#include "base/banned.h"

enum { LARGE = 8 << 20, CHUNK = 1 << 16 };

struct end {
    struct stream stream;
    int connected; /* 1: not yet */
    size_t got;
    size_t left;     /* to be sent */
    size_t read_max; /* at once; 0: CHUNK */
    int ended;
    int closed;
    uint8_t next_in, next_out;
};

struct fixture {
    uv_loop_t loop;
    struct stream_listener *listener;
    struct endpoint at;
    struct end client, server;
    bool accepted;
    int listener_closed;
};

static void on_connected(struct stream *s, int status)
{
    container_of(s, struct end, stream)->connected = status;
}

/* Bytes count up modulo 251, so that a lost or doubled one shows. */
static void on_readable(struct stream *s)
{
    struct end *end = container_of(s, struct end, stream);
    uint8_t bytes[CHUNK];
    ssize_t n = stream_read(s, bytes, end->read_max > 0 ? end->read_max : sizeof bytes);
    for (ssize_t i = 0; i < n; i++) {
        assert_int_equal(bytes[i], end->next_in);
        end->next_in = (uint8_t)((end->next_in + 1) % 251);
    }
    if (n < 0) {
        end->ended = (int)n;
        stream_set_reading(s, false);
    } else {
        end->got += (size_t)n;
    }
}

static void send_more(struct end *end)
{
    while (end->left > 0) {
        uint8_t bytes[CHUNK];
        size_t n = end->left < CHUNK ? end->left : CHUNK;
        for (size_t i = 0; i < n; i++) {
            bytes[i] = (uint8_t)((end->next_out + i) % 251);
        }
        const struct iovec parts[2] = {{bytes, n / 2}, {bytes + n / 2, n - n / 2}};
        ssize_t sent = stream_writev(&end->stream, parts, 2);
        assert_true(sent >= 0);
        end->left -= (size_t)sent;
        end->next_out = (uint8_t)((end->next_out + (size_t)sent) % 251);
        if ((size_t)sent < n) {
            return;
        }
    }
}

static void on_writable(struct stream *s)
{
    send_more(container_of(s, struct end, stream));
}

static const struct stream_events events = {on_connected, on_readable, on_writable};

static void on_accept(void *ctx, int fd, const struct endpoint *peer)
{
    struct fixture *f = ctx;
    assert_false(f->accepted);
    f->accepted = true;
    f->server.stream.peer = *peer;
    assert_int_equal(stream_adopt(&f->server.stream, &f->loop, fd, &events), 0);
}

static void on_stream_closed(struct stream *s)
{
    container_of(s, struct end, stream)->closed++;
}

static void on_listener_closed(void *ctx)
{
    ((struct fixture *)ctx)->listener_closed++;
}

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    struct listen_spec spec = {.kind = LISTEN_TCP};
    assert_true(endpoint_parse(&spec.at, SPAN("127.0.0.1:0")));
    assert_int_equal(uv_loop_init(&f->loop), 0);
    int fd = listen_open(&spec, NULL);
    assert_true(fd >= 0);
    f->at = spec.at;
    assert_int_equal(stream_listen(&f->listener, &f->loop, fd, on_accept, f), 0);
    f->client.connected = 1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    stream_listener_close(f->listener, on_listener_closed, f);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->listener_closed, 1);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

static void connect_both(struct fixture *f, const struct endpoint *source)
{
    assert_int_equal(stream_connect(&f->client.stream, &f->loop, &f->at, source, &events), 0);
    assert_int_equal(f->client.connected, 1); /* never from inside the call */
    while (f->client.connected == 1 || !f->accepted) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_int_equal(f->client.connected, 0);
    stream_set_reading(&f->client.stream, true);
    stream_set_reading(&f->server.stream, true);
}

static void close_end(struct fixture *f, struct end *end)
{
    stream_close(&end->stream, on_stream_closed);
    stream_close(&end->stream, on_stream_closed);
    assert_int_equal(end->closed, 0);
    while (end->closed == 0) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_int_equal(end->closed, 1);
}

static void test_bytes_go_both_ways(void **state)
{
    struct fixture *f = *state;
    connect_both(f, NULL);
    f->client.left = LARGE;
    f->server.left = LARGE / 2;
    send_more(&f->client);
    assert_true(f->client.left > 0); /* more than the kernel holds: on_writable goes on */
    send_more(&f->server);
    while (f->server.got < LARGE || f->client.got < LARGE / 2) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_int_equal(f->server.got, LARGE);
    assert_int_equal(f->client.got, LARGE / 2);
    close_end(f, &f->client);
    while (f->server.ended == 0) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_int_equal(f->server.ended, ERR_CLOSED);
    close_end(f, &f->server);
}

static void test_source_address(void **state)
{
    struct fixture *f = *state;
    struct endpoint source, local;
    assert_true(endpoint_parse(&source, SPAN("127.0.0.9:0")));
    connect_both(f, &source);
    assert_true(addr_eq(&f->server.stream.peer.addr, &source.addr));
    assert_true(stream_local(&f->client.stream, &local));
    assert_true(endpoint_eq(&local, &f->server.stream.peer));
    close_end(f, &f->client);
    close_end(f, &f->server);
}

static void test_reading_can_be_switched_off(void **state)
{
    struct fixture *f = *state;
    connect_both(f, NULL);
    stream_set_reading(&f->server.stream, false);
    f->client.left = 1000;
    f->server.left = 1000;
    send_more(&f->client);
    send_more(&f->server);
    while (f->client.got < 1000) { /* the loop turns, and the server is not told of its bytes */
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(f->server.got, 0);
    stream_set_reading(&f->server.stream, true);
    while (f->server.got < 1000) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    close_end(f, &f->client);
    close_end(f, &f->server);
}

/* What came before a reset is read, in small bites too, and then the reset is told. */
static void test_bytes_before_a_reset(void **state)
{
    struct fixture *f = *state;
    const struct linger reset = {.l_onoff = 1};
    connect_both(f, NULL);
    stream_set_reading(&f->server.stream, false);
    f->server.read_max = 100;
    f->client.left = 1000;
    send_more(&f->client);
    assert_int_equal(setsockopt(f->client.stream.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset),
                     0);
    close_end(f, &f->client);
    stream_set_reading(&f->server.stream, true);
    while (f->server.ended == 0) {
        assert_int_not_equal(uv_run(&f->loop, UV_RUN_ONCE), 0);
    }
    assert_int_equal(f->server.got, 1000);
    assert_int_equal(f->server.ended, ERR_RESET);
    close_end(f, &f->server);
}

static void test_refused(void **state)
{
    struct fixture *f = *state;
    struct listen_spec spec = {.kind = LISTEN_TCP, .at = {.addr = f->at.addr}};
    int fd = listen_open(&spec, NULL); /* a port that nobody listens on once it is closed */
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(stream_connect(&f->client.stream, &f->loop, &spec.at, NULL, &events), 0);
    while (f->client.connected == 1) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_true(f->client.connected < 0);
    close_end(f, &f->client);
}

static void test_closed_while_connecting(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(stream_connect(&f->client.stream, &f->loop, &f->at, NULL, &events), 0);
    close_end(f, &f->client);
    assert_int_equal(f->client.connected, 1);
    while (!f->accepted) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    close_end(f, &f->server);
}

static void test_no_such_source(void **state)
{
    struct fixture *f = *state;
    struct endpoint source;
    assert_true(endpoint_parse(&source, SPAN("203.0.113.1:0")));
    assert_true(stream_connect(&f->client.stream, &f->loop, &f->at, &source, &events) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bytes_go_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(test_source_address, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reading_can_be_switched_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes_before_a_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed_while_connecting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_such_source, setup, teardown),
    };
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
