/* torrentflow_fixture.h: the API over real HTTP and a client that does what each test wants. Include
 * first, in one file of a program. */
#ifndef TESTS_API_TORRENTFLOW_FIXTURE_H
#define TESTS_API_TORRENTFLOW_FIXTURE_H

#include "unit/api/loop_thread.h"

#include "api/api.h"
#include "base/digest.h"
#include "base/mem.h"
#include "tracker/tracker.h"
#include "unit/api/fake_client.h"
#include "unit/api/fake_store.h"

static const char TOKEN[] = "the-token-of-the-tests";
#define HASH    "7b5e918f364908afab937ecdd84059dfb61102b7"
#define UNKNOWN "cccccccccccccccccccccccccccccccccccccccc"

enum { ANSWER_MAX = 1 << 20, MAX_BODY = 4096 };

struct fixture {
    struct world *world;
    struct api *api;
    struct tracker *tracker;
    struct store store;
    struct client client;
    struct config cfg;
    struct endpoint listen;
    struct endpoint_list no_listeners;
    struct api_token token;
    uint16_t port;
    char *answer; /* ANSWER_MAX bytes */
    const char *body;
    int status;
};

/* ---- the API ------------------------------------------------------------------------------- */

static inline void do_open(void *ctx)
{
    struct fixture *f = ctx;
    const struct tracker_cfg cfg = {.announce_interval_s = 1800,
                                    .peer_timeout_s = 3600,
                                    .max_numwant = 1,
                                    .max_scrape = 1,
                                    .max_torrents = 1,
                                    .max_peers = 1};
    const struct tracker_time now = {.mono_ms = 1, .unix_ms = 1700000000000};
    struct err e;
    f->tracker = tracker_new(&cfg, 1, now);
    const struct api_parts parts = {
        .cfg = &f->cfg,
        .store = &f->store,
        .persist = (struct persist *)(void *)&f->store,
        .client = &f->client,
        .tracker = f->tracker,
        .tracker_udp = &f->no_listeners,
        .tracker_http = &f->no_listeners,
        .version = "0.0.0",
    };
    f->cfg.api.listen = (struct endpoint_list){&f->listen, 1};
    f->cfg.api.tls_certificate = "";
    f->cfg.api.tls_key = "";
    f->cfg.tracker.tls_certificate = "";
    f->cfg.api.max_body = MAX_BODY;
    f->cfg.api.local_without_token = true;
    f->token.token = (char *)TOKEN;
    f->cfg.api.tokens = (struct token_list){&f->token, 1};
    fake_store_init(&f->store, &f->world->loop);
    fake_client_init(&f->client, &f->world->loop);
    if (api_open(&f->api, &f->world->loop, &parts, &e) == 0) {
        f->port = api_addresses(f->api)->at[0].port;
    }
    sem_post(&f->world->done);
}

static inline void on_client_closed(uv_handle_t *handle)
{
    struct fixture *f = container_of(handle, struct fixture, client.timer);
    sem_post(&f->world->done);
}

static inline void on_store_closed(uv_handle_t *handle)
{
    struct fixture *f = container_of(handle, struct fixture, store.timer);
    uv_close((uv_handle_t *)&f->client.timer, on_client_closed);
}

static inline void on_api_closed(void *ctx)
{
    struct fixture *f = ctx;
    fake_client_answer(&f->client); /* the client may answer when the API is gone */
    fake_client_answer(&f->client); /* ... a fetch, and then the add of what it brought */
    tracker_free(f->tracker);
    uv_close((uv_handle_t *)&f->store.timer, on_store_closed);
}

static inline void do_close(void *ctx)
{
    struct fixture *f = ctx;
    api_close(f->api, on_api_closed, f);
}

static inline struct fixture *start(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->world = *state;
    f->answer = malloc(ANSWER_MAX);
    assert_true(endpoint_parse(&f->listen, SPAN("127.0.0.1:0")));
    assert_true(hex_decode(f->client.hash.b, 20, SPAN(HASH)));
    order(f->world, do_open, f);
    assert_int_not_equal(f->port, 0);
    return f;
}

static inline void stop(struct fixture *f)
{
    order(f->world, do_close, f);
    free(f->answer);
    free(f);
}

/* ---- requests ------------------------------------------------------------------------------ */

/* Sends and reads to the end; headers each with its line end. */
static inline void send_raw(struct fixture *f, const char *request, const char *headers,
                            const char *body)
{
    static char text[3 * MAX_BODY];
    int fd = dial(f->port);
    (void)snprintf(text, sizeof text, "%s HTTP/1.0\r\n%scontent-length: %zu\r\n\r\n%s", request,
                   headers, strlen(body), body);
    put(fd, text);
    (void)get(fd, f->answer, ANSWER_MAX, NULL);
    close(fd);
    f->body = strstr(f->answer, "\r\n\r\n");
    assert_non_null(f->body);
    f->body += 4;
    assert_int_equal(sscanf(f->answer, "HTTP/1.%*d %d", &f->status), 1);
}

static inline void ask(struct fixture *f, const char *request, const char *headers,
                       const char *body, int status, const char *wanted)
{
    char all[1024];
    (void)snprintf(all, sizeof all, "host: 127.0.0.1:%u\r\n%s", f->port, headers);
    send_raw(f, request, all, body);
    if (f->status != status || strstr(f->body, wanted) == NULL) {
        fail_msg("%s %s\nwanted %d %s in: %s", request, body, status, wanted, f->answer);
    }
}

static inline void change(struct fixture *f, const char *request, int status, const char *wanted)
{
    ask(f, request, "", "", status, wanted);
}

static inline int setup(void **state)
{
    return digest_start() < 0 ? -1 : world_setup(state);
}

#endif
