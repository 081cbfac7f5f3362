/* Options of an added torrent, and flags by name: what is taken, ignored and refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/spritzle_args.h"
#include "base/rng.h"

#include "base/banned.h"

static char why[SPRITZLE_WHY_MAX];

static int parse(struct spritzle_args *a, const char *text, bool whole)
{
    why[0] = '\0';
    spritzle_args_init(a);
    return spritzle_args_parse(a, span_str(text), whole, why);
}

static void take(struct spritzle_args *a, const char *text)
{
    if (parse(a, text, false) < 0) {
        fail_msg("%s: %s", text, why);
    }
}

static void refuse(const char *text, bool whole, const char *wanted)
{
    struct spritzle_args a;
    if (parse(&a, text, whole) == 0 || strcmp(why, wanted) != 0) {
        fail_msg("%s: %s instead of %s", text, why, wanted);
    }
    spritzle_args_release(&a);
}

static void test_defaults(void **state)
{
    struct spritzle_args a;
    (void)state;
    spritzle_args_init(&a);
    assert_int_equal(a.add.flags, TORRENT_AUTO_MANAGED);
    spritzle_args_release(&a);
    take(&a, " {} \n");
    assert_int_equal(a.add.flags, TORRENT_AUTO_MANAGED);
    assert_int_equal(a.add.n_trackers, 0);
    assert_int_equal(a.add.priorities.n, 0);
    assert_false(a.add.allocate || a.duplicate_is_error);
    spritzle_args_release(&a);
}

static void test_values(void **state)
{
    struct spritzle_args a;
    (void)state;
    take(&a,
         "{\"save_path\":\"/d/\\u00e4\",\"name\":\"n\",\"trackers\":[\"http://a/\",\"udp://b:1\"],"
         "\"tracker_url\":\"http://c/\",\"storage_mode\":0,\"file_priorities\":[0,1,7],"
         "\"max_connections\":12,\"max_uploads\":3,\"upload_limit\":34,\"download_limit\":"
         "9007199254740992,"
         "\"duplicate_is_error\":true}");
    assert_true(span_eq(a.add.save_path, SPAN("/d/\xc3\xa4")));
    assert_true(span_eq(a.add.name, SPAN("n")));
    assert_int_equal(a.add.n_trackers, 3);
    assert_true(span_eq(a.add.trackers[0], SPAN("http://a/")));
    assert_true(span_eq(a.add.trackers[2], SPAN("http://c/")));
    assert_true(a.add.allocate);
    assert_true(span_eq(a.add.priorities, SPAN("\0\1\7")));
    assert_int_equal(a.add.max_peers, 12);
    assert_int_equal(a.add.max_uploads, 3);
    assert_int_equal(a.add.max_up_bps, 34);
    assert_int_equal(a.add.max_down_bps, UINT64_C(9007199254740992));
    assert_true(a.duplicate_is_error);
    assert_null(a.url.p);
    spritzle_args_release(&a);
}

static void test_limits_that_are_none(void **state)
{
    struct spritzle_args a;
    (void)state;
    take(&a,
         "{\"max_connections\":-1,\"max_uploads\":-1,\"upload_limit\":0,\"download_limit\":-5}");
    assert_int_equal(a.add.max_peers, 0);
    assert_int_equal(a.add.max_uploads, 0);
    assert_int_equal(a.add.max_up_bps, 0);
    assert_int_equal(a.add.max_down_bps, 0);
    spritzle_args_release(&a);
    take(&a, "{\"max_connections\":4294967296,\"max_uploads\":4294967296}");
    assert_int_equal(a.add.max_peers, UINT32_MAX);
    assert_int_equal(a.add.max_uploads, UINT32_MAX);
    spritzle_args_release(&a);
}

static void test_flags_of_args(void **state)
{
    static const struct {
        const char *text;
        unsigned flags;
    } cases[] = {
        {"{\"paused\":true}", TORRENT_AUTO_MANAGED | TORRENT_PAUSED},
        {"{\"paused\":1,\"auto_managed\":0}", TORRENT_PAUSED},
        {"{\"paused\":true,\"paused\":false}", TORRENT_AUTO_MANAGED},
        {"{\"auto_managed\":null}", TORRENT_AUTO_MANAGED},
        {"{\"sequential_download\":true,\"seed_mode\":true}",
         TORRENT_AUTO_MANAGED | TORRENT_SEQUENTIAL | TORRENT_SEED_MODE},
        {"{\"upload_mode\":true,\"share_mode\":false}", TORRENT_AUTO_MANAGED | TORRENT_UPLOAD_ONLY},
        {"{\"share_mode\":true,\"upload_mode\":false}",
         TORRENT_AUTO_MANAGED | TORRENT_SHARE_MODE | TORRENT_UPLOAD_ONLY},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct spritzle_args a;
        take(&a, cases[i].text);
        assert_int_equal(a.add.flags, cases[i].flags);
        spritzle_args_release(&a);
    }
}

static void test_ignored(void **state)
{
    static const char *const names[] = {
        "dht_nodes",
        "flags",
        "apply_ip_filter",
        "override_resume_data",
        "merge_resume_trackers",
        "trackerid",
        "url",
        "uuid",
        "source_feed_url",
        "resume_data",
        "ti",
        "info_hash",
    };
    static const char *const values[] = {"1",    "\"x\"", "[[\"a\",1]]", "{\"b\":null}",
                                         "null", "false"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (size_t k = 0; k < sizeof values / sizeof values[0]; k++) {
            struct spritzle_args a;
            char text[256];
            (void)snprintf(text, sizeof text, "{\"%s\":%s}", names[i], values[k]);
            take(&a, text);
            assert_int_equal(a.add.flags, TORRENT_AUTO_MANAGED);
            spritzle_args_release(&a);
        }
    }
}

static void test_refused(void **state)
{
    (void)state;
    refuse("", false, "args is not a JSON object");
    refuse("x", false, "args is not a JSON object");
    refuse("[1]", false, "args is not a JSON object");
    refuse("{\"paused\":true", false, "args is not a JSON object");
    refuse("{} {}", false, "args is not a JSON object");
    refuse("{\"name\":\"\\u0000\"}", false, "args is not a JSON object");
    refuse("{\"name\":\"\xff\"}", false, "args is not a JSON object");
    refuse("{", true, "the body is not a JSON object");
    refuse("{\"a\":1}", false, "unknown name in torrent params: a");
    refuse("{\"\":1}", false, "unknown name in torrent params: ");
    refuse("{\"spritzle.tags\":1}", false, "unknown name in torrent params: spritzle.tags");
    refuse("{\"super_seeding\":true}", false, "unknown name in torrent params: super_seeding");
    refuse("{\"name\":1}", false, "name must be a string");
    refuse("{\"paused\":\"true\"}", false, "paused must be true or false");
    refuse("{\"max_connections\":0.5}", false, "max_connections must be an integer");
    refuse("{\"max_uploads\":\"1\"}", false, "max_uploads must be an integer");
    refuse("{\"upload_limit\":1e17}", false, "upload_limit must be an integer");
    refuse("{\"storage_mode\":2}", false, "storage_mode must be 0 (allocate) or 1 (sparse)");
    refuse("{\"file_priorities\":[8]}", false,
           "file_priorities must be a list of integers, 0 to 7");
    refuse("{\"file_priorities\":{}}", false, "file_priorities must be a list of integers, 0 to 7");
    refuse("{\"trackers\":[1]}", false, "trackers must be a list of at most 200 strings");
    refuse("{\"url\":1}", true, "url must be a string");
}

/* A name as long as the body must not pass its place in the reason. */
static void test_a_long_unknown_name(void **state)
{
    char text[1024];
    struct spritzle_args a;
    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text, "{\"", 2);
    memcpy(text + sizeof text - 5, "\":1}", 5);
    assert_true(parse(&a, text, false) < 0);
    assert_int_equal(strlen(why), SPRITZLE_WHY_MAX - 1);
    spritzle_args_release(&a);
}

static void test_as_many_trackers_as_may_be(void **state)
{
    (void)state;
    for (size_t n = 200; n <= 201; n++) {
        struct spritzle_args a;
        struct buf text;
        buf_init(&text, 1 << 16);
        buf_add_str(&text, "{\"tracker_url\":\"u\",\"trackers\":[\"x\"");
        for (size_t i = 1; i < n; i++) {
            buf_add_str(&text, ",\"x\"");
        }
        buf_add_str(&text, "]}");
        spritzle_args_init(&a);
        int status = spritzle_args_parse(&a, buf_span(&text), false, why);
        assert_int_equal(status == 0, n == 200);
        assert_true(status < 0 || a.add.n_trackers == 201);
        spritzle_args_release(&a);
        buf_release(&text);
    }
}

static void test_a_whole_request(void **state)
{
    struct spritzle_args a;
    (void)state;
    assert_int_equal(
        parse(&a, "{\"file\":\"ZGU=\",\"url\":\"\",\"spritzle.tags\":[1],\"paused\":true}", true),
        0);
    assert_true(span_eq(a.file, SPAN("ZGU=")));
    assert_true(a.url.p != NULL && a.url.n == 0);
    assert_null(a.info_hash.p);
    assert_true((a.add.flags & TORRENT_PAUSED) != 0);
    spritzle_args_release(&a);
}

/* ---- flags --------------------------------------------------------------------------------- */

/* Whoever puts what he was shown changes nothing, and names everything. */
static void test_flags_round_trip(void **state)
{
    struct rng rng = {42};
    (void)state;
    for (int i = 0; i < 1000; i++) {
        unsigned flags = spritzle_flags_meant((unsigned)rng_next(&rng) & 0x3ff);
        unsigned set, clear;
        struct buf out;
        assert_int_equal(spritzle_flags_meant(spritzle_flags_shown(flags)), flags);
        buf_init(&out, 1024);
        spritzle_flags_add(&out, flags);
        assert_int_equal(spritzle_flags_parse(&set, &clear, flags, buf_span(&out), why), 0);
        assert_int_equal(set & clear, 0);
        assert_int_equal(spritzle_flags_meant((flags & ~clear) | set), flags);
        assert_int_equal(set | clear, TORRENT_PAUSED | TORRENT_AUTO_MANAGED | TORRENT_SEQUENTIAL |
                                          TORRENT_SEED_MODE | TORRENT_UPLOAD_ONLY |
                                          TORRENT_SHARE_MODE | TORRENT_SUPER_SEEDING);
        buf_release(&out);
    }
}

static void test_flags_named(void **state)
{
    static const struct {
        unsigned now;
        const char *text;
        unsigned set, clear;
    } cases[] = {
        {TORRENT_PAUSED, "{}", 0, 0},
        /* what is so already is meant all the same */
        {TORRENT_PAUSED, "{\"paused\":true}", TORRENT_PAUSED, 0},
        {0, "{\"paused\":false,\"super_seeding\":true}", TORRENT_SUPER_SEEDING, TORRENT_PAUSED},
        {0, "{\"paused\":false,\"paused\":true}", TORRENT_PAUSED, 0},
        {0, "{\"share_mode\":true}", TORRENT_SHARE_MODE, 0},
        {TORRENT_SHARE_MODE | TORRENT_UPLOAD_ONLY, "{\"upload_mode\":true,\"share_mode\":false}",
         TORRENT_UPLOAD_ONLY, TORRENT_SHARE_MODE},
        {TORRENT_SEED_MODE, "{\"seed_mode\":true}", TORRENT_SEED_MODE, 0},
        {0, "{\"seed_mode\":false}", 0, TORRENT_SEED_MODE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned set, clear;
        assert_int_equal(
            spritzle_flags_parse(&set, &clear, cases[i].now, span_str(cases[i].text), why), 0);
        assert_int_equal(set, cases[i].set);
        assert_int_equal(clear, cases[i].clear);
    }
}

static void test_flags_refused(void **state)
{
    static const struct {
        const char *text, *why;
        unsigned now;
    } cases[] = {
        {"", "not a JSON object", 0},
        {"[]", "not a JSON object", 0},
        {"{\"x\":true}", "unknown flag: x", 0},
        {"{\"paused\":1}", "paused must be true or false", 0},
        {"{\"paused\":true,\"x\":true}", "unknown flag: x", 0},
        {"{\"seed_mode\":true}", "seed_mode is for adding only", 0},
        {"{\"seed_mode\":false}", "seed_mode is for adding only", TORRENT_SEED_MODE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned set, clear;
        assert_true(spritzle_flags_parse(&set, &clear, cases[i].now, span_str(cases[i].text), why) <
                    0);
        assert_string_equal(why, cases[i].why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_limits_that_are_none),
        cmocka_unit_test(test_flags_of_args),
        cmocka_unit_test(test_ignored),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_a_long_unknown_name),
        cmocka_unit_test(test_as_many_trackers_as_may_be),
        cmocka_unit_test(test_a_whole_request),
        cmocka_unit_test(test_flags_round_trip),
        cmocka_unit_test(test_flags_named),
        cmocka_unit_test(test_flags_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
