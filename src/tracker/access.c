/* Publishing and freeing.
 *
 * A change starts a draft: a copy of the snapshot's pointers. The first touch of a part puts a
 * private copy in its place and the old part on the old snapshot's list of the dead. Publishing is
 * one store; the old snapshot joins a queue, oldest first.
 *
 * A reader writes the snapshot it wants into its slot and looks whether that is still the current
 * one; only then it holds it. Both sides use sequentially consistent order: either the reader sees
 * the new snapshot, or the main loop sees the slot.
 *
 * A part that died with snapshot n may be in any snapshot up to n. So the queue is freed from its
 * head up to the oldest snapshot that a slot holds, never around it.
 *
 * A used key stands on a lock-free stack once (queued). A dead key that stands on it is freed when
 * it is popped; by then no reader can push it again.
 */
#include "tracker/access.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tracker/access_directory.h"
#include "tracker/access_parts.h"
#include "tracker/swarm_table.h"

#include "base/banned.h"

enum {
    KEY_ID_MAX = (1 << 29) - 1,
};

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

/* ---- snapshots ----------------------------------------------------------------------------- */

static uint64_t key_hash(const struct access *a, struct span key)
{
    return digest_siphash(&a->key_secret, key);
}

static struct access_list *current(const struct access *a)
{
    return atomic_load_explicit(&a->current, memory_order_relaxed); /* we are who writes it */
}

static struct draft draft_begin(struct access *a)
{
    struct draft d = {.list = mem_new(struct access_list), .before = current(a)};
    *d.list = *d.before;
    d.list->number++;
    d.list->next_old = NULL;
    d.list->dead_hashes = NULL;
    d.list->dead_keys = NULL;
    d.list->dead_entries = NULL;
    return d;
}

static void hash_part_die(struct draft *d, struct hash_part *p)
{
    if (p != NULL) {
        p->next_dead = d->before->dead_hashes;
        d->before->dead_hashes = p;
    }
}

static void key_part_die(struct draft *d, struct key_part *p)
{
    if (p != NULL) {
        p->next_dead = d->before->dead_keys;
        d->before->dead_keys = p;
    }
}

static void entry_die(struct draft *d, struct key_entry *k)
{
    k->next_dead = d->before->dead_entries;
    d->before->dead_entries = k;
}

static struct hash_part *draft_hashes(struct draft *d, size_t i)
{
    if ((d->own_hashes[i / 64] >> (i % 64) & 1) == 0) {
        d->own_hashes[i / 64] |= UINT64_C(1) << (i % 64);
        struct hash_part *old = d->list->hashes[i];
        d->list->hashes[i] = hash_part_copy(old);
        hash_part_die(d, old);
    }
    return d->list->hashes[i];
}

static struct key_part *draft_keys(struct draft *d, size_t i)
{
    if ((d->own_keys[i / 64] >> (i % 64) & 1) == 0) {
        d->own_keys[i / 64] |= UINT64_C(1) << (i % 64);
        struct key_part *old = d->list->keys[i];
        d->list->keys[i] = key_part_copy(old);
        key_part_die(d, old);
    }
    return d->list->keys[i];
}

static void entry_free(struct key_entry *k)
{
    if (atomic_load_explicit(&k->queued, memory_order_acquire)) {
        k->dead = true;
    } else {
        free(k);
    }
}

static void list_free(struct access_list *list)
{
    while (list->dead_hashes != NULL) {
        struct hash_part *p = list->dead_hashes;
        list->dead_hashes = p->next_dead;
        hash_part_free(p);
    }
    while (list->dead_keys != NULL) {
        struct key_part *p = list->dead_keys;
        list->dead_keys = p->next_dead;
        key_part_free(p);
    }
    while (list->dead_entries != NULL) {
        struct key_entry *k = list->dead_entries;
        list->dead_entries = k->next_dead;
        entry_free(k);
    }
    free(list);
}

static void reclaim(struct access *a)
{
    uint64_t oldest = UINT64_MAX;
    for (size_t i = 0; i < a->n_slots; i++) {
        const struct access_list *held = atomic_load(&a->slots[i]->held);
        /* A slot may name a snapshot that was freed: its reader will look again and not use it.
         * So it is looked for, not looked into. */
        for (struct access_list *l = a->old_first; held != NULL && l != NULL; l = l->next_old) {
            if (l == held && l->number < oldest) {
                oldest = l->number;
            }
        }
    }
    while (a->old_first != NULL && a->old_first->number < oldest) {
        struct access_list *l = a->old_first;
        a->old_first = l->next_old;
        list_free(l);
    }
    if (a->old_first == NULL) {
        a->old_last = NULL;
    }
}

static void publish(struct access *a, struct draft *d)
{
    struct access_list *old = d->before;
    atomic_store(&a->current, d->list);
    if (a->old_last == NULL) {
        a->old_first = old;
    } else {
        a->old_last->next_old = old;
    }
    a->old_last = old;
    reclaim(a);
}

struct access *access_new(const struct hash_seed *seed, const struct siphash_key *key_secret,
                          const struct access_slot *const *slots, size_t n_slots)
{
    struct access *a = mem_new(struct access);
    a->seed = *seed;
    a->key_secret = *key_secret;
    a->slots = slots;
    a->n_slots = n_slots;
    a->directory.text_sorted = true;
    a->next_id = 1;
    atomic_store(&a->current, mem_new(struct access_list));
    return a;
}

static void pop_used(struct access *a)
{
    struct key_entry *k = atomic_exchange_explicit(&a->used, NULL, memory_order_acquire);
    while (k != NULL) {
        struct key_entry *next = k->next_used;
        k->next_used = a->popped;
        a->popped = k;
        k = next;
    }
}

void access_free(struct access *a)
{
    if (a == NULL) {
        return;
    }
    access_load_hashes_abort(a);
    access_load_keys_abort(a);
    reclaim(a);
    ASSERT(a->old_first == NULL);
    pop_used(a);
    while (a->popped != NULL) {
        struct key_entry *k = a->popped;
        a->popped = k->next_used;
        if (k->dead) {
            free(k);
        }
    }
    struct access_list *list = current(a);
    for (size_t i = 0; i < HASH_PARTS; i++) {
        hash_part_free(list->hashes[i]);
    }
    for (size_t i = 0; i < KEY_PARTS; i++) {
        key_part_free(list->keys[i]);
    }
    for (size_t i = 0; i < a->directory.n; i++) {
        free(a->directory.by_id[i]);
    }
    swarm_table_release(&a->directory.id_index);
    free(a->directory.by_id);
    free(a->directory.by_text);
    free(list);
    free(a);
}

/* ---- readers ------------------------------------------------------------------------------- */

const struct access_list *access_hold(struct access *a, struct access_slot *slot)
{
    const struct access_list *list = atomic_load(&a->current);
    for (;;) {
        atomic_store(&slot->held, list);
        const struct access_list *again = atomic_load(&a->current);
        if (again == list) {
            return list;
        }
        list = again;
    }
}

void access_let_go(struct access_slot *slot)
{
    atomic_store_explicit(&slot->held, NULL, memory_order_release);
}

bool access_has_hash(const struct access *a, const struct access_list *list,
                     const struct infohash *hash)
{
    return hash_part_find(&a->seed, list->hashes[hash_part_of(hash)], hash) != SWARM_TABLE_NONE;
}

struct key_entry *access_find_key(const struct access *a, const struct access_list *list,
                                  struct span key)
{
    uint64_t hash = key_hash(a, key);
    const struct key_part *p = list->keys[key_part_of(hash)];
    uint32_t i = key_part_find(p, key, (uint32_t)hash);
    return i == SWARM_TABLE_NONE ? NULL : p->at[i];
}

bool key_entry_is_expired(const struct key_entry *k, int64_t now_unix_ms)
{
    return !k->key.permanent && now_unix_ms >= k->key.expires_unix_ms;
}

uint32_t key_entry_id(const struct key_entry *k)
{
    return k->id;
}

static void queue_used(struct access *a, struct key_entry *k)
{
    if (atomic_exchange_explicit(&k->queued, true, memory_order_acq_rel)) {
        return;
    }
    struct key_entry *head = atomic_load_explicit(&a->used, memory_order_relaxed);
    do {
        k->next_used = head;
    } while (!atomic_compare_exchange_weak_explicit(&a->used, &head, k, memory_order_release,
                                                    memory_order_relaxed));
}

void access_mark_used(struct access *a, struct key_entry *k, int64_t now_unix_s)
{
    /* Two workers may set it in either order: they differ by a moment. */
    if (atomic_load_explicit(&k->last_used_unix_s, memory_order_relaxed) < now_unix_s) {
        atomic_store_explicit(&k->last_used_unix_s, now_unix_s, memory_order_relaxed);
        queue_used(a, k);
    }
}

/* ---- whitelist ----------------------------------------------------------------------------- */

const struct access_list *access_current(const struct access *a)
{
    return current(a);
}

size_t access_hash_count(const struct access *a)
{
    return current(a)->n_hashes;
}

size_t access_key_count(const struct access *a)
{
    return current(a)->n_keys;
}

static void remember_hashes(struct access *a, const struct infohash *hashes, size_t n, bool add)
{
    struct hash_load *load = &a->load_hashes;
    if (load->active && n > 0) {
        load->changes = mem_resize(load->changes, load->n_changes + n, sizeof *load->changes);
        for (size_t i = 0; i < n; i++) {
            load->changes[load->n_changes++] = (struct hash_change){hashes[i], add};
        }
    }
}

void access_add_hashes(struct access *a, const struct infohash *hashes, size_t n)
{
    struct draft d = draft_begin(a);
    for (size_t i = 0; i < n; i++) {
        if (!access_has_hash(a, d.list, &hashes[i])) {
            d.list->n_hashes +=
                hash_part_add(&a->seed, draft_hashes(&d, hash_part_of(&hashes[i])), &hashes[i]);
        }
    }
    publish(a, &d);
    remember_hashes(a, hashes, n, true);
}

void access_remove_hashes(struct access *a, const struct infohash *hashes, size_t n)
{
    struct draft d = draft_begin(a);
    for (size_t i = 0; i < n; i++) {
        if (access_has_hash(a, d.list, &hashes[i])) {
            d.list->n_hashes -=
                hash_part_remove(&a->seed, draft_hashes(&d, hash_part_of(&hashes[i])), &hashes[i]);
        }
    }
    publish(a, &d);
    remember_hashes(a, hashes, n, false);
}

void access_load_hashes_begin(struct access *a)
{
    ASSERT(!a->load_hashes.active);
    a->load_hashes = (struct hash_load){.active = true};
}

void access_load_hash(struct access *a, const struct infohash *hash)
{
    struct hash_load *load = &a->load_hashes;
    ASSERT(load->active);
    struct hash_part **part = &load->parts[hash_part_of(hash)];
    if (*part == NULL) {
        *part = mem_new(struct hash_part);
    }
    load->n += hash_part_add(&a->seed, *part, hash);
}

void access_load_hashes_abort(struct access *a)
{
    for (size_t i = 0; i < HASH_PARTS; i++) {
        hash_part_free(a->load_hashes.parts[i]);
    }
    free(a->load_hashes.changes);
    a->load_hashes = (struct hash_load){.active = false};
}

/* What was changed beside the load is newer than what was loaded. */
static void replay_hashes(struct access *a)
{
    struct hash_load *load = &a->load_hashes;
    for (size_t i = 0; i < load->n_changes; i++) {
        const struct hash_change *change = &load->changes[i];
        struct hash_part *part = load->parts[hash_part_of(&change->hash)];
        if (change->add) {
            access_load_hash(a, &change->hash);
        } else if (part != NULL) {
            load->n -= hash_part_remove(&a->seed, part, &change->hash);
        }
    }
}

static size_t hashes_gone(const struct access *a, const struct access_list *before,
                          struct infohash *gone, size_t gone_cap)
{
    size_t looked = 0;
    size_t n = 0;
    for (size_t i = 0; i < HASH_PARTS; i++) {
        const struct hash_part *part = before->hashes[i];
        for (uint32_t j = 0; part != NULL && j < part->n && looked < gone_cap; j++, looked++) {
            if (!access_has_hash(a, current(a), &part->at[j])) {
                gone[n++] = part->at[j];
            }
        }
    }
    return n;
}

size_t access_load_hashes_commit(struct access *a, struct infohash *gone, size_t gone_cap)
{
    struct hash_load *load = &a->load_hashes;
    ASSERT(load->active);
    replay_hashes(a);
    struct draft d = draft_begin(a);
    for (size_t i = 0; i < HASH_PARTS; i++) {
        hash_part_die(&d, d.list->hashes[i]);
        d.list->hashes[i] = load->parts[i];
        load->parts[i] = NULL;
    }
    d.list->n_hashes = load->n;
    access_load_hashes_abort(a);
    /* Freed by publish at the earliest: look first. */
    atomic_store(&a->current, d.list);
    size_t n = hashes_gone(a, d.before, gone, gone_cap);
    publish(a, &d);
    return n;
}

size_t access_list_hashes(const struct access *a, const struct infohash *after,
                          struct infohash *out, size_t cap)
{
    const struct access_list *list = current(a);
    size_t n = 0;
    for (size_t i = after == NULL ? 0 : hash_part_of(after); i < HASH_PARTS && n < cap; i++) {
        if (list->hashes[i] != NULL && list->hashes[i]->n > 0) {
            n += hash_part_list(list->hashes[i], after, out + n, cap - n);
        }
    }
    return n;
}

/* ---- keys ---------------------------------------------------------------------------------- */

const char *access_key_text(const struct access *a, uint32_t id)
{
    const struct key_entry *k = id == 0 ? NULL : key_directory_by_id(&a->directory, id);
    return k == NULL ? NULL : k->key.key;
}

static void read_entry(const struct key_entry *k, struct access_key *out)
{
    *out = k->key;
    out->last_used_unix_s = atomic_load_explicit(&k->last_used_unix_s, memory_order_relaxed);
}

/* An id that was never given before. When all are spent, keys have none: their peers are shown
 * without a key, but never with a wrong one. */
static uint32_t new_id(struct access *a)
{
    return a->next_id <= KEY_ID_MAX ? a->next_id++ : 0;
}

/* A new entry for key; what was known of it under before (which may be NULL) lives on. */
static struct key_entry *entry_new(struct access *a, const struct access_key *key,
                                   const struct key_entry *before)
{
    struct key_entry *k = mem_new(struct key_entry);
    int64_t last_used_unix_s = key->last_used_unix_s;
    k->key = *key;
    k->key.key[ACCESS_KEY_LEN] = '\0';
    k->key.label[sizeof k->key.label - 1] = '\0';
    k->key_len = strlen(k->key.key);
    k->hash = (uint32_t)key_hash(a, span_of(k->key.key, k->key_len));
    k->id = before == NULL ? new_id(a) : before->id;
    if (before != NULL) {
        int64_t known = atomic_load_explicit(&before->last_used_unix_s, memory_order_relaxed);
        last_used_unix_s = known > last_used_unix_s ? known : last_used_unix_s;
    }
    atomic_store_explicit(&k->last_used_unix_s, last_used_unix_s, memory_order_relaxed);
    return k;
}

static struct key_entry *find_current(const struct access *a, struct span key)
{
    return access_find_key(a, current(a), key);
}

static void remember_key(struct access *a, const struct access_key *key, bool put)
{
    struct key_load *load = &a->load_keys;
    if (load->active) {
        load->changes = mem_resize(load->changes, load->n_changes + 1, sizeof *load->changes);
        load->changes[load->n_changes++] = (struct key_change){*key, put};
    }
}

static void draft_remove_key(struct access *a, struct draft *d, struct key_entry *k)
{
    struct key_part *part =
        draft_keys(d, key_part_of(key_hash(a, span_of(k->key.key, k->key_len))));
    key_part_remove(part, key_part_find(part, span_of(k->key.key, k->key_len), k->hash));
    d->list->n_keys--;
    key_directory_remove(&a->directory, k);
    entry_die(d, k);
}

void access_put_key(struct access *a, const struct access_key *key)
{
    struct span text = span_of(key->key, strnlen(key->key, ACCESS_KEY_LEN));
    struct key_entry *before = find_current(a, text);
    struct key_entry *k = entry_new(a, key, before);
    struct draft d = draft_begin(a);
    if (before != NULL) {
        draft_remove_key(a, &d, before);
    }
    key_part_add(draft_keys(&d, key_part_of(key_hash(a, text))), k);
    d.list->n_keys++;
    key_directory_add(&a->directory, k);
    /* A use of the old entry that nobody has taken yet is the new one's to tell. */
    if (before != NULL && atomic_load_explicit(&before->queued, memory_order_acquire)) {
        queue_used(a, k);
    }
    publish(a, &d);
    remember_key(a, key, true);
}

bool access_remove_key(struct access *a, struct span key)
{
    struct key_entry *k = find_current(a, key);
    struct access_key gone = {.permanent = false};
    if (key.n <= ACCESS_KEY_LEN && key.n > 0) {
        memcpy(gone.key, key.p, key.n);
        remember_key(a, &gone, false);
    }
    if (k == NULL) {
        return false;
    }
    struct draft d = draft_begin(a);
    draft_remove_key(a, &d, k);
    publish(a, &d);
    return true;
}

bool access_get_key(const struct access *a, struct span key, struct access_key *out)
{
    const struct key_entry *k = find_current(a, key);
    if (k != NULL) {
        read_entry(k, out);
    }
    return k != NULL;
}

void access_load_keys_begin(struct access *a)
{
    ASSERT(!a->load_keys.active);
    a->load_keys = (struct key_load){.active = true};
}

/* Its position in the part, or SWARM_TABLE_NONE; *part is made when create. */
static uint32_t load_find(struct access *a, struct span key, bool create, struct key_part **part)
{
    uint64_t hash = key_hash(a, key);
    struct key_part **slot = &a->load_keys.parts[key_part_of(hash)];
    if (*slot == NULL && create) {
        *slot = mem_new(struct key_part);
    }
    *part = *slot;
    return key_part_find(*part, key, (uint32_t)hash);
}

static void load_remove(struct access *a, struct key_part *part, uint32_t i)
{
    struct key_entry *k = part->at[i];
    key_part_remove(part, i);
    a->load_keys.n--;
    free(k);
}

/* The id of a key that exists already is found at commit: it may come and go until then. */
void access_load_key(struct access *a, const struct access_key *key)
{
    ASSERT(a->load_keys.active);
    const struct key_entry no_id = {.id = 0};
    struct key_part *part;
    struct span text = span_of(key->key, strnlen(key->key, ACCESS_KEY_LEN));
    uint32_t i = load_find(a, text, true, &part);
    if (i != SWARM_TABLE_NONE) {
        load_remove(a, part, i);
    }
    key_part_add(part, entry_new(a, key, &no_id));
    a->load_keys.n++;
}

void access_load_keys_abort(struct access *a)
{
    for (size_t i = 0; i < KEY_PARTS; i++) {
        struct key_part *part = a->load_keys.parts[i];
        for (uint32_t j = 0; part != NULL && j < part->n; j++) {
            free(part->at[j]);
        }
        key_part_free(part);
    }
    free(a->load_keys.changes);
    a->load_keys = (struct key_load){.active = false};
}

static void replay_keys(struct access *a)
{
    for (size_t i = 0; i < a->load_keys.n_changes; i++) {
        const struct key_change *change = &a->load_keys.changes[i];
        struct key_part *part;
        if (change->put) {
            access_load_key(a, &change->key);
            continue;
        }
        uint32_t at = load_find(a, span_str(change->key.key), false, &part);
        if (at != SWARM_TABLE_NONE) {
            load_remove(a, part, at);
        }
    }
}

static void adopt(struct access *a, struct key_entry *k)
{
    const struct key_entry *before = find_current(a, span_of(k->key.key, k->key_len));
    if (before == NULL) {
        k->id = new_id(a);
        return;
    }
    int64_t known = atomic_load_explicit(&before->last_used_unix_s, memory_order_relaxed);
    k->id = before->id;
    if (known > atomic_load_explicit(&k->last_used_unix_s, memory_order_relaxed)) {
        atomic_store_explicit(&k->last_used_unix_s, known, memory_order_relaxed);
    }
    if (atomic_load_explicit(&before->queued, memory_order_acquire)) {
        queue_used(a, k);
    }
}

void access_load_keys_commit(struct access *a)
{
    struct key_load *load = &a->load_keys;
    ASSERT(load->active);
    replay_keys(a);
    for (size_t i = 0; i < KEY_PARTS; i++) {
        for (uint32_t j = 0; load->parts[i] != NULL && j < load->parts[i]->n; j++) {
            adopt(a, load->parts[i]->at[j]);
        }
    }
    struct draft d = draft_begin(a);
    for (size_t i = 0; i < a->directory.n; i++) {
        entry_die(&d, a->directory.by_id[i]);
    }
    a->directory.n = 0;
    swarm_table_release(&a->directory.id_index);
    a->directory.text_sorted = false;
    key_directory_fit(&a->directory, load->n);
    for (size_t i = 0; i < KEY_PARTS; i++) {
        key_part_die(&d, d.list->keys[i]);
        d.list->keys[i] = load->parts[i];
        load->parts[i] = NULL;
        for (uint32_t j = 0; d.list->keys[i] != NULL && j < d.list->keys[i]->n; j++) {
            key_directory_add(&a->directory, d.list->keys[i]->at[j]);
        }
    }
    d.list->n_keys = load->n;
    access_load_keys_abort(a);
    publish(a, &d);
}

size_t access_list_keys(struct access *a, struct span after, struct access_key *out, size_t cap)
{
    char text[ACCESS_KEY_LEN + 1] = {0};
    size_t n = 0;
    key_directory_sort(&a->directory);
    if (after.n > 0) {
        memcpy(text, after.p, after.n < ACCESS_KEY_LEN ? after.n : ACCESS_KEY_LEN);
    }
    for (size_t i = key_directory_position(&a->directory, text); i < a->directory.n && n < cap;
         i++) {
        if (after.n == 0 || strcmp(a->directory.by_text[i]->key.key, text) != 0) {
            read_entry(a->directory.by_text[i], &out[n++]);
        }
    }
    return n;
}

size_t access_take_used(struct access *a, struct access_key *out, size_t cap)
{
    size_t n = 0;
    reclaim(a);
    pop_used(a);
    while (a->popped != NULL && n < cap) {
        struct key_entry *k = a->popped;
        a->popped = k->next_used;
        if (k->dead) {
            free(k);
            continue;
        }
        /* First this, then the time: a use in between queues it again. An exchange, because what
         * was used before it must be seen. */
        (void)atomic_exchange_explicit(&k->queued, false, memory_order_acq_rel);
        read_entry(k, &out[n++]);
    }
    return n;
}
