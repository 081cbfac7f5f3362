/* The connections: how they come, what their bytes do, how they go.
 *
 *   incoming   accept --> stranger --its handshake--> of a torrent, ready --> gone
 *   outgoing   CONNECT --> half open --connected--> our handshake --theirs--> ready --> gone
 *
 * Gone       conn_drop takes a connection out of everything at once. Its memory stays until the
 *            input that runs is over: somebody up the stack may still hold it, and looks at c->gone.
 * Reading    room is what one read may take: nothing while the disk is behind (the connection waits
 *            in engine.stalled), nothing while its limiter has no room (it waits there for a turn).
 *            Either way READ is given out when it is worth asking again.
 * Limits     a turn of a limiter is paid for when it is given (limits_run) and kept as a grant, so
 *            that many turns at once do not promise the same bytes to many.
 * Sending    small messages are counted but never held up; what waits for its turn are blocks.
 * Strangers  are bounded for each address and in all, and peer.c gives their handshake its time.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "client/engine_impl.h"

#include "base/banned.h"

enum { MTU = 1500 };

struct conn *engine_conn(const struct engine *e, conn_id id)
{
    struct map_node *node = map_find(&e->conns, span_of(&id, sizeof id));
    return node == NULL ? NULL : container_of(node, struct conn, by_id);
}

void engine_count_end(struct engine *e, int why)
{
    ASSERT(why < 0 && why >= -ERR_N);
    e->totals.ends[-why]++;
}

/* ---- coming and going ---- */

/* Also of one that is connected now, and begins anew. */
void conn_begin_peer(struct conn *c, bool incoming, const struct endpoint *remote)
{
    peer_init(&c->peer, c->id, incoming, remote, c->e->pool, c->e->now_ms);
    c->peer.messages = &c->e->totals.messages;
}

struct conn *conn_new(struct engine *e, struct session *s, const struct endpoint *remote,
                      bool incoming)
{
    struct conn *c = mem_new(struct conn);
    c->id = ++e->last_id;
    c->e = e;
    c->session = s;
    c->connected = incoming;
    c->super_piece = UINT32_MAX;
    conn_begin_peer(c, incoming, remote);
    requests_init(&c->requests);
    map_insert(&e->conns, &c->by_id, span_of(&c->id, sizeof c->id));
    list_add_tail(&e->all_conns, &c->all_node);
    e->n_conns++;
    return c;
}

void conn_join(struct conn *c, struct torrent *t)
{
    c->t = t;
    list_add_tail(&t->conns, &c->in_torrent);
    t->n_conns++;
    limiter_member_init(&c->down, &t->down);
    limiter_member_init(&c->up, &t->up);
}

/* What becomes of the address where it listens, or was connected to. */
static void tell_candidates(struct conn *c, bool failed)
{
    const struct endpoint *at = &c->known_as;
    if (at->port == 0) {
        return;
    }
    if (c->ready && !failed) {
        candidates_on_closed(c->t->candidates, at, c->e->now_ms);
    } else if (failed || torrent_is_running(c->t)) {
        candidates_on_failed(c->t->candidates, at, c->e->now_ms);
    } else {
        candidates_on_left(c->t->candidates, at);
    }
}

static void leave_torrent(struct conn *c, bool failed)
{
    struct torrent *t = c->t;
    torrent_on_gone(c);
    list_remove(&c->in_torrent);
    t->n_conns--;
    if (!c->connected) {
        t->n_half_open--;
        c->e->n_half_open--;
    }
    if (c->ready) {
        t->n_connected--;
        c->e->totals.n_peers--;
    }
    limiter_member_release(&c->down);
    limiter_member_release(&c->up);
    tell_candidates(c, failed);
    if (torrent_is_running(t)) {
        engine_want_peers(t, true);
    }
}

static void unlink_if(struct list *node)
{
    if (list_is_linked(node)) {
        list_remove(node);
    }
}

static void stranger_no_more(struct conn *c)
{
    if (list_is_linked(&c->stranger_node)) {
        list_remove(&c->stranger_node);
        c->e->n_strangers--;
    }
}

void conn_drop(struct conn *c, const char *why, bool failed, bool tell)
{
    struct engine *e = c->e;
    if (c->gone) {
        return;
    }
    c->gone = true;
    e->totals.disconnects += c->connected ? 1 : 0;
    if (c->t != NULL) {
        leave_torrent(c, failed);
    }
    stranger_no_more(c);
    unlink_if(&c->out_node);
    unlink_if(&c->read_node);
    heap_remove(&e->conn_timers, &c->timer);
    map_remove(&e->conns, &c->by_id);
    list_remove(&c->all_node);
    list_add_tail(&e->dead, &c->all_node);
    e->n_conns--;
    if (tell) {
        engine_put(e, &(struct engine_out){.kind = ENGINE_OUT_CLOSE, .conn = c->id, .why = why});
    }
    if (c->t != NULL) {
        engine_check_end(c->t);
    }
}

void conn_close(struct conn *c, const char *why, bool failed)
{
    if (!c->gone && c->t != NULL && torrent_is_running(c->t)) {
        c->e->totals.closed_by_rule++;
    }
    conn_drop(c, why, failed, true);
}

void conn_ban(struct conn *c, const char *why)
{
    struct torrent *t = c->t;
    const struct addr addr = c->peer.remote.addr;
    c->e->totals.banned++;
    candidates_ban(t->candidates, &addr);
    conn_close(c, why, true);
    LIST_FOREACH_SAFE (node, &t->conns) {
        struct conn *other = container_of(node, struct conn, in_torrent);
        if (addr_eq(&other->peer.remote.addr, &addr)) {
            conn_close(other, why, true);
        }
    }
}

void conns_free_dead(struct engine *e)
{
    LIST_FOREACH_SAFE (node, &e->dead) {
        struct conn *c = container_of(node, struct conn, all_node);
        list_remove(node);
        requests_release(&c->requests);
        peer_release(&c->peer);
        free(c);
    }
}

static bool has_place_for_stranger(const struct engine *e, const struct addr *addr)
{
    uint32_t most = e->cfg.max_peers / 10 < STRANGERS_MIN ? STRANGERS_MIN : e->cfg.max_peers / 10;
    uint32_t n = 0;
    if (e->n_conns >= e->cfg.max_peers || e->n_strangers >= most) {
        return false;
    }
    LIST_FOREACH_SAFE (node, &e->strangers) {
        const struct conn *c = container_of(node, struct conn, stranger_node);
        n += addr_eq(&c->peer.remote.addr, addr) ? 1 : 0;
    }
    return n < STRANGERS_PER_ADDR;
}

conn_id engine_on_accept(struct engine *e, session_id session, const struct endpoint *remote,
                         uint64_t now_ms)
{
    engine_begin(e, now_ms);
    struct session *s = engine_session(e, session);
    conn_id id = 0;
    bool here = s != NULL && !e->stopping;
    if (!here || !has_place_for_stranger(e, &remote->addr)) {
        e->totals.accepts_refused++;
        e->totals.partings.too_many += here ? 1 : 0;
    } else {
        struct conn *c = conn_new(e, s, remote, true);
        c->source = CANDIDATE_INCOMING;
        list_add_tail(&e->strangers, &c->stranger_node);
        e->n_strangers++;
        e->totals.accepts++;
        conn_rearm(c);
        id = c->id;
    }
    engine_end(e);
    return id;
}

static void count_broken(const struct conn *c, int why)
{
    struct engine_totals *n = &c->e->totals;
    n->broken += why == ERR_CLOSED ? 0 : 1;
    n->broken_incoming += why != ERR_CLOSED && c->peer.incoming ? 1 : 0;
    engine_count_end(c->e, why);
}

void engine_on_closed(struct engine *e, conn_id conn, int why, uint64_t now_ms)
{
    engine_begin(e, now_ms);
    struct conn *c = engine_conn(e, conn);
    if (c != NULL) {
        count_broken(c, why);
        conn_drop(c, "closed by the peer", false, false);
    }
    engine_end(e);
}

/* ---- limits ---- */

static void spend(struct limiter_member *m, size_t *grant, size_t n, uint64_t now_ms)
{
    size_t paid = n < *grant ? n : *grant;
    *grant -= paid;
    if (n > paid) {
        limiter_spend(m, n - paid, now_ms);
    }
}

void limits_run(struct engine *e)
{
    struct limiter_member *m;
    size_t quantum;
    while ((m = limiter_next(&e->down, e->now_ms, &quantum)) != NULL) {
        struct conn *c = container_of(m, struct conn, down);
        limiter_spend(m, quantum, e->now_ms);
        c->down_grant += quantum;
        conn_wake_reader(c);
    }
    while ((m = limiter_next(&e->up, e->now_ms, &quantum)) != NULL) {
        struct conn *c = container_of(m, struct conn, up);
        limiter_spend(m, quantum, e->now_ms);
        c->up_grant += quantum;
        conn_wake(c);
    }
    e->limits_run_ms = e->now_ms;
}

uint64_t limits_deadline_ms(struct engine *e)
{
    uint64_t down_ms = limiter_deadline_ms(&e->down, e->now_ms);
    uint64_t up_ms = limiter_deadline_ms(&e->up, e->now_ms);
    uint64_t at_ms = down_ms < up_ms ? down_ms : up_ms;
    /* Whoever got a turn in this millisecond moves its bytes before the next one is given. */
    return at_ms <= e->limits_run_ms ? e->limits_run_ms + 1 : at_ms;
}

/* ---- bytes in ---- */

static size_t read_room(struct conn *c)
{
    struct engine *e = c->e;
    if (c->t == NULL) {
        return READ_LEN_MAX;
    }
    if (e->disk_full && c->t->picker != NULL) {
        unlink_if(&c->read_node);
        list_add_tail(&e->stalled, &c->read_node);
        return 0;
    }
    size_t room = c->down_grant > 0 ? c->down_grant : limiter_room(&c->down, e->now_ms);
    if (room == 0) {
        limiter_wait(&c->down);
    }
    return room < READ_LEN_MAX ? room : READ_LEN_MAX;
}

size_t engine_read_room(struct engine *e, conn_id conn, uint64_t now_ms)
{
    engine_begin(e, now_ms);
    struct conn *c = engine_conn(e, conn);
    size_t room = 0;
    if (c != NULL && c->connected) {
        room = read_room(c);
        c->reading_off = room == 0;
    }
    engine_end(e);
    return room;
}

/* A read or write of n bytes. What IP and TCP add is an estimate: full packets, each acknowledged by
 * an empty one the other way. */
static void count_io(struct conn *c, struct engine_io *io, size_t n)
{
    struct engine_totals *totals = &c->e->totals;
    size_t head = (c->peer.remote.addr.v6 ? 40 : 20) + 20;
    size_t n_packets = (n + MTU - head - 1) / (MTU - head);
    size_t i = 0;
    io->calls++;
    while (i + 1 < ENGINE_N_SIZES && n >> (i + 4) > 0) {
        i++;
    }
    io->sizes[i]++;
    totals->in.ip_len += n_packets * head;
    totals->out.ip_len += n_packets * head;
}

static void count_bytes(struct conn *c, size_t n, uint64_t payload)
{
    struct engine *e = c->e;
    struct torrent *t = c->t;
    count_io(c, &e->totals.in, n);
    e->totals.wire.down += n;
    e->totals.wire.down_payload += payload;
    if (t == NULL) {
        return;
    }
    t->session_totals.down += n;
    rate_meter_add(&t->down_all_rate, n, e->now_ms);
    if (payload > 0) {
        t->session_totals.down_payload += payload;
        t->kept.total_down += payload;
        t->last_down_ms = e->now_ms;
        rate_meter_add(&t->down_rate, payload, e->now_ms);
        rate_meter_add(&c->down_rate, payload, e->now_ms);
        resume_touch(t, false, false);
    }
}

/* After events: what they have made to be sent, asked for or waited for. */
static void settle(struct conn *c)
{
    if (c->ready) {
        torrent_refill(c, c->pick);
        c->pick = PICK_INCOMING;
    }
    if (c->gone) {
        return;
    }
    if (sendq_is_over(&c->peer.sendq)) {
        conn_close(c, "does not read what it asked for", true);
        return;
    }
    if (c->peer.sendq.len > 0) {
        conn_wake(c);
    }
    conn_rearm(c);
}

static void take_bytes(struct conn *c, struct span in)
{
    struct peer_event ev;
    const char *why = "";
    const size_t n = in.n;
    const uint64_t payload_before = c->peer.totals.down_payload;
    int status;
    if (c->t != NULL) {
        spend(&c->down, &c->down_grant, n, c->e->now_ms);
    }
    do {
        status = peer_next(&c->peer, &in, c->e->now_ms, &ev, &why);
        if (status > 0) {
            status = conn_on_event(c, &ev, &why) < 0 ? -1 : 1;
        }
    } while (status > 0 && !c->gone);
    count_bytes(c, n, c->peer.totals.down_payload - payload_before);
    if (c->gone) {
        return;
    }
    if (status < 0) {
        c->e->totals.closed_by_rule++;
        conn_drop(c, why, true, true);
    } else {
        settle(c);
    }
}

void engine_on_bytes(struct engine *e, conn_id conn, struct span bytes, uint64_t now_ms)
{
    engine_begin(e, now_ms);
    struct conn *c = engine_conn(e, conn);
    if (c != NULL && c->connected) {
        take_bytes(c, bytes);
    }
    engine_end(e);
}

/* ---- bytes out ---- */

/* Bytes of small messages in front of the first block. A message and the head of the block behind
 * it are one part of an iovec, the bytes of the block are another. */
static size_t small_len(struct sendq *q)
{
    struct iovec part;
    if (sendq_iov(q, &part, 1, SIZE_MAX) == 0) {
        return 0;
    }
    const uint8_t *at = part.iov_base;
    bool is_small = q->bytes != NULL && at >= q->bytes && at < q->bytes + q->bytes_cap;
    return is_small && part.iov_len > WIRE_PIECE_HEAD_LEN ? part.iov_len - WIRE_PIECE_HEAD_LEN : 0;
}

static size_t send_room(struct conn *c)
{
    struct sendq *q = &c->peer.sendq;
    if (q->payload_len == 0) {
        return SIZE_MAX;
    }
    size_t room = c->up_grant > 0 ? c->up_grant : limiter_room(&c->up, c->e->now_ms);
    if (room == 0) {
        limiter_wait(&c->up);
        return small_len(q);
    }
    return room;
}

size_t engine_send_iov(struct engine *e, conn_id conn, struct iovec *out, size_t cap,
                       uint64_t now_ms)
{
    engine_begin(e, now_ms);
    struct conn *c = engine_conn(e, conn);
    size_t n = 0;
    if (c != NULL && c->connected) {
        if (c->ready) {
            torrent_on_room(c);
        }
        if (!c->gone && c->peer.sendq.len > 0) {
            size_t room = send_room(c);
            n = room == 0 ? 0 : sendq_iov(&c->peer.sendq, out, cap, room);
        }
    }
    engine_end(e);
    return n;
}

static void count_sent(struct conn *c, size_t n)
{
    struct engine *e = c->e;
    struct torrent *t = c->t;
    const uint64_t n_blocks = c->peer.sendq.n_blocks;
    size_t payload = sendq_sent(&c->peer.sendq, n);
    e->totals.messages.out[WIRE_PIECE] += c->peer.sendq.n_blocks - n_blocks;
    if (n > 0) {
        count_io(c, &e->totals.out, n);
    }
    c->peer.totals.up += n;
    c->peer.totals.up_payload += payload;
    e->totals.wire.up += n;
    e->totals.wire.up_payload += payload;
    if (t == NULL) {
        return;
    }
    spend(&c->up, &c->up_grant, n, e->now_ms);
    t->session_totals.up += n;
    rate_meter_add(&t->up_all_rate, n, e->now_ms);
    if (payload > 0) {
        c->turn_len += payload;
        t->session_totals.up_payload += payload;
        t->kept.total_up += payload;
        t->last_up_ms = e->now_ms;
        rate_meter_add(&t->up_rate, payload, e->now_ms);
        rate_meter_add(&c->up_rate, payload, e->now_ms);
        resume_touch(t, false, false);
    }
}

void engine_on_sent(struct engine *e, conn_id conn, size_t n, uint64_t now_ms)
{
    engine_begin(e, now_ms);
    struct conn *c = engine_conn(e, conn);
    if (c != NULL && c->connected) {
        count_sent(c, n);
        if (c->ready) {
            torrent_on_room(c);
        }
        if (!c->gone && c->peer.sendq.len > 0 && (c->t == NULL || !limiter_is_waiting(&c->up))) {
            conn_wake(c);
        }
    }
    engine_end(e);
}

/* ---- time ---- */

static uint64_t deadline_ms(const struct conn *c)
{
    if (!c->connected) {
        return c->peer.started_ms + CONNECT_TIMEOUT_MS;
    }
    uint64_t at_ms = peer_deadline_ms(&c->peer);
    uint64_t torrent_ms = c->ready ? torrent_conn_deadline_ms(c) : UINT64_MAX;
    return torrent_ms < at_ms ? torrent_ms : at_ms;
}

/* Only to an earlier time: a later one is found when the old one is there. Most deadlines move with
 * each read, and never come. */
void conn_rearm(struct conn *c)
{
    uint64_t at_ms = deadline_ms(c);
    if (!c->gone && (!heap_is_linked(&c->timer) || at_ms < c->timer.at_ms)) {
        heap_set(&c->e->conn_timers, &c->timer, at_ms);
    }
}

static void count_too_late(const struct conn *c)
{
    struct engine_totals *n = &c->e->totals;
    n->closed_by_time++;
    if (!c->connected) {
        n->connects_failed++;
        n->connects_timed_out++;
        engine_count_end(c->e, ERR_TIMEOUT);
    } else if (c->ready) {
        n->partings.idle++;
    } else {
        n->partings.no_handshake++;
    }
}

void conn_on_deadline(struct conn *c)
{
    struct engine *e = c->e;
    const char *why = "not connected in time";
    heap_remove(&e->conn_timers, &c->timer);
    if (c->reading_off) {
        c->peer.received_ms = e->now_ms; /* it is we who are silent */
    }
    if (!c->connected || peer_on_deadline(&c->peer, e->now_ms, &why) < 0) {
        count_too_late(c);
        conn_drop(c, why, !c->ready, true);
        return;
    }
    if (c->ready) {
        torrent_on_conn_deadline(c);
    }
    if (c->gone) {
        return;
    }
    if (c->peer.sendq.len > 0) {
        conn_wake(c);
    }
    conn_rearm(c);
    if (c->timer.at_ms <= e->now_ms) {
        heap_set(&e->conn_timers, &c->timer, e->now_ms + 1);
    }
}
