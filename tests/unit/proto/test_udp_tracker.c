#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "proto/compact.h"
#include "proto/udp_tracker.h"

#include "unit/proto/wire.h"

#define KEY          "abcdefghijklmnopqrstuvwxyz012345"
#define HASH         "\x9b\x9c\x3f\xc0\x00\xf7\x41\xa8\xe2\xb0\xa0\x8c\x56\xc0\x3e\x01\x86\x7c\xa8\x44"
#define CONN         UINT64_C(0x434f4e4e49443031) /* "CONNID01" */
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The announce request of BEP 15, each field with its own bytes. */
static const uint8_t announce[UDP_ANNOUNCE_LEN] = {
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, /* connection_id */
    0x00, 0x00, 0x00, 0x01,                         /* action */
    0x11, 0x12, 0x13, 0x14,                         /* transaction_id */
    'h',  'h',  'h',  'h',  'h',  'h',  'h',  'h',  'h', 'h',
    'h',  'h',  'h',  'h',  'h',  'h',  'h',  'h',  'h', 'h', /* info_hash */
    'p',  'p',  'p',  'p',  'p',  'p',  'p',  'p',  'p', 'p',
    'p',  'p',  'p',  'p',  'p',  'p',  'p',  'p',  'p', 'p', /* peer_id */
    0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28,           /* downloaded */
    0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38,           /* left */
    0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,           /* uploaded */
    0x00, 0x00, 0x00, 0x02,                                   /* event: started */
    192,  0,    2,    1,                                      /* IP address */
    0x51, 0x52, 0x53, 0x54,                                   /* key */
    0x00, 0x00, 0x00, 0x32,                                   /* num_want */
    0x1a, 0xe1,                                               /* port */
};

/* Decodes a block of exactly that size; spans of out are then compared by content only. */
static ssize_t decode(struct udp_request *out, struct span in)
{
    const char *why = NULL;
    struct span copy = exact_copy(in);
    memset(out, 0xa5, sizeof *out); /* nothing may depend on what was there */
    ssize_t n = udp_request_decode(out, copy, &why);
    assert_true((n > 0) == (why == NULL));
    exact_free(copy);
    return n;
}

static ssize_t decode_with(struct udp_request *out, struct span tail)
{
    uint8_t bytes[2048];
    memcpy(bytes, announce, sizeof announce);
    memcpy(bytes + sizeof announce, tail.p, tail.n);
    return decode(out, span_of(bytes, sizeof announce + tail.n));
}

static void test_announce_fields(void **state)
{
    (void)state;
    struct udp_request r;
    assert_int_equal(decode(&r, span_of(announce, sizeof announce)), UDP_ANNOUNCE_LEN);
    assert_true(r.connection_id == UINT64_C(0x0102030405060708));
    assert_int_equal(r.action, UDP_ANNOUNCE);
    assert_int_equal(r.transaction_id, 0x11121314);
    assert_memory_equal(r.announce.info_hash.b, "hhhhhhhhhhhhhhhhhhhh", 20);
    assert_memory_equal(r.announce.peer_id.b, "pppppppppppppppppppp", 20);
    assert_true(r.announce.downloaded == UINT64_C(0x2122232425262728));
    assert_true(r.announce.left == UINT64_C(0x3132333435363738));
    assert_true(r.announce.uploaded == UINT64_C(0x4142434445464748));
    assert_int_equal(r.announce.event, EVENT_STARTED);
    assert_true(r.announce.has_ip);
    assert_false(r.announce.ip.v6);
    assert_memory_equal(r.announce.ip.b, "\xc0\0\2\1\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_int_equal(r.key, 0x51525354);
    assert_int_equal(r.announce.numwant, 50);
    assert_int_equal(r.announce.port, 6881);
    assert_true(r.announce.compact);
    assert_int_equal(r.announce.key.n, 0);
    assert_int_equal(r.url_data_len, 0);
}

static void test_every_truncation(void **state)
{
    (void)state;
    struct udp_request r;
    for (size_t n = 0; n < sizeof announce; n++) {
        assert_int_equal(decode(&r, span_of(announce, n)), ERR_MALFORMED);
        if (n >= 16) { /* enough to tell a verified sender */
            assert_true(r.connection_id == UINT64_C(0x0102030405060708));
            assert_int_equal(r.action, UDP_ANNOUNCE);
            assert_int_equal(r.transaction_id, 0x11121314);
        }
    }
}

/* One field of the announce, replaced by n bytes of a big-endian number. */
static ssize_t decode_patched(struct udp_request *r, size_t at, size_t n, uint64_t v)
{
    uint8_t bytes[sizeof announce];
    memcpy(bytes, announce, sizeof announce);
    for (size_t i = 0; i < n; i++) {
        bytes[at + i] = (uint8_t)(v >> 8 * (n - 1 - i));
    }
    return decode(r, span_of(bytes, sizeof bytes));
}

static void test_field_edges(void **state)
{
    (void)state;
    struct udp_request r;
    for (uint32_t event = 0; event <= 5; event++) {
        assert_int_equal(decode_patched(&r, 80, 4, event), UDP_ANNOUNCE_LEN);
        assert_int_equal(r.announce.event, event <= 3 ? event : EVENT_NONE);
    }
    static const struct {
        uint32_t wire;
        int32_t numwant;
    } wants[] = {
        {0, 0},
        {1, 1},
        {0x7fffffff, INT32_MAX},
        {0x80000000, NUMWANT_UNSET},
        {0xffffffff, NUMWANT_UNSET}, /* BEP 15: -1 is the default */
    };
    for (size_t i = 0; i < COUNT(wants); i++) {
        assert_int_equal(decode_patched(&r, 92, 4, wants[i].wire), UDP_ANNOUNCE_LEN);
        assert_int_equal(r.announce.numwant, wants[i].numwant);
    }
    assert_int_equal(decode_patched(&r, 96, 2, 0), ERR_MALFORMED);
    assert_int_equal(r.transaction_id, 0x11121314);
    assert_int_equal(decode_patched(&r, 96, 2, 1), UDP_ANNOUNCE_LEN);
    assert_int_equal(r.announce.port, 1);
    assert_int_equal(decode_patched(&r, 96, 2, 65535), UDP_ANNOUNCE_LEN);
    assert_int_equal(r.announce.port, 65535);
    assert_int_equal(decode_patched(&r, 64, 8, 0), UDP_ANNOUNCE_LEN);
    assert_true(r.announce.left == 0);
    assert_int_equal(decode_patched(&r, 64, 8, UINT64_MAX), UDP_ANNOUNCE_LEN);
    assert_true(r.announce.left == UINT64_MAX);
    assert_int_equal(decode_patched(&r, 84, 4, 0), UDP_ANNOUNCE_LEN);
    assert_false(r.announce.has_ip);
}

static void test_unknown_actions_are_returned(void **state)
{
    (void)state;
    struct udp_request r;
    static const uint32_t actions[] = {3, 4, 0x7fffffff, 0xffffffff};
    for (size_t i = 0; i < COUNT(actions); i++) {
        assert_int_equal(decode_patched(&r, 8, 4, actions[i]), 16);
        assert_int_equal(r.action, actions[i]);
        assert_int_equal(r.transaction_id, 0x11121314);
    }
}

/* BEP 41. used: bytes of the options, or an error. */
static void test_options(void **state)
{
    (void)state;
    static const struct {
        struct span options;
        ssize_t used;
        const char *url_data;
        const char *key;
    } rows[] = {
        {{(const uint8_t *)"\0", 1}, 1, "", ""},
        {{(const uint8_t *)"\0\0", 2}, 1, "", ""},
        {{(const uint8_t *)"\1\1\1", 3}, 3, "", ""},
        {{(const uint8_t *)"\2\4/key", 6}, 6, "/key", "key"},
        {{(const uint8_t *)"\2\4/key\0", 7}, 7, "/key", "key"},
        {{(const uint8_t *)"\1\2\4/key\1\0", 9}, 9, "/key", "key"},
        {{(const uint8_t *)"\2\2/a\2\2nn\2\5ounce\2\2/k", 19}, 19, "/announce/k", "k"},
        {{(const uint8_t *)"\2\2/k\1\1\2\2ey", 10}, 10, "/key", "key"},
        {{(const uint8_t *)"\2\0\2\4/key", 8}, 8, "/key", "key"},
        {{(const uint8_t *)"\2\4/key\0\2\377garbage", 16}, 7, "/key", "key"},
        {{(const uint8_t *)"\3\0\2\2/k", 6}, 6, "/k", "k"},
        {{(const uint8_t *)"\377\3abc\2\2/k", 9}, 9, "/k", "k"},
        {{(const uint8_t *)"\2", 1}, ERR_MALFORMED, NULL, NULL},
        {{(const uint8_t *)"\2\1", 2}, ERR_MALFORMED, NULL, NULL},
        {{(const uint8_t *)"\2\4/ke", 5}, ERR_MALFORMED, NULL, NULL},
        {{(const uint8_t *)"\1\1\2\377/", 5}, ERR_MALFORMED, NULL, NULL},
        {{(const uint8_t *)"\7", 1}, ERR_MALFORMED, NULL, NULL},
        {{(const uint8_t *)"\7\3ab", 4}, ERR_MALFORMED, NULL, NULL},
        {{(const uint8_t *)"\2\2/k\2", 5}, ERR_MALFORMED, NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct udp_request r;
        ssize_t expected = rows[i].used < 0 ? rows[i].used : UDP_ANNOUNCE_LEN + rows[i].used;
        assert_int_equal(decode_with(&r, rows[i].options), expected);
        assert_int_equal(r.transaction_id, 0x11121314);
        if (rows[i].used > 0) {
            assert_span(span_of(r.url_data, r.url_data_len), rows[i].url_data);
            assert_span(r.announce.key, rows[i].key);
        }
    }
}

static void test_url_data_limit(void **state)
{
    (void)state;
    struct udp_request r;
    uint8_t tail[3 * 257];
    struct wr w = wr_over(tail, sizeof tail);
    uint8_t path[UDP_URL_DATA_MAX + 1];
    memset(path, 'k', sizeof path);
    path[0] = '/';
    for (size_t extra = 0; extra <= 1; extra++) {
        struct span data = span_of(path, UDP_URL_DATA_MAX + extra);
        w = wr_over(tail, sizeof tail);
        for (size_t at = 0; at < data.n; at += 255) {
            struct span chunk = span_sub(data, at, 255);
            wr_u8(&w, 2);
            wr_u8(&w, (uint8_t)chunk.n);
            wr_bytes(&w, chunk);
        }
        ssize_t n = decode_with(&r, wr_span(&w));
        if (extra == 0) {
            assert_int_equal(n, UDP_ANNOUNCE_LEN + wr_len(&w));
            assert_int_equal(r.announce.key.n, UDP_URL_DATA_MAX - 1);
        } else {
            assert_int_equal(n, ERR_MALFORMED);
        }
    }
}

static void test_url_keys(void **state)
{
    (void)state;
    static const struct {
        const char *url_data;
        const char *key;
    } rows[] = {
        {"", ""},
        {"/", ""},
        {"?", ""},
        {"?key=1", ""},
        {"/?key=1", ""},
        {"/announce", ""},
        {"/announce/", ""},
        {"/announce?a=/b/c", ""},
        {"/" KEY, KEY},
        {"/" KEY "/", KEY},
        {"/" KEY "?a=1", KEY},
        {"/announce/" KEY, KEY},
        {"/announce/" KEY "?passkey=/x/y", KEY},
        {"/" KEY "/announce", KEY},
        {"/" KEY "/announce?", KEY},
        {"/a%20b", "a%20b"},
        {"/announce/announce", "announce"},
        {"announce/" KEY, ""},
        {KEY, ""},
        {"/other/" KEY, ""},
        {"/a/" KEY "/announce", ""},
        {"/announce/" KEY "/x", ""},
        {"//announce", ""},
        {"/announce//", ""},
        {"//", ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct span copy = exact_copy(span_str(rows[i].url_data));
        struct span key = udp_url_key(copy);
        if (!span_eq(key, span_str(rows[i].key))) {
            fail_msg("%s: %.*s", rows[i].url_data, (int)key.n, (const char *)key.p);
        }
        exact_free(copy);
    }
}

static void test_connect(void **state)
{
    (void)state;
    /* BEP 15: the magic constant, action 0, a transaction id. */
    static const uint8_t bytes[] = {0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4};
    uint8_t out[UDP_CONNECT_LEN];
    struct wr w = wr_over(out, sizeof out);
    struct udp_request r;
    udp_connect_encode(&w, 0x01020304);
    assert_int_equal(wr_len(&w), sizeof bytes);
    assert_memory_equal(out, bytes, sizeof bytes);
    assert_int_equal(decode(&r, span_of(bytes, sizeof bytes)), 16);
    assert_true(r.connection_id == UDP_PROTOCOL_ID);
    assert_int_equal(r.action, UDP_CONNECT);
    assert_int_equal(r.transaction_id, 0x01020304);
    for (size_t n = 0; n < sizeof bytes; n++) {
        assert_int_equal(decode(&r, span_of(bytes, n)), ERR_MALFORMED);
    }
}

static void test_scrape_request(void **state)
{
    (void)state;
    static struct infohash hashes[UDP_SCRAPE_WIRE_MAX + 1];
    static uint8_t out[16 + sizeof hashes];
    struct udp_request r;
    const char *why = NULL;
    for (size_t i = 0; i < COUNT(hashes); i++) {
        memset(hashes[i].b, (int)i, 20);
    }
    for (size_t n = 0; n <= COUNT(hashes); n++) {
        struct wr w = wr_over(out, sizeof out);
        udp_scrape_encode(&w, CONN, 7, hashes, n);
        assert_false(w.bad);
        size_t expected = n < UDP_SCRAPE_WIRE_MAX ? n : UDP_SCRAPE_WIRE_MAX;
        assert_int_equal(udp_request_decode(&r, wr_span(&w), &why), 16 + 20 * expected);
        assert_true(r.connection_id == CONN);
        assert_int_equal(r.action, UDP_SCRAPE);
        assert_int_equal(r.transaction_id, 7);
        assert_int_equal(r.hashes.n, 20 * expected);
        assert_memory_equal(r.hashes.p, hashes, 20 * expected);
    }
    for (size_t n = 1; n < 60; n++) { /* every length that is not 20, 40 */
        if (n % 20 != 0) {
            struct wr w = wr_over(out, sizeof out);
            udp_scrape_encode(&w, CONN, 7, hashes, 3);
            assert_int_equal(decode(&r, span_of(out, 16 + n)), ERR_MALFORMED);
            assert_int_equal(r.transaction_id, 7);
        }
    }
}

static void test_announce_round_trip(void **state)
{
    (void)state;
    static const size_t url_lens[] = {0, 1, 33, 255, 256, 510, 512};
    uint8_t url[UDP_URL_DATA_MAX];
    uint8_t out[1024];
    struct udp_request first, second;
    const char *why = NULL;
    memset(url, 'u', sizeof url);
    url[0] = '/';
    assert_int_equal(decode(&first, span_of(announce, sizeof announce)), UDP_ANNOUNCE_LEN);
    for (size_t i = 0; i < COUNT(url_lens); i++) {
        struct wr w = wr_over(out, sizeof out);
        struct span data = span_of(url, url_lens[i]);
        udp_announce_encode(&w, first.connection_id, first.transaction_id, first.key,
                            &first.announce, data);
        assert_false(w.bad);
        assert_memory_equal(out, announce, sizeof announce); /* the format is canonical */
        assert_int_equal(udp_request_decode(&second, wr_span(&w), &why), wr_len(&w));
        assert_true(span_eq(span_of(second.url_data, second.url_data_len), data));
        assert_int_equal(second.announce.key.n, url_lens[i] == 0 ? 0 : url_lens[i] - 1);
    }
    first.announce.numwant = NUMWANT_UNSET;
    first.announce.has_ip = false;
    struct wr w = wr_over(out, sizeof out);
    udp_announce_encode(&w, 1, 2, 3, &first.announce, span_of(NULL, 0));
    assert_int_equal(decode(&second, wr_span(&w)), UDP_ANNOUNCE_LEN);
    assert_int_equal(second.announce.numwant, NUMWANT_UNSET);
    assert_false(second.announce.has_ip);
}

static void test_replies_round_trip(void **state)
{
    (void)state;
    static const struct scrape_counts counts[] = {{1, 2, 3}, {UINT32_MAX, 0, 7}};
    uint8_t out[256];
    const char *why = NULL;
    struct udp_reply r;
    struct wr w = wr_over(out, sizeof out);
    udp_connect_reply_encode(&w, 7, CONN);
    assert_int_equal(udp_reply_decode(&r, wr_span(&w), false, &why), 16);
    assert_int_equal(r.action, UDP_CONNECT);
    assert_int_equal(r.transaction_id, 7);
    assert_true(r.connection_id == CONN);

    for (int v6 = 0; v6 <= 1; v6++) {
        w = wr_over(out, sizeof out);
        udp_announce_reply_encode(&w, 8, 1800, &counts[0]);
        assert_memory_equal(out, "\0\0\0\1\0\0\0\10\0\0\7\10\0\0\0\3\0\0\0\1", 20);
        wr_bytes(&w, SPAN("0123456789abcdefgh0123456789abcdefgh"));
        assert_int_equal(udp_reply_decode(&r, wr_span(&w), v6, &why), 20 + 36);
        assert_int_equal(r.announce.interval_s, 1800);
        assert_int_equal(r.announce.counts.complete, 1);
        assert_int_equal(r.announce.counts.incomplete, 3);
        assert_int_equal(r.announce.peers4.n, v6 ? 0 : 36);
        assert_int_equal(r.announce.peers6.n, v6 ? 36 : 0);
        wr_bytes(&w, SPAN("cut"));
        assert_int_equal(udp_reply_decode(&r, wr_span(&w), v6, &why), 20 + 36);
    }

    w = wr_over(out, sizeof out);
    udp_scrape_reply_encode(&w, 9, counts, 2);
    assert_int_equal(udp_reply_decode(&r, wr_span(&w), false, &why), 8 + 24);
    assert_int_equal(r.scrape.n, 24);
    for (size_t i = 0; i < 2; i++) {
        struct scrape_counts c = udp_scrape_at(r.scrape, i);
        assert_memory_equal(&c, &counts[i], sizeof c);
    }

    w = wr_over(out, sizeof out);
    udp_error_encode(&w, 10, SPAN("torrent not on whitelist"));
    assert_int_equal(udp_reply_decode(&r, wr_span(&w), false, &why), wr_len(&w));
    assert_int_equal(r.action, UDP_ERROR);
    assert_span(r.error, "torrent not on whitelist");
}

static void test_reply_truncations(void **state)
{
    (void)state;
    static const size_t fixed[] = {
        [UDP_CONNECT] = 16, [UDP_ANNOUNCE] = 20, [UDP_SCRAPE] = 8, [UDP_ERROR] = 8, [4] = 8};
    uint8_t bytes[40] = {0};
    struct udp_reply r;
    const char *why;
    for (uint8_t action = 0; action < COUNT(fixed); action++) {
        bytes[3] = action;
        for (size_t n = 0; n <= sizeof bytes; n++) {
            struct span copy = exact_copy(span_of(bytes, n));
            ssize_t used = udp_reply_decode(&r, copy, false, &why);
            if (n < fixed[action]) {
                assert_int_equal(used, ERR_MALFORMED);
            } else {
                assert_in_range(used, fixed[action], n);
                assert_int_equal(r.action, action);
            }
            exact_free(copy);
        }
    }
}

static void test_encoders_without_room(void **state)
{
    (void)state;
    static const struct scrape_counts counts[2];
    static const struct infohash hashes[2];
    struct udp_request r;
    assert_int_equal(decode(&r, span_of(announce, sizeof announce)), UDP_ANNOUNCE_LEN);
    uint8_t out[128];
    for (size_t room = 0; room < sizeof out; room++) {
        struct wr w[8];
        for (size_t i = 0; i < COUNT(w); i++) {
            w[i] = wr_over(out, room);
        }
        udp_connect_encode(&w[0], 1);
        udp_announce_encode(&w[1], 1, 2, 3, &r.announce, SPAN("/key"));
        udp_scrape_encode(&w[2], 1, 2, hashes, 2);
        udp_connect_reply_encode(&w[3], 1, 2);
        udp_announce_reply_encode(&w[4], 1, 2, &counts[0]);
        udp_scrape_reply_encode(&w[5], 1, counts, 2);
        udp_error_encode(&w[6], 1, SPAN("text"));
        static const size_t needed[] = {16, 104, 56, 16, 20, 32, 12};
        for (size_t i = 0; i < COUNT(needed); i++) {
            assert_int_equal(w[i].bad, room < needed[i]);
        }
    }
}

struct captured {
    const char *file;
    const char *peer_id_prefix;
    const char *key;
    uint16_t port;
    enum announce_event event;
    int32_t numwant;
};

static void test_real_clients(void **state)
{
    (void)state;
    static const struct captured rows[] = {
        {"udp_announce_started_aria2.bin", "A2-1-36-0-", "", 16881, EVENT_STARTED, 50},
        {"udp_announce_started_libtorrent.bin", "-LT2080-", KEY, 16891, EVENT_STARTED, 200},
        {"udp_announce_stopped_libtorrent.bin", "-LT2080-", KEY, 16891, EVENT_STOPPED, 0},
        {"udp_announce_started_transmission.bin", "-TR3000-", "", 15913, EVENT_STARTED, 80},
        {"udp_announce_stopped_transmission.bin", "-TR3000-", "", 15913, EVENT_STOPPED, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct udp_request r;
        const char *why = NULL;
        struct span in = wire_file(rows[i].file);
        assert_true(udp_request_decode(&r, in, &why) > 0);
        assert_true(r.connection_id == CONN);
        assert_int_equal(r.action, UDP_ANNOUNCE);
        assert_memory_equal(r.announce.info_hash.b, HASH, 20);
        assert_memory_equal(r.announce.peer_id.b, rows[i].peer_id_prefix,
                            strlen(rows[i].peer_id_prefix));
        assert_true(r.announce.left == 262144);
        assert_int_equal(r.announce.port, rows[i].port);
        assert_int_equal(r.announce.event, rows[i].event);
        assert_int_equal(r.announce.numwant, rows[i].numwant);
        assert_false(r.announce.has_ip);
        assert_span(r.announce.key, rows[i].key);
        exact_free(in);
    }
}

static void test_real_connects_and_scrapes(void **state)
{
    (void)state;
    static const char *const connects[] = {"udp_connect_aria2.bin", "udp_connect_libtorrent.bin",
                                           "udp_connect_transmission.bin"};
    static const char *const scrapes[] = {"udp_scrape_libtorrent.bin",
                                          "udp_scrape_transmission.bin"};
    struct udp_request r;
    const char *why = NULL;
    for (size_t i = 0; i < COUNT(connects); i++) {
        struct span in = wire_file(connects[i]);
        assert_int_equal(udp_request_decode(&r, in, &why), 16);
        assert_true(r.connection_id == UDP_PROTOCOL_ID);
        assert_int_equal(r.action, UDP_CONNECT);
        exact_free(in);
    }
    for (size_t i = 0; i < COUNT(scrapes); i++) {
        struct span in = wire_file(scrapes[i]);
        assert_int_equal(udp_request_decode(&r, in, &why), 36);
        assert_int_equal(r.action, UDP_SCRAPE);
        assert_int_equal(r.hashes.n, 20);
        assert_memory_equal(r.hashes.p, HASH, 20);
        exact_free(in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_announce_fields),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_field_edges),
        cmocka_unit_test(test_unknown_actions_are_returned),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_url_data_limit),
        cmocka_unit_test(test_url_keys),
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_scrape_request),
        cmocka_unit_test(test_announce_round_trip),
        cmocka_unit_test(test_replies_round_trip),
        cmocka_unit_test(test_reply_truncations),
        cmocka_unit_test(test_encoders_without_room),
        cmocka_unit_test(test_real_clients),
        cmocka_unit_test(test_real_connects_and_scrapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
