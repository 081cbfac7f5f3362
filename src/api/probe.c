/* Happy path   UDP: send -> a datagram -> decoded -> settled. HTTP: connect -> write -> read until
 *              the status line is there -> settled.
 * Failures     any step that fails settles with its reason; a first step that fails does so by the
 *              next turn's callback: the socket is then watched for nothing, and the owner's
 *              deadline ends it. Silence is the owner's deadline, too.
 * At the end   on_closed was called once; requests in flight were canceled by the close.
 */
#include "api/probe.h"

#include <string.h>

#include "base/cursor.h"
#include "base/digest.h"
#include "proto/udp_tracker.h"

#include "base/banned.h"

static const char HTTP_REQUEST[] = "GET /health_check HTTP/1.1\r\nhost: localhost\r\n"
                                   "connection: close\r\n\r\n";

static void settle(struct probe *p, const char *why)
{
    if (!p->settled) {
        p->settled = true;
        p->why = why;
        p->on_settled(p);
    }
}

static struct endpoint reachable(const struct endpoint *at)
{
    static const uint8_t loopback4[4] = {127, 0, 0, 1};
    static const uint8_t loopback6[16] = {[15] = 1};
    struct endpoint e = *at;
    if (addr_is_unspecified(&e.addr)) {
        e.addr = e.addr.v6 ? addr_from_v6(loopback6) : addr_from_v4(loopback4);
    }
    return e;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct probe *p = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)p->in + p->in_len, (unsigned)(sizeof p->in - p->in_len));
}

/* ---- UDP --------------------------------------------------------------------------------- */

static void on_datagram(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
                        unsigned flags)
{
    struct probe *p = udp->data;
    struct udp_reply reply;
    const char *why;
    (void)buf;
    (void)flags;
    if (n < 0) {
        settle(p, "not reachable");
        return;
    }
    if (from == NULL) {
        return;
    }
    if (udp_reply_decode(&reply, span_of(p->in, (size_t)n), p->at.addr.v6, &why) > 0 &&
        reply.action == UDP_CONNECT && reply.transaction_id == p->transaction_id) {
        settle(p, NULL);
    }
}

static void on_sent(uv_udp_send_t *req, int status)
{
    struct probe *p = req->data;
    if (status < 0 && status != UV_ECANCELED) {
        settle(p, "cannot send");
    }
}

static int start_udp(struct probe *p, const struct sockaddr *to)
{
    struct wr w = wr_over(p->out, sizeof p->out);
    digest_random(&p->transaction_id, sizeof p->transaction_id);
    udp_connect_encode(&w, p->transaction_id);
    uv_buf_t buf = uv_buf_init((char *)p->out, (unsigned)wr_len(&w));
    p->req.send.data = p;
    int status = uv_udp_send(&p->req.send, &p->u.udp, &buf, 1, to, on_sent);
    return status < 0 ? status : uv_udp_recv_start(&p->u.udp, on_alloc, on_datagram);
}

/* ---- HTTP -------------------------------------------------------------------------------- */

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    static const char status_line[] = "HTTP/1.1 200";
    struct probe *p = stream->data;
    (void)buf;
    if (n < 0) {
        settle(p, "closed without an answer");
        return;
    }
    p->in_len += (size_t)n;
    if (p->in_len >= sizeof status_line - 1) {
        bool good = memcmp(p->in, status_line, sizeof status_line - 1) == 0;
        (void)uv_read_stop(stream);
        settle(p, good ? NULL : "answered with another status than 200");
    }
}

static void on_written(uv_write_t *req, int status)
{
    struct probe *p = req->data;
    if (status < 0 && status != UV_ECANCELED) {
        settle(p, "cannot write");
    }
}

static void on_connected(uv_connect_t *req, int status)
{
    struct probe *p = req->data;
    if (status == UV_ECANCELED) {
        return;
    }
    if (status < 0 || p->kind == PROBE_HTTPS) {
        settle(p, status < 0 ? "cannot connect" : NULL);
        return;
    }
    memcpy(p->out, HTTP_REQUEST, sizeof HTTP_REQUEST);
    uv_buf_t buf = uv_buf_init((char *)p->out, sizeof HTTP_REQUEST - 1);
    uv_stream_t *stream = (uv_stream_t *)&p->u.tcp;
    p->req.write.data = p;
    if (uv_write(&p->req.write, stream, &buf, 1, on_written) < 0 ||
        uv_read_start(stream, on_alloc, on_read) < 0) {
        settle(p, "cannot write");
    }
}

/* ---- both -------------------------------------------------------------------------------- */

void probe_start(struct probe *p, uv_loop_t *loop, void (*on_settled)(struct probe *p))
{
    _Static_assert(sizeof HTTP_REQUEST <= sizeof p->out, "room for the request");
    struct endpoint to = reachable(&p->at);
    struct sockaddr_storage ss;
    (void)endpoint_to_sockaddr(&to, &ss);
    p->on_settled = on_settled;
    if (p->kind == PROBE_UDP) {
        p->open = uv_udp_init(loop, &p->u.udp) == 0;
        p->u.handle.data = p;
        if (p->open) {
            (void)start_udp(p, (struct sockaddr *)&ss);
        }
        return;
    }
    p->open = uv_tcp_init(loop, &p->u.tcp) == 0;
    p->u.handle.data = p;
    p->req.connect.data = p;
    if (p->open) {
        (void)uv_tcp_connect(&p->req.connect, &p->u.tcp, (struct sockaddr *)&ss, on_connected);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct probe *p = handle->data;
    p->on_closed(p);
}

void probe_close(struct probe *p, void (*on_closed)(struct probe *p))
{
    p->settled = true;
    p->on_closed = on_closed;
    if (p->open) {
        p->open = false;
        uv_close(&p->u.handle, on_handle_closed);
    } else {
        on_closed(p);
    }
}
