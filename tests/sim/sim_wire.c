/* A man in the middle who reads along: what each side may know, and what it may therefore send.
 *
 * Each message is looked at twice. When it is sent, it must be right by what its sender knows then;
 * when it arrives, the receiver knows more. Between the two it is a note. Rules:
 *
 *   have      what is said to be had is on the sender's disk, and right.
 *   request   of a piece that the peer is known to have; not while it is known to choke, unless it
 *             allowed the piece; never the same block twice at a time; no more than the peer keeps.
 *   piece     answers a request that has arrived, once; its bytes are right (unless the disk lies).
 *             None while choking, unless the piece was allowed.
 *   reject    answers a request that has arrived, once.
 *   private   a torrent that is private has no word of PEX.
 *
 * A request may cross with a choke: those that were queued when the choke came are let pass.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proto/ext.h"
#include "sim/sim_impl.h"

#include "base/banned.h"

enum {
    PART_MAX = 1 << 18,
    REQQ_DEFAULT = 250,
};

void sim_wire_init(struct sim_wire *w, struct sim_node *from, struct sim_node *to)
{
    *w = (struct sim_wire){
        .from = from, .to = to, .choking = true, .choking_said = true, .reqq = REQQ_DEFAULT};
}

void sim_wire_release(struct sim_wire *w)
{
    free(w->part);
    free(w->notes);
    free(w->asks);
    free(w->have);
    free(w->bitfield);
    *w = (struct sim_wire){.from = w->from, .to = w->to};
}

/* ---- requests under way ------------------------------------------------------------------------- */

static bool block_eq(const struct wire_block *a, const struct wire_block *b)
{
    return a->piece == b->piece && a->begin == b->begin && a->len == b->len;
}

static struct sim_ask *ask_find(struct sim_wire *w, const struct wire_block *b, bool answered)
{
    for (size_t i = 0; i < w->n_asks; i++) {
        if (w->asks[i].answered == answered && block_eq(&w->asks[i].block, b)) {
            return &w->asks[i];
        }
    }
    return NULL;
}

/* One that was not taken back; its answer may be on its way. */
static struct sim_ask *ask_find_open(struct sim_wire *w, const struct wire_block *b)
{
    for (size_t i = 0; i < w->n_asks; i++) {
        if (!w->asks[i].canceled && block_eq(&w->asks[i].block, b)) {
            return &w->asks[i];
        }
    }
    return NULL;
}

static void ask_remove(struct sim_wire *w, struct sim_ask *a)
{
    size_t i = (size_t)(a - w->asks);
    if (a->canceled) {
        w->doubtful[w->n_doubtful++ % SIM_DOUBTFUL] = a->block;
    }
    memmove(a, a + 1, (w->n_asks - i - 1) * sizeof *a);
    w->n_asks--;
}

/* It was asked, taken back and answered: who asked again in between cannot tell which request the
 * answer was for, and may ask once too often. */
static bool is_doubtful(const struct sim_wire *w, const struct wire_block *b)
{
    for (size_t i = 0; i < w->n_doubtful && i < SIM_DOUBTFUL; i++) {
        if (block_eq(&w->doubtful[i], b)) {
            return true;
        }
    }
    return false;
}

size_t sim_wire_n_open(const struct sim_wire *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n_asks; i++) {
        n += !w->asks[i].answered && !w->asks[i].canceled;
    }
    return n;
}

static bool is_among(const uint32_t *pieces, size_t n, uint32_t piece)
{
    for (size_t i = 0; i < n; i++) {
        if (pieces[i] == piece) {
            return true;
        }
    }
    return false;
}

/* ---- what is sent --------------------------------------------------------------------------------- */

static bool has_bit(const uint8_t *bits, uint32_t i)
{
    return (bits[i / 8] >> (7 - i % 8) & 1) != 0;
}

static struct sim_member *member_of(struct sim_node *n, const struct sim_torrent *t)
{
    SIM_FOREACH_MEMBER(m, n)
    {
        if (m->t == t && !m->removed) {
            return m;
        }
    }
    return NULL;
}

static void must_have(struct sim_wire *w, uint32_t piece)
{
    struct sim_member *m = member_of(w->from, w->t);
    if (piece >= w->t->meta.n_pieces || m == NULL || !sim_has_piece(m, piece)) {
        sim_fail(w->from->s, w->from, "it tells node %u that it has piece %u, and has not",
                 w->to->index, piece);
    }
}

static void on_have_sent(struct sim_wire *w, const struct peer_wire_msg *msg)
{
    uint32_t n = w->t->meta.n_pieces;
    if (msg->type == WIRE_HAVE) {
        must_have(w, msg->block.piece);
        return;
    }
    w->bitfield = w->bitfield == NULL ? mem_zeroed(peer_wire_bitfield_len(n)) : w->bitfield;
    if (msg->type == WIRE_BITFIELD) {
        memcpy(w->bitfield, msg->payload.p, msg->payload.n);
    } else if (msg->type == WIRE_HAVE_ALL) {
        memset(w->bitfield, 0xff, peer_wire_bitfield_len(n));
    }
    for (uint32_t i = 0; i < n; i++) {
        if (has_bit(w->bitfield, i)) {
            must_have(w, i);
        }
    }
}

static void on_request_sent(struct sim_wire *w, const struct sim_wire *back,
                            const struct wire_block *b)
{
    struct sim_node *n = w->from;
    if (!peer_wire_request_ok(&w->t->layout->geometry, b, WIRE_BLOCK_LEN)) {
        sim_fail(n->s, n, "a request outside of the torrent");
    }
    if (back->have == NULL || !has_bit(back->have, b->piece)) {
        sim_fail(n->s, n, "it asks node %u for piece %u, which that has not", w->to->index,
                 b->piece);
    }
    if (back->choking && w->written > back->strict_from &&
        !is_among(back->fast, back->n_fast, b->piece)) {
        sim_fail(n->s, n, "it asks node %u, by which it is choked", w->to->index);
    }
    if (!w->interested_said) {
        sim_fail(n->s, n, "it asks node %u and is not interested", w->to->index);
    }
    if (ask_find_open(w, b) != NULL && !is_doubtful(w, b)) {
        sim_fail(n->s, n, "it asks node %u twice for %u:%u", w->to->index, b->piece, b->begin);
    }
    if (sim_wire_n_open(w) >= back->reqq) {
        sim_fail(n->s, n, "more than %u requests to node %u", back->reqq, w->to->index);
    }
    if (w->n_asks == w->asks_cap) {
        w->asks_cap = w->asks_cap == 0 ? 16 : w->asks_cap * 2;
        w->asks = mem_resize(w->asks, w->asks_cap, sizeof *w->asks);
    }
    w->asks[w->n_asks++] = (struct sim_ask){.block = *b};
}

static void on_answer_sent(struct sim_wire *w, struct sim_wire *back,
                           const struct peer_wire_msg *msg)
{
    struct sim_node *n = w->from;
    struct sim_ask *a = ask_find(back, &msg->block, false);
    const char *what = msg->type == WIRE_PIECE ? "a block" : "a reject";
    if (a == NULL || !a->arrived) {
        sim_fail(n->s, n, "%s of %u:%u to node %u, which did not ask", what, msg->block.piece,
                 msg->block.begin, w->to->index);
    }
    if (msg->type == WIRE_PIECE && w->choking_said &&
        !is_among(w->fast_said, w->n_fast_said, msg->block.piece)) {
        sim_fail(n->s, n, "a block to node %u, which it chokes", w->to->index);
    }
    a->answered = true;
    if (msg->type == WIRE_PIECE) {
        w->body = msg->block;
        w->body_at = 0;
    }
}

static void on_ext_sent(struct sim_wire *w, const struct peer_wire_msg *msg, struct sim_note *note)
{
    struct ext_handshake h;
    const char *why;
    if (msg->extended_id != EXT_HANDSHAKE_ID) {
        return;
    }
    if (ext_handshake_decode(&h, msg->payload, 1 << 24, &why) < 0) {
        sim_fail(w->from->s, w->from, "an extension handshake: %s", why);
    }
    if (h.id[EXT_UT_PEX] > 0) {
        w->from->s->n_pex++;
    }
    if (memmem(msg->payload.p, msg->payload.n, "ut_pex", 6) != NULL && w->t->meta.private) {
        if (w->had_info) {
            sim_fail(w->from->s, w->from, "PEX in a private torrent");
        }
    }
    note->reqq = h.reqq;
}

static struct sim_note *note_add(struct sim_wire *w, const struct peer_wire_msg *msg, uint64_t end)
{
    if (w->first_note + w->n_notes == w->notes_cap) {
        if (w->n_notes > 0) {
            memmove(w->notes, w->notes + w->first_note, w->n_notes * sizeof *w->notes);
        }
        w->first_note = 0;
        if (w->n_notes * 2 >= w->notes_cap) {
            w->notes_cap = w->notes_cap == 0 ? 32 : w->notes_cap * 2;
            w->notes = mem_resize(w->notes, w->notes_cap, sizeof *w->notes);
        }
    }
    struct sim_note *note = &w->notes[w->first_note + w->n_notes++];
    *note = (struct sim_note){.end = end, .type = msg->type, .block = msg->block};
    return note;
}

static void on_message(struct sim_wire *w, struct sim_wire *back, const struct peer_wire_msg *msg)
{
    uint64_t end = w->written + (msg->type == WIRE_PIECE ? msg->block.len : 0);
    struct sim_note *note = note_add(w, msg, end);
    struct sim_ask *a;
    if (msg->type != WIRE_HAVE) {
        sim_trace(w->from->s, w->from, "sends %d %u:%u to %u", (int)msg->type, msg->block.piece,
                  msg->block.begin, w->to->index);
    }
    switch (msg->type) {
    case WIRE_CHOKE:
    case WIRE_UNCHOKE:
        w->choking_said = msg->type == WIRE_CHOKE;
        break;
    case WIRE_INTERESTED:
    case WIRE_NOT_INTERESTED:
        w->interested_said = msg->type == WIRE_INTERESTED;
        break;
    case WIRE_HAVE:
    case WIRE_BITFIELD:
    case WIRE_HAVE_ALL:
    case WIRE_HAVE_NONE:
        on_have_sent(w, msg);
        break;
    case WIRE_REQUEST:
        on_request_sent(w, back, &msg->block);
        break;
    case WIRE_PIECE:
    case WIRE_REJECT:
        on_answer_sent(w, back, msg);
        break;
    case WIRE_CANCEL:
        a = ask_find_open(w, &msg->block);
        if (a != NULL) {
            a->canceled = true;
        }
        break;
    case WIRE_ALLOWED_FAST:
        if (w->n_fast_said < sizeof w->fast_said / sizeof w->fast_said[0]) {
            w->fast_said[w->n_fast_said++] = msg->block.piece;
        }
        break;
    case WIRE_EXTENDED_MSG:
        on_ext_sent(w, msg, note);
        break;
    case WIRE_PORT:
    case WIRE_SUGGEST:
    case WIRE_KEEP_ALIVE:
        break;
    case WIRE_UNKNOWN:
        sim_fail(w->from->s, w->from, "a message of an unknown kind: %u", msg->id);
    }
}

/* ---- the stream ------------------------------------------------------------------------------------- */

/* Take bytes until the part has n; false when there are too few. */
static bool gather(struct sim_wire *w, struct span *in, size_t n)
{
    size_t len = n > w->part_len ? n - w->part_len : 0;
    len = len < in->n ? len : in->n;
    w->part = w->part == NULL ? mem_array(1, PART_MAX) : w->part;
    ASSERT(w->part_len + len <= PART_MAX);
    memcpy(w->part + w->part_len, in->p, len);
    w->part_len += len;
    w->written += len;
    *in = span_of(in->p + len, in->n - len);
    return w->part_len >= n;
}

static void take_body(struct sim_wire *w, struct span *in)
{
    size_t len = w->body.len - w->body_at;
    uint64_t at = (uint64_t)w->body.piece * w->t->meta.piece_len + w->body.begin + w->body_at;
    len = len < in->n ? len : in->n;
    if (!w->from->lied && memcmp(in->p, w->t->content + at, len) != 0) {
        sim_fail(w->from->s, w->from, "it sends wrong bytes of piece %u", w->body.piece);
    }
    w->body_at += (uint32_t)len;
    w->written += len;
    *in = span_of(in->p + len, in->n - len);
}

static void take_handshake(struct sim_wire *w, struct span *in)
{
    struct peer_wire_handshake h;
    const char *why;
    if (!gather(w, in, WIRE_HANDSHAKE_LEN)) {
        return;
    }
    if (peer_wire_handshake_decode(&h, span_of(w->part, w->part_len), &why) <= 0) {
        sim_fail(w->from->s, w->from, "a handshake: %s", why);
    }
    w->t = sim_torrent_find(w->from->s, &h.info_hash);
    if (w->t == NULL) {
        sim_fail(w->from->s, w->from, "a handshake for an unknown torrent");
    }
    const struct sim_member *m = member_of(w->from, w->t);
    w->part_len = 0;
    w->handshaken = true;
    w->had_info = m != NULL && m->has_info;
}

static void take_message(struct sim_wire *w, struct sim_wire *back, struct span *in)
{
    const struct peer_wire_limits lim = {
        .n_pieces = w->t->meta.n_pieces,
        .block_max = WIRE_BLOCK_LEN,
        .extended_max = 1 << 17,
        .unknown_max = 1 << 10,
    };
    struct peer_wire_msg msg;
    const char *why = "";
    ssize_t need = peer_wire_need(span_of(w->part, w->part_len), &lim, &why);
    if (need > 0 && !gather(w, in, (size_t)need)) {
        return;
    }
    ssize_t used =
        need < 0 ? need : peer_wire_decode(&msg, span_of(w->part, w->part_len), &lim, &why);
    if (used < 0) {
        sim_fail(w->from->s, w->from, "a message: %s", why);
    }
    if (used > 0) {
        ASSERT((size_t)used == w->part_len);
        on_message(w, back, &msg);
        w->part_len = 0;
    }
}

void sim_wire_on_sent(struct sim_wire *w, struct sim_wire *back, struct span bytes)
{
    while (bytes.n > 0) {
        if (!w->handshaken) {
            take_handshake(w, &bytes);
        } else if (w->body_at < w->body.len) {
            take_body(w, &bytes);
        } else {
            take_message(w, back, &bytes);
        }
    }
}

/* ---- what arrives -------------------------------------------------------------------------------------- */

static void learn_bitfield(struct sim_wire *w)
{
    free(w->have);
    w->have = w->bitfield;
    w->bitfield = NULL;
}

static void learn_have(struct sim_wire *w, uint32_t piece)
{
    if (w->have == NULL) {
        w->have = mem_zeroed(peer_wire_bitfield_len(w->t->meta.n_pieces));
    }
    w->have[piece / 8] = (uint8_t)(w->have[piece / 8] | 0x80 >> piece % 8);
}

static void arrive(struct sim_wire *w, struct sim_wire *back, const struct sim_note *note)
{
    struct sim_ask *a;
    if (note->type != WIRE_HAVE) {
        sim_trace(w->from->s, w->to, "gets %d %u:%u from %u", (int)note->type, note->block.piece,
                  note->block.begin, w->from->index);
    }
    switch (note->type) {
    case WIRE_CHOKE:
    case WIRE_UNCHOKE:
        w->choking = note->type == WIRE_CHOKE;
        break;
    case WIRE_HAVE:
        learn_have(w, note->block.piece);
        break;
    case WIRE_BITFIELD:
    case WIRE_HAVE_ALL:
    case WIRE_HAVE_NONE:
        learn_bitfield(w);
        break;
    case WIRE_REQUEST:
        for (size_t i = 0; i < w->n_asks; i++) {
            if (!w->asks[i].arrived && block_eq(&w->asks[i].block, &note->block)) {
                w->asks[i].arrived = true;
                break;
            }
        }
        break;
    case WIRE_PIECE:
    case WIRE_REJECT:
        a = ask_find(back, &note->block, true);
        if (a == NULL) {
            sim_fail(w->from->s, w->from, "an answer that nobody waits for");
        }
        ask_remove(back, a);
        break;
    case WIRE_ALLOWED_FAST:
        if (w->n_fast < sizeof w->fast / sizeof w->fast[0]) {
            w->fast[w->n_fast++] = note->block.piece;
        }
        break;
    case WIRE_EXTENDED_MSG:
        w->reqq = note->reqq > 0 ? note->reqq : w->reqq;
        break;
    case WIRE_INTERESTED:
    case WIRE_NOT_INTERESTED:
    case WIRE_CANCEL:
    case WIRE_PORT:
    case WIRE_SUGGEST:
    case WIRE_KEEP_ALIVE:
    case WIRE_UNKNOWN:
        break;
    }
}

bool sim_wire_on_arrived(struct sim_wire *w, struct sim_wire *back, uint64_t position)
{
    bool choked = false;
    while (w->n_notes > 0 && w->notes[w->first_note].end <= position) {
        choked = choked || w->notes[w->first_note].type == WIRE_CHOKE;
        arrive(w, back, &w->notes[w->first_note]);
        w->first_note++;
        w->n_notes--;
    }
    return choked;
}
