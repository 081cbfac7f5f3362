/* Statements on one connection.
 *
 * Happy path: pg_send → PQsendQueryParams, PQpipelineSync, flush, queued → input → results of the
 * head are kept until its sync has come back, which is after the commit → done.
 *
 * Failures
 * - the statement fails, at once or at its commit: the first error is kept, done at the sync.
 * - no sync in STORE_TIMEOUT_MS, or libpq out of step: the connection is broken on purpose.
 * - the connection is lost: every queued statement is failed in order, then on_down.
 *
 * At the end (pg_close): the queue is empty, both timers and the socket are closed.
 */
#include "store/pg.h"

#include "base/mem.h"
#include "store/pg_err.h"
#include "store/store.h"

#include "base/banned.h"

static void pg_on_timer(uv_timer_t *timer);

static struct pg_cmd *pg_head(const struct pg *pg)
{
    struct list *node = list_first(&pg->queue);
    return node == NULL ? NULL : container_of(node, struct pg_cmd, node);
}

static void pg_arm(struct pg *pg)
{
    const struct pg_cmd *head = pg_head(pg);
    uint64_t now_ms = uv_now(pg->conn.loop);
    if (head == NULL) {
        (void)uv_timer_stop(&pg->timer);
    } else {
        uint64_t in_ms = head->deadline_ms > now_ms ? head->deadline_ms - now_ms : 0;
        (void)uv_timer_start(&pg->timer, pg_on_timer, in_ms, 0);
    }
}

static void pg_on_timer(uv_timer_t *timer)
{
    struct pg *pg = container_of(timer, struct pg, timer);
    const struct pg_cmd *head = pg_head(pg);
    if (head != NULL && head->deadline_ms <= uv_now(pg->conn.loop)) {
        pg_conn_break(&pg->conn, ERR_UNAVAILABLE, "the database did not answer in time");
    } else {
        pg_arm(pg);
    }
}

static void cmd_finish(struct pg_cmd *cmd)
{
    PGresult *res = cmd->res;
    const struct err e = cmd->error;
    cmd->res = NULL;
    cmd->done(cmd, e.code, e.code < 0 ? NULL : res, e.code < 0 ? &e : NULL);
    PQclear(res);
}

static void pg_pop(struct pg *pg)
{
    struct pg_cmd *cmd = pg_head(pg);
    list_remove(&cmd->node);
    pg->n_queued--;
    cmd_finish(cmd);
}

static void pg_fail_all(struct pg *pg, const struct err *e)
{
    struct list failed;
    list_init(&failed);
    LIST_FOREACH_SAFE (node, &pg->queue) {
        list_remove(node);
        list_add_tail(&failed, node);
    }
    pg->n_queued = 0;
    LIST_FOREACH_SAFE (node, &failed) {
        struct pg_cmd *cmd = container_of(node, struct pg_cmd, node);
        list_remove(node);
        (void)err_set(&cmd->error, ERR_UNAVAILABLE, "%s", e->msg);
        cmd_finish(cmd);
    }
}

/* Keep what belongs to the head; returns true at its sync. */
static bool cmd_take(struct pg_cmd *cmd, PGresult *res)
{
    switch (PQresultStatus(res)) {
    case PGRES_PIPELINE_SYNC:
        PQclear(res);
        return true;
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
        PQclear(cmd->res);
        cmd->res = res;
        return false;
    default:
        if (cmd->error.code == 0) {
            (void)pg_result_err(res, &cmd->error);
        }
        PQclear(res);
        return false;
    }
}

static void pg_on_input(void *ctx)
{
    struct pg *pg = ctx;
    PGconn *conn = pg->conn.pg;
    PGnotify *notify;
    unsigned n_empty = 0;
    const bool had_some = pg->n_queued > 0;
    while (pg->conn.pg == conn && pg->n_queued > 0 && PQisBusy(conn) == 0) {
        PGresult *res = PQgetResult(conn);
        if (res != NULL) {
            n_empty = 0;
            if (cmd_take(pg_head(pg), res)) {
                pg_pop(pg);
            }
        } else if (++n_empty > 2) { /* one ends each statement; more means the sync never comes */
            pg_conn_break(&pg->conn, ERR_UNAVAILABLE, "connection to the database lost");
            return;
        }
    }
    while (pg->conn.pg == conn && conn != NULL && (notify = PQnotifies(conn)) != NULL) {
        pg->on.on_notify(pg->on.ctx, notify);
        PQfreemem(notify);
    }
    if (pg->conn.state == PG_CONN_UP) {
        pg_arm(pg);
        if (had_some && pg->n_queued == 0) {
            pg->on.on_idle(pg->on.ctx);
        }
    }
}

static void pg_on_up(void *ctx)
{
    struct pg *pg = ctx;
    if (PQenterPipelineMode(pg->conn.pg) != 1) {
        pg_conn_break(&pg->conn, ERR_UNAVAILABLE, "pipeline mode refused");
        return;
    }
    pg->on.on_up(pg->on.ctx);
}

static void pg_on_lost(void *ctx, const struct err *e)
{
    struct pg *pg = ctx;
    (void)uv_timer_stop(&pg->timer);
    pg_fail_all(pg, e);
    pg->on.on_down(pg->on.ctx, e);
    if (pg->conn.state != PG_CONN_CLOSING) {
        pg->on.on_idle(pg->on.ctx);
    }
}

void pg_init(struct pg *pg, uv_loop_t *loop, const struct pg_params *params,
             const struct pg_events *events)
{
    *pg = (struct pg){.on = *events};
    list_init(&pg->queue);
    const struct pg_conn_events conn_events = {pg_on_up, pg_on_input, pg_on_lost, pg};
    pg_conn_init(&pg->conn, loop, params, &conn_events);
    ASSERT(uv_timer_init(loop, &pg->timer) == 0);
}

void pg_start(struct pg *pg)
{
    pg_conn_start(&pg->conn);
}

bool pg_is_up(const struct pg *pg)
{
    return pg_conn_is_up(&pg->conn);
}

int pg_send(struct pg *pg, struct pg_cmd *cmd, const char *sql, const struct pg_bind *args)
{
    static const struct pg_bind no_args = {.n = 0};
    if (!pg_is_up(pg)) {
        return ERR_UNAVAILABLE;
    }
    if (pg->n_queued >= STORE_QUEUE_MAX) {
        return ERR_LIMIT;
    }
    int sent = pg_bind_send(args != NULL ? args : &no_args, pg->conn.pg, sql);
    if (sent < 0) {
        return ERR_LIMIT;
    }
    if (sent == 0 || PQpipelineSync(pg->conn.pg) != 1) {
        struct err e;
        (void)pg_conn_err(pg->conn.pg, &e);
        pg_conn_break(&pg->conn, ERR_UNAVAILABLE, e.msg);
        return ERR_UNAVAILABLE;
    }
    cmd->deadline_ms = uv_now(pg->conn.loop) + STORE_TIMEOUT_MS;
    list_add_tail(&pg->queue, &cmd->node);
    if (pg->n_queued++ == 0) {
        pg_arm(pg);
    }
    pg_conn_flush(&pg->conn);
    return 0;
}

static void pg_part_closed(struct pg *pg)
{
    if (--pg->open_parts == 0) {
        pg->closed(pg);
    }
}

static void pg_on_conn_closed(struct pg_conn *conn)
{
    pg_part_closed(container_of(conn, struct pg, conn));
}

static void pg_on_timer_closed(uv_handle_t *handle)
{
    pg_part_closed(container_of(handle, struct pg, timer));
}

void pg_close(struct pg *pg, void (*closed)(struct pg *pg))
{
    struct err e;
    (void)err_set(&e, ERR_UNAVAILABLE, "closing");
    pg->closed = closed;
    pg->open_parts = 2;
    pg_conn_close(&pg->conn, pg_on_conn_closed);
    uv_close((uv_handle_t *)&pg->timer, pg_on_timer_closed);
    pg_fail_all(pg, &e);
}
