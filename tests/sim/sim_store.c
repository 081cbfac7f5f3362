/* The store of a node: what a restart finds. A save waits for its turn, then takes what is to be
 * stored, and is committed a while later; a crash may lose it, or its answer. What is committed must
 * be true of what is safe on the disk. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sim/sim_impl.h"

#include "base/banned.h"

enum {
    WAIT_MS = 300, /* at most: for the statement before it */
    COMMIT_MS = 15,
};

struct sim_save {
    struct list node;
    struct sim_event event;
    struct sim_member *m;
    uint64_t version;
    bool taken; /* saved is filled */
    struct torrent_saved saved;
};

static bool is_safe(const struct sim_member *m, uint32_t piece)
{
    uint32_t first;
    uint32_t end;
    sim_torrent_pages(m->t, piece, &first, &end);
    for (uint32_t i = first; i < end; i++) {
        if (m->safe[i] != PAGE_RIGHT) {
            return false;
        }
    }
    return true;
}

static void commit(struct sim_save *save)
{
    struct sim_member *m = save->m;
    const struct torrent_resume *r = &save->saved.resume;
    for (uint32_t i = 0; i < r->bitfield.n * 8 && r->checked && !m->emptied; i++) {
        if ((r->bitfield.p[i / 8] >> (7 - i % 8) & 1) != 0 && !is_safe(m, i)) {
            sim_fail(m->n->s, m->n, "piece %u is stored as had and is not safe on the disk", i);
        }
    }
    sim_store_release(m);
    m->saved = save->saved;
    m->saved_once = true;
    m->n_saves++;
}

void sim_store_release(struct sim_member *m)
{
    if (m->saved_once) {
        torrent_saved_free(&m->saved);
        m->saved_once = false;
    }
}

static void on_commit(struct sim_event *ev)
{
    struct sim_save *save = container_of(ev, struct sim_save, event);
    struct sim_node *n = save->m->n;
    torrent_id id = save->m->id;
    uint64_t version = save->version;
    bool fails = sim_fault_hits(n->s, SIM_FAULT_SAVE);
    if (fails) {
        torrent_saved_free(&save->saved);
    } else {
        commit(save);
    }
    list_remove(&save->node);
    free(save);
    engine_on_saved(n->e, id, version, fails ? ERR_DATABASE : 0, n->s->now_ms);
    sim_node_drain(n);
}

static void on_turn(struct sim_event *ev)
{
    struct sim_save *save = container_of(ev, struct sim_save, event);
    struct sim_node *n = save->m->n;
    if (engine_resume_of(n->e, save->m->id, &save->saved, n->s->now_ms) < 0) {
        list_remove(&save->node); /* gone meanwhile */
        free(save);
        return;
    }
    save->taken = true;
    save->event.fire = on_commit;
    sim_at(n->s, ev, n->s->now_ms + COMMIT_MS + rng_below(&n->s->rng, COMMIT_MS));
}

void sim_store_save(struct sim_node *n, torrent_id id, uint64_t version)
{
    struct sim_save *save = mem_new(struct sim_save);
    save->m = sim_member_of(n, id);
    if (save->m == NULL) {
        sim_fail(n->s, n, "a save of a torrent that is gone");
    }
    save->version = version;
    save->event.fire = on_turn;
    list_add_tail(&n->saves, &save->node);
    sim_at(n->s, &save->event, n->s->now_ms + rng_below(&n->s->rng, WAIT_MS));
}

void sim_store_crash(struct sim_node *n)
{
    LIST_FOREACH_SAFE (node, &n->saves) {
        struct sim_save *save = container_of(node, struct sim_save, node);
        if (save->taken && rng_below(&n->s->rng, 2) == 0) {
            commit(save);
        } else if (save->taken) {
            torrent_saved_free(&save->saved);
        }
        sim_cancel(n->s, &save->event);
        list_remove(node);
        free(save);
    }
}

/* A torrent that is new here: a seed says that it has everything. */
static void new_seed(struct sim_member *m, struct torrent_resume *r, uint8_t *bits)
{
    for (uint32_t i = 0; i < m->t->meta.n_pieces; i++) {
        bits[i / 8] = (uint8_t)(bits[i / 8] | 0x80 >> i % 8);
    }
    *r = (struct torrent_resume){
        .checked = true,
        .bitfield = span_of(bits, peer_wire_bitfield_len(m->t->meta.n_pieces)),
    };
}

void sim_store_load(struct sim_member *m)
{
    static const struct torrent_tracker tracker = {
        .url = {(const uint8_t *)"http://10.255.0.1/announce", 26}};
    const struct sim_add *a = &m->add;
    struct torrent_resume resume;
    uint8_t *bits = mem_zeroed(peer_wire_bitfield_len(m->t->meta.n_pieces));
    const char *why = "";
    struct torrent_add add = {
        .info_hash = m->t->info_hash,
        .info = m->has_info ? m->t->info : (struct span){NULL, 0},
        .name = SPAN("a torrent"),
        .trackers = &tracker,
        .n_trackers = a->tracked ? 1 : 0,
        .peers = m->peers,
        .n_peers = a->n_peers,
        .flags = m->saved_once ? m->saved.flags : a->flags,
        .max_down_bps = a->max_down_bps,
        .max_up_bps = a->max_up_bps,
        .max_peers = a->max_peers,
        .max_uploads = a->max_uploads,
        .priorities = m->has_info ? a->priorities : (struct span){NULL, 0},
        .start_delay_ms = a->start_delay_ms,
    };
    if (m->saved_once) {
        add.resume = &m->saved.resume;
    } else if (a->seed && !a->unchecked) {
        new_seed(m, &resume, bits);
        add.resume = &resume;
    }
    int rc = engine_add_torrent(m->n->e, &add, &m->id, m->n->s->now_ms, &why);
    if (rc < 0) {
        sim_fail(m->n->s, m->n, "a torrent is refused (%s): %s", err_text(rc), why);
    }
    free(bits);
}
