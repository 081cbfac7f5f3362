/* pieces_impl.h: what the parts of pieces share. For pieces*.c only.
 *
 * Parts     pieces.c the set and the list of pieces under way; pieces_blocks.c blocks and hashes;
 *           pieces_write.c runs to the disk; pieces_blame.c who sent what was bad.
 * Life      struct pieces_work is there from the first piece under way until the torrent is
 *           complete and no write is out.
 */
#ifndef CLIENT_PIECES_IMPL_H
#define CLIENT_PIECES_IMPL_H

#include "base/digest.h"
#include "base/list.h"
#include "base/map.h"
#include "client/pieces.h"

enum {
    STREAMS_KEPT = 8,
    SENDER_NONE = UINT16_MAX, /* the disk, in an earlier life */
};

enum block_mark {
    MARK_WRITING = 1 << 0, /* in a write that is out */
    MARK_FAILED = 1 << 1,  /* its write failed: not before pieces_retry */
    MARK_DIGEST = 1 << 2,  /* digests[] has it */
};

struct block {
    struct data_buf *d; /* RECEIVED: its bytes */
    uint16_t sender;    /* index of senders */
    uint16_t askers;
    uint8_t state; /* enum block_state */
    uint8_t marks; /* bits of enum block_mark */
};

struct partial {
    struct piece_partial view; /* view.piece is the key of node */
    struct map_node node;
    struct list ready; /* linked: something may be ready to be written */
    uint32_t at;       /* index of work->partials */
    uint32_t n_written;
    uint32_t n_waiting;  /* RECEIVED, neither in a write nor failed */
    uint32_t n_failed;   /* RECEIVED, marked MARK_FAILED */
    uint32_t n_hashed;   /* blocks from the start that stream has */
    uint32_t free_from;  /* no block before it is FREE */
    uint32_t write_from; /* no block before it waits */
    bool good;           /* the hash is right */
    bool read_back;      /* the stream cannot have it all */
    bool flush;          /* everything that waits is to be written */
    bool from_disk;      /* some of it was written in an earlier life */
    bool was_bad;        /* an attempt is remembered */
    struct digest_stream *stream;
    struct piece_sender *senders;
    uint32_t n_senders;
    uint32_t senders_cap;
    uint64_t *digests; /* NULL until a block leaves memory before the hash is known */
    struct block blocks[];
};

/* A write that is out. */
struct write_out {
    uint32_t piece;
    uint32_t begin;
    uint32_t len;
    bool stale; /* the piece was begun again meanwhile: it marks nothing */
};

/* The blocks of a piece that was bad: who sent what. */
struct attempt {
    struct list link;
    uint32_t piece;
    uint32_t n_blocks;
    uint32_t n_senders;
    struct piece_sender *senders;
    uint64_t *digests; /* of each block */
    uint16_t *from;    /* index of senders, or SENDER_NONE */
};

struct pieces_work {
    struct partial **partials; /* those with FREE blocks first */
    size_t n_partials;
    size_t n_open;
    size_t partials_cap;
    struct map by_piece;
    uint8_t *under_way; /* a bit a piece */
    struct list ready;
    size_t n_waiting; /* blocks of all partials */
    size_t unwritten_len;
    uint64_t received_len; /* of partials: RECEIVED and WRITTEN */
    struct write_out *writes;
    size_t n_writes;
    size_t n_stale;
    size_t writes_cap;
    struct digest_stream *streams[STREAMS_KEPT];
    size_t n_streams;
    struct list attempts; /* oldest first */
    size_t n_attempts;
    size_t attempt_blocks;
    uint32_t *digest_key; /* NULL until the first digest */
};

struct pieces {
    struct wire_geometry g;
    struct span hashes;
    uint32_t n_have;
    uint8_t *bits; /* NULL: none or all */
    struct pieces_work *work;
    struct piece_sender *blame; /* of the last bad piece */
    size_t n_blame;
    struct piece_sender *liars; /* not told yet */
    size_t n_liars;
};

/* ---- pieces.c -------------------------------------------------------------------------------- */

struct partial *pieces_find(const struct pieces *p, uint32_t piece); /* NULL: not under way */
struct partial *pieces_add_partial(struct pieces *p, uint32_t piece);
/* Not under way any more; a write that is out becomes stale. */
void pieces_drop_partial(struct pieces *p, struct partial *part);
/* After n_free changed: those with FREE blocks stand first. */
void pieces_place(struct pieces_work *w, struct partial *part);
/* The piece is had: all of it is written and right. p->work may be gone afterwards. */
void pieces_set_had(struct pieces *p, uint32_t piece);
/* The shape that says the same in the least memory. */
void pieces_settle(struct pieces *p);

static inline uint32_t partial_block_len(const struct pieces *p, const struct partial *part,
                                         uint32_t block)
{
    uint32_t begin = block * WIRE_BLOCK_LEN;
    uint32_t left = peer_wire_piece_len(&p->g, part->view.piece) - begin;
    return left < WIRE_BLOCK_LEN ? left : WIRE_BLOCK_LEN;
}

/* Every block is RECEIVED or WRITTEN. */
static inline bool partial_is_complete(const struct partial *part)
{
    return part->view.n_free == 0 && part->view.n_requested == 0;
}

/* ---- pieces_blocks.c ------------------------------------------------------------------------- */

/* The hash is wrong: blame, and all blocks are FREE again; part may be gone afterwards. */
void pieces_begin_again(struct pieces *p, struct partial *part);
/* The hash is right. */
void pieces_take_good(struct pieces *p, struct partial *part);
bool pieces_hash_ok(const struct pieces *p, uint32_t piece, const uint8_t digest[static 20]);
/* The stream is of no use (any more). */
void pieces_drop_stream(struct pieces_work *w, struct partial *part);

/* ---- pieces_write.c -------------------------------------------------------------------------- */

/* After a change to part: is there something to write? */
void pieces_check_ready(struct pieces_work *w, struct partial *part);
/* Writes of the piece that are out mark nothing when they come back. */
void pieces_make_stale(struct pieces_work *w, uint32_t piece);

/* ---- pieces_blame.c -------------------------------------------------------------------------- */

uint16_t pieces_sender(struct partial *part, conn_id from, const struct addr *addr);
/* A block is about to leave memory before the piece's hash is known. */
void pieces_keep_digest(struct pieces *p, struct partial *part, uint32_t block);
/* The piece was bad (its bytes are still there) or came right. */
void pieces_blame_bad(struct pieces *p, struct partial *part);
bool pieces_was_bad(const struct pieces_work *w, uint32_t piece);
void pieces_find_liars(struct pieces *p, struct partial *part);
void pieces_free_attempts(struct pieces_work *w);

#endif
