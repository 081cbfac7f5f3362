/* Meters, buckets, and limiters in virtual time: a limit holds, and nobody is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "client/rate.h"

#include "base/banned.h"

static void assert_near(uint64_t is, uint64_t wanted, uint64_t percent)
{
    assert_in_range(is, wanted - wanted * percent / 100, wanted + wanted * percent / 100);
}

static void a_meter_averages_whole_seconds(void **state)
{
    (void)state;
    struct rate_meter m = {0};
    assert_int_equal(rate_meter_bps(&m, 0), 0);
    assert_int_equal(rate_meter_bps(&m, 123456789), 0);
    for (uint64_t now_ms = 100000; now_ms < 110000; now_ms += 10) {
        rate_meter_add(&m, 1000, now_ms);
        if (now_ms > 101000) {
            assert_near(rate_meter_bps(&m, now_ms), 100000, 2);
        }
    }
    /* Then nothing: it sinks, and is gone when the window has passed. */
    uint64_t last_bps = rate_meter_bps(&m, 110000);
    for (uint64_t now_ms = 110000; now_ms < 115000; now_ms += 250) {
        uint64_t bps = rate_meter_bps(&m, now_ms);
        assert_true(bps <= last_bps && bps > 0);
        last_bps = bps;
    }
    assert_int_equal(rate_meter_bps(&m, 115000), 0);
    assert_int_equal(rate_meter_bps(&m, UINT64_MAX), 0);
    /* A pause longer than the window leaves nothing of old behind. */
    rate_meter_add(&m, 5000, 200000);
    assert_int_equal(rate_meter_bps(&m, 200000), 1000);
}

static void a_young_meter_does_not_boast(void **state)
{
    (void)state;
    struct rate_meter m = {0};
    rate_meter_add(&m, 16384, 50500);
    assert_int_equal(rate_meter_bps(&m, 50500), 16384);
    assert_int_equal(rate_meter_bps(&m, 50501), 16384);
    assert_int_equal(rate_meter_bps(&m, 52500), 8192);
    struct rate_meter at_zero = {0};
    rate_meter_add(&at_zero, 700, 0);
    rate_meter_add(&at_zero, 300, 10);
    assert_int_equal(rate_meter_bps(&at_zero, 1000), 1000);
    assert_int_equal(rate_meter_bps(&at_zero, 2000), 500);
}

static void a_bucket_without_limit_is_never_empty(void **state)
{
    (void)state;
    struct bucket b = {0};
    bucket_take(&b, SIZE_MAX, 5);
    assert_int_equal(bucket_room(&b, 5), SIZE_MAX);
    assert_int_equal(bucket_ready_ms(&b, 7), 7);
}

static void a_bucket_fills_and_may_be_overdrawn(void **state)
{
    (void)state;
    struct bucket b = {0};
    bucket_set_rate(&b, 1000000, 1000);
    assert_int_equal(bucket_room(&b, 1000), 0);
    assert_int_equal(bucket_ready_ms(&b, 1000), 1001);
    assert_int_equal(bucket_room(&b, 1001), 1000);
    assert_int_equal(bucket_room(&b, 1050), 50000);
    assert_int_equal(bucket_room(&b, 1100), 100000);
    assert_int_equal(bucket_room(&b, 9999999), 100000); /* a tenth of a second, no more */
    bucket_take(&b, 150000, 9999999);
    assert_int_equal(bucket_room(&b, 9999999), 0);
    assert_int_equal(bucket_ready_ms(&b, 9999999), 9999999 + 51);
    assert_int_equal(bucket_room(&b, 9999999 + 50), 0);
    assert_int_equal(bucket_room(&b, 9999999 + 51), 1000);
    /* Slow ones fill up to the least burst, and lose no fraction of a byte. */
    bucket_set_rate(&b, 1500, 20000000);
    assert_int_equal(bucket_room(&b, 20000000), BUCKET_BURST_MIN);
    bucket_take(&b, BUCKET_BURST_MIN, 20000000);
    for (uint64_t ms = 1; ms <= 3000; ms++) {
        assert_int_equal(bucket_room(&b, 20000000 + ms), ms * 1500 / 1000);
    }
}

static void extreme_rates_do_not_overflow(void **state)
{
    (void)state;
    struct bucket b = {0};
    bucket_set_rate(&b, UINT64_MAX, 0);
    assert_true(bucket_room(&b, UINT64_MAX / 2) > UINT64_C(1) << 40);
    for (int i = 0; i < 3; i++) {
        bucket_take(&b, SIZE_MAX, UINT64_MAX / 2);
    }
    assert_int_equal(bucket_room(&b, UINT64_MAX / 2), 0);
    assert_true(bucket_ready_ms(&b, UINT64_MAX / 2) > UINT64_MAX / 2);
    /* The debt of a fast rate does not stop a slow one for ever. */
    bucket_set_rate(&b, 1, UINT64_MAX / 2);
    assert_true(bucket_ready_ms(&b, UINT64_MAX / 2) - UINT64_MAX / 2 < 20000000);
    bucket_set_rate(&b, 0, UINT64_MAX / 2);
    assert_int_equal(bucket_room(&b, UINT64_MAX / 2), SIZE_MAX);
}

enum { GROUPS = 3, MEMBERS = 9 };

/* Torrents of one, three and five peers. use: what a peer moves of its turn, 0: all. */
struct crowd {
    struct limiter l;
    struct limiter_group groups[GROUPS];
    struct limiter_member members[MEMBERS];
    uint64_t moved[MEMBERS];
    size_t use[MEMBERS];
    uint64_t turns;
};

static const size_t group_of[MEMBERS] = {0, 1, 1, 1, 2, 2, 2, 2, 2};

static void crowd_init(struct crowd *c, uint64_t rate_bps, uint64_t now_ms)
{
    memset(c, 0, sizeof *c);
    limiter_init(&c->l);
    bucket_set_rate(&c->l.bucket, rate_bps, now_ms);
    for (size_t i = 0; i < GROUPS; i++) {
        limiter_group_init(&c->groups[i], &c->l);
    }
    for (size_t i = 0; i < MEMBERS; i++) {
        limiter_member_init(&c->members[i], &c->groups[group_of[i]]);
        limiter_wait(&c->members[i]);
    }
}

static void crowd_release(struct crowd *c)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        limiter_member_release(&c->members[i]);
    }
    for (size_t i = 0; i < GROUPS; i++) {
        limiter_group_release(&c->groups[i]);
    }
    assert_null(limiter_next(&c->l, UINT64_MAX, &(size_t){0}));
}

static void move(struct crowd *c, struct limiter_member *m, size_t quantum, uint64_t now_ms)
{
    size_t i = (size_t)(m - c->members);
    size_t n = c->use[i] > 0 && c->use[i] < quantum ? c->use[i] : quantum;
    assert_in_range(quantum, 1, LIMITER_QUANTUM);
    assert_false(limiter_is_waiting(m));
    assert_int_equal(limiter_room(m, now_ms), quantum);
    limiter_spend(m, n, now_ms);
    c->moved[i] += n;
    c->turns++;
    limiter_wait(m);
}

/* As the engine does it: sleep until the deadline (and late_ms more at worst), give turns. */
static void crowd_run(struct crowd *c, uint64_t from_ms, uint64_t until_ms, uint32_t late_ms,
                      struct rng *rng)
{
    uint64_t now_ms = from_ms;
    while (now_ms < until_ms) {
        struct limiter_member *m;
        size_t quantum = 0;
        uint64_t turns = c->turns;
        bool due = limiter_deadline_ms(&c->l, now_ms) <= now_ms;
        while ((m = limiter_next(&c->l, now_ms, &quantum)) != NULL) {
            move(c, m, quantum, now_ms);
        }
        assert_int_equal(c->turns > turns, due); /* the deadline is exact */
        uint64_t deadline_ms = limiter_deadline_ms(&c->l, now_ms);
        assert_true(deadline_ms > now_ms && deadline_ms < UINT64_MAX);
        now_ms = deadline_ms + rng_below(rng, late_ms + 1);
    }
}

static uint64_t group_sum(const struct crowd *c, size_t group)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < MEMBERS; i++) {
        sum += group_of[i] == group ? c->moved[i] : 0;
    }
    return sum;
}

static void a_limit_holds_and_is_shared(void **state)
{
    static const uint64_t rates_bps[] = {5000, 20000, 100000, 1000000, 30000000};
    (void)state;
    for (size_t i = 0; i < sizeof rates_bps / sizeof rates_bps[0]; i++) {
        struct crowd c;
        struct rng rng = {i};
        uint64_t rate_bps = rates_bps[i];
        crowd_init(&c, rate_bps, 7000);
        crowd_run(&c, 7000, 27000, 10, &rng);
        uint64_t all = group_sum(&c, 0) + group_sum(&c, 1) + group_sum(&c, 2);
        assert_near(all, 20 * rate_bps, 5);
        for (size_t g = 0; g < GROUPS; g++) {
            assert_near(group_sum(&c, g), all / GROUPS, 3);
        }
        for (size_t m = 1; m < MEMBERS; m++) {
            uint64_t share = all / GROUPS / (group_of[m] == 1 ? 3 : 5);
            uint64_t turn = rate_bps / 10 < LIMITER_QUANTUM ? rate_bps / 10 : LIMITER_QUANTUM;
            assert_in_range(c.moved[m], share - turn, share + turn);
        }
        crowd_release(&c);
    }
}

static void who_wants_little_costs_nothing(void **state)
{
    (void)state;
    struct crowd c;
    struct rng rng = {4};
    crowd_init(&c, 1000000, 0);
    c.use[4] = 1;
    c.use[5] = 100;
    crowd_run(&c, 0, 20000, 5, &rng);
    uint64_t all = group_sum(&c, 0) + group_sum(&c, 1) + group_sum(&c, 2);
    assert_near(all, 20 * 1000000, 5);
    assert_near(group_sum(&c, 0), group_sum(&c, 1), 2);
    assert_near(c.moved[6], c.moved[7], 3);
    assert_near(c.moved[7], c.moved[8], 3);
    assert_true(c.moved[4] >= 20 && c.moved[4] < c.moved[5]);
    crowd_release(&c);
}

static void a_torrent_has_its_own_limit_below(void **state)
{
    (void)state;
    struct crowd c;
    struct rng rng = {5};
    crowd_init(&c, 1000000, 0);
    bucket_set_rate(&c.groups[2].bucket, 50000, 0);
    crowd_run(&c, 0, 20000, 5, &rng);
    assert_near(group_sum(&c, 2), 20 * 50000, 5);
    assert_near(group_sum(&c, 0), 20 * 475000, 5);
    assert_near(group_sum(&c, 1), 20 * 475000, 5);
    crowd_release(&c);
}

static void a_changed_limit_counts_at_once(void **state)
{
    (void)state;
    struct crowd c;
    struct rng rng = {6};
    crowd_init(&c, 10000000, 0);
    crowd_run(&c, 0, 5000, 5, &rng);
    uint64_t before = group_sum(&c, 0) + group_sum(&c, 1) + group_sum(&c, 2);
    bucket_set_rate(&c.l.bucket, 100000, 5000);
    crowd_run(&c, 5000, 25000, 5, &rng);
    uint64_t after = group_sum(&c, 0) + group_sum(&c, 1) + group_sum(&c, 2);
    assert_near(before, 5 * 10000000, 5);
    assert_near(after - before, 20 * 100000, 5);
    crowd_release(&c);
}

/* Peers come, go, and want different amounts; whoever keeps waiting gets its share. */
static void random_crowds_keep_the_limit(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct crowd c;
        struct rng rng = {seed};
        uint64_t rate_bps = 20000 + rng_below(&rng, 2000000);
        crowd_init(&c, rate_bps, 0);
        for (uint64_t ms = 0; ms < 20000; ms += 100) {
            size_t i = rng_below(&rng, MEMBERS);
            limiter_member_release(&c.members[i]);
            limiter_member_init(&c.members[i], &c.groups[group_of[i]]);
            c.use[i] = rng_below(&rng, 2) == 0 ? 0 : 1000 + rng_below(&rng, 10000);
            limiter_wait(&c.members[i]);
            crowd_run(&c, ms, ms + 100, 3, &rng);
        }
        uint64_t all = group_sum(&c, 0) + group_sum(&c, 1) + group_sum(&c, 2);
        assert_near(all, 20 * rate_bps, 5);
        for (size_t i = 0; i < MEMBERS; i++) {
            assert_true(c.moved[i] > 0);
        }
        crowd_release(&c);
    }
}

static void room_is_for_who_has_the_turn(void **state)
{
    (void)state;
    struct crowd c;
    size_t quantum = 0;
    crowd_init(&c, 0, 0);
    crowd_release(&c);
    struct limiter_member *a = &c.members[1];
    struct limiter_member *b = &c.members[4];
    assert_int_equal(limiter_room(a, 0), SIZE_MAX);
    assert_true(limiter_deadline_ms(&c.l, 0) == UINT64_MAX);

    bucket_set_rate(&c.l.bucket, 1000000, 0);
    assert_int_equal(limiter_room(a, 0), 0);
    assert_int_equal(limiter_room(a, 100), 100000);
    limiter_wait(b);
    limiter_wait(b);
    assert_int_equal(limiter_room(a, 100), 0); /* b was first */
    assert_int_equal(limiter_room(b, 100), 0); /* and has to be called */
    assert_int_equal(limiter_deadline_ms(&c.l, 100), 100);
    assert_ptr_equal(limiter_next(&c.l, 100, &quantum), b);
    limiter_wait(a);
    assert_int_equal(limiter_room(b, 100), quantum);
    limiter_spend(b, quantum - 1, 100);
    assert_int_equal(limiter_room(b, 100), 1);
    limiter_spend(b, 1, 100);
    assert_int_equal(limiter_room(b, 100), 0); /* now a is next */
    assert_ptr_equal(limiter_next(&c.l, 100, &quantum), a);
    limiter_member_release(a); /* with the turn */
    assert_null(limiter_next(&c.l, 100, &quantum));

    /* What is left may be little; a grant goes beyond it, once. */
    limiter_spend(b, limiter_room(b, 100) - 1, 100);
    assert_int_equal(limiter_room(b, 100), LIMITER_QUANTUM);
    limiter_spend(b, LIMITER_QUANTUM, 100);
    assert_int_equal(limiter_room(b, 100), 0);

    /* Another torrent's own limit is no reason to wait when there is no common one. */
    bucket_set_rate(&c.l.bucket, 0, 100);
    bucket_set_rate(&c.groups[1].bucket, 1000, 100);
    limiter_wait(a);
    assert_int_equal(limiter_room(b, 100), SIZE_MAX);
    assert_int_equal(limiter_room(&c.members[2], 5000), 0);
    limiter_member_release(a);
    limiter_group_release(&c.groups[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_meter_averages_whole_seconds),
        cmocka_unit_test(a_young_meter_does_not_boast),
        cmocka_unit_test(a_bucket_without_limit_is_never_empty),
        cmocka_unit_test(a_bucket_fills_and_may_be_overdrawn),
        cmocka_unit_test(extreme_rates_do_not_overflow),
        cmocka_unit_test(a_limit_holds_and_is_shared),
        cmocka_unit_test(who_wants_little_costs_nothing),
        cmocka_unit_test(a_torrent_has_its_own_limit_below),
        cmocka_unit_test(a_changed_limit_counts_at_once),
        cmocka_unit_test(random_crowds_keep_the_limit),
        cmocka_unit_test(room_is_for_who_has_the_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
