/* Whom to unchoke.
 *
 * The commandments are in the header. Each list of peers is made by giving everybody a rank and
 * sorting; the smallest rank gets the first slot. Chance decides only between equals, so that
 * nobody is first for having a small id.
 *
 *   Downloading
 *     regular slots     interested, not snubbing: by what it gives, most first; between equals who
 *                       has a slot
 *     the other slots   interested without a regular one, snubbing or not: the optimistic ones of
 *                       now (until a round chooses anew), then who was never unchoked, then who was
 *                       unchoked longest ago
 *   Seeding
 *     all slots         interested: those within their turn, then who waits, longest first, then
 *                       those whose turn is over
 *
 * The other slots are one in five, and all that regular peers leave free: when there are few
 * peers, the snubbing ones take those. Thus every slot is used while somebody interested is choked.
 */
#include "client/choker.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"

#include "base/banned.h"

enum {
    OPTIMISTIC_SHARE = 5, /* one slot in that many */
    SLOT_FIRST_BPS = 1024,
    SLOT_STEP_BPS = 2048,
};

struct rank {
    uint32_t group;
    uint64_t order; /* within the group */
    uint64_t tie;
    struct choke_peer *peer;
};

static int rank_cmp(const void *left, const void *right)
{
    const struct rank *a = left;
    const struct rank *b = right;
    if (a->group != b->group) {
        return a->group < b->group ? -1 : 1;
    }
    if (a->order != b->order) {
        return a->order < b->order ? -1 : 1;
    }
    return a->tie < b->tie ? -1 : a->tie > b->tie;
}

/* The first `slots` of the ranked are unchoked. Returns how many. */
static size_t unchoke_first(struct rank *ranks, size_t n, size_t slots, bool optimistic)
{
    if (n > 0) {
        qsort(ranks, n, sizeof *ranks, rank_cmp);
    }
    if (n > slots) {
        n = slots;
    }
    for (size_t i = 0; i < n; i++) {
        ranks[i].peer->unchoke = true;
        ranks[i].peer->optimistic = optimistic;
    }
    return n;
}

static struct rank rank_giver(struct choke_peer *p, const struct choker_input *in, struct rng *rng)
{
    uint64_t given = p->down_bps;
    if (in->private) {
        given = p->up_bps > UINT64_MAX - given ? UINT64_MAX : given + p->up_bps;
    }
    /* Between equals a change of slots gains nothing. */
    uint64_t chance = rng_next(rng) >> 1;
    uint64_t tie = p->unchoked ? chance : chance | UINT64_C(1) << 63;
    return (struct rank){.order = UINT64_MAX - given, .tie = tie, .peer = p};
}

/* may_stay: it is an optimistic one and its time is not over. */
static struct rank rank_optimistic(struct choke_peer *p, bool may_stay,
                                   const struct choker_input *in, struct rng *rng)
{
    return (struct rank){
        .group = may_stay ? 0 : 1,
        .order = p->unchoked ? in->now_ms : p->unchoked_ms,
        .tie = rng_next(rng),
        .peer = p,
    };
}

static bool is_fresh(const struct choke_peer *p, uint64_t now_ms)
{
    return now_ms < p->unchoked_ms || now_ms - p->unchoked_ms < CHOKER_ROUND_MS;
}

static void decide_downloading(struct choke_peer *peers, size_t n, const struct choker_input *in,
                               struct rng *rng, struct rank *ranks)
{
    size_t for_optimistic = in->slots / OPTIMISTIC_SHARE > 1 ? in->slots / OPTIMISTIC_SHARE : 1;
    size_t n_ranks = 0;
    for (size_t i = 0; i < n; i++) {
        if (peers[i].interested && !peers[i].snubbing) {
            ranks[n_ranks++] = rank_giver(&peers[i], in, rng);
        }
    }
    size_t used = unchoke_first(ranks, n_ranks, in->slots - for_optimistic, false);

    bool anew = in->round % CHOKER_OPTIMISTIC_ROUNDS == 0;
    n_ranks = 0;
    for (size_t i = 0; i < n; i++) {
        struct choke_peer *p = &peers[i];
        if (p->unchoke) {
            continue;
        }
        /* Who was chosen in this very round stays when the round is decided once more. */
        bool may_stay = p->unchoked && p->optimistic && (!anew || is_fresh(p, in->now_ms));
        p->optimistic = false;
        if (p->interested) {
            ranks[n_ranks++] = rank_optimistic(p, may_stay, in, rng);
        }
    }
    (void)unchoke_first(ranks, n_ranks, in->slots - used, true);
}

static bool turn_is_over(const struct choke_peer *p, uint64_t now_ms)
{
    uint64_t had_ms = now_ms > p->unchoked_ms ? now_ms - p->unchoked_ms : 0;
    bool had_its_share = p->turn_len >= CHOKER_TURN_LEN || p->up_bps == 0;
    return (had_its_share && had_ms >= CHOKER_TURN_MS) || had_ms >= CHOKER_TURN_MAX_MS;
}

static struct rank rank_turn(struct choke_peer *p, uint64_t now_ms, struct rng *rng)
{
    enum { WITHIN_TURN, WAITING, TURN_OVER } group = WAITING;
    if (p->unchoked) {
        group = turn_is_over(p, now_ms) ? TURN_OVER : WITHIN_TURN;
    }
    return (struct rank){
        .group = group,
        .order = p->unchoked_ms > 0 ? p->unchoked_ms : p->connected_ms,
        .tie = rng_next(rng),
        .peer = p,
    };
}

static void decide_seeding(struct choke_peer *peers, size_t n, const struct choker_input *in,
                           struct rng *rng, struct rank *ranks)
{
    size_t n_ranks = 0;
    for (size_t i = 0; i < n; i++) {
        peers[i].optimistic = false;
        if (peers[i].interested) {
            ranks[n_ranks++] = rank_turn(&peers[i], in->now_ms, rng);
        }
    }
    (void)unchoke_first(ranks, n_ranks, in->slots, false);
}

void choker_decide(struct choke_peer *peers, size_t n, const struct choker_input *in,
                   struct rng *rng)
{
    ASSERT(in->slots >= 1);
    if (n == 0) {
        return;
    }
    struct rank *ranks = mem_array(n, sizeof *ranks);
    for (size_t i = 0; i < n; i++) {
        peers[i].unchoke = false;
    }
    if (in->seeding) {
        decide_seeding(peers, n, in, rng, ranks);
    } else {
        decide_downloading(peers, n, in, rng, ranks);
    }
    free(ranks);
}

static int faster_first(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return a > b ? -1 : a < b;
}

/* k slots ask for 1 + 3 + 5 ... KiB/s, which is k * k. */
static uint32_t slots_within(uint64_t limit_bps)
{
    uint64_t k = 0;
    while (k < CHOKER_SLOTS_MAX && (k + 1) * (k + 1) * SLOT_FIRST_BPS <= limit_bps) {
        k++;
    }
    return (uint32_t)k;
}

uint32_t choker_slots(const struct choke_peer *peers, size_t n, uint64_t limit_bps, uint32_t cap)
{
    uint32_t most = limit_bps == 0 ? CHOKER_SLOTS_MAX : slots_within(limit_bps);
    uint32_t slots = 1; /* there is always one more to try than is fed */
    if (n > 0) {
        uint64_t *rates = mem_array(n, sizeof *rates);
        size_t n_rates = 0;
        for (size_t i = 0; i < n; i++) {
            if (peers[i].unchoked) {
                rates[n_rates++] = peers[i].up_bps;
            }
        }
        qsort(rates, n_rates, sizeof *rates, faster_first);
        uint64_t asked_bps = SLOT_FIRST_BPS;
        for (size_t i = 0; i < n_rates && slots < most && rates[i] >= asked_bps; i++) {
            slots++;
            asked_bps += SLOT_STEP_BPS;
        }
        free(rates);
    }
    slots = slots < CHOKER_SLOTS_MIN ? CHOKER_SLOTS_MIN : slots;
    return cap > 0 && cap < slots ? cap : slots;
}
