/* worker_clock.h: the one place where the tracker's workers read the clocks, once a batch.
 *
 * The monotonic clock is the kernel's and not the loop's: all threads read the same, so that an id
 * made by one worker is never from the future for another.
 */
#ifndef TRACKER_WORKER_CLOCK_H
#define TRACKER_WORKER_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "tracker/tracker.h"

static inline uint64_t worker_clock_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline uint64_t worker_clock_us(void)
{
    return worker_clock_ns() / 1000;
}

/* Processor time of the calling thread. A system call, and not a short one. */
static inline uint64_t worker_clock_used_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* mono_ns: what worker_clock_ns just returned. */
static inline struct tracker_time worker_clock_at(uint64_t mono_ns)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return (struct tracker_time){
        .mono_ms = mono_ns / 1000000,
        .unix_ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000,
    };
}

static inline struct tracker_time worker_clock_now(void)
{
    return worker_clock_at(worker_clock_ns());
}

#endif
