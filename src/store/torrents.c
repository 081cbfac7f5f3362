/* The client's torrents and sessions: statements that change them.
 *
 * Texts  metainfo may hold any bytes where it should hold UTF-8: what is only shown is cleaned on
 *        its way in. A save path is not: it names a folder, so the database refuses what it cannot
 *        give back as it was.
 */
#include "store/torrents.h"

#include <stdlib.h>

#include "base/mem.h"
#include "store/store_impl.h"

#include "base/banned.h"

struct torrent_cmd {
    struct pg_cmd cmd;
    store_done done; /* one of these three */
    store_changed changed;
    store_session_done session_added;
    void *ctx;
};

static struct torrent_cmd *cmd_new(pg_cmd_done on_result, void *ctx)
{
    struct torrent_cmd *c = mem_new(struct torrent_cmd);
    c->cmd.done = on_result;
    c->ctx = ctx;
    return c;
}

static int cmd_send(struct store *s, struct torrent_cmd *c, const char *sql, struct pg_bind *args)
{
    int status = store_send(s, &c->cmd, sql, args);
    if (status < 0) {
        free(c);
    }
    return status;
}

static void on_done(struct pg_cmd *cmd, int status, const PGresult *res, const struct err *e)
{
    struct torrent_cmd *c = container_of(cmd, struct torrent_cmd, cmd);
    (void)res;
    c->done(c->ctx, status, e);
    free(c);
}

static void on_changed(struct pg_cmd *cmd, int status, const PGresult *res, const struct err *e)
{
    struct torrent_cmd *c = container_of(cmd, struct torrent_cmd, cmd);
    size_t n = status < 0 ? 0 : (size_t)strtoull(PQcmdTuples((PGresult *)res), NULL, 10);
    c->changed(c->ctx, status, n, e);
    free(c);
}

static struct span hash_span(const struct infohash *hash)
{
    return span_of(hash->b, sizeof hash->b);
}

/* Counts have 64 bits here and 63 there. */
static int64_t to_int8(uint64_t v)
{
    return v > (uint64_t)INT64_MAX ? INT64_MAX : (int64_t)v;
}

/* ---- torrents ------------------------------------------------------------------------------ */

static void bind_trackers(struct pg_bind *args, const struct store_torrent *t)
{
    pg_bind_array(args, PG_TEXT_ARRAY, PG_TEXT, t->n_trackers);
    for (size_t i = 0; i < t->n_trackers; i++) {
        pg_bind_item_clean_text(args, t->trackers[i].url);
    }
    pg_bind_array(args, PG_INT8_ARRAY, PG_INT8, t->n_trackers);
    for (size_t i = 0; i < t->n_trackers; i++) {
        pg_bind_item_int8(args, t->trackers[i].tier);
    }
}

int store_torrent_add(struct store *s, const struct store_torrent *t, store_done done, void *ctx)
{
    struct pg_bind args;
    struct torrent_cmd *c = cmd_new(on_done, ctx);
    c->done = done;
    pg_bind_init(&args);
    pg_bind_bytes(&args, hash_span(&t->info_hash));
    pg_bind_int8(&args, t->session);
    pg_bind_bytes(&args, t->info);
    pg_bind_clean_text(&args, t->name);
    pg_bind_text_bytes(&args, t->save_path);
    bind_trackers(&args, t); /* $6, $7 */
    pg_bind_clean_text(&args, t->web_seeds);
    pg_bind_clean_text(&args, t->comment);
    pg_bind_clean_text(&args, t->created_by);
    pg_bind_int8(&args, t->creation_unix_s);
    pg_bind_int8(&args, t->flags);
    pg_bind_bool(&args, t->allocate);
    pg_bind_int8(&args, to_int8(t->max_down_bps));
    pg_bind_int8(&args, to_int8(t->max_up_bps));
    pg_bind_int8(&args, t->max_peers);
    pg_bind_bytes(&args, t->priorities);
    pg_bind_int8(&args, t->added_unix_s); /* $18 */
    pg_bind_bool(&args, t->checked);
    pg_bind_bytes(&args, t->bitfield);
    pg_bind_bytes(&args, t->partials);
    pg_bind_int8(&args, to_int8(t->total_down));
    pg_bind_int8(&args, to_int8(t->total_up));
    pg_bind_int8(&args, to_int8(t->wasted));
    pg_bind_int8(&args, to_int8(t->active_s));
    pg_bind_int8(&args, to_int8(t->finished_s));
    pg_bind_int8(&args, to_int8(t->seeding_s));
    pg_bind_int8(&args, t->completed_unix_s); /* $28 */
    pg_bind_int8(&args, t->last_seen_complete_unix_s);
    pg_bind_bool(&args, t->stop_pending);
    pg_bind_int8(&args, t->max_uploads);
    return cmd_send(
        s, c,
        "INSERT INTO torrents (info_hash, session, info, name, save_path, "
        "tracker_urls, tracker_tiers, web_seeds, comment, created_by, creation_date, "
        "flags, allocate, max_down_bps, max_up_bps, max_peers, priorities, added_at, "
        "checked, bitfield, partials, total_down, total_up, wasted, active_s, "
        "finished_s, seeding_s, completed_at, last_seen_complete_at, stop_pending, "
        "max_uploads) "
        "VALUES ($1, $2, nullif($3, ''), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, "
        "$14, $15, $16, $17, to_timestamp($18), $19, $20, $21, $22, $23, $24, $25, "
        "$26, $27, to_timestamp(nullif($28, 0)), to_timestamp(nullif($29, 0)), $30, $31)",
        &args);
}

int store_torrents_remove(struct store *s, const struct infohash *hashes, size_t n,
                          store_changed done, void *ctx)
{
    struct pg_bind args;
    if (n > STORE_TORRENTS_MAX) {
        return ERR_LIMIT;
    }
    struct torrent_cmd *c = cmd_new(on_changed, ctx);
    c->changed = done;
    pg_bind_init(&args);
    pg_bind_array(&args, PG_BYTEA_ARRAY, PG_BYTEA, n);
    for (size_t i = 0; i < n; i++) {
        pg_bind_item(&args, hash_span(&hashes[i]));
    }
    return cmd_send(s, c, "DELETE FROM torrents WHERE info_hash = ANY ($1)", &args);
}

int store_torrent_remove(struct store *s, const struct infohash *hash, store_changed done,
                         void *ctx)
{
    return store_torrents_remove(s, hash, 1, done, ctx);
}

int store_torrent_set_info(struct store *s, const struct infohash *hash, struct span info,
                           store_done done, void *ctx)
{
    struct pg_bind args;
    struct torrent_cmd *c = cmd_new(on_done, ctx);
    c->done = done;
    pg_bind_init(&args);
    pg_bind_bytes(&args, hash_span(hash));
    pg_bind_bytes(&args, info);
    return cmd_send(s, c, "UPDATE torrents SET info = nullif($2, '') WHERE info_hash = $1", &args);
}

int store_torrent_set_options(struct store *s, const struct store_torrent *t, store_changed done,
                              void *ctx)
{
    struct pg_bind args;
    struct torrent_cmd *c = cmd_new(on_changed, ctx);
    c->changed = done;
    pg_bind_init(&args);
    pg_bind_bytes(&args, hash_span(&t->info_hash));
    pg_bind_int8(&args, t->flags);
    pg_bind_int8(&args, to_int8(t->max_down_bps));
    pg_bind_int8(&args, to_int8(t->max_up_bps));
    pg_bind_int8(&args, t->max_peers);
    pg_bind_bytes(&args, t->priorities);
    pg_bind_bool(&args, t->stop_pending);
    return cmd_send(s, c,
                    "UPDATE torrents SET flags = $2, max_down_bps = $3, max_up_bps = $4, "
                    "max_peers = $5, priorities = $6, stop_pending = stop_pending OR $7 "
                    "WHERE info_hash = $1",
                    &args);
}

/* ---- what changes as they run -------------------------------------------------------------- */

/* A column of many torrents: the span (or number, or flag) at this place of each. */
enum column_kind { COLUMN_SPAN, COLUMN_UINT64, COLUMN_INT64, COLUMN_BOOL };

static const struct {
    enum column_kind kind;
    size_t offset;
} saved_columns[] = {
    {COLUMN_BOOL, offsetof(struct store_torrent, checked)},
    {COLUMN_SPAN, offsetof(struct store_torrent, bitfield)},
    {COLUMN_SPAN, offsetof(struct store_torrent, partials)},
    {COLUMN_UINT64, offsetof(struct store_torrent, total_down)},
    {COLUMN_UINT64, offsetof(struct store_torrent, total_up)},
    {COLUMN_UINT64, offsetof(struct store_torrent, wasted)},
    {COLUMN_UINT64, offsetof(struct store_torrent, active_s)},
    {COLUMN_UINT64, offsetof(struct store_torrent, finished_s)},
    {COLUMN_UINT64, offsetof(struct store_torrent, seeding_s)},
    {COLUMN_INT64, offsetof(struct store_torrent, completed_unix_s)},
    {COLUMN_INT64, offsetof(struct store_torrent, last_seen_complete_unix_s)},
    {COLUMN_BOOL, offsetof(struct store_torrent, stop_pending)},
};

static void bind_column(struct pg_bind *args, enum column_kind kind, size_t offset,
                        const struct store_torrent *torrents, size_t n)
{
    static const struct {
        enum pg_type array, item;
    } types[] = {
        [COLUMN_SPAN] = {PG_BYTEA_ARRAY, PG_BYTEA},
        [COLUMN_UINT64] = {PG_INT8_ARRAY, PG_INT8},
        [COLUMN_INT64] = {PG_INT8_ARRAY, PG_INT8},
        [COLUMN_BOOL] = {PG_BOOL_ARRAY, PG_BOOL},
    };
    pg_bind_array(args, types[kind].array, types[kind].item, n);
    for (size_t i = 0; i < n; i++) {
        const void *at = (const char *)&torrents[i] + offset;
        switch (kind) {
        case COLUMN_SPAN:
            pg_bind_item(args, *(const struct span *)at);
            break;
        case COLUMN_UINT64:
            pg_bind_item_int8(args, to_int8(*(const uint64_t *)at));
            break;
        case COLUMN_INT64:
            pg_bind_item_int8(args, *(const int64_t *)at);
            break;
        case COLUMN_BOOL:
            pg_bind_item_bool(args, *(const bool *)at);
            break;
        }
    }
}

int store_torrents_save(struct store *s, const struct store_torrent *torrents, size_t n,
                        store_done done, void *ctx)
{
    struct pg_bind args;
    if (n > STORE_BULK_MAX) {
        return ERR_LIMIT;
    }
    struct torrent_cmd *c = cmd_new(on_done, ctx);
    c->done = done;
    pg_bind_init(&args);
    pg_bind_array(&args, PG_BYTEA_ARRAY, PG_BYTEA, n);
    for (size_t i = 0; i < n; i++) {
        pg_bind_item(&args, hash_span(&torrents[i].info_hash));
    }
    for (size_t i = 0; i < sizeof saved_columns / sizeof *saved_columns; i++) {
        bind_column(&args, saved_columns[i].kind, saved_columns[i].offset, torrents, n);
    }
    return cmd_send(s, c,
                    "UPDATE torrents t SET checked = u.checked, bitfield = u.bitfield, "
                    "partials = u.partials, total_down = u.total_down, total_up = u.total_up, "
                    "wasted = u.wasted, active_s = u.active_s, finished_s = u.finished_s, "
                    "seeding_s = u.seeding_s, completed_at = to_timestamp(nullif(u.completed, 0)), "
                    "last_seen_complete_at = to_timestamp(nullif(u.last_seen, 0)), "
                    "stop_pending = u.stop_pending "
                    "FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) "
                    "AS u (info_hash, checked, bitfield, partials, total_down, total_up, wasted, "
                    "active_s, finished_s, seeding_s, completed, last_seen, stop_pending) "
                    "WHERE t.info_hash = u.info_hash",
                    &args);
}

/* ---- sessions ------------------------------------------------------------------------------ */

static void on_session_added(struct pg_cmd *cmd, int status, const PGresult *res,
                             const struct err *e)
{
    struct torrent_cmd *c = container_of(cmd, struct torrent_cmd, cmd);
    uint32_t id = status < 0 ? 0 : (uint32_t)pg_cell_int8(res, 0, 0);
    c->session_added(c->ctx, status, id, e);
    free(c);
}

int store_session_add(struct store *s, const struct store_session *session, store_session_done done,
                      void *ctx)
{
    struct pg_bind args;
    struct torrent_cmd *c = cmd_new(on_session_added, ctx);
    c->session_added = done;
    pg_bind_init(&args);
    pg_bind_int8(&args, session->port_first);
    pg_bind_int8(&args, session->port_last);
    pg_bind_text_bytes(&args, session->options.n > 0 ? session->options : SPAN("{}"));
    return cmd_send(s, c,
                    "INSERT INTO sessions (port_first, port_last, options) "
                    "VALUES ($1, $2, $3::json) RETURNING id",
                    &args);
}

int store_session_remove(struct store *s, uint32_t id, store_changed done, void *ctx)
{
    struct pg_bind args;
    if (id == 0) {
        return ERR_INVALID;
    }
    struct torrent_cmd *c = cmd_new(on_changed, ctx);
    c->changed = done;
    pg_bind_init(&args);
    pg_bind_int8(&args, id);
    return cmd_send(s, c, "DELETE FROM sessions WHERE id = $1", &args);
}
