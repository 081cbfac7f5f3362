/* The clock and its events, nodes in their order, and how a run begins, goes on, ends or fails.
 *
 * Events of the same millisecond come in an order that depends on the heap alone, so a seed is
 * enough to see a run again. A millisecond with EVENTS_PER_MS_MAX events is a livelock: somebody
 * asks for the same moment again and again.
 */
#include "sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/mem.h"
#include "sim/sim_impl.h"
#include "tracker/tracker.h"

#include "base/banned.h"

enum {
    EVENTS_PER_MS_MAX = 100000,
    LOOK_MS = 20,        /* how often sim_wait asks */
    IDLE_MAX_MS = 60000, /* until a stopped engine is idle */
};

_Noreturn void sim_fail(const struct sim *s, const struct sim_node *n, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)fprintf(stderr, "seed %llu, at %llu ms, node %d (life %u): %s\n",
                  (unsigned long long)s->options.seed, (unsigned long long)s->now_ms,
                  n == NULL ? -1 : (int)n->index, n == NULL ? 0 : n->n_lives, text);
    fail();
    abort();
}

void sim_trace(const struct sim *s, const struct sim_node *n, const char *fmt, ...)
{
    va_list ap;
    if (s->traced) {
        (void)fprintf(stderr, "%9llu node %u: ", (unsigned long long)s->now_ms, n->index);
        va_start(ap, fmt);
        (void)vfprintf(stderr, fmt, ap);
        va_end(ap);
        (void)fputc('\n', stderr);
    }
}

/* ---- the clock ------------------------------------------------------------------------------ */

void sim_at(struct sim *s, struct sim_event *ev, uint64_t at_ms)
{
    heap_set(&s->heap, &ev->at, at_ms < s->now_ms ? s->now_ms : at_ms);
}

void sim_cancel(struct sim *s, struct sim_event *ev)
{
    heap_remove(&s->heap, &ev->at);
}

static void step(struct sim *s)
{
    struct sim_event *ev = container_of(heap_first(&s->heap), struct sim_event, at);
    if (ev->at.at_ms != s->now_ms) {
        s->now_ms = ev->at.at_ms;
        s->n_events_now = 0;
    }
    s->n_events++;
    if (++s->n_events_now > EVENTS_PER_MS_MAX) {
        sim_fail(s, NULL, "the time stands still");
    }
    heap_remove(&s->heap, &ev->at);
    ev->fire(ev);
}

void sim_run(struct sim *s, uint64_t for_ms)
{
    uint64_t end_ms = s->now_ms + for_ms;
    while (heap_first_ms(&s->heap) <= end_ms) {
        step(s);
    }
    if (s->now_ms != end_ms) {
        s->now_ms = end_ms;
        s->n_events_now = 0;
    }
}

bool sim_wait(struct sim *s, bool (*done)(struct sim *s, void *ctx), void *ctx, uint64_t max_ms)
{
    uint64_t end_ms = s->now_ms + max_ms;
    while (!done(s, ctx)) {
        if (s->now_ms >= end_ms) {
            return false;
        }
        sim_run(s, LOOK_MS);
    }
    return true;
}

void sim_run_until(struct sim *s, bool (*done)(struct sim *s, void *ctx), void *ctx,
                   uint64_t max_ms)
{
    if (sim_wait(s, done, ctx, max_ms)) {
        return;
    }
    SIM_FOREACH_NODE(n, s)
    {
        SIM_FOREACH_MEMBER(m, n)
        {
            struct torrent_status t = sim_status(m);
            (void)fprintf(stderr,
                          "  node %u: state %d fault %d '%s', %.1f %%, %u peers, %u candidates, "
                          "%llu B/s down, %llu B/s up\n",
                          n->index, (int)t.state, (int)t.fault, t.error == NULL ? "" : t.error,
                          t.progress * 100, t.n_peers, t.n_candidates,
                          (unsigned long long)t.down_bps, (unsigned long long)t.up_bps);
        }
    }
    sim_fail(s, NULL, "it did not come about in %llu ms", (unsigned long long)max_ms);
}

bool sim_fault_hits(struct sim *s, enum sim_fault_kind kind)
{
    struct sim_fault *f = &s->faults[kind];
    return ++f->n == f->at;
}

/* ---- nodes and members in their order --------------------------------------------------------- */

struct sim_node *sim_next_node(const struct sim *s, const struct sim_node *after)
{
    const struct list *next = after == NULL ? s->nodes.next : after->node.next;
    return next == &s->nodes ? NULL : container_of(next, struct sim_node, node);
}

struct sim_member *sim_next_member(const struct sim_node *n, const struct sim_member *after)
{
    const struct list *next = after == NULL ? n->members.next : after->node.next;
    return next == &n->members ? NULL : container_of(next, struct sim_member, node);
}

bool sim_all_complete(struct sim *s, void *ctx)
{
    (void)ctx;
    SIM_FOREACH_NODE(n, s)
    {
        SIM_FOREACH_MEMBER(m, n)
        {
            if (!sim_is_complete(m)) {
                return false;
            }
        }
    }
    return true;
}

/* ---- begin and end ------------------------------------------------------------------------------ */

struct sim *sim_new(const struct sim_options *options)
{
    struct sim *s = mem_new(struct sim);
    if (digest_start() < 0) {
        abort();
    }
    s->options = *options;
    s->traced = getenv("SIM_TRACE") != NULL;
    s->now_ms = SIM_START_MS;
    s->rng.state = options->seed;
    list_init(&s->nodes);
    list_init(&s->torrents);
    list_init(&s->links);
    sim_tracker_start(s);
    return s;
}

static bool all_idle(struct sim *s, void *ctx)
{
    (void)ctx;
    SIM_FOREACH_NODE(n, s)
    {
        if (n->e != NULL && !engine_is_idle(n->e)) {
            return false;
        }
    }
    return true;
}

static void free_torrents(struct sim *s)
{
    LIST_FOREACH_SAFE (node, &s->torrents) {
        struct sim_torrent *t = container_of(node, struct sim_torrent, node);
        list_remove(node);
        layout_free(t->layout);
        free(t->content);
        free(t->file);
        free(t);
    }
}

static void node_free(struct sim_node *n)
{
    LIST_FOREACH_SAFE (at, &n->members) {
        struct sim_member *m = container_of(at, struct sim_member, node);
        list_remove(at);
        sim_disk_release(m);
        sim_store_release(m);
        free(m->peers);
        free(m);
    }
    sim_cancel(n->s, &n->deadline);
    sim_cancel(n->s, &n->uplink_event);
    map_release(&n->ends);
    list_remove(&n->node);
    free(n);
}

void sim_stop(struct sim *s)
{
    SIM_FOREACH_NODE(n, s)
    {
        if (n->e != NULL) {
            engine_stop(n->e, s->now_ms);
            sim_node_drain(n);
        }
    }
    sim_run_until(s, all_idle, NULL, IDLE_MAX_MS);
    sim_run(s, 1000); /* what still comes must find nobody */
}

void sim_end(struct sim *s)
{
    sim_stop(s);
    SIM_FOREACH_NODE(n, s)
    {
        if (n->e != NULL) {
            sim_check_idle(n);
            engine_free(n->e);
            n->e = NULL;
        }
    }
    sim_link_free_all(s);
    LIST_FOREACH_SAFE (node, &s->nodes) {
        node_free(container_of(node, struct sim_node, node));
    }
    free_torrents(s);
    tracker_free(s->tracker);
    if (heap_first(&s->heap) != NULL) {
        sim_fail(s, NULL, "an event is left");
    }
    heap_release(&s->heap);
    free(s);
}
