#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "unit/base/dies.h"

#include "base/banned.h"

static void assert_holds(const struct buf *b, const char *text)
{
    assert_int_equal(b->len, strlen(text));
    assert_true(span_eq(buf_span(b), span_str(text)));
}

static void test_every_way_to_add(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1024);
    buf_add(&b, SPAN("ab"));
    buf_add_byte(&b, '-');
    buf_add_str(&b, "cd ");
    buf_addf(&b, "%d%%", 7);
    buf_add_u64(&b, 0);
    buf_add_byte(&b, ' ');
    buf_add_u64(&b, UINT64_MAX);
    buf_add_hex(&b, SPAN(" \x00\xff"));
    assert_holds(&b, "ab-cd 7%0 184467440737095516152000ff");
    assert_false(b.bad);
    buf_release(&b);
}

static void test_full_is_sticky_and_keeps_the_bytes(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4);
    buf_add(&b, SPAN("abcd"));
    assert_false(b.bad);
    buf_add(&b, SPAN("e"));
    assert_true(b.bad);
    buf_consume(&b, 2);
    buf_add(&b, SPAN("f")); /* there is room now, but the error stays */
    assert_holds(&b, "cd");
    buf_clear(&b);
    assert_false(b.bad);
    buf_addf(&b, "%s", "efgh");
    assert_holds(&b, "efgh");
    buf_release(&b);
}

static void test_each_adder_stops_at_the_limit(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 3);
    buf_addf(&b, "%d", 1234);
    assert_true(b.bad);
    buf_clear(&b);
    buf_add_hex(&b, SPAN("ab"));
    assert_true(b.bad);
    buf_clear(&b);
    buf_add_u64(&b, 1234);
    assert_true(b.bad);
    buf_clear(&b);
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_true(b.bad);
    assert_holds(&b, "");
    buf_release(&b);
}

static void test_a_limit_of_nothing(void **state)
{
    (void)state;
    struct buf b;
    size_t len;
    buf_init(&b, 0);
    buf_add(&b, SPAN(""));
    assert_false(b.bad);
    buf_add_byte(&b, 'a');
    assert_true(b.bad);
    free(buf_take(&b, &len));
    assert_int_equal(len, 0);
}

static void test_memory_never_passes_the_limit(void **state)
{
    (void)state;
    for (size_t max = 1; max < 300; max += 7) {
        struct buf b;
        buf_init(&b, max);
        while (!b.bad) {
            buf_add_byte(&b, 'x');
            assert_true(b.cap <= max && b.len <= b.cap);
        }
        assert_int_equal(b.len, max);
        buf_release(&b);
    }
}

static void test_long_format(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 5000);
    buf_addf(&b, "%*d", 4000, 1);
    assert_int_equal(b.len, 4000);
    assert_int_equal(b.p[3999], '1');
    buf_addf(&b, "%*d", 1001, 1);
    assert_true(b.bad);
    assert_int_equal(b.len, 4000);
    buf_release(&b);
}

static void test_reserve_then_write(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    uint8_t *to = buf_reserve(&b, 100);
    memset(to, 'y', 100);
    assert_int_equal(b.len, 0);
    b.len += 100;
    buf_consume(&b, 99);
    assert_holds(&b, "y");
    buf_consume(&b, 1);
    buf_consume(&b, 0);
    assert_holds(&b, "");
    buf_release(&b);
}

static void test_take_hands_over(void **state)
{
    (void)state;
    struct buf b;
    size_t len;
    buf_init(&b, 100);
    assert_null(buf_take(&b, &len));
    buf_add_str(&b, "mine");
    uint8_t *p = buf_take(&b, &len);
    assert_int_equal(len, 4);
    assert_memory_equal(p, "mine", 4);
    buf_add_str(&b, "again");
    assert_holds(&b, "again");
    free(p);
    buf_release(&b);
}

static void consume_too_much(void)
{
    struct buf b;
    buf_init(&b, 10);
    buf_consume(&b, 1);
}

static void test_consuming_what_is_not_there_is_a_bug(void **state)
{
    (void)state;
    assert_true(dies(consume_too_much));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_way_to_add),
        cmocka_unit_test(test_full_is_sticky_and_keeps_the_bytes),
        cmocka_unit_test(test_each_adder_stops_at_the_limit),
        cmocka_unit_test(test_a_limit_of_nothing),
        cmocka_unit_test(test_memory_never_passes_the_limit),
        cmocka_unit_test(test_long_format),
        cmocka_unit_test(test_reserve_then_write),
        cmocka_unit_test(test_take_hands_over),
        cmocka_unit_test(test_consuming_what_is_not_there_is_a_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
