/* What a peer must not do, and what may be odd all the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "client/metadata.h"

#include "unit/client/peer_fixture.h"

#include "base/banned.h"

enum { BOTH = WIRE_FAST | WIRE_EXTENDED };

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- lengths ---------------------------------------------------------------------------------- */

/* The first five bytes of a message that no peer sends are its last; none of its body is kept. */
static void test_impossible_lengths(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        int rc;
    } rows[] = {
        {"\0\0\0\2\0", ERR_MALFORMED},                                          /* choke */
        {"\0\0\0\4\4", ERR_MALFORMED},                                          /* have */
        {"\0\0\0\3\5", ERR_MALFORMED},                                          /* bitfield */
        {"\0\0\0\5\5", ERR_MALFORMED},         {"\0\0\0\x0c\6", ERR_MALFORMED}, /* request */
        {"\0\0\0\x0e\6", ERR_MALFORMED},       {"\0\0\0\x08\7", ERR_MALFORMED}, /* piece */
        {"\0\0\x40\x0a\7", ERR_LIMIT}, /* of a byte more than a block has */
        {"\0\2\0\3\x14", ERR_LIMIT},   /* extended */
        {"\0\1\0\2\x63", ERR_LIMIT},   /* unknown */
        {"\xff\xff\xff\xff\x63", ERR_LIMIT},   {"\xff\xff\xff\xff\7", ERR_LIMIT},
        {"\xff\xff\xff\xff\4", ERR_MALFORMED},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rig *r = rig_ready(BOTH, &rig_geometry);
        assert_int_equal(rig_feed(r, span_of(rows[i].head, 4)), 0);
        assert_int_equal(rig_feed(r, span_of(rows[i].head + 4, 1)), rows[i].rc);
        assert_true(r->p.input_cap <= 32);
        assert_int_equal(data_pool_used(r->pool), 0);
        rig_free(r);
    }
}

/* Memory follows the bytes that come, not the length that was announced. */
static void test_trickle(void **state)
{
    (void)state;
    struct rig *r = rig_ready(BOTH, &rig_geometry);
    assert_int_equal(rig_feed(r, SPAN("\0\2\0\2\x14")), 0); /* 128 KiB, extended */
    for (size_t i = 0; i < 500; i++) {
        assert_int_equal(rig_feed(r, SPAN("x")), 0);
    }
    assert_in_range(r->p.input_cap, 505, 1024);
    rig_free(r);
}

static void test_longest_messages(void **state)
{
    (void)state;
    struct rig *r = rig_ready(BOTH, &rig_geometry);
    uint8_t *zeros = mem_zeroed(PEER_EXTENDED_MAX);
    assert_int_equal(rig_feed(r, SPAN("\0\2\0\2\x14\x09")), 0); /* an extension that there is not */
    assert_int_equal(rig_feed(r, span_of(zeros, PEER_EXTENDED_MAX)), 0);
    assert_int_equal(rig_feed(r, SPAN("\0\1\0\1\x63")), 0);
    assert_int_equal(rig_feed(r, span_of(zeros, PEER_UNKNOWN_MAX)), 0);
    assert_int_equal(rig_feed_type(r, WIRE_UNCHOKE), 0);
    rig_events(r, "unchoke ");
    assert_null(r->p.input);
    free(zeros);
    rig_free(r);
}

/* ---- which pieces it has ---------------------------------------------------------------------- */

static int feed_bitfield(struct rig *r, struct span bits)
{
    return rig_feed_msg(r, &(struct peer_wire_msg){.type = WIRE_BITFIELD, .payload = bits});
}

static void test_bitfields(void **state)
{
    (void)state;
    static const struct {
        const char *bits;
        int rc;
        uint32_t n_have;
    } rows[] = {
        {"\0\0\0", 0, 0},
        {"\x80\0\0", 0, 1},
        {"\xff\xff\xe0", 0, 19},
        {"\xff\xff\xf0", 0, 20},
        {"\0\0\x08", ERR_MALFORMED, 0}, /* piece 20 */
        {"\0\0\x01", ERR_MALFORMED, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rig *r = rig_ready(0, &rig_geometry);
        assert_int_equal(feed_bitfield(r, span_of(rows[i].bits, 3)), rows[i].rc);
        rig_events(r, rows[i].rc == 0 ? "bitfield " : "");
        assert_int_equal(r->p.n_have, rows[i].n_have);
        assert_int_equal(r->p.seed, rows[i].n_have == RIG_PIECES);
        assert_int_equal(r->p.bitfield != NULL, rows[i].n_have > 0 && !r->p.seed);
        rig_free(r);
    }
}

static uint32_t n_said(enum wire_type kind)
{
    return kind == WIRE_HAVE_ALL   ? RIG_PIECES
           : kind == WIRE_BITFIELD ? 4
           : kind == WIRE_HAVE     ? 1
                                   : 0;
}

/* After the first word about its pieces a bitfield (or its like) is as good as haves: what is new is
 * told, nothing is taken back; the same when all that was said before the metadata was there. */
static void test_later_bitfields(void **state)
{
    (void)state;
    static const enum wire_type kinds[] = {WIRE_BITFIELD, WIRE_HAVE_ALL, WIRE_HAVE_NONE, WIRE_HAVE};
    for (size_t i = 0; i < 2 * COUNT(kinds) * COUNT(kinds); i++) {
        enum wire_type first = kinds[i / 2 % COUNT(kinds)];
        enum wire_type second = kinds[i / 2 / COUNT(kinds)];
        struct rig *r = rig_ready(BOTH, i % 2 == 0 ? &rig_geometry : NULL);
        struct peer_wire_msg m = {
            .type = first, .payload = SPAN("\1\2\x30"), .block = {.piece = 3}};
        assert_int_equal(rig_feed_type(r, WIRE_UNCHOKE), 0); /* no matter */
        assert_int_equal(rig_feed_msg(r, &m), 0);
        m.type = second;
        assert_int_equal(rig_feed_msg(r, &m), 0);
        if (i % 2 == 1) {
            assert_int_equal(peer_set_geometry(&r->p, &rig_geometry, &r->why), 0);
        }
        uint32_t n = n_said(first) + (first == second ? 0 : n_said(second));
        assert_int_equal(r->p.n_have, n > RIG_PIECES ? RIG_PIECES : n);
        assert_int_equal(r->p.seed, first == WIRE_HAVE_ALL || second == WIRE_HAVE_ALL);
        rig_free(r);
    }
}

/* As aria2 does it. */
static void test_bitfield_in_place_of_haves(void **state)
{
    (void)state;
    struct rig *r = rig_ready(BOTH, &rig_geometry);
    assert_int_equal(rig_feed_type(r, WIRE_HAVE_NONE), 0);
    assert_int_equal(rig_feed_block(r, WIRE_HAVE, 14, 0, 0), 0);
    assert_int_equal(feed_bitfield(r, SPAN("\1\2\x30")), 0);
    assert_int_equal(rig_feed_type(r, WIRE_INTERESTED), 0);
    rig_events(r, "bitfield have:14 have:7 have:18 have:19 interested ");
    assert_int_equal(feed_bitfield(r, SPAN("\x80\0\0")), 0);
    rig_events(r, "have:0 ");
    assert_true(peer_has(&r->p, 7) && r->p.n_have == 5);
    assert_null(r->p.later);
    assert_int_equal(feed_bitfield(r, SPAN("\0\0\x08")), ERR_MALFORMED);
    rig_free(r);

    r = rig_ready(BOTH, NULL);
    assert_int_equal(feed_bitfield(r, SPAN("\1\2\x30")), 0);
    assert_int_equal(feed_bitfield(r, SPAN("\1\2\x30\0")), ERR_MALFORMED);
    rig_free(r);
    r = rig_ready(BOTH, NULL);
    assert_int_equal(rig_feed_block(r, WIRE_HAVE, 24, 0, 0), 0);
    assert_int_equal(feed_bitfield(r, SPAN("\1\2\x30")), ERR_MALFORMED);
    rig_free(r);
}

/* Nothing of BEP 6 from who did not agree to it. */
static void test_fast_was_not_agreed(void **state)
{
    (void)state;
    static const enum wire_type kinds[] = {WIRE_SUGGEST, WIRE_HAVE_ALL, WIRE_HAVE_NONE, WIRE_REJECT,
                                           WIRE_ALLOWED_FAST};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct rig *r = rig_ready(WIRE_EXTENDED, &rig_geometry);
        assert_int_equal(rig_feed_block(r, kinds[i], 0, 0, WIRE_BLOCK_LEN), ERR_MALFORMED);
        rig_events(r, "");
        rig_free(r);
        r = rig_ready(WIRE_FAST, &rig_geometry);
        assert_int_equal(rig_feed_block(r, kinds[i], 0, 0, WIRE_BLOCK_LEN), 0);
        rig_free(r);
    }
}

static void test_have(void **state)
{
    (void)state;
    struct rig *r = rig_ready(0, &rig_geometry);
    assert_int_equal(rig_feed_block(r, WIRE_HAVE, 3, 0, 0), 0);
    assert_int_equal(rig_feed_block(r, WIRE_HAVE, 3, 0, 0), 0);
    assert_int_equal(rig_feed_block(r, WIRE_HAVE, 19, 0, 0), 0);
    rig_events(r, "have:3 have:19 ");
    assert_int_equal(r->p.n_have, 2);
    for (uint32_t i = 0; i < RIG_PIECES; i++) {
        assert_int_equal(rig_feed_block(r, WIRE_HAVE, i, 0, 0), 0);
        assert_int_equal(r->p.seed, i == RIG_PIECES - 1 || r->p.n_have == RIG_PIECES);
    }
    assert_true(r->p.seed && r->p.bitfield == NULL);
    assert_int_equal(rig_feed_block(r, WIRE_HAVE, RIG_PIECES, 0, 0), ERR_MALFORMED);
    rig_free(r);
}

static void test_donthave(void **state)
{
    (void)state;
    struct rig *r = rig_ready(BOTH, &rig_geometry);
    assert_int_equal(rig_feed_type(r, WIRE_HAVE_ALL), 0);
    assert_int_equal(rig_feed_ext(r, 3, SPAN("\0\0\0\x13")), 0);
    assert_int_equal(rig_feed_ext(r, 3, SPAN("\0\0\0\x13")), 0);
    rig_events(r, "bitfield donthave:19 ");
    assert_true(!r->p.seed && r->p.n_have == 19 && !peer_has(&r->p, 19) && peer_has(&r->p, 18));
    assert_int_equal(rig_feed_block(r, WIRE_HAVE, 19, 0, 0), 0);
    assert_true(r->p.seed);
    for (uint8_t i = 0; i < RIG_PIECES; i++) {
        const uint8_t payload[4] = {0, 0, 0, i};
        assert_int_equal(rig_feed_ext(r, 3, span_of(payload, 4)), 0);
    }
    assert_int_equal(r->p.n_have, 0);
    assert_null(r->p.bitfield);
    assert_int_equal(rig_feed_ext(r, 3, SPAN("\0\0\0\x14")), ERR_MALFORMED);
    rig_free(r);
}

static void test_allowed_fast(void **state)
{
    (void)state;
    struct rig *r = rig_ready(WIRE_FAST, &rig_geometry);
    assert_int_equal(rig_feed_block(r, WIRE_ALLOWED_FAST, RIG_PIECES, 0, 0), 0);
    assert_int_equal(rig_feed_block(r, WIRE_ALLOWED_FAST, 5, 0, 0), 0);
    assert_int_equal(rig_feed_block(r, WIRE_ALLOWED_FAST, 5, 0, 0), 0);
    rig_events(r, "fast:5 ");
    for (uint32_t i = 0; i < RIG_PIECES; i++) {
        assert_int_equal(rig_feed_block(r, WIRE_ALLOWED_FAST, i, 0, 0), 0);
    }
    assert_int_equal(r->p.n_fast, PEER_ALLOWED_FAST_MAX);
    rig_free(r);
}

/* ---- before the metadata is there -------------------------------------------------------------- */

/* What it said then is judged when the metadata comes: like the same words later. */
static void test_early_words(void **state)
{
    (void)state;
    static const struct {
        const char *bits; /* NULL: none */
        size_t len;
        bool all;
        uint32_t have[3]; /* UINT32_MAX: none */
        int rc;           /* of peer_set_geometry */
        uint32_t n_have;
    } rows[] = {
        {NULL, 0, false, {UINT32_MAX, UINT32_MAX, UINT32_MAX}, 0, 0},
        {"\xff\0\0", 3, false, {UINT32_MAX, UINT32_MAX, UINT32_MAX}, 0, 8},
        {"\xff\0\0", 3, false, {19, 8, 0}, 0, 10},
        {"\xff\xff\xf0", 3, false, {UINT32_MAX, UINT32_MAX, UINT32_MAX}, 0, 20},
        {"\xff\0\0", 2, false, {UINT32_MAX, UINT32_MAX, UINT32_MAX}, ERR_MALFORMED, 0},
        {"\xff\0\0\0", 4, false, {UINT32_MAX, UINT32_MAX, UINT32_MAX}, ERR_MALFORMED, 0},
        {"", 0, false, {UINT32_MAX, UINT32_MAX, UINT32_MAX}, ERR_MALFORMED, 0},
        {"\0\0\x08", 3, false, {UINT32_MAX, UINT32_MAX, UINT32_MAX}, ERR_MALFORMED, 0},
        {"\0\0\0", 3, false, {20, UINT32_MAX, UINT32_MAX}, ERR_MALFORMED, 0},
        {NULL, 0, true, {UINT32_MAX, UINT32_MAX, UINT32_MAX}, 0, 20},
        {NULL, 0, true, {1, 2, 19}, 0, 20},
        {NULL, 0, false, {0, 19, 19}, 0, 2},
        {NULL, 0, false, {3, UINT32_MAX, UINT32_MAX}, 0, 1},
        {NULL, 0, false, {0, 20, 19}, ERR_MALFORMED, 0},
        {NULL, 0, false, {0, 300, 19}, ERR_MALFORMED, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rig *r = rig_ready(BOTH, NULL);
        if (rows[i].bits != NULL) {
            assert_int_equal(feed_bitfield(r, span_of(rows[i].bits, rows[i].len)), 0);
        } else {
            assert_int_equal(rig_feed_type(r, rows[i].all ? WIRE_HAVE_ALL : WIRE_HAVE_NONE), 0);
        }
        for (size_t k = 0; k < 3 && rows[i].have[k] != UINT32_MAX; k++) {
            assert_int_equal(rig_feed_block(r, WIRE_HAVE, rows[i].have[k], 0, 0), 0);
        }
        rig_events(r, "");
        assert_false(peer_has(&r->p, 0));
        assert_int_equal(peer_set_geometry(&r->p, &rig_geometry, &r->why), rows[i].rc);
        assert_int_equal(r->p.n_have, rows[i].n_have);
        assert_int_equal(r->p.seed, rows[i].n_have == RIG_PIECES);
        if (rows[i].rc == 0 && rows[i].have[0] != UINT32_MAX) {
            assert_true(peer_has(&r->p, rows[i].have[0]));
            assert_null(r->p.early_bitfield);
        }
        rig_free(r);
    }
}

static void test_early_have_of_no_torrent(void **state)
{
    (void)state;
    static const uint32_t rows[] = {1u << 21, UINT32_MAX};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rig *r = rig_ready(BOTH, NULL);
        assert_int_equal(rig_feed_block(r, WIRE_HAVE, (1u << 21) - 1, 0, 0), 0);
        assert_int_equal(r->p.early_bitfield_len, 1u << 18);
        assert_int_equal(rig_feed_block(r, WIRE_HAVE, rows[i], 0, 0), ERR_MALFORMED);
        rig_free(r);
    }
    struct rig *r = rig_ready(BOTH, NULL);
    assert_int_equal(feed_bitfield(r, SPAN("\0\0")), 0);
    assert_int_equal(rig_feed_block(r, WIRE_HAVE, 15, 0, 0), 0);
    assert_int_equal(rig_feed_block(r, WIRE_HAVE, 16, 0, 0), ERR_MALFORMED);
    rig_free(r);
}

/* Nothing can have been asked for, either way. */
static void test_early_blocks(void **state)
{
    (void)state;
    struct rig *r = rig_ready(BOTH, NULL);
    peer_set_choking(&r->p, false, r->now_ms);
    (void)rig_sent_bytes(r);
    assert_int_equal(rig_feed_block(r, WIRE_REQUEST, 0, 0, WIRE_BLOCK_LEN), 0);
    assert_int_equal(rig_feed_block(r, WIRE_REJECT, 0, 0, WIRE_BLOCK_LEN), 0);
    assert_int_equal(rig_feed_block(r, WIRE_ALLOWED_FAST, 19, 0, 0), 0);
    assert_int_equal(rig_feed_block(r, WIRE_ALLOWED_FAST, 20, 0, 0), 0);
    rig_events(r, "interested ");
    rig_sends(r, "reject:0:0:16384 ");
    assert_int_equal(rig_feed(r, SPAN("\0\0\0\x0a\7\0\0\0\0\0\0\0\0x")), ERR_MALFORMED);
    assert_int_equal(peer_set_geometry(&r->p, &rig_geometry, &r->why), 0);
    assert_int_equal(r->p.n_fast, 1);
    assert_int_equal(r->p.fast[0], 19);
    rig_free(r);
}

/* ---- blocks ------------------------------------------------------------------------------------ */

static int feed_block(struct rig *r, uint32_t piece, uint32_t begin, uint32_t len)
{
    uint8_t *bytes = mem_zeroed(WIRE_PIECE_HEAD_LEN + len);
    struct wr w = wr_over(bytes, WIRE_PIECE_HEAD_LEN);
    peer_wire_encode(&w, &(struct peer_wire_msg){.type = WIRE_PIECE, .block = {piece, begin, len}});
    int rc = rig_feed(r, span_of(bytes, WIRE_PIECE_HEAD_LEN + len));
    free(bytes);
    return rc;
}

static void test_blocks(void **state)
{
    (void)state;
    static const struct {
        uint32_t piece, begin, len;
        int rc;
        const char *events;
    } rows[] = {
        {0, 0, WIRE_BLOCK_LEN, 0, "block:0:0:16384 "},
        {0, 1, 1, 0, "block:0:1:1 "}, /* was it asked for? its owner knows */
        {19, 16384, 100, 0, "block:19:16384:100 "},
        {19, 16384, 101, ERR_MALFORMED, ""},
        {19, 16385, 100, ERR_MALFORMED, ""},
        {0, 16385, 16384, ERR_MALFORMED, ""},
        {0, UINT32_MAX, 1, ERR_MALFORMED, ""},
        {0, UINT32_MAX - 100, 16384, ERR_MALFORMED, ""},
        {20, 0, 1, ERR_MALFORMED, ""},
        {UINT32_MAX, 0, 1, ERR_MALFORMED, ""},
        {0, 0, WIRE_BLOCK_LEN + 1, ERR_LIMIT, ""},
        /* how BitComet rejects */
        {0, 16384, 0, 0, "reject:0:16384:16384 "},
        {19, 16384, 0, 0, "reject:19:16384:100 "},
        {19, 16484, 0, ERR_MALFORMED, ""},
        {20, 0, 0, ERR_MALFORMED, ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rig *r = rig_ready(0, &rig_geometry);
        assert_int_equal(feed_block(r, rows[i].piece, rows[i].begin, rows[i].len), rows[i].rc);
        rig_events(r, rows[i].events);
        assert_int_equal(r->p.totals.down_payload, rows[i].rc == 0 ? rows[i].len : 0);
        assert_int_equal(data_pool_used(r->pool), 0);
        rig_free(r);
    }
}

/* The bytes of an event's block can be kept; a block that never ends goes with its peer. */
static void test_block_is_kept(void **state)
{
    (void)state;
    struct rig *r = rig_ready(0, &rig_geometry);
    struct peer_event ev;
    const uint8_t bytes[] = "\0\0\0\x0c\7\0\0\0\1\0\0\0\2abc\0\0\0\x0c\7\0\0\0\1\0\0\0\2x";
    struct span in = span_of(bytes, sizeof bytes - 1);
    assert_int_equal(peer_next(&r->p, &in, r->now_ms, &ev, &r->why), 1);
    assert_int_equal(ev.kind, PEER_EV_BLOCK);
    struct data_buf *kept = data_ref(ev.data);
    assert_int_equal(peer_next(&r->p, &in, r->now_ms, &ev, &r->why), 0);
    assert_int_equal(data_pool_used(r->pool), 2 * DATA_BLOCK_LEN);
    assert_int_equal(r->p.totals.down_payload, 4);
    peer_release(&r->p);
    assert_memory_equal(kept->p, "abc", 3);
    data_unref(kept);
    rig_free(r);
}

static void test_rejects(void **state)
{
    (void)state;
    struct rig *r = rig_ready(WIRE_FAST, &rig_geometry);
    assert_int_equal(rig_feed_block(r, WIRE_REJECT, 1, 0, WIRE_BLOCK_LEN), 0);
    assert_int_equal(rig_feed_block(r, WIRE_REJECT, 20, 0, WIRE_BLOCK_LEN), 0);
    assert_int_equal(rig_feed_block(r, WIRE_REJECT, 1, 0, WIRE_BLOCK_LEN + 1), 0);
    assert_int_equal(rig_feed_block(r, WIRE_REJECT, 1, UINT32_MAX, 1), 0);
    rig_events(r, "reject:1:0:16384 ");
    rig_free(r);
}

/* ---- extended messages -------------------------------------------------------------------------- */

static void test_extended(void **state)
{
    (void)state;
    static const struct {
        uint8_t id;
        struct span payload;
        int rc;
        const char *events;
    } rows[] = {
        {0, {(const uint8_t *)"de", 2}, 0, "extensions "},
        {0, {(const uint8_t *)"le", 2}, ERR_MALFORMED, ""},
        {0, {(const uint8_t *)"", 0}, ERR_MALFORMED, ""},
        {1, {(const uint8_t *)"d8:msg_typei0e5:piecei7ee", 25}, 0, "metadata "},
        {1, {(const uint8_t *)"d8:msg_typei9e5:piecei7ee", 25}, 0, ""},
        {1, {(const uint8_t *)"x", 1}, ERR_MALFORMED, ""},
        {1,
         {(const uint8_t *)"d8:msg_typei1e5:piecei0e10:total_sizei33554433ee", 48},
         ERR_LIMIT,
         ""},
        {2, {(const uint8_t *)"de", 2}, 0, "pex "},
        {2, {(const uint8_t *)"d", 1}, ERR_MALFORMED, ""},
        {3, {(const uint8_t *)"\0\0\0", 3}, ERR_MALFORMED, ""},
        {4, {(const uint8_t *)"\1", 1}, 0, "upload_only "},
        {4, {(const uint8_t *)"\0", 1}, 0, ""},
        {4, {(const uint8_t *)"", 0}, ERR_MALFORMED, ""},
        {5, {(const uint8_t *)"whatever", 8}, 0, ""},
        {255, {(const uint8_t *)"whatever", 8}, 0, ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rig *r = rig_ready(BOTH, &rig_geometry);
        peer_greet(&r->p, &r->self, span_of(NULL, 0), 0, r->now_ms);
        assert_int_equal(rig_feed_ext(r, rows[i].id, rows[i].payload), rows[i].rc);
        rig_events(r, rows[i].events);
        rig_free(r);
        r = rig_ready(WIRE_FAST, &rig_geometry); /* not agreed: skipped */
        assert_int_equal(rig_feed_ext(r, rows[i].id, rows[i].payload), 0);
        rig_events(r, "");
        rig_free(r);
    }
}

/* A claim of more metadata than we take is no claim. */
static void test_extension_handshake(void **state)
{
    (void)state;
    struct rig *r = rig_ready(BOTH, &rig_geometry);
    assert_int_equal(
        rig_feed_ext(r, 0,
                     SPAN("d13:metadata_sizei33554433e1:pi99e4:reqqi7e11:upload_onlyi1e1:v"
                          "3:abce")),
        0);
    assert_int_equal(r->p.metadata_size, 0);
    assert_int_equal(r->p.listen.port, 6881);
    assert_int_equal(r->p.reqq, 7);
    assert_true(r->p.peer_upload_only);
    assert_string_equal(r->p.version, "abc");
    assert_int_equal(rig_feed_ext(r, 0, SPAN("d13:metadata_sizei33554432e1:v0:e")), 0);
    assert_int_equal(r->p.metadata_size, METADATA_LEN_MAX);
    assert_int_equal(r->p.reqq, 7); /* what is not said again stays */
    assert_string_equal(r->p.version, "abc");
    assert_true(r->p.peer_upload_only);
    rig_free(r);
}

static void test_port(void **state)
{
    (void)state;
    struct rig *r = rig_ready(BOTH, &rig_geometry);
    assert_int_equal(rig_feed(r, SPAN("\0\0\0\3\x09\0\0\0\0\0\3\x09\1\2\0\0\0\0")), 0);
    rig_events(r, "port ");
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_impossible_lengths),
        cmocka_unit_test(test_trickle),
        cmocka_unit_test(test_longest_messages),
        cmocka_unit_test(test_bitfields),
        cmocka_unit_test(test_later_bitfields),
        cmocka_unit_test(test_bitfield_in_place_of_haves),
        cmocka_unit_test(test_fast_was_not_agreed),
        cmocka_unit_test(test_have),
        cmocka_unit_test(test_donthave),
        cmocka_unit_test(test_allowed_fast),
        cmocka_unit_test(test_early_words),
        cmocka_unit_test(test_early_have_of_no_torrent),
        cmocka_unit_test(test_early_blocks),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_block_is_kept),
        cmocka_unit_test(test_rejects),
        cmocka_unit_test(test_extended),
        cmocka_unit_test(test_extension_handshake),
        cmocka_unit_test(test_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
