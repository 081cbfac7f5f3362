/* The pieces that are wanted, by priority and rarity.
 *
 *   pieces  | 7, had by 0 | 7, by 1 | ... | 4, by 0 | 4, by 1 | ... |
 *             ends[0]       ends[1]   ...
 *
 * One array in buckets; only priorities that occur have buckets (a class). A have moves its piece
 * one bucket on: swapped with the last of its bucket it is the first of the next, where it is
 * swapped to a random place, so that pieces as rare as each other stand in random order.
 *
 * What changes much at once (a peer with many pieces, priorities) only says that the order is not
 * valid; it is built again, in one pass, when it is next needed. A torrent without peers, and one
 * in sequential order, never has it.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "client/picker_impl.h"

#include "base/banned.h"

enum { AVAIL_CAP_MIN = 8 };

void picker_order_release(struct picker_order *o)
{
    free(o->pieces);
    free(o->at);
    free(o->ends);
    *o = (struct picker_order){0};
}

static uint32_t bucket_of(const struct picker *k, uint32_t piece, uint32_t avail)
{
    return k->order.class_of[picker_priority_of(k, piece)] * k->order.avail_cap + avail;
}

static uint32_t start_of(const struct picker_order *o, uint32_t bucket)
{
    return bucket == 0 ? 0 : o->ends[bucket - 1];
}

static void swap(struct picker_order *o, uint32_t a, uint32_t b)
{
    uint32_t piece = o->pieces[a];
    o->pieces[a] = o->pieces[b];
    o->pieces[b] = piece;
    o->at[o->pieces[a]] = a;
    o->at[o->pieces[b]] = b;
}

/* ---- building -------------------------------------------------------------------------------- */

/* The next wanted piece from `from`, or n_pieces. */
static uint32_t next_wanted(const struct picker *k, uint32_t from)
{
    size_t w = from / 64;
    uint64_t word =
        w < picker_n_words(k->n_pieces) ? picker_word(k->wanted, w) & UINT64_MAX >> from % 64 : 0;
    while (word == 0) {
        if (++w >= picker_n_words(k->n_pieces)) {
            return k->n_pieces;
        }
        word = picker_word(k->wanted, w);
    }
    return (uint32_t)(w * 64) + (uint32_t)__builtin_clzll(word);
}

static uint32_t avail_cap_for(const struct picker *k)
{
    uint32_t max = 0;
    for (uint32_t i = 0; k->avail != NULL && i < k->n_pieces; i++) {
        max = k->avail[i] > max ? k->avail[i] : max;
    }
    uint32_t cap = AVAIL_CAP_MIN;
    while (cap <= max) {
        cap *= 2;
    }
    return cap;
}

static uint32_t set_classes(struct picker *k)
{
    uint8_t n = 0;
    for (int priority = PICKER_FIRST; priority > PICKER_SKIP; priority--) {
        if (k->n_by_priority[priority] > 0) {
            k->order.class_of[priority] = n++;
        }
    }
    return n;
}

/* ends[b] becomes the start of bucket b, for placing moves it to the end. */
static void count(struct picker *k)
{
    struct picker_order *o = &k->order;
    memset(o->ends, 0, o->n_buckets * sizeof *o->ends);
    for (uint32_t i = next_wanted(k, 0); i < k->n_pieces; i = next_wanted(k, i + 1)) {
        o->ends[bucket_of(k, i, picker_avail(k, i))]++;
    }
    uint32_t sum = 0;
    for (uint32_t b = 0; b < o->n_buckets; b++) {
        uint32_t n = o->ends[b];
        o->ends[b] = sum;
        sum += n;
    }
}

void picker_order_build(struct picker *k)
{
    struct picker_order *o = &k->order;
    if (o->valid) {
        return;
    }
    o->avail_cap = avail_cap_for(k);
    o->n_buckets = set_classes(k) * o->avail_cap;
    if (o->at == NULL) {
        o->at = mem_array(k->n_pieces, sizeof *o->at);
    }
    o->ends = mem_resize(o->ends, (size_t)o->n_buckets + 1, sizeof *o->ends);
    o->pieces = mem_resize(o->pieces, (size_t)k->n_wanted + 1, sizeof *o->pieces);
    count(k);
    for (uint32_t i = next_wanted(k, 0); i < k->n_pieces; i = next_wanted(k, i + 1)) {
        uint32_t b = bucket_of(k, i, picker_avail(k, i));
        o->pieces[o->ends[b]] = i;
        o->at[i] = o->ends[b]++;
    }
    for (uint32_t b = 0; b < o->n_buckets; b++) {
        uint32_t start = start_of(o, b);
        for (uint32_t i = start; i < o->ends[b]; i++) {
            swap(o, i, start + rng_below(&k->rng, i - start + 1));
        }
    }
    o->valid = true;
}

/* ---- moving ---------------------------------------------------------------------------------- */

static void to_random_place(struct picker *k, uint32_t piece, uint32_t bucket)
{
    struct picker_order *o = &k->order;
    uint32_t start = start_of(o, bucket);
    swap(o, o->at[piece], start + rng_below(&k->rng, o->ends[bucket] - start));
}

void picker_order_up(struct picker *k, uint32_t piece)
{
    struct picker_order *o = &k->order;
    uint32_t avail = picker_avail(k, piece);
    if (!o->valid || !picker_bit(k->wanted, piece)) {
        return;
    }
    if (avail >= o->avail_cap) {
        o->valid = false;
        return;
    }
    uint32_t b = bucket_of(k, piece, avail - 1);
    swap(o, o->at[piece], --o->ends[b]);
    to_random_place(k, piece, b + 1);
}

void picker_order_down(struct picker *k, uint32_t piece)
{
    struct picker_order *o = &k->order;
    if (!o->valid || !picker_bit(k->wanted, piece)) {
        return;
    }
    uint32_t b = bucket_of(k, piece, picker_avail(k, piece));
    swap(o, o->at[piece], o->ends[b]++);
    to_random_place(k, piece, b);
}

void picker_order_remove(struct picker *k, uint32_t piece)
{
    struct picker_order *o = &k->order;
    if (!o->valid) {
        return;
    }
    for (uint32_t b = bucket_of(k, piece, picker_avail(k, piece)); b < o->n_buckets; b++) {
        swap(o, o->at[piece], --o->ends[b]);
    }
}

void picker_order_range(const struct picker *k, uint8_t priority, uint32_t *first, uint32_t *end)
{
    const struct picker_order *o = &k->order;
    uint32_t bucket = o->class_of[priority] * o->avail_cap;
    *first = start_of(o, bucket);
    *end = o->ends[bucket + o->avail_cap - 1];
}
