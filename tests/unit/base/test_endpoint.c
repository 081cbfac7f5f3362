#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/endpoint.h"

#include "base/banned.h"

static struct addr addr_of(const char *text)
{
    struct addr a;
    assert_true(addr_parse(&a, span_str(text)));
    return a;
}

static void test_addresses_there_and_back(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out;
    } rows[] = {
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"::", "::"},
        {"[::1]", "::1"},
        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"[::ffff:c000:0201]", "192.0.2.1"},
        {"64:ff9b:1:ffff:ffff:ffff:255.255.255.255", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[ADDR_TEXT_LEN];
        struct addr a = addr_of(rows[i].in);
        assert_string_equal(addr_format(text, &a), rows[i].out);
        assert_int_equal(addr_len(&a), strchr(rows[i].out, ':') == NULL ? 4 : 16);
    }
}

static void test_what_is_no_address(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",    "[]",  "1.2.3",      "1.2.3.4.5", "1.2.3.256", " 1.2.3.4",   "1.2.3.4 ",
        "::g", "[::", "fe80::1%lo", "localhost", "1:2:3",     "0x7f.0.0.1", "[[::1]]",
    };
    struct addr a;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_false(addr_parse(&a, span_str(rows[i])));
    }
    assert_false(addr_parse(&a, SPAN("1.2.3.4\0")));
    assert_false(addr_parse(&a, SPAN("0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000")));
}

static void test_unused_bytes_are_zero(void **state)
{
    (void)state;
    struct addr a;
    memset(&a, 0xff, sizeof a);
    assert_true(addr_parse(&a, SPAN("::ffff:1.2.3.4")));
    static const uint8_t want[16] = {1, 2, 3, 4};
    assert_memory_equal(a.b, want, sizeof want);
    assert_false(a.v6);
}

static void test_endpoints_there_and_back(void **state)
{
    (void)state;
    static const char *const good[] = {"127.0.0.1:6969", "0.0.0.0:0", "[::]:65535",
                                       "[2001:db8::1]:80"};
    static const char *const bad[] = {"",           "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
                                      "::1:80",     "[::1]",     "[::1]80",    "[::1]:-1",
                                      "1.2.3.4:+1", ":80",       "a.b:80",     "[::1]:80:90"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char text[ENDPOINT_TEXT_LEN];
        struct endpoint e;
        assert_true(endpoint_parse(&e, span_str(good[i])));
        assert_string_equal(endpoint_format(text, &e), good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct endpoint e;
        assert_false(endpoint_parse(&e, span_str(bad[i])));
    }
}

static void test_longest_texts_fit(void **state)
{
    (void)state;
    char text[ENDPOINT_TEXT_LEN];
    struct endpoint e = {.port = 65535};
    e.addr = addr_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_int_equal(strlen(endpoint_format(text, &e)), 47);
}

static void test_equality_asks_for_family_address_and_port(void **state)
{
    (void)state;
    struct endpoint a = {addr_of("0.0.0.0"), 1};
    struct endpoint b = a;
    assert_true(endpoint_eq(&a, &b));
    b.port = 2;
    assert_false(endpoint_eq(&a, &b));
    b = (struct endpoint){addr_of("::"), 1};
    assert_false(endpoint_eq(&a, &b));
    b = (struct endpoint){addr_of("0.0.0.1"), 1};
    assert_false(endpoint_eq(&a, &b));
}

static void test_blocks(void **state)
{
    (void)state;
    static const struct {
        const char *block;
        const char *inside;
        const char *outside;
    } rows[] = {
        {"10.0.0.0/8", "10.255.0.1", "11.0.0.0"},
        {"172.16.0.0/12", "172.31.255.255", "172.32.0.0"},
        {"192.0.2.129/32", "192.0.2.129", "192.0.2.128"},
        {"192.0.2.128/25", "192.0.2.200", "192.0.2.127"},
        {"0.0.0.0/0", "255.1.2.3", "::1"},
        {"::/0", "2001:db8::1", "10.0.0.1"},
        {"fd00::/8", "fdff::1", "fe00::"},
        {"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"},
        {"::1", "::1", "::2"},
        {"127.0.0.1", "::ffff:127.0.0.1", "127.0.0.2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cidr c;
        struct addr inside = addr_of(rows[i].inside);
        struct addr outside = addr_of(rows[i].outside);
        assert_true(cidr_parse(&c, span_str(rows[i].block)));
        assert_true(cidr_contains(&c, &inside));
        assert_false(cidr_contains(&c, &outside));
    }
}

static void test_what_is_no_block(void **state)
{
    (void)state;
    static const char *const rows[] = {"",         "/8",          "10.0.0.0/",   "10.0.0.0/33",
                                       "::/129",   "10.0.0.1/8",  "10.0.0.0/-1", "10.0.0.0/8/8",
                                       "fd01::/8", "10.0.0.0/ 8", "0.0.0.1/0"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cidr c;
        assert_false(cidr_parse(&c, span_str(rows[i])));
    }
}

/* The first and last address of each block, and their neighbours. */
static void test_private_ranges(void **state)
{
    (void)state;
    static const char *const private_ones[] = {
        "127.0.0.0",   "127.255.255.255", "10.0.0.0",       "10.255.255.255",  "172.16.0.0",
        "192.168.0.0", "172.31.255.255",  "169.254.0.0",    "169.254.255.255", "100.64.0.0",
        "::1",         "100.127.255.255", "fc00::",         "fdff::",          "fe80::",
        "febf::1",     "::ffff:10.0.0.1", "192.168.255.255"};
    static const char *const public_ones[] = {"126.255.255.255",
                                              "128.0.0.0",
                                              "9.255.255.255",
                                              "11.0.0.0",
                                              "172.15.255.255",
                                              "172.32.0.0",
                                              "192.167.255.255",
                                              "192.169.0.0",
                                              "169.253.255.255",
                                              "169.255.0.0",
                                              "100.63.255.255",
                                              "100.128.0.0",
                                              "::2",
                                              "fbff:ffff::",
                                              "fe00::",
                                              "fec0::",
                                              "2001:db8::1",
                                              "::ffff:192.0.2.1"};
    for (size_t i = 0; i < sizeof private_ones / sizeof private_ones[0]; i++) {
        struct addr a = addr_of(private_ones[i]);
        assert_true(addr_is_private(&a));
    }
    for (size_t i = 0; i < sizeof public_ones / sizeof public_ones[0]; i++) {
        struct addr a = addr_of(public_ones[i]);
        assert_false(addr_is_private(&a));
    }
}

static void test_loopback_and_unspecified(void **state)
{
    (void)state;
    struct addr a = addr_of("127.9.9.9");
    assert_true(addr_is_loopback(&a));
    a = addr_of("::1");
    assert_true(addr_is_loopback(&a));
    a = addr_of("10.0.0.1");
    assert_false(addr_is_loopback(&a));
    a = addr_of("7f00::");
    assert_false(addr_is_loopback(&a));
    a = addr_of("0.0.0.0");
    assert_true(addr_is_unspecified(&a));
    a = addr_of("::");
    assert_true(addr_is_unspecified(&a));
    assert_false(addr_is_loopback(&a));
    a = addr_of("0.0.0.1");
    assert_false(addr_is_unspecified(&a));
}

static void test_socket_addresses(void **state)
{
    (void)state;
    static const char *const rows[] = {"192.0.2.1:80", "[2001:db8::1]:6969"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct endpoint e;
        struct endpoint back;
        struct sockaddr_storage ss;
        assert_true(endpoint_parse(&e, span_str(rows[i])));
        assert_true(endpoint_to_sockaddr(&e, &ss) <= sizeof ss);
        assert_true(endpoint_from_sockaddr(&back, (const struct sockaddr *)&ss));
        assert_true(endpoint_eq(&e, &back));
    }
    struct sockaddr_storage other = {.ss_family = AF_UNIX};
    struct endpoint e;
    assert_false(endpoint_from_sockaddr(&e, (const struct sockaddr *)&other));
}

static void test_a_mapped_address_of_a_socket_is_unwrapped(void **state)
{
    (void)state;
    static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1};
    struct sockaddr_storage ss;
    struct endpoint e = {.addr.v6 = true, .port = 80};
    memcpy(e.addr.b, mapped, sizeof mapped);
    (void)endpoint_to_sockaddr(&e, &ss);
    assert_true(endpoint_from_sockaddr(&e, (const struct sockaddr *)&ss));
    char text[ENDPOINT_TEXT_LEN];
    assert_string_equal(endpoint_format(text, &e), "192.0.2.1:80");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_there_and_back),
        cmocka_unit_test(test_what_is_no_address),
        cmocka_unit_test(test_unused_bytes_are_zero),
        cmocka_unit_test(test_endpoints_there_and_back),
        cmocka_unit_test(test_longest_texts_fit),
        cmocka_unit_test(test_equality_asks_for_family_address_and_port),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_what_is_no_block),
        cmocka_unit_test(test_private_ranges),
        cmocka_unit_test(test_loopback_and_unspecified),
        cmocka_unit_test(test_socket_addresses),
        cmocka_unit_test(test_a_mapped_address_of_a_socket_is_unwrapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
