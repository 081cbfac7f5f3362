#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/pg_fixture.h"
#include "unit/store/store_fixture.h"

#include "base/banned.h"

#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define KEY_B "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"

static struct store_key key_named(const char *key)
{
    struct store_key k = {.permanent = true, .created_unix_s = 1700000000};
    memcpy(k.key, key, sizeof k.key);
    return k;
}

/* ---- every call --------------------------------------------------------------------------- */

static void whitelist_add_and_remove(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    pg_fixture_database(f);
    watched_open(&w, f, f->url);

    const struct infohash hashes[4] = {hash_of(1), hash_of(2), hash_of(3), hash_of(2)};
    struct answer add = {0}, again = {0}, remove = {0}, gone = {0};
    assert_int_equal(store_whitelist_add(w.store, hashes, 4, answer_changed, &add), 0);
    assert_false(add.done); /* never from inside the call */
    PG_UNTIL_TRUE(f, &add.done);
    assert_int_equal(add.status, 0);
    assert_int_equal(add.n, 3);
    assert_int_equal(w.n_present, 4);
    assert_string_equal(pg_fixture_sql(f->url, "SELECT count(*) FROM whitelist"), "3");

    assert_int_equal(store_whitelist_add(w.store, hashes, 1, answer_changed, &again), 0);
    assert_int_equal(store_whitelist_remove(w.store, &hashes[0], answer_changed, &remove), 0);
    assert_int_equal(store_whitelist_remove(w.store, &hashes[0], answer_changed, &gone), 0);
    PG_UNTIL_TRUE(f, &gone.done);
    assert_int_equal(again.n, 0);
    assert_int_equal(remove.n, 1);
    assert_int_equal(gone.n, 0);
    assert_int_equal(gone.status, 0);
    assert_int_equal(w.n_absent, 2);
    assert_true(infohash_eq(&w.last_absent, &hashes[0]));

    struct answer none = {0};
    assert_int_equal(store_whitelist_add(w.store, hashes, 0, answer_changed, &none), 0);
    PG_UNTIL_TRUE(f, &none.done);
    assert_int_equal(none.status, 0);
    assert_int_equal(none.n, 0);
    assert_int_equal(w.n_reloads, 1); /* our own changes are no news */
    watched_close(&w, f);
}

static void keys_add_use_remove(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    pg_fixture_database(f);
    watched_open(&w, f, f->url);

    struct store_key key = key_named(KEY_A);
    struct answer add = {0}, twice = {0}, bad = {0}, used = {0}, older = {0}, remove = {0};
    key.permanent = false;
    key.expires_unix_ms = 1800000000123;
    (void)snprintf(key.label, sizeof key.label, "Jos\xc3\xa9's box");
    assert_int_equal(store_key_add(w.store, &key, answer_done, &add), 0);
    assert_int_equal(store_key_add(w.store, &key, answer_done, &twice), 0);
    struct store_key not_a_key = key_named(KEY_B);
    not_a_key.key[3] = '-';
    assert_int_equal(store_key_add(w.store, &not_a_key, answer_done, &bad), 0);
    PG_UNTIL_TRUE(f, &bad.done);
    assert_int_equal(add.status, 0);
    assert_int_equal(twice.status, ERR_EXISTS);
    assert_int_equal(bad.status, ERR_INVALID);
    assert_int_equal(w.n_keys_present, 1);
    assert_string_equal(pg_fixture_sql(f->url, "SELECT extract(epoch FROM expires_at) * 1000 = "
                                               "1800000000123 AND label LIKE 'Jos_''s box' AND "
                                               "last_used_at IS NULL FROM access_keys"),
                        "t");

    struct store_key uses[3] = {key_named(KEY_A), key_named(KEY_A), key_named(KEY_B)};
    uses[0].last_used_unix_s = 1750000000;
    uses[1].last_used_unix_s = 1750000005;
    uses[2].last_used_unix_s = 1750000009;
    assert_int_equal(store_keys_used(w.store, uses, 3, answer_done, &used), 0);
    assert_int_equal(store_keys_used(w.store, uses, 1, answer_done, &older), 0);
    PG_UNTIL_TRUE(f, &older.done);
    assert_int_equal(used.status, 0);
    assert_int_equal(older.status, 0);
    assert_string_equal(
        pg_fixture_sql(f->url, "SELECT extract(epoch FROM last_used_at)::int8 FROM access_keys"),
        "1750000005");

    assert_int_equal(store_key_remove(w.store, KEY_A, answer_changed, &remove), 0);
    PG_UNTIL_TRUE(f, &remove.done);
    assert_int_equal(remove.n, 1);
    assert_string_equal(w.last_absent_key, KEY_A);
    watched_close(&w, f);
}

struct totals {
    struct answer answer;
    struct store_completed at[4];
};

static void on_totals(void *ctx, int status, const struct store_completed *totals, size_t n,
                      const struct err *e)
{
    struct totals *t = ctx;
    assert_in_range(n, 0, 4);
    if (n > 0) {
        memcpy(t->at, totals, n * sizeof *totals);
    }
    answer_set(&t->answer, status, n, e);
}

static void completed_counts_add_up(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    struct totals first = {0}, again = {0}, second = {0};
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    const struct store_completed counts[3] = {{hash_of(1), 5}, {hash_of(2), 1}, {hash_of(1), 2}};
    const struct store_completed more[1] = {{hash_of(1), UINT32_MAX}};
    assert_int_equal(store_completed_add(w.store, counts, 3, 1, on_totals, &first), 0);
    assert_int_equal(store_completed_add(w.store, counts, 3, 1, on_totals, &again), 0);
    assert_int_equal(store_completed_add(w.store, more, 1, 2, on_totals, &second), 0);
    PG_UNTIL_TRUE(f, &second.answer.done);
    assert_int_equal(again.answer.status, 0);
    assert_int_equal(again.answer.n, 0); /* the same batch once more adds nothing */
    assert_int_equal(first.answer.n, 2);
    assert_true(infohash_eq(&first.at[0].info_hash, &counts[0].info_hash));
    assert_int_equal(first.at[0].n, 7);
    assert_int_equal(first.at[1].n, 1);
    assert_int_equal(second.answer.n, 1);
    assert_int_equal(second.at[0].n, UINT32_MAX); /* stays there, does not wrap */
    watched_close(&w, f);
}

/* ---- the queue ---------------------------------------------------------------------------- */

static void thousand_in_flight_then_full(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    static struct answer answers[STORE_QUEUE_MAX + 1];
    memset(answers, 0, sizeof answers);
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    for (uint32_t i = 0; i < STORE_QUEUE_MAX; i++) {
        const struct infohash hash = hash_of(i);
        assert_int_equal(store_whitelist_add(w.store, &hash, 1, answer_changed, &answers[i]), 0);
    }
    assert_int_equal(store_ping(w.store, answer_done, &answers[STORE_QUEUE_MAX]), ERR_LIMIT);
    PG_UNTIL_TRUE(f, &answers[STORE_QUEUE_MAX - 1].done);
    for (size_t i = 0; i < STORE_QUEUE_MAX; i++) {
        assert_true(answers[i].done);
        assert_int_equal(answers[i].status, 0);
        assert_int_equal(answers[i].n, 1);
    }
    assert_false(answers[STORE_QUEUE_MAX].done);
    struct answer ping = {0};
    assert_int_equal(store_ping(w.store, answer_done, &ping), 0);
    PG_UNTIL_TRUE(f, &ping.done);
    assert_int_equal(ping.status, 0);
    watched_close(&w, f);
}

static void one_failure_leaves_the_others_alone(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    struct answer answers[3] = {{0}};
    const struct store_key key = key_named(KEY_A);
    const struct infohash hash = hash_of(1);
    pg_fixture_database(f);
    (void)pg_fixture_sql(f->url, "INSERT INTO access_keys (key) VALUES ('" KEY_A "')");
    watched_open(&w, f, f->url);
    assert_int_equal(store_ping(w.store, answer_done, &answers[0]), 0);
    assert_int_equal(store_key_add(w.store, &key, answer_done, &answers[1]), 0);
    assert_int_equal(store_whitelist_add(w.store, &hash, 1, answer_changed, &answers[2]), 0);
    PG_UNTIL_TRUE(f, &answers[2].done);
    assert_int_equal(answers[0].status, 0);
    assert_int_equal(answers[1].status, ERR_EXISTS);
    assert_int_equal(answers[2].status, 0);
    watched_close(&w, f);
}

static void error_of_the_database_is_told_in_one_line(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    struct answer a = {0};
    const struct infohash hash = hash_of(1);
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    (void)pg_fixture_sql(f->url, "ALTER TABLE whitelist RENAME TO elsewhere");
    assert_int_equal(store_whitelist_add(w.store, &hash, 1, answer_changed, &a), 0);
    PG_UNTIL_TRUE(f, &a.done);
    assert_int_equal(a.status, ERR_DATABASE);
    assert_non_null(strstr(a.e.msg, "whitelist"));
    assert_null(strchr(a.e.msg, '\n'));
    watched_close(&w, f);
}

/* ENOSPC as PostgreSQL reports it. */
static void full_disk(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    struct answer a = {0};
    const struct infohash hash = hash_of(1);
    pg_fixture_database(f);
    (void)pg_fixture_sql(
        f->url, "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$; "
                "CREATE TRIGGER full_disk BEFORE INSERT ON whitelist "
                "FOR EACH ROW EXECUTE FUNCTION full_disk()");
    watched_open(&w, f, f->url);
    assert_int_equal(store_whitelist_add(w.store, &hash, 1, answer_changed, &a), 0);
    PG_UNTIL_TRUE(f, &a.done);
    assert_int_equal(a.status, ERR_NO_SPACE);
    assert_int_equal(w.n_present, 0);
    watched_close(&w, f);
}

/* An error that only the commit finds still fails the call. */
static void failure_at_commit(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    struct answer a = {0};
    const struct infohash hash = hash_of(1);
    pg_fixture_database(f);
    (void)pg_fixture_sql(
        f->url, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "RAISE EXCEPTION 'not at commit' USING ERRCODE = 'integrity_constraint_violation'; "
                "END $$; CREATE CONSTRAINT TRIGGER late AFTER INSERT ON whitelist "
                "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()");
    watched_open(&w, f, f->url);
    assert_int_equal(store_whitelist_add(w.store, &hash, 1, answer_changed, &a), 0);
    PG_UNTIL_TRUE(f, &a.done);
    assert_int_equal(a.status, ERR_DATABASE);
    assert_int_equal(w.n_present, 0);
    watched_close(&w, f);
}

/* ---- away and back ------------------------------------------------------------------------ */

struct two_events {
    struct watched *w;
    unsigned n_up, n_reloads;
};

static bool is_back(void *ctx)
{
    const struct two_events *t = ctx;
    return t->w->n_up > t->n_up && t->w->n_reloads > t->n_reloads;
}

static void postmaster_killed_under_load(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    static struct answer answers[500];
    memset(answers, 0, sizeof answers);
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    const struct two_events before = {&w, w.n_up, w.n_reloads};
    /* The statements wait for a lock, so that they are in flight for sure. */
    PGconn *pg = PQconnectdb(f->url);
    PQclear(PQexec(pg, "BEGIN; LOCK TABLE whitelist IN ACCESS EXCLUSIVE MODE"));
    for (uint32_t i = 0; i < 500; i++) {
        const struct infohash hash = hash_of(i);
        assert_int_equal(store_whitelist_add(w.store, &hash, 1, answer_changed, &answers[i]), 0);
    }
    assert_int_equal(kill(pg_fixture_postmaster(f), SIGKILL), 0);
    assert_int_equal(kill(PQbackendPID(pg), SIGKILL), 0); /* its children see to themselves */
    PG_UNTIL_TRUE(f, &answers[499].done);
    size_t n_failed = 0;
    for (size_t i = 0; i < 500; i++) {
        assert_true(answers[i].done);
        n_failed += answers[i].status < 0 ? 1 : 0;
        assert_true(answers[i].status == 0 || answers[i].status == ERR_UNAVAILABLE);
    }
    assert_true(n_failed > 0);
    PQfinish(pg);
    pg_fixture_until(&f->loop, is_back, (void *)&before, "the store is back");
    assert_true(w.n_down > 0);
    struct answer ping = {0};
    assert_int_equal(store_ping(w.store, answer_done, &ping), 0);
    PG_UNTIL_TRUE(f, &ping.done);
    assert_int_equal(ping.status, 0);
    watched_close(&w, f);
}

static void backends_terminated(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    const struct two_events before = {&w, w.n_up, w.n_reloads};
    (void)pg_fixture_sql(f->url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                                 "WHERE application_name = 'rookery'");
    pg_fixture_until(&f->loop, is_back, (void *)&before, "the store is back");
    assert_int_equal(w.n_down, 1);
    watched_close(&w, f);
}

static void nobody_there(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w = {.store = NULL};
    struct err e;
    struct answer a = {0};
    const struct store_watch watch = {watched_on_whitelist, watched_on_key, watched_on_reload,
                                      watched_on_available, &w};
    assert_int_equal(store_open(&w.store, &f->loop, "host=localhost port=1", &watch, &e), 0);
    bool over = false;
    uv_timer_t tick;
    assert_int_equal(uv_timer_init(&f->loop, &tick), 0);
    tick.data = &over;
    assert_int_equal(uv_timer_start(&tick, pg_fixture_on_patience, 300, 0), 0);
    PG_UNTIL_TRUE(f, &over); /* several tries pass, names are looked up */
    uv_close((uv_handle_t *)&tick, NULL);
    assert_false(store_is_available(w.store));
    assert_int_equal(store_ping(w.store, answer_done, &a), ERR_UNAVAILABLE);
    assert_int_equal(w.n_up + w.n_down + w.n_reloads, 0);
    watched_close(&w, f);
    assert_false(a.done);
}

/* A name that is looked up and refuses, one that does not exist, then a socket that works. */
static void several_hosts(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    char url[512];
    int fd = -1;
    pg_fixture_database(f);
    assert_int_equal(sscanf(f->url, "host=/proc/self/fd/%d ", &fd), 1);
    (void)snprintf(url, sizeof url,
                   "%s host=localhost,no.such.name.invalid,/proc/self/fd/%d "
                   "port=1,5432,5432",
                   f->url, fd);
    watched_open(&w, f, url);
    watched_close(&w, f);
}

static void large_bulk(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    struct answer a = {0}, too_many = {0};
    enum { N = 20000 };
    static struct infohash hashes[N];
    for (uint32_t i = 0; i < N; i++) {
        hashes[i] = hash_of(i);
    }
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    assert_int_equal(store_whitelist_add(w.store, hashes, N, answer_changed, &a), 0);
    assert_int_equal(
        store_whitelist_add(w.store, hashes, STORE_BULK_MAX + 1, answer_changed, &too_many),
        ERR_LIMIT);
    PG_UNTIL_TRUE(f, &a.done);
    assert_int_equal(a.status, 0);
    assert_int_equal(a.n, N);
    assert_int_equal(w.n_present, N);
    assert_int_equal(w.n_reloads, 1);
    watched_close(&w, f);
}

static void closed_at_every_moment(void **state)
{
    struct pg_fixture *f = *state;
    pg_fixture_database(f);
    bool up = false;
    for (int turns = 0; !up; turns++) {
        struct watched w = {.store = NULL};
        struct err e;
        const struct store_watch watch = {watched_on_whitelist, watched_on_key, watched_on_reload,
                                          watched_on_available, &w};
        assert_int_equal(store_open(&w.store, &f->loop, f->url, &watch, &e), 0);
        for (int i = 0; i < turns && w.n_reloads == 0; i++) {
            (void)uv_run(&f->loop, UV_RUN_ONCE);
        }
        up = w.n_reloads > 0;
        watched_close(&w, f);
    }
}

static void close_waits_for_what_is_in_flight(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    struct answer a = {0}, late = {0};
    const struct infohash hash = hash_of(1);
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    assert_int_equal(store_whitelist_add(w.store, &hash, 1, answer_changed, &a), 0);
    store_close(w.store, watched_on_closed, &w);
    assert_int_equal(store_ping(w.store, answer_done, &late), ERR_UNAVAILABLE);
    PG_UNTIL_TRUE(f, &w.closed);
    assert_true(a.done);
    assert_int_equal(a.status, 0);
    assert_int_equal(w.n_present, 0); /* no watch any more */
}

static void urls_that_are_none(void **state)
{
    struct pg_fixture *f = *state;
    static const char *const urls[] = {"nonsense", "host=a,b,c port=1,2", "postgres://[::1",
                                       "host=x no_such_option=1"};
    const struct store_watch watch = {watched_on_whitelist, watched_on_key, watched_on_reload,
                                      watched_on_available, NULL};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct store *s = NULL;
        struct err e = {0};
        assert_int_equal(store_open(&s, &f->loop, urls[i], &watch, &e), ERR_INVALID);
        assert_true(e.msg[0] != '\0');
    }
}

/* ---- changes of others -------------------------------------------------------------------- */

struct expected {
    struct watched *w;
    unsigned n_present, n_absent, n_keys_present, n_keys_absent, n_reloads;
};

static bool has_seen(void *ctx)
{
    const struct expected *x = ctx;
    return x->w->n_present >= x->n_present && x->w->n_absent >= x->n_absent &&
           x->w->n_keys_present >= x->n_keys_present && x->w->n_keys_absent >= x->n_keys_absent &&
           x->w->n_reloads >= x->n_reloads;
}

/* Waits for it, within the second that is promised. */
static void expect(struct pg_fixture *f, struct expected x)
{
    const uint64_t start_ns = uv_hrtime();
    pg_fixture_until(&f->loop, has_seen, &x, "a change of somebody else");
    assert_in_range(uv_hrtime() - start_ns, 0, 1000000000);
}

static void two_stores(void **state)
{
    struct pg_fixture *f = *state;
    struct watched a, b;
    struct answer add = {0}, remove = {0}, key_add = {0}, key_remove = {0};
    const struct infohash hash = hash_of(77);
    const struct store_key key = key_named(KEY_A);
    pg_fixture_database(f);
    watched_open(&a, f, f->url);
    watched_open(&b, f, f->url);

    assert_int_equal(store_whitelist_add(a.store, &hash, 1, answer_changed, &add), 0);
    expect(f, (struct expected){.w = &b, .n_present = 1, .n_reloads = 1});
    assert_true(infohash_eq(&b.last_present, &hash));
    assert_int_equal(store_whitelist_remove(a.store, &hash, answer_changed, &remove), 0);
    expect(f, (struct expected){.w = &b, .n_absent = 1});
    assert_int_equal(store_key_add(a.store, &key, answer_done, &key_add), 0);
    expect(f, (struct expected){.w = &b, .n_keys_present = 1});
    assert_string_equal(b.last_key.key, KEY_A);
    assert_true(b.last_key.permanent);
    assert_int_equal(b.last_key.created_unix_s, 1700000000);
    assert_int_equal(store_key_remove(a.store, KEY_A, answer_changed, &key_remove), 0);
    expect(f, (struct expected){.w = &b, .n_keys_absent = 1});
    assert_string_equal(b.last_absent_key, KEY_A);
    assert_int_equal(b.n_reloads, 1);
    watched_close(&a, f);
    watched_close(&b, f);
}

static void changes_by_psql(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    (void)pg_fixture_sql(f->url, "INSERT INTO whitelist (info_hash) "
                                 "SELECT substring(sha256(i::text::bytea) FOR 20) "
                                 "FROM generate_series(1, 150) i");
    expect(f, (struct expected){.w = &w, .n_present = 150});
    (void)pg_fixture_sql(f->url, "UPDATE whitelist SET info_hash = decode(repeat('ab', 20), 'hex') "
                                 "WHERE info_hash = substring(sha256('1') FOR 20)");
    expect(f, (struct expected){.w = &w, .n_present = 151, .n_absent = 1});
    (void)pg_fixture_sql(f->url, "INSERT INTO access_keys (key, label, expires_at) "
                                 "VALUES ('" KEY_A "', 'x', to_timestamp(2000000000.5))");
    expect(f, (struct expected){.w = &w, .n_keys_present = 1});
    assert_false(w.last_key.permanent);
    assert_int_equal(w.last_key.expires_unix_ms, 2000000000500);
    (void)pg_fixture_sql(f->url, "UPDATE access_keys SET last_used_at = now()"); /* no news */
    (void)pg_fixture_sql(f->url, "UPDATE access_keys SET expires_at = NULL");
    expect(f, (struct expected){.w = &w, .n_keys_present = 2});
    assert_int_equal(w.n_keys_present, 2);
    assert_true(w.last_key.permanent);
    assert_int_equal(w.n_reloads, 1);
    watched_close(&w, f);
}

static void bulk_changes_ask_for_a_reload(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    (void)pg_fixture_sql(f->url, "INSERT INTO whitelist (info_hash) "
                                 "SELECT substring(sha256(i::text::bytea) FOR 20) "
                                 "FROM generate_series(1, 1000) i");
    expect(f, (struct expected){.w = &w, .n_reloads = 2});
    (void)pg_fixture_sql(f->url, "DELETE FROM whitelist");
    expect(f, (struct expected){.w = &w, .n_reloads = 3});
    (void)pg_fixture_sql(f->url, "TRUNCATE whitelist");
    expect(f, (struct expected){.w = &w, .n_reloads = 4});
    (void)pg_fixture_sql(f->url, "INSERT INTO access_keys (key) "
                                 "SELECT md5(i::text) FROM generate_series(1, 1000) i");
    expect(f, (struct expected){.w = &w, .n_reloads = 5});
    (void)pg_fixture_sql(f->url, "UPDATE access_keys SET label = 'y'");
    expect(f, (struct expected){.w = &w, .n_reloads = 6});
    (void)pg_fixture_sql(f->url, "TRUNCATE access_keys");
    expect(f, (struct expected){.w = &w, .n_reloads = 7});
    /* Anybody may send anything on our channels. */
    (void)pg_fixture_sql(f->url, "NOTIFY rookery_whitelist, 'DROP TABLE whitelist'");
    expect(f, (struct expected){.w = &w, .n_reloads = 8});
    (void)pg_fixture_sql(f->url, "NOTIFY rookery_keys");
    expect(f, (struct expected){.w = &w, .n_reloads = 9});
    assert_int_equal(w.n_present + w.n_absent + w.n_keys_present + w.n_keys_absent, 0);
    watched_close(&w, f);
}

int main(void)
{
    struct log_sink sink = {.level = LOG_WARN, .write = pg_fixture_drop_line};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whitelist_add_and_remove),
        cmocka_unit_test(keys_add_use_remove),
        cmocka_unit_test(completed_counts_add_up),
        cmocka_unit_test(thousand_in_flight_then_full),
        cmocka_unit_test(one_failure_leaves_the_others_alone),
        cmocka_unit_test(error_of_the_database_is_told_in_one_line),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(failure_at_commit),
        cmocka_unit_test(backends_terminated),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(several_hosts),
        cmocka_unit_test(large_bulk),
        cmocka_unit_test(closed_at_every_moment),
        cmocka_unit_test(close_waits_for_what_is_in_flight),
        cmocka_unit_test(urls_that_are_none),
        cmocka_unit_test(two_stores),
        cmocka_unit_test(changes_by_psql),
        cmocka_unit_test(bulk_changes_ask_for_a_reload),
        cmocka_unit_test(postmaster_killed_under_load),
    };
    log_set_sink(&sink);
    return cmocka_run_group_tests(tests, pg_fixture_group_setup, pg_fixture_group_teardown);
}
