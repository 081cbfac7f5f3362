/* Tables, by COPY.
 *
 * Happy path: a connection of its own → BEGIN (one snapshot) → COPY of each step in binary → rows are
 * parsed and handed over as they come → COMMIT → connection closed → done(0).
 *
 * Slices: rows are handed over for at most LOAD_SLICE_NS. When there are more, reading stops, the
 * processor is offered to other threads (a tracker's worker must not wait for a million rows), and
 * the idle handle goes on in the next turn of the loop.
 *
 * Failures: connection refused or lost, an error of the server, a row that makes no sense, silence
 * for STORE_TIMEOUT_MS: connection closed, done with the first reason. load_cancel: ERR_CANCELED.
 *
 * At the end: connection and handles are closed, the store forgets the load, then done; if the
 * store is closing it is told.
 */
#include "store/load.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "store/pg_err.h"
#include "store/store_impl.h"

#include "base/banned.h"

enum { LOAD_SLICE_NS = 250000 };

struct load {
    struct store *s;
    struct load_plan plan;
    struct pg_conn conn;
    uv_timer_t timer; /* end of the silence that is allowed */
    uv_idle_t idle;   /* active when sliced */
    size_t step;      /* 0: BEGIN, then those of the plan, then COMMIT */
    bool copying;
    bool sliced; /* rows are left, the next turn goes on with them */
    bool header_seen;
    bool finished;
    int status;
    struct err error;
    unsigned open_parts;
};

static void load_on_input(void *ctx);

/* ---- rows --------------------------------------------------------------------------------- */

/* The step under way; NULL for BEGIN and COMMIT. */
static const struct load_step *load_step(const struct load *l)
{
    return l->step >= 1 && l->step <= l->plan.n_steps ? &l->plan.steps[l->step - 1] : NULL;
}

static bool load_header(struct load *l, struct rd *r)
{
    static const struct span signature = SPAN("PGCOPY\n\377\r\n\0");
    if (!l->header_seen) {
        bool same = span_eq(rd_bytes(r, signature.n), signature);
        (void)rd_u32(r); /* flags */
        (void)rd_bytes(r, rd_u32(r));
        l->header_seen = true;
        return same && !r->bad;
    }
    return true;
}

/* One CopyData message: the header once, then whole rows, in the end a trailer of -1. */
static bool load_message(struct load *l, struct span message)
{
    const struct load_step *step = load_step(l);
    struct rd r = rd_over(message);
    if (step == NULL || !load_header(l, &r)) {
        return false;
    }
    while (rd_left(&r) > 0) {
        struct span cells[LOAD_COLUMNS_MAX];
        uint16_t n = rd_u16(&r);
        if (n == UINT16_MAX) {
            return rd_left(&r) == 0;
        }
        if (n != step->n_columns) {
            return false;
        }
        for (uint16_t i = 0; i < n; i++) {
            uint32_t len = rd_u32(&r);
            cells[i] = len == UINT32_MAX ? span_of(NULL, 0) : rd_bytes(&r, len); /* NULL: -1 */
        }
        if (r.bad || !step->row(l->plan.receiver, cells)) {
            return false;
        }
    }
    return !r.bad;
}

/* ---- ends --------------------------------------------------------------------------------- */

static void load_part_closed(struct load *l)
{
    if (--l->open_parts > 0) {
        return;
    }
    struct store *s = l->s;
    s->loads[l->plan.kind] = NULL;
    l->plan.done(l->plan.ctx, l->status, l->status < 0 ? &l->error : NULL);
    free(l->plan.receiver);
    free(l);
    if (s->closing && s->open_parts > 0) {
        store_part_closed(s);
    }
}

static void load_on_conn_closed(struct pg_conn *conn)
{
    load_part_closed(container_of(conn, struct load, conn));
}

static void load_on_timer_closed(uv_handle_t *handle)
{
    load_part_closed(container_of(handle, struct load, timer));
}

static void load_on_idle_closed(uv_handle_t *handle)
{
    load_part_closed(container_of(handle, struct load, idle));
}

static void load_finish(struct load *l, int status, const struct err *e)
{
    if (l->finished) {
        return;
    }
    l->finished = true;
    l->status = status;
    if (e != NULL) {
        l->error = *e;
    }
    l->open_parts = 3;
    pg_conn_close(&l->conn, load_on_conn_closed);
    uv_close((uv_handle_t *)&l->idle, load_on_idle_closed);
    uv_close((uv_handle_t *)&l->timer, load_on_timer_closed);
}

static void load_fail(struct load *l, int code, const char *why)
{
    struct err e;
    (void)err_set(&e, code, "load: %s", why);
    load_finish(l, code, &e);
}

static void load_fail_pg(struct load *l)
{
    struct err e;
    (void)pg_conn_err(l->conn.pg, &e);
    load_fail(l, ERR_UNAVAILABLE, e.msg);
}

void load_cancel(struct load *l)
{
    load_fail(l, ERR_CANCELED, "canceled");
}

/* ---- going on ----------------------------------------------------------------------------- */

static void load_on_timer(uv_timer_t *timer)
{
    struct load *l = container_of(timer, struct load, timer);
    load_fail(l, ERR_UNAVAILABLE, "the database fell silent");
}

static void load_on_idle(uv_idle_t *idle)
{
    struct load *l = container_of(idle, struct load, idle);
    (void)uv_idle_stop(idle);
    l->sliced = false;
    pg_conn_pause(&l->conn, false);
    load_on_input(l);
}

static void load_send(struct load *l)
{
    const struct load_step *step = load_step(l);
    const char *sql = step != NULL ? step->sql
                      : l->step == 0
                          ? "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
                          : "COMMIT";
    l->header_seen = false;
    if (l->step > l->plan.n_steps + 1) {
        load_finish(l, 0, NULL);
    } else if (PQsendQuery(l->conn.pg, sql) != 1) {
        load_fail_pg(l);
    } else {
        pg_conn_flush(&l->conn);
    }
}

/* Rows that libpq has. Returns true when the COPY is over. */
static bool load_rows(struct load *l)
{
    const uint64_t start_ns = uv_hrtime();
    for (unsigned n_rows = 1;; n_rows++) {
        char *row = NULL;
        int len = PQgetCopyData(l->conn.pg, &row, 1);
        if (len <= 0) {
            return len < 0; /* the result that follows says whether it went well */
        }
        bool good = load_message(l, span_of(row, (size_t)len));
        PQfreemem(row);
        if (!good) {
            load_fail(l, ERR_DATABASE, "a row makes no sense");
            return false;
        }
        if (n_rows % l->plan.rows_a_look == 0 && uv_hrtime() - start_ns > LOAD_SLICE_NS) {
            l->sliced = true;
            pg_conn_pause(&l->conn, true);
            (void)uv_idle_start(&l->idle, load_on_idle);
            (void)sched_yield();
            return false;
        }
    }
}

/* The result of a step, or NULL at its end. */
static void load_result(struct load *l, PGresult *res)
{
    const ExecStatusType status = PQresultStatus(res);
    struct err e;
    if (res == NULL) {
        l->step++;
        load_send(l);
    } else if (status == PGRES_COPY_OUT) {
        l->copying = true;
    } else if (status != PGRES_COMMAND_OK) {
        (void)pg_result_err(res, &e);
        load_fail(l, e.code, e.msg);
    }
    PQclear(res);
}

static void load_on_input(void *ctx)
{
    struct load *l = ctx;
    if (!l->finished && !l->sliced) {
        (void)uv_timer_start(&l->timer, load_on_timer, STORE_TIMEOUT_MS, 0);
    }
    while (!l->finished && !l->sliced) {
        if (l->copying) {
            if (!load_rows(l)) {
                return;
            }
            l->copying = false;
        } else if (PQisBusy(l->conn.pg) != 0) {
            return;
        } else {
            load_result(l, PQgetResult(l->conn.pg));
        }
    }
}

static void load_on_up(void *ctx)
{
    load_send(ctx);
}

static void load_on_lost(void *ctx, const struct err *e)
{
    load_fail(ctx, ERR_UNAVAILABLE, e->msg);
}

int load_start(struct store *s, const struct load_plan *plan)
{
    int status = s->closing ? ERR_UNAVAILABLE : s->loads[plan->kind] != NULL ? ERR_IN_USE : 0;
    if (status < 0) {
        free(plan->receiver);
        return status;
    }
    struct load *l = mem_new(struct load);
    l->s = s;
    l->plan = *plan;
    const struct pg_conn_events events = {load_on_up, load_on_input, load_on_lost, l};
    pg_conn_init(&l->conn, s->loop, &s->load_params, &events);
    l->conn.once = true;
    ASSERT(uv_timer_init(s->loop, &l->timer) == 0);
    ASSERT(uv_idle_init(s->loop, &l->idle) == 0);
    s->loads[plan->kind] = l;
    pg_conn_start(&l->conn);
    return 0;
}
