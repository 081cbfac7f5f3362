/* Requests and their answers without sockets: http_answer and forwarded_for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/rng.h"
#include "tracker/forwarded_for.h"
#include "tracker/http_answer.h"
#include "unit/tracker/front_fixture.h"

#include "base/banned.h"

enum { ROUNDS = 5000 };

#define ID20 "-XX0001-abcdefghijkl"
#define QUERY(port)                                                                                \
    "info_hash=%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01"                       \
    "&peer_id=" ID20 "&port=" port

static const char good_key[] = "0123456789abcdef0123456789abcdef";

struct fixture {
    struct tracker *tracker;
    struct tracker_worker *worker;
    struct config cfg;
    struct http_answerer *answerer;
    size_t room;
    uint8_t *out;
    enum http_after after;
};

struct response {
    int status;
    struct span head;
    struct span body;
    uint64_t content_length;
};

static void open_answerer(struct fixture *f, enum tracker_mode mode)
{
    struct tracker_cfg cfg = fixture_tracker_cfg(mode);
    *f = (struct fixture){.room = 0};
    f->tracker = tracker_new(&cfg, 1, fixture_start);
    f->worker = tracker_worker(f->tracker, 0);
    f->answerer = http_answerer_new(f->tracker, f->worker, &f->cfg);
    f->room = http_answerer_room(f->answerer);
    f->out = mem_array(f->room, 1);
}

static void close_answerer(struct fixture *f)
{
    http_answerer_free(f->answerer);
    tracker_free(f->tracker);
    free(f->out);
}

static struct response parse(struct span text)
{
    struct response r = {.status = 0};
    const uint8_t *end = memmem(text.p, text.n, "\r\n\r\n", 4);
    assert_non_null(end);
    r.head = span_sub(text, 0, (size_t)(end - text.p) + 4);
    r.body = span_sub(text, r.head.n, text.n);
    assert_true(span_starts_with(r.head, SPAN("HTTP/1.1 ")));
    r.status = (r.head.p[9] - '0') * 100 + (r.head.p[10] - '0') * 10 + (r.head.p[11] - '0');
    static const char name[] = "\r\nContent-Length: ";
    const uint8_t *length = memmem(r.head.p, r.head.n, name, sizeof name - 1);
    assert_non_null(length);
    length += sizeof name - 1;
    struct span rest = span_of(length, (size_t)(r.head.p + r.head.n - length));
    assert_true(parse_u64(&r.content_length, span_cut(rest, '\r', NULL), UINT32_MAX));
    return r;
}

static struct response ask_bytes(struct fixture *f, struct span text, const char *from)
{
    struct http1_request req;
    struct addr addr = fixture_addr(from);
    const char *why = NULL;
    struct wr w = wr_over(f->out, f->room);
    ssize_t n = http1_request_decode(&req, text, &why);
    tracker_begin(f->worker, fixture_start);
    if (n > 0) {
        f->after =
            http_answer(f->answerer, &req, &addr,
                        forwarded_for_trusts(&f->cfg.tracker.trust_forwarded_for, &addr), &w);
    } else {
        f->after = http_refuse(f->answerer, n == 0 ? ERR_MALFORMED : (int)n,
                               n == 0 ? "incomplete" : why, &w);
    }
    tracker_end(f->worker);
    assert_false(w.bad);
    return parse(wr_span(&w));
}

static struct response ask(struct fixture *f, const char *target, const char *fields)
{
    char text[4096];
    int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: t\r\n%s\r\n", target, fields);
    assert_true(n > 0 && (size_t)n < sizeof text);
    return ask_bytes(f, span_of(text, (size_t)n), "192.0.2.1");
}

static bool contains(struct span s, const char *text)
{
    return memmem(s.p, s.n, text, strlen(text)) != NULL;
}

static void assert_contains(struct span s, const char *text)
{
    if (!contains(s, text)) {
        fail_msg("'%.*s' does not contain '%s'", (int)s.n, (const char *)s.p, text);
    }
}

/* A 200 whose body is a bencoded failure with the text in it. */
static void assert_failure(struct response r, const char *text)
{
    assert_int_equal(r.status, 200);
    assert_int_equal(r.content_length, r.body.n);
    assert_true(span_starts_with(r.body, SPAN("d14:failure reason")));
    assert_contains(r.body, text);
}

static void test_pages(void **state)
{
    (void)state;
    struct fixture f;
    open_answerer(&f, MODE_PUBLIC);
    struct response r = ask(&f, "/health_check", "");
    assert_int_equal(r.status, 200);
    assert_true(span_eq(r.body, SPAN("{\"status\":\"Ok\"}")));
    assert_int_equal(r.content_length, r.body.n);
    assert_contains(r.head, "Content-Type: application/json\r\n");
    assert_false(contains(r.head, "Connection:"));
    r = ask(&f, "/", "");
    assert_int_equal(r.status, 200);
    assert_contains(r.head, "Content-Type: text/plain\r\n");
    assert_contains(r.body, "tracker");
    r = ask(&f, "/favicon.ico", "");
    assert_int_equal(r.status, 404);
    assert_int_equal(f.after, HTTP_KEEP);
    r = ask(&f, "/", "Connection: close\r\n");
    assert_contains(r.head, "Connection: close\r\n");
    assert_int_equal(f.after, HTTP_CLOSE);
    r = ask_bytes(&f, SPAN("GET / HTTP/1.0\r\n\r\n"), "192.0.2.1");
    assert_contains(r.head, "Connection: close\r\n");
    assert_int_equal(f.after, HTTP_CLOSE);
    r = ask_bytes(&f, SPAN("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), "192.0.2.1");
    assert_contains(r.head, "Connection: keep-alive\r\n");
    assert_int_equal(f.after, HTTP_KEEP);
    close_answerer(&f);
}

static void test_methods_and_bodies(void **state)
{
    (void)state;
    struct fixture f;
    open_answerer(&f, MODE_PUBLIC);
    struct response r =
        ask_bytes(&f, SPAN("POST /announce HTTP/1.1\r\nHost: t\r\n\r\n"), "192.0.2.1");
    assert_int_equal(r.status, 405);
    assert_contains(r.head, "Allow: GET, HEAD\r\n");
    assert_contains(r.head, "Connection: close\r\n");
    assert_int_equal(f.after, HTTP_LINGER);
    r = ask(&f, "/", "Content-Length: 5\r\n");
    assert_int_equal(r.status, 400);
    assert_int_equal(f.after, HTTP_LINGER);
    r = ask_bytes(&f, SPAN("\x01\r\n\r\n"), "192.0.2.1");
    assert_int_equal(r.status, 400);
    assert_int_equal(f.after, HTTP_LINGER);
    assert_int_equal(fixture_count(f.tracker, COUNT_http_malformed), 2);
    close_answerer(&f);
}

static void test_head_has_the_length_of_get(void **state)
{
    (void)state;
    static const char *const targets[] = {
        "/", "/none", "/health_check", "/announce?" QUERY("1"), "/announce", "/scrape"};
    struct fixture f;
    char text[1024];
    open_answerer(&f, MODE_PUBLIC);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct response get = ask(&f, targets[i], "");
        uint64_t length = get.content_length;
        int status = get.status;
        assert_int_equal(get.body.n, length);
        int n = snprintf(text, sizeof text, "HEAD %s HTTP/1.1\r\nHost: t\r\n\r\n", targets[i]);
        struct response head = ask_bytes(&f, span_of(text, (size_t)n), "192.0.2.1");
        assert_int_equal(head.status, status);
        assert_int_equal(head.body.n, 0);
        if (i != 3) { /* the interval of an announce has jitter, but always four digits */
            assert_int_equal(head.content_length, length);
        }
    }
    close_answerer(&f);
}

/* Bodies of 1 to 5 digits of length. */
static void test_lengths_of_many_digits(void **state)
{
    (void)state;
    struct fixture f;
    char query[512];
    open_answerer(&f, MODE_PUBLIC);
    struct response r = ask(&f, "/announce?" QUERY("1") "&numwant=0", "");
    assert_int_equal(r.body.n, r.content_length);
    assert_in_range(r.content_length, 50, 150);
    for (int i = 0; i < 999; i++) {
        (void)snprintf(query, sizeof query,
                       "/announce?"
                       "%s%d&numwant=0",
                       "info_hash="
                       "%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01"
                       "&peer_id=" ID20 "&port=",
                       i + 2);
        r = ask(&f, query, "");
    }
    r = ask(&f, "/announce?" QUERY("1") "&numwant=1000", "");
    assert_int_equal(r.body.n, r.content_length);
    assert_true(r.content_length > 999 * 6);
    assert_contains(r.body, "5:peers5994:");
    r = ask(&f, "/announce?" QUERY("1") "&numwant=1000&compact=0", "");
    assert_int_equal(r.body.n, r.content_length);
    assert_true(r.content_length > 50000);
    assert_contains(r.body, "7:peer id20:" ID20);
    r = ask(&f, "/announce?" QUERY("1") "&numwant=1000&compact=0&no_peer_id=1", "");
    assert_int_equal(r.body.n, r.content_length);
    assert_contains(r.body, "5:peersld2:ip9:192.0.2.14:port");
    assert_false(contains(r.body, "7:peer id"));
    close_answerer(&f);
}

static void test_announce_failures_name_the_parameter(void **state)
{
    (void)state;
    struct fixture f;
    open_answerer(&f, MODE_PUBLIC);
    assert_failure(ask(&f, "/announce", ""), "info_hash");
    assert_failure(ask(&f, "/announce?info_hash=short", ""), "info_hash");
    assert_failure(ask(&f, "/announce?" QUERY("0"), ""), "port");
    assert_int_equal(fixture_count(f.tracker, COUNT_http4_failures), 3);
    assert_int_equal(f.after, HTTP_KEEP);
    close_answerer(&f);
}

static void test_scrape(void **state)
{
    (void)state;
    struct fixture f;
    char target[4096];
    size_t n = 0;
    open_answerer(&f, MODE_PUBLIC);
    assert_failure(ask(&f, "/scrape", ""), "full scrapes are not allowed");
    (void)ask(&f, "/announce?" QUERY("1"), "");
    struct response r = ask(&f,
                            "/scrape?info_hash="
                            "%01%01%01%01%01%01%01%01%01%01%01%01%01%01"
                            "%01%01%01%01%01%01",
                            "");
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body.n, r.content_length);
    assert_contains(r.body, "d8:completei0e10:downloadedi0e10:incompletei1ee");
    assert_int_equal(fixture_count(f.tracker, COUNT_http4_scrapes), 1);
    n = (size_t)snprintf(target, sizeof target, "/scrape?");
    for (int i = 0; i < 75; i++) {
        n +=
            (size_t)snprintf(target + n, sizeof target - n, "&info_hash=abcdefghijklmnopqr%02d", i);
    }
    assert_failure(ask(&f, target, ""), "74");
    target[n - 31] = '\0';
    r = ask(&f, target, "");
    assert_int_equal(r.body.n, r.content_length);
    assert_contains(r.body, "abcdefghijklmnopqr73");
    close_answerer(&f);
}

static void test_keys(void **state)
{
    (void)state;
    struct fixture f;
    char target[512];
    open_answerer(&f, MODE_PRIVATE);
    fixture_add_key(f.tracker, good_key);
    assert_failure(ask(&f, "/announce?" QUERY("1"), ""), "key");
    assert_failure(ask(&f, "/scrape?info_hash=abcdefghijklmnopqrst", ""), "key");
    static const char *const forms[][2] = {{"/announce/", ""}, {"/", "/announce"}};
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(target, sizeof target, "%s%s%s?%s", forms[i][0], good_key, forms[i][1],
                       "info_hash=abcdefghijklmnopqrst&peer_id=" ID20 "&port=1");
        struct response r = ask(&f, target, "");
        assert_contains(r.body, "8:interval");
    }
    (void)snprintf(target, sizeof target, "/scrape/%s?info_hash=abcdefghijklmnopqrst", good_key);
    assert_contains(ask(&f, target, "").body, "10:incompletei1e");
    assert_failure(ask(&f, "/scrape/ffff?info_hash=abcdefghijklmnopqrst", ""), "key");
    assert_int_equal(fixture_count(f.tracker, COUNT_http4_failures), 3);
    close_answerer(&f);
}

static void test_requests_are_timed_by_sample(void **state)
{
    (void)state;
    struct fixture f;
    struct stats_totals totals;
    open_answerer(&f, MODE_PUBLIC);
    for (int i = 0; i < 2 * STATS_SAMPLE_EVERY; i++) {
        (void)ask(&f, "/announce?" QUERY("1"), "");
    }
    tracker_stats(f.tracker, &totals);
    assert_int_equal(totals.timed[TIMED_HTTP_ANNOUNCE].count, 2);
    close_answerer(&f);
}

/* ---- X-Forwarded-For ----------------------------------------------------------------------- */

static void test_forwarded_for(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        const char *client;
    } table[] = {
        {"", "10.0.0.1"},
        {"X-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7"},
        {"x-forwarded-for:203.0.113.7\r\n", "203.0.113.7"},
        {"X-Forwarded-For: 198.51.100.1, 203.0.113.7\r\n", "203.0.113.7"},
        {"X-Forwarded-For: 198.51.100.1, 203.0.113.7, 10.0.0.9\r\n", "203.0.113.7"},
        {"X-Forwarded-For: 203.0.113.7,10.0.0.8 ,\t10.0.0.9\r\n", "203.0.113.7"},
        {"X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7"},
        {"X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 10.0.0.9\r\n", "203.0.113.7"},
        {"X-Forwarded-For: 2001:db8::7\r\n", "2001:db8::7"},
        {"X-Forwarded-For: 203.0.113.7, fd00::5\r\n", "203.0.113.7"},
        {"X-Forwarded-For: ::ffff:203.0.113.7\r\n", "203.0.113.7"},
        {"X-Forwarded-For: ::ffff:10.0.0.5\r\n", "10.0.0.1"},
        /* nothing to believe: the connection's own */
        {"X-Forwarded-For: \r\n", "10.0.0.1"},
        {"X-Forwarded-For: unknown\r\n", "10.0.0.1"},
        {"X-Forwarded-For: 203.0.113.7, unknown\r\n", "10.0.0.1"},
        {"X-Forwarded-For: 203.0.113.7,\r\n", "10.0.0.1"},
        {"X-Forwarded-For: 203.0.113.7, 999.1.1.1\r\n", "10.0.0.1"},
        {"X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: \r\n", "10.0.0.1"},
        {"X-Forwarded-For: 10.0.0.8, 10.0.0.9\r\n", "10.0.0.1"},
        {"X-Real-IP: 203.0.113.7\r\n", "10.0.0.1"},
        {"Forwarded: for=203.0.113.7\r\n", "10.0.0.1"},
    };
    struct cidr blocks[2];
    struct cidr_list trusted = {blocks, 2};
    assert_true(cidr_parse(&blocks[0], span_str("10.0.0.0/8")));
    assert_true(cidr_parse(&blocks[1], span_str("fd00::/8")));
    struct addr proxy = fixture_addr("10.0.0.1");
    struct addr stranger = fixture_addr("11.0.0.1");
    assert_true(forwarded_for_trusts(&trusted, &proxy));
    assert_false(forwarded_for_trusts(&trusted, &stranger));
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct http1_request req;
        char text[512];
        char got[ADDR_TEXT_LEN];
        const char *why = NULL;
        int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: t\r\n%s\r\n", table[i].fields);
        assert_int_equal(http1_request_decode(&req, span_of(text, (size_t)n), &why), n);
        struct addr client = forwarded_for_client(&req, &trusted, &proxy);
        if (strcmp(addr_format(got, &client), table[i].client) != 0) {
            fail_msg("%s gave %s", table[i].fields, got);
        }
    }
}

static void test_forwarded_for_only_from_a_proxy(void **state)
{
    (void)state;
    struct fixture f;
    struct cidr block;
    struct peer_row row;
    struct infohash hash = fixture_hash(1);
    static const char text[] = "GET /announce?" QUERY("1") " HTTP/1.1\r\nHost: t\r\n"
                                                           "X-Forwarded-For: 203.0.113.7\r\n\r\n";
    struct addr stranger = fixture_addr("192.0.2.1");
    struct addr client = fixture_addr("203.0.113.7");
    open_answerer(&f, MODE_PUBLIC);
    assert_true(cidr_parse(&block, span_str("10.0.0.0/8")));
    f.cfg.tracker.trust_forwarded_for = (struct cidr_list){&block, 1};
    (void)ask_bytes(&f, span_str(text), "192.0.2.1");
    size_t at = 0;
    assert_int_equal(tracker_peers(f.tracker, &hash, &at, &row, 1), 1);
    assert_true(addr_eq(&row.endpoint.addr, &stranger));
    assert_int_equal(tracker_forget(f.tracker, &hash), 0);
    (void)ask_bytes(&f, span_str(text), "10.0.0.1");
    at = 0;
    assert_int_equal(tracker_peers(f.tracker, &hash, &at, &row, 1), 1);
    assert_true(addr_eq(&row.endpoint.addr, &client));
    close_answerer(&f);
}

/* ---- hostile requests ----------------------------------------------------------------------- */

static void test_random_and_mutated_requests(void **state)
{
    (void)state;
    static const char *const seeds[] = {
        "GET /announce?" QUERY("6881") "&left=0&compact=0&numwant=5&event=started HTTP/1.1\r\n"
                                       "Host: t\r\nUser-Agent: x\r\n\r\n",
        "GET /scrape?info_hash=abcdefghijklmnopqrst&info_hash=%00%01cdefghijklmnopqrst HTTP/1.1\r\n"
        "Host: t\r\n\r\n",
        "HEAD /0123456789abcdef0123456789abcdef/announce?" QUERY(
            "1") " HTTP/1.0\r\n"
                 "X-Forwarded-For: 1.2.3.4, 5.6.7.8\r\n\r\n",
    };
    struct fixture f;
    struct rng rng = {.state = 3};
    struct cidr everybody;
    open_answerer(&f, MODE_PUBLIC);
    assert_true(cidr_parse(&everybody, span_str("0.0.0.0/0")));
    f.cfg.tracker.trust_forwarded_for = (struct cidr_list){&everybody, 1};
    for (int i = 0; i < 2 * ROUNDS; i++) {
        uint8_t text[600];
        size_t n;
        if (i % 2 == 0) {
            n = rng_below(&rng, sizeof text);
            for (size_t k = 0; k < n; k++) {
                text[k] = (uint8_t)rng_next(&rng);
            }
        } else {
            const char *seed = seeds[rng_below(&rng, 3)];
            n = strlen(seed);
            memcpy(text, seed, n);
            for (uint32_t flips = 1 + rng_below(&rng, 5); flips > 0; flips--) {
                text[rng_below(&rng, (uint32_t)n)] = (uint8_t)rng_next(&rng);
            }
        }
        struct response r = ask_bytes(&f, span_of(text, n), "192.0.2.1");
        assert_true(r.body.n == r.content_length || r.body.n == 0);
        assert_true(r.status == 200 || r.status == 400 || r.status == 404 || r.status == 405 ||
                    r.status == 431);
    }
    close_answerer(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_methods_and_bodies),
        cmocka_unit_test(test_head_has_the_length_of_get),
        cmocka_unit_test(test_lengths_of_many_digits),
        cmocka_unit_test(test_announce_failures_name_the_parameter),
        cmocka_unit_test(test_scrape),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_requests_are_timed_by_sample),
        cmocka_unit_test(test_forwarded_for),
        cmocka_unit_test(test_forwarded_for_only_from_a_proxy),
        cmocka_unit_test(test_random_and_mutated_requests),
    };
    assert_int_equal(digest_start(), 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
