/* store_fixture.h: an open store with a watch that remembers, for the tests of this folder. After
 * cmocka.h and lib/pg_fixture.h. */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include "store/store.h"

struct watched {
    struct store *store;
    unsigned n_reloads, n_up, n_down;
    unsigned n_present, n_absent; /* hashes */
    struct infohash last_present, last_absent;
    unsigned n_keys_present, n_keys_absent;
    struct store_key last_key;
    char last_absent_key[33];
    bool closed;
};

static inline void watched_on_whitelist(void *ctx, const struct infohash *present, size_t n_present,
                                        const struct infohash *absent, size_t n_absent)
{
    struct watched *w = ctx;
    w->n_present += (unsigned)n_present;
    w->n_absent += (unsigned)n_absent;
    if (n_present > 0) {
        w->last_present = present[n_present - 1];
    }
    if (n_absent > 0) {
        w->last_absent = absent[n_absent - 1];
    }
}

static inline void watched_on_key(void *ctx, const struct store_key *present, size_t n_present,
                                  const char (*absent)[33], size_t n_absent)
{
    struct watched *w = ctx;
    w->n_keys_present += (unsigned)n_present;
    w->n_keys_absent += (unsigned)n_absent;
    if (n_present > 0) {
        w->last_key = present[n_present - 1];
    }
    if (n_absent > 0) {
        memcpy(w->last_absent_key, absent[n_absent - 1], sizeof w->last_absent_key);
    }
}

static inline void watched_on_reload(void *ctx)
{
    ((struct watched *)ctx)->n_reloads++;
}

static inline void watched_on_available(void *ctx, bool available)
{
    struct watched *w = ctx;
    w->n_up += available ? 1 : 0;
    w->n_down += available ? 0 : 1;
}

static inline bool watched_is_up(void *ctx)
{
    const struct watched *w = ctx;
    return w->n_reloads > 0;
}

/* Opens a store and waits until it is up in every respect. */
static inline void watched_open(struct watched *w, struct pg_fixture *f, const char *url)
{
    struct err e;
    *w = (struct watched){.store = NULL};
    const struct store_watch watch = {watched_on_whitelist, watched_on_key, watched_on_reload,
                                      watched_on_available, w};
    if (store_open(&w->store, &f->loop, url, &watch, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    pg_fixture_until(&f->loop, watched_is_up, w, "the store is up");
    assert_true(store_is_available(w->store));
    assert_int_equal(w->n_reloads, 1);
}

static inline void watched_on_closed(void *ctx)
{
    ((struct watched *)ctx)->closed = true;
}

static inline void watched_close(struct watched *w, struct pg_fixture *f)
{
    store_close(w->store, watched_on_closed, w);
    PG_UNTIL_TRUE(f, &w->closed);
}

/* What a callback said. */
struct answer {
    bool done;
    int status;
    size_t n;
    struct err e;
};

static inline void answer_set(struct answer *a, int status, size_t n, const struct err *e)
{
    assert_false(a->done);
    assert_true((status == 0) == (e == NULL));
    a->done = true;
    a->status = status;
    a->n = n;
    if (e != NULL) {
        a->e = *e;
    }
}

static inline void answer_done(void *ctx, int status, const struct err *e)
{
    answer_set(ctx, status, 0, e);
}

static inline void answer_changed(void *ctx, int status, size_t n, const struct err *e)
{
    answer_set(ctx, status, n, e);
}

static inline struct infohash hash_of(uint32_t n)
{
    struct infohash h = {{0}};
    memcpy(h.b, &n, sizeof n);
    h.b[19] = 7;
    return h;
}

#endif
