/* worker.h: one tracker worker: a thread with a loop, its sockets and its housekeeping.
 *
 * Life      worker_open (all of it, no thread yet) -> worker_start -> worker_stop (asks) ->
 *           worker_free (waits). A worker that never started is freed just the same.
 * Turns     a timer gathers the sockets' send failures, and in worker 0 sweeps silent peers out in
 *           slices of WORKER_SWEEP_BUDGET_US. How long a turn kept the sockets waiting at most is
 *           in the worker's stats.
 */
#ifndef TRACKER_WORKER_H
#define TRACKER_WORKER_H

#include <stddef.h>

#include "base/assert.h"
#include "base/config.h"
#include "base/err.h"
#include "tracker/connid.h"
#include "tracker/http_front.h"
#include "tracker/tracker.h"

enum { WORKER_SWEEP_BUDGET_US = 250 };

struct worker;

struct worker_options {
    size_t index;            /* of its tracker_worker; 0 sweeps */
    struct tracker *tracker; /* all borrowed for the worker's life */
    const struct config *cfg;
    const struct connid *connid;
    struct tls_server *tls; /* NULL: no TLS */
    struct http_slots *slots;
};

/* Bound sockets; http ones listen already. */
struct worker_sockets {
    int *udp;
    size_t n_udp;
    int *http;
    size_t n_http;
};

/* Takes over all descriptors: on failure they are closed. The arrays stay the caller's. */
MUST_CHECK int worker_open(struct worker **out, const struct worker_options *options,
                           const struct worker_sockets *sockets, struct err *e);
MUST_CHECK int worker_start(struct worker *w, struct err *e);

/* Asks the worker to end, from any thread; returns at once. */
void worker_stop(struct worker *w);

/* Stops, waits until answers on their way have gone (at most 1 s), and frees everything. */
void worker_free(struct worker *w);

#endif
