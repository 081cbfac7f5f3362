/* location.h: our own address as the caller may use it again, for Location headers. Pure.
 *
 * Host      that of the request when it names this server (local_access.h); else a header could send
 *           the caller anywhere, and the address that is listened on is named.
 */
#ifndef API_LOCATION_H
#define API_LOCATION_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/endpoint.h"
#include "base/span.h"

/* "http://localhost:8080", to which a path is added. listen: the addresses really bound. */
void location_add_base(struct buf *out, bool tls, struct span host, const struct string_list *hosts,
                       const struct endpoint_list *listen);

#endif
