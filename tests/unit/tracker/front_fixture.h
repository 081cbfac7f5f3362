/* front_fixture.h: a tracker with one worker handle for tests of the fronts, and small helpers to
 * make hashes, ids and addresses. Header only; include after cmocka.h. */
#ifndef TESTS_FRONT_FIXTURE_H
#define TESTS_FRONT_FIXTURE_H

#include <string.h>

#include "base/config.h"
#include "base/digest.h"
#include "base/endpoint.h"
#include "tracker/tracker.h"

static const struct tracker_time fixture_start = {.mono_ms = 1000000,
                                                  .unix_ms = INT64_C(1700000000000)};

static inline struct tracker_time fixture_after(uint64_t ms)
{
    return (struct tracker_time){fixture_start.mono_ms + ms, fixture_start.unix_ms + (int64_t)ms};
}

static inline struct tracker_cfg fixture_tracker_cfg(enum tracker_mode mode)
{
    return (struct tracker_cfg){
        .mode = mode,
        .announce_interval_s = 1800,
        .min_announce_interval_s = 300,
        .peer_timeout_s = 3960,
        .max_numwant = NUMWANT_LIMIT,
        .max_scrape = SCRAPE_MAX,
        .max_torrents = 100000,
        .max_peers = 100000,
        .seed = 42,
    };
}

static inline struct infohash fixture_hash(uint8_t n)
{
    struct infohash h;
    memset(h.b, n, sizeof h.b);
    return h;
}

static inline struct endpoint fixture_at(const char *text)
{
    struct endpoint e;
    assert_true(endpoint_parse(&e, span_str(text)));
    return e;
}

static inline struct addr fixture_addr(const char *text)
{
    struct addr a;
    assert_true(addr_parse(&a, span_str(text)));
    return a;
}

static inline uint64_t fixture_count(struct tracker *t, enum tracker_counter counter)
{
    struct stats_totals totals;
    tracker_stats(t, &totals);
    return totals.counters[counter];
}

static inline void fixture_add_key(struct tracker *t, const char *text)
{
    struct access_key key = {.permanent = true};
    assert_int_equal(strlen(text), ACCESS_KEY_LEN);
    memcpy(key.key, text, ACCESS_KEY_LEN);
    tracker_key_put(t, &key);
}

#endif
