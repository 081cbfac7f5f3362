/* access.h: whitelist and access keys, read by workers while the main loop changes them.
 *
 * Model      a snapshot never changes once it is published. It is made of parts (by hash), so a
 *            change copies the parts it touches and shares the rest with the snapshot before.
 * Threads    access_hold and access_let_go: the reader that owns the slot; what a held snapshot
 *            gives: that reader until it lets go. Everything else: the main loop.
 * Memory     what a change replaces is freed when no slot holds a snapshot that has it; after a
 *            load, in slices (access_reclaim).
 * Keys       an id is never given to a second key, so it can be kept after the key is gone.
 */
#ifndef TRACKER_ACCESS_H
#define TRACKER_ACCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/ids.h"
#include "base/span.h"
#include "tracker/swarm_hash.h"
#include "tracker/tracker.h"

struct access;
struct access_list; /* a snapshot */
struct key_entry;

/* One reader's claim on a snapshot. Zeroed: none. */
struct access_slot {
    _Alignas(64) _Atomic(const struct access_list *) held;
};

/* The slots stay the caller's, outlive the access lists, and are all that may hold. */
struct access *access_new(const struct hash_seed *seed, const struct siphash_key *key_secret,
                          const struct access_slot *const *slots, size_t n_slots);
/* No slot holds anything any more. */
void access_free(struct access *a);

/* ---- readers -------------------------------------------------------------------------------- */

/* The snapshot of now, until access_let_go. */
const struct access_list *access_hold(struct access *a, struct access_slot *slot);
void access_let_go(struct access_slot *slot);

bool access_has_hash(const struct access *a, const struct access_list *list,
                     const struct infohash *hash);
/* NULL: there is no such key. */
struct key_entry *access_find_key(const struct access *a, const struct access_list *list,
                                  struct span key);
bool key_entry_is_expired(const struct key_entry *k, int64_t now_unix_ms);
uint32_t key_entry_id(const struct key_entry *k);
/* Note that the key was used: last_used moves on, and access_take_used will give it. */
void access_mark_used(struct access *a, struct key_entry *k, int64_t now_unix_s);

/* ---- main loop: as in tracker.h ---------------------------------------------------------------
 */

/* The snapshot of now; good until the next change. */
const struct access_list *access_current(const struct access *a);
size_t access_hash_count(const struct access *a);
size_t access_key_count(const struct access *a);

void access_add_hashes(struct access *a, const struct infohash *hashes, size_t n);
void access_remove_hashes(struct access *a, const struct infohash *hashes, size_t n);
/* Changes made between begin and commit are in what commit publishes. */
void access_load_hashes_begin(struct access *a);
void access_load_hash(struct access *a, const struct infohash *hash);
void access_load_hashes_abort(struct access *a);
/* Up to gone_cap hashes that are not there any more go to gone; returns their number. At most
 * gone_cap of the old hashes are looked at. */
size_t access_load_hashes_commit(struct access *a, struct infohash *gone, size_t gone_cap);
size_t access_list_hashes(const struct access *a, const struct infohash *after,
                          struct infohash *out, size_t cap);

void access_put_key(struct access *a, const struct access_key *key);
bool access_remove_key(struct access *a, struct span key);
bool access_get_key(const struct access *a, struct span key, struct access_key *out);
void access_load_keys_begin(struct access *a);
void access_load_key(struct access *a, const struct access_key *key);
void access_load_keys_abort(struct access *a);
void access_load_keys_commit(struct access *a);
size_t access_list_keys(struct access *a, struct span after, struct access_key *out, size_t cap);
size_t access_take_used(struct access *a, struct access_key *out, size_t cap);

/* Frees up to budget of what was replaced (keys, parts of the lists). True: there is more. */
bool access_reclaim(struct access *a, size_t budget);

/* The key with this id, or NULL when it is gone. */
const char *access_key_text(const struct access *a, uint32_t id);

#endif
