/* Rate limits: kept within a few percent, and shared fairly. All bytes on the wire count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/sim.h"

#include "base/banned.h"

enum { KIB = 1 << 10, MIB = 1 << 20, SECOND = 1000, LIMIT = 200 * KIB, MEASURE_S = 20 };

static void assert_near(uint64_t n, uint64_t expected, uint64_t percent)
{
    assert_in_range(n, expected - expected * percent / 100, expected + expected * percent / 100);
}

static struct sim_torrent *big(struct sim *s, const char *name)
{
    return sim_torrent_new(
        s, &(struct sim_content){.name = name, .len = 32 * MIB, .piece_len = 256 * KIB});
}

static struct sim_node *node(struct sim *s, uint64_t max_up_bps, uint64_t max_down_bps)
{
    struct engine_cfg cfg = engine_cfg_default;
    cfg.max_up_bps = max_up_bps;
    cfg.max_down_bps = max_down_bps;
    return sim_node_new(s, &(struct sim_node_spec){.up_bps = 20 * MIB, .cfg = &cfg});
}

static void uploads_keep_the_limit(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 31});
    struct sim_torrent *t = big(s, "up");
    struct sim_node *seed = node(s, LIMIT, 0);
    sim_add(seed, t, &(struct sim_add){.seed = true, .tracked = true});
    for (int i = 0; i < 3; i++) {
        sim_add(node(s, 0, 0), t, &(struct sim_add){.tracked = true});
    }
    sim_run(s, 10 * SECOND);
    uint64_t before = seed->sent_len;
    sim_run(s, MEASURE_S * SECOND);
    assert_near(seed->sent_len - before, (uint64_t)LIMIT * MEASURE_S, 5);
    engine_set_rates(seed->e, 0, LIMIT / 2, s->now_ms);
    sim_node_drain(seed);
    sim_run(s, 2 * SECOND);
    before = seed->sent_len;
    sim_run(s, MEASURE_S * SECOND);
    assert_near(seed->sent_len - before, (uint64_t)LIMIT / 2 * MEASURE_S, 5);
    sim_end(s);
}

static void downloads_keep_the_limit(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 32});
    struct sim_torrent *t = big(s, "down");
    struct sim_node *leech = node(s, 0, LIMIT);
    for (int i = 0; i < 3; i++) {
        sim_add(node(s, 0, 0), t, &(struct sim_add){.seed = true, .tracked = true});
    }
    sim_add(leech, t, &(struct sim_add){.tracked = true});
    sim_run(s, 10 * SECOND);
    uint64_t before = leech->received_len;
    sim_run(s, MEASURE_S * SECOND);
    assert_near(leech->received_len - before, (uint64_t)LIMIT * MEASURE_S, 5);
    sim_end(s);
}

static void a_torrent_keeps_its_own_limit(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 33});
    struct sim_torrent *t = big(s, "own");
    struct sim_node *seed = node(s, 0, 0);
    struct sim_node *leech = node(s, 0, 0);
    sim_add(seed, t, &(struct sim_add){.seed = true, .tracked = true, .max_up_bps = LIMIT});
    struct sim_member *m = sim_add(leech, t, &(struct sim_add){.tracked = true});
    sim_run(s, 5 * SECOND);
    uint64_t before = seed->sent_len;
    sim_run(s, MEASURE_S * SECOND);
    assert_near(seed->sent_len - before, (uint64_t)LIMIT * MEASURE_S, 5);
    engine_set_limits(leech->e, m->id, LIMIT / 2, 0, 0, s->now_ms);
    sim_node_drain(leech);
    sim_run(s, 10 * SECOND);
    before = leech->received_len;
    sim_run(s, MEASURE_S * SECOND);
    assert_near(leech->received_len - before, (uint64_t)LIMIT / 2 * MEASURE_S, 5);
    sim_end(s);
}

/* Three peers want the one torrent, one peer the other. */
static void two_torrents_share_fairly(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 34});
    struct sim_torrent *one = big(s, "one");
    struct sim_torrent *two = big(s, "two");
    struct sim_node *seed = node(s, LIMIT, 0);
    struct sim_member *a = sim_add(seed, one, &(struct sim_add){.seed = true, .tracked = true});
    struct sim_member *b = sim_add(seed, two, &(struct sim_add){.seed = true, .tracked = true});
    for (int i = 0; i < 4; i++) {
        sim_add(node(s, 0, 0), i < 3 ? one : two, &(struct sim_add){.tracked = true});
    }
    sim_run(s, 10 * SECOND);
    uint64_t before_a = sim_status(a).session_up;
    uint64_t before_b = sim_status(b).session_up;
    sim_run(s, MEASURE_S * SECOND);
    assert_near(sim_status(a).session_up - before_a, (uint64_t)LIMIT * MEASURE_S / 2, 10);
    assert_near(sim_status(b).session_up - before_b, (uint64_t)LIMIT * MEASURE_S / 2, 10);
    sim_end(s);
}

static void peers_of_a_torrent_share_fairly(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 35});
    struct sim_torrent *t = big(s, "peers");
    struct sim_node *seed = node(s, LIMIT, 0);
    struct peer_view v;
    uint64_t before[4];
    struct sim_member *m = sim_add(seed, t, &(struct sim_add){.seed = true});
    for (int i = 0; i < 4; i++) {
        struct engine_cfg cfg = engine_cfg_default;
        cfg.pex = false; /* they do not find each other */
        struct sim_node *n = sim_node_new(
            s, &(struct sim_node_spec){.latency_ms = 10U << i, .closed = true, .cfg = &cfg});
        sim_add(n, t, &(struct sim_add){.peers = &seed, .n_peers = 1});
    }
    sim_run(s, 10 * SECOND);
    for (size_t i = 0; i < 4; i++) {
        assert_true(engine_peer(seed->e, m->id, i, &v, s->now_ms));
        before[i] = v.totals.up_payload;
    }
    sim_run(s, MEASURE_S * SECOND);
    for (size_t i = 0; i < 4; i++) {
        assert_true(engine_peer(seed->e, m->id, i, &v, s->now_ms));
        assert_near(v.totals.up_payload - before[i], (uint64_t)LIMIT * MEASURE_S / 4, 10);
    }
    sim_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uploads_keep_the_limit),
        cmocka_unit_test(downloads_keep_the_limit),
        cmocka_unit_test(a_torrent_keeps_its_own_limit),
        cmocka_unit_test(two_torrents_share_fairly),
        cmocka_unit_test(peers_of_a_torrent_share_fairly),
    };
    return cmocka_run_group_tests_name("sim rates", tests, NULL, NULL);
}
