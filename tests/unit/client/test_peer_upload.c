/* What a peer asks of us. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"

#include "unit/client/peer_fixture.h"

#include "base/banned.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct rig *rig_unchoked(unsigned features)
{
    struct rig *r = rig_ready(features, &rig_geometry);
    peer_set_choking(&r->p, false, r->now_ms);
    assert_int_equal(rig_feed_type(r, WIRE_INTERESTED), 0);
    rig_events(r, "interested ");
    rig_sends(r, "unchoke ");
    return r;
}

/* Takes the input in without taking the requests out. */
static int feed_quietly(struct rig *r, enum wire_type type, uint32_t piece, uint32_t begin,
                        uint32_t len)
{
    struct peer_event ev;
    uint8_t bytes[17];
    struct wr w = wr_over(bytes, sizeof bytes);
    struct peer_wire_msg m = {.type = type, .block = {piece, begin, len}};
    peer_wire_encode(&w, &m);
    struct span in = wr_span(&w);
    int rc;
    while ((rc = peer_next(&r->p, &in, r->now_ms, &ev, &r->why)) > 0) {
        assert_true(ev.kind == PEER_EV_UPLOADS || ev.kind == PEER_EV_INTERESTED);
    }
    return rc;
}

static int request(struct rig *r, uint32_t piece, uint32_t begin, uint32_t len)
{
    return feed_quietly(r, WIRE_REQUEST, piece, begin, len);
}

static int cancel(struct rig *r, uint32_t piece, uint32_t begin, uint32_t len)
{
    return feed_quietly(r, WIRE_CANCEL, piece, begin, len);
}

static void give(struct rig *r, uint32_t piece, uint32_t begin, uint32_t len)
{
    struct data_buf *d = rig_block(r);
    const struct wire_block b = {piece, begin, len};
    peer_send_block(&r->p, &b, d, 0, r->now_ms);
    data_unref(d);
}

static void test_ranges(void **state)
{
    (void)state;
    static const struct {
        uint32_t piece, begin, len;
        bool ok;
    } rows[] = {
        {0, 0, 16384, true},       {0, 16384, 16384, true},   {0, 32767, 1, true},
        {19, 16384, 100, true},    {0, 0, 0, false},          {0, 0, 16385, false},
        {0, 0, 131072, false},     {0, 16385, 16384, false},  {0, 32768, 1, false},
        {19, 16384, 101, false},   {20, 0, 1, false},         {UINT32_MAX, 0, 1, false},
        {0, UINT32_MAX, 1, false}, {0, 1, UINT32_MAX, false}, {0, UINT32_MAX - 16383, 16384, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char expected[64];
        struct rig *r = rig_unchoked(WIRE_FAST);
        assert_int_equal(request(r, rows[i].piece, rows[i].begin, rows[i].len), 0);
        assert_int_equal(peer_n_uploads(&r->p), rows[i].ok);
        assert_int_equal(r->p.n_invalid, !rows[i].ok);
        assert_int_equal(r->p.n_refused, !rows[i].ok);
        (void)snprintf(expected, sizeof expected, "reject:%u:%u:%u ", rows[i].piece, rows[i].begin,
                       rows[i].len);
        rig_sends(r, rows[i].ok ? "" : expected);
        rig_free(r);
    }
}

static void test_too_many_invalid(void **state)
{
    (void)state;
    struct rig *r = rig_unchoked(0);
    for (size_t i = 0; i < PEER_INVALID_MAX; i++) {
        assert_int_equal(request(r, RIG_PIECES, 0, 1), 0);
    }
    rig_sends(r, ""); /* without the fast extension there are no rejects */
    assert_int_equal(request(r, RIG_PIECES, 0, 1), ERR_LIMIT);
    rig_free(r);
}

/* reqq are kept, as was said; the rest is refused and no fault. */
static void test_too_many_at_once(void **state)
{
    (void)state;
    struct rig *r = rig_unchoked(WIRE_FAST);
    for (uint32_t i = 0; i < PEER_UPLOADS_MAX; i++) {
        assert_int_equal(request(r, i % RIG_PIECES, i, 1), 0);
    }
    rig_sends(r, "");
    assert_int_equal(request(r, 3, 9, 7), 0);
    rig_sends(r, "reject:3:9:7 ");
    assert_int_equal(peer_n_uploads(&r->p), PEER_UPLOADS_MAX);
    assert_int_equal(r->p.n_invalid, 0);
    assert_int_equal(r->p.n_refused, 1);
    rig_free(r);
}

/* One event for all requests of the input, behind all else, and none when nothing is left. */
static void test_told_once(void **state)
{
    (void)state;
    struct rig *r = rig_unchoked(WIRE_FAST);
    uint8_t bytes[256];
    struct wr w = wr_over(bytes, sizeof bytes);
    const struct wire_block a = {1, 0, 10}, b = {2, 0, 10}, c = {1, 10, 10};
    peer_wire_encode(&w, &(struct peer_wire_msg){.type = WIRE_REQUEST, .block = a});
    peer_wire_encode(&w, &(struct peer_wire_msg){.type = WIRE_REQUEST, .block = b});
    peer_wire_encode(&w, &(struct peer_wire_msg){.type = WIRE_HAVE, .block = {.piece = 7}});
    peer_wire_encode(&w, &(struct peer_wire_msg){.type = WIRE_REQUEST, .block = c});
    peer_wire_encode(&w, &(struct peer_wire_msg){.type = WIRE_CANCEL, .block = b});
    assert_int_equal(rig_feed(r, wr_span(&w)), 0);
    rig_events(r, "have:7 request:1:0:10 request:1:10:10 ");
    rig_sends(r, "reject:2:0:10 ");
    w = wr_over(bytes, sizeof bytes);
    peer_wire_encode(&w, &(struct peer_wire_msg){.type = WIRE_REQUEST, .block = a});
    peer_wire_encode(&w, &(struct peer_wire_msg){.type = WIRE_CANCEL, .block = a});
    assert_int_equal(rig_feed(r, wr_span(&w)), 0);
    rig_events(r, "");
    assert_null(r->p.uploads);
    rig_free(r);
}

static void test_who_asks_is_interested(void **state)
{
    (void)state;
    struct rig *r = rig_ready(WIRE_FAST, &rig_geometry);
    assert_int_equal(rig_feed_block(r, WIRE_REQUEST, 1, 0, 100), 0); /* choked: refused */
    rig_events(r, "interested ");
    rig_sends(r, "reject:1:0:100 ");
    assert_true(r->p.peer_interested);
    assert_int_equal(rig_feed_type(r, WIRE_NOT_INTERESTED), 0);
    peer_set_choking(&r->p, false, r->now_ms);
    assert_int_equal(rig_feed_block(r, WIRE_REQUEST, 1, 0, 100), 0);
    rig_events(r, "uninterested interested request:1:0:100 ");
    rig_free(r);
}

static void test_runs_of_neighbours(void **state)
{
    (void)state;
    struct rig *r = rig_unchoked(WIRE_FAST);
    struct wire_block out[8];
    static const struct wire_block asked[] = {
        {1, 0, 100},  {2, 0, 100},  {1, 100, 50}, {1, 150, 10},
        {1, 170, 10}, {1, 160, 10}, {2, 100, 5},
    };
    for (size_t i = 0; i < COUNT(asked); i++) {
        assert_int_equal(request(r, asked[i].piece, asked[i].begin, asked[i].len), 0);
    }
    assert_int_equal(peer_take_uploads(&r->p, out, 0, 1000), 0);
    assert_int_equal(peer_take_uploads(&r->p, out, 8, 99), 0);
    assert_int_equal(peer_n_uploads(&r->p), 7);
    assert_int_equal(peer_take_uploads(&r->p, out, 2, 1000), 2); /* cap */
    assert_int_equal(out[1].begin, 100);
    assert_int_equal(peer_take_uploads(&r->p, out, 8, 104), 1); /* max_len */
    assert_int_equal(out[0].piece, 2);
    assert_int_equal(peer_take_uploads(&r->p, out, 8, 1000), 2); /* the oldest first */
    assert_int_equal(out[0].begin, 150);
    assert_int_equal(out[1].begin, 160);
    assert_int_equal(peer_take_uploads(&r->p, out, 8, 1000), 1);
    assert_int_equal(out[0].begin, 170);
    assert_int_equal(peer_take_uploads(&r->p, out, 8, 1000), 1);
    assert_int_equal(out[0].begin, 100);
    assert_int_equal(peer_take_uploads(&r->p, out, 8, 1000), 0);
    assert_null(r->p.uploads);
    rig_free(r);
}

/* ---- cancel ------------------------------------------------------------------------------------ */

static void test_cancel(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        unsigned features = i == 0 ? WIRE_FAST : 0;
        struct rig *r = rig_unchoked(features);
        assert_int_equal(request(r, 1, 0, 100), 0);
        assert_int_equal(request(r, 2, 0, 100), 0);
        assert_int_equal(cancel(r, 3, 0, 100), 0); /* never asked */
        assert_int_equal(cancel(r, 1, 0, 99), 0);
        assert_int_equal(peer_n_uploads(&r->p), 2);
        assert_int_equal(cancel(r, 1, 0, 100), 0);
        assert_int_equal(peer_n_uploads(&r->p), 1);
        rig_sends(r, features ? "reject:1:0:100 " : "");
        give(r, 2, 0, 100); /* waits to be sent: taken back as well */
        give(r, 2, 100, 100);
        assert_int_equal(cancel(r, 2, 100, 100), 0);
        rig_sends(r, features ? "piece:2:0:100 reject:2:100:100 " : "piece:2:0:100 ");
        rig_free(r);
    }
}

/* ---- choke ------------------------------------------------------------------------------------- */

static void test_choke_drops_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        unsigned features = i == 0 ? WIRE_FAST : 0;
        struct rig *r = rig_unchoked(features);
        give(r, 1, 0, 100);
        give(r, 1, 100, 100);
        assert_int_equal(sendq_sent(&r->p.sendq, 113), 100);
        assert_int_equal(request(r, 2, 0, 100), 0);
        assert_int_equal(request(r, 3, 0, 100), 0);
        peer_set_choking(&r->p, true, r->now_ms);
        assert_int_equal(peer_n_uploads(&r->p), 0);
        give(r, 4, 0, 100); /* was being read meanwhile */
        rig_sends(r, features ? "choke reject:1:100:100 reject:2:0:100 reject:3:0:100 "
                                "reject:4:0:100 "
                              : "choke ");
        assert_int_equal(data_pool_used(r->pool), 0);
        rig_free(r);
    }
}

static void test_requests_while_choked(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        unsigned features = i == 0 ? WIRE_FAST : 0;
        struct rig *r = rig_unchoked(features);
        r->now_ms += 100000;
        peer_set_choking(&r->p, true, r->now_ms);
        rig_sends(r, "choke ");
        r->now_ms += PEER_CHOKED_GRACE_MS;
        assert_int_equal(request(r, 1, 0, 100), 0);
        rig_sends(r, features ? "reject:1:0:100 " : "");
        assert_int_equal(r->p.n_refused, 1);
        assert_int_equal(r->p.n_invalid, 0);
        r->now_ms++;
        assert_int_equal(request(r, 1, 0, 100), ERR_LIMIT);
        rig_free(r);
    }
}

/* Nobody hears a choke that still waits behind other bytes. */
static void test_grace_begins_when_the_choke_has_left(void **state)
{
    (void)state;
    struct rig *r = rig_unchoked(0);
    give(r, 1, 0, 16384);
    assert_int_equal(sendq_sent(&r->p.sendq, 1), 0);
    peer_set_choking(&r->p, true, r->now_ms);
    for (size_t i = 0; i < 10; i++) {
        r->now_ms += PEER_CHOKED_GRACE_MS + 1;
        assert_int_equal(request(r, 1, 0, 100), 0);
    }
    assert_int_equal(sendq_sent(&r->p.sendq, 12 + 16384 + 5), 16384);
    r->now_ms += PEER_CHOKED_GRACE_MS + 1;
    assert_int_equal(request(r, 1, 0, 100), ERR_LIMIT);
    rig_free(r);
}

/* From the start it is choked, and has the same time to notice. */
static void test_never_unchoked(void **state)
{
    (void)state;
    struct rig *r = rig_ready(0, &rig_geometry);
    assert_int_equal(request(r, 1, 0, 100), 0);
    r->now_ms += PEER_CHOKED_GRACE_MS + 1;
    assert_int_equal(request(r, 1, 0, 100), ERR_LIMIT);
    rig_free(r);
}

/* A peer that makes us answer and does not read is over its queue's limit, which does not grow. */
static void test_who_does_not_read(void **state)
{
    (void)state;
    struct rig *r = rig_unchoked(WIRE_FAST);
    size_t n = 0;
    while (!sendq_is_over(&r->p.sendq)) {
        assert_int_equal(request(r, 1, 0, 100), 0);
        assert_int_equal(cancel(r, 1, 0, 100), 0);
        assert_true(++n <= SENDQ_BYTES_MAX / 17 + 1);
    }
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(request(r, 1, 0, 100), 0);
        assert_int_equal(cancel(r, 1, 0, 100), 0);
    }
    assert_true(r->p.sendq.len <= SENDQ_BYTES_MAX);
    rig_free(r);
}

/* ---- allowed fast ------------------------------------------------------------------------------ */

/* A torrent of many pieces of one block each. */
static const struct wire_geometry many = {
    .n_pieces = 1000, .piece_len = WIRE_BLOCK_LEN, .last_piece_len = 1};

static void test_allowed_fast_set(void **state)
{
    (void)state;
    struct rig *r = rig_ready(WIRE_FAST, &many);
    uint32_t set[PEER_ALLOWED_FAST_MAX];
    uint8_t have[125];
    size_t n = peer_wire_allowed_fast(set, PEER_ALLOWED_FAST_MAX, 1000, &r->self.info_hash,
                                      &r->p.remote.addr);
    assert_int_equal(n, PEER_ALLOWED_FAST_MAX);
    memset(have, 0xff, sizeof have);
    have[set[4] / 8] = 0; /* which we do not have */
    peer_send_allowed_fast(&r->p, &r->self.info_hash, span_of(have, sizeof have), r->now_ms);
    assert_in_range(r->p.n_given_fast, 1, PEER_ALLOWED_FAST_MAX - 1);
    size_t len = rig_sent_bytes(r).n;
    assert_int_equal(len, 9 * r->p.n_given_fast);
    peer_send_allowed_fast(&r->p, &r->self.info_hash, span_of(have, sizeof have), r->now_ms);
    assert_int_equal(rig_sent_bytes(r).n, 0); /* once */

    r->now_ms += 100000;
    assert_int_equal(request(r, r->p.given_fast[0], 0, WIRE_BLOCK_LEN), 0);
    assert_int_equal(peer_n_uploads(&r->p), 1);
    give(r, r->p.given_fast[0], 0, 100);
    assert_int_equal(r->p.sendq.payload_len, 100);
    assert_int_equal(request(r, set[4], 0, WIRE_BLOCK_LEN), ERR_LIMIT); /* choked for long */
    rig_free(r);
}

static void test_allowed_fast_is_not_for_all(void **state)
{
    (void)state;
    uint8_t have[125];
    memset(have, 0xff, sizeof have);
    struct rig *r = rig_ready(0, &many); /* it does not know BEP 6 */
    peer_send_allowed_fast(&r->p, &r->self.info_hash, span_of(have, sizeof have), r->now_ms);
    rig_sends(r, "");
    rig_free(r);
    r = rig_ready(WIRE_FAST, &many); /* it has enough to trade */
    for (uint32_t i = 0; i <= PEER_ALLOWED_FAST_MAX; i++) {
        assert_int_equal(rig_feed_block(r, WIRE_HAVE, i, 0, 0), 0);
    }
    peer_send_allowed_fast(&r->p, &r->self.info_hash, span_of(have, sizeof have), r->now_ms);
    rig_sends(r, "");
    rig_free(r);
}

static bool is_given_fast(const struct rig *r, uint32_t piece)
{
    for (size_t i = 0; i < r->p.n_given_fast; i++) {
        if (r->p.given_fast[i] == piece) {
            return true;
        }
    }
    return false;
}

/* A choke leaves what it may have all the same. */
static void test_choke_leaves_allowed_fast(void **state)
{
    (void)state;
    struct rig *r = rig_ready(WIRE_FAST, &many);
    uint8_t have[125];
    memset(have, 0xff, sizeof have);
    peer_send_allowed_fast(&r->p, &r->self.info_hash, span_of(have, sizeof have), r->now_ms);
    peer_set_choking(&r->p, false, r->now_ms);
    (void)rig_sent_bytes(r);
    uint32_t fast = r->p.given_fast[9], other = 0;
    while (is_given_fast(r, other)) {
        other++;
    }
    assert_int_equal(request(r, other, 0, 1), 0);
    assert_int_equal(request(r, fast, 0, 1), 0);
    peer_set_choking(&r->p, true, r->now_ms);
    assert_int_equal(peer_n_uploads(&r->p), 1);
    assert_int_equal(r->p.uploads[0].piece, fast);
    rig_free(r);
}

/* Each piece a few times, then it is abuse; unchoked it costs nothing. */
static void test_allowed_fast_again_and_again(void **state)
{
    (void)state;
    struct rig *r = rig_ready(WIRE_FAST, &many);
    uint8_t have[125];
    struct wire_block out;
    memset(have, 0xff, sizeof have);
    peer_send_allowed_fast(&r->p, &r->self.info_hash, span_of(have, sizeof have), r->now_ms);
    uint32_t fast = r->p.given_fast[0];
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(request(r, fast, 0, 1), 0);
        assert_int_equal(peer_take_uploads(&r->p, &out, 1, 1), 1);
    }
    peer_set_choking(&r->p, false, r->now_ms);
    assert_int_equal(request(r, fast, 0, 1), 0);
    peer_set_choking(&r->p, true, r->now_ms);
    assert_int_equal(request(r, r->p.given_fast[1], 0, 1), 0);
    assert_int_equal(request(r, fast, 0, 1), ERR_LIMIT);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_too_many_invalid),
        cmocka_unit_test(test_too_many_at_once),
        cmocka_unit_test(test_told_once),
        cmocka_unit_test(test_who_asks_is_interested),
        cmocka_unit_test(test_runs_of_neighbours),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_choke_drops_all),
        cmocka_unit_test(test_requests_while_choked),
        cmocka_unit_test(test_grace_begins_when_the_choke_has_left),
        cmocka_unit_test(test_never_unchoked),
        cmocka_unit_test(test_who_does_not_read),
        cmocka_unit_test(test_allowed_fast_set),
        cmocka_unit_test(test_allowed_fast_is_not_for_all),
        cmocka_unit_test(test_choke_leaves_allowed_fast),
        cmocka_unit_test(test_allowed_fast_again_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
