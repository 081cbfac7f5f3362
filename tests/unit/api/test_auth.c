/* Tokens by every carrier, and the limiter in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/auth.h"
#include "base/digest.h"

#include "base/banned.h"

static struct addr peer(const char *text)
{
    struct addr a;
    assert_true(addr_parse(&a, span_str(text)));
    return a;
}

static struct auth *make(void)
{
    struct auth *a = auth_new();
    auth_add_token(a, SPAN("MyAccessToken"));
    auth_add_token(a, SPAN("a+b c"));
    return a;
}

static void test_carriers(void **state)
{
    static const struct {
        const char *header;
        const char *query;
        enum auth_result result;
    } cases[] = {
        {NULL, "", AUTH_MISSING},
        {NULL, "a=b&tokens=MyAccessToken", AUTH_MISSING},
        {NULL, "token=MyAccessToken", AUTH_OK},
        {NULL, "a=b&token=MyAccessToken&c", AUTH_OK},
        {NULL, "token=My%41ccessToken", AUTH_OK},
        {NULL, "token=a%2Bb+c", AUTH_OK},
        {NULL, "token=a+b%20c", AUTH_OK},
        {NULL, "token=", AUTH_WRONG},
        {NULL, "token", AUTH_WRONG},
        {NULL, "token=%", AUTH_WRONG},
        {NULL, "token=MyAccessToke", AUTH_WRONG},
        {NULL, "token=MyAccessTokenn", AUTH_WRONG},
        {NULL, "token=myaccesstoken", AUTH_WRONG},
        {NULL, "token=MyAccessToken&token=x", AUTH_WRONG},
        {NULL, "token=x&token=MyAccessToken", AUTH_OK},
        {"Bearer MyAccessToken", "", AUTH_OK},
        {"bearer   MyAccessToken", "", AUTH_OK},
        {"Bearer MyAccessToken", "token=wrong", AUTH_OK},
        {"Bearer wrong", "token=MyAccessToken", AUTH_WRONG},
        {"Bearer", "", AUTH_WRONG},
        {"Bearer ", "", AUTH_WRONG},
        {"", "", AUTH_WRONG},
        {"MyAccessToken", "", AUTH_OK},
        {"a+b c", "", AUTH_OK},
        {"wrong", "", AUTH_WRONG},
        {"Basic dXNlcjpNeUFjY2Vzc1Rva2Vu", "", AUTH_OK}, /* user:MyAccessToken */
        {"Basic Ok15QWNjZXNzVG9rZW4=", "", AUTH_OK},     /* no user name */
        {"Basic Ok15QWNjZXNzVG9rZW4", "", AUTH_WRONG},
        {"Basic OjpNeUFjY2Vzc1Rva2Vu", "", AUTH_WRONG}, /* "::MyAccessToken" */
        {"Basic TXlBY2Nlc3NUb2tlbg==", "", AUTH_WRONG}, /* no colon */
        {"Basic !", "", AUTH_WRONG},
        {"Digest MyAccessToken", "", AUTH_UNKNOWN_SCHEME},
        {"BearerMyAccessToken", "", AUTH_WRONG},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct auth *a = make();
        struct addr who = peer("192.0.2.1");
        struct span header = {NULL, 0};
        uint32_t retry_s = 0;
        if (cases[i].header != NULL) {
            header = span_str(cases[i].header);
        }
        enum auth_result r = auth_check(a, header, span_str(cases[i].query), &who, 5, &retry_s);
        if (r != cases[i].result) {
            fail_msg("case %zu: got %d", i, (int)r);
        }
        auth_free(a);
    }
}

static enum auth_result attempt(struct auth *a, const char *who, const char *query, uint64_t now_ms,
                                uint32_t *retry_s)
{
    struct addr address = peer(who);
    return auth_check(a, (struct span){NULL, 0}, span_str(query), &address, now_ms, retry_s);
}

static void test_limiter(void **state)
{
    struct auth *a = make();
    struct auth_stats stats;
    uint32_t retry_s = 0;
    (void)state;
    for (uint64_t i = 0; i < AUTH_FAILURES; i++) {
        assert_int_equal(attempt(a, "192.0.2.1", "token=x", 1000 + i, &retry_s), AUTH_WRONG);
    }
    assert_int_equal(attempt(a, "192.0.2.1", "token=x", 2000, &retry_s), AUTH_LIMITED);
    assert_in_range(retry_s, 1, 10);
    uint64_t free_ms = 2000 + (uint64_t)retry_s * 1000;
    assert_int_equal(attempt(a, "192.0.2.1", "token=MyAccessToken", 2001, &retry_s), AUTH_OK);
    assert_int_equal(attempt(a, "192.0.2.1", "", 2001, &retry_s), AUTH_MISSING);
    assert_int_equal(attempt(a, "192.0.2.2", "token=x", 2001, &retry_s), AUTH_WRONG);
    /* After the time it was told, an address may try again. */
    assert_int_equal(attempt(a, "192.0.2.1", "token=x", free_ms, &retry_s), AUTH_WRONG);
    auth_stats(a, &stats);
    assert_int_equal(stats.failures, AUTH_FAILURES + 3);
    assert_int_equal(stats.limited, 1);
    auth_free(a);
}

static void test_limiter_joins_a_v6_network(void **state)
{
    struct auth *a = make();
    uint32_t retry_s = 0;
    (void)state;
    for (uint64_t i = 0; i < AUTH_FAILURES; i++) {
        assert_int_equal(attempt(a, i % 2 ? "2001:db8::1" : "2001:db8::2", "token=x", 1, &retry_s),
                         AUTH_WRONG);
    }
    assert_int_equal(attempt(a, "2001:db8::3", "token=x", 1, &retry_s), AUTH_LIMITED);
    assert_int_equal(attempt(a, "2001:db8:0:1::3", "token=x", 1, &retry_s), AUTH_WRONG);
    auth_free(a);
}

static void test_many_addresses_push_out_the_oldest(void **state)
{
    struct auth *a = make();
    uint32_t retry_s = 0;
    (void)state;
    for (uint64_t i = 0; i < AUTH_FAILURES; i++) {
        assert_int_equal(attempt(a, "192.0.2.1", "token=x", 1, &retry_s), AUTH_WRONG);
    }
    for (unsigned i = 0; i < 2 * AUTH_ADDRESSES; i++) {
        uint8_t b[4] = {10, 0, (uint8_t)(i >> 8), (uint8_t)i};
        struct addr who = addr_from_v4(b);
        assert_int_equal(
            auth_check(a, (struct span){NULL, 0}, SPAN("token=x"), &who, 2 + i, &retry_s),
            AUTH_WRONG);
    }
    assert_int_equal(attempt(a, "192.0.2.1", "token=x", 3 + 2 * AUTH_ADDRESSES, &retry_s),
                     AUTH_WRONG);
    auth_free(a);
}

static int setup(void **state)
{
    (void)state;
    return digest_start();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_carriers),
        cmocka_unit_test(test_limiter),
        cmocka_unit_test(test_limiter_joins_a_v6_network),
        cmocka_unit_test(test_many_addresses_push_out_the_oldest),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
