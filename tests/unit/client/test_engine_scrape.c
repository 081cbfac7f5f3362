/* Which torrents' counts are asked for by scrapes, when, and where the counts go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/client/engine_shell.h"

#include "base/banned.h"

enum { MANY = 40 };

struct bench {
    struct shell s;
    struct content c[MANY];
    torrent_id id[MANY];
    size_t n;
};

static const struct torrent_tracker tracker = {.url = SPAN("http://t.example/announce")};

static void bench_init(struct bench *b, size_t n, bool own, unsigned flags)
{
    struct engine_cfg cfg = engine_cfg_default;
    const struct torrent_add add = {.trackers = &tracker, .n_trackers = 1, .flags = flags};
    cfg.announce_to_own_tracker = own;
    *b = (struct bench){.n = n};
    shell_init(&b->s, &cfg);
    shell_add_session(&b->s);
    for (size_t i = 0; i < n; i++) {
        content_init(&b->c[i], 1, i + 1);
        b->id[i] = shell_add(&b->s, &b->c[i], true, &add);
    }
}

static void bench_release(struct bench *b)
{
    shell_release(&b->s);
    for (size_t i = 0; i < b->n; i++) {
        content_release(&b->c[i]);
    }
}

static const struct scrape_request *scraped(const struct bench *b, size_t i)
{
    const struct engine_out *out = shell_out(&b->s, ENGINE_OUT_SCRAPE, i);
    return out == NULL ? NULL : &out->scrape;
}

static void announce_answered(struct bench *b, size_t i, bool has_counts)
{
    const struct announce_result ok = {
        .outcome = {.answered = true, .interval_s = 1800, .has_counts = has_counts}};
    engine_on_announced(b->s.e, shell_out(&b->s, ENGINE_OUT_ANNOUNCE, i)->announce.id, &ok,
                        b->s.now_ms);
    shell_drain(&b->s);
}

static void answer(struct bench *b, const struct scrape_request *r)
{
    struct scrape_answer answers[SCRAPE_MAX];
    const struct scrape_result result = {.answered = true, .answers = answers, .n = r->n};
    for (size_t i = 0; i < r->n; i++) {
        answers[i] = (struct scrape_answer){true, {5, 50, 10}};
    }
    engine_on_scraped(b->s.e, r->id, &result, b->s.now_ms);
    shell_drain(&b->s);
}

static struct torrent_status status(struct bench *b, size_t i)
{
    struct torrent_status st;
    assert_int_equal(engine_status(b->s.e, b->id[i], &st, b->s.now_ms), 0);
    return st;
}

static void an_answer_without_counts(void **state)
{
    (void)state;
    struct bench b;
    struct engine_totals totals;
    bench_init(&b, 1, false, 0);
    announce_answered(&b, 0, false);
    assert_int_equal(status(&b, 0).n_complete, -1);
    assert_int_equal(status(&b, 0).since_counts_s, -1);
    assert_null(scraped(&b, 0));
    shell_run(&b.s, SCRAPE_GATHER_MS + 100);
    assert_non_null(scraped(&b, 0));
    assert_string_equal(scraped(&b, 0)->url, "http://t.example/announce");
    assert_int_equal(scraped(&b, 0)->n, 1);
    assert_memory_equal(scraped(&b, 0)->hashes[0].b, b.c[0].hash.b, 20);
    answer(&b, scraped(&b, 0));
    shell_run(&b.s, 3000);
    assert_int_equal(status(&b, 0).n_complete, 5);
    assert_int_equal(status(&b, 0).n_downloaded, 50);
    assert_int_equal(status(&b, 0).n_incomplete, 10);
    assert_int_equal(status(&b, 0).since_counts_s, 3);
    assert_true(status(&b, 0).last_seen_complete_unix_s >= 0);
    engine_totals(b.s.e, &totals);
    assert_int_equal(totals.scrapes_ok, 1);
    assert_int_equal(totals.scrapes_failed, 0);
    assert_null(scraped(&b, 1));
    bench_release(&b);
}

static void an_answer_with_counts(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, false, 0);
    announce_answered(&b, 0, true);
    shell_run(&b.s, 3 * SCRAPE_INTERVAL_MS);
    assert_null(scraped(&b, 0));
    assert_int_equal(status(&b, 0).n_complete, 0);
    bench_release(&b);
}

static void paused_torrents_go_together(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, MANY, false, TORRENT_PAUSED);
    shell_run(&b.s, SCRAPE_GATHER_MS + 100);
    assert_null(shell_out(&b.s, ENGINE_OUT_ANNOUNCE, 0));
    assert_int_equal(b.s.n_outs[ENGINE_OUT_SCRAPE], 1);
    assert_int_equal(scraped(&b, 0)->n, MANY);
    engine_remove_torrent(b.s.e, b.id[0], false, b.s.now_ms); /* while it is asked about */
    shell_run(&b.s, 10);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_REMOVED], 1);
    answer(&b, scraped(&b, 0));
    for (size_t i = 1; i < MANY; i++) {
        assert_int_equal(status(&b, i).n_complete, 5);
    }
    shell_run(&b.s, 2 * SCRAPE_INTERVAL_MS);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_SCRAPE], 2);
    assert_int_equal(scraped(&b, 1)->n, MANY - 1);
    bench_release(&b);
}

static void a_pause_and_its_end(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1, false, 0);
    announce_answered(&b, 0, true);
    engine_pause(b.s.e, b.id[0], b.s.now_ms);
    shell_run(&b.s, 2 * SCRAPE_INTERVAL_MS);
    assert_null(scraped(&b, 0)); /* stopped was not answered yet */
    announce_answered(&b, 1, true);
    shell_run(&b.s, SCRAPE_INTERVAL_MS);
    assert_null(scraped(&b, 0)); /* that answer had counts */
    shell_run(&b.s, SCRAPE_GATHER_MS);
    assert_non_null(scraped(&b, 0));
    engine_resume(b.s.e, b.id[0], b.s.now_ms);
    shell_drain(&b.s);
    answer(&b, scraped(&b, 0)); /* too late */
    assert_int_equal(status(&b, 0).n_complete, 0);
    announce_answered(&b, 2, true);
    shell_run(&b.s, 2 * SCRAPE_INTERVAL_MS);
    assert_null(scraped(&b, 1));
    bench_release(&b);
}

static void the_own_tracker_is_asked_more_often(void **state)
{
    (void)state;
    struct bench b;
    size_t n_own = 0;
    bench_init(&b, 1, true, TORRENT_PAUSED);
    for (size_t i = 0; i < 20 * 60; i++) {
        shell_run(&b.s, SCRAPE_OWN_INTERVAL_MS / 60);
        for (; scraped(&b, n_own) != NULL; n_own++) {
            answer(&b, scraped(&b, n_own));
        }
    }
    size_t n_urls = 0;
    for (size_t i = 0; i < n_own; i++) {
        n_urls += scraped(&b, i)->url != NULL ? 1 : 0;
    }
    assert_int_equal(n_urls, 1);
    assert_in_range(n_own, 15, 21);
    bench_release(&b);
}

static void announces_go_first(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, MANY, false, TORRENT_PAUSED);
    for (size_t i = 1; i < MANY; i++) {
        engine_resume(b.s.e, b.id[i], b.s.now_ms);
    }
    /* More of them than may be under way wait for this host, and one at a time is answered. */
    for (size_t i = 0; i + 16 < MANY - 1; i++) {
        shell_run(&b.s, 2 * 60000);
        announce_answered(&b, i, true);
    }
    const struct engine_out *out = shell_out(&b.s, ENGINE_OUT_SCRAPE, 0);
    assert_non_null(out); /* those under way are not waited for */
    assert_int_equal(out->scrape.n, 1);
    bench_release(&b);
}

static void a_stop_waits_for_no_scrape(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 3, false, TORRENT_PAUSED);
    shell_run(&b.s, SCRAPE_GATHER_MS + 100);
    assert_non_null(scraped(&b, 0));
    engine_stop(b.s.e, b.s.now_ms);
    shell_drain(&b.s);
    assert_true(engine_is_idle(b.s.e));
    shell_run(&b.s, 2 * SCRAPE_INTERVAL_MS);
    assert_null(scraped(&b, 1));
    bench_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_without_counts),
        cmocka_unit_test(an_answer_with_counts),
        cmocka_unit_test(paused_torrents_go_together),
        cmocka_unit_test(a_pause_and_its_end),
        cmocka_unit_test(the_own_tracker_is_asked_more_often),
        cmocka_unit_test(announces_go_first),
        cmocka_unit_test(a_stop_waits_for_no_scrape),
    };
    return cmocka_run_group_tests_name("engine scrape", tests, NULL, NULL);
}
