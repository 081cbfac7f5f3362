/* What a peer asks of us.
 *
 * 1. A request lies within its piece and asks for at most WIRE_BLOCK_LEN bytes. Others are refused;
 *    more than PEER_INVALID_MAX of them are no mistakes any more.
 * 2. While it is choked it may ask for pieces of its allowed fast set, for each of them
 *    FAST_TIMES times. Anything else is refused, and from PEER_CHOKED_GRACE_MS after our choke has
 *    left on it is no crossing of messages but a peer that does not listen.
 * 3. PEER_UPLOADS_MAX wait, as reqq tells it; what comes on top is refused.
 * 4. Refused is a reject with the fast extension and silence without (BEP 6). With it, every request
 *    ends in its block or in a reject, and never in both.
 * 5. A choke drops what waits here and the blocks that wait to be sent, but for those pieces that it
 *    is allowed while choked. So what waits here may always be served.
 * 6. Who asks without having said that it is interested, is.
 */
#include "client/peer_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#include "base/banned.h"

enum {
    UPLOADS_MIN = 8,
    FAST_TIMES = 3,
};

static bool block_eq(const struct wire_block *a, const struct wire_block *b)
{
    return a->piece == b->piece && a->begin == b->begin && a->len == b->len;
}

/* Where the piece is in what it may have while choked; n_given_fast: it is not. */
static size_t find_given(const struct peer *p, uint32_t piece)
{
    size_t i = 0;
    while (i < p->n_given_fast && p->given_fast[i] != piece) {
        i++;
    }
    return i;
}

static bool may_have(const struct peer *p, uint32_t piece)
{
    return !p->choking || find_given(p, piece) < p->n_given_fast;
}

static void refuse(struct peer *p, const struct wire_block *b, uint64_t now_ms)
{
    p->n_refused++;
    peer_send_reject(p, b, now_ms);
}

static void keep(struct peer *p, const struct wire_block *b)
{
    if (p->n_uploads == p->uploads_cap) {
        p->uploads_cap = p->uploads_cap == 0 ? UPLOADS_MIN : p->uploads_cap * 2;
        p->uploads = mem_resize(p->uploads, p->uploads_cap, sizeof *p->uploads);
    }
    p->uploads[p->n_uploads++] = *b;
    p->uploads_new = true;
}

/* Only the first n are left. */
static void keep_first(struct peer *p, size_t n)
{
    p->n_uploads = n;
    if (n == 0) {
        free(p->uploads);
        p->uploads = NULL;
        p->uploads_cap = 0;
    }
}

static int on_invalid(struct peer *p, const struct wire_block *b, uint64_t now_ms, const char **why)
{
    p->n_invalid++;
    if (p->messages != NULL) {
        p->messages->requests_invalid++;
    }
    if (p->n_invalid > PEER_INVALID_MAX) {
        *why = "too many requests that are invalid";
        return ERR_LIMIT;
    }
    refuse(p, b, now_ms);
    return 0;
}

/* It is choked, and the piece is none that it may have all the same. */
static int on_choked(struct peer *p, const struct wire_block *b, uint64_t now_ms, const char **why)
{
    if (p->messages != NULL) {
        p->messages->requests_choked++;
    }
    if (p->sendq.len > 0 && p->sendq.sent < p->choked_sent) {
        p->choked_ms = now_ms; /* our choke still waits behind other bytes */
    }
    if (now_ms - p->choked_ms > PEER_CHOKED_GRACE_MS) {
        *why = "requests while choked";
        return ERR_LIMIT;
    }
    refuse(p, b, now_ms);
    return 0;
}

/* 0: it may be kept; PEER_TOLD: refused. */
static int check_request(struct peer *p, const struct wire_block *b, uint64_t now_ms,
                         const char **why)
{
    int rc = 0;
    size_t given = find_given(p, b->piece);
    if (!peer_wire_request_ok(&p->geometry, b, WIRE_BLOCK_LEN)) {
        rc = on_invalid(p, b, now_ms, why);
    } else if (p->choking && given == p->n_given_fast) {
        rc = on_choked(p, b, now_ms, why);
    } else if (p->n_uploads == PEER_UPLOADS_MAX) {
        if (p->messages != NULL) {
            p->messages->requests_over++;
        }
        refuse(p, b, now_ms);
    } else if (p->choking) {
        uint32_t n_blocks = (peer_wire_piece_len(&p->geometry, b->piece) - 1) / WIRE_BLOCK_LEN + 1;
        if (++p->given_fast_asked[given] <= FAST_TIMES * n_blocks) {
            return 0;
        }
        *why = "asks for an allowed fast piece again and again";
        rc = ERR_LIMIT;
    } else {
        return 0;
    }
    return rc < 0 ? rc : PEER_TOLD;
}

int peer_on_request(struct peer *p, const struct wire_block *b, uint64_t now_ms,
                    struct peer_event *ev, const char **why)
{
    int rc = check_request(p, b, now_ms, why);
    if (rc < 0) {
        return rc;
    }
    if (rc == 0) {
        keep(p, b);
    }
    if (p->peer_interested) {
        return 0;
    }
    p->peer_interested = true;
    ev->kind = PEER_EV_INTERESTED;
    return PEER_TOLD;
}

struct refusing {
    struct peer *p;
    uint64_t now_ms;
};

static void on_taken_back(void *ctx, const struct wire_block *b)
{
    struct refusing *r = ctx;
    peer_send_reject(r->p, b, r->now_ms);
}

void peer_on_cancel(struct peer *p, const struct wire_block *b, uint64_t now_ms)
{
    struct refusing refusing = {.p = p, .now_ms = now_ms};
    for (size_t i = 0; i < p->n_uploads; i++) {
        if (block_eq(&p->uploads[i], b)) {
            memmove(&p->uploads[i], &p->uploads[i + 1],
                    (p->n_uploads - i - 1) * sizeof *p->uploads);
            keep_first(p, p->n_uploads - 1);
            peer_send_reject(p, b, now_ms);
            return;
        }
    }
    (void)sendq_take_back(&p->sendq, b, on_taken_back, &refusing);
}

void peer_drop_uploads(struct peer *p, uint64_t now_ms)
{
    struct refusing refusing = {.p = p, .now_ms = now_ms};
    size_t kept = 0;
    (void)sendq_take_back(&p->sendq, NULL, on_taken_back, &refusing);
    for (size_t i = 0; i < p->n_uploads; i++) {
        if (may_have(p, p->uploads[i].piece)) {
            p->uploads[kept++] = p->uploads[i];
        } else {
            peer_send_reject(p, &p->uploads[i], now_ms);
        }
    }
    keep_first(p, kept);
    p->choked_ms = now_ms;
    p->choked_sent = p->sendq.sent + p->sendq.len;
}

size_t peer_n_uploads(const struct peer *p)
{
    return p->n_uploads;
}

size_t peer_take_uploads(struct peer *p, struct wire_block *out, size_t cap, size_t max_len)
{
    size_t n_out = 0, kept = 0, len = 0;
    for (size_t i = 0; i < p->n_uploads; i++) {
        const struct wire_block *b = &p->uploads[i];
        const struct wire_block *last = n_out == 0 ? NULL : &out[n_out - 1];
        bool follows =
            last == NULL || (b->piece == last->piece && b->begin == last->begin + last->len);
        if (i == 0 && (cap == 0 || b->len > max_len)) {
            return 0;
        }
        if (follows && n_out < cap && b->len <= max_len - len) {
            len += b->len;
            out[n_out++] = *b;
        } else {
            p->uploads[kept++] = *b;
        }
    }
    keep_first(p, kept);
    return n_out;
}

void peer_send_block(struct peer *p, const struct wire_block *b, struct data_buf *d, uint32_t at,
                     uint64_t now_ms)
{
    if (!may_have(p, b->piece)) {
        peer_send_reject(p, b, now_ms); /* choked while it was read */
        return;
    }
    sendq_add_block(&p->sendq, b, d, at);
    p->sent_ms = now_ms;
}

void peer_send_reject(struct peer *p, const struct wire_block *b, uint64_t now_ms)
{
    if (p->features & WIRE_FAST) {
        peer_queue(p, &(struct peer_wire_msg){.type = WIRE_REJECT, .block = *b}, now_ms);
    }
}

void peer_send_allowed_fast(struct peer *p, const struct infohash *info_hash, struct span have,
                            uint64_t now_ms)
{
    uint32_t set[PEER_ALLOWED_FAST_MAX];
    uint32_t n_pieces = p->geometry.n_pieces;
    /* It helps who has nothing to trade yet. */
    if (!(p->features & WIRE_FAST) || n_pieces == 0 || p->n_given_fast > 0 || p->seed ||
        p->n_have > PEER_ALLOWED_FAST_MAX) {
        return;
    }
    ASSERT(have.n == peer_wire_bitfield_len(n_pieces));
    size_t n =
        peer_wire_allowed_fast(set, PEER_ALLOWED_FAST_MAX, n_pieces, info_hash, &p->remote.addr);
    for (size_t i = 0; i < n; i++) {
        if (have.p[set[i] / 8] & (0x80u >> set[i] % 8)) {
            p->given_fast[p->n_given_fast++] = set[i];
            peer_queue(
                p, &(struct peer_wire_msg){.type = WIRE_ALLOWED_FAST, .block = {.piece = set[i]}},
                now_ms);
        }
    }
}
