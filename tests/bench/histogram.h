/* histogram.h: quantiles of durations in fixed memory.
 *
 * Model   32 buckets an octave: a quantile is right within 3 %; the largest value is kept exactly.
 * Units   nanoseconds.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 5,
    HISTOGRAM_BUCKETS = (65 - HISTOGRAM_SUB_BITS) << HISTOGRAM_SUB_BITS
};

struct histogram {
    uint64_t count;
    uint64_t max_ns;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

static inline unsigned histogram_bucket(uint64_t v)
{
    if (v < (1U << HISTOGRAM_SUB_BITS)) {
        return (unsigned)v;
    }
    unsigned shift = 63U - (unsigned)__builtin_clzll(v) - HISTOGRAM_SUB_BITS;
    return ((shift + 1) << HISTOGRAM_SUB_BITS) + (unsigned)((v >> shift) & 31U);
}

static inline void histogram_add(struct histogram *h, uint64_t ns)
{
    h->buckets[histogram_bucket(ns)]++;
    h->count++;
    if (ns > h->max_ns) {
        h->max_ns = ns;
    }
}

/* The smallest value that at least this share (0 to 1) of the values do not exceed; 0 without
 * values. */
uint64_t histogram_quantile_ns(const struct histogram *h, double share);

#endif
