/* How peers are kept.
 *
 * A family is one block, of the class that fits, until it outgrows PEERS_BLOCK_MAX; then that block
 * is the first chunk of several, and the peers get an index. It shrinks the same way with some slack
 * so that it does not swing. In both forms only one block is not of full size, the last, and only
 * that one changes.
 *
 * A swarm of LARGE peers has chunks of full size only, and keeps an empty one until half a chunk
 * more has left: with peers that come and go it would take and give back a block with nearly each,
 * and a block that is alone in its slab gives pages back, for which the kernel stops all processors
 * that run a worker.
 *
 * Seeders stand before leechers. So adding a seeder, removing one, and a peer that changes sides
 * move at most two others, and each move is told to the index when there is one.
 */
#include "tracker/swarm_array.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#include "base/banned.h"

enum {
    SWARM_CHUNK = 1 << SWARM_CHUNK_BITS,
    UNCHUNK_BELOW = 96,   /* chunks become one block again at this many peers */
    SLACK_SHARE = 32,     /* a smaller block must have room for one in so many more */
    LARGE = 4096,         /* peers */
    CHUNKS_LEN_MIN = 128, /* of the space for a list of chunks */
    CACHE_LINE = 64,
    PREFETCH_LEN_MAX = 1024,
};

_Static_assert(sizeof(struct peer_cold) == 52, "a peer's size decides the memory budget");
_Static_assert(sizeof(struct swarm) == 64, "a swarm is one cache line");
_Static_assert((int)PEERS_CHUNK == (int)PEERS_BLOCK_MAX, "a full block becomes a chunk as it is");
_Static_assert((int)PEERS_BLOCK_MAX < (int)PEERS_CHUNKED, "peers.cap has 8 bits");

static struct peers *family_of(const struct swarm_array *a, uint32_t at, bool v6)
{
    return &swarm_array_at(a, at)->family[v6];
}

static bool is_chunked(const struct peers *f)
{
    return f->cap == PEERS_CHUNKED;
}

/* ---- blocks -------------------------------------------------------------------------------- */

/* The first n peers of a block in one for cap of them (0: none); the old block is freed. */
static void *block_resized(struct swarm_array *a, bool v6, uint8_t *block, uint32_t old_cap,
                           uint32_t cap, uint32_t n)
{
    uint8_t *to = NULL;
    if (cap > 0) {
        to = swarm_memory_take(a->memory, swarm_memory_class(v6, cap));
    }
    if (n > 0) {
        memcpy(to, block, compact_len(v6) * n);
        memcpy(to + peers_cold_at(v6, cap), block + peers_cold_at(v6, old_cap),
               n * sizeof(struct peer_cold));
    }
    if (old_cap > 0) {
        swarm_memory_give(a->memory, swarm_memory_class(v6, old_cap), block);
    }
    return to;
}

/* The cap for n peers that had cap until now. */
static uint32_t cap_after(uint32_t cap, uint32_t n)
{
    if (n > cap) {
        return swarm_memory_cap(n);
    }
    uint32_t less = n == 0 ? 0 : swarm_memory_cap(n + n / SLACK_SHARE);
    return less < cap ? less : cap;
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

/* The list of chunks in a space for n of them. */
static void chunks_fit(struct swarm_array *a, struct peers *f, uint32_t n)
{
    struct peers_chunks *c = f->p;
    size_t len = CHUNKS_LEN_MIN;
    while (len < sizeof *c + n * sizeof c->chunk[0]) {
        len *= 2;
    }
    if (len > c->len || len < c->len / 2) {
        f->p = swarm_memory_take_space(a->memory, len);
        memcpy(f->p, c, sizeof *c + c->n * sizeof c->chunk[0]);
        swarm_memory_give_space(a->memory, c, c->len);
        ((struct peers_chunks *)f->p)->len = len;
    }
}

/* The one full block becomes the first chunk. */
static void make_chunks(struct swarm_array *a, struct peers *f, bool v6)
{
    struct peers_chunks *c = swarm_memory_take_space(a->memory, CHUNKS_LEN_MIN);
    struct wire_ctx ctx = {f, &a->seed, v6};
    ASSERT(f->cap == PEERS_CHUNK);
    *c = (struct peers_chunks){
        .index.memory = a->memory,
        .n = 1,
        .last_cap = PEERS_CHUNK,
        .len = CHUNKS_LEN_MIN,
    };
    c->chunk[0] = f->p;
    f->p = c;
    f->cap = PEERS_CHUNKED;
    for (uint32_t i = 0; i < f->n; i++) {
        swarm_table_insert(&c->index, wire_hash_at(&ctx, i), i, wire_hash_at, &ctx);
    }
}

/* The first chunk becomes the one block. */
static void unmake_chunks(struct swarm_array *a, struct peers *f)
{
    struct peers_chunks *c = f->p;
    ASSERT(c->n == 1);
    f->p = c->chunk[0];
    f->cap = c->last_cap & 0xff;
    swarm_table_release(&c->index);
    swarm_memory_give_space(a->memory, c, c->len);
}

/* The last chunk will have n peers, of which n_now are there; without peers it goes. */
static void last_chunk_fit(struct swarm_array *a, struct peers_chunks *c, bool v6, uint32_t n,
                           uint32_t n_now)
{
    uint32_t cap = cap_after(c->last_cap, n);
    if (cap == c->last_cap) {
        return;
    }
    uint8_t **last = &c->chunk[c->n - 1];
    *last = block_resized(a, v6, *last, c->last_cap, cap, n_now);
    c->last_cap = cap;
    if (cap == 0) {
        c->n--;
        c->last_cap = PEERS_CHUNK;
    }
}

/* Room for one more. */
static void grow(struct swarm_array *a, struct peers *f, bool v6)
{
    if (f->n == PEERS_BLOCK_MAX && !is_chunked(f)) {
        make_chunks(a, f, v6);
    }
    if (!is_chunked(f)) {
        uint32_t cap = cap_after(f->cap, f->n + 1);
        if (cap > f->cap) {
            f->p = block_resized(a, v6, f->p, f->cap, cap, f->n);
            f->cap = cap & 0xff;
        }
        return;
    }
    struct peers_chunks *c = f->p;
    if (f->n == c->n << PEERS_CHUNK_BITS) {
        chunks_fit(a, f, c->n + 1);
        c = f->p;
        c->n++;
        c->last_cap = 0;
    }
    uint32_t n_now = f->n & (PEERS_CHUNK - 1);
    if (n_now == c->last_cap) {
        last_chunk_fit(a, c, v6, f->n < LARGE ? n_now + 1 : PEERS_CHUNK, n_now);
    }
}

static void shrink_last_chunk(struct swarm_array *a, const struct peers *f, bool v6)
{
    struct peers_chunks *c = f->p;
    uint32_t n_before = (c->n - 1) << PEERS_CHUNK_BITS;
    uint32_t slack = f->n < LARGE ? 0 : PEERS_CHUNK / 2;
    if (f->n + slack <= n_before) {
        last_chunk_fit(a, c, v6, 0, 0);
    } else if (f->n < LARGE) {
        last_chunk_fit(a, c, v6, f->n - n_before, f->n - n_before);
    }
}

/* One was removed, the last. */
static void shrink(struct swarm_array *a, struct peers *f, bool v6)
{
    if (is_chunked(f)) {
        shrink_last_chunk(a, f, v6);
        chunks_fit(a, f, ((struct peers_chunks *)f->p)->n);
        if (f->n <= UNCHUNK_BELOW) {
            unmake_chunks(a, f);
        }
        return;
    }
    uint32_t cap = cap_after(f->cap, f->n);
    if (cap < f->cap) {
        f->p = block_resized(a, v6, f->p, f->cap, cap, f->n);
        f->cap = cap & 0xff;
    }
}

/* Frees up to *n blocks and the like; true when the family has none any more. */
static bool peers_free(struct swarm_memory *memory, struct peers *f, bool v6, uint32_t *n)
{
    if (f->cap == 0) {
        return true;
    }
    struct peers_chunks *c = is_chunked(f) ? f->p : NULL;
    for (; *n > 0; --*n) {
        if (c == NULL) {
            swarm_memory_give(memory, swarm_memory_class(v6, f->cap), f->p);
            f->cap = 0;
            return true;
        }
        if (c->n > 0) {
            unsigned class_at = swarm_memory_class(v6, c->last_cap);
            swarm_memory_give(memory, class_at, c->chunk[--c->n]);
            c->last_cap = PEERS_CHUNK;
        } else if (swarm_table_release_part(&c->index)) {
            swarm_memory_give_space(memory, c, c->len);
            f->cap = 0;
            return true;
        }
    }
    return false;
}

/* ---- peers --------------------------------------------------------------------------------- */

/* Two constant lengths: each is a few compares, not a call. */
static inline bool wire_eq(const uint8_t *x, const uint8_t *y, bool v6)
{
    return v6 ? memcmp(x, y, COMPACT6_LEN) == 0 : memcmp(x, y, COMPACT4_LEN) == 0;
}

/* The first eight bytes at p as they would be shifted out of a register. */
static inline uint64_t load8(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* IPv4 peers four at a time, each as a load of eight bytes of which two are the next peer's: so the
 * last one is not for this. Returns where it stopped: at the peer, or less than four in front of the
 * last. */
static uint32_t scan4_fast(const uint8_t *hot, uint32_t n, const uint8_t *wire)
{
    const unsigned others = 8 * (sizeof(uint64_t) - COMPACT4_LEN);
    uint8_t padded[sizeof(uint64_t)] = {0};
    memcpy(padded, wire, COMPACT4_LEN);
    const uint64_t wanted = load8(padded) << others;
    uint32_t i = 0;
    for (; i + 4 < n; i += 4, hot += 4 * COMPACT4_LEN) {
        bool a = load8(hot) << others == wanted;
        bool b = load8(hot + COMPACT4_LEN) << others == wanted;
        bool c = load8(hot + 2 * COMPACT4_LEN) << others == wanted;
        bool d = load8(hot + 3 * COMPACT4_LEN) << others == wanted;
        if (a | b | c | d) {
            return i + (a ? 0 : b ? 1 : c ? 2 : 3);
        }
    }
    return i;
}

static uint32_t scan(const struct peers *f, bool v6, const uint8_t *wire)
{
    if (f->n == 0) {
        return SWARM_TABLE_NONE;
    }
    const uint8_t *hot = swarm_array_hot(f, v6, 0);
    for (uint32_t i = v6 ? 0 : scan4_fast(hot, f->n, wire); i < f->n; i++) {
        if (wire_eq(hot + i * compact_len(v6), wire, v6)) {
            return i;
        }
    }
    return SWARM_TABLE_NONE;
}

void swarm_array_prefetch_peers(const struct peers *f)
{
    if (f->cap != 0) {
        const uint8_t *start = f->p;
        __builtin_prefetch(start);
        __builtin_prefetch(start + CACHE_LINE - 1);
    }
}

void swarm_array_prefetch_find(const struct swarm_array *a, const struct peers *f, bool v6,
                               const uint8_t *wire)
{
    if (f->cap == 0) {
        return;
    }
    const uint8_t *hot = swarm_array_hot(f, v6, 0);
    size_t hot_len = f->n * compact_len(v6);
    if (is_chunked(f)) {
        const struct peers_chunks *c = f->p;
        swarm_table_prefetch(&c->index, hash_wire(&a->seed, wire, v6));
        hot_len = hot_len < PREFETCH_LEN_MAX ? hot_len : 0; /* of many, few are read */
    }
    for (size_t at = 0; at < hot_len; at += CACHE_LINE) {
        __builtin_prefetch(hot + at);
    }
}

uint32_t swarm_array_find_peer(const struct swarm_array *a, const struct peers *f, bool v6,
                               const uint8_t *wire)
{
    if (!is_chunked(f)) {
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
    if (is_chunked(f)) {
        struct peers_chunks *c = f->p;
        struct wire_ctx ctx = {f, &a->seed, v6};
        swarm_table_insert(&c->index, wire_hash_at(&ctx, i), i, wire_hash_at, &ctx);
    }
}

static void index_remove(struct swarm_array *a, struct peers *f, bool v6, uint32_t i)
{
    if (is_chunked(f)) {
        struct peers_chunks *c = f->p;
        struct wire_ctx ctx = {f, &a->seed, v6};
        swarm_table_remove(&c->index, wire_hash_at(&ctx, i), i, wire_hash_at, &ctx);
    }
}

static void index_move(const struct swarm_array *a, struct peers *f, bool v6, uint32_t from,
                       uint32_t to)
{
    if (is_chunked(f)) {
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
        *swarm_array_cold(f, v6, to) = *swarm_array_cold(f, v6, from);
    }
}

uint32_t swarm_array_add_peer(struct swarm_array *a, uint32_t at, bool v6, const uint8_t *wire,
                              const struct peer_cold *cold, bool seeder)
{
    struct peers *f = family_of(a, at, v6);
    grow(a, f, v6);
    uint32_t i = f->n++;
    if (seeder) {
        peer_move(a, f, v6, f->n_seeders, i); /* the first leecher makes room */
        i = f->n_seeders++;
    }
    memcpy(swarm_array_hot(f, v6, i), wire, compact_len(v6));
    *swarm_array_cold(f, v6, i) = *cold;
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
    shrink(a, f, v6);
}

static void peer_swap(struct swarm_array *a, struct peers *f, bool v6, uint32_t i, uint32_t j)
{
    if (i == j) {
        return;
    }
    uint8_t wire[COMPACT6_LEN];
    struct peer_cold cold = *swarm_array_cold(f, v6, i);
    memcpy(wire, swarm_array_hot(f, v6, i), compact_len(v6));
    index_move(a, f, v6, i, SWARM_TABLE_MAX - 1);
    peer_move(a, f, v6, j, i);
    memcpy(swarm_array_hot(f, v6, j), wire, compact_len(v6));
    *swarm_array_cold(f, v6, j) = cold;
    if (is_chunked(f)) {
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

/* ---- swarms -------------------------------------------------------------------------------- */

void swarm_array_init(struct swarm_array *a, struct swarm_memory *memory,
                      const struct hash_seed *seed)
{
    *a = (struct swarm_array){.memory = memory, .seed = *seed};
}

void swarm_array_release(struct swarm_array *a)
{
    while (a->n > 0) {
        struct swarm last = swarm_array_take(a, a->n - 1);
        uint32_t all = UINT32_MAX;
        ASSERT(swarm_array_free(a->memory, &last, &all));
    }
}

struct swarm *swarm_array_add(struct swarm_array *a, const struct infohash *info_hash,
                              uint32_t hash)
{
    if (a->n == a->n_chunks << SWARM_CHUNK_BITS) {
        if ((a->n_chunks & (a->n_chunks - 1)) == 0) {
            size_t n = a->n_chunks == 0 ? 1 : (size_t)a->n_chunks * 2;
            a->chunk = mem_resize(a->chunk, n, sizeof *a->chunk);
        }
        a->chunk[a->n_chunks++] = swarm_memory_take(a->memory, swarm_memory_class_of_swarms());
    }
    struct swarm *s = swarm_array_at(a, a->n++);
    *s = (struct swarm){.info_hash = *info_hash, .hash = hash, .oldest_s = UINT32_MAX};
    return s;
}

bool swarm_array_free(struct swarm_memory *memory, struct swarm *taken, uint32_t *n)
{
    return peers_free(memory, &taken->family[0], false, n) &&
           peers_free(memory, &taken->family[1], true, n);
}

struct swarm swarm_array_take(struct swarm_array *a, uint32_t at)
{
    ASSERT(at < a->n);
    struct swarm *s = swarm_array_at(a, at);
    const struct swarm taken = *s;
    a->n--;
    if (at != a->n) {
        *s = *swarm_array_at(a, a->n);
    }
    if (a->n <= (a->n_chunks - 1) << SWARM_CHUNK_BITS) {
        swarm_memory_give(a->memory, swarm_memory_class_of_swarms(), a->chunk[--a->n_chunks]);
        if (a->n_chunks == 0) {
            free(a->chunk);
            a->chunk = NULL;
        } else if ((a->n_chunks & (a->n_chunks - 1)) == 0) {
            a->chunk = mem_resize(a->chunk, a->n_chunks, sizeof *a->chunk);
        }
    }
    return taken;
}

/* ---- settling ------------------------------------------------------------------------------ */

/* A block is a unit; of several, so is each, and behind them the list with the index. */
static uint32_t family_units(const struct peers *f)
{
    return is_chunked(f) ? ((const struct peers_chunks *)f->p)->n + 1 : f->cap > 0;
}

uint32_t swarm_array_units(const struct swarm_array *a, uint32_t at)
{
    const struct swarm *s = swarm_array_at(a, at);
    return 1 + family_units(&s->family[0]) + family_units(&s->family[1]);
}

static void family_settle(struct swarm_array *a, struct peers *f, bool v6, uint32_t unit)
{
    if (!is_chunked(f)) {
        f->p = swarm_memory_settle(a->memory, swarm_memory_class(v6, f->cap), f->p);
        return;
    }
    struct peers_chunks *c = f->p;
    if (unit == c->n) {
        swarm_table_settle(&c->index);
        f->p = swarm_memory_settle_space(a->memory, c, c->len);
        return;
    }
    uint32_t cap = unit == c->n - 1 ? c->last_cap : PEERS_CHUNK;
    c->chunk[unit] = swarm_memory_settle(a->memory, swarm_memory_class(v6, cap), c->chunk[unit]);
}

void swarm_array_settle(struct swarm_array *a, uint32_t at, uint32_t unit)
{
    struct swarm *s = swarm_array_at(a, at);
    if (unit == 0) {
        struct swarm **chunk = &a->chunk[at >> SWARM_CHUNK_BITS];
        *chunk = swarm_memory_settle(a->memory, swarm_memory_class_of_swarms(), *chunk);
        return;
    }
    uint32_t n4 = family_units(&s->family[0]);
    bool v6 = unit > n4;
    family_settle(a, &s->family[v6], v6, unit - 1 - (v6 ? n4 : 0));
}
