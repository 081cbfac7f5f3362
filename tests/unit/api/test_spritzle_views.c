/* What the spritzle API shows: its JSON, the counters of a session, a torrent, its own address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <cJSON.h>

#include "api/location.h"
#include "api/spritzle_json.h"
#include "api/spritzle_session.h"
#include "api/spritzle_torrent.h"
#include "base/mem.h"
#include "unit/api/fake_client.h"

#include "base/banned.h"

enum { TEXT_MAX = 1 << 16 };

/* A file of the tests' data, as JSON. */
static cJSON *data(const char *name)
{
    char path[512];
    static char text[TEXT_MAX];
    (void)snprintf(path, sizeof path, "%s/spritzle/%s", TEST_DATA_DIR, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    cJSON *json = cJSON_ParseWithLength(text, n);
    assert_non_null(json);
    return json;
}

static void same(struct buf *out, const char *wanted)
{
    buf_add_byte(out, '\0');
    assert_false(out->bad);
    assert_string_equal(out->p, wanted);
    buf_release(out);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static void test_members(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, TEXT_MAX);
    buf_add_byte(&out, '{');
    spritzle_json_text(&out, "a", SPAN("x\"y"));
    spritzle_json_int(&out, "b", INT64_MIN);
    spritzle_json_count(&out, "c", UINT64_MAX);
    spritzle_json_key(&out, "d");
    buf_add_byte(&out, '{');
    spritzle_json_bool(&out, "e", true);
    buf_add_str(&out, "}}");
    same(&out, "{\"a\": \"x\\\"y\", \"b\": -9223372036854775808, \"c\": 18446744073709551615, "
               "\"d\": {\"e\": true}}");
}

static void test_floats(void **state)
{
    static const struct {
        double v;
        const char *text;
    } cases[] = {
        {0, "0.0"},
        {1, "1.0"},
        {-1, "-1.0"},
        {0.25, "0.25"},
        {1.0 / 3, "0.333333"},
        {0.1, "0.1"},
        {100, "100.0"},
        {1e-9, "0.0"},
        {0.0 / 0.0, "0.0"},
        {1 / 0.0, "0.0"},
        {12.5004, "12.5004"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out;
        char wanted[64];
        buf_init(&out, TEXT_MAX);
        buf_add_byte(&out, '{');
        spritzle_json_float(&out, "x", cases[i].v);
        (void)snprintf(wanted, sizeof wanted, "{\"x\": %s", cases[i].text);
        same(&out, wanted);
    }
}

static void test_bits(void **state)
{
    static const uint8_t bits[] = {0xa0, 0x80};
    (void)state;
    for (uint32_t slice = 1; slice <= 10; slice++) {
        struct buf out;
        uint32_t at = 0;
        unsigned n_calls = 1;
        buf_init(&out, TEXT_MAX);
        while (spritzle_json_bits(&out, bits, 9, &at, slice)) {
            n_calls++;
        }
        assert_int_equal(n_calls, (9 + slice - 1) / slice);
        same(&out, "true, false, true, false, false, false, false, false, true");
    }
    uint32_t at = 0;
    struct buf out;
    buf_init(&out, TEXT_MAX);
    assert_false(spritzle_json_bits(&out, bits, 0, &at, 8));
    assert_int_equal(out.len, 0);
    buf_release(&out);
}

/* ---- session ------------------------------------------------------------------------------- */

static cJSON *session_json(const struct spritzle_session *s)
{
    struct buf out;
    buf_init(&out, TEXT_MAX);
    spritzle_session_add(&out, s);
    assert_false(out.bad);
    cJSON *json = cJSON_ParseWithLength((const char *)out.p, out.len);
    assert_non_null(json);
    buf_release(&out);
    return json;
}

static double value(const cJSON *json, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

static void test_session_names(void **state)
{
    static struct spritzle_session none;
    cJSON *names = data("session_keys.json");
    cJSON *json = session_json(&none);
    const cJSON *item = json->child;
    (void)state;
    for (const cJSON *name = names->child; name != NULL; name = name->next) {
        assert_non_null(item);
        assert_string_equal(item->string, name->valuestring);
        item = item->next;
    }
    assert_null(item);
    assert_int_equal(value(json, "ses.num_unchoke_slots"), 4);
    assert_int_equal(value(json, "net.sent_bytes"), 0);
    cJSON_Delete(json);
    cJSON_Delete(names);
}

struct counter {
    const char *name;
    double value;
};

static void check_session(const struct spritzle_session *s, const struct counter *wanted, size_t n)
{
    cJSON *json = session_json(s);
    for (size_t i = 0; i < n; i++) {
        if (value(json, wanted[i].name) != wanted[i].value) {
            fail_msg("%s is %f", wanted[i].name, value(json, wanted[i].name));
        }
    }
    cJSON_Delete(json);
}

static void test_session_values(void **state)
{
    static struct spritzle_session s;
    struct engine_totals *t = &s.totals;
    (void)state;
    t->wire = (struct peer_totals){.down = 100, .up = 200, .down_payload = 60, .up_payload = 150};
    t->waste[WASTE_SEED] = 5;
    t->waste[WASTE_CLOSING] = 7;
    t->n_torrents[TORRENT_SEEDING] = 3;
    t->n_torrents[TORRENT_QUEUED_CHECK] = 2;
    t->n_torrents[TORRENT_METADATA] = 1;
    t->n_running[TORRENT_SEEDING] = 1;
    t->n_running[TORRENT_QUEUED_CHECK] = 2;
    t->n_stopped = 2;
    t->n_faulty = 1;
    t->messages.in[WIRE_CHOKE] = 11;
    t->messages.out[WIRE_ALLOWED_FAST] = 12;
    t->messages.in_extended[PEER_EXT_PEX] = 13;
    t->messages.out_extended[PEER_EXT_OTHER] = 14;
    t->in.sizes[0] = 21;
    t->out.sizes[17] = 22;
    t->connects_failed = 3;
    t->broken = 4;
    t->broken_incoming = 1;
    t->disk_queue_jobs = 9;
    s.disk.jobs = 4;
    s.trackers = (struct trackers_stats){.sent_len = 31, .received_len = 32, .datagrams = 33};
    static const struct counter wanted[] = {
        {"net.recv_bytes", 100},
        {"net.sent_payload_bytes", 150},
        {"net.recv_payload_bytes", 72}, /* what was of no use came as well */
        {"net.recv_redundant_bytes", 12},
        {"ses.waste_piece_seed", 5},
        {"ses.waste_piece_closing", 7},
        {"ses.num_loaded_torrents", 6},
        {"ses.num_seeding_torrents", 1},
        {"ses.num_checking_torrents", 2},
        {"ses.num_downloading_torrents", 0},
        {"ses.num_stopped_torrents", 2},
        {"ses.num_error_torrents", 1},
        {"ses.num_incoming_choke", 11},
        {"ses.num_outgoing_allowed_fast", 12},
        {"ses.num_incoming_pex", 13},
        {"ses.num_outgoing_extended", 14},
        {"sock_bufs.socket_recv_size3", 21},
        {"sock_bufs.socket_send_size20", 22},
        {"peer.error_peers", 7},
        {"peer.error_incoming_peers", 1},
        {"peer.error_outgoing_peers", 6},
        {"disk.queued_disk_jobs", 5},
        {"disk.num_running_disk_jobs", 4},
        {"net.sent_tracker_bytes", 31},
        {"net.recv_tracker_bytes", 32},
        {"net.on_udp_counter", 33},
        {"net.has_incoming_connections", 0},
        {"dht.dht_nodes", 0},
    };
    check_session(&s, wanted, sizeof wanted / sizeof wanted[0]);
}

static void test_session_sums(void **state)
{
    static struct spritzle_session s;
    struct engine_totals *t = &s.totals;
    (void)state;
    s.disk.writing = 2;
    s.disk.held[DISK_READ] = 1;
    s.disk.held[DISK_WRITE] = 2;
    s.disk.held[DISK_REMOVE] = 3;
    s.disk.held[DISK_WANTED] = 4;
    s.disk.n_deletes_held = 1;
    t->connects_timed_out = 2;
    t->partings.no_handshake = 3;
    t->now.end_game = 5;
    t->disk_reads = 6;
    t->disk_hashes = 1;
    static const struct counter wanted[] = {
        {"disk.num_writing_threads", 2},     {"disk.num_read_ops", 7},
        {"disk.blocked_disk_jobs", 10},      {"disk.num_fenced_read", 1},
        {"disk.num_fenced_write", 2},        {"disk.num_fenced_delete_files", 1},
        {"disk.num_fenced_stop_torrent", 2}, {"disk.num_fenced_file_priority", 4},
        {"disk.num_fenced_hash", 0},         {"peer.connect_timeouts", 5},
        {"peer.num_peers_end_game", 5},
    };
    check_session(&s, wanted, sizeof wanted / sizeof wanted[0]);
}

/* A counter and the place of its number: each has a number of its own, and shows no other. */
static void test_session_counters(void **state)
{
    static struct spritzle_session s;
    struct engine_totals *t = &s.totals;
    struct {
        const char *name;
        uint64_t *place;
        uint64_t unit;
    } all[] = {
        {"disk.disk_hash_time", &s.disk.hash_ns, 1000},
        {"disk.disk_job_time", &s.disk.work_ns, 1000},
        {"disk.disk_read_time", &s.disk.read_ns, 1000},
        {"disk.disk_write_time", &s.disk.write_ns, 1000},
        {"disk.request_latency", &s.disk.read_wait_ns, 1000},
        {"disk.num_blocks_cache_hits", &s.disk.blocks_cached, 1},
        {"disk.num_read_back", &t->blocks_read_back, 1},
        {"disk.num_read_jobs", &t->disk_queue_reads, 1},
        {"disk.num_write_jobs", &t->disk_queue_writes, 1},
        {"net.limiter_down_bytes", &t->limited_down_len, 1},
        {"net.limiter_up_bytes", &t->limited_up_len, 1},
        {"net.on_disk_queue_counter", &t->disk_relieved, 1},
        {"peer.aborted_peers", &t->ends[-ERR_CANCELED], 1},
        {"peer.addrinuse_peers", &t->ends[-ERR_IN_USE], 1},
        {"peer.broken_pipe_peers", &t->ends[-ERR_BROKEN_PIPE], 1},
        {"peer.buffer_peers", &t->ends[-ERR_NO_BUFFERS], 1},
        {"peer.connaborted_peers", &t->ends[-ERR_ABORTED], 1},
        {"peer.connection_attempt_loops", &t->candidates_seen, 1},
        {"peer.connrefused_peers", &t->ends[-ERR_REFUSED], 1},
        {"peer.connreset_peers", &t->ends[-ERR_RESET], 1},
        {"peer.eof_peers", &t->ends[-ERR_CLOSED], 1},
        {"peer.invalid_arg_peers", &t->ends[-ERR_INVALID], 1},
        {"peer.no_access_peers", &t->ends[-ERR_DENIED], 1},
        {"peer.no_memory_peers", &t->ends[-ERR_NO_MEMORY], 1},
        {"peer.notconnected_peers", &t->ends[-ERR_NOT_CONNECTED], 1},
        {"peer.perm_peers", &t->ends[-ERR_NO_PRIVILEGE], 1},
        {"peer.timeout_peers", &t->partings.idle, 1},
        {"peer.too_many_peers", &t->partings.too_many, 1},
        {"peer.transport_timeout_peers", &t->ends[-ERR_TIMEOUT], 1},
        {"peer.uninteresting_peers", &t->partings.uninteresting, 1},
        {"peer.unreachable_peers", &t->ends[-ERR_UNREACHABLE], 1},
        {"picker.end_game_piece_picks", &t->picks[PICK_END_GAME], 1},
        {"picker.hash_fail_piece_picks", &t->picks[PICK_HASH_FAIL], 1},
        {"picker.incoming_piece_picks", &t->picks[PICK_INCOMING], 1},
        {"picker.incoming_redundant_piece_picks", &t->picks[PICK_REDUNDANT], 1},
        {"picker.interesting_piece_picks", &t->picks[PICK_INTERESTING], 1},
        {"picker.reject_piece_picks", &t->picks[PICK_REJECT], 1},
        {"picker.snubbed_piece_picks", &t->picks[PICK_SNUBBED], 1},
        {"picker.unchoke_piece_picks", &t->picks[PICK_UNCHOKE], 1},
        {"picker.piece_picker_busy_loops", &t->picker.busy, 1},
        {"picker.piece_picker_partial_loops", &t->picker.partial, 1},
        {"picker.piece_picker_rand_loops", &t->picker.random, 1},
        {"picker.piece_picker_rand_start_loops", &t->picker.random_skipped, 1},
        {"picker.piece_picker_rare_loops", &t->picker.rare, 1},
        {"picker.piece_picker_reverse_rare_loops", &t->picker.rare_reverse, 1},
        {"picker.piece_picker_sequential_loops", &t->picker.sequential, 1},
    };
    enum { N = sizeof all / sizeof all[0] };
    (void)state;
    for (uint64_t i = 0; i < N; i++) {
        *all[i].place = (i + 1) * all[i].unit;
    }
    struct counter wanted[N];
    for (uint64_t i = 0; i < N; i++) {
        wanted[i] = (struct counter){all[i].name, (double)(i + 1)};
    }
    check_session(&s, wanted, N);
}

/* Every number at its greatest, and the answer still has its place. */
static void test_session_of_great_numbers(void **state)
{
    static struct spritzle_session s;
    (void)state;
    memset(&s, 0xff, sizeof s);
    struct buf out;
    buf_init(&out, 32768);
    spritzle_session_add(&out, &s);
    assert_false(out.bad);
    buf_release(&out);
}

/* ---- torrent ------------------------------------------------------------------------------- */

static struct spritzle_torrent torrent(void)
{
    struct spritzle_torrent t = {
        .status = {.state = TORRENT_DOWNLOADING,
                   .name = "tmprandomfile",
                   .error = "",
                   .tracker = "",
                   .has_metadata = true,
                   .copies = -1,
                   .n_complete = -1,
                   .n_incomplete = -1,
                   .since_up_s = -1,
                   .since_down_s = -1,
                   .since_counts_s = -1,
                   .next_announce_s = -1,
                   .wanted_len = 4194304,
                   .added_unix_s = 1455682321,
                   .active_s = 17,
                   .unsaved = true,
                   .n_pieces = 256,
                   .flags = TORRENT_AUTO_MANAGED},
        .facts = {.save_path = "/tmp"},
        .queue_position = 0,
    };
    assert_true(
        hex_decode(t.status.info_hash.b, 20, SPAN("44a040be6d74d8d290cd20128788864cbf770719")));
    return t;
}

/* bits: of its pieces. */
static struct buf torrent_text(const struct spritzle_torrent *t, const uint8_t *bits)
{
    struct buf out;
    uint32_t at = 0;
    buf_init(&out, TEXT_MAX);
    spritzle_torrent_add_head(&out, t);
    spritzle_torrent_add_middle(&out, t);
    (void)spritzle_json_bits(&out, bits, t->status.n_pieces, &at, UINT32_MAX);
    spritzle_torrent_add_tail(&out, t);
    assert_false(out.bad);
    return out;
}

static cJSON *torrent_json(const struct spritzle_torrent *t)
{
    static const uint8_t bits[32];
    struct buf out = torrent_text(t, bits);
    cJSON *json = cJSON_ParseWithLength((const char *)out.p, out.len);
    assert_non_null(json);
    buf_release(&out);
    return json;
}

/* But for local discovery and DHT, which are off here, it is the document's example. */
static void test_the_example(void **state)
{
    cJSON *wanted = data("torrent_example.json");
    const struct spritzle_torrent t = torrent();
    cJSON *json = torrent_json(&t);
    const cJSON *item = json->child;
    (void)state;
    for (const cJSON *w = wanted->child; w != NULL; w = w->next, item = item->next) {
        assert_non_null(item);
        assert_string_equal(item->string, w->string);
        bool off = strcmp(w->string, "announcing_to_lsd") == 0 ||
                   strcmp(w->string, "announcing_to_dht") == 0;
        if (off ? !cJSON_IsFalse(item) : !cJSON_Compare(item, w, true)) {
            fail_msg("%s", w->string);
        }
    }
    assert_null(item);
    cJSON_Delete(json);
    cJSON_Delete(wanted);
}

static void expect(const struct spritzle_torrent *t, const char *wanted)
{
    static const uint8_t bits[32];
    struct buf out = torrent_text(t, bits);
    buf_add_byte(&out, '\0');
    if (strstr((const char *)out.p, wanted) == NULL) {
        fail_msg("no %s in %s", wanted, (const char *)out.p);
    }
    buf_release(&out);
}

static void test_special_values(void **state)
{
    struct spritzle_torrent t = torrent();
    (void)state;
    t.status.copies = 2.5;
    expect(&t, "\"distributed_copies\": -1.0, "); /* of nobody */
    t.status.n_peers = 3;
    expect(&t, "\"distributed_copies\": 2.5, ");
    expect(&t, "\"distributed_full_copies\": 2, ");
    expect(&t, "\"distributed_fraction\": 500, ");
    t.status.n_half_open = 2;
    expect(&t, "\"num_connections\": 5, ");
    t.status.max_peers = 40;
    expect(&t, "\"connections_limit\": 40, ");
    expect(&t, "\"uploads_limit\": -1, ");
    t.status.max_uploads = UINT32_MAX;
    expect(&t, "\"uploads_limit\": 4294967295, ");
    t.status.next_announce_s = 90;
    expect(&t, "\"next_announce\": \"90.0\", ");
    t.status.n_complete = 5;
    t.status.since_counts_s = 8;
    expect(&t, "\"last_scrape\": 8, ");
    t.status.progress = 0.5;
    expect(&t, "\"progress\": 0.5, ");
    expect(&t, "\"progress_ppm\": 500000, ");
    t.status.progress = 1.5;
    expect(&t, "\"progress_ppm\": 1000000, ");
    t.facts.allocate = true;
    expect(&t, "\"storage_mode\": 0, ");
    t.status.flags = TORRENT_SHARE_MODE | TORRENT_UPLOAD_ONLY | TORRENT_PAUSED;
    expect(&t, "\"share_mode\": true");
    expect(&t, "\"upload_mode\": false, ");
    expect(&t, "\"paused\": true, ");
    t.status.state = TORRENT_FINISHED;
    expect(&t, "\"is_seeding\": false, ");
    expect(&t, "\"is_finished\": true, ");
}

static void test_errors(void **state)
{
    static const struct {
        enum torrent_fault fault;
        const char *wanted;
    } cases[] = {
        {FAULT_NONE, "{\"message\": \"Success\", \"value\": 0, \"category\": {\"message\": "
                     "\"Success\", \"name\": \"system\"}}"},
        {FAULT_MISSING, "{\"message\": \"No such file or directory\", \"value\": 2, \"category\": "
                        "{\"message\": \"No such file or directory\", \"name\": \"system\"}}"},
        {FAULT_DISK_FULL, "\"value\": 28, "},
        {FAULT_DISK, "\"value\": 5, "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct spritzle_torrent t = torrent();
        t.status.fault = cases[i].fault;
        expect(&t, cases[i].wanted);
    }
}

static void test_names(void **state)
{
    struct spritzle_torrent t = torrent();
    (void)state;
    t.status.has_metadata = false;
    t.status.name = "44a040be6d74d8d290cd20128788864cbf770719";
    expect(&t, "\"name\": \"\", ");
    t.status.name = "dn";
    expect(&t, "\"name\": \"dn\", ");
    t.status.has_metadata = true;
    t.status.name = "44a040be6d74d8d290cd20128788864cbf770719";
    expect(&t, "\"name\": \"44a040be6d74d8d290cd20128788864cbf770719\", ");
    t.status.name = "a\"";
    expect(&t, "\"name\": \"a\\\"\", ");
}

/* ---- location ------------------------------------------------------------------------------ */

static void test_location(void **state)
{
    static const struct {
        const char *listen, *host, *wanted;
        bool tls;
    } cases[] = {
        {"127.0.0.1:80", "localhost:99", "http://localhost:99", false},
        {"127.0.0.1:80", "127.0.0.1", "https://127.0.0.1", true},
        {"127.0.0.1:80", "mine.example:1", "http://mine.example:1", false},
        {"127.0.0.1:80", "evil.example", "http://127.0.0.1:80", false},
        {"127.0.0.1:80", "localhost/x", "http://127.0.0.1:80", false},
        {"127.0.0.1:80", "localhost:1\r\nx: y", "http://127.0.0.1:80", false},
        {"127.0.0.1:80", "", "http://127.0.0.1:80", false},
        {"0.0.0.0:81", "evil.example", "http://127.0.0.1:81", false},
        {"[::]:82", "evil.example", "http://[::1]:82", false},
        {"192.0.2.1:83", "192.0.2.1:83", "http://192.0.2.1:83", false},
        {"192.0.2.1:83", "192.0.2.2:83", "http://192.0.2.1:83", false},
    };
    char *names[] = {(char *)"mine.example"};
    const struct string_list hosts = {names, 1};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct endpoint at;
        struct buf out;
        assert_true(endpoint_parse(&at, span_str(cases[i].listen)));
        const struct endpoint_list listen = {&at, 1};
        buf_init(&out, 256);
        location_add_base(&out, cases[i].tls, span_str(cases[i].host), &hosts, &listen);
        same(&out, cases[i].wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_session_names),
        cmocka_unit_test(test_session_values),
        cmocka_unit_test(test_session_sums),
        cmocka_unit_test(test_session_counters),
        cmocka_unit_test(test_session_of_great_numbers),
        cmocka_unit_test(test_the_example),
        cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_location),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
