/* loop_thread.h: a libuv loop in a thread of its own, and blocking sockets to talk to what runs on
 * it.
 *
 * One loop for all tests of a program, never joined: h2o keeps spare memory in thread-local lists,
 * which would be lost with their thread and look like a leak.
 */
#ifndef TESTS_LOOP_THREAD_H
#define TESTS_LOOP_THREAD_H

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <uv.h>

#include "base/endpoint.h"

struct world {
    pthread_t thread;
    uv_loop_t loop;
    uv_async_t order;
    void (*run)(void *ctx); /* what the loop's thread is asked to do */
    void *ctx;
    sem_t done;
};

static inline void on_order(uv_async_t *async)
{
    struct world *w = async->data;
    w->run(w->ctx);
}

/* In the loop's thread; returns when it is done, which is when done was posted. */
static inline void order(struct world *w, void (*job)(void *ctx), void *ctx)
{
    w->run = job;
    w->ctx = ctx;
    assert_int_equal(uv_async_send(&w->order), 0);
    assert_int_equal(sem_wait(&w->done), 0);
}

static inline void *run_world(void *ctx)
{
    struct world *w = ctx;
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    return NULL;
}

static inline int world_setup(void **state)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    struct world *w = calloc(1, sizeof *w);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(uv_async_init(&w->loop, &w->order, on_order), 0);
    w->order.data = w;
    assert_int_equal(sem_init(&w->done, 0, 0), 0);
    assert_int_equal(pthread_create(&w->thread, NULL, run_world, w), 0);
    *state = w;
    return 0;
}

static inline int dial(uint16_t port)
{
    struct endpoint to;
    struct sockaddr_storage ss;
    char text[32];
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", port);
    assert_true(endpoint_parse(&to, span_str(text)));
    socklen_t len = endpoint_to_sockaddr(&to, &ss);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {10, 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
    return fd;
}

static inline void put(int fd, const char *text)
{
    size_t n = strlen(text);
    assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* Reads until text holds what (or the end comes). returns bytes held, NUL-terminated. */
static inline size_t get(int fd, char *text, size_t cap, const char *what)
{
    size_t n = 0;
    text[0] = '\0';
    while (n + 1 < cap && (what == NULL || strstr(text, what) == NULL)) {
        ssize_t got = recv(fd, text + n, cap - 1 - n, 0);
        assert_true(got >= 0);
        if (got == 0) {
            break;
        }
        n += (size_t)got;
        text[n] = '\0';
    }
    return n;
}

static inline void expect(int fd, const char *what)
{
    char text[8192];
    (void)get(fd, text, sizeof text, what);
    if (strstr(text, what) == NULL) {
        fail_msg("wanted %s in: %s", what, text);
    }
}

static inline void expect_end(int fd)
{
    char text[8192];
    (void)get(fd, text, sizeof text, NULL);
    close(fd);
}

#endif
