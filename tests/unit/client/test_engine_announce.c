#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/client/engine_shell.h"

#include "base/banned.h"

enum { SAVE_S = 10 }; /* what has changed is stored within that */

struct bench {
    struct shell s;
    struct content c;
    torrent_id id;
};

static const struct torrent_tracker tracker = {.url = SPAN("http://t.example/announce")};

static void bench_init(struct bench *b, bool own, const struct torrent_add *more)
{
    struct engine_cfg cfg = engine_cfg_default;
    cfg.announce_to_own_tracker = own;
    shell_init(&b->s, &cfg);
    shell_add_session(&b->s);
    content_init(&b->c, 4, 1);
    b->id = shell_add(&b->s, &b->c, true, more);
}

static void bench_release(struct bench *b)
{
    shell_release(&b->s);
    content_release(&b->c);
}

static const struct torrent_add with_tracker = {.trackers = &tracker, .n_trackers = 1};

static const struct engine_announce *announced(const struct bench *b, size_t i)
{
    const struct engine_out *out = shell_out(&b->s, ENGINE_OUT_ANNOUNCE, i);
    return out == NULL ? NULL : &out->announce;
}

static void answer(struct bench *b, uint64_t id)
{
    const struct announce_result ok = {.outcome = {.answered = true, .interval_s = 1800}};
    engine_on_announced(b->s.e, id, &ok, b->s.now_ms);
    shell_drain(&b->s);
}

static void refuse(struct bench *b, uint64_t id)
{
    const struct announce_result no = {.outcome = {.why = SPAN("no answer")}};
    engine_on_announced(b->s.e, id, &no, b->s.now_ms);
    shell_drain(&b->s);
}

/* ---- what is said ---- */

static void test_what_an_announce_says(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, false, &with_tracker);
    const struct engine_announce *a = announced(&b, 0);
    assert_non_null(a);
    assert_string_equal(a->url, "http://t.example/announce");
    assert_true(infohash_eq(&a->req.info_hash, &b.c.hash));
    assert_memory_equal(a->req.peer_id.b, peer_id_of('M').b, 20);
    assert_int_equal(a->req.event, EVENT_STARTED);
    assert_int_equal(a->req.port, 6881);
    assert_int_equal(a->req.left, 0);
    assert_int_equal(a->req.numwant, ANNOUNCE_NUMWANT);
    assert_true(a->req.compact);
    assert_int_equal(a->timeout_ms, 30000);
    assert_int_equal(a->req.key.n, 0);
    assert_null(announced(&b, 1));
    bench_release(&b);
}

static void test_the_own_tracker_waits_for_nobody(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, true, &with_tracker);
    const struct engine_announce *own = announced(&b, 0);
    const struct engine_announce *other = announced(&b, 1);
    assert_non_null(own);
    assert_non_null(other);
    assert_null(own->url);
    assert_non_null(other->url);
    assert_int_not_equal(own->id, other->id);
    answer(&b, own->id);
    /* The other one does not answer: the own one is asked again all the same. */
    shell_run(&b.s, 1980000 + 1000);
    const struct engine_announce *again = announced(&b, 2);
    assert_non_null(again);
    assert_null(again->url);
    assert_int_equal(again->req.event, EVENT_NONE);
    bench_release(&b);
}

static void test_an_answer_counts_once(void **state)
{
    (void)state;
    struct bench b;
    struct engine_totals t;
    bench_init(&b, false, &with_tracker);
    uint64_t id = announced(&b, 0)->id;
    answer(&b, id + 1);
    answer(&b, id);
    answer(&b, id);
    engine_totals(b.s.e, &t);
    assert_int_equal(t.announces_ok, 1);
    assert_int_equal(t.announces_failed, 0);
    bench_release(&b);
}

static void test_a_failure_is_tried_again_and_shown(void **state)
{
    (void)state;
    struct bench b;
    struct torrent_status st;
    struct tracker_view view;
    bench_init(&b, false, &with_tracker);
    refuse(&b, announced(&b, 0)->id);
    assert_int_equal(engine_status(b.s.e, b.id, &st, b.s.now_ms), 0);
    assert_string_equal(st.error, "no answer");
    assert_int_equal(st.since_counts_s, -1);
    assert_in_range(st.next_announce_s, 10, 30);
    assert_int_equal(engine_n_trackers(b.s.e, b.id), 1);
    assert_true(engine_tracker(b.s.e, b.id, 0, &view));
    assert_int_equal(view.state, TRACKER_FAILED);
    assert_false(engine_tracker(b.s.e, b.id, 1, &view));
    shell_run(&b.s, 40000);
    assert_non_null(announced(&b, 1));
    answer(&b, announced(&b, 1)->id);
    assert_int_equal(engine_status(b.s.e, b.id, &st, b.s.now_ms), 0);
    assert_string_equal(st.error, "");
    assert_string_equal(st.tracker, "http://t.example/announce");
    bench_release(&b);
}

static void test_somebody_asks_now(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, false, &with_tracker);
    answer(&b, announced(&b, 0)->id);
    shell_run(&b.s, 1000);
    assert_null(announced(&b, 1));
    engine_announce(b.s.e, b.id, b.s.now_ms);
    shell_run(&b.s, 100);
    assert_non_null(announced(&b, 1));
    bench_release(&b);
}

static void test_our_address_as_trackers_see_it(void **state)
{
    (void)state;
    struct bench b;
    struct endpoint self = at("203.0.113.5:6881");
    bench_init(&b, false, &with_tracker);
    struct announce_result ok = {.outcome = {.answered = true}, .has_external_ip = true};
    ok.external_ip = self.addr;
    engine_on_announced(b.s.e, announced(&b, 0)->id, &ok, b.s.now_ms);
    engine_add_peer(b.s.e, b.id, &self, b.s.now_ms);
    shell_run(&b.s, 5000);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_CONNECT], 0);
    bench_release(&b);
}

/* ---- the end ---- */

static void test_stop_says_stopped(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, true, &with_tracker);
    answer(&b, announced(&b, 0)->id);
    answer(&b, announced(&b, 1)->id);
    shell_run(&b.s, 1000);
    engine_stop(b.s.e, b.s.now_ms);
    shell_drain(&b.s);
    for (size_t i = 2; i < 4; i++) {
        assert_non_null(announced(&b, i));
        assert_int_equal(announced(&b, i)->req.event, EVENT_STOPPED);
        assert_int_equal(announced(&b, i)->req.numwant, 0);
        assert_int_equal(announced(&b, i)->timeout_ms, 5000);
        assert_false(engine_is_idle(b.s.e));
        answer(&b, announced(&b, i)->id);
    }
    shell_run(&b.s, 10);
    assert_true(engine_is_idle(b.s.e));
    assert_int_equal(engine_deadline_ms(b.s.e), UINT64_MAX);
    assert_true(b.s.n_outs[ENGINE_OUT_SAVE] > 0);
    bench_release(&b);
}

static void test_a_stop_waits_five_seconds_for_trackers(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, false, &with_tracker);
    answer(&b, announced(&b, 0)->id);
    engine_stop(b.s.e, b.s.now_ms);
    shell_run(&b.s, 4900);
    assert_false(engine_is_idle(b.s.e));
    shell_run(&b.s, 200);
    assert_true(engine_is_idle(b.s.e));
    answer(&b, announced(&b, 1)->id); /* too late, and harmless */
    assert_true(engine_is_idle(b.s.e));
    bench_release(&b);
}

/* The second tracker's stopped is still owed when the time is over: it is not said later. */
static void test_what_was_not_said_in_time_is_not_said(void **state)
{
    (void)state;
    static const struct torrent_tracker two[] = {
        {.url = SPAN("http://a.example/announce")},
        {.url = SPAN("http://b.example/announce"), .tier = 1},
    };
    struct bench b;
    bench_init(&b, false, &(struct torrent_add){.trackers = two, .n_trackers = 2});
    answer(&b, announced(&b, 0)->id);
    shell_run(&b.s, 2000000);
    refuse(&b, announced(&b, 1)->id);
    shell_run(&b.s, 1000);
    assert_string_equal(announced(&b, 2)->url, "http://b.example/announce");
    answer(&b, announced(&b, 2)->id);
    engine_stop(b.s.e, b.s.now_ms);
    shell_run(&b.s, 6000);
    assert_true(engine_is_idle(b.s.e));
    assert_int_equal(announced(&b, 3)->req.event, EVENT_STOPPED);
    shell_run(&b.s, 600000);
    assert_null(announced(&b, 4));
    assert_true(engine_is_idle(b.s.e));
    bench_release(&b);
}

static void test_who_was_not_told_started_hears_no_stopped(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, false, &with_tracker);
    refuse(&b, announced(&b, 0)->id);
    engine_stop(b.s.e, b.s.now_ms);
    shell_run(&b.s, 10);
    assert_null(announced(&b, 1));
    assert_true(engine_is_idle(b.s.e));
    bench_release(&b);
}

static void test_a_removal_says_goodbye(void **state)
{
    (void)state;
    struct bench b;
    struct torrent_status st;
    bench_init(&b, false, &with_tracker);
    answer(&b, announced(&b, 0)->id);
    engine_remove_torrent(b.s.e, b.id, true, b.s.now_ms);
    shell_run(&b.s, 20);
    const struct engine_out *job = NULL;
    for (size_t i = 0; shell_out(&b.s, ENGINE_OUT_DISK, i) != NULL; i++) {
        job = shell_out(&b.s, ENGINE_OUT_DISK, i);
    }
    assert_non_null(job); /* the remove; it is done already */
    assert_int_equal(b.s.n_outs[ENGINE_OUT_REMOVED], 0);
    assert_int_equal(announced(&b, 1)->req.event, EVENT_STOPPED);
    answer(&b, announced(&b, 1)->id);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_REMOVED], 1);
    assert_int_equal(shell_out(&b.s, ENGINE_OUT_REMOVED, 0)->torrent, b.id);
    assert_int_equal(shell_out(&b.s, ENGINE_OUT_REMOVED, 0)->status, 0);
    assert_int_equal(engine_status(b.s.e, b.id, &st, b.s.now_ms), ERR_NOT_FOUND);
    assert_int_equal(engine_find(b.s.e, &b.c.hash), 0);
    assert_int_equal(engine_next_torrent(b.s.e, 0), 0);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_SAVE], 0);
    engine_remove_session(b.s.e, 0);
    bench_release(&b);
}

static void test_a_removal_waits_five_seconds_for_trackers(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, false, &with_tracker);
    answer(&b, announced(&b, 0)->id);
    engine_remove_torrent(b.s.e, b.id, false, b.s.now_ms);
    engine_remove_torrent(b.s.e, b.id, false, b.s.now_ms);
    shell_run(&b.s, 4900);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_REMOVED], 0);
    shell_run(&b.s, 200);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_REMOVED], 1);
    answer(&b, announced(&b, 1)->id);
    /* It may come again at once. */
    b.id = shell_add(&b.s, &b.c, true, &with_tracker);
    assert_int_equal(engine_find(b.s.e, &b.c.hash), b.id);
    bench_release(&b);
}

static void test_a_removal_waits_for_its_jobs(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, false, NULL);
    b.s.hold_disk = true;
    engine_recheck(b.s.e, b.id, b.s.now_ms);
    shell_drain(&b.s);
    assert_true(b.s.n_held > 0);
    engine_remove_torrent(b.s.e, b.id, false, b.s.now_ms);
    shell_run(&b.s, 20000);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_REMOVED], 0);
    shell_let_go(&b.s);
    shell_run(&b.s, 10);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_REMOVED], 1);
    bench_release(&b);
}

/* ---- pause ---- */

static void test_a_pause_says_stopped_and_a_resume_started(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, false, &with_tracker);
    answer(&b, announced(&b, 0)->id);
    engine_pause(b.s.e, b.id, b.s.now_ms);
    shell_run(&b.s, 100);
    assert_int_equal(announced(&b, 1)->req.event, EVENT_STOPPED);
    answer(&b, announced(&b, 1)->id);
    shell_run(&b.s, 4000000);
    assert_null(announced(&b, 2));
    engine_resume(b.s.e, b.id, b.s.now_ms);
    shell_run(&b.s, 100);
    assert_int_equal(announced(&b, 2)->req.event, EVENT_STARTED);
    bench_release(&b);
}

static bool saved_stop_pending(const struct bench *b)
{
    struct torrent_saved saved;
    assert_int_equal(engine_resume_of(b->s.e, b->id, &saved, b->s.now_ms), 0);
    bool pending = saved.resume.stop_pending;
    torrent_saved_free(&saved);
    return pending;
}

static void test_a_paused_torrent_is_stored_once_stopped_was_heard(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, false, &with_tracker);
    answer(&b, announced(&b, 0)->id);
    engine_pause(b.s.e, b.id, b.s.now_ms);
    shell_run(&b.s, SAVE_S * 1000);
    size_t n_saves = b.s.n_outs[ENGINE_OUT_SAVE];
    assert_true(n_saves > 0 && saved_stop_pending(&b));
    answer(&b, announced(&b, 1)->id);
    shell_run(&b.s, SAVE_S * 1000);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_SAVE], n_saves + 1);
    assert_false(saved_stop_pending(&b));
    shell_run(&b.s, 4000000);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_SAVE], n_saves + 1);
    bench_release(&b);
}

/* A torrent of an earlier start that was killed between a pause and its stopped. */
static void bench_init_owing(struct bench *b, bool own, unsigned flags, uint64_t start_delay_ms)
{
    static const struct torrent_tracker two[] = {
        {.url = SPAN("http://t.example/announce")},
        {.url = SPAN("udp://u.example:1"), .tier = 1},
    };
    const struct torrent_resume resume = {.stop_pending = true};
    struct engine_cfg cfg = engine_cfg_default;
    const char *why;
    cfg.announce_to_own_tracker = own;
    shell_init(&b->s, &cfg);
    shell_add_session(&b->s);
    content_init(&b->c, 4, 1);
    const struct torrent_add add = {
        .info_hash = b->c.hash,
        .trackers = two,
        .n_trackers = 2,
        .flags = flags,
        .resume = &resume,
        .start_delay_ms = start_delay_ms,
    };
    assert_int_equal(engine_add_torrent(b->s.e, &add, &b->id, b->s.now_ms, &why), 0);
}

static void test_a_paused_torrent_makes_its_stopped_good(void **state)
{
    (void)state;
    struct bench b;
    bench_init_owing(&b, true, TORRENT_PAUSED, 500);
    shell_run(&b.s, 499);
    assert_null(announced(&b, 0));
    assert_true(saved_stop_pending(&b)); /* killed again, it still owes them */
    shell_run(&b.s, 1);
    assert_null(announced(&b, 0)->url);
    assert_non_null(announced(&b, 1)->url);
    assert_null(announced(&b, 2));
    answer(&b, announced(&b, 0)->id);
    refuse(&b, announced(&b, 1)->id);
    shell_run(&b.s, 100);
    assert_true(saved_stop_pending(&b));
    assert_string_not_equal(announced(&b, 1)->url, announced(&b, 2)->url);
    answer(&b, announced(&b, 2)->id);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(announced(&b, i)->req.event, EVENT_STOPPED);
        assert_int_equal(announced(&b, i)->req.numwant, 0);
    }
    assert_false(saved_stop_pending(&b));
    shell_run(&b.s, 4000000);
    assert_null(announced(&b, 3));
    assert_int_equal(b.s.n_outs[ENGINE_OUT_SAVE], 1);
    engine_resume(b.s.e, b.id, b.s.now_ms);
    shell_run(&b.s, 100);
    assert_int_equal(announced(&b, 3)->req.event, EVENT_STARTED);
    bench_release(&b);
}

static void test_one_that_runs_owes_no_stopped(void **state)
{
    (void)state;
    struct bench b;
    bench_init_owing(&b, false, 0, 0);
    shell_run(&b.s, 100);
    assert_int_equal(announced(&b, 0)->req.event, EVENT_STARTED);
    assert_null(announced(&b, 1));
    bench_release(&b);
}

static void test_a_resume_takes_the_stopped_back(void **state)
{
    (void)state;
    struct bench b;
    bench_init_owing(&b, false, TORRENT_PAUSED, 500);
    engine_resume(b.s.e, b.id, b.s.now_ms);
    shell_run(&b.s, 600);
    assert_int_equal(announced(&b, 0)->req.event, EVENT_STARTED);
    assert_null(announced(&b, 1));
    assert_false(saved_stop_pending(&b));
    bench_release(&b);
}

static void test_an_owed_stopped_outlives_a_short_start(void **state)
{
    (void)state;
    struct bench b;
    bench_init_owing(&b, false, TORRENT_PAUSED, 60000);
    engine_stop(b.s.e, b.s.now_ms);
    shell_run(&b.s, 10000);
    assert_true(engine_is_idle(b.s.e));
    assert_true(saved_stop_pending(&b));
    bench_release(&b);
}

/* ---- many ---- */

static void test_a_thousand_torrents_do_not_storm_a_tracker(void **state)
{
    (void)state;
    enum { N = 1000, HOST_MAX = 16 };
    struct bench b;
    size_t n_answered = 0;
    bench_init(&b, false, &with_tracker);
    for (unsigned i = 1; i < N; i++) {
        const struct torrent_add add = {
            .info_hash = {{(uint8_t)i, (uint8_t)(i >> 8)}},
            .trackers = &tracker,
            .n_trackers = 1,
            .start_delay_ms = 1,
        };
        torrent_id id;
        const char *why;
        assert_int_equal(engine_add_torrent(b.s.e, &add, &id, b.s.now_ms, &why), 0);
        shell_drain(&b.s);
    }
    uint64_t began_ms = b.s.now_ms;
    while (n_answered < N) {
        shell_run(&b.s, 10);
        assert_true(b.s.n_outs[ENGINE_OUT_ANNOUNCE] - n_answered <= HOST_MAX);
        while (n_answered < b.s.n_outs[ENGINE_OUT_ANNOUNCE]) {
            answer(&b, announced(&b, n_answered++)->id);
        }
    }
    assert_in_range(b.s.now_ms - began_ms, 9000, 11000); /* a hundred a second */
    bench_release(&b);
}

int main(void)
{
    if (digest_start() != 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_an_announce_says),
        cmocka_unit_test(test_the_own_tracker_waits_for_nobody),
        cmocka_unit_test(test_an_answer_counts_once),
        cmocka_unit_test(test_a_failure_is_tried_again_and_shown),
        cmocka_unit_test(test_somebody_asks_now),
        cmocka_unit_test(test_our_address_as_trackers_see_it),
        cmocka_unit_test(test_stop_says_stopped),
        cmocka_unit_test(test_a_stop_waits_five_seconds_for_trackers),
        cmocka_unit_test(test_what_was_not_said_in_time_is_not_said),
        cmocka_unit_test(test_who_was_not_told_started_hears_no_stopped),
        cmocka_unit_test(test_a_removal_says_goodbye),
        cmocka_unit_test(test_a_removal_waits_five_seconds_for_trackers),
        cmocka_unit_test(test_a_removal_waits_for_its_jobs),
        cmocka_unit_test(test_a_pause_says_stopped_and_a_resume_started),
        cmocka_unit_test(test_a_paused_torrent_is_stored_once_stopped_was_heard),
        cmocka_unit_test(test_a_paused_torrent_makes_its_stopped_good),
        cmocka_unit_test(test_one_that_runs_owes_no_stopped),
        cmocka_unit_test(test_a_resume_takes_the_stopped_back),
        cmocka_unit_test(test_an_owed_stopped_outlives_a_short_start),
        cmocka_unit_test(test_a_thousand_torrents_do_not_storm_a_tracker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
