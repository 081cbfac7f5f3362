/* http_impl.h: what the parts of http.c share. The only file that includes h2o.
 */
#ifndef API_HTTP_IMPL_H
#define API_HTTP_IMPL_H

#define H2O_USE_LIBUV 1
#include <h2o.h>
#include <h2o/http1.h>
#include <h2o/http2.h>

#include "api/http.h"
#include "api/http_linger.h"
#include "api/websocket.h"
#include "base/list.h"

struct http_server {
    uv_loop_t *loop;
    struct http_cfg cfg;
    h2o_globalconf_t globalconf;
    h2o_context_t h2o;
    h2o_accept_ctx_t accept;
    SSL_CTX *tls;
    uv_tcp_t *listeners;
    size_t n_listeners;
    struct endpoint_list addresses;
    struct list conns;
    struct list exchanges; /* those that h2o still has the request of */
    struct list ready;     /* streams whose next slice may be produced */
    struct list websockets;
    struct list ws_ready; /* those that may have something to say */
    struct linger_set lingers;
    uv_idle_t idle; /* runs while something is ready */
    uv_timer_t tick;
    uv_timer_t last; /* closed behind everything else */
    size_t open_handles;
    struct http_stats stats;
    bool closing;
    bool disposed;
    uint64_t close_deadline_ms;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct http_conn {
    uv_tcp_t tcp;
    struct list link;
    struct http_server *server;
    h2o_socket_t *sock; /* gone with tcp */
    size_t n_exchanges;
    int linger_fd; /* -1: close at once */
    bool stuck;    /* as http_conns_unstick saw it last */
};

struct http_exchange {
    h2o_generator_t generator;
    struct list link;
    struct list ready;
    h2o_req_t *req; /* NULL: the client has gone, and server and conn with it */
    struct http_server *server;
    struct http_conn *conn;
    bool head;
    bool refused; /* in on_setup_ostream: the answer is stored, not sent */
    bool answered;
    bool broken;      /* a stream that must not go on */
    unsigned n_refs;  /* h2o's request; the handler that has yet to answer */
    uint64_t sent_ms; /* when h2o got something to send; 0: it has nothing */
    h2o_iovec_t refused_body;
    struct buf out; /* the slice that h2o is sending */
    http_produce produce;
    void (*release)(void *ctx);
    void *ctx;
};

struct http_websocket {
    struct list link;
    struct list ready;
    struct http_server *server;
    struct http_conn *conn; /* counts this as an exchange */
    h2o_socket_t *sock;     /* NULL: the 101 is under way */
    struct websocket *frames;
    struct http_websocket_events events;
    void *ctx;
    struct buf out;     /* what h2o is writing */
    bool closing;       /* the handler has let go of it */
    uint64_t cut_at_ms; /* when closing */
};

void http_exchange_unref(struct http_exchange *x);
/* Status and content type of the answer to come. */
void http_set_head(struct http_exchange *x, int status, const char *content_type);
/* h2o sees an end of file or a failed write, and closes the connection by itself. */
void http_conn_cut(struct http_conn *conn);
/* http_stuck.c: closes those that h2o waits for in vain. Call it every tick. */
void http_conns_unstick(struct http_server *s);
/* The idle handle runs until nothing is ready. */
void http_wake(struct http_server *s);

/* http_websocket.c: lets those in ws_ready say what they have to; cuts those that were to be closed
 * long ago. */
void http_websockets_flush(struct http_server *s);
void http_websockets_expire(struct http_server *s, uint64_t now_ms);

#endif
