#include "tracker/access_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#include "base/banned.h"

struct hash_part_ctx {
    const struct hash_seed *seed;
    const struct hash_part *part;
};

static uint32_t hash_part_hash_at(const void *ctx, uint32_t i)
{
    const struct hash_part_ctx *c = ctx;
    return hash_infohash(c->seed, &c->part->at[i]);
}

static uint32_t key_part_hash_at(const void *ctx, uint32_t i)
{
    return ((const struct key_part *)ctx)->at[i]->hash;
}

void hash_part_free(struct hash_part *p)
{
    if (p != NULL) {
        swarm_table_release(&p->index);
        free(p->at);
        free(p);
    }
}

void key_part_free(struct key_part *p)
{
    if (p != NULL) {
        swarm_table_release(&p->index);
        free(p->at);
        free(p);
    }
}

struct hash_part *hash_part_copy(const struct hash_part *from)
{
    struct hash_part *p = mem_new(struct hash_part);
    if (from != NULL && from->n > 0) {
        p->n = from->n;
        p->cap = from->n + 1;
        p->at = mem_array(p->cap, sizeof *p->at);
        memcpy(p->at, from->at, p->n * sizeof *p->at);
        swarm_table_copy(&p->index, &from->index);
    }
    return p;
}

struct key_part *key_part_copy(const struct key_part *from)
{
    struct key_part *p = mem_new(struct key_part);
    if (from != NULL && from->n > 0) {
        p->n = from->n;
        p->cap = from->n + 1;
        p->at = mem_array(p->cap, sizeof *p->at);
        memcpy(p->at, from->at, p->n * sizeof(p->at[0]));
        swarm_table_copy(&p->index, &from->index);
    }
    return p;
}

bool hash_part_add(const struct hash_seed *seed, struct hash_part *p, const struct infohash *hash)
{
    struct hash_part_ctx ctx = {seed, p};
    if (hash_part_find(seed, p, hash) != SWARM_TABLE_NONE || p->n == SWARM_TABLE_MAX) {
        return false;
    }
    if (p->n == p->cap) {
        p->cap += p->cap / 2 + 4;
        p->at = mem_resize(p->at, p->cap, sizeof *p->at);
    }
    p->at[p->n] = *hash;
    swarm_table_insert(&p->index, hash_infohash(seed, hash), p->n, hash_part_hash_at, &ctx);
    p->n++;
    return true;
}

bool hash_part_remove(const struct hash_seed *seed, struct hash_part *p,
                      const struct infohash *hash)
{
    struct hash_part_ctx ctx = {seed, p};
    uint32_t i = hash_part_find(seed, p, hash);
    if (i == SWARM_TABLE_NONE) {
        return false;
    }
    swarm_table_remove(&p->index, hash_infohash(seed, hash), i, hash_part_hash_at, &ctx);
    p->n--;
    if (i != p->n) {
        swarm_table_move(&p->index, hash_part_hash_at(&ctx, p->n), p->n, i);
        p->at[i] = p->at[p->n];
    }
    return true;
}

void key_part_add(struct key_part *p, struct key_entry *k)
{
    if (p->n == p->cap) {
        p->cap += p->cap / 2 + 4;
        p->at = mem_resize(p->at, p->cap, sizeof(p->at[0]));
    }
    p->at[p->n] = k;
    swarm_table_insert(&p->index, k->hash, p->n, key_part_hash_at, p);
    p->n++;
}

void key_part_remove(struct key_part *p, uint32_t i)
{
    swarm_table_remove(&p->index, p->at[i]->hash, i, key_part_hash_at, p);
    p->n--;
    if (i != p->n) {
        swarm_table_move(&p->index, p->at[p->n]->hash, p->n, i);
        p->at[i] = p->at[p->n];
    }
}

static int hash_compare(const void *x, const void *y)
{
    return memcmp(x, y, sizeof(struct infohash));
}

size_t hash_part_list(const struct hash_part *p, const struct infohash *after, struct infohash *out,
                      size_t cap)
{
    struct infohash *rows = mem_array(p->n, sizeof *rows);
    size_t n = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        if (after == NULL || hash_compare(&p->at[i], after) > 0) {
            rows[n++] = p->at[i];
        }
    }
    qsort(rows, n, sizeof *rows, hash_compare);
    n = n < cap ? n : cap;
    memcpy(out, rows, n * sizeof *rows);
    free(rows);
    return n;
}
