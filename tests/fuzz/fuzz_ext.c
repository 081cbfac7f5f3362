/* What was decoded and encoded decodes to what is encoded as the same bytes; PEX lists are cut. */
#include "base/assert.h"
#include "proto/ext.h"

#include "base/banned.h"

/* Decode in as one kind of message and write it again; false when it is refused. */
static bool rewrite(struct wr *w, struct span in, int kind)
{
    struct ext_handshake h;
    struct ext_metadata m = {.type = EXT_METADATA_UNKNOWN};
    struct ext_pex p = {.added = {NULL, 0}};
    const char *why = NULL;
    ssize_t n = kind == 0   ? ext_handshake_decode(&h, in, 1 << 20, &why)
                : kind == 1 ? ext_metadata_decode(&m, in, 1 << 20, &why)
                            : ext_pex_decode(&p, in, &why);
    ASSERT(n != 0 && n <= (ssize_t)in.n && (n > 0) == (why == NULL));
    ASSERT(n < 0 || m.data.n == ext_metadata_piece_len(m.total_size, m.piece));
    ASSERT(p.added.n <= 50 * 6 && p.added.n % 6 == 0 && p.added_flags.n <= p.added.n / 6);
    ASSERT(p.dropped6.n <= 50 * 18 && p.dropped6.n % 18 == 0);
    if (n > 0 && kind == 0) {
        ext_handshake_encode(w, &h);
    } else if (n > 0 && kind == 1 && m.type != EXT_METADATA_UNKNOWN) {
        ext_metadata_encode(w, &m);
    } else if (n > 0 && kind == 2) {
        ext_pex_encode(w, &p);
    }
    return wr_len(w) > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t a[1 << 15], b[sizeof a];
    for (int kind = 0; kind < 3; kind++) {
        struct wr wa = wr_over(a, sizeof a), wb = wr_over(b, sizeof b);
        ASSERT(!rewrite(&wa, span_of(data, size), kind) || rewrite(&wb, wr_span(&wa), kind));
        ASSERT(!wa.bad && span_eq(wr_span(&wa), wr_span(&wb)));
    }
    return 0;
}
