#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "net/job.h"
#include "net/uv_err.h"
#include "unit/net/net_fixture.h"

#include "base/banned.h"

struct sum_job {
    struct job job;
    uv_sem_t *gate; /* work waits for it; NULL: no gate */
    uint64_t upto;
    uint64_t sum;
    uv_thread_t worked_on;
    int status;
    bool done;
};

static void sum_work(struct job *job)
{
    struct sum_job *s = container_of(job, struct sum_job, job);
    if (s->gate != NULL) {
        uv_sem_wait(s->gate);
    }
    s->worked_on = uv_thread_self();
    for (uint64_t i = 1; i <= s->upto; i++) {
        s->sum += i;
    }
}

static void sum_done(struct job *job, int status)
{
    struct sum_job *s = container_of(job, struct sum_job, job);
    assert_false(s->done);
    s->done = true;
    s->status = status;
}

static void test_work_runs_elsewhere_and_done_here(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct sum_job s = {.upto = 1000, .status = 1};
    uv_thread_t here = uv_thread_self();
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(job_start(&s.job, &loop, sum_work, sum_done), 0);
    assert_false(s.done);
    fixture_run_until(&loop, &s.done);
    assert_int_equal(s.status, 0);
    assert_int_equal(s.sum, 500500);
    assert_false(uv_thread_equal(&here, &s.worked_on));
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_cancel_takes_only_what_waits(void **state)
{
    (void)state;
    enum { POOL = 4, QUEUED = 8 };
    uv_loop_t loop;
    uv_sem_t gate;
    struct sum_job jobs[POOL + QUEUED] = {0};
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_sem_init(&gate, 0), 0);
    for (int i = 0; i < POOL + QUEUED; i++) {
        jobs[i].gate = &gate;
        assert_int_equal(job_start(&jobs[i].job, &loop, sum_work, sum_done), 0);
    }
    /* The last cannot run: the first POOL fill the pool and wait at the gate. */
    job_cancel(&jobs[POOL + QUEUED - 1].job);
    for (int i = 0; i < POOL + QUEUED; i++) {
        uv_sem_post(&gate);
    }
    for (int i = 0; i < POOL + QUEUED; i++) {
        fixture_run_until(&loop, &jobs[i].done);
    }
    assert_int_equal(jobs[0].status, 0);
    assert_int_equal(jobs[POOL + QUEUED - 1].status, ERR_CANCELED);
    uv_sem_destroy(&gate);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_uv_numbers(void **state)
{
    (void)state;
    assert_int_equal(err_from_uv(0), 0);
    assert_int_equal(err_from_uv(17), 17);
    assert_int_equal(err_from_uv(UV_EADDRINUSE), ERR_IN_USE);
    assert_int_equal(err_from_uv(UV_ECANCELED), ERR_CANCELED);
    assert_int_equal(err_from_uv(UV_EOF), ERR_CLOSED);
    assert_int_equal(err_from_uv(UV_ECONNRESET), ERR_CLOSED);
    assert_int_equal(err_from_uv(UV_EPIPE), ERR_CLOSED);
    assert_int_equal(err_from_uv(UV_ETIMEDOUT), ERR_TIMEOUT);
    assert_int_equal(err_from_uv(UV_EMFILE), ERR_LIMIT);
    assert_int_equal(err_from_uv(UV_EAI_NONAME), ERR_NOT_FOUND);
    assert_int_equal(err_from_uv(UV_UNKNOWN), ERR_SYSTEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_work_runs_elsewhere_and_done_here),
        cmocka_unit_test(test_cancel_takes_only_what_waits),
        cmocka_unit_test(test_uv_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
