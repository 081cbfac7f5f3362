/* Everything at once: random nodes, lines, disks and torrents, and people who pause, resume, remove,
 * choose files, set limits and pull plugs. Whatever happens, the checks hold, and once it is over
 * every node completes what it has, and is idle in the end.
 *
 * SIM_SEED in the environment: the first seed; SIM_SEEDS: how many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim/sim.h"

#include "base/banned.h"

enum {
    KIB = 1 << 10,
    MIB = 1 << 20,
    SECOND = 1000,
    MINUTE = 60 * SECOND,
    NODES_MAX = 10,
    TORRENTS_MAX = 3,
    SEEDS = 12,
    DEEDS = 40,
};

struct chaos {
    struct sim *s;
    struct sim_node *nodes[NODES_MAX];
    uint32_t n_nodes;
    struct sim_torrent *torrents[TORRENTS_MAX];
    uint32_t n_torrents;
};

static uint32_t below(struct chaos *c, uint32_t n)
{
    return rng_below(&c->s->rng, n);
}

static struct sim_member *member(struct sim_node *n, const struct sim_torrent *t)
{
    SIM_FOREACH_MEMBER(m, n)
    {
        if (m->t == t && !m->removed) {
            return m;
        }
    }
    return NULL;
}

static void make_torrents(struct chaos *c)
{
    c->n_torrents = 1 + below(c, TORRENTS_MAX);
    for (uint32_t i = 0; i < c->n_torrents; i++) {
        char name[2] = {(char)('a' + i), 0};
        c->torrents[i] =
            sim_torrent_new(c->s, &(struct sim_content){.name = name,
                                                        .len = 200 * KIB + below(c, 6 * MIB),
                                                        .piece_len = 16U * KIB << below(c, 6),
                                                        .n_files = below(c, 6),
                                                        .private = below(c, 4) == 0});
    }
}

static void make_node(struct chaos *c, uint32_t i)
{
    struct engine_cfg cfg = engine_cfg_default;
    cfg.max_disk_queue_len = (size_t)MIB << below(c, 7);
    cfg.max_up_bps = below(c, 4) == 0 ? 20 * KIB + below(c, 500 * KIB) : 0;
    cfg.max_down_bps = below(c, 4) == 0 ? 20 * KIB + below(c, 500 * KIB) : 0;
    cfg.max_peers_per_torrent = below(c, 3) == 0 ? 3 + below(c, 5) : 200;
    struct sim_node_spec spec = {
        .up_bps = 30ULL * KIB << below(c, 7),
        .down_bps = 100ULL * KIB << below(c, 7),
        .latency_ms = 1 + below(c, 150),
        .disk_bps = 500ULL * KIB << below(c, 8),
        .disk_latency_ms = below(c, 30),
        .lies = i > 1 && below(c, 12) == 0,
        .own_tracker = below(c, 3) == 0,
        .closed = i > 0 && below(c, 5) == 0,
        .cfg = &cfg,
    };
    c->nodes[i] = sim_node_new(c->s, &spec);
    for (uint32_t j = 0; j < c->n_torrents; j++) {
        bool seed = i == 0 || below(c, 6) == 0;
        if (seed || below(c, 4) > 0) {
            sim_add(c->nodes[i], c->torrents[j],
                    &(struct sim_add){
                        .seed = seed,
                        .unchecked = below(c, 2) == 0,
                        .magnet = !seed && below(c, 3) == 0,
                        .tracked = true,
                        .max_uploads = (i + j) % 3,
                        .flags = below(c, 8) == 0           ? TORRENT_SEQUENTIAL
                                 : below(c, 8) == 0         ? TORRENT_FIRST_LAST
                                 : seed && below(c, 4) == 0 ? TORRENT_SUPER_SEEDING
                                 : seed && below(c, 4) == 0 ? TORRENT_SEED_MODE
                                                            : 0,
                    });
        }
    }
}

/* It may be on its way out. */
static void set_priorities(struct sim_node *n, const struct sim_member *m, struct span priorities)
{
    int rc = engine_set_priorities(n->e, m->id, priorities, n->s->now_ms);
    assert_true(rc == 0 || rc == ERR_NOT_FOUND);
}

static void choose_files(struct chaos *c, struct sim_node *n, const struct sim_member *m)
{
    const struct layout *l = engine_layout(n->e, m->id);
    uint8_t priorities[8];
    for (size_t i = 0; i < sizeof priorities; i++) {
        priorities[i] = (uint8_t)below(c, 8);
    }
    if (l != NULL && l->n_files <= sizeof priorities) {
        set_priorities(n, m, span_of(priorities, l->n_files));
    }
}

static void be_somebody(struct chaos *c, struct sim_node *n, const struct sim_member *m)
{
    const unsigned flags =
        TORRENT_SEQUENTIAL | TORRENT_FIRST_LAST | TORRENT_SUPER_SEEDING | TORRENT_UPLOAD_ONLY;
    uint64_t now_ms = c->s->now_ms;
    switch (below(c, 9)) {
    case 0:
        engine_pause(n->e, m->id, now_ms);
        break;
    case 1:
        engine_resume(n->e, m->id, now_ms);
        break;
    case 2:
        engine_recheck(n->e, m->id, now_ms);
        break;
    case 3:
        engine_announce(n->e, m->id, now_ms);
        break;
    case 4:
        choose_files(c, n, m);
        break;
    case 5:
        engine_set_limits(n->e, m->id, below(c, 2) * below(c, 500 * KIB),
                          below(c, 2) * below(c, 500 * KIB), below(c, 2) * below(c, 10), now_ms);
        break;
    case 6:
        engine_set_rates(n->e, below(c, 2) * below(c, 500 * KIB), below(c, 2) * below(c, 500 * KIB),
                         now_ms);
        break;
    case 7:
        engine_set_flags(n->e, m->id, below(c, 1U << 7) & flags, below(c, 1U << 7) & flags, now_ms);
        break;
    case 8:
        engine_add_peer(n->e, m->id, &c->nodes[below(c, c->n_nodes)]->self, now_ms);
        break;
    default:
        break;
    }
    sim_node_drain(n);
}

static void let_something_fail(struct chaos *c)
{
    enum sim_fault_kind kind = below(c, SIM_N_FAULTS);
    /* A lie would get the one who has everything banned. */
    struct sim_fault *f = &c->s->faults[kind == SIM_FAULT_LIE ? SIM_FAULT_SEND : kind];
    f->at = f->n + 1 + below(c, 30);
    f->status = below(c, 2) == 0 ? ERR_SYSTEM : ERR_NO_SPACE;
    f->ops = 1U << DISK_READ | 1U << DISK_WRITE | 1U << DISK_SYNC | 1U << DISK_WANTED;
}

static void pull_the_plug(struct chaos *c, struct sim_node *n)
{
    sim_node_crash(n);
    sim_run(c->s, below(c, 5 * SECOND));
    sim_node_start(n);
}

static void remove_it(struct chaos *c, struct sim_node *n, const struct sim_member *m)
{
    if (n != c->nodes[0]) { /* somebody keeps everything */
        engine_remove_torrent(n->e, m->id, below(c, 2) == 0, c->s->now_ms);
        sim_node_drain(n);
    }
}

static void do_a_deed(struct chaos *c)
{
    struct sim_node *n = c->nodes[below(c, c->n_nodes)];
    struct sim_torrent *t = c->torrents[below(c, c->n_torrents)];
    struct sim_member *m = member(n, t);
    uint32_t what = below(c, 20);
    sim_run(c->s, below(c, 6 * SECOND));
    if (m != NULL && m->removed) {
        return; /* meanwhile */
    }
    if (what == 0) {
        pull_the_plug(c, n);
    } else if (what == 1) {
        c->s->tracker_down = !c->s->tracker_down;
    } else if (what == 2) {
        n->spec.disk_pages = n->spec.disk_pages == 0 ? n->disk_used_pages + 1 + below(c, 40) : 0;
    } else if (what == 3) {
        let_something_fail(c);
    } else if (m == NULL) {
        sim_add(n, t, &(struct sim_add){.tracked = true, .magnet = below(c, 2) == 0});
    } else if (what == 4) {
        remove_it(c, n, m);
    } else {
        be_somebody(c, n, m);
    }
}

/* Nobody holds anything up any more. */
static void calm_down(struct chaos *c)
{
    static const uint8_t all[8] = {4, 4, 4, 4, 4, 4, 4, 4};
    uint64_t now_ms = c->s->now_ms;
    c->s->tracker_down = false;
    c->s->options.resets_per_million = 0;
    memset(c->s->faults, 0, sizeof c->s->faults);
    SIM_FOREACH_NODE(n, c->s)
    {
        n->spec.disk_pages = 0;
        engine_set_rates(n->e, 0, 0, now_ms);
        SIM_FOREACH_MEMBER(m, n)
        {
            const struct layout *l = engine_layout(n->e, m->id);
            engine_set_limits(n->e, m->id, 0, 0, 0, now_ms);
            engine_set_flags(n->e, m->id, 0, TORRENT_UPLOAD_ONLY | TORRENT_SUPER_SEEDING, now_ms);
            engine_resume(n->e, m->id, now_ms);
            if (l != NULL) {
                set_priorities(n, m, span_of(all, l->n_files));
            }
        }
        sim_node_drain(n);
    }
}

static bool all_is_well(struct sim *s, void *ctx)
{
    (void)ctx;
    SIM_FOREACH_NODE(n, s)
    {
        SIM_FOREACH_MEMBER(m, n)
        {
            if (!m->removed && !n->spec.lies && !sim_is_complete(m)) {
                return false;
            }
        }
    }
    return true;
}

static void play(uint64_t seed)
{
    struct chaos c = {.s = sim_new(&(struct sim_options){
                          .seed = seed, .resets_per_million = 300, .refusals_percent = 5})};
    c.n_nodes = 3 + below(&c, NODES_MAX - 2);
    make_torrents(&c);
    for (uint32_t i = 0; i < c.n_nodes; i++) {
        make_node(&c, i);
    }
    for (int i = 0; i < DEEDS; i++) {
        do_a_deed(&c);
    }
    calm_down(&c);
    sim_run_until(c.s, all_is_well, NULL, 60 * MINUTE);
    sim_end(c.s);
}

static void everything_at_once(void **state)
{
    const char *first = getenv("SIM_SEED");
    const char *count = getenv("SIM_SEEDS");
    uint64_t seed = first == NULL ? 1 : strtoull(first, NULL, 10);
    uint64_t n = count == NULL ? SEEDS : strtoull(count, NULL, 10);
    (void)state;
    for (uint64_t i = 0; i < n; i++) {
        play(seed + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(everything_at_once)};
    return cmocka_run_group_tests_name("sim chaos", tests, NULL, NULL);
}
