/* Blocks for others.
 *
 *   request --> peer.c keeps it --room in sendq--> take a run of neighbours --DISK_READ--> sendq
 *                                      |                                  |
 *                                      +-- we do not have it: reject      +-- error: reject, fault
 *
 * Room        what is on its way to a peer (sendq and reads) is kept at half a second of its rate, so
 *             that the socket never runs dry and a choke or cancel still comes early enough.
 * Reads       a run of neighbours is one read into one buffer, of which each block is a reference. A
 *             peer always may have one read, whatever the disk owes us.
 * Seed mode   the torrent is believed; a piece is hashed before it is sent for the first time. One
 *             that is not right ends the belief: everything is hashed.
 * Super-seeding (BEP 16) we look like a peer without pieces and show each peer one piece at a time,
 *             the next one when somebody else says that he has it: then it was passed on.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/torrent_impl.h"

#include "base/banned.h"

enum {
    AHEAD_MIN = 64 << 10,
    AHEAD_MAX = 4 << 20,
    RUN_BLOCKS_MAX = 64,
    SUPER_ROUNDS = 3, /* of the choker; then a piece that nobody passed on is enough */
};

static uint64_t ahead_len(const struct conn *c)
{
    uint64_t ahead = rate_meter_bps(&c->up_rate, torrent_now(c->t)) / 2;
    if (ahead < AHEAD_MIN) {
        return AHEAD_MIN;
    }
    return ahead < AHEAD_MAX ? ahead : AHEAD_MAX;
}

static void reject_all(struct conn *c, const struct wire_block *blocks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        peer_send_reject(&c->peer, &blocks[i], torrent_now(c->t));
    }
    conn_wake(c);
}

/* ---- reading */

/* blocks become the job's. */
static void read_run(struct conn *c, struct wire_block *blocks, uint32_t n, bool unchoked)
{
    struct torrent *t = c->t;
    struct disk_job *job = engine_job_new(t->e, t, DISK_READ);
    const struct wire_block *last = &blocks[n - 1];
    job->conn = c->id;
    job->piece = blocks[0].piece;
    job->begin = blocks[0].begin;
    job->len = last->begin + last->len - job->begin;
    job->offset = torrent_piece_offset(t, job->piece) + job->begin;
    job->blocks = blocks;
    job->n_blocks = n;
    job->marked = unchoked;
    job->bufs[0] =
        data_new(t->e->pool, job->len <= DATA_BLOCK_LEN ? DATA_BLOCK_LEN : DATA_READ_LEN);
    job->n_bufs = 1;
    c->reads_len += job->len;
    engine_job_submit(t->e, job);
}

static bool is_verified(const struct torrent *t, uint32_t piece)
{
    return t->verified != NULL && (t->verified[piece / 8] & (0x80 >> piece % 8)) != 0;
}

/* The piece's hash first; the read follows from there. */
static void hash_run(struct conn *c, struct wire_block *blocks, uint32_t n)
{
    struct torrent *t = c->t;
    struct disk_job *job = engine_job_new(t->e, t, DISK_HASH);
    const struct wire_block *last = &blocks[n - 1];
    job->conn = c->id;
    job->piece = blocks[0].piece;
    job->begin = HASH_SEED_MODE;
    job->offset = torrent_piece_offset(t, job->piece);
    job->len = peer_wire_piece_len(&t->layout->geometry, job->piece);
    job->blocks = blocks;
    job->n_blocks = n;
    job->marked = !c->peer.choking;
    c->reads_len += last->begin + last->len - blocks[0].begin;
    engine_job_submit(t->e, job);
}

static void serve_run(struct conn *c, const struct wire_block *blocks, uint32_t n)
{
    struct torrent *t = c->t;
    if (!pieces_has(t->pieces, blocks[0].piece)) {
        t->e->totals.requests_refused += n;
        c->peer.n_invalid += n;
        reject_all(c, blocks, n);
        return;
    }
    struct wire_block *copy = mem_array(n, sizeof *copy);
    memcpy(copy, blocks, n * sizeof *copy);
    bool hash_first = (t->flags & TORRENT_SEED_MODE) && !is_verified(t, blocks[0].piece);
    if (hash_first) {
        hash_run(c, copy, n);
    } else {
        read_run(c, copy, n, !c->peer.choking);
    }
}

void torrent_on_room(struct conn *c)
{
    struct torrent *t = c->t;
    if (c->gone || !c->greeted || t->pieces == NULL || !torrent_is_running(t)) {
        return;
    }
    uint64_t ahead = ahead_len(c);
    struct wire_block blocks[RUN_BLOCKS_MAX];
    while (peer_n_uploads(&c->peer) > 0 && c->peer.sendq.payload_len + c->reads_len < ahead) {
        if (c->reads_len > 0 && engine_disk_is_full(t->e)) {
            return;
        }
        size_t n = peer_take_uploads(&c->peer, blocks, RUN_BLOCKS_MAX, DATA_READ_LEN);
        if (n == 0) {
            return;
        }
        serve_run(c, blocks, (uint32_t)n);
    }
}

/* Was what it asked for dropped by a choke meanwhile? */
static bool is_still_wanted(const struct conn *c, const struct disk_job *job)
{
    return !job->marked || (!c->peer.choking && c->unchoked_ms <= job->begun_ms);
}

static struct conn *reader(struct torrent *t, const struct disk_job *job)
{
    struct conn *c = engine_conn(t->e, job->conn);
    return c == NULL || c->gone || c->t != t ? NULL : c;
}

static void run_came(struct conn *c, const struct disk_job *job)
{
    const struct wire_block *last = &job->blocks[job->n_blocks - 1];
    uint32_t len = last->begin + last->len - job->blocks[0].begin;
    c->reads_len -= len < c->reads_len ? len : c->reads_len;
}

void torrent_on_read(struct torrent *t, struct disk_job *job)
{
    struct conn *c = reader(t, job);
    if (c != NULL) {
        run_came(c, job);
        if (job->status < 0 || !is_still_wanted(c, job)) {
            reject_all(c, job->blocks, job->n_blocks);
        } else {
            for (uint32_t i = 0; i < job->n_blocks; i++) {
                const struct wire_block *b = &job->blocks[i];
                peer_send_block(&c->peer, b, job->bufs[0], b->begin - job->begin, torrent_now(t));
            }
            conn_wake(c);
        }
    }
    if (job->status < 0 && torrent_is_running(t)) {
        torrent_on_disk_error(t, job);
    }
}

/* ---- seed mode */

void torrent_seed_mode_end(struct torrent *t)
{
    t->flags &= ~(unsigned)TORRENT_SEED_MODE;
    free(t->verified);
    t->verified = NULL;
    t->n_verified = 0;
}

static void set_verified(struct torrent *t, uint32_t piece)
{
    if ((t->flags & TORRENT_SEED_MODE) == 0 || is_verified(t, piece)) {
        return;
    }
    if (t->verified == NULL) {
        t->verified = mem_zeroed(peer_wire_bitfield_len(torrent_n_pieces(t)));
    }
    t->verified[piece / 8] |= (uint8_t)(0x80 >> piece % 8);
    t->n_verified++;
    if (t->n_verified == torrent_n_pieces(t)) {
        torrent_seed_mode_end(t);
        resume_touch(t, false, false);
    }
}

void torrent_on_seed_hash(struct torrent *t, struct disk_job *job)
{
    const uint8_t *wanted = t->meta.pieces.p + (size_t)job->piece * METAINFO_HASH_LEN;
    struct conn *c = reader(t, job);
    if (c != NULL) {
        run_came(c, job);
    }
    if (!torrent_is_running(t) || (t->flags & TORRENT_SEED_MODE) == 0) {
        if (c != NULL) {
            reject_all(c, job->blocks, job->n_blocks);
        }
        return;
    }
    if (job->status < 0) {
        torrent_on_disk_error(t, job);
    } else if (memcmp(job->digest, wanted, METAINFO_HASH_LEN) != 0) {
        torrent_recheck(t);
    } else {
        set_verified(t, job->piece);
        if (c != NULL && !is_still_wanted(c, job)) {
            reject_all(c, job->blocks, job->n_blocks);
        } else if (c != NULL) {
            read_run(c, job->blocks, job->n_blocks, job->marked);
            job->blocks = NULL;
        }
    }
}

/* ---- super-seeding */

bool torrent_is_super_seeding(const struct torrent *t)
{
    return (t->flags & TORRENT_SUPER_SEEDING) != 0 && t->pieces != NULL &&
           pieces_is_complete(t->pieces);
}

static bool is_shown(const struct torrent *t, uint32_t piece)
{
    LIST_FOREACH_SAFE (node, &t->conns) {
        struct conn *c = conn_of(node);
        if (c->greeted && c->super_piece == piece) {
            return true;
        }
    }
    return false;
}

void conn_super_show(struct conn *c)
{
    struct torrent *t = c->t;
    if (!c->greeted || !torrent_is_super_seeding(t) || c->peer.seed) {
        return;
    }
    uint32_t n_pieces = torrent_n_pieces(t);
    uint32_t other = UINT32_MAX; /* that is shown to somebody already */
    for (uint32_t i = 0; i < n_pieces; i++) {
        uint32_t piece = (t->super_at + i) % n_pieces;
        if (peer_has(&c->peer, piece) || piece == c->super_piece) {
            continue;
        }
        if (!is_shown(t, piece)) {
            other = piece;
            break;
        }
        if (other == UINT32_MAX) {
            other = piece;
        }
    }
    if (other == UINT32_MAX) {
        return;
    }
    t->super_at = (other + 1) % n_pieces;
    c->super_piece = other;
    peer_send_have(&c->peer, other, torrent_now(t));
    conn_wake(c);
}

void torrent_super_on_have(struct conn *c, uint32_t piece)
{
    struct torrent *t = c->t;
    if (!torrent_is_super_seeding(t)) {
        return;
    }
    bool alone = t->n_connected <= 1 + t->n_seeds;
    LIST_FOREACH_SAFE (node, &t->conns) {
        struct conn *other = conn_of(node);
        if (other->greeted && other->super_piece == piece && (other != c || alone)) {
            conn_super_show(other);
        }
    }
}

void torrent_super_round(struct torrent *t)
{
    if (!torrent_is_super_seeding(t) || t->choke_round % SUPER_ROUNDS != 0) {
        return;
    }
    LIST_FOREACH_SAFE (node, &t->conns) {
        struct conn *c = conn_of(node);
        if (c->greeted && (c->super_piece == UINT32_MAX || peer_has(&c->peer, c->super_piece))) {
            conn_super_show(c);
        }
    }
}
