#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/client/engine_shell.h"

#include "base/banned.h"

enum { RUN_MS = 20000, WARM_MS = 2000, WIRES_MAX = 8 };

struct bench {
    struct shell s;
    struct content c[2];
    torrent_id id[2];
    struct wire w[WIRES_MAX];
    size_t n_wires;
};

static void bench_init(struct bench *b, uint64_t down_bps, uint64_t up_bps)
{
    struct engine_cfg cfg = engine_cfg_default;
    cfg.announce_to_own_tracker = false;
    cfg.max_down_bps = down_bps;
    cfg.max_up_bps = up_bps;
    memset(b, 0, sizeof *b);
    shell_init(&b->s, &cfg);
    shell_add_session(&b->s);
}

static void add_torrent(struct bench *b, size_t i, uint32_t n_pieces, bool complete,
                        uint64_t down_bps, uint64_t up_bps)
{
    const struct torrent_add add = {.max_down_bps = down_bps, .max_up_bps = up_bps};
    content_init(&b->c[i], n_pieces, 1 + i);
    b->id[i] = shell_add(&b->s, &b->c[i], complete, &add);
}

static struct wire *add_wire(struct bench *b, size_t torrent, bool seed)
{
    struct wire *w = &b->w[b->n_wires++];
    char text[ENDPOINT_TEXT_LEN];
    (void)snprintf(text, sizeof text, "198.51.100.%zu:6881", b->n_wires);
    struct endpoint from = at(text);
    wire_init(w, &b->s, &b->c[torrent], engine_on_accept(b->s.e, 0, &from, b->s.now_ms), seed);
    assert_int_not_equal(w->conn, 0);
    w->asks = !seed;
    wire_shake(w, &b->c[torrent].hash, (uint8_t)b->n_wires);
    wire_greet(w);
    return w;
}

static void bench_release(struct bench *b)
{
    for (size_t i = 0; i < b->n_wires; i++) {
        wire_release(&b->w[i]);
    }
    shell_release(&b->s);
    content_release(&b->c[0]);
    content_release(&b->c[1]);
}

static void run(struct bench *b, uint64_t ms)
{
    for (uint64_t end_ms = b->s.now_ms + ms; b->s.now_ms < end_ms;) {
        for (size_t i = 0; i < b->n_wires; i++) {
            wire_talk(&b->w[(i + b->s.now_ms) % b->n_wires]);
        }
        shell_run(&b->s, 1);
    }
}

static struct peer_totals wire_of(const struct bench *b)
{
    struct engine_totals t;
    engine_totals(b->s.e, &t);
    return t.wire;
}

static void assert_near(uint64_t got, uint64_t want, unsigned percent)
{
    assert_in_range(got, want - want * percent / 100, want + want * percent / 100);
}

/* ---- down ---- */

static void check_down(uint64_t all_bps, uint64_t torrent_bps, uint32_t n_pieces)
{
    struct bench b;
    uint64_t want_bps =
        all_bps == 0 || (torrent_bps != 0 && torrent_bps < all_bps) ? torrent_bps : all_bps;
    bench_init(&b, all_bps, 0);
    add_torrent(&b, 0, n_pieces, false, torrent_bps, 0);
    add_wire(&b, 0, true);
    add_wire(&b, 0, true);
    run(&b, WARM_MS);
    uint64_t before = wire_of(&b).down;
    uint64_t given[2] = {b.w[0].n_given - b.w[0].n_to, b.w[1].n_given - b.w[1].n_to};
    run(&b, RUN_MS);
    assert_near(wire_of(&b).down - before, want_bps * RUN_MS / 1000, 5);
    for (size_t i = 0; i < 2; i++) {
        uint64_t got = b.w[i].n_given - b.w[i].n_to - given[i];
        assert_near(got, want_bps * RUN_MS / 1000 / 2, 15);
    }
    bench_release(&b);
}

static void test_download_limit_of_all(void **state)
{
    (void)state;
    check_down(200000, 0, 80);
    check_down(30000, 0, 20);
}

static void test_download_limit_of_a_torrent(void **state)
{
    (void)state;
    check_down(0, 150000, 60);
    check_down(1000000, 100000, 50);
}

static void test_a_limit_that_is_lifted_lets_go(void **state)
{
    (void)state;
    struct bench b;
    struct torrent_status st;
    bench_init(&b, 10000, 0);
    add_torrent(&b, 0, 40, false, 0, 0);
    add_wire(&b, 0, true);
    run(&b, 5000);
    assert_in_range(wire_of(&b).down, 20000, 80000);
    engine_set_rates(b.s.e, 0, 0, b.s.now_ms);
    run(&b, 2000);
    assert_int_equal(engine_status(b.s.e, b.id[0], &st, b.s.now_ms), 0);
    assert_int_equal(st.state, TORRENT_SEEDING);
    assert_memory_equal(b.s.disk, b.c[0].bytes, b.c[0].len);
    bench_release(&b);
}

/* ---- up ---- */

static void check_up(uint64_t all_bps, uint64_t torrent_bps)
{
    struct bench b;
    uint64_t want_bps =
        all_bps == 0 || (torrent_bps != 0 && torrent_bps < all_bps) ? torrent_bps : all_bps;
    bench_init(&b, 0, all_bps);
    add_torrent(&b, 0, 16, true, 0, torrent_bps);
    add_wire(&b, 0, false);
    add_wire(&b, 0, false);
    run(&b, WARM_MS);
    uint64_t before = wire_of(&b).up;
    uint64_t had[2] = {b.w[0].n_payload, b.w[1].n_payload};
    run(&b, RUN_MS);
    assert_near(wire_of(&b).up - before, want_bps * RUN_MS / 1000, 5);
    for (size_t i = 0; i < 2; i++) {
        assert_near(b.w[i].n_payload - had[i], want_bps * RUN_MS / 1000 / 2, 15);
    }
    bench_release(&b);
}

static void test_upload_limit_of_all(void **state)
{
    (void)state;
    check_up(30000, 0);
    check_up(500000, 0);
    check_up(5000000, 0);
}

static void test_upload_limit_of_a_torrent(void **state)
{
    (void)state;
    check_up(0, 100000);
    check_up(2000000, 300000);
}

static void test_torrents_share_alike(void **state)
{
    (void)state;
    struct bench b;
    uint64_t had[4];
    bench_init(&b, 0, 400000);
    add_torrent(&b, 0, 16, true, 0, 0);
    add_torrent(&b, 1, 16, true, 0, 0);
    for (size_t i = 0; i < 4; i++) {
        add_wire(&b, i == 0, false); /* one peer of the second torrent, three of the first */
    }
    run(&b, WARM_MS);
    for (size_t i = 0; i < 4; i++) {
        had[i] = b.w[i].n_payload;
    }
    run(&b, RUN_MS);
    assert_near(b.w[0].n_payload - had[0], 200 * RUN_MS, 10);
    for (size_t i = 1; i < 4; i++) {
        assert_near(b.w[i].n_payload - had[i], 200 * RUN_MS / 3, 15);
    }
    bench_release(&b);
}

/* A reject goes out while the block behind it waits for its turn. */
static void test_small_messages_are_not_held_up(void **state)
{
    (void)state;
    struct bench b;
    struct iovec parts[8];
    const struct wire_block bad = {.begin = PIECE_LEN, .len = WIRE_BLOCK_LEN};
    const struct wire_block good = {.len = WIRE_BLOCK_LEN};
    bench_init(&b, 0, 1000); /* a block in 16 s */
    add_torrent(&b, 0, 4, true, 0, 0);
    add_wire(&b, 0, false);
    struct wire *w = add_wire(&b, 0, false);
    w->asks = false;
    run(&b, 30000);
    assert_in_range(wire_of(&b).up, 20000, 50000);
    assert_true(w->unchoked);
    uint64_t n_msgs = w->n_msgs;
    wire_say_msg(w, &(struct peer_wire_msg){.type = WIRE_REQUEST, .block = bad});
    wire_say_msg(w, &(struct peer_wire_msg){.type = WIRE_REQUEST, .block = good});
    (void)wire_push(w);
    /* The block is read because there is room for it; the socket takes nothing yet. */
    assert_int_equal(engine_send_iov(b.s.e, w->conn, parts, 8, b.s.now_ms), 1);
    shell_drain(&b.s);
    assert_int_equal(wire_pull(w), 17);
    assert_int_equal(w->n_msgs, n_msgs + 1);
    assert_int_equal(w->n_payload, 0);
    /* In the end it has its turn, too. */
    run(&b, 60000);
    assert_int_equal(w->n_payload, WIRE_BLOCK_LEN);
    bench_release(&b);
}

int main(void)
{
    if (digest_start() != 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_download_limit_of_all),
        cmocka_unit_test(test_download_limit_of_a_torrent),
        cmocka_unit_test(test_a_limit_that_is_lifted_lets_go),
        cmocka_unit_test(test_upload_limit_of_all),
        cmocka_unit_test(test_upload_limit_of_a_torrent),
        cmocka_unit_test(test_torrents_share_alike),
        cmocka_unit_test(test_small_messages_are_not_held_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
