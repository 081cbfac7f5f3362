/* Blocks: asked for, received, made pieces of, written, and told about.
 *
 *   refill --requests--> peer --block--> pieces --good--> DISK_WRITE --written--> have to everybody
 *                          |               |                   |
 *                 reject, choke, gone,     bad: blame          +--no space--> wait, try one write
 *                 time-out: given back                             every DISK_FULL_RETRY_MS
 *
 * Commandments
 *   1. A block that was not asked for is never taken. It is counted, and who sends many is dropped.
 *   2. In the end game the first to deliver wins and the others are told cancel.
 *   3. A piece is told about when all of it is written and its hash is right, not before.
 *   4. A sole sender of a bad piece is banned. Several lose trust and go on parole: they get whole
 *      pieces of their own, which shows who it was; and when the piece comes right, those whose
 *      blocks had differed are banned. What was on the disk blames nobody.
 *   5. What others could be asked for now is offered to those who are asked for nothing: after a
 *      reject, a time-out, a bad piece, and when somebody leaves.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "client/torrent_impl.h"

#include "base/banned.h"

enum {
    UNASKED_MAX = 512,  /* what may be under way when a slow peer is choked, and some */
    REJECTS_MAX = 1024, /* in a row */
    TRUST_MIN = -7,
    TRUST_MAX = 8,
    BLAME_LOSS = 2,
    SENDERS_MAX = 64,
    EXPIRED_RUN = 64,
};

/* ---- asking */

bool torrent_may_request(const struct torrent *t)
{
    return t->picker != NULL && t->fault == FAULT_NONE && torrent_is_running(t) &&
           (t->flags & TORRENT_UPLOAD_ONLY) == 0 && !engine_disk_is_full(t->e);
}

/* n blocks were picked because of why, where there was room for so many. In the end game, and only
 * there, a block is asked of two. */
static void count_pick(struct conn *c, enum engine_pick why, const struct wire_block *blocks,
                       size_t n, size_t room)
{
    struct torrent *t = c->t;
    bool busy = n > 0 && pieces_block_askers(t->pieces, blocks[0].piece,
                                             blocks[0].begin / WIRE_BLOCK_LEN) > 1;
    t->e->totals.picks[busy ? PICK_END_GAME : why]++;
    c->end_game = !c->peer.peer_choking && (busy || n < room);
}

void torrent_refill(struct conn *c, enum engine_pick why)
{
    struct torrent *t = c->t;
    if (t->kick) {
        t->kick = false;
        torrent_kick(t, PICK_REJECT);
    }
    if (c->gone || !c->greeted || !c->peer.interested || !torrent_may_request(t) ||
        (c->peer.peer_choking && c->peer.n_fast == 0)) {
        return;
    }
    uint64_t rate_bps = rate_meter_bps(&c->down_rate, torrent_now(t));
    size_t room = requests_room(&c->requests, rate_bps);
    struct wire_block blocks[REQUESTS_MAX];
    if (room == 0) {
        return;
    }
    room = room < REQUESTS_MAX ? room : REQUESTS_MAX;
    struct pick_peer peer = {
        .id = c->id,
        .bitfield = conn_bitfield(c),
        .seed = c->peer.seed,
        .snubbing = c->requests.snubbing,
        .parole = c->parole,
        .choked = c->peer.peer_choking,
        .fast = c->peer.fast,
        .n_fast = c->peer.n_fast,
        .down_bps = rate_bps,
        .pending = c->requests.blocks,
        .n_pending = c->requests.n,
    };
    size_t n = picker_pick(t->picker, t->pieces, &peer, blocks, room);
    count_pick(c, why, blocks, n, room);
    if (n == 0) {
        return;
    }
    requests_add(&c->requests, blocks, n, torrent_now(t));
    peer_send_requests(&c->peer, blocks, n, torrent_now(t));
    conn_wake(c);
    conn_rearm(c);
}

void torrent_refill_all(struct torrent *t, enum engine_pick why)
{
    LIST_FOREACH_SAFE (node, &t->conns) {
        torrent_refill(conn_of(node), why);
    }
}

void torrent_kick(struct torrent *t, enum engine_pick why)
{
    if (!torrent_may_request(t)) {
        return;
    }
    LIST_FOREACH_SAFE (node, &t->conns) {
        struct conn *c = conn_of(node);
        if (c->greeted && c->requests.n == 0) {
            torrent_refill(c, why);
        }
    }
}

void conn_give_back_all(struct conn *c, bool cancel)
{
    if (c->requests.n == 0) {
        return;
    }
    struct wire_block *blocks = mem_array(c->requests.n, sizeof *blocks);
    size_t n = requests_take_all(&c->requests, blocks);
    for (size_t i = 0; i < n; i++) {
        pieces_give_back(c->t->pieces, &blocks[i]);
        if (cancel) {
            peer_send_cancel(&c->peer, &blocks[i], torrent_now(c->t));
        }
    }
    free(blocks);
    if (cancel) {
        conn_wake(c);
    }
}

int conn_on_reject(struct conn *c, const struct wire_block *b, const char **why)
{
    struct torrent *t = c->t;
    if (!requests_take(&c->requests, b, false, torrent_now(t))) {
        return 0;
    }
    pieces_give_back(t->pieces, b);
    c->pick = PICK_REJECT;
    if (++c->n_rejects > REJECTS_MAX) {
        *why = "it rejects everything";
        return ERR_LIMIT;
    }
    for (size_t i = 0; c->peer.peer_choking && i < c->peer.n_fast; i++) {
        if (c->peer.fast[i] == b->piece) {
            c->peer.fast[i] = c->peer.fast[--c->peer.n_fast];
        }
    }
    t->kick = true; /* once for all that came together */
    return 0;
}

static void on_expired(struct conn *c)
{
    struct torrent *t = c->t;
    struct wire_block blocks[EXPIRED_RUN];
    size_t n;
    bool any = false;
    c->timed_out = true;
    while ((n = requests_expired(&c->requests, torrent_now(t), blocks, EXPIRED_RUN)) > 0) {
        any = true;
        for (size_t i = 0; i < n; i++) {
            pieces_give_back(t->pieces, &blocks[i]);
            peer_send_cancel(&c->peer, &blocks[i], torrent_now(t));
        }
    }
    if (any) {
        conn_wake(c);
    }
    torrent_kick(t, PICK_SNUBBED);
}

void torrent_on_conn_deadline(struct conn *c)
{
    if (!c->greeted) {
        return;
    }
    if (torrent_now(c->t) >= requests_deadline_ms(&c->requests)) {
        on_expired(c);
    }
    conn_pex_on_deadline(c);
}

/* ---- blame */

static void ban(struct torrent *t, const struct piece_sender *s, const char *why)
{
    struct conn *c = engine_conn(t->e, s->conn);
    if (c != NULL && !c->gone && c->t == t) {
        conn_ban(c, why);
    } else if (!candidates_is_banned(t->candidates, &s->addr)) {
        candidates_ban(t->candidates, &s->addr);
        t->e->totals.banned++;
    }
}

static void lose_trust(struct torrent *t, const struct piece_sender *s)
{
    struct conn *c = engine_conn(t->e, s->conn);
    if (c == NULL || c->gone || c->t != t) {
        return;
    }
    int trust = c->trust - BLAME_LOSS;
    c->trust = (int8_t)(trust < TRUST_MIN ? TRUST_MIN : trust);
    c->parole = true;
    if (c->trust == TRUST_MIN) {
        conn_ban(c, "too many bad pieces");
    }
}

static void waste(struct torrent *t, uint64_t len)
{
    t->kept.wasted += len;
    t->e->totals.wasted += len;
}

static void on_bad(struct torrent *t, uint32_t piece)
{
    struct piece_sender senders[SENDERS_MAX];
    uint32_t len = peer_wire_piece_len(&t->layout->geometry, piece);
    t->e->totals.hash_failures++;
    t->failed_len += len;
    t->e->totals.failed_len += len;
    waste(t, len);
    size_t n = pieces_blame(t->pieces, senders, SENDERS_MAX);
    if (n == 1) {
        ban(t, &senders[0], "it sent a bad piece");
    }
    for (size_t i = 0; n > 1 && i < n; i++) {
        lose_trust(t, &senders[i]);
    }
    torrent_kick(t, PICK_HASH_FAIL);
}

static void punish_liars(struct torrent *t)
{
    struct piece_sender s;
    while (pieces_next_liar(t->pieces, &s)) {
        ban(t, &s, "it sent a bad block");
    }
}

/* ---- blocks */

static void cancel_others(struct conn *from, const struct wire_block *b)
{
    struct torrent *t = from->t;
    LIST_FOREACH_SAFE (node, &t->conns) {
        struct conn *c = conn_of(node);
        if (c == from || c->requests.n == 0 ||
            !requests_take(&c->requests, b, false, torrent_now(t))) {
            continue;
        }
        pieces_give_back(t->pieces, b);
        peer_send_cancel(&c->peer, b, torrent_now(t));
        conn_wake(c);
        torrent_refill(c, PICK_REDUNDANT);
    }
}

/* Received, but not worth anything: it does not count as downloaded. The engine counts all that
 * comes when its input is done, so that a counter may be short of it for a moment. */
void torrent_waste_block(struct torrent *t, uint32_t len, enum engine_waste why)
{
    waste(t, len);
    t->redundant_len += len;
    t->e->totals.waste[why] += len;
    t->kept.total_down -= len;
    t->session_totals.down_payload -= len;
    t->e->totals.wire.down_payload -= len;
}

static enum engine_waste why_unasked(const struct conn *c, const struct wire_block *b)
{
    const struct torrent *t = c->t;
    if (t->picker == NULL) {
        return WASTE_SEED;
    }
    if (pieces_has(t->pieces, b->piece) ||
        pieces_block_state(t->pieces, b->piece, b->begin / WIRE_BLOCK_LEN) > BLOCK_REQUESTED) {
        return WASTE_CANCELLED;
    }
    return c->timed_out ? WASTE_TIMED_OUT : WASTE_UNKNOWN;
}

static int on_unasked(struct conn *c, const struct wire_block *b, const char **why)
{
    c->pick = PICK_REDUNDANT;
    torrent_waste_block(c->t, b->len, why_unasked(c, b));
    if (++c->n_unasked > UNASKED_MAX) {
        *why = "it sends blocks that nobody asked for";
        return ERR_LIMIT;
    }
    return 0;
}

static void on_good(struct conn *c, uint32_t piece, conn_id exclusive)
{
    struct torrent *t = c->t;
    (void)piece;
    if (c->trust < TRUST_MAX) {
        c->trust++;
    }
    if (exclusive == c->id) {
        c->parole = false;
    }
    punish_liars(t);
}

/* Blocks that came out of order are kept until those before them come; with many such pieces
 * that is more than the disk may owe us. */
static void relieve(struct torrent *t)
{
    if (pieces_unwritten_len(t->pieces) > t->e->cfg.max_disk_queue_len &&
        !engine_disk_is_full(t->e)) {
        pieces_flush(t->pieces);
    }
}

/* A piece whose blocks were hashed as they came. */
static void count_hashed(struct torrent *t, uint32_t piece)
{
    uint32_t len = peer_wire_piece_len(&t->layout->geometry, piece);
    t->e->totals.blocks_hashed += engine_n_blocks(len);
}

int conn_on_block(struct conn *c, const struct peer_event *ev, const char **why)
{
    struct torrent *t = c->t;
    const struct wire_block *b = &ev->block;
    if (!requests_take(&c->requests, b, true, torrent_now(t))) {
        return on_unasked(c, b, why);
    }
    c->n_rejects = 0;
    c->pick = PICK_INCOMING;
    c->last_block_ms = torrent_now(t);
    if (c->n_unasked > 0) {
        c->n_unasked--;
    }
    const struct piece_partial *partial = pieces_partial(t->pieces, b->piece);
    conn_id exclusive = partial == NULL ? 0 : partial->exclusive;
    uint32_t askers = pieces_block_askers(t->pieces, b->piece, b->begin / WIRE_BLOCK_LEN);
    enum pieces_result r = pieces_on_block(t->pieces, b, ev->data, c->id, &c->peer.remote.addr);
    if (askers > 1) {
        cancel_others(c, b);
    }
    switch (r) {
    case PIECES_TAKEN:
    case PIECES_READ_BACK:
        break;
    case PIECES_DUPLICATE:
        c->pick = PICK_REDUNDANT;
        torrent_waste_block(t, b->len, WASTE_END_GAME);
        return 0;
    case PIECES_GOOD:
        count_hashed(t, b->piece);
        on_good(c, b->piece, exclusive);
        break;
    case PIECES_BAD:
        count_hashed(t, b->piece);
        on_bad(t, b->piece);
        return 0;
    }
    relieve(t);
    torrent_write(t);
    return 0;
}

/* ---- writing */

static bool write_next(struct torrent *t, bool tries_space)
{
    struct piece_write w;
    if (!pieces_next_write(t->pieces, &w)) {
        return false;
    }
    struct disk_job *job = engine_job_new(t->e, t, DISK_WRITE);
    job->piece = w.piece;
    job->begin = w.begin;
    job->offset = torrent_piece_offset(t, w.piece) + w.begin;
    job->len = w.len;
    job->n_bufs = w.n_bufs;
    memcpy(job->bufs, w.bufs, w.n_bufs * sizeof *w.bufs);
    job->marked = tries_space;
    t->n_writes++;
    engine_job_submit(t->e, job);
    return true;
}

void torrent_write(struct torrent *t)
{
    if (t->fault == FAULT_DISK_FULL) {
        return; /* torrent_retry_writes tries */
    }
    while (write_next(t, false)) {
    }
}

static void space_again(struct torrent *t)
{
    torrent_set_fault(t, FAULT_NONE, NULL);
    torrent_plan(t);
    torrent_write(t);
    torrent_refill_all(t, PICK_INCOMING);
}

void torrent_retry_writes(struct torrent *t)
{
    pieces_retry(t->pieces);
    if (t->fault != FAULT_DISK_FULL) {
        torrent_write(t);
    } else if (t->retry_job) {
        t->retry_ms = torrent_now(t) + DISK_FULL_RETRY_MS;
    } else {
        t->retry_job = write_next(t, true);
        if (!t->retry_job) {
            space_again(t); /* nothing is left to try with: the next block will tell */
        }
    }
}

static void read_back(struct torrent *t, uint32_t piece)
{
    struct disk_job *job = engine_job_new(t->e, t, DISK_HASH);
    job->piece = piece;
    job->begin = HASH_READ_BACK;
    job->offset = torrent_piece_offset(t, piece);
    job->len = peer_wire_piece_len(&t->layout->geometry, piece);
    t->n_writes++;
    t->e->totals.blocks_read_back += engine_n_blocks(job->len);
    engine_job_submit(t->e, job);
}

static void on_have(struct torrent *t, uint32_t piece)
{
    t->e->totals.pieces_passed++;
    torrent_count_had(t);
    resume_touch(t, true, false);
    LIST_FOREACH_SAFE (node, &t->conns) {
        struct conn *c = conn_of(node);
        if (c->greeted) { /* who has it too wants to see how far we are */
            peer_send_have(&c->peer, piece, torrent_now(t));
            conn_wake(c);
        }
    }
    if (t->picker == NULL) {
        torrent_choose_state(t);
        torrent_note_complete(t); /* when an edge was the last that was missing */
        return;
    }
    picker_on_have(t->picker, piece);
    if (picker_n_wanted(t->picker) == 0) {
        torrent_on_finished(t);
    }
}

static void on_write_failed(struct torrent *t, const struct disk_job *job)
{
    if (job->status != ERR_NO_SPACE) {
        torrent_on_disk_error(t, job);
        return;
    }
    const char *text = job->err.msg[0] != '\0' ? job->err.msg : err_text(job->status);
    if (t->fault == FAULT_NONE || t->fault == FAULT_DISK_FULL) {
        torrent_set_fault(t, FAULT_DISK_FULL, text);
        torrent_plan(t);
    }
}

void torrent_on_written(struct torrent *t, const struct disk_job *job)
{
    t->n_writes--;
    if (job->marked) {
        t->retry_job = false;
    }
    switch (pieces_on_written(t->pieces, job->piece, job->begin, job->len, job->status)) {
    case PIECES_WRITTEN_PART:
        resume_touch(t, true, false);
        break;
    case PIECES_WRITTEN_HAVE:
        on_have(t, job->piece);
        break;
    case PIECES_WRITTEN_READ_BACK:
        read_back(t, job->piece);
        break;
    case PIECES_WRITTEN_FAILED:
        on_write_failed(t, job);
        return;
    }
    if (job->marked && t->fault == FAULT_DISK_FULL) {
        space_again(t);
    }
}

void torrent_on_read_back(struct torrent *t, const struct disk_job *job)
{
    t->n_writes--;
    if (pieces_on_hash(t->pieces, job->piece, job->digest)) {
        punish_liars(t);
        on_have(t, job->piece);
    } else if (job->status == 0) {
        on_bad(t, job->piece);
    } else {
        torrent_on_disk_error(t, job); /* its blocks are free again; nobody is to blame */
    }
}
