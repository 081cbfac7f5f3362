/* Happy path   accept -> http_intake.c has h2o read a head -> on_req makes an exchange and asks
 *              cfg.admit -> the body, http_intake.c -> the handler -> http_reply: h2o sends it; or
 *              http_stream.c: a slice at a time.
 *              h2o disposes of the request -> on_req_gone: the exchange is cut from it.
 * Failures     a request that was not admitted, or whose body is refused: the connection ends
 *              behind the answer, and lingers, since its client may still be sending.
 *              Client gone: h2o disposes of the request whenever it notices (at the next write; it
 *              does not read while a request is being answered).
 *              Client takes nothing for stall_ms: on_tick shuts the socket down, the write fails.
 * WebSocket    the connection of an exchange becomes one: http_websocket.c.
 * Close        listeners at once; idle connections at once; the others when answered, or after
 *              HTTP_CLOSE_MS: an unanswered exchange gets 503, a stream is broken off, all sockets
 *              are shut down. h2o then closes each connection itself.
 * At the end   no connection, exchange, WebSocket or linger is left; then h2o's context goes, then
 *              our handles.
 */
#include "api/http.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "api/http_bind.h"
#include "api/http_impl.h"
#include "api/http_reason.h"
#include "base/mem.h"
#include "net/tls.h"
#include "net/uv_err.h"

#include "base/banned.h"

enum {
    BACKLOG = 128,
    TICK_MS = 500,
    CLOSING_TICK_MS = 20,
};

struct handler {
    h2o_handler_t super;
    struct http_server *server;
};

/* ---- exchanges --------------------------------------------------------------------------- */

void http_exchange_unref(struct http_exchange *x)
{
    if (--x->n_refs == 0) {
        free(x);
    }
}

/* h2o's request is going: by a dispose callback of its memory pool. */
static void on_req_gone(void *pool_chunk)
{
    struct http_exchange *x = *(struct http_exchange **)pool_chunk;
    list_remove(&x->link);
    if (list_is_linked(&x->ready)) {
        list_remove(&x->ready);
    }
    x->conn->n_exchanges--;
    x->req = NULL;
    x->server = NULL;
    x->conn = NULL;
    http_stream_release(x);
    buf_release(&x->out);
    http_exchange_unref(x);
}

static struct http_conn *conn_of(h2o_req_t *req)
{
    return req->conn->callbacks->get_socket(req->conn)->on_close.data;
}

static struct http_exchange *exchange_new(struct http_server *s, h2o_req_t *req)
{
    struct http_exchange *x = mem_new(struct http_exchange);
    x->generator = (h2o_generator_t){.proceed = http_stream_on_proceed};
    x->req = req;
    x->server = s;
    x->conn = conn_of(req);
    x->head = h2o_memis(req->input.method.base, req->input.method.len, H2O_STRLIT("HEAD"));
    x->has_body = http_intake_has_body(x->conn);
    x->body_unread = x->has_body;
    x->n_refs = 2;
    buf_init(&x->out, HTTP_SLICE_MAX);
    list_add_tail(&s->exchanges, &x->link);
    x->conn->n_exchanges++;
    struct http_exchange **chunk = h2o_mem_alloc_shared(&req->pool, sizeof(x), on_req_gone);
    *chunk = x;
    return x;
}

static enum http_method method_of(h2o_iovec_t text)
{
    static const struct {
        const char *name;
        enum http_method method;
    } names[] = {{"GET", HTTP_GET}, {"HEAD", HTTP_HEAD},     {"POST", HTTP_POST},
                 {"PUT", HTTP_PUT}, {"DELETE", HTTP_DELETE}, {"OPTIONS", HTTP_OPTIONS}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (span_eq(span_of(text.base, text.len), span_str(names[i].name))) {
            return names[i].method;
        }
    }
    return HTTP_OTHER;
}

static struct http_request request_of(const struct http_exchange *x)
{
    h2o_req_t *req = x->req;
    struct http_request r = {
        .method = method_of(req->input.method), .has_body = x->has_body, .headers = &req->headers};
    r.path = span_cut(span_of(req->input.path.base, req->input.path.len), '?', &r.query);
    r.host = span_of(req->input.authority.base, req->input.authority.len);
    struct sockaddr_storage ss;
    struct endpoint peer = {.port = 0};
    if (req->conn->callbacks->get_peername(req->conn, (struct sockaddr *)&ss) > 0) {
        (void)endpoint_from_sockaddr(&peer, (struct sockaddr *)&ss);
    }
    r.peer = peer.addr;
    return r;
}

void http_exchange_serve(struct http_exchange *x, struct span body)
{
    struct http_server *s = x->server;
    struct http_request r = request_of(x);
    r.body = body;
    s->cfg.handler(s->cfg.ctx, &r, x);
}

void http_exchange_refuse(struct http_exchange *x, int status)
{
    struct http_server *s = x->server;
    struct http_request r = request_of(x);
    r.refused_status = status;
    s->cfg.handler(s->cfg.ctx, &r, x);
}

static int on_req(h2o_handler_t *self, h2o_req_t *req)
{
    struct http_server *s = container_of(self, struct handler, super)->server;
    struct http_exchange *x = exchange_new(s, req);
    struct http_request r = request_of(x);
    uint64_t max_len = 0;
    ASSERT(x->conn->handed_over);
    x->conn->handed_over = false;
    s->stats.requests_total++;
    if (!s->cfg.admit(s->cfg.ctx, &r, x, &max_len)) {
        return 0; /* x may be gone */
    }
    if (x->body_unread) {
        http_intake_read_body(x, max_len);
    } else {
        http_exchange_serve(x, span_of(NULL, 0));
    }
    return 0;
}

/* ---- answering --------------------------------------------------------------------------- */

void http_set_head(struct http_exchange *x, int status, const char *content_type)
{
    h2o_req_t *req = x->req;
    req->res.status = status;
    req->res.reason = http_reason(status);
    if (content_type != NULL) {
        h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("content-type"), 1, NULL,
                              content_type, strlen(content_type));
    }
    if (x->server->closing || x->body_unread) {
        req->http1_is_persistent = 0;
    }
    if (x->body_unread) {
        http_conn_linger(x->conn);
    }
    x->answered = true;
    x->sent_ms = uv_now(x->server->loop);
}

void http_send(struct http_exchange *x, h2o_iovec_t bytes, h2o_send_state_t state)
{
    struct http_conn *conn = x->conn;
    h2o_send(x->req, &bytes, x->head || bytes.len == 0 ? 0 : 1, state);
    if (state != H2O_SEND_STATE_IN_PROGRESS) {
        http_intake_after_answer(conn);
    }
}

static void reply_now(struct http_exchange *x, int status, const char *content_type,
                      struct span body)
{
    h2o_req_t *req = x->req;
    http_set_head(x, status, content_type);
    h2o_iovec_t copy = {NULL, body.n};
    if (body.n > 0) {
        copy.base = h2o_mem_alloc_pool(&req->pool, body.n);
        memcpy(copy.base, body.p, body.n);
    }
    req->res.content_length = status == 204 ? SIZE_MAX : body.n;
    h2o_start_response(req, &x->generator);
    http_send(x, copy, H2O_SEND_STATE_FINAL);
}

void http_add_header(struct http_exchange *x, const char *name, struct span value)
{
    if (x->req == NULL || x->answered) {
        return;
    }
    h2o_mem_pool_t *pool = &x->req->pool;
    h2o_iovec_t n = h2o_strdup(pool, name, SIZE_MAX);
    h2o_iovec_t v = h2o_strdup(pool, (const char *)value.p, value.n);
    h2o_add_header_by_str(pool, &x->req->res.headers, n.base, n.len, 1, NULL, v.base, v.len);
}

void http_reply(struct http_exchange *x, int status, const char *content_type, struct span body)
{
    if (x->req != NULL && !x->answered) {
        reply_now(x, status, content_type, body);
    }
    http_exchange_unref(x);
}

bool http_header(const struct http_request *req, const char *name, struct span *value)
{
    const h2o_headers_t *headers = req->headers;
    for (size_t i = 0; i < headers->size; i++) {
        const h2o_header_t *h = &headers->entries[i];
        if (span_eq(span_of(h->name->base, h->name->len), span_str(name))) {
            *value = span_of(h->value.base, h->value.len);
            return true;
        }
    }
    return false;
}

/* ---- connections ------------------------------------------------------------------------- */

static void close_step(struct http_server *s);

static void on_conn_closed(uv_handle_t *handle)
{
    struct http_conn *conn = container_of(handle, struct http_conn, tcp);
    struct http_server *s = conn->server;
    list_remove(&conn->link);
    http_intake_release(conn);
    s->stats.connections--;
    if (conn->linger_fd >= 0 && s->closing) {
        close(conn->linger_fd);
    } else if (conn->linger_fd >= 0) {
        linger_add(&s->lingers, conn->linger_fd, uv_now(s->loop));
    }
    free(conn);
    close_step(s);
}

static void on_refused_closed(uv_handle_t *handle)
{
    free(container_of(handle, struct http_conn, tcp));
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct http_server *s = listener->data;
    if (status < 0) {
        return;
    }
    struct http_conn *conn = mem_new(struct http_conn);
    conn->server = s;
    conn->linger_fd = -1;
    bool full = s->stats.connections >= s->cfg.max_connections;
    if (uv_tcp_init(s->loop, &conn->tcp) != 0) {
        free(conn);
        return;
    }
    if (uv_accept(listener, (uv_stream_t *)&conn->tcp) != 0 || full) {
        s->stats.connections_refused += full;
        uv_close((uv_handle_t *)&conn->tcp, on_refused_closed);
        return;
    }
    (void)uv_tcp_nodelay(&conn->tcp, 1);
    s->stats.connections++;
    s->stats.connections_total++;
    list_add_tail(&s->conns, &conn->link);
    http_intake_start(conn, on_conn_closed);
}

/* h2o sees an end of file or a failed write, and closes the connection by itself. */
void http_conn_cut(struct http_conn *conn)
{
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)&conn->tcp, &fd) == 0) {
        (void)shutdown(fd, SHUT_RDWR);
    }
}

void http_conn_linger(struct http_conn *conn)
{
    uv_os_fd_t fd;
    if (conn->linger_fd < 0 && uv_fileno((uv_handle_t *)&conn->tcp, &fd) == 0) {
        conn->linger_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    }
}

static void cut_stalled(struct http_server *s, uint64_t now_ms)
{
    LIST_FOREACH_SAFE (node, &s->exchanges) {
        struct http_exchange *x = container_of(node, struct http_exchange, link);
        if (x->sent_ms != 0 && now_ms - x->sent_ms > s->cfg.stall_ms) {
            x->sent_ms = now_ms;
            s->stats.stalled_total++;
            http_conn_cut(x->conn);
        }
    }
    LIST_FOREACH_SAFE (node, &s->conns) {
        http_intake_expire(container_of(node, struct http_conn, link), now_ms);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct http_server *s = timer->data;
    uint64_t now_ms = uv_now(s->loop);
    if (s->closing) {
        close_step(s);
    } else {
        cut_stalled(s, now_ms);
        http_websockets_expire(s, now_ms);
        linger_expire(&s->lingers, now_ms);
    }
}

/* ---- close ------------------------------------------------------------------------------- */

static void on_last_closed(uv_handle_t *handle)
{
    struct http_server *s = handle->data;
    void (*closed)(void *ctx) = s->closed;
    void *ctx = s->closed_ctx;
    free(s->listeners);
    free(s->addresses.at);
    free(s);
    if (closed != NULL) {
        closed(ctx);
    }
}

/* h2o's timers are members of its context and close without a callback, in the same turn as our
 * handles or before: one more turn, and s may be freed. */
static void on_handle_closed(uv_handle_t *handle)
{
    struct http_server *s = handle->data;
    if (--s->open_handles == 0) {
        uv_close((uv_handle_t *)&s->last, on_last_closed);
    }
}

static void dispose_h2o(struct http_server *s)
{
    /* h2o_context_dispose ends with uv_run(ctx->loop), and we are inside a callback of that loop:
     * it gets an empty one to run. Everything it closes remembers its own loop. */
    uv_loop_t empty;
    ASSERT(uv_loop_init(&empty) == 0);
    s->h2o.loop = &empty;
    h2o_context_dispose(&s->h2o);
    ASSERT(uv_loop_close(&empty) == 0);
    h2o_config_dispose(&s->globalconf);
    SSL_CTX_free(s->tls);
}

static void cut_everything(struct http_server *s)
{
    LIST_FOREACH_SAFE (node, &s->conns) {
        http_intake_stop(container_of(node, struct http_conn, link));
    }
    LIST_FOREACH_SAFE (node, &s->exchanges) {
        struct http_exchange *x = container_of(node, struct http_exchange, link);
        x->broken = true;
        if (!x->answered && x->conn->reading != x) {
            reply_now(x, 503, NULL, SPAN(""));
        }
    }
}

static void close_step(struct http_server *s)
{
    if (!s->closing || s->disposed) {
        return;
    }
    bool late = uv_now(s->loop) >= s->close_deadline_ms;
    if (late) {
        cut_everything(s);
    }
    LIST_FOREACH_SAFE (node, &s->conns) {
        struct http_conn *conn = container_of(node, struct http_conn, link);
        if (late || conn->n_exchanges == 0) {
            http_conn_cut(conn);
        }
    }
    if (list_is_empty(&s->conns) && s->lingers.n == 0) {
        s->disposed = true;
        dispose_h2o(s);
        uv_close((uv_handle_t *)&s->tick, on_handle_closed);
        uv_close((uv_handle_t *)&s->idle, on_handle_closed);
    }
}

static void on_lingers_emptied(void *ctx)
{
    close_step(ctx);
}

void http_close(struct http_server *s, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(!s->closing);
    s->closing = true;
    s->closed = closed;
    s->closed_ctx = ctx;
    s->close_deadline_ms = uv_now(s->loop) + HTTP_CLOSE_MS;
    s->h2o.shutdown_requested = 1; /* h2o: no keep-alive for requests that come now */
    for (size_t i = 0; i < s->n_listeners; i++) {
        uv_close((uv_handle_t *)&s->listeners[i], on_handle_closed);
    }
    linger_expire(&s->lingers, UINT64_MAX);
    uv_timer_start(&s->tick, on_tick, 0, CLOSING_TICK_MS);
}

/* ---- open -------------------------------------------------------------------------------- */

static int start_listener(struct http_server *s, int fd)
{
    uv_tcp_t *l = &s->listeners[s->n_listeners];
    int status = uv_tcp_init(s->loop, l);
    if (status != 0) {
        close(fd);
        return err_from_uv(status);
    }
    s->n_listeners++;
    s->open_handles++;
    l->data = s;
    status = uv_tcp_open(l, fd);
    if (status != 0) {
        close(fd);
        return err_from_uv(status);
    }
    status = uv_listen((uv_stream_t *)l, BACKLOG, on_connection);
    return status == 0 ? 0 : err_from_uv(status);
}

static void start_h2o(struct http_server *s)
{
    h2o_config_init(&s->globalconf);
    s->globalconf.server_name = h2o_iovec_init(H2O_STRLIT("rookery"));
    http_intake_configure(s);
    h2o_hostconf_t *host =
        h2o_config_register_host(&s->globalconf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *all = &host->fallback_path;
    all->error_log.emit_request_errors = 0;
    struct handler *handler = (void *)h2o_create_handler(all, sizeof *handler);
    handler->super.on_req = on_req;
    handler->server = s;
    h2o_context_init(&s->h2o, s->loop, &s->globalconf);
    s->accept = (h2o_accept_ctx_t){.ctx = &s->h2o, .hosts = s->globalconf.hosts};
}

static void start_handles(struct http_server *s)
{
    list_init(&s->conns);
    list_init(&s->exchanges);
    list_init(&s->ready);
    list_init(&s->websockets);
    list_init(&s->ws_ready);
    linger_init(&s->lingers, s->loop, on_lingers_emptied, s);
    s->idle.data = s;
    s->tick.data = s;
    s->last.data = s;
    s->open_handles = 2;
    uv_idle_init(s->loop, &s->idle);
    uv_timer_init(s->loop, &s->tick);
    uv_timer_init(s->loop, &s->last);
    uint64_t tick_ms = s->cfg.stall_ms / 4 < TICK_MS ? s->cfg.stall_ms / 4 + 1 : TICK_MS;
    uv_timer_start(&s->tick, on_tick, tick_ms, tick_ms);
}

int http_open(struct http_server **out, uv_loop_t *loop, const struct http_cfg *cfg, struct err *e)
{
    struct http_server *s = mem_new(struct http_server);
    int *fds = mem_array(cfg->listen->n + 1, sizeof *fds);
    int status = 0;
    s->loop = loop;
    s->cfg = *cfg;
    s->addresses.at = mem_array(cfg->listen->n + 1, sizeof *s->addresses.at);
    s->listeners = mem_array(cfg->listen->n + 1, sizeof *s->listeners);
    if (cfg->tls_certificate[0] != '\0' || cfg->tls_key[0] != '\0') {
        status = tls_context_load(&s->tls, cfg->tls_certificate, cfg->tls_key, e);
        if (status < 0) {
            err_wrap(e, "api.tls");
        }
    }
    if (status == 0) {
        status = http_bind(cfg->listen, fds, &s->addresses, e);
    }
    if (status < 0) {
        SSL_CTX_free(s->tls);
        free(s->addresses.at);
        free(s->listeners);
        free(s);
        free(fds);
        return status;
    }
    start_handles(s);
    start_h2o(s);
    status = 0;
    for (size_t i = 0; i < s->addresses.n; i++) {
        status = start_listener(s, fds[i]);
        if (status < 0) {
            http_bind_close(fds + i + 1, s->addresses.n - i - 1);
            break;
        }
    }
    free(fds);
    if (status < 0) {
        http_close(s, NULL, NULL); /* frees s some turns of the loop later */
        return err_set(e, status, "api.listen: %s", err_text(status));
    }
    *out = s;
    return 0;
}

const struct endpoint_list *http_addresses(const struct http_server *s)
{
    return &s->addresses;
}

void http_stats(const struct http_server *s, struct http_stats *out)
{
    *out = s->stats;
}
