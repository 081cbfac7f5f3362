/* What a decoded torrent says of itself fits together, and encoding what it says decodes again. */
#include "base/assert.h"
#include "proto/metainfo.h"

#include "base/banned.h"

static void encode_again(const struct metainfo *m)
{
    static uint8_t out[1 << 16];
    struct wr w = wr_over(out, sizeof out);
    struct metainfo_source src = {.name = m->name, .pieces = m->pieces, .comment = m->comment};
    src.single_len = m->total_len;
    src.piece_len = m->piece_len;
    struct metainfo n;
    const char *why;
    struct metainfo_encoded done = metainfo_encode(&w, &src);
    ASSERT(done.len == metainfo_measure(&src).len && (w.bad || done.len == wr_len(&w)));
    ASSERT(w.bad || metainfo_decode(&n, wr_span(&w), &metainfo_limits_default, &why) > 0);
    ASSERT(w.bad || (span_eq(n.name, m->name) && span_eq(n.pieces, m->pieces) &&
                     n.total_len == m->total_len && n.info.p == out + done.info_at));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct metainfo_limits *lim = &metainfo_limits_default;
    struct metainfo m, alone;
    struct metainfo_file file;
    const char *why = NULL;
    if (metainfo_decode(&m, span_of(data, size), lim, &why) > 0) {
        struct metainfo_files files = metainfo_files(&m);
        uint32_t n = 0;
        for (; metainfo_files_next(&files, &file); n++) {
            ASSERT(file.offset + file.len <= m.total_len);
        }
        ASSERT(n == m.n_files && m.n_pieces * (size_t)20 == m.pieces.n);
        ASSERT(metainfo_info_decode(&alone, m.info, lim, &why) == (ssize_t)m.info.n);
        encode_again(&m);
    }
    return 0;
}
