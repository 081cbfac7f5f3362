/* A torrent's address book.
 *
 * Life of an entry
 *
 *      add --> IDLE --next--> TRYING --connected--> CONNECTED
 *               ^                |                      |
 *               +---- failed ----+------- failed -------+
 *               +---- closed ---------------------------+
 *               +---- left -----+-----------------------+
 *
 *   Failures count until a connection that was of use has ended: a peer that accepts and hangs up
 *   is as useless as one that does not answer. At CANDIDATE_FAILURES_MAX the entry is gone.
 *
 * Cost
 *   Entries are one array, sorted by endpoint: finding is a binary search, adding moves a few
 *   kilobytes, and there is no hash that somebody could make collide. It grows and shrinks with
 *   what is in it and is not there for a torrent that knows nobody. Choosing reads the array once;
 *   deadline_ms spares it when there can be nobody to choose.
 *
 * Invariants
 *   deadline_ms is never later than the earliest time at which an entry may be tried, for the
 *   seeding that the last choice was made with.
 *   n_free and n_free_seeds count the entries that are not CONNECTED.
 */
#include "client/candidates.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "proto/peer_priority.h"

#include "base/banned.h"

enum { ENTRIES_MIN = 8, BANS_MIN = 4 };

enum entry_state {
    ENTRY_IDLE,
    ENTRY_TRYING,
    ENTRY_CONNECTED,
};

struct entry {
    struct endpoint peer;
    uint32_t priority; /* BEP 40; 0 when we do not know our own address */
    uint64_t retry_ms; /* not before */
    uint64_t tried_ms;
    uint8_t failures;
    uint8_t source; /* enum candidate_source */
    uint8_t state;  /* enum entry_state */
    bool seed;
};

struct candidates {
    size_t cap;
    struct entry *entries; /* NULL when there are none */
    size_t n;
    size_t room;
    size_t n_free;
    size_t n_free_seeds;
    uint64_t deadline_ms;
    bool seeding; /* in the last candidates_next */
    uint64_t n_seen;
    struct addr *bans;
    size_t n_bans;
    size_t bans_room;
    size_t oldest_ban; /* the next one to be replaced when all are taken */
};

struct candidates *candidates_new(size_t cap)
{
    ASSERT(cap > 0);
    struct candidates *c = mem_new(struct candidates);
    c->cap = cap;
    c->deadline_ms = UINT64_MAX;
    return c;
}

void candidates_free(struct candidates *c)
{
    if (c != NULL) {
        free(c->entries);
        free(c->bans);
        free(c);
    }
}

static int addr_cmp(const struct addr *a, const struct addr *b)
{
    return a->v6 != b->v6 ? (int)a->v6 - (int)b->v6 : memcmp(a->b, b->b, sizeof a->b);
}

static int endpoint_cmp(const struct endpoint *a, const struct endpoint *b)
{
    int by_addr = addr_cmp(&a->addr, &b->addr);
    return by_addr != 0 ? by_addr : (int)a->port - (int)b->port;
}

/* Where the peer is, or would be. */
static size_t place_of(const struct candidates *c, const struct endpoint *peer)
{
    size_t low = 0;
    size_t high = c->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (endpoint_cmp(&c->entries[mid].peer, peer) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static struct entry *find(const struct candidates *c, const struct endpoint *peer)
{
    size_t at = place_of(c, peer);
    return at < c->n && endpoint_eq(&c->entries[at].peer, peer) ? &c->entries[at] : NULL;
}

static void count_in(struct candidates *c, const struct entry *e)
{
    if (e->state != ENTRY_CONNECTED) {
        c->n_free++;
        c->n_free_seeds += e->seed;
    }
}

static void count_out(struct candidates *c, const struct entry *e)
{
    if (e->state != ENTRY_CONNECTED) {
        c->n_free--;
        c->n_free_seeds -= e->seed;
    }
}

/* Every change of what is counted goes through here and the two above. */
static void set_state(struct candidates *c, struct entry *e, enum entry_state state)
{
    count_out(c, e);
    e->state = (uint8_t)state;
    count_in(c, e);
}

static void fit(struct candidates *c)
{
    size_t room = c->room;
    if (c->n == room) {
        room = room == 0 ? ENTRIES_MIN : 2 * room;
    } else if (c->n <= room / 4) {
        room = c->n <= ENTRIES_MIN ? ENTRIES_MIN : room / 2;
    }
    if (room != c->room) {
        c->entries = mem_resize(c->entries, room, sizeof *c->entries);
        c->room = room;
    }
}

static void insert(struct candidates *c, const struct entry *e)
{
    fit(c);
    size_t at = place_of(c, &e->peer);
    memmove(&c->entries[at + 1], &c->entries[at], (c->n - at) * sizeof *e);
    c->entries[at] = *e;
    c->n++;
    count_in(c, e);
}

static void shrink(struct candidates *c)
{
    if (c->n == 0) {
        free(c->entries);
        c->entries = NULL;
        c->room = 0;
        c->deadline_ms = UINT64_MAX;
    } else {
        fit(c);
    }
}

static void remove_entry(struct candidates *c, struct entry *e)
{
    count_out(c, e);
    size_t at = (size_t)(e - c->entries);
    c->n--;
    memmove(e, e + 1, (c->n - at) * sizeof *e);
    shrink(c);
}

/* Should a be tried before b? */
static bool is_better(const struct candidates *c, const struct entry *a, const struct entry *b)
{
    if (a->failures != b->failures) {
        return a->failures < b->failures;
    }
    if (a->source != b->source) {
        return a->source < b->source;
    }
    if (c->seeding && a->seed != b->seed) {
        return b->seed;
    }
    if (a->tried_ms != b->tried_ms) {
        return a->tried_ms < b->tried_ms;
    }
    return a->priority > b->priority;
}

static bool is_refused(const struct endpoint *peer, const struct endpoint *self)
{
    const struct addr *a = &peer->addr;
    /* IPv4: 0.0.0.0/8 is no host, 224.0.0.0/4 multicast, above it broadcast and reserved. */
    bool nowhere = a->v6 ? a->b[0] == 0xff : a->b[0] == 0 || a->b[0] >= 224;
    return peer->port == 0 || nowhere || addr_is_unspecified(a) ||
           (self != NULL && endpoint_eq(peer, self));
}

/* Somebody else tells of a peer that we know: keep the better of what is said. */
static void hear_again(struct candidates *c, struct entry *e, enum candidate_source source,
                       bool seed)
{
    if ((uint8_t)source < e->source) {
        e->source = (uint8_t)source;
    }
    if (source == CANDIDATE_INCOMING) {
        e->failures = 0; /* it is alive */
    }
    count_out(c, e);
    e->seed = e->seed || seed;
    count_in(c, e);
}

static struct entry *find_worst(struct candidates *c)
{
    struct entry *worst = NULL;
    for (size_t i = 0; i < c->n; i++) {
        struct entry *e = &c->entries[i];
        if (e->state == ENTRY_IDLE && (worst == NULL || is_better(c, worst, e))) {
            worst = e;
        }
    }
    return worst;
}

static bool make_room(struct candidates *c, const struct entry *new)
{
    if (c->n < c->cap) {
        return true;
    }
    struct entry *worst = find_worst(c);
    if (worst == NULL || !is_better(c, new, worst)) {
        return false;
    }
    remove_entry(c, worst);
    return true;
}

bool candidates_add(struct candidates *c, const struct endpoint *peer, enum candidate_source source,
                    bool seed, const struct endpoint *self)
{
    if (is_refused(peer, self) || candidates_is_banned(c, &peer->addr)) {
        return false;
    }
    struct entry *known = find(c, peer);
    if (known != NULL) {
        hear_again(c, known, source, seed);
        return false;
    }
    struct entry new = {.peer = *peer, .source = (uint8_t)source, .seed = seed};
    if (self != NULL && self->addr.v6 == peer->addr.v6) {
        new.priority = peer_priority(self, peer);
    }
    if (!make_room(c, &new)) {
        return false;
    }
    insert(c, &new);
    c->deadline_ms = 0;
    return true;
}

bool candidates_next(struct candidates *c, uint64_t now_ms, bool seeding, struct endpoint *out)
{
    if (seeding == c->seeding && now_ms < c->deadline_ms) {
        return false;
    }
    c->seeding = seeding;
    struct entry *best = NULL;
    uint64_t soonest_ms = UINT64_MAX;
    c->n_seen += c->n;
    for (size_t i = 0; i < c->n; i++) {
        struct entry *e = &c->entries[i];
        if (e->state != ENTRY_IDLE || (seeding && e->seed)) {
            continue;
        }
        if (e->retry_ms > now_ms) {
            soonest_ms = e->retry_ms < soonest_ms ? e->retry_ms : soonest_ms;
        } else if (best == NULL || is_better(c, e, best)) {
            best = e;
        }
    }
    c->deadline_ms = best == NULL ? soonest_ms : now_ms; /* there may be a second one */
    if (best == NULL) {
        return false;
    }
    set_state(c, best, ENTRY_TRYING);
    best->tried_ms = now_ms;
    *out = best->peer;
    return true;
}

uint64_t candidates_n_seen(const struct candidates *c)
{
    return c->n_seen;
}

uint64_t candidates_deadline_ms(const struct candidates *c)
{
    return c->deadline_ms;
}

void candidates_on_connected(struct candidates *c, const struct endpoint *peer)
{
    struct entry *e = find(c, peer);
    if (e != NULL) {
        set_state(c, e, ENTRY_CONNECTED);
    }
}

static void rest_until(struct candidates *c, struct entry *e, uint64_t retry_ms)
{
    set_state(c, e, ENTRY_IDLE);
    e->retry_ms = retry_ms;
    if (retry_ms < c->deadline_ms) {
        c->deadline_ms = retry_ms;
    }
}

void candidates_on_failed(struct candidates *c, const struct endpoint *peer, uint64_t now_ms)
{
    struct entry *e = find(c, peer);
    if (e == NULL) {
        return;
    }
    e->failures++;
    if (e->failures >= CANDIDATE_FAILURES_MAX) {
        remove_entry(c, e);
    } else {
        rest_until(c, e, now_ms + (e->failures + UINT64_C(1)) * CANDIDATE_RETRY_MS);
    }
}

void candidates_on_closed(struct candidates *c, const struct endpoint *peer, uint64_t now_ms)
{
    struct entry *e = find(c, peer);
    if (e != NULL) {
        e->failures = 0;
        rest_until(c, e, now_ms + CANDIDATE_RETRY_MS);
    }
}

void candidates_on_left(struct candidates *c, const struct endpoint *peer)
{
    struct entry *e = find(c, peer);
    if (e != NULL) {
        rest_until(c, e, 0);
    }
}

void candidates_retry(struct candidates *c)
{
    for (size_t i = 0; i < c->n; i++) {
        c->entries[i].retry_ms = 0;
    }
    c->deadline_ms = c->n > 0 ? 0 : UINT64_MAX;
}

/* Removes what `is_unwanted` names, in one pass. */
static void sweep(struct candidates *c, bool (*is_unwanted)(const struct entry *, const void *),
                  const void *arg)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (is_unwanted(&c->entries[i], arg)) {
            count_out(c, &c->entries[i]);
        } else {
            c->entries[kept++] = c->entries[i];
        }
    }
    if (kept < c->n) {
        c->n = kept;
        shrink(c);
    }
}

static bool has_addr(const struct entry *e, const void *addr)
{
    return addr_eq(&e->peer.addr, addr);
}

static bool has_source(const struct entry *e, const void *source)
{
    return e->source == *(const enum candidate_source *)source;
}

void candidates_ban(struct candidates *c, const struct addr *addr)
{
    if (candidates_is_banned(c, addr)) {
        return;
    }
    sweep(c, has_addr, addr);
    if (c->n_bans == CANDIDATE_BANS_MAX) {
        c->bans[c->oldest_ban] = *addr;
        c->oldest_ban = (c->oldest_ban + 1) % CANDIDATE_BANS_MAX;
        return;
    }
    if (c->n_bans == c->bans_room) {
        c->bans_room = c->bans_room == 0 ? BANS_MIN : 2 * c->bans_room;
        c->bans = mem_resize(c->bans, c->bans_room, sizeof *c->bans);
    }
    c->bans[c->n_bans++] = *addr;
}

bool candidates_is_banned(const struct candidates *c, const struct addr *addr)
{
    for (size_t i = 0; i < c->n_bans; i++) {
        if (addr_eq(&c->bans[i], addr)) {
            return true;
        }
    }
    return false;
}

size_t candidates_count(const struct candidates *c)
{
    return c->n_free;
}

size_t candidates_count_seeds(const struct candidates *c)
{
    return c->n_free_seeds;
}

void candidates_forget(struct candidates *c, enum candidate_source source)
{
    sweep(c, has_source, &source);
}
