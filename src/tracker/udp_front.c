/* udp_front.c: passes over a batch.
 *
 *   sort       decode, and check who may be answered
 *   connects   an id each
 *   announces  all together; the peers go straight into the datagrams' own room
 *   scrapes    the hashes of all together, as many as there is room for
 *   errors     what else is answered
 *
 * Together, because most of an answer is waiting for memory, and many can wait at the same time.
 *
 * What becomes of a datagram
 *   cut off, from port 0, junk, a wrong protocol id      silence   udp_malformed
 *   a request with a wrong or expired connection id      silence   udp_bad_connection_id
 *   a connect                                            its id    udpN_connects
 *   a request that is wrong or refused, with a good id   an error  udpN_errors
 *   an announce, a scrape                                answered  udpN_announces, udpN_scrapes
 */
#include "tracker/udp_front.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/udp_tracker.h"
#include "tracker/policy.h"
#include "tracker/worker_clock.h"

#include "base/banned.h"

_Static_assert((int)UDP_SEND_LEN >= (int)UDP_REPLY_MAX, "an answer must fit its room");
_Static_assert((int)UDP_RECV_LEN > 16 + UDP_SCRAPE_WIRE_MAX * 20, "a scrape must fit a read");

enum {
    PEERS4_MAX = (UDP_REPLY_MAX - UDP_ANNOUNCE_REPLY_LEN) / COMPACT4_LEN,
    PEERS6_MAX = (UDP_REPLY_MAX - UDP_ANNOUNCE_REPLY_LEN) / COMPACT6_LEN,
    HASH_LEN = 20,
    HASHES_TOGETHER = 8 * SCRAPE_MAX,
};

_Static_assert((int)TRACKER_VISITS_MAX >= (int)UDP_BATCH, "a batch may be all announces");

enum verdict { SILENCE, REPLY_CONNECT, REPLY_ANNOUNCE, REPLY_SCRAPE, REPLY_ERROR, VERDICTS };

/* Datagrams of one verdict, in their order. */
struct pile {
    uint8_t at[UDP_BATCH];
    size_t n;
};

struct udp_front {
    struct tracker_worker *worker;
    struct stats_block *stats;
    const struct connid *connid;
    uint32_t max_scrape;
    uint32_t n_unsampled; /* answers since the last that was timed */
    char scrape_limit_text[64];
    const char *why[UDP_BATCH]; /* REPLY_ERROR */
    struct udp_request requests[UDP_BATCH];
    struct tracker_visit visits[UDP_BATCH];
    size_t hashes_max; /* at once */
    struct infohash hashes[HASHES_TOGETHER];
    struct scrape_counts counts[HASHES_TOGETHER];
};

struct udp_front *udp_front_new(struct tracker *tracker, struct tracker_worker *worker,
                                const struct connid *connid)
{
    struct udp_front *f = mem_new(struct udp_front);
    uint32_t max_scrape = tracker_cfg(tracker)->max_scrape;
    f->worker = worker;
    f->stats = tracker_worker_stats(worker);
    f->connid = connid;
    f->max_scrape = max_scrape < SCRAPE_MAX ? max_scrape : SCRAPE_MAX;
    (void)snprintf(f->scrape_limit_text, sizeof f->scrape_limit_text,
                   "at most %u info-hashes in one scrape", f->max_scrape);
    /* A refusal is counted for each scrape, so there each is asked for alone. */
    f->hashes_max = mode_is_private(tracker_cfg(tracker)->mode) ? 1 : HASHES_TOGETHER;
    return f;
}

void udp_front_free(struct udp_front *f)
{
    free(f);
}

/* Counters that exist a family stand side by side, IPv4 first. */
static void count_family(struct udp_front *f, enum tracker_counter v4, bool v6)
{
    stats_count(f->stats, (enum tracker_counter)(v4 + (v6 ? 1 : 0)));
}

_Static_assert(COUNT_udp6_connects == COUNT_udp4_connects + 1, "4 and 6 side by side");
_Static_assert(COUNT_udp6_announces == COUNT_udp4_announces + 1, "4 and 6 side by side");
_Static_assert(COUNT_udp6_scrapes == COUNT_udp4_scrapes + 1, "4 and 6 side by side");
_Static_assert(COUNT_udp6_errors == COUNT_udp4_errors + 1, "4 and 6 side by side");
_Static_assert(COUNT_udp6_requests == COUNT_udp4_requests + 1, "4 and 6 side by side");
_Static_assert(COUNT_udp6_responses == COUNT_udp4_responses + 1, "4 and 6 side by side");

/* ---- sorting ------------------------------------------------------------------------------ */

static enum verdict drop(struct udp_front *f, enum tracker_counter counter)
{
    stats_count(f->stats, counter);
    return SILENCE;
}

static enum verdict sort_scrape(struct udp_front *f, size_t i)
{
    size_t n = f->requests[i].hashes.n / HASH_LEN;
    if (n == 0) {
        f->why[i] = "a scrape needs at least one info-hash";
        return REPLY_ERROR;
    }
    if (n > f->max_scrape) {
        f->why[i] = f->scrape_limit_text;
        return REPLY_ERROR;
    }
    return REPLY_SCRAPE;
}

static enum verdict sort(struct udp_front *f, size_t i, const struct udp_datagram *d,
                         uint64_t now_ms)
{
    struct udp_request *req = &f->requests[i];
    if (d->truncated || d->from.port == 0 || d->in.n < UDP_CONNECT_LEN) {
        return drop(f, COUNT_udp_malformed);
    }
    ssize_t used = udp_request_decode(req, d->in, &f->why[i]);
    if (req->action == UDP_CONNECT) {
        bool good = used > 0 && req->connection_id == UDP_PROTOCOL_ID;
        return good ? REPLY_CONNECT : drop(f, COUNT_udp_malformed);
    }
    if (!connid_check(f->connid, req->connection_id, &d->from.addr, now_ms)) {
        bool request = used > 0 && (req->action == UDP_ANNOUNCE || req->action == UDP_SCRAPE);
        return drop(f, request ? COUNT_udp_bad_connection_id : COUNT_udp_malformed);
    }
    if (used < 0) {
        return REPLY_ERROR;
    }
    switch (req->action) {
    case UDP_ANNOUNCE:
        return REPLY_ANNOUNCE;
    case UDP_SCRAPE:
        return sort_scrape(f, i);
    default:
        f->why[i] = "unknown action";
        return REPLY_ERROR;
    }
}

/* ---- answering ---------------------------------------------------------------------------- */

static void write_error(struct udp_front *f, size_t i, struct udp_datagram *d, struct span text)
{
    struct wr w = wr_over(d->out, UDP_REPLY_MAX);
    udp_error_encode(&w, f->requests[i].transaction_id, text);
    count_family(f, COUNT_udp4_errors, d->from.addr.v6);
    d->out_len = w.bad ? 0 : wr_len(&w);
}

static void answer_errors(struct udp_front *f, const struct pile *pile, struct udp_datagram *d)
{
    for (size_t k = 0; k < pile->n; k++) {
        size_t i = pile->at[k];
        write_error(f, i, &d[i], span_str(f->why[i]));
    }
}

static void answer_connects(struct udp_front *f, const struct pile *pile, struct udp_datagram *d,
                            uint64_t now_ms)
{
    for (size_t k = 0; k < pile->n; k++) {
        size_t i = pile->at[k];
        struct wr w = wr_over(d[i].out, UDP_REPLY_MAX);
        uint64_t id = connid_make(f->connid, &d[i].from.addr, now_ms);
        udp_connect_reply_encode(&w, f->requests[i].transaction_id, id);
        count_family(f, COUNT_udp4_connects, d[i].from.addr.v6);
        d[i].out_len = wr_len(&w);
    }
}

/* The peers are put where they leave from; the fixed part is then written in front of them. */
static struct peer_room room_of(const struct udp_datagram *d)
{
    bool v6 = d->from.addr.v6;
    uint8_t *peers = d->out + UDP_ANNOUNCE_REPLY_LEN;
    return (struct peer_room){
        .peers4 = v6 ? NULL : peers,
        .peers6 = v6 ? peers : NULL,
        .cap4 = v6 ? 0 : PEERS4_MAX,
        .cap6 = v6 ? PEERS6_MAX : 0,
    };
}

static void write_announce(struct udp_front *f, const struct udp_request *req,
                           const struct announce_reply *reply, struct udp_datagram *d)
{
    bool v6 = d->from.addr.v6;
    struct wr w = wr_over(d->out, UDP_ANNOUNCE_REPLY_LEN);
    udp_announce_reply_encode(&w, req->transaction_id, reply->interval_s, &reply->counts);
    count_family(f, COUNT_udp4_announces, v6);
    d->out_len = wr_len(&w) + (v6 ? reply->peers6.n : reply->peers4.n);
}

static void answer_announces(struct udp_front *f, const struct pile *pile, struct udp_datagram *d)
{
    for (size_t k = 0; k < pile->n; k++) {
        size_t i = pile->at[k];
        struct announce_req *req = &f->requests[i].announce;
        req->from = d[i].from.addr;
        f->visits[k].req = req;
        f->visits[k].room = room_of(&d[i]);
    }
    tracker_announce_all(f->worker, f->visits, pile->n);
    for (size_t k = 0; k < pile->n; k++) {
        size_t i = pile->at[k];
        const struct tracker_visit *v = &f->visits[k];
        if (v->status < 0) {
            write_error(f, i, &d[i], v->failure.reason);
        } else {
            write_announce(f, &f->requests[i], &v->reply, &d[i]);
        }
    }
}

/* Scrapes first .. last - 1 of the pile, whose n hashes are gathered. */
static void flush_scrapes(struct udp_front *f, const struct pile *pile, size_t first, size_t last,
                          size_t n, struct udp_datagram *d)
{
    struct announce_failure failure;
    const struct scrape_counts *counts = f->counts;
    /* A private tracker refuses, but has filled zeros: BEP 15 gives a scrape no place for a key,
     * and clients take an error for a broken tracker. */
    int status = tracker_scrape(f->worker, span_of(NULL, 0), f->hashes, n, f->counts, &failure);
    for (size_t k = first; k < last; k++) {
        size_t i = pile->at[k];
        size_t n_own = f->requests[i].hashes.n / HASH_LEN;
        struct wr w = wr_over(d[i].out, UDP_REPLY_MAX);
        if (status < 0 && status != ERR_DENIED) {
            write_error(f, i, &d[i], failure.reason);
            continue;
        }
        udp_scrape_reply_encode(&w, f->requests[i].transaction_id, counts, n_own);
        count_family(f, COUNT_udp4_scrapes, d[i].from.addr.v6);
        d[i].out_len = wr_len(&w);
        counts += n_own;
    }
}

static void answer_scrapes(struct udp_front *f, const struct pile *pile, struct udp_datagram *d)
{
    size_t first = 0;
    size_t n = 0;
    for (size_t k = 0; k < pile->n; k++) {
        struct span hashes = f->requests[pile->at[k]].hashes;
        if (n > 0 && n + hashes.n / HASH_LEN > f->hashes_max) {
            flush_scrapes(f, pile, first, k, n, d);
            first = k;
            n = 0;
        }
        memcpy(&f->hashes[n], hashes.p, hashes.n);
        n += hashes.n / HASH_LEN;
    }
    if (n > 0) {
        flush_scrapes(f, pile, first, pile->n, n, d);
    }
}

/* ---- a batch ------------------------------------------------------------------------------ */

static void answer_pile(struct udp_front *f, enum verdict verdict, const struct pile *pile,
                        struct udp_datagram *d, uint64_t now_ms)
{
    switch (verdict) {
    case REPLY_CONNECT:
        answer_connects(f, pile, d, now_ms);
        break;
    case REPLY_ANNOUNCE:
        answer_announces(f, pile, d);
        break;
    case REPLY_SCRAPE:
        answer_scrapes(f, pile, d);
        break;
    case REPLY_ERROR:
        answer_errors(f, pile, d);
        break;
    case SILENCE:
    case VERDICTS:
        break;
    }
}

static enum tracker_timed timed_as(enum verdict verdict)
{
    switch (verdict) {
    case REPLY_CONNECT:
        return TIMED_UDP_CONNECT;
    case REPLY_ANNOUNCE:
        return TIMED_UDP_ANNOUNCE;
    case REPLY_SCRAPE:
        return TIMED_UDP_SCRAPE;
    case SILENCE:
    case REPLY_ERROR:
    case VERDICTS:
        break;
    }
    return TIMED_COUNT;
}

/* A sample is the share of one answer in the time of its pile. */
static void answer(struct udp_front *f, enum verdict verdict, const struct pile *pile,
                   struct udp_datagram *d, uint64_t now_ms)
{
    enum tracker_timed what = timed_as(verdict);
    if (pile->n == 0) {
        return;
    }
    if (what == TIMED_COUNT) {
        answer_pile(f, verdict, pile, d, now_ms);
        return;
    }
    f->n_unsampled += (uint32_t)pile->n;
    bool sample = f->n_unsampled >= STATS_SAMPLE_EVERY;
    uint64_t start_ns = sample ? worker_clock_ns() : 0;
    answer_pile(f, verdict, pile, d, now_ms);
    if (sample) {
        stats_time(f->stats, what, (worker_clock_ns() - start_ns) / pile->n);
        f->n_unsampled = 0;
    }
}

void udp_front_answer(struct udp_front *f, struct udp_datagram *datagrams, size_t n,
                      struct tracker_time now)
{
    struct pile piles[VERDICTS] = {{.n = 0}};
    ASSERT(n <= UDP_BATCH);
    for (size_t i = 0; i < n; i++) {
        count_family(f, COUNT_udp4_requests, datagrams[i].from.addr.v6);
        datagrams[i].out_len = 0;
        struct pile *pile = &piles[sort(f, i, &datagrams[i], now.mono_ms)];
        pile->at[pile->n++] = (uint8_t)i;
    }
    for (int verdict = 0; verdict < VERDICTS; verdict++) {
        answer(f, (enum verdict)verdict, &piles[verdict], datagrams, now.mono_ms);
    }
    for (size_t i = 0; i < n; i++) {
        if (datagrams[i].out_len > 0) {
            count_family(f, COUNT_udp4_responses, datagrams[i].from.addr.v6);
        }
    }
}
