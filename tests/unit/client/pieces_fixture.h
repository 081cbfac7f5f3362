/* pieces_fixture.h: a torrent with real bytes and hashes, and a disk in memory. */
#ifndef UNIT_CLIENT_PIECES_FIXTURE_H
#define UNIT_CLIENT_PIECES_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "client/pieces.h"

enum { KIB = 1024, MIB = 1024 * KIB };

struct torrent {
    struct wire_geometry g;
    size_t len;
    uint8_t *content;
    uint8_t *disk; /* what was written */
    uint8_t *hashes;
    struct pieces *p;
    struct data_pool *pool;
};

static inline struct pieces *torrent_pieces_new(const struct torrent *t)
{
    return pieces_new(&t->g, span_of(t->hashes, (size_t)t->g.n_pieces * 20));
}

static inline struct torrent torrent_new(uint32_t piece_len, size_t len)
{
    struct torrent t = {.len = len};
    struct rng rng = {len};
    t.g.n_pieces = (uint32_t)((len - 1) / piece_len + 1);
    t.g.piece_len = piece_len;
    t.g.last_piece_len = (uint32_t)(len - (size_t)(t.g.n_pieces - 1) * piece_len);
    t.content = mem_array(len, 1);
    t.disk = mem_zeroed(len);
    t.hashes = mem_array(t.g.n_pieces, 20);
    for (size_t i = 0; i < len; i++) {
        t.content[i] = (uint8_t)rng_next(&rng);
    }
    for (uint32_t i = 0; i < t.g.n_pieces; i++) {
        digest_sha1(t.hashes + (size_t)i * 20,
                    span_of(t.content + (size_t)i * piece_len, peer_wire_piece_len(&t.g, i)));
    }
    t.pool = data_pool_new();
    t.p = torrent_pieces_new(&t);
    return t;
}

static inline void torrent_release(struct torrent *t)
{
    pieces_free(t->p);
    assert_int_equal(data_pool_used(t->pool), 0);
    data_pool_free(t->pool);
    free(t->content);
    free(t->disk);
    free(t->hashes);
}

static inline struct addr addr_n(conn_id conn)
{
    return addr_from_v4((const uint8_t[4]){10, 0, 0, (uint8_t)conn});
}

/* The block arrives as it should be, or with one byte of it wrong. */
static inline enum pieces_result deliver(struct torrent *t, const struct wire_block *b,
                                         conn_id from, bool lie)
{
    struct data_buf *d = data_new(t->pool, DATA_BLOCK_LEN);
    struct addr addr = addr_n(from);
    d->len = b->len;
    memcpy(d->p, t->content + (size_t)b->piece * t->g.piece_len + b->begin, b->len);
    d->p[(b->begin / WIRE_BLOCK_LEN) % b->len] ^= lie ? 0x10 : 0;
    enum pieces_result result = pieces_on_block(t->p, b, d, from, &addr);
    data_unref(d);
    return result;
}

static inline struct wire_block block_at(const struct torrent *t, uint32_t piece, uint32_t block)
{
    uint32_t left = peer_wire_piece_len(&t->g, piece) - block * WIRE_BLOCK_LEN;
    return (struct wire_block){piece, block * WIRE_BLOCK_LEN,
                               left < WIRE_BLOCK_LEN ? left : WIRE_BLOCK_LEN};
}

/* Every block of the piece is asked for; returns their number. */
static inline size_t ask_all(struct torrent *t, uint32_t piece)
{
    struct wire_block out[1 << 12];
    pieces_start(t->p, piece, 0);
    return pieces_request(t->p, piece, out, sizeof out / sizeof out[0]);
}

/* What the disk does with a write, good or not; the buffers go back. */
static inline enum pieces_written disk_does(struct torrent *t, struct piece_write *w, int status)
{
    size_t at = (size_t)w->piece * t->g.piece_len + w->begin;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < w->n_bufs; i++) {
        if (status == 0) {
            memcpy(t->disk + at + sum, w->bufs[i]->p, w->bufs[i]->len);
        }
        sum += w->bufs[i]->len;
        data_unref(w->bufs[i]);
    }
    assert_int_equal(sum, w->len);
    return pieces_on_written(t->p, w->piece, w->begin, w->len, status);
}

/* Read a piece back and say its hash. */
static inline bool disk_hashes(struct torrent *t, uint32_t piece)
{
    uint8_t digest[20];
    digest_sha1(digest, span_of(t->disk + (size_t)piece * t->g.piece_len,
                                peer_wire_piece_len(&t->g, piece)));
    return pieces_on_hash(t->p, piece, digest);
}

static inline bool disk_is_right(const struct torrent *t)
{
    return memcmp(t->disk, t->content, t->len) == 0;
}

#endif
