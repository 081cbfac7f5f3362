/* When a torrent announces itself, to whom and what it says, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/announcer.h"

#include "base/banned.h"

static const uint64_t NEVER = UINT64_MAX;

static struct announcer *announcer_with(bool own, const char *const *urls, size_t n)
{
    struct announcer *a = announcer_new(own, 1);
    for (size_t i = 0; i < n; i++) {
        assert_true(announcer_add(a, span_str(urls[i]), (uint32_t)i)); /* a tier each */
    }
    return a;
}

/* What is due now: exactly one thing; its index. */
static uint32_t begin_one(struct announcer *a, uint64_t now_ms, enum announce_event event)
{
    struct announce_due due;
    struct announce_due second;
    uint32_t at = 0;
    assert_true(announcer_deadline_ms(a) <= now_ms);
    assert_true(announcer_next(a, now_ms, &at, &due));
    assert_int_equal(due.event, event);
    assert_int_equal(due.numwant, event == EVENT_STOPPED ? 0 : ANNOUNCE_NUMWANT);
    assert_false(announcer_next(a, now_ms, &at, &second));
    announcer_on_begun(a, &due, now_ms);
    return due.tracker;
}

static void nothing_due(struct announcer *a, uint64_t now_ms)
{
    struct announce_due due;
    uint32_t at = 0;
    assert_false(announcer_next(a, now_ms, &at, &due));
    assert_true(announcer_deadline_ms(a) > now_ms);
}

static void answer(struct announcer *a, uint32_t tracker, uint32_t interval_s, uint32_t min_s,
                   uint64_t now_ms)
{
    struct announce_outcome o = {
        .answered = true,
        .interval_s = interval_s,
        .min_interval_s = min_s,
    };
    announcer_on_outcome(a, tracker, &o, now_ms);
}

static void refuse(struct announcer *a, uint32_t tracker, const char *why, int32_t retry_in_min,
                   uint64_t now_ms)
{
    struct announce_outcome o = {
        .why = span_str(why),
        .refused = true,
        .retry_in_min = retry_in_min,
    };
    announcer_on_outcome(a, tracker, &o, now_ms);
}

static void no_answer(struct announcer *a, uint32_t tracker, uint64_t now_ms)
{
    struct announce_outcome o = {.why = SPAN("timed out")};
    announcer_on_outcome(a, tracker, &o, now_ms);
}

static struct tracker_view view_of(const struct announcer *a, uint32_t i)
{
    struct tracker_view v;
    announcer_view(a, i, &v);
    return v;
}

static const char *const two[] = {"http://a.example/announce", "udp://b.example:6969"};

static void which_urls_are_taken(void **state)
{
    (void)state;
    char longest[TRACKER_URL_MAX + 2] = "http://";
    memset(longest + 7, 'a', TRACKER_URL_MAX + 1 - 7);
    struct announcer *a = announcer_new(false, 1);
    assert_false(announcer_add(a, span_str(longest), 0));
    longest[TRACKER_URL_MAX] = '\0';
    assert_true(announcer_add(a, span_str(longest), 0));
    assert_true(announcer_add(a, SPAN("HTTPS://a/b?c"), 0));
    assert_true(announcer_add(a, SPAN("udp://a:1"), 7));
    assert_true(announcer_add(a, SPAN("udp://[::1]:1/x"), 7));
    assert_false(announcer_add(a, SPAN("udp://a:1"), 8)); /* there already */
    assert_false(announcer_add(a, SPAN("wss://a/"), 0));
    assert_false(announcer_add(a, SPAN("file:///etc/passwd"), 0));
    assert_false(announcer_add(a, SPAN("http:/a"), 0));
    assert_false(announcer_add(a, SPAN("http://"), 0));
    assert_false(announcer_add(a, SPAN("http:///announce"), 0));
    assert_false(announcer_add(a, SPAN("udp://:80"), 0));
    assert_false(announcer_add(a, SPAN("http://a b/"), 0));
    assert_false(announcer_add(a, SPAN("http://a\r\nHost: b/"), 0));
    assert_false(announcer_add(a, SPAN("http://a\0b/"), 0));
    assert_false(announcer_add(a, SPAN(""), 0));
    assert_int_equal(announcer_count(a), 4);
    announcer_free(a);
}

static void there_is_a_limit(void **state)
{
    (void)state;
    struct announcer *a = announcer_new(true, 1);
    char url[64];
    for (int i = 0; i < TRACKERS_MAX; i++) {
        (void)snprintf(url, sizeof url, "http://t%d.example/", i);
        assert_true(announcer_add(a, span_str(url), (uint32_t)(TRACKERS_MAX - i)));
    }
    assert_false(announcer_add(a, SPAN("http://one.more/"), 0));
    assert_int_equal(announcer_count(a), TRACKERS_MAX + 1);
    announcer_start(a, 0, 0);
    struct announce_due due;
    uint32_t at = 0;
    assert_true(announcer_next(a, 0, &at, &due));
    assert_null(due.url); /* the own one */
    assert_true(announcer_next(a, 0, &at, &due));
    assert_string_equal(due.url, url); /* of the lowest tier */
    assert_false(announcer_next(a, 0, &at, &due));
    announcer_free(a);
}

static void an_ordinary_life(void **state)
{
    (void)state;
    struct announcer *a = announcer_with(false, two, 1);
    nothing_due(a, 1000);
    assert_true(announcer_deadline_ms(a) == NEVER);
    assert_true(announcer_is_done(a));
    announcer_start(a, 1000, 0);
    assert_int_equal(begin_one(a, 1000, EVENT_STARTED), 0);
    assert_true(view_of(a, 0).announcing);
    assert_true(announcer_deadline_ms(a) == NEVER); /* until the outcome */
    answer(a, 0, 1800, 900, 2000);
    nothing_due(a, 2000 + 1799999);
    uint64_t at_ms = announcer_deadline_ms(a);
    assert_in_range(at_ms, 2000 + 1800000, 2000 + 1980000);
    assert_true(view_of(a, 0).next_ms == at_ms);
    begin_one(a, at_ms, EVENT_NONE);
    answer(a, 0, 1800, 900, at_ms);
    announcer_on_completed(a, at_ms + 5000);
    begin_one(a, at_ms + 5000, EVENT_COMPLETED); /* news do not wait */
    answer(a, 0, 1800, 900, at_ms + 5000);
    nothing_due(a, at_ms + 5000 + 1799999);
    announcer_stop(a, at_ms + 6000);
    assert_false(announcer_is_done(a));
    begin_one(a, at_ms + 6000, EVENT_STOPPED);
    assert_false(announcer_is_done(a));
    answer(a, 0, 1800, 900, at_ms + 6001);
    assert_true(announcer_is_done(a));
    assert_true(announcer_deadline_ms(a) == NEVER);
    assert_int_equal(view_of(a, 0).n_announces, 4);
    announcer_start(a, at_ms + 7000, 0);
    begin_one(a, at_ms + 7000, EVENT_STARTED);
    announcer_free(a);
}

static void intervals_are_kept_within_reason(void **state)
{
    static const struct {
        uint32_t interval_s, min_s;
        uint64_t first_ms, asked_ms; /* when it comes by itself, and when peers are wanted */
    } rows[] = {
        {1800, 900, 1800000, 900000},
        {0, 0, 1800000, 300000},
        {0, 60, 1800000, 60000},
        {60, 0, 60000, 60000},
        {1, 1, 5000, 5000},
        {60, 600, 600000, 600000}, /* the min interval is the stronger word */
        {UINT32_MAX, 0, 86400000, 300000},
        {1800, UINT32_MAX, 86400000, 86400000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct announcer *a = announcer_with(false, two, 1);
        announcer_start(a, 0, 0);
        begin_one(a, 0, EVENT_STARTED);
        answer(a, 0, rows[i].interval_s, rows[i].min_s, 0);
        assert_in_range(announcer_deadline_ms(a), rows[i].first_ms,
                        rows[i].first_ms + rows[i].first_ms / 10);
        announcer_want_peers(a, 10, false);
        assert_int_equal(announcer_deadline_ms(a), rows[i].asked_ms);
        nothing_due(a, rows[i].asked_ms - 1);
        begin_one(a, rows[i].asked_ms, EVENT_NONE);
        announcer_free(a);
    }
}

static void the_own_tracker_may_be_quicker(void **state)
{
    (void)state;
    struct announcer *a = announcer_new(true, 1);
    announcer_start(a, 0, 0);
    begin_one(a, 0, EVENT_STARTED);
    answer(a, 0, 2, 1, 0);
    assert_in_range(announcer_deadline_ms(a), 2000, 2200);
    assert_null(view_of(a, 0).url);
    announcer_free(a);
}

static void jitter_only_lengthens_and_differs(void **state)
{
    (void)state;
    uint64_t first = 0;
    bool differs = false;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct announcer *a = announcer_new(false, seed);
        assert_true(announcer_add(a, span_str(two[0]), 0));
        announcer_start(a, 0, 0);
        begin_one(a, 0, EVENT_STARTED);
        answer(a, 0, 1000, 0, 0);
        uint64_t at_ms = announcer_deadline_ms(a);
        assert_in_range(at_ms, 1000000, 1100000);
        differs = differs || (first != 0 && at_ms != first);
        first = at_ms;
        announcer_free(a);
    }
    assert_true(differs);
}

static void a_late_start_stays_late(void **state)
{
    (void)state;
    struct announcer *a = announcer_with(true, two, 1);
    struct announce_due due;
    uint32_t at = 0;
    announcer_start(a, 1000, 60000);
    announcer_want_peers(a, 2000, false);
    assert_int_equal(announcer_deadline_ms(a), 61000);
    announcer_start(a, 2000, 0); /* it runs */
    nothing_due(a, 60999);
    announcer_want_peers(a, 3000, true); /* somebody asked for it */
    assert_true(announcer_next(a, 3000, &at, &due));
    announcer_free(a);
}

static void force_goes_before_the_min_interval(void **state)
{
    (void)state;
    struct announcer *a = announcer_with(false, two, 2);
    announcer_start(a, 0, 0);
    begin_one(a, 0, EVENT_STARTED);
    answer(a, 0, 1800, 900, 0);
    announcer_want_peers(a, 1000, true);
    assert_int_equal(begin_one(a, 1000, EVENT_NONE), 0);
    announcer_want_peers(a, 1500, true); /* it is being asked */
    nothing_due(a, 1500);
    answer(a, 0, 1800, 900, 2000);
    nothing_due(a, 900000);
    announcer_free(a);
}

static void failures_wait_longer_each_time(void **state)
{
    (void)state;
    struct announcer *a = announcer_with(false, two, 1);
    uint64_t now_ms = 0;
    announcer_start(a, 0, 0);
    for (uint64_t n = 1; n <= 40; n++) {
        begin_one(a, now_ms, EVENT_STARTED);
        now_ms += 7;
        no_answer(a, 0, now_ms);
        uint64_t wait_ms = 5000 + 12500 * n * n;
        wait_ms = wait_ms > 3600000 ? 3600000 : wait_ms;
        uint64_t at_ms = announcer_deadline_ms(a);
        assert_in_range(at_ms - now_ms, wait_ms, wait_ms + wait_ms / 10);
        assert_true(at_ms - now_ms <= 3600000);
        assert_int_equal(view_of(a, 0).n_failures, n);
        assert_true(view_of(a, 0).next_ms == at_ms);
        announcer_want_peers(a, now_ms, false); /* changes nothing */
        nothing_due(a, at_ms - 1);
        now_ms = at_ms;
    }
    assert_true(announcer_has_failed(a));
    assert_string_equal(view_of(a, 0).text, "timed out");
    begin_one(a, now_ms, EVENT_STARTED);
    answer(a, 0, 0, 0, now_ms);
    assert_int_equal(view_of(a, 0).n_failures, 0);
    assert_string_equal(view_of(a, 0).text, "");
    assert_false(announcer_has_failed(a));
    announcer_free(a);
}

static void retry_in_is_obeyed(void **state)
{
    static const struct {
        int32_t retry_in_min;
        uint64_t wait_ms; /* 0: for ever */
    } rows[] = {{1, 60000}, {5, 300000}, {INT32_MAX, 86400000}, {-1, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct announcer *a = announcer_with(false, two, 1);
        announcer_start(a, 0, 0);
        begin_one(a, 0, EVENT_STARTED);
        refuse(a, 0, "overloaded", rows[i].retry_in_min, 0);
        if (rows[i].wait_ms == 0) {
            assert_true(announcer_deadline_ms(a) == NEVER);
            assert_true(view_of(a, 0).next_ms == NEVER);
            announcer_want_peers(a, 10, true);
            begin_one(a, 10, EVENT_STARTED);
        } else {
            assert_in_range(announcer_deadline_ms(a), rows[i].wait_ms,
                            rows[i].wait_ms + rows[i].wait_ms / 10);
        }
        announcer_free(a);
    }
}

static void unregistered_is_a_state_of_its_own(void **state)
{
    (void)state;
    struct announcer *a = announcer_with(false, two, 1);
    announcer_start(a, 0, 0);
    begin_one(a, 0, EVENT_STARTED);
    answer(a, 0, 60, 0, 0);
    uint64_t now_ms = announcer_deadline_ms(a);
    begin_one(a, now_ms, EVENT_NONE);
    refuse(a, 0, "Unregistered torrent", 0, now_ms);
    assert_int_equal(view_of(a, 0).state, TRACKER_UNREGISTERED);
    assert_true(announcer_has_failed(a));
    uint64_t at_ms = announcer_deadline_ms(a);
    assert_in_range(at_ms - now_ms, UNREGISTERED_RETRY_MS,
                    UNREGISTERED_RETRY_MS + UNREGISTERED_RETRY_MS / 10);
    begin_one(a, at_ms, EVENT_STARTED); /* it has forgotten us */
    refuse(a, 0, "torrent not on whitelist", 5, at_ms);
    assert_in_range(announcer_deadline_ms(a) - at_ms, 300000, 330000);
    announcer_stop(a, at_ms + 1);
    assert_true(announcer_is_done(a)); /* nobody to tell */
    announcer_free(a);
}

static void which_refusals_mean_unregistered(void **state)
{
    static const char *const yes[] = {
        "unregistered torrent",
        "Torrent not registered with this tracker.",
        "torrent not on whitelist",
        "Unknown torrent",
        "unknown info_hash",
        "Requested download is not authorized for use with this tracker.",
        "Torrent not found",
        "UNREGISTERED TORRENT pass",
    };
    static const char *const no[] = {
        "",
        "Your client is not on the whitelist",
        "unregistered passkey",
        "overloaded",
        "access key unknown",
        "user not registered",
        "not registere",
    };
    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        assert_true(announce_is_unregistered(span_str(yes[i])));
    }
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        assert_false(announce_is_unregistered(span_str(no[i])));
    }
    assert_false(announce_is_unregistered(span_of(NULL, 0)));
}

/* BEP 12: the next tier only when a whole tier fails, and the front of the list again in the end. */
static void tiers(void **state)
{
    (void)state;
    struct announcer *a = announcer_new(false, 3);
    assert_true(announcer_add(a, SPAN("http://b/"), 9)); /* 0: the backup */
    assert_true(announcer_add(a, SPAN("http://a1/"), 2));
    assert_true(announcer_add(a, SPAN("http://a2/"), 2));
    assert_true(announcer_add(a, SPAN("http://a3/"), 2));
    bool asked[4] = {false};
    announcer_start(a, 0, 0);
    for (int i = 0; i < 3; i++) {
        uint32_t t = begin_one(a, 10, EVENT_STARTED);
        assert_in_range(t, 1, 3);
        assert_false(asked[t]);
        asked[t] = true;
        no_answer(a, t, 10);
        assert_false(announcer_has_failed(a));
    }
    assert_int_equal(begin_one(a, 10, EVENT_STARTED), 0);
    answer(a, 0, 600, 0, 10);
    uint64_t at_ms = announcer_deadline_ms(a);
    assert_true(at_ms >= 600000); /* nobody else is asked meanwhile */
    uint32_t first = begin_one(a, at_ms, EVENT_STARTED);
    assert_in_range(first, 1, 3);
    no_answer(a, first, at_ms);
    uint32_t second = begin_one(a, at_ms, EVENT_STARTED);
    answer(a, second, 600, 0, at_ms);
    /* The one that works is the front of its tier now, and the backup is out of use. */
    for (int i = 0; i < 5; i++) {
        at_ms = announcer_deadline_ms(a);
        assert_int_equal(begin_one(a, at_ms, EVENT_NONE), second);
        answer(a, second, 600, 0, at_ms);
    }
    announcer_on_completed(a, at_ms);
    assert_int_equal(begin_one(a, at_ms, EVENT_COMPLETED), second);
    answer(a, second, 600, 0, at_ms);
    nothing_due(a, at_ms);
    /* stopped goes to everybody who took started, at once. */
    announcer_stop(a, at_ms);
    struct announce_due due;
    uint32_t at = 0;
    unsigned told = 0;
    while (announcer_next(a, at_ms, &at, &due)) {
        assert_int_equal(due.event, EVENT_STOPPED);
        told |= 1U << due.tracker;
    }
    assert_int_equal(told, 1U << 0 | 1U << second);
    announcer_free(a);
}

static void a_tier_is_shuffled(void **state)
{
    (void)state;
    unsigned seen = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct announcer *a = announcer_new(false, seed);
        assert_true(announcer_add(a, SPAN("http://a1/"), 0));
        assert_true(announcer_add(a, SPAN("http://a2/"), 0));
        assert_true(announcer_add(a, SPAN("http://a3/"), 0));
        announcer_start(a, 0, 0);
        seen |= 1U << begin_one(a, 0, EVENT_STARTED);
        announcer_free(a);
    }
    assert_int_equal(seen, 7);
}

static void completed_goes_only_to_whom_took_started(void **state)
{
    (void)state;
    struct announcer *a = announcer_with(true, two, 1);
    struct announce_due due[2];
    uint32_t at = 0;
    announcer_start(a, 0, 0);
    assert_true(announcer_next(a, 0, &at, &due[0]));
    assert_true(announcer_next(a, 0, &at, &due[1]));
    announcer_on_begun(a, &due[0], 0);
    announcer_on_begun(a, &due[1], 0);
    announcer_on_completed(a, 100);
    nothing_due(a, 100);
    /* The own one takes started: it said the download was not complete. The other fails, and hears
     * a started of a complete torrent later. */
    answer(a, 0, 1800, 0, 200);
    assert_int_equal(begin_one(a, 200, EVENT_COMPLETED), 0);
    no_answer(a, 0, 210);
    no_answer(a, 1, 300);
    uint64_t at_ms = announcer_deadline_ms(a);
    assert_int_equal(begin_one(a, at_ms, EVENT_COMPLETED), 0); /* not answered: once more */
    answer(a, 0, 1800, 0, at_ms);
    at_ms = announcer_deadline_ms(a);
    assert_int_equal(begin_one(a, at_ms, EVENT_STARTED), 1);
    answer(a, 1, 1800, 0, at_ms);
    nothing_due(a, at_ms + 1000);
    announcer_free(a);
}

static void nobody_who_took_no_started_hears_stopped(void **state)
{
    (void)state;
    struct announcer *a = announcer_with(false, two, 2);
    announcer_start(a, 0, 0);
    announcer_stop(a, 1);
    assert_true(announcer_is_done(a));
    announcer_start(a, 2, 0);
    uint32_t t = begin_one(a, 2, EVENT_STARTED);
    announcer_stop(a, 3);
    assert_false(announcer_is_done(a)); /* the started may be taken yet */
    no_answer(a, t, 4);
    assert_true(announcer_is_done(a));
    nothing_due(a, 1000000);
    announcer_start(a, 1000001, 0);
    t = begin_one(a, 1000001, EVENT_STARTED);
    announcer_stop(a, 1000002);
    answer(a, t, 0, 0, 1000003);
    assert_int_equal(begin_one(a, 1000003, EVENT_STOPPED), t);
    no_answer(a, t, 1000004); /* given up */
    assert_true(announcer_is_done(a));
    announcer_free(a);
}

static void a_pause_that_is_taken_back(void **state)
{
    (void)state;
    struct announcer *a = announcer_with(false, two, 1);
    announcer_start(a, 0, 0);
    begin_one(a, 0, EVENT_STARTED);
    answer(a, 0, 1800, 900, 0);
    announcer_stop(a, 1000);
    announcer_start(a, 1001, 0); /* nothing was said: it goes on */
    nothing_due(a, 1001);
    assert_int_equal(announcer_deadline_ms(a), 900000);
    announcer_stop(a, 2000);
    begin_one(a, 2000, EVENT_STOPPED);
    announcer_start(a, 2001, 0); /* said: the start has to wait for the answer */
    nothing_due(a, 2001);
    answer(a, 0, 1800, 900, 2500);
    begin_one(a, 2500, EVENT_STARTED);
    announcer_free(a);
}

static void a_tracker_added_later_has_its_turn(void **state)
{
    (void)state;
    struct announcer *a = announcer_new(false, 1);
    announcer_start(a, 0, 0);
    nothing_due(a, 0);
    assert_false(announcer_has_failed(a)); /* there is nobody who could */
    assert_true(announcer_add(a, span_str(two[0]), 0));
    begin_one(a, 5, EVENT_STARTED);
    assert_true(announcer_add(a, span_str(two[1]), 1));
    no_answer(a, 0, 6);
    assert_int_equal(begin_one(a, 6, EVENT_STARTED), 1);
    announcer_free(a);
}

static void what_the_api_shows(void **state)
{
    (void)state;
    struct announcer *a = announcer_with(false, two, 2);
    struct tracker_view v = view_of(a, 1);
    assert_string_equal(v.url, two[1]);
    assert_int_equal(v.tier, 1);
    assert_int_equal(v.state, TRACKER_IDLE);
    assert_string_equal(v.text, "");
    assert_true(v.next_ms == NEVER);
    announcer_start(a, 0, 0);
    begin_one(a, 0, EVENT_STARTED);
    struct announce_outcome o = {
        .answered = true,
        .counts = {.complete = 3, .downloaded = 4, .incomplete = 5},
        .has_counts = true,
        .warning = SPAN("  be\nkind \xff \xe2\x82\xac"),
    };
    announcer_on_outcome(a, 0, &o, 77);
    v = view_of(a, 0);
    assert_int_equal(v.state, TRACKER_WORKING);
    assert_string_equal(v.text, "be?kind ? \xe2\x82\xac");
    assert_true(v.has_counts);
    assert_int_equal(v.counts.incomplete, 5);
    assert_int_equal(v.last_ms, 77);
    assert_true(view_of(a, 1).next_ms == NEVER); /* not in use */
    announcer_want_peers(a, 100, true);
    begin_one(a, 100, EVENT_NONE);
    char reason[400];
    memset(reason, 'x', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    memcpy(reason + ANNOUNCE_TEXT_MAX - 3, "\xe2\x82\xac", 3); /* would be cut in two */
    refuse(a, 0, reason, 0, 200);
    v = view_of(a, 0);
    assert_int_equal(strlen(v.text), ANNOUNCE_TEXT_MAX - 3);
    assert_int_equal(v.state, TRACKER_FAILED);
    assert_int_equal(v.last_ms, 200);
    announcer_free(a);
}

/* What one tracker was told and has answered, to hold the rules against. */
struct seen {
    bool known;
    uint64_t min_ms; /* not before, for an ordinary announce */
};

enum { LIFE_N = 7, LIVES = 60, LIFE_STEPS = 400 };

struct life {
    struct announcer *a;
    struct rng rng;
    uint32_t n;
    struct seen seen[LIFE_N];
    struct announce_due under_way[LIFE_N];
    size_t n_under_way;
    uint64_t now_ms;
    bool running;
    bool completed;
};

static void life_decide(struct life *l)
{
    switch (rng_below(&l->rng, 40)) {
    case 0:
        announcer_start(l->a, l->now_ms, 0);
        l->running = true;
        break;
    case 1:
        announcer_stop(l->a, l->now_ms);
        l->running = false;
        break;
    case 2:
        announcer_on_completed(l->a, l->now_ms);
        l->completed = l->completed || l->running;
        break;
    case 3:
        announcer_want_peers(l->a, l->now_ms, false);
        break;
    case 4:
        announcer_want_peers(l->a, l->now_ms, true);
        for (size_t i = 0; i < LIFE_N && l->running; i++) {
            l->seen[i].min_ms = 0;
        }
        break;
    default:
        break;
    }
}

static void life_check(const struct life *l, const struct announce_due *due)
{
    const struct seen *s = &l->seen[due->tracker];
    assert_true(due->tracker < l->n);
    assert_int_equal(l->running, due->event != EVENT_STOPPED);
    assert_int_equal(s->known, due->event != EVENT_STARTED);
    assert_true(due->event != EVENT_COMPLETED || l->completed);
    assert_true(due->event != EVENT_NONE || l->now_ms >= s->min_ms);
    for (size_t i = 0; i < l->n_under_way; i++) {
        const struct announce_due *other = &l->under_way[i];
        bool stop = other->event == EVENT_STOPPED || due->event == EVENT_STOPPED;
        assert_int_not_equal(other->tracker, due->tracker);
        /* One URL at a time, and the own one beside it. */
        assert_true(stop || due->url == NULL || other->url == NULL);
    }
}

static void life_begin(struct life *l)
{
    struct announce_due due;
    uint32_t at = 0;
    bool any = false;
    while (announcer_next(l->a, l->now_ms, &at, &due)) {
        any = true;
        life_check(l, &due);
        announcer_on_begun(l->a, &due, l->now_ms);
        l->under_way[l->n_under_way++] = due;
    }
    assert_true(any || announcer_deadline_ms(l->a) > l->now_ms);
}

static void life_outcome(struct life *l)
{
    uint32_t pick = rng_below(&l->rng, (uint32_t)l->n_under_way);
    struct announce_due due = l->under_way[pick];
    struct seen *s = &l->seen[due.tracker];
    uint32_t min_s = 5 + rng_below(&l->rng, 500);
    l->under_way[pick] = l->under_way[--l->n_under_way];
    switch (rng_below(&l->rng, 5)) {
    case 0:
        no_answer(l->a, due.tracker, l->now_ms);
        s->min_ms = l->now_ms + 17500;
        s->known = s->known && due.event != EVENT_STOPPED;
        break;
    case 1:
        refuse(l->a, due.tracker, "torrent not registered", 0, l->now_ms);
        s->known = false;
        break;
    default:
        answer(l->a, due.tracker, min_s + rng_below(&l->rng, 1000), min_s, l->now_ms);
        s->known = due.event != EVENT_STOPPED;
        s->min_ms = l->now_ms + UINT64_C(1000) * min_s;
    }
}

static void life_step(struct life *l)
{
    struct announce_due due;
    uint32_t at = 0;
    uint64_t deadline_ms = announcer_deadline_ms(l->a);
    if (deadline_ms != NEVER && deadline_ms > l->now_ms && rng_below(&l->rng, 3) > 0) {
        assert_false(announcer_next(l->a, deadline_ms - 1, &at, &due));
        l->now_ms = deadline_ms;
    } else {
        l->now_ms += rng_below(&l->rng, 20000);
    }
    life_decide(l);
    life_begin(l);
    if (l->n_under_way > 0 && rng_below(&l->rng, 2) == 0) {
        life_outcome(l);
    }
    if (!l->running && l->n_under_way == 0 && announcer_deadline_ms(l->a) == NEVER) {
        assert_true(announcer_is_done(l->a));
    }
}

/* Random trackers, pauses and wishes; after every step the rules hold. */
static void random_lives_keep_the_rules(void **state)
{
    (void)state;
    for (uint64_t life = 0; life < LIVES; life++) {
        bool own = life % 2 == 0;
        struct life l = {.a = announcer_new(own, life), .rng = {life}, .n = own ? LIFE_N : 6};
        for (uint32_t i = 0; i < LIFE_N - 1; i++) {
            char url[32];
            (void)snprintf(url, sizeof url, "http://t%u/", i);
            assert_true(announcer_add(l.a, span_str(url), rng_below(&l.rng, 3)));
        }
        for (int step = 0; step < LIFE_STEPS; step++) {
            life_step(&l);
        }
        announcer_free(l.a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_urls_are_taken),
        cmocka_unit_test(there_is_a_limit),
        cmocka_unit_test(an_ordinary_life),
        cmocka_unit_test(intervals_are_kept_within_reason),
        cmocka_unit_test(the_own_tracker_may_be_quicker),
        cmocka_unit_test(jitter_only_lengthens_and_differs),
        cmocka_unit_test(a_late_start_stays_late),
        cmocka_unit_test(force_goes_before_the_min_interval),
        cmocka_unit_test(failures_wait_longer_each_time),
        cmocka_unit_test(retry_in_is_obeyed),
        cmocka_unit_test(unregistered_is_a_state_of_its_own),
        cmocka_unit_test(which_refusals_mean_unregistered),
        cmocka_unit_test(tiers),
        cmocka_unit_test(a_tier_is_shuffled),
        cmocka_unit_test(completed_goes_only_to_whom_took_started),
        cmocka_unit_test(nobody_who_took_no_started_hears_stopped),
        cmocka_unit_test(a_pause_that_is_taken_back),
        cmocka_unit_test(a_tracker_added_later_has_its_turn),
        cmocka_unit_test(what_the_api_shows),
        cmocka_unit_test(random_lives_keep_the_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
