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

static struct engine_cfg config(void)
{
    struct engine_cfg cfg = engine_cfg_default;
    cfg.announce_to_own_tracker = false;
    cfg.seed = 7;
    return cfg;
}

static void bench_init(struct bench *b, const struct engine_cfg *cfg, bool complete,
                       const struct torrent_add *more)
{
    shell_init(&b->s, cfg);
    shell_add_session(&b->s);
    content_init(&b->c, 8, 1);
    b->id = shell_add(&b->s, &b->c, complete, more);
}

static void bench_release(struct bench *b)
{
    shell_release(&b->s);
    content_release(&b->c);
}

static conn_id accept_from(struct bench *b, const char *remote)
{
    struct endpoint from = at(remote);
    conn_id id = engine_on_accept(b->s.e, 0, &from, b->s.now_ms);
    shell_drain(&b->s);
    return id;
}

/* An incoming peer that has said its handshake and what it has. */
static void greet_from(struct bench *b, struct wire *w, const char *remote, uint8_t peer, bool seed)
{
    wire_init(w, &b->s, &b->c, accept_from(b, remote), seed);
    assert_int_not_equal(w->conn, 0);
    wire_shake(w, &b->c.hash, peer);
    wire_greet(w);
    wire_talk(w);
}

static bool is_closed(const struct bench *b, conn_id conn)
{
    const struct engine_out *out;
    for (size_t i = 0; (out = shell_out(&b->s, ENGINE_OUT_CLOSE, i)) != NULL; i++) {
        if (out->conn == conn) {
            assert_non_null(out->why);
            return true;
        }
    }
    return false;
}

static uint32_t n_peers(const struct bench *b)
{
    struct torrent_status st;
    assert_int_equal(engine_status(b->s.e, b->id, &st, b->s.now_ms), 0);
    return st.n_peers;
}

/* ---- who may come in ---- */

static void test_strangers_of_one_address_are_few(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    char text[ENDPOINT_TEXT_LEN];
    size_t n = 0;
    bench_init(&b, &cfg, true, NULL);
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(text, sizeof text, "198.51.100.1:%u", 1024 + i);
        n += accept_from(&b, text) != 0 ? 1 : 0;
    }
    assert_int_equal(n, 8);
    assert_int_equal(shell_totals(&b.s).accepts_refused, 992);
    assert_int_not_equal(accept_from(&b, "198.51.100.2:1024"), 0);
    /* A handshake that never comes frees its place after its time. */
    shell_run(&b.s, PEER_HANDSHAKE_MS + 1);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_CLOSE], 9);
    assert_int_not_equal(accept_from(&b, "198.51.100.1:5000"), 0);
    bench_release(&b);
}

static void test_strangers_are_a_tenth_of_all(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    char text[ENDPOINT_TEXT_LEN];
    unsigned n = 0;
    cfg.max_peers = 500;
    bench_init(&b, &cfg, true, NULL);
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(text, sizeof text, "198.51.%u.%u:1024", i / 250, i % 250);
        n += accept_from(&b, text) != 0 ? 1 : 0;
    }
    assert_int_equal(n, 50);
    bench_release(&b);
}

static void test_strangers_that_shook_hands_make_room(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    struct wire w[10];
    bench_init(&b, &cfg, true, NULL);
    for (unsigned i = 0; i < 10; i++) {
        char text[ENDPOINT_TEXT_LEN];
        (void)snprintf(text, sizeof text, "198.51.100.1:%u", 1024 + i);
        greet_from(&b, &w[i], text, (uint8_t)(1 + i), false);
    }
    assert_int_equal(n_peers(&b), 10);
    for (unsigned i = 0; i < 10; i++) {
        wire_release(&w[i]);
    }
    bench_release(&b);
}

static void test_limits_of_peers(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    struct wire w[4];
    cfg.max_peers = 3;
    bench_init(&b, &cfg, true, &(struct torrent_add){.max_peers = 2});
    greet_from(&b, &w[0], "198.51.100.1:1", 'a', false);
    greet_from(&b, &w[1], "198.51.100.2:1", 'b', false);
    greet_from(&b, &w[2], "198.51.100.3:1", 'c', false);
    assert_true(is_closed(&b, w[2].conn)); /* the torrent's limit */
    assert_int_equal(w[2].n_msgs, 0);
    assert_false(w[2].shook);
    wire_init(&w[3], &b.s, &b.c, accept_from(&b, "198.51.100.4:1"), false);
    assert_int_not_equal(w[3].conn, 0);
    assert_int_equal(accept_from(&b, "198.51.100.5:1"), 0); /* the engine's */
    assert_int_equal(n_peers(&b), 2);
    for (unsigned i = 0; i < 4; i++) {
        wire_release(&w[i]);
    }
    bench_release(&b);
}

static void test_unknown_torrents_get_no_answer(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    struct wire w[2];
    bench_init(&b, &cfg, true, NULL);
    wire_init(&w[0], &b.s, &b.c, accept_from(&b, "198.51.100.1:1"), false);
    wire_shake(&w[0], &(struct infohash){{1, 2, 3}}, 'a');
    wire_talk(&w[0]);
    assert_true(is_closed(&b, w[0].conn));
    assert_false(w[0].shook);
    engine_pause(b.s.e, b.id, b.s.now_ms);
    greet_from(&b, &w[1], "198.51.100.1:2", 'a', false);
    assert_true(is_closed(&b, w[1].conn));
    assert_false(w[1].shook);
    wire_release(&w[0]);
    wire_release(&w[1]);
    bench_release(&b);
}

static void test_a_torrent_of_another_session_is_not_here(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    struct wire w;
    struct endpoint from = at("198.51.100.1:1");
    bench_init(&b, &cfg, true, NULL);
    engine_add_session(b.s.e, &(struct session_add){.id = 5, .peer_id = peer_id_of('N')});
    wire_init(&w, &b.s, &b.c, engine_on_accept(b.s.e, 5, &from, b.s.now_ms), false);
    assert_int_equal(engine_on_accept(b.s.e, 6, &from, b.s.now_ms), 0);
    wire_shake(&w, &b.c.hash, 'a');
    wire_talk(&w);
    assert_true(is_closed(&b, w.conn));
    engine_remove_session(b.s.e, 5);
    wire_release(&w);
    bench_release(&b);
}

/* ---- twice the same peer ---- */

/* We connect to that address and the peer there answers with that id. */
static void connect_to(struct bench *b, struct wire *w, const char *remote, uint8_t peer)
{
    struct endpoint to = at(remote);
    engine_add_peer(b->s.e, b->id, &to, b->s.now_ms);
    shell_forget(&b->s);
    shell_run(&b->s, 1000);
    const struct engine_out *out = shell_out(&b->s, ENGINE_OUT_CONNECT, 0);
    assert_non_null(out);
    assert_true(endpoint_eq(&out->remote, &to));
    wire_init(w, &b->s, &b->c, out->conn, false);
    engine_on_connected(b->s.e, w->conn, 0, b->s.now_ms);
    shell_drain(&b->s);
    wire_shake(w, &b->c.hash, peer);
    wire_greet(w);
    wire_talk(w);
    assert_true(w->shook);
}

static void test_one_connection_a_peer(void **state)
{
    (void)state;
    /* We are M: a smaller peer's own connection stays, to a greater one ours does. */
    static const struct {
        uint8_t peer;
        bool first_in;
        bool first_stays;
    } cases[] = {
        {'A', true, true},
        {'A', false, false},
        {'Z', true, false},
        {'Z', false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct engine_cfg cfg = config();
        struct bench b;
        struct wire in;
        struct wire out;
        bench_init(&b, &cfg, true, NULL);
        if (cases[i].first_in) {
            greet_from(&b, &in, "198.51.100.1:40000", cases[i].peer, false);
            connect_to(&b, &out, "198.51.100.1:6881", cases[i].peer);
        } else {
            connect_to(&b, &out, "198.51.100.1:6881", cases[i].peer);
            greet_from(&b, &in, "198.51.100.1:40000", cases[i].peer, false);
        }
        bool in_stays = cases[i].first_in == cases[i].first_stays;
        assert_int_equal(n_peers(&b), 1);
        assert_true(is_closed(&b, in_stays ? out.conn : in.conn));
        assert_false(is_closed(&b, in_stays ? in.conn : out.conn));
        /* Its address is that of a connected peer now: it is not tried again. */
        shell_forget(&b.s);
        shell_run(&b.s, 100000);
        assert_int_equal(b.s.n_outs[ENGINE_OUT_CONNECT], 0);
        wire_release(&in);
        wire_release(&out);
        bench_release(&b);
    }
}

static void test_two_ways_of_one_peer_ipv6_stays(void **state)
{
    (void)state;
    for (int v6_first = 0; v6_first < 2; v6_first++) {
        struct engine_cfg cfg = config();
        struct bench b;
        struct wire w[2];
        const char *const from[] = {"198.51.100.1:1", "[2001:db8::1]:1"};
        bench_init(&b, &cfg, true, NULL);
        greet_from(&b, &w[0], from[v6_first], 'a', false);
        greet_from(&b, &w[1], from[!v6_first], 'a', false);
        assert_true(is_closed(&b, w[v6_first].conn));
        assert_false(is_closed(&b, w[!v6_first].conn));
        wire_release(&w[0]);
        wire_release(&w[1]);
        bench_release(&b);
    }
}

static void test_ourselves_is_nobody(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    struct wire w;
    struct endpoint self = at("203.0.113.9:6881");
    bench_init(&b, &cfg, true, NULL);
    connect_to(&b, &w, "203.0.113.9:6881", 'M');
    assert_true(is_closed(&b, w.conn));
    assert_int_equal(n_peers(&b), 0);
    shell_forget(&b.s);
    for (int i = 0; i < 10; i++) {
        engine_add_peer(b.s.e, b.id, &self, b.s.now_ms);
        shell_run(&b.s, 100000);
    }
    assert_int_equal(b.s.n_outs[ENGINE_OUT_CONNECT], 0);
    /* Our own listening address we know beforehand. */
    struct endpoint listen = at("192.0.2.1:6881");
    engine_add_peer(b.s.e, b.id, &listen, b.s.now_ms);
    shell_run(&b.s, 100000);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_CONNECT], 0);
    wire_release(&w);
    bench_release(&b);
}

static void test_seeds_have_nothing_for_a_seed(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    struct wire w[2];
    bench_init(&b, &cfg, true, NULL);
    greet_from(&b, &w[0], "198.51.100.1:1", 'a', true);
    greet_from(&b, &w[1], "198.51.100.2:1", 'b', false);
    assert_true(is_closed(&b, w[0].conn));
    assert_false(is_closed(&b, w[1].conn));
    wire_release(&w[0]);
    wire_release(&w[1]);
    bench_release(&b);
}

/* ---- connecting ---- */

static void add_peers(struct bench *b, torrent_id id, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char text[ENDPOINT_TEXT_LEN];
        (void)snprintf(text, sizeof text, "198.51.%u.%u:%u", i / 250, 1 + i % 250,
                       1000 + (unsigned)id);
        struct endpoint to = at(text);
        engine_add_peer(b->s.e, id, &to, b->s.now_ms);
    }
}

static void test_attempts_are_paced(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    cfg.max_half_open = 100000;
    bench_init(&b, &cfg, false, NULL);
    add_peers(&b, b.id, 400);
    for (unsigned s = 0; s < 3; s++) {
        size_t before = b.s.n_outs[ENGINE_OUT_CONNECT];
        shell_run(&b.s, 1000);
        size_t n = b.s.n_outs[ENGINE_OUT_CONNECT] - before;
        assert_in_range(n, 29, 31);
    }
    bench_release(&b);
}

static void test_half_open_are_limited_and_time_out(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    cfg.max_half_open = 20;
    cfg.connects_per_s = 1000;
    bench_init(&b, &cfg, false, NULL);
    add_peers(&b, b.id, 50);
    shell_run(&b.s, 14000);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_CONNECT], 20);
    assert_int_equal(shell_totals(&b.s).n_half_open, 20);
    /* One connects, one fails: two places. */
    engine_on_connected(b.s.e, shell_out(&b.s, ENGINE_OUT_CONNECT, 0)->conn, 0, b.s.now_ms);
    engine_on_connected(b.s.e, shell_out(&b.s, ENGINE_OUT_CONNECT, 1)->conn, ERR_UNAVAILABLE,
                        b.s.now_ms);
    shell_run(&b.s, 500);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_CONNECT], 22);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_CLOSE], 0);
    shell_run(&b.s, 1500);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_CLOSE], 18);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_CONNECT], 40);
    bench_release(&b);
}

static void test_torrents_take_turns(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    struct content other;
    size_t n[3] = {0};
    bench_init(&b, &cfg, false, NULL);
    content_init(&other, 8, 2);
    torrent_id second = shell_add(&b.s, &other, false, NULL);
    add_peers(&b, b.id, 100);
    add_peers(&b, second, 100);
    shell_run(&b.s, 2000);
    const struct engine_out *out;
    for (size_t i = 0; (out = shell_out(&b.s, ENGINE_OUT_CONNECT, i)) != NULL; i++) {
        n[out->torrent == second]++;
    }
    assert_in_range(n[0], 29, 31);
    assert_in_range(n[1], 29, 31);
    content_release(&other);
    bench_release(&b);
}

static void test_each_tenth_attempt_is_for_a_seed(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    struct content other;
    size_t n[2] = {0};
    cfg.max_half_open = 1000;
    bench_init(&b, &cfg, false, NULL);
    content_init(&other, 8, 2);
    torrent_id seed = shell_add(&b.s, &other, true, NULL);
    add_peers(&b, b.id, 150);
    add_peers(&b, seed, 150);
    shell_run(&b.s, 3333);
    const struct engine_out *out;
    for (size_t i = 0; (out = shell_out(&b.s, ENGINE_OUT_CONNECT, i)) != NULL; i++) {
        n[out->torrent == seed]++;
    }
    assert_in_range(n[0], 89, 91);
    assert_in_range(n[1], 9, 11);
    content_release(&other);
    bench_release(&b);
}

static void test_a_first_answer_brings_peers_at_once(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    struct endpoint peers[80];
    const struct torrent_tracker tracker = {.url = SPAN("http://t.example/announce")};
    bench_init(&b, &cfg, false, &(struct torrent_add){.trackers = &tracker, .n_trackers = 1});
    const struct engine_out *out = shell_out(&b.s, ENGINE_OUT_ANNOUNCE, 0);
    assert_non_null(out);
    for (unsigned i = 0; i < 80; i++) {
        char text[ENDPOINT_TEXT_LEN];
        (void)snprintf(text, sizeof text, "198.51.100.%u:6881", 1 + i);
        peers[i] = at(text);
    }
    const struct announce_result result = {
        .outcome = {.answered = true, .interval_s = 1800},
        .peers = peers,
        .n_peers = 80,
    };
    engine_on_announced(b.s.e, out->announce.id, &result, b.s.now_ms);
    shell_run(&b.s, 1);
    assert_in_range(b.s.n_outs[ENGINE_OUT_CONNECT], 30, 31);
    shell_run(&b.s, 999);
    assert_in_range(b.s.n_outs[ENGINE_OUT_CONNECT], 59, 61);
    bench_release(&b);
}

static void test_a_failed_candidate_comes_back(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    bench_init(&b, &cfg, false, NULL);
    add_peers(&b, b.id, 1);
    shell_run(&b.s, 10);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_CONNECT], 1);
    engine_on_connected(b.s.e, shell_out(&b.s, ENGINE_OUT_CONNECT, 0)->conn, ERR_UNAVAILABLE,
                        b.s.now_ms);
    shell_run(&b.s, 119000);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_CONNECT], 1);
    shell_run(&b.s, 2000);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_CONNECT], 2);
    bench_release(&b);
}

/* ---- outputs ---- */

static void test_a_send_is_given_out_once(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    struct wire w;
    bench_init(&b, &cfg, true, NULL);
    greet_from(&b, &w, "198.51.100.1:1", 'a', false);
    assert_true(w.unchoked);
    shell_forget(&b.s);
    w.asks = true;
    wire_ask(&w);
    w.asks = false;
    assert_int_equal(w.n_asked, WIRE_ASKS);
    /* A request at a time, and no send between them. */
    for (size_t i = 0; i < w.n_to; i += 17) {
        engine_on_bytes(b.s.e, w.conn, span_of(w.to + i, 17), b.s.now_ms);
    }
    w.n_to = 0;
    shell_drain(&b.s);
    assert_int_equal(b.s.n_sends, 1);
    wire_talk(&w);
    assert_int_equal(w.n_payload, WIRE_ASKS * WIRE_BLOCK_LEN);
    wire_release(&w);
    bench_release(&b);
}

static void test_inputs_about_nobody_are_ignored(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    struct iovec part;
    uint8_t byte = 0;
    struct torrent_status st;
    struct torrent_saved saved;
    bench_init(&b, &cfg, true, NULL);
    engine_on_bytes(b.s.e, 99, span_of(&byte, 1), b.s.now_ms);
    engine_on_connected(b.s.e, 99, 0, b.s.now_ms);
    engine_on_closed(b.s.e, 99, ERR_CLOSED, b.s.now_ms);
    engine_on_sent(b.s.e, 99, 1, b.s.now_ms);
    assert_int_equal(engine_read_room(b.s.e, 99, b.s.now_ms), 0);
    assert_int_equal(engine_send_iov(b.s.e, 99, &part, 1, b.s.now_ms), 0);
    engine_on_announced(b.s.e, 99, &(struct announce_result){.n_peers = 0}, b.s.now_ms);
    engine_on_saved(b.s.e, 99, 1, 0, b.s.now_ms);
    engine_pause(b.s.e, 99, b.s.now_ms);
    engine_resume(b.s.e, 99, b.s.now_ms);
    engine_recheck(b.s.e, 99, b.s.now_ms);
    engine_announce(b.s.e, 99, b.s.now_ms);
    engine_remove_torrent(b.s.e, 99, false, b.s.now_ms);
    assert_int_equal(engine_status(b.s.e, 99, &st, b.s.now_ms), ERR_NOT_FOUND);
    assert_int_equal(engine_resume_of(b.s.e, 99, &saved, b.s.now_ms), ERR_NOT_FOUND);
    shell_drain(&b.s);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_CLOSE], 0);
    bench_release(&b);
}

static void test_a_closed_connection_is_heard_of_no_more(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    struct wire w;
    bench_init(&b, &cfg, true, NULL);
    greet_from(&b, &w, "198.51.100.1:1", 'a', false);
    shell_forget(&b.s);
    w.asks = true;
    wire_ask(&w);
    assert_int_equal(w.n_asked, WIRE_ASKS);
    (void)engine_read_room(b.s.e, w.conn, b.s.now_ms);
    engine_on_bytes(b.s.e, w.conn, span_of(w.to, w.n_to), b.s.now_ms);
    engine_on_closed(b.s.e, w.conn, ERR_CLOSED, b.s.now_ms);
    shell_run(&b.s, 300000);
    assert_int_equal(b.s.n_sends + b.s.n_reads, 0);
    assert_int_equal(b.s.n_outs[ENGINE_OUT_CLOSE], 0);
    assert_int_equal(n_peers(&b), 0);
    wire_release(&w);
    bench_release(&b);
}

static void test_junk_closes(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    struct rng rng = {3};
    bench_init(&b, &cfg, true, NULL);
    for (unsigned i = 0; i < 300; i++) {
        struct wire w;
        uint8_t junk[64];
        wire_init(&w, &b.s, &b.c, accept_from(&b, "198.51.100.1:1"), false);
        assert_int_not_equal(w.conn, 0);
        wire_shake(&w, &b.c.hash, (uint8_t)(1 + i % 70));
        for (size_t k = 0; k < sizeof junk; k++) {
            junk[k] = (uint8_t)rng_next(&rng);
        }
        wire_say(&w, junk, sizeof junk);
        (void)wire_push(&w);
        engine_on_closed(b.s.e, w.conn, ERR_CLOSED, b.s.now_ms);
        wire_release(&w);
    }
    assert_int_equal(n_peers(&b), 0);
    bench_release(&b);
}

/* ---- the disk is behind ---- */

static void test_a_slow_disk_stops_reading(void **state)
{
    (void)state;
    struct engine_cfg cfg = config();
    struct bench b;
    struct wire w;
    cfg.max_disk_queue_len = PIECE_LEN;
    bench_init(&b, &cfg, false, NULL);
    b.s.hold_disk = true;
    greet_from(&b, &w, "198.51.100.1:1", 'a', true);
    for (unsigned i = 0; i < 200; i++) {
        wire_talk(&w);
        shell_run(&b.s, 10);
    }
    struct torrent_status st;
    assert_int_equal(engine_status(b.s.e, b.id, &st, b.s.now_ms), 0);
    assert_int_equal(st.n_pieces_have, 0);
    assert_int_equal(engine_read_room(b.s.e, w.conn, b.s.now_ms), 0);
    /* The last read may have gone over the limit. */
    assert_in_range(shell_totals(&b.s).disk_queue_len, PIECE_LEN, PIECE_LEN + (1 << 18));
    shell_forget(&b.s);
    shell_let_go(&b.s);
    assert_int_equal(b.s.n_reads, 1);
    for (unsigned i = 0; i < 200; i++) {
        wire_talk(&w);
        shell_run(&b.s, 10);
    }
    assert_int_equal(engine_status(b.s.e, b.id, &st, b.s.now_ms), 0);
    assert_int_equal(st.state, TORRENT_SEEDING);
    assert_memory_equal(b.s.disk, b.c.bytes, b.c.len);
    wire_release(&w);
    bench_release(&b);
}

/* ---- many ---- */

static void test_ten_thousand_idle_torrents_cost_nothing(void **state)
{
    (void)state;
    enum { N = 10000 };
    struct engine_cfg cfg = config();
    struct shell s;
    struct content c;
    shell_init(&s, &cfg);
    shell_add_session(&s);
    content_init(&c, 1, 1);
    for (unsigned i = 0; i < N; i++) {
        char digits[5];
        uint8_t *name = memmem(c.info, c.info_len, "4:name4:", 8);
        assert_non_null(name);
        (void)snprintf(digits, sizeof digits, "%04u", i);
        memcpy(name + 8, digits, 4);
        digest_sha1(c.hash.b, span_of(c.info, c.info_len));
        (void)shell_add(&s, &c, true, NULL);
    }
    shell_run(&s, 30000);
    shell_forget(&s);
    assert_true(engine_deadline_ms(s.e) - s.now_ms > 3600000);
    for (unsigned i = 0; i < 1000000; i++) {
        (void)engine_deadline_ms(s.e);
        engine_on_deadline(s.e, ++s.now_ms);
    }
    assert_int_equal(s.n_log, 0);
    torrent_id id = 0;
    size_t n = 0;
    while ((id = engine_next_torrent(s.e, id)) != 0) {
        n++;
    }
    assert_int_equal(n, N);
    engine_stop(s.e, s.now_ms);
    shell_run(&s, 6000);
    assert_true(engine_is_idle(s.e));
    shell_release(&s);
    content_release(&c);
}

int main(void)
{
    if (digest_start() != 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strangers_of_one_address_are_few),
        cmocka_unit_test(test_strangers_are_a_tenth_of_all),
        cmocka_unit_test(test_strangers_that_shook_hands_make_room),
        cmocka_unit_test(test_limits_of_peers),
        cmocka_unit_test(test_unknown_torrents_get_no_answer),
        cmocka_unit_test(test_a_torrent_of_another_session_is_not_here),
        cmocka_unit_test(test_one_connection_a_peer),
        cmocka_unit_test(test_two_ways_of_one_peer_ipv6_stays),
        cmocka_unit_test(test_ourselves_is_nobody),
        cmocka_unit_test(test_seeds_have_nothing_for_a_seed),
        cmocka_unit_test(test_attempts_are_paced),
        cmocka_unit_test(test_half_open_are_limited_and_time_out),
        cmocka_unit_test(test_torrents_take_turns),
        cmocka_unit_test(test_each_tenth_attempt_is_for_a_seed),
        cmocka_unit_test(test_a_first_answer_brings_peers_at_once),
        cmocka_unit_test(test_a_failed_candidate_comes_back),
        cmocka_unit_test(test_a_send_is_given_out_once),
        cmocka_unit_test(test_inputs_about_nobody_are_ignored),
        cmocka_unit_test(test_a_closed_connection_is_heard_of_no_more),
        cmocka_unit_test(test_junk_closes),
        cmocka_unit_test(test_a_slow_disk_stops_reading),
        cmocka_unit_test(test_ten_thousand_idle_torrents_cost_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
