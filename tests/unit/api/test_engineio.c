/* Sessions in virtual time: what goes in, and every output that comes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/engineio.h"
#include "base/err.h"
#include "base/rng.h"

#include "base/banned.h"

enum { INTERVAL_MS = 300, TIMEOUT_MS = 200, MAX_PAYLOAD = 100, MAX_SESSIONS = 4 };

static int get1, get2, ws1, ws2; /* links: their addresses */

static const char *link_name(const void *link)
{
    return link == &get1   ? "get1"
           : link == &get2 ? "get2"
           : link == &ws1  ? "ws1"
           : link == &ws2  ? "ws2"
           : link == NULL  ? ""
                           : "?";
}

static struct eio *engine(void)
{
    return eio_new(&(struct eio_cfg){.ping_interval_ms = INTERVAL_MS,
                                     .ping_timeout_ms = TIMEOUT_MS,
                                     .max_payload = MAX_PAYLOAD,
                                     .max_sessions = MAX_SESSIONS});
}

/* One line an output, as in "answer get1 40; closed ...; ". */
static void expect(struct eio *e, const char *want)
{
    static const char *const names[] = {"answer", "send", "cut", "opened", "message", "closed"};
    struct eio_out out;
    char got[2048] = "";
    size_t n = 0;
    while (eio_next_out(e, &out)) {
        n += (size_t)snprintf(got + n, sizeof got - n, "%s%s%s %s", n > 0 ? "; " : "",
                              names[out.type], out.bad ? "!" : "", link_name(out.link));
        n += (size_t)snprintf(got + n, sizeof got - n, "%s%.*s", out.binary ? "#" : "",
                              (int)out.data.n, (const char *)out.data.p);
        assert_true(n < sizeof got);
        assert_int_equal(out.sid.text[EIO_SID_LEN], 0);
        assert_true(out.type != EIO_OUT_CLOSED || out.why != NULL);
    }
    assert_string_equal(got, want);
}

static void drop_outs(struct eio *e)
{
    struct eio_out out;
    while (eio_next_out(e, &out)) {
    }
}

static struct span sid_of(char c)
{
    static char text[EIO_SID_LEN + 1];
    memset(text, c, EIO_SID_LEN);
    return span_of(text, EIO_SID_LEN);
}

#define A sid_of('a')

static int open_at(struct eio *e, char c, enum eio_version version, void *link, bool websocket,
                   uint64_t now_ms)
{
    struct eio_opening opening = {.version = version, .link = link, .websocket = websocket};
    memcpy(opening.sid.text, sid_of(c).p, EIO_SID_LEN);
    return eio_on_open(e, &opening, now_ms);
}

static int try_open(struct eio *e, char c, enum eio_version version, void *link, bool websocket)
{
    return open_at(e, c, version, link, websocket, 0);
}

/* Opened at 0, with everything said about that forgotten. */
static struct eio *opened(enum eio_version version, bool websocket)
{
    struct eio *e = engine();
    assert_int_equal(try_open(e, 'a', version, websocket ? &ws1 : &get1, websocket), 0);
    drop_outs(e);
    return e;
}

static enum eio_fault post(struct eio *e, const char *body, uint64_t now_ms)
{
    return eio_on_post(e, A, false, span_str(body), now_ms);
}

static void at(struct eio *e, uint64_t now_ms)
{
    assert_int_equal(eio_next_deadline_ms(e), now_ms);
    eio_on_deadline(e, now_ms - 1);
    expect(e, "");
    eio_on_deadline(e, now_ms);
}

static void test_opening(void **state)
{
    (void)state;
    struct eio *e = engine();
    assert_int_equal(try_open(e, 'a', EIO_V4, &get1, false), 0);
    expect(e, "answer get10{\"sid\":\"aaaaaaaaaaaaaaaaaaaa\",\"upgrades\":[\"websocket\"],"
              "\"pingInterval\":300,\"pingTimeout\":200,\"maxPayload\":100}; opened ");
    assert_int_equal(try_open(e, 'b', EIO_V3, &ws1, true), 0);
    expect(e, "send ws10{\"sid\":\"bbbbbbbbbbbbbbbbbbbb\",\"upgrades\":[],"
              "\"pingInterval\":300,\"pingTimeout\":200,\"maxPayload\":100}; opened ");
    assert_int_equal(try_open(e, 'c', EIO_V3, &get2, false), 0);
    drop_outs(e);
    assert_int_equal(try_open(e, 'd', EIO_V3, &get2, false), 0);
    assert_int_equal(try_open(e, 'e', EIO_V3, &get2, false), ERR_LIMIT);
    assert_int_equal(eio_count(e), MAX_SESSIONS);
    assert_true(eio_knows(e, sid_of('d')));
    assert_false(eio_knows(e, sid_of('e')));
    assert_false(eio_knows(e, SPAN("aaaa")));
    eio_free(e); /* with outputs that nobody took */
}

static void test_polling_both_ways(void **state)
{
    (void)state;
    struct eio *e = opened(EIO_V4, false);
    assert_int_equal(post(e,
                          "40\x1e"
                          "4hello\x1e"
                          "bAAE=",
                          1),
                     EIO_FAULT_NONE);
    struct eio_out out;
    assert_true(eio_next_out(e, &out));
    assert_true(span_eq(out.data, SPAN("0")) && !out.binary);
    assert_true(eio_next_out(e, &out));
    assert_true(span_eq(out.data, SPAN("hello")));
    assert_true(eio_next_out(e, &out));
    assert_true(out.binary && span_eq(out.data, SPAN("\0\1")));
    expect(e, "");
    eio_send(e, A, false, SPAN("one"));
    eio_send(e, A, true, SPAN("two"));
    expect(e, "");
    assert_int_equal(eio_on_poll(e, A, &get1, 2), EIO_FAULT_NONE);
    expect(e, "answer get14one\x1e"
              "bdHdv");
    assert_int_equal(eio_on_poll(e, A, &get2, 3), EIO_FAULT_NONE);
    expect(e, "");
    eio_send(e, A, false, SPAN("three"));
    expect(e, "answer get24three");
    eio_free(e);
}

static void test_answers_stay_below_max_payload(void **state)
{
    (void)state;
    struct eio *e = opened(EIO_V3, false);
    char text[MAX_PAYLOAD + 51];
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 4; i++) {
        eio_send(e, A, false, span_of(text, 20));
    }
    eio_send(e, A, false, span_of(text, sizeof text)); /* alone it is longer, and goes alone */
    size_t lengths[] = {3 * 24, 24, 4 + 1 + sizeof text};
    for (size_t i = 0; i < 3; i++) {
        struct eio_out out;
        assert_int_equal(eio_on_poll(e, A, &get1, 1), EIO_FAULT_NONE);
        assert_true(eio_next_out(e, &out));
        assert_int_equal(out.data.n, lengths[i]);
        expect(e, "");
    }
    eio_free(e);
}

static void test_heartbeat_of_revision_4(void **state)
{
    (void)state;
    struct eio *e = opened(EIO_V4, true);
    at(e, INTERVAL_MS);
    expect(e, "send ws12");
    eio_on_frame(e, A, &ws1, false, SPAN("3"), 450);
    at(e, 450 + INTERVAL_MS);
    expect(e, "send ws12");
    eio_on_frame(e, A, &ws1, false, SPAN("4not a pong"), 800);
    expect(e, "message not a pong");
    at(e, 450 + INTERVAL_MS + TIMEOUT_MS);
    expect(e, "cut ws1; closed ");
    assert_int_equal(eio_count(e), 0);
    assert_true(eio_next_deadline_ms(e) == UINT64_MAX);
    eio_free(e);
}

static void test_pongs_that_nobody_asked_for_change_nothing(void **state)
{
    (void)state;
    struct eio *e = opened(EIO_V4, true);
    for (uint64_t now_ms = 50; now_ms < INTERVAL_MS; now_ms += 50) {
        eio_on_frame(e, A, &ws1, false, SPAN("3"), now_ms);
    }
    at(e, INTERVAL_MS);
    expect(e, "send ws12");
    eio_free(e);
}

static void test_heartbeat_of_revision_3(void **state)
{
    (void)state;
    struct eio *e = opened(EIO_V3, false);
    assert_int_equal(post(e, "1:2", 400), EIO_FAULT_NONE);
    assert_int_equal(eio_on_poll(e, A, &get1, 450), EIO_FAULT_NONE);
    expect(e, "answer get11:3");
    assert_int_equal(eio_on_poll(e, A, &get1, 500), EIO_FAULT_NONE); /* asking is no heartbeat */
    at(e, 400 + INTERVAL_MS + TIMEOUT_MS);
    expect(e, "answer get11:1; closed ");
    eio_free(e);
}

static void test_a_binary_ping_is_no_packet(void **state)
{
    (void)state;
    struct eio *e = opened(EIO_V3, false);
    struct span body = SPAN("\x01\x02\xff\x02\x80"); /* a pong with that byte would be no text */
    assert_int_equal(eio_on_poll(e, A, &get1, 1), EIO_FAULT_NONE);
    assert_int_equal(eio_on_post(e, A, true, body, 1), EIO_FAULT_REQUEST);
    expect(e, "answer get11:1; closed ");
    eio_free(e);
}

static void test_pings_from_the_wrong_side(void **state)
{
    (void)state;
    struct eio *e = opened(EIO_V4, true);
    eio_on_frame(e, A, &ws1, false, SPAN("2"), 1);
    expect(e, "cut! ws1; closed ");
    eio_free(e);
    e = opened(EIO_V3, false);
    assert_int_equal(post(e, "1:3", 1), EIO_FAULT_REQUEST);
    expect(e, "closed ");
    eio_free(e);
}

static void test_what_means_nothing_is_passed_over(void **state)
{
    (void)state;
    struct eio *e = opened(EIO_V4, true);
    eio_on_frame(e, A, &ws1, false, SPAN("5"), 1);
    eio_on_frame(e, A, &ws1, false, SPAN("6"), 1);
    eio_on_frame(e, A, &ws1, false, SPAN("0{}"), 1);
    eio_on_frame(e, A, &ws2, false, SPAN("4from elsewhere"), 1);
    expect(e, "");
    assert_int_equal(eio_count(e), 1);
    eio_free(e);
}

static void test_the_client_closes(void **state)
{
    (void)state;
    struct eio *e = opened(EIO_V4, false);
    assert_int_equal(eio_on_poll(e, A, &get1, 1), EIO_FAULT_NONE);
    assert_int_equal(post(e,
                          "41\x1e"
                          "1\x1e"
                          "4unheard",
                          2),
                     EIO_FAULT_NONE);
    expect(e, "message 1; answer get16; closed ");
    assert_int_equal(eio_on_poll(e, A, &get1, 3), EIO_FAULT_SID);
    assert_int_equal(post(e, "40", 3), EIO_FAULT_SID);
    eio_free(e);
    e = opened(EIO_V4, true);
    eio_on_gone(e, A, &ws2);
    expect(e, "");
    eio_on_gone(e, A, &ws1);
    expect(e, "closed ");
    eio_free(e);
}

static void test_what_cannot_be_read_ends_it(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "x", "4ok\x1e", "b!", "bA", "4\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct eio *e = opened(EIO_V4, false);
        assert_int_equal(eio_on_poll(e, A, &get1, 1), EIO_FAULT_NONE);
        assert_int_equal(post(e, bad[i], 1), EIO_FAULT_REQUEST);
        expect(e, i == 2 ? "message ok; answer get11; closed " : "answer get11; closed ");
        eio_free(e);
    }
    struct eio *e = opened(EIO_V4, true);
    eio_on_frame(e, A, &ws1, false, SPAN("abc"), 1);
    expect(e, "cut! ws1; closed ");
    eio_free(e);
}

static void test_two_gets(void **state)
{
    (void)state;
    struct eio *e = opened(EIO_V4, false);
    assert_int_equal(eio_on_poll(e, A, &get1, 1), EIO_FAULT_NONE);
    assert_int_equal(eio_on_poll(e, A, &get2, 1), EIO_FAULT_REQUEST);
    expect(e, "answer get11; closed ");
    eio_free(e);
}

static void test_upgrade(void **state)
{
    (void)state;
    struct eio *e = opened(EIO_V4, false);
    void *websockets[2];
    assert_int_equal(eio_on_poll(e, A, &get1, 0), EIO_FAULT_NONE);
    assert_int_equal(eio_websockets(e, A, websockets), 0);
    eio_on_probe(e, A, &ws1, 10);
    assert_int_equal(eio_websockets(e, A, websockets), 1);
    assert_ptr_equal(websockets[0], &ws1);
    eio_on_frame(e, A, &ws1, false, SPAN("2probe"), 20);
    expect(e, "send ws13probe");
    at(e, 20 + EIO_NOOP_MS);
    expect(e, "answer get16");
    assert_int_equal(eio_on_poll(e, A, &get2, 130), EIO_FAULT_NONE);
    eio_send(e, A, false, SPAN("by polling"));
    expect(e, "answer get24by polling");
    eio_send(e, A, false, SPAN("waits"));
    assert_int_equal(post(e, "4still heard", 140), EIO_FAULT_NONE);
    expect(e, "message still heard");
    eio_on_frame(e, A, &ws1, false, SPAN("5"), 150);
    expect(e, "send ws14waits");
    assert_int_equal(eio_on_poll(e, A, &get1, 160), EIO_FAULT_REQUEST);
    assert_int_equal(post(e, "4x", 160), EIO_FAULT_REQUEST);
    eio_on_probe(e, A, &ws2, 170);
    expect(e, "cut ws2");
    at(e, INTERVAL_MS);
    expect(e, "send ws12");
    eio_free(e);
}

static void test_upgrade_releases_the_get(void **state)
{
    (void)state;
    struct eio *e = opened(EIO_V3, false);
    eio_on_probe(e, A, &ws1, 10);
    eio_on_frame(e, A, &ws1, false, SPAN("2probe"), 20);
    drop_outs(e);
    assert_int_equal(eio_on_poll(e, A, &get1, 30), EIO_FAULT_NONE);
    eio_on_frame(e, A, &ws1, false, SPAN("5"), 40);
    expect(e, "answer get11:6");
    eio_send(e, A, true, SPAN("x"));
    expect(e, "send ws1#\x04x");
    eio_free(e);
}

static void test_probes_that_fail_leave_the_session(void **state)
{
    (void)state;
    static const char *const wrong[] = {"5", "2", "2other", "3probe", "40", "x", ""};
    struct eio *e = opened(EIO_V4, false);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        eio_on_probe(e, A, &ws1, 10);
        eio_on_frame(e, A, &ws1, false, span_str(wrong[i]), 11);
        expect(e, "cut! ws1");
    }
    eio_on_probe(e, A, &ws1, 10);
    eio_on_probe(e, A, &ws2, 11); /* one at a time */
    expect(e, "cut ws2");
    eio_on_gone(e, A, &ws1);
    expect(e, "");
    eio_send(e, A, false, SPAN("x"));
    assert_int_equal(eio_on_poll(e, A, &get1, 12), EIO_FAULT_NONE);
    expect(e, "answer get14x");
    eio_free(e);
}

static void test_a_probe_has_its_time(void **state)
{
    (void)state;
    struct eio *e = eio_new(&(struct eio_cfg){.ping_interval_ms = 100 * EIO_PROBE_MS,
                                              .ping_timeout_ms = TIMEOUT_MS,
                                              .max_payload = MAX_PAYLOAD,
                                              .max_sessions = 1});
    assert_int_equal(try_open(e, 'a', EIO_V4, &get1, false), 0);
    drop_outs(e);
    eio_on_probe(e, A, &ws1, 5);
    at(e, 5 + EIO_PROBE_MS);
    expect(e, "cut ws1");
    assert_int_equal(eio_count(e), 1);
    assert_int_equal(eio_next_deadline_ms(e), 100 * EIO_PROBE_MS);
    eio_free(e);
}

static void test_who_takes_nothing_is_ended(void **state)
{
    (void)state;
    struct eio *e = opened(EIO_V4, false);
    for (int i = 0; i < EIO_QUEUE_LEN; i++) {
        eio_send(e, A, false, SPAN("x"));
    }
    expect(e, "");
    eio_send(e, A, false, SPAN("x"));
    expect(e, "closed ");
    eio_send(e, A, false, SPAN("x")); /* nobody there */
    expect(e, "");
    eio_free(e);
}

static void test_what_is_counted(void **state)
{
    (void)state;
    struct eio *e = opened(EIO_V4, false);
    struct eio_stats stats;
    assert_int_equal(try_open(e, 'b', EIO_V4, &ws1, true), 0);
    assert_int_equal(try_open(e, 'c', EIO_V4, &get2, false), 0);
    eio_stats(e, &stats);
    assert_true(stats.polling == 2 && stats.websocket == 1 && stats.opened == 3);
    eio_on_probe(e, A, &ws2, 1);
    eio_on_frame(e, A, &ws2, false, SPAN("2probe"), 1);
    eio_on_frame(e, A, &ws2, false, SPAN("5"), 1);
    eio_stats(e, &stats);
    assert_true(stats.polling == 1 && stats.websocket == 2);
    eio_send(e, sid_of('c'), false, SPAN("taken"));
    assert_int_equal(eio_on_poll(e, sid_of('c'), &get1, 2), EIO_FAULT_NONE);
    eio_close(e, sid_of('c'), false, "over");
    eio_stats(e, &stats);
    assert_int_equal(stats.dropped, 0);
    assert_int_equal(try_open(e, 'c', EIO_V4, &get2, false), 0);
    for (int i = 0; i <= EIO_QUEUE_LEN; i++) {
        eio_send(e, sid_of('c'), false, SPAN("x"));
    }
    eio_stats(e, &stats);
    assert_int_equal(stats.dropped, EIO_QUEUE_LEN + 1);
    assert_true(stats.polling == 0 && stats.websocket == 2 && stats.opened == 4);
    eio_free(e);
}

static void test_close_all(void **state)
{
    (void)state;
    struct eio *e = opened(EIO_V4, false);
    assert_int_equal(eio_on_poll(e, A, &get1, 1), EIO_FAULT_NONE);
    eio_close_all(e, "over");
    expect(e, "answer get11; closed ");
    assert_int_equal(try_open(e, 'b', EIO_V4, &ws1, true), 0);
    drop_outs(e);
    eio_close(e, sid_of('b'), true, "over");
    expect(e, "cut! ws1; closed ");
    eio_close(e, sid_of('b'), true, "over");
    expect(e, "");
    eio_free(e);
}

/* Whatever happens: a GET and a WebSocket are handed back at most once, everything that was handed
 * in is handed back when all sessions are closed, and nothing is said about a session after its
 * end. */
struct model {
    struct eio *e;
    bool held[64]; /* links that the engine has */
    size_t n_held;
    bool alive[MAX_SESSIONS];
};

static int links[64];

static void take_outs(struct model *m)
{
    struct eio_out out;
    while (eio_next_out(m->e, &out)) {
        size_t session = (size_t)(out.sid.text[0] - 'a');
        assert_true(m->alive[session] || out.type == EIO_OUT_CUT);
        if (out.type == EIO_OUT_CLOSED) {
            m->alive[session] = false;
        }
        if (out.link != NULL) {
            size_t at = (size_t)((int *)out.link - links);
            assert_true(m->held[at]);
            if (out.type != EIO_OUT_SEND) {
                m->held[at] = false;
                m->n_held--;
            }
        }
    }
}

static int *hold(struct model *m)
{
    for (size_t i = 0; i < 64; i++) {
        if (!m->held[i]) {
            m->held[i] = true;
            m->n_held++;
            return &links[i];
        }
    }
    fail_msg("too many links are held");
    return NULL;
}

static void give_back(struct model *m, const int *link)
{
    m->held[link - links] = false;
    m->n_held--;
}

static void random_step(struct model *m, struct rng *rng, uint64_t now_ms)
{
    static const char *const said[] = {"40", "2probe", "5",   "3",    "2",
                                       "1",  "x",      "1:2", "2:40", "1:1"};
    char c = (char)('a' + rng_below(rng, MAX_SESSIONS));
    struct span sid = sid_of(c);
    struct span text = span_str(said[rng_below(rng, sizeof said / sizeof said[0])]);
    void *websockets[2];
    size_t n = eio_websockets(m->e, sid, websockets);
    int *link = NULL;
    switch (rng_below(rng, 7)) {
    case 0:
        if (!eio_knows(m->e, sid)) {
            m->alive[c - 'a'] = true;
            (void)open_at(m->e, c, rng_below(rng, 2) ? EIO_V3 : EIO_V4, hold(m),
                          rng_below(rng, 2) == 0, now_ms);
        }
        break;
    case 1:
        link = hold(m);
        if (eio_on_poll(m->e, sid, link, now_ms) != EIO_FAULT_NONE) {
            give_back(m, link);
        }
        break;
    case 2:
        assert_true(eio_on_post(m->e, sid, false, text, now_ms) <= EIO_FAULT_NONE);
        break;
    case 3:
        if (eio_knows(m->e, sid)) {
            eio_on_probe(m->e, sid, hold(m), now_ms);
        }
        break;
    case 4:
        if (n > 0) {
            eio_on_frame(m->e, sid, websockets[0], false, text, now_ms);
        }
        break;
    case 5:
        if (n > 0 && rng_below(rng, 4) == 0) {
            give_back(m, websockets[0]);
            eio_on_gone(m->e, sid, websockets[0]);
        }
        break;
    default:
        eio_send(m->e, sid, rng_below(rng, 2) == 0, text);
        break;
    }
}

static void test_links_are_handed_back_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct model m = {.e = engine()};
        struct rng rng = {seed};
        uint64_t now_ms = 0;
        for (int i = 0; i < 300; i++) {
            now_ms += rng_below(&rng, 20);
            eio_on_deadline(m.e, now_ms);
            take_outs(&m);
            random_step(&m, &rng, now_ms);
            take_outs(&m);
            assert_true(eio_next_deadline_ms(m.e) > now_ms);
        }
        eio_close_all(m.e, "over");
        take_outs(&m);
        assert_int_equal(m.n_held, 0);
        assert_int_equal(eio_count(m.e), 0);
        eio_free(m.e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opening),
        cmocka_unit_test(test_polling_both_ways),
        cmocka_unit_test(test_answers_stay_below_max_payload),
        cmocka_unit_test(test_heartbeat_of_revision_4),
        cmocka_unit_test(test_pongs_that_nobody_asked_for_change_nothing),
        cmocka_unit_test(test_heartbeat_of_revision_3),
        cmocka_unit_test(test_a_binary_ping_is_no_packet),
        cmocka_unit_test(test_pings_from_the_wrong_side),
        cmocka_unit_test(test_what_means_nothing_is_passed_over),
        cmocka_unit_test(test_the_client_closes),
        cmocka_unit_test(test_what_cannot_be_read_ends_it),
        cmocka_unit_test(test_two_gets),
        cmocka_unit_test(test_upgrade),
        cmocka_unit_test(test_upgrade_releases_the_get),
        cmocka_unit_test(test_probes_that_fail_leave_the_session),
        cmocka_unit_test(test_a_probe_has_its_time),
        cmocka_unit_test(test_who_takes_nothing_is_ended),
        cmocka_unit_test(test_what_is_counted),
        cmocka_unit_test(test_close_all),
        cmocka_unit_test(test_links_are_handed_back_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
