#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tracker/loop_watch.h"

#include "base/banned.h"

/* A loop in a time of the test's own. */
static struct loop_watch watch;
static uint64_t now_us;
static uint64_t slept_us;
static uint64_t used_us;
static unsigned n_asked;

static uint64_t slept_ns(void *ctx)
{
    (void)ctx;
    return slept_us * 1000;
}

static uint64_t used_ns(void *ctx)
{
    (void)ctx;
    n_asked++;
    return used_us * 1000;
}

static int begin(void **state)
{
    (void)state;
    struct loop_turn turn;
    watch = (struct loop_watch){.clocks = {slept_ns, used_ns, NULL}};
    now_us = 7000000;
    slept_us = used_us = 12345;
    assert_false(loop_watch_look(&watch, now_us * 1000, &turn));
    n_asked = 0;
    return 0;
}

/* A turn of sleep, own work and time in which others had the processor. */
static struct loop_turn a_turn(uint64_t sleep_us, uint64_t own_us, uint64_t taken_us)
{
    struct loop_turn turn;
    now_us += sleep_us + own_us + taken_us;
    slept_us += sleep_us;
    used_us += own_us;
    assert_true(loop_watch_look(&watch, now_us * 1000, &turn));
    return turn;
}

static void sleep_is_no_gap(void **state)
{
    (void)state;
    struct loop_turn turn = a_turn(90000, 200, 0);
    assert_int_equal(turn.whole_us, 200);
    assert_int_equal(turn.own_us, 200);
}

static void work_is_told_from_waiting_for_the_processor(void **state)
{
    (void)state;
    struct loop_turn turn = a_turn(100, 700, 0);
    assert_int_equal(turn.whole_us, 700);
    assert_int_equal(turn.own_us, 700);
    turn = a_turn(100, 300, 4000);
    assert_int_equal(turn.whole_us, 4300);
    assert_int_equal(turn.own_us, 300);
    turn = a_turn(0, 3000, 4000);
    assert_int_equal(turn.whole_us, 7000);
    assert_int_equal(turn.own_us, 3000);
}

static void what_was_taken_in_an_earlier_turn_is_not_taken_again(void **state)
{
    (void)state;
    (void)a_turn(0, 100, 5000);
    struct loop_turn turn = a_turn(0, 2500, 0);
    assert_int_equal(turn.own_us, 2500);
    /* In short turns it is not noticed at once, but it is no more than they were. */
    (void)a_turn(0, 10, 90);
    turn = a_turn(0, 2500, 0);
    assert_int_equal(turn.own_us, 2410);
}

static void short_turns_seldom_ask(void **state)
{
    (void)state;
    for (int i = 0; i < 10 * LOOP_WATCH_ASK_EVERY; i++) {
        (void)a_turn(50, LOOP_WATCH_LONG_US, 0);
    }
    assert_int_equal(n_asked, 10);
    (void)a_turn(50, LOOP_WATCH_LONG_US + 1, 0);
    assert_int_equal(n_asked, 11);
}

/* Time passes in which the loop is awake. */
static void pass(uint64_t own_us, uint64_t taken_us)
{
    now_us += own_us + taken_us;
    used_us += own_us;
}

/* A part of a turn, and what is around it. */
static uint64_t a_part(uint64_t own_us, uint64_t taken_us)
{
    loop_watch_enter(&watch, now_us * 1000);
    pass(own_us, taken_us);
    return loop_watch_leave(&watch, now_us * 1000);
}

static void a_part_has_its_own_time_only(void **state)
{
    (void)state;
    now_us += 90000;
    slept_us += 90000;
    pass(300, 4000); /* receiving, say */
    assert_int_equal(a_part(700, 0), 700);
    pass(800, 5000);
    assert_int_equal(a_part(600, 6000), 600);
    struct loop_turn turn = a_turn(0, 2000, 1000);
    assert_int_equal(turn.whole_us, 4300 + 700 + 5800 + 6600 + 3000);
    assert_int_equal(turn.own_us, 300 + 700 + 800 + 600 + 2000);
    /* The next turn has nothing of it. */
    assert_int_equal(a_part(3000, 0), 3000);
    turn = a_turn(0, 100, 0);
    assert_int_equal(turn.own_us, 3100);
}

static void short_parts_do_not_ask(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        now_us += 900;
        slept_us += 900;
        assert_int_equal(a_part(LOOP_WATCH_LONG_US, 0), LOOP_WATCH_LONG_US);
        if (i % 2 == 1) {
            (void)a_turn(5000, 0, 0); /* it asks, for the turn was long */
        }
    }
    assert_int_equal(n_asked, 500);
}

static void clocks_that_disagree_do_no_harm(void **state)
{
    struct loop_turn turn;
    (void)state;
    used_us += 1000; /* more processor time than there was time */
    now_us += 600;
    slept_us += 700;
    assert_true(loop_watch_look(&watch, now_us * 1000, &turn));
    assert_int_equal(turn.whole_us, 0);
    assert_int_equal(turn.own_us, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(sleep_is_no_gap, begin),
        cmocka_unit_test_setup(work_is_told_from_waiting_for_the_processor, begin),
        cmocka_unit_test_setup(what_was_taken_in_an_earlier_turn_is_not_taken_again, begin),
        cmocka_unit_test_setup(short_turns_seldom_ask, begin),
        cmocka_unit_test_setup(a_part_has_its_own_time_only, begin),
        cmocka_unit_test_setup(short_parts_do_not_ask, begin),
        cmocka_unit_test_setup(clocks_that_disagree_do_no_harm, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
