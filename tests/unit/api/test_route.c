/* Paths to routes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/route.h"

#include "base/banned.h"

static void handle(struct call *c)
{
    (void)c;
}

static const struct route routes[] = {
    {HTTP_GET, "/", ROUTE_OPEN, handle},
    {HTTP_GET, "/api/list/:id", ROUTE_TOKEN, handle},
    {HTTP_GET, "/api/list/reload", ROUTE_TOKEN, handle},
    {HTTP_POST, "/api/list/:id", ROUTE_TOKEN, handle},
    {HTTP_DELETE, "/api/list/:id", ROUTE_TOKEN, handle},
    {HTTP_GET, "/api/list", ROUTE_TOKEN, handle},
    {HTTP_PUT, "/a/:x/b/:y", ROUTE_TOKEN, handle},
};

static enum route_result find(struct route_match *m, struct route_path *path,
                              enum http_method method, const char *text)
{
    assert_true(route_path_split(path, span_str(text)));
    return route_find(m, routes, sizeof routes / sizeof routes[0], method, path);
}

static void test_found(void **state)
{
    static const struct {
        enum http_method method;
        const char *path;
        size_t route;
        const char *param;
    } cases[] = {
        {HTTP_GET, "/", 0, NULL},
        {HTTP_GET, "/api/list/x", 1, "x"},
        {HTTP_GET, "/api/list/reload", 2, NULL},
        {HTTP_GET, "/api/list/%72eload", 2, NULL},
        {HTTP_GET, "/api/list/reloads", 1, "reloads"},
        {HTTP_POST, "/api/list/reload", 3, "reload"},
        {HTTP_DELETE, "/api/list/a%2Fb", 4, "a/b"},
        {HTTP_POST, "/api/list/%", 3, "%"},
        {HTTP_POST, "/api/list/%zz", 3, "%zz"},
        {HTTP_HEAD, "/api/list", 5, NULL},
        {HTTP_GET, "/api/list/", 5, NULL},
        {HTTP_GET, "/api/list/x/", 1, "x"},
        {HTTP_PUT, "/a/1/b/2", 6, "1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct route_match m;
        struct route_path path;
        assert_int_equal(find(&m, &path, cases[i].method, cases[i].path), ROUTE_FOUND);
        assert_ptr_equal(m.route, &routes[cases[i].route]);
        if (cases[i].param != NULL) {
            assert_true(span_eq(m.params[0], span_str(cases[i].param)));
        }
    }
}

static void test_not_found(void **state)
{
    static const char *const paths[] = {
        "/api",        "/api/lis",      "/api/listx",    "//api/list", "/api//list",
        "/api/list//", "/api/list/x/y", "/api/list/x//", "/a/1/b",     "/a//b/2"};
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct route_match m;
        struct route_path path;
        assert_int_equal(find(&m, &path, HTTP_GET, paths[i]), ROUTE_NO_PATH);
        assert_int_equal(find(&m, &path, HTTP_DELETE, paths[i]), ROUTE_NO_PATH);
    }
}

static void test_wrong_method_says_what_is_allowed(void **state)
{
    struct route_match m;
    struct route_path path;
    char allow[ROUTE_ALLOW_LEN];
    (void)state;
    assert_int_equal(find(&m, &path, HTTP_PUT, "/api/list/x"), ROUTE_NO_METHOD);
    route_allow_text(allow, m.allowed);
    assert_string_equal(allow, "GET, HEAD, POST, DELETE");
    /* A slash at the end makes no writing route: an empty variable in a script deletes nothing. */
    assert_int_equal(find(&m, &path, HTTP_DELETE, "/api/list/x/"), ROUTE_NO_PATH);
    assert_int_equal(find(&m, &path, HTTP_DELETE, "/api/list/"), ROUTE_NO_PATH);
    assert_int_equal(find(&m, &path, HTTP_OTHER, "/"), ROUTE_NO_METHOD);
    route_allow_text(allow, UINT32_MAX);
    assert_string_equal(allow, "GET, HEAD, POST, PUT, DELETE, OPTIONS");
}

/* A GET that changes something is for GET alone, at its very path. */
static void test_acting_routes(void **state)
{
    static const struct route acting[] = {
        {HTTP_GET, "/act", ROUTE_ACT, NULL},
        {HTTP_GET, "/both", ROUTE_ACT, NULL},
        {HTTP_GET, "/both/:what", ROUTE_TOKEN, NULL},
    };
    struct route_match m;
    struct route_path path;
    char allow[ROUTE_ALLOW_LEN];
    (void)state;
    assert_true(route_path_split(&path, SPAN("/act")));
    assert_int_equal(route_find(&m, acting, 3, HTTP_GET, &path), ROUTE_FOUND);
    assert_ptr_equal(m.route, &acting[0]);
    assert_int_equal(route_find(&m, acting, 3, HTTP_HEAD, &path), ROUTE_NO_METHOD);
    route_allow_text(allow, m.allowed);
    assert_string_equal(allow, "GET");
    assert_true(route_path_split(&path, SPAN("/act/")));
    assert_int_equal(route_find(&m, acting, 3, HTTP_GET, &path), ROUTE_NO_PATH);
    assert_int_equal(route_find(&m, acting, 3, HTTP_HEAD, &path), ROUTE_NO_PATH);
    assert_true(route_path_split(&path, SPAN("/both/x/")));
    assert_int_equal(route_find(&m, acting, 3, HTTP_HEAD, &path), ROUTE_FOUND);
    assert_ptr_equal(m.route, &acting[2]);
}

static void test_paths_that_cannot_be(void **state)
{
    static const char *const paths[] = {"", "api", "*", "/1/2/3/4/5/6/7/8/9"};
    struct route_path path;
    char big[ROUTE_PATH_MAX + 3];
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_false(route_path_split(&path, span_str(paths[i])));
    }
    memset(big, 'a', sizeof big);
    big[0] = '/';
    assert_true(route_path_split(&path, span_of(big, ROUTE_PATH_MAX + 1)));
    assert_false(route_path_split(&path, span_of(big, ROUTE_PATH_MAX + 2)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_not_found),
        cmocka_unit_test(test_wrong_method_says_what_is_allowed),
        cmocka_unit_test(test_acting_routes),
        cmocka_unit_test(test_paths_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
