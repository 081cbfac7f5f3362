#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/pg_fixture.h"

#include "store/store.h"
#include "tracker/persist.h"
#include "tracker/persist_replay.h"
#include "tracker/tracker.h"

#include "base/banned.h"

#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define KEY_B "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"

/* ---- a tracker that only keeps lists, linked in place of the real one ---------------------- */

enum { FAKE_CAP = 70000 };

struct list_of_hashes {
    struct infohash at[FAKE_CAP];
    size_t n;
};

struct tracker {
    struct list_of_hashes white, white_new;
    struct access_key keys[64], keys_new[64];
    size_t n_keys, n_keys_new;
    bool loading_white, loading_keys;
    unsigned n_commits, n_aborts, n_reclaims;
    struct completed_count gathered[4096];
    size_t n_gathered;
    struct completed_count stored[4096];
    size_t n_stored;
    struct access_key used[4];
    size_t n_used;
};

static void hashes_remove(struct list_of_hashes *l, const struct infohash *hash)
{
    for (size_t i = 0; i < l->n; i++) {
        if (infohash_eq(&l->at[i], hash)) {
            l->at[i] = l->at[--l->n];
            return;
        }
    }
}

bool tracker_whitelist_has(struct tracker *t, const struct infohash *hash)
{
    for (size_t i = 0; i < t->white.n; i++) {
        if (infohash_eq(&t->white.at[i], hash)) {
            return true;
        }
    }
    return false;
}

size_t tracker_whitelist_count(struct tracker *t)
{
    return t->white.n;
}

void tracker_whitelist_add(struct tracker *t, const struct infohash *hashes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (n > 1000 ||
            !tracker_whitelist_has(t, &hashes[i])) { /* large ones come without doubles */
            assert_in_range(t->white.n, 0, FAKE_CAP - 1);
            t->white.at[t->white.n++] = hashes[i];
        }
    }
}

void tracker_whitelist_remove(struct tracker *t, const struct infohash *hashes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        hashes_remove(&t->white, &hashes[i]);
    }
}

void tracker_whitelist_load_begin(struct tracker *t)
{
    assert_false(t->loading_white);
    t->loading_white = true;
    t->white_new.n = 0;
}

void tracker_whitelist_load_add(struct tracker *t, const struct infohash *hash)
{
    assert_true(t->loading_white);
    t->white_new.at[t->white_new.n++] = *hash;
}

void tracker_whitelist_load_commit(struct tracker *t)
{
    assert_true(t->loading_white);
    t->loading_white = false;
    t->white.n = t->white_new.n;
    memcpy(t->white.at, t->white_new.at, t->white_new.n * sizeof t->white.at[0]);
    t->n_commits++;
}

void tracker_whitelist_load_abort(struct tracker *t)
{
    assert_true(t->loading_white);
    t->loading_white = false;
    t->n_aborts++;
}

static struct access_key *key_find(struct tracker *t, struct span key)
{
    for (size_t i = 0; i < t->n_keys; i++) {
        if (span_eq(span_str(t->keys[i].key), key)) {
            return &t->keys[i];
        }
    }
    return NULL;
}

void tracker_key_put(struct tracker *t, const struct access_key *key)
{
    struct access_key *at = key_find(t, span_str(key->key));
    *(at != NULL ? at : &t->keys[t->n_keys++]) = *key;
}

bool tracker_key_remove(struct tracker *t, struct span key)
{
    struct access_key *at = key_find(t, key);
    if (at != NULL) {
        *at = t->keys[--t->n_keys];
    }
    return at != NULL;
}

size_t tracker_key_count(struct tracker *t)
{
    return t->n_keys;
}

void tracker_key_load_begin(struct tracker *t)
{
    assert_false(t->loading_keys);
    t->loading_keys = true;
    t->n_keys_new = 0;
}

void tracker_key_load_add(struct tracker *t, const struct access_key *key)
{
    assert_true(t->loading_keys);
    t->keys_new[t->n_keys_new++] = *key;
}

void tracker_key_load_commit(struct tracker *t)
{
    assert_true(t->loading_keys);
    t->loading_keys = false;
    t->n_keys = t->n_keys_new;
    memcpy(t->keys, t->keys_new, sizeof t->keys);
}

void tracker_key_load_abort(struct tracker *t)
{
    assert_true(t->loading_keys);
    t->loading_keys = false;
}

bool tracker_reclaim(struct tracker *t)
{
    t->n_reclaims++;
    return t->n_reclaims % 3 != 0;
}

size_t tracker_key_take_used(struct tracker *t, struct access_key *out, size_t cap)
{
    size_t n = t->n_used < cap ? t->n_used : cap;
    memcpy(out, t->used, n * sizeof *out);
    t->n_used -= n;
    return n;
}

void tracker_completed_set(struct tracker *t, const struct infohash *hash, uint32_t stored)
{
    size_t i = 0;
    while (i < t->n_stored && !infohash_eq(&t->stored[i].info_hash, hash)) {
        i++;
    }
    t->stored[i] = (struct completed_count){*hash, stored};
    t->n_stored += i == t->n_stored ? 1 : 0;
}

size_t tracker_completed_take(struct tracker *t, struct completed_count *out, size_t cap)
{
    size_t n = t->n_gathered < cap ? t->n_gathered : cap;
    t->n_gathered -= n;
    memcpy(out, t->gathered + t->n_gathered, n * sizeof *out);
    return n;
}

void tracker_completed_give_back(struct tracker *t, const struct completed_count *counts, size_t n)
{
    assert_in_range(n, 1, 4096 - t->n_gathered);
    memcpy(t->gathered + t->n_gathered, counts, n * sizeof *counts);
    t->n_gathered += n;
}

/* ---- fixture ------------------------------------------------------------------------------ */

struct told {
    bool done;
    int status;
};

static void on_told(void *ctx, int status, const struct err *e)
{
    struct told *t = ctx;
    assert_false(t->done);
    assert_true((status == 0) == (e == NULL));
    t->done = true;
    t->status = status;
}

struct running {
    struct pg_fixture *f;
    struct tracker *tracker;
    struct persist *persist;
    struct store *store;
    struct told started;
    bool persist_closed, store_closed;
};

static void on_persist_closed(void *ctx)
{
    ((struct running *)ctx)->persist_closed = true;
}

static void on_store_closed(void *ctx)
{
    ((struct running *)ctx)->store_closed = true;
}

static void run_open(struct running *r, struct pg_fixture *f, const char *url)
{
    struct err e;
    *r = (struct running){.f = f, .tracker = calloc(1, sizeof *r->tracker)};
    r->persist = persist_new(&f->loop, r->tracker, true);
    const struct store_watch watch = persist_watch(r->persist);
    if (store_open(&r->store, &f->loop, url, &watch, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    persist_start(r->persist, r->store, on_told, &r->started);
}

static void run_start(struct running *r, struct pg_fixture *f)
{
    run_open(r, f, f->url);
    PG_UNTIL_TRUE(f, &r->started.done);
    assert_int_equal(r->started.status, 0);
}

static void run_close(struct running *r)
{
    persist_close(r->persist, on_persist_closed, r);
    PG_UNTIL_TRUE(r->f, &r->persist_closed);
    store_close(r->store, on_store_closed, r);
    PG_UNTIL_TRUE(r->f, &r->store_closed);
    free(r->tracker);
}

struct wish {
    struct running *r;
    size_t n_white, n_keys;
    unsigned n_commits, n_reclaims;
    size_t n_stored;
};

static bool wish_is_true(void *ctx)
{
    const struct wish *w = ctx;
    const struct tracker *t = w->r->tracker;
    return t->white.n == w->n_white && t->n_keys == w->n_keys && t->n_commits >= w->n_commits &&
           t->n_reclaims >= w->n_reclaims && t->n_stored >= w->n_stored;
}

static void wish(struct wish w, const char *name)
{
    pg_fixture_until(&w.r->f->loop, wish_is_true, &w, name);
}

static struct infohash hash_of(uint32_t n)
{
    struct infohash h = {{0}};
    memcpy(h.b, &n, sizeof n);
    return h;
}

/* ---- tests -------------------------------------------------------------------------------- */

static void loads_at_start_and_follows(void **state)
{
    struct pg_fixture *f = *state;
    struct running r;
    pg_fixture_database(f);
    (void)pg_fixture_sql(
        f->url, "INSERT INTO whitelist (info_hash) SELECT substring(sha256(i::text::bytea)"
                " FOR 20) FROM generate_series(1, 10) i;"
                "INSERT INTO access_keys (key, label) VALUES ('" KEY_A "', 'x');"
                "INSERT INTO completed_counts VALUES (decode(repeat('0b', 20), 'hex'), 9)");
    run_start(&r, f);
    assert_int_equal(r.tracker->white.n, 10);
    assert_int_equal(r.tracker->n_keys, 1);
    assert_string_equal(r.tracker->keys[0].label, "x");
    assert_true(r.tracker->keys[0].permanent);
    assert_int_equal(r.tracker->n_stored, 1);
    assert_int_equal(r.tracker->stored[0].n, 9);
    assert_int_equal(r.tracker->n_commits, 1);

    (void)pg_fixture_sql(f->url, "INSERT INTO access_keys (key) VALUES ('" KEY_B "');"
                                 "DELETE FROM whitelist WHERE "
                                 "info_hash = substring(sha256('1') FOR 20)");
    wish((struct wish){.r = &r, .n_white = 9, .n_keys = 2}, "changes of others");
    (void)pg_fixture_sql(f->url, "DELETE FROM access_keys WHERE key = '" KEY_A "';"
                                 "INSERT INTO whitelist (info_hash) SELECT "
                                 "substring(sha256(i::text::bytea) FOR 20) "
                                 "FROM generate_series(1000, 1999) i");
    wish((struct wish){.r = &r, .n_white = 1009, .n_keys = 1, .n_commits = 2}, "a bulk change");
    (void)pg_fixture_sql(f->url, "TRUNCATE whitelist");
    wish((struct wish){.r = &r, .n_keys = 1, .n_commits = 3, .n_reclaims = 9},
         "an emptied table, and what was replaced is freed");
    assert_int_equal(r.tracker->n_aborts, 0);
    run_close(&r);
}

static void reloads_when_asked(void **state)
{
    struct pg_fixture *f = *state;
    struct running r;
    struct told first = {0}, second = {0};
    pg_fixture_database(f);
    run_start(&r, f);
    r.tracker->white.at[r.tracker->white.n++] = hash_of(1); /* memory that went wrong */
    assert_int_equal(persist_reload(r.persist, on_told, &first), 0);
    assert_int_equal(persist_reload(r.persist, on_told, &second), 0);
    assert_int_equal(persist_reload(r.persist, NULL, NULL), 0);
    assert_false(first.done);
    PG_UNTIL_TRUE(f, &second.done);
    assert_true(first.done);
    assert_int_equal(first.status, 0);
    assert_int_equal(r.tracker->white.n, 0);
    assert_int_equal(r.tracker->n_commits, 2);
    for (int i = 0; i < PERSIST_WAITERS_MAX; i++) {
        assert_int_equal(persist_reload(r.persist, NULL, NULL), 0);
    }
    assert_int_equal(persist_reload(r.persist, NULL, NULL), ERR_LIMIT);
    run_close(&r);
}

static void reload_in_flight_is_canceled_by_close(void **state)
{
    struct pg_fixture *f = *state;
    pg_fixture_database(f);
    bool over = false;
    for (int turns = 0; !over; turns++) {
        struct running r;
        struct told told = {0};
        run_start(&r, f);
        assert_int_equal(persist_reload(r.persist, on_told, &told), 0);
        for (int i = 0; i < turns && !told.done; i++) {
            (void)uv_run(&f->loop, UV_RUN_ONCE);
        }
        over = told.done;
        run_close(&r);
        assert_true(told.done);
        assert_int_equal(told.status, over ? 0 : ERR_CANCELED);
    }
}

/* What changes during a load is in memory when it is over, although the load never saw it. */
static void changes_during_a_load_survive_it(void **state)
{
    struct pg_fixture *f = *state;
    struct running r;
    struct told told = {0};
    pg_fixture_database(f);
    (void)pg_fixture_sql(f->url, "INSERT INTO whitelist (info_hash) VALUES "
                                 "(decode(repeat('01', 20), 'hex'))");
    run_start(&r, f);
    /* The load has its snapshot with the whitelist, then waits for the keys. */
    PGconn *pg = PQconnectdb(f->url);
    PQclear(PQexec(pg, "BEGIN; LOCK TABLE access_keys IN ACCESS EXCLUSIVE MODE"));
    assert_int_equal(persist_reload(r.persist, on_told, &told), 0);
    const uint64_t end_ns = uv_hrtime() + PG_FIXTURE_PATIENCE_MS * UINT64_C(1000000);
    while (strcmp(pg_fixture_sql(f->url, "SELECT count(*) FROM pg_stat_activity WHERE "
                                         "wait_event_type = 'Lock' AND query LIKE 'COPY%'"),
                  "1") != 0) {
        assert_true(uv_hrtime() < end_ns);
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    (void)pg_fixture_sql(f->url, "DELETE FROM whitelist; "
                                 "INSERT INTO whitelist (info_hash) VALUES "
                                 "(decode(repeat('02', 20), 'hex')), "
                                 "(decode(repeat('03', 20), 'hex'))");
    wish((struct wish){.r = &r, .n_white = 2}, "applied at once");
    assert_false(told.done);
    PQclear(PQexec(pg, "INSERT INTO access_keys (key) VALUES ('" KEY_A "'); COMMIT"));
    PQfinish(pg);
    PG_UNTIL_TRUE(f, &told.done);
    wish((struct wish){.r = &r, .n_white = 2, .n_keys = 1}, "still there");
    struct infohash hash;
    memset(hash.b, 2, sizeof hash.b);
    assert_true(tracker_whitelist_has(r.tracker, &hash));
    run_close(&r);
}

static void flushes_counts_and_uses(void **state)
{
    struct pg_fixture *f = *state;
    struct running r;
    pg_fixture_database(f);
    (void)pg_fixture_sql(f->url, "INSERT INTO access_keys (key) VALUES ('" KEY_A "')");
    run_start(&r, f);
    for (uint32_t i = 0; i < PERSIST_BATCH + 5; i++) { /* more than one statement */
        r.tracker->gathered[r.tracker->n_gathered++] = (struct completed_count){hash_of(i), 3};
    }
    r.tracker->used[0] = (struct access_key){.key = KEY_A, .last_used_unix_s = 1750000000};
    r.tracker->n_used = 1;
    wish((struct wish){.r = &r, .n_keys = 1, .n_commits = 1, .n_stored = PERSIST_BATCH + 5},
         "counts are stored");
    assert_int_equal(r.tracker->stored[7].n, 3);
    assert_int_equal(r.tracker->n_gathered, 0);
    r.tracker->gathered[r.tracker->n_gathered++] = (struct completed_count){hash_of(0), 4};
    run_close(&r); /* flushes once more */
    assert_string_equal(pg_fixture_sql(f->url, "SELECT sum(completed) FROM completed_counts"),
                        "3091");
    assert_string_equal(
        pg_fixture_sql(f->url, "SELECT extract(epoch FROM last_used_at)::int8 FROM access_keys"),
        "1750000000");
}

static bool has_taken(void *ctx)
{
    return ((struct running *)ctx)->tracker->n_gathered == 0;
}

static bool has_given_back(void *ctx)
{
    return !has_taken(ctx);
}

static bool has_aborted(void *ctx)
{
    return ((struct running *)ctx)->tracker->n_aborts > 0;
}

static void counts_survive_a_refusal(void **state)
{
    struct pg_fixture *f = *state;
    struct running r;
    pg_fixture_database(f);
    (void)pg_fixture_sql(f->url, "ALTER TABLE completed_counts RENAME TO away");
    run_open(&r, f, f->url); /* the load fails, too, and is tried again */
    pg_fixture_until(&f->loop, has_aborted, &r, "a load that failed");
    assert_false(r.started.done);
    (void)pg_fixture_sql(f->url, "ALTER TABLE away RENAME TO completed_counts");
    PG_UNTIL_TRUE(f, &r.started.done);

    (void)pg_fixture_sql(f->url, "ALTER TABLE completed_counts RENAME TO away");
    r.tracker->gathered[r.tracker->n_gathered++] = (struct completed_count){hash_of(1), 6};
    struct tracker *t = r.tracker;
    pg_fixture_until(&f->loop, has_taken, &r, "taken");
    pg_fixture_until(&f->loop, has_given_back, &r, "given back");
    (void)pg_fixture_sql(f->url, "ALTER TABLE away RENAME TO completed_counts");
    wish((struct wish){.r = &r, .n_commits = 1, .n_stored = 1}, "stored at last");
    assert_int_equal(t->stored[0].n, 6);
    run_close(&r);
}

static bool is_available(void *ctx)
{
    return store_is_available(((struct running *)ctx)->store);
}

static bool is_away(void *ctx)
{
    return !is_available(ctx);
}

static void database_away_and_back(void **state)
{
    struct pg_fixture *f = *state;
    struct running r;
    struct told told = {0};
    pg_fixture_database(f);
    run_start(&r, f);
    assert_int_equal(kill(pg_fixture_postmaster(f), SIGKILL), 0);
    pg_fixture_until(&f->loop, is_away, &r, "away");
    assert_int_equal(persist_reload(r.persist, on_told, &told), ERR_UNAVAILABLE);
    r.tracker->gathered[r.tracker->n_gathered++] = (struct completed_count){hash_of(1), 6};
    r.tracker->white.at[r.tracker->white.n++] = hash_of(1);
    wish((struct wish){.r = &r, .n_commits = 2, .n_stored = 1}, "loaded and stored");
    assert_int_equal(r.tracker->stored[0].n, 6);
    assert_false(told.done);
    run_close(&r);
}

static void closes_while_the_database_is_away(void **state)
{
    struct pg_fixture *f = *state;
    struct running r;
    run_open(&r, f, "host=/nowhere");
    (void)uv_run(&f->loop, UV_RUN_ONCE);
    run_close(&r);
    assert_false(r.started.done);
}

static void closes_without_a_store(void **state)
{
    struct pg_fixture *f = *state;
    struct running r = {.f = f, .tracker = calloc(1, sizeof *r.tracker)};
    r.persist = persist_new(&f->loop, r.tracker, true);
    persist_close(r.persist, on_persist_closed, &r);
    PG_UNTIL_TRUE(f, &r.persist_closed);
    free(r.tracker);
}

static void replay_keeps_the_last_word(void **state)
{
    (void)state;
    struct tracker *t = calloc(1, sizeof *t);
    struct replay r = {.overflow = false};
    const struct infohash a = hash_of(1), b = hash_of(2);
    struct store_key key = {.permanent = true};
    memcpy(key.key, KEY_A, sizeof key.key);
    replay_note_hashes(&r, &a, 1, true);
    replay_note_hashes(&r, &b, 1, false);
    replay_note_hashes(&r, &a, 1, false);
    replay_note_hashes(&r, &b, 1, true);
    replay_note_key(&r, &key, false);
    replay_note_key(&r, &key, true);
    replay_apply(&r, t);
    assert_int_equal(t->white.n, 1);
    assert_true(tracker_whitelist_has(t, &b));
    assert_int_equal(t->n_keys, 1);
    for (uint32_t i = 0; i < REPLAY_MAX; i++) {
        replay_note_hashes(&r, &a, 1, true);
    }
    assert_false(r.overflow);
    replay_note_hashes(&r, &a, 1, true);
    assert_true(r.overflow);
    replay_clear(&r);
    assert_false(r.overflow);
    replay_release(&r);
    free(t);
}

int main(void)
{
    struct log_sink sink = {.level = LOG_WARN, .write = pg_fixture_drop_line};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_at_start_and_follows),
        cmocka_unit_test(reloads_when_asked),
        cmocka_unit_test(reload_in_flight_is_canceled_by_close),
        cmocka_unit_test(changes_during_a_load_survive_it),
        cmocka_unit_test(flushes_counts_and_uses),
        cmocka_unit_test(counts_survive_a_refusal),
        cmocka_unit_test(database_away_and_back),
        cmocka_unit_test(closes_while_the_database_is_away),
        cmocka_unit_test(closes_without_a_store),
        cmocka_unit_test(replay_keeps_the_last_word),
    };
    log_set_sink(&sink);
    return cmocka_run_group_tests(tests, pg_fixture_group_setup, pg_fixture_group_teardown);
}
