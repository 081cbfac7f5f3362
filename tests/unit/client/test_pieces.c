/* Which pieces are had, blocks on their way in, and writes on their way out. */
#include "unit/client/pieces_fixture.h"

#include "base/banned.h"

/* ---- the set --------------------------------------------------------------------------------- */

static void a_bitfield_in_every_shape(void **state)
{
    static const uint32_t sizes[] = {1, 7, 8, 9, 63, 64, 65};
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        uint32_t n = sizes[s];
        struct torrent t = torrent_new(100, n * 100 - 30);
        uint8_t out[16];
        uint8_t again[16];
        size_t len = peer_wire_bitfield_len(n);
        assert_int_equal(pieces_have_len(t.p), 0);
        pieces_bitfield(t.p, out);
        assert_true(peer_wire_bitfield_ok(span_of(out, len), n));
        assert_false(pieces_has(t.p, n - 1));

        pieces_set_all(t.p);
        pieces_bitfield(t.p, out);
        assert_true(peer_wire_bitfield_ok(span_of(out, len), n));
        assert_true(pieces_is_complete(t.p));
        assert_int_equal(pieces_have_len(t.p), t.len);

        pieces_set(t.p, n / 2, false);
        assert_int_equal(pieces_count(t.p), n - 1);
        for (uint32_t i = 0; i < n; i++) {
            assert_int_equal(pieces_has(t.p, i), i != n / 2);
        }
        assert_int_equal(pieces_have_len(t.p), t.len - peer_wire_piece_len(&t.g, n / 2));
        pieces_bitfield(t.p, out);

        struct pieces *other = torrent_pieces_new(&t);
        pieces_set_bitfield(other, span_of(out, len));
        pieces_bitfield(other, again);
        assert_memory_equal(out, again, len);
        assert_int_equal(pieces_count(other), n - 1);
        pieces_set(other, n / 2, true);
        pieces_set(other, n / 2, true);
        assert_true(pieces_is_complete(other));
        memset(out, 0, sizeof out);
        pieces_set_bitfield(other, span_of(out, len));
        assert_int_equal(pieces_count(other), 0);
        pieces_free(other);
        torrent_release(&t);
    }
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void a_piece_from_start_to_have(void **state)
{
    struct torrent t = torrent_new(64 * KIB, 64 * KIB + 40 * KIB + 1);
    struct wire_block out[8];
    struct piece_write w;
    (void)state;
    pieces_start(t.p, 1, 0);
    pieces_start(t.p, 1, 0); /* nothing */
    assert_int_equal(pieces_n_partials(t.p), 1);
    assert_int_equal(pieces_partial(t.p, 1)->n_blocks, 3);
    assert_null(pieces_partial(t.p, 0));
    assert_int_equal(pieces_request(t.p, 1, out, 2), 2);
    assert_int_equal(pieces_request(t.p, 1, out + 2, 6), 1);
    assert_int_equal(pieces_request(t.p, 1, out + 3, 5), 0);
    assert_int_equal(out[2].begin, 32 * KIB);
    assert_int_equal(out[2].len, 8 * KIB + 1);
    assert_int_equal(pieces_block_state(t.p, 1, 2), BLOCK_REQUESTED);

    assert_int_equal(deliver(&t, &out[2], 1, false), PIECES_TAKEN);
    assert_int_equal(deliver(&t, &out[2], 2, false), PIECES_DUPLICATE);
    assert_int_equal(deliver(&t, &out[0], 1, false), PIECES_TAKEN);
    assert_false(pieces_next_write(t.p, &w));
    assert_int_equal(pieces_unwritten_len(t.p), 24 * KIB + 1);
    assert_int_equal(pieces_done_len(t.p), 24 * KIB + 1);
    assert_int_equal(deliver(&t, &out[1], 3, false), PIECES_GOOD);
    assert_false(pieces_has(t.p, 1)); /* not before it is written */

    assert_true(pieces_next_write(t.p, &w));
    assert_int_equal(w.begin, 0);
    assert_int_equal(w.len, t.g.last_piece_len);
    assert_int_equal(w.n_bufs, 3);
    assert_int_equal(disk_does(&t, &w, 0), PIECES_WRITTEN_HAVE);
    assert_true(pieces_has(t.p, 1));
    assert_int_equal(pieces_n_partials(t.p), 0);
    assert_int_equal(pieces_unwritten_len(t.p), 0);
    assert_int_equal(pieces_done_len(t.p), t.g.last_piece_len);
    assert_memory_equal(t.disk + 64 * KIB, t.content + 64 * KIB, t.g.last_piece_len);
    assert_int_equal(deliver(&t, &out[0], 1, false), PIECES_DUPLICATE);
    torrent_release(&t);
}

static void what_is_given_back_is_free_again(void **state)
{
    struct torrent t = torrent_new(64 * KIB, 128 * KIB);
    struct wire_block out[4];
    struct wire_block again[4];
    (void)state;
    pieces_start(t.p, 0, 9);
    assert_int_equal(pieces_partial(t.p, 0)->exclusive, 9);
    assert_int_equal(pieces_request(t.p, 0, out, 4), 4);
    assert_int_equal(pieces_n_open(t.p), 0);
    pieces_request_again(t.p, &out[1]);
    assert_int_equal(pieces_block_askers(t.p, 0, 1), 2);
    pieces_give_back(t.p, &out[1]);
    assert_int_equal(pieces_block_state(t.p, 0, 1), BLOCK_REQUESTED);
    pieces_give_back(t.p, &out[1]);
    assert_int_equal(pieces_block_state(t.p, 0, 1), BLOCK_FREE);
    pieces_give_back(t.p, &out[1]); /* settled already */
    assert_int_equal(pieces_partial(t.p, 0)->n_free, 1);
    assert_int_equal(pieces_n_open(t.p), 1);
    assert_int_equal(pieces_request(t.p, 0, again, 4), 1);
    assert_int_equal(again[0].begin, out[1].begin);

    /* A block that has arrived stays, and its piece stays; nobody owns it any more. */
    assert_int_equal(deliver(&t, &out[3], 9, false), PIECES_TAKEN);
    for (size_t i = 0; i < 4; i++) {
        pieces_give_back(t.p, &out[i]);
    }
    assert_int_equal(pieces_block_state(t.p, 0, 3), BLOCK_RECEIVED);
    assert_int_equal(pieces_partial(t.p, 0)->n_free, 3);
    assert_int_equal(pieces_partial(t.p, 0)->exclusive, 0);

    /* One that comes after it was given back is taken all the same. */
    assert_int_equal(deliver(&t, &out[0], 9, false), PIECES_TAKEN);
    assert_int_equal(pieces_partial(t.p, 0)->n_free, 2);

    /* A piece without anything is not under way. */
    pieces_start(t.p, 1, 0);
    assert_int_equal(pieces_request(t.p, 1, out, 4), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(pieces_is_under_way(t.p, 1));
        pieces_give_back(t.p, &out[i]);
    }
    assert_false(pieces_is_under_way(t.p, 1));
    pieces_give_back(t.p, &out[0]);
    assert_int_equal(deliver(&t, &out[0], 9, false), PIECES_DUPLICATE);
    torrent_release(&t);
}

static void the_least_asked_block(void **state)
{
    struct torrent t = torrent_new(64 * KIB, 64 * KIB);
    struct wire_block out[4];
    struct wire_block b;
    (void)state;
    assert_false(pieces_least_asked(t.p, 0, 4, &b));
    pieces_start(t.p, 0, 0);
    assert_int_equal(pieces_request(t.p, 0, out, 3), 3);
    assert_int_equal(deliver(&t, &out[0], 1, false), PIECES_TAKEN);
    pieces_request_again(t.p, &out[1]);
    assert_true(pieces_least_asked(t.p, 0, 4, &b));
    assert_int_equal(b.begin, out[2].begin);
    pieces_request_again(t.p, &out[2]);
    pieces_request_again(t.p, &out[2]);
    assert_true(pieces_least_asked(t.p, 0, 3, &b));
    assert_int_equal(b.begin, out[1].begin);
    assert_false(pieces_least_asked(t.p, 0, 2, &b));
    torrent_release(&t);
}

/* Other askers of a block of a bad piece still owe it: it is not asked for once more by mistake. */
static void a_bad_piece_keeps_what_is_owed(void **state)
{
    struct torrent t = torrent_new(48 * KIB, 48 * KIB);
    struct wire_block out[3];
    struct wire_block free_now[3];
    (void)state;
    pieces_start(t.p, 0, 0);
    assert_int_equal(pieces_request(t.p, 0, out, 3), 3);
    pieces_request_again(t.p, &out[1]);
    assert_int_equal(deliver(&t, &out[0], 1, true), PIECES_TAKEN);
    assert_int_equal(deliver(&t, &out[1], 1, false), PIECES_TAKEN);
    assert_int_equal(pieces_block_askers(t.p, 0, 1), 1);
    assert_int_equal(deliver(&t, &out[2], 2, false), PIECES_BAD);
    assert_int_equal(pieces_block_state(t.p, 0, 0), BLOCK_FREE);
    assert_int_equal(pieces_block_state(t.p, 0, 1), BLOCK_REQUESTED);
    assert_int_equal(pieces_unwritten_len(t.p), 0);
    assert_int_equal(pieces_done_len(t.p), 0);
    assert_int_equal(data_pool_used(t.pool), 0);
    assert_int_equal(pieces_request(t.p, 0, free_now, 3), 2);
    assert_int_equal(free_now[1].begin, out[2].begin);
    assert_int_equal(deliver(&t, &out[1], 3, false), PIECES_TAKEN);
    assert_int_equal(deliver(&t, &out[0], 3, false), PIECES_TAKEN);
    assert_int_equal(deliver(&t, &out[2], 3, false), PIECES_GOOD);
    torrent_release(&t);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void a_long_piece_leaves_memory_in_runs(void **state)
{
    struct torrent t = torrent_new(4 * MIB, 4 * MIB);
    struct piece_write w;
    uint32_t n = (uint32_t)ask_all(&t, 0);
    size_t runs = 0;
    (void)state;
    assert_int_equal(n, 256);
    for (uint32_t i = 0; i < n; i++) {
        struct wire_block b = block_at(&t, 0, i);
        enum pieces_result result = deliver(&t, &b, 1, false);
        assert_int_equal(result, i == n - 1 ? PIECES_GOOD : PIECES_TAKEN);
        bool due = i % PIECE_RUN_BLOCKS == PIECE_RUN_BLOCKS - 1;
        assert_int_equal(pieces_next_write(t.p, &w), due);
        if (due) {
            assert_int_equal(w.len, PIECE_RUN_LEN);
            assert_int_equal(w.begin, runs * PIECE_RUN_LEN);
            assert_int_equal(disk_does(&t, &w, 0),
                             ++runs == 4 ? PIECES_WRITTEN_HAVE : PIECES_WRITTEN_PART);
        }
        assert_true(pieces_unwritten_len(t.p) <= PIECE_RUN_LEN);
    }
    assert_true(disk_is_right(&t));
    torrent_release(&t);
}

/* Behind a gap nothing is hashed, so nothing is written, up to a limit. */
static void a_gap_holds_blocks_back_but_not_without_end(void **state)
{
    struct torrent t = torrent_new(32 * MIB, 32 * MIB);
    struct piece_write w;
    uint32_t n = (uint32_t)ask_all(&t, 0);
    size_t most = 0;
    (void)state;
    for (uint32_t i = 1; i < n; i++) {
        struct wire_block b = block_at(&t, 0, i);
        assert_int_equal(deliver(&t, &b, 1, false), PIECES_TAKEN);
        most = pieces_unwritten_len(t.p) > most ? pieces_unwritten_len(t.p) : most;
        while (pieces_next_write(t.p, &w)) {
            assert_true(i > 4 * PIECE_RUN_BLOCKS);
            assert_int_equal(disk_does(&t, &w, 0), PIECES_WRITTEN_PART);
        }
    }
    assert_int_equal(most, 16 * MIB);
    struct wire_block first = block_at(&t, 0, 0);
    assert_int_equal(deliver(&t, &first, 1, false), PIECES_READ_BACK);
    enum pieces_written result = PIECES_WRITTEN_PART;
    while (pieces_next_write(t.p, &w)) {
        assert_int_equal(result, PIECES_WRITTEN_PART);
        result = disk_does(&t, &w, 0);
    }
    assert_int_equal(result, PIECES_WRITTEN_READ_BACK);
    assert_false(pieces_has(t.p, 0));
    assert_true(disk_hashes(&t, 0));
    assert_true(pieces_is_complete(t.p));
    torrent_release(&t);
}

static void a_failed_write_is_kept_and_tried_again(void **state)
{
    struct torrent t = torrent_new(2 * MIB, 2 * MIB);
    struct piece_write w;
    uint32_t n = (uint32_t)ask_all(&t, 0);
    (void)state;
    for (uint32_t i = 0; i < PIECE_RUN_BLOCKS; i++) {
        struct wire_block b = block_at(&t, 0, i);
        assert_int_equal(deliver(&t, &b, 1, false), PIECES_TAKEN);
    }
    assert_true(pieces_next_write(t.p, &w));
    assert_false(pieces_next_write(t.p, &(struct piece_write){0})); /* it is out */
    assert_int_equal(disk_does(&t, &w, ERR_NO_SPACE), PIECES_WRITTEN_FAILED);
    assert_false(pieces_next_write(t.p, &w));
    assert_int_equal(pieces_unwritten_len(t.p), PIECE_RUN_LEN);
    pieces_retry(t.p);
    assert_true(pieces_next_write(t.p, &w));
    assert_int_equal(disk_does(&t, &w, ERR_NO_SPACE), PIECES_WRITTEN_FAILED);

    /* The rest arrives meanwhile: only that is offered, until the next try. */
    for (uint32_t i = PIECE_RUN_BLOCKS; i < n; i++) {
        struct wire_block b = block_at(&t, 0, i);
        assert_int_equal(deliver(&t, &b, 1, false), i == n - 1 ? PIECES_GOOD : PIECES_TAKEN);
    }
    assert_true(pieces_next_write(t.p, &w));
    assert_int_equal(w.begin, PIECE_RUN_LEN);
    assert_int_equal(disk_does(&t, &w, 0), PIECES_WRITTEN_PART);
    assert_false(pieces_next_write(t.p, &w));
    pieces_retry(t.p);
    assert_true(pieces_next_write(t.p, &w));
    assert_int_equal(w.begin, 0);
    assert_int_equal(disk_does(&t, &w, 0), PIECES_WRITTEN_HAVE);
    assert_true(disk_is_right(&t));
    torrent_release(&t);
}

/* The piece is bad while its first run is with the disk. Its bytes of before may still be written
 * at any time, so the new ones wait; and the old write marks nothing. */
static void a_late_write_of_a_bad_piece_marks_nothing(void **state)
{
    struct torrent t = torrent_new(2 * MIB, 4 * MIB);
    struct piece_write old;
    struct piece_write w;
    uint32_t n = (uint32_t)ask_all(&t, 0);
    (void)state;
    for (uint32_t i = 0; i < n; i++) {
        struct wire_block b = block_at(&t, 0, i);
        assert_int_equal(deliver(&t, &b, 1, i == 3), i == n - 1 ? PIECES_BAD : PIECES_TAKEN);
        if (i == PIECE_RUN_BLOCKS - 1) {
            assert_true(pieces_next_write(t.p, &old));
        }
    }
    assert_false(pieces_is_under_way(t.p, 0));
    (void)ask_all(&t, 0);
    for (uint32_t i = 0; i < n; i++) {
        struct wire_block b = block_at(&t, 0, i);
        assert_int_equal(deliver(&t, &b, 2, false), i == n - 1 ? PIECES_GOOD : PIECES_TAKEN);
        assert_false(pieces_next_write(t.p, &w));
    }
    assert_int_equal(disk_does(&t, &old, 0), PIECES_WRITTEN_PART);
    assert_int_equal(pieces_block_state(t.p, 0, 0), BLOCK_RECEIVED);
    assert_true(pieces_next_write(t.p, &w));
    assert_int_equal(w.begin, 0);
    assert_int_equal(disk_does(&t, &w, 0), PIECES_WRITTEN_PART);
    assert_true(pieces_next_write(t.p, &w));
    assert_int_equal(disk_does(&t, &w, 0), PIECES_WRITTEN_HAVE);
    assert_memory_equal(t.disk, t.content, 2 * MIB);

    /* Nothing is known about these. */
    assert_int_equal(pieces_on_written(t.p, 0, 0, MIB, 0), PIECES_WRITTEN_PART);
    assert_int_equal(pieces_on_written(t.p, 1, 0, MIB, 0), PIECES_WRITTEN_PART);
    assert_int_equal(pieces_on_written(t.p, 99, 0, MIB, 0), PIECES_WRITTEN_PART);
    torrent_release(&t);
}

/* A check finds the piece on the disk while a write of it is out; then it is lost again. */
static void a_check_overrules_what_is_under_way(void **state)
{
    struct torrent t = torrent_new(32 * KIB, 64 * KIB);
    struct piece_write old;
    struct piece_write w;
    (void)state;
    (void)ask_all(&t, 0);
    for (uint32_t i = 0; i < 2; i++) {
        struct wire_block b = block_at(&t, 0, i);
        (void)deliver(&t, &b, 1, false);
    }
    assert_true(pieces_next_write(t.p, &old));
    pieces_set_all(t.p);
    assert_int_equal(pieces_n_partials(t.p), 0);
    pieces_set(t.p, 0, false);
    (void)ask_all(&t, 0);
    for (uint32_t i = 0; i < 2; i++) {
        struct wire_block b = block_at(&t, 0, i);
        (void)deliver(&t, &b, 1, false);
    }
    assert_false(pieces_next_write(t.p, &w));
    assert_int_equal(disk_does(&t, &old, ERR_SYSTEM), PIECES_WRITTEN_PART);
    assert_true(pieces_next_write(t.p, &w));
    assert_int_equal(disk_does(&t, &w, 0), PIECES_WRITTEN_HAVE);
    assert_true(pieces_is_complete(t.p));
    torrent_release(&t);
}

/* ---- across lives ---------------------------------------------------------------------------- */

struct saved {
    uint32_t piece[8];
    uint8_t written[8][32];
    size_t len[8];
    size_t n;
};

static void save(void *ctx, uint32_t piece, struct span written)
{
    struct saved *s = ctx;
    assert_true(s->n < 8 && written.n <= sizeof s->written[0]);
    s->piece[s->n] = piece;
    memcpy(s->written[s->n], written.p, written.n);
    s->len[s->n++] = written.n;
}

static void write_all(struct torrent *t)
{
    struct piece_write w;
    while (pieces_next_write(t->p, &w)) {
        enum pieces_written result = disk_does(t, &w, 0);
        if (result == PIECES_WRITTEN_READ_BACK) {
            (void)disk_hashes(t, w.piece);
        }
    }
}

static void a_flush_a_save_and_another_life(void **state)
{
    struct torrent t = torrent_new(256 * KIB, 1 * MIB - 5);
    struct saved s = {.n = 0};
    (void)state;
    for (uint32_t piece = 0; piece < 4; piece++) {
        (void)ask_all(&t, piece);
        for (uint32_t i = piece; i < 16; i += 1 + piece) {
            struct wire_block b = block_at(&t, piece, i);
            (void)deliver(&t, &b, 1, false);
        }
    }
    uint64_t done_len = pieces_done_len(t.p);
    write_all(&t); /* piece 0 alone */
    assert_int_equal(pieces_count(t.p), 1);
    pieces_each_partial(t.p, save, &s);
    assert_int_equal(s.n, 0);
    pieces_flush(t.p);
    write_all(&t);
    assert_int_equal(pieces_unwritten_len(t.p), 0);
    pieces_each_partial(t.p, save, &s);
    assert_int_equal(s.n, 3);

    struct pieces *next = torrent_pieces_new(&t);
    uint8_t have[1];
    pieces_bitfield(t.p, have);
    pieces_set_bitfield(next, span_of(have, 1));
    assert_false(pieces_restore_partial(next, 0, span_of(s.written[0], 2))); /* had */
    assert_false(pieces_restore_partial(next, 4, span_of(s.written[0], 2))); /* none such */
    assert_false(pieces_restore_partial(next, 1, span_of(s.written[0], 1)));
    assert_false(pieces_restore_partial(next, 1, span_of(s.written[0], 3)));
    for (size_t i = 0; i < s.n; i++) {
        assert_true(pieces_restore_partial(next, s.piece[i], span_of(s.written[i], s.len[i])));
        assert_false(pieces_restore_partial(next, s.piece[i], span_of(s.written[i], s.len[i])));
    }
    assert_int_equal(pieces_done_len(next), done_len);
    pieces_free(t.p);
    t.p = next;
    for (uint32_t piece = 1; piece < 4; piece++) {
        struct wire_block out[16];
        size_t n = pieces_request(t.p, piece, out, 16);
        assert_in_range(n, 1, 15);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(deliver(&t, &out[i], 2, false),
                             i == n - 1 ? PIECES_READ_BACK : PIECES_TAKEN);
        }
    }
    write_all(&t);
    assert_true(pieces_is_complete(t.p));
    assert_true(disk_is_right(&t));
    torrent_release(&t);
}

/* Nobody would ask for the hash of a piece that lacks nothing: one block of it comes again. */
static void a_full_partial_lacks_its_last_block(void **state)
{
    struct torrent t = torrent_new(64 * KIB, 64 * KIB + 1);
    struct wire_block out[4];
    struct piece_write w;
    (void)state;
    assert_true(pieces_restore_partial(t.p, 0, SPAN("\xf0")));
    assert_true(pieces_restore_partial(t.p, 1, SPAN("\x80"))); /* its only block */
    assert_false(pieces_is_under_way(t.p, 1));
    memcpy(t.disk, t.content, 48 * KIB);
    assert_int_equal(pieces_request(t.p, 0, out, 4), 1);
    assert_int_equal(out[0].begin, 48 * KIB);
    assert_int_equal(deliver(&t, &out[0], 1, false), PIECES_READ_BACK);
    assert_true(pieces_next_write(t.p, &w));
    assert_int_equal(disk_does(&t, &w, 0), PIECES_WRITTEN_READ_BACK);
    assert_true(disk_hashes(&t, 0));
    assert_true(disk_hashes(&t, 0)); /* asked twice: it is had */
    assert_false(pieces_on_hash(t.p, 1, t.hashes));
    torrent_release(&t);
}

static void what_the_disk_had_wrong_is_nobodys_fault(void **state)
{
    struct torrent t = torrent_new(64 * KIB, 64 * KIB);
    struct wire_block out[4];
    struct piece_sender sender;
    (void)state;
    assert_true(pieces_restore_partial(t.p, 0, SPAN("\xc0"))); /* but the disk has zeros */
    assert_int_equal(pieces_request(t.p, 0, out, 4), 2);
    assert_int_equal(deliver(&t, &out[0], 1, false), PIECES_TAKEN);
    assert_int_equal(deliver(&t, &out[1], 2, false), PIECES_READ_BACK);
    struct piece_write w;
    assert_true(pieces_next_write(t.p, &w));
    assert_int_equal(w.begin, 32 * KIB);
    assert_int_equal(disk_does(&t, &w, 0), PIECES_WRITTEN_READ_BACK);
    assert_false(disk_hashes(&t, 0));
    assert_int_equal(pieces_blame(t.p, &sender, 1), 0);
    assert_int_equal(ask_all(&t, 0), 4);
    for (uint32_t i = 0; i < 4; i++) {
        struct wire_block b = block_at(&t, 0, i);
        assert_int_equal(deliver(&t, &b, 1, false), i == 3 ? PIECES_GOOD : PIECES_TAKEN);
    }
    assert_false(pieces_next_liar(t.p, &sender));
    torrent_release(&t);
}

/* ---- any order ------------------------------------------------------------------------------- */

enum { N_OUT = 32 };

struct chaos {
    struct torrent *t;
    struct rng rng;
    struct piece_write out[N_OUT]; /* writes at the disk, done in any order */
    size_t n_out;
};

static void disk_does_one(struct chaos *c)
{
    size_t i = rng_below(&c->rng, (uint32_t)c->n_out);
    struct piece_write w = c->out[i];
    c->out[i] = c->out[--c->n_out];
    int status = rng_below(&c->rng, 10) == 0 ? ERR_NO_SPACE : 0;
    bool had = pieces_has(c->t->p, w.piece);
    bool right;
    switch (disk_does(c->t, &w, status)) {
    case PIECES_WRITTEN_HAVE:
        assert_false(had);
        assert_true(pieces_has(c->t->p, w.piece));
        break;
    case PIECES_WRITTEN_READ_BACK:
        right = disk_hashes(c->t, w.piece);
        assert_int_equal(right, pieces_has(c->t->p, w.piece));
        break;
    case PIECES_WRITTEN_FAILED:
    case PIECES_WRITTEN_PART:
        assert_int_equal(pieces_has(c->t->p, w.piece), had);
        break;
    }
}

static void block_comes(struct chaos *c, uint32_t piece)
{
    struct wire_block out[64];
    if (pieces_has(c->t->p, piece)) {
        return;
    }
    pieces_start(c->t->p, piece, 0);
    size_t n = pieces_request(c->t->p, piece, out, 1 + rng_below(&c->rng, 64));
    for (size_t i = n; i > 1; i--) {
        size_t j = rng_below(&c->rng, (uint32_t)i);
        struct wire_block b = out[i - 1];
        out[i - 1] = out[j];
        out[j] = b;
    }
    for (size_t i = 0; i < n; i++) {
        if (rng_below(&c->rng, 8) == 0) {
            pieces_give_back(c->t->p, &out[i]);
        } else {
            (void)deliver(c->t, &out[i], 1 + rng_below(&c->rng, 5), rng_below(&c->rng, 400) == 0);
        }
    }
}

static void step(struct chaos *c)
{
    switch (rng_below(&c->rng, 8)) {
    case 0:
    case 1:
    case 2:
        block_comes(c, rng_below(&c->rng, c->t->g.n_pieces));
        break;
    case 3:
    case 4:
        while (c->n_out < N_OUT && pieces_next_write(c->t->p, &c->out[c->n_out])) {
            c->n_out++;
        }
        break;
    case 5:
    case 6:
        if (c->n_out > 0) {
            disk_does_one(c);
        }
        break;
    default:
        if (rng_below(&c->rng, 4) == 0) {
            pieces_flush(c->t->p);
        } else {
            pieces_retry(c->t->p);
        }
        break;
    }
}

static void no_two_writes_overlap(const struct chaos *c)
{
    for (size_t i = 0; i < c->n_out; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct piece_write *a = &c->out[i];
            const struct piece_write *b = &c->out[j];
            assert_true(a->piece != b->piece || a->begin >= b->begin + b->len ||
                        b->begin >= a->begin + a->len);
        }
    }
}

static void anything_in_any_order_ends_right(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        uint32_t piece_len = seed % 3 == 0 ? 16 * KIB : seed % 3 == 1 ? 200 * KIB : 3 * MIB / 2;
        struct torrent t = torrent_new(piece_len, 6 * (size_t)piece_len - 7777);
        struct chaos c = {.t = &t, .rng = {seed}};
        struct piece_sender liar;
        int steps = 0;
        while (!pieces_is_complete(t.p) || c.n_out > 0) {
            assert_true(++steps < 100000);
            step(&c);
            no_two_writes_overlap(&c);
            while (pieces_next_liar(t.p, &liar)) {
                assert_in_range(liar.conn, 1, 5);
            }
        }
        assert_true(disk_is_right(&t));
        assert_int_equal(pieces_unwritten_len(t.p), 0);
        assert_int_equal(pieces_done_len(t.p), t.len);
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
        cmocka_unit_test(a_bitfield_in_every_shape),
        cmocka_unit_test(a_piece_from_start_to_have),
        cmocka_unit_test(what_is_given_back_is_free_again),
        cmocka_unit_test(the_least_asked_block),
        cmocka_unit_test(a_bad_piece_keeps_what_is_owed),
        cmocka_unit_test(a_long_piece_leaves_memory_in_runs),
        cmocka_unit_test(a_gap_holds_blocks_back_but_not_without_end),
        cmocka_unit_test(a_failed_write_is_kept_and_tried_again),
        cmocka_unit_test(a_late_write_of_a_bad_piece_marks_nothing),
        cmocka_unit_test(a_check_overrules_what_is_under_way),
        cmocka_unit_test(a_flush_a_save_and_another_life),
        cmocka_unit_test(a_full_partial_lacks_its_last_block),
        cmocka_unit_test(what_the_disk_had_wrong_is_nobodys_fault),
        cmocka_unit_test(anything_in_any_order_ends_right),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
