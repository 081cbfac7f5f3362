/* population.h: the torrents and peers that a benchmark pretends to be. Pure: all of it follows
 * from the numbers in struct population, so that two runs, and two trackers, see the same swarms.
 *
 * Model     peer i (0 .. peers-1) shares torrent i % torrents. It announces from source address
 *           i % sources (127.77.x.y) with port 1 + i / sources: address and port name one peer,
 *           also for a tracker that knows nothing but the address a datagram came from.
 * Seeders   seeders_percent of each torrent's peers, spread evenly; which ones never changes.
 * Limits    peers <= sources * 65535, sources <= SOURCES_MAX.
 */
#ifndef BENCH_POPULATION_H
#define BENCH_POPULATION_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"
#include "base/span.h"
#include "proto/announce.h"

enum {
    SOURCES_MAX = 65000,
    SOURCES_DEFAULT = 251, /* a prime, so that the peers of a torrent have different addresses */
};

struct population {
    uint32_t torrents;
    uint32_t peers;
    uint32_t sources;
    uint32_t seeders_percent;
};

/* False with a static *why when the numbers do not fit the limits. */
bool population_check(const struct population *p, const char **why);

/* 20 bytes as random as a digest, the same for the same number in every run. */
void population_hash(struct infohash *out, uint32_t torrent);

static inline uint32_t population_torrent(const struct population *p, uint32_t peer)
{
    return peer % p->torrents;
}

static inline uint32_t population_source(const struct population *p, uint32_t peer)
{
    return peer % p->sources;
}

static inline uint16_t population_port(const struct population *p, uint32_t peer)
{
    return (uint16_t)(1 + peer / p->sources);
}

struct in_addr population_source_addr(uint32_t source);

bool population_is_seeder(const struct population *p, uint32_t peer);

/* What this peer announces. key and from stay empty. */
void population_announce(const struct population *p, uint32_t peer, enum announce_event event,
                         int32_t numwant, struct announce_req *out);

/* What a compact peer list says of the asking peer's swarm. */
struct peers_seen {
    uint32_t self;    /* the asking peer itself */
    uint32_t foreign; /* not a peer of this torrent at all */
};

/* compact: COMPACT4_LEN bytes a peer. */
struct peers_seen population_look(const struct population *p, uint32_t asking_peer,
                                  struct span compact);

#endif
