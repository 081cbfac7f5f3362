/* listen.h: sockets that are bound, before anybody reads from them.
 *
 * Sharing  every worker opens its own socket on one address with SO_REUSEPORT. listen_probe first
 *          binds without it, so that a port taken by somebody else, another Rookery included, is
 *          an error and not a silent share.
 * IPv6     "[::]:P" is IPv6 only when the list has an IPv4 wildcard on P as well, else dual-stack.
 *          A machine without IPv6: the wildcard is skipped with a warning, any other address fails.
 */
#ifndef NET_LISTEN_H
#define NET_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/endpoint.h"
#include "base/err.h"

enum listen_kind { LISTEN_UDP, LISTEN_TCP };

struct listen_spec {
    enum listen_kind kind;
    struct endpoint at; /* port 0: any; listen_open puts the real one here */
    bool v6_only;
    bool reuse_port;
    bool data_first; /* TCP: a connection is handed over with its first bytes, or after a second */
};

/* A spec for the i-th of n addresses. */
struct listen_spec listen_spec_for(enum listen_kind kind, const struct endpoint *list, size_t n,
                                   size_t i);

/* Is the address free? 0, ERR_IN_USE, ERR_NOT_FOUND when a wildcard's family does not exist here,
 * or another code; e names address and reason. Port 0 is always free. */
MUST_CHECK int listen_probe(const struct listen_spec *spec, struct err *e);

/* A bound, non-blocking, close-on-exec socket; TCP ones listen already. returns the descriptor
 * (the caller's) or a negative code with e. spec->at.port is set to the bound port. */
MUST_CHECK int listen_open(struct listen_spec *spec, struct err *e);

#endif
