/* Names to addresses: literals, names of this machine, what is no name, and cancels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/parse.h"
#include "net/resolve.h"
#include "unit/net/net_fixture.h"

#include "base/banned.h"

struct answer {
    bool done;
    int n_calls;
    int status;
    struct addr addrs[RESOLVE_MAX];
    size_t n;
    struct err e;
};

static void on_done(void *ctx, int status, const struct addr *addrs, size_t n, const struct err *e)
{
    struct answer *a = ctx;
    a->done = true;
    a->n_calls++;
    a->status = status;
    a->n = n;
    if (n > 0) {
        memcpy(a->addrs, addrs, n * sizeof *addrs);
    }
    a->e = *e;
}

/* Turns the loop until nothing is left in it. */
static void finish(uv_loop_t *loop)
{
    assert_int_equal(uv_run(loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(loop), 0);
}

static struct answer look_up(const char *host)
{
    uv_loop_t loop;
    struct answer a = {.done = false};
    struct resolve *r;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(resolve_start(&r, &loop, span_str(host), on_done, &a), 0);
    assert_false(a.done); /* later */
    finish(&loop);
    assert_int_equal(a.n_calls, 1);
    return a;
}

static void literals_are_answered_later(void **state)
{
    static const struct {
        const char *host;
        const char *addr;
    } rows[] = {
        {"127.0.0.1", "127.0.0.1"},
        {"::1", "::1"},
        {"[::1]", "::1"},
        {"[2001:db8::5]", "2001:db8::5"},
        {"::ffff:10.1.2.3", "10.1.2.3"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer a = look_up(rows[i].host);
        struct addr expected;
        assert_true(addr_parse(&expected, span_str(rows[i].addr)));
        assert_int_equal(a.status, 0);
        assert_int_equal(a.n, 1);
        assert_true(addr_eq(&a.addrs[0], &expected));
    }
}

static void this_machine_has_a_name(void **state)
{
    (void)state;
    struct answer a = look_up("localhost");
    assert_int_equal(a.status, 0);
    assert_in_range(a.n, 1, RESOLVE_MAX);
    for (size_t i = 0; i < a.n; i++) {
        assert_true(addr_is_loopback(&a.addrs[i]));
        for (size_t k = 0; k < i; k++) {
            assert_false(addr_eq(&a.addrs[i], &a.addrs[k]));
        }
    }
}

/* A label of more than 63 bytes cannot be asked for: the system says so without a server. */
static void what_is_not_there_is_an_error_with_its_name(void **state)
{
    char host[80];
    (void)state;
    memset(host, 'a', sizeof host - 1);
    host[sizeof host - 1] = '\0';
    uv_loop_t loop;
    struct answer a = {.done = false};
    struct resolve *r;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(resolve_start(&r, &loop, span_str(host), on_done, &a), 0);
    finish(&loop);
    assert_true(a.status == ERR_NOT_FOUND || a.status == ERR_UNAVAILABLE);
    assert_int_equal(a.e.code, a.status);
    assert_non_null(strstr(a.e.msg, "aaaa"));
    assert_int_equal(a.n, 0);
}

static void what_is_no_name_is_refused_at_once(void **state)
{
    static const struct span rows[] = {
        {NULL, 0},    SPAN(" "),         SPAN("a b"),        SPAN("a\0b"),
        SPAN("a/b"),  SPAN("a\n"),       SPAN("[]"),         SPAN("[::1"),
        SPAN("::1]"), SPAN("user@host"), SPAN("fe80::1%lo"), SPAN("\xff\xfe"),
    };
    char longest[255];
    uv_loop_t loop;
    struct resolve *r;
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(resolve_start(&r, &loop, rows[i], on_done, NULL), ERR_INVALID);
    }
    memset(longest, 'a', sizeof longest);
    assert_int_equal(resolve_start(&r, &loop, span_of(longest, 254), on_done, NULL), ERR_INVALID);
    finish(&loop);
}

static void block(uv_work_t *req)
{
    (void)uv_sem_wait(req->data);
}

static void signal_reached(uv_work_t *req)
{
    uv_sem_post(req->data);
}

static void no_after(uv_work_t *req, int status)
{
    (void)req;
    (void)status;
}

static void a_cancel_before_it_began(void **state)
{
    uv_loop_t loop;
    uv_work_t work;
    uv_sem_t sem;
    struct answer a = {.done = false};
    struct resolve *r;
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_sem_init(&sem, 0), 0);
    work.data = &sem;
    assert_int_equal(uv_queue_work(&loop, &work, block, no_after), 0); /* the only thread */
    assert_int_equal(resolve_start(&r, &loop, SPAN("127.0.0.1"), on_done, &a), 0);
    resolve_cancel(r);
    assert_false(a.done);
    fixture_run_until(&loop, &a.done);
    assert_int_equal(a.status, ERR_CANCELED);
    uv_sem_post(&sem);
    finish(&loop);
    assert_int_equal(a.n_calls, 1);
    uv_sem_destroy(&sem);
}

static void a_cancel_while_a_thread_is_at_it(void **state)
{
    uv_loop_t loop;
    uv_work_t work;
    uv_sem_t sem;
    struct answer a = {.done = false};
    struct resolve *r;
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_sem_init(&sem, 0), 0);
    work.data = &sem;
    assert_int_equal(resolve_start(&r, &loop, SPAN("127.0.0.1"), on_done, &a), 0);
    assert_int_equal(uv_queue_work(&loop, &work, signal_reached, no_after), 0);
    uv_sem_wait(&sem); /* the thread is past it, the loop does not know */
    resolve_cancel(r);
    resolve_cancel(r);
    assert_false(a.done);
    finish(&loop);
    assert_int_equal(a.n_calls, 1);
    uv_sem_destroy(&sem);
}

int main(void)
{
    /* One thread: jobs run in the order they were queued. */
    if (setenv("UV_THREADPOOL_SIZE", "1", 1) != 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_are_answered_later),
        cmocka_unit_test(this_machine_has_a_name),
        cmocka_unit_test(what_is_not_there_is_an_error_with_its_name),
        cmocka_unit_test(what_is_no_name_is_refused_at_once),
        cmocka_unit_test(a_cancel_before_it_began),
        cmocka_unit_test(a_cancel_while_a_thread_is_at_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
