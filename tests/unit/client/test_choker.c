/* The choker's commandments: as tables of one decision, and over many rounds of a simulation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/choker.h"

#include "base/banned.h"

enum { PEERS_MAX = 64, KIB = 1024 };

static size_t count_unchoked(const struct choke_peer *peers, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += peers[i].unchoke;
    }
    return count;
}

static struct choke_peer *by_id(struct choke_peer *peers, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++) {
        if (peers[i].id == id) {
            return &peers[i];
        }
    }
    fail();
    return NULL;
}

/* What must be true of any decision. */
static void assert_commandments(const struct choke_peer *peers, size_t n,
                                const struct choker_input *in)
{
    size_t interested = 0;
    size_t optimistic = 0;
    size_t unchoked = count_unchoked(peers, n);
    for (size_t i = 0; i < n; i++) {
        const struct choke_peer *p = &peers[i];
        interested += p->interested;
        optimistic += p->optimistic;
        assert_true(p->interested || !p->unchoke);
        assert_true(p->unchoke || !p->optimistic);
        assert_true(in->seeding || !p->snubbing || !p->unchoke || p->optimistic);
    }
    assert_int_equal(unchoked, interested < in->slots ? interested : in->slots);
    if (in->seeding) {
        assert_int_equal(optimistic, 0);
    } else if (interested >= in->slots) {
        assert_true(optimistic >= 1 && optimistic >= in->slots / 5);
    }
}

static void decide(struct choke_peer *peers, size_t n, const struct choker_input *in,
                   struct rng *rng)
{
    choker_decide(peers, n, in, rng);
    assert_commandments(peers, n, in);
}

/* One decision about up to eight peers; names are ids. */
struct row {
    const char *what;
    struct choker_input in;
    struct choke_peer peers[8];
    const char *unchoke;    /* ids that must be, each a digit */
    const char *optimistic; /* those of them that are */
    uint64_t n;
};

static bool names(const char *list, uint64_t id)
{
    return strchr(list, (int)('0' + id)) != NULL;
}

static void check_row(const struct row *row)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct choke_peer peers[8];
        struct rng rng = {seed};
        memcpy(peers, row->peers, sizeof peers);
        for (size_t i = (size_t)row->n; i > 1; i--) { /* the order does not matter */
            size_t j = rng_below(&rng, (uint32_t)i);
            struct choke_peer swap = peers[i - 1];
            peers[i - 1] = peers[j];
            peers[j] = swap;
        }
        decide(peers, row->n, &row->in, &rng);
        for (size_t i = 0; i < row->n; i++) {
            if (peers[i].unchoke != names(row->unchoke, peers[i].id) ||
                peers[i].optimistic != names(row->optimistic, peers[i].id)) {
                fail_msg("%s: peer %u", row->what, (unsigned)peers[i].id);
            }
        }
    }
}

static const struct row downloading[] = {
    {.what = "few peers: all that are interested",
     .in = {.slots = 4, .round = 1, .now_ms = 100000},
     .peers = {{.id = 1, .interested = true}, {.id = 2}, {.id = 3, .interested = true}},
     .n = 3,
     .unchoke = "13",
     .optimistic = ""},
    {.what = "the fastest three, and the one that was never unchoked",
     .in = {.slots = 4, .round = 3, .now_ms = 100000},
     .peers = {{.id = 1, .interested = true, .down_bps = 50, .unchoked_ms = 9},
               {.id = 2, .interested = true, .down_bps = 40, .unchoked_ms = 8},
               {.id = 3, .interested = true, .down_bps = 30, .unchoked_ms = 7},
               {.id = 4, .interested = true, .down_bps = 20, .unchoked_ms = 6},
               {.id = 5, .interested = true, .connected_ms = 99000},
               {.id = 6, .down_bps = 1000}},
     .n = 6,
     .unchoke = "1235",
     .optimistic = "5"},
    {.what = "the optimistic one stays until a round chooses anew",
     .in = {.slots = 4, .round = 4, .now_ms = 100000},
     .peers = {{.id = 1, .interested = true, .down_bps = 50},
               {.id = 2, .interested = true, .down_bps = 40},
               {.id = 3, .interested = true, .down_bps = 30},
               {.id = 4, .interested = true},
               {.id = 5,
                .interested = true,
                .unchoked = true,
                .optimistic = true,
                .unchoked_ms = 70000}},
     .n = 5,
     .unchoke = "1235",
     .optimistic = "5"},
    {.what = "and then somebody else has it",
     .in = {.slots = 4, .round = 6, .now_ms = 100000},
     .peers = {{.id = 1, .interested = true, .down_bps = 50},
               {.id = 2, .interested = true, .down_bps = 40},
               {.id = 3, .interested = true, .down_bps = 30},
               {.id = 4, .interested = true, .unchoked_ms = 40000},
               {.id = 5,
                .interested = true,
                .unchoked = true,
                .optimistic = true,
                .unchoked_ms = 70000}},
     .n = 5,
     .unchoke = "1234",
     .optimistic = "4"},
    {.what = "but not when the same round is decided again",
     .in = {.slots = 4, .round = 6, .now_ms = 109999},
     .peers = {{.id = 1, .interested = true, .down_bps = 50},
               {.id = 2, .interested = true, .down_bps = 40},
               {.id = 3, .interested = true, .down_bps = 30},
               {.id = 4, .interested = true, .unchoked_ms = 40000},
               {.id = 5,
                .interested = true,
                .unchoked = true,
                .optimistic = true,
                .unchoked_ms = 100000}},
     .n = 5,
     .unchoke = "1235",
     .optimistic = "5"},
    {.what = "an optimistic one that gives earns a slot of its own",
     .in = {.slots = 4, .round = 4, .now_ms = 100000},
     .peers = {{.id = 1, .interested = true, .unchoked = true, .down_bps = 50},
               {.id = 2, .interested = true, .unchoked = true, .down_bps = 40},
               {.id = 3, .interested = true, .unchoked = true, .down_bps = 30},
               {.id = 4, .interested = true},
               {.id = 5,
                .interested = true,
                .down_bps = 60,
                .unchoked = true,
                .optimistic = true,
                .unchoked_ms = 70000}},
     .n = 5,
     .unchoke = "1245",
     .optimistic = "4"},
    {.what = "a snubbing peer is the optimistic choice or none",
     .in = {.slots = 2, .round = 3, .now_ms = 100000},
     .peers =
         {{.id = 1, .interested = true, .down_bps = 5, .unchoked_ms = 50000},
          {.id = 2, .interested = true, .down_bps = 900, .snubbing = true, .unchoked_ms = 40000},
          {.id = 3, .interested = true, .down_bps = 4, .unchoked_ms = 60000}},
     .n = 3,
     .unchoke = "12",
     .optimistic = "2"},
    {.what = "snubbing peers take what is free",
     .in = {.slots = 4, .round = 4, .now_ms = 100000},
     .peers = {{.id = 1, .interested = true, .snubbing = true},
               {.id = 2, .interested = true, .snubbing = true},
               {.id = 3, .interested = true, .down_bps = 1}},
     .n = 3,
     .unchoke = "123",
     .optimistic = "12"},
    {.what = "private: give and take",
     .in = {.slots = 3, .round = 3, .private = true, .now_ms = 100000},
     .peers =
         {{.id = 1, .interested = true, .down_bps = 50, .unchoked_ms = 50000},
          {.id = 2, .interested = true, .up_bps = 60, .unchoked_ms = 50000},
          {.id = 3, .interested = true, .up_bps = UINT64_MAX, .down_bps = 2, .unchoked_ms = 50000},
          {.id = 4, .interested = true}},
     .n = 4,
     .unchoke = "234",
     .optimistic = "4"},
    {.what = "between equals who has a slot keeps it",
     .in = {.slots = 2, .round = 4, .now_ms = 100000},
     .peers = {{.id = 1, .interested = true, .down_bps = 7},
               {.id = 2, .interested = true, .down_bps = 7, .unchoked = true},
               {.id = 3, .interested = true, .unchoked = true, .optimistic = true}},
     .n = 3,
     .unchoke = "23",
     .optimistic = "3"},
    {.what = "one slot alone is the optimistic one",
     .in = {.slots = 1, .round = 3, .now_ms = 100000},
     .peers =
         {{.id = 1, .interested = true, .down_bps = 900, .unchoked = true, .unchoked_ms = 50000},
          {.id = 2, .interested = true, .down_bps = 50, .unchoked_ms = 60000},
          {.id = 3, .interested = true}},
     .n = 3,
     .unchoke = "3",
     .optimistic = "3"},
    {.what = "of two the optimistic one is one",
     .in = {.slots = 2, .round = 3, .now_ms = 100000},
     .peers =
         {{.id = 1, .interested = true, .down_bps = 900, .unchoked = true, .unchoked_ms = 50000},
          {.id = 2, .interested = true, .down_bps = 50, .unchoked_ms = 60000},
          {.id = 3, .interested = true}},
     .n = 3,
     .unchoke = "13",
     .optimistic = "3"},
    {.what = "who lost interest loses its slot",
     .in = {.slots = 1, .round = 4, .now_ms = 100000},
     .peers = {{.id = 1, .down_bps = 7, .unchoked = true, .optimistic = true}},
     .n = 1,
     .unchoke = "",
     .optimistic = ""},
};

static void tables_when_downloading(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof downloading / sizeof downloading[0]; i++) {
        check_row(&downloading[i]);
    }
}

static void tables_when_seeding(void **state)
{
#define ON                 .interested = true, .unchoked = true, .up_bps = KIB
#define TURN_BEGAN(ago_ms) .unchoked_ms = 1000000 - (ago_ms)
    static const struct row rows[] = {
        {.what = "a turn is not over before its bytes and its time",
         .in = {.seeding = true, .slots = 2, .now_ms = 1000000},
         .peers = {{.id = 1, ON, TURN_BEGAN(CHOKER_TURN_MS), .turn_len = CHOKER_TURN_LEN - 1},
                   {.id = 2, ON, TURN_BEGAN(CHOKER_TURN_MS - 1), .turn_len = CHOKER_TURN_LEN},
                   {.id = 3, .interested = true, .connected_ms = 1}},
         .n = 3,
         .unchoke = "12",
         .optimistic = ""},
        {.what = "then it is",
         .in = {.seeding = true, .slots = 2, .now_ms = 1000000},
         .peers = {{.id = 1, ON, TURN_BEGAN(CHOKER_TURN_MS), .turn_len = CHOKER_TURN_LEN},
                   {.id = 2, ON, TURN_BEGAN(CHOKER_TURN_MS), .turn_len = CHOKER_TURN_LEN - 1},
                   {.id = 3, .interested = true, .connected_ms = 999999}},
         .n = 3,
         .unchoke = "23",
         .optimistic = ""},
        {.what = "who takes nothing has its time only, who takes little an end",
         .in = {.seeding = true, .slots = 3, .now_ms = 1000000},
         .peers = {{.id = 1, .interested = true, .unchoked = true, TURN_BEGAN(CHOKER_TURN_MS)},
                   {.id = 2, ON, TURN_BEGAN(CHOKER_TURN_MAX_MS), .turn_len = 5},
                   {.id = 3, ON, TURN_BEGAN(CHOKER_TURN_MAX_MS - 1), .turn_len = 5},
                   {.id = 4, .interested = true, .connected_ms = 999999},
                   {.id = 5, .interested = true, .connected_ms = 999999}},
         .n = 5,
         .unchoke = "345",
         .optimistic = ""},
        {.what = "who waited longest comes first, served before or not",
         .in = {.seeding = true, .slots = 2, .now_ms = 1000000},
         .peers = {{.id = 1, .interested = true, .connected_ms = 1, TURN_BEGAN(1000)},
                   {.id = 2, .interested = true, .connected_ms = 1, TURN_BEGAN(70000)},
                   {.id = 3, .interested = true, .connected_ms = 940000},
                   {.id = 4, .interested = true, .connected_ms = 920000}},
         .n = 4,
         .unchoke = "24",
         .optimistic = ""},
        {.what = "with nobody waiting a turn goes on; speed and snubbing count for nothing",
         .in = {.seeding = true, .slots = 3, .now_ms = 1000000},
         .peers = {{.id = 1, ON, TURN_BEGAN(400000), .turn_len = CHOKER_TURN_LEN},
                   {.id = 2, ON, TURN_BEGAN(400000), .snubbing = true, .optimistic = true},
                   {.id = 3, .connected_ms = 1}},
         .n = 3,
         .unchoke = "12",
         .optimistic = ""},
    };
#undef ON
#undef TURN_BEGAN
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_row(&rows[i]);
    }
}

/* Peers that answer to what was decided. */
struct swarm {
    struct choke_peer peers[PEERS_MAX];
    uint64_t gives_bps[PEERS_MAX]; /* by id: when it is unchoked, it gives that */
    uint64_t rounds_served[PEERS_MAX];
    size_t n;
    struct choker_input in;
    struct rng rng;
};

static void swarm_init(struct swarm *s, size_t n, uint32_t slots, bool seeding, uint64_t seed)
{
    memset(s, 0, sizeof *s);
    s->n = n;
    s->in = (struct choker_input){.slots = slots, .seeding = seeding, .now_ms = 1000000};
    s->rng.state = seed;
    for (size_t i = 0; i < n; i++) {
        s->peers[i] =
            (struct choke_peer){.id = i, .interested = true, .connected_ms = 900000 + 10 * i};
        s->gives_bps[i] = 1000 * i;
    }
}

static void swarm_round(struct swarm *s)
{
    decide(s->peers, s->n, &s->in, &s->rng);
    for (size_t i = 0; i < s->n; i++) {
        struct choke_peer *p = &s->peers[i];
        if (p->unchoke && !p->unchoked) {
            p->unchoked_ms = s->in.now_ms;
            p->turn_len = 0;
        }
        p->unchoked = p->unchoke;
        p->up_bps = p->unchoke ? 200 * KIB : 0;
        p->turn_len += p->up_bps * CHOKER_ROUND_MS / 1000;
        p->down_bps = p->unchoke ? s->gives_bps[p->id] : 0;
        s->rounds_served[p->id] += p->unchoke;
    }
    s->in.round++;
    s->in.now_ms += CHOKER_ROUND_MS;
}

static void a_seeding_rotation_serves_everybody_alike(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct swarm s;
        swarm_init(&s, 20, 4, true, seed);
        s.peers[7].interested = false;
        for (int i = 0; i < 6 * 10; i++) {
            swarm_round(&s);
        }
        /* 19 peers in turns of six rounds, 4 at a time: 30 rounds for all, twice. */
        for (size_t i = 0; i < s.n; i++) {
            assert_in_range(s.rounds_served[i], i == 7 ? 0 : 6, i == 7 ? 0 : 18);
        }
    }
}

static void a_late_comer_does_not_wait_for_ever(void **state)
{
    (void)state;
    struct swarm s;
    swarm_init(&s, 12, 4, true, 3);
    for (int i = 0; i < 50; i++) {
        swarm_round(&s);
    }
    s.peers[s.n] = (struct choke_peer){.id = s.n, .interested = true, .connected_ms = s.in.now_ms};
    s.n++;
    int rounds = 0;
    while (s.rounds_served[12] == 0) {
        swarm_round(&s);
        assert_true(++rounds < 30);
    }
}

static void the_fastest_givers_are_found_and_keep_their_slots(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct swarm s;
        swarm_init(&s, 20, 4, false, seed);
        /* An optimistic turn takes three rounds; twenty peers need sixty, and some more. */
        for (int i = 0; i < 90; i++) {
            swarm_round(&s);
        }
        for (size_t i = 0; i < s.n; i++) {
            assert_true(s.rounds_served[i] > 0);
        }
        memset(s.rounds_served, 0, sizeof s.rounds_served);
        for (int i = 0; i < 60; i++) {
            swarm_round(&s);
            for (uint64_t best = 17; best < 20; best++) {
                assert_true(by_id(s.peers, s.n, best)->unchoke);
                assert_false(by_id(s.peers, s.n, best)->optimistic);
            }
        }
        /* The others share the optimistic slot. */
        for (size_t i = 0; i < 17; i++) {
            assert_in_range(s.rounds_served[i], 3, 6);
        }
    }
}

/* As a torrent has it that caps its slots: nobody is left out, downloading or seeding. */
static void a_single_slot_goes_round(void **state)
{
    (void)state;
    for (int seeding = 0; seeding < 2; seeding++) {
        struct swarm s;
        swarm_init(&s, 5, choker_slots(NULL, 0, 0, 1), seeding, 8);
        for (int i = 0; i < 60; i++) {
            swarm_round(&s);
            assert_int_equal(count_unchoked(s.peers, s.n), 1);
        }
        for (size_t i = 0; i < s.n; i++) {
            assert_in_range(s.rounds_served[i], 6, 18);
        }
    }
}

static void any_table_keeps_the_commandments(void **state)
{
    (void)state;
    struct rng rng = {99};
    for (int run = 0; run < 3000; run++) {
        struct choke_peer peers[PEERS_MAX];
        size_t n = rng_below(&rng, PEERS_MAX + 1);
        struct choker_input in = {
            .seeding = rng_below(&rng, 2) == 0,
            .private = rng_below(&rng, 2) == 0,
            .slots = 1 + rng_below(&rng, 20),
            .round = rng_below(&rng, 100),
            .now_ms = rng_below(&rng, 1000000),
        };
        for (size_t i = 0; i < n; i++) {
            uint64_t bits = rng_next(&rng);
            peers[i] = (struct choke_peer){
                .id = i,
                .down_bps = bits & 64 ? 0 : rng_next(&rng),
                .up_bps = bits & 128 ? 0 : rng_next(&rng),
                .turn_len = rng_next(&rng) >> 40,
                .connected_ms = rng_below(&rng, 1000000), /* of the future too */
                .unchoked_ms = bits & 256 ? 0 : rng_below(&rng, 1000000),
                .interested = bits & 1,
                .unchoked = bits & 2,
                .optimistic = bits & 4,
                .snubbing = bits & 8,
                .unchoke = bits & 16,
            };
        }
        decide(peers, n, &in, &rng);
    }
}

static void slots_follow_what_is_fed(void **state)
{
    static const struct {
        uint64_t each_bps; /* to each of n */
        size_t n;
        uint64_t limit_bps;
        uint32_t slots;
        uint32_t cap;
    } rows[] = {
        {0, 0, 0, CHOKER_SLOTS_MIN, 0},
        {0, 10, 0, CHOKER_SLOTS_MIN, 0},
        {UINT64_MAX, 3, 0, 4, 0},
        {UINT64_MAX, 10, 0, 11, 0},
        {UINT64_MAX, 64, 0, CHOKER_SLOTS_MAX, 0},
        {19 * KIB, 20, 0, 11, 0}, /* the tenth asks for 19 KiB/s */
        {19 * KIB - 1, 20, 0, 10, 0},
        {UINT64_MAX, 20, 100 * KIB, 10, 0}, /* 1 + 3 + ... + 19 */
        {UINT64_MAX, 20, 100 * KIB - 1, 9, 0},
        {UINT64_MAX, 20, 1, CHOKER_SLOTS_MIN, 0},
        {UINT64_MAX, 64, UINT64_MAX, CHOKER_SLOTS_MAX, 0},
        /* a cap of its own, below and above what there would be */
        {0, 0, 0, 1, 1},
        {0, 10, 0, 3, 3},
        {UINT64_MAX, 64, 0, 5, 5},
        {UINT64_MAX, 10, 0, 11, 12},
        {UINT64_MAX, 20, 100 * KIB, 9, 9},
        {0, 10, 0, CHOKER_SLOTS_MIN, UINT32_MAX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct choke_peer peers[PEERS_MAX + 1] = {{.id = 0}};
        for (size_t k = 0; k < rows[i].n; k++) {
            peers[k] = (struct choke_peer){.up_bps = rows[i].each_bps, .unchoked = true};
        }
        /* One that is choked gets the rest of its blocks; it has no slot. */
        peers[rows[i].n] = (struct choke_peer){.up_bps = UINT64_MAX};
        assert_int_equal(choker_slots(peers, rows[i].n + 1, rows[i].limit_bps, rows[i].cap),
                         rows[i].slots);
    }
    assert_int_equal(choker_slots(NULL, 0, 0, 0), CHOKER_SLOTS_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_when_downloading),
        cmocka_unit_test(tables_when_seeding),
        cmocka_unit_test(a_seeding_rotation_serves_everybody_alike),
        cmocka_unit_test(a_late_comer_does_not_wait_for_ever),
        cmocka_unit_test(the_fastest_givers_are_found_and_keep_their_slots),
        cmocka_unit_test(a_single_slot_goes_round),
        cmocka_unit_test(any_table_keeps_the_commandments),
        cmocka_unit_test(slots_follow_what_is_fed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
