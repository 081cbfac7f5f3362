/* How peers are kept.
 *
 * A family grows cell by cell up to PEERS_CELL_MAX, then as a block, then as chunks, and shrinks
 * the same way with some slack so that it does not swing. Cells of one size fill chunks without
 * gaps: freeing one moves the last of its size there and tells that one's swarm. Cells are exact,
 * because most swarms are tiny and their slack would be most of the memory.
 *
 * Seeders stand before leechers. So adding a seeder, removing one, and a peer that changes sides
 * move at most two others, and each move is told to the index when there is one.
 */
#include "tracker/swarm_array.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tracker/tracker.h"

#include "base/banned.h"

enum {
    SWARM_CHUNK = 1 << SWARM_CHUNK_BITS,
    CELL_CHUNK_LEN = 1008, /* about 1 KiB with the allocator's header */
    BLOCK_BELOW = 32,      /* chunks become a block again at this many peers */
    CELL_BELOW = 6,        /* a block becomes a cell again at this many */
    GROWTH = 32,           /* memory for one peer in so many more than there are */
};

_Static_assert(sizeof(struct peer_cold) == 52, "a peer's size decides the memory budget");
_Static_assert(sizeof(struct swarm) == 64, "a swarm is one cache line");
_Static_assert(PEERS_BLOCK_MAX < 256, "peers_head.cap has 8 bits");

static size_t block_len(bool v6, uint32_t cap)
{
    return sizeof(struct peers_head) + cap * (sizeof(struct peer_cold) + compact_len(v6));
}

static struct peers *family_of(const struct swarm_array *a, uint32_t at, bool v6)
{
    return &swarm_array_at(a, at)->family[v6];
}

/* ---- cells --------------------------------------------------------------------------------- */

/* Cells start on 4 bytes: block_len is even, but not always a multiple of 4. */
static size_t cell_len(bool v6, uint32_t cap)
{
    return (block_len(v6, cap) + 3) & ~(size_t)3;
}

static uint32_t cells_a_chunk(size_t len)
{
    return len * 2 > CELL_CHUNK_LEN ? 1 : (uint32_t)(CELL_CHUNK_LEN / len);
}

static uint8_t *cell_at(const struct cell_pool *pool, size_t len, uint32_t i)
{
    uint32_t per = cells_a_chunk(len);
    return pool->chunk[i / per] + (i % per) * len;
}

static void *cell_alloc(struct swarm_array *a, bool v6, uint32_t cap)
{
    struct cell_pool *pool = &a->pools[v6][cap - 1];
    size_t len = cell_len(v6, cap);
    if (pool->n == pool->n_chunks * cells_a_chunk(len)) {
        size_t chunk_len = cells_a_chunk(len) * len;
        if ((pool->n_chunks & (pool->n_chunks - 1)) == 0) {
            size_t n = pool->n_chunks == 0 ? 1 : (size_t)pool->n_chunks * 2;
            pool->chunk = mem_resize(pool->chunk, n, sizeof *pool->chunk);
        }
        pool->chunk[pool->n_chunks++] = mem_array(chunk_len, 1);
        a->memory_len += chunk_len + sizeof *pool->chunk;
    }
    return cell_at(pool, len, pool->n++);
}

static void cell_free(struct swarm_array *a, bool v6, uint32_t cap, void *cell)
{
    struct cell_pool *pool = &a->pools[v6][cap - 1];
    size_t len = cell_len(v6, cap);
    void *last = cell_at(pool, len, --pool->n);
    if (last != cell) {
        memcpy(cell, last, len);
        family_of(a, ((struct peers_head *)cell)->owner, v6)->p = cell;
    }
    if (pool->n <= (pool->n_chunks - 1) * cells_a_chunk(len)) {
        free(pool->chunk[--pool->n_chunks]);
        a->memory_len -= cells_a_chunk(len) * len + sizeof *pool->chunk;
        if (pool->n_chunks == 0) {
            free(pool->chunk);
            pool->chunk = NULL;
        } else if ((pool->n_chunks & (pool->n_chunks - 1)) == 0) {
            pool->chunk = mem_resize(pool->chunk, pool->n_chunks, sizeof *pool->chunk);
        }
    }
}

/* ---- chunks -------------------------------------------------------------------------------- */

struct wire_ctx {
    const struct peers *f;
    const struct hash_seed *seed;
    bool v6;
};

static uint32_t wire_hash_at(const void *ctx, uint32_t i)
{
    const struct wire_ctx *c = ctx;
    return hash_wire(c->seed, swarm_array_hot(c->f, c->v6, i), c->v6);
}

static uint32_t chunk_cap(uint32_t cap, uint32_t i)
{
    uint32_t before = i << PEERS_CHUNK_BITS;
    return cap - before < PEERS_CHUNK ? cap - before : PEERS_CHUNK;
}

/* Memory of another length with the same content. Shrinking copies to a new place, so that small
 * rests do not keep the pages of what was large. */
static void *moved(void *p, size_t old_len, size_t new_len)
{
    if (p == NULL || new_len >= old_len) {
        return mem_resize(p, new_len, 1);
    }
    void *to = mem_array(new_len, 1);
    memcpy(to, p, new_len);
    free(p);
    return to;
}

static void chunk_resize(struct peers_chunk *chunk, bool v6, uint32_t old_cap, uint32_t new_cap)
{
    if (old_cap != new_cap) {
        size_t hot = compact_len(v6);
        size_t cold = sizeof *chunk->cold;
        chunk->hot = moved(chunk->hot, old_cap * hot, new_cap * hot);
        chunk->cold = moved(chunk->cold, old_cap * cold, new_cap * cold);
    }
}

static size_t chunks_len(bool v6, uint32_t cap, uint32_t n_chunks)
{
    return sizeof(struct peers_chunks) + n_chunks * sizeof(struct peers_chunk) +
           cap * (sizeof(struct peer_cold) + compact_len(v6));
}

/* NULL makes new ones. */
static struct peers_chunks *chunks_resize(struct swarm_array *a, struct peers_chunks *c, bool v6,
                                          uint32_t cap)
{
    uint32_t old_cap = c == NULL ? 0 : c->cap;
    uint32_t old_n = c == NULL ? 0 : c->n_chunks;
    uint32_t n = (cap + PEERS_CHUNK - 1) >> PEERS_CHUNK_BITS;
    for (uint32_t i = n; i < old_n; i++) {
        free(c->chunk[i].hot);
        free(c->chunk[i].cold);
    }
    if (n != old_n) {
        bool fresh = c == NULL;
        c = mem_resize(c, sizeof *c + n * sizeof c->chunk[0], 1);
        if (fresh) {
            memset(c, 0, sizeof *c);
        }
    }
    for (uint32_t i = old_n; i < n; i++) {
        c->chunk[i] = (struct peers_chunk){NULL, NULL};
    }
    /* Only the last chunk of before and the chunks behind it change. */
    for (uint32_t i = old_n < n ? (old_n == 0 ? 0 : old_n - 1) : n - 1; i < n; i++) {
        chunk_resize(&c->chunk[i], v6, i < old_n ? chunk_cap(old_cap, i) : 0, chunk_cap(cap, i));
    }
    a->memory_len += chunks_len(v6, cap, n);
    a->memory_len -= old_n == 0 ? 0 : chunks_len(v6, old_cap, old_n);
    c->cap = cap;
    c->n_chunks = n;
    return c;
}

static void chunks_free(struct swarm_array *a, struct peers_chunks *c, bool v6)
{
    a->memory_len -= chunks_len(v6, c->cap, c->n_chunks) + swarm_table_len(&c->index);
    for (uint32_t i = 0; i < c->n_chunks; i++) {
        free(c->chunk[i].hot);
        free(c->chunk[i].cold);
    }
    swarm_table_release(&c->index);
    free(c);
}

/* ---- the right block for a number of peers --------------------------------------------------- */

static uint32_t cap_of(const struct peers *f)
{
    if (f->kind == PEERS_NONE) {
        return 0;
    }
    return f->kind == PEERS_CHUNKS ? ((const struct peers_chunks *)f->p)->cap
                                   : ((const struct peers_head *)f->p)->cap;
}

static void storage_free(struct swarm_array *a, struct peers *f, bool v6)
{
    switch ((enum peers_kind)f->kind) {
    case PEERS_NONE:
        break;
    case PEERS_CELL:
        cell_free(a, v6, cap_of(f), f->p);
        break;
    case PEERS_BLOCK:
        a->memory_len -= block_len(v6, cap_of(f));
        free(f->p);
        break;
    case PEERS_CHUNKS:
        chunks_free(a, f->p, v6);
        break;
    }
}

static struct peers storage_new(struct swarm_array *a, uint32_t at, bool v6, uint32_t cap)
{
    struct peers f = {.kind = PEERS_CHUNKS};
    if (cap > PEERS_BLOCK_MAX) {
        f.p = chunks_resize(a, NULL, v6, cap);
        return f;
    }
    struct peers_head head = {.owner = at & 0xffffff, .cap = cap & 0xff};
    if (cap > PEERS_CELL_MAX) {
        f.kind = PEERS_BLOCK;
        f.p = mem_array(block_len(v6, cap), 1);
        a->memory_len += block_len(v6, cap);
    } else {
        f.kind = PEERS_CELL;
        f.p = cell_alloc(a, v6, cap);
    }
    memcpy(f.p, &head, sizeof head);
    return f;
}

/* The peers stay, in memory for cap of them (cap >= n). */
static void set_cap(struct swarm_array *a, uint32_t at, bool v6, uint32_t cap)
{
    struct peers *f = family_of(a, at, v6);
    if (f->kind == PEERS_CHUNKS && cap > PEERS_BLOCK_MAX) {
        f->p = chunks_resize(a, f->p, v6, cap);
        return;
    }
    struct peers next = {.kind = PEERS_NONE};
    if (cap > 0) {
        next = storage_new(a, at, v6, cap);
        next.n = f->n;
        next.n_seeders = f->n_seeders;
    }
    if (f->n > 0 && cap > 0) { /* never beyond the first chunk of either */
        memcpy(swarm_array_cold(&next, 0), swarm_array_cold(f, 0), f->n * sizeof(struct peer_cold));
        memcpy(swarm_array_hot(&next, v6, 0), swarm_array_hot(f, v6, 0), f->n * compact_len(v6));
    }
    struct peers before = *f;
    *f = next;
    storage_free(a, &before, v6);
    if (f->kind == PEERS_CHUNKS) {
        struct peers_chunks *c = f->p;
        struct wire_ctx ctx = {f, &a->seed, v6};
        for (uint32_t i = 0; i < f->n; i++) {
            swarm_table_insert(&c->index, wire_hash_at(&ctx, i), i, wire_hash_at, &ctx);
        }
        a->memory_len += swarm_table_len(&c->index);
    }
}

/* The memory that n peers get when it is chosen anew. */
static uint32_t cap_for(uint32_t n)
{
    if (n <= PEERS_CELL_MAX) {
        return n;
    }
    uint32_t inside = n & (PEERS_CHUNK - 1);
    uint32_t cap = n + inside / GROWTH;
    if (n <= PEERS_BLOCK_MAX) {
        return cap < PEERS_BLOCK_MAX ? cap : PEERS_BLOCK_MAX;
    }
    return cap >> PEERS_CHUNK_BITS == n >> PEERS_CHUNK_BITS ? cap : (cap & ~(PEERS_CHUNK - 1u));
}

static void grow(struct swarm_array *a, uint32_t at, bool v6)
{
    struct peers *f = family_of(a, at, v6);
    if (f->n == cap_of(f)) {
        set_cap(a, at, v6, cap_for(f->n + 1));
    }
}

static void shrink(struct swarm_array *a, uint32_t at, bool v6)
{
    struct peers *f = family_of(a, at, v6);
    uint32_t slack = cap_of(f) - f->n;
    bool wasteful = false;
    switch ((enum peers_kind)f->kind) {
    case PEERS_NONE:
        break;
    case PEERS_CELL:
        wasteful = true;
        break;
    case PEERS_BLOCK:
        wasteful = f->n <= CELL_BELOW || slack > f->n / 8 + 2;
        break;
    case PEERS_CHUNKS:
        wasteful = f->n <= BLOCK_BELOW || slack > PEERS_CHUNK / 4 || slack > f->n / 8 + 2;
        break;
    }
    if (wasteful) {
        set_cap(a, at, v6, cap_for(f->n));
    }
}

/* ---- peers --------------------------------------------------------------------------------- */

/* Two constant lengths: each is a few compares, not a call. */
static inline bool wire_eq(const uint8_t *x, const uint8_t *y, bool v6)
{
    return v6 ? memcmp(x, y, COMPACT6_LEN) == 0 : memcmp(x, y, COMPACT4_LEN) == 0;
}

static uint32_t scan(const struct peers *f, bool v6, const uint8_t *wire)
{
    if (f->n == 0) {
        return SWARM_TABLE_NONE;
    }
    const uint8_t *hot = swarm_array_hot(f, v6, 0);
    for (uint32_t i = 0; i < f->n; i++) {
        if (wire_eq(hot + i * compact_len(v6), wire, v6)) {
            return i;
        }
    }
    return SWARM_TABLE_NONE;
}

uint32_t swarm_array_find_peer(const struct swarm_array *a, const struct peers *f, bool v6,
                               const uint8_t *wire)
{
    if (f->kind != PEERS_CHUNKS) {
        return scan(f, v6, wire);
    }
    const struct peers_chunks *c = f->p;
    struct swarm_table_probe probe;
    uint32_t i = swarm_table_find(&c->index, hash_wire(&a->seed, wire, v6), &probe);
    while (i != SWARM_TABLE_NONE && !wire_eq(swarm_array_hot(f, v6, i), wire, v6)) {
        i = swarm_table_next(&probe);
    }
    return i;
}

static void index_insert(struct swarm_array *a, struct peers *f, bool v6, uint32_t i)
{
    if (f->kind == PEERS_CHUNKS) {
        struct peers_chunks *c = f->p;
        struct wire_ctx ctx = {f, &a->seed, v6};
        a->memory_len -= swarm_table_len(&c->index);
        swarm_table_insert(&c->index, wire_hash_at(&ctx, i), i, wire_hash_at, &ctx);
        a->memory_len += swarm_table_len(&c->index);
    }
}

static void index_remove(struct swarm_array *a, struct peers *f, bool v6, uint32_t i)
{
    if (f->kind == PEERS_CHUNKS) {
        struct peers_chunks *c = f->p;
        struct wire_ctx ctx = {f, &a->seed, v6};
        a->memory_len -= swarm_table_len(&c->index);
        swarm_table_remove(&c->index, wire_hash_at(&ctx, i), i, wire_hash_at, &ctx);
        a->memory_len += swarm_table_len(&c->index);
    }
}

static void index_move(const struct swarm_array *a, struct peers *f, bool v6, uint32_t from,
                       uint32_t to)
{
    if (f->kind == PEERS_CHUNKS) {
        struct peers_chunks *c = f->p;
        struct wire_ctx ctx = {f, &a->seed, v6};
        swarm_table_move(&c->index, wire_hash_at(&ctx, from), from, to);
    }
}

static void peer_move(const struct swarm_array *a, struct peers *f, bool v6, uint32_t from,
                      uint32_t to)
{
    if (from != to) {
        index_move(a, f, v6, from, to);
        memcpy(swarm_array_hot(f, v6, to), swarm_array_hot(f, v6, from), compact_len(v6));
        *swarm_array_cold(f, to) = *swarm_array_cold(f, from);
    }
}

uint32_t swarm_array_add_peer(struct swarm_array *a, uint32_t at, bool v6, const uint8_t *wire,
                              const struct peer_cold *cold, bool seeder)
{
    grow(a, at, v6);
    struct peers *f = family_of(a, at, v6);
    uint32_t i = f->n++;
    if (seeder) {
        peer_move(a, f, v6, f->n_seeders, i); /* the first leecher makes room */
        i = f->n_seeders++;
    }
    memcpy(swarm_array_hot(f, v6, i), wire, compact_len(v6));
    *swarm_array_cold(f, i) = *cold;
    index_insert(a, f, v6, i);
    return i;
}

void swarm_array_remove_peer(struct swarm_array *a, uint32_t at, bool v6, uint32_t i)
{
    struct peers *f = family_of(a, at, v6);
    ASSERT(i < f->n);
    index_remove(a, f, v6, i);
    if (i < f->n_seeders) {
        f->n_seeders--;
        peer_move(a, f, v6, f->n_seeders, i);
        i = f->n_seeders;
    }
    f->n--;
    peer_move(a, f, v6, f->n, i);
    shrink(a, at, v6);
}

static void peer_swap(struct swarm_array *a, struct peers *f, bool v6, uint32_t i, uint32_t j)
{
    if (i == j) {
        return;
    }
    uint8_t wire[COMPACT6_LEN];
    struct peer_cold cold = *swarm_array_cold(f, i);
    memcpy(wire, swarm_array_hot(f, v6, i), compact_len(v6));
    index_move(a, f, v6, i, SWARM_TABLE_MAX - 1);
    peer_move(a, f, v6, j, i);
    memcpy(swarm_array_hot(f, v6, j), wire, compact_len(v6));
    *swarm_array_cold(f, j) = cold;
    if (f->kind == PEERS_CHUNKS) {
        struct peers_chunks *c = f->p;
        swarm_table_move(&c->index, hash_wire(&a->seed, wire, v6), SWARM_TABLE_MAX - 1, j);
    }
}

uint32_t swarm_array_set_seeder(struct swarm_array *a, struct peers *f, bool v6, uint32_t i,
                                bool seeder)
{
    if (seeder == (i < f->n_seeders)) {
        return i;
    }
    uint32_t border = seeder ? f->n_seeders++ : --f->n_seeders;
    peer_swap(a, f, v6, i, border);
    return border;
}

/* ---- choosing ------------------------------------------------------------------------------ */

struct peers_range swarm_array_range(const struct peers *f, bool v6, bool leechers_only,
                                     uint32_t self)
{
    struct peers_range r = {.f = f, .v6 = v6, .n = f->n, .skip = SWARM_TABLE_NONE};
    if (leechers_only) {
        r.first = f->n_seeders;
        r.n -= f->n_seeders;
    }
    if (self != SWARM_TABLE_NONE && self >= r.first) {
        r.skip = self;
    }
    return r;
}

/* k different positions: the range, turned by a random amount, is cut into k strata as even as
 * whole numbers allow, and one is taken from each. The turn makes all equally likely whatever the
 * strata are. */
static void draw(const struct peers_range *r, uint32_t k, struct rng *rng, uint32_t *out)
{
    uint32_t n = peers_range_count(r);
    uint32_t turn = rng_below(rng, n);
    uint64_t step = ((uint64_t)n << 32) / k;
    uint64_t edge = 0;
    for (uint32_t i = 0; i < k; i++) {
        uint32_t from = (uint32_t)(edge >> 32);
        edge += step;
        uint32_t v = turn + from + rng_below(rng, (uint32_t)(edge >> 32) - from);
        v = r->first + (v >= n ? v - n : v);
        out[i] = v + (v >= r->skip);
    }
}

static inline void copy_drawn(const struct peers *f, bool v6, const uint32_t *drawn, uint32_t k,
                              uint8_t *out)
{
    const size_t len = v6 ? COMPACT6_LEN : COMPACT4_LEN;
    if (f->kind == PEERS_CHUNKS) {
        for (uint32_t i = 0; i < k; i++) {
            __builtin_prefetch(swarm_array_hot(f, v6, drawn[i]));
        }
        for (uint32_t i = 0; i < k; i++) {
            memcpy(out + i * len, swarm_array_hot(f, v6, drawn[i]), len);
        }
        return;
    }
    const uint8_t *hot = swarm_array_hot(f, v6, 0);
    for (uint32_t i = 0; i < k; i++) {
        memcpy(out + i * len, hot + drawn[i] * len, len);
    }
}

void swarm_array_choose(const struct peers_range *r, uint32_t k, struct rng *rng, uint8_t *out,
                        struct peer_id *ids)
{
    uint32_t drawn[NUMWANT_LIMIT];
    ASSERT(k > 0 && k <= NUMWANT_LIMIT && k <= peers_range_count(r));
    draw(r, k, rng, drawn);
    if (r->v6) {
        copy_drawn(r->f, true, drawn, k, out);
    } else {
        copy_drawn(r->f, false, drawn, k, out);
    }
    for (uint32_t i = 0; ids != NULL && i < k; i++) {
        ids[i] = swarm_array_cold(r->f, drawn[i])->peer_id;
    }
}

/* ---- swarms -------------------------------------------------------------------------------- */

void swarm_array_init(struct swarm_array *a, const struct hash_seed *seed)
{
    *a = (struct swarm_array){.seed = *seed};
}

void swarm_array_release(struct swarm_array *a)
{
    while (a->n > 0) {
        swarm_array_remove(a, a->n - 1);
    }
}

size_t swarm_array_memory(const struct swarm_array *a)
{
    return a->memory_len + a->n_chunks * (SWARM_CHUNK * sizeof(struct swarm) + sizeof *a->chunk);
}

struct swarm *swarm_array_add(struct swarm_array *a, const struct infohash *info_hash,
                              uint32_t hash)
{
    if (a->n == a->n_chunks << SWARM_CHUNK_BITS) {
        if ((a->n_chunks & (a->n_chunks - 1)) == 0) {
            size_t n = a->n_chunks == 0 ? 1 : (size_t)a->n_chunks * 2;
            a->chunk = mem_resize(a->chunk, n, sizeof *a->chunk);
        }
        struct swarm *chunk = aligned_alloc(sizeof *chunk, SWARM_CHUNK * sizeof *chunk);
        ASSERT(chunk != NULL);
        a->chunk[a->n_chunks++] = chunk;
    }
    struct swarm *s = swarm_array_at(a, a->n++);
    *s = (struct swarm){.info_hash = *info_hash, .hash = hash, .oldest_s = UINT32_MAX};
    return s;
}

static void set_owner(struct peers *f, uint32_t at)
{
    if (f->kind == PEERS_CELL || f->kind == PEERS_BLOCK) {
        struct peers_head *head = f->p;
        head->owner = at & 0xffffff;
    }
}

void swarm_array_remove(struct swarm_array *a, uint32_t at)
{
    ASSERT(at < a->n);
    struct swarm *s = swarm_array_at(a, at);
    for (int v6 = 0; v6 < 2; v6++) {
        struct peers f = s->family[v6];
        s->family[v6] = (struct peers){.kind = PEERS_NONE};
        storage_free(a, &f, v6);
    }
    a->n--;
    if (at != a->n) {
        *s = *swarm_array_at(a, a->n);
        set_owner(&s->family[0], at);
        set_owner(&s->family[1], at);
    }
    if (a->n <= (a->n_chunks - 1) << SWARM_CHUNK_BITS) {
        free(a->chunk[--a->n_chunks]);
        if (a->n_chunks == 0) {
            free(a->chunk);
            a->chunk = NULL;
        } else if ((a->n_chunks & (a->n_chunks - 1)) == 0) {
            a->chunk = mem_resize(a->chunk, a->n_chunks, sizeof *a->chunk);
        }
    }
}
