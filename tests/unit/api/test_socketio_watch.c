#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/socketio_watch.h"

#include "base/banned.h"

static struct watch_facts facts(uint8_t number, unsigned state, bool has_metadata, bool is_complete)
{
    struct watch_facts f = {
        .session = "s", .state = state, .has_metadata = has_metadata, .is_complete = is_complete};
    f.info_hash.b[0] = number;
    return f;
}

static unsigned see(struct watch *w, struct watch_facts f)
{
    return watch_see(w, &f);
}

static void end_round(struct watch *w)
{
    struct watch_facts gone;
    assert_false(watch_next_gone(w, &gone));
}

static void test_events(void **state)
{
    (void)state;
    struct siphash_key seed = {{0}};
    struct watch *w = watch_new(&seed);
    assert_int_equal(see(w, facts(1, 5, true, true)), 0); /* the first round only learns */
    end_round(w);
    assert_int_equal(see(w, facts(1, 5, true, true)), 0);
    assert_int_equal(see(w, facts(2, 1, false, false)), WATCH_ADDED);
    end_round(w);
    assert_int_equal(see(w, facts(2, 1, true, false)), WATCH_METADATA);
    assert_int_equal(see(w, facts(1, 1, true, true)), WATCH_STATE);
    end_round(w);
    assert_int_equal(see(w, facts(2, 5, true, true)), WATCH_FINISHED | WATCH_STATE);
    struct watch_facts gone;
    assert_true(watch_next_gone(w, &gone));
    assert_int_equal(gone.info_hash.b[0], 1);
    assert_string_equal(gone.session, "s");
    end_round(w);
    assert_int_equal(see(w, facts(2, 5, true, true)), 0);
    assert_int_equal(see(w, facts(1, 5, true, true)), WATCH_ADDED); /* back again */
    watch_free(w);
}

static void test_many_come_and_go(void **state)
{
    (void)state;
    struct siphash_key seed = {{1}};
    struct watch *w = watch_new(&seed);
    struct watch_facts gone;
    end_round(w);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 100; i++) {
            unsigned events = see(w, facts((uint8_t)(i + round), 0, true, false));
            assert_int_equal(events, round == 0 || i == 99 ? WATCH_ADDED : 0);
        }
        if (round > 0) {
            assert_true(watch_next_gone(w, &gone));
            assert_int_equal(gone.info_hash.b[0], round - 1);
        }
        end_round(w);
    }
    for (int i = 0; i < 100; i++) {
        assert_true(watch_next_gone(w, &gone));
    }
    end_round(w);
    watch_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_many_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
