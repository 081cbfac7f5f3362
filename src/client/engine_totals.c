/* What the engine has counted since it began, and what it sees when it is asked: totals only grow, the
 * rest is of this moment.
 *
 * Cost  every torrent and every connection is looked at once: for scrapes and people, not for the
 *       paths that bytes take.
 */
#include "base/mem.h"
#include "client/engine_impl.h"

#include "base/banned.h"

static void count_torrent(const struct torrent *t, struct engine_totals *out)
{
    bool paused = (t->flags & TORRENT_PAUSED) != 0;
    bool faulty = t->fault != FAULT_NONE;
    out->n_torrents[t->state]++;
    out->n_paused += paused ? 1 : 0;
    out->n_faulty += faulty ? 1 : 0;
    out->n_stopped += paused && !faulty ? 1 : 0;
    out->n_running[t->state] += paused || faulty ? 0 : 1;
    out->n_slots += t->slots;
}

/* What waits for the limits: blocks that may go out, and those that it owes us. */
static void count_limited(const struct conn *c, struct engine_totals *out)
{
    if (limiter_is_waiting(&c->up)) {
        out->now.limited_up++;
        out->limited_up_len += c->peer.sendq.payload_len;
    }
    if (limiter_is_waiting(&c->down)) {
        out->now.limited_down++;
        for (size_t i = 0; i < c->requests.n; i++) {
            out->limited_down_len += c->requests.blocks[i].len;
        }
    }
}

static void count_conn(const struct conn *c, struct engine_totals *out)
{
    struct engine_peers_now *now = &out->now;
    const struct peer *p = &c->peer;
    now->connected += c->connected ? 1 : 0;
    now->incoming += p->incoming ? 1 : 0;
    if (!c->ready) {
        return;
    }
    now->interesting += p->interested ? 1 : 0;
    now->interested += p->peer_interested ? 1 : 0;
    now->unchoking += p->peer_choking ? 0 : 1;
    now->optimistic += c->optimistic ? 1 : 0;
    now->asked += c->requests.n > 0 ? 1 : 0;
    now->asking += peer_n_uploads(p) > 0 ? 1 : 0;
    now->reads_from_disk += c->reads_len > 0 ? 1 : 0;
    now->end_game += c->end_game && c->t->picker != NULL ? 1 : 0;
    count_limited(c, out);
}

void engine_totals(const struct engine *e, struct engine_totals *out)
{
    *out = e->totals;
    out->n_half_open = e->n_half_open;
    out->unwritten_len = e->disk_queue_len;
    out->memory_len = data_pool_used(e->pool);
    LIST_FOREACH_SAFE (node, &e->torrents) {
        count_torrent(container_of(node, struct torrent, all_node), out);
    }
    LIST_FOREACH_SAFE (node, &e->all_conns) {
        count_conn(container_of(node, struct conn, all_node), out);
    }
    LIST_FOREACH_SAFE (node, &e->stalled) {
        out->now.waits_for_disk++;
    }
}
