/* tcp.h: accepted TCP connections (stream.h listens), plain or TLS, without the user seeing the
 * difference.
 *
 * Begin     a connection that was accepted is a descriptor that the loop does not know: tcp_read_now
 *           and tcp_write go straight to it, so that a short one costs no more than its system
 *           calls. tcp_watch gives it to the loop, which then reads.
 * Reading   while output waits in the connection nothing is read and on_read is not called, so that
 *           a peer that does not read cannot make us work.
 * Writing   goes to the kernel at once; what it does not take is copied and sent later. At most
 *           TCP_QUEUE_MAX bytes wait; beyond that tcp_write refuses.
 * Closing   tcp_finish says "no more from us" after what waits has left; tcp_close ends it all.
 *           on_end reports the peer's end or an error once; the user then closes.
 * Signals   the process (or the thread) must not die of SIGPIPE.
 * Thread    all calls on the loop's thread. Every callback may call tcp_close.
 */
#ifndef NET_TCP_H
#define NET_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/endpoint.h"
#include "base/span.h"

enum {
    TCP_READ_LEN = 16384,    /* bytes one on_read brings at most */
    TCP_QUEUE_MAX = 2097152, /* bytes that may wait to be sent */
};

struct tcp_conn;
struct tls_server;
struct tls_conn;

/* What all connections of one loop share: a read is used up before the next one begins. */
struct tcp_scratch {
    uint8_t raw[TCP_READ_LEN];
    uint8_t plain[TCP_READ_LEN];
};

struct tcp_events {
    /* bytes are borrowed for the call. */
    void (*on_read)(struct tcp_conn *c, struct span bytes);
    /* Everything that waited has gone to the kernel. With TLS that may have been its own messages,
     * so it can come at any time. */
    void (*on_drained)(struct tcp_conn *c);
    /* The peer has ended (ERR_CLOSED), TLS failed (ERR_MALFORMED), or another code. Once. */
    void (*on_end)(struct tcp_conn *c, int why);
};

typedef void (*tcp_on_closed)(struct tcp_conn *c);

struct tcp_conn {
    struct endpoint peer;
    /* private */
    const struct tcp_events *on;
    struct tcp_scratch *scratch;
    int fd;
    uv_tcp_t handle; /* has fd once the loop watches it, and closes it then */
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct tls_conn *tls;
    struct buf sending; /* belongs to the write under way */
    struct buf waiting; /* behind it */
    tcp_on_closed on_closed;
    bool watched;
    bool held_back; /* the kernel keeps the last bytes for the end of the connection */
    bool closing;
    bool ended;     /* on_end was called */
    bool finishing; /* tcp_finish was called */
    bool finished;  /* ... and done */
    bool reading;
};

struct tcp_accepted {
    uv_loop_t *loop;
    int fd; /* non-blocking; taken over */
    const struct endpoint *peer;
    struct tls_server *tls; /* NULL: plain; else borrowed for the connection's life */
};

/* Makes a connection of what was accepted; c is zeroed. The loop does not watch it yet. On failure,
 * too, c must be closed. */
MUST_CHECK int tcp_accept(struct tcp_conn *c, const struct tcp_accepted *accepted,
                          const struct tcp_events *on, struct tcp_scratch *scratch);

/* Reads once, before the loop watches c: a client's first bytes tend to be there by then. */
void tcp_read_now(struct tcp_conn *c);

/* The loop reads c from now on. Once or more often; nothing for one that is closing. Output that
 * waits and tcp_finish do it, too. */
void tcp_watch(struct tcp_conn *c);

/* Sends bytes, or keeps a copy of what cannot go now. ERR_LIMIT: too much waits. ERR_CLOSED and
 * other codes: the connection is of no use any more, close it. */
MUST_CHECK int tcp_write(struct tcp_conn *c, struct span bytes);

/* The same for the last bytes of all, which tcp_close has to follow: they leave in one segment with
 * the end of the connection. */
MUST_CHECK int tcp_write_last(struct tcp_conn *c, struct span bytes);

/* Does output wait in the connection? */
bool tcp_is_pending(const struct tcp_conn *c);

/* No more writes: ends our direction once everything has left. Reading goes on. */
void tcp_finish(struct tcp_conn *c);

/* Idempotent; what waits is dropped. on_closed exactly once and last; c is then the caller's. */
void tcp_close(struct tcp_conn *c, tcp_on_closed on_closed);

#endif
