/* Who is handed out: even over the swarm, whatever its size and shape. */
#include "unit/tracker/core_fixture.h"

#include <math.h>
#include <stdlib.h>

#include "tracker/swarm_shard.h"
#include "tracker/swarm_view.h"

#include "base/banned.h"

enum { ANSWERS = 100000 };

static struct asked a;

struct population {
    uint32_t leechers4, seeders4, leechers6, seeders6;
};

static void fill(struct tracker *t, const struct infohash *hash, const struct population *p)
{
    uint32_t n4 = p->leechers4 + p->seeders4;
    uint32_t n = n4 + p->leechers6 + p->seeders6;
    for (uint32_t i = 0; i < n; i++) {
        bool v6 = i >= n4;
        bool seeder = v6 ? i - n4 < p->seeders6 : i < p->seeders4;
        struct announce_req req = req_n(hash, i, seeder ? 0 : 5);
        req.from = addr_n(i, v6);
        req.numwant = 0;
        assert_int_equal(ask(t, 0, at_s(1000), &req, &a), 0);
    }
}

static uint32_t peer_of(const uint8_t *wire, bool v6)
{
    const uint8_t *low = wire + (v6 ? 12 : 0);
    uint32_t top = v6 ? low[0] : low[0] - 1u;
    return top << 24 | (uint32_t)low[1] << 16 | (uint32_t)low[2] << 8 | low[3];
}

/* The bound of chi squared at one in a million (Wilson and Hilferty). */
static double bound(double freedom)
{
    double z = 4.75;
    double h = 2.0 / (9.0 * freedom);
    return freedom * pow(1.0 - h + z * sqrt(h), 3.0);
}

/* ANSWERS announces of one peer: whom it gets, how often. */
static void selection_is_even(const struct population *p, uint64_t left, int32_t numwant,
                              uint32_t candidates)
{
    struct tracker_cfg cfg = public_cfg;
    struct infohash hash = hash_n(1);
    cfg.max_numwant = NUMWANT_LIMIT;
    struct tracker *t = tracker_new(&cfg, 1, at_s(1000));
    uint32_t n = p->leechers4 + p->seeders4 + p->leechers6 + p->seeders6;
    uint32_t self = left == 0 ? 0 : p->seeders4 + p->leechers4 / 2;
    uint32_t *seen = calloc(n, sizeof *seen);
    uint32_t *last = calloc(n, sizeof *last);
    fill(t, &hash, p);
    struct announce_req req = req_n(&hash, self, left);
    req.numwant = numwant;
    uint64_t given = 0;
    for (uint32_t round = 1; round <= ANSWERS; round++) {
        ask(t, 0, at_s(1000), &req, &a);
        for (size_t i = 0; i < n_peers4(&a) + n_peers6(&a); i++) {
            bool v6 = i >= n_peers4(&a);
            const uint8_t *wire =
                v6 ? a.peers6 + (i - n_peers4(&a)) * COMPACT6_LEN : a.peers4 + i * COMPACT4_LEN;
            uint32_t peer = peer_of(wire, v6);
            assert_true(peer < n && peer != self);
            assert_true(last[peer] != round); /* nobody twice in one answer */
            last[peer] = round;
            seen[peer]++;
            given++;
        }
    }
    assert_int_equal(given, (uint64_t)ANSWERS * (uint32_t)numwant);
    double expected = (double)given / candidates;
    double chi2 = 0;
    uint32_t reached = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (seen[i] > 0) {
            reached++;
            chi2 += ((double)seen[i] - expected) * ((double)seen[i] - expected) / expected;
        }
    }
    /* Drawing without putting back spreads less than the multinomial: this only makes it easier to
     * pass from below, so a lower bound on spread would be the wrong test; evenness is what counts.
     */
    assert_int_equal(reached, candidates);
    assert_true(chi2 < bound(candidates - 1));
    free(seen);
    free(last);
    tracker_free(t);
}

static void even_for_a_leecher(void **state)
{
    (void)state;
    selection_is_even(&(struct population){.leechers4 = 60, .seeders4 = 41}, 5, 30, 100);
}

static void even_where_strata_are_uneven(void **state)
{
    (void)state;
    selection_is_even(&(struct population){.leechers4 = 40, .seeders4 = 8}, 5, 31, 47);
}

static void even_for_a_seeder(void **state)
{
    (void)state;
    selection_is_even(&(struct population){.leechers4 = 77, .seeders4 = 30}, 0, 10, 77);
}

static void even_over_both_families(void **state)
{
    (void)state;
    selection_is_even(
        &(struct population){.leechers4 = 30, .seeders4 = 11, .leechers6 = 9, .seeders6 = 4}, 5, 7,
        53);
}

static void even_over_several_chunks(void **state)
{
    (void)state;
    selection_is_even(&(struct population){.leechers4 = 3000, .seeders4 = 2001}, 5, 20, 5000);
}

static void small_swarms_are_given_whole(void **state)
{
    (void)state;
    for (uint32_t n = 1; n < 60; n++) {
        struct tracker *t = tracker_new(&public_cfg, 1, at_s(1000));
        struct infohash hash = hash_n(n);
        uint8_t seen[64] = {0};
        fill(t, &hash, &(struct population){.leechers4 = n});
        struct announce_req req = req_n(&hash, n / 2, 5);
        req.numwant = 60;
        ask(t, 0, at_s(1000), &req, &a);
        assert_int_equal(n_peers4(&a), n - 1);
        for (uint32_t i = 0; i < n - 1; i++) {
            uint32_t peer = peer_of(a.peers4 + (size_t)i * COMPACT4_LEN, false);
            assert_int_equal(seen[peer], 0);
            seen[peer] = 1;
            uint32_t id;
            memcpy(&id, a.ids4[i].b + 16, sizeof id);
            assert_int_equal(id, peer); /* ids stay beside their endpoints */
        }
        assert_int_equal(seen[n / 2], 0);
        tracker_free(t);
    }
}

/* Up through blocks and chunks and down again, in an order that mixes everything. */
static void a_swarm_survives_growing_and_shrinking(void **state)
{
    enum { PEERS = 12000 };
    static uint8_t there[PEERS];
    struct tracker *t = tracker_new(&public_cfg, 1, at_s(1000));
    struct infohash hash = hash_n(3);
    struct rng rng = {11};
    struct tracker_totals empty;
    struct tracker_totals totals;
    uint32_t n = 0;
    (void)state;
    tracker_totals(t, &empty);
    for (uint32_t step = 0; step < 120000; step++) {
        bool up = step < 60000;
        uint32_t peer = rng_below(&rng, PEERS);
        bool stop = there[peer] && (!up || rng_below(&rng, 20) == 0);
        struct announce_req req = req_n(&hash, peer, rng_below(&rng, 2));
        req.from = addr_n(peer, peer % 3 == 0);
        req.event = stop || (!up && n > 0 && !there[peer]) ? EVENT_STOPPED : EVENT_NONE;
        ask(t, 0, at_s(1000), &req, &a);
        uint8_t now = req.event != EVENT_STOPPED;
        n = n + now - there[peer];
        there[peer] = now;
        assert_int_equal(a.reply.counts.complete + a.reply.counts.incomplete, n);
    }
    for (uint32_t peer = 0; peer < PEERS; peer++) {
        struct announce_req req = req_n(&hash, peer, 0);
        req.from = addr_n(peer, peer % 3 == 0);
        req.event = EVENT_STOPPED;
        ask(t, 0, at_s(1000), &req, &a);
    }
    tracker_totals(t, &totals);
    assert_int_equal(totals.torrents + totals.peers4 + totals.peers6 + totals.seeders, 0);
    /* All of it comes back but a page for each arena that was needed. */
    sweep_round(t, at_s(1001));
    tracker_totals(t, &totals);
    assert_in_range(totals.memory_len, empty.memory_len, empty.memory_len + 8 * 4096);
    tracker_free(t);
}

/* The limits that a later release will be held to. */
static void memory_stays_in_its_budget(void **state)
{
    static const struct {
        uint32_t torrents, peers;
        double most; /* bytes a torrent of one peer, or a peer */
    } rows[] = {{200000, 1, 155}, {20000, 10, 72}, {4000, 100, 72}, {1, 200000, 72}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tracker *t = tracker_new(&public_cfg, 1, at_s(1000));
        struct tracker_totals before;
        struct tracker_totals after;
        struct rng rng = {5};
        tracker_totals(t, &before);
        for (uint32_t j = 0; j < rows[i].torrents; j++) {
            struct infohash hash;
            uint64_t r[3] = {rng_next(&rng), rng_next(&rng), rng_next(&rng)};
            memcpy(&hash, r, sizeof hash);
            fill(t, &hash, &(struct population){.leechers4 = rows[i].peers});
        }
        tracker_totals(t, &after);
        double len = (double)(after.memory_len - before.memory_len) /
                     ((double)rows[i].torrents * rows[i].peers);
        print_message("%u torrents of %u: %.1f bytes a peer\n", rows[i].torrents, rows[i].peers,
                      len);
        assert_true(len < rows[i].most);
        tracker_free(t);
    }
}

enum { MANY = 6000, MANY_PEERS = 300000 };

/* Peer i of MANY torrents, for every i that is kept. */
static void announce_kept(struct tracker *t, const uint8_t *kept, bool kept_now,
                          enum announce_event event)
{
    for (uint32_t i = 0; i < MANY_PEERS; i++) {
        if (kept[i] == kept_now) {
            struct infohash hash;
            struct rng rng = {.state = (uint64_t)(i % MANY) << 32};
            uint64_t r[3] = {rng_next(&rng), rng_next(&rng), rng_next(&rng)};
            memcpy(&hash, r, sizeof hash);
            struct announce_req req = req_n(&hash, i, 5);
            req.from = addr_n(i, i % 5 == 0);
            req.numwant = 0;
            req.event = event;
            assert_int_equal(ask(t, 0, at_s(1000), &req, &a), 0);
        }
    }
}

static size_t memory_len(struct tracker *t)
{
    struct tracker_totals totals;
    tracker_totals(t, &totals);
    return totals.memory_len;
}

/* Around a full chunk, where one more or less would be another block: no pages come and go. */
static void a_large_swarm_keeps_its_memory_while_peers_come_and_go(void **state)
{
    enum { PEERS = 40 * PEERS_CHUNK };
    struct tracker *t = tracker_new(&public_cfg, 1, at_s(1000));
    struct infohash hash = hash_n(3);
    struct announce_req req;
    (void)state;
    fill(t, &hash, &(struct population){.leechers4 = PEERS + 1});
    size_t len = memory_len(t);
    for (uint32_t i = 0; i < 40; i++) { /* 40 go ... */
        req = req_n(&hash, i, 5);
        req.from = addr_n(i, false);
        req.event = EVENT_STOPPED;
        assert_int_equal(ask(t, 0, at_s(1000), &req, &a), 0);
        assert_int_equal(memory_len(t), len);
    }
    for (uint32_t i = 0; i < 40; i++) { /* ... and come again */
        req = req_n(&hash, i, 5);
        req.from = addr_n(i, false);
        assert_int_equal(ask(t, 0, at_s(1000), &req, &a), 0);
        assert_int_equal(memory_len(t), len);
    }
    tracker_free(t);
}

/* Nine of ten peers go at random: not a slab is empty then, but the sweep puts together what is
 * left. */
static void memory_of_the_gone_comes_back(void **state)
{
    static uint8_t kept[MANY_PEERS];
    struct tracker *t = tracker_new(&public_cfg, 1, at_s(1000));
    struct tracker *fresh = tracker_new(&public_cfg, 1, at_s(1000));
    struct tracker_totals totals[2];
    struct rng rng = {23};
    (void)state;
    for (uint32_t i = 0; i < MANY_PEERS; i++) {
        kept[i] = rng_below(&rng, 10) == 0;
    }
    announce_kept(t, kept, false, EVENT_NONE);
    announce_kept(t, kept, true, EVENT_NONE);
    announce_kept(t, kept, false, EVENT_STOPPED);
    announce_kept(fresh, kept, true, EVENT_NONE);
    struct tracker_worker *w = tracker_worker(t, 0);
    for (int rounds = 0; rounds < 3;) {
        tracker_begin(w, at_s(1001));
        rounds += tracker_sweep(w, 0, stopped_clock);
        tracker_end(w);
    }
    tracker_totals(t, &totals[0]);
    tracker_totals(fresh, &totals[1]);
    assert_int_equal(totals[0].peers4, totals[1].peers4);
    assert_int_equal(totals[0].peers6, totals[1].peers6);
    print_message("%zu bytes, fresh %zu\n", memory_len(t), memory_len(fresh));
    assert_true(memory_len(t) < memory_len(fresh) * 5 / 4);
    announce_kept(t, kept, true, EVENT_STOPPED); /* everybody is found where he moved to */
    tracker_totals(t, &totals[0]);
    assert_int_equal(totals[0].torrents + totals[0].peers4 + totals[0].peers6, 0);
    tracker_free(t);
    tracker_free(fresh);
}

/* ---- sweeping under changes --------------------------------------------------------------------
 */

static void a_giant_swarm_is_swept_in_steps(void **state)
{
    enum { PEERS = 20000 };
    struct tracker *t = tracker_new(&public_cfg, 1, at_s(1000));
    struct infohash hash = hash_n(1);
    struct tracker_worker *w = tracker_worker(t, 0);
    struct tracker_totals totals;
    uint32_t steps = 0;
    (void)state;
    fill(t, &hash, &(struct population){.leechers4 = PEERS / 2, .seeders6 = PEERS / 2});
    tracker_begin(w, at_s(1001 + public_cfg.peer_timeout_s));
    while (!tracker_sweep(w, 0, stopped_clock)) { /* no budget: one step a call */
        uint64_t before = counter(t, COUNT_peers_expired);
        steps++;
        assert_true(before <= (uint64_t)steps * 600);
    }
    tracker_end(w);
    tracker_totals(t, &totals);
    assert_int_equal(totals.peers4 + totals.peers6, 0);
    assert_true(steps >= PEERS / 600);
    tracker_free(t);
}

static bool keep_none(void *ctx, const struct infohash *hash)
{
    (void)ctx;
    (void)hash;
    return false;
}

static void visit(struct swarms *s, uint32_t peer, struct scrape_counts *counts)
{
    struct rng rng = {1};
    struct infohash hash = hash_n(1);
    struct announce_req req = req_n(&hash, peer, 5);
    struct peer_room room = {.cap4 = 0};
    struct swarm_visit v = {.req = &req, .now_s = 1000, .room = &room};
    v.identity = (struct endpoint){.addr = req.from, .port = req.port};
    swarms_announce(s, &v, 1, &rng);
    *counts = v.answer.counts;
}

static size_t held_by(struct swarms *s)
{
    size_t len = 0;
    for (size_t i = 0; i < SWARM_MEMORIES; i++) {
        len += swarm_memory_held(&s->memories[i]);
    }
    return len;
}

/* More blocks than are freed at once. */
static void a_forgotten_giant_leaves_nothing(void **state)
{
    enum { PEERS = 60000 };
    const struct swarms_cfg cfg = {.max_torrents = 2, .max_peers = PEERS, .seed = {{1, 2}}};
    struct swarms *s = swarms_new(&cfg);
    struct swarms_swept swept = {.expired = 0};
    struct scrape_counts counts;
    (void)state;
    for (uint32_t i = 0; i < PEERS; i++) {
        visit(s, i, &counts);
    }
    const size_t full = held_by(s);
    const struct infohash hash = hash_n(1);
    assert_int_equal(swarms_forget(s, &hash), PEERS);
    assert_int_equal(s->n_peers + s->n_torrents, 0);
    while (!swarms_sweep(s, 0, NULL, NULL, &swept)) {
    }
    assert_true(held_by(s) < full / 50);
    swarms_free(s);
}

/* Refused, it is gone at once; what it had is freed in steps, between which it may exist anew. */
static void a_refused_giant_is_freed_in_steps(void **state)
{
    enum { PEERS = 60000, LESS_MAX = 512 * 1024 };
    const struct swarms_cfg cfg = {.max_torrents = 2, .max_peers = PEERS + 1, .seed = {{1, 2}}};
    struct swarms *s = swarms_new(&cfg);
    struct swarms_swept swept = {.expired = 0};
    struct scrape_counts counts;
    struct tracker_totals totals;
    uint32_t again = 0;
    (void)state;
    for (uint32_t i = 0; i < PEERS; i++) {
        visit(s, i, &counts);
    }
    assert_int_equal(counts.incomplete, PEERS);
    const size_t full = held_by(s);
    size_t held = full;
    for (int rounds = 0; rounds < 2;) {
        rounds += swarms_sweep(s, 0, keep_none, NULL, &swept);
        size_t now = held_by(s);
        assert_true(now + LESS_MAX >= held);
        held = now;
        if (rounds == 0 && swept.forgotten >= PEERS && again < 50) {
            again++;
            visit(s, 7, &counts);
            assert_int_equal(counts.incomplete, 1);
        }
        if (swept.forgotten < PEERS) {
            assert_int_equal(s->n_peers, PEERS);
        } else {
            assert_int_equal(s->n_peers, s->n_torrents);
        }
    }
    swarm_view_totals(s, &totals);
    assert_int_equal(again, 50);
    assert_int_equal(totals.torrents + totals.leechers + totals.peers4, 0);
    assert_int_equal(s->n_peers + s->n_torrents, 0);
    assert_int_equal(swept.forgotten, PEERS + 1);
    assert_true(held < full / 4);
    swarms_free(s);
}

/* Nothing is left behind when the end comes in the middle. */
static void a_giant_half_freed_is_freed_at_the_end(void **state)
{
    enum { PEERS = 20000 };
    const struct swarms_cfg cfg = {.max_torrents = 1, .max_peers = PEERS, .seed = {{1, 2}}};
    struct swarms *s = swarms_new(&cfg);
    struct swarms_swept swept = {.expired = 0};
    struct scrape_counts counts;
    (void)state;
    for (uint32_t i = 0; i < PEERS; i++) {
        visit(s, i, &counts);
    }
    while (swept.forgotten == 0) {
        assert_false(swarms_sweep(s, 0, keep_none, NULL, &swept));
    }
    assert_int_equal(swept.forgotten, PEERS);
    assert_non_null(s->sweep.gone_memory);
    swarms_free(s); /* asserts that all memory was given back */
}

static void what_moves_past_the_sweep_goes_a_round_later(void **state)
{
    enum { PEERS = 6000 };
    struct tracker *t = tracker_new(&public_cfg, 1, at_s(1000));
    struct infohash hash = hash_n(1);
    struct tracker_worker *w = tracker_worker(t, 0);
    struct rng rng = {3};
    struct tracker_totals totals;
    uint64_t late_s = 1001 + public_cfg.peer_timeout_s;
    uint32_t fresh = 0;
    bool round = false;
    (void)state;
    fill(t, &hash, &(struct population){.leechers4 = PEERS});
    for (int rounds = 0; rounds < 3; rounds += round) {
        tracker_begin(w, at_s(late_s));
        round = tracker_sweep(w, 0, stopped_clock);
        tracker_end(w);
        if (rounds == 0 && rng_below(&rng, 4) == 0) { /* new seeders push old leechers to the end */
            struct announce_req req = req_n(&hash, PEERS + fresh++, 0);
            ask(t, 0, at_s(late_s), &req, &a);
        }
    }
    tracker_totals(t, &totals);
    assert_int_equal(totals.peers4, fresh);
    assert_int_equal(totals.seeders, fresh);
    tracker_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(even_for_a_leecher),
        cmocka_unit_test(even_where_strata_are_uneven),
        cmocka_unit_test(even_for_a_seeder),
        cmocka_unit_test(even_over_both_families),
        cmocka_unit_test(even_over_several_chunks),
        cmocka_unit_test(small_swarms_are_given_whole),
        cmocka_unit_test(a_swarm_survives_growing_and_shrinking),
        cmocka_unit_test(memory_stays_in_its_budget),
        cmocka_unit_test(a_large_swarm_keeps_its_memory_while_peers_come_and_go),
        cmocka_unit_test(memory_of_the_gone_comes_back),
        cmocka_unit_test(a_giant_swarm_is_swept_in_steps),
        cmocka_unit_test(a_forgotten_giant_leaves_nothing),
        cmocka_unit_test(a_refused_giant_is_freed_in_steps),
        cmocka_unit_test(a_giant_half_freed_is_freed_at_the_end),
        cmocka_unit_test(what_moves_past_the_sweep_goes_a_round_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
