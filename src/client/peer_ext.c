/* Extended messages, both ways (BEP 10).
 *
 * Ids       we take each extension under the number of its name plus one, always; to send we use
 *           the numbers that the other side has told us, and nothing before it has.
 * Later     an extension handshake may come again: it changes what it says and leaves the rest.
 * Private   a torrent that is private, or may turn out to be, is its owner's to know: without `pex`
 *           in peer_self we name no ut_pex, and what comes all the same is not even decoded.
 * Unknown   extensions and types of messages are skipped; what cannot be decoded ends the connection.
 */
#include "client/peer_impl.h"

#include <string.h>

#include "client/metadata.h"

#include "base/banned.h"

enum {
    HEAD_LEN = 6, /* length, id, extended id */
    HANDSHAKE_MAX = 512,
    METADATA_MESSAGE_MAX = HEAD_LEN + 128 + EXT_METADATA_PIECE_LEN,
    PEX_MESSAGE_MAX = HEAD_LEN + 128 + EXT_PEX_PEERS_MAX * (6 + 1 + 18 + 1 + 6 + 18),
};

/* The number under which we take an extension. */
static uint8_t own_id(enum ext_name name)
{
    return (uint8_t)(name + 1);
}

/* ---- what comes ------------------------------------------------------------------------------ */

static int told(struct peer_event *ev, enum peer_event_kind kind)
{
    ev->kind = kind;
    return PEER_TOLD;
}

static int on_handshake(struct peer *p, struct span payload, struct peer_event *ev,
                        const char **why)
{
    struct ext_handshake *h = &p->ext;
    ssize_t n = ext_handshake_decode(h, payload, METADATA_LEN_MAX, why);
    if (n < 0) {
        return (int)n;
    }
    for (size_t i = 0; i < EXT_N_NAMES; i++) {
        p->ext_id[i] = h->id[i] == EXT_ABSENT ? p->ext_id[i] : h->id[i];
    }
    if (h->version.n > 0) {
        memcpy(p->version, h->version.p, h->version.n);
        p->version[h->version.n] = '\0';
    }
    if (p->incoming && h->port > 0) {
        p->listen.port = h->port; /* of an outgoing one we know it, for we connected to it */
    }
    p->reqq = h->reqq > 0 ? h->reqq : p->reqq;
    p->metadata_size = h->metadata_size > 0 ? h->metadata_size : p->metadata_size;
    if (h->upload_only != EXT_ABSENT) {
        p->peer_upload_only = h->upload_only != 0;
    }
    ev->ext = h;
    return told(ev, PEER_EV_EXTENSIONS);
}

static int on_metadata(struct span payload, struct peer_event *ev, const char **why)
{
    ssize_t n = ext_metadata_decode(&ev->metadata, payload, METADATA_LEN_MAX, why);
    if (n < 0) {
        return (int)n;
    }
    return ev->metadata.type == EXT_METADATA_UNKNOWN ? 0 : told(ev, PEER_EV_METADATA);
}

static int on_pex(struct peer *p, struct span payload, struct peer_event *ev, const char **why)
{
    if (!p->takes_pex) {
        return 0;
    }
    ssize_t n = ext_pex_decode(&ev->pex, payload, why);
    return n < 0 ? (int)n : told(ev, PEER_EV_PEX);
}

static int on_donthave(struct peer *p, struct span payload, struct peer_event *ev, const char **why)
{
    uint32_t piece;
    ssize_t n = ext_donthave_decode(&piece, payload, why);
    return n < 0 ? (int)n : peer_on_donthave(p, piece, ev, why);
}

static int on_upload_only(struct peer *p, struct span payload, struct peer_event *ev,
                          const char **why)
{
    bool upload_only;
    ssize_t n = ext_upload_only_decode(&upload_only, payload, why);
    if (n < 0 || upload_only == p->peer_upload_only) {
        return n < 0 ? (int)n : 0;
    }
    p->peer_upload_only = upload_only;
    return told(ev, PEER_EV_UPLOAD_ONLY);
}

static void count_in(struct peer *p, enum peer_extended kind)
{
    if (p->messages != NULL) {
        p->messages->in_extended[kind]++;
    }
}

static void count_out(struct peer *p, enum peer_extended kind)
{
    if (p->messages != NULL) {
        p->messages->out_extended[kind]++;
    }
}

int peer_on_extended(struct peer *p, const struct peer_wire_msg *msg, struct peer_event *ev,
                     const char **why)
{
    if (!(p->features & WIRE_EXTENDED)) {
        return 0;
    }
    if (msg->extended_id == EXT_HANDSHAKE_ID) {
        count_in(p, PEER_EXT_HANDSHAKE);
        return on_handshake(p, msg->payload, ev, why);
    }
    if (msg->extended_id > EXT_N_NAMES) {
        return 0;
    }
    switch ((enum ext_name)(msg->extended_id - 1)) {
    case EXT_UT_METADATA:
        count_in(p, PEER_EXT_METADATA);
        return on_metadata(msg->payload, ev, why);
    case EXT_UT_PEX:
        count_in(p, PEER_EXT_PEX);
        return on_pex(p, msg->payload, ev, why);
    case EXT_LT_DONTHAVE:
        count_in(p, PEER_EXT_OTHER);
        return on_donthave(p, msg->payload, ev, why);
    case EXT_UPLOAD_ONLY:
        count_in(p, PEER_EXT_OTHER);
        return on_upload_only(p, msg->payload, ev, why);
    case EXT_N_NAMES:
        break;
    }
    return 0;
}

/* ---- what we send ---------------------------------------------------------------------------- */

static bool can_send(const struct peer *p, enum ext_name name)
{
    return (p->features & WIRE_EXTENDED) && p->ext_id[name] > 0;
}

static void add(struct peer *p, struct wr *w, size_t begun_at, enum peer_extended kind,
                uint64_t now_ms)
{
    count_out(p, kind);
    peer_wire_extended_end(w, begun_at);
    ASSERT(!w->bad);
    sendq_add(&p->sendq, wr_span(w));
    p->sent_ms = now_ms;
}

/* A peer that was told of our ut_pex once has to hear that it is over, as id 0. */
static int16_t pex_id(const struct peer *p, bool takes_pex)
{
    if (takes_pex) {
        return own_id(EXT_UT_PEX);
    }
    return p->takes_pex ? 0 : EXT_ABSENT;
}

void peer_send_extensions(struct peer *p, const struct peer_self *self, uint64_t now_ms)
{
    uint8_t bytes[HANDSHAKE_MAX];
    struct wr w = wr_over(bytes, sizeof bytes);
    struct ext_handshake h;
    bool takes_pex = self->pex && !self->private;
    if (!(p->features & WIRE_EXTENDED)) {
        return;
    }
    ext_handshake_init(&h);
    for (int name = 0; name < EXT_N_NAMES; name++) {
        h.id[name] = own_id((enum ext_name)name);
    }
    h.id[EXT_UT_PEX] = pex_id(p, takes_pex);
    h.version = span_sub(span_str(self->version), 0, EXT_VERSION_MAX);
    h.port = self->listen_port;
    h.has_yourip = true;
    h.yourip = p->remote.addr;
    h.reqq = PEER_UPLOADS_MAX;
    h.metadata_size = self->metadata_size;
    h.upload_only = self->upload_only;
    p->takes_pex = takes_pex;
    size_t at = peer_wire_extended_begin(&w, EXT_HANDSHAKE_ID);
    ext_handshake_encode(&w, &h);
    add(p, &w, at, PEER_EXT_HANDSHAKE, now_ms);
}

void peer_send_metadata(struct peer *p, const struct ext_metadata *m, uint64_t now_ms)
{
    uint8_t bytes[METADATA_MESSAGE_MAX];
    struct wr w = wr_over(bytes, sizeof bytes);
    if (can_send(p, EXT_UT_METADATA)) {
        size_t at = peer_wire_extended_begin(&w, (uint8_t)p->ext_id[EXT_UT_METADATA]);
        ext_metadata_encode(&w, m);
        add(p, &w, at, PEER_EXT_METADATA, now_ms);
    }
}

void peer_send_pex(struct peer *p, const struct ext_pex *pex, uint64_t now_ms)
{
    uint8_t bytes[PEX_MESSAGE_MAX];
    struct wr w = wr_over(bytes, sizeof bytes);
    /* Never where we would take none: the torrent is private. */
    if (p->takes_pex && can_send(p, EXT_UT_PEX)) {
        size_t at = peer_wire_extended_begin(&w, (uint8_t)p->ext_id[EXT_UT_PEX]);
        ext_pex_encode(&w, pex);
        add(p, &w, at, PEER_EXT_PEX, now_ms);
    }
}

void peer_send_upload_only(struct peer *p, bool upload_only, uint64_t now_ms)
{
    uint8_t bytes[HEAD_LEN + 4];
    struct wr w = wr_over(bytes, sizeof bytes);
    if (can_send(p, EXT_UPLOAD_ONLY)) {
        size_t at = peer_wire_extended_begin(&w, (uint8_t)p->ext_id[EXT_UPLOAD_ONLY]);
        ext_upload_only_encode(&w, upload_only);
        add(p, &w, at, PEER_EXT_OTHER, now_ms);
    }
}
