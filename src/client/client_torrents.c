/* Torrents as the rest of the program handles them, but for adding (client_add.c) and options
 * (client_options.c).
 *
 * Remove   out of the database -> out of the engine (stopped is announced, files are closed or gone)
 *          -> answered.
 * Failures before the commit nothing has changed.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/client_impl.h"
#include "client/picker.h"

#include "base/banned.h"

struct remove_op {
    struct client *c;
    struct infohash hash;
    bool with_data;
    client_done done;
    void *ctx;
};

/* ---- records ---------------------------------------------------------------------------------- */

struct record *record_new(struct session_net *s, const struct infohash *hash)
{
    struct client *c = s->c;
    struct record *r = mem_new(struct record);
    r->c = c;
    r->session = s;
    s->n_records++;
    r->info_hash = *hash;
    list_init(&r->waiting);
    map_insert(&c->records, &r->by_hash, span_of(r->info_hash.b, sizeof r->info_hash.b));
    return r;
}

void record_free(struct record *r)
{
    ASSERT(list_is_empty(&r->waiting));
    if (r->has_storage) {
        disk_remove_storage(r->c->disk, r->id);
    }
    if (map_is_linked(&r->by_id)) {
        map_remove(&r->c->records_by_id, &r->by_id);
    }
    if (list_is_linked(&r->in_session)) {
        list_remove(&r->in_session);
    }
    struct session_net *s = r->session;
    map_remove(&r->c->records, &r->by_hash);
    free(r->save_path);
    free(r->texts);
    free(r);
    session_on_record_gone(s);
}

struct record *record_of_id(const struct client *c, torrent_id id)
{
    struct map_node *node = map_find(&c->records_by_id, span_of(&id, sizeof id));
    return node == NULL ? NULL : container_of(node, struct record, by_id);
}

struct record *record_of_hash(const struct client *c, const struct infohash *hash)
{
    struct map_node *node = map_find(&c->records, span_of(hash->b, sizeof hash->b));
    return node == NULL ? NULL : container_of(node, struct record, by_hash);
}

struct record *record_live(const struct client *c, const struct infohash *hash)
{
    struct record *r = record_of_hash(c, hash);
    return r != NULL && r->state == RECORD_LIVE ? r : NULL;
}

int client_not_here(const struct client *c)
{
    return c->loading ? ERR_UNAVAILABLE : ERR_NOT_FOUND;
}

void record_set_facts(struct record *r, const struct store_torrent *t)
{
    r->save_path = mem_strndup((const char *)t->save_path.p, t->save_path.n);
    r->creation_unix_s = t->creation_unix_s;
    r->allocate = t->allocate;
    if (t->comment.n + t->created_by.n > 0) {
        r->texts = mem_zeroed(t->comment.n + t->created_by.n);
        r->comment_len = (uint32_t)t->comment.n;
        r->created_by_len = (uint32_t)t->created_by.n;
        struct wr w = wr_over(r->texts, t->comment.n + t->created_by.n);
        wr_bytes(&w, t->comment);
        wr_bytes(&w, t->created_by);
    }
}

static void record_add_storage(struct record *r)
{
    const struct engine *e = r->c->engine;
    const struct layout *l = engine_layout(e, r->id);
    uint8_t *wanted = mem_zeroed(l->n_files);
    for (uint32_t i = 0; i < l->n_files; i++) {
        wanted[i] = engine_file_priority(e, r->id, i) != PICKER_SKIP;
    }
    const struct disk_storage_opts opts = {
        .save_path = r->save_path,
        .layout = l,
        .info_hash = &r->info_hash,
        .wanted = wanted,
        .allocate = r->allocate,
    };
    disk_add_storage(r->c->disk, r->id, &opts);
    r->has_storage = true;
    free(wanted);
}

int record_start(struct record *r, const struct torrent_add *add, const char **why)
{
    struct client *c = r->c;
    int status = engine_add_torrent(c->engine, add, &r->id, client_now_ms(c), why);
    if (status < 0) {
        return status;
    }
    r->state = RECORD_LIVE;
    map_insert(&c->records_by_id, &r->by_id, span_of(&r->id, sizeof r->id));
    list_add_tail(&r->session->torrents, &r->in_session);
    if (engine_layout(c->engine, r->id) != NULL) {
        record_add_storage(r);
    }
    return 0;
}

void record_on_metadata(struct record *r)
{
    record_add_storage(r);
    client_save_info(r);
}

/* ---- removing ----------------------------------------------------------------------------------- */

static void remove_finish(struct remove_op *op, int status)
{
    struct client *c = op->c;
    op->done(op->ctx, status);
    free(op);
    c->n_calls--;
    client_check_closed(c);
}

void record_on_removed(struct record *r, const struct engine_out *out)
{
    struct client *c = r->c;
    struct remove_op *op = r->removing;
    struct list waiting;
    if (out->status < 0) {
        log_warn(LOG_CLIENT, "not all files could be removed", KV_HASH("info_hash", &r->info_hash),
                 KV_STR("why", out->err.msg));
    }
    record_take_waiting(r, &waiting);
    record_free(r);
    if (op != NULL) {
        remove_finish(op, out->status);
    }
    client_add_waiting(c, &waiting);
}

void records_give_up_removing(struct client *c)
{
    for (struct map_node *node = map_first(&c->records); node != NULL;
         node = map_next(&c->records, node)) {
        struct record *r = container_of(node, struct record, by_hash);
        struct remove_op *op = r->removing;
        struct list waiting;
        if (r->state == RECORD_REMOVING) {
            record_take_waiting(r, &waiting);
            client_add_waiting(c, &waiting);
        }
        r->removing = NULL;
        if (op != NULL) {
            op->done(op->ctx, 0);
            free(op);
            c->n_calls--;
        }
    }
}

static void on_remove_stored(void *ctx, int status, size_t n, const struct err *e)
{
    struct remove_op *op = ctx;
    struct client *c = op->c;
    struct record *r = record_live(c, &op->hash);
    (void)n; /* one that was gone from the database goes from the engine all the same */
    (void)e;
    if (status < 0 || r == NULL || c->stopped) {
        remove_finish(op, status == 0 && r == NULL ? ERR_NOT_FOUND : status);
        return;
    }
    r->state = RECORD_REMOVING;
    r->removing = op;
    engine_remove_torrent(c->engine, r->id, op->with_data, client_now_ms(c));
    client_drain(c);
}

/* The database never had it. */
static void on_remove_unstored(void *ctx)
{
    on_remove_stored(ctx, 0, 0, NULL);
}

int client_remove(struct client *c, const struct infohash *hash, bool with_data, client_done done,
                  void *ctx)
{
    const struct record *r = record_live(c, hash);
    if (r == NULL) {
        return client_not_here(c);
    }
    struct remove_op *op = mem_new(struct remove_op);
    *op = (struct remove_op){c, *hash, with_data, done, ctx};
    if (r->memory_only) {
        c->n_calls++;
        client_later(c, on_remove_unstored, op);
        return 0;
    }
    int status = store_torrent_remove(c->opts.store, hash, on_remove_stored, op);
    if (status < 0) {
        free(op);
        return status;
    }
    c->n_calls++;
    return 0;
}

/* ---- views ------------------------------------------------------------------------------------------ */

int client_facts(const struct client *c, const struct infohash *hash, struct client_facts *out)
{
    const struct record *r = record_live(c, hash);
    if (r == NULL) {
        return client_not_here(c);
    }
    *out = (struct client_facts){
        .save_path = r->save_path,
        .comment = span_of(r->texts, r->comment_len),
        .created_by =
            span_of(r->texts == NULL ? NULL : r->texts + r->comment_len, r->created_by_len),
        .creation_unix_s = r->creation_unix_s,
        .allocate = r->allocate,
        .memory_only = r->memory_only,
    };
    return 0;
}

int client_status(const struct client *c, const struct infohash *hash, struct torrent_status *out)
{
    const struct record *r = record_live(c, hash);
    return r == NULL ? client_not_here(c) : engine_status(c->engine, r->id, out, client_now_ms(c));
}
