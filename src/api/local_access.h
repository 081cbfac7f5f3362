/* local_access.h: may somebody call without a token because they are on this machine? Pure.
 *
 * All of    the peer is on loopback; no header of a reverse proxy (which makes everybody local); Host
 *           is localhost, a loopback address, one of the listen addresses or a configured name (or
 *           a page could point a name of its own at us); and Origin is absent or the very host and
 *           port that was called (or a page could call from a browser on this machine).
 */
#ifndef API_LOCAL_ACCESS_H
#define API_LOCAL_ACCESS_H

#include <stdbool.h>

#include "base/config.h"
#include "base/endpoint.h"
#include "base/span.h"

struct local_request {
    struct addr peer;
    struct span host;   /* "localhost:1212" */
    struct span origin; /* p is NULL: there is none */
    bool forwarded;     /* it has X-Forwarded-For, Forwarded or X-Real-IP */
};

/* hosts: names, or name:port. */
bool local_access_allows(const struct local_request *r, const struct string_list *hosts,
                         const struct endpoint_list *listen);

/* Does an Origin header name the host and port that were called? */
bool local_access_is_same_origin(struct span origin, struct span host);

/* The second of these conditions alone: does a Host header name this server? */
bool local_access_is_known_host(struct span host, const struct string_list *hosts,
                                const struct endpoint_list *listen);

#endif
