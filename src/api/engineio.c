/*      open by GET                     open by WebSocket
 *           |                                 |
 *           v      WebSocket, "2probe", "5"    v
 *        POLLING ------------------------> WEBSOCKET
 *           |                                 |
 *           +----------> ended <--------------+
 *                   "1", a packet that is none, no heartbeat, the WebSocket is gone,
 *                   two GETs at once, more queued than EIO_QUEUE_*
 *
 * An upgrade   the probe is beside the session until "5": packets still go out by polling, and the
 *              GET that hangs is released again and again, so that the client can stop polling. A
 *              probe that says anything else, or nothing for EIO_PROBE_MS, is cut; the session
 *              stays.
 * Commandments a packet is sent on exactly one transport. An ended session is out of the map at
 *              once, and what it still had to say is said before EIO_OUT_CLOSED. Nobody is called
 *              back: everything is an output.
 */
#include "api/engineio.h"

#include <stdlib.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

#include "base/banned.h"

enum { OPEN_MAX = 512 };
#define NEVER UINT64_MAX

struct eio {
    struct eio_cfg cfg;
    struct map sessions;
    struct heap deadlines;
    struct list outs;
    struct output *taken; /* what the last eio_next_out handed out */
    uint64_t n_opened;
    uint64_t n_dropped;
};

struct output {
    struct list link;
    struct eio_out out;
    uint8_t *data;
};

struct queued {
    struct list link;
    enum eio_type type;
    bool binary;
    size_t n;
    uint8_t data[];
};

struct session {
    struct eio *e;
    struct map_node node;
    struct heap_node deadline;
    struct eio_sid sid;
    enum eio_version version;
    void *poll;  /* the GET that hangs */
    void *ws;    /* NULL: the transport is polling */
    void *probe; /* a WebSocket that may become the transport */
    bool probed;
    uint64_t ping_ms;
    uint64_t expire_ms;
    uint64_t noop_ms;
    uint64_t probe_ms;
    struct list queue;
    size_t n_queued;
    size_t queued_len;
};

/* ---- outputs ----------------------------------------------------------------------------- */

static struct eio_out *output(struct session *s, enum eio_out_type type, void *link)
{
    struct output *o = mem_new(struct output);
    o->out = (struct eio_out){.type = type, .version = s->version, .sid = s->sid, .link = link};
    list_add_tail(&s->e->outs, &o->link);
    return &o->out;
}

static void give_data(struct eio_out *out, struct buf *data)
{
    struct output *o = container_of(out, struct output, out);
    size_t n = 0;
    ASSERT(!data->bad);
    o->data = buf_take(data, &n);
    out->data = span_of(o->data, n);
}

static void copy_data(struct eio_out *out, struct span data)
{
    struct buf copy;
    buf_init(&copy, data.n);
    buf_add(&copy, data);
    give_data(out, &copy);
}

static void output_free(struct output *o)
{
    if (o != NULL) {
        free(o->data);
        free(o);
    }
}

bool eio_next_out(struct eio *e, struct eio_out *out)
{
    struct list *first = list_first(&e->outs);
    output_free(e->taken);
    e->taken = NULL;
    if (first == NULL) {
        return false;
    }
    list_remove(first);
    e->taken = container_of(first, struct output, link);
    *out = e->taken->out;
    return true;
}

/* ---- sessions ---------------------------------------------------------------------------- */

static struct session *find(const struct eio *e, struct span sid)
{
    struct map_node *node = map_find(&e->sessions, sid);
    return node == NULL ? NULL : container_of(node, struct session, node);
}

bool eio_knows(const struct eio *e, struct span sid)
{
    return find(e, sid) != NULL;
}

size_t eio_websockets(const struct eio *e, struct span sid, void *out[static 2])
{
    const struct session *s = find(e, sid);
    size_t n = 0;
    if (s != NULL && s->ws != NULL) {
        out[n++] = s->ws;
    }
    if (s != NULL && s->probe != NULL) {
        out[n++] = s->probe;
    }
    return n;
}

size_t eio_count(const struct eio *e)
{
    return map_count(&e->sessions);
}

void eio_stats(const struct eio *e, struct eio_stats *out)
{
    *out = (struct eio_stats){.opened = e->n_opened, .dropped = e->n_dropped};
    for (struct map_node *node = map_first(&e->sessions); node != NULL;
         node = map_next(&e->sessions, node)) {
        bool websocket = container_of(node, struct session, node)->ws != NULL;
        out->websocket += websocket;
        out->polling += !websocket;
    }
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void set_deadline(struct session *s)
{
    heap_set(&s->e->deadlines, &s->deadline,
             min_u64(min_u64(s->ping_ms, s->expire_ms), min_u64(s->noop_ms, s->probe_ms)));
}

static void drop_first(struct session *s)
{
    struct queued *q = container_of(list_first(&s->queue), struct queued, link);
    list_remove(&q->link);
    s->n_queued--;
    s->queued_len -= q->n;
    free(q);
}

static void session_free(struct session *s)
{
    while (s->n_queued > 0) {
        drop_first(s);
    }
    heap_remove(&s->e->deadlines, &s->deadline);
    map_remove(&s->e->sessions, &s->node);
    free(s);
}

static void send_frame(struct session *s, void *ws, const struct eio_packet *packet)
{
    struct buf frame;
    buf_init(&frame, packet->data.n + 1);
    eio_frame_encode(&frame, s->version, packet);
    struct eio_out *out = output(s, EIO_OUT_SEND, ws);
    out->binary = packet->binary;
    give_data(out, &frame);
}

static void answer_poll(struct session *s, enum eio_type type)
{
    if (s->poll != NULL) {
        struct buf body;
        const struct eio_packet packet = {.type = type};
        buf_init(&body, OPEN_MAX);
        eio_payload_add(&body, s->version, &packet);
        give_data(output(s, EIO_OUT_ANSWER, s->poll), &body);
        s->poll = NULL;
    }
}

static void cut(struct session *s, void **ws, bool bad)
{
    if (*ws != NULL) {
        output(s, EIO_OUT_CUT, *ws)->bad = bad;
        *ws = NULL;
    }
}

struct ending {
    const char *why;
    bool bad;           /* the client broke the protocol */
    enum eio_type last; /* what a GET that hangs is told */
};

static void session_end(struct session *s, const struct ending *ending)
{
    answer_poll(s, ending->last);
    cut(s, &s->probe, false);
    cut(s, &s->ws, ending->bad);
    output(s, EIO_OUT_CLOSED, NULL)->why = ending->why;
    s->e->n_dropped += s->n_queued;
    session_free(s);
}

static void session_break(struct session *s, const char *why)
{
    session_end(s, &(struct ending){.why = why, .bad = true, .last = EIO_CLOSE});
}

static struct eio_packet packet_of(const struct queued *q)
{
    return (struct eio_packet){
        .type = q->type, .binary = q->binary, .data = span_of(q->data, q->n)};
}

/* As many as one answer may hold, at least one. */
static void answer_queue(struct session *s)
{
    struct buf body;
    buf_init(&body, 2 * (size_t)EIO_QUEUE_BYTES);
    do {
        struct eio_packet packet =
            packet_of(container_of(list_first(&s->queue), struct queued, link));
        size_t cost = eio_payload_cost(&packet);
        if (body.len > 0 && body.len + cost > s->e->cfg.max_payload) {
            break;
        }
        eio_payload_add(&body, s->version, &packet);
        drop_first(s);
    } while (s->n_queued > 0);
    give_data(output(s, EIO_OUT_ANSWER, s->poll), &body);
    s->poll = NULL;
}

static void flush(struct session *s)
{
    if (s->ws == NULL) {
        if (s->poll != NULL && s->n_queued > 0) {
            answer_queue(s);
        }
        return;
    }
    while (s->n_queued > 0) {
        struct eio_packet packet =
            packet_of(container_of(list_first(&s->queue), struct queued, link));
        send_frame(s, s->ws, &packet);
        drop_first(s);
    }
}

/* False when that was too much, and the session has ended. */
static bool enqueue(struct session *s, const struct eio_packet *packet)
{
    if (s->n_queued == EIO_QUEUE_LEN || packet->data.n > EIO_QUEUE_BYTES - s->queued_len) {
        s->e->n_dropped++;
        session_end(s, &(struct ending){.why = "it does not take what is sent", .last = EIO_CLOSE});
        return false;
    }
    if (s->ws != NULL) { /* nothing waits in the queue then */
        send_frame(s, s->ws, packet);
        return true;
    }
    struct queued *q = mem_zeroed(sizeof *q + packet->data.n);
    q->type = packet->type;
    q->binary = packet->binary;
    q->n = packet->data.n;
    if (q->n > 0) {
        memcpy(q->data, packet->data.p, q->n);
    }
    list_add_tail(&s->queue, &q->link);
    s->n_queued++;
    s->queued_len += q->n;
    flush(s);
    return true;
}

/* ---- opening ----------------------------------------------------------------------------- */

static void add_open(struct buf *out, const struct session *s)
{
    const struct eio_cfg *cfg = &s->e->cfg;
    buf_addf(out,
             "{\"sid\":\"%s\",\"upgrades\":[%s],\"pingInterval\":%u,\"pingTimeout\":%u,"
             "\"maxPayload\":%zu}",
             s->sid.text, s->ws == NULL ? "\"websocket\"" : "", cfg->ping_interval_ms,
             cfg->ping_timeout_ms, cfg->max_payload);
}

static void heard(struct session *s, uint64_t now_ms)
{
    if (s->version == EIO_V3) {
        s->expire_ms = now_ms + s->e->cfg.ping_interval_ms + s->e->cfg.ping_timeout_ms;
    } else {
        s->ping_ms = now_ms + s->e->cfg.ping_interval_ms;
        s->expire_ms = NEVER;
    }
    set_deadline(s);
}

int eio_on_open(struct eio *e, const struct eio_opening *opening, uint64_t now_ms)
{
    if (eio_count(e) >= e->cfg.max_sessions) {
        return ERR_LIMIT;
    }
    struct session *s = mem_new(struct session);
    s->e = e;
    s->sid = opening->sid;
    s->version = opening->version;
    s->ping_ms = s->expire_ms = s->noop_ms = s->probe_ms = NEVER;
    list_init(&s->queue);
    *(opening->websocket ? &s->ws : &s->poll) = opening->link;
    map_insert(&e->sessions, &s->node, span_of(s->sid.text, EIO_SID_LEN));
    e->n_opened++;
    heard(s, now_ms);
    struct buf text;
    buf_init(&text, OPEN_MAX);
    add_open(&text, s);
    const struct eio_packet packet = {.type = EIO_OPEN, .data = buf_span(&text)};
    (void)enqueue(s, &packet);
    buf_release(&text);
    output(s, EIO_OUT_OPENED, NULL);
    return 0;
}

/* ---- packets in -------------------------------------------------------------------------- */

static void on_message(struct session *s, const struct eio_packet *packet)
{
    struct eio_out *out = output(s, EIO_OUT_MESSAGE, NULL);
    out->binary = packet->binary;
    if (packet->base64) {
        struct buf bytes;
        buf_init(&bytes, packet->data.n);
        if (!base64_add_decoded(&bytes, packet->data)) {
            buf_release(&bytes);
            list_remove(&container_of(out, struct output, out)->link);
            output_free(container_of(out, struct output, out));
            session_break(s, "binary data that is not base64");
            return;
        }
        give_data(out, &bytes);
    } else {
        copy_data(out, packet->data);
    }
}

static void on_ping(struct session *s, const struct eio_packet *packet)
{
    if (s->version == EIO_V4) {
        session_break(s, "a ping of a client of revision 4");
        return;
    }
    const struct eio_packet pong = {.type = EIO_PONG, .data = packet->data};
    (void)enqueue(s, &pong);
}

static void on_pong(struct session *s, uint64_t now_ms)
{
    if (s->version == EIO_V3) {
        session_break(s, "a pong of a client of revision 3");
    } else if (s->ping_ms == NEVER) { /* else nobody asked */
        heard(s, now_ms);
    }
}

/* The session may have ended behind it. */
static void on_packet(struct session *s, const struct eio_packet *packet, uint64_t now_ms)
{
    if (s->version == EIO_V3) {
        heard(s, now_ms);
    }
    switch (packet->type) {
    case EIO_CLOSE:
        session_end(s, &(struct ending){.why = "the client closed it", .last = EIO_NOOP});
        break;
    case EIO_PING:
        on_ping(s, packet);
        break;
    case EIO_PONG:
        on_pong(s, now_ms);
        break;
    case EIO_MESSAGE:
        on_message(s, packet);
        break;
    case EIO_OPEN:
    case EIO_UPGRADE:
    case EIO_NOOP:
        break;
    }
}

/* ---- polling ----------------------------------------------------------------------------- */

enum eio_fault eio_on_poll(struct eio *e, struct span sid, void *link, uint64_t now_ms)
{
    struct session *s = find(e, sid);
    (void)now_ms;
    if (s == NULL) {
        return EIO_FAULT_SID;
    }
    if (s->ws != NULL) {
        return EIO_FAULT_REQUEST;
    }
    if (s->poll != NULL) {
        session_break(s, "two GETs at once");
        return EIO_FAULT_REQUEST;
    }
    s->poll = link;
    flush(s);
    return EIO_FAULT_NONE;
}

enum eio_fault eio_on_post(struct eio *e, struct span sid, bool octets, struct span body,
                           uint64_t now_ms)
{
    struct session *s = find(e, sid);
    struct eio_payload payload;
    struct eio_packet packet;
    const char *why = NULL;
    int status = 1;
    if (s == NULL) {
        return EIO_FAULT_SID;
    }
    if (s->ws != NULL) {
        return EIO_FAULT_REQUEST;
    }
    eio_payload_begin(&payload, s->version, octets, body);
    while (s != NULL && (status = eio_payload_next(&payload, &packet, &why)) == 1) {
        bool closes = packet.type == EIO_CLOSE;
        on_packet(s, &packet, now_ms);
        s = find(e, sid);
        if (s == NULL) {
            return closes ? EIO_FAULT_NONE : EIO_FAULT_REQUEST;
        }
    }
    if (status < 0) {
        session_break(s, why);
        return EIO_FAULT_REQUEST;
    }
    return EIO_FAULT_NONE;
}

/* ---- WebSockets -------------------------------------------------------------------------- */

static void end_probe(struct session *s, bool bad)
{
    cut(s, &s->probe, bad);
    s->probed = false;
    s->noop_ms = NEVER;
    s->probe_ms = NEVER;
    set_deadline(s);
}

void eio_on_probe(struct eio *e, struct span sid, void *link, uint64_t now_ms)
{
    struct session *s = find(e, sid);
    ASSERT(s != NULL);
    if (s->ws != NULL || s->probe != NULL) {
        output(s, EIO_OUT_CUT, link);
        return;
    }
    s->probe = link;
    s->probe_ms = now_ms + EIO_PROBE_MS;
    set_deadline(s);
}

static void on_probe_packet(struct session *s, const struct eio_packet *packet, uint64_t now_ms)
{
    if (packet->type == EIO_PING && span_eq(packet->data, SPAN("probe"))) {
        const struct eio_packet pong = {.type = EIO_PONG, .data = packet->data};
        send_frame(s, s->probe, &pong);
        s->probed = true;
        s->noop_ms = now_ms + EIO_NOOP_MS;
        set_deadline(s);
    } else if (packet->type == EIO_UPGRADE && s->probed) {
        void *ws = s->probe;
        s->probe = NULL;
        end_probe(s, false);
        answer_poll(s, EIO_NOOP);
        s->ws = ws;
        flush(s);
    } else {
        end_probe(s, true);
    }
}

void eio_on_frame(struct eio *e, struct span sid, void *link, bool binary, struct span message,
                  uint64_t now_ms)
{
    struct session *s = find(e, sid);
    struct eio_packet packet;
    const char *why = NULL;
    if (s == NULL || link == NULL || (link != s->ws && link != s->probe)) {
        return; /* it is being closed */
    }
    int status = eio_frame_decode(&packet, s->version, binary, message, &why);
    if (link == s->probe) {
        if (status < 0) {
            end_probe(s, true);
        } else {
            on_probe_packet(s, &packet, now_ms);
        }
    } else if (status < 0) {
        session_break(s, why);
    } else {
        on_packet(s, &packet, now_ms);
    }
}

void eio_on_gone(struct eio *e, struct span sid, const void *link)
{
    struct session *s = find(e, sid);
    if (s == NULL || link == NULL) {
        return;
    }
    if (link == s->probe) {
        s->probe = NULL;
        end_probe(s, false);
    } else if (link == s->ws) {
        s->ws = NULL;
        session_end(s, &(struct ending){.why = "the WebSocket is closed", .last = EIO_CLOSE});
    }
}

/* ---- from above -------------------------------------------------------------------------- */

void eio_send(struct eio *e, struct span sid, bool binary, struct span data)
{
    struct session *s = find(e, sid);
    if (s != NULL) {
        const struct eio_packet packet = {.type = EIO_MESSAGE, .binary = binary, .data = data};
        (void)enqueue(s, &packet);
    }
}

void eio_close(struct eio *e, struct span sid, bool bad, const char *why)
{
    struct session *s = find(e, sid);
    if (s != NULL) {
        session_end(s, &(struct ending){.why = why, .bad = bad, .last = EIO_CLOSE});
    }
}

void eio_close_all(struct eio *e, const char *why)
{
    struct map_node *node;
    while ((node = map_first(&e->sessions)) != NULL) {
        session_end(container_of(node, struct session, node),
                    &(struct ending){.why = why, .last = EIO_CLOSE});
    }
}

/* ---- time -------------------------------------------------------------------------------- */

uint64_t eio_next_deadline_ms(const struct eio *e)
{
    return heap_first_ms(&e->deadlines);
}

static void on_session_deadline(struct session *s, uint64_t now_ms)
{
    if (s->expire_ms <= now_ms) {
        session_end(s, &(struct ending){.why = "no heartbeat", .last = EIO_CLOSE});
        return;
    }
    if (s->probe_ms <= now_ms) {
        end_probe(s, false);
    }
    if (s->noop_ms <= now_ms) {
        answer_poll(s, EIO_NOOP);
        s->noop_ms = now_ms + EIO_NOOP_MS;
    }
    if (s->ping_ms <= now_ms) {
        const struct eio_packet ping = {.type = EIO_PING};
        s->ping_ms = NEVER;
        s->expire_ms = now_ms + s->e->cfg.ping_timeout_ms;
        if (!enqueue(s, &ping)) {
            return;
        }
    }
    set_deadline(s);
}

void eio_on_deadline(struct eio *e, uint64_t now_ms)
{
    while (heap_first_ms(&e->deadlines) <= now_ms) {
        on_session_deadline(container_of(heap_first(&e->deadlines), struct session, deadline),
                            now_ms);
    }
}

/* ---- life -------------------------------------------------------------------------------- */

struct eio *eio_new(const struct eio_cfg *cfg)
{
    struct eio *e = mem_new(struct eio);
    e->cfg = *cfg;
    map_init(&e->sessions, &cfg->seed);
    list_init(&e->outs);
    return e;
}

void eio_free(struct eio *e)
{
    struct map_node *node;
    while ((node = map_first(&e->sessions)) != NULL) {
        session_free(container_of(node, struct session, node));
    }
    LIST_FOREACH_SAFE (link, &e->outs) {
        output_free(container_of(link, struct output, link));
    }
    output_free(e->taken);
    map_release(&e->sessions);
    heap_release(&e->deadlines);
    free(e);
}
