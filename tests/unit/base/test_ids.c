#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/ids.h"

#include "base/banned.h"

static void test_encode(void **state)
{
    (void)state;
    char out[9] = "????????";
    hex_encode(out, SPAN("\x00\x1f\xa9\xff"));
    assert_string_equal(out, "001fa9ff");
    hex_encode(out, SPAN(""));
    assert_string_equal(out, "");
}

static void test_decode_any_case(void **state)
{
    (void)state;
    uint8_t out[3];
    assert_true(hex_decode(out, 3, SPAN("00aFFa")));
    assert_memory_equal(out, "\x00\xaf\xfa", 3);
    assert_true(hex_decode(out, 0, SPAN("")));
}

static void test_what_is_no_hex(void **state)
{
    (void)state;
    static const char *const rows[] = {"",         "0",      "001",    "00112",  "0011223",
                                       "00112233", "0011 2", "0x1122", "00112g", "0011/0",
                                       "0011:0",   "0011@0", "0011`0"};
    uint8_t out[3];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_false(hex_decode(out, 3, span_str(rows[i])));
    }
    assert_false(hex_decode(out, 3, SPAN("0011\0\0")));
}

static void test_there_and_back(void **state)
{
    (void)state;
    struct infohash a;
    struct infohash b;
    char hex[HEX20_LEN + 1];
    for (uint8_t i = 0; i < sizeof a.b; i++) {
        a.b[i] = (uint8_t)(i * 13);
    }
    hex_encode(hex, span_of(a.b, sizeof a.b));
    assert_true(hex_decode(b.b, sizeof b.b, span_of(hex, HEX20_LEN)));
    assert_true(infohash_eq(&a, &b));
    b.b[19] ^= 1;
    assert_false(infohash_eq(&a, &b));
}

static void test_base32(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "MZXW6YTB",
                                      "MZXW6YTBOI======",
                                      "MZXW6YTBOJQXEMZ",
                                      "MZXW6YTBOJQXEM 2",
                                      "MZXW6YTBOJQXEM12",
                                      "MZXW6YTBOJQXEM82",
                                      "MZXW6YTBOJQXEM@2",
                                      "MZXW6YTBOJQXEM[2",
                                      "MZXW6YTBOJQXEM`2",
                                      "MZXW6YTBOJQXEM{2"};
    uint8_t out[10];
    /* RFC 4648, section 10: "foobar" begins like this. */
    assert_true(base32_decode(out, 5, SPAN("MZXW6YTB")));
    assert_memory_equal(out, "fooba", 5);
    assert_true(base32_decode(out, 10, SPAN("aaaaaaaa77777777")));
    assert_memory_equal(out, "\0\0\0\0\0\xff\xff\xff\xff\xff", 10);
    assert_true(base32_decode(out, 0, SPAN("")));
    assert_false(base32_decode(out, 4, SPAN("MZXW6YQ")));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(base32_decode(out, 10, span_str(bad[i])));
    }
    assert_false(base32_decode(out, 5, SPAN("MZXW6YT\xc2")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode),         cmocka_unit_test(test_decode_any_case),
        cmocka_unit_test(test_what_is_no_hex), cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_base32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
