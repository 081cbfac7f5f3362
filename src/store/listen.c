/* Changes that other processes make.
 *
 * Happy path: connection up → LISTEN on both channels → confirmed → notification → the rows that
 * it names are read on the command connection → the watch hears which are there and which are not.
 * What is told is always what was read after the change, so two servers that saw the same
 * notifications agree.
 *
 * Skipped: notifications of our own command connection; those changes are told from their results.
 *
 * Failures: a payload that is no list of hashes or keys ("reload", or something foreign), a read
 * that cannot be queued or fails: on_reload_needed. Connection lost: it comes back, then
 * on_reload_needed.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/store_impl.h"

#include "base/banned.h"

enum { REREAD_MAX = 200, KEY_LEN = 32 };

struct listen_cmd {
    struct pg_cmd cmd;
    struct store *s;
    bool last;
};

/* The rows named by one notification. */
struct reread {
    struct pg_cmd cmd;
    struct store *s;
    size_t n;
    struct infohash hashes[REREAD_MAX];
    char keys[REREAD_MAX][KEY_LEN + 1];
};

static void on_listening(struct pg_cmd *cmd, int status, const PGresult *res, const struct err *e)
{
    struct listen_cmd *l = container_of(cmd, struct listen_cmd, cmd);
    struct store *s = l->s;
    bool last = l->last;
    free(l);
    (void)res;
    if (status < 0) {
        pg_conn_break(&s->listener.conn, ERR_UNAVAILABLE, e->msg);
    } else if (last) {
        s->listening = true;
        if (s->available) {
            store_tell_reload(s);
        }
    }
}

static void listen_send(struct store *s, const char *sql, bool last)
{
    struct listen_cmd *l = mem_new(struct listen_cmd);
    l->cmd.done = on_listening;
    l->s = s;
    l->last = last;
    if (pg_send(&s->listener, &l->cmd, sql, NULL) < 0) {
        free(l); /* pg_send has broken the connection: the next one tries again */
    }
}

void listen_on_up(void *ctx)
{
    struct store *s = ctx;
    listen_send(s, "LISTEN rookery_whitelist", false);
    listen_send(s, "LISTEN rookery_keys", true);
}

void listen_on_down(void *ctx, const struct err *e)
{
    struct store *s = ctx;
    log_debug(LOG_STORE, "not listening to the database", KV_STR("why", e->msg));
    s->listening = false;
}

/* ---- reading again ------------------------------------------------------------------------ */

static bool key_is_valid(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))) {
            return false;
        }
    }
    return s.n == KEY_LEN;
}

static bool reread_parse(struct reread *r, const char *payload, bool keys)
{
    struct span rest = span_str(payload);
    for (bool more = true; more; r->n++) {
        more = span_find(rest, ',') < rest.n;
        struct span item = span_cut(rest, ',', &rest);
        if (r->n == REREAD_MAX) {
            return false;
        }
        if (!keys && !hex_decode(r->hashes[r->n].b, sizeof r->hashes[r->n].b, item)) {
            return false;
        }
        if (keys && !key_is_valid(item)) {
            return false;
        }
        if (keys) {
            memcpy(r->keys[r->n], item.p, KEY_LEN);
        }
    }
    return true;
}

static void on_whitelist_read(struct pg_cmd *cmd, int status, const PGresult *res,
                              const struct err *e)
{
    struct reread *r = container_of(cmd, struct reread, cmd);
    struct infohash present[REREAD_MAX];
    size_t n_present = 0;
    if (status < 0) {
        log_debug(LOG_STORE, "reading a change failed", KV_STR("why", e->msg));
        store_tell_reload(r->s);
        free(r);
        return;
    }
    for (int row = 0; row < PQntuples(res); row++) {
        struct span hash = pg_cell(res, row, 0);
        for (size_t i = 0; i < r->n; i++) { /* found ones move from hashes to present */
            if (span_eq(hash, span_of(r->hashes[i].b, sizeof r->hashes[i].b))) {
                present[n_present++] = r->hashes[i];
                r->hashes[i] = r->hashes[--r->n];
                break;
            }
        }
    }
    store_tell_whitelist(r->s, present, n_present, r->hashes, r->n);
    free(r);
}

static void on_keys_read(struct pg_cmd *cmd, int status, const PGresult *res, const struct err *e)
{
    struct reread *r = container_of(cmd, struct reread, cmd);
    struct store_key present[REREAD_MAX];
    size_t n_present = 0;
    if (status < 0) {
        log_debug(LOG_STORE, "reading a change failed", KV_STR("why", e->msg));
        store_tell_reload(r->s);
        free(r);
        return;
    }
    for (int row = 0; row < PQntuples(res); row++) {
        struct span cells[STORE_KEY_N_COLUMNS];
        for (int i = 0; i < STORE_KEY_N_COLUMNS; i++) {
            cells[i] = pg_cell(res, row, i);
        }
        if (!store_key_from_cells(&present[n_present], cells)) {
            continue;
        }
        for (size_t i = 0; i < r->n; i++) {
            if (strcmp(r->keys[i], present[n_present].key) == 0) {
                n_present++;
                memmove(r->keys[i], r->keys[--r->n], sizeof r->keys[i]); /* may be itself */
                break;
            }
        }
    }
    store_tell_keys(r->s, present, n_present, (const char(*)[KEY_LEN + 1]) r->keys, r->n);
    free(r);
}

static int reread_send(struct reread *r, bool keys)
{
    struct pg_bind args;
    pg_bind_init(&args);
    pg_bind_array(&args, keys ? PG_TEXT_ARRAY : PG_BYTEA_ARRAY, keys ? PG_TEXT : PG_BYTEA, r->n);
    for (size_t i = 0; i < r->n; i++) {
        pg_bind_item(&args, keys ? span_of(r->keys[i], KEY_LEN)
                                 : span_of(r->hashes[i].b, sizeof r->hashes[i].b));
    }
    r->cmd.done = keys ? on_keys_read : on_whitelist_read;
    return store_send(r->s, &r->cmd,
                      keys ? "SELECT " STORE_KEY_COLUMNS " FROM access_keys WHERE key = ANY ($1)"
                           : "SELECT info_hash FROM whitelist WHERE info_hash = ANY ($1)",
                      &args);
}

void listen_on_notify(void *ctx, const PGnotify *notify)
{
    struct store *s = ctx;
    bool keys = strcmp(notify->relname, "rookery_keys") == 0;
    if (s->available && notify->be_pid == PQbackendPID(s->commands.conn.pg)) {
        return;
    }
    struct reread *r = mem_new(struct reread);
    r->s = s;
    if (!reread_parse(r, notify->extra, keys) || reread_send(r, keys) < 0) {
        free(r);
        store_tell_reload(s);
    }
}
