/* What the engine counts: every message, read, write, block and end of a connection, once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/client/engine_shell.h"

#include "base/banned.h"

struct bench {
    struct shell s;
    struct content c;
    torrent_id id;
};

enum { N_PIECES = 8 };

static void bench_init(struct bench *b, bool complete, const struct torrent_add *more)
{
    struct engine_cfg cfg = engine_cfg_default;
    cfg.announce_to_own_tracker = false;
    cfg.seed = 7;
    shell_init(&b->s, &cfg);
    shell_add_session(&b->s);
    content_init(&b->c, N_PIECES, 1);
    b->id = shell_add(&b->s, &b->c, complete, more);
}

static void bench_release(struct bench *b)
{
    shell_release(&b->s);
    content_release(&b->c);
}

static void come(struct bench *b, struct wire *w, const char *remote, uint8_t id, bool seed)
{
    struct endpoint from = at(remote);
    conn_id conn = engine_on_accept(b->s.e, 0, &from, b->s.now_ms);
    assert_int_not_equal(conn, 0);
    shell_drain(&b->s);
    wire_init(w, &b->s, &b->c, conn, seed);
    wire_shake(w, &b->c.hash, id);
    wire_greet(w);
    wire_talk(w);
}

static uint64_t sum(const struct engine_io *io)
{
    uint64_t n = 0;
    for (size_t i = 0; i < ENGINE_N_SIZES; i++) {
        n += io->sizes[i];
    }
    return n;
}

/* ---- transfers ----------------------------------------------------------------------------- */

static void test_a_peer_that_downloads(void **state)
{
    struct bench b;
    struct wire w;
    (void)state;
    bench_init(&b, true, NULL);
    come(&b, &w, "198.51.100.1:1024", 'a', false);
    uint32_t n_blocks = (uint32_t)(b.c.len / WIRE_BLOCK_LEN);
    for (uint32_t i = 0; i < n_blocks; i++) {
        const struct wire_block block = {
            .piece = i / (PIECE_LEN / WIRE_BLOCK_LEN),
            .begin = i % (PIECE_LEN / WIRE_BLOCK_LEN) * WIRE_BLOCK_LEN,
            .len = WIRE_BLOCK_LEN,
        };
        wire_say_msg(&w, &(struct peer_wire_msg){.type = WIRE_REQUEST, .block = block});
        wire_talk(&w);
        shell_run(&b.s, 100);
        wire_talk(&w);
    }
    struct engine_totals t = shell_totals(&b.s);
    assert_int_equal(w.n_payload, b.c.len);
    assert_int_equal(t.messages.out[WIRE_PIECE] * WIRE_BLOCK_LEN, w.n_payload);
    assert_int_equal(t.wire.up_payload, w.n_payload);
    assert_int_equal(t.messages.in[WIRE_REQUEST], n_blocks);
    assert_int_equal(t.messages.in[WIRE_INTERESTED], 1);
    assert_int_equal(t.messages.in[WIRE_HAVE_NONE], 1);
    assert_int_equal(t.messages.out[WIRE_HAVE_ALL], 1);
    assert_int_equal(t.messages.out[WIRE_UNCHOKE], 1);
    assert_true(t.blocks_read >= n_blocks && t.disk_reads <= t.blocks_read);
    assert_int_equal(sum(&t.in), t.in.calls);
    assert_int_equal(sum(&t.out), t.out.calls);
    assert_true(t.in.calls > 0 && t.out.calls > 0);
    /* 40 bytes for each packet of 1460, which is answered by one. */
    assert_true(t.out.ip_len >= (t.wire.up + 1459) / 1460 * 40);
    assert_int_equal(t.in.ip_len, t.out.ip_len);
    assert_int_equal(t.now.interested, 1);
    assert_int_equal(t.now.interesting, 0);
    assert_int_equal(t.now.connected, 1);
    assert_int_equal(t.now.incoming, 1);
    assert_true(t.ticks > 0 && t.disk_jobs > 0);
    wire_release(&w);
    bench_release(&b);
}

static void test_a_peer_that_is_downloaded_from(void **state)
{
    struct bench b;
    struct wire w;
    (void)state;
    bench_init(&b, false, NULL);
    struct engine_totals t = shell_totals(&b.s);
    assert_int_equal(t.pieces_added, N_PIECES);
    assert_int_equal(t.pieces_had, 0);
    come(&b, &w, "198.51.100.1:1024", 'a', true);
    t = shell_totals(&b.s);
    assert_int_equal(t.messages.in[WIRE_HAVE_ALL], 1);
    assert_int_equal(t.messages.out[WIRE_HAVE_NONE], 1);
    for (int i = 0; i < 1000 && t.pieces_had < N_PIECES; i++) {
        wire_talk(&w);
        shell_run(&b.s, 100);
        t = shell_totals(&b.s);
    }
    uint64_t n_blocks = b.c.len / WIRE_BLOCK_LEN;
    assert_int_equal(t.pieces_had, N_PIECES);
    assert_int_equal(t.pieces_passed, N_PIECES);
    assert_int_equal(t.messages.in[WIRE_PIECE], n_blocks);
    assert_int_equal(t.messages.out[WIRE_REQUEST], n_blocks);
    assert_int_equal(t.messages.out[WIRE_INTERESTED], 1);
    assert_int_equal(t.blocks_written, n_blocks);
    assert_int_equal(t.blocks_hashed, n_blocks);
    assert_int_equal(t.wire.down_payload, b.c.len);
    assert_int_equal(t.unwritten_len, 0);
    assert_int_equal(t.n_running[TORRENT_SEEDING], 1);
    wire_release(&w);
    bench_release(&b);
}

/* What a torrent had does not become less when it goes. */
static void test_pieces_of_a_torrent_that_goes(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b, true, NULL);
    shell_run(&b.s, 1000);
    assert_int_equal(shell_totals(&b.s).pieces_had, N_PIECES);
    engine_recheck(b.s.e, b.id, b.s.now_ms);
    shell_drain(&b.s);
    shell_run(&b.s, 1000);
    assert_int_equal(shell_totals(&b.s).pieces_had, N_PIECES);
    engine_remove_torrent(b.s.e, b.id, false, b.s.now_ms);
    shell_drain(&b.s);
    shell_run(&b.s, 10000);
    assert_int_equal(engine_find(b.s.e, &b.c.hash), 0);
    assert_int_equal(shell_totals(&b.s).pieces_had, N_PIECES);
    assert_int_equal(shell_totals(&b.s).pieces_added, N_PIECES);
    bench_release(&b);
}

/* ---- waste --------------------------------------------------------------------------------- */

static void test_blocks_that_nobody_asked_for(void **state)
{
    static const struct {
        bool complete;
        enum engine_waste why;
    } cases[] = {{false, WASTE_UNKNOWN}, {true, WASTE_SEED}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct bench b;
        struct wire w;
        const struct wire_block block = {.piece = 1, .len = WIRE_BLOCK_LEN};
        bench_init(&b, cases[i].complete, NULL);
        come(&b, &w, "198.51.100.1:1024", 'a', false);
        wire_give(&w, &block);
        wire_talk(&w);
        struct engine_totals t = shell_totals(&b.s);
        struct torrent_status st;
        assert_int_equal(t.waste[cases[i].why], WIRE_BLOCK_LEN);
        assert_int_equal(t.wasted, WIRE_BLOCK_LEN);
        assert_int_equal(t.wire.down_payload, 0);
        assert_int_equal(t.messages.in[WIRE_PIECE], 1);
        assert_int_equal(engine_status(b.s.e, b.id, &st, b.s.now_ms), 0);
        assert_int_equal(st.redundant_len, WIRE_BLOCK_LEN);
        assert_int_equal(st.failed_len, 0);
        wire_release(&w);
        bench_release(&b);
    }
}

/* ---- ends ---------------------------------------------------------------------------------- */

static void test_how_connections_end(void **state)
{
    static const struct {
        int why;
        uint64_t ended, broken, reset;
    } cases[] = {
        {ERR_CLOSED, 1, 0, 0},
        {ERR_RESET, 0, 1, 1},
        {ERR_SYSTEM, 0, 1, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bench b;
        struct wire w;
        bench_init(&b, true, NULL);
        come(&b, &w, "198.51.100.1:1024", 'a', false);
        assert_int_equal(shell_totals(&b.s).now.connected, 1);
        engine_on_closed(b.s.e, w.conn, cases[i].why, b.s.now_ms);
        engine_on_closed(b.s.e, w.conn, cases[i].why, b.s.now_ms);
        shell_drain(&b.s);
        struct engine_totals t = shell_totals(&b.s);
        assert_int_equal(t.disconnects, 1);
        assert_int_equal(t.ends[-ERR_CLOSED], cases[i].ended);
        assert_int_equal(t.broken, cases[i].broken);
        assert_int_equal(t.broken_incoming, cases[i].broken);
        assert_int_equal(t.ends[-ERR_RESET], cases[i].reset);
        assert_int_equal(t.now.connected, 0);
        wire_release(&w);
        bench_release(&b);
    }
}

static void test_attempts_that_fail(void **state)
{
    static const struct {
        int status;
        uint64_t refused, timed_out;
    } cases[] = {{ERR_REFUSED, 1, 0}, {ERR_TIMEOUT, 0, 1}, {ERR_SYSTEM, 0, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bench b;
        struct endpoint peer = at("198.51.100.1:1024");
        const struct engine_out *out;
        bench_init(&b, false, NULL);
        engine_add_peer(b.s.e, b.id, &peer, b.s.now_ms);
        shell_drain(&b.s);
        shell_run(&b.s, 1000);
        out = shell_out(&b.s, ENGINE_OUT_CONNECT, 0);
        assert_non_null(out);
        engine_on_connected(b.s.e, out->conn, cases[i].status, b.s.now_ms);
        struct engine_totals t = shell_totals(&b.s);
        assert_int_equal(t.connects, 1);
        assert_int_equal(t.connects_failed, 1);
        assert_int_equal(t.ends[-ERR_REFUSED], cases[i].refused);
        assert_int_equal(t.connects_timed_out, cases[i].timed_out);
        assert_int_equal(t.disconnects, 0); /* it never was there */
        bench_release(&b);
    }
}

/* ---- states -------------------------------------------------------------------------------- */

static void test_states_of_torrents(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b, true, NULL);
    shell_run(&b.s, 1000);
    struct engine_totals t = shell_totals(&b.s);
    assert_int_equal(t.n_running[TORRENT_SEEDING], 1);
    assert_int_equal(t.n_stopped, 0);
    assert_true(t.n_slots > 0);
    engine_pause(b.s.e, b.id, b.s.now_ms);
    shell_drain(&b.s);
    t = shell_totals(&b.s);
    assert_int_equal(t.n_torrents[TORRENT_SEEDING], 1);
    assert_int_equal(t.n_running[TORRENT_SEEDING], 0);
    assert_int_equal(t.n_stopped, 1);
    bench_release(&b);
}

static void test_queue_positions(void **state)
{
    struct bench b;
    struct torrent_add magnet = {.info_hash = {{1}}};
    const char *why = NULL;
    torrent_id later;
    struct infohash hash;
    (void)state;
    bench_init(&b, false, NULL);
    assert_int_equal(engine_add_torrent(b.s.e, &magnet, &later, b.s.now_ms, &why), 0);
    shell_drain(&b.s);
    assert_int_equal(engine_queue_position(b.s.e, b.id), 0);
    assert_int_equal(engine_queue_position(b.s.e, later), 1);
    assert_int_equal(engine_queue_position(b.s.e, later + 1), -1);
    assert_true(engine_info_hash(b.s.e, later, &hash));
    assert_memory_equal(hash.b, magnet.info_hash.b, sizeof hash.b);
    assert_false(engine_info_hash(b.s.e, later + 1, &hash));
    bench_release(&b);
    bench_init(&b, true, NULL);
    assert_int_equal(engine_add_torrent(b.s.e, &magnet, &later, b.s.now_ms, &why), 0);
    shell_drain(&b.s);
    shell_run(&b.s, 1000);
    assert_int_equal(engine_queue_position(b.s.e, b.id), -1);
    assert_int_equal(engine_queue_position(b.s.e, later), 0);
    bench_release(&b);
}

static void test_verified_pieces(void **state)
{
    struct bench b;
    struct torrent_add add = {.flags = TORRENT_SEED_MODE};
    uint8_t bits[1] = {0xff};
    (void)state;
    bench_init(&b, true, &add);
    assert_true(engine_verified(b.s.e, b.id, bits, sizeof bits));
    assert_int_equal(bits[0], 0);
    assert_false(engine_verified(b.s.e, b.id, bits, 2));
    assert_false(engine_verified(b.s.e, b.id + 1, bits, 1));
    bench_release(&b);
    bench_init(&b, true, NULL);
    assert_false(engine_verified(b.s.e, b.id, bits, sizeof bits));
    bench_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_peer_that_downloads),
        cmocka_unit_test(test_a_peer_that_is_downloaded_from),
        cmocka_unit_test(test_pieces_of_a_torrent_that_goes),
        cmocka_unit_test(test_blocks_that_nobody_asked_for),
        cmocka_unit_test(test_how_connections_end),
        cmocka_unit_test(test_attempts_that_fail),
        cmocka_unit_test(test_states_of_torrents),
        cmocka_unit_test(test_queue_positions),
        cmocka_unit_test(test_verified_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
