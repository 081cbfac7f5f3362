/* Property: whatever bytes come, a peer tells only what can be, keeps its memory within its limits,
 * and counts what it took. Streams are conversations that were damaged, and noise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"

#include "unit/client/peer_fixture.h"

#include "base/banned.h"

enum {
    N_STREAMS = 30000,
    STREAM_MAX = 1 << 12,
    SMALL_PIECES = 20,
};

/* Small pieces, so that streams are short. */
static const struct wire_geometry small = {
    .n_pieces = SMALL_PIECES, .piece_len = 64, .last_piece_len = 40};

static void add_ext(struct wr *w, uint8_t id, struct span payload)
{
    peer_wire_encode(w, &(struct peer_wire_msg){
                            .type = WIRE_EXTENDED_MSG, .extended_id = id, .payload = payload});
}

static void add_random_message(struct wr *w, struct rng *rng)
{
    static const enum wire_type kinds[] = {
        WIRE_CHOKE,  WIRE_UNCHOKE,      WIRE_INTERESTED, WIRE_NOT_INTERESTED,
        WIRE_HAVE,   WIRE_REQUEST,      WIRE_REQUEST,    WIRE_REQUEST,
        WIRE_CANCEL, WIRE_PORT,         WIRE_SUGGEST,    WIRE_REJECT,
        WIRE_PIECE,  WIRE_ALLOWED_FAST, WIRE_KEEP_ALIVE, WIRE_UNKNOWN,
    };
    const uint8_t donthave[4] = {0, 0, 0, (uint8_t)rng_below(rng, SMALL_PIECES)};
    struct peer_wire_msg m = {
        .type = kinds[rng_below(rng, sizeof kinds / sizeof *kinds)],
        .id = 99,
        .port = 6881,
        .block = {rng_below(rng, SMALL_PIECES), rng_below(rng, 2) * 20, 20},
        .payload = SPAN("unknown"),
    };
    switch (rng_below(rng, 12)) {
    case 0:
        add_ext(w, 0, SPAN("d1:md11:ut_metadatai3e6:ut_pexi1ee13:metadata_sizei40000e1:v3:abce"));
        return;
    case 1:
        add_ext(w, 1, SPAN("d8:msg_typei1e5:piecei0e10:total_sizei3eexyz"));
        return;
    case 2:
        add_ext(w, 2, SPAN("d5:added6:abcdef7:added.f1:\1e"));
        return;
    case 3:
        add_ext(w, 3, span_of(donthave, 4));
        return;
    default:
        break;
    }
    peer_wire_encode(w, &m);
    if (m.type == WIRE_PIECE) {
        wr_bytes(w, SPAN("twenty bytes of block"));
        w->p -= w->bad ? 0 : 1; /* that text has one too many */
    }
}

/* A conversation of one side, from its handshake on when with_handshake. */
static size_t make_stream(uint8_t *out, struct rng *rng, const struct rig *r, bool with_handshake)
{
    struct wr w = wr_over(out, STREAM_MAX / 2);
    if (with_handshake) {
        struct peer_wire_handshake h = {
            .features = rng_below(rng, 8),
            .info_hash = r->self.info_hash,
        };
        peer_wire_handshake_encode(&w, &h);
    }
    if (rng_below(rng, 2) == 0) {
        static const struct peer_wire_msg all[] = {
            {.type = WIRE_BITFIELD, .payload = {(const uint8_t *)"\xaa\x55\xa0", 3}},
            {.type = WIRE_HAVE_ALL},
            {.type = WIRE_HAVE_NONE},
        };
        peer_wire_encode(&w, &all[rng_below(rng, 3)]);
    }
    for (uint32_t n = rng_below(rng, 20); n > 0; n--) {
        add_random_message(&w, rng);
    }
    assert_false(w.bad);
    return wr_len(&w);
}

/* Flip, insert, cut out, repeat: n is at most STREAM_MAX / 2, and stays below STREAM_MAX. */
static size_t damage(uint8_t *p, size_t n, struct rng *rng)
{
    for (uint32_t k = rng_below(rng, 5); k > 0; k--) {
        size_t at = rng_below(rng, (uint32_t)n + 1), len = 1 + rng_below(rng, 16);
        uint32_t how = rng_below(rng, 5);
        if (how == 0 && n + len < STREAM_MAX) {
            memmove(p + at + len, p + at, n - at);
            n += len;
            for (size_t i = 0; i < len; i++) {
                p[at + i] = (uint8_t)rng_next(rng);
            }
        } else if (how == 1 && len <= n - at) {
            memmove(p + at, p + at + len, n - at - len);
            n -= len;
        } else if (how == 2 && len <= n - at && n + len < STREAM_MAX) {
            memmove(p + at + len, p + at, n - at);
            n += len;
        } else if (at < n) {
            p[at] ^= (uint8_t)(how == 3 ? rng_below(rng, 256) : 1u << rng_below(rng, 8));
        }
    }
    return n;
}

static void check_event(const struct rig *r, const struct peer_event *ev)
{
    const struct peer *p = &r->p;
    switch (ev->kind) {
    case PEER_EV_BLOCK:
        assert_true(peer_wire_request_ok(&p->geometry, &ev->block, WIRE_BLOCK_LEN));
        assert_int_equal(ev->data->len, ev->block.len);
        break;
    case PEER_EV_REJECT:
        assert_true(peer_wire_request_ok(&p->geometry, &ev->block, WIRE_BLOCK_LEN));
        break;
    case PEER_EV_HAVE:
        assert_true(peer_has(p, ev->block.piece));
        break;
    case PEER_EV_DONTHAVE:
        assert_true(ev->block.piece < p->geometry.n_pieces && !peer_has(p, ev->block.piece));
        break;
    case PEER_EV_FAST:
        assert_true(ev->block.piece < p->geometry.n_pieces);
        break;
    case PEER_EV_UPLOADS:
        assert_true(peer_n_uploads(p) > 0);
        break;
    case PEER_EV_EXTENSIONS:
        assert_ptr_equal(ev->ext, &p->ext);
        assert_true(strlen(p->version) <= EXT_VERSION_MAX);
        break;
    case PEER_EV_INFO_HASH:
    case PEER_EV_READY:
    case PEER_EV_CHOKE:
    case PEER_EV_UNCHOKE:
    case PEER_EV_INTERESTED:
    case PEER_EV_NOT_INTERESTED:
    case PEER_EV_BITFIELD:
    case PEER_EV_METADATA:
    case PEER_EV_PEX:
    case PEER_EV_PORT:
    case PEER_EV_UPLOAD_ONLY:
        break;
    }
}

static void check_peer(const struct rig *r, size_t n_fed)
{
    const struct peer *p = &r->p;
    uint32_t n_have = 0;
    for (uint32_t i = 0; i < SMALL_PIECES; i++) {
        n_have += peer_has(p, i);
    }
    assert_int_equal(p->n_have, n_have);
    assert_int_equal(p->seed, n_have == SMALL_PIECES);
    assert_int_equal(p->bitfield != NULL, n_have > 0 && !p->seed);
    assert_true(p->input_cap <= 2 * n_fed + 32);
    assert_true(p->early_bitfield_len <= PEER_UNKNOWN_MAX * 4);
    assert_true(data_pool_used(r->pool) <= 2 * DATA_BLOCK_LEN);
    assert_true(p->n_uploads <= PEER_UPLOADS_MAX && p->n_fast <= PEER_ALLOWED_FAST_MAX);
    assert_true(p->sendq.len <= 2 * n_fed + 64 * 77 + WIRE_HANDSHAKE_LEN);
    assert_true(p->totals.down <= n_fed && p->totals.down_payload <= p->totals.down);
}

/* An owner that does what it is told: it chokes, serves, and looks at the clock. */
static void act(struct rig *r, const struct peer_event *ev, struct rng *rng, struct data_buf *d)
{
    struct wire_block blocks[4];
    static const uint8_t have[3] = {0xff, 0xff, 0xf0};
    if (ev->kind == PEER_EV_INFO_HASH) {
        peer_start(&r->p, &r->self, r->geometry, r->now_ms);
    } else if (ev->kind == PEER_EV_READY) {
        peer_greet(&r->p, &r->self, span_of(have, 3), r->geometry == NULL ? 0 : SMALL_PIECES,
                   r->now_ms);
    } else if (ev->kind == PEER_EV_INTERESTED) {
        peer_set_choking(&r->p, rng_below(rng, 3) == 0, r->now_ms);
        peer_send_allowed_fast(&r->p, &r->self.info_hash, span_of(have, 3), r->now_ms);
    } else if (ev->kind == PEER_EV_UPLOADS && rng_below(rng, 2) == 0) {
        size_t n = peer_take_uploads(&r->p, blocks, 4, 64);
        for (size_t i = 0; i < n; i++) {
            peer_send_block(&r->p, &blocks[i], d, 0, r->now_ms);
        }
    } else if (ev->kind == PEER_EV_NOT_INTERESTED) {
        peer_set_choking(&r->p, true, r->now_ms);
    }
    r->now_ms += rng_below(rng, 500);
}

static void drain(struct rig *r, struct rng *rng)
{
    struct iovec parts[4];
    size_t len = 0;
    size_t n = sendq_iov(&r->p.sendq, parts, 4, rng_below(rng, 300));
    for (size_t i = 0; i < n; i++) {
        len += parts[i].iov_len;
    }
    (void)sendq_sent(&r->p.sendq, len);
}

static int feed_in_parts(struct rig *r, struct span all, struct rng *rng, struct data_buf *d)
{
    size_t at = 0;
    int rc = 0;
    while (at < all.n && rc == 0) {
        struct peer_event ev;
        struct span in = span_sub(all, at, 1 + rng_below(rng, rng_below(rng, 4) == 0 ? 8 : 400));
        at += in.n;
        while ((rc = peer_next(&r->p, &in, r->now_ms, &ev, &r->why)) > 0) {
            check_event(r, &ev);
            act(r, &ev, rng, d);
        }
        check_peer(r, at);
        assert_true(rc < 0 || (in.n == 0 && r->p.totals.down == at));
        if (rng_below(rng, 8) == 0) {
            drain(r, rng);
        }
    }
    return rc;
}

/* A rig without the room for its texts. */
static void rig_begin(struct rig *r, bool incoming, const struct wire_geometry *geometry)
{
    struct endpoint remote = {.port = 1};
    r->geometry = geometry;
    r->now_ms = 1000;
    r->self = (struct peer_self){.version = "Rookery 0.1.0", .pex = true};
    peer_init(&r->p, 1, incoming, &remote, r->pool, r->now_ms);
    if (!incoming) {
        peer_start(&r->p, &r->self, geometry, r->now_ms);
    }
}

static void test_damaged_streams(void **state)
{
    (void)state;
    struct rig *r = mem_new(struct rig);
    struct rng rng = {.state = 20};
    uint8_t stream[STREAM_MAX];
    size_t n_whole = 0, n_refused = 0;
    r->pool = data_pool_new();
    struct data_pool *own = data_pool_new();
    struct data_buf *d = data_new(own, DATA_BLOCK_LEN);
    memset(d->p, 'd', d->cap);
    d->len = d->cap;
    for (size_t i = 0; i < N_STREAMS; i++) {
        bool early = rng_below(&rng, 4) == 0;
        rig_begin(r, rng_below(&rng, 2) == 0, early ? NULL : &small);
        size_t n = make_stream(stream, &rng, r, rng_below(&rng, 16) != 0);
        n = damage(stream, n, &rng);
        int rc = feed_in_parts(r, span_of(stream, n), &rng, d);
        n_whole += rc == 0;
        n_refused += rc < 0;
        if (rc == 0 && early && r->p.state == PEER_READY) {
            if (peer_set_geometry(&r->p, &small, &r->why) == 0) {
                check_peer(r, n);
            }
        }
        peer_release(&r->p);
        assert_int_equal(data_pool_used(r->pool), 0);
    }
    /* Both happen, and often. */
    assert_true(n_whole > N_STREAMS / 10 && n_refused > N_STREAMS / 10);
    data_unref(d);
    data_pool_free(own);
    data_pool_free(r->pool);
    free(r);
}

/* Nothing but noise behind a handshake. */
static void test_noise(void **state)
{
    (void)state;
    struct rig *r = mem_new(struct rig);
    struct rng rng = {.state = 21};
    uint8_t noise[200];
    r->pool = data_pool_new();
    for (size_t i = 0; i < N_STREAMS / 3; i++) {
        uint8_t hello[WIRE_HANDSHAKE_LEN];
        struct wr w = wr_over(hello, sizeof hello);
        rig_begin(r, false, rng_below(&rng, 2) == 0 ? NULL : &small);
        peer_wire_handshake_encode(&w, &(struct peer_wire_handshake){
                                           .features = rng_below(&rng, 8),
                                           .info_hash = r->self.info_hash,
                                       });
        assert_int_equal(feed_in_parts(r, wr_span(&w), &rng, NULL), 0);
        for (size_t k = 0; k < sizeof noise; k++) {
            noise[k] = (uint8_t)rng_next(&rng);
        }
        noise[0] = noise[1] = 0; /* or every length is too long */
        noise[2] &= rng_below(&rng, 2) == 0 ? 0xff : 0;
        noise[4] &= 31;
        struct span in = span_of(noise, sizeof noise);
        struct peer_event ev;
        int rc;
        while ((rc = peer_next(&r->p, &in, r->now_ms, &ev, &r->why)) > 0) {
            check_event(r, &ev);
        }
        check_peer(r, sizeof hello + sizeof noise);
        peer_release(&r->p);
    }
    assert_int_equal(data_pool_used(r->pool), 0);
    data_pool_free(r->pool);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_streams),
        cmocka_unit_test(test_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
