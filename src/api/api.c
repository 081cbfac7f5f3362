/* Happy path   http.c calls admit at the end of a head -> CORS -> the dialect by the path's prefix ->
 *              the token -> is there a route? http.c reads the body, calls dispatch -> the route
 *              again -> its handler, which answers now or later.
 * Failures     each is answered in the dialect's own words, the token first: who has none learns
 *              nothing else.
 * Close        Socket.IO says goodbye; the server (nobody asks any more); what is left of
 *              Socket.IO and of the health checks; then the memory.
 */
#include "api/api.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/auth.h"
#include "api/call.h"
#include "api/cors.h"
#include "api/dialects.h"
#include "api/gate.h"
#include "api/health.h"
#include "api/socketio_http.h"
#include "api/torrust.h"
#include "base/mem.h"

#include "base/banned.h"

enum { MAX_CONNECTIONS = 256, STALL_MS = 30000 };

struct api {
    struct api_env env;
    uv_loop_t *loop;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* Nobody has a body read for nothing, so one that comes to an open route is no stranger's. */
static bool needs_token(const struct api *api, const struct http_request *req, enum route_auth auth)
{
    switch (auth) {
    case ROUTE_OPEN:
        return req->has_body && !gate_is_local(&api->env, req);
    case ROUTE_LOCAL:
        return !gate_is_local(&api->env, req);
    case ROUTE_TOKEN:
    case ROUTE_ACT:
        break;
    }
    return true;
}

/* False when the call was answered with a refusal. */
static bool check_token(struct api *api, struct call *c, bool needed)
{
    uint32_t retry_after_s = 0;
    char text[16];
    switch (gate_check(&api->env, c->req, uv_now(api->loop), &retry_after_s)) {
    case AUTH_OK:
        return true;
    case AUTH_LIMITED:
        (void)snprintf(text, sizeof text, "%u", retry_after_s);
        http_add_header(c->x, "retry-after", span_str(text));
        call_fail(c, 429, "too many wrong tokens");
        return false;
    case AUTH_MISSING:
        if (!needed) {
            return true;
        }
        http_add_header(c->x, "www-authenticate", SPAN("Bearer"));
        call_fail(c, 401, "unauthorized");
        return false;
    case AUTH_UNKNOWN_SCHEME:
        http_add_header(c->x, "www-authenticate", SPAN("Bearer"));
        call_fail(c, 401, "%s",
                  c->dialect == &torrust_v1_dialect ? "unknown token provided" : "token not valid");
        return false;
    case AUTH_WRONG:
        break;
    }
    http_add_header(c->x, "www-authenticate", SPAN("Bearer"));
    call_fail(c, 401, "token not valid");
    return false;
}

static void refuse(struct call *c)
{
    switch (c->req->refused_status) {
    case 408:
        call_fail(c, 408, "the body has stopped coming");
        break;
    case 413:
        call_fail(c, 413, "the body is larger than api.max_body, %llu bytes",
                  (unsigned long long)c->env->parts.cfg->api.max_body);
        break;
    case 417:
        call_fail(c, 417, "the only expectation known is 100-continue");
        break;
    case 503:
        call_fail(c, 503, "the server stops");
        break;
    default:
        call_fail(c, c->req->refused_status, "the framing of the body is broken");
        break;
    }
}

static enum route_result find_route(struct route_match *match, struct route_path *path,
                                    const struct call *c)
{
    *match = (struct route_match){.route = NULL};
    if (!route_path_split(path, c->req->path)) {
        return ROUTE_NO_PATH;
    }
    return route_find(match, c->dialect->routes, c->dialect->n_routes, c->req->method, path);
}

static bool admit(void *ctx, const struct http_request *req, struct http_exchange *x,
                  uint64_t *max_len)
{
    struct api *api = ctx;
    struct call c = {.env = &api->env, .req = req, .x = x, .dialect = dialect_of(req->path)};
    struct route_path path;
    struct route_match match;
    *max_len = api->env.parts.cfg->api.max_body;
    http_add_header(x, "cache-control", SPAN("no-store"));
    if (cors_handle(&api->env.parts.cfg->api.cors_origins, req, x)) {
        return false;
    }
    if (sio_http_serves(req->path)) {
        return sio_http_admit(api->env.socketio, req, x, max_len);
    }
    enum route_result found = find_route(&match, &path, &c);
    enum route_auth auth = found == ROUTE_FOUND ? match.route->auth : c.dialect->otherwise;
    if (!check_token(api, &c, needs_token(api, req, auth))) {
        return false;
    }
    if (found == ROUTE_NO_PATH) {
        call_fail(&c, 404, "not found");
    } else if (found == ROUTE_NO_METHOD) {
        char allow[ROUTE_ALLOW_LEN];
        route_allow_text(allow, match.allowed);
        http_add_header(x, "allow", span_str(allow));
        call_fail(&c, 405, "method not allowed");
    }
    return found == ROUTE_FOUND;
}

static void dispatch(void *ctx, const struct http_request *req, struct http_exchange *x)
{
    struct api *api = ctx;
    struct call c = {.env = &api->env, .req = req, .x = x, .dialect = dialect_of(req->path)};
    struct route_path path;
    struct route_match match;
    if (sio_http_serves(req->path)) {
        sio_http_on_post(api->env.socketio, req, x);
    } else if (req->refused_status != 0) {
        refuse(&c);
    } else {
        enum route_result found = find_route(&match, &path, &c);
        ASSERT(found == ROUTE_FOUND);
        memcpy(c.params, match.params, sizeof c.params);
        match.route->handle(&c);
    }
}

static struct auth *make_auth(const struct api_parts *parts)
{
    struct auth *auth = auth_new();
    const struct token_list *tokens = &parts->cfg->api.tokens;
    for (size_t i = 0; i < tokens->n; i++) {
        auth_add_token(auth, span_str(tokens->at[i].token));
    }
    if (parts->token_file_token != NULL) {
        auth_add_token(auth, span_str(parts->token_file_token));
    }
    return auth;
}

int api_open(struct api **out, uv_loop_t *loop, const struct api_parts *parts, struct err *e)
{
    struct api *api = mem_new(struct api);
    const struct config *cfg = parts->cfg;
    struct http_cfg http = {.listen = &cfg->api.listen,
                            .tls_certificate = cfg->api.tls_certificate,
                            .tls_key = cfg->api.tls_key,
                            .max_connections = MAX_CONNECTIONS,
                            .stall_ms = STALL_MS,
                            .admit = admit,
                            .handler = dispatch,
                            .ctx = api};
    api->loop = loop;
    api->env.parts = *parts;
    api->env.started_unix_s = call_unix_ms() / 1000;
    int status = http_open(&api->env.http, loop, &http, e);
    if (status < 0) {
        free(api);
        return status;
    }
    api->env.auth = make_auth(parts);
    api->env.health = health_new(loop, &api->env.parts);
    api->env.socketio = sio_http_new(loop, &api->env);
    *out = api;
    return 0;
}

const struct endpoint_list *api_addresses(const struct api *api)
{
    return http_addresses(api->env.http);
}

static void on_health_closed(void *ctx)
{
    struct api *api = ctx;
    void (*closed)(void *ctx) = api->closed;
    void *closed_ctx = api->closed_ctx;
    auth_free(api->env.auth);
    free(api);
    closed(closed_ctx);
}

static void on_socketio_closed(void *ctx)
{
    struct api *api = ctx;
    health_close(api->env.health, on_health_closed, api);
}

static void on_http_closed(void *ctx)
{
    struct api *api = ctx;
    sio_http_close(api->env.socketio, on_socketio_closed, api);
}

void api_close(struct api *api, void (*closed)(void *ctx), void *ctx)
{
    api->closed = closed;
    api->closed_ctx = ctx;
    sio_http_stop(api->env.socketio);
    http_close(api->env.http, on_http_closed, api);
}
