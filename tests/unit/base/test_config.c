#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "unit/base/config_loaded.h"

#include "base/banned.h"

static struct loaded loaded;

static struct config *load_env(const char *yaml, const char *const *environment)
{
    loaded_init(&loaded, span_str(yaml), environment);
    return &loaded.cfg;
}

/* Loads what must be right. */
static struct config *load(const char *yaml)
{
    (void)load_env(yaml, NULL);
    assert_string_equal(loaded.complaints, "");
    assert_int_equal(loaded.status, 0);
    return &loaded.cfg;
}

static void assert_endpoint(const struct endpoint *e, const char *want)
{
    char text[ENDPOINT_TEXT_LEN];
    assert_string_equal(endpoint_format(text, e), want);
}

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Exactly these complaints, in order; each row is how one begins. */
static void assert_complaints(const char *yaml, const char *const *environment,
                              const char *const *rows)
{
    struct config *c = load_env(yaml, environment);
    const char *line = loaded.complaints;
    size_t n = 0;
    for (; rows[n] != NULL; n++) {
        if (!starts_with(line, rows[n])) {
            fail_msg("wanted \"%s...\", got:\n%s", rows[n], loaded.complaints);
        }
        line = strchr(line, '\n') + 1;
    }
    assert_string_equal(line, "");
    assert_int_equal(loaded.n_complaints, n);
    assert_int_equal(loaded.status, n == 0 ? 0 : ERR_INVALID);
    config_release(c);
}

#define COMPLAINTS(yaml, ...) assert_complaints((yaml), NULL, (const char *const[]){__VA_ARGS__})
#define ENV(...)              ((const char *const[]){__VA_ARGS__, NULL})

/* ---- values ------------------------------------------------------------------------------ */

static void test_defaults(void **state)
{
    (void)state;
    static const char *const empty[] = {
        "", "\n", "# nothing\n", "---\n", "{}\n", "~\n", "tracker:\napi:\n  tls:\n  tokens:\n"};
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        struct config *c = load(empty[i]);
        assert_string_equal(c->data_dir, "./data");
        assert_int_equal(c->log.level, LOG_INFO);
        assert_false(c->log.json);
        assert_string_equal(c->database.url, "");
        assert_int_equal(c->tracker.mode, 0);
        assert_int_equal(c->tracker.udp.n, 2);
        assert_endpoint(&c->tracker.udp.at[0], "0.0.0.0:6969");
        assert_endpoint(&c->tracker.udp.at[1], "[::]:6969");
        assert_int_equal(c->tracker.http.n, 2);
        assert_endpoint(&c->tracker.http.at[1], "[::]:7070");
        assert_string_equal(c->tracker.tls_certificate, "");
        assert_string_equal(c->tracker.tls_key, "");
        assert_int_equal(c->tracker.workers, 0);
        assert_int_equal(c->tracker.announce_interval_s, 1800);
        assert_int_equal(c->tracker.min_announce_interval_s, 300);
        assert_int_equal(c->tracker.peer_timeout_s, 0);
        assert_int_equal(config_peer_timeout_s(c), 3960);
        assert_int_equal(c->tracker.max_numwant, 100);
        assert_int_equal(c->tracker.max_scrape, 74);
        assert_int_equal(c->tracker.connection_id_lifetime_s, 120);
        assert_int_equal(c->tracker.trust_forwarded_for.n, 0);
        assert_false(c->tracker.has_external_ip);
        assert_false(c->tracker.trust_ip_parameter);
        assert_true(c->tracker.persist_completed);
        assert_int_equal(c->tracker.max_torrents, 10000000);
        assert_int_equal(c->tracker.max_peers, 50000000);
        assert_int_equal(c->tracker.max_connections, 20000);
        assert_int_equal(c->tracker.http_idle_timeout_s, 60);
        assert_int_equal(c->tracker.http_request_timeout_s, 10);
        assert_int_equal(c->api.listen.n, 1);
        assert_endpoint(&c->api.listen.at[0], "127.0.0.1:1212");
        assert_string_equal(c->api.tls_certificate, "");
        assert_string_equal(c->api.tls_key, "");
        assert_int_equal(c->api.tokens.n, 0);
        assert_false(c->api.local_without_token);
        assert_int_equal(c->api.hosts.n, 0);
        assert_int_equal(c->api.cors_origins.n, 0);
        assert_int_equal(c->api.max_body, 16777216);
        config_release(c);
    }
}

static void test_every_key_reaches_its_place(void **state)
{
    (void)state;
    struct config *c = load("data_dir: /srv/x\n"
                            "log: {level: debug, format: json}\n"
                            "database: {url: 'host=/tmp dbname=x'}\n"
                            "tracker:\n"
                            "  mode: private_listed\n"
                            "  udp: ['127.0.0.1:0']\n"
                            "  http: []\n"
                            "  tls:\n"
                            "    certificate: c.pem\n"
                            "    key: k.pem\n"
                            "  workers: 3\n"
                            "  announce_interval: 11\n"
                            "  min_announce_interval: 10\n"
                            "  peer_timeout: 7\n"
                            "  max_numwant: 12\n"
                            "  max_scrape: 13\n"
                            "  connection_id_lifetime: 14\n"
                            "  trust_forwarded_for: [10.0.0.0/8, '::1/128']\n"
                            "  external_ip: 192.0.2.1\n"
                            "  trust_ip_parameter: true\n"
                            "  persist_completed: false\n"
                            "  max_torrents: 15\n"
                            "  max_peers: 16\n"
                            "  max_connections: 17\n"
                            "  http_idle_timeout: 18\n"
                            "  http_request_timeout: 19\n");
    assert_string_equal(c->data_dir, "/srv/x");
    assert_int_equal(c->log.level, LOG_DEBUG);
    assert_true(c->log.json);
    assert_string_equal(c->database.url, "host=/tmp dbname=x");
    assert_int_equal(c->tracker.mode, 3);
    assert_int_equal(c->tracker.udp.n, 1);
    assert_endpoint(&c->tracker.udp.at[0], "127.0.0.1:0");
    assert_int_equal(c->tracker.http.n, 0);
    assert_string_equal(c->tracker.tls_certificate, "c.pem");
    assert_string_equal(c->tracker.tls_key, "k.pem");
    assert_int_equal(c->tracker.workers, 3);
    assert_int_equal(c->tracker.announce_interval_s, 11);
    assert_int_equal(c->tracker.min_announce_interval_s, 10);
    assert_int_equal(config_peer_timeout_s(c), 7);
    assert_int_equal(c->tracker.max_numwant, 12);
    assert_int_equal(c->tracker.max_scrape, 13);
    assert_int_equal(c->tracker.connection_id_lifetime_s, 14);
    assert_int_equal(c->tracker.trust_forwarded_for.n, 2);
    assert_int_equal(c->tracker.trust_forwarded_for.at[0].prefix_len, 8);
    assert_int_equal(c->tracker.trust_forwarded_for.at[1].prefix_len, 128);
    assert_true(c->tracker.has_external_ip);
    assert_int_equal(c->tracker.external_ip.b[0], 192);
    assert_true(c->tracker.trust_ip_parameter);
    assert_false(c->tracker.persist_completed);
    assert_int_equal(c->tracker.max_torrents, 15);
    assert_int_equal(c->tracker.max_peers, 16);
    assert_int_equal(c->tracker.max_connections, 17);
    assert_int_equal(c->tracker.http_idle_timeout_s, 18);
    assert_int_equal(c->tracker.http_request_timeout_s, 19);
    config_release(c);
}

static void test_every_key_of_the_api(void **state)
{
    (void)state;
    struct config *c = load("api:\n"
                            "  listen: ['127.0.0.1:1', '[::1]:2']\n"
                            "  tls: {certificate: a.pem, key: b.pem}\n"
                            "  tokens: {admin: MyAccessToken, ci: '0123456789'}\n"
                            "  local_without_token: true\n"
                            "  hosts: [tracker.example.org, other]\n"
                            "  cors_origins: ['http://example.org']\n"
                            "  max_body: 4096\n");
    assert_int_equal(c->api.listen.n, 2);
    assert_endpoint(&c->api.listen.at[1], "[::1]:2");
    assert_string_equal(c->api.tls_certificate, "a.pem");
    assert_string_equal(c->api.tls_key, "b.pem");
    assert_int_equal(c->api.tokens.n, 2);
    assert_string_equal(c->api.tokens.at[0].label, "admin");
    assert_string_equal(c->api.tokens.at[0].token, "MyAccessToken");
    assert_string_equal(c->api.tokens.at[1].label, "ci");
    assert_string_equal(c->api.tokens.at[1].token, "0123456789");
    assert_true(c->api.local_without_token);
    assert_int_equal(c->api.hosts.n, 2);
    assert_string_equal(c->api.hosts.at[1], "other");
    assert_int_equal(c->api.cors_origins.n, 1);
    assert_string_equal(c->api.cors_origins.at[0], "http://example.org");
    assert_int_equal(c->api.max_body, 4096);
    config_release(c);
}

static void test_names_of_choices(void **state)
{
    (void)state;
    static const char *const modes[] = {"public", "listed", "private", "private_listed"};
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    char yaml[100];
    for (uint32_t i = 0; i < 4; i++) {
        (void)snprintf(yaml, sizeof yaml, "tracker: {mode: %s}\nlog: {level: %s}\n", modes[i],
                       levels[i]);
        struct config *c = load(yaml);
        assert_int_equal(c->tracker.mode, i);
        assert_int_equal(c->log.level, i);
        config_release(c);
    }
}

/* "tracker.tls.key" and a value as YAML, the key in the line that is returned. */
static unsigned nested(char *out, size_t size, const char *key, const char *value)
{
    unsigned line = 1;
    size_t n = 0;
    struct span rest = span_str(key);
    while (span_find(rest, '.') < rest.n) {
        struct span section = span_cut(rest, '.', &rest);
        n += (size_t)snprintf(out + n, size - n, "%.*s:\n%*s", (int)section.n,
                              (const char *)section.p, (int)(2 * line), "");
        line++;
    }
    (void)snprintf(out + n, size - n, "%.*s: %s\n", (int)rest.n, (const char *)rest.p, value);
    return line;
}

/* Every key of the schema, the reserved ones too, objects to what no key can be. */
static void test_every_key_refuses_a_wrong_type(void **state)
{
    (void)state;
    static const char *const wrong[] = {"[[]]", "[{}]", "{a: {}}", "[~]"};
    for (size_t i = 0; config_key_name(i) != NULL; i++) {
        for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++) {
            char yaml[200];
            char want[100];
            unsigned line = nested(yaml, sizeof yaml, config_key_name(i), wrong[k]);
            (void)snprintf(want, sizeof want, "t.yaml:%u: %s", line, config_key_name(i));
            COMPLAINTS(yaml, want, NULL);
        }
        assert_true(strlen(config_key_help(i)) > 5);
    }
}

static bool is_for_later(const char *name)
{
    static const char *const names[] = {
        "client.dht",          "client.lsd",        "client.utp",
        "client.port_mapping", "client.encryption", "client.dht_bootstrap",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void test_reserved_keys_say_so(void **state)
{
    (void)state;
    size_t n_reserved = 0;
    for (size_t i = 0; config_key_name(i) != NULL; i++) {
        bool later = is_for_later(config_key_name(i));
        assert_int_equal(config_key_reserved(i), later);
        assert_int_equal(strstr(config_key_help(i), "no effect yet") != NULL, later);
        n_reserved += later;
    }
    assert_int_equal(n_reserved, 6);
}

static void test_reserved_keys_are_checked(void **state)
{
    (void)state;
    config_release(load("client:\n"
                        "  dht_bootstrap: ['router.example.org:6881', '[::1]:1']\n"
                        "  encryption: off\n"));
    COMPLAINTS("client:\n"
               "  dht: 1\n"
               "  dht_bootstrap: [router.example.org, 'a:0', ':1', 'a:b:1', 'x:1']\n"
               "  encryption: maybe\n"
               "  nothing: 1\n",
               "t.yaml:2: client.dht: must be true or false",
               "t.yaml:3: client.dht_bootstrap: ", "t.yaml:3: client.dht_bootstrap: ",
               "t.yaml:3: client.dht_bootstrap: ", "t.yaml:3: client.dht_bootstrap: ",
               "t.yaml:4: client.encryption: must be one of off, prefer, require, not \"maybe\"",
               "t.yaml:5: client.nothing: is not a key", NULL);
}

/* ---- complaints -------------------------------------------------------------------------- */

static void test_unknown_keys(void **state)
{
    (void)state;
    COMPLAINTS("trackr:\n  mode: public\n", "t.yaml:1: trackr: is not a key", NULL);
    COMPLAINTS("log:\n  level: info\n\ntracker:\n  mod: public\n", "t.yaml:5: tracker.mod: ", NULL);
    COMPLAINTS("tracker:\n  tls:\n    chain: x\n", "t.yaml:3: tracker.tls.chain: ", NULL);
    COMPLAINTS("level: info\n", "t.yaml:1: level: ", NULL);
    COMPLAINTS("tracker.mode: public\n", "t.yaml:1: tracker.mode: ", NULL);
    COMPLAINTS("\"\": 1\n", "t.yaml:1: ", NULL);
    COMPLAINTS("tracker: {\"\": 1}\n", "t.yaml:1: tracker.: ", NULL);
    COMPLAINTS("\"log\\0\": 1\n\"a\\nb\": 2\n",
               "t.yaml:1: log\\u0000: ", "t.yaml:2: a\\u000ab: ", NULL);
    COMPLAINTS("[a]: 1\n", "t.yaml:1: a key must be a name, not a list", NULL);
}

static void test_wrong_types(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"tracker:\n  workers: many\n", "t.yaml:2: tracker.workers: must be a whole number from 0 "
                                        "to 256, not \"many\""},
        {"tracker:\n  workers: '3'\n", "t.yaml:2: tracker.workers: "},
        {"tracker:\n  workers: 1.5\n", "t.yaml:2: tracker.workers: "},
        {"tracker:\n  workers: 1e1\n", "t.yaml:2: tracker.workers: "},
        {"tracker:\n  workers: 0x10\n", "t.yaml:2: tracker.workers: "},
        {"tracker:\n  workers: true\n", "t.yaml:2: tracker.workers: "},
        {"tracker:\n  workers:\n", "t.yaml:2: tracker.workers: must be a whole number from 0 to "
                                   "256; leave the key out"},
        {"tracker:\n  persist_completed: yes\n", "t.yaml:2: tracker.persist_completed: must be "
                                                 "true or false, not \"yes\""},
        {"tracker:\n  persist_completed: True\n", "t.yaml:2: tracker.persist_completed: "},
        {"tracker:\n  persist_completed: 1\n", "t.yaml:2: tracker.persist_completed: "},
        {"tracker:\n  persist_completed: 'true'\n", "t.yaml:2: tracker.persist_completed: "},
        {"tracker:\n  mode: [public]\n", "t.yaml:2: tracker.mode: must be one of public, listed, "
                                         "private, private_listed, not a list"},
        {"tracker:\n  mode: {a: b}\n", "t.yaml:2: tracker.mode: "},
        {"tracker:\n  udp: 6969\n", "t.yaml:2: tracker.udp: must be a list"},
        {"tracker:\n  udp: '0.0.0.0:6969'\n", "t.yaml:2: tracker.udp: must be a list"},
        {"tracker:\n  udp: {a: b}\n", "t.yaml:2: tracker.udp: must be a list"},
        {"tracker:\n  udp:\n", "t.yaml:2: tracker.udp: must be a list"},
        {"tracker: public\n", "t.yaml:1: tracker: must be a section"},
        {"tracker: [a]\n", "t.yaml:1: tracker: must be a section"},
        {"api:\n  hosts: [1]\n", "t.yaml:2: api.hosts: each entry must be text of 1 to 255"},
        {"api:\n  tokens: [a]\n", "t.yaml:2: api.tokens: must be a section"},
        {"api:\n  tokens: a\n", "t.yaml:2: api.tokens: must be a section"},
        {"data_dir: 5\n", "t.yaml:1: data_dir: must be text of 1 to 4095 printable characters; "
                          "put the value in quotes"},
        {"data_dir: true\n", "t.yaml:1: data_dir: "},
        {"- a\n- b\n", "t.yaml:1: the file must be made of lines of key: value"},
        {"just words\n", "t.yaml:1: the file must be made of lines of key: value"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        COMPLAINTS(rows[i][0], rows[i][1], NULL);
    }
}

static void test_text_that_only_looks_like_a_number_to_some(void **state)
{
    (void)state;
    static const char *const texts[] = {"1.2.3", "12x", "+", "1-2x", "e5", "0b1", "...", "no"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char yaml[64];
        (void)snprintf(yaml, sizeof yaml, "data_dir: %s\n", texts[i]);
        struct config *c = load(yaml);
        assert_string_equal(c->data_dir, texts[i]);
        config_release(c);
    }
}

static void test_out_of_range(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const char *low; /* NULL: 0 is allowed */
        const char *lowest;
        const char *highest;
        const char *high;
    } rows[] = {
        {"tracker.workers", NULL, "0", "256", "257"},
        {"tracker.announce_interval", "0", "1", "31622400", "31622401"},
        {"tracker.min_announce_interval", "0", "1", "1800", "31622401"},
        {"tracker.peer_timeout", NULL, "0", "31622400", "31622401"},
        {"tracker.max_numwant", "0", "1", "1000", "1001"},
        {"tracker.max_scrape", "0", "1", "74", "75"},
        {"tracker.connection_id_lifetime", "0", "1", "86400", "86401"},
        {"tracker.max_torrents", "0", "1", "4000000000", "4000000001"},
        {"tracker.max_peers", "0", "1", "4000000000", "4000000001"},
        {"tracker.max_connections", "0", "1", "10000000", "10000001"},
        {"tracker.http_idle_timeout", "0", "1", "86400", "86401"},
        {"tracker.http_request_timeout", "0", "1", "86400", "86401"},
        {"api.max_body", "0", "1", "1099511627776", "1099511627777"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const good[] = {rows[i].lowest, rows[i].highest};
        const char *const bad[] = {rows[i].high, "-1", "99999999999999999999", rows[i].low};
        char yaml[100];
        char want[100];
        (void)snprintf(want, sizeof want, "t.yaml:2: %s: must be a whole number", rows[i].key);
        for (size_t k = 0; k < 2; k++) {
            (void)nested(yaml, sizeof yaml, rows[i].key, good[k]);
            config_release(load(yaml));
        }
        for (size_t k = 0; k < 4 && bad[k] != NULL; k++) {
            (void)nested(yaml, sizeof yaml, rows[i].key, bad[k]);
            COMPLAINTS(yaml, want, NULL);
        }
    }
}

static void test_wrong_values(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"log:\n  level: loud\n", "t.yaml:2: log.level: must be one of error, warn, info, debug, "
                                  "not \"loud\""},
        {"log:\n  format: JSON\n", "t.yaml:2: log.format: "},
        {"data_dir: ''\n", "t.yaml:1: data_dir: "},
        {"data_dir: \"a\\0b\"\n", "t.yaml:1: data_dir: "},
        {"data_dir: \"a\\nb\"\n", "t.yaml:1: data_dir: "},
        {"tracker:\n  udp: ['127.0.0.1']\n", "t.yaml:2: tracker.udp: each entry must be "
                                             "ADDRESS:PORT"},
        {"tracker:\n  udp:\n    - 127.0.0.1:1\n    - 127.0.0.1:65536\n", "t.yaml:4: tracker.udp: "},
        {"tracker:\n  http: ['localhost:80']\n", "t.yaml:2: tracker.http: "},
        {"tracker:\n  trust_forwarded_for: [10.0.0.1/8]\n", "t.yaml:2: tracker.trust_forwarded_"},
        {"tracker:\n  external_ip: here\n", "t.yaml:2: tracker.external_ip: must be an IP address"},
        {"tracker:\n  external_ip: 0.0.0.0\n", "t.yaml:2: tracker.external_ip: "},
        {"tracker:\n  external_ip: '::'\n", "t.yaml:2: tracker.external_ip: "},
        {"api:\n  hosts: ['']\n", "t.yaml:2: api.hosts: "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        COMPLAINTS(rows[i][0], rows[i][1], NULL);
    }
}

static void test_given_twice(void **state)
{
    (void)state;
    COMPLAINTS("log:\n  level: info\n  level: debug\n",
               "t.yaml:3: log.level: is given twice; the first is in line 2", NULL);
    COMPLAINTS("log:\n  level: info\nlog:\n  level: debug\n  bad: 1\n",
               "t.yaml:3: log: is given twice; the first is in line 1", NULL);
    COMPLAINTS("tracker: {tls: {}, tls: {}}\n", "t.yaml:1: tracker.tls: is given twice", NULL);
}

static void test_all_at_once_in_order(void **state)
{
    (void)state;
    COMPLAINTS("nonsense: 1\ntracker:\n  mode: open\n  workers: x\napi:\n  max_body: -1\n"
               "  tls: {key: k}\n  listen: ['0.0.0.0:1']\n  tokens: {a: b}\n",
               "t.yaml:1: nonsense: ", "t.yaml:3: tracker.mode: ", "t.yaml:4: tracker.workers: ",
               "t.yaml:6: api.max_body: ", "t.yaml:7: api.tls.key: needs api.tls.certificate",
               "t.yaml:9: api.tokens.a: ", NULL);
}

static void test_syntax_errors_have_their_line(void **state)
{
    (void)state;
    COMPLAINTS("tracker: [\n", "t.yaml:2: is not valid YAML: ", NULL);
    COMPLAINTS("a: b: c\n", "t.yaml:1: is not valid YAML: mapping values are not allowed", NULL);
    COMPLAINTS("log:\n\tlevel: info\n", "t.yaml:2: is not valid YAML: ", NULL);
    COMPLAINTS("log:\n  level: *nobody\n", "t.yaml:2: is not valid YAML: found undefined alias",
               NULL);
    COMPLAINTS("a\n\n\x01", "t.yaml:3: is not valid YAML: control characters are not allowed",
               NULL);
    COMPLAINTS("\n\xff", "t.yaml:2: is not valid YAML: ", NULL);
    COMPLAINTS("{}\n---\n{}\n", "t.yaml:3: a second YAML document", NULL);
}

/* A cycle, and an alias of an alias of an alias; the walk goes three levels deep at most. */
static void test_aliases_are_harmless(void **state)
{
    (void)state;
    struct config *c = load("tracker:\n  mode: &m listed\n  udp: &u ['127.0.0.1:1']\n  http: *u\n");
    assert_int_equal(c->tracker.http.n, 1);
    config_release(c);
    COMPLAINTS("tracker: &t\n  tls: *t\n", "t.yaml:2: tracker.tls.tls: is not a key", NULL);
    COMPLAINTS("tracker:\n  udp: &a [*a, *a]\n", "t.yaml:2: tracker.udp: ", "t.yaml:2: tracker.udp",
               NULL);
    COMPLAINTS("a: &a [x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\n"
               "c: &c [*b, *b, *b, *b, *b, *b, *b, *b]\ntracker: {udp: *c}\n",
               "t.yaml:1: a: ", "t.yaml:2: b: ", "t.yaml:3: c: ", "t.yaml:2: tracker.udp: ",
               "t.yaml:2: tracker.udp: ", "t.yaml:2: tracker.udp: ", "t.yaml:2: tracker.udp: ",
               "t.yaml:2: tracker.udp: ", "t.yaml:2: tracker.udp: ", "t.yaml:2: tracker.udp: ",
               "t.yaml:2: tracker.udp: ", NULL);
}

static void test_lists_have_a_limit(void **state)
{
    (void)state;
    char yaml[4096] = "api:\n  hosts: [h0";
    char variable[2048] = "ROOKERY_API__HOSTS=h0";
    for (int i = 1; i < CONFIG_LIST_MAX; i++) {
        size_t n = strlen(yaml);
        (void)snprintf(yaml + n, sizeof yaml - n, ", h%d", i);
        n = strlen(variable);
        (void)snprintf(variable + n, sizeof variable - n, ",h%d", i);
    }
    size_t end = strlen(yaml);
    (void)snprintf(yaml + end, sizeof yaml - end, "]\n");
    struct config *c = load(yaml);
    assert_int_equal(c->api.hosts.n, CONFIG_LIST_MAX);
    config_release(c);
    (void)snprintf(yaml + end, sizeof yaml - end, ", one_more]\n");
    COMPLAINTS(yaml, "t.yaml:2: api.hosts: a list has at most 64 entries", NULL);

    c = load_env("", ENV(variable));
    assert_int_equal(c->api.hosts.n, CONFIG_LIST_MAX);
    config_release(c);
    (void)snprintf(variable + strlen(variable), sizeof variable - strlen(variable), ",one_more");
    assert_complaints("", ENV(variable), ENV("ROOKERY_API__HOSTS: api.hosts: a list has at most"));
}

static void test_long_and_odd_values_are_shown_cut_and_escaped(void **state)
{
    (void)state;
    COMPLAINTS("tracker: {mode: \"\\x1b[31m\\nred\"}\n",
               "t.yaml:1: tracker.mode: must be one of public, listed, private, private_listed, "
               "not \"\\u001b[31m\\u000ared\"",
               NULL);
    COMPLAINTS("tracker: {mode: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}\n",
               "t.yaml:1: tracker.mode: must be one of public, listed, private, private_listed, "
               "not \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\"",
               NULL);
}

/* ---- rules between keys ------------------------------------------------------------------ */

static void test_tls_needs_both_files(void **state)
{
    (void)state;
    COMPLAINTS("tracker:\n  tls:\n    certificate: c\n",
               "t.yaml:3: tracker.tls.certificate: needs tracker.tls.key too", NULL);
    COMPLAINTS("tracker:\n  tls:\n    certificate: ''\n    key: k\n",
               "t.yaml:4: tracker.tls.key: needs tracker.tls.certificate too", NULL);
    COMPLAINTS("api:\n  tls: {certificate: c}\n",
               "t.yaml:2: api.tls.certificate: needs api.tls.key too", NULL);
    COMPLAINTS("api:\n  tls: {certificate: 5, key: k}\n", "t.yaml:2: api.tls.certificate: must be",
               NULL);
}

static void test_min_interval_is_not_above_the_interval(void **state)
{
    (void)state;
    COMPLAINTS("tracker:\n  announce_interval: 60\n  min_announce_interval: 61\n",
               "t.yaml:3: tracker.min_announce_interval: must not be above "
               "tracker.announce_interval, which is 60; not 61",
               NULL);
    COMPLAINTS("tracker:\n  min_announce_interval: 1801\n",
               "t.yaml:2: tracker.min_announce_interval: ", NULL);
    COMPLAINTS("tracker:\n  announce_interval: 5\n  min_announce_interval: x\n",
               "t.yaml:3: tracker.min_announce_interval: must be a whole number", NULL);
    /* The default gives way. */
    struct config *c = load("tracker: {announce_interval: 1}\n");
    assert_int_equal(c->tracker.min_announce_interval_s, 1);
    assert_int_equal(config_peer_timeout_s(c), 3);
    config_release(c);
}

#define WEAK_TOKEN "abcdefghijklmno"

static void test_weak_tokens_are_for_loopback(void **state)
{
    (void)state;
    static const char *const open[] = {"0.0.0.0:0", "[::]:0", "192.0.2.1:1", "[2001:db8::1]:1"};
    static const char *const closed[] = {"127.0.0.1:0", "[::1]:0", "127.9.9.9:0",
                                         "[::ffff:127.0.0.1]:0"};
    static const char *const weak[] = {"MyAccessToken", "x", WEAK_TOKEN};
    char yaml[200];
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < 3; k++) {
            (void)snprintf(yaml, sizeof yaml,
                           "api:\n  listen: ['127.0.0.1:0', '%s']\n  tokens:\n    good: "
                           "0123456789abcdefg\n    bad: %s\n",
                           open[i], weak[k]);
            COMPLAINTS(yaml, "t.yaml:5: api.tokens.bad: ", NULL);
            assert_non_null(strstr(loaded.complaints, open[i]));
            assert_null(strstr(strstr(loaded.complaints, ".bad: "), weak[k][1] ? weak[k] : "\1"));
            (void)snprintf(yaml, sizeof yaml, "api: {listen: ['%s'], tokens: {a: %s}}\n", closed[i],
                           weak[k]);
            config_release(load(yaml));
        }
        (void)snprintf(yaml, sizeof yaml, "api: {listen: ['%s'], tokens: {a: %s}}\n", open[i],
                       WEAK_TOKEN "p");
        config_release(load(yaml));
    }
}

static void test_tokens(void **state)
{
    (void)state;
    COMPLAINTS("api:\n  tokens:\n    admin: a\n    Admin: b\n",
               "t.yaml:4: api.tokens: the label 'admin' is given twice", NULL);
    COMPLAINTS("api:\n  tokens:\n    admin: ''\n", "t.yaml:3: api.tokens.admin: the token is empty",
               NULL);
    COMPLAINTS("api:\n  tokens:\n    admin:\n",
               "t.yaml:3: api.tokens.admin: a token must be text; put it in quotes", NULL);
    COMPLAINTS("api:\n  tokens:\n    admin: 1234\n", "t.yaml:3: api.tokens.admin: a token must be",
               NULL);
    COMPLAINTS("api:\n  tokens:\n    admin: two words\n",
               "t.yaml:3: api.tokens.admin: a token must have 1 to 512 ASCII", NULL);
    COMPLAINTS("api:\n  tokens:\n    admin: \"a\\0b\"\n", "t.yaml:3: api.tokens.admin: ", NULL);
    COMPLAINTS("api:\n  tokens:\n    two words: x\n", "t.yaml:3: api.tokens.two words: a label",
               NULL);
    COMPLAINTS("api:\n  tokens:\n    admin: [a]\n", "t.yaml:3: api.tokens: must be a section",
               NULL);
}

static void test_no_secret_is_shown(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "api: {tokens: hunter2secret}\n",
        "api: {tokens: [hunter2secret]}\n",
        "api: {tokens: {a: \"hunter2secret \"}}\n",
        "api: {tokens: {a: {b: hunter2secret}}}\n",
        "api: {listen: ['0.0.0.0:1'], tokens: {a: hunter2secret}}\n",
        "database: {url: \"password=hunter2secret\\n\"}\n",
        "database: {url: [password=hunter2secret]}\n",
        "database: {url: {password: hunter2secret}}\n",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        config_release(load_env(rows[i], NULL));
        assert_int_equal(loaded.n_complaints, 1);
        assert_null(strstr(loaded.complaints, "hunter2"));
    }
    config_release(load_env("", ENV("ROOKERY_API__TOKENS=hunter2secret",
                                    "ROOKERY_DATABASE__URL=hunter2secret\n",
                                    "ROOKERY_API__TOKENS__A=hunter2secret secret")));
    assert_int_equal(loaded.n_complaints, 3);
    assert_null(strstr(loaded.complaints, "hunter2"));
}

/* ---- environment ------------------------------------------------------------------------- */

static void test_the_environment_comes_last(void **state)
{
    (void)state;
    struct config *c =
        load_env("tracker: {mode: listed, workers: 2}\n"
                 "api: {tokens: {Admin: from-the-file, other: stays}}\n",
                 ENV("PATH=/bin", "ROOKERY_TRACKER__MODE=private", "ROOKERY_DATA_DIR=/env",
                     "ROOKERY_TRACKER__TLS__CERTIFICATE=c", "ROOKERY_TRACKER__TLS__KEY=k",
                     "ROOKERY_TRACKER__PERSIST_COMPLETED=false", "ROOKERY_TRACKER__MAX_NUMWANT=7",
                     "ROOKERY_TRACKER__EXTERNAL_IP=::5", "ROOKERY_API__TOKENS__ADMIN=from-outside",
                     "ROOKERY_API__TOKENS__CI_2=12345", "ROOKERY_DATABASE__URL=dbname=x user=y",
                     "ROOKERY_CLIENT__DHT=false"));
    assert_string_equal(loaded.complaints, "");
    assert_int_equal(c->tracker.mode, 2);
    assert_int_equal(c->tracker.workers, 2);
    assert_string_equal(c->data_dir, "/env");
    assert_string_equal(c->tracker.tls_certificate, "c");
    assert_string_equal(c->tracker.tls_key, "k");
    assert_false(c->tracker.persist_completed);
    assert_int_equal(c->tracker.max_numwant, 7);
    assert_true(c->tracker.has_external_ip && c->tracker.external_ip.v6);
    assert_int_equal(c->api.tokens.n, 3);
    assert_string_equal(c->api.tokens.at[0].label, "Admin");
    assert_string_equal(c->api.tokens.at[0].token, "from-outside");
    assert_string_equal(c->api.tokens.at[1].token, "stays");
    assert_string_equal(c->api.tokens.at[2].label, "ci_2");
    assert_string_equal(c->api.tokens.at[2].token, "12345");
    assert_string_equal(c->database.url, "dbname=x user=y");
    config_release(c);
}

static void test_lists_in_the_environment(void **state)
{
    (void)state;
    static const struct {
        const char *variable;
        size_t n;
        const char *last;
    } rows[] = {
        {"ROOKERY_TRACKER__UDP=127.0.0.1:1", 1, "127.0.0.1:1"},
        {"ROOKERY_TRACKER__UDP=127.0.0.1:1, [::1]:2 ", 2, "[::1]:2"},
        {"ROOKERY_TRACKER__UDP=[::1]:2,[::1]:3", 2, "[::1]:3"},
        {"ROOKERY_TRACKER__UDP=[127.0.0.1:1, \"[::1]:2\"]", 2, "[::1]:2"},
        {"ROOKERY_TRACKER__UDP=", 0, NULL},
        {"ROOKERY_TRACKER__UDP=[]", 0, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config *c = load_env("tracker: {udp: ['0.0.0.0:9']}\n", ENV(rows[i].variable));
        assert_string_equal(loaded.complaints, "");
        assert_int_equal(c->tracker.udp.n, rows[i].n);
        if (rows[i].n > 0) {
            assert_endpoint(&c->tracker.udp.at[rows[i].n - 1], rows[i].last);
        }
        config_release(c);
    }
    struct config *c =
        load_env("", ENV("ROOKERY_API__HOSTS=[::1]", "ROOKERY_TRACKER__TRUST_FORWARDED_FOR=[::1]"));
    assert_string_equal(loaded.complaints, "");
    assert_string_equal(c->api.hosts.at[0], "[::1]");
    assert_int_equal(c->tracker.trust_forwarded_for.n, 1);
    config_release(c);
}

static void test_complaints_name_the_variable(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"ROOKERY_TRACKER__MODE=open", "ROOKERY_TRACKER__MODE: tracker.mode: must be one of"},
        {"ROOKERY_TRACKER__WORKERS= 4", "ROOKERY_TRACKER__WORKERS: tracker.workers: "},
        {"ROOKERY_TRACKER__WORKERS=", "ROOKERY_TRACKER__WORKERS: tracker.workers: "},
        {"ROOKERY_TRACKER__PERSIST_COMPLETED=yes", "ROOKERY_TRACKER__PERSIST_COMPLETED: tracker."},
        {"ROOKERY_TRACKER__UDP=1,", "ROOKERY_TRACKER__UDP: tracker.udp: each entry must be"},
        {"ROOKERY_TRACKER__UDP=[", "ROOKERY_TRACKER__UDP: tracker.udp: each entry must be"},
        {"ROOKERY_TRACKER__UDP=[{]", "ROOKERY_TRACKER__UDP: is not valid YAML: "},
        {"ROOKERY_TRACKER__TLS__KEY=k", "ROOKERY_TRACKER__TLS__KEY: tracker.tls.key: needs"},
        {"ROOKERY_TRACKER__MIN_ANNOUNCE_INTERVAL=9999",
         "ROOKERY_TRACKER__MIN_ANNOUNCE_INTERVAL: tracker.min_announce_interval: must not"},
        {"ROOKERY_API__TOKENS__ADMIN=", "ROOKERY_API__TOKENS__ADMIN: api.tokens.admin: the token "},
        {"ROOKERY_API__TOKENS__=x", "ROOKERY_API__TOKENS__: api.tokens.: a label must have"},
        {"ROOKERY_API__TOKENS=x", "ROOKERY_API__TOKENS: api.tokens: one variable for each token"},
        {"ROOKERY_CLIENT__ENCRYPTION=x", "ROOKERY_CLIENT__ENCRYPTION: client.encryption: must be"},
        {"ROOKERY_DATA_DIR=\xff", "ROOKERY_DATA_DIR: data_dir: "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const want[] = {rows[i][1], NULL};
        size_t n_commas = strchr(rows[i][0], ',') != NULL;
        const char *const twice[] = {rows[i][1], rows[i][1], NULL};
        assert_complaints("", ENV(rows[i][0]), n_commas ? twice : want);
    }
    assert_complaints("api: {listen: ['0.0.0.0:1']}\n", ENV("ROOKERY_API__TOKENS__X=short"),
                      ENV("ROOKERY_API__TOKENS__X: api.tokens.x: the token is too short"));
}

static void test_variables_that_name_no_key(void **state)
{
    (void)state;
    static const char *const names[] = {
        "ROOKERY_TRACKER",        "ROOKERY_TRACKER_MODE",     "ROOKERY_DATA__DIR",
        "ROOKERY_tracker__mode",  "ROOKERY_TRACKER__MOD",     "ROOKERY_TRACKER.MODE",
        "ROOKERY_TRACKER__MODE_", "ROOKERY_TRACKER__MODE__X", "ROOKERY_TRACKER__PERSIST-COMPLETED",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char variable[100];
        char want[100];
        (void)snprintf(variable, sizeof variable, "%s=public", names[i]);
        (void)snprintf(want, sizeof want, "%s: this variable names no key", names[i]);
        assert_complaints("", ENV(variable), ENV(want));
    }
    config_release(
        load_env("", ENV("ROOKERY", "rookery_tracker__mode=x", "XROOKERY_A=1", "ROOKERY_BIN=/bin/x",
                         "ROOKERY_SERVICE_HOST=10.0.0.1", "ROOKERY_PORT=tcp://10.0.0.1:80",
                         "ROOKERY_APIS=1", "ROOKERY_=1")));
    assert_string_equal(loaded.complaints, "");
}

static void test_releasing_a_zeroed_config(void **state)
{
    (void)state;
    struct config c = {0};
    config_release(&c);
    config_release(load("api: {tokens: {a: b}}\n"));
    config_release(&loaded.cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_every_key_reaches_its_place),
        cmocka_unit_test(test_every_key_of_the_api),
        cmocka_unit_test(test_names_of_choices),
        cmocka_unit_test(test_every_key_refuses_a_wrong_type),
        cmocka_unit_test(test_reserved_keys_say_so),
        cmocka_unit_test(test_reserved_keys_are_checked),
        cmocka_unit_test(test_unknown_keys),
        cmocka_unit_test(test_wrong_types),
        cmocka_unit_test(test_text_that_only_looks_like_a_number_to_some),
        cmocka_unit_test(test_out_of_range),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_given_twice),
        cmocka_unit_test(test_all_at_once_in_order),
        cmocka_unit_test(test_syntax_errors_have_their_line),
        cmocka_unit_test(test_aliases_are_harmless),
        cmocka_unit_test(test_lists_have_a_limit),
        cmocka_unit_test(test_long_and_odd_values_are_shown_cut_and_escaped),
        cmocka_unit_test(test_tls_needs_both_files),
        cmocka_unit_test(test_min_interval_is_not_above_the_interval),
        cmocka_unit_test(test_weak_tokens_are_for_loopback),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_no_secret_is_shown),
        cmocka_unit_test(test_the_environment_comes_last),
        cmocka_unit_test(test_lists_in_the_environment),
        cmocka_unit_test(test_complaints_name_the_variable),
        cmocka_unit_test(test_variables_that_name_no_key),
        cmocka_unit_test(test_releasing_a_zeroed_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
