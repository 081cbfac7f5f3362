/* pg.h: statements on one connection, in pipeline mode.
 *
 * Model     a bounded FIFO; its head owns the next result. Every statement is followed by a sync,
 *           so each is a transaction of its own, and done comes after its commit.
 * Errors    a statement that fails leaves the others alone. When the connection goes, everything
 *           in the FIFO fails with ERR_UNAVAILABLE: whether it was carried out is not known.
 * Limits    STORE_QUEUE_MAX statements, STORE_TIMEOUT_MS each; then the connection is dropped.
 */
#ifndef STORE_PG_H
#define STORE_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>
#include <uv.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/list.h"
#include "store/pg_bind.h"
#include "store/pg_conn.h"

struct pg_cmd;

/* res: the result of the statement when status is 0, else NULL. cmd is the receiver's again. */
typedef void (*pg_cmd_done)(struct pg_cmd *cmd, int status, const PGresult *res,
                            const struct err *e);

/* Embedded in what a statement needs to remember; zeroed before pg_send. */
struct pg_cmd {
    struct list node;
    pg_cmd_done done;
    /* private */
    uint64_t deadline_ms;
    PGresult *res;
    struct err error; /* code != 0: failed */
};

struct pg_events {
    void (*on_up)(void *ctx);
    void (*on_down)(void *ctx, const struct err *e); /* after the statements in flight failed */
    void (*on_notify)(void *ctx, const PGnotify *notify);
    void (*on_idle)(void *ctx); /* nothing is in flight any more */
    void *ctx;
};

struct pg {
    struct pg_conn conn;
    /* private */
    struct list queue; /* struct pg_cmd */
    size_t n_queued;
    uv_timer_t timer; /* deadline of the head */
    struct pg_events on;
    unsigned open_parts;
    void (*closed)(struct pg *pg);
};

void pg_init(struct pg *pg, uv_loop_t *loop, const struct pg_params *params,
             const struct pg_events *events);
void pg_start(struct pg *pg);
bool pg_is_up(const struct pg *pg);

/* Queue one statement. ERR_UNAVAILABLE, ERR_LIMIT: cmd stays the caller's, done is not called.
 * Else done is called exactly once, never from inside the call. args may be NULL. */
MUST_CHECK int pg_send(struct pg *pg, struct pg_cmd *cmd, const char *sql,
                       const struct pg_bind *args);

/* Fails what is in flight (ERR_UNAVAILABLE, from inside the call), then closes. */
void pg_close(struct pg *pg, void (*closed)(struct pg *pg));

#endif
