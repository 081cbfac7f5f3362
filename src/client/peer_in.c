/* Bytes to events.
 *
 *   in: [ rest of a message | message | message | head of a piece | bytes of its block ... ]
 *         to p->input         where they came in   where it came in  to p->arriving
 *
 * A message that came whole is read where it lies. One that came in parts waits in p->input, which
 * is never longer than that message, and grows with the bytes that are there, not with the length
 * that was announced. The bytes of a block go from the socket's buffer to where they stay, once.
 *
 * A length that its kind of message cannot have is refused when its first five bytes are there
 * (peer_wire_need), so nobody makes us wait for a gigabyte.
 *
 * Each step takes something off the input, or says STEP_MORE.
 */
#include "client/peer_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#include "base/banned.h"

enum {
    STEP_ON = 0,              /* something was taken, nothing is to be told */
    STEP_TOLD = PEER_TOLD,    /* an event */
    STEP_MORE = PEER_TOLD + 1 /* the input is used up */
};

enum {
    INPUT_MIN = 32,
    PEER_ID_LEN = 20,
};

static int malformed(const char **why, const char *text)
{
    *why = text;
    return ERR_MALFORMED;
}

/* ---- the stream ------------------------------------------------------------------------------ */

static void advance(struct peer *p, struct span *in, size_t n)
{
    *in = span_sub(*in, n, in->n);
    p->totals.down += n;
}

/* The bytes of the next message that are to be seen in one piece. */
static struct span seen(const struct peer *p, struct span in)
{
    return p->input_len > 0 ? span_of(p->input, p->input_len) : in;
}

/* See to it that these are at least need bytes. False: they are not all here yet. */
static bool see(struct peer *p, struct span *in, size_t need)
{
    if (p->input_len >= need || (p->input_len == 0 && in->n >= need)) {
        return true;
    }
    size_t n = need - p->input_len < in->n ? need - p->input_len : in->n;
    size_t len = p->input_len + n;
    if (n == 0) {
        return false;
    }
    if (len > p->input_cap) {
        size_t cap = p->input_cap * 2 < need ? p->input_cap * 2 : need;
        cap = cap < len ? len : cap;
        p->input_cap = cap < INPUT_MIN ? INPUT_MIN : cap;
        p->input = mem_resize(p->input, p->input_cap, 1);
    }
    memcpy(p->input + p->input_len, in->p, n);
    p->input_len = len;
    advance(p, in, n);
    return len == need;
}

/* The first n bytes that were seen are done with; they stay where they are until the next call. */
static void consume(struct peer *p, struct span *in, size_t n)
{
    if (p->input_len > 0) {
        ASSERT(n == p->input_len);
        p->input_len = 0;
    } else {
        advance(p, in, n);
    }
}

/* What an earlier event pointed to, and memory that is not needed. */
static void let_go(struct peer *p)
{
    if (p->input_len == 0) {
        free(p->input);
        p->input = NULL;
        p->input_cap = 0;
    }
    if (p->arriving != NULL && p->arriving_len == p->arriving_block.len) {
        data_unref(p->arriving);
        p->arriving = NULL;
    }
}

/* ---- handshake ------------------------------------------------------------------------------- */

static int next_info_hash(struct peer *p, struct span *in, struct peer_event *ev, const char **why)
{
    struct peer_wire_handshake h;
    bool all = see(p, in, WIRE_HANDSHAKE_HEAD_LEN);
    ssize_t n = peer_wire_handshake_head_decode(
        &h, span_sub(seen(p, *in), 0, WIRE_HANDSHAKE_HEAD_LEN), why);
    if (n < 0) {
        return (int)n;
    }
    if (!all) {
        return STEP_MORE;
    }
    consume(p, in, WIRE_HANDSHAKE_HEAD_LEN);
    p->features &= h.features;
    p->state = PEER_IDENTIFY;
    if (p->incoming) {
        ev->kind = PEER_EV_INFO_HASH;
        ev->info_hash = h.info_hash;
        return STEP_TOLD;
    }
    ASSERT(p->started);
    return infohash_eq(&h.info_hash, &p->info_hash)
               ? STEP_ON
               : malformed(why, "handshake is for another torrent");
}

static int next_peer_id(struct peer *p, struct span *in, uint64_t now_ms, struct peer_event *ev)
{
    ASSERT(p->started);
    if (!see(p, in, PEER_ID_LEN)) {
        return STEP_MORE;
    }
    memcpy(p->peer_id.b, seen(p, *in).p, PEER_ID_LEN);
    consume(p, in, PEER_ID_LEN);
    p->state = PEER_READY;
    p->choked_ms = now_ms;
    ev->kind = PEER_EV_READY;
    return STEP_TOLD;
}

/* ---- messages -------------------------------------------------------------------------------- */

static int told(struct peer_event *ev, enum peer_event_kind kind)
{
    ev->kind = kind;
    return STEP_TOLD;
}

/* A flag of the peer's; told when it changes. */
static int on_flag(bool *flag, bool value, struct peer_event *ev, enum peer_event_kind kind)
{
    if (*flag == value) {
        return STEP_ON;
    }
    *flag = value;
    return told(ev, kind);
}

static int on_reject(const struct peer *p, const struct wire_block *b, struct peer_event *ev)
{
    if (!peer_wire_request_ok(&p->geometry, b, WIRE_BLOCK_LEN)) {
        return STEP_ON; /* we never asked for such a block */
    }
    ev->block = *b;
    return told(ev, PEER_EV_REJECT);
}

static int on_piece(struct peer *p, const struct wire_block *b, struct peer_event *ev,
                    const char **why)
{
    uint32_t piece_len = peer_wire_piece_len(&p->geometry, b->piece);
    if (b->len == 0 && b->begin < piece_len) {
        uint32_t left = piece_len - b->begin;
        struct wire_block usual = *b;
        usual.len = left < WIRE_BLOCK_LEN ? left : WIRE_BLOCK_LEN;
        return on_reject(p, &usual, ev);
    }
    if (!peer_wire_request_ok(&p->geometry, b, WIRE_BLOCK_LEN)) {
        return malformed(why, "block that there is not");
    }
    p->arriving = data_new(p->pool, DATA_BLOCK_LEN);
    p->arriving_block = *b;
    p->arriving_len = 0;
    return STEP_ON;
}

static int next_of_block(struct peer *p, struct span *in, struct peer_event *ev)
{
    size_t left = p->arriving_block.len - p->arriving_len;
    size_t n = left < in->n ? left : in->n;
    if (n > 0) {
        memcpy(p->arriving->p + p->arriving_len, in->p, n);
        advance(p, in, n);
        p->arriving_len += (uint32_t)n;
        p->totals.down_payload += n;
    }
    if (n < left) {
        return STEP_MORE;
    }
    p->arriving->len = p->arriving_len;
    ev->block = p->arriving_block;
    ev->data = p->arriving;
    return told(ev, PEER_EV_BLOCK);
}

static int on_allowed_fast(struct peer *p, uint32_t piece, struct peer_event *ev)
{
    uint32_t n_pieces = p->geometry.n_pieces;
    if (piece >= (n_pieces == 0 ? PEER_PIECES_MAX : n_pieces) ||
        p->n_fast == PEER_ALLOWED_FAST_MAX) {
        return STEP_ON;
    }
    for (size_t i = 0; i < p->n_fast; i++) {
        if (p->fast[i] == piece) {
            return STEP_ON;
        }
    }
    p->fast[p->n_fast++] = piece;
    ev->block.piece = piece;
    return n_pieces == 0 ? STEP_ON : told(ev, PEER_EV_FAST);
}

/* The messages of BEP 6. */
static int on_fast(struct peer *p, const struct peer_wire_msg *msg, struct peer_event *ev,
                   const char **why)
{
    if (!(p->features & WIRE_FAST)) {
        return malformed(why, "message of the fast extension, which was not agreed");
    }
    if (msg->type == WIRE_HAVE_ALL || msg->type == WIRE_HAVE_NONE) {
        return peer_on_have_all(p, msg->type == WIRE_HAVE_ALL, ev);
    }
    if (msg->type == WIRE_REJECT) {
        return on_reject(p, &msg->block, ev);
    }
    if (msg->type == WIRE_ALLOWED_FAST) {
        return on_allowed_fast(p, msg->block.piece, ev);
    }
    return STEP_ON; /* suggest: rarest first knows better */
}

static void count_in(struct peer *p, enum wire_type type)
{
    if (p->messages != NULL && type < WIRE_EXTENDED_MSG) {
        p->messages->in[type]++;
    }
}

static int on_message(struct peer *p, const struct peer_wire_msg *msg, uint64_t now_ms,
                      struct peer_event *ev, const char **why)
{
    count_in(p, msg->type);
    switch (msg->type) {
    case WIRE_CHOKE:
        return on_flag(&p->peer_choking, true, ev, PEER_EV_CHOKE);
    case WIRE_UNCHOKE:
        return on_flag(&p->peer_choking, false, ev, PEER_EV_UNCHOKE);
    case WIRE_INTERESTED:
        return on_flag(&p->peer_interested, true, ev, PEER_EV_INTERESTED);
    case WIRE_NOT_INTERESTED:
        return on_flag(&p->peer_interested, false, ev, PEER_EV_NOT_INTERESTED);
    case WIRE_HAVE:
        return peer_on_have(p, msg->block.piece, ev, why);
    case WIRE_BITFIELD:
        return peer_on_bitfield(p, msg->payload, ev, why);
    case WIRE_REQUEST:
        return peer_on_request(p, &msg->block, now_ms, ev, why);
    case WIRE_PIECE:
        return on_piece(p, &msg->block, ev, why);
    case WIRE_CANCEL:
        peer_on_cancel(p, &msg->block, now_ms);
        return STEP_ON;
    case WIRE_PORT:
        ev->port = msg->port;
        return msg->port == 0 ? STEP_ON : told(ev, PEER_EV_PORT);
    case WIRE_SUGGEST:
    case WIRE_HAVE_ALL:
    case WIRE_HAVE_NONE:
    case WIRE_REJECT:
    case WIRE_ALLOWED_FAST:
        return on_fast(p, msg, ev, why);
    case WIRE_EXTENDED_MSG:
        return peer_on_extended(p, msg, ev, why);
    case WIRE_KEEP_ALIVE:
    case WIRE_UNKNOWN:
        break;
    }
    return STEP_ON;
}

static int next_message(struct peer *p, struct span *in, uint64_t now_ms, struct peer_event *ev,
                        const char **why)
{
    struct peer_wire_msg msg;
    ssize_t need = peer_wire_need(seen(p, *in), &p->limits, why);
    while (need >= 0 && seen(p, *in).n < (size_t)need) {
        if (!see(p, in, (size_t)need)) {
            return STEP_MORE;
        }
        need = peer_wire_need(seen(p, *in), &p->limits, why);
    }
    if (need < 0) {
        return (int)need;
    }
    ssize_t n = peer_wire_decode(&msg, seen(p, *in), &p->limits, why);
    if (n < 0) {
        return (int)n;
    }
    consume(p, in, (size_t)n);
    return on_message(p, &msg, now_ms, ev, why);
}

/* Once for all requests of the input, so that neighbours are taken together. */
static int at_end_of_input(struct peer *p, struct peer_event *ev)
{
    bool is_due = p->uploads_new && p->n_uploads > 0;
    p->uploads_new = false;
    if (p->input_len == 0) {
        let_go(p);
    }
    return is_due ? told(ev, PEER_EV_UPLOADS) : 0;
}

int peer_next(struct peer *p, struct span *in, uint64_t now_ms, struct peer_event *ev,
              const char **why)
{
    int step = STEP_ON;
    let_go(p);
    if (in->n > 0) {
        p->received_ms = now_ms;
    }
    while (step == STEP_ON) {
        if (p->arriving != NULL) {
            step = next_of_block(p, in, ev);
        } else if (p->later != NULL) {
            step = peer_next_later(p, ev);
        } else if (p->state == PEER_READY) {
            step = next_message(p, in, now_ms, ev, why);
        } else if (p->state == PEER_HANDSHAKE) {
            step = next_info_hash(p, in, ev, why);
        } else {
            step = next_peer_id(p, in, now_ms, ev);
        }
    }
    return step == STEP_MORE ? at_end_of_input(p, ev) : step;
}
