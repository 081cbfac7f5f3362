/* http_front.c
 *
 * A connection is in the list of its state, and each list has one timeout, so that a list is in the
 * order of its deadlines and one timer serves them all:
 *
 *              part of a head                          an answer that the peer has not taken
 *    IDLE ------------------------> HEAD                IDLE, HEAD ------------------------> SEND
 *     ^ ^-- request answered ----------'                  ^                                   |
 *     '-- request answered                                '------------ drained -------------'
 *
 *    any -- response that ends the connection --> (SEND) --> LINGER, or closed
 *    any -- deadline, peer's end, error, front closing --> closing: in no list
 *
 * Happy path
 *   on_connection   a slot, tcp_accept, IDLE; what has come already is read, and if that was not
 *                   all of this connection, the loop watches it
 *   on_read         what was held + what came -> serve: decode, answer into the worker's output
 *                   buffer, one write; a head that is not complete is held
 *   on_read         one whole announce on an idle connection: waits for those of other connections
 *   on_polled       no more events in this turn: the announces that wait are answered together
 *   on_drained      serve goes on with what is held
 *
 * Failures
 *   no slot                         accepted and closed at once
 *   a bad head, a body              400 or 431, then LINGER: our direction is closed, input dropped
 *   peer gone, TLS broken           on_end: closed
 *   deadline of the state           on_timer: closed
 *
 * Closing: listeners and connections count in open_handles; when the last of them has gone the
 * timer is closed, which frees the front and tells the owner. Whatever else happens to a connection
 * whose announce waits, the answers come first.
 */
#include "tracker/http_front.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "base/mem.h"
#include "net/stream.h"
#include "net/tcp.h"
#include "tracker/forwarded_for.h"
#include "tracker/http_answer.h"
#include "tracker/worker_turn.h"

#include "base/banned.h"

enum http_state { HTTP_IDLE, HTTP_HEAD, HTTP_SEND, HTTP_LINGERING, HTTP_STATES };

enum {
    LINGER_MS = 2000,
    DRAIN_AT_CLOSE_MS = 1000,
    OUTPUT_LEN = 65536, /* answers gathered before they are written */
};

struct http_conn {
    struct tcp_conn tcp;
    struct http_front *front;
    struct list node; /* in front->lists[state]; unlinked: closing */
    enum http_state state;
    enum http_after after; /* SEND: what follows when the output has gone */
    bool proxy;
    bool waiting; /* in front->waiting */
    uint64_t deadline_ms;
    struct buf held; /* input that is not answered yet */
};

struct http_front {
    uv_loop_t *loop;
    struct http_answerer *answerer;
    struct worker_turn *turn;
    struct stats_block *stats;
    const struct config *cfg;
    struct tls_server *tls;
    struct http_slots *slots;
    struct list lists[HTTP_STATES];
    uint64_t timeout_ms[HTTP_STATES];
    uv_check_t polled;
    uv_timer_t timer;
    bool timer_armed;
    uint64_t timer_at_ms;
    struct stream_listener **listeners;
    size_t n_listeners;
    size_t open_handles;
    bool closing;
    uint64_t cut_at_ms; /* while closing: when answers on their way are given up */
    http_front_on_closed on_closed;
    void *closed_ctx;
    struct http1_request req;
    size_t n_waiting;
    struct http_conn *waiting[HTTP_TOGETHER_MAX]; /* in the answerer's order */
    struct tcp_scratch scratch;
    size_t output_len;
    uint8_t *output;
};

/* ---- closing ----------------------------------------------------------------------------- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct http_front *f = container_of((uv_timer_t *)handle, struct http_front, timer);
    http_front_on_closed on_closed = f->on_closed;
    void *ctx = f->closed_ctx;
    http_answerer_free(f->answerer);
    free(f->listeners);
    free(f->output);
    free(f);
    on_closed(ctx);
}

static void on_polled_closed(uv_handle_t *handle)
{
    struct http_front *f = container_of((uv_check_t *)handle, struct http_front, polled);
    uv_close((uv_handle_t *)&f->timer, on_timer_closed);
}

/* The timer goes last: as long as there are connections it is needed. */
static void close_timer_if_last(struct http_front *f)
{
    if (f->closing && f->open_handles == 0) {
        uv_close((uv_handle_t *)&f->polled, on_polled_closed);
    }
}

static void release_handle(struct http_front *f)
{
    ASSERT(f->open_handles > 0);
    f->open_handles--;
    close_timer_if_last(f);
}

static void on_conn_closed(struct tcp_conn *tcp)
{
    struct http_conn *c = container_of(tcp, struct http_conn, tcp);
    struct http_front *f = c->front;
    atomic_fetch_sub_explicit(&f->slots->taken, 1, memory_order_relaxed);
    stats_count(f->stats, COUNT_http_connections_closed);
    buf_release(&c->held);
    free(c);
    release_handle(f);
}

static void close_conn(struct http_conn *c)
{
    ASSERT(!c->waiting);
    if (list_is_linked(&c->node)) {
        list_remove(&c->node);
    }
    tcp_close(&c->tcp, on_conn_closed);
}

/* ---- states and their deadlines ---------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static void arm_timer(struct http_front *f, uint64_t at_ms)
{
    uint64_t now_ms = uv_now(f->loop);
    if (f->timer_armed && f->timer_at_ms <= at_ms) {
        return;
    }
    f->timer_armed = true;
    f->timer_at_ms = at_ms;
    /* Fails only for a timer that is closing, and then no connection is left. */
    ASSERT(uv_timer_start(&f->timer, on_timer, at_ms > now_ms ? at_ms - now_ms : 0, 0) == 0);
}

/* Also from a state to itself: the deadline begins anew. */
static void move(struct http_conn *c, enum http_state state)
{
    struct http_front *f = c->front;
    if (list_is_linked(&c->node)) {
        list_remove(&c->node);
    }
    c->state = state;
    c->deadline_ms = uv_now(f->loop) + f->timeout_ms[state];
    list_add_tail(&f->lists[state], &c->node);
    arm_timer(f, c->deadline_ms);
}

static void cut_overdue(struct http_front *f, struct list *list, uint64_t now_ms)
{
    LIST_FOREACH_SAFE (node, list) {
        struct http_conn *c = container_of(node, struct http_conn, node);
        if (c->deadline_ms > now_ms && !(f->closing && f->cut_at_ms <= now_ms)) {
            return;
        }
        if (c->state != HTTP_LINGERING) {
            stats_count(f->stats, COUNT_http_timeouts);
        }
        close_conn(c);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct http_front *f = container_of(timer, struct http_front, timer);
    uint64_t now_ms = uv_now(f->loop);
    f->timer_armed = false;
    for (int i = 0; i < HTTP_STATES; i++) {
        cut_overdue(f, &f->lists[i], now_ms);
        struct list *first = list_first(&f->lists[i]);
        if (first != NULL) {
            arm_timer(f, container_of(first, struct http_conn, node)->deadline_ms);
        }
    }
    if (f->closing && f->cut_at_ms > now_ms) {
        arm_timer(f, f->cut_at_ms);
    }
}

/* ---- requests ---------------------------------------------------------------------------- */

/* Writes what is in out and empties it; false when the connection had to be closed. */
static bool flush(struct http_conn *c, struct wr *out)
{
    struct span bytes = wr_span(out);
    bool last = c->after == HTTP_CLOSE;
    if ((last ? tcp_write_last(&c->tcp, bytes) : tcp_write(&c->tcp, bytes)) < 0) {
        close_conn(c);
        return false;
    }
    *out = wr_over(c->front->output, c->front->output_len);
    return true;
}

/* Answers the requests at the start of in. returns bytes used; c->after says if it goes on. Stops
 * early when the peer does not take its answers, and when the connection had to be closed. */
static size_t answer_requests(struct http_conn *c, struct span in)
{
    struct http_front *f = c->front;
    struct wr out = wr_over(f->output, f->output_len);
    size_t used = 0;
    const char *why = NULL;
    (void)worker_turn_begin(f->turn);
    while (c->after == HTTP_KEEP && used < in.n) {
        if (wr_room(&out) < http_answerer_room(f->answerer)) {
            if (!flush(c, &out) || tcp_is_pending(&c->tcp)) {
                break;
            }
        }
        struct span rest = span_sub(in, used, in.n);
        ssize_t n = http1_request_decode(&f->req, rest, &why);
        if (n == 0 && rest.n > HTTP1_HEAD_MAX) {
            n = ERR_LIMIT;
            why = "request head too large";
        }
        if (n == 0) {
            break;
        }
        if (n < 0) {
            c->after = http_refuse(f->answerer, (int)n, why, &out);
            break;
        }
        c->after = http_answer(f->answerer, &f->req, &c->tcp.peer.addr, c->proxy, &out);
        used += (size_t)n;
    }
    worker_turn_end(f->turn);
    if (list_is_linked(&c->node) && wr_len(&out) > 0) {
        (void)flush(c, &out); /* a connection that had to be closed shows in its node */
    }
    return used;
}

/* The last response has gone. */
static void end_conn(struct http_conn *c)
{
    if (c->after == HTTP_LINGER) {
        buf_release(&c->held);
        tcp_finish(&c->tcp);
        move(c, HTTP_LINGERING);
    } else {
        close_conn(c);
    }
}

/* Where a connection goes that has been served: answered says if it got at least one answer. */
static void settle(struct http_conn *c, bool answered)
{
    if (tcp_is_pending(&c->tcp)) {
        move(c, HTTP_SEND);
    } else if (c->after != HTTP_KEEP || c->front->closing) {
        end_conn(c);
    } else if (c->held.len == 0) {
        buf_release(&c->held);
        move(c, HTTP_IDLE);
    } else if (c->state != HTTP_HEAD || answered) {
        move(c, HTTP_HEAD); /* else its time runs since the first byte */
    }
}

/* A connection that goes on is the loop's from now on; most have come for one answer and never
 * get here. */
static void watch(struct http_conn *c)
{
    if (list_is_linked(&c->node) && !c->waiting) {
        tcp_watch(&c->tcp);
    }
}

static void answer_waiting(struct http_front *f)
{
    size_t n = f->n_waiting;
    if (n == 0) {
        return;
    }
    (void)worker_turn_begin(f->turn);
    http_answer_kept(f->answerer);
    worker_turn_end(f->turn);
    f->n_waiting = 0;
    for (size_t i = 0; i < n; i++) {
        struct http_conn *c = f->waiting[i];
        struct wr out = wr_over(f->output, f->output_len);
        c->waiting = false;
        c->after = http_answer_write(f->answerer, i, &out);
        if (flush(c, &out)) {
            settle(c, true);
            watch(c);
        }
    }
}

static void on_polled(uv_check_t *check)
{
    answer_waiting(container_of(check, struct http_front, polled));
}

/* Whether bytes are one announce and nothing else; then it waits. */
static bool wait_with_others(struct http_conn *c, struct span bytes)
{
    struct http_front *f = c->front;
    const char *why;
    if (c->state != HTTP_IDLE || f->closing ||
        http1_request_decode(&f->req, bytes, &why) != (ssize_t)bytes.n ||
        !http_answer_keep(f->answerer, &f->req, &c->tcp.peer.addr, c->proxy)) {
        return false;
    }
    c->waiting = true;
    f->waiting[f->n_waiting++] = c;
    if (f->n_waiting == HTTP_TOGETHER_MAX) {
        answer_waiting(f);
    }
    return true;
}

static void on_read(struct tcp_conn *tcp, struct span bytes)
{
    struct http_conn *c = container_of(tcp, struct http_conn, tcp);
    if (c->waiting) {
        answer_waiting(c->front);
    }
    if (c->state == HTTP_LINGERING || !list_is_linked(&c->node) || wait_with_others(c, bytes)) {
        return;
    }
    bool was_held = c->held.len > 0;
    if (was_held) {
        buf_add(&c->held, bytes);
        ASSERT(!c->held.bad); /* what is held here is at most one head that is not complete */
    }
    size_t used = answer_requests(c, was_held ? buf_span(&c->held) : bytes);
    if (!list_is_linked(&c->node)) {
        return;
    }
    if (was_held) {
        buf_consume(&c->held, used);
    } else if (used < bytes.n) {
        buf_add(&c->held, span_sub(bytes, used, bytes.n));
    }
    settle(c, used > 0);
}

static void on_drained(struct tcp_conn *tcp)
{
    struct http_conn *c = container_of(tcp, struct http_conn, tcp);
    if (c->state != HTTP_SEND) {
        return;
    }
    size_t used = answer_requests(c, buf_span(&c->held));
    if (list_is_linked(&c->node)) {
        buf_consume(&c->held, used);
        settle(c, true);
    }
}

static void on_end(struct tcp_conn *tcp, int why)
{
    struct http_conn *c = container_of(tcp, struct http_conn, tcp);
    if (why == ERR_MALFORMED) {
        stats_count(c->front->stats, COUNT_http_tls_failures);
    }
    if (c->waiting) {
        answer_waiting(c->front);
    }
    close_conn(c);
}

/* ---- connections ------------------------------------------------------------------------- */

static const struct tcp_events conn_events = {
    .on_read = on_read,
    .on_drained = on_drained,
    .on_end = on_end,
};

static bool take_slot(struct http_slots *slots)
{
    if (atomic_fetch_add_explicit(&slots->taken, 1, memory_order_relaxed) < slots->max) {
        return true;
    }
    atomic_fetch_sub_explicit(&slots->taken, 1, memory_order_relaxed);
    return false;
}

static void on_connection(void *ctx, int fd, const struct endpoint *peer)
{
    struct http_front *f = ctx;
    if (!take_slot(f->slots)) {
        stats_count(f->stats, COUNT_http_connections_refused);
        (void)close(fd);
        return;
    }
    struct http_conn *c = mem_new(struct http_conn);
    c->front = f;
    c->proxy = forwarded_for_trusts(&f->cfg->tracker.trust_forwarded_for, &peer->addr);
    buf_init(&c->held, HTTP1_HEAD_MAX + TCP_READ_LEN);
    f->open_handles++;
    stats_count(f->stats, COUNT_http_connections);
    struct tcp_accepted accepted = {f->loop, fd, peer, f->tls};
    if (tcp_accept(&c->tcp, &accepted, &conn_events, &f->scratch) < 0) {
        close_conn(c);
        return;
    }
    move(c, HTTP_IDLE);
    tcp_read_now(&c->tcp);
    watch(c);
}

/* ---- the front --------------------------------------------------------------------------- */

struct http_front *http_front_new(uv_loop_t *loop, const struct http_front_options *options)
{
    struct http_front *f = mem_new(struct http_front);
    uint64_t request_ms = (uint64_t)options->cfg->tracker.http_request_timeout_s * 1000;
    f->loop = loop;
    f->turn = options->turn;
    f->stats = tracker_worker_stats(options->worker);
    f->cfg = options->cfg;
    f->tls = options->tls;
    f->slots = options->slots;
    f->answerer = http_answerer_new(options->tracker, options->worker, options->cfg);
    f->output_len = OUTPUT_LEN + http_answerer_room(f->answerer);
    f->output = mem_array(f->output_len, 1);
    f->timeout_ms[HTTP_IDLE] = (uint64_t)options->cfg->tracker.http_idle_timeout_s * 1000;
    f->timeout_ms[HTTP_HEAD] = request_ms;
    f->timeout_ms[HTTP_SEND] = request_ms;
    f->timeout_ms[HTTP_LINGERING] = LINGER_MS;
    for (int i = 0; i < HTTP_STATES; i++) {
        list_init(&f->lists[i]);
    }
    ASSERT(uv_timer_init(loop, &f->timer) == 0);
    ASSERT(uv_check_init(loop, &f->polled) == 0);
    ASSERT(uv_check_start(&f->polled, on_polled) == 0);
    return f;
}

int http_front_listen(struct http_front *f, const int *fds, size_t n, struct err *e)
{
    ASSERT(f->listeners == NULL);
    if (n == 0) {
        return 0;
    }
    f->listeners = mem_zeroed(n * sizeof *f->listeners);
    for (size_t i = 0; i < n; i++) {
        int status = stream_listen(&f->listeners[i], f->loop, fds[i], on_connection, f);
        if (status < 0) {
            while (++i < n) {
                (void)close(fds[i]);
            }
            return err_set(e, status, "HTTP listener: %s", err_text(status));
        }
        f->n_listeners++;
        f->open_handles++;
    }
    return 0;
}

static void on_listener_closed(void *front)
{
    release_handle(front);
}

void http_front_close(struct http_front *f, http_front_on_closed on_closed, void *ctx)
{
    if (f->closing) {
        return;
    }
    answer_waiting(f);
    f->closing = true;
    f->on_closed = on_closed;
    f->closed_ctx = ctx;
    f->cut_at_ms = uv_now(f->loop) + DRAIN_AT_CLOSE_MS;
    for (size_t i = 0; i < f->n_listeners; i++) {
        stream_listener_close(f->listeners[i], on_listener_closed, f);
    }
    for (int i = 0; i < HTTP_STATES; i++) {
        LIST_FOREACH_SAFE (node, &f->lists[i]) {
            struct http_conn *c = container_of(node, struct http_conn, node);
            if (c->state != HTTP_SEND && c->state != HTTP_LINGERING) {
                close_conn(c);
            }
        }
    }
    arm_timer(f, f->cut_at_ms);
    /* Without listeners and connections there is nothing else that would come back. */
    close_timer_if_last(f);
}
