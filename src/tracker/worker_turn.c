#include "tracker/worker_turn.h"

#include "tracker/worker_clock.h"

#include "base/banned.h"

static uint64_t slept_ns(void *turn)
{
    return uv_metrics_idle_time(((struct worker_turn *)turn)->loop);
}

static uint64_t used_ns(void *turn)
{
    (void)turn;
    return worker_clock_used_ns();
}

void worker_turn_init(struct worker_turn *t, uv_loop_t *loop, struct tracker_worker *worker)
{
    *t = (struct worker_turn){
        .loop = loop, .worker = worker, .watch.clocks = {slept_ns, used_ns, t}};
}

void worker_turn_look(struct worker_turn *t)
{
    struct loop_turn turn;
    if (loop_watch_look(&t->watch, worker_clock_ns(), &turn)) {
        stats_loop_gap(tracker_worker_stats(t->worker), turn.whole_us, turn.own_us);
    }
}

struct tracker_time worker_turn_begin(struct worker_turn *t)
{
    uint64_t now_ns = worker_clock_ns();
    struct tracker_time now = worker_clock_at(now_ns);
    loop_watch_enter(&t->watch, now_ns);
    tracker_begin(t->worker, now);
    return now;
}

void worker_turn_end(struct worker_turn *t)
{
    tracker_end(t->worker);
    stats_loop_part(tracker_worker_stats(t->worker),
                    loop_watch_leave(&t->watch, worker_clock_ns()));
}
