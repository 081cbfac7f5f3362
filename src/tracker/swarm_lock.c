#include "tracker/swarm_lock.h"

#include <sched.h>
#include <stdint.h>

#include "base/assert.h"

#include "base/banned.h"

enum { TURNS = 1000 }; /* a few microseconds */

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

void swarm_lock_wait(struct swarm_lock *l, const void *who)
{
    for (;;) {
        for (int i = 0; i < TURNS; i++) {
            if (atomic_load_explicit(&l->holder, memory_order_relaxed) == NULL &&
                swarm_lock_try(l, who)) {
                return;
            }
            relax();
        }
        (void)sched_yield(); /* the holder was taken its processor, perhaps this one */
    }
}

/* who: here an address that no other thread uses meanwhile. */
static bool is_mine(const struct swarm_lock *l, const void *who)
{
    return atomic_load_explicit(&l->holder, memory_order_relaxed) == who;
}

static void release(struct swarm_lock *const *locks, size_t n, const void *who)
{
    for (size_t i = 0; i < n; i++) {
        if (is_mine(locks[i], who)) {
            swarm_lock_release(locks[i]);
        }
    }
}

/* Somebody has one of them: waiting is safe for who takes them in ascending order. */
static void take_in_order(struct swarm_lock *const *locks, size_t n)
{
    struct swarm_lock *sorted[SWARM_LOCKS_MAX];
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        for (; at > 0 && (uintptr_t)sorted[at - 1] > (uintptr_t)locks[i]; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = locks[i];
    }
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || sorted[i] != sorted[i - 1]) {
            swarm_lock_wait(sorted[i], locks);
        }
    }
}

void swarm_lock_take_all(struct swarm_lock *const *locks, size_t n)
{
    ASSERT(n <= SWARM_LOCKS_MAX);
    for (size_t i = 0; i < n; i++) {
        /* Looks first: a try of what is ours already would take the line from who waits for it. */
        if (!is_mine(locks[i], locks) && !swarm_lock_try(locks[i], locks)) {
            release(locks, i, locks);
            take_in_order(locks, n);
            return;
        }
    }
}

void swarm_lock_release_all(struct swarm_lock *const *locks, size_t n)
{
    release(locks, n, locks);
}
