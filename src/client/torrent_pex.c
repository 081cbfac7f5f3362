/* Peers of peers (BEP 11), and everybody else we hear of.
 *
 * 1. A private torrent has no PEX: nothing is sent, nothing is read, and what was heard before the
 *    metadata said so is forgotten, with the connections that came of it.
 * 2. Nothing is sent before the metadata is known: it may turn out private.
 * 3. A message is thought of once a minute a connection, and soon after somebody came; whether
 *    there is anything to say is the log's to know.
 */
#include "client/torrent_impl.h"

#include "proto/compact.h"

#include "base/banned.h"

enum { PEX_SOON_MS = 1000 }; /* so that several who come together are told of together */

bool torrent_pex_is_on(const struct torrent *t)
{
    bool private = t->info != NULL && t->meta.private;
    return t->e->cfg.pex && !private && (t->flags & TORRENT_NO_PEX) == 0;
}

static bool has_pex(const struct conn *c)
{
    return c->greeted && c->peer.ext_id[EXT_UT_PEX] > 0;
}

/* Somebody has news: think of a message soon, within the pace. */
static void think_soon(struct conn *c)
{
    uint64_t soon = torrent_now(c->t) + PEX_SOON_MS;
    uint64_t due = pex_due_ms(&c->pex);
    uint64_t at = due > soon ? due : soon;
    if (has_pex(c) && (c->pex_ms == 0 || c->pex_ms > at)) {
        c->pex_ms = at;
        conn_rearm(c);
    }
}

void conn_pex_add(struct conn *c)
{
    struct torrent *t = c->t;
    if (!torrent_pex_is_on(t) || c->peer.listen.port == 0) {
        return;
    }
    if (t->pex_log == NULL) {
        t->pex_log = pex_log_new();
    }
    unsigned flags = c->peer.incoming ? 0 : EXT_PEX_REACHABLE;
    if (c->peer.seed || c->peer.peer_upload_only) {
        flags |= EXT_PEX_SEED;
    }
    pex_log_added(t->pex_log, &c->peer.listen, flags);
    if (c->in_log) {
        return;
    }
    c->in_log = true;
    LIST_FOREACH_SAFE (node, &t->conns) {
        struct conn *other = conn_of(node);
        if (other != c) {
            think_soon(other);
        }
    }
}

void conn_pex_drop(struct conn *c)
{
    if (c->in_log && c->t->pex_log != NULL) {
        pex_log_dropped(c->t->pex_log, &c->peer.listen);
    }
    c->in_log = false;
    if (c->t->n_conns <= 1) {
        pex_log_free(c->t->pex_log);
        c->t->pex_log = NULL;
    }
}

void conn_pex_begin(struct conn *c)
{
    if (torrent_pex_is_on(c->t)) {
        think_soon(c);
    }
}

void conn_pex_on_deadline(struct conn *c)
{
    struct torrent *t = c->t;
    uint64_t now_ms = torrent_now(t);
    if (c->pex_ms == 0 || now_ms < c->pex_ms) {
        return;
    }
    c->pex_ms = 0;
    if (!torrent_pex_is_on(t) || !has_pex(c)) {
        return;
    }
    c->pex_ms = now_ms + PEX_INTERVAL_MS;
    struct pex_room room;
    struct ext_pex pex;
    bool known = t->info != NULL && t->pex_log != NULL;
    if (known && pex_message(t->pex_log, &c->pex, &c->peer.listen, now_ms, &room, &pex)) {
        peer_send_pex(&c->peer, &pex, now_ms);
        conn_wake(c);
    }
}

/* ---- who we hear of */

bool torrent_add_candidate(struct torrent *t, const struct endpoint *peer,
                           enum candidate_source source, bool seed)
{
    struct endpoint self;
    bool known = torrent_own_endpoint(t, peer->addr.v6, &self);
    return candidates_add(t->candidates, peer, source, seed, known ? &self : NULL);
}

static bool add_list(struct torrent *t, struct span list, struct span flags, bool v6)
{
    struct endpoint peer;
    bool any = false;
    for (size_t i = 0; compact_next(&list, v6, &peer); i++) {
        bool seed = (ext_pex_flags(flags, i) & EXT_PEX_SEED) != 0;
        any |= torrent_add_candidate(t, &peer, CANDIDATE_PEX, seed);
    }
    return any;
}

void conn_on_pex(struct conn *c, const struct ext_pex *pex)
{
    struct torrent *t = c->t;
    if (!torrent_pex_is_on(t) || !pex_accept(&c->pex, torrent_now(t))) {
        return;
    }
    bool any = add_list(t, pex->added, pex->added_flags, false);
    any |= add_list(t, pex->added6, pex->added6_flags, true);
    if (any) {
        engine_want_peers(t, true);
    }
}

void torrent_pex_forget(struct torrent *t)
{
    candidates_forget(t->candidates, CANDIDATE_PEX);
    pex_log_free(t->pex_log);
    t->pex_log = NULL;
    LIST_FOREACH_SAFE (node, &t->conns) {
        struct conn *c = conn_of(node);
        c->in_log = false;
        c->pex_ms = 0;
        if (c->source == CANDIDATE_PEX) {
            conn_close(c, "it came by PEX, which this torrent does not have", false);
        }
    }
}
