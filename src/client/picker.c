/* What is wanted, and how many peers have it.
 *
 * A bit a piece for what is had and for what is wanted; a byte a piece for priorities, from the
 * first that is not normal; 16 bits a piece for availability, from the first peer that is no seed.
 * Seeds are one number, so that they come and go without touching a piece.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "client/picker_impl.h"

#include "base/banned.h"

/* A peer with more than one in so many pieces has the order built again. */
enum { MOVES_SHARE = 8 };

static void bit_put(uint8_t *bits, uint32_t i, bool on)
{
    uint8_t mask = (uint8_t)(0x80 >> i % 8);
    bits[i / 8] = (uint8_t)(on ? bits[i / 8] | mask : bits[i / 8] & ~mask);
}

struct picker *picker_new(uint32_t n_pieces, uint64_t seed)
{
    ASSERT(n_pieces > 0);
    struct picker *k = mem_new(struct picker);
    size_t len = picker_n_words(n_pieces) * 8;
    k->n_pieces = n_pieces;
    k->n_wanted = n_pieces;
    k->n_by_priority[PICKER_NORMAL] = n_pieces;
    k->have = mem_zeroed(len);
    k->wanted = mem_zeroed(len);
    memset(k->wanted, 0xff, n_pieces / 8);
    for (uint32_t i = n_pieces / 8 * 8; i < n_pieces; i++) {
        bit_put(k->wanted, i, true);
    }
    k->rng.state = seed;
    k->counts = &k->own_counts;
    return k;
}

void picker_count_in(struct picker *k, struct picker_counts *counts)
{
    k->counts = counts;
}

void picker_free(struct picker *k)
{
    picker_order_release(&k->order);
    free(k->have);
    free(k->wanted);
    free(k->priorities);
    free(k->avail);
    free(k);
}

/* ---- what is wanted -------------------------------------------------------------------------- */

static void want(struct picker *k, uint32_t piece)
{
    bit_put(k->wanted, piece, true);
    k->n_wanted++;
    k->n_by_priority[picker_priority_of(k, piece)]++;
    k->low_word = piece / 64 < k->low_word ? piece / 64 : k->low_word;
    k->order.valid = false;
}

static void want_no_more(struct picker *k, uint32_t piece)
{
    bit_put(k->wanted, piece, false);
    k->n_wanted--;
    k->n_by_priority[picker_priority_of(k, piece)]--;
}

void picker_set_priority(struct picker *k, uint32_t piece, uint8_t priority)
{
    ASSERT(piece < k->n_pieces && priority < PRIORITIES);
    if (picker_priority_of(k, piece) == priority) {
        return;
    }
    if (k->priorities == NULL) {
        k->priorities = mem_array(k->n_pieces, 1);
        memset(k->priorities, PICKER_NORMAL, k->n_pieces);
    }
    if (picker_bit(k->wanted, piece)) {
        want_no_more(k, piece);
        k->order.valid = false;
    }
    k->priorities[piece] = priority;
    if (priority > PICKER_SKIP && !picker_bit(k->have, piece)) {
        want(k, piece);
    }
}

uint8_t picker_priority(const struct picker *k, uint32_t piece)
{
    ASSERT(piece < k->n_pieces);
    return picker_priority_of(k, piece);
}

void picker_set_sequential(struct picker *k, bool sequential)
{
    k->sequential = sequential;
    if (sequential) {
        picker_order_release(&k->order);
    }
}

void picker_on_have(struct picker *k, uint32_t piece)
{
    ASSERT(piece < k->n_pieces);
    bit_put(k->have, piece, true);
    if (picker_bit(k->wanted, piece)) {
        picker_order_remove(k, piece);
        want_no_more(k, piece);
    }
}

void picker_on_lost(struct picker *k, uint32_t piece)
{
    ASSERT(piece < k->n_pieces);
    if (picker_bit(k->have, piece)) {
        bit_put(k->have, piece, false);
        if (picker_priority_of(k, piece) > PICKER_SKIP) {
            want(k, piece);
        }
    }
}

uint32_t picker_n_wanted(const struct picker *k)
{
    return k->n_wanted;
}

bool picker_is_interesting(const struct picker *k, struct span bitfield, bool seed)
{
    if (seed) {
        return k->n_wanted > 0;
    }
    for (size_t w = k->low_word; w < picker_n_words(k->n_pieces); w++) {
        if (picker_word(k->wanted, w) & picker_span_word(bitfield, w)) {
            return true;
        }
    }
    return false;
}

/* ---- who has it ------------------------------------------------------------------------------ */

static void need_avail(struct picker *k)
{
    if (k->avail == NULL) {
        k->avail = mem_zeroed(k->n_pieces * sizeof *k->avail);
    }
}

void picker_peer_has(struct picker *k, uint32_t piece)
{
    ASSERT(piece < k->n_pieces);
    need_avail(k);
    ASSERT(k->avail[piece] < UINT16_MAX);
    k->avail[piece]++;
    picker_order_up(k, piece);
}

void picker_peer_lost(struct picker *k, uint32_t piece)
{
    ASSERT(piece < k->n_pieces && picker_avail(k, piece) > 0);
    k->avail[piece]--;
    picker_order_down(k, piece);
}

static void each_piece(struct picker *k, struct span bitfield,
                       void (*call)(struct picker *k, uint32_t piece))
{
    ASSERT(bitfield.n == (k->n_pieces - 1) / 8 + 1);
    size_t n = 0;
    for (size_t i = 0; i < bitfield.n; i++) {
        n += (size_t)__builtin_popcount(bitfield.p[i]);
    }
    if (n > k->n_pieces / MOVES_SHARE) {
        k->order.valid = false;
    }
    for (size_t w = 0; w < picker_n_words(k->n_pieces); w++) {
        uint64_t word = picker_span_word(bitfield, w);
        while (word != 0) {
            uint32_t bit = (uint32_t)__builtin_clzll(word);
            word &= ~(UINT64_C(1) << (63 - bit));
            call(k, (uint32_t)(w * 64) + bit);
        }
    }
}

void picker_add_peer(struct picker *k, struct span bitfield)
{
    each_piece(k, bitfield, picker_peer_has);
}

void picker_remove_peer(struct picker *k, struct span bitfield)
{
    each_piece(k, bitfield, picker_peer_lost);
}

void picker_add_seed(struct picker *k)
{
    k->n_seeds++;
}

void picker_remove_seed(struct picker *k)
{
    ASSERT(k->n_seeds > 0);
    k->n_seeds--;
}

uint32_t picker_availability(const struct picker *k, uint32_t piece)
{
    ASSERT(piece < k->n_pieces);
    return picker_avail(k, piece) + k->n_seeds;
}

double picker_copies(const struct picker *k)
{
    uint32_t least = UINT32_MAX;
    uint32_t n_least = 0;
    for (uint32_t i = 0; i < k->n_pieces; i++) {
        uint32_t avail = picker_avail(k, i);
        if (avail < least) {
            least = avail;
            n_least = 0;
        }
        n_least += avail == least;
    }
    return least + k->n_seeds + (double)(k->n_pieces - n_least) / k->n_pieces;
}
