/* Store first, then the tracker: what the whitelist in memory has is in the database. */
#include "own_tracker.h"

#include <stdlib.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "proto/compact.h"
#include "store/store.h"
#include "tracker/tracker.h"
#include "tracker/worker_clock.h"

#include "base/banned.h"

enum { PEERS_MAX = 200 }; /* of each family, in one answer */

struct own_tracker {
    struct tracker *tracker;
    struct tracker_worker *worker;
    struct store *store;
    char why[128]; /* of the last refusal */
    uint8_t peers4[PEERS_MAX * COMPACT4_LEN];
    uint8_t peers6[PEERS_MAX * COMPACT6_LEN];
};

/* A change of the whitelist on its way. */
struct listing {
    struct own_tracker *o;
    void (*listed)(void *ctx, int status);
    void *ctx;
    size_t n;
    struct infohash hashes[];
};

struct own_tracker *own_tracker_new(struct tracker *tracker, size_t worker, struct store *store)
{
    struct own_tracker *o = mem_new(struct own_tracker);
    o->tracker = tracker;
    o->worker = tracker_worker(tracker, worker);
    o->store = store;
    tracker_worker_needs_no_key(o->worker);
    return o;
}

void own_tracker_free(struct own_tracker *o)
{
    free(o);
}

static size_t take_peers(struct span list, bool v6, struct endpoint *out, size_t cap)
{
    size_t n = 0;
    while (n < cap && compact_next(&list, v6, &out[n])) {
        n++;
    }
    return n;
}

int own_tracker_announce(void *ctx, const struct announce_req *req, struct announce_reply *reply,
                         struct endpoint *out, size_t cap, const char **why)
{
    struct own_tracker *o = ctx;
    struct announce_failure failure = {.retry_in_min = 0};
    const struct peer_room room = {
        .peers4 = o->peers4, .peers6 = o->peers6, .cap4 = PEERS_MAX, .cap6 = PEERS_MAX};
    tracker_begin(o->worker, worker_clock_now());
    int status = tracker_announce(o->worker, req, &room, reply, &failure);
    tracker_end(o->worker);
    if (status < 0) {
        struct wr w = wr_over(o->why, sizeof o->why - 1);
        wr_bytes(&w, failure.reason);
        *w.p = '\0';
        *why = o->why;
        return status;
    }
    size_t n = take_peers(reply->peers4, false, out, cap);
    return (int)(n + take_peers(reply->peers6, true, out + n, cap - n));
}

void own_tracker_scrape(void *ctx, const struct infohash *hashes, size_t n,
                        struct scrape_counts *out)
{
    struct own_tracker *o = ctx;
    struct announce_failure failure;
    tracker_begin(o->worker, worker_clock_now());
    /* Refused is who has no key, and this worker needs none. */
    (void)tracker_scrape(o->worker, span_of(NULL, 0), hashes, n, out, &failure);
    tracker_end(o->worker);
}

static void on_listed(void *ctx, int status, size_t n, const struct err *e)
{
    struct listing *l = ctx;
    (void)n;
    (void)e;
    if (status == 0) {
        tracker_whitelist_add(l->o->tracker, l->hashes, l->n);
    }
    l->listed(l->ctx, status);
    free(l);
}

void own_tracker_list(void *ctx, const struct infohash *hashes, size_t n,
                      void (*listed)(void *listed_ctx, int status), void *listed_ctx)
{
    struct own_tracker *o = ctx;
    struct listing *l;
    if ((tracker_cfg(o->tracker)->mode & MODE_LISTED) == 0) {
        listed(listed_ctx, 0);
        return;
    }
    l = mem_zeroed(sizeof *l + n * sizeof *hashes);
    l->o = o;
    l->listed = listed;
    l->ctx = listed_ctx;
    for (size_t i = 0; i < n; i++) {
        if (!tracker_whitelist_has(o->tracker, &hashes[i])) {
            l->hashes[l->n++] = hashes[i];
        }
    }
    if (l->n == 0) {
        free(l);
        listed(listed_ctx, 0);
        return;
    }
    int status = store_whitelist_add(o->store, l->hashes, l->n, on_listed, l);
    if (status < 0) {
        free(l);
        listed(listed_ctx, status);
    }
}
