/* Of which tracker an announcer wants a scrape, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/announcer.h"

#include "base/banned.h"

static struct announcer *announcer_with(bool own, const char *const *urls, size_t n)
{
    struct announcer *a = announcer_new(own, 1);
    for (size_t i = 0; i < n; i++) {
        assert_true(announcer_add(a, span_str(urls[i]), (uint32_t)i)); /* a tier each */
    }
    return a;
}

/* What is due now begins. */
static void begin(struct announcer *a, uint64_t now_ms)
{
    struct announce_due due;
    uint32_t at = 0;
    assert_true(announcer_next(a, now_ms, &at, &due));
    announcer_on_begun(a, &due, now_ms);
}

static struct tracker_view view_of(const struct announcer *a, uint32_t i)
{
    struct tracker_view v;
    announcer_view(a, i, &v);
    return v;
}

static void assert_wants(const struct announcer *a, bool own, const char *url, uint64_t known_ms)
{
    struct scrape_want w;
    assert_true(announcer_wants_scrape(a, own, &w));
    assert_true(url == NULL ? w.url == NULL : strcmp(w.url, url) == 0);
    assert_int_equal(w.known_ms, known_ms);
}

static void whose_counts_are_wanted_while_stopped(void **state)
{
    static const char *const urls[] = {"http://a.example/a", "udp://b.example:6969/KEY",
                                       "udp://c.example:6969/announce",
                                       "http://d.example/announce"};
    (void)state;
    struct announcer *a = announcer_with(true, urls, 4);
    struct scrape_want w;
    assert_wants(a, false, urls[2], 0); /* the first two have no scrape */
    assert_wants(a, true, NULL, 0);
    const struct scrape_counts counts = {.complete = 5, .downloaded = 6, .incomplete = 7};
    announcer_on_scraped(a, 3, &counts, 500);
    assert_wants(a, false, urls[2], 500);
    assert_true(view_of(a, 3).has_counts);
    assert_int_equal(view_of(a, 3).counts.incomplete, 7);
    assert_int_equal(view_of(a, 3).counts_ms, 500);
    assert_int_equal(view_of(a, 3).state, TRACKER_IDLE);
    announcer_start(a, 1000, 0);
    assert_false(announcer_wants_scrape(a, false, &w));
    assert_false(announcer_wants_scrape(a, true, &w));
    announcer_stop(a, 1000);
    assert_wants(a, false, urls[2], 500);
    announcer_free(a);
}

static void not_before_it_has_said_stopped(void **state)
{
    static const char *const url = "http://a.example/announce";
    (void)state;
    struct announcer *a = announcer_with(false, &url, 1);
    struct scrape_want w;
    announcer_start(a, 0, 0);
    begin(a, 0);
    struct announce_outcome o = {.answered = true, .has_counts = true, .counts = {3, 4, 5}};
    announcer_on_outcome(a, 0, &o, 10);
    announcer_stop(a, 20);
    assert_false(announcer_wants_scrape(a, false, &w));
    begin(a, 20);
    assert_false(announcer_wants_scrape(a, false, &w));
    o.has_counts = false;
    announcer_on_outcome(a, 0, &o, 30);
    assert_wants(a, false, url, 10);
    announcer_free(a);
}

static void a_tracker_that_answers_without_counts(void **state)
{
    static const char *const urls[] = {"http://a.example/announce", "http://b.example/announce"};
    (void)state;
    struct announcer *a = announcer_with(false, urls, 2);
    struct scrape_want w;
    announcer_start(a, 0, 0);
    begin(a, 0);
    assert_false(announcer_wants_scrape(a, false, &w));
    struct announce_outcome o = {.answered = true};
    announcer_on_outcome(a, 0, &o, 10);
    assert_wants(a, false, urls[0], 0);
    announcer_want_peers(a, 20, true);
    begin(a, 20);
    assert_wants(a, false, urls[0], 0); /* while it is asked again */
    o.has_counts = true;
    announcer_on_outcome(a, 0, &o, 30);
    assert_false(announcer_wants_scrape(a, false, &w));
    announcer_want_peers(a, 40, true);
    begin(a, 40);
    o = (struct announce_outcome){.refused = true, .why = SPAN("unregistered torrent")};
    announcer_on_outcome(a, 0, &o, 50);
    assert_false(announcer_wants_scrape(a, false, &w));
    announcer_stop(a, 60);
    assert_wants(a, false, urls[1], 0); /* that one does not know the torrent */
    announcer_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whose_counts_are_wanted_while_stopped),
        cmocka_unit_test(not_before_it_has_said_stopped),
        cmocka_unit_test(a_tracker_that_answers_without_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
