/* Counts of completed downloads: added to what is stored, so that several servers can share them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/store_impl.h"

#include "base/banned.h"

struct completed_cmd {
    struct pg_cmd cmd;
    store_completed_done done;
    void *ctx;
};

bool store_completed_from_cells(struct store_completed *out, struct span hash, struct span count)
{
    int64_t n = pg_int8(count);
    if (hash.n != sizeof out->info_hash.b || n < 0 || n > UINT32_MAX) {
        return false;
    }
    memcpy(out->info_hash.b, hash.p, hash.n);
    out->n = (uint32_t)n;
    return true;
}

static void on_added(struct pg_cmd *cmd, int status, const PGresult *res, const struct err *e)
{
    struct completed_cmd *c = container_of(cmd, struct completed_cmd, cmd);
    if (status < 0) {
        c->done(c->ctx, status, NULL, 0, e);
        free(c);
        return;
    }
    int n_rows = PQntuples(res);
    size_t n = 0;
    struct store_completed *totals = mem_array((size_t)n_rows + 1, sizeof *totals);
    for (int row = 0; row < n_rows; row++) {
        if (store_completed_from_cells(&totals[n], pg_cell(res, row, 0), pg_cell(res, row, 1))) {
            n++;
        }
    }
    c->done(c->ctx, 0, totals, n, NULL);
    free(totals);
    free(c);
}

int store_completed_add(struct store *s, const struct store_completed *counts, size_t n,
                        uint64_t batch, store_completed_done done, void *ctx)
{
    struct pg_bind args;
    if (n > STORE_BULK_MAX) {
        return ERR_LIMIT;
    }
    struct completed_cmd *c = mem_new(struct completed_cmd);
    c->cmd.done = on_added;
    c->done = done;
    c->ctx = ctx;
    pg_bind_init(&args);
    pg_bind_array(&args, PG_BYTEA_ARRAY, PG_BYTEA, n);
    for (size_t i = 0; i < n; i++) {
        pg_bind_item(&args, span_of(counts[i].info_hash.b, sizeof counts[i].info_hash.b));
    }
    pg_bind_array(&args, PG_INT8_ARRAY, PG_INT8, n);
    for (size_t i = 0; i < n; i++) {
        pg_bind_item_int8(&args, counts[i].n);
    }
    pg_bind_text(&args, s->name);
    pg_bind_int8(&args, (int64_t)batch);
    /* Rows in order, so that two servers that flush at once do not deadlock. What other servers
     * left is kept for longer than any of them could still be asking about it. */
    int status = store_send(s, &c->cmd,
                            "WITH old AS (DELETE FROM completed_batches "
                            "WHERE server <> $3 AND sent_at < now() - interval '7 days'), "
                            "fresh AS (INSERT INTO completed_batches AS b (server, batch) "
                            "VALUES ($3, $4) ON CONFLICT (server) DO UPDATE "
                            "SET batch = excluded.batch, sent_at = now() "
                            "WHERE b.batch < excluded.batch RETURNING 1) "
                            "INSERT INTO completed_counts AS c (info_hash, completed) "
                            "SELECT hash, least(sum(n), 4294967295) "
                            "FROM unnest($1, $2) AS x (hash, n) "
                            "WHERE EXISTS (SELECT FROM fresh) GROUP BY hash ORDER BY hash "
                            "ON CONFLICT (info_hash) DO UPDATE "
                            "SET completed = least(c.completed + excluded.completed, 4294967295) "
                            "RETURNING info_hash, completed",
                            &args);
    if (status < 0) {
        free(c);
    }
    return status;
}
