/* The GoTorrentServer API: its values, an add's body, a session, and the calls with a client that does
 * what the test wants. */
#include "unit/api/torrentflow_fixture.h"

#include <cJSON.h>

#include "api/gotorrent_params.h"
#include "api/gotorrent_session.h"
#include "base/rng.h"

#include "base/banned.h"

#define AUTH "authorization: the-token-of-the-tests\r\n"
#define AT   AUTH "infohash: " HASH "\r\n"

/* ---- values ------------------------------------------------------------------------------------ */

static void test_hashes(void **state)
{
    static const char *const good[] = {
        HASH, "PNPJDDZWJEEK7K4TP3G5QQCZ363BCAVX",
        "e16RjzZJCK+rk37N2EBZ37YRArc=", "e16RjzZJCK+rk37N2EBZ37YRArc",
        "e16RjzZJCK-rk37N2EBZ37YRArc"};
    static const char *const bad[] = {"",
                                      "e16RjzZJCK+rk37N2EBZ37YRAr",
                                      "e16RjzZJCK+rk37N2EBZ37YRAr==",
                                      "e16RjzZJCK+rk37N2EBZ37YRArd",
                                      "e16RjzZJCK+rk37N2EBZ37YRArcA",
                                      "e16RjzZJCK+rk37N2EBZ37YRA!c",
                                      "e16RjzZJCK+rk37N2EBZ37YR rc="};
    struct infohash wanted, h;
    (void)state;
    assert_true(hex_decode(wanted.b, 20, SPAN(HASH)));
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(gotorrent_hash_parse(&h, span_str(good[i])));
        assert_true(infohash_eq(&h, &wanted));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(gotorrent_hash_parse(&h, span_str(bad[i])));
    }
}

static void test_rates(void **state)
{
    static const struct {
        const char *text;
        uint64_t bps;
    } good[] = {
        {"0", 0},
        {"0.0", 0},
        {"1", 1024},
        {"100", 102400},
        {"0.5", 512},
        {" 2 ", 2048},
        {"1e3", 1024000},
        {"1E-3", 2},
        {"0.00001", 1},
        {"1e-300", 1},
        {"1e300", 1ULL << 62},
        {"18446744073709551616", 1ULL << 62},
        {".5", 512},
        {"5.", 5 * 1024},
    };
    static const char *const bad[] = {"",     " ",     "-1",  "-0",  "+1",  "nan",  "inf",
                                      "0x10", "1x",    "1,5", "1 2", "1e",  "1e+",  "e5",
                                      "1..2", "1e999", "--1", ".",   "1-2", "1e5e5"};
    uint64_t bps;
    char longest[GOTORRENT_RATE_LEN + 2];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(gotorrent_rate_parse(&bps, span_str(good[i].text)));
        assert_int_equal(bps, good[i].bps);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (gotorrent_rate_parse(&bps, span_str(bad[i]))) {
            fail_msg("%s", bad[i]);
        }
    }
    memset(longest, '0', sizeof longest);
    assert_true(gotorrent_rate_parse(&bps, span_of(longest, GOTORRENT_RATE_LEN)));
    assert_false(gotorrent_rate_parse(&bps, span_of(longest, GOTORRENT_RATE_LEN + 1)));
    assert_false(gotorrent_rate_parse(&bps, span_of("1\0", 2)));
}

static void test_bools(void **state)
{
    static const char *const good[] = {"false", "0", "no", "FALSE", "true", "1", "yes", "True"};
    static const char *const bad[] = {"", "t", "tru", "truee", "01", "y", "on", " true", "null"};
    bool v;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        v = i < 4;
        assert_true(gotorrent_bool_parse(&v, span_str(good[i])));
        assert_int_equal(v, i >= 4);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(gotorrent_bool_parse(&v, span_str(bad[i])));
    }
}

static void test_times_and_ids(void **state)
{
    char text[GOTORRENT_TIME_LEN], id[GOTORRENT_ID_LEN];
    struct peer_id peer;
    (void)state;
    gotorrent_time_text(text, 1724250830);
    assert_string_equal(text, "2024-08-21T14:33:50Z");
    gotorrent_time_text(text, 0);
    assert_string_equal(text, "");
    gotorrent_time_text(text, -5);
    assert_string_equal(text, "");
    gotorrent_time_text(text, 253402300799);
    assert_string_equal(text, "9999-12-31T23:59:59Z");
    gotorrent_time_text(text, 253402300800);
    assert_string_equal(text, "");
    gotorrent_time_text(text, INT64_MAX);
    assert_string_equal(text, "");
    memcpy(peer.b,
           "-RK0010- ~\"\\%\x1f\x7f\x00\x80\xff"
           "ab",
           20);
    gotorrent_id_text(id, &peer);
    assert_string_equal(id, "-RK0010- ~\"\\%%1f%7f%00%80%ffab");
    memset(peer.b, 0, 20);
    gotorrent_id_text(id, &peer);
    assert_int_equal(strlen(id), GOTORRENT_ID_LEN - 1);
}

/* However it is cut into slices, the text is that of the bits. */
static void test_bits(void **state)
{
    struct rng rng = {3};
    (void)state;
    for (unsigned round = 0; round < 200; round++) {
        uint8_t bytes[40];
        uint32_t n = rng_below(&rng, 8 * sizeof bytes + 1);
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (uint8_t)rng_next(&rng);
        }
        struct gotorrent_bits bits = {.bytes = bytes, .n = n};
        struct buf out;
        buf_init(&out, n + 1);
        while (gotorrent_bits_add(&out, &bits, 1 + rng_below(&rng, 50))) {
            assert_true(out.len < n);
        }
        assert_int_equal(out.len, n);
        for (uint32_t i = 0; i < n; i++) {
            assert_int_equal(out.p[i], '0' + (bytes[i / 8] >> (7 - i % 8) & 1));
        }
        buf_release(&out);
    }
}

/* ---- the body of an add ------------------------------------------------------------------------ */

static void test_add_body(void **state)
{
    struct gotorrent_add a;
    const char *why;
    (void)state;
    assert_int_equal(gotorrent_add_parse(&a,
                                         SPAN("{\"url\":1,\"url\":\"x\\u0000y\",\"maxup\":\"2\","
                                              "\"maxdown\":0.5,\"targetdir\":\"/d\",\"x\":[],}"),
                                         "url", 10, &why),
                     ERR_INVALID); /* the first of them is no text, though the last one counts */
    gotorrent_add_release(&a);
    assert_int_equal(
        gotorrent_add_parse(&a,
                            SPAN("{\"url\":\"z\",\"url\":\"x\\u0000y\",\"maxup\":\"2\","
                                 "\"maxdown\":0.5,\"targetdir\":\"/d\",\"x\":[],}"),
                            "url", 10, &why),
        0);
    assert_true(span_eq(buf_span(&a.source), SPAN("x\0y")));
    assert_true(span_eq(buf_span(&a.targetdir), SPAN("/d")));
    assert_int_equal(a.max_down_bps, 512);
    assert_int_equal(a.max_up_bps, 2048);
    gotorrent_add_release(&a);
    /* Not JSON comes before what will not do. */
    assert_int_equal(gotorrent_add_parse(&a, SPAN("{\"maxup\":-1,"), "url", 10, &why),
                     ERR_MALFORMED);
    gotorrent_add_release(&a);
    assert_int_equal(gotorrent_add_parse(&a, SPAN("{\"url\":\"12345678901\"}"), "url", 10, &why),
                     ERR_INVALID);
    gotorrent_add_release(&a);
    assert_int_equal(
        gotorrent_add_parse(&a, SPAN("{\"file\":\"x\",\"targetdir\":\"\xff\"}"), "file", 9, &why),
        ERR_INVALID);
    assert_string_equal(why, "targetdir is not UTF-8 text");
    gotorrent_add_release(&a);
    assert_int_equal(
        gotorrent_add_parse(&a, SPAN("{\"file\":null,\"targetdir\":\"x\"}"), "file", 9, &why),
        ERR_INVALID);
    assert_string_equal(why, "file missing");
    gotorrent_add_release(&a);
}

/* ---- a session ----------------------------------------------------------------------------------- */

static struct layout layout = {
    .geometry = {.n_pieces = 10, .piece_len = 16384},
};
static const uint8_t have[] = {0xa5, 0x40};
static const uint8_t peer_has_them[] = {0x80, 0x40};

static void give_torrent(struct fixture *f)
{
    struct client *c = &f->client;
    c->here = true;
    c->layout = &layout;
    c->bitfield = have;
    c->status = (struct torrent_status){
        .id = 5,
        .info_hash = c->hash,
        .state = TORRENT_DOWNLOADING,
        .name = "a \"name\" \xff",
        .error = "",
        .n_pieces = 10,
        .n_peers = 2,
        .session_wasted = 512,
        .session_down = 1 << 20,
        .session_up = 1,
        .max_down_bps = 102400,
        .added_unix_s = 1700000000,
    };
    c->n_trackers = 2;
    c->trackers[0] = (struct tracker_view){.url = NULL, .state = TRACKER_WORKING, .text = ""};
    c->trackers[1] = (struct tracker_view){.url = "udp://t.example:1",
                                           .state = TRACKER_UNREGISTERED,
                                           .text = "who is that?",
                                           .has_counts = true,
                                           .counts = {.complete = 2, .incomplete = 3},
                                           .last_ms = 1};
    c->n_peers = 2;
    c->peers[0] = (struct peer_view){.conn = 8, .seed = true, .down_bps = 1536};
    c->peers[1] = (struct peer_view){.conn = 9, .bitfield = {peer_has_them, 2}};
    memcpy(c->peers[0].peer_id.b, "-XX0001-\"aaaaaaaaaa\x01", 20);
    assert_true(endpoint_parse(&c->peers[0].remote, SPAN("192.0.2.1:6881")));
    assert_true(endpoint_parse(&c->peers[1].remote, SPAN("[2001:db8::1]:6881")));
}

static const char *text_of(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    assert_true(cJSON_IsString(item));
    return item->valuestring;
}

static double number_of(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

static void check_session(const cJSON *session)
{
    assert_string_equal(text_of(session, "name"), "a \"name\" \xef\xbf\xbd");
    assert_string_equal(text_of(session, "infohash"), HASH);
    assert_string_equal(text_of(session, "infohash_base64"), "e16RjzZJCK+rk37N2EBZ37YRArc=");
    assert_string_equal(text_of(session, "pieces"), "1010010101");
    assert_string_equal(text_of(session, "bitfield_base64"), "pUA=");
    assert_true(number_of(session, "bitfield_length") == 10);
    assert_true(number_of(session, "wasted") == 0.5);
    assert_true(number_of(session, "downloaded") == 1024);
    assert_true(number_of(session, "uploaded") == 0.001);
    assert_true(number_of(session, "maxdown") == 100);
    assert_string_equal(text_of(session, "status"), "connected");
    const cJSON *trackers = cJSON_GetObjectItemCaseSensitive(session, "trackers");
    assert_int_equal(cJSON_GetArraySize(trackers), 1); /* our own was not named */
    const cJSON *tracker = cJSON_GetArrayItem(trackers, 0);
    assert_string_equal(text_of(tracker, "url"), "udp://t.example:1");
    assert_string_equal(text_of(tracker, "status"), "error");
    assert_true(number_of(tracker, "peers") == 5 && number_of(tracker, "seeders") == 2);
    assert_int_equal(strlen(text_of(tracker, "lastannounce")), 20);
    assert_string_equal(text_of(tracker, "message"), "who is that?");
    const cJSON *peers = cJSON_GetObjectItemCaseSensitive(session, "Peers");
    assert_int_equal(cJSON_GetArraySize(peers), 2);
    const cJSON *seed = cJSON_GetArrayItem(peers, 0), *other = cJSON_GetArrayItem(peers, 1);
    assert_string_equal(text_of(seed, "ID"), "-XX0001-\"aaaaaaaaaa%01");
    assert_string_equal(text_of(seed, "host"), "192.0.2.1:6881");
    assert_string_equal(text_of(seed, "pieces"), "1111111111");
    assert_true(number_of(seed, "down") == 1.5 && number_of(seed, "up") == 0);
    assert_string_equal(text_of(other, "host"), "[2001:db8::1]:6881");
    assert_string_equal(text_of(other, "pieces"), "1000000001");
}

static void test_session(void **state)
{
    struct fixture *f = start(state);
    ask(f, "GET /alldata", AUTH, "", 200, "\"sessions\":[]}");
    ask(f, "GET /torrentdata", AT, "", 404, "not found");
    give_torrent(f);
    ask(f, "GET /torrentdata", AT, "", 200, "");
    cJSON *json = cJSON_Parse(f->body);
    assert_non_null(json);
    check_session(json);
    cJSON_Delete(json);
    ask(f, "GET /alldata", AUTH, "", 200, "");
    json = cJSON_Parse(f->body);
    check_session(cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "sessions"), 0));
    cJSON_Delete(json);
    stop(f);
}

static void test_status_words(void **state)
{
    struct fixture *f = start(state);
    struct torrent_status *s = &f->client.status;
    give_torrent(f);
    s->n_peers = 0;
    ask(f, "GET /torrentdata", AT, "", 200, "\"status\":\"disconnected\",\"error\":null");
    s->state = TORRENT_CHECKING;
    ask(f, "GET /torrentdata", AT, "", 200, "\"status\":\"checking\"");
    s->fault = FAULT_DISK;
    s->error = "a \"disk\"";
    ask(f, "GET /torrentdata", AT, "", 200, "\"status\":\"error\",\"error\":\"a \\\"disk\\\"\"");
    s->flags = TORRENT_PAUSED;
    ask(f, "GET /torrentdata", AT, "", 200, "\"status\":\"paused\"");
    s->name = "";
    ask(f, "GET /torrentdata", AT, "", 200, "{\"name\":\"" HASH "\"");
    stop(f);
}

/* ---- slices: the engine changes between them -------------------------------------------------- */

/* Produces until the part is reached. */
static void run_to(struct gotorrent_session *s, struct buf *out, enum gotorrent_part part)
{
    for (int i = 0; i < 100 && s->part != part; i++) {
        assert_true(gotorrent_session_produce(s, out));
    }
    assert_int_equal(s->part, part);
}

static size_t hosts_in(struct buf *out)
{
    size_t n = 0;
    buf_add_byte(out, '\0');
    for (const char *at = (const char *)out->p; (at = strstr(at, "\"host\"")) != NULL; at++) {
        n++;
    }
    cJSON *json = cJSON_Parse((const char *)out->p);
    assert_non_null(json);
    cJSON_Delete(json);
    return n;
}

/* What happens to the peers once the first of two was written; how many are in the answer. */
static size_t peers_written(struct fixture *f, void (*happen)(struct client *c))
{
    struct gotorrent_session s;
    struct buf out;
    buf_init(&out, 1 << 16);
    give_torrent(f);
    assert_true(gotorrent_session_begin(&s, &f->client, 5, 0));
    run_to(&s, &out, GOTORRENT_PEER_PIECES);
    run_to(&s, &out, GOTORRENT_PEERS);
    happen(&f->client);
    while (gotorrent_session_produce(&s, &out)) {
    }
    size_t n = hosts_in(&out);
    buf_release(&out);
    return n;
}

static void nothing(struct client *c)
{
    (void)c;
}

static void the_first_goes(struct client *c)
{
    c->peers[0] = c->peers[1];
    c->n_peers = 1;
}

static void the_second_goes(struct client *c)
{
    c->n_peers = 1;
}

static void all_go(struct client *c)
{
    c->n_peers = 0;
}

static void the_torrent_goes(struct client *c)
{
    c->here = false;
    c->n_peers = 0;
}

static void test_peers_that_come_and_go(void **state)
{
    struct fixture *f = start(state);
    assert_int_equal(peers_written(f, nothing), 2);
    assert_int_equal(peers_written(f, the_first_goes), 2); /* nobody is left out by that */
    assert_int_equal(peers_written(f, the_second_goes), 1);
    assert_int_equal(peers_written(f, all_go), 1);
    assert_int_equal(peers_written(f, the_torrent_goes), 1);
    stop(f);
}

static void test_released_in_the_middle(void **state)
{
    struct fixture *f = start(state);
    give_torrent(f);
    for (int n = 0; n < 12; n++) {
        struct gotorrent_session s;
        struct buf out;
        buf_init(&out, 1 << 16);
        bool more = gotorrent_session_begin(&s, &f->client, 5, 0);
        for (int i = 0; more && i < n; i++) {
            more = gotorrent_session_produce(&s, &out);
        }
        if (more) {
            gotorrent_session_release(&s);
        }
        buf_release(&out);
    }
    stop(f);
}

/* ---- calls ------------------------------------------------------------------------------------- */

static void test_changes(void **state)
{
    struct fixture *f = start(state);
    give_torrent(f);
    f->client.options = (struct client_options){.flags = TORRENT_PAUSED, .max_up_bps = 7};
    ask(f, "GET /pause", AT, "", 200, "");
    assert_string_equal(f->client.asked, "pause");
    ask(f, "GET /resume", AT, "", 200, "");
    assert_string_equal(f->client.asked, "resume");
    ask(f, "GET /setdownrate", AT "downrate: 1.5\r\n", "", 200, "");
    assert_int_equal(f->client.options.max_down_bps, 1536);
    assert_int_equal(f->client.options.max_up_bps, 7);
    assert_int_equal(f->client.options.flags, TORRENT_PAUSED);
    assert_true(f->client.named_down && !f->client.named_up);
    assert_true(f->client.set == 0 && f->client.clear == 0);
    ask(f, "GET /setuprate", AT "uprate: 0\r\n", "", 200, "");
    assert_int_equal(f->client.options.max_up_bps, 0);
    assert_true(f->client.named_up && !f->client.named_down);
    ask(f, "GET /remove", AT, "", 200, "");
    assert_false(f->client.with_data);
    ask(f, "GET /remove", AT "deletedata: yes\r\n", "", 200, "");
    assert_true(f->client.with_data);
    stop(f);
}

static void test_failures_of_the_client(void **state)
{
    static const struct {
        int status, wanted;
    } cases[] = {{ERR_NOT_FOUND, 404}, {ERR_UNAVAILABLE, 503}, {ERR_LIMIT, 503}, {ERR_SYSTEM, 500}};
    static const char *const calls[] = {"GET /pause", "GET /resume", "GET /remove",
                                        "GET /setdownrate", "GET /setuprate"};
    struct fixture *f = start(state);
    give_torrent(f);
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        f->client.refuse = i % 2 ? cases[i / 2].status : 0;
        f->client.fail = i % 2 ? 0 : cases[i / 2].status;
        for (size_t k = 0; k < sizeof calls / sizeof calls[0]; k++) {
            ask(f, calls[k], AT "downrate: 1\r\nuprate: 1\r\n", "", cases[i / 2].wanted, "\n");
        }
    }
    stop(f);
}

static void test_nobody_is_asked_for_what_is_refused(void **state)
{
    struct fixture *f = start(state);
    give_torrent(f);
    ask(f, "HEAD /remove", AT, "", 405, "");
    ask(f, "HEAD /pause?infohash=" HASH, AUTH, "", 405, "");
    ask(f, "GET /remove/", AT, "", 404, "");
    ask(f, "GET /remove", "infohash: " HASH "\r\n", "", 401, "unauthorized");
    ask(f, "GET /remove?token=the-token-of-the-tests&deletedata=1", "infohash: " HASH "\r\n", "",
        401, "Authorization");
    ask(f, "GET /remove", AT "deletedata:\r\n", "", 422, "deletedata");
    ask(f, "GET /remove", AUTH, "", 422, "Infohash missing");
    ask(f, "GET /setdownrate", AT "downrate: -1\r\n", "", 422, "downrate");
    ask(f, "GET /setuprate", AT "downrate: 1\r\n", "", 422, "uprate");
    ask(f, "POST /addmagnet", AUTH, "{\"url\":\"http://x/\",\"targetdir\":\"x\"}", 422, "magnet");
    ask(f, "POST /addmagnet", AUTH, "url=x", 400, "JSON");
    ask(f, "POST /addtorrentfile", AUTH, "{\"file\":\"de\",\"targetdir\":\"x\"}", 422, "torrent");
    assert_int_equal(f->client.n_asked, 0);
    stop(f);
}

static void test_adds(void **state)
{
    static const char magnet[] = "{\"url\":\"magnet:?xt=urn:btih:" HASH "\",\"targetdir\":\"a/b\","
                                 "\"maxdown\":2,\"maxup\":\"0.5\",}";
    static const struct {
        int status, wanted;
    } cases[] = {
        {ERR_MALFORMED, 422}, {ERR_DENIED, 403}, {ERR_INVALID, 422}, {ERR_UNAVAILABLE, 503}};
    struct fixture *f = start(state);
    ask(f, "POST /addmagnet", AUTH, magnet, 200, "");
    assert_string_equal(f->client.magnet, "magnet:?xt=urn:btih:" HASH);
    assert_string_equal(f->client.save_path, "a/b");
    assert_int_equal(f->client.add.max_down_bps, 2048);
    assert_int_equal(f->client.add.max_up_bps, 512);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        f->client.refuse = cases[i].status;
        ask(f, "POST /addmagnet", AUTH, magnet, cases[i].wanted, "the text of the client");
    }
    f->client.refuse = 0;
    f->client.fail = ERR_UNAVAILABLE;
    ask(f, "POST /addmagnet", AUTH, magnet, 503, "\n");
    f->client.fail = 0;
    f->client.existed = true;
    ask(f, "POST /addmagnet", AUTH, magnet, 409, "already exists");
    f->client.existed = false;
    ask(f, "POST /addtorrentfile?path=%2Fx+y&start=no&maxup=1",
        AUTH "content-type: Application/Octet-Stream; x=y\r\n", "d4:spam4:eggse", 200, "");
    assert_string_equal(f->client.metainfo, "d4:spam4:eggse");
    assert_string_equal(f->client.save_path, "/x y");
    assert_int_equal(f->client.add.flags, TORRENT_PAUSED);
    stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_bools),
        cmocka_unit_test(test_times_and_ids),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_add_body),
        cmocka_unit_test(test_session),
        cmocka_unit_test(test_status_words),
        cmocka_unit_test(test_peers_that_come_and_go),
        cmocka_unit_test(test_released_in_the_middle),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_failures_of_the_client),
        cmocka_unit_test(test_nobody_is_asked_for_what_is_refused),
        cmocka_unit_test(test_adds),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
