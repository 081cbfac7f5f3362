/* What is strictly valid is tolerantly valid, and writing it again gives the same bytes. */
#include "base/assert.h"
#include "proto/bencode.h"

#include "base/banned.h"

static void rewrite(struct wr *w, struct bencode v)
{
    struct bencode_walk at = bencode_walk(v);
    struct bencode item;
    struct span s;
    int64_t n;
    if (bencode_string(v, &s)) {
        bencode_write_string(w, s);
    } else if (bencode_type(v) == BENCODE_INT) {
        bencode_int(v, &n) ? bencode_write_int(w, n) : wr_bytes(w, v.raw);
    } else {
        for (wr_u8(w, v.raw.p[0]); bencode_next(&at, &item);) {
            rewrite(w, item);
        }
        bencode_write_end(w);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t out[4096];
    struct bencode_limits lim = {sizeof out, 1024, 512, 32, false};
    struct bencode v, strict;
    const char *why = NULL;
    struct wr w = wr_over(out, sizeof out);
    ssize_t n = bencode_decode(&v, span_of(data, size), &lim, &why);
    ASSERT(n != 0 && n <= (ssize_t)size && (n > 0) == (why == NULL));
    lim.strict = true;
    ssize_t n_strict = bencode_decode(&strict, span_of(data, size), &lim, &why);
    rewrite(&w, n > 0 ? v : (struct bencode){SPAN("le")});
    ASSERT(n_strict < 0 || (n_strict == n && !w.bad && span_eq(wr_span(&w), strict.raw)));
    return 0;
}
