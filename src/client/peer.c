/* The life of a connection.
 *
 *   outgoing:  peer_start (ours leaves)  -> its info-hash, the same -> its peer id -> READY
 *   incoming:  its info-hash, INFO_HASH  -> peer_start (ours leaves) -> its peer id -> READY
 *
 * The info-hash is looked at before the peer id is there: the other side may wait for our handshake
 * before it sends that.
 *
 * Time    a handshake has PEER_HANDSHAKE_MS however its bytes trickle: for what connected to us from
 *         the first moment on, for what we connected to from when ours was sent. Later any byte
 *         proves that it lives. We say something every PEER_KEEP_ALIVE_MS, but while blocks still
 *         wait for it they say so themselves.
 * Memory  of a connection that rests: this struct, and its bitfield unless it is a seed. Input,
 *         queues and blocks have memory only while something is in them.
 */
#include "client/peer.h"

#include <stdlib.h>

#include "base/err.h"
#include "client/peer_impl.h"

#include "base/banned.h"

enum { OUR_FEATURES = WIRE_FAST | WIRE_EXTENDED };

void peer_init(struct peer *p, conn_id id, bool incoming, const struct endpoint *remote,
               struct data_pool *pool, uint64_t now_ms)
{
    *p = (struct peer){
        .id = id,
        .incoming = incoming,
        .remote = *remote,
        .listen = *remote,
        .features = OUR_FEATURES,
        .choking = true,
        .peer_choking = true,
        .limits = {.bitfield_max = PEER_PIECES_MAX / 8,
                   .block_max = WIRE_BLOCK_LEN,
                   .extended_max = PEER_EXTENDED_MAX,
                   .unknown_max = PEER_UNKNOWN_MAX},
        .pool = pool,
        .received_ms = now_ms,
        .sent_ms = now_ms,
        .started_ms = now_ms,
    };
    if (incoming) {
        p->listen.port = 0;
    }
    for (size_t i = 0; i < EXT_N_NAMES; i++) {
        p->ext_id[i] = EXT_ABSENT;
    }
}

void peer_release(struct peer *p)
{
    sendq_release(&p->sendq);
    data_unref(p->arriving);
    free(p->bitfield);
    free(p->input);
    free(p->early_bitfield);
    free(p->later);
    free(p->uploads);
    *p = (struct peer){.id = p->id};
}

void peer_start(struct peer *p, const struct peer_self *self, const struct wire_geometry *geometry,
                uint64_t now_ms)
{
    uint8_t bytes[WIRE_HANDSHAKE_LEN];
    struct wr w = wr_over(bytes, sizeof bytes);
    ASSERT(!p->started && p->state == (p->incoming ? PEER_IDENTIFY : PEER_HANDSHAKE));
    p->started = true;
    p->info_hash = self->info_hash;
    if (geometry != NULL) {
        peer_use_geometry(p, geometry);
    }
    if (!p->incoming) {
        p->started_ms = now_ms;
    }
    peer_wire_handshake_encode(&w, &(struct peer_wire_handshake){
                                       .features = OUR_FEATURES,
                                       .info_hash = self->info_hash,
                                       .peer_id = self->peer_id,
                                   });
    ASSERT(!w.bad);
    sendq_add(&p->sendq, wr_span(&w));
    p->sent_ms = now_ms;
}

uint64_t peer_deadline_ms(const struct peer *p)
{
    if (p->state != PEER_READY) {
        return p->started_ms + PEER_HANDSHAKE_MS;
    }
    uint64_t silent_ms = p->received_ms + PEER_SILENCE_MS;
    uint64_t keep_alive_ms = p->sent_ms + PEER_KEEP_ALIVE_MS;
    return silent_ms < keep_alive_ms ? silent_ms : keep_alive_ms;
}

int peer_on_deadline(struct peer *p, uint64_t now_ms, const char **why)
{
    if (p->state != PEER_READY) {
        if (now_ms < p->started_ms + PEER_HANDSHAKE_MS) {
            return 0;
        }
        *why = "handshake takes too long";
        return ERR_TIMEOUT;
    }
    if (now_ms >= p->received_ms + PEER_SILENCE_MS) {
        *why = "peer is silent";
        return ERR_TIMEOUT;
    }
    if (now_ms >= p->sent_ms + PEER_KEEP_ALIVE_MS) {
        if (p->sendq.len == 0) {
            peer_send_keep_alive(p, now_ms);
        }
        p->sent_ms = now_ms;
    }
    return 0;
}
