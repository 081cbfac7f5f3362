#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cursor.h"

#include "base/banned.h"

static void test_network_order_both_ways(void **state)
{
    (void)state;
    uint8_t bytes[15];
    struct wr w = wr_over(bytes, sizeof bytes);
    wr_u8(&w, 0x01);
    wr_u16(&w, 0x0203);
    wr_u32(&w, 0x04050607);
    wr_u64(&w, UINT64_C(0x08090a0b0c0d0e0f));
    assert_false(w.bad);
    assert_int_equal(wr_room(&w), 0);
    for (uint8_t i = 0; i < sizeof bytes; i++) {
        assert_int_equal(bytes[i], i + 1);
    }

    struct rd r = rd_over(wr_span(&w));
    assert_int_equal(rd_u8(&r), 0x01);
    assert_int_equal(rd_u16(&r), 0x0203);
    assert_int_equal(rd_u32(&r), 0x04050607);
    assert_true(rd_u64(&r) == UINT64_C(0x08090a0b0c0d0e0f));
    assert_false(r.bad);
    assert_int_equal(rd_left(&r), 0);
}

static void test_reading_past_the_end_is_zeros_for_good(void **state)
{
    (void)state;
    struct rd r = rd_over(SPAN("\xff\xff\xff"));
    assert_int_equal(rd_u32(&r), 0);
    assert_true(r.bad);
    assert_int_equal(rd_u8(&r), 0); /* there is a byte, but the message is broken */
    assert_int_equal(rd_u16(&r), 0);
    assert_true(rd_u64(&r) == 0);
    assert_int_equal(rd_bytes(&r, 1).n, 0);
    uint8_t out[2] = {7, 7};
    rd_copy(&r, out, sizeof out);
    assert_int_equal(out[0] | out[1], 0);
}

static void test_bytes(void **state)
{
    (void)state;
    uint8_t out[2];
    struct rd r = rd_over(SPAN("abcd"));
    assert_true(span_eq(rd_bytes(&r, 2), SPAN("ab")));
    rd_copy(&r, out, 2);
    assert_memory_equal(out, "cd", 2);
    assert_int_equal(rd_bytes(&r, 0).n, 0);
    assert_false(r.bad);
    assert_int_equal(rd_bytes(&r, SIZE_MAX).n, 0);
    assert_true(r.bad);
}

static void test_nothing_at_all(void **state)
{
    (void)state;
    struct rd r = rd_over(span_of(NULL, 0));
    assert_int_equal(rd_bytes(&r, 0).n, 0);
    assert_false(r.bad);
    assert_int_equal(rd_u8(&r), 0);
    assert_true(r.bad);
    struct wr w = wr_over(NULL, 0);
    wr_bytes(&w, SPAN(""));
    assert_false(w.bad);
    wr_u8(&w, 1);
    assert_true(w.bad);
}

static void test_writing_past_the_end_writes_nothing(void **state)
{
    (void)state;
    uint8_t bytes[4] = {9, 9, 9, 9};
    struct wr w = wr_over(bytes, 3);
    wr_u32(&w, 0);
    assert_true(w.bad);
    wr_u8(&w, 0); /* would fit, but the message is broken */
    assert_int_equal(wr_len(&w), 0);
    assert_int_equal(wr_room(&w), 0);
    assert_null(wr_reserve(&w, 1));
    assert_memory_equal(bytes, "\x09\x09\x09\x09", 4);
}

static void test_decimals(void **state)
{
    (void)state;
    uint8_t bytes[32];
    struct wr w = wr_over(bytes, sizeof bytes);
    wr_dec(&w, 0);
    wr_u8(&w, ' ');
    wr_dec(&w, 1800);
    wr_u8(&w, ' ');
    wr_dec(&w, UINT64_MAX);
    assert_true(span_eq(wr_span(&w), SPAN("0 1800 18446744073709551615")));
}

static void test_reserve(void **state)
{
    (void)state;
    uint8_t bytes[4];
    struct wr w = wr_over(bytes, sizeof bytes);
    wr_u8(&w, 'a');
    memcpy(wr_reserve(&w, 3), "bcd", 3);
    assert_true(span_eq(wr_span(&w), SPAN("abcd")));
    assert_non_null(wr_reserve(&w, 0));
    assert_null(wr_reserve(&w, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_network_order_both_ways),
        cmocka_unit_test(test_reading_past_the_end_is_zeros_for_good),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_nothing_at_all),
        cmocka_unit_test(test_writing_past_the_end_writes_nothing),
        cmocka_unit_test(test_decimals),
        cmocka_unit_test(test_reserve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
