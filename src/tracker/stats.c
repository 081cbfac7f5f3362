#include "tracker/stats.h"

#include "base/assert.h"

#include "base/banned.h"

enum { FIRST_BUCKET_NS = 250, FIRST_GAP_US = 125 };

static void bump(_Atomic uint64_t *v, uint64_t n)
{
    uint64_t now = atomic_load_explicit(v, memory_order_relaxed);
    atomic_store_explicit(v, now + n, memory_order_relaxed);
}

void stats_time(struct stats_block *s, enum tracker_timed what, uint64_t ns)
{
    unsigned i = 0;
    while (i < STATS_BUCKETS - 1 && ns > (uint64_t)FIRST_BUCKET_NS << i) {
        i++;
    }
    bump(&s->timed[what].buckets[i], 1);
    bump(&s->timed[what].sum_ns, ns);
}

static uint64_t read(const _Atomic uint64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

uint64_t stats_gap_bound_us(unsigned bucket)
{
    uint64_t whole_us = (uint64_t)FIRST_GAP_US << (bucket / 2);
    return bucket % 2 == 0 ? whole_us : whole_us + whole_us / 2;
}

static void add_gap(struct gap_histogram *h, uint64_t us)
{
    unsigned i = 0;
    while (i < STATS_GAP_BUCKETS - 1 && us > stats_gap_bound_us(i)) {
        i++;
    }
    bump(&h->buckets[i], 1);
    bump(&h->sum_us, us);
}

void stats_loop_gap(struct stats_block *s, uint64_t us, uint64_t own_us)
{
    add_gap(&s->gaps, us);
    add_gap(&s->own_gaps, own_us);
    if (us > read(&s->loop_gap_us[0])) {
        atomic_store_explicit(&s->loop_gap_us[0], us, memory_order_relaxed);
    }
}

void stats_loop_part(struct stats_block *s, uint64_t own_us)
{
    add_gap(&s->parts, own_us);
}

void stats_loop_gap_window(struct stats_block *s)
{
    atomic_store_explicit(&s->loop_gap_us[1], read(&s->loop_gap_us[0]), memory_order_relaxed);
    atomic_store_explicit(&s->loop_gap_us[0], 0, memory_order_relaxed);
}

uint64_t stats_loop_gap_max_us(const struct stats_block *s)
{
    uint64_t now_us = read(&s->loop_gap_us[0]);
    uint64_t before_us = read(&s->loop_gap_us[1]);
    return now_us > before_us ? now_us : before_us;
}

static void sum_gaps(struct gap_totals *out, const struct gap_histogram *h)
{
    for (size_t i = 0; i < STATS_GAP_BUCKETS; i++) {
        out->buckets[i] += read(&h->buckets[i]);
    }
    out->sum_us += read(&h->sum_us);
}

void stats_sum(struct stats_totals *out, const struct stats_block *s)
{
    for (size_t i = 0; i < TRACKER_COUNTER_COUNT; i++) {
        out->counters[i] += read(&s->counters[i]);
    }
    for (size_t i = 0; i < TIMED_COUNT; i++) {
        for (size_t j = 0; j < STATS_BUCKETS; j++) {
            uint64_t n = read(&s->timed[i].buckets[j]);
            out->timed[i].buckets[j] += n;
            out->timed[i].count += n;
        }
        out->timed[i].sum_ns += read(&s->timed[i].sum_ns);
    }
    sum_gaps(&out->gaps, &s->gaps);
    sum_gaps(&out->own_gaps, &s->own_gaps);
    sum_gaps(&out->parts, &s->parts);
}

const char *stats_name(enum tracker_counter counter)
{
    static const char *const names[] = {
#define TRACKER_COUNTER_NAME(name, help) #name,
        TRACKER_COUNTERS(TRACKER_COUNTER_NAME)
#undef TRACKER_COUNTER_NAME
    };
    ASSERT(counter < TRACKER_COUNTER_COUNT);
    return names[counter];
}

const char *stats_help(enum tracker_counter counter)
{
    static const char *const helps[] = {
#define TRACKER_COUNTER_HELP(name, help) help,
        TRACKER_COUNTERS(TRACKER_COUNTER_HELP)
#undef TRACKER_COUNTER_HELP
    };
    ASSERT(counter < TRACKER_COUNTER_COUNT);
    return helps[counter];
}
