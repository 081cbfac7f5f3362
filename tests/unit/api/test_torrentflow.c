/* The TorrentFlow API: who may call, adding in all ways, changes. */
#include "unit/api/torrentflow_fixture.h"

#include "base/banned.h"

#define FORM  "content-type: application/x-www-form-urlencoded\r\n"
#define PARTS "content-type: multipart/form-data; boundary=b\r\n"
#define FILE_PART(disposition, value)                                                              \
    "--b\r\ncontent-disposition: form-data; " disposition "\r\n\r\n" value "\r\n"

static void post(struct fixture *f, const char *headers, const char *body, int status,
                 const char *wanted)
{
    ask(f, "POST /torrents", headers, body, status, wanted);
}

#define ADDED "{\"infohash\":\"" HASH "\",\"info_hash\":\"" HASH "\"}"

/* ---- who may call -------------------------------------------------------------------------- */

static void test_without_a_token(void **state)
{
    static const struct {
        const char *headers;
        int status;
    } cases[] = {
        {"host: localhost\r\n", 404},
        {"host: 127.0.0.1:1\r\n", 404},
        {"host: [::1]\r\n", 404},
        {"host: evil.example\r\n", 401},
        {"", 401},
        {"host: localhost\r\nx-forwarded-for: 127.0.0.1\r\n", 401},
        {"host: localhost\r\nX-Forwarded-For:\r\n", 401},
        {"host: localhost\r\nforwarded: for=x\r\n", 401},
        {"host: localhost\r\nx-real-ip: 127.0.0.1\r\n", 401},
        {"host: localhost:1\r\norigin: http://localhost:1\r\n", 404},
        {"host: localhost:1\r\norigin: http://localhost:2\r\n", 401},
        {"host: localhost\r\norigin: http://evil.example\r\n", 401},
        {"host: localhost\r\norigin: null\r\n", 401},
        {"host: localhost\r\nauthorization: Bearer wrong\r\n", 401},
        {"host: localhost\r\nauthorization:\r\n", 401},
        {"host: evil.example\r\nauthorization: the-token-of-the-tests\r\n", 404},
        {"host: localhost\r\nx-real-ip: x\r\nauthorization: the-token-of-the-tests\r\n", 404},
    };
    static const char *const requests[] = {
        "GET /torrents/" UNKNOWN,
        "DELETE /torrents/" UNKNOWN,
        "PUT /torrents/" UNKNOWN "/pause",
        "PUT /torrents/" UNKNOWN "/resume",
        "GET /torrents/a/b",
    };
    struct fixture *f = start(state);
    f->client.refuse = ERR_NOT_FOUND;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t k = 0; k < sizeof requests / sizeof requests[0]; k++) {
            send_raw(f, requests[k], cases[i].headers, "");
            bool limited = f->status == 429 && strstr(cases[i].headers, "authorization") != NULL;
            if (f->status != cases[i].status && !limited) {
                fail_msg("%s %s: %s", requests[k], cases[i].headers, f->answer);
            }
            assert_true(f->status != 401 ||
                        (strstr(f->body, "{\"detail\":\"") == f->body &&
                         strstr(f->answer, "www-authenticate: Bearer\r\n") != NULL));
        }
    }
    send_raw(f, "GET /torrents/" UNKNOWN "?token=wrong", "host: localhost\r\n", "");
    assert_true(f->status == 401 || f->status == 429);
    send_raw(f, "GET /torrents/" UNKNOWN "?token=the-token-of-the-tests", "", "");
    assert_int_equal(f->status, 404);
    /* What always needs a token goes on needing it. */
    send_raw(f, "GET /api/stats", "host: localhost\r\n", "");
    assert_int_equal(f->status, 401);
    send_raw(f, "GET /metrics", "host: localhost\r\n", "");
    assert_int_equal(f->status, 401);
    stop(f);
}

static void test_switched_off(void **state)
{
    struct fixture *f = start(state);
    f->cfg.api.local_without_token = false;
    change(f, "GET /torrents/" HASH, 401, "{\"detail\":\"unauthorized\"}");
    post(f, FORM, "torrent_url=magnet:?x", 401, "unauthorized");
    change(f, "GET /torrents", 401, "unauthorized");
    assert_int_equal(f->client.n_asked, 0);
    stop(f);
}

static void test_routes(void **state)
{
    struct fixture *f = start(state);
    change(f, "GET /torrents", 405, "{\"detail\":\"Method Not Allowed\"}");
    assert_non_null(strstr(f->answer, "allow: POST\r\n"));
    change(f, "DELETE /torrents", 405, "Method Not Allowed");
    change(f, "POST /torrents/" HASH "/pause", 405, "Method Not Allowed");
    assert_non_null(strstr(f->answer, "allow: PUT\r\n"));
    change(f, "POST /torrents/" HASH, 405, "Method Not Allowed");
    assert_non_null(strstr(f->answer, "allow: GET, HEAD, DELETE\r\n"));
    change(f, "GET /torrents/a/b/c", 404, "{\"detail\":\"Not Found\"}");
    change(f, "POST /torrents/", 404, "Not Found");
    change(f, "DELETE /torrents/" HASH "/", 404, "Not Found");
    change(f, "PUT /torrents/" HASH "/pause/", 404, "Not Found");
    change(f, "DELETE /torrents/", 404, "Not Found");
    assert_int_equal(f->client.n_asked, 0);
    stop(f);
}

/* ---- adding -------------------------------------------------------------------------------- */

static void test_add_a_magnet(void **state)
{
    struct fixture *f = start(state);
    post(f, FORM, "torrent_url=magnet%3A%3Fxt%3Durn%3Abtih%3A" HASH "%26dn%3Da%2Bb", 200, ADDED);
    assert_string_equal(f->client.magnet, "magnet:?xt=urn:btih:" HASH "&dn=a+b");
    assert_int_equal(f->client.metainfo_len, 0);
    assert_string_equal(f->client.save_path, "");
    post(f, PARTS,
         FILE_PART("name=\"torrent_url\"", "MAGNET:?xt=1")
             FILE_PART("name=save_path", "/d e") "--b--",
         200, ADDED);
    assert_string_equal(f->client.magnet, "MAGNET:?xt=1");
    assert_string_equal(f->client.save_path, "/d e");
    stop(f);
}

static void test_add_a_file(void **state)
{
    struct fixture *f = start(state);
    post(f, PARTS, FILE_PART("name=\"torrent_file\"; filename=\"x.torrent\"", "d4:\r\n--x") "--b--",
         200, ADDED);
    assert_string_equal(f->client.metainfo, "d4:\r\n--x");
    assert_int_equal(f->client.magnet_len, 0);
    /* Without a file name it is a file all the same; an empty URL counts as absent. */
    post(f, PARTS, FILE_PART("name=torrent_url", "") FILE_PART("name=torrent_file", "le") "--b--",
         200, ADDED);
    assert_string_equal(f->client.metainfo, "le");
    /* It is here already. */
    f->client.existed = true;
    post(f, PARTS, FILE_PART("name=torrent_file", "le") "--b--", 200, ADDED);
    stop(f);
}

static void test_which_field_counts(void **state)
{
    struct fixture *f = start(state);
    post(f, PARTS,
         FILE_PART("name=torrent_file", "le") FILE_PART("name=torrent_url", "magnet:?a") "--b--",
         200, ADDED);
    assert_string_equal(f->client.magnet, "magnet:?a");
    assert_int_equal(f->client.metainfo_len, 0);
    post(f, FORM, "torrent_url=magnet:?a&save_path=/a&torrent_url=magnet:?b&save_path=/b&other=1",
         200, ADDED);
    assert_string_equal(f->client.magnet, "magnet:?b");
    assert_string_equal(f->client.save_path, "/b");
    stop(f);
}

static void test_forms_that_ask_for_nothing(void **state)
{
    static const char either[] =
        "{\"detail\":\"Either torrent_url or torrent_file must be provided\"}";
    struct fixture *f = start(state);
    post(f, "", "", 400, either);
    post(f, FORM, "", 400, either);
    post(f, FORM, "torrent_url=", 400, either);
    post(f, FORM, "save_path=/x", 400, either);
    post(f, FORM, "torrent_url=magnet:?a&torrent_url=", 400, either);
    post(f, "content-type: application/json\r\n", "{\"torrent_url\":\"magnet:?a\"}", 400, either);
    post(f, "", "torrent_url=magnet:?a", 400, either);
    post(f, PARTS, "--b--", 400, either);
    post(f, PARTS, FILE_PART("name=torrent_file; filename=\"\"", "") "--b--", 400, either);
    assert_int_equal(f->client.n_asked, 0);
    stop(f);
}

static void test_broken_forms(void **state)
{
    struct fixture *f = start(state);
    post(f, FORM, "torrent_file=d4:infode", 422,
         "{\"detail\":[{\"loc\":[\"body\",\"torrent_file\"],");
    post(f, FORM, "torrent_file=&torrent_url=magnet:?a", 422, "\"type\":\"value_error\"");
    post(f, PARTS, FILE_PART("name=torrent_file", "a") FILE_PART("name=torrent_file", "b") "--b--",
         400, "more than one torrent_file");
    post(f, PARTS, "x", 400, "boundary");
    post(f, "content-type: multipart/form-data\r\n", "--b--", 400, "boundary");
    post(f, FORM, "torrent_url=magnet%", 400, "torrent_url");
    post(f, FORM, "torrent_url=magnet:?a&save_path=%0", 400, "save_path");
    post(f, FORM, "torrent_url=magnet:?a&save_path=%00", 400, "NUL");
    post(f, FORM, "torrent_url=ftp://a/b", 400, "{\"detail\":\"not an http or https URL");
    post(f, FORM, "torrent_url=x", 400, "not an http or https URL");
    assert_int_equal(f->client.n_asked, 0);
    stop(f);
}

static void test_what_the_client_refuses(void **state)
{
    static const struct {
        int code;
        int at_once, later;
    } cases[] = {
        {ERR_MALFORMED, 400, 400}, {ERR_LIMIT, 400, 503},       {ERR_DENIED, 403, 403},
        {ERR_INVALID, 400, 400},   {ERR_SYSTEM, 400, 500},      {ERR_NO_SPACE, 400, 500},
        {ERR_NOT_FOUND, 500, 500}, {ERR_UNAVAILABLE, 503, 503}, {ERR_TIMEOUT, 503, 503},
        {ERR_DATABASE, 500, 500},  {ERR_CANCELED, 503, 503},
    };
    struct fixture *f = start(state);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        f->client.refuse = cases[i].code;
        post(f, FORM, "torrent_url=magnet:?a", cases[i].at_once,
             "{\"detail\":\"the text of the client\"}");
        f->client.refuse = 0;
        f->client.fail = cases[i].code;
        post(f, FORM, "torrent_url=magnet:?a", cases[i].later,
             "{\"detail\":\"the text of the client\"}");
        f->client.fail = 0;
    }
    stop(f);
}

/* Two adds of the same torrent at the same moment: the database takes one. */
static void test_somebody_was_faster(void **state)
{
    struct fixture *f = start(state);
    f->client.fail = ERR_EXISTS;
    post(f, FORM, "torrent_url=magnet:?a", 200, ADDED);
    stop(f);
}

static void test_too_large(void **state)
{
    static char body[MAX_BODY + 2];
    struct fixture *f = start(state);
    memset(body, 'x', sizeof body - 1);
    post(f, FORM, body, 413, "{\"detail\":\"the body is larger than api.max_body");
    stop(f);
}

/* ---- by URL -------------------------------------------------------------------------------- */

static void test_add_by_url(void **state)
{
    struct fixture *f = start(state);
    f->client.response = (struct http_response){
        .http_status = 200, .body = SPAN("d4:infodee"), .content_type = "text/html"};
    assert_true(addr_parse(&f->client.fetch_addr, SPAN("93.184.216.34")));
    post(f, FORM, "torrent_url=http%3A%2F%2Fa.example%2Fx%3Fy%3D1&save_path=sub", 200, ADDED);
    assert_string_equal(f->client.url, "http://a.example/x?y=1");
    assert_string_equal(f->client.metainfo, "d4:infodee");
    assert_string_equal(f->client.save_path, "sub");
    assert_string_equal(f->client.asked, "add");
    stop(f);
}

static void test_limits_of_a_fetch(void **state)
{
    struct fixture *f = start(state);
    assert_true(addr_parse(&f->client.fetch_addr, SPAN("93.184.216.34")));
    f->client.response = (struct http_response){.status = ERR_TIMEOUT, .why = "it was silent"};
    post(f, FORM, "torrent_url=https://a/", 400, "{\"detail\":\"it was silent\"}");
    assert_int_equal(f->client.fetch.timeout_ms, 30000);
    assert_int_equal(f->client.fetch.max_redirects, 5);
    assert_int_equal(f->client.fetch.max_len, MAX_BODY);
    stop(f);
}

static void test_failures_of_a_fetch(void **state)
{
    static const struct {
        int status;
        long http_status;
        int shown;
        const char *text;
    } cases[] = {
        {ERR_UNAVAILABLE, 0, 400, "could not"},
        {ERR_TIMEOUT, 0, 400, "could not"},
        {ERR_MALFORMED, 0, 400, "not HTTP"},
        {ERR_LIMIT, 0, 400, "larger than api.max_body"},
        {ERR_DENIED, 0, 403, "api.url_fetch"},
        {ERR_CANCELED, 0, 503, "stopping"},
        {0, 404, 400, "returned http statusCode=404"},
        {0, 302, 400, "returned http statusCode=302"},
        {0, 204, 400, "returned http statusCode=204"},
    };
    struct fixture *f = start(state);
    assert_true(addr_parse(&f->client.fetch_addr, SPAN("93.184.216.34")));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        f->client.response = (struct http_response){.status = cases[i].status,
                                                    .http_status = cases[i].http_status,
                                                    .body = SPAN("d4:infodee"),
                                                    .why = "could not"};
        post(f, FORM, "torrent_url=http://a/", cases[i].shown, cases[i].text);
        assert_string_equal(f->client.asked, "fetch");
    }
    f->client.refuse = ERR_LIMIT;
    post(f, FORM, "torrent_url=http://a/", 503, "too many");
    f->client.refuse = ERR_INVALID;
    post(f, FORM, "torrent_url=http://a/", 400, "not an http or https URL");
    stop(f);
}

static void test_what_came_is_no_torrent(void **state)
{
    struct fixture *f = start(state);
    assert_true(addr_parse(&f->client.fetch_addr, SPAN("93.184.216.34")));
    f->client.response = (struct http_response){.http_status = 200, .body = SPAN("hello")};
    f->client.fail = ERR_MALFORMED;
    post(f, FORM, "torrent_url=http://a/", 400, "the text of the client");
    stop(f);
}

static void test_addresses_of_a_fetch(void **state)
{
    static const struct {
        const char *addr;
        int statuses[3]; /* public, any, off */
    } cases[] = {
        {"93.184.216.34", {200, 200, 403}},
        {"127.0.0.1", {403, 200, 403}},
        {"10.1.2.3", {403, 200, 403}},
        {"169.254.169.254", {403, 403, 403}},
    };
    struct fixture *f = start(state);
    f->client.response = (struct http_response){.http_status = 200, .body = SPAN("d4:infodee")};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(addr_parse(&f->client.fetch_addr, span_str(cases[i].addr)));
        for (uint32_t mode = 0; mode < 3; mode++) {
            unsigned before = f->client.n_asked;
            f->cfg.api.url_fetch = mode;
            post(f, FORM, "torrent_url=http://a/", cases[i].statuses[mode], "");
            assert_true(mode != URL_FETCH_OFF || f->client.n_asked == before);
        }
    }
    /* A magnet link is no URL that is fetched. */
    f->cfg.api.url_fetch = URL_FETCH_OFF;
    post(f, FORM, "torrent_url=magnet:?a", 200, ADDED);
    stop(f);
}

/* ---- changes ------------------------------------------------------------------------------- */

static void test_changes(void **state)
{
    static const struct {
        const char *request, *asked, *said;
    } cases[] = {
        {"PUT /torrents/" HASH "/pause", "pause", "Torrent paused"},
        {"PUT /torrents/" HASH "/resume", "resume", "Torrent resumed"},
        {"DELETE /torrents/" HASH, "remove", "Torrent removed"},
    };
    struct fixture *f = start(state);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char wanted[128];
        (void)snprintf(wanted, sizeof wanted, "{\"detail\":\"%s\",\"result\":\"%s\"}",
                       cases[i].said, cases[i].said);
        change(f, cases[i].request, 200, wanted);
        assert_string_equal(f->client.asked, cases[i].asked);
        ask(f, cases[i].request, "content-type: x/y\r\n", "any body", 200, wanted);
        f->client.fail = ERR_NOT_FOUND; /* it went while the database worked */
        change(f, cases[i].request, 404, "Torrent not found");
        f->client.fail = ERR_UNAVAILABLE;
        change(f, cases[i].request, 503, "{\"detail\":\"not available now\"}");
        f->client.fail = 0;
        f->client.refuse = ERR_LIMIT;
        change(f, cases[i].request, 503, "{\"detail\":\"limit reached\"}");
        f->client.refuse = ERR_DATABASE;
        change(f, cases[i].request, 500, "{\"detail\":\"database error\"}");
        f->client.refuse = 0;
    }
    assert_false(f->client.with_data);
    stop(f);
}

/* The server goes while the client still owes its answer; the answer comes later. */
static void test_closed_before_the_client_answers(void **state)
{
    static const char *const bodies[] = {"torrent_url=magnet:?a", "torrent_url=http://a/"};
    for (size_t i = 0; i < 2; i++) {
        struct fixture *f = start(state);
        char request[512];
        f->client.silent = true;
        f->client.response = (struct http_response){.http_status = 200, .body = SPAN("le")};
        int fd = dial(f->port);
        (void)snprintf(request, sizeof request,
                       "POST /torrents HTTP/1.1\r\nhost: localhost\r\n" FORM
                       "content-length: %zu\r\n\r\n%s",
                       strlen(bodies[i]), bodies[i]);
        put(fd, request);
        change(f, "GET /torrents/x", 404, ""); /* on the same loop, so the first has arrived */
        while (*(volatile unsigned *)&f->client.n_asked == 0) {
            change(f, "GET /torrents/x", 404, "");
        }
        stop(f);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_token),
        cmocka_unit_test(test_switched_off),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_add_a_magnet),
        cmocka_unit_test(test_add_a_file),
        cmocka_unit_test(test_which_field_counts),
        cmocka_unit_test(test_forms_that_ask_for_nothing),
        cmocka_unit_test(test_broken_forms),
        cmocka_unit_test(test_what_the_client_refuses),
        cmocka_unit_test(test_somebody_was_faster),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_add_by_url),
        cmocka_unit_test(test_limits_of_a_fetch),
        cmocka_unit_test(test_failures_of_a_fetch),
        cmocka_unit_test(test_what_came_is_no_torrent),
        cmocka_unit_test(test_addresses_of_a_fetch),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_closed_before_the_client_answers),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
