/* A torrent's connections: what each event of a peer means for us.
 *
 * Interest   we are interested in who has a piece that we want. It is won by a have in O(1); it is
 *            lost when there is nothing to ask for and nothing was asked, and looked at again in
 *            every round of the choker, never for each block.
 * Counts     a peer is in the picker's counts from ready to gone (conn.counted), as a seed if it is
 *            one (conn.seed_counted, which also counts in torrent.n_seeds when there is no picker).
 * Order      peer.c has changed its flags before the event comes, so what was before is known from
 *            our own marks alone.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "client/torrent_impl.h"

#include "base/banned.h"

/* ---- counts */

void conn_count(struct conn *c)
{
    struct torrent *t = c->t;
    if (!c->greeted || t->layout == NULL) {
        return;
    }
    bool seed = c->peer.seed;
    if (seed && !c->seed_counted) {
        t->n_seeds++;
        t->kept.last_seen_complete_unix_s = engine_unix_s(t->e);
    }
    c->seed_counted = seed;
    if (t->picker == NULL || c->counted) {
        return;
    }
    c->counted = true;
    if (seed) {
        picker_add_seed(t->picker);
    } else if (c->peer.bitfield != NULL) {
        picker_add_peer(t->picker, conn_bitfield(c));
    }
}

static void uncount(struct conn *c)
{
    struct torrent *t = c->t;
    if (c->counted && t->picker != NULL) {
        if (c->seed_counted) {
            picker_remove_seed(t->picker);
        } else if (c->peer.bitfield != NULL) {
            picker_remove_peer(t->picker, conn_bitfield(c));
        }
    }
    c->counted = false;
    if (c->seed_counted) {
        t->n_seeds--;
        c->seed_counted = false;
    }
}

void torrent_uncount_all(struct torrent *t)
{
    LIST_FOREACH_SAFE (node, &t->conns) {
        conn_of(node)->counted = false;
    }
}

/* It had all but this piece. */
static void count_became_seed(struct conn *c, uint32_t piece)
{
    struct torrent *t = c->t;
    if (c->counted && t->picker != NULL) {
        uint32_t n_pieces = torrent_n_pieces(t);
        size_t len = peer_wire_bitfield_len(n_pieces);
        uint8_t *all = mem_array(len, 1);
        memset(all, 0xff, len);
        if (n_pieces % 8 != 0) {
            all[len - 1] = (uint8_t)(0xff << (8 - n_pieces % 8));
        }
        picker_peer_has(t->picker, piece);
        picker_remove_peer(t->picker, span_of(all, len));
        picker_add_seed(t->picker);
        free(all);
    }
    c->seed_counted = true;
    t->n_seeds++;
    t->kept.last_seen_complete_unix_s = engine_unix_s(t->e);
}

static void count_have(struct conn *c, uint32_t piece)
{
    if (c->peer.seed && !c->seed_counted) {
        count_became_seed(c, piece);
    } else if (c->counted && !c->seed_counted && c->t->picker != NULL) {
        picker_peer_has(c->t->picker, piece);
    }
}

static void count_lost(struct conn *c, uint32_t piece)
{
    struct torrent *t = c->t;
    if (c->seed_counted) {
        uncount(c);
        conn_count(c);
    } else if (c->counted && t->picker != NULL) {
        picker_peer_lost(t->picker, piece);
    }
}

/* ---- interest */

static bool wants_data(const struct torrent *t)
{
    return t->picker != NULL && torrent_is_running(t) && (t->flags & TORRENT_UPLOAD_ONLY) == 0;
}

static void note_idle(struct conn *c)
{
    bool idle = !c->peer.interested && !c->peer.peer_interested;
    if (!idle) {
        c->idle_since_ms = 0;
    } else if (c->idle_since_ms == 0) {
        c->idle_since_ms = torrent_now(c->t);
    }
}

static void set_interested(struct conn *c, bool interested)
{
    if (c->peer.interested != interested) {
        peer_set_interested(&c->peer, interested, torrent_now(c->t));
        conn_wake(c);
    }
    note_idle(c);
}

void conn_update_interest(struct conn *c)
{
    bool some = c->greeted && (c->peer.seed || c->peer.n_have > 0);
    set_interested(c, some && wants_data(c->t) &&
                          picker_is_interesting(c->t->picker, conn_bitfield(c), c->peer.seed));
}

void torrent_update_interests(struct torrent *t)
{
    LIST_FOREACH_SAFE (node, &t->conns) {
        struct conn *c = conn_of(node);
        if (c->greeted) {
            conn_update_interest(c);
            torrent_refill(c, PICK_INTERESTING);
        }
    }
}

static bool is_of_use(const struct torrent *t, uint32_t piece)
{
    return wants_data(t) && !pieces_has(t->pieces, piece) &&
           picker_priority(t->picker, piece) != PICKER_SKIP;
}

/* ---- events */

int torrent_on_ready(struct conn *c, const char **why)
{
    struct torrent *t = c->t;
    if (t->state == TORRENT_QUEUED_CHECK || t->state == TORRENT_CHECKING) {
        *why = "the files are checked";
        return ERR_UNAVAILABLE;
    }
    struct peer_self self;
    uint32_t n_have =
        t->pieces == NULL || torrent_is_super_seeding(t) ? 0 : pieces_count(t->pieces);
    bool partial = n_have > 0 && !pieces_is_complete(t->pieces);
    uint8_t *have = NULL;
    size_t len = 0;
    if (partial) {
        len = peer_wire_bitfield_len(torrent_n_pieces(t));
        have = mem_array(len, 1);
        pieces_bitfield(t->pieces, have);
    }
    torrent_self(t, &self);
    peer_greet(&c->peer, &self, span_of(have, len), n_have, torrent_now(t));
    free(have);
    c->greeted = true;
    c->super_piece = UINT32_MAX;
    note_idle(c);
    conn_count(c);
    conn_pex_add(c);
    if (t->choke_ms == 0) {
        t->choke_ms = torrent_now(t) + CHOKER_ROUND_MS;
        torrent_plan(t);
    }
    bool says_nothing = (c->peer.features & WIRE_FAST) == 0;
    if (says_nothing) {
        conn_super_show(c); /* a peer without pieces sends no bitfield */
    }
    return 0;
}

static void on_bitfield(struct conn *c)
{
    c->counted = false; /* it was, with nothing: this comes once, and before any have */
    conn_count(c);
    if (c->t->layout == NULL) {
        return;
    }
    conn_pex_add(c); /* seeds are marked */
    conn_update_interest(c);
    conn_super_show(c);
    torrent_refill(c, PICK_INTERESTING);
}

static void on_have(struct conn *c, uint32_t piece)
{
    struct torrent *t = c->t;
    if (t->layout == NULL) {
        return;
    }
    count_have(c, piece);
    if (!c->peer.interested && is_of_use(t, piece)) {
        set_interested(c, true);
    }
    torrent_super_on_have(c, piece);
    if (c->requests.n == 0) {
        torrent_refill(c, PICK_INTERESTING);
    }
}

static void on_donthave(struct conn *c, uint32_t piece)
{
    if (c->t->layout != NULL) {
        count_lost(c, piece);
    }
}

static void on_choke(struct conn *c)
{
    c->end_game = false;
    if ((c->peer.features & WIRE_FAST) == 0 && c->requests.n > 0) {
        conn_give_back_all(c, false);
        torrent_kick(c->t, PICK_REJECT);
    }
}

/* Pieces that it may have while it is choked. */
static void allow_fast(struct conn *c)
{
    struct torrent *t = c->t;
    bool may = t->pieces != NULL && pieces_count(t->pieces) > 0 && c->peer.choking &&
               (c->peer.features & WIRE_FAST) != 0 && c->peer.n_given_fast == 0 &&
               !torrent_is_super_seeding(t);
    if (!may) {
        return;
    }
    size_t len = peer_wire_bitfield_len(torrent_n_pieces(t));
    uint8_t *have = mem_array(len, 1);
    pieces_bitfield(t->pieces, have);
    peer_send_allowed_fast(&c->peer, &t->info_hash, span_of(have, len), torrent_now(t));
    free(have);
}

static void on_interested(struct conn *c)
{
    note_idle(c);
    c->asked_ms = torrent_now(c->t);
    torrent_fill_slots(c->t);
    allow_fast(c);
    conn_wake(c);
}

static void on_not_interested(struct conn *c)
{
    note_idle(c);
    if (!c->peer.choking) {
        conn_set_choking(c, true);
        torrent_fill_slots(c->t);
    }
}

static void on_uploads(struct conn *c)
{
    c->asked_ms = torrent_now(c->t);
    conn_wake(c); /* torrent_on_room takes them together */
}

int torrent_on_event(struct conn *c, const struct peer_event *ev, const char **why)
{
    switch (ev->kind) {
    case PEER_EV_INFO_HASH:
    case PEER_EV_READY:
    case PEER_EV_PORT:
        break;
    case PEER_EV_CHOKE:
        on_choke(c);
        break;
    case PEER_EV_UNCHOKE:
    case PEER_EV_FAST:
        torrent_refill(c, PICK_UNCHOKE);
        break;
    case PEER_EV_INTERESTED:
        on_interested(c);
        break;
    case PEER_EV_NOT_INTERESTED:
        on_not_interested(c);
        break;
    case PEER_EV_BITFIELD:
        on_bitfield(c);
        break;
    case PEER_EV_HAVE:
        on_have(c, ev->block.piece);
        break;
    case PEER_EV_DONTHAVE:
        on_donthave(c, ev->block.piece);
        break;
    case PEER_EV_BLOCK:
        return conn_on_block(c, ev, why);
    case PEER_EV_REJECT:
        return conn_on_reject(c, &ev->block, why);
    case PEER_EV_UPLOADS:
        on_uploads(c);
        break;
    case PEER_EV_EXTENSIONS:
        conn_on_extensions(c);
        break;
    case PEER_EV_METADATA:
        return conn_on_metadata(c, &ev->metadata, why);
    case PEER_EV_PEX:
        conn_on_pex(c, &ev->pex);
        break;
    case PEER_EV_UPLOAD_ONLY:
        conn_pex_add(c);
        break;
    }
    return 0;
}

void torrent_on_gone(struct conn *c)
{
    struct torrent *t = c->t;
    bool was_ready = c->greeted;
    bool had_requests = c->requests.n > 0;
    const struct peer *p = &c->peer;
    if (p->arriving != NULL && p->arriving_len < p->arriving_block.len) {
        torrent_waste_block(t, p->arriving_len, WASTE_CLOSING); /* it will not be whole */
    }
    conn_give_back_all(c, false);
    uncount(c);
    c->greeted = false;
    if (!was_ready) {
        return;
    }
    conn_pex_drop(c);
    if (t->metadata != NULL) {
        metadata_on_gone(t->metadata, c->id);
    }
    bool had_slot = !c->peer.choking;
    if (had_slot) {
        t->n_unchoked--;
        t->e->totals.n_unchoked--;
    }
    if (!torrent_is_running(t)) {
        return;
    }
    if (had_slot) {
        torrent_fill_slots(t);
    }
    if (had_requests) {
        torrent_kick(t, PICK_REJECT);
    }
}

/* ---- time */

uint64_t torrent_conn_deadline_ms(const struct conn *c)
{
    if (!c->greeted) {
        return UINT64_MAX;
    }
    uint64_t at = requests_deadline_ms(&c->requests);
    return c->pex_ms != 0 && c->pex_ms < at ? c->pex_ms : at;
}
