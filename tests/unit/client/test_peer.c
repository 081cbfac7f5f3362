#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/rng.h"

#include "unit/client/peer_fixture.h"

#include "base/banned.h"

enum { BOTH = WIRE_FAST | WIRE_EXTENDED };

static const uint8_t odd_pieces[3] = {0x55, 0x55, 0x50};
static const uint8_t no_pieces[3] = {0};

/* ---- two ends, wired to each other ------------------------------------------------------------ */

struct pair {
    struct rig *a; /* connects */
    struct rig *b; /* is connected to */
};

static struct pair pair_new(void)
{
    return (struct pair){.a = rig_new(false, &rig_geometry), .b = rig_new(true, &rig_geometry)};
}

static void pair_free(struct pair *pair)
{
    rig_free(pair->a);
    rig_free(pair->b);
}

/* Bytes go both ways, each read cut to step bytes, until nobody has more to say. */
static void pair_run(struct pair *pair, size_t step)
{
    struct rig *const ends[2] = {pair->a, pair->b};
    bool moved = true;
    while (moved) {
        moved = false;
        for (size_t i = 0; i < 2; i++) {
            struct span bytes = rig_sent_bytes(ends[i]);
            for (size_t at = 0; at < bytes.n; at += step) {
                assert_int_equal(rig_feed(ends[1 - i], span_sub(bytes, at, step)), 0);
                moved = true;
            }
        }
    }
}

static void pair_meet(struct pair *pair, size_t step)
{
    pair_run(pair, step);
    peer_greet(&pair->a->p, &pair->a->self, span_of(odd_pieces, 3), 10, pair->a->now_ms);
    pair->b->self.upload_only = true;
    pair->b->self.metadata_size = 12345;
    peer_greet(&pair->b->p, &pair->b->self, span_of(NULL, 0), RIG_PIECES, pair->b->now_ms);
    pair_run(pair, step);
}

static void send_blocks(struct rig *r, const struct wire_block *b, size_t n)
{
    struct data_buf *d = rig_block(r);
    for (size_t i = 0; i < n; i++) {
        peer_send_block(&r->p, &b[i], d, 0, r->now_ms);
    }
    data_unref(d);
}

/* A whole download of one piece, and everything else that the two can say. */
static void pair_talk(struct pair *pair, size_t step)
{
    struct peer *a = &pair->a->p, *b = &pair->b->p;
    uint64_t now_ms = pair->a->now_ms;
    const struct wire_block blocks[] = {
        {0, 0, WIRE_BLOCK_LEN}, {0, WIRE_BLOCK_LEN, WIRE_BLOCK_LEN}, {19, WIRE_BLOCK_LEN, 100}};
    const uint8_t v4[6] = {192, 0, 2, 1, 0x1a, 0xe1};
    const struct ext_pex pex = {.added = span_of(v4, 6), .added_flags = SPAN("\x10")};
    const struct ext_metadata ask = {.type = EXT_METADATA_REQUEST};
    const struct ext_metadata answer = {
        .type = EXT_METADATA_DATA, .total_size = 5, .data = SPAN("d1:ae")};
    pair_meet(pair, step);
    peer_set_interested(a, true, now_ms);
    peer_set_choking(b, false, now_ms);
    pair_run(pair, step);
    peer_send_requests(a, blocks, 3, now_ms);
    pair_run(pair, step);
    send_blocks(pair->b, blocks, 3);
    peer_send_metadata(a, &ask, now_ms);
    peer_send_metadata(b, &answer, now_ms);
    peer_send_pex(a, &pex, now_ms);
    peer_send_upload_only(a, true, now_ms);
    pair_run(pair, step);
    peer_send_have(a, 0, now_ms);
    peer_set_interested(a, false, now_ms);
    peer_set_choking(b, true, now_ms);
    peer_send_keep_alive(a, now_ms);
    pair_run(pair, step);
}

static void test_conversation(void **state)
{
    (void)state;
    static const size_t steps[] = {SIZE_MAX / 2, 1, 2, 3, 7, 67, 68, 69, 16384, 16397};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct pair pair = pair_new();
        pair_talk(&pair, steps[i]);
        rig_events(pair.a, "ready extensions bitfield unchoke block:0:0:16384 block:0:16384:16384 "
                           "block:19:16384:100 metadata choke ");
        rig_events(pair.b, "hash ready extensions bitfield interested request:0:0:16384 "
                           "request:0:16384:16384 request:19:16384:100 metadata pex upload_only "
                           "have:0 uninterested ");
        assert_int_equal(pair.a->p.totals.down, pair.b->p.totals.up);
        assert_int_equal(pair.b->p.totals.down, pair.a->p.totals.up);
        assert_int_equal(pair.a->p.totals.down_payload, 2 * WIRE_BLOCK_LEN + 100);
        assert_int_equal(pair.b->p.totals.up_payload, 2 * WIRE_BLOCK_LEN + 100);
        assert_int_equal(pair.a->p.totals.up_payload, 0);
        pair_free(&pair);
    }
}

static void test_what_they_know(void **state)
{
    (void)state;
    struct pair pair = pair_new();
    struct peer *a = &pair.a->p, *b = &pair.b->p;
    pair_meet(&pair, SIZE_MAX / 2);
    assert_int_equal(a->state, PEER_READY);
    assert_int_equal(a->features, BOTH);
    assert_memory_equal(a->peer_id.b, pair.b->self.peer_id.b, 20);
    assert_memory_equal(b->peer_id.b, pair.a->self.peer_id.b, 20);
    assert_string_equal(a->version, "Rookery 0.1.0");
    assert_int_equal(a->reqq, PEER_UPLOADS_MAX);
    assert_int_equal(a->metadata_size, 12345);
    assert_true(a->peer_upload_only && !b->peer_upload_only);
    assert_int_equal(b->listen.port, 7001); /* as it says; of an outgoing one it is known */
    assert_int_equal(a->listen.port, 6881);
    assert_true(a->ext.has_yourip && addr_eq(&a->ext.yourip, &b->remote.addr));
    for (size_t i = 0; i < EXT_N_NAMES; i++) {
        assert_true(a->ext_id[i] > 0 && b->ext_id[i] > 0);
    }
    assert_true(a->seed && a->bitfield == NULL && a->n_have == RIG_PIECES);
    assert_true(!b->seed && b->n_have == 10);
    for (uint32_t i = 0; i < RIG_PIECES; i++) {
        assert_true(peer_has(a, i));
        assert_int_equal(peer_has(b, i), i % 2);
    }
    assert_false(peer_has(a, RIG_PIECES));
    assert_false(peer_has(b, UINT32_MAX));
    pair_free(&pair);
}

/* Nothing is kept of a conversation that is over, however it was cut. */
static void test_rest_costs_nothing(void **state)
{
    (void)state;
    struct pair pair = pair_new();
    pair_talk(&pair, 5);
    for (size_t i = 0; i < 2; i++) {
        struct rig *r = i == 0 ? pair.a : pair.b;
        assert_null(r->p.input);
        assert_null(r->p.arriving);
        assert_null(r->p.uploads);
        assert_null(r->p.sendq.bytes);
        assert_null(r->p.sendq.segments);
        assert_int_equal(data_pool_used(r->pool), 0);
    }
    pair_free(&pair);
}

/* Cut in two at every byte, the same is told. */
static void test_cut_at_every_byte(void **state)
{
    (void)state;
    struct pair pair = pair_new();
    pair_talk(&pair, SIZE_MAX / 2);
    for (size_t end = 0; end < 2; end++) {
        struct rig *from = end == 0 ? pair.b : pair.a, *to = end == 0 ? pair.a : pair.b;
        struct span all = span_of(from->bytes, from->bytes_len);
        for (size_t at = 0; at <= all.n; at += at > 1000 && at + 1000 < all.n ? 61 : 1) {
            struct rig *r = rig_new(to->p.incoming, &rig_geometry);
            r->p.takes_pex = true;
            peer_set_choking(&r->p, false, r->now_ms);
            assert_int_equal(rig_feed(r, span_sub(all, 0, at)), 0);
            assert_int_equal(rig_feed(r, span_sub(all, at, all.n)), 0);
            assert_int_equal(r->p.totals.down, all.n);
            assert_null(r->p.input);
            /* Requests are told at the end of the input that has them. */
            assert_int_equal(r->events_len, to->events_len);
            if (end == 0) {
                assert_string_equal(r->events, to->events);
            }
            rig_free(r);
        }
    }
    pair_free(&pair);
}

/* ---- handshake -------------------------------------------------------------------------------- */

static void test_handshake_of_another_torrent(void **state)
{
    (void)state;
    struct rig *r = rig_new(false, &rig_geometry);
    r->self.info_hash.b[19] ^= 1;
    assert_int_equal(rig_feed_handshake(r, BOTH), ERR_MALFORMED);
    rig_events(r, "");
    rig_free(r);
}

/* What is no handshake is refused at its first wrong byte. */
static void test_no_handshake(void **state)
{
    (void)state;
    static const char *const rows[] = {"G",
                                       "\x13"
                                       "Bittorrent",
                                       "\x14"
                                       "BitTorrent protocol"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig *r = rig_new(true, &rig_geometry);
        assert_int_equal(rig_feed(r, span_str(rows[i])), ERR_MALFORMED);
        rig_free(r);
        r = rig_new(true, &rig_geometry);
        int rc = 0;
        for (size_t k = 0; rc == 0 && rows[i][k] != '\0'; k++) {
            rc = rig_feed(r, span_of(rows[i] + k, 1));
        }
        assert_int_equal(rc, ERR_MALFORMED);
        rig_free(r);
    }
}

/* The other side may wait for our handshake before it sends its peer id. */
static void test_answer_before_the_peer_id(void **state)
{
    (void)state;
    struct rig *r = rig_new(true, &rig_geometry);
    uint8_t bytes[WIRE_HANDSHAKE_LEN];
    struct wr w = wr_over(bytes, sizeof bytes);
    peer_wire_handshake_encode(&w, &(struct peer_wire_handshake){.features = WIRE_DHT});
    assert_int_equal(rig_feed(r, span_of(bytes, WIRE_HANDSHAKE_HEAD_LEN - 1)), 0);
    rig_events(r, "");
    assert_int_equal(r->p.sendq.len, 0);
    assert_int_equal(rig_feed(r, span_of(bytes + WIRE_HANDSHAKE_HEAD_LEN - 1, 1)), 0);
    rig_events(r, "hash ");
    assert_int_equal(r->p.sendq.len, WIRE_HANDSHAKE_LEN);
    assert_int_equal(rig_feed(r, span_of(bytes + WIRE_HANDSHAKE_HEAD_LEN, 20)), 0);
    rig_events(r, "ready ");
    assert_int_equal(r->p.features, 0);
    rig_free(r);
}

/* However its bytes trickle. */
static void test_handshake_takes_too_long(void **state)
{
    (void)state;
    const char *why;
    struct rig *r = rig_new(true, &rig_geometry);
    uint64_t end_ms = r->now_ms + PEER_HANDSHAKE_MS;
    assert_int_equal(peer_deadline_ms(&r->p), end_ms);
    r->now_ms = end_ms - 1;
    assert_int_equal(rig_feed(r, SPAN("\x13"
                                      "Bit")),
                     0);
    assert_int_equal(peer_deadline_ms(&r->p), end_ms);
    assert_int_equal(peer_on_deadline(&r->p, end_ms - 1, &why), 0);
    assert_int_equal(peer_on_deadline(&r->p, end_ms, &why), ERR_TIMEOUT);
    assert_true(r->p.input_cap <= WIRE_HANDSHAKE_HEAD_LEN);
    rig_free(r);
}

/* Of an outgoing one from when ours was sent: before, it was being connected. */
static void test_handshake_time_of_an_outgoing_one(void **state)
{
    (void)state;
    struct rig *r = rig_new(false, &rig_geometry);
    const struct endpoint remote = r->p.remote;
    peer_release(&r->p);
    peer_init(&r->p, 9, false, &remote, r->pool, r->now_ms);
    peer_start(&r->p, &r->self, NULL, r->now_ms + 14000);
    assert_int_equal(peer_deadline_ms(&r->p), r->now_ms + 14000 + PEER_HANDSHAKE_MS);
    rig_free(r);
}

/* ---- greeting --------------------------------------------------------------------------------- */

static void test_greeting(void **state)
{
    (void)state;
    static const struct {
        unsigned features;
        uint32_t n_have;
        const char *sends;
    } rows[] = {
        {BOTH, 0, "ext:0 have_none "},          {BOTH, 10, "ext:0 bitfield "},
        {BOTH, RIG_PIECES, "ext:0 have_all "},  {WIRE_EXTENDED, 0, "ext:0 "},
        {WIRE_EXTENDED, 10, "ext:0 bitfield "}, {0, RIG_PIECES, "bitfield "},
        {WIRE_FAST, RIG_PIECES, "have_all "},   {0, 0, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig *r = rig_ready(rows[i].features, &rig_geometry);
        peer_greet(&r->p, &r->self, span_of(odd_pieces, rows[i].n_have == 10 ? 3 : 0),
                   rows[i].n_have, r->now_ms);
        rig_sends(r, rows[i].sends);
        if (rows[i].features == 0 && rows[i].n_have == RIG_PIECES) {
            assert_memory_equal(r->bytes + r->bytes_len - 8, "\0\0\0\4\5\xff\xff\xf0", 8);
        }
        rig_free(r);
    }
}

/* 4099 pieces: the full bitfield is written in parts. */
static void test_long_full_bitfield(void **state)
{
    (void)state;
    const struct wire_geometry g = {.n_pieces = 4099, .piece_len = 1, .last_piece_len = 1};
    struct rig *a = rig_ready(0, &g), *b = rig_ready(0, &g);
    peer_greet(&a->p, &a->self, span_of(NULL, 0), 4099, a->now_ms);
    struct span bytes = rig_sent_bytes(a);
    assert_int_equal(bytes.n, 5 + 513);
    assert_int_equal(rig_feed(b, bytes), 0);
    assert_true(b->p.seed);
    rig_free(a);
    rig_free(b);
}

static void test_private_has_no_pex(void **state)
{
    (void)state;
    struct rig *r = rig_ready(BOTH, &rig_geometry);
    struct ext_handshake h;
    const char *why;
    const struct ext_pex pex = {.added = SPAN("\1\2\3\4\5\6")};
    r->self.private = true;
    peer_greet(&r->p, &r->self, span_of(no_pieces, 3), 0, r->now_ms);
    struct span bytes = rig_sent_bytes(r);
    assert_true(ext_handshake_decode(&h, span_sub(bytes, 6, bytes.n), 1, &why) > 0);
    assert_int_equal(h.id[EXT_UT_PEX], EXT_ABSENT);
    assert_int_equal(h.id[EXT_UT_METADATA], 1);
    assert_int_equal(rig_feed_ext(r, 0, SPAN("d1:md6:ut_pexi9eee")), 0);
    assert_int_equal(rig_feed_ext(r, 2, SPAN("de")), 0);
    assert_int_equal(rig_feed_ext(r, 2, SPAN("not even bencode")), 0);
    rig_events(r, "extensions ");
    peer_send_pex(&r->p, &pex, r->now_ms);
    rig_sends(r, "");
    rig_free(r);
}

/* A torrent that turns out to be private takes its word back. */
static void test_pex_ends(void **state)
{
    (void)state;
    struct rig *r = rig_ready(BOTH, NULL);
    struct ext_handshake h;
    const char *why;
    peer_greet(&r->p, &r->self, span_of(NULL, 0), 0, r->now_ms);
    rig_sends(r, "ext:0 have_none ");
    assert_int_equal(rig_feed_ext(r, 2, SPAN("de")), 0);
    r->self.private = true;
    peer_send_extensions(&r->p, &r->self, r->now_ms);
    struct span bytes = rig_sent_bytes(r);
    assert_true(ext_handshake_decode(&h, span_sub(bytes, 6, bytes.n), 1, &why) > 0);
    assert_int_equal(h.id[EXT_UT_PEX], 0);
    assert_int_equal(rig_feed_ext(r, 2, SPAN("de")), 0);
    rig_events(r, "pex ");
    rig_free(r);
}

/* ---- messages --------------------------------------------------------------------------------- */

static void test_flags_are_said_once(void **state)
{
    (void)state;
    struct rig *r = rig_ready(BOTH, &rig_geometry);
    peer_set_choking(&r->p, true, r->now_ms);
    peer_set_interested(&r->p, false, r->now_ms);
    rig_sends(r, "");
    peer_set_choking(&r->p, false, r->now_ms);
    peer_set_choking(&r->p, false, r->now_ms);
    peer_set_interested(&r->p, true, r->now_ms);
    peer_set_interested(&r->p, true, r->now_ms);
    rig_sends(r, "unchoke interested ");
    assert_int_equal(rig_feed_type(r, WIRE_CHOKE), 0);
    rig_events(r, "");
    assert_int_equal(rig_feed_type(r, WIRE_UNCHOKE), 0);
    assert_int_equal(rig_feed_type(r, WIRE_UNCHOKE), 0);
    assert_int_equal(rig_feed_type(r, WIRE_INTERESTED), 0);
    assert_int_equal(rig_feed_type(r, WIRE_INTERESTED), 0);
    rig_events(r, "unchoke interested ");
    assert_true(!r->p.peer_choking && r->p.peer_interested);
    rig_free(r);
}

static void test_many_requests(void **state)
{
    (void)state;
    struct rig *r = rig_ready(BOTH, &rig_geometry);
    struct wire_block blocks[100];
    for (uint32_t i = 0; i < 100; i++) {
        blocks[i] = (struct wire_block){i % RIG_PIECES, 0, 1 + i};
    }
    peer_send_requests(&r->p, blocks, 0, r->now_ms);
    rig_sends(r, "");
    peer_send_requests(&r->p, blocks, 100, r->now_ms);
    peer_send_cancel(&r->p, &blocks[3], r->now_ms);
    struct span bytes = rig_sent_bytes(r);
    assert_int_equal(bytes.n, 101 * 17);
    for (uint32_t i = 0; i < 100; i++) {
        const uint8_t expected[17] = {0,
                                      0,
                                      0,
                                      13,
                                      6,
                                      0,
                                      0,
                                      0,
                                      (uint8_t)(i % RIG_PIECES),
                                      0,
                                      0,
                                      0,
                                      0,
                                      0,
                                      0,
                                      0,
                                      (uint8_t)(1 + i)};
        assert_memory_equal(bytes.p + (size_t)i * 17, expected, 17);
    }
    assert_int_equal(bytes.p[100 * 17 + 4], WIRE_CANCEL);
    rig_free(r);
}

static void test_extensions_that_it_has_not(void **state)
{
    (void)state;
    struct rig *r = rig_ready(BOTH, &rig_geometry);
    const struct ext_metadata m = {.type = EXT_METADATA_REQUEST};
    peer_send_metadata(&r->p, &m, r->now_ms);
    peer_send_upload_only(&r->p, true, r->now_ms);
    assert_int_equal(rig_feed_ext(r, 0, SPAN("d1:md11:ut_metadatai77eee")), 0);
    peer_send_metadata(&r->p, &m, r->now_ms);
    rig_sends(r, "ext:77 ");
    assert_int_equal(rig_feed_ext(r, 0, SPAN("d1:md11:upload_onlyi5eee")), 0);
    peer_send_upload_only(&r->p, true, r->now_ms);
    peer_send_metadata(&r->p, &m, r->now_ms); /* what is not named again stays */
    assert_int_equal(rig_feed_ext(r, 0, SPAN("d1:md11:ut_metadatai0eee")), 0);
    peer_send_metadata(&r->p, &m, r->now_ms);
    rig_sends(r, "ext:5 ext:77 ");
    rig_free(r);
}

static void test_time(void **state)
{
    (void)state;
    const char *why;
    struct rig *r = rig_ready(BOTH, &rig_geometry);
    uint64_t t = r->now_ms;
    assert_int_equal(peer_deadline_ms(&r->p), t + PEER_KEEP_ALIVE_MS);
    assert_int_equal(peer_on_deadline(&r->p, t + PEER_KEEP_ALIVE_MS - 1, &why), 0);
    rig_sends(r, "");
    assert_int_equal(peer_on_deadline(&r->p, t + PEER_KEEP_ALIVE_MS, &why), 0);
    rig_sends(r, "keep_alive ");
    assert_int_equal(peer_deadline_ms(&r->p), t + 2 * PEER_KEEP_ALIVE_MS);
    r->now_ms = t + 100000;
    assert_int_equal(rig_feed(r, SPAN("\0")), 0); /* any byte is a sign of life */
    assert_int_equal(peer_on_deadline(&r->p, t + PEER_SILENCE_MS, &why), 0);
    rig_sends(r, "keep_alive ");
    assert_int_equal(rig_feed(r, SPAN("")), 0);
    assert_int_equal(r->p.received_ms, t + 100000);
    assert_int_equal(peer_on_deadline(&r->p, t + 100000 + PEER_SILENCE_MS, &why), ERR_TIMEOUT);
    rig_free(r);
}

/* What waits to be sent says that we live. */
static void test_no_keep_alive_behind_a_queue(void **state)
{
    (void)state;
    const char *why;
    struct rig *r = rig_ready(BOTH, &rig_geometry);
    peer_send_have(&r->p, 1, r->now_ms);
    uint64_t due_ms = peer_deadline_ms(&r->p);
    assert_int_equal(peer_on_deadline(&r->p, due_ms, &why), 0);
    assert_true(peer_deadline_ms(&r->p) > due_ms);
    rig_sends(r, "have:1 ");
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversation),
        cmocka_unit_test(test_what_they_know),
        cmocka_unit_test(test_rest_costs_nothing),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_handshake_of_another_torrent),
        cmocka_unit_test(test_no_handshake),
        cmocka_unit_test(test_answer_before_the_peer_id),
        cmocka_unit_test(test_handshake_takes_too_long),
        cmocka_unit_test(test_handshake_time_of_an_outgoing_one),
        cmocka_unit_test(test_greeting),
        cmocka_unit_test(test_long_full_bitfield),
        cmocka_unit_test(test_private_has_no_pex),
        cmocka_unit_test(test_pex_ends),
        cmocka_unit_test(test_flags_are_said_once),
        cmocka_unit_test(test_many_requests),
        cmocka_unit_test(test_extensions_that_it_has_not),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_no_keep_alive_behind_a_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
