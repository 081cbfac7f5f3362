#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/ids.h"
#include "proto/magnet.h"

#include "unit/proto/wire.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define HEX          "7b5e918f364908afab937ecdd84059dfb61102b7"
#define BASE32       "PNPJDDZWJEEK7K4TP3G5QQCZ363BCAVX"
#define XT           "xt=urn:btih:" HEX
#define LINK         "magnet:?" XT
#define XT_RULE      "xt must be urn:btih: and 40 hex or 32 base32 digits"

enum { ROOM = 4096 };

/* Input and room in blocks of exactly their size; the room stays with the caller. */
static int decode(struct magnet *out, struct span uri, uint8_t room[static ROOM], const char **why)
{
    struct span copy = exact_copy(uri);
    struct wr w = wr_over(room, uri.n);
    assert_in_range(uri.n, 0, ROOM);
    *why = NULL;
    memset(out, 0xa5, sizeof *out); /* nothing may depend on what was there */
    int rc = magnet_decode(out, copy, &w, why);
    assert_true((rc < 0) == (*why != NULL));
    exact_free(copy);
    return rc;
}

/* What a link says, as the encoder writes it behind the hash. */
static void test_decode_then_encode(void **state)
{
    (void)state;
    static const struct {
        const char *uri;
        const char *tail;
    } rows[] = {
        {LINK, ""},
        {"MAGNET:?XT=URN:BTIH:7B5E918F364908AFAB937ECDD84059DFB61102B7", ""},
        {"magnet:?xt=urn:btih:" BASE32, ""},
        {"magnet:?xt=urn:btih:pnpjddzwjeek7k4tp3g5qqcz363bcavx", ""},
        {"magnet:?xt=urn%3Abtih%3a" HEX, ""},
        {"magnet:?xt.1=urn:btih:" HEX, ""},
        {"magnet:?dn=a&" XT, "&dn=a"},
        {"magnet:?&&" XT "&&=&x&y=&=z&", ""},
        {LINK "#dn=a", ""},
        {LINK "&xt=urn:btih:ffffffffffffffffffffffffffffffffffffffff", ""},
        {LINK "&xt=urn:btih:nonsense", ""},
        {"magnet:?xt=urn:sha1:YNCKHTQCWBTRNJIV4WNAE52SJUQCZO5C&" XT, ""},
        {"magnet:?xt=urn:btmh:1220caf1&" XT, ""},
        {"magnet:?xt=&" XT, ""},
        {LINK "&xl=10&as=http%3A&kt=a&unknown=%&xy.pe=1:2&dn.1=x&so.1=x", ""},

        {LINK "&dn=hello.txt", "&dn=hello.txt"},
        {LINK "&DN=a", "&dn=a"},
        {LINK "&dn=a&dn=b", "&dn=a"},
        {LINK "&dn=&dn=b", "&dn=b"},
        {LINK "&dn=a+b%20c%2Bd", "&dn=a%20b%20c%2Bd"},
        {LINK "&dn=++", "&dn=%20%20"},
        {LINK "&dn=100%+more", "&dn=100%25%2Bmore"},
        {LINK "&dn=a%", "&dn=a%25"},
        {LINK "&dn=a=b", "&dn=a%3Db"},
        {LINK "&dn=\xc3\xa9%C3%A9%00", "&dn=%C3%A9%C3%A9%00"},

        {LINK "&tr=http%3A%2F%2Fa%2Fannounce%3Fk%3D1", "&tr=http%3A%2F%2Fa%2Fannounce%3Fk%3D1"},
        {LINK "&tr=http://a/b?c=d&tr=udp://e:1",
         "&tr=http%3A%2F%2Fa%2Fb%3Fc%3Dd&tr=udp%3A%2F%2Fe%3A1"},
        {LINK "&tr.0=a&tr.1=b&tr=c+d&tr=", "&tr=a&tr=b&tr=c%2Bd"},
        {LINK "&tr.=a&tr.x=b&trr=c&tr.1.2=d", ""},
        {LINK "&ws=http%3A%2F%2Fa&ws.1=b", "&ws=http%3A%2F%2Fa&ws=b"},
        {LINK "&x.pe=192.0.2.1:6881&X.PE=%5B2001:db8::1%5D%3A1&x.pe=host:2&x.pe=",
         "&x.pe=192.0.2.1:6881&x.pe=[2001:db8::1]:1&x.pe=host:2"},
        {LINK "&x.pe=a%26b", "&x.pe=a%26b"},
        {LINK "&so=0", "&so=0"},
        {LINK "&so=0,2,4,6-8", "&so=0,2,4,6-8"},
        {LINK "&so=7%2C1-1&so=3-4294967295", "&so=7,1,3-4294967295"},
        {LINK "&so=", ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct magnet m;
        uint8_t room[ROOM];
        uint8_t text[ROOM];
        char expected[ROOM];
        const char *why;
        struct wr w = wr_over(text, sizeof text);
        if (decode(&m, span_str(rows[i].uri), room, &why) != 0) {
            fail_msg("%s: %s", rows[i].uri, why);
        }
        magnet_encode(&w, &m);
        assert_false(w.bad);
        (void)snprintf(expected, sizeof expected, LINK "%s", rows[i].tail);
        assert_span(wr_span(&w), expected);
    }
}

static void test_fields(void **state)
{
    (void)state;
    struct magnet m;
    uint8_t room[ROOM];
    uint8_t hash[20];
    const char *why;
    const char *uri = LINK "&dn=a%20b&tr=http%3A%2F%2Ft&ws=w&x.pe=h:1&so=1-2,9";
    assert_int_equal(decode(&m, span_str(uri), room, &why), 0);
    assert_true(hex_decode(hash, sizeof hash, SPAN(HEX)));
    assert_memory_equal(m.info_hash.b, hash, sizeof hash);
    assert_span(m.name, "a b");
    assert_int_equal(m.n_trackers, 1);
    assert_span(m.trackers[0], "http://t");
    assert_int_equal(m.n_web_seeds, 1);
    assert_span(m.web_seeds[0], "w");
    assert_int_equal(m.n_peers, 1);
    assert_span(m.peers[0], "h:1");
    assert_int_equal(m.n_ranges, 2);
    assert_true(m.ranges[0].first == 1 && m.ranges[0].last == 2);
    assert_true(m.ranges[1].first == 9 && m.ranges[1].last == 9);
}

static void test_refused(void **state)
{
    (void)state;
    static const char begin[] = "a magnet link must begin with magnet:?";
    static const char so[] = "so must be file numbers and ranges of them: 0,2,4-6";
    static const char version_2[] = "xt must have urn:btih: too: urn:btmh: alone is version 2";
    static const struct {
        const char *uri;
        const char *why;
    } rows[] = {
        {"", begin},
        {"magnet:", begin},
        {"magnet", begin},
        {" " LINK, begin},
        {"http://127.0.0.1/", begin},
        {HEX, begin},
        {"magnet:?", XT_RULE},
        {"magnet:?dn=a", XT_RULE},
        {"magnet:?xt", XT_RULE},
        {"magnet:?xt=", XT_RULE},
        {"magnet:?xt=" HEX, XT_RULE},
        {"magnet:?xt=urn:btih:", XT_RULE},
        {"magnet:?xt=urn:btih:abcd", XT_RULE},
        {"magnet:?xt=urn:btih:" HEX "0", XT_RULE},
        {"magnet:?xt=urn:btih:xb5e918f364908afab937ecdd84059dfb61102b7", XT_RULE},
        {"magnet:?xt=urn:btih:" BASE32 "A", XT_RULE},
        {"magnet:?xt=urn:btih:1NPJDDZWJEEK7K4TP3G5QQCZ363BCAVX", XT_RULE},
        {"magnet:?xt=urn:btih:nonsense&" XT, XT_RULE},
        {"magnet:?xt=urn:btih:%", XT_RULE},
        {"magnet:?xt=urn:sha1:YNCKHTQCWBTRNJIV4WNAE52SJUQCZO5C", XT_RULE},
        {"magnet:?#" XT, XT_RULE},
        {"magnet:?xt=urn:btmh:1220caf1", version_2},
        {"magnet:?xt=urn:btmh:1220caf1&dn=a", version_2},
        {LINK "&tr=%", "tr must be a percent-encoded URL"},
        {LINK "&tr=http%3", "tr must be a percent-encoded URL"},
        {LINK "&ws=%zz", "ws must be a percent-encoded URL"},
        {LINK "&x.pe=%", "x.pe must be a percent-encoded host:port"},
        {LINK "&so=%", so},
        {LINK "&so=a", so},
        {LINK "&so=-1", so},
        {LINK "&so=1-", so},
        {LINK "&so=2-1", so},
        {LINK "&so=1,", so},
        {LINK "&so=,1", so},
        {LINK "&so=1-2-3", so},
        {LINK "&so=4294967296", so},
        {LINK "&so=0-4294967296", so},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct magnet m;
        uint8_t room[ROOM];
        const char *why;
        if (decode(&m, span_str(rows[i].uri), room, &why) != ERR_MALFORMED ||
            strcmp(why, rows[i].why) != 0) {
            fail_msg("%s: %s", rows[i].uri, why);
        }
    }
}

static void test_every_truncation_of_the_hash_is_malformed(void **state)
{
    (void)state;
    struct magnet m;
    uint8_t room[ROOM];
    const char *why;
    /* The first 32 digits are none of base32: there is a 9 among them. */
    for (size_t n = 0; n < strlen(LINK); n++) {
        assert_int_equal(decode(&m, span_sub(SPAN(LINK), 0, n), room, &why), ERR_MALFORMED);
    }
}

/* One more than fits, and exactly what fits. */
static void test_too_many(void **state)
{
    (void)state;
    static const struct {
        const char *param;
        size_t max;
        const char *why;
    } rows[] = {
        {"&tr=a", MAGNET_TRACKERS_MAX, "tr is there too often"},
        {"&ws=a", MAGNET_WEB_SEEDS_MAX, "ws is there too often"},
        {"&x.pe=a", MAGNET_PEERS_MAX, "x.pe is there too often"},
        {"&so=1", MAGNET_RANGES_MAX, "so has too many ranges"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint8_t text[ROOM];
        uint8_t room[ROOM];
        struct magnet m;
        const char *why;
        struct wr w = wr_over(text, sizeof text);
        wr_bytes(&w, SPAN(LINK));
        for (size_t n = 0; n < rows[i].max; n++) {
            wr_bytes(&w, span_str(rows[i].param));
        }
        assert_int_equal(decode(&m, wr_span(&w), room, &why), 0);
        assert_true(m.n_trackers + m.n_web_seeds + m.n_peers + m.n_ranges == rows[i].max);
        wr_bytes(&w, span_str(rows[i].param));
        assert_false(w.bad);
        assert_int_equal(decode(&m, wr_span(&w), room, &why), ERR_LIMIT);
        assert_string_equal(why, rows[i].why);
    }
}

static void test_too_little_room(void **state)
{
    (void)state;
    static const char *const params[] = {"&dn=abc", "&dn=a+c",   "&dn=ab%", "&tr=abc",
                                         "&ws=abc", "&x.pe=a:1", "&so=1,2"};
    uint8_t room[64];
    for (size_t i = 0; i < COUNT(params); i++) {
        char uri[128];
        struct magnet m;
        const char *why = NULL;
        struct wr w = wr_over(room, strlen("urn:btih:" HEX)); /* xt uses it and leaves it */
        (void)snprintf(uri, sizeof uri, LINK "%s", params[i]);
        assert_int_equal(magnet_decode(&m, span_str(uri), &w, &why), 0);
        (void)snprintf(uri, sizeof uri, "magnet:?%s&" XT, params[i]);
        w = wr_over(room, 2);
        assert_int_equal(magnet_decode(&m, span_str(uri), &w, &why), ERR_LIMIT);
        assert_string_equal(why, "magnet link is too long");
    }
}

static void test_is_magnet(void **state)
{
    (void)state;
    assert_true(magnet_is_magnet(SPAN("magnet:?")));
    assert_true(magnet_is_magnet(SPAN("Magnet:?xt=")));
    assert_false(magnet_is_magnet(SPAN("magnet:")));
    assert_false(magnet_is_magnet(SPAN("http://127.0.0.1/")));
    assert_false(magnet_is_magnet(SPAN("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode_then_encode),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_every_truncation_of_the_hash_is_malformed),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_too_little_room),
        cmocka_unit_test(test_is_magnet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
