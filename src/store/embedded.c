/* The embedded PostgreSQL.
 *
 *   start ─▶ LEFT ─▶ INITDB ─▶ STARTING ─▶ RUNNING        LEFT: a postmaster of a killed server is
 *             │                 ▲  │  ▲      │            being stopped (only when there is one)
 *             └─────────────────┘  ▼  │      ▼            INITDB: only when there is no cluster
 *                                 PAUSE ◀─ (died)
 *   any ─▶ STOPPING ─▶ closed
 *
 * Happy path: directory opened → postmaster spawned → its pid file says "ready" → ready(0). Then
 * nothing happens until embedded_stop: SIGINT → it exits → handles closed → stopped.
 *
 * Failures
 * - initdb fails: ready(error) with its complaint. What it left is removed at the next start.
 * - the postmaster exits before it was ever ready: tried again after a pause, START_TRIES times (a
 *   full disk or shared memory still in use: for STORE_STARTUP_S), then ready(error).
 * - it is not ready in START_MS: it is stopped, ready(error).
 * - it dies later: one warning, started again after a pause that doubles up to PAUSE_MAX_MS.
 *
 * Stopping: a process that does not go gets stronger signals, STOP_STEP_MS apart.
 *
 * At the end: no child of ours is left, the timer, the process handle and the poll on a left
 * postmaster are closed, then ready (if it never was) and stopped.
 */
#include "store/embedded.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/embedded_dir.h"
#include "store/embedded_proc.h"
#include "store/store.h"

#include "base/banned.h"

enum {
    READY_LOOK_MS = 25, /* PostgreSQL tells by writing a file */
    START_MS = 60000,
    START_TRIES = 5,
    PAUSE_MIN_MS = 100,
    PAUSE_MAX_MS = 5000,
    STOP_STEP_MS = 5000,
    LOG_LOOK_MS = 60000,
    LOG_MAX_LEN = 16 << 20, /* while running; longer is cut to nothing */
};

enum em_state {
    EM_NEW,
    EM_LEFT,
    EM_INITDB,
    EM_STARTING,
    EM_RUNNING,
    EM_PAUSE,
    EM_FAILED,
    EM_STOPPING
};

struct embedded {
    uv_loop_t *loop;
    struct cluster_dir dir;
    char bin[PG_BIN_LEN];
    char url[128];
    char log_path[512]; /* for people */
    enum em_state state;
    uv_timer_t timer;
    uv_process_t process;
    bool has_process; /* spawned and its handle not closed yet */
    bool is_initdb;   /* what process is */
    int out_fd;       /* what process writes to */
    off_t out_from;
    uv_poll_t left_poll;
    int left_pidfd;   /* -1: none */
    unsigned signals; /* sent so far to what is being stopped */
    uint32_t tries;
    uint64_t first_try_ms;
    uint64_t ready_ms; /* when it was ready last */
    int exit_status, exit_signal;
    bool ready_called;
    embedded_ready ready;
    void (*stopped)(void *ctx);
    void *ready_ctx, *stopped_ctx;
    unsigned open_handles;
};

static void em_on_timer(uv_timer_t *timer);
static void em_start_server(struct embedded *em);

static void em_arm(struct embedded *em, uint64_t in_ms)
{
    (void)uv_timer_start(&em->timer, em_on_timer, in_ms, 0);
}

/* ---- ends --------------------------------------------------------------------------------- */

static void em_ready(struct embedded *em, int status, const struct err *e)
{
    if (!em->ready_called) {
        em->ready_called = true;
        em->ready(em->ready_ctx, status, e);
    }
}

static void em_fail(struct embedded *em, const struct err *e)
{
    const struct err why = *e;
    em->state = EM_FAILED;
    (void)uv_timer_stop(&em->timer);
    em_ready(em, why.code, &why);
}

static void em_close_out(struct embedded *em)
{
    if (em->out_fd >= 0) {
        (void)close(em->out_fd);
        em->out_fd = -1;
    }
}

static void em_handle_closed(struct embedded *em)
{
    if (--em->open_handles > 0) {
        return;
    }
    struct err e;
    (void)err_set(&e, ERR_CANCELED, "stopped before it was ready");
    em_ready(em, e.code, &e);
    void (*stopped)(void *) = em->stopped;
    void *ctx = em->stopped_ctx;
    em_close_out(em);
    cluster_dir_release(&em->dir);
    free(em);
    stopped(ctx);
}

static void em_on_timer_closed(uv_handle_t *handle)
{
    em_handle_closed(container_of(handle, struct embedded, timer));
}

static void em_finish(struct embedded *em)
{
    uv_close((uv_handle_t *)&em->timer, em_on_timer_closed);
}

/* ---- stopping a process ------------------------------------------------------------------- */

/* The next stronger signal: to the child, or to a postmaster that was left behind. */
static void em_signal(struct embedded *em)
{
    static const int postmaster[] = {SIGINT, SIGQUIT, SIGKILL};
    static const int initdb[] = {SIGTERM, SIGKILL, SIGKILL};
    unsigned step = em->signals < 2 ? em->signals : 2;
    em->signals++;
    if (em->left_pidfd >= 0) {
        pg_left_signal(em->left_pidfd, postmaster[step]);
    } else if (em->has_process && !uv_is_closing((uv_handle_t *)&em->process)) {
        /* initdb has children: its whole session */
        (void)kill(em->is_initdb ? -em->process.pid : em->process.pid,
                   em->is_initdb ? initdb[step] : postmaster[step]);
    }
    em_arm(em, STOP_STEP_MS);
}

/* ---- the child ---------------------------------------------------------------------------- */

static void em_pause(struct embedded *em)
{
    uint64_t pause_ms = PAUSE_MIN_MS;
    for (uint32_t i = 1; i < em->tries && pause_ms < PAUSE_MAX_MS; i++) {
        pause_ms *= 2;
    }
    em->state = EM_PAUSE;
    em_arm(em, pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS);
}

/* Trouble that may pass by itself is worth more patience. */
static bool em_gives_up(const struct embedded *em, const char *complaint)
{
    bool may_pass = strstr(complaint, "No space left") != NULL ||
                    strstr(complaint, "shared memory block") != NULL;
    uint64_t tried_ms = uv_now(em->loop) - em->first_try_ms;
    return may_pass ? tried_ms >= STORE_STARTUP_S * 1000ULL : em->tries >= START_TRIES;
}

static void em_initdb_over(struct embedded *em, bool well, const char *complaint)
{
    struct err e;
    if (!well) {
        bool full = strstr(complaint, "No space left") != NULL;
        (void)err_set(&e, full ? ERR_NO_SPACE : ERR_DATABASE,
                      "making the embedded database: initdb: %s", complaint);
        em_fail(em, &e);
    } else if (cluster_dir_adopt(&em->dir, &e) < 0) {
        em_fail(em, &e);
    } else {
        em_start_server(em);
    }
}

static void em_server_died(struct embedded *em)
{
    const bool ran = em->state == EM_RUNNING;
    if (ran && uv_now(em->loop) - em->ready_ms > PAUSE_MAX_MS) {
        em->tries = 0;
    }
    em->tries++;
    log_warn(LOG_STORE, "the embedded database died, starting it again",
             KV_INT("status", em->exit_status), KV_INT("signal", em->exit_signal),
             KV_STR("see", em->log_path));
    em_pause(em);
}

static void em_server_over(struct embedded *em, const char *complaint)
{
    struct err e;
    if (em->ready_called) {
        em_server_died(em);
        return;
    }
    em->tries++;
    if (em_gives_up(em, complaint)) {
        bool full = strstr(complaint, "No space left") != NULL;
        (void)err_set(&e, full ? ERR_NO_SPACE : ERR_DATABASE,
                      "the embedded database does not start: %s", complaint);
        em_fail(em, &e);
    } else {
        em_pause(em);
    }
}

static void em_on_process_closed(uv_handle_t *handle)
{
    struct embedded *em = container_of(handle, struct embedded, process);
    const bool well = em->exit_status == 0 && em->exit_signal == 0;
    char complaint[160];
    pg_complaint(complaint, sizeof complaint, em->out_fd, em->out_from);
    em_close_out(em);
    em->has_process = false;
    em->open_handles--;
    if (em->state == EM_STOPPING) {
        em_finish(em);
    } else if (em->state == EM_FAILED) {
        (void)uv_timer_stop(&em->timer); /* it took too long to start, and is gone now */
    } else if (em->is_initdb) {
        em_initdb_over(em, well, complaint);
    } else {
        em_server_over(em, complaint);
    }
}

static void em_on_exit(uv_process_t *process, int64_t status, int signal_number)
{
    struct embedded *em = container_of(process, struct embedded, process);
    em->exit_status = (int)status;
    em->exit_signal = signal_number;
    uv_close((uv_handle_t *)process, em_on_process_closed);
}

/* A program that cannot be started ends as one that fails at once, having said why. */
static int em_spawn(struct embedded *em, enum pg_program program, struct err *e)
{
    struct stat st;
    em->out_fd = program == PG_INITDB ? memfd_create("initdb", MFD_CLOEXEC)
                                      : cluster_dir_open_log(&em->dir, e);
    if (em->out_fd < 0) {
        return program == PG_INITDB ? err_set(e, ERR_SYSTEM, "memfd_create failed") : em->out_fd;
    }
    em->out_from = fstat(em->out_fd, &st) == 0 ? st.st_size : 0;
    em->is_initdb = program == PG_INITDB;
    em->has_process = true;
    em->open_handles++;
    const struct pg_spawn spec = {program, em->bin, &em->dir, em->out_fd, em_on_exit};
    if (pg_spawn(&em->process, em->loop, &spec, e) < 0) {
        em->exit_status = 127;
        em->exit_signal = 0;
        (void)dprintf(em->out_fd, "FATAL: %s\n", e->msg);
        uv_close((uv_handle_t *)&em->process, em_on_process_closed);
    }
    return 0;
}

static void em_start_server(struct embedded *em)
{
    struct err e;
    pid_t pid;
    int left = pg_left_find(&em->dir, &pid, &e);
    if (left >= 0) { /* our lock on data_dir prevents it */
        (void)close(left);
        (void)err_set(&e, ERR_IN_USE, "the embedded database runs already, as process %d",
                      (int)pid);
    }
    int status = e.code;
    if (status == ERR_NOT_FOUND) {
        em->state = EM_STARTING;
        status = em_spawn(em, PG_POSTGRES, &e);
    }
    if (status == 0) {
        em_arm(em, READY_LOOK_MS);
    } else if (em->ready_called) {
        log_warn(LOG_STORE, "the embedded database cannot be started", KV_STR("why", e.msg));
        em->tries++;
        em_pause(em);
    } else {
        em_fail(em, &e);
    }
}

static void em_look_ready(struct embedded *em)
{
    if (uv_is_closing((uv_handle_t *)&em->process)) {
        return;
    }
    if (pg_is_ready(&em->dir, em->process.pid)) {
        em->state = EM_RUNNING;
        em->ready_ms = uv_now(em->loop);
        em_arm(em, LOG_LOOK_MS);
        if (em->ready_called) {
            log_info(LOG_STORE, "the embedded database is back");
        }
        em_ready(em, 0, NULL);
    } else if (uv_now(em->loop) - em->first_try_ms > START_MS && !em->ready_called) {
        struct err e;
        (void)err_set(&e, ERR_TIMEOUT, "the embedded database was not ready in %d s; see %s",
                      START_MS / 1000, em->log_path);
        em_fail(em, &e);
        if (em->state == EM_FAILED) { /* ready may have called embedded_stop */
            em->signals = 0;
            em_signal(em);
        }
    } else {
        em_arm(em, READY_LOOK_MS);
    }
}

/* The child appends, so cutting the file under it is safe. */
static void em_look_log(struct embedded *em)
{
    struct stat st;
    if (fstat(em->out_fd, &st) == 0 && st.st_size > LOG_MAX_LEN && ftruncate(em->out_fd, 0) == 0) {
        em->out_from = 0;
        log_warn(LOG_STORE, "postgres.log was cut, it had grown too long");
    }
    em_arm(em, LOG_LOOK_MS);
}

/* ---- a postmaster that was left behind ---------------------------------------------------- */

static void em_begin(struct embedded *em);

static void em_on_left_closed(uv_handle_t *handle)
{
    struct embedded *em = container_of(handle, struct embedded, left_poll);
    (void)close(em->left_pidfd);
    em->left_pidfd = -1;
    em->open_handles--;
    if (em->state == EM_STOPPING) {
        em_finish(em);
    } else {
        em_begin(em);
    }
}

/* A pidfd is readable when its process is gone. */
static void em_on_left_gone(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    if (!uv_is_closing((uv_handle_t *)poll)) {
        uv_close((uv_handle_t *)poll, em_on_left_closed);
    }
}

static int em_stop_left(struct embedded *em, int pidfd, pid_t pid)
{
    int status = uv_poll_init(em->loop, &em->left_poll, pidfd);
    if (status < 0) {
        (void)close(pidfd);
        return status;
    }
    log_info(LOG_STORE, "stopping a database server that was left running", KV_INT("pid", pid));
    em->left_pidfd = pidfd;
    em->open_handles++;
    em->state = EM_LEFT;
    em->signals = 0;
    (void)uv_poll_start(&em->left_poll, UV_READABLE, em_on_left_gone);
    em_signal(em);
    return 0;
}

/* ---- the beginning ------------------------------------------------------------------------ */

static void em_begin(struct embedded *em)
{
    struct err e;
    pid_t pid;
    int left = pg_left_find(&em->dir, &pid, &e);
    em->first_try_ms = uv_now(em->loop);
    if (left >= 0) {
        int status = em_stop_left(em, left, pid);
        if (status < 0) {
            (void)err_set(&e, ERR_SYSTEM, "watch process %d: %s", (int)pid, uv_strerror(status));
            em_fail(em, &e);
        }
    } else if (left == ERR_IN_USE) {
        em_fail(em, &e);
    } else if (em->dir.complete) {
        em_start_server(em);
    } else {
        log_info(LOG_STORE, "making the embedded database");
        em->state = EM_INITDB;
        if (em_spawn(em, PG_INITDB, &e) < 0) {
            em_fail(em, &e);
        }
    }
}

static void em_on_timer(uv_timer_t *timer)
{
    struct embedded *em = container_of(timer, struct embedded, timer);
    switch (em->state) {
    case EM_NEW:
        em_begin(em);
        break;
    case EM_STARTING:
        em_look_ready(em);
        break;
    case EM_RUNNING:
        em_look_log(em);
        break;
    case EM_PAUSE:
        em_start_server(em);
        break;
    case EM_LEFT:
    case EM_FAILED:
    case EM_STOPPING:
        em_signal(em);
        break;
    case EM_INITDB:
        break;
    }
}

/* ---- public ------------------------------------------------------------------------------- */

int embedded_start(struct embedded **out, uv_loop_t *loop, const char *data_dir,
                   embedded_ready ready, void *ctx, struct err *e)
{
    struct embedded *em = mem_new(struct embedded);
    em->loop = loop;
    em->ready = ready;
    em->ready_ctx = ctx;
    em->out_fd = -1;
    em->left_pidfd = -1;
    int status = cluster_dir_open(&em->dir, data_dir, e);
    if (status == 0) {
        status = pg_bin_find(em->bin, em->dir.version, e);
        if (status < 0) {
            cluster_dir_release(&em->dir);
        }
    }
    if (status < 0) {
        free(em);
        return status;
    }
    (void)snprintf(em->url, sizeof em->url,
                   "host=/proc/self/fd/%d port=5432 user=rookery dbname=postgres", em->dir.fd);
    ASSERT(uv_timer_init(loop, &em->timer) == 0);
    em->open_handles = 1;
    (void)snprintf(em->log_path, sizeof em->log_path, "%s/postgres.log", data_dir);
    em_arm(em, 0); /* everything else from the loop */
    *out = em;
    return 0;
}

const char *embedded_url(const struct embedded *em)
{
    return em->url;
}

void embedded_stop(struct embedded *em, void (*stopped)(void *ctx), void *ctx)
{
    em->stopped = stopped;
    em->stopped_ctx = ctx;
    em->state = EM_STOPPING;
    em->signals = 0;
    if (em->left_pidfd >= 0) {
        em_on_left_gone(&em->left_poll, 0, 0); /* the next start sees to it */
    } else if (em->has_process) {
        em_signal(em);
    } else {
        em_finish(em);
    }
}
