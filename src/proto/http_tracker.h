/* http_tracker.h: the HTTP tracker protocol, both directions: queries and bencoded answers.
 * Pure: no I/O, no allocation, no clock. The HTTP around it is proto/http1.
 *
 * Sources  BEP 3, 7 (peers6), 21, 23 (compact), 24 (external ip), 31 (retry in), 48 (scrape).
 */
#ifndef PROTO_HTTP_TRACKER_H
#define PROTO_HTTP_TRACKER_H

#include <sys/types.h>

#include "base/cursor.h"
#include "base/span.h"
#include "proto/announce.h"

enum { HTTP_SCRAPE_MAX = 100 }; /* hashes that http_scrape_reply_encode takes at most */

enum http_tracker_route {
    HTTP_ROUTE_NONE, /* some other path */
    HTTP_ROUTE_ANNOUNCE,
    HTTP_ROUTE_SCRAPE,
    HTTP_ROUTE_HEALTH, /* /health_check */
    HTTP_ROUTE_ROOT,   /* / */
};

/* The path of a request target ("?..." cut off by the caller): /announce, /announce/KEY,
 * /KEY/announce and the same for scrape; one slash at the end changes nothing. *key is borrowed
 * from path, empty when there is none; it is whatever the path has in that place, %-encoding
 * untouched. */
enum http_tracker_route http_tracker_route(struct span path, struct span *key);

/* Decode the query of an announce ("info_hash=...&peer_id=...", without the "?").
 *
 * returns  0, or ERR_MALFORMED with *why naming the parameter and the rule it broke
 *          ("info_hash must be 20 bytes"). Required: info_hash, peer_id, port (1..65535).
 * rules    only %XX is decoded, '+' stays '+'; the first of a repeated name wins; empty pieces and
 *          unknown names are skipped; no left: UINT64_MAX; an unknown event is EVENT_NONE; numwant
 *          may be negative (NUMWANT_UNSET) and is cut to INT32_MAX; of ip, ipv4 and ipv6 the first
 *          that is an address counts. out->key and out->from are left empty. After an error *out
 *          is not to be used.
 */
int http_announce_decode(struct announce_req *out, struct span query, const char **why);

/* Decode the query of a scrape: every info_hash in order, duplicates kept.
 * returns  their number (0..cap), ERR_LIMIT for more than cap, ERR_MALFORMED with *why. */
int http_scrape_decode(struct infohash *out, size_t cap, struct span query, const char **why);

/* The query of an announce, as a client sends it, behind the "?" (or "&") of its URL. */
void http_announce_encode(struct wr *w, const struct announce_req *req);
void http_scrape_encode(struct wr *w, const struct infohash *hashes, size_t n);
/* The scrape URL of an announce URL (BEP 48): "announce" behind the last "/" becomes "scrape". False,
 * with nothing written: something else is there, and the tracker has no scrape. What is behind a
 * "#" is left out. */
bool http_scrape_url(struct wr *w, struct span announce);

/* Bencoded bodies, keys sorted. compact: peers as one string (and peers6 when there are any),
 * else as a list of dictionaries {ip, peer id (unless the ids are NULL), port} over both families.
 * A scrape reply has each hash once, whatever order and repetition hashes has; flags only when
 * min_request_interval_s is not 0. */
void http_announce_reply_encode(struct wr *w, const struct announce_reply *reply, bool compact);
void http_scrape_reply_encode(struct wr *w, const struct infohash *hashes,
                              const struct scrape_counts *counts, size_t n,
                              uint32_t min_request_interval_s);
void http_failure_encode(struct wr *w, const struct announce_failure *failure);

/* Limits of a reply that a client takes. */
struct http_reply_limits {
    size_t peers_max;
};

/* What a client receives: a reply or a failure. Peers of the dictionary form are written in wire
 * form into room (its unused end is given back), so that both forms read the same; those without
 * an IP address or a port are left out. Numbers that are absent or odd are 0. Spans are borrowed
 * from the body and the room. */
struct http_reply {
    bool failed;
    bool has_counts; /* complete and incomplete are there */
    struct announce_reply reply;
    struct announce_failure failure;
    struct span tracker_id;
    struct addr external_ip; /* BEP 24 */
    bool has_external_ip;
};

/* returns body.n, or ERR_MALFORMED / ERR_LIMIT with *why. Tolerant of unsorted keys and of bytes
 * behind the dictionary. */
ssize_t http_announce_reply_decode(struct http_reply *out, struct span body, struct wr *room,
                                   const struct http_reply_limits *limits, const char **why);

/* What a client receives for a scrape: counts or a failure. Spans are borrowed from the body. */
struct http_scrape_reply {
    bool failed;
    struct announce_failure failure;
    uint32_t min_request_interval_s; /* 0: not said */
    /* private */
    struct span files;
};

/* returns body.n, or ERR_MALFORMED / ERR_LIMIT with *why; tolerant likewise. */
ssize_t http_scrape_reply_decode(struct http_scrape_reply *out, struct span body, const char **why);
/* False: hash is not in it with its counts. Costs the bytes before it. */
bool http_scrape_reply_find(const struct http_scrape_reply *reply, const struct infohash *hash,
                            struct scrape_counts *out);

#endif
