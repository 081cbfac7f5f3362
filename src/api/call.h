/* call.h: one request on its way through the API, and what a dialect is.
 *
 * Lifetime  a call and everything in it lives for the handler's turn only. What happens later keeps
 *           the exchange and the dialect, never the call.
 */
#ifndef API_CALL_H
#define API_CALL_H

#include <stddef.h>
#include <stdint.h>

#include "api/api.h"
#include "api/http.h"
#include "api/route.h"
#include "base/span.h"

struct buf;
struct form_field;
struct health;
struct sio_http;
struct auth;

/* What handlers work on; lives as long as the API. */
struct api_env {
    struct api_parts parts;
    struct http_server *http;
    struct auth *auth;
    struct health *health;
    struct sio_http *socketio;
    int64_t started_unix_s;
};

/* A family of routes: what it serves and how it says no. */
struct dialect {
    const struct route *routes;
    size_t n_routes;
    enum route_auth otherwise; /* for who asks for a path or method that does not exist */
    /* Answers with a failure; status as HTTP means it, the dialect may show another one. */
    void (*fail)(struct http_exchange *x, int status, struct span reason);
};

struct call {
    const struct api_env *env;
    const struct dialect *dialect;
    const struct http_request *req;
    struct http_exchange *x;
    struct span params[ROUTE_PARAMS_MAX];
};

#define JSON_TYPE "application/json"
#define TEXT_TYPE "text/plain; charset=utf-8"

int64_t call_unix_ms(void);

/* Fails with a formatted reason. */
void call_fail(struct call *c, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A field of a form as text into out, in place of what was there: the last of a name wins. False when
 * it is too long or badly encoded: the call was answered then. */
bool call_take_text(struct call *c, struct buf *out, const struct form_field *field);

/* The status that a failed store or persist call means: 503 when trying again may help. */
int call_status_of(int err_code);

#endif
