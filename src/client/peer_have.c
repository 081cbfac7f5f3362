/* Which pieces a peer has.
 *
 * 1. A bitfield, have all or have none is the first that is said (BEP 3, 6). aria2 sends one later
 *    as well, in place of many haves, and that is what a later one is: each piece that is new in it
 *    is told as a have, and none is taken back.
 * 2. A seed has no bitfield, nor has who has nothing: most connections cost nothing here.
 * 3. Before the metadata is there nobody knows how many pieces there are. What is said then is kept
 *    as it came and judged by peer_set_geometry; a have beyond every torrent ends the connection
 *    at once.
 */
#include "client/peer_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#include "base/banned.h"

static int malformed(const char **why, const char *text)
{
    *why = text;
    return ERR_MALFORMED;
}

static bool bit_get(const uint8_t *bits, uint32_t i)
{
    return (bits[i / 8] & (0x80u >> i % 8)) != 0;
}

static void bit_set(uint8_t *bits, uint32_t i)
{
    bits[i / 8] |= (uint8_t)(0x80u >> i % 8);
}

static void bit_clear(uint8_t *bits, uint32_t i)
{
    bits[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
}

bool peer_has(const struct peer *p, uint32_t piece)
{
    return piece < p->geometry.n_pieces &&
           (p->seed || (p->bitfield != NULL && bit_get(p->bitfield, piece)));
}

void peer_use_geometry(struct peer *p, const struct wire_geometry *geometry)
{
    ASSERT(p->geometry.n_pieces == 0 && geometry->n_pieces > 0);
    p->geometry = *geometry;
    p->limits.n_pieces = geometry->n_pieces;
}

static void become_seed(struct peer *p)
{
    p->seed = true;
    p->n_have = p->geometry.n_pieces;
    free(p->bitfield);
    p->bitfield = NULL;
}

/* Of the right length, with spare bits of zero. */
static void take_bitfield(struct peer *p, struct span bitfield)
{
    uint32_t n = 0;
    for (size_t i = 0; i < bitfield.n; i++) {
        n += (uint32_t)__builtin_popcount(bitfield.p[i]);
    }
    if (n == p->geometry.n_pieces) {
        become_seed(p);
    } else if (n > 0) {
        p->bitfield = mem_array(bitfield.n, 1);
        memcpy(p->bitfield, bitfield.p, bitfield.n);
        p->n_have = n;
    }
}

static int told(struct peer_event *ev, enum peer_event_kind kind)
{
    ev->kind = kind;
    return PEER_TOLD;
}

static void drop_early(struct peer *p)
{
    free(p->early_bitfield);
    p->early_bitfield = NULL;
    p->early_bitfield_len = 0;
    p->early_exact = false;
}

/* Laid over what was said before, which has no bit behind its end. */
static int keep_early(struct peer *p, struct span bitfield, const char **why)
{
    uint8_t *bits = mem_array(bitfield.n, 1);
    if (bitfield.n > 0) {
        memcpy(bits, bitfield.p, bitfield.n);
    }
    bool fits = !p->early_exact || p->early_bitfield_len == bitfield.n;
    for (size_t i = 0; i < p->early_bitfield_len; i++) {
        if (i < bitfield.n) {
            bits[i] |= p->early_bitfield[i];
        } else {
            fits = fits && p->early_bitfield[i] == 0;
        }
    }
    drop_early(p);
    p->early_exact = true;
    p->early_bitfield_len = bitfield.n;
    p->early_bitfield = bits;
    return fits ? 0 : malformed(why, "bitfield does not fit the torrent");
}

static void fill(uint8_t *bits, uint32_t n)
{
    memset(bits, 0xff, n / 8);
    if (n % 8 != 0) {
        bits[n / 8] = (uint8_t)(0xff00u >> n % 8);
    }
}

/* Told piece by piece, by peer_next_later. */
static uint8_t *begin_later(struct peer *p)
{
    p->later = mem_array(peer_wire_bitfield_len(p->geometry.n_pieces), 1);
    p->later_at = 0;
    return p->later;
}

int peer_on_bitfield(struct peer *p, struct span bitfield, struct peer_event *ev, const char **why)
{
    bool first = !p->said_have;
    p->said_have = true;
    if (p->geometry.n_pieces == 0) {
        return p->early_have_all ? 0 : keep_early(p, bitfield, why);
    }
    if (first) {
        take_bitfield(p, bitfield);
        return told(ev, PEER_EV_BITFIELD);
    }
    if (!p->seed) {
        memcpy(begin_later(p), bitfield.p, bitfield.n);
    }
    return 0;
}

int peer_on_have_all(struct peer *p, bool all, struct peer_event *ev)
{
    bool first = !p->said_have;
    p->said_have = true;
    if (p->geometry.n_pieces == 0) {
        if (all) {
            p->early_have_all = true;
            drop_early(p);
        }
        return 0;
    }
    if (first) {
        if (all) {
            become_seed(p);
        }
        return told(ev, PEER_EV_BITFIELD);
    }
    if (all && !p->seed) {
        fill(begin_later(p), p->geometry.n_pieces);
    }
    return 0;
}

static int on_early_have(struct peer *p, uint32_t piece, const char **why)
{
    size_t need = (size_t)piece / 8 + 1, cap = p->early_bitfield_len * 2;
    if (piece >= PEER_PIECES_MAX || (p->early_exact && need > p->early_bitfield_len)) {
        return malformed(why, "have of a piece that there is not");
    }
    if (p->early_have_all) {
        return 0;
    }
    if (need > p->early_bitfield_len) {
        cap = cap > need ? cap : need;
        cap = cap < PEER_PIECES_MAX / 8 ? cap : PEER_PIECES_MAX / 8;
        uint8_t *bits = mem_zeroed(cap);
        if (p->early_bitfield_len > 0) {
            memcpy(bits, p->early_bitfield, p->early_bitfield_len);
        }
        free(p->early_bitfield);
        p->early_bitfield = bits;
        p->early_bitfield_len = cap;
    }
    bit_set(p->early_bitfield, piece);
    return 0;
}

static int gain(struct peer *p, uint32_t piece, struct peer_event *ev)
{
    if (p->bitfield == NULL) {
        p->bitfield = mem_zeroed(peer_wire_bitfield_len(p->geometry.n_pieces));
    }
    bit_set(p->bitfield, piece);
    p->n_have++;
    if (p->n_have == p->geometry.n_pieces) {
        become_seed(p);
    }
    ev->block.piece = piece;
    return told(ev, PEER_EV_HAVE);
}

int peer_on_have(struct peer *p, uint32_t piece, struct peer_event *ev, const char **why)
{
    p->said_have = true;
    if (p->geometry.n_pieces == 0) {
        return on_early_have(p, piece, why);
    }
    if (piece >= p->geometry.n_pieces) {
        return malformed(why, "have of a piece that there is not");
    }
    return peer_has(p, piece) ? 0 : gain(p, piece, ev);
}

int peer_next_later(struct peer *p, struct peer_event *ev)
{
    while (p->later_at < p->geometry.n_pieces) {
        uint32_t piece = p->later_at++;
        if (bit_get(p->later, piece) && !peer_has(p, piece)) {
            return gain(p, piece, ev);
        }
    }
    free(p->later);
    p->later = NULL;
    return 0;
}

int peer_on_donthave(struct peer *p, uint32_t piece, struct peer_event *ev, const char **why)
{
    uint32_t n = p->geometry.n_pieces;
    if (n == 0) {
        /* That of a seed is lost with this; a reject will tell. */
        if (p->early_bitfield != NULL && (size_t)piece / 8 < p->early_bitfield_len) {
            bit_clear(p->early_bitfield, piece);
        }
        return 0;
    }
    if (piece >= n) {
        return malformed(why, "loss of a piece that there is not");
    }
    if (!peer_has(p, piece)) {
        return 0;
    }
    if (p->seed) {
        p->seed = false;
        p->bitfield = mem_array(peer_wire_bitfield_len(n), 1);
        fill(p->bitfield, n);
    }
    bit_clear(p->bitfield, piece);
    p->n_have--;
    if (p->n_have == 0) {
        free(p->bitfield);
        p->bitfield = NULL;
    }
    ev->block.piece = piece;
    return told(ev, PEER_EV_DONTHAVE);
}

/* An early bitfield that was a message is as long as it must be; one that was gathered from haves
 * may be shorter or longer, but has no bit behind the last piece. */
static bool early_fits(const struct peer *p)
{
    uint32_t n = p->geometry.n_pieces;
    size_t len = p->early_bitfield_len;
    if (p->early_exact) {
        return peer_wire_bitfield_ok(span_of(p->early_bitfield, len), n);
    }
    for (size_t i = n / 8; i < len; i++) {
        unsigned spare = i == n / 8 ? 0xffu >> n % 8 : 0xffu;
        if ((p->early_bitfield[i] & spare) != 0) {
            return false;
        }
    }
    return true;
}

/* Pieces that it allows us were taken on trust as well. */
static void drop_early_fast(struct peer *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_fast; i++) {
        if (p->fast[i] < p->geometry.n_pieces) {
            p->fast[n++] = p->fast[i];
        }
    }
    p->n_fast = n;
}

int peer_set_geometry(struct peer *p, const struct wire_geometry *geometry, const char **why)
{
    peer_use_geometry(p, geometry);
    drop_early_fast(p);
    if (p->early_have_all) {
        become_seed(p);
        p->early_have_all = false;
    }
    if (p->early_bitfield == NULL) {
        return 0;
    }
    if (!early_fits(p)) {
        return malformed(why, "bitfield does not fit the torrent");
    }
    size_t len = peer_wire_bitfield_len(geometry->n_pieces);
    uint8_t *bits = mem_zeroed(len);
    memcpy(bits, p->early_bitfield, len < p->early_bitfield_len ? len : p->early_bitfield_len);
    take_bitfield(p, span_of(bits, len));
    free(bits);
    drop_early(p);
    return 0;
}
