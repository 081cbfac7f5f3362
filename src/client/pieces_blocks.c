/* Blocks of the pieces under way: who is asked, what has come, is it right?
 *
 * Asked     a block counts its askers. It is FREE again when the last of them gave up, and a piece
 *           that begins again keeps as REQUESTED what somebody still owes, so that every request is
 *           settled exactly once: by its block or by pieces_give_back.
 * Hashed    blocks[0 .. n_hashed) are in the stream. A block that is next goes in at once, and with
 *           it those that waited behind the gap: each byte is hashed once, while it is in memory.
 *           The stream is given up (read_back) when a block has to leave memory before its turn.
 * Done      complete and hashed: good, or all over again. Complete and read_back: the caller hashes
 *           what is on the disk.
 */
#include "client/pieces_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#include "base/banned.h"

enum {
    HOLD_BLOCKS = 1 << 10,     /* a piece with a gap: 16 MiB, beyond it is written as it is */
    HOLD_BLOCKS_ALL = 1 << 12, /* all pieces together: 64 MiB */
};

/* The block's number; b was made by pieces_request. */
static uint32_t block_index(const struct pieces *p, const struct partial *part,
                            const struct wire_block *b)
{
    uint32_t i = b->begin / WIRE_BLOCK_LEN;
    ASSERT(b->begin % WIRE_BLOCK_LEN == 0 && i < part->view.n_blocks);
    ASSERT(b->len == partial_block_len(p, part, i));
    return i;
}

static struct wire_block wire_block_of(const struct pieces *p, const struct partial *part,
                                       uint32_t i)
{
    return (struct wire_block){part->view.piece, i * WIRE_BLOCK_LEN, partial_block_len(p, part, i)};
}

/* ---- questions ------------------------------------------------------------------------------- */

enum block_state pieces_block_state(const struct pieces *p, uint32_t piece, uint32_t block)
{
    const struct partial *part = pieces_find(p, piece);
    if (part == NULL) {
        return pieces_has(p, piece) ? BLOCK_WRITTEN : BLOCK_FREE;
    }
    ASSERT(block < part->view.n_blocks);
    return (enum block_state)part->blocks[block].state;
}

uint32_t pieces_block_askers(const struct pieces *p, uint32_t piece, uint32_t block)
{
    const struct partial *part = pieces_find(p, piece);
    if (part == NULL) {
        return 0;
    }
    ASSERT(block < part->view.n_blocks);
    return part->blocks[block].askers;
}

bool pieces_least_asked(const struct pieces *p, uint32_t piece, uint32_t max_askers,
                        struct wire_block *out)
{
    const struct partial *part = pieces_find(p, piece);
    uint32_t best = max_askers;
    if (part == NULL || part->view.n_requested == 0) {
        return false;
    }
    for (uint32_t i = 0; i < part->view.n_blocks && best > 1; i++) {
        const struct block *b = &part->blocks[i];
        if (b->state == BLOCK_REQUESTED && b->askers < best) {
            best = b->askers;
            *out = wire_block_of(p, part, i);
        }
    }
    return best < max_askers;
}

/* ---- asking ---------------------------------------------------------------------------------- */

void pieces_start(struct pieces *p, uint32_t piece, conn_id exclusive)
{
    ASSERT(!pieces_has(p, piece));
    if (!pieces_is_under_way(p, piece)) {
        struct partial *part = pieces_add_partial(p, piece);
        part->view.exclusive = exclusive;
        part->view.owner = exclusive;
    }
}

void pieces_assign(struct pieces *p, uint32_t piece, conn_id owner, bool exclusive)
{
    struct partial *part = pieces_find(p, piece);
    ASSERT(part != NULL);
    part->view.owner = owner;
    part->view.exclusive = exclusive ? owner : 0;
}

size_t pieces_request(struct pieces *p, uint32_t piece, struct wire_block *out, size_t cap)
{
    struct partial *part = pieces_find(p, piece);
    ASSERT(part != NULL);
    size_t n = 0;
    uint32_t i = part->free_from;
    for (; n < cap && part->view.n_free > 0; i++) {
        struct block *b = &part->blocks[i];
        if (b->state == BLOCK_FREE) {
            b->state = BLOCK_REQUESTED;
            b->askers = 1;
            part->view.n_free--;
            part->view.n_requested++;
            out[n++] = wire_block_of(p, part, i);
        }
    }
    part->free_from = i;
    pieces_place(p->work, part);
    return n;
}

void pieces_request_again(struct pieces *p, const struct wire_block *b)
{
    struct partial *part = pieces_find(p, b->piece);
    ASSERT(part != NULL);
    struct block *block = &part->blocks[block_index(p, part, b)];
    ASSERT(block->state == BLOCK_REQUESTED && block->askers < UINT16_MAX);
    block->askers++;
}

void pieces_give_back(struct pieces *p, const struct wire_block *b)
{
    struct partial *part = pieces_find(p, b->piece);
    if (part == NULL) {
        return;
    }
    uint32_t i = block_index(p, part, b);
    struct block *block = &part->blocks[i];
    if (block->askers == 0 || --block->askers > 0 || block->state != BLOCK_REQUESTED) {
        return;
    }
    block->state = BLOCK_FREE;
    part->view.n_requested--;
    part->view.n_free++;
    part->free_from = i < part->free_from ? i : part->free_from;
    pieces_place(p->work, part);
    if (part->view.n_free == part->view.n_blocks) {
        pieces_drop_partial(p, part);
    } else if (part->view.n_requested == 0) {
        part->view.exclusive = 0; /* its peer may be gone */
        part->view.owner = 0;
    }
}

/* ---- the stream ------------------------------------------------------------------------------ */

static void keep_stream(struct pieces_work *w, struct digest_stream *clean)
{
    if (w->n_streams < STREAMS_KEPT) {
        w->streams[w->n_streams++] = clean;
    } else {
        digest_stream_free(clean);
    }
}

void pieces_drop_stream(struct pieces_work *w, struct partial *part)
{
    if (part->stream != NULL) {
        uint8_t unused[20];
        digest_stream_end(part->stream, unused);
        keep_stream(w, part->stream);
        part->stream = NULL;
    }
}

static void hash_what_is_next(struct pieces *p, struct partial *part)
{
    struct pieces_work *w = p->work;
    while (part->n_hashed < part->view.n_blocks &&
           part->blocks[part->n_hashed].state == BLOCK_RECEIVED) {
        if (part->stream == NULL) {
            part->stream = w->n_streams > 0 ? w->streams[--w->n_streams] : digest_stream_new();
        }
        const struct data_buf *d = part->blocks[part->n_hashed].d;
        digest_stream_add(part->stream, span_of(d->p, d->len));
        part->n_hashed++;
    }
}

bool pieces_hash_ok(const struct pieces *p, uint32_t piece, const uint8_t digest[static 20])
{
    return memcmp(p->hashes.p + (size_t)piece * 20, digest, 20) == 0;
}

/* ---- arriving -------------------------------------------------------------------------------- */

static void take(struct pieces *p, struct partial *part, uint32_t i, struct data_buf *d)
{
    struct pieces_work *w = p->work;
    struct block *b = &part->blocks[i];
    if (b->state == BLOCK_FREE) {
        part->view.n_free--; /* given back, and now it is here all the same */
        pieces_place(w, part);
    } else {
        part->view.n_requested--;
    }
    b->state = BLOCK_RECEIVED;
    b->d = data_ref(d);
    part->write_from = i < part->write_from ? i : part->write_from;
    part->n_waiting++;
    w->n_waiting++;
    w->unwritten_len += d->len;
    w->received_len += d->len;
    if (!part->read_back) {
        hash_what_is_next(p, part);
    }
    if (part->n_waiting >= HOLD_BLOCKS || w->n_waiting >= HOLD_BLOCKS_ALL) {
        part->flush = true;
    }
}

enum pieces_result pieces_on_block(struct pieces *p, const struct wire_block *b, struct data_buf *d,
                                   conn_id from, const struct addr *addr)
{
    struct partial *part = pieces_find(p, b->piece);
    if (part == NULL) {
        return PIECES_DUPLICATE;
    }
    uint32_t i = block_index(p, part, b);
    struct block *block = &part->blocks[i];
    ASSERT(d->len == b->len);
    block->askers = (uint16_t)(block->askers - (block->askers > 0));
    if (block->state >= BLOCK_RECEIVED) {
        return PIECES_DUPLICATE;
    }
    block->sender = pieces_sender(part, from, addr);
    take(p, part, i, d);
    if (!partial_is_complete(part) || part->read_back) {
        pieces_check_ready(p->work, part);
        return partial_is_complete(part) ? PIECES_READ_BACK : PIECES_TAKEN;
    }
    uint8_t digest[20];
    digest_stream_end(part->stream, digest);
    keep_stream(p->work, part->stream);
    part->stream = NULL;
    if (!pieces_hash_ok(p, b->piece, digest)) {
        pieces_begin_again(p, part);
        return PIECES_BAD;
    }
    pieces_take_good(p, part);
    return PIECES_GOOD;
}

void pieces_take_good(struct pieces *p, struct partial *part)
{
    part->good = true;
    pieces_find_liars(p, part);
    pieces_check_ready(p->work, part);
}

static void clear_block(struct pieces *p, struct partial *part, uint32_t i)
{
    struct pieces_work *w = p->work;
    struct block *b = &part->blocks[i];
    uint32_t len = partial_block_len(p, part, i);
    ASSERT(b->state >= BLOCK_RECEIVED);
    w->received_len -= len;
    w->unwritten_len -= b->state == BLOCK_RECEIVED ? len : 0;
    data_unref(b->d);
    b->d = NULL;
    b->sender = SENDER_NONE;
    b->marks = 0;
    b->state = b->askers > 0 ? BLOCK_REQUESTED : BLOCK_FREE;
    part->view.n_requested += b->state == BLOCK_REQUESTED;
    part->view.n_free += b->state == BLOCK_FREE;
}

void pieces_begin_again(struct pieces *p, struct partial *part)
{
    struct pieces_work *w = p->work;
    ASSERT(partial_is_complete(part) && !part->good);
    pieces_blame_bad(p, part);
    pieces_make_stale(w, part->view.piece);
    pieces_drop_stream(w, part);
    for (uint32_t i = 0; i < part->view.n_blocks; i++) {
        clear_block(p, part, i);
    }
    w->n_waiting -= part->n_waiting;
    part->n_waiting = 0;
    part->n_written = 0;
    part->n_failed = 0;
    part->n_hashed = 0;
    part->free_from = 0;
    part->write_from = 0;
    part->read_back = false;
    part->flush = false;
    part->from_disk = false;
    part->was_bad = pieces_was_bad(w, part->view.piece);
    part->view.exclusive = 0;
    part->view.owner = 0;
    if (list_is_linked(&part->ready)) {
        list_remove(&part->ready);
    }
    pieces_place(w, part);
    if (part->view.n_requested == 0) {
        pieces_drop_partial(p, part);
    }
}
