/* peer_wire.h: the peer protocol, both directions. Pure: no I/O, no allocation, no clock.
 *
 * Stream    a handshake each way, then messages with a length in front. Decoders look at the bytes
 *           that are there: 0 says that more are needed, and what can only be refused is refused
 *           at the first byte that shows it, before any of its body has to be buffered.
 * Messages  BEP 3 and 5 (port), 6 (fast), 10 (extended). Others are returned as WIRE_UNKNOWN.
 * Ranges    piece, begin and len are as received: ask peer_wire_request_ok or peer_wire_piece_len
 *           before one of them is an index. Only a bitfield is checked against the torrent here.
 * Source    BEP 3, 5, 6, 10.
 */
#ifndef PROTO_PEER_WIRE_H
#define PROTO_PEER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cursor.h"
#include "base/endpoint.h"
#include "base/ids.h"
#include "base/span.h"

enum {
    WIRE_HANDSHAKE_LEN = 68,
    WIRE_HANDSHAKE_HEAD_LEN = 48, /* up to the info-hash */
    WIRE_PIECE_HEAD_LEN = 13,     /* a piece message without its block */
    WIRE_BLOCK_LEN = 1 << 14,     /* what everybody asks for */
    WIRE_BLOCK_LEN_MAX = 1 << 17, /* what old clients asked for */
};

/* Features in the reserved bytes of a handshake. */
enum wire_feature {
    WIRE_DHT = 1 << 0,      /* BEP 5 */
    WIRE_FAST = 1 << 1,     /* BEP 6 */
    WIRE_EXTENDED = 1 << 2, /* BEP 10 */
};

struct peer_wire_handshake {
    unsigned features; /* bits of enum wire_feature; unknown reserved bits are not kept */
    struct infohash info_hash;
    struct peer_id peer_id;
};

/* Decode the first WIRE_HANDSHAKE_HEAD_LEN bytes: features and info_hash. The other side may wait
 * for our handshake before it sends its peer id, which is simply the 20 bytes that follow.
 *
 * returns  WIRE_HANDSHAKE_HEAD_LEN, 0 for more, or ERR_MALFORMED at the first byte that is not of
 *          the protocol's name (it may be encrypted, BEP 8).
 */
ssize_t peer_wire_handshake_head_decode(struct peer_wire_handshake *out, struct span in,
                                        const char **why);
/* The same for a whole handshake: WIRE_HANDSHAKE_LEN, 0, or ERR_MALFORMED. */
ssize_t peer_wire_handshake_decode(struct peer_wire_handshake *out, struct span in,
                                   const char **why);
void peer_wire_handshake_encode(struct wr *w, const struct peer_wire_handshake *h);

/* The numbers are those on the wire, but for the last two. */
enum wire_type {
    WIRE_CHOKE = 0,
    WIRE_UNCHOKE = 1,
    WIRE_INTERESTED = 2,
    WIRE_NOT_INTERESTED = 3,
    WIRE_HAVE = 4,
    WIRE_BITFIELD = 5,
    WIRE_REQUEST = 6,
    WIRE_PIECE = 7,
    WIRE_CANCEL = 8,
    WIRE_PORT = 9,
    WIRE_SUGGEST = 13,
    WIRE_HAVE_ALL = 14,
    WIRE_HAVE_NONE = 15,
    WIRE_REJECT = 16,
    WIRE_ALLOWED_FAST = 17,
    WIRE_EXTENDED_MSG = 20,
    WIRE_KEEP_ALIVE = 256,
    WIRE_UNKNOWN = 257,
};

/* What passes one is ERR_LIMIT. */
struct peer_wire_limits {
    uint32_t n_pieces;     /* of the torrent; 0 while its metadata is not known */
    uint32_t bitfield_max; /* bytes of a bitfield while n_pieces is 0 */
    uint32_t block_max;    /* bytes of the block in a piece message, <= WIRE_BLOCK_LEN_MAX */
    uint32_t extended_max; /* bytes behind the extended id */
    uint32_t unknown_max;  /* bytes behind an unknown id */
};

/* A part of a piece. */
struct wire_block {
    uint32_t piece;
    uint32_t begin; /* bytes from the start of the piece */
    uint32_t len;   /* bytes */
};

struct peer_wire_msg {
    enum wire_type type;
    uint8_t id;          /* as on the wire; 0 for a keep-alive */
    uint8_t extended_id; /* extended: 0 is its handshake */
    uint16_t port;       /* port: of the peer's DHT node, host order */
    struct wire_block
        block;           /* request, piece, cancel, reject; have, suggest, allowed fast: piece */
    struct span payload; /* bitfield, extended, unknown: borrowed */
};

/* How many bytes from the start of a message peer_wire_decode has to see: 4 or 5 to learn its kind,
 * then WIRE_PIECE_HEAD_LEN for a piece and the whole of any other message.
 *
 * in       the message's first bytes, from none to all.
 * returns  at least 4; ERR_MALFORMED (a length that no such message has) or ERR_LIMIT, *why static.
 */
ssize_t peer_wire_need(struct span in, const struct peer_wire_limits *lim, const char **why);

/* Decode the message at the start of in.
 *
 * returns  bytes consumed, 0 for more, ERR_MALFORMED or ERR_LIMIT with a static *why.
 * piece    only its head is consumed: the block.len bytes that follow on the stream are the block,
 *          so that they can be read to where they belong. len may be 0 (how BitComet rejects).
 * bitfield has exactly the bytes for n_pieces and spare bits of zero; while n_pieces is 0 it is
 *          only measured: peer_wire_bitfield_ok once it is known.
 */
ssize_t peer_wire_decode(struct peer_wire_msg *out, struct span in,
                         const struct peer_wire_limits *lim, const char **why);

/* Write msg; id is ignored, except for WIRE_UNKNOWN. Of a piece only the head is written, the block
 * goes right behind it. */
void peer_wire_encode(struct wr *w, const struct peer_wire_msg *msg);

/* An extended message whose payload is written between the two calls:
 * size_t at = peer_wire_extended_begin(w, id); ...; peer_wire_extended_end(w, at); */
size_t peer_wire_extended_begin(struct wr *w, uint8_t extended_id);
void peer_wire_extended_end(struct wr *w, size_t at);

/* The shape of a torrent: n_pieces - 1 pieces of piece_len bytes, then one of last_piece_len. */
struct wire_geometry {
    uint32_t n_pieces;
    uint32_t piece_len;
    uint32_t last_piece_len; /* 1..piece_len */
};

/* Bytes of a piece; 0 when there is no such piece. */
uint32_t peer_wire_piece_len(const struct wire_geometry *g, uint32_t piece);
/* Does the block lie within its piece, with 1..block_max bytes? */
bool peer_wire_request_ok(const struct wire_geometry *g, const struct wire_block *b,
                          uint32_t block_max);

/* Bytes of a bitfield. */
static inline size_t peer_wire_bitfield_len(uint32_t n_pieces)
{
    return n_pieces / 8 + (n_pieces % 8 != 0);
}

/* Exactly the bytes for n_pieces, and the bits behind the last piece zero? */
bool peer_wire_bitfield_ok(struct span bitfield, uint32_t n_pieces);

/* The pieces that a peer may have while it is choked, the same from everybody.
 *
 * out      k pieces at most, distinct.
 * peer     its address. IPv4: the first 24 bits count (BEP 6). IPv6, of which the BEP says nothing:
 *          all of it, as libtorrent does.
 * returns  pieces written: k, or n_pieces when the torrent has no more than k (then all of them).
 * cost     about k / 5 SHA-1 of 20 bytes, more when k is near n_pieces.     source: BEP 6
 */
size_t peer_wire_allowed_fast(uint32_t *out, size_t k, uint32_t n_pieces,
                              const struct infohash *info_hash, const struct addr *peer);

#endif
