/* The two files in config/ against the schema: both load, and config/production.yaml has every key
 * with a comment. A setting that is commented out has a '#' in front of its line; '# ' and a word
 * is prose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "unit/base/config_loaded.h"

#include "base/banned.h"

enum { FILE_MAX = 65536 };

static struct loaded loaded;

static void read_file(struct buf *out, const char *name)
{
    char path[1024];
    (void)snprintf(path, sizeof path, TEST_DATA_DIR "/../../config/%s", name);
    buf_init(out, FILE_MAX);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    out->len = fread(buf_reserve(out, FILE_MAX), 1, FILE_MAX, f);
    assert_true(feof(f));
    fclose(f);
}

static void assert_loads(struct span yaml)
{
    loaded_init(&loaded, yaml, NULL);
    assert_string_equal(loaded.complaints, "");
}

static bool is_prose(struct span line)
{
    return span_starts_with(line, SPAN("# ")) && !span_starts_with(line, SPAN("#  "));
}

static size_t indent_of(struct span line)
{
    size_t n = 0;
    while (n < line.n && line.p[n] == ' ') {
        n++;
    }
    return n;
}

struct reader {
    char path[8][64]; /* the sections above, by depth */
    bool commented;   /* the line before was a comment */
    bool seen[128];   /* by schema index */
    size_t n_seen;
    struct buf settings; /* the settings that are commented out, to be loaded */
    bool in_commented;
};

static bool index_of(const char *key, size_t *i)
{
    for (*i = 0; config_key_name(*i) != NULL; (*i)++) {
        if (strcmp(config_key_name(*i), key) == 0) {
            return true;
        }
    }
    return false;
}

/* "  key: value", 2 spaces a level: notes a key that the schema has. */
static void read_setting(struct reader *r, struct span line)
{
    size_t depth = indent_of(line) / 2;
    struct span name = span_cut(span_sub(line, 2 * depth, line.n), ':', NULL);
    const char *above = depth == 0 ? "" : r->path[depth - 1];
    size_t i;
    assert_true(depth < 8);
    (void)snprintf(r->path[depth], sizeof r->path[depth], "%s%s%.*s", above, depth == 0 ? "" : ".",
                   (int)name.n, (const char *)name.p);
    if (!index_of(r->path[depth], &i)) {
        return; /* a section, or a mistake that loading finds */
    }
    if (r->seen[i]) {
        fail_msg("%s is there twice", r->path[depth]);
    }
    if (!r->commented) {
        fail_msg("%s has no comment above it", r->path[depth]);
    }
    assert_int_equal(config_key_reserved(i), r->in_commented);
    r->seen[i] = true;
    r->n_seen++;
}

static void read_line(struct reader *r, struct span line)
{
    r->in_commented = line.n > 1 && line.p[0] == '#' && !is_prose(line);
    if (r->in_commented) {
        line = span_sub(line, 1, line.n);
    }
    struct span text = span_sub(line, indent_of(line), line.n);
    if (r->in_commented || text.n == 0) {
        buf_add(&r->settings, line);
        buf_add_byte(&r->settings, '\n');
    }
    if (text.n > 0 && text.p[0] != '#') {
        read_setting(r, line);
    }
    r->commented = text.n > 0 && text.p[0] == '#';
}

static void test_production_has_every_key_with_a_comment(void **state)
{
    (void)state;
    struct buf file;
    struct reader r = {.n_seen = 0};
    read_file(&file, "production.yaml");
    buf_init(&r.settings, FILE_MAX);
    struct span rest = buf_span(&file);
    while (rest.n > 0) {
        read_line(&r, span_cut(rest, '\n', &rest));
    }
    for (size_t i = 0; config_key_name(i) != NULL; i++) {
        if (!r.seen[i]) {
            fail_msg("%s is not in config/production.yaml", config_key_name(i));
        }
    }
    assert_loads(buf_span(&file));
    config_release(&loaded.cfg);
    assert_loads(buf_span(&r.settings));
    config_release(&loaded.cfg);
    buf_release(&r.settings);
    buf_release(&file);
}

/* What production.yaml sets is the default, but for what its comments say. */
static void test_production_differs_from_the_defaults_where_it_says_so(void **state)
{
    (void)state;
    struct buf file;
    read_file(&file, "production.yaml");
    assert_loads(buf_span(&file));
    struct config production = loaded.cfg;
    assert_loads(SPAN(""));
    struct config *defaults = &loaded.cfg;
    assert_string_equal(production.data_dir, "/var/lib/rookery");
    assert_true(production.log.json);
    assert_int_equal(production.log.level, defaults->log.level);
    assert_string_equal(production.database.url, "");
    assert_int_equal(production.tracker.mode, defaults->tracker.mode);
    assert_int_equal(production.tracker.udp.n, defaults->tracker.udp.n);
    assert_int_equal(production.tracker.http.n, defaults->tracker.http.n);
    assert_int_equal(production.tracker.workers, defaults->tracker.workers);
    assert_int_equal(production.tracker.announce_interval_s, defaults->tracker.announce_interval_s);
    assert_int_equal(production.tracker.min_announce_interval_s,
                     defaults->tracker.min_announce_interval_s);
    assert_int_equal(production.tracker.peer_timeout_s, defaults->tracker.peer_timeout_s);
    assert_int_equal(production.tracker.max_numwant, defaults->tracker.max_numwant);
    assert_int_equal(production.tracker.max_scrape, defaults->tracker.max_scrape);
    assert_int_equal(production.tracker.connection_id_lifetime_s,
                     defaults->tracker.connection_id_lifetime_s);
    assert_int_equal(production.tracker.max_torrents, defaults->tracker.max_torrents);
    assert_int_equal(production.tracker.max_peers, defaults->tracker.max_peers);
    assert_int_equal(production.tracker.max_connections, defaults->tracker.max_connections);
    assert_int_equal(production.tracker.http_idle_timeout_s, defaults->tracker.http_idle_timeout_s);
    assert_int_equal(production.tracker.http_request_timeout_s,
                     defaults->tracker.http_request_timeout_s);
    assert_int_equal(production.tracker.trust_ip_parameter, defaults->tracker.trust_ip_parameter);
    assert_int_equal(production.tracker.persist_completed, defaults->tracker.persist_completed);
    assert_int_equal(production.client.enabled, defaults->client.enabled);
    assert_int_equal(production.client.listen.n, defaults->client.listen.n);
    assert_string_equal(production.client.download_dir, defaults->client.download_dir);
    assert_int_equal(production.client.allowed_dirs.n, defaults->client.allowed_dirs.n);
    assert_int_equal(production.client.announce_to_own_tracker,
                     defaults->client.announce_to_own_tracker);
    assert_int_equal(production.client.max_peers, defaults->client.max_peers);
    assert_int_equal(production.client.max_peers_per_torrent,
                     defaults->client.max_peers_per_torrent);
    assert_int_equal(production.client.max_download_rate_bps,
                     defaults->client.max_download_rate_bps);
    assert_int_equal(production.client.max_upload_rate_bps, defaults->client.max_upload_rate_bps);
    assert_int_equal(production.client.pex, defaults->client.pex);
    assert_int_equal(production.client.hash_threads, defaults->client.hash_threads);
    assert_int_equal(production.client.disk_threads, defaults->client.disk_threads);
    assert_int_equal(production.api.url_fetch, defaults->api.url_fetch);
    assert_int_equal(production.api.tokens.n, 0);
    assert_false(production.api.local_without_token);
    assert_int_equal(production.api.max_body, defaults->api.max_body);
    for (size_t i = 0; i < production.api.listen.n; i++) {
        assert_true(addr_is_loopback(&production.api.listen.at[i].addr));
    }
    config_release(&production);
    config_release(defaults);
    buf_release(&file);
}

static void test_the_file_for_trying(void **state)
{
    (void)state;
    struct buf file;
    read_file(&file, "rookery.yaml");
    assert_loads(buf_span(&file));
    const struct config *c = &loaded.cfg;
    assert_int_equal(c->api.tokens.n, 1);
    assert_string_equal(c->api.tokens.at[0].label, "admin");
    assert_string_equal(c->api.tokens.at[0].token, "MyAccessToken");
    assert_true(c->api.local_without_token);
    assert_string_equal(c->database.url, "");
    assert_int_equal(c->api.listen.n, 1);
    assert_true(addr_is_loopback(&c->api.listen.at[0].addr));
    assert_int_equal(c->api.listen.at[0].port, 1212);
    config_release(&loaded.cfg);
    buf_release(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_production_has_every_key_with_a_comment),
        cmocka_unit_test(test_production_differs_from_the_defaults_where_it_says_so),
        cmocka_unit_test(test_the_file_for_trying),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
