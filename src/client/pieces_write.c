/* From memory to the disk, in runs.
 *
 *   waiting --pieces_next_write--> in a write --ok--> WRITTEN
 *      ^                               |
 *      +--- pieces_retry --- FAILED <--+ failed
 *
 * Offered   of a piece whose hash is not known yet: full runs of what is hashed. Of a good one, and
 *           of one that is flushed: all that waits. Of one that will be read back: all that waits
 *           once that is a run, or once it is complete. The pieces with something to offer are in
 *           a list; being on it is a hint, what is ready is looked at when it is asked for.
 * Once      no two writes of the same bytes are out together, as they may end in any order. When a
 *           piece begins again its writes that are out are stale: they mark nothing, and nothing of
 *           the piece is offered until the last of them is back.
 * Buffers   a block keeps its reference until it is WRITTEN, so a write that failed loses nothing.
 */
#include "client/pieces_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#include "base/banned.h"

/* ---- what is ready --------------------------------------------------------------------------- */

/* Is everything that waits to be written, or only full runs of what is hashed? */
static bool offers_all(const struct partial *part)
{
    if (part->read_back && (partial_is_complete(part) || part->n_waiting >= PIECE_RUN_BLOCKS)) {
        return true;
    }
    return part->good || part->flush;
}

/* O(1); may be wrong about a run that has gaps, see next_run. */
static bool may_be_ready(const struct partial *part)
{
    if (part->n_waiting == 0) {
        return false;
    }
    return offers_all(part) || (!part->read_back && part->n_hashed > part->write_from &&
                                part->n_hashed - part->write_from >= PIECE_RUN_BLOCKS);
}

void pieces_check_ready(struct pieces_work *w, struct partial *part)
{
    if (!list_is_linked(&part->ready) && may_be_ready(part)) {
        list_add_tail(&w->ready, &part->ready);
    }
}

static bool waits(const struct block *b)
{
    return b->state == BLOCK_RECEIVED && !(b->marks & (MARK_WRITING | MARK_FAILED));
}

/* The next run, n blocks from *first; 0: none now. Moves write_from to it. */
static uint32_t next_run(struct partial *part, uint32_t *first)
{
    bool all = offers_all(part);
    uint32_t end = all ? part->view.n_blocks : part->n_hashed;
    if (part->n_waiting == 0 || (part->read_back && !all)) {
        return 0;
    }
    while (part->write_from < end && !waits(&part->blocks[part->write_from])) {
        part->write_from++;
    }
    uint32_t n = 0;
    while (n < PIECE_RUN_BLOCKS && n < end - part->write_from &&
           waits(&part->blocks[part->write_from + n])) {
        n++;
    }
    *first = part->write_from;
    bool grows = *first + n == end; /* with the next block that is hashed */
    return all || n == PIECE_RUN_BLOCKS || !grows ? n : 0;
}

/* ---- writes that are out --------------------------------------------------------------------- */

static bool is_stale(const struct pieces_work *w, uint32_t piece)
{
    for (size_t i = 0; w->n_stale > 0 && i < w->n_writes; i++) {
        if (w->writes[i].stale && w->writes[i].piece == piece) {
            return true;
        }
    }
    return false;
}

void pieces_make_stale(struct pieces_work *w, uint32_t piece)
{
    for (size_t i = 0; i < w->n_writes; i++) {
        struct write_out *out = &w->writes[i];
        if (out->piece == piece && !out->stale) {
            out->stale = true;
            w->n_stale++;
        }
    }
}

static void add_write(struct pieces_work *w, const struct piece_write *write)
{
    if (w->n_writes == w->writes_cap) {
        w->writes_cap = w->writes_cap == 0 ? 8 : w->writes_cap * 2;
        w->writes = mem_resize(w->writes, w->writes_cap, sizeof *w->writes);
    }
    w->writes[w->n_writes++] = (struct write_out){write->piece, write->begin, write->len, false};
}

static void hand_over(struct pieces *p, struct partial *part, uint32_t first, uint32_t n,
                      struct piece_write *out)
{
    *out = (struct piece_write){.piece = part->view.piece, .begin = first * WIRE_BLOCK_LEN};
    bool prove = !part->good && (part->n_senders > 1 || part->from_disk || part->was_bad);
    for (uint32_t i = first; i < first + n; i++) {
        struct block *b = &part->blocks[i];
        if (prove) {
            pieces_keep_digest(p, part, i);
        }
        b->marks |= MARK_WRITING;
        out->bufs[out->n_bufs++] = data_ref(b->d);
        out->len += b->d->len;
    }
    if (!part->read_back && first + n > part->n_hashed) {
        part->read_back = true;
        pieces_drop_stream(p->work, part);
    }
    part->write_from = first + n;
    part->n_waiting -= n;
    p->work->n_waiting -= n;
    add_write(p->work, out);
}

bool pieces_next_write(struct pieces *p, struct piece_write *out)
{
    struct pieces_work *w = p->work;
    while (w != NULL && !list_is_empty(&w->ready)) {
        struct partial *part = container_of(list_first(&w->ready), struct partial, ready);
        uint32_t first = 0;
        bool stale = is_stale(w, part->view.piece);
        uint32_t n = stale ? 0 : next_run(part, &first);
        if (n > 0) {
            hand_over(p, part, first, n, out);
            return true;
        }
        list_remove(&part->ready);
        part->flush = part->flush && stale;
    }
    return false;
}

/* ---- writes that came back ------------------------------------------------------------------- */

/* The write's entry goes. False: it is stale, or of another life. */
static bool take_write(struct pieces_work *w, uint32_t piece, uint32_t begin, uint32_t len)
{
    for (size_t i = 0; i < w->n_writes; i++) {
        struct write_out out = w->writes[i];
        if (out.piece == piece && out.begin == begin && out.len == len) {
            w->writes[i] = w->writes[--w->n_writes];
            w->n_stale -= out.stale;
            return !out.stale;
        }
    }
    return false;
}

static void settle_block(struct pieces_work *w, struct partial *part, uint32_t i, int status)
{
    struct block *b = &part->blocks[i];
    ASSERT(b->marks & MARK_WRITING);
    b->marks = (uint8_t)(b->marks & ~MARK_WRITING);
    if (status < 0) {
        b->marks |= MARK_FAILED;
        part->n_failed++;
        return;
    }
    b->state = BLOCK_WRITTEN;
    w->unwritten_len -= b->d->len;
    data_unref(b->d);
    b->d = NULL;
    part->n_written++;
}

/* A stale write is back, maybe the last that the piece waited for. */
static void after_stale(struct pieces *p, uint32_t piece)
{
    struct partial *part = pieces_find(p, piece);
    if (part != NULL) {
        pieces_check_ready(p->work, part);
    }
    pieces_settle(p);
}

enum pieces_written pieces_on_written(struct pieces *p, uint32_t piece, uint32_t begin,
                                      uint32_t len, int status)
{
    struct pieces_work *w = p->work;
    if (w == NULL || piece >= p->g.n_pieces) {
        return PIECES_WRITTEN_PART;
    }
    if (!take_write(w, piece, begin, len)) {
        after_stale(p, piece);
        return PIECES_WRITTEN_PART;
    }
    struct partial *part = pieces_find(p, piece);
    ASSERT(part != NULL); /* or the write were stale */
    uint32_t first = begin / WIRE_BLOCK_LEN;
    uint32_t n = (len - 1) / WIRE_BLOCK_LEN + 1;
    for (uint32_t i = first; i < first + n; i++) {
        settle_block(w, part, i, status);
    }
    if (status < 0) {
        return PIECES_WRITTEN_FAILED;
    }
    if (part->n_written < part->view.n_blocks) {
        return PIECES_WRITTEN_PART;
    }
    if (!part->good) {
        return PIECES_WRITTEN_READ_BACK;
    }
    pieces_drop_partial(p, part);
    pieces_set_had(p, piece);
    return PIECES_WRITTEN_HAVE;
}

bool pieces_on_hash(struct pieces *p, uint32_t piece, const uint8_t digest[static 20])
{
    struct partial *part = piece < p->g.n_pieces ? pieces_find(p, piece) : NULL;
    if (part == NULL || part->n_written < part->view.n_blocks) {
        return piece < p->g.n_pieces &&
               pieces_has(p, piece); /* begun again, or checked meanwhile */
    }
    if (!pieces_hash_ok(p, piece, digest)) {
        pieces_begin_again(p, part);
        return false;
    }
    pieces_take_good(p, part);
    pieces_drop_partial(p, part);
    pieces_set_had(p, piece);
    return true;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void retry(struct pieces_work *w, struct partial *part)
{
    for (uint32_t i = 0; i < part->view.n_blocks; i++) {
        struct block *b = &part->blocks[i];
        b->marks = (uint8_t)(b->marks & ~MARK_FAILED);
    }
    part->n_waiting += part->n_failed;
    w->n_waiting += part->n_failed;
    part->n_failed = 0;
    part->write_from = 0;
    part->flush = true;
    pieces_check_ready(w, part);
}

void pieces_retry(struct pieces *p)
{
    for (size_t i = 0; i < pieces_n_partials(p); i++) {
        if (p->work->partials[i]->n_failed > 0) {
            retry(p->work, p->work->partials[i]);
        }
    }
}

void pieces_flush(struct pieces *p)
{
    for (size_t i = 0; i < pieces_n_partials(p); i++) {
        struct partial *part = p->work->partials[i];
        part->flush = part->n_waiting > 0;
        pieces_check_ready(p->work, part);
    }
}

size_t pieces_unwritten_len(const struct pieces *p)
{
    return p->work == NULL ? 0 : p->work->unwritten_len;
}

/* ---- across lives ---------------------------------------------------------------------------- */

void pieces_each_partial(const struct pieces *p, pieces_visit visit, void *ctx)
{
    for (size_t i = 0; i < pieces_n_partials(p); i++) {
        const struct partial *part = p->work->partials[i];
        if (part->n_written == 0) {
            continue;
        }
        size_t n = peer_wire_bitfield_len(part->view.n_blocks);
        uint8_t *written = mem_zeroed(n);
        for (uint32_t b = 0; b < part->view.n_blocks; b++) {
            if (part->blocks[b].state == BLOCK_WRITTEN) {
                written[b / 8] |= (uint8_t)(0x80 >> b % 8);
            }
        }
        visit(ctx, part->view.piece, span_of(written, n));
        free(written);
    }
}

static void restore_block(struct pieces *p, struct partial *part, uint32_t i)
{
    part->blocks[i].state = BLOCK_WRITTEN;
    part->view.n_free--;
    part->n_written++;
    p->work->received_len += partial_block_len(p, part, i);
}

bool pieces_restore_partial(struct pieces *p, uint32_t piece, struct span written)
{
    uint32_t len = peer_wire_piece_len(&p->g, piece);
    if (len == 0 || pieces_has(p, piece) || pieces_is_under_way(p, piece)) {
        return false;
    }
    uint32_t n_blocks = (len - 1) / WIRE_BLOCK_LEN + 1;
    if (!peer_wire_bitfield_ok(written, n_blocks)) {
        return false;
    }
    struct partial *part = pieces_add_partial(p, piece);
    for (uint32_t i = 0; i < n_blocks; i++) {
        /* Nothing would ask for the hash of a piece that lacks nothing: its last block comes again. */
        if (written.p[i / 8] >> (7 - i % 8) & 1 && part->view.n_free > 1) {
            restore_block(p, part, i);
        }
    }
    if (part->n_written == 0) {
        pieces_drop_partial(p, part);
        return true;
    }
    part->read_back = true;
    part->from_disk = true;
    pieces_place(p->work, part);
    return true;
}
