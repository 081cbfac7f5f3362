/* udp.c
 *
 * Happy path
 *   udp_open       buffers, message headers, poll handle; reading starts
 *   on_readable    recvmmsg -> on_batch -> sendmmsg
 *   udp_close      poll handle closed; on_poll_closed closes the descriptor, tells the owner, frees
 *
 * Failures
 *   poll handle cannot be made    udp_open returns the code, the descriptor is closed
 *   recvmmsg fails                the turn ends; the next readable event tries again
 *   sendmmsg takes only a part    the rest is tried once more when the buffer was full; a datagram
 *                                 refused for itself (no route) is left out; both are counted
 *
 * At the end (on_closed) the descriptor is closed, and nothing of the socket exists.
 */
#include "net/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/uv_err.h"

#include "base/banned.h"

enum { UDP_KERNEL_BUFFER_LEN = 4 << 20 };

/* Where a datagram was sent to, as the kernel tells and as it wants to be told. */
union udp_control {
    struct cmsghdr first;
    uint8_t b[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

union udp_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct udp_socket {
    uv_poll_t poll;
    int fd;
    bool closing;
    bool wildcard; /* answers have to name the address that they come from */
    uint64_t send_failures;
    udp_on_batch on_batch;
    void *ctx;
    udp_on_closed on_closed;
    void *closed_ctx;
    struct udp_datagram datagrams[UDP_BATCH];
    struct mmsghdr received[UDP_BATCH];
    struct iovec received_iov[UDP_BATCH];
    union udp_address from[UDP_BATCH];
    union udp_control control[UDP_BATCH];
    struct mmsghdr to_send[UDP_BATCH];
    struct iovec to_send_iov[UDP_BATCH];
    uint8_t in[UDP_BATCH][UDP_RECV_LEN];
    uint8_t out[UDP_BATCH][UDP_SEND_LEN];
};

/* The kernel writes into the headers; everything that recvmmsg reads is set again. */
static int receive(struct udp_socket *s)
{
    int n;
    for (size_t i = 0; i < UDP_BATCH; i++) {
        s->received[i].msg_hdr.msg_namelen = sizeof s->from[i];
        s->received[i].msg_hdr.msg_controllen = s->wildcard ? sizeof s->control[i] : 0;
    }
    do {
        n = recvmmsg(s->fd, s->received, UDP_BATCH, MSG_DONTWAIT, NULL);
    } while (n < 0 && errno == EINTR);
    for (int i = 0; i < n; i++) {
        struct udp_datagram *d = &s->datagrams[i];
        d->in.n = s->received[i].msg_len;
        d->truncated = (s->received[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
        d->out_len = 0;
        ASSERT(endpoint_from_sockaddr(&d->from, &s->from[i].any));
    }
    return n;
}

/* Sends n prepared messages; returns how many the kernel did not take. */
static uint64_t send_all(struct udp_socket *s, size_t n)
{
    uint64_t lost = 0;
    bool tried_again = false;
    size_t at = 0;
    while (at < n) {
        int sent = sendmmsg(s->fd, s->to_send + at, (unsigned)(n - at), MSG_DONTWAIT);
        if (sent > 0) {
            at += (size_t)sent;
        } else if (errno == EINTR) {
            continue;
        } else if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) {
            if (tried_again) {
                return lost + (n - at);
            }
            tried_again = true;
        } else {
            /* This one cannot be sent at all; the ones behind it can. */
            lost++;
            at++;
        }
    }
    return lost;
}

/* The answer leaves from the address that was asked, by whichever interface leads to the client. */
static size_t answer_from(struct udp_socket *s, size_t i)
{
    struct cmsghdr *c = &s->control[i].first;
    if (s->received[i].msg_hdr.msg_controllen < sizeof *c) {
        return 0;
    }
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        memset(CMSG_DATA(c) + offsetof(struct in_pktinfo, ipi_ifindex), 0, sizeof(int));
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        memset(CMSG_DATA(c) + offsetof(struct in6_pktinfo, ipi6_ifindex), 0, sizeof(int));
    }
    return s->received[i].msg_hdr.msg_controllen;
}

static void send_answers(struct udp_socket *s, size_t n_received)
{
    size_t n = 0;
    for (size_t i = 0; i < n_received; i++) {
        const struct udp_datagram *d = &s->datagrams[i];
        if (d->out_len == 0) {
            continue;
        }
        ASSERT(d->out_len <= UDP_SEND_LEN);
        s->to_send_iov[n].iov_base = d->out;
        s->to_send_iov[n].iov_len = d->out_len;
        s->to_send[n].msg_hdr.msg_name = &s->from[i];
        s->to_send[n].msg_hdr.msg_namelen = s->received[i].msg_hdr.msg_namelen;
        if (s->wildcard) {
            s->to_send[n].msg_hdr.msg_control = &s->control[i];
            s->to_send[n].msg_hdr.msg_controllen = answer_from(s, i);
        }
        n++;
    }
    s->send_failures += send_all(s, n);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct udp_socket *s = container_of(poll, struct udp_socket, poll);
    (void)events;
    if (status < 0) {
        return;
    }
    int n = receive(s);
    if (n > 0) {
        s->on_batch(s->ctx, s->datagrams, (size_t)n);
        send_answers(s, (size_t)n);
    }
}

static void prepare_headers(struct udp_socket *s)
{
    for (size_t i = 0; i < UDP_BATCH; i++) {
        s->datagrams[i].in.p = s->in[i];
        s->datagrams[i].out = s->out[i];
        s->received_iov[i] = (struct iovec){s->in[i], UDP_RECV_LEN};
        s->received[i].msg_hdr.msg_name = &s->from[i];
        s->received[i].msg_hdr.msg_iov = &s->received_iov[i];
        s->received[i].msg_hdr.msg_iovlen = 1;
        s->received[i].msg_hdr.msg_control = &s->control[i];
        s->to_send[i].msg_hdr.msg_iov = &s->to_send_iov[i];
        s->to_send[i].msg_hdr.msg_iovlen = 1;
    }
}

/* Best effort: past the system's limit only a privileged process gets what it asks for. */
static void enlarge_buffer(int fd, int force, int plain)
{
    int len = UDP_KERNEL_BUFFER_LEN;
    if (setsockopt(fd, SOL_SOCKET, force, &len, sizeof len) < 0) {
        (void)setsockopt(fd, SOL_SOCKET, plain, &len, sizeof len);
    }
}

/* An answer fits any path (UDP_SEND_LEN is the least MTU of IPv6), so it may say "do not fragment"
 * and heed no path MTU that somebody claims. It also spares the kernel the counter that numbers
 * datagrams for fragments. Best effort. */
static void forbid_fragments(int fd)
{
    int probe = IP_PMTUDISC_PROBE;
    (void)setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &probe, sizeof probe);
}

/* A machine with several addresses would answer from the one that its routes prefer, and clients
 * drop what does not come from where they asked. */
static void ask_for_destinations(struct udp_socket *s)
{
    struct sockaddr_storage ss;
    struct endpoint at;
    socklen_t len = sizeof ss;
    int on = 1;
    if (getsockname(s->fd, (struct sockaddr *)&ss, &len) < 0 ||
        !endpoint_from_sockaddr(&at, (struct sockaddr *)&ss) || !addr_is_unspecified(&at.addr)) {
        return;
    }
    s->wildcard = setsockopt(s->fd, at.addr.v6 ? IPPROTO_IPV6 : IPPROTO_IP,
                             at.addr.v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, &on, sizeof on) == 0;
}

int udp_open(struct udp_socket **out, uv_loop_t *loop, int fd, udp_on_batch on_batch, void *ctx)
{
    struct udp_socket *s = mem_new(struct udp_socket);
    s->fd = fd;
    s->on_batch = on_batch;
    s->ctx = ctx;
    prepare_headers(s);
    enlarge_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    enlarge_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    forbid_fragments(fd);
    ask_for_destinations(s);
    int status = uv_poll_init(loop, &s->poll, fd);
    if (status < 0) {
        (void)close(fd);
        free(s);
        return err_from_uv(status);
    }
    /* Fails only for a handle that is closing. */
    ASSERT(uv_poll_start(&s->poll, UV_READABLE, on_readable) == 0);
    *out = s;
    return 0;
}

uint64_t udp_take_send_failures(struct udp_socket *s)
{
    uint64_t n = s->send_failures;
    s->send_failures = 0;
    return n;
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct udp_socket *s = container_of((uv_poll_t *)handle, struct udp_socket, poll);
    udp_on_closed on_closed = s->on_closed;
    void *ctx = s->closed_ctx;
    (void)close(s->fd);
    free(s);
    on_closed(ctx);
}

void udp_close(struct udp_socket *s, udp_on_closed on_closed, void *ctx)
{
    if (s->closing) {
        return;
    }
    s->closing = true;
    s->on_closed = on_closed;
    s->closed_ctx = ctx;
    uv_close((uv_handle_t *)&s->poll, on_poll_closed);
}
