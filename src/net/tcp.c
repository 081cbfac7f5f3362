/* tcp.c
 *
 * Happy path
 *   tcp_accept      a descriptor, nothing else
 *   tcp_read_now    what is there already, so that a short connection never meets the loop
 *   tcp_watch       the descriptor becomes libuv's, reading starts
 *   on_uv_read      plain: on_read; TLS: feed, then pump: decrypt -> on_read, until it wants more
 *   tcp_write       straight to the kernel; a rest is copied to `sending`, reading stops
 *   on_uv_written   `waiting` becomes `sending`, or: on_drained, reading starts again
 *   tcp_finish      when nothing waits: close_notify, then uv_shutdown
 *   tcp_close       the descriptor is closed, by libuv if it is watched; uv_close -> on_uv_closed ->
 *                   on_closed
 *
 * Failures
 *   peer ends, read fails, TLS breaks, a write under way fails    on_end, once; the user closes
 *   tcp_write fails at once                                       its return value; the user closes
 *   closed with a write under way       libuv calls on_uv_written (canceled) before on_uv_closed
 *
 * When on_closed runs, no request of this connection is left in libuv, and its memory here is
 * freed.
 */
#include "net/tcp.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "net/tls.h"
#include "net/uv_err.h"

#include "base/banned.h"

static void end(struct tcp_conn *c, int why)
{
    if (!c->closing && !c->ended) {
        c->ended = true;
        c->on->on_end(c, why);
    }
}

bool tcp_is_pending(const struct tcp_conn *c)
{
    return c->sending.len > 0;
}

/* ---- writing ----------------------------------------------------------------------------- */

static void on_uv_written(uv_write_t *req, int status);

static int send_queue(struct tcp_conn *c)
{
    tcp_watch(c);
    uv_buf_t b = uv_buf_init((char *)c->sending.p, (unsigned)c->sending.len);
    int status = uv_write(&c->write, (uv_stream_t *)&c->handle, &b, 1, on_uv_written);
    if (status < 0) {
        buf_clear(&c->sending);
    }
    return err_from_uv(status);
}

/* What the kernel takes of bytes, or a negative code. */
static ssize_t send_some(struct tcp_conn *c, struct span bytes, int flags)
{
    ssize_t n;
    do {
        n = send(c->fd, bytes.p, bytes.n, flags | MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == EAGAIN ? 0 : err_from_errno(errno);
    }
    return n;
}

/* Bytes as they go over the wire. last: they may wait for the end of the connection. */
static int write_raw(struct tcp_conn *c, struct span bytes, bool last)
{
    if (tcp_is_pending(c)) {
        buf_add(&c->waiting, bytes);
        return c->waiting.bad ? ERR_LIMIT : 0;
    }
    ssize_t n = send_some(c, bytes, last ? MSG_MORE : 0);
    if (n < 0) {
        return (int)n;
    }
    if ((size_t)n == bytes.n) {
        c->held_back = last;
        return 0;
    }
    buf_add(&c->sending, span_sub(bytes, (size_t)n, bytes.n));
    if (c->sending.bad) {
        buf_clear(&c->sending);
        return ERR_LIMIT;
    }
    if (c->reading) {
        c->reading = false;
        (void)uv_read_stop((uv_stream_t *)&c->handle);
    }
    return send_queue(c);
}

static int flush_tls(struct tcp_conn *c, bool last)
{
    struct span out = tls_output(c->tls);
    if (out.n == 0) {
        return 0;
    }
    int status = write_raw(c, out, last);
    tls_output_clear(c->tls);
    return status;
}

static int write_bytes(struct tcp_conn *c, struct span bytes, bool last)
{
    ASSERT(!c->finishing);
    if (c->closing || c->ended) {
        return ERR_CLOSED;
    }
    if (bytes.n == 0) {
        return 0;
    }
    if (c->tls == NULL) {
        return write_raw(c, bytes, last);
    }
    int status = tls_write(c->tls, bytes);
    return status < 0 ? status : flush_tls(c, last);
}

int tcp_write(struct tcp_conn *c, struct span bytes)
{
    return write_bytes(c, bytes, false);
}

int tcp_write_last(struct tcp_conn *c, struct span bytes)
{
    return write_bytes(c, bytes, true);
}

static void on_uv_shutdown(uv_shutdown_t *req, int status)
{
    /* A peer that is gone already shows in reading. */
    (void)req;
    (void)status;
}

static void finish_when_drained(struct tcp_conn *c)
{
    if (!c->finishing || c->finished || c->closing || tcp_is_pending(c)) {
        return;
    }
    c->finished = true;
    (void)uv_shutdown(&c->shutdown, (uv_stream_t *)&c->handle, on_uv_shutdown);
}

void tcp_finish(struct tcp_conn *c)
{
    if (c->finishing || c->closing) {
        return;
    }
    c->finishing = true;
    tcp_watch(c);
    if (c->tls != NULL) {
        tls_finish(c->tls);
        if (flush_tls(c, false) < 0) {
            return;
        }
    }
    finish_when_drained(c);
}

/* ---- reading ----------------------------------------------------------------------------- */

/* Hands on what TLS has decrypted, until it wants more or output waits. */
static void pump(struct tcp_conn *c)
{
    while (!c->closing && !c->ended && !tcp_is_pending(c)) {
        ssize_t n = tls_read(c->tls, c->scratch->plain, sizeof c->scratch->plain);
        /* Handshake messages, or the alert that says why it failed. */
        int status = c->finishing ? 0 : flush_tls(c, false);
        if (n < 0 || status < 0) {
            end(c, n < 0 ? (int)n : status);
            return;
        }
        if (n == 0) {
            return;
        }
        c->on->on_read(c, span_of(c->scratch->plain, (size_t)n));
    }
}

static void on_uv_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct tcp_conn *c = container_of((uv_tcp_t *)handle, struct tcp_conn, handle);
    (void)suggested;
    *out = uv_buf_init((char *)c->scratch->raw, sizeof c->scratch->raw);
}

static void on_bytes(struct tcp_conn *c, struct span bytes)
{
    if (c->tls == NULL) {
        c->on->on_read(c, bytes);
        return;
    }
    int status = tls_feed(c->tls, bytes);
    if (status < 0) {
        end(c, status);
        return;
    }
    pump(c);
}

static void on_uv_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct tcp_conn *c = container_of((uv_tcp_t *)stream, struct tcp_conn, handle);
    if (n < 0) {
        end(c, err_from_uv((int)n));
        return;
    }
    if (n > 0 && !c->closing && !c->ended) {
        on_bytes(c, span_of(b->base, (size_t)n));
    }
}

void tcp_read_now(struct tcp_conn *c)
{
    if (c->watched || c->closing || c->ended || tcp_is_pending(c)) {
        return;
    }
    ssize_t n = recv(c->fd, c->scratch->raw, sizeof c->scratch->raw, MSG_DONTWAIT);
    if (n > 0) { /* its end and errors are told in their turn */
        on_bytes(c, span_of(c->scratch->raw, (size_t)n));
    }
}

static void start_reading(struct tcp_conn *c)
{
    if (!c->reading && !c->closing && !c->ended) {
        /* Fails only for a stream that is closing or not connected. */
        ASSERT(uv_read_start((uv_stream_t *)&c->handle, on_uv_alloc, on_uv_read) == 0);
        c->reading = true;
    }
}

void tcp_watch(struct tcp_conn *c)
{
    if (c->watched || c->closing || c->ended) {
        return;
    }
    /* Fails only for a descriptor that the loop has already. */
    ASSERT(uv_tcp_open(&c->handle, c->fd) == 0);
    c->watched = true;
    if (!tcp_is_pending(c)) {
        start_reading(c);
    }
}

static void on_uv_written(uv_write_t *req, int status)
{
    struct tcp_conn *c = container_of(req, struct tcp_conn, write);
    buf_clear(&c->sending);
    if (c->closing) {
        return;
    }
    if (status < 0) {
        end(c, err_from_uv(status));
        return;
    }
    if (c->waiting.len > 0) {
        struct buf next = c->waiting;
        c->waiting = c->sending;
        c->sending = next;
        status = send_queue(c);
        if (status < 0) {
            end(c, status);
        }
        return;
    }
    /* A connection that was slow once is mostly fast again: give the memory back. */
    buf_release(&c->sending);
    finish_when_drained(c);
    c->on->on_drained(c);
    if (!c->closing && !tcp_is_pending(c)) {
        if (c->tls != NULL) {
            pump(c);
        }
        if (!tcp_is_pending(c)) {
            start_reading(c);
        }
    }
}

/* ---- accepting and closing --------------------------------------------------------------- */

int tcp_accept(struct tcp_conn *c, const struct tcp_accepted *accepted, const struct tcp_events *on,
               struct tcp_scratch *scratch)
{
    c->peer = *accepted->peer;
    c->fd = accepted->fd;
    c->on = on;
    c->scratch = scratch;
    buf_init(&c->sending, TCP_QUEUE_MAX);
    buf_init(&c->waiting, TCP_QUEUE_MAX);
    ASSERT(uv_tcp_init(accepted->loop, &c->handle) == 0); /* makes no socket, cannot fail */
    if (accepted->tls != NULL) {
        c->tls = tls_conn_new(accepted->tls);
        if (c->tls == NULL) {
            return ERR_SYSTEM;
        }
    }
    return 0;
}

static void on_uv_closed(uv_handle_t *handle)
{
    struct tcp_conn *c = container_of((uv_tcp_t *)handle, struct tcp_conn, handle);
    tls_conn_free(c->tls);
    c->tls = NULL;
    buf_release(&c->sending);
    buf_release(&c->waiting);
    c->on_closed(c);
}

void tcp_close(struct tcp_conn *c, tcp_on_closed on_closed)
{
    if (c->closing) {
        return;
    }
    c->closing = true;
    c->on_closed = on_closed;
    if (c->held_back) {
        /* What is held back leaves with our end. To close alone would drop it if there were bytes
         * of the peer that nobody has read. */
        (void)shutdown(c->fd, SHUT_WR);
    }
    if (!c->watched) {
        (void)close(c->fd);
    }
    uv_close((uv_handle_t *)&c->handle, on_uv_closed);
}
