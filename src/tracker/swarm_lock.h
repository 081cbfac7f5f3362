/* swarm_lock.h: the lock of a shard: one word, inline, and several at once. Tracker core.
 *
 * Model      the word names its holder, so that who takes many at once in no order sees which of
 *            them it has already. Nobody who holds one waits for another, but in ascending order.
 * Cost       one locked instruction to take, a plain store to release. Held for a few microseconds:
 *            who has to wait turns on the spot, and gives its processor away when that takes longer.
 * Limits     SWARM_LOCKS_MAX at once.
 */
#ifndef TRACKER_SWARM_LOCK_H
#define TRACKER_SWARM_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* All zero is free. */
struct swarm_lock {
    _Atomic(const void *) holder;
};

enum { SWARM_LOCKS_MAX = 16 };

/* False when anybody has it. who: any address. */
static inline bool swarm_lock_try(struct swarm_lock *l, const void *who)
{
    const void *nobody = NULL;
    return atomic_compare_exchange_strong_explicit(&l->holder, &nobody, who, memory_order_acquire,
                                                   memory_order_relaxed);
}

void swarm_lock_wait(struct swarm_lock *l, const void *who);

static inline void swarm_lock_take(struct swarm_lock *l)
{
    if (!swarm_lock_try(l, l)) {
        swarm_lock_wait(l, l);
    }
}

static inline void swarm_lock_release(struct swarm_lock *l)
{
    atomic_store_explicit(&l->holder, NULL, memory_order_release);
}

/* Takes all of them; the same may be there more than once. n: 1 .. SWARM_LOCKS_MAX. */
void swarm_lock_take_all(struct swarm_lock *const *locks, size_t n);
void swarm_lock_release_all(struct swarm_lock *const *locks, size_t n);

#endif
