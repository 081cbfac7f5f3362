/* One libpq connection on the loop.
 *
 * Happy path: start → names looked up (if there are any) → PQconnectStart → PQconnectPoll, one
 * step each time the socket is ready → UP: every readable event is PQconsumeInput and on_input,
 * writable events only while PQflush has something left.
 *
 * Failures
 * - look-up, a refused or silent server, a try that takes longer than PG_CONNECT_MS: on_lost, then
 *   a pause, then the next try. The pause doubles; it starts small again after a connection that
 *   was up for longer than the longest pause.
 * - the connection breaks: results that were read before are handed over by on_input first, then
 *   on_lost.
 * - a failure inside somebody's call (flush, break): on_lost comes from the timer at 0 ms.
 *
 * Sockets: libpq may close its socket and open another, with the same number even, in any step of
 * connecting. So polling stops before every step and starts after it, on a handle made for the
 * number that PQsocket gives then; and it stops before PQfinish.
 *
 * At the end: closed runs after the last uv handle and a look-up under way are gone.
 */
#include "store/pg_conn.h"

#include <stdlib.h>

#include "base/digest.h"
#include "base/mem.h"
#include "store/pg_err.h"

#include "base/banned.h"

struct pg_poll {
    uv_poll_t handle;
    int fd;
    int mask;
    struct pg_conn *owner;
};

static void conn_connect(struct pg_conn *c);
static void conn_on_timer(uv_timer_t *timer);

static void conn_handle_closed(struct pg_conn *c)
{
    ASSERT(c->open_handles > 0);
    c->open_handles--;
    if (c->open_handles == 0 && !c->resolving && c->state == PG_CONN_CLOSING) {
        c->closed(c);
    }
}

/* ---- the socket --------------------------------------------------------------------------- */

static void poll_on_closed(uv_handle_t *handle)
{
    struct pg_poll *poll = container_of(handle, struct pg_poll, handle);
    struct pg_conn *c = poll->owner;
    free(poll);
    conn_handle_closed(c);
}

static void poll_stop(struct pg_conn *c)
{
    if (c->poll != NULL) {
        (void)uv_poll_stop(&c->poll->handle); /* always 0 */
        c->poll->mask = 0;
    }
}

static void poll_drop(struct pg_conn *c)
{
    if (c->poll != NULL) {
        poll_stop(c);
        uv_close((uv_handle_t *)&c->poll->handle, poll_on_closed);
        c->poll = NULL;
    }
}

static void poll_on_event(uv_poll_t *handle, int status, int events);

/* Wait for mask on the socket that libpq has now. */
static int poll_want(struct pg_conn *c, int mask)
{
    int fd = PQsocket(c->pg);
    if (c->poll != NULL && c->poll->fd != fd) {
        poll_drop(c);
    }
    if (c->poll == NULL) {
        struct pg_poll *poll = mem_new(struct pg_poll);
        int status = fd < 0 ? UV_EBADF : uv_poll_init(c->loop, &poll->handle, fd);
        if (status < 0) {
            free(poll);
            return status;
        }
        poll->fd = fd;
        poll->owner = c;
        c->poll = poll;
        c->open_handles++;
    }
    if (c->poll->mask == mask) {
        return 0;
    }
    c->poll->mask = mask;
    return mask == 0 ? uv_poll_stop(&c->poll->handle)
                     : uv_poll_start(&c->poll->handle, mask, poll_on_event);
}

/* ---- ends of a connection ----------------------------------------------------------------- */

static void conn_finish(struct pg_conn *c)
{
    poll_drop(c);
    if (c->pg != NULL) {
        PQfinish(c->pg);
        c->pg = NULL;
    }
    c->broken = false;
    c->paused = false;
}

static uint64_t conn_backoff_ms(struct pg_conn *c)
{
    uint64_t pause_ms = PG_BACKOFF_MIN_MS;
    for (uint32_t i = 0; i < c->tries && pause_ms < PG_BACKOFF_MAX_MS; i++) {
        pause_ms *= 2;
    }
    if (pause_ms > PG_BACKOFF_MAX_MS) {
        pause_ms = PG_BACKOFF_MAX_MS;
    }
    c->tries++;
    return pause_ms / 2 + rng_below(&c->rng, (uint32_t)(pause_ms / 2) + 1);
}

static void conn_lost(struct pg_conn *c, const struct err *e)
{
    const struct err why = *e; /* e may be c->why */
    if (c->state == PG_CONN_UP && uv_now(c->loop) - c->up_since_ms > PG_BACKOFF_MAX_MS) {
        c->tries = 0;
    }
    conn_finish(c);
    if (c->once) {
        c->state = PG_CONN_IDLE;
        (void)uv_timer_stop(&c->timer);
    } else {
        c->state = PG_CONN_WAITING;
        (void)uv_timer_start(&c->timer, conn_on_timer, conn_backoff_ms(c), 0);
    }
    c->on.on_lost(c->on.ctx, &why);
}

static void conn_lost_pg(struct pg_conn *c)
{
    struct err e;
    (void)pg_conn_err(c->pg, &e);
    conn_lost(c, &e);
}

static void conn_on_timer(uv_timer_t *timer)
{
    struct pg_conn *c = container_of(timer, struct pg_conn, timer);
    struct err e;
    switch (c->state) {
    case PG_CONN_WAITING:
        conn_connect(c);
        break;
    case PG_CONN_CONNECTING:
        (void)err_set(&e, ERR_UNAVAILABLE, "connecting took longer than %d s",
                      PG_CONNECT_MS / 1000);
        conn_lost(c, &e);
        break;
    case PG_CONN_UP:
        if (c->broken) {
            conn_lost(c, &c->why);
        }
        break;
    case PG_CONN_IDLE:
    case PG_CONN_RESOLVING:
    case PG_CONN_CLOSING:
        break;
    }
}

/* ---- connecting --------------------------------------------------------------------------- */

static void conn_want(struct pg_conn *c, int mask)
{
    int status = poll_want(c, mask);
    if (status < 0) {
        struct err e;
        (void)err_set(&e, ERR_UNAVAILABLE, "watch the socket: %s", uv_strerror(status));
        conn_lost(c, &e);
    }
}

static void conn_up(struct pg_conn *c)
{
    (void)uv_timer_stop(&c->timer);
    if (PQsetnonblocking(c->pg, 1) != 0) {
        conn_lost_pg(c);
        return;
    }
    c->state = PG_CONN_UP;
    c->up_since_ms = uv_now(c->loop);
    int status = poll_want(c, UV_READABLE);
    if (status < 0) {
        pg_conn_break(c, ERR_UNAVAILABLE, uv_strerror(status));
    }
    c->on.on_up(c->on.ctx);
}

static void conn_step(struct pg_conn *c)
{
    poll_stop(c);
    switch (PQconnectPoll(c->pg)) {
    case PGRES_POLLING_READING:
        conn_want(c, UV_READABLE);
        break;
    case PGRES_POLLING_WRITING:
        conn_want(c, UV_WRITABLE);
        break;
    case PGRES_POLLING_OK:
        conn_up(c);
        break;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE:
        conn_lost_pg(c);
        break;
    }
}

/* libpq would print them on stderr. */
static void conn_ignore_notice(void *ctx, const char *message)
{
    (void)ctx;
    (void)message;
}

/* From the loop only: may call on_lost. */
static void conn_begin(struct pg_conn *c, const struct pg_resolve *found)
{
    c->state = PG_CONN_CONNECTING;
    c->pg = pg_params_connect_start(c->params, found);
    if (c->pg == NULL || PQstatus(c->pg) == CONNECTION_BAD) {
        conn_lost_pg(c);
        return;
    }
    (void)PQsetNoticeProcessor(c->pg, conn_ignore_notice, NULL);
    (void)uv_timer_start(&c->timer, conn_on_timer, PG_CONNECT_MS, 0);
    conn_want(c, UV_WRITABLE); /* as PQconnectStart's documentation asks */
}

static void conn_on_resolved(struct pg_resolve *r, int status, const struct err *e)
{
    struct pg_conn *c = container_of(r, struct pg_conn, resolve);
    c->resolving = false;
    if (c->state == PG_CONN_CLOSING) {
        pg_resolve_release(r);
        c->open_handles++; /* held for the call below */
        conn_handle_closed(c);
        return;
    }
    if (status < 0) {
        conn_lost(c, e);
    } else {
        conn_begin(c, r);
    }
    pg_resolve_release(r);
}

static void conn_connect(struct pg_conn *c)
{
    struct err e;
    if (c->params->n_hosts == 0) {
        conn_begin(c, NULL);
        return;
    }
    c->state = PG_CONN_RESOLVING;
    int status = pg_resolve_start(&c->resolve, c->loop, c->params, conn_on_resolved, &e);
    if (status < 0) {
        conn_lost(c, &e);
        return;
    }
    c->resolving = true;
}

/* ---- up ----------------------------------------------------------------------------------- */

static void conn_set_mask(struct pg_conn *c, bool unsent)
{
    int mask = (c->paused ? 0 : UV_READABLE) | (unsent ? UV_WRITABLE : 0);
    int status = poll_want(c, mask);
    if (status < 0) {
        pg_conn_break(c, ERR_UNAVAILABLE, uv_strerror(status));
    }
}

static void conn_on_ready(struct pg_conn *c, int status, int events)
{
    PGconn *pg = c->pg;
    bool alive = status == 0;
    if (alive && (events & UV_WRITABLE) != 0) {
        pg_conn_flush(c);
    }
    if (!c->paused && (!alive || (events & UV_READABLE) != 0)) {
        alive = PQconsumeInput(pg) == 1 && alive;
        c->on.on_input(c->on.ctx);
    }
    if (c->state != PG_CONN_UP || c->pg != pg) {
        return; /* on_input closed it */
    }
    if (!alive || PQstatus(pg) == CONNECTION_BAD) {
        conn_lost_pg(c);
    } else if (!c->paused) {
        pg_conn_flush(c); /* reading may have made room to write */
    }
}

static void poll_on_event(uv_poll_t *handle, int status, int events)
{
    struct pg_conn *c = container_of(handle, struct pg_poll, handle)->owner;
    if (c->state == PG_CONN_CONNECTING) {
        conn_step(c);
    } else if (c->state == PG_CONN_UP) {
        conn_on_ready(c, status, events);
    }
}

void pg_conn_flush(struct pg_conn *c)
{
    if (!pg_conn_is_up(c)) {
        return;
    }
    int unsent = PQflush(c->pg);
    if (unsent < 0) {
        struct err e;
        (void)pg_conn_err(c->pg, &e);
        pg_conn_break(c, ERR_UNAVAILABLE, e.msg);
    } else {
        conn_set_mask(c, unsent == 1);
    }
}

void pg_conn_pause(struct pg_conn *c, bool paused)
{
    if (pg_conn_is_up(c) && c->paused != paused) {
        c->paused = paused;
        conn_set_mask(c, (c->poll->mask & UV_WRITABLE) != 0);
    }
}

void pg_conn_break(struct pg_conn *c, int code, const char *why)
{
    if (pg_conn_is_up(c)) {
        (void)err_set(&c->why, code, "%s", why);
        c->broken = true;
        (void)uv_timer_start(&c->timer, conn_on_timer, 0, 0);
    }
}

/* ---- life cycle --------------------------------------------------------------------------- */

void pg_conn_init(struct pg_conn *c, uv_loop_t *loop, const struct pg_params *params,
                  const struct pg_conn_events *events)
{
    *c = (struct pg_conn){.loop = loop, .params = params, .on = *events};
    digest_random(&c->rng.state, sizeof c->rng.state);
    ASSERT(uv_timer_init(loop, &c->timer) == 0);
    c->open_handles = 1;
}

void pg_conn_start(struct pg_conn *c)
{
    ASSERT(c->state == PG_CONN_IDLE);
    c->state = PG_CONN_WAITING; /* the first try starts from the loop, so that events do too */
    (void)uv_timer_start(&c->timer, conn_on_timer, 0, 0);
}

static void conn_on_timer_closed(uv_handle_t *handle)
{
    conn_handle_closed(container_of(handle, struct pg_conn, timer));
}

void pg_conn_close(struct pg_conn *c, void (*closed)(struct pg_conn *c))
{
    ASSERT(c->state != PG_CONN_CLOSING);
    c->state = PG_CONN_CLOSING;
    c->closed = closed;
    if (c->resolving) {
        pg_resolve_cancel(&c->resolve);
    }
    conn_finish(c);
    uv_close((uv_handle_t *)&c->timer, conn_on_timer_closed);
}
