/* The choice, for one peer: up to cap blocks.
 *
 * Class by class, the first priority first; in a class:
 *
 *   usual peer   its own and common pieces under way | new ones | what others own
 *   fast peer    its own | new ones, unless many are open | common | new ones | what others own
 *   on parole    its own | new ones; when no class has any: what is under way, however mixed (or a
 *                swarm of suspects would never end; the digests tell who lied)
 *   choked       pieces of its allowed fast set, as it was given
 *
 * A piece is owned while its owner owes a block of it; then it is common again, so a peer that is
 * gone or choked leaves nothing locked.
 *
 * New pieces come from the order (rarest first, a snubbing peer from its other end). A peer that
 * has little is not worth a walk over the whole order: after SCAN_MAX pieces the bits of what it
 * has and we want are gone through instead, 64 at a time, and the rarest of these are kept.
 */
#include "base/assert.h"
#include "client/picker_impl.h"

#include "base/banned.h"

enum {
    SCAN_MAX = 4096,
    OPEN_MAX = 32, /* pieces with FREE blocks, before fast peers help to finish them */
    BEST_MAX = 16,
    NO_PIECE = UINT32_MAX,
};

enum partial_kind {
    KIND_OWN = 1 << 0,
    KIND_COMMON = 1 << 1,
    KIND_OTHERS = 1 << 2,
    KIND_SHUT = 1 << 3, /* exclusive to another */
};

struct best {
    uint64_t key; /* availability, then a random number */
    uint32_t piece;
};

/* Where the search for new pieces of a class stands. */
struct search {
    uint8_t priority;
    bool begun;
    bool by_bits; /* in the order of their numbers, from at to end, then from 0 to wrap_end */
    uint32_t at;
    uint32_t end;
    uint32_t wrap_end;
    uint32_t n_looked;
    struct best best[BEST_MAX]; /* a heap would not be worth it */
    uint32_t n_best;
    uint32_t i_best;
};

struct pick {
    struct picker *k;
    struct pieces *p;
    const struct pick_peer *peer;
    bool fast;
    struct wire_block *out;
    size_t cap;
    size_t n;
};

static bool peer_has(const struct pick_peer *peer, uint32_t piece)
{
    return peer->seed || (piece / 8 < peer->bitfield.n && picker_bit(peer->bitfield.p, piece));
}

/* ---- pieces under way ------------------------------------------------------------------------ */

static enum partial_kind kind_of(const struct pick *c, const struct piece_partial *v)
{
    if (v->owner == c->peer->id && (!c->peer->parole || v->exclusive == c->peer->id)) {
        return KIND_OWN;
    }
    if (v->owner == 0 || v->owner == c->peer->id || v->n_requested == 0) {
        return KIND_COMMON;
    }
    return v->exclusive != 0 ? KIND_SHUT : KIND_OTHERS;
}

static bool is_better(const struct pick *c, const struct piece_partial *v,
                      const struct piece_partial *than)
{
    if (than == NULL) {
        return true;
    }
    return c->k->sequential ? v->piece < than->piece : v->n_free < than->n_free;
}

static const struct piece_partial *best_partial(const struct pick *c, uint8_t priority,
                                                unsigned kinds)
{
    const struct piece_partial *best = NULL;
    size_t n = pieces_n_open(c->p);
    c->k->counts->partial += n;
    for (size_t i = 0; i < n; i++) {
        const struct piece_partial *v = pieces_partial_at(c->p, i);
        if (is_better(c, v, best) && picker_bit(c->k->wanted, v->piece) &&
            picker_priority_of(c->k, v->piece) == priority && peer_has(c->peer, v->piece) &&
            kind_of(c, v) & kinds) {
            best = v;
        }
    }
    return best;
}

static void request(struct pick *c, const struct piece_partial *v)
{
    if (kind_of(c, v) == KIND_COMMON && v->owner != c->peer->id) {
        pieces_assign(c->p, v->piece, c->fast ? c->peer->id : 0, false);
    }
    c->n += pieces_request(c->p, v->piece, c->out + c->n, c->cap - c->n);
}

static void take_partials(struct pick *c, uint8_t priority, unsigned kinds)
{
    const struct piece_partial *v;
    while (c->n < c->cap && (v = best_partial(c, priority, kinds)) != NULL) {
        request(c, v);
    }
}

/* ---- new pieces ------------------------------------------------------------------------------ */

static uint64_t word_of(const struct pick *c, size_t word)
{
    uint64_t wanted = picker_word(c->k->wanted, word);
    return c->peer->seed ? wanted : wanted & picker_span_word(c->peer->bitfield, word);
}

static bool is_new(const struct pick *c, uint32_t piece, uint8_t priority)
{
    return picker_priority_of(c->k, piece) == priority && !pieces_is_under_way(c->p, piece);
}

/* The first new piece of the class in [from, end) that the peer has; *n_passed: those before it that
 * are not new are added. */
static uint32_t next_by_bits(const struct pick *c, uint8_t priority, uint32_t from, uint32_t end,
                             uint64_t *n_passed)
{
    uint64_t mask = UINT64_MAX >> from % 64;
    for (size_t w = from / 64; from < end && w * 64 < end; w++) {
        uint64_t word = word_of(c, w) & mask;
        mask = UINT64_MAX;
        while (word != 0) {
            uint32_t bit = (uint32_t)__builtin_clzll(word);
            uint32_t piece = (uint32_t)(w * 64) + bit;
            if (piece >= end) {
                return NO_PIECE;
            }
            if (is_new(c, piece, priority)) {
                return piece;
            }
            ++*n_passed;
            word &= ~(UINT64_C(1) << (63 - bit));
        }
    }
    return NO_PIECE;
}

static void add_best(struct search *s, struct best b)
{
    if (s->n_best == BEST_MAX && b.key >= s->best[BEST_MAX - 1].key) {
        return;
    }
    uint32_t i = s->n_best < BEST_MAX ? s->n_best++ : BEST_MAX - 1;
    for (; i > 0 && s->best[i - 1].key > b.key; i--) {
        s->best[i] = s->best[i - 1];
    }
    s->best[i] = b;
}

static uint64_t *rare_count(const struct pick *c)
{
    return c->peer->snubbing ? &c->k->counts->rare_reverse : &c->k->counts->rare;
}

/* The few best of all that the peer has. */
static uint32_t next_of_best(const struct pick *c, struct search *s)
{
    struct picker *k = c->k;
    if (s->i_best == s->n_best) {
        s->i_best = 0;
        s->n_best = 0;
        uint64_t *n_seen = rare_count(c);
        uint32_t piece =
            next_by_bits(c, s->priority, (uint32_t)(k->low_word * 64), k->n_pieces, n_seen);
        while (piece != NO_PIECE) {
            ++*n_seen;
            uint64_t avail = picker_avail(k, piece);
            avail = c->peer->snubbing ? UINT16_MAX - avail : avail;
            add_best(s, (struct best){avail << 32 | rng_next(&k->rng) >> 32, piece});
            piece = next_by_bits(c, s->priority, piece + 1, k->n_pieces, n_seen);
        }
    }
    return s->i_best < s->n_best ? s->best[s->i_best++].piece : NO_PIECE;
}

static uint32_t next_by_order(const struct pick *c, struct search *s)
{
    const struct picker_order *o = &c->k->order;
    uint64_t *n_seen = rare_count(c);
    for (; s->at < s->end && s->n_looked < SCAN_MAX; s->n_looked++) {
        uint32_t piece = c->peer->snubbing ? o->pieces[--s->end] : o->pieces[s->at++];
        ++*n_seen;
        if (peer_has(c->peer, piece) && !pieces_is_under_way(c->p, piece)) {
            return piece;
        }
    }
    return s->at < s->end ? next_of_best(c, s) : NO_PIECE;
}

static void begin_search(const struct pick *c, struct search *s)
{
    struct picker *k = c->k;
    s->begun = true;
    while (k->low_word < picker_n_words(k->n_pieces) && picker_word(k->wanted, k->low_word) == 0) {
        k->low_word++;
    }
    s->by_bits = k->sequential || pieces_count(c->p) < PICKER_RANDOM_FIRST;
    if (!s->by_bits) {
        picker_order_build(k);
        picker_order_range(k, s->priority, &s->at, &s->end);
        return;
    }
    s->at = k->sequential ? (uint32_t)(k->low_word * 64) : rng_below(&k->rng, k->n_pieces);
    s->wrap_end = k->sequential ? 0 : s->at;
    s->end = k->n_pieces;
}

static uint32_t next_new(const struct pick *c, struct search *s)
{
    if (!s->begun) {
        begin_search(c, s);
    }
    if (!s->by_bits) {
        return next_by_order(c, s);
    }
    struct picker_counts *n = c->k->counts;
    uint64_t *n_passed = c->k->sequential ? &n->sequential : &n->random_skipped;
    uint64_t *n_found = c->k->sequential ? &n->sequential : &n->random;
    uint32_t piece = next_by_bits(c, s->priority, s->at, s->end, n_passed);
    if (piece == NO_PIECE && s->wrap_end > 0) {
        s->end = s->wrap_end;
        s->wrap_end = 0;
        piece = next_by_bits(c, s->priority, 0, s->end, n_passed);
    }
    *n_found += piece != NO_PIECE;
    s->at = piece == NO_PIECE ? s->end : piece + 1;
    return piece;
}

static void begin_piece(struct pick *c, uint32_t piece)
{
    pieces_start(c->p, piece, c->peer->parole ? c->peer->id : 0);
    if (c->fast && !c->peer->parole) {
        pieces_assign(c->p, piece, c->peer->id, false);
    }
    c->n += pieces_request(c->p, piece, c->out + c->n, c->cap - c->n);
}

static void take_new(struct pick *c, struct search *s)
{
    while (c->n < c->cap) {
        uint32_t piece = next_new(c, s);
        if (piece == NO_PIECE) {
            return;
        }
        begin_piece(c, piece);
    }
}

/* ---- a class --------------------------------------------------------------------------------- */

static void take_class(struct pick *c, uint8_t priority)
{
    struct search s = {.priority = priority};
    if (c->peer->parole) {
        take_partials(c, priority, KIND_OWN);
        take_new(c, &s);
        return;
    }
    if (c->fast) {
        take_partials(c, priority, KIND_OWN);
        if (pieces_n_open(c->p) < OPEN_MAX) {
            take_new(c, &s);
        }
    }
    take_partials(c, priority, KIND_OWN | KIND_COMMON);
    take_new(c, &s);
    take_partials(c, priority, KIND_OTHERS);
}

static void take_all_classes(struct pick *c)
{
    for (uint8_t priority = PICKER_FIRST; priority > PICKER_SKIP && c->n < c->cap; priority--) {
        if (c->k->n_by_priority[priority] > 0) {
            take_class(c, priority);
        }
    }
    for (uint8_t priority = PICKER_FIRST; c->peer->parole && c->n == 0 && priority > PICKER_SKIP;
         priority--) {
        take_partials(c, priority, KIND_COMMON | KIND_OTHERS);
    }
}

static void take_allowed_fast(struct pick *c)
{
    unsigned kinds = c->peer->parole ? KIND_OWN : KIND_OWN | KIND_COMMON | KIND_OTHERS;
    for (size_t i = 0; i < c->peer->n_fast && c->n < c->cap; i++) {
        uint32_t piece = c->peer->fast[i];
        if (piece >= c->k->n_pieces || !picker_bit(c->k->wanted, piece) ||
            !peer_has(c->peer, piece)) {
            continue;
        }
        const struct piece_partial *v = pieces_partial(c->p, piece);
        if (v == NULL) {
            begin_piece(c, piece);
        } else if (v->n_free > 0 && kind_of(c, v) & kinds) {
            request(c, v);
        }
    }
}

/* ---- end game -------------------------------------------------------------------------------- */

/* Is every block of every piece that is wanted asked for, or here? */
static bool is_end_game(const struct pick *c)
{
    uint32_t n_wanted = 0;
    for (size_t i = 0; i < pieces_n_partials(c->p); i++) {
        const struct piece_partial *v = pieces_partial_at(c->p, i);
        if (picker_bit(c->k->wanted, v->piece)) {
            if (v->n_free > 0) {
                return false;
            }
            n_wanted++;
        }
    }
    return n_wanted == c->k->n_wanted;
}

static void take_end_game(struct pick *c)
{
    size_t n = pieces_n_partials(c->p);
    if (n == 0 || !is_end_game(c)) {
        return;
    }
    uint32_t askers = PICKER_END_GAME_ASKERS;
    uint32_t from = rng_below(&c->k->rng, (uint32_t)n);
    struct wire_block b;
    for (size_t i = 0; i < n && askers > 1; i++) {
        const struct piece_partial *v = pieces_partial_at(c->p, (from + i) % n);
        c->k->counts->busy++;
        if (picker_bit(c->k->wanted, v->piece) && peer_has(c->peer, v->piece) &&
            kind_of(c, v) != KIND_SHUT && pieces_least_asked(c->p, v->piece, askers, &b)) {
            askers = pieces_block_askers(c->p, b.piece, b.begin / WIRE_BLOCK_LEN);
            c->out[0] = b;
            c->n = 1;
        }
    }
    if (c->n == 1) {
        pieces_request_again(c->p, &c->out[0]);
    }
}

size_t picker_pick(struct picker *k, struct pieces *p, const struct pick_peer *peer,
                   struct wire_block *out, size_t cap)
{
    struct pick c = {.k = k, .p = p, .peer = peer, .out = out, .cap = cap};
    if (cap == 0 || k->n_wanted == 0) {
        return 0;
    }
    if (peer->choked) {
        take_allowed_fast(&c);
        return c.n;
    }
    c.fast = !k->sequential && !peer->snubbing &&
             peer->down_bps >= pieces_piece_len(p, 0) / PICKER_WHOLE_PIECE_S;
    take_all_classes(&c);
    if (c.n == 0 && peer->n_pending == 0 && !peer->parole) {
        take_end_game(&c);
    }
    return c.n;
}
