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
 */
#include "tracker/access_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#include "base/banned.h"

struct draft draft_begin(struct access *a)
{
    struct draft d = {.list = mem_new(struct access_list), .before = access_list_now(a)};
    *d.list = *d.before;
    d.list->number++;
    d.list->next_old = NULL;
    d.list->dead_hashes = NULL;
    d.list->dead_keys = NULL;
    d.list->dead_entries = NULL;
    return d;
}

void draft_drop_hashes(struct draft *d, struct hash_part *p)
{
    if (p != NULL) {
        p->next_dead = d->before->dead_hashes;
        d->before->dead_hashes = p;
    }
}

void draft_drop_keys(struct draft *d, struct key_part *p)
{
    if (p != NULL) {
        p->next_dead = d->before->dead_keys;
        d->before->dead_keys = p;
    }
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
        draft_drop_hashes(d, old);
    }
    return d->list->hashes[i];
}

struct key_part *draft_keys(struct draft *d, size_t i)
{
    if ((d->own_keys[i / 64] >> (i % 64) & 1) == 0) {
        d->own_keys[i / 64] |= UINT64_C(1) << (i % 64);
        struct key_part *old = d->list->keys[i];
        d->list->keys[i] = key_part_copy(old);
        draft_drop_keys(d, old);
    }
    return d->list->keys[i];
}

void key_entry_free(struct key_entry *k)
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
        key_entry_free(k);
    }
    free(list);
}

void draft_reclaim(struct access *a)
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
    draft_reclaim(a);
}
