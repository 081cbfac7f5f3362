/* compact.h: peers in wire form: address and port in network order, without separators.
 *
 * Shape    an IPv4 peer has COMPACT4_LEN bytes, an IPv6 peer COMPACT6_LEN; a list is of one family.
 * Ports    host order in struct endpoint, big-endian in wire form.
 * Source   BEP 23 (IPv4), BEP 7 (IPv6).
 */
#ifndef PROTO_COMPACT_H
#define PROTO_COMPACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/endpoint.h"
#include "base/span.h"
#include "proto/announce.h"

static inline size_t compact_len(bool v6)
{
    return v6 ? COMPACT6_LEN : COMPACT4_LEN;
}

/* Write e to to[0..17]; returns the bytes written: COMPACT4_LEN or COMPACT6_LEN. */
static inline size_t compact_write(uint8_t *to, const struct endpoint *e)
{
    size_t at = addr_len(&e->addr);
    if (e->addr.v6) {
        memcpy(to, e->addr.b, 16);
    } else {
        memcpy(to, e->addr.b, 4);
    }
    to[at] = (uint8_t)(e->port >> 8);
    to[at + 1] = (uint8_t)e->port;
    return at + 2;
}

static inline struct endpoint compact_read4(const uint8_t from[static COMPACT4_LEN])
{
    struct endpoint e = {.port = (uint16_t)(from[4] << 8 | from[5])};
    memcpy(e.addr.b, from, 4);
    return e;
}

/* An IPv4-mapped address comes out as IPv4, as everywhere. */
static inline struct endpoint compact_read6(const uint8_t from[static COMPACT6_LEN])
{
    return (struct endpoint){
        .addr = addr_from_v6(from),
        .port = (uint16_t)(from[16] << 8 | from[17]),
    };
}

/* Take the first peer off a list of one family; false at its end (a cut-short rest is no peer). */
static inline bool compact_next(struct span *list, bool v6, struct endpoint *out)
{
    size_t len = compact_len(v6);
    if (list->n < len) {
        return false;
    }
    *out = v6 ? compact_read6(list->p) : compact_read4(list->p);
    *list = span_sub(*list, len, list->n);
    return true;
}

#endif
