/* How deep the queue at a peer should be.
 *
 *              first request                no growth in a second, or a snub
 *   (nothing) ---------------> SLOW START ------------------------------------> BY RATE
 *                                  ^                                               |
 *                                  +------ everything came to nothing (choke) -----+
 *
 *   in either:  nothing for REQUESTS_SNUB_MS --> snubbing (depth 1) -- a block --> BY RATE
 *
 * Slow start adds one for each block, which doubles the depth in every round trip. A second counts
 * as without growth when it brought less than GROWTH_LEN more than the one before; a second in
 * which nothing could come yet is not judged.
 *
 * The round trip is measured only on requests that met an empty queue: all others wait behind what
 * was asked before, and a depth computed from its own waiting time would never stop growing.
 *
 * Two arrays side by side, oldest first. Peers answer in order, so a look-up ends at once, and
 * moving what is left is a copy of a few kilobytes at worst.
 */
#include "client/requests.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#include "base/banned.h"

enum {
    DEPTH_MIN = 2,
    DEPTH_BATCHED = 16, /* above, requests leave in batches */
    GROWTH_LEN = 5000,
    SECOND_MS = 1000,
    CAP_MIN = 8,
};

void requests_init(struct requests *r)
{
    r->reqq = REQUESTS_REQQ_DEFAULT;
    r->depth = DEPTH_MIN;
    r->slow_start = true;
}

static void free_arrays(struct requests *r)
{
    free(r->blocks);
    free(r->sent_ms);
    r->blocks = NULL;
    r->sent_ms = NULL;
    r->n = 0;
    r->cap = 0;
}

void requests_release(struct requests *r)
{
    free_arrays(r);
}

void requests_set_reqq(struct requests *r, uint32_t reqq)
{
    r->reqq = reqq;
}

static uint64_t depth_by_rate(const struct requests *r, uint64_t rate_bps)
{
    uint64_t time_ms = r->round_trip_ms > REQUESTS_TIME_MS ? r->round_trip_ms : REQUESTS_TIME_MS;
    if (rate_bps > UINT64_MAX / time_ms) {
        return REQUESTS_MAX;
    }
    return rate_bps * time_ms / 1000 / WIRE_BLOCK_LEN;
}

static size_t depth_now(const struct requests *r, uint64_t rate_bps)
{
    if (r->snubbing) {
        return 1;
    }
    uint64_t depth = r->slow_start ? r->depth : depth_by_rate(r, rate_bps);
    if (depth < DEPTH_MIN) {
        depth = DEPTH_MIN;
    }
    if (depth > REQUESTS_MAX) {
        depth = REQUESTS_MAX;
    }
    if (depth > r->reqq) {
        depth = r->reqq == 0 ? 1 : r->reqq; /* who takes none would have to choke */
    }
    return (size_t)depth;
}

size_t requests_room(const struct requests *r, uint64_t rate_bps)
{
    size_t depth = depth_now(r, rate_bps);
    size_t room = depth > r->n ? depth - r->n : 0;
    return depth > DEPTH_BATCHED && room < depth / 2 ? 0 : room;
}

void requests_add(struct requests *r, const struct wire_block *blocks, size_t n, uint64_t now_ms)
{
    if (n == 0) {
        return;
    }
    if (r->n == 0) {
        r->last_block_ms = now_ms;
        r->timing = true;
    }
    if (n > r->cap - r->n) {
        size_t cap = r->cap == 0 ? CAP_MIN : r->cap * 2;
        r->cap = cap < r->n + n ? r->n + n : cap;
        r->blocks = mem_resize(r->blocks, r->cap, sizeof *r->blocks);
        r->sent_ms = mem_resize(r->sent_ms, r->cap, sizeof *r->sent_ms);
    }
    memcpy(r->blocks + r->n, blocks, n * sizeof *blocks);
    for (size_t i = 0; i < n; i++) {
        r->sent_ms[r->n + i] = now_ms;
    }
    r->n += n;
}

static void remove_at(struct requests *r, size_t at, size_t n)
{
    size_t behind = r->n - at - n;
    if (at == 0) {
        r->timing = false;
    }
    memmove(r->blocks + at, r->blocks + at + n, behind * sizeof *r->blocks);
    memmove(r->sent_ms + at, r->sent_ms + at + n, behind * sizeof *r->sent_ms);
    r->n -= n;
    if (r->n == 0) {
        free_arrays(r);
    }
}

/* Has growth ended? Asked with each block, so only seconds that brought something are judged. */
static void count_second(struct requests *r, uint32_t len, uint64_t now_ms)
{
    if (r->second_len > 0 && now_ms - r->second_ms >= SECOND_MS) {
        if (r->previous_len > 0 && r->second_len < r->previous_len + GROWTH_LEN) {
            r->slow_start = false;
        }
        r->previous_len = r->second_len;
        r->second_len = 0;
    }
    if (r->second_len == 0) {
        r->second_ms = now_ms;
    }
    r->second_len += len;
}

static void on_arrived(struct requests *r, size_t at, uint64_t now_ms)
{
    if (at == 0 && r->timing) {
        uint64_t took_ms = now_ms - r->sent_ms[0];
        r->round_trip_ms = took_ms < REQUESTS_SNUB_MS ? (uint32_t)took_ms : REQUESTS_SNUB_MS;
    }
    r->last_block_ms = now_ms;
    r->snubbing = false;
    if (r->slow_start) {
        r->depth += r->depth < REQUESTS_MAX;
        count_second(r, r->blocks[at].len, now_ms);
    }
}

static bool block_eq(const struct wire_block *a, const struct wire_block *b)
{
    return a->piece == b->piece && a->begin == b->begin && a->len == b->len;
}

bool requests_take(struct requests *r, const struct wire_block *b, bool arrived, uint64_t now_ms)
{
    size_t at = 0;
    while (at < r->n && !block_eq(&r->blocks[at], b)) {
        at++;
    }
    if (at == r->n) {
        return false;
    }
    if (arrived) {
        on_arrived(r, at, now_ms);
    }
    remove_at(r, at, 1);
    return true;
}

size_t requests_take_all(struct requests *r, struct wire_block *out)
{
    size_t n = r->n;
    if (n > 0) {
        memcpy(out, r->blocks, n * sizeof *out);
    }
    free_arrays(r);
    r->timing = false;
    r->slow_start = true;
    r->depth = DEPTH_MIN;
    r->second_len = 0;
    r->previous_len = 0;
    return n;
}

uint64_t requests_deadline_ms(const struct requests *r)
{
    if (r->n == 0) {
        return UINT64_MAX;
    }
    uint64_t timeout_ms = r->sent_ms[0] + REQUESTS_TIMEOUT_MS;
    uint64_t snub_ms = r->last_block_ms + REQUESTS_SNUB_MS;
    return r->snubbing || timeout_ms < snub_ms ? timeout_ms : snub_ms;
}

size_t requests_expired(struct requests *r, uint64_t now_ms, struct wire_block *out, size_t cap)
{
    if (r->n > 0 && now_ms - r->last_block_ms >= REQUESTS_SNUB_MS) {
        r->snubbing = true;
        r->slow_start = false;
    }
    size_t n = 0;
    while (n < r->n && n < cap && now_ms - r->sent_ms[n] >= REQUESTS_TIMEOUT_MS) {
        out[n] = r->blocks[n];
        n++;
    }
    if (n > 0) {
        remove_at(r, 0, n);
    }
    return n;
}
