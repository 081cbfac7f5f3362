/* persist_replay.h: changes that come in while everything is being loaded.
 *
 * Why       a load shows the database as it was when it began. What changed since is applied to the
 *           tracker at once, but the load's commit would undo it; so it is noted here and applied
 *           again after the commit.
 * Limits    REPLAY_MAX hashes and as many keys; beyond: overflow is set, nothing more is kept, and
 *           the load has to be thrown away.
 */
#ifndef TRACKER_PERSIST_REPLAY_H
#define TRACKER_PERSIST_REPLAY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ids.h"
#include "store/store.h"

struct tracker;

enum { REPLAY_MAX = 65536 };

struct replay_hash {
    struct infohash hash;
    bool present;
    size_t order;
};

struct replay_key {
    struct store_key key; /* only key.key when it is absent */
    bool present;
};

struct replay {
    bool overflow;
    /* private */
    struct replay_hash *hashes;
    size_t n_hashes, cap_hashes;
    struct replay_key *keys;
    size_t n_keys, cap_keys;
};

/* A zeroed struct is an empty one. */
void replay_clear(struct replay *r);
void replay_release(struct replay *r);

void replay_note_hashes(struct replay *r, const struct infohash *hashes, size_t n, bool present);
void replay_note_key(struct replay *r, const struct store_key *key, bool present);

/* Everything noted, the last word about each hash and key winning; then empty. */
void replay_apply(struct replay *r, struct tracker *tracker);

/* A key as the tracker has it. */
struct access_key access_key_from_store(const struct store_key *key);

#endif
