/* The set of pieces that are had, and the list of those under way.
 *
 * Most torrents of a busy server are complete: such a one is the struct and nothing else. One that
 * is not has a bitfield, and from its first block on a pieces_work with all that is under way; that
 * goes away when the last piece is had.
 *
 * Pieces under way stand in one array, those with FREE blocks in front, so that the picker looks at
 * them alone; a map finds one by its number, and a bit a piece says no without a look-up.
 */
#include "client/pieces_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#include "base/banned.h"

static bool bit_get(const uint8_t *bits, uint32_t i)
{
    return bits[i / 8] >> (7 - i % 8) & 1;
}

static void bit_set(uint8_t *bits, uint32_t i, bool on)
{
    uint8_t mask = (uint8_t)(0x80 >> i % 8);
    bits[i / 8] = (uint8_t)(on ? bits[i / 8] | mask : bits[i / 8] & ~mask);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct pieces *pieces_new(const struct wire_geometry *g, struct span hashes)
{
    ASSERT(g->n_pieces > 0 && hashes.n == (size_t)g->n_pieces * 20);
    struct pieces *p = mem_new(struct pieces);
    p->g = *g;
    p->hashes = hashes;
    return p;
}

static struct pieces_work *work_of(struct pieces *p)
{
    /* Piece numbers are ours to choose and few: nobody makes them collide. */
    static const struct siphash_key seed = {{0}};
    if (p->work == NULL) {
        p->work = mem_new(struct pieces_work);
        p->work->under_way = mem_zeroed(peer_wire_bitfield_len(p->g.n_pieces));
        map_init(&p->work->by_piece, &seed);
        list_init(&p->work->ready);
        list_init(&p->work->attempts);
    }
    return p->work;
}

static void drop_all(struct pieces *p)
{
    while (p->work != NULL && p->work->n_partials > 0) {
        pieces_drop_partial(p, p->work->partials[p->work->n_partials - 1]);
    }
}

static void free_work(struct pieces *p)
{
    struct pieces_work *w = p->work;
    if (w == NULL) {
        return;
    }
    for (size_t i = 0; i < w->n_streams; i++) {
        digest_stream_free(w->streams[i]);
    }
    pieces_free_attempts(w);
    map_release(&w->by_piece);
    free(w->partials);
    free(w->under_way);
    free(w->writes);
    free(w->digest_key);
    free(w);
    p->work = NULL;
}

void pieces_free(struct pieces *p)
{
    drop_all(p);
    free_work(p);
    free(p->blame);
    free(p->liars);
    free(p->bits);
    free(p);
}

/* ---- what is there --------------------------------------------------------------------------- */

uint32_t pieces_piece_len(const struct pieces *p, uint32_t piece)
{
    return peer_wire_piece_len(&p->g, piece);
}

bool pieces_has(const struct pieces *p, uint32_t piece)
{
    ASSERT(piece < p->g.n_pieces);
    return p->bits == NULL ? p->n_have > 0 : bit_get(p->bits, piece);
}

uint32_t pieces_count(const struct pieces *p)
{
    return p->n_have;
}

bool pieces_is_complete(const struct pieces *p)
{
    return p->n_have == p->g.n_pieces;
}

uint64_t pieces_have_len(const struct pieces *p)
{
    uint32_t last = p->g.n_pieces - 1;
    uint64_t len = (uint64_t)p->n_have * p->g.piece_len;
    return pieces_has(p, last) ? len - (p->g.piece_len - p->g.last_piece_len) : len;
}

uint64_t pieces_done_len(const struct pieces *p)
{
    return pieces_have_len(p) + (p->work == NULL ? 0 : p->work->received_len);
}

static void fill_all(const struct pieces *p, uint8_t *out)
{
    memset(out, 0xff, peer_wire_bitfield_len(p->g.n_pieces));
    if (p->g.n_pieces % 8 != 0) {
        out[p->g.n_pieces / 8] = (uint8_t)(0xff00 >> p->g.n_pieces % 8);
    }
}

void pieces_bitfield(const struct pieces *p, uint8_t *out)
{
    if (p->bits != NULL) {
        memcpy(out, p->bits, peer_wire_bitfield_len(p->g.n_pieces));
    } else if (p->n_have > 0) {
        fill_all(p, out);
    } else {
        memset(out, 0, peer_wire_bitfield_len(p->g.n_pieces));
    }
}

void pieces_settle(struct pieces *p)
{
    if (p->n_have == 0 || pieces_is_complete(p)) {
        free(p->bits);
        p->bits = NULL;
    }
    if (pieces_is_complete(p) && p->work != NULL && p->work->n_partials == 0 &&
        p->work->n_writes == 0) {
        free_work(p);
    }
}

void pieces_set_bitfield(struct pieces *p, struct span bitfield)
{
    ASSERT(peer_wire_bitfield_ok(bitfield, p->g.n_pieces));
    drop_all(p);
    free(p->bits);
    p->bits = mem_array(bitfield.n, 1);
    memcpy(p->bits, bitfield.p, bitfield.n);
    p->n_have = 0;
    for (size_t i = 0; i < bitfield.n; i++) {
        p->n_have += (uint32_t)__builtin_popcount(bitfield.p[i]);
    }
    pieces_settle(p);
}

void pieces_set_all(struct pieces *p)
{
    drop_all(p);
    p->n_have = p->g.n_pieces;
    pieces_settle(p);
}

static void change(struct pieces *p, uint32_t piece, bool have)
{
    if (pieces_has(p, piece) == have) {
        return;
    }
    if (p->bits == NULL) {
        p->bits = mem_zeroed(peer_wire_bitfield_len(p->g.n_pieces));
        if (p->n_have > 0) {
            fill_all(p, p->bits);
        }
    }
    bit_set(p->bits, piece, have);
    p->n_have = have ? p->n_have + 1 : p->n_have - 1;
    pieces_settle(p);
}

void pieces_set(struct pieces *p, uint32_t piece, bool have)
{
    ASSERT(piece < p->g.n_pieces);
    struct partial *part = pieces_find(p, piece);
    if (part != NULL) {
        pieces_drop_partial(p, part); /* what the disk was found to have counts, not what it was
                                         believed to have */
    }
    change(p, piece, have);
}

void pieces_set_had(struct pieces *p, uint32_t piece)
{
    change(p, piece, true);
}

/* ---- pieces under way ------------------------------------------------------------------------ */

size_t pieces_n_partials(const struct pieces *p)
{
    return p->work == NULL ? 0 : p->work->n_partials;
}

size_t pieces_n_open(const struct pieces *p)
{
    return p->work == NULL ? 0 : p->work->n_open;
}

const struct piece_partial *pieces_partial_at(const struct pieces *p, size_t i)
{
    ASSERT(i < pieces_n_partials(p));
    return &p->work->partials[i]->view;
}

bool pieces_is_under_way(const struct pieces *p, uint32_t piece)
{
    ASSERT(piece < p->g.n_pieces);
    return p->work != NULL && bit_get(p->work->under_way, piece);
}

struct partial *pieces_find(const struct pieces *p, uint32_t piece)
{
    if (!pieces_is_under_way(p, piece)) {
        return NULL;
    }
    struct map_node *node = map_find(&p->work->by_piece, span_of(&piece, sizeof piece));
    ASSERT(node != NULL);
    return container_of(node, struct partial, node);
}

const struct piece_partial *pieces_partial(const struct pieces *p, uint32_t piece)
{
    const struct partial *part = pieces_find(p, piece);
    return part == NULL ? NULL : &part->view;
}

static void put_at(struct pieces_work *w, struct partial *part, size_t at)
{
    w->partials[at] = part;
    part->at = (uint32_t)at;
}

static void swap(struct pieces_work *w, size_t a, size_t b)
{
    struct partial *part = w->partials[a];
    put_at(w, w->partials[b], a);
    put_at(w, part, b);
}

void pieces_place(struct pieces_work *w, struct partial *part)
{
    bool open = part->at < w->n_open;
    if (open && part->view.n_free == 0) {
        swap(w, part->at, --w->n_open);
    } else if (!open && part->view.n_free > 0) {
        swap(w, part->at, w->n_open++);
    }
}

struct partial *pieces_add_partial(struct pieces *p, uint32_t piece)
{
    struct pieces_work *w = work_of(p);
    uint32_t len = peer_wire_piece_len(&p->g, piece);
    uint32_t n_blocks = (len - 1) / WIRE_BLOCK_LEN + 1;
    struct partial *part = mem_zeroed(sizeof *part + n_blocks * sizeof part->blocks[0]);
    part->view = (struct piece_partial){.piece = piece, .n_blocks = n_blocks, .n_free = n_blocks};
    part->was_bad = pieces_was_bad(w, piece);
    for (uint32_t i = 0; i < n_blocks; i++) {
        part->blocks[i].sender = SENDER_NONE;
    }
    if (w->n_partials == w->partials_cap) {
        w->partials_cap = w->partials_cap == 0 ? 8 : w->partials_cap * 2;
        w->partials = mem_resize(w->partials, w->partials_cap, sizeof *w->partials);
    }
    put_at(w, part, w->n_partials++);
    pieces_place(w, part);
    bit_set(w->under_way, piece, true);
    map_insert(&w->by_piece, &part->node, span_of(&part->view.piece, sizeof part->view.piece));
    return part;
}

/* What its blocks hold goes, and is not counted any more. */
static void forget_blocks(struct pieces *p, struct partial *part)
{
    struct pieces_work *w = p->work;
    for (uint32_t i = 0; i < part->view.n_blocks; i++) {
        struct block *b = &part->blocks[i];
        uint32_t len = partial_block_len(p, part, i);
        w->received_len -= b->state >= BLOCK_RECEIVED ? len : 0;
        w->unwritten_len -= b->state == BLOCK_RECEIVED ? len : 0;
        data_unref(b->d);
    }
    w->n_waiting -= part->n_waiting;
}

void pieces_drop_partial(struct pieces *p, struct partial *part)
{
    struct pieces_work *w = p->work;
    forget_blocks(p, part);
    pieces_make_stale(w, part->view.piece);
    pieces_drop_stream(w, part);
    if (list_is_linked(&part->ready)) {
        list_remove(&part->ready);
    }
    map_remove(&w->by_piece, &part->node);
    bit_set(w->under_way, part->view.piece, false);
    part->view.n_free = 0;
    pieces_place(w, part);
    swap(w, part->at, w->n_partials - 1);
    w->n_partials--;
    free(part->senders);
    free(part->digests);
    free(part);
}
