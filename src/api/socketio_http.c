/* Happy path   sio_http_admit: page and token checked -> eio_on_*, for a POST in sio_http_on_post
 *              when its body is here -> drain: what the engine says
 *              is done (answers, frames), what clients say goes to sio_on_message, and what that
 *              finds to sio_calls_run or, for a CONNECT, to the token check.
 * Failures     a request that is refused gets the protocol's own {"code", "message"}.
 * Draining     behind every input, until nothing comes out; what runs inside of drain and has more
 *              to say leaves it to the loop there.
 * Links        of the engine: an exchange for a GET, a struct link for a WebSocket. A link is freed
 *              when its WebSocket is gone or was given back by EIO_OUT_CUT, whichever comes first.
 * At the end   no session, so no exchange and no link; the timer and the calls' handle are closed.
 */
#include "api/socketio_http.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/gate.h"
#include "api/json_fields.h"
#include "api/query.h"
#include "api/socketio_calls.h"
#include "api/socketio_push.h"
#include "api/websocket.h"
#include "base/base64.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

#include "base/banned.h"

enum { SID_BYTES = EIO_SID_LEN / 4 * 3 };

struct sio_http {
    uv_loop_t *loop;
    const struct api_env *env;
    struct eio *eio;
    struct sio *sio;
    struct sio_calls *calls;
    struct sio_push *push;
    uv_timer_t timer;
    size_t open_parts;
    bool draining;
    bool stopped;
    enum sio_trust trust; /* of the session that is being opened */
    struct addr peer;
    uint64_t refused[SIO_N_REFUSALS];
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct link {
    struct sio_http *h;
    struct http_websocket *ws;
    struct eio_sid sid;
};

static struct span sid_span(const struct eio_sid *sid)
{
    return span_of(sid->text, EIO_SID_LEN);
}

/* Not to be guessed: it is as good as a token. */
static struct eio_sid random_sid(void)
{
    uint8_t bytes[SID_BYTES];
    struct eio_sid sid = {.text = ""};
    struct buf text;
    digest_random(bytes, sizeof bytes);
    buf_init(&text, EIO_SID_LEN);
    base64url_add(&text, span_of(bytes, sizeof bytes));
    ASSERT(text.len == EIO_SID_LEN);
    memcpy(sid.text, text.p, text.len);
    buf_release(&text);
    return sid;
}

/* ---- draining ---------------------------------------------------------------------------- */

static size_t max_message(const struct sio_http *h)
{
    return (size_t)h->env->parts.cfg->api.max_body;
}

static void accept_client(struct sio_http *h, struct span sid)
{
    struct eio_sid socket_id = random_sid();
    void *links[2];
    sio_connect(h->sio, sid, sid_span(&socket_id));
    for (size_t n = eio_websockets(h->eio, sid, links); n > 0; n--) {
        http_websocket_set_max_message(((struct link *)links[n - 1])->ws, max_message(h));
    }
}

/* The token of a CONNECT. One that is too long to be decoded is wrong as it stands. */
static enum auth_result check_connect(struct sio_http *h, const struct sio_event *event)
{
    uint32_t ignored = 0;
    struct buf text;
    if (event->token.p == NULL) {
        return event->trust == SIO_TRUST_LOCAL ? AUTH_OK : AUTH_MISSING;
    }
    buf_init(&text, QUERY_VALUE_MAX);
    bool decoded = json_string_decode(&text, event->token);
    enum auth_result result = auth_check(h->env->auth, decoded ? buf_span(&text) : event->token,
                                         SPAN(""), &event->peer, uv_now(h->loop), &ignored);
    buf_release(&text);
    return result;
}

static void on_wants_connect(struct sio_http *h, struct span sid, const struct sio_event *event)
{
    if (event->trust == SIO_TRUST_TOKEN || check_connect(h, event) == AUTH_OK) {
        accept_client(h, sid);
    } else {
        h->refused[SIO_REFUSED_TOKEN]++;
        sio_refuse(h->sio, sid, "unauthorized");
    }
}

static void on_message(struct sio_http *h, const struct eio_out *out)
{
    struct sio_event event;
    switch (sio_on_message(h->sio, sid_span(&out->sid), out->binary, out->data, &event,
                           uv_now(h->loop))) {
    case SIO_NOTHING:
        break;
    case SIO_WANTS_CONNECT:
        on_wants_connect(h, sid_span(&out->sid), &event);
        break;
    case SIO_COMMAND:
        sio_calls_run(h->calls, sid_span(&out->sid), &event);
        break;
    }
}

static void cut_link(struct sio_http *h, struct link *link, bool bad)
{
    http_websocket_close(link->ws, bad          ? WEBSOCKET_PROTOCOL_ERROR
                                   : h->stopped ? WEBSOCKET_GOING_AWAY
                                                : WEBSOCKET_NORMAL);
    free(link);
}

static void on_opened(struct sio_http *h, const struct eio_out *out)
{
    const struct sio_opening opening = {
        .sid = out->sid, .version = out->version, .trust = h->trust, .peer = h->peer};
    sio_on_open(h->sio, &opening, uv_now(h->loop));
}

static void do_out(struct sio_http *h, const struct eio_out *out)
{
    switch (out->type) {
    case EIO_OUT_ANSWER:
        http_reply(out->link, 200, "text/plain; charset=UTF-8", out->data);
        break;
    case EIO_OUT_SEND:
        http_websocket_send(((struct link *)out->link)->ws, out->binary, out->data);
        break;
    case EIO_OUT_CUT:
        cut_link(h, out->link, out->bad);
        break;
    case EIO_OUT_OPENED:
        on_opened(h, out);
        break;
    case EIO_OUT_MESSAGE:
        on_message(h, out);
        break;
    case EIO_OUT_CLOSED:
        log_debug(LOG_API, "socket.io session ended", KV_STR("why", out->why));
        sio_on_closed(h->sio, sid_span(&out->sid));
        break;
    }
}

static void on_timer(uv_timer_t *timer);

static void arm(struct sio_http *h)
{
    uint64_t now_ms = uv_now(h->loop);
    uint64_t at_ms = eio_next_deadline_ms(h->eio);
    uint64_t others_ms[] = {sio_next_deadline_ms(h->sio), sio_push_next_deadline_ms(h->push)};
    for (size_t i = 0; i < sizeof others_ms / sizeof others_ms[0]; i++) {
        at_ms = others_ms[i] < at_ms ? others_ms[i] : at_ms;
    }
    if (at_ms == UINT64_MAX || h->stopped) {
        uv_timer_stop(&h->timer);
    } else {
        uv_timer_start(&h->timer, on_timer, at_ms > now_ms ? at_ms - now_ms : 0, 0);
    }
}

static void drain(struct sio_http *h)
{
    struct eio_out out;
    if (h->draining) {
        return;
    }
    h->draining = true;
    while (eio_next_out(h->eio, &out)) {
        do_out(h, &out);
    }
    h->draining = false;
    arm(h);
}

static void on_timer(uv_timer_t *timer)
{
    struct sio_http *h = timer->data;
    uint64_t now_ms = uv_now(h->loop);
    eio_on_deadline(h->eio, now_ms);
    sio_on_deadline(h->sio, now_ms);
    if (sio_push_next_deadline_ms(h->push) <= now_ms) {
        sio_push_on_deadline(h->push, now_ms);
    }
    drain(h);
}

static void on_answered(void *ctx)
{
    drain(ctx);
}

/* ---- WebSockets -------------------------------------------------------------------------- */

static void on_ws_message(void *ctx, bool binary, struct span message)
{
    struct link *link = ctx;
    struct sio_http *h = link->h;
    struct eio_sid sid = link->sid;
    eio_on_frame(h->eio, sid_span(&sid), link, binary, message, uv_now(h->loop));
    drain(h);
}

static void on_ws_closed(void *ctx)
{
    struct link *link = ctx;
    struct sio_http *h = link->h;
    eio_on_gone(h->eio, sid_span(&link->sid), link);
    free(link);
    drain(h);
}

static struct link *link_new(struct sio_http *h, const struct eio_sid *sid, bool trusted,
                             const struct http_request *req, struct http_exchange *x)
{
    static const struct http_websocket_events events = {on_ws_message, on_ws_closed};
    struct link *link = mem_new(struct link);
    link->h = h;
    link->sid = *sid;
    link->ws =
        http_websocket_accept(x, req, trusted ? max_message(h) : SIO_STRANGER_BYTES, &events, link);
    return link;
}

/* ---- requests ---------------------------------------------------------------------------- */

static void refuse(struct http_exchange *x, int status, int code, const char *message)
{
    char text[128];
    int n = snprintf(text, sizeof text, "{\"code\":%d,\"message\":\"%s\"}", code, message);
    http_reply(x, status, JSON_TYPE, span_of(text, (size_t)n));
}

static void refuse_fault(struct http_exchange *x, enum eio_fault fault)
{
    static const char *const messages[EIO_FAULT_NONE] = {
        [EIO_FAULT_TRANSPORT] = "Transport unknown",
        [EIO_FAULT_SID] = "Session ID unknown",
        [EIO_FAULT_METHOD] = "Bad handshake method",
        [EIO_FAULT_REQUEST] = "Bad request",
        [EIO_FAULT_FORBIDDEN] = "Forbidden",
        [EIO_FAULT_VERSION] = "Unsupported protocol version",
    };
    refuse(x, fault == EIO_FAULT_FORBIDDEN ? 403 : 400, (int)fault, messages[fault]);
}

static void refuse_token(struct sio_http *h, struct http_exchange *x, const char *message)
{
    h->refused[SIO_REFUSED_TOKEN]++;
    http_add_header(x, "www-authenticate", SPAN("Bearer"));
    refuse(x, 401, EIO_FAULT_FORBIDDEN, message);
}

/* What the request's own token is worth. False when the request was answered. */
static bool check_token(struct sio_http *h, const struct http_request *req, struct http_exchange *x)
{
    uint32_t retry_after_s = 0;
    char text[16];
    switch (gate_check(h->env, req, uv_now(h->loop), &retry_after_s)) {
    case AUTH_OK:
        h->trust = SIO_TRUST_TOKEN;
        return true;
    case AUTH_MISSING:
        h->trust = gate_is_local(h->env, req) ? SIO_TRUST_LOCAL : SIO_TRUST_NONE;
        return true;
    case AUTH_LIMITED:
        (void)snprintf(text, sizeof text, "%u", retry_after_s);
        http_add_header(x, "retry-after", span_str(text));
        h->refused[SIO_REFUSED_TOKEN]++;
        refuse(x, 429, EIO_FAULT_FORBIDDEN, "too many wrong tokens");
        return false;
    case AUTH_WRONG:
    case AUTH_UNKNOWN_SCHEME:
        break;
    }
    refuse_token(h, x, "token not valid");
    return false;
}

struct ask {
    bool websocket;
    uint64_t version; /* 0: none, or none that is known */
    struct span sid;  /* p is NULL: none */
};

static bool read_query(struct ask *ask, struct span query)
{
    struct span transport;
    struct span version;
    *ask = (struct ask){.sid = {NULL, 0}};
    if (!query_raw(query, "transport", &transport)) {
        return false;
    }
    ask->websocket = span_eq(transport, SPAN("websocket"));
    if (query_raw(query, "EIO", &version)) {
        ask->version = span_eq(version, SPAN("3"))   ? EIO_V3
                       : span_eq(version, SPAN("4")) ? EIO_V4
                                                     : 0;
    }
    (void)query_raw(query, "sid", &ask->sid);
    return ask->websocket || span_eq(transport, SPAN("polling"));
}

static void open_session(struct sio_http *h, const struct ask *ask, const struct http_request *req,
                         struct http_exchange *x)
{
    if (h->trust == SIO_TRUST_NONE && ask->version == EIO_V3) {
        refuse_token(h, x, "unauthorized");
        return;
    }
    bool crowded = h->trust == SIO_TRUST_NONE && sio_waiting_count(h->sio) >= SIO_WAITING_MAX;
    if (crowded || eio_count(h->eio) >= SIO_SESSIONS_MAX) {
        h->refused[SIO_REFUSED_LIMIT]++;
        refuse(x, 503, EIO_FAULT_REQUEST, "too many sessions");
        return;
    }
    struct eio_opening opening = {
        .sid = random_sid(),
        .version = (enum eio_version)ask->version,
        .websocket = ask->websocket,
        .link = x,
    };
    if (ask->websocket) {
        opening.link = link_new(h, &opening.sid, h->trust != SIO_TRUST_NONE, req, x);
    }
    h->peer = req->peer;
    int status = eio_on_open(h->eio, &opening, uv_now(h->loop));
    ASSERT(status == 0);
}

static void on_handshake(struct sio_http *h, const struct ask *ask, const struct http_request *req,
                         struct http_exchange *x)
{
    if (req->method != HTTP_GET) {
        refuse_fault(x, EIO_FAULT_METHOD);
    } else if (ask->websocket && !http_websocket_asked(x, req)) {
        refuse_fault(x, EIO_FAULT_REQUEST);
    } else if (ask->version == 0) {
        refuse_fault(x, EIO_FAULT_VERSION);
    } else {
        open_session(h, ask, req, x);
    }
}

static void on_upgrade(struct sio_http *h, const struct ask *ask, const struct http_request *req,
                       struct http_exchange *x)
{
    struct eio_sid sid = {.text = ""};
    if (!http_websocket_asked(x, req)) {
        refuse_fault(x, EIO_FAULT_REQUEST);
        return;
    }
    memcpy(sid.text, ask->sid.p, EIO_SID_LEN);
    struct link *link = link_new(h, &sid, sio_is_connected(h->sio, ask->sid), req, x);
    eio_on_probe(h->eio, sid_span(&sid), link, uv_now(h->loop));
}

static void on_post(struct sio_http *h, const struct ask *ask, const struct http_request *req,
                    struct http_exchange *x)
{
    struct span type = {NULL, 0};
    bool stranger = h->trust == SIO_TRUST_NONE && !sio_is_connected(h->sio, ask->sid);
    if (stranger && req->body.n > SIO_STRANGER_BYTES) {
        refuse(x, 413, EIO_FAULT_REQUEST, "a body of this length needs a token");
        return;
    }
    (void)http_header(req, "content-type", &type);
    bool octets = span_starts_with(type, SPAN("application/octet-stream"));
    enum eio_fault fault = eio_on_post(h->eio, ask->sid, octets, req->body, uv_now(h->loop));
    if (fault == EIO_FAULT_NONE) {
        http_reply(x, 200, "text/html", SPAN("ok"));
    } else {
        refuse_fault(x, fault);
    }
}

/* What needs no body. */
static void on_request(struct sio_http *h, const struct ask *ask, const struct http_request *req,
                       struct http_exchange *x)
{
    if (!eio_knows(h->eio, ask->sid)) {
        refuse_fault(x, EIO_FAULT_SID);
    } else if (ask->websocket) {
        on_upgrade(h, ask, req, x);
    } else if (req->method == HTTP_GET) {
        enum eio_fault fault = eio_on_poll(h->eio, ask->sid, x, uv_now(h->loop));
        if (fault != EIO_FAULT_NONE) {
            refuse_fault(x, fault);
        }
    } else {
        refuse_fault(x, EIO_FAULT_REQUEST);
    }
}

static bool is_post(const struct sio_http *h, const struct ask *ask, const struct http_request *req)
{
    return req->method == HTTP_POST && !ask->websocket && ask->sid.p != NULL &&
           eio_knows(h->eio, ask->sid);
}

bool sio_http_serves(struct span path)
{
    return span_eq(path, SPAN("/socket.io")) || span_eq(path, SPAN("/socket.io/"));
}

bool sio_http_admit(struct sio_http *h, const struct http_request *req, struct http_exchange *x,
                    uint64_t *max_len)
{
    struct ask ask;
    if (gate_is_foreign_page(h->env, req)) {
        h->refused[SIO_REFUSED_ORIGIN]++;
        refuse_fault(x, EIO_FAULT_FORBIDDEN);
        return false;
    }
    if (!check_token(h, req, x)) {
        return false;
    }
    if (h->stopped) {
        refuse(x, 503, EIO_FAULT_REQUEST, "the server stops");
    } else if (!read_query(&ask, req->query)) {
        refuse_fault(x, EIO_FAULT_TRANSPORT);
    } else if (is_post(h, &ask, req)) {
        bool stranger = h->trust == SIO_TRUST_NONE && !sio_is_connected(h->sio, ask.sid);
        *max_len =
            stranger && max_message(h) > SIO_STRANGER_BYTES ? SIO_STRANGER_BYTES : max_message(h);
        return true;
    } else if (ask.sid.p == NULL) {
        on_handshake(h, &ask, req, x);
    } else {
        on_request(h, &ask, req, x);
    }
    drain(h);
    return false;
}

void sio_http_on_post(struct sio_http *h, const struct http_request *req, struct http_exchange *x)
{
    struct ask ask;
    if (req->refused_status != 0) {
        refuse(x, req->refused_status, EIO_FAULT_REQUEST, "Bad request");
    } else if (h->stopped) {
        refuse(x, 503, EIO_FAULT_REQUEST, "the server stops");
    } else {
        (void)read_query(&ask, req->query); /* as it was when the request was admitted */
        on_post(h, &ask, req, x);
    }
    drain(h);
}

void sio_http_stats(const struct sio_http *h, struct sio_http_stats *out)
{
    eio_stats(h->eio, &out->engine);
    memcpy(out->refused, h->refused, sizeof out->refused);
}

/* ---- life -------------------------------------------------------------------------------- */

struct sio_http *sio_http_new(uv_loop_t *loop, const struct api_env *env)
{
    const struct config *cfg = env->parts.cfg;
    struct sio_http *h = mem_new(struct sio_http);
    uint64_t max_body = cfg->api.max_body;
    struct eio_cfg eio = {.ping_interval_ms = cfg->api.socketio_ping_interval_ms,
                          .ping_timeout_ms = cfg->api.socketio_ping_timeout_ms,
                          .max_payload =
                              max_body < SIO_PAYLOAD_BYTES ? (size_t)max_body : SIO_PAYLOAD_BYTES,
                          .max_sessions = SIO_SESSIONS_MAX};
    digest_random(&eio.seed, sizeof eio.seed);
    h->loop = loop;
    h->env = env;
    h->eio = eio_new(&eio);
    h->sio = sio_new(&(struct sio_cfg){
        .engine = h->eio, .event = "v1", .max_message = (size_t)max_body, .seed = eio.seed});
    h->calls = sio_calls_new(&(struct sio_calls_cfg){
        .loop = loop, .parts = &env->parts, .sio = h->sio, .answered = on_answered, .ctx = h});
    h->push = sio_push_new(h->sio, env->parts.client);
    h->open_parts = 2;
    uv_timer_init(loop, &h->timer);
    h->timer.data = h;
    return h;
}

void sio_http_stop(struct sio_http *h)
{
    h->stopped = true;
    eio_close_all(h->eio, "the server stops");
    drain(h);
}

static void on_part_closed(struct sio_http *h)
{
    if (--h->open_parts > 0) {
        return;
    }
    void (*closed)(void *ctx) = h->closed;
    void *ctx = h->closed_ctx;
    sio_push_free(h->push);
    sio_free(h->sio);
    eio_free(h->eio);
    free(h);
    closed(ctx);
}

static void on_calls_closed(void *ctx)
{
    on_part_closed(ctx);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_part_closed(handle->data);
}

void sio_http_close(struct sio_http *h, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(h->stopped);
    h->closed = closed;
    h->closed_ctx = ctx;
    sio_calls_close(h->calls, on_calls_closed, h);
    uv_close((uv_handle_t *)&h->timer, on_timer_closed);
}
