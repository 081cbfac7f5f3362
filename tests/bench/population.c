#include "population.h"

#include "base/cursor.h"
#include "base/rng.h"

#include "base/banned.h"

#define SOURCE_NET UINT32_C(0x7f4d0000) /* 127.77.0.0 */

enum { LEFT_OF_LEECHER = 1 << 30 };

bool population_check(const struct population *p, const char **why)
{
    if (p->torrents == 0 || p->peers == 0) {
        *why = "there must be at least one torrent and one peer";
    } else if (p->sources == 0 || p->sources > SOURCES_MAX) {
        *why = "sources must be 1 to 65000";
    } else if ((p->peers - 1) / p->sources >= UINT16_MAX) {
        *why = "more peers than 65535 ports on each source address";
    } else if (p->seeders_percent > 100) {
        *why = "seeders must be 0 to 100 percent";
    } else {
        return true;
    }
    return false;
}

void population_hash(struct infohash *out, uint32_t torrent)
{
    struct rng rng = {.state = (uint64_t)torrent << 32};
    uint64_t words[3] = {rng_next(&rng), rng_next(&rng), rng_next(&rng)};
    memcpy(out->b, words, sizeof out->b);
}

struct in_addr population_source_addr(uint32_t source)
{
    return (struct in_addr){.s_addr = htonl(SOURCE_NET + 1 + source)};
}

bool population_is_seeder(const struct population *p, uint32_t peer)
{
    /* The torrent's number shifts the pattern: swarms of one or two peers have seeders too. */
    uint64_t place = (uint64_t)(peer / p->torrents) + population_torrent(p, peer);
    return (place + 1) * p->seeders_percent / 100 > place * p->seeders_percent / 100;
}

static void peer_id_of(struct peer_id *out, uint32_t peer)
{
    static const char digits[] = "0123456789abcdef";

    memcpy(out->b, "-BN0001-0000", 12);
    for (int i = 0; i < 8; i++) {
        out->b[19 - i] = (uint8_t)digits[(peer >> (4 * i)) & 15];
    }
}

void population_announce(const struct population *p, uint32_t peer, enum announce_event event,
                         int32_t numwant, struct announce_req *out)
{
    bool seeder = population_is_seeder(p, peer);

    *out = (struct announce_req){
        .uploaded = peer,
        .downloaded = seeder ? LEFT_OF_LEECHER : 0,
        .left = seeder ? 0 : LEFT_OF_LEECHER,
        .event = event,
        .numwant = numwant,
        .port = population_port(p, peer),
        .compact = true,
    };
    population_hash(&out->info_hash, population_torrent(p, peer));
    peer_id_of(&out->peer_id, peer);
}

struct peers_seen population_look(const struct population *p, uint32_t asking_peer,
                                  struct span compact)
{
    struct peers_seen seen = {0, 0};
    struct rd r = rd_over(compact);

    while (rd_left(&r) >= COMPACT4_LEN) {
        uint32_t source = rd_u32(&r) - SOURCE_NET - 1;
        uint32_t port = rd_u16(&r);
        uint64_t peer = (uint64_t)(port - 1) * p->sources + source;
        if (source >= p->sources || port == 0 || peer >= p->peers ||
            peer % p->torrents != population_torrent(p, asking_peer)) {
            seen.foreign++;
        } else if (peer == asking_peer) {
            seen.self++;
        }
    }
    return seen;
}
