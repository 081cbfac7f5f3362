/* A ring of segments over one run of bytes.
 *
 *   segments:   [ message message ] [ head | block ] [ head | block ] [ message ]
 *   bytes:        ================    ====             ====             =======
 *   data bufs:                               ------           ------
 *
 * Small messages and the heads of blocks lie in `bytes` one behind the other, in the order in which
 * they go out, so that a message and the head behind it are one part of a writev. Only the blocks
 * themselves are elsewhere, in counted buffers: nothing of a block is ever copied.
 *
 * Invariants  the bytes that the segments have not sent yet are exactly bytes[bytes_at, bytes_end);
 *             len and payload_len are what is left of all segments; only the first is ever begun.
 * Taken back  a block leaves a gap in the bytes, which is closed in one pass over what waits. That
 *             is cheap, for it happens once a choke or cancel, not once a block.
 * Empty       nothing is allocated: most connections say nothing most of the time.
 */
#include "client/sendq.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#include "base/banned.h"

enum {
    BYTES_MIN = 128,
    SEGMENTS_MIN = 8, /* a power of two, as every cap */
};

/* Bytes of small messages, then a block (data NULL: none). */
struct sendq_segment {
    struct data_buf *data;
    uint32_t at; /* where the block begins in data */
    uint32_t head_len;
    struct wire_block block; /* len 0: messages only */
};

static struct sendq_segment *segment(const struct sendq *q, size_t i)
{
    return &q->segments[(q->first + i) & (q->cap - 1)];
}

static void release_memory(struct sendq *q)
{
    free(q->segments);
    free(q->bytes);
    q->segments = NULL;
    q->bytes = NULL;
    q->cap = q->first = 0;
    q->bytes_cap = q->bytes_at = q->bytes_end = 0;
    q->sent_of_first = 0;
}

void sendq_release(struct sendq *q)
{
    for (size_t i = 0; i < q->n; i++) {
        data_unref(segment(q, i)->data);
    }
    release_memory(q);
    *q = (struct sendq){.len = 0};
}

bool sendq_is_over(const struct sendq *q)
{
    return q->over;
}

static struct sendq_segment *add_segment(struct sendq *q)
{
    if (q->n == q->cap) {
        size_t cap = q->cap == 0 ? SEGMENTS_MIN : q->cap * 2;
        struct sendq_segment *segments = mem_array(cap, sizeof *segments);
        for (size_t i = 0; i < q->n; i++) {
            segments[i] = *segment(q, i);
        }
        free(q->segments);
        q->segments = segments;
        q->cap = cap;
        q->first = 0;
    }
    struct sendq_segment *s = segment(q, q->n++);
    *s = (struct sendq_segment){.data = NULL};
    return s;
}

/* Move the bytes to the front. Unless that frees half of the memory, it grows as well, so that each
 * move pays for many messages. */
static void make_room(struct sendq *q, size_t n)
{
    size_t waiting = q->bytes_end - q->bytes_at;
    size_t cap = q->bytes_cap == 0 ? BYTES_MIN : q->bytes_cap;
    if (q->bytes_at > 0) {
        memmove(q->bytes, q->bytes + q->bytes_at, waiting);
        q->bytes_at = 0;
        q->bytes_end = waiting;
        cap = waiting > cap / 2 ? cap * 2 : cap;
    }
    while (cap - waiting < n) {
        cap *= 2;
    }
    if (cap != q->bytes_cap) {
        q->bytes = mem_resize(q->bytes, cap, 1);
        q->bytes_cap = cap;
    }
}

/* Room for n more small bytes, counted as taken; NULL: that would be too many, and the queue is
 * over from now on. */
static uint8_t *reserve(struct sendq *q, size_t n)
{
    size_t waiting = q->bytes_end - q->bytes_at;
    if (q->over || n > SENDQ_BYTES_MAX - waiting) {
        q->over = true;
        return NULL;
    }
    if (n > q->bytes_cap - q->bytes_end) {
        make_room(q, n);
    }
    uint8_t *at = q->bytes + q->bytes_end;
    q->bytes_end += n;
    q->len += n;
    return at;
}

void sendq_add(struct sendq *q, struct span message)
{
    uint8_t *at = message.n == 0 ? NULL : reserve(q, message.n);
    if (at == NULL) {
        return;
    }
    memcpy(at, message.p, message.n);
    struct sendq_segment *last = q->n == 0 ? NULL : segment(q, q->n - 1);
    if (last == NULL || last->data != NULL) {
        last = add_segment(q);
    }
    last->head_len += (uint32_t)message.n;
}

void sendq_add_block(struct sendq *q, const struct wire_block *b, struct data_buf *d, uint32_t at)
{
    ASSERT(b->len > 0 && at <= d->len && b->len <= d->len - at);
    uint8_t *head = reserve(q, WIRE_PIECE_HEAD_LEN);
    if (head == NULL) {
        return;
    }
    struct wr w = wr_over(head, WIRE_PIECE_HEAD_LEN);
    peer_wire_encode(&w, &(struct peer_wire_msg){.type = WIRE_PIECE, .block = *b});
    ASSERT(!w.bad && wr_len(&w) == WIRE_PIECE_HEAD_LEN);
    *add_segment(q) = (struct sendq_segment){
        .data = data_ref(d),
        .at = at,
        .head_len = WIRE_PIECE_HEAD_LEN,
        .block = *b,
    };
    q->len += b->len;
    q->payload_len += b->len;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Bytes of the i-th segment that have gone. */
static size_t sent_of(const struct sendq *q, size_t i)
{
    return i == 0 ? q->sent_of_first : 0;
}

struct parts {
    struct iovec *out;
    size_t cap;
    size_t n;
    size_t room; /* bytes that may still be given */
};

/* False: no more can be given. */
static bool add_part(struct parts *parts, uint8_t *p, size_t n)
{
    struct iovec *last = parts->n == 0 ? NULL : &parts->out[parts->n - 1];
    bool follows = last != NULL && (uint8_t *)last->iov_base + last->iov_len == p;
    if (n == 0) {
        return true;
    }
    if (parts->room == 0 || (!follows && parts->n == parts->cap)) {
        return false;
    }
    size_t given = n < parts->room ? n : parts->room;
    if (follows) {
        last->iov_len += given;
    } else {
        parts->out[parts->n++] = (struct iovec){.iov_base = p, .iov_len = given};
    }
    parts->room -= given;
    return given == n;
}

size_t sendq_iov(struct sendq *q, struct iovec *out, size_t cap, size_t limit)
{
    struct parts parts = {.out = out, .cap = cap, .room = limit};
    uint8_t *bytes = q->n == 0 ? NULL : q->bytes + q->bytes_at;
    for (size_t i = 0; i < q->n; i++) {
        const struct sendq_segment *s = segment(q, i);
        size_t sent = sent_of(q, i);
        size_t head_left = sent < s->head_len ? s->head_len - sent : 0;
        size_t block_sent = sent < s->head_len ? 0 : sent - s->head_len;
        if (!add_part(&parts, bytes, head_left)) {
            break;
        }
        if (s->data != NULL &&
            !add_part(&parts, s->data->p + s->at + block_sent, s->block.len - block_sent)) {
            break;
        }
        bytes += head_left;
    }
    return parts.n;
}

size_t sendq_sent(struct sendq *q, size_t n)
{
    size_t payload = 0;
    ASSERT(n <= q->len);
    q->len -= n;
    q->sent += n;
    while (n > 0) {
        struct sendq_segment *s = segment(q, 0);
        size_t before = q->sent_of_first;
        size_t left = (size_t)s->head_len + s->block.len - before;
        size_t now = n < left ? n : left;
        size_t head_left = before < s->head_len ? s->head_len - before : 0;
        size_t of_head = now < head_left ? now : head_left;
        q->bytes_at += of_head;
        payload += now - of_head;
        q->sent_of_first = before + now;
        n -= now;
        if (now == left) {
            q->n_blocks += s->data != NULL ? 1 : 0;
            data_unref(s->data);
            q->first = (q->first + 1) & (q->cap - 1);
            q->n--;
            q->sent_of_first = 0;
        }
    }
    q->payload_len -= payload;
    if (q->n == 0) {
        release_memory(q);
    }
    return payload;
}

/* ---- taking back ----------------------------------------------------------------------------- */

static bool is_taken_back(const struct sendq *q, size_t i, const struct wire_block *b)
{
    const struct sendq_segment *s = segment(q, i);
    return s->data != NULL && sent_of(q, i) == 0 &&
           (b == NULL ||
            (s->block.piece == b->piece && s->block.begin == b->begin && s->block.len == b->len));
}

/* The first segment from i on that goes; n when none does. */
static size_t find_block(const struct sendq *q, size_t i, const struct wire_block *b)
{
    while (i < q->n && !is_taken_back(q, i, b)) {
        i++;
    }
    return i;
}

/* Remove the block that is the i-th segment and all (or none, when one was asked for) behind it;
 * they are kept in out. Returns their number. */
static size_t take_back_from(struct sendq *q, size_t i, const struct wire_block *b,
                             struct wire_block *out)
{
    size_t n_out = 0, kept = i, n = q->n;
    size_t from = q->bytes_end;
    for (size_t k = i; k < n; k++) {
        from -= segment(q, k)->head_len; /* none of them was begun */
    }
    size_t to = from;
    for (; i < n; i++) {
        struct sendq_segment *s = segment(q, i);
        size_t head_len = s->head_len;
        if ((b == NULL || n_out == 0) && is_taken_back(q, i, b)) {
            q->len -= head_len + s->block.len;
            q->payload_len -= s->block.len;
            out[n_out++] = s->block;
            data_unref(s->data);
        } else {
            memmove(q->bytes + to, q->bytes + from, head_len);
            to += head_len;
            *segment(q, kept++) = *s;
        }
        from += head_len;
    }
    q->n = kept;
    q->bytes_end = to;
    return n_out;
}

size_t sendq_take_back(struct sendq *q, const struct wire_block *b,
                       void (*taken)(void *ctx, const struct wire_block *b), void *ctx)
{
    size_t first = find_block(q, 0, b);
    if (first == q->n) {
        return 0;
    }
    /* Told once the queue is in order again, for the caller may add its reject at once. */
    struct wire_block *blocks = mem_array(b == NULL ? q->n : 1, sizeof *blocks);
    size_t n = take_back_from(q, first, b, blocks);
    if (q->n == 0) {
        release_memory(q);
    }
    for (size_t i = 0; taken != NULL && i < n; i++) {
        taken(ctx, &blocks[i]);
    }
    free(blocks);
    return n;
}
