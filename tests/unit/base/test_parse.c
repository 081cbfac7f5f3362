#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/parse.h"

#include "base/banned.h"

static void test_numbers(void **state)
{
    (void)state;
    uint64_t v = 1;
    assert_true(parse_u64(&v, SPAN("0"), 0));
    assert_true(v == 0);
    assert_true(parse_u64(&v, SPAN("18446744073709551615"), UINT64_MAX));
    assert_true(v == UINT64_MAX);
    assert_true(parse_u64(&v, SPAN("0065535"), UINT16_MAX));
    assert_true(v == UINT16_MAX);
}

static void test_what_is_no_number(void **state)
{
    (void)state;
    static const char *const rows[] = {"",
                                       "-1",
                                       "+1",
                                       " 1",
                                       "1 ",
                                       "0x1",
                                       "1e3",
                                       "1.0",
                                       "/",
                                       ":",
                                       "18446744073709551616",
                                       "99999999999999999999"};
    uint64_t v = 42;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_false(parse_u64(&v, span_str(rows[i]), UINT64_MAX));
    }
    assert_false(parse_u64(&v, SPAN("65536"), UINT16_MAX));
    assert_false(parse_u64(&v, SPAN("1\0"), UINT64_MAX));
    assert_true(v == 42); /* left alone */
}

static void test_percent(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out;
        long n;
    } rows[] = {
        {"", "", 0},       {"abc", "abc", 3},   {"%41%7a", "Az", 2}, {"a+b", "a+b", 3},
        {"%25", "%", 1},   {"%2541", "%41", 3}, {"%00x", "\0x", 2},  {"%Ff%fF", "\xff\xff", 2},
        {"%", NULL, -1},   {"%4", NULL, -1},    {"%g0", NULL, -1},   {"%0g", NULL, -1},
        {"a%%", NULL, -1}, {"% 41", NULL, -1},  {"%-1", NULL, -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t out[8];
        assert_int_equal(percent_decode(out, sizeof out, span_str(rows[i].in)), rows[i].n);
        if (rows[i].n > 0) {
            assert_memory_equal(out, rows[i].out, (size_t)rows[i].n);
        }
    }
}

static void test_percent_that_does_not_fit(void **state)
{
    (void)state;
    uint8_t out[4] = {0, 0, 0, 9};
    assert_int_equal(percent_decode(out, 3, SPAN("a%62c")), 3);
    assert_int_equal(percent_decode(out, 3, SPAN("a%62cd")), -1);
    assert_int_equal(percent_decode(out, 0, SPAN("a")), -1);
    assert_int_equal(out[3], 9);
}

static void test_percent_encode(void **state)
{
    (void)state;
    char text[64];
    struct wr w = wr_over(text, sizeof text);
    percent_encode(&w, SPAN("aZ09-._~ +%/\0\xff"), PERCENT_UNRESERVED);
    assert_true(span_eq(wr_span(&w), SPAN("aZ09-._~%20%2B%25%2F%00%FF")));
    w = wr_over(text, sizeof text);
    percent_encode(&w, SPAN("[::1]:80"), SPAN("[]:"));
    assert_true(span_eq(wr_span(&w), SPAN("[::1]:80")));
    w = wr_over(text, 2);
    percent_encode(&w, SPAN("/"), PERCENT_UNRESERVED); /* three bytes do not fit */
    assert_true(w.bad);
    assert_int_equal(wr_len(&w), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),        cmocka_unit_test(test_what_is_no_number),
        cmocka_unit_test(test_percent),        cmocka_unit_test(test_percent_that_does_not_fit),
        cmocka_unit_test(test_percent_encode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
