/* worker_turn.h: the turns of a worker's loop, timed: into the worker's stats.
 *
 * Begin, end   around every batch of requests and every slice of the sweep: tracker_begin and
 *              tracker_end. Receiving and sending are outside (but for pipelined requests whose
 *              answers need more room than there is), so what is timed is the tracker itself:
 *              peers, tables that grow, waiting for locks.
 * Thread       the worker's.
 */
#ifndef TRACKER_WORKER_TURN_H
#define TRACKER_WORKER_TURN_H

#include <uv.h>

#include "tracker/loop_watch.h"
#include "tracker/tracker.h"

struct worker_turn {
    /* private */
    uv_loop_t *loop;
    struct tracker_worker *worker;
    struct loop_watch watch;
};

/* Both are borrowed for the life of t. loop: with UV_METRICS_IDLE_TIME. */
void worker_turn_init(struct worker_turn *t, uv_loop_t *loop, struct tracker_worker *worker);

/* The loop is about to look at its sockets. */
void worker_turn_look(struct worker_turn *t);

/* Returns the time that the batch has. */
struct tracker_time worker_turn_begin(struct worker_turn *t);
void worker_turn_end(struct worker_turn *t);

#endif
