/* A used key stands on a lock-free stack once (queued). A dead key that stands on it is freed when
 * it is popped; by then no reader can push it again.
 */
#include "tracker/access_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#include "base/banned.h"

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

void access_pop_used(struct access *a)
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
    bool more = access_reclaim(a, SIZE_MAX);
    ASSERT(!more);
    access_pop_used(a);
    while (a->popped != NULL) {
        struct key_entry *k = a->popped;
        a->popped = k->next_used;
        if (k->dead) {
            free(k);
        }
    }
    struct access_list *list = access_list_now(a);
    for (size_t i = 0; i < HASH_PARTS; i++) {
        hash_part_free(list->hashes[i]);
    }
    for (size_t i = 0; i < KEY_PARTS; i++) {
        key_part_free(list->keys[i]);
    }
    size_t n;
    struct key_entry **entries = key_directory_take(&a->directory, &n);
    while (n > 0) {
        free(entries[--n]);
    }
    free(entries);
    free(list);
    free(a);
}

const struct access_list *access_current(const struct access *a)
{
    return access_list_now(a);
}

size_t access_hash_count(const struct access *a)
{
    return access_list_now(a)->n_hashes;
}

size_t access_key_count(const struct access *a)
{
    return access_list_now(a)->n_keys;
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
    uint64_t hash = access_key_hash(a, key);
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

void access_queue_used(struct access *a, struct key_entry *k)
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

void key_entry_raise_used(struct key_entry *k, int64_t last_used_unix_s)
{
    int64_t known = atomic_load_explicit(&k->last_used_unix_s, memory_order_relaxed);
    while (known < last_used_unix_s &&
           !atomic_compare_exchange_weak_explicit(&k->last_used_unix_s, &known, last_used_unix_s,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

void access_mark_used(struct access *a, struct key_entry *k, int64_t now_unix_s)
{
    /* Two workers may set it in either order: they differ by a moment. */
    if (atomic_load_explicit(&k->last_used_unix_s, memory_order_relaxed) < now_unix_s) {
        atomic_store_explicit(&k->last_used_unix_s, now_unix_s, memory_order_relaxed);
        access_queue_used(a, k);
    }
}
