/* Locks that are taken one by one and together, by threads that would lose count without them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/rng.h"
#include "tracker/swarm_lock.h"

#include "base/banned.h"

enum { THREADS = 4, LOCKS = 24, ROUNDS = 20000 };

struct counted {
    struct swarm_lock lock;
    uint64_t n;
};

struct shared {
    struct counted counted[LOCKS];
};

struct thread {
    struct shared *shared;
    uint64_t added;
    uint64_t seed;
    pthread_t id;
};

static void together(struct thread *me, struct rng *rng)
{
    struct swarm_lock *locks[SWARM_LOCKS_MAX];
    size_t at[SWARM_LOCKS_MAX];
    size_t n = 1 + rng_below(rng, SWARM_LOCKS_MAX);
    for (size_t i = 0; i < n; i++) {
        at[i] = rng_below(rng, LOCKS); /* in no order, some more than once */
        locks[i] = &me->shared->counted[at[i]].lock;
    }
    swarm_lock_take_all(locks, n);
    for (size_t i = 0; i < n; i++) {
        me->shared->counted[at[i]].n++;
    }
    swarm_lock_release_all(locks, n);
    me->added += n;
}

static void *work(void *arg)
{
    struct thread *me = arg;
    struct rng rng = {me->seed};
    for (int i = 0; i < ROUNDS; i++) {
        struct counted *one = &me->shared->counted[rng_below(&rng, LOCKS)];
        together(me, &rng);
        swarm_lock_take(&one->lock);
        one->n++;
        swarm_lock_release(&one->lock);
        me->added++;
    }
    return NULL;
}

static void no_count_is_lost(void **state)
{
    static struct shared shared;
    struct thread threads[THREADS];
    uint64_t added = 0;
    (void)state;
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){.shared = &shared, .seed = i};
        assert_int_equal(pthread_create(&threads[i].id, NULL, work, &threads[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i].id, NULL), 0);
        added += threads[i].added;
    }
    for (size_t i = 0; i < LOCKS; i++) {
        added -= shared.counted[i].n;
    }
    assert_int_equal(added, 0);
}

static void all_are_free_behind_it(void **state)
{
    struct swarm_lock lock[2] = {{NULL}, {NULL}};
    struct swarm_lock *twice[] = {&lock[1], &lock[0], &lock[1]};
    int other;
    (void)state;
    swarm_lock_take_all(twice, 3);
    assert_false(swarm_lock_try(&lock[0], &other));
    assert_false(swarm_lock_try(&lock[1], &other));
    swarm_lock_release_all(twice, 3);
    assert_true(swarm_lock_try(&lock[0], &other));
    assert_true(swarm_lock_try(&lock[1], &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_count_is_lost),
        cmocka_unit_test(all_are_free_behind_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
