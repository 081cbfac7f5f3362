/* Adding to the client's shell: which files are wanted, and where they go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "client/picker.h"
#include "proto/metainfo.h"
#include "unit/client/client_shell.h"

#include "base/banned.h"

#define LINK "magnet:?xt=urn:btih:000000000000000000000000000000000000000a"

static const struct infohash hash = {.b = {[19] = 10}};

struct answer {
    bool here;
    int status;
    struct err err;
    bool existed;
};

static void on_added(void *ctx, int status, const struct infohash *of, bool existed,
                     const struct err *e)
{
    struct answer *a = ctx;
    assert_false(a->here);
    assert_true(infohash_eq(of, &hash));
    *a = (struct answer){.here = true, .status = status, .existed = existed};
    if (e != NULL) {
        a->err = *e;
    }
}

static void on_done(void *ctx, int status)
{
    struct answer *a = ctx;
    assert_false(a->here);
    *a = (struct answer){.here = true, .status = status};
}

static void begin(struct shell *sh, struct answer *a, const char *link, const char *save_path,
                  struct span priorities)
{
    struct err e;
    const struct client_add add = {
        .magnet = span_str(link),
        .save_path = span_str(save_path),
        .priorities = priorities,
        .flags = TORRENT_PAUSED,
    };
    assert_int_equal(client_add(sh->client, &add, on_added, a, &e), 0);
    assert_false(a->here);
}

/* What is stored of it. */
static struct store_call stored(struct shell *sh, const char *link, struct span priorities)
{
    struct answer a = {.here = false};
    begin(sh, &a, link, "", priorities);
    store_wait(sh, "add");
    struct store_call call = store_take(sh, "add");
    store_give(&sh->store, &call, 0);
    assert_true(a.here && a.status == 0);
    return call;
}

/* ---- which files ---------------------------------------------------------------------------- */

static void test_named_files(void **state)
{
    static const struct {
        const char *link;
        struct span asked;
        struct span want;
        bool rest_skipped;
    } rows[] = {
        {LINK, SPAN(""), SPAN(""), false},
        {LINK "&so=0,2", SPAN(""), SPAN("\4\0\4"), true},
        {LINK "&so=1-2,4,4", SPAN(""), SPAN("\0\4\4\0\4"), true},
        {LINK "&so=3,0-1,0", SPAN(""), SPAN("\4\4\0\4"), true},
        {LINK "&so=1,500000", SPAN(""), SPAN("\0\4"), true}, /* no torrent has as many */
        {LINK "&so=4294967295", SPAN(""), SPAN(""), false},
        {LINK "&so=0,2", SPAN("\0\7"), SPAN("\0\7"), false}, /* that is asked for by somebody */
        {LINK, SPAN("\0\7"), SPAN("\0\7"), false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct shell *sh = shell_start();
        struct store_call call = stored(sh, rows[i].link, rows[i].asked);
        assert_true(span_eq(span_of(call.priorities, call.n_priorities), rows[i].want));
        assert_int_equal((call.flags & TORRENT_REST_SKIPPED) != 0, rows[i].rest_skipped);
        assert_true(call.flags & TORRENT_PAUSED);
        struct client_options now;
        assert_int_equal(client_options_of(sh->client, &hash, &now), 0);
        assert_true(span_eq(now.priorities, rows[i].want));
        shell_end(sh);
    }
}

static void test_all_files_that_there_can_be(void **state)
{
    struct shell *sh = shell_start();
    (void)state;
    struct store_call call = stored(sh, LINK "&so=2-4294967295", SPAN(""));
    assert_int_equal(call.n_priorities, metainfo_limits_default.files_max);
    assert_memory_equal(call.priorities, "\0\0\4\4", 4);
    shell_end(sh);
}

/* Before the metadata is there: other options leave it alone, "all files" ends it. */
static void test_options_of_named_files(void **state)
{
    struct shell *sh = shell_start();
    struct answer a = {.here = false}, b = {.here = false}, c = {.here = false};
    struct client_options now;
    (void)state;
    (void)stored(sh, LINK "&so=1", SPAN(""));
    assert_int_equal(client_options_of(sh->client, &hash, &now), 0);
    now.flags |= TORRENT_SEQUENTIAL;
    assert_int_equal(client_set_options(sh->client, &hash, &now, on_done, &a), 0);
    struct store_call call = store_take(sh, "options");
    assert_int_equal(call.n_priorities, 2);
    assert_int_equal(call.flags, TORRENT_PAUSED | TORRENT_SEQUENTIAL | TORRENT_REST_SKIPPED);
    store_give(&sh->store, &call, 0);
    assert_true(a.here && a.status == 0);

    now.priorities = SPAN("\4");
    assert_int_equal(client_set_options(sh->client, &hash, &now, on_done, &b), ERR_INVALID);
    now.priorities = SPAN("");
    assert_int_equal(client_set_options(sh->client, &hash, &now, on_done, &c), 0);
    call = store_take(sh, "options");
    assert_int_equal(call.n_priorities, 0);
    assert_int_equal(call.flags, TORRENT_PAUSED | TORRENT_SEQUENTIAL);
    store_give(&sh->store, &call, 0);
    assert_true(c.here && c.status == 0 && !b.here);
    assert_int_equal(client_options_of(sh->client, &hash, &now), 0);
    assert_int_equal(now.priorities.n, 0);
    shell_end(sh);
}

/* What a kill behind the answer to a pause finds. */
static void test_a_pause_owes_a_stopped(void **state)
{
    struct shell *sh = shell_start();
    static const struct {
        bool paused, owes;
    } rows[] = {{false, false}, {true, true}, {true, false}, {false, false}};
    (void)state;
    (void)stored(sh, LINK, SPAN(""));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer a = {.here = false};
        assert_int_equal(client_set_paused(sh->client, &hash, rows[i].paused, on_done, &a), 0);
        store_wait(sh, "options");
        while (strcmp(sh->store.calls[0].what, "save") == 0) {
            store_answer(sh, "save", 0);
        }
        struct store_call call = store_take(sh, "options");
        assert_int_equal(call.stop_pending, rows[i].owes);
        store_give(&sh->store, &call, 0);
        assert_true(a.here && a.status == 0);
    }
    shell_end(sh);
}

/* ---- save path ------------------------------------------------------------------------------ */

static void make_file(const struct shell *sh, const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", sh->dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
}

static void test_bad_save_paths(void **state)
{
    static const struct {
        const char *path;
        int status;
        const char *why;
    } rows[] = {
        {"/", ERR_DENIED, "/: is outside of the allowed folders"},
        {"../elsewhere", ERR_DENIED, "is outside of the allowed folders"},
        {"none/../..", ERR_INVALID, "goes up from a folder that is not there"},
        {"../downloads/file", ERR_INVALID, "is not a folder"},
        {"file/folder", ERR_INVALID, "Not a directory"},
    };
    (void)state;
    for (int loading = 0; loading < 2; loading++) {
        struct shell *sh = loading ? shell_begin("\"127.0.0.1:0\"") : shell_start();
        make_file(sh, "downloads/file");
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            struct answer a = {.here = false};
            begin(sh, &a, LINK, rows[i].path, SPAN(""));
            shell_run(sh, &a.here);
            assert_int_equal(a.status, rows[i].status);
            assert_int_equal(a.err.code, rows[i].status);
            assert_non_null(strstr(a.err.msg, rows[i].why));
        }
        assert_int_equal(sh->store.n_calls, loading); /* but for the load nothing was asked for */
        shell_end(sh);
    }
}

static void test_what_is_no_path(void **state)
{
    struct shell *sh = shell_start();
    char long_path[PATH_MAX + 8];
    struct err e;
    (void)state;
    memset(long_path, 'a', sizeof long_path);
    const struct span paths[] = {SPAN("a\0b"), span_of((uint8_t *)long_path, sizeof long_path),
                                 span_of((uint8_t *)long_path, PATH_MAX - 4)};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        const struct client_add add = {.magnet = SPAN(LINK), .save_path = paths[i]};
        assert_int_equal(client_add(sh->client, &add, on_added, NULL, &e), ERR_INVALID);
        assert_string_equal(e.msg, i == 0 ? "save path has a NUL byte" : "save path is too long");
    }
    shell_end(sh);
}

/* Two adds of a torrent whose paths are looked at by two threads: one adds it. */
static void test_twice_at_once(void **state)
{
    struct shell *sh = shell_start();
    struct answer a = {.here = false}, b = {.here = false};
    (void)state;
    begin(sh, &a, LINK, "one", SPAN(""));
    begin(sh, &b, LINK, "two", SPAN(""));
    store_wait(sh, "add");
    shell_settle(sh);
    store_answer(sh, "add", 0);
    shell_run(sh, &a.here);
    shell_run(sh, &b.here);
    assert_true(a.status == 0 && b.status == 0 && a.existed != b.existed);
    assert_int_equal(sh->store.n_calls, 0);
    shell_end(sh);
}

/* The end comes while a thread looks at the path, or while the torrents are loaded. */
static void test_close(void **state)
{
    (void)state;
    for (int loading = 0; loading < 2; loading++) {
        struct shell *sh = loading ? shell_begin("\"127.0.0.1:0\"") : shell_start();
        struct answer a = {.here = false};
        begin(sh, &a, LINK, "", SPAN(""));
        shell_end(sh);
        assert_true(a.here && a.status == ERR_CANCELED);
    }
}

/* ---- what is stored and of no use ------------------------------------------------------------ */

static void try_to_add(struct shell *sh, struct answer *a)
{
    begin(sh, a, LINK, "", SPAN(""));
    shell_run(sh, &a->here);
}

/* Told once, though the load is begun again; the row is nobody's to add. */
static void test_left_out(void **state)
{
    static const struct infohash other = {.b = {[19] = 11}}, third = {.b = {[19] = 12}};
    struct shell *sh = shell_begin("\"127.0.0.1:0\"");
    struct torrent_status status;
    struct answer a = {.here = false};
    const struct store_torrent good = {.info_hash = third, .save_path = span_str(sh->dir)};
    const struct store_torrent bad = {
        .info_hash = other, .save_path = span_str(sh->dir), .info = SPAN("le")};
    (void)state;
    for (int i = 0; i < 2; i++) {
        store_wait(sh, "load");
        struct store_call call = store_take(sh, "load");
        call.load.on_unreadable(call.load.ctx, &hash, "it is odd");
        call.load.on_torrent(call.load.ctx, &bad);
        call.load.on_torrent(call.load.ctx, &good);
        store_give(&sh->store, &call, i == 0 ? ERR_UNAVAILABLE : 0);
        assert_int_equal(client_count_left_out(sh->client), 2);
    }
    assert_int_equal(client_status(sh->client, &hash, &status), ERR_NOT_FOUND);
    assert_int_equal(client_status(sh->client, &other, &status), ERR_NOT_FOUND);
    assert_int_equal(client_status(sh->client, &third, &status), 0);
    try_to_add(sh, &a);
    assert_int_equal(a.status, ERR_DATABASE);
    assert_string_equal(a.err.msg, "what is stored of it cannot be used: the log says why");
    assert_int_equal(sh->store.n_calls, 0);
    shell_end(sh);
}

static int setup(void **state)
{
    (void)state;
    return digest_start();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_named_files),
        cmocka_unit_test(test_all_files_that_there_can_be),
        cmocka_unit_test(test_options_of_named_files),
        cmocka_unit_test(test_a_pause_owes_a_stopped),
        cmocka_unit_test(test_bad_save_paths),
        cmocka_unit_test(test_what_is_no_path),
        cmocka_unit_test(test_twice_at_once),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_left_out),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
