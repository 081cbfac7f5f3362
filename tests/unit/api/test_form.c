/* Forms as curl, browsers and scripts send them, and as nobody should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "api/form.h"
#include "base/err.h"
#include "base/rng.h"

#include "base/banned.h"

#define URLENCODED "application/x-www-form-urlencoded"
#define MULTIPART  "multipart/form-data; boundary=b"

/* Everything that a form has, as text: name=value, one a line; "!" and why when it ends badly. */
static void walk(char *out, size_t cap, const char *type, struct span body)
{
    struct form f;
    struct form_field field;
    const char *why = NULL;
    size_t n = 0;
    int status = form_begin(&f, span_str(type), body, &why);
    out[0] = '\0';
    while (status == 0 && (status = form_next(&f, &field, &why)) == 1) {
        struct buf value;
        buf_init(&value, 1000000);
        bool good = form_add_value(&value, &field);
        n += (size_t)snprintf(out + n, cap - n, "%.*s%s%s=%.*s\n", (int)field.name.n,
                              (const char *)field.name.p, field.has_filename ? "(file)" : "",
                              good ? "" : "(broken)", (int)value.len, (const char *)value.p);
        buf_release(&value);
        status = 0;
    }
    if (status < 0) {
        assert_non_null(why);
        (void)snprintf(out + n, cap - n, "!%d", status);
    }
}

static void expect_bytes(const char *type, struct span body, const char *wanted)
{
    static char got[65536];
    walk(got, sizeof got, type, body);
    assert_string_equal(got, wanted);
}

static void expect(const char *type, const char *body, const char *wanted)
{
    expect_bytes(type, span_str(body), wanted);
}

static void test_types(void **state)
{
    (void)state;
    expect("", "a=b", "");
    expect("application/json", "a=b", "");
    expect("text/plain; x=" URLENCODED, "a=b", "");
    expect(URLENCODED, "a=b", "a=b\n");
    expect("Application/X-WWW-Form-URLencoded ; charset=UTF-8", "a=b", "a=b\n");
    expect("multipart/mixed; boundary=b", "--b--", "");
}

static void test_urlencoded(void **state)
{
    (void)state;
    expect(URLENCODED, "", "");
    expect(URLENCODED, "&&", "");
    expect(URLENCODED, "a", "a=\n");
    expect(URLENCODED, "a=", "a=\n");
    expect(URLENCODED, "=b", "=b\n");
    expect(URLENCODED, "a=b&a=c", "a=b\na=c\n");
    expect(URLENCODED, "a=b=c", "a=b=c\n");
    expect(URLENCODED, "torrent%5Furl=magnet:?xt%3Durn&x+y=1+2%2B3",
           "torrent_url=magnet:?xt=urn\nx y=1 2+3\n");
    expect(URLENCODED, "a=%e2%82%AC", "a=\xe2\x82\xac\n");
    expect(URLENCODED, "a=%2&b=c", "a(broken)=\nb=c\n");
    expect(URLENCODED, "a=x%zz", "a(broken)=x\n");
    expect(URLENCODED, "%=a", "!-1");
    expect(URLENCODED, "%1g=a", "!-1");
}

static void test_limits_of_names_and_fields(void **state)
{
    char body[8 * FORM_FIELDS_MAX];
    char wanted[8 * FORM_FIELDS_MAX];
    char name[FORM_NAME_MAX + 8];
    size_t n = 0;
    (void)state;
    for (int i = 0; i < FORM_FIELDS_MAX; i++) {
        n += (size_t)snprintf(body + n, sizeof body - n, "a=b&");
        (void)snprintf(wanted + 4 * (size_t)i, 5, "a=b\n");
    }
    expect(URLENCODED, body, wanted);
    (void)snprintf(body + n, sizeof body - n, "a=b");
    (void)snprintf(wanted + n, sizeof wanted - n, "!%d", ERR_LIMIT);
    expect(URLENCODED, body, wanted);

    memset(name, 'n', FORM_NAME_MAX);
    (void)snprintf(name + FORM_NAME_MAX, 8, "=1");
    (void)snprintf(wanted, sizeof wanted, "%s\n", name);
    expect(URLENCODED, name, wanted);
    (void)snprintf(name + FORM_NAME_MAX, 8, "n=1");
    expect(URLENCODED, name, "=1\n");
}

#define PART(disposition, value)                                                                   \
    "--b\r\nContent-Disposition: form-data; " disposition "\r\n\r\n" value "\r\n"

static void test_multipart(void **state)
{
    (void)state;
    expect(MULTIPART, "", "");
    expect(MULTIPART, "--b--", "");
    expect(MULTIPART, "--b--\r\n", "");
    expect(MULTIPART, PART("name=\"a\"", "b") "--b--\r\n", "a=b\n");
    expect(MULTIPART, PART("name=\"a\"", "b") PART("name=\"a\"", "c") "--b--", "a=b\na=c\n");
    expect(MULTIPART, "text before\r\n" PART("name=\"a\"", "b") "--b--\r\ntext behind --b",
           "a=b\n");
    expect(MULTIPART, "\r\n" PART("name=\"a\"", "b") "--b--", "a=b\n");
    expect(MULTIPART, PART("name=a", "b") "--b--", "a=b\n");
    expect(MULTIPART, PART("name=\"a\"; filename=\"x.torrent\"", "b") "--b--", "a(file)=b\n");
    expect(MULTIPART, PART("name=\"a\"; filename=\"\"", "") "--b--", "a(file)=\n");
    expect(MULTIPART, PART("filename=\"n;ame=\\\"z\\\"\"; name=\"a\"", "b") "--b--", "a(file)=b\n");
    expect(MULTIPART, PART("name=\"a\"; filename*=UTF-8''x", "b") "--b--", "a(file)=b\n");
    expect(MULTIPART, PART("name=\"a\\\"b\\\\c\"", "d") "--b--", "a\"b\\c=d\n");
    expect(MULTIPART, PART("NAME=\"a\"", "%41+") "--b--", "a=%41+\n");
    /* Blanks behind a boundary, headers in another order and case. */
    expect(MULTIPART,
           "--b \t\r\nContent-Type: application/x-bittorrent\r\n"
           "CONTENT-DISPOSITION:form-data;name=a\r\n\r\nx\r\n--b--",
           "a=x\n");
    /* An empty value, with and without a line end of its own. */
    expect(MULTIPART, "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n--b--", "a=\n");
}

static void test_values_that_look_like_boundaries(void **state)
{
    (void)state;
    expect(MULTIPART, PART("name=a", "x--b") "--b--", "a=x--b\n");
    expect(MULTIPART, PART("name=a", "\r\n--bb\r\n--b \tx\r\n--") "--b--",
           "a=\r\n--bb\r\n--b \tx\r\n--\n");
    expect(MULTIPART, PART("name=a", "\r\n\r\n") "--b--", "a=\r\n\r\n\n");
    expect_bytes(
        "multipart/form-data; boundary=\"a b\\\"c\"",
        SPAN("--a b\"c\r\nContent-Disposition: form-data; name=a\r\n\r\nx\0y\r\n--a b\"c--"),
        "a=x\n");
}

static void test_broken_multipart(void **state)
{
    (void)state;
    expect("multipart/form-data", "--b--", "!-1");
    expect("multipart/form-data; boundary=", "--b--", "!-1");
    expect("multipart/form-data; boundary=\"\"", "--b--", "!-1");
    expect("multipart/form-data; charset=b", "--b--", "!-1");
    expect("multipart/form-data; boundary="
           "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
           "", "!-1");
    expect(MULTIPART, "x", "!-1");
    expect(MULTIPART, "--c--", "!-1");
    expect(MULTIPART, "--b", "!-1");
    expect(MULTIPART, "--b\r\n", "!-1");
    expect(MULTIPART, "--b\r\n\r\nx\r\n--b--", "!-1");
    expect(MULTIPART, "--b\r\nContent-Type: a/b\r\n\r\nx\r\n--b--", "!-1");
    expect(MULTIPART, PART("filename=x", "x") "--b--", "!-1");
    expect(MULTIPART, "--b\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--b--", "!-1");
    expect(MULTIPART, "--b\r\nContent-Disposition: form-data; name=a\r\n", "!-1");
    expect(MULTIPART, PART("name=a", "b"), "!-1");
    /* A head that the value could not be told from: no empty line before the name. */
    expect(MULTIPART, "--b\r\n\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--b--", "!-1");
}

static void test_head_limit(void **state)
{
    static char body[FORM_HEAD_MAX + 256];
    (void)state;
    for (size_t extra = 0; extra < 2; extra++) {
        size_t n = (size_t)snprintf(body, sizeof body,
                                    "--b\r\nContent-Disposition: form-data; name=a\r\nX: ");
        size_t fill = FORM_HEAD_MAX + 5 - n - 4 + extra;
        memset(body + n, 'x', fill);
        (void)snprintf(body + n + fill, sizeof body - n - fill, "\r\n\r\nv\r\n--b--");
        expect(MULTIPART, body, extra == 0 ? "a=v\n" : "!-1");
    }
}

/* Every cut of a good body is either refused or ends early; nothing reads beyond it. */
static void test_truncations(void **state)
{
    static const char whole[] = "--b\r\nContent-Disposition: form-data; name=\"torrent_file\"; "
                                "filename=\"a\\\"b\"\r\nContent-Type: x\r\n\r\nd4:infode\r\n"
                                "--b\r\nContent-Disposition: form-data; name=c\r\n\r\n\r\n--b--";
    (void)state;
    for (size_t n = 0; n + 1 < sizeof whole; n++) {
        char got[1024];
        char *exact = malloc(n + 1); /* of its own, so that the sanitizer sees its end */
        memcpy(exact, whole, n);
        walk(got, sizeof got, MULTIPART, span_of(exact, n));
        assert_true(n == 0 || strchr(got, '!') != NULL);
        free(exact);
    }
}

/* Any bytes: spans stay inside of the body, and the walk ends. */
static void test_any_bytes(void **state)
{
    static const char *const pieces[] = {
        "--b", "\r\n",       "\r\n--b", "--", "Content-Disposition:",
        ";",   " form-data", "name=",   "\"", "\\",
        "a",   "%4",         "&",       "=",  "+"};
    struct rng rng = {3};
    (void)state;
    for (int round = 0; round < 20000; round++) {
        uint8_t body[256];
        size_t n = 0;
        while (n < 200 && rng_below(&rng, 24) != 0) {
            const char *piece = pieces[rng_below(&rng, sizeof pieces / sizeof pieces[0])];
            memcpy(body + n, piece, strlen(piece));
            n += strlen(piece);
        }
        struct form f;
        struct form_field field;
        const char *why = NULL;
        unsigned steps = 0;
        assert_int_equal(form_begin(&f, span_str(round % 2 == 0 ? MULTIPART : URLENCODED),
                                    span_of(body, n), &why),
                         0);
        while (form_next(&f, &field, &why) == 1) {
            assert_true(field.value.n == 0 ||
                        (field.value.p >= body && field.value.p + field.value.n <= body + n));
            assert_true(++steps <= FORM_FIELDS_MAX);
        }
    }
}

static void test_a_value_that_is_too_long(void **state)
{
    struct form f;
    struct form_field field;
    const char *why = NULL;
    struct buf out;
    (void)state;
    assert_int_equal(form_begin(&f, SPAN(URLENCODED), SPAN("a=12345"), &why), 0);
    assert_int_equal(form_next(&f, &field, &why), 1);
    buf_init(&out, 4);
    assert_false(form_add_value(&out, &field));
    buf_release(&out);
    buf_init(&out, 5);
    assert_true(form_add_value(&out, &field));
    assert_true(span_eq(buf_span(&out), SPAN("12345")));
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_urlencoded),
        cmocka_unit_test(test_limits_of_names_and_fields),
        cmocka_unit_test(test_multipart),
        cmocka_unit_test(test_values_that_look_like_boundaries),
        cmocka_unit_test(test_broken_multipart),
        cmocka_unit_test(test_head_limit),
        cmocka_unit_test(test_truncations),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_a_value_that_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
