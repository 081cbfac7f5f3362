/* access_impl.h: the inside of struct access, for access*.c alone.
 *
 * Model      a change is a draft: a copy of the snapshot's pointers in which a part is copied when
 *            it is touched first. Publishing it is one store; what it replaced is freed when no
 *            reader's slot can see it any more.
 * Threads    the main loop only, but where access.h says otherwise.
 */
#ifndef TRACKER_ACCESS_IMPL_H
#define TRACKER_ACCESS_IMPL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/ids.h"
#include "base/span.h"
#include "tracker/access.h"
#include "tracker/access_directory.h"
#include "tracker/access_parts.h"

struct access_list {
    struct hash_part *hashes[HASH_PARTS]; /* NULL: empty */
    struct key_part *keys[KEY_PARTS];
    size_t n_hashes, n_keys;
    /* main loop only */
    uint64_t number;
    struct access_list *next_old;
    struct hash_part *dead_hashes; /* replaced by the next snapshot */
    struct key_part *dead_keys;
    struct key_entry *dead_entries;
};

struct draft {
    struct access_list *list;
    struct access_list *before;
    uint64_t own_hashes[HASH_PARTS / 64]; /* parts that only the draft has */
    uint64_t own_keys[KEY_PARTS / 64];
};

struct hash_change {
    struct infohash hash;
    bool add;
};

struct key_change {
    struct access_key key;
    bool put;
};

/* A load under way, and the changes since it began. */
struct hash_load {
    bool active;
    struct hash_part *parts[HASH_PARTS];
    size_t n;
    struct hash_change *changes;
    size_t n_changes;
};

struct key_load {
    bool active;
    struct key_part *parts[KEY_PARTS];
    size_t n;
    struct key_change *changes;
    size_t n_changes;
};

struct access {
    _Atomic(struct access_list *) current;
    _Atomic(struct key_entry *) used;
    struct hash_seed seed;
    struct siphash_key key_secret;
    const struct access_slot *const *slots;
    size_t n_slots;
    struct access_list *old_first, *old_last;
    struct key_entry *popped; /* off the stack of used keys, not taken yet */
    struct hash_load load_hashes;
    struct key_load load_keys;
    struct key_directory directory; /* of the current snapshot's keys */
    uint32_t next_id;
};

static inline uint64_t access_key_hash(const struct access *a, struct span key)
{
    return digest_siphash(&a->key_secret, key);
}

static inline struct access_list *access_list_now(const struct access *a)
{
    return atomic_load_explicit(&a->current, memory_order_relaxed); /* we are who writes it */
}

/* ---- drafts -------------------------------------------------------------------------------- */

struct draft draft_begin(struct access *a);
/* A part to change: a copy that only the draft has. */
struct hash_part *draft_hashes(struct draft *d, size_t i);
struct key_part *draft_keys(struct draft *d, size_t i);
/* What the draft does not have any more; freed after the last snapshot that has it. p may be NULL. */
void draft_drop_hashes(struct draft *d, struct hash_part *p);
void draft_drop_keys(struct draft *d, struct key_part *p);
void draft_drop_entry(struct draft *d, struct key_entry *k);
/* The draft is the snapshot of now. */
void draft_publish(struct access *a, struct draft *d);
/* Frees the snapshots that no slot holds, and what died with them. */
void draft_reclaim(struct access *a);

/* ---- used keys ----------------------------------------------------------------------------- */

/* Any thread. */
void access_queue_used(struct access *a, struct key_entry *k);
/* Takes the stack of used keys over to a->popped. */
void access_pop_used(struct access *a);
/* At once, or when it is popped. */
void key_entry_free(struct key_entry *k);

#endif
