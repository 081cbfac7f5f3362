#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/rng.h"

#include "base/banned.h"

/* RFC 4648, section 10. */
static const char *const vectors[][2] = {{"", ""},
                                         {"f", "Zg=="},
                                         {"fo", "Zm8="},
                                         {"foo", "Zm9v"},
                                         {"foob", "Zm9vYg=="},
                                         {"fooba", "Zm9vYmE="},
                                         {"foobar", "Zm9vYmFy"}};

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct buf b;
        buf_init(&b, 64);
        base64_add(&b, span_str(vectors[i][0]));
        assert_true(span_eq(buf_span(&b), span_str(vectors[i][1])));
        buf_clear(&b);
        assert_true(base64_add_decoded(&b, span_str(vectors[i][1])));
        assert_true(span_eq(buf_span(&b), span_str(vectors[i][0])));
        buf_release(&b);
    }
}

static void test_alphabets(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 64);
    base64_add(&b, SPAN("\xfb\xef\xff"));
    base64url_add(&b, SPAN("\xfb\xef\xff\xfb"));
    assert_true(span_eq(buf_span(&b), SPAN("++//--__-w")));
    buf_release(&b);
}

static void test_padding_may_be_left_out(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 64);
    assert_true(base64_add_decoded(&b, SPAN("Zg")));
    assert_true(base64_add_decoded(&b, SPAN("Zm8")));
    assert_true(span_eq(buf_span(&b), SPAN("ffo")));
    buf_release(&b);
}

static void test_what_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {"Z",    "Zm9vY", "Zg=",  "Zg==Zg==", "Z===",   "====",   "=",
                                      "Zh==", "Zm9=",  "Zm-_", "Zm 9v",    "Zm9v\n", "Zm9\xc3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf b;
        buf_init(&b, 64);
        assert_false(base64_add_decoded(&b, span_str(bad[i])));
        buf_release(&b);
    }
}

static void test_a_full_buffer(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 5);
    assert_false(base64_add_decoded(&b, SPAN("Zm9vYmFy")));
    assert_true(b.bad);
    buf_release(&b);
}

static void test_any_bytes_there_and_back(void **state)
{
    (void)state;
    struct rng rng = {7};
    uint8_t bytes[100];
    for (size_t n = 0; n <= sizeof bytes; n++) {
        for (size_t i = 0; i < n; i++) {
            bytes[i] = (uint8_t)rng_next(&rng);
        }
        struct buf text;
        struct buf back;
        buf_init(&text, 200);
        buf_init(&back, 100);
        base64_add(&text, span_of(bytes, n));
        assert_int_equal(text.len, (n + 2) / 3 * 4);
        assert_true(base64_add_decoded(&back, buf_span(&text)));
        assert_true(span_eq(buf_span(&back), span_of(bytes, n)));
        buf_release(&text);
        buf_release(&back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_alphabets),
        cmocka_unit_test(test_padding_may_be_left_out),
        cmocka_unit_test(test_what_is_none),
        cmocka_unit_test(test_a_full_buffer),
        cmocka_unit_test(test_any_bytes_there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
