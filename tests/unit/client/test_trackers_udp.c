/* Announces over UDP: connection ids, lost and wrong datagrams, errors, and URLs that lead nowhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unit/client/trackers_fixture.h"

#include "base/banned.h"

static void udp_announces(void **state)
{
    (void)state;
    const struct answer *a = ask_udp("/announce/secret?x=1#fragment");
    assert_true(a->answered);
    assert_int_equal(a->interval_s, 1234);
    assert_int_equal(a->counts.complete, 3);
    assert_int_equal(a->counts.incomplete, 4);
    assert_int_equal(a->n_peers, 2);
    struct endpoint first = fixture_endpoint("198.51.100.1:6881");
    assert_true(endpoint_eq(&a->peers[0], &first));
    const struct udp_request *r = &t.udp.last;
    assert_int_equal(r->announce.uploaded, 11);
    assert_int_equal(r->announce.downloaded, 22);
    assert_int_equal(r->announce.left, 33);
    assert_int_equal(r->announce.event, EVENT_STARTED);
    assert_int_equal(r->announce.numwant, 50);
    assert_int_equal(r->announce.port, 6881);
    assert_int_equal(r->key, 0xdeadbeef);
    assert_true(span_eq(span_of(r->url_data, r->url_data_len), SPAN("/announce/secret?x=1")));
}

static void a_connection_id_is_used_again(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_true(ask_udp("/announce")->answered);
    }
    assert_int_equal(t.udp.n_connects, 1);
    assert_int_equal(t.udp.n_announces, 5);
}

static void those_that_begin_together_connect_once(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 10; i++) {
        struct engine_announce a = announce_of(i, url_of("udp", t.udp.port, ""), EVENT_NONE);
        begin(&a);
    }
    wait_for(10);
    unsigned seen = 0;
    for (size_t i = 0; i < 10; i++) {
        assert_true(t.answers[i].answered);
        seen |= 1U << t.answers[i].id;
    }
    assert_int_equal(seen, 0x3ff);
    assert_int_equal(t.udp.n_connects, 1);
    assert_int_equal(t.udp.n_announces, 10);
}

static void lost_datagrams_are_sent_again(void **state)
{
    (void)state;
    t.udp.drop_connects = 2;
    t.udp.drop_announces = 2;
    assert_true(ask_udp("")->answered);
    assert_int_equal(t.udp.n_connects, 3);
    assert_int_equal(t.udp.n_announces, 3);
}

static void silence_ends_after_three_tries(void **state)
{
    (void)state;
    t.udp.drop_connects = 100;
    const struct answer *a = ask_udp("");
    assert_false(a->answered);
    assert_false(a->refused);
    assert_string_equal(a->text, "timed out");
    assert_int_equal(t.udp.n_connects, 3);
    t.udp.drop_connects = 0;
    t.udp.drop_announces = 100;
    a = ask_udp("");
    assert_string_equal(a->text, "timed out");
    assert_int_equal(t.udp.n_announces, 3);
}

static void the_announces_own_time_is_stronger(void **state)
{
    (void)state;
    t.udp.drop_connects = 100;
    t.trackers->udp_retry_ms[0] = 60000;
    struct engine_announce a = announce_of(1, url_of("udp", t.udp.port, ""), EVENT_STOPPED);
    a.timeout_ms = 30;
    begin(&a);
    wait_for(1);
    assert_string_equal(t.answers[0].text, "timed out");
    assert_int_equal(t.udp.n_connects, 1);
}

static void an_error_is_a_refusal(void **state)
{
    (void)state;
    t.udp.error = "torrent not on whitelist";
    const struct answer *a = ask_udp("");
    assert_false(a->answered);
    assert_true(a->refused);
    assert_string_equal(a->text, "torrent not on whitelist");
    t.udp.error = "";
    a = ask_udp("");
    assert_true(a->refused);
    assert_string_equal(a->text, "refused");
}

static void a_kept_id_that_is_refused_is_asked_for_again(void **state)
{
    (void)state;
    assert_true(ask_udp("")->answered);
    t.udp.n_bad_ids = 1;
    assert_true(ask_udp("")->answered);
    assert_int_equal(t.udp.n_connects, 2);
    assert_int_equal(t.udp.n_announces, 3);
    t.udp.n_bad_ids = 100; /* whatever it says, there is an end */
    const struct answer *a = ask_udp("");
    assert_true(a->refused);
    assert_string_equal(a->text, "Connection ID missmatch.");
    assert_int_equal(t.udp.n_connects, 3);
}

static void wrong_datagrams_are_not_believed(void **state)
{
    (void)state;
    t.udp.wrong_first = true;
    const struct answer *a = ask_udp("/announce");
    assert_true(a->answered);
    assert_int_equal(a->interval_s, 1234);
    assert_int_equal(t.udp.n_connects, 1);
    assert_int_equal(t.udp.n_announces, 1);
}

/* The right transaction id from another socket of the same machine. */
static void a_stranger_is_not_believed(void **state)
{
    struct fake_udp stranger;
    uint8_t bytes[64];
    struct wr w = wr_over(bytes, sizeof bytes);
    struct scrape_counts counts = {.complete = 666};
    (void)state;
    udp_open(&stranger);
    t.udp.drop_announces = 1;
    struct engine_announce a = announce_of(1, url_of("udp", t.udp.port, ""), EVENT_STARTED);
    begin(&a);
    while (t.udp.n_announces == 0) {
        assert_int_not_equal(uv_run(&t.loop, UV_RUN_ONCE), 0);
    }
    struct udp_source *s = container_of(list_first(&t.trackers->sources), struct udp_source, node);
    struct sockaddr_storage ss;
    int len = sizeof ss;
    struct endpoint to;
    assert_int_equal(uv_udp_getsockname(&s->udp, (struct sockaddr *)&ss, &len), 0);
    assert_true(endpoint_from_sockaddr(&to, (struct sockaddr *)&ss));
    to.addr = fixture_endpoint("127.0.0.1:0").addr;
    (void)endpoint_to_sockaddr(&to, &ss);
    udp_announce_reply_encode(&w, t.udp.last.transaction_id, 666, &counts);
    udp_send(&stranger, &w, (struct sockaddr *)&ss);
    wait_for(1);
    assert_int_equal(t.answers[0].interval_s, 1234);
    assert_int_equal(t.udp.n_announces, 2);
    uv_close((uv_handle_t *)&stranger.udp, NULL);
    (void)uv_run(&t.loop, UV_RUN_NOWAIT);
}

static void it_leaves_from_the_sessions_address(void **state)
{
    struct addr source = fixture_endpoint("127.0.0.5:0").addr;
    struct engine_announce a = announce_of(1, url_of("udp", t.udp.port, ""), EVENT_STARTED);
    (void)state;
    trackers_announce(t.trackers, &a, &source, &ANY6);
    wait_for(1);
    assert_true(t.answers[0].answered);
    struct udp_source *s = container_of(list_first(&t.trackers->sources), struct udp_source, node);
    assert_true(addr_eq(&s->addr, &source));
    source = fixture_endpoint("203.0.113.77:0").addr; /* not one of this machine */
    trackers_announce(t.trackers, &a, &source, &ANY6);
    wait_for(2);
    assert_false(t.answers[1].answered);
    assert_string_equal(t.answers[1].text, "no way to its address");
}

static void urls_that_lead_nowhere(void **state)
{
    static const struct {
        const char *url;
        const char *why;
    } rows[] = {
        {"udp://127.0.0.1/announce", "the URL has no host or no port"},
        {"udp://127.0.0.1:0/announce", "the URL has no host or no port"},
        {"udp://127.0.0.1:99999/announce", "the URL has no host or no port"},
        {"udp://:80", "the URL has no host or no port"},
        {"udp:127.0.0.1:80", "the URL has no host or no port"},
        {"udp://a%b:80", "not a host name"},
        {"http://a b/", "the URL is not valid"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct answer *a = ask(rows[i].url, EVENT_STARTED);
        assert_false(a->answered);
        assert_string_equal(a->text, rows[i].why);
    }
    char rest[600] = "/";
    memset(rest + 1, 'a', sizeof rest - 2);
    assert_string_equal(ask_udp(rest)->text, "the URL is too long");
}

/* A label too long for the name system: the resolver says so without a server. */
static void a_name_that_is_not_there(void **state)
{
    char url[128] = "udp://";
    (void)state;
    memset(url + 6, 'a', 80);
    memcpy(url + 86, ":1/", 4);
    const struct answer *a = ask(url, EVENT_STARTED);
    assert_false(a->answered);
    assert_non_null(strstr(a->text, "resolve"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(udp_announces),
        TEST(a_connection_id_is_used_again),
        TEST(those_that_begin_together_connect_once),
        TEST(lost_datagrams_are_sent_again),
        TEST(silence_ends_after_three_tries),
        TEST(the_announces_own_time_is_stronger),
        TEST(an_error_is_a_refusal),
        TEST(a_kept_id_that_is_refused_is_asked_for_again),
        TEST(wrong_datagrams_are_not_believed),
        TEST(a_stranger_is_not_believed),
        TEST(it_leaves_from_the_sessions_address),
        TEST(urls_that_lead_nowhere),
        TEST(a_name_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
