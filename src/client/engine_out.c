/* What the engine wants done.
 *
 * Outputs with a content wait in a ring, in the order they were made. SEND and READ have none: a
 * connection that has something to send, or may be read again, is in a list, at most once, so that
 * a thousand messages to a peer are one SEND. The ring goes first: a CONNECT comes before the SEND
 * of its connection, and a connection that was closed is in no list any more.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "client/engine_impl.h"

#include "base/banned.h"

enum { OUTS_MIN = 16 }; /* a power of two, as every capacity of the ring */

static void grow(struct engine *e)
{
    size_t cap = e->outs_cap == 0 ? OUTS_MIN : 2 * e->outs_cap;
    struct engine_out *outs = mem_array(cap, sizeof *outs);
    for (size_t i = 0; i < e->n_outs; i++) {
        outs[i] = e->outs[(e->first_out + i) & (e->outs_cap - 1)];
    }
    free(e->outs);
    e->outs = outs;
    e->outs_cap = cap;
    e->first_out = 0;
}

void engine_put(struct engine *e, const struct engine_out *out)
{
    if (e->n_outs == e->outs_cap) {
        grow(e);
    }
    e->outs[(e->first_out + e->n_outs) & (e->outs_cap - 1)] = *out;
    e->n_outs++;
}

void conn_wake(struct conn *c)
{
    if (!c->gone && c->connected && !list_is_linked(&c->out_node)) {
        list_add_tail(&c->e->sendable, &c->out_node);
    }
}

void conn_wake_reader(struct conn *c)
{
    if (c->gone || !c->reading_off) {
        return;
    }
    c->reading_off = false;
    if (list_is_linked(&c->read_node)) {
        list_remove(&c->read_node);
    }
    list_add_tail(&c->e->readable, &c->read_node);
}

static bool next_of_ring(struct engine *e, struct engine_out *out)
{
    if (e->n_outs == 0) {
        return false;
    }
    *out = e->outs[e->first_out];
    e->first_out = (e->first_out + 1) & (e->outs_cap - 1);
    e->n_outs--;
    return true;
}

bool engine_next_out(struct engine *e, struct engine_out *out)
{
    if (next_of_ring(e, out)) {
        return true;
    }
    struct list *node = list_first(&e->sendable);
    if (node != NULL) {
        list_remove(node);
        *out = (struct engine_out){
            .kind = ENGINE_OUT_SEND,
            .conn = container_of(node, struct conn, out_node)->id,
        };
        return true;
    }
    node = list_first(&e->readable);
    if (node != NULL) {
        list_remove(node);
        *out = (struct engine_out){
            .kind = ENGINE_OUT_READ,
            .conn = container_of(node, struct conn, read_node)->id,
        };
        return true;
    }
    return false;
}
