/* workers.h: the tracker on sockets: worker threads, their listeners, their housekeeping.
 *
 * Threads   one loop a worker, each with its own UDP and TCP sockets on every address
 *           (SO_REUSEPORT). A request is answered on the thread that received it. Worker 0 sweeps.
 * Start     workers_open binds everything or nothing, then starts the threads.
 * Stop      workers_close stops accepting, lets answers in flight go (at most 1 s), joins.
 */
#ifndef TRACKER_WORKERS_H
#define TRACKER_WORKERS_H

#include <stddef.h>

#include "base/assert.h"
#include "base/config.h"
#include "base/endpoint.h"
#include "base/err.h"

struct tracker;
struct workers;

/* How many worker threads a configuration means (tracker.workers, 0: one a core). */
size_t workers_count(const struct config *cfg);

/* cfg and tracker must outlive the workers; tracker was made with workers_count handles. */
MUST_CHECK int workers_open(struct workers **out, struct tracker *tracker, const struct config *cfg,
                            struct err *e);
void workers_close(struct workers *w);

/* The addresses really bound, for the ready file; owned by w. */
const struct endpoint_list *workers_udp(const struct workers *w);
const struct endpoint_list *workers_http(const struct workers *w);

#endif
