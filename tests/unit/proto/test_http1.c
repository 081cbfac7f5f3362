#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "proto/http1.h"

#include "unit/proto/wire.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define HOST         "Host: t.example\r\n"

/* Decodes the whole and every prefix: each prefix gets 0 or the answer of the whole. */
static ssize_t decode(struct http1_request *out, struct span in, const char **why)
{
    static struct http1_request part;
    *why = NULL;
    ssize_t n = http1_request_decode(out, in, why);
    assert_true((n < 0) == (*why != NULL));
    for (size_t cut = 0; cut < in.n; cut++) {
        const char *part_why = NULL;
        struct span copy = exact_copy(span_sub(in, 0, cut));
        ssize_t m = http1_request_decode(&part, copy, &part_why);
        assert_true(m == 0 || (m == n && part_why == *why));
        assert_true(n < 0 || (m > 0) == (cut >= (size_t)n && n > 0));
        exact_free(copy);
    }
    return n;
}

static void test_valid_heads(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum http1_method method;
        uint8_t minor;
        bool keep_alive;
        bool has_body;
        const char *path;
        const char *query;
        size_t n_fields;
    } rows[] = {
        {"GET / HTTP/1.0\r\n\r\n", HTTP1_GET, 0, false, false, "/", "", 0},
        {"GET / HTTP/1.1\r\n" HOST "\r\n", HTTP1_GET, 1, true, false, "/", "", 1},
        {"GET / HTTP/1.9\r\n" HOST "\r\n", HTTP1_GET, 1, true, false, "/", "", 1},
        {"HEAD /a?b=c HTTP/1.0\r\n\r\n", HTTP1_HEAD, 0, false, false, "/a", "b=c", 0},
        {"get / HTTP/1.0\r\n\r\n", HTTP1_OTHER, 0, false, false, "/", "", 0},
        {"GETS / HTTP/1.0\r\n\r\n", HTTP1_OTHER, 0, false, false, "/", "", 0},
        {"OPTIONS * HTTP/1.0\r\n\r\n", HTTP1_OTHER, 0, false, false, "*", "", 0},
        {"GET /a? HTTP/1.0\r\n\r\n", HTTP1_GET, 0, false, false, "/a", "", 0},
        {"GET /a?b?c/d HTTP/1.0\r\n\r\n", HTTP1_GET, 0, false, false, "/a", "b?c/d", 0},
        {"GET ?b HTTP/1.0\r\n\r\n", HTTP1_GET, 0, false, false, "/", "b", 0},
        {"GET /\xc3\xa9\xff HTTP/1.0\r\n\r\n", HTTP1_GET, 0, false, false, "/\xc3\xa9\xff", "", 0},
        {"GET http://h:1/a?b HTTP/1.0\r\n\r\n", HTTP1_GET, 0, false, false, "/a", "b", 0},
        {"GET HTTP://h HTTP/1.0\r\n\r\n", HTTP1_GET, 0, false, false, "/", "", 0},
        {"GET http://h?b HTTP/1.0\r\n\r\n", HTTP1_GET, 0, false, false, "/", "b", 0},
        {"\r\n\n\r\nGET / HTTP/1.0\r\n\r\n", HTTP1_GET, 0, false, false, "/", "", 0},
        {"GET / HTTP/1.1\nHost: x\n\n", HTTP1_GET, 1, true, false, "/", "", 1},
        {"GET / HTTP/1.1\r\nhOST:\r\n\r\n", HTTP1_GET, 1, true, false, "/", "", 1},
        {"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", HTTP1_GET, 1, false, false, "/", "",
         2},
        {"GET / HTTP/1.1\r\n" HOST "connection: x,\t CLOSE ,y\r\n\r\n", HTTP1_GET, 1, false, false,
         "/", "", 2},
        {"GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n", HTTP1_GET, 1, true, false, "/", "",
         2},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", HTTP1_GET, 0, true, false, "/", "", 1},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", HTTP1_GET, 0,
         false, false, "/", "", 2},
        {"GET / HTTP/1.0\r\nContent-Length: 0\r\n\r\n", HTTP1_GET, 0, false, false, "/", "", 1},
        {"GET / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx", HTTP1_GET, 0, false, true, "/", "", 1},
        {"GET / HTTP/1.0\r\nContent-Length: 2\r\ncontent-length: 02\r\n\r\n", HTTP1_GET, 0, false,
         true, "/", "", 2},
        {"GET / HTTP/1.0\r\nContent-Length: 18446744073709551615\r\n\r\n", HTTP1_GET, 0, false,
         true, "/", "", 1},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP1_OTHER, 0, false, true, "/",
         "", 1},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct http1_request r;
        const char *why;
        struct span in = span_str(rows[i].text);
        ssize_t n = decode(&r, in, &why);
        size_t body = rows[i].text[in.n - 1] == 'x' ? 1 : 0;
        if (n != (ssize_t)(in.n - body)) {
            fail_msg("%s: %s", rows[i].text, why == NULL ? "needs more" : why);
        }
        assert_int_equal(r.method, rows[i].method);
        assert_int_equal(r.minor, rows[i].minor);
        assert_int_equal(r.keep_alive, rows[i].keep_alive);
        assert_int_equal(r.has_body, rows[i].has_body);
        assert_span(r.path, rows[i].path);
        assert_span(r.query, rows[i].query);
        assert_int_equal(r.n_fields, rows[i].n_fields);
    }
}

static void test_malformed_heads(void **state)
{
    (void)state;
    static const char *const rows[] = {
        " GET / HTTP/1.0\r\n\r\n",
        "GET\r\n\r\n",
        "GET /\r\n\r\n", /* HTTP/0.9 */
        "GET  / HTTP/1.0\r\n\r\n",
        "GET / \r\n\r\n",
        "GET\t/ HTTP/1.0\r\n\r\n",
        "G(T / HTTP/1.0\r\n\r\n",
        "GET /a b HTTP/1.0\r\n\r\n",
        "GET /a\x7f HTTP/1.0\r\n\r\n",
        "GET /aaaaaaaaaaaaaaaa\x01 HTTP/1.0\r\n\r\n",
        "GET /\t HTTP/1.0\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.\r\n\r\n",
        "GET / HTTP/1.10\r\n\r\n",
        "GET / http/1.1\r\n\r\n",
        "GET / HTTP/1.0 \r\n\r\n",
        "GET / HTTP/1.0\rX: y\r\n\r\n",
        "\rGET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST HOST "\r\n",
        "GET / HTTP/1.0\r\n" HOST "host: other\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost\r\n\r\n",
        "GET / HTTP/1.1\r\n: x\r\n\r\n",
        "GET / HTTP/1.1\r\nH\xc3\xb6st: x\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST " folded\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "\tfolded\r\n\r\n",
        "GET / HTTP/1.1\r\n X: y\r\n" HOST "\r\n",
        "GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "X: a\x01"
        "b\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "X: aaaaaaaaaaaaaaaaaaa\x7f"
        "b\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "X: a\r\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "\rX",
        "GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551616\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: x\r\nContent-Length: 0\r\n\r\n",
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct http1_request r;
        const char *why;
        if (decode(&r, span_str(rows[i]), &why) != ERR_MALFORMED) {
            fail_msg("%s", rows[i]);
        }
    }
}

static void test_nul_is_a_control_byte(void **state)
{
    (void)state;
    struct http1_request r;
    const char *why;
    assert_int_equal(decode(&r, SPAN("GET /\0 HTTP/1.0\r\n\r\n"), &why), ERR_MALFORMED);
    assert_int_equal(decode(&r, SPAN("GET / HTTP/1.0\r\nX: \0\r\n\r\n"), &why), ERR_MALFORMED);
    assert_int_equal(decode(&r, SPAN("GET / HTTP/1.0\r\nX\0: y\r\n\r\n"), &why), ERR_MALFORMED);
}

/* Each byte, at each place of an eight-byte step. */
static void test_bytes_of_targets_and_values(void **state)
{
    (void)state;
    struct http1_request r;
    const char *why = NULL;
    for (int c = 0; c < 256; c++) {
        for (size_t at = 0; at < 17; at++) {
            char target[] = "GET /aaaaaaaaaaaaaaaaaaaaaaa HTTP/1.0\r\n\r\n";
            char value[] = "GET / HTTP/1.0\r\nX: aaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n";
            target[5 + at] = (char)c;
            value[20 + at] = (char)c;
            bool text = c >= 0x20 && c != 0x7f;
            ssize_t n = http1_request_decode(&r, span_of(target, sizeof target - 1), &why);
            assert_int_equal(n, text && c != ' ' ? (int)sizeof target - 1 : ERR_MALFORMED);
            if (c != '\r' && c != '\n') {
                n = http1_request_decode(&r, span_of(value, sizeof value - 1), &why);
                assert_int_equal(n, text || c == '\t' ? (int)sizeof value - 1 : ERR_MALFORMED);
            }
        }
    }
}

static size_t put_fields(uint8_t *out, size_t cap, size_t n_fields)
{
    struct wr w = wr_over(out, cap);
    wr_bytes(&w, SPAN("GET / HTTP/1.0\r\n"));
    for (size_t i = 0; i < n_fields; i++) {
        wr_bytes(&w, SPAN("a: b\r\n"));
    }
    wr_bytes(&w, SPAN("\r\n"));
    assert_false(w.bad);
    return wr_len(&w);
}

static void test_field_limit(void **state)
{
    (void)state;
    uint8_t head[1024];
    struct http1_request r;
    const char *why;
    size_t n = put_fields(head, sizeof head, HTTP1_FIELDS_MAX);
    assert_int_equal(decode(&r, span_of(head, n), &why), n);
    assert_int_equal(r.n_fields, HTTP1_FIELDS_MAX);
    n = put_fields(head, sizeof head, HTTP1_FIELDS_MAX + 1);
    assert_int_equal(decode(&r, span_of(head, n), &why), ERR_LIMIT);
}

static void test_head_limit(void **state)
{
    (void)state;
    static uint8_t head[HTTP1_HEAD_MAX + 8];
    static const char end[] = " HTTP/1.0\r\n\r\n";
    struct http1_request r;
    const char *why = NULL;
    for (size_t len = HTTP1_HEAD_MAX - 1; len <= HTTP1_HEAD_MAX + 1; len++) {
        memset(head, 'a', sizeof head);
        memcpy(head, "GET /", 5);
        memcpy(head + len - strlen(end), end, strlen(end));
        ssize_t n = http1_request_decode(&r, span_of(head, len), &why);
        assert_int_equal(n, len <= HTTP1_HEAD_MAX ? (ssize_t)len : ERR_LIMIT);
    }
    memset(head, 'a', sizeof head);
    memcpy(head, "GET /", 5);
    assert_int_equal(http1_request_decode(&r, span_of(head, HTTP1_HEAD_MAX - 1), &why), 0);
    assert_int_equal(http1_request_decode(&r, span_of(head, HTTP1_HEAD_MAX), &why), ERR_LIMIT);
    memset(head, '\n', sizeof head);
    assert_int_equal(http1_request_decode(&r, span_of(head, sizeof head), &why), ERR_LIMIT);
}

static void test_values(void **state)
{
    (void)state;
    struct http1_request r;
    const char *why;
    struct span in = SPAN("GET / HTTP/1.1\r\nHost:\t t.example \t\r\nX-Forwarded-For: 1.1.1.1\r\n"
                          "Empty:\r\nBlank: \t \r\nx-forwarded-for:2.2.2.2\r\nTab: a\tb c\r\n\r\n");
    assert_int_equal(decode(&r, in, &why), in.n);
    assert_int_equal(r.n_fields, 6);
    assert_true(http1_name_is(&r.fields[1], "x-forwarded-for"));
    assert_false(http1_name_is(&r.fields[1], "x-forwarded-fo"));
    assert_span(r.fields[1].name, "X-Forwarded-For");
    size_t at = 0;
    struct span value;
    assert_true(http1_next_value(&r, "host", &at, &value));
    assert_span(value, "t.example");
    assert_false(http1_next_value(&r, "host", &at, &value));
    at = 0;
    assert_true(http1_next_value(&r, "x-forwarded-for", &at, &value));
    assert_span(value, "1.1.1.1");
    assert_true(http1_next_value(&r, "x-forwarded-for", &at, &value));
    assert_span(value, "2.2.2.2");
    assert_false(http1_next_value(&r, "x-forwarded-for", &at, &value));
    at = 0;
    assert_true(http1_next_value(&r, "empty", &at, &value));
    assert_span(value, "");
    assert_true(http1_next_value(&r, "blank", &at, &value));
    assert_span(value, "");
    assert_true(http1_next_value(&r, "tab", &at, &value));
    assert_span(value, "a\tb c");
}

static void test_pipelined_requests(void **state)
{
    (void)state;
    struct http1_request r;
    const char *why;
    struct span in = SPAN("GET /1 HTTP/1.0\r\n\r\nGET /2 HTTP/1.0\r\n\r\n");
    ssize_t n = decode(&r, in, &why);
    assert_span(r.path, "/1");
    assert_int_equal(decode(&r, span_sub(in, (size_t)n, in.n), &why), in.n - (size_t)n);
    assert_span(r.path, "/2");
}

static void test_get_encode(void **state)
{
    (void)state;
    uint8_t out[256];
    struct http1_request r;
    const char *why;
    for (int keep_alive = 0; keep_alive <= 1; keep_alive++) {
        struct wr w = wr_over(out, sizeof out);
        http1_get_encode(&w, SPAN("t.example:7070"), SPAN("/announce?a=b"), keep_alive);
        assert_int_equal(decode(&r, wr_span(&w), &why), wr_len(&w));
        assert_int_equal(r.method, HTTP1_GET);
        assert_int_equal(r.keep_alive, keep_alive);
        assert_span(r.path, "/announce");
        assert_span(r.query, "a=b");
        assert_span(r.fields[0].value, "t.example:7070");
    }
    static const char *const bad[] = {"", "/a b", "/a\r\nX: y", "/\x7f"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct wr w = wr_over(out, sizeof out);
        http1_get_encode(&w, SPAN("t.example"), span_str(bad[i]), true);
        assert_true(w.bad);
        assert_int_equal(wr_len(&w), 0);
    }
    struct wr w = wr_over(out, sizeof out);
    http1_get_encode(&w, SPAN("t.example\r\nX: y"), SPAN("/"), true);
    assert_true(w.bad);
}

static void test_real_clients(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        const char *path;
        const char *host;
        bool keep_alive;
    } rows[] = {
        {"http_announce_started_aria2.bin", "/announce", "127.0.0.1:17070", true},
        {"http_announce_started_libtorrent.bin", "/announce", "127.0.0.1:17070", false},
        {"http_announce_stopped_libtorrent.bin", "/announce", "127.0.0.1:17070", false},
        {"http_scrape_libtorrent.bin", "/scrape", "127.0.0.1:17070", false},
        {"http_announce_started_transmission.bin", "/announce", "127.0.0.1:17070", true},
        {"http_announce_stopped_transmission.bin", "/announce", "127.0.0.1:17070", true},
        {"http_scrape_transmission.bin", "/scrape", "127.0.0.1:17070", true},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct http1_request r;
        const char *why;
        size_t at = 0;
        struct span host;
        struct span in = wire_file(rows[i].file);
        assert_int_equal(decode(&r, in, &why), in.n);
        assert_int_equal(r.method, HTTP1_GET);
        assert_int_equal(r.keep_alive, rows[i].keep_alive);
        assert_false(r.has_body);
        assert_span(r.path, rows[i].path);
        assert_true(http1_next_value(&r, "host", &at, &host));
        assert_span(host, rows[i].host);
        exact_free(in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid_heads),
        cmocka_unit_test(test_malformed_heads),
        cmocka_unit_test(test_nul_is_a_control_byte),
        cmocka_unit_test(test_bytes_of_targets_and_values),
        cmocka_unit_test(test_field_limit),
        cmocka_unit_test(test_head_limit),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_pipelined_requests),
        cmocka_unit_test(test_get_encode),
        cmocka_unit_test(test_real_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
