#include "tracker/loop_watch.h"

#include "base/banned.h"

enum { NS_PER_US = 1000 };

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* Time since it was asked last in which the loop neither slept nor had the processor. */
static uint64_t ask(struct loop_watch *w, uint64_t now_ns, uint64_t slept_ns, uint64_t used_ns)
{
    uint64_t awake_ns = less(now_ns - w->asked_ns, slept_ns - w->asked_slept_ns);
    uint64_t taken_ns = less(awake_ns, used_ns - w->asked_used_ns);
    w->asked_ns = now_ns;
    w->asked_slept_ns = slept_ns;
    w->asked_used_ns = used_ns;
    w->n_unasked = 0;
    return taken_ns;
}

bool loop_watch_look(struct loop_watch *w, uint64_t now_ns, uint64_t slept_ns,
                     uint64_t (*used_ns)(void), struct loop_turn *out)
{
    bool first = w->looked_ns == 0;
    uint64_t whole_ns = less(now_ns - w->looked_ns, slept_ns - w->slept_ns);
    uint64_t taken_ns = 0;
    w->looked_ns = now_ns;
    w->slept_ns = slept_ns;
    if (first) {
        (void)ask(w, now_ns, slept_ns, used_ns());
        return false;
    }
    if (whole_ns > (uint64_t)LOOP_WATCH_LONG_US * NS_PER_US ||
        ++w->n_unasked == LOOP_WATCH_ASK_EVERY) {
        taken_ns = ask(w, now_ns, slept_ns, used_ns());
    }
    out->whole_us = whole_ns / NS_PER_US;
    out->own_us = less(whole_ns, taken_ns) / NS_PER_US;
    return true;
}
