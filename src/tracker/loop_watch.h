/* loop_watch.h: how long the turns of a loop are, and how much of it is the loop's own doing.
 * Tracker core: no I/O, no clock.
 *
 * Turn   from one look at the sockets to the next, without the time that the loop slept.
 * Own    what of a turn the thread had the processor for. Asking the kernel for that is dear, so
 *        it is asked once in a few short turns, and of each long one: what was taken away in the
 *        short turns in front of a long one is missing in that one's own part, a little at most.
 */
#ifndef TRACKER_LOOP_WATCH_H
#define TRACKER_LOOP_WATCH_H

#include <stdbool.h>
#include <stdint.h>

/* All zero: no turn yet. */
struct loop_watch {
    /* private */
    uint64_t looked_ns; /* clock at the last look; 0: never */
    uint64_t slept_ns;  /* in all, as of then */
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

/* The loop is about to look at its sockets. slept_ns: in all its life. used_ns: the thread's
 * processor time. Returns false at the first look, else fills *out. */
bool loop_watch_look(struct loop_watch *w, uint64_t now_ns, uint64_t slept_ns,
                     uint64_t (*used_ns)(void), struct loop_turn *out);

#endif
