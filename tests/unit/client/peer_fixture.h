/* peer_fixture.h: a peer at the end of a connection that a test holds in its hands. What it tells and
 * what it sends become text, so that a test reads as a conversation. Include after cmocka.h.
 *
 *   events:  "ready bitfield have:3 block:1:0:16384 "
 *   sent:    "unchoke request:1:0:16384 ext:0 " (payloads are left out)
 */
#ifndef UNIT_CLIENT_PEER_FIXTURE_H
#define UNIT_CLIENT_PEER_FIXTURE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/peer.h"

enum {
    RIG_TEXT_MAX = 1 << 16,
    RIG_SENT_MAX = 1 << 21,
    RIG_PIECES = 20,
};

/* A torrent of 20 pieces with two blocks each, the last block shorter. */
static const struct wire_geometry rig_geometry = {
    .n_pieces = RIG_PIECES,
    .piece_len = 2 * WIRE_BLOCK_LEN,
    .last_piece_len = WIRE_BLOCK_LEN + 100,
};

struct rig {
    struct data_pool *pool;
    struct peer p;
    struct peer_self self;
    const struct wire_geometry *geometry; /* NULL: not known */
    uint64_t now_ms;
    const char *why;
    char events[RIG_TEXT_MAX];
    size_t events_len;
    char sent[RIG_TEXT_MAX];
    size_t sent_len;
    uint8_t *bytes; /* all that it sent, from rig_sent_bytes */
    size_t bytes_len;
};

static inline void rig_note(char *text, size_t *len, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static inline void rig_note(char *text, size_t *len, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text + *len, RIG_TEXT_MAX - *len, fmt, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < RIG_TEXT_MAX - *len);
    *len += (size_t)n;
}

static inline struct rig *rig_new(bool incoming, const struct wire_geometry *geometry)
{
    struct rig *r = mem_new(struct rig);
    struct endpoint remote;
    assert_true(endpoint_parse(&remote, SPAN("198.51.100.7:6881")));
    r->pool = data_pool_new();
    r->geometry = geometry;
    r->now_ms = 50000;
    r->self = (struct peer_self){.listen_port = 7001, .version = "Rookery 0.1.0", .pex = true};
    memset(r->self.info_hash.b, 'h', sizeof r->self.info_hash.b);
    memset(r->self.peer_id.b, incoming ? 'i' : 'o', sizeof r->self.peer_id.b);
    peer_init(&r->p, 9, incoming, &remote, r->pool, r->now_ms);
    if (!incoming) {
        peer_start(&r->p, &r->self, geometry, r->now_ms);
    }
    return r;
}

static inline void rig_free(struct rig *r)
{
    peer_release(&r->p);
    assert_int_equal(data_pool_used(r->pool), 0);
    data_pool_free(r->pool);
    free(r->bytes);
    free(r);
}

static inline void rig_note_block(struct rig *r, const char *name, const struct wire_block *b)
{
    rig_note(r->events, &r->events_len, "%s:%u:%u:%u ", name, b->piece, b->begin, b->len);
}

/* Requests are taken out at once, so that what is noted does not depend on how bytes were cut. */
static inline void rig_note_uploads(struct rig *r)
{
    struct wire_block b;
    while (peer_take_uploads(&r->p, &b, 1, WIRE_BLOCK_LEN) == 1) {
        rig_note_block(r, "request", &b);
    }
}

static inline void rig_note_event(struct rig *r, const struct peer_event *ev)
{
    static const char *const names[] = {
        [PEER_EV_INFO_HASH] = "hash",
        [PEER_EV_READY] = "ready",
        [PEER_EV_CHOKE] = "choke",
        [PEER_EV_UNCHOKE] = "unchoke",
        [PEER_EV_INTERESTED] = "interested",
        [PEER_EV_NOT_INTERESTED] = "uninterested",
        [PEER_EV_BITFIELD] = "bitfield",
        [PEER_EV_HAVE] = "have",
        [PEER_EV_DONTHAVE] = "donthave",
        [PEER_EV_FAST] = "fast",
        [PEER_EV_EXTENSIONS] = "extensions",
        [PEER_EV_METADATA] = "metadata",
        [PEER_EV_PEX] = "pex",
        [PEER_EV_PORT] = "port",
        [PEER_EV_UPLOAD_ONLY] = "upload_only",
    };
    switch (ev->kind) {
    case PEER_EV_BLOCK:
        assert_int_equal(ev->data->len, ev->block.len);
        rig_note_block(r, "block", &ev->block);
        return;
    case PEER_EV_REJECT:
        rig_note_block(r, "reject", &ev->block);
        return;
    case PEER_EV_UPLOADS:
        rig_note_uploads(r);
        return;
    case PEER_EV_HAVE:
    case PEER_EV_DONTHAVE:
    case PEER_EV_FAST:
        rig_note(r->events, &r->events_len, "%s:%u ", names[ev->kind], ev->block.piece);
        return;
    default:
        rig_note(r->events, &r->events_len, "%s ", names[ev->kind]);
        return;
    }
}

/* Give it bytes, which lie in a block of exactly their length; 0, or what ended it. */
static inline int rig_feed(struct rig *r, struct span bytes)
{
    struct peer_event ev;
    uint8_t *copy = mem_array(bytes.n, 1);
    if (bytes.n > 0) {
        memcpy(copy, bytes.p, bytes.n);
    }
    struct span in = span_of(copy, bytes.n);
    int rc;
    while ((rc = peer_next(&r->p, &in, r->now_ms, &ev, &r->why)) > 0) {
        rig_note_event(r, &ev);
        if (ev.kind == PEER_EV_INFO_HASH) {
            peer_start(&r->p, &r->self, r->geometry, r->now_ms);
        }
    }
    assert_true(rc < 0 || in.n == 0);
    assert_true(rc == 0 || r->why != NULL);
    free(copy);
    return rc;
}

/* What it was told since it was asked last. */
static inline void rig_events(struct rig *r, const char *expected)
{
    assert_string_equal(r->events, expected);
    r->events_len = 0;
    r->events[0] = '\0';
}

/* Take all that waits to be sent off its queue; the bytes of this time. */
static inline struct span rig_sent_bytes(struct rig *r)
{
    struct iovec parts[8];
    size_t from = r->bytes_len, n;
    if (r->bytes == NULL) {
        r->bytes = mem_array(RIG_SENT_MAX, 1);
    }
    while ((n = sendq_iov(&r->p.sendq, parts, 8, SIZE_MAX)) > 0) {
        size_t len = 0;
        for (size_t i = 0; i < n; i++) {
            assert_true(parts[i].iov_len <= RIG_SENT_MAX - r->bytes_len);
            memcpy(r->bytes + r->bytes_len, parts[i].iov_base, parts[i].iov_len);
            r->bytes_len += parts[i].iov_len;
            len += parts[i].iov_len;
        }
        r->p.totals.up_payload += sendq_sent(&r->p.sendq, len);
        r->p.totals.up += len;
    }
    return span_of(r->bytes + from, r->bytes_len - from);
}

static inline size_t rig_note_sent(struct rig *r, struct span bytes)
{
    static const struct peer_wire_limits any = {0, RIG_SENT_MAX, WIRE_BLOCK_LEN, RIG_SENT_MAX, 1};
    static const char *const names[] = {
        [WIRE_CHOKE] = "choke",
        [WIRE_UNCHOKE] = "unchoke",
        [WIRE_INTERESTED] = "interested",
        [WIRE_NOT_INTERESTED] = "uninterested",
        [WIRE_HAVE] = "have",
        [WIRE_BITFIELD] = "bitfield",
        [WIRE_REQUEST] = "request",
        [WIRE_PIECE] = "piece",
        [WIRE_CANCEL] = "cancel",
        [WIRE_HAVE_ALL] = "have_all",
        [WIRE_HAVE_NONE] = "have_none",
        [WIRE_REJECT] = "reject",
        [WIRE_ALLOWED_FAST] = "fast",
        [WIRE_EXTENDED_MSG] = "ext",
        [WIRE_KEEP_ALIVE] = "keep_alive",
    };
    struct peer_wire_msg m;
    ssize_t n = peer_wire_decode(&m, bytes, &any, &r->why);
    assert_true(n > 0);
    switch (m.type) {
    case WIRE_REQUEST:
    case WIRE_PIECE:
    case WIRE_CANCEL:
    case WIRE_REJECT:
        rig_note(r->sent, &r->sent_len, "%s:%u:%u:%u ", names[m.type], m.block.piece, m.block.begin,
                 m.block.len);
        break;
    case WIRE_HAVE:
    case WIRE_ALLOWED_FAST:
        rig_note(r->sent, &r->sent_len, "%s:%u ", names[m.type], m.block.piece);
        break;
    case WIRE_EXTENDED_MSG:
        rig_note(r->sent, &r->sent_len, "ext:%u ", m.extended_id);
        break;
    default:
        rig_note(r->sent, &r->sent_len, "%s ", names[m.type]);
        break;
    }
    return (size_t)n + (m.type == WIRE_PIECE ? m.block.len : 0);
}

/* What it sends since it was asked last. */
static inline void rig_sends(struct rig *r, const char *expected)
{
    struct span bytes = rig_sent_bytes(r);
    r->sent_len = 0;
    r->sent[0] = '\0';
    while (bytes.n > 0) {
        size_t n = rig_note_sent(r, bytes);
        bytes = span_sub(bytes, n, bytes.n);
    }
    assert_string_equal(r->sent, expected);
}

/* ---- the other side, by hand */

static inline int rig_feed_handshake(struct rig *r, unsigned features)
{
    uint8_t bytes[WIRE_HANDSHAKE_LEN];
    struct wr w = wr_over(bytes, sizeof bytes);
    struct peer_wire_handshake h = {.features = features, .info_hash = r->self.info_hash};
    memset(h.peer_id.b, 'x', sizeof h.peer_id.b);
    peer_wire_handshake_encode(&w, &h);
    return rig_feed(r, wr_span(&w));
}

/* A connection that is ready, with a peer of these features; nothing is noted. */
static inline struct rig *rig_ready(unsigned features, const struct wire_geometry *geometry)
{
    struct rig *r = rig_new(false, geometry);
    assert_int_equal(rig_feed_handshake(r, features), 0);
    rig_events(r, "ready ");
    (void)rig_sent_bytes(r);
    return r;
}

static inline int rig_feed_msg(struct rig *r, const struct peer_wire_msg *m)
{
    uint8_t bytes[1024];
    struct wr w = wr_over(bytes, sizeof bytes);
    peer_wire_encode(&w, m);
    assert_false(w.bad);
    return rig_feed(r, wr_span(&w));
}

static inline int rig_feed_type(struct rig *r, enum wire_type type)
{
    return rig_feed_msg(r, &(struct peer_wire_msg){.type = type});
}

static inline int rig_feed_block(struct rig *r, enum wire_type type, uint32_t piece, uint32_t begin,
                                 uint32_t len)
{
    return rig_feed_msg(r, &(struct peer_wire_msg){.type = type, .block = {piece, begin, len}});
}

static inline int rig_feed_ext(struct rig *r, uint8_t id, struct span payload)
{
    return rig_feed_msg(r, &(struct peer_wire_msg){
                               .type = WIRE_EXTENDED_MSG, .extended_id = id, .payload = payload});
}

static inline struct data_buf *rig_block(struct rig *r)
{
    struct data_buf *d = data_new(r->pool, DATA_BLOCK_LEN);
    for (uint32_t i = 0; i < d->cap; i++) {
        d->p[i] = (uint8_t)(i ^ i >> 8);
    }
    d->len = d->cap;
    return d;
}

#endif
