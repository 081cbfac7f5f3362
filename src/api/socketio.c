/*            CONNECT, sio_connect
 *   WAITING ----------------------> CONNECTED          protocol 4 begins CONNECTED
 *      ^                               |
 *      +-------------------------------+
 *                DISCONNECT
 *
 * In either one, a packet with attachments is held until the last of them is there.
 */
#include "api/socketio.h"

#include <stdlib.h>

#include "api/json_fields.h"
#include "base/heap.h"
#include "base/json.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

#include "base/banned.h"

struct sio {
    struct sio_cfg cfg;
    struct map sockets;
    struct heap deadlines; /* of those that wait */
    struct list subscribers;
    size_t n_waiting;
    struct buf held; /* behind what sio_on_message handed out */
};

struct socket_state {
    struct map_node node;
    struct heap_node deadline;
    struct list subscriber;
    struct eio_sid sid;
    enum eio_version version;
    enum sio_trust trust;
    struct addr peer;
    bool connected;
    /* A packet that waits for attachments: its text and what came of them, one behind the other. */
    size_t n_wanted; /* 0: none waits */
    size_t n_got;
    size_t ends[SIO_ATTACHMENTS_MAX + 1]; /* where the text ends, then each attachment */
    struct buf packet;
};

/* ---- sockets ----------------------------------------------------------------------------- */

static struct socket_state *find(const struct sio *s, struct span sid)
{
    struct map_node *node = map_find(&s->sockets, sid);
    return node == NULL ? NULL : container_of(node, struct socket_state, node);
}

static struct span sid_of(const struct socket_state *k)
{
    return span_of(k->sid.text, EIO_SID_LEN);
}

static void set_connected(struct sio *s, struct socket_state *k, bool connected, uint64_t now_ms)
{
    if (k->connected != connected) {
        s->n_waiting = connected ? s->n_waiting - 1 : s->n_waiting + 1;
    }
    k->connected = connected;
    heap_set(&s->deadlines, &k->deadline, connected ? UINT64_MAX : now_ms + SIO_CONNECT_MS);
}

static void socket_free(struct sio *s, struct socket_state *k)
{
    s->n_waiting -= !k->connected;
    if (list_is_linked(&k->subscriber)) {
        list_remove(&k->subscriber);
    }
    heap_remove(&s->deadlines, &k->deadline);
    map_remove(&s->sockets, &k->node);
    buf_release(&k->packet);
    free(k);
}

/* text is released. */
static void send_text(struct sio *s, const struct socket_state *k, struct buf *text)
{
    if (text->bad) {
        eio_close(s->cfg.engine, sid_of(k), false, "an answer that is too long");
    } else {
        eio_send(s->cfg.engine, sid_of(k), false, buf_span(text));
    }
    buf_release(text);
}

static void send_packet(struct sio *s, const struct socket_state *k,
                        const struct sio_packet *packet)
{
    struct buf text;
    buf_init(&text, EIO_QUEUE_BYTES);
    sio_packet_encode(&text, packet);
    send_text(s, k, &text);
}

void sio_on_open(struct sio *s, const struct sio_opening *opening, uint64_t now_ms)
{
    struct socket_state *k = mem_new(struct socket_state);
    k->sid = opening->sid;
    k->version = opening->version;
    k->trust = opening->trust;
    k->peer = opening->peer;
    buf_init(&k->packet, s->cfg.max_message);
    map_insert(&s->sockets, &k->node, sid_of(k));
    s->n_waiting++;
    set_connected(s, k, false, now_ms);
    if (k->version == EIO_V3) {
        ASSERT(k->trust != SIO_TRUST_NONE);
        set_connected(s, k, true, now_ms);
        send_packet(s, k, &(struct sio_packet){.type = SIO_CONNECT});
    }
}

void sio_on_closed(struct sio *s, struct span sid)
{
    struct socket_state *k = find(s, sid);
    if (k != NULL) {
        socket_free(s, k);
    }
}

/* ---- packets ----------------------------------------------------------------------------- */

static enum sio_happening breach(struct sio *s, const struct socket_state *k, const char *why)
{
    eio_close(s->cfg.engine, sid_of(k), true, why);
    return SIO_NOTHING;
}

static void send_error(struct sio *s, const struct socket_state *k, struct span nsp,
                       const char *message)
{
    struct buf json;
    buf_init(&json, 512);
    buf_add_str(&json, "{\"message\":");
    json_add_string(&json, span_str(message));
    buf_add_byte(&json, '}');
    send_packet(s, k, &(struct sio_packet){.type = SIO_ERROR, .nsp = nsp, .json = buf_span(&json)});
    buf_release(&json);
}

/* The member "token" of an object, a string as sent; p is NULL: it has none, or null. */
static struct span token_in(struct span object)
{
    struct json_fields walk;
    struct json_field field;
    struct span token = {NULL, 0};
    const char *why;
    int status = json_fields_begin(&walk, object, &why);
    while (status == 0 && json_fields_next(&walk, &field, &why) == 1) {
        if (json_field_is(&field, "token")) {
            token = field.kind == JSON_NULL ? span_of(NULL, 0) : field.value;
        }
    }
    return token;
}

static enum sio_happening on_connect(struct sio *s, struct socket_state *k,
                                     const struct sio_packet *packet, struct sio_event *out)
{
    if (packet->nsp.n > 0) {
        send_error(s, k, span_cut(packet->nsp, '?', NULL), "Invalid namespace");
        return SIO_NOTHING;
    }
    if (k->connected) {
        return SIO_NOTHING;
    }
    out->token = token_in(packet->json);
    return SIO_WANTS_CONNECT;
}

static enum sio_happening on_event(struct sio *s, struct socket_state *k,
                                   const struct sio_packet *packet, struct sio_event *out)
{
    struct span name;
    struct span rest;
    if (!k->connected || packet->nsp.n > 0) {
        return breach(s, k, "an event for a namespace that is not connected");
    }
    ASSERT(sio_array_begin(packet->json, &name, &rest));
    if (!span_eq(span_sub(name, 1, name.n - 2), span_str(s->cfg.event))) {
        return SIO_NOTHING;
    }
    out->id = packet->id;
    out->argument = span_of(NULL, 0);
    (void)sio_array_next(&out->argument, &rest);
    return SIO_COMMAND;
}

/* A packet that is whole, with its attachments in out. */
static enum sio_happening on_packet(struct sio *s, struct socket_state *k,
                                    const struct sio_packet *packet, struct sio_event *out,
                                    uint64_t now_ms)
{
    switch (packet->type) {
    case SIO_CONNECT:
        return on_connect(s, k, packet, out);
    case SIO_DISCONNECT:
        if (packet->nsp.n == 0) {
            set_connected(s, k, false, now_ms);
            if (list_is_linked(&k->subscriber)) {
                list_remove(&k->subscriber);
            }
        }
        return SIO_NOTHING;
    case SIO_EVENT:
    case SIO_BINARY_EVENT:
        return on_event(s, k, packet, out);
    case SIO_ACK:
    case SIO_ERROR:
    case SIO_BINARY_ACK:
        break;
    }
    return SIO_NOTHING;
}

static enum sio_happening on_text(struct sio *s, struct socket_state *k, struct span text,
                                  struct sio_event *out, uint64_t now_ms)
{
    struct sio_packet packet;
    const char *why = NULL;
    if (k->n_wanted > 0) {
        return breach(s, k, "a packet where an attachment belongs");
    }
    if (sio_packet_decode(&packet, text, &why) < 0) {
        return breach(s, k, why);
    }
    if (packet.n_attachments == 0) {
        return on_packet(s, k, &packet, out, now_ms);
    }
    if (!k->connected) {
        return breach(s, k, "an event for a namespace that is not connected");
    }
    buf_clear(&k->packet);
    buf_add(&k->packet, text);
    k->n_wanted = packet.n_attachments;
    k->n_got = 0;
    k->ends[0] = k->packet.len;
    return k->packet.bad ? breach(s, k, "a packet that is too long") : SIO_NOTHING;
}

static enum sio_happening on_attachment(struct sio *s, struct socket_state *k, struct span data,
                                        struct sio_event *out, uint64_t now_ms)
{
    struct sio_packet packet;
    const char *why = NULL;
    if (k->n_wanted == 0) {
        return breach(s, k, "an attachment that belongs to no packet");
    }
    buf_add(&k->packet, data);
    k->ends[++k->n_got] = k->packet.len;
    if (k->packet.bad) {
        return breach(s, k, "a packet that is too long");
    }
    if (k->n_got < k->n_wanted) {
        return SIO_NOTHING;
    }
    /* Out of the socket, which may end before the caller has looked at it. */
    buf_release(&s->held);
    s->held = k->packet;
    buf_init(&k->packet, s->cfg.max_message);
    out->n_attachments = k->n_wanted;
    k->n_wanted = 0;
    for (size_t i = 0; i < out->n_attachments; i++) {
        out->attachments[i] = span_sub(buf_span(&s->held), k->ends[i], k->ends[i + 1] - k->ends[i]);
    }
    int status = sio_packet_decode(&packet, span_sub(buf_span(&s->held), 0, k->ends[0]), &why);
    ASSERT(status == 0);
    return on_packet(s, k, &packet, out, now_ms);
}

enum sio_happening sio_on_message(struct sio *s, struct span sid, bool binary, struct span data,
                                  struct sio_event *out, uint64_t now_ms)
{
    struct socket_state *k = find(s, sid);
    *out = (struct sio_event){.n_attachments = 0};
    if (k == NULL) {
        return SIO_NOTHING;
    }
    out->peer = k->peer;
    out->trust = k->trust;
    return binary ? on_attachment(s, k, data, out, now_ms) : on_text(s, k, data, out, now_ms);
}

/* ---- from above -------------------------------------------------------------------------- */

void sio_connect(struct sio *s, struct span sid, struct span socket_id)
{
    struct socket_state *k = find(s, sid);
    if (k == NULL || k->connected) {
        return;
    }
    struct buf json;
    buf_init(&json, 256);
    buf_add_str(&json, "{\"sid\":");
    json_add_string(&json, socket_id);
    buf_add_byte(&json, '}');
    set_connected(s, k, true, 0);
    send_packet(s, k, &(struct sio_packet){.type = SIO_CONNECT, .json = buf_span(&json)});
    buf_release(&json);
}

void sio_refuse(struct sio *s, struct span sid, const char *message)
{
    struct socket_state *k = find(s, sid);
    if (k != NULL) {
        send_error(s, k, span_of(NULL, 0), message);
    }
}

bool sio_is_connected(const struct sio *s, struct span sid)
{
    const struct socket_state *k = find(s, sid);
    return k != NULL && k->connected;
}

size_t sio_waiting_count(const struct sio *s)
{
    return s->n_waiting;
}

void sio_answer(struct sio *s, struct span sid, struct span id, struct span body)
{
    const struct socket_state *k = find(s, sid);
    if (k == NULL || !k->connected) {
        return;
    }
    struct buf text;
    buf_init(&text, EIO_QUEUE_BYTES);
    /* The payload goes behind its head at once: it may be megabytes. */
    sio_packet_encode(&text,
                      &(struct sio_packet){.type = id.n > 0 ? SIO_ACK : SIO_EVENT, .id = id});
    buf_add_byte(&text, '[');
    if (id.n == 0) {
        buf_addf(&text, "\"%s\",", s->cfg.event);
    }
    sio_add_ascii(&text, body);
    buf_add_byte(&text, ']');
    send_text(s, k, &text);
}

void sio_subscribe(struct sio *s, struct span sid)
{
    struct socket_state *k = find(s, sid);
    if (k != NULL && k->connected && !list_is_linked(&k->subscriber)) {
        list_add_tail(&s->subscribers, &k->subscriber);
    }
}

bool sio_has_subscribers(const struct sio *s)
{
    return !list_is_empty(&s->subscribers);
}

void sio_push(struct sio *s, struct span body)
{
    LIST_FOREACH_SAFE (node, &s->subscribers) {
        const struct socket_state *k = container_of(node, struct socket_state, subscriber);
        sio_answer(s, sid_of(k), span_of(NULL, 0), body);
    }
}

/* ---- time and life ----------------------------------------------------------------------- */

uint64_t sio_next_deadline_ms(const struct sio *s)
{
    return heap_first_ms(&s->deadlines);
}

void sio_on_deadline(struct sio *s, uint64_t now_ms)
{
    while (heap_first_ms(&s->deadlines) <= now_ms) {
        struct socket_state *k =
            container_of(heap_first(&s->deadlines), struct socket_state, deadline);
        heap_remove(&s->deadlines, &k->deadline);
        eio_close(s->cfg.engine, sid_of(k), false, "no CONNECT");
    }
}

struct sio *sio_new(const struct sio_cfg *cfg)
{
    struct sio *s = mem_new(struct sio);
    s->cfg = *cfg;
    map_init(&s->sockets, &cfg->seed);
    list_init(&s->subscribers);
    return s;
}

void sio_free(struct sio *s)
{
    struct map_node *node;
    while ((node = map_first(&s->sockets)) != NULL) {
        socket_free(s, container_of(node, struct socket_state, node));
    }
    map_release(&s->sockets);
    heap_release(&s->deadlines);
    buf_release(&s->held);
    free(s);
}
