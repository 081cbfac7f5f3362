/* pg_fixture.h: a real PostgreSQL for unit tests: a cluster of our own in a folder under /tmp, run
 * by the embedded database's own code, and waiting for events with a deadline.
 *
 * Use   after cmocka.h. One cluster a program (group setup and teardown), one database a test.
 */
#ifndef TESTS_LIB_PG_FIXTURE_H
#define TESTS_LIB_PG_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libpq-fe.h>
#include <uv.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/log.h"
#include "store/embedded.h"
#include "store/migrate.h"

enum { PG_FIXTURE_PATIENCE_MS = 30000 };

struct pg_fixture {
    char dir[64];
    uv_loop_t loop;
    struct embedded *em;
    bool ready, stopped;
    int ready_status;
    struct err ready_error;
    unsigned n_databases;
    char url[256]; /* of the database that pg_fixture_database made last */
};

/* ---- waiting ------------------------------------------------------------------------------ */

static inline void pg_fixture_on_patience(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

/* Turns the loop until what(ctx) is true; fails the test after PG_FIXTURE_PATIENCE_MS. */
static inline void pg_fixture_until(uv_loop_t *loop, bool (*what)(void *ctx), void *ctx,
                                    const char *name)
{
    bool late = false;
    uv_timer_t timer;
    assert_int_equal(uv_timer_init(loop, &timer), 0);
    timer.data = &late;
    assert_int_equal(uv_timer_start(&timer, pg_fixture_on_patience, PG_FIXTURE_PATIENCE_MS, 0), 0);
    while (!what(ctx) && !late) {
        (void)uv_run(loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(loop, UV_RUN_NOWAIT);
    if (late) {
        fail_msg("waited too long for: %s", name);
    }
}

static inline bool pg_fixture_is_true(void *flag)
{
    return *(bool *)flag;
}

#define PG_UNTIL_TRUE(f, flag) pg_fixture_until(&(f)->loop, pg_fixture_is_true, (flag), #flag)

/* ---- folders ------------------------------------------------------------------------------ */

static inline int pg_fixture_remove_one(const char *path, const struct stat *st, int type,
                                        struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void pg_fixture_remove(const char *dir)
{
    (void)nftw(dir, pg_fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- the cluster -------------------------------------------------------------------------- */

static inline void pg_fixture_on_ready(void *ctx, int status, const struct err *e)
{
    struct pg_fixture *f = ctx;
    assert_false(f->ready);
    f->ready = true;
    f->ready_status = status;
    if (status < 0) {
        f->ready_error = *e;
    }
}

static inline void pg_fixture_on_stopped(void *ctx)
{
    struct pg_fixture *f = ctx;
    f->em = NULL;
    f->stopped = true;
}

/* Starts the embedded database on f->dir and waits; returns the status of ready. */
static inline int pg_fixture_start(struct pg_fixture *f)
{
    struct err e = {0};
    f->ready = f->stopped = false;
    int status = embedded_start(&f->em, &f->loop, f->dir, pg_fixture_on_ready, f, &e);
    if (status < 0) {
        f->em = NULL;
        f->ready_error = e;
        return status;
    }
    PG_UNTIL_TRUE(f, &f->ready);
    return f->ready_status;
}

static inline void pg_fixture_stop(struct pg_fixture *f)
{
    if (f->em != NULL) {
        embedded_stop(f->em, pg_fixture_on_stopped, f);
        PG_UNTIL_TRUE(f, &f->stopped);
    }
}

static inline void pg_fixture_init(struct pg_fixture *f)
{
    *f = (struct pg_fixture){.ready = false};
    assert_int_equal(digest_start(), 0);
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/rookery-unit-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(uv_loop_init(&f->loop), 0);
}

/* No handle may be left on the loop. */
static inline void pg_fixture_release(struct pg_fixture *f)
{
    pg_fixture_stop(f);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    pg_fixture_remove(f->dir);
}

/* The number in the first line of postmaster.pid. */
static inline pid_t pg_fixture_postmaster(const struct pg_fixture *f)
{
    char path[128];
    long pid = 0;
    (void)snprintf(path, sizeof path, "%s/postgres/postmaster.pid", f->dir);
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        assert_int_equal(fscanf(file, "%ld", &pid), 1);
        (void)fclose(file);
    }
    return (pid_t)pid;
}

/* ---- SQL from outside, as with psql ------------------------------------------------------- */

/* Runs sql on a connection of its own and returns the first cell of the last result (static). */
static inline const char *pg_fixture_sql(const char *url, const char *sql)
{
    static char cell[512];
    PGconn *pg = PQconnectdb(url);
    if (PQstatus(pg) != CONNECTION_OK) {
        fail_msg("%s", PQerrorMessage(pg));
    }
    PGresult *res = PQexec(pg, sql);
    if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK) {
        fail_msg("%s: %s", sql, PQerrorMessage(pg));
    }
    (void)snprintf(cell, sizeof cell, "%s", PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "");
    PQclear(res);
    PQfinish(pg);
    return cell;
}

/* A new, empty database; its URL is in f->url. */
static inline void pg_fixture_empty_database(struct pg_fixture *f)
{
    char sql[64];
    f->n_databases++;
    (void)snprintf(sql, sizeof sql, "CREATE DATABASE unit_%u", f->n_databases);
    (void)pg_fixture_sql(embedded_url(f->em), sql);
    (void)snprintf(f->url, sizeof f->url, "%s dbname=unit_%u", embedded_url(f->em), f->n_databases);
}

/* The same with the schema in it. */
static inline void pg_fixture_database(struct pg_fixture *f)
{
    struct err e;
    pg_fixture_empty_database(f);
    if (migrate_run(f->url, 10, NULL, NULL, NULL, &e) < 0) {
        fail_msg("%s", e.msg);
    }
}

/* ---- group setup and teardown ------------------------------------------------------------- */

static inline void pg_fixture_drop_line(void *ctx, struct span line)
{
    (void)ctx;
    (void)line;
}

static inline int pg_fixture_group_setup(void **state)
{
    struct pg_fixture *f = malloc(sizeof *f);
    pg_fixture_init(f);
    if (pg_fixture_start(f) < 0) {
        fail_msg("%s", f->ready_error.msg);
    }
    *state = f;
    return 0;
}

static inline int pg_fixture_group_teardown(void **state)
{
    pg_fixture_release(*state);
    free(*state);
    return 0;
}

#endif
