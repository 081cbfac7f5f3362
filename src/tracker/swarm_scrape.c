/* A look-up waits for memory four times: the shard, the slot of its table, the place of the swarm,
 * the swarm. The look-ups of a scrape do not depend on each other, so each wait is begun for a whole
 * group before the first of the group goes on, and the first two for the groups behind it.
 */
#include "tracker/swarm.h"

#include "tracker/swarm_shard.h"

#include "base/banned.h"

enum {
    GROUP = SWARM_LOCKS_MAX,
    RING = 3 * GROUP, /* one group is looked up, one waits for its slots, one for its shards */
};

struct lookup {
    struct shard *shard;
    uint32_t hash;
    uint32_t at; /* the candidate so far */
    struct swarm_table_probe probe;
};

struct pipeline {
    struct swarms *swarms;
    const struct infohash *hashes;
    size_t n;
    size_t n_begun;   /* wait for their shards, or did */
    size_t n_slotted; /* wait for their slots, or did */
    struct lookup ring[RING];
};

static void begin_until(struct pipeline *p, size_t n)
{
    for (; p->n_begun < n && p->n_begun < p->n; p->n_begun++) {
        struct lookup *l = &p->ring[p->n_begun % RING];
        l->shard = shard_of(p->swarms, &p->hashes[p->n_begun]);
        shard_prefetch(l->shard);
    }
}

static void slot_until(struct pipeline *p, size_t n)
{
    for (; p->n_slotted < n && p->n_slotted < p->n; p->n_slotted++) {
        struct lookup *l = &p->ring[p->n_slotted % RING];
        l->hash = hash_infohash(&p->swarms->cfg.seed, &p->hashes[p->n_slotted]);
        swarm_table_prefetch(&l->shard->index, l->hash);
    }
}

/* l: the group's third of the ring. */
static void look_up(const struct hash_seed *seed, struct lookup *l, size_t n,
                    const struct infohash *hashes, struct scrape_counts *out)
{
    struct swarm_lock *locks[GROUP];
    for (size_t i = 0; i < n; i++) {
        locks[i] = &l[i].shard->lock;
    }
    swarm_lock_take_all(locks, n);
    for (size_t i = 0; i < n; i++) {
        l[i].at = swarm_table_find(&l[i].shard->index, l[i].hash, &l[i].probe);
        if (l[i].at != SWARM_TABLE_NONE) {
            swarm_array_prefetch_at(&l[i].shard->array, l[i].at);
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (l[i].at != SWARM_TABLE_NONE) {
            __builtin_prefetch(swarm_array_at(&l[i].shard->array, l[i].at));
        }
    }
    for (size_t i = 0; i < n; i++) {
        l[i].at = shard_match(l[i].shard, &hashes[i], l[i].at, &l[i].probe);
        out[i] = shard_counts(l[i].shard, seed, &hashes[i], l[i].at);
    }
    swarm_lock_release_all(locks, n);
}

void swarms_scrape(struct swarms *s, const struct infohash *hashes, size_t n,
                   struct scrape_counts *out)
{
    struct pipeline p;
    p.swarms = s;
    p.hashes = hashes;
    p.n = n;
    p.n_begun = p.n_slotted = 0;
    begin_until(&p, 2 * GROUP);
    slot_until(&p, GROUP);
    for (size_t from = 0; from < n; from += GROUP) {
        size_t len = n - from < GROUP ? n - from : GROUP;
        begin_until(&p, from + 3 * GROUP);
        slot_until(&p, from + 2 * GROUP);
        look_up(&s->cfg.seed, &p.ring[from % RING], len, hashes + from, out + from);
    }
}
