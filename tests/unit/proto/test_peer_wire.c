#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/err.h"
#include "proto/peer_wire.h"

#include "unit/proto/wire.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define BYTES(text)                                                                                \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

static const struct peer_wire_limits limits = {
    .n_pieces = 11,
    .bitfield_max = 100,
    .block_max = WIRE_BLOCK_LEN,
    .extended_max = 1000,
    .unknown_max = 50,
};

static const struct peer_wire_limits no_metadata = {
    .n_pieces = 0,
    .bitfield_max = 100,
    .block_max = WIRE_BLOCK_LEN,
    .extended_max = 1000,
    .unknown_max = 50,
};

/* ---- handshake */

static const uint8_t handshake[WIRE_HANDSHAKE_LEN + 1] = "\x13"
                                                         "BitTorrent protocol"
                                                         "\0\0\0\0\0\x10\0\x05"
                                                         "hhhhhhhhhhhhhhhhhhhh"
                                                         "-RK0100-pppppppppppp";

static ssize_t decode_handshake(struct peer_wire_handshake *out, struct span in)
{
    const char *why = NULL;
    struct span copy = exact_copy(in);
    memset(out, 0xa5, sizeof *out);
    ssize_t n = peer_wire_handshake_decode(out, copy, &why);
    assert_true((n < 0) == (why != NULL));
    exact_free(copy);
    return n;
}

static void test_handshake(void **state)
{
    (void)state;
    struct peer_wire_handshake h;
    uint8_t bytes[WIRE_HANDSHAKE_LEN];
    struct wr w = wr_over(bytes, sizeof bytes);
    assert_int_equal(decode_handshake(&h, span_of(handshake, 68)), 68);
    assert_int_equal(h.features, WIRE_DHT | WIRE_FAST | WIRE_EXTENDED);
    assert_memory_equal(h.info_hash.b, "hhhhhhhhhhhhhhhhhhhh", 20);
    assert_memory_equal(h.peer_id.b, "-RK0100-pppppppppppp", 20);
    peer_wire_handshake_encode(&w, &h);
    assert_false(w.bad);
    assert_memory_equal(bytes, handshake, 68);
    assert_int_equal(decode_handshake(&h, span_of(handshake, 69)), 68); /* the NUL stays */
}

static void test_handshake_truncations(void **state)
{
    (void)state;
    struct peer_wire_handshake h;
    const char *why = NULL;
    for (size_t n = 0; n < 68; n++) {
        assert_int_equal(decode_handshake(&h, span_of(handshake, n)), 0);
        struct span copy = exact_copy(span_of(handshake, n));
        memset(&h, 0, sizeof h);
        assert_int_equal(peer_wire_handshake_head_decode(&h, copy, &why), n < 48 ? 0 : 48);
        assert_null(why);
        if (n >= 48) {
            assert_int_equal(h.features, WIRE_DHT | WIRE_FAST | WIRE_EXTENDED);
            assert_memory_equal(h.info_hash.b, "hhhhhhhhhhhhhhhhhhhh", 20);
        }
        exact_free(copy);
    }
}

static void test_handshake_is_refused_at_the_first_wrong_byte(void **state)
{
    (void)state;
    struct peer_wire_handshake h;
    for (size_t at = 0; at < 20; at++) {
        uint8_t bytes[68];
        memcpy(bytes, handshake, sizeof bytes);
        bytes[at] ^= 0x20;
        for (size_t n = 0; n <= at; n++) {
            assert_int_equal(decode_handshake(&h, span_of(bytes, n)), 0);
        }
        for (size_t n = at + 1; n <= sizeof bytes; n++) {
            assert_int_equal(decode_handshake(&h, span_of(bytes, n)), ERR_MALFORMED);
        }
    }
}

static void test_each_reserved_bit(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        struct peer_wire_handshake h;
        uint8_t bytes[68];
        unsigned expected = bit == 40 + 4   ? WIRE_EXTENDED
                            : bit == 56 + 2 ? WIRE_FAST
                            : bit == 56 + 0 ? WIRE_DHT
                                            : 0;
        memcpy(bytes, handshake, sizeof bytes);
        memset(bytes + 20, 0, 8);
        bytes[20 + bit / 8] = (uint8_t)(1u << bit % 8);
        assert_int_equal(decode_handshake(&h, span_of(bytes, 68)), 68);
        assert_int_equal(h.features, expected);
    }
}

/* ---- messages */

static ssize_t decode(struct peer_wire_msg *out, struct span in, const struct peer_wire_limits *lim)
{
    const char *why = NULL;
    struct span copy = exact_copy(in);
    memset(out, 0xa5, sizeof *out);
    ssize_t n = peer_wire_decode(out, copy, lim, &why);
    assert_true((n < 0) == (why != NULL));
    if (n > 0 && out->payload.n > 0) { /* the same place in what stays */
        out->payload.p = in.p + (out->payload.p - copy.p);
    }
    exact_free(copy);
    return n;
}

struct vector {
    struct span bytes;
    struct peer_wire_msg msg;
};

/* BEP 3, 5, 6 and 10, a message each. */
static const struct vector vectors[] = {
    {BYTES("\0\0\0\0"), {.type = WIRE_KEEP_ALIVE}},
    {BYTES("\0\0\0\1\x00"), {.type = WIRE_CHOKE, .id = 0}},
    {BYTES("\0\0\0\1\x01"), {.type = WIRE_UNCHOKE, .id = 1}},
    {BYTES("\0\0\0\1\x02"), {.type = WIRE_INTERESTED, .id = 2}},
    {BYTES("\0\0\0\1\x03"), {.type = WIRE_NOT_INTERESTED, .id = 3}},
    {BYTES("\0\0\0\5\x04\1\2\3\4"), {.type = WIRE_HAVE, .id = 4, .block.piece = 0x01020304}},
    {BYTES("\0\0\0\3\x05\xff\xe0"), {.type = WIRE_BITFIELD, .id = 5, .payload = BYTES("\xff\xe0")}},
    {BYTES("\0\0\0\x0d\x06\1\2\3\4\x11\x12\x13\x14\0\0\x40\0"),
     {.type = WIRE_REQUEST, .id = 6, .block = {0x01020304, 0x11121314, 0x4000}}},
    {BYTES("\0\0\x40\x09\x07\1\2\3\4\x11\x12\x13\x14"),
     {.type = WIRE_PIECE, .id = 7, .block = {0x01020304, 0x11121314, 0x4000}}},
    {BYTES("\0\0\0\x0d\x08\1\2\3\4\x11\x12\x13\x14\xff\xff\xff\xff"),
     {.type = WIRE_CANCEL, .id = 8, .block = {0x01020304, 0x11121314, UINT32_MAX}}},
    {BYTES("\0\0\0\3\x09\x1a\xe1"), {.type = WIRE_PORT, .id = 9, .port = 6881}},
    {BYTES("\0\0\0\5\x0d\xff\xff\xff\xff"),
     {.type = WIRE_SUGGEST, .id = 13, .block.piece = UINT32_MAX}},
    {BYTES("\0\0\0\1\x0e"), {.type = WIRE_HAVE_ALL, .id = 14}},
    {BYTES("\0\0\0\1\x0f"), {.type = WIRE_HAVE_NONE, .id = 15}},
    {BYTES("\0\0\0\x0d\x10\0\0\0\0\0\0\0\0\0\0\0\0"), {.type = WIRE_REJECT, .id = 16}},
    {BYTES("\0\0\0\5\x11\0\0\0\2"), {.type = WIRE_ALLOWED_FAST, .id = 17, .block.piece = 2}},
    {BYTES("\0\0\0\4\x14\0de"), {.type = WIRE_EXTENDED_MSG, .id = 20, .payload = BYTES("de")}},
    {BYTES("\0\0\0\2\x14\xff"), {.type = WIRE_EXTENDED_MSG, .id = 20, .extended_id = 255}},
    {BYTES("\0\0\0\1\x0a"), {.type = WIRE_UNKNOWN, .id = 10}},
    {BYTES("\0\0\0\4\xff"
           "abc"),
     {.type = WIRE_UNKNOWN, .id = 255, .payload = BYTES("abc")}},
};

static void assert_msg(const struct peer_wire_msg *a, const struct peer_wire_msg *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->extended_id, b->extended_id);
    assert_int_equal(a->port, b->port);
    assert_int_equal(a->block.piece, b->block.piece);
    assert_int_equal(a->block.begin, b->block.begin);
    assert_int_equal(a->block.len, b->block.len);
    assert_true(span_eq(a->payload, b->payload));
}

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        const struct vector *v = &vectors[i];
        struct peer_wire_msg msg;
        uint8_t bytes[64];
        struct wr w = wr_over(bytes, v->bytes.n);
        assert_int_equal(decode(&msg, v->bytes, &limits), v->bytes.n);
        assert_msg(&msg, &v->msg);
        peer_wire_encode(&w, &v->msg);
        assert_true(!w.bad && span_eq(wr_span(&w), v->bytes));
        w = wr_over(bytes, v->bytes.n - 1);
        peer_wire_encode(&w, &v->msg);
        assert_true(w.bad);
    }
}

static void test_every_truncation_needs_more(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct span whole = vectors[i].bytes;
        const char *why = NULL;
        for (size_t n = 0; n < whole.n; n++) {
            struct peer_wire_msg msg;
            struct span part = span_sub(whole, 0, n);
            ssize_t need = peer_wire_need(part, &limits, &why);
            assert_int_equal(decode(&msg, part, &limits), 0);
            assert_true(need > (ssize_t)n && need <= (ssize_t)whole.n);
            assert_int_equal(need, n < 4 ? 4 : n < 5 ? 5 : whole.n);
        }
        assert_int_equal(peer_wire_need(whole, &limits, &why), whole.n);
        assert_null(why);
    }
}

/* Five bytes are enough to refuse a length. */
static ssize_t need(uint32_t len, uint8_t id, const struct peer_wire_limits *lim)
{
    const char *why = NULL;
    struct peer_wire_msg msg;
    uint8_t head[5] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
                       (uint8_t)len, id};
    ssize_t n = peer_wire_need(span_of(head, sizeof head), lim, &why);
    assert_true((n < 0) == (why != NULL));
    if (n < 0) {
        assert_int_equal(decode(&msg, span_of(head, sizeof head), lim), n);
    }
    return n;
}

static void test_lengths_of_fixed_messages(void **state)
{
    (void)state;
    static const uint8_t lens[21] = {
        [0] = 1, [1] = 1,  [2] = 1,  [3] = 1,  [4] = 5,   [6] = 13, [8] = 13,
        [9] = 3, [13] = 5, [14] = 1, [15] = 1, [16] = 13, [17] = 5,
    };
    for (uint8_t id = 0; id < COUNT(lens); id++) {
        uint32_t len = lens[id];
        if (len == 0) {
            continue;
        }
        assert_int_equal(need(len, id, &limits), 4 + len);
        assert_int_equal(need(len + 1, id, &limits), ERR_MALFORMED);
        assert_int_equal(need(UINT32_MAX, id, &limits), ERR_MALFORMED);
        if (len > 1) {
            assert_int_equal(need(len - 1, id, &limits), ERR_MALFORMED);
        }
    }
}

static void test_lengths_of_other_messages(void **state)
{
    (void)state;
    struct peer_wire_limits old = limits;
    old.block_max = WIRE_BLOCK_LEN_MAX;
    const struct {
        uint32_t len;
        uint8_t id;
        const struct peer_wire_limits *lim;
        ssize_t need;
    } rows[] = {
        {8, WIRE_PIECE, &limits, ERR_MALFORMED},
        {9, WIRE_PIECE, &limits, 13}, /* a block of no bytes */
        {9 + WIRE_BLOCK_LEN, WIRE_PIECE, &limits, 13},
        {10 + WIRE_BLOCK_LEN, WIRE_PIECE, &limits, ERR_LIMIT},
        {10 + WIRE_BLOCK_LEN, WIRE_PIECE, &old, 13},
        {9 + WIRE_BLOCK_LEN_MAX, WIRE_PIECE, &old, 13},
        {10 + WIRE_BLOCK_LEN_MAX, WIRE_PIECE, &old, ERR_LIMIT},
        {UINT32_MAX, WIRE_PIECE, &limits, ERR_LIMIT},
        {1, WIRE_BITFIELD, &limits, ERR_MALFORMED},
        {2, WIRE_BITFIELD, &limits, ERR_MALFORMED},
        {3, WIRE_BITFIELD, &limits, 7},
        {4, WIRE_BITFIELD, &limits, ERR_MALFORMED},
        {UINT32_MAX, WIRE_BITFIELD, &limits, ERR_MALFORMED},
        {1, WIRE_BITFIELD, &no_metadata, 5},
        {101, WIRE_BITFIELD, &no_metadata, 105},
        {102, WIRE_BITFIELD, &no_metadata, ERR_LIMIT},
        {UINT32_MAX, WIRE_BITFIELD, &no_metadata, ERR_LIMIT},
        {1, WIRE_EXTENDED_MSG, &limits, ERR_MALFORMED},
        {2, WIRE_EXTENDED_MSG, &limits, 6},
        {1002, WIRE_EXTENDED_MSG, &limits, 1006},
        {1003, WIRE_EXTENDED_MSG, &limits, ERR_LIMIT},
        {UINT32_MAX, WIRE_EXTENDED_MSG, &limits, ERR_LIMIT},
        {1, 21, &limits, 5},
        {51, 21, &limits, 55},
        {52, 21, &limits, ERR_LIMIT},
        {UINT32_MAX, 255, &limits, ERR_LIMIT},
        {0, 255, &limits, 4}, /* a keep-alive, then the next message */
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(need(rows[i].len, rows[i].id, rows[i].lim), rows[i].need);
    }
}

static void test_bitfields(void **state)
{
    (void)state;
    static const struct {
        uint32_t n_pieces;
        struct span bits;
        bool ok;
    } rows[] = {
        {0, BYTES(""), true},          {0, BYTES("\0"), false},       {1, BYTES("\x80"), true},
        {1, BYTES("\xc0"), false},     {1, BYTES("\x01"), false},     {1, BYTES(""), false},
        {7, BYTES("\xfe"), true},      {7, BYTES("\x01"), false},     {8, BYTES("\xff"), true},
        {8, BYTES("\xff\0"), false},   {9, BYTES("\xff"), false},     {9, BYTES("\xff\x80"), true},
        {9, BYTES("\xff\x40"), false}, {11, BYTES("\xff\xe0"), true}, {11, BYTES("\0\x10"), false},
        {16, BYTES("\xff\xff"), true},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct span copy = exact_copy(rows[i].bits);
        assert_int_equal(peer_wire_bitfield_ok(copy, rows[i].n_pieces), rows[i].ok);
        exact_free(copy);
    }
    assert_int_equal(peer_wire_bitfield_len(UINT32_MAX), 1u << 29);

    struct peer_wire_msg msg;
    struct span spare = SPAN("\0\0\0\3\x05\xff\xf0");
    assert_int_equal(decode(&msg, spare, &limits), ERR_MALFORMED);
    assert_int_equal(decode(&msg, spare, &no_metadata), spare.n);
    assert_false(peer_wire_bitfield_ok(msg.payload, 11));
}

static void test_extended_written_in_place(void **state)
{
    (void)state;
    uint8_t bytes[16];
    struct wr w = wr_over(bytes, sizeof bytes);
    wr_u8(&w, 0xee); /* not the first in its buffer */
    size_t at = peer_wire_extended_begin(&w, 3);
    wr_bytes(&w, SPAN("abc"));
    peer_wire_extended_end(&w, at);
    assert_true(span_eq(wr_span(&w), SPAN("\xee\0\0\0\5\x14\3"
                                          "abc")));
    for (size_t room = 0; room < 9; room++) {
        memset(bytes, 0xee, sizeof bytes);
        w = wr_over(bytes, room);
        at = peer_wire_extended_begin(&w, 3);
        wr_bytes(&w, SPAN("abc"));
        peer_wire_extended_end(&w, at);
        assert_true(w.bad);
        assert_int_equal(bytes[room], 0xee);
    }
}

static void test_requests(void **state)
{
    (void)state;
    static const struct wire_geometry g = {.n_pieces = 3, .piece_len = 40000, .last_piece_len = 7};
    static const struct wire_geometry none = {0};
    static const struct {
        struct wire_block block;
        uint32_t block_max;
        bool ok;
    } rows[] = {
        {{0, 0, 16384}, WIRE_BLOCK_LEN, true},
        {{0, 0, 16385}, WIRE_BLOCK_LEN, false},
        {{0, 0, 16385}, WIRE_BLOCK_LEN_MAX, true},
        {{0, 0, 40000}, WIRE_BLOCK_LEN_MAX, true},
        {{0, 0, 40001}, WIRE_BLOCK_LEN_MAX, false},
        {{0, 0, 0}, WIRE_BLOCK_LEN, false},
        {{0, 1, 16384}, WIRE_BLOCK_LEN, true},
        {{1, 40000 - 16384, 16384}, WIRE_BLOCK_LEN, true},
        {{1, 40001 - 16384, 16384}, WIRE_BLOCK_LEN, false},
        {{1, 39999, 1}, WIRE_BLOCK_LEN, true},
        {{1, 40000, 1}, WIRE_BLOCK_LEN, false},
        {{1, 40000, 0}, WIRE_BLOCK_LEN, false},
        {{2, 0, 7}, WIRE_BLOCK_LEN, true},
        {{2, 0, 8}, WIRE_BLOCK_LEN, false},
        {{2, 6, 1}, WIRE_BLOCK_LEN, true},
        {{2, 7, 1}, WIRE_BLOCK_LEN, false},
        {{3, 0, 1}, WIRE_BLOCK_LEN, false},
        {{UINT32_MAX, 0, 1}, WIRE_BLOCK_LEN, false},
        {{0, UINT32_MAX, 1}, WIRE_BLOCK_LEN, false},
        {{0, UINT32_MAX, 2}, WIRE_BLOCK_LEN, false}, /* begin + len would wrap */
        {{0, UINT32_MAX - 16383, 16384}, WIRE_BLOCK_LEN, false},
        {{0, 0, UINT32_MAX}, UINT32_MAX, false},
        {{0, UINT32_MAX, UINT32_MAX}, UINT32_MAX, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(peer_wire_request_ok(&g, &rows[i].block, rows[i].block_max), rows[i].ok);
        assert_false(peer_wire_request_ok(&none, &rows[i].block, rows[i].block_max));
    }
    assert_int_equal(peer_wire_piece_len(&g, 0), 40000);
    assert_int_equal(peer_wire_piece_len(&g, 1), 40000);
    assert_int_equal(peer_wire_piece_len(&g, 2), 7);
    assert_int_equal(peer_wire_piece_len(&g, 3), 0);
    assert_int_equal(peer_wire_piece_len(&none, 0), 0);
}

static struct addr addr(const char *text)
{
    struct addr a;
    assert_true(addr_parse(&a, span_str(text)));
    return a;
}

static void test_allowed_fast(void **state)
{
    (void)state;
    /* The vector of BEP 6. */
    static const uint32_t expected[] = {1059, 431, 808, 1217, 287, 376, 1188, 353, 508};
    struct infohash hash;
    struct addr peer = addr("80.4.4.200");
    struct addr neighbour = addr("80.4.4.1");
    struct addr other = addr("80.4.5.200");
    uint32_t out[9];
    memset(hash.b, 0xaa, sizeof hash.b);
    for (size_t k = 0; k <= COUNT(expected); k++) {
        memset(out, 0xff, sizeof out);
        assert_int_equal(peer_wire_allowed_fast(out, k, 1313, &hash, &peer), k);
        assert_memory_equal(out, expected, k * sizeof *out);
    }
    assert_int_equal(peer_wire_allowed_fast(out, 9, 1313, &hash, &neighbour), 9);
    assert_memory_equal(out, expected, sizeof out);
    assert_int_equal(peer_wire_allowed_fast(out, 9, 1313, &hash, &other), 9);
    assert_memory_not_equal(out, expected, sizeof out);
}

static void test_allowed_fast_of_ipv6(void **state)
{
    (void)state;
    /* SHA-1 of the address and the hash, taken apart by hand. */
    struct infohash hash;
    struct addr peer = addr("2001:db8::1");
    struct addr neighbour = addr("2001:db8::2");
    uint8_t x[36];
    uint32_t expected[5];
    uint32_t out[5];
    memset(hash.b, 0xaa, sizeof hash.b);
    memcpy(x, peer.b, 16);
    memcpy(x + 16, hash.b, 20);
    digest_sha1(x, span_of(x, sizeof x));
    struct rd r = rd_over(span_of(x, 20));
    for (size_t i = 0; i < COUNT(expected); i++) {
        expected[i] = rd_u32(&r) % 1000003;
    }
    assert_int_equal(peer_wire_allowed_fast(out, 5, 1000003, &hash, &peer), 5);
    assert_memory_equal(out, expected, sizeof out);
    assert_int_equal(peer_wire_allowed_fast(out, 5, 1000003, &hash, &neighbour), 5);
    assert_memory_not_equal(out, expected, sizeof out);
}

static void test_allowed_fast_of_small_torrents(void **state)
{
    (void)state;
    struct infohash hash = {{0}};
    struct addr peer = addr("192.0.2.1");
    for (uint32_t n_pieces = 0; n_pieces <= 12; n_pieces++) {
        uint32_t out[10];
        unsigned seen = 0;
        size_t n = peer_wire_allowed_fast(out, 10, n_pieces, &hash, &peer);
        assert_int_equal(n, n_pieces < 10 ? n_pieces : 10);
        for (size_t i = 0; i < n; i++) {
            assert_true(out[i] < n_pieces);
            assert_int_equal(seen & 1u << out[i], 0);
            seen |= 1u << out[i];
        }
    }
}

/* ---- bytes of real clients */

enum { MESSAGES_MAX = 16 };

/* The kinds of all messages of a stream; blocks are skipped. */
static size_t kinds_of(enum wire_type kinds[static MESSAGES_MAX], struct span in)
{
    struct peer_wire_limits lim = limits;
    static const struct wire_geometry g = {4, 65536, 65536};
    size_t n_kinds = 0;
    lim.n_pieces = g.n_pieces;
    while (in.n > 0) {
        struct peer_wire_msg msg;
        const char *why = NULL;
        ssize_t n = peer_wire_decode(&msg, in, &lim, &why);
        assert_true(n > 0 && n_kinds < MESSAGES_MAX);
        kinds[n_kinds++] = msg.type;
        in = span_sub(in, (size_t)n, in.n);
        if (msg.type == WIRE_PIECE) {
            assert_int_equal(msg.block.len, 1000);
            in = span_sub(in, msg.block.len, in.n);
        }
        if (msg.type == WIRE_PIECE || msg.type == WIRE_REQUEST) {
            assert_true(peer_wire_request_ok(&g, &msg.block, WIRE_BLOCK_LEN));
        }
    }
    return n_kinds;
}

static void test_real_clients(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        const char *peer_id_prefix;
        unsigned features;
        size_t n;
        enum wire_type kinds[MESSAGES_MAX];
    } rows[] = {
        {"peer_leecher_aria2.bin",
         "A2-1-36-0-",
         WIRE_FAST | WIRE_EXTENDED,
         14,
         {WIRE_EXTENDED_MSG, WIRE_HAVE_NONE, WIRE_ALLOWED_FAST, WIRE_ALLOWED_FAST,
          WIRE_ALLOWED_FAST, WIRE_ALLOWED_FAST, WIRE_EXTENDED_MSG, WIRE_INTERESTED, WIRE_REQUEST,
          WIRE_REQUEST, WIRE_REQUEST, WIRE_REQUEST, WIRE_REQUEST, WIRE_REQUEST}},
        {"peer_leecher_libtorrent.bin",
         "-LT2080-",
         WIRE_DHT | WIRE_FAST | WIRE_EXTENDED,
         7,
         {WIRE_EXTENDED_MSG, WIRE_HAVE_NONE, WIRE_INTERESTED, WIRE_REQUEST, WIRE_REQUEST,
          WIRE_REQUEST, WIRE_REQUEST}},
        {"peer_seeder_libtorrent.bin",
         "-LT2080-",
         WIRE_DHT | WIRE_FAST | WIRE_EXTENDED,
         10,
         {WIRE_EXTENDED_MSG, WIRE_HAVE_ALL, WIRE_UNCHOKE, WIRE_ALLOWED_FAST, WIRE_ALLOWED_FAST,
          WIRE_ALLOWED_FAST, WIRE_ALLOWED_FAST, WIRE_UNCHOKE, WIRE_EXTENDED_MSG, WIRE_PIECE}},
        {"peer_seeder_transmission.bin",
         "-TR3000-",
         WIRE_FAST | WIRE_EXTENDED,
         4,
         {WIRE_EXTENDED_MSG, WIRE_HAVE_ALL, WIRE_EXTENDED_MSG, WIRE_UNCHOKE}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        enum wire_type kinds[MESSAGES_MAX];
        struct peer_wire_handshake h;
        struct span in = wire_file(rows[i].file);
        assert_int_equal(decode_handshake(&h, in), WIRE_HANDSHAKE_LEN);
        assert_int_equal(h.features, rows[i].features);
        assert_memory_equal(h.info_hash.b, "\xc3\xf0\x14\xf5\x2e\xcb\x23\xdc", 8);
        assert_memory_equal(h.peer_id.b, rows[i].peer_id_prefix, strlen(rows[i].peer_id_prefix));
        assert_int_equal(kinds_of(kinds, span_sub(in, WIRE_HANDSHAKE_LEN, in.n)), rows[i].n);
        assert_memory_equal(kinds, rows[i].kinds, rows[i].n * sizeof *kinds);
        exact_free(in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake),
        cmocka_unit_test(test_handshake_truncations),
        cmocka_unit_test(test_handshake_is_refused_at_the_first_wrong_byte),
        cmocka_unit_test(test_each_reserved_bit),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_every_truncation_needs_more),
        cmocka_unit_test(test_lengths_of_fixed_messages),
        cmocka_unit_test(test_lengths_of_other_messages),
        cmocka_unit_test(test_bitfields),
        cmocka_unit_test(test_extended_written_in_place),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_allowed_fast),
        cmocka_unit_test(test_allowed_fast_of_ipv6),
        cmocka_unit_test(test_allowed_fast_of_small_torrents),
        cmocka_unit_test(test_real_clients),
    };
    return digest_start() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
