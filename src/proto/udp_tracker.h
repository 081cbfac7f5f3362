/* udp_tracker.h: the UDP tracker protocol, both directions. Pure: no I/O, no allocation, no clock.
 *
 * Messages  connect, announce, scrape, error; announce for IPv4 and IPv6 (the family of the
 *           datagram decides the peers' size). URL data of BEP 41 is gathered into the request.
 * Limits    UDP_SCRAPE_WIRE_MAX hashes are decoded; url_data at most UDP_URL_DATA_MAX bytes.
 * Sources   BEP 15 (IPv6: its own section), BEP 41.
 */
#ifndef PROTO_UDP_TRACKER_H
#define PROTO_UDP_TRACKER_H

#include <stdint.h>
#include <sys/types.h>

#include "base/cursor.h"
#include "base/span.h"
#include "proto/announce.h"

#define UDP_PROTOCOL_ID UINT64_C(0x41727101980)

enum udp_action { UDP_CONNECT = 0, UDP_ANNOUNCE = 1, UDP_SCRAPE = 2, UDP_ERROR = 3 };

enum {
    UDP_URL_DATA_MAX = 512,
    UDP_SCRAPE_WIRE_MAX = 100, /* decoded, so that policy can answer "more than 74" with an error */
    UDP_CONNECT_LEN = 16,
    UDP_ANNOUNCE_LEN = 98,
    UDP_ANNOUNCE_REPLY_LEN = 20, /* without peers */
    UDP_SCRAPE_ENTRY_LEN = 12,   /* of a scrape reply */
    UDP_REPLY_MAX = 1232,        /* an IPv6 minimum MTU less its headers: never fragmented */
};

/* A request. action is as received: anything but the first three is returned with only
 * connection_id and transaction_id filled, so that the caller decides. */
struct udp_request {
    uint64_t connection_id; /* connect: UDP_PROTOCOL_ID as sent */
    uint32_t action;
    uint32_t transaction_id;
    uint32_t key;                 /* announce: the client's own random key; not an access key */
    struct announce_req announce; /* key is a span into url_data */
    struct span hashes;           /* scrape: n * 20 bytes of the datagram, borrowed */
    uint16_t url_data_len;
    uint8_t url_data[UDP_URL_DATA_MAX];
};

/* Decode one datagram from a client.
 *
 * returns  bytes used (> 0), or ERR_MALFORMED with a static *why: shorter than its message,
 *          not a whole number of hashes, a port of 0, an option that is cut short, URL data over
 *          the limit. When at least 16 bytes are there, connection_id, action and transaction_id
 *          are filled even then, so that a verified sender can be told.
 * options  0 ends them, 1 is skipped, 2 is URL data (several are joined), others are skipped by
 *          their length. Bytes behind the end option are ignored.
 * scrape   of more than UDP_SCRAPE_WIRE_MAX hashes the first ones are given; none is not an error.
 * numwant  a negative number becomes NUMWANT_UNSET. An event above 3 is EVENT_NONE.
 */
ssize_t udp_request_decode(struct udp_request *out, struct span datagram, const char **why);

/* The access key in BEP 41 URL data: "/KEY", "/announce/KEY" or "/KEY/announce", a "?query"
 * behind it is ignored, and so is one slash at the end. Empty when there is none ("/announce", "/",
 * ""). Borrowed from url_data. */
struct span udp_url_key(struct span url_data);

void udp_connect_encode(struct wr *w, uint32_t transaction_id);
/* URL data (may be empty) is written as BEP 41 options behind the announce. */
void udp_announce_encode(struct wr *w, uint64_t connection_id, uint32_t transaction_id,
                         uint32_t key, const struct announce_req *req, struct span url_data);
void udp_scrape_encode(struct wr *w, uint64_t connection_id, uint32_t transaction_id,
                       const struct infohash *hashes, size_t n);

void udp_connect_reply_encode(struct wr *w, uint32_t transaction_id, uint64_t connection_id);
/* The fixed part of an announce reply; the peers in wire form go right behind it. */
void udp_announce_reply_encode(struct wr *w, uint32_t transaction_id, uint32_t interval_s,
                               const struct scrape_counts *counts);
void udp_scrape_reply_encode(struct wr *w, uint32_t transaction_id,
                             const struct scrape_counts *counts, size_t n);
void udp_error_encode(struct wr *w, uint32_t transaction_id, struct span text);

/* What a client receives. Spans are borrowed from the datagram. */
struct udp_reply {
    uint32_t action;
    uint32_t transaction_id;
    uint64_t connection_id;         /* connect */
    struct announce_reply announce; /* announce: interval_s, counts, peers4 or peers6 */
    struct span scrape;             /* scrape: UDP_SCRAPE_ENTRY_LEN bytes a hash */
    struct span error;              /* error: the text */
};

/* v6: the datagram came over IPv6, so that peers have 18 bytes. Returns bytes used (a cut-short
 * last peer or count is not), or ERR_MALFORMED with *why. An unknown action is returned as such. */
ssize_t udp_reply_decode(struct udp_reply *out, struct span datagram, bool v6, const char **why);

/* The i-th entry of a scrape reply, i < scrape.n / UDP_SCRAPE_ENTRY_LEN. */
struct scrape_counts udp_scrape_at(struct span scrape, size_t i);

#endif
