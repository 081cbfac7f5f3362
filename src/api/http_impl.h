/* http_impl.h: what the parts of http.c share. The only file that includes h2o.
 */
#ifndef API_HTTP_IMPL_H
#define API_HTTP_IMPL_H

#define H2O_USE_LIBUV 1
#include <h2o.h>
#include <h2o/http1.h>

#include "api/http.h"
#include "api/http_linger.h"
#include "api/websocket.h"
#include "base/list.h"
#include "proto/http1_body.h"

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

enum http_expectation { HTTP_EXPECTS_NOTHING, HTTP_EXPECTS_CONTINUE, HTTP_EXPECTS_UNKNOWN };

struct http_conn {
    uv_tcp_t tcp;
    struct list link;
    struct http_server *server;
    size_t n_exchanges;
    int linger_fd; /* -1: close at once */
    /* http_intake.c */
    h2o_socket_t *sock;     /* NULL: closed */
    h2o_socket_cb h2o_read; /* h2o's own callbacks, which ours stand in front of */
    h2o_socket_cb h2o_written;
    uv_read_cb tls_read;
    h2o_buffer_t *ahead; /* bytes behind the head that h2o has; this head while a body is read */
    bool in_head;        /* a part of the next head is here */
    bool handed_over;    /* h2o has a head that has not come back as a request */
    enum http_expectation expectation;
    struct http1_body framing;
    struct http_exchange *reading; /* its body is on its way, its handler not called yet */
    struct buf body;
    uint64_t deadline_ms; /* of a handshake, an idle connection, a head, a body */
};

struct http_exchange {
    h2o_generator_t generator;
    struct list link;
    struct list ready;
    h2o_req_t *req; /* NULL: the client has gone, and server and conn with it */
    struct http_server *server;
    struct http_conn *conn;
    bool head;
    bool has_body;
    bool body_unread; /* an answer now is the last one of the connection */
    bool answered;
    bool broken;      /* a stream that must not go on */
    unsigned n_refs;  /* h2o's request; the handler that has yet to answer */
    uint64_t sent_ms; /* when h2o got something to send; 0: it has nothing */
    struct buf out;   /* the slice that h2o is sending */
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
/* Calls the handler, for a request that was admitted: with its body; with refused_status instead. */
void http_exchange_serve(struct http_exchange *x, struct span body);
void http_exchange_refuse(struct http_exchange *x, int status);
/* Status and content type of the answer to come. */
void http_set_head(struct http_exchange *x, int status, const char *content_type);
/* h2o sees an end of file or a failed write, and closes the connection by itself. */
void http_conn_cut(struct http_conn *conn);
/* When it is closed, it will be by http_linger.h. */
void http_conn_linger(struct http_conn *conn);
/* Gives h2o bytes of the answer; x may be gone behind it. */
void http_send(struct http_exchange *x, h2o_iovec_t bytes, h2o_send_state_t state);

/* http_stream.c: what one call of a producer may add at most. */
enum { HTTP_SLICE_MAX = 1024 * 1024 };
/* The idle handle runs until nothing is ready. */
void http_wake(struct http_server *s);
/* h2o has sent a slice of a stream. */
void http_stream_on_proceed(h2o_generator_t *generator, h2o_req_t *req);
/* Ends the producer, if there is one. */
void http_stream_release(struct http_exchange *x);

/* http_intake.c: what a client sends, up to the end of a request. */
void http_intake_configure(struct http_server *s);
/* A connection that was accepted; closed is called last, and then http_intake_release. */
void http_intake_start(struct http_conn *conn, uv_close_cb closed);
void http_intake_release(struct http_conn *conn);
/* Does the request that h2o has come with a body? */
bool http_intake_has_body(const struct http_conn *conn);
/* Then: has the body read, and x served, or refused. */
void http_intake_read_body(struct http_exchange *x, uint64_t max_len);
/* Behind every call that gives h2o the end of an answer. */
void http_intake_after_answer(struct http_conn *conn);
/* The socket is a WebSocket's from here on; its input is what came behind the head. */
void http_intake_upgraded(struct http_conn *conn, size_t head_len);
/* For every h2o_socket_read_start. */
void http_conn_read(struct http_conn *conn, h2o_socket_cb on_bytes);
/* Ends what has been waited for too long. */
void http_intake_expire(struct http_conn *conn, uint64_t now_ms);
/* The server stops: no body will be served any more. */
void http_intake_stop(struct http_conn *conn);

/* http_websocket.c: lets those in ws_ready say what they have to; cuts those that were to be closed
 * long ago. */
void http_websockets_flush(struct http_server *s);
void http_websockets_expire(struct http_server *s, uint64_t now_ms);

#endif
