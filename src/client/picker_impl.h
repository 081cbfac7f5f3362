/* picker_impl.h: what the parts of picker share. For picker*.c only.
 *
 * Parts     picker.c what is wanted, and who has it; picker_order.c pieces by priority and rarity;
 *           picker_pick.c the choice.
 * Bits      as on the wire, most significant first, padded to whole words.
 */
#ifndef CLIENT_PICKER_IMPL_H
#define CLIENT_PICKER_IMPL_H

#include <string.h>

#include "client/picker.h"

enum { PRIORITIES = PICKER_FIRST + 1 };

/* See picker_order.c. */
struct picker_order {
    bool valid;       /* else it has to be built before it is used */
    uint32_t *pieces; /* wanted ones, by bucket */
    uint32_t *at;     /* of each piece that is wanted: index of pieces */
    uint32_t *ends;   /* of each bucket */
    uint32_t n_buckets;
    uint32_t avail_cap;           /* buckets of a class */
    uint8_t class_of[PRIORITIES]; /* the classes that are there, the first priority first */
};

struct picker {
    uint32_t n_pieces;
    uint32_t n_wanted;
    uint32_t n_by_priority[PRIORITIES]; /* wanted */
    uint8_t *have;
    uint8_t *wanted;     /* priority above skip, and not had */
    size_t low_word;     /* no word of wanted before it has a bit */
    uint8_t *priorities; /* NULL: all normal */
    uint16_t *avail;     /* peers that have it, without seeds; NULL: none has any */
    uint32_t n_seeds;
    bool sequential;
    struct rng rng;
    struct picker_counts *counts;
    struct picker_counts own_counts; /* until somebody else wants them */
    struct picker_order order;
};

static inline size_t picker_n_words(uint32_t n_pieces)
{
    return ((size_t)n_pieces + 63) / 64;
}

static inline bool picker_bit(const uint8_t *bits, uint32_t i)
{
    return bits[i / 8] >> (7 - i % 8) & 1;
}

static inline uint64_t picker_word(const uint8_t *bits, size_t word)
{
    const uint8_t *b = bits + word * 8;
    return (uint64_t)b[0] << 56 | (uint64_t)b[1] << 48 | (uint64_t)b[2] << 40 |
           (uint64_t)b[3] << 32 | (uint64_t)b[4] << 24 | (uint64_t)b[5] << 16 |
           (uint64_t)b[6] << 8 | b[7];
}

/* The same from bytes that are not padded. */
static inline uint64_t picker_span_word(struct span bits, size_t word)
{
    uint8_t padded[8] = {0};
    struct span part = span_sub(bits, word * 8, 8);
    if (part.n == 8) {
        return picker_word(part.p, 0);
    }
    if (part.n > 0) {
        memcpy(padded, part.p, part.n);
    }
    return picker_word(padded, 0);
}

static inline uint32_t picker_avail(const struct picker *k, uint32_t piece)
{
    return k->avail == NULL ? 0 : k->avail[piece];
}

static inline uint8_t picker_priority_of(const struct picker *k, uint32_t piece)
{
    return k->priorities == NULL ? PICKER_NORMAL : k->priorities[piece];
}

/* ---- picker_order.c -------------------------------------------------------------------------- */

void picker_order_release(struct picker_order *o);
/* Valid afterwards. */
void picker_order_build(struct picker *k);
/* Nothing while it is not valid. The piece's availability has just gone up, down, or the piece is
 * not wanted any more. */
void picker_order_up(struct picker *k, uint32_t piece);
void picker_order_down(struct picker *k, uint32_t piece);
void picker_order_remove(struct picker *k, uint32_t piece);
/* Where the pieces of a priority stand: [*first, *end). */
void picker_order_range(const struct picker *k, uint8_t priority, uint32_t *first, uint32_t *end);

#endif
