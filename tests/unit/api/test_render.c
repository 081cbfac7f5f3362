/* Keys and their arithmetic, and the objects of the Torrust APIs byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cJSON.h>
#include <cmocka.h>

#include "api/metrics.h"
#include "api/ops.h"
#include "api/torrust_rows.h"
#include "base/digest.h"

#include "base/banned.h"

static const int64_t NOW_MS = INT64_C(1680009900058); /* 2023-03-28 13:25:00.058 UTC */

static void expect(struct buf *b, const char *text)
{
    buf_add_byte(b, '\0');
    assert_string_equal((const char *)b->p, text);
    buf_release(b);
}

static void test_key_times(void **state)
{
    static const struct {
        uint64_t seconds;
        enum key_fault fault;
        int64_t expires_ms;
        int64_t shown_s;
    } cases[] = {
        {0, KEY_OK, INT64_C(1680009900999), 1680009900},
        {1, KEY_OK, INT64_C(1680009901058), 1680009901},
        {3600, KEY_OK, INT64_C(1680013500058), 1680013500},
        {UINT64_C(253402300799) - 1680009900 - 1, KEY_OK, INT64_C(253402300798058), 253402300798},
        {UINT64_C(253402300799) - 1680009900, KEY_BAD_DURATION, 0, 0},
        {UINT64_MAX, KEY_BAD_DURATION, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct key_request req = {.seconds_valid = cases[i].seconds};
        struct access_key key;
        assert_int_equal(key_make(&key, &req, NOW_MS), cases[i].fault);
        if (cases[i].fault == KEY_OK) {
            assert_int_equal(key.expires_unix_ms, cases[i].expires_ms);
            assert_int_equal(key_valid_until_s(&key), cases[i].shown_s);
            assert_int_equal(key.created_unix_s, 1680009900);
            assert_int_equal(key_check(span_str(key.key)), KEY_OK);
            assert_false(key.permanent);
        }
    }
}

static void test_key_requests(void **state)
{
    struct key_request req = {.key = SPAN("2cjvmxYTzG1ESiJBSAn5dxNornXB5CeD"),
                              .label = SPAN("for k\xc3\xa4the"),
                              .permanent = true,
                              .seconds_valid = UINT64_MAX};
    struct access_key key;
    char label[KEY_LABEL_MAX + 1];
    (void)state;
    assert_int_equal(key_make(&key, &req, NOW_MS), KEY_OK);
    assert_string_equal(key.key, "2cjvmxYTzG1ESiJBSAn5dxNornXB5CeD");
    assert_string_equal(key.label, "for k\xc3\xa4the");
    assert_true(key.permanent);
    memset(label, 'l', sizeof label);
    req.label = span_of(label, KEY_LABEL_MAX);
    assert_int_equal(key_make(&key, &req, NOW_MS), KEY_OK);
    req.label = span_of(label, KEY_LABEL_MAX + 1);
    assert_int_equal(key_make(&key, &req, NOW_MS), KEY_BAD_LABEL);
    req.label = SPAN("a\nb");
    assert_int_equal(key_make(&key, &req, NOW_MS), KEY_BAD_LABEL);
    req.label = SPAN("\xff");
    assert_int_equal(key_make(&key, &req, NOW_MS), KEY_BAD_LABEL);
    req.key = SPAN("");
    assert_int_equal(key_make(&key, &req, NOW_MS), KEY_BAD_LENGTH);
    req.key = SPAN("2cjvmxYTzG1ESiJBSAn5dxNornXB5Ce");
    assert_int_equal(key_make(&key, &req, NOW_MS), KEY_BAD_LENGTH);
    req.key = SPAN("2cjvmxYTzG1ESiJBSAn5dxNornXB5Ce-");
    assert_int_equal(key_make(&key, &req, NOW_MS), KEY_BAD_CHARACTERS);
}

static void test_keys_rendered(void **state)
{
    struct access_key key = {.key = "2cjvmxYTzG1ESiJBSAn5dxNornXB5CeD",
                             .label = "a\"b",
                             .expires_unix_ms = NOW_MS,
                             .created_unix_s = 5};
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    torrust_add_key(&b, TORRUST_SEED, &key);
    expect(&b, "{\"key\":\"2cjvmxYTzG1ESiJBSAn5dxNornXB5CeD\",\"valid_until\":1680009900}");
    torrust_add_key(&b, TORRUST_V1, &key);
    expect(&b, "{\"key\":\"2cjvmxYTzG1ESiJBSAn5dxNornXB5CeD\",\"valid_until\":1680009900,"
               "\"expiry_time\":\"2023-03-28 13:25:00.058000000 UTC\"}");
    torrust_add_listed_key(&b, &key);
    expect(&b, "{\"key\":\"2cjvmxYTzG1ESiJBSAn5dxNornXB5CeD\",\"label\":\"a\\\"b\","
               "\"valid_until\":1680009900,\"expiry_time\":\"2023-03-28 13:25:00.058000000 UTC\","
               "\"last_used\":null,\"created\":5}");
    key.permanent = true;
    key.last_used_unix_s = 7;
    key.label[0] = '\0';
    torrust_add_key(&b, TORRUST_V1, &key);
    expect(&b, "{\"key\":\"2cjvmxYTzG1ESiJBSAn5dxNornXB5CeD\",\"valid_until\":null,"
               "\"expiry_time\":null}");
    torrust_add_listed_key(&b, &key);
    expect(&b, "{\"key\":\"2cjvmxYTzG1ESiJBSAn5dxNornXB5CeD\",\"label\":\"\","
               "\"valid_until\":null,\"expiry_time\":null,\"last_used\":7,\"created\":5}");
}

static void test_torrents_rendered(void **state)
{
    struct torrent_row row = {.counts = {.complete = 1, .downloaded = 2, .incomplete = 3}};
    struct buf b;
    (void)state;
    memset(row.info_hash.b, 0xab, sizeof row.info_hash.b);
    buf_init(&b, 1000);
    torrust_add_torrent(&b, TORRUST_SEED, &row);
    expect(&b, "{\"info_hash\":\"abababababababababababababababababababab\",\"completed\":2,"
               "\"seeders\":1,\"leechers\":3}");
    torrust_add_torrent(&b, TORRUST_V1, &row);
    expect(&b, "{\"info_hash\":\"abababababababababababababababababababab\",\"seeders\":1,"
               "\"completed\":2,\"leechers\":3}");
}

static void test_peers_rendered(void **state)
{
    struct peer_row row = {.uploaded = 1,
                           .downloaded = 2,
                           .left = UINT64_MAX,
                           .event = EVENT_STARTED,
                           .updated_unix_ms = INT64_C(1630621883123)};
    struct buf b;
    (void)state;
    memcpy(row.peer_id.b, "-qB4380-abcdefghijkl", 20);
    assert_true(endpoint_parse(&row.endpoint, SPAN("80.80.100.20:1122")));
    buf_init(&b, 1000);
    torrust_add_peer(&b, TORRUST_SEED, &row);
    expect(&b, "[{\"id\":\"2d7142343338302d6162636465666768696a6b6c\",\"client\":\"qBittorrent\"},"
               "{\"ip\":\"80.80.100.20:1122\",\"updated\":1630621883,\"uploaded\":1,"
               "\"downloaded\":2,\"left\":9223372036854775807,\"event\":\"Started\"}]");
    row.peer_id.b[0] = 0;
    row.event = EVENT_NONE;
    row.left = 0;
    assert_true(endpoint_parse(&row.endpoint, SPAN("[2001:db8::1]:1")));
    torrust_add_peer(&b, TORRUST_V1, &row);
    expect(&b,
           "{\"peer_id\":{\"id\":\"0x007142343338302d6162636465666768696a6b6c\",\"client\":null},"
           "\"peer_addr\":\"[2001:db8::1]:1\",\"updated\":1630621883123,"
           "\"updated_milliseconds_ago\":1630621883123,\"uploaded\":1,\"downloaded\":2,"
           "\"left\":0,\"event\":\"None\"}");
    torrust_add_found_peer(&b, &row);
    expect(&b,
           "{\"info_hash\":\"0000000000000000000000000000000000000000\","
           "\"ip\":\"2001:db8::1\",\"port\":1,"
           "\"peer_id\":{\"id\":\"0x007142343338302d6162636465666768696a6b6c\",\"client\":null},"
           "\"peer_addr\":\"[2001:db8::1]:1\",\"updated\":1630621883123,"
           "\"updated_milliseconds_ago\":1630621883123,\"uploaded\":1,\"downloaded\":2,"
           "\"left\":0,\"event\":\"None\",\"key\":null}");
}

static void test_stats(void **state)
{
    static const char *const seed[] = {"torrents",
                                       "seeders",
                                       "completed",
                                       "leechers",
                                       "tcp4_connections_handled",
                                       "tcp4_announces_handled",
                                       "tcp4_scrapes_handled",
                                       "tcp6_connections_handled",
                                       "tcp6_announces_handled",
                                       "tcp6_scrapes_handled",
                                       "udp4_connections_handled",
                                       "udp4_announces_handled",
                                       "udp4_scrapes_handled",
                                       "udp6_connections_handled",
                                       "udp6_announces_handled",
                                       "udp6_scrapes_handled"};
    struct tracker_totals totals = {.torrents = 1, .seeders = 2, .leechers = 3, .completed = 4};
    struct stats_totals stats = {.counters = {0}};
    struct torrust_stat out[TORRUST_STATS_MAX];
    (void)state;
    stats.counters[COUNT_http4_announces] = 10;
    stats.counters[COUNT_http4_scrapes] = 5;
    stats.counters[COUNT_udp6_connects] = 7;
    size_t n = torrust_stats(out, TORRUST_SEED, &totals, &stats);
    assert_int_equal(n, 16);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(out[i].name, seed[i]);
    }
    assert_int_equal(out[2].value, 4);
    assert_int_equal(out[4].value, 15);
    assert_int_equal(out[13].value, 7);
    assert_int_equal(torrust_stats(out, TORRUST_V1, &totals, &stats), 28);
}

/* Each counter must be shown once, under a metric that has HELP and TYPE in front of it. */
static void test_metrics_show_every_counter(void **state)
{
    struct metrics m = {
        .version = "0.0.0", .started_unix_s = 1, .loop_gaps_us = {1500, 250}, .n_workers = 2};
    struct buf b;
    (void)state;
    for (size_t i = 0; i < TRACKER_COUNTER_COUNT; i++) {
        m.stats.counters[i] = 123456000 + i;
    }
    m.stats.timed[TIMED_UDP_ANNOUNCE].buckets[0] = 3;
    m.stats.timed[TIMED_UDP_ANNOUNCE].buckets[1] = 4;
    m.stats.timed[TIMED_UDP_ANNOUNCE].buckets[STATS_BUCKETS - 1] = 1;
    m.stats.timed[TIMED_UDP_ANNOUNCE].sum_ns = 1500;
    m.stats.gaps.buckets[0] = 5;
    m.stats.gaps.buckets[8] = 2;
    m.stats.gaps.buckets[STATS_GAP_BUCKETS - 1] = 1;
    m.stats.gaps.sum_us = 2500;
    m.stats.own_gaps.buckets[1] = 8;
    m.stats.parts.buckets[2] = 9;
    buf_init(&b, METRICS_MAX);
    metrics_render(&b, false, &m);
    assert_false(b.bad);
    buf_add_byte(&b, '\0');
    const char *text = (const char *)b.p;
    for (size_t i = 0; i < TRACKER_COUNTER_COUNT; i++) {
        char line[32];
        (void)snprintf(line, sizeof line, " %zu\n", (size_t)123456000 + i);
        const char *hit = strstr(text, line);
        assert_non_null(hit);
        assert_null(strstr(hit + 1, line));
    }
    static const char label[] = "protocol=\"udp\",request=\"announce\"";
    char line[160];
    (void)snprintf(line, sizeof line,
                   "rookery_request_duration_seconds_bucket{%s,le=\"2.5e-07\"} 3\n", label);
    assert_non_null(strstr(text, line));
    (void)snprintf(line, sizeof line,
                   "rookery_request_duration_seconds_bucket{%s,le=\"5e-07\"} 7\n", label);
    assert_non_null(strstr(text, line));
    (void)snprintf(line, sizeof line, "rookery_request_duration_seconds_bucket{%s,le=\"+Inf\"} 8\n",
                   label);
    assert_non_null(strstr(text, line));
    (void)snprintf(line, sizeof line, "rookery_request_duration_seconds_count{%s} 8\n", label);
    assert_non_null(strstr(text, line));
    assert_non_null(strstr(text, "\nrookery_loop_gap_max_seconds{worker=\"0\"} 0.001500\n"));
    assert_non_null(strstr(text, "\nrookery_loop_gap_max_seconds{worker=\"1\"} 0.000250\n"));
    assert_non_null(strstr(text, "\nrookery_loop_gap_seconds_bucket{le=\"0.000125\"} 5\n"));
    assert_non_null(strstr(text, "\nrookery_loop_gap_seconds_bucket{le=\"0.0015\"} 5\n"));
    assert_non_null(strstr(text, "\nrookery_loop_gap_seconds_bucket{le=\"0.002\"} 7\n"));
    assert_non_null(strstr(text, "\nrookery_loop_gap_seconds_bucket{le=\"+Inf\"} 8\n"));
    assert_non_null(strstr(text, "\nrookery_loop_gap_seconds_count 8\n"));
    assert_non_null(strstr(text, "\nrookery_loop_gap_seconds_sum 0.002500000\n"));
    assert_non_null(strstr(text, "\nrookery_loop_work_seconds_bucket{le=\"0.000125\"} 0\n"));
    assert_non_null(strstr(text, "\nrookery_loop_work_seconds_count 8\n"));
    assert_non_null(strstr(text, "\nrookery_batch_seconds_count 9\n"));
    /* Every sample's metric was announced before. */
    char type[128];
    for (const char *at = text; *at != '\0'; at = strchr(at, '\n') + 1) {
        size_t n = strcspn(at, "{ ");
        if (at[0] == '#') {
            continue;
        }
        static const char *const suffixes[] = {"_bucket", "_sum", "_count", ""};
        bool announced = false;
        for (size_t i = 0; i < 4 && !announced; i++) {
            size_t cut = strlen(suffixes[i]);
            if (n > cut && memcmp(at + n - cut, suffixes[i], cut) == 0) {
                (void)snprintf(type, sizeof type, "# TYPE %.*s ", (int)(n - cut), at);
                const char *hit = strstr(text, type);
                announced = hit != NULL && hit < at;
            }
        }
        if (!announced) {
            fail_msg("no TYPE for %.*s", (int)n, at);
        }
    }
    buf_release(&b);
}

static void test_metrics_as_json(void **state)
{
    struct metrics m = {.version = "0.0.0", .started_unix_s = 1, .n_workers = 1};
    struct buf b;
    (void)state;
    m.totals.peers6 = 9;
    m.stats.timed[TIMED_HTTP_SCRAPE].sum_ns = 1500;
    buf_init(&b, METRICS_MAX);
    metrics_render(&b, true, &m);
    cJSON *json = cJSON_ParseWithLength((const char *)b.p, b.len);
    const cJSON *metrics = cJSON_GetObjectItemCaseSensitive(json, "metrics");
    const cJSON *metric = NULL;
    size_t n_samples = 0;
    cJSON_ArrayForEach(metric, metrics)
    {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItem(metric, "name"));
        const cJSON *samples = cJSON_GetObjectItem(metric, "samples");
        assert_non_null(name);
        assert_true(cJSON_GetArraySize(samples) > 0);
        if (strcmp(name, "rookery_peers") == 0) {
            const cJSON *v6 = cJSON_GetArrayItem(samples, 1);
            assert_int_equal(cJSON_GetObjectItem(v6, "value")->valueint, 9);
            assert_string_equal(
                cJSON_GetArrayItem(cJSON_GetObjectItem(v6, "labels"), 0)->child->valuestring,
                "family");
        }
        n_samples += (size_t)cJSON_GetArraySize(samples);
    }
    assert_true(n_samples > TRACKER_COUNTER_COUNT + TIMED_COUNT * (STATS_BUCKETS + 2));
    cJSON_Delete(json);
    buf_release(&b);
}

static int setup(void **state)
{
    (void)state;
    return digest_start();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_times),
        cmocka_unit_test(test_key_requests),
        cmocka_unit_test(test_keys_rendered),
        cmocka_unit_test(test_torrents_rendered),
        cmocka_unit_test(test_peers_rendered),
        cmocka_unit_test(test_stats),
        cmocka_unit_test(test_metrics_show_every_counter),
        cmocka_unit_test(test_metrics_as_json),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
