/* The spritzle API over HTTP: what it asks of the client, and how each answer of it is told. */
#include "unit/api/torrentflow_fixture.h"

#include "base/banned.h"

#define FORM  "content-type: application/x-www-form-urlencoded\r\n"
#define PARTS "content-type: multipart/form-data; boundary=b\r\n"
#define JSON  "content-type: application/json; charset=utf-8\r\n"
#define FILE_PART(disposition, value)                                                              \
    "--b\r\ncontent-disposition: form-data; " disposition "\r\n\r\n" value "\r\n"
#define ADDED  "{\"info_hash\": \"" HASH "\"}"
#define ONE_OF "One of and only one 'file', 'url' or 'info_hash' allowed."
#define FAILED(status, text)                                                                       \
    "{\"status\": " status ", \"reason\": \"" text "\", \"message\": \"" status ": " text "\"}"

static void post(struct fixture *f, const char *headers, const char *body, int status,
                 const char *wanted)
{
    ask(f, "POST /torrent", headers, body, status, wanted);
}

static struct fixture *start_with_torrent(void **state)
{
    struct fixture *f = start(state);
    struct torrent_status *s = &f->client.status;
    s->id = 5;
    s->info_hash = f->client.hash;
    s->name = s->error = s->tracker = "";
    s->copies = -1;
    f->client.facts.save_path = "/d";
    f->client.here = true;
    return f;
}

/* ---- adding -------------------------------------------------------------------------------- */

static void test_ways_of_adding(void **state)
{
    struct fixture *f = start(state);
    char location[128];
    (void)snprintf(location, sizeof location, "location: http://127.0.0.1:%u/torrent/" HASH "\r\n",
                   f->port);
    post(f, FORM, "info_hash=" HASH, 201, ADDED);
    assert_string_equal(f->client.magnet, "magnet:?xt=urn:btih:" HASH);
    assert_non_null(strstr(f->answer, location));
    assert_non_null(strstr(f->answer, "content-type: application/json; charset=utf-8\r\n"));
    post(f, FORM, "info_hash=PNPJDDZWJEEK7K4TP3G5QQCZ363BCAVX", 201, ADDED);
    assert_string_equal(f->client.magnet, "magnet:?xt=urn:btih:" HASH);
    post(f, FORM, "url=magnet%3A%3Fx", 201, ADDED);
    assert_string_equal(f->client.magnet, "magnet:?x");
    post(f, PARTS, FILE_PART("name=file; filename=x", "d4:\r\n--x") "--b--", 201, ADDED);
    assert_string_equal(f->client.metainfo, "d4:\r\n--x");
    post(f, FORM, "file=d%34%3a+x", 201, ADDED);
    assert_string_equal(f->client.metainfo, "d4: x");
    post(f, JSON, "{\"file\":\"ZGU=\",\"name\":\"n\"}", 201, ADDED);
    assert_string_equal(f->client.metainfo, "de");
    assert_int_equal(f->client.n_asked, 6);
    stop(f);
}

static void test_args_reach_the_client(void **state)
{
    struct fixture *f = start(state);
    post(f, FORM,
         "info_hash=" HASH
         "&args={\"save_path\":\"/d e\",\"paused\":true,\"max_connections\":3,\"max_uploads\":2,"
         "\"upload_limit\":4,\"download_limit\":5,\"storage_mode\":0}",
         201, ADDED);
    assert_string_equal(f->client.save_path, "/d e");
    assert_int_equal(f->client.add.flags, TORRENT_PAUSED | TORRENT_AUTO_MANAGED);
    assert_int_equal(f->client.add.max_peers, 3);
    assert_int_equal(f->client.add.max_uploads, 2);
    assert_int_equal(f->client.add.max_up_bps, 4);
    assert_int_equal(f->client.add.max_down_bps, 5);
    assert_true(f->client.add.allocate);
    stop(f);
}

/* Args of a request by URL are used when the request is long over. */
static void test_args_outlive_a_fetch(void **state)
{
    struct fixture *f = start(state);
    f->cfg.api.url_fetch = URL_FETCH_ANY;
    assert_true(addr_parse(&f->client.fetch_addr, SPAN("127.0.0.1")));
    f->client.response = (struct http_response){.http_status = 200, .body = SPAN("d1:xe")};
    post(f, FORM,
         "url=http%3A%2F%2F127.0.0.1%2F&args={\"save_path\":\"/far\",\"trackers\":[\"http://t/\"],"
         "\"file_priorities\":[1],\"name\":\"n\"}",
         201, ADDED);
    assert_string_equal(f->client.save_path, "/far");
    assert_string_equal(f->client.metainfo, "d1:xe");
    assert_int_equal(f->client.add.n_trackers, 1);
    assert_int_equal(f->client.add.priorities.n, 1);
    stop(f);
}

static void test_forms_that_are_refused(void **state)
{
    struct fixture *f = start(state);
    post(f, "", "", 400, FAILED("400", ONE_OF));
    post(f, FORM, "", 400, ONE_OF);
    post(f, FORM, "args={}", 400, ONE_OF);
    post(f, FORM, "url=magnet:?x&info_hash=" HASH, 400, ONE_OF);
    post(f, FORM, "file=de&url=magnet:?x", 400, ONE_OF);
    post(f, "", "info_hash=" HASH, 400, ONE_OF);
    post(f, JSON, "{}", 400, ONE_OF);
    post(f, JSON, "{\"url\":\"magnet:?x\",\"file\":\"ZGU=\"}", 400, ONE_OF);
    post(f, JSON, "{\"file\":\"*\"}", 400, "file is not base64");
    post(f, JSON, "", 400, "the body is not a JSON object");
    post(f, PARTS, FILE_PART("name=file", "a") FILE_PART("name=file", "b") "--b--", 400,
         "more than one file");
    post(f, PARTS, "x", 400, "boundary");
    post(f, FORM, "info_hash=%zz", 400, "info_hash");
    post(f, FORM, "info_hash=" HASH "0", 400, FAILED("400", "info_hash is not an info-hash"));
    post(f, FORM, "url=", 400, "url is empty");
    post(f, FORM, "url=ftp://a/", 400, "not an http or https URL");
    post(f, FORM, "info_hash=" HASH "&args=x", 400, FAILED("400", "args is not a JSON object"));
    post(f, FORM, "info_hash=" HASH "&args={\"x\":1}", 400,
         FAILED("400", "unknown name in torrent params: x"));
    post(f, FORM, "info_hash=" HASH "&args={\"save_path\":\"a%00\"}", 400, "JSON");
    assert_int_equal(f->client.n_asked, 0);
    stop(f);
}

static void test_what_the_client_says_of_an_add(void **state)
{
    static const struct {
        int code;
        int at_once, later;
    } cases[] = {
        {ERR_MALFORMED, 400, 400}, {ERR_LIMIT, 400, 503},   {ERR_DENIED, 403, 403},
        {ERR_INVALID, 400, 400},   {ERR_SYSTEM, 400, 500},  {ERR_UNAVAILABLE, 503, 503},
        {ERR_CANCELED, 503, 503},  {ERR_TIMEOUT, 503, 503}, {ERR_DATABASE, 500, 500},
    };
    struct fixture *f = start(state);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        f->client.refuse = cases[i].code;
        post(f, FORM, "info_hash=" HASH, cases[i].at_once, "the text of the client");
        f->client.refuse = 0;
        f->client.fail = cases[i].code;
        post(f, FORM, "info_hash=" HASH, cases[i].later, "the text of the client");
        f->client.fail = 0;
    }
    stop(f);
}

static void test_duplicates(void **state)
{
    struct fixture *f = start(state);
    f->client.existed = true;
    post(f, FORM, "info_hash=" HASH, 201, ADDED);
    post(f, FORM, "info_hash=" HASH "&args={\"duplicate_is_error\":true}", 409, "here already");
    f->client.existed = false;
    post(f, FORM, "info_hash=" HASH "&args={\"duplicate_is_error\":true}", 201, ADDED);
    stop(f);
}

static void test_urls(void **state)
{
    struct fixture *f = start(state);
    f->cfg.api.url_fetch = URL_FETCH_ANY;
    assert_true(addr_parse(&f->client.fetch_addr, SPAN("127.0.0.1")));
    f->client.response = (struct http_response){.http_status = 404};
    post(f, FORM, "url=http://a/", 400, "404");
    f->client.response = (struct http_response){.status = ERR_UNAVAILABLE, .why = "nobody there"};
    post(f, FORM, "url=http://a/", 502, FAILED("502", "nobody there"));
    f->client.response = (struct http_response){.status = ERR_TIMEOUT, .why = "timed out"};
    post(f, FORM, "url=http://a/", 502, "timed out");
    f->client.response = (struct http_response){.status = ERR_DENIED, .why = ""};
    post(f, FORM, "url=http://a/", 403, "api.url_fetch");
    stop(f);
}

/* ---- removing and changing ----------------------------------------------------------------- */

static void test_remove(void **state)
{
    static const struct {
        const char *query;
        bool with_data;
    } cases[] = {
        {"", false},
        {"?delete_files", true},
        {"?delete_files=", true},
        {"?delete_files=1", true},
        {"?delete_files=TRUE", true},
        {"?delete_files=anything", true},
        {"?delete_files=0", false},
        {"?delete_files=False", false},
        {"?delete_files=NO", false},
        {"?a=delete_files", false},
        {"?delete_file", false},
        {"?delete_files&delete_files=0", false},
        {"?x&delete_files&y=1", true},
    };
    struct fixture *f = start_with_torrent(state);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char request[128];
        (void)snprintf(request, sizeof request, "DELETE /torrent/" HASH "%s", cases[i].query);
        f->client.with_data = !cases[i].with_data;
        change(f, request, 200, "");
        assert_int_equal(f->client.with_data, cases[i].with_data);
        assert_string_equal(f->body, "");
        (void)snprintf(request, sizeof request, "DELETE /torrent%s", cases[i].query);
        f->client.with_data = !cases[i].with_data;
        change(f, request, 200, "");
        assert_int_equal(f->client.with_data, cases[i].with_data);
        assert_string_equal(f->client.asked, "remove");
    }
    stop(f);
}

static void test_remove_all(void **state)
{
    struct fixture *f = start_with_torrent(state);
    unsigned n = 0;
    f->client.fail = ERR_UNAVAILABLE;
    change(f, "DELETE /torrent", 503, "{\"status\": 503, ");
    f->client.fail = 0;
    f->client.refuse = ERR_SYSTEM;
    change(f, "DELETE /torrent", 500, "{\"status\": 500, ");
    f->client.refuse = ERR_NOT_FOUND; /* somebody was faster */
    change(f, "DELETE /torrent", 200, "");
    f->client.refuse = 0;
    n = f->client.n_asked;
    f->client.loading = true;
    change(f, "DELETE /torrent", 503, "{\"status\": 503, ");
    change(f, "GET /torrent", 503, "{\"status\": 503, ");
    f->client.loading = false;
    f->client.here = false;
    change(f, "DELETE /torrent", 200, "");
    change(f, "DELETE /torrent/", 404, FAILED("404", "not found"));
    change(f, "DELETE /torrent/" HASH "/", 404, FAILED("404", "not found"));
    assert_int_equal(f->client.n_asked, n);
    stop(f);
}

static void test_changes(void **state)
{
    struct fixture *f = start_with_torrent(state);
    change(f, "POST /torrent/" HASH "/pause", 200, "");
    assert_string_equal(f->client.asked, "pause");
    change(f, "POST /torrent/" HASH "/resume", 200, "");
    assert_string_equal(f->client.asked, "resume");
    ask(f, "PUT /torrent/" HASH "/flags", "", "{\"sequential_download\":true}", 200, "");
    assert_string_equal(f->client.asked, "options");
    assert_int_equal(f->client.options.flags, TORRENT_SEQUENTIAL);
    ask(f, "PUT /torrent/" HASH "/flags", "", "{\"paused\":false,\"sequential_download\":true}",
        200, "");
    assert_int_equal(f->client.set, TORRENT_SEQUENTIAL); /* also what is so already */
    assert_int_equal(f->client.clear, TORRENT_PAUSED);
    change(f, "GET /torrent/" HASH "/flags", 200,
           "{\"paused\": false, \"auto_managed\": false, \"sequential_download\": true, ");
    ask(f, "PUT /torrent/" HASH "/flags", "", "{\"x\":true}", 400,
        FAILED("400", "unknown flag: x"));
    ask(f, "PUT /torrent/" UNKNOWN "/flags", "", "{}", 404, FAILED("404", "Torrent not found"));
    change(f, "GET /torrent/" UNKNOWN "/flags", 404, "Torrent not found");
    change(f, "GET /torrent/x/flags", 400, FAILED("400", "not an info-hash"));
    f->client.refuse = ERR_NOT_FOUND;
    change(f, "POST /torrent/" UNKNOWN "/pause", 404, FAILED("404", "Torrent not found"));
    change(f, "DELETE /torrent/" UNKNOWN, 404, "Torrent not found");
    f->client.refuse = 0;
    f->client.fail = ERR_UNAVAILABLE;
    change(f, "POST /torrent/" HASH "/pause", 503, "{\"status\": 503, ");
    ask(f, "PUT /torrent/" HASH "/flags", "", "{}", 503, "{\"status\": 503, ");
    stop(f);
}

/* ---- views --------------------------------------------------------------------------------- */

static void test_views(void **state)
{
    static const uint8_t bits[] = {0xa0};
    struct fixture *f = start_with_torrent(state);
    change(f, "GET /torrent", 200, "[\"" HASH "\"]");
    change(f, "GET /session/dht", 200, "false");
    change(f, "GET /session", 200, "{\"dht.dht_allocated_observers\": 0, ");
    change(f, "GET /torrent/" HASH, 200, "\"pieces\": [], ");
    f->client.status.n_pieces = 3;
    f->client.bitfield = bits;
    change(f, "GET /torrent/" HASH, 200, "\"verified_pieces\": [], ");
    assert_non_null(strstr(f->body, "\"pieces\": [true, false, true], "));
    assert_non_null(strstr(f->body, "\"queue_position\": 7, "));
    assert_string_equal(f->body + strlen(f->body) - 1, "}");
    change(f, "HEAD /torrent/" HASH, 200, "");
    assert_string_equal(f->body, "");
    change(f, "GET /torrent/" UNKNOWN, 404, FAILED("404", "Torrent not found"));
    change(f, "GET /torrent/abcd", 400, FAILED("400", "not an info-hash"));
    f->client.here = false;
    change(f, "GET /torrent", 200, "[]");
    stop(f);
}

static void test_who_may_call(void **state)
{
    static const char *const requests[] = {
        "GET /session",          "GET /session/dht",
        "GET /torrent",          "POST /torrent",
        "DELETE /torrent",       "GET /torrent/" HASH,
        "DELETE /torrent/" HASH, "POST /torrent/" HASH "/pause",
        "GET /torrent/a/b/c",    "PUT /session",
    };
    struct fixture *f = start_with_torrent(state);
    f->cfg.api.local_without_token = false;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        change(f, requests[i], 401, FAILED("401", "unauthorized"));
    }
    assert_int_equal(f->client.n_asked, 0);
    stop(f);
}

/* The client answers when the API is gone. */
static void test_closing(void **state)
{
    static const char *const requests[] = {"DELETE /torrent/" HASH, "DELETE /torrent",
                                           "POST /torrent/" HASH "/pause"};
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct fixture *f = start_with_torrent(state);
        char text[256];
        int fd = dial(f->port);
        f->client.silent = true;
        (void)snprintf(text, sizeof text, "%s HTTP/1.1\r\nhost: localhost\r\n\r\n", requests[i]);
        put(fd, text);
        while (f->client.n_asked == 0) {
            send_raw(f, "GET /session/dht", "host: localhost\r\n", "");
        }
        stop(f);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ways_of_adding),
        cmocka_unit_test(test_args_reach_the_client),
        cmocka_unit_test(test_args_outlive_a_fetch),
        cmocka_unit_test(test_forms_that_are_refused),
        cmocka_unit_test(test_what_the_client_says_of_an_add),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_remove_all),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_who_may_call),
        cmocka_unit_test(test_closing),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
