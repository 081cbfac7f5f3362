/* Which blocks a peer is asked for: one commandment a test, and the order against a naive model. */
#include "unit/client/picker_fixture.h"

#include "base/banned.h"

static size_t pick(struct swarm_view *v, const struct pick_peer *peer, struct wire_block *out,
                   size_t cap)
{
    return picker_pick(v->k, v->p, peer, out, cap);
}

/* The piece of the next block that the peer is asked for. */
static uint32_t pick_one(struct swarm_view *v, const struct pick_peer *peer)
{
    struct wire_block b;
    assert_int_equal(pick(v, peer, &b, 1), 1);
    return b.piece;
}

static void give_back(struct swarm_view *v, const struct wire_block *blocks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        pieces_give_back(v->p, &blocks[i]);
    }
}

/* ---- commandment 1 --------------------------------------------------------------------------- */

static void the_first_pieces_are_random(void **state)
{
    enum { N = 100, SEEDS = 200 };
    uint32_t n_rarest = 0;
    uint32_t sum = 0;
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct swarm_view v = view_new(N, 1, seed);
        struct pick_peer peer = seed_n(1, SLOW_BPS);
        uint8_t bits[13];
        memset(bits, 0xff, sizeof bits);
        bits[12] = 0xe0; /* all but piece 99 */
        picker_add_peer(v.k, span_of(bits, sizeof bits));
        uint32_t piece = pick_one(&v, &peer);
        n_rarest += piece == N - 1;
        sum += piece;
        view_release(&v);
    }
    assert_in_range(n_rarest, 0, SEEDS / 10);
    assert_in_range(sum, SEEDS * 40, SEEDS * 60);
}

static void rarity_and_random_ties(void **state)
{
    enum { N = 64, SEEDS = 50 };
    bool seen[N] = {false};
    size_t n_seen = 0;
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct swarm_view v = view_new(N, 1, seed);
        struct pick_peer peer = seed_n(1, SLOW_BPS);
        view_skip_random_first(&v);
        for (uint32_t i = 0; i < N; i++) {
            for (uint32_t n = 0; n < (i % 2 == 0 ? 5 : 20); n++) {
                picker_peer_has(v.k, i);
            }
        }
        uint32_t piece = pick_one(&v, &peer);
        assert_int_equal(piece % 2, 0);
        n_seen += !seen[piece];
        seen[piece] = true;
        peer.snubbing = true;
        assert_int_equal(pick_one(&v, &peer) % 2, 1);
        view_release(&v);
    }
    assert_true(n_seen > 15);
}

/* Haves that come one by one leave no order of their own. */
static void ties_stay_random_as_haves_come(void **state)
{
    enum { N = 64, SEEDS = 50 };
    bool seen[N] = {false};
    size_t n_seen = 0;
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct swarm_view v = view_new(N, 1, seed);
        struct pick_peer peer = seed_n(1, SLOW_BPS);
        struct wire_block b;
        view_skip_random_first(&v);
        assert_int_equal(pick(&v, &peer, &b, 1), 1); /* the order is there now */
        give_back(&v, &b, 1);
        for (uint32_t n = 0; n < 3; n++) {
            for (uint32_t i = 0; i < N; i++) {
                picker_peer_has(v.k, i);
            }
        }
        uint32_t piece = pick_one(&v, &peer);
        n_seen += !seen[piece];
        seen[piece] = true;
        view_release(&v);
    }
    assert_true(n_seen > 15);
}

static void what_is_under_way_comes_first_and_the_most_complete_of_it(void **state)
{
    struct swarm_view v = view_new(20, 4, 1);
    struct pick_peer peer = seed_n(1, SLOW_BPS);
    struct wire_block out[4];
    (void)state;
    pieces_start(v.p, 3, 0);
    assert_int_equal(pieces_request(v.p, 3, out, 1), 1);
    pieces_start(v.p, 8, 0);
    assert_int_equal(pieces_request(v.p, 8, out, 3), 3);
    assert_int_equal(pick_one(&v, &peer), 8);
    assert_int_equal(pick(&v, &peer, out, 4), 4);
    assert_int_equal(out[0].piece, 3);
    assert_int_equal(out[0].begin, WIRE_BLOCK_LEN);
    assert_int_equal(out[2].piece, 3);
    assert_int_not_equal(out[3].piece, 3);
    /* Priority before that. */
    picker_set_priority(v.k, 11, PICKER_FIRST);
    assert_int_equal(pick_one(&v, &peer), 11);
    view_release(&v);
}

static void what_is_skipped_is_never_picked(void **state)
{
    struct swarm_view v = view_new(70, 1, 1);
    struct pick_peer peer = seed_n(1, FAST_BPS);
    struct wire_block out[70];
    (void)state;
    for (uint32_t i = 0; i < 70; i++) {
        picker_set_priority(v.k, i, i % 7 == 0 ? 1 + (uint8_t)(i / 7 % 7) : PICKER_SKIP);
    }
    assert_int_equal(picker_n_wanted(v.k), 10);
    assert_int_equal(pick(&v, &peer, out, 70), 10);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(out[i].piece % 7, 0);
        assert_true(i == 0 ||
                    picker_priority(v.k, out[i].piece) <= picker_priority(v.k, out[i - 1].piece));
    }
    /* A piece under way that is not wanted any more is left alone. */
    give_back(&v, out, 10);
    pieces_start(v.p, 5, 0);
    for (uint32_t i = 0; i < 70; i++) {
        picker_set_priority(v.k, i, PICKER_SKIP);
    }
    assert_int_equal(pick(&v, &peer, out, 70), 0);
    assert_false(picker_is_interesting(v.k, SPAN(""), true));
    picker_set_priority(v.k, 5, PICKER_NORMAL);
    assert_int_equal(pick(&v, &peer, out, 70), 1);
    view_release(&v);
}

/* ---- commandment 2 --------------------------------------------------------------------------- */

static void sequential_order(void **state)
{
    struct swarm_view v = view_new(200, 2, 1);
    struct pick_peer peer = seed_n(1, FAST_BPS);
    struct wire_block out[500];
    (void)state;
    picker_set_sequential(v.k, true);
    for (uint32_t i = 0; i < 66; i++) {
        view_have(&v, i);
    }
    picker_set_priority(v.k, 199, PICKER_FIRST); /* an end of a file */
    picker_set_priority(v.k, 68, PICKER_SKIP);
    size_t n = pick(&v, &peer, out, 500);
    assert_int_equal(n, 2 * 133);
    assert_int_equal(out[0].piece, 199);
    assert_int_equal(out[2].piece, 66);
    for (size_t i = 3; i < n; i++) {
        assert_true(out[i].piece > out[i - 1].piece ||
                    (out[i].piece == out[i - 1].piece && out[i].begin > out[i - 1].begin));
    }
    /* The lowest piece under way before the most complete. */
    pieces_give_back(v.p, &out[2 + 2 * 30]);
    pieces_give_back(v.p, &out[3]);
    assert_int_equal(pick_one(&v, &peer), 66);
    /* What is lost is wanted again, in its place. */
    give_back(&v, out, n);
    pieces_set(v.p, 2, false);
    picker_on_lost(v.k, 2);
    picker_set_priority(v.k, 199, PICKER_NORMAL);
    struct wire_block b[3];
    assert_int_equal(pick(&v, &peer, b, 3), 3);
    assert_true(b[1].piece == 2 || b[0].piece == 2);
    view_release(&v);
}

/* ---- commandment 3 --------------------------------------------------------------------------- */

static void a_fast_peer_has_pieces_of_its_own(void **state)
{
    struct swarm_view v = view_new(20, 8, 1);
    struct pick_peer fast = seed_n(1, FAST_BPS);
    struct pick_peer other = seed_n(2, FAST_BPS);
    struct pick_peer slow = seed_n(3, SLOW_BPS);
    struct wire_block out[8];
    struct wire_block slow_out[4];
    struct wire_block rest[500];
    (void)state;
    view_skip_random_first(&v);
    assert_int_equal(pick(&v, &fast, out, 3), 3);
    uint32_t own = out[0].piece;
    assert_int_equal(out[2].piece, own);
    uint32_t others = pick_one(&v, &other);
    assert_int_not_equal(others, own);
    assert_int_equal(pick(&v, &slow, slow_out, 4), 4);
    assert_int_not_equal(slow_out[0].piece, own);
    assert_int_equal(slow_out[3].piece, slow_out[0].piece);
    assert_int_equal(pick_one(&v, &fast), own); /* goes on with it */
    /* Others join when nothing else is left. */
    size_t n = pick(&v, &slow, rest, 500);
    assert_int_equal(n, 16 * 8 - 9);
    for (size_t i = 0; i < n; i++) {
        bool owned = rest[i].piece == own || rest[i].piece == others;
        assert_int_equal(owned, i >= n - 4 - 7);
    }
    view_release(&v);
}

static void what_a_fast_peer_leaves_is_common(void **state)
{
    struct swarm_view v = view_new(20, 8, 1);
    struct pick_peer fast = seed_n(1, FAST_BPS);
    struct pick_peer slow = seed_n(3, SLOW_BPS);
    struct wire_block out[4];
    (void)state;
    view_skip_random_first(&v);
    assert_int_equal(pick(&v, &fast, out, 4), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(view_deliver(&v, &out[i], 1), PIECES_TAKEN);
    }
    /* It owes nothing now. */
    assert_int_equal(pick_one(&v, &slow), out[0].piece);
    assert_int_equal(pieces_partial(v.p, out[0].piece)->owner, 0);
    view_release(&v);
}

/* ---- commandment 4 --------------------------------------------------------------------------- */

static void end_game(void **state)
{
    struct swarm_view v = view_new(8, 3, 1);
    struct wire_block first[12];
    struct wire_block b;
    uint32_t asked[2][3] = {{0}};
    (void)state;
    for (uint32_t i = 0; i < 6; i++) {
        view_have(&v, i);
    }
    struct pick_peer peer = seed_n(1, SLOW_BPS);
    assert_int_equal(pick(&v, &peer, first, 5), 5);
    struct pick_peer busy = seed_n(2, SLOW_BPS);
    busy.pending = first;
    busy.n_pending = 1;
    assert_int_equal(pick(&v, &busy, &b, 1), 1); /* the last one that is free */
    first[5] = b;
    assert_int_equal(pick(&v, &busy, &b, 1), 0); /* not idle */
    for (conn_id id = 3; id < 3 + 6 * (PICKER_END_GAME_ASKERS - 1); id++) {
        struct pick_peer idle = seed_n(id, SLOW_BPS);
        struct wire_block some[4];
        assert_int_equal(pick(&v, &idle, some, 4), 1);
        asked[some[0].piece - 6][some[0].begin / WIRE_BLOCK_LEN]++;
        /* Evenly: those with the fewest askers first. */
        for (size_t i = 0; i < 6; i++) {
            uint32_t fewest = (uint32_t)(id - 3) / 6;
            assert_in_range(asked[i / 3][i % 3], fewest, fewest + 1);
        }
    }
    peer = seed_n(99, FAST_BPS);
    assert_int_equal(pick(&v, &peer, &b, 1), 0); /* enough */
    /* It is over as soon as somebody gives up. */
    for (size_t i = 0; i < PICKER_END_GAME_ASKERS; i++) {
        pieces_give_back(v.p, &first[0]);
    }
    uint8_t other_piece = (uint8_t)(first[0].piece == 6 ? 0x01 : 0x02);
    struct pick_peer partial = {.id = 50, .bitfield = {&other_piece, 1}};
    assert_int_equal(pick(&v, &partial, &b, 1), 0);
    assert_int_equal(pick(&v, &peer, &b, 1), 1);
    assert_int_equal(b.begin, first[0].begin);
    view_release(&v);
}

/* ---- commandment 5 --------------------------------------------------------------------------- */

static void a_peer_on_parole_mixes_with_nobody(void **state)
{
    struct swarm_view v = view_new(20, 4, 1);
    struct pick_peer parole = seed_n(1, SLOW_BPS);
    struct pick_peer slow = seed_n(2, SLOW_BPS);
    struct wire_block out[80];
    parole.parole = true;
    (void)state;
    view_skip_random_first(&v);
    uint32_t common = pick_one(&v, &slow);
    assert_int_equal(pick(&v, &parole, out, 6), 6);
    uint32_t own = out[0].piece;
    assert_int_not_equal(own, common);
    assert_int_not_equal(out[5].piece, common);
    assert_int_equal(pieces_partial(v.p, own)->exclusive, 1);
    uint32_t second = out[5].piece;
    assert_int_equal(pick(&v, &parole, out + 6, 1), 1);
    assert_int_equal(out[6].piece, second);
    /* Nobody else is asked for its piece, not even at the end. */
    size_t n = pick(&v, &slow, out + 7, 80 - 7);
    assert_int_equal(n, 14 * 4 - 1);
    for (size_t i = 0; i < n; i++) {
        assert_true(out[7 + i].piece != own && out[7 + i].piece != second);
    }
    /* When it gives up, anybody may finish what it began. */
    give_back(&v, out, 7);
    assert_int_equal(pick(&v, &slow, out, 80), 8);
    view_release(&v);
}

/* A swarm of suspects ends all the same. */
static void the_last_pieces_are_shared_even_on_parole(void **state)
{
    struct swarm_view v = view_new(6, 4, 1);
    struct pick_peer slow = seed_n(2, SLOW_BPS);
    struct pick_peer parole = seed_n(1, SLOW_BPS);
    struct wire_block out[24];
    parole.parole = true;
    (void)state;
    assert_int_equal(pick(&v, &slow, out, 22), 22);
    assert_int_equal(pick(&v, &parole, out + 22, 24), 2);
    view_release(&v);
}

/* ---- choked ---------------------------------------------------------------------------------- */

static void a_peer_that_chokes_gives_allowed_fast_pieces(void **state)
{
    struct swarm_view v = view_new(20, 2, 1);
    static const uint32_t fast[] = {4, 20, UINT32_MAX, 9, 7, 4};
    uint8_t bits[3] = {0x0d, 0xff, 0xf0}; /* not 0..3, not 6; 7 it has */
    struct pick_peer peer = {.id = 1, .bitfield = {bits, 3}, .choked = true};
    struct wire_block out[16];
    (void)state;
    assert_int_equal(pick(&v, &peer, out, 16), 0);
    peer.fast = fast;
    peer.n_fast = sizeof fast / sizeof fast[0];
    view_have(&v, 9);
    assert_int_equal(pick(&v, &peer, out, 3), 3);
    assert_int_equal(out[0].piece, 4);
    assert_int_equal(out[1].piece, 4);
    assert_int_equal(out[2].piece, 7);
    assert_int_equal(pick(&v, &peer, out, 16), 1);
    assert_int_equal(out[0].piece, 7);
    assert_int_equal(pick(&v, &peer, out, 16), 0);
    view_release(&v);
}

/* ---- what peers have ------------------------------------------------------------------------- */

static void interest(void **state)
{
    struct swarm_view v = view_new(130, 1, 1);
    uint8_t bits[17] = {0};
    struct span bitfield = {bits, sizeof bits};
    (void)state;
    assert_false(picker_is_interesting(v.k, bitfield, false));
    assert_true(picker_is_interesting(v.k, bitfield, true));
    bits_set(bits, 129);
    assert_true(picker_is_interesting(v.k, bitfield, false));
    view_have(&v, 129);
    assert_false(picker_is_interesting(v.k, bitfield, false));
    bits_set(bits, 64);
    assert_true(picker_is_interesting(v.k, bitfield, false));
    picker_set_priority(v.k, 64, PICKER_SKIP);
    assert_false(picker_is_interesting(v.k, bitfield, false));
    pieces_set(v.p, 129, false);
    picker_on_lost(v.k, 129);
    assert_true(picker_is_interesting(v.k, bitfield, false));
    view_release(&v);
}

static void copies_among_the_peers(void **state)
{
    struct swarm_view v = view_new(4, 1, 1);
    uint8_t three = 0xe0;
    (void)state;
    assert_true(picker_copies(v.k) == 0);
    picker_add_seed(v.k);
    assert_true(picker_copies(v.k) == 1);
    picker_add_peer(v.k, span_of(&three, 1));
    assert_true(picker_copies(v.k) == 1.75);
    assert_int_equal(picker_availability(v.k, 0), 2);
    assert_int_equal(picker_availability(v.k, 3), 1);
    picker_peer_has(v.k, 3);
    assert_true(picker_copies(v.k) == 2);
    picker_remove_seed(v.k);
    picker_remove_peer(v.k, span_of(&three, 1));
    assert_true(picker_copies(v.k) == 0.25);
    picker_peer_lost(v.k, 3);
    assert_true(picker_copies(v.k) == 0);
    view_release(&v);
}

/* A peer with little, in a torrent where nearly all that is rarer is what it has not. */
static void the_rarest_of_the_little_that_a_peer_has(void **state)
{
    enum { N = 30000 };
    struct swarm_view v = view_new(N, 1, 1);
    static uint8_t bits[(N + 7) / 8];
    struct wire_block out[64];
    (void)state;
    view_skip_random_first(&v);
    memset(bits, 0, sizeof bits);
    for (uint32_t i = 0; i < 40; i++) {
        uint32_t piece = i * 700 + 13;
        bits_set(bits, piece);
        for (uint32_t n = 0; n < 1 + i * 7 % 40; n++) {
            picker_peer_has(v.k, piece);
        }
    }
    struct pick_peer peer = {.id = 1, .bitfield = {bits, sizeof bits}};
    for (int snubbing = 0; snubbing < 2; snubbing++) {
        peer.snubbing = snubbing;
        assert_int_equal(pick(&v, &peer, out, 64), 40);
        for (size_t i = 1; i < 40; i++) {
            uint32_t before = picker_availability(v.k, out[i - 1].piece);
            uint32_t now = picker_availability(v.k, out[i].piece);
            assert_true(snubbing ? before > now : before < now);
        }
        give_back(&v, out, 40);
    }
    view_release(&v);
}

/* ---- the naive model ------------------------------------------------------------------------- */

enum { MODEL_N = 150, MODEL_PEERS = 12, MODEL_BYTES = (MODEL_N + 7) / 8 };

struct model {
    struct swarm_view v;
    struct rng rng;
    uint8_t bits[MODEL_PEERS][MODEL_BYTES];
    bool connected[MODEL_PEERS];
};

static uint32_t model_avail(const struct model *m, uint32_t piece)
{
    uint32_t n = 0;
    for (size_t i = 0; i < MODEL_PEERS; i++) {
        n += m->connected[i] && bits_has(m->bits[i], piece);
    }
    return n;
}

/* The priority, then the availability of the best choices; false: nothing to choose. */
static bool model_best(const struct model *m, const struct pick_peer *peer, uint8_t *priority,
                       uint32_t *avail)
{
    *priority = 0;
    for (uint32_t i = 0; i < MODEL_N; i++) {
        uint8_t own = picker_priority(m->v.k, i);
        uint32_t n = model_avail(m, i);
        if (pieces_has(m->v.p, i) || own < *priority || own == PICKER_SKIP ||
            !bits_has(peer->bitfield.p, i)) {
            continue;
        }
        if (own > *priority || (peer->snubbing ? n > *avail : n < *avail)) {
            *priority = own;
            *avail = n;
        }
    }
    return *priority > 0;
}

static void model_pick(struct model *m)
{
    struct pick_peer peer = {.id = 1, .snubbing = rng_below(&m->rng, 4) == 0};
    struct wire_block b;
    uint8_t priority;
    uint32_t avail;
    size_t who = rng_below(&m->rng, MODEL_PEERS);
    peer.bitfield = span_of(m->bits[who], MODEL_BYTES);
    bool some = model_best(m, &peer, &priority, &avail);
    assert_int_equal(picker_is_interesting(m->v.k, peer.bitfield, false), some);
    assert_int_equal(pick(&m->v, &peer, &b, 1), some);
    if (some) {
        assert_true(bits_has(m->bits[who], b.piece));
        assert_int_equal(picker_priority(m->v.k, b.piece), priority);
        assert_int_equal(model_avail(m, b.piece), avail);
        pieces_give_back(m->v.p, &b);
    }
}

static void model_connect(struct model *m, size_t who)
{
    struct span bitfield = span_of(m->bits[who], MODEL_BYTES);
    if (m->connected[who]) {
        picker_remove_peer(m->v.k, bitfield);
    } else {
        uint32_t one_in = 1 + rng_below(&m->rng, 40);
        memset(m->bits[who], 0, MODEL_BYTES);
        for (uint32_t i = 0; i < MODEL_N; i++) {
            if (rng_below(&m->rng, one_in) == 0) {
                bits_set(m->bits[who], i);
            }
        }
        picker_add_peer(m->v.k, bitfield);
    }
    m->connected[who] = !m->connected[who];
}

static void model_step(struct model *m)
{
    uint32_t piece = rng_below(&m->rng, MODEL_N - PICKER_RANDOM_FIRST);
    size_t who = rng_below(&m->rng, MODEL_PEERS);
    bool has = bits_has(m->bits[who], piece);
    switch (rng_below(&m->rng, 24)) {
    case 0:
        model_connect(m, who);
        break;
    case 1:
        picker_set_priority(m->v.k, piece, (uint8_t)rng_below(&m->rng, 8));
        break;
    case 2:
        view_have(&m->v, piece);
        break;
    case 3:
        pieces_set(m->v.p, piece, false);
        picker_on_lost(m->v.k, piece);
        break;
    default:
        if (m->connected[who]) {
            m->bits[who][piece / 8] ^= (uint8_t)(0x80 >> piece % 8);
            (has ? picker_peer_lost : picker_peer_has)(m->v.k, piece);
        }
        break;
    }
}

static void always_the_rarest_of_the_highest_priority(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct model m = {.v = view_new(MODEL_N, 1, seed), .rng = {seed}};
        view_skip_random_first(&m.v);
        for (int step = 0; step < 3000; step++) {
            model_step(&m);
            if (step % 3 == 0) {
                model_pick(&m);
            }
        }
        uint32_t n_wanted = 0;
        for (uint32_t i = 0; i < MODEL_N; i++) {
            n_wanted += !pieces_has(m.v.p, i) && picker_priority(m.v.k, i) > 0;
            assert_int_equal(picker_availability(m.v.k, i), model_avail(&m, i));
        }
        assert_int_equal(picker_n_wanted(m.v.k), n_wanted);
        view_release(&m.v);
    }
}

static int start(void **state)
{
    (void)state;
    return digest_start();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_pieces_are_random),
        cmocka_unit_test(rarity_and_random_ties),
        cmocka_unit_test(ties_stay_random_as_haves_come),
        cmocka_unit_test(what_is_under_way_comes_first_and_the_most_complete_of_it),
        cmocka_unit_test(what_is_skipped_is_never_picked),
        cmocka_unit_test(sequential_order),
        cmocka_unit_test(a_fast_peer_has_pieces_of_its_own),
        cmocka_unit_test(what_a_fast_peer_leaves_is_common),
        cmocka_unit_test(end_game),
        cmocka_unit_test(a_peer_on_parole_mixes_with_nobody),
        cmocka_unit_test(the_last_pieces_are_shared_even_on_parole),
        cmocka_unit_test(a_peer_that_chokes_gives_allowed_fast_pieces),
        cmocka_unit_test(interest),
        cmocka_unit_test(copies_among_the_peers),
        cmocka_unit_test(the_rarest_of_the_little_that_a_peer_has),
        cmocka_unit_test(always_the_rarest_of_the_highest_priority),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
