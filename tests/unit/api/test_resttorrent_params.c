/* The parameters of the RestTorrent API: from every source, and what their texts mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/resttorrent_params.h"
#include "base/err.h"
#include "base/rng.h"

#include "base/banned.h"

#define FORM  SPAN("application/x-www-form-urlencoded")
#define JSON  SPAN("application/json; charset=utf-8")
#define PARTS SPAN("multipart/form-data; boundary=b")

static void expect(const struct resttorrent_params *p, enum resttorrent_param which,
                   const char *wanted)
{
    struct span value;
    bool given = resttorrent_params_get(p, which, &value);
    if (given != (wanted != NULL) || (given && !span_eq(value, span_str(wanted)))) {
        fail_msg("parameter %d: %s, wanted %s", which, given ? "another" : "none", wanted);
    }
}

static int add_body(struct resttorrent_params *p, struct span type, const char *body)
{
    const char *why = NULL;
    int status = resttorrent_params_add_body(p, type, span_str(body), &why);
    assert_true(status == 0 || (why != NULL && why[0] != '\0'));
    return status;
}

static void test_nothing(void **state)
{
    struct resttorrent_params p;
    const char *why;
    bool flag;
    uint16_t first, last;
    (void)state;
    resttorrent_params_init(&p);
    assert_int_equal(resttorrent_params_add_query(&p, SPAN(""), &why), 0);
    assert_int_equal(add_body(&p, SPAN(""), ""), 0);
    assert_int_equal(add_body(&p, JSON, " \r\n"), 0);
    assert_int_equal(add_body(&p, SPAN("text/plain"), "pause=1"), 0);
    for (int i = 0; i < REST_N_PARAMS; i++) {
        expect(&p, (enum resttorrent_param)i, NULL);
    }
    assert_true(resttorrent_params_flag(&p, REST_PAUSE, true, &flag) && flag);
    assert_true(resttorrent_params_flag(&p, REST_PAUSE, false, &flag) && !flag);
    assert_true(resttorrent_params_ports(&p, &first, &last) && first == 6881 && last == 6891);
    resttorrent_params_release(&p);
}

static void test_sources_override(void **state)
{
    struct resttorrent_params p;
    const char *why;
    (void)state;
    resttorrent_params_init(&p);
    assert_int_equal(resttorrent_params_add_query(
                         &p, SPAN("pause=1&pause=0&fields=a%2Cb+c&x=%41&infohash=q"), &why),
                     0);
    expect(&p, REST_PAUSE, "0");
    expect(&p, REST_FIELDS, "a,b c");
    expect(&p, REST_INFO_HASH, "q");
    assert_int_equal(add_body(&p, FORM, "pause=1&save_path="), 0);
    expect(&p, REST_PAUSE, "1");
    expect(&p, REST_SAVE_PATH, "");
    assert_true(resttorrent_params_set(&p, REST_INFO_HASH, SPAN("path")));
    expect(&p, REST_INFO_HASH, "path");
    resttorrent_params_release(&p);
}

static void test_json(void **state)
{
    struct resttorrent_params p;
    (void)state;
    resttorrent_params_init(&p);
    assert_int_equal(add_body(&p, JSON,
                              "{\"memory_only\":0,\"autostart\":false,\"pause\":true,"
                              "\"save_path\":\"/d\\u00e9\",\"url\":null,\"t_id\":{\"a\":[1]},"
                              "\"ports\":[ 6881 ,\"6891\"],\"port_range\":7}"),
                     0);
    expect(&p, REST_MEMORY_ONLY, "0");
    expect(&p, REST_AUTOSTART, "false");
    expect(&p, REST_PAUSE, "true");
    expect(&p, REST_SAVE_PATH, "/d\xc3\xa9");
    expect(&p, REST_URL, NULL);
    expect(&p, REST_PORTS, "6881,6891");
    expect(&p, REST_PORT_RANGE, "7");
    resttorrent_params_release(&p);
}

static void test_json_that_is_none(void **state)
{
    static const char *const bodies[] = {
        "{",           "[]",           "7",    "{\"ports\":{}}", "{\"pause\":{\"a\":1}}",
        "{\"pause\"}", "{\"pause\":1", "{} {}"};
    struct resttorrent_params p;
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        resttorrent_params_init(&p);
        assert_int_equal(add_body(&p, JSON, bodies[i]), ERR_MALFORMED);
        resttorrent_params_release(&p);
    }
}

/* What calls itself a form, or nothing, and begins with a brace. */
static void test_json_by_its_look(void **state)
{
    struct resttorrent_params p;
    (void)state;
    resttorrent_params_init(&p);
    assert_int_equal(add_body(&p, FORM, " {\"pause\":1}"), 0);
    expect(&p, REST_PAUSE, "1");
    assert_int_equal(add_body(&p, SPAN(""), "{\"pause\":0}"), 0);
    expect(&p, REST_PAUSE, "0");
    resttorrent_params_release(&p);
}

static void test_files(void **state)
{
    static const struct {
        struct span type;
        const char *body, *wanted;
        int status;
    } cases[] = {
        {PARTS, "--b\r\ncontent-disposition: form-data; name=file\r\n\r\nbGU=\r\n--b--", "bGU=", 0},
        {PARTS, "--b\r\ncontent-disposition: form-data; name=file; filename=x\r\n\r\nd1:\r\n--b--",
         "d1:", 0},
        {PARTS,
         "--b\r\ncontent-disposition: form-data; name=file\r\n\r\na\r\n"
         "--b\r\ncontent-disposition: form-data; name=file\r\n\r\nb\r\n--b--",
         NULL, ERR_MALFORMED},
        {JSON, "{\"file\":\"bGU=\"}", "le", 0},
        {JSON, "{\"file\":\"bGU\"}", "le", 0},
        {JSON, "{\"file\":\"d4:infodee\"}", "d4:infodee", 0},
        {JSON, "{\"file\":\"\"}", "", 0},
        {JSON, "{\"file\":{\"_placeholder\":true,\"num\":0}}", NULL, 0},
        {FORM, "file=bGU%3D", "le", 0},
        {FORM, "file=d4%3Ainfodee", "d4:infodee", 0},
        {FORM, "file=%zz", NULL, ERR_MALFORMED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct resttorrent_params p;
        resttorrent_params_init(&p);
        assert_int_equal(add_body(&p, cases[i].type, cases[i].body), cases[i].status);
        if (cases[i].status == 0) {
            expect(&p, REST_FILE, cases[i].wanted);
        }
        resttorrent_params_release(&p);
    }
}

/* The attachment is there before the message that has its place in it, or after. */
static void test_a_placeholder_leaves_the_file(void **state)
{
    struct resttorrent_params p;
    (void)state;
    resttorrent_params_init(&p);
    assert_true(resttorrent_params_set(&p, REST_FILE, SPAN("le\0x")));
    assert_int_equal(add_body(&p, JSON, "{\"file\":{\"_placeholder\":true,\"num\":0}}"), 0);
    struct span file;
    assert_true(resttorrent_params_get(&p, REST_FILE, &file));
    assert_true(span_eq(file, SPAN("le\0x")));
    resttorrent_params_release(&p);
}

static void test_too_long(void **state)
{
    struct resttorrent_params p;
    size_t cap = REST_TEXT_MAX + 64;
    char *body = malloc(cap);
    (void)state;
    resttorrent_params_init(&p);
    for (int more = 0; more < 2; more++) {
        int n = snprintf(body, cap, "save_path=%0*d", REST_TEXT_MAX + more, 0);
        assert_true(n > 0 && (size_t)n < cap);
        assert_int_equal(add_body(&p, FORM, body) < 0, more);
        n = snprintf(body, cap, "{\"url\":\"%0*d\"}", REST_TEXT_MAX + more, 0);
        assert_true(n > 0 && (size_t)n < cap);
        assert_int_equal(add_body(&p, JSON, body) < 0, more);
    }
    free(body);
    resttorrent_params_release(&p);
}

static void test_flags(void **state)
{
    static const struct {
        const char *text;
        int value; /* -1: none */
    } cases[] = {{"1", 1},   {"0", 0},    {"true", 1}, {"FALSE", 0}, {" 1 ", 1},
                 {"", -1},   {"2", -1},   {"yes", -1}, {"-1", -1},   {"1.0", -1},
                 {"01", -1}, {"tru", -1}, {"00", -1},  {"1,1", -1}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct resttorrent_params p;
        bool out;
        resttorrent_params_init(&p);
        assert_true(resttorrent_params_set(&p, REST_PAUSE, span_str(cases[i].text)));
        assert_int_equal(resttorrent_params_flag(&p, REST_PAUSE, true, &out), cases[i].value >= 0);
        assert_true(cases[i].value < 0 || out == (cases[i].value == 1));
        resttorrent_params_release(&p);
    }
}

static void test_ports(void **state)
{
    static const struct {
        const char *text;
        int first, last; /* -1: no range */
    } cases[] = {
        {"6881,6891", 6881, 6891},
        {"1,65535", 1, 65535},
        {"6881", 6881, 6881},
        {"65535", 65535, 65535},
        {" 1 , 2 ", 1, 2},
        {"0", 0, 0},
        {"0,0", 0, 0},
        {"0,1", -1, -1},
        {"2,1", -1, -1},
        {"65536", -1, -1},
        {"1,65536", -1, -1},
        {"", -1, -1},
        {",", -1, -1},
        {"1,", -1, -1},
        {",1", -1, -1},
        {"1,2,3", -1, -1},
        {"1-2", -1, -1},
        {"+1", -1, -1},
        {"1.0", -1, -1},
        {"99999999999999999999", -1, -1},
    };
    static const enum resttorrent_param names[] = {REST_PORT_RANGE, REST_PORTS};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        struct resttorrent_params p;
        uint16_t first = 0, last = 0;
        resttorrent_params_init(&p);
        assert_true(resttorrent_params_set(&p, names[i % 2], span_str(cases[i / 2].text)));
        bool good = resttorrent_params_ports(&p, &first, &last);
        assert_int_equal(good, cases[i / 2].first >= 0);
        assert_true(!good || (first == cases[i / 2].first && last == cases[i / 2].last));
        resttorrent_params_release(&p);
    }
}

/* Bytes at random, of the kind that means something: never a crash, and a range is a range. */
static void test_anything(void **state)
{
    static const char letters[] = "{}[]\",:0123456789 =&%ports_range\\nulltrue";
    struct rng rng = {.state = 7};
    (void)state;
    for (int i = 0; i < 20000; i++) {
        char text[48] = "{\"ports\":";
        size_t from = i % 2 == 0 ? strlen(text) : 0;
        size_t n = from + rng_next(&rng) % (sizeof text - 1 - from);
        for (size_t k = from; k < n; k++) {
            text[k] = letters[rng_next(&rng) % (sizeof letters - 1)];
        }
        text[n] = '\0';
        struct resttorrent_params p;
        const char *why;
        uint16_t first, last;
        resttorrent_params_init(&p);
        (void)add_body(&p, i % 3 == 0 ? FORM : JSON, text);
        assert_true(resttorrent_params_add_query(&p, span_str(text), &why) <= 0);
        assert_true(!resttorrent_params_ports(&p, &first, &last) || first <= last);
        resttorrent_params_release(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_sources_override),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_that_is_none),
        cmocka_unit_test(test_json_by_its_look),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_a_placeholder_leaves_the_file),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
