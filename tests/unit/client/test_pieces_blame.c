/* Who sent what was bad: blame after it, liars once the piece came right. */
#include "unit/client/pieces_fixture.h"

#include "base/banned.h"

enum { LIAR = 7, HONEST = 1, N_HONEST = 3 };

static void write_all(struct torrent *t)
{
    struct piece_write w;
    while (pieces_next_write(t->p, &w)) {
        if (disk_does(t, &w, 0) == PIECES_WRITTEN_READ_BACK) {
            (void)disk_hashes(t, w.piece);
        }
    }
}

/* All blocks of a piece in random order, each from a random peer; the liar lies in one in three.
 * write: what can leave memory does so at once. */
static enum pieces_result piece_comes(struct torrent *t, uint32_t piece, struct rng *rng,
                                      bool with_liar, bool write)
{
    static uint32_t order[1 << 12];
    uint32_t n = (uint32_t)ask_all(t, piece);
    enum pieces_result result = PIECES_TAKEN;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = rng_below(rng, i + 1);
        order[i] = order[at];
        order[at] = i;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct wire_block b = block_at(t, piece, order[i]);
        conn_id from = HONEST + rng_below(rng, N_HONEST);
        bool lie = i == n / 2 || rng_below(rng, 3) == 0;
        if (with_liar && (i == n / 2 || rng_below(rng, 4) == 0)) {
            from = LIAR;
        }
        result = deliver(t, &b, from, from == LIAR && lie);
        if (write) {
            write_all(t);
        }
    }
    return result;
}

static void a_sole_sender_is_blamed(void **state)
{
    struct torrent t = torrent_new(64 * KIB, 64 * KIB);
    struct piece_sender out[4];
    (void)state;
    for (int attempt = 0; attempt < 2; attempt++) {
        assert_int_equal(pieces_blame(t.p, out, 4), attempt);
        (void)ask_all(&t, 0);
        for (uint32_t i = 0; i < 4; i++) {
            struct wire_block b = block_at(&t, 0, i);
            assert_int_equal(deliver(&t, &b, LIAR, i == 2), i == 3 ? PIECES_BAD : PIECES_TAKEN);
        }
        assert_int_equal(pieces_blame(t.p, out, 4), 1);
        assert_int_equal(out[0].conn, LIAR);
        assert_int_equal(out[0].n_blocks, 4);
        struct addr addr = addr_n(LIAR);
        assert_true(addr_eq(&out[0].addr, &addr));
    }
    torrent_release(&t);
}

static void the_liar_among_honest_senders_is_found(void **state)
{
    static const uint32_t piece_lens[] = {32 * KIB, 64 * KIB, 1 * MIB, 3 * MIB};
    (void)state;
    for (size_t s = 0; s < sizeof piece_lens / sizeof piece_lens[0]; s++) {
        for (int write = 0; write < 2; write++) {
            struct torrent t = torrent_new(piece_lens[s], piece_lens[s] - 100);
            struct rng rng = {s + 1};
            struct piece_sender out[8];
            assert_int_equal(piece_comes(&t, 0, &rng, true, write), PIECES_BAD);
            size_t n = pieces_blame(t.p, out, 8);
            size_t n_blocks = 0;
            bool has_liar = false;
            assert_in_range(n, 1, N_HONEST + 1);
            for (size_t i = 0; i < n; i++) {
                has_liar = has_liar || out[i].conn == LIAR;
                n_blocks += out[i].n_blocks;
            }
            assert_true(has_liar);
            assert_int_equal(n_blocks, (t.len - 1) / WIRE_BLOCK_LEN + 1);
            assert_int_equal(pieces_blame(t.p, out, 1), 1);
            assert_false(pieces_next_liar(t.p, out));

            assert_int_equal(piece_comes(&t, 0, &rng, false, write), PIECES_GOOD);
            assert_true(pieces_next_liar(t.p, out));
            assert_int_equal(out[0].conn, LIAR);
            struct addr addr = addr_n(LIAR);
            assert_true(addr_eq(&out[0].addr, &addr));
            assert_true(out[0].n_blocks > 0);
            assert_false(pieces_next_liar(t.p, out));
            write_all(&t);
            assert_true(pieces_is_complete(t.p));
            assert_true(disk_is_right(&t));
            torrent_release(&t);
        }
    }
}

/* A long piece that was bad comes right from one sender alone, written as it comes. */
static void one_honest_sender_is_proof_enough(void **state)
{
    struct torrent t = torrent_new(3 * MIB, 3 * MIB);
    struct rng rng = {5};
    struct piece_sender out;
    (void)state;
    assert_int_equal(piece_comes(&t, 0, &rng, true, true), PIECES_BAD);
    uint32_t n = (uint32_t)ask_all(&t, 0);
    for (uint32_t i = 0; i < n; i++) {
        struct wire_block b = block_at(&t, 0, i);
        assert_int_equal(deliver(&t, &b, HONEST, false), i == n - 1 ? PIECES_GOOD : PIECES_TAKEN);
        write_all(&t);
    }
    assert_true(pieces_next_liar(t.p, &out));
    assert_int_equal(out.conn, LIAR);
    assert_true(out.n_blocks > n / 16); /* not only what was still in memory */
    assert_false(pieces_next_liar(t.p, &out));
    torrent_release(&t);
}

/* Two liars take turns; the piece is flushed on the way, so that it is read back. */
static void liars_of_several_attempts(void **state)
{
    struct torrent t = torrent_new(128 * KIB, 128 * KIB);
    struct piece_sender out;
    bool found[10] = {false};
    (void)state;
    for (conn_id liar = 8; liar < 10; liar++) {
        (void)ask_all(&t, 0);
        for (uint32_t i = 8; i > 0; i--) {
            struct wire_block b = block_at(&t, 0, i - 1);
            (void)deliver(&t, &b, i == liar - 4 ? liar : HONEST, i == liar - 4);
            pieces_flush(t.p);
            write_all(&t);
        }
        assert_false(pieces_is_under_way(t.p, 0));
        assert_int_equal(pieces_blame(t.p, &out, 1), 1);
    }
    (void)ask_all(&t, 0);
    for (uint32_t i = 0; i < 8; i++) {
        struct wire_block b = block_at(&t, 0, i);
        (void)deliver(&t, &b, 2, false);
    }
    while (pieces_next_liar(t.p, &out)) {
        assert_true(out.conn == 8 || out.conn == 9);
        assert_false(found[out.conn]);
        found[out.conn] = true;
        assert_int_equal(out.n_blocks, 1);
    }
    assert_true(found[8] && found[9]);
    write_all(&t);
    assert_true(pieces_is_complete(t.p));
    torrent_release(&t);
}

/* Part of the piece was on the disk, and wrong; a peer lied as well. Only a lie is proven. */
static void a_lie_beside_a_wrong_disk(void **state)
{
    struct torrent t = torrent_new(64 * KIB, 64 * KIB);
    struct wire_block out[4];
    struct piece_sender sender;
    (void)state;
    assert_true(pieces_restore_partial(t.p, 0, SPAN("\x80")));
    assert_int_equal(pieces_request(t.p, 0, out, 4), 3);
    (void)deliver(&t, &out[0], HONEST, false);
    (void)deliver(&t, &out[1], LIAR, true);
    assert_int_equal(deliver(&t, &out[2], HONEST, false), PIECES_READ_BACK);
    write_all(&t);
    assert_false(pieces_is_under_way(t.p, 0));
    assert_int_equal(pieces_blame(t.p, &sender, 1), 0);
    (void)ask_all(&t, 0);
    for (uint32_t i = 0; i < 4; i++) {
        struct wire_block b = block_at(&t, 0, i);
        (void)deliver(&t, &b, HONEST, false);
    }
    assert_true(pieces_next_liar(t.p, &sender));
    assert_int_equal(sender.conn, LIAR);
    assert_false(pieces_next_liar(t.p, &sender));
    torrent_release(&t);
}

/* More bad pieces than are remembered: the newest are, and the memory stays bounded. */
static void old_attempts_make_room(void **state)
{
    enum { N = 100, KEPT = 64 };
    struct torrent t = torrent_new(32 * KIB, N * 32 * KIB);
    struct piece_sender out;
    size_t n = 0;
    (void)state;
    for (int good = 0; good < 2; good++) {
        for (uint32_t piece = 0; piece < N; piece++) {
            (void)ask_all(&t, piece);
            for (uint32_t i = 0; i < 2; i++) {
                struct wire_block b = block_at(&t, piece, i);
                (void)deliver(&t, &b, i == 0 ? HONEST : LIAR + piece, i == 1 && !good);
            }
        }
    }
    while (pieces_next_liar(t.p, &out)) {
        assert_in_range(out.conn, LIAR + N - KEPT, LIAR + N - 1);
        n++;
    }
    assert_int_equal(n, KEPT);
    torrent_release(&t);
}

/* A short last block differs in its last byte alone. */
static void the_last_byte_counts(void **state)
{
    for (uint32_t tail = 1; tail < 10; tail++) {
        struct torrent t = torrent_new(32 * KIB, 16 * KIB + tail);
        struct piece_sender out;
        (void)state;
        for (int lie = 1; lie >= 0; lie--) {
            (void)ask_all(&t, 0);
            struct wire_block b = block_at(&t, 0, 0);
            assert_int_equal(deliver(&t, &b, HONEST, false), PIECES_TAKEN);
            struct data_buf *d = data_new(t.pool, DATA_BLOCK_LEN);
            struct addr addr = addr_n(LIAR);
            b = block_at(&t, 0, 1);
            memcpy(d->p, t.content + 16 * KIB, tail);
            d->len = tail;
            d->p[tail - 1] ^= (uint8_t)lie;
            assert_int_equal(pieces_on_block(t.p, &b, d, LIAR, &addr),
                             lie ? PIECES_BAD : PIECES_GOOD);
            data_unref(d);
        }
        assert_true(pieces_next_liar(t.p, &out));
        assert_int_equal(out.conn, LIAR);
        torrent_release(&t);
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
        cmocka_unit_test(a_sole_sender_is_blamed),
        cmocka_unit_test(the_liar_among_honest_senders_is_found),
        cmocka_unit_test(one_honest_sender_is_proof_enough),
        cmocka_unit_test(liars_of_several_attempts),
        cmocka_unit_test(a_lie_beside_a_wrong_disk),
        cmocka_unit_test(old_attempts_make_room),
        cmocka_unit_test(the_last_byte_counts),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
