/* heap.h: intrusive binary heap of deadlines. A node knows if it is linked.
 *
 * Model   the owner embeds struct heap_node (zeroed at first). The node with the smallest at_ms is
 *         on top; those with the same at_ms come in any order.
 * Cost    set and remove O(log n), first O(1). One array of pointers, never shrunk.
 * Bugs    releasing a heap that has nodes asserts.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t at_ms;
    /* private */
    size_t place; /* in the array, from 1; 0: not linked */
};

/* Zeroed is empty. */
struct heap {
    /* private */
    struct heap_node **nodes;
    size_t n;
    size_t cap;
};

void heap_release(struct heap *h);

/* Link the node at this time, or move it there. UINT64_MAX: never, it is taken out. */
void heap_set(struct heap *h, struct heap_node *node, uint64_t at_ms);
/* Nothing when it is not linked. */
void heap_remove(struct heap *h, struct heap_node *node);

/* The earliest, or NULL. */
static inline struct heap_node *heap_first(const struct heap *h)
{
    return h->n == 0 ? NULL : h->nodes[0];
}

static inline bool heap_is_linked(const struct heap_node *node)
{
    return node->place != 0;
}

/* The earliest time; UINT64_MAX when it is empty. */
static inline uint64_t heap_first_ms(const struct heap *h)
{
    return h->n == 0 ? UINT64_MAX : h->nodes[0]->at_ms;
}

#endif
