#include "tracker/access_directory.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#include "base/banned.h"

static uint32_t key_directory_hash_at(const void *ctx, uint32_t i)
{
    return key_id_hash(((const struct key_directory *)ctx)->by_id[i]->id);
}

static int key_directory_compare(const void *x, const void *y)
{
    const struct key_entry *const *a = x;
    const struct key_entry *const *b = y;
    return strcmp((*a)->key.key, (*b)->key.key);
}

size_t key_directory_position(const struct key_directory *d, const char *text)
{
    size_t from = 0;
    size_t to = d->n;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (strcmp(d->by_text[middle]->key.key, text) < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

void key_directory_sort(struct key_directory *d)
{
    if (!d->text_sorted && d->n > 0) {
        memcpy(d->by_text, d->by_id, d->n * sizeof(d->by_text[0]));
        qsort(d->by_text, d->n, sizeof(d->by_text[0]), key_directory_compare);
    }
    d->text_sorted = true;
}

static void key_directory_fit(struct key_directory *d, size_t n)
{
    if (n > d->cap) {
        d->cap = n + n / 2 + 4;
        d->by_id = mem_resize(d->by_id, d->cap, sizeof(d->by_id[0]));
        d->by_text = mem_resize(d->by_text, d->cap, sizeof(d->by_text[0]));
    }
}

void key_directory_add(struct key_directory *d, struct key_entry *k)
{
    key_directory_fit(d, d->n + 1);
    k->by_id_at = (uint32_t)d->n;
    d->by_id[k->by_id_at] = k;
    swarm_table_insert(&d->id_index, key_id_hash(k->id), k->by_id_at, key_directory_hash_at, d);
    if (d->text_sorted) {
        size_t at = key_directory_position(d, k->key.key);
        memmove(&d->by_text[at + 1], &d->by_text[at], (d->n - at) * sizeof(d->by_text[0]));
        d->by_text[at] = k;
    }
    d->n++;
}

void key_directory_remove(struct key_directory *d, const struct key_entry *k)
{
    if (d->text_sorted) {
        size_t at = key_directory_position(d, k->key.key);
        ASSERT(at < d->n && d->by_text[at] == k);
        memmove(&d->by_text[at], &d->by_text[at + 1], (d->n - at - 1) * sizeof(d->by_text[0]));
    }
    swarm_table_remove(&d->id_index, key_id_hash(k->id), k->by_id_at, key_directory_hash_at, d);
    uint32_t last = (uint32_t)--d->n;
    if (k->by_id_at != last) {
        swarm_table_move(&d->id_index, key_id_hash(d->by_id[last]->id), last, k->by_id_at);
        d->by_id[k->by_id_at] = d->by_id[last];
        d->by_id[last]->by_id_at = k->by_id_at;
    }
}

struct key_entry **key_directory_take(struct key_directory *d, size_t *n)
{
    struct key_entry **entries = d->by_id;
    *n = d->n;
    swarm_table_release(&d->id_index);
    free(d->by_text);
    *d = (struct key_directory){.text_sorted = true};
    return entries;
}
