/* endpoint.h: IP addresses, address:port pairs, and address blocks.
 *
 * Model    struct addr is IPv4 or IPv6; an IPv4-mapped IPv6 address (::ffff:a.b.c.d) never exists
 *          here: every constructor unwraps it to IPv4 first.
 * Ports    host order.
 * Unused   bytes of an IPv4 address (b[4..15]) are zero, so that memcmp and hashing work.
 */
#ifndef BASE_ENDPOINT_H
#define BASE_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct sockaddr;
struct sockaddr_storage;

struct addr {
    uint8_t b[16]; /* network order; IPv4 in the first four */
    bool v6;
};

struct endpoint {
    struct addr addr;
    uint16_t port;
};

struct cidr {
    struct addr base;
    uint8_t prefix_len; /* bits: 0..32 for IPv4, 0..128 for IPv6 */
};

enum {
    ADDR_TEXT_LEN = 46,     /* buffer for addr_format */
    ENDPOINT_TEXT_LEN = 54, /* buffer for endpoint_format: "[" + addr + "]:65535" + NUL */
};

struct addr addr_from_v4(const uint8_t b[static 4]);
struct addr addr_from_v6(const uint8_t b[static 16]);
bool addr_eq(const struct addr *a, const struct addr *b);
bool endpoint_eq(const struct endpoint *a, const struct endpoint *b);
static inline size_t addr_len(const struct addr *a)
{
    return a->v6 ? 16 : 4;
}

/* Text to address: "1.2.3.4", "::1", "[::1]". False when it is anything else. */
bool addr_parse(struct addr *out, struct span text);
/* "1.2.3.4:80" or "[::1]:80"; the port is required. */
bool endpoint_parse(struct endpoint *out, struct span text);
/* "10.0.0.0/8", "fd00::/8", or an address alone (its full length). Bits behind the prefix must
 * be zero. */
bool cidr_parse(struct cidr *out, struct span text);

/* NUL-terminated text into out; returns out. */
char *addr_format(char out[static ADDR_TEXT_LEN], const struct addr *a);
char *endpoint_format(char out[static ENDPOINT_TEXT_LEN], const struct endpoint *e);

bool cidr_contains(const struct cidr *c, const struct addr *a);
bool addr_is_loopback(const struct addr *a);
/* Loopback, RFC 1918, 100.64.0.0/10, link-local, fc00::/7: not reachable from the outside. */
bool addr_is_private(const struct addr *a);
bool addr_is_unspecified(const struct addr *a);

/* False for a family that is neither AF_INET nor AF_INET6. */
bool endpoint_from_sockaddr(struct endpoint *out, const struct sockaddr *sa);
/* Fills *ss and returns the length for bind or connect. */
unsigned endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ss);

#endif
