/* client_shell.h: the client's shell on a real loop and real sockets, with a database that answers
 * when a test says so. In place of store; include in one file of a program, after cmocka.h. */
#ifndef TESTS_CLIENT_CLIENT_SHELL_H
#define TESTS_CLIENT_CLIENT_SHELL_H

#include <arpa/inet.h>
#include <ftw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uv.h>

#include "base/config.h"
#include "base/digest.h"
#include "client/client.h"
#include "store/torrents.h"

enum {
    SHELL_CALLS_MAX = 32,
    SHELL_PATIENCE_MS = 20000,
    SHELL_HASHES_MAX = 8,
    SHELL_FILES_MAX = 16
};

/* One call of the client, in the order they were made. */
struct store_call {
    const char *what; /* "add", "remove", "remove many", "options", "save", "info", "session",
                         "end session", "load" */
    store_done done;
    store_changed changed;
    store_session_done session_added;
    void *ctx;
    uint32_t session;
    uint16_t port_first, port_last;
    char text[64]; /* options of a session */
    struct infohash hashes[SHELL_HASHES_MAX];
    size_t n_hashes;
    unsigned flags; /* of "add" and "options", as what follows */
    uint64_t max_down_bps, max_up_bps;
    uint32_t max_peers;
    bool stop_pending;
    uint8_t priorities[SHELL_FILES_MAX];
    size_t n_priorities; /* also of more than that */
    struct store_torrents_load load;
};

struct store {
    int refuse; /* what each call returns at once */
    struct store_call calls[SHELL_CALLS_MAX];
    size_t n_calls;
    uint32_t last_session;
};

struct shell {
    uv_loop_t loop;
    struct config cfg;
    struct store store;
    struct client *client;
    char dir[64];
    bool closed;
    /* The own tracker's whitelist: the answer waits for a test when it is on. */
    bool lists;
    void (*listed)(void *ctx, int status);
    void *listed_ctx;
};

/* ---- the database -------------------------------------------------------------------------- */

static inline struct store_call *store_call_new(struct store *s, const char *what, void *ctx)
{
    assert_true(s->n_calls < SHELL_CALLS_MAX);
    struct store_call *call = &s->calls[s->n_calls];
    if (s->refuse < 0) {
        static struct store_call ignored;
        return &ignored;
    }
    s->n_calls++;
    *call = (struct store_call){.what = what, .ctx = ctx};
    return call;
}

static inline void store_call_options(struct store_call *call, const struct store_torrent *t)
{
    size_t n = t->priorities.n;
    call->flags = t->flags;
    call->max_down_bps = t->max_down_bps;
    call->max_up_bps = t->max_up_bps;
    call->max_peers = t->max_peers;
    call->stop_pending = t->stop_pending;
    call->n_priorities = n;
    if (n > 0) {
        memcpy(call->priorities, t->priorities.p, n < SHELL_FILES_MAX ? n : SHELL_FILES_MAX);
    }
}

int store_torrent_add(struct store *s, const struct store_torrent *t, store_done done, void *ctx)
{
    struct store_call *call = store_call_new(s, "add", ctx);
    call->done = done;
    call->session = t->session;
    call->hashes[0] = t->info_hash;
    call->n_hashes = 1;
    store_call_options(call, t);
    return s->refuse;
}

int store_torrent_remove(struct store *s, const struct infohash *hash, store_changed done,
                         void *ctx)
{
    struct store_call *call = store_call_new(s, "remove", ctx);
    call->changed = done;
    call->hashes[0] = *hash;
    call->n_hashes = 1;
    return s->refuse;
}

int store_torrents_remove(struct store *s, const struct infohash *hashes, size_t n,
                          store_changed done, void *ctx)
{
    struct store_call *call = store_call_new(s, "remove many", ctx);
    assert_true(n > 0 && n <= SHELL_HASHES_MAX);
    call->changed = done;
    memcpy(call->hashes, hashes, n * sizeof *hashes);
    call->n_hashes = n;
    return s->refuse;
}

int store_torrent_set_info(struct store *s, const struct infohash *hash, struct span info,
                           store_done done, void *ctx)
{
    (void)hash;
    (void)info;
    store_call_new(s, "info", ctx)->done = done;
    return s->refuse;
}

int store_torrent_set_options(struct store *s, const struct store_torrent *t, store_changed done,
                              void *ctx)
{
    struct store_call *call = store_call_new(s, "options", ctx);
    call->changed = done;
    store_call_options(call, t);
    return s->refuse;
}

int store_torrents_save(struct store *s, const struct store_torrent *torrents, size_t n,
                        store_done done, void *ctx)
{
    (void)torrents;
    (void)n;
    store_call_new(s, "save", ctx)->done = done;
    return s->refuse;
}

int store_session_add(struct store *s, const struct store_session *session, store_session_done done,
                      void *ctx)
{
    struct store_call *call = store_call_new(s, "session", ctx);
    call->session_added = done;
    call->port_first = session->port_first;
    call->port_last = session->port_last;
    assert_true(session->options.n < sizeof call->text);
    memcpy(call->text, session->options.p, session->options.n);
    return s->refuse;
}

int store_session_remove(struct store *s, uint32_t id, store_changed done, void *ctx)
{
    struct store_call *call = store_call_new(s, "end session", ctx);
    call->changed = done;
    call->session = id;
    return s->refuse;
}

int store_torrents_load(struct store *s, const struct store_torrents_load *load)
{
    store_call_new(s, "load", load->ctx)->load = *load;
    return s->refuse;
}

/* Takes the first call out; it must be this one. */
static inline struct store_call store_take(struct shell *sh, const char *what)
{
    struct store *s = &sh->store;
    if (s->n_calls == 0 || strcmp(s->calls[0].what, what) != 0) {
        fail_msg("wanted %s, there is %s", what, s->n_calls == 0 ? "nothing" : s->calls[0].what);
    }
    struct store_call call = s->calls[0];
    s->n_calls--;
    memmove(&s->calls[0], &s->calls[1], s->n_calls * sizeof s->calls[0]);
    return call;
}

static inline void store_give(struct store *s, const struct store_call *call, int status)
{
    struct err e = {status, "the text of the database"};
    const struct err *why = status < 0 ? &e : NULL;
    if (call->done != NULL) {
        call->done(call->ctx, status, why);
    } else if (call->changed != NULL) {
        call->changed(call->ctx, status, status < 0 ? 0 : 1, why);
    } else if (call->session_added != NULL) {
        call->session_added(call->ctx, status, status < 0 ? 0 : ++s->last_session, why);
    } else {
        call->load.done(call->load.ctx, status, why);
    }
}

/* Answers the first call, which must be this one. */
static inline void store_answer(struct shell *sh, const char *what, int status)
{
    struct store_call call = store_take(sh, what);
    store_give(&sh->store, &call, status);
}

void store_give_up(struct store *s)
{
    while (s->n_calls > 0) {
        struct store_call call = s->calls[0];
        s->n_calls--;
        memmove(&s->calls[0], &s->calls[1], s->n_calls * sizeof s->calls[0]);
        store_give(s, &call, ERR_CANCELED);
    }
}

/* ---- the client ---------------------------------------------------------------------------- */

static inline void shell_complain(void *ctx, const char *text)
{
    (void)ctx;
    fail_msg("%s", text);
}

static inline void shell_on_list(void *ctx, const struct infohash *hashes, size_t n,
                                 void (*listed)(void *listed_ctx, int status), void *listed_ctx)
{
    struct shell *sh = ctx;
    (void)hashes;
    (void)n;
    if (!sh->lists) {
        listed(listed_ctx, 0);
        return;
    }
    assert_null(sh->listed);
    sh->listed = listed;
    sh->listed_ctx = listed_ctx;
}

static inline void shell_list(struct shell *sh, int status)
{
    void (*listed)(void *ctx, int status) = sh->listed;
    sh->listed = NULL;
    listed(sh->listed_ctx, status);
}

/* Not loaded yet. listen: as in the configuration, without its brackets. */
static inline struct shell *shell_begin(const char *listen)
{
    static struct endpoint_list none;
    struct shell *sh = calloc(1, sizeof *sh);
    char yaml[512];
    struct err e;
    (void)snprintf(sh->dir, sizeof sh->dir, "/tmp/rookery-test-XXXXXX");
    assert_non_null(mkdtemp(sh->dir));
    (void)snprintf(yaml, sizeof yaml, "data_dir: %s\nclient:\n  listen: [%s]\n", sh->dir, listen);
    assert_int_equal(config_load(&sh->cfg, "a test", span_str(yaml), NULL, shell_complain, NULL),
                     0);
    assert_int_equal(uv_loop_init(&sh->loop), 0);
    const struct client_opts opts = {
        .cfg = &sh->cfg,
        .store = &sh->store,
        .version = "0.0.0",
        .own_list = shell_on_list,
        .own_ctx = sh,
        .own_udp = &none,
        .own_http = &none,
    };
    if (client_open(&sh->client, &sh->loop, &opts, &e) < 0) {
        fail_msg("%s", e.msg);
    }
    return sh;
}

static inline struct shell *shell_start(void)
{
    struct shell *sh = shell_begin("\"127.0.0.1:0\"");
    store_answer(sh, "load", 0);
    return sh;
}

static inline uint64_t shell_now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* The loop, until it is so; saves are answered as they come. */
static inline void shell_run(struct shell *sh, const bool *until)
{
    uint64_t begin_ms = shell_now_ms();
    while (!*until && shell_now_ms() < begin_ms + SHELL_PATIENCE_MS) {
        while (sh->store.n_calls > 0 && strcmp(sh->store.calls[0].what, "save") == 0) {
            store_answer(sh, "save", 0);
        }
        (void)uv_run(&sh->loop, UV_RUN_NOWAIT);
    }
    assert_true(*until);
}

/* The loop, until the client calls the database for it. */
static inline void store_wait(struct shell *sh, const char *what)
{
    uint64_t begin_ms = shell_now_ms();
    bool there = false;
    while (!there && shell_now_ms() < begin_ms + SHELL_PATIENCE_MS) {
        (void)uv_run(&sh->loop, UV_RUN_NOWAIT);
        for (size_t i = 0; i < sh->store.n_calls; i++) {
            there = there || strcmp(sh->store.calls[i].what, what) == 0;
        }
    }
    assert_true(there);
}

/* Some turns in which what can happen at once happens. */
static inline void shell_settle(struct shell *sh)
{
    for (int i = 0; i < 20; i++) {
        (void)uv_run(&sh->loop, UV_RUN_NOWAIT);
    }
}

static inline void shell_on_closed(void *ctx)
{
    struct shell *sh = ctx;
    sh->closed = true;
}

static inline int shell_unlink(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)st;
    (void)flag;
    (void)at;
    return remove(path);
}

/* What is under way with the database ends well or is given up by the client. */
static inline void shell_end(struct shell *sh)
{
    client_close(sh->client, shell_on_closed, sh);
    uint64_t begin_ms = shell_now_ms();
    while (!sh->closed && shell_now_ms() < begin_ms + SHELL_PATIENCE_MS) {
        if (sh->store.n_calls > 0) {
            store_answer(sh, sh->store.calls[0].what, 0);
        }
        if (sh->listed != NULL) {
            shell_list(sh, 0);
        }
        (void)uv_run(&sh->loop, UV_RUN_NOWAIT);
    }
    assert_true(sh->closed);
    assert_int_equal(uv_run(&sh->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&sh->loop), 0);
    config_release(&sh->cfg);
    assert_int_equal(nftw(sh->dir, shell_unlink, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(sh);
}

/* ---- ports --------------------------------------------------------------------------------- */

/* A socket of this machine's own with the port (0: any), or -1. */
static inline int port_take(int type, uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type, 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 ||
        (type == SOCK_STREAM && listen(fd, 1) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

static inline bool port_is_free(uint16_t port)
{
    int tcp = port_take(SOCK_STREAM, port);
    int udp = port_take(SOCK_DGRAM, port);
    if (tcp >= 0) {
        close(tcp);
    }
    if (udp >= 0) {
        close(udp);
    }
    return tcp >= 0 && udp >= 0;
}

/* The first of two neighbours that are free. */
static inline uint16_t port_pair(void)
{
    uint16_t port = (uint16_t)(12000 + getpid() % 8000);
    while (!port_is_free(port) || !port_is_free((uint16_t)(port + 1))) {
        port = (uint16_t)(port + 2);
    }
    return port;
}

#endif
