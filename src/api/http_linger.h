/* http_linger.h: closing a connection whose client is still sending.
 *
 * Why     a socket that is closed with unread bytes in it answers them with a reset, which can
 *         destroy the refusal (413) that was just sent. So the write side is closed first, and what
 *         still comes is read and dropped for a while.
 * Limits  LINGER_MS and LINGER_LEN a connection, LINGER_MAX connections at a time.
 */
#ifndef API_HTTP_LINGER_H
#define API_HTTP_LINGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/list.h"

enum { LINGER_MS = 2000, LINGER_LEN = 64 << 20, LINGER_MAX = 32 };

struct linger_set {
    struct list all;
    uv_loop_t *loop;
    size_t n;
    void (*emptied)(void *ctx); /* called when the last one is gone */
    void *ctx;
};

void linger_init(struct linger_set *set, uv_loop_t *loop, void (*emptied)(void *ctx), void *ctx);

/* Takes over fd, a TCP socket. */
void linger_add(struct linger_set *set, int fd, uint64_t now_ms);

/* Ends those whose time is over; all of them when now_ms is UINT64_MAX. */
void linger_expire(struct linger_set *set, uint64_t now_ms);

#endif
