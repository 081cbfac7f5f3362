#include "tracker/loop_watch.h"

#include "base/banned.h"

enum { NS_PER_US = 1000 };

static const uint64_t long_ns = (uint64_t)LOOP_WATCH_LONG_US * NS_PER_US;

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* Finds out for how long, since it was asked last, the loop neither slept nor had the processor:
 * in this turn, for before it nothing was long. Returns that. */
static uint64_t ask(struct loop_watch *w, uint64_t now_ns, uint64_t slept_ns)
{
    uint64_t used_ns = w->clocks.used_ns(w->clocks.ctx);
    uint64_t awake_ns = less(now_ns - w->asked_ns, slept_ns - w->asked_slept_ns);
    uint64_t taken_ns = less(awake_ns, used_ns - w->asked_used_ns);
    w->asked_ns = now_ns;
    w->asked_slept_ns = slept_ns;
    w->asked_used_ns = used_ns;
    w->n_unasked = 0;
    w->taken_ns += taken_ns;
    return taken_ns;
}

/* Returns what was taken away since the last call, if that was long ago. */
static uint64_t mark(struct loop_watch *w, uint64_t now_ns)
{
    uint64_t since_ns = less(now_ns, w->marked_ns);
    w->marked_ns = now_ns;
    if (since_ns <= long_ns) {
        return 0;
    }
    uint64_t slept_ns = w->clocks.slept_ns(w->clocks.ctx);
    uint64_t asleep_ns = slept_ns - w->marked_slept_ns;
    w->marked_slept_ns = slept_ns;
    return less(since_ns, asleep_ns) > long_ns ? ask(w, now_ns, slept_ns) : 0;
}

bool loop_watch_look(struct loop_watch *w, uint64_t now_ns, struct loop_turn *out)
{
    bool first = w->looked_ns == 0;
    uint64_t slept_ns = w->clocks.slept_ns(w->clocks.ctx);
    uint64_t whole_ns = less(now_ns - w->looked_ns, slept_ns - w->slept_ns);
    if (first || whole_ns > long_ns || ++w->n_unasked == LOOP_WATCH_ASK_EVERY) {
        (void)ask(w, now_ns, slept_ns);
    }
    out->whole_us = whole_ns / NS_PER_US;
    out->own_us = less(whole_ns, w->taken_ns) / NS_PER_US;
    w->looked_ns = w->marked_ns = now_ns;
    w->slept_ns = w->marked_slept_ns = slept_ns;
    w->taken_ns = 0;
    return !first;
}

void loop_watch_enter(struct loop_watch *w, uint64_t now_ns)
{
    (void)mark(w, now_ns);
}

uint64_t loop_watch_leave(struct loop_watch *w, uint64_t now_ns)
{
    uint64_t whole_ns = less(now_ns, w->marked_ns);
    return less(whole_ns, mark(w, now_ns)) / NS_PER_US;
}
