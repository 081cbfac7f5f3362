/* udp_front.c: two passes over a batch.
 *
 *   sort     decode, check who may be answered, and ask for the memory that the answer will touch
 *   answer   what sort let through, in order, straight into the datagram's own room
 *
 * Between the two the processor has had the time of the other datagrams to bring that memory.
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
#include "tracker/worker_clock.h"

#include "base/banned.h"

_Static_assert((int)UDP_SEND_LEN >= (int)UDP_REPLY_MAX, "an answer must fit its room");
_Static_assert((int)UDP_RECV_LEN > 16 + UDP_SCRAPE_WIRE_MAX * 20, "a scrape must fit a read");

enum {
    PEERS4_MAX = (UDP_REPLY_MAX - UDP_ANNOUNCE_REPLY_LEN) / COMPACT4_LEN,
    PEERS6_MAX = (UDP_REPLY_MAX - UDP_ANNOUNCE_REPLY_LEN) / COMPACT6_LEN,
    HASH_LEN = 20,
};

enum verdict { SILENCE, REPLY_CONNECT, REPLY_ANNOUNCE, REPLY_SCRAPE, REPLY_ERROR };

struct sorted {
    enum verdict verdict;
    const char *why; /* REPLY_ERROR */
    struct udp_request req;
};

struct udp_front {
    struct tracker_worker *worker;
    struct stats_block *stats;
    const struct connid *connid;
    uint32_t max_scrape;
    uint32_t n_answered; /* for sampling */
    char scrape_limit_text[64];
    struct sorted sorted[UDP_BATCH];
    struct infohash hashes[SCRAPE_MAX];
    struct scrape_counts counts[SCRAPE_MAX];
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

/* ---- first pass -------------------------------------------------------------------------- */

static enum verdict drop(struct udp_front *f, enum tracker_counter counter)
{
    stats_count(f->stats, counter);
    return SILENCE;
}

static enum verdict sort_verified(struct udp_front *f, struct sorted *s)
{
    switch (s->req.action) {
    case UDP_ANNOUNCE:
        tracker_prefetch(f->worker, &s->req.announce.info_hash);
        return REPLY_ANNOUNCE;
    case UDP_SCRAPE:
        if (s->req.hashes.n == 0) {
            s->why = "a scrape needs at least one info-hash";
            return REPLY_ERROR;
        }
        if (s->req.hashes.n / HASH_LEN > f->max_scrape) {
            s->why = f->scrape_limit_text;
            return REPLY_ERROR;
        }
        if (s->req.hashes.n == HASH_LEN) { /* among several, tracker_scrape looks ahead itself */
            struct infohash hash;
            memcpy(hash.b, s->req.hashes.p, HASH_LEN);
            tracker_prefetch(f->worker, &hash);
        }
        return REPLY_SCRAPE;
    default:
        s->why = "unknown action";
        return REPLY_ERROR;
    }
}

static enum verdict sort(struct udp_front *f, struct sorted *s, const struct udp_datagram *d,
                         uint64_t now_ms)
{
    const char *why = NULL;
    if (d->truncated || d->from.port == 0 || d->in.n < UDP_CONNECT_LEN) {
        return drop(f, COUNT_udp_malformed);
    }
    ssize_t used = udp_request_decode(&s->req, d->in, &why);
    if (s->req.action == UDP_CONNECT) {
        bool good = used > 0 && s->req.connection_id == UDP_PROTOCOL_ID;
        return good ? REPLY_CONNECT : drop(f, COUNT_udp_malformed);
    }
    if (!connid_check(f->connid, s->req.connection_id, &d->from.addr, now_ms)) {
        bool request = used > 0 && (s->req.action == UDP_ANNOUNCE || s->req.action == UDP_SCRAPE);
        return drop(f, request ? COUNT_udp_bad_connection_id : COUNT_udp_malformed);
    }
    if (used < 0) {
        s->why = why;
        return REPLY_ERROR;
    }
    return sort_verified(f, s);
}

/* ---- second pass ------------------------------------------------------------------------- */

static size_t write_error(struct udp_front *f, const struct sorted *s, struct udp_datagram *d,
                          struct span text)
{
    struct wr w = wr_over(d->out, UDP_REPLY_MAX);
    udp_error_encode(&w, s->req.transaction_id, text);
    count_family(f, COUNT_udp4_errors, d->from.addr.v6);
    return w.bad ? 0 : wr_len(&w);
}

static size_t write_connect(struct udp_front *f, const struct sorted *s, struct udp_datagram *d,
                            uint64_t now_ms)
{
    struct wr w = wr_over(d->out, UDP_REPLY_MAX);
    uint64_t id = connid_make(f->connid, &d->from.addr, now_ms);
    udp_connect_reply_encode(&w, s->req.transaction_id, id);
    count_family(f, COUNT_udp4_connects, d->from.addr.v6);
    return wr_len(&w);
}

/* The peers are put where they leave from; the fixed part is then written in front of them. */
static size_t write_announce(struct udp_front *f, struct sorted *s, struct udp_datagram *d)
{
    struct announce_req *req = &s->req.announce;
    struct announce_reply reply;
    struct announce_failure failure;
    bool v6 = d->from.addr.v6;
    uint8_t *peers = d->out + UDP_ANNOUNCE_REPLY_LEN;
    struct peer_room room = {
        .peers4 = v6 ? NULL : peers,
        .peers6 = v6 ? peers : NULL,
        .cap4 = v6 ? 0 : PEERS4_MAX,
        .cap6 = v6 ? PEERS6_MAX : 0,
    };
    req->from = d->from.addr;
    req->key = udp_url_key(span_of(s->req.url_data, s->req.url_data_len));
    if (tracker_announce(f->worker, req, &room, &reply, &failure) < 0) {
        return write_error(f, s, d, failure.reason);
    }
    struct wr w = wr_over(d->out, UDP_ANNOUNCE_REPLY_LEN);
    udp_announce_reply_encode(&w, s->req.transaction_id, reply.interval_s, &reply.counts);
    count_family(f, COUNT_udp4_announces, v6);
    return wr_len(&w) + (v6 ? reply.peers6.n : reply.peers4.n);
}

static size_t write_scrape(struct udp_front *f, const struct sorted *s, struct udp_datagram *d)
{
    struct announce_failure failure;
    struct span key = {NULL, 0};
    struct wr w = wr_over(d->out, UDP_REPLY_MAX);
    size_t n = s->req.hashes.n / HASH_LEN;
    memcpy(f->hashes, s->req.hashes.p, s->req.hashes.n);
    /* A private tracker refuses, but has filled zeros: BEP 15 gives a scrape no place for a key,
     * and clients take an error for a broken tracker. */
    int status = tracker_scrape(f->worker, key, f->hashes, n, f->counts, &failure);
    if (status < 0 && status != ERR_DENIED) {
        return write_error(f, s, d, failure.reason);
    }
    udp_scrape_reply_encode(&w, s->req.transaction_id, f->counts, n);
    count_family(f, COUNT_udp4_scrapes, d->from.addr.v6);
    return wr_len(&w);
}

static size_t write_answer(struct udp_front *f, struct sorted *s, struct udp_datagram *d,
                           uint64_t now_ms)
{
    switch (s->verdict) {
    case SILENCE:
        return 0;
    case REPLY_CONNECT:
        return write_connect(f, s, d, now_ms);
    case REPLY_ANNOUNCE:
        return write_announce(f, s, d);
    case REPLY_SCRAPE:
        return write_scrape(f, s, d);
    case REPLY_ERROR:
        return write_error(f, s, d, span_str(s->why));
    }
    return 0;
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
        break;
    }
    return TIMED_COUNT;
}

static void answer(struct udp_front *f, struct sorted *s, struct udp_datagram *d, uint64_t now_ms)
{
    enum tracker_timed what = timed_as(s->verdict);
    bool sample = what != TIMED_COUNT && ++f->n_answered % STATS_SAMPLE_EVERY == 0;
    uint64_t start_ns = sample ? worker_clock_ns() : 0;
    d->out_len = write_answer(f, s, d, now_ms);
    if (sample) {
        stats_time(f->stats, what, worker_clock_ns() - start_ns);
    }
    if (d->out_len > 0) {
        count_family(f, COUNT_udp4_responses, d->from.addr.v6);
    }
}

void udp_front_answer(struct udp_front *f, struct udp_datagram *datagrams, size_t n,
                      struct tracker_time now)
{
    ASSERT(n <= UDP_BATCH);
    tracker_begin(f->worker, now);
    for (size_t i = 0; i < n; i++) {
        count_family(f, COUNT_udp4_requests, datagrams[i].from.addr.v6);
        f->sorted[i].verdict = sort(f, &f->sorted[i], &datagrams[i], now.mono_ms);
    }
    for (size_t i = 0; i < n; i++) {
        answer(f, &f->sorted[i], &datagrams[i], now.mono_ms);
    }
    tracker_end(f->worker);
}

void udp_front_on_batch(void *front, struct udp_datagram *datagrams, size_t n)
{
    udp_front_answer(front, datagrams, n, worker_clock_now());
}
