/* url_policy.h: which URLs the server fetches for a caller, and which addresses it connects to. Pure.
 *
 * Why       such a request is made from inside of the network that the server stands in.
 * Never     link-local addresses and those where clouds give out credentials, whatever is configured;
 *           nor what is no host's address (multicast, broadcast).
 * Public    no loopback, private or otherwise special range either. IPv4 inside of IPv6 (mapped,
 *           NAT64, 6to4) counts as what is inside.
 * Source    IANA special-purpose address registries.
 */
#ifndef API_URL_POLICY_H
#define API_URL_POLICY_H

#include <stdbool.h>

#include "base/config.h"
#include "base/endpoint.h"
#include "base/span.h"

enum { URL_MAX = 8192 };

/* "http://" or "https://" of any case, a host, no blanks and control bytes, at most URL_MAX bytes. */
bool url_policy_is_url(struct span url);

bool url_policy_allows(enum url_fetch fetch, const struct addr *addr);

#endif
