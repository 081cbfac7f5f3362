/* Whole downloads: peers with random bitfields that come, go, choke, snub and lose their way. It
 * always ends complete, no peer is asked for what it has not, nothing is asked twice outside the
 * end game, and everything that was asked is settled. */
#include "unit/client/picker_fixture.h"

#include "base/banned.h"

enum { N_PEERS = 16, N_PIECES = 300, DEPTH_MAX = 24, BYTES = (N_PIECES + 7) / 8 };

struct sim_peer {
    conn_id id;
    uint8_t bits[BYTES];
    bool seed;
    bool connected;
    bool choked;
    bool snubbing;
    bool parole;
    uint64_t down_bps;
    uint32_t fast[4];
    struct wire_block pending[DEPTH_MAX];
    size_t n_pending;
};

struct sim {
    struct swarm_view v;
    struct rng rng;
    conn_id last_id;
    struct sim_peer peers[N_PEERS];
    size_t n_twice;
};

static bool sim_has(const struct sim_peer *peer, uint32_t piece)
{
    return peer->seed || bits_has(peer->bits, piece);
}

static void settle_all(struct sim *s, struct sim_peer *peer)
{
    while (peer->n_pending > 0) {
        pieces_give_back(s->v.p, &peer->pending[--peer->n_pending]);
    }
}

static void connect_peer(struct sim *s, struct sim_peer *peer)
{
    *peer = (struct sim_peer){.id = ++s->last_id, .connected = true};
    uint32_t share = rng_below(&s->rng, 5); /* 4: a seed */
    peer->seed = share == 4;
    for (uint32_t i = 0; i < N_PIECES; i++) {
        if (rng_below(&s->rng, 4) < share && !peer->seed) {
            bits_set(peer->bits, i);
        }
    }
    peer->down_bps = rng_below(&s->rng, 2) == 0 ? FAST_BPS : SLOW_BPS;
    for (size_t i = 0; i < 4; i++) {
        peer->fast[i] = rng_below(&s->rng, N_PIECES);
    }
    if (peer->seed) {
        picker_add_seed(s->v.k);
    } else {
        picker_add_peer(s->v.k, span_of(peer->bits, BYTES));
    }
}

static void leave(struct sim *s, struct sim_peer *peer)
{
    settle_all(s, peer);
    if (peer->seed) {
        picker_remove_seed(s->v.k);
    } else {
        picker_remove_peer(s->v.k, span_of(peer->bits, BYTES));
    }
    peer->connected = false;
}

/* Is every block of what is wanted asked for, looked at one by one? */
static bool all_asked(const struct sim *s)
{
    for (uint32_t piece = 0; piece < N_PIECES; piece++) {
        for (uint32_t b = 0; b < s->v.n_blocks; b++) {
            if (!pieces_has(s->v.p, piece) && picker_priority(s->v.k, piece) > 0 &&
                pieces_block_state(s->v.p, piece, b) == BLOCK_FREE) {
                return false;
            }
        }
    }
    return true;
}

static void check_asked(struct sim *s, const struct sim_peer *peer, const struct wire_block *b,
                        bool idle)
{
    uint32_t askers = pieces_block_askers(s->v.p, b->piece, b->begin / WIRE_BLOCK_LEN);
    assert_int_equal(pieces_block_state(s->v.p, b->piece, b->begin / WIRE_BLOCK_LEN),
                     BLOCK_REQUESTED);
    assert_true(sim_has(peer, b->piece));
    assert_true(picker_priority(s->v.k, b->piece) > 0);
    assert_in_range(askers, 1, PICKER_END_GAME_ASKERS);
    uint32_t n = 0;
    for (size_t i = 0; i < N_PEERS; i++) {
        const struct sim_peer *other = &s->peers[i];
        for (size_t j = 0; j < other->n_pending; j++) {
            n += memcmp(&other->pending[j], b, sizeof *b) == 0;
        }
    }
    assert_int_equal(n + 1, askers); /* every asker is known, this one is not yet */
    if (askers > 1) {
        assert_true(idle && all_asked(s));
        s->n_twice++;
    }
    if (peer->choked) {
        assert_true(b->piece == peer->fast[0] || b->piece == peer->fast[1] ||
                    b->piece == peer->fast[2] || b->piece == peer->fast[3]);
    }
}

static void ask(struct sim *s, struct sim_peer *peer)
{
    struct wire_block out[DEPTH_MAX];
    struct pick_peer view = {
        .id = peer->id,
        .bitfield = {peer->bits, BYTES},
        .seed = peer->seed,
        .snubbing = peer->snubbing,
        .parole = peer->parole,
        .choked = peer->choked,
        .fast = peer->fast,
        .n_fast = 4,
        .down_bps = peer->down_bps,
        .pending = peer->pending,
        .n_pending = peer->n_pending,
    };
    size_t cap = peer->snubbing ? 1 : DEPTH_MAX;
    size_t n =
        cap <= peer->n_pending ? 0 : picker_pick(s->v.k, s->v.p, &view, out, cap - peer->n_pending);
    bool idle = peer->n_pending == 0;
    assert_true(n <= cap);
    for (size_t i = 0; i < n; i++) {
        check_asked(s, peer, &out[i], idle && n == 1);
    }
    memcpy(peer->pending + peer->n_pending, out, n * sizeof *out);
    peer->n_pending += n;
}

/* One of its blocks comes; in the end game the others are told to forget it. */
static void answer(struct sim *s, struct sim_peer *peer)
{
    size_t at = rng_below(&s->rng, (uint32_t)peer->n_pending);
    struct wire_block b = peer->pending[at];
    peer->pending[at] = peer->pending[--peer->n_pending];
    enum pieces_result result = view_deliver(&s->v, &b, peer->id);
    assert_true(result == PIECES_TAKEN || result == PIECES_GOOD);
    for (size_t i = 0; i < N_PEERS; i++) {
        struct sim_peer *other = &s->peers[i];
        for (size_t j = 0; j < other->n_pending; j++) {
            if (memcmp(&other->pending[j], &b, sizeof b) == 0) {
                other->pending[j--] = other->pending[--other->n_pending];
                pieces_give_back(s->v.p, &b);
            }
        }
    }
}

static void finds_a_piece(struct sim *s, struct sim_peer *peer)
{
    uint32_t piece = rng_below(&s->rng, N_PIECES);
    if (!sim_has(peer, piece)) {
        bits_set(peer->bits, piece);
        picker_peer_has(s->v.k, piece);
    }
}

static void step(struct sim *s)
{
    struct sim_peer *peer = &s->peers[rng_below(&s->rng, N_PEERS)];
    uint32_t what = rng_below(&s->rng, 200);
    if (!peer->connected) {
        connect_peer(s, peer);
    } else if (what == 0) {
        leave(s, peer);
    } else if (what == 1) {
        peer->choked = !peer->choked;
        settle_all(s, peer);
    } else if (what == 2) {
        peer->snubbing = !peer->snubbing;
    } else if (what == 3) {
        peer->parole = !peer->parole;
    } else if (what == 4) {
        picker_set_priority(s->v.k, rng_below(&s->rng, N_PIECES), (uint8_t)rng_below(&s->rng, 8));
    } else if (what < 20) {
        finds_a_piece(s, peer);
    } else if (what < 60 || peer->n_pending == 0) {
        ask(s, peer);
    } else {
        answer(s, peer);
    }
}

static void download(uint64_t seed, size_t *n_twice)
{
    struct sim s = {.v = view_new(N_PIECES, 1 + (uint32_t)seed % 5, seed), .rng = {seed}};
    int steps = 0;
    picker_set_sequential(s.v.k, seed % 4 == 0);
    while (picker_n_wanted(s.v.k) > 0) {
        assert_true(++steps < 200000);
        step(&s);
    }
    for (uint32_t i = 0; i < N_PIECES; i++) {
        assert_true(pieces_has(s.v.p, i) || picker_priority(s.v.k, i) == PICKER_SKIP);
    }
    for (size_t i = 0; i < N_PEERS; i++) {
        if (s.peers[i].connected) {
            leave(&s, &s.peers[i]);
        }
    }
    /* Only what came for pieces that were skipped later is left. */
    for (size_t i = 0; i < pieces_n_partials(s.v.p); i++) {
        const struct piece_partial *v = pieces_partial_at(s.v.p, i);
        assert_int_equal(picker_priority(s.v.k, v->piece), PICKER_SKIP);
        assert_int_equal(v->n_requested, 0);
        assert_true(v->n_free < v->n_blocks);
    }
    for (uint32_t i = 0; i < N_PIECES; i++) {
        assert_int_equal(picker_availability(s.v.k, i), 0);
    }
    *n_twice += s.n_twice;
    view_release(&s.v);
}

static void every_download_ends(void **state)
{
    size_t n_twice = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        download(seed, &n_twice);
    }
    assert_true(n_twice > 0); /* there were end games */
}

static int start(void **state)
{
    (void)state;
    return digest_start();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_download_ends),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
