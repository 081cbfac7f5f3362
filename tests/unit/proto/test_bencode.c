#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "proto/bencode.h"

#include "unit/proto/wire.h"

static const struct bencode_limits tolerant = {1 << 20, 1 << 16, 1000, 10, false};
static const struct bencode_limits strict = {1 << 20, 1 << 16, 1000, 10, true};

struct vector {
    const char *text;
    int tolerant; /* bytes used, or an error */
    int strict;
};

static const struct vector vectors[] = {
    /* The examples of BEP 3. */
    {"4:spam", 6, 6},
    {"i3e", 3, 3},
    {"i-3e", 4, 4},
    {"i0e", 3, 3},
    {"l4:spam4:eggse", 14, 14},
    {"d3:cow3:moo4:spam4:eggse", 24, 24},
    {"d4:spaml1:a1:bee", 16, 16},
    /* BEP 3: "All encodings with a leading zero, such as i03e, are invalid". */
    {"i03e", 4, ERR_MALFORMED},
    {"i-0e", 4, ERR_MALFORMED},
    {"i-03e", 5, ERR_MALFORMED},
    {"i00e", 4, ERR_MALFORMED},
    {"04:spam", 7, ERR_MALFORMED},
    {"00:", 3, ERR_MALFORMED},
    {"d1:bi1e1:ai2ee", 14, ERR_MALFORMED},
    {"d1:ai1e1:ai2ee", 14, ERR_MALFORMED},
    {"d2:abi1e1:ai2ee", 15, ERR_MALFORMED},
    {"d0:i1e1:ai2e2:aai3ee", 20, 20},
    {"0:", 2, 2},
    {"le", 2, 2},
    {"de", 2, 2},
    {"lleldeee", 8, 8},
    {"i3ei4e", 3, 3},
    {"4:spamtail", 6, 6},
    {"", ERR_MALFORMED, ERR_MALFORMED},
    {"e", ERR_MALFORMED, ERR_MALFORMED},
    {"x", ERR_MALFORMED, ERR_MALFORMED},
    {"-1:a", ERR_MALFORMED, ERR_MALFORMED},
    {"ie", ERR_MALFORMED, ERR_MALFORMED},
    {"i-e", ERR_MALFORMED, ERR_MALFORMED},
    {"i+1e", ERR_MALFORMED, ERR_MALFORMED},
    {"i 1e", ERR_MALFORMED, ERR_MALFORMED},
    {"i1.5e", ERR_MALFORMED, ERR_MALFORMED},
    {"i--1e", ERR_MALFORMED, ERR_MALFORMED},
    {"4 :spam", ERR_MALFORMED, ERR_MALFORMED},
    {"di1ei2ee", ERR_MALFORMED, ERR_MALFORMED},
    {"dlei2ee", ERR_MALFORMED, ERR_MALFORMED},
    {"d1:ae", ERR_MALFORMED, ERR_MALFORMED},
    {"d1:a", ERR_MALFORMED, ERR_MALFORMED},
    {"5:spam", ERR_MALFORMED, ERR_MALFORMED},
    {"65536:x", ERR_MALFORMED, ERR_MALFORMED},
    {"65537:x", ERR_LIMIT, ERR_LIMIT},
    {"18446744073709551616:x", ERR_LIMIT, ERR_LIMIT},
    {"99999999999999999999999999:x", ERR_LIMIT, ERR_LIMIT},
    {"lllllllllleeeeeeeeee", 20, 20},
    {"llllllllllleeeeeeeeeee", ERR_LIMIT, ERR_LIMIT},
};

static ssize_t decode(struct span in, const struct bencode_limits *lim)
{
    struct bencode v;
    const char *why = NULL;
    struct span copy = exact_copy(in);
    ssize_t n = bencode_decode(&v, copy, lim, &why);
    assert_true((n > 0) == (why == NULL));
    assert_int_equal(v.raw.n, n > 0 ? n : 0);
    exact_free(copy);
    return n;
}

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const struct vector *v = &vectors[i];
        if (decode(span_str(v->text), &tolerant) != v->tolerant ||
            decode(span_str(v->text), &strict) != v->strict) {
            fail_msg("%s", v->text);
        }
    }
}

static void test_every_truncation_is_malformed(void **state)
{
    (void)state;
    struct span all = SPAN("d1:ad2:id20:abcdefghij0123456789e1:ll1:xi-7eli0eee1:q4:ping1:y1:qe");
    assert_int_equal(decode(all, &strict), all.n);
    for (size_t n = 0; n < all.n; n++) {
        assert_int_equal(decode(span_sub(all, 0, n), &strict), ERR_MALFORMED);
        assert_int_equal(decode(span_sub(all, 0, n), &tolerant), ERR_MALFORMED);
    }
}

static void test_limits_at_and_behind_the_edge(void **state)
{
    (void)state;
    struct span v = SPAN("d1:al3:xyzi1eee"); /* 15 bytes, 3-byte string, 5 items, depth 2 */
    struct bencode_limits exact = {.len_max = 15, .string_max = 3, .items_max = 5, .depth_max = 2};
    assert_int_equal(decode(v, &exact), 15);
    for (int i = 0; i < 4; i++) {
        struct bencode_limits less = exact;
        less.len_max -= i == 0;
        less.string_max -= i == 1;
        less.items_max -= i == 2;
        less.depth_max -= i == 3;
        assert_int_equal(decode(v, &less), ERR_LIMIT);
    }
    struct bencode_limits none = {.len_max = 15, .string_max = 3, .items_max = 5, .depth_max = 0};
    assert_int_equal(decode(SPAN("i1e"), &none), 3);
    assert_int_equal(decode(SPAN("le"), &none), ERR_LIMIT);
}

static void test_deepest_and_one_more(void **state)
{
    (void)state;
    uint8_t text[2 * (BENCODE_DEPTH_MAX + 1)];
    struct bencode_limits lim = {sizeof text, 10, 1000, BENCODE_DEPTH_MAX, true};
    memset(text, 'l', BENCODE_DEPTH_MAX);
    memset(text + BENCODE_DEPTH_MAX, 'e', BENCODE_DEPTH_MAX);
    assert_int_equal(decode(span_of(text, 2 * BENCODE_DEPTH_MAX), &lim), 2 * BENCODE_DEPTH_MAX);
    memset(text, 'l', BENCODE_DEPTH_MAX + 1);
    memset(text + BENCODE_DEPTH_MAX + 1, 'e', BENCODE_DEPTH_MAX + 1);
    assert_int_equal(decode(span_of(text, sizeof text), &lim), ERR_LIMIT);
}

static struct bencode view(const char *text)
{
    struct bencode v;
    const char *why;
    assert_int_equal(bencode_decode(&v, span_str(text), &tolerant, &why), strlen(text));
    return v;
}

static void test_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool fits;
        int64_t value;
    } ints[] = {
        {"i0e", true, 0},
        {"i-0e", true, 0},
        {"i007e", true, 7},
        {"i-1e", true, -1},
        {"i9223372036854775807e", true, INT64_MAX},
        {"i9223372036854775808e", false, 0},
        {"i-9223372036854775808e", true, INT64_MIN},
        {"i-9223372036854775809e", false, 0},
        {"i99999999999999999999999e", false, 0},
    };
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        int64_t v = 42;
        assert_int_equal(bencode_int(view(ints[i].text), &v), ints[i].fits);
        assert_true(v == (ints[i].fits ? ints[i].value : 42));
    }
}

static void test_lookup(void **state)
{
    (void)state;
    struct bencode v = view("d4:listl1:ai1ee3:numi7e1:sd1:xi9ee3:str5:hello3:numi8e0:i1ee");
    struct span s;
    int64_t n;
    assert_int_equal(bencode_type(v), BENCODE_DICT);
    assert_true(bencode_get_int(v, SPAN("num"), &n));
    assert_int_equal(n, 7); /* the first of two */
    assert_true(bencode_get_int(v, SPAN(""), &n));
    assert_int_equal(n, 1);
    assert_true(bencode_get_string(v, SPAN("str"), &s));
    assert_span(s, "hello");
    assert_false(bencode_get_string(v, SPAN("num"), &s));
    assert_false(bencode_get_int(v, SPAN("str"), &n));
    assert_false(bencode_get_int(v, SPAN("x"), &n)); /* not of the inner one */
    assert_true(bencode_get_int(bencode_get(v, SPAN("s")), SPAN("x"), &n));
    assert_int_equal(n, 9);
    assert_int_equal(bencode_type(bencode_get(v, SPAN("nothing"))), BENCODE_NONE);
    assert_int_equal(bencode_type(bencode_get(view("l3:numi7ee"), SPAN("num"))), BENCODE_NONE);
    assert_span(bencode_get(v, SPAN("list")).raw, "l1:ai1ee");
}

static void test_walks(void **state)
{
    (void)state;
    struct bencode item;
    struct span key;
    struct bencode_walk at = bencode_walk(view("l2:ab"
                                               "d1:kl1:eee"
                                               "i-5e"
                                               "lee"));
    static const char *const items[] = {"2:ab", "d1:kl1:eee", "i-5e", "le"};
    for (size_t i = 0; i < 4; i++) {
        assert_true(bencode_next(&at, &item));
        assert_span(item.raw, items[i]);
    }
    assert_false(bencode_next(&at, &item));
    at = bencode_walk(view("d1:a2:xx2:bbdee"));
    assert_true(bencode_next_pair(&at, &key, &item));
    assert_span(key, "a");
    assert_span(item.raw, "2:xx");
    assert_true(bencode_next_pair(&at, &key, &item));
    assert_span(key, "bb");
    assert_span(item.raw, "de");
    assert_false(bencode_next_pair(&at, &key, &item));
    at = bencode_walk(view("l1:ai1ee"));
    assert_false(bencode_next_pair(&at, &key, &item)); /* a list has no pairs */
    at = bencode_walk(view("1:a"));
    assert_false(bencode_next(&at, &item));
}

static void test_no_value_is_of_no_type(void **state)
{
    (void)state;
    struct bencode none = {{NULL, 0}};
    struct bencode_walk at = bencode_walk(none);
    struct bencode item;
    struct span s;
    int64_t n;
    assert_int_equal(bencode_type(none), BENCODE_NONE);
    assert_false(bencode_int(none, &n));
    assert_false(bencode_string(none, &s));
    assert_false(bencode_next(&at, &item));
    assert_int_equal(bencode_type(bencode_get(none, SPAN("a"))), BENCODE_NONE);
}

static void write_sample(struct wr *w)
{
    bencode_write_dict_begin(w);
    bencode_write_string(w, SPAN("a"));
    bencode_write_int(w, INT64_MIN);
    bencode_write_string(w, SPAN("b"));
    bencode_write_list_begin(w);
    bencode_write_int(w, 0);
    bencode_write_string(w, SPAN(""));
    bencode_write_int(w, INT64_MAX);
    bencode_write_end(w);
    bencode_write_end(w);
}

static void test_encoder(void **state)
{
    (void)state;
    static const char expected[] = "d1:ai-9223372036854775808e1:bli0e0:i9223372036854775807eee";
    uint8_t out[sizeof expected];
    struct wr w = wr_over(out, sizeof expected - 1);
    write_sample(&w);
    assert_false(w.bad);
    assert_span(wr_span(&w), expected);
    for (size_t n = 0; n < sizeof expected - 1; n++) {
        w = wr_over(out, n);
        write_sample(&w);
        assert_true(w.bad);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_every_truncation_is_malformed),
        cmocka_unit_test(test_limits_at_and_behind_the_edge),
        cmocka_unit_test(test_deepest_and_one_more),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_walks),
        cmocka_unit_test(test_no_value_is_of_no_type),
        cmocka_unit_test(test_encoder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
