/* Workers and the main loop on one tracker, for ThreadSanitizer to watch. */
#include "unit/tracker/core_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"

#include "base/banned.h"

enum { WORKERS = 4, ANNOUNCES = 15000, BATCH = 40, HOT = 3, COLD = 4000, KEYS = 20 };

struct shared {
    struct tracker *t;
    atomic_int running;
};

struct batch;

struct worker {
    struct shared *shared;
    size_t index;
    struct batch *batch;
    uint64_t refused;
    pthread_t thread;
};

static struct infohash torrent(struct rng *rng)
{
    return hash_n(rng_below(rng, 2) == 0 ? rng_below(rng, HOT) : HOT + rng_below(rng, COLD));
}

static void key_text(char *out, size_t cap, uint32_t n)
{
    (void)snprintf(out, cap, "key%u", n);
}

/* A batch of announces, and its room. */
struct batch {
    struct announce_req reqs[BATCH];
    char keys[BATCH][ACCESS_KEY_LEN + 1];
    struct tracker_visit visits[BATCH];
    uint8_t peers4[BATCH][50 * COMPACT4_LEN];
    uint8_t peers6[BATCH][50 * COMPACT6_LEN];
};

static void fill(struct batch *b, size_t i, struct rng *rng)
{
    struct infohash hash = torrent(rng);
    struct announce_req *req = &b->reqs[i];
    *req = req_n(&hash, rng_below(rng, 3000), rng_below(rng, 2));
    key_text(b->keys[i], sizeof b->keys[i], rng_below(rng, KEYS));
    req->from = addr_n(rng_below(rng, 3000), rng_below(rng, 3) == 0);
    req->event = (enum announce_event)rng_below(rng, 4);
    req->key = span_str(b->keys[i]);
    b->visits[i] = (struct tracker_visit){
        .req = req,
        .room = {.peers4 = b->peers4[i], .peers6 = b->peers6[i], .cap4 = 50, .cap6 = 50},
    };
}

static void announce_and_scrape(struct worker *me, struct tracker_worker *w, struct rng *rng)
{
    struct batch *b = me->batch;
    struct infohash scraped[BATCH];
    struct scrape_counts counts[BATCH];
    struct announce_failure failure;
    for (size_t i = 0; i < BATCH; i++) {
        fill(b, i, rng);
        scraped[i] = torrent(rng);
    }
    tracker_announce_all(w, b->visits, BATCH);
    for (size_t i = 0; i < BATCH; i++) {
        const struct announce_reply *reply = &b->visits[i].reply;
        if (b->visits[i].status != 0) {
            me->refused++;
        } else {
            assert_true(reply->peers4.n / COMPACT4_LEN + reply->peers6.n / COMPACT6_LEN <= 50);
        }
    }
    (void)tracker_scrape(w, b->reqs[0].key, scraped, BATCH, counts, &failure);
}

static void *work(void *arg)
{
    struct worker *me = arg;
    struct tracker_worker *w = tracker_worker(me->shared->t, me->index);
    struct rng rng = {me->index + 100};
    for (uint32_t i = 0; i < ANNOUNCES; i += BATCH) {
        tracker_begin(w, at_s(1000 + i / 100));
        announce_and_scrape(me, w, &rng);
        if (me->index == 0) { /* a short timeout, so that there is something to sweep */
            (void)tracker_sweep(w, 0, stopped_clock);
        }
        tracker_end(w);
    }
    atomic_fetch_sub(&me->shared->running, 1);
    return NULL;
}

static void change_lists(struct tracker *t, struct rng *rng)
{
    struct infohash hashes[10];
    struct access_key key = {.permanent = true};
    for (int i = 0; i < 10; i++) {
        hashes[i] = torrent(rng);
    }
    if (rng_below(rng, 2) == 0) {
        tracker_whitelist_remove(t, hashes, 3);
    } else {
        tracker_whitelist_add(t, hashes, 10);
    }
    key_text(key.key, sizeof key.key, rng_below(rng, KEYS));
    if (rng_below(rng, 4) == 0) {
        (void)tracker_key_remove(t, span_str(key.key));
    } else {
        tracker_key_put(t, &key);
    }
}

static void reload(struct tracker *t)
{
    tracker_whitelist_load_begin(t);
    tracker_key_load_begin(t);
    for (uint32_t i = 0; i < HOT + COLD; i++) {
        struct infohash hash = hash_n(i);
        tracker_whitelist_load_add(t, &hash);
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        struct access_key key = {.permanent = true};
        key_text(key.key, sizeof key.key, i);
        tracker_key_load_add(t, &key);
    }
    tracker_whitelist_load_commit(t);
    tracker_key_load_commit(t);
}

static void look(struct tracker *t, struct rng *rng)
{
    static struct torrent_row torrents[500];
    static struct peer_row peers[500];
    struct completed_count taken[20];
    struct access_key used[KEYS];
    struct tracker_totals totals;
    struct stats_totals stats;
    struct torrent_cursor list = {.skip = rng_below(rng, 50)};
    struct torrent_cursor find = {.skip = 0};
    struct peer_filter filter = {.by_key = true, .key = "key1"};
    size_t at = 0;
    tracker_totals(t, &totals);
    tracker_stats(t, &stats);
    while (!list.done) {
        (void)tracker_list(t, &list, torrents, 500);
    }
    while (!find.done) {
        (void)tracker_find_peers(t, &find, &filter, peers, 500);
    }
    struct infohash hash = torrent(rng);
    (void)tracker_peers(t, &hash, &at, peers, 500);
    if (rng_below(rng, 2) == 0) {
        (void)tracker_forget(t, &hash);
    }
    size_t n = tracker_completed_take(t, taken, 20);
    for (size_t i = 0; i < n; i++) {
        if (i % 2 == 0) {
            tracker_completed_set(t, &taken[i].info_hash, taken[i].n);
        } else {
            tracker_completed_give_back(t, &taken[i], 1);
        }
    }
    (void)tracker_key_take_used(t, used, KEYS);
}

/* What the counters say must be what the lists say, once all is quiet. */
static void totals_agree_with_the_lists(struct tracker *t)
{
    static struct peer_row peers[1000];
    struct tracker_totals totals;
    struct torrent_cursor find = {.skip = 0};
    const struct peer_filter all = {.by_key = false};
    uint64_t n = 0;
    uint64_t seeders = 0;
    while (!find.done) {
        size_t got = tracker_find_peers(t, &find, &all, peers, 1000);
        for (size_t i = 0; i < got; i++) {
            seeders += peers[i].left == 0;
        }
        n += got;
    }
    tracker_totals(t, &totals);
    assert_int_equal(totals.peers4 + totals.peers6, n);
    assert_int_equal(totals.seeders, seeders);
    assert_int_equal(totals.leechers, n - seeders);
}

static void workers_and_main_loop_together(void **state)
{
    struct tracker_cfg cfg = public_cfg;
    struct shared shared;
    struct worker workers[WORKERS];
    struct rng rng = {1};
    (void)state;
    cfg.mode = MODE_PRIVATE_LISTED;
    cfg.peer_timeout_s = 40;
    shared.t = tracker_new(&cfg, WORKERS, at_s(1000));
    atomic_init(&shared.running, WORKERS);
    reload(shared.t);
    for (size_t i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.shared = &shared, .index = i, .batch = mem_new(struct batch)};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (uint32_t i = 0; atomic_load(&shared.running) > 0; i++) {
        change_lists(shared.t, &rng);
        if (i % 8 == 0) {
            look(shared.t, &rng);
        }
        if (i % 50 == 0) {
            reload(shared.t);
        }
    }
    uint64_t refused = 0;
    for (size_t i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        refused += workers[i].refused;
        free(workers[i].batch);
    }
    assert_true(refused < WORKERS * ANNOUNCES); /* some were let in, or nothing was tested */
    totals_agree_with_the_lists(shared.t);
    tracker_free(shared.t);
}

/* ---- a torrent that is forgotten while its peers announce ---------------------------------- */

enum { CROWD = 4000, CROWD_ANNOUNCES = 30000 };

static void *crowd(void *arg)
{
    struct worker *me = arg;
    struct asked *a = mem_new(struct asked);
    struct infohash hash = hash_n(1);
    struct rng rng = {me->index + 7};
    for (uint32_t i = 0; i < CROWD_ANNOUNCES; i++) {
        struct announce_req req = req_n(&hash, rng_below(&rng, CROWD), rng_below(&rng, 2));
        req.event = rng_below(&rng, 8) == 0 ? EVENT_STOPPED : EVENT_NONE;
        req.numwant = 30;
        assert_int_equal(ask(me->shared->t, me->index, at_s(1000), &req, a), 0);
        assert_true(a->reply.counts.complete + a->reply.counts.incomplete <= CROWD);
    }
    free(a);
    atomic_fetch_sub(&me->shared->running, 1);
    return NULL;
}

static void a_torrent_is_forgotten_amid_its_announces(void **state)
{
    enum { ANNOUNCERS = 2, BIG = 500 };
    struct shared shared = {.t = tracker_new(&public_cfg, ANNOUNCERS, at_s(1000))};
    struct worker workers[ANNOUNCERS];
    struct infohash hash = hash_n(1);
    struct torrent_row row;
    struct tracker_totals totals;
    uint32_t forgotten = 0;
    (void)state;
    atomic_init(&shared.running, ANNOUNCERS);
    for (size_t i = 0; i < ANNOUNCERS; i++) {
        workers[i] = (struct worker){.shared = &shared, .index = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, crowd, &workers[i]), 0);
    }
    while (atomic_load(&shared.running) > 0) {
        bool any = tracker_torrent(shared.t, &hash, &row) == 0;
        if (any && row.counts.complete + row.counts.incomplete > BIG) {
            forgotten += tracker_forget(shared.t, &hash) == 0;
        }
    }
    for (size_t i = 0; i < ANNOUNCERS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    }
    assert_true(forgotten > 0);
    totals_agree_with_the_lists(shared.t);
    tracker_totals(shared.t, &totals);
    assert_int_equal(counter(shared.t, COUNT_peers_added),
                     counter(shared.t, COUNT_peers_removed) +
                         counter(shared.t, COUNT_peers_forgotten) + totals.peers4);
    tracker_free(shared.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_and_main_loop_together),
        cmocka_unit_test(a_torrent_is_forgotten_amid_its_announces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
