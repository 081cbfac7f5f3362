/* Announces over HTTP, to the server's own tracker, and what closing does to those under way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unit/client/trackers_fixture.h"

#include "base/banned.h"

/* ---- HTTP ---- */

static void http_announces(void **state)
{
    (void)state;
    set_body(SPAN("d8:completei7e11:external ip4:\xcb\x00\x71\x09"
                  "10:incompletei8e"
                  "8:intervali900e12:min intervali60e5:peers6:\xc6\x33\x64\x01\x1a\xe1"
                  "6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50"
                  "15:warning message5:slowee"));
    const struct answer *a = ask_http("/announce");
    assert_true(a->answered);
    assert_int_equal(a->interval_s, 900);
    assert_int_equal(a->min_interval_s, 60);
    assert_int_equal(a->counts.complete, 7);
    assert_int_equal(a->counts.incomplete, 8);
    assert_string_equal(a->text, "slowe");
    assert_int_equal(a->n_peers, 2);
    struct endpoint v6 = fixture_endpoint("[2001:db8::1]:80");
    assert_true(endpoint_eq(&a->peers[1], &v6));
    assert_true(a->has_external_ip);
    assert_true(span_starts_with(span_str(t.path), SPAN("/announce?info_hash=")));
    assert_non_null(strstr(t.path, "&key=deadbeef"));
    assert_int_equal(t.http_req.uploaded, 11);
    assert_int_equal(t.http_req.left, 33);
    assert_int_equal(t.http_req.event, EVENT_STARTED);
    assert_true(t.http_req.compact && t.http_req.no_peer_id);
}

static void the_query_of_the_url_stays(void **state)
{
    static const char *const rows[][2] = {
        {"/announce?passkey=abc", "/announce?passkey=abc&info_hash="},
        {"/announce?passkey=abc&", "/announce?passkey=abc&info_hash="},
        {"/announce?", "/announce?info_hash="},
        {"/announce#x", "/announce?info_hash="},
        {"", "/?info_hash="},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(ask_http(rows[i][0])->answered);
        assert_true(span_starts_with(span_str(t.path), span_str(rows[i][1])));
    }
    assert_int_equal(t.http.n_connections, 1); /* kept alive */
}

static void http_refusals_and_nonsense(void **state)
{
    static const struct {
        const char *status;
        struct span body;
        const char *why;
        bool refused;
        int32_t retry_in_min;
    } rows[] = {
        {"200 OK", SPAN("d14:failure reason4:full8:retry in1:5e"), "full", true, 0},
        {"200 OK", SPAN("d14:failure reason4:full8:retry ini5ee"), "full", true, 5},
        {"200 OK", SPAN("d14:failure reason2:no8:retry in5:nevere"), "no", true, -1},
        {"403 Forbidden", SPAN("d14:failure reason2:noe"), "no", true, 0},
        {"503 Busy", SPAN("<html>"), "HTTP status 503", false, 0},
        {"404 Not Found", SPAN("d8:intervali1ee"), "HTTP status 404", false, 0},
        {"200 OK", SPAN("<html>"), "not a tracker's answer: ", false, 0},
        {"200 OK", SPAN(""), "not a tracker's answer: ", false, 0},
        {"200 OK", SPAN("le"), "not a tracker's answer: ", false, 0},
        {"200 OK", SPAN("d5:peers5:aaaaae"), "not a tracker's answer: ", false, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        t.http_status = rows[i].status;
        set_body(rows[i].body);
        const struct answer *a = ask_http("/announce");
        assert_false(a->answered);
        assert_true(span_starts_with(span_str(a->text), span_str(rows[i].why)));
        assert_int_equal(a->refused, rows[i].refused);
        assert_int_equal(a->retry_in_min, rows[i].retry_in_min);
    }
}

static void too_many_peers_are_refused(void **state)
{
    struct wr w = wr_over(t.body, sizeof t.body);
    (void)state;
    wr_bytes(&w, SPAN("d5:peers12006:"));
    memset(wr_reserve(&w, 12006), 1, 12006);
    wr_u8(&w, 'e');
    t.body_len = wr_len(&w);
    const struct answer *a = ask_http("/announce");
    assert_false(a->answered);
    assert_non_null(strstr(a->text, "too many peers"));
}

static void nobody_listens(void **state)
{
    struct endpoint at;
    (void)state;
    (void)close(fixture_bind(LISTEN_TCP, "127.0.0.1:0", &at));
    const struct answer *a = ask(url_of("http", at.port, "/announce"), EVENT_STARTED);
    assert_false(a->answered);
    assert_string_equal(a->text, "connection refused");
}

static void a_tracker_of_this_network_may_redirect_in_it(void **state)
{
    (void)state;
    t.redirect = true;
    const struct answer *a = ask_http("/announce");
    assert_true(a->answered);
    assert_true(span_starts_with(span_str(t.path), SPAN("/moved?info_hash=")));
    assert_int_equal(t.http.n_requests, 2);
}

/* Addresses as the connections of one announce come to them: "!" is to be refused. */
static void a_public_one_may_not(void **state)
{
    static const char *const rows[][3] = {
        {"198.51.100.1", "198.51.100.2", NULL},    {"198.51.100.1", "!127.0.0.1", NULL},
        {"198.51.100.1", "!192.168.1.1", NULL},    {"198.51.100.1", "![::1]", NULL},
        {"198.51.100.1", "!0.0.0.0", NULL},        {"198.51.100.1", "!169.254.169.254", NULL},
        {"[2001:db8::1]", "![fd00::1]", NULL},     {"127.0.0.1", "10.0.0.1", "127.0.0.1"},
        {"10.0.0.1", "198.51.100.1", "!10.0.0.1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct call c = {.trackers = t.trackers};
        for (size_t k = 0; k < 3 && rows[i][k] != NULL; k++) {
            bool refused = rows[i][k][0] == '!';
            struct addr addr;
            assert_true(addr_parse(&addr, span_str(rows[i][k] + refused)));
            assert_int_equal(tracker_call_allows(&c, &addr, k == 0), !refused);
        }
    }
}

/* ---- the own tracker ---- */

static void the_own_tracker_is_a_call(void **state)
{
    (void)state;
    const struct answer *a = ask(NULL, EVENT_COMPLETED);
    assert_true(a->answered);
    assert_int_equal(a->interval_s, 77);
    assert_int_equal(a->counts.complete, 5);
    assert_int_equal(a->n_peers, 2);
    assert_int_equal(t.n_own, 1);
    assert_int_equal(t.own_events[0], EVENT_COMPLETED);
    struct addr from = fixture_endpoint("203.0.113.1:0").addr;
    assert_true(addr_eq(&t.own_from[0], &from));
    t.own_refuses = true;
    a = ask(NULL, EVENT_NONE);
    assert_false(a->answered);
    assert_true(a->refused);
    assert_string_equal(a->text, "not today");
}

static void two_families_are_one_completed(void **state)
{
    (void)state;
    t.trackers->opts.own_from6 = fixture_endpoint("[2001:db8::9]:0").addr;
    const struct answer *a = ask(NULL, EVENT_COMPLETED);
    assert_int_equal(t.n_own, 2);
    assert_int_equal(t.own_events[0], EVENT_COMPLETED);
    assert_int_equal(t.own_events[1], EVENT_NONE);
    assert_false(t.own_from[0].v6);
    assert_true(t.own_from[1].v6);
    assert_int_equal(a->n_peers, 3); /* one of them is known by both */
    (void)ask(NULL, EVENT_STOPPED);
    assert_int_equal(t.own_events[2], EVENT_STOPPED);
    assert_int_equal(t.own_events[3], EVENT_STOPPED);
}

static void as_nobody_it_cannot_be_asked(void **state)
{
    (void)state;
    t.trackers->opts.own_from4 = ANY4;
    const struct answer *a = ask(NULL, EVENT_NONE);
    assert_false(a->answered);
    assert_int_equal(t.n_own, 0);
}

static void a_url_of_the_own_tracker_is_the_own_tracker(void **state)
{
    (void)state;
    t.own_at[0].port = (uint16_t)t.udp.port;
    t.own_at[1].port = (uint16_t)t.http.port;
    assert_int_equal(ask_udp("/announce")->interval_s, 77);
    assert_int_equal(ask_http("/announce/key")->interval_s, 77);
    const struct answer *a = ask(url_of("http", t.http.port, "/announce"), EVENT_COMPLETED);
    assert_int_equal(a->interval_s, 77);
    assert_int_equal(t.n_own, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(t.own_events[i], EVENT_NONE);
    }
    /* Known by its address outside, too. */
    char url[64];
    (void)snprintf(url, sizeof url, "udp://203.0.113.1:%u", t.udp.port);
    assert_int_equal(ask(url, EVENT_NONE)->interval_s, 77);
    /* A stopped would bring the peer back. */
    a = ask(url_of("http", t.http.port, "/announce"), EVENT_STOPPED);
    assert_true(a->answered);
    assert_int_equal(t.n_own, 4);
    assert_int_equal(t.udp.n_connects, 0);
    assert_int_equal(t.http.n_requests, 0);
}

static void the_port_alone_does_not_make_it_the_own(void **state)
{
    (void)state;
    t.own_at[0] = (struct endpoint){fixture_endpoint("127.0.0.9:0").addr, (uint16_t)t.udp.port};
    t.own_at[1] = (struct endpoint){fixture_endpoint("127.0.0.9:0").addr, (uint16_t)t.http.port};
    assert_int_equal(ask_udp("/announce")->interval_s, 1234);
    assert_int_equal(ask_http("/announce")->interval_s, 900);
    assert_int_equal(t.n_own, 0);
}

/* ---- closing ---- */

static void closing_gives_up_in_silence(void **state)
{
    char name[64] = "udp://localhost:1/";
    (void)state;
    t.udp.drop_connects = 100;
    t.http_status = "200 OK";
    struct engine_announce a = announce_of(1, url_of("udp", t.udp.port, ""), EVENT_NONE);
    begin(&a);
    while (t.udp.n_connects == 0) {
        assert_int_not_equal(uv_run(&t.loop, UV_RUN_ONCE), 0);
    }
    a = announce_of(2, url_of("http", t.http.port, "/announce"), EVENT_NONE);
    begin(&a);
    a = announce_of(3, NULL, EVENT_NONE);
    begin(&a);
    a = announce_of(4, name, EVENT_NONE);
    begin(&a);
    a = announce_of(5, "udp://x", EVENT_NONE);
    begin(&a);
    close_trackers();
    assert_int_equal(t.n_answers, 0);
}

static void on_done_close(void *ctx, uint64_t announce, const struct announce_result *r)
{
    on_done(ctx, announce, r);
    trackers_close(t.trackers, on_closed, &t.closed);
    trackers_close(t.trackers, on_closed, &t.closed);
}

static void closing_from_an_answer(void **state)
{
    (void)state;
    static const char *const urls[] = {NULL, "udp://nowhere", NULL};
    t.trackers->opts.done = on_done_close;
    for (uint64_t i = 0; i < 3; i++) {
        struct engine_announce a = announce_of(i, urls[i], EVENT_NONE);
        begin(&a);
    }
    fixture_run_until(&t.loop, &t.closed);
    assert_int_equal(t.n_answers, 1);
    t.trackers = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(http_announces),
        TEST(the_query_of_the_url_stays),
        TEST(http_refusals_and_nonsense),
        TEST(too_many_peers_are_refused),
        TEST(nobody_listens),
        TEST(a_tracker_of_this_network_may_redirect_in_it),
        TEST(a_public_one_may_not),
        TEST(the_own_tracker_is_a_call),
        TEST(two_families_are_one_completed),
        TEST(as_nobody_it_cannot_be_asked),
        TEST(a_url_of_the_own_tracker_is_the_own_tracker),
        TEST(the_port_alone_does_not_make_it_the_own),
        TEST(closing_gives_up_in_silence),
        TEST(closing_from_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
