/* A connection is a non-blocking socket and a uv_poll on it. Reading and writing are plain system
 * calls of the user's, so that bytes go straight between its memory and the kernel; the poll only
 * tells when they are worth trying.
 *
 * Mask       reading and writable_wanted, or writable alone while connecting; changed only when it
 *            differs, since each change is a system call.
 * Failures   of connect: on_connected with the code, the stream is then to be closed. Later ones
 *            (reset, broken pipe) come from stream_read or stream_writev; a poll error is told as
 *            readable, so that the user reads and meets it.
 * Close      the poll handle is closed, then the descriptor, then `closed`: the last thing.
 */
#include "net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/uv_err.h"

#include "base/banned.h"

enum {
    ACCEPTS_A_TURN = 64,
    ACCEPT_PAUSE_MS = 1000,
    UNSENT_LEN = 1 << 17, /* of the kernel's send buffer that is worth filling */
};

struct stream_listener {
    uv_poll_t poll;
    uv_timer_t pause;
    int fd;
    unsigned open_handles;
    stream_on_accept on_accept;
    void *ctx;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void on_poll(uv_poll_t *poll, int status, int events);

/* ---- sockets ------------------------------------------------------------------------------ */

static void tune(int fd)
{
    int on = 1;
    int unsent_len = UNSENT_LEN;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_len, sizeof unsent_len);
}

static int bind_source(int fd, const struct endpoint *source)
{
    struct sockaddr_storage ss;
    int on = 1;
    if (source == NULL || addr_is_unspecified(&source->addr)) {
        return 0;
    }
    /* The port is chosen when it connects: the same one may serve several targets. */
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    unsigned len = endpoint_to_sockaddr(source, &ss);
    return bind(fd, (const struct sockaddr *)&ss, (socklen_t)len) == 0 ? 0 : err_from_socket(errno);
}

static int connect_socket(int fd, const struct endpoint *to)
{
    struct sockaddr_storage ss;
    unsigned len = endpoint_to_sockaddr(to, &ss);
    if (connect(fd, (const struct sockaddr *)&ss, (socklen_t)len) == 0 || errno == EINPROGRESS) {
        return 0;
    }
    return err_from_socket(errno);
}

/* ---- the poll ----------------------------------------------------------------------------- */

static void update_mask(struct stream *s)
{
    int mask =
        (s->reading ? UV_READABLE : 0) | (s->writable_wanted || s->connecting ? UV_WRITABLE : 0);
    if (s->closing || mask == s->mask) {
        return;
    }
    s->mask = mask;
    if (mask == 0) {
        (void)uv_poll_stop(&s->poll);
    } else {
        ASSERT(uv_poll_start(&s->poll, mask, on_poll) == 0); /* fails for a closing handle only */
    }
}

static void on_connect_done(struct stream *s)
{
    int error = 0;
    socklen_t len = sizeof error;
    s->connecting = false;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0) {
        error = errno;
    }
    update_mask(s);
    s->on->on_connected(s, error == 0 ? 0 : err_from_socket(error));
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct stream *s = container_of(poll, struct stream, poll);
    if (s->connecting) {
        on_connect_done(s);
        return;
    }
    if (status < 0) {
        events = s->mask; /* whoever was waiting meets the error itself */
        s->mask = 0;      /* libuv has stopped the poll; there may be bytes in front of the error */
    }
    if ((events & UV_WRITABLE) != 0 && s->writable_wanted) {
        s->writable_wanted = false;
        s->on->on_writable(s);
    }
    if ((events & UV_READABLE) != 0 && s->reading && !s->closing) {
        s->on->on_readable(s);
    }
    update_mask(s);
}

static int start_poll(struct stream *s, uv_loop_t *loop)
{
    int status = uv_poll_init(loop, &s->poll, s->fd);
    if (status < 0) {
        return err_from_uv(status);
    }
    s->open = true;
    update_mask(s);
    return 0;
}

/* ---- streams ------------------------------------------------------------------------------ */

int stream_connect(struct stream *s, uv_loop_t *loop, const struct endpoint *to,
                   const struct endpoint *source, const struct stream_events *on)
{
    int family = to->addr.v6 ? AF_INET6 : AF_INET;
    s->peer = *to;
    s->on = on;
    s->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0) {
        return err_from_socket(errno);
    }
    tune(s->fd);
    int status = bind_source(s->fd, source);
    if (status == 0) {
        status = connect_socket(s->fd, to);
    }
    if (status == 0) {
        s->connecting = true;
        status = start_poll(s, loop);
    }
    if (status < 0) {
        (void)close(s->fd);
        s->fd = -1;
    }
    return status;
}

int stream_adopt(struct stream *s, uv_loop_t *loop, int fd, const struct stream_events *on)
{
    s->on = on;
    s->fd = fd;
    tune(fd);
    int status = start_poll(s, loop);
    if (status < 0) {
        (void)close(fd);
        s->fd = -1;
    }
    return status;
}

void stream_set_reading(struct stream *s, bool on)
{
    s->reading = on;
    if (!s->connecting) {
        update_mask(s);
    }
}

ssize_t stream_read(struct stream *s, void *to, size_t n)
{
    ssize_t got;
    do {
        got = read(s->fd, to, n);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        return got;
    }
    if (got == 0) {
        return ERR_CLOSED;
    }
    return errno == EAGAIN ? 0 : err_from_socket(errno);
}

ssize_t stream_writev(struct stream *s, const struct iovec *iov, size_t n)
{
    size_t len = 0;
    ssize_t sent;
    for (size_t i = 0; i < n; i++) {
        len += iov[i].iov_len;
    }
    do {
        sent = writev(s->fd, iov, (int)n);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN) {
        return err_from_socket(errno);
    }
    if (sent < 0) {
        sent = 0;
    }
    if ((size_t)sent < len) {
        s->writable_wanted = true;
        update_mask(s);
    }
    return sent;
}

bool stream_is_full(const struct stream *s)
{
    return s->writable_wanted;
}

bool stream_local(const struct stream *s, struct endpoint *out)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    return getsockname(s->fd, (struct sockaddr *)&ss, &len) == 0 &&
           endpoint_from_sockaddr(out, (const struct sockaddr *)&ss);
}

static void on_stream_closed(uv_handle_t *handle)
{
    struct stream *s = container_of((uv_poll_t *)handle, struct stream, poll);
    (void)close(s->fd);
    s->fd = -1;
    s->open = false;
    s->closed(s);
}

void stream_close(struct stream *s, void (*closed)(struct stream *s))
{
    ASSERT(s->open);
    if (!s->closing) {
        s->closing = true;
        s->closed = closed;
        uv_close((uv_handle_t *)&s->poll, on_stream_closed);
    }
}

/* ---- listeners ----------------------------------------------------------------------------- */

static void on_connection(uv_poll_t *poll, int status, int events);

static void resume_accepting(uv_timer_t *timer)
{
    struct stream_listener *l = container_of(timer, struct stream_listener, pause);
    ASSERT(uv_poll_start(&l->poll, UV_READABLE, on_connection) == 0);
}

/* What waits stays in the backlog; trying again at once would only burn time. */
static void pause_accepting(struct stream_listener *l)
{
    (void)uv_poll_stop(&l->poll);
    ASSERT(uv_timer_start(&l->pause, resume_accepting, ACCEPT_PAUSE_MS, 0) == 0);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct stream_listener *l = container_of(poll, struct stream_listener, poll);
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN && l->closed == NULL; i++) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof ss;
        struct endpoint peer;
        int fd = accept4(l->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0 && endpoint_from_sockaddr(&peer, (const struct sockaddr *)&ss)) {
            l->on_accept(l->ctx, fd, &peer);
        } else if (fd >= 0) {
            (void)close(fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(l);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

int stream_listen(struct stream_listener **out, uv_loop_t *loop, int fd, stream_on_accept on_accept,
                  void *ctx)
{
    struct stream_listener *l = mem_new(struct stream_listener);
    int status = uv_poll_init(loop, &l->poll, fd);
    if (status < 0) {
        (void)close(fd);
        free(l);
        return err_from_uv(status);
    }
    ASSERT(uv_timer_init(loop, &l->pause) == 0);
    l->fd = fd;
    l->open_handles = 2;
    l->on_accept = on_accept;
    l->ctx = ctx;
    ASSERT(uv_poll_start(&l->poll, UV_READABLE, on_connection) == 0);
    *out = l;
    return 0;
}

static void listener_part_closed(struct stream_listener *l)
{
    if (--l->open_handles > 0) {
        return;
    }
    void (*closed)(void *ctx) = l->closed;
    void *ctx = l->closed_ctx;
    (void)close(l->fd);
    free(l);
    closed(ctx);
}

static void on_listener_poll_closed(uv_handle_t *handle)
{
    listener_part_closed(container_of((uv_poll_t *)handle, struct stream_listener, poll));
}

static void on_listener_pause_closed(uv_handle_t *handle)
{
    listener_part_closed(container_of((uv_timer_t *)handle, struct stream_listener, pause));
}

void stream_listener_close(struct stream_listener *l, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(l->closed == NULL && closed != NULL);
    l->closed = closed;
    l->closed_ctx = ctx;
    uv_close((uv_handle_t *)&l->poll, on_listener_poll_closed);
    uv_close((uv_handle_t *)&l->pause, on_listener_pause_closed);
}
