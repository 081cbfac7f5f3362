/* udp.h: a UDP socket read and written in batches (recvmmsg and sendmmsg through uv_poll).
 *
 * Turn      readable -> recvmmsg of up to UDP_BATCH datagrams -> on_batch once -> answers that the
 *           callback put into the batch leave with one sendmmsg. No more than that: a turn of the
 *           loop is then short, and a look at all its sockets costs little beside a batch.
 * Memory    everything is allocated by udp_open; nothing on the way of a datagram.
 * Source    an answer leaves from the address that its datagram was sent to, on wildcards too.
 * Full      an answer that the kernel does not take (EAGAIN and the like) is dropped and counted.
 * Thread    all calls on the loop's thread.
 */
#ifndef NET_UDP_H
#define NET_UDP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <uv.h>

#include "base/assert.h"
#include "base/endpoint.h"
#include "base/span.h"

enum {
    UDP_BATCH = 64,
    UDP_RECV_LEN = 2048, /* a longer datagram arrives cut, with truncated set */
    UDP_SEND_LEN = 1280,
};

struct udp_socket;

/* One received datagram and the room for its answer. */
struct udp_datagram {
    struct span in;
    struct endpoint from; /* IPv4-mapped unwrapped */
    bool truncated;
    uint8_t *out;   /* UDP_SEND_LEN bytes */
    size_t out_len; /* 0: no answer; else what on_batch wrote */
};

typedef void (*udp_on_batch)(void *ctx, struct udp_datagram *datagrams, size_t n);
typedef void (*udp_on_closed)(void *ctx);

/* Takes over fd (bound, non-blocking) and starts reading. Returns 0 or a negative code, in which
 * case fd is closed. */
MUST_CHECK int udp_open(struct udp_socket **out, uv_loop_t *loop, int fd, udp_on_batch on_batch,
                        void *ctx);

/* Answers that the kernel refused since the last call. */
uint64_t udp_take_send_failures(struct udp_socket *s);

/* Idempotent; on_closed exactly once, after which s is gone. */
void udp_close(struct udp_socket *s, udp_on_closed on_closed, void *ctx);

#endif
