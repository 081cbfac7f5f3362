#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/mem.h"
#include "unit/base/dies.h"

#include "base/banned.h"

struct item {
    int number;
    struct list node;
};

static void assert_numbers(struct list *head, const int *want, size_t n)
{
    size_t i = 0;
    LIST_FOREACH_SAFE (node, head) {
        assert_true(i < n);
        assert_int_equal(container_of(node, struct item, node)->number, want[i]);
        assert_true(list_is_linked(node));
        i++;
    }
    assert_int_equal(i, n);
    assert_int_equal(list_is_empty(head), n == 0);
}

static void test_order_is_kept(void **state)
{
    (void)state;
    struct item items[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
    struct list head;
    list_init(&head);
    assert_numbers(&head, NULL, 0);
    assert_null(list_first(&head));
    for (size_t i = 0; i < 3; i++) {
        assert_false(list_is_linked(&items[i].node));
        list_add_tail(&head, &items[i].node);
    }
    assert_numbers(&head, (const int[]){1, 2, 3}, 3);
    list_remove(&items[1].node);
    assert_false(list_is_linked(&items[1].node));
    assert_numbers(&head, (const int[]){1, 3}, 2);
    list_add_tail(&head, &items[1].node);
    assert_numbers(&head, (const int[]){1, 3, 2}, 3);
    assert_ptr_equal(list_first(&head), &items[0].node);
}

static void test_the_current_node_may_be_freed(void **state)
{
    (void)state;
    struct list head;
    list_init(&head);
    for (int i = 0; i < 10; i++) {
        struct item *item = mem_new(struct item);
        item->number = i;
        list_add_tail(&head, &item->node);
    }
    LIST_FOREACH_SAFE (node, &head) {
        struct item *item = container_of(node, struct item, node);
        if (item->number % 2 == 1) {
            list_remove(node);
            free(item);
        }
    }
    assert_numbers(&head, (const int[]){0, 2, 4, 6, 8}, 5);
    LIST_FOREACH_SAFE (node, &head) {
        list_remove(node);
        free(container_of(node, struct item, node));
    }
    assert_numbers(&head, NULL, 0);
}

static void add_twice(void)
{
    struct item item = {.number = 1};
    struct list head;
    list_init(&head);
    list_add_tail(&head, &item.node);
    list_add_tail(&head, &item.node);
}

static void remove_twice(void)
{
    struct item item = {.number = 1};
    struct list head;
    list_init(&head);
    list_add_tail(&head, &item.node);
    list_remove(&item.node);
    list_remove(&item.node);
}

static void test_linking_and_unlinking_twice_are_bugs(void **state)
{
    (void)state;
    assert_true(dies(add_twice));
    assert_true(dies(remove_twice));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_is_kept),
        cmocka_unit_test(test_the_current_node_may_be_freed),
        cmocka_unit_test(test_linking_and_unlinking_twice_are_bugs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
