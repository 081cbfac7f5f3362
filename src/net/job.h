/* job.h: blocking work on libuv's thread pool.
 *
 * Model      embed struct job in a value that holds everything the work needs: buffers and ids,
 *            never pointers to objects of the loop.
 * Ownership  from job_start until done the value belongs to the job; afterwards to the caller.
 * Threads    work runs on a pool thread; everything else on the loop's thread.
 */
#ifndef NET_JOB_H
#define NET_JOB_H

#include <uv.h>

#include "base/assert.h"

enum { JOB_THREADS_MAX = 1024 };

/* How many threads the pool has; 1..JOB_THREADS_MAX, before the first job of the process. */
void job_set_threads(unsigned n);
unsigned job_threads(void);

struct job;

typedef void (*job_work)(struct job *job);
/* status: 0 after work has run, ERR_CANCELED when it never did. */
typedef void (*job_done)(struct job *job, int status);

struct job {
    /* private */
    uv_work_t req;
    job_work work;
    job_done done;
};

/* Queues work. returns 0, then done comes exactly once and later; or a negative code and done is
 * never called. */
MUST_CHECK int job_start(struct job *job, uv_loop_t *loop, job_work work, job_done done);

/* Takes the job out of the queue if it still waits there: done then gets ERR_CANCELED. A job that
 * runs already is not touched. */
void job_cancel(struct job *job);

#endif
