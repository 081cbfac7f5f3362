#include "proto/udp_tracker.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "proto/tracker_path.h"

#include "base/banned.h"

enum {
    HASH_LEN = 20,
    HEAD_LEN = 16,      /* connection id, action, transaction id */
    REPLY_HEAD_LEN = 8, /* action, transaction id */
    CONNECT_REPLY_LEN = 16,
    OPTION_DATA_MAX = 255,
};

enum url_option { OPTION_END = 0, OPTION_NOP = 1, OPTION_URL_DATA = 2 };

/* Fixed layouts whose length was checked: plain loads and stores, not a cursor. */
static inline uint16_t get16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap16(v);
}

static inline uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap32(v);
}

static inline uint64_t get64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap64(v);
}

static inline void put32(uint8_t *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof v);
}

static inline void put64(uint8_t *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof v);
}

static int malformed(const char **why, const char *text)
{
    *why = text;
    return ERR_MALFORMED;
}

/* BEP 41: options behind the announce, URL data of all of them joined. */
static int decode_options(struct udp_request *out, struct span options, const char **why)
{
    struct rd r = rd_over(options);
    while (rd_left(&r) > 0) {
        uint8_t type = rd_u8(&r);
        if (type == OPTION_END) {
            break;
        }
        if (type == OPTION_NOP) {
            continue;
        }
        struct span data = rd_bytes(&r, rd_u8(&r));
        if (r.bad) {
            return malformed(why, "an option is cut short");
        }
        if (type != OPTION_URL_DATA || data.n == 0) {
            continue;
        }
        if (data.n > (size_t)(UDP_URL_DATA_MAX - out->url_data_len)) {
            return malformed(why, "URL data is too long");
        }
        memcpy(out->url_data + out->url_data_len, data.p, data.n);
        out->url_data_len = (uint16_t)(out->url_data_len + data.n);
    }
    out->announce.key = udp_url_key(span_of(out->url_data, out->url_data_len));
    return (int)(options.n - rd_left(&r));
}

static ssize_t decode_announce(struct udp_request *out, struct span d, const char **why)
{
    struct announce_req *a = &out->announce;
    const uint8_t *p = d.p;
    if (d.n < UDP_ANNOUNCE_LEN) {
        return malformed(why, "announce is too short");
    }
    memcpy(a->info_hash.b, p + 16, HASH_LEN);
    memcpy(a->peer_id.b, p + 36, HASH_LEN);
    a->downloaded = get64(p + 56);
    a->left = get64(p + 64);
    a->uploaded = get64(p + 72);
    uint32_t event = get32(p + 80);
    a->event = event <= EVENT_STOPPED ? (enum announce_event)event : EVENT_NONE;
    a->has_ip = get32(p + 84) != 0;
    a->ip = (struct addr){.v6 = false};
    memcpy(a->ip.b, p + 84, 4);
    out->key = get32(p + 88);
    uint32_t numwant = get32(p + 92);
    a->numwant = numwant <= INT32_MAX ? (int32_t)numwant : NUMWANT_UNSET;
    a->port = get16(p + 96);
    a->compact = true;
    a->no_peer_id = true;
    a->key = span_of(NULL, 0);
    out->url_data_len = 0;
    if (a->port == 0) {
        return malformed(why, "port must not be 0");
    }
    if (d.n == UDP_ANNOUNCE_LEN) {
        return UDP_ANNOUNCE_LEN;
    }
    int used = decode_options(out, span_sub(d, UDP_ANNOUNCE_LEN, d.n), why);
    return used < 0 ? used : UDP_ANNOUNCE_LEN + used;
}

static ssize_t decode_scrape(struct udp_request *out, struct span d, const char **why)
{
    size_t n = (d.n - HEAD_LEN) / HASH_LEN;
    if (d.n != HEAD_LEN + n * HASH_LEN) {
        return malformed(why, "scrape is not a whole number of info-hashes");
    }
    n = n < UDP_SCRAPE_WIRE_MAX ? n : UDP_SCRAPE_WIRE_MAX;
    out->hashes = span_sub(d, HEAD_LEN, n * HASH_LEN);
    return (ssize_t)(HEAD_LEN + n * HASH_LEN);
}

ssize_t udp_request_decode(struct udp_request *out, struct span datagram, const char **why)
{
    if (datagram.n < HEAD_LEN) {
        return malformed(why, "datagram is too short");
    }
    out->connection_id = get64(datagram.p);
    out->action = get32(datagram.p + 8);
    out->transaction_id = get32(datagram.p + 12);
    switch (out->action) {
    case UDP_ANNOUNCE:
        return decode_announce(out, datagram, why);
    case UDP_SCRAPE:
        return decode_scrape(out, datagram, why);
    default:
        return HEAD_LEN;
    }
}

struct span udp_url_key(struct span url_data)
{
    struct tracker_path path;
    struct span announce = SPAN("announce");
    if (!tracker_path_split(&path, span_cut(url_data, '?', NULL))) {
        return span_of(NULL, 0);
    }
    if (path.second.n == 0) {
        return span_eq(path.first, announce) ? path.second : path.first;
    }
    if (span_eq(path.first, announce)) {
        return path.second;
    }
    return span_eq(path.second, announce) ? path.first : span_of(NULL, 0);
}

static uint8_t *put_head(struct wr *w, size_t len, uint64_t connection_id, enum udp_action action,
                         uint32_t transaction_id)
{
    uint8_t *p = wr_reserve(w, len);
    if (p != NULL) {
        put64(p, connection_id);
        put32(p + 8, action);
        put32(p + 12, transaction_id);
    }
    return p;
}

void udp_connect_encode(struct wr *w, uint32_t transaction_id)
{
    (void)put_head(w, UDP_CONNECT_LEN, UDP_PROTOCOL_ID, UDP_CONNECT, transaction_id);
}

void udp_announce_encode(struct wr *w, uint64_t connection_id, uint32_t transaction_id,
                         uint32_t key, const struct announce_req *req, struct span url_data)
{
    uint8_t *p = put_head(w, UDP_ANNOUNCE_LEN, connection_id, UDP_ANNOUNCE, transaction_id);
    if (p == NULL) {
        return;
    }
    memcpy(p + 16, req->info_hash.b, HASH_LEN);
    memcpy(p + 36, req->peer_id.b, HASH_LEN);
    put64(p + 56, req->downloaded);
    put64(p + 64, req->left);
    put64(p + 72, req->uploaded);
    put32(p + 80, req->event);
    memset(p + 84, 0, 4);
    if (req->has_ip && !req->ip.v6) {
        memcpy(p + 84, req->ip.b, 4);
    }
    put32(p + 88, key);
    put32(p + 92, (uint32_t)req->numwant);
    p[96] = (uint8_t)(req->port >> 8);
    p[97] = (uint8_t)req->port;
    while (url_data.n > 0) {
        struct span chunk = span_sub(url_data, 0, OPTION_DATA_MAX);
        wr_u8(w, OPTION_URL_DATA);
        wr_u8(w, (uint8_t)chunk.n);
        wr_bytes(w, chunk);
        url_data = span_sub(url_data, chunk.n, url_data.n);
    }
}

void udp_scrape_encode(struct wr *w, uint64_t connection_id, uint32_t transaction_id,
                       const struct infohash *hashes, size_t n)
{
    (void)put_head(w, HEAD_LEN, connection_id, UDP_SCRAPE, transaction_id);
    for (size_t i = 0; i < n; i++) {
        wr_bytes(w, span_of(hashes[i].b, HASH_LEN));
    }
}

static uint8_t *put_reply_head(struct wr *w, size_t len, enum udp_action action,
                               uint32_t transaction_id)
{
    uint8_t *p = wr_reserve(w, len);
    if (p != NULL) {
        put32(p, action);
        put32(p + 4, transaction_id);
    }
    return p;
}

void udp_connect_reply_encode(struct wr *w, uint32_t transaction_id, uint64_t connection_id)
{
    uint8_t *p = put_reply_head(w, CONNECT_REPLY_LEN, UDP_CONNECT, transaction_id);
    if (p != NULL) {
        put64(p + 8, connection_id);
    }
}

void udp_announce_reply_encode(struct wr *w, uint32_t transaction_id, uint32_t interval_s,
                               const struct scrape_counts *counts)
{
    uint8_t *p = put_reply_head(w, UDP_ANNOUNCE_REPLY_LEN, UDP_ANNOUNCE, transaction_id);
    if (p != NULL) {
        put32(p + 8, interval_s);
        put32(p + 12, counts->incomplete);
        put32(p + 16, counts->complete);
    }
}

void udp_scrape_reply_encode(struct wr *w, uint32_t transaction_id,
                             const struct scrape_counts *counts, size_t n)
{
    ASSERT(n <= UDP_SCRAPE_WIRE_MAX);
    uint8_t *p =
        put_reply_head(w, REPLY_HEAD_LEN + n * UDP_SCRAPE_ENTRY_LEN, UDP_SCRAPE, transaction_id);
    if (p == NULL) {
        return;
    }
    p += REPLY_HEAD_LEN;
    for (size_t i = 0; i < n; i++, p += UDP_SCRAPE_ENTRY_LEN) {
        put32(p, counts[i].complete);
        put32(p + 4, counts[i].downloaded);
        put32(p + 8, counts[i].incomplete);
    }
}

void udp_error_encode(struct wr *w, uint32_t transaction_id, struct span text)
{
    (void)put_reply_head(w, REPLY_HEAD_LEN, UDP_ERROR, transaction_id);
    wr_bytes(w, text);
}

static ssize_t decode_announce_reply(struct udp_reply *out, struct span d, bool v6,
                                     const char **why)
{
    size_t peer_len = v6 ? COMPACT6_LEN : COMPACT4_LEN;
    if (d.n < UDP_ANNOUNCE_REPLY_LEN) {
        return malformed(why, "announce reply is too short");
    }
    out->announce.interval_s = get32(d.p + 8);
    out->announce.counts.incomplete = get32(d.p + 12);
    out->announce.counts.complete = get32(d.p + 16);
    size_t n = (d.n - UDP_ANNOUNCE_REPLY_LEN) / peer_len;
    struct span peers = span_sub(d, UDP_ANNOUNCE_REPLY_LEN, n * peer_len);
    if (v6) {
        out->announce.peers6 = peers;
    } else {
        out->announce.peers4 = peers;
    }
    return (ssize_t)(UDP_ANNOUNCE_REPLY_LEN + peers.n);
}

ssize_t udp_reply_decode(struct udp_reply *out, struct span datagram, bool v6, const char **why)
{
    *out = (struct udp_reply){.action = 0};
    if (datagram.n < REPLY_HEAD_LEN) {
        return malformed(why, "datagram is too short");
    }
    out->action = get32(datagram.p);
    out->transaction_id = get32(datagram.p + 4);
    struct span body = span_sub(datagram, REPLY_HEAD_LEN, datagram.n);
    switch (out->action) {
    case UDP_CONNECT:
        if (datagram.n < CONNECT_REPLY_LEN) {
            return malformed(why, "connect reply is too short");
        }
        out->connection_id = get64(body.p);
        return CONNECT_REPLY_LEN;
    case UDP_ANNOUNCE:
        return decode_announce_reply(out, datagram, v6, why);
    case UDP_SCRAPE:
        out->scrape = span_sub(body, 0, body.n - body.n % UDP_SCRAPE_ENTRY_LEN);
        return (ssize_t)(REPLY_HEAD_LEN + out->scrape.n);
    case UDP_ERROR:
        out->error = body;
        return (ssize_t)datagram.n;
    default:
        return REPLY_HEAD_LEN;
    }
}

struct scrape_counts udp_scrape_at(struct span scrape, size_t i)
{
    ASSERT(i < scrape.n / UDP_SCRAPE_ENTRY_LEN);
    const uint8_t *p = scrape.p + i * UDP_SCRAPE_ENTRY_LEN;
    return (struct scrape_counts){
        .complete = get32(p), .downloaded = get32(p + 4), .incomplete = get32(p + 8)};
}
