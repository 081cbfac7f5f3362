/* announce.h: one announce or scrape, free of any wire format. HTTP and UDP translate to this.
 *
 * Both halves use it: the tracker decodes requests and encodes answers, a client the reverse.
 * Source: BEP 3, 7, 15, 23, 31, 48.
 */
#ifndef PROTO_ANNOUNCE_H
#define PROTO_ANNOUNCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/endpoint.h"
#include "base/ids.h"
#include "base/span.h"

/* The numbers are those of BEP 15. */
enum announce_event { EVENT_NONE = 0, EVENT_COMPLETED = 1, EVENT_STARTED = 2, EVENT_STOPPED = 3 };

enum {
    NUMWANT_UNSET = -1,
    COMPACT4_LEN = 6,  /* BEP 23: address and port of an IPv4 peer */
    COMPACT6_LEN = 18, /* BEP 7: the same for IPv6 */
    ACCESS_KEY_LEN = 32,
    SCRAPE_MAX = 74, /* info-hashes in one scrape: what fits a BEP 15 datagram */
};

struct announce_req {
    struct infohash info_hash;
    struct peer_id peer_id;
    uint64_t uploaded;   /* bytes */
    uint64_t downloaded; /* bytes */
    uint64_t left;       /* bytes; UINT64_MAX when the client named none: it counts as a leecher */
    enum announce_event event;
    int32_t numwant;  /* peers, or NUMWANT_UNSET */
    uint16_t port;    /* host order, never 0 */
    bool compact;     /* HTTP: false only for compact=0 */
    bool no_peer_id;  /* HTTP: leave peer ids out of a peer list that is not compact */
    bool has_ip;      /* the request names an address of its own: ip below */
    struct addr ip;   /* to be ignored unless configured otherwise */
    struct span key;  /* access key from the path or BEP 41 URL data; empty: none. Borrowed. */
    struct addr from; /* filled by the tracker's shell: who really asks */
};

/* Swarm counts of one torrent, as a scrape shows them. */
struct scrape_counts {
    uint32_t complete;   /* seeders */
    uint32_t downloaded; /* completed downloads, ever */
    uint32_t incomplete; /* leechers */
};

/* The answer to an announce. Peers are in wire form, COMPACT4_LEN and COMPACT6_LEN bytes each. */
struct announce_reply {
    uint32_t interval_s;
    uint32_t min_interval_s; /* 0: none */
    struct scrape_counts counts;
    struct span peers4;
    struct span peers6;
    const struct peer_id *peer4_ids; /* beside peers4, one a peer; NULL when not wanted */
    const struct peer_id *peer6_ids;
    struct span warning; /* empty: none */
};

/* A refusal as the client sees it. */
struct announce_failure {
    struct span reason;
    int32_t retry_in_min; /* BEP 31, minutes; 0: not sent; -1: "never" */
};

#endif
