/* The whitelist: statements that change it. Each is told to the watch before its caller, so that
 * memory follows the order of the commits. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/store_impl.h"

#include "base/banned.h"

struct whitelist_cmd {
    struct pg_cmd cmd;
    struct store *s;
    store_changed done;
    void *ctx;
    bool removes;
    size_t n;
    struct infohash hashes[];
};

static void on_changed(struct pg_cmd *cmd, int status, const PGresult *res, const struct err *e)
{
    struct whitelist_cmd *w = container_of(cmd, struct whitelist_cmd, cmd);
    size_t n_changed = 0;
    if (status == 0) {
        n_changed = (size_t)strtoull(PQcmdTuples((PGresult *)res), NULL, 10);
        store_tell_whitelist(w->s, w->hashes, w->removes ? 0 : w->n, w->hashes,
                             w->removes ? w->n : 0);
    }
    w->done(w->ctx, status, n_changed, e);
    free(w);
}

static int whitelist_send(struct store *s, const struct infohash *hashes, size_t n, bool removes,
                          store_changed done, void *ctx)
{
    struct pg_bind args;
    if (n > STORE_BULK_MAX) {
        return ERR_LIMIT;
    }
    struct whitelist_cmd *w = mem_zeroed(sizeof *w + n * sizeof *hashes);
    w->cmd.done = on_changed;
    w->s = s;
    w->done = done;
    w->ctx = ctx;
    w->removes = removes;
    w->n = n;
    pg_bind_init(&args);
    pg_bind_array(&args, PG_BYTEA_ARRAY, PG_BYTEA, n);
    for (size_t i = 0; i < n; i++) {
        w->hashes[i] = hashes[i];
        pg_bind_item(&args, span_of(hashes[i].b, sizeof hashes[i].b));
    }
    /* In order, so that two bulk changes at once do not wait for each other's rows. */
    int status = store_send(s, &w->cmd,
                            removes ? "DELETE FROM whitelist WHERE info_hash = ANY ($1)"
                                    : "INSERT INTO whitelist (info_hash) "
                                      "SELECT h FROM unnest($1) AS h ORDER BY h "
                                      "ON CONFLICT (info_hash) DO NOTHING",
                            &args);
    if (status < 0) {
        free(w);
    }
    return status;
}

int store_whitelist_add(struct store *s, const struct infohash *hashes, size_t n,
                        store_changed done, void *ctx)
{
    return whitelist_send(s, hashes, n, false, done, ctx);
}

int store_whitelist_remove(struct store *s, const struct infohash *hash, store_changed done,
                           void *ctx)
{
    return whitelist_send(s, hash, 1, true, done, ctx);
}
