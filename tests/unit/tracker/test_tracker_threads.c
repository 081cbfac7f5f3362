/* Workers and the main loop on one tracker, for ThreadSanitizer to watch. */
#include "unit/tracker/core_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"

#include "base/banned.h"

enum { WORKERS = 4, ANNOUNCES = 15000, BATCH = 16, HOT = 3, COLD = 4000, KEYS = 20 };

struct shared {
    struct tracker *t;
    atomic_int running;
};

struct worker {
    struct shared *shared;
    size_t index;
    struct asked *a;
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

static void one(struct worker *me, struct tracker_worker *w, struct rng *rng)
{
    struct infohash hash = torrent(rng);
    struct announce_req req = req_n(&hash, rng_below(rng, 3000), rng_below(rng, 2));
    struct peer_room room = {
        .peers4 = me->a->peers4, .peers6 = me->a->peers6, .cap4 = 50, .cap6 = 50};
    char key[ACCESS_KEY_LEN + 1];
    struct scrape_counts counts[3];
    struct infohash scraped[3] = {hash, torrent(rng), torrent(rng)};
    key_text(key, sizeof key, rng_below(rng, KEYS));
    req.from = addr_n(rng_below(rng, 3000), rng_below(rng, 3) == 0);
    req.event = (enum announce_event)rng_below(rng, 4);
    req.key = span_str(key);
    if (tracker_announce(w, &req, &room, &me->a->reply, &me->a->failure) != 0) {
        me->refused++;
    } else {
        assert_true(n_peers4(me->a) + n_peers6(me->a) <= 50);
    }
    (void)tracker_scrape(w, span_str(key), scraped, 3, counts, &me->a->failure);
}

static void *work(void *arg)
{
    struct worker *me = arg;
    struct tracker_worker *w = tracker_worker(me->shared->t, me->index);
    struct rng rng = {me->index + 100};
    for (uint32_t i = 0; i < ANNOUNCES; i += BATCH) {
        tracker_begin(w, at_s(1000 + i / 100));
        for (int j = 0; j < BATCH; j++) {
            struct infohash hash = torrent(&rng);
            tracker_prefetch(w, &hash);
        }
        for (int j = 0; j < BATCH; j++) {
            one(me, w, &rng);
        }
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
        workers[i] =
            (struct worker){.shared = &shared, .index = i, .a = calloc(1, sizeof *workers[i].a)};
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
        free(workers[i].a);
    }
    assert_true(refused < WORKERS * ANNOUNCES); /* some were let in, or nothing was tested */
    totals_agree_with_the_lists(shared.t);
    tracker_free(shared.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_and_main_loop_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
