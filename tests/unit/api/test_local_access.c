/* Who may call without a token: each condition alone, and what pages in a browser try. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/local_access.h"

#include "base/banned.h"

static char *names[] = {"rookery.example", "Box.Local", "with.port:8080"};
static const struct string_list hosts = {names, 3};

static struct endpoint_list listening(void)
{
    static struct endpoint at[3];
    assert_true(endpoint_parse(&at[0], SPAN("127.0.0.1:1212")));
    assert_true(endpoint_parse(&at[1], SPAN("192.0.2.7:1212")));
    assert_true(endpoint_parse(&at[2], SPAN("0.0.0.0:1213")));
    return (struct endpoint_list){at, 3};
}

static bool allows(const char *peer, const char *host, const char *origin, bool forwarded)
{
    struct local_request r = {.host = span_str(host), .forwarded = forwarded};
    const struct endpoint_list listen = listening();
    assert_true(addr_parse(&r.peer, span_str(peer)));
    if (origin != NULL) {
        r.origin = span_str(origin);
    }
    return local_access_allows(&r, &hosts, &listen);
}

static void test_peers(void **state)
{
    (void)state;
    assert_true(allows("127.0.0.1", "localhost:1212", NULL, false));
    assert_true(allows("127.9.9.9", "localhost:1212", NULL, false));
    assert_true(allows("::1", "[::1]:1212", NULL, false));
    assert_true(allows("::ffff:127.0.0.1", "localhost", NULL, false));
    assert_false(allows("192.168.1.2", "localhost:1212", NULL, false));
    assert_false(allows("0.0.0.0", "localhost:1212", NULL, false));
    assert_false(allows("10.0.0.1", "10.0.0.1", NULL, false));
    assert_false(allows("fe80::1", "localhost", NULL, false));
}

static void test_proxies(void **state)
{
    (void)state;
    assert_false(allows("127.0.0.1", "localhost", NULL, true));
}

static void test_hosts(void **state)
{
    static const struct {
        const char *host;
        bool known;
    } cases[] = {
        {"localhost", true},
        {"LocalHost:1", true},
        {"127.0.0.1", true},
        {"127.0.0.1:1212", true},
        {"127.1.2.3:65535", true},
        {"[::1]", true},
        {"[::1]:8080", true},
        {"192.0.2.7", true},
        {"192.0.2.7:80", true},
        {"rookery.example", true},
        {"ROOKERY.EXAMPLE:443", true},
        {"box.local", true},
        {"with.port:8080", true},
        {"with.port", false},
        {"with.port:8081", false},
        {"", false},
        {":1212", false},
        {"evil.example", false},
        {"localhost.evil.example", false},
        {"evil.localhost", false},
        {"localhost.", false},
        {"127.0.0.1.evil.example", false},
        {"192.0.2.8", false},
        {"0.0.0.0", false},
        {"0.0.0.0:1213", false},
        {"[::]", false},
        {"localhost:", false},
        {"localhost:x", false},
        {"localhost:65536", false},
        {"localhost:1212:1", false},
        {"[::1", false},
        {"[::1]x", false},
        {"[::1]:", false},
        {"[]", false},
        {"user@localhost", false},
        {"2130706433", false},
        {"localhost/", false},
    };
    const struct endpoint_list listen = listening();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool known = local_access_is_known_host(span_str(cases[i].host), &hosts, &listen);
        if (known != cases[i].known) {
            fail_msg("%s", cases[i].host);
        }
        assert_int_equal(allows("127.0.0.1", cases[i].host, NULL, false), known);
    }
}

static void test_origins(void **state)
{
    static const struct {
        const char *host;
        const char *origin;
        bool allowed;
    } cases[] = {
        {"localhost:1212", "http://localhost:1212", true},
        {"localhost:1212", "https://LOCALHOST:1212", true},
        {"localhost", "http://localhost", true},
        {"localhost:80", "http://localhost", true},
        {"localhost", "https://localhost:443", true},
        {"[::1]:1212", "http://[::1]:1212", true},
        {"localhost:1212", "http://localhost:1213", false},
        {"localhost:1212", "http://localhost", false},
        {"localhost:443", "http://localhost", false},
        {"localhost:1212", "http://127.0.0.1:1212", false},
        {"localhost:1212", "http://evil.example", false},
        {"localhost:1212", "http://evil.example:1212", false},
        {"localhost:1212", "http://localhost:1212.evil.example", false},
        {"localhost:1212", "http://localhost:1212/", false},
        {"localhost:1212", "http://x@localhost:1212", false},
        {"localhost:1212", "ftp://localhost:1212", false},
        {"localhost:1212", "localhost:1212", false},
        {"localhost:1212", "file://", false},
        {"localhost:1212", "http://", false},
        {"localhost:1212", "null", false},
        {"localhost:1212", "", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (allows("127.0.0.1", cases[i].host, cases[i].origin, false) != cases[i].allowed) {
            fail_msg("%s from %s", cases[i].host, cases[i].origin);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peers),
        cmocka_unit_test(test_proxies),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
