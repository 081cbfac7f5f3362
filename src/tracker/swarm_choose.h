/* swarm_choose.h: which peers of a swarm are given to one of them. Tracker core.
 *
 * Even       every peer is equally likely; a few neighbours go together (RUN in the source).
 * Threads    none of its own: the shard's lock is held.
 */
#ifndef TRACKER_SWARM_CHOOSE_H
#define TRACKER_SWARM_CHOOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"
#include "base/rng.h"
#include "tracker/swarm_array.h"

/* The peers that may be given to somebody: positions first .. first + n - 1 without skip. */
struct peers_range {
    const struct peers *f;
    bool v6;
    uint32_t first;
    uint32_t n;
    uint32_t skip; /* a position in the range, or SWARM_TABLE_NONE */
};

/* Who may be given to the asker at position self (SWARM_TABLE_NONE: it is of the other family). */
struct peers_range swarm_range(const struct peers *f, bool v6, bool leechers_only, uint32_t self);
static inline uint32_t peers_range_count(const struct peers_range *r)
{
    return r->n - (r->skip != SWARM_TABLE_NONE);
}

/* Copy k (1 .. min(peers_range_count, NUMWANT_LIMIT)) different peers of the range in wire form to
 * out, and their ids to ids unless that is NULL. Every peer is equally likely; a few neighbours go
 * together. */
void swarm_choose(const struct peers_range *r, uint32_t k, struct rng *rng, uint8_t *out,
                  struct peer_id *ids);

#endif
