#include "tracker/http_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/http_tracker.h"
#include "tracker/forwarded_for.h"
#include "tracker/worker_clock.h"

#include "base/banned.h"

enum {
    HEAD_ROOM = 512,       /* the longest response head */
    BODY_ROOM = 1024,      /* a body without its peers and files */
    PEER_DICT_ROOM = 112,  /* a peer as a dictionary, IPv6 text address and peer id included */
    FILE_DICT_ROOM = 112,  /* a torrent in a scrape */
    LENGTH_DIGITS_MAX = 7, /* of Content-Length */
};

/* An announce that waits to be answered with others, without peer ids. */
struct kept {
    struct announce_req req;
    uint8_t key[ACCESS_KEY_LEN];
    struct span connection;
    bool keep_alive;
    bool head_only;
    uint8_t peers4[NUMWANT_LIMIT * COMPACT4_LEN];
    uint8_t peers6[NUMWANT_LIMIT * COMPACT6_LEN];
};

struct http_answerer {
    struct tracker_worker *worker;
    struct stats_block *stats;
    const struct tracker_cfg *tracker_cfg;
    const struct config *cfg;
    uint32_t max_scrape;
    uint32_t n_unsampled; /* answers since the last that was timed */
    size_t room;
    char scrape_limit_text[64];
    struct announce_req announce;
    struct infohash hashes[SCRAPE_MAX];
    struct scrape_counts counts[SCRAPE_MAX];
    uint8_t peers4[NUMWANT_LIMIT * COMPACT4_LEN];
    uint8_t peers6[NUMWANT_LIMIT * COMPACT6_LEN];
    struct peer_id ids4[NUMWANT_LIMIT];
    struct peer_id ids6[NUMWANT_LIMIT];
    size_t n_kept;
    struct tracker_visit visits[HTTP_TOGETHER_MAX];
    struct kept kept[HTTP_TOGETHER_MAX];
};

_Static_assert((int)HTTP_TOGETHER_MAX <= (int)TRACKER_VISITS_MAX, "all that is kept is one batch");

/* A response that is being written. */
struct response {
    struct wr *out;
    uint8_t *body; /* where it was begun: behind a head with a length of three digits */
    struct span head;
    struct span connection;
    size_t head_len;
    bool head_only;
};

struct http_answerer *http_answerer_new(struct tracker *tracker, struct tracker_worker *worker,
                                        const struct config *cfg)
{
    struct http_answerer *a = mem_new(struct http_answerer);
    a->worker = worker;
    a->stats = tracker_worker_stats(worker);
    a->tracker_cfg = tracker_cfg(tracker);
    a->cfg = cfg;
    ASSERT(a->tracker_cfg->max_numwant <= NUMWANT_LIMIT);
    a->max_scrape =
        a->tracker_cfg->max_scrape < SCRAPE_MAX ? a->tracker_cfg->max_scrape : (uint32_t)SCRAPE_MAX;
    a->room = HEAD_ROOM + BODY_ROOM + (size_t)a->tracker_cfg->max_numwant * PEER_DICT_ROOM +
              (size_t)a->max_scrape * FILE_DICT_ROOM;
    (void)snprintf(a->scrape_limit_text, sizeof a->scrape_limit_text,
                   "at most %u info_hash in one scrape", a->max_scrape);
    return a;
}

void http_answerer_free(struct http_answerer *a)
{
    free(a);
}

size_t http_answerer_room(const struct http_answerer *a)
{
    return a->room;
}

/* ---- response heads ---------------------------------------------------------------------- */

#define TEXT_PLAIN "Content-Type: text/plain\r\nContent-Length: "

static const struct span head_ok = SPAN("HTTP/1.1 200 OK\r\n" TEXT_PLAIN);
static const struct span head_json =
    SPAN("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ");
static const struct span head_bad = SPAN("HTTP/1.1 400 Bad Request\r\n" TEXT_PLAIN);
static const struct span head_missing = SPAN("HTTP/1.1 404 Not Found\r\n" TEXT_PLAIN);
static const struct span head_method =
    SPAN("HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\n" TEXT_PLAIN);
static const struct span head_too_large =
    SPAN("HTTP/1.1 431 Request Header Fields Too Large\r\n" TEXT_PLAIN);

static const struct span end_plain = SPAN("\r\n\r\n");
static const struct span end_keep = SPAN("\r\nConnection: keep-alive\r\n\r\n");
static const struct span end_close = SPAN("\r\nConnection: close\r\n\r\n");

/* The head needs the length of the body, which is written first, behind room for a head with a
 * length of three digits: what nearly every announce has. */
static const size_t usual_digits = 3;

static size_t count_digits(size_t n)
{
    size_t digits = 1;
    while (n >= 10) {
        n /= 10;
        digits++;
    }
    return digits;
}

/* head and connection with static text. */
static struct response begin(struct wr *out, struct span head, struct span connection)
{
    struct response r = {.out = out, .head = head, .connection = connection};
    r.head_len = head.n + usual_digits + connection.n;
    (void)wr_reserve(out, r.head_len);
    r.body = out->p;
    return r;
}

static struct span connection_text(const struct http1_request *req)
{
    if (!req->keep_alive) {
        return end_close;
    }
    return req->minor == 0 ? end_keep : end_plain;
}

static enum http_after finish(struct response *r, enum http_after after)
{
    struct wr *out = r->out;
    size_t body_len = (size_t)(out->p - r->body);
    size_t sent_len = r->head_only ? 0 : body_len;
    size_t digits = count_digits(body_len);
    ASSERT(!out->bad && digits <= LENGTH_DIGITS_MAX); /* the room was made for it */
    uint8_t *start = r->body - r->head_len;
    size_t head_len = r->head_len - usual_digits + digits;
    if (digits != usual_digits) {
        memmove(start + head_len, r->body, sent_len);
    }
    struct wr head = wr_over(start, head_len);
    wr_bytes(&head, r->head);
    wr_dec(&head, body_len);
    wr_bytes(&head, r->connection);
    ASSERT(!head.bad);
    out->p = start + head_len + sent_len;
    return after;
}

static enum http_after write_text(struct wr *out, const struct http1_request *req, struct span head,
                                  struct span body)
{
    struct response r = begin(out, head, connection_text(req));
    r.head_only = req->method == HTTP1_HEAD;
    wr_bytes(out, body);
    return finish(&r, req->keep_alive ? HTTP_KEEP : HTTP_CLOSE);
}

/* A response behind which the connection has to end. */
static enum http_after write_last(struct wr *out, struct span head, const char *why, bool head_only)
{
    struct response r = begin(out, head, end_close);
    r.head_only = head_only;
    wr_bytes(out, span_str(why));
    wr_u8(out, '\n');
    return finish(&r, HTTP_LINGER);
}

/* ---- announce and scrape ----------------------------------------------------------------- */

_Static_assert(COUNT_http6_announces == COUNT_http4_announces + 1, "4 and 6 side by side");
_Static_assert(COUNT_http6_scrapes == COUNT_http4_scrapes + 1, "4 and 6 side by side");
_Static_assert(COUNT_http6_failures == COUNT_http4_failures + 1, "4 and 6 side by side");

static void count_family(struct http_answerer *a, enum tracker_counter v4, bool v6)
{
    stats_count(a->stats, (enum tracker_counter)(v4 + (v6 ? 1 : 0)));
}

static void write_failure(struct http_answerer *a, const struct announce_failure *failure, bool v6,
                          struct wr *out)
{
    http_failure_encode(out, failure);
    count_family(a, COUNT_http4_failures, v6);
}

static void refuse(struct http_answerer *a, const char *why, bool v6, struct wr *out)
{
    struct announce_failure failure = {.reason = span_str(why)};
    write_failure(a, &failure, v6, out);
}

static void write_announce(struct http_answerer *a, const struct http1_request *http,
                           struct span key, const struct addr *from, struct wr *out)
{
    struct announce_req *req = &a->announce;
    struct announce_reply reply;
    struct announce_failure failure;
    const char *why = NULL;
    if (http_announce_decode(req, http->query, &why) < 0) {
        refuse(a, why, from->v6, out);
        return;
    }
    req->from = *from;
    req->key = key;
    bool with_ids = !req->compact && !req->no_peer_id;
    struct peer_room room = {
        .peers4 = a->peers4,
        .peers6 = a->peers6,
        .ids4 = with_ids ? a->ids4 : NULL,
        .ids6 = with_ids ? a->ids6 : NULL,
        .cap4 = NUMWANT_LIMIT,
        .cap6 = NUMWANT_LIMIT,
    };
    if (tracker_announce(a->worker, req, &room, &reply, &failure) < 0) {
        write_failure(a, &failure, from->v6, out);
        return;
    }
    http_announce_reply_encode(out, &reply, req->compact);
    count_family(a, COUNT_http4_announces, from->v6);
}

static void write_scrape(struct http_answerer *a, const struct http1_request *http, struct span key,
                         const struct addr *from, struct wr *out)
{
    struct announce_failure failure;
    const char *why = NULL;
    int n = http_scrape_decode(a->hashes, a->max_scrape, http->query, &why);
    if (n == 0) {
        why = "full scrapes are not allowed";
    } else if (n == ERR_LIMIT) {
        why = a->scrape_limit_text;
    }
    if (n <= 0) {
        refuse(a, why, from->v6, out);
        return;
    }
    if (tracker_scrape(a->worker, key, a->hashes, (size_t)n, a->counts, &failure) < 0) {
        write_failure(a, &failure, from->v6, out);
        return;
    }
    http_scrape_reply_encode(out, a->hashes, a->counts, (size_t)n,
                             a->tracker_cfg->min_announce_interval_s);
    count_family(a, COUNT_http4_scrapes, from->v6);
}

/* Of the n answers to come one is timed, or their share. */
static bool is_sample(struct http_answerer *a, size_t n)
{
    a->n_unsampled += (uint32_t)n;
    if (a->n_unsampled < STATS_SAMPLE_EVERY) {
        return false;
    }
    a->n_unsampled = 0;
    return true;
}

static enum http_after answer_tracker(struct http_answerer *a, const struct http1_request *http,
                                      enum http_tracker_route route, struct span key,
                                      const struct addr *from, struct wr *out)
{
    bool sample = is_sample(a, 1);
    uint64_t start_ns = sample ? worker_clock_ns() : 0;
    struct response r = begin(out, head_ok, connection_text(http));
    r.head_only = http->method == HTTP1_HEAD;
    if (route == HTTP_ROUTE_ANNOUNCE) {
        write_announce(a, http, key, from, out);
    } else {
        write_scrape(a, http, key, from, out);
    }
    enum http_after after = finish(&r, http->keep_alive ? HTTP_KEEP : HTTP_CLOSE);
    if (sample) {
        stats_time(a->stats, route == HTTP_ROUTE_ANNOUNCE ? TIMED_HTTP_ANNOUNCE : TIMED_HTTP_SCRAPE,
                   worker_clock_ns() - start_ns);
    }
    return after;
}

/* ---- many announces ---------------------------------------------------------------------- */

static struct addr client_of(const struct http_answerer *a, const struct http1_request *req,
                             const struct addr *from, bool proxy)
{
    return proxy ? forwarded_for_client(req, &a->cfg->tracker.trust_forwarded_for, from) : *from;
}

bool http_answer_keep(struct http_answerer *a, const struct http1_request *req,
                      const struct addr *from, bool proxy)
{
    struct span key;
    const char *why;
    if (a->n_kept == HTTP_TOGETHER_MAX || req->method == HTTP1_OTHER || req->has_body ||
        http_tracker_route(req->path, &key) != HTTP_ROUTE_ANNOUNCE || key.n > ACCESS_KEY_LEN) {
        return false;
    }
    struct kept *k = &a->kept[a->n_kept];
    if (http_announce_decode(&k->req, req->query, &why) < 0 ||
        (!k->req.compact && !k->req.no_peer_id)) {
        return false;
    }
    if (key.n > 0) {
        memcpy(k->key, key.p, key.n);
    }
    k->req.key = span_of(k->key, key.n);
    k->req.from = client_of(a, req, from, proxy);
    k->connection = connection_text(req);
    k->keep_alive = req->keep_alive;
    k->head_only = req->method == HTTP1_HEAD;
    a->visits[a->n_kept++] = (struct tracker_visit){
        .req = &k->req,
        .room =
            {
                .peers4 = k->peers4,
                .peers6 = k->peers6,
                .cap4 = NUMWANT_LIMIT,
                .cap6 = NUMWANT_LIMIT,
            },
    };
    return true;
}

void http_answer_kept(struct http_answerer *a)
{
    size_t n = a->n_kept;
    bool sample = is_sample(a, n);
    uint64_t start_ns = sample ? worker_clock_ns() : 0;
    tracker_announce_all(a->worker, a->visits, n);
    if (sample) {
        stats_time(a->stats, TIMED_HTTP_ANNOUNCE, (worker_clock_ns() - start_ns) / n);
    }
    a->n_kept = 0;
}

enum http_after http_answer_write(struct http_answerer *a, size_t i, struct wr *out)
{
    const struct kept *k = &a->kept[i];
    const struct tracker_visit *v = &a->visits[i];
    struct response r = begin(out, head_ok, k->connection);
    r.head_only = k->head_only;
    if (v->status < 0) {
        write_failure(a, &v->failure, k->req.from.v6, out);
    } else {
        http_announce_reply_encode(out, &v->reply, k->req.compact);
        count_family(a, COUNT_http4_announces, k->req.from.v6);
    }
    return finish(&r, k->keep_alive ? HTTP_KEEP : HTTP_CLOSE);
}

/* ---- any request ------------------------------------------------------------------------- */

static const struct span root_text =
    SPAN("This is a BitTorrent tracker.\n\n"
         "Announce  /announce   (private trackers: /announce/KEY or /KEY/announce)\n"
         "Scrape    /scrape     (likewise)\n"
         "Health    /health_check\n");

enum http_after http_answer(struct http_answerer *a, const struct http1_request *req,
                            const struct addr *from, bool proxy, struct wr *out)
{
    struct span key = {NULL, 0};
    struct addr client;
    if (req->method == HTTP1_OTHER) {
        return write_last(out, head_method, "only GET and HEAD are served here", false);
    }
    if (req->has_body) {
        stats_count(a->stats, COUNT_http_malformed);
        return write_last(out, head_bad, "a request here has no body", req->method == HTTP1_HEAD);
    }
    enum http_tracker_route route = http_tracker_route(req->path, &key);
    switch (route) {
    case HTTP_ROUTE_ANNOUNCE:
    case HTTP_ROUTE_SCRAPE:
        client = client_of(a, req, from, proxy);
        return answer_tracker(a, req, route, key, &client, out);
    case HTTP_ROUTE_HEALTH:
        return write_text(out, req, head_json, SPAN("{\"status\":\"Ok\"}"));
    case HTTP_ROUTE_ROOT:
        return write_text(out, req, head_ok, root_text);
    case HTTP_ROUTE_NONE:
        break;
    }
    return write_text(out, req, head_missing, SPAN("not found\n"));
}

enum http_after http_refuse(struct http_answerer *a, int code, const char *why, struct wr *out)
{
    if (code == ERR_LIMIT) {
        stats_count(a->stats, COUNT_http_head_too_large);
        return write_last(out, head_too_large, why, false);
    }
    stats_count(a->stats, COUNT_http_malformed);
    return write_last(out, head_bad, why, false);
}
