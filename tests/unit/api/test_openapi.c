/* openapi.json against the route tables, in both directions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <cJSON.h>

#include "api/dialects.h"
#include "api/gotorrent.h"
#include "api/openapi.h"
#include "api/pages.h"
#include "api/resttorrent.h"
#include "api/socketio_http.h"
#include "api/spritzle.h"
#include "api/torrentflow.h"
#include "api/torrust.h"

#include "base/banned.h"

enum { TEMPLATE_CAP = 256 };

static const char *const methods[] = {
    [HTTP_GET] = "get", [HTTP_HEAD] = "head",     [HTTP_POST] = "post",
    [HTTP_PUT] = "put", [HTTP_DELETE] = "delete", [HTTP_OPTIONS] = "options",
};

static const char *tag_of(const struct dialect *d)
{
    const struct {
        const struct dialect *dialect;
        const char *tag;
    } tags[] = {
        {&torrust_dialect, "Torrust"},         {&torrust_v1_dialect, "Torrust v1"},
        {&torrentflow_dialect, "TorrentFlow"}, {&gotorrent_dialect, "GoTorrentServer"},
        {&resttorrent_dialect, "RestTorrent"}, {&spritzle_dialect, "spritzle"},
        {&pages_dialect, "Rookery"},
    };
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        if (tags[i].dialect == d) {
            return tags[i].tag;
        }
    }
    fail_msg("a dialect without a tag here");
    return NULL;
}

/* "/a/:b/c" as "/a/{b}/c". */
static void to_openapi(char out[static TEMPLATE_CAP], const char *template)
{
    size_t n = 0;
    bool named = false;
    for (const char *p = template; *p != '\0' || named; p++) {
        assert_true(n + 3 < TEMPLATE_CAP);
        if (named && (*p == '/' || *p == '\0')) {
            out[n++] = '}';
            named = false;
        }
        if (*p == '\0') {
            break;
        }
        named = named || *p == ':';
        out[n++] = *p == ':' ? '{' : *p;
    }
    out[n] = '\0';
}

static int setup(void **state)
{
    *state = cJSON_ParseWithLength((const char *)openapi_json, openapi_json_len);
    return *state == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    cJSON_Delete(*state);
    return 0;
}

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* Without a requirement a call may go without a token; so it may by one that is empty. */
static bool needs_no_token(const cJSON *security)
{
    bool none = cJSON_IsArray(security) && cJSON_GetArraySize(security) == 0;
    const cJSON *one;
    cJSON_ArrayForEach(one, security)
    {
        none = none || cJSON_GetArraySize(one) == 0;
    }
    return none;
}

static void check_security(const cJSON *operation, enum route_auth auth, const char *what)
{
    const cJSON *security = member(operation, "security");
    int n = cJSON_GetArraySize(security);
    bool right = false;
    switch (auth) {
    case ROUTE_OPEN:
        right = cJSON_IsArray(security) && n == 0;
        break;
    case ROUTE_LOCAL:
        right = n > 1 && needs_no_token(security);
        break;
    case ROUTE_TOKEN:
    case ROUTE_ACT:
        right = security == NULL; /* what the document says for all */
        break;
    }
    if (!right) {
        fail_msg("%s: security is not that of its route", what);
    }
}

static void check_documented(const cJSON *paths, const struct dialect *d, const struct route *r)
{
    char template[TEMPLATE_CAP];
    to_openapi(template, r->path);
    const cJSON *operation = member(member(paths, template), methods[r->method]);
    if (operation == NULL) {
        fail_msg("%s %s is not in openapi.json", methods[r->method], template);
    }
    const cJSON *tags = member(operation, "tags");
    assert_int_equal(cJSON_GetArraySize(tags), 1);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetArrayItem(tags, 0)), tag_of(d));
    check_security(operation, r->auth, template);
}

static void test_every_route_is_documented(void **state)
{
    const cJSON *paths = member(*state, "paths");
    const struct dialect *d;
    size_t n = 0;
    for (size_t i = 0; (d = dialect_at(i)) != NULL; i++) {
        for (size_t r = 0; r < d->n_routes; r++, n++) {
            check_documented(paths, d, &d->routes[r]);
        }
    }
    assert_true(n > 0);
}

/* By the way a request takes: the dialect by how the path begins, then its table. */
static bool is_route(const char *template, const char *method)
{
    const struct dialect *d = dialect_of(span_str(template));
    for (size_t r = 0; r < d->n_routes; r++) {
        char path[TEMPLATE_CAP];
        to_openapi(path, d->routes[r].path);
        if (strcmp(path, template) == 0 && strcmp(methods[d->routes[r].method], method) == 0) {
            return true;
        }
    }
    return sio_http_serves(span_str(template)) &&
           (strcmp(method, "get") == 0 || strcmp(method, "post") == 0);
}

static void test_everything_documented_is_a_route(void **state)
{
    const cJSON *path;
    const cJSON *operation;
    size_t n_socketio = 0;
    cJSON_ArrayForEach(path, member(*state, "paths"))
    {
        cJSON_ArrayForEach(operation, path)
        {
            if (!is_route(path->string, operation->string)) {
                fail_msg("openapi.json has %s %s, which is no route", operation->string,
                         path->string);
            }
            n_socketio += sio_http_serves(span_str(path->string));
        }
    }
    assert_int_equal(n_socketio, 2);
}

static void test_a_token_is_the_rule(void **state)
{
    const cJSON *security = member(*state, "security");
    assert_int_equal(cJSON_GetArraySize(security), 4);
    assert_false(needs_no_token(security));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_route_is_documented),
        cmocka_unit_test(test_everything_documented_is_a_route),
        cmocka_unit_test(test_a_token_is_the_rule),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
