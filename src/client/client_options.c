/* What is asked of a torrent: flags, limits, priorities, pause.
 *
 * 1. Stored -> the engine -> answered. Failures before the commit change nothing.
 * 2. A call names what it means, and nothing else is changed by it: two calls at the same time do not
 *    undo each other, and of those that name the same the last one wins.
 * 3. One change of a torrent is with the database at a time; those that come meanwhile wait behind
 *    it (change.waiting), and each begins with what the engine has by then: what it comes to is
 *    not known before (flags_after).
 * 4. A torrent that goes away meanwhile: ERR_NOT_FOUND for all of them, when the first one is back.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/client_impl.h"
#include "client/picker.h"

#include "base/banned.h"

/* Those that the engine changes while a torrent runs. */
static const unsigned changeable = TORRENT_PAUSED | TORRENT_SEQUENTIAL | TORRENT_FIRST_LAST |
                                   TORRENT_SUPER_SEEDING | TORRENT_UPLOAD_ONLY | TORRENT_NO_PEX |
                                   TORRENT_AUTO_MANAGED | TORRENT_SHARE_MODE;

struct change {
    struct client *c;
    torrent_id id;
    struct list node;    /* in waiting of the one before */
    struct list waiting; /* behind this one, while it is stored */
    unsigned set, clear; /* bits of enum torrent_flag; once it begins, those that differ */
    bool wake;           /* even if it is not paused: a fault ends by it */
    bool has_down, has_up, has_peers, has_priorities;
    uint64_t max_down_bps, max_up_bps;
    uint32_t max_peers;
    uint8_t *priorities; /* n_priorities; none: all normal */
    size_t n_priorities;
    client_done done;
    void *ctx;
};

static void change_free(struct change *ch)
{
    ASSERT(list_is_empty(&ch->waiting));
    free(ch->priorities);
    free(ch);
}

static void change_finish(struct change *ch, int status)
{
    struct client *c = ch->c;
    ch->done(ch->ctx, status);
    change_free(ch);
    c->n_calls--;
}

/* ---- carrying out -------------------------------------------------------------------------- */

static void on_stored(void *ctx, int status, size_t n, const struct err *e);

static void current(const struct record *r, struct client_options *out)
{
    const struct engine *e = r->c->engine;
    struct torrent_status now = {.flags = 0};
    ASSERT(engine_status(e, r->id, &now, client_now_ms(r->c)) == 0);
    *out = (struct client_options){
        .flags = now.flags,
        .max_down_bps = now.max_down_bps,
        .max_up_bps = now.max_up_bps,
        .max_peers = now.max_peers,
        .priorities = engine_priorities(e, r->id),
    };
}

static unsigned flags_after(unsigned now, unsigned set, unsigned clear)
{
    unsigned after = (now & ~clear) | set;
    if ((after & TORRENT_SHARE_MODE) != 0) {
        return after | TORRENT_UPLOAD_ONLY;
    }
    bool share_ends = (now & TORRENT_SHARE_MODE) != 0;
    return share_ends ? after & ~(TORRENT_UPLOAD_ONLY & ~set) : after;
}

/* ch takes part of the database's time now. */
static int store_change(struct record *r, struct change *ch)
{
    struct client_options now;
    current(r, &now);
    const unsigned flags = flags_after(now.flags, ch->set, ch->clear);
    ch->set = flags & ~now.flags;
    ch->clear = now.flags & ~flags;
    const struct store_torrent row = {
        .info_hash = r->info_hash,
        .flags = flags,
        .max_down_bps = ch->has_down ? ch->max_down_bps : now.max_down_bps,
        .max_up_bps = ch->has_up ? ch->max_up_bps : now.max_up_bps,
        .max_peers = ch->has_peers ? ch->max_peers : now.max_peers,
        .priorities =
            ch->has_priorities ? span_of(ch->priorities, ch->n_priorities) : now.priorities,
        /* Until a save behind the pause knows better. */
        .stop_pending = (flags & ~now.flags & TORRENT_PAUSED) != 0,
    };
    int status = store_torrent_set_options(r->c->opts.store, &row, on_stored, ch);
    r->changing = status < 0 ? NULL : ch;
    return status;
}

static void apply_priorities(struct client *c, const struct change *ch)
{
    const struct layout *l = engine_layout(c->engine, ch->id);
    const size_t n_files = l == NULL ? 0 : l->n_files;
    uint8_t *all = mem_array(n_files == 0 ? 1 : n_files, 1);
    memset(all, PICKER_NORMAL, n_files);
    if (ch->n_priorities == n_files && n_files > 0) {
        memcpy(all, ch->priorities, n_files);
    }
    ASSERT(engine_set_priorities(c->engine, ch->id, span_of(all, n_files), client_now_ms(c)) == 0);
    free(all);
}

static void apply(const struct record *r, const struct change *ch)
{
    struct client *c = r->c;
    uint64_t now_ms = client_now_ms(c);
    if (ch->has_down || ch->has_up || ch->has_peers) {
        struct client_options now;
        current(r, &now);
        engine_set_limits(c->engine, r->id, ch->has_down ? ch->max_down_bps : now.max_down_bps,
                          ch->has_up ? ch->max_up_bps : now.max_up_bps,
                          ch->has_peers ? ch->max_peers : now.max_peers, now_ms);
    }
    if (ch->has_priorities) {
        apply_priorities(c, ch);
    }
    if (((ch->set | ch->clear) & ~(unsigned)TORRENT_PAUSED) != 0) {
        engine_set_flags(c->engine, r->id, ch->set, ch->clear, now_ms);
    }
    if (ch->set & TORRENT_PAUSED) {
        engine_pause(c->engine, r->id, now_ms);
    } else if (ch->wake || (ch->clear & TORRENT_PAUSED) != 0) {
        engine_resume(c->engine, r->id, now_ms);
    }
}

static void move_all(struct list *to, struct list *from)
{
    LIST_FOREACH_SAFE (node, from) {
        list_remove(node);
        list_add_tail(to, node);
    }
}

/* The next of those that waited; each that cannot even begin is answered and makes room. */
static void begin_next(struct record *r, struct client *c, struct list *waiting)
{
    while (!list_is_empty(waiting)) {
        struct change *next = container_of(list_first(waiting), struct change, node);
        list_remove(&next->node);
        int status = r == NULL ? ERR_NOT_FOUND : c->stopped ? ERR_CANCELED : store_change(r, next);
        if (status < 0) {
            change_finish(next, status);
            continue;
        }
        move_all(&next->waiting, waiting);
    }
}

static void on_stored(void *ctx, int status, size_t n, const struct err *e)
{
    struct change *ch = ctx;
    struct client *c = ch->c;
    struct record *r = record_of_id(c, ch->id);
    struct list waiting;
    (void)n; /* one that is gone from the database goes on all the same, until it is removed */
    (void)e;
    list_init(&waiting);
    move_all(&waiting, &ch->waiting);
    if (r != NULL) {
        r->changing = NULL;
        r = r->state == RECORD_LIVE ? r : NULL;
    }
    if (r != NULL && status == 0) {
        apply(r, ch);
    }
    /* Before the answer, which may ask for more: that waits behind those that were here first. */
    begin_next(r, c, &waiting);
    change_finish(ch, status == 0 && r == NULL ? ERR_NOT_FOUND : status);
    client_drain(c);
}

static int submit(struct record *r, struct change *ch)
{
    struct client *c = r->c;
    if (r->changing != NULL) {
        list_add_tail(&r->changing->waiting, &ch->node);
    } else {
        int status = store_change(r, ch);
        if (status < 0) {
            change_free(ch);
            return status;
        }
    }
    c->n_calls++;
    return 0;
}

static struct change *change_new(const struct record *r, client_done done, void *ctx)
{
    struct change *ch = mem_new(struct change);
    ch->c = r->c;
    ch->id = r->id;
    ch->done = done;
    ch->ctx = ctx;
    list_init(&ch->waiting);
    return ch;
}

/* ---- asking -------------------------------------------------------------------------------- */

int client_options_of(const struct client *c, const struct infohash *hash,
                      struct client_options *out)
{
    const struct record *r = record_live(c, hash);
    if (r == NULL) {
        return client_not_here(c);
    }
    current(r, out);
    return 0;
}

/* All normal is empty, as the engine has it. ERR_INVALID for what does not fit the files. */
static int check_priorities(const struct record *r, struct span *priorities)
{
    const struct layout *l = engine_layout(r->c->engine, r->id);
    bool all_normal = true;
    if (priorities->n == 0) {
        return 0;
    }
    if (l == NULL || priorities->n != l->n_files) {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < priorities->n; i++) {
        if (priorities->p[i] > PICKER_FIRST) {
            return ERR_INVALID;
        }
        all_normal = all_normal && priorities->p[i] == PICKER_NORMAL;
    }
    if (all_normal) {
        *priorities = span_of(NULL, 0);
    }
    return 0;
}

static void take_change(struct change *ch, const struct client_change *o, struct span priorities)
{
    ch->set = o->set & changeable;
    ch->clear = o->clear & changeable;
    ch->has_down = o->max_down_bps != NULL;
    ch->has_up = o->max_up_bps != NULL;
    ch->has_peers = o->max_peers != NULL;
    ch->has_priorities = o->priorities != NULL;
    ch->clear |= ch->has_priorities ? TORRENT_REST_SKIPPED : 0;
    ch->max_down_bps = ch->has_down ? *o->max_down_bps : 0;
    ch->max_up_bps = ch->has_up ? *o->max_up_bps : 0;
    ch->max_peers = ch->has_peers ? *o->max_peers : 0;
    if (priorities.n > 0) {
        ch->n_priorities = priorities.n;
        ch->priorities = mem_array(ch->n_priorities, 1);
        memcpy(ch->priorities, priorities.p, ch->n_priorities);
    }
}

int client_set_options(struct client *c, const struct infohash *hash,
                       const struct client_change *change, client_done done, void *ctx)
{
    struct record *r = record_live(c, hash);
    struct span priorities = change->priorities == NULL ? span_of(NULL, 0) : *change->priorities;
    if (r == NULL) {
        return client_not_here(c);
    }
    int status = check_priorities(r, &priorities);
    if (status < 0) {
        return status;
    }
    struct change *ch = change_new(r, done, ctx);
    take_change(ch, change, priorities);
    return submit(r, ch);
}

int client_set_paused(struct client *c, const struct infohash *hash, bool paused, client_done done,
                      void *ctx)
{
    struct record *r = record_live(c, hash);
    if (r == NULL) {
        return client_not_here(c);
    }
    struct change *ch = change_new(r, done, ctx);
    *(paused ? &ch->set : &ch->clear) = TORRENT_PAUSED;
    ch->wake = !paused;
    return submit(r, ch);
}
