#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/listen.h"
#include "unit/net/net_fixture.h"

#include "base/banned.h"

static struct listen_spec spec_at(enum listen_kind kind, const struct endpoint *at)
{
    return listen_spec_for(kind, at, 1, 0);
}

static void test_taken_port_is_an_error_that_names_it(void **state)
{
    (void)state;
    static const enum listen_kind kinds[] = {LISTEN_UDP, LISTEN_TCP};
    for (size_t i = 0; i < 2; i++) {
        struct endpoint at;
        struct err e;
        char text[ENDPOINT_TEXT_LEN];
        int fd = fixture_bind(kinds[i], "127.0.0.1:0", &at);
        struct listen_spec spec = spec_at(kinds[i], &at);
        assert_int_equal(listen_probe(&spec, &e), ERR_IN_USE);
        assert_non_null(strstr(e.msg, endpoint_format(text, &at)));
        assert_non_null(strstr(e.msg, "in use"));
        assert_int_equal(listen_open(&spec, &e), ERR_IN_USE);
        assert_int_equal(close(fd), 0);
        assert_int_equal(listen_probe(&spec, &e), 0);
    }
}

static void test_port_shared_by_others_is_taken(void **state)
{
    (void)state;
    static const enum listen_kind kinds[] = {LISTEN_UDP, LISTEN_TCP};
    for (size_t i = 0; i < 2; i++) {
        struct endpoint any = fixture_endpoint("127.0.0.1:0");
        struct listen_spec spec = spec_at(kinds[i], &any);
        struct err e;
        spec.reuse_port = true;
        int first = listen_open(&spec, &e);
        int second = listen_open(&spec, &e); /* another worker of the same process */
        assert_true(first >= 0);
        assert_true(second >= 0);
        assert_int_equal(listen_probe(&spec, &e), ERR_IN_USE);
        assert_int_equal(close(first), 0);
        assert_int_equal(listen_probe(&spec, &e), ERR_IN_USE);
        assert_int_equal(close(second), 0);
        assert_int_equal(listen_probe(&spec, &e), 0);
    }
}

static void test_port_0_is_filled_in(void **state)
{
    (void)state;
    struct endpoint at;
    int fd = fixture_bind(LISTEN_UDP, "127.0.0.1:0", &at);
    assert_int_not_equal(at.port, 0);
    assert_int_equal(close(fd), 0);
    fd = fixture_bind(LISTEN_TCP, "[::1]:0", &at);
    assert_int_not_equal(at.port, 0);
    int client = fixture_connect(SOCK_STREAM, &at); /* it listens already */
    assert_int_equal(close(client), 0);
    assert_int_equal(close(fd), 0);
}

static void test_wildcard_is_dual_stack_unless_ipv4_has_the_port(void **state)
{
    (void)state;
    static const struct {
        const char *list[3];
        size_t n;
        size_t i;
        bool v6_only;
    } table[] = {
        {{"[::]:7070"}, 1, 0, false},
        {{"0.0.0.0:7070", "[::]:7070"}, 2, 1, true},
        {{"[::]:7070", "0.0.0.0:7070"}, 2, 0, true},
        {{"0.0.0.0:7071", "[::]:7070"}, 2, 1, false},
        {{"127.0.0.1:7070", "[::]:7070"}, 2, 1, false},
        {{"[::1]:7070"}, 1, 0, true},
        {{"0.0.0.0:7070"}, 1, 0, false},
    };
    for (size_t t = 0; t < sizeof table / sizeof table[0]; t++) {
        struct endpoint list[3];
        for (size_t k = 0; k < table[t].n; k++) {
            list[k] = fixture_endpoint(table[t].list[k]);
        }
        struct listen_spec spec = listen_spec_for(LISTEN_TCP, list, table[t].n, table[t].i);
        assert_int_equal(spec.v6_only, table[t].v6_only);
        assert_true(endpoint_eq(&spec.at, &list[table[t].i]));
    }
}

static void test_dual_stack_takes_ipv4(void **state)
{
    (void)state;
    struct endpoint at;
    int fd = fixture_bind(LISTEN_TCP, "[::]:0", &at);
    struct endpoint v4 = fixture_endpoint("127.0.0.1:1");
    struct endpoint v6 = fixture_endpoint("[::1]:1");
    v4.port = at.port;
    v6.port = at.port;
    int a = fixture_connect(SOCK_STREAM, &v4);
    int b = fixture_connect(SOCK_STREAM, &v6);
    assert_int_equal(close(a), 0);
    assert_int_equal(close(b), 0);
    assert_int_equal(close(fd), 0);
}

static void test_both_wildcards_on_one_port(void **state)
{
    (void)state;
    struct endpoint list[2] = {fixture_endpoint("0.0.0.0:0"), fixture_endpoint("[::]:0")};
    struct err e;
    struct listen_spec first = listen_spec_for(LISTEN_UDP, list, 2, 0);
    int v4 = listen_open(&first, &e);
    assert_true(v4 >= 0);
    list[0].port = first.at.port;
    list[1].port = first.at.port;
    struct listen_spec second = listen_spec_for(LISTEN_UDP, list, 2, 1);
    int v6 = listen_open(&second, &e);
    assert_true(v6 >= 0);
    assert_int_equal(close(v4), 0);
    assert_int_equal(close(v6), 0);
}

/* Connections to be had after at most timeout_ms. */
static int count_ready(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms);
}

static void test_data_first(void **state)
{
    (void)state;
    struct endpoint any = fixture_endpoint("127.0.0.1:0");
    struct listen_spec spec = spec_at(LISTEN_TCP, &any);
    struct sockaddr_storage ss;
    struct err e;
    spec.data_first = true;
    int listener = listen_open(&spec, &e);
    assert_true(listener >= 0);
    socklen_t len = (socklen_t)endpoint_to_sockaddr(&spec.at, &ss);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&ss, len), 0);
    assert_int_equal(count_ready(listener, 0), 0); /* connected, but it has not said anything */
    assert_int_equal(send(fd, "x", 1, 0), 1);
    assert_int_equal(count_ready(listener, -1), 1);
    int silent = socket(AF_INET, SOCK_STREAM, 0);
    int taken = accept(listener, NULL, NULL);
    assert_true(taken >= 0);
    assert_int_equal(connect(silent, (const struct sockaddr *)&ss, len), 0);
    assert_int_equal(count_ready(listener, -1), 1); /* comes all the same, later */
    assert_int_equal(close(silent), 0);
    assert_int_equal(close(taken), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(listener), 0);
}

static void test_address_of_another_machine(void **state)
{
    (void)state;
    struct endpoint at = fixture_endpoint("203.0.113.1:0"); /* RFC 5737: nobody's */
    struct listen_spec spec = spec_at(LISTEN_TCP, &at);
    struct err e;
    assert_int_equal(listen_probe(&spec, &e), ERR_SYSTEM);
    assert_non_null(strstr(e.msg, "203.0.113.1:0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken_port_is_an_error_that_names_it),
        cmocka_unit_test(test_port_shared_by_others_is_taken),
        cmocka_unit_test(test_port_0_is_filled_in),
        cmocka_unit_test(test_wildcard_is_dual_stack_unless_ipv4_has_the_port),
        cmocka_unit_test(test_dual_stack_takes_ipv4),
        cmocka_unit_test(test_both_wildcards_on_one_port),
        cmocka_unit_test(test_data_first),
        cmocka_unit_test(test_address_of_another_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
