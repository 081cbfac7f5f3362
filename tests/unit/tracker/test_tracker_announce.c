/* What one announce records, counts and answers. */
#include "unit/tracker/core_fixture.h"

#include "base/rng.h"

#include "base/banned.h"

static struct asked a;

static struct tracker *open_with(const struct tracker_cfg *cfg)
{
    return tracker_new(cfg, 1, at_s(1000));
}

static int open_public(void **state)
{
    *state = open_with(&public_cfg);
    return 0;
}

static int close_tracker(void **state)
{
    tracker_free(*state);
    return 0;
}

static int announce(struct tracker *t, uint32_t peer, uint64_t left, enum announce_event event)
{
    struct infohash hash = hash_n(1);
    struct announce_req req = req_n(&hash, peer, left);
    req.event = event;
    return ask(t, 0, at_s(1000), &req, &a);
}

static void counts_are(uint32_t complete, uint32_t downloaded, uint32_t incomplete)
{
    assert_int_equal(a.status, 0);
    assert_int_equal(a.reply.counts.complete, complete);
    assert_int_equal(a.reply.counts.downloaded, downloaded);
    assert_int_equal(a.reply.counts.incomplete, incomplete);
}

static void counts_include_the_announcer(void **state)
{
    announce(*state, 1, 100, EVENT_STARTED);
    counts_are(0, 0, 1);
    announce(*state, 2, 0, EVENT_STARTED);
    counts_are(1, 0, 1);
    announce(*state, 3, UINT64_MAX, EVENT_NONE); /* no left: a leecher */
    counts_are(1, 0, 2);
}

static void nobody_is_given_itself(void **state)
{
    announce(*state, 1, 100, EVENT_STARTED);
    assert_int_equal(n_peers4(&a), 0);
    announce(*state, 1, 100, EVENT_NONE);
    assert_int_equal(n_peers4(&a), 0);
    counts_are(0, 0, 1);
}

static void the_peer_is_its_address_and_port(void **state)
{
    struct infohash hash = hash_n(1);
    struct announce_req req = req_n(&hash, 1, 100);
    ask(*state, 0, at_s(1000), &req, &a);
    memset(req.peer_id.b, 'x', sizeof req.peer_id.b);
    ask(*state, 0, at_s(1000), &req, &a);
    counts_are(0, 0, 1);
    req.port++;
    ask(*state, 0, at_s(1000), &req, &a);
    counts_are(0, 0, 2);
    assert_int_equal(n_peers4(&a), 1);
    assert_memory_equal(a.reply.peers4.p, ((uint8_t[]){1, 0, 0, 1, 6881 >> 8, 6881 & 0xff}), 6);
    assert_memory_equal(a.reply.peer4_ids[0].b, "xxxxxxxxxxxxxxxxxxxx", 20);
}

static void seeders_get_leechers_only(void **state)
{
    announce(*state, 1, 0, EVENT_STARTED);
    announce(*state, 2, 0, EVENT_STARTED);
    assert_int_equal(n_peers4(&a), 0);
    announce(*state, 3, 5, EVENT_STARTED);
    assert_int_equal(n_peers4(&a), 2);
    announce(*state, 1, 0, EVENT_NONE);
    assert_int_equal(n_peers4(&a), 1);
    assert_int_equal(a.peers4[3], 3);
}

static void sides_change_with_left(void **state)
{
    announce(*state, 1, 5, EVENT_STARTED);
    announce(*state, 2, 5, EVENT_STARTED);
    announce(*state, 1, 0, EVENT_NONE);
    counts_are(1, 0, 1);
    announce(*state, 1, 9, EVENT_NONE);
    counts_are(0, 0, 2);
}

static void stopped_removes_and_never_creates(void **state)
{
    struct tracker_totals totals;
    announce(*state, 1, 5, EVENT_STOPPED);
    counts_are(0, 0, 0);
    tracker_totals(*state, &totals);
    assert_int_equal(totals.torrents, 0);
    announce(*state, 1, 5, EVENT_STARTED);
    announce(*state, 2, 5, EVENT_STARTED);
    announce(*state, 1, 5, EVENT_STOPPED);
    counts_are(0, 0, 1);
    assert_int_equal(n_peers4(&a), 0);
    announce(*state, 3, 0, EVENT_STOPPED); /* in a swarm that is there, too */
    counts_are(0, 0, 1);
    announce(*state, 2, 5, EVENT_STOPPED);
    counts_are(0, 0, 0);
    tracker_totals(*state, &totals);
    assert_int_equal(totals.torrents, 0);
    assert_int_equal(counter(*state, COUNT_peers_added), 2);
    assert_int_equal(counter(*state, COUNT_peers_removed), 2);
}

/* A row is what one peer says, one after the other; counted is what the torrent shows then. */
static void completed_counts_once_a_download(void **state)
{
    static const struct {
        const char *what;
        struct {
            uint64_t left;
            enum announce_event event;
        } says[4];
        size_t n;
        uint32_t counted;
    } rows[] = {
        {"a plain download", {{9, EVENT_STARTED}, {0, EVENT_COMPLETED}}, 2, 1},
        {"said twice", {{9, EVENT_STARTED}, {0, EVENT_COMPLETED}, {0, EVENT_COMPLETED}}, 3, 1},
        {"first word", {{0, EVENT_COMPLETED}}, 1, 0},
        {"first word, then again", {{0, EVENT_COMPLETED}, {0, EVENT_COMPLETED}}, 2, 0},
        {"first word with something left", {{9, EVENT_COMPLETED}, {0, EVENT_COMPLETED}}, 2, 0},
        {"complete when it came", {{0, EVENT_STARTED}, {0, EVENT_COMPLETED}}, 2, 0},
        {"seeder before it says so",
         {{9, EVENT_STARTED}, {0, EVENT_NONE}, {0, EVENT_COMPLETED}},
         3,
         1},
        {"started again with something left",
         {{9, EVENT_STARTED}, {0, EVENT_COMPLETED}, {9, EVENT_STARTED}, {0, EVENT_COMPLETED}},
         4,
         2},
        {"started again complete",
         {{9, EVENT_STARTED}, {0, EVENT_COMPLETED}, {0, EVENT_STARTED}, {0, EVENT_COMPLETED}},
         4,
         1},
        {"something left again without started",
         {{9, EVENT_STARTED}, {0, EVENT_COMPLETED}, {9, EVENT_NONE}, {0, EVENT_COMPLETED}},
         4,
         1},
        {"gone and back", {{9, EVENT_STARTED}, {9, EVENT_STOPPED}, {0, EVENT_COMPLETED}}, 3, 0},
        {"no event at all", {{9, EVENT_STARTED}, {0, EVENT_NONE}}, 2, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tracker *t = open_with(&public_cfg);
        print_message("%s\n", rows[i].what);
        for (size_t j = 0; j < rows[i].n; j++) {
            announce(t, 1, rows[i].says[j].left, rows[i].says[j].event);
        }
        assert_int_equal(a.reply.counts.downloaded, rows[i].counted);
        assert_int_equal(counter(t, COUNT_completed), rows[i].counted);
        tracker_free(t);
    }
}

static void numwant_has_a_default_and_limits(void **state)
{
    static const struct {
        int32_t numwant;
        size_t given;
    } rows[] = {{NUMWANT_UNSET, 50}, {0, 0}, {1, 1}, {100, 100}, {101, 100}, {INT32_MAX, 100}};
    struct infohash hash = hash_n(1);
    for (uint32_t i = 1; i <= 150; i++) {
        announce(*state, i, 5, EVENT_STARTED);
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct announce_req req = req_n(&hash, 1, 5);
        req.numwant = rows[i].numwant;
        ask(*state, 0, at_s(1000), &req, &a);
        assert_int_equal(n_peers4(&a), rows[i].given);
        assert_int_equal(a.reply.counts.incomplete, 150);
    }
}

static void the_interval_is_only_lengthened(void **state)
{
    uint32_t shortest_s = UINT32_MAX;
    uint32_t longest_s = 0;
    for (int i = 0; i < 20000; i++) {
        announce(*state, 1, 5, EVENT_NONE);
        uint32_t s = a.reply.interval_s;
        shortest_s = s < shortest_s ? s : shortest_s;
        longest_s = s > longest_s ? s : longest_s;
        assert_int_equal(a.reply.min_interval_s, 300);
    }
    assert_int_equal(shortest_s, 1800);
    assert_int_equal(longest_s, 1980);
}

static void port_0_is_refused(void **state)
{
    struct infohash hash = hash_n(1);
    struct announce_req req = req_n(&hash, 1, 5);
    req.port = 0;
    assert_int_equal(ask(*state, 0, at_s(1000), &req, &a), ERR_INVALID);
    assert_non_null(memmem(a.failure.reason.p, a.failure.reason.n, "port", 4));
}

static void full_of_torrents(void **state)
{
    struct tracker_cfg cfg = public_cfg;
    struct infohash first = hash_n(1);
    struct infohash second = hash_n(2);
    (void)state;
    cfg.max_torrents = 1;
    struct tracker *t = open_with(&cfg);
    struct announce_req req = req_n(&first, 1, 5);
    assert_int_equal(ask(t, 0, at_s(1000), &req, &a), 0);
    struct announce_req other = req_n(&second, 1, 5);
    assert_int_equal(ask(t, 0, at_s(1000), &other, &a), 0);
    assert_true(a.reply.warning.n > 0);
    counts_are(0, 0, 0);
    assert_int_equal(counter(t, COUNT_refused_limit), 1);
    struct announce_req more = req_n(&first, 2, 5); /* what is there may grow */
    assert_int_equal(ask(t, 0, at_s(1000), &more, &a), 0);
    req.event = more.event = EVENT_STOPPED;
    ask(t, 0, at_s(1000), &req, &a);
    ask(t, 0, at_s(1000), &more, &a);
    assert_int_equal(ask(t, 0, at_s(1000), &other, &a), 0);
    tracker_free(t);
}

static void full_of_peers(void **state)
{
    struct tracker_cfg cfg = public_cfg;
    (void)state;
    cfg.max_peers = 2;
    struct tracker *t = open_with(&cfg);
    assert_int_equal(announce(t, 1, 5, EVENT_STARTED), 0);
    assert_int_equal(announce(t, 2, 5, EVENT_STARTED), 0);
    assert_int_equal(announce(t, 3, 5, EVENT_STARTED), 0);
    assert_true(a.reply.warning.n > 0);
    assert_int_equal(n_peers4(&a), 2); /* it may find others, only they do not find it */
    counts_are(0, 0, 2);
    assert_int_equal(announce(t, 2, 5, EVENT_NONE), 0); /* who is known may always say so */
    assert_int_equal(a.reply.warning.n, 0);
    counts_are(0, 0, 2);
    struct infohash second = hash_n(2);
    struct announce_req other = req_n(&second, 1, 5);
    assert_int_equal(ask(t, 0, at_s(1000), &other, &a), 0);
    assert_true(a.reply.warning.n > 0);
    struct torrent_row row;
    assert_int_equal(tracker_torrent(t, &second, &row), ERR_NOT_FOUND);
    announce(t, 1, 5, EVENT_STOPPED);
    assert_int_equal(ask(t, 0, at_s(1000), &other, &a), 0);
    tracker_free(t);
}

static void private_peers_are_handed_out_as_the_external_address(void **state)
{
    struct tracker_cfg cfg = public_cfg;
    struct infohash hash = hash_n(1);
    (void)state;
    cfg.has_external4 = true;
    cfg.external4 = addr_from_v4((const uint8_t[]){203, 0, 113, 9});
    struct tracker *t = open_with(&cfg);
    struct announce_req local = req_n(&hash, 1, 5);
    local.from = addr_from_v4((const uint8_t[]){127, 0, 0, 1});
    ask(t, 0, at_s(1000), &local, &a);
    ask(t, 0, at_s(1000), &local, &a);
    assert_int_equal(n_peers4(&a), 0); /* it does not get itself under the other name */
    struct announce_req lan = req_n(&hash, 1, 5);
    lan.from = addr_from_v4((const uint8_t[]){192, 168, 1, 5});
    lan.port = 7000;
    ask(t, 0, at_s(1000), &lan, &a);
    assert_int_equal(n_peers4(&a), 1);
    assert_memory_equal(a.peers4, ((uint8_t[]){203, 0, 113, 9, 6881 >> 8, 6881 & 0xff}), 6);
    struct announce_req v6 = req_n(&hash, 1, 5); /* there is no external address of its family */
    v6.from = addr_from_v6((const uint8_t[16]){[15] = 1});
    ask(t, 0, at_s(1000), &v6, &a);
    assert_int_equal(n_peers4(&a), 2);
    ask(t, 0, at_s(1000), &lan, &a);
    assert_int_equal(n_peers6(&a), 1);
    assert_int_equal(a.peers6[15], 1);
    local.event = EVENT_STOPPED;
    ask(t, 0, at_s(1000), &local, &a);
    assert_int_equal(a.reply.counts.incomplete, 2);
    tracker_free(t);
}

static void the_ip_parameter_counts_only_when_trusted(void **state)
{
    struct infohash hash = hash_n(1);
    (void)state;
    for (int trusted = 0; trusted < 2; trusted++) {
        struct tracker_cfg cfg = public_cfg;
        cfg.trust_ip_param = trusted == 1;
        struct tracker *t = open_with(&cfg);
        struct announce_req req = req_n(&hash, 1, 5);
        req.has_ip = true;
        req.ip = addr_n(77, false);
        ask(t, 0, at_s(1000), &req, &a);
        struct announce_req other = req_n(&hash, 2, 5);
        ask(t, 0, at_s(1000), &other, &a);
        assert_int_equal(n_peers4(&a), 1);
        assert_int_equal(a.peers4[3], trusted ? 77 : 1);
        tracker_free(t);
    }
}

static void families_stay_apart(void **state)
{
    struct infohash hash = hash_n(1);
    for (uint32_t i = 1; i <= 3; i++) {
        struct announce_req req = req_n(&hash, i, 5);
        req.from = addr_n(i, true);
        ask(*state, 0, at_s(1000), &req, &a);
        announce(*state, i, 5, EVENT_STARTED);
    }
    counts_are(0, 0, 6);
    assert_int_equal(n_peers4(&a), 2);
    assert_int_equal(n_peers6(&a), 3);
    assert_memory_equal(a.peers6, addr_n(1, true).b, 15);
}

static void room_limits_each_family(void **state)
{
    struct infohash hash = hash_n(1);
    struct tracker_worker *w = tracker_worker(*state, 0);
    struct peer_room room = {.peers4 = a.peers4, .peers6 = a.peers6, .cap4 = 5, .cap6 = 0};
    for (uint32_t i = 1; i <= 40; i++) {
        struct announce_req req = req_n(&hash, i, 5);
        req.from = addr_n(i, i % 2 == 0);
        ask(*state, 0, at_s(1000), &req, &a);
    }
    struct announce_req req = req_n(&hash, 1, 5);
    req.numwant = 10;
    tracker_begin(w, at_s(1000));
    assert_int_equal(tracker_announce(w, &req, &room, &a.reply, &a.failure), 0);
    assert_int_equal(n_peers4(&a), 5);
    assert_int_equal(n_peers6(&a), 0);
    assert_null(a.reply.peer4_ids);
    room.cap6 = 100; /* one family makes up for what the other may not give */
    assert_int_equal(tracker_announce(w, &req, &room, &a.reply, &a.failure), 0);
    assert_int_equal(n_peers4(&a) + n_peers6(&a), 10);
    assert_true(n_peers4(&a) <= 5);
    req.numwant = 100;
    assert_int_equal(tracker_announce(w, &req, &room, &a.reply, &a.failure), 0);
    assert_int_equal(n_peers4(&a), 5);
    assert_int_equal(n_peers6(&a), 20);
    tracker_end(w);
}

static void silent_peers_are_swept(void **state)
{
    struct infohash hash = hash_n(1);
    struct tracker_totals totals;
    for (uint32_t i = 1; i <= 300; i++) {
        struct announce_req req = req_n(&hash, i, i % 3);
        req.from = addr_n(i, i % 5 == 0);
        ask(*state, 0, at_s(i <= 100 ? 1000 : 3000), &req, &a);
    }
    sweep_round(*state, at_s(1000 + public_cfg.peer_timeout_s));
    tracker_totals(*state, &totals);
    assert_int_equal(totals.peers4 + totals.peers6, 300);
    sweep_round(*state, at_s(1001 + public_cfg.peer_timeout_s));
    tracker_totals(*state, &totals);
    assert_int_equal(totals.peers4 + totals.peers6, 200);
    assert_int_equal(totals.peers6, 40);
    assert_int_equal(totals.seeders, 67);
    assert_int_equal(counter(*state, COUNT_peers_expired), 100);
    sweep_round(*state, at_s(3001 + public_cfg.peer_timeout_s));
    tracker_totals(*state, &totals);
    assert_int_equal(totals.torrents, 0);
    assert_int_equal(totals.peers4 + totals.peers6 + totals.seeders, 0);
    assert_int_equal(counter(*state, COUNT_peers_expired), 300);
}

static void an_announce_keeps_a_peer_alive(void **state)
{
    struct infohash hash = hash_n(1);
    struct announce_req req = req_n(&hash, 1, 5);
    ask(*state, 0, at_s(1000), &req, &a);
    ask(*state, 0, at_s(4000), &req, &a);
    sweep_round(*state, at_s(1001 + public_cfg.peer_timeout_s));
    struct torrent_row row;
    assert_int_equal(tracker_torrent(*state, &hash, &row), 0);
}

static void completed_counts_rest_and_come_back(void **state)
{
    struct infohash hash = hash_n(1);
    struct tracker_totals totals;
    tracker_completed_set(*state, &hash, 10);
    tracker_totals(*state, &totals);
    assert_int_equal(totals.completed, 10);
    assert_int_equal(totals.torrents, 0);
    announce(*state, 1, 5, EVENT_STARTED);
    counts_are(0, 10, 1);
    announce(*state, 1, 0, EVENT_COMPLETED);
    counts_are(1, 11, 0);
    announce(*state, 1, 0, EVENT_STOPPED);
    counts_are(0, 11, 0);
    announce(*state, 2, 5, EVENT_STARTED);
    counts_are(0, 11, 1);
    tracker_totals(*state, &totals);
    assert_int_equal(totals.completed, 11);
}

static void shown_counts_survive_a_flush(void **state)
{
    struct infohash hash = hash_n(1);
    struct completed_count taken[4];
    tracker_completed_set(*state, &hash, 10);
    for (uint32_t i = 1; i <= 3; i++) {
        announce(*state, i, 5, EVENT_STARTED);
        announce(*state, i, 0, EVENT_COMPLETED);
    }
    assert_int_equal(tracker_completed_take(*state, taken, 4), 1);
    assert_int_equal(taken[0].n, 3);
    assert_memory_equal(&taken[0].info_hash, &hash, sizeof hash);
    announce(*state, 4, 5, EVENT_STARTED); /* on its way to the database: still shown */
    counts_are(3, 13, 1);
    announce(*state, 4, 0, EVENT_COMPLETED);
    counts_are(4, 14, 0);
    tracker_completed_set(*state, &hash, 13); /* stored; one more came meanwhile */
    announce(*state, 4, 0, EVENT_NONE);
    counts_are(4, 14, 0);
    assert_int_equal(tracker_completed_take(*state, taken, 4), 1);
    assert_int_equal(taken[0].n, 1);
    tracker_completed_give_back(*state, taken, 1); /* the database is away */
    announce(*state, 5, 5, EVENT_STARTED);
    announce(*state, 5, 0, EVENT_COMPLETED);
    counts_are(5, 15, 0);
    assert_int_equal(tracker_completed_take(*state, taken, 4), 1);
    assert_int_equal(taken[0].n, 2);
    tracker_completed_set(*state, &hash, 15);
    announce(*state, 5, 0, EVENT_NONE);
    counts_are(5, 15, 0);
    assert_int_equal(tracker_completed_take(*state, taken, 4), 0);
}

static void a_flush_is_taken_in_pieces(void **state)
{
    struct completed_count taken[7];
    size_t n = 0;
    for (uint32_t i = 0; i < 30; i++) {
        struct infohash hash = hash_n(i);
        struct announce_req req = req_n(&hash, 1, 5);
        ask(*state, 0, at_s(1000), &req, &a);
        req.left = 0;
        req.event = EVENT_COMPLETED;
        ask(*state, 0, at_s(1000), &req, &a);
    }
    for (size_t got = 7; got == 7; n += got) {
        got = tracker_completed_take(*state, taken, 7);
    }
    assert_int_equal(n, 30);
}

static void remembered_counts_have_a_limit(void **state)
{
    struct tracker_cfg cfg = public_cfg;
    struct tracker_totals totals;
    (void)state;
    cfg.max_torrents = 10;
    struct tracker *t = open_with(&cfg);
    for (uint32_t i = 0; i < 50; i++) {
        struct infohash hash = hash_n(i);
        tracker_completed_set(t, &hash, 3);
    }
    tracker_totals(t, &totals);
    assert_int_equal(totals.completed, 30);
    tracker_free(t);
}

static void scrape_answers_in_order(void **state)
{
    struct infohash hashes[3] = {hash_n(1), hash_n(9), hash_n(1)};
    struct scrape_counts counts[3];
    struct announce_failure failure;
    announce(*state, 1, 5, EVENT_STARTED);
    announce(*state, 1, 0, EVENT_COMPLETED);
    struct tracker_worker *w = tracker_worker(*state, 0);
    tracker_begin(w, at_s(1000));
    assert_int_equal(tracker_scrape(w, SPAN(""), hashes, 3, counts, &failure), 0);
    tracker_end(w);
    assert_int_equal(counts[0].complete, 1);
    assert_int_equal(counts[0].downloaded, 1);
    assert_int_equal(counts[1].complete + counts[1].downloaded + counts[1].incomplete, 0);
    assert_memory_equal(&counts[2], &counts[0], sizeof counts[0]);
}

/* Few peers and torrents, so that a batch has many of the same. */
static struct announce_req any_announce(struct rng *rng)
{
    struct infohash hash = hash_n(rng_below(rng, 3));
    uint32_t peer = rng_below(rng, 90);
    struct announce_req req = req_n(&hash, peer, rng_below(rng, 2));
    req.from = addr_n(peer, peer % 3 == 0);
    req.event = (enum announce_event)rng_below(rng, 4);
    req.port = (uint16_t)(rng_below(rng, 20) == 0 ? 0 : 6881);
    req.numwant = 10;
    return req;
}

static void answered_as_alone(struct tracker *alone, const struct tracker_visit *v)
{
    const struct announce_reply *reply = &v->reply;
    ask(alone, 0, at_s(1000), v->req, &a);
    assert_int_equal(v->status, a.status);
    if (v->status == 0) {
        counts_are(reply->counts.complete, reply->counts.downloaded, reply->counts.incomplete);
        assert_int_equal(reply->peers4.n / COMPACT4_LEN + reply->peers6.n / COMPACT6_LEN,
                         n_peers4(&a) + n_peers6(&a));
    }
}

static void a_batch_is_its_announces_in_their_order(void **state)
{
    static uint8_t peers[TRACKER_VISITS_MAX][2][100 * COMPACT6_LEN];
    struct tracker *together = open_with(&public_cfg);
    struct tracker_worker *w = tracker_worker(together, 0);
    struct rng rng = {5};
    struct announce_req reqs[TRACKER_VISITS_MAX];
    struct tracker_visit visits[TRACKER_VISITS_MAX];
    for (int round = 0; round < 200; round++) {
        size_t n = 1 + rng_below(&rng, TRACKER_VISITS_MAX);
        for (size_t i = 0; i < n; i++) {
            reqs[i] = any_announce(&rng);
            visits[i] = (struct tracker_visit){.req = &reqs[i]};
            visits[i].room = (struct peer_room){
                .peers4 = peers[i][0], .peers6 = peers[i][1], .cap4 = 100, .cap6 = 100};
        }
        tracker_begin(w, at_s(1000));
        tracker_announce_all(w, visits, n);
        tracker_end(w);
        for (size_t i = 0; i < n; i++) {
            answered_as_alone(*state, &visits[i]);
        }
    }
    tracker_free(together);
}

#define PUBLIC(test) cmocka_unit_test_setup_teardown(test, open_public, close_tracker)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PUBLIC(counts_include_the_announcer),
        PUBLIC(nobody_is_given_itself),
        PUBLIC(the_peer_is_its_address_and_port),
        PUBLIC(seeders_get_leechers_only),
        PUBLIC(sides_change_with_left),
        PUBLIC(stopped_removes_and_never_creates),
        cmocka_unit_test(completed_counts_once_a_download),
        PUBLIC(numwant_has_a_default_and_limits),
        PUBLIC(the_interval_is_only_lengthened),
        PUBLIC(port_0_is_refused),
        cmocka_unit_test(full_of_torrents),
        cmocka_unit_test(full_of_peers),
        cmocka_unit_test(private_peers_are_handed_out_as_the_external_address),
        cmocka_unit_test(the_ip_parameter_counts_only_when_trusted),
        PUBLIC(families_stay_apart),
        PUBLIC(room_limits_each_family),
        PUBLIC(silent_peers_are_swept),
        PUBLIC(an_announce_keeps_a_peer_alive),
        PUBLIC(completed_counts_rest_and_come_back),
        PUBLIC(shown_counts_survive_a_flush),
        PUBLIC(a_flush_is_taken_in_pieces),
        cmocka_unit_test(remembered_counts_have_a_limit),
        PUBLIC(scrape_answers_in_order),
        PUBLIC(a_batch_is_its_announces_in_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
