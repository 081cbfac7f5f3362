/* The views, and random use of everything against a model that is too simple to be wrong. */
#include "unit/tracker/core_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"

#include "base/banned.h"

static struct asked a;

static void add_torrents(struct tracker *t, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct infohash hash = hash_n(i);
        struct announce_req req = req_n(&hash, i, i % 2);
        assert_int_equal(ask(t, 0, at_s(1000), &req, &a), 0);
    }
}

static int ascending(const void *x, const void *y)
{
    return memcmp(x, y, sizeof(struct infohash));
}

static void torrents_are_listed_in_order(void **state)
{
    enum { N = 5000 };
    static struct infohash sorted[N];
    static const uint64_t skips[] = {0, 1, 4, 5, 99, 2500, N - 1, N, N + 1, UINT64_MAX};
    static const size_t caps[] = {1, 7, 1000, N * 2};
    static struct torrent_row rows[N * 2];
    struct tracker *t = tracker_new(&public_cfg, 1, at_s(1000));
    (void)state;
    add_torrents(t, N);
    for (uint32_t i = 0; i < N; i++) {
        sorted[i] = hash_n(i);
    }
    qsort(sorted, N, sizeof sorted[0], ascending);
    for (size_t i = 0; i < sizeof skips / sizeof skips[0]; i++) {
        for (size_t j = 0; j < sizeof caps / sizeof caps[0]; j++) {
            struct torrent_cursor cursor = {.skip = skips[i]};
            size_t at = skips[i] < N ? (size_t)skips[i] : N;
            while (!cursor.done) {
                size_t n = tracker_list(t, &cursor, rows, caps[j]);
                assert_true(n <= caps[j] && at + n <= N);
                for (size_t k = 0; k < n; k++) {
                    assert_memory_equal(&rows[k].info_hash, &sorted[at++], sizeof sorted[0]);
                    assert_int_equal(rows[k].counts.complete + rows[k].counts.incomplete, 1);
                }
            }
            assert_int_equal(at, N);
        }
    }
    tracker_free(t);
}

/* A call that has no room for all torrents of the next shard leaves it to the next call: else that
 * shard would be looked at twice. */
static void calls_end_with_shards(void **state)
{
    enum { N = 40 };
    struct tracker *t = tracker_new(&public_cfg, 1, at_s(1000));
    struct torrent_cursor cursor = {.skip = 0};
    struct torrent_row rows[N + N / 2];
    size_t n_calls = 0;
    (void)state;
    for (uint32_t i = 0; i < N * 2; i++) {
        struct infohash hash = {{i % 2 == 0 ? 0 : 0xff}};
        memcpy(hash.b + 10, &i, sizeof i);
        struct announce_req req = req_n(&hash, i, 5);
        ask(t, 0, at_s(1000), &req, &a);
    }
    while (!cursor.done) {
        size_t n = tracker_list(t, &cursor, rows, N + N / 2);
        assert_true(n == 0 || n == N);
        n_calls += n > 0;
    }
    assert_int_equal(n_calls, 2);
    tracker_free(t);
}

/* All torrents in one shard, so that pages begin in the middle of it, and some go meanwhile. */
static void what_stays_is_listed_while_others_go(void **state)
{
    enum { N = 3000 };
    static uint8_t seen[N];
    struct tracker *t = tracker_new(&public_cfg, 1, at_s(1000));
    struct torrent_cursor cursor = {.skip = 0};
    struct torrent_row rows[50];
    uint32_t gone = 0;
    (void)state;
    for (uint32_t i = 0; i < N; i++) {
        struct infohash hash = {{0}};
        memcpy(hash.b + 10, &i, sizeof i);
        struct announce_req req = req_n(&hash, i, 5);
        ask(t, 0, at_s(1000), &req, &a);
    }
    while (!cursor.done) {
        size_t n = tracker_list(t, &cursor, rows, 50);
        for (size_t i = 0; i < n; i++) {
            uint32_t which;
            memcpy(&which, rows[i].info_hash.b + 10, sizeof which);
            assert_int_equal(seen[which], 0);
            seen[which] = 1;
        }
        struct infohash hash = {{0}};
        uint32_t which = gone * 40;
        memcpy(hash.b + 10, &which, sizeof which);
        if (which < N) {
            assert_int_equal(tracker_forget(t, &hash), 0);
        }
        gone++;
    }
    for (uint32_t i = 0; i < N; i++) {
        assert_true(seen[i] == 1 || (i % 40 == 0 && i / 40 < gone));
    }
    tracker_free(t);
}

static void peers_show_everything(void **state)
{
    struct tracker_cfg cfg = public_cfg;
    struct infohash hash = hash_n(1);
    struct access_key key = {.permanent = true};
    struct peer_row rows[3];
    (void)state;
    cfg.mode = MODE_PRIVATE;
    struct tracker *t = tracker_new(&cfg, 1, at_s(1000));
    (void)snprintf(key.key, sizeof key.key, "mykey");
    tracker_key_put(t, &key);
    struct announce_req req = req_n(&hash, 7, UINT64_MAX);
    req.uploaded = UINT64_MAX - 1;
    req.downloaded = 12345678901;
    req.event = EVENT_STARTED;
    req.key = SPAN("mykey");
    ask(t, 0, at_s(1500), &req, &a);
    req.from = addr_n(8, true);
    req.left = 0;
    req.event = EVENT_NONE;
    ask(t, 0, at_s(1600), &req, &a);
    size_t at = 0;
    assert_int_equal(tracker_peers(t, &hash, &at, rows, 1), 1);
    assert_int_equal(tracker_peers(t, &hash, &at, rows + 1, 2), 1);
    assert_int_equal(tracker_peers(t, &hash, &at, rows + 2, 1), 0);
    struct addr v4 = addr_n(7, false);
    struct addr v6 = addr_n(8, true);
    assert_true(addr_eq(&rows[0].endpoint.addr, &v4));
    assert_true(addr_eq(&rows[1].endpoint.addr, &v6));
    assert_int_equal(rows[0].endpoint.port, 6881);
    assert_true(rows[0].left == UINT64_MAX && rows[1].left == 0);
    assert_true(rows[0].uploaded == UINT64_MAX - 1 && rows[0].downloaded == 12345678901);
    assert_int_equal(rows[0].event, EVENT_STARTED);
    assert_int_equal(rows[1].event, EVENT_NONE);
    assert_int_equal(rows[0].updated_unix_ms, at_s(1500).unix_ms);
    assert_memory_equal(&rows[0].peer_id, &req.peer_id, sizeof req.peer_id);
    assert_string_equal(rows[0].key, "mykey");
    tracker_key_remove(t, SPAN("mykey"));
    (void)snprintf(key.key, sizeof key.key, "another");
    tracker_key_put(t, &key);
    at = 0;
    assert_int_equal(tracker_peers(t, &hash, &at, rows, 3), 2);
    assert_string_equal(rows[0].key, "");
    tracker_free(t);
}

static size_t find_all(struct tracker *t, const struct peer_filter *filter)
{
    struct torrent_cursor cursor = {.skip = 0};
    struct peer_row rows[3];
    size_t n = 0;
    while (!cursor.done) {
        size_t got = tracker_find_peers(t, &cursor, filter, rows, 3);
        for (size_t i = 0; i < got; i++) {
            assert_true(!filter->by_ip || addr_eq(&rows[i].endpoint.addr, &filter->ip));
        }
        n += got;
    }
    return n;
}

static void peers_are_found_over_all_torrents(void **state)
{
    struct tracker_cfg cfg = public_cfg;
    struct access_key key = {.permanent = true};
    (void)state;
    cfg.mode = MODE_PRIVATE;
    struct tracker *t = tracker_new(&cfg, 1, at_s(1000));
    (void)snprintf(key.key, sizeof key.key, "k1");
    tracker_key_put(t, &key);
    (void)snprintf(key.key, sizeof key.key, "k2");
    tracker_key_put(t, &key);
    for (uint32_t i = 0; i < 2000; i++) { /* 20 torrents of 100 */
        struct infohash hash = hash_n(i % 20);
        struct announce_req req = req_n(&hash, i, 5);
        req.from = addr_n(i % 10, i % 3 == 0);
        req.port = (uint16_t)(i + 1);
        req.key = i % 4 == 0 ? SPAN("k1") : SPAN("k2");
        assert_int_equal(ask(t, 0, at_s(1000), &req, &a), 0);
    }
    struct peer_filter all = {.by_ip = false};
    struct peer_filter by_ip = {.by_ip = true, .ip = addr_n(3, false)};
    struct peer_filter by_key = {.by_key = true, .key = "k1"};
    struct peer_filter by_both = {.by_ip = true, .ip = by_ip.ip, .by_key = true, .key = "k2"};
    struct peer_filter by_id = {.by_peer_id = true};
    struct peer_filter by_none = {.by_key = true, .key = "k3"};
    struct infohash any = hash_n(0);
    by_id.peer_id = req_n(&any, 77, 0).peer_id;
    size_t with_ip = 0;
    size_t with_both = 0;
    for (uint32_t i = 0; i < 2000; i++) {
        with_ip += i % 10 == 3 && i % 3 != 0;
        with_both += i % 10 == 3 && i % 3 != 0 && i % 4 != 0;
    }
    assert_int_equal(find_all(t, &all), 2000);
    assert_int_equal(find_all(t, &by_ip), with_ip);
    assert_int_equal(find_all(t, &by_key), 500);
    assert_int_equal(find_all(t, &by_both), with_both);
    assert_int_equal(find_all(t, &by_id), 1);
    assert_int_equal(find_all(t, &by_none), 0);
    tracker_free(t);
}

static void forgetting_a_torrent(void **state)
{
    struct tracker *t = tracker_new(&public_cfg, 1, at_s(1000));
    struct tracker_totals totals;
    struct infohash hash = hash_n(3);
    (void)state;
    add_torrents(t, 10);
    assert_int_equal(tracker_forget(t, &hash), 0);
    assert_int_equal(tracker_forget(t, &hash), ERR_NOT_FOUND);
    tracker_totals(t, &totals);
    assert_int_equal(totals.torrents, 9);
    assert_int_equal(totals.peers4, 9);
    assert_int_equal(totals.seeders, 5);
    assert_int_equal(totals.leechers, 4);
    tracker_free(t);
}

/* ---- the model ------------------------------------------------------------------------------- */

enum { TORRENTS = 12, PEERS = 90 };

struct model_peer {
    bool there, seeder, completed;
    uint64_t seen_s;
};

struct model {
    struct model_peer peer[TORRENTS][PEERS];
    uint32_t completed[TORRENTS];
    uint32_t stored[TORRENTS]; /* in the database */
};

static struct scrape_counts model_counts(const struct model *m, uint32_t torrent)
{
    struct scrape_counts c = {.downloaded = m->completed[torrent]};
    for (uint32_t i = 0; i < PEERS; i++) {
        c.complete += m->peer[torrent][i].there && m->peer[torrent][i].seeder;
        c.incomplete += m->peer[torrent][i].there && !m->peer[torrent][i].seeder;
    }
    return c;
}

static void model_announce(struct model *m, uint32_t torrent, uint32_t peer,
                           const struct announce_req *req, uint64_t now_s)
{
    struct model_peer *p = &m->peer[torrent][peer];
    if (req->event == EVENT_STOPPED) {
        p->there = false;
        return;
    }
    if (!p->there) {
        p->completed = req->left == 0 || req->event == EVENT_COMPLETED;
    } else if (req->event == EVENT_COMPLETED && !p->completed) {
        p->completed = true;
        m->completed[torrent]++;
    } else if (req->event == EVENT_STARTED && req->left > 0) {
        p->completed = false;
    }
    p->there = true;
    p->seeder = req->left == 0;
    p->seen_s = now_s;
}

static void given_peers_are_right(const struct model *m, uint32_t torrent, uint32_t self,
                                  bool seeder)
{
    for (size_t i = 0; i < n_peers4(&a) + n_peers6(&a); i++) {
        bool v6 = i >= n_peers4(&a);
        uint32_t peer =
            v6 ? a.peers6[(i - n_peers4(&a)) * COMPACT6_LEN + 15] : a.peers4[i * COMPACT4_LEN + 3];
        assert_true(peer < PEERS && peer != self && v6 == (peer % 3 == 0));
        assert_true(m->peer[torrent][peer].there);
        assert_true(!seeder || !m->peer[torrent][peer].seeder);
    }
}

static void one_random_announce(struct tracker *t, struct model *m, struct rng *rng, uint64_t now_s)
{
    uint32_t torrent = rng_below(rng, TORRENTS);
    uint32_t peer = rng_below(rng, torrent < 2 ? 4 : PEERS);
    struct infohash hash = hash_n(torrent);
    struct announce_req req = req_n(&hash, peer, rng_below(rng, 2) * 7);
    req.from = addr_n(peer, peer % 3 == 0);
    req.event = (enum announce_event)rng_below(rng, 4);
    req.numwant = (int32_t)rng_below(rng, 100);
    assert_int_equal(ask(t, 0, at_s(now_s), &req, &a), 0);
    model_announce(m, torrent, peer, &req, now_s);
    struct scrape_counts c = model_counts(m, torrent);
    assert_memory_equal(&a.reply.counts, &c, sizeof c);
    given_peers_are_right(m, torrent, peer, req.left == 0);
    uint32_t others = req.left == 0 ? c.incomplete : c.complete + c.incomplete - 1;
    uint32_t expected = (uint32_t)req.numwant < others ? (uint32_t)req.numwant : others;
    if (req.event == EVENT_STOPPED) {
        expected = 0;
    }
    assert_int_equal(n_peers4(&a) + n_peers6(&a), expected);
}

static void model_sweep(struct model *m, uint64_t now_s)
{
    for (uint32_t i = 0; i < TORRENTS * PEERS; i++) {
        struct model_peer *p = &m->peer[i / PEERS][i % PEERS];
        p->there = p->there && now_s - p->seen_s <= public_cfg.peer_timeout_s;
    }
}

static void flush(struct tracker *t, struct model *m, bool database_up)
{
    struct completed_count taken[5];
    size_t n = tracker_completed_take(t, taken, 5);
    if (!database_up) {
        tracker_completed_give_back(t, taken, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < TORRENTS; j++) {
            struct infohash hash = hash_n(j);
            if (infohash_eq(&hash, &taken[i].info_hash)) {
                m->stored[j] += taken[i].n;
                tracker_completed_set(t, &hash, m->stored[j]);
            }
        }
    }
}

static void totals_are_right(struct tracker *t, const struct model *m)
{
    struct tracker_totals totals;
    uint64_t seeders = 0;
    uint64_t leechers = 0;
    uint64_t torrents = 0;
    uint64_t completed = 0;
    for (uint32_t i = 0; i < TORRENTS; i++) {
        struct scrape_counts c = model_counts(m, i);
        seeders += c.complete;
        leechers += c.incomplete;
        completed += c.downloaded;
        torrents += c.complete + c.incomplete > 0;
    }
    tracker_totals(t, &totals);
    assert_int_equal(totals.seeders, seeders);
    assert_int_equal(totals.leechers, leechers);
    assert_int_equal(totals.torrents, torrents);
    assert_int_equal(totals.completed, completed);
}

static void random_use_agrees_with_the_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct tracker *t = tracker_new(&public_cfg, 1, at_s(1));
        struct model *m = calloc(1, sizeof *m);
        struct rng rng = {seed};
        uint64_t now_s = 10;
        print_message("seed %u\n", (unsigned)seed);
        for (int step = 0; step < 20000; step++) {
            one_random_announce(t, m, &rng, now_s);
            uint32_t chance = rng_below(&rng, 1000);
            now_s += chance < 200;
            if (chance == 0) {
                now_s += rng_below(&rng, public_cfg.peer_timeout_s);
            }
            if (chance < 5) {
                sweep_round(t, at_s(now_s));
                model_sweep(m, now_s);
            } else if (chance < 30) {
                flush(t, m, chance < 20);
            } else if (chance < 32) {
                uint32_t torrent = rng_below(&rng, TORRENTS);
                struct infohash hash = hash_n(torrent);
                (void)tracker_forget(t, &hash);
                memset(m->peer[torrent], 0, sizeof m->peer[torrent]);
            } else if (chance < 50) {
                totals_are_right(t, m);
            }
        }
        tracker_free(t);
        free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(torrents_are_listed_in_order),
        cmocka_unit_test(calls_end_with_shards),
        cmocka_unit_test(what_stays_is_listed_while_others_go),
        cmocka_unit_test(peers_show_everything),
        cmocka_unit_test(peers_are_found_over_all_torrents),
        cmocka_unit_test(forgetting_a_torrent),
        cmocka_unit_test(random_use_agrees_with_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
