#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/compact.h"

#include "unit/proto/wire.h"

static void assert_round_trip(const char *text, const uint8_t *wire, size_t n)
{
    struct endpoint e, back;
    uint8_t out[COMPACT6_LEN];
    assert_true(endpoint_parse(&e, span_str(text)));
    assert_int_equal(compact_write(out, &e), n);
    assert_memory_equal(out, wire, n);
    back = n == COMPACT4_LEN ? compact_read4(wire) : compact_read6(wire);
    assert_true(endpoint_eq(&e, &back));
}

static void test_both_ways(void **state)
{
    (void)state;
    static const uint8_t v4[] = {192, 0, 2, 1, 0x1a, 0xe1};
    static const uint8_t zero[] = {0, 0, 0, 0, 0, 0};
    static const uint8_t top[] = {255, 255, 255, 255, 255, 255};
    static const uint8_t v6[] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1, 0xff, 0xff};
    assert_round_trip("192.0.2.1:6881", v4, sizeof v4); /* BEP 23 */
    assert_round_trip("0.0.0.0:0", zero, sizeof zero);
    assert_round_trip("255.255.255.255:65535", top, sizeof top);
    assert_round_trip("[2001:db8::1]:65535", v6, sizeof v6); /* BEP 7 */
}

static void test_mapped_address_is_ipv4(void **state)
{
    (void)state;
    static const uint8_t mapped[] = {[10] = 0xff, 0xff, 192, 0, 2, 1, 0, 80};
    struct endpoint e = compact_read6(mapped);
    assert_false(e.addr.v6);
    assert_int_equal(e.port, 80);
    uint8_t out[COMPACT6_LEN];
    assert_int_equal(compact_write(out, &e), COMPACT4_LEN);
    assert_memory_equal(out, mapped + 12, COMPACT4_LEN);
}

static void test_lists_of_every_length(void **state)
{
    (void)state;
    uint8_t bytes[40];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i + 1);
    }
    for (size_t n = 0; n <= sizeof bytes; n++) {
        for (int v6 = 0; v6 <= 1; v6++) {
            struct span copy = exact_copy(span_of(bytes, n));
            struct span list = copy;
            struct endpoint e;
            size_t count = 0;
            while (compact_next(&list, v6, &e)) {
                assert_int_equal(e.addr.b[0], 1 + count * compact_len(v6));
                count++;
            }
            assert_int_equal(count, n / compact_len(v6));
            exact_free(copy);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_mapped_address_is_ipv4),
        cmocka_unit_test(test_lists_of_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
