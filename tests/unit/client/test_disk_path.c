/* Which save paths may be used: those inside of the allowed folders, whatever links and dots say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/client/disk_fixture.h"

#include "base/banned.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct disk_fixture x;

static int try_path(const char *path, bool make, char *resolved, struct err *e)
{
    const char *const allowed[] = {"/nowhere at all", x.save_path};
    return disk_check_path(path, allowed, COUNT(allowed), make, resolved, e);
}

static void save_paths_stay_inside(void **state)
{
    static const struct {
        const char *path; /* below the allowed folder */
        int code;
    } rows[] = {
        {"", 0},
        {"sub", 0},
        {"sub/", 0},
        {"not/there/yet", 0},
        {"./not//there/./yet", 0},
        {"sub/../sub", 0},
        {"..", ERR_DENIED},
        {"../other", ERR_DENIED},
        {"../here2", ERR_DENIED}, /* begins with the same letters */
        {"sub/../../other", ERR_DENIED},
        {"gone/../sub", ERR_INVALID},
        {"gone/../../../etc", ERR_INVALID},
        {"out", ERR_DENIED}, /* a link */
        {"out/deeper", ERR_DENIED},
        {"in/deeper", 0},
        {"dangling", ERR_DENIED},
        {"dangling/", ERR_DENIED},
        {"dangling/deeper", ERR_DENIED},
        {"file", ERR_INVALID},
    };
    char resolved[PATH_MAX];
    struct err e;
    (void)state;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT(rows); i++) {
            char path[256];
            (void)snprintf(path, sizeof path, "%s/%s", x.save_path, rows[i].path);
            int code = try_path(path, round == 1, resolved, &e);
            if (code != rows[i].code) {
                fail_msg("%s: %d, %s", rows[i].path, code, code < 0 ? e.msg : "");
            }
            if (code == 0) {
                assert_true(strncmp(resolved, x.save_path, strlen(x.save_path)) == 0);
                assert_null(strstr(resolved, "/./"));
            }
            /* Only what was asked for is made. */
            struct stat st;
            bool there = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
            assert_true(code != 0 || round == 0 || there);
        }
    }
    assert_int_equal(try_path("relative", false, resolved, &e), ERR_INVALID);
    assert_int_equal(try_path("", false, resolved, &e), ERR_INVALID);
    assert_int_equal(try_path("/", false, resolved, &e), ERR_DENIED);
    assert_int_equal(disk_check_path(x.save_path, NULL, 0, false, resolved, &e), ERR_DENIED);
    assert_int_equal(
        disk_check_path(x.save_path, (const char *const[]){"/"}, 1, false, resolved, &e), 0);
    assert_string_equal(resolved, x.save_path);
    char *long_path = mem_array(PATH_MAX + 10, 1);
    memset(long_path, 'x', PATH_MAX + 9);
    long_path[0] = '/';
    long_path[PATH_MAX + 9] = '\0';
    assert_int_equal(try_path(long_path, false, resolved, &e), ERR_INVALID);
    free(long_path);
}

static int open_paths(void **state)
{
    char resolved[PATH_MAX];
    (void)state;
    fixture_open(&x);
    assert_int_equal(
        disk_check_path(x.save_path, (const char *const[]){x.dir}, 1, true, resolved, NULL), 0);
    assert_int_equal(mkdir(fixture_path(&x, "sub"), 0777), 0);
    assert_int_equal(mkdir(fixture_path(&x, "../other"), 0777), 0);
    assert_int_equal(mkdir(fixture_path(&x, "../here2"), 0777), 0);
    assert_int_equal(symlink("../other", fixture_path(&x, "out")), 0);
    assert_int_equal(symlink("sub", fixture_path(&x, "in")), 0);
    assert_int_equal(symlink("../../elsewhere", fixture_path(&x, "dangling")), 0);
    fixture_put(&x, "file", "text");
    return 0;
}

static int close_paths(void **state)
{
    (void)state;
    fixture_close(&x);
    return 0;
}

static int start(void **state)
{
    (void)state;
    return digest_start();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(save_paths_stay_inside, open_paths, close_paths),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
