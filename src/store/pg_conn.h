/* pg_conn.h: one libpq connection on the loop, which comes back by itself.
 *
 *        start                 resolved                connected
 *   IDLE ──────▶ RESOLVING ──────────────▶ CONNECTING ───────────▶ UP
 *                    ▲  └────── failed ───────┤                     │ lost, broken
 *                    │                        ▼                     │
 *                    └───── backoff ────── WAITING ◀────────────────┘
 *
 * Events    on_up: connected and non-blocking. on_input: libpq has read; take the results.
 *           on_lost: was up, or a try to connect failed; the PGconn is gone already.
 * Once      a connection with once set does not come back: after on_lost it is IDLE for good.
 * Limits    PG_CONNECT_MS for one try; between tries PG_BACKOFF_MIN_MS .. PG_BACKOFF_MAX_MS.
 */
#ifndef STORE_PG_CONN_H
#define STORE_PG_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include <libpq-fe.h>
#include <uv.h>

#include "base/err.h"
#include "base/rng.h"
#include "store/pg_params.h"

enum { PG_CONNECT_MS = 10000, PG_BACKOFF_MIN_MS = 50, PG_BACKOFF_MAX_MS = 5000 };

enum pg_conn_state {
    PG_CONN_IDLE,
    PG_CONN_RESOLVING,
    PG_CONN_CONNECTING,
    PG_CONN_UP,
    PG_CONN_WAITING,
    PG_CONN_CLOSING
};

struct pg_conn_events {
    void (*on_up)(void *ctx);
    void (*on_input)(void *ctx);
    void (*on_lost)(void *ctx, const struct err *e);
    void *ctx;
};

struct pg_poll;

struct pg_conn {
    PGconn *pg; /* NULL unless CONNECTING or UP */
    enum pg_conn_state state;
    bool once;
    /* private */
    uv_loop_t *loop;
    const struct pg_params *params;
    struct pg_conn_events on;
    struct pg_poll *poll; /* one a socket */
    uv_timer_t timer;     /* deadline of a try, end of a pause, or 0 ms: broken */
    struct pg_resolve resolve;
    bool resolving;
    bool broken; /* up, but about to be dropped from the timer */
    bool paused;
    struct err why;
    struct rng rng;
    uint32_t tries; /* since the connection was last up for a while */
    uint64_t up_since_ms;
    unsigned open_handles;
    void (*closed)(struct pg_conn *c);
};

/* params must outlive the connection. */
void pg_conn_init(struct pg_conn *c, uv_loop_t *loop, const struct pg_params *params,
                  const struct pg_conn_events *events);
/* Begins to connect; from IDLE only. */
void pg_conn_start(struct pg_conn *c);
/* Sends what libpq holds; to be called after every PQsend*. A failure shows as on_lost, later. */
void pg_conn_flush(struct pg_conn *c);
/* Stop or go on reading from the socket, while up. */
void pg_conn_pause(struct pg_conn *c, bool paused);
/* Give this connection up: on_lost comes from the loop, with this text. No effect unless up. */
void pg_conn_break(struct pg_conn *c, int code, const char *why);
/* Closes from any state, silently; closed exactly once, last. */
void pg_conn_close(struct pg_conn *c, void (*closed)(struct pg_conn *c));

static inline bool pg_conn_is_up(const struct pg_conn *c)
{
    return c->state == PG_CONN_UP && !c->broken;
}

#endif
