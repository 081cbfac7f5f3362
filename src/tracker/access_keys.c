#include "tracker/access_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#include "base/banned.h"

enum {
    KEY_ID_MAX = (1 << 29) - 1,
    RECLAIM_A_TAKE = 1024,
};

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
    k->hash = (uint32_t)access_key_hash(a, span_of(k->key.key, k->key_len));
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
    return access_find_key(a, access_list_now(a), key);
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
        draft_keys(d, key_part_of(access_key_hash(a, span_of(k->key.key, k->key_len))));
    key_part_remove(part, key_part_find(part, span_of(k->key.key, k->key_len), k->hash));
    d->list->n_keys--;
    key_directory_remove(&a->directory, k);
    draft_drop_entry(d, k);
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
    key_part_add(draft_keys(&d, key_part_of(access_key_hash(a, text))), k);
    d.list->n_keys++;
    key_directory_add(&a->directory, k);
    /* A use of the old entry that nobody has taken yet is the new one's to tell. */
    if (before != NULL && atomic_load_explicit(&before->queued, memory_order_acquire)) {
        access_queue_used(a, k);
    }
    draft_publish_change(a, &d);
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
    draft_publish_change(a, &d);
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
    uint64_t hash = access_key_hash(a, key);
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
    key_directory_remove(&a->load_keys.directory, k);
    free(k);
}

/* A key that exists already keeps its id. Should it come or go until the commit, that is a change,
 * and done again then. */
void access_load_key(struct access *a, const struct access_key *key)
{
    ASSERT(a->load_keys.active);
    struct key_part *part;
    struct span text = span_of(key->key, strnlen(key->key, ACCESS_KEY_LEN));
    uint32_t i = load_find(a, text, true, &part);
    if (i != SWARM_TABLE_NONE) {
        load_remove(a, part, i);
    }
    struct key_entry *k = entry_new(a, key, find_current(a, text));
    key_part_add(part, k);
    key_directory_add(&a->load_keys.directory, k);
}

static void load_end(struct access *a)
{
    free(a->load_keys.changes);
    a->load_keys = (struct key_load){.active = false};
}

void access_load_keys_abort(struct access *a)
{
    struct access_list *dead = mem_new(struct access_list);
    for (size_t i = 0; i < KEY_PARTS; i++) {
        list_drop_keys(dead, a->load_keys.parts[i]);
    }
    list_drop_directory(dead, &a->load_keys.directory);
    draft_discard(a, dead);
    load_end(a);
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

void access_load_keys_commit(struct access *a)
{
    struct key_load *load = &a->load_keys;
    ASSERT(load->active);
    replay_keys(a);
    struct draft d = draft_begin(a);
    list_drop_directory(d.before, &a->directory);
    a->directory = load->directory;
    for (size_t i = 0; i < KEY_PARTS; i++) {
        list_drop_keys(d.before, d.list->keys[i]);
        d.list->keys[i] = load->parts[i];
    }
    d.list->n_keys = a->directory.n;
    load_end(a);
    draft_publish(a, &d);
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
    (void)access_reclaim(a, RECLAIM_A_TAKE);
    access_pop_used(a);
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
