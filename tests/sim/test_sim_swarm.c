/* Many engines in one swarm: everybody completes, nobody is let down, liars are found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/sim.h"

#include "base/banned.h"

enum { KIB = 1 << 10, MIB = 1 << 20, SECOND = 1000, MINUTE = 60 * SECOND };

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

static struct engine_totals totals_of(const struct sim_node *n)
{
    struct engine_totals t;
    engine_totals(n->e, &t);
    return t;
}

/* Bytes that were of no use, of all nodes. */
static uint64_t wasted(struct sim *s)
{
    uint64_t sum = 0;
    SIM_FOREACH_NODE(n, s)
    {
        sum += totals_of(n).wasted;
    }
    return sum;
}

static void twenty_peers_of_mixed_lines(void **state)
{
    static const uint32_t up_kib[] = {64, 128, 256, 512, 1024};
    static const uint32_t latency[] = {5, 20, 40, 80, 150};
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 20, .refusals_percent = 2});
    struct sim_torrent *t = sim_torrent_new(
        s, &(struct sim_content){.name = "twenty", .len = 64 * MIB, .piece_len = 512 * KIB});
    for (uint32_t i = 0; i < 20; i++) {
        struct sim_node *n =
            sim_node_new(s, &(struct sim_node_spec){.up_bps = (uint64_t)up_kib[i % 5] * KIB,
                                                    .down_bps = (uint64_t)up_kib[i % 5] * KIB * 8,
                                                    .latency_ms = latency[i / 4 % 5],
                                                    .disk_bps = 100 * MIB,
                                                    .disk_latency_ms = i % 3 * 4});
        sim_add(n, t, &(struct sim_add){.seed = i == 3, .tracked = true});
    }
    sim_run_until(s, sim_all_complete, NULL, 10 * MINUTE);
    assert_all_right(s);
    assert_true(wasted(s) < 19 * 64 * MIB / 50);
    sim_end(s);
}

/* Is a peer of the node the liar? */
static bool has_peer(struct sim_node *n, const struct sim_node *liar)
{
    struct sim_member *m = sim_next_member(n, NULL);
    struct peer_view v;
    for (size_t i = 0; engine_peer(n->e, m->id, i, &v, n->s->now_ms); i++) {
        if (addr_eq(&v.remote.addr, &liar->self.addr)) {
            return true;
        }
    }
    return false;
}

static void a_liar_is_banned_by_all_and_everybody_completes(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 7});
    struct sim_torrent *t = sim_torrent_new(
        s, &(struct sim_content){.name = "liar", .len = 8 * MIB, .piece_len = 256 * KIB});
    struct sim_node *liar =
        sim_node_new(s, &(struct sim_node_spec){.up_bps = 1 * MIB, .lies = true});
    sim_add(liar, t, &(struct sim_add){.seed = true, .tracked = true});
    for (uint32_t i = 0; i < 8; i++) {
        struct sim_node *n = sim_node_new(s, &(struct sim_node_spec){.up_bps = 256 * KIB});
        sim_add(n, t, &(struct sim_add){.seed = i == 0, .tracked = true});
    }
    sim_run_until(s, sim_all_complete, NULL, 10 * MINUTE);
    assert_all_right(s);
    SIM_FOREACH_NODE(n, s)
    {
        bool was_lied_to = n->index > 2;
        assert_true((totals_of(n).hash_failures > 0) == was_lied_to);
        assert_int_equal(totals_of(n).banned, was_lied_to ? 1 : 0);
        assert_false(was_lied_to && has_peer(n, liar));
    }
    sim_end(s);
}

static void end_game_wastes_little(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 9});
    struct sim_torrent *t = sim_torrent_new(
        s, &(struct sim_content){.name = "end", .len = 16 * MIB, .piece_len = 256 * KIB});
    for (uint32_t i = 0; i < 6; i++) {
        struct sim_node *n = sim_node_new(
            s, &(struct sim_node_spec){.up_bps = (i == 0 ? 30 : 400) * KIB, .latency_ms = 30});
        sim_add(n, t, &(struct sim_add){.seed = true, .tracked = true});
    }
    struct sim_node *n = sim_node_new(s, &(struct sim_node_spec){.latency_ms = 30});
    sim_add(n, t, &(struct sim_add){.tracked = true});
    sim_run_until(s, sim_all_complete, NULL, 2 * MINUTE);
    assert_all_right(s);
    assert_true(wasted(s) < t->len / 33);
    sim_end(s);
}

static uint64_t up_payload(struct sim_member *m)
{
    return sim_status(m).session_up;
}

static void super_seeding_gives_each_piece_about_once(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 16});
    struct sim_torrent *t = sim_torrent_new(
        s, &(struct sim_content){.name = "super", .len = 16 * MIB, .piece_len = 256 * KIB});
    struct sim_node *seed = sim_node_new(s, &(struct sim_node_spec){.up_bps = 256 * KIB});
    struct sim_member *m = sim_add(
        seed, t, &(struct sim_add){.seed = true, .tracked = true, .flags = TORRENT_SUPER_SEEDING});
    for (uint32_t i = 0; i < 8; i++) {
        struct sim_node *n = sim_node_new(s, &(struct sim_node_spec){.up_bps = 512 * KIB});
        sim_add(n, t, &(struct sim_add){.tracked = true});
    }
    sim_run_until(s, sim_all_complete, NULL, 10 * MINUTE);
    assert_all_right(s);
    assert_true(up_payload(m) < t->len * 2);
    sim_end(s);
}

static void a_free_rider_gets_less_than_those_who_give(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 5});
    struct sim_torrent *t = sim_torrent_new(
        s, &(struct sim_content){.name = "free", .len = 64 * MIB, .piece_len = 256 * KIB});
    struct sim_member *m[13];
    struct sim_node *seed = sim_node_new(s, &(struct sim_node_spec){.up_bps = 256 * KIB});
    m[0] = sim_add(seed, t, &(struct sim_add){.seed = true, .tracked = true});
    for (uint32_t i = 1; i < 13; i++) {
        struct sim_node *n = sim_node_new(s, &(struct sim_node_spec){.up_bps = 128 * KIB});
        m[i] =
            sim_add(n, t, &(struct sim_add){.tracked = true, .max_up_bps = i == 12 ? 2 * KIB : 0});
    }
    sim_run(s, 4 * MINUTE);
    uint64_t givers = 0;
    for (uint32_t i = 1; i < 12; i++) {
        givers += sim_status(m[i]).session_down / 11;
        /* Chokes that cross with requests in lines that are full are nobody's fault. */
        assert_true(sim_status(m[i]).n_peers >= 11);
    }
    assert_true(givers > 0);
    assert_true(sim_status(m[12]).session_down < givers * 8 / 10);
    sim_end(s);
}

/* With slots of their own everybody still completes; that there are never more is checked after every
 * input. */
static void torrents_keep_to_their_slots(void **state)
{
    (void)state;
    for (uint32_t cap = 0; cap < 3; cap++) {
        struct sim *s = sim_new(&(struct sim_options){.seed = 40 + cap});
        struct sim_torrent *t = sim_torrent_new(
            s, &(struct sim_content){.name = "slots", .len = 16 * MIB, .piece_len = 256 * KIB});
        struct sim_member *m[4];
        for (uint32_t i = 0; i < 4; i++) {
            struct sim_node *n = sim_node_new(s, &(struct sim_node_spec){.up_bps = 200 * KIB});
            m[i] = sim_add(n, t,
                           &(struct sim_add){.seed = i == 0, .tracked = true, .max_uploads = cap});
        }
        uint32_t most = 0;
        for (int i = 0; i < 600 && !sim_all_complete(s, NULL); i++) {
            sim_run(s, SECOND);
            struct torrent_status seed = sim_status(m[0]);
            assert_int_equal(seed.max_uploads, cap);
            if (seed.n_interested == 3) {
                most = seed.n_uploads > most ? seed.n_uploads : most;
            }
        }
        assert_true(sim_all_complete(s, NULL));
        assert_all_right(s);
        assert_int_equal(most, cap == 0 ? 3 : cap);
        sim_end(s);
    }
}

static void connections_that_break_stop_nobody(void **state)
{
    (void)state;
    struct sim *s = sim_new(
        &(struct sim_options){.seed = 11, .resets_per_million = 2000, .refusals_percent = 20});
    struct sim_torrent *t = sim_torrent_new(
        s, &(struct sim_content){.name = "break", .len = 8 * MIB + 1, .piece_len = 64 * KIB});
    for (uint32_t i = 0; i < 8; i++) {
        struct sim_node *n = sim_node_new(s, &(struct sim_node_spec){.up_bps = 200 * KIB});
        sim_add(n, t, &(struct sim_add){.seed = i == 0, .tracked = true});
    }
    sim_run_until(s, sim_all_complete, NULL, 30 * MINUTE);
    assert_all_right(s);
    sim_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twenty_peers_of_mixed_lines),
        cmocka_unit_test(a_liar_is_banned_by_all_and_everybody_completes),
        cmocka_unit_test(end_game_wastes_little),
        cmocka_unit_test(super_seeding_gives_each_piece_about_once),
        cmocka_unit_test(a_free_rider_gets_less_than_those_who_give),
        cmocka_unit_test(torrents_keep_to_their_slots),
        cmocka_unit_test(connections_that_break_stop_nobody),
    };
    return cmocka_run_group_tests_name("sim swarm", tests, NULL, NULL);
}
