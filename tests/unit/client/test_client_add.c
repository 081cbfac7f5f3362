/* Adding to the client's shell: which files are wanted, where they go, and what is changed of that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rng.h"
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
    struct span priorities = SPAN("\4");
    const struct client_change ordered = {.set = TORRENT_SEQUENTIAL};
    const struct client_change chosen = {.priorities = &priorities};
    (void)state;
    (void)stored(sh, LINK "&so=1", SPAN(""));
    assert_int_equal(client_set_options(sh->client, &hash, &ordered, on_done, &a), 0);
    struct store_call call = store_take(sh, "options");
    assert_int_equal(call.n_priorities, 2);
    assert_int_equal(call.flags, TORRENT_PAUSED | TORRENT_SEQUENTIAL | TORRENT_REST_SKIPPED);
    store_give(&sh->store, &call, 0);
    assert_true(a.here && a.status == 0);

    assert_int_equal(client_set_options(sh->client, &hash, &chosen, on_done, &b), ERR_INVALID);
    priorities = SPAN("");
    assert_int_equal(client_set_options(sh->client, &hash, &chosen, on_done, &c), 0);
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

/* ---- changes at once -------------------------------------------------------------------------- */

/* The first "options", past the saves before it. */
static struct store_call take_options(struct shell *sh)
{
    store_wait(sh, "options");
    while (strcmp(sh->store.calls[0].what, "save") == 0) {
        store_answer(sh, "save", 0);
    }
    struct store_call call = store_take(sh, "options");
    for (size_t i = 0; i < sh->store.n_calls; i++) {
        assert_string_not_equal(sh->store.calls[i].what, "options"); /* one at a time */
    }
    return call;
}

static void begin_change(struct shell *sh, const struct client_change *change, struct answer *a)
{
    *a = (struct answer){.here = false};
    assert_int_equal(client_set_options(sh->client, &hash, change, on_done, a), 0);
    assert_false(a->here);
}

/* A change that asks for what there is, while one that asks for the contrary is being stored. */
static void test_the_last_of_two_changes_wins(void **state)
{
    struct shell *sh = shell_start();
    struct answer answers[5];
    const uint64_t none = 0, some = 5000, more = 7000;
    const struct client_change changes[] = {
        {.set = TORRENT_SEQUENTIAL, .clear = TORRENT_PAUSED, .max_down_bps = &some},
        {.clear = TORRENT_SEQUENTIAL},
        {.set = TORRENT_PAUSED},
        {.max_down_bps = &none},
        {.max_up_bps = &more},
    };
    static const struct {
        unsigned flags;
        uint64_t max_down_bps, max_up_bps;
    } wanted[] = {{TORRENT_SEQUENTIAL, 5000, 0},
                  {0, 5000, 0},
                  {TORRENT_PAUSED, 5000, 0},
                  {TORRENT_PAUSED, 0, 0},
                  {TORRENT_PAUSED, 0, 7000}};
    (void)state;
    (void)stored(sh, LINK, SPAN(""));
    for (size_t i = 0; i < 5; i++) {
        begin_change(sh, &changes[i], &answers[i]);
    }
    for (size_t i = 0; i < 5; i++) {
        struct store_call call = take_options(sh);
        assert_int_equal(call.flags, wanted[i].flags);
        assert_int_equal(call.max_down_bps, wanted[i].max_down_bps);
        assert_int_equal(call.max_up_bps, wanted[i].max_up_bps);
        assert_false(answers[i].here); /* not before it is stored */
        store_give(&sh->store, &call, 0);
        assert_true(answers[i].here && answers[i].status == 0);
    }
    struct client_options now;
    assert_int_equal(client_options_of(sh->client, &hash, &now), 0);
    assert_int_equal(now.flags, TORRENT_PAUSED);
    assert_true(now.max_down_bps == 0 && now.max_up_bps == 7000);
    shell_end(sh);
}

static void test_a_change_that_was_not_stored_changes_nothing(void **state)
{
    struct shell *sh = shell_start();
    struct answer a, b;
    const struct client_change on = {.set = TORRENT_SEQUENTIAL | TORRENT_SHARE_MODE};
    const struct client_change off = {.clear = TORRENT_SHARE_MODE, .set = TORRENT_SUPER_SEEDING};
    (void)state;
    (void)stored(sh, LINK, SPAN(""));
    begin_change(sh, &on, &a);
    begin_change(sh, &off, &b);
    struct store_call call = take_options(sh);
    store_give(&sh->store, &call, ERR_UNAVAILABLE);
    assert_true(a.here && a.status == ERR_UNAVAILABLE && !b.here);
    call = take_options(sh);
    assert_int_equal(call.flags, TORRENT_PAUSED | TORRENT_SUPER_SEEDING);
    store_give(&sh->store, &call, 0);
    assert_true(b.here && b.status == 0);
    struct client_options now;
    assert_int_equal(client_options_of(sh->client, &hash, &now), 0);
    assert_int_equal(now.flags, TORRENT_PAUSED | TORRENT_SUPER_SEEDING);
    shell_end(sh);
}

/* Each as if it were alone, on what the one before it has left. */
static void test_share_mode(void **state)
{
    enum { UPLOAD = TORRENT_UPLOAD_ONLY, SHARE = TORRENT_SHARE_MODE };
    static const struct {
        unsigned set, clear, after;
    } rows[] = {
        {SHARE, 0, SHARE | UPLOAD},
        {0, UPLOAD, SHARE | UPLOAD},
        {0, SHARE, 0},
        {0, SHARE, 0},
        {UPLOAD, 0, UPLOAD},
        {0, SHARE, UPLOAD},
        {SHARE, UPLOAD, SHARE | UPLOAD},
        {UPLOAD, SHARE, UPLOAD},
        {SHARE, SHARE, SHARE | UPLOAD},
        {UPLOAD, 0, SHARE | UPLOAD},
        {0, SHARE, 0},
    };
    enum { N = sizeof rows / sizeof rows[0] };
    struct shell *sh = shell_start();
    struct answer answers[N];
    (void)state;
    (void)stored(sh, LINK, SPAN(""));
    for (size_t i = 0; i < N; i++) {
        const struct client_change change = {.set = rows[i].set, .clear = rows[i].clear};
        begin_change(sh, &change, &answers[i]);
    }
    for (size_t i = 0; i < N; i++) {
        struct store_call call = take_options(sh);
        assert_int_equal(call.flags, TORRENT_PAUSED | rows[i].after);
        store_give(&sh->store, &call, 0);
        assert_true(answers[i].here && answers[i].status == 0);
    }
    shell_end(sh);
}

/* Any changes, at once or not: what is stored is what they come to one after the other. */
static void test_any_changes_at_once(void **state)
{
    enum { MANY = 400, AT_ONCE = 4 };
    static const unsigned bits[] = {TORRENT_PAUSED, TORRENT_SEQUENTIAL, TORRENT_SUPER_SEEDING,
                                    TORRENT_NO_PEX, TORRENT_AUTO_MANAGED};
    struct shell *sh = shell_start();
    struct answer answers[AT_ONCE];
    struct store_call model[AT_ONCE], last = {.flags = TORRENT_PAUSED};
    struct rng rng = {7};
    (void)state;
    (void)stored(sh, LINK, SPAN(""));
    for (int i = 0; i < MANY; i++) {
        size_t n = 1 + rng_below(&rng, AT_ONCE);
        for (size_t k = 0; k < n; k++) {
            uint64_t down = rng_below(&rng, 3), up = rng_below(&rng, 3);
            uint32_t peers = rng_below(&rng, 3);
            struct client_change change = {
                .max_down_bps = rng_below(&rng, 2) ? &down : NULL,
                .max_up_bps = rng_below(&rng, 2) ? &up : NULL,
                .max_peers = rng_below(&rng, 2) ? &peers : NULL,
            };
            unsigned bit = bits[rng_below(&rng, 5)];
            *(rng_below(&rng, 2) ? &change.set : &change.clear) = bit;
            begin_change(sh, &change, &answers[k]);
            last.flags = (last.flags & ~change.clear) | change.set;
            last.max_down_bps = change.max_down_bps ? down : last.max_down_bps;
            last.max_up_bps = change.max_up_bps ? up : last.max_up_bps;
            last.max_peers = change.max_peers ? peers : last.max_peers;
            model[k] = last;
        }
        for (size_t k = 0; k < n; k++) {
            struct store_call call = take_options(sh);
            assert_int_equal(call.flags, model[k].flags);
            assert_int_equal(call.max_down_bps, model[k].max_down_bps);
            assert_int_equal(call.max_up_bps, model[k].max_up_bps);
            assert_int_equal(call.max_peers, model[k].max_peers);
            store_give(&sh->store, &call, 0);
            assert_true(answers[k].here && answers[k].status == 0);
        }
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
        cmocka_unit_test(test_the_last_of_two_changes_wins),
        cmocka_unit_test(test_a_change_that_was_not_stored_changes_nothing),
        cmocka_unit_test(test_share_mode),
        cmocka_unit_test(test_any_changes_at_once),
        cmocka_unit_test(test_bad_save_paths),
        cmocka_unit_test(test_what_is_no_path),
        cmocka_unit_test(test_twice_at_once),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_left_out),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
