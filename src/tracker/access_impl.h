/* access_impl.h: the inside of struct access, for access*.c alone.
 *
 * Model      a change is a draft: a copy of the snapshot's pointers in which a part is copied when
 *            it is touched first. Publishing it is one store; what it replaced is garbage when no
 *            reader's slot can see it any more, and is freed in slices.
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
    struct key_entry **dead_ids; /* all entries that a load replaced */
    size_t n_dead_ids;
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
    struct key_directory directory; /* of the parts' keys */
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
    struct access_list *garbage; /* old ones that no slot holds, by next_old */
    struct key_entry *popped;    /* off the stack of used keys, not taken yet */
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
/* What the snapshot after this one does not have any more; freed after the last one that has it.
 * p may be NULL. All keys of a directory: once a snapshot. */
void list_drop_hashes(struct access_list *before, struct hash_part *p);
void list_drop_keys(struct access_list *before, struct key_part *p);
void list_drop_directory(struct access_list *before, struct key_directory *directory);
void draft_drop_entry(struct draft *d, struct key_entry *k);
/* The draft is the snapshot of now. */
void draft_publish(struct access *a, struct draft *d);
/* The same for a single change, of which no garbage stays: as much is freed as one can make. */
void draft_publish_change(struct access *a, struct draft *d);
/* What is dead in list, which is in no snapshot and was seen by no reader, is garbage. */
void draft_discard(struct access *a, struct access_list *list);

/* ---- used keys ----------------------------------------------------------------------------- */

/* Any thread. */
void access_queue_used(struct access *a, struct key_entry *k);
/* Takes the stack of used keys over to a->popped. */
void access_pop_used(struct access *a);
/* A last use that came later, from any thread. */
void key_entry_raise_used(struct key_entry *k, int64_t last_used_unix_s);

#endif
