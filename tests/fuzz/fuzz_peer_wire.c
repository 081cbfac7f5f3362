/* A prefix never reads differently, messages encode to their bytes, no block leaves its piece. */
#include "base/assert.h"
#include "proto/peer_wire.h"

#include "base/banned.h"

static ssize_t one(struct span in, const struct peer_wire_limits *lim)
{
    static const struct wire_geometry g = {.n_pieces = 7, .piece_len = 40000, .last_piece_len = 3};
    struct peer_wire_msg msg;
    struct wr w = wr_over((uint8_t[512]){0}, 512);
    const char *why = NULL;
    ssize_t n = peer_wire_decode(&msg, in, lim, &why), got = 0;
    for (size_t part = 0; part <= in.n && got == 0; part++) {
        got = peer_wire_decode(&msg, span_sub(in, 0, part), lim, &why);
        ASSERT(got != 0 || peer_wire_need(span_sub(in, 0, part), lim, &why) > (ssize_t)part);
    }
    ASSERT(got == n && n <= (ssize_t)in.n && (n < 0) == (why != NULL));
    if (n > 0) {
        peer_wire_encode(&w, &msg);
        ASSERT(!w.bad && span_eq(wr_span(&w), span_sub(in, 0, (size_t)n)));
        uint64_t end = (uint64_t)msg.block.begin + msg.block.len;
        ASSERT(!peer_wire_request_ok(&g, &msg.block, WIRE_BLOCK_LEN) ||
               (end <= 40000 && msg.block.piece * UINT64_C(40000) + end <= 240003));
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct peer_wire_limits lim = {(uint32_t)size % 40, 64, WIRE_BLOCK_LEN, 300, 99};
    struct peer_wire_handshake h;
    const char *why;
    size = size < 512 ? size : 512;
    ssize_t n = peer_wire_handshake_decode(&h, span_of(data, size), &why);
    for (size_t at = n > 0 ? (size_t)n : 0; at<size; at += n> 0 ? (size_t)n : size) {
        n = one(span_of(data + at, size - at), &lim);
    }
    return 0;
}
