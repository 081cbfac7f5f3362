/* Outgoing HTTP against a server on loopback that does right and wrong things. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cursor.h"
#include "net/http_client.h"
#include "unit/net/http_fixture.h"
#include "unit/net/net_fixture.h"

#include "base/banned.h"

static struct {
    uv_loop_t loop;
    struct http_client *client;
    struct fake_http server;
    bool closed;
} t;

struct got {
    bool done;
    int n_calls;
    int status;
    long http_status;
    char body[256];
    size_t body_len;
    char content_type[64];
    char why[128];
    struct endpoint remote;
    bool inside; /* of a call of the test: done must not come */
    int n_allow;
    const char *deny; /* an address, or NULL */
    bool deny_redirects;
};

static void on_done(void *ctx, const struct http_response *r)
{
    struct got *g = ctx;
    assert_false(g->inside);
    uv_stop(&t.loop); /* it may be a timer that brought it: do not wait for I/O */
    g->done = true;
    g->n_calls++;
    g->status = r->status;
    g->http_status = r->http_status;
    g->body_len = r->body.n;
    memcpy(g->body, r->body.p == NULL ? (const uint8_t *)"" : r->body.p,
           r->body.n < sizeof g->body ? r->body.n : sizeof g->body);
    (void)snprintf(g->content_type, sizeof g->content_type, "%s", r->content_type);
    (void)snprintf(g->why, sizeof g->why, "%s", r->why);
    g->remote = r->remote;
}

static bool on_allow(void *ctx, const struct addr *addr, bool first)
{
    struct got *g = ctx;
    struct addr denied;
    g->n_allow++;
    if (g->deny_redirects && !first) {
        return false;
    }
    return g->deny == NULL || !addr_parse(&denied, span_str(g->deny)) || !addr_eq(&denied, addr);
}

/* gzip of n zeros, in stored and run-length form: made once by zlib's format rules, so that the
 * test needs no compressor. A fixed Huffman block: literal 0, then matches of 258 at distance 1. */
struct bits {
    struct buf *to;
    uint32_t acc;
    unsigned n;
};

static void put_bits(struct bits *b, uint32_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        b->acc |= (v >> i & 1) << b->n;
        if (++b->n == 8) {
            buf_add_byte(b->to, (uint8_t)b->acc);
            b->acc = 0;
            b->n = 0;
        }
    }
}

static void add_bomb(struct buf *to, size_t n_matches)
{
    static const uint8_t head[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    struct bits b = {.to = to};
    buf_add(to, span_of(head, sizeof head));
    put_bits(&b, 1 | 1 << 1, 3); /* last block, fixed codes */
    put_bits(&b, 0x0c, 8);       /* literal 0 (00110000, first bit first) */
    for (size_t i = 0; i < n_matches; i++) {
        put_bits(&b, 0xa3, 8); /* length 258: code 285, 11000101 */
        put_bits(&b, 0, 5);    /* distance 1 */
    }
    put_bits(&b, 0, 7); /* end */
    put_bits(&b, 0, 7);
    buf_add(to, SPAN("\x8d\xef\x02\xd2\x01\0\0\0")); /* right for one zero */
}

static bool answer(struct fake_http *s, struct span request, struct buf *reply)
{
    struct span path = fake_http_path(request);
    char text[128];
    (void)snprintf(text, sizeof text, "Location: http://127.0.0.1:%u/hello\r\n", s->port);
    assert_true(span_starts_with(request, SPAN("GET ")));
    assert_false(fake_http_has(request, "Cookie:"));
    if (span_eq(path, SPAN("/hello"))) {
        assert_true(fake_http_has(request, "User-Agent: tester/1\r\n"));
        fake_http_reply(reply, "200 OK", "Content-Type: text/plain\r\nSet-Cookie: a=b\r\n",
                        SPAN("hello"));
        return true;
    }
    if (span_eq(path, SPAN("/bytes300"))) {
        char body[300];
        memset(body, 'b', sizeof body);
        fake_http_reply(reply, "200 OK", "", span_of(body, sizeof body));
        return true;
    }
    if (span_eq(path, SPAN("/missing"))) {
        fake_http_reply(reply, "404 Not Found", "", SPAN("nothing"));
        return true;
    }
    if (span_eq(path, SPAN("/chunked"))) {
        buf_add_str(reply, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
        return true;
    }
    if (span_eq(path, SPAN("/redirect"))) {
        fake_http_reply(reply, "302 Found", text, SPAN("not this"));
        return true;
    }
    if (span_eq(path, SPAN("/round"))) {
        fake_http_reply(reply, "302 Found", "Location: /round\r\n", SPAN(""));
        return true;
    }
    if (span_eq(path, SPAN("/file"))) {
        fake_http_reply(reply, "302 Found", "Location: file:///etc/hostname\r\n", SPAN(""));
        return true;
    }
    if (span_eq(path, SPAN("/bomb")) || span_eq(path, SPAN("/gzip"))) {
        struct buf body;
        buf_init(&body, 1 << 20);
        add_bomb(&body, span_eq(path, SPAN("/bomb")) ? 40000 : 0);
        fake_http_reply(reply, "200 OK", "Content-Encoding: gzip\r\n", buf_span(&body));
        buf_release(&body);
        return true;
    }
    if (span_eq(path, SPAN("/notgzip"))) {
        fake_http_reply(reply, "200 OK", "Content-Encoding: gzip\r\n", SPAN("plain text"));
        return true;
    }
    if (span_eq(path, SPAN("/headers"))) {
        buf_add_str(reply, "HTTP/1.1 200 OK\r\n");
        for (int i = 0; i < 100; i++) {
            buf_addf(reply, "X-%d: %01000d\r\n", i, i);
        }
        buf_add_str(reply, "Content-Length: 0\r\n\r\n");
        return false;
    }
    if (span_eq(path, SPAN("/junk"))) {
        buf_add_str(reply, "d8:intervali1800ee");
        return false;
    }
    if (span_eq(path, SPAN("/cut"))) {
        buf_add_str(reply, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
        return false;
    }
    return span_eq(path, SPAN("/silence"));
}

static int open_all(void **state)
{
    struct err e;
    (void)state;
    t.closed = false;
    assert_int_equal(uv_loop_init(&t.loop), 0);
    assert_int_equal(http_client_open(&t.client, &t.loop, &e), 0);
    fake_http_open(&t.server, &t.loop, answer, NULL);
    return 0;
}

static void on_closed(void *ctx)
{
    (void)ctx;
    assert_false(t.closed);
    t.closed = true;
}

static int close_all(void **state)
{
    (void)state;
    if (t.client != NULL) {
        http_client_close(t.client, on_closed, NULL);
        assert_false(t.closed);
        fixture_run_until(&t.loop, &t.closed);
    }
    fake_http_close(&t.server);
    assert_int_equal(uv_run(&t.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&t.loop), 0);
    return 0;
}

/* Starts a request for a path of the server; options with what is not said here. */
static struct http_get *start(struct got *g, const char *path, struct http_get_opts opts)
{
    char url[256];
    struct http_get *get;
    if (path[0] == '/') {
        (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", t.server.port, path);
    } else {
        (void)snprintf(url, sizeof url, "%s", path);
    }
    opts.url = url;
    opts.user_agent = "tester/1";
    opts.timeout_ms = opts.timeout_ms == 0 ? 10000 : opts.timeout_ms;
    opts.max_len = opts.max_len == 0 ? 1000 : opts.max_len;
    opts.done = on_done;
    opts.ctx = g;
    g->inside = true;
    assert_int_equal(http_get_start(&get, t.client, &opts), 0);
    g->inside = false;
    return get;
}

static struct got fetch_with(const char *path, struct http_get_opts opts, struct got g)
{
    (void)start(&g, path, opts);
    fixture_run_until(&t.loop, &g.done);
    assert_int_equal(g.n_calls, 1);
    return g;
}

static struct got fetch(const char *path)
{
    return fetch_with(path, (struct http_get_opts){.max_redirects = 3},
                      (struct got){.done = false});
}

static bool body_is(const struct got *g, const char *text)
{
    return g->body_len == strlen(text) && memcmp(g->body, text, g->body_len) == 0;
}

static void an_answer(void **state)
{
    (void)state;
    struct got g = fetch("/hello");
    assert_int_equal(g.status, 0);
    assert_int_equal(g.http_status, 200);
    assert_true(body_is(&g, "hello"));
    assert_string_equal(g.content_type, "text/plain");
    assert_int_equal(g.remote.port, t.server.port);
    assert_true(addr_is_loopback(&g.remote.addr));
    g = fetch("/missing");
    assert_int_equal(g.status, 0);
    assert_int_equal(g.http_status, 404);
    assert_true(body_is(&g, "nothing"));
    assert_string_equal(g.content_type, "");
    g = fetch("/chunked");
    assert_true(body_is(&g, "abcdefg"));
    g = fetch("/gzip");
    assert_int_equal(g.status, 0);
    assert_int_equal(g.body_len, 1);
}

static void a_connection_is_used_again(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct got g = fetch("/hello");
        assert_int_equal(g.status, 0);
    }
    assert_int_equal(t.server.n_requests, 20);
    assert_int_equal(t.server.n_connections, 1);
}

static void redirects(void **state)
{
    (void)state;
    struct got g = fetch("/redirect");
    assert_int_equal(g.status, 0);
    assert_int_equal(g.http_status, 200);
    assert_true(body_is(&g, "hello"));
    g = fetch("/round");
    assert_int_equal(g.status, ERR_LIMIT);
    assert_string_equal(g.why, "too many redirects");
    g = fetch_with("/redirect", (struct http_get_opts){.max_redirects = 0},
                   (struct got){.done = false});
    assert_int_equal(g.status, ERR_LIMIT);
    g = fetch("/file");
    assert_int_equal(g.status, ERR_DENIED);
}

static void lengths_are_counted_after_decompression(void **state)
{
    struct http_get_opts opts = {.max_len = 300};
    (void)state;
    struct got g = fetch_with("/bytes300", opts, (struct got){.done = false});
    assert_int_equal(g.status, 0);
    assert_int_equal(g.body_len, 300);
    opts.max_len = 299;
    g = fetch_with("/bytes300", opts, (struct got){.done = false});
    assert_int_equal(g.status, ERR_LIMIT);
    opts.max_len = 1000000; /* 10 million bytes out of 65 thousand */
    g = fetch_with("/bomb", opts, (struct got){.done = false});
    assert_int_equal(g.status, ERR_LIMIT);
    assert_string_equal(g.why, "the answer is too long");
    g = fetch("/headers");
    assert_int_equal(g.status, ERR_LIMIT);
}

static void wrong_answers(void **state)
{
    (void)state;
    struct got g = fetch("/junk");
    assert_int_equal(g.status, ERR_MALFORMED);
    g = fetch("/notgzip");
    assert_int_equal(g.status, ERR_MALFORMED);
    g = fetch("/cut");
    assert_int_equal(g.status, ERR_UNAVAILABLE);
    g = fetch("/closed"); /* no answer at all */
    assert_int_equal(g.status, ERR_UNAVAILABLE);
    assert_true(strlen(g.why) > 0);
}

static void nobody_there(void **state)
{
    struct endpoint at;
    char url[64];
    (void)state;
    int fd = fixture_bind(LISTEN_TCP, "127.0.0.1:0", &at);
    (void)close(fd);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", at.port);
    struct got g = fetch(url);
    assert_int_equal(g.status, ERR_UNAVAILABLE);
    assert_string_equal(g.why, "connection refused");
}

static void no_such_name(void **state)
{
    char url[128] = "http://";
    (void)state;
    memset(url + 7, 'a', 80); /* a label that no server is asked for */
    struct got g = fetch(url);
    assert_int_equal(g.status, ERR_UNAVAILABLE);
    assert_string_equal(g.why, "could not resolve host");
}

static void silence_ends_by_the_timeout(void **state)
{
    (void)state;
    struct got g = fetch_with("/silence", (struct http_get_opts){.timeout_ms = 30},
                              (struct got){.done = false});
    assert_int_equal(g.status, ERR_TIMEOUT);
    assert_string_equal(g.why, "timed out");
}

static void what_is_no_url_is_refused_at_once(void **state)
{
    static const char *const urls[] = {
        "",
        "127.0.0.1/x",
        "ftp://127.0.0.1/",
        "file:///etc/hostname",
        "udp://127.0.0.1:1/",
        "http://",
        "http://a b/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1/\r\nX: y",
        "gopher://127.0.0.1/",
    };
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct http_get *get;
        struct http_get_opts opts = {.url = urls[i], .timeout_ms = 1, .done = on_done};
        assert_int_equal(http_get_start(&get, t.client, &opts), ERR_INVALID);
    }
    assert_int_equal(t.server.n_connections, 0);
}

static void an_address_that_is_not_permitted(void **state)
{
    struct http_get_opts opts = {.max_redirects = 3, .allow = on_allow};
    (void)state;
    struct got g = fetch_with("/hello", opts, (struct got){.deny = "127.0.0.1"});
    assert_int_equal(g.status, ERR_DENIED);
    assert_int_equal(t.server.n_connections, 0);
    g = fetch_with("/hello", opts, (struct got){.deny = "127.0.0.2"});
    assert_int_equal(g.status, 0);
    assert_true(g.n_allow >= 1);
    /* The connection is there already, and is checked all the same. */
    g = fetch_with("/hello", opts, (struct got){.deny = "127.0.0.1"});
    assert_int_equal(g.status, ERR_DENIED);
    assert_int_equal(t.server.n_requests, 1);
}

static void a_redirect_to_where_it_is_not_permitted(void **state)
{
    struct http_get_opts opts = {.max_redirects = 3, .allow = on_allow};
    (void)state;
    struct got g = fetch_with("/redirect", opts, (struct got){.deny_redirects = true});
    assert_int_equal(g.status, ERR_DENIED);
    assert_int_equal(t.server.n_requests, 1); /* the second one never left */
    assert_int_equal(g.n_allow >= 2, 1);
}

static void it_comes_from_its_source(void **state)
{
    (void)state;
    struct got g = fetch_with("/hello", (struct http_get_opts){.source = "127.0.0.1"},
                              (struct got){.done = false});
    assert_int_equal(g.status, 0);
    g = fetch_with("/hello", (struct http_get_opts){.source = "203.0.113.7"},
                   (struct got){.done = false});
    assert_int_equal(g.status, ERR_UNAVAILABLE);
    g = fetch_with("/hello", (struct http_get_opts){.source = "nonsense"},
                   (struct got){.done = false});
    assert_int_equal(g.status, ERR_UNAVAILABLE);
    assert_string_equal(g.why, "could not begin");
}

static void a_cancel_comes_later(void **state)
{
    struct got g = {.done = false};
    (void)state;
    struct http_get *get = start(&g, "/hello", (struct http_get_opts){.max_redirects = 0});
    g.inside = true;
    http_get_cancel(get); /* in line yet */
    http_get_cancel(get);
    g.inside = false;
    fixture_run_until(&t.loop, &g.done);
    assert_int_equal(g.status, ERR_CANCELED);
    g = (struct got){.done = false};
    get = start(&g, "/silence", (struct http_get_opts){.max_redirects = 0});
    while (t.server.n_requests == 0) {
        assert_int_not_equal(uv_run(&t.loop, UV_RUN_ONCE), 0);
    }
    g.inside = true;
    http_get_cancel(get); /* on its way */
    g.inside = false;
    fixture_run_until(&t.loop, &g.done);
    assert_int_equal(g.status, ERR_CANCELED);
    assert_int_equal(g.n_calls, 1);
}

static void many_at_once(void **state)
{
    enum { N = HTTP_CLIENT_MAX * 3 };
    static struct got g[N];
    (void)state;
    memset(g, 0, sizeof g);
    for (size_t i = 0; i < N; i++) {
        (void)start(&g[i], i % 2 == 0 ? "/hello" : "/chunked",
                    (struct http_get_opts){.max_len = 10});
    }
    for (size_t i = 0; i < N; i++) {
        fixture_run_until(&t.loop, &g[i].done);
        assert_int_equal(g[i].status, 0);
        assert_true(body_is(&g[i], i % 2 == 0 ? "hello" : "abcdefg"));
        assert_int_equal(g[i].n_calls, 1);
    }
    assert_in_range(t.server.n_connections, 1, 16);
}

static void the_line_has_an_end(void **state)
{
    enum { N = 1024 };
    static struct got g[N + 1];
    (void)state;
    memset(g, 0, sizeof g);
    struct http_get *get[N];
    for (size_t i = 0; i < N; i++) {
        get[i] = start(&g[i], "/hello", (struct http_get_opts){.max_len = 10});
    }
    struct http_get_opts opts = {
        .url = "http://127.0.0.1/", .timeout_ms = 1, .done = on_done, .ctx = &g[N]};
    struct http_get *one_more;
    assert_int_equal(http_get_start(&one_more, t.client, &opts), ERR_LIMIT);
    for (size_t i = 0; i < N; i++) {
        http_get_cancel(get[i]);
    }
    fixture_run_until(&t.loop, &g[N - 1].done);
    assert_int_equal(g[N].n_calls, 0);
}

static void closing_ends_what_is_under_way(void **state)
{
    enum { N = HTTP_CLIENT_MAX + 20 };
    static struct got g[N];
    (void)state;
    memset(g, 0, sizeof g);
    for (size_t i = 0; i < N; i++) {
        (void)start(&g[i], "/silence", (struct http_get_opts){.max_len = 10});
    }
    while (t.server.n_requests == 0) {
        assert_int_not_equal(uv_run(&t.loop, UV_RUN_ONCE), 0);
    }
    for (size_t i = 0; i < N; i++) {
        g[i].inside = true;
    }
    http_client_close(t.client, on_closed, NULL);
    http_client_close(t.client, on_closed, NULL);
    for (size_t i = 0; i < N; i++) {
        g[i].inside = false;
    }
    fixture_run_until(&t.loop, &t.closed);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(g[i].n_calls, 1);
        assert_int_equal(g[i].status, ERR_CANCELED);
    }
    t.client = NULL;
}

/* An answer that makes the user close everything. */
static void on_done_close(void *ctx, const struct http_response *r)
{
    on_done(ctx, r);
    http_client_close(t.client, on_closed, NULL);
}

static void closing_from_an_answer(void **state)
{
    struct got g[2] = {{.done = false}, {.done = false}};
    char url[64];
    struct http_get *get;
    (void)state;
    (void)start(&g[0], "/silence", (struct http_get_opts){.max_len = 10});
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/hello", t.server.port);
    struct http_get_opts opts = {.url = url,
                                 .user_agent = "tester/1",
                                 .timeout_ms = 10000,
                                 .max_len = 100,
                                 .done = on_done_close,
                                 .ctx = &g[1]};
    assert_int_equal(http_get_start(&get, t.client, &opts), 0);
    fixture_run_until(&t.loop, &t.closed);
    assert_int_equal(g[1].status, 0);
    assert_int_equal(g[0].status, ERR_CANCELED);
    t.client = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)

int main(void)
{
    /* A proxy of the environment is none of ours. */
    if (setenv("http_proxy", "http://127.0.0.1:1", 1) != 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        TEST(an_answer),
        TEST(a_connection_is_used_again),
        TEST(redirects),
        TEST(lengths_are_counted_after_decompression),
        TEST(wrong_answers),
        TEST(nobody_there),
        TEST(no_such_name),
        TEST(silence_ends_by_the_timeout),
        TEST(what_is_no_url_is_refused_at_once),
        TEST(an_address_that_is_not_permitted),
        TEST(a_redirect_to_where_it_is_not_permitted),
        TEST(it_comes_from_its_source),
        TEST(a_cancel_comes_later),
        TEST(many_at_once),
        TEST(the_line_has_an_end),
        TEST(closing_ends_what_is_under_way),
        TEST(closing_from_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
