#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

#include "base/banned.h"

static void test_every_code_has_its_own_text(void **state)
{
    (void)state;
#define ROW(name, number, text) {name, text},
    static const struct {
        int code;
        const char *text;
    } all[] = {ERR_LIST(ROW)};
#undef ROW
    enum { N = sizeof all / sizeof all[0] };
    for (size_t i = 0; i < N; i++) {
        assert_in_range(-all[i].code, 1, ERR_N);
        assert_string_equal(err_text(all[i].code), all[i].text);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(all[i].code, all[j].code);
            assert_string_not_equal(all[i].text, all[j].text);
        }
    }
    assert_string_equal(err_text(0), "unknown error");
    assert_string_equal(err_text(-1000), "unknown error");
}

static void test_errno(void **state)
{
    (void)state;
    assert_int_equal(err_from_errno(EADDRINUSE), ERR_IN_USE);
    assert_int_equal(err_from_errno(ENOENT), ERR_NOT_FOUND);
    assert_int_equal(err_from_errno(EROFS), ERR_DENIED);
    assert_int_equal(err_from_errno(ENOSPC), ERR_NO_SPACE);
    assert_int_equal(err_from_errno(EMFILE), ERR_LIMIT);
    assert_int_equal(err_from_errno(EXDEV), ERR_SYSTEM);
}

/* Each of its own, and none that a file has as well. */
static void test_ends_of_connections(void **state)
{
    static const struct {
        int errno_value;
        int code;
    } all[] = {
        {ECONNRESET, ERR_RESET},   {ECONNREFUSED, ERR_REFUSED},   {ECONNABORTED, ERR_ABORTED},
        {EPIPE, ERR_BROKEN_PIPE},  {ENOTCONN, ERR_NOT_CONNECTED}, {EHOSTUNREACH, ERR_UNREACHABLE},
        {ENOBUFS, ERR_NO_BUFFERS}, {ENOMEM, ERR_NO_MEMORY},       {EPERM, ERR_NO_PRIVILEGE},
        {EACCES, ERR_DENIED},      {EADDRINUSE, ERR_IN_USE},      {EINVAL, ERR_INVALID},
        {ETIMEDOUT, ERR_TIMEOUT},  {ECANCELED, ERR_CANCELED},     {EXDEV, ERR_SYSTEM},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_int_equal(err_from_socket(all[i].errno_value), all[i].code);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(all[i].code, all[j].code);
        }
    }
    assert_int_equal(err_from_socket(ENETUNREACH), ERR_UNREACHABLE);
}

static void test_set_and_wrap(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(err_set(&e, ERR_LIMIT, "%d torrents", 7), ERR_LIMIT);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_int_equal(err_wrap(&e, "load %s", "state"), ERR_LIMIT);
    assert_string_equal(e.msg, "load state: 7 torrents");
    assert_int_equal(err_set_errno(&e, EACCES, "open %s", "x"), ERR_DENIED);
    assert_int_equal(e.code, ERR_DENIED);
    assert_string_equal(e.msg, "open x: Permission denied");
}

static void test_nobody_wants_the_text(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_LIMIT, "%d", 1), ERR_LIMIT);
    assert_int_equal(err_set_errno(NULL, ENOSPC, "%d", 1), ERR_NO_SPACE);
}

static void test_long_texts_are_cut(void **state)
{
    (void)state;
    struct err e;
    (void)err_set(&e, ERR_INVALID, "%*d", 1000, 1);
    assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
    (void)err_wrap(&e, "%s", "front");
    assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
    assert_memory_equal(e.msg, "front: ", 7);
    (void)err_set_errno(&e, EACCES, "%*d", 1000, 1);
    assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_has_its_own_text),
        cmocka_unit_test(test_errno),
        cmocka_unit_test(test_ends_of_connections),
        cmocka_unit_test(test_set_and_wrap),
        cmocka_unit_test(test_nobody_wants_the_text),
        cmocka_unit_test(test_long_texts_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
