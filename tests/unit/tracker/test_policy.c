/* Who may announce and scrape in which mode, and what a refusal says. */
#include "unit/tracker/core_fixture.h"

#include <stdio.h>

#include "base/banned.h"

static struct asked a;

static struct tracker *open_mode(enum tracker_mode mode)
{
    struct tracker_cfg cfg = public_cfg;
    cfg.mode = mode;
    struct tracker *t = tracker_new(&cfg, 1, at_s(1000));
    struct infohash listed = hash_n(1);
    struct access_key key = {.permanent = true};
    tracker_whitelist_add(t, &listed, 1);
    (void)snprintf(key.key, sizeof key.key, "goodkey");
    tracker_key_put(t, &key);
    (void)snprintf(key.key, sizeof key.key, "oldkey");
    key.permanent = false;
    key.expires_unix_ms = at_s(1000).unix_ms;
    tracker_key_put(t, &key);
    (void)snprintf(key.key, sizeof key.key, "shortkey");
    key.expires_unix_ms = at_s(1010).unix_ms;
    tracker_key_put(t, &key);
    return t;
}

static bool says(const struct announce_failure *failure, const char *word)
{
    return memmem(failure->reason.p, failure->reason.n, word, strlen(word)) != NULL;
}

static void every_mode(void **state)
{
    static const struct {
        enum tracker_mode mode;
        uint32_t torrent; /* 1 is listed */
        const char *key;
        const char *refusal; /* a word of it; NULL: welcome */
    } rows[] = {
        {MODE_PUBLIC, 1, "", NULL},
        {MODE_PUBLIC, 2, "whatever", NULL},
        {MODE_LISTED, 1, "", NULL},
        {MODE_LISTED, 2, "goodkey", "whitelist"},
        {MODE_PRIVATE, 2, "goodkey", NULL},
        {MODE_PRIVATE, 2, "shortkey", NULL},
        {MODE_PRIVATE, 1, "", "key missing"},
        {MODE_PRIVATE, 1, "goodkex", "key unknown"},
        {MODE_PRIVATE, 1, "goodke", "key unknown"},
        {MODE_PRIVATE, 1, "oldkey", "key expired"},
        {MODE_PRIVATE, 1, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "key"},
        {MODE_PRIVATE_LISTED, 1, "goodkey", NULL},
        {MODE_PRIVATE_LISTED, 2, "goodkey", "whitelist"},
        {MODE_PRIVATE_LISTED, 2, "", "key"}, /* the key first */
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tracker *t = open_mode(rows[i].mode);
        struct infohash hash = hash_n(rows[i].torrent);
        struct announce_req req = req_n(&hash, 1, 5);
        struct torrent_row row;
        req.key = span_str(rows[i].key);
        int status = ask(t, 0, at_s(1000), &req, &a);
        assert_int_equal(status, rows[i].refusal == NULL ? 0 : ERR_DENIED);
        assert_int_equal(tracker_torrent(t, &hash, &row), status == 0 ? 0 : ERR_NOT_FOUND);
        if (rows[i].refusal != NULL) {
            assert_true(says(&a.failure, rows[i].refusal));
            bool key = strcmp(rows[i].refusal, "whitelist") != 0;
            assert_int_equal(counter(t, COUNT_refused_key), key);
            assert_int_equal(counter(t, COUNT_refused_whitelist), !key);
            /* A torrent may be listed any moment, a wrong key stays wrong. */
            assert_int_equal(a.failure.retry_in_min > 0, !key);
        }
        tracker_free(t);
    }
}

static void a_key_stops_the_millisecond_it_expires(void **state)
{
    struct tracker *t = open_mode(MODE_PRIVATE);
    struct infohash hash = hash_n(1);
    struct announce_req req = req_n(&hash, 1, 5);
    struct tracker_time now = at_s(1010);
    (void)state;
    req.key = SPAN("shortkey");
    now.unix_ms--;
    assert_int_equal(ask(t, 0, now, &req, &a), 0);
    now.unix_ms++;
    assert_int_equal(ask(t, 0, now, &req, &a), ERR_DENIED);
    tracker_free(t);
}

static void a_change_counts_for_the_next_announce(void **state)
{
    struct tracker *t = open_mode(MODE_PRIVATE_LISTED);
    struct infohash hash = hash_n(2);
    struct announce_req req = req_n(&hash, 1, 5);
    (void)state;
    req.key = SPAN("goodkey");
    assert_int_equal(ask(t, 0, at_s(1000), &req, &a), ERR_DENIED);
    tracker_whitelist_add(t, &hash, 1);
    assert_true(tracker_whitelist_has(t, &hash));
    assert_int_equal(ask(t, 0, at_s(1000), &req, &a), 0);
    assert_true(tracker_key_remove(t, SPAN("goodkey")));
    assert_int_equal(ask(t, 0, at_s(1000), &req, &a), ERR_DENIED);
    assert_true(says(&a.failure, "key"));
    tracker_free(t);
}

static void leaving_the_whitelist_drops_the_peers(void **state)
{
    (void)state;
    for (int how = 0; how < 2; how++) {
        struct tracker *t = open_mode(MODE_LISTED);
        struct infohash hash = hash_n(1);
        struct announce_req req = req_n(&hash, 1, 5);
        struct torrent_row row;
        assert_int_equal(ask(t, 0, at_s(1000), &req, &a), 0);
        if (how == 0) {
            tracker_whitelist_remove(t, &hash, 1);
        } else {
            tracker_whitelist_load_begin(t);
            tracker_whitelist_load_commit(t);
        }
        assert_int_equal(tracker_torrent(t, &hash, &row), ERR_NOT_FOUND);
        assert_int_equal(counter(t, COUNT_peers_forgotten), 1);
        assert_int_equal(ask(t, 0, at_s(1000), &req, &a), ERR_DENIED);
        tracker_free(t);
    }
}

static void in_a_public_mode_the_whitelist_drops_nobody(void **state)
{
    struct tracker *t = open_mode(MODE_PUBLIC);
    struct infohash hash = hash_n(1);
    struct announce_req req = req_n(&hash, 1, 5);
    struct torrent_row row;
    (void)state;
    ask(t, 0, at_s(1000), &req, &a);
    tracker_whitelist_remove(t, &hash, 1);
    sweep_round(t, at_s(1000));
    assert_int_equal(tracker_torrent(t, &hash, &row), 0);
    tracker_free(t);
}

/* Somebody who holds the snapshot of before may still record a peer: the sweep finds it. */
static void a_late_peer_of_an_unlisted_torrent_is_swept(void **state)
{
    struct tracker *t = open_mode(MODE_LISTED);
    struct infohash hash = hash_n(1);
    struct announce_req req = req_n(&hash, 1, 5);
    struct peer_room room = {.peers4 = a.peers4, .cap4 = 10};
    struct torrent_row row;
    (void)state;
    struct tracker_worker *w = tracker_worker(t, 0);
    tracker_begin(w, at_s(1000));
    tracker_whitelist_remove(t, &hash, 1);
    assert_int_equal(tracker_announce(w, &req, &room, &a.reply, &a.failure), 0);
    tracker_end(w);
    assert_int_equal(tracker_torrent(t, &hash, &row), 0);
    sweep_round(t, at_s(1000));
    assert_int_equal(tracker_torrent(t, &hash, &row), ERR_NOT_FOUND);
    tracker_free(t);
}

static void scrape_asks_the_same_questions(void **state)
{
    static const struct {
        enum tracker_mode mode;
        const char *key;
        int status;
        uint32_t listed, unlisted; /* leechers shown */
    } rows[] = {
        {MODE_PUBLIC, "", 0, 1, 1},           {MODE_LISTED, "", 0, 1, 0},
        {MODE_PRIVATE, "", ERR_DENIED, 0, 0}, {MODE_PRIVATE, "oldkey", ERR_DENIED, 0, 0},
        {MODE_PRIVATE, "goodkey", 0, 1, 1},   {MODE_PRIVATE_LISTED, "goodkey", 0, 1, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tracker *t = open_mode(rows[i].mode);
        struct infohash hashes[2] = {hash_n(1), hash_n(2)};
        struct scrape_counts counts[2];
        memset(counts, 0xff, sizeof counts);
        for (int j = 0; j < 2; j++) {
            struct announce_req req = req_n(&hashes[j], 1, 5);
            tracker_whitelist_add(t, &hashes[j], 1);
            req.key = SPAN("goodkey");
            assert_int_equal(ask(t, 0, at_s(1000), &req, &a), 0);
        }
        /* In a listed mode its peers go too, so that only the rule itself can be seen elsewhere. */
        tracker_whitelist_remove(t, &hashes[1], 1);
        struct tracker_worker *w = tracker_worker(t, 0);
        tracker_begin(w, at_s(1000));
        int status = tracker_scrape(w, span_str(rows[i].key), hashes, 2, counts, &a.failure);
        tracker_end(w);
        assert_int_equal(status, rows[i].status);
        assert_int_equal(counts[0].incomplete, rows[i].listed);
        assert_int_equal(counts[1].incomplete, rows[i].unlisted);
        assert_true(status == 0 || says(&a.failure, "key"));
        tracker_free(t);
    }
}

static void an_unlisted_torrent_does_not_show_its_past(void **state)
{
    struct tracker *t = open_mode(MODE_LISTED);
    struct infohash hash = hash_n(2);
    struct scrape_counts counts;
    (void)state;
    tracker_completed_set(t, &hash, 9);
    struct tracker_worker *w = tracker_worker(t, 0);
    tracker_begin(w, at_s(1000));
    assert_int_equal(tracker_scrape(w, SPAN(""), &hash, 1, &counts, &a.failure), 0);
    tracker_end(w);
    assert_int_equal(counts.downloaded, 0);
    tracker_free(t);
}

static void use_of_a_key_is_noted(void **state)
{
    struct tracker *t = open_mode(MODE_PRIVATE);
    struct infohash hash = hash_n(1);
    struct announce_req req = req_n(&hash, 1, 5);
    struct access_key used[4];
    (void)state;
    req.key = SPAN("oldkey");
    ask(t, 0, at_s(1000), &req, &a); /* refused is not used */
    assert_int_equal(tracker_key_take_used(t, used, 4), 0);
    req.key = SPAN("goodkey");
    ask(t, 0, at_s(1005), &req, &a);
    assert_int_equal(tracker_key_take_used(t, used, 4), 1);
    assert_string_equal(used[0].key, "goodkey");
    assert_int_equal(used[0].last_used_unix_s, at_s(1005).unix_ms / 1000);
    tracker_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mode),
        cmocka_unit_test(a_key_stops_the_millisecond_it_expires),
        cmocka_unit_test(a_change_counts_for_the_next_announce),
        cmocka_unit_test(leaving_the_whitelist_drops_the_peers),
        cmocka_unit_test(in_a_public_mode_the_whitelist_drops_nobody),
        cmocka_unit_test(a_late_peer_of_an_unlisted_torrent_is_swept),
        cmocka_unit_test(scrape_asks_the_same_questions),
        cmocka_unit_test(an_unlisted_torrent_does_not_show_its_past),
        cmocka_unit_test(use_of_a_key_is_noted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
