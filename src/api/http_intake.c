/* Happy path   http_intake_start -> (TLS handshake) -> await_head: h2o waits for a request, its
 *              callback for bytes becomes ours -> on_head_bytes: the head is complete; what it says
 *              about a body is kept and taken out of it, what came behind it goes into `ahead`, and
 *              h2o gets a request that has no body -> http.c asks cfg.admit ->
 *              http_intake_read_body -> (100 Continue) -> on_body_bytes -> the handler.
 *              http_intake_after_answer -> on_answer_sent: h2o waits for the next request ->
 *              await_head, which begins with what is in `ahead`.
 * Framing      is read here and nowhere else: h2o never has more than one head, and none of a body.
 * Failures     a head that is broken: reject, a plain 400 or 431. A body that is refused, broken,
 *              too large or stalled: the handler gets the status; what is unread stays unread.
 *              Client gone: h2o is told by its own callback, and closes.
 * Private      sock->_cb is where h2o keeps its callbacks; there is no other way in between.
 */
#include "api/http_impl.h"

#include "base/err.h"
#include "base/mem.h"

#include "base/banned.h"

enum { NEVER_MS = INT32_MAX }; /* for h2o's own timer; ours are all shorter */

static uint64_t stall_deadline_ms(const struct http_conn *conn)
{
    return uv_now(conn->server->loop) + conn->server->cfg.stall_ms;
}

static struct http_conn *conn_of(h2o_socket_t *sock)
{
    return sock->on_close.data;
}

static void swap_input(struct http_conn *conn)
{
    h2o_buffer_t *input = conn->sock->input;
    conn->sock->input = conn->ahead;
    conn->ahead = input;
}

/* Two things that h2o misses when there is TLS. "Nothing more at the moment" is no error; it comes
 * behind a read that just filled the buffer. And after an error, libuv refuses to write: the goodbye
 * on which h2o's closing waits is never reported. */
static void on_tls_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct http_conn *conn = container_of(stream, struct http_conn, tcp);
    if (n == 0) {
        return;
    }
    conn->tls_read(stream, n, buf);
    h2o_socket_t *sock = conn->sock;
    if (sock != NULL && h2o_socket_is_writing(sock) && !uv_is_writable(stream)) {
        h2o_socket_cb written = sock->_cb.write;
        sock->_cb.write = NULL;
        written(sock, h2o_socket_error_closed);
    }
}

/* Behind each start of reading. */
static void watch_tls_reads(struct http_conn *conn)
{
    if (conn->sock->ssl != NULL && conn->tcp.read_cb != on_tls_read) {
        conn->tls_read = conn->tcp.read_cb;
        conn->tcp.read_cb = on_tls_read;
    }
}

void http_conn_read(struct http_conn *conn, h2o_socket_cb on_bytes)
{
    h2o_socket_read_start(conn->sock, on_bytes);
    watch_tls_reads(conn);
}

/* ---- heads ------------------------------------------------------------------------------- */

static void on_rejected(h2o_socket_t *sock, const char *err)
{
    struct http_conn *conn = conn_of(sock);
    (void)err;
    http_conn_linger(conn);
    conn->h2o_read(sock, "rejected");
}

/* There is no request yet that the handler could answer. */
static void reject(struct http_conn *conn, bool too_long)
{
    static const char malformed[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
                                    "Content-Type: text/plain; charset=utf-8\r\n"
                                    "Content-Length: 33\r\n\r\nthe head of the request is broken";
    static const char limit[] = "HTTP/1.1 431 Request Header Fields Too Large\r\n"
                                "Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"
                                "Content-Length: 35\r\n\r\nthe head of the request is too long";
    h2o_iovec_t answer = too_long ? h2o_iovec_init(limit, sizeof limit - 1)
                                  : h2o_iovec_init(malformed, sizeof malformed - 1);
    conn->deadline_ms = stall_deadline_ms(conn);
    h2o_socket_read_stop(conn->sock);
    h2o_socket_write(conn->sock, &answer, 1, on_rejected);
}

static enum http_expectation expectation_of(const struct http1_request *req)
{
    struct span value;
    size_t at = 0;
    if (req->minor == 0 || !http1_next_value(req, "expect", &at, &value)) {
        return HTTP_EXPECTS_NOTHING;
    }
    return h2o_lcstris((const char *)value.p, value.n, H2O_STRLIT("100-continue"))
               ? HTTP_EXPECTS_CONTINUE
               : HTTP_EXPECTS_UNKNOWN;
}

static void hand_over(struct http_conn *conn, const struct http1_request *req, size_t head_len)
{
    h2o_buffer_t *input = conn->sock->input;
    size_t n = input->size - head_len;
    ASSERT(conn->ahead->size == 0);
    if (n > 0) {
        memcpy(h2o_buffer_reserve(&conn->ahead, n).base, input->bytes + head_len, n);
        conn->ahead->size = n;
    }
    input->size = http1_head_without_body((uint8_t *)input->bytes, head_len, req);
    conn->deadline_ms = UINT64_MAX;
    conn->handed_over = true;
    conn->h2o_read(conn->sock, NULL);
}

static void on_head_bytes(h2o_socket_t *sock, const char *err)
{
    struct http_conn *conn = conn_of(sock);
    struct http1_request req;
    const char *why;
    if (err != NULL) {
        conn->h2o_read(sock, err);
        return;
    }
    if (!conn->in_head && sock->input->size > 0) {
        conn->in_head = true;
        conn->deadline_ms = stall_deadline_ms(conn);
    }
    ssize_t n = http1_request_decode(&req, span_of(sock->input->bytes, sock->input->size), &why);
    if (n > 0 && http1_body_begin(&conn->framing, &req, &why) < 0) {
        n = ERR_MALFORMED;
    }
    if (n < 0) {
        reject(conn, n == ERR_LIMIT);
    } else if (n > 0) {
        conn->expectation = expectation_of(&req);
        hand_over(conn, &req, (size_t)n);
    }
}

/* Unless h2o has begun to close the connection. */
static void await_head(struct http_conn *conn)
{
    h2o_socket_t *sock = conn->sock;
    if (sock == NULL || !h2o_socket_is_reading(sock)) {
        return;
    }
    ASSERT(sock->input->size == 0);
    conn->h2o_read = sock->_cb.read;
    sock->_cb.read = on_head_bytes;
    watch_tls_reads(conn);
    conn->in_head = false;
    conn->deadline_ms = stall_deadline_ms(conn);
    if (conn->ahead->size > 0) {
        swap_input(conn);
        on_head_bytes(sock, NULL);
    }
}

static void on_answer_sent(h2o_socket_t *sock, const char *err)
{
    struct http_conn *conn = conn_of(sock);
    conn->h2o_written(sock, err);
    await_head(conn);
}

void http_intake_after_answer(struct http_conn *conn)
{
    h2o_socket_t *sock = conn->sock;
    if (sock != NULL && h2o_socket_is_writing(sock)) {
        conn->h2o_written = sock->_cb.write;
        sock->_cb.write = on_answer_sent;
    } else {
        await_head(conn);
    }
}

/* ---- bodies ------------------------------------------------------------------------------ */

bool http_intake_has_body(const struct http_conn *conn)
{
    return conn->framing.state != HTTP1_BODY_COMPLETE;
}

/* returns the exchange, whose handler still has to be called, or let go of for it. */
static struct http_exchange *end_body(struct http_conn *conn)
{
    struct http_exchange *x = conn->reading;
    if (h2o_socket_is_reading(conn->sock)) {
        h2o_socket_read_stop(conn->sock);
        swap_input(conn);
    }
    conn->reading = NULL;
    conn->deadline_ms = UINT64_MAX;
    return x;
}

static void body_failed(struct http_conn *conn, int status)
{
    struct http_exchange *x = end_body(conn);
    buf_release(&conn->body);
    http_exchange_refuse(x, status);
}

static void body_complete(struct http_conn *conn)
{
    struct http_exchange *x = end_body(conn);
    struct buf body = conn->body;
    buf_init(&conn->body, 0);
    x->body_unread = false;
    http_exchange_serve(x, buf_span(&body));
    buf_release(&body);
}

static void client_gone(struct http_conn *conn, const char *err)
{
    struct http_exchange *x = end_body(conn);
    conn->h2o_read(conn->sock, err);
    http_exchange_unref(x);
}

/* returns 0, or the status for a body that cannot be had. */
static int take_content(struct http_conn *conn)
{
    h2o_socket_t *sock = conn->sock;
    struct span rest = span_of(sock->input->bytes, sock->input->size);
    ssize_t n = 1;
    while (n > 0 && !conn->body.bad) {
        struct span content;
        const char *why;
        n = http1_body_decode(&conn->framing, rest, &content, &why);
        if (n > 0) {
            buf_add(&conn->body, content);
            rest = span_sub(rest, (size_t)n, rest.n);
        }
    }
    h2o_buffer_consume(&sock->input, sock->input->size - rest.n);
    return n < 0 ? 400 : conn->body.bad ? 413 : 0;
}

static void on_body_bytes(h2o_socket_t *sock, const char *err)
{
    struct http_conn *conn = conn_of(sock);
    if (err != NULL) {
        client_gone(conn, err);
        return;
    }
    conn->deadline_ms = stall_deadline_ms(conn);
    int status = take_content(conn);
    if (status != 0) {
        body_failed(conn, status);
    } else if (!http_intake_has_body(conn)) {
        body_complete(conn);
    }
}

/* The head stays in memory, h2o's request points into it. */
static void read_body(struct http_conn *conn)
{
    swap_input(conn);
    http_conn_read(conn, on_body_bytes);
    on_body_bytes(conn->sock, NULL);
}

static void on_continue_sent(h2o_socket_t *sock, const char *err)
{
    if (err != NULL) {
        client_gone(conn_of(sock), err);
    } else {
        read_body(conn_of(sock));
    }
}

void http_intake_read_body(struct http_exchange *x, uint64_t max_len)
{
    struct http_conn *conn = x->conn;
    if (conn->expectation == HTTP_EXPECTS_UNKNOWN) {
        http_exchange_refuse(x, 417);
        return;
    }
    if (conn->framing.state == HTTP1_BODY_LENGTH && conn->framing.left > max_len) {
        http_exchange_refuse(x, 413);
        return;
    }
    conn->reading = x;
    conn->deadline_ms = stall_deadline_ms(conn);
    buf_init(&conn->body, (size_t)max_len);
    if (conn->expectation == HTTP_EXPECTS_CONTINUE) {
        h2o_iovec_t go_on = {H2O_STRLIT("HTTP/1.1 100 Continue\r\n\r\n")};
        h2o_socket_write(conn->sock, &go_on, 1, on_continue_sent);
    } else {
        read_body(conn);
    }
}

/* ---- connections ------------------------------------------------------------------------- */

static void on_sock_closed(void *data)
{
    struct http_conn *conn = data;
    conn->sock = NULL;
}

static void serve(struct http_conn *conn)
{
    struct http_server *s = conn->server;
    swap_input(conn); /* what came with the end of the handshake */
    h2o_http1_accept(&s->accept, conn->sock, *h2o_get_timestamp(&s->h2o, NULL, NULL));
    await_head(conn);
}

static void on_handshake(h2o_socket_t *sock, const char *err)
{
    if (err != NULL) {
        h2o_socket_close(sock);
    } else {
        serve(conn_of(sock));
    }
}

void http_intake_configure(struct http_server *s)
{
    s->globalconf.http1.req_timeout = NEVER_MS;
    s->globalconf.http1.upgrade_to_http2 = 0;
}

void http_intake_start(struct http_conn *conn, uv_close_cb closed)
{
    conn->sock = h2o_uv_socket_create((uv_stream_t *)&conn->tcp, closed);
    conn->sock->on_close.cb = on_sock_closed;
    conn->sock->on_close.data = conn;
    conn->deadline_ms = stall_deadline_ms(conn);
    h2o_buffer_init(&conn->ahead, &h2o_socket_buffer_prototype);
    if (conn->server->tls != NULL) {
        h2o_socket_ssl_handshake(conn->sock, conn->server->tls, NULL, on_handshake);
    } else {
        serve(conn);
    }
}

void http_intake_upgraded(struct http_conn *conn, size_t head_len)
{
    h2o_buffer_consume(&conn->sock->input, head_len);
    ASSERT(conn->sock->input->size == 0);
    swap_input(conn);
}

void http_intake_expire(struct http_conn *conn, uint64_t now_ms)
{
    if (conn->deadline_ms > now_ms) {
        return;
    }
    if (conn->reading != NULL && h2o_socket_is_reading(conn->sock)) {
        body_failed(conn, 408);
    } else {
        conn->deadline_ms = UINT64_MAX;
        http_conn_cut(conn);
    }
}

void http_intake_stop(struct http_conn *conn)
{
    if (conn->reading != NULL && h2o_socket_is_reading(conn->sock)) {
        body_failed(conn, 503);
    }
}

void http_intake_release(struct http_conn *conn)
{
    h2o_buffer_dispose(&conn->ahead);
    buf_release(&conn->body);
}
