#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/crc32c.h"
#include "proto/peer_priority.h"

#define BYTES(text)                                                                                \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }
#define COUNT(array) (sizeof(array) / sizeof *(array))

static void test_crc32c(void **state)
{
    (void)state;
    uint8_t bytes[32] = {0};
    assert_int_equal(crc32c(SPAN("")), 0);
    assert_int_equal(crc32c(SPAN("123456789")), 0xe3069283);
    /* RFC 3720, B.4: 32 bytes of zeros, of ones, counting up. */
    assert_int_equal(crc32c(span_of(bytes, 32)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(crc32c(span_of(bytes, 32)), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++) {
        bytes[i] = i;
    }
    assert_int_equal(crc32c(span_of(bytes, 32)), 0x46dd794e);
}

static struct endpoint endpoint(const char *text)
{
    struct endpoint e;
    assert_true(endpoint_parse(&e, span_str(text)));
    return e;
}

/* The bytes that BEP 40 puts into the sum, smaller first. */
static void test_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        const char *b;
        struct span summed;
    } rows[] = {
        {"123.213.32.10:1", "98.76.54.32:2", BYTES("\x62\x4c\x14\x00\x7b\xd5\x00\x00")},
        {"123.213.32.10:1", "123.213.32.234:2", BYTES("\x7b\xd5\x20\x0a\x7b\xd5\x20\xea")},
        {"123.213.32.10:1", "123.213.33.234:2", BYTES("\x7b\xd5\x20\x00\x7b\xd5\x21\x40")},
        {"123.213.32.10:1", "123.212.32.10:2", BYTES("\x7b\xd4\x00\x00\x7b\xd5\x00\x00")},
        {"192.0.2.1:6881", "192.0.2.1:256", BYTES("\x01\x00\x1a\xe1")},
        {"192.0.2.1:256", "192.0.2.1:255", BYTES("\x00\xff\x01\x00")},
        {"192.0.2.1:7", "192.0.2.1:7", BYTES("\x00\x07\x00\x07")},
        {"[2001:db8:1:ffff:ffff::ff]:1", "[2001:db8:2:ffff::ff]:1",
         BYTES("\x20\x01\x0d\xb8\x00\x01\x55\x55\x55\x55\0\0\0\0\0\x55"
               "\x20\x01\x0d\xb8\x00\x02\x55\x55\0\0\0\0\0\0\0\x55")},
        {"[2001:db8:1:ffff::ff]:1", "[2001:db8:1:ee:ffff::ff]:1", /* one /48 */
         BYTES("\x20\x01\x0d\xb8\x00\x01\x00\x44\x55\x55\0\0\0\0\0\x55"
               "\x20\x01\x0d\xb8\x00\x01\xff\x55\0\0\0\0\0\0\0\x55")},
        {"[2001:db8:1:ffff::ff]:1", "[2001:db8:1:ffee:ffff::ff]:1", /* one /56 */
         BYTES("\x20\x01\x0d\xb8\x00\x01\xff\xee\x55\x55\0\0\0\0\0\x55"
               "\x20\x01\x0d\xb8\x00\x01\xff\xff\0\0\0\0\0\0\0\x55")},
        {"[2001:db8::fe]:1", "[2001:db8::ff]:1", /* all but the last byte */
         BYTES("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\xfe"
               "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\xff")},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct endpoint a = endpoint(rows[i].a);
        struct endpoint b = endpoint(rows[i].b);
        uint32_t expected = crc32c(rows[i].summed);
        if (peer_priority(&a, &b) != expected || peer_priority(&b, &a) != expected) {
            fail_msg("%s and %s", rows[i].a, rows[i].b);
        }
    }
}

static void test_sums_of_the_bep(void **state)
{
    (void)state;
    struct endpoint a = endpoint("123.213.32.10:1");
    struct endpoint b = endpoint("98.76.54.32:1");
    struct endpoint c = endpoint("123.213.32.234:1");
    assert_int_equal(peer_priority(&a, &b), 0xec2d7224);
    assert_int_equal(peer_priority(&a, &c), 0x99568189);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_sums_of_the_bep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
