/* A torrent's life.
 *
 *                 +--------- no metadata ---------> METADATA --it came--+
 *                 |                                                     |
 *   new --begin---+--> QUEUED_CHECK <-----------------------------------+
 *                 |      |      |
 *                 |      |      +--its turn--> CHECKING --+
 *                 |      +--nothing there, or believed----+--settle--> DOWNLOADING
 *                 |                                       |              |     | all that is wanted
 *                 +--believed, paused: the state below,   |              |     v
 *                    looked at when it goes on            +----------> FINISHED (not all there is)
 *                                                         +----------> SEEDING
 *
 * Over each state lies: paused (a flag, stopping, removing), or a fault. A paused torrent and one
 * with FAULT_MISSING or FAULT_DISK has no connections, and its trackers were told stopped;
 * FAULT_DISK_FULL only keeps it from asking for more.
 *
 * Invariants
 *   online: the announcer was started, and connections are taken and made.
 *   picker is there only while something that is wanted is missing and the content is known.
 *   verified is there only in seed mode.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "client/torrent_impl.h"

#include "base/banned.h"

/* ---- time */

void torrent_count_time(struct torrent *t)
{
    if (t->run_ms == 0) {
        return;
    }
    uint64_t s = (torrent_now(t) - (t->run_ms - 1)) / 1000;
    t->run_ms += s * 1000; /* the rest of a second counts the next time */
    t->kept.active_s += s;
    if (t->state == TORRENT_FINISHED || t->state == TORRENT_SEEDING) {
        t->kept.finished_s += s;
    }
    if (t->state == TORRENT_SEEDING) {
        t->kept.seeding_s += s;
    }
}

static void set_state(struct torrent *t, enum torrent_state state)
{
    torrent_count_time(t);
    t->state = state;
}

/* When nothing is told from nothing the time is stored plus one. */
static void start_counting(struct torrent *t)
{
    if (t->run_ms == 0) {
        t->run_ms = torrent_now(t) + 1;
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return b != 0 && b < a ? b : a;
}

void torrent_plan(struct torrent *t)
{
    uint64_t at = earlier(UINT64_MAX, t->choke_ms);
    at = earlier(at, t->retry_ms);
    if (t->metadata != NULL && t->online) {
        at = earlier(at, metadata_deadline_ms(t->metadata));
    }
    torrent_arm(t, at);
}

/* ---- going on and stopping */

bool torrent_is_running(const struct torrent *t)
{
    return (t->flags & TORRENT_PAUSED) == 0 && !t->stopping && !t->removing && !t->e->stopping &&
           t->fault != FAULT_MISSING && t->fault != FAULT_DISK;
}

bool torrent_wants_peers(const struct torrent *t)
{
    bool busy = t->state == TORRENT_QUEUED_CHECK || t->state == TORRENT_CHECKING;
    uint32_t max = t->e->cfg.max_peers_per_torrent;
    if (t->max_peers != 0 && t->max_peers < max) {
        max = t->max_peers;
    }
    return t->online && !busy && torrent_is_running(t) && t->n_conns < max;
}

void torrent_go_online(struct torrent *t)
{
    start_counting(t);
    if (!t->online) {
        t->online = true;
        t->kept.stop_pending = false; /* started tells it anew */
        announcer_start(t->announcer, torrent_now(t), t->start_delay_ms);
        t->start_delay_ms = 0;
    }
    engine_announce_check(t);
    candidates_retry(t->candidates);
    engine_want_peers(t, true);
    bool seeks = t->state == TORRENT_DOWNLOADING || t->state == TORRENT_METADATA;
    if (t->choke_ms == 0 && (seeks || !list_is_empty(&t->conns))) {
        t->choke_ms = torrent_now(t) + CHOKER_ROUND_MS;
    }
    torrent_plan(t);
}

static void start(struct torrent *t)
{
    if (!torrent_is_running(t)) {
        torrent_plan(t);
        return;
    }
    start_counting(t);
    if (t->info != NULL) {
        torrent_check_begin(t);
        return;
    }
    if (t->metadata == NULL) {
        t->metadata = metadata_new(&t->info_hash);
    }
    set_state(t, TORRENT_METADATA);
    torrent_go_online(t);
}

void torrent_choose_state(struct torrent *t)
{
    enum torrent_state state = TORRENT_DOWNLOADING;
    if (pieces_is_complete(t->pieces)) {
        state = TORRENT_SEEDING;
    } else if (t->picker == NULL && torrent_is_finished(t)) {
        state = TORRENT_FINISHED;
    }
    set_state(t, state);
}

void torrent_count_had(struct torrent *t)
{
    uint32_t n = pieces_count(t->pieces);
    if (n > t->n_had) {
        t->e->totals.pieces_had += n - t->n_had;
        t->n_had = n;
    }
}

void torrent_begin(struct torrent *t)
{
    t->e->totals.pieces_added += t->layout == NULL ? 0 : torrent_n_pieces(t);
    if (t->info == NULL) {
        t->state = TORRENT_METADATA;
    } else if (t->kept.checked) {
        torrent_choose_state(t);
    } else {
        t->state = TORRENT_QUEUED_CHECK;
    }
    if (t->flags & TORRENT_PAUSED) {
        if (t->kept.stop_pending) {
            announcer_owe_stop(t->announcer, torrent_now(t) + t->start_delay_ms);
        }
        t->start_delay_ms = 0; /* whoever resumes it does not wait for the others */
    }
    start(t);
}

static void tell_peer(struct conn *c)
{
    enum { TELL_MAX = 4096 };
    struct torrent *t = c->t;
    uint32_t n = pieces_count(t->pieces);
    if (n > TELL_MAX) {
        conn_close(c, "more pieces were found than can be told", false);
        return;
    }
    for (uint32_t i = 0; n > 0 && i < torrent_n_pieces(t); i++) {
        if (pieces_has(t->pieces, i)) {
            peer_send_have(&c->peer, i, torrent_now(t));
        }
    }
}

/* Peers that came while the metadata was fetched, or in super-seeding, were greeted as if we had
 * nothing. */
static void tell_what_is_had(struct torrent *t)
{
    bool upload_only = t->picker == NULL || (t->flags & TORRENT_UPLOAD_ONLY) != 0;
    LIST_FOREACH_SAFE (node, &t->conns) {
        struct conn *c = conn_of(node);
        if (!c->greeted || conn_close_if_redundant(c)) {
            continue;
        }
        tell_peer(c);
        if (!c->gone && upload_only) {
            peer_send_upload_only(&c->peer, true, torrent_now(t));
        }
        conn_wake(c);
    }
}

void torrent_settle(struct torrent *t)
{
    bool news = !t->kept.checked || t->kept.stop_pending;
    torrent_count_had(t);
    t->kept.checked = true;
    t->must_hash = false;
    if (torrent_is_running(t)) {
        torrent_make_picker(t);
    }
    torrent_choose_state(t);
    if (t->state != TORRENT_DOWNLOADING && t->kept.completed_unix_s == 0) {
        t->kept.completed_unix_s = engine_unix_s(t->e);
        news = true;
    }
    if (news) { /* ten thousand that are as they were cost nothing when all start */
        resume_touch(t, false, false);
    }
    if (!torrent_is_running(t)) {
        return;
    }
    tell_what_is_had(t);
    torrent_go_online(t);
    torrent_retry_writes(t);
    torrent_update_interests(t);
}

void torrent_close_all(struct torrent *t, const char *why)
{
    struct list *node;
    while ((node = list_first(&t->conns)) != NULL) {
        t->e->totals.partings.uninteresting++;
        conn_close(conn_of(node), why, false);
    }
}

/* What pause and faults have in common. */
static void halt(struct torrent *t, const char *why)
{
    bool ran = t->run_ms != 0;
    torrent_count_time(t);
    t->run_ms = 0;
    torrent_close_all(t, why);
    torrent_check_stop(t);
    if (t->online || t->removing) {
        announcer_stop(t->announcer, torrent_now(t));
    }
    t->online = false;
    engine_announce_check(t);
    engine_want_peers(t, false);
    pex_log_free(t->pex_log);
    t->pex_log = NULL;
    t->choke_ms = 0;
    t->retry_ms = 0;
    if (t->pieces != NULL && !t->removing) {
        pieces_flush(t->pieces);
        torrent_write(t);
    }
    if (!t->removing && (ran || !t->stopping)) {
        resume_touch(t, false, true);
    }
}

void torrent_pause(struct torrent *t)
{
    halt(t, "the torrent was stopped");
    torrent_plan(t);
}

void torrent_unpause(struct torrent *t)
{
    bool was_full = t->fault == FAULT_DISK_FULL;
    torrent_set_fault(t, FAULT_NONE, NULL);
    if (!torrent_is_running(t)) {
        return;
    }
    if (!t->online) {
        start(t);
    } else if (was_full) {
        torrent_retry_writes(t);
        torrent_refill_all(t, PICK_INCOMING);
        torrent_plan(t);
    }
}

/* ---- faults */

void torrent_set_fault(struct torrent *t, enum torrent_fault fault, const char *text)
{
    free(t->fault_text);
    t->fault_text = text == NULL ? NULL : mem_strndup(text, strlen(text));
    t->fault = fault;
    t->retry_ms = 0;
    if (fault == FAULT_MISSING) {
        t->retry_ms = torrent_now(t) + MISSING_RETRY_MS;
    } else if (fault == FAULT_DISK_FULL) {
        t->retry_ms = torrent_now(t) + DISK_FULL_RETRY_MS;
    }
}

void torrent_fail(struct torrent *t, enum torrent_fault fault, const char *text)
{
    bool was_running = torrent_is_running(t);
    torrent_set_fault(t, fault, text);
    if (was_running) {
        halt(t, "its files cannot be used");
    }
    bool looks_again = fault == FAULT_MISSING && (t->flags & TORRENT_PAUSED) == 0;
    t->retry_ms = looks_again ? torrent_now(t) + MISSING_RETRY_MS : 0;
    torrent_plan(t);
}

void torrent_on_disk_error(struct torrent *t, const struct disk_job *job)
{
    const char *text = job->err.msg[0] != '\0' ? job->err.msg : err_text(job->status);
    bool missing = job->status == ERR_NOT_FOUND || job->status == ERR_UNAVAILABLE;
    torrent_fail(t, missing ? FAULT_MISSING : FAULT_DISK, text);
}

/* ---- finished */

void torrent_note_complete(struct torrent *t)
{
    if (t->state == TORRENT_SEEDING) {
        t->completed_now = true;
        announcer_on_completed(t->announcer, torrent_now(t));
        engine_announce_check(t);
    }
}

void torrent_on_finished(struct torrent *t)
{
    LIST_FOREACH_SAFE (node, &t->conns) {
        struct conn *c = conn_of(node);
        conn_give_back_all(c, true);
    }
    torrent_uncount_all(t);
    picker_free(t->picker);
    t->picker = NULL;
    torrent_choose_state(t);
    if (t->kept.completed_unix_s == 0) {
        t->kept.completed_unix_s = engine_unix_s(t->e);
    }
    torrent_note_complete(t);
    LIST_FOREACH_SAFE (node, &t->conns) {
        struct conn *c = conn_of(node);
        if (c->greeted && !conn_close_if_redundant(c)) {
            conn_update_interest(c);
            peer_send_upload_only(&c->peer, true, torrent_now(t));
            conn_wake(c);
        }
    }
    resume_touch(t, false, true);
}

/* ---- flags, recheck, remove */

static void tell_upload_only(struct torrent *t, bool upload_only)
{
    LIST_FOREACH_SAFE (node, &t->conns) {
        struct conn *c = conn_of(node);
        if (!c->greeted) {
            continue;
        }
        if (upload_only) {
            conn_give_back_all(c, true);
        }
        if (!conn_close_if_redundant(c)) {
            peer_send_upload_only(&c->peer, upload_only, torrent_now(t));
            conn_wake(c);
        }
    }
    torrent_update_interests(t);
}

void torrent_set_flags(struct torrent *t, unsigned set, unsigned clear)
{
    unsigned fixed =
        TORRENT_PAUSED | TORRENT_SEED_MODE | TORRENT_NO_OWN_TRACKER | TORRENT_REST_SKIPPED;
    unsigned before = t->flags;
    t->flags |= set & ~fixed;
    t->flags &= ~(clear & ~fixed);
    unsigned changed = before ^ t->flags;
    if (changed == 0) {
        return;
    }
    if (changed & (TORRENT_SEQUENTIAL | TORRENT_FIRST_LAST)) {
        torrent_wishes_changed(t);
    }
    if (changed & TORRENT_UPLOAD_ONLY) {
        bool finished = t->layout != NULL && t->picker == NULL;
        tell_upload_only(t, finished || (t->flags & TORRENT_UPLOAD_ONLY) != 0);
        if (torrent_is_running(t) && t->online) {
            engine_want_peers(t, true);
        }
    }
    if ((before & TORRENT_SUPER_SEEDING) && (changed & TORRENT_SUPER_SEEDING) && t->online &&
        t->pieces != NULL) {
        tell_what_is_had(t);
    }
    if ((changed & TORRENT_NO_PEX) && !torrent_pex_is_on(t)) {
        torrent_pex_forget(t);
    }
    resume_touch(t, false, false);
}

void torrent_recheck(struct torrent *t)
{
    if (t->info == NULL || t->removing || t->stopping) {
        return;
    }
    torrent_set_fault(t, FAULT_NONE, NULL);
    torrent_close_all(t, "the files are checked");
    t->must_hash = false; /* or it would take the turn that it gives up */
    torrent_check_stop(t);
    t->recheck = true;
    set_state(t, TORRENT_QUEUED_CHECK);
    torrent_check_begin(t);
    torrent_plan(t);
}

void torrent_remove(struct torrent *t, bool with_data)
{
    if (t->removing) {
        return;
    }
    t->removing = true;
    t->remove_data = with_data;
    torrent_pause(t);
    if (t->layout == NULL) {
        t->removed = true;
        return;
    }
    struct disk_job *job = engine_job_new(t->e, t, DISK_REMOVE);
    job->with_data = with_data;
    engine_job_submit(t->e, job);
}

static void on_removed(struct torrent *t, const struct disk_job *job)
{
    t->removed = true;
    t->remove_status = job->status;
    if (job->status < 0 && t->remove_err == NULL) {
        t->remove_err = mem_new(struct err);
        *t->remove_err = job->err;
    }
}

/* ---- inputs */

static void on_hash(struct torrent *t, struct disk_job *job)
{
    switch ((enum hash_purpose)job->begin) {
    case HASH_CHECK:
        torrent_check_on_hash(t, job);
        break;
    case HASH_READ_BACK:
        torrent_on_read_back(t, job);
        break;
    case HASH_SEED_MODE:
        torrent_on_seed_hash(t, job);
        break;
    }
}

void torrent_on_disk(struct torrent *t, struct disk_job *job)
{
    switch (job->op) {
    case DISK_READ:
        torrent_on_read(t, job);
        break;
    case DISK_WRITE:
        torrent_on_written(t, job);
        break;
    case DISK_HASH:
        on_hash(t, job);
        break;
    case DISK_CHECK:
        torrent_check_on_files(t, job);
        break;
    case DISK_REMOVE:
        on_removed(t, job);
        break;
    case DISK_WANTED:
        free((void *)job->wanted);
        job->wanted = NULL;
        break;
    case DISK_SYNC:
    case DISK_CLOSE:
        break;
    }
    free(job->blocks);
    job->blocks = NULL;
    if (t->recheck && !t->removing) {
        torrent_check_go_on(t);
    }
}

static void on_retry(struct torrent *t)
{
    t->retry_ms = 0;
    if (t->fault == FAULT_MISSING) {
        torrent_check_begin(t);
    } else if (t->fault == FAULT_DISK_FULL) {
        torrent_retry_writes(t);
    }
}

void torrent_on_deadline(struct torrent *t)
{
    uint64_t now_ms = torrent_now(t);
    if (t->retry_ms != 0 && now_ms >= t->retry_ms) {
        on_retry(t);
    }
    if (t->choke_ms != 0 && now_ms >= t->choke_ms) {
        torrent_choke_round(t);
    }
    if (t->metadata != NULL && t->online && now_ms >= metadata_deadline_ms(t->metadata)) {
        torrent_metadata_on_deadline(t);
    }
    torrent_plan(t);
}

void torrent_on_stop_told(struct torrent *t)
{
    if ((t->flags & TORRENT_PAUSED) != 0 && announcer_is_done(t->announcer)) {
        t->kept.stop_pending = false;
        resume_touch(t, false, false);
    }
}

void torrent_on_announced(struct torrent *t, const struct announce_result *r)
{
    if (r->outcome.answered && r->outcome.has_counts && r->outcome.counts.complete > 0) {
        t->kept.last_seen_complete_unix_s = engine_unix_s(t->e);
    }
    if (!torrent_is_running(t)) {
        return;
    }
    bool any = false;
    for (size_t i = 0; i < r->n_peers; i++) {
        any |= torrent_add_candidate(t, &r->peers[i], CANDIDATE_TRACKER, false);
    }
    if (any) {
        engine_want_peers(t, true);
    }
}
