/* A binary heap in an array. Every node knows its place, so that any of them can be moved or taken
 * out without a search. */
#include "base/heap.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"

#include "base/banned.h"

static void put(struct heap *h, size_t at, struct heap_node *node)
{
    h->nodes[at] = node;
    node->place = at + 1;
}

static void sift_up(struct heap *h, size_t at)
{
    struct heap_node *node = h->nodes[at];
    while (at > 0 && h->nodes[(at - 1) / 2]->at_ms > node->at_ms) {
        put(h, at, h->nodes[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(h, at, node);
}

static void sift_down(struct heap *h, size_t at)
{
    struct heap_node *node = h->nodes[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < h->n && h->nodes[child + 1]->at_ms < h->nodes[child]->at_ms) {
            child++;
        }
        if (child >= h->n || h->nodes[child]->at_ms >= node->at_ms) {
            break;
        }
        put(h, at, h->nodes[child]);
        at = child;
    }
    put(h, at, node);
}

void heap_release(struct heap *h)
{
    ASSERT(h->n == 0);
    free(h->nodes);
    *h = (struct heap){.nodes = NULL};
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    if (!heap_is_linked(node)) {
        return;
    }
    size_t at = node->place - 1;
    ASSERT(at < h->n && h->nodes[at] == node);
    node->place = 0;
    h->n--;
    if (at < h->n) {
        put(h, at, h->nodes[h->n]);
        sift_up(h, at);
        sift_down(h, h->nodes[at]->place - 1);
    }
}

void heap_set(struct heap *h, struct heap_node *node, uint64_t at_ms)
{
    if (at_ms == UINT64_MAX) {
        heap_remove(h, node);
        return;
    }
    if (heap_is_linked(node)) {
        node->at_ms = at_ms;
        sift_up(h, node->place - 1);
        sift_down(h, node->place - 1);
        return;
    }
    if (h->n == h->cap) {
        h->cap = h->cap == 0 ? 16 : 2 * h->cap;
        h->nodes = mem_resize(h->nodes, h->cap, sizeof(struct heap_node *));
    }
    node->at_ms = at_ms;
    h->nodes[h->n] = node;
    sift_up(h, h->n++);
}
