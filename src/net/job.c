/* job.c
 *
 * Happy path   job_start -> run_work on a pool thread -> report on the loop's thread: done(0)
 * Canceled     job_cancel before a thread took it -> report: done(ERR_CANCELED)
 * At the end   done has run once; the loop holds nothing of the job, which may be freed in done.
 */
#include "net/job.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/uv_err.h"

#include "base/banned.h"

/* libuv asks the environment, once; so it is also what remembers the number. */
static const char pool_size[] = "UV_THREADPOOL_SIZE";

enum { LIBUV_THREADS = 4 }; /* when the environment says nothing */

void job_set_threads(unsigned n)
{
    char text[16];
    ASSERT(n >= 1 && n <= JOB_THREADS_MAX);
    (void)snprintf(text, sizeof text, "%u", n);
    ASSERT(setenv(pool_size, text, 1) == 0);
}

unsigned job_threads(void)
{
    const char *text = getenv(pool_size);
    unsigned long n = text == NULL ? LIBUV_THREADS : strtoul(text, NULL, 10);
    return n >= 1 && n <= JOB_THREADS_MAX ? (unsigned)n : LIBUV_THREADS;
}

static void run_work(uv_work_t *req)
{
    struct job *job = container_of(req, struct job, req);
    job->work(job);
}

static void report(uv_work_t *req, int status)
{
    struct job *job = container_of(req, struct job, req);
    job->done(job, err_from_uv(status));
}

int job_start(struct job *job, uv_loop_t *loop, job_work work, job_done done)
{
    job->work = work;
    job->done = done;
    return err_from_uv(uv_queue_work(loop, &job->req, run_work, report));
}

void job_cancel(struct job *job)
{
    /* UV_EBUSY: it runs already, and done comes after it. */
    (void)uv_cancel((uv_req_t *)&job->req);
}
