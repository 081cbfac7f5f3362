#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/ids.h"
#include "base/log.h"

#include "base/banned.h"

struct captured {
    char text[8192];
    size_t len;
    int n_lines;
};

static void capture(void *ctx, struct span line)
{
    struct captured *c = ctx;
    assert_true(c->len + line.n < sizeof c->text);
    assert_true(line.n > 0 && line.p[line.n - 1] == '\n');
    assert_int_equal(span_find(line, '\n'), line.n - 1);
    memcpy(c->text + c->len, line.p, line.n);
    c->len += line.n;
    c->text[c->len] = '\0';
    c->n_lines++;
}

/* "2026-01-02T03:04:05.678Z" */
static bool is_time(const char *s)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    for (size_t i = 0; i < sizeof shape - 1; i++) {
        bool good = shape[i] == 'd' ? s[i] >= '0' && s[i] <= '9' : s[i] == shape[i];
        if (!good) {
            return false;
        }
    }
    return true;
}

enum { TIME_LEN = 24 };

static const struct infohash hash = {{0xab, [19] = 0x01}};

static void test_text(void **state)
{
    (void)state;
    struct captured c = {.len = 0};
    struct log_sink sink = {.level = LOG_INFO, .write = capture, .ctx = &c};
    log_set_sink(&sink);
    log_info(LOG_TRACKER, "listening", KV_STR("address", "0.0.0.0:6969"), KV_INT("n", -5),
             KV_HASH("hash", &hash), KV_STR("empty", ""), KV_STR("words", "two words"),
             KV_SPAN("bytes", SPAN("\n\xff\"")));
    log_set_sink(NULL);
    assert_true(is_time(c.text));
    assert_string_equal(c.text + TIME_LEN,
                        " info tracker: listening address=0.0.0.0:6969 n=-5 "
                        "hash=ab00000000000000000000000000000000000001 empty=\"\" "
                        "words=\"two words\" bytes=\"\\u000a\xef\xbf\xbd\\\"\"\n");
}

static void test_json(void **state)
{
    (void)state;
    struct captured c = {.len = 0};
    struct log_sink sink = {.level = LOG_WARN, .json = true, .write = capture, .ctx = &c};
    log_set_sink(&sink);
    log_warn(LOG_STORE, "away \"now\"", KV_STR("why", "a=b"), KV_INT("retry_ms", INT64_MAX),
             KV_HASH("hash", &hash));
    log_set_sink(NULL);
    assert_memory_equal(c.text, "{\"time\":\"", 9);
    assert_true(is_time(c.text + 9));
    assert_string_equal(c.text + 9 + TIME_LEN,
                        "\",\"level\":\"warn\",\"subsystem\":\"store\","
                        "\"message\":\"away \\\"now\\\"\",\"why\":\"a=b\","
                        "\"retry_ms\":9223372036854775807,"
                        "\"hash\":\"ab00000000000000000000000000000000000001\"}\n");
}

static void test_no_fields(void **state)
{
    (void)state;
    struct captured c = {.len = 0};
    struct log_sink sink = {.level = LOG_DEBUG, .write = capture, .ctx = &c};
    log_set_sink(&sink);
    log_debug(LOG_API, "quiet");
    log_set_sink(NULL);
    assert_string_equal(c.text + TIME_LEN, " debug api: quiet\n");
}

static void test_levels(void **state)
{
    (void)state;
    struct captured c = {.len = 0};
    struct log_sink sink = {.level = LOG_ERROR, .write = capture, .ctx = &c};
    log_set_sink(&sink);
    log_warn(LOG_MAIN, "dropped");
    assert_int_equal(c.n_lines, 0);
    log_error(LOG_MAIN, "kept");
    assert_int_equal(c.n_lines, 1);
    sink.level = LOG_DEBUG;
    assert_true(log_enabled(LOG_DEBUG));
    log_debug(LOG_NET, "kept too");
    assert_int_equal(c.n_lines, 2);
    log_set_sink(NULL);
    assert_true(log_enabled(LOG_INFO));
    assert_false(log_enabled(LOG_DEBUG));
}

/* In both formats: fields go from the end, whole, and the line stays well-formed. */
static void test_fields_that_do_not_fit(void **state)
{
    (void)state;
    static uint8_t big[3000];
    memset(big, 'x', sizeof big);
    for (int json = 0; json <= 1; json++) {
        struct captured c = {.len = 0};
        struct log_sink sink = {.level = LOG_INFO, .json = json, .write = capture, .ctx = &c};
        log_set_sink(&sink);
        log_info(LOG_MAIN, "short", KV_STR("a", "kept"), KV_SPAN("b", span_of(big, sizeof big)),
                 KV_STR("c", "gone"));
        log_info(LOG_MAIN, "fits", KV_SPAN("b", span_of(big, 1500)), KV_STR("c", "kept"));
        log_set_sink(NULL);
        assert_int_equal(c.n_lines, 2);
        *strchr(c.text, '\n') = '\0';
        const char *field = json ? ",\"a\":\"kept\"}" : ": short a=kept";
        assert_string_equal(c.text + strlen(c.text) - strlen(field), field);
        assert_non_null(strstr(c.text + strlen(c.text) + 1, "kept"));
    }
}

static void test_parse_level(void **state)
{
    (void)state;
    enum log_level level = LOG_ERROR;
    assert_true(log_level_parse(&level, SPAN("debug")));
    assert_int_equal(level, LOG_DEBUG);
    assert_true(log_level_parse(&level, SPAN("error")));
    assert_int_equal(level, LOG_ERROR);
    assert_false(log_level_parse(&level, SPAN("")));
    assert_false(log_level_parse(&level, SPAN("Warn")));
    assert_false(log_level_parse(&level, SPAN("warning")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_no_fields),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_fields_that_do_not_fit),
        cmocka_unit_test(test_parse_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
