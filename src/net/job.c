/* job.c
 *
 * Happy path   job_start -> run_work on a pool thread -> report on the loop's thread: done(0)
 * Canceled     job_cancel before a thread took it -> report: done(ERR_CANCELED)
 * At the end   done has run once; the loop holds nothing of the job, which may be freed in done.
 */
#include "net/job.h"

#include "base/mem.h"
#include "net/uv_err.h"

#include "base/banned.h"

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
