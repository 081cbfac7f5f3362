#include "unit/tracker/core_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "tracker/access.h"

#include "base/banned.h"

static const struct hash_seed seed = {{1, 2, 3, 4}};
static const struct siphash_key secret = {{5, 6, 7}};

struct fixture {
    struct access *access;
    struct access_slot *slot[2];
};

static int open_access(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    for (int i = 0; i < 2; i++) {
        f->slot[i] = aligned_alloc(64, sizeof(struct access_slot));
        memset(f->slot[i], 0, sizeof *f->slot[i]);
    }
    f->access = access_new(&seed, &secret, (const struct access_slot *const *)f->slot, 2);
    *state = f;
    return 0;
}

static int close_access(void **state)
{
    struct fixture *f = *state;
    access_free(f->access);
    free(f->slot[0]);
    free(f->slot[1]);
    free(f);
    return 0;
}

static struct access *of(void **state)
{
    return ((struct fixture *)*state)->access;
}

static struct access_key key_of(const char *text)
{
    struct access_key key = {.permanent = true};
    (void)snprintf(key.key, sizeof key.key, "%s", text);
    return key;
}

static void put(struct access *a, const char *text)
{
    struct access_key key = key_of(text);
    access_put_key(a, &key);
}

static bool has(struct access *a, uint32_t n)
{
    struct infohash hash = hash_n(n);
    return access_has_hash(a, access_current(a), &hash);
}

static void hashes_come_and_go(void **state)
{
    struct access *a = of(state);
    struct infohash hashes[200];
    for (uint32_t i = 0; i < 200; i++) {
        hashes[i] = hash_n(i);
    }
    access_add_hashes(a, hashes, 200);
    access_add_hashes(a, hashes, 100); /* again: nothing changes */
    assert_int_equal(access_hash_count(a), 200);
    access_remove_hashes(a, hashes + 50, 100);
    access_remove_hashes(a, hashes + 50, 1);
    assert_int_equal(access_hash_count(a), 100);
    for (uint32_t i = 0; i < 200; i++) {
        assert_int_equal(has(a, i), i < 50 || i >= 150);
    }
    assert_false(has(a, 200));
}

static int ascending(const void *x, const void *y)
{
    return memcmp(x, y, sizeof(struct infohash));
}

static void hashes_are_listed_in_order(void **state)
{
    struct access *a = of(state);
    struct infohash sorted[500];
    struct infohash rows[7];
    size_t n = 0;
    for (uint32_t i = 0; i < 500; i++) {
        sorted[i] = hash_n(i);
    }
    access_add_hashes(a, sorted, 500);
    qsort(sorted, 500, sizeof sorted[0], ascending);
    for (size_t got = 7; got == 7; n += got) {
        got = access_list_hashes(a, n == 0 ? NULL : &sorted[n - 1], rows, 7);
        assert_true(n + got <= 500);
        assert_memory_equal(rows, sorted + n, got * sizeof rows[0]);
    }
    assert_int_equal(n, 500);
}

static void a_load_replaces_everything_at_once(void **state)
{
    struct access *a = of(state);
    struct infohash old[3] = {hash_n(1), hash_n(2), hash_n(3)};
    struct infohash fresh = hash_n(4);
    struct infohash gone[8];
    access_add_hashes(a, old, 3);
    access_load_hashes_begin(a);
    access_load_hash(a, &old[0]);
    access_load_hash(a, &old[0]);
    access_load_hash(a, &fresh);
    assert_true(has(a, 2));
    assert_false(has(a, 4));
    size_t n = access_load_hashes_commit(a, gone, 8);
    assert_int_equal(n, 2);
    assert_true(infohash_eq(&gone[0], &old[1]) || infohash_eq(&gone[1], &old[1]));
    assert_true(has(a, 1) && has(a, 4) && !has(a, 2) && !has(a, 3));
    assert_int_equal(access_hash_count(a), 2);
    access_load_hashes_begin(a);
    access_load_hash(a, &old[2]);
    access_load_hashes_abort(a);
    assert_int_equal(access_hash_count(a), 2);
}

/* The rows of a load are older than what the API did meanwhile. */
static void changes_beside_a_load_are_kept(void **state)
{
    struct access *a = of(state);
    struct infohash h[4] = {hash_n(1), hash_n(2), hash_n(3), hash_n(4)};
    struct infohash gone[8];
    access_add_hashes(a, h, 2);
    access_load_hashes_begin(a);
    access_load_hash(a, &h[0]);
    access_add_hashes(a, &h[2], 1);
    access_remove_hashes(a, &h[1], 1);
    access_load_hash(a, &h[1]);
    access_load_hash(a, &h[3]);
    assert_int_equal(access_load_hashes_commit(a, gone, 8), 0);
    assert_true(has(a, 1) && !has(a, 2) && has(a, 3) && has(a, 4));
    put(a, "kept");
    put(a, "removed");
    access_load_keys_begin(a);
    struct access_key key = key_of("kept");
    access_load_key(a, &key);
    put(a, "added");
    assert_true(access_remove_key(a, SPAN("removed")));
    key = key_of("removed");
    access_load_key(a, &key);
    access_load_keys_commit(a);
    assert_int_equal(access_key_count(a), 2);
    assert_true(access_get_key(a, SPAN("kept"), &key));
    assert_true(access_get_key(a, SPAN("added"), &key));
    assert_false(access_get_key(a, SPAN("removed"), &key));
}

static void keys_come_and_go(void **state)
{
    struct access *a = of(state);
    struct access_key key = {.expires_unix_ms = 5000, .created_unix_s = 3, .last_used_unix_s = 9};
    struct access_key got;
    (void)snprintf(key.key, sizeof key.key, "abc");
    (void)snprintf(key.label, sizeof key.label, "for a friend");
    access_put_key(a, &key);
    put(a, "abcd");
    assert_true(access_get_key(a, SPAN("abc"), &got));
    assert_string_equal(got.label, "for a friend");
    assert_int_equal(got.expires_unix_ms, 5000);
    assert_int_equal(got.last_used_unix_s, 9);
    key.expires_unix_ms = 6000; /* replaced: an earlier last use does not win */
    key.last_used_unix_s = 2;
    access_put_key(a, &key);
    assert_true(access_get_key(a, SPAN("abc"), &got));
    assert_int_equal(got.expires_unix_ms, 6000);
    assert_int_equal(got.last_used_unix_s, 9);
    assert_int_equal(access_key_count(a), 2);
    assert_false(access_remove_key(a, SPAN("ab")));
    assert_true(access_remove_key(a, SPAN("abc")));
    assert_false(access_remove_key(a, SPAN("abc")));
    assert_false(access_get_key(a, SPAN("abc"), &got));
    assert_int_equal(access_key_count(a), 1);
}

static void keys_are_listed_in_order(void **state)
{
    static const char *const texts[] = {"zeta", "alpha", "alp", "m", "beta", "alphabet"};
    static const char *const sorted[] = {"alp", "alpha", "alphabet", "beta", "m", "zeta"};
    struct access *a = of(state);
    struct access_key rows[2];
    for (int loaded = 0; loaded < 2; loaded++) {
        size_t n = 0;
        if (loaded) {
            access_load_keys_begin(a);
        }
        for (size_t i = 0; i < 6; i++) {
            struct access_key key = key_of(texts[i]);
            loaded ? access_load_key(a, &key) : access_put_key(a, &key);
        }
        if (loaded) {
            access_load_keys_commit(a);
        }
        for (size_t got = 2; got == 2; n += got) {
            got = access_list_keys(a, n == 0 ? SPAN("") : span_str(sorted[n - 1]), rows, 2);
            for (size_t i = 0; i < got; i++) {
                assert_string_equal(rows[i].key, sorted[n + i]);
            }
        }
        assert_int_equal(n, 6);
    }
}

static void uses_are_taken_once(void **state)
{
    struct access *a = of(state);
    struct access_key rows[4];
    put(a, "one");
    put(a, "two");
    struct key_entry *one = access_find_key(a, access_current(a), SPAN("one"));
    assert_int_equal(access_take_used(a, rows, 4), 0);
    access_mark_used(a, one, 100);
    access_mark_used(a, one, 100);
    access_mark_used(a, one, 101);
    assert_int_equal(access_take_used(a, rows, 4), 1);
    assert_string_equal(rows[0].key, "one");
    assert_int_equal(rows[0].last_used_unix_s, 101);
    assert_int_equal(access_take_used(a, rows, 4), 0);
    access_mark_used(a, one, 102);
    access_mark_used(a, access_find_key(a, access_current(a), SPAN("two")), 102);
    assert_int_equal(access_take_used(a, rows, 1), 1);
    assert_int_equal(access_take_used(a, rows, 4), 1);
}

static void a_use_survives_a_replaced_key(void **state)
{
    struct access *a = of(state);
    struct access_key rows[4];
    for (int loaded = 0; loaded < 2; loaded++) {
        put(a, "one");
        access_mark_used(a, access_find_key(a, access_current(a), SPAN("one")), 100 + loaded);
        if (loaded) {
            struct access_key key = key_of("one");
            access_load_keys_begin(a);
            access_load_key(a, &key);
            access_load_keys_commit(a);
        } else {
            put(a, "one");
        }
        assert_int_equal(access_take_used(a, rows, 4), 1);
        assert_int_equal(rows[0].last_used_unix_s, 100 + loaded);
    }
}

/* A worker goes on with the entries of the snapshot it holds, while a load replaces them all. */
static void a_use_beside_a_load_survives(void **state)
{
    struct fixture *f = *state;
    struct access *a = f->access;
    struct access_key rows[4];
    struct access_key key = key_of("one");
    put(a, "one");
    const struct access_list *held = access_hold(a, f->slot[0]);
    struct key_entry *one = access_find_key(a, held, SPAN("one"));
    access_load_keys_begin(a);
    access_load_key(a, &key);
    access_mark_used(a, one, 100);
    access_load_keys_commit(a);
    assert_true(access_reclaim(a, SIZE_MAX));
    assert_int_equal(access_take_used(a, rows, 4), 1);
    access_mark_used(a, one, 200);
    access_let_go(f->slot[0]);
    assert_false(access_reclaim(a, SIZE_MAX));
    assert_true(access_get_key(a, SPAN("one"), &key));
    assert_int_equal(key.last_used_unix_s, 200);
    assert_int_equal(access_take_used(a, rows, 4), 1);
    assert_int_equal(rows[0].last_used_unix_s, 200);
}

/* Freeing a hundred thousand keys at once would stop others for milliseconds. */
static void what_a_load_replaced_is_freed_in_slices(void **state)
{
    enum { N = 1000, BUDGET = 100 };
    struct access *a = of(state);
    for (int round = 0; round < 3; round++) {
        access_load_keys_begin(a);
        access_load_hashes_begin(a);
        for (uint32_t i = 0; i < N; i++) {
            struct access_key key = {.permanent = true};
            struct infohash hash = hash_n(i);
            (void)snprintf(key.key, sizeof key.key, "key%u", i);
            access_load_key(a, &key);
            access_load_hash(a, &hash);
        }
        if (round == 2) {
            access_load_keys_abort(a);
            access_load_hashes_abort(a);
        } else {
            access_load_keys_commit(a);
            assert_int_equal(access_load_hashes_commit(a, NULL, 0), 0);
        }
        int calls = 1;
        while (access_reclaim(a, BUDGET)) {
            calls++;
        }
        assert_true(round == 0 ? calls == 1 : calls >= N / BUDGET);
    }
    assert_int_equal(access_key_count(a), N);
    assert_int_equal(access_hash_count(a), N);
    assert_true(access_remove_key(a, SPAN("key500")));
    struct access_key rows[2];
    assert_int_equal(access_list_keys(a, SPAN("key499"), rows, 2), 2);
    assert_string_equal(rows[0].key, "key5");
    assert_string_equal(rows[1].key, "key50");
    assert_int_equal(access_list_keys(a, SPAN("key50"), rows, 1), 1);
    assert_string_equal(rows[0].key, "key501");
}

static void a_used_key_may_be_removed(void **state)
{
    struct access *a = of(state);
    struct access_key rows[4];
    put(a, "one");
    put(a, "two");
    access_mark_used(a, access_find_key(a, access_current(a), SPAN("one")), 100);
    access_mark_used(a, access_find_key(a, access_current(a), SPAN("two")), 100);
    access_remove_key(a, SPAN("one"));
    assert_int_equal(access_take_used(a, rows, 4), 1);
    assert_string_equal(rows[0].key, "two");
    access_mark_used(a, access_find_key(a, access_current(a), SPAN("two")), 101);
    access_remove_key(a, SPAN("two")); /* and left to access_free */
}

static void an_id_never_means_another_key(void **state)
{
    struct access *a = of(state);
    put(a, "one");
    uint32_t one = key_entry_id(access_find_key(a, access_current(a), SPAN("one")));
    put(a, "two");
    put(a, "one"); /* replaced: the same key */
    assert_int_equal(key_entry_id(access_find_key(a, access_current(a), SPAN("one"))), one);
    assert_string_equal(access_key_text(a, one), "one");
    access_remove_key(a, SPAN("one"));
    assert_null(access_key_text(a, one));
    put(a, "three");
    put(a, "one");
    assert_null(access_key_text(a, one));
    uint32_t two = key_entry_id(access_find_key(a, access_current(a), SPAN("two")));
    struct access_key key = key_of("two");
    access_load_keys_begin(a);
    access_load_key(a, &key);
    key = key_of("four");
    access_load_key(a, &key);
    access_load_keys_commit(a);
    assert_string_equal(access_key_text(a, two), "two");
    assert_int_equal(access_key_count(a), 2);
    assert_null(access_key_text(a, 0));
}

static void a_held_snapshot_stays_as_it_was(void **state)
{
    struct fixture *f = *state;
    struct access *a = f->access;
    struct infohash hash = hash_n(1);
    access_add_hashes(a, &hash, 1);
    put(a, "one");
    const struct access_list *held = access_hold(a, f->slot[0]);
    struct key_entry *one = access_find_key(a, held, SPAN("one"));
    access_remove_hashes(a, &hash, 1);
    access_remove_key(a, SPAN("one"));
    for (uint32_t i = 2; i < 50; i++) {
        struct infohash more = hash_n(i);
        access_add_hashes(a, &more, 1);
        const struct access_list *newer = access_hold(a, f->slot[1]);
        assert_true(access_has_hash(a, newer, &more));
        access_let_go(f->slot[1]);
    }
    assert_true(access_has_hash(a, held, &hash));
    assert_ptr_equal(access_find_key(a, held, SPAN("one")), one);
    assert_false(key_entry_is_expired(one, INT64_MAX));
    access_mark_used(a, one, 100);
    access_let_go(f->slot[0]);
    assert_false(has(a, 1));
}

static void a_million_hashes(void **state)
{
    struct access *a = of(state);
    struct rng rng = {1};
    access_load_hashes_begin(a);
    for (int i = 0; i < 1000000; i++) {
        uint64_t r[3] = {rng_next(&rng), rng_next(&rng), rng_next(&rng)};
        struct infohash hash;
        memcpy(&hash, r, sizeof hash);
        access_load_hash(a, &hash);
    }
    struct infohash gone[1];
    assert_int_equal(access_load_hashes_commit(a, gone, 1), 0);
    assert_int_equal(access_hash_count(a), 1000000);
    rng.state = 1;
    for (int i = 0; i < 1000000; i++) {
        uint64_t r[3] = {rng_next(&rng), rng_next(&rng), rng_next(&rng)};
        struct infohash hash;
        memcpy(&hash, r, sizeof hash);
        assert_true(access_has_hash(a, access_current(a), &hash));
    }
}

#define ACCESS(test) cmocka_unit_test_setup_teardown(test, open_access, close_access)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ACCESS(hashes_come_and_go),
        ACCESS(hashes_are_listed_in_order),
        ACCESS(a_load_replaces_everything_at_once),
        ACCESS(changes_beside_a_load_are_kept),
        ACCESS(keys_come_and_go),
        ACCESS(keys_are_listed_in_order),
        ACCESS(uses_are_taken_once),
        ACCESS(a_use_survives_a_replaced_key),
        ACCESS(a_use_beside_a_load_survives),
        ACCESS(what_a_load_replaced_is_freed_in_slices),
        ACCESS(a_used_key_may_be_removed),
        ACCESS(an_id_never_means_another_key),
        ACCESS(a_held_snapshot_stays_as_it_was),
        ACCESS(a_million_hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
