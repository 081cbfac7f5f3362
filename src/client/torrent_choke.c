/* Rounds: every CHOKER_ROUND_MS the choker decides anew who may download from us, and those who
 * waste a connection are looked at. A torrent without connections that wants nothing has no rounds.
 *
 * Between rounds a slot that becomes free is given at once to the interested peer that waits
 * longest, so that nobody waits for a round while we have nothing to do.
 *
 * A connection may be dropped when connections are scarce (NEAR_LIMIT of what is allowed is used):
 *   - for IDLE_MS neither side was interested;
 *   - it is unchoked and interested and asked for nothing in LAZY_MS, while others wait.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "client/torrent_impl.h"

#include "base/banned.h"

enum {
    IDLE_MS = 600000,
    LAZY_MS = 60000,
    NEAR_LIMIT_PERCENT = 90,
    FEW_PEERS = 10, /* with fewer we ask the trackers again as soon as they like */
};

void conn_set_choking(struct conn *c, bool choking)
{
    struct torrent *t = c->t;
    if (c->peer.choking == choking) {
        return;
    }
    peer_set_choking(&c->peer, choking, torrent_now(t));
    if (choking) {
        t->n_unchoked--;
        t->e->totals.n_unchoked--;
        c->optimistic = false;
    } else {
        t->n_unchoked++;
        t->e->totals.n_unchoked++;
        c->unchoked_ms = torrent_now(t);
        c->turn_len = 0;
    }
    conn_wake(c);
}

void torrent_fill_slots(struct torrent *t)
{
    while (t->n_unchoked < t->slots) {
        struct conn *best = NULL;
        LIST_FOREACH_SAFE (node, &t->conns) {
            struct conn *c = conn_of(node);
            bool waits = c->greeted && c->peer.peer_interested && c->peer.choking;
            if (waits && (best == NULL || c->unchoked_ms < best->unchoked_ms)) {
                best = c;
            }
        }
        if (best == NULL) {
            return;
        }
        conn_set_choking(best, false);
    }
}

static uint64_t up_limit_bps(const struct torrent *t)
{
    uint64_t all = t->e->up.bucket.rate_bps;
    uint64_t own = t->up.bucket.rate_bps;
    if (all == 0 || own == 0) {
        return all + own;
    }
    return all < own ? all : own;
}

static struct choke_peer snapshot(struct conn *c)
{
    uint64_t now_ms = torrent_now(c->t);
    return (struct choke_peer){
        .id = (uintptr_t)c, /* nobody leaves while the choker decides */
        .down_bps = rate_meter_bps(&c->down_rate, now_ms),
        .up_bps = rate_meter_bps(&c->up_rate, now_ms),
        .turn_len = c->turn_len,
        .connected_ms = c->peer.started_ms,
        .unchoked_ms = c->unchoked_ms,
        .interested = c->peer.peer_interested,
        .unchoked = !c->peer.choking,
        .optimistic = c->optimistic,
        .snubbing = c->requests.snubbing,
    };
}

/* The part of a decision that chokes, or the other one. */
static void apply(const struct choke_peer *peers, size_t n, bool choking)
{
    for (size_t i = 0; i < n; i++) {
        struct conn *c = (struct conn *)(uintptr_t)peers[i].id;
        if (peers[i].unchoke != choking) {
            conn_set_choking(c, choking);
            c->optimistic = peers[i].optimistic;
        }
    }
}

static void decide(struct torrent *t)
{
    struct choke_peer *peers = mem_array(t->n_conns + 1, sizeof *peers);
    size_t n = 0;
    LIST_FOREACH_SAFE (node, &t->conns) {
        struct conn *c = conn_of(node);
        if (c->greeted && n < t->n_conns) {
            peers[n++] = snapshot(c);
        }
    }
    t->slots = choker_slots(peers, n, up_limit_bps(t), t->max_uploads);
    struct choker_input in = {
        .seeding = t->picker == NULL,
        .private = t->info != NULL && t->meta.private,
        .slots = t->slots,
        .round = t->choke_round,
        .now_ms = torrent_now(t),
    };
    choker_decide(peers, n, &in, &t->e->rng);
    apply(peers, n, true); /* first, so that there are never more than slots */
    apply(peers, n, false);
    free(peers);
}

/* ---- who wastes a connection */

static bool is_near(uint64_t n, uint64_t max)
{
    return n * 100 >= max * NEAR_LIMIT_PERCENT;
}

static bool is_scarce(const struct torrent *t)
{
    uint32_t max = t->e->cfg.max_peers_per_torrent;
    if (t->max_peers != 0 && t->max_peers < max) {
        max = t->max_peers;
    }
    return is_near(t->n_conns, max) || is_near(t->e->n_conns, t->e->cfg.max_peers);
}

static bool is_lazy(const struct conn *c)
{
    const struct peer *p = &c->peer;
    uint64_t since = c->unchoked_ms > c->asked_ms ? c->unchoked_ms : c->asked_ms;
    bool owes = peer_n_uploads(p) > 0 || c->reads_len > 0 || p->sendq.payload_len > 0;
    return !p->choking && p->peer_interested && !p->interested && !owes &&
           torrent_now(c->t) >= since + LAZY_MS;
}

static bool somebody_waits(const struct torrent *t)
{
    LIST_FOREACH_SAFE (node, &t->conns) {
        struct conn *c = conn_of(node);
        if (c->greeted && c->peer.choking && c->peer.peer_interested) {
            return true;
        }
    }
    return false;
}

static void drop_useless(struct torrent *t)
{
    if (!is_scarce(t)) {
        return;
    }
    bool waits = somebody_waits(t);
    LIST_FOREACH_SAFE (node, &t->conns) {
        struct conn *c = conn_of(node);
        if (!c->greeted) {
            continue;
        }
        uint64_t idle = c->idle_since_ms;
        const char *why = NULL;
        if (idle != 0 && torrent_now(t) >= idle + IDLE_MS) {
            why = "nobody was interested for long";
        } else if (waits && is_lazy(c)) {
            why = "it was unchoked and asked for nothing";
        }
        if (why != NULL) {
            t->e->totals.partings.idle++;
            conn_close(c, why, false);
        }
    }
}

void torrent_choke_round(struct torrent *t)
{
    bool seeks = t->state == TORRENT_DOWNLOADING || t->state == TORRENT_METADATA;
    t->choke_ms = 0;
    if (!t->online || (!seeks && list_is_empty(&t->conns))) {
        return;
    }
    t->choke_ms = torrent_now(t) + CHOKER_ROUND_MS;
    t->choke_round++;
    decide(t);
    torrent_super_round(t);
    drop_useless(t);
    if (!seeks) {
        return;
    }
    torrent_update_interests(t);
    if (t->n_conns + candidates_count(t->candidates) < FEW_PEERS) {
        announcer_want_peers(t->announcer, torrent_now(t), false);
        engine_announce_check(t);
    }
}
