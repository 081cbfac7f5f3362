/* Which files are wanted when nobody knows them yet: priorities given with a magnet. */
#include "unit/client/torrent_fixture.h"

#include "base/err.h"
#include "client/picker.h"

#include "base/banned.h"

enum { N_FILES = 4 };

static void give(struct torrent_add *add, struct span priorities, bool rest_skipped)
{
    add->priorities = priorities;
    add->flags = rest_skipped ? TORRENT_REST_SKIPPED : 0;
}

static void assert_priorities(const struct node *n, const uint8_t want[static N_FILES])
{
    for (uint32_t i = 0; i < N_FILES; i++) {
        assert_int_equal(engine_file_priority(n->e, n->t, i), want[i]);
    }
}

static struct node *add_magnet(struct scene *x, struct span priorities, bool rest_skipped)
{
    struct node *n = add_node(x);
    struct torrent_add add = {.info_hash = x->s.hash};
    give(&add, priorities, rest_skipped);
    node_add(n, &add);
    return n;
}

/* What is asked for, what that is once the files are known, and whether files that are there stay
 * unwanted. */
static const struct {
    struct span given;
    bool rest_skipped;
    uint8_t want[N_FILES];
    bool skips;
} cases[] = {
    {SPAN("\4\0\0\4"), true, {4, 0, 0, 4}, true},
    {SPAN("\4"), true, {4, 0, 0, 0}, true},
    {SPAN("\0\0\7"), false, {0, 0, 7, 4}, true},
    {SPAN("\0\0\0\4\0\0\4"), true, {0, 0, 0, 4}, true}, /* one of them is not in the torrent */
    {SPAN("\0\0\0\0\0\4"), true, {4, 4, 4, 4}, false},  /* none of them is */
    {SPAN("\4\4\4\4"), true, {4, 4, 4, 4}, false},
    {SPAN(""), true, {4, 4, 4, 4}, false},
    {SPAN("\0\0\0\0"), false, {0, 0, 0, 0}, true},
};

static void test_metadata_comes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene *x = scene_new(false);
        struct node *seed = add_seed(x);
        struct node *leech = add_magnet(x, cases[i].given, cases[i].rest_skipped);
        world_run(&x->w, 1000);
        assert_true(span_eq(engine_priorities(leech->e, leech->t), cases[i].given));
        node_meet(leech, seed);
        world_run(&x->w, 30000);
        assert_priorities(leech, cases[i].want);
        struct torrent_status st = node_status(leech);
        uint64_t wanted_len = 0;
        for (size_t k = 0; k < N_FILES; k++) {
            wanted_len += cases[i].want[k] == PICKER_SKIP ? 0 : files3[k].len;
        }
        assert_int_equal(st.wanted_len, wanted_len);
        assert_int_equal(st.wanted_done_len, wanted_len);
        assert_int_equal(st.state, cases[i].skips ? TORRENT_FINISHED : TORRENT_SEEDING);
        if (cases[i].skips) {
            assert_in_range(st.total_down, wanted_len, wanted_len + 4 * PIECE_LEN);
        }
        scene_free(x);
    }
}

static void test_the_same_with_the_metadata(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene *x = scene_new(false);
        struct node *n = add_node(x);
        struct torrent_add add = node_torrent(n);
        give(&add, cases[i].given, cases[i].rest_skipped);
        node_add(n, &add);
        assert_priorities(n, cases[i].want);
        scene_free(x);
    }
}

static void test_a_change_of_mind_before_the_metadata(void **state)
{
    (void)state;
    static const uint8_t all[N_FILES] = {4, 4, 4, 4};
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    struct node *leech = add_magnet(x, SPAN("\4"), true);
    assert_int_equal(engine_set_priorities(leech->e, leech->t, span_of(all, 1), x->w.now_ms),
                     ERR_INVALID);
    assert_int_equal(engine_set_priorities(leech->e, leech->t, SPAN(""), x->w.now_ms), 0);
    node_meet(leech, seed);
    world_run(&x->w, 30000);
    assert_priorities(leech, all);
    assert_has_all(leech);
    scene_free(x);
}

/* That nothing is wanted is meant then. */
static void test_a_change_of_mind_after_it(void **state)
{
    (void)state;
    static const uint8_t nothing[N_FILES] = {0, 0, 0, 0};
    struct scene *x = scene_new(false);
    struct node *seed = add_seed(x);
    struct node *leech = add_magnet(x, SPAN("\4"), true);
    node_meet(leech, seed);
    world_run(&x->w, 30000);
    assert_true(node_status(leech).flags & TORRENT_REST_SKIPPED);
    assert_int_equal(
        engine_set_priorities(leech->e, leech->t, span_of(nothing, sizeof nothing), x->w.now_ms),
        0);
    assert_priorities(leech, nothing);
    assert_false(node_status(leech).flags & TORRENT_REST_SKIPPED);
    world_settle(&x->w);
    scene_free(x);
}

static void test_what_is_no_priority(void **state)
{
    (void)state;
    struct scene *x = scene_new(false);
    struct node *n = add_node(x);
    struct torrent_add add = {.info_hash = x->s.hash, .priorities = SPAN("\4\10")};
    const char *why = NULL;
    assert_int_equal(engine_add_torrent(n->e, &add, &n->t, x->w.now_ms, &why), ERR_MALFORMED);
    assert_string_equal(why, "priorities must be 0 to 7");
    scene_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metadata_comes),
        cmocka_unit_test(test_the_same_with_the_metadata),
        cmocka_unit_test(test_a_change_of_mind_before_the_metadata),
        cmocka_unit_test(test_a_change_of_mind_after_it),
        cmocka_unit_test(test_what_is_no_priority),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
