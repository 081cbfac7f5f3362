#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"

#include "base/banned.h"

/* The values that Vigna's splitmix64.c prints. */
static void test_known_answers(void **state)
{
    (void)state;
    struct rng zero = {0};
    assert_true(rng_next(&zero) == UINT64_C(0xe220a8397b1dcdaf));
    assert_true(rng_next(&zero) == UINT64_C(0x6e789e6aa1b965f4));
    assert_true(rng_next(&zero) == UINT64_C(0x06c45d188009454f));
    struct rng other = {1234567};
    assert_true(rng_next(&other) == UINT64_C(6457827717110365317));
}

static void test_range(void **state)
{
    (void)state;
    static const uint32_t limits[] = {1, 2, 3, 7, 1000, UINT32_MAX};
    struct rng r = {1};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        for (int k = 0; k < 1000; k++) {
            assert_true(rng_below(&r, limits[i]) < limits[i]);
        }
    }
}

/* Chi-square over N cells: its mean is N - 1, its deviation sqrt(2 (N - 1)). Seeds are fixed, so
 * the test cannot fail by chance. */
static void test_evenness(void **state)
{
    (void)state;
    enum { N = 50, DRAWS = 100000 };
    for (uint64_t seed = 0; seed < 5; seed++) {
        struct rng r = {seed};
        uint32_t counts[N] = {0};
        double chi_square = 0;
        for (int i = 0; i < DRAWS; i++) {
            counts[rng_below(&r, N)]++;
        }
        for (size_t i = 0; i < N; i++) {
            double off = counts[i] - (double)DRAWS / N;
            chi_square += off * off / ((double)DRAWS / N);
        }
        assert_true(chi_square > 15 && chi_square < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_evenness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
