/* What one torrent does, from its first byte to its last, among real engines in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "client/pieces.h"
#include "sim/sim.h"

#include "base/banned.h"

enum { KIB = 1 << 10, MIB = 1 << 20, SECOND = 1000, MINUTE = 60 * SECOND };

static struct sim_torrent *torrent(struct sim *s, uint64_t len, uint32_t piece_len)
{
    return sim_torrent_new(
        s, &(struct sim_content){.name = "content", .len = len, .piece_len = piece_len});
}

static struct sim_node *node(struct sim *s, uint64_t up_bps)
{
    return sim_node_new(s, &(struct sim_node_spec){.up_bps = up_bps});
}

static struct engine_totals totals_of(const struct sim_node *n)
{
    struct engine_totals t;
    engine_totals(n->e, &t);
    return t;
}

static void one_seed_and_one_leech(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 1});
    struct sim_torrent *t = torrent(s, 4 * MIB + 12345, 256 * KIB);
    struct sim_node *a = node(s, 2 * MIB);
    struct sim_node *b = node(s, 1 * MIB);
    struct sim_member *seed = sim_add(a, t, &(struct sim_add){.seed = true, .tracked = true});
    struct sim_member *leech = sim_add(b, t, &(struct sim_add){.tracked = true});
    sim_run_until(s, sim_all_complete, NULL, 10 * SECOND);
    sim_run(s, 30 * SECOND);
    assert_true(sim_disk_is_right(leech));
    assert_int_equal(sim_status(leech).state, TORRENT_SEEDING);
    assert_int_equal(sim_status(leech).total_down, t->len);
    assert_int_equal(sim_status(seed).total_up, t->len);
    assert_int_equal(sim_status(leech).wasted, 0);
    assert_int_equal(sim_status(leech).n_peers, 0); /* nothing for each other any more */
    assert_true(leech->saved_once && leech->saved.resume.completed_unix_s > 0);
    sim_end(s);
}

static void a_seed_without_resume_looks_at_its_files_first(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 2});
    struct sim_torrent *t = torrent(s, 3 * MIB + 1, 64 * KIB);
    struct sim_node *a = node(s, 2 * MIB);
    struct sim_member *seed =
        sim_add(a, t, &(struct sim_add){.seed = true, .unchecked = true, .tracked = true});
    struct sim_member *leech = sim_add(node(s, 2 * MIB), t, &(struct sim_add){.tracked = true});
    assert_int_not_equal(sim_status(seed).state, TORRENT_SEEDING);
    sim_run_until(s, sim_all_complete, NULL, 30 * SECOND);
    assert_true(sim_disk_is_right(leech));
    engine_recheck(a->e, seed->id, s->now_ms);
    sim_node_drain(a);
    assert_false(sim_is_complete(seed));
    sim_run_until(s, sim_all_complete, NULL, 30 * SECOND);
    sim_end(s);
}

/* One torrent of an engine hashes at a time: a turn that is lost stops all of them for good. */
static void a_recheck_in_the_middle_of_a_check_keeps_the_turn(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 11});
    struct sim_node *n =
        sim_node_new(s, &(struct sim_node_spec){.disk_latency_ms = 5, .disk_bps = 2 * MIB});
    struct sim_member *m[2];
    for (int i = 0; i < 2; i++) {
        m[i] = sim_add(n, torrent(s, 4 * MIB, 64 * KIB),
                       &(struct sim_add){.seed = true, .unchecked = true});
    }
    sim_run(s, 500);
    assert_int_equal(sim_status(m[0]).state, TORRENT_CHECKING);
    engine_recheck(n->e, m[0]->id, s->now_ms);
    sim_node_drain(n);
    sim_run(s, 500);
    engine_pause(n->e, m[0]->id, s->now_ms);
    engine_resume(n->e, m[0]->id, s->now_ms);
    sim_node_drain(n);
    sim_run(s, 500);
    engine_resume(n->e, m[1]->id, s->now_ms);
    sim_node_drain(n);
    sim_run_until(s, sim_all_complete, NULL, 1 * MINUTE);
    sim_end(s);
}

static void a_magnet_gets_its_metadata_from_peers(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 3});
    struct sim_torrent *t = torrent(s, 70 * MIB, 16 * KIB); /* 90 KB of metadata: 6 pieces */
    struct sim_member *leech[3];
    sim_add(node(s, 20 * MIB), t, &(struct sim_add){.seed = true, .tracked = true});
    for (int i = 0; i < 3; i++) {
        leech[i] =
            sim_add(node(s, 20 * MIB), t, &(struct sim_add){.magnet = i < 2, .tracked = true});
    }
    assert_int_equal(sim_status(leech[0]).state, TORRENT_METADATA);
    sim_run_until(s, sim_all_complete, NULL, 1 * MINUTE);
    for (int i = 0; i < 3; i++) {
        assert_true(leech[i]->has_info);
        assert_true(sim_disk_is_right(leech[i]));
    }
    sim_end(s);
}

static void a_private_torrent_has_no_word_of_pex(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 4});
    struct sim_torrent *t = sim_torrent_new(
        s, &(struct sim_content){
               .name = "private", .len = 2 * MIB, .piece_len = 64 * KIB, .private = true});
    for (int i = 0; i < 5; i++) {
        sim_add(node(s, 256 * KIB), t, &(struct sim_add){.seed = i == 0, .tracked = true});
    }
    sim_run(s, 3 * MINUTE);
    assert_true(sim_all_complete(s, NULL));
    assert_int_equal(s->n_pex, 0);
    sim_end(s);
}

static void pex_finds_the_others_when_one_peer_is_known(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 5});
    struct sim_torrent *t = torrent(s, 16 * MIB, 128 * KIB);
    struct sim_node *hub = node(s, 64 * KIB);
    struct sim_member *m[6];
    sim_add(hub, t, &(struct sim_add){.seed = true});
    for (int i = 0; i < 6; i++) {
        m[i] = sim_add(node(s, 512 * KIB), t, &(struct sim_add){.peers = &hub, .n_peers = 1});
    }
    sim_run(s, 2 * MINUTE + 10 * SECOND);
    for (int i = 0; i < 6; i++) {
        assert_true(sim_status(m[i]).n_peers >= 4);
    }
    assert_true(s->n_pex > 0);
    sim_run_until(s, sim_all_complete, NULL, 10 * MINUTE);
    assert_true(totals_of(hub).wire.up_payload < 3 * t->len);
    sim_end(s);
}

static uint32_t pages_right(const struct sim_member *m, uint32_t first, uint32_t end)
{
    uint32_t n = 0;
    for (uint32_t i = first; i < end; i++) {
        n += m->pages[i] == PAGE_RIGHT;
    }
    return n;
}

static void files_that_are_not_wanted_are_skipped(void **state)
{
    static const uint8_t some[] = {0, 4, 0, 4, 0, 0};
    static const uint8_t all[] = {4, 4, 4, 4, 4, 4};
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 6});
    struct sim_torrent *t = sim_torrent_new(
        s, &(struct sim_content){
               .name = "files", .len = 6 * MIB, .piece_len = 64 * KIB, .n_files = 6});
    struct sim_node *b = node(s, 1 * MIB);
    sim_add(node(s, 1 * MIB), t, &(struct sim_add){.seed = true, .tracked = true});
    struct sim_member *m =
        sim_add(b, t, &(struct sim_add){.tracked = true, .priorities = {some, sizeof some}});
    sim_run_until(s, sim_all_complete, NULL, 1 * MINUTE);
    assert_int_equal(sim_status(m).state, TORRENT_FINISHED);
    assert_int_equal(pages_right(m, 0, 64), 0);
    assert_int_equal(pages_right(m, 64, 128), 64);
    assert_int_equal(pages_right(m, 192, 256), 64);
    assert_int_equal(pages_right(m, 256, 384), 0);
    assert_int_equal(engine_set_priorities(b->e, m->id, span_of(all, sizeof all), s->now_ms), 0);
    sim_node_drain(b);
    assert_int_equal(sim_status(m).state, TORRENT_DOWNLOADING);
    sim_run_until(s, sim_all_complete, NULL, 3 * MINUTE);
    assert_int_equal(sim_status(m).state, TORRENT_SEEDING);
    assert_true(sim_disk_is_right(m));
    sim_end(s);
}

static void sequential_pieces_come_in_their_order(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 7});
    struct sim_torrent *t = torrent(s, 16 * MIB, 64 * KIB);
    for (int i = 0; i < 3; i++) {
        sim_add(node(s, 256 * KIB), t, &(struct sim_add){.seed = true, .tracked = true});
    }
    struct sim_member *m = sim_add(node(s, 1 * MIB), t,
                                   &(struct sim_add){.tracked = true, .flags = TORRENT_SEQUENTIAL});
    for (uint32_t next = 0; !sim_is_complete(m);) {
        uint8_t bits[32];
        uint32_t n_first = 0;
        sim_run(s, 500);
        assert_true(s->now_ms < 2 * MINUTE);
        assert_true(engine_bitfield(m->n->e, m->id, bits, sizeof bits));
        while (n_first < 256 && (bits[n_first / 8] & 0x80 >> n_first % 8) != 0) {
            n_first++;
        }
        assert_true(n_first >= next);
        assert_true(sim_status(m).n_pieces_have <= n_first + 48); /* 3 s of all lines */
        next = n_first;
    }
    sim_end(s);
}

static bool has_fault(struct sim *s, void *ctx)
{
    (void)s;
    return sim_status(ctx).fault == FAULT_DISK_FULL;
}

static void a_full_disk_stops_the_download_and_nothing_else(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 8});
    struct sim_torrent *t = torrent(s, 8 * MIB, 128 * KIB);
    struct sim_node *full =
        sim_node_new(s, &(struct sim_node_spec){.up_bps = 1 * MIB, .disk_pages = 200});
    struct sim_node *seed_node = node(s, 512 * KIB);
    sim_add(seed_node, t, &(struct sim_add){.seed = true, .tracked = true});
    struct sim_member *m = sim_add(full, t, &(struct sim_add){.tracked = true});
    sim_run_until(s, has_fault, m, 1 * MINUTE);
    uint64_t up = sim_status(m).session_up;
    struct sim_member *other = sim_add(node(s, 1 * MIB), t, &(struct sim_add){.tracked = true});
    sim_run(s, 1 * MINUTE);
    assert_int_equal(sim_status(m).fault, FAULT_DISK_FULL);
    assert_true(sim_status(m).session_up > up);
    assert_true(full->n_no_space < 60);
    assert_true(sim_is_complete(other));
    full->spec.disk_pages = 0;
    sim_run_until(s, sim_all_complete, NULL, 3 * MINUTE);
    assert_int_equal(sim_status(m).fault, FAULT_NONE);
    assert_true(sim_disk_is_right(m));
    sim_end(s);
}

static void a_slow_disk_slows_the_peers_and_not_the_memory(void **state)
{
    (void)state;
    struct engine_cfg cfg = engine_cfg_default;
    cfg.max_disk_queue_len = 2 * MIB;
    struct sim *s = sim_new(&(struct sim_options){.seed = 9});
    struct sim_torrent *t = torrent(s, 32 * MIB, 1 * MIB);
    for (int i = 0; i < 3; i++) {
        sim_add(node(s, 10 * MIB), t, &(struct sim_add){.seed = true, .tracked = true});
    }
    struct sim_node *slow = sim_node_new(s, &(struct sim_node_spec){
                                                .disk_bps = 1 * MIB,
                                                .disk_latency_ms = 20,
                                                .cfg = &cfg,
                                            });
    struct sim_member *m = sim_add(slow, t, &(struct sim_add){.tracked = true});
    sim_run_until(s, sim_all_complete, NULL, 3 * MINUTE);
    assert_true(sim_disk_is_right(m));
    assert_true(slow->jobs_len_max <= 6 * MIB);
    sim_end(s);
}

static void what_is_removed_is_gone(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 10});
    struct sim_torrent *t = torrent(s, 8 * MIB, 256 * KIB);
    struct sim_node *b = node(s, 1 * MIB);
    sim_add(node(s, 512 * KIB), t, &(struct sim_add){.seed = true, .tracked = true});
    struct sim_member *m = sim_add(b, t, &(struct sim_add){.tracked = true});
    sim_run(s, 8 * SECOND);
    assert_true(sim_status(m).done_len > 0);
    engine_remove_torrent(b->e, m->id, true, s->now_ms);
    sim_node_drain(b);
    sim_run(s, 10 * SECOND);
    assert_true(m->removed);
    assert_int_equal(engine_find(b->e, &t->info_hash), 0);
    assert_int_equal(pages_right(m, 0, t->n_pages), 0);
    sim_end(s);
}

static void paused_is_silent_and_resumed_goes_on(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 12});
    struct sim_torrent *t = torrent(s, 8 * MIB, 256 * KIB);
    struct sim_node *b = node(s, 1 * MIB);
    sim_add(node(s, 512 * KIB), t, &(struct sim_add){.seed = true, .tracked = true});
    struct sim_member *m = sim_add(b, t, &(struct sim_add){.tracked = true});
    sim_run(s, 8 * SECOND);
    engine_pause(b->e, m->id, s->now_ms);
    sim_node_drain(b);
    sim_run(s, 5 * SECOND);
    uint64_t received = b->received_len;
    sim_run(s, 2 * MINUTE);
    assert_true(b->received_len - received < 1 * KIB); /* handshakes that it does not answer */
    assert_int_equal(sim_status(m).n_peers, 0);
    engine_resume(b->e, m->id, s->now_ms);
    sim_node_drain(b);
    sim_run_until(s, sim_all_complete, NULL, 2 * MINUTE);
    assert_int_equal(sim_status(m).total_down, t->len);
    sim_end(s);
}

static void two_thousand_torrents_start_and_are_quiet(void **state)
{
    enum { N = 2000 };
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 13, .announce_interval_s = 1800});
    struct sim_node *n = node(s, 0);
    for (int i = 0; i < N; i++) {
        struct sim_torrent *t = torrent(s, 1 * KIB, 16 * KIB);
        sim_add(n, t, &(struct sim_add){.seed = true, .tracked = true});
    }
    sim_run(s, 10 * MINUTE);
    assert_int_equal(s->n_announces, N);
    assert_true(s->announces_in_second_max <= 100);
    uint64_t n_inputs = n->n_inputs;
    sim_run(s, 10 * MINUTE);
    assert_true(n->n_inputs - n_inputs < 100);
    sim_run(s, 12 * MINUTE);
    assert_true(s->n_announces >= N && s->n_announces <= 2 * N + 100);
    sim_end(s);
}

static void announces_without_counts_are_made_up_for_by_scrapes(void **state)
{
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 14, .no_counts = true});
    struct sim_torrent *t = torrent(s, 8 * MIB, 256 * KIB);
    struct sim_node *b = node(s, 1 * MIB);
    sim_add(node(s, 512 * KIB), t, &(struct sim_add){.seed = true, .tracked = true});
    struct sim_member *m = sim_add(b, t, &(struct sim_add){.tracked = true});
    struct sim_member *idle =
        sim_add(node(s, 1 * MIB), t, &(struct sim_add){.tracked = true, .flags = TORRENT_PAUSED});
    assert_int_equal(sim_status(m).n_complete, -1);
    sim_run(s, 8 * SECOND);
    assert_int_equal(sim_status(m).n_complete, 1);
    assert_int_equal(sim_status(m).n_incomplete, 1);
    assert_int_equal(sim_status(idle).n_complete, 1);
    sim_run(s, 40 * MINUTE);
    assert_int_equal(sim_status(m).n_complete, 2);
    assert_int_equal(sim_status(idle).n_downloaded, 1);
    assert_int_equal(s->n_scrapes, 6); /* two of each node */
    sim_end(s);
}

static void two_thousand_paused_torrents_are_scraped_gently(void **state)
{
    enum { N = 2000 };
    (void)state;
    struct sim *s = sim_new(&(struct sim_options){.seed = 15});
    struct sim_node *n = node(s, 0);
    for (int i = 0; i < N; i++) {
        struct sim_torrent *t = torrent(s, 1 * KIB, 16 * KIB);
        sim_add(n, t, &(struct sim_add){.seed = true, .tracked = true, .flags = TORRENT_PAUSED});
    }
    sim_run(s, 20 * MINUTE);
    assert_int_equal(s->n_announces, 0);
    assert_int_equal(s->n_scraped, N);
    assert_int_equal(s->n_scrapes, N / SCRAPE_HTTP_MAX);
    s->tracker_down = true;
    sim_run(s, 20 * MINUTE);
    assert_true(s->n_scrapes <= N / SCRAPE_HTTP_MAX + 3);
    s->tracker_down = false;
    sim_run(s, 30 * MINUTE);
    assert_int_equal(s->n_announces, 0);
    assert_in_range(s->n_scrapes, 2 * N / SCRAPE_HTTP_MAX, 2 * N / SCRAPE_HTTP_MAX + 5);
    sim_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_seed_and_one_leech),
        cmocka_unit_test(a_seed_without_resume_looks_at_its_files_first),
        cmocka_unit_test(a_recheck_in_the_middle_of_a_check_keeps_the_turn),
        cmocka_unit_test(a_magnet_gets_its_metadata_from_peers),
        cmocka_unit_test(a_private_torrent_has_no_word_of_pex),
        cmocka_unit_test(pex_finds_the_others_when_one_peer_is_known),
        cmocka_unit_test(files_that_are_not_wanted_are_skipped),
        cmocka_unit_test(sequential_pieces_come_in_their_order),
        cmocka_unit_test(a_full_disk_stops_the_download_and_nothing_else),
        cmocka_unit_test(a_slow_disk_slows_the_peers_and_not_the_memory),
        cmocka_unit_test(what_is_removed_is_gone),
        cmocka_unit_test(paused_is_silent_and_resumed_goes_on),
        cmocka_unit_test(two_thousand_torrents_start_and_are_quiet),
        cmocka_unit_test(announces_without_counts_are_made_up_for_by_scrapes),
        cmocka_unit_test(two_thousand_paused_torrents_are_scraped_gently),
    };
    return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
