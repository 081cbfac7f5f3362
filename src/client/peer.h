/* peer.h: one connection to a peer: its handshake, its messages, what it may ask of us. Client core:
 * bytes in, events out; what is to be sent waits in sendq.
 *
 *   HANDSHAKE --info-hash--> IDENTIFY --peer id--> READY --> (the owner drops it)
 *
 * Handshake  outgoing: peer_start sends ours at once. Incoming: the owner answers PEER_EV_INFO_HASH
 *            with peer_start, or drops it.
 * Events     peer_next takes messages off the input one at a time; the owner acts on each before it
 *            asks for the next. Wire rules are checked here: what breaks one ends the connection
 *            (a negative return with a static why). What the owner must know to judge (was this
 *            block asked for?) comes as an event.
 * Blocks     are gathered in a data_buf of their own as their bytes come: an event at their end.
 * Requests   of the peer are checked and kept here (PEER_UPLOADS_MAX, ours to say as reqq); those
 *            that cannot be served are rejected (fast) or dropped. The owner takes them in runs of
 *            neighbours with peer_take_uploads, reads, and gives them to peer_send_block.
 * Fast       BEP 6 when both have it; without it a choke drops all requests both ways.
 * Limits     input that waits: one message, of at most the size its kind may have; extended
 *            PEER_EXTENDED_MAX; unknown kinds PEER_UNKNOWN_MAX. PEER_INVALID_MAX bad requests.
 */
#ifndef CLIENT_PEER_H
#define CLIENT_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/endpoint.h"
#include "base/ids.h"
#include "client/data_buf.h"
#include "client/pieces.h"
#include "client/sendq.h"
#include "proto/ext.h"
#include "proto/peer_wire.h"

enum {
    PEER_UPLOADS_MAX = 2000, /* Transmission asks once a second, for all it may until the next */
    PEER_EXTENDED_MAX = 1 << 17,
    PEER_UNKNOWN_MAX = 1 << 16,
    PEER_INVALID_MAX = 300,
    PEER_ALLOWED_FAST_MAX = 10, /* that we take, and that we give */
    PEER_HANDSHAKE_MS = 10000,
    PEER_SILENCE_MS = 120000,
    PEER_KEEP_ALIVE_MS = 60000,
    PEER_CHOKED_GRACE_MS = 30000, /* requests may wait that long behind blocks in a slow line */
    PEER_VERSION_MAX = EXT_VERSION_MAX + 1,
};

enum peer_state { PEER_HANDSHAKE, PEER_IDENTIFY, PEER_READY };

/* What peers count, each and all together. Wire bytes, both directions. down is counted here; up by
 * whoever sends, with what sendq_sent says. */
struct peer_totals {
    uint64_t down, up;                 /* all bytes */
    uint64_t down_payload, up_payload; /* bytes of blocks */
};

/* Messages of all peers together. */
enum { PEER_N_TYPES = WIRE_EXTENDED_MSG + 1 };
enum peer_extended { PEER_EXT_HANDSHAKE, PEER_EXT_METADATA, PEER_EXT_PEX, PEER_EXT_OTHER };
enum { PEER_N_EXTENDED = PEER_EXT_OTHER + 1 };

struct peer_messages {
    uint64_t in[PEER_N_TYPES]; /* by enum wire_type; extended ones are not in there */
    uint64_t out[PEER_N_TYPES];
    uint64_t in_extended[PEER_N_EXTENDED];
    uint64_t out_extended[PEER_N_EXTENDED];
    uint64_t requests_invalid, requests_choked, requests_over; /* of peers, that were not kept */
};

/* What a handshake of ours says. */
struct peer_self {
    struct infohash info_hash;
    struct peer_id peer_id;
    uint16_t listen_port;   /* 0: not listening */
    const char *version;    /* "Rookery 0.1.0" */
    uint32_t metadata_size; /* 0: we have none (yet) */
    bool private;           /* no ut_pex */
    bool pex;
    bool upload_only; /* BEP 21 */
};

struct peer {
    conn_id id;
    enum peer_state state;
    bool incoming;
    struct endpoint remote;         /* the other end of the connection */
    struct endpoint listen;         /* where it listens; port 0: not known */
    struct peer_id peer_id;         /* from PEER_EV_READY on */
    unsigned features;              /* of both sides: bits of enum wire_feature */
    char version[PEER_VERSION_MAX]; /* from its extension handshake; "" */

    bool choking;      /* we choke it */
    bool interested;   /* we are */
    bool peer_choking; /* it chokes us */
    bool peer_interested;
    bool peer_upload_only; /* BEP 21 */
    bool seed;             /* it has everything; bitfield is NULL then */
    uint8_t *bitfield;     /* what it has; NULL while it has nothing, or is a seed */
    uint32_t n_have;
    uint32_t fast[PEER_ALLOWED_FAST_MAX]; /* pieces that it allows us while it chokes us */
    size_t n_fast;
    int16_t ext_id[EXT_N_NAMES]; /* to send with; 0 or EXT_ABSENT: it has no such extension */
    uint32_t reqq;               /* requests it keeps; 0: not said */
    uint32_t metadata_size;      /* 0: not said */

    struct sendq sendq;
    struct peer_totals totals;
    uint64_t received_ms; /* when bytes came last */
    uint64_t sent_ms;     /* when a message was last queued */
    uint64_t started_ms;
    uint32_t n_invalid;             /* requests that broke a rule */
    uint32_t n_refused;             /* requests that were not kept: those, while choked, too many */
    struct peer_messages *messages; /* where they are counted; NULL: nowhere. The owner sets it */

    /* private */
    struct infohash info_hash; /* from peer_start on */
    struct peer_wire_limits limits;
    struct wire_geometry geometry; /* n_pieces 0: not known */
    struct data_pool *pool;
    uint8_t *input; /* a message that came in parts; NULL while there is none */
    size_t input_len, input_cap;
    struct data_buf *arriving; /* a block of which bytes are missing */
    struct wire_block arriving_block;
    uint32_t arriving_len;
    uint8_t *early_bitfield; /* came before the metadata was there */
    size_t early_bitfield_len;
    bool early_exact; /* it was a bitfield, so its length has to fit */
    bool early_have_all;
    bool said_have; /* a bitfield or its like came, or a have */
    uint8_t *later; /* a bitfield that came after that: what is new in it is being told */
    uint32_t later_at;
    struct ext_handshake ext;
    bool takes_pex; /* we said that we do */
    struct wire_block *uploads;
    size_t n_uploads, uploads_cap;
    uint32_t given_fast[PEER_ALLOWED_FAST_MAX]; /* pieces that it may have while we choke it */
    size_t n_given_fast;
    uint32_t given_fast_asked[PEER_ALLOWED_FAST_MAX]; /* requests for each while choked */
    bool uploads_new;                                 /* PEER_EV_UPLOADS is due */
    uint64_t choked_ms;   /* when it last could not know that it is choked */
    uint64_t choked_sent; /* sendq.sent once our choke has gone */
    bool started;
};

/* Zeroes p first. */
void peer_init(struct peer *p, conn_id id, bool incoming, const struct endpoint *remote,
               struct data_pool *pool, uint64_t now_ms);
void peer_release(struct peer *p);

/* Send our handshake, for this torrent. geometry: NULL while its metadata is not known. */
void peer_start(struct peer *p, const struct peer_self *self, const struct wire_geometry *geometry,
                uint64_t now_ms);
/* After PEER_EV_READY: extension handshake, then what we have: all, none or the bitfield (BEP 6, or
 * nothing when n_have is 0 and it does not know that BEP). have is not read for none or all. */
void peer_greet(struct peer *p, const struct peer_self *self, struct span have, uint32_t n_have,
                uint64_t now_ms);
/* The metadata has come: an early bitfield is looked at now. Negative: it does not fit, *why. */
MUST_CHECK int peer_set_geometry(struct peer *p, const struct wire_geometry *geometry,
                                 const char **why);

enum peer_event_kind {
    PEER_EV_INFO_HASH, /* incoming: which torrent? then peer_start */
    PEER_EV_READY,     /* handshakes are done, peer_id and features are known */
    PEER_EV_CHOKE,     /* without fast: all that was asked has come to nothing */
    PEER_EV_UNCHOKE,
    PEER_EV_INTERESTED,
    PEER_EV_NOT_INTERESTED,
    PEER_EV_BITFIELD,   /* p->bitfield, p->seed and p->n_have are set (have all and none as well) */
    PEER_EV_HAVE,       /* block.piece is new; p->seed when that made it one */
    PEER_EV_DONTHAVE,   /* block.piece is lost */
    PEER_EV_BLOCK,      /* block with its data, to be kept by data_ref; unasked ones too */
    PEER_EV_REJECT,     /* block (fast, or the empty piece of BitComet, then with its usual len) */
    PEER_EV_FAST,       /* block.piece was added to p->fast */
    PEER_EV_UPLOADS,    /* it asked for blocks: peer_take_uploads. Once for all of the input */
    PEER_EV_EXTENSIONS, /* its extension handshake; what it says is in p; ext points to all of it */
    PEER_EV_METADATA,   /* metadata */
    PEER_EV_PEX,        /* pex */
    PEER_EV_PORT,       /* port: of its DHT node */
    PEER_EV_UPLOAD_ONLY, /* p->peer_upload_only has changed */
};

struct peer_event {
    enum peer_event_kind kind;
    struct infohash info_hash;
    struct wire_block block;
    struct data_buf *data; /* borrowed */
    const struct ext_handshake *ext;
    struct ext_metadata metadata;
    struct ext_pex pex;
    uint16_t port;
};

/* Take the next event off *in, which is moved on.
 *
 * returns  1 with *ev; 0: the input is used up; ERR_MALFORMED or ERR_LIMIT with a static *why: close
 *          the connection.
 * borrows  what *ev points to, until the next call.
 */
MUST_CHECK int peer_next(struct peer *p, struct span *in, uint64_t now_ms, struct peer_event *ev,
                         const char **why);

/* Messages to the peer; the flags above follow. Nothing when nothing changes. */
void peer_set_choking(struct peer *p, bool choking, uint64_t now_ms);
void peer_set_interested(struct peer *p, bool interested, uint64_t now_ms);
void peer_send_have(struct peer *p, uint32_t piece, uint64_t now_ms);
void peer_send_requests(struct peer *p, const struct wire_block *blocks, size_t n, uint64_t now_ms);
void peer_send_cancel(struct peer *p, const struct wire_block *b, uint64_t now_ms);
void peer_send_metadata(struct peer *p, const struct ext_metadata *m, uint64_t now_ms);
void peer_send_pex(struct peer *p, const struct ext_pex *pex, uint64_t now_ms);
void peer_send_upload_only(struct peer *p, bool upload_only, uint64_t now_ms);
/* A later extension handshake: metadata_size or upload_only have changed. */
void peer_send_extensions(struct peer *p, const struct peer_self *self, uint64_t now_ms);
void peer_send_keep_alive(struct peer *p, uint64_t now_ms);
/* BEP 6: the allowed fast set, once, when it becomes interested; have: our bitfield. */
void peer_send_allowed_fast(struct peer *p, const struct infohash *info_hash, struct span have,
                            uint64_t now_ms);

/* Does it have the piece? */
bool peer_has(const struct peer *p, uint32_t piece);

/* Requests of the peer that may be served now (not choked, or allowed fast). */
size_t peer_n_uploads(const struct peer *p);
/* The oldest and those that go on where it ends, in one piece, while together they have at most
 * max_len bytes and cap blocks. They are out of the queue then: a cancel that comes later is too
 * late. Returns their number. */
size_t peer_take_uploads(struct peer *p, struct wire_block *out, size_t cap, size_t max_len);
void peer_send_block(struct peer *p, const struct wire_block *b, struct data_buf *d, uint32_t at,
                     uint64_t now_ms);
/* It cannot be served (fast: told so). */
void peer_send_reject(struct peer *p, const struct wire_block *b, uint64_t now_ms);

/* Handshake time-out, silence, or a keep-alive that is due. */
uint64_t peer_deadline_ms(const struct peer *p);
/* returns 0, or ERR_TIMEOUT with *why: close it. */
MUST_CHECK int peer_on_deadline(struct peer *p, uint64_t now_ms, const char **why);

#endif
