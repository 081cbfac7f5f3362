/* How many requests a peer gets, when it snubs, and when a request is given up. */
#include "client/requests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

#include "base/banned.h"

enum { MANY = 2 * REQUESTS_MAX };

static struct wire_block block_n(uint32_t n)
{
    return (struct wire_block){n / 16, n % 16 * WIRE_BLOCK_LEN, WIRE_BLOCK_LEN};
}

static struct requests begun(void)
{
    struct requests r = {0};
    requests_init(&r);
    return r;
}

static void ask(struct requests *r, uint32_t first, size_t n, uint64_t now_ms)
{
    struct wire_block blocks[MANY];
    for (uint32_t i = 0; i < n; i++) {
        blocks[i] = block_n(first + i);
    }
    requests_add(r, blocks, n, now_ms);
}

static bool take(struct requests *r, uint32_t n, bool arrived, uint64_t now_ms)
{
    struct wire_block b = block_n(n);
    return requests_take(r, &b, arrived, now_ms);
}

/* Fills what there is room for and lets all of it arrive rtt_ms later. Returns how many. */
static size_t round_trip(struct requests *r, uint64_t rate_bps, uint32_t *next, uint64_t *now_ms,
                         uint64_t rtt_ms)
{
    size_t n = requests_room(r, rate_bps);
    ask(r, *next, n, *now_ms);
    *now_ms += rtt_ms;
    for (size_t i = 0; i < n; i++) {
        assert_true(take(r, (*next)++, true, *now_ms));
    }
    return n;
}

static void slow_start_doubles_each_round_trip(void **state)
{
    struct requests r = begun();
    uint32_t next = 0;
    uint64_t now_ms = 1000;
    (void)state;
    for (size_t depth = 2; depth <= 128; depth *= 2) {
        assert_int_equal(round_trip(&r, 0, &next, &now_ms, 100), depth);
    }
    assert_int_equal(round_trip(&r, 0, &next, &now_ms, 100), REQUESTS_REQQ_DEFAULT);
    requests_release(&r);
}

static void growth_ends_when_a_second_brings_no_more(void **state)
{
    struct requests r = begun();
    (void)state;
    ask(&r, 0, 100, 1000);
    for (uint32_t i = 0; i < 40; i++) { /* ten a second */
        assert_true(take(&r, i, true, 1100 + i * 100));
    }
    assert_false(r.slow_start);
    /* From here three seconds of the rate. */
    (void)requests_take_all(&r, (struct wire_block[100]){{0, 0, 0}});
    r.slow_start = false;
    assert_int_equal(requests_room(&r, 10 * WIRE_BLOCK_LEN), 30);
    assert_int_equal(requests_room(&r, 0), 2);
    assert_int_equal(requests_room(&r, WIRE_BLOCK_LEN / 4), 2);
    requests_release(&r);
}

static void the_depth_has_limits(void **state)
{
    static const struct {
        uint32_t reqq;
        uint64_t rate_bps;
        size_t room;
    } rows[] = {
        {REQUESTS_REQQ_DEFAULT, UINT64_MAX, REQUESTS_REQQ_DEFAULT},
        {REQUESTS_REQQ_DEFAULT, 1 << 30, REQUESTS_REQQ_DEFAULT},
        {2000, UINT64_MAX, REQUESTS_MAX},
        {UINT32_MAX, 1 << 30, REQUESTS_MAX},
        {10, 1 << 30, 10},
        {1, 1 << 30, 1},
        {0, 1 << 30, 1}, /* nonsense: it could never send us anything */
        {2, 0, 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct requests r = begun();
        requests_set_reqq(&r, rows[i].reqq);
        r.slow_start = false;
        assert_int_equal(requests_room(&r, rows[i].rate_bps), rows[i].room);
        requests_release(&r);
    }
}

static void a_long_round_trip_deepens(void **state)
{
    struct requests r = begun();
    (void)state;
    ask(&r, 0, 2, 1000);
    assert_true(take(&r, 0, true, 7000));
    assert_true(take(&r, 1, true, 7001));
    r.slow_start = false;
    assert_int_equal(requests_room(&r, 10 * WIRE_BLOCK_LEN), 60);
    /* A block that waited behind others says nothing: it would deepen without an end. */
    ask(&r, 2, 3, 8000);
    assert_true(take(&r, 2, true, 8100));
    assert_true(take(&r, 3, true, 17000));
    assert_true(take(&r, 4, true, 17000));
    assert_int_equal(requests_room(&r, 10 * WIRE_BLOCK_LEN), 30);
    requests_release(&r);
}

static void a_deep_queue_is_filled_in_batches(void **state)
{
    struct requests r = begun();
    uint64_t rate_bps = 20 * WIRE_BLOCK_LEN; /* 60 deep */
    (void)state;
    r.slow_start = false;
    ask(&r, 0, 60, 1000);
    for (uint32_t i = 0; i < 29; i++) {
        assert_true(take(&r, i, true, 1001));
        assert_int_equal(requests_room(&r, rate_bps), 0);
    }
    assert_true(take(&r, 29, true, 1001));
    assert_int_equal(requests_room(&r, rate_bps), 30);
    /* A flat one at once. */
    for (uint32_t i = 30; i < 48; i++) {
        assert_true(take(&r, i, true, 1001));
    }
    assert_int_equal(requests_room(&r, 5 * WIRE_BLOCK_LEN), 3);
    requests_release(&r);
}

static void what_was_not_asked_is_not_taken(void **state)
{
    struct requests r = begun();
    struct wire_block b = block_n(3);
    (void)state;
    assert_false(requests_take(&r, &b, true, 1));
    ask(&r, 0, 5, 1000);
    b.len--;
    assert_false(requests_take(&r, &b, true, 1001));
    b.len++;
    b.begin++;
    assert_false(requests_take(&r, &b, true, 1001));
    b.begin--;
    assert_true(requests_take(&r, &b, true, 1001));
    assert_false(requests_take(&r, &b, true, 1001)); /* twice */
    assert_true(take(&r, 0, false, 1002));           /* rejected */
    assert_int_equal(r.n, 3);
    assert_int_equal(r.blocks[0].begin, 1 * WIRE_BLOCK_LEN);
    assert_int_equal(r.blocks[1].begin, 2 * WIRE_BLOCK_LEN);
    assert_int_equal(r.blocks[2].begin, 4 * WIRE_BLOCK_LEN);
    requests_release(&r);
}

static void nothing_asked_holds_nothing(void **state)
{
    struct requests r = begun();
    struct wire_block out[MANY];
    (void)state;
    assert_null(r.blocks);
    assert_int_equal(requests_take_all(&r, NULL), 0);
    ask(&r, 0, REQUESTS_MAX, 1000);
    assert_int_equal(requests_take_all(&r, out), REQUESTS_MAX);
    assert_int_equal(out[REQUESTS_MAX - 1].piece, (REQUESTS_MAX - 1) / 16);
    assert_null(r.blocks);
    assert_null(r.sent_ms);
    assert_int_equal(requests_deadline_ms(&r), UINT64_MAX);
    ask(&r, 7, 1, 2000);
    assert_true(take(&r, 7, true, 2001));
    assert_null(r.blocks);
}

/* A choke takes everything back; after the unchoke it begins carefully again. */
static void a_choke_begins_slow_start_again(void **state)
{
    struct requests r = begun();
    struct wire_block out[MANY];
    (void)state;
    ask(&r, 0, 100, 1000);
    for (uint32_t i = 0; i < 50; i++) {
        assert_true(take(&r, i, true, 1001));
    }
    assert_int_equal(requests_take_all(&r, out), 50);
    assert_int_equal(out[0].begin, 50 % 16 * WIRE_BLOCK_LEN);
    assert_int_equal(requests_room(&r, 0), 2);
    requests_release(&r);
}

static void a_peer_that_sends_nothing_snubs(void **state)
{
    struct requests r = begun();
    struct wire_block out[8];
    (void)state;
    ask(&r, 0, 4, 1000);
    assert_int_equal(requests_deadline_ms(&r), 1000 + REQUESTS_SNUB_MS);
    assert_int_equal(requests_expired(&r, 1000 + REQUESTS_SNUB_MS - 1, out, 8), 0);
    assert_false(r.snubbing);
    assert_int_equal(requests_expired(&r, 1000 + REQUESTS_SNUB_MS, out, 8), 0);
    assert_true(r.snubbing);
    assert_int_equal(requests_deadline_ms(&r), 1000 + REQUESTS_TIMEOUT_MS);
    assert_int_equal(requests_room(&r, 1 << 30), 0);

    assert_int_equal(requests_expired(&r, 1000 + REQUESTS_TIMEOUT_MS - 1, out, 8), 0);
    assert_int_equal(requests_expired(&r, 1000 + REQUESTS_TIMEOUT_MS, out, 3), 3);
    assert_int_equal(out[2].begin, 2 * WIRE_BLOCK_LEN);
    assert_int_equal(requests_expired(&r, 1000 + REQUESTS_TIMEOUT_MS, out, 3), 1);
    assert_int_equal(out[0].begin, 3 * WIRE_BLOCK_LEN);
    assert_int_equal(requests_deadline_ms(&r), UINT64_MAX);
    /* It is asked for one at a time until it sends something. */
    assert_int_equal(requests_room(&r, 1 << 30), 1);
    ask(&r, 9, 1, 70000);
    assert_true(take(&r, 9, false, 70001)); /* a reject is nothing */
    assert_true(r.snubbing);
    ask(&r, 10, 1, 70002);
    assert_true(take(&r, 10, true, 70003));
    assert_false(r.snubbing);
    assert_int_equal(requests_room(&r, 0), 2);
    requests_release(&r);
}

/* The time without a block counts from the last one, not from a later request. */
static void asking_more_does_not_hide_a_snub(void **state)
{
    struct requests r = begun();
    struct wire_block out[8];
    (void)state;
    ask(&r, 0, 2, 1000);
    assert_true(take(&r, 0, true, 5000));
    ask(&r, 2, 2, 20000);
    assert_int_equal(requests_deadline_ms(&r), 5000 + REQUESTS_SNUB_MS);
    assert_int_equal(requests_expired(&r, 5000 + REQUESTS_SNUB_MS, out, 8), 0);
    assert_true(r.snubbing);
    /* Idle time is no snub: it counts from the first request since. */
    struct requests idle = begun();
    ask(&idle, 0, 1, 1000);
    assert_true(take(&idle, 0, true, 1001));
    assert_int_equal(requests_expired(&idle, 900000, out, 8), 0);
    assert_false(idle.snubbing);
    ask(&idle, 1, 1, 1000000);
    assert_int_equal(requests_deadline_ms(&idle), 1000000 + REQUESTS_SNUB_MS);
    requests_release(&idle);
    requests_release(&r);
}

/* One block that never comes, among others that do, is given to another peer in the end. */
static void a_single_request_times_out(void **state)
{
    struct requests r = begun();
    struct wire_block out[8];
    uint64_t now_ms = 1000;
    (void)state;
    ask(&r, 0, 2, now_ms);
    for (uint32_t i = 1; now_ms < 1000 + REQUESTS_TIMEOUT_MS; i++) {
        assert_int_equal(requests_expired(&r, now_ms, out, 8), 0);
        assert_true(take(&r, i, true, now_ms));
        ask(&r, i + 1, 1, now_ms);
        now_ms += 10000;
    }
    assert_false(r.snubbing);
    assert_int_equal(requests_deadline_ms(&r), now_ms);
    assert_int_equal(requests_expired(&r, now_ms, out, 8), 1);
    assert_int_equal(out[0].begin, 0);
    assert_int_equal(r.n, 1);
    requests_release(&r);
}

/* Against a list that is kept the simple way. */
static void any_order_of_events(void **state)
{
    bool asked[MANY];
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rng rng = {seed};
        struct requests r = begun();
        uint32_t next = 0;
        uint64_t now_ms = 1;
        memset(asked, 0, sizeof asked);
        while (next < MANY) {
            uint32_t n = rng_below(&rng, next + 1);
            now_ms += rng_below(&rng, 50);
            if (rng_below(&rng, 2) == 0) {
                asked[next] = true;
                ask(&r, next++, 1, now_ms);
            } else if (next > 0) {
                assert_int_equal(take(&r, n % next, rng_below(&rng, 4) > 0, now_ms),
                                 asked[n % next]);
                asked[n % next] = false;
            }
            assert_true(requests_room(&r, rng_next(&rng) >> rng_below(&rng, 64)) <= REQUESTS_MAX);
            assert_true(r.n == 0 || requests_deadline_ms(&r) >= now_ms);
        }
        size_t left = 0;
        for (size_t i = 0; i < MANY; i++) {
            left += asked[i];
        }
        struct wire_block out[MANY];
        assert_int_equal(requests_take_all(&r, out), left);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_start_doubles_each_round_trip),
        cmocka_unit_test(growth_ends_when_a_second_brings_no_more),
        cmocka_unit_test(the_depth_has_limits),
        cmocka_unit_test(a_long_round_trip_deepens),
        cmocka_unit_test(a_deep_queue_is_filled_in_batches),
        cmocka_unit_test(what_was_not_asked_is_not_taken),
        cmocka_unit_test(nothing_asked_holds_nothing),
        cmocka_unit_test(a_choke_begins_slow_start_again),
        cmocka_unit_test(a_peer_that_sends_nothing_snubs),
        cmocka_unit_test(asking_more_does_not_hide_a_snub),
        cmocka_unit_test(a_single_request_times_out),
        cmocka_unit_test(any_order_of_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
