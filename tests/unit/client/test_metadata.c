#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/mem.h"
#include "base/rng.h"
#include "client/metadata.h"

#include "base/banned.h"

enum {
    SIZE = 5 * EXT_METADATA_PIECE_LEN + 100,
    N_PIECES = 6,
};

/* A dictionary, another one of another size, and what gathers it. */
struct fixture {
    uint8_t dict[SIZE];
    struct infohash hash;
    struct metadata *m;
    uint64_t now_ms;
};

static int start(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    struct rng rng = {.state = 7};
    for (size_t i = 0; i < sizeof f->dict; i++) {
        f->dict[i] = (uint8_t)rng_next(&rng);
    }
    digest_sha1(f->hash.b, span_of(f->dict, sizeof f->dict));
    f->m = metadata_new(&f->hash);
    f->now_ms = 1000;
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;
    metadata_free(f->m);
    free(f);
    return 0;
}

static struct span part(const struct fixture *f, uint32_t piece)
{
    return span_sub(span_of(f->dict, SIZE), (size_t)piece * EXT_METADATA_PIECE_LEN,
                    EXT_METADATA_PIECE_LEN);
}

static enum metadata_result give(struct fixture *f, conn_id peer, uint32_t piece)
{
    return metadata_on_data(f->m, peer, piece, SIZE, part(f, piece));
}

static enum metadata_result give_wrong(struct fixture *f, conn_id peer, uint32_t piece)
{
    uint8_t bytes[EXT_METADATA_PIECE_LEN] = {0};
    return metadata_on_data(f->m, peer, piece, SIZE, span_of(bytes, part(f, piece).n));
}

static bool asks(struct fixture *f, conn_id peer, uint32_t *piece)
{
    return metadata_next_request(f->m, peer, f->now_ms, piece);
}

static void assert_asks(struct fixture *f, conn_id peer, uint32_t expected)
{
    uint32_t piece = UINT32_MAX;
    assert_true(asks(f, peer, &piece));
    assert_int_equal(piece, expected);
}

static void assert_asks_nothing(struct fixture *f, conn_id peer)
{
    uint32_t piece;
    assert_false(asks(f, peer, &piece));
}

static void assert_progress(const struct fixture *f, uint32_t have, uint32_t of)
{
    uint32_t n_have, n_pieces;
    metadata_progress(f->m, &n_have, &n_pieces);
    assert_int_equal(n_have, have);
    assert_int_equal(n_pieces, of);
}

static void assert_done(struct fixture *f)
{
    size_t len;
    uint32_t piece;
    assert_progress(f, N_PIECES, N_PIECES);
    assert_int_equal(metadata_deadline_ms(f->m), UINT64_MAX);
    metadata_on_peer(f->m, 99, SIZE);
    assert_false(metadata_next_request(f->m, 99, f->now_ms, &piece));
    uint8_t *bytes = metadata_take(f->m, &len);
    assert_int_equal(len, SIZE);
    assert_memory_equal(bytes, f->dict, SIZE);
    free(bytes);
}

/* All that the peer is asked for from now on; the last result. */
static enum metadata_result give_all(struct fixture *f, conn_id peer)
{
    enum metadata_result result = METADATA_MORE;
    uint32_t piece;
    while (asks(f, peer, &piece)) {
        result = give(f, peer, piece);
    }
    return result;
}

static void test_from_two_peers(void **state)
{
    struct fixture *f = *state;
    assert_progress(f, 0, 0);
    assert_asks_nothing(f, 1);
    assert_int_equal(metadata_deadline_ms(f->m), UINT64_MAX);
    metadata_on_peer(f->m, 1, SIZE);
    metadata_on_peer(f->m, 2, SIZE);
    assert_progress(f, 0, N_PIECES);
    assert_asks(f, 1, 0);
    assert_asks(f, 1, 1);
    assert_asks_nothing(f, 1); /* METADATA_ASKED_MAX */
    assert_asks(f, 2, 2);
    assert_asks(f, 2, 3);
    assert_int_equal(give(f, 2, 3), METADATA_MORE);
    assert_asks(f, 2, 4);
    assert_int_equal(give(f, 1, 1), METADATA_MORE);
    assert_asks(f, 1, 5);
    assert_progress(f, 2, N_PIECES);
    assert_int_equal(give(f, 1, 5), METADATA_MORE);
    assert_asks_nothing(f, 1);
    assert_int_equal(give(f, 1, 0), METADATA_MORE);
    assert_int_equal(give(f, 2, 4), METADATA_MORE);
    assert_int_equal(give(f, 2, 2), METADATA_DONE);
    assert_done(f);
}

static void test_done_and_never_taken(void **state)
{
    struct fixture *f = *state;
    metadata_on_peer(f->m, 1, SIZE);
    assert_int_equal(give_all(f, 1), METADATA_DONE);
    assert_int_equal(give(f, 1, 0), METADATA_UNEXPECTED);
    metadata_on_reject(f->m, 1, 0, f->now_ms);
    metadata_on_gone(f->m, 1);
}

static void test_not_asked_for(void **state)
{
    struct fixture *f = *state;
    metadata_on_peer(f->m, 1, SIZE);
    metadata_on_peer(f->m, 2, SIZE);
    assert_int_equal(give(f, 1, 0), METADATA_UNEXPECTED);
    assert_int_equal(give(f, 3, 0), METADATA_UNEXPECTED);
    assert_asks(f, 1, 0);
    assert_int_equal(give(f, 2, 0), METADATA_UNEXPECTED);
    assert_int_equal(give(f, 1, 1), METADATA_UNEXPECTED);
    assert_progress(f, 0, N_PIECES);
    assert_int_equal(give(f, 1, 0), METADATA_MORE);
    assert_int_equal(give(f, 1, 0), METADATA_UNEXPECTED);
    assert_progress(f, 1, N_PIECES);
}

/* What is not as long as agreed is not taken, and who sends it is not asked again. */
static void test_not_as_agreed(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint32_t total_size;
        size_t len;
    } rows[] = {
        {SIZE + 1, EXT_METADATA_PIECE_LEN}, {SIZE, EXT_METADATA_PIECE_LEN - 1},  {SIZE, 0}, {0, 0},
        {0, EXT_METADATA_PIECE_LEN},        {UINT32_MAX, EXT_METADATA_PIECE_LEN}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        conn_id peer = 1 + i;
        metadata_on_peer(f->m, peer, SIZE);
        assert_asks(f, peer, 0);
        assert_int_equal(metadata_on_data(f->m, peer, 0, rows[i].total_size,
                                          span_sub(span_of(f->dict, SIZE), 0, rows[i].len)),
                         METADATA_UNEXPECTED);
        assert_asks_nothing(f, peer);
        metadata_on_peer(f->m, peer, SIZE); /* the same claim again is no news */
        assert_asks_nothing(f, peer);
    }
    assert_progress(f, 0, N_PIECES);
    metadata_on_peer(f->m, 100, SIZE);
    assert_int_equal(give_all(f, 100), METADATA_DONE);
    assert_done(f);
}

static void test_reject_rests(void **state)
{
    struct fixture *f = *state;
    metadata_on_peer(f->m, 1, SIZE);
    metadata_on_peer(f->m, 2, SIZE);
    assert_asks(f, 1, 0);
    assert_asks(f, 1, 1);
    metadata_on_reject(f->m, 1, 5, f->now_ms); /* never asked: nothing */
    assert_asks(f, 2, 2);
    metadata_on_reject(f->m, 1, 0, f->now_ms);
    assert_asks_nothing(f, 1);
    assert_asks(f, 2, 0); /* free again */
    assert_int_equal(metadata_deadline_ms(f->m), f->now_ms + METADATA_TIMEOUT_MS);
    assert_int_equal(give(f, 2, 0), METADATA_MORE);
    assert_int_equal(give(f, 2, 2), METADATA_MORE);
    assert_int_equal(metadata_deadline_ms(f->m), f->now_ms + METADATA_PAUSE_MS);
    f->now_ms += METADATA_PAUSE_MS - 1;
    metadata_on_deadline(f->m, f->now_ms);
    assert_asks_nothing(f, 1);
    f->now_ms++;
    metadata_on_deadline(f->m, f->now_ms);
    assert_asks(f, 1, 1);
}

static void test_silence_gives_to_others(void **state)
{
    struct fixture *f = *state;
    metadata_on_peer(f->m, 1, SIZE);
    metadata_on_peer(f->m, 2, SIZE);
    assert_asks(f, 1, 0);
    f->now_ms += 1000;
    assert_asks(f, 1, 1);
    f->now_ms += METADATA_TIMEOUT_MS - 1001;
    metadata_on_deadline(f->m, f->now_ms);
    assert_asks(f, 2, 2);
    f->now_ms++;
    assert_int_equal(metadata_deadline_ms(f->m), f->now_ms);
    metadata_on_deadline(f->m, f->now_ms);
    assert_int_equal(give(f, 1, 0), METADATA_UNEXPECTED); /* too late */
    assert_asks_nothing(f, 1);
    assert_asks(f, 2, 0);
    assert_int_equal(give(f, 2, 0), METADATA_MORE);
    assert_asks(f, 2, 1);
}

static void test_gone(void **state)
{
    struct fixture *f = *state;
    metadata_on_peer(f->m, 1, SIZE);
    metadata_on_peer(f->m, 2, SIZE);
    metadata_on_peer(f->m, 3, SIZE);
    assert_asks(f, 1, 0);
    assert_int_equal(give(f, 1, 0), METADATA_MORE);
    assert_asks(f, 1, 1);
    metadata_on_gone(f->m, 1);
    metadata_on_gone(f->m, 1);
    assert_progress(f, 1, N_PIECES); /* what it gave stays */
    assert_asks(f, 2, 1);
    assert_asks(f, 3, 2);
    metadata_on_gone(f->m, 3);
    metadata_on_gone(f->m, 2);
    assert_int_equal(metadata_deadline_ms(f->m), UINT64_MAX);
    metadata_on_peer(f->m, 4, SIZE);
    assert_int_equal(give_all(f, 4), METADATA_DONE);
    assert_done(f);
}

/* ---- sizes */

static void test_other_size_waits(void **state)
{
    struct fixture *f = *state;
    metadata_on_peer(f->m, 1, METADATA_LEN_MAX);
    assert_progress(f, 0, METADATA_LEN_MAX / EXT_METADATA_PIECE_LEN);
    metadata_on_peer(f->m, 2, SIZE);
    assert_asks(f, 1, 0);
    assert_asks_nothing(f, 2);
    f->now_ms += METADATA_TIMEOUT_MS;
    metadata_on_deadline(f->m, f->now_ms);
    assert_asks(f, 2, 0); /* whoever claims the other size is silent */
    assert_progress(f, 0, N_PIECES);
    assert_asks_nothing(f, 1);
    assert_int_equal(give(f, 2, 0), METADATA_MORE);
    assert_int_equal(give_all(f, 2), METADATA_DONE);
    assert_done(f);
}

static void test_size_of_most_peers(void **state)
{
    struct fixture *f = *state;
    metadata_on_peer(f->m, 1, 1000);
    metadata_on_peer(f->m, 2, SIZE);
    assert_asks_nothing(f, 2);
    metadata_on_peer(f->m, 3, SIZE);
    assert_asks(f, 1, 0);
    assert_asks(f, 3, 0);
    assert_progress(f, 0, N_PIECES);
    assert_asks_nothing(f, 1);
}

static void test_size_over_the_limit(void **state)
{
    struct fixture *f = *state;
    metadata_on_peer(f->m, 1, METADATA_LEN_MAX + 1);
    metadata_on_peer(f->m, 2, UINT32_MAX);
    assert_progress(f, 0, 0);
    assert_asks_nothing(f, 1);
    assert_asks_nothing(f, 2);
}

/* Nobody tells the size: the first piece does. */
static void test_size_from_the_first_piece(void **state)
{
    struct fixture *f = *state;
    metadata_on_peer(f->m, 1, 0);
    metadata_on_peer(f->m, 2, 0);
    assert_asks(f, 1, 0);
    assert_asks_nothing(f, 1);
    assert_asks_nothing(f, 2);
    metadata_on_reject(f->m, 1, 0, f->now_ms);
    assert_asks(f, 2, 0);
    assert_int_equal(metadata_on_data(f->m, 2, 0, UINT32_MAX, part(f, 0)), METADATA_UNEXPECTED);
    assert_asks_nothing(f, 2);
    metadata_on_peer(f->m, 3, 0);
    assert_asks(f, 3, 0);
    assert_int_equal(give(f, 3, 0), METADATA_MORE);
    assert_progress(f, 1, N_PIECES);
    assert_int_equal(give_all(f, 3), METADATA_DONE);
    assert_done(f);
}

/* Who made no claim makes one with what it sends. */
static void test_size_by_the_way(void **state)
{
    struct fixture *f = *state;
    metadata_on_peer(f->m, 1, 100);
    metadata_on_peer(f->m, 2, 0);
    assert_asks(f, 2, 0);
    assert_int_equal(give(f, 2, 0), METADATA_UNEXPECTED);
    assert_asks_nothing(f, 2);
    metadata_on_gone(f->m, 1);
    assert_int_equal(give_all(f, 2), METADATA_DONE);
    assert_done(f);
}

/* ---- lies */

static void test_one_liar(void **state)
{
    struct fixture *f = *state;
    conn_id liar;
    enum metadata_result result = METADATA_MORE;
    uint32_t piece;
    metadata_on_peer(f->m, 1, SIZE);
    while (asks(f, 1, &piece)) {
        result = give_wrong(f, 1, piece);
    }
    assert_int_equal(result, METADATA_BAD);
    assert_true(metadata_next_liar(f->m, &liar));
    assert_int_equal(liar, 1);
    assert_false(metadata_next_liar(f->m, &liar));
    assert_progress(f, 0, 0);
    metadata_on_peer(f->m, 2, SIZE);
    assert_int_equal(give_all(f, 2), METADATA_DONE);
    assert_done(f);
}

/* Nobody is blamed for a dictionary of two; then each gives all of it. */
static void test_one_of_two_lies(void **state)
{
    struct fixture *f = *state;
    conn_id liar;
    uint32_t piece;
    metadata_on_peer(f->m, 1, SIZE);
    metadata_on_peer(f->m, 2, SIZE);
    assert_asks(f, 1, 0);
    assert_int_equal(give_wrong(f, 1, 0), METADATA_MORE);
    assert_int_equal(give_all(f, 2), METADATA_BAD);
    assert_false(metadata_next_liar(f->m, &liar));
    assert_true(asks(f, 1, &piece)); /* who came first */
    assert_asks_nothing(f, 2);
    assert_int_equal(give_wrong(f, 1, piece), METADATA_MORE);
    enum metadata_result result = METADATA_MORE;
    while (result == METADATA_MORE && asks(f, 1, &piece)) {
        assert_asks_nothing(f, 2);
        result = give_wrong(f, 1, piece);
    }
    assert_int_equal(result, METADATA_BAD);
    assert_true(metadata_next_liar(f->m, &liar));
    assert_int_equal(liar, 1);
    assert_int_equal(give_all(f, 2), METADATA_DONE);
    assert_done(f);
}

/* What the one of this round has sent goes with it: the next one gives all. */
static void test_alone_and_gone(void **state)
{
    struct fixture *f = *state;
    conn_id liar;
    metadata_on_peer(f->m, 1, SIZE);
    metadata_on_peer(f->m, 2, SIZE);
    metadata_on_peer(f->m, 3, 0);
    metadata_on_peer(f->m, 4, SIZE);
    assert_asks(f, 1, 0);
    assert_int_equal(give_wrong(f, 1, 0), METADATA_MORE);
    assert_int_equal(give_all(f, 2), METADATA_BAD);
    assert_asks(f, 1, 0);
    assert_int_equal(give_wrong(f, 1, 0), METADATA_MORE);
    metadata_on_gone(f->m, 1);
    assert_progress(f, 0, 0);
    assert_asks(f, 2, 0); /* whose turn it is */
    assert_asks_nothing(f, 3);
    assert_asks_nothing(f, 4);
    metadata_on_reject(f->m, 2, 0, f->now_ms);
    assert_asks_nothing(f, 3);
    assert_asks(f, 4, 0);
    metadata_on_gone(f->m, 4);
    assert_asks(f, 3, 0); /* with no claim at all: last */
    assert_int_equal(give(f, 3, 0), METADATA_MORE);
    assert_int_equal(give_all(f, 3), METADATA_DONE);
    assert_false(metadata_next_liar(f->m, &liar));
    assert_done(f);
}

/* ---- property: with one honest peer that stays, it ends well whatever the others do */

enum { N_PEERS = 12, HONEST = N_PEERS };

static void act(struct fixture *f, struct rng *rng, conn_id peer, uint32_t piece)
{
    uint32_t what = rng_below(rng, 8);
    if (what < 3) {
        (void)give(f, peer, piece);
    } else if (what < 5) {
        (void)give_wrong(f, peer, piece);
    } else if (what == 5) {
        metadata_on_reject(f->m, peer, piece, f->now_ms);
    } else if (what == 6) {
        (void)metadata_on_data(f->m, peer, piece, rng_below(rng, 2 * SIZE),
                               span_of(f->dict, rng_below(rng, SIZE)));
    }
}

static bool play(struct fixture *f, struct rng *rng)
{
    uint32_t piece;
    conn_id liar;
    for (uint32_t round = 0; round < 5000; round++) {
        conn_id peer = 1 + rng_below(rng, N_PEERS);
        if (rng_below(rng, 4) == 0 && peer != HONEST) {
            metadata_on_peer(f->m, peer, rng_below(rng, 3) == 0 ? SIZE : rng_below(rng, 3 * SIZE));
        } else if (rng_below(rng, 16) == 0 && peer != HONEST) {
            metadata_on_gone(f->m, peer);
        }
        if (asks(f, peer, &piece)) {
            if (peer == HONEST) {
                (void)give(f, peer, piece);
            } else {
                act(f, rng, peer, piece);
            }
        }
        while (metadata_next_liar(f->m, &liar)) {
            assert_int_not_equal(liar, HONEST);
        }
        f->now_ms += rng_below(rng, 2000);
        if (metadata_deadline_ms(f->m) <= f->now_ms) {
            metadata_on_deadline(f->m, f->now_ms);
        }
        uint32_t n_have, n_pieces;
        metadata_progress(f->m, &n_have, &n_pieces);
        assert_true(n_have <= n_pieces);
        if (n_pieces == N_PIECES && n_have == N_PIECES) {
            return true;
        }
    }
    return false;
}

static void test_ends_well(void **state)
{
    struct fixture *f = *state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rng rng = {.state = seed};
        metadata_free(f->m);
        f->m = metadata_new(&f->hash);
        metadata_on_peer(f->m, HONEST, SIZE);
        if (!play(f, &rng)) {
            fail_msg("seed %llu does not end", (unsigned long long)seed);
        }
        assert_done(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_from_two_peers, start, end),
        cmocka_unit_test_setup_teardown(test_done_and_never_taken, start, end),
        cmocka_unit_test_setup_teardown(test_not_asked_for, start, end),
        cmocka_unit_test_setup_teardown(test_not_as_agreed, start, end),
        cmocka_unit_test_setup_teardown(test_reject_rests, start, end),
        cmocka_unit_test_setup_teardown(test_silence_gives_to_others, start, end),
        cmocka_unit_test_setup_teardown(test_gone, start, end),
        cmocka_unit_test_setup_teardown(test_other_size_waits, start, end),
        cmocka_unit_test_setup_teardown(test_size_of_most_peers, start, end),
        cmocka_unit_test_setup_teardown(test_size_over_the_limit, start, end),
        cmocka_unit_test_setup_teardown(test_size_from_the_first_piece, start, end),
        cmocka_unit_test_setup_teardown(test_size_by_the_way, start, end),
        cmocka_unit_test_setup_teardown(test_one_liar, start, end),
        cmocka_unit_test_setup_teardown(test_one_of_two_lies, start, end),
        cmocka_unit_test_setup_teardown(test_alone_and_gone, start, end),
        cmocka_unit_test_setup_teardown(test_ends_well, start, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
