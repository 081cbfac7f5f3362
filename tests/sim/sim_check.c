/* What must be true of a node after every input, and of all it has now and then. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/engine_impl.h"
#include "sim/sim_impl.h"

#include "base/banned.h"

enum {
    LOOK_MS = 2000,            /* how often everything is looked at */
    STRANGERS_MAX = 64,        /* connections beyond the limit that have not said who they are */
    SENDQ_LEN_MAX = 12 << 20,  /* of one connection */
    DISK_SLACK_LEN = 40 << 20, /* what may come in between the limit and the last peer's pause */
};

bool sim_has_piece(const struct sim_member *m, uint32_t piece)
{
    uint32_t first;
    uint32_t end;
    sim_torrent_pages(m->t, piece, &first, &end);
    for (uint32_t i = first; i < end; i++) {
        if (m->pages[i] != PAGE_RIGHT) {
            return false;
        }
    }
    return true;
}

/* Of those that it is connected to, whatever it counts itself. */
static void check_uploads(const struct sim_node *n, const struct torrent *t)
{
    uint32_t n_unchoked = 0;
    LIST_FOREACH_SAFE (node, &t->conns) {
        n_unchoked += !container_of(node, struct conn, in_torrent)->peer.choking;
    }
    if (t->max_uploads > 0 && n_unchoked > t->max_uploads) {
        sim_fail(n->s, n, "%u peers are unchoked, %u may be", n_unchoked, t->max_uploads);
    }
}

static void check_limits(const struct sim_node *n)
{
    const struct engine *e = n->e;
    if (e->n_half_open > n->cfg.max_half_open) {
        sim_fail(n->s, n, "%u half open connections", e->n_half_open);
    }
    if (e->n_conns > n->cfg.max_peers + STRANGERS_MAX) {
        sim_fail(n->s, n, "%u connections", e->n_conns);
    }
    if (e->n_jobs != n->n_jobs) {
        sim_fail(n->s, n, "the engine counts %u jobs, the disk has %u", e->n_jobs, n->n_jobs);
    }
    if (e->disk_queue_len != n->jobs_len) {
        sim_fail(n->s, n, "the engine counts %llu bytes with the disk, which has %llu",
                 (unsigned long long)e->disk_queue_len, (unsigned long long)n->jobs_len);
    }
    if (n->jobs_len > n->cfg.max_disk_queue_len + DISK_SLACK_LEN) {
        sim_fail(n->s, n, "%llu bytes wait for the disk", (unsigned long long)n->jobs_len);
    }
    SIM_FOREACH_MEMBER(m, n)
    {
        if (m->add.max_uploads > 0 && engine_torrent(e, m->id) != NULL) {
            check_uploads(n, engine_torrent(e, m->id));
        }
    }
}

static void check_conns(const struct sim_node *n, const struct torrent *t)
{
    uint32_t n_conns = 0;
    uint32_t n_half_open = 0;
    LIST_FOREACH_SAFE (node, &t->conns) {
        const struct conn *c = container_of(node, struct conn, in_torrent);
        n_conns++;
        n_half_open += !c->connected;
        if (sim_end_find(n, c->id) == NULL) {
            sim_fail(n->s, n, "the engine has connection %llu, which is closed",
                     (unsigned long long)c->id);
        }
        if (c->requests.n > REQUESTS_MAX) {
            sim_fail(n->s, n, "%zu requests of one peer", c->requests.n);
        }
        if (c->peer.sendq.len > SENDQ_LEN_MAX) {
            sim_fail(n->s, n, "%zu bytes wait for one peer", c->peer.sendq.len);
        }
    }
    if (n_conns != t->n_conns || n_half_open != t->n_half_open) {
        sim_fail(n->s, n, "%u connections are counted as %u, %u half open as %u", n_conns,
                 t->n_conns, n_half_open, t->n_half_open);
    }
}

static void check_pieces(const struct sim_node *n, const struct sim_member *m,
                         const struct torrent *t)
{
    if (t->pieces == NULL || t->removing) {
        return;
    }
    for (uint32_t i = 0; i < m->t->meta.n_pieces; i++) {
        if (pieces_has(t->pieces, i) && !sim_has_piece(m, i)) {
            sim_fail(n->s, n, "piece %u counts as had and is not right on the disk", i);
        }
    }
}

static void check_all(const struct sim_node *n)
{
    size_t n_ends = 0;
    for (struct map_node *at = map_first(&n->ends); at != NULL; at = map_next(&n->ends, at)) {
        n_ends++;
    }
    if (n_ends != n->e->n_conns) {
        sim_fail(n->s, n, "%zu connections are counted as %u", n_ends, n->e->n_conns);
    }
    SIM_FOREACH_MEMBER(m, n)
    {
        const struct torrent *t = engine_torrent(n->e, m->id);
        if (t != NULL) {
            check_conns(n, t);
            check_pieces(n, m, t);
        }
    }
}

void sim_check_node(struct sim_node *n)
{
    check_limits(n);
    if (n->s->now_ms >= n->checked_ms + LOOK_MS) {
        n->checked_ms = n->s->now_ms;
        check_all(n);
    }
}

/* Room of the blocks that could not be written: they are lost with the engine. */
static size_t unwritten_len(const struct sim_node *n)
{
    size_t len = 0;
    SIM_FOREACH_MEMBER(m, n)
    {
        const struct torrent *t = engine_torrent(n->e, m->id);
        if (t != NULL && t->pieces != NULL) {
            len += (pieces_unwritten_len(t->pieces) + SIM_PAGE_LEN - 1) & ~(SIM_PAGE_LEN - 1UL);
        }
    }
    return len;
}

void sim_check_idle(struct sim_node *n)
{
    check_all(n);
    if (!engine_is_idle(n->e)) {
        sim_fail(n->s, n, "it is not idle in the end");
    }
    if (n->e->n_conns > 0 || n->n_jobs > 0 || !list_is_empty(&n->announces) ||
        !list_is_empty(&n->saves)) {
        sim_fail(n->s, n, "something is under way in the end");
    }
    if (data_pool_used(n->e->pool) > unwritten_len(n)) {
        sim_fail(n->s, n, "%zu bytes of buffers are out in the end", data_pool_used(n->e->pool));
    }
}
