/* What a torrent finds on the disk.
 *
 *   begin --DISK_CHECK--> believed, and the files are there ------------------> settle
 *                     |-> believed, but files are missing: FAULT_MISSING, looked at again
 *                     |-> seed mode and all files are there: everything is had -> settle
 *                     |-> nothing is there --------------------------------------> settle
 *                     +-> something is there, or a recheck: wait for the turn
 *                                                            |
 *                          CHECK_AHEAD DISK_HASH at a time <-+ --all came back--> settle
 *
 * One torrent hashes at a time (engine.n_checking). A torrent that is paused in the middle gives up
 * its turn and goes on later where it stopped; a recheck that somebody asked for runs while paused.
 *
 * Missing   a file that nothing was written to need not be there: they are made when first written.
 *           With no more missing than such files all is well.
 * Recheck   what was had is forgotten only once the look at the files has shown that the save path is
 *           there: a disk that is not mounted costs nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/torrent_impl.h"

#include "base/banned.h"

enum { CHECK_AHEAD = 4 };

/* A fault that the look itself may end does not keep from looking. */
static bool may_check(const struct torrent *t)
{
    if (t->stopping || t->removing || t->e->stopping || t->fault == FAULT_DISK) {
        return false;
    }
    return t->recheck || (t->flags & TORRENT_PAUSED) == 0;
}

static bool has_turn(const struct torrent *t)
{
    return t->state == TORRENT_CHECKING;
}

void torrent_check_begin(struct torrent *t)
{
    bool busy = t->check_job || (t->recheck && t->n_writes > 0);
    if (busy || !may_check(t)) {
        return;
    }
    t->check_job = true;
    engine_job_submit(t->e, engine_job_new(t->e, t, DISK_CHECK));
}

void torrent_check_go_on(struct torrent *t)
{
    if (!t->must_hash) {
        torrent_check_begin(t);
    }
}

/* ---- hashing */

static void submit_hashes(struct torrent *t)
{
    while (t->n_checking < CHECK_AHEAD && t->check_at < torrent_n_pieces(t)) {
        struct disk_job *job = engine_job_new(t->e, t, DISK_HASH);
        job->piece = t->check_at++;
        job->begin = HASH_CHECK;
        job->offset = torrent_piece_offset(t, job->piece);
        job->len = peer_wire_piece_len(&t->layout->geometry, job->piece);
        t->n_checking++;
        engine_job_submit(t->e, job);
    }
}

static void take_turn(struct torrent *t)
{
    torrent_count_time(t);
    t->state = TORRENT_CHECKING;
    t->e->n_checking++;
    if (t->n_checking == 0 && t->check_at == torrent_n_pieces(t)) {
        t->check_at--; /* all came back while it had no turn: one job that ends it */
    }
    submit_hashes(t);
}

/* The next one that waits. */
static void give_turn(struct engine *e)
{
    if (e->n_checking > 0) {
        return;
    }
    LIST_FOREACH_SAFE (node, &e->torrents) {
        struct torrent *t = container_of(node, struct torrent, all_node);
        if (t->state == TORRENT_QUEUED_CHECK && t->must_hash && may_check(t)) {
            take_turn(t);
            return;
        }
    }
}

void torrent_check_stop(struct torrent *t)
{
    if (!has_turn(t)) {
        return;
    }
    /* Those that are still with the disk count when they come back. */
    t->state = TORRENT_QUEUED_CHECK;
    t->e->n_checking--;
    give_turn(t->e);
}

void torrent_check_forget(struct torrent *t)
{
    if (has_turn(t)) {
        t->e->n_checking--;
    }
}

static void finish(struct torrent *t)
{
    struct engine *e = t->e;
    if (has_turn(t)) {
        e->n_checking--;
    }
    t->check_at = 0;
    t->recheck = false;
    torrent_settle(t);
    give_turn(e);
}

static void queue_for_hash(struct torrent *t)
{
    if (has_turn(t)) {
        return; /* looked at once more in the middle of it */
    }
    t->kept.checked = false;
    t->must_hash = true;
    resume_touch(t, false, false);
    torrent_count_time(t);
    t->state = TORRENT_QUEUED_CHECK;
    give_turn(t->e);
}

void torrent_check_on_hash(struct torrent *t, const struct disk_job *job)
{
    t->n_checking--;
    if (!t->must_hash) {
        return; /* of a check that another one has replaced */
    }
    const uint8_t *wanted = t->meta.pieces.p + (size_t)job->piece * METAINFO_HASH_LEN;
    if (job->status == 0) {
        bool right = memcmp(job->digest, wanted, METAINFO_HASH_LEN) == 0;
        pieces_set(t->pieces, job->piece, right);
    } else if (job->status != ERR_NOT_FOUND && has_turn(t)) {
        t->check_at = 0;
        torrent_on_disk_error(t, job);
        return;
    }
    if (!has_turn(t)) {
        return;
    }
    submit_hashes(t);
    if (t->n_checking == 0) {
        finish(t);
    }
}

/* ---- the look at the files */

static bool has_any(const struct torrent *t)
{
    return pieces_count(t->pieces) > 0 || pieces_n_partials(t->pieces) > 0;
}

/* Files that need not be there yet, of those that DISK_CHECK looks for: nothing of them is had. */
static uint32_t count_absent(const struct torrent *t)
{
    uint32_t n = 0;
    for (uint32_t file = 0; file < t->layout->n_files; file++) {
        const struct layout_file *f = &t->layout->files[file];
        bool wanted = torrent_file_priority(t, file) != PICKER_SKIP;
        bool looked_for = layout_is_stored(f) && f->len > 0 && wanted;
        n += looked_for && torrent_file_done(t, file) == 0;
    }
    return n;
}

static bool are_files_missing(const struct torrent *t, const struct disk_job *job)
{
    if (job->status == 0 || !has_any(t)) {
        return false;
    }
    return job->status != ERR_NOT_FOUND || job->n_missing > count_absent(t);
}

static void forget_pieces(struct torrent *t)
{
    torrent_uncount_all(t);
    if (t->picker != NULL) {
        picker_free(t->picker);
        t->picker = NULL;
    }
    pieces_free(t->pieces);
    t->pieces = pieces_new(&t->layout->geometry, t->meta.pieces);
    t->check_at = 0;
}

static void heal(struct torrent *t)
{
    if (t->fault == FAULT_MISSING) {
        torrent_set_fault(t, FAULT_NONE, NULL);
    }
}

static void believe(struct torrent *t, const struct disk_job *job)
{
    if (are_files_missing(t, job)) {
        torrent_on_disk_error(t, job);
        return;
    }
    heal(t);
    torrent_settle(t);
}

static void begin_recheck(struct torrent *t, const struct disk_job *job)
{
    if (job->status == ERR_UNAVAILABLE && has_any(t)) {
        t->recheck = false;
        torrent_choose_state(t);
        torrent_on_disk_error(t, job);
        return;
    }
    heal(t);
    torrent_close_all(t, "the files are checked");
    torrent_seed_mode_end(t);
    forget_pieces(t);
    if (job->any_data) {
        queue_for_hash(t);
    } else {
        finish(t);
    }
}

/* Nothing is believed: what is there is hashed. */
static void look_anew(struct torrent *t, const struct disk_job *job)
{
    if (job->status == ERR_UNAVAILABLE && t->must_hash) {
        torrent_on_disk_error(t, job); /* it went away in the middle */
        return;
    }
    heal(t);
    if (t->must_hash || job->any_data) {
        queue_for_hash(t);
    } else {
        torrent_settle(t);
    }
}

static bool seed_mode_begin(struct torrent *t, const struct disk_job *job)
{
    if ((t->flags & TORRENT_SEED_MODE) == 0) {
        return false;
    }
    if (job->status != 0) {
        torrent_seed_mode_end(t);
        return false;
    }
    heal(t);
    pieces_set_all(t->pieces);
    return true;
}

void torrent_check_on_files(struct torrent *t, const struct disk_job *job)
{
    t->check_job = false;
    if (!may_check(t)) {
        t->recheck = false;
        return;
    }
    bool known = job->status == 0 || job->status == ERR_NOT_FOUND || job->status == ERR_UNAVAILABLE;
    if (!known) {
        t->recheck = false;
        torrent_on_disk_error(t, job);
    } else if (t->recheck && t->n_writes > 0) {
        return; /* looked at before it was asked for: torrent_check_go_on, when they are back */
    } else if (t->recheck) {
        begin_recheck(t, job);
    } else if (t->kept.checked) {
        believe(t, job);
    } else if (seed_mode_begin(t, job)) {
        torrent_settle(t);
    } else {
        look_anew(t, job);
    }
}
