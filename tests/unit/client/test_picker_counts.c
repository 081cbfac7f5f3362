/* What the picker counts: the pieces that it looks at, in each way of looking. */
#include "unit/client/picker_fixture.h"

#include "base/banned.h"

enum { N = 32, N_BLOCKS = 2 };

static struct picker_counts counts;

static struct swarm_view begin(void)
{
    struct swarm_view v = view_new(N, N_BLOCKS, 7);
    counts = (struct picker_counts){0};
    picker_count_in(v.k, &counts);
    return v;
}

static void pick(struct swarm_view *v, const struct pick_peer *peer, size_t n)
{
    struct wire_block b;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(picker_pick(v->k, v->p, peer, &b, 1), 1);
    }
}

static void random_ones(void **state)
{
    struct swarm_view v = begin();
    struct pick_peer peer = seed_n(1, SLOW_BPS);
    (void)state;
    pick(&v, &peer, 1);
    assert_int_equal(counts.random, 1);
    assert_int_equal(counts.partial, 0);
    pick(&v, &peer, 1); /* the rest of the piece */
    assert_int_equal(counts.random, 1);
    assert_int_equal(counts.partial, 1);
    for (uint32_t i = 1; i < N; i++) {
        pick(&v, &peer, N_BLOCKS);
    }
    assert_int_equal(counts.random, N);
    assert_true(counts.random_skipped > 0); /* pieces under way, whose blocks are all asked for */
    assert_int_equal(counts.sequential + counts.rare + counts.rare_reverse + counts.busy, 0);
    view_release(&v);
}

static void in_order(void **state)
{
    struct swarm_view v = begin();
    struct pick_peer peer = seed_n(1, SLOW_BPS);
    (void)state;
    picker_set_sequential(v.k, true);
    pick(&v, &peer, 1);
    assert_int_equal(counts.sequential, 1);
    pick(&v, &peer, 2); /* the first is passed over on the way to the second */
    assert_int_equal(counts.sequential, 3);
    assert_int_equal(counts.random + counts.random_skipped + counts.rare, 0);
    view_release(&v);
}

static void the_rarest_and_the_most_common(void **state)
{
    struct swarm_view v = begin();
    struct pick_peer peer = seed_n(1, SLOW_BPS);
    uint8_t none[N / 8] = {0};
    struct wire_block b;
    (void)state;
    view_skip_random_first(&v);
    pick(&v, &peer, 1);
    assert_int_equal(counts.rare, 1);
    peer.snubbing = true;
    pick(&v, &peer, 2); /* the rest of that, and another */
    assert_int_equal(counts.rare, 1);
    assert_int_equal(counts.rare_reverse, 1);
    /* Nothing is found at last, and every piece was looked at. */
    peer = (struct pick_peer){.id = 2, .bitfield = span_of(none, sizeof none)};
    assert_int_equal(picker_pick(v.k, v.p, &peer, &b, 1), 0);
    assert_int_equal(counts.rare, 1 + N - PICKER_RANDOM_FIRST);
    view_release(&v);
}

static void the_end_game(void **state)
{
    struct swarm_view v = begin();
    struct pick_peer one = seed_n(1, SLOW_BPS);
    struct pick_peer two = seed_n(2, SLOW_BPS);
    (void)state;
    pick(&v, &one, (size_t)N * N_BLOCKS);
    assert_int_equal(counts.busy, 0);
    pick(&v, &two, 1);
    assert_in_range(counts.busy, 1, N);
    view_release(&v);
}

/* Without anybody who wants them. */
static void nobody_counts(void **state)
{
    struct swarm_view v = view_new(N, N_BLOCKS, 7);
    struct pick_peer peer = seed_n(1, SLOW_BPS);
    (void)state;
    pick(&v, &peer, N);
    view_release(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_ones),
        cmocka_unit_test(in_order),
        cmocka_unit_test(the_rarest_and_the_most_common),
        cmocka_unit_test(the_end_game),
        cmocka_unit_test(nobody_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
