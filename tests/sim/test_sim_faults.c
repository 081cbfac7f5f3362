/* What can fail, fails: power, and in loops the k-th job, connection, send, save or announce, for k
 * from 1 until a run comes through in which nothing was left to fail. A run ends complete, or in
 * the fault that fits, from which it goes on once it is resumed; and idle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/sim.h"

#include "base/banned.h"

enum { KIB = 1 << 10, MIB = 1 << 20, SECOND = 1000, MINUTE = 60 * SECOND, K_MAX = 5000 };

static void assert_all_right(struct sim *s)
{
    SIM_FOREACH_NODE(n, s)
    {
        SIM_FOREACH_MEMBER(m, n)
        {
            assert_true(sim_disk_is_right(m));
        }
    }
}

/* ---- power --------------------------------------------------------------------------------------- */

static void crash_one(struct sim *s, struct sim_node *const *nodes, uint32_t n)
{
    struct sim_node *victim = nodes[rng_below(&s->rng, n)];
    sim_run(s, 500 + rng_below(&s->rng, 8000));
    sim_node_crash(victim);
    sim_run(s, 200 + rng_below(&s->rng, 4000));
    sim_node_start(victim);
}

static void power_fails_twenty_times(void **state)
{
    (void)state;
    for (uint64_t seed = 40; seed < 44; seed++) {
        struct sim *s = sim_new(&(struct sim_options){.seed = seed});
        struct sim_torrent *t = sim_torrent_new(
            s, &(struct sim_content){.name = "power", .len = 24 * MIB + 5, .piece_len = 128 * KIB});
        struct sim_node *nodes[5];
        for (int i = 0; i < 5; i++) {
            nodes[i] = sim_node_new(s, &(struct sim_node_spec){.up_bps = 128 * KIB,
                                                               .disk_latency_ms = 15,
                                                               .disk_bps = 5 * MIB});
            sim_add(nodes[i], t, &(struct sim_add){.seed = i == 0, .tracked = true});
        }
        for (int i = 0; i < 20; i++) {
            crash_one(s, nodes, 5);
        }
        sim_run_until(s, sim_all_complete, NULL, 20 * MINUTE);
        assert_all_right(s);
        for (int i = 1; i < 5; i++) {
            crash_one(s, nodes + i, 1); /* what was complete and stored stays so */
        }
        sim_run_until(s, sim_all_complete, NULL, 10 * MINUTE);
        assert_all_right(s);
        sim_end(s);
    }
}

/* ---- loops ---------------------------------------------------------------------------------------- */

static struct sim *play(uint64_t seed)
{
    struct sim *s = sim_new(&(struct sim_options){.seed = seed});
    struct sim_torrent *t = sim_torrent_new(
        s, &(struct sim_content){
               .name = "faults", .len = 700 * KIB, .piece_len = 64 * KIB, .n_files = 3});
    for (int i = 0; i < 3; i++) {
        struct sim_node *n =
            sim_node_new(s, &(struct sim_node_spec){.up_bps = 256 * KIB, .disk_latency_ms = 3});
        sim_add(n, t,
                &(struct sim_add){
                    .seed = i == 0, .unchecked = true, .magnet = i == 2, .tracked = true});
    }
    return s;
}

static bool complete_or_faulty(struct sim *s, void *ctx)
{
    (void)ctx;
    SIM_FOREACH_NODE(n, s)
    {
        SIM_FOREACH_MEMBER(m, n)
        {
            if (sim_status(m).fault == FAULT_DISK) {
                return true;
            }
        }
    }
    return sim_all_complete(s, NULL);
}

/* Those in a fault that does not heal by itself are resumed. */
static void resume_all(struct sim *s)
{
    SIM_FOREACH_NODE(n, s)
    {
        SIM_FOREACH_MEMBER(m, n)
        {
            struct torrent_status st = sim_status(m);
            if (st.fault == FAULT_DISK) {
                assert_string_not_equal(st.error, "");
                engine_resume(n->e, m->id, s->now_ms);
                sim_node_drain(n);
            }
        }
    }
}

/* Returns the number of faults that were possible. */
static uint64_t loop(enum sim_fault_kind kind, int status, unsigned ops)
{
    for (uint64_t k = 1; k < K_MAX; k++) {
        struct sim *s = play(k);
        s->faults[kind] = (struct sim_fault){.at = k, .status = status, .ops = ops};
        sim_run_until(s, complete_or_faulty, NULL, 10 * MINUTE);
        if (!sim_all_complete(s, NULL)) {
            sim_run(s, 1 * SECOND);
            resume_all(s);
            sim_run_until(s, sim_all_complete, NULL, 10 * MINUTE);
        }
        assert_all_right(s);
        sim_stop(s);
        bool untouched = s->faults[kind].n < k;
        sim_end(s);
        if (untouched) {
            return k - 1;
        }
    }
    fail_msg("the loop has no end");
    return 0;
}

static void a_write_finds_no_space(void **state)
{
    (void)state;
    assert_true(loop(SIM_FAULT_DISK, ERR_NO_SPACE, 1U << DISK_WRITE) >= 2);
}

static void a_job_fails(void **state)
{
    (void)state;
    unsigned ops = 1U << DISK_READ | 1U << DISK_WRITE | 1U << DISK_HASH | 1U << DISK_CHECK |
                   1U << DISK_SYNC | 1U << DISK_WANTED;
    assert_true(loop(SIM_FAULT_DISK, ERR_SYSTEM, ops) >= 10);
}

static void a_file_is_not_there(void **state)
{
    (void)state;
    assert_true(loop(SIM_FAULT_DISK, ERR_NOT_FOUND, 1U << DISK_READ) >= 2);
}

static void a_read_gives_wrong_bytes(void **state)
{
    (void)state;
    assert_true(loop(SIM_FAULT_LIE, 0, 0) >= 2);
}

static void an_attempt_to_connect_fails(void **state)
{
    (void)state;
    assert_true(loop(SIM_FAULT_CONNECT, ERR_TIMEOUT, 0) >= 2);
}

static void a_connection_is_reset(void **state)
{
    (void)state;
    assert_true(loop(SIM_FAULT_SEND, 0, 0) >= 10);
}

static void a_save_fails(void **state)
{
    (void)state;
    assert_true(loop(SIM_FAULT_SAVE, ERR_DATABASE, 0) >= 2);
}

static void an_announce_fails(void **state)
{
    (void)state;
    assert_true(loop(SIM_FAULT_ANNOUNCE, 0, 0) >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_fails_twenty_times),
        cmocka_unit_test(a_write_finds_no_space),
        cmocka_unit_test(a_job_fails),
        cmocka_unit_test(a_file_is_not_there),
        cmocka_unit_test(a_read_gives_wrong_bytes),
        cmocka_unit_test(an_attempt_to_connect_fails),
        cmocka_unit_test(a_connection_is_reset),
        cmocka_unit_test(a_save_fails),
        cmocka_unit_test(an_announce_fails),
    };
    return cmocka_run_group_tests_name("sim faults", tests, NULL, NULL);
}
