/* picker_fixture.h: a picker and the pieces it picks from, all of whose bytes are zero. */
#ifndef UNIT_CLIENT_PICKER_FIXTURE_H
#define UNIT_CLIENT_PICKER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/mem.h"
#include "base/rng.h"
#include "client/picker.h"

enum { FAST_BPS = 100 << 20, SLOW_BPS = 1 };

struct swarm_view {
    uint32_t n_pieces;
    uint32_t n_blocks; /* of a piece */
    uint8_t *hashes;
    struct pieces *p;
    struct picker *k;
    struct data_pool *pool;
    struct data_buf *block;
};

static inline struct swarm_view view_new(uint32_t n_pieces, uint32_t n_blocks, uint64_t seed)
{
    struct swarm_view v = {.n_pieces = n_pieces, .n_blocks = n_blocks};
    uint32_t piece_len = n_blocks * WIRE_BLOCK_LEN;
    struct wire_geometry g = {n_pieces, piece_len, piece_len};
    uint8_t *zeros = mem_zeroed(piece_len);
    v.hashes = mem_array(n_pieces, 20);
    digest_sha1(v.hashes, span_of(zeros, piece_len));
    for (uint32_t i = 1; i < n_pieces; i++) {
        memcpy(v.hashes + (size_t)i * 20, v.hashes, 20);
    }
    free(zeros);
    v.p = pieces_new(&g, span_of(v.hashes, (size_t)n_pieces * 20));
    v.k = picker_new(n_pieces, seed);
    v.pool = data_pool_new();
    v.block = data_new(v.pool, DATA_BLOCK_LEN);
    v.block->len = WIRE_BLOCK_LEN;
    memset(v.block->p, 0, WIRE_BLOCK_LEN);
    return v;
}

static inline void view_release(struct swarm_view *v)
{
    pieces_free(v->p);
    picker_free(v->k);
    data_unref(v->block);
    data_pool_free(v->pool);
    free(v->hashes);
}

static inline void view_have(struct swarm_view *v, uint32_t piece)
{
    pieces_set(v->p, piece, true);
    picker_on_have(v->k, piece);
}

/* Enough that the first pieces are over, which are random. */
static inline void view_skip_random_first(struct swarm_view *v)
{
    for (uint32_t i = 0; i < PICKER_RANDOM_FIRST; i++) {
        view_have(v, v->n_pieces - 1 - i);
    }
}

static inline void view_write(struct swarm_view *v)
{
    struct piece_write w;
    while (pieces_next_write(v->p, &w)) {
        for (uint32_t i = 0; i < w.n_bufs; i++) {
            data_unref(w.bufs[i]);
        }
        if (pieces_on_written(v->p, w.piece, w.begin, w.len, 0) == PIECES_WRITTEN_HAVE) {
            picker_on_have(v->k, w.piece);
        }
    }
}

static inline enum pieces_result view_deliver(struct swarm_view *v, const struct wire_block *b,
                                              conn_id from)
{
    struct addr addr = addr_from_v4((const uint8_t[4]){10, 0, 0, (uint8_t)from});
    enum pieces_result result = pieces_on_block(v->p, b, v->block, from, &addr);
    view_write(v);
    return result;
}

static inline struct pick_peer seed_n(conn_id id, uint64_t down_bps)
{
    return (struct pick_peer){.id = id, .seed = true, .down_bps = down_bps};
}

static inline void bits_set(uint8_t *bits, uint32_t piece)
{
    bits[piece / 8] |= (uint8_t)(0x80 >> piece % 8);
}

static inline bool bits_has(const uint8_t *bits, uint32_t piece)
{
    return bits[piece / 8] >> (7 - piece % 8) & 1;
}

#endif
