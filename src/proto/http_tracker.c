#include "proto/http_tracker.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/parse.h"
#include "proto/bencode.h"
#include "proto/compact.h"
#include "proto/tracker_path.h"

#include "base/banned.h"

enum {
    HASH_LEN = 20,
    VALUE_MAX = 64,       /* bytes of a decoded number or address */
    REPLY_DEPTH_MAX = 16, /* a reply needs 3 */
    REPLY_ITEMS_MAX = 256,
    REPLY_ITEMS_PER_PEER = 16, /* a peer's dictionary has 7, and room for some we do not know */
};

static int malformed(const char **why, const char *text)
{
    *why = text;
    return ERR_MALFORMED;
}

/* ---- paths ---- */

static enum http_tracker_route route_of(struct span word)
{
    return span_eq(word, SPAN("announce")) ? HTTP_ROUTE_ANNOUNCE
           : span_eq(word, SPAN("scrape")) ? HTTP_ROUTE_SCRAPE
                                           : HTTP_ROUTE_NONE;
}

enum http_tracker_route http_tracker_route(struct span path, struct span *key)
{
    struct tracker_path at;
    *key = span_of(NULL, 0);
    if (!tracker_path_split(&at, path)) {
        return HTTP_ROUTE_NONE;
    }
    enum http_tracker_route first = route_of(at.first);
    if (at.second.n == 0) {
        return at.first.n == 0                           ? HTTP_ROUTE_ROOT
               : span_eq(at.first, SPAN("health_check")) ? HTTP_ROUTE_HEALTH
                                                         : first;
    }
    enum http_tracker_route second = route_of(at.second);
    if (first == HTTP_ROUTE_NONE && second == HTTP_ROUTE_NONE) {
        return HTTP_ROUTE_NONE;
    }
    *key = first != HTTP_ROUTE_NONE ? at.second : at.first;
    return first != HTTP_ROUTE_NONE ? first : second;
}

/* ---- queries: each byte is looked at once, as part of a name or of the value it starts ---- */

struct query {
    const uint8_t *p;
    const uint8_t *end;
};

enum param {
    PARAM_UNKNOWN = 0,
    PARAM_INFO_HASH = 1 << 0,
    PARAM_PEER_ID = 1 << 1,
    PARAM_PORT = 1 << 2,
    PARAM_UPLOADED = 1 << 3,
    PARAM_DOWNLOADED = 1 << 4,
    PARAM_LEFT = 1 << 5,
    PARAM_EVENT = 1 << 6,
    PARAM_NUMWANT = 1 << 7,
    PARAM_COMPACT = 1 << 8,
    PARAM_NO_PEER_ID = 1 << 9,
    PARAM_IP = 1 << 10,
    PARAM_IPV4 = 1 << 11,
    PARAM_IPV6 = 1 << 12,
};

#define NAME_IS(name, literal) (memcmp((name).p, literal, sizeof(literal) - 1) == 0)

static inline enum param param_of(struct span name)
{
    switch (name.n) {
    case 2:
        return NAME_IS(name, "ip") ? PARAM_IP : PARAM_UNKNOWN;
    case 4:
        return NAME_IS(name, "port")   ? PARAM_PORT
               : NAME_IS(name, "left") ? PARAM_LEFT
               : NAME_IS(name, "ipv4") ? PARAM_IPV4
               : NAME_IS(name, "ipv6") ? PARAM_IPV6
                                       : PARAM_UNKNOWN;
    case 5:
        return NAME_IS(name, "event") ? PARAM_EVENT : PARAM_UNKNOWN;
    case 7:
        return NAME_IS(name, "peer_id")   ? PARAM_PEER_ID
               : NAME_IS(name, "numwant") ? PARAM_NUMWANT
               : NAME_IS(name, "compact") ? PARAM_COMPACT
                                          : PARAM_UNKNOWN;
    case 8:
        return NAME_IS(name, "uploaded") ? PARAM_UPLOADED : PARAM_UNKNOWN;
    case 9:
        return NAME_IS(name, "info_hash") ? PARAM_INFO_HASH : PARAM_UNKNOWN;
    case 10:
        return NAME_IS(name, "downloaded")   ? PARAM_DOWNLOADED
               : NAME_IS(name, "no_peer_id") ? PARAM_NO_PEER_ID
                                             : PARAM_UNKNOWN;
    default:
        return PARAM_UNKNOWN;
    }
}

/* The name at the start; the query is then at the value (which is empty without a "="). */
static inline struct span take_name(struct query *q)
{
    const uint8_t *p = q->p;
    while (p < q->end && *p != '=' && *p != '&') {
        p++;
    }
    struct span name = span_of(q->p, (size_t)(p - q->p));
    q->p = p < q->end && *p == '=' ? p + 1 : p;
    return name;
}

static inline struct span take_value(struct query *q)
{
    const uint8_t *first = q->p;
    const uint8_t *stop = memchr(first, '&', (size_t)(q->end - first));
    q->p = stop == NULL ? q->end : stop;
    return span_of(first, (size_t)(q->p - first));
}

static inline bool at_value_end(const struct query *q)
{
    return q->p == q->end || *q->p == '&';
}

/* The value of a hex digit plus one; 0 for any other byte. */
static const uint8_t hex_value[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/* Exactly 20 bytes, %XX decoded. The cursor is a local while bytes are stored, which could alias.
 */
static bool take_hash(struct query *q, uint8_t out[static HASH_LEN])
{
    const uint8_t *p = q->p;
    const uint8_t *end = q->end;
    for (size_t i = 0; i < HASH_LEN; i++) {
        if (p == end || *p == '&') {
            return false;
        }
        if (*p != '%') {
            out[i] = *p++;
            continue;
        }
        if (end - p < 3) {
            return false;
        }
        unsigned high = hex_value[p[1]];
        unsigned low = hex_value[p[2]];
        if (high == 0 || low == 0) {
            return false;
        }
        out[i] = (uint8_t)((high - 1) << 4 | (low - 1));
        p += 3;
    }
    q->p = p;
    return at_value_end(q);
}

/* A short value with %XX decoded, in room; empty when it is longer than that, or malformed. */
static struct span take_decoded(struct query *q, uint8_t room[static VALUE_MAX])
{
    long n = percent_decode(room, VALUE_MAX, take_value(q));
    return span_of(room, n < 0 ? 0 : (size_t)n);
}

static bool take_number(struct query *q, uint64_t *out, uint64_t max)
{
    const uint8_t *first = q->p;
    const uint8_t *p = first;
    uint64_t v = 0;
    while (p < q->end && *p >= '0' && *p <= '9' && p - first < 19) {
        v = v * 10 + (uint64_t)(*p++ - '0');
    }
    q->p = p;
    if (p > first && at_value_end(q)) {
        *out = v;
        return v <= max;
    }
    /* No number, one of 20 digits, or one with %XX in it. */
    uint8_t room[VALUE_MAX];
    q->p = first;
    return parse_u64(out, take_decoded(q, room), max);
}

static bool take_numwant(struct query *q, int32_t *out)
{
    uint64_t n;
    bool negative = q->p < q->end && *q->p == '-';
    q->p += negative ? 1 : 0;
    if (!take_number(q, &n, UINT64_MAX)) {
        return false;
    }
    *out = negative ? NUMWANT_UNSET : n > INT32_MAX ? INT32_MAX : (int32_t)n;
    return true;
}

static enum announce_event event_of(struct span s)
{
    return span_eq(s, SPAN("started"))     ? EVENT_STARTED
           : span_eq(s, SPAN("stopped"))   ? EVENT_STOPPED
           : span_eq(s, SPAN("completed")) ? EVENT_COMPLETED
                                           : EVENT_NONE;
}

/* BEP 3 has an address here, BEP 7 also address and port. */
static void take_ip(struct query *q, struct announce_req *out)
{
    uint8_t room[VALUE_MAX];
    struct endpoint e;
    struct span text = take_decoded(q, room);
    if (!out->has_ip && (addr_parse(&e.addr, text) || endpoint_parse(&e, text))) {
        out->has_ip = true;
        out->ip = e.addr;
    }
}

static int take_param(struct announce_req *out, enum param param, struct query *q, const char **why)
{
    uint64_t n;
    switch (param) {
    case PARAM_INFO_HASH:
        return take_hash(q, out->info_hash.b) ? 0 : malformed(why, "info_hash must be 20 bytes");
    case PARAM_PEER_ID:
        return take_hash(q, out->peer_id.b) ? 0 : malformed(why, "peer_id must be 20 bytes");
    case PARAM_PORT:
        if (!take_number(q, &n, UINT16_MAX) || n == 0) {
            return malformed(why, "port must be a number from 1 to 65535");
        }
        out->port = (uint16_t)n;
        return 0;
    case PARAM_UPLOADED:
        return take_number(q, &out->uploaded, UINT64_MAX)
                   ? 0
                   : malformed(why, "uploaded must be a whole number of bytes");
    case PARAM_DOWNLOADED:
        return take_number(q, &out->downloaded, UINT64_MAX)
                   ? 0
                   : malformed(why, "downloaded must be a whole number of bytes");
    case PARAM_LEFT:
        return take_number(q, &out->left, UINT64_MAX)
                   ? 0
                   : malformed(why, "left must be a whole number of bytes");
    case PARAM_NUMWANT:
        return take_numwant(q, &out->numwant) ? 0
                                              : malformed(why, "numwant must be a whole number");
    case PARAM_EVENT:
        out->event = event_of(take_value(q));
        return 0;
    case PARAM_COMPACT:
        out->compact = !span_eq(take_value(q), SPAN("0"));
        return 0;
    case PARAM_NO_PEER_ID:
        out->no_peer_id = span_eq(take_value(q), SPAN("1"));
        return 0;
    case PARAM_IP:
    case PARAM_IPV4:
    case PARAM_IPV6:
        take_ip(q, out);
        return 0;
    case PARAM_UNKNOWN:
        break;
    }
    (void)take_value(q);
    return 0;
}

/* Field by field: gcc turns the assignment of a whole struct into a slow string store. */
static void set_defaults(struct announce_req *out)
{
    out->uploaded = 0;
    out->downloaded = 0;
    out->left = UINT64_MAX;
    out->event = EVENT_NONE;
    out->numwant = NUMWANT_UNSET;
    out->port = 0;
    out->compact = true;
    out->no_peer_id = false;
    out->has_ip = false;
    memset(&out->ip, 0, sizeof out->ip);
    out->key = span_of(NULL, 0);
    memset(&out->from, 0, sizeof out->from);
}

int http_announce_decode(struct announce_req *out, struct span query, const char **why)
{
    struct query q = {query.p, query.n == 0 ? query.p : query.p + query.n};
    unsigned seen = 0;
    set_defaults(out);
    while (q.p < q.end) {
        enum param param = param_of(take_name(&q));
        if (seen & (unsigned)param) {
            param = PARAM_UNKNOWN;
        }
        seen |= (unsigned)param;
        int rc = take_param(out, param, &q, why);
        if (rc < 0) {
            return rc;
        }
        q.p += q.p < q.end ? 1 : 0; /* '&' */
    }
    if (!(seen & PARAM_INFO_HASH)) {
        return malformed(why, "info_hash is missing");
    }
    if (!(seen & PARAM_PEER_ID)) {
        return malformed(why, "peer_id is missing");
    }
    if (!(seen & PARAM_PORT)) {
        return malformed(why, "port is missing");
    }
    return 0;
}

int http_scrape_decode(struct infohash *out, size_t cap, struct span query, const char **why)
{
    struct query q = {query.p, query.n == 0 ? query.p : query.p + query.n};
    size_t n = 0;
    while (q.p < q.end) {
        if (param_of(take_name(&q)) != PARAM_INFO_HASH) {
            (void)take_value(&q);
        } else if (n == cap) {
            *why = "too many info_hash in one scrape";
            return ERR_LIMIT;
        } else if (!take_hash(&q, out[n++].b)) {
            return malformed(why, "info_hash must be 20 bytes");
        }
        q.p += q.p < q.end ? 1 : 0; /* '&' */
    }
    return (int)n;
}

static void put_number(struct wr *w, struct span name, uint64_t v)
{
    wr_bytes(w, name);
    wr_dec(w, v);
}

void http_announce_encode(struct wr *w, const struct announce_req *req)
{
    static const char *const events[] = {NULL, "completed", "started", "stopped"};
    wr_bytes(w, SPAN("info_hash="));
    percent_encode(w, span_of(req->info_hash.b, HASH_LEN), PERCENT_UNRESERVED);
    wr_bytes(w, SPAN("&peer_id="));
    percent_encode(w, span_of(req->peer_id.b, HASH_LEN), PERCENT_UNRESERVED);
    put_number(w, SPAN("&port="), req->port);
    put_number(w, SPAN("&uploaded="), req->uploaded);
    put_number(w, SPAN("&downloaded="), req->downloaded);
    if (req->left != UINT64_MAX) {
        put_number(w, SPAN("&left="), req->left);
    }
    if (req->event != EVENT_NONE) {
        wr_bytes(w, SPAN("&event="));
        wr_bytes(w, span_str(events[req->event]));
    }
    if (req->numwant >= 0) {
        put_number(w, SPAN("&numwant="), (uint64_t)req->numwant);
    }
    wr_bytes(w, req->compact ? SPAN("&compact=1") : SPAN("&compact=0"));
    if (req->no_peer_id) {
        wr_bytes(w, SPAN("&no_peer_id=1"));
    }
    if (req->has_ip) {
        char text[ADDR_TEXT_LEN];
        wr_bytes(w, SPAN("&ip="));
        percent_encode(w, span_str(addr_format(text, &req->ip)), PERCENT_UNRESERVED);
    }
}

void http_scrape_encode(struct wr *w, const struct infohash *hashes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        wr_bytes(w, i == 0 ? SPAN("info_hash=") : SPAN("&info_hash="));
        percent_encode(w, span_of(hashes[i].b, HASH_LEN), PERCENT_UNRESERVED);
    }
}

bool http_scrape_url(struct wr *w, struct span announce)
{
    static const char word[] = "announce";
    struct span url = span_cut(announce, '#', NULL);
    size_t host = span_find(url, ':') + 3; /* "://" */
    size_t at = url.n;
    while (at > host && url.p[at - 1] != '/') {
        at--;
    }
    if (at <= host || !span_starts_with(span_sub(url, at, url.n), span_str(word))) {
        return false;
    }
    wr_bytes(w, span_sub(url, 0, at));
    wr_bytes(w, SPAN("scrape"));
    wr_bytes(w, span_sub(url, at + sizeof word - 1, url.n));
    return true;
}

/* ---- answers, tracker's side ---- */

static void put_peer_dict(struct wr *w, const struct endpoint *e, const struct peer_id *id)
{
    char ip[ADDR_TEXT_LEN];
    wr_bytes(w, SPAN("d2:ip"));
    bencode_write_string(w, span_str(addr_format(ip, &e->addr)));
    if (id != NULL) {
        wr_bytes(w, SPAN("7:peer id"));
        bencode_write_string(w, span_of(id->b, sizeof id->b));
    }
    wr_bytes(w, SPAN("4:port"));
    bencode_write_int(w, e->port);
    wr_u8(w, 'e');
}

static void put_peer_dicts(struct wr *w, struct span peers, bool v6, const struct peer_id *ids)
{
    struct endpoint e;
    for (size_t i = 0; compact_next(&peers, v6, &e); i++) {
        put_peer_dict(w, &e, ids == NULL ? NULL : &ids[i]);
    }
}

void http_announce_reply_encode(struct wr *to, const struct announce_reply *reply, bool compact)
{
    struct wr w = *to; /* a local cursor stays in registers */
    wr_bytes(&w, SPAN("d8:complete"));
    bencode_write_int(&w, reply->counts.complete);
    wr_bytes(&w, SPAN("10:downloaded"));
    bencode_write_int(&w, reply->counts.downloaded);
    wr_bytes(&w, SPAN("10:incomplete"));
    bencode_write_int(&w, reply->counts.incomplete);
    wr_bytes(&w, SPAN("8:interval"));
    bencode_write_int(&w, reply->interval_s);
    if (reply->min_interval_s > 0) {
        wr_bytes(&w, SPAN("12:min interval"));
        bencode_write_int(&w, reply->min_interval_s);
    }
    wr_bytes(&w, SPAN("5:peers"));
    if (compact) {
        bencode_write_string(&w, reply->peers4);
        if (reply->peers6.n > 0) {
            wr_bytes(&w, SPAN("6:peers6"));
            bencode_write_string(&w, reply->peers6);
        }
    } else {
        bencode_write_list_begin(&w);
        put_peer_dicts(&w, reply->peers4, false, reply->peer4_ids);
        put_peer_dicts(&w, reply->peers6, true, reply->peer6_ids);
        bencode_write_end(&w);
    }
    if (reply->warning.n > 0) {
        wr_bytes(&w, SPAN("15:warning message"));
        bencode_write_string(&w, reply->warning);
    }
    wr_u8(&w, 'e');
    *to = w;
}

/* The indexes of the hashes in sorted order, each hash once, as the keys of a dictionary must be.
 * Returns their number. Insertion: there are few. */
static size_t sort_hashes(uint8_t order[static HTTP_SCRAPE_MAX], const struct infohash *hashes,
                          size_t n)
{
    size_t n_sorted = 0;
    for (size_t i = 0; i < n; i++) {
        size_t at = n_sorted;
        int cmp = 1;
        while (at > 0 && (cmp = memcmp(hashes[i].b, hashes[order[at - 1]].b, HASH_LEN)) < 0) {
            at--;
        }
        if (cmp == 0) {
            continue;
        }
        memmove(order + at + 1, order + at, n_sorted - at);
        order[at] = (uint8_t)i;
        n_sorted++;
    }
    return n_sorted;
}

void http_scrape_reply_encode(struct wr *w, const struct infohash *hashes,
                              const struct scrape_counts *counts, size_t n,
                              uint32_t min_request_interval_s)
{
    uint8_t order[HTTP_SCRAPE_MAX];
    ASSERT(n <= HTTP_SCRAPE_MAX);
    n = sort_hashes(order, hashes, n);
    wr_bytes(w, SPAN("d5:filesd"));
    for (size_t i = 0; i < n; i++) {
        const struct scrape_counts *c = &counts[order[i]];
        bencode_write_string(w, span_of(hashes[order[i]].b, HASH_LEN));
        wr_bytes(w, SPAN("d8:complete"));
        bencode_write_int(w, c->complete);
        wr_bytes(w, SPAN("10:downloaded"));
        bencode_write_int(w, c->downloaded);
        wr_bytes(w, SPAN("10:incomplete"));
        bencode_write_int(w, c->incomplete);
        wr_u8(w, 'e');
    }
    wr_u8(w, 'e');
    if (min_request_interval_s > 0) {
        wr_bytes(w, SPAN("5:flagsd20:min_request_interval"));
        bencode_write_int(w, min_request_interval_s);
        wr_u8(w, 'e');
    }
    wr_u8(w, 'e');
}

void http_failure_encode(struct wr *w, const struct announce_failure *failure)
{
    wr_bytes(w, SPAN("d14:failure reason"));
    bencode_write_string(w, failure->reason);
    if (failure->retry_in_min < 0) {
        wr_bytes(w, SPAN("8:retry in5:never"));
    } else if (failure->retry_in_min > 0) {
        wr_bytes(w, SPAN("8:retry in"));
        bencode_write_int(w, failure->retry_in_min);
    }
    wr_u8(w, 'e');
}

/* ---- answers, client's side ---- */

static uint32_t get_u32(struct bencode dict, struct span key)
{
    int64_t v = 0;
    (void)bencode_get_int(dict, key, &v); /* absent or odd: 0, for the caller's policy */
    return v < 0 ? 0 : v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static bool read_failure(struct announce_failure *out, struct bencode dict)
{
    struct span text;
    int64_t minutes;
    if (!bencode_get_string(dict, SPAN("failure reason"), &out->reason)) {
        return false;
    }
    struct bencode retry = bencode_get(dict, SPAN("retry in"));
    if (bencode_string(retry, &text) && span_eq(text, SPAN("never"))) {
        out->retry_in_min = -1;
    } else if (bencode_int(retry, &minutes) && minutes > 0) {
        out->retry_in_min = minutes > INT32_MAX ? INT32_MAX : (int32_t)minutes;
    }
    return true;
}

/* Write the peers of one family that have an address (not a name) and a port in wire form. */
static struct span flatten_peers(struct bencode list, bool v6, struct wr *room)
{
    struct bencode_walk at = bencode_walk(list);
    struct bencode peer;
    const uint8_t *first = room->p;
    while (bencode_next(&at, &peer)) {
        struct span ip;
        int64_t port;
        struct endpoint e;
        if (!bencode_get_string(peer, SPAN("ip"), &ip) ||
            !bencode_get_int(peer, SPAN("port"), &port) || port < 1 || port > UINT16_MAX ||
            !addr_parse(&e.addr, ip) || e.addr.v6 != v6) {
            continue;
        }
        e.port = (uint16_t)port;
        uint8_t *to = wr_reserve(room, compact_len(v6));
        if (to != NULL) {
            compact_write(to, &e);
        }
    }
    return span_of(first, (size_t)(room->p - first));
}

static int read_peers(struct announce_reply *out, struct bencode dict, struct wr *room,
                      size_t peers_max, const char **why)
{
    struct bencode peers = bencode_get(dict, SPAN("peers"));
    (void)bencode_get_string(dict, SPAN("peers6"), &out->peers6); /* absent: none */
    if (bencode_type(peers) == BENCODE_LIST) {
        out->peers4 = flatten_peers(peers, false, room);
        struct span peers6 = flatten_peers(peers, true, room);
        out->peers6 = peers6.n > 0 ? peers6 : out->peers6;
    } else if (bencode_type(peers) != BENCODE_NONE && !bencode_string(peers, &out->peers4)) {
        return malformed(why, "peers is neither a string nor a list");
    }
    if (out->peers4.n % COMPACT4_LEN != 0 || out->peers6.n % COMPACT6_LEN != 0) {
        return malformed(why, "peers is not a whole number of peers");
    }
    if (room->bad || out->peers4.n / COMPACT4_LEN + out->peers6.n / COMPACT6_LEN > peers_max) {
        *why = "too many peers";
        return ERR_LIMIT;
    }
    return 0;
}

/* returns whether the two that matter are there. */
static bool read_counts(struct scrape_counts *out, struct bencode dict)
{
    *out = (struct scrape_counts){
        .complete = get_u32(dict, SPAN("complete")),
        .downloaded = get_u32(dict, SPAN("downloaded")),
        .incomplete = get_u32(dict, SPAN("incomplete")),
    };
    return bencode_type(bencode_get(dict, SPAN("complete"))) == BENCODE_INT &&
           bencode_type(bencode_get(dict, SPAN("incomplete"))) == BENCODE_INT;
}

static void read_external_ip(struct http_reply *out, struct bencode dict)
{
    struct span ip;
    if (bencode_get_string(dict, SPAN("external ip"), &ip) && (ip.n == 4 || ip.n == 16)) {
        out->external_ip = ip.n == 4 ? addr_from_v4(ip.p) : addr_from_v6(ip.p);
        out->has_external_ip = true;
    }
}

static int decode_dict(struct bencode *out, struct span body, size_t items_max, const char **why)
{
    struct bencode_limits lim = {
        .len_max = body.n,
        .string_max = SIZE_MAX, /* the body has its limit */
        .items_max = items_max,
        .depth_max = REPLY_DEPTH_MAX,
    };
    ssize_t n = bencode_decode(out, body, &lim, why);
    if (n < 0) {
        return (int)n;
    }
    return bencode_type(*out) == BENCODE_DICT ? 0 : malformed(why, "reply is not a dictionary");
}

ssize_t http_announce_reply_decode(struct http_reply *out, struct span body, struct wr *room,
                                   const struct http_reply_limits *limits, const char **why)
{
    struct bencode dict;
    struct announce_reply *reply = &out->reply;
    *out = (struct http_reply){.failed = false};
    int rc =
        decode_dict(&dict, body, REPLY_ITEMS_MAX + limits->peers_max * REPLY_ITEMS_PER_PEER, why);
    if (rc < 0) {
        return rc;
    }
    out->failed = read_failure(&out->failure, dict);
    if (out->failed) {
        return (ssize_t)body.n;
    }
    reply->interval_s = get_u32(dict, SPAN("interval"));
    reply->min_interval_s = get_u32(dict, SPAN("min interval"));
    out->has_counts = read_counts(&reply->counts, dict);
    (void)bencode_get_string(dict, SPAN("warning message"), &reply->warning);
    (void)bencode_get_string(dict, SPAN("tracker id"), &out->tracker_id);
    read_external_ip(out, dict);
    rc = read_peers(reply, dict, room, limits->peers_max, why);
    return rc < 0 ? rc : (ssize_t)body.n;
}

ssize_t http_scrape_reply_decode(struct http_scrape_reply *out, struct span body, const char **why)
{
    struct bencode dict;
    *out = (struct http_scrape_reply){.failed = false};
    int rc = decode_dict(&dict, body, body.n, why);
    if (rc < 0) {
        return rc;
    }
    out->failed = read_failure(&out->failure, dict);
    if (out->failed) {
        return (ssize_t)body.n;
    }
    struct bencode files = bencode_get(dict, SPAN("files"));
    if (bencode_type(files) != BENCODE_DICT) {
        return malformed(why, "files is not a dictionary");
    }
    out->files = files.raw;
    out->min_request_interval_s =
        get_u32(bencode_get(dict, SPAN("flags")), SPAN("min_request_interval"));
    return (ssize_t)body.n;
}

bool http_scrape_reply_find(const struct http_scrape_reply *reply, const struct infohash *hash,
                            struct scrape_counts *out)
{
    const struct bencode files = {reply->files};
    return read_counts(out, bencode_get(files, span_of(hash->b, sizeof hash->b)));
}
