/* The store's two long-lived connections, and how they end.
 *
 * Happy path: store_open → both connections come up from the loop → on_available(true); LISTEN
 * confirmed → on_reload_needed, once both are up → calls go out on the command connection, other
 * processes' changes come in on the listener (listen.c).
 *
 * Failures: a connection that is lost comes back by itself; what was in flight has failed. Each
 * time that both are up again, on_reload_needed, because changes may have been missed.
 *
 * At the end (store_close): commands in flight finish or STORE_CLOSE_MS passes, then both
 * connections, the timer and the loads under way are closed; the last one to go calls on_closed.
 */
#include "store/store.h"

#include <stdlib.h>

#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store_impl.h"

#include "base/banned.h"

/* ---- to the watch ------------------------------------------------------------------------- */

void store_tell_reload(struct store *s)
{
    if (s->watched) {
        s->watch.on_reload_needed(s->watch.ctx);
    }
}

void store_tell_whitelist(struct store *s, const struct infohash *present, size_t n_present,
                          const struct infohash *absent, size_t n_absent)
{
    if (s->watched) {
        s->watch.on_whitelist(s->watch.ctx, present, n_present, absent, n_absent);
    }
}

void store_tell_keys(struct store *s, const struct store_key *present, size_t n_present,
                     const char (*absent)[33], size_t n_absent)
{
    if (s->watched) {
        s->watch.on_key(s->watch.ctx, present, n_present, absent, n_absent);
    }
}

/* ---- the command connection --------------------------------------------------------------- */

static void commands_on_up(void *ctx)
{
    struct store *s = ctx;
    s->available = true;
    if (s->watched) {
        s->watch.on_available(s->watch.ctx, true);
    }
    if (s->listening) {
        store_tell_reload(s);
    }
}

static void commands_on_down(void *ctx, const struct err *e)
{
    struct store *s = ctx;
    log_debug(LOG_STORE, "no connection to the database", KV_STR("why", e->msg));
    if (s->available) {
        s->available = false;
        if (s->watched) {
            s->watch.on_available(s->watch.ctx, false);
        }
    }
}

static void commands_on_notify(void *ctx, const PGnotify *notify)
{
    (void)ctx; /* this connection listens to nothing */
    (void)notify;
}

static void listener_on_idle(void *ctx)
{
    (void)ctx;
}

/* ---- closing ------------------------------------------------------------------------------ */

void store_part_closed(struct store *s)
{
    ASSERT(s->open_parts > 0);
    if (--s->open_parts > 0) {
        return;
    }
    void (*on_closed)(void *) = s->on_closed;
    void *ctx = s->closed_ctx;
    pg_params_release(&s->params);
    pg_params_release(&s->load_params);
    free(s);
    on_closed(ctx);
}

static void on_commands_closed(struct pg *pg)
{
    store_part_closed(container_of(pg, struct store, commands));
}

static void on_listener_closed(struct pg *pg)
{
    store_part_closed(container_of(pg, struct store, listener));
}

static void on_timer_closed(uv_handle_t *handle)
{
    store_part_closed(container_of(handle, struct store, close_timer));
}

static void close_parts(struct store *s)
{
    if (s->open_parts > 0) {
        return; /* under way */
    }
    s->open_parts = 3;
    for (size_t i = 0; i < LOAD_KINDS; i++) {
        if (s->loads[i] != NULL) {
            s->open_parts++;
            load_cancel(s->loads[i]);
        }
    }
    pg_close(&s->listener, on_listener_closed);
    pg_close(&s->commands, on_commands_closed);
    uv_close((uv_handle_t *)&s->close_timer, on_timer_closed);
}

static void on_close_timer(uv_timer_t *timer)
{
    close_parts(container_of(timer, struct store, close_timer));
}

static void commands_on_idle(void *ctx)
{
    struct store *s = ctx;
    if (s->closing) {
        close_parts(s);
    }
}

void store_close(struct store *s, void (*on_closed)(void *ctx), void *ctx)
{
    ASSERT(!s->closing);
    s->closing = true;
    s->watched = false;
    s->on_closed = on_closed;
    s->closed_ctx = ctx;
    uint64_t wait_ms = s->commands.n_queued > 0 ? STORE_CLOSE_MS : 0;
    (void)uv_timer_start(&s->close_timer, on_close_timer, wait_ms, 0);
}

/* ---- public ------------------------------------------------------------------------------- */

int store_open(struct store **out, uv_loop_t *loop, const char *url,
               const struct store_watch *watch, struct err *e)
{
    struct store *s = mem_new(struct store);
    s->loop = loop;
    s->watch = *watch;
    s->watched = true;
    digest_random_alnum(s->name, sizeof s->name - 1);
    int status = pg_params_init(&s->params, url, PG_OPTIONS_COMMANDS, e);
    if (status == 0) {
        status = pg_params_init(&s->load_params, url, PG_OPTIONS_LONG, e);
    }
    if (status < 0) {
        pg_params_release(&s->params);
        free(s);
        return status;
    }
    const struct pg_events commands = {commands_on_up, commands_on_down, commands_on_notify,
                                       commands_on_idle, s};
    const struct pg_events listener = {listen_on_up, listen_on_down, listen_on_notify,
                                       listener_on_idle, s};
    pg_init(&s->commands, loop, &s->params, &commands);
    pg_init(&s->listener, loop, &s->params, &listener);
    ASSERT(uv_timer_init(loop, &s->close_timer) == 0);
    pg_start(&s->listener);
    pg_start(&s->commands);
    *out = s;
    return 0;
}

void store_give_up(struct store *s)
{
    for (size_t i = 0; i < LOAD_KINDS; i++) {
        if (s->loads[i] != NULL) {
            load_cancel(s->loads[i]);
        }
    }
    if (s->commands.n_queued > 0) {
        pg_conn_break(&s->commands.conn, ERR_UNAVAILABLE, "not waited for any longer");
    }
}

void store_unwatch(struct store *s)
{
    s->watched = false;
}

bool store_is_available(const struct store *s)
{
    return s->available && !s->closing;
}

int store_send(struct store *s, struct pg_cmd *cmd, const char *sql, struct pg_bind *args)
{
    int status = s->closing ? ERR_UNAVAILABLE : pg_send(&s->commands, cmd, sql, args);
    if (args != NULL) {
        pg_bind_release(args);
    }
    return status;
}

struct ping {
    struct pg_cmd cmd;
    store_done done;
    void *ctx;
};

static void on_pinged(struct pg_cmd *cmd, int status, const PGresult *res, const struct err *e)
{
    struct ping *p = container_of(cmd, struct ping, cmd);
    (void)res;
    p->done(p->ctx, status, e);
    free(p);
}

int store_ping(struct store *s, store_done done, void *ctx)
{
    struct ping *p = mem_new(struct ping);
    p->cmd.done = on_pinged;
    p->done = done;
    p->ctx = ctx;
    int status = store_send(s, &p->cmd, "SELECT 1", NULL);
    if (status < 0) {
        free(p);
    }
    return status;
}
