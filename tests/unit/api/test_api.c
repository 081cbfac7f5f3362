/* The whole API over a real tracker core, a database that does what each test wants, and no client. */
#include "unit/api/loop_thread.h"

#include "api/api.h"
#include "base/digest.h"
#include "base/mem.h"
#include "tracker/tracker.h"
#include "unit/api/fake_client.h"
#include "unit/api/fake_store.h"

#include "base/banned.h"

static const char TOKEN[] = "the-token-of-the-tests";
static const char HASH[] = "7b5e918f364908afab937ecdd84059dfb61102b7";

/* ---- the API ----------------------------------------------------------------------------- */

struct fixture {
    struct world *world;
    struct api *api;
    struct tracker *tracker;
    struct store store;
    struct config cfg;
    struct endpoint listen;
    struct endpoint dead; /* a tracker listener that does not answer */
    struct endpoint_list udp;
    struct endpoint_list http;
    struct api_token token;
    char *origin;
    uint16_t port;
};

static void do_open(void *ctx)
{
    struct fixture *f = ctx;
    struct tracker_cfg cfg = {.mode = MODE_LISTED,
                              .announce_interval_s = 1800,
                              .peer_timeout_s = 3600,
                              .max_numwant = 100,
                              .max_scrape = 74,
                              .max_torrents = 1000,
                              .max_peers = 1000};
    struct tracker_time now = {.mono_ms = 1, .unix_ms = 1700000000000};
    struct api_parts parts = {.cfg = &f->cfg,
                              .store = &f->store,
                              .persist = (struct persist *)(void *)&f->store,
                              .tracker_udp = &f->udp,
                              .tracker_http = &f->http,
                              .version = "0.0.0"};
    struct err e;
    f->tracker = tracker_new(&cfg, 1, now);
    parts.tracker = f->tracker;
    f->cfg.api.listen = (struct endpoint_list){&f->listen, 1};
    f->cfg.api.tls_certificate = "";
    f->cfg.api.tls_key = "";
    f->cfg.tracker.tls_certificate = "";
    f->cfg.api.max_body = 4096;
    f->token.token = (char *)TOKEN;
    f->cfg.api.tokens = (struct token_list){&f->token, 1};
    f->origin = "https://ok.example";
    f->cfg.api.cors_origins = (struct string_list){&f->origin, 1};
    fake_store_init(&f->store, &f->world->loop);
    if (api_open(&f->api, &f->world->loop, &parts, &e) == 0) {
        f->port = api_addresses(f->api)->at[0].port;
    }
    sem_post(&f->world->done);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct fixture *f = container_of(handle, struct fixture, store.timer);
    sem_post(&f->world->done);
}

static void on_api_closed(void *ctx)
{
    struct fixture *f = ctx;
    fake_store_answer(&f->store); /* the database may answer when the API is gone */
    tracker_free(f->tracker);
    uv_close((uv_handle_t *)&f->store.timer, on_timer_closed);
}

static void do_close(void *ctx)
{
    struct fixture *f = ctx;
    api_close(f->api, on_api_closed, f);
}

static struct fixture *start(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->world = *state;
    f->store.n_changed = 1;
    assert_true(endpoint_parse(&f->listen, SPAN("127.0.0.1:0")));
    order(f->world, do_open, f);
    assert_int_not_equal(f->port, 0);
    return f;
}

static void stop(struct fixture *f)
{
    order(f->world, do_close, f);
    free(f);
}

/* One request on a connection of its own. rest: headers, each with its line end, and the body
 * behind an empty line. The answer must hold what. */
static void ask(struct fixture *f, const char *request, const char *rest, const char *what)
{
    char text[2048];
    char answer[65536];
    int fd = dial(f->port);
    (void)snprintf(text, sizeof text,
                   "%s HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: %s\r\n%s",
                   request, TOKEN, rest);
    put(fd, text);
    (void)get(fd, answer, sizeof answer, NULL);
    close(fd);
    if (strstr(answer, what) == NULL) {
        fail_msg("%s: wanted %s in: %s", request, what, answer);
    }
}

static struct infohash hash(void)
{
    struct infohash h;
    assert_true(hex_decode(h.b, sizeof h.b, span_str(HASH)));
    return h;
}

static void test_a_database_that_works(void **state)
{
    struct fixture *f = start(state);
    struct infohash h = hash();
    ask(f, "POST /api/whitelist/7b5e918f364908afab937ecdd84059dfb61102b7", "\r\n",
        "\r\n\r\n{\"status\":\"ok\"}");
    assert_true(tracker_whitelist_has(f->tracker, &h));
    ask(f, "GET /api/v1/whitelist", "\r\n", "[\"7b5e918f364908afab937ecdd84059dfb61102b7\"]");
    ask(f, "DELETE /api/v1/whitelist/PNPJDDZWJEEK7K4TP3G5QQCZ363BCAVX", "\r\n",
        "\r\n\r\n{\"status\":\"ok\"}");
    assert_false(tracker_whitelist_has(f->tracker, &h));
    ask(f, "POST /api/v1/whitelist",
        "content-type: text/plain\r\ncontent-length: 41\r\n\r\n"
        "7b5e918f364908afab937ecdd84059dfb61102b7\n",
        "{\"status\":\"ok\",\"added\":1,\"given\":1}");
    ask(f, "POST /api/key/60", "\r\n", "\"valid_until\":");
    assert_int_equal(tracker_key_count(f->tracker), 1);
    ask(f, "GET /api/keys/reload", "\r\n", "\r\n\r\n{\"status\":\"ok\"}");
    stop(f);
}

/* A change that the database does not take must change nothing, at once or later. */
static void test_a_database_that_fails(void **state)
{
    static const struct {
        const char *request;
        const char *seed; /* NULL: only v1 has it */
        const char *v1;
    } cases[] = {
        {"whitelist/7b5e918f364908afab937ecdd84059dfb61102b7", "failed to whitelist torrent",
         "failed to whitelist torrent: "},
        {"key/60", "failed to generate key", "failed to generate key: "},
    };
    static const struct {
        int code;
        int status;
    } failures[] = {{ERR_UNAVAILABLE, 503}, {ERR_LIMIT, 503},    {ERR_NO_SPACE, 503},
                    {ERR_TIMEOUT, 503},     {ERR_DATABASE, 500}, {ERR_EXISTS, 500}};
    struct fixture *f = start(state);
    struct infohash h = hash();
    for (size_t i = 0; i < 2 * (sizeof failures / sizeof failures[0]); i++) {
        int code = failures[i / 2].code;
        f->store.refuse = i % 2 == 0 ? code : 0;
        f->store.fail = i % 2 == 1 ? code : 0;
        for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
            char request[128];
            char want[128];
            (void)snprintf(request, sizeof request, "POST /api/%s", cases[c].request);
            (void)snprintf(want, sizeof want, "HTTP/1.1 %d ", failures[i / 2].status);
            ask(f, request, "\r\n", want);
            (void)snprintf(want, sizeof want, "{\"status\":\"err\",\"reason\":\"%s\"}",
                           cases[c].seed);
            ask(f, request, "\r\n", want);
            (void)snprintf(request, sizeof request, "POST /api/v1/%s", cases[c].request);
            (void)snprintf(want, sizeof want, "Unhandled rejection: Err { reason: \"%s",
                           cases[c].v1);
            ask(f, request, "\r\n", want);
            ask(f, request, "\r\n", "HTTP/1.1 500 ");
        }
        ask(f, "GET /api/whitelist/reload", "\r\n", "failed to reload whitelist");
    }
    assert_false(tracker_whitelist_has(f->tracker, &h));
    assert_int_equal(tracker_key_count(f->tracker), 0);
    stop(f);
}

static void test_a_key_that_is_not_there(void **state)
{
    struct fixture *f = start(state);
    f->store.n_changed = 0;
    ask(f, "DELETE /api/key/2cjvmxYTzG1ESiJBSAn5dxNornXB5CeD", "\r\n", "HTTP/1.1 404 ");
    ask(f, "DELETE /api/key/2cjvmxYTzG1ESiJBSAn5dxNornXB5CeD", "\r\n",
        "{\"status\":\"err\",\"reason\":\"failed to delete key\"}");
    ask(f, "DELETE /api/v1/key/2cjvmxYTzG1ESiJBSAn5dxNornXB5CeD", "\r\n",
        "Unhandled rejection: Err { reason: \"failed to delete key: ");
    stop(f);
}

/* The server goes while the database still owes its answer; the answer comes later. */
static void test_closed_before_the_database_answers(void **state)
{
    struct fixture *f = start(state);
    f->store.silent = true;
    int add = dial(f->port);
    int health = dial(f->port);
    char text[256];
    (void)snprintf(text, sizeof text, "POST /api/key/60?token=%s HTTP/1.1\r\nhost: x\r\n\r\n",
                   TOKEN);
    put(add, text);
    put(health, "GET /health_check HTTP/1.1\r\nhost: x\r\n\r\n");
    /* Both have arrived when a third on the same loop was answered. */
    while (f->store.n_pending < 2) {
        ask(f, "GET /api/stats", "\r\n", "HTTP/1.1 200 ");
    }
    stop(f);
    close(add);
    close(health);
}

static void test_health(void **state)
{
    struct fixture *f = start(state);
    ask(f, "GET /health_check", "\r\n", "{\"status\":\"Ok\"");
    stop(f);

    f = start(state);
    f->store.refuse = ERR_UNAVAILABLE;
    ask(f, "GET /health_check", "\r\n", "HTTP/1.1 503 ");
    ask(f, "GET /health_check", "\r\n",
        "{\"binding\":\"postgresql\",\"info\":\"database\",\"result\":{\"Err\":\"not available "
        "now\"}}");
    ask(f, "GET /api/health_check", "\r\n", "{\"status\":\"Ok\"}");
    stop(f);
}

static void test_health_of_dead_listeners(void **state)
{
    struct fixture *f = start(state);
    /* A port that was free a moment ago: nothing answers there, over TCP it refuses. */
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    struct endpoint any;
    assert_true(endpoint_parse(&any, SPAN("127.0.0.1:0")));
    assert_int_equal(bind(fd, (struct sockaddr *)&ss, endpoint_to_sockaddr(&any, &ss)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    assert_true(endpoint_from_sockaddr(&f->dead, (struct sockaddr *)&ss));
    f->udp = (struct endpoint_list){&f->dead, 1};
    f->http = (struct endpoint_list){&f->dead, 1};
    ask(f, "GET /health_check", "\r\n", "\"info\":\"HTTP tracker\",\"result\":{\"Err\":\"");
    ask(f, "GET /health_check", "\r\n", "\"info\":\"UDP tracker\",\"result\":{\"Err\":\"");
    close(fd);
    stop(f);
}

static void test_cors(void **state)
{
    struct fixture *f = start(state);
    int fd = dial(f->port);
    put(fd, "OPTIONS /api/stats HTTP/1.1\r\nhost: x\r\norigin: https://ok.example\r\n"
            "access-control-request-method: GET\r\n\r\n");
    expect(fd, "access-control-allow-methods: ");
    close(fd);
    fd = dial(f->port);
    put(fd, "OPTIONS /api/stats HTTP/1.1\r\nhost: x\r\norigin: https://ok.example.evil\r\n"
            "access-control-request-method: GET\r\nconnection: close\r\n\r\n");
    char text[4096];
    (void)get(fd, text, sizeof text, NULL);
    assert_non_null(strstr(text, "HTTP/1.1 401 "));
    assert_null(strstr(text, "access-control"));
    close(fd);
    ask(f, "GET /api/stats", "origin: https://ok.example\r\n\r\n",
        "access-control-allow-origin: https://ok.example\r\n");
    stop(f);
}

static void test_refusals(void **state)
{
    struct fixture *f = start(state);
    ask(f, "GET /api/stats", "authorization: x\r\n\r\n", "HTTP/1.1 200 "); /* the first counts */
    ask(f, "POST /api/v1/whitelist", "content-length: 5000\r\n\r\n", "HTTP/1.1 413 ");
    ask(f, "POST /api/v1/whitelist", "content-length: 5000\r\n\r\n", "larger than api.max_body");
    ask(f, "POST /api/key/1", "content-length: 5000\r\n\r\n",
        "{\"status\":\"err\",\"reason\":\"the body is larger");
    ask(f, "PUT /api/v1/keys", "\r\n", "allow: GET, HEAD, POST\r\n");
    ask(f, "GET /api/torrent/%00%ff%22", "\r\n",
        "{\"status\":\"err\",\"reason\":\"invalid info_hash");
    ask(f, "POST /torrents", "\r\n", "{\"detail\":\"the client is switched off\"}");
    ask(f, "GET /torrents/7b5e918f364908afab937ecdd84059dfb61102b7", "\r\n", "HTTP/1.1 503 ");
    ask(f, "GET /torrentsx", "\r\n", "\r\n\r\nnot found\n");
    ask(f, "GET /", "\r\n", "Rookery 0.0.0");
    ask(f, "GET /metrics", "\r\n", "rookery_database_up 1\n");
    stop(f);
}

static int setup(void **state)
{
    return digest_start() < 0 ? -1 : world_setup(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_database_that_works),
        cmocka_unit_test(test_a_database_that_fails),
        cmocka_unit_test(test_a_key_that_is_not_there),
        cmocka_unit_test(test_closed_before_the_database_answers),
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_health_of_dead_listeners),
        cmocka_unit_test(test_cors),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
