/* Who a peer is: its handshake, and whether we want the connection.
 *
 * Commandments
 *   1. An incoming peer names a torrent of the session it came in by. If that is not here, or does
 *      not run, it hears nothing from us.
 *   2. A peer is connected to a torrent once. Of two connections both ends keep the same: the one
 *      that was begun by the smaller peer id. When one side began both (it knew two addresses), the
 *      one over IPv6; else the older one.
 *   3. Ourselves is nobody to talk to, and the address by which we found us is not tried again.
 *   4. Two that have all they want have nothing to tell each other.
 */
#include <string.h>

#include "base/mem.h"
#include "client/engine_impl.h"

#include "base/banned.h"

void conn_start(struct conn *c)
{
    struct torrent *t = c->t;
    struct peer_self self;
    torrent_self(t, &self);
    peer_start(&c->peer, &self, t->layout == NULL ? NULL : &t->layout->geometry, c->e->now_ms);
    conn_wake(c);
}

static int on_info_hash(struct conn *c, const struct infohash *info_hash, const char **why)
{
    struct engine *e = c->e;
    struct map_node *node = map_find(&e->by_hash, span_of(info_hash->b, sizeof info_hash->b));
    struct torrent *t = node == NULL ? NULL : container_of(node, struct torrent, by_hash);
    if (t == NULL || t->session != c->session || !torrent_is_running(t)) {
        *why = "asks for a torrent that is not here";
        return ERR_NOT_FOUND;
    }
    uint32_t most = e->cfg.max_peers_per_torrent;
    most = t->max_peers > 0 && t->max_peers < most ? t->max_peers : most;
    if (t->n_conns >= most) {
        e->totals.partings.too_many++;
        *why = "the torrent has as many peers as it may have";
        return ERR_LIMIT;
    }
    if (candidates_is_banned(t->candidates, &c->peer.remote.addr)) {
        *why = "banned";
        return ERR_DENIED;
    }
    conn_join(c, t);
    conn_start(c);
    return 0;
}

/* ---- the other end ---- */

static void remember_ourselves(struct session *s, const struct endpoint *at)
{
    if (s->n_ourselves == SESSION_OURSELVES_MAX) {
        s->n_ourselves--;
        memmove(&s->ourselves[0], &s->ourselves[1], s->n_ourselves * sizeof s->ourselves[0]);
    }
    s->ourselves[s->n_ourselves++] = *at;
}

static struct conn *find_double(const struct conn *c)
{
    LIST_FOREACH_SAFE (node, &c->t->conns) {
        struct conn *other = container_of(node, struct conn, in_torrent);
        if (other != c && other->ready &&
            memcmp(other->peer.peer_id.b, c->peer.peer_id.b, sizeof c->peer.peer_id.b) == 0) {
            return other;
        }
    }
    return NULL;
}

/* Commandment 2. */
static bool is_better(const struct conn *new, const struct conn *old)
{
    bool we_are_smaller = memcmp(new->session->peer_id.b, new->peer.peer_id.b, 20) < 0;
    if (new->peer.incoming != old->peer.incoming) {
        return new->peer.incoming != we_are_smaller;
    }
    return new->peer.remote.addr.v6 && !old->peer.remote.addr.v6;
}

/* The address that a double was connected to is that of the one that stays, so that it is not tried
 * again while that lasts. */
static void close_double(struct conn *goes, struct conn *stays)
{
    if (stays->known_as.port == 0) {
        stays->known_as = goes->known_as;
        candidates_on_connected(stays->t->candidates, &stays->known_as);
    }
    if (endpoint_eq(&stays->known_as, &goes->known_as)) {
        goes->known_as.port = 0;
    }
    goes->e->totals.closed_by_rule++;
    conn_drop(goes, "connected to that peer already", false, true);
}

static int on_ready(struct conn *c, const char **why)
{
    struct torrent *t = c->t;
    if (list_is_linked(&c->stranger_node)) {
        list_remove(&c->stranger_node);
        c->e->n_strangers--;
    }
    if (memcmp(c->peer.peer_id.b, c->session->peer_id.b, sizeof c->peer.peer_id.b) == 0) {
        if (!c->peer.incoming) {
            remember_ourselves(c->session, &c->peer.remote);
        }
        c->e->totals.partings.uninteresting++;
        *why = "connected to ourselves";
        return ERR_EXISTS;
    }
    struct conn *other = find_double(c);
    if (other != NULL && !is_better(c, other)) {
        close_double(c, other);
        return 0;
    }
    c->ready = true;
    t->n_connected++;
    c->e->totals.n_peers++;
    if (c->peer.incoming) {
        t->has_incoming = true;
    } else {
        candidates_on_connected(t->candidates, &c->peer.remote);
    }
    if (other != NULL) {
        close_double(other, c);
    }
    return torrent_on_ready(c, why);
}

/* ---- later ---- */

bool conn_close_if_redundant(struct conn *c)
{
    const struct torrent *t = c->t;
    if (c->gone || !c->ready || t->layout == NULL) {
        return false;
    }
    bool we_are_done = t->state == TORRENT_SEEDING || t->state == TORRENT_FINISHED ||
                       (t->flags & TORRENT_UPLOAD_ONLY) != 0;
    if (!we_are_done || !(c->peer.seed || c->peer.peer_upload_only)) {
        return false;
    }
    /* Known as a seed, it is not tried again while we are one. */
    if (c->peer.seed && c->known_as.port != 0) {
        (void)candidates_add(c->t->candidates, &c->known_as, c->source, true, NULL);
    }
    c->e->totals.partings.uninteresting++;
    conn_close(c, "both have all they want", false);
    return true;
}

/* An incoming peer has said where it listens; what it says later is not believed. */
static void learn_listen(struct conn *c)
{
    struct torrent *t = c->t;
    struct endpoint own;
    if (c->known_as.port != 0 || c->peer.listen.port == 0) {
        return;
    }
    bool known = torrent_own_endpoint(t, c->peer.listen.addr.v6, &own);
    c->known_as = c->peer.listen;
    (void)candidates_add(t->candidates, &c->peer.listen, CANDIDATE_INCOMING, c->peer.seed,
                         known ? &own : NULL);
    candidates_on_connected(t->candidates, &c->peer.listen);
}

int conn_on_event(struct conn *c, const struct peer_event *ev, const char **why)
{
    switch (ev->kind) {
    case PEER_EV_INFO_HASH:
        return on_info_hash(c, &ev->info_hash, why);
    case PEER_EV_READY:
        return on_ready(c, why);
    case PEER_EV_EXTENSIONS:
        learn_listen(c);
        break;
    case PEER_EV_CHOKE:
    case PEER_EV_UNCHOKE:
    case PEER_EV_INTERESTED:
    case PEER_EV_NOT_INTERESTED:
    case PEER_EV_BITFIELD:
    case PEER_EV_HAVE:
    case PEER_EV_DONTHAVE:
    case PEER_EV_BLOCK:
    case PEER_EV_REJECT:
    case PEER_EV_FAST:
    case PEER_EV_UPLOADS:
    case PEER_EV_METADATA:
    case PEER_EV_PEX:
    case PEER_EV_PORT:
    case PEER_EV_UPLOAD_ONLY:
        break;
    }
    int status = torrent_on_event(c, ev, why);
    if (status < 0 || c->gone) {
        return status;
    }
    bool may_be_done = ev->kind == PEER_EV_BITFIELD || ev->kind == PEER_EV_EXTENSIONS ||
                       ev->kind == PEER_EV_UPLOAD_ONLY ||
                       (ev->kind == PEER_EV_HAVE && c->peer.seed);
    if (may_be_done) {
        (void)conn_close_if_redundant(c);
    }
    return 0;
}
