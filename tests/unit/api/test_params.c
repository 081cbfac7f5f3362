/* What clients write into paths, queries and bodies: hashes, lists of them, numbers, keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/bulk.h"
#include "api/hash_param.h"
#include "api/key_body.h"
#include "api/peer_client.h"
#include "api/query.h"
#include "base/err.h"

#include "base/banned.h"

static const char HEX[] = "7b5e918f364908afab937ecdd84059dfb61102b7";

static void test_hash_forms(void **state)
{
    static const char *const good[] = {
        "7b5e918f364908afab937ecdd84059dfb61102b7",
        "7B5E918F364908AFAB937ECDD84059DFB61102B7",
        "PNPJDDZWJEEK7K4TP3G5QQCZ363BCAVX",
        "pnpjddzwjeek7k4tp3g5qqcz363bcavx",
        "\x7b\x5e\x91\x8f\x36\x49\x08\xaf\xab\x93\x7e\xcd\xd8\x40\x59\xdf\xb6\x11\x02\xb7",
        ("\x7b\x5e\xc2\x91\xc2\x8f\x36\x49\x08\xc2\xaf\xc2\xab\xc2\x93\x7e\xc3\x8d\xc3\x98\x40\x59"
         "\xc3\x9f\xc2\xb6\x11\x02\xc2\xb7"),
    };
    static const char *const bad[] = {
        "",
        "0",
        "-1",
        "1.1",
        "INVALID INFOHASH",
        "7b5e918f364908afab937ecdd84059dfb61102b",
        "7b5e918f364908afab937ecdd84059dfb61102bx",
        "7b5e918f364908afab937ecdd84059dfb61102b7a",
        "PNPJDDZWJEEK7K4TP3G5QQCZ363BCAV1",
        "PNPJDDZWJEEK7K4TP3G5QQCZ363BCAV",
        ("\xc4\x80"
         "aaaaaaaaaaaaaaaaaaa"),
        ("\xc2"
         "aaaaaaaaaaaaaaaaaaaa"),
        "aaaaaaaaaaaaaaaaaaaa\xc2",
    };
    struct infohash want;
    struct infohash got;
    (void)state;
    assert_true(hex_decode(want.b, sizeof want.b, span_str(HEX)));
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(hash_param_parse(&got, span_str(good[i])));
        assert_true(infohash_eq(&got, &want));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (hash_param_parse(&got, span_str(bad[i]))) {
            fail_msg("accepted: %s", bad[i]);
        }
    }
}

static void test_bulk_good(void **state)
{
    static const struct {
        bool json;
        const char *body;
        size_t n;
    } cases[] = {
        {false, "", 0},
        {false, "\n\r\n  \n", 0},
        {false, "7b5e918f364908afab937ecdd84059dfb61102b7", 1},
        {false,
         "7b5e918f364908afab937ecdd84059dfb61102b7\r\n\r\n PNPJDDZWJEEK7K4TP3G5QQCZ363BCAVX \n", 2},
        {true, "[]", 0},
        {true, " [ ] ", 0},
        {true, "[\"7b5e918f364908afab937ecdd84059dfb61102b7\"]", 1},
        {true,
         "[ \"7b5e918f364908afab937ecdd84059dfb61102b7\" "
         ",\n\"PNPJDDZWJEEK7K4TP3G5QQCZ363BCAVX\"\n]\n",
         2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out;
        struct bulk_error bad;
        buf_init(&out, 1000);
        struct span body = span_str(cases[i].body);
        assert_int_equal(cases[i].json ? bulk_parse_json(&out, body, &bad)
                                       : bulk_parse_text(&out, body, &bad),
                         0);
        assert_int_equal(out.len, cases[i].n * 20);
        buf_release(&out);
    }
}

static void test_bulk_bad(void **state)
{
    static const struct {
        bool json;
        int status;
        size_t line;
        const char *value;
        const char *body;
    } cases[] = {
        {false, ERR_INVALID, 3, "zz", "7b5e918f364908afab937ecdd84059dfb61102b7\n\nzz\n"},
        {false, ERR_INVALID, 1, "aaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaa"},
        {true, ERR_INVALID, 2, "", "[\"7b5e918f364908afab937ecdd84059dfb61102b7\", \"\"]"},
        {true, ERR_INVALID, 1, "\\", "[\"\\\"x\"]"},
        {true, ERR_MALFORMED, 1, "1", "[1]"},
        {true, ERR_MALFORMED, 1, ",", "[\"7b5e918f364908afab937ecdd84059dfb61102b7\",]"},
        {true, ERR_MALFORMED, 1, "\"", "[\"7b5e918f364908afab937ecdd84059dfb61102b7\"\"]"},
        {true, ERR_MALFORMED, 1, "\"x", "[\"x]"},
        {true, ERR_MALFORMED, 1, "[", "[[]"},
        {true, ERR_MALFORMED, 0, "{}", "{}"},
        {true, ERR_MALFORMED, 0, "[", "["},
        {true, ERR_MALFORMED, 0, "", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out;
        struct bulk_error bad;
        buf_init(&out, 1000);
        struct span body = span_str(cases[i].body);
        int status =
            cases[i].json ? bulk_parse_json(&out, body, &bad) : bulk_parse_text(&out, body, &bad);
        if (status != cases[i].status || bad.line != cases[i].line ||
            !span_eq(bad.value, span_str(cases[i].value))) {
            fail_msg("case %zu: %d, line %zu: %.*s", i, status, bad.line, (int)bad.value.n,
                     (const char *)bad.value.p);
        }
        buf_release(&out);
    }
}

static void test_bulk_limit(void **state)
{
    struct buf out;
    struct bulk_error bad;
    (void)state;
    buf_init(&out, 39);
    assert_int_equal(bulk_parse_text(&out,
                                     SPAN("7b5e918f364908afab937ecdd84059dfb61102b7\n"
                                          "7b5e918f364908afab937ecdd84059dfb61102b7"),
                                     &bad),
                     ERR_LIMIT);
    buf_release(&out);
}

static void test_query(void **state)
{
    struct span v;
    uint8_t text[QUERY_VALUE_MAX];
    uint64_t n = 7;
    bool bad = false;
    (void)state;
    assert_false(query_raw(SPAN("a=1&&b"), "c", &v));
    assert_true(query_raw(SPAN("a=1&&b"), "b", &v));
    assert_int_equal(v.n, 0);
    assert_true(query_raw(SPAN("a=1&a=2"), "a", &v));
    assert_true(span_eq(v, SPAN("2")));
    assert_int_equal(query_decode(text, SPAN("a+b%2b")), 4);
    assert_memory_equal(text, "a b+", 4);
    assert_int_equal(query_decode(text, SPAN("%g0")), -1);
    assert_false(query_u64(SPAN("x=1"), "limit", UINT64_MAX, &n, &bad));
    assert_false(query_u64(SPAN("limit="), "limit", UINT64_MAX, &n, &bad));
    assert_false(bad);
    assert_int_equal(n, 7);
    assert_true(query_u64(SPAN("limit=18446744073709551615"), "limit", UINT64_MAX, &n, &bad));
    assert_true(n == UINT64_MAX);
    static const char *const wrong[] = {"limit=-1", "limit=1.1",     "limit=%20",
                                        "limit=+",  "limit=INVALID", "limit=18446744073709551616",
                                        "limit=1%"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        bad = false;
        assert_false(query_u64(span_str(wrong[i]), "limit", UINT64_MAX, &n, &bad));
        assert_true(bad);
    }
}

static void test_key_body(void **state)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"{\"key\":null,\"seconds_valid\":null}", 0},
        {" {\"key\":\"x\",\"seconds_valid\":1,\"label\":\"l\"} \n", 0},
        {"{\"key\":null,\"seconds_valid\":18446744073709551615}", 0},
        {"{\"a\":{\"seconds_valid\":[\"}\\\"\",1]},\"b\\\"\":{},\"key\":null, \"seconds_valid\" : "
         "7 }",
         0},
        {"{\"key\":null,\"seconds_valid\":1,\"label\":\"a\\u0000b\"}", ERR_INVALID},
        {"{\"key\":null,\"seconds_valid\":1.0}", ERR_INVALID},
        {"{\"key\":null,\"seconds_valid\":[1]}", ERR_INVALID},
        {"{\"seconds_valid\":1}", ERR_INVALID},
        {"{\"key\":null}", ERR_INVALID},
        {"{\"KEY\":null,\"seconds_valid\":1}", ERR_INVALID},
        {"{\"key\":1,\"seconds_valid\":1}", ERR_INVALID},
        {"{\"key\":null,\"seconds_valid\":-1}", ERR_INVALID},
        {"{\"key\":null,\"seconds_valid\":1.5}", ERR_INVALID},
        {"{\"key\":null,\"seconds_valid\":1e30}", ERR_INVALID},
        {"{\"key\":null,\"seconds_valid\":1e999}", ERR_INVALID},
        {"{\"key\":null,\"seconds_valid\":18446744073709551616}", ERR_INVALID},
        {"{\"key\":null,\"seconds_valid\":\"1\"}", ERR_INVALID},
        {"{\"key\":null,\"seconds_valid\":1,\"label\":1}", ERR_INVALID},
        {"[]", ERR_INVALID},
        {"null", ERR_INVALID},
        {"", ERR_MALFORMED},
        {"{", ERR_MALFORMED},
        {"{} x", ERR_MALFORMED},
        {"{\"key\":null,\"seconds_valid\":1}}", ERR_MALFORMED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct key_body body;
        const char *why = NULL;
        int status = key_body_parse(&body, span_str(cases[i].text), &why);
        if (status != cases[i].status) {
            fail_msg("case %zu: %d", i, status);
        }
        if (status == 0) {
            key_body_release(&body);
        } else {
            assert_non_null(why);
        }
    }
    struct key_body body;
    const char *why;
    assert_int_equal(key_body_parse(&body, SPAN("{\"key\":\"\",\"seconds_valid\":3600}"), &why), 0);
    assert_non_null(body.req.key.p); /* an empty key is given, and wrong; it is not "none given" */
    assert_int_equal(body.req.seconds_valid, 3600);
    assert_true(span_eq(body.seconds, SPAN("3600")));
    assert_false(body.req.permanent);
    key_body_release(&body);
    assert_int_equal(key_body_parse(&body, SPAN("{\"key\":null,\"seconds_valid\":1}\0"), &why),
                     ERR_MALFORMED);
}

static void test_peer_clients(void **state)
{
    static const struct {
        const char *id;
        const char *name;
    } cases[] = {
        {"-qB4380-abcdefghijkl", "qBittorrent"},
        {"-TR3000-abcdefghijkl", "Transmission"},
        {"-UT3550-abcdefghijkl", "\xc2\xb5Torrent"},
        {"-lt0D80-abcdefghijkl", "libTorrent"},
        {"-LT2080-abcdefghijkl", "libtorrent"},
        {"-DE2110-abcdefghijkl", "DelugeTorrent"},
        {"-AZ5750-abcdefghijkl", "Azureus"},
        {"-WW0102-abcdefghijkl", "WebTorrent"},
        {"M4-3-6--abcdefghijkl", "BitTorrent"},
        {"A2-1-36-0-abcdefghij", "aria2"},
        {"-qB4380xabcdefghijkl", NULL},
        {"xqB4380-abcdefghijkl", NULL},
        {"-\0\0"
         "4380-abcdefghijkl",
         NULL},
        {"-!!4380-abcdefghijkl", NULL},
        {"abcdefghijklmnopqrst", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct peer_id id;
        memcpy(id.b, cases[i].id, sizeof id.b);
        const char *name = peer_client_name(&id);
        if (cases[i].name == NULL) {
            assert_null(name);
        } else {
            assert_string_equal(name, cases[i].name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_forms),   cmocka_unit_test(test_bulk_good),
        cmocka_unit_test(test_bulk_bad),     cmocka_unit_test(test_bulk_limit),
        cmocka_unit_test(test_query),        cmocka_unit_test(test_key_body),
        cmocka_unit_test(test_peer_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
