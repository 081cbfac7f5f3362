/* What is asked. Answers: http_tracker_reply.c. */
#include "proto/http_tracker.h"

#include <string.h>

#include "base/err.h"
#include "base/parse.h"
#include "proto/tracker_path.h"

#include "base/banned.h"

enum {
    HASH_LEN = 20,
    VALUE_MAX = 64, /* bytes of a decoded number or address */
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
