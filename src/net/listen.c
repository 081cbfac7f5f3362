#include "net/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/banned.h"

enum {
    LISTEN_BACKLOG = 1024,
    DATA_FIRST_S = 1, /* the kernel makes one more attempt at the handshake of it */
};

static bool is_wildcard_v4(const struct endpoint *e)
{
    return !e->addr.v6 && addr_is_unspecified(&e->addr);
}

struct listen_spec listen_spec_for(enum listen_kind kind, const struct endpoint *list, size_t n,
                                   size_t i)
{
    struct listen_spec spec = {.kind = kind, .at = list[i], .v6_only = list[i].addr.v6};
    if (spec.v6_only && addr_is_unspecified(&list[i].addr)) {
        spec.v6_only = false;
        for (size_t k = 0; k < n; k++) {
            if (is_wildcard_v4(&list[k]) && list[k].port == list[i].port) {
                spec.v6_only = true;
            }
        }
    }
    return spec;
}

static int fail(const struct listen_spec *spec, int errno_value, struct err *e)
{
    char text[ENDPOINT_TEXT_LEN];
    int code =
        err_set_errno(e, errno_value, "cannot listen on %s (%s)", endpoint_format(text, &spec->at),
                      spec->kind == LISTEN_UDP ? "UDP" : "TCP");
    /* What the kernel says of an address whose family is switched off. */
    if (addr_is_unspecified(&spec->at.addr) &&
        (errno_value == EAFNOSUPPORT || errno_value == EADDRNOTAVAIL)) {
        code = ERR_NOT_FOUND;
        if (e != NULL) {
            e->code = code;
        }
    }
    return code;
}

static int set_flag(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value);
}

/* A bound socket; share: with SO_REUSEPORT. */
static int open_bound(const struct listen_spec *spec, bool share, struct err *e)
{
    struct sockaddr_storage ss;
    socklen_t len = endpoint_to_sockaddr(&spec->at, &ss);
    int type = spec->kind == LISTEN_UDP ? SOCK_DGRAM : SOCK_STREAM;
    int fd = socket(ss.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return fail(spec, errno, e);
    }
    /* TCP: connections of an earlier run that still wait out their time do not hold the port.
     * For UDP the same option would let two programs share it. */
    if ((spec->kind == LISTEN_TCP && set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0) ||
        (spec->at.addr.v6 && set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, spec->v6_only) < 0) ||
        (share && set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0) ||
        bind(fd, (struct sockaddr *)&ss, len) < 0) {
        int code = fail(spec, errno, e);
        (void)close(fd);
        return code;
    }
    return fd;
}

int listen_probe(const struct listen_spec *spec, struct err *e)
{
    int fd = open_bound(spec, false, e);
    if (fd < 0) {
        return fd;
    }
    (void)close(fd);
    return 0;
}

int listen_open(struct listen_spec *spec, struct err *e)
{
    struct sockaddr_storage ss;
    struct endpoint bound;
    socklen_t len = sizeof ss;
    int fd = open_bound(spec, spec->reuse_port, e);
    if (fd < 0) {
        return fd;
    }
    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ||
        (spec->kind == LISTEN_TCP && listen(fd, LISTEN_BACKLOG) < 0)) {
        int code = fail(spec, errno, e);
        (void)close(fd);
        return code;
    }
    if (spec->kind == LISTEN_TCP) {
        /* Accepted connections inherit it, which saves them a call each. Only a speed matter, as
         * is the other. */
        (void)set_flag(fd, IPPROTO_TCP, TCP_NODELAY, 1);
        if (spec->data_first) {
            (void)set_flag(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, DATA_FIRST_S);
        }
    }
    ASSERT(endpoint_from_sockaddr(&bound, (struct sockaddr *)&ss));
    spec->at.port = bound.port;
    return fd;
}
