/* A node: an engine, and what a shell does for it. Its outputs are acted upon after every input;
 * nothing that is done for one is an input to another engine before the next event. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/engine_impl.h"
#include "sim/sim_impl.h"

#include "base/banned.h"

enum {
    LATENCY_MS = 10,
    DEADLINES_PER_MS_MAX = 50,
};

static void trace(const struct sim_node *n, const struct engine_out *out)
{
    static const char *const names[] = {"CONNECT",  "SEND",   "READ", "CLOSE",    "DISK",
                                        "ANNOUNCE", "SCRAPE", "SAVE", "METADATA", "REMOVED"};
    const struct sim_end *end = sim_end_find(n, out->conn);
    if (n->s->traced && out->kind != ENGINE_OUT_SEND && out->kind != ENGINE_OUT_READ) {
        sim_trace(n->s, n, "%s conn %llu to %d torrent %llu %s op %d", names[out->kind],
                  (unsigned long long)out->conn, end == NULL ? -1 : (int)sim_end_peer(end),
                  (unsigned long long)out->torrent, out->why == NULL ? "" : out->why,
                  out->job == NULL ? -1 : (int)out->job->op);
    }
}

static void act(struct sim_node *n, const struct engine_out *out)
{
    struct sim_member *m;
    trace(n, out);
    switch (out->kind) {
    case ENGINE_OUT_CONNECT:
        sim_link_connect(n, out);
        break;
    case ENGINE_OUT_SEND:
        sim_link_send(n, out->conn);
        break;
    case ENGINE_OUT_READ:
        sim_link_read(n, out->conn);
        break;
    case ENGINE_OUT_CLOSE:
        sim_link_close(n, out->conn);
        break;
    case ENGINE_OUT_DISK:
        sim_disk_start(n, out->job);
        break;
    case ENGINE_OUT_ANNOUNCE:
        sim_tracker_announce(n, &out->announce);
        break;
    case ENGINE_OUT_SCRAPE:
        sim_tracker_scrape(n, &out->scrape);
        break;
    case ENGINE_OUT_SAVE:
        sim_store_save(n, out->torrent, out->version);
        break;
    case ENGINE_OUT_METADATA:
        sim_member_of(n, out->torrent)->has_info = true;
        break;
    case ENGINE_OUT_REMOVED:
        m = sim_member_of(n, out->torrent);
        if (m == NULL) {
            sim_fail(n->s, n, "a torrent is removed that is not there");
        }
        m->removed = true;
        break;
    }
}

void sim_node_drain(struct sim_node *n)
{
    struct engine_out out;
    if (n->draining) {
        return;
    }
    n->draining = true;
    n->n_inputs++;
    while (engine_next_out(n->e, &out)) {
        act(n, &out);
    }
    n->draining = false;
    sim_at(n->s, &n->deadline, engine_deadline_ms(n->e));
    sim_check_node(n);
}

static void on_deadline(struct sim_event *ev)
{
    struct sim_node *n = container_of(ev, struct sim_node, deadline);
    if (n->deadline_at_ms != n->s->now_ms || n->n_inputs != n->deadline_input) {
        n->deadline_at_ms = n->s->now_ms;
        n->n_deadlines_now = 0;
    }
    if (++n->n_deadlines_now > DEADLINES_PER_MS_MAX) {
        sim_fail(n->s, n, "the deadline stands still");
    }
    engine_on_deadline(n->e, n->s->now_ms);
    n->deadline_input = n->n_inputs + 1;
    sim_node_drain(n);
}

/* ---- life ----------------------------------------------------------------------------------- */

static void start(struct sim_node *n)
{
    n->cfg.seed = rng_next(&n->s->rng);
    n->n_lives++;
    (void)snprintf((char *)n->peer_id.b, sizeof n->peer_id.b, "-RK0100-%04u%07u", n->index % 10000,
                   n->n_lives % 10000000);
    n->e = engine_new(&n->cfg, n->s->now_ms);
    struct session_add session = {.listen = &n->self, .n_listen = 1, .peer_id = n->peer_id};
    engine_add_session(n->e, &session);
}

struct sim_node *sim_node_new(struct sim *s, const struct sim_node_spec *spec)
{
    struct sim_node *n = mem_new(struct sim_node);
    uint32_t index = ++s->n_nodes;
    struct siphash_key seed = {{0}};
    n->s = s;
    n->index = index;
    n->spec = *spec;
    n->spec.latency_ms = spec->latency_ms == 0 ? LATENCY_MS : spec->latency_ms;
    n->cfg = spec->cfg == NULL ? engine_cfg_default : *spec->cfg;
    n->cfg.announce_to_own_tracker = spec->own_tracker;
    n->cfg.version = "Rookery 0.1.0";
    n->cfg.unix_ms_at_zero = 1700000000000;
    uint8_t ip[4] = {10, 0, (uint8_t)(index >> 8), (uint8_t)index};
    n->self = (struct endpoint){addr_from_v4(ip), SIM_PORT};
    map_init(&n->ends, &seed);
    list_init(&n->members);
    list_init(&n->jobs);
    list_init(&n->saves);
    list_init(&n->announces);
    list_init(&n->scrapes);
    list_init(&n->uplink);
    n->deadline.fire = on_deadline;
    n->uplink_event.fire = sim_link_on_uplink;
    list_add_tail(&s->nodes, &n->node);
    start(n);
    sim_node_drain(n);
    return n;
}

void sim_node_crash(struct sim_node *n)
{
    sim_link_drop_all(n);
    sim_store_crash(n);
    sim_tracker_crash(n);
    sim_disk_crash(n);
    sim_cancel(n->s, &n->deadline);
    engine_free(n->e);
    n->e = NULL;
    SIM_FOREACH_MEMBER(m, n)
    {
        m->id = 0;
        m->removed = m->removed || m->emptied;
    }
}

void sim_node_start(struct sim_node *n)
{
    start(n);
    SIM_FOREACH_MEMBER(m, n)
    {
        if (!m->removed) {
            sim_store_load(m);
        }
    }
    sim_node_drain(n);
}

struct sim_node *sim_node_at(struct sim *s, const struct endpoint *at)
{
    SIM_FOREACH_NODE(n, s)
    {
        if (endpoint_eq(&n->self, at)) {
            return n;
        }
    }
    return NULL;
}

/* ---- members --------------------------------------------------------------------------------- */

struct sim_member *sim_add(struct sim_node *n, struct sim_torrent *t, const struct sim_add *add)
{
    struct sim_member *m = mem_new(struct sim_member);
    m->n = n;
    m->t = t;
    m->add = *add;
    m->has_info = !add->magnet;
    m->peers = mem_array(add->n_peers + 1, sizeof *m->peers);
    for (size_t i = 0; i < add->n_peers; i++) {
        m->peers[i] = add->peers[i]->self;
    }
    sim_disk_init(m);
    list_add_tail(&n->members, &m->node);
    sim_store_load(m);
    sim_node_drain(n);
    return m;
}

struct sim_member *sim_member_of(struct sim_node *n, torrent_id id)
{
    SIM_FOREACH_MEMBER(m, n)
    {
        if (m->id == id && id != 0) {
            return m;
        }
    }
    return NULL;
}

struct torrent_status sim_status(struct sim_member *m)
{
    struct torrent_status st = {0};
    if (m->n->e != NULL && m->id != 0) {
        (void)engine_status(m->n->e, m->id, &st, m->n->s->now_ms);
    }
    return st;
}

bool sim_is_complete(struct sim_member *m)
{
    struct torrent_status st = sim_status(m);
    return m->id != 0 && (st.state == TORRENT_SEEDING || st.state == TORRENT_FINISHED) &&
           st.fault == FAULT_NONE;
}
