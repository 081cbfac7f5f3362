/* What torrents do with what they find on the disk, and with its faults. */
#include "unit/client/torrent_fixture.h"

#include "base/err.h"

#include "base/banned.h"

/* ---- checks */

static void test_existing_files_are_hashed(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *n = add_node(x);
    node_fill_disk(n);
    n->disk.content[3 * PIECE_LEN] ^= 1;
    struct torrent_add add = node_torrent(n);
    node_add(n, &add);
    world_run(&x->w, 1000);
    struct torrent_status st = node_status(n);
    assert_int_equal(st.state, TORRENT_DOWNLOADING);
    assert_int_equal(st.n_pieces_have, x->s.n_pieces - 1);
    assert_int_equal(n->disk.n_hashes, x->s.n_pieces);
    assert_int_equal(count_events(n, EVENT_COMPLETED), 0);
    scene_free(x);
}

static void test_recheck(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    struct node *leech = add_leech(x);
    node_meet(leech, seed);
    world_run(&x->w, 2000);
    seed->disk.content[5 * PIECE_LEN] ^= 1;
    engine_pause(leech->e, leech->t, x->w.now_ms);
    engine_recheck(seed->e, seed->t, x->w.now_ms);
    world_run(&x->w, 1000);
    assert_int_equal(node_status(seed).n_pieces_have, x->s.n_pieces - 1);
    assert_int_equal(node_status(seed).state, TORRENT_DOWNLOADING);
    engine_resume(leech->e, leech->t, x->w.now_ms);
    node_meet(leech, seed); /* which has what it lacks now */
    world_run(&x->w, 200000);
    assert_has_all(seed);
    /* A paused one is checked as well, and stays paused. */
    engine_pause(seed->e, seed->t, x->w.now_ms);
    world_run(&x->w, 1000);
    seed->disk.content[0] ^= 1;
    engine_recheck(seed->e, seed->t, x->w.now_ms);
    world_run(&x->w, 1000);
    assert_int_equal(node_status(seed).n_pieces_have, x->s.n_pieces - 1);
    assert_true(node_status(seed).flags & TORRENT_PAUSED);
    assert_int_equal(node_status(seed).n_peers, 0);
    scene_free(x);
}

static void test_recheck_in_the_middle(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    struct node *leech = add_leech(x);
    node_meet(leech, seed);
    leech->disk.held = true; /* writes are under way */
    world_run(&x->w, 1000);
    assert_true(leech->n_jobs == 1); /* the look at the files */
    leech->disk.held = false;
    engine_set_limits(seed->e, seed->t, 0, 300000, 0, x->w.now_ms);
    world_run(&x->w, 3000);
    leech->disk.held = true;
    world_run(&x->w, 2000);
    assert_true(leech->n_jobs > 0);
    engine_recheck(leech->e, leech->t, x->w.now_ms);
    world_run(&x->w, 1000);
    leech->disk.held = false;
    world_run(&x->w, 1000);
    assert_int_equal(node_status(leech).state, TORRENT_DOWNLOADING);
    assert_true(node_status(leech).n_pieces_have > 0);
    engine_set_limits(seed->e, seed->t, 0, 0, 0, x->w.now_ms);
    node_meet(leech, seed);
    world_run(&x->w, 200000);
    assert_has_all(leech);
    scene_free(x);
}

static void test_checks_one_at_a_time(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct sample other;
    static const struct sample_file one[] = {{"other", 500000}};
    sample_init(&other, one, 1, PIECE_LEN, false);
    struct node *n = add_node(x);
    node_fill_disk(n);
    n->disk.held = true;
    struct torrent_add add = node_torrent(n);
    node_add(n, &add);
    torrent_id second;
    const char *why = NULL;
    struct torrent_add add2 = {.info_hash = other.hash,
                               .info = span_of(other.info, other.info_len)};
    assert_int_equal(engine_add_torrent(n->e, &add2, &second, x->w.now_ms, &why), 0);
    world_run(&x->w, 100);
    assert_int_equal(n->n_jobs, 2);
    for (int i = 0; i < 2; i++) { /* both looks */
        struct disk_job *job = n->jobs[i];
        job->status = 0;
        job->any_data = true;
        engine_on_disk(n->e, job, x->w.now_ms);
    }
    n->n_jobs = 0;
    world_settle(&x->w);
    struct torrent_status st2;
    assert_int_equal(node_status(n).state, TORRENT_CHECKING);
    assert_int_equal(engine_status(n->e, second, &st2, x->w.now_ms), 0);
    assert_int_equal(st2.state, TORRENT_QUEUED_CHECK);
    assert_in_range(n->n_jobs, 1, 8);
    engine_pause(n->e, n->t, x->w.now_ms); /* gives up its turn */
    assert_int_equal(engine_status(n->e, second, &st2, x->w.now_ms), 0);
    assert_int_equal(st2.state, TORRENT_CHECKING);
    n->disk.held = false;
    world_run(&x->w, 1000);
    assert_int_equal(engine_status(n->e, second, &st2, x->w.now_ms), 0);
    assert_int_equal(st2.state, TORRENT_DOWNLOADING); /* its content is not there */
    engine_resume(n->e, n->t, x->w.now_ms);
    world_run(&x->w, 1000);
    assert_has_all(n);
    scene_free(x);
    sample_release(&other);
}

static void test_seed_mode(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_node(x);
    node_fill_disk(seed);
    struct torrent_add add = node_torrent(seed);
    add.flags = TORRENT_SEED_MODE;
    node_add(seed, &add);
    struct node *leech = add_leech(x);
    world_run(&x->w, 1000);
    assert_int_equal(node_status(seed).state, TORRENT_SEEDING);
    assert_int_equal(seed->disk.n_hashes, 0);
    node_meet(leech, seed);
    world_run(&x->w, 30000);
    assert_has_all(leech);
    assert_true(seed->disk.n_hashes >= x->s.n_pieces);
    assert_int_equal(node_status(seed).flags & TORRENT_SEED_MODE, 0); /* all was hashed */
    scene_free(x);
}

static void test_seed_mode_finds_a_bad_piece(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_node(x);
    node_fill_disk(seed);
    seed->disk.content[9 * PIECE_LEN] ^= 1;
    struct torrent_add add = node_torrent(seed);
    add.flags = TORRENT_SEED_MODE;
    node_add(seed, &add);
    struct node *leech = add_leech(x);
    node_meet(leech, seed);
    world_run(&x->w, 200000);
    assert_int_equal(node_status(seed).n_pieces_have, x->s.n_pieces - 1);
    assert_int_equal(node_status(seed).state, TORRENT_DOWNLOADING);
    assert_int_equal(node_status(leech).n_pieces_have, x->s.n_pieces - 1);
    struct engine_totals totals;
    engine_totals(leech->e, &totals);
    assert_int_equal(totals.hash_failures, 0); /* nothing bad was ever sent */
    scene_free(x);
}

/* ---- faults of the disk */

static void test_disk_full_then_space(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    struct node *leech = add_leech(x);
    struct node *other = add_leech(x);
    leech->disk.space = 600000;
    node_meet(leech, seed);
    world_run(&x->w, 5000);
    struct torrent_status st = node_status(leech);
    assert_int_equal(st.fault, FAULT_DISK_FULL);
    assert_string_equal(st.error, "sample/a: No space left on device");
    uint32_t have = st.n_pieces_have;
    assert_true(have > 0 && have < x->s.n_pieces);
    uint32_t n_no_space = leech->disk.n_no_space;
    uint64_t down = st.total_down;
    node_meet(other, leech); /* seeding goes on */
    world_run(&x->w, 100000);
    assert_true(node_status(other).n_pieces_have >= have);
    assert_int_equal(node_status(leech).total_down, down);
    assert_in_range(leech->disk.n_no_space - n_no_space, 9, 11); /* every 10 s */
    leech->disk.space = UINT64_MAX;
    world_run(&x->w, 60000);
    assert_int_equal(node_status(leech).fault, FAULT_NONE);
    assert_string_equal(node_status(leech).error, "");
    node_meet(leech, seed);
    world_run(&x->w, 60000);
    assert_has_all(leech);
    assert_int_equal(node_status(leech).total_down, x->s.len); /* what was kept came once */
    scene_free(x);
}

static void test_missing_files_heal(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    struct node *leech = add_leech(x);
    world_run(&x->w, 1000);
    seed->disk.unmounted = true;
    node_meet(leech, seed);
    world_run(&x->w, 5000);
    struct torrent_status st = node_status(seed);
    assert_int_equal(st.fault, FAULT_MISSING);
    assert_true(st.error[0] != '\0');
    assert_int_equal(st.n_peers, 0);
    assert_int_equal(st.n_pieces_have, x->s.n_pieces);
    world_run(&x->w, 100000);
    assert_int_equal(node_status(seed).fault, FAULT_MISSING);
    seed->disk.unmounted = false;
    world_run(&x->w, 16000);
    assert_int_equal(node_status(seed).fault, FAULT_NONE);
    assert_int_equal(node_status(seed).state, TORRENT_SEEDING);
    world_run(&x->w, 200000);
    node_meet(leech, seed);
    world_run(&x->w, 100000);
    assert_has_all(leech);
    assert_int_equal(seed->disk.n_hashes, 0);
    scene_free(x);
}

static void test_missing_at_start(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *n = add_seed(x);
    n->disk.exists[2] = false;
    world_run(&x->w, 1000);
    assert_int_equal(node_status(n).fault, FAULT_MISSING);
    engine_pause(n->e, n->t, x->w.now_ms);
    world_run(&x->w, 60000);
    n->disk.exists[2] = true;
    engine_resume(n->e, n->t, x->w.now_ms);
    world_run(&x->w, 1000);
    assert_int_equal(node_status(n).fault, FAULT_NONE);
    assert_has_all(n);
    /* A recheck does not forget what is on a disk that is away. */
    n->disk.unmounted = true;
    engine_recheck(n->e, n->t, x->w.now_ms);
    world_run(&x->w, 1000);
    assert_int_equal(node_status(n).fault, FAULT_MISSING);
    assert_int_equal(node_status(n).n_pieces_have, x->s.n_pieces);
    n->disk.unmounted = false;
    world_run(&x->w, 16000);
    assert_int_equal(node_status(n).fault, FAULT_NONE);
    assert_has_all(n);
    scene_free(x);
}

/* A disk that does nothing for a while costs no more memory than it may. */
static void test_slow_disk_is_bounded(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    struct engine_cfg cfg = engine_cfg_default;
    cfg.max_disk_queue_len = 4 * PIECE_LEN;
    struct node *leech = world_add_node(&x->w, &x->s, &cfg);
    struct torrent_add add = node_torrent(leech);
    node_add(leech, &add);
    engine_set_limits(seed->e, seed->t, 0, 400000, 0, x->w.now_ms);
    world_run(&x->w, 100);
    leech->disk.held = true;
    node_meet(leech, seed);
    world_run(&x->w, 5000);
    struct engine_totals totals;
    engine_totals(leech->e, &totals);
    assert_in_range(totals.disk_queue_len, cfg.max_disk_queue_len, 2 * cfg.max_disk_queue_len);
    uint64_t down = node_status(leech).total_down;
    world_run(&x->w, 5000);
    assert_in_range(node_status(leech).total_down, down, down + PIECE_LEN);
    leech->disk.held = false;
    world_run(&x->w, 60000);
    assert_has_all(leech);
    assert_int_equal(node_status(leech).total_down, x->s.len);
    scene_free(x);
}

/* An error that is neither of space nor of missing files. */
static void test_check_fails_otherwise(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *n = add_seed(x);
    n->disk.broken = true;
    world_run(&x->w, 1000);
    assert_int_equal(node_status(n).fault, FAULT_DISK);
    world_run(&x->w, 100000);
    assert_int_equal(node_status(n).fault, FAULT_DISK); /* until somebody resumes it */
    n->disk.broken = false;
    engine_resume(n->e, n->t, x->w.now_ms);
    world_run(&x->w, 1000);
    assert_int_equal(node_status(n).fault, FAULT_NONE);
    assert_has_all(n);
    scene_free(x);
}

/* The disk breaks while everything is hashed: it goes on where it was, once it is resumed. */
static void test_error_in_a_check(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *n = add_node(x);
    node_fill_disk(n);
    struct torrent_add add = node_torrent(n);
    node_add(n, &add);
    n->disk.stop_after = 4; /* jobs */
    world_run(&x->w, 100);
    assert_int_equal(node_status(n).state, TORRENT_CHECKING);
    n->disk.broken = true;
    n->disk.stop_after = 0;
    world_run(&x->w, 1000);
    assert_int_equal(node_status(n).fault, FAULT_DISK);
    n->disk.broken = false;
    engine_resume(n->e, n->t, x->w.now_ms);
    world_run(&x->w, 1000);
    assert_has_all(n);
    scene_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_existing_files_are_hashed),
        cmocka_unit_test(test_recheck),
        cmocka_unit_test(test_recheck_in_the_middle),
        cmocka_unit_test(test_checks_one_at_a_time),
        cmocka_unit_test(test_seed_mode),
        cmocka_unit_test(test_seed_mode_finds_a_bad_piece),
        cmocka_unit_test(test_disk_full_then_space),
        cmocka_unit_test(test_missing_files_heal),
        cmocka_unit_test(test_missing_at_start),
        cmocka_unit_test(test_slow_disk_is_bounded),
        cmocka_unit_test(test_check_fails_otherwise),
        cmocka_unit_test(test_error_in_a_check),
    };
    if (digest_start() < 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
