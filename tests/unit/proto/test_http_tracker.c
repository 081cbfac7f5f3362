#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "proto/bencode.h"
#include "proto/compact.h"
#include "proto/http1.h"
#include "proto/http_tracker.h"

#include "unit/proto/wire.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define KEY          "abcdefghijklmnopqrstuvwxyz012345"
#define IDS          "info_hash=hhhhhhhhhhhhhhhhhhhh&peer_id=pppppppppppppppppppp"
#define MINIMAL      IDS "&port=6881"

static int decode(struct announce_req *out, const char *query, const char **why)
{
    struct span copy = exact_copy(span_str(query));
    *why = NULL;
    memset(out, 0xa5, sizeof *out); /* nothing may depend on what was there */
    int rc = http_announce_decode(out, copy, why);
    assert_true((rc < 0) == (*why != NULL));
    exact_free(copy);
    return rc;
}

static void test_routes(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum http_tracker_route route;
        const char *key;
    } rows[] = {
        {"/", HTTP_ROUTE_ROOT, ""},
        {"/health_check", HTTP_ROUTE_HEALTH, ""},
        {"/announce", HTTP_ROUTE_ANNOUNCE, ""},
        {"/announce/", HTTP_ROUTE_ANNOUNCE, ""},
        {"/announce/" KEY, HTTP_ROUTE_ANNOUNCE, KEY},
        {"/announce/" KEY "/", HTTP_ROUTE_ANNOUNCE, KEY},
        {"/" KEY "/announce", HTTP_ROUTE_ANNOUNCE, KEY},
        {"/scrape", HTTP_ROUTE_SCRAPE, ""},
        {"/scrape/", HTTP_ROUTE_SCRAPE, ""},
        {"/scrape/" KEY, HTTP_ROUTE_SCRAPE, KEY},
        {"/" KEY "/scrape", HTTP_ROUTE_SCRAPE, KEY},
        {"/announce/%41%", HTTP_ROUTE_ANNOUNCE, "%41%"},
        {"/announce/scrape", HTTP_ROUTE_ANNOUNCE, "scrape"},
        {"/scrape/announce", HTTP_ROUTE_SCRAPE, "announce"},
        {"", HTTP_ROUTE_NONE, ""},
        {"announce", HTTP_ROUTE_NONE, ""},
        {"//", HTTP_ROUTE_NONE, ""},
        {"//announce", HTTP_ROUTE_NONE, ""},
        {"/announce//", HTTP_ROUTE_NONE, ""},
        {"/announces", HTTP_ROUTE_NONE, ""},
        {"/announc", HTTP_ROUTE_NONE, ""},
        {"/Announce", HTTP_ROUTE_NONE, ""},
        {"/announce.php", HTTP_ROUTE_NONE, ""},
        {"/" KEY, HTTP_ROUTE_NONE, ""},
        {"/a/b", HTTP_ROUTE_NONE, ""},
        {"/a/" KEY "/announce", HTTP_ROUTE_NONE, ""},
        {"/announce/" KEY "/x", HTTP_ROUTE_NONE, ""},
        {"/health_check/x", HTTP_ROUTE_NONE, ""},
        {"*", HTTP_ROUTE_NONE, ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct span key;
        struct span copy = exact_copy(span_str(rows[i].path));
        if (http_tracker_route(copy, &key) != rows[i].route ||
            !span_eq(key, span_str(rows[i].key))) {
            fail_msg("%s", rows[i].path);
        }
        exact_free(copy);
    }
}

static void test_defaults(void **state)
{
    (void)state;
    struct announce_req r;
    const char *why;
    static const struct addr none;
    assert_int_equal(decode(&r, MINIMAL, &why), 0);
    assert_memory_equal(r.info_hash.b, "hhhhhhhhhhhhhhhhhhhh", 20);
    assert_memory_equal(r.peer_id.b, "pppppppppppppppppppp", 20);
    assert_int_equal(r.port, 6881);
    assert_true(r.uploaded == 0 && r.downloaded == 0 && r.left == UINT64_MAX);
    assert_int_equal(r.event, EVENT_NONE);
    assert_int_equal(r.numwant, NUMWANT_UNSET);
    assert_true(r.compact);
    assert_false(r.no_peer_id);
    assert_false(r.has_ip);
    assert_int_equal(r.key.n, 0);
    assert_true(addr_eq(&r.from, &none));
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
        uint64_t value;
    } rows[] = {
        {"0", true, 0},
        {"1", true, 1},
        {"007", true, 7},
        {"9999999999999999999", true, UINT64_C(9999999999999999999)},
        {"18446744073709551615", true, UINT64_MAX},
        {"000018446744073709551615", true, UINT64_MAX},
        {"%31%32", true, 12},
        {"18446744073709551616", false, 0},
        {"99999999999999999999999", false, 0},
        {"", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1.5", false, 0},
        {"0x10", false, 0},
        {"1%", false, 0},
        {"%", false, 0},
        {"1=1", false, 0},
    };
    static const char *const names[] = {"uploaded", "downloaded", "left"};
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t k = 0; k < COUNT(names); k++) {
            char query[256];
            struct announce_req r;
            const char *why;
            (void)snprintf(query, sizeof query, MINIMAL "&%s=%s", names[k], rows[i].text);
            int rc = decode(&r, query, &why);
            if (rc != (rows[i].valid ? 0 : ERR_MALFORMED)) {
                fail_msg("%s", query);
            }
            if (rows[i].valid) {
                uint64_t v = k == 0 ? r.uploaded : k == 1 ? r.downloaded : r.left;
                assert_true(v == rows[i].value);
            } else {
                assert_int_equal(strncmp(why, names[k], strlen(names[k])), 0);
                assert_non_null(strstr(why, "must be a whole number of bytes"));
            }
        }
    }
}

static void test_valid_queries(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        uint16_t port;
        int32_t numwant;
        enum announce_event event;
        bool compact;
        bool no_peer_id;
        const char *ip;
    } rows[] = {
        {IDS "&port=1", 1, -1, EVENT_NONE, true, false, NULL},
        {IDS "&port=65535", 65535, -1, EVENT_NONE, true, false, NULL},
        {IDS "&port=1&port=2", 1, -1, EVENT_NONE, true, false, NULL},
        {IDS "&port=1&port=x", 1, -1, EVENT_NONE, true, false, NULL},
        {"&&" IDS "&&&port=1&", 1, -1, EVENT_NONE, true, false, NULL},
        {"port=1&" IDS, 1, -1, EVENT_NONE, true, false, NULL},
        {MINIMAL "&x&y=&=z&=&%&PORT=0&ports=0", 6881, -1, EVENT_NONE, true, false, NULL},
        {MINIMAL "&numwant=0", 6881, 0, EVENT_NONE, true, false, NULL},
        {MINIMAL "&numwant=50", 6881, 50, EVENT_NONE, true, false, NULL},
        {MINIMAL "&numwant=-1", 6881, -1, EVENT_NONE, true, false, NULL},
        {MINIMAL "&numwant=-5", 6881, -1, EVENT_NONE, true, false, NULL},
        {MINIMAL "&numwant=2147483647", 6881, INT32_MAX, EVENT_NONE, true, false, NULL},
        {MINIMAL "&numwant=2147483648", 6881, INT32_MAX, EVENT_NONE, true, false, NULL},
        {MINIMAL "&event=started", 6881, -1, EVENT_STARTED, true, false, NULL},
        {MINIMAL "&event=stopped", 6881, -1, EVENT_STOPPED, true, false, NULL},
        {MINIMAL "&event=completed", 6881, -1, EVENT_COMPLETED, true, false, NULL},
        {MINIMAL "&event=", 6881, -1, EVENT_NONE, true, false, NULL},
        {MINIMAL "&event", 6881, -1, EVENT_NONE, true, false, NULL},
        {MINIMAL "&event=paused", 6881, -1, EVENT_NONE, true, false, NULL},
        {MINIMAL "&event=Started", 6881, -1, EVENT_NONE, true, false, NULL},
        {MINIMAL "&event=stopped&event=started", 6881, -1, EVENT_STOPPED, true, false, NULL},
        {MINIMAL "&compact=0", 6881, -1, EVENT_NONE, false, false, NULL},
        {MINIMAL "&compact=1", 6881, -1, EVENT_NONE, true, false, NULL},
        {MINIMAL "&compact=", 6881, -1, EVENT_NONE, true, false, NULL},
        {MINIMAL "&compact=00", 6881, -1, EVENT_NONE, true, false, NULL},
        {MINIMAL "&no_peer_id=1", 6881, -1, EVENT_NONE, true, true, NULL},
        {MINIMAL "&no_peer_id=0", 6881, -1, EVENT_NONE, true, false, NULL},
        {MINIMAL "&ip=192.0.2.1", 6881, -1, EVENT_NONE, true, false, "192.0.2.1"},
        {MINIMAL "&ip=2001%3Adb8%3A%3a1", 6881, -1, EVENT_NONE, true, false, "2001:db8::1"},
        {MINIMAL "&ip=::ffff:192.0.2.1", 6881, -1, EVENT_NONE, true, false, "192.0.2.1"},
        {MINIMAL "&ipv4=192.0.2.1", 6881, -1, EVENT_NONE, true, false, "192.0.2.1"},
        {MINIMAL "&ipv4=192.0.2.1:80", 6881, -1, EVENT_NONE, true, false, "192.0.2.1"},
        {MINIMAL "&ipv6=[2001:db8::1]:80", 6881, -1, EVENT_NONE, true, false, "2001:db8::1"},
        {MINIMAL "&ip=x&ipv6=::2&ipv4=1.2.3.4", 6881, -1, EVENT_NONE, true, false, "::2"},
        {MINIMAL "&ip=localhost", 6881, -1, EVENT_NONE, true, false, NULL},
        {MINIMAL "&ip=1.2.3.4%", 6881, -1, EVENT_NONE, true, false, NULL},
        {MINIMAL "&ip=", 6881, -1, EVENT_NONE, true, false, NULL},
        {MINIMAL "&ip=1111111111111111111111111111111111111111111111111111111111111111111111", 6881,
         -1, EVENT_NONE, true, false, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct announce_req r;
        const char *why;
        char ip[ADDR_TEXT_LEN];
        if (decode(&r, rows[i].query, &why) != 0 || r.port != rows[i].port ||
            r.numwant != rows[i].numwant || r.event != rows[i].event ||
            r.compact != rows[i].compact || r.no_peer_id != rows[i].no_peer_id ||
            r.has_ip != (rows[i].ip != NULL) ||
            (r.has_ip && strcmp(addr_format(ip, &r.ip), rows[i].ip) != 0)) {
            fail_msg("%s: %s", rows[i].query, why == NULL ? "another value" : why);
        }
    }
}

static void test_malformed_queries(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        const char *why;
    } rows[] = {
        {"", "info_hash is missing"},
        {"&&", "info_hash is missing"},
        {"peer_id=pppppppppppppppppppp&port=1", "info_hash is missing"},
        {"info_hash=hhhhhhhhhhhhhhhhhhhh&port=1", "peer_id is missing"},
        {IDS, "port is missing"},
        {"info_hash", "info_hash must be 20 bytes"},
        {"info_hash=", "info_hash must be 20 bytes"},
        {"info_hash=hhhhhhhhhhhhhhhhhhh", "info_hash must be 20 bytes"},
        {"info_hash=hhhhhhhhhhhhhhhhhhhhh", "info_hash must be 20 bytes"},
        {"info_hash=hhhhhhhhhhhhhhhhhhh&port=1", "info_hash must be 20 bytes"},
        {"info_hash=%", "info_hash must be 20 bytes"},
        {"info_hash=%0", "info_hash must be 20 bytes"},
        {"info_hash=hhhhhhhhhhhhhhhhhhh%", "info_hash must be 20 bytes"},
        {"info_hash=hhhhhhhhhhhhhhhhhhh%6", "info_hash must be 20 bytes"},
        {"info_hash=hhhhhhhhhhhhhhhhhhh%6g", "info_hash must be 20 bytes"},
        {"info_hash=hhhhhhhhhhhhhhhhhhh%&8", "info_hash must be 20 bytes"},
        {"info_hash=%68%68%68%68%68%68%68%68%68%68%68%68%68%68%68%68%68%68%68%68%68",
         "info_hash must be 20 bytes"},
        {"peer_id=ppp", "peer_id must be 20 bytes"},
        {IDS "&port=", "port must be a number from 1 to 65535"},
        {IDS "&port", "port must be a number from 1 to 65535"},
        {IDS "&port=0", "port must be a number from 1 to 65535"},
        {IDS "&port=65536", "port must be a number from 1 to 65535"},
        {IDS "&port=4294967297", "port must be a number from 1 to 65535"},
        {IDS "&port=18446744073709551617", "port must be a number from 1 to 65535"},
        {IDS "&port=-1", "port must be a number from 1 to 65535"},
        {IDS "&port=x", "port must be a number from 1 to 65535"},
        {MINIMAL "&numwant=", "numwant must be a whole number"},
        {MINIMAL "&numwant=-", "numwant must be a whole number"},
        {MINIMAL "&numwant=--1", "numwant must be a whole number"},
        {MINIMAL "&numwant=ten", "numwant must be a whole number"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct announce_req r;
        const char *why;
        assert_int_equal(decode(&r, rows[i].query, &why), ERR_MALFORMED);
        assert_string_equal(why, rows[i].why);
    }
}

static void test_percent_decoding_of_hashes(void **state)
{
    (void)state;
    struct announce_req r;
    const char *why;
    /* "+" is no blank, and hex digits may be of either case. */
    assert_int_equal(decode(&r,
                            "info_hash=++%2b%2B%00%ff%fFhhhhhhhhhhhhh&port=1"
                            "&peer_id=%26%3D%25ppppppppppppppppp",
                            &why),
                     0);
    assert_memory_equal(r.info_hash.b, "++++\0\xff\xffhhhhhhhhhhhhh", 20);
    assert_memory_equal(r.peer_id.b, "&=%ppppppppppppppppp", 20);
}

static void test_every_truncation(void **state)
{
    (void)state;
    static const char query[] = "port=6881&" IDS;
    for (size_t n = 0; n < sizeof query - 1; n++) {
        char cut[sizeof query];
        struct announce_req r;
        const char *why;
        memcpy(cut, query, n);
        cut[n] = '\0';
        assert_int_equal(decode(&r, cut, &why), ERR_MALFORMED);
    }
}

static void test_scrape_queries(void **state)
{
    (void)state;
    struct infohash hashes[3];
    const char *why = NULL;
    struct span three = SPAN("info_hash=aaaaaaaaaaaaaaaaaaaa&x=y&info_hash=bbbbbbbbbbbbbbbbbbb%62"
                             "&info_hash=aaaaaaaaaaaaaaaaaaaa");
    assert_int_equal(http_scrape_decode(hashes, 3, three, &why), 3);
    assert_memory_equal(hashes, "aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbaaaaaaaaaaaaaaaaaaaa", 60);
    assert_int_equal(http_scrape_decode(hashes, 2, three, &why), ERR_LIMIT);
    assert_non_null(why);
    assert_int_equal(http_scrape_decode(hashes, 0, three, &why), ERR_LIMIT);
    assert_int_equal(http_scrape_decode(hashes, 3, SPAN(""), &why), 0);
    assert_int_equal(http_scrape_decode(hashes, 3, SPAN("&a=b&c"), &why), 0);
    assert_int_equal(http_scrape_decode(hashes, 3, SPAN("info_hash=abc"), &why), ERR_MALFORMED);
    assert_string_equal(why, "info_hash must be 20 bytes");
}

static void test_query_round_trip(void **state)
{
    (void)state;
    struct announce_req first, second;
    uint8_t out[512];
    const char *why;
    assert_int_equal(decode(&first, MINIMAL, &why), 0);
    for (uint8_t i = 0; i < 40; i++) {
        first.info_hash.b[i % 20] = (uint8_t)(i * 13);
        first.peer_id.b[i % 20] = (uint8_t)(i * 7 + 100);
        first.left = i % 3 == 0 ? UINT64_MAX : i;
        first.uploaded = i % 2 == 0 ? UINT64_MAX : 0;
        first.event = (enum announce_event)(i % 4);
        first.numwant = i % 5 - 1;
        first.compact = i % 2;
        first.no_peer_id = i % 3 == 1;
        first.has_ip = i % 4 == 1;
        first.ip = (struct addr){.b = {i}, .v6 = i % 8 == 1};
        first.ip = first.has_ip ? first.ip : (struct addr){.v6 = false};
        struct wr w = wr_over(out, sizeof out);
        http_announce_encode(&w, &first);
        assert_false(w.bad);
        assert_int_equal(http_announce_decode(&second, wr_span(&w), &why), 0);
        assert_memory_equal(&second.info_hash, &first.info_hash, 20);
        assert_memory_equal(&second.peer_id, &first.peer_id, 20);
        assert_true(second.left == first.left && second.uploaded == first.uploaded);
        assert_int_equal(second.event, first.event);
        assert_int_equal(second.numwant, first.numwant);
        assert_int_equal(second.compact, first.compact);
        assert_int_equal(second.no_peer_id, first.no_peer_id);
        assert_int_equal(second.has_ip, first.has_ip);
        assert_true(addr_eq(&second.ip, &first.ip));
    }
    struct infohash hashes[2] = {{{0}}, {{'%', '&', 255}}};
    struct infohash back[2];
    struct wr w = wr_over(out, sizeof out);
    http_scrape_encode(&w, hashes, 2);
    assert_int_equal(http_scrape_decode(back, 2, wr_span(&w), &why), 2);
    assert_memory_equal(back, hashes, sizeof back);
}

/* Two peers of each family. */
static const uint8_t wire4[] = {192, 0, 2, 1, 0x1a, 0xe1, 192, 0, 2, 2, 0, 80};
static const uint8_t wire6[] = {0x20, 1, 0x0d, 0xb8, [15] = 1, 0x1a, 0xe1,
                                0x20, 1, 0x0d, 0xb8, [33] = 2, 0,    80};
static const struct peer_id ids[2] = {{"-AA0000-abcdefghijk"}, {"-BB0000-abcdefghijk"}};

static struct announce_reply sample_reply(void)
{
    return (struct announce_reply){
        .interval_s = 1800,
        .min_interval_s = 300,
        .counts = {.complete = 1, .downloaded = 2, .incomplete = 3},
        .peers4 = span_of(wire4, sizeof wire4),
        .peers6 = span_of(wire6, sizeof wire6),
        .warning = SPAN("slow down"),
    };
}

static void assert_strict(struct span body)
{
    const struct bencode_limits strict = {1 << 20, 1 << 20, 1000, 8, true};
    struct bencode v;
    const char *why;
    assert_int_equal(bencode_decode(&v, body, &strict, &why), body.n);
}

static void test_compact_reply(void **state)
{
    (void)state;
    uint8_t out[512];
    struct announce_reply reply = sample_reply();
    struct wr w = wr_over(out, sizeof out);
    http_announce_reply_encode(&w, &reply, true);
    assert_strict(wr_span(&w));
    reply.peers6 = span_of(NULL, 0);
    reply.min_interval_s = 0;
    reply.warning = span_of(NULL, 0);
    reply.peers4 = SPAN("");
    w = wr_over(out, sizeof out);
    http_announce_reply_encode(&w, &reply, true);
    assert_span(wr_span(&w),
                "d8:completei1e10:downloadedi2e10:incompletei3e8:intervali1800e5:peers0:e");
    struct wr exact = wr_over(out, wr_len(&w));
    http_announce_reply_encode(&exact, &reply, true);
    assert_false(exact.bad);
    exact = wr_over(out, wr_len(&w) - 1);
    http_announce_reply_encode(&exact, &reply, true);
    assert_true(exact.bad);
}

static void test_dictionary_reply(void **state)
{
    (void)state;
    uint8_t out[1024];
    struct announce_reply reply = sample_reply();
    struct wr w = wr_over(out, sizeof out);
    http_announce_reply_encode(&w, &reply, false);
    assert_strict(wr_span(&w));
    reply.peers4.n = 6;
    reply.peers6.n = 18;
    reply.peer4_ids = &ids[0];
    reply.min_interval_s = 0;
    reply.warning = span_of(NULL, 0);
    w = wr_over(out, sizeof out);
    http_announce_reply_encode(&w, &reply, false);
    assert_strict(wr_span(&w));
    static const char expected[] =
        "d8:completei1e10:downloadedi2e10:incompletei3e8:intervali1800e5:peersl"
        "d2:ip9:192.0.2.17:peer id20:-AA0000-abcdefghijk\0004:porti6881ee"
        "d2:ip11:2001:db8::14:porti6881eeee";
    assert_int_equal(wr_len(&w), sizeof expected - 1);
    assert_memory_equal(out, expected, sizeof expected - 1);
}

static void test_reply_round_trip(void **state)
{
    (void)state;
    static const struct http_reply_limits lim = {.peers_max = 4};
    uint8_t out[1024], room[128];
    const char *why = NULL;
    for (int compact = 0; compact <= 1; compact++) {
        struct http_reply r;
        struct announce_reply reply = sample_reply();
        struct wr w = wr_over(out, sizeof out), to = wr_over(room, sizeof room);
        reply.peer4_ids = ids;
        http_announce_reply_encode(&w, &reply, compact);
        assert_int_equal(http_announce_reply_decode(&r, wr_span(&w), &to, &lim, &why), wr_len(&w));
        assert_false(r.failed);
        assert_int_equal(r.reply.interval_s, 1800);
        assert_int_equal(r.reply.min_interval_s, 300);
        assert_memory_equal(&r.reply.counts, &reply.counts, sizeof reply.counts);
        assert_true(span_eq(r.reply.peers4, reply.peers4));
        assert_true(span_eq(r.reply.peers6, reply.peers6));
        assert_span(r.reply.warning, "slow down");
        assert_int_equal(wr_len(&to), compact ? 0 : 48);
        const struct http_reply_limits less = {.peers_max = 3};
        to = wr_over(room, sizeof room);
        assert_int_equal(http_announce_reply_decode(&r, wr_span(&w), &to, &less, &why), ERR_LIMIT);
        to = wr_over(room, 47);
        assert_int_equal(http_announce_reply_decode(&r, wr_span(&w), &to, &lim, &why),
                         compact ? (ssize_t)wr_len(&w) : ERR_LIMIT);
        for (size_t n = 0; n < wr_len(&w); n++) {
            struct span cut = exact_copy(span_of(out, n));
            to = wr_over(room, sizeof room);
            assert_int_equal(http_announce_reply_decode(&r, cut, &to, &lim, &why), ERR_MALFORMED);
            exact_free(cut);
        }
    }
}

static int decode_reply(struct http_reply *r, const char *body)
{
    static const struct http_reply_limits lim = {.peers_max = 10};
    static uint8_t room[180];
    const char *why = NULL;
    struct wr w = wr_over(room, sizeof room);
    ssize_t n = http_announce_reply_decode(r, span_str(body), &w, &lim, &why);
    assert_true((n < 0) == (why != NULL));
    return n < 0 ? (int)n : 0;
}

static void test_foreign_replies(void **state)
{
    (void)state;
    struct http_reply r;
    assert_int_equal(decode_reply(&r, "d5:peers0:8:intervali0060ee\r\n"), 0); /* unsorted */
    assert_int_equal(r.reply.interval_s, 60);
    assert_int_equal(decode_reply(&r, "de"), 0);
    assert_int_equal(r.reply.interval_s, 0);
    assert_int_equal(r.reply.peers4.n, 0);
    assert_false(r.has_counts);
    assert_int_equal(decode_reply(&r, "d8:completei1e10:incompletei0ee"), 0);
    assert_true(r.has_counts);
    assert_int_equal(decode_reply(&r, "d8:completei1e10:incomplete1:0e"), 0);
    assert_false(r.has_counts);
    assert_int_equal(decode_reply(&r, "d8:intervali-5e8:completei4294967296ee"), 0);
    assert_int_equal(r.reply.interval_s, 0);
    assert_int_equal(r.reply.counts.complete, UINT32_MAX);
    assert_int_equal(decode_reply(&r, "d11:external ip4:\1\2\3\4"
                                      "10:tracker id2:xye"),
                     0);
    assert_true(r.has_external_ip);
    assert_memory_equal(r.external_ip.b, "\1\2\3\4", 4);
    assert_span(r.tracker_id, "xy");
    assert_int_equal(decode_reply(&r, "d11:external ip5:\1\2\3\4\5e"), 0);
    assert_false(r.has_external_ip);
    /* A name, a port of 0, a port too high, no port: left out. */
    assert_int_equal(decode_reply(&r, "d5:peersld2:ip4:host4:porti1eed2:ip7:1.2.3.44:porti0ee"
                                      "d2:ip7:1.2.3.44:porti65536eed2:ip7:1.2.3.4ei5e"
                                      "d2:ip7:1.2.3.54:porti65535eeee"),
                     0);
    assert_int_equal(r.reply.peers4.n, 6);
    assert_memory_equal(r.reply.peers4.p, "\1\2\3\5\377\377", 6);
    static const char *const bad[] = {
        "",
        "le",
        "i5e",
        "<html>",
        "d5:peersi5ee",
        "d5:peers5:abcdee",
        "d6:peers65:abcdee",
        "d5:peersdee",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(decode_reply(&r, bad[i]), ERR_MALFORMED);
    }
}

static void test_failures(void **state)
{
    (void)state;
    static const struct {
        int32_t minutes;
        const char *body;
    } rows[] = {
        {0, "d14:failure reason3:whye"},
        {5, "d14:failure reason3:why8:retry ini5ee"},
        {-1, "d14:failure reason3:why8:retry in5:nevere"}, /* BEP 31 */
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint8_t out[64];
        struct http_reply r;
        struct wr w = wr_over(out, sizeof out);
        struct announce_failure f = {SPAN("why"), rows[i].minutes};
        http_failure_encode(&w, &f);
        assert_strict(wr_span(&w));
        assert_span(wr_span(&w), rows[i].body);
        assert_int_equal(decode_reply(&r, rows[i].body), 0);
        assert_true(r.failed);
        assert_span(r.failure.reason, "why");
        assert_int_equal(r.failure.retry_in_min, rows[i].minutes);
    }
    struct http_reply r;
    assert_int_equal(decode_reply(&r, "d14:failure reason1:x8:retry ini-7ee"), 0);
    assert_int_equal(r.failure.retry_in_min, 0);
    assert_int_equal(decode_reply(&r, "d14:failure reason1:x8:retry in2:5me"), 0);
    assert_int_equal(r.failure.retry_in_min, 0);
}

static void test_scrape_reply(void **state)
{
    (void)state;
    static struct infohash hashes[HTTP_SCRAPE_MAX];
    static struct scrape_counts counts[HTTP_SCRAPE_MAX];
    static uint8_t out[HTTP_SCRAPE_MAX * 100];
    const char *why = NULL;
    struct http_scrape_reply reply;
    struct scrape_counts c;
    struct wr w = wr_over(out, sizeof out);
    http_scrape_reply_encode(&w, hashes, counts, 0, 0);
    assert_span(wr_span(&w), "d5:filesdee");
    for (size_t i = 0; i < HTTP_SCRAPE_MAX; i++) {
        memset(hashes[i].b, 'x', 20);
        hashes[i].b[19] = (uint8_t)(i * 37 % 50); /* in no order, each twice */
        counts[i] = (struct scrape_counts){hashes[i].b[19], 1000, UINT32_MAX};
    }
    for (size_t n = 1; n <= HTTP_SCRAPE_MAX; n++) {
        w = wr_over(out, sizeof out);
        http_scrape_reply_encode(&w, hashes, counts, n, 900);
        assert_false(w.bad);
        assert_strict(wr_span(&w)); /* sorted and unique, then */
        assert_true(http_scrape_reply_decode(&reply, wr_span(&w), &why) > 0);
        assert_int_equal(reply.min_request_interval_s, 900);
        for (size_t i = 0; i < n; i++) {
            assert_true(http_scrape_reply_find(&reply, &hashes[i], &c));
            assert_memory_equal(&c, &counts[i], sizeof c);
        }
    }
    static const struct infohash other = {"yyyyyyyyyyyyyyyyyyy"};
    assert_false(http_scrape_reply_find(&reply, &other, &c));
    w = wr_over(out, sizeof out);
    http_scrape_reply_encode(&w, hashes, counts, 1, 900);
    struct bencode v;
    const struct bencode_limits lim = {1000, 1000, 100, 8, true};
    assert_true(bencode_decode(&v, wr_span(&w), &lim, &why) > 0);
    int64_t interval;
    assert_true(bencode_get_int(bencode_get(v, SPAN("flags")), SPAN("min_request_interval"),
                                &interval)); /* BEP 48 */
    assert_int_equal(interval, 900);
}

static void test_foreign_scrape_replies(void **state)
{
    (void)state;
    static const struct infohash hash = {"aaaaaaaaaaaaaaaaaaaa"};
    static const struct {
        struct span body;
        bool found;
        uint32_t complete;
    } good[] = {
        {SPAN("d5:filesdee"), false, 0},
        {SPAN("d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei5e10:incompletei6eeee"), true, 5},
        {SPAN("d5:filesd20:aaaaaaaaaaaaaaaaaaaad10:incompletei6e8:completei5eeee"), true, 5},
        {SPAN("d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei-5e10:incompletei6eeee"), true, 0},
        {SPAN("d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei5eeee"), false, 0},
        {SPAN("d5:filesd20:aaaaaaaaaaaaaaaaaaaai5eee"), false, 0},
        {SPAN("d5:filesd20:baaaaaaaaaaaaaaaaaaad8:completei5e10:incompletei6eeee"), false, 0},
    };
    static const char *const bad[] = {"", "le", "de", "d5:filesle", "d5:filesi5ee", "d5:filesde"};
    struct http_scrape_reply reply;
    struct scrape_counts c;
    const char *why;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(http_scrape_reply_decode(&reply, good[i].body, &why) > 0);
        assert_false(reply.failed);
        assert_int_equal(reply.min_request_interval_s, 0);
        assert_int_equal(http_scrape_reply_find(&reply, &hash, &c), good[i].found);
        assert_true(!good[i].found || c.complete == good[i].complete);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        why = NULL;
        assert_int_equal(http_scrape_reply_decode(&reply, span_str(bad[i]), &why), ERR_MALFORMED);
        assert_non_null(why);
        assert_false(http_scrape_reply_find(&reply, &hash, &c));
    }
    assert_true(http_scrape_reply_decode(&reply, SPAN("d14:failure reason4:fulle"), &why) > 0);
    assert_true(reply.failed);
    assert_span(reply.failure.reason, "full");
}

static void test_scrape_urls(void **state)
{
    (void)state;
    static const struct {
        const char *announce;
        const char *scrape; /* NULL: it has none */
    } rows[] = {
        /* the examples of BEP 48 */
        {"http://example.com/announce", "http://example.com/scrape"},
        {"http://example.com/x/announce", "http://example.com/x/scrape"},
        {"http://example.com/announce.php", "http://example.com/scrape.php"},
        {"http://example.com/a", NULL},
        {"http://example.com/announce?x2%0644", "http://example.com/scrape?x2%0644"},
        {"http://example.com/announce?x=2/4", NULL},
        {"http://example.com/x%064announce", NULL},
        /* others */
        {"https://t.example:443/KEY/announce#x", "https://t.example:443/KEY/scrape"},
        {"http://t.example/announce/KEY", NULL},
        {"http://t.example/announce/", NULL},
        {"http://announce.example", NULL},
        {"http://announce.example/", NULL},
        {"http://t.example/Announce", NULL},
        {"http://announce", NULL},
        {"announce", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char room[64];
        struct wr w = wr_over(room, sizeof room);
        assert_int_equal(http_scrape_url(&w, span_str(rows[i].announce)), rows[i].scrape != NULL);
        assert_span(wr_span(&w), rows[i].scrape == NULL ? "" : rows[i].scrape);
    }
}

static void test_real_clients(void **state)
{
    (void)state;
    static const uint8_t hash[] = {0x9b, 0x9c, 0x3f, 0xc0, 0x00, 0xf7, 0x41, 0xa8, 0xe2, 0xb0,
                                   0xa0, 0x8c, 0x56, 0xc0, 0x3e, 0x01, 0x86, 0x7c, 0xa8, 0x44};
    static const struct {
        const char *file;
        const char *peer_id_prefix;
        uint16_t port;
        enum announce_event event;
        int32_t numwant;
        bool no_peer_id;
    } rows[] = {
        {"http_announce_started_aria2.bin", "A2-1-36-0-\x10", 16881, EVENT_STARTED, 50, true},
        {"http_announce_started_libtorrent.bin", "-LT2080-", 16891, EVENT_STARTED, 200, true},
        {"http_announce_stopped_libtorrent.bin", "-LT2080-", 16891, EVENT_STOPPED, 0, true},
        {"http_announce_started_transmission.bin", "-TR3000-", 15913, EVENT_STARTED, 80, false},
        {"http_announce_stopped_transmission.bin", "-TR3000-", 15913, EVENT_STOPPED, 0, false},
    };
    static const char *const scrapes[] = {"http_scrape_libtorrent.bin",
                                          "http_scrape_transmission.bin"};
    struct http1_request http;
    const char *why;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct announce_req r;
        struct span in = wire_file(rows[i].file);
        assert_true(http1_request_decode(&http, in, &why) > 0);
        assert_int_equal(http_announce_decode(&r, http.query, &why), 0);
        assert_memory_equal(r.info_hash.b, hash, sizeof hash);
        assert_memory_equal(r.peer_id.b, rows[i].peer_id_prefix, strlen(rows[i].peer_id_prefix));
        assert_true(r.left == 262144 && r.uploaded == 0 && r.downloaded == 0);
        assert_int_equal(r.port, rows[i].port);
        assert_int_equal(r.event, rows[i].event);
        assert_int_equal(r.numwant, rows[i].numwant);
        assert_int_equal(r.no_peer_id, rows[i].no_peer_id);
        assert_true(r.compact);
        assert_false(r.has_ip);
        exact_free(in);
    }
    for (size_t i = 0; i < COUNT(scrapes); i++) {
        struct infohash found[2];
        struct span in = wire_file(scrapes[i]);
        assert_true(http1_request_decode(&http, in, &why) > 0);
        assert_int_equal(http_scrape_decode(found, 2, http.query, &why), 1);
        assert_memory_equal(found[0].b, hash, sizeof hash);
        exact_free(in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_valid_queries),
        cmocka_unit_test(test_malformed_queries),
        cmocka_unit_test(test_percent_decoding_of_hashes),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_scrape_queries),
        cmocka_unit_test(test_query_round_trip),
        cmocka_unit_test(test_compact_reply),
        cmocka_unit_test(test_dictionary_reply),
        cmocka_unit_test(test_reply_round_trip),
        cmocka_unit_test(test_foreign_replies),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_scrape_reply),
        cmocka_unit_test(test_foreign_scrape_replies),
        cmocka_unit_test(test_scrape_urls),
        cmocka_unit_test(test_real_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
