/* Whom a torrent tries next, when again, and what does not get into its list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "client/candidates.h"
#include "proto/peer_priority.h"

#include "base/banned.h"

static struct endpoint at(const char *text)
{
    struct endpoint e = {.port = 0};
    assert_true(endpoint_parse(&e, span_str(text)));
    return e;
}

static struct endpoint nth(uint32_t i)
{
    uint8_t b[4] = {81, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
    return (struct endpoint){.addr = addr_from_v4(b), .port = 6881};
}

static bool add(struct candidates *c, const char *peer, enum candidate_source source)
{
    struct endpoint e = at(peer);
    return candidates_add(c, &e, source, false, NULL);
}

static void assert_next(struct candidates *c, uint64_t now_ms, const char *wanted)
{
    struct endpoint got = {.port = 0};
    struct endpoint e = at(wanted);
    assert_true(candidates_next(c, now_ms, false, &got));
    assert_true(endpoint_eq(&got, &e));
}

static void assert_none(struct candidates *c, uint64_t now_ms)
{
    struct endpoint got;
    assert_false(candidates_next(c, now_ms, false, &got));
    assert_true(candidates_deadline_ms(c) > now_ms);
}

static void an_empty_list_has_nobody(void **state)
{
    (void)state;
    struct candidates *c = candidates_new(CANDIDATES_MAX);
    struct endpoint e = nth(1);
    assert_none(c, 0);
    assert_true(candidates_deadline_ms(c) == UINT64_MAX);
    assert_int_equal(candidates_count(c), 0);
    candidates_on_connected(c, &e); /* unknown peers are nobody's business */
    candidates_on_failed(c, &e, 0);
    candidates_on_closed(c, &e, 0);
    candidates_forget(c, CANDIDATE_PEX);
    assert_int_equal(candidates_count(c), 0);
    candidates_free(c);
    candidates_free(NULL);
}

static void addresses_that_are_nobody_are_refused(void **state)
{
    static const struct {
        const char *peer;
        bool taken;
    } rows[] = {
        {"192.0.2.1:0", false},        {"0.0.0.0:6881", false},      {"0.1.2.3:6881", false},
        {"224.0.0.1:6881", false},     {"239.255.255.255:1", false}, {"255.255.255.255:1", false},
        {"240.0.0.1:6881", false},     {"[::]:6881", false},         {"[ff02::1]:6881", false},
        {"[2001:db8::1]:0", false},    {"223.255.255.255:1", true},  {"127.0.0.1:6881", true},
        {"10.0.0.1:65535", true},      {"192.168.1.1:6881", true},   {"[::1]:6881", true},
        {"[fe80::1]:6881", true},      {"[2001:db8::1]:1", true},    {"1.0.0.0:1", true},
        {"198.51.100.9:51413", false}, /* ourselves */
        {"198.51.100.9:51414", true},
    };
    (void)state;
    struct candidates *c = candidates_new(CANDIDATES_MAX);
    struct endpoint self = at("198.51.100.9:51413");
    size_t n = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct endpoint e = at(rows[i].peer);
        assert_int_equal(candidates_add(c, &e, CANDIDATE_PEX, false, &self), rows[i].taken);
        n += rows[i].taken;
    }
    assert_int_equal(candidates_count(c), n);
    candidates_free(c);
}

static void the_order_is_failures_source_age_priority(void **state)
{
    (void)state;
    struct candidates *c = candidates_new(CANDIDATES_MAX);
    assert_true(add(c, "1.1.1.1:1", CANDIDATE_LSD));
    assert_true(add(c, "1.1.1.2:1", CANDIDATE_DHT));
    assert_true(add(c, "1.1.1.3:1", CANDIDATE_PEX));
    assert_true(add(c, "1.1.1.4:1", CANDIDATE_TRACKER));
    assert_true(add(c, "1.1.1.5:1", CANDIDATE_INCOMING));
    assert_false(add(c, "1.1.1.3:1", CANDIDATE_LSD)); /* a worse source takes nothing away */
    assert_next(c, 10, "1.1.1.4:1");
    assert_next(c, 11, "1.1.1.5:1");
    assert_next(c, 12, "1.1.1.3:1");
    assert_next(c, 13, "1.1.1.2:1");
    assert_next(c, 14, "1.1.1.1:1");
    assert_none(c, 15);

    /* All free again: the one that failed comes last, whatever its source. */
    struct endpoint tracker = at("1.1.1.4:1");
    struct endpoint dht = at("1.1.1.2:1");
    struct endpoint lsd = at("1.1.1.1:1");
    candidates_on_failed(c, &tracker, 1000);
    candidates_on_closed(c, &dht, 1000);
    candidates_on_closed(c, &lsd, 1000);
    assert_false(add(c, "1.1.1.2:1", CANDIDATE_LSD));
    assert_false(add(c, "1.1.1.1:1", CANDIDATE_DHT)); /* now both are from the DHT */
    assert_next(c, 1000000, "1.1.1.2:1");             /* tried at 13, the other at 14 */
    assert_next(c, 1000000, "1.1.1.1:1");
    assert_next(c, 1000000, "1.1.1.4:1");
    candidates_free(c);
}

static void between_equals_bep40_decides(void **state)
{
    (void)state;
    struct candidates *c = candidates_new(CANDIDATES_MAX);
    struct endpoint self = at("123.213.32.10:51413");
    for (uint32_t i = 0; i < 100; i++) {
        struct endpoint e = nth(i * 65537);
        assert_true(candidates_add(c, &e, CANDIDATE_TRACKER, false, &self));
    }
    uint32_t last = UINT32_MAX;
    for (size_t i = 0; i < 100; i++) {
        struct endpoint e;
        assert_true(candidates_next(c, 5, false, &e));
        assert_true(peer_priority(&self, &e) <= last);
        last = peer_priority(&self, &e);
    }
    /* Our IPv4 address says nothing about IPv6 peers. */
    struct endpoint v6 = at("[2001:db8::7]:1");
    assert_true(candidates_add(c, &v6, CANDIDATE_TRACKER, false, &self));
    assert_next(c, 6, "[2001:db8::7]:1");
    candidates_free(c);
}

static void failures_wait_longer_and_then_end_it(void **state)
{
    (void)state;
    struct candidates *c = candidates_new(CANDIDATES_MAX);
    struct endpoint e = at("192.0.2.1:6881");
    uint64_t now_ms = 5000;
    assert_true(add(c, "192.0.2.1:6881", CANDIDATE_TRACKER));
    for (uint64_t failures = 1; failures < CANDIDATE_FAILURES_MAX; failures++) {
        assert_next(c, now_ms, "192.0.2.1:6881");
        assert_none(c, now_ms); /* it is being tried */
        assert_int_equal(candidates_count(c), 1);
        candidates_on_failed(c, &e, now_ms + 7);
        now_ms += 7 + (failures + 1) * CANDIDATE_RETRY_MS;
        assert_int_equal(candidates_deadline_ms(c), now_ms);
        assert_none(c, now_ms - 1);
        assert_int_equal(candidates_deadline_ms(c), now_ms);
    }
    /* To accept and hang up is a failure in a row with those before. */
    assert_next(c, now_ms, "192.0.2.1:6881");
    candidates_on_connected(c, &e);
    assert_int_equal(candidates_count(c), 0);
    candidates_on_failed(c, &e, now_ms);
    assert_none(c, now_ms + 1000000);
    assert_true(candidates_deadline_ms(c) == UINT64_MAX);
    assert_true(add(c, "192.0.2.1:6881", CANDIDATE_PEX)); /* forgotten, so it is new */
    candidates_free(c);
}

static void a_connection_that_worked_clears_failures(void **state)
{
    (void)state;
    struct candidates *c = candidates_new(CANDIDATES_MAX);
    struct endpoint e = at("[2001:db8::1]:6881");
    uint64_t now_ms = 0;
    assert_true(add(c, "[2001:db8::1]:6881", CANDIDATE_TRACKER));
    for (int i = 0; i < 10; i++) {
        assert_next(c, now_ms, "[2001:db8::1]:6881");
        candidates_on_failed(c, &e, now_ms);
        now_ms += UINT64_C(2) * CANDIDATE_RETRY_MS;
        assert_next(c, now_ms, "[2001:db8::1]:6881");
        candidates_on_connected(c, &e);
        assert_int_equal(candidates_count(c), 0);
        assert_false(add(c, "[2001:db8::1]:6881", CANDIDATE_TRACKER)); /* while connected */
        assert_none(c, now_ms);
        candidates_on_closed(c, &e, now_ms);
        assert_int_equal(candidates_count(c), 1);
        assert_none(c, now_ms + CANDIDATE_RETRY_MS - 1);
        now_ms += CANDIDATE_RETRY_MS;
    }
    candidates_free(c);
}

static void nobody_waits_when_peers_are_wanted_now(void **state)
{
    (void)state;
    struct candidates *c = candidates_new(CANDIDATES_MAX);
    struct endpoint failed = at("1.1.1.1:1");
    struct endpoint closed = at("1.1.1.2:1");
    struct endpoint left = at("1.1.1.3:1");
    candidates_retry(c);
    assert_int_equal(candidates_deadline_ms(c), UINT64_MAX);
    assert_true(add(c, "1.1.1.1:1", CANDIDATE_TRACKER));
    assert_next(c, 1, "1.1.1.1:1");
    candidates_on_failed(c, &failed, 10);
    assert_true(add(c, "1.1.1.2:1", CANDIDATE_TRACKER));
    assert_next(c, 2, "1.1.1.2:1");
    candidates_on_closed(c, &closed, 10);
    assert_none(c, 11);
    assert_true(add(c, "1.1.1.3:1", CANDIDATE_TRACKER));
    assert_next(c, 12, "1.1.1.3:1");
    candidates_on_left(c, &left);
    assert_next(c, 13, "1.1.1.3:1"); /* at once, and no worse than it was */
    candidates_on_left(c, &left);
    candidates_retry(c);
    assert_next(c, 14, "1.1.1.2:1");
    assert_next(c, 14, "1.1.1.3:1");
    assert_next(c, 14, "1.1.1.1:1"); /* the one that failed comes last */
    candidates_on_failed(c, &failed, 15);
    candidates_retry(c);
    assert_next(c, 16, "1.1.1.1:1");
    candidates_on_failed(c, &failed, 17);
    candidates_retry(c);
    assert_none(c, 18); /* and goes when it has failed too often */
    candidates_free(c);
}

static void a_seed_has_no_use_for_seeds(void **state)
{
    (void)state;
    struct candidates *c = candidates_new(CANDIDATES_MAX);
    struct endpoint seed = nth(1);
    struct endpoint leecher = nth(2);
    struct endpoint got;
    assert_true(candidates_add(c, &seed, CANDIDATE_TRACKER, true, NULL));
    assert_true(candidates_add(c, &leecher, CANDIDATE_LSD, false, NULL));
    assert_int_equal(candidates_count_seeds(c), 1);
    assert_true(candidates_next(c, 1, true, &got));
    assert_true(endpoint_eq(&got, &leecher));
    assert_false(candidates_next(c, 1, true, &got));
    assert_true(candidates_deadline_ms(c) == UINT64_MAX); /* no busy waiting for the seed */
    /* We want pieces again: it counts at once. */
    assert_true(candidates_next(c, 1, false, &got));
    assert_true(endpoint_eq(&got, &seed));
    /* One that was said to be a seed later is one. */
    candidates_on_closed(c, &leecher, 1);
    assert_false(candidates_add(c, &leecher, CANDIDATE_PEX, true, NULL));
    assert_int_equal(candidates_count_seeds(c), 2);
    assert_false(candidates_next(c, 1000000, true, &got));
    candidates_on_connected(c, &seed);
    assert_int_equal(candidates_count_seeds(c), 1);
    candidates_free(c);
}

static void a_full_list_drops_its_worst_for_a_better_one(void **state)
{
    (void)state;
    struct candidates *c = candidates_new(3);
    assert_true(add(c, "1.1.1.1:1", CANDIDATE_DHT));
    assert_true(add(c, "1.1.1.2:1", CANDIDATE_LSD));
    assert_true(add(c, "1.1.1.3:1", CANDIDATE_PEX));
    assert_false(add(c, "1.1.1.4:1", CANDIDATE_LSD)); /* no better than the worst */
    assert_true(add(c, "1.1.1.5:1", CANDIDATE_TRACKER));
    assert_int_equal(candidates_count(c), 3);
    assert_next(c, 1, "1.1.1.5:1");
    assert_next(c, 1, "1.1.1.3:1");
    assert_next(c, 1, "1.1.1.1:1");
    assert_false(add(c, "1.1.1.6:1", CANDIDATE_TRACKER)); /* all are being tried */
    struct endpoint failed = at("1.1.1.5:1");
    candidates_on_failed(c, &failed, 2);
    assert_true(add(c, "1.1.1.6:1", CANDIDATE_LSD)); /* a new one is better than a failed one */
    assert_next(c, 1000000, "1.1.1.6:1");
    assert_none(c, 1000000);
    candidates_free(c);
}

static void bans_are_by_address_and_the_newest_are_kept(void **state)
{
    (void)state;
    struct candidates *c = candidates_new(CANDIDATES_MAX);
    struct endpoint banned = at("192.0.2.1:1");
    assert_true(add(c, "192.0.2.1:1", CANDIDATE_TRACKER));
    assert_true(add(c, "192.0.2.1:2", CANDIDATE_TRACKER));
    assert_true(add(c, "192.0.2.2:1", CANDIDATE_TRACKER));
    assert_next(c, 1, "192.0.2.1:1");
    assert_false(candidates_is_banned(c, &banned.addr));
    candidates_ban(c, &banned.addr);
    candidates_ban(c, &banned.addr);
    assert_true(candidates_is_banned(c, &banned.addr));
    assert_int_equal(candidates_count(c), 1);
    candidates_on_failed(c, &banned, 2); /* the one that was being tried */
    assert_false(add(c, "192.0.2.1:3", CANDIDATE_TRACKER));
    assert_next(c, 1000000, "192.0.2.2:1");
    assert_none(c, 1000000);
    for (uint32_t i = 0; i < CANDIDATE_BANS_MAX + 10; i++) {
        struct endpoint e = nth(i);
        candidates_ban(c, &e.addr);
    }
    for (uint32_t i = 0; i < CANDIDATE_BANS_MAX + 10; i++) {
        struct endpoint e = nth(i);
        assert_int_equal(candidates_is_banned(c, &e.addr), i >= 10);
    }
    assert_false(candidates_is_banned(c, &banned.addr));
    candidates_free(c);
}

static void one_source_can_be_forgotten(void **state)
{
    (void)state;
    struct candidates *c = candidates_new(CANDIDATES_MAX);
    for (uint32_t i = 0; i < 300; i++) {
        struct endpoint e = nth(i);
        assert_true(candidates_add(c, &e, i % 3 == 0 ? CANDIDATE_TRACKER : CANDIDATE_PEX,
                                   i % 2 == 0, NULL));
    }
    struct endpoint heard_twice = nth(1);
    assert_false(candidates_add(c, &heard_twice, CANDIDATE_TRACKER, false, NULL));
    candidates_forget(c, CANDIDATE_PEX);
    assert_int_equal(candidates_count(c), 101);
    assert_int_equal(candidates_count_seeds(c), 50);
    candidates_forget(c, CANDIDATE_TRACKER);
    assert_int_equal(candidates_count(c), 0);
    assert_none(c, 1000000);
    candidates_free(c);
}

/* A model that is slow and plain: what became of each of a few hundred peers. */
enum { MODEL_PEERS = 300, MODEL_CAP = 100 };

struct model {
    uint64_t retry_ms;
    uint8_t failures;
    enum { UNKNOWN, IDLE, TRYING, CONNECTED } state;
};

static void model_end(struct candidates *c, struct model *m, uint32_t i, uint32_t how,
                      uint64_t now_ms)
{
    struct endpoint e = nth(i);
    if (how == 0 && m->state == TRYING) {
        candidates_on_connected(c, &e);
        m->state = CONNECTED;
    } else if (how == 1 && m->state == CONNECTED) {
        candidates_on_closed(c, &e, now_ms);
        *m = (struct model){.state = IDLE, .retry_ms = now_ms + CANDIDATE_RETRY_MS};
    } else if (how == 2 && m->state >= TRYING) {
        candidates_on_failed(c, &e, now_ms);
        m->failures++;
        m->state = m->failures == CANDIDATE_FAILURES_MAX ? UNKNOWN : IDLE;
        m->retry_ms = now_ms + (m->failures + UINT64_C(1)) * CANDIDATE_RETRY_MS;
        m->failures = m->state == UNKNOWN ? 0 : m->failures;
    }
}

static void model_next(struct candidates *c, struct model model[MODEL_PEERS], uint64_t now_ms)
{
    uint64_t deadline_ms = candidates_deadline_ms(c);
    struct endpoint got;
    bool any = candidates_next(c, now_ms, false, &got);
    uint8_t fewest = UINT8_MAX;
    for (uint32_t i = 0; i < MODEL_PEERS; i++) {
        bool ready = model[i].state == IDLE && model[i].retry_ms <= now_ms;
        if (ready && model[i].failures < fewest) {
            fewest = model[i].failures;
        }
    }
    assert_int_equal(any, fewest != UINT8_MAX);
    assert_true(!any || deadline_ms <= now_ms); /* who sleeps until then misses nothing */
    if (any) {
        uint32_t i = (uint32_t)got.addr.b[2] << 8 | got.addr.b[3];
        assert_true(model[i].state == IDLE && model[i].retry_ms <= now_ms);
        assert_int_equal(model[i].failures, fewest);
        model[i].state = TRYING;
    }
}

static void any_history_agrees_with_the_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct candidates *c = candidates_new(MODEL_CAP);
        struct model model[MODEL_PEERS] = {{.state = UNKNOWN}};
        struct rng rng = {seed};
        size_t known = 0;
        for (uint64_t now_ms = 0; now_ms < 2000000; now_ms += 1000) {
            uint32_t i = rng_below(&rng, MODEL_PEERS);
            struct endpoint e = nth(i);
            if (model[i].state == UNKNOWN && known < MODEL_CAP) {
                assert_true(candidates_add(c, &e, CANDIDATE_TRACKER, false, NULL));
                model[i] = (struct model){.state = IDLE};
            } else {
                model_end(c, &model[i], i, rng_below(&rng, 3), now_ms);
            }
            model_next(c, model, now_ms);
            size_t connected = 0;
            known = 0;
            for (uint32_t k = 0; k < MODEL_PEERS; k++) {
                known += model[k].state != UNKNOWN;
                connected += model[k].state == CONNECTED;
            }
            assert_int_equal(candidates_count(c), known - connected);
        }
        candidates_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_list_has_nobody),
        cmocka_unit_test(addresses_that_are_nobody_are_refused),
        cmocka_unit_test(the_order_is_failures_source_age_priority),
        cmocka_unit_test(between_equals_bep40_decides),
        cmocka_unit_test(failures_wait_longer_and_then_end_it),
        cmocka_unit_test(a_connection_that_worked_clears_failures),
        cmocka_unit_test(nobody_waits_when_peers_are_wanted_now),
        cmocka_unit_test(a_seed_has_no_use_for_seeds),
        cmocka_unit_test(a_full_list_drops_its_worst_for_a_better_one),
        cmocka_unit_test(bans_are_by_address_and_the_newest_are_kept),
        cmocka_unit_test(one_source_can_be_forgotten),
        cmocka_unit_test(any_history_agrees_with_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
