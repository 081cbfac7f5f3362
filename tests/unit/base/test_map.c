#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"

enum { N_OWNERS = 5000 };

struct owner {
    uint32_t id; /* its bytes are the key */
    struct map_node node;
    int seen;
};

static const struct siphash_key seed = {{1, 2, 3}};

static struct span key_of(const struct owner *o)
{
    return span_of(&o->id, sizeof o->id);
}

static struct owner *find(const struct map *m, uint32_t id)
{
    struct map_node *node = map_find(m, span_of(&id, sizeof id));
    return node == NULL ? NULL : container_of(node, struct owner, node);
}

static void walk(const struct map *m, struct owner *all, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        all[i].seen = 0;
    }
    for (struct map_node *node = map_first(m); node != NULL; node = map_next(m, node)) {
        container_of(node, struct owner, node)->seen++;
        count++;
    }
    assert_int_equal(count, map_count(m));
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(all[i].seen, map_is_linked(&all[i].node) ? 1 : 0);
    }
}

static void test_empty(void **state)
{
    (void)state;
    struct map m;
    map_init(&m, &seed);
    assert_int_equal(map_count(&m), 0);
    assert_null(map_first(&m));
    assert_null(map_find(&m, SPAN("")));
    map_release(&m);
}

static void test_keys_of_any_bytes(void **state)
{
    (void)state;
    struct map m;
    struct map_node empty = {0}, a = {0}, nul = {0};
    map_init(&m, &seed);
    map_insert(&m, &empty, SPAN(""));
    map_insert(&m, &a, SPAN("a"));
    map_insert(&m, &nul, SPAN("a\0"));
    assert_ptr_equal(map_find(&m, SPAN("")), &empty);
    assert_ptr_equal(map_find(&m, SPAN("a")), &a);
    assert_ptr_equal(map_find(&m, SPAN("a\0")), &nul);
    assert_null(map_find(&m, SPAN("a\0\0")));
    map_remove(&m, &a);
    assert_false(map_is_linked(&a));
    assert_null(map_find(&m, SPAN("a")));
    map_insert(&m, &a, SPAN("b")); /* again, under another key */
    assert_ptr_equal(map_find(&m, SPAN("b")), &a);
    map_remove(&m, &a);
    map_remove(&m, &nul);
    map_remove(&m, &empty);
    map_release(&m);
    map_insert(&m, &a, SPAN("c")); /* usable after release */
    map_remove(&m, &a);
    map_release(&m);
}

/* Looked at in every state of its growth. */
static void test_grows_step_by_step(void **state)
{
    (void)state;
    struct map m;
    struct owner *all = calloc(200, sizeof *all);
    map_init(&m, &seed);
    for (uint32_t i = 0; i < 200; i++) {
        all[i].id = i;
        map_insert(&m, &all[i].node, key_of(&all[i]));
        walk(&m, all, 200);
        for (uint32_t j = 0; j < 200; j++) {
            assert_ptr_equal(find(&m, j), j <= i ? &all[j] : NULL);
        }
    }
    for (uint32_t i = 0; i < 200; i++) {
        map_remove(&m, &all[i].node);
    }
    map_release(&m);
    free(all);
}

static void test_random_inserts_and_removes(void **state)
{
    (void)state;
    struct rng rng = {.state = 7};
    struct map m;
    struct owner *all = calloc(N_OWNERS, sizeof *all);
    size_t count = 0;
    map_init(&m, &seed);
    for (uint32_t i = 0; i < N_OWNERS; i++) {
        all[i].id = i;
    }
    for (int step = 0; step < 20 * N_OWNERS; step++) {
        struct owner *o = &all[rng_below(&rng, N_OWNERS)];
        assert_ptr_equal(find(&m, o->id), map_is_linked(&o->node) ? o : NULL);
        if (map_is_linked(&o->node)) {
            map_remove(&m, &o->node);
            count--;
        } else {
            map_insert(&m, &o->node, key_of(o));
            count++;
        }
        assert_int_equal(map_count(&m), count);
    }
    walk(&m, all, N_OWNERS);
    struct map_node *next;
    for (struct map_node *node = map_first(&m); node != NULL; node = next) {
        next = map_next(&m, node);
        map_remove(&m, node);
    }
    walk(&m, all, N_OWNERS);
    map_release(&m);
    free(all);
}

static void insert_linked(struct map *m, struct map_node *linked)
{
    map_insert(m, linked, SPAN("other"));
}

static void insert_key_twice(struct map *m, struct map_node *linked)
{
    struct map_node node = {0};
    (void)linked;
    map_insert(m, &node, SPAN("key"));
}

static void remove_twice(struct map *m, struct map_node *linked)
{
    map_remove(m, linked);
    map_remove(m, linked);
}

static void release_with_nodes(struct map *m, struct map_node *linked)
{
    (void)linked;
    map_release(m);
}

static void assert_aborts(void (*misuse)(struct map *, struct map_node *))
{
    struct map m;
    struct map_node node = {0};
    map_init(&m, &seed);
    map_insert(&m, &node, SPAN("key"));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit no_core = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        if (freopen("/dev/null", "w", stderr) != NULL) {
            misuse(&m, &node);
        }
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    map_remove(&m, &node);
    map_release(&m);
}

static void test_misuse_aborts(void **state)
{
    (void)state;
    assert_aborts(insert_linked);
    assert_aborts(insert_key_twice);
    assert_aborts(remove_twice);
    assert_aborts(release_with_nodes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_keys_of_any_bytes),
        cmocka_unit_test(test_grows_step_by_step),
        cmocka_unit_test(test_random_inserts_and_removes),
        cmocka_unit_test(test_misuse_aborts),
    };
    if (digest_start() < 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
