/* Whose counts are asked for, of which tracker, and when, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client/scraper.h"

#include "base/banned.h"

enum { MANY = 400, START_MS = 1000, LATER_MS = 11 * (SCRAPE_INTERVAL_MS / 10) };

static const char *const HTTP = "http://t.example/announce";
static const char *const UDP = "udp://t.example:6969";

struct bench {
    struct scraper *s;
    struct scrape_entry e[MANY];
    struct infohash hashes[MANY];
    uint64_t now_ms;
    size_t n_told[MANY];
};

static void bench_init(struct bench *b)
{
    *b = (struct bench){.now_ms = START_MS};
    b->s = scraper_new(1);
    for (size_t i = 0; i < MANY; i++) {
        b->hashes[i] = (struct infohash){{(uint8_t)i, (uint8_t)(i >> 8)}};
    }
}

static void want(struct bench *b, size_t i, const char *url)
{
    const struct scrape_wish wish = {.hash = &b->hashes[i], .url = url};
    scraper_add(b->s, &b->e[i], &wish, b->now_ms);
}

static void want_many(struct bench *b, size_t n, const char *url)
{
    for (size_t i = 0; i < n; i++) {
        want(b, i, url);
    }
}

/* The next request, when its time has come. False: none before until_ms. */
static bool next(struct bench *b, uint64_t until_ms, struct scrape_request *out)
{
    uint64_t at_ms = scraper_deadline_ms(b->s);
    if (at_ms > until_ms) {
        return false;
    }
    b->now_ms = at_ms > b->now_ms ? at_ms : b->now_ms;
    assert_true(scraper_next(b->s, b->now_ms, out));
    return true;
}

static size_t index_of(const struct infohash *hash)
{
    return (size_t)hash->b[0] | (size_t)hash->b[1] << 8;
}

/* A tracker that knows those below n_known, and answers the first n_answered of a request. */
static void answer(struct bench *b, const struct scrape_request *r, size_t n_answered,
                   size_t n_known)
{
    struct scrape_answer answers[SCRAPE_MAX];
    struct scrape_entry *out[SCRAPE_MAX];
    struct scrape_result result = {.answered = true, .answers = answers};
    result.n = n_answered < r->n ? n_answered : r->n;
    for (size_t i = 0; i < result.n; i++) {
        answers[i].known = index_of(&r->hashes[i]) < n_known;
        b->n_told[index_of(&r->hashes[i])] += answers[i].known ? 1 : 0;
    }
    assert_int_equal(scraper_on_done(b->s, r->id, &result, b->now_ms, out), r->n);
}

static void no_counts(struct bench *b, const struct scrape_request *r, bool refused)
{
    struct scrape_entry *out[SCRAPE_MAX];
    const struct scrape_result result = {.refused = refused};
    assert_int_equal(scraper_on_done(b->s, r->id, &result, b->now_ms, out), r->n);
}

static void many_go_into_one_request(void **state)
{
    static const struct {
        const char *url;
        size_t most;
    } rows[] = {{HTTP, SCRAPE_HTTP_MAX},
                {"HTTPS://t/announce", SCRAPE_HTTP_MAX},
                {UDP, SCRAPE_MAX},
                {NULL, SCRAPE_MAX}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench b;
        struct scrape_request r;
        bench_init(&b);
        assert_true(scraper_deadline_ms(b.s) == UINT64_MAX);
        want_many(&b, 100, rows[i].url);
        assert_false(next(&b, START_MS + SCRAPE_GATHER_MS - 1, &r));
        assert_true(next(&b, START_MS + SCRAPE_GATHER_MS, &r));
        assert_int_equal(r.n, rows[i].most);
        assert_true(rows[i].url == NULL ? r.url == NULL : strcmp(r.url, rows[i].url) == 0);
        /* One at a time, and a while between two. */
        assert_false(next(&b, UINT64_MAX - 1, &r));
        answer(&b, &r, MANY, MANY);
        uint64_t began_ms = b.now_ms;
        assert_true(next(&b, UINT64_MAX - 1, &r));
        assert_int_equal(b.now_ms, began_ms + SCRAPE_GAP_MS);
        assert_int_equal(r.n, 100 - rows[i].most);
        scraper_free(b.s);
    }
}

static void each_is_asked_for_once_an_interval(void **state)
{
    (void)state;
    struct bench b;
    struct scrape_request r;
    size_t n_requests = 0;
    bench_init(&b);
    want_many(&b, 300, UDP);
    while (next(&b, START_MS + SCRAPE_INTERVAL_MS, &r)) {
        n_requests++;
        answer(&b, &r, MANY, MANY);
        want_many(&b, 300, UDP); /* it is wanted already */
    }
    assert_int_equal(n_requests, 5);
    while (next(&b, START_MS + LATER_MS + MANY * SCRAPE_GAP_MS, &r)) {
        n_requests++;
        answer(&b, &r, MANY, MANY);
    }
    assert_in_range(n_requests, 10, 15); /* what went together stays together */
    for (size_t i = 0; i < 300; i++) {
        assert_int_equal(b.n_told[i], 2);
    }
    scraper_free(b.s);
}

static void counts_that_are_known_wait(void **state)
{
    (void)state;
    struct bench b;
    struct scrape_request r;
    bench_init(&b);
    struct scrape_wish wish = {.hash = &b.hashes[0], .url = HTTP, .known_ms = START_MS};
    b.now_ms += 60000;
    scraper_add(b.s, &b.e[0], &wish, b.now_ms);
    assert_int_equal(scraper_deadline_ms(b.s), START_MS + SCRAPE_INTERVAL_MS + SCRAPE_GATHER_MS);
    assert_true(next(&b, UINT64_MAX - 1, &r));
    /* A tracker that wants it longer gets it longer. */
    const struct scrape_answer known = {.known = true};
    const struct scrape_result slow = {
        .answered = true, .answers = &known, .n = 1, .min_interval_s = 7200};
    struct scrape_entry *out[SCRAPE_MAX];
    assert_int_equal(scraper_on_done(b.s, r.id, &slow, b.now_ms, out), 1);
    assert_ptr_equal(out[0], &b.e[0]);
    assert_true(scraper_deadline_ms(b.s) >= b.now_ms + 7200000);
    assert_int_equal(scraper_on_done(b.s, r.id, &slow, b.now_ms, out), 0); /* told already */
    scraper_free(b.s);
}

static void all_trackers_together_have_a_limit(void **state)
{
    (void)state;
    struct bench b;
    struct scrape_request r[SCRAPES_MAX + 1];
    char urls[20][40];
    bench_init(&b);
    for (size_t i = 0; i < 20; i++) {
        (void)snprintf(urls[i], sizeof urls[i], "http://t%zu.example/announce", i);
        want(&b, i, urls[i]);
    }
    for (size_t i = 0; i < SCRAPES_MAX; i++) {
        assert_true(next(&b, UINT64_MAX - 1, &r[i]));
        assert_int_equal(b.now_ms, START_MS + SCRAPE_GATHER_MS + i * (1000 / SCRAPES_PER_S));
    }
    assert_true(scraper_deadline_ms(b.s) == UINT64_MAX);
    answer(&b, &r[3], MANY, MANY);
    scraper_hold(b.s, b.now_ms + 5000);
    uint64_t held_ms = b.now_ms;
    assert_true(next(&b, UINT64_MAX - 1, &r[3]));
    assert_int_equal(b.now_ms, held_ms + 5000);
    scraper_free(b.s);
}

static void sessions_ask_for_themselves(void **state)
{
    (void)state;
    struct bench b;
    struct scrape_request r[2];
    bench_init(&b);
    want(&b, 0, HTTP);
    struct scrape_wish wish = {.hash = &b.hashes[1], .session = 7, .url = HTTP};
    scraper_add(b.s, &b.e[1], &wish, b.now_ms);
    assert_true(next(&b, UINT64_MAX - 1, &r[0]));
    assert_true(next(&b, UINT64_MAX - 1, &r[1]));
    assert_int_equal(r[0].n, 1);
    assert_int_equal(r[0].session + r[1].session, 7);
    scraper_free(b.s);
}

static void who_refuses_many_is_asked_for_fewer(void **state)
{
    static const size_t sizes[] = {74, 18, 4, 1};
    (void)state;
    struct bench b;
    struct scrape_request r;
    bench_init(&b);
    want_many(&b, 100, UDP);
    for (size_t i = 0; i < 4; i++) {
        assert_true(next(&b, START_MS + 60000, &r));
        assert_int_equal(r.n, sizes[i]);
        if (i < 3) {
            no_counts(&b, &r, true);
        }
    }
    answer(&b, &r, MANY, MANY);
    for (size_t i = 1; i < 100; i++) {
        assert_true(next(&b, START_MS + 300000, &r));
        assert_int_equal(r.n, 1);
        answer(&b, &r, MANY, MANY);
    }
    assert_false(next(&b, START_MS + SCRAPE_INTERVAL_MS, &r));
    scraper_free(b.s);
}

static void who_fails_is_left_alone_longer_and_longer(void **state)
{
    static const bool refusals[] = {false, true};
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct bench b;
        struct scrape_request r;
        uint64_t wait_ms = SCRAPE_RETRY_MS;
        bench_init(&b);
        want(&b, 0, HTTP);
        assert_true(next(&b, UINT64_MAX - 1, &r));
        for (size_t i = 0; i < 40; i++, wait_ms *= 2) {
            uint64_t failed_ms = b.now_ms;
            no_counts(&b, &r, refusals[k]);
            want(&b, 1, HTTP); /* others wait as well */
            want(&b, 1, UDP);
            scraper_remove(b.s, &b.e[1]);
            wait_ms = wait_ms < SCRAPE_RETRY_MAX_MS ? wait_ms : SCRAPE_RETRY_MAX_MS;
            assert_true(next(&b, UINT64_MAX - 1, &r));
            assert_in_range(b.now_ms - failed_ms, wait_ms, wait_ms + wait_ms / 10);
        }
        answer(&b, &r, MANY, MANY);
        assert_true(next(&b, UINT64_MAX - 1, &r));
        uint64_t failed_ms = b.now_ms;
        no_counts(&b, &r, false);
        assert_true(next(&b, UINT64_MAX - 1, &r));
        assert_true(b.now_ms - failed_ms < 2 * SCRAPE_RETRY_MS); /* forgiven */
        scraper_free(b.s);
    }
}

static void what_a_tracker_cuts_off_is_asked_for_again(void **state)
{
    (void)state;
    struct bench b;
    struct scrape_request r;
    size_t n_requests = 0;
    bench_init(&b);
    want_many(&b, 100, UDP);
    while (next(&b, START_MS + 60000, &r)) {
        assert_true(r.n <= (n_requests == 0 ? SCRAPE_MAX : 30));
        answer(&b, &r, 30, MANY);
        n_requests++;
    }
    assert_int_equal(n_requests, 4);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(b.n_told[i], 1);
    }
    scraper_free(b.s);
}

/* It sees one info_hash of a query, and answers for that alone. */
static void a_tracker_that_sees_only_one(void **state)
{
    (void)state;
    struct bench b;
    struct scrape_request r;
    struct scrape_entry *out[SCRAPE_MAX];
    size_t n_requests = 0;
    bench_init(&b);
    want_many(&b, 20, HTTP);
    while (next(&b, START_MS + 60000, &r)) {
        struct scrape_answer answers[SCRAPE_MAX] = {0};
        answers[r.n - 1].known = true;
        b.n_told[index_of(&r.hashes[r.n - 1])]++;
        const struct scrape_result result = {.answered = true, .answers = answers, .n = r.n};
        assert_int_equal(scraper_on_done(b.s, r.id, &result, b.now_ms, out), r.n);
        n_requests++;
    }
    assert_int_equal(n_requests, 20);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(b.n_told[i], 1);
    }
    scraper_free(b.s);
}

/* That looks the same at first. */
static void a_tracker_that_knows_only_one(void **state)
{
    (void)state;
    struct bench b;
    struct scrape_request r;
    size_t n_requests = 0;
    bench_init(&b);
    want_many(&b, 20, HTTP);
    while (next(&b, START_MS + SCRAPE_INTERVAL_MS, &r)) {
        answer(&b, &r, MANY, 1);
        n_requests++;
    }
    assert_int_equal(n_requests, 3); /* all, one that is not known, the rest */
    while (next(&b, START_MS + LATER_MS + 60000, &r)) {
        answer(&b, &r, MANY, 1);
        n_requests++;
    }
    assert_in_range(n_requests, 4, 6);
    scraper_free(b.s);
}

static void who_leaves_is_not_told(void **state)
{
    (void)state;
    struct bench b;
    struct scrape_request r;
    struct scrape_entry *out[SCRAPE_MAX];
    const struct scrape_answer answers[2] = {{.known = true}, {.known = true}};
    const struct scrape_result result = {.answered = true, .answers = answers, .n = 2};
    bench_init(&b);
    want_many(&b, 2, HTTP);
    assert_true(next(&b, UINT64_MAX - 1, &r));
    scraper_remove(b.s, &b.e[0]);
    want(&b, 1, UDP); /* of another one now */
    assert_int_equal(scraper_on_done(b.s, r.id, &result, b.now_ms, out), 2);
    assert_null(out[0]);
    assert_null(out[1]);
    assert_true(next(&b, UINT64_MAX - 1, &r));
    assert_string_equal(r.url, UDP);
    scraper_remove(b.s, &b.e[1]);
    scraper_remove(b.s, &b.e[1]);
    answer(&b, &r, MANY, MANY);
    assert_true(scraper_deadline_ms(b.s) == UINT64_MAX);
    scraper_free(b.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_go_into_one_request),
        cmocka_unit_test(each_is_asked_for_once_an_interval),
        cmocka_unit_test(counts_that_are_known_wait),
        cmocka_unit_test(all_trackers_together_have_a_limit),
        cmocka_unit_test(sessions_ask_for_themselves),
        cmocka_unit_test(who_refuses_many_is_asked_for_fewer),
        cmocka_unit_test(who_fails_is_left_alone_longer_and_longer),
        cmocka_unit_test(what_a_tracker_cuts_off_is_asked_for_again),
        cmocka_unit_test(a_tracker_that_sees_only_one),
        cmocka_unit_test(a_tracker_that_knows_only_one),
        cmocka_unit_test(who_leaves_is_not_told),
    };
    return cmocka_run_group_tests_name("scraper", tests, NULL, NULL);
}
