/* Publishing, and freeing in slices.
 *
 * A change starts a draft: a copy of the snapshot's pointers. The first touch of a part puts a
 * private copy in its place and the old part on the old snapshot's list of the dead. Publishing is
 * one store; the old snapshot joins a queue, oldest first.
 *
 * A reader writes the snapshot it wants into its slot and looks whether that is still the current
 * one; only then it holds it. Both sides use sequentially consistent order: either the reader sees
 * the new snapshot, or the main loop sees the slot.
 *
 * A part that died with snapshot n may be in any snapshot up to n. So the queue becomes garbage
 * from its head up to the oldest snapshot that a slot holds, never around it.
 *
 * A reader may use a key's entry as long as it holds a snapshot that has it, which may be after
 * another entry took its place. So what an entry knows of its use goes to its successor when it is
 * freed: nobody uses it any more then.
 */
#include "tracker/access_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#include "base/banned.h"

enum { RECLAIM_A_CHANGE = HASH_PARTS + KEY_PARTS };

struct draft draft_begin(struct access *a)
{
    struct draft d = {.list = mem_new(struct access_list), .before = access_list_now(a)};
    *d.list = *d.before;
    d.list->number++;
    d.list->next_old = NULL;
    d.list->dead_hashes = NULL;
    d.list->dead_keys = NULL;
    d.list->dead_entries = NULL;
    d.list->dead_ids = NULL;
    d.list->n_dead_ids = 0;
    return d;
}

void list_drop_hashes(struct access_list *before, struct hash_part *p)
{
    if (p != NULL) {
        p->next_dead = before->dead_hashes;
        before->dead_hashes = p;
    }
}

void list_drop_keys(struct access_list *before, struct key_part *p)
{
    if (p != NULL) {
        p->next_dead = before->dead_keys;
        before->dead_keys = p;
    }
}

void list_drop_directory(struct access_list *before, struct key_directory *directory)
{
    ASSERT(before->dead_ids == NULL);
    before->dead_ids = key_directory_take(directory, &before->n_dead_ids);
}

void draft_drop_entry(struct draft *d, struct key_entry *k)
{
    k->next_dead = d->before->dead_entries;
    d->before->dead_entries = k;
}

struct hash_part *draft_hashes(struct draft *d, size_t i)
{
    if ((d->own_hashes[i / 64] >> (i % 64) & 1) == 0) {
        d->own_hashes[i / 64] |= UINT64_C(1) << (i % 64);
        struct hash_part *old = d->list->hashes[i];
        d->list->hashes[i] = hash_part_copy(old);
        list_drop_hashes(d->before, old);
    }
    return d->list->hashes[i];
}

struct key_part *draft_keys(struct draft *d, size_t i)
{
    if ((d->own_keys[i / 64] >> (i % 64) & 1) == 0) {
        d->own_keys[i / 64] |= UINT64_C(1) << (i % 64);
        struct key_part *old = d->list->keys[i];
        d->list->keys[i] = key_part_copy(old);
        list_drop_keys(d->before, old);
    }
    return d->list->keys[i];
}

/* At once, or when it is popped. */
static void entry_free(struct access *a, struct key_entry *k)
{
    bool queued = atomic_load_explicit(&k->queued, memory_order_acquire);
    struct key_entry *now = access_find_key(a, access_list_now(a), span_of(k->key.key, k->key_len));
    if (now != NULL) {
        key_entry_raise_used(now, atomic_load_explicit(&k->last_used_unix_s, memory_order_relaxed));
        if (queued) {
            access_queue_used(a, now);
        }
    }
    if (queued) {
        k->dead = true;
    } else {
        free(k);
    }
}

/* One step; false when nothing is left in it. */
static bool list_free_some(struct access *a, struct access_list *list)
{
    if (list->dead_hashes != NULL) {
        struct hash_part *p = list->dead_hashes;
        list->dead_hashes = p->next_dead;
        hash_part_free(p);
    } else if (list->dead_keys != NULL) {
        struct key_part *p = list->dead_keys;
        list->dead_keys = p->next_dead;
        key_part_free(p);
    } else if (list->dead_entries != NULL) {
        struct key_entry *k = list->dead_entries;
        list->dead_entries = k->next_dead;
        entry_free(a, k);
    } else if (list->n_dead_ids > 0) {
        entry_free(a, list->dead_ids[--list->n_dead_ids]);
    } else {
        return false;
    }
    return true;
}

void draft_discard(struct access *a, struct access_list *list)
{
    list->next_old = a->garbage;
    a->garbage = list;
}

/* Old snapshots that no slot holds become garbage. */
static void collect(struct access *a)
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
        draft_discard(a, l);
    }
    if (a->old_first == NULL) {
        a->old_last = NULL;
    }
}

bool access_reclaim(struct access *a, size_t budget)
{
    collect(a);
    while (a->garbage != NULL && budget > 0) {
        struct access_list *l = a->garbage;
        budget--;
        if (!list_free_some(a, l)) {
            a->garbage = l->next_old;
            free(l->dead_ids);
            free(l);
        }
    }
    return a->garbage != NULL || a->old_first != NULL;
}

void draft_publish(struct access *a, struct draft *d)
{
    struct access_list *old = d->before;
    atomic_store(&a->current, d->list);
    if (a->old_last == NULL) {
        a->old_first = old;
    } else {
        a->old_last->next_old = old;
    }
    a->old_last = old;
}

void draft_publish_change(struct access *a, struct draft *d)
{
    draft_publish(a, d);
    (void)access_reclaim(a, RECLAIM_A_CHANGE);
}
