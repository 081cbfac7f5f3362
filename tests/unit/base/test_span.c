#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/span.h"

#include "base/banned.h"

static void assert_span(struct span s, const char *text)
{
    assert_int_equal(s.n, strlen(text));
    assert_true(span_eq(s, span_str(text)));
}

static void test_literal_may_hold_nul(void **state)
{
    (void)state;
    assert_int_equal(SPAN("a\0b").n, 3);
    assert_false(span_eq(SPAN("a\0b"), SPAN("a\0c")));
}

static void test_equal(void **state)
{
    (void)state;
    assert_true(span_eq(span_of(NULL, 0), SPAN("")));
    assert_false(span_eq(SPAN("ab"), SPAN("abc")));
    assert_true(span_starts_with(SPAN("abc"), SPAN("ab")));
    assert_true(span_starts_with(SPAN("abc"), span_of(NULL, 0)));
    assert_false(span_starts_with(SPAN("ab"), SPAN("abc")));
    assert_false(span_starts_with(SPAN("abc"), SPAN("bc")));
}

static void test_sub_never_leaves_the_span(void **state)
{
    (void)state;
    assert_span(span_sub(SPAN("abcdef"), 1, 3), "bcd");
    assert_span(span_sub(SPAN("abcdef"), 4, SIZE_MAX), "ef");
    assert_span(span_sub(SPAN("abcdef"), 6, 1), "");
    assert_span(span_sub(SPAN("abcdef"), SIZE_MAX, SIZE_MAX), "");
    assert_null(span_sub(span_of(NULL, 0), 0, 0).p);
}

static void test_cut(void **state)
{
    (void)state;
    struct span rest;
    assert_int_equal(span_find(SPAN("abc"), 'c'), 2);
    assert_int_equal(span_find(SPAN("abc"), 'x'), 3);
    assert_int_equal(span_find(span_of(NULL, 0), 'x'), 0);
    assert_span(span_cut(SPAN("a=b=c"), '=', &rest), "a");
    assert_span(rest, "b=c");
    assert_span(span_cut(SPAN("a="), '=', &rest), "a");
    assert_span(rest, "");
    assert_span(span_cut(SPAN("abc"), '=', &rest), "abc");
    assert_span(rest, "");
    assert_span(span_cut(SPAN("=abc"), '=', NULL), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literal_may_hold_nul),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_sub_never_leaves_the_span),
        cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
