#include "base/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"

#include "base/banned.h"

enum { N = 300 };

static void test_never_is_not_in_it(void **state)
{
    (void)state;
    struct heap h = {.nodes = NULL};
    struct heap_node node = {.place = 0};
    assert_null(heap_first(&h));
    assert_true(heap_first_ms(&h) == UINT64_MAX);
    heap_set(&h, &node, UINT64_MAX);
    assert_false(heap_is_linked(&node));
    heap_set(&h, &node, 7);
    assert_ptr_equal(heap_first(&h), &node);
    assert_true(heap_first_ms(&h) == 7);
    heap_set(&h, &node, UINT64_MAX);
    assert_null(heap_first(&h));
    heap_remove(&h, &node);
    heap_release(&h);
}

static const struct heap_node *earliest(const struct heap_node *nodes)
{
    const struct heap_node *best = NULL;
    for (size_t i = 0; i < N; i++) {
        if (heap_is_linked(&nodes[i]) && (best == NULL || nodes[i].at_ms < best->at_ms)) {
            best = &nodes[i];
        }
    }
    return best;
}

/* Nodes are set, moved and removed at random; the first is always an earliest one. */
static void test_first_is_the_earliest(void **state)
{
    (void)state;
    struct rng rng = {.state = 1};
    struct heap h = {.nodes = NULL};
    struct heap_node nodes[N] = {{.place = 0}};
    for (size_t step = 0; step < 20000; step++) {
        struct heap_node *node = &nodes[rng_below(&rng, N)];
        if (rng_below(&rng, 3) == 0) {
            heap_remove(&h, node);
            assert_false(heap_is_linked(node));
        } else {
            heap_set(&h, node, rng_below(&rng, 1000));
            assert_true(heap_is_linked(node));
        }
        const struct heap_node *best = earliest(nodes);
        assert_true(heap_first_ms(&h) == (best == NULL ? UINT64_MAX : best->at_ms));
    }
    uint64_t before_ms = 0;
    while (heap_first(&h) != NULL) {
        assert_true(heap_first_ms(&h) >= before_ms);
        before_ms = heap_first_ms(&h);
        heap_remove(&h, heap_first(&h));
    }
    heap_release(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_is_not_in_it),
        cmocka_unit_test(test_first_is_the_earliest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
