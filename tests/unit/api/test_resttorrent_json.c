/* The objects of the RestTorrent API. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/resttorrent_json.h"

#include "base/banned.h"

#define HASH "7b5e918f364908afab937ecdd84059dfb61102b7"
#define KEY  "849c5f68b6ef41b8ab3e4218edaf5dae"

static void expect(struct buf *b, const char *wanted)
{
    assert_false(b->bad);
    buf_add_byte(b, '\0');
    assert_string_equal((const char *)b->p, wanted);
    buf_release(b);
}

static struct torrent_status status(void)
{
    struct torrent_status s = {
        .state = TORRENT_DOWNLOADING,
        .flags = TORRENT_PAUSED | TORRENT_SEQUENTIAL,
        .name = "a \"b\"\xff",
        .progress = 1.0 / 3,
        .down_all_bps = UINT64_MAX,
        .up_all_bps = 7,
        .n_peers = 3,
        .total_len = 12,
    };
    assert_true(hex_decode(s.info_hash.b, 20, SPAN(HASH)));
    return s;
}

static void expect_torrent(unsigned fields, const char *wanted)
{
    const struct torrent_status s = status();
    const struct client_facts facts = {.save_path = "/srv/\"d\"", .memory_only = true};
    struct buf b;
    buf_init(&b, 4096);
    resttorrent_add_torrent(&b, &s, &facts, fields);
    expect(&b, wanted);
}

static void test_torrent(void **state)
{
    (void)state;
    expect_torrent(REST_ALL_FIELDS,
                   "\"infohash\":\"" HASH "\",\"info_hash\":\"" HASH "\",\"state\":\"downloading\","
                   "\"progress\":0.3333,\"download_rate\":18446744073709551615,\"upload_rate\":7,"
                   "\"num_peers\":3,\"name\":\"a \\\"b\\\"\xef\xbf\xbd\","
                   "\"save_path\":\"/srv/\\\"d\\\"\",\"paused\":true,\"total_size\":12,"
                   "\"memory_only\":true");
}

static void test_fields(void **state)
{
    (void)state;
    expect_torrent(resttorrent_fields(SPAN("infohash")), "\"infohash\":\"" HASH "\"");
    expect_torrent(resttorrent_fields(SPAN(" num_peers ,,state,x,INFOHASH,state")),
                   "\"state\":\"downloading\",\"num_peers\":3");
    expect_torrent(resttorrent_fields(SPAN("x")), "");
    assert_int_equal(resttorrent_fields(SPAN("")), 0);
    assert_int_equal(resttorrent_fields(SPAN(",,,")), 0);
}

static void test_session(void **state)
{
    char options[REST_OPTIONS_CAP];
    char key[REST_SESSION_KEY_LEN + 1];
    struct buf b;
    (void)state;
    resttorrent_options(options, KEY);
    assert_string_equal(options, "{\"id\":\"" KEY "\"}");
    const struct client_session s = {.id = 7,
                                     .port_first = 6881,
                                     .port_last = 65535,
                                     .port = 6883,
                                     .options = span_str(options)};
    buf_init(&b, 4096);
    resttorrent_add_session(&b, &s);
    expect(&b, "\"id\":\"" KEY "\",\"ports\":[6881,65535],\"port\":6883");
    resttorrent_session_key(key, &s);
    assert_string_equal(key, KEY);
}

/* One that was not made here, or whose options were changed behind our back. */
static void test_sessions_of_others(void **state)
{
    static const char *const options[] = {"",
                                          "{}",
                                          "{\"id\":\"x\"}",
                                          "{\"id\":\"849c5f\"}",
                                          "{\"id\":\"849c5f68b6ef41b8ab3e4218edaf5da\"}",
                                          "{\"id\":\"849c5f68b6ef41b8ab3e4218edaf5da\\\"\"}",
                                          "{\"id\":849c5f68b6ef41b8ab3e4218edaf5dae}"};
    (void)state;
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        const struct client_session s = {.id = 0xabc, .options = span_str(options[i])};
        char key[REST_SESSION_KEY_LEN + 1];
        resttorrent_session_key(key, &s);
        assert_string_equal(key, "00000000000000000000000000000abc");
    }
}

static struct peer_view peer(void)
{
    struct peer_view p = {
        .client = "",
        .peer_id = {.b = "-RK0100-abcdefghijk"},
        .choking = true,
        .peer_choking = true,
        .progress = 0.5,
        .down_bps = 1000,
        .up_bps = 2000,
    };
    assert_true(endpoint_parse(&p.remote, SPAN("[2001:db8::1]:6881")));
    return p;
}

static void expect_peer(const struct peer_view *p, const char *client, const char *flags)
{
    char wanted[256];
    struct buf b;
    (void)snprintf(wanted, sizeof wanted,
                   "\"ip\":\"2001:db8::1\",\"port\":6881,\"client\":\"%s\",\"progress\":0.5000,"
                   "\"download_rate\":1000,\"upload_rate\":2000,\"flags\":\"%s\"",
                   client, flags);
    buf_init(&b, 4096);
    resttorrent_add_peer(&b, p);
    expect(&b, wanted);
}

static void test_peer(void **state)
{
    struct peer_view p = peer();
    (void)state;
    expect_peer(&p, "-RK0100-", "");
    p.interested = p.peer_interested = true;
    expect_peer(&p, "-RK0100-", "du");
    p.choking = p.peer_choking = false;
    p.optimistic = p.snubbing = p.incoming = true;
    p.source = CANDIDATE_PEX;
    p.client = "q\"\x01\xff";
    expect_peer(&p, "q\\\"\\u0001\xef\xbf\xbd", "DUOSIX");
    p.client = "";
    p.peer_id.b[3] = '\0';
    expect_peer(&p, "-RK", "DUOSIX");
    p.peer_id.b[0] = 0x80;
    expect_peer(&p, "", "DUOSIX");
}

static void test_failure(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 4096);
    resttorrent_add_failure(&b, "a.b", SPAN("no \"x\""));
    expect(&b, "\"status\":\"fail\",\"message\":\"no \\\"x\\\"\","
               "\"error\":{\"code\":\"a.b\",\"message\":\"no \\\"x\\\"\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_torrent), cmocka_unit_test(test_fields),
        cmocka_unit_test(test_session), cmocka_unit_test(test_sessions_of_others),
        cmocka_unit_test(test_peer),    cmocka_unit_test(test_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
