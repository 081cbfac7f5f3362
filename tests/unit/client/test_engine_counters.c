/* What moves each counter: how connections end, why blocks are looked for, what waits for limits and
 * for the disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/requests.h"
#include "unit/client/engine_shell.h"

#include "base/banned.h"

enum { BLOCKS = PIECE_LEN / WIRE_BLOCK_LEN, WIRES = 3 };

struct bench {
    struct shell s;
    struct content c;
    torrent_id id;
    struct wire w[WIRES];
};

static void bench_init_with(struct bench *b, uint32_t n_pieces, bool complete,
                            const struct engine_cfg *cfg, const struct torrent_add *more)
{
    *b = (struct bench){.id = 0};
    shell_init(&b->s, cfg);
    shell_add_session(&b->s);
    content_init(&b->c, n_pieces, 1);
    b->id = shell_add(&b->s, &b->c, complete, more);
}

static struct engine_cfg usual(void)
{
    struct engine_cfg cfg = engine_cfg_default;
    cfg.announce_to_own_tracker = false;
    cfg.seed = 7;
    return cfg;
}

static void bench_init(struct bench *b, uint32_t n_pieces, bool complete)
{
    const struct engine_cfg cfg = usual();
    bench_init_with(b, n_pieces, complete, &cfg, NULL);
}

static void bench_release(struct bench *b)
{
    for (size_t i = 0; i < WIRES; i++) {
        wire_release(&b->w[i]);
    }
    shell_release(&b->s);
    content_release(&b->c);
}

static conn_id knock(struct bench *b, size_t i)
{
    char text[ENDPOINT_TEXT_LEN];
    (void)snprintf(text, sizeof text, "198.51.100.%zu:1024", i + 1);
    struct endpoint from = at(text);
    conn_id conn = engine_on_accept(b->s.e, 0, &from, b->s.now_ms);
    shell_drain(&b->s);
    return conn;
}

/* Its handshake is done, and it has nothing. */
static struct wire *meet(struct bench *b, size_t i)
{
    struct wire *w = &b->w[i];
    wire_init(w, &b->s, &b->c, knock(b, i), false);
    assert_int_not_equal(w->conn, 0);
    wire_shake(w, &b->c.hash, (uint8_t)('a' + i));
    wire_say_msg(w, &(struct peer_wire_msg){.type = WIRE_HAVE_NONE});
    wire_talk(w);
    return w;
}

static struct wire *meet_seed(struct bench *b, size_t i)
{
    struct wire *w = &b->w[i];
    wire_init(w, &b->s, &b->c, knock(b, i), true);
    assert_int_not_equal(w->conn, 0);
    wire_shake(w, &b->c.hash, (uint8_t)('a' + i));
    wire_greet(w);
    return w;
}

static void say(struct wire *w, enum wire_type type)
{
    wire_say_msg(w, &(struct peer_wire_msg){.type = type});
    (void)wire_push(w);
}

static void say_have(struct wire *w, uint32_t piece)
{
    wire_say_msg(w, &(struct peer_wire_msg){.type = WIRE_HAVE, .block = {.piece = piece}});
    (void)wire_push(w);
}

/* ---- ends ---------------------------------------------------------------------------------- */

/* Each code of a socket is counted once, at its own place: of a connection, and of an attempt. */
static void every_code_has_its_count(void **state)
{
    (void)state;
    for (int code = 1; code <= ERR_N; code++) {
        struct bench b;
        struct endpoint peer = at("198.51.100.9:1024");
        bench_init(&b, 8, false);
        struct wire *w = meet(&b, 0);
        engine_on_closed(b.s.e, w->conn, -code, b.s.now_ms);
        engine_add_peer(b.s.e, b.id, &peer, b.s.now_ms);
        shell_run(&b.s, 1000);
        const struct engine_out *out = shell_out(&b.s, ENGINE_OUT_CONNECT, 0);
        assert_non_null(out);
        engine_on_connected(b.s.e, out->conn, -code, b.s.now_ms);
        struct engine_totals t = shell_totals(&b.s);
        for (int i = 0; i <= ERR_N; i++) {
            assert_int_equal(t.ends[i], i == code ? 2 : 0);
        }
        assert_true(t.candidates_seen > 0);
        bench_release(&b);
    }
}

static void an_attempt_that_nobody_answers(void **state)
{
    struct bench b;
    struct endpoint peer = at("198.51.100.9:1024");
    (void)state;
    bench_init(&b, 8, false);
    engine_add_peer(b.s.e, b.id, &peer, b.s.now_ms);
    shell_run(&b.s, 20000);
    struct engine_totals t = shell_totals(&b.s);
    assert_int_equal(t.connects_timed_out, 1);
    assert_int_equal(t.ends[-ERR_TIMEOUT], 1);
    assert_int_equal(t.partings.idle + t.partings.no_handshake, 0);
    bench_release(&b);
}

static void who_is_silent(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b, 8, false);
    assert_int_not_equal(knock(&b, 1), 0);
    meet(&b, 0);
    shell_run(&b.s, 300000);
    struct engine_totals t = shell_totals(&b.s);
    assert_int_equal(t.partings.no_handshake, 1);
    assert_int_equal(t.partings.idle, 1);
    assert_int_equal(t.closed_by_time, 2);
    assert_int_equal(t.disconnects, 2);
    bench_release(&b);
}

static void nothing_to_tell_each_other(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b, 8, true);
    wire_talk(meet_seed(&b, 0));
    assert_int_equal(shell_totals(&b.s).partings.uninteresting, 1);
    meet(&b, 1);
    meet(&b, 2);
    engine_pause(b.s.e, b.id, b.s.now_ms);
    shell_drain(&b.s);
    assert_int_equal(shell_totals(&b.s).partings.uninteresting, 3);
    bench_release(&b);
}

static void more_than_there_is_place_for(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b, 8, true);
    engine_set_limits(b.s.e, b.id, 0, 0, 1, b.s.now_ms);
    meet(&b, 0);
    struct wire *w = &b.w[1];
    wire_init(w, &b.s, &b.c, knock(&b, 1), false);
    wire_shake(w, &b.c.hash, 'b');
    (void)wire_push(w);
    assert_int_equal(shell_totals(&b.s).partings.too_many, 1);
    uint64_t n = 0;
    while (knock(&b, 2) != 0) {
        assert_true(++n < 100);
    }
    struct engine_totals t = shell_totals(&b.s);
    assert_int_equal(t.partings.too_many, 2);
    assert_int_equal(t.accepts_refused, 1);
    /* A client that stops refuses everybody, however few they are. */
    engine_stop(b.s.e, b.s.now_ms);
    shell_drain(&b.s);
    assert_int_equal(knock(&b, 2), 0);
    assert_int_equal(shell_totals(&b.s).partings.too_many, 2);
    bench_release(&b);
}

/* ---- picks --------------------------------------------------------------------------------- */

static void unchoked_and_then_fed(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b, 8, false);
    struct wire *w = meet_seed(&b, 0);
    for (int i = 0; i < 1000 && shell_totals(&b.s).pieces_had < 8; i++) {
        wire_talk(w);
        shell_run(&b.s, 100);
    }
    struct engine_totals t = shell_totals(&b.s);
    assert_int_equal(t.pieces_had, 8);
    assert_int_equal(t.picks[PICK_UNCHOKE], 1);
    assert_in_range(t.picks[PICK_INCOMING], 1, t.in.calls);
    assert_int_equal(t.picks[PICK_REDUNDANT] + t.picks[PICK_SNUBBED] + t.picks[PICK_HASH_FAIL] +
                         t.picks[PICK_REJECT] + t.picks[PICK_END_GAME],
                     0);
    assert_true(t.picker.random >= PICKER_RANDOM_FIRST && t.picker.partial > 0);
    assert_in_range(t.picker.random + t.picker.rare, 8, 100);
    assert_int_equal(t.now.end_game, 0); /* nothing more is wanted */
    bench_release(&b);
}

static void it_has_a_piece_now(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b, 8, false);
    struct wire *w = meet(&b, 0);
    say(w, WIRE_UNCHOKE);
    assert_int_equal(shell_totals(&b.s).picks[PICK_INTERESTING], 0);
    say_have(w, 3);
    assert_int_equal(shell_totals(&b.s).picks[PICK_INTERESTING], 1);
    assert_int_equal(shell_totals(&b.s).picks[PICK_UNCHOKE], 0);
    bench_release(&b);
}

/* The first block that it is about to send: it was asked for it. */
static struct wire_block answer_of(const struct wire *w)
{
    const uint8_t *p = w->to + 5;
    assert_true(w->n_to > WIRE_BLOCK_LEN);
    return (struct wire_block){
        .piece = (uint32_t)p[2] << 8 | p[3],
        .begin = (uint32_t)p[4] << 24 | (uint32_t)p[5] << 16 | (uint32_t)p[6] << 8 | p[7],
        .len = WIRE_BLOCK_LEN,
    };
}

static void it_rejects(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b, 8, false);
    struct wire *w = meet_seed(&b, 0);
    (void)wire_push(w);
    (void)wire_pull(w);
    const struct wire_block block = answer_of(w);
    assert_int_equal(shell_totals(&b.s).picks[PICK_REJECT], 0);
    w->n_to = 0;
    wire_say_msg(w, &(struct peer_wire_msg){.type = WIRE_REJECT, .block = block});
    (void)wire_push(w);
    struct engine_totals t = shell_totals(&b.s);
    assert_int_equal(t.messages.in[WIRE_REJECT], 1);
    assert_int_equal(t.picks[PICK_REJECT], 1);
    assert_int_equal(t.picks[PICK_INCOMING], 0);
    bench_release(&b);
}

static void it_answers_too_late(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b, 8, false);
    struct wire *w = meet_seed(&b, 0);
    (void)wire_push(w);
    shell_run(&b.s, REQUESTS_TIMEOUT_MS - 1000);
    assert_int_equal(shell_totals(&b.s).picks[PICK_SNUBBED], 0);
    shell_run(&b.s, 2000);
    struct engine_totals t = shell_totals(&b.s);
    assert_in_range(t.picks[PICK_SNUBBED], 1, 2);
    assert_true(t.messages.out[WIRE_CANCEL] > 0);
    bench_release(&b);
}

/* One sends all of a bad piece; the other is idle until that is known. */
static void a_bad_piece_is_wanted_again(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b, 8, false);
    struct wire *bad = meet(&b, 0);
    struct wire *idle = meet(&b, 1);
    say(bad, WIRE_UNCHOKE);
    say_have(bad, 5);
    memset(b.c.bytes + 5 * (size_t)PIECE_LEN, 0, PIECE_LEN); /* it sends that */
    (void)wire_pull(bad);
    (void)wire_push(bad);
    (void)wire_pull(bad); /* asked for the rest */
    say(idle, WIRE_UNCHOKE);
    say_have(idle, 5);
    assert_int_equal(shell_totals(&b.s).messages.out[WIRE_REQUEST], BLOCKS);
    assert_int_equal(shell_totals(&b.s).picks[PICK_HASH_FAIL], 0);
    (void)wire_push(bad);
    struct engine_totals t = shell_totals(&b.s);
    assert_int_equal(t.hash_failures, 1);
    assert_int_equal(t.banned, 1);
    assert_int_equal(t.picks[PICK_HASH_FAIL], 1);
    assert_true(t.messages.out[WIRE_REQUEST] > BLOCKS);
    bench_release(&b);
}

/* Of a piece's four blocks one peer owes two and is slow: the other is asked for them as well. */
static void the_end_game(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b, 1, false);
    struct wire *slow = meet_seed(&b, 0);
    struct wire *quick = meet_seed(&b, 1);
    (void)wire_push(slow);
    (void)wire_push(quick);
    (void)wire_pull(quick);
    assert_int_equal(shell_totals(&b.s).messages.out[WIRE_REQUEST], BLOCKS);
    assert_int_equal(shell_totals(&b.s).now.end_game, 0);
    assert_int_equal(shell_totals(&b.s).picks[PICK_END_GAME], 0);
    (void)wire_push(quick);
    struct engine_totals t = shell_totals(&b.s);
    assert_int_equal(t.picks[PICK_END_GAME], 1);
    assert_int_equal(t.messages.out[WIRE_REQUEST], BLOCKS + 1);
    assert_int_equal(t.now.end_game, 1);
    assert_true(t.picker.busy > 0);
    assert_int_equal(t.picks[PICK_REDUNDANT], 0);
    (void)wire_pull(quick);
    const struct wire_block twice = answer_of(quick);
    (void)wire_push(quick); /* what the slow one owes came from the quick one */
    t = shell_totals(&b.s);
    assert_int_equal(t.messages.out[WIRE_CANCEL], 1);
    assert_in_range(t.picks[PICK_REDUNDANT] + t.picks[PICK_END_GAME], 2, 3);
    const uint64_t n_redundant = t.picks[PICK_REDUNDANT];
    assert_true(n_redundant > 0);
    wire_give(slow, &twice); /* it was on its way already */
    (void)wire_push(slow);
    t = shell_totals(&b.s);
    assert_int_equal(t.waste[WASTE_CANCELLED], WIRE_BLOCK_LEN);
    assert_int_equal(t.picks[PICK_REDUNDANT], n_redundant + 1);
    bench_release(&b);
}

/* ---- limits and the disk ------------------------------------------------------------------- */

static void what_waits_for_the_download_limit(void **state)
{
    struct bench b;
    struct engine_cfg cfg = usual();
    (void)state;
    cfg.max_down_bps = 20000;
    bench_init_with(&b, 8, false, &cfg, NULL);
    struct wire *w = meet_seed(&b, 0);
    for (int i = 0; i < 100 && shell_totals(&b.s).now.limited_down == 0; i++) {
        wire_talk(w);
        shell_run(&b.s, 1);
    }
    struct engine_totals t = shell_totals(&b.s);
    assert_int_equal(t.now.limited_down, 1);
    assert_true(t.limited_down_len >= WIRE_BLOCK_LEN);
    assert_int_equal(t.limited_down_len % WIRE_BLOCK_LEN, 0);
    assert_int_equal(t.limited_up_len, 0);
    bench_release(&b);
}

static void what_waits_for_the_upload_limit(void **state)
{
    struct bench b;
    struct engine_cfg cfg = usual();
    (void)state;
    cfg.max_up_bps = 20000;
    bench_init_with(&b, 8, true, &cfg, NULL);
    struct wire *w = meet(&b, 0);
    w->asks = true;
    say(w, WIRE_INTERESTED);
    for (int i = 0; i < 100 && shell_totals(&b.s).now.limited_up == 0; i++) {
        wire_talk(w);
        shell_run(&b.s, 1);
    }
    struct engine_totals t = shell_totals(&b.s);
    assert_int_equal(t.now.limited_up, 1);
    assert_in_range(t.limited_up_len, 1, 8 * PIECE_LEN);
    assert_int_equal(t.limited_down_len, 0);
    bench_release(&b);
}

static void a_disk_that_is_behind(void **state)
{
    struct bench b;
    struct engine_cfg cfg = usual();
    (void)state;
    cfg.max_disk_queue_len = 2 * PIECE_LEN;
    bench_init_with(&b, 8, false, &cfg, NULL);
    b.s.hold_disk = true;
    struct wire *w = meet_seed(&b, 0);
    for (int i = 0; i < 100; i++) {
        wire_talk(w);
        shell_run(&b.s, 10);
    }
    struct engine_totals t = shell_totals(&b.s);
    assert_true(t.disk_queue_writes >= 1);
    assert_int_equal(t.disk_queue_reads, 0);
    assert_int_equal(t.disk_relieved, 0);
    assert_int_equal(t.now.waits_for_disk, 1);
    shell_let_go(&b.s);
    t = shell_totals(&b.s);
    assert_int_equal(t.disk_relieved, 1);
    assert_int_equal(t.disk_queue_writes, 0);
    bench_release(&b);
}

static void reads_that_are_under_way(void **state)
{
    struct bench b;
    (void)state;
    bench_init(&b, 8, true);
    struct wire *w = meet(&b, 0);
    say(w, WIRE_INTERESTED);
    b.s.hold_disk = true;
    wire_say_msg(w, &(struct peer_wire_msg){.type = WIRE_REQUEST, .block = {2, 0, WIRE_BLOCK_LEN}});
    wire_talk(w);
    assert_int_equal(shell_totals(&b.s).disk_queue_reads, 1);
    assert_int_equal(shell_totals(&b.s).disk_queue_writes, 0);
    shell_let_go(&b.s);
    assert_int_equal(shell_totals(&b.s).disk_queue_reads, 0);
    assert_int_equal(shell_totals(&b.s).blocks_read, 1);
    bench_release(&b);
}

/* In seed mode a piece is hashed before a block of it is read: to be hashed it is read, too. */
static void what_is_read_to_be_hashed(void **state)
{
    struct bench b;
    const struct torrent_add seed_mode = {.flags = TORRENT_SEED_MODE};
    const struct engine_cfg cfg = usual();
    (void)state;
    bench_init_with(&b, 8, true, &cfg, &seed_mode);
    struct wire *w = meet(&b, 0);
    say(w, WIRE_INTERESTED);
    wire_say_msg(w, &(struct peer_wire_msg){.type = WIRE_REQUEST, .block = {2, 0, WIRE_BLOCK_LEN}});
    wire_talk(w);
    struct engine_totals t = shell_totals(&b.s);
    assert_int_equal(t.disk_hashes, 1);
    assert_int_equal(t.disk_reads, 1);
    assert_int_equal(t.blocks_hashed, BLOCKS);
    assert_int_equal(t.blocks_read, 1 + BLOCKS);
    assert_int_equal(t.blocks_read_back, 0);
    bench_release(&b);
}

/* One that was begun in an earlier life: its first blocks can be hashed from the disk alone. */
static void a_piece_that_is_read_back(void **state)
{
    struct bench b;
    static const uint8_t first[] = {0x80};
    const struct torrent_partial partial = {.piece = 3, .written = {first, sizeof first}};
    const struct torrent_resume resume = {.checked = true, .partials = &partial, .n_partials = 1};
    torrent_id id;
    const char *why = "";
    (void)state;
    bench_init(&b, 8, false);
    engine_remove_torrent(b.s.e, b.id, false, b.s.now_ms);
    shell_run(&b.s, 10000);
    memcpy(b.s.disk + 3 * (size_t)PIECE_LEN, b.c.bytes + 3 * (size_t)PIECE_LEN, WIRE_BLOCK_LEN);
    assert_int_equal(engine_add_torrent(b.s.e,
                                        &(struct torrent_add){
                                            .info_hash = b.c.hash,
                                            .info = span_of(b.c.info, b.c.info_len),
                                            .resume = &resume,
                                        },
                                        &id, b.s.now_ms, &why),
                     0);
    shell_drain(&b.s);
    struct wire *w = meet(&b, 0);
    say(w, WIRE_UNCHOKE);
    say_have(w, 3);
    for (int i = 0; i < 100 && shell_totals(&b.s).pieces_had == 0; i++) {
        wire_talk(w);
        shell_run(&b.s, 10);
    }
    struct engine_totals t = shell_totals(&b.s);
    assert_int_equal(t.pieces_had, 1);
    assert_int_equal(t.blocks_read_back, BLOCKS);
    assert_int_equal(t.messages.in[WIRE_PIECE], BLOCKS - 1);
    bench_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_count),
        cmocka_unit_test(an_attempt_that_nobody_answers),
        cmocka_unit_test(who_is_silent),
        cmocka_unit_test(nothing_to_tell_each_other),
        cmocka_unit_test(more_than_there_is_place_for),
        cmocka_unit_test(unchoked_and_then_fed),
        cmocka_unit_test(it_has_a_piece_now),
        cmocka_unit_test(it_rejects),
        cmocka_unit_test(it_answers_too_late),
        cmocka_unit_test(a_bad_piece_is_wanted_again),
        cmocka_unit_test(the_end_game),
        cmocka_unit_test(what_waits_for_the_download_limit),
        cmocka_unit_test(what_waits_for_the_upload_limit),
        cmocka_unit_test(a_disk_that_is_behind),
        cmocka_unit_test(reads_that_are_under_way),
        cmocka_unit_test(what_is_read_to_be_hashed),
        cmocka_unit_test(a_piece_that_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
