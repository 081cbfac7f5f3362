/* requests.h: what one peer was asked for, and how much it should be. Client core, pure.
 *
 * Depth     slow start: two at first, one more for each block that arrives, until the rate grows no
 *           more; then REQUESTS_TIME_MS of its rate (never under two, nor over its reqq or
 *           REQUESTS_MAX). A round trip longer than that counts instead.
 * Snub      nothing for REQUESTS_SNUB_MS while something is asked: depth 1 until a block comes.
 *           A single request older than REQUESTS_TIMEOUT_MS is given back.
 * Memory    in proportion to the depth that was used, none while nothing is asked.
 */
#ifndef CLIENT_REQUESTS_H
#define CLIENT_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/peer_wire.h"

enum {
    REQUESTS_MAX = 500,
    REQUESTS_REQQ_DEFAULT = 250, /* a peer that does not say how many it keeps */
    REQUESTS_TIME_MS = 3000,
    REQUESTS_SNUB_MS = 20000,
    REQUESTS_TIMEOUT_MS = 60000,
};

/* Zeroed, then requests_init. */
struct requests {
    struct wire_block *blocks; /* in the order they were asked; NULL while there are none */
    size_t n;
    bool snubbing;
    /* private */
    uint64_t *sent_ms; /* beside blocks */
    size_t cap;
    uint32_t reqq;
    uint32_t depth;
    bool slow_start;
    uint64_t last_block_ms; /* or the first request since there were none */
    uint64_t second_ms;     /* when the second that runs began */
    uint64_t second_len;    /* bytes in it */
    uint64_t previous_len;
    uint32_t round_trip_ms;
    bool timing; /* blocks[0] was asked with nothing before it: its answer is a round trip */
};

void requests_init(struct requests *r);
void requests_release(struct requests *r);
void requests_set_reqq(struct requests *r, uint32_t reqq);

/* How many more to ask for now; rate_bps: what the peer sends. 0 until half of the depth is free
 * once it is above 16, so that requests leave in batches. */
size_t requests_room(const struct requests *r, uint64_t rate_bps);

void requests_add(struct requests *r, const struct wire_block *blocks, size_t n, uint64_t now_ms);
/* A block has come (or a reject, with arrived false). False: it was not asked for. */
bool requests_take(struct requests *r, const struct wire_block *b, bool arrived, uint64_t now_ms);
/* All of them come to nothing: copied to out (room for r->n), their number returned. */
size_t requests_take_all(struct requests *r, struct wire_block *out);

/* When requests_expired has something to say; UINT64_MAX: nothing is asked. */
uint64_t requests_deadline_ms(const struct requests *r);
/* Sets snubbing. Requests past their time go to out (at most cap), the rest with the next call. */
size_t requests_expired(struct requests *r, uint64_t now_ms, struct wire_block *out, size_t cap);

#endif
