/* http.h: an HTTP server on libh2o. http.c and its parts are the only files that know h2o.
 *
 * Speaks    HTTP/1.0 and 1.1 (keep-alive, pipelining, chunked bodies, 100-continue), with or
 *           without TLS. No HTTP/2: docs/decisions/0006.
 * Exchange  one request and its answer. cfg.admit sees it at the end of its head, the handler at the
 *           end of its body. One of them answers exactly once, by http_reply or http_stream, in the
 *           call or at any later time. When the client has gone meanwhile, that call only lets go of
 *           the memory; an exchange may even outlive the server.
 * WebSocket behind http_websocket_accept; framing in websocket.h.
 * Limits    max_connections; a head as proto/http1.h has it; a body as cfg.admit says. stall_ms for a
 *           handshake, for a connection without a request, for a whole head, for a body of which
 *           nothing comes, and for an answer that the client does not take.
 * Memory    a connection is a head and one read more until its request was admitted.
 * Thread    the loop's thread only.
 */
#ifndef API_HTTP_H
#define API_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/config.h"
#include "base/endpoint.h"
#include "base/err.h"
#include "base/span.h"

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_OTHER
};

struct http_server;
struct http_exchange;

/* Borrowed for the handler's call. */
struct http_request {
    enum http_method method;
    struct span path;  /* as sent, up to the '?' */
    struct span query; /* as sent, behind the '?' */
    struct span
        host; /* "localhost:1212"; what stands there without a Host header is no known name */
    struct span body;
    struct addr peer;
    bool has_body; /* its head announces one that is not empty */
    /* 0, or why the request will not be served: 413 body too large, 400 broken chunks, 417 unknown
     * expectation, 408 the body has stopped coming, 503 the server is closing. body is empty then. */
    int refused_status;
    /* private */
    const void *headers;
};

/* At the end of the head: is there somebody to serve? Nothing of the body was read, no 100 Continue
 * was said. True: with a body of at most *max_len bytes; the handler will be called. False: it was
 * answered, or will be, and a body is never read. */
typedef bool (*http_admit)(void *ctx, const struct http_request *req, struct http_exchange *x,
                           uint64_t *max_len);
typedef void (*http_handler)(void *ctx, const struct http_request *req, struct http_exchange *x);

struct http_cfg {
    const struct endpoint_list *listen;
    const char *tls_certificate; /* both empty: no TLS */
    const char *tls_key;
    size_t max_connections;
    uint64_t stall_ms;
    http_admit admit;
    http_handler handler;
    void *ctx;
};

struct http_stats {
    uint64_t connections; /* open now */
    uint64_t connections_total;
    uint64_t connections_refused; /* max_connections reached */
    uint64_t requests_total;
    uint64_t stalled_total; /* cut because the client took nothing for stall_ms */
};

/* Binds every address or none. cfg is copied, listen and the TLS names are borrowed for the call.
 * SIGPIPE must be ignored by the program. */
MUST_CHECK int http_open(struct http_server **out, uv_loop_t *loop, const struct http_cfg *cfg,
                         struct err *e);
/* The addresses really bound; owned by the server. */
const struct endpoint_list *http_addresses(const struct http_server *s);
void http_stats(const struct http_server *s, struct http_stats *out);
/* No new connections; answers under way get HTTP_CLOSE_MS, then everything is cut. closed exactly
 * once, after which s is gone. */
enum { HTTP_CLOSE_MS = 1000 };
void http_close(struct http_server *s, void (*closed)(void *ctx), void *ctx);

/* The value of a header (name in lower case; the first of several). False when there is none. */
bool http_header(const struct http_request *req, const char *name, struct span *value);

/* Adds a header to the answer to come; nothing when the client has gone. Both texts are copied.
 * name in lower case, value without line breaks. */
void http_add_header(struct http_exchange *x, const char *name, struct span value);

/* The whole answer; body is copied. HEAD is answered without the body by itself. content_type may
 * be NULL. */
void http_reply(struct http_exchange *x, int status, const char *content_type, struct span body);

/* Adds the next piece of a long answer to out. returns true while more is to come. It should do
 * about a millisecond of work a call and may add nothing; it is called again and again. */
typedef bool (*http_produce)(void *ctx, struct buf *out);

/* An answer with status 200, produced in slices between which the loop runs. release(ctx) exactly
 * once: after the last slice, or when the client has gone. */
void http_stream(struct http_exchange *x, const char *content_type, http_produce produce,
                 void (*release)(void *ctx), void *ctx);

/* A WebSocket: the connection of a GET that asked for one, from now on for messages both ways. It
 * never calls back from inside a call. */
struct http_websocket;

struct http_websocket_events {
    void (*on_message)(void *ctx, bool binary, struct span message); /* borrowed for the call */
    void (*on_closed)(void *ctx); /* last; not after http_websocket_close */
};

/* Does this request ask for a WebSocket that it can have (HTTP/1.1, version 13)? Then the exchange
 * may be answered by http_websocket_accept, in the call of the handler. */
bool http_websocket_asked(const struct http_exchange *x, const struct http_request *req);
struct http_websocket *http_websocket_accept(struct http_exchange *x,
                                             const struct http_request *req, size_t max_message,
                                             const struct http_websocket_events *events, void *ctx);

/* data is copied. The connection is cut when the client does not take what is sent. */
void http_websocket_send(struct http_websocket *w, bool binary, struct span data);
/* From the next message on. */
void http_websocket_set_max_message(struct http_websocket *w, size_t max_message);
/* The client is told, by a code of RFC 6455, 7.4; the connection ends when it agrees, or is cut
 * after HTTP_CLOSE_MS. w is no longer the caller's. */
void http_websocket_close(struct http_websocket *w, int code);

#endif
