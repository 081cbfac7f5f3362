/* The TorrentFlow API: a torrent's status, every key of it. */
#include "unit/api/torrentflow_fixture.h"

#include <cJSON.h>

#include "base/banned.h"

static struct layout_file files[] = {
    {0, 1000, "multi/a.txt", 0},
    {1000, 15384, "multi/.pad/15384", METAINFO_PAD},
    {16384, 50000, "multi/sub/\"b\".txt", 0},
};
static struct layout layout = {.files = files, .n_files = 3, .name = "multi"};

static void give_torrent(struct fixture *f, bool with_metadata)
{
    f->client.here = true;
    f->client.status = (struct torrent_status){
        .id = 5,
        .info_hash = f->client.hash,
        .state = TORRENT_METADATA,
        .name = "",
        .error = "",
        .tracker = "",
        .n_complete = -1,
        .n_incomplete = -1,
        .n_downloaded = -1,
        .copies = -1,
        .since_up_s = -1,
        .since_down_s = -1,
        .since_counts_s = -1,
        .next_announce_s = -1,
        .added_unix_s = 1700000000,
    };
    f->client.facts = (struct client_facts){.save_path = "/srv/\"d\""};
    if (with_metadata) {
        struct torrent_status *s = &f->client.status;
        f->client.layout = &layout;
        s->state = TORRENT_DOWNLOADING;
        s->has_metadata = true;
        s->name = "multi";
        s->progress = 1.0 / 3;
        s->n_pieces = 5;
        s->n_pieces_have = 2;
        s->piece_len = 16384;
        s->total_len = 66384;
        s->down_all_bps = 100;
        s->session_down_all = UINT64_C(1) << 53;
        s->n_peers = 3;
        s->n_known = 9;
        s->n_complete = 4;
        s->since_counts_s = 17;
        s->copies = 2.5;
        f->client.facts.comment = SPAN("c \xff");
        f->client.facts.created_by = SPAN("mk");
        f->client.facts.creation_unix_s = 1700000000;
    }
}

/* The answer as JSON, to be deleted. */
static cJSON *status(struct fixture *f)
{
    change(f, "GET /torrents/" HASH, 200, "{\"infohash\":\"" HASH "\"");
    assert_non_null(strstr(f->answer, "content-type: application/json\r\n"));
    cJSON *all = cJSON_ParseWithOpts(f->body, NULL, 1);
    if (all == NULL) {
        fail_msg("%s", f->body);
    }
    return all;
}

static const cJSON *at(const cJSON *all, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(all, key);
    if (item == NULL) {
        fail_msg("no %s", key);
    }
    return item;
}

static double number(const cJSON *all, const char *key)
{
    assert_true(cJSON_IsNumber(at(all, key)));
    return at(all, key)->valuedouble;
}

static const char *text(const cJSON *all, const char *key)
{
    assert_true(cJSON_IsString(at(all, key)));
    return at(all, key)->valuestring;
}

/* Every key of the document, once, with its type: s, b, i, f(loat, with a point), l(ist). */
static void check_keys(const struct fixture *f, const cJSON *all)
{
    static const char *const keys[] = {
        "s:infohash",
        "s:state",
        "b:paused",
        "b:auto_managed",
        "b:sequential_download",
        "b:is_seeding",
        "b:is_finished",
        "b:has_metadata",
        "f:progress",
        "s:error",
        "f:download_rate",
        "f:upload_rate",
        "i:total_download",
        "i:total_upload",
        "i:num_peers",
        "i:list_peers",
        "i:list_seeds",
        "i:connect_candidates",
        "i:num_pieces",
        "i:total_pieces",
        "i:pieces_downloaded",
        "i:total_done",
        "i:total_wanted_done",
        "i:total_wanted",
        "f:distributed_copies",
        "i:num_seeds",
        "i:num_complete",
        "i:num_incomplete",
        "i:last_seen_complete",
        "i:time_since_upload",
        "i:time_since_download",
        "i:active_time",
        "i:finished_time",
        "i:seeding_time",
        "i:seed_rank",
        "i:last_scrape",
        "b:has_incoming",
        "b:seed_mode",
        "b:upload_mode",
        "b:share_mode",
        "b:super_seeding",
        "i:priority",
        "i:added_time",
        "i:completed_time",
        "s:storage_mode",
        "s:save_path",
        "s:name",
        "i:total_size",
        "i:num_files",
        "i:creation_date",
        "s:creator",
        "s:comment",
        "i:piece_length",
        "l:files",
    };
    const size_t n = sizeof keys / sizeof keys[0];
    assert_int_equal(cJSON_GetArraySize(all), n);
    for (size_t i = 0; i < n; i++) {
        const cJSON *item = at(all, keys[i] + 2);
        char written[64];
        (void)snprintf(written, sizeof written, "\"%s\":", keys[i] + 2);
        const char *value = strstr(f->body, written) + strlen(written);
        bool with_point = value[strspn(value, "-0123456789")] == '.';
        bool good = keys[i][0] == 's'   ? cJSON_IsString(item)
                    : keys[i][0] == 'b' ? cJSON_IsBool(item)
                    : keys[i][0] == 'l' ? cJSON_IsArray(item)
                                        : cJSON_IsNumber(item) && with_point == (keys[i][0] == 'f');
        if (!good) {
            fail_msg("%s: %.20s", keys[i], value);
        }
    }
}

static void test_status_without_metadata(void **state)
{
    struct fixture *f = start(state);
    give_torrent(f, false);
    cJSON *all = status(f);
    check_keys(f, all);
    assert_string_equal(text(all, "state"), "downloading_metadata");
    assert_string_equal(text(all, "name"), HASH);
    assert_string_equal(text(all, "save_path"), "/srv/\"d\"");
    assert_string_equal(text(all, "error"), "");
    assert_string_equal(text(all, "comment"), "");
    assert_true(number(all, "progress") == 0);
    assert_true(number(all, "num_pieces") == 0);
    assert_true(number(all, "num_complete") == -1);
    assert_true(number(all, "distributed_copies") == -1);
    assert_true(number(all, "last_scrape") == -1);
    assert_true(number(all, "time_since_upload") == -1);
    assert_true(number(all, "completed_time") == 0);
    assert_int_equal(cJSON_GetArraySize(at(all, "files")), 0);
    cJSON_Delete(all);
    stop(f);
}

static void test_status(void **state)
{
    struct fixture *f = start(state);
    give_torrent(f, true);
    cJSON *all = status(f);
    check_keys(f, all);
    assert_string_equal(text(all, "name"), "multi");
    assert_string_equal(text(all, "comment"), "c \xef\xbf\xbd");
    assert_string_equal(text(all, "creator"), "mk");
    assert_string_equal(text(all, "storage_mode"), "storage_mode_sparse");
    assert_true(number(all, "progress") > 33.33 && number(all, "progress") < 33.34);
    assert_true(number(all, "num_pieces") == 5);
    assert_true(number(all, "total_pieces") == 5);
    assert_true(number(all, "pieces_downloaded") == 2);
    assert_true(number(all, "download_rate") == 100);
    assert_true(number(all, "total_download") == (double)(UINT64_C(1) << 53));
    assert_true(number(all, "num_peers") == 3);
    assert_true(number(all, "list_peers") == 9);
    assert_true(number(all, "last_scrape") == 17);
    assert_true(number(all, "distributed_copies") == 2.5);
    assert_true(number(all, "creation_date") == 1700000000);
    assert_true(number(all, "num_files") == 2); /* a pad is none */
    const cJSON *list = at(all, "files");
    assert_int_equal(cJSON_GetArraySize(list), 2);
    const cJSON *second = cJSON_GetArrayItem(list, 1);
    assert_string_equal(text(second, "path"), "multi/sub/\"b\".txt");
    assert_true(number(second, "size") == 50000);
    assert_true(number(second, "offset") == 16384);
    cJSON_Delete(all);
    stop(f);
}

static void test_states(void **state)
{
    static const struct {
        enum torrent_state state;
        const char *text;
        bool seeding, finished;
    } cases[] = {
        {TORRENT_QUEUED_CHECK, "queued_for_checking", false, false},
        {TORRENT_CHECKING, "checking_files", false, false},
        {TORRENT_METADATA, "downloading_metadata", false, false},
        {TORRENT_DOWNLOADING, "downloading", false, false},
        {TORRENT_FINISHED, "finished", false, true},
        {TORRENT_SEEDING, "seeding", true, true},
    };
    struct fixture *f = start(state);
    give_torrent(f, true);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        f->client.status.state = cases[i].state;
        cJSON *all = status(f);
        assert_string_equal(text(all, "state"), cases[i].text);
        assert_int_equal(cJSON_IsTrue(at(all, "is_seeding")), cases[i].seeding);
        assert_int_equal(cJSON_IsTrue(at(all, "is_finished")), cases[i].finished);
        cJSON_Delete(all);
    }
    stop(f);
}

static void test_flags(void **state)
{
    static const struct {
        unsigned flag;
        const char *key;
    } cases[] = {
        {TORRENT_PAUSED, "paused"},
        {TORRENT_SEQUENTIAL, "sequential_download"},
        {TORRENT_SUPER_SEEDING, "super_seeding"},
        {TORRENT_UPLOAD_ONLY, "upload_mode"},
        {TORRENT_SEED_MODE, "seed_mode"},
        {TORRENT_SHARE_MODE, "share_mode"},
        {TORRENT_AUTO_MANAGED, "auto_managed"},
    };
    struct fixture *f = start(state);
    give_torrent(f, true);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        f->client.status.flags = cases[i].flag;
        cJSON *all = status(f);
        for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
            assert_int_equal(cJSON_IsTrue(at(all, cases[k].key)), k == i);
        }
        cJSON_Delete(all);
    }
    f->client.status.flags = 0;
    f->client.status.fault = FAULT_DISK_FULL;
    f->client.status.error = "No space left on device: /srv";
    f->client.status.has_incoming = true;
    f->client.facts.allocate = true;
    cJSON *all = status(f);
    assert_true(cJSON_IsTrue(at(all, "upload_mode")));
    assert_true(cJSON_IsTrue(at(all, "has_incoming")));
    assert_string_equal(text(all, "error"), "No space left on device: /srv");
    assert_string_equal(text(all, "storage_mode"), "storage_mode_allocate");
    cJSON_Delete(all);
    stop(f);
}

static void test_many_files(void **state)
{
    enum { MANY = 3000 };
    static struct layout_file many[MANY];
    struct fixture *f = start(state);
    give_torrent(f, true);
    for (uint32_t i = 0; i < MANY; i++) {
        /* The first slices have nothing to show. */
        many[i] = (struct layout_file){i, 1, "multi/x", i < 200 ? METAINFO_PAD : 0};
    }
    layout.files = many;
    layout.n_files = MANY;
    cJSON *all = status(f);
    layout.files = files;
    layout.n_files = 3;
    assert_true(number(all, "num_files") == MANY - 200);
    const cJSON *list = at(all, "files");
    assert_int_equal(cJSON_GetArraySize(list), MANY - 200);
    assert_true(number(cJSON_GetArrayItem(list, MANY - 201), "offset") == MANY - 1);
    cJSON_Delete(all);
    stop(f);
}

static void test_unknown_torrents(void **state)
{
    static const char *const hashes[] = {UNKNOWN, "7b5e", "x", "%00", "%ff%fe"};
    struct fixture *f = start(state);
    give_torrent(f, true);
    f->client.refuse = ERR_NOT_FOUND;
    for (size_t i = 0; i < sizeof hashes / sizeof hashes[0]; i++) {
        static const char *const requests[] = {"GET /torrents/%s", "DELETE /torrents/%s",
                                               "PUT /torrents/%s/pause", "PUT /torrents/%s/resume"};
        for (size_t k = 0; k < sizeof requests / sizeof requests[0]; k++) {
            char request[128];
            size_t n = strcspn(requests[k], "%");
            (void)snprintf(request, sizeof request, "%.*s%s%s", (int)n, requests[k], hashes[i],
                           requests[k] + n + 2);
            change(f, request, 404, "{\"detail\":\"Torrent not found\"}");
        }
    }
    stop(f);
}

static void test_forms_of_a_hash(void **state)
{
    struct fixture *f = start(state);
    give_torrent(f, true);
    change(f, "GET /torrents/7B5E918F364908AFAB937ECDD84059DFB61102B7", 200, "\"" HASH "\"");
    change(f, "GET /torrents/PNPJDDZWJEEK7K4TP3G5QQCZ363BCAVX", 200, "\"" HASH "\"");
    change(f, "GET /torrents/%7B%5E%91%8F6I%08%AF%AB%93~%CD%D8%40Y%DF%B6%11%02%B7", 200, HASH);
    change(f, "GET /torrents/" HASH "/", 200, HASH);
    send_raw(f, "HEAD /torrents/" HASH, "host: localhost\r\n", "");
    assert_int_equal(f->status, 200);
    assert_string_equal(f->body, "");
    stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_without_metadata),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_many_files),
        cmocka_unit_test(test_unknown_torrents),
        cmocka_unit_test(test_forms_of_a_hash),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
