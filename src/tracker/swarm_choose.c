#include "tracker/swarm_choose.h"

#include <string.h>

#include "base/assert.h"
#include "proto/compact.h"
#include "tracker/tracker.h"

#include "base/banned.h"

/* Peers are given in runs of neighbours, which lie in one cache line or two. */
enum { RUN = 4, RUNS_MAX = (NUMWANT_LIMIT + RUN - 1) / RUN };

struct peers_range swarm_range(const struct peers *f, bool v6, bool leechers_only, uint32_t self)
{
    struct peers_range r = {.f = f, .v6 = v6, .n = f->n, .skip = SWARM_TABLE_NONE};
    if (leechers_only) {
        r.first = f->n_seeders;
        r.n -= f->n_seeders;
    }
    if (self != SWARM_TABLE_NONE && self >= r.first) {
        r.skip = self;
    }
    return r;
}

static inline uint32_t run_len(uint32_t k, uint32_t run)
{
    uint32_t rest = k - run * RUN;
    return rest < RUN ? rest : RUN;
}

/* A place in the turned range as a position: past its end it begins anew, and skip is left out. */
static inline uint32_t position(const struct peers_range *r, uint32_t n, uint32_t place)
{
    uint32_t v = r->first + (place >= n ? place - n : place);
    return v + (v >= r->skip);
}

/* Where the runs of k peers start. The range, turned by a random amount, is cut into strata as even
 * as whole numbers allow, and a run is taken from each. The turn makes all peers equally likely,
 * whatever the strata are. */
static void draw(uint32_t n, uint32_t k, struct rng *rng, uint32_t *places)
{
    struct rng source = *rng;                      /* a copy: places might lie over it */
    const uint64_t step = ((uint64_t)n << 32) / k; /* places for one peer, in 2^-32 */
    const uint32_t turn = rng_below(&source, n);
    uint64_t edge = 0;
    for (uint32_t run = 0; run * RUN < k; run++) {
        uint32_t len = run_len(k, run);
        uint32_t from = (uint32_t)(edge >> 32);
        edge += len * step;
        uint32_t n_starts = (uint32_t)(edge >> 32) - from - (len - 1);
        places[run] = turn + from + rng_below(&source, n_starts);
    }
    *rng = source;
}

/* Constant lengths, as in wire_eq. */
static inline void copy_run(uint8_t *out, const uint8_t *from, bool v6)
{
    if (v6) {
        memcpy(out, from, RUN * COMPACT6_LEN);
    } else {
        memcpy(out, from, RUN * COMPACT4_LEN);
    }
}

static inline void copy_peers(const struct peers_range *r, uint32_t n, uint32_t place, uint32_t len,
                              bool v6, uint8_t *out)
{
    const size_t peer_len = v6 ? COMPACT6_LEN : COMPACT4_LEN;
    uint32_t first = position(r, n, place);
    uint32_t last = position(r, n, place + len - 1);
    bool together =
        r->f->cap != PEERS_CHUNKED || first >> PEERS_CHUNK_BITS == last >> PEERS_CHUNK_BITS;
    if (len == RUN && last - first == RUN - 1 && together) {
        copy_run(out, swarm_array_hot(r->f, v6, first), v6);
        return;
    }
    for (uint32_t i = 0; i < len; i++) {
        memcpy(out + i * peer_len, swarm_array_hot(r->f, v6, position(r, n, place + i)), peer_len);
    }
}

static inline void copy_runs(const struct peers_range *r, uint32_t k, const uint32_t *places,
                             bool v6, uint8_t *out)
{
    const size_t peer_len = v6 ? COMPACT6_LEN : COMPACT4_LEN;
    const uint32_t n = peers_range_count(r);
    if (r->f->cap == PEERS_CHUNKED) {
        for (uint32_t run = 0; run * RUN < k; run++) {
            const uint8_t *hot = swarm_array_hot(r->f, v6, position(r, n, places[run]));
            __builtin_prefetch(hot);
            __builtin_prefetch(hot + RUN * peer_len - 1);
        }
    }
    for (uint32_t run = 0; run * RUN < k; run++) {
        copy_peers(r, n, places[run], run_len(k, run), v6, out + run * RUN * peer_len);
    }
}

void swarm_choose(const struct peers_range *r, uint32_t k, struct rng *rng, uint8_t *out,
                  struct peer_id *ids)
{
    uint32_t places[RUNS_MAX];
    const struct peers_range range = *r; /* a copy: out might lie over it */
    const uint32_t n = peers_range_count(r);
    ASSERT(k > 0 && k <= NUMWANT_LIMIT && k <= n);
    draw(n, k, rng, places);
    if (range.v6) {
        copy_runs(&range, k, places, true, out);
    } else {
        copy_runs(&range, k, places, false, out);
    }
    for (uint32_t i = 0; ids != NULL && i < k; i++) {
        uint32_t at = position(&range, n, places[i / RUN] + i % RUN);
        ids[i] = swarm_array_cold(range.f, range.v6, at)->peer_id;
    }
}
