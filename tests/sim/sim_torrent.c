/* Torrents of the simulator: random content, the same for a seed, and its metainfo. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/mem.h"
#include "sim/sim_impl.h"

#include "base/banned.h"

enum { FILES_MAX = 64, PATH_MAX_LEN = 32 };

static void fill(struct sim *s, uint8_t *p, uint64_t len)
{
    struct rng rng = {rng_next(&s->rng)};
    for (uint64_t at = 0; at < len; at += 8) {
        uint64_t v = rng_next(&rng);
        memcpy(p + at, &v, len - at < 8 ? (size_t)(len - at) : 8);
    }
}

static void hash_pieces(const struct sim_torrent *t, uint32_t piece_len, uint8_t *out)
{
    for (uint64_t at = 0; at < t->len; at += piece_len) {
        uint64_t len = t->len - at < piece_len ? t->len - at : piece_len;
        digest_sha1(out, span_of(t->content + at, (size_t)len));
        out += METAINFO_HASH_LEN;
    }
}

static void encode(struct sim_torrent *t, const struct sim_content *c, struct span pieces)
{
    struct metainfo_source_file files[FILES_MAX];
    char paths[FILES_MAX][PATH_MAX_LEN];
    struct metainfo_source src = {
        .name = span_of(c->name, strlen(c->name)),
        .n_files = c->n_files,
        .single_len = c->len,
        .piece_len = c->piece_len,
        .pieces = pieces,
        .private = c->private,
        .files = files,
    };
    ASSERT(c->n_files <= FILES_MAX);
    for (uint32_t i = 0; i < c->n_files; i++) {
        uint64_t each = c->len / c->n_files;
        (void)snprintf(paths[i], sizeof paths[i], "sub/%u.bin", i);
        files[i].path = span_of(paths[i], strlen(paths[i]));
        files[i].len = i + 1 < c->n_files ? each : c->len - each * i;
    }
    struct metainfo_encoded size = metainfo_measure(&src);
    const char *why;
    t->file = mem_zeroed(size.len);
    struct wr w = wr_over(t->file, size.len);
    (void)metainfo_encode(&w, &src);
    t->info = span_of(t->file + size.info_at, size.info_len);
    digest_sha1(t->info_hash.b, t->info);
    ssize_t used = metainfo_info_decode(&t->meta, t->info, &metainfo_limits_default, &why);
    ASSERT(used > 0);
}

struct sim_torrent *sim_torrent_new(struct sim *s, const struct sim_content *c)
{
    struct sim_torrent *t = mem_new(struct sim_torrent);
    size_t n_pieces = (size_t)((c->len + c->piece_len - 1) / c->piece_len);
    uint8_t *hashes = mem_array(n_pieces, METAINFO_HASH_LEN);
    ASSERT(c->piece_len % SIM_PAGE_LEN == 0);
    t->len = c->len;
    t->content = mem_zeroed((size_t)c->len);
    t->n_pages = (uint32_t)((c->len + SIM_PAGE_LEN - 1) / SIM_PAGE_LEN);
    fill(s, t->content, c->len);
    hash_pieces(t, c->piece_len, hashes);
    encode(t, c, span_of(hashes, n_pieces * METAINFO_HASH_LEN));
    t->layout = layout_new(&t->meta, &t->info_hash);
    list_add_tail(&s->torrents, &t->node);
    free(hashes);
    return t;
}

struct sim_torrent *sim_torrent_find(struct sim *s, const struct infohash *hash)
{
    LIST_FOREACH_SAFE (node, &s->torrents) {
        struct sim_torrent *t = container_of(node, struct sim_torrent, node);
        if (infohash_eq(&t->info_hash, hash)) {
            return t;
        }
    }
    return NULL;
}

void sim_torrent_pages(const struct sim_torrent *t, uint32_t piece, uint32_t *first, uint32_t *end)
{
    uint32_t each = t->meta.piece_len / SIM_PAGE_LEN;
    *first = piece * each;
    *end = piece + 1 == t->meta.n_pieces ? t->n_pages : *first + each;
}
