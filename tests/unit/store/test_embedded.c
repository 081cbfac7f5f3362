#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/pg_fixture.h"

#include <pwd.h>
#include <sys/wait.h>

#include "base/banned.h"

static int setup(void **state)
{
    struct pg_fixture *f = malloc(sizeof *f);
    pg_fixture_init(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    pg_fixture_release(*state);
    free(*state);
    return 0;
}

/* For tests that leave a sound cluster behind: one for all of them, because initdb takes long. */
static int setup_shared(void **state)
{
    static struct pg_fixture shared;
    if (shared.dir[0] == '\0') {
        pg_fixture_init(&shared);
    }
    *state = &shared;
    return 0;
}

static int teardown_shared(void **state)
{
    pg_fixture_stop(*state);
    return 0;
}

static int teardown_last_shared(void **state)
{
    struct pg_fixture *f = *state;
    pg_fixture_release(f);
    return 0;
}

static char *path_of(const struct pg_fixture *f, const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
    return path;
}

static bool exists(const struct pg_fixture *f, const char *name)
{
    return access(path_of(f, name), F_OK) == 0;
}

static void write_file(const struct pg_fixture *f, const char *name, const char *text)
{
    FILE *file = fopen(path_of(f, name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void start(struct pg_fixture *f)
{
    if (pg_fixture_start(f) < 0) {
        fail_msg("%s", f->ready_error.msg);
    }
    assert_string_equal(pg_fixture_sql(embedded_url(f->em), "SELECT 41 + 1"), "42");
}

static void first_start_and_restart(void **state)
{
    struct pg_fixture *f = *state;
    struct stat st;
    start(f);
    (void)pg_fixture_sql(embedded_url(f->em), "CREATE TABLE kept AS SELECT 7 AS n");
    assert_true(exists(f, "postgres/rookery-cluster"));
    assert_false(exists(f, "postgres-new"));
    assert_int_equal(stat(path_of(f, "postgres"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_string_equal(pg_fixture_sql(embedded_url(f->em), "SHOW listen_addresses"), "");
    assert_string_equal(pg_fixture_sql(embedded_url(f->em), "SHOW server_encoding"), "UTF8");
    pg_fixture_stop(f);
    assert_false(exists(f, "postgres/postmaster.pid"));
    start(f);
    assert_string_equal(pg_fixture_sql(embedded_url(f->em), "SELECT n FROM kept"), "7");
}

/* Longer than any sun_path, under a folder that the user postgres cannot enter. */
static void deep_and_closed_folder(void **state)
{
    struct pg_fixture *f = *state;
    struct pg_fixture deep;
    char *old_wd = getcwd(NULL, 0);
    assert_int_equal(chmod(f->dir, 0700), 0);
    pg_fixture_init(&deep);
    pg_fixture_remove(deep.dir);
    assert_int_equal(chdir(f->dir), 0);
    char name[61];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (int i = 0; i < 4; i++) {
        assert_int_equal(mkdir(name, 0700), 0);
        assert_int_equal(chdir(name), 0);
    }
    (void)snprintf(deep.dir, sizeof deep.dir, ".");
    start(&deep);
    pg_fixture_stop(&deep);
    assert_int_equal(uv_loop_close(&deep.loop), 0);
    assert_int_equal(chdir(old_wd), 0);
    free(old_wd);
}

static void signal_ready(void *ctx, int status, const struct err *e)
{
    (void)e;
    if (write(*(int *)ctx, status == 0 ? "y" : "n", 1) != 1) {
        _exit(3);
    }
}

/* A server of its own in a process of its own, killed with SIGKILL once its database is ready. */
static void start_and_kill_server(struct pg_fixture *f)
{
    int ends[2];
    char answer = '?';
    assert_int_equal(pipe(ends), 0);
    pid_t server = fork();
    assert_true(server >= 0);
    if (server == 0) {
        uv_loop_t loop;
        struct embedded *em;
        struct err e;
        if (uv_loop_init(&loop) < 0 ||
            embedded_start(&em, &loop, f->dir, signal_ready, &ends[1], &e) < 0) {
            _exit(2);
        }
        (void)uv_run(&loop, UV_RUN_DEFAULT);
        _exit(0);
    }
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &answer, 1), 1);
    assert_int_equal(answer, 'y');
    (void)close(ends[0]);
    assert_int_equal(kill(server, SIGKILL), 0);
    assert_int_equal(waitpid(server, NULL, 0), server);
}

/* A zombie that nobody reaps has no working directory any more. */
static bool is_running(pid_t pid)
{
    char path[64], target[8];
    (void)snprintf(path, sizeof path, "/proc/%d/cwd", (int)pid);
    return readlink(path, target, sizeof target) >= 0;
}

static void server_killed_leaves_its_postmaster(void **state)
{
    struct pg_fixture *f = *state;
    start_and_kill_server(f);
    pid_t left = pg_fixture_postmaster(f);
    assert_true(left > 1);
    assert_true(is_running(left));
    start(f);
    assert_false(is_running(left));
    assert_int_not_equal(pg_fixture_postmaster(f), left);
}

static void server_and_postmaster_killed(void **state)
{
    struct pg_fixture *f = *state;
    start_and_kill_server(f);
    assert_int_equal(kill(pg_fixture_postmaster(f), SIGKILL), 0);
    start(f);
}

/* The pid file names a process that lives, but is no postgres: this test itself. */
static void pid_was_taken_by_another_process(void **state)
{
    struct pg_fixture *f = *state;
    char text[256];
    start(f);
    pg_fixture_stop(f);
    (void)snprintf(text, sizeof text, "%d\n/somewhere\n1\n5432\n/tmp\n\n 1 1\nready   \n",
                   (int)getppid());
    write_file(f, "postgres/postmaster.pid", text);
    write_file(f, "postgres/.s.PGSQL.5432.lock", text);
    start(f);
}

/* It names a postgres that lives, but of another cluster: that one is left alone. */
static void pid_was_taken_by_another_cluster(void **state)
{
    struct pg_fixture *f = *state;
    struct pg_fixture other;
    char text[256];
    start(f);
    pg_fixture_stop(f);
    pg_fixture_init(&other);
    start(&other);
    (void)snprintf(text, sizeof text, "%d\n/somewhere\n1\n5432\n/tmp\n\n 1 1\nready   \n",
                   (int)pg_fixture_postmaster(&other));
    write_file(f, "postgres/postmaster.pid", text);
    start(f);
    assert_string_equal(pg_fixture_sql(embedded_url(other.em), "SELECT 1"), "1");
    pg_fixture_release(&other);
}

static void garbage_in_the_pid_file(void **state)
{
    struct pg_fixture *f = *state;
    start(f);
    pg_fixture_stop(f);
    write_file(f, "postgres/postmaster.pid", "99999999999999999999 x");
    int status = pg_fixture_start(f);
    /* PostgreSQL refuses that by itself; what matters is one clear line. */
    if (status < 0) {
        assert_non_null(strstr(f->ready_error.msg, "postmaster.pid"));
        assert_null(strchr(f->ready_error.msg, '\n'));
    }
    pg_fixture_stop(f);
    (void)unlink(path_of(f, "postgres/postmaster.pid"));
}

static void foreign_directory_is_refused(void **state)
{
    struct pg_fixture *f = *state;
    assert_int_equal(mkdir(path_of(f, "postgres"), 0700), 0);
    write_file(f, "postgres/PG_VERSION", "15\n");
    assert_int_equal(pg_fixture_start(f), ERR_DENIED);
    assert_non_null(strstr(f->ready_error.msg, "was not made by Rookery"));
    assert_true(exists(f, "postgres/PG_VERSION"));
}

static void foreign_postgres_new_is_refused(void **state)
{
    struct pg_fixture *f = *state;
    assert_int_equal(mkdir(path_of(f, "postgres-new"), 0700), 0);
    write_file(f, "postgres-new/precious", "x");
    assert_int_equal(pg_fixture_start(f), ERR_DENIED);
    assert_true(exists(f, "postgres-new/precious"));
}

static void half_made_cluster_is_made_again(void **state)
{
    struct pg_fixture *f = *state;
    assert_int_equal(mkdir(path_of(f, "postgres-new"), 0700), 0);
    write_file(f, "postgres-new/rookery-cluster", "");
    assert_int_equal(mkdir(path_of(f, "postgres-new/cluster"), 0700), 0);
    assert_int_equal(mkdir(path_of(f, "postgres-new/cluster/base"), 0700), 0);
    write_file(f, "postgres-new/cluster/base/1", "half a table");
    assert_int_equal(symlink("/etc/passwd", path_of(f, "postgres-new/cluster/link")), 0);
    start(f);
    assert_false(exists(f, "postgres-new"));
    assert_int_equal(access("/etc/passwd", F_OK), 0);
}

static void not_a_folder(void **state)
{
    struct pg_fixture *f = *state;
    write_file(f, "postgres", "x");
    assert_int_equal(pg_fixture_start(f), ERR_DENIED);
}

static void version_that_is_not_installed(void **state)
{
    struct pg_fixture *f = *state;
    struct passwd *user = getpwnam("postgres");
    char *path = getenv("PATH") != NULL ? strdup(getenv("PATH")) : NULL;
    assert_int_equal(mkdir(path_of(f, "postgres"), 0700), 0);
    write_file(f, "postgres/rookery-cluster", "");
    write_file(f, "postgres/PG_VERSION", "8\n");
    if (geteuid() == 0) {
        assert_int_equal(chown(path_of(f, "postgres"), user->pw_uid, user->pw_gid), 0);
    }
    assert_int_equal(setenv("PATH", "/nowhere", 1), 0);
    assert_int_equal(pg_fixture_start(f), ERR_NOT_FOUND);
    assert_non_null(strstr(f->ready_error.msg, "apt-get install postgresql-8"));
    if (path != NULL) {
        assert_int_equal(setenv("PATH", path, 1), 0);
    }
    free(path);
}

/* A configuration that PostgreSQL does not take: tried a few times, then its own words. */
static void does_not_start(void **state)
{
    struct pg_fixture *f = *state;
    start(f);
    pg_fixture_stop(f);
    write_file(f, "postgres/postgresql.auto.conf", "shared_preload_libraries = 'no_such_thing'\n");
    assert_int_equal(pg_fixture_start(f), ERR_DATABASE);
    assert_non_null(strstr(f->ready_error.msg, "no_such_thing"));
}

static bool has_new_postmaster(void *ctx)
{
    struct pg_fixture *f = ctx;
    pid_t old = (pid_t)f->n_databases; /* see postmaster_dies */
    pid_t now = pg_fixture_postmaster(f);
    PGconn *pg;
    if (now == 0 || now == old) {
        return false;
    }
    pg = PQconnectdb(embedded_url(f->em));
    bool up = PQstatus(pg) == CONNECTION_OK;
    PQfinish(pg);
    return up;
}

static void postmaster_dies(void **state)
{
    struct pg_fixture *f = *state;
    start(f);
    pid_t old = pg_fixture_postmaster(f);
    f->n_databases = (unsigned)old;
    assert_int_equal(kill(old, SIGKILL), 0);
    pg_fixture_until(&f->loop, has_new_postmaster, f, "a new postmaster");
}

static void stopped_before_ready(void **state)
{
    struct pg_fixture *f = *state;
    struct err e;
    assert_int_equal(embedded_start(&f->em, &f->loop, f->dir, pg_fixture_on_ready, f, &e), 0);
    for (int turns = 0; turns < 3; turns++) { /* into initdb */
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    pg_fixture_stop(f);
    assert_true(f->ready);
    assert_int_equal(f->ready_status, ERR_CANCELED);
    start(f);
}

int main(void)
{
    static const struct log_sink silent = {.level = LOG_WARN, .write = pg_fixture_drop_line};
    struct log_sink sink = silent;
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define S(f) cmocka_unit_test_setup_teardown(f, setup_shared, teardown_shared)
    const struct CMUnitTest tests[] = {
        S(first_start_and_restart),
        S(server_killed_leaves_its_postmaster),
        S(server_and_postmaster_killed),
        S(pid_was_taken_by_another_process),
        S(pid_was_taken_by_another_cluster),
        S(postmaster_dies),
        S(garbage_in_the_pid_file),
        cmocka_unit_test_setup_teardown(does_not_start, setup_shared, teardown_last_shared),
        T(deep_and_closed_folder),
        T(foreign_directory_is_refused),
        T(foreign_postgres_new_is_refused),
        T(half_made_cluster_is_made_again),
        T(not_a_folder),
        T(version_that_is_not_installed),
        T(stopped_before_ready),
    };
#undef T
#undef S
    log_set_sink(&sink);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
