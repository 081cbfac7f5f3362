#include "tracker/access_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#include "base/banned.h"

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
    draft_publish_change(a, &d);
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
    draft_publish_change(a, &d);
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

static void load_end(struct access *a)
{
    free(a->load_hashes.changes);
    a->load_hashes = (struct hash_load){.active = false};
}

void access_load_hashes_abort(struct access *a)
{
    struct access_list *dead = mem_new(struct access_list);
    for (size_t i = 0; i < HASH_PARTS; i++) {
        list_drop_hashes(dead, a->load_hashes.parts[i]);
    }
    draft_discard(a, dead);
    load_end(a);
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
            if (!access_has_hash(a, access_list_now(a), &part->at[j])) {
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
        list_drop_hashes(d.before, d.list->hashes[i]);
        d.list->hashes[i] = load->parts[i];
    }
    d.list->n_hashes = load->n;
    load_end(a);
    /* Freed by publish at the earliest: look first. */
    atomic_store(&a->current, d.list);
    size_t n = hashes_gone(a, d.before, gone, gone_cap);
    draft_publish(a, &d);
    return n;
}

size_t access_list_hashes(const struct access *a, const struct infohash *after,
                          struct infohash *out, size_t cap)
{
    const struct access_list *list = access_list_now(a);
    size_t n = 0;
    for (size_t i = after == NULL ? 0 : hash_part_of(after); i < HASH_PARTS && n < cap; i++) {
        if (list->hashes[i] != NULL && list->hashes[i]->n > 0) {
            n += hash_part_list(list->hashes[i], after, out + n, cap - n);
        }
    }
    return n;
}
