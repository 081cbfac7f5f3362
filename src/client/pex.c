/* The log of who came and went, and how far each connection was told.
 *
 * Every event has a number. The peers that are here are kept in the order of the event that added
 * them; those that have gone in a ring, with both their numbers. A connection has two numbers, what
 * it was told of either kind, and what is new for it is found by comparing:
 *
 *      added     is here, and its added number is above the connection's
 *      dropped   went after the connection's dropped number, and its added number is not above the
 *                connection's: otherwise it was never told
 *
 * A new connection has 0: everybody here is new for it. One for which the ring does not reach back
 * far enough gets 0 again.
 *
 * Invariants
 *   A message tells of added peers only when it has told of all dropped ones. Otherwise a peer that
 *   went before it was told would look, in the next message, as if it had been.
 *   A peer is in the ring as often as it went, and at most once among those that are here.
 */
#include "client/pex.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proto/compact.h"

#include "base/banned.h"

enum { HERE_MIN = 8 };

struct here {
    struct endpoint peer;
    uint8_t flags;
    uint64_t added_seq;
};

struct gone {
    struct endpoint peer;
    uint64_t added_seq;
    uint64_t dropped_seq;
};

struct pex_log {
    uint64_t seq;      /* of the newest event */
    uint64_t lost_seq; /* of the newest drop that is no longer in the ring */
    struct here *here; /* by added_seq */
    size_t n_here;
    size_t here_room;
    struct gone *gone; /* ring of gone_room */
    size_t gone_first;
    size_t n_gone;
    size_t gone_room;
};

struct pex_log *pex_log_new(void)
{
    return mem_new(struct pex_log);
}

void pex_log_free(struct pex_log *log)
{
    if (log != NULL) {
        free(log->here);
        free(log->gone);
        free(log);
    }
}

/* Its place, or n_here. */
static size_t find_here(const struct pex_log *log, const struct endpoint *peer)
{
    size_t i = 0;
    while (i < log->n_here && !endpoint_eq(&log->here[i].peer, peer)) {
        i++;
    }
    return i;
}

void pex_log_added(struct pex_log *log, const struct endpoint *peer, unsigned flags)
{
    size_t at = find_here(log, peer);
    if (at < log->n_here) {
        log->here[at].flags = (uint8_t)flags;
        return;
    }
    if (log->n_here == PEX_LOG_MAX) {
        return;
    }
    if (log->n_here == log->here_room) {
        log->here_room = log->here_room == 0 ? HERE_MIN : 2 * log->here_room;
        log->here = mem_resize(log->here, log->here_room, sizeof *log->here);
    }
    log->seq++;
    log->here[log->n_here++] =
        (struct here){.peer = *peer, .flags = (uint8_t)flags, .added_seq = log->seq};
}

static struct gone *gone_at(const struct pex_log *log, size_t i)
{
    return &log->gone[(log->gone_first + i) % log->gone_room];
}

static void grow_gone(struct pex_log *log)
{
    size_t room = log->gone_room == 0 ? HERE_MIN : 2 * log->gone_room;
    struct gone *ring = mem_array(room, sizeof *ring);
    for (size_t i = 0; i < log->n_gone; i++) {
        ring[i] = *gone_at(log, i);
    }
    free(log->gone);
    log->gone = ring;
    log->gone_room = room;
    log->gone_first = 0;
}

static void remember_gone(struct pex_log *log, const struct gone *g)
{
    if (log->n_gone == PEX_LOG_MAX) {
        log->lost_seq = gone_at(log, 0)->dropped_seq;
        log->gone_first = (log->gone_first + 1) % log->gone_room;
        log->n_gone--;
    } else if (log->n_gone == log->gone_room) {
        grow_gone(log);
    }
    log->n_gone++;
    *gone_at(log, log->n_gone - 1) = *g;
}

/* Nobody is here: one message's worth of the ring is enough for who was just connected, and costs
 * an idle torrent little. */
static void trim(struct pex_log *log)
{
    free(log->here);
    log->here = NULL;
    log->here_room = 0;
    if (log->n_gone <= EXT_PEX_PEERS_MAX) {
        return;
    }
    size_t lost = log->n_gone - EXT_PEX_PEERS_MAX;
    struct gone *ring = mem_array(EXT_PEX_PEERS_MAX, sizeof *ring);
    for (size_t i = 0; i < EXT_PEX_PEERS_MAX; i++) {
        ring[i] = *gone_at(log, lost + i);
    }
    log->lost_seq = gone_at(log, lost - 1)->dropped_seq;
    free(log->gone);
    log->gone = ring;
    log->gone_room = EXT_PEX_PEERS_MAX;
    log->gone_first = 0;
    log->n_gone = EXT_PEX_PEERS_MAX;
}

void pex_log_dropped(struct pex_log *log, const struct endpoint *peer)
{
    size_t at = find_here(log, peer);
    if (at == log->n_here) {
        return;
    }
    log->seq++;
    struct gone g = {.peer = *peer, .added_seq = log->here[at].added_seq, .dropped_seq = log->seq};
    log->n_here--;
    memmove(&log->here[at], &log->here[at + 1], (log->n_here - at) * sizeof *log->here);
    remember_gone(log, &g);
    if (log->n_here == 0) {
        trim(log);
    }
}

uint64_t pex_due_ms(const struct pex_cursor *at)
{
    return at->sent ? at->sent_ms + PEX_INTERVAL_MS : 0;
}

/* A list that is being written: peers of one family. */
struct list_out {
    uint8_t *peers;
    uint8_t *flags; /* NULL: has none */
    size_t n;
};

/* By family: IPv4, IPv6. */
struct message {
    struct list_out added[2];
    struct list_out dropped[2];
};

static bool append(struct list_out lists[2], const struct endpoint *peer, uint8_t flags)
{
    struct list_out *list = &lists[peer->addr.v6];
    if (list->n == EXT_PEX_PEERS_MAX) {
        return false;
    }
    (void)compact_write(list->peers + list->n * compact_len(peer->addr.v6), peer);
    if (list->flags != NULL) {
        list->flags[list->n] = flags;
    }
    list->n++;
    return true;
}

/* False: some did not fit. */
static bool tell_dropped(const struct pex_log *log, struct pex_cursor *at,
                         const struct endpoint *to, struct message *m)
{
    for (size_t i = 0; i < log->n_gone; i++) {
        const struct gone *g = gone_at(log, i);
        bool was_told = g->added_seq <= at->added_seq && !endpoint_eq(&g->peer, to);
        if (g->dropped_seq > at->dropped_seq && was_told && !append(m->dropped, &g->peer, 0)) {
            return false;
        }
        if (g->dropped_seq > at->dropped_seq) {
            at->dropped_seq = g->dropped_seq;
        }
    }
    at->dropped_seq = log->seq;
    return true;
}

static void tell_added(const struct pex_log *log, struct pex_cursor *at, const struct endpoint *to,
                       struct message *m)
{
    for (size_t i = 0; i < log->n_here; i++) {
        const struct here *h = &log->here[i];
        if (h->added_seq <= at->added_seq) {
            continue;
        }
        if (!endpoint_eq(&h->peer, to) && !append(m->added, &h->peer, h->flags)) {
            return;
        }
        at->added_seq = h->added_seq;
    }
    at->added_seq = log->seq;
}

/* Who went and came back is told as added alone. */
static void drop_returned(struct list_out *dropped, const struct list_out *added, size_t len)
{
    size_t kept = 0;
    for (size_t i = 0; i < dropped->n; i++) {
        const uint8_t *peer = dropped->peers + i * len;
        size_t j = 0;
        while (j < added->n && memcmp(added->peers + j * len, peer, len) != 0) {
            j++;
        }
        if (j == added->n) {
            memmove(dropped->peers + kept * len, peer, len);
            kept++;
        }
    }
    dropped->n = kept;
}

static void message_to_ext(const struct message *m, struct ext_pex *out)
{
    const struct list_out *a = m->added;
    const struct list_out *d = m->dropped;
    *out = (struct ext_pex){
        .added = span_of(a[0].peers, a[0].n * COMPACT4_LEN),
        .added_flags = span_of(a[0].flags, a[0].n),
        .added6 = span_of(a[1].peers, a[1].n * COMPACT6_LEN),
        .added6_flags = span_of(a[1].flags, a[1].n),
        .dropped = span_of(d[0].peers, d[0].n * COMPACT4_LEN),
        .dropped6 = span_of(d[1].peers, d[1].n * COMPACT6_LEN),
    };
}

bool pex_message(struct pex_log *log, struct pex_cursor *at, const struct endpoint *to,
                 uint64_t now_ms, struct pex_room *room, struct ext_pex *out)
{
    if (now_ms < pex_due_ms(at)) {
        return false;
    }
    if (!at->sent || at->dropped_seq < log->lost_seq) {
        at->added_seq = 0;
        at->dropped_seq = log->seq;
    }
    struct message m = {
        .added = {{.peers = room->added, .flags = room->added_flags},
                  {.peers = room->added6, .flags = room->added6_flags}},
        .dropped = {{.peers = room->dropped}, {.peers = room->dropped6}},
    };
    if (tell_dropped(log, at, to, &m)) {
        tell_added(log, at, to, &m);
    }
    drop_returned(&m.dropped[0], &m.added[0], COMPACT4_LEN);
    drop_returned(&m.dropped[1], &m.added[1], COMPACT6_LEN);
    if (m.added[0].n + m.added[1].n + m.dropped[0].n + m.dropped[1].n == 0) {
        return false;
    }
    message_to_ext(&m, out);
    at->sent = true;
    at->sent_ms = now_ms;
    return true;
}

bool pex_accept(struct pex_cursor *at, uint64_t now_ms)
{
    if (at->received && now_ms < at->received_ms + PEX_RECEIVE_MS) {
        return false;
    }
    at->received = true;
    at->received_ms = now_ms;
    return true;
}
