/* Anything that users and disks do, in any order: in the end everything is right and idle. */
#include "unit/client/torrent_fixture.h"

#include "base/err.h"

#include "base/banned.h"

/* ---- anything, in any order */

static void random_wishes(struct node *n, struct rng *rng)
{
    uint8_t wishes[4];
    for (size_t i = 0; i < sizeof wishes; i++) {
        wishes[i] = (uint8_t)(rng_below(rng, 3) == 0 ? 0 : rng_below(rng, 8));
    }
    assert_int_equal(
        engine_set_priorities(n->e, n->t, span_of(wishes, sizeof wishes), n->w->now_ms), 0);
}

static void random_flags(struct node *n, struct rng *rng)
{
    static const unsigned flags[] = {TORRENT_SEQUENTIAL, TORRENT_FIRST_LAST, TORRENT_SUPER_SEEDING,
                                     TORRENT_UPLOAD_ONLY, TORRENT_NO_PEX};
    unsigned flag = flags[rng_below(rng, 5)];
    bool set = rng_below(rng, 2) == 0;
    engine_set_flags(n->e, n->t, set ? flag : 0, set ? 0 : flag, n->w->now_ms);
}

static void random_act(struct scene *x, struct node *n, struct rng *rng)
{
    uint64_t now_ms = x->w.now_ms;
    switch (rng_below(rng, 12)) {
    case 0:
        engine_pause(n->e, n->t, now_ms);
        break;
    case 1:
        engine_resume(n->e, n->t, now_ms);
        break;
    case 2:
        engine_recheck(n->e, n->t, now_ms);
        break;
    case 3:
        random_wishes(n, rng);
        break;
    case 4:
        random_flags(n, rng);
        break;
    case 5:
        n->disk.held = !n->disk.held;
        break;
    case 6:
        n->disk.space = n->disk.space < UINT64_MAX / 2 ? UINT64_MAX : rng_below(rng, 100000);
        break;
    case 7:
        n->disk.unmounted = !n->disk.unmounted;
        break;
    case 8:
        assert_saved_is_true(n, PIECE_LEN);
        node_restart(n);
        break;
    default:
        node_meet(n, &x->w.nodes[rng_below(rng, (uint32_t)x->w.n_nodes)]);
        break;
    }
}

static void heal(struct node *n)
{
    static const uint8_t all[] = {4, 4, 4, 4};
    uint64_t now_ms = n->w->now_ms;
    n->disk.held = false;
    n->disk.unmounted = false;
    n->disk.space = UINT64_MAX;
    engine_set_flags(n->e, n->t, 0, TORRENT_UPLOAD_ONLY | TORRENT_SUPER_SEEDING, now_ms);
    assert_int_equal(engine_set_priorities(n->e, n->t, span_of(all, sizeof all), now_ms), 0);
    engine_resume(n->e, n->t, now_ms);
}

static bool all_done(const struct scene *x)
{
    for (size_t i = 0; i < x->w.n_nodes; i++) {
        if (node_status(&x->w.nodes[i]).state != TORRENT_SEEDING) {
            return false;
        }
    }
    return true;
}

static void live(uint64_t seed)
{
    struct rng rng = {seed};
    struct scene *x = scene_new(false);
    (void)add_seed(x);
    for (int i = 0; i < 3; i++) {
        struct node *n = add_leech(x);
        engine_set_limits(n->e, n->t, 0, 30000, 0, x->w.now_ms);
    }
    engine_set_limits(x->w.nodes[0].e, x->w.nodes[0].t, 0, 60000, 0, x->w.now_ms);
    for (int step = 0; step < 120; step++) {
        /* The first keeps what it has, so that it can be had again. */
        struct node *n = &x->w.nodes[1 + rng_below(&rng, 3)];
        random_act(x, n, &rng);
        world_run(&x->w, rng_below(&rng, 3000));
    }
    for (size_t i = 0; i < x->w.n_nodes; i++) {
        heal(&x->w.nodes[i]);
    }
    for (int round = 0; round < 30 && !all_done(x); round++) {
        for (size_t i = 1; i < x->w.n_nodes; i++) {
            node_meet(&x->w.nodes[i], &x->w.nodes[0]);
        }
        world_run(&x->w, 61000);
    }
    for (size_t i = 0; i < x->w.n_nodes; i++) {
        assert_has_all(&x->w.nodes[i]);
        engine_stop(x->w.nodes[i].e, x->w.now_ms);
    }
    world_run(&x->w, 10000);
    for (size_t i = 0; i < x->w.n_nodes; i++) {
        struct engine_totals totals;
        engine_totals(x->w.nodes[i].e, &totals);
        assert_true(engine_is_idle(x->w.nodes[i].e));
        assert_int_equal(totals.hash_failures, 0);
        assert_int_equal(totals.n_unchoked, 0);
        assert_int_equal(totals.disk_queue_len, 0);
    }
    scene_free(x);
}

static void test_random_life(void **state)
{
    (void)state;
    const char *only = getenv("TORRENT_SEED");
    uint64_t first = only == NULL ? 1 : strtoull(only, NULL, 10);
    uint64_t last = only == NULL ? 12 : first;
    for (uint64_t seed = first; seed <= last; seed++) {
        print_message("seed %u\n", (unsigned)seed);
        live(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_life),
    };
    if (digest_start() < 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
