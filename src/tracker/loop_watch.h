/* loop_watch.h: how long the turns of a loop are, and how much of it is the loop's own doing.
 * Tracker core: no I/O, no clock.
 *
 * Turn   from one look at the sockets to the next, without the time that the loop slept.
 * Part   what of a turn is of interest by itself. It does not sleep.
 * Own    what of a turn or a part the thread had the processor for. Asking the kernel for that is
 *        dear, so it is asked once in a few short turns, and of each long turn and part: what was
 *        taken away in short ones in front of a long one is missing in that one's own time, a
 *        little at most.
 */
#ifndef TRACKER_LOOP_WATCH_H
#define TRACKER_LOOP_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct loop_clocks {
    uint64_t (*slept_ns)(void *ctx); /* by the loop, in all its life */
    uint64_t (*used_ns)(void *ctx);  /* processor time of the thread */
    void *ctx;
};

/* All zero but for the clocks: no turn yet. */
struct loop_watch {
    struct loop_clocks clocks;
    /* private */
    uint64_t looked_ns;       /* clock at the last look; 0: never */
    uint64_t slept_ns;        /* in all, as of then */
    uint64_t taken_ns;        /* of this turn, as far as it was asked */
    uint64_t marked_ns;       /* clock at the last call */
    uint64_t marked_slept_ns; /* in all, as of then or of a short while before */
    /* When the processor time was asked for last. */
    uint64_t asked_ns;
    uint64_t asked_slept_ns;
    uint64_t asked_used_ns;
    uint32_t n_unasked; /* turns since */
};

enum { LOOP_WATCH_LONG_US = 500, LOOP_WATCH_ASK_EVERY = 16 };

struct loop_turn {
    uint64_t whole_us;
    uint64_t own_us; /* <= whole_us */
};

/* The loop is about to look at its sockets. Returns false at the first look, else fills *out. */
bool loop_watch_look(struct loop_watch *w, uint64_t now_ns, struct loop_turn *out);

/* A part begins and ends. Returns its own microseconds. */
void loop_watch_enter(struct loop_watch *w, uint64_t now_ns);
uint64_t loop_watch_leave(struct loop_watch *w, uint64_t now_ns);

#endif
