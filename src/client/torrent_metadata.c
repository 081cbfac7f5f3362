/* Metadata to and from peers (BEP 9).
 *
 * Asking    each peer with ut_metadata is offered to metadata.c, which says what to ask it for.
 * Arrived   the dictionary's hash is right, so it is the torrent's, whoever sent it. It may still be
 *           one that we cannot use (too many files, version 2 alone): that is a fault for good.
 * Private   only now do we know: what came by PEX is forgotten before anything else is done.
 * Serving   one piece a request, rejected while much waits to be sent to that peer already.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "client/torrent_impl.h"

#include "base/banned.h"

enum { SERVE_WAITING_MAX = 256 << 10 };

static void ask(struct conn *c)
{
    struct torrent *t = c->t;
    uint32_t piece;
    bool any = false;
    if (!c->greeted || c->peer.ext_id[EXT_UT_METADATA] <= 0) {
        return;
    }
    while (metadata_next_request(t->metadata, c->id, torrent_now(t), &piece)) {
        struct ext_metadata m = {.type = EXT_METADATA_REQUEST, .piece = piece};
        peer_send_metadata(&c->peer, &m, torrent_now(t));
        any = true;
    }
    if (any) {
        conn_wake(c);
        torrent_plan(t);
    }
}

static void ask_all(struct torrent *t)
{
    LIST_FOREACH_SAFE (node, &t->conns) {
        ask(conn_of(node));
    }
}

void conn_on_extensions(struct conn *c)
{
    struct torrent *t = c->t;
    conn_pex_add(c);
    if (c->peer.ext_id[EXT_UT_PEX] > 0) {
        conn_pex_begin(c);
    }
    if (c->peer.reqq != 0) {
        requests_set_reqq(&c->requests, c->peer.reqq);
    }
    if (t->metadata != NULL && c->peer.ext_id[EXT_UT_METADATA] > 0) {
        metadata_on_peer(t->metadata, c->id, c->peer.metadata_size);
        ask(c);
    }
}

/* ---- it came */

static void tell_geometry(struct torrent *t)
{
    struct peer_self self;
    torrent_self(t, &self);
    LIST_FOREACH_SAFE (node, &t->conns) {
        struct conn *c = conn_of(node);
        const char *why = NULL;
        if (peer_set_geometry(&c->peer, &t->layout->geometry, &why) < 0) {
            conn_close(c, why, true);
        } else if (c->greeted) {
            conn_count(c);
            peer_send_extensions(&c->peer, &self, torrent_now(t));
            conn_wake(c);
        }
    }
}

static void on_done(struct torrent *t)
{
    size_t len = 0;
    const char *why = NULL;
    uint8_t *info = metadata_take(t->metadata, &len);
    metadata_free(t->metadata);
    t->metadata = NULL;
    if (torrent_take_info(t, info, len, &why) < 0) {
        torrent_fail(t, FAULT_DISK, why);
        return;
    }
    t->e->totals.pieces_added += torrent_n_pieces(t);
    engine_put(t->e, &(struct engine_out){.kind = ENGINE_OUT_METADATA, .torrent = t->id});
    if (!torrent_pex_is_on(t)) {
        torrent_pex_forget(t);
    }
    torrent_count_time(t);
    t->state = TORRENT_QUEUED_CHECK;
    tell_geometry(t);
    resume_touch(t, false, true);
    torrent_check_begin(t);
}

static void on_bad(struct torrent *t)
{
    conn_id liar;
    while (metadata_next_liar(t->metadata, &liar)) {
        struct conn *c = engine_conn(t->e, liar);
        if (c != NULL && !c->gone && c->t == t) {
            conn_close(c, "it sent metadata with a wrong hash", true);
        }
    }
    ask_all(t);
}

static void on_data(struct conn *c, const struct ext_metadata *m)
{
    struct torrent *t = c->t;
    if (t->metadata == NULL) {
        return;
    }
    switch (metadata_on_data(t->metadata, c->id, m->piece, m->total_size, m->data)) {
    case METADATA_MORE:
        ask(c);
        break;
    case METADATA_DONE:
        on_done(t);
        break;
    case METADATA_UNEXPECTED:
        break;
    case METADATA_BAD:
        on_bad(t);
        break;
    }
}

/* ---- serving */

static void serve(struct conn *c, uint32_t piece)
{
    struct torrent *t = c->t;
    const struct sendq *q = &c->peer.sendq;
    struct ext_metadata m = {.type = EXT_METADATA_REJECT, .piece = piece};
    uint32_t len = t->info == NULL ? 0 : ext_metadata_piece_len((uint32_t)t->info_len, piece);
    if (len > 0 && q->len - q->payload_len < SERVE_WAITING_MAX) {
        m.type = EXT_METADATA_DATA;
        m.total_size = (uint32_t)t->info_len;
        m.data = span_of(t->info + (size_t)piece * EXT_METADATA_PIECE_LEN, len);
    }
    peer_send_metadata(&c->peer, &m, torrent_now(t));
    conn_wake(c);
}

int conn_on_metadata(struct conn *c, const struct ext_metadata *m, const char **why)
{
    struct torrent *t = c->t;
    (void)why;
    switch (m->type) {
    case EXT_METADATA_REQUEST:
        if (c->peer.ext_id[EXT_UT_METADATA] > 0) {
            serve(c, m->piece);
        }
        break;
    case EXT_METADATA_DATA:
        on_data(c, m);
        break;
    case EXT_METADATA_REJECT:
        if (t->metadata != NULL) {
            metadata_on_reject(t->metadata, c->id, m->piece, torrent_now(t));
            torrent_plan(t);
        }
        break;
    case EXT_METADATA_UNKNOWN:
        break;
    }
    return 0;
}

void torrent_metadata_on_deadline(struct torrent *t)
{
    metadata_on_deadline(t->metadata, torrent_now(t));
    ask_all(t);
}
