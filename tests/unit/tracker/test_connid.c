#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tracker/connid.h"

#include "base/banned.h"

static const struct connid ids = {.secret = {{1, 2, 3}}, .lifetime_ms = 120000};
static const uint64_t now_ms = 5000050;

static struct addr v4(uint8_t last)
{
    return addr_from_v4((const uint8_t[]){192, 0, 2, last});
}

static void valid_from_now_for_the_lifetime(void **state)
{
    (void)state;
    struct addr a = v4(1);
    uint64_t id = connid_make(&ids, &a, now_ms);
    assert_true(connid_check(&ids, id, &a, now_ms));
    assert_true(connid_check(&ids, id, &a, now_ms + 120000));
    assert_false(connid_check(&ids, id, &a, now_ms + 120000 + CONNID_SLOT_MS));
    assert_false(connid_check(&ids, id, &a, now_ms - CONNID_SLOT_MS));
}

static void tied_to_the_address(void **state)
{
    (void)state;
    struct addr a = v4(1);
    struct addr b = v4(2);
    struct addr c = addr_from_v6((const uint8_t[16]){192, 0, 2, 1}); /* the same first bytes */
    uint64_t id = connid_make(&ids, &a, now_ms);
    assert_false(connid_check(&ids, id, &b, now_ms));
    assert_false(connid_check(&ids, id, &c, now_ms));
    assert_true(connid_check(&ids, connid_make(&ids, &c, now_ms), &c, now_ms));
}

static void tied_to_the_secret(void **state)
{
    (void)state;
    const struct connid other = {.secret = {{1, 2, 4}}, .lifetime_ms = 120000};
    struct addr a = v4(1);
    assert_false(connid_check(&other, connid_make(&ids, &a, now_ms), &a, now_ms));
}

static void no_single_bit_may_change(void **state)
{
    (void)state;
    struct addr a = v4(1);
    uint64_t id = connid_make(&ids, &a, now_ms);
    for (int bit = 0; bit < 64; bit++) {
        assert_false(connid_check(&ids, id ^ UINT64_C(1) << bit, &a, now_ms));
    }
    assert_false(connid_check(&ids, 0, &a, 0));
}

static void slots_wrap(void **state)
{
    (void)state;
    struct addr a = v4(1);
    uint64_t last_ms = (UINT64_C(1) << 32) * CONNID_SLOT_MS - 1;
    uint64_t id = connid_make(&ids, &a, last_ms);
    assert_true(connid_check(&ids, id, &a, last_ms + 1000));
    assert_false(connid_check(&ids, id, &a, last_ms + 130000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_from_now_for_the_lifetime),
        cmocka_unit_test(tied_to_the_address),
        cmocka_unit_test(tied_to_the_secret),
        cmocka_unit_test(no_single_bit_may_change),
        cmocka_unit_test(slots_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
