/* layout_fixture.h: layouts of torrents that are written down as a table of files. Header only;
 * include after cmocka.h. */
#ifndef TESTS_LAYOUT_FIXTURE_H
#define TESTS_LAYOUT_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "client/layout.h"
#include "proto/metainfo.h"

/* Parts of the path are separated by '|', as any other byte is for the torrent to choose. */
struct fixture_file {
    const char *path;
    uint64_t len;
    const char *attr; /* BEP 47; NULL: none */
};

static const struct infohash fixture_hash = {
    .b = {0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}};
#define FIXTURE_HASH_HEX "aabbccddeeff000102030405060708090a0b0c0d"

static inline void fixture_add_string(struct buf *b, struct span s)
{
    buf_addf(b, "%zu:", s.n);
    buf_add(b, s);
}

static inline void fixture_add_file(struct buf *b, struct span path, uint64_t len, const char *attr)
{
    buf_add_byte(b, 'd');
    if (attr != NULL) {
        buf_add_str(b, "4:attr");
        fixture_add_string(b, span_str(attr));
    }
    buf_addf(b, "6:lengthi%llue4:pathl", (unsigned long long)len);
    for (bool more = true; more;) {
        more = span_find(path, '|') < path.n;
        fixture_add_string(b, span_cut(path, '|', &path));
    }
    buf_add_str(b, "ee");
}

/* What is behind the files: name, piece length and as many hashes as the length needs. */
static inline void fixture_add_tail(struct buf *b, struct span name, uint32_t piece_len,
                                    uint64_t total_len)
{
    uint64_t n = (total_len + piece_len - 1) / piece_len * METAINFO_HASH_LEN;
    buf_add_str(b, "4:name");
    fixture_add_string(b, name);
    buf_addf(b, "12:piece lengthi%ue6:pieces%llu:", piece_len, (unsigned long long)n);
    memset(buf_reserve(b, n), 'h', n);
    b->len += n;
    buf_add_byte(b, 'e');
}

/* The layout of an info dictionary, which is released. */
static inline struct layout *fixture_layout_of(struct buf *info)
{
    struct metainfo m;
    const char *why = "";
    if (metainfo_info_decode(&m, buf_span(info), &metainfo_limits_default, &why) < 0) {
        fail_msg("%s", why);
    }
    struct layout *l = layout_new(&m, &fixture_hash);
    buf_release(info);
    return l;
}

static inline struct layout *fixture_layout(const char *name, const struct fixture_file *files,
                                            size_t n_files, uint32_t piece_len)
{
    struct buf b;
    uint64_t total_len = 0;
    buf_init(&b, SIZE_MAX);
    buf_add_str(&b, "d5:filesl");
    for (size_t i = 0; i < n_files; i++) {
        fixture_add_file(&b, span_str(files[i].path), files[i].len, files[i].attr);
        total_len += files[i].len;
    }
    buf_add_byte(&b, 'e');
    fixture_add_tail(&b, span_str(name), piece_len, total_len);
    return fixture_layout_of(&b);
}

static inline struct layout *fixture_single(struct span name, uint64_t len, uint32_t piece_len)
{
    struct buf b;
    buf_init(&b, SIZE_MAX);
    buf_addf(&b, "d6:lengthi%llue", (unsigned long long)len);
    fixture_add_tail(&b, name, piece_len, len);
    return fixture_layout_of(&b);
}

#endif
