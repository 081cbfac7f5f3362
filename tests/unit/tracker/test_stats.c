#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tracker/stats.h"

#include "base/banned.h"

static struct stats_block *block_new(void)
{
    struct stats_block *s = aligned_alloc(_Alignof(struct stats_block), sizeof *s);
    memset(s, 0, sizeof *s);
    return s;
}

static void blocks_add_up(void **state)
{
    (void)state;
    struct stats_block *a = block_new();
    struct stats_block *b = block_new();
    struct stats_totals totals = {.counters = {0}};
    stats_count(a, COUNT_udp4_connects);
    stats_add(a, COUNT_peers_sent, 30);
    stats_add(b, COUNT_peers_sent, 12);
    stats_sum(&totals, a);
    stats_sum(&totals, b);
    assert_int_equal(totals.counters[COUNT_udp4_connects], 1);
    assert_int_equal(totals.counters[COUNT_peers_sent], 42);
    assert_int_equal(totals.counters[COUNT_completed], 0);
    free(a);
    free(b);
}

static void a_time_falls_into_its_bucket(void **state)
{
    (void)state;
    static const struct {
        uint64_t ns;
        unsigned bucket;
    } rows[] = {
        {0, 0},
        {250, 0},
        {251, 1},
        {500, 1},
        {501, 2},
        {1000, 2},
        {250 << 14, 14},
        {(250 << 14) + 1, 15},
        {UINT64_MAX / 2, 15},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct stats_block *s = block_new();
        struct stats_totals totals = {.counters = {0}};
        stats_time(s, TIMED_UDP_ANNOUNCE, rows[i].ns);
        stats_sum(&totals, s);
        assert_int_equal(totals.timed[TIMED_UDP_ANNOUNCE].buckets[rows[i].bucket], 1);
        assert_int_equal(totals.timed[TIMED_UDP_ANNOUNCE].count, 1);
        assert_int_equal(totals.timed[TIMED_UDP_ANNOUNCE].sum_ns, rows[i].ns);
        assert_int_equal(totals.timed[TIMED_UDP_SCRAPE].count, 0);
        free(s);
    }
}

static void a_gap_is_remembered_for_two_windows(void **state)
{
    (void)state;
    struct stats_block *s = block_new();
    assert_int_equal(stats_loop_gap_max_us(s), 0);
    stats_loop_gap(s, 700, 700);
    stats_loop_gap(s, 300, 300);
    assert_int_equal(stats_loop_gap_max_us(s), 700);
    stats_loop_gap_window(s);
    stats_loop_gap(s, 200, 200);
    assert_int_equal(stats_loop_gap_max_us(s), 700);
    stats_loop_gap_window(s);
    assert_int_equal(stats_loop_gap_max_us(s), 200);
    stats_loop_gap_window(s);
    assert_int_equal(stats_loop_gap_max_us(s), 0);
    free(s);
}

static void every_gap_is_counted_in_its_bucket(void **state)
{
    static const struct {
        uint64_t us;
        unsigned bucket;
    } rows[] = {
        {0, 0},    {125, 0},  {126, 1},  {187, 1},    {188, 2},    {250, 2},
        {1500, 7}, {1501, 8}, {2000, 8}, {96000, 19}, {64000, 18}, {UINT32_MAX, 19},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct stats_block *s = block_new();
        struct stats_totals totals = {.counters = {0}};
        stats_loop_gap(s, rows[i].us, 100);
        stats_loop_part(s, rows[i].us);
        stats_loop_gap_window(s); /* forgets the longest, not the counts */
        stats_sum(&totals, s);
        stats_sum(&totals, s);
        assert_int_equal(totals.gaps.buckets[rows[i].bucket], 2);
        assert_int_equal(totals.gaps.sum_us, 2 * rows[i].us);
        assert_int_equal(totals.own_gaps.buckets[0], 2);
        assert_int_equal(totals.own_gaps.sum_us, 200);
        assert_int_equal(totals.parts.buckets[rows[i].bucket], 2);
        assert_int_equal(totals.parts.sum_us, 2 * rows[i].us);
        free(s);
    }
    assert_int_equal(stats_gap_bound_us(8), 2000);
}

static void every_counter_has_a_name_and_a_help(void **state)
{
    (void)state;
    for (enum tracker_counter i = 0; i < TRACKER_COUNTER_COUNT; i++) {
        assert_true(strlen(stats_name(i)) > 0);
        assert_true(strlen(stats_help(i)) > strlen("Peers"));
    }
    assert_string_equal(stats_name(COUNT_udp4_connects), "udp4_connects");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_add_up),
        cmocka_unit_test(a_time_falls_into_its_bucket),
        cmocka_unit_test(a_gap_is_remembered_for_two_windows),
        cmocka_unit_test(every_gap_is_counted_in_its_bucket),
        cmocka_unit_test(every_counter_has_a_name_and_a_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
