/* The RestTorrent API over HTTP, with a client that does what each test wants: what is asked of it,
 * and what each of its answers becomes. */
#include "unit/api/torrentflow_fixture.h"

#include "api/resttorrent_ops.h"

#include "base/banned.h"

#define KEY     "849c5f68b6ef41b8ab3e4218edaf5dae"
#define SESSION "/v1/sessions/" KEY
#define TORRENT SESSION "/torrents/" HASH
#define FORM    "content-type: application/x-www-form-urlencoded\r\n"
#define JSON    "content-type: application/json\r\n"
#define MAGNET  "magnet=magnet:?x"

#define FAILED(code, message)                                                                      \
    "{\"status\":\"fail\",\"message\":\"" message "\",\"error\":{\"code\":\"" code                 \
    "\",\"message\":\"" message "\"}}"
#define TEXT "the text of the client"

static struct fixture *start_with(void **state, bool torrent)
{
    struct fixture *f = start(state);
    f->client.n_sessions = 1;
    f->client.sessions[0] = (struct client_session){.id = 1,
                                                    .port_first = 6881,
                                                    .port_last = 6891,
                                                    .port = 6882,
                                                    .memory_only = true,
                                                    .options = SPAN("{\"id\":\"" KEY "\"}")};
    f->client.here = torrent;
    f->client.status = (struct torrent_status){.id = 5,
                                               .info_hash = f->client.hash,
                                               .session = 1,
                                               .name = "n",
                                               .error = "",
                                               .state = TORRENT_SEEDING};
    f->client.facts = (struct client_facts){.save_path = "/d"};
    return f;
}

/* ---- sessions ------------------------------------------------------------------------------ */

static void test_sessions(void **state)
{
    struct fixture *f = start_with(state, false);
    change(f, "GET /v1/sessions", 200,
           "{\"status\":\"success\",\"sessions\":[{\"id\":\"" KEY
           "\",\"ports\":[6881,6891],\"port\":6882}]}");
    change(f, "GET " SESSION, 200,
           "{\"status\":\"success\",\"id\":\"" KEY "\",\"ports\":[6881,6891],\"port\":6882}");
    change(f, "GET /v1/sessions/1", 404, FAILED("session.notfound", "session not found"));
    ask(f, "POST /v1/sessions", FORM, "port_range=1,2&memory_only=0", 200,
        "\",\"ports\":[1,2],\"port\":2}}");
    assert_string_equal(f->client.asked, "session");
    assert_false(f->client.sessions[1].memory_only);
    ask(f, "POST /v1/sessions", "", "", 200, "\"ports\":[6881,6891]");
    assert_true(f->client.sessions[2].memory_only);
    change(f, "DELETE " SESSION, 200, "{\"status\":\"success\"}");
    assert_string_equal(f->client.asked, "end");
    stop(f);
}

static void test_what_the_client_says_of_sessions(void **state)
{
    static const struct {
        int code, status;
        const char *wanted;
    } refused[] = {
        {ERR_IN_USE, 409, FAILED("session.bind", "bind failed address already in use")},
        {ERR_LIMIT, 503, FAILED("unavailable", TEXT)},
        {ERR_UNAVAILABLE, 503, FAILED("unavailable", TEXT)},
        {ERR_SYSTEM, 500, FAILED("internal", TEXT)},
    };
    struct fixture *f = start_with(state, false);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        f->client.refuse = refused[i].code;
        change(f, "POST /v1/sessions", refused[i].status, refused[i].wanted);
    }
    f->client.refuse = ERR_NOT_FOUND;
    change(f, "DELETE " SESSION, 404, FAILED("session.notfound", "session not found"));
    f->client.refuse = 0;
    f->client.fail = ERR_UNAVAILABLE;
    change(f, "POST /v1/sessions", 503, FAILED("unavailable", "not available now"));
    change(f, "DELETE " SESSION, 503, FAILED("unavailable", "not available now"));
    f->client.fail = ERR_DATABASE;
    change(f, "POST /v1/sessions", 500, FAILED("internal", "database error"));
    f->client.fail = ERR_NOT_FOUND;
    change(f, "DELETE " SESSION, 404, "session.notfound");
    stop(f);
}

static void test_while_it_loads(void **state)
{
    struct fixture *f = start_with(state, false);
    f->client.loading = true;
    change(f, "GET " SESSION, 200, KEY);
    change(f, "GET /v1/sessions/" UNKNOWN, 503,
           FAILED("unavailable", "the sessions are being loaded"));
    change(f, "PUT /v1/sessions/" UNKNOWN "/torrents/" HASH, 503, "unavailable");
    stop(f);
}

/* ---- torrents ------------------------------------------------------------------------------ */

static void post(struct fixture *f, const char *headers, const char *body, int status,
                 const char *wanted)
{
    ask(f, "POST " SESSION "/torrents", headers, body, status, wanted);
}

static void test_add(void **state)
{
    struct fixture *f = start_with(state, true);
    post(f, FORM, MAGNET "&save_path=/d", 200,
         "{\"status\":\"success\",\"infohash\":\"" HASH "\",\"info_hash\":\"" HASH "\"");
    assert_string_equal(f->client.magnet, "magnet:?x");
    assert_string_equal(f->client.save_path, "/d");
    assert_true(f->client.add.session == 1 && f->client.add.memory_only);
    assert_true(f->client.add.flags == 0 && !f->client.add.allocate);
    post(f, JSON,
         "{\"file\":\"bGU=\",\"save_path\":\"x\",\"autostart\":0,\"memory_only\":false,"
         "\"storage_mode\":\"allocate\"}",
         200, "\"status\":\"success\"");
    assert_string_equal(f->client.metainfo, "le");
    assert_int_equal(f->client.magnet_len, 0);
    assert_true(!f->client.add.memory_only && f->client.add.allocate);
    assert_int_equal(f->client.add.flags, TORRENT_PAUSED);
    f->client.existed = true;
    post(f, FORM, MAGNET "&save_path=/d", 200, "\"save_path\":\"/d\"");
    f->client.status.session = 0;
    post(f, FORM, MAGNET "&save_path=/d", 409,
         FAILED("torrent.exists", "the torrent is in another session"));
    f->client.here = false;
    post(f, FORM, MAGNET "&save_path=/d", 404, FAILED("torrent.notfound", "torrent not found"));
    stop(f);
}

/* In the loop's thread, once the client was asked. */
static void do_end_session(void *ctx)
{
    struct fixture *f = ctx;
    if (f->client.added != NULL) {
        f->client.n_sessions = 0;
        fake_client_answer(&f->client);
    }
    sem_post(&f->world->done);
}

static void test_what_the_client_says_of_adds(void **state)
{
    static const struct {
        int code, status;
        const char *wanted;
    } refused[] = {
        {ERR_MALFORMED, 400, FAILED("upload.invalid", TEXT)},
        {ERR_DENIED, 403, FAILED("access.denied", "access denied")},
        {ERR_INVALID, 400, FAILED("upload.savepath", TEXT)},
        {ERR_NOT_FOUND, 404, FAILED("session.notfound", "session not found")},
        {ERR_UNAVAILABLE, 503, FAILED("unavailable", TEXT)},
        {ERR_DATABASE, 500, FAILED("internal", TEXT)},
    };
    struct fixture *f = start_with(state, false);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        f->client.refuse = refused[i].code;
        post(f, FORM, MAGNET "&save_path=/d", refused[i].status, refused[i].wanted);
    }
    f->client.refuse = 0;
    f->client.fail = ERR_TIMEOUT;
    post(f, FORM, MAGNET "&save_path=/d", 503, FAILED("unavailable", TEXT));
    /* The session goes while the torrent is added: that is what it is told. */
    f->client.silent = true;
    int fd = dial(f->port);
    put(fd, "POST " SESSION "/torrents?save_path=x&" MAGNET
            " HTTP/1.0\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
    for (bool asked = false; !asked;) {
        order(f->world, do_end_session, f);
        asked = f->client.n_sessions == 0;
    }
    expect(fd, "session.notfound");
    close(fd);
    stop(f);
}

static void test_by_url(void **state)
{
    struct fixture *f = start_with(state, true);
    f->cfg.api.url_fetch = URL_FETCH_ANY;
    f->client.response = (struct http_response){.http_status = 200, .body = SPAN("le")};
    post(f, FORM, "url=http://h/t&save_path=/d", 200, HASH);
    assert_string_equal(f->client.metainfo, "le");
    f->client.response = (struct http_response){.http_status = 404};
    post(f, FORM, "url=http://h/t&save_path=/d", 400, "upload.invalid");
    f->client.response = (struct http_response){.status = ERR_TIMEOUT, .why = "late"};
    post(f, FORM, "url=http://h/t&save_path=/d", 502, FAILED("upload.fetch", "late"));
    f->cfg.api.url_fetch = URL_FETCH_OFF;
    post(f, FORM, "url=http://h/t&save_path=/d", 403, "access.denied");
    stop(f);
}

static void test_what_is_not_asked(void **state)
{
    struct fixture *f = start_with(state, true);
    post(f, FORM, "save_path=/d", 400,
         FAILED("upload.target.selectone", "select one of file, magnet, url"));
    post(f, FORM, MAGNET "&url=http://h/&save_path=/d", 400, "upload.target.selectone");
    post(f, FORM, MAGNET, 400, FAILED("upload.savepath", "save_path required"));
    post(f, FORM, "magnet=http://h/&save_path=/d", 400,
         FAILED("upload.invalid", "not a magnet link"));
    post(f, FORM, MAGNET "&save_path=/d&storage_mode=x", 400, "param.invalid");
    post(f, FORM, MAGNET "&save_path=/d&autostart=x", 400, "param.invalid");
    post(f, FORM, MAGNET "&save_path=/d&memory_only=x", 400, "param.invalid");
    post(f, JSON, "[]", 400, "param.invalid");
    ask(f, "POST /v1/sessions", FORM, "port_range=x", 400, "param.invalid");
    ask(f, "POST /v1/sessions", FORM, "memory_only=x", 400, "param.invalid");
    ask(f, "PUT " TORRENT, FORM, "pause=2", 400, FAILED("param.invalid", "pause must be 0 or 1"));
    ask(f, "PUT " TORRENT, FORM, "", 200, "{\"status\":\"success\"}");
    ask(f, "PUT " SESSION "/torrents/x", FORM, "pause=1", 400,
        FAILED("infohash.invalid", "invalid infohash"));
    assert_int_equal(f->client.n_asked, 0);
    stop(f);
}

static void test_one_torrent(void **state)
{
    struct fixture *f = start_with(state, true);
    change(f, "GET " TORRENT, 200, "{\"status\":\"success\",\"infohash\":\"" HASH "\"");
    change(f, "GET " SESSION "/torrents/" UNKNOWN, 404,
           FAILED("torrent.notfound", "torrent not found"));
    change(f, "GET " SESSION "/torrents?fields=infohash,name", 200,
           "{\"status\":\"success\",\"torrents\":[{\"infohash\":\"" HASH "\",\"name\":\"n\"}]}");
    change(f, "GET " SESSION "/torrents?fields=x", 200, "\"torrents\":[{}]}");
    change(f, "PUT " TORRENT "?pause=1", 200, "{\"status\":\"success\"}");
    assert_string_equal(f->client.asked, "pause");
    change(f, "PUT " TORRENT "?pause=0", 200, "{\"status\":\"success\"}");
    assert_string_equal(f->client.asked, "resume");
    f->client.fail = ERR_UNAVAILABLE;
    change(f, "PUT " TORRENT "?pause=0", 503, "unavailable");
    f->client.refuse = ERR_NOT_FOUND;
    change(f, "PUT " TORRENT "?pause=0", 404, "torrent.notfound");
    f->client.status.session = 2;
    change(f, "GET " TORRENT, 404, "torrent.notfound");
    change(f, "GET " SESSION "/torrents", 200, "\"torrents\":[]}");
    stop(f);
}

static void test_peers(void **state)
{
    struct fixture *f = start_with(state, true);
    change(f, "GET " TORRENT "/peers", 200, "{\"status\":\"success\",\"peers\":[]}");
    f->client.n_peers = 2;
    for (size_t i = 0; i < 2; i++) {
        f->client.peers[i].client = "c";
        f->client.peers[i].remote.port = (uint16_t)(i + 1);
    }
    change(f, "GET " TORRENT "/peers", 200, "\"flags\":\"\"},{\"ip\":\"0.0.0.0\",\"port\":2,");
    stop(f);
}

/* ---- commands ------------------------------------------------------------------------------ */

static void test_command_names(void **state)
{
    static const char *const names[] = {
        [REST_GET_SESSION_LIST] = "get_session_list",
        [REST_CREATE_SESSION] = "create_session",
        [REST_GET_SESSION] = "get_session",
        [REST_DELETE_SESSION] = "delete_session",
        [REST_UPLOAD_TORRENT] = "upload_torrent",
        [REST_GET_TORRENT_LIST] = "get_torrent_list",
        [REST_GET_TORRENT] = "get_torrent",
        [REST_COMMAND_TORRENT] = "command_torrent",
        [REST_GET_PEERS] = "get_peers",
    };
    enum resttorrent_command command;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_true(resttorrent_command_of(span_str(names[i]), &command));
        assert_int_equal(command, i);
    }
    assert_false(resttorrent_command_of(SPAN(""), &command));
    assert_false(resttorrent_command_of(SPAN("get_sessions"), &command));
}

static void test_session_text(void **state)
{
    struct fixture *f = start_with(state, false);
    char text[RESTTORRENT_SESSION_KEY_CAP];
    resttorrent_session_text(text, &f->client, 1);
    assert_string_equal(text, KEY);
    resttorrent_session_text(text, &f->client, 0);
    assert_string_equal(text, "");
    stop(f);
}

static void test_switched_off(void **state)
{
    struct fixture *f = start_with(state, true);
    f->cfg.api.local_without_token = false;
    change(f, "GET " TORRENT, 401, FAILED("access.denied", "unauthorized"));
    change(f, "GET /v1", 401, "access.denied");
    f->cfg.api.local_without_token = true;
    change(f, "GET /v1", 404, FAILED("path.notfound", "not found"));
    change(f, "PUT /v1/sessions", 405, FAILED("method.notallowed", "method not allowed"));
    stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_what_the_client_says_of_sessions),
        cmocka_unit_test(test_while_it_loads),
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_what_the_client_says_of_adds),
        cmocka_unit_test(test_by_url),
        cmocka_unit_test(test_what_is_not_asked),
        cmocka_unit_test(test_one_torrent),
        cmocka_unit_test(test_peers),
        cmocka_unit_test(test_command_names),
        cmocka_unit_test(test_session_text),
        cmocka_unit_test(test_switched_off),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
