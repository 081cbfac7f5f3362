#include "histogram.h"

#include "base/banned.h"

static uint64_t bucket_upper_ns(unsigned bucket)
{
    if (bucket < (1U << HISTOGRAM_SUB_BITS)) {
        return bucket;
    }
    unsigned shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t lower = (UINT64_C(32) + (bucket & 31U)) << shift;
    return lower + ((UINT64_C(1) << shift) - 1);
}

uint64_t histogram_quantile_ns(const struct histogram *h, double share)
{
    uint64_t wanted = (uint64_t)((double)h->count * share);
    uint64_t seen = 0;

    if (h->count == 0) {
        return 0;
    }
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > 0 && seen >= wanted) {
            uint64_t upper = bucket_upper_ns(i);
            return upper < h->max_ns ? upper : h->max_ns;
        }
    }
    return h->max_ns;
}
