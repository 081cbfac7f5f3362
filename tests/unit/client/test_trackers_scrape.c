/* Scrapes over UDP, over HTTP and of the own tracker: what is sent, and what is made of answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unit/client/trackers_fixture.h"

#include "base/banned.h"

/* Hashes 00..., 01... of n torrents. */
static const struct scrape_result *scrape(const char *url, size_t n)
{
    static struct infohash hashes[SCRAPE_MAX];
    for (size_t i = 0; i < n; i++) {
        hashes[i] = (struct infohash){{(uint8_t)i}};
    }
    const struct scrape_request r = {.id = 41, .url = url, .hashes = hashes, .n = n};
    t.scraped_id = 0;
    t.inside = true;
    trackers_scrape(t.trackers, &r, &ANY4, &ANY6);
    t.inside = false;
    bool done = false;
    while (!done) {
        (void)uv_run(&t.loop, UV_RUN_ONCE);
        done = t.scraped_id != 0;
    }
    assert_int_equal(t.scraped_id, 41);
    return &t.scraped;
}

static const struct scrape_result *scrape_udp(const char *rest, size_t n)
{
    return scrape(url_of("udp", t.udp.port, rest), n);
}

static const struct scrape_result *scrape_http(const char *rest, size_t n)
{
    return scrape(url_of("http", t.http.port, rest), n);
}

static void assert_no_counts(const struct scrape_result *r, bool refused)
{
    assert_false(r->answered);
    assert_int_equal(r->refused, refused);
    assert_int_equal(r->n, 0);
}

static void udp_scrapes_many(void **state)
{
    static const size_t sizes[] = {1, 2, SCRAPE_MAX};
    (void)state;
    for (size_t k = 0; k < 3; k++) {
        const struct scrape_result *r = scrape_udp("/announce", sizes[k]);
        assert_true(r->answered);
        assert_int_equal(r->n, sizes[k]);
        for (size_t i = 0; i < r->n; i++) {
            assert_true(t.counts[i].known);
            assert_int_equal(t.counts[i].counts.complete, i);
            assert_int_equal(t.counts[i].counts.downloaded, 6);
            assert_int_equal(t.counts[i].counts.incomplete, 7);
        }
    }
    assert_int_equal(t.udp.n_connects, 1); /* the id is kept, for announces as well */
    assert_true(ask_udp("/announce")->answered);
    assert_int_equal(t.udp.n_connects, 1);
}

static void udp_says_less_or_no(void **state)
{
    (void)state;
    t.udp.scrape_max = 3;
    const struct scrape_result *r = scrape_udp("", 10);
    assert_true(r->answered);
    assert_int_equal(r->n, 3);
    t.udp.error = "too many";
    assert_no_counts(scrape_udp("", 10), true);
    t.udp.error = NULL;
    assert_no_counts(scrape(url_of("udp", t.http.port, ""), 10), false); /* nobody is there */
}

static void http_scrapes_many(void **state)
{
    struct infohash hashes[3];
    const char *why;
    struct span query;
    (void)state;
    set_body(SPAN("d5:filesd"
                  "20:\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                  "d8:completei5e10:downloadedi50e10:incompletei10ee"
                  "20:\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                  "d8:completei8ee" /* half of the counts is none */
                  "e5:flagsd20:min_request_intervali3600eee"));
    const struct scrape_result *r = scrape_http("/announce.php?passkey=a#b", 3);
    assert_true(r->answered);
    assert_int_equal(r->n, 3);
    assert_int_equal(r->min_interval_s, 3600);
    assert_false(t.counts[0].known || t.counts[2].known);
    assert_true(t.counts[1].known);
    assert_int_equal(t.counts[1].counts.complete, 5);
    assert_int_equal(t.counts[1].counts.downloaded, 50);
    assert_int_equal(t.counts[1].counts.incomplete, 10);
    assert_true(span_starts_with(span_str(t.path), SPAN("/scrape.php?passkey=a&info_hash=")));
    (void)span_cut(span_str(t.path), '?', &query);
    assert_int_equal(http_scrape_decode(hashes, 3, query, &why), 3);
    assert_int_equal(hashes[2].b[0], 2);
    char long_url[TRACKER_URL_MAX - 30] = "/announce?";
    memset(long_url + 10, 'a', 1000);
    assert_true(scrape_http(long_url, SCRAPE_HTTP_MAX)->answered);
    (void)span_cut(span_str(t.path), '?', &query);
    struct infohash many[SCRAPE_HTTP_MAX];
    assert_int_equal(http_scrape_decode(many, SCRAPE_HTTP_MAX, query, &why), SCRAPE_HTTP_MAX);
}

static void http_refusals_and_nonsense(void **state)
{
    static const struct {
        const char *status;
        struct span body;
    } rows[] = {
        {"200 OK", SPAN("d14:failure reason4:fulle")},
        {"404 Not Found", SPAN("d5:filesdee")},
        {"200 OK", SPAN("<html>")},
        {"200 OK", SPAN("")},
        {"200 OK", SPAN("de")},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        t.http_status = rows[i].status;
        set_body(rows[i].body);
        assert_no_counts(scrape_http("/announce", 2), true);
    }
    t.http_status = "200 OK";
    memset(t.body, '1', sizeof t.body); /* all that it has, instead of two */
    t.body_len = sizeof t.body;
    t.http_headers = "X-Long: 1\r\n";
    assert_no_counts(scrape_http("/announce", 2), true);
    assert_no_counts(scrape_http("/a", 2), false);
    assert_no_counts(scrape("http://127.0.0.1:1/announce", 2), false);
}

static void the_own_tracker_is_a_call(void **state)
{
    (void)state;
    assert_int_equal(scrape(NULL, 3)->n, 3);
    assert_true(t.counts[2].known);
    assert_int_equal(t.counts[2].counts.complete, 2);
    assert_int_equal(t.counts[2].counts.incomplete, 77);
    t.own_at[0].port = (uint16_t)t.udp.port;
    t.own_at[1].port = (uint16_t)t.http.port;
    assert_int_equal(scrape_udp("/announce", 1)->n, 1);
    assert_int_equal(t.counts[0].counts.incomplete, 77);
    assert_int_equal(scrape_http("/announce", 2)->n, 2);
    assert_int_equal(t.counts[1].counts.incomplete, 77);
    assert_int_equal(t.http.n_requests, 0);
    assert_int_equal(t.udp.n_scrapes, 0);
    t.trackers->opts.own_scrape = NULL;
    assert_no_counts(scrape(NULL, 3), false);
}

static void closing_gives_it_up(void **state)
{
    static const struct infohash hash;
    (void)state;
    const char *urls[] = {NULL, url_of("udp", t.udp.port, "")};
    for (size_t i = 0; i < 2; i++) {
        const struct scrape_request r = {.id = 1, .url = urls[i], .hashes = &hash, .n = 1};
        trackers_scrape(t.trackers, &r, &ANY4, &ANY6);
    }
    close_trackers();
    assert_int_equal(t.scraped_id, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(udp_scrapes_many),          TEST(udp_says_less_or_no),
        TEST(http_scrapes_many),         TEST(http_refusals_and_nonsense),
        TEST(the_own_tracker_is_a_call), TEST(closing_gives_it_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
