/* Connections: two streams of bytes over two lines.
 *
 * Way of a byte  engine_send_iov -> the pipe's ring while there is room (back pressure) -> the
 *                sender's line, one quantum of each pipe in turn -> the latency of both nodes and
 *                the receiver's line -> engine_on_bytes, as far as engine_read_room lets it.
 * Lines          have a rate: they are busy until up_free_us and down_free_us.
 * Connect        SYN, answer: the acceptor knows after one latency, the other after two.
 * End            what was sent before still comes, then the end. A reset and a crash lose it.
 * Life           a link is freed when both ends are closed.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/engine_impl.h"
#include "sim/sim_impl.h"

#include "base/banned.h"

enum {
    QUANTUM = 1 << 14,
    READ_LEN = 1 << 16,
    SEND_PARTS = 64,
    JITTER_MS = 3,
    WRITABLE_LEN = SIM_PIPE_LEN / 4,
    PORTS_FROM = 40000,
};

static struct sim_end *other_end(struct sim_end *end)
{
    return end == &end->link->ends[0] ? &end->link->ends[1] : &end->link->ends[0];
}

struct sim_end *sim_end_find(const struct sim_node *n, conn_id conn)
{
    struct map_node *node = map_find(&n->ends, span_of(&conn, sizeof conn));
    return node == NULL ? NULL : container_of(node, struct sim_end, by_id);
}

uint32_t sim_end_peer(const struct sim_end *end)
{
    return end->out.wire.to == NULL ? 0 : end->out.wire.to->index;
}

static struct sim_end *end_of(struct sim_node *n, conn_id conn, const char *what)
{
    struct sim_end *end = sim_end_find(n, conn);
    if (end == NULL) {
        sim_fail(n->s, n, "%s of connection %llu, which is closed", what, (unsigned long long)conn);
    }
    return end;
}

static uint64_t latency_ms(const struct sim_node *a, const struct sim_node *b)
{
    return (uint64_t)a->spec.latency_ms + b->spec.latency_ms + rng_below(&a->s->rng, JITTER_MS);
}

/* ---- life of a link ----------------------------------------------------------------------------- */

static void link_free(struct sim_link *l)
{
    for (int i = 0; i < 2; i++) {
        struct sim_end *end = &l->ends[i];
        sim_cancel(l->s, &end->writable);
        sim_cancel(l->s, &end->out.event);
        if (list_is_linked(&end->out.up_node)) {
            list_remove(&end->out.up_node);
        }
        free(end->out.ring);
        sim_wire_release(&end->out.wire);
    }
    sim_cancel(l->s, &l->event);
    list_remove(&l->node);
    free(l);
}

/* The end is not the node's any more. The other one still gets what was sent, then its end. */
static void end_leave(struct sim_end *end)
{
    struct sim_link *l = end->link;
    struct sim_pipe *p = &end->out;
    map_remove(&end->n->ends, &end->by_id);
    sim_cancel(l->s, &end->writable);
    p->ended = true;
    p->end_at_ms = l->s->now_ms + end->n->spec.latency_ms;
    end->n = NULL;
    if (other_end(end)->n == NULL) {
        if (!heap_is_linked(&l->event.at)) {
            link_free(l);
        }
        return;
    }
    if (p->arrived == p->sent) {
        sim_at(l->s, &p->event, p->end_at_ms);
    }
}

/* The end's node is told that the connection is over. */
static void end_broke(struct sim_end *end, int why)
{
    struct sim_node *n = end->n;
    conn_id id = end->id;
    end_leave(end);
    engine_on_closed(n->e, id, why, n->s->now_ms);
    sim_node_drain(n);
}

/* ---- receiving ----------------------------------------------------------------------------------- */

static void make_writable(struct sim_end *from)
{
    const struct sim_pipe *p = &from->out;
    if (from->n != NULL && from->blocked && SIM_PIPE_LEN - (p->sent - p->read) >= WRITABLE_LEN) {
        sim_at(from->link->s, &from->writable, from->link->s->now_ms);
    }
}

/* One read of what came from `from`; false when nothing can be read. */
static bool read_once(struct sim_end *from)
{
    struct sim_pipe *p = &from->out;
    struct sim_end *to = other_end(from);
    struct sim_node *n = to->n;
    uint64_t now_ms = from->link->s->now_ms;
    size_t at = (size_t)(p->read % SIM_PIPE_LEN);
    size_t len = (size_t)(p->arrived - p->read);
    len = len < SIM_PIPE_LEN - at ? len : SIM_PIPE_LEN - at;
    len = len < READ_LEN ? len : READ_LEN;
    if (len == 0) {
        return false;
    }
    size_t room = engine_read_room(n->e, to->id, now_ms);
    if (room == 0) {
        sim_node_drain(n);
        return false;
    }
    len = len < room ? len : room;
    conn_id id = to->id;
    bool choked = sim_wire_on_arrived(&p->wire, &to->out.wire, p->read + len);
    n->received_len += len;
    engine_on_bytes(n->e, id, span_of(p->ring + at, len), now_ms);
    struct conn *c = engine_conn(n->e, id);
    if (choked && c != NULL) {
        p->wire.strict_from = to->out.sent + c->peer.sendq.len;
    }
    p->read += len;
    sim_node_drain(n);
    return sim_end_find(n, id) == to;
}

static void deliver(struct sim_end *from)
{
    struct sim_end *to = other_end(from);
    if (to->n == NULL || !to->connected || to->n->draining) {
        return;
    }
    while (read_once(from)) {
        make_writable(from);
    }
}

/* Everything was read and the end is there. */
static void deliver_end(struct sim_end *from)
{
    const struct sim_pipe *p = &from->out;
    struct sim_end *to = other_end(from);
    if (to->n != NULL && to->connected && p->ended && p->read == p->sent &&
        p->end_at_ms <= from->link->s->now_ms) {
        end_broke(to, ERR_CLOSED);
    }
}

static void on_arrival(struct sim_event *ev)
{
    struct sim_pipe *p = container_of(ev, struct sim_pipe, event);
    struct sim_end *from = container_of(p, struct sim_end, out);
    struct sim_end *to = other_end(from);
    struct sim *s = from->link->s;
    struct sim_node *n = to->n;
    conn_id id = to->id;
    while (p->n_chunks > 0 && p->chunks[p->first_chunk].at_us <= s->now_ms * 1000) {
        p->arrived = p->chunks[p->first_chunk].end;
        p->first_chunk = (p->first_chunk + 1) % SIM_CHUNKS;
        p->n_chunks--;
    }
    if (p->n_chunks > 0) {
        sim_at(s, ev, p->chunks[p->first_chunk].at_us / 1000 + 1);
    } else if (p->ended && p->arrived == p->sent && p->end_at_ms > s->now_ms) {
        sim_at(s, ev, p->end_at_ms);
    }
    if (n == NULL) {
        p->read = p->arrived;
        return;
    }
    deliver(from);
    if (sim_end_find(n, id) == to) {
        deliver_end(from);
    }
}

void sim_link_read(struct sim_node *n, conn_id conn)
{
    struct sim_end *to = end_of(n, conn, "READ");
    /* Not from inside: the bytes come with the next event. */
    struct sim_end *from = other_end(to);
    sim_at(n->s, &from->out.event, n->s->now_ms);
}

/* ---- sending -------------------------------------------------------------------------------------- */

static uint64_t line_us(uint64_t len, uint64_t bps)
{
    return bps == 0 ? 0 : len * 1000000 / bps;
}

/* A quantum of the pipe goes onto the line. */
static void depart(struct sim_pipe *p)
{
    struct sim_end *end = container_of(p, struct sim_end, out);
    struct sim_node *from = p->from;
    struct sim_node *to = p->wire.to;
    uint64_t now_us = from->s->now_ms * 1000;
    uint64_t len = p->sent - p->departed < QUANTUM ? p->sent - p->departed : QUANTUM;
    from->up_free_us += line_us(len, from->spec.up_bps);
    to->down_free_us = to->down_free_us < now_us ? now_us : to->down_free_us;
    to->down_free_us += line_us(len, to->spec.down_bps);
    uint64_t at_us = from->up_free_us > to->down_free_us ? from->up_free_us : to->down_free_us;
    at_us += latency_ms(from, to) * 1000;
    if (p->n_chunks > 0) {
        uint64_t last_us = p->chunks[(p->first_chunk + p->n_chunks - 1) % SIM_CHUNKS].at_us;
        at_us = at_us < last_us ? last_us : at_us;
    }
    p->departed += len;
    p->chunks[(p->first_chunk + p->n_chunks) % SIM_CHUNKS] =
        (struct sim_chunk){.end = p->departed, .at_us = at_us};
    if (p->n_chunks++ == 0) {
        sim_at(end->link->s, &p->event, at_us / 1000 + 1);
    }
}

void sim_link_on_uplink(struct sim_event *ev)
{
    struct sim_node *n = container_of(ev, struct sim_node, uplink_event);
    uint64_t now_us = n->s->now_ms * 1000;
    uint32_t n_full = 0; /* pipes one behind the other that have no room for a chunk */
    n->up_free_us = n->up_free_us < now_us ? now_us : n->up_free_us;
    while (!list_is_empty(&n->uplink) && n->up_free_us < now_us + 1000 && n_full < 256) {
        struct sim_pipe *p = container_of(list_first(&n->uplink), struct sim_pipe, up_node);
        list_remove(&p->up_node);
        if (p->n_chunks < SIM_CHUNKS) {
            depart(p);
            n_full = 0;
        } else {
            n_full++;
        }
        if (p->departed < p->sent) {
            list_add_tail(&n->uplink, &p->up_node);
        }
    }
    if (!list_is_empty(&n->uplink)) {
        uint64_t at_ms = n->up_free_us / 1000;
        sim_at(n->s, ev, at_ms > n->s->now_ms ? at_ms : n->s->now_ms + 1);
    }
}

static void pipe_put(struct sim_end *end, struct span bytes)
{
    struct sim_pipe *p = &end->out;
    struct sim_end *to = other_end(end);
    end->n->sent_len += bytes.n;
    if (to->n == NULL) {
        return; /* nobody is there: lost */
    }
    sim_wire_on_sent(&p->wire, &to->out.wire, bytes);
    while (bytes.n > 0) {
        size_t at = (size_t)(p->sent % SIM_PIPE_LEN);
        size_t len = SIM_PIPE_LEN - at < bytes.n ? SIM_PIPE_LEN - at : bytes.n;
        memcpy(p->ring + at, bytes.p, len);
        p->sent += len;
        bytes = span_of(bytes.p + len, bytes.n - len);
    }
    if (!list_is_linked(&p->up_node) && p->departed < p->sent) {
        list_add_tail(&p->from->uplink, &p->up_node);
        if (!heap_is_linked(&p->from->uplink_event.at)) {
            sim_at(p->from->s, &p->from->uplink_event, p->from->up_free_us / 1000);
        }
    }
}

static void send_all(struct sim_end *end)
{
    struct sim_node *n = end->n;
    struct sim_pipe *p = &end->out;
    struct iovec parts[SEND_PARTS];
    if (p->ring == NULL) {
        p->ring = mem_array(1, SIM_PIPE_LEN);
    }
    end->blocked = false;
    for (;;) {
        size_t room = SIM_PIPE_LEN - (size_t)(p->sent - p->read);
        size_t taken = 0;
        bool all = true;
        if (room == 0) {
            end->blocked = true;
            return;
        }
        size_t n_parts = engine_send_iov(n->e, end->id, parts, SEND_PARTS, n->s->now_ms);
        for (size_t i = 0; i < n_parts; i++) {
            size_t len = parts[i].iov_len < room - taken ? parts[i].iov_len : room - taken;
            pipe_put(end, span_of(parts[i].iov_base, len));
            taken += len;
            all = all && len == parts[i].iov_len;
        }
        if (n_parts == 0) {
            return;
        }
        engine_on_sent(n->e, end->id, taken, n->s->now_ms);
        if (!all) {
            end->blocked = true;
            return;
        }
    }
}

static void on_writable(struct sim_event *ev)
{
    struct sim_end *end = container_of(ev, struct sim_end, writable);
    struct sim_node *n = end->n;
    send_all(end);
    sim_node_drain(n);
}

void sim_link_send(struct sim_node *n, conn_id conn)
{
    struct sim_end *end = end_of(n, conn, "SEND");
    struct sim *s = n->s;
    bool breaks = sim_fault_hits(s, SIM_FAULT_SEND) ||
                  rng_below(&s->rng, 1000000) < s->options.resets_per_million;
    if (breaks && end->link->ends[0].connected) {
        end->link->reset = true;
        sim_at(s, &end->link->event, s->now_ms);
    }
    send_all(end);
}

/* ---- connecting ------------------------------------------------------------------------------------ */

static void link_reset(struct sim_link *l)
{
    struct sim_end *ends[2] = {&l->ends[0], &l->ends[1]};
    bool second = ends[1]->n != NULL;
    if (ends[0]->n != NULL && ends[0]->connected) {
        end_broke(ends[0], ERR_CLOSED); /* frees the link when it was the last */
        second = second && ends[1]->n != NULL;
    }
    if (second) {
        end_broke(ends[1], ERR_CLOSED);
    }
}

static void end_join(struct sim_end *end, struct sim_node *n, conn_id id)
{
    end->n = n;
    end->id = id;
    map_insert(&n->ends, &end->by_id, span_of(&end->id, sizeof end->id));
}

/* The SYN has arrived. */
static void on_syn(struct sim_link *l)
{
    struct sim_node *from = l->ends[0].out.from;
    struct sim_node *to = sim_node_at(l->s, &l->remote);
    struct endpoint port = {from->self.addr, (uint16_t)(PORTS_FROM + rng_below(&l->s->rng, 20000))};
    l->accepted = true;
    if (to == NULL || to->e == NULL || to->spec.closed || l->ends[0].n == NULL) {
        l->status = l->status == 0 ? ERR_CLOSED : l->status;
        return;
    }
    if (l->status < 0) {
        return;
    }
    conn_id id = engine_on_accept(to->e, 0, &port, l->s->now_ms);
    sim_wire_init(&l->ends[0].out.wire, from, to);
    sim_wire_init(&l->ends[1].out.wire, to, from);
    l->ends[1].out.from = to;
    l->ends[1].connected = true;
    if (id != 0) {
        end_join(&l->ends[1], to, id);
    } else {
        l->ends[1].out.ended = true;
        l->ends[1].out.end_at_ms = l->s->now_ms + to->spec.latency_ms + 1;
    }
    sim_node_drain(to);
}

static void on_answer(struct sim_link *l)
{
    struct sim_end *end = &l->ends[0];
    struct sim_node *n = end->n;
    conn_id id = end->id;
    if (n == NULL) {
        if (l->ends[1].n == NULL) {
            link_free(l);
        }
        return;
    }
    int status = l->status;
    if (status < 0) {
        map_remove(&n->ends, &end->by_id);
        end->n = NULL;
        link_free(l);
        engine_on_connected(n->e, id, status, n->s->now_ms);
        sim_node_drain(n);
        return;
    }
    end->connected = true;
    if (l->ends[1].out.ended) {
        sim_at(l->s, &l->ends[1].out.event, l->s->now_ms + 1);
    }
    engine_on_connected(n->e, id, 0, n->s->now_ms);
    sim_node_drain(n);
    if (sim_end_find(n, id) == end) {
        deliver(&l->ends[1]);
    }
}

static void on_link(struct sim_event *ev)
{
    struct sim_link *l = container_of(ev, struct sim_link, event);
    if (l->reset) {
        l->reset = false;
        link_reset(l);
    } else if (!l->accepted) {
        sim_at(l->s, ev, l->s->now_ms + l->ends[0].out.from->spec.latency_ms + 5);
        on_syn(l);
    } else {
        on_answer(l);
    }
}

void sim_link_connect(struct sim_node *n, const struct engine_out *out)
{
    struct sim *s = n->s;
    struct sim_link *l = mem_new(struct sim_link);
    l->s = s;
    l->remote = out->remote;
    l->event.fire = on_link;
    for (int i = 0; i < 2; i++) {
        l->ends[i].link = l;
        l->ends[i].writable.fire = on_writable;
        l->ends[i].out.event.fire = on_arrival;
        l->ends[i].out.from = n;
    }
    list_add_tail(&s->links, &l->node);
    end_join(&l->ends[0], n, out->conn);
    if (sim_fault_hits(s, SIM_FAULT_CONNECT)) {
        l->status = s->faults[SIM_FAULT_CONNECT].status;
    } else if (rng_below(&s->rng, 100) < s->options.refusals_percent) {
        l->status = ERR_TIMEOUT;
    }
    sim_at(s, &l->event, s->now_ms + n->spec.latency_ms + 5);
}

void sim_link_close(struct sim_node *n, conn_id conn)
{
    end_leave(end_of(n, conn, "CLOSE"));
}

/* ---- a node that is down ------------------------------------------------------------------------------ */

static void end_lose(struct sim_end *end)
{
    struct sim_pipe *p = &end->out;
    if (list_is_linked(&p->up_node)) {
        list_remove(&p->up_node);
    }
    sim_cancel(end->link->s, &p->event);
    p->n_chunks = 0;
    p->sent = p->departed = p->arrived = p->read;
    sim_wire_release(&p->wire);
    sim_wire_init(&p->wire, p->wire.from, p->wire.to);
    end_leave(end);
}

void sim_link_drop_all(struct sim_node *n)
{
    struct map_node *node;
    while ((node = map_first(&n->ends)) != NULL) {
        end_lose(container_of(node, struct sim_end, by_id));
    }
    sim_cancel(n->s, &n->uplink_event);
}

void sim_link_free_all(struct sim *s)
{
    LIST_FOREACH_SAFE (node, &s->links) {
        struct sim_link *l = container_of(node, struct sim_link, node);
        if (l->ends[0].n != NULL || l->ends[1].n != NULL) {
            sim_fail(s, NULL, "a connection is open in the end");
        }
        link_free(l);
    }
}
