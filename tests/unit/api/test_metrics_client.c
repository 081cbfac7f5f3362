/* The client's metrics in both notations; the text is read back as Prometheus reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cJSON.h>
#include <cmocka.h>

#include "api/metrics.h"
#include "unit/api/fake_client.h"

#include "base/banned.h"

static struct client_metrics sample(void)
{
    struct client_metrics m = {.n_hosts = 2};
    m.totals.n_torrents[TORRENT_SEEDING] = 12;
    m.totals.n_torrents[TORRENT_METADATA] = 1;
    m.totals.n_paused = 3;
    m.totals.wire = (struct peer_totals){.down = 100, .up = UINT64_MAX, .down_payload = 80};
    m.totals.disk_reads = 5;
    m.totals.announces_failed = 6;
    m.n_left_out = 4;
    m.hosts[0] = (struct announce_host_view){"tracker.example:443", 1, 2, 3, 4};
    m.hosts[1] = (struct announce_host_view){"a\"b\\c\nd{}", 5, 6, 7, 8};
    return m;
}

static void render(struct buf *out, bool json, const struct client_metrics *m)
{
    struct metrics all = {.version = "0", .client = m};
    buf_init(out, METRICS_MAX);
    metrics_render(out, json, &all);
    assert_false(out->bad);
    buf_add_byte(out, '\0');
}

static void test_text(void **state)
{
    static const char *const lines[] = {
        "\n# TYPE rookery_client_torrents gauge\n",
        "\nrookery_client_torrents{state=\"seeding\"} 12\n",
        "\nrookery_client_torrents{state=\"downloading_metadata\"} 1\n",
        "\nrookery_client_torrents{state=\"checking\"} 0\n",
        "\nrookery_client_torrents_paused 3\n",
        "\nrookery_client_torrents_left_out 4\n",
        "\nrookery_client_bytes_total{direction=\"down\"} 100\n",
        "\nrookery_client_bytes_total{direction=\"up\"} 18446744073709551615\n",
        "\nrookery_client_payload_bytes_total{direction=\"down\"} 80\n",
        "\nrookery_client_disk_operations_total{direction=\"read\"} 5\n",
        "\nrookery_client_announces_total{result=\"failed\"} 6\n",
        "\nrookery_client_tracker_announces_total{host=\"tracker.example:443\",result=\"ok\"} 3\n",
        ",result=\"failed\"} 4\n",
        "\nrookery_client_tracker_announces_waiting{host=\"tracker.example:443\"} 1\n",
        "\nrookery_client_tracker_announces_running{host=\"a_b_c_d__\"} 6\n",
    };
    const struct client_metrics m = sample();
    struct buf out;
    (void)state;
    render(&out, false, &m);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (strstr((const char *)out.p, lines[i]) == NULL) {
            fail_msg("missing: %s", lines[i]);
        }
    }
    buf_release(&out);
    render(&out, false, NULL);
    assert_null(strstr((const char *)out.p, "rookery_client"));
    buf_release(&out);
}

/* Each metric has its head once, and all of its samples right behind it. */
static void test_order(void **state)
{
    const struct client_metrics m = sample();
    struct buf out;
    char current[128] = "";
    char seen[16384] = "\n";
    size_t n_seen = 1;
    (void)state;
    render(&out, false, &m);
    struct span rest = span_of(out.p, out.len - 1);
    while (rest.n > 0) {
        struct span line = span_cut(rest, '\n', &rest);
        if (span_starts_with(line, SPAN("# TYPE "))) {
            struct span name = span_cut(span_sub(line, 7, line.n), ' ', NULL);
            (void)snprintf(current, sizeof current, "\n%.*s\n", (int)name.n, (const char *)name.p);
            assert_null(strstr(seen, current));
            n_seen += (size_t)snprintf(seen + n_seen, sizeof seen - n_seen, "%s", current + 1);
            assert_true(n_seen < sizeof seen);
        } else if (!span_starts_with(line, SPAN("#"))) {
            assert_true(span_starts_with(line, span_of(current + 1, strlen(current) - 2)));
        }
    }
    buf_release(&out);
}

static void test_json(void **state)
{
    const struct client_metrics m = sample();
    struct buf out;
    bool found = false;
    (void)state;
    render(&out, true, &m);
    cJSON *all = cJSON_Parse((const char *)out.p);
    assert_non_null(all);
    cJSON *metric;
    cJSON_ArrayForEach(metric, cJSON_GetObjectItem(all, "metrics"))
    {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItem(metric, "name"));
        if (strcmp(name, "rookery_client_tracker_announces_total") == 0) {
            found = true;
            assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(metric, "samples")), 4);
        }
    }
    assert_true(found);
    cJSON_Delete(all);
    buf_release(&out);
}

/* As many hosts as there can be, each as long as it can be shown. */
static void test_most_hosts_fit(void **state)
{
    static char name[1024];
    struct client_metrics m = sample();
    struct buf out;
    (void)state;
    memset(name, 'h', sizeof name - 1);
    m.n_hosts = sizeof m.hosts / sizeof m.hosts[0];
    for (size_t i = 0; i < m.n_hosts; i++) {
        m.hosts[i] =
            (struct announce_host_view){name, UINT32_MAX, UINT32_MAX, UINT64_MAX, UINT64_MAX};
    }
    for (int json = 0; json < 2; json++) {
        render(&out, json == 1, &m);
        buf_release(&out);
    }
}

static void test_gathering(void **state)
{
    static struct client c;
    struct client_metrics m;
    (void)state;
    c.totals.n_peers = 9;
    metrics_client_gather(&m, &c);
    assert_int_equal(m.totals.n_peers, 9);
    assert_int_equal(m.disk.opens, 3);
    assert_int_equal(m.n_hosts, 1);
    assert_int_equal(m.hosts[0].n_ok, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),      cmocka_unit_test(test_order),
        cmocka_unit_test(test_json),      cmocka_unit_test(test_most_hosts_fit),
        cmocka_unit_test(test_gathering),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
