#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "proto/compact.h"
#include "proto/ext.h"
#include "proto/peer_wire.h"

#include "unit/proto/wire.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { METADATA_MAX = 100000 };

/* ---- handshake */

/* out->version then points into in. */
static ssize_t decode_handshake(struct ext_handshake *out, struct span in)
{
    const char *why = NULL;
    struct span copy = exact_copy(in);
    memset(out, 0xa5, sizeof *out);
    ssize_t n = ext_handshake_decode(out, copy, METADATA_MAX, &why);
    assert_true((n > 0) == (why == NULL));
    if (n > 0 && out->version.n > 0) {
        out->version.p = in.p + (out->version.p - copy.p);
    }
    exact_free(copy);
    return n;
}

static const char full[] = "d4:ipv44:\xc0\0\2\1"
                           "4:ipv616:\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
                           "1:md11:lt_donthavei4e11:upload_onlyi3e11:ut_metadatai2e6:ut_pexi255ee"
                           "13:metadata_sizei31235e1:pi6881e4:reqqi500e11:upload_onlyi1e"
                           "1:v12:Rookery 0.1\n6:yourip4:\xcb\0\x71\7e";

static void test_handshake(void **state)
{
    (void)state;
    struct ext_handshake h;
    struct span all = span_of(full, sizeof full - 1);
    uint8_t bytes[sizeof full];
    assert_int_equal(decode_handshake(&h, all), all.n);
    assert_int_equal(h.id[EXT_LT_DONTHAVE], 4);
    assert_int_equal(h.id[EXT_UPLOAD_ONLY], 3);
    assert_int_equal(h.id[EXT_UT_METADATA], 2);
    assert_int_equal(h.id[EXT_UT_PEX], 255);
    assert_span(h.version, "Rookery 0.1\n");
    assert_int_equal(h.port, 6881);
    assert_true(h.has_yourip && h.has_ipv4 && h.has_ipv6);
    assert_memory_equal(h.yourip.b, "\xcb\0\x71\7", 4);
    assert_memory_equal(h.ipv4.b, "\xc0\0\2\1", 4);
    assert_memory_equal(h.ipv6.b, "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    assert_false(h.yourip.v6 || h.ipv4.v6 || !h.ipv6.v6);
    assert_int_equal(h.reqq, 500);
    assert_int_equal(h.metadata_size, 31235);
    assert_false(h.metadata_too_big);
    assert_int_equal(h.upload_only, 1);

    struct wr w = wr_over(bytes, sizeof bytes);
    ext_handshake_encode(&w, &h);
    assert_true(!w.bad && span_eq(wr_span(&w), all));
    for (size_t n = 0; n < all.n; n++) {
        assert_int_equal(decode_handshake(&h, span_sub(all, 0, n)), ERR_MALFORMED);
    }
}

static void test_handshake_without_anything(void **state)
{
    (void)state;
    struct ext_handshake h, init;
    uint8_t bytes[16];
    struct wr w = wr_over(bytes, sizeof bytes);
    ext_handshake_init(&init);
    assert_int_equal(decode_handshake(&h, SPAN("de")), 2);
    for (size_t i = 0; i < EXT_N_NAMES; i++) {
        assert_int_equal(h.id[i], EXT_ABSENT);
        assert_int_equal(init.id[i], EXT_ABSENT);
    }
    assert_int_equal(h.upload_only, EXT_ABSENT);
    assert_int_equal(init.upload_only, EXT_ABSENT);
    assert_int_equal(h.version.n, 0);
    assert_false(h.port || h.has_yourip || h.has_ipv4 || h.has_ipv6 || h.reqq || h.metadata_size);
    ext_handshake_encode(&w, &init);
    assert_span(wr_span(&w), "d1:mdee");
}

static void test_handshake_that_is_none(void **state)
{
    (void)state;
    static const char *const rows[] = {"", "i1e", "le", "4:spam", "d1:m", "d1:mi1e", "x", "d1:me"};
    struct ext_handshake h;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(decode_handshake(&h, span_str(rows[i])), ERR_MALFORMED);
    }
    uint8_t deep[40];
    memset(deep, 'l', sizeof deep);
    assert_int_equal(decode_handshake(&h, span_of(deep, sizeof deep)), ERR_LIMIT);
}

/* A dictionary of one integer, at 0, its maximum, one more, and what is no number. */
static void test_numbers_of_the_handshake(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int upload_only;
        int64_t port, reqq, size, pex;
        bool too_big;
    } rows[] = {
        {"d1:pi0ee", -1, 0, 0, 0, -1, false},
        {"d1:pi1ee", -1, 1, 0, 0, -1, false},
        {"d1:pi65535ee", -1, 65535, 0, 0, -1, false},
        {"d1:pi65536ee", -1, 0, 0, 0, -1, false},
        {"d1:pi-1ee", -1, 0, 0, 0, -1, false},
        {"d1:p4:6881e", -1, 0, 0, 0, -1, false},
        {"d4:reqqi4294967295ee", -1, 0, 4294967295, 0, -1, false},
        {"d4:reqqi4294967296ee", -1, 0, 0, 0, -1, false},
        {"d4:reqqi99999999999999999999ee", -1, 0, 0, 0, -1, false},
        {"d13:metadata_sizei0ee", -1, 0, 0, 0, -1, false},
        {"d13:metadata_sizei-1ee", -1, 0, 0, 0, -1, false},
        {"d13:metadata_sizei1ee", -1, 0, 0, 1, -1, false},
        {"d13:metadata_sizei100000ee", -1, 0, 0, 100000, -1, false},
        {"d13:metadata_sizei100001ee", -1, 0, 0, 0, -1, true},
        {"d13:metadata_sizei9223372036854775807ee", -1, 0, 0, 0, -1, true},
        {"d11:upload_onlyi0ee", 0, 0, 0, 0, -1, false},
        {"d11:upload_onlyi1ee", 1, 0, 0, 0, -1, false},
        {"d11:upload_onlyi256ee", 1, 0, 0, 0, -1, false},
        {"d11:upload_onlyi-1ee", -1, 0, 0, 0, -1, false},
        {"d1:md6:ut_pexi0eee", -1, 0, 0, 0, 0, false},
        {"d1:md6:ut_pexi1eee", -1, 0, 0, 0, 1, false},
        {"d1:md6:ut_pexi255eee", -1, 0, 0, 0, 255, false},
        {"d1:md6:ut_pexi256eee", -1, 0, 0, 0, -1, false},
        {"d1:md6:ut_pexi-1eee", -1, 0, 0, 0, -1, false},
        {"d1:md6:ut_pex1:1ee", -1, 0, 0, 0, -1, false},
        {"d1:mle1:pi5ee", -1, 5, 0, 0, -1, false},
        {"d1:pi5e1:md6:ut_pexi7eee", -1, 5, 0, 0, 7, false}, /* not sorted */
        {"d1:pi5e1:pi6eetrailing", -1, 5, 0, 0, -1, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ext_handshake h;
        assert_true(decode_handshake(&h, span_str(rows[i].text)) > 0);
        if (h.port != rows[i].port || h.reqq != rows[i].reqq || h.metadata_size != rows[i].size ||
            h.id[EXT_UT_PEX] != rows[i].pex || h.upload_only != rows[i].upload_only ||
            h.metadata_too_big != rows[i].too_big) {
            fail_msg("%s", rows[i].text);
        }
    }
}

static void test_addresses_of_the_handshake(void **state)
{
    (void)state;
    struct ext_handshake h;
    assert_true(decode_handshake(&h, SPAN("d6:yourip3:abce")) > 0);
    assert_false(h.has_yourip);
    assert_true(decode_handshake(&h, SPAN("d6:yourip5:abcdee")) > 0);
    assert_false(h.has_yourip);
    assert_true(decode_handshake(&h, SPAN("d6:yourip17:abcdefghijklmnopqe")) > 0);
    assert_false(h.has_yourip);
    assert_true(decode_handshake(&h, SPAN("d6:youripi4ee")) > 0);
    assert_false(h.has_yourip);
    assert_true(decode_handshake(&h, SPAN("d6:yourip16:abcdefghijklmnope")) > 0);
    assert_true(h.has_yourip && h.yourip.v6);
    /* Each in the place of the other. */
    assert_true(decode_handshake(&h, SPAN("d4:ipv416:abcdefghijklmnop4:ipv64:abcde")) > 0);
    assert_false(h.has_ipv4 || h.has_ipv6);
    /* An IPv4-mapped address is one of IPv4. */
    struct span mapped = SPAN("d4:ipv616:\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1"
                              "6:yourip16:\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1e");
    assert_true(decode_handshake(&h, mapped) > 0);
    assert_false(h.has_ipv6);
    assert_true(h.has_yourip && !h.yourip.v6);
    assert_memory_equal(h.yourip.b, "\xc0\0\2\1", 4);
}

static void test_version_text(void **state)
{
    (void)state;
    struct ext_handshake h;
    uint8_t bytes[EXT_VERSION_MAX + 16];
    /* The example of BEP 10, as it is meant. */
    assert_true(decode_handshake(&h, SPAN("d1:md11:LT_metadatai1e6:ut_pexi2ee1:pi6881e1:v13:"
                                          "\xc2\xb5Torrent 1.2e")) > 0);
    assert_span(h.version, "\xc2\xb5Torrent 1.2");
    assert_int_equal(h.id[EXT_UT_PEX], 2);
    assert_true(decode_handshake(&h, SPAN("d1:v3:a\xc2"
                                          "be")) > 0);
    assert_int_equal(h.version.n, 0);
    for (size_t n = EXT_VERSION_MAX - 2; n <= EXT_VERSION_MAX + 2; n++) {
        /* n bytes, the last three of them one character. */
        struct wr w = wr_over(bytes, sizeof bytes);
        wr_bytes(&w, SPAN("d1:v"));
        wr_dec(&w, n);
        wr_u8(&w, ':');
        memset(wr_reserve(&w, n - 3), 'a', n - 3);
        wr_bytes(&w, SPAN("\xe2\x82\xac"
                          "e"));
        assert_false(w.bad);
        assert_true(decode_handshake(&h, wr_span(&w)) > 0);
        assert_int_equal(h.version.n, n <= EXT_VERSION_MAX ? n : n - 3);
    }
}

/* ---- ut_metadata */

static ssize_t decode_metadata(struct ext_metadata *out, struct span in)
{
    const char *why = NULL;
    struct span copy = exact_copy(in);
    memset(out, 0xa5, sizeof *out);
    ssize_t n = ext_metadata_decode(out, copy, METADATA_MAX, &why);
    assert_true((n > 0) == (why == NULL));
    if (n > 0 && out->data.n > 0) {
        out->data.p = in.p + (out->data.p - copy.p);
    }
    exact_free(copy);
    return n;
}

static void test_metadata_vectors(void **state)
{
    (void)state;
    /* BEP 9; its reject has the wrong number in the encoded form. */
    static const struct {
        const char *text;
        struct ext_metadata m;
    } rows[] = {
        {"d8:msg_typei0e5:piecei0ee", {EXT_METADATA_REQUEST, 0, 0, {NULL, 0}}},
        {"d8:msg_typei2e5:piecei3ee", {EXT_METADATA_REJECT, 3, 0, {NULL, 0}}},
        {"d8:msg_typei0e5:piecei4294967295ee", {EXT_METADATA_REQUEST, UINT32_MAX, 0, {NULL, 0}}},
        {"d8:msg_typei1e5:piecei0e10:total_sizei8eexxxxxxxx",
         {EXT_METADATA_DATA, 0, 8, {(const uint8_t *)"xxxxxxxx", 8}}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ext_metadata m;
        struct span text = span_str(rows[i].text);
        uint8_t bytes[64];
        struct wr w = wr_over(bytes, sizeof bytes);
        assert_int_equal(decode_metadata(&m, text), text.n);
        assert_int_equal(m.type, rows[i].m.type);
        assert_int_equal(m.piece, rows[i].m.piece);
        assert_int_equal(m.total_size, rows[i].m.total_size);
        assert_true(span_eq(m.data, rows[i].m.data));
        ext_metadata_encode(&w, &m);
        assert_true(!w.bad && span_eq(wr_span(&w), text));
        for (size_t n = 0; n < text.n; n++) {
            assert_int_equal(decode_metadata(&m, span_sub(text, 0, n)), ERR_MALFORMED);
        }
    }
}

static void test_metadata_messages(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        ssize_t n;
        enum ext_metadata_type type;
    } rows[] = {
        {"de", ERR_MALFORMED, 0},
        {"le", ERR_MALFORMED, 0},
        {"d8:msg_typei0ee", ERR_MALFORMED, 0},
        {"d5:piecei0ee", ERR_MALFORMED, 0},
        {"d8:msg_type1:05:piecei0ee", ERR_MALFORMED, 0},
        {"d8:msg_typei-1e5:piecei0ee", ERR_MALFORMED, 0},
        {"d8:msg_typei0e5:piecei-1ee", ERR_MALFORMED, 0},
        {"d8:msg_typei0e5:piecei4294967296ee", ERR_MALFORMED, 0},
        {"d8:msg_typei1e5:piecei0ee", ERR_MALFORMED, 0},
        {"d8:msg_typei1e5:piecei0e10:total_sizei0ee", ERR_MALFORMED, 0},
        {"d8:msg_typei1e5:piecei0e10:total_sizei-1eex", ERR_MALFORMED, 0},
        {"d8:msg_typei1e5:piecei0e10:total_sizei2eex", ERR_MALFORMED, 0},
        {"d8:msg_typei1e5:piecei0e10:total_sizei1eexx", ERR_MALFORMED, 0},
        {"d8:msg_typei1e5:piecei1e10:total_sizei1eex", ERR_MALFORMED, 0},
        {"d8:msg_typei1e5:piecei1e10:total_sizei16384ee", ERR_MALFORMED, 0},
        {"d8:msg_typei1e5:piecei0e10:total_sizei100001eex", ERR_LIMIT, 0},
        {"d8:msg_typei1e5:piecei0e10:total_sizei4294967295eex", ERR_LIMIT, 0},
        {"d8:msg_typei1e5:piecei0e10:total_sizei4294967296eex", ERR_MALFORMED, 0},
        {"d8:msg_typei1e5:piecei1e10:total_sizei16385eex", 46, EXT_METADATA_DATA},
        {"d8:msg_typei1e5:piecei6e10:total_sizei98305eex", 46, EXT_METADATA_DATA},
        {"d5:piecei0e8:msg_typei0ee", 25, EXT_METADATA_REQUEST},
        {"d8:msg_typei0e5:piecei0eetrailing", 25, EXT_METADATA_REQUEST},
        {"d8:msg_typei3ee", 15, EXT_METADATA_UNKNOWN},
        {"d8:msg_typei4294967295ee", 24, EXT_METADATA_UNKNOWN},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ext_metadata m;
        ssize_t n = decode_metadata(&m, span_str(rows[i].text));
        if (n != rows[i].n || (n > 0 && m.type != rows[i].type)) {
            fail_msg("%s: %zd", rows[i].text, n);
        }
    }
}

static void test_metadata_up_to_the_limit(void **state)
{
    (void)state;
    static uint8_t bytes[EXT_METADATA_PIECE_LEN];
    static uint8_t out[sizeof bytes + 64];
    for (uint32_t size = METADATA_MAX - 1; size <= METADATA_MAX + 1; size++) {
        for (uint32_t piece = 0; piece < ext_metadata_n_pieces(size); piece++) {
            struct span data = span_of(bytes, ext_metadata_piece_len(size, piece));
            struct ext_metadata m = {EXT_METADATA_DATA, piece, size, data};
            struct wr w = wr_over(out, sizeof out);
            ext_metadata_encode(&w, &m);
            ssize_t expected = size > METADATA_MAX ? ERR_LIMIT : (ssize_t)wr_len(&w);
            assert_false(w.bad);
            assert_int_equal(decode_metadata(&m, wr_span(&w)), expected);
        }
    }
}

static void test_metadata_pieces(void **state)
{
    (void)state;
    static const struct {
        uint32_t size, n_pieces, last_len;
    } rows[] = {
        {1, 1, 1},         {16383, 1, 16383}, {16384, 1, 16384}, {16385, 2, 1},
        {32768, 2, 16384}, {32769, 3, 1},     {100000, 7, 1696}, {UINT32_MAX, 262144, 16383},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint32_t n = rows[i].n_pieces;
        assert_int_equal(ext_metadata_n_pieces(rows[i].size), n);
        assert_int_equal(ext_metadata_piece_len(rows[i].size, n - 1), rows[i].last_len);
        assert_int_equal(ext_metadata_piece_len(rows[i].size, n), 0);
        assert_int_equal(ext_metadata_piece_len(rows[i].size, UINT32_MAX), 0);
        assert_true(n == 1 || ext_metadata_piece_len(rows[i].size, 0) == EXT_METADATA_PIECE_LEN);
    }
    assert_int_equal(ext_metadata_n_pieces(0), 0);
    assert_int_equal(ext_metadata_piece_len(0, 0), 0);
}

/* ---- ut_pex */

#define PEER4 "\xc0\0\2\1\x1a\xe1"
#define PEER6 "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x1a\xe2"

static ssize_t decode_pex(struct ext_pex *out, struct span in)
{
    const char *why = NULL;
    memset(out, 0xa5, sizeof *out);
    ssize_t n = ext_pex_decode(out, in, &why);
    assert_true((n > 0) == (why == NULL));
    return n;
}

static void test_pex(void **state)
{
    (void)state;
    struct span all = SPAN("d5:added12:" PEER4 PEER4 "7:added.f2:\x10\x02"
                           "6:added618:" PEER6 "8:added6.f1:\x04"
                           "7:dropped6:" PEER4 "8:dropped636:" PEER6 PEER6 "e");
    struct ext_pex pex;
    uint8_t bytes[256];
    struct wr w = wr_over(bytes, sizeof bytes);
    assert_int_equal(decode_pex(&pex, all), all.n);
    assert_true(span_eq(pex.added, SPAN(PEER4 PEER4)));
    assert_true(span_eq(pex.added_flags, SPAN("\x10\x02")));
    assert_true(span_eq(pex.added6, SPAN(PEER6)));
    assert_true(span_eq(pex.added6_flags, SPAN("\x04")));
    assert_true(span_eq(pex.dropped, SPAN(PEER4)));
    assert_true(span_eq(pex.dropped6, SPAN(PEER6 PEER6)));
    assert_int_equal(ext_pex_flags(pex.added_flags, 0), EXT_PEX_REACHABLE);
    assert_int_equal(ext_pex_flags(pex.added_flags, 1), EXT_PEX_SEED);
    assert_int_equal(ext_pex_flags(pex.added_flags, 2), 0);
    assert_int_equal(ext_pex_flags(pex.added6_flags, 0), EXT_PEX_UTP);
    ext_pex_encode(&w, &pex);
    assert_true(!w.bad && span_eq(wr_span(&w), all));
    for (size_t n = 0; n < all.n; n++) {
        struct span part = exact_copy(span_sub(all, 0, n));
        assert_int_equal(decode_pex(&pex, part), ERR_MALFORMED);
        exact_free(part);
    }
}

static void test_pex_that_is_odd(void **state)
{
    (void)state;
    struct ext_pex pex;
    uint8_t bytes[16];
    struct wr w = wr_over(bytes, sizeof bytes);
    assert_int_equal(decode_pex(&pex, SPAN("de")), 2);
    assert_int_equal(pex.added.n + pex.added6.n + pex.dropped.n + pex.dropped6.n, 0);
    ext_pex_encode(&w, &pex);
    assert_span(wr_span(&w), "d5:added0:e");
    /* A peer cut short, flags for peers that are not there, a list that is none. */
    assert_true(
        decode_pex(&pex, SPAN("d5:added7:" PEER4 "x7:added.f3:abc6:added617:aaaaaaaaaaaaaaaaa"
                              "7:droppedi1e8:dropped6lee")) > 0);
    assert_true(span_eq(pex.added, SPAN(PEER4)));
    assert_true(span_eq(pex.added_flags, SPAN("a")));
    assert_int_equal(pex.added6.n + pex.dropped.n + pex.dropped6.n, 0);
    assert_int_equal(decode_pex(&pex, SPAN("i1e")), ERR_MALFORMED);
}

static void test_pex_is_cut(void **state)
{
    (void)state;
    static uint8_t peers[(EXT_PEX_PEERS_MAX + 1) * 18];
    static uint8_t bytes[4 * sizeof peers];
    for (size_t n = EXT_PEX_PEERS_MAX - 1; n <= EXT_PEX_PEERS_MAX + 1; n++) {
        size_t kept = n < EXT_PEX_PEERS_MAX ? n : EXT_PEX_PEERS_MAX;
        struct ext_pex pex = {
            .added = span_of(peers, 6 * n),
            .added_flags = span_of(peers, n),
            .added6 = span_of(peers, 18 * n),
            .added6_flags = span_of(peers, n),
            .dropped = span_of(peers, 6 * n),
            .dropped6 = span_of(peers, 18 * n),
        };
        struct wr w = wr_over(bytes, sizeof bytes);
        ext_pex_encode(&w, &pex);
        assert_int_equal(decode_pex(&pex, wr_span(&w)), wr_len(&w));
        assert_int_equal(pex.added.n, 6 * kept);
        assert_int_equal(pex.added_flags.n, kept);
        assert_int_equal(pex.added6.n, 18 * kept);
        assert_int_equal(pex.added6_flags.n, kept);
        assert_int_equal(pex.dropped.n, 6 * kept);
        assert_int_equal(pex.dropped6.n, 18 * kept);
    }
}

/* ---- the small ones */

static void test_donthave(void **state)
{
    (void)state;
    const char *why = NULL;
    uint32_t piece;
    uint8_t bytes[5] = {0};
    struct wr w = wr_over(bytes, sizeof bytes);
    ext_donthave_encode(&w, 0x01020304);
    assert_true(span_eq(wr_span(&w), SPAN("\1\2\3\4")));
    for (size_t n = 0; n <= sizeof bytes; n++) {
        struct span copy = exact_copy(span_of(bytes, n));
        assert_int_equal(ext_donthave_decode(&piece, copy, &why), n == 4 ? 4 : ERR_MALFORMED);
        assert_true(n != 4 || piece == 0x01020304);
        exact_free(copy);
    }
}

static void test_upload_only(void **state)
{
    (void)state;
    const char *why = NULL;
    bool on;
    uint8_t bytes[5] = {0};
    for (int v = 0; v <= 1; v++) {
        struct wr w = wr_over(bytes, sizeof bytes);
        ext_upload_only_encode(&w, v == 1);
        assert_int_equal(ext_upload_only_decode(&on, wr_span(&w), &why), 1);
        assert_int_equal(on, v);
    }
    assert_int_equal(ext_upload_only_decode(&on, SPAN("\0\0\0\1"), &why), 4);
    assert_true(on);
    assert_int_equal(ext_upload_only_decode(&on, SPAN("\0\0\0\0"), &why), 4);
    assert_false(on);
    assert_null(why);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        struct span copy = exact_copy(span_of(bytes, n));
        ssize_t expected = n == 1 || n == 4 ? (ssize_t)n : ERR_MALFORMED;
        assert_int_equal(ext_upload_only_decode(&on, copy, &why), expected);
        exact_free(copy);
    }
}

/* ---- bytes of real clients */

/* The payload of the first message of that extended id in a stream of peer_wire.h. */
static struct span extended_payload(struct span stream, uint8_t extended_id)
{
    static const struct peer_wire_limits lim = {4, 0, WIRE_BLOCK_LEN, 1000, 0};
    struct span in = span_sub(stream, WIRE_HANDSHAKE_LEN, stream.n);
    for (;;) {
        struct peer_wire_msg msg;
        const char *why;
        ssize_t n = peer_wire_decode(&msg, in, &lim, &why);
        assert_true(n > 0);
        if (msg.type == WIRE_EXTENDED_MSG && msg.extended_id == extended_id) {
            return msg.payload;
        }
        in = span_sub(in, (size_t)n + (msg.type == WIRE_PIECE ? msg.block.len : 0), in.n);
    }
}

static void test_real_handshakes(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        int16_t id[EXT_N_NAMES]; /* ut_metadata, ut_pex, lt_donthave, upload_only */
        const char *version;
        uint16_t port;
        uint32_t reqq;
        int8_t upload_only;
        bool yourip;
    } rows[] = {
        {"peer_leecher_aria2.bin", {9, 8, -1, -1}, "aria2/1.36.0", 16881, 0, -1, false},
        {"peer_leecher_libtorrent.bin", {2, 1, 7, 3}, "libtorrent/2.0.8.0", 16964, 2000, -1, true},
        {"peer_seeder_libtorrent.bin", {2, 1, 7, 3}, "libtorrent/2.0.8.0", 0, 2000, 1, true},
        {"peer_seeder_transmission.bin", {3, 1, -1, -1}, "Transmission 3.00", 15417, 512, 1, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ext_handshake h;
        struct span stream = wire_file(rows[i].file);
        struct span in = extended_payload(stream, EXT_HANDSHAKE_ID);
        assert_int_equal(decode_handshake(&h, in), in.n);
        assert_memory_equal(h.id, rows[i].id, sizeof h.id);
        assert_span(h.version, rows[i].version);
        assert_int_equal(h.port, rows[i].port);
        assert_int_equal(h.reqq, rows[i].reqq);
        assert_int_equal(h.upload_only, rows[i].upload_only);
        assert_int_equal(h.metadata_size, 147);
        assert_int_equal(h.has_yourip, rows[i].yourip);
        exact_free(stream);
    }
}

static void test_real_messages(void **state)
{
    (void)state;
    struct ext_metadata m;
    struct ext_pex pex;
    struct endpoint e;
    struct span stream = wire_file("peer_seeder_libtorrent.bin");
    struct span in = extended_payload(stream, 1);
    assert_int_equal(decode_metadata(&m, in), in.n);
    assert_int_equal(m.type, EXT_METADATA_DATA);
    assert_int_equal(m.piece, 0);
    assert_int_equal(m.total_size, 147);
    assert_int_equal(m.data.n, 147);
    assert_memory_equal(m.data.p, "d6:lengthi262144e", 17);
    exact_free(stream);

    stream = wire_file("peer_seeder_transmission.bin");
    in = extended_payload(stream, 2);
    assert_int_equal(decode_pex(&pex, in), in.n);
    assert_true(compact_next(&pex.added, false, &e));
    assert_memory_equal(e.addr.b, "\x7f\0\0\x3e", 4);
    assert_int_equal(e.port, 6881);
    assert_int_equal(pex.added.n, 0);
    assert_int_equal(pex.added_flags.n, 1);
    exact_free(stream);

    stream = wire_file("peer_pex_libtorrent.bin");
    in = extended_payload(stream, 2);
    assert_int_equal(decode_pex(&pex, in), in.n);
    assert_int_equal(pex.added.n, 2 * COMPACT4_LEN);
    assert_int_equal(pex.added6.n + pex.dropped.n + pex.dropped6.n, 0);
    assert_int_equal(ext_pex_flags(pex.added_flags, 0), 0);
    assert_int_equal(ext_pex_flags(pex.added_flags, 1), EXT_PEX_HOLEPUNCH);
    exact_free(stream);

    stream = wire_file("peer_leecher_aria2.bin"); /* says nothing: "de" */
    in = extended_payload(stream, 2);
    assert_int_equal(decode_pex(&pex, in), 2);
    exact_free(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake),
        cmocka_unit_test(test_handshake_without_anything),
        cmocka_unit_test(test_handshake_that_is_none),
        cmocka_unit_test(test_numbers_of_the_handshake),
        cmocka_unit_test(test_addresses_of_the_handshake),
        cmocka_unit_test(test_version_text),
        cmocka_unit_test(test_metadata_vectors),
        cmocka_unit_test(test_metadata_messages),
        cmocka_unit_test(test_metadata_up_to_the_limit),
        cmocka_unit_test(test_metadata_pieces),
        cmocka_unit_test(test_pex),
        cmocka_unit_test(test_pex_that_is_odd),
        cmocka_unit_test(test_pex_is_cut),
        cmocka_unit_test(test_donthave),
        cmocka_unit_test(test_upload_only),
        cmocka_unit_test(test_real_handshakes),
        cmocka_unit_test(test_real_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
