#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <uv.h>

#include "base/rng.h"
#include "proto/udp_tracker.h"
#include "unit/tracker/server_fixture.h"

#include "base/banned.h"

enum { TRANSACTION = 77, WORKERS = 3 };

static size_t udp_ask(int fd, const struct wr *w, uint8_t *out, size_t cap)
{
    assert_false(w->bad);
    send_all(fd, w->start, wr_len(w));
    ssize_t n = recv(fd, out, cap, 0);
    assert_true(n >= 8);
    return (size_t)n;
}

static struct udp_reply udp_decode(const uint8_t *reply, size_t n)
{
    struct udp_reply r;
    const char *why = NULL;
    assert_int_equal(udp_reply_decode(&r, span_of(reply, n), false, &why), n);
    assert_int_equal(r.transaction_id, TRANSACTION);
    return r;
}

static uint64_t udp_connect(int fd)
{
    uint8_t buf[64];
    struct wr w = wr_over(buf, sizeof buf);
    udp_connect_encode(&w, TRANSACTION);
    struct udp_reply r = udp_decode(buf, udp_ask(fd, &w, buf, sizeof buf));
    assert_int_equal(r.action, UDP_CONNECT);
    return r.connection_id;
}

static struct udp_reply udp_announce(int fd, uint64_t id, struct infohash hash, uint16_t port,
                                     uint8_t *buf, size_t cap)
{
    struct wr w = wr_over(buf, cap);
    struct announce_req req = {.info_hash = hash, .left = 1, .numwant = 10, .port = port};
    udp_announce_encode(&w, id, TRANSACTION, 0, &req, span_str(""));
    return udp_decode(buf, udp_ask(fd, &w, buf, cap));
}

static struct udp_reply udp_scrape(int fd, uint64_t id, struct infohash hash, uint8_t *buf,
                                   size_t cap)
{
    struct wr w = wr_over(buf, cap);
    udp_scrape_encode(&w, id, TRANSACTION, &hash, 1);
    return udp_decode(buf, udp_ask(fd, &w, buf, cap));
}

/* The kernel spreads client ports over the workers; an id of one is good for all. */
static void test_workers_share_ports_ids_and_swarms(void **state)
{
    (void)state;
    enum { CLIENTS = 64 };
    struct server s;
    uint8_t buf[2048];
    server_init(&s);
    s.cfg.tracker.workers = WORKERS;
    server_start(&s);
    assert_int_equal(workers_count(&s.cfg), WORKERS);
    assert_int_equal(workers_udp(s.workers)->n, 2);
    assert_int_equal(workers_http(s.workers)->n, 2);
    assert_int_not_equal(workers_udp(s.workers)->at[0].port, 0);
    int first = server_udp(&s, 0);
    uint64_t id = udp_connect(first);
    for (uint16_t i = 0; i < CLIENTS; i++) {
        int fd = server_udp(&s, 0);
        struct udp_reply r =
            udp_announce(fd, id, fixture_hash(1), (uint16_t)(7000 + i), buf, sizeof buf);
        assert_int_equal(r.action, UDP_ANNOUNCE);
        assert_int_equal(r.announce.counts.incomplete, i + 1);
        assert_int_equal(close(fd), 0);
    }
    assert_int_equal(close(first), 0);
    assert_int_equal(fixture_count(s.tracker, COUNT_udp4_announces), CLIENTS);
    server_stop(&s);
}

static void test_taken_port_is_one_clear_error(void **state)
{
    (void)state;
    struct server s;
    struct endpoint taken;
    struct err e;
    char text[ENDPOINT_TEXT_LEN];
    int fd = fixture_bind(LISTEN_TCP, "127.0.0.1:0", &taken);
    server_init(&s);
    s.http[1] = taken;
    server_make_tracker(&s);
    assert_int_equal(workers_open(&s.workers, s.tracker, &s.cfg, &e), ERR_IN_USE);
    assert_non_null(strstr(e.msg, "tracker.http"));
    assert_non_null(strstr(e.msg, endpoint_format(text, &taken)));
    assert_int_equal(close(fd), 0);

    /* Another server's socket shares nicely, and is found all the same. */
    struct listen_spec spec = listen_spec_for(LISTEN_UDP, s.udp, 2, 0);
    spec.reuse_port = true;
    fd = listen_open(&spec, &e);
    assert_true(fd >= 0);
    s.udp[0] = spec.at;
    assert_int_equal(workers_open(&s.workers, s.tracker, &s.cfg, &e), ERR_IN_USE);
    assert_non_null(strstr(e.msg, "tracker.udp"));
    assert_int_equal(close(fd), 0);
    assert_int_equal(workers_open(&s.workers, s.tracker, &s.cfg, &e), 0);
    server_stop(&s);
}

static void test_nothing_stays_bound_after_a_failure(void **state)
{
    (void)state;
    struct server s;
    struct endpoint freed;
    struct err e;
    int fd = fixture_bind(LISTEN_UDP, "127.0.0.1:0", &freed);
    assert_int_equal(close(fd), 0);
    server_init(&s);
    s.udp[0] = freed;
    s.http[1] = fixture_at("203.0.113.1:0"); /* not of this machine */
    s.cfg.tracker.workers = WORKERS;
    server_make_tracker(&s);
    assert_true(workers_open(&s.workers, s.tracker, &s.cfg, &e) < 0);
    assert_non_null(strstr(e.msg, "203.0.113.1:0"));
    struct listen_spec spec = listen_spec_for(LISTEN_UDP, &freed, 1, 0);
    assert_int_equal(listen_probe(&spec, &e), 0);
    tracker_free(s.tracker);
}

static void test_overlapping_addresses(void **state)
{
    (void)state;
    struct server s;
    uint8_t buf[2048];
    server_init(&s);
    s.udp[0] = fixture_at("0.0.0.0:0");
    server_start(&s);
    uint16_t port = workers_udp(s.workers)->at[0].port;
    server_stop(&s);
    s.udp[0].port = port;
    s.udp[1] = fixture_at("127.0.0.1:0");
    s.udp[1].port = port;
    server_start(&s);
    int fd = server_udp(&s, 1);
    (void)udp_announce(fd, udp_connect(fd), fixture_hash(1), 1, buf, sizeof buf);
    assert_int_equal(close(fd), 0);
    server_stop(&s);
}

static void test_certificate_that_cannot_be_read(void **state)
{
    (void)state;
    struct server s;
    struct err e;
    char certificate[] = "/nowhere/certificate.pem";
    char key[] = "/nowhere/key.pem";
    server_init(&s);
    s.cfg.tracker.tls_certificate = certificate;
    s.cfg.tracker.tls_key = key;
    server_make_tracker(&s);
    assert_int_equal(workers_open(&s.workers, s.tracker, &s.cfg, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.msg, certificate));
    tracker_free(s.tracker);
}

static void test_no_listeners_at_all(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    s.cfg.tracker.udp.n = 0;
    s.cfg.tracker.http.n = 0;
    server_start(&s);
    assert_int_equal(workers_udp(s.workers)->n, 0);
    assert_int_equal(workers_http(s.workers)->n, 0);
    server_stop(&s);
}

static void test_silent_peers_expire(void **state)
{
    (void)state;
    struct server s;
    uint8_t buf[2048];
    uint32_t left = 1;
    server_init(&s);
    s.cfg.tracker.peer_timeout_s = 1;
    server_start(&s);
    int fd = server_udp(&s, 0);
    uint64_t id = udp_connect(fd);
    uint64_t start_ms = server_now().mono_ms;
    (void)udp_announce(fd, id, fixture_hash(1), 7000, buf, sizeof buf);
    while (fixture_count(s.tracker, COUNT_peers_expired) == 0 &&
           server_now().mono_ms - start_ms < FIXTURE_PATIENCE_MS) {
        /* Nothing tells of a sweep: ask, with a wait that nothing will end. */
        struct pollfd nothing = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&nothing, 1, 20), 0);
    }
    assert_in_range(server_now().mono_ms - start_ms, 900, 4000);
    struct udp_reply r = udp_scrape(fd, id, fixture_hash(1), buf, sizeof buf);
    left = udp_scrape_at(r.scrape, 0).incomplete;
    assert_int_equal(left, 0);
    assert_int_equal(close(fd), 0);
    server_stop(&s);
}

static void test_close_with_connections_of_every_kind(void **state)
{
    (void)state;
    struct server s;
    struct pollfd p = {.events = POLLOUT};
    server_init(&s);
    server_start(&s);
    int idle = server_http(&s, 0); /* between two requests */
    send_text(idle, "GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    struct pollfd answered = {.fd = idle, .events = POLLIN};
    assert_int_equal(poll(&answered, 1, FIXTURE_PATIENCE_MS), 1);
    int head = server_http(&s, 0);
    send_text(head, "GET / HT");
    p.fd = server_http(&s, 0); /* takes no answers */
    while (poll(&p, 1, 300) == 1) {
        static const char request[] = "GET / HTTP/1.1\r\nHost: t\r\n\r\n";
        ssize_t n = send(p.fd, request, sizeof request - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        assert_true(n > 0 || errno == EAGAIN);
        if (n > 0 && (size_t)n < sizeof request - 1) {
            break;
        }
    }
    uint64_t start_ms = server_now().mono_ms;
    struct tracker *tracker = s.tracker;
    workers_close(s.workers);
    assert_in_range(server_now().mono_ms - start_ms, 0, 5000);
    assert_int_equal(fixture_count(tracker, COUNT_http_connections), 3);
    assert_int_equal(fixture_count(tracker, COUNT_http_connections_closed), 3);
    tracker_free(tracker);
    assert_int_equal(close(idle), 0);
    assert_int_equal(close(head), 0);
    assert_int_equal(close(p.fd), 0);
}

/* ---- everything at once, for ThreadSanitizer ------------------------------------------------ */

struct load {
    struct server *s;
    uint64_t seed;
    atomic_uint *n_running;
};

static void udp_load(void *arg)
{
    struct load *l = arg;
    struct rng rng = {.state = l->seed};
    uint8_t buf[2048];
    int fd = server_udp(l->s, l->seed % 2);
    uint64_t id = udp_connect(fd);
    for (int i = 0; i < 1500; i++) {
        struct wr w = wr_over(buf, sizeof buf);
        struct announce_req req = {
            .info_hash = fixture_hash((uint8_t)rng_below(&rng, 8)),
            .left = rng_below(&rng, 2),
            .event = (enum announce_event)rng_below(&rng, 4),
            .numwant = 30,
            .port = (uint16_t)(1 + rng_below(&rng, 200)),
        };
        udp_announce_encode(&w, id, TRANSACTION, 0, &req, span_str(""));
        (void)udp_ask(fd, &w, buf, sizeof buf);
        (void)udp_scrape(fd, id, req.info_hash, buf, sizeof buf);
    }
    assert_int_equal(close(fd), 0);
    atomic_fetch_sub(l->n_running, 1);
}

static void http_load(void *arg)
{
    struct load *l = arg;
    struct rng rng = {.state = l->seed};
    struct http_client *c = calloc(1, sizeof *c);
    struct http_response r;
    char text[256];
    http_client_open(c, server_http(l->s, l->seed % 2));
    for (int i = 0; i < 1500; i++) {
        char hash = (char)('a' + rng_below(&rng, 8));
        (void)snprintf(text, sizeof text,
                       "GET /announce?info_hash=%c%.19s&peer_id=-XX0001-abcdefghijkl&port=%u"
                       "&compact=%u HTTP/1.1\r\nHost: t\r\n\r\n",
                       hash, "aaaaaaaaaaaaaaaaaaaa", 1 + rng_below(&rng, 200), rng_below(&rng, 2));
        send_text(c->fd, text);
        assert_true(http_client_response(c, &r, false));
    }
    http_client_close(c);
    free(c);
    atomic_fetch_sub(l->n_running, 1);
}

static void admin_turn(struct tracker *t, uint8_t turn)
{
    static struct torrent_row rows[64];
    static struct peer_row peers[64];
    struct infohash hash = fixture_hash(turn % 8);
    struct torrent_cursor cursor = {0};
    struct tracker_totals totals;
    struct stats_totals stats;
    size_t at = 0;
    while (!cursor.done) {
        (void)tracker_list(t, &cursor, rows, 64);
    }
    (void)tracker_peers(t, &hash, &at, peers, 64);
    tracker_totals(t, &totals);
    tracker_stats(t, &stats);
    tracker_whitelist_add(t, &hash, 1);
    if (turn % 4 == 0) {
        tracker_whitelist_remove(t, &hash, 1);
        (void)tracker_forget(t, &hash);
    }
}

static void test_load_beside_the_main_thread(void **state)
{
    (void)state;
    enum { CLIENTS = 4 };
    struct server s;
    struct load loads[CLIENTS];
    uv_thread_t threads[CLIENTS];
    atomic_uint n_running = CLIENTS;
    server_init(&s);
    s.cfg.tracker.workers = WORKERS;
    s.cfg.tracker.peer_timeout_s = 1; /* sweeps as well */
    server_start(&s);
    for (size_t i = 0; i < CLIENTS; i++) {
        loads[i] = (struct load){&s, i, &n_running};
        assert_int_equal(uv_thread_create(&threads[i], i < 2 ? udp_load : http_load, &loads[i]), 0);
    }
    for (uint8_t turn = 0; atomic_load(&n_running) > 0; turn++) {
        admin_turn(s.tracker, turn);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(uv_thread_join(&threads[i]), 0);
    }
    assert_int_equal(fixture_count(s.tracker, COUNT_udp4_announces) +
                         fixture_count(s.tracker, COUNT_udp6_announces),
                     2 * 1500);
    assert_int_equal(fixture_count(s.tracker, COUNT_http4_announces) +
                         fixture_count(s.tracker, COUNT_http6_announces),
                     2 * 1500);
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers_share_ports_ids_and_swarms),
        cmocka_unit_test(test_taken_port_is_one_clear_error),
        cmocka_unit_test(test_nothing_stays_bound_after_a_failure),
        cmocka_unit_test(test_overlapping_addresses),
        cmocka_unit_test(test_certificate_that_cannot_be_read),
        cmocka_unit_test(test_no_listeners_at_all),
        cmocka_unit_test(test_silent_peers_expire),
        cmocka_unit_test(test_close_with_connections_of_every_kind),
        cmocka_unit_test(test_load_beside_the_main_thread),
    };
    struct sigaction ignore_it = {.sa_handler = SIG_IGN};
    assert_int_equal(sigaction(SIGPIPE, &ignore_it, NULL), 0);
    assert_int_equal(digest_start(), 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
