/* What is answered: written by a tracker, read by a client. */
#include "proto/http_tracker.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "proto/bencode.h"
#include "proto/compact.h"

#include "base/banned.h"

enum {
    HASH_LEN = 20,
    REPLY_DEPTH_MAX = 16, /* a reply needs 3 */
    REPLY_ITEMS_MAX = 256,
    REPLY_ITEMS_PER_PEER = 16, /* a peer's dictionary has 7, and room for some we do not know */
};

/* ---- written ---- */

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

/* ---- read ---- */

static int malformed(const char **why, const char *text)
{
    *why = text;
    return ERR_MALFORMED;
}

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
