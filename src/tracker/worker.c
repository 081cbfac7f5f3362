/* worker.c
 *
 * Happy path
 *   worker_open    loop, fronts, sockets, timer; everything on the caller's thread
 *   worker_start   the thread runs the loop, with all signals blocked: they belong to main
 *   worker_stop    uv_async_send -> on_stop -> shut: everything is closed
 *   worker_free    joins; the loop has ended because its last handle has
 *
 * Failures
 *   a socket or a thread cannot be had   the error goes up; worker_free on a worker without a
 *                                        thread shuts it and runs the loop to its end itself
 *
 * At the end the loop has no handle left, which uv_loop_close confirms.
 */
#include "tracker/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <uv.h>

#include "base/mem.h"
#include "net/udp.h"
#include "net/uv_err.h"
#include "tracker/udp_front.h"
#include "tracker/worker_clock.h"
#include "tracker/worker_turn.h"

#include "base/banned.h"

enum {
    HOUSEKEEPING_MS = 1000,
    LOOP_GAP_WINDOW_MS = 60000,  /* the longest turn is that of the last one or two of these */
    SWEEP_SLICE_MS = 10,         /* between two slices of one round */
    SWEEP_ROUND_MIN_MS = 250,    /* between two rounds, for peer timeouts of a second ... */
    SWEEP_ROUND_MAX_MS = 15000,  /* ... and of hours */
    SWEEP_ROUNDS_PER_TIMEOUT = 4 /* a silent peer stays at most a quarter longer than it may */
};

struct worker {
    uv_loop_t loop;
    uv_thread_t thread;
    bool started;
    bool shut;
    size_t index;
    struct tracker *tracker;
    struct tracker_worker *handle;
    struct stats_block *stats;
    uv_async_t stop;
    uv_timer_t timer;
    uv_prepare_t before_poll;
    struct worker_turn turn;
    uint64_t next_window_ms;
    uint64_t next_round_ms; /* worker 0: when the next sweep round begins */
    struct udp_front *udp_front;
    struct udp_socket **udp;
    size_t n_udp;
    struct http_front *http_front;
};

/* ---- housekeeping ------------------------------------------------------------------------ */

static void take_send_failures(struct worker *w)
{
    for (size_t i = 0; i < w->n_udp; i++) {
        stats_add(w->stats, COUNT_udp_send_failures, udp_take_send_failures(w->udp[i]));
    }
}

static uint64_t sweep_round_ms(const struct worker *w)
{
    uint64_t ms = (uint64_t)tracker_cfg(w->tracker)->peer_timeout_s * 1000;
    ms /= SWEEP_ROUNDS_PER_TIMEOUT;
    if (ms < SWEEP_ROUND_MIN_MS) {
        return SWEEP_ROUND_MIN_MS;
    }
    return ms < SWEEP_ROUND_MAX_MS ? ms : SWEEP_ROUND_MAX_MS;
}

/* One slice, when it is time; returns the milliseconds to the next. */
static uint64_t sweep(struct worker *w)
{
    uint64_t now_ms = uv_now(&w->loop);
    if (now_ms < w->next_round_ms) {
        return w->next_round_ms - now_ms;
    }
    (void)worker_turn_begin(&w->turn);
    bool done = tracker_sweep(w->handle, WORKER_SWEEP_BUDGET_US, worker_clock_us);
    worker_turn_end(&w->turn);
    if (!done) {
        return SWEEP_SLICE_MS;
    }
    w->next_round_ms = now_ms + sweep_round_ms(w);
    return sweep_round_ms(w);
}

static void on_timer(uv_timer_t *timer)
{
    struct worker *w = container_of(timer, struct worker, timer);
    uint64_t next_ms = HOUSEKEEPING_MS;
    take_send_failures(w);
    if (uv_now(&w->loop) >= w->next_window_ms) {
        stats_loop_gap_window(w->stats);
        w->next_window_ms = uv_now(&w->loop) + LOOP_GAP_WINDOW_MS;
    }
    if (w->index == 0) {
        uint64_t sweep_ms = sweep(w);
        next_ms = sweep_ms < next_ms ? sweep_ms : next_ms;
    }
    ASSERT(uv_timer_start(timer, on_timer, next_ms, 0) == 0);
}

static void on_before_poll(uv_prepare_t *prepare)
{
    worker_turn_look(&container_of(prepare, struct worker, before_poll)->turn);
}

static void on_datagrams(void *worker, struct udp_datagram *datagrams, size_t n)
{
    struct worker *w = worker;
    struct tracker_time now = worker_turn_begin(&w->turn);
    udp_front_answer(w->udp_front, datagrams, n, now);
    worker_turn_end(&w->turn);
}

/* ---- stopping ---------------------------------------------------------------------------- */

static void on_closed(void *ctx)
{
    /* The loop ends by itself when the last handle is gone. */
    (void)ctx;
}

static void shut(struct worker *w)
{
    if (w->shut) {
        return;
    }
    w->shut = true;
    take_send_failures(w);
    for (size_t i = 0; i < w->n_udp; i++) {
        udp_close(w->udp[i], on_closed, w);
    }
    http_front_close(w->http_front, on_closed, w);
    uv_close((uv_handle_t *)&w->stop, NULL);
    uv_close((uv_handle_t *)&w->timer, NULL);
    uv_close((uv_handle_t *)&w->before_poll, NULL);
}

static void on_stop(uv_async_t *async)
{
    shut(container_of(async, struct worker, stop));
}

void worker_stop(struct worker *w)
{
    if (w->started) {
        /* Fails only for a handle that was never made. */
        (void)uv_async_send(&w->stop);
    }
}

void worker_free(struct worker *w)
{
    if (w->started) {
        worker_stop(w);
        ASSERT(uv_thread_join(&w->thread) == 0);
    } else {
        shut(w);
        (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    }
    ASSERT(uv_loop_close(&w->loop) == 0);
    udp_front_free(w->udp_front);
    free(w->udp);
    free(w);
}

/* ---- starting ---------------------------------------------------------------------------- */

static void run(void *arg)
{
    struct worker *w = arg;
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
}

int worker_start(struct worker *w, struct err *e)
{
    char name[16]; /* the kernel keeps no more */
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = uv_thread_create(&w->thread, run, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status < 0) {
        return err_set(e, err_from_uv(status), "cannot start worker thread: %s",
                       uv_strerror(status));
    }
    (void)snprintf(name, sizeof name, "tracker-%zu", w->index % 1000);
    (void)pthread_setname_np(w->thread, name); /* from here: who finds the server ready sees it */
    w->started = true;
    return 0;
}

static int open_udp(struct worker *w, const struct worker_sockets *sockets, struct err *e)
{
    w->udp = mem_zeroed((sockets->n_udp + 1) * sizeof(struct udp_socket *));
    for (size_t i = 0; i < sockets->n_udp; i++) {
        int status = udp_open(&w->udp[i], &w->loop, sockets->udp[i], on_datagrams, w);
        if (status < 0) {
            while (++i < sockets->n_udp) {
                (void)close(sockets->udp[i]);
            }
            return err_set(e, status, "UDP socket: %s", err_text(status));
        }
        w->n_udp++;
    }
    return 0;
}

static void close_all(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)close(fds[i]);
    }
}

static void init_handles(struct worker *w)
{
    /* None of these can fail: they touch memory only. */
    ASSERT(uv_timer_init(&w->loop, &w->timer) == 0);
    ASSERT(uv_prepare_init(&w->loop, &w->before_poll) == 0);
    ASSERT(uv_loop_configure(&w->loop, UV_METRICS_IDLE_TIME) == 0);
    ASSERT(uv_timer_start(&w->timer, on_timer, SWEEP_SLICE_MS, 0) == 0);
    ASSERT(uv_prepare_start(&w->before_poll, on_before_poll) == 0);
}

int worker_open(struct worker **out, const struct worker_options *options,
                const struct worker_sockets *sockets, struct err *e)
{
    struct worker *w = mem_new(struct worker);
    int status = uv_loop_init(&w->loop);
    if (status == 0) {
        status = uv_async_init(&w->loop, &w->stop, on_stop);
        if (status < 0) {
            (void)uv_loop_close(&w->loop);
        }
    }
    if (status < 0) {
        close_all(sockets->udp, sockets->n_udp);
        close_all(sockets->http, sockets->n_http);
        free(w);
        return err_set(e, err_from_uv(status), "event loop: %s", uv_strerror(status));
    }
    w->index = options->index;
    w->tracker = options->tracker;
    w->handle = tracker_worker(options->tracker, options->index);
    w->stats = tracker_worker_stats(w->handle);
    worker_turn_init(&w->turn, &w->loop, w->handle);
    w->udp_front = udp_front_new(options->tracker, w->handle, options->connid);
    w->http_front = http_front_new(&w->loop, &(struct http_front_options){
                                                 .tracker = options->tracker,
                                                 .worker = w->handle,
                                                 .turn = &w->turn,
                                                 .cfg = options->cfg,
                                                 .tls = options->tls,
                                                 .slots = options->slots,
                                             });
    init_handles(w);
    status = open_udp(w, sockets, e);
    if (status < 0) {
        close_all(sockets->http, sockets->n_http);
    } else {
        status = http_front_listen(w->http_front, sockets->http, sockets->n_http, e);
    }
    if (status < 0) {
        worker_free(w);
        return status;
    }
    *out = w;
    return 0;
}
