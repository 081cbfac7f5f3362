/* http_front.h: the HTTP tracker of one worker: connections in, http_answer's responses out.
 *
 * HTTP      1.0 and 1.1, keep-alive, pipelining: the answers to what one read brought leave in one
 *           write. TLS when a tls_server is given.
 * Limits    http_slots over all workers: a connection too many is closed at once and counted (one
 *           that says nothing takes no slot for its first second: listen.h, data_first); a request
 *           head has 8 KiB; a connection that does not read its answers is not read from.
 * Time      tracker.http_idle_timeout without a request, tracker.http_request_timeout from the
 *           first byte of a head to its end, and the same for the peer to take an answer; then it
 *           is cut.
 * Thread    all calls on the loop's thread.
 */
#ifndef TRACKER_HTTP_FRONT_H
#define TRACKER_HTTP_FRONT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/assert.h"
#include "base/config.h"
#include "base/err.h"
#include "tracker/tracker.h"

struct http_front;
struct tls_server;
struct worker_turn;

/* How many connections there are and may be; shared by all workers. */
struct http_slots {
    atomic_uint taken;
    unsigned max;
};

struct http_front_options {
    struct tracker *tracker; /* all borrowed for the front's life */
    struct tracker_worker *worker;
    struct worker_turn *turn; /* of that worker */
    const struct config *cfg;
    struct tls_server *tls; /* NULL: no TLS */
    struct http_slots *slots;
};

typedef void (*http_front_on_closed)(void *ctx);

struct http_front *http_front_new(uv_loop_t *loop, const struct http_front_options *options);

/* Takes over fds (bound, listening, non-blocking; closed on failure) and serves what comes. Once.
 * Whatever it returns, the front has to be closed. */
MUST_CHECK int http_front_listen(struct http_front *f, const int *fds, size_t n, struct err *e);

/* Stops accepting, closes idle connections, lets answers on their way go for at most 1 s.
 * Idempotent; on_closed exactly once, after which f is gone. */
void http_front_close(struct http_front *f, http_front_on_closed on_closed, void *ctx);

#endif
