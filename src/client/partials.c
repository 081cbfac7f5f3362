/* Only the form is looked at here: whether a bitmap fits its piece is for pieces.h to say. */
#include "client/partials.h"

#include "base/cursor.h"

#include "base/banned.h"

void partials_encode(struct buf *out, const struct torrent_partial *partials, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t head[8];
        struct wr w = wr_over(head, sizeof head);
        wr_u32(&w, partials[i].piece);
        wr_u32(&w, (uint32_t)partials[i].written.n);
        buf_add(out, wr_span(&w));
        buf_add(out, partials[i].written);
    }
}

bool partials_next(struct span *in, struct torrent_partial *out)
{
    struct rd r = rd_over(*in);
    out->piece = rd_u32(&r);
    uint32_t len = rd_u32(&r);
    out->written = rd_bytes(&r, len);
    *in = span_of(r.p, rd_left(&r));
    return !r.bad && len > 0;
}
