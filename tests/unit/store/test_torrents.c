/* The client's torrents on a real database: everything that goes in comes out again, in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/rng.h"
#include "lib/pg_fixture.h"
#include "store/torrents.h"
#include "unit/store/store_fixture.h"

#include "base/banned.h"

enum { MANY = 10000, SLICE_ROWS_MAX = MANY / 4, KEPT_MAX = 16 };

/* ---- what a load brought ------------------------------------------------------------------- */

struct kept_torrent {
    struct store_torrent t; /* its spans point into bytes */
    struct store_tracker trackers[8];
    uint8_t bytes[8192];
    size_t used;
};

struct loaded {
    unsigned n_torrents, n_sessions, n_unreadable;
    struct infohash unreadable[KEPT_MAX];
    char why[KEPT_MAX][80];
    struct kept_torrent kept[KEPT_MAX];
    struct store_session sessions[KEPT_MAX];
    char options[KEPT_MAX][64];
    struct answer answer;
    uint64_t sum; /* of all numbers, for those that are too many to keep */
    bool in_order;
    int64_t last_added_s;
    uv_check_t turn;
    unsigned n_in_turn, n_in_turn_max;
};

static struct span keep(struct kept_torrent *k, struct span s)
{
    assert_true(s.n <= sizeof k->bytes - k->used);
    uint8_t *at = k->bytes + k->used;
    if (s.n > 0) {
        memcpy(at, s.p, s.n);
    }
    k->used += s.n;
    return span_of(at, s.n);
}

static void on_torrent(void *ctx, const struct store_torrent *t)
{
    struct loaded *l = ctx;
    l->in_order = l->in_order && t->added_unix_s >= l->last_added_s;
    l->last_added_s = t->added_unix_s;
    l->sum += t->total_down;
    l->n_in_turn++;
    if (l->n_torrents < KEPT_MAX) {
        struct kept_torrent *k = &l->kept[l->n_torrents];
        k->t = *t;
        k->t.info = keep(k, t->info);
        k->t.name = keep(k, t->name);
        k->t.save_path = keep(k, t->save_path);
        k->t.web_seeds = keep(k, t->web_seeds);
        k->t.comment = keep(k, t->comment);
        k->t.created_by = keep(k, t->created_by);
        k->t.priorities = keep(k, t->priorities);
        k->t.bitfield = keep(k, t->bitfield);
        k->t.partials = keep(k, t->partials);
        assert_true(t->n_trackers <= 8);
        for (size_t i = 0; i < t->n_trackers; i++) {
            k->trackers[i] = t->trackers[i];
            k->trackers[i].url = keep(k, t->trackers[i].url);
        }
        k->t.trackers = k->trackers;
    }
    l->n_torrents++;
}

static void on_unreadable(void *ctx, const struct infohash *hash, const char *why)
{
    struct loaded *l = ctx;
    assert_true(l->n_unreadable < KEPT_MAX);
    (void)snprintf(l->why[l->n_unreadable], sizeof l->why[0], "%s", why);
    l->unreadable[l->n_unreadable++] = *hash;
}

static void on_session(void *ctx, const struct store_session *session)
{
    struct loaded *l = ctx;
    assert_true(l->n_sessions < KEPT_MAX && session->options.n < sizeof l->options[0]);
    assert_int_equal(l->n_torrents, 0); /* what torrents belong to comes first */
    memcpy(l->options[l->n_sessions], session->options.p, session->options.n);
    l->sessions[l->n_sessions++] = *session;
}

static void on_load_done(void *ctx, int status, const struct err *e)
{
    struct loaded *l = ctx;
    answer_set(&l->answer, status, 0, e);
}

static void load_begin(struct loaded *l, struct store *s)
{
    memset(l, 0, sizeof *l);
    l->in_order = true;
    const struct store_torrents_load load = {on_session, on_torrent, on_unreadable, on_load_done,
                                             l};
    assert_int_equal(store_torrents_load(s, &load), 0);
}

static void load_all(struct loaded *l, struct pg_fixture *f, struct store *s)
{
    load_begin(l, s);
    PG_UNTIL_TRUE(f, &l->answer.done);
    assert_int_equal(l->answer.status, 0);
}

/* ---- torrents ------------------------------------------------------------------------------ */

static bool same(const struct store_torrent *a, const struct store_torrent *b)
{
    bool equal = a->n_trackers == b->n_trackers;
    for (size_t i = 0; equal && i < a->n_trackers; i++) {
        equal = span_eq(a->trackers[i].url, b->trackers[i].url) &&
                a->trackers[i].tier == b->trackers[i].tier;
    }
    return equal && infohash_eq(&a->info_hash, &b->info_hash) && a->session == b->session &&
           span_eq(a->info, b->info) && span_eq(a->name, b->name) &&
           span_eq(a->save_path, b->save_path) && span_eq(a->web_seeds, b->web_seeds) &&
           span_eq(a->comment, b->comment) && span_eq(a->created_by, b->created_by) &&
           a->creation_unix_s == b->creation_unix_s && a->flags == b->flags &&
           a->allocate == b->allocate && a->max_down_bps == b->max_down_bps &&
           a->max_up_bps == b->max_up_bps && a->max_peers == b->max_peers &&
           a->max_uploads == b->max_uploads && span_eq(a->priorities, b->priorities) &&
           a->added_unix_s == b->added_unix_s && a->checked == b->checked &&
           span_eq(a->bitfield, b->bitfield) && span_eq(a->partials, b->partials) &&
           a->total_down == b->total_down && a->total_up == b->total_up && a->wasted == b->wasted &&
           a->active_s == b->active_s && a->finished_s == b->finished_s &&
           a->seeding_s == b->seeding_s && a->completed_unix_s == b->completed_unix_s &&
           a->last_seen_complete_unix_s == b->last_seen_complete_unix_s &&
           a->stop_pending == b->stop_pending;
}

static struct store_torrent plain(uint32_t n)
{
    return (struct store_torrent){
        .info_hash = hash_of(n),
        .save_path = SPAN("/srv/downloads"),
        .added_unix_s = 1700000000 + n,
    };
}

static const struct store_tracker three_trackers[] = {
    {{(const uint8_t *)"udp://a.example:1", 17}, 0},
    {{(const uint8_t *)"http://b.example/announce", 25}, 0},
    {{(const uint8_t *)"http://\"c\".example/{a,b}", 24}, UINT32_MAX},
};

static struct store_torrent full(uint32_t n)
{
    static const uint8_t every_byte[] = {0, 1, '\'', '"', '\\', 0x7f, 0x80, 0xff, '\n'};
    return (struct store_torrent){
        .info_hash = hash_of(n),
        .info = span_of(every_byte, sizeof every_byte),
        .name = SPAN("n\xc3\xa4me"),
        .save_path = SPAN("/srv/with space/\xe2\x82\xac"),
        .trackers = three_trackers,
        .n_trackers = 3,
        .web_seeds = SPAN("http://w.example/1\nhttp://w.example/2"),
        .comment = SPAN("it's a \"comment\""),
        .created_by = SPAN("mk"),
        .creation_unix_s = INT64_MIN,
        .flags = UINT32_MAX,
        .allocate = true,
        .max_down_bps = INT64_MAX,
        .max_up_bps = 1,
        .max_peers = UINT32_MAX,
        .max_uploads = UINT32_MAX - 1,
        .priorities = span_of(every_byte, 3),
        .added_unix_s = 1700000000 + n,
        .checked = true,
        .bitfield = span_of(every_byte + 5, 3),
        .partials = span_of(every_byte, 2),
        .total_down = INT64_MAX,
        .total_up = (uint64_t)1 << 40,
        .wasted = 3,
        .active_s = 4,
        .finished_s = 5,
        .seeding_s = 6,
        .completed_unix_s = 1700000001,
        .last_seen_complete_unix_s = 1700000002,
        .stop_pending = true,
    };
}

static void add(struct pg_fixture *f, struct store *s, const struct store_torrent *t, int expected)
{
    struct answer a = {false};
    assert_int_equal(store_torrent_add(s, t, answer_done, &a), 0);
    assert_false(a.done);
    PG_UNTIL_TRUE(f, &a.done);
    assert_int_equal(a.status, expected);
}

static void everything_comes_back(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    static struct loaded l;
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    load_all(&l, f, w.store);
    assert_int_equal(l.n_torrents + l.n_sessions, 0);

    const struct store_torrent torrents[] = {full(9), plain(3), full(1), plain(7)};
    for (size_t i = 0; i < 4; i++) {
        add(f, w.store, &torrents[i], 0);
    }
    load_all(&l, f, w.store);
    assert_int_equal(l.n_torrents, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(same(&l.kept[i].t, &torrents[i])); /* in the order added, not by hash */
    }
    watched_close(&w, f);
}

static void added_twice_changes_nothing(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    static struct loaded l;
    struct store_torrent t = full(1);
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    add(f, w.store, &t, 0);
    t.save_path = SPAN("/elsewhere");
    add(f, w.store, &t, ERR_EXISTS);
    load_all(&l, f, w.store);
    assert_int_equal(l.n_torrents, 1);
    assert_true(span_eq(l.kept[0].t.save_path, full(1).save_path));
    watched_close(&w, f);
}

/* What metainfo says may be anything; where a torrent is may not. */
static void texts_that_are_no_text(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    static struct loaded l;
    const struct store_tracker tracker = {SPAN("http://\xff/"), 2};
    struct store_torrent t = plain(1);
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    t.name = SPAN("a\0b\xff");
    t.comment = SPAN("\xc3");
    t.created_by = SPAN("\xed\xa0\x80"); /* half of a surrogate pair */
    t.web_seeds = SPAN("\0");
    t.trackers = &tracker;
    t.n_trackers = 1;
    add(f, w.store, &t, 0);
    load_all(&l, f, w.store);
#define REPLACED "\xef\xbf\xbd"
    const struct store_torrent *got = &l.kept[0].t;
    assert_true(span_eq(got->name, SPAN("a" REPLACED "b" REPLACED)));
    assert_true(span_eq(got->comment, SPAN(REPLACED)));
    assert_true(span_eq(got->created_by, SPAN(REPLACED REPLACED REPLACED)));
    assert_true(span_eq(got->web_seeds, SPAN(REPLACED)));
    assert_true(span_eq(got->trackers[0].url, SPAN("http://" REPLACED "/")));

    t = plain(2);
    t.save_path = SPAN("/a\xff");
    add(f, w.store, &t, ERR_INVALID);
    t.save_path = SPAN("");
    add(f, w.store, &t, ERR_INVALID);
    load_all(&l, f, w.store);
    assert_int_equal(l.n_torrents, 1);
    watched_close(&w, f);
}

static void metadata_comes_later(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    static struct loaded l;
    struct answer a = {false};
    struct store_torrent t = plain(1);
    t.name = SPAN("of the magnet");
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    add(f, w.store, &t, 0);
    t.info = SPAN("d6:lengthi1ee");
    assert_int_equal(store_torrent_set_info(w.store, &t.info_hash, t.info, answer_done, &a), 0);
    PG_UNTIL_TRUE(f, &a.done);
    assert_int_equal(a.status, 0);
    load_all(&l, f, w.store);
    assert_true(same(&l.kept[0].t, &t));
    watched_close(&w, f);
}

static void options_change_and_nothing_else(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    static struct loaded l;
    struct answer a = {false};
    struct store_torrent t = full(1);
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    add(f, w.store, &t, 0);
    t.flags = 5;
    t.max_down_bps = 6;
    t.max_up_bps = UINT64_MAX; /* kept as the largest that there is */
    t.max_peers = 8;
    t.priorities = SPAN("");
    struct store_torrent call = t;
    call.save_path = SPAN("not looked at");
    call.stop_pending = false; /* it is owed all the same */
    assert_int_equal(store_torrent_set_options(w.store, &call, answer_changed, &a), 0);
    PG_UNTIL_TRUE(f, &a.done);
    assert_int_equal(a.status, 0);
    assert_int_equal(a.n, 1);
    t.max_up_bps = INT64_MAX;
    load_all(&l, f, w.store);
    assert_true(same(&l.kept[0].t, &t));

    a = (struct answer){false};
    call.info_hash = hash_of(2);
    assert_int_equal(store_torrent_set_options(w.store, &call, answer_changed, &a), 0);
    PG_UNTIL_TRUE(f, &a.done);
    assert_int_equal(a.status, 0);
    assert_int_equal(a.n, 0);
    watched_close(&w, f);
}

static void removed_once(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    static struct loaded l;
    const struct store_torrent t = full(1);
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    add(f, w.store, &t, 0);
    for (size_t left = 2; left-- > 0;) {
        struct answer a = {false};
        assert_int_equal(store_torrent_remove(w.store, &t.info_hash, answer_changed, &a), 0);
        PG_UNTIL_TRUE(f, &a.done);
        assert_int_equal(a.status, 0);
        assert_int_equal(a.n, left);
    }
    load_all(&l, f, w.store);
    assert_int_equal(l.n_torrents, 0);
    watched_close(&w, f);
}

/* Many at once, bitfields of all lengths, some that are gone. */
static void many_removed_at_once(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    static struct loaded l;
    struct infohash hashes[5];
    struct answer a = {false};
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    for (uint32_t n = 1; n <= 4; n++) {
        const struct store_torrent t = plain(n);
        add(f, w.store, &t, 0);
    }
    for (uint32_t i = 0; i < 5; i++) {
        hashes[i] = hash_of(2 + i); /* two of them are not there */
    }
    assert_int_equal(
        store_torrents_remove(w.store, hashes, STORE_TORRENTS_MAX + 1, answer_changed, &a),
        ERR_LIMIT);
    assert_int_equal(store_torrents_remove(w.store, hashes, 5, answer_changed, &a), 0);
    PG_UNTIL_TRUE(f, &a.done);
    assert_int_equal(a.status, 0);
    assert_int_equal(a.n, 3);
    load_all(&l, f, w.store);
    assert_int_equal(l.n_torrents, 1);
    watched_close(&w, f);
}

static void saves_are_ragged(void **state)
{
    enum { N = 12, GONE = 3 };
    struct pg_fixture *f = *state;
    struct watched w;
    static struct loaded l;
    struct store_torrent saved[N];
    uint8_t bytes[N][64];
    struct rng rng = {11};
    struct answer a = {false};
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    for (uint32_t i = 0; i < N; i++) {
        saved[i] = i % 2 == 0 ? full(i) : plain(i);
        if (i < N - GONE) {
            add(f, w.store, &saved[i], 0);
        }
        for (size_t k = 0; k < sizeof bytes[i]; k++) {
            bytes[i][k] = (uint8_t)rng_next(&rng);
        }
        saved[i].checked = i % 3 == 0;
        saved[i].bitfield = span_of(bytes[i], rng_below(&rng, sizeof bytes[i]));
        saved[i].partials = span_of(bytes[i], i);
        saved[i].total_down = rng_next(&rng) >> 1;
        saved[i].total_up = i;
        saved[i].wasted = i + 1;
        saved[i].active_s = i + 2;
        saved[i].finished_s = i + 3;
        saved[i].seeding_s = i + 4;
        saved[i].completed_unix_s = i % 2 == 0 ? 0 : 1700000000 + i;
        saved[i].last_seen_complete_unix_s = i % 2 == 0 ? 1700000001 + i : 0;
        saved[i].stop_pending = i % 5 == 0;
    }
    assert_int_equal(store_torrents_save(w.store, saved, N, answer_done, &a), 0);
    memset(bytes, 0, sizeof bytes); /* it was copied */
    PG_UNTIL_TRUE(f, &a.done);
    assert_int_equal(a.status, 0);
    rng = (struct rng){11};
    load_all(&l, f, w.store);
    assert_int_equal(l.n_torrents, N - GONE);
    for (uint32_t i = 0; i < N - GONE; i++) {
        for (size_t k = 0; k < sizeof bytes[i]; k++) {
            bytes[i][k] = (uint8_t)rng_next(&rng);
        }
        (void)rng_below(&rng, sizeof bytes[i]);
        (void)rng_next(&rng);
        assert_true(same(&l.kept[i].t, &saved[i]));
    }

    a = (struct answer){false};
    assert_int_equal(store_torrents_save(w.store, NULL, 0, answer_done, &a), 0);
    PG_UNTIL_TRUE(f, &a.done);
    assert_int_equal(a.status, 0);
    assert_int_equal(store_torrents_save(w.store, saved, STORE_BULK_MAX + 1, answer_done, &a),
                     ERR_LIMIT);
    watched_close(&w, f);
}

/* ---- sessions ------------------------------------------------------------------------------ */

struct session_answer {
    bool done;
    int status;
    uint32_t id;
};

static void on_session_added(void *ctx, int status, uint32_t id, const struct err *e)
{
    struct session_answer *a = ctx;
    assert_true((status == 0) == (e == NULL));
    *a = (struct session_answer){true, status, id};
}

static uint32_t add_session(struct pg_fixture *f, struct store *s, struct store_session session,
                            int expected)
{
    struct session_answer a = {false};
    assert_int_equal(store_session_add(s, &session, on_session_added, &a), 0);
    PG_UNTIL_TRUE(f, &a.done);
    assert_int_equal(a.status, expected);
    return a.id;
}

static void sessions_take_their_torrents_along(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    static struct loaded l;
    struct answer a = {false};
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    uint32_t first =
        add_session(f, w.store, (struct store_session){.port_first = 6881, .port_last = 6889}, 0);
    uint32_t second =
        add_session(f, w.store,
                    (struct store_session){
                        .port_first = 65535, .port_last = 65535, .options = SPAN("{\"a\": [1]}")},
                    0);
    assert_true(first > 0 && second > first);
    (void)add_session(f, w.store, (struct store_session){.options = SPAN("{")}, ERR_INVALID);
    (void)add_session(f, w.store, (struct store_session){.port_first = 2, .port_last = 1},
                      ERR_INVALID);
    struct store_torrent t[] = {plain(1), plain(2), plain(3)};
    t[1].session = first;
    t[2].session = second;
    for (size_t i = 0; i < 3; i++) {
        add(f, w.store, &t[i], 0);
    }
    struct store_torrent lost = plain(4);
    lost.session = second + 100;
    add(f, w.store, &lost, ERR_NOT_FOUND);

    load_all(&l, f, w.store);
    assert_int_equal(l.n_sessions, 2);
    assert_int_equal(l.sessions[0].id, first);
    assert_int_equal(l.sessions[0].port_first, 6881);
    assert_int_equal(l.sessions[0].port_last, 6889);
    assert_string_equal(l.options[0], "{}");
    assert_int_equal(l.sessions[1].port_last, 65535);
    assert_string_equal(l.options[1], "{\"a\": [1]}");
    assert_int_equal(l.n_torrents, 3);
    assert_int_equal(l.kept[2].t.session, second);

    assert_int_equal(store_session_remove(w.store, 0, answer_changed, &a), ERR_INVALID);
    assert_int_equal(store_session_remove(w.store, first, answer_changed, &a), 0);
    PG_UNTIL_TRUE(f, &a.done);
    assert_int_equal(a.n, 1);
    load_all(&l, f, w.store);
    assert_int_equal(l.n_sessions, 1);
    assert_int_equal(l.n_torrents, 2);
    assert_true(infohash_eq(&l.kept[1].t.info_hash, &t[2].info_hash));
    watched_close(&w, f);
}

/* ---- rows that make no sense -------------------------------------------------------------------- */

static bool is_of(const struct infohash *hash, uint32_t n)
{
    struct infohash want = hash_of(n);
    return infohash_eq(hash, &want);
}

static void what_makes_no_sense_keeps_nobody_out(void **state)
{
    static const char *const damages[] = {
        "UPDATE torrents SET tracker_urls = '{{a,b}}', tracker_tiers = '{0,0}' WHERE id = 2",
        "UPDATE torrents SET tracker_urls = '{a,b}', tracker_tiers = '{{0},{0}}' WHERE id = 3",
        "ALTER TABLE torrents DROP CONSTRAINT torrents_check",
        "UPDATE torrents SET tracker_urls = '{a,b}' WHERE id = 4",
        "ALTER TABLE torrents DROP CONSTRAINT torrents_info_hash_check",
        "UPDATE torrents SET info_hash = 'short' WHERE id = 5",
        "UPDATE torrents SET info_hash = info_hash || 'x' WHERE id = 6",
        "UPDATE torrents SET tracker_urls = '{NULL}', tracker_tiers = '{NULL}' WHERE id = 7",
    };
    struct pg_fixture *f = *state;
    struct watched w;
    static struct loaded l;
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    for (uint32_t i = 1; i <= 8; i++) {
        struct store_torrent t = plain(i);
        add(f, w.store, &t, 0);
    }
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        (void)pg_fixture_sql(f->url, damages[i]);
    }
    load_all(&l, f, w.store);
    assert_int_equal(l.n_torrents, 3);
    assert_true(is_of(&l.kept[0].t.info_hash, 1));
    assert_true(is_of(&l.kept[1].t.info_hash, 7));
    assert_int_equal(l.kept[1].t.n_trackers, 1);
    assert_int_equal(l.kept[1].t.trackers[0].url.n, 0);
    assert_true(is_of(&l.kept[2].t.info_hash, 8));
    assert_int_equal(l.n_unreadable, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(
            l.why[i], i < 3 ? "tracker_urls and tracker_tiers must be lists of the same length"
                            : "info_hash must have 20 bytes");
    }
    assert_true(is_of(&l.unreadable[0], 2));
    assert_memory_equal(l.unreadable[3].b, "short\0\0\0", 8);
    assert_true(is_of(&l.unreadable[4], 6));
    watched_close(&w, f);
}

/* ---- many ---------------------------------------------------------------------------------- */

static void on_turn(uv_check_t *turn)
{
    struct loaded *l = turn->data;
    l->n_in_turn_max = l->n_in_turn > l->n_in_turn_max ? l->n_in_turn : l->n_in_turn_max;
    l->n_in_turn = 0;
}

static void fill(const struct pg_fixture *f)
{
    (void)pg_fixture_sql(
        f->url,
        "INSERT INTO torrents (info_hash, session, info, name, save_path, tracker_urls, "
        "tracker_tiers, web_seeds, comment, created_by, creation_date, flags, allocate, "
        "max_down_bps, max_up_bps, max_peers, priorities, added_at, checked, bitfield, partials, "
        "total_down, total_up, wasted, active_s, finished_s, seeding_s, stop_pending) "
        "SELECT substring(sha256(i::text::bytea) FOR 20), 0, repeat('x', 3000)::bytea, '', '/d', "
        "'{udp://a:1}', '{0}', '', '', '', 0, 0, false, 0, 0, 0, '', to_timestamp(1e9 + i), true, "
        "'', '', i, 0, 0, 0, 0, 0, false FROM generate_series(1, 10000) i");
}

static void ten_thousand_come_in_slices(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    static struct loaded l;
    pg_fixture_database(f);
    fill(f);
    watched_open(&w, f, f->url);
    load_begin(&l, w.store);
    l.turn.data = &l;
    assert_int_equal(uv_check_init(&f->loop, &l.turn), 0);
    assert_int_equal(uv_check_start(&l.turn, on_turn), 0);
    const struct store_torrents_load again = {on_session, on_torrent, on_unreadable, on_load_done,
                                              &l};
    struct answer beside = {false};
    const struct store_load tracker = {.done = answer_done, .ctx = &beside};
    assert_int_equal(store_torrents_load(w.store, &again), ERR_IN_USE);
    assert_int_equal(store_load(w.store, &tracker), 0);
    PG_UNTIL_TRUE(f, &l.answer.done);
    PG_UNTIL_TRUE(f, &beside.done);
    assert_int_equal(beside.status, 0);
    uv_close((uv_handle_t *)&l.turn, NULL);
    assert_int_equal(l.answer.status, 0);
    assert_int_equal(l.n_torrents, MANY);
    assert_int_equal(l.sum, (uint64_t)MANY * (MANY + 1) / 2);
    assert_true(l.in_order);
    assert_true(l.n_in_turn_max < SLICE_ROWS_MAX);
    watched_close(&w, f);
}

static void closed_in_the_middle(void **state)
{
    struct pg_fixture *f = *state;
    bool over = false;
    static struct loaded l;
    pg_fixture_database(f);
    fill(f);
    for (int turns = 0; !over; turns = turns * 2 + 1) {
        struct watched w;
        watched_open(&w, f, f->url);
        load_begin(&l, w.store);
        struct answer beside = {false};
        const struct store_load tracker = {.done = answer_done, .ctx = &beside};
        assert_int_equal(store_load(w.store, &tracker), 0);
        for (int i = 0; i < turns && !l.answer.done; i++) {
            (void)uv_run(&f->loop, UV_RUN_ONCE);
        }
        over = l.answer.done;
        watched_close(&w, f);
        assert_true(l.answer.done && beside.done);
        assert_true(beside.status == ERR_CANCELED || beside.status == 0);
        assert_true(l.answer.status == ERR_CANCELED ||
                    (l.answer.status == 0 && l.n_torrents == MANY));
    }
}

int main(void)
{
    struct log_sink sink = {.level = LOG_WARN, .write = pg_fixture_drop_line};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_comes_back),
        cmocka_unit_test(added_twice_changes_nothing),
        cmocka_unit_test(texts_that_are_no_text),
        cmocka_unit_test(metadata_comes_later),
        cmocka_unit_test(options_change_and_nothing_else),
        cmocka_unit_test(removed_once),
        cmocka_unit_test(many_removed_at_once),
        cmocka_unit_test(saves_are_ragged),
        cmocka_unit_test(sessions_take_their_torrents_along),
        cmocka_unit_test(what_makes_no_sense_keeps_nobody_out),
        cmocka_unit_test(ten_thousand_come_in_slices),
        cmocka_unit_test(closed_in_the_middle),
    };
    log_set_sink(&sink);
    return cmocka_run_group_tests(tests, pg_fixture_group_setup, pg_fixture_group_teardown);
}
