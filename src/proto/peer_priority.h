/* peer_priority.h: which of two peers to prefer when a torrent has more than it can connect to.
 * Both ends of a connection come to the same number. Pure.
 *
 * Source: BEP 40.
 */
#ifndef PROTO_PEER_PRIORITY_H
#define PROTO_PEER_PRIORITY_H

#include <stdint.h>

#include "base/endpoint.h"

/* The priority of the connection between a and b, in any order; a higher number is to be kept.
 *
 * a, b     of one address family. Ours is the address and listening port that the peer sees; ports
 *          count only when the addresses are equal.
 */
uint32_t peer_priority(const struct endpoint *a, const struct endpoint *b);

#endif
