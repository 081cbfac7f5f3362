/* ext.h: what peers put into extended messages, both directions. Pure: no I/O, no allocation.
 *
 * Messages  the handshake (BEP 10, with BEP 21's upload_only), ut_metadata (BEP 9), ut_pex (BEP 11),
 *           lt_donthave, upload_only. Each function takes or writes a payload: the bytes behind the
 *           extended id, as peer_wire.h gives them.
 * Tolerant  a value of the wrong type or out of its range counts as absent, unknown keys are skipped
 *           and the order of keys does not matter. Only what is no bencoded dictionary, or breaks
 *           a rule named below, is refused.
 * Source    BEP 9, 10, 11, 21.
 */
#ifndef PROTO_EXT_H
#define PROTO_EXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cursor.h"
#include "base/endpoint.h"
#include "base/span.h"

enum {
    EXT_HANDSHAKE_ID = 0, /* the extended id of the handshake; all others are agreed in it */
    EXT_VERSION_MAX = 64, /* bytes of a client's name */
    EXT_METADATA_PIECE_LEN = 1 << 14,
    EXT_PEX_PEERS_MAX = 50, /* in each list of a message */
};

/* The extensions that have a name in the handshake's "m". */
enum ext_name {
    EXT_UT_METADATA,
    EXT_UT_PEX,
    EXT_LT_DONTHAVE,
    EXT_UPLOAD_ONLY,
    EXT_N_NAMES,
};

enum { EXT_ABSENT = -1 };

struct ext_handshake {
    /* By enum ext_name: the extended id to send such messages with (1..255), 0: not wanted any
     * more, EXT_ABSENT: not named. A peer's later handshake tells only what has changed. */
    int16_t id[EXT_N_NAMES];
    struct span version;    /* "v": valid UTF-8, cut to EXT_VERSION_MAX bytes; empty: none */
    uint16_t port;          /* "p": where the sender listens, host order; 0: none */
    bool has_yourip;        /* the receiver's address as the sender sees it */
    bool has_ipv4;          /* an address of the sender */
    bool has_ipv6;          /* an address of the sender */
    struct addr yourip;     /* not to be trusted, as everything here */
    struct addr ipv4;       /* of IPv4 */
    struct addr ipv6;       /* of IPv6 */
    uint32_t reqq;          /* requests that the sender keeps; 0: not said */
    uint32_t metadata_size; /* bytes of the info dictionary; 0: not said, or over the limit */
    bool metadata_too_big;  /* it was over the limit */
    int8_t upload_only;     /* 1: a (partial) seed that wants nothing, 0: not so, EXT_ABSENT */
};

/* Nothing said: every id and upload_only EXT_ABSENT. To fill before encoding. */
void ext_handshake_init(struct ext_handshake *h);

/* metadata_max: bytes of metadata that we would take. Returns bytes of the dictionary, or
 * ERR_MALFORMED or ERR_LIMIT with a static *why; never 0. version is borrowed from in. */
ssize_t ext_handshake_decode(struct ext_handshake *out, struct span in, uint32_t metadata_max,
                             const char **why);
void ext_handshake_encode(struct wr *w, const struct ext_handshake *h);

/* The numbers are those on the wire; others are EXT_METADATA_UNKNOWN, to be ignored. */
enum ext_metadata_type {
    EXT_METADATA_REQUEST = 0,
    EXT_METADATA_DATA = 1,
    EXT_METADATA_REJECT = 2,
    EXT_METADATA_UNKNOWN = 3,
};

struct ext_metadata {
    enum ext_metadata_type type;
    uint32_t piece;
    uint32_t total_size; /* data: bytes of the whole metadata; else 0 */
    struct span data;    /* data: the piece, borrowed */
};

/* Decode a ut_metadata message.
 *
 * request, reject  piece is any number: whether there is such a piece, the caller asks
 *                  ext_metadata_piece_len. Bytes behind the dictionary are ignored.
 * data             total_size is 1..metadata_max, piece is one of it, and data has exactly its
 *                  bytes. Whether all that was asked for, and of that size, the caller knows.
 * returns          bytes used (> 0), or ERR_MALFORMED or ERR_LIMIT with a static *why.
 */
ssize_t ext_metadata_decode(struct ext_metadata *out, struct span in, uint32_t metadata_max,
                            const char **why);
/* type is not EXT_METADATA_UNKNOWN. */
void ext_metadata_encode(struct wr *w, const struct ext_metadata *m);

/* Pieces of metadata of that many bytes. */
static inline uint32_t ext_metadata_n_pieces(uint32_t metadata_size)
{
    return metadata_size / EXT_METADATA_PIECE_LEN + (metadata_size % EXT_METADATA_PIECE_LEN != 0);
}

/* Bytes of a piece; 0 when there is no such piece. */
uint32_t ext_metadata_piece_len(uint32_t metadata_size, uint32_t piece);

/* What a PEX message says about an added peer. */
enum ext_pex_flag {
    EXT_PEX_ENCRYPTION = 0x01, /* prefers it */
    EXT_PEX_SEED = 0x02,       /* or upload_only */
    EXT_PEX_UTP = 0x04,
    EXT_PEX_HOLEPUNCH = 0x08,
    EXT_PEX_REACHABLE = 0x10, /* the sender connected to it */
};

/* Peers in wire form (compact.h), each list whole peers only and at most EXT_PEX_PEERS_MAX of them.
 * Flags have a byte a peer, or fewer: see ext_pex_flags. Borrowed. */
struct ext_pex {
    struct span added;
    struct span added_flags;
    struct span added6;
    struct span added6_flags;
    struct span dropped;
    struct span dropped6;
};

/* Decode a ut_pex message; longer lists are cut. Returns bytes of the dictionary, or ERR_MALFORMED
 * or ERR_LIMIT with a static *why. Peers may be repeated, and their ports may be 0. */
ssize_t ext_pex_decode(struct ext_pex *out, struct span in, const char **why);
/* Lists have whole peers, flags are empty or have a byte a peer. */
void ext_pex_encode(struct wr *w, const struct ext_pex *pex);

/* Bits of enum ext_pex_flag of the i-th peer; 0 when the message has none for it. */
static inline unsigned ext_pex_flags(struct span flags, size_t i)
{
    return i < flags.n ? flags.p[i] : 0;
}

/* lt_donthave: the sender has lost a piece. Any number, to be checked against the torrent.
 * Returns bytes used, or ERR_MALFORMED with *why. */
ssize_t ext_donthave_decode(uint32_t *piece, struct span in, const char **why);
void ext_donthave_encode(struct wr *w, uint32_t piece);

/* The message upload_only, sent when that changes: a byte, or 4 as old clients sent it.
 * Returns bytes used, or ERR_MALFORMED with *why. */
ssize_t ext_upload_only_decode(bool *upload_only, struct span in, const char **why);
void ext_upload_only_encode(struct wr *w, bool upload_only);

#endif
