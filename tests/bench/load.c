#include "load.h"

#include "process.h"

#include "base/banned.h"

enum { LOOK_AT_ONE_IN = 64 };

#define SILENCE_MAX_NS UINT64_C(5000000000)

static uint64_t never_slept_ns(void *ctx)
{
    (void)ctx;
    return 0;
}

static uint64_t used_ns(void *ctx)
{
    (void)ctx;
    return thread_cpu_ns();
}

static const struct loop_watch watch_new = {.clocks = {never_slept_ns, used_ns, NULL}};

void load_init(struct load *load, const struct load_config *config)
{
    *load = (struct load){.config = config, .watch = watch_new, .rng = {.state = clock_ns()}};
    load->now_ns = clock_ns();
    load->measure_from_ns = load->now_ns + config->warmup_ns;
    load->last_answer_ns = load->now_ns;
}

static void start_measuring(struct load *load)
{
    load->measuring = true;
    load->watch = watch_new;
    load->stats = (struct load_stats){.answers = 0};
    if (load->config->tracker_pid != 0) {
        load->cpu_from_ns = process_cpu_ns(load->config->tracker_pid);
    }
    load->measure_from_ns = clock_ns();
}

static void stop_measuring(struct load *load)
{
    load->measured_ns = load->now_ns - load->measure_from_ns;
    if (load->config->tracker_pid != 0) {
        load->cpu_ns = process_cpu_ns(load->config->tracker_pid) - load->cpu_from_ns;
    }
}

static void watch_turn(struct load *load)
{
    struct load_stats *stats = &load->stats;
    struct loop_turn turn;
    if (loop_watch_look(&load->watch, load->now_ns, &turn)) {
        stats->pause_us = turn.whole_us > stats->pause_us ? turn.whole_us : stats->pause_us;
        stats->work_us = turn.own_us > stats->work_us ? turn.own_us : stats->work_us;
    }
}

bool load_goes_on(struct load *load, struct err *e)
{
    const struct load_config *config = load->config;
    bool over;

    load->now_ns = clock_ns();
    if (!load->measuring && load->now_ns >= load->measure_from_ns) {
        start_measuring(load);
        load->now_ns = load->measure_from_ns;
    }
    watch_turn(load);
    if (load->now_ns - load->last_answer_ns > SILENCE_MAX_NS) {
        err_set(e, ERR_TIMEOUT, "the tracker has not answered for 5 s");
        return false;
    }
    if (config->kind == LOAD_UDP_FILL) {
        over = load->filled == config->fill_count;
    } else {
        over = load->measuring && load->now_ns - load->measure_from_ns >= config->duration_ns;
    }
    if (over) {
        stop_measuring(load);
    }
    return !over;
}

bool load_next_peer(struct load *load, uint32_t *peer)
{
    const struct load_config *config = load->config;

    if (config->kind != LOAD_UDP_FILL) {
        *peer = rng_below(&load->rng, config->population.peers);
        return true;
    }
    if (load->fill_next == config->fill_count) {
        return false;
    }
    *peer = config->fill_first + load->fill_next++;
    return true;
}

uint32_t load_random_peer_of_source(struct load *load, uint32_t source)
{
    const struct population *p = &load->config->population;
    uint32_t of_source = (p->peers - 1 - source) / p->sources + 1;

    return source + p->sources * rng_below(&load->rng, of_source);
}

void load_answered(struct load *load, uint64_t latency_ns)
{
    load->stats.answers++;
    histogram_add(&load->stats.latency, latency_ns);
}

bool load_peers(struct load *load, uint32_t asking_peer, struct span compact)
{
    const struct load_config *config = load->config;
    struct load_stats *stats = &load->stats;
    size_t peers = compact.n / COMPACT4_LEN;

    if (config->numwant >= 0 && peers > (size_t)config->numwant) {
        return false;
    }
    stats->peers += peers;
    if (!config->foreign_peers && stats->answers % LOOK_AT_ONE_IN == 0) {
        struct peers_seen seen = population_look(&config->population, asking_peer, compact);
        stats->seen.self += seen.self;
        stats->seen.foreign += seen.foreign;
        stats->looked_at++;
    }
    return true;
}
