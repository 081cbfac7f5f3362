/* magnet.h: magnet links of version 1, both directions. Pure: no allocation.
 *
 * Known    xt (urn:btih: with hex or base32), dn, tr, ws, x.pe, so; xt, tr and ws may be numbered
 *          (tr.1). Names and urn:btih: in any case; anything else is skipped, and so is what is
 *          behind a '#'. A parameter without a value counts as absent.
 * Refused  no btih, or a first one that is none, version 2 alone (btmh), a value that is not
 *          percent-encoded, more than the arrays hold. dn alone is forgiven: it stays as it is,
 *          and its '+' are spaces, as people paste such links.
 * Texts    are any bytes: decoded, not checked further, and borrowed from the caller's room.
 * Source   BEP 9 (magnet URI format), 53 (so), 52 (btmh).
 */
#ifndef PROTO_MAGNET_H
#define PROTO_MAGNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cursor.h"
#include "base/ids.h"
#include "base/span.h"

enum {
    MAGNET_TRACKERS_MAX = 100,
    MAGNET_WEB_SEEDS_MAX = 20,
    MAGNET_PEERS_MAX = 50,
    MAGNET_RANGES_MAX = 256,
};

/* Files first..last, counted from 0. */
struct magnet_range {
    uint32_t first;
    uint32_t last;
};

struct magnet {
    struct infohash info_hash;
    struct span name;                          /* dn; empty when there is none */
    struct span trackers[MAGNET_TRACKERS_MAX]; /* tr, in order */
    size_t n_trackers;
    struct span web_seeds[MAGNET_WEB_SEEDS_MAX]; /* ws */
    size_t n_web_seeds;
    struct span peers[MAGNET_PEERS_MAX]; /* x.pe: "host:port", the host a name or an address */
    size_t n_peers;
    struct magnet_range ranges[MAGNET_RANGES_MAX]; /* so: only these files; in order, may overlap */
    size_t n_ranges;                               /* 0: all files */
};

bool magnet_is_magnet(struct span uri);

/* Decode a whole link.
 *
 * room     takes the decoded texts: uri.n bytes are always enough.
 * returns  0, ERR_MALFORMED or ERR_LIMIT with *why naming the parameter and the rule. After an
 *          error *out is not to be used.
 */
int magnet_decode(struct magnet *out, struct span uri, struct wr *room, const char **why);

/* Write the link: xt with hex, then dn, tr, ws, x.pe and so, whatever there is of them. */
void magnet_encode(struct wr *w, const struct magnet *m);

#endif
