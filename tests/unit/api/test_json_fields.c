/* The members of a JSON object: what is JSON and what is not, what is forgiven, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cJSON.h>
#include <cmocka.h>

#include "api/json_fields.h"
#include "base/err.h"
#include "base/rng.h"

#include "base/banned.h"

/* How many members text has, or why it has none. */
static int count(struct span text)
{
    struct json_fields walk;
    struct json_field f;
    const char *why = NULL;
    int n = 0;
    int status = json_fields_begin(&walk, text, &why);
    while (status == 0 && (status = json_fields_next(&walk, &f, &why)) == 1) {
        assert_true(f.name.p >= text.p && f.value.p + f.value.n <= text.p + text.n);
        n++;
        status = 0;
    }
    if (status < 0) {
        assert_non_null(why);
        return status;
    }
    assert_int_equal(json_fields_next(&walk, &f, &why), 0); /* it stays at its end */
    return n;
}

static void test_what_is_json(void **state)
{
    static const struct {
        const char *text;
        int n;
    } cases[] = {
        {"{}", 0},
        {" \r\n\t{ } \n", 0},
        {"{\"a\":1}", 1},
        {"{\"a\":1,\"a\":2,\"\":3}", 3},
        {"{\"a\":1,}", 1},
        {"{\"a\":1 , }", 1},
        {"{\"a\" : [ 1 , [ ] , { } , ] , \"b\" : { \"c\" : [ { } ] , } , }", 2},
        {"{\"a\":[[],[[]],{\"b\":{\"c\":null}}]}", 1},
        {"{\"a\":-0,\"b\":-1.5e+3,\"c\":1E5,\"d\":0.25,\"e\":1e-9}", 5},
        {"{\"a\":true,\"b\":false,\"c\":null}", 3},
        {"{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00fF\"}", 1},
        {"{\"a\":\"\n\x01\xff\"}", 1},
        {"", ERR_MALFORMED},
        {" ", ERR_MALFORMED},
        {"[]", ERR_MALFORMED},
        {"\"a\"", ERR_MALFORMED},
        {"null", ERR_MALFORMED},
        {"a=1", ERR_MALFORMED},
        {"{", ERR_MALFORMED},
        {"{,}", ERR_MALFORMED},
        {"{\"a\":1,,}", ERR_MALFORMED},
        {"{\"a\":1 \"b\":2}", ERR_MALFORMED},
        {"{\"a\"}", ERR_MALFORMED},
        {"{\"a\" 1}", ERR_MALFORMED},
        {"{\"a\":}", ERR_MALFORMED},
        {"{a:1}", ERR_MALFORMED},
        {"{'a':1}", ERR_MALFORMED},
        {"{1:1}", ERR_MALFORMED},
        {"{\"a\":1}x", ERR_MALFORMED},
        {"{\"a\":1}}", ERR_MALFORMED},
        {"{\"a\":1]", ERR_MALFORMED},
        {"{\"a\":[1}}", ERR_MALFORMED},
        {"{\"a\":[,]}", ERR_MALFORMED},
        {"{\"a\":[1,,]}", ERR_MALFORMED},
        {"{\"a\":[1 2]}", ERR_MALFORMED},
        {"{\"a\":{\"b\"}}", ERR_MALFORMED},
        {"{\"a\":{\"b\":}}", ERR_MALFORMED},
        {"{\"a\":{\"b\":]}", ERR_MALFORMED},
        {"{\"a\":{1:2}}", ERR_MALFORMED},
        {"{\"a\":01}", ERR_MALFORMED},
        {"{\"a\":+1}", ERR_MALFORMED},
        {"{\"a\":1.}", ERR_MALFORMED},
        {"{\"a\":.5}", ERR_MALFORMED},
        {"{\"a\":1e}", ERR_MALFORMED},
        {"{\"a\":1e+}", ERR_MALFORMED},
        {"{\"a\":-}", ERR_MALFORMED},
        {"{\"a\":0x1}", ERR_MALFORMED},
        {"{\"a\":NaN}", ERR_MALFORMED},
        {"{\"a\":tru}", ERR_MALFORMED},
        {"{\"a\":truex}", ERR_MALFORMED},
        {"{\"a\":\"}", ERR_MALFORMED},
        {"{\"a\":\"\\\"}", ERR_MALFORMED},
        {"{\"a\":\"\\x\"}", ERR_MALFORMED},
        {"{\"a\":\"\\u12g4\"}", ERR_MALFORMED},
        {"{\"a\":\"\\u123\"}", ERR_MALFORMED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (count(span_str(cases[i].text)) != cases[i].n) {
            fail_msg("%s: %d", cases[i].text, count(span_str(cases[i].text)));
        }
    }
}

static void test_every_truncation_is_malformed(void **state)
{
    const struct span text =
        SPAN("{\"a\":\"x\\u00e9\",\"b\":[1,{\"c\":null}],\"d\":-1.5e3,\"e\":true}");
    (void)state;
    assert_int_equal(count(text), 4);
    for (size_t n = 0; n < text.n; n++) {
        assert_int_equal(count(span_sub(text, 0, n)), ERR_MALFORMED);
    }
}

static void test_kinds_and_values(void **state)
{
    static const struct {
        const char *name, *value;
        enum json_kind kind;
    } wanted[] = {
        {"s", "x \\n", JSON_STRING}, {"n", "-1.50", JSON_NUMBER}, {"t", "true", JSON_TRUE},
        {"f", "false", JSON_FALSE},  {"z", "null", JSON_NULL},    {"l", "[1, {} ]", JSON_NESTED},
        {"o", "{}", JSON_NESTED},
    };
    struct json_fields walk;
    struct json_field f;
    const char *why;
    (void)state;
    assert_int_equal(json_fields_begin(&walk,
                                       SPAN("{\"s\":\"x \\n\",\"n\" : -1.50 ,\"t\":true,"
                                            "\"f\":false,\"z\":null,\"l\":[1, {} ],\"o\":{}}"),
                                       &why),
                     0);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        assert_int_equal(json_fields_next(&walk, &f, &why), 1);
        assert_true(json_field_is(&f, wanted[i].name));
        assert_int_equal(f.kind, wanted[i].kind);
        assert_true(span_eq(f.value, span_str(wanted[i].value)));
    }
    assert_int_equal(json_fields_next(&walk, &f, &why), 0);
}

static void add_times(struct buf *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        buf_add_str(out, text);
    }
}

static void test_limits(void **state)
{
    (void)state;
    for (size_t depth = JSON_FIELDS_DEPTH - 2; depth < JSON_FIELDS_DEPTH + 2; depth++) {
        struct buf text;
        buf_init(&text, 4096);
        buf_add_str(&text, "{\"a\":");
        add_times(&text, "[", depth);
        add_times(&text, "]", depth);
        buf_add_str(&text, "}");
        assert_int_equal(count(buf_span(&text)), depth < JSON_FIELDS_DEPTH ? 1 : ERR_LIMIT);
        buf_release(&text);
    }
    for (size_t n = JSON_FIELDS_MAX - 1; n < JSON_FIELDS_MAX + 2; n++) {
        struct buf text;
        buf_init(&text, 4096);
        buf_add_str(&text, "{");
        add_times(&text, "\"a\":1,", n);
        buf_add_str(&text, "}");
        assert_int_equal(count(buf_span(&text)), n <= JSON_FIELDS_MAX ? (int)n : ERR_LIMIT);
        buf_release(&text);
    }
}

static void test_strings(void **state)
{
    static const struct {
        struct span raw, wanted;
    } cases[] = {
        {{NULL, 0}, {NULL, 0}},
        {SPAN("plain"), SPAN("plain")},
        {SPAN("\\\"\\\\\\/\\b\\f\\n\\r\\t"), SPAN("\"\\/\b\f\n\r\t")},
        {SPAN("a\\u0000b"), SPAN("a\0b")},
        {SPAN("\\u0041\\u00e9\\u00FF\\u20ac"), SPAN("A\xc3\xa9\xc3\xbf\xe2\x82\xac")},
        {SPAN("\\ud83d\\ude00"), SPAN("\xf0\x9f\x98\x80")},
        {SPAN("\\udbff\\udfff"), SPAN("\xf4\x8f\xbf\xbf")},
        {SPAN("\\ud83d"), SPAN("\xef\xbf\xbd")},
        {SPAN("\\ud83dx"), SPAN("\xef\xbf\xbdx")},
        {SPAN("\\ud83d\\n"), SPAN("\xef\xbf\xbd\n")},
        {SPAN("\\ud83d\\u0041"), SPAN("\xef\xbf\xbd"
                                      "A")},
        {SPAN("\\ude00\\ud83d"), SPAN("\xef\xbf\xbd\xef\xbf\xbd")},
        {SPAN("\xff\x00\x80"), SPAN("\xff\x00\x80")},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out;
        buf_init(&out, cases[i].wanted.n + 1);
        assert_true(json_string_decode(&out, cases[i].raw));
        assert_true(span_eq(buf_span(&out), cases[i].wanted));
        buf_release(&out);
        if (cases[i].wanted.n > 0) {
            buf_init(&out, cases[i].wanted.n - 1);
            assert_false(json_string_decode(&out, cases[i].raw));
            buf_release(&out);
        }
    }
}

/* What cJSON takes as an object, this does too, with as many members; and any bytes end well. */
static void test_beside_cjson(void **state)
{
    static const char alphabet[] = "{}[]\",:\\u0aftrelsn1.-e \xc3\xa9";
    struct rng rng = {7};
    unsigned n_good = 0;
    (void)state;
    for (unsigned round = 0; round < 200000; round++) {
        char text[24] = "{\"a\":1,\"b\":[{}]}";
        size_t n = strlen(text);
        for (unsigned changes = rng_below(&rng, 4); changes > 0; changes--) {
            text[rng_below(&rng, (uint32_t)n)] = alphabet[rng_below(&rng, sizeof alphabet - 1)];
        }
        const char *end = NULL;
        cJSON *json = cJSON_ParseWithLengthOpts(text, n, &end, 0);
        bool all = json != NULL && span_trim(span_str(end)).n == 0;
        int found = count(span_of(text, n));
        /* cJSON is not strict about numbers ("1." and "01"). */
        if (all && cJSON_IsObject(json) && strpbrk(text, ".-e0") == NULL) {
            assert_int_equal(found, cJSON_GetArraySize(json));
            n_good++;
        } else if (json == NULL) {
            assert_true(found < 0 || strstr(text, ",}") != NULL || strstr(text, ",]") != NULL ||
                        strpbrk(text, " \\") != NULL);
        }
        cJSON_Delete(json);
    }
    assert_true(n_good > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_json),
        cmocka_unit_test(test_every_truncation_is_malformed),
        cmocka_unit_test(test_kinds_and_values),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_beside_cjson),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
