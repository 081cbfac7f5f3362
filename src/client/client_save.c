/* State that changes as torrents run, to the database in batches: one statement is under way at a
 * time, what comes meanwhile waits for the next. A statement that fails is told to the engine, which
 * gives the torrents out again. Info dictionaries of magnets are stored once, and tried until then.
 */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "client/client_impl.h"
#include "client/partials.h"

#include "base/banned.h"

struct batch {
    struct client *c;
    size_t n;
    torrent_id ids[SAVE_BATCH];
    uint64_t versions[SAVE_BATCH];
};

void client_want_save(struct client *c, torrent_id id, uint64_t version)
{
    if (c->n_unsaved == c->unsaved_cap) {
        c->unsaved_cap = c->unsaved_cap == 0 ? SAVE_BATCH : 2 * c->unsaved_cap;
        c->unsaved = mem_resize(c->unsaved, c->unsaved_cap, sizeof *c->unsaved);
        c->unsaved_versions =
            mem_resize(c->unsaved_versions, c->unsaved_cap, sizeof *c->unsaved_versions);
    }
    c->unsaved[c->n_unsaved] = id;
    c->unsaved_versions[c->n_unsaved++] = version;
}

static void fill_row(struct store_torrent *row, const struct infohash *hash,
                     const struct torrent_resume *r, struct buf *partials)
{
    partials_encode(partials, r->partials, r->n_partials);
    *row = (struct store_torrent){
        .info_hash = *hash,
        .checked = r->checked,
        .bitfield = r->bitfield,
        .partials = buf_span(partials),
        .total_down = r->total_down,
        .total_up = r->total_up,
        .wasted = r->wasted,
        .active_s = r->active_s,
        .finished_s = r->finished_s,
        .seeding_s = r->seeding_s,
        .completed_unix_s = r->completed_unix_s,
        .last_seen_complete_unix_s = r->last_seen_complete_unix_s,
        .stop_pending = r->stop_pending,
    };
}

static void on_saved(void *ctx, int status, const struct err *e)
{
    struct batch *b = ctx;
    struct client *c = b->c;
    if (status < 0) {
        log_warn(LOG_CLIENT, "torrents are not saved, will try again", KV_STR("why", e->msg));
    }
    for (size_t i = 0; i < b->n; i++) {
        engine_on_saved(c->engine, b->ids[i], b->versions[i], status, client_now_ms(c));
    }
    free(b);
    c->saving = false;
    c->n_calls--;
    client_drain(c);
}

/* What one statement needs besides the batch. */
struct rows {
    struct store_torrent at[SAVE_BATCH];
    struct torrent_saved saved[SAVE_BATCH];
    struct buf partials[SAVE_BATCH];
};

static void take_rows(struct client *c, struct batch *b, struct rows *rows)
{
    size_t n_taken = c->n_unsaved < SAVE_BATCH ? c->n_unsaved : SAVE_BATCH;
    for (size_t i = 0; i < n_taken; i++) {
        const struct record *r = record_of_id(c, c->unsaved[i]);
        struct torrent_saved *saved = &rows->saved[b->n];
        if (r == NULL || engine_resume_of(c->engine, r->id, saved, client_now_ms(c)) < 0) {
            continue; /* gone meanwhile */
        }
        buf_init(&rows->partials[b->n], PARTIALS_LEN_MAX);
        fill_row(&rows->at[b->n], &r->info_hash, &saved->resume, &rows->partials[b->n]);
        b->ids[b->n] = c->unsaved[i];
        b->versions[b->n++] = c->unsaved_versions[i];
    }
    c->n_unsaved -= n_taken;
    for (size_t i = 0; i < c->n_unsaved; i++) {
        c->unsaved[i] = c->unsaved[n_taken + i];
        c->unsaved_versions[i] = c->unsaved_versions[n_taken + i];
    }
}

void client_save_next(struct client *c)
{
    if (c->saving || c->n_unsaved == 0 || c->stopped) {
        return;
    }
    struct batch *b = mem_new(struct batch);
    struct rows *rows = mem_new(struct rows);
    b->c = c;
    take_rows(c, b, rows);
    int status =
        b->n == 0 ? ERR_NOT_FOUND : store_torrents_save(c->opts.store, rows->at, b->n, on_saved, b);
    for (size_t i = 0; i < b->n; i++) {
        torrent_saved_free(&rows->saved[i]);
        buf_release(&rows->partials[i]);
    }
    free(rows);
    if (status == 0) {
        c->saving = true;
        c->n_calls++;
        return;
    }
    for (size_t i = 0; i < b->n; i++) {
        engine_on_saved(c->engine, b->ids[i], b->versions[i], status, client_now_ms(c));
    }
    free(b);
}

/* ---- info dictionaries ------------------------------------------------------------------------- */

struct info_call {
    struct client *c;
    struct infohash hash;
};

static void on_info_timer(uv_timer_t *timer)
{
    struct client *c = container_of(timer, struct client, info_timer);
    for (struct map_node *node = map_first(&c->records); node != NULL;
         node = map_next(&c->records, node)) {
        struct record *r = container_of(node, struct record, by_hash);
        if (r->info_unsaved && r->state == RECORD_LIVE) {
            client_save_info(r);
        }
    }
}

static void on_info_saved(void *ctx, int status, const struct err *e)
{
    struct info_call *call = ctx;
    struct client *c = call->c;
    struct record *r = record_of_hash(c, &call->hash);
    if (r != NULL && status == 0) {
        r->info_unsaved = false;
    } else if (r != NULL) {
        log_warn(LOG_CLIENT, "metadata is not saved, will try again",
                 KV_HASH("info_hash", &r->info_hash), KV_STR("why", e->msg));
        (void)uv_timer_start(&c->info_timer, on_info_timer, INFO_RETRY_MS, 0);
    }
    free(call);
    c->n_calls--;
    client_check_closed(c);
}

void client_save_info(struct record *r)
{
    struct client *c = r->c;
    struct info_call *call = mem_new(struct info_call);
    r->info_unsaved = true;
    call->c = c;
    call->hash = r->info_hash;
    int status = store_torrent_set_info(c->opts.store, &r->info_hash, engine_info(c->engine, r->id),
                                        on_info_saved, call);
    if (status < 0) {
        free(call);
        (void)uv_timer_start(&c->info_timer, on_info_timer, INFO_RETRY_MS, 0);
    } else {
        c->n_calls++;
    }
}
