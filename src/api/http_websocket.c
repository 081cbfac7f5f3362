/* Happy path   http_websocket_accept: h2o writes the 101 and lets go of the request ->
 *              on_upgraded: the socket is ours -> on_ws_read hands bytes to websocket.h, and so
 *              messages to the handler -> ws_flush writes what there is to say -> on_ws_written.
 *              What a handler sends waits in ws_ready for the idle handle of the server: it may be
 *              inside a callback of this very WebSocket.
 * Failures     reading, writing or the protocol: ws_gone, which tells the handler, unless it has
 *              let go. A client that takes nothing: its queue is full, the connection is cut.
 * Close        http_websocket_close: a close frame; ws_gone when the client's comes, or the cut.
 */
#include "api/http_impl.h"

#include <stdlib.h>

#include "base/mem.h"

#include "base/banned.h"

enum { WS_WRITE_MAX = 64 * 1024 };

static void ws_gone(struct http_websocket *w)
{
    if (w->sock != NULL) {
        h2o_socket_close(w->sock);
    }
    w->conn->n_exchanges--;
    list_remove(&w->link);
    if (list_is_linked(&w->ready)) {
        list_remove(&w->ready);
    }
    websocket_free(w->frames);
    buf_release(&w->out);
    if (!w->closing) {
        w->events.on_closed(w->ctx);
    }
    free(w);
}

static void on_ws_written(h2o_socket_t *sock, const char *error);

/* w may be gone behind it. */
static void ws_flush(struct http_websocket *w)
{
    if (w->sock == NULL || h2o_socket_is_writing(w->sock)) {
        return;
    }
    buf_clear(&w->out);
    websocket_take(w->frames, &w->out);
    if (w->out.len > 0) {
        h2o_iovec_t bytes = {(char *)w->out.p, w->out.len};
        h2o_socket_write(w->sock, &bytes, 1, on_ws_written);
    } else if (websocket_is_over(w->frames)) {
        ws_gone(w);
    }
}

static void on_ws_written(h2o_socket_t *sock, const char *error)
{
    struct http_websocket *w = sock->data;
    if (error != NULL) {
        ws_gone(w);
    } else {
        ws_flush(w);
    }
}

static void on_ws_read(h2o_socket_t *sock, const char *error)
{
    struct http_websocket *w = sock->data;
    struct span bytes = span_of(sock->input->bytes, sock->input->size);
    if (error != NULL || !websocket_on_bytes(w->frames, bytes)) {
        ws_gone(w);
        return;
    }
    h2o_buffer_consume(&sock->input, bytes.n);
    ws_flush(w);
}

static void on_upgraded(void *ctx, h2o_socket_t *sock, size_t request_len)
{
    struct http_websocket *w = ctx;
    w->sock = sock;
    if (sock == NULL) {
        ws_gone(w);
        return;
    }
    sock->data = w;
    http_intake_upgraded(w->conn, request_len);
    http_conn_read(w->conn, on_ws_read);
    on_ws_read(sock, NULL);
}

static void ws_make_ready(struct http_websocket *w)
{
    if (!list_is_linked(&w->ready)) {
        list_add_tail(&w->server->ws_ready, &w->ready);
        http_wake(w->server);
    }
}

/* A handler that is told of an end may make others ready meanwhile. */
void http_websockets_flush(struct http_server *s)
{
    struct list *first;
    while ((first = list_first(&s->ws_ready)) != NULL) {
        list_remove(first);
        ws_flush(container_of(first, struct http_websocket, ready));
    }
}

static void on_ws_message(void *ctx, bool binary, struct span message)
{
    struct http_websocket *w = ctx;
    if (!w->closing) {
        w->events.on_message(w->ctx, binary, message);
    }
}

bool http_websocket_asked(const struct http_exchange *x, const struct http_request *req)
{
    struct span version;
    struct span key;
    char accept[WEBSOCKET_ACCEPT_LEN + 1];
    return x->req != NULL && !req->has_body && req->method == HTTP_GET && !x->head &&
           x->req->upgrade.base != NULL &&
           h2o_lcstris(x->req->upgrade.base, x->req->upgrade.len, H2O_STRLIT("websocket")) &&
           http_header(req, "sec-websocket-version", &version) && span_eq(version, SPAN("13")) &&
           http_header(req, "sec-websocket-key", &key) && websocket_accept_key(accept, key);
}

struct http_websocket *http_websocket_accept(struct http_exchange *x,
                                             const struct http_request *req, size_t max_message,
                                             const struct http_websocket_events *events, void *ctx)
{
    char accept[WEBSOCKET_ACCEPT_LEN + 1];
    struct span key;
    ASSERT(x->req != NULL && http_header(req, "sec-websocket-key", &key));
    ASSERT(websocket_accept_key(accept, key));
    struct http_websocket *w = mem_new(struct http_websocket);
    w->server = x->server;
    w->conn = x->conn;
    w->conn->n_exchanges++;
    w->events = *events;
    w->ctx = ctx;
    w->frames = websocket_new(max_message, on_ws_message, w);
    buf_init(&w->out, WS_WRITE_MAX);
    list_add_tail(&w->server->websockets, &w->link);
    http_add_header(x, "upgrade", SPAN("websocket"));
    http_add_header(x, "sec-websocket-accept", span_str(accept));
    http_set_head(x, 101, NULL);
    h2o_http1_upgrade(x->req, NULL, 0, on_upgraded, w);
    http_exchange_unref(x);
    return w;
}

void http_websocket_send(struct http_websocket *w, bool binary, struct span data)
{
    if (!websocket_send(w->frames, binary, data)) {
        http_conn_cut(w->conn);
    }
    ws_make_ready(w);
}

void http_websocket_set_max_message(struct http_websocket *w, size_t max_message)
{
    websocket_set_max_message(w->frames, max_message);
}

void http_websocket_close(struct http_websocket *w, int code)
{
    websocket_close(w->frames, (enum websocket_code)code);
    w->closing = true;
    w->cut_at_ms = uv_now(w->server->loop) + HTTP_CLOSE_MS;
    ws_make_ready(w);
}

void http_websockets_expire(struct http_server *s, uint64_t now_ms)
{
    LIST_FOREACH_SAFE (node, &s->websockets) {
        struct http_websocket *w = container_of(node, struct http_websocket, link);
        if (w->closing && w->cut_at_ms <= now_ms) {
            w->cut_at_ms = UINT64_MAX;
            http_conn_cut(w->conn);
        }
    }
}
