/* pieces.h: which pieces a torrent has, and the blocks of those under way. Client core: no I/O.
 *
 *   block:  FREE --picked--> REQUESTED --arrived--> RECEIVED --written--> WRITTEN
 *             ^------ given back ------'                |
 *             ^------------- the piece's hash is wrong -'
 *
 * Blocks    WIRE_BLOCK_LEN bytes, the last of a piece may be shorter. Several peers may be asked for
 *           one (end game); the first to deliver wins.
 * Hash      bytes are hashed in order as they arrive, so that the last block of a piece costs only
 *           itself. A piece that was begun in an earlier life is read back once it is all written.
 * Writes    in runs: once PIECE_RUN_LEN hashed bytes wait, or the piece is complete and good. What
 *           was not written yet is kept; a write that failed is tried again by pieces_retry. Behind
 *           a gap up to 16 MiB of a piece (64 MiB of a torrent) wait; more is written as it is, and
 *           the piece read back. Writes that are out never overlap.
 * Have      a piece counts, and is announced, once its hash is right and all of it is written.
 * Blame     who sent the blocks of a bad piece in this life, never the disk. The caller drops a
 *           sole sender at once; of several, each block's digest is kept, and when the piece comes
 *           right those whose block differed are told by pieces_next_liar.
 * Memory    the bitfield, and what is under way; a complete torrent holds the bitfield alone (and
 *           that is not stored either when every piece is there).
 */
#ifndef CLIENT_PIECES_H
#define CLIENT_PIECES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/endpoint.h"
#include "base/span.h"
#include "client/data_buf.h"
#include "proto/peer_wire.h"

enum {
    PIECE_RUN_LEN = 1 << 20,
    PIECE_RUN_BLOCKS = PIECE_RUN_LEN / WIRE_BLOCK_LEN,
};

typedef uint64_t conn_id; /* 0: none; never used twice */

struct pieces;

/* hashes: 20 bytes a piece, borrowed for as long as the pieces live. Nothing is had at first. */
struct pieces *pieces_new(const struct wire_geometry *g, struct span hashes);
void pieces_free(struct pieces *p);

/* ---- what is there -------------------------------------------------------------------------- */

bool pieces_has(const struct pieces *p, uint32_t piece);
uint32_t pieces_piece_len(const struct pieces *p, uint32_t piece); /* bytes */
uint32_t pieces_count(const struct pieces *p);                     /* had */
bool pieces_is_complete(const struct pieces *p);
/* Bytes of the pieces that are had. */
uint64_t pieces_have_len(const struct pieces *p);
/* The bitfield as it goes on the wire; out has room for peer_wire_bitfield_len bytes. */
void pieces_bitfield(const struct pieces *p, uint8_t *out);
/* All at once, from a bitfield that peer_wire_bitfield_ok takes, or every piece. */
void pieces_set_bitfield(struct pieces *p, struct span bitfield);
void pieces_set_all(struct pieces *p);
/* One piece was found on disk (or found missing there): a check's result. */
void pieces_set(struct pieces *p, uint32_t piece, bool have);

/* ---- blocks under way ------------------------------------------------------------------------ */

enum block_state { BLOCK_FREE, BLOCK_REQUESTED, BLOCK_RECEIVED, BLOCK_WRITTEN };

/* A piece under way, as the picker sees it. */
struct piece_partial {
    uint32_t piece;
    uint32_t n_blocks;
    uint32_t n_free; /* nobody was asked for them */
    uint32_t n_requested;
    conn_id exclusive; /* only this peer may be asked (it is on parole); 0: any */
    conn_id owner;     /* the picker's note: who is to finish it if it can; 0: nobody */
};

size_t pieces_n_partials(const struct pieces *p);
/* Those with FREE blocks come first (pieces_n_open of them), else in no particular order;
 * i < pieces_n_partials; valid until the next change. */
const struct piece_partial *pieces_partial_at(const struct pieces *p, size_t i);
size_t pieces_n_open(const struct pieces *p);
/* NULL: not under way. */
const struct piece_partial *pieces_partial(const struct pieces *p, uint32_t piece);
bool pieces_is_under_way(const struct pieces *p, uint32_t piece); /* one bit: cheap */
enum block_state pieces_block_state(const struct pieces *p, uint32_t piece, uint32_t block);
/* How many peers are asked for it now. */
uint32_t pieces_block_askers(const struct pieces *p, uint32_t piece, uint32_t block);

/* Take the piece under way (nothing when it is); it must not be had. */
void pieces_start(struct pieces *p, uint32_t piece, conn_id exclusive);
/* Change who owns a piece under way, and whether nobody else may be asked. */
void pieces_assign(struct pieces *p, uint32_t piece, conn_id owner, bool exclusive);
/* Up to cap FREE blocks of a piece under way become REQUESTED. Returns their number. */
size_t pieces_request(struct pieces *p, uint32_t piece, struct wire_block *out, size_t cap);
/* One more peer is asked for a block that is REQUESTED (end game). */
void pieces_request_again(struct pieces *p, const struct wire_block *b);
/* The REQUESTED block of a piece under way that the fewest peers are asked for, when they are fewer
 * than max_askers. */
bool pieces_least_asked(const struct pieces *p, uint32_t piece, uint32_t max_askers,
                        struct wire_block *out);
/* A request came to nothing: with no other asker the block is FREE again, a piece without anything
 * in it is no longer under way. Of no effect when the block has arrived meanwhile. */
void pieces_give_back(struct pieces *p, const struct wire_block *b);

enum pieces_result {
    PIECES_TAKEN,
    PIECES_DUPLICATE, /* it was there already: wasted */
    PIECES_GOOD,      /* taken, and the piece's hash is right: had once it is written */
    PIECES_READ_BACK, /* taken, complete; to be read back once written: pieces_on_hash */
    PIECES_BAD,       /* taken, and the hash is wrong: all blocks are FREE again */
};

/* A block that was asked for has arrived; d is borrowed, a reference is kept when it is taken. The
 * sender's own request is settled by this; other askers' stay until they are given back (cancel).
 * A block of a bad piece that others still owe stays REQUESTED. */
enum pieces_result pieces_on_block(struct pieces *p, const struct wire_block *b, struct data_buf *d,
                                   conn_id from, const struct addr *addr);

/* After PIECES_BAD (or a bad pieces_on_hash): who sent blocks of it in this life, at most cap;
 * n_blocks how many. None when part of it came from the disk. Valid until the next call. */
struct piece_sender {
    conn_id conn;
    struct addr addr;
    uint32_t n_blocks;
};
size_t pieces_blame(const struct pieces *p, struct piece_sender *out, size_t cap);
/* After a piece that was bad before came right: the next sender whose block had differed. */
bool pieces_next_liar(struct pieces *p, struct piece_sender *out);

/* ---- writing --------------------------------------------------------------------------------- */

struct piece_write {
    uint32_t piece;
    uint32_t begin;
    uint32_t len;
    uint32_t n_bufs;
    struct data_buf *bufs[PIECE_RUN_BLOCKS]; /* references of the caller: unref after the write */
};

/* The next run to write. False: none. */
bool pieces_next_write(struct pieces *p, struct piece_write *out);

enum pieces_written {
    PIECES_WRITTEN_PART,
    PIECES_WRITTEN_HAVE,      /* the piece is had now */
    PIECES_WRITTEN_READ_BACK, /* all of it is written: hash it from disk, then pieces_on_hash */
    PIECES_WRITTEN_FAILED,    /* status < 0: kept, see pieces_retry */
};
/* Of no effect (PIECES_WRITTEN_PART) when the piece was begun again or checked meanwhile. */
enum pieces_written pieces_on_written(struct pieces *p, uint32_t piece, uint32_t begin,
                                      uint32_t len, int status);
/* The hash of a piece that was read back. True: had; false: bad, FREE again, see pieces_blame. */
bool pieces_on_hash(struct pieces *p, uint32_t piece, const uint8_t digest[static 20]);
/* Writes that failed are offered by pieces_next_write again. */
void pieces_retry(struct pieces *p);
/* Offer everything that is RECEIVED, whatever its place: before a pause or a stop. */
void pieces_flush(struct pieces *p);
/* Bytes received and not written yet. */
size_t pieces_unwritten_len(const struct pieces *p);

/* ---- across lives ---------------------------------------------------------------------------- */

/* Visit every piece under way that has WRITTEN blocks: bitmap of those, MSB first. */
typedef void (*pieces_visit)(void *ctx, uint32_t piece, struct span written);
void pieces_each_partial(const struct pieces *p, pieces_visit visit, void *ctx);
/* Put one back. False: the bitmap does not fit the piece, or it is had. */
bool pieces_restore_partial(struct pieces *p, uint32_t piece, struct span written);
/* Bytes that are had or received (for progress and "left"). */
uint64_t pieces_done_len(const struct pieces *p);

#endif
