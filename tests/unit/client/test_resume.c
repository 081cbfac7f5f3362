#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/client/engine_shell.h"

#include "base/banned.h"

enum { CRASH_MS = 10000 };

struct bench {
    struct shell s;
    struct content c;
    torrent_id id;
    struct wire w;
};

static void bench_init(struct bench *b, bool complete, bool far_seeds)
{
    struct engine_cfg cfg = engine_cfg_default;
    struct endpoint from = at("198.51.100.1:6881");
    cfg.announce_to_own_tracker = false;
    cfg.max_down_bps = cfg.max_up_bps = 20000; /* a piece in 3.3 s */
    shell_init(&b->s, &cfg);
    shell_add_session(&b->s);
    content_init(&b->c, 20, 1);
    b->id = shell_add(&b->s, &b->c, complete, NULL);
    wire_init(&b->w, &b->s, &b->c, engine_on_accept(b->s.e, 0, &from, b->s.now_ms), far_seeds);
    wire_shake(&b->w, &b->c.hash, 'a');
    wire_greet(&b->w);
}

static void bench_release(struct bench *b)
{
    wire_release(&b->w);
    shell_release(&b->s);
    content_release(&b->c);
}

static void run(struct bench *b, uint64_t ms)
{
    for (uint64_t end_ms = b->s.now_ms + ms; b->s.now_ms < end_ms;) {
        wire_talk(&b->w);
        shell_run(&b->s, 10);
    }
}

static struct torrent_saved saved_now(const struct bench *b)
{
    struct torrent_saved saved;
    assert_int_equal(engine_resume_of(b->s.e, b->id, &saved, b->s.now_ms), 0);
    return saved;
}

static uint32_t n_saved_pieces(const struct torrent_saved *s)
{
    uint32_t n = 0;
    for (size_t i = 0; i < s->resume.bitfield.n * 8; i++) {
        n += (s->resume.bitfield.p[i / 8] >> (7 - i % 8)) & 1;
    }
    return n;
}

static uint32_t n_pieces(const struct bench *b)
{
    struct torrent_status st;
    assert_int_equal(engine_status(b->s.e, b->id, &st, b->s.now_ms), 0);
    return st.n_pieces_have;
}

static size_t n_jobs(const struct bench *b, enum disk_op op)
{
    size_t n = 0;
    for (size_t i = 0; i < b->s.n_held; i++) {
        n += b->s.held[i]->op == op ? 1 : 0;
    }
    return n;
}

/* Until a sync is held back by the shell. */
static void run_to_sync(struct bench *b)
{
    b->s.hold_disk = false;
    for (unsigned i = 0; i < 3000; i++) {
        wire_talk(&b->w);
        /* Only at the moment it is given out: writes and hashes are done at once. */
        struct engine_out out;
        b->s.now_ms += 10;
        engine_on_deadline(b->s.e, b->s.now_ms);
        while (engine_next_out(b->s.e, &out)) {
            if (out.kind == ENGINE_OUT_DISK && out.job->op == DISK_SYNC) {
                b->s.held[b->s.n_held++] = out.job;
                return;
            }
            shell_act(&b->s, &out);
        }
    }
    fail();
}

/* ---- order ---- */

static void test_a_sync_comes_before_the_save(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, false, true);
    run_to_sync(&b);
    assert_true(n_pieces(&b) > 0);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_SAVE], 0);
    run(&b, 3000);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_SAVE], 0); /* the sync is still under way */
    shell_let_go(&b.s);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_SAVE], 1);
    bench_release(&b);
}

static void test_pieces_finished_during_a_sync_are_for_the_next_save(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, false, true);
    b.s.hold_saves = true;
    run_to_sync(&b);
    uint32_t n_before = n_pieces(&b);
    run(&b, 8000);
    assert_true(n_pieces(&b) > n_before);
    shell_let_go(&b.s);
    const struct engine_out *out = shell_out(&b.s, ENGINE_OUT_SAVE, 0);
    assert_non_null(out);
    struct torrent_saved saved = saved_now(&b);
    assert_int_equal(n_saved_pieces(&saved), n_before);
    assert_int_equal(saved.version, out->version);
    torrent_saved_free(&saved);
    /* Once it is stored the rest follows, by a sync of its own. */
    b.s.hold_saves = false;
    shell_forget(&b.s);
    engine_on_saved(b.s.e, b.id, saved.version != 0 ? saved.version : out->version, 0, b.s.now_ms);
    run(&b, 9000);
    assert_true(b.s.n_outs[ENGINE_OUT_SAVE] >= 1);
    bench_release(&b);
}

static void test_a_save_is_tried_again(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, true, false);
    b.w.asks = true;
    b.s.save_status = ERR_DATABASE;
    run(&b, 9000);
    size_t n = b.s.n_outs[ENGINE_OUT_SAVE];
    assert_int_equal(n, 1);
    run(&b, 20000);
    assert_in_range(b.s.n_outs[ENGINE_OUT_SAVE], 4, 5);
    uint64_t failed_version = shell_out(&b.s, ENGINE_OUT_SAVE, 0)->version;
    shell_forget(&b.s);
    b.s.save_status = 0;
    run(&b, 6000);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_SAVE], 1);
    assert_true(shell_out(&b.s, ENGINE_OUT_SAVE, 0)->version > failed_version);
    bench_release(&b);
}

static void test_a_sync_that_fails_stores_no_piece(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, false, true);
    b.s.sync_status = ERR_SYSTEM;
    run(&b, 30000);
    assert_true(n_pieces(&b) > 3);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_SAVE], 0);
    b.s.sync_status = 0;
    run(&b, 6000);
    assert_true(b.s.n_outs[ENGINE_OUT_SAVE] > 0);
    struct torrent_saved saved = saved_now(&b);
    assert_false(saved.resume.checked); /* what the failed sync was for may be lost */
    torrent_saved_free(&saved);
    bench_release(&b);
}

/* ---- when ---- */

/* At any moment what the database has is less than CRASH_MS old. */
static void test_a_crash_costs_less_than_ten_seconds(void **state)
{
    (void)state;
    struct bench b;
    uint64_t down_at[61] = {0};
    uint32_t pieces_at[61] = {0};
    struct torrent_saved stored = {.version = 0};
    uint64_t stored_down = 0;
    uint32_t stored_pieces = 0;
    bench_init(&b, false, true);
    for (unsigned s = 1; s <= 60; s++) {
        size_t n = b.s.n_outs[ENGINE_OUT_SAVE];
        run(&b, 1000);
        struct torrent_saved saved = saved_now(&b);
        down_at[s] = saved.resume.total_down;
        pieces_at[s] = n_saved_pieces(&saved);
        if (b.s.n_outs[ENGINE_OUT_SAVE] > n) {
            stored_down = s > 1 ? down_at[s - 1] : 0; /* at the least */
            stored_pieces = s > 1 ? pieces_at[s - 1] : 0;
        }
        torrent_saved_free(&saved);
        if (s > CRASH_MS / 1000) {
            assert_true(stored_down >= down_at[s - CRASH_MS / 1000]);
            assert_true(stored_pieces >= pieces_at[s - CRASH_MS / 1000]);
        }
    }
    assert_in_range(b.s.n_outs[ENGINE_OUT_SAVE], 6, 9);
    torrent_saved_free(&stored);
    bench_release(&b);
}

static void test_nothing_new_is_not_stored(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, true, false);
    run(&b, 20000);
    shell_forget(&b.s);
    run(&b, 50000);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_SAVE], 0);
    bench_release(&b);
}

static void test_one_save_at_a_time(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, true, false);
    b.w.asks = true;
    b.s.hold_saves = true;
    run(&b, 60000);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_SAVE], 1);
    uint64_t version = shell_out(&b.s, ENGINE_OUT_SAVE, 0)->version;
    engine_on_saved(b.s.e, b.id, version + 1, 0, b.s.now_ms); /* not the one */
    run(&b, 1000);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_SAVE], 1);
    engine_on_saved(b.s.e, b.id, version, 0, b.s.now_ms);
    run(&b, 1000);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_SAVE], 2);
    bench_release(&b);
}

/* ---- what ---- */

static void test_what_is_saved_can_be_added_again(void **state)
{
    (void)state;
    struct bench b;
    struct bench again;
    bench_init(&b, false, true);
    run(&b, 12000);
    struct torrent_saved saved = saved_now(&b);
    uint32_t n = n_pieces(&b);
    assert_true(n >= 2 && n < b.c.n_pieces);
    assert_int_equal(n_saved_pieces(&saved), n);
    assert_true(saved.resume.checked);
    assert_in_range(saved.resume.total_down, (uint64_t)n * PIECE_LEN, 12 * 22000);
    assert_int_equal(saved.resume.active_s, 12);

    bench_init(&again, false, true);
    engine_remove_torrent(again.s.e, again.id, false, again.s.now_ms);
    shell_run(&again.s, 6000);
    struct torrent_add add = {
        .info_hash = b.c.hash,
        .info = span_of(b.c.info, b.c.info_len),
        .resume = &saved.resume,
    };
    const char *why = NULL;
    memcpy(again.s.disk, b.s.disk, b.s.disk_len);
    assert_int_equal(engine_add_torrent(again.s.e, &add, &again.id, again.s.now_ms, &why), 0);
    shell_drain(&again.s);
    assert_int_equal(n_pieces(&again), n);
    struct torrent_saved second = saved_now(&again);
    assert_int_equal(second.resume.total_down, saved.resume.total_down);
    assert_int_equal(second.resume.bitfield.n, saved.resume.bitfield.n);
    assert_memory_equal(second.resume.bitfield.p, saved.resume.bitfield.p, saved.resume.bitfield.n);
    assert_int_equal(second.resume.n_partials, saved.resume.n_partials);
    torrent_saved_free(&saved);
    torrent_saved_free(&second);
    bench_release(&again);
    bench_release(&b);
}

/* ---- pause and stop ---- */

static void test_a_stop_saves_after_the_last_write(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, false, true);
    run(&b, 5000);
    shell_forget(&b.s);
    b.s.hold_disk = true;
    engine_stop(b.s.e, b.s.now_ms);
    shell_drain(&b.s);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_CLOSE], 1);
    assert_true(n_jobs(&b, DISK_WRITE) > 0);
    shell_run(&b.s, 100);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_SAVE], 0);
    assert_false(engine_is_idle(b.s.e));
    shell_let_go(&b.s);
    shell_run(&b.s, 100);
    assert_true(b.s.n_outs[ENGINE_OUT_SAVE] >= 1);
    assert_true(engine_is_idle(b.s.e));
    assert_int_equal(engine_deadline_ms(b.s.e), UINT64_MAX);
    bench_release(&b);
}

static void test_a_stop_waits_for_the_save(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, true, false);
    b.s.hold_saves = true;
    b.w.asks = true;
    run(&b, 3000);
    engine_stop(b.s.e, b.s.now_ms);
    shell_run(&b.s, 50);
    const struct engine_out *out = shell_out(&b.s, ENGINE_OUT_SAVE, 0);
    assert_non_null(out);
    assert_false(engine_is_idle(b.s.e));
    engine_on_saved(b.s.e, b.id, out->version, ERR_DATABASE, b.s.now_ms);
    shell_run(&b.s, 6000);
    assert_false(engine_is_idle(b.s.e));
    assert_int_equal(b.s.n_outs[ENGINE_OUT_SAVE], 2);
    out = shell_out(&b.s, ENGINE_OUT_SAVE, 1);
    engine_on_saved(b.s.e, b.id, out->version, 0, b.s.now_ms);
    assert_true(engine_is_idle(b.s.e));
    assert_int_equal(engine_on_accept(b.s.e, 0, &(struct endpoint){.port = 1}, b.s.now_ms), 0);
    bench_release(&b);
}

static void test_a_pause_saves_soon(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, true, false);
    run(&b, 20000);
    shell_forget(&b.s);
    engine_pause(b.s.e, b.id, b.s.now_ms);
    shell_run(&b.s, 10);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_SAVE], 1);
    struct torrent_saved saved = saved_now(&b);
    assert_true((saved.flags & TORRENT_PAUSED) != 0);
    torrent_saved_free(&saved);
    bench_release(&b);
}

int main(void)
{
    if (digest_start() != 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sync_comes_before_the_save),
        cmocka_unit_test(test_pieces_finished_during_a_sync_are_for_the_next_save),
        cmocka_unit_test(test_a_save_is_tried_again),
        cmocka_unit_test(test_a_sync_that_fails_stores_no_piece),
        cmocka_unit_test(test_a_crash_costs_less_than_ten_seconds),
        cmocka_unit_test(test_nothing_new_is_not_stored),
        cmocka_unit_test(test_one_save_at_a_time),
        cmocka_unit_test(test_what_is_saved_can_be_added_again),
        cmocka_unit_test(test_a_stop_saves_after_the_last_write),
        cmocka_unit_test(test_a_stop_waits_for_the_save),
        cmocka_unit_test(test_a_pause_saves_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
