#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "tracker/swarm_memory.h"
#include "tracker/swarm_table.h"

#include "base/banned.h"

enum { ITEMS_MAX = 2500 };

/* The caller's array: the item is its own hash, so that equal hashes can be made on purpose. */
struct items {
    uint32_t hash[ITEMS_MAX];
    uint32_t n;
    struct swarm_table table;
};

static uint32_t item_hash_at(const void *ctx, uint32_t i)
{
    return ((const struct items *)ctx)->hash[i];
}

static bool finds(const struct items *items, uint32_t i)
{
    struct swarm_table_probe probe;
    uint32_t at = swarm_table_find(&items->table, items->hash[i], &probe);
    while (at != SWARM_TABLE_NONE && at != i) {
        at = swarm_table_next(&probe);
    }
    return at == i;
}

static void add(struct items *items, uint32_t hash)
{
    items->hash[items->n] = hash;
    swarm_table_insert(&items->table, hash, items->n, item_hash_at, items);
    items->n++;
}

static void drop(struct items *items, uint32_t i)
{
    swarm_table_remove(&items->table, items->hash[i], i, item_hash_at, items);
    items->n--;
    if (i != items->n) {
        swarm_table_move(&items->table, items->hash[items->n], items->n, i);
        items->hash[i] = items->hash[items->n];
    }
}

static void all_are_found(const struct items *items)
{
    for (uint32_t i = 0; i < items->n; i++) {
        assert_true(finds(items, i));
    }
}

/* Up, down, up again, in waves; a mask on the hashes makes long runs of neighbours. */
static void waves(uint32_t hash_mask)
{
    struct items *items = calloc(1, sizeof *items);
    struct rng rng = {hash_mask};
    for (int wave = 0; wave < 6; wave++) {
        uint32_t target = wave % 2 == 0 ? ITEMS_MAX / (uint32_t)(wave + 1) : 3;
        while (items->n != target) {
            /* Three steps in the wave's direction, one against it. */
            bool up = (items->n < target) != (rng_below(&rng, 4) == 0);
            if (up && items->n < ITEMS_MAX) {
                add(items, (uint32_t)rng_next(&rng) & hash_mask);
            } else if (!up && items->n > 0) {
                drop(items, rng_below(&rng, items->n));
            }
            if (rng_below(&rng, 64) == 0) {
                all_are_found(items);
            }
        }
        all_are_found(items);
    }
    while (items->n > 0) {
        drop(items, items->n - 1);
    }
    assert_int_equal(swarm_table_len(&items->table), 0);
    free(items);
}

static void finds_all_through_growth_and_shrinking(void **state)
{
    (void)state;
    waves(0xffffffff);
}

static void finds_all_among_equal_hashes(void **state)
{
    (void)state;
    waves(0xff00001f);
}

static void the_highest_tag_and_position_are_no_marker(void **state)
{
    (void)state;
    struct items *items = calloc(1, sizeof *items);
    struct swarm_table_probe probe;
    add(items, 0xffffffff);
    for (uint32_t i = 0; i < 200; i++) { /* generations come and go around it */
        add(items, 0xffffffff - i);
    }
    swarm_table_move(&items->table, items->hash[200], 200, SWARM_TABLE_MAX - 1);
    uint32_t at = swarm_table_find(&items->table, items->hash[200], &probe);
    while (at != SWARM_TABLE_NONE && at != SWARM_TABLE_MAX - 1) {
        at = swarm_table_next(&probe);
    }
    assert_int_equal(at, SWARM_TABLE_MAX - 1);
    swarm_table_release(&items->table);
    free(items);
}

static void a_copy_is_independent(void **state)
{
    (void)state;
    struct items *a = calloc(1, sizeof *a);
    struct rng rng = {7};
    for (int i = 0; i < 800; i++) { /* ends while a generation is being emptied */
        add(a, (uint32_t)rng_next(&rng));
    }
    struct items *b = malloc(sizeof *b);
    *b = *a;
    b->table = (struct swarm_table){.n = 0};
    swarm_table_copy(&b->table, &a->table);
    while (a->n > 0) {
        drop(a, 0);
    }
    all_are_found(b);
    swarm_table_release(&b->table);
    free(a);
    free(b);
}

/* No insert may pay for a whole table: the time of one is not measured, but its work is. */
struct counting {
    struct items items;
    unsigned calls;
};

static uint32_t counted_hash_at(const void *ctx, uint32_t i)
{
    struct counting *c = (struct counting *)(uintptr_t)ctx;
    c->calls++;
    return c->items.hash[i];
}

static void growth_is_spread_over_inserts(void **state)
{
    (void)state;
    struct counting *c = calloc(1, sizeof *c);
    struct rng rng = {8};
    for (uint32_t i = 0; i < ITEMS_MAX; i++) {
        c->calls = 0;
        c->items.hash[i] = (uint32_t)rng_next(&rng);
        swarm_table_insert(&c->items.table, c->items.hash[i], i, counted_hash_at, c);
        assert_true(c->calls <= 64);
    }
    swarm_table_release(&c->items.table);
    free(c);
}

static uint32_t spread_hash_at(const void *ctx, uint32_t i)
{
    (void)ctx;
    return i * 2654435761u;
}

static bool spread_is_found(const struct swarm_table *t, uint32_t i)
{
    struct swarm_table_probe probe;
    uint32_t at = swarm_table_find(t, spread_hash_at(NULL, i), &probe);
    while (at != SWARM_TABLE_NONE && at != i) {
        at = swarm_table_next(&probe);
    }
    return at == i;
}

/* A resize of slots that are mappings of their own: no step gives all of the old ones back, and all
 * items are found in between. */
static void memory_goes_in_parts(void **state)
{
    enum { N = 60000, LESS_MAX = 2 * SWARM_TABLE_PART_LEN };
    struct swarm_memory memory;
    struct swarm_table t = {.memory = &memory};
    struct rng rng = {5};
    size_t most = 0;
    (void)state;
    swarm_memory_init(&memory);
    size_t held = swarm_memory_held(&memory);
    for (uint32_t step = 0; step < 2 * N; step++) {
        if (step < N) {
            swarm_table_insert(&t, spread_hash_at(NULL, step), step, spread_hash_at, NULL);
        } else {
            uint32_t last = 2 * N - 1 - step;
            swarm_table_remove(&t, spread_hash_at(NULL, last), last, spread_hash_at, NULL);
        }
        size_t now = swarm_memory_held(&memory);
        assert_true(now + LESS_MAX >= held);
        most = most < now ? now : most;
        held = now;
        assert_true(t.n == 0 || spread_is_found(&t, rng_below(&rng, t.n)));
    }
    assert_true(most > 4 * LESS_MAX); /* or nothing was tested */
    assert_true(held <= LESS_MAX);
    swarm_table_release(&t);
    swarm_memory_release(&memory);
}

static void a_table_is_released_in_parts(void **state)
{
    enum { N = 60000 };
    struct swarm_memory memory;
    struct swarm_table t = {.memory = &memory};
    uint32_t parts = 1;
    (void)state;
    swarm_memory_init(&memory);
    for (uint32_t i = 0; i < N; i++) {
        swarm_table_insert(&t, spread_hash_at(NULL, i), i, spread_hash_at, NULL);
    }
    size_t len = swarm_table_len(&t);
    while (!swarm_table_release_part(&t)) {
        parts++;
    }
    assert_int_equal(swarm_table_len(&t), 0);
    assert_true(parts >= len / SWARM_TABLE_PART_LEN);
    assert_true(swarm_table_release_part(&t)); /* there is nothing left to do */
    swarm_memory_release(&memory);
}

static void counts_are_set_changed_and_removed(void **state)
{
    (void)state;
    struct swarm_counts counts = {.n = 0};
    const struct hash_seed seed = {{1, 2, 3, 4}};
    struct infohash hash = {{0}};
    for (uint32_t i = 0; i < 3000; i++) {
        memcpy(hash.b + 3, &i, sizeof i);
        assert_true(swarm_counts_set(&counts, &seed, &hash, i + 1));
    }
    for (uint32_t i = 0; i < 3000; i += 2) {
        memcpy(hash.b + 3, &i, sizeof i);
        assert_true(swarm_counts_set(&counts, &seed, &hash, i % 4 == 0 ? 0 : 7));
    }
    assert_int_equal(counts.n, 2250);
    for (uint32_t i = 0; i < 3000; i++) {
        memcpy(hash.b + 3, &i, sizeof i);
        uint32_t expected = i % 4 == 0 ? 0 : i % 2 == 0 ? 7 : i + 1;
        assert_int_equal(swarm_counts_get(&counts, &seed, &hash), expected);
    }
    for (uint32_t i = 0; i < 3000; i++) {
        memcpy(hash.b + 3, &i, sizeof i);
        assert_true(swarm_counts_set(&counts, &seed, &hash, 0));
    }
    assert_int_equal(counts.n, 0);
    assert_null(counts.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_all_through_growth_and_shrinking),
        cmocka_unit_test(finds_all_among_equal_hashes),
        cmocka_unit_test(the_highest_tag_and_position_are_no_marker),
        cmocka_unit_test(a_copy_is_independent),
        cmocka_unit_test(growth_is_spread_over_inserts),
        cmocka_unit_test(memory_goes_in_parts),
        cmocka_unit_test(a_table_is_released_in_parts),
        cmocka_unit_test(counts_are_set_changed_and_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
