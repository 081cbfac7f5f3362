/* The keys of the client: defaults, values, complaints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "unit/base/config_loaded.h"

#include "base/banned.h"

static struct loaded loaded;

static struct config *load(const char *yaml)
{
    loaded_init(&loaded, span_str(yaml), NULL);
    assert_string_equal(loaded.complaints, "");
    assert_int_equal(loaded.status, 0);
    return &loaded.cfg;
}

static void assert_download_dir(const struct config *c, const char *want)
{
    char *dir = config_download_dir(c);
    assert_string_equal(dir, want);
    free(dir);
}

static void test_client_defaults(void **state)
{
    (void)state;
    struct config *c = load("data_dir: /var/lib/rookery");
    assert_true(c->client.enabled);
    assert_int_equal(c->client.listen.n, 2);
    assert_int_equal(c->client.listen.at[0].port, 6881);
    assert_download_dir(c, "/var/lib/rookery/downloads");
    assert_int_equal(c->client.allowed_dirs.n, 0);
    assert_true(c->client.announce_to_own_tracker);
    assert_int_equal(c->client.max_peers, 2000);
    assert_int_equal(c->client.max_peers_per_torrent, 200);
    assert_int_equal(c->client.max_download_rate_bps, 0);
    assert_int_equal(c->client.max_upload_rate_bps, 0);
    assert_true(c->client.pex);
    assert_int_equal(c->client.hash_threads + c->client.disk_threads, 0);
    assert_int_equal(c->api.url_fetch, URL_FETCH_PUBLIC);
    config_release(c);
}

static void test_client_values(void **state)
{
    (void)state;
    struct config *c = load("client:\n"
                            "  enabled: false\n"
                            "  listen: []\n"
                            "  download_dir: /srv/d\n"
                            "  allowed_dirs: [/srv/d, /srv/e]\n"
                            "  announce_to_own_tracker: false\n"
                            "  max_peers: 7\n"
                            "  max_peers_per_torrent: 3\n"
                            "  max_download_rate: 9223372036854775807\n"
                            "  max_upload_rate: 1\n"
                            "  pex: false\n"
                            "  hash_threads: 4\n"
                            "  disk_threads: 5\n"
                            "api:\n"
                            "  url_fetch: off\n");
    assert_false(c->client.enabled || c->client.announce_to_own_tracker || c->client.pex);
    assert_int_equal(c->client.listen.n, 0);
    assert_download_dir(c, "/srv/d");
    assert_int_equal(c->client.allowed_dirs.n, 2);
    assert_string_equal(c->client.allowed_dirs.at[1], "/srv/e");
    assert_int_equal(c->client.max_peers, 7);
    assert_int_equal(c->client.max_peers_per_torrent, 3);
    assert_int_equal(c->client.max_download_rate_bps, INT64_MAX);
    assert_int_equal(c->client.max_upload_rate_bps, 1);
    assert_int_equal(c->client.hash_threads, 4);
    assert_int_equal(c->client.disk_threads, 5);
    assert_int_equal(c->api.url_fetch, URL_FETCH_OFF);
    config_release(c);
}

static void test_client_complaints(void **state)
{
    static const char yaml[] = "client:\n"
                               "  enabled: 1\n"
                               "  listen: [6881]\n"
                               "  max_peers: 0\n"
                               "  max_download_rate: 9223372036854775808\n"
                               "  allowed_dirs: ['']\n"
                               "api:\n"
                               "  url_fetch: private\n";
    static const char *const wanted[] = {
        "t.yaml:2: client.enabled: must be true or false",
        "t.yaml:3: client.listen: ",
        "t.yaml:4: client.max_peers: ",
        "t.yaml:5: client.max_download_rate: ",
        "t.yaml:6: client.allowed_dirs: ",
        "t.yaml:8: api.url_fetch: must be one of public, any, off, not \"private\"",
    };
    (void)state;
    loaded_init(&loaded, span_str(yaml), NULL);
    assert_int_equal(loaded.status, ERR_INVALID);
    assert_int_equal(loaded.n_complaints, sizeof wanted / sizeof wanted[0]);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        assert_non_null(strstr(loaded.complaints, wanted[i]));
    }
    config_release(&loaded.cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_defaults),
        cmocka_unit_test(test_client_values),
        cmocka_unit_test(test_client_complaints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
