#include "tracker/persist_replay.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tracker/tracker.h"

#include "base/banned.h"

void replay_clear(struct replay *r)
{
    r->n_hashes = 0;
    r->n_keys = 0;
    r->overflow = false;
}

void replay_release(struct replay *r)
{
    free(r->hashes);
    free(r->keys);
    *r = (struct replay){.overflow = false};
}

/* The capacity that holds used + n, or 0: more than REPLAY_MAX, which is an overflow. */
static size_t replay_cap(struct replay *r, size_t cap, size_t used, size_t n)
{
    if (r->overflow || n > REPLAY_MAX - used) {
        r->overflow = true;
        return 0;
    }
    while (cap < used + n) {
        cap = cap == 0 ? 256 : cap * 2;
    }
    return cap;
}

void replay_note_hashes(struct replay *r, const struct infohash *hashes, size_t n, bool present)
{
    size_t cap = n == 0 ? 0 : replay_cap(r, r->cap_hashes, r->n_hashes, n);
    if (cap == 0) {
        return;
    }
    if (cap > r->cap_hashes) {
        r->hashes = mem_resize(r->hashes, cap, sizeof *r->hashes);
        r->cap_hashes = cap;
    }
    for (size_t i = 0; i < n; i++) {
        r->hashes[r->n_hashes] = (struct replay_hash){hashes[i], present, r->n_hashes};
        r->n_hashes++;
    }
}

void replay_note_key(struct replay *r, const struct store_key *key, bool present)
{
    size_t cap = replay_cap(r, r->cap_keys, r->n_keys, 1);
    if (cap == 0) {
        return;
    }
    if (cap > r->cap_keys) {
        r->keys = mem_resize(r->keys, cap, sizeof *r->keys);
        r->cap_keys = cap;
    }
    r->keys[r->n_keys++] = (struct replay_key){*key, present};
}

static int compare_hashes(const void *a, const void *b)
{
    const struct replay_hash *x = a, *y = b;
    int c = memcmp(x->hash.b, y->hash.b, sizeof x->hash.b);
    return c != 0 ? c : x->order < y->order ? -1 : 1;
}

/* Two calls in all, because each makes the tracker's access lists anew. */
static void replay_hashes(struct replay *r, struct tracker *tracker)
{
    if (r->n_hashes == 0) {
        return;
    }
    struct infohash *present = mem_array(r->n_hashes + 1, sizeof *present);
    struct infohash *absent = mem_array(r->n_hashes + 1, sizeof *absent);
    size_t n_present = 0, n_absent = 0;
    qsort(r->hashes, r->n_hashes, sizeof *r->hashes, compare_hashes);
    for (size_t i = 0; i < r->n_hashes; i++) {
        const struct replay_hash *h = &r->hashes[i];
        if (i + 1 < r->n_hashes && infohash_eq(&h->hash, &h[1].hash)) {
            continue;
        }
        if (h->present) {
            present[n_present++] = h->hash;
        } else {
            absent[n_absent++] = h->hash;
        }
    }
    if (n_present > 0) {
        tracker_whitelist_add(tracker, present, n_present);
    }
    if (n_absent > 0) {
        tracker_whitelist_remove(tracker, absent, n_absent);
    }
    free(present);
    free(absent);
}

struct access_key access_key_from_store(const struct store_key *key)
{
    struct access_key out = {.permanent = key->permanent,
                             .expires_unix_ms = key->expires_unix_ms,
                             .last_used_unix_s = key->last_used_unix_s,
                             .created_unix_s = key->created_unix_s};
    memcpy(out.key, key->key, sizeof out.key);
    memcpy(out.label, key->label, sizeof out.label);
    return out;
}

void replay_apply(struct replay *r, struct tracker *tracker)
{
    ASSERT(!r->overflow);
    if (r->n_hashes > 0) {
        replay_hashes(r, tracker);
    }
    for (size_t i = 0; i < r->n_keys; i++) {
        const struct access_key key = access_key_from_store(&r->keys[i].key);
        if (r->keys[i].present) {
            tracker_key_put(tracker, &key);
        } else {
            (void)tracker_key_remove(tracker, span_str(key.key));
        }
    }
    replay_clear(r);
}
