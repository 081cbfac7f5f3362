/* picker.h: which blocks to ask a peer for. Client core: a policy over the availability of pieces.
 *
 * Commandments
 *   1. Priority first, then pieces under way, then rarity, ties at random; the first
 *      PICKER_RANDOM_FIRST pieces of a torrent are random.
 *   2. Sequential order replaces rarity; first/last puts the ends of each file in front.
 *   3. A fast peer gets whole pieces to itself (what it delivers in PICKER_WHOLE_PIECE_S), so that
 *      pieces are done soon and blame is clear. A snubbing peer takes from the common end.
 *   4. End game, when every block that is left is asked for: an idle peer may be asked for one more
 *      block that others owe, never more than PICKER_END_GAME_ASKERS for one.
 *   5. A peer on parole gets whole pieces of its own.
 *   6. Once the torrent is complete the picker is freed.
 * Counts     availability is 16 bits a piece; seeds are one number for all pieces.
 * Cost       a pick is O(blocks + pieces looked at); a have moves one piece by swaps.
 */
#ifndef CLIENT_PICKER_H
#define CLIENT_PICKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/span.h"
#include "client/pieces.h"

enum {
    PICKER_SKIP = 0, /* priorities: 0 is not wanted, 4 normal, 7 first of all */
    PICKER_NORMAL = 4,
    PICKER_FIRST = 7,
    PICKER_RANDOM_FIRST = 4,
    PICKER_WHOLE_PIECE_S = 20,
    PICKER_END_GAME_ASKERS = 4,
};

struct picker;

/* Pieces looked at, in each way of looking for one. */
struct picker_counts {
    uint64_t partial;            /* under way already */
    uint64_t sequential;         /* in order */
    uint64_t rare, rare_reverse; /* the rarest first; the most common first */
    uint64_t random;             /* from a random one on */
    uint64_t random_skipped;     /* ... and passed over */
    uint64_t busy;               /* the end game: all blocks asked for */
};

/* Every piece is of PICKER_NORMAL priority and had by nobody. */
struct picker *picker_new(uint32_t n_pieces, uint64_t seed);
void picker_free(struct picker *k);
/* Counts go there from now on. Borrowed until picker_free. */
void picker_count_in(struct picker *k, struct picker_counts *counts);

void picker_set_priority(struct picker *k, uint32_t piece, uint8_t priority);
uint8_t picker_priority(const struct picker *k, uint32_t piece);
void picker_set_sequential(struct picker *k, bool sequential);

/* We have it (it is never picked again), or no more. */
void picker_on_have(struct picker *k, uint32_t piece);
void picker_on_lost(struct picker *k, uint32_t piece);

/* What peers have. A peer whose bitfield becomes full is removed and added as a seed. */
void picker_add_peer(struct picker *k, struct span bitfield);
void picker_remove_peer(struct picker *k, struct span bitfield);
void picker_add_seed(struct picker *k);
void picker_remove_seed(struct picker *k);
void picker_peer_has(struct picker *k, uint32_t piece);
void picker_peer_lost(struct picker *k, uint32_t piece);
/* Peers that have it, seeds included. */
uint32_t picker_availability(const struct picker *k, uint32_t piece);
/* The copies of the torrent among the peers: the least availability, plus the share of pieces that
 * have more. */
double picker_copies(const struct picker *k);

/* Pieces that are wanted (priority above skip) and not had. */
uint32_t picker_n_wanted(const struct picker *k);

struct pick_peer {
    conn_id id;
    struct span bitfield; /* what it has; ignored when seed */
    bool seed;
    bool snubbing;
    bool parole;
    bool choked;          /* it chokes us: only pieces of fast */
    const uint32_t *fast; /* allowed fast */
    size_t n_fast;
    uint64_t down_bps;
    const struct wire_block *pending; /* what it is asked for already */
    size_t n_pending;
};

/* Would anything that it has be of use to us? */
bool picker_is_interesting(const struct picker *k, struct span bitfield, bool seed);

/* Choose up to cap blocks and mark them in p as asked for. Returns their number. */
size_t picker_pick(struct picker *k, struct pieces *p, const struct pick_peer *peer,
                   struct wire_block *out, size_t cap);

#endif
