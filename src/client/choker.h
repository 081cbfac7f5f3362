/* choker.h: who may download from us. Client core: a policy, from a table of peers to a decision.
 *
 * Commandments
 *   1. Downloading: the slots go to the interested peers that give us most (private torrents: give
 *      and take), one in five (at least one) of them goes to an optimistic choice, new peers first.
 *   2. Seeding: everybody gets a turn. A turn ends after CHOKER_TURN_LEN bytes and CHOKER_TURN_MS,
 *      of a peer that takes nothing after CHOKER_TURN_MS alone, and always after
 *      CHOKER_TURN_MAX_MS; then those that have waited longest come first.
 *   3. A peer that is not interested takes no slot. A snubbing peer keeps one only as the
 *      optimistic choice. With a free slot nobody interested is choked.
 *   4. Slots adapt: as many as our upload rate feeds (choker_slots), never fewer than the least; but
 *      never more than the torrent's own cap, whatever a slot is for.
 */
#ifndef CLIENT_CHOKER_H
#define CLIENT_CHOKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"

enum {
    CHOKER_ROUND_MS = 10000,
    CHOKER_OPTIMISTIC_ROUNDS = 3,
    CHOKER_SLOTS_MIN = 4,
    CHOKER_SLOTS_MAX = 64,
    CHOKER_TURN_LEN = 4 << 20,
    CHOKER_TURN_MS = 60000,
    CHOKER_TURN_MAX_MS = 300000,
};

struct choke_peer {
    uint64_t id;           /* the caller's */
    uint64_t down_bps;     /* what it gives us */
    uint64_t up_bps;       /* what we give it */
    uint64_t turn_len;     /* bytes we sent since it was unchoked */
    uint64_t connected_ms; /* when */
    uint64_t unchoked_ms;  /* when it last was unchoked; 0: never */
    bool interested;       /* in us */
    bool unchoked;         /* now */
    bool optimistic;       /* now; the decision writes it */
    bool snubbing;         /* it owes us blocks and sends none */
    bool unchoke;          /* the decision */
};

struct choker_input {
    bool seeding;   /* nothing more to download here */
    bool private;   /* BEP 27 */
    uint32_t slots; /* >= 1 */
    uint32_t round; /* counts rounds: every CHOKER_OPTIMISTIC_ROUNDS-th chooses anew */
    uint64_t now_ms;
};

/* Fills unchoke and optimistic of every peer. O(n log n). The order of peers does not matter and
 * may change. */
void choker_decide(struct choke_peer *peers, size_t n, const struct choker_input *in,
                   struct rng *rng);

/* Slots for the next round: by the rates we send to those that are unchoked (each further slot asks
 * for 2 KiB/s more, starting at 1 KiB/s), limited by the rate limit (limit_bps 0: none) and by the
 * torrent's own cap (0: none). At least 1. */
uint32_t choker_slots(const struct choke_peer *peers, size_t n, uint64_t limit_bps, uint32_t cap);

#endif
