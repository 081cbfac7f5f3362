/* Who is connected to next.
 *
 * Commandments
 *   1. Torrents that want peers take turns, one attempt each. Those that are done (seeds looking for
 *      somebody to serve) have a line of their own, which gets each tenth attempt, and all of them
 *      when nobody else wants any.
 *   2. No more than connects_per_s attempts begin in a second, evenly, and no more than
 *      max_half_open are under way. The first answer of a tracker lets CONNECT_BOOST attempts begin
 *      at once: somebody waits for that torrent.
 *   3. Nothing here looks at all torrents. One that has nobody to try leaves its line and comes back
 *      when it hears of somebody (engine_want_peers), or when a candidate may be tried again.
 *   4. We do not connect to ourselves, nor to somebody who has connected to us.
 */
#include "base/mem.h"
#include "client/engine_impl.h"

#include "base/banned.h"

enum { DONE_TURN = 10, US_PER_S = 1000000, US_PER_MS = 1000 };

/* Nothing more to download here. */
static bool is_done(const struct torrent *t)
{
    return t->state == TORRENT_SEEDING || t->state == TORRENT_FINISHED ||
           (t->flags & TORRENT_UPLOAD_ONLY) != 0;
}

void engine_want_peers(struct torrent *t, bool want)
{
    struct engine *e = t->e;
    if (list_is_linked(&t->connect_node)) {
        list_remove(&t->connect_node);
    }
    t->connect_ms = UINT64_MAX;
    if (want && !e->stopping && !t->removing) {
        list_add_tail(is_done(t) ? &e->connecting_done : &e->connecting, &t->connect_node);
    }
}

/* ---- whom not ---- */

static bool is_own_address(const struct session *s, const struct endpoint *peer)
{
    for (size_t i = 0; i < s->n_listen; i++) {
        const struct endpoint *at = &s->listen[i];
        if (endpoint_eq(at, peer)) {
            return true;
        }
        if (at->port == peer->port && at->addr.v6 == peer->addr.v6 &&
            addr_is_unspecified(&at->addr) && addr_is_loopback(&peer->addr)) {
            return true;
        }
    }
    return false;
}

static bool is_ourselves(const struct torrent *t, const struct endpoint *peer)
{
    const struct session *s = t->session;
    struct endpoint own;
    for (size_t i = 0; i < s->n_ourselves; i++) {
        if (endpoint_eq(&s->ourselves[i], peer)) {
            return true;
        }
    }
    return is_own_address(s, peer) ||
           (torrent_own_endpoint(t, peer->addr.v6, &own) && endpoint_eq(&own, peer));
}

static bool is_connected(const struct torrent *t, const struct endpoint *peer)
{
    LIST_FOREACH_SAFE (node, &t->conns) {
        const struct conn *c = container_of(node, struct conn, in_torrent);
        if (endpoint_eq(&c->known_as, peer)) {
            return true;
        }
    }
    return false;
}

static bool next_candidate(struct torrent *t, struct endpoint *out)
{
    while (candidates_next(t->candidates, t->e->now_ms, is_done(t), out)) {
        if (is_ourselves(t, out)) {
            candidates_on_failed(t->candidates, out, t->e->now_ms);
        } else if (is_connected(t, out)) {
            candidates_on_connected(t->candidates, out);
        } else {
            return true;
        }
    }
    return false;
}

/* ---- attempts ---- */

static void begin(struct torrent *t, const struct endpoint *peer)
{
    struct engine *e = t->e;
    struct conn *c = conn_new(e, t->session, peer, false);
    c->source = CANDIDATE_TRACKER;
    c->known_as = *peer;
    conn_join(c, t);
    t->n_half_open++;
    e->n_half_open++;
    e->totals.connects++;
    conn_rearm(c);
    engine_put(e, &(struct engine_out){
                      .kind = ENGINE_OUT_CONNECT,
                      .conn = c->id,
                      .torrent = t->id,
                      .session = t->session->id,
                      .remote = *peer,
                  });
}

static bool has_place(const struct torrent *t)
{
    uint32_t most = t->e->cfg.max_peers_per_torrent;
    if (t->max_peers > 0 && t->max_peers < most) {
        most = t->max_peers;
    }
    return t->n_conns < most;
}

/* The torrent's turn. False: it has nobody to try, and has left the line. */
static bool take_turn(struct torrent *t)
{
    struct endpoint peer;
    list_remove(&t->connect_node);
    if (!has_place(t) || !torrent_wants_peers(t)) {
        return false;
    }
    const uint64_t n_seen = candidates_n_seen(t->candidates);
    bool any = next_candidate(t, &peer);
    t->e->totals.candidates_seen += candidates_n_seen(t->candidates) - n_seen;
    if (!any) {
        t->connect_ms = candidates_deadline_ms(t->candidates);
        torrent_rearm(t);
        return false;
    }
    list_add_tail(is_done(t) ? &t->e->connecting_done : &t->e->connecting, &t->connect_node);
    begin(t, &peer);
    return true;
}

static struct torrent *next_torrent(const struct engine *e)
{
    struct list *node = list_first(&e->connecting);
    struct list *done = list_first(&e->connecting_done);
    if (node == NULL || (done != NULL && e->connect_turn % DONE_TURN == DONE_TURN - 1)) {
        node = done;
    }
    return node == NULL ? NULL : container_of(node, struct torrent, connect_node);
}

static bool has_room(const struct engine *e)
{
    return !e->stopping && e->n_half_open < e->cfg.max_half_open && e->n_conns < e->cfg.max_peers;
}

static void count_attempt(struct engine *e)
{
    uint64_t now_us = e->now_ms * US_PER_MS;
    uint32_t per_s = e->cfg.connects_per_s == 0 ? 1 : e->cfg.connects_per_s;
    e->connect_turn++;
    if (e->connect_boost > 0) {
        e->connect_boost--;
        return;
    }
    e->connect_us = (e->connect_us > now_us ? e->connect_us : now_us) + US_PER_S / per_s;
}

uint64_t connect_deadline_ms(const struct engine *e)
{
    if (!has_room(e) || next_torrent(e) == NULL) {
        return UINT64_MAX;
    }
    return e->connect_boost > 0 ? e->now_ms : e->connect_us / US_PER_MS;
}

void connect_run(struct engine *e)
{
    while (connect_deadline_ms(e) <= e->now_ms) {
        if (take_turn(next_torrent(e))) {
            count_attempt(e);
        }
    }
}

void engine_on_connected(struct engine *e, conn_id conn, int status, uint64_t now_ms)
{
    engine_begin(e, now_ms);
    struct conn *c = engine_conn(e, conn);
    if (c != NULL && !c->connected) {
        if (status < 0) {
            e->totals.connects_failed++;
            e->totals.connects_timed_out += status == ERR_TIMEOUT ? 1 : 0;
            engine_count_end(e, status);
            conn_drop(c, "not connected", true, false);
        } else {
            const struct endpoint remote = c->peer.remote;
            c->connected = true;
            c->t->n_half_open--;
            e->n_half_open--;
            /* The time for the handshake begins now. */
            peer_release(&c->peer);
            conn_begin_peer(c, false, &remote);
            conn_start(c);
            conn_rearm(c);
        }
    }
    engine_end(e);
}
