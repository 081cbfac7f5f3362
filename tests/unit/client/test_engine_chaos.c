/* Anything at any time: a seeded random source calls the engine's inputs in any order, with peers
 * that come, talk, hang up and lie, a disk that answers late and in any order, and trackers and a
 * database that fail. After every step the engine keeps its limits, makes progress and can be freed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/client/engine_shell.h"

#include "base/banned.h"

enum { N_TORRENTS = 3, N_WIRES = 12, STEPS = 3000, SEEDS = 8, SPIN_MAX = 50 };

struct chaos {
    struct shell s;
    struct rng rng;
    struct content c[N_TORRENTS];
    struct wire w[N_WIRES];
    size_t n_connects; /* of those in the log, done */
    size_t n_announces;
    size_t n_saves;
};

static uint32_t below(struct chaos *x, uint32_t n)
{
    return rng_below(&x->rng, n);
}

static torrent_id any_torrent(struct chaos *x)
{
    return engine_find(x->s.e, &x->c[below(x, N_TORRENTS)].hash);
}

static void add_any(struct chaos *x)
{
    static const struct torrent_tracker trackers[] = {
        {.url = SPAN("http://a.example/announce")},
        {.url = SPAN("udp://b.example:80/announce"), .tier = 1},
    };
    const struct content *c = &x->c[below(x, N_TORRENTS)];
    struct torrent_add add = {
        .info_hash = c->hash,
        .info = span_of(c->info, c->info_len),
        .trackers = trackers,
        .n_trackers = below(x, 3),
        .flags = below(x, 2) == 0 ? 0 : 1u << below(x, 8),
        .max_down_bps = below(x, 3) == 0 ? 50000 : 0,
        .max_up_bps = below(x, 3) == 0 ? 50000 : 0,
    };
    struct torrent_resume resume = {.checked = below(x, 2) == 0};
    torrent_id id;
    const char *why = NULL;
    add.resume = below(x, 2) == 0 ? &resume : NULL;
    int status = engine_add_torrent(x->s.e, &add, &id, x->s.now_ms, &why);
    assert_true(status == 0 || status == ERR_EXISTS || status == ERR_UNAVAILABLE);
}

/* A wire that hung up, or never was, comes anew. */
static void accept_any(struct chaos *x)
{
    struct wire *w = &x->w[below(x, N_WIRES)];
    const struct content *c = &x->c[below(x, N_TORRENTS)];
    char text[ENDPOINT_TEXT_LEN];
    (void)snprintf(text, sizeof text, "198.51.100.%u:%u", 1 + below(x, 5), 1 + below(x, 60000));
    struct endpoint from = at(text);
    if (w->c != NULL) {
        engine_on_closed(x->s.e, w->conn, ERR_CLOSED, x->s.now_ms);
        wire_release(w);
    }
    wire_init(w, &x->s, c, engine_on_accept(x->s.e, 0, &from, x->s.now_ms), below(x, 2) == 0);
    wire_shake(w, &c->hash, (uint8_t)('A' + below(x, 20)));
    if (below(x, 10) > 0) {
        wire_greet(w);
    }
}

static void answer_connects(struct chaos *x)
{
    const struct engine_out *out = shell_out(&x->s, ENGINE_OUT_CONNECT, x->n_connects);
    if (out == NULL) {
        return;
    }
    x->n_connects++;
    engine_on_connected(x->s.e, out->conn, below(x, 2) == 0 ? 0 : ERR_UNAVAILABLE, x->s.now_ms);
}

static void answer_announces(struct chaos *x)
{
    const struct engine_out *out = shell_out(&x->s, ENGINE_OUT_ANNOUNCE, x->n_announces);
    if (out == NULL) {
        return;
    }
    struct endpoint peers[5];
    struct announce_result result = {.outcome = {.answered = below(x, 3) > 0, .interval_s = 30}};
    for (size_t i = 0; i < 5; i++) {
        char text[ENDPOINT_TEXT_LEN];
        (void)snprintf(text, sizeof text, "203.0.113.%u:6881", 1 + below(x, 100));
        peers[i] = at(text);
    }
    x->n_announces++;
    result.peers = peers;
    result.n_peers = result.outcome.answered ? below(x, 6) : 0;
    engine_on_announced(x->s.e, out->announce.id, &result, x->s.now_ms);
}

static void answer_saves(struct chaos *x)
{
    const struct engine_out *out = shell_out(&x->s, ENGINE_OUT_SAVE, x->n_saves);
    struct torrent_saved saved;
    if (out == NULL) {
        return;
    }
    x->n_saves++;
    if (engine_resume_of(x->s.e, out->torrent, &saved, x->s.now_ms) == 0) {
        torrent_saved_free(&saved);
    }
    engine_on_saved(x->s.e, out->torrent, out->version, below(x, 4) > 0 ? 0 : ERR_DATABASE,
                    x->s.now_ms);
}

/* One of the held jobs, in any order, and it may fail. */
static void answer_disk(struct chaos *x)
{
    struct shell *s = &x->s;
    if (s->n_held == 0) {
        return;
    }
    size_t i = below(x, (uint32_t)s->n_held);
    struct disk_job *job = s->held[i];
    s->held[i] = s->held[--s->n_held];
    if (below(x, 30) == 0) {
        job->status = below(x, 2) == 0 ? ERR_NO_SPACE : ERR_SYSTEM;
        engine_on_disk(s->e, job, s->now_ms);
    } else {
        shell_do_job(s, job);
    }
}

static void talk_any(struct chaos *x)
{
    struct wire *w = &x->w[below(x, N_WIRES)];
    if (w->c == NULL) {
        return;
    }
    if (below(x, 50) == 0) {
        uint64_t junk = rng_next(&x->rng);
        wire_say(w, &junk, sizeof junk);
    }
    w->asks = below(x, 2) == 0;
    (void)wire_push(w);
    if (below(x, 4) > 0) {
        (void)wire_pull(w);
    }
}

static void command_any(struct chaos *x)
{
    struct engine *e = x->s.e;
    torrent_id id = any_torrent(x);
    uint64_t now_ms = x->s.now_ms;
    switch (below(x, 12)) {
    case 0:
        engine_pause(e, id, now_ms);
        break;
    case 1:
    case 2:
    case 3:
        engine_resume(e, id, now_ms);
        break;
    case 4:
        engine_recheck(e, id, now_ms);
        break;
    case 5:
        engine_remove_torrent(e, id, below(x, 2) == 0, now_ms);
        break;
    case 6:
        engine_set_flags(e, id, 1u << below(x, 8), 1u << below(x, 8), now_ms);
        break;
    case 7:
        engine_set_limits(e, id, below(x, 3) * 30000, below(x, 3) * 30000, below(x, 10), now_ms);
        break;
    case 8:
        engine_announce(e, id, now_ms);
        break;
    case 9:
        engine_set_rates(e, below(x, 3) * 60000, below(x, 3) * 60000, now_ms);
        break;
    default: {
        uint8_t priority = (uint8_t)below(x, 8);
        int status = engine_set_priorities(e, id, span_of(&priority, 1), now_ms);
        assert_true(status == 0 || status == ERR_NOT_FOUND || status == ERR_INVALID);
        break;
    }
    }
}

/* Time passes; nothing is due for ever. */
static void pass_time(struct chaos *x, uint64_t ms)
{
    struct shell *s = &x->s;
    uint64_t end_ms = s->now_ms + ms;
    unsigned spins = 0;
    while (engine_deadline_ms(s->e) <= end_ms) {
        uint64_t due_ms = engine_deadline_ms(s->e);
        spins = due_ms > s->now_ms ? 0 : spins + 1;
        assert_true(spins < SPIN_MAX);
        s->now_ms = due_ms > s->now_ms ? due_ms : s->now_ms;
        engine_on_deadline(s->e, s->now_ms);
        shell_drain(s);
    }
    s->now_ms = end_ms;
}

static void forget_done(struct chaos *x)
{
    if (x->s.n_log > SHELL_LOG / 2) {
        shell_forget(&x->s);
        x->n_connects = x->n_announces = x->n_saves = 0;
    }
}

static void check(const struct chaos *x)
{
    struct engine_totals t;
    size_t n_peers = 0;
    engine_totals(x->s.e, &t);
    for (torrent_id id = 0; (id = engine_next_torrent(x->s.e, id)) != 0;) {
        struct torrent_status st;
        struct peer_view view;
        assert_int_equal(engine_status(x->s.e, id, &st, x->s.now_ms), 0);
        assert_true(st.n_peers + st.n_half_open <= 10);
        assert_true(st.n_seeds <= st.n_peers && st.n_unchoked <= st.n_peers);
        assert_true(st.progress >= 0.0 && st.progress <= 1.0);
        assert_int_equal(engine_peer(x->s.e, id, st.n_peers, &view, x->s.now_ms), false);
        n_peers += st.n_peers;
        for (size_t i = 0; i < st.n_peers; i++) {
            assert_true(engine_peer(x->s.e, id, i, &view, x->s.now_ms));
        }
    }
    assert_int_equal(t.n_peers, n_peers);
    assert_true(t.n_peers + t.n_half_open <= 20);
    assert_true(t.n_half_open <= 5);
}

static void step(struct chaos *x)
{
    switch (below(x, 40)) {
    case 0:
        add_any(x);
        break;
    case 1:
    case 2:
        command_any(x);
        break;
    case 3:
    case 4:
        accept_any(x);
        break;
    case 5:
    case 6:
        answer_connects(x);
        break;
    case 7:
        answer_announces(x);
        break;
    case 8:
        answer_saves(x);
        break;
    case 9:
        pass_time(x, below(x, 20) == 0 ? below(x, 200000) : below(x, 500));
        break;
    case 10:
    case 11:
    case 12:
    case 13:
    case 14:
    case 15:
    case 16:
        answer_disk(x);
        break;
    default:
        talk_any(x);
        break;
    }
    shell_drain(&x->s);
}

static void chaos_init(struct chaos *x, uint64_t seed)
{
    struct engine_cfg cfg = engine_cfg_default;
    memset(x, 0, sizeof *x);
    x->rng.state = seed;
    cfg.seed = seed;
    cfg.max_peers = 20;
    cfg.max_peers_per_torrent = 10;
    cfg.max_half_open = 5;
    cfg.max_disk_queue_len = 2 * PIECE_LEN;
    shell_init(&x->s, &cfg);
    shell_add_session(&x->s);
    for (uint64_t i = 0; i < N_TORRENTS; i++) {
        content_init(&x->c[i], 6, i);
    }
    /* The torrents write over each other: their hashes must notice. */
    x->s.disk = mem_zeroed(x->c[0].len);
    x->s.disk_len = x->c[0].len;
    x->s.hold_disk = true;
    x->s.hold_saves = true;
}

static void test_anything_at_any_time(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct chaos x;
        chaos_init(&x, seed);
        for (unsigned i = 0; i < STEPS; i++) {
            step(&x);
            while (x.s.n_held > SHELL_HELD / 2) {
                answer_disk(&x);
                shell_drain(&x.s);
            }
            forget_done(&x);
            check(&x);
        }
        if (seed % 2 == 0) {
            /* The end in good order: idle once everybody has answered. */
            x.s.hold_saves = false;
            engine_stop(x.s.e, x.s.now_ms);
            shell_drain(&x.s);
            for (; x.n_saves < x.s.n_outs[ENGINE_OUT_SAVE];) {
                answer_saves(&x);
            }
            shell_let_go(&x.s);
            pass_time(&x, 30000);
            assert_true(engine_is_idle(x.s.e));
        }
        for (size_t i = 0; i < N_WIRES; i++) {
            if (x.w[i].c != NULL) {
                wire_release(&x.w[i]);
            }
        }
        shell_release(&x.s);
        for (size_t i = 0; i < N_TORRENTS; i++) {
            content_release(&x.c[i]);
        }
    }
}

int main(void)
{
    if (digest_start() != 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_anything_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
