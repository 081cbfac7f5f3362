/* candidates.h: peers that a torrent knows and is not connected to: whom to try next, when again,
 * whom never. Client core, pure.
 *
 * Order     fewest failures, then the best source (tracker, incoming, PEX; magnet and resume count
 *           as tracker), seeds last while we seed, then least recently tried, then BEP 40.
 * Again     (failures + 1) * 60 s after a failure, itself counted; gone after
 *           CANDIDATE_FAILURES_MAX in a row.
 * Bans      by address, for bad data, until the torrent is released; at most CANDIDATE_BANS_MAX.
 * Limit     cap entries; a full list drops its worst for a better one. Memory is in proportion to
 *           what is in it: an idle torrent has none.
 * Refused   port 0, unspecified, multicast and broadcast addresses. Loopback and private addresses
 *           are taken: seedboxes have such peers.
 */
#ifndef CLIENT_CANDIDATES_H
#define CLIENT_CANDIDATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/endpoint.h"

enum {
    CANDIDATES_MAX = 1000,
    CANDIDATE_FAILURES_MAX = 3,
    CANDIDATE_RETRY_MS = 60000,
    CANDIDATE_BANS_MAX = 256,
};

enum candidate_source {
    CANDIDATE_TRACKER,
    CANDIDATE_INCOMING, /* its listening port came in its extension handshake */
    CANDIDATE_PEX,
    CANDIDATE_DHT,
    CANDIDATE_LSD,
};

struct candidates;

struct candidates *candidates_new(size_t cap);
void candidates_free(struct candidates *c);

/* A peer was heard of. False: known, refused, banned, or the list is full of better ones. self is
 * our own address and port as far as we know it (NULL: not known), for BEP 40 and to refuse us. */
bool candidates_add(struct candidates *c, const struct endpoint *peer, enum candidate_source source,
                    bool seed, const struct endpoint *self);

/* The best one that may be tried now; it is marked as being tried until one of the four below.
 * seeding: seeds are not worth trying at all. False: none. */
bool candidates_next(struct candidates *c, uint64_t now_ms, bool seeding, struct endpoint *out);
/* How many candidates_next has looked at, all its calls together. */
uint64_t candidates_n_seen(const struct candidates *c);
/* When candidates_next may have one that it does not have now; UINT64_MAX: never. It holds for the
 * seeding that candidates_next was last called with: when that changes, call it at once. */
uint64_t candidates_deadline_ms(const struct candidates *c);

void candidates_on_connected(struct candidates *c, const struct endpoint *peer);
/* It failed, or broke before it was of use. */
void candidates_on_failed(struct candidates *c, const struct endpoint *peer, uint64_t now_ms);
/* A connection that worked has ended: it may be tried again after CANDIDATE_RETRY_MS. */
void candidates_on_closed(struct candidates *c, const struct endpoint *peer, uint64_t now_ms);

/* We let go of it before it could show what it is worth: that counts for nothing. */
void candidates_on_left(struct candidates *c, const struct endpoint *peer);
/* Somebody wants peers now: whoever waits for his time may be tried at once. Failures still count. */
void candidates_retry(struct candidates *c);

void candidates_ban(struct candidates *c, const struct addr *addr);
bool candidates_is_banned(const struct candidates *c, const struct addr *addr);

/* Known and not connected; those known to be seeds among them. */
size_t candidates_count(const struct candidates *c);
size_t candidates_count_seeds(const struct candidates *c);
/* Forget all of one source (peers from PEX when a torrent turns out to be private). */
void candidates_forget(struct candidates *c, enum candidate_source source);

#endif
