/* stream.h: TCP connections to and from peers: the user reads and writes, when told that it can.
 *
 * Model     a non-blocking socket on uv_poll. The user calls stream_read and stream_writev itself,
 *           into and from its own memory; the kernel's buffers are the only ones.
 * Events    on_readable while bytes wait and reading is on (level-triggered: it comes again while
 *           not all was read); on_writable once after a write that did not take all.
 * Connect   from a given source address; on_connected exactly once, 0 or why not (err_from_socket),
 *           unless it was closed before. The time limit is the user's.
 * Signals   the process must ignore SIGPIPE.
 * Thread    the loop's. Every callback may call stream_close.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <uv.h>

#include "base/assert.h"
#include "base/endpoint.h"
#include "base/err.h"

struct stream;

struct stream_events {
    void (*on_connected)(struct stream *s, int status); /* may be NULL for accepted ones */
    void (*on_readable)(struct stream *s);
    void (*on_writable)(struct stream *s);
};

/* Embedded in the user's own; zeroed first. */
struct stream {
    struct endpoint peer;
    /* private */
    const struct stream_events *on;
    uv_poll_t poll;
    int fd;
    int mask;  /* what the poll watches */
    bool open; /* the poll handle is */
    bool connecting;
    bool reading;
    bool writable_wanted;
    bool closing;
    void (*closed)(struct stream *s);
};

/* Begins to connect. source: address to bind to (port 0: any; unspecified address or NULL: the
 * kernel's choice). returns 0, or a negative code at once (no such address here, no descriptors):
 * then there is nothing to close. */
MUST_CHECK int stream_connect(struct stream *s, uv_loop_t *loop, const struct endpoint *to,
                              const struct endpoint *source, const struct stream_events *on);
/* Takes over an accepted, non-blocking descriptor; peer was filled by whoever accepted. On failure
 * the descriptor is closed. Reading is off. */
MUST_CHECK int stream_adopt(struct stream *s, uv_loop_t *loop, int fd,
                            const struct stream_events *on);

void stream_set_reading(struct stream *s, bool on);

/* Up to n bytes. > 0: read; 0: none there now; ERR_CLOSED: the peer has ended; ERR_RESET: it did so
 * the hard way; or another code. */
ssize_t stream_read(struct stream *s, void *to, size_t n);
/* >= 0: bytes taken; when that is not all, on_writable will come. Negative: it is broken. */
ssize_t stream_writev(struct stream *s, const struct iovec *iov, size_t n);

/* The kernel took no more: on_writable has not come yet. */
bool stream_is_full(const struct stream *s);

/* Our end of a connected stream. */
bool stream_local(const struct stream *s, struct endpoint *out);

/* Idempotent; closed exactly once and last, never from inside the call. */
void stream_close(struct stream *s, void (*closed)(struct stream *s));

/* A listening socket: fd is bound and listens (listen.h). */
struct stream_listener;
/* One call a connection: a non-blocking descriptor, the callee's. Accepting pauses for a second
 * when the process is out of descriptors. */
typedef void (*stream_on_accept)(void *ctx, int fd, const struct endpoint *peer);
MUST_CHECK int stream_listen(struct stream_listener **out, uv_loop_t *loop, int fd,
                             stream_on_accept on_accept, void *ctx);
void stream_listener_close(struct stream_listener *l, void (*closed)(void *ctx), void *ctx);

#endif
