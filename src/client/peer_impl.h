/* peer_impl.h: what the parts of a peer share. Inside of peer*.c alone.
 *
 * Parts     peer.c its life; peer_in.c bytes to events; peer_have.c which pieces it has; peer_ext.c
 *           extended messages, both ways; peer_out.c all others that we send; peer_upload.c its
 *           requests.
 * Results   of the peer_on_ functions: PEER_TOLD: *ev is filled; 0: nothing to tell; negative: close
 *           the connection, *why.
 */
#ifndef CLIENT_PEER_IMPL_H
#define CLIENT_PEER_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/span.h"
#include "client/peer.h"
#include "proto/peer_wire.h"

enum {
    PEER_TOLD = 1,
    PEER_PIECES_MAX = 1 << 21, /* of any torrent, as metainfo.h has it */
};

/* peer_have.c */
void peer_use_geometry(struct peer *p, const struct wire_geometry *geometry);
MUST_CHECK int peer_on_bitfield(struct peer *p, struct span bitfield, struct peer_event *ev,
                                const char **why);
MUST_CHECK int peer_on_have_all(struct peer *p, bool all, struct peer_event *ev);
/* While p->later is there. */
MUST_CHECK int peer_next_later(struct peer *p, struct peer_event *ev);
MUST_CHECK int peer_on_have(struct peer *p, uint32_t piece, struct peer_event *ev,
                            const char **why);
MUST_CHECK int peer_on_donthave(struct peer *p, uint32_t piece, struct peer_event *ev,
                                const char **why);

/* peer_ext.c */
MUST_CHECK int peer_on_extended(struct peer *p, const struct peer_wire_msg *msg,
                                struct peer_event *ev, const char **why);

/* peer_out.c */
void peer_count_out(struct peer *p, enum wire_type type);
void peer_queue(struct peer *p, const struct peer_wire_msg *msg, uint64_t now_ms);

/* peer_upload.c */
MUST_CHECK int peer_on_request(struct peer *p, const struct wire_block *b, uint64_t now_ms,
                               struct peer_event *ev, const char **why);
void peer_on_cancel(struct peer *p, const struct wire_block *b, uint64_t now_ms);
/* We choke it, and have said so: what it asked for comes to nothing. */
void peer_drop_uploads(struct peer *p, uint64_t now_ms);

#endif
