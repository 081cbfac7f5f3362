/* forwarded_for.h: who asks, when a reverse proxy asks for somebody else. Pure.
 *
 * The proxies in the trusted list each add the address they were asked from at the right end of
 * X-Forwarded-For; what is further left came with the request and may be a lie. So the list is
 * read from the right, over entries that are trusted proxies themselves, to the first that is not.
 */
#ifndef TRACKER_FORWARDED_FOR_H
#define TRACKER_FORWARDED_FOR_H

#include <stdbool.h>

#include "base/config.h"
#include "base/endpoint.h"
#include "proto/http1.h"

bool forwarded_for_trusts(const struct cidr_list *trusted, const struct addr *proxy);

/* The client behind proxy, whom the caller trusts. Several fields are one list, in their order.
 * returns  proxy itself when there is no field, when the walk meets something that is no address,
 *          or when every entry is a trusted proxy. */
struct addr forwarded_for_client(const struct http1_request *req, const struct cidr_list *trusted,
                                 const struct addr *proxy);

#endif
