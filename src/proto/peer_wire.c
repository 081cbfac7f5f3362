#include "proto/peer_wire.h"

#include <string.h>

#include "base/assert.h"
#include "base/digest.h"
#include "base/err.h"

#include "base/banned.h"

enum {
    PREFIX_LEN = 4, /* a message's length, itself not counted */
    HEAD_LEN = 5,   /* and its id */
    NAME_LEN = 20,  /* of the protocol, with its length in front */
    RESERVED_LEN = 8,
    PIECE_BODY_MIN = 9, /* id, piece, begin */
};

static const uint8_t protocol_name[NAME_LEN] = "\x13"
                                               "BitTorrent protocol";

/* Where the reserved bytes say what. */
static const struct {
    unsigned feature;
    uint8_t byte;
    uint8_t bit;
} reserved_bits[] = {
    {WIRE_DHT, 7, 0x01},
    {WIRE_FAST, 7, 0x04},
    {WIRE_EXTENDED, 5, 0x10},
};

enum { N_RESERVED_BITS = sizeof reserved_bits / sizeof *reserved_bits };

static int malformed(const char **why, const char *text)
{
    *why = text;
    return ERR_MALFORMED;
}

static int too_long(const char **why, const char *text)
{
    *why = text;
    return ERR_LIMIT;
}

ssize_t peer_wire_handshake_head_decode(struct peer_wire_handshake *out, struct span in,
                                        const char **why)
{
    struct span name = span_of(protocol_name, NAME_LEN);
    if (!span_starts_with(name, span_sub(in, 0, NAME_LEN))) {
        return malformed(why, "handshake is not of the BitTorrent protocol");
    }
    if (in.n < WIRE_HANDSHAKE_HEAD_LEN) {
        return 0;
    }
    const uint8_t *reserved = in.p + NAME_LEN;
    out->features = 0;
    for (size_t i = 0; i < N_RESERVED_BITS; i++) {
        if (reserved[reserved_bits[i].byte] & reserved_bits[i].bit) {
            out->features |= reserved_bits[i].feature;
        }
    }
    memcpy(out->info_hash.b, reserved + RESERVED_LEN, sizeof out->info_hash.b);
    return WIRE_HANDSHAKE_HEAD_LEN;
}

ssize_t peer_wire_handshake_decode(struct peer_wire_handshake *out, struct span in,
                                   const char **why)
{
    ssize_t n = peer_wire_handshake_head_decode(out, in, why);
    if (n <= 0 || in.n < WIRE_HANDSHAKE_LEN) {
        return n < 0 ? n : 0;
    }
    memcpy(out->peer_id.b, in.p + WIRE_HANDSHAKE_HEAD_LEN, sizeof out->peer_id.b);
    return WIRE_HANDSHAKE_LEN;
}

void peer_wire_handshake_encode(struct wr *w, const struct peer_wire_handshake *h)
{
    uint8_t reserved[RESERVED_LEN] = {0};
    for (size_t i = 0; i < N_RESERVED_BITS; i++) {
        if (h->features & reserved_bits[i].feature) {
            reserved[reserved_bits[i].byte] |= reserved_bits[i].bit;
        }
    }
    wr_bytes(w, span_of(protocol_name, NAME_LEN));
    wr_bytes(w, span_of(reserved, sizeof reserved));
    wr_bytes(w, span_of(h->info_hash.b, sizeof h->info_hash.b));
    wr_bytes(w, span_of(h->peer_id.b, sizeof h->peer_id.b));
}

static enum wire_type type_of(uint8_t id)
{
    switch (id) {
    case WIRE_CHOKE:
    case WIRE_UNCHOKE:
    case WIRE_INTERESTED:
    case WIRE_NOT_INTERESTED:
    case WIRE_HAVE:
    case WIRE_BITFIELD:
    case WIRE_REQUEST:
    case WIRE_PIECE:
    case WIRE_CANCEL:
    case WIRE_PORT:
    case WIRE_SUGGEST:
    case WIRE_HAVE_ALL:
    case WIRE_HAVE_NONE:
    case WIRE_REJECT:
    case WIRE_ALLOWED_FAST:
    case WIRE_EXTENDED_MSG:
        return (enum wire_type)id;
    default:
        return WIRE_UNKNOWN;
    }
}

static int check_exact(uint32_t len, uint32_t expected, const char **why)
{
    return len == expected ? 0 : malformed(why, "message has a length that its kind never has");
}

static int check_range(uint32_t len, uint32_t min, uint32_t max_behind_min, const char **why)
{
    if (len < min) {
        return malformed(why, "message is shorter than its kind");
    }
    return len - min <= max_behind_min ? 0 : too_long(why, "message is longer than the limit");
}

static int check_bitfield_len(uint32_t len, const struct peer_wire_limits *lim, const char **why)
{
    if (lim->n_pieces == 0) {
        return check_range(len, 1, lim->bitfield_max, why);
    }
    return len - 1 == peer_wire_bitfield_len(lim->n_pieces)
               ? 0
               : malformed(why, "bitfield is not as long as the torrent has pieces");
}

/* Can a message of this kind have this length (id included, so at least 1)? */
static int check_len(enum wire_type type, uint32_t len, const struct peer_wire_limits *lim,
                     const char **why)
{
    switch (type) {
    case WIRE_CHOKE:
    case WIRE_UNCHOKE:
    case WIRE_INTERESTED:
    case WIRE_NOT_INTERESTED:
    case WIRE_HAVE_ALL:
    case WIRE_HAVE_NONE:
        return check_exact(len, 1, why);
    case WIRE_PORT:
        return check_exact(len, 3, why);
    case WIRE_HAVE:
    case WIRE_SUGGEST:
    case WIRE_ALLOWED_FAST:
        return check_exact(len, 5, why);
    case WIRE_REQUEST:
    case WIRE_CANCEL:
    case WIRE_REJECT:
        return check_exact(len, 13, why);
    case WIRE_BITFIELD:
        return check_bitfield_len(len, lim, why);
    case WIRE_PIECE:
        return check_range(len, PIECE_BODY_MIN, lim->block_max, why);
    case WIRE_EXTENDED_MSG:
        return check_range(len, 2, lim->extended_max, why);
    case WIRE_UNKNOWN:
    case WIRE_KEEP_ALIVE:
        break;
    }
    return check_range(len, 1, lim->unknown_max, why);
}

ssize_t peer_wire_need(struct span in, const struct peer_wire_limits *lim, const char **why)
{
    struct rd r = rd_over(in);
    uint32_t len = rd_u32(&r);
    if (r.bad || len == 0) {
        return PREFIX_LEN;
    }
    enum wire_type type = type_of(rd_u8(&r));
    if (r.bad) {
        return HEAD_LEN;
    }
    int rc = check_len(type, len, lim, why);
    if (rc < 0) {
        return rc;
    }
    return type == WIRE_PIECE ? WIRE_PIECE_HEAD_LEN : (ssize_t)PREFIX_LEN + (ssize_t)len;
}

/* The body of a message that is all there and whose length was checked. */
static void decode_body(struct peer_wire_msg *out, struct rd *r, uint32_t len)
{
    switch (out->type) {
    case WIRE_CHOKE:
    case WIRE_UNCHOKE:
    case WIRE_INTERESTED:
    case WIRE_NOT_INTERESTED:
    case WIRE_HAVE_ALL:
    case WIRE_HAVE_NONE:
    case WIRE_KEEP_ALIVE:
        break;
    case WIRE_HAVE:
    case WIRE_SUGGEST:
    case WIRE_ALLOWED_FAST:
        out->block.piece = rd_u32(r);
        break;
    case WIRE_REQUEST:
    case WIRE_CANCEL:
    case WIRE_REJECT:
        out->block.piece = rd_u32(r);
        out->block.begin = rd_u32(r);
        out->block.len = rd_u32(r);
        break;
    case WIRE_PIECE:
        out->block.piece = rd_u32(r);
        out->block.begin = rd_u32(r);
        out->block.len = len - PIECE_BODY_MIN;
        break;
    case WIRE_PORT:
        out->port = rd_u16(r);
        break;
    case WIRE_EXTENDED_MSG:
        out->extended_id = rd_u8(r);
        out->payload = rd_bytes(r, len - 2);
        break;
    case WIRE_BITFIELD:
    case WIRE_UNKNOWN:
        out->payload = rd_bytes(r, len - 1);
        break;
    }
}

ssize_t peer_wire_decode(struct peer_wire_msg *out, struct span in,
                         const struct peer_wire_limits *lim, const char **why)
{
    ssize_t need = peer_wire_need(in, lim, why);
    if (need < 0 || in.n < (size_t)need) {
        return need < 0 ? need : 0;
    }
    struct rd r = rd_over(in);
    uint32_t len = rd_u32(&r);
    *out = (struct peer_wire_msg){.type = WIRE_KEEP_ALIVE};
    if (len > 0) {
        out->id = rd_u8(&r);
        out->type = type_of(out->id);
        decode_body(out, &r, len);
    }
    ASSERT(!r.bad);
    if (out->type == WIRE_BITFIELD && lim->n_pieces > 0 &&
        !peer_wire_bitfield_ok(out->payload, lim->n_pieces)) {
        return malformed(why, "bitfield has bits behind the last piece");
    }
    return need;
}

/* Length and id; body_len is what follows the id, a piece's block included. */
static void encode_head(struct wr *w, const struct peer_wire_msg *msg, size_t body_len)
{
    uint8_t id = msg->type == WIRE_UNKNOWN ? msg->id : (uint8_t)msg->type;
    ASSERT(body_len < UINT32_MAX);
    wr_u32(w, (uint32_t)body_len + 1);
    wr_u8(w, id);
}

void peer_wire_encode(struct wr *w, const struct peer_wire_msg *msg)
{
    switch (msg->type) {
    case WIRE_KEEP_ALIVE:
        wr_u32(w, 0);
        return;
    case WIRE_CHOKE:
    case WIRE_UNCHOKE:
    case WIRE_INTERESTED:
    case WIRE_NOT_INTERESTED:
    case WIRE_HAVE_ALL:
    case WIRE_HAVE_NONE:
        encode_head(w, msg, 0);
        return;
    case WIRE_HAVE:
    case WIRE_SUGGEST:
    case WIRE_ALLOWED_FAST:
        encode_head(w, msg, 4);
        wr_u32(w, msg->block.piece);
        return;
    case WIRE_REQUEST:
    case WIRE_CANCEL:
    case WIRE_REJECT:
        encode_head(w, msg, 12);
        wr_u32(w, msg->block.piece);
        wr_u32(w, msg->block.begin);
        wr_u32(w, msg->block.len);
        return;
    case WIRE_PIECE:
        encode_head(w, msg, (size_t)8 + msg->block.len);
        wr_u32(w, msg->block.piece);
        wr_u32(w, msg->block.begin);
        return;
    case WIRE_PORT:
        encode_head(w, msg, 2);
        wr_u16(w, msg->port);
        return;
    case WIRE_EXTENDED_MSG:
        encode_head(w, msg, 1 + msg->payload.n);
        wr_u8(w, msg->extended_id);
        wr_bytes(w, msg->payload);
        return;
    case WIRE_BITFIELD:
    case WIRE_UNKNOWN:
        encode_head(w, msg, msg->payload.n);
        wr_bytes(w, msg->payload);
        return;
    }
}

size_t peer_wire_extended_begin(struct wr *w, uint8_t extended_id)
{
    size_t at = wr_len(w);
    wr_u32(w, 0); /* known at the end */
    wr_u8(w, WIRE_EXTENDED_MSG);
    wr_u8(w, extended_id);
    return at;
}

void peer_wire_extended_end(struct wr *w, size_t at)
{
    if (w->bad) {
        return;
    }
    struct wr prefix = wr_over(w->start + at, PREFIX_LEN);
    wr_u32(&prefix, (uint32_t)(wr_len(w) - at - PREFIX_LEN));
}

uint32_t peer_wire_piece_len(const struct wire_geometry *g, uint32_t piece)
{
    if (piece >= g->n_pieces) {
        return 0;
    }
    return piece == g->n_pieces - 1 ? g->last_piece_len : g->piece_len;
}

bool peer_wire_request_ok(const struct wire_geometry *g, const struct wire_block *b,
                          uint32_t block_max)
{
    uint32_t piece_len = peer_wire_piece_len(g, b->piece);
    return b->len > 0 && b->len <= block_max && b->len <= piece_len &&
           b->begin <= piece_len - b->len;
}

bool peer_wire_bitfield_ok(struct span bitfield, uint32_t n_pieces)
{
    if (bitfield.n != peer_wire_bitfield_len(n_pieces)) {
        return false;
    }
    unsigned used = n_pieces % 8;
    return used == 0 || (bitfield.p[bitfield.n - 1] & (0xffu >> used)) == 0;
}

static bool contains(const uint32_t *pieces, size_t n, uint32_t piece)
{
    for (size_t i = 0; i < n; i++) {
        if (pieces[i] == piece) {
            return true;
        }
    }
    return false;
}

size_t peer_wire_allowed_fast(uint32_t *out, size_t k, uint32_t n_pieces,
                              const struct infohash *info_hash, const struct addr *peer)
{
    uint8_t x[16 + sizeof info_hash->b];
    size_t n = 0;
    if (n_pieces <= k) {
        for (; n < n_pieces; n++) {
            out[n] = (uint32_t)n;
        }
        return n;
    }
    size_t ip_len = addr_len(peer);
    memcpy(x, peer->b, ip_len);
    if (!peer->v6) {
        x[3] = 0; /* one set for a network, not one for each of its addresses */
    }
    memcpy(x + ip_len, info_hash->b, sizeof info_hash->b);
    size_t x_len = ip_len + sizeof info_hash->b;
    while (n < k) {
        digest_sha1(x, span_of(x, x_len));
        x_len = 20;
        struct rd r = rd_over(span_of(x, x_len));
        while (n < k && rd_left(&r) > 0) {
            uint32_t piece = rd_u32(&r) % n_pieces;
            if (!contains(out, n, piece)) {
                out[n++] = piece;
            }
        }
    }
    return n;
}
