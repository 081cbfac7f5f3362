#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "proto/http1_body.h"

#include "unit/proto/wire.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define CHUNKED      "Transfer-Encoding: chunked\r\n"

enum { CONTENT_MAX = 4096 };

/* Behind "POST / HTTP/1.minor" and fields; returns what http1_body_begin does. */
static int begin(struct http1_body *b, int minor, const char *fields)
{
    static struct http1_request req;
    char head[512];
    const char *why = NULL;
    int n = snprintf(head, sizeof head, "POST / HTTP/1.%d\r\nHost: x\r\n%s\r\n", minor, fields);
    assert_int_equal(http1_request_decode(&req, span_of(head, (size_t)n), &why), n);
    int rc = http1_body_begin(b, &req, &why);
    assert_true((rc < 0) == (why != NULL));
    return rc;
}

/* Feeds at most step bytes a call. returns bytes taken, or an error; *complete when at the end. */
static ssize_t feed(struct http1_body b, struct span in, size_t step, struct buf *content,
                    bool *complete)
{
    size_t used = 0;
    ssize_t n = 1;
    buf_clear(content);
    while (n > 0) {
        struct span part;
        const char *why = NULL;
        struct span rest = exact_copy(span_sub(in, used, step));
        n = http1_body_decode(&b, rest, &part, &why);
        assert_true((n < 0) == (why != NULL));
        if (n > 0) {
            buf_add(content, part);
            used += (size_t)n;
        }
        exact_free(rest);
    }
    *complete = b.state == HTTP1_BODY_COMPLETE;
    return n < 0 ? n : (ssize_t)used;
}

/* In pieces of every length it gets the same answer. */
static ssize_t decode(const struct http1_body *b, const char *text, struct buf *content,
                      bool *complete)
{
    struct span in = span_str(text);
    ssize_t n = feed(*b, in, in.n, content, complete);
    for (size_t step = 1; step < in.n; step++) {
        struct buf other;
        bool other_complete;
        buf_init(&other, CONTENT_MAX);
        assert_int_equal(feed(*b, in, step, &other, &other_complete), n);
        assert_int_equal(other_complete, *complete);
        assert_true(n < 0 || span_eq(buf_span(&other), buf_span(content)));
        buf_release(&other);
    }
    return n;
}

static void test_what_a_head_announces(void **state)
{
    (void)state;
    static const struct {
        int minor;
        const char *fields;
        int rc;
        enum http1_body_state wanted;
        uint64_t left;
    } rows[] = {
        {1, "", 0, HTTP1_BODY_COMPLETE, 0},
        {1, "Content-Length: 0\r\n", 0, HTTP1_BODY_COMPLETE, 0},
        {1, "content-length: 007\r\n", 0, HTTP1_BODY_LENGTH, 7},
        {0, "Content-Length: 7\r\nContent-Length: 7\r\n", 0, HTTP1_BODY_LENGTH, 7},
        {1, "Content-Length: 18446744073709551615\r\n", 0, HTTP1_BODY_LENGTH, UINT64_MAX},
        {1, CHUNKED, 0, HTTP1_BODY_SIZE, 0},
        {1, "TRANSFER-encoding: CHUNKED\r\n", 0, HTTP1_BODY_SIZE, 0},
        {0, CHUNKED, ERR_MALFORMED, 0, 0},
        {1, CHUNKED CHUNKED, ERR_MALFORMED, 0, 0},
        {1, "Transfer-Encoding:\r\n", ERR_MALFORMED, 0, 0},
        {1, "Transfer-Encoding: identity\r\n", ERR_MALFORMED, 0, 0},
        {1, "Transfer-Encoding: gzip, chunked\r\n", ERR_MALFORMED, 0, 0},
        {1, "Transfer-Encoding: chunked, chunked\r\n", ERR_MALFORMED, 0, 0},
        {1, "Transfer-Encoding: chunked;q=1\r\n", ERR_MALFORMED, 0, 0},
        {1, "Transfer-Encoding: \"chunked\"\r\n", ERR_MALFORMED, 0, 0},
        {1, "Transfer-Encoding: x\r\n" CHUNKED, ERR_MALFORMED, 0, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct http1_body b;
        assert_int_equal(begin(&b, rows[i].minor, rows[i].fields), rows[i].rc);
        if (rows[i].rc == 0) {
            assert_int_equal(b.state, rows[i].wanted);
            assert_int_equal(b.left, rows[i].left);
        }
    }
}

static void test_a_body_by_length(void **state)
{
    (void)state;
    struct http1_body b;
    struct buf content;
    bool complete;
    buf_init(&content, CONTENT_MAX);
    assert_int_equal(begin(&b, 1, "Content-Length: 5\r\n"), 0);
    assert_int_equal(decode(&b, "hell", &content, &complete), 4);
    assert_false(complete);
    assert_int_equal(decode(&b, "helloGET / HTTP/1.1\r\n", &content, &complete), 5);
    assert_true(complete);
    assert_span(buf_span(&content), "hello");
    assert_int_equal(begin(&b, 1, ""), 0);
    assert_int_equal(decode(&b, "GET / HTTP/1.1\r\n", &content, &complete), 0);
    assert_true(complete);
    buf_release(&content);
}

/* The part of a row before the first '|' is the body, what is behind it the next request's. */
static void test_chunked_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *content;
    } rows[] = {
        {"0\r\n\r\n|", ""},
        {"0\r\n\r\n|\r\n", ""},
        {"5\r\nhello\r\n0\r\n\r\n|GET", "hello"},
        {"3\r\nabc\r\n000A\r\n0123456789\r\n0\r\n\r\n|", "abc0123456789"},
        {"a\r\n\r\n0\r\n\r\n\r\n\r\r\n0\r\n\r\n|", "\r\n0\r\n\r\n\r\n\r"},
        {"1;a=b;c=\"d\"\r\nx\r\n0;e\r\n\r\n|", "x"},
        {"1 ; a\t= \xc3\xa9\r\nx\r\n0 \r\n\r\n|", "x"},
        {"1\r\nx\r\n0\r\nTrailer: y\r\nContent-Length: 100\r\n\r\n|GET", "x"},
        {"1\r\nx\r\n000000000000000\r\n\r\n|", "x"},
    };
    struct http1_body b;
    struct buf content;
    buf_init(&content, CONTENT_MAX);
    assert_int_equal(begin(&b, 1, CHUNKED), 0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[256];
        bool complete;
        size_t n = span_find(span_str(rows[i].text), '|');
        (void)snprintf(text, sizeof text, "%.*s%s", (int)n, rows[i].text, rows[i].text + n + 1);
        assert_int_equal(decode(&b, text, &content, &complete), n);
        assert_true(complete);
        assert_span(buf_span(&content), rows[i].content);
        for (size_t cut = 0; cut < n; cut++) {
            text[n - 1 - cut] = '\0';
            assert_int_equal(decode(&b, text, &content, &complete), n - 1 - cut);
            assert_false(complete);
        }
    }
    buf_release(&content);
}

static void test_broken_chunks(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "\r\n",
        "\n",
        ";a\r\n",
        " 1\r\nx",
        "g\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        "1x\r\n",
        "1\nx",
        "1\rx",
        "1\r\r\n",
        "1;a\x01\r\n",
        "1;a\x7f\r\n",
        "1;a\nx",
        "1\r\nxx",
        "1\r\nx\n",
        "1\r\nx\rx",
        "1\r\nx0\r\n",
        "0000000000000000\r\n",
        "1000000000000000\r\n",
        "ffffffffffffffffffff\r\n",
        "0\r\n\n",
        "0\r\n\rx",
        "0\r\na: b\n",
        "0\r\na: b\rx",
        "0\r\na\x01: b\r\n",
    };
    struct http1_body b;
    struct buf content;
    bool complete;
    buf_init(&content, CONTENT_MAX);
    assert_int_equal(begin(&b, 1, CHUNKED), 0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (decode(&b, rows[i], &content, &complete) != ERR_MALFORMED) {
            fail_msg("%s", rows[i]);
        }
    }
    buf_release(&content);
}

static void test_nothing_goes_on_for_ever(void **state)
{
    (void)state;
    static char text[HTTP1_TRAILERS_MAX + 64];
    struct http1_body b;
    struct buf content;
    bool complete;
    buf_init(&content, CONTENT_MAX);
    assert_int_equal(begin(&b, 1, CHUNKED), 0);
    for (size_t over = 0; over <= 1; over++) {
        memset(text, 'a', sizeof text);
        size_t end = HTTP1_CHUNK_LINE_MAX - 2 + over;
        memcpy(text, "1;", 2);
        memcpy(text + end, "\r\n", 2);
        struct span line = span_of(text, end + 3);
        assert_int_equal(feed(b, line, line.n, &content, &complete),
                         over ? ERR_LIMIT : (ssize_t)line.n);
        memcpy(text, "0\r\n", 3);
        end = 3 + HTTP1_TRAILERS_MAX - 4 + over;
        memset(text + 3, 'a', end - 3);
        memcpy(text + end, "\r\n\r\n", 4);
        struct span trailers = span_of(text, end + 4);
        assert_int_equal(feed(b, trailers, trailers.n, &content, &complete),
                         over ? ERR_LIMIT : (ssize_t)trailers.n);
    }
    buf_release(&content);
}

static void test_a_head_without_its_body(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        const char *left;
    } rows[] = {
        {"GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"},
        {"\r\n\nGET / HTTP/1.0\n\n", "GET / HTTP/1.0\n\n"},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n",
         "POST / HTTP/1.1\r\nHost: x\r\n\r\n"},
        {"POST / HTTP/1.1\r\nexpect:\r\n" CHUNKED
         "Host: x\r\nEXPECT: 100-continue\r\nTE: a\r\n\r\n",
         "POST / HTTP/1.1\r\nHost: x\r\nTE: a\r\n\r\n"},
        {"POST / HTTP/1.0\ncontent-length: 5 \t\ncontent-length: 5\nX-Content-Length: 6\n\n",
         "POST / HTTP/1.0\nX-Content-Length: 6\n\n"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        static struct http1_request req;
        char head[256];
        const char *why = NULL;
        size_t n = strlen(rows[i].head);
        memcpy(head, rows[i].head, n);
        assert_int_equal(http1_request_decode(&req, span_of(head, n), &why), n);
        n = http1_head_without_body((uint8_t *)head, n, &req);
        assert_span(span_of(head, n), rows[i].left);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_head_announces),
        cmocka_unit_test(test_a_body_by_length),
        cmocka_unit_test(test_chunked_bodies),
        cmocka_unit_test(test_broken_chunks),
        cmocka_unit_test(test_nothing_goes_on_for_ever),
        cmocka_unit_test(test_a_head_without_its_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
