/* Access keys: statements that change them. Additions and removals are told to the watch before
 * their caller; a last use is no change that others need to hear of. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/pg_bind.h"
#include "store/store_impl.h"

#include "base/banned.h"

bool store_key_from_cells(struct store_key *out, const struct span cells[STORE_KEY_N_COLUMNS])
{
    *out = (struct store_key){.permanent = cells[2].n == 0};
    out->expires_unix_ms = pg_int8(cells[2]);
    out->created_unix_s = pg_int8(cells[3]);
    out->last_used_unix_s = pg_int8(cells[4]);
    return pg_text(out->key, sizeof out->key, cells[0]) &&
           pg_text(out->label, sizeof out->label, cells[1]);
}

struct key_cmd {
    struct pg_cmd cmd;
    struct store *s;
    store_done added;
    store_changed removed;
    void *ctx;
    struct store_key key;
};

static void on_added(struct pg_cmd *cmd, int status, const PGresult *res, const struct err *e)
{
    struct key_cmd *k = container_of(cmd, struct key_cmd, cmd);
    (void)res;
    if (status == 0) {
        store_tell_keys(k->s, &k->key, 1, NULL, 0);
    }
    k->added(k->ctx, status, e);
    free(k);
}

static void on_removed(struct pg_cmd *cmd, int status, const PGresult *res, const struct err *e)
{
    struct key_cmd *k = container_of(cmd, struct key_cmd, cmd);
    size_t n = 0;
    if (status == 0) {
        n = (size_t)strtoull(PQcmdTuples((PGresult *)res), NULL, 10);
        store_tell_keys(k->s, NULL, 0, (const char(*)[33]) & k->key.key, 1);
    }
    k->removed(k->ctx, status, n, e);
    free(k);
}

int store_key_add(struct store *s, const struct store_key *key, store_done done, void *ctx)
{
    struct pg_bind args;
    struct key_cmd *k = mem_new(struct key_cmd);
    k->cmd.done = on_added;
    k->s = s;
    k->added = done;
    k->ctx = ctx;
    k->key = *key;
    pg_bind_init(&args);
    pg_bind_text(&args, key->key);
    pg_bind_text(&args, key->label);
    pg_bind_int8(&args, key->created_unix_s);
    if (key->permanent) {
        pg_bind_int8_null(&args);
    } else {
        pg_bind_int8(&args, key->expires_unix_ms);
    }
    int status = store_send(s, &k->cmd,
                            "INSERT INTO access_keys (key, label, created_at, expires_at) "
                            "VALUES ($1, $2, to_timestamp($3), to_timestamp($4 / 1000.0))",
                            &args);
    if (status < 0) {
        free(k);
    }
    return status;
}

int store_key_remove(struct store *s, const char *key, store_changed done, void *ctx)
{
    struct pg_bind args;
    struct key_cmd *k = mem_new(struct key_cmd);
    k->cmd.done = on_removed;
    k->s = s;
    k->removed = done;
    k->ctx = ctx;
    if (strlen(key) >= sizeof k->key.key) {
        free(k);
        return ERR_INVALID;
    }
    memcpy(k->key.key, key, strlen(key) + 1);
    pg_bind_init(&args);
    pg_bind_text(&args, key);
    int status = store_send(s, &k->cmd, "DELETE FROM access_keys WHERE key = $1", &args);
    if (status < 0) {
        free(k);
    }
    return status;
}

static void on_used(struct pg_cmd *cmd, int status, const PGresult *res, const struct err *e)
{
    struct key_cmd *k = container_of(cmd, struct key_cmd, cmd);
    (void)res;
    k->added(k->ctx, status, e);
    free(k);
}

int store_keys_used(struct store *s, const struct store_key *keys, size_t n, store_done done,
                    void *ctx)
{
    struct pg_bind args;
    if (n > STORE_BULK_MAX) {
        return ERR_LIMIT;
    }
    struct key_cmd *k = mem_new(struct key_cmd);
    k->cmd.done = on_used;
    k->s = s;
    k->added = done;
    k->ctx = ctx;
    pg_bind_init(&args);
    pg_bind_array(&args, PG_TEXT_ARRAY, PG_TEXT, n);
    for (size_t i = 0; i < n; i++) {
        pg_bind_item(&args, span_str(keys[i].key));
    }
    pg_bind_array(&args, PG_INT8_ARRAY, PG_INT8, n);
    for (size_t i = 0; i < n; i++) {
        pg_bind_item_int8(&args, keys[i].last_used_unix_s);
    }
    int status = store_send(s, &k->cmd,
                            "UPDATE access_keys k SET last_used_at = to_timestamp(u.at) "
                            "FROM (SELECT key, max(at) AS at FROM unnest($1, $2) AS x (key, at) "
                            "GROUP BY key) u "
                            "WHERE k.key = u.key "
                            "AND (k.last_used_at IS NULL OR k.last_used_at < to_timestamp(u.at))",
                            &args);
    if (status < 0) {
        free(k);
    }
    return status;
}
