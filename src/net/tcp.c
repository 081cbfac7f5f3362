/* tcp.c
 *
 * Happy path
 *   tcp_listen -> on_connection -> tcp_accept: reading starts
 *   on_uv_read      plain: on_read; TLS: feed, then pump: decrypt -> on_read, until it wants more
 *   tcp_read_now    what is there already, so that a short connection never meets the poll
 *   tcp_write       straight to the kernel; a rest is copied to `sending`, reading stops
 *   on_uv_written   `waiting` becomes `sending`, or: on_drained, reading starts again
 *   tcp_finish      when nothing waits: close_notify, then uv_shutdown
 *   tcp_close       uv_close -> on_uv_closed -> on_closed
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

#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "net/tls.h"
#include "net/uv_err.h"

#include "base/banned.h"

enum { BACKLOG = 1024 };

static void start_reading(struct tcp_conn *c);

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
    uv_buf_t b = uv_buf_init((char *)c->sending.p, (unsigned)c->sending.len);
    int status = uv_write(&c->write, (uv_stream_t *)&c->handle, &b, 1, on_uv_written);
    if (status < 0) {
        buf_clear(&c->sending);
    }
    return err_from_uv(status);
}

/* Bytes as they go over the wire. */
static int write_raw(struct tcp_conn *c, struct span bytes)
{
    if (tcp_is_pending(c)) {
        buf_add(&c->waiting, bytes);
        return c->waiting.bad ? ERR_LIMIT : 0;
    }
    uv_buf_t b = uv_buf_init((char *)(uintptr_t)bytes.p, (unsigned)bytes.n);
    int n = uv_try_write((uv_stream_t *)&c->handle, &b, 1);
    if (n == UV_EAGAIN) {
        n = 0;
    }
    if (n < 0) {
        return err_from_uv(n);
    }
    if ((size_t)n == bytes.n) {
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

static int flush_tls(struct tcp_conn *c)
{
    struct span out = tls_output(c->tls);
    if (out.n == 0) {
        return 0;
    }
    int status = write_raw(c, out);
    tls_output_clear(c->tls);
    return status;
}

int tcp_write(struct tcp_conn *c, struct span bytes)
{
    ASSERT(!c->finishing);
    if (c->closing || c->ended) {
        return ERR_CLOSED;
    }
    if (bytes.n == 0) {
        return 0;
    }
    if (c->tls == NULL) {
        return write_raw(c, bytes);
    }
    int status = tls_write(c->tls, bytes);
    return status < 0 ? status : flush_tls(c);
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
    if (c->tls != NULL) {
        tls_finish(c->tls);
        if (flush_tls(c) < 0) {
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
        int status = c->finishing ? 0 : flush_tls(c);
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
    uv_os_fd_t fd;
    if (!c->reading || c->closing || c->ended ||
        uv_fileno((const uv_handle_t *)&c->handle, &fd) < 0) {
        return;
    }
    ssize_t n = recv(fd, c->scratch->raw, sizeof c->scratch->raw, MSG_DONTWAIT);
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

static void on_uv_connection(uv_stream_t *stream, int status)
{
    struct tcp_listener *l = container_of((uv_tcp_t *)stream, struct tcp_listener, handle);
    if (!l->closing) {
        l->on_connection(l, err_from_uv(status));
    }
}

int tcp_listen(struct tcp_listener *l, uv_loop_t *loop, int fd, struct tls_server *tls,
               tcp_on_connection on_connection)
{
    l->tls = tls;
    l->on_connection = on_connection;
    ASSERT(uv_tcp_init(loop, &l->handle) == 0); /* AF_UNSPEC: makes no socket, cannot fail */
    int status = uv_tcp_open(&l->handle, fd);
    if (status < 0) {
        (void)close(fd);
        return err_from_uv(status);
    }
    return err_from_uv(uv_listen((uv_stream_t *)&l->handle, BACKLOG, on_uv_connection));
}

static void on_uv_listener_closed(uv_handle_t *handle)
{
    struct tcp_listener *l = container_of((uv_tcp_t *)handle, struct tcp_listener, handle);
    l->on_closed(l);
}

void tcp_listener_close(struct tcp_listener *l, tcp_on_listener_closed on_closed)
{
    if (!l->closing) {
        l->closing = true;
        l->on_closed = on_closed;
        uv_close((uv_handle_t *)&l->handle, on_uv_listener_closed);
    }
}

int tcp_accept(struct tcp_conn *c, struct tcp_listener *l, const struct tcp_events *on,
               struct tcp_scratch *scratch)
{
    struct sockaddr_storage ss;
    int len = sizeof ss;
    c->on = on;
    c->scratch = scratch;
    buf_init(&c->sending, TCP_QUEUE_MAX);
    buf_init(&c->waiting, TCP_QUEUE_MAX);
    ASSERT(uv_tcp_init(l->handle.loop, &c->handle) == 0);
    int status = uv_accept((uv_stream_t *)&l->handle, (uv_stream_t *)&c->handle);
    if (status < 0) {
        return err_from_uv(status);
    }
    /* Fails when the peer has gone again. */
    status = uv_tcp_getpeername(&c->handle, (struct sockaddr *)&ss, &len);
    if (status < 0) {
        return err_from_uv(status);
    }
    if (!endpoint_from_sockaddr(&c->peer, (struct sockaddr *)&ss)) {
        return ERR_INVALID;
    }
    if (l->tls != NULL) {
        c->tls = tls_conn_new(l->tls);
        if (c->tls == NULL) {
            return ERR_SYSTEM;
        }
    }
    start_reading(c);
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
    if (!c->closing) {
        c->closing = true;
        c->on_closed = on_closed;
        uv_close((uv_handle_t *)&c->handle, on_uv_closed);
    }
}
