/* No tracker host gets a storm: pace, places, turns and who is urgent, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "client/announce_queue.h"

#include "base/banned.h"

static const char *const URL = "http://tracker.example/announce";

static void a_host_has_its_places_and_no_more(void **state)
{
    (void)state;
    struct announce_queue *q = announce_queue_new(1);
    struct announce_entry e[ANNOUNCE_HOST_MAX + 1] = {0};
    uint64_t now_ms = 1000;
    for (size_t i = 0; i <= ANNOUNCE_HOST_MAX; i++) {
        announce_queue_add(q, &e[i], URL, false);
    }
    for (size_t i = 0; i < ANNOUNCE_HOST_MAX; i++, now_ms += 10) {
        assert_ptr_equal(announce_queue_next(q, now_ms), &e[i]);
        assert_null(announce_queue_next(q, now_ms));
    }
    assert_null(announce_queue_next(q, now_ms + 100000));
    assert_true(announce_queue_deadline_ms(q) == UINT64_MAX); /* not by time */
    announce_queue_on_done(q, &e[3], true, now_ms + 100000);
    assert_true(announce_queue_deadline_ms(q) <= now_ms + 100000);
    assert_ptr_equal(announce_queue_next(q, now_ms + 100000), &e[ANNOUNCE_HOST_MAX]);
    announce_queue_free(q);
}

static void all_hosts_together_have_a_limit(void **state)
{
    (void)state;
    struct announce_queue *q = announce_queue_new(1);
    struct announce_entry e[ANNOUNCE_TOTAL_MAX + 1] = {0};
    char url[64];
    for (size_t i = 0; i <= ANNOUNCE_TOTAL_MAX; i++) {
        (void)snprintf(url, sizeof url, "udp://t%zu.example:%zu", i, i + 1);
        announce_queue_add(q, &e[i], url, false);
    }
    for (size_t i = 0; i < ANNOUNCE_TOTAL_MAX; i++) {
        assert_non_null(announce_queue_next(q, 5));
    }
    assert_null(announce_queue_next(q, 5));
    assert_true(announce_queue_deadline_ms(q) == UINT64_MAX);
    announce_queue_remove(q, &e[7]); /* runs; its place is free */
    assert_ptr_equal(announce_queue_next(q, 5), &e[ANNOUNCE_TOTAL_MAX]);
    announce_queue_free(q);
}

static void a_slow_host_does_not_hold_back_the_others(void **state)
{
    (void)state;
    struct announce_queue *q = announce_queue_new(1);
    struct announce_entry slow[50] = {0};
    struct announce_entry quick = {0};
    for (size_t i = 0; i < 50; i++) {
        announce_queue_add(q, &slow[i], URL, true);
    }
    announce_queue_add(q, &quick, "http://quick.example/announce", false);
    assert_ptr_equal(announce_queue_next(q, 0), &slow[0]);
    assert_ptr_equal(announce_queue_next(q, 0), &quick);
    announce_queue_free(q);
}

static void hosts_take_turns(void **state)
{
    (void)state;
    struct announce_queue *q = announce_queue_new(1);
    struct announce_entry e[3][4] = {0};
    static const char *const urls[] = {"http://a/", "http://b/", "http://c/"};
    for (size_t h = 0; h < 3; h++) {
        for (size_t i = 0; i < 4; i++) {
            announce_queue_add(q, &e[h][i], urls[h], false);
        }
    }
    for (size_t i = 0; i < 4; i++) {
        for (size_t h = 0; h < 3; h++) {
            assert_ptr_equal(announce_queue_next(q, 10 * i), &e[h][i]);
        }
        assert_null(announce_queue_next(q, 10 * i));
    }
    announce_queue_free(q);
}

static void the_urgent_go_first(void **state)
{
    (void)state;
    struct announce_queue *q = announce_queue_new(1);
    struct announce_entry e[4] = {0};
    struct announce_entry elsewhere = {0};
    announce_queue_add(q, &elsewhere, "http://elsewhere.example/", false);
    announce_queue_add(q, &e[0], URL, false);
    announce_queue_add(q, &e[1], URL, false);
    announce_queue_add(q, &e[2], URL, true);
    announce_queue_add(q, &e[3], URL, true);
    announce_queue_add(q, &e[1], URL, true);  /* now it is urgent as well */
    announce_queue_add(q, &e[3], URL, false); /* and stays so */
    static const size_t order[] = {2, 3, 1, 0};
    for (uint64_t i = 0; i < 4; i++) {
        assert_ptr_equal(announce_queue_next(q, 10 * i), &e[order[i]]);
        if (i == 0) {
            assert_ptr_equal(announce_queue_next(q, 0), &elsewhere);
        }
    }
    assert_null(announce_queue_next(q, 100));
    announce_queue_free(q);
}

static void an_entry_is_queued_once(void **state)
{
    (void)state;
    struct announce_queue *q = announce_queue_new(1);
    struct announce_entry e = {0};
    announce_queue_add(q, &e, URL, false);
    announce_queue_add(q, &e, URL, false);
    assert_ptr_equal(announce_queue_next(q, 0), &e);
    announce_queue_add(q, &e, URL, true); /* it runs */
    assert_null(announce_queue_next(q, 1000));
    announce_queue_on_done(q, &e, false, 1000);
    assert_null(announce_queue_next(q, 1000));
    announce_queue_add(q, &e, URL, false);
    assert_ptr_equal(announce_queue_next(q, 1000), &e);
    announce_queue_remove(q, &e);
    announce_queue_remove(q, &e);
    announce_queue_add(q, &e, URL, false);
    announce_queue_remove(q, &e);
    assert_null(announce_queue_next(q, 2000));
    assert_true(announce_queue_deadline_ms(q) == UINT64_MAX);
    announce_queue_free(q);
}

static void what_is_one_host(void **state)
{
    static const struct {
        const char *url;
        const char *host;
    } rows[] = {
        {"http://tracker.example/announce", "tracker.example:80"},
        {"HTTP://Tracker.EXAMPLE:80/x?y=http://other/", "tracker.example:80"},
        {"https://tracker.example/announce", "tracker.example:443"},
        {"http://user:pass@tracker.example:7070/a@b:9", "tracker.example:7070"},
        {"udp://tracker.example:6969", "tracker.example:6969"},
        {"udp://[2001:db8::1]:6969/announce", "[2001:db8::1]:6969"},
        {"udp://[2001:db8::1]", "[2001:db8::1]:80"},
        {"http://tracker.example?info", "tracker.example:80"},
        {"http://tracker.example:99999/", "tracker.example:99999:80"}, /* no port, and no harm */
        {"http:", ":80"},
        {"", ":80"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct announce_queue *q = announce_queue_new(i);
        struct announce_entry e = {0};
        struct announce_host_view view;
        announce_queue_add(q, &e, rows[i].url, false);
        assert_int_equal(announce_queue_hosts(q, &view, 1), 1);
        assert_string_equal(view.host, rows[i].host);
        announce_queue_free(q);
    }
}

static void a_name_without_end_is_cut(void **state)
{
    (void)state;
    char url[2049] = "http://";
    struct announce_queue *q = announce_queue_new(1);
    struct announce_entry e = {0};
    struct announce_host_view view;
    memset(url + 7, 'a', sizeof url - 8);
    announce_queue_add(q, &e, url, false);
    assert_int_equal(announce_queue_hosts(q, &view, 1), 1);
    assert_in_range(strlen(view.host), 250, 300);
    announce_queue_free(q);
}

static void counts_are_kept_for_a_while(void **state)
{
    (void)state;
    struct announce_queue *q = announce_queue_new(1);
    struct announce_entry e[3] = {0};
    struct announce_host_view view[4];
    for (size_t i = 0; i < 3; i++) {
        announce_queue_add(q, &e[i], URL, false);
        assert_ptr_equal(announce_queue_next(q, 10 * i), &e[i]);
    }
    announce_queue_on_done(q, &e[0], true, 100);
    announce_queue_on_done(q, &e[1], false, 100);
    assert_int_equal(announce_queue_hosts(q, view, 4), 1);
    assert_string_equal(view[0].host, "tracker.example:80");
    assert_int_equal(view[0].n_running, 1);
    assert_int_equal(view[0].n_waiting, 0);
    announce_queue_on_done(q, &e[2], true, 200);
    assert_null(announce_queue_next(q, 200 + ANNOUNCE_HOST_KEEP_MS - 1));
    assert_int_equal(announce_queue_hosts(q, view, 4), 1);
    assert_int_equal(view[0].n_ok, 2);
    assert_int_equal(view[0].n_failed, 1);
    assert_null(announce_queue_next(q, 200 + ANNOUNCE_HOST_KEEP_MS));
    assert_int_equal(announce_queue_hosts(q, view, 4), 1);
    assert_string_equal(view[0].host, "other"); /* the sums stay */
    assert_int_equal(view[0].n_ok, 2);
    assert_int_equal(view[0].n_failed, 1);
    announce_queue_free(q);
}

enum { MANY_HOSTS = ANNOUNCE_HOSTS_MAX + 200 };

static void hosts_beyond_the_limit_share_one_row(void **state)
{
    (void)state;
    struct announce_queue *q = announce_queue_new(1);
    struct announce_entry e[MANY_HOSTS] = {0};
    static struct announce_host_view view[MANY_HOSTS];
    char url[64];
    for (size_t i = 0; i < MANY_HOSTS; i++) {
        (void)snprintf(url, sizeof url, "http://t%zu.example/", i);
        announce_queue_add(q, &e[i], url, false);
    }
    assert_int_equal(announce_queue_hosts(q, view, MANY_HOSTS), ANNOUNCE_HOSTS_MAX);
    assert_string_equal(view[0].host, "other");
    assert_int_equal(view[0].n_waiting, MANY_HOSTS - (ANNOUNCE_HOSTS_MAX - 1));
    size_t served = 0;
    for (uint64_t now_ms = 0; now_ms < 100000; now_ms += 10) {
        struct announce_entry *next;
        while ((next = announce_queue_next(q, now_ms)) != NULL) {
            announce_queue_on_done(q, next, true, now_ms);
            served++;
        }
    }
    assert_int_equal(served, MANY_HOSTS);
    /* Idle hosts make room: whoever is in use has a row of its own again. */
    announce_queue_add(q, &e[0], "http://new.example/", false);
    size_t n = announce_queue_hosts(q, view, MANY_HOSTS);
    uint64_t n_ok = 0;
    bool found = false;
    for (size_t i = 0; i < n; i++) {
        n_ok += view[i].n_ok;
        found = found || strcmp(view[i].host, "new.example:80") == 0;
    }
    assert_int_equal(n, ANNOUNCE_HOSTS_MAX);
    assert_int_equal(n_ok, MANY_HOSTS);
    assert_true(found);
    announce_queue_free(q);
}

/* Ten thousand torrents of one tracker, started at once: served in order of the clock the queue
 * asks for, at its pace, each once. */
static void a_storm_is_paced_and_all_are_served(void **state)
{
    enum { N = 10000, ANSWER_MS = 120 };
    (void)state;
    struct announce_queue *q = announce_queue_new(1);
    struct announce_entry *e = mem_zeroed(N * sizeof *e);
    struct announce_entry *running[ANNOUNCE_HOST_MAX];
    uint64_t until_ms[ANNOUNCE_HOST_MAX];
    uint64_t *begun_ms = mem_zeroed(N * sizeof *begun_ms);
    size_t n_running = 0;
    size_t n_begun = 0;
    size_t n_done = 0;
    uint64_t now_ms = 0;
    for (size_t i = 0; i < N; i++) {
        announce_queue_add(q, &e[i], URL, i % 1000 == 999);
    }
    while (n_done < N) {
        struct announce_entry *next;
        while ((next = announce_queue_next(q, now_ms)) != NULL) {
            assert_true(n_running < ANNOUNCE_HOST_MAX);
            running[n_running] = next;
            until_ms[n_running++] = now_ms + ANSWER_MS;
            begun_ms[n_begun++] = now_ms;
            assert_true(n_begun > 10 || (size_t)(next - e) % 1000 == 999);
        }
        uint64_t wake_ms = announce_queue_deadline_ms(q);
        if (n_running > 0 && until_ms[0] < wake_ms) {
            wake_ms = until_ms[0];
        }
        assert_true(wake_ms > now_ms && wake_ms != UINT64_MAX);
        now_ms = wake_ms;
        while (n_running > 0 && until_ms[0] <= now_ms) {
            announce_queue_on_done(q, running[0], true, now_ms);
            n_running--;
            memmove(running, running + 1, n_running * sizeof running[0]);
            memmove(until_ms, until_ms + 1, n_running * sizeof until_ms[0]);
            n_done++;
        }
    }
    for (size_t i = ANNOUNCE_HOST_PER_S; i < N; i++) {
        assert_true(begun_ms[i] - begun_ms[i - ANNOUNCE_HOST_PER_S] >= 1000);
    }
    assert_true(now_ms < 110000); /* and no slower than it has to be */
    announce_queue_free(q);
    free(begun_ms);
    free(e);
}

/* Anything in any order: limits hold, counts agree, and nobody is lost. */
static void random_use_keeps_the_limits(void **state)
{
    enum { N = 400, STEPS = 20000, HOSTS = 40 };
    (void)state;
    struct rng rng = {0x51};
    struct announce_queue *q = announce_queue_new(2);
    struct announce_entry e[N] = {0};
    int is[N] = {0}; /* 0 out, 1 waiting, 2 running */
    uint32_t host_of[N];
    uint64_t now_ms = 0;
    for (size_t step = 0; step < STEPS; step++) {
        uint32_t i = rng_below(&rng, N);
        char url[64];
        switch (rng_below(&rng, 4)) {
        case 0:
            if (is[i] == 0) {
                host_of[i] = rng_below(&rng, HOSTS);
                is[i] = 1;
            }
            (void)snprintf(url, sizeof url, "udp://h%u:1", host_of[i]);
            announce_queue_add(q, &e[i], url, rng_below(&rng, 5) == 0);
            break;
        case 1:
            if (rng_below(&rng, 4) == 0) {
                announce_queue_remove(q, &e[i]);
                is[i] = 0;
            }
            break;
        case 2:
            if (is[i] == 2) {
                announce_queue_on_done(q, &e[i], rng_below(&rng, 2) == 0, now_ms);
                is[i] = 0;
            }
            break;
        default: {
            now_ms += rng_below(&rng, 8);
            struct announce_entry *next = announce_queue_next(q, now_ms);
            if (next != NULL) {
                assert_int_equal(is[next - e], 1);
                is[next - e] = 2;
            } else {
                assert_true(announce_queue_deadline_ms(q) > now_ms);
            }
        }
        }
        uint32_t running[HOSTS] = {0};
        uint32_t n_running = 0;
        for (size_t k = 0; k < N; k++) {
            n_running += is[k] == 2;
            running[is[k] == 0 ? 0 : host_of[k]] += is[k] == 2;
        }
        assert_true(n_running <= ANNOUNCE_TOTAL_MAX);
        for (size_t k = 0; k < HOSTS; k++) {
            assert_true(running[k] <= ANNOUNCE_HOST_MAX);
        }
    }
    announce_queue_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_has_its_places_and_no_more),
        cmocka_unit_test(all_hosts_together_have_a_limit),
        cmocka_unit_test(a_slow_host_does_not_hold_back_the_others),
        cmocka_unit_test(hosts_take_turns),
        cmocka_unit_test(the_urgent_go_first),
        cmocka_unit_test(an_entry_is_queued_once),
        cmocka_unit_test(what_is_one_host),
        cmocka_unit_test(a_name_without_end_is_cut),
        cmocka_unit_test(counts_are_kept_for_a_while),
        cmocka_unit_test(hosts_beyond_the_limit_share_one_row),
        cmocka_unit_test(a_storm_is_paced_and_all_are_served),
        cmocka_unit_test(random_use_keeps_the_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
