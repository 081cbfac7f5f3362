/* What torrents do with each other. */
#include "unit/client/torrent_fixture.h"

#include "base/err.h"

#include "base/banned.h"

/* ---- downloads */

static void test_download(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    struct node *leech = add_node(x);
    struct torrent_tracker tracker = {.url = SPAN("http://tracker.example/announce")};
    struct torrent_add add = node_torrent(leech);
    add.trackers = &tracker;
    add.n_trackers = 1;
    node_add(leech, &add);
    world_run(&x->w, 1000);
    assert_int_equal(node_status(leech).state, TORRENT_DOWNLOADING);
    assert_int_equal(leech->disk.n_hashes, 0); /* nothing was there */
    node_meet(leech, seed);
    world_run(&x->w, 30000);
    assert_has_all(leech);

    struct torrent_status st = node_status(leech);
    assert_int_equal(st.total_down, x->s.len);
    assert_int_equal(st.session_down, x->s.len);
    assert_int_equal(st.wasted, 0);
    assert_int_equal(st.done_len, x->s.len);
    assert_int_equal(st.wanted_done_len, st.wanted_len);
    assert_true(st.completed_unix_s != 0);
    assert_int_equal(st.n_peers, 0); /* two seeds have nothing to say to each other */
    assert_int_equal(node_status(seed).total_up, x->s.len);
    assert_int_equal(count_events(leech, EVENT_STARTED), 1);
    assert_int_equal(count_events(leech, EVENT_COMPLETED), 1);
    struct engine_totals totals;
    engine_totals(leech->e, &totals);
    assert_int_equal(totals.pieces_passed, x->s.n_pieces);
    assert_int_equal(totals.wire.down_payload, x->s.len);
    assert_int_equal(totals.hash_failures, 0);
    assert_int_equal(totals.n_unchoked, 0);
    assert_true(leech->has_saved && leech->saved.resume.checked);
    scene_free(x);
}

static void test_swarm_shares(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    struct node *a = add_leech(x);
    struct node *b = add_leech(x);
    node_meet(a, seed);
    node_meet(b, a); /* b gets all of it through a, or learns of the seed by PEX */
    world_run(&x->w, 200000);
    assert_has_all(a);
    assert_has_all(b);
    scene_free(x);
}

static void test_magnet(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    struct node *leech = add_node(x);
    struct torrent_add add = {.info_hash = x->s.hash, .name = SPAN("shown name")};
    node_add(leech, &add);
    world_run(&x->w, 1000);
    assert_int_equal(node_status(leech).state, TORRENT_METADATA);
    assert_string_equal(node_status(leech).name, "shown name");
    assert_null(engine_layout(leech->e, leech->t));
    node_meet(leech, seed);
    world_run(&x->w, 30000);
    assert_int_equal(leech->n_metadata, 1);
    assert_string_equal(node_status(leech).name, "sample");
    assert_has_all(leech);
    scene_free(x);
}

static void test_magnet_finds_files(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    struct node *leech = add_node(x);
    node_fill_disk(leech);
    memset(leech->disk.content, 0, PIECE_LEN); /* the first piece is not right */
    struct torrent_add add = {.info_hash = x->s.hash};
    node_add(leech, &add);
    node_meet(leech, seed);
    world_run(&x->w, 30000);
    assert_has_all(leech);
    assert_int_equal(leech->disk.n_hashes, x->s.n_pieces);
    assert_int_equal(node_status(leech).total_down, PIECE_LEN);
    scene_free(x);
}

/* ---- trust */

/* The liar's disk is wrong in each n-th piece; it believes that it is a seed. */
static struct node *add_liar(struct scene *x, uint32_t each)
{
    struct node *n = add_seed(x);
    for (uint32_t i = 0; i < x->s.n_pieces; i += each) {
        n->disk.content[(uint64_t)i * PIECE_LEN + 20000] ^= 0xff;
    }
    return n;
}

static void test_liar_alone_is_banned(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *liar = add_liar(x, 1);
    struct node *leech = add_leech(x);
    node_meet(leech, liar);
    world_run(&x->w, 100000);
    struct engine_totals totals;
    engine_totals(leech->e, &totals);
    assert_int_equal(totals.banned, 1);
    assert_true(totals.hash_failures >= 1);
    assert_int_equal(node_status(leech).n_peers, 0);
    assert_int_equal(node_status(leech).n_pieces_have, 0);
    assert_true(node_status(leech).failed_len >= PIECE_LEN);
    struct node *seed = add_seed(x);
    node_meet(leech, seed);
    world_run(&x->w, 100000);
    assert_has_all(leech);
    scene_free(x);
}

static void test_liar_among_honest(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *honest[3] = {add_seed(x), add_seed(x), add_seed(x)};
    struct node *liar = add_liar(x, 1);
    struct node *leech = add_leech(x);
    node_meet(leech, liar);
    for (int i = 0; i < 3; i++) {
        node_meet(leech, honest[i]);
        engine_set_limits(honest[i]->e, honest[i]->t, 0, 40000, 0, x->w.now_ms);
    }
    engine_set_limits(liar->e, liar->t, 0, 40000, 0, x->w.now_ms);
    world_run(&x->w, 300000);
    assert_has_all(leech);
    struct engine_totals totals;
    engine_totals(leech->e, &totals);
    assert_int_equal(totals.banned, 1);
    assert_true(node_status(liar).session_up > 0);
    scene_free(x);
}

/* ---- wishes */

static void test_skip_files(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    struct node *leech = add_node(x);
    struct torrent_add add = node_torrent(leech);
    static const uint8_t skip_b[] = {4, 4, 0, 4};
    add.priorities = span_of(skip_b, sizeof skip_b);
    node_add(leech, &add);
    node_meet(leech, seed);
    world_run(&x->w, 30000);
    struct torrent_status st = node_status(leech);
    assert_int_equal(st.state, TORRENT_FINISHED);
    assert_int_equal(st.wanted_len, 700001 + 90000);
    assert_int_equal(st.wanted_done_len, st.wanted_len);
    assert_int_equal(engine_file_done(leech->e, leech->t, 0), 700001);
    assert_int_equal(engine_file_done(leech->e, leech->t, 3), 90000);
    assert_true(engine_file_done(leech->e, leech->t, 2) < 2 * PIECE_LEN);
    assert_memory_equal(leech->disk.content, x->s.content, 700001);

    static const uint8_t short_list[] = {4, 4, 4};
    static const uint8_t too_high[] = {4, 4, 4, 8};
    assert_int_equal(engine_set_priorities(leech->e, leech->t, span_of(short_list, 3), x->w.now_ms),
                     ERR_INVALID);
    assert_int_equal(engine_set_priorities(leech->e, leech->t, span_of(too_high, 4), x->w.now_ms),
                     ERR_INVALID);
    static const uint8_t all[] = {4, 4, 4, 4};
    assert_int_equal(engine_set_priorities(leech->e, leech->t, span_of(all, 4), x->w.now_ms), 0);
    assert_int_equal(node_status(leech).state, TORRENT_DOWNLOADING);
    node_meet(leech, seed);
    world_run(&x->w, 100000);
    assert_has_all(leech);
    scene_free(x);
}

static void test_skip_the_rest_while_downloading(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    engine_set_limits(seed->e, seed->t, 0, 100000, 0, x->w.now_ms);
    struct node *leech = add_leech(x);
    engine_set_flags(leech->e, leech->t, TORRENT_SEQUENTIAL, 0, x->w.now_ms);
    node_meet(leech, seed);
    world_run(&x->w, 10000);
    assert_int_equal(node_status(leech).state, TORRENT_DOWNLOADING);
    assert_true(node_status(leech).n_pieces_have > 2);
    static const uint8_t a_only[] = {4, 4, 0, 0};
    assert_int_equal(engine_set_priorities(leech->e, leech->t, span_of(a_only, 4), x->w.now_ms), 0);
    world_run(&x->w, 30000);
    assert_int_equal(node_status(leech).state, TORRENT_FINISHED);
    assert_int_equal(engine_file_done(leech->e, leech->t, 0), 700001);
    assert_int_equal(node_status(leech).n_peers, 0);
    scene_free(x);
}

/* ---- pause, resume, restart */

static void test_pause_and_resume(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    engine_set_limits(seed->e, seed->t, 0, 200000, 0, x->w.now_ms);
    struct node *leech = add_leech(x);
    node_meet(leech, seed);
    world_run(&x->w, 4000);
    uint32_t have = node_status(leech).n_pieces_have;
    assert_true(have > 0 && have < x->s.n_pieces);
    engine_pause(leech->e, leech->t, x->w.now_ms);
    world_run(&x->w, 60000);
    struct torrent_status st = node_status(leech);
    assert_true(st.flags & TORRENT_PAUSED);
    assert_int_equal(st.n_peers, 0);
    assert_int_equal(node_status(seed).n_peers, 0);
    assert_true(engine_is_idle(leech->e));
    assert_true(st.active_s >= 3 && st.active_s <= 5);
    engine_resume(leech->e, leech->t, x->w.now_ms);
    world_run(&x->w, 100000);
    assert_has_all(leech);
    assert_int_equal(node_status(leech).total_down, x->s.len); /* nothing came twice */
    scene_free(x);
}

static void test_resume_dials_at_once(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    struct node *away = add_seed(x);
    engine_set_limits(seed->e, seed->t, 0, 50000, 0, x->w.now_ms);
    struct node *leech = add_leech(x);
    node_kill(away);
    node_meet(leech, away);
    node_meet(leech, seed);
    for (int i = 0; i < CANDIDATE_FAILURES_MAX; i++) {
        world_run(&x->w, 1000);
        struct torrent_status st = node_status(leech);
        assert_int_equal(st.n_peers, 1);
        assert_int_equal(st.n_known, i < CANDIDATE_FAILURES_MAX - 1 ? 2 : 1);
        engine_pause(leech->e, leech->t, x->w.now_ms);
        world_run(&x->w, 1000);
        assert_int_equal(node_status(leech).n_peers, 0);
        engine_resume(leech->e, leech->t, x->w.now_ms);
    }
    scene_free(x);
}

static void test_restart_with_partial_pieces(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    engine_set_limits(seed->e, seed->t, 0, 150000, 0, x->w.now_ms);
    struct node *leech = add_leech(x);
    node_meet(leech, seed);
    world_run(&x->w, 5000);
    engine_stop(leech->e, x->w.now_ms);
    world_run(&x->w, 10000);
    assert_true(engine_is_idle(leech->e));
    struct torrent_resume *r = &leech->saved.resume;
    assert_true(r->checked && r->n_partials > 0);
    uint64_t down = r->total_down;
    assert_true(down > 0 && down < x->s.len);

    node_kill(leech);
    struct node *again = add_node(x);
    memcpy(again->disk.content, leech->disk.content, x->s.len);
    memcpy(again->disk.exists, leech->disk.exists, sizeof again->disk.exists);
    struct torrent_add add = node_torrent(again);
    add.resume = r;
    node_add(again, &add);
    world_run(&x->w, 1000);
    assert_int_equal(again->disk.n_hashes, 0); /* believed */
    engine_set_limits(seed->e, seed->t, 0, 0, 0, x->w.now_ms);
    node_meet(again, seed);
    world_run(&x->w, 60000);
    assert_has_all(again);
    /* A block of each partial piece may come again, no more. */
    assert_in_range(node_status(again).total_down, x->s.len, x->s.len + 8 * WIRE_BLOCK_LEN);
    scene_free(x);
}

static void test_bad_resume_is_refused(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *n = add_node(x);
    struct torrent_add add = node_torrent(n);
    const char *why = NULL;
    uint8_t bits[64] = {0, 0, 8};
    struct torrent_resume resume = {.checked = true, .bitfield = span_of(bits, 3)};
    add.resume = &resume;
    assert_int_equal(engine_add_torrent(n->e, &add, &n->t, x->w.now_ms, &why), ERR_MALFORMED);
    assert_non_null(why);
    struct torrent_partial partial = {.piece = x->s.n_pieces, .written = span_of(bits, 1)};
    resume.bitfield = span_of(NULL, 0);
    resume.partials = &partial;
    resume.n_partials = 1;
    assert_int_equal(engine_add_torrent(n->e, &add, &n->t, x->w.now_ms, &why), ERR_MALFORMED);
    add.resume = NULL;
    add.info_hash.b[0] ^= 1;
    assert_int_equal(engine_add_torrent(n->e, &add, &n->t, x->w.now_ms, &why), ERR_MALFORMED);
    add.info_hash.b[0] ^= 1;
    add.priorities = span_of(bits, 3);
    assert_int_equal(engine_add_torrent(n->e, &add, &n->t, x->w.now_ms, &why), ERR_MALFORMED);
    assert_true(engine_next_torrent(n->e, 0) == 0);
    scene_free(x);
}

/* ---- the rest */

static void test_private_has_no_pex(void **state)
{
    (void)state;
    for (int private = 0; private < 2; private ++) {
        struct scene *x = scene_new(private != 0);
        struct node *seed = add_seed(x);
        struct node *a = add_leech(x);
        struct node *b = add_leech(x);
        engine_set_limits(seed->e, seed->t, 0, 5000, 0, x->w.now_ms);
        node_meet(a, seed);
        node_meet(b, seed);
        world_run(&x->w, 130000);
        assert_int_equal(node_status(a).n_known > 1, !private); /* a hears of b from the seed */
        assert_int_equal(node_status(seed).private, private);
        scene_free(x);
    }
}

static void test_private_magnet_forgets(void **state)
{
    (void)state;
    struct scene *x = scene_new(true);
    struct node *seed = add_seed(x);
    struct node *leech = add_node(x);
    struct torrent_add add = {.info_hash = x->s.hash};
    node_add(leech, &add);
    node_meet(leech, seed);
    world_run(&x->w, 30000);
    assert_true(node_status(leech).private);
    assert_has_all(leech);
    scene_free(x);
}

static void test_super_seeding(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    engine_set_flags(seed->e, seed->t, TORRENT_SUPER_SEEDING, 0, x->w.now_ms);
    struct node *a = add_leech(x);
    struct node *b = add_leech(x);
    node_meet(a, seed);
    node_meet(b, seed);
    node_meet(a, b);
    world_run(&x->w, 300000);
    assert_has_all(a);
    assert_has_all(b);
    /* Each piece was sent about once, and passed on. */
    assert_true(node_status(seed).session_up < x->s.len + x->s.len / 2);
    scene_free(x);
}

static void test_upload_only(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    struct node *leech = add_node(x);
    struct torrent_add add = node_torrent(leech);
    add.flags = TORRENT_UPLOAD_ONLY;
    node_add(leech, &add);
    node_meet(leech, seed);
    world_run(&x->w, 20000);
    assert_int_equal(node_status(leech).total_down, 0);
    engine_set_flags(leech->e, leech->t, 0, TORRENT_UPLOAD_ONLY, x->w.now_ms);
    node_meet(leech, seed);
    world_run(&x->w, 100000);
    assert_has_all(leech);
    scene_free(x);
}

static void test_remove(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    struct node *leech = add_leech(x);
    engine_set_limits(seed->e, seed->t, 0, 100000, 0, x->w.now_ms);
    node_meet(leech, seed);
    world_run(&x->w, 3000);
    assert_int_equal(node_status(leech).n_peers, 1);
    engine_remove_torrent(leech->e, leech->t, true, x->w.now_ms);
    world_run(&x->w, 10000);
    assert_int_equal(leech->removed_status, 0);
    assert_true(leech->disk.removed && leech->disk.removed_data);
    assert_true(engine_find(leech->e, &x->s.hash) == 0);
    assert_true(engine_is_idle(leech->e));
    assert_int_equal(node_status(seed).n_peers, 0);
    scene_free(x);
}

/* Every loss of a connection, at any moment, is survived. */
static void test_connections_break(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seeds[2] = {add_seed(x), add_seed(x)};
    struct node *leech = add_leech(x);
    for (int i = 0; i < 2; i++) {
        engine_set_limits(seeds[i]->e, seeds[i]->t, 0, 60000, 0, x->w.now_ms);
    }
    for (int round = 0; round < 40 && node_status(leech).state != TORRENT_SEEDING; round++) {
        struct node *seed = seeds[round % 2];
        node_meet(leech, seeds[0]);
        node_meet(leech, seeds[1]);
        world_run(&x->w, 61000);
        engine_pause(seed->e, seed->t, x->w.now_ms);
        world_run(&x->w, 100);
        engine_resume(seed->e, seed->t, x->w.now_ms);
    }
    assert_has_all(leech);
    assert_true(node_status(leech).total_down <= x->s.len + 16 * WIRE_BLOCK_LEN);
    scene_free(x);
}

/* What a peer that fell silent owes is asked of others: in the end game at once, else in time. */
static void test_silent_peer(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *silent = add_seed(x);
    struct node *seed = add_seed(x);
    struct node *leech = add_leech(x);
    engine_set_limits(silent->e, silent->t, 0, 100000, 0, x->w.now_ms);
    engine_set_limits(seed->e, seed->t, 0, 100000, 0, x->w.now_ms);
    node_meet(leech, silent);
    world_run(&x->w, 3000);
    assert_true(node_status(leech).n_pieces_have > 0);
    x->w.links[0].frozen = true;
    node_meet(leech, seed);
    world_run(&x->w, 90000);
    assert_has_all(leech);
    scene_free(x);
}

/* Alone it is given up, and what it owed is FREE again. */
static void test_silent_peer_alone(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *silent = add_seed(x);
    struct node *leech = add_leech(x);
    engine_set_limits(silent->e, silent->t, 0, 100000, 0, x->w.now_ms);
    node_meet(leech, silent);
    world_run(&x->w, 3000);
    x->w.links[0].frozen = true;
    world_run(&x->w, 25000);
    struct peer_view peer;
    assert_true(engine_peer(leech->e, leech->t, 0, &peer, x->w.now_ms));
    assert_true(peer.snubbing);
    assert_true(peer.n_requests > 0);
    world_run(&x->w, 45000);
    assert_true(engine_peer(leech->e, leech->t, 0, &peer, x->w.now_ms));
    assert_true(peer.n_requests <= 1);
    x->w.links[0].frozen = false; /* all of it comes late: nobody waits for it any more */
    world_run(&x->w, 60000);
    assert_has_all(leech);
    struct torrent_status st = node_status(leech);
    assert_true(st.wasted > 0);
    assert_int_equal(st.total_down, x->s.len);
    scene_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_download),
        cmocka_unit_test(test_swarm_shares),
        cmocka_unit_test(test_magnet),
        cmocka_unit_test(test_magnet_finds_files),
        cmocka_unit_test(test_liar_alone_is_banned),
        cmocka_unit_test(test_liar_among_honest),
        cmocka_unit_test(test_skip_files),
        cmocka_unit_test(test_skip_the_rest_while_downloading),
        cmocka_unit_test(test_pause_and_resume),
        cmocka_unit_test(test_resume_dials_at_once),
        cmocka_unit_test(test_restart_with_partial_pieces),
        cmocka_unit_test(test_bad_resume_is_refused),
        cmocka_unit_test(test_private_has_no_pex),
        cmocka_unit_test(test_private_magnet_forgets),
        cmocka_unit_test(test_super_seeding),
        cmocka_unit_test(test_upload_only),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_connections_break),
        cmocka_unit_test(test_silent_peer),
        cmocka_unit_test(test_silent_peer_alone),
    };
    if (digest_start() < 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
