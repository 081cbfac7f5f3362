/* HTTP over real sockets: one worker thread, blocking clients. */
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/tracker/server_fixture.h"

#include "base/banned.h"

#define HASH "info_hash=abcdefghijklmnopqrst"
#define ANNOUNCE                                                                                   \
    "GET /announce?" HASH "&peer_id=-XX0001-abcdefghijkl&port=6881 HTTP/1.1\r\n"                   \
    "Host: t\r\n\r\n"

static struct http_client client; /* too large for the stack of a test */

static uint64_t elapsed_ms(struct tracker_time since)
{
    return server_now().mono_ms - since.mono_ms;
}

static void expect(struct http_response *r, int status)
{
    assert_true(http_client_response(&client, r, false));
    assert_int_equal(r->status, status);
}

static void test_pipelining(void **state)
{
    (void)state;
    enum { MANY = 500 };
    struct server s;
    struct http_response r;
    static char text[MANY * sizeof ANNOUNCE + 512];
    size_t n = 0;
    server_init(&s);
    server_start(&s);
    http_client_open(&client, server_http(&s, 0));
    for (int i = 0; i < MANY; i++) {
        memcpy(text + n, ANNOUNCE, sizeof ANNOUNCE - 1);
        n += sizeof ANNOUNCE - 1;
    }
    n += (size_t)snprintf(text + n, sizeof text - n,
                          "HEAD / HTTP/1.1\r\nHost: t\r\n\r\n"
                          "GET /none HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
                          "GET /never HTTP/1.1\r\nHost: t\r\n\r\n");
    send_all(client.fd, text, n);
    for (int i = 0; i < MANY; i++) {
        expect(&r, 200);
    }
    assert_true(http_client_response(&client, &r, true));
    assert_int_equal(r.status, 200);
    expect(&r, 404);
    assert_non_null(strstr(r.head, "Connection: close\r\n"));
    http_client_expect_end(&client);
    http_client_close(&client);
    assert_int_equal(fixture_count(s.tracker, COUNT_http4_announces), MANY);
    server_stop(&s);
}

static void test_keep_alive_over_ipv6(void **state)
{
    (void)state;
    struct server s;
    struct http_response r;
    server_init(&s);
    server_start(&s);
    http_client_open(&client, server_http(&s, 1));
    for (int i = 0; i < 10; i++) {
        send_text(client.fd, ANNOUNCE);
        expect(&r, 200);
    }
    http_client_close(&client);
    assert_int_equal(fixture_count(s.tracker, COUNT_http6_announces), 10);
    assert_int_equal(fixture_count(s.tracker, COUNT_http_connections), 1);
    server_stop(&s);
}

static void test_head_in_single_bytes(void **state)
{
    (void)state;
    struct server s;
    struct http_response r;
    int one = 1;
    server_init(&s);
    server_start(&s);
    http_client_open(&client, server_http(&s, 0));
    assert_int_equal(setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), 0);
    for (int k = 0; k < 3; k++) {
        for (size_t i = 0; i < sizeof ANNOUNCE - 1; i++) {
            send_all(client.fd, &ANNOUNCE[i], 1);
        }
        expect(&r, 200);
    }
    /* The end of one request and the start of the next in one piece. */
    send_all(client.fd, ANNOUNCE, 30);
    send_all(client.fd, &(ANNOUNCE ANNOUNCE)[30], sizeof ANNOUNCE - 1 + 10 - 30);
    expect(&r, 200);
    send_all(client.fd, &ANNOUNCE[10], sizeof ANNOUNCE - 1 - 10);
    expect(&r, 200);
    http_client_close(&client);
    server_stop(&s);
}

static void test_head_too_large(void **state)
{
    (void)state;
    struct server s;
    struct http_response r;
    static char text[9000];
    server_init(&s);
    server_start(&s);
    http_client_open(&client, server_http(&s, 0));
    memset(text, 'a', sizeof text);
    memcpy(text, "GET /", 5);
    send_all(client.fd, text, sizeof text);
    expect(&r, 431);
    assert_non_null(strstr(r.head, "Connection: close\r\n"));
    http_client_expect_end(&client);
    http_client_close(&client);
    assert_int_equal(fixture_count(s.tracker, COUNT_http_head_too_large), 1);
    server_stop(&s);
}

/* The answer must arrive though nobody wants the body: closing on unread bytes would reset the
 * connection, and the answer may be lost with it. */
static void test_refusal_before_a_body(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        int status;
    } table[] = {
        {"POST /announce HTTP/1.1\r\nHost: t\r\nContent-Length: 300000\r\n\r\n", 405},
        {"GET /announce HTTP/1.1\r\nHost: t\r\nContent-Length: 300000\r\n\r\n", 400},
        {"nonsense\r\n\r\n", 400},
    };
    static char body[300000];
    struct server s;
    struct http_response r;
    server_init(&s);
    server_start(&s);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        http_client_open(&client, server_http(&s, 0));
        send_text(client.fd, table[i].head);
        send_all(client.fd, body, sizeof body);
        expect(&r, table[i].status);
        http_client_expect_end(&client);
        assert_false(client.was_reset);
        http_client_close(&client);
    }
    assert_int_equal(fixture_count(s.tracker, COUNT_http_malformed), 2);
    server_stop(&s);
}

static void test_http_1_0(void **state)
{
    (void)state;
    struct server s;
    struct http_response r;
    server_init(&s);
    server_start(&s);
    http_client_open(&client, server_http(&s, 0));
    send_text(client.fd, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect(&r, 200);
    send_text(client.fd, "GET / HTTP/1.0\r\n\r\n");
    expect(&r, 200);
    http_client_expect_end(&client);
    http_client_close(&client);
    server_stop(&s);
}

static void test_half_closed_client_gets_its_answer(void **state)
{
    (void)state;
    struct server s;
    struct http_response r;
    server_init(&s);
    server_start(&s);
    http_client_open(&client, server_http(&s, 0));
    send_text(client.fd, ANNOUNCE);
    assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
    expect(&r, 200);
    http_client_expect_end(&client);
    http_client_close(&client);
    server_stop(&s);
}

static void test_idle_connections_are_cut(void **state)
{
    (void)state;
    struct server s;
    struct http_response r;
    server_init(&s);
    s.cfg.tracker.http_idle_timeout_s = 1;
    server_start(&s);
    struct tracker_time start = server_now();
    http_client_open(&client, server_http(&s, 0)); /* never says anything */
    http_client_expect_end(&client);
    http_client_close(&client);
    assert_in_range(elapsed_ms(start), 900, 5000);
    http_client_open(&client, server_http(&s, 0)); /* says something, then nothing */
    send_text(client.fd, ANNOUNCE);
    expect(&r, 200);
    start = server_now();
    http_client_expect_end(&client);
    http_client_close(&client);
    assert_in_range(elapsed_ms(start), 900, 5000);
    assert_int_equal(fixture_count(s.tracker, COUNT_http_timeouts), 2);
    server_stop(&s);
}

/* A head has its time from the first byte; more bytes do not give it more. */
static void test_slow_heads_are_cut(void **state)
{
    (void)state;
    struct server s;
    struct timeval pause = {.tv_usec = 100000};
    char end;
    ssize_t n;
    server_init(&s);
    s.cfg.tracker.http_request_timeout_s = 1;
    server_start(&s);
    struct tracker_time start = server_now();
    int fd = server_http(&s, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof pause), 0);
    do {
        (void)send(fd, "G", 1, MSG_NOSIGNAL); /* fails once the server has closed */
        n = recv(fd, &end, 1, 0);
    } while (n < 0 && errno == EAGAIN && elapsed_ms(start) < FIXTURE_PATIENCE_MS);
    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
    assert_in_range(elapsed_ms(start), 900, 5000);
    assert_int_equal(fixture_count(s.tracker, COUNT_http_timeouts), 1);
    assert_int_equal(close(fd), 0);
    server_stop(&s);
}

static void test_connection_limit(void **state)
{
    (void)state;
    struct server s;
    struct http_response r;
    server_init(&s);
    s.cfg.tracker.max_connections = 2;
    server_start(&s);
    int first = server_http(&s, 0);
    int second = server_http(&s, 1);
    /* Both are in when each has been answered. */
    http_client_open(&client, first);
    send_text(first, ANNOUNCE);
    expect(&r, 200);
    http_client_open(&client, second);
    send_text(second, ANNOUNCE);
    expect(&r, 200);
    http_client_open(&client, server_http(&s, 0));
    http_client_expect_end(&client);
    http_client_close(&client);
    assert_int_equal(fixture_count(s.tracker, COUNT_http_connections_refused), 1);
    assert_int_equal(close(first), 0);
    bool served = false;
    struct tracker_time start = server_now();
    while (!served && elapsed_ms(start) < FIXTURE_PATIENCE_MS) {
        http_client_open(&client, server_http(&s, 0));
        (void)send(client.fd, ANNOUNCE, sizeof ANNOUNCE - 1, MSG_NOSIGNAL);
        served = http_client_response(&client, &r, false);
        http_client_close(&client);
    }
    assert_true(served);
    assert_int_equal(close(second), 0);
    server_stop(&s);
}

/* Sends requests until the server takes no more, which is when its answers are not taken. */
static size_t fill(int fd)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: t\r\n\r\n";
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    size_t sent = 0;
    while (poll(&p, 1, 300) == 1 && (p.revents & (POLLERR | POLLHUP)) == 0) {
        ssize_t n =
            send(fd, request + sent % (sizeof request - 1),
                 sizeof request - 1 - sent % (sizeof request - 1), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            continue;
        }
        sent += (size_t)n;
        assert_true(sent < 100000000);
    }
    return sent;
}

static void test_slow_reader_is_not_read_from(void **state)
{
    (void)state;
    static const size_t request_len = sizeof "GET / HTTP/1.1\r\nHost: t\r\n\r\n" - 1;
    struct server s;
    struct http_response r;
    server_init(&s);
    server_start(&s);
    http_client_open(&client, server_http(&s, 0));
    size_t requests = fill(client.fd) / request_len;
    assert_true(requests > 100);
    for (size_t i = 0; i < requests; i++) {
        expect(&r, 200); /* all of them, in spite of everything */
    }
    http_client_close(&client);
    server_stop(&s);
}

static void test_slow_reader_is_cut(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    s.cfg.tracker.http_request_timeout_s = 1;
    server_start(&s);
    int fd = server_http(&s, 0);
    (void)fill(fd);
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    assert_int_equal(poll(&p, 1, FIXTURE_PATIENCE_MS), 1);
    assert_int_equal(fixture_count(s.tracker, COUNT_http_timeouts), 1);
    assert_int_equal(close(fd), 0);
    server_stop(&s);
}

static void test_forwarded_for_from_a_trusted_proxy(void **state)
{
    (void)state;
    struct server s;
    struct cidr loopback;
    struct http_response r;
    struct peer_row row;
    struct infohash hash;
    size_t at = 0;
    memcpy(hash.b, "abcdefghijklmnopqrst", 20);
    server_init(&s);
    assert_true(cidr_parse(&loopback, span_str("127.0.0.0/8")));
    s.cfg.tracker.trust_forwarded_for = (struct cidr_list){&loopback, 1};
    server_start(&s);
    http_client_open(&client, server_http(&s, 0));
    send_text(client.fd,
              "GET /announce?" HASH "&peer_id=-XX0001-abcdefghijkl&port=6881 HTTP/1.1\r\n"
              "Host: t\r\nX-Forwarded-For: 8.8.8.8, 203.0.113.7, 127.0.0.9\r\n\r\n");
    expect(&r, 200);
    http_client_close(&client);
    struct addr expected = fixture_addr("203.0.113.7");
    assert_int_equal(tracker_peers(s.tracker, &hash, &at, &row, 1), 1);
    assert_true(addr_eq(&row.endpoint.addr, &expected));
    server_stop(&s);
}

static void test_tls(void **state)
{
    (void)state;
    struct fixture_certificate certificate;
    struct server s;
    struct http_response r;
    uint8_t got[1024];
    fixture_certificate_make(&certificate);
    server_init(&s);
    s.cfg.tracker.tls_certificate = certificate.certificate;
    s.cfg.tracker.tls_key = certificate.key;
    server_start(&s);
    int fd = server_http(&s, 0);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    assert_int_equal(SSL_connect(ssl), 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(SSL_write(ssl, ANNOUNCE, sizeof ANNOUNCE - 1), sizeof ANNOUNCE - 1);
        int n = SSL_read(ssl, got, sizeof got);
        assert_true(n > 15);
        assert_memory_equal(got, "HTTP/1.1 200 OK", 15);
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    assert_int_equal(close(fd), 0);
    http_client_open(&client, server_http(&s, 0));
    send_text(client.fd, "GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_false(http_client_response(&client, &r, false));
    http_client_close(&client);
    assert_int_equal(fixture_count(s.tracker, COUNT_http_tls_failures), 1);
    assert_int_equal(fixture_count(s.tracker, COUNT_http4_announces), 5);
    server_stop(&s);
    fixture_certificate_remove(&certificate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_keep_alive_over_ipv6),
        cmocka_unit_test(test_head_in_single_bytes),
        cmocka_unit_test(test_head_too_large),
        cmocka_unit_test(test_refusal_before_a_body),
        cmocka_unit_test(test_http_1_0),
        cmocka_unit_test(test_half_closed_client_gets_its_answer),
        cmocka_unit_test(test_idle_connections_are_cut),
        cmocka_unit_test(test_slow_heads_are_cut),
        cmocka_unit_test(test_connection_limit),
        cmocka_unit_test(test_slow_reader_is_not_read_from),
        cmocka_unit_test(test_slow_reader_is_cut),
        cmocka_unit_test(test_forwarded_for_from_a_trusted_proxy),
        cmocka_unit_test(test_tls),
    };
    struct sigaction ignore_it = {.sa_handler = SIG_IGN};
    assert_int_equal(sigaction(SIGPIPE, &ignore_it, NULL), 0);
    assert_int_equal(digest_start(), 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
