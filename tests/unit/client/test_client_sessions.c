/* Sessions of the client's shell: on real sockets, with a database that answers when it is told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "unit/client/client_shell.h"

#include "base/banned.h"

/* What a call was answered with. */
struct answer {
    bool here;
    int status;
    session_id id;
    bool existed;
    uint16_t watched; /* this port's state at the answer */
    bool was_free;
    struct shell *sh;
};

static void on_session(void *ctx, int status, session_id id, const struct err *e)
{
    struct answer *a = ctx;
    (void)e;
    assert_false(a->here);
    a->here = true;
    a->status = status;
    a->id = id;
}

static void on_torrent(void *ctx, int status, const struct infohash *hash, bool existed,
                       const struct err *e)
{
    struct answer *a = ctx;
    (void)hash;
    (void)e;
    assert_false(a->here);
    a->here = true;
    a->status = status;
    a->existed = existed;
}

static void on_done(void *ctx, int status)
{
    struct answer *a = ctx;
    assert_false(a->here);
    a->here = true;
    a->status = status;
    a->was_free = a->watched != 0 && port_is_free(a->watched);
}

static struct infohash hash_of(uint8_t n)
{
    struct infohash hash = {.b = {[19] = n}};
    return hash;
}

static void add_torrent(struct shell *sh, struct answer *a, session_id session, uint8_t n,
                        bool memory_only)
{
    char magnet[80] = "magnet:?xt=urn:btih:";
    struct infohash hash = hash_of(n);
    struct err e;
    hex_encode(magnet + strlen(magnet), span_of(hash.b, sizeof hash.b));
    const struct client_add add = {
        .session = session,
        .magnet = span_str(magnet),
        .flags = TORRENT_PAUSED,
        .memory_only = memory_only,
    };
    int status = client_add(sh->client, &add, on_torrent, a, &e);
    if (status < 0) {
        *a = (struct answer){.here = true, .status = status};
    }
}

static int try_session(struct shell *sh, struct answer *a, uint16_t first, uint16_t last,
                       bool memory_only)
{
    struct err e;
    const struct client_session_add add = {.port_first = first,
                                           .port_last = last,
                                           .memory_only = memory_only,
                                           .options = SPAN("{\"a\":1}")};
    return client_session_add(sh->client, &add, on_session, a, &e);
}

/* On any port. */
static session_id add_session(struct shell *sh, bool memory_only)
{
    struct answer a = {.here = false};
    assert_int_equal(try_session(sh, &a, 0, 0, memory_only), 0);
    assert_false(a.here);
    if (!memory_only) {
        store_answer(sh, "session", 0);
    }
    shell_run(sh, &a.here);
    assert_int_equal(a.status, 0);
    return a.id;
}

static void fill_session(struct shell *sh, session_id id, uint8_t n, bool memory_only)
{
    struct answer a = {.here = false};
    add_torrent(sh, &a, id, n, memory_only);
    assert_false(a.here);
    if (!memory_only) {
        store_wait(sh, "add");
        store_answer(sh, "add", 0);
    }
    shell_run(sh, &a.here);
    assert_int_equal(a.status, 0);
}

static uint16_t port_of(const struct shell *sh, session_id id)
{
    struct client_session s;
    assert_int_equal(client_session_of(sh->client, id, &s), 0);
    return s.port;
}

static size_t count_sessions(const struct shell *sh)
{
    struct client_session s;
    size_t n = 0;
    for (session_id id = 0; client_session_next(sh->client, id, &s); id = s.id) {
        n++;
    }
    return n;
}

static bool is_here(const struct shell *sh, uint8_t n)
{
    struct torrent_status status;
    struct infohash hash = hash_of(n);
    return client_status(sh->client, &hash, &status) == 0;
}

/* ---- adding -------------------------------------------------------------------------------- */

static uint64_t accepted(struct shell *sh, uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct engine_totals totals;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    shell_settle(sh);
    engine_totals(client_engine(sh->client), &totals);
    (void)close(fd);
    return totals.accepts;
}

/* It has no number before: the peer would be the default session's. */
static void test_peers_are_let_in_when_it_is_stored(void **state)
{
    struct shell *sh = shell_start();
    struct answer a = {.here = false};
    uint16_t port = port_pair();
    (void)state;
    assert_int_equal(try_session(sh, &a, port, port, false), 0);
    assert_int_equal(accepted(sh, port), 0);
    store_answer(sh, "session", 0);
    assert_int_equal(accepted(sh, port), 1);
    shell_end(sh);
}

static void test_add(void **state)
{
    struct shell *sh = shell_start();
    struct answer a = {.here = false};
    struct client_session s;
    uint16_t port = port_pair();
    (void)state;
    assert_int_equal(try_session(sh, &a, port, (uint16_t)(port + 1), false), 0);
    shell_settle(sh);
    assert_false(a.here); /* not before it is stored, and nobody sees it before */
    assert_int_equal(count_sessions(sh), 0);
    assert_false(port_is_free(port));
    struct store_call call = store_take(sh, "session");
    assert_int_equal(call.port_first, port);
    assert_int_equal(call.port_last, port + 1);
    assert_string_equal(call.text, "{\"a\":1}");
    store_give(&sh->store, &call, 0);
    assert_true(a.here && a.status == 0 && a.id == 1);
    assert_int_equal(client_session_of(sh->client, 1, &s), 0);
    assert_true(s.id == 1 && s.port == port && s.port_first == port && s.port_last == port + 1);
    assert_true(!s.memory_only && span_eq(s.options, SPAN("{\"a\":1}")));
    assert_int_equal(client_session_of(sh->client, 0, &s), ERR_NOT_FOUND);
    assert_int_equal(client_session_of(sh->client, 2, &s), ERR_NOT_FOUND);
    shell_end(sh);
    assert_true(port_is_free(port));
}

static void test_ports_that_are_taken(void **state)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    struct shell *sh = shell_start();
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct answer a = {.here = false}, none = {.here = false};
        uint16_t port = port_pair();
        int taken = port_take(types[i], port);
        assert_true(taken >= 0);
        assert_int_equal(try_session(sh, &a, port, (uint16_t)(port + 1), true), 0);
        shell_run(sh, &a.here);
        assert_int_equal(port_of(sh, a.id), port + 1);
        assert_int_equal(try_session(sh, &none, port, (uint16_t)(port + 1), true), ERR_IN_USE);
        shell_settle(sh);
        assert_false(none.here);
        close(taken);
        assert_true(port_is_free(port)); /* nothing of the tries is left */
    }
    shell_end(sh);
}

static void test_add_fails(void **state)
{
    struct shell *sh = shell_start();
    struct answer a = {.here = false}, b = {.here = false};
    uint16_t port = port_pair();
    (void)state;
    assert_int_equal(try_session(sh, &a, port, port, false), 0);
    store_answer(sh, "session", ERR_UNAVAILABLE);
    assert_true(a.here && a.status == ERR_UNAVAILABLE);
    sh->store.refuse = ERR_LIMIT;
    shell_settle(sh);
    assert_true(port_is_free(port));
    assert_int_equal(try_session(sh, &b, port, port, false), ERR_LIMIT);
    shell_settle(sh);
    assert_true(!b.here && port_is_free(port));
    assert_int_equal(count_sessions(sh), 0);
    sh->store.refuse = 0;
    shell_end(sh);
}

static void test_limit(void **state)
{
    struct shell *sh = shell_start();
    struct answer a = {.here = false};
    session_id first = 0;
    (void)state;
    for (int i = 0; i < CLIENT_SESSIONS_MAX; i++) {
        session_id id = add_session(sh, true);
        first = first == 0 ? id : first;
        assert_true(id >= 1 << 30);
    }
    assert_int_equal(try_session(sh, &a, 0, 0, true), ERR_LIMIT);
    assert_int_equal(client_session_remove(sh->client, first, false, on_done, &a), 0);
    shell_run(sh, &a.here);
    assert_int_equal(add_session(sh, true), first + CLIENT_SESSIONS_MAX); /* never used twice */
    assert_int_equal(sh->store.n_calls, 0);
    shell_end(sh);
}

static void test_all_hosts(void **state)
{
    struct shell *sh = shell_begin("\"127.0.0.1:0\", \"127.0.0.2:0\", \"127.0.0.1:0\"");
    (void)state;
    store_answer(sh, "load", 0);
    uint16_t port = port_of(sh, add_session(sh, true));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    for (uint32_t host = 1; host <= 2; host++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        at.sin_addr.s_addr = htonl((127U << 24) + host);
        assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
        close(fd);
    }
    shell_end(sh);
}

/* ---- torrents ------------------------------------------------------------------------------ */

static void test_torrents_of_a_session(void **state)
{
    struct shell *sh = shell_start();
    session_id one = add_session(sh, false), two = add_session(sh, true);
    struct client_facts facts;
    struct infohash hash = hash_of(4);
    (void)state;
    for (uint8_t n = 1; n <= 6; n++) {
        fill_session(sh, n % 2 == 0 ? one : two, n, n > 3);
    }
    torrent_id ids[4] = {0};
    size_t n = 0;
    for (torrent_id id = 0; (id = client_session_torrent(sh->client, one, id)) != 0;) {
        assert_true(n < 3 && (n == 0 || id > ids[n - 1]));
        ids[n++] = id;
    }
    assert_int_equal(n, 3);
    assert_int_equal(client_facts(sh->client, &hash, &facts), 0);
    assert_true(facts.memory_only);
    /* The one in the middle goes: the walk goes on behind it. */
    struct answer a = {.here = false};
    assert_int_equal(client_remove(sh->client, &hash, false, on_done, &a), 0);
    assert_false(a.here);
    shell_run(sh, &a.here);
    assert_int_equal(a.status, 0);
    assert_int_equal(client_session_torrent(sh->client, one, ids[0]), ids[2]);
    assert_int_equal(client_session_torrent(sh->client, one, ids[1]), ids[2]);
    assert_int_equal(client_session_torrent(sh->client, one, ids[2]), 0);
    assert_int_equal(client_session_torrent(sh->client, 99, 0), 0);
    assert_int_equal(sh->store.n_calls, 0);
    shell_end(sh);
}

static void test_a_session_that_is_none(void **state)
{
    struct shell *sh = shell_start();
    struct answer a = {.here = false}, b = {.here = false};
    (void)state;
    add_torrent(sh, &a, 7, 1, false);
    assert_true(a.here && a.status == ERR_NOT_FOUND);
    assert_int_equal(client_session_remove(sh->client, 7, false, on_done, &b), ERR_NOT_FOUND);
    assert_int_equal(client_session_remove(sh->client, 0, false, on_done, &b), ERR_NOT_FOUND);
    shell_settle(sh);
    assert_true(!b.here && sh->store.n_calls == 0);
    shell_end(sh);
}

/* Its row is the default session's: that is where it is found after a restart. */
static void test_stored_torrents_of_a_session_in_memory(void **state)
{
    struct shell *sh = shell_start();
    session_id id = add_session(sh, true);
    struct answer a = {.here = false}, b = {.here = false};
    (void)state;
    add_torrent(sh, &a, id, 1, false);
    store_wait(sh, "add");
    struct store_call call = store_take(sh, "add");
    assert_int_equal(call.session, 0);
    store_give(&sh->store, &call, 0);
    assert_true(a.here && a.status == 0);
    fill_session(sh, id, 2, true);
    assert_int_equal(client_session_remove(sh->client, id, false, on_done, &b), 0);
    call = store_take(sh, "remove many");
    struct infohash hash = hash_of(1);
    assert_int_equal(call.n_hashes, 1);
    assert_true(infohash_eq(&call.hashes[0], &hash));
    store_give(&sh->store, &call, 0);
    shell_run(sh, &b.here);
    assert_true(b.status == 0 && !is_here(sh, 1) && !is_here(sh, 2));
    shell_end(sh);
}

/* ---- removing ------------------------------------------------------------------------------ */

static void test_remove(void **state)
{
    (void)state;
    for (int memory_only = 0; memory_only < 2; memory_only++) {
        struct shell *sh = shell_start();
        session_id id = add_session(sh, memory_only), other = add_session(sh, memory_only);
        struct answer a = {.here = false}, again = {.here = false};
        fill_session(sh, id, 1, memory_only);
        fill_session(sh, id, 2, true);
        fill_session(sh, other, 3, memory_only);
        a.watched = port_of(sh, id);
        assert_int_equal(client_session_remove(sh->client, id, false, on_done, &a), 0);
        assert_int_equal(client_session_remove(sh->client, id, false, on_done, &again), 0);
        assert_true(is_here(sh, 1) && count_sessions(sh) == 2);
        if (!memory_only) {
            assert_int_equal(sh->store.calls[0].session, id);
            store_answer(sh, "end session", 0);
            store_answer(sh, "end session", 0);
        }
        shell_run(sh, &a.here);
        shell_run(sh, &again.here);
        assert_true(a.status == 0 && again.status == ERR_NOT_FOUND);
        assert_true(a.was_free); /* at the answer */
        assert_true(!is_here(sh, 1) && !is_here(sh, 2) && is_here(sh, 3));
        assert_int_equal(count_sessions(sh), 1);
        assert_int_equal(client_session_remove(sh->client, id, false, on_done, &a), ERR_NOT_FOUND);
        shell_end(sh);
    }
}

/* More than one turn ends: the last ones are there while the first ones go. */
static void test_remove_of_many(void **state)
{
    struct shell *sh = shell_start();
    session_id id = add_session(sh, true);
    struct answer a = {.here = false};
    (void)state;
    for (uint8_t n = 1; n <= 200; n++) {
        fill_session(sh, id, n, true);
    }
    assert_int_equal(client_session_remove(sh->client, id, false, on_done, &a), 0);
    while (is_here(sh, 1)) {
        (void)uv_run(&sh->loop, UV_RUN_NOWAIT);
    }
    assert_true(!is_here(sh, 1) && is_here(sh, 200) && !a.here);
    shell_run(sh, &a.here);
    assert_true(a.status == 0 && !is_here(sh, 200) && count_sessions(sh) == 0);
    /* The end of the client in the middle of it. */
    struct answer b = {.here = false};
    id = add_session(sh, true);
    for (uint8_t n = 1; n <= 200; n++) {
        fill_session(sh, id, n, true);
    }
    assert_int_equal(client_session_remove(sh->client, id, false, on_done, &b), 0);
    while (is_here(sh, 1)) {
        (void)uv_run(&sh->loop, UV_RUN_NOWAIT);
    }
    assert_false(b.here);
    shell_end(sh);
    assert_true(b.here);
}

static void test_remove_fails(void **state)
{
    struct shell *sh = shell_start();
    session_id id = add_session(sh, false);
    struct answer a = {.here = false}, none = {.here = false}, refused = {.here = false};
    (void)state;
    fill_session(sh, id, 1, false);
    sh->store.refuse = ERR_UNAVAILABLE;
    assert_int_equal(client_session_remove(sh->client, id, false, on_done, &none), ERR_UNAVAILABLE);
    sh->store.refuse = 0;
    assert_int_equal(client_session_remove(sh->client, id, false, on_done, &a), 0);
    add_torrent(sh, &refused, id, 2, false); /* nothing comes in behind it */
    assert_true(refused.here && refused.status == ERR_UNAVAILABLE);
    store_answer(sh, "end session", ERR_TIMEOUT);
    assert_true(a.here && a.status == ERR_TIMEOUT && !none.here);
    assert_true(is_here(sh, 1) && count_sessions(sh) == 1);
    fill_session(sh, id, 2, false); /* as before */
    shell_end(sh);
}

/* An add is under way when its session goes: it is refused, and the session waits for it. */
static void test_remove_during_an_add(void **state)
{
    struct shell *sh = shell_start();
    session_id id = add_session(sh, false);
    struct answer add = {.here = false}, end = {.here = false};
    (void)state;
    sh->lists = true;
    add_torrent(sh, &add, id, 1, false);
    store_wait(sh, "add");
    store_answer(sh, "add", 0);
    assert_non_null(sh->listed);
    assert_int_equal(client_session_remove(sh->client, id, false, on_done, &end), 0);
    store_answer(sh, "end session", 0);
    shell_settle(sh);
    assert_true(!add.here && !end.here);
    shell_list(sh, 0);
    assert_true(add.here && add.status == ERR_NOT_FOUND);
    shell_run(sh, &end.here);
    assert_true(end.status == 0 && !is_here(sh, 1) && count_sessions(sh) == 0);
    sh->lists = false;
    shell_end(sh);
}

/* A torrent is being removed when its session is, too: both are answered. */
static void test_remove_of_both(void **state)
{
    struct shell *sh = shell_start();
    session_id id = add_session(sh, false);
    struct answer torrent = {.here = false}, late = {.here = false}, end = {.here = false};
    struct infohash hash = hash_of(1), other = hash_of(2);
    (void)state;
    fill_session(sh, id, 1, false);
    fill_session(sh, id, 2, false);
    assert_int_equal(client_remove(sh->client, &hash, false, on_done, &torrent), 0);
    assert_int_equal(client_session_remove(sh->client, id, false, on_done, &end), 0);
    assert_int_equal(client_remove(sh->client, &other, false, on_done, &late), 0);
    store_answer(sh, "remove", 0);
    store_answer(sh, "end session", 0);
    store_answer(sh, "remove", 0);
    shell_run(sh, &torrent.here);
    shell_run(sh, &end.here);
    shell_run(sh, &late.here);
    assert_true(torrent.status == 0 && end.status == 0 && late.status == ERR_NOT_FOUND);
    shell_end(sh);
}

/* One with a file, which the disk lets go of in a turn of its own. */
static struct infohash add_file(struct shell *sh, struct answer *a)
{
    static const char text[] = "d4:infod6:lengthi5e4:name1:a12:piece lengthi16384e"
                               "6:pieces20:01234567890123456789ee";
    const struct client_add add = {.metainfo = span_str(text), .flags = TORRENT_PAUSED};
    struct infohash hash;
    struct err e;
    digest_sha1(hash.b,
                span_sub(add.metainfo, strlen("d4:info"), strlen(text) - strlen("d4:infoe")));
    assert_int_equal(client_add(sh->client, &add, on_torrent, a, &e), 0);
    assert_false(a->here);
    return hash;
}

/* It is out of the database, and not yet out of the engine. */
static void begin_removal(struct shell *sh, struct answer *gone)
{
    struct answer a = {.here = false};
    struct infohash hash = add_file(sh, &a);
    store_wait(sh, "add");
    store_answer(sh, "add", 0);
    shell_run(sh, &a.here);
    assert_int_equal(client_remove(sh->client, &hash, false, on_done, gone), 0);
    store_answer(sh, "remove", 0);
    assert_false(gone->here);
}

/* Adds of what is being removed wait for the end of that: the first adds it, the other finds it. */
static void test_adds_during_a_removal(void **state)
{
    struct shell *sh = shell_start();
    struct answer gone = {.here = false}, first = {.here = false}, second = {.here = false};
    (void)state;
    begin_removal(sh, &gone);
    (void)add_file(sh, &first);
    (void)add_file(sh, &second);
    assert_int_equal(sh->store.n_calls, 0);
    shell_run(sh, &gone.here);
    store_wait(sh, "add");
    assert_true(gone.status == 0 && !first.here && !second.here);
    store_answer(sh, "add", 0);
    shell_run(sh, &second.here);
    assert_true(first.here && first.status == 0 && !first.existed);
    assert_true(second.here && second.status == 0 && second.existed);
    shell_end(sh);
}

static void test_close_with_an_add_during_a_removal(void **state)
{
    struct shell *sh = shell_start();
    struct answer gone = {.here = false}, add = {.here = false};
    (void)state;
    begin_removal(sh, &gone);
    (void)add_file(sh, &add);
    shell_end(sh);
    assert_true(gone.here && gone.status == 0);
    assert_true(add.here && add.status == ERR_CANCELED);
}

/* ---- loading and closing ------------------------------------------------------------------- */

static void test_load(void **state)
{
    struct shell *sh = shell_begin("\"127.0.0.1:0\"");
    struct answer a = {.here = false};
    struct client_session s;
    uint16_t port = port_pair();
    int taken = port_take(SOCK_STREAM, port);
    (void)state;
    assert_true(client_is_loading(sh->client));
    assert_int_equal(try_session(sh, &a, 0, 0, true), ERR_UNAVAILABLE);
    assert_int_equal(client_session_of(sh->client, 3, &s), ERR_UNAVAILABLE);
    struct store_call call = store_take(sh, "load");
    const struct store_session rows[] = {
        {.id = 3, .port_first = port, .port_last = (uint16_t)(port + 1), .options = SPAN("{}")},
        {.id = 5, .port_first = port, .port_last = port, .options = SPAN("{\"b\":2}")},
        {.id = 9},
    };
    for (size_t i = 0; i < 3; i++) {
        call.load.on_session(call.load.ctx, &rows[i]);
    }
    assert_int_equal(client_session_remove(sh->client, 3, false, on_done, &a), ERR_UNAVAILABLE);
    const struct store_torrent torrent = {.info_hash = hash_of(1),
                                          .session = 5,
                                          .save_path = span_str(sh->dir),
                                          .flags = TORRENT_PAUSED};
    call.load.on_torrent(call.load.ctx, &torrent);
    store_give(&sh->store, &call, 0);
    assert_false(client_is_loading(sh->client));
    assert_int_equal(port_of(sh, 3), port + 1);
    assert_int_equal(port_of(sh, 5), 0); /* taken: it is there all the same */
    assert_int_not_equal(port_of(sh, 9), 0);
    assert_int_equal(client_session_of(sh->client, 5, &s), 0);
    assert_true(span_eq(s.options, SPAN("{\"b\":2}")) && !s.memory_only);
    assert_int_not_equal(client_session_torrent(sh->client, 5, 0), 0);
    /* Without a port it goes like any other. */
    assert_int_equal(client_session_remove(sh->client, 5, false, on_done, &a), 0);
    store_answer(sh, "end session", 0);
    shell_run(sh, &a.here);
    assert_true(a.status == 0 && !is_here(sh, 1) && count_sessions(sh) == 2);
    close(taken);
    shell_end(sh);
}

/* The end comes at every stage of a life; whoever asked is answered. */
static void test_close(void **state)
{
    (void)state;
    for (int stage = 0; stage < 6; stage++) {
        struct shell *sh = shell_start();
        struct answer a = {.here = true}, end = {.here = true};
        if (stage < 2) {
            a.here = false;
            assert_int_equal(try_session(sh, &a, 0, 0, stage == 1), 0);
        } else {
            session_id id = add_session(sh, stage == 3);
            fill_session(sh, id, 1, stage == 3);
            if (stage > 2) {
                end.here = false;
                assert_int_equal(client_session_remove(sh->client, id, false, on_done, &end), 0);
            }
            if (stage == 5) {
                store_answer(sh, "end session", 0);
            }
        }
        shell_end(sh);
        assert_true(a.here && end.here);
    }
}

static int setup(void **state)
{
    (void)state;
    return digest_start();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peers_are_let_in_when_it_is_stored),
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_ports_that_are_taken),
        cmocka_unit_test(test_add_fails),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_all_hosts),
        cmocka_unit_test(test_torrents_of_a_session),
        cmocka_unit_test(test_a_session_that_is_none),
        cmocka_unit_test(test_stored_torrents_of_a_session_in_memory),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_remove_of_many),
        cmocka_unit_test(test_remove_fails),
        cmocka_unit_test(test_remove_during_an_add),
        cmocka_unit_test(test_remove_of_both),
        cmocka_unit_test(test_adds_during_a_removal),
        cmocka_unit_test(test_close_with_an_add_during_a_removal),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_close),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
