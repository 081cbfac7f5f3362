/* Migrations, by libpq's blocking calls. One straight sequence:
 *
 *   connect, again and again for wait_s → advisory lock → table of applied migrations → compare it
 *   with ours → apply what is missing, each in a transaction with its record → disconnect
 *
 * The lock belongs to the session, so it goes with the connection however this ends. Two programs
 * that start at once: the second waits for the lock, then finds nothing to do.
 */
#include "store/migrate.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libpq-fe.h>

#include "base/digest.h"
#include "base/ids.h"
#include "base/mem.h"
#include "store/migrations_embedded.h"
#include "store/pg_err.h"
#include "store/pg_params.h"

#include "base/banned.h"

enum { RETRY_MS = 200, CHECKSUM_LEN = 64 };

struct migrator {
    PGconn *pg;
    migrate_applied applied;
    void *ctx;
    bool *done; /* for each of migrations_embedded */
};

static uint64_t clock_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- connecting --------------------------------------------------------------------------- */

static bool is_canceled(const _Atomic int *cancel)
{
    return cancel != NULL && *cancel != 0;
}

static int migrate_connect(struct migrator *m, const struct pg_params *params, uint32_t wait_s,
                           const _Atomic int *cancel, struct err *e)
{
    const uint64_t end_ms = clock_ms() + (uint64_t)wait_s * 1000;
    const struct timespec pause = {0, RETRY_MS * 1000000L};
    while (!is_canceled(cancel)) {
        m->pg = pg_params_connect_blocking(params, "3");
        if (m->pg != NULL && PQstatus(m->pg) == CONNECTION_OK) {
            return 0;
        }
        (void)pg_conn_err(m->pg, e);
        PQfinish(m->pg);
        m->pg = NULL;
        if (clock_ms() + RETRY_MS >= end_ms) {
            return e->code;
        }
        (void)nanosleep(&pause, NULL); /* nothing tells when a server begins to listen */
    }
    return err_set(e, ERR_CANCELED, "canceled");
}

/* ---- statements --------------------------------------------------------------------------- */

/* *res may be NULL when the rows do not matter. */
static int migrate_exec(struct migrator *m, const char *sql, PGresult **res, struct err *e)
{
    PGresult *got = PQexec(m->pg, sql);
    ExecStatusType status = PQresultStatus(got);
    int code = 0;
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        code = PQstatus(m->pg) == CONNECTION_OK ? pg_result_err(got, e) : pg_conn_err(m->pg, e);
    }
    if (code < 0 || res == NULL) {
        PQclear(got);
    } else {
        *res = got;
    }
    return code;
}

static void checksum(char out[static CHECKSUM_LEN + 1], const struct migration *migration)
{
    uint8_t digest[32];
    digest_sha256(digest, span_of(migration->sql, migration->sql_len));
    hex_encode(out, span_of(digest, sizeof digest));
}

/* The lock's number is ours by convention: "rookery1" as bytes. A server that holds it for long is
 * in the middle of a long migration, which is worth waiting for, but not for ever. */
static int migrate_lock(struct migrator *m, struct err *e)
{
    int status = migrate_exec(m, "SET lock_timeout = '60s'", NULL, e);
    if (status == 0) {
        status = migrate_exec(m, "SELECT pg_advisory_lock(8245931949792852273)", NULL, e);
    }
    if (status == 0) {
        status =
            migrate_exec(m, "SET lock_timeout = 0; SET client_min_messages = warning", NULL, e);
    }
    if (status == 0) {
        status = migrate_exec(m,
                              "CREATE TABLE IF NOT EXISTS schema_migrations ("
                              "name text PRIMARY KEY, checksum text NOT NULL, "
                              "applied_at timestamptz NOT NULL DEFAULT now())",
                              NULL, e);
    }
    return status < 0 ? err_wrap(e, "prepare the database") : 0;
}

static int migrate_compare_row(struct migrator *m, const char *name, const char *recorded,
                               struct err *e)
{
    for (size_t i = 0; i < migrations_embedded_count; i++) {
        if (strcmp(migrations_embedded[i].name, name) == 0) {
            char ours[CHECKSUM_LEN + 1];
            checksum(ours, &migrations_embedded[i]);
            m->done[i] = true;
            return strcmp(ours, recorded) == 0
                       ? 0
                       : err_set(e, ERR_DATABASE,
                                 "migration %s was applied with another text than this program has",
                                 name);
        }
    }
    return err_set(e, ERR_DATABASE,
                   "the database has migration %s, which this program does not know: "
                   "it was used by a newer Rookery",
                   name);
}

static int migrate_compare(struct migrator *m, struct err *e)
{
    PGresult *res = NULL;
    int status =
        migrate_exec(m, "SELECT name, checksum FROM schema_migrations ORDER BY name", &res, e);
    if (status < 0) {
        return err_wrap(e, "read schema_migrations");
    }
    for (int row = 0; status == 0 && row < PQntuples(res); row++) {
        status = migrate_compare_row(m, PQgetvalue(res, row, 0), PQgetvalue(res, row, 1), e);
    }
    PQclear(res);
    return status;
}

static int migrate_record(struct migrator *m, const struct migration *migration, struct err *e)
{
    char sum[CHECKSUM_LEN + 1];
    checksum(sum, migration);
    const char *const values[] = {migration->name, sum};
    PGresult *res =
        PQexecParams(m->pg, "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)", 2,
                     NULL, values, NULL, NULL, 0);
    int status = PQresultStatus(res) == PGRES_COMMAND_OK ? 0 : pg_result_err(res, e);
    PQclear(res);
    return status;
}

static int migrate_apply(struct migrator *m, const struct migration *migration, struct err *e)
{
    int status = migrate_exec(m, "BEGIN", NULL, e);
    if (status == 0) {
        status = migrate_exec(m, migration->sql, NULL, e);
    }
    if (status == 0) {
        status = migrate_record(m, migration, e);
    }
    if (status == 0) {
        status = migrate_exec(m, "COMMIT", NULL, e);
    }
    if (status < 0) {
        PQclear(PQexec(m->pg, "ROLLBACK")); /* the first failure is the one to tell */
        return err_wrap(e, "migration %s", migration->name);
    }
    if (m->applied != NULL) {
        m->applied(m->ctx, migration->name);
    }
    return 0;
}

static int migrate_all(struct migrator *m, struct err *e)
{
    int n_applied = 0;
    int status = migrate_lock(m, e);
    if (status == 0) {
        status = migrate_compare(m, e);
    }
    for (size_t i = 0; status == 0 && i < migrations_embedded_count; i++) {
        if (!m->done[i]) {
            status = migrate_apply(m, &migrations_embedded[i], e);
            n_applied++;
        }
    }
    return status < 0 ? status : n_applied;
}

/* libpq would print them on stderr. */
static void ignore_notice(void *ctx, const char *message)
{
    (void)ctx;
    (void)message;
}

int migrate_run(const char *url, uint32_t wait_s, const _Atomic int *cancel,
                migrate_applied applied, void *ctx, struct err *e)
{
    struct migrator m = {.applied = applied, .ctx = ctx};
    struct pg_params params;
    struct err ignored;
    e = e != NULL ? e : &ignored;
    int status = pg_params_init(&params, url, PG_OPTIONS_LONG, e);
    if (status < 0) {
        return err_wrap(e, "database.url");
    }
    status = migrate_connect(&m, &params, wait_s, cancel, e);
    pg_params_release(&params);
    if (status < 0) {
        return err_wrap(e, "connect to the database");
    }
    m.done = mem_array(migrations_embedded_count + 1, sizeof *m.done);
    memset(m.done, 0, (migrations_embedded_count + 1) * sizeof *m.done);
    PQsetNoticeProcessor(m.pg, ignore_notice, NULL);
    status = migrate_all(&m, e);
    free(m.done);
    PQfinish(m.pg);
    return status;
}
