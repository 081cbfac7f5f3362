#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/pg_fixture.h"

#include <stdatomic.h>

#include "store/migrations_embedded.h"

#include "base/banned.h"

struct applied {
    int n;
    char last[64];
};

static void on_applied(void *ctx, const char *name)
{
    struct applied *a = ctx;
    a->n++;
    (void)snprintf(a->last, sizeof a->last, "%s", name);
}

static void applies_then_has_nothing_to_do(void **state)
{
    struct pg_fixture *f = *state;
    struct applied a = {0};
    struct err e = {0};
    pg_fixture_empty_database(f);
    assert_int_equal(migrate_run(f->url, 0, NULL, on_applied, &a, &e), migrations_embedded_count);
    assert_int_equal(a.n, migrations_embedded_count);
    assert_string_equal(a.last, migrations_embedded[migrations_embedded_count - 1].name);
    assert_string_equal(pg_fixture_sql(f->url, "SELECT count(*) FROM whitelist"), "0");
    assert_int_equal(migrate_run(f->url, 0, NULL, on_applied, &a, &e), 0);
    assert_int_equal(a.n, migrations_embedded_count);
}

static void changed_text_is_refused(void **state)
{
    struct pg_fixture *f = *state;
    struct err e = {0};
    pg_fixture_database(f);
    (void)pg_fixture_sql(f->url, "UPDATE schema_migrations SET checksum = repeat('0', 64)");
    assert_int_equal(migrate_run(f->url, 0, NULL, NULL, NULL, &e), ERR_DATABASE);
    assert_non_null(strstr(e.msg, migrations_embedded[0].name));
    assert_non_null(strstr(e.msg, "another text"));
}

static void unknown_newer_migration_is_refused(void **state)
{
    struct pg_fixture *f = *state;
    struct err e = {0};
    pg_fixture_database(f);
    (void)pg_fixture_sql(f->url, "INSERT INTO schema_migrations (name, checksum) "
                                 "VALUES ('9999_later', repeat('0', 64))");
    assert_int_equal(migrate_run(f->url, 0, NULL, NULL, NULL, &e), ERR_DATABASE);
    assert_non_null(strstr(e.msg, "9999_later"));
}

static void failure_names_migration_and_reason_and_changes_nothing(void **state)
{
    struct pg_fixture *f = *state;
    struct err e = {0};
    pg_fixture_empty_database(f);
    (void)pg_fixture_sql(f->url, "CREATE TABLE access_keys (mine int)");
    assert_int_equal(migrate_run(f->url, 0, NULL, NULL, NULL, &e), ERR_DATABASE);
    assert_non_null(strstr(e.msg, migrations_embedded[0].name));
    assert_non_null(strstr(e.msg, "\"access_keys\" already exists"));
    assert_null(strchr(e.msg, '\n'));
    assert_string_equal(pg_fixture_sql(f->url, "SELECT count(*) FROM schema_migrations"), "0");
    assert_string_equal(pg_fixture_sql(f->url, "SELECT to_regclass('whitelist') IS NULL"), "t");
}

struct racer {
    uv_thread_t thread;
    const char *url;
    int status;
    struct err e;
};

static void race(void *arg)
{
    struct racer *r = arg;
    r->status = migrate_run(r->url, 10, NULL, NULL, NULL, &r->e);
}

static void two_at_once(void **state)
{
    struct pg_fixture *f = *state;
    struct racer racers[2] = {{.status = 0}};
    pg_fixture_empty_database(f);
    for (int i = 0; i < 2; i++) {
        racers[i].url = f->url;
        assert_int_equal(uv_thread_create(&racers[i].thread, race, &racers[i]), 0);
    }
    int n = 0;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(uv_thread_join(&racers[i].thread), 0);
        if (racers[i].status < 0) {
            fail_msg("%s", racers[i].e.msg);
        }
        n += racers[i].status;
    }
    assert_int_equal(n, migrations_embedded_count);
}

static void nobody_listens(void **state)
{
    (void)state;
    struct err e = {0};
    const uint64_t start_ns = uv_hrtime();
    assert_int_equal(migrate_run("host=/nowhere", 1, NULL, NULL, NULL, &e), ERR_UNAVAILABLE);
    assert_in_range(uv_hrtime() - start_ns, 500000000, 10000000000);
    assert_int_equal(strncmp(e.msg, "connect to the database: ", 25), 0);
    assert_non_null(strstr(e.msg, "/nowhere"));
    assert_null(strchr(e.msg, '\n'));
}

static void canceled(void **state)
{
    (void)state;
    struct err e = {0};
    const _Atomic int cancel = 1;
    assert_int_equal(migrate_run("host=/nowhere", 60, &cancel, NULL, NULL, &e), ERR_CANCELED);
}

static void bad_url_does_not_show_the_password(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(migrate_run("postgres:/u:s3cret@host/db", 0, NULL, NULL, NULL, &e),
                     ERR_INVALID);
    assert_null(strstr(e.msg, "s3cret"));
    assert_int_equal(migrate_run("host=x pasword=s3cret", 0, NULL, NULL, NULL, &e), ERR_INVALID);
    assert_non_null(strstr(e.msg, "pasword"));
    assert_null(strstr(e.msg, "s3cret"));
}

int main(void)
{
    struct log_sink sink = {.level = LOG_WARN, .write = pg_fixture_drop_line};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(applies_then_has_nothing_to_do),
        cmocka_unit_test(changed_text_is_refused),
        cmocka_unit_test(unknown_newer_migration_is_refused),
        cmocka_unit_test(failure_names_migration_and_reason_and_changes_nothing),
        cmocka_unit_test(two_at_once),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(canceled),
        cmocka_unit_test(bad_url_does_not_show_the_password),
    };
    log_set_sink(&sink);
    return cmocka_run_group_tests(tests, pg_fixture_group_setup, pg_fixture_group_teardown);
}
