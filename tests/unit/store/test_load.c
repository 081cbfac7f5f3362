#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/pg_fixture.h"
#include "unit/store/store_fixture.h"

#include "base/banned.h"

#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

/* A slice lasts 0.25 ms, which is some hundred rows. */
enum { MANY = 100000, SLICE_ROWS_MAX = MANY / 4 };

struct loaded {
    unsigned n_hashes, n_keys, n_completed;
    uint64_t sum;
    struct store_key key;
    struct store_completed completed;
    struct answer answer;
    /* slices */
    uv_check_t turn;
    unsigned n_in_turn, n_in_turn_max, n_turns_with_rows;
};

static void on_whitelist(void *ctx, const struct infohash *hash)
{
    struct loaded *l = ctx;
    l->n_hashes++;
    l->n_in_turn++;
    l->sum += hash->b[0];
}

static void on_key(void *ctx, const struct store_key *key)
{
    struct loaded *l = ctx;
    l->n_keys++;
    l->key = *key;
}

static void on_completed(void *ctx, const struct store_completed *count)
{
    struct loaded *l = ctx;
    l->n_completed++;
    l->completed = *count;
}

static void on_done(void *ctx, int status, const struct err *e)
{
    struct loaded *l = ctx;
    answer_set(&l->answer, status, 0, e);
}

static struct store_load load_into(struct loaded *l)
{
    *l = (struct loaded){.n_hashes = 0};
    return (struct store_load){on_whitelist, on_key, on_completed, on_done, l, true};
}

static void empty_tables(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    struct loaded l;
    pg_fixture_database(f);
    watched_open(&w, f, f->url);
    const struct store_load load = load_into(&l);
    assert_int_equal(store_load(w.store, &load), 0);
    assert_int_equal(store_load(w.store, &load), ERR_IN_USE);
    PG_UNTIL_TRUE(f, &l.answer.done);
    assert_int_equal(l.answer.status, 0);
    assert_int_equal(l.n_hashes + l.n_keys + l.n_completed, 0);
    watched_close(&w, f);
}

static void every_column(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    struct loaded l;
    pg_fixture_database(f);
    (void)pg_fixture_sql(
        f->url,
        "INSERT INTO whitelist (info_hash) VALUES (decode(repeat('0a', 20), 'hex'));"
        "INSERT INTO access_keys VALUES ('" KEY_A "', 'label', to_timestamp(1700000000.9), "
        "to_timestamp(1900000000.25), to_timestamp(1750000000));"
        "INSERT INTO completed_counts VALUES (decode(repeat('0b', 20), 'hex'), 4294967295)");
    watched_open(&w, f, f->url);
    struct store_load load = load_into(&l);
    assert_int_equal(store_load(w.store, &load), 0);
    PG_UNTIL_TRUE(f, &l.answer.done);
    assert_int_equal(l.answer.status, 0);
    assert_int_equal(l.n_hashes, 1);
    assert_int_equal(l.sum, 0x0a);
    assert_int_equal(l.n_keys, 1);
    assert_string_equal(l.key.key, KEY_A);
    assert_string_equal(l.key.label, "label");
    assert_false(l.key.permanent);
    assert_int_equal(l.key.expires_unix_ms, 1900000000250);
    assert_int_equal(l.key.created_unix_s, 1700000000);
    assert_int_equal(l.key.last_used_unix_s, 1750000000);
    assert_int_equal(l.n_completed, 1);
    assert_int_equal(l.completed.n, UINT32_MAX);
    assert_int_equal(l.completed.info_hash.b[19], 0x0b);

    load = load_into(&l);
    load.with_completed = false;
    assert_int_equal(store_load(w.store, &load), 0);
    PG_UNTIL_TRUE(f, &l.answer.done);
    assert_int_equal(l.n_hashes, 1);
    assert_int_equal(l.n_completed, 0);
    watched_close(&w, f);
}

static void on_turn(uv_check_t *turn)
{
    struct loaded *l = turn->data;
    l->n_turns_with_rows += l->n_in_turn > 0 ? 1 : 0;
    l->n_in_turn_max = l->n_in_turn > l->n_in_turn_max ? l->n_in_turn : l->n_in_turn_max;
    l->n_in_turn = 0;
}

static void many_rows_come_in_slices(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    struct loaded l;
    pg_fixture_database(f);
    (void)pg_fixture_sql(f->url, "INSERT INTO whitelist (info_hash) "
                                 "SELECT substring(sha256(i::text::bytea) FOR 20) "
                                 "FROM generate_series(1, 100000) i");
    watched_open(&w, f, f->url);
    const struct store_load load = load_into(&l);
    l.turn.data = &l;
    assert_int_equal(uv_check_init(&f->loop, &l.turn), 0);
    assert_int_equal(uv_check_start(&l.turn, on_turn), 0);
    assert_int_equal(store_load(w.store, &load), 0);
    PG_UNTIL_TRUE(f, &l.answer.done);
    uv_close((uv_handle_t *)&l.turn, NULL);
    assert_int_equal(l.answer.status, 0);
    assert_int_equal(l.n_hashes, MANY);
    assert_true(l.n_in_turn_max < SLICE_ROWS_MAX);
    assert_true(l.n_turns_with_rows > 4);
    watched_close(&w, f);
}

/* Slow receivers: a slice is over after few rows, and reading must go on by itself. */
static void on_whitelist_slowly(void *ctx, const struct infohash *hash)
{
    const uint64_t start_ns = uv_hrtime();
    while (uv_hrtime() - start_ns < 20000) {
    }
    on_whitelist(ctx, hash);
}

static void slow_receiver(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    struct loaded l;
    pg_fixture_database(f);
    (void)pg_fixture_sql(f->url, "INSERT INTO whitelist (info_hash) "
                                 "SELECT substring(sha256(i::text::bytea) FOR 20) "
                                 "FROM generate_series(1, 20000) i");
    watched_open(&w, f, f->url);
    struct store_load load = load_into(&l);
    load.on_whitelist = on_whitelist_slowly;
    l.turn.data = &l;
    assert_int_equal(uv_check_init(&f->loop, &l.turn), 0);
    assert_int_equal(uv_check_start(&l.turn, on_turn), 0);
    assert_int_equal(store_load(w.store, &load), 0);
    PG_UNTIL_TRUE(f, &l.answer.done);
    uv_close((uv_handle_t *)&l.turn, NULL);
    assert_int_equal(l.n_hashes, 20000);
    /* A slice is 13 rows, the clock is read every 32, and a turn has two slices. */
    assert_in_range(l.n_in_turn_max, 1, 64);
    watched_close(&w, f);
}

static void connection_lost_in_the_middle(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    struct loaded l;
    pg_fixture_database(f);
    (void)pg_fixture_sql(f->url, "INSERT INTO access_keys (key) VALUES ('" KEY_A "')");
    watched_open(&w, f, f->url);
    /* The load waits for a lock behind the whitelist; then its backend is ended. */
    PGconn *pg = PQconnectdb(f->url);
    PQclear(PQexec(pg, "BEGIN; LOCK TABLE access_keys IN ACCESS EXCLUSIVE MODE"));
    struct store_load load = load_into(&l);
    assert_int_equal(store_load(w.store, &load), 0);
    const uint64_t end_ns = uv_hrtime() + PG_FIXTURE_PATIENCE_MS * UINT64_C(1000000);
    const char *ended = "";
    while (ended[0] != 't') {
        assert_true(uv_hrtime() < end_ns);
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
        ended = pg_fixture_sql(f->url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                                       "WHERE wait_event_type = 'Lock' AND query LIKE 'COPY%'");
    }
    PG_UNTIL_TRUE(f, &l.answer.done);
    assert_int_equal(l.answer.status, ERR_UNAVAILABLE);
    PQfinish(pg);

    load = load_into(&l); /* and the next one goes well */
    assert_int_equal(store_load(w.store, &load), 0);
    PG_UNTIL_TRUE(f, &l.answer.done);
    assert_int_equal(l.answer.status, 0);
    assert_int_equal(l.n_keys, 1);
    watched_close(&w, f);
}

static void table_is_missing(void **state)
{
    struct pg_fixture *f = *state;
    struct watched w;
    struct loaded l;
    pg_fixture_empty_database(f);
    watched_open(&w, f, f->url);
    const struct store_load load = load_into(&l);
    assert_int_equal(store_load(w.store, &load), 0);
    PG_UNTIL_TRUE(f, &l.answer.done);
    assert_int_equal(l.answer.status, ERR_DATABASE);
    assert_non_null(strstr(l.answer.e.msg, "whitelist"));
    watched_close(&w, f);
}

static void store_closed_in_the_middle(void **state)
{
    struct pg_fixture *f = *state;
    bool over = false;
    pg_fixture_database(f);
    (void)pg_fixture_sql(f->url, "INSERT INTO whitelist (info_hash) "
                                 "SELECT substring(sha256(i::text::bytea) FOR 20) "
                                 "FROM generate_series(1, 5000) i");
    for (int turns = 0; !over; turns++) {
        struct watched w;
        struct loaded l;
        watched_open(&w, f, f->url);
        const struct store_load load = load_into(&l);
        assert_int_equal(store_load(w.store, &load), 0);
        for (int i = 0; i < turns && !l.answer.done; i++) {
            (void)uv_run(&f->loop, UV_RUN_ONCE);
        }
        over = l.answer.done;
        watched_close(&w, f);
        assert_true(l.answer.done);
        assert_int_equal(l.answer.status, over ? 0 : l.answer.status == 0 ? 0 : ERR_CANCELED);
    }
}

int main(void)
{
    struct log_sink sink = {.level = LOG_WARN, .write = pg_fixture_drop_line};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_tables),
        cmocka_unit_test(every_column),
        cmocka_unit_test(many_rows_come_in_slices),
        cmocka_unit_test(slow_receiver),
        cmocka_unit_test(connection_lost_in_the_middle),
        cmocka_unit_test(table_is_missing),
        cmocka_unit_test(store_closed_in_the_middle),
    };
    log_set_sink(&sink);
    return cmocka_run_group_tests(tests, pg_fixture_group_setup, pg_fixture_group_teardown);
}
