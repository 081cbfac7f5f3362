/* core_fixture.h: a tracker without sockets or clocks, and peers that announce to it. */
#ifndef TESTS_CORE_FIXTURE_H
#define TESTS_CORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "proto/compact.h"
#include "tracker/tracker.h"

enum { T0_UNIX_MS = 1700000000 };

static const struct tracker_cfg public_cfg = {
    .mode = MODE_PUBLIC,
    .announce_interval_s = 1800,
    .min_announce_interval_s = 300,
    .peer_timeout_s = 3960,
    .max_numwant = 100,
    .max_scrape = SCRAPE_MAX,
    .max_torrents = 1000000,
    .max_peers = 1000000,
    .seed = 42,
};

/* The answer to one announce, with room of its own. */
struct asked {
    int status;
    struct announce_reply reply;
    struct announce_failure failure;
    uint8_t peers4[NUMWANT_LIMIT * COMPACT4_LEN];
    uint8_t peers6[NUMWANT_LIMIT * COMPACT6_LEN];
    struct peer_id ids4[NUMWANT_LIMIT];
    struct peer_id ids6[NUMWANT_LIMIT];
};

static inline struct tracker_time at_s(uint64_t s)
{
    return (struct tracker_time){
        .mono_ms = s * 1000,
        .unix_ms = (int64_t)T0_UNIX_MS * 1000 + (int64_t)s * 1000,
    };
}

static inline struct infohash hash_n(uint32_t n)
{
    struct infohash h = {{0}};
    h.b[0] = (uint8_t)(n * 37);
    h.b[1] = (uint8_t)(n * 101);
    memcpy(h.b + 4, &n, sizeof n);
    return h;
}

/* 1.0.0.0 + n, or 2001:db8::n, port 6881. */
static inline struct addr addr_n(uint32_t n, bool v6)
{
    uint8_t b[16] = {0x20, 0x01, 0x0d, 0xb8};
    uint8_t low[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    if (v6) {
        memcpy(b + 12, low, 4);
        return addr_from_v6(b);
    }
    low[0] = (uint8_t)(low[0] + 1);
    return addr_from_v4(low);
}

static inline struct announce_req req_n(const struct infohash *hash, uint32_t peer, uint64_t left)
{
    struct announce_req req = {
        .info_hash = *hash,
        .left = left,
        .numwant = NUMWANT_UNSET,
        .port = 6881,
        .compact = true,
        .from = addr_n(peer, false),
    };
    memcpy(req.peer_id.b, "-RK0001-", 8);
    memcpy(req.peer_id.b + 16, &peer, sizeof peer);
    return req;
}

static inline int ask(struct tracker *t, size_t worker, struct tracker_time now,
                      const struct announce_req *req, struct asked *out)
{
    struct tracker_worker *w = tracker_worker(t, worker);
    struct peer_room room = {
        .peers4 = out->peers4,
        .peers6 = out->peers6,
        .ids4 = out->ids4,
        .ids6 = out->ids6,
        .cap4 = NUMWANT_LIMIT,
        .cap6 = NUMWANT_LIMIT,
    };
    memset(&out->reply, 0, sizeof out->reply);
    memset(&out->failure, 0, sizeof out->failure);
    tracker_begin(w, now);
    out->status = tracker_announce(w, req, &room, &out->reply, &out->failure);
    tracker_end(w);
    return out->status;
}

static inline size_t n_peers4(const struct asked *a)
{
    return a->reply.peers4.n / COMPACT4_LEN;
}

static inline size_t n_peers6(const struct asked *a)
{
    return a->reply.peers6.n / COMPACT6_LEN;
}

/* A clock that makes a sweep run to its end. */
static inline uint64_t stopped_clock(void)
{
    return 0;
}

static inline void sweep_round(struct tracker *t, struct tracker_time now)
{
    struct tracker_worker *w = tracker_worker(t, 0);
    tracker_begin(w, now);
    while (!tracker_sweep(w, 1000, stopped_clock)) {
    }
    tracker_end(w);
}

static inline uint64_t counter(struct tracker *t, enum tracker_counter which)
{
    struct stats_totals totals;
    tracker_stats(t, &totals);
    return totals.counters[which];
}

#endif
