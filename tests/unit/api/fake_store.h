/* fake_store.h: a database that does what a test wants: it refuses at once, fails later, or never
 * answers. In place of store and persist; include in one file of a program, after cmocka.h. */
#ifndef TESTS_API_FAKE_STORE_H
#define TESTS_API_FAKE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <uv.h>

#include "store/store.h"
#include "tracker/persist.h"

enum { FAKE_STORE_CALLS_MAX = 8 };

struct fake_store_call {
    store_done done;
    store_changed changed;
    size_t n;
    void *ctx;
};

struct store {
    uv_timer_t timer;
    _Atomic int refuse;  /* what every call returns */
    _Atomic int fail;    /* what every call ends with */
    _Atomic bool silent; /* nothing is answered until the end */
    _Atomic size_t n_changed;
    struct fake_store_call pending[FAKE_STORE_CALLS_MAX];
    _Atomic size_t n_pending;
};

static inline void fake_store_answer(struct store *s)
{
    struct fake_store_call now[FAKE_STORE_CALLS_MAX];
    size_t n = s->n_pending;
    memcpy(now, s->pending, sizeof now);
    s->n_pending = 0;
    for (size_t i = 0; i < n; i++) {
        struct err e = {s->fail, "no"};
        const struct err *why = s->fail < 0 ? &e : NULL;
        if (now[i].done != NULL) {
            now[i].done(now[i].ctx, s->fail, why);
        } else {
            now[i].changed(now[i].ctx, s->fail, s->fail < 0 ? 0 : now[i].n, why);
        }
    }
}

static inline void fake_store_on_timer(uv_timer_t *timer)
{
    struct store *s = timer->data;
    if (!s->silent) {
        fake_store_answer(s);
    }
}

static inline int fake_store_enqueue(struct store *s, struct fake_store_call p)
{
    if (s->refuse < 0) {
        return s->refuse;
    }
    assert_true(s->n_pending < FAKE_STORE_CALLS_MAX);
    s->pending[s->n_pending++] = p;
    uv_timer_start(&s->timer, fake_store_on_timer, 1, 0);
    return 0;
}

bool store_is_available(const struct store *s)
{
    return s->refuse == 0;
}

int store_ping(struct store *s, store_done done, void *ctx)
{
    return fake_store_enqueue(s, (struct fake_store_call){.done = done, .ctx = ctx});
}

int store_whitelist_add(struct store *s, const struct infohash *hashes, size_t n,
                        store_changed done, void *ctx)
{
    (void)hashes;
    return fake_store_enqueue(s, (struct fake_store_call){.changed = done, .n = n, .ctx = ctx});
}

int store_whitelist_remove(struct store *s, const struct infohash *hash, store_changed done,
                           void *ctx)
{
    (void)hash;
    return fake_store_enqueue(s, (struct fake_store_call){.changed = done, .n = 1, .ctx = ctx});
}

int store_key_add(struct store *s, const struct store_key *key, store_done done, void *ctx)
{
    (void)key;
    return fake_store_enqueue(s, (struct fake_store_call){.done = done, .ctx = ctx});
}

int store_key_remove(struct store *s, const char *key, store_changed done, void *ctx)
{
    (void)key;
    return fake_store_enqueue(
        s, (struct fake_store_call){.changed = done, .n = s->n_changed, .ctx = ctx});
}

/* The persist of a test is its store. */
int persist_reload(struct persist *p, persist_done done, void *ctx)
{
    return fake_store_enqueue((struct store *)(void *)p,
                              (struct fake_store_call){.done = done, .ctx = ctx});
}

static inline void fake_store_init(struct store *s, uv_loop_t *loop)
{
    s->timer.data = s;
    (void)uv_timer_init(loop, &s->timer);
}

#endif
