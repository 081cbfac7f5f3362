/* What connections are told of each other, and at what pace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "client/pex.h"
#include "proto/compact.h"

#include "base/banned.h"

enum { PEERS = 400, NOBODY = PEERS };

/* Every other one is IPv6. */
static struct endpoint nth(uint32_t i)
{
    uint8_t v4[4] = {81, 0, (uint8_t)(i >> 8), (uint8_t)i};
    uint8_t v6[16] = {0x20, 0x01, [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i};
    return (struct endpoint){
        .addr = i % 2 == 0 ? addr_from_v4(v4) : addr_from_v6(v6),
        .port = 6881,
    };
}

static uint32_t number_of(const struct endpoint *e)
{
    const uint8_t *low = e->addr.v6 ? &e->addr.b[14] : &e->addr.b[2];
    return (uint32_t)low[0] << 8 | low[1];
}

static void added(struct pex_log *log, uint32_t i, unsigned flags)
{
    struct endpoint e = nth(i);
    pex_log_added(log, &e, flags);
}

static void dropped(struct pex_log *log, uint32_t i)
{
    struct endpoint e = nth(i);
    pex_log_dropped(log, &e);
}

/* The other end of a connection: what it believes after the messages it got. */
struct remote {
    struct pex_cursor at;
    uint32_t self;
    bool knows[PEERS + 1];
    uint8_t flags[PEERS + 1];
    size_t n_added; /* in the last message */
    size_t n_dropped;
};

static void hear_added(struct remote *r, struct span list, struct span flags, bool v6)
{
    struct endpoint e;
    assert_int_equal(flags.n, list.n / compact_len(v6));
    assert_in_range(flags.n, 0, EXT_PEX_PEERS_MAX);
    for (size_t i = 0; compact_next(&list, v6, &e); i++) {
        uint32_t peer = number_of(&e);
        assert_int_not_equal(peer, r->self);
        r->knows[peer] = true;
        r->flags[peer] = (uint8_t)ext_pex_flags(flags, i);
        r->n_added++;
    }
    assert_int_equal(list.n, 0);
}

static void hear_dropped(struct remote *r, struct span list, bool v6)
{
    struct endpoint e;
    assert_in_range(list.n / compact_len(v6), 0, EXT_PEX_PEERS_MAX);
    while (compact_next(&list, v6, &e)) {
        uint32_t peer = number_of(&e);
        assert_true(r->knows[peer]); /* only who was told of can be dropped, and once */
        r->knows[peer] = false;
        r->n_dropped++;
    }
    assert_int_equal(list.n, 0);
}

static bool tell(struct pex_log *log, struct remote *r, uint64_t now_ms)
{
    struct pex_room room;
    struct ext_pex m;
    struct endpoint to = nth(r->self);
    r->n_added = 0;
    r->n_dropped = 0;
    if (!pex_message(log, &r->at, &to, now_ms, &room, &m)) {
        return false;
    }
    hear_dropped(r, m.dropped, false);
    hear_dropped(r, m.dropped6, true);
    hear_added(r, m.added, m.added_flags, false);
    hear_added(r, m.added6, m.added6_flags, true);
    assert_true(r->n_added + r->n_dropped > 0);
    assert_true(pex_due_ms(&r->at) == now_ms + PEX_INTERVAL_MS);
    return true;
}

static void the_first_message_has_everybody_at_once(void **state)
{
    (void)state;
    struct pex_log *log = pex_log_new();
    struct remote r = {.self = 2};
    assert_true(pex_due_ms(&r.at) == 0);
    assert_false(tell(log, &r, 5));
    added(log, 2, 0); /* itself: still nothing to tell */
    assert_false(tell(log, &r, 6));
    added(log, 0, EXT_PEX_SEED | EXT_PEX_REACHABLE);
    added(log, 1, EXT_PEX_ENCRYPTION);
    added(log, 4, 0);
    dropped(log, 4);
    assert_true(tell(log, &r, 7));
    assert_int_equal(r.n_added, 2);
    assert_int_equal(r.n_dropped, 0);
    assert_true(r.knows[0] && r.knows[1]);
    assert_int_equal(r.flags[0], EXT_PEX_SEED | EXT_PEX_REACHABLE);
    assert_int_equal(r.flags[1], EXT_PEX_ENCRYPTION);
    pex_log_free(log);
    pex_log_free(NULL);
}

static void later_ones_have_what_is_new_once_a_minute(void **state)
{
    (void)state;
    struct pex_log *log = pex_log_new();
    struct remote r = {.self = NOBODY};
    added(log, 0, 0);
    added(log, 1, 0);
    assert_true(tell(log, &r, 1000));
    added(log, 2, 0);
    dropped(log, 0);
    assert_false(tell(log, &r, 1000 + PEX_INTERVAL_MS - 1));
    added(log, 3, 0); /* comes and goes between two messages */
    dropped(log, 3);
    dropped(log, 3); /* known to nobody: nothing */
    assert_true(tell(log, &r, 1000 + PEX_INTERVAL_MS));
    assert_int_equal(r.n_added, 1);
    assert_int_equal(r.n_dropped, 1);
    assert_true(r.knows[2] && !r.knows[0] && r.knows[1]);
    /* Nothing new: no message, and the next may go as soon as there is something. */
    assert_false(tell(log, &r, 500000));
    dropped(log, 1);
    assert_true(tell(log, &r, 500001));
    assert_int_equal(r.n_dropped, 1);
    pex_log_free(log);
}

static void who_went_and_came_back_is_added_alone(void **state)
{
    (void)state;
    struct pex_log *log = pex_log_new();
    struct remote r = {.self = NOBODY};
    added(log, 0, 0);
    added(log, 1, 0);
    assert_true(tell(log, &r, 0));
    dropped(log, 0);
    dropped(log, 1);
    added(log, 0, EXT_PEX_SEED);
    added(log, 1, 0);
    added(log, 1, EXT_PEX_UTP); /* the newest flags */
    assert_true(tell(log, &r, PEX_INTERVAL_MS));
    assert_int_equal(r.n_added, 2);
    assert_int_equal(r.n_dropped, 0);
    assert_int_equal(r.flags[0], EXT_PEX_SEED);
    assert_int_equal(r.flags[1], EXT_PEX_UTP);
    pex_log_free(log);
}

static void long_lists_take_several_messages(void **state)
{
    (void)state;
    struct pex_log *log = pex_log_new();
    struct remote r = {.self = NOBODY};
    for (uint32_t i = 0; i < 240; i++) {
        added(log, i, 0);
    }
    assert_true(tell(log, &r, 0));
    assert_int_equal(r.n_added, 2 * EXT_PEX_PEERS_MAX);
    assert_true(tell(log, &r, PEX_INTERVAL_MS));
    assert_int_equal(r.n_added, 2 * EXT_PEX_PEERS_MAX);
    assert_true(tell(log, &r, 2 * PEX_INTERVAL_MS));
    assert_int_equal(r.n_added, 40);
    /* One family alone is cut as well; drops come first. */
    for (uint32_t i = 0; i < 240; i += 2) {
        dropped(log, i);
    }
    added(log, 300, 0);
    assert_true(tell(log, &r, 3 * PEX_INTERVAL_MS));
    assert_int_equal(r.n_dropped, EXT_PEX_PEERS_MAX);
    assert_int_equal(r.n_added, 0);
    assert_true(tell(log, &r, 4 * PEX_INTERVAL_MS));
    assert_true(tell(log, &r, 5 * PEX_INTERVAL_MS));
    assert_int_equal(r.n_dropped, 20);
    assert_int_equal(r.n_added, 1);
    assert_false(tell(log, &r, 6 * PEX_INTERVAL_MS));
    pex_log_free(log);
}

static void who_is_too_far_behind_is_told_all_again(void **state)
{
    (void)state;
    struct pex_log *log = pex_log_new();
    struct remote r = {.self = NOBODY};
    added(log, 0, 0);
    added(log, 1, 0);
    assert_true(tell(log, &r, 0));
    for (uint32_t i = 0; i < PEX_LOG_MAX; i++) {
        added(log, 2, 0);
        dropped(log, 2);
    }
    assert_false(tell(log, &r, PEX_INTERVAL_MS)); /* the log still reaches back */
    for (uint32_t i = 0; i < PEX_LOG_MAX + 1; i++) {
        added(log, 2, 0);
        dropped(log, 2);
    }
    assert_true(tell(log, &r, PEX_INTERVAL_MS));
    assert_int_equal(r.n_added, 2);
    assert_int_equal(r.n_dropped, 0);
    pex_log_free(log);
}

static void the_last_to_leave_is_told_to_who_was_not_in_the_log(void **state)
{
    (void)state;
    struct pex_log *log = pex_log_new();
    struct remote r = {.self = NOBODY};
    for (uint32_t i = 0; i < 80; i++) {
        added(log, i, 0);
    }
    assert_true(tell(log, &r, 0));
    for (uint32_t i = 0; i < 30; i++) {
        dropped(log, i);
    }
    assert_true(tell(log, &r, PEX_INTERVAL_MS));
    assert_int_equal(r.n_dropped, 30);
    for (uint32_t i = 30; i < 80; i++) {
        dropped(log, i);
    }
    assert_true(tell(log, &r, 2 * PEX_INTERVAL_MS));
    assert_int_equal(r.n_dropped, 50);
    added(log, 7, 0);
    assert_true(tell(log, &r, 3 * PEX_INTERVAL_MS));
    assert_int_equal(r.n_added, 1);
    pex_log_free(log);
}

static void more_peers_than_the_log_holds_are_left_out(void **state)
{
    (void)state;
    struct pex_log *log = pex_log_new();
    for (uint32_t i = 0; i < PEX_LOG_MAX + 100; i++) {
        added(log, i, 0);
    }
    struct pex_cursor at = {.sent = false};
    struct endpoint to = nth(60000);
    struct pex_room room;
    struct ext_pex m;
    size_t told = 0;
    for (uint64_t now_ms = 0; pex_message(log, &at, &to, now_ms, &room, &m);
         now_ms += PEX_INTERVAL_MS) {
        told += m.added_flags.n + m.added6_flags.n;
    }
    assert_int_equal(told, PEX_LOG_MAX);
    for (uint32_t i = 0; i < PEX_LOG_MAX + 100; i++) {
        dropped(log, i);
    }
    pex_log_free(log);
}

/* Peers come and go; some connections are told often, some seldom. None is told of a drop without
 * its addition (hear_dropped), and each knows the truth once nothing happens any more. */
static void everybody_comes_to_know_the_truth(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct pex_log *log = pex_log_new();
        struct rng rng = {seed};
        struct remote remotes[4] = {{.self = 0}, {.self = 1}, {.self = 2}, {.self = NOBODY}};
        bool here[PEERS] = {false};
        uint64_t now_ms = 0;
        /* Fewer drops than the log holds: nobody falls behind. */
        for (uint32_t step = 0; step < 1800; step++) {
            uint32_t i = rng_below(&rng, step < 900 ? PEERS : PEERS / 8);
            here[i] ? dropped(log, i) : added(log, i, i & 0xff);
            here[i] = !here[i];
            now_ms += rng_below(&rng, 3000);
            size_t who = rng_below(&rng, 4);
            if (rng_below(&rng, 1 + (uint32_t)who * 30) == 0) {
                (void)tell(log, &remotes[who], now_ms);
            }
        }
        for (size_t r = 0; r < 4; r++) {
            for (uint64_t later_ms = now_ms + PEX_INTERVAL_MS; tell(log, &remotes[r], later_ms);
                 later_ms += PEX_INTERVAL_MS) {
            }
            for (uint32_t i = 0; i < PEERS; i++) {
                assert_int_equal(remotes[r].knows[i], here[i] && i != remotes[r].self);
                assert_true(!remotes[r].knows[i] || remotes[r].flags[i] == (i & 0xff));
            }
        }
        pex_log_free(log);
    }
}

static void messages_that_come_too_soon_are_not_read(void **state)
{
    (void)state;
    struct pex_cursor at = {.sent = false};
    assert_true(pex_accept(&at, 0));
    assert_false(pex_accept(&at, 0));
    assert_false(pex_accept(&at, PEX_RECEIVE_MS - 1));
    assert_true(pex_accept(&at, PEX_RECEIVE_MS)); /* those in between did not count */
    assert_false(pex_accept(&at, PEX_RECEIVE_MS + 1));
    assert_true(pex_accept(&at, 10 * PEX_RECEIVE_MS));
    assert_true(pex_due_ms(&at) == 0); /* what we send has a pace of its own */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_message_has_everybody_at_once),
        cmocka_unit_test(later_ones_have_what_is_new_once_a_minute),
        cmocka_unit_test(who_went_and_came_back_is_added_alone),
        cmocka_unit_test(long_lists_take_several_messages),
        cmocka_unit_test(who_is_too_far_behind_is_told_all_again),
        cmocka_unit_test(the_last_to_leave_is_told_to_who_was_not_in_the_log),
        cmocka_unit_test(more_peers_than_the_log_holds_are_left_out),
        cmocka_unit_test(everybody_comes_to_know_the_truth),
        cmocka_unit_test(messages_that_come_too_soon_are_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
