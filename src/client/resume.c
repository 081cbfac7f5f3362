/* What of a torrent is stored, and when.
 *
 *   clean --touch--> due (SAVE_INTERVAL_MS later, or at once) --no new piece--> SAVE --> clean
 *                     |  ^                                                       |  |
 *          new pieces |  +------------- SAVE_RETRY_MS, when either fails --------+  +--> due, when
 *                     v  |                                                         touched meanwhile
 *                    SYNC ----------------- then ------------------------------> SAVE
 *
 * Commandments
 *   1. The database never says "have" of a piece that is not on stable storage: the bitfield is
 *      copied when the sync begins (or when none is needed), and that copy is stored once the sync is
 *      done, however long the database takes. What is finished meanwhile is for the next time.
 *      Behind a sync that failed the kernel may have dropped what was written, and the next one says
 *      nothing of it: from then on the database has it as not checked.
 *   2. One sync or save of a torrent is under way at a time. What changes meanwhile makes it due
 *      again SAVE_INTERVAL_MS after the change, so that a crash costs less than ten seconds.
 *   3. Totals are counted with every read and write; touching is a few comparisons.
 *   4. A torrent that stops is stored once its blocks are written, or after WRITES_MS if that takes
 *      too long. One that is being removed is not stored.
 *
 * A torrent is in engine.dirty exactly while it is not clean.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/engine_impl.h"

#include "base/banned.h"

enum { WRITES_MS = 2000 };

bool resume_is_clean(const struct torrent *t)
{
    return !list_is_linked(&t->save_node);
}

static bool is_under_way(const struct torrent *t)
{
    return t->syncing || t->saving_version != 0;
}

/* ---- when ---- */

static void plan(struct torrent *t, uint64_t at_ms)
{
    if (t->save_ms == 0 || at_ms < t->save_ms) {
        t->save_ms = at_ms > 0 ? at_ms : 1;
        torrent_rearm(t);
    }
}

void resume_touch(struct torrent *t, bool pieces, bool urgent)
{
    struct engine *e = t->e;
    t->version++;
    t->new_pieces = t->new_pieces || pieces;
    if (t->removing) {
        return;
    }
    if (!list_is_linked(&t->save_node)) {
        list_add_tail(&e->dirty, &t->save_node);
    }
    bool now = urgent || list_is_linked(&t->ending_node);
    plan(t, now ? e->now_ms : e->now_ms + SAVE_INTERVAL_MS);
}

static bool waits_for_writes(const struct torrent *t)
{
    return !torrent_is_running(t) && t->n_jobs > 0 && t->e->now_ms < t->save_ms + WRITES_MS;
}

uint64_t resume_deadline_ms(const struct torrent *t)
{
    if (t->save_ms == 0 || is_under_way(t) || t->removing) {
        return UINT64_MAX;
    }
    bool due = t->e->now_ms >= t->save_ms;
    return due && waits_for_writes(t) ? t->save_ms + WRITES_MS : t->save_ms;
}

/* ---- sync and save ---- */

static void give_out(struct torrent *t)
{
    t->saving_version = t->synced_version;
    engine_put(t->e, &(struct engine_out){
                         .kind = ENGINE_OUT_SAVE,
                         .torrent = t->id,
                         .version = t->saving_version,
                     });
}

static size_t bits_len(const struct torrent *t)
{
    return ((size_t)t->layout->geometry.n_pieces + 7) / 8;
}

static void drop_bits(struct torrent *t)
{
    free(t->synced_bits);
    t->synced_bits = NULL;
}

void resume_on_deadline(struct torrent *t)
{
    if (t->e->now_ms < resume_deadline_ms(t)) {
        return;
    }
    t->save_ms = 0;
    t->synced_version = t->version;
    if (t->pieces != NULL) {
        t->synced_bits = mem_zeroed(bits_len(t));
        pieces_bitfield(t->pieces, t->synced_bits);
    }
    if (!t->new_pieces || t->pieces == NULL) {
        give_out(t);
        return;
    }
    t->new_pieces = false;
    t->syncing = true;
    engine_job_submit(t->e, engine_job_new(t->e, t, DISK_SYNC));
}

void resume_on_synced(struct torrent *t, struct disk_job *job)
{
    t->syncing = false;
    if (t->removing) {
        drop_bits(t);
    } else if (job->status < 0) {
        drop_bits(t);
        bool was_there = job->status != ERR_NOT_FOUND && job->status != ERR_UNAVAILABLE;
        t->kept.checked = t->kept.checked && !was_there;
        t->new_pieces = true;
        plan(t, t->e->now_ms + SAVE_RETRY_MS);
    } else {
        give_out(t);
    }
}

void resume_on_saved(struct torrent *t, uint64_t version, int status)
{
    if (version != t->saving_version) {
        return;
    }
    t->saving_version = 0;
    drop_bits(t);
    if (status >= 0) {
        t->saved_version = version;
    } else {
        t->save_ms = 0; /* not sooner: what failed now would fail again */
        plan(t, t->e->now_ms + SAVE_RETRY_MS);
    }
    if (t->saved_version == t->version && list_is_linked(&t->save_node)) {
        list_remove(&t->save_node);
    }
    torrent_rearm(t);
}

void engine_on_saved(struct engine *e, torrent_id id, uint64_t version, int status, uint64_t now_ms)
{
    engine_begin(e, now_ms);
    struct torrent *t = engine_torrent(e, id);
    if (t != NULL && version != 0) {
        resume_on_saved(t, version, status);
        engine_check_end(t);
    }
    engine_end(e);
}

/* ---- what ---- */

struct collect {
    struct torrent_saved *out;
    size_t bitmaps_len;
};

static void count_partial(void *ctx, uint32_t piece, struct span written)
{
    struct collect *c = ctx;
    (void)piece;
    c->out->resume.n_partials++;
    c->bitmaps_len += written.n;
}

static void copy_partial(void *ctx, uint32_t piece, struct span written)
{
    struct collect *c = ctx;
    uint8_t *to = c->out->bitmaps + c->bitmaps_len;
    memcpy(to, written.p, written.n);
    c->bitmaps_len += written.n;
    c->out->partials[c->out->resume.n_partials++] =
        (struct torrent_partial){.piece = piece, .written = span_of(to, written.n)};
}

static void take_partials(const struct torrent *t, struct torrent_saved *out)
{
    struct collect c = {.out = out};
    pieces_each_partial(t->pieces, count_partial, &c);
    if (out->resume.n_partials == 0) {
        return;
    }
    out->partials = mem_array(out->resume.n_partials, sizeof *out->partials);
    out->bitmaps = mem_zeroed(c.bitmaps_len + 1);
    out->resume.n_partials = 0;
    c.bitmaps_len = 0;
    pieces_each_partial(t->pieces, copy_partial, &c);
    out->resume.partials = out->partials;
}

static void take_bitfield(const struct torrent *t, struct torrent_saved *out)
{
    size_t n = bits_len(t);
    out->bitfield = mem_zeroed(n);
    if (t->synced_bits != NULL) {
        memcpy(out->bitfield, t->synced_bits, n);
    } else {
        pieces_bitfield(t->pieces, out->bitfield);
    }
    for (size_t i = 0; i < n; i++) {
        if (out->bitfield[i] != 0) {
            out->resume.bitfield = span_of(out->bitfield, n);
            return;
        }
    }
}

int engine_resume_of(const struct engine *e, torrent_id id, struct torrent_saved *out,
                     uint64_t now_ms)
{
    struct torrent *t = engine_torrent(e, id);
    if (t == NULL) {
        return ERR_NOT_FOUND;
    }
    engine_begin(t->e, now_ms);
    torrent_count_time(t);
    *out = (struct torrent_saved){
        .resume = t->kept,
        .flags = t->flags,
        .version = t->saving_version != 0 ? t->saving_version : t->version,
    };
    /* A paused torrent that could not say stopped owes it; one that runs will say started anyway. */
    out->resume.stop_pending = (t->flags & TORRENT_PAUSED) != 0 &&
                               (t->kept.stop_pending || !announcer_is_done(t->announcer));
    if (t->pieces != NULL) {
        take_bitfield(t, out);
        take_partials(t, out);
    }
    return 0;
}

void torrent_saved_free(struct torrent_saved *s)
{
    free(s->bitfield);
    free(s->bitmaps);
    free(s->partials);
    *s = (struct torrent_saved){.version = 0};
}
