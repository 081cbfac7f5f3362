#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/cursor.h"
#include "base/rng.h"
#include "proto/udp_tracker.h"
#include "tracker/udp_front.h"
#include "unit/tracker/front_fixture.h"

#include "base/banned.h"

enum { LIFETIME_MS = 2000, TRANSACTION = 0x12345678, ROUNDS = 5000 };

static const char good_key[] = "0123456789abcdef0123456789abcdef";

struct fixture {
    struct tracker *tracker;
    struct udp_front *front;
    struct connid connid;
    struct tracker_time now;
    uint8_t in[UDP_RECV_LEN];
    uint8_t out[UDP_SEND_LEN];
    struct udp_datagram d;
};

static void open_front(struct fixture *f, enum tracker_mode mode)
{
    struct tracker_cfg cfg = fixture_tracker_cfg(mode);
    *f = (struct fixture){.connid = {.lifetime_ms = LIFETIME_MS}, .now = fixture_start};
    memset(&f->connid.secret, 7, sizeof f->connid.secret);
    f->tracker = tracker_new(&cfg, 1, fixture_start);
    f->front = udp_front_new(f->tracker, tracker_worker(f->tracker, 0), &f->connid);
}

static void close_front(struct fixture *f)
{
    udp_front_free(f->front);
    tracker_free(f->tracker);
}

static void answer(struct fixture *f, struct udp_datagram *datagrams, size_t n)
{
    struct tracker_worker *worker = tracker_worker(f->tracker, 0);
    tracker_begin(worker, f->now);
    udp_front_answer(f->front, datagrams, n, f->now);
    tracker_end(worker);
}

/* The answer to what w holds; empty for silence. */
static struct span ask(struct fixture *f, const struct wr *w, const char *from)
{
    assert_false(w->bad);
    f->d = (struct udp_datagram){
        .in = wr_span(w), .from = fixture_at(from), .out = f->out, .out_len = 0};
    answer(f, &f->d, 1);
    assert_true(f->d.out_len <= UDP_REPLY_MAX);
    return span_of(f->out, f->d.out_len);
}

static struct udp_reply decode(struct span reply, bool v6)
{
    struct udp_reply r;
    const char *why = NULL;
    assert_true(reply.n > 0);
    assert_int_equal(udp_reply_decode(&r, reply, v6, &why), reply.n);
    assert_int_equal(r.transaction_id, TRANSACTION);
    return r;
}

static uint64_t connect_from(struct fixture *f, const char *from)
{
    struct wr w = wr_over(f->in, sizeof f->in);
    udp_connect_encode(&w, TRANSACTION);
    struct span reply = ask(f, &w, from);
    assert_int_equal(reply.n, 16);
    struct udp_reply r = decode(reply, false);
    assert_int_equal(r.action, UDP_CONNECT);
    return r.connection_id;
}

static struct announce_req request(uint8_t hash, uint16_t port)
{
    struct announce_req req = {.info_hash = fixture_hash(hash),
                               .left = 100,
                               .event = EVENT_STARTED,
                               .numwant = NUMWANT_UNSET,
                               .port = port};
    memset(req.peer_id.b, port & 0xff, sizeof req.peer_id.b);
    return req;
}

static struct span announce(struct fixture *f, const char *from, uint64_t id,
                            const struct announce_req *req, const char *url_data)
{
    struct wr w = wr_over(f->in, sizeof f->in);
    udp_announce_encode(&w, id, TRANSACTION, 99, req, span_str(url_data));
    return ask(f, &w, from);
}

static struct span scrape(struct fixture *f, const char *from, uint64_t id,
                          const struct infohash *hashes, size_t n)
{
    struct wr w = wr_over(f->in, sizeof f->in);
    udp_scrape_encode(&w, id, TRANSACTION, hashes, n);
    return ask(f, &w, from);
}

static bool contains(struct span s, const char *text)
{
    return memmem(s.p, s.n, text, strlen(text)) != NULL;
}

static void assert_error(struct span reply, const char *text)
{
    struct udp_reply r = decode(reply, false);
    assert_int_equal(r.action, UDP_ERROR);
    if (!contains(r.error, text)) {
        fail_msg("'%.*s' does not contain '%s'", (int)r.error.n, (const char *)r.error.p, text);
    }
}

static void test_connect(void **state)
{
    (void)state;
    struct fixture f;
    open_front(&f, MODE_PUBLIC);
    uint64_t id = connect_from(&f, "192.0.2.1:1000");
    assert_true(connid_check(&f.connid, id, &f.d.from.addr, f.now.mono_ms));
    (void)connect_from(&f, "[2001:db8::1]:1000");
    assert_int_equal(fixture_count(f.tracker, COUNT_udp4_connects), 1);
    assert_int_equal(fixture_count(f.tracker, COUNT_udp6_connects), 1);
    assert_int_equal(fixture_count(f.tracker, COUNT_udp4_requests), 1);
    assert_int_equal(fixture_count(f.tracker, COUNT_udp6_responses), 1);

    struct wr w = wr_over(f.in, sizeof f.in);
    wr_u64(&w, UDP_PROTOCOL_ID + 1);
    wr_u32(&w, UDP_CONNECT);
    wr_u32(&w, TRANSACTION);
    assert_int_equal(ask(&f, &w, "192.0.2.1:1000").n, 0);
    w = wr_over(f.in, sizeof f.in);
    udp_connect_encode(&w, TRANSACTION);
    assert_int_equal(ask(&f, &w, "192.0.2.1:0").n, 0);
    assert_int_equal(fixture_count(f.tracker, COUNT_udp_malformed), 2);
    assert_int_equal(fixture_count(f.tracker, COUNT_udp4_responses), 1);
    close_front(&f);
}

static void test_junk_is_silent(void **state)
{
    (void)state;
    struct fixture f;
    open_front(&f, MODE_PUBLIC);
    uint64_t junk = 0;
    for (size_t n = 0; n <= 200; n++) {
        struct wr w = wr_over(f.in, n);
        for (size_t i = 0; i < n; i++) {
            wr_u8(&w, 0xa5);
        }
        assert_int_equal(ask(&f, &w, "192.0.2.1:1000").n, 0);
        junk++;
    }
    assert_int_equal(fixture_count(f.tracker, COUNT_udp_malformed), junk);

    /* Cut by the socket: whatever it says, it is not what was sent. */
    struct wr w = wr_over(f.in, sizeof f.in);
    udp_connect_encode(&w, TRANSACTION);
    f.d = (struct udp_datagram){
        .in = wr_span(&w), .from = fixture_at("192.0.2.1:1000"), .truncated = true, .out = f.out};
    answer(&f, &f.d, 1);
    assert_int_equal(f.d.out_len, 0);
    assert_int_equal(fixture_count(f.tracker, COUNT_udp_malformed), junk + 1);
    assert_int_equal(fixture_count(f.tracker, COUNT_udp4_responses), 0);
    close_front(&f);
}

static void test_connection_id_is_tied_to_address_and_time(void **state)
{
    (void)state;
    struct fixture f;
    open_front(&f, MODE_PUBLIC);
    struct announce_req req = request(1, 6881);
    uint64_t id = connect_from(&f, "192.0.2.1:1000");
    assert_true(announce(&f, "192.0.2.1:1000", id, &req, "").n > 0);
    assert_true(announce(&f, "192.0.2.1:2000", id, &req, "").n > 0); /* NAT may change the port */
    assert_int_equal(announce(&f, "192.0.2.2:1000", id, &req, "").n, 0);
    assert_int_equal(announce(&f, "192.0.2.1:1000", id ^ 1, &req, "").n, 0);
    assert_int_equal(announce(&f, "192.0.2.1:1000", UDP_PROTOCOL_ID, &req, "").n, 0);
    f.now = fixture_after(LIFETIME_MS - CONNID_SLOT_MS);
    assert_true(announce(&f, "192.0.2.1:1000", id, &req, "").n > 0);
    f.now = fixture_after(LIFETIME_MS + CONNID_SLOT_MS + 1);
    assert_int_equal(announce(&f, "192.0.2.1:1000", id, &req, "").n, 0);
    assert_int_equal(scrape(&f, "192.0.2.1:1000", id, &req.info_hash, 1).n, 0);
    assert_int_equal(fixture_count(f.tracker, COUNT_udp_bad_connection_id), 5);
    assert_int_equal(fixture_count(f.tracker, COUNT_udp4_errors), 0);
    assert_int_equal(fixture_count(f.tracker, COUNT_udp4_announces), 3);
    close_front(&f);
}

static void test_peers_of_the_own_family(void **state)
{
    (void)state;
    struct fixture f;
    open_front(&f, MODE_PUBLIC);
    struct announce_req req = request(1, 6881);
    uint64_t id4 = connect_from(&f, "192.0.2.1:1000");
    uint64_t id6 = connect_from(&f, "[2001:db8::1]:1000");
    struct udp_reply r = decode(announce(&f, "192.0.2.1:1000", id4, &req, ""), false);
    assert_int_equal(r.action, UDP_ANNOUNCE);
    assert_int_equal(r.announce.peers4.n, 0);
    assert_int_equal(r.announce.counts.incomplete, 1);
    assert_in_range(r.announce.interval_s, 1800, 1980);
    r = decode(announce(&f, "[2001:db8::1]:1000", id6, &req, ""), true);
    assert_int_equal(r.announce.peers6.n, 0);
    req.port = 6882;
    r = decode(announce(&f, "192.0.2.1:1000", id4, &req, ""), false);
    static const uint8_t expect4[] = {192, 0, 2, 1, 6881 >> 8, 6881 & 0xff};
    assert_int_equal(r.announce.peers4.n, sizeof expect4);
    assert_memory_equal(r.announce.peers4.p, expect4, sizeof expect4);
    r = decode(announce(&f, "[2001:db8::1]:1000", id6, &req, ""), true);
    static const uint8_t expect6[] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0,         0,
                                      0,    0,    0,    0,    0, 0, 1, 6881 >> 8, 6881 & 0xff};
    assert_int_equal(r.announce.peers6.n, sizeof expect6);
    assert_memory_equal(r.announce.peers6.p, expect6, sizeof expect6);
    assert_int_equal(fixture_count(f.tracker, COUNT_udp4_announces), 2);
    assert_int_equal(fixture_count(f.tracker, COUNT_udp6_announces), 2);
    close_front(&f);
}

static void test_peers_fit_the_datagram(void **state)
{
    (void)state;
    struct fixture f;
    open_front(&f, MODE_PUBLIC);
    struct announce_req req = request(1, 1);
    uint64_t id4 = connect_from(&f, "192.0.2.1:1000");
    uint64_t id6 = connect_from(&f, "[2001:db8::1]:1000");
    for (uint16_t i = 0; i < 300; i++) {
        req.port = (uint16_t)(7000 + i);
        req.numwant = 0;
        (void)announce(&f, "192.0.2.1:1000", id4, &req, "");
        (void)announce(&f, "[2001:db8::1]:1000", id6, &req, "");
    }
    req.numwant = 300;
    struct span reply = announce(&f, "192.0.2.1:1000", id4, &req, "");
    assert_int_equal(decode(reply, false).announce.peers4.n, 202 * COMPACT4_LEN);
    assert_int_equal(reply.n, 20 + 202 * COMPACT4_LEN);
    reply = announce(&f, "[2001:db8::1]:1000", id6, &req, "");
    assert_int_equal(decode(reply, true).announce.peers6.n, 67 * COMPACT6_LEN);
    close_front(&f);
}

static void test_errors_only_for_the_verified(void **state)
{
    (void)state;
    struct fixture f;
    open_front(&f, MODE_PUBLIC);
    uint64_t id = connect_from(&f, "192.0.2.1:1000");
    struct announce_req req = request(1, 6881);
    struct wr w = wr_over(f.in, sizeof f.in);
    udp_announce_encode(&w, id, TRANSACTION, 99, &req, span_str(""));
    f.in[96] = 0; /* the port */
    f.in[97] = 0;
    assert_error(ask(&f, &w, "192.0.2.1:1000"), "port");
    assert_int_equal(ask(&f, &w, "192.0.2.9:1000").n, 0);
    w = wr_over(f.in, sizeof f.in);
    wr_u64(&w, id);
    wr_u32(&w, 77);
    wr_u32(&w, TRANSACTION);
    assert_error(ask(&f, &w, "192.0.2.1:1000"), "action");
    assert_int_equal(ask(&f, &w, "192.0.2.9:1000").n, 0);
    assert_int_equal(fixture_count(f.tracker, COUNT_udp4_errors), 2);
    assert_int_equal(fixture_count(f.tracker, COUNT_udp_malformed), 2);
    close_front(&f);
}

static void test_scrape_keeps_order_and_duplicates(void **state)
{
    (void)state;
    struct fixture f;
    open_front(&f, MODE_PUBLIC);
    uint64_t id = connect_from(&f, "192.0.2.1:1000");
    struct announce_req req = request(1, 6881);
    (void)announce(&f, "192.0.2.1:1000", id, &req, "");
    req.info_hash = fixture_hash(2);
    req.left = 0;
    (void)announce(&f, "192.0.2.1:1000", id, &req, "");
    struct infohash hashes[] = {fixture_hash(2), fixture_hash(9), fixture_hash(1), fixture_hash(2)};
    struct udp_reply r = decode(scrape(&f, "192.0.2.1:1000", id, hashes, 4), false);
    assert_int_equal(r.action, UDP_SCRAPE);
    assert_int_equal(r.scrape.n, 4 * 12);
    static const uint32_t expect[4][2] = {{1, 0}, {0, 0}, {0, 1}, {1, 0}};
    for (size_t i = 0; i < 4; i++) {
        struct scrape_counts c = udp_scrape_at(r.scrape, i);
        assert_int_equal(c.complete, expect[i][0]);
        assert_int_equal(c.incomplete, expect[i][1]);
    }
    assert_int_equal(fixture_count(f.tracker, COUNT_udp4_scrapes), 1);
    close_front(&f);
}

static void test_scrape_limits(void **state)
{
    (void)state;
    struct fixture f;
    struct infohash hashes[UDP_SCRAPE_WIRE_MAX];
    open_front(&f, MODE_PUBLIC);
    uint64_t id = connect_from(&f, "192.0.2.1:1000");
    for (size_t i = 0; i < UDP_SCRAPE_WIRE_MAX; i++) {
        hashes[i] = fixture_hash((uint8_t)i);
    }
    struct udp_reply r = decode(scrape(&f, "192.0.2.1:1000", id, hashes, 74), false);
    assert_int_equal(r.scrape.n, 74 * 12);
    assert_error(scrape(&f, "192.0.2.1:1000", id, hashes, 75), "74");
    assert_error(scrape(&f, "192.0.2.1:1000", id, hashes, UDP_SCRAPE_WIRE_MAX), "74");
    assert_error(scrape(&f, "192.0.2.1:1000", id, hashes, 0), "scrape");
    assert_int_equal(fixture_count(f.tracker, COUNT_udp4_errors), 3);
    close_front(&f);
}

static void test_key_in_url_data(void **state)
{
    (void)state;
    static const char *const good[] = {"/%s", "/announce/%s", "/%s/announce",
                                       "/%s/announce?passkey=other"};
    static const char *const bad[] = {"", "/announce", "/ffffffffffffffffffffffffffffffff",
                                      "/announce?key=0123456789abcdef0123456789abcdef"};
    struct fixture f;
    char url[128];
    open_front(&f, MODE_PRIVATE);
    fixture_add_key(f.tracker, good_key);
    uint64_t id = connect_from(&f, "192.0.2.1:1000");
    struct announce_req req = request(1, 6881);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct span before;
        struct span after = span_cut(span_str(good[i]), '%', &before);
        (void)snprintf(url, sizeof url, "%.*s%s%s", (int)after.n, (const char *)after.p, good_key,
                       (const char *)before.p + 1);
        struct udp_reply r = decode(announce(&f, "192.0.2.1:1000", id, &req, url), false);
        assert_int_equal(r.action, UDP_ANNOUNCE);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_error(announce(&f, "192.0.2.1:1000", id, &req, bad[i]), "key");
    }
    assert_int_equal(fixture_count(f.tracker, COUNT_refused_key), sizeof bad / sizeof bad[0]);
    close_front(&f);
}

static void test_private_scrape_shows_nothing(void **state)
{
    (void)state;
    struct fixture f;
    char url[64];
    open_front(&f, MODE_PRIVATE);
    fixture_add_key(f.tracker, good_key);
    uint64_t id = connect_from(&f, "192.0.2.1:1000");
    struct announce_req req = request(1, 6881);
    (void)snprintf(url, sizeof url, "/%s", good_key);
    (void)announce(&f, "192.0.2.1:1000", id, &req, url);
    struct udp_reply r = decode(scrape(&f, "192.0.2.1:1000", id, &req.info_hash, 1), false);
    assert_int_equal(r.action, UDP_SCRAPE);
    struct scrape_counts c = udp_scrape_at(r.scrape, 0);
    assert_int_equal(c.complete + c.downloaded + c.incomplete, 0);
    close_front(&f);
}

static void test_whitelist(void **state)
{
    (void)state;
    struct fixture f;
    open_front(&f, MODE_LISTED);
    uint64_t id = connect_from(&f, "192.0.2.1:1000");
    struct announce_req req = request(1, 6881);
    assert_error(announce(&f, "192.0.2.1:1000", id, &req, ""), "whitelist");
    tracker_whitelist_add(f.tracker, &req.info_hash, 1);
    struct udp_reply r = decode(announce(&f, "192.0.2.1:1000", id, &req, ""), false);
    assert_int_equal(r.action, UDP_ANNOUNCE);
    close_front(&f);
}

static void test_a_batch_is_answered_in_its_places(void **state)
{
    (void)state;
    struct fixture f;
    static uint8_t in[UDP_BATCH][128];
    static uint8_t out[UDP_BATCH][UDP_SEND_LEN];
    struct udp_datagram batch[UDP_BATCH];
    open_front(&f, MODE_PUBLIC);
    uint64_t id = connect_from(&f, "192.0.2.1:1000");
    for (uint32_t i = 0; i < UDP_BATCH; i++) {
        struct wr w = wr_over(in[i], sizeof in[i]);
        struct announce_req req = request((uint8_t)i, 6881);
        if (i % 3 == 0) {
            udp_connect_encode(&w, i);
        } else if (i % 3 == 1) {
            udp_announce_encode(&w, id, i, 0, &req, span_str(""));
        } else {
            wr_u32(&w, i);
        }
        batch[i] = (struct udp_datagram){
            .in = wr_span(&w), .from = fixture_at("192.0.2.1:1000"), .out = out[i]};
    }
    answer(&f, batch, UDP_BATCH);
    for (uint32_t i = 0; i < UDP_BATCH; i++) {
        struct rd r = rd_over(span_of(out[i], batch[i].out_len));
        static const size_t expect[] = {16, 20, 0};
        assert_int_equal(batch[i].out_len, expect[i % 3]);
        if (i % 3 != 2) {
            assert_int_equal(rd_u32(&r), i % 3 == 0 ? UDP_CONNECT : UDP_ANNOUNCE);
            assert_int_equal(rd_u32(&r), i);
        }
    }
    close_front(&f);
}

static void test_requests_are_timed_by_sample(void **state)
{
    (void)state;
    struct fixture f;
    struct stats_totals totals;
    open_front(&f, MODE_PUBLIC);
    for (int i = 0; i < 3 * STATS_SAMPLE_EVERY; i++) {
        (void)connect_from(&f, "192.0.2.1:1000");
    }
    tracker_stats(f.tracker, &totals);
    assert_int_equal(totals.timed[TIMED_UDP_CONNECT].count, 3);
    close_front(&f);
}

/* Nobody without a valid id gets more than a connect's answer, whatever is sent. */
static void test_random_datagrams(void **state)
{
    (void)state;
    struct fixture f;
    struct rng rng = {.state = 1};
    open_front(&f, MODE_PUBLIC);
    for (int i = 0; i < ROUNDS; i++) {
        size_t n = rng_below(&rng, 300);
        struct wr w = wr_over(f.in, n);
        for (size_t k = 0; k < n; k++) {
            wr_u8(&w, (uint8_t)rng_next(&rng));
        }
        if (n >= 16 && i % 2 == 0) {
            memset(f.in + 8, 0, 3); /* an action that exists */
            f.in[11] &= 3;
        }
        assert_int_equal(ask(&f, &w, "192.0.2.1:1000").n, 0);
    }
    close_front(&f);
}

static void test_mutated_datagrams(void **state)
{
    (void)state;
    struct fixture f;
    struct rng rng = {.state = 2};
    struct infohash hashes[3] = {fixture_hash(1), fixture_hash(2), fixture_hash(3)};
    open_front(&f, MODE_PUBLIC);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t id = connect_from(&f, "192.0.2.1:1000");
        struct announce_req req = request((uint8_t)rng_below(&rng, 4), 6881);
        struct wr w = wr_over(f.in, sizeof f.in);
        if (i % 2 == 0) {
            udp_announce_encode(&w, id, TRANSACTION, 1, &req, span_str("/announce/KEY"));
        } else {
            udp_scrape_encode(&w, id, TRANSACTION, hashes, 3);
        }
        size_t n = wr_len(&w);
        bool id_broken = false;
        for (uint32_t flips = rng_below(&rng, 6); flips > 0; flips--) {
            size_t at = rng_below(&rng, (uint32_t)n);
            uint8_t by = (uint8_t)(1 + rng_below(&rng, 255));
            f.in[at] ^= by;
        }
        struct rd r = rd_over(span_of(f.in, n));
        id_broken = rd_u64(&r) != id;
        w.p = f.in + (rng_below(&rng, 4) == 0 ? rng_below(&rng, (uint32_t)n + 1) : n);
        struct span reply = ask(&f, &w, "192.0.2.1:1000");
        if (id_broken || wr_len(&w) < 16) {
            assert_int_equal(reply.n, 0);
        } else if (rd_u32(&r) != UDP_CONNECT) {
            assert_true(reply.n >= 8);
        }
        f.now.mono_ms += rng_below(&rng, 10);
    }
    close_front(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_junk_is_silent),
        cmocka_unit_test(test_connection_id_is_tied_to_address_and_time),
        cmocka_unit_test(test_peers_of_the_own_family),
        cmocka_unit_test(test_peers_fit_the_datagram),
        cmocka_unit_test(test_errors_only_for_the_verified),
        cmocka_unit_test(test_scrape_keeps_order_and_duplicates),
        cmocka_unit_test(test_scrape_limits),
        cmocka_unit_test(test_key_in_url_data),
        cmocka_unit_test(test_private_scrape_shows_nothing),
        cmocka_unit_test(test_whitelist),
        cmocka_unit_test(test_a_batch_is_answered_in_its_places),
        cmocka_unit_test(test_requests_are_timed_by_sample),
        cmocka_unit_test(test_random_datagrams),
        cmocka_unit_test(test_mutated_datagrams),
    };
    assert_int_equal(digest_start(), 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
