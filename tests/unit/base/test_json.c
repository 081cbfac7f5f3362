#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"

#include "base/banned.h"

#define REPLACED "\xef\xbf\xbd" /* U+FFFD */

/* Both writers give the text, in quotes. */
static void assert_json(struct span in, const char *want)
{
    struct buf b;
    uint8_t bytes[512];
    struct wr w = wr_over(bytes, sizeof bytes);
    buf_init(&b, sizeof bytes);
    json_add_string(&b, in);
    json_write_string(&w, in);
    assert_false(b.bad || w.bad);
    assert_true(span_eq(buf_span(&b), wr_span(&w)));
    struct span inner = span_sub(buf_span(&b), 1, b.len - 2);
    assert_true(b.p[0] == '"' && b.p[b.len - 1] == '"');
    assert_int_equal(inner.n, strlen(want));
    assert_memory_equal(inner.p, want, inner.n);
    buf_release(&b);
}

static void test_escapes(void **state)
{
    (void)state;
    assert_json(SPAN(""), "");
    assert_json(SPAN("plain / text"), "plain / text");
    assert_json(SPAN("\"\\"), "\\\"\\\\");
    assert_json(SPAN("\0\n\x1f\x7f"), "\\u0000\\u000a\\u001f\\u007f");
}

static void test_utf8_passes(void **state)
{
    (void)state;
    /* The first and last character of each length: RFC 3629. */
    static const char *const good[] = {"\x7e",         "\xc2\x80",         "\xdf\xbf",
                                       "\xe0\xa0\x80", "\xed\x9f\xbf",     "\xee\x80\x80",
                                       "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_json(span_str(good[i]), good[i]);
        assert_int_equal(utf8_sequence_len(span_str(good[i])), strlen(good[i]));
    }
}

static void test_each_wrong_byte_is_replaced(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out;
    } rows[] = {
        {"\x80", REPLACED},                           /* continuation alone */
        {"a\xffz", "a" REPLACED "z"},                 /* never in UTF-8 */
        {"\xc0\x80", REPLACED REPLACED},              /* overlong NUL */
        {"\xc1\xbf", REPLACED REPLACED},              /* overlong */
        {"\xe0\x9f\xbf", REPLACED REPLACED REPLACED}, /* overlong */
        {"\xed\xa0\x80", REPLACED REPLACED REPLACED}, /* surrogate */
        {"\xf0\x8f\xbf\xbf", REPLACED REPLACED REPLACED REPLACED},
        {"\xf4\x90\x80\x80", REPLACED REPLACED REPLACED REPLACED}, /* above U+10FFFF */
        {"\xf5\x80\x80\x80", REPLACED REPLACED REPLACED REPLACED},
        {"\xe2\x82", REPLACED REPLACED},         /* cut short */
        {"\xe2\x28\xa1", REPLACED "(" REPLACED}, /* broken in the middle */
        {"\xf0\x9f\x98", REPLACED REPLACED REPLACED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(utf8_sequence_len(span_sub(span_str(rows[i].in), 0, 4)),
                         rows[i].in[0] == 'a' ? 1 : 0);
        assert_json(span_str(rows[i].in), rows[i].out);
    }
    assert_int_equal(utf8_sequence_len(SPAN("")), 0);
}

static void test_a_string_that_does_not_fit(void **state)
{
    (void)state;
    uint8_t bytes[6];
    struct wr w = wr_over(bytes, sizeof bytes);
    json_write_string(&w, SPAN("12345"));
    assert_true(w.bad);
    struct buf b;
    buf_init(&b, 6);
    json_add_string(&b, SPAN("12345"));
    assert_true(b.bad);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_utf8_passes),
        cmocka_unit_test(test_each_wrong_byte_is_replaced),
        cmocka_unit_test(test_a_string_that_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
