/* A look-up waits for memory three times: the shard, the slot of its table, the swarm. The look-ups
 * of a scrape do not depend on each other, so each wait is begun for a whole group before the first
 * of the group goes on. For that the group's shards are locked together, in ascending order.
 */
#include "tracker/swarm.h"

#include "tracker/swarm_shard.h"

#include "base/banned.h"

enum { GROUP = 8 };

struct lookup {
    struct shard *shard;
    const struct infohash *info_hash;
    struct scrape_counts *out;
    uint32_t hash;
    uint32_t at; /* the candidate so far */
    struct swarm_table_probe probe;
};

/* Into its place among the n that are sorted by shard already. */
static void insert(struct lookup *sorted, size_t n, const struct lookup *l)
{
    while (n > 0 && sorted[n - 1].shard > l->shard) {
        sorted[n] = sorted[n - 1];
        n--;
    }
    sorted[n] = *l;
}

static bool is_first_of_shard(const struct lookup *l, size_t i)
{
    return i == 0 || l[i].shard != l[i - 1].shard;
}

static void look_up(const struct hash_seed *seed, struct lookup *l, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (is_first_of_shard(l, i)) {
            shard_lock(l[i].shard);
        }
        l[i].at = swarm_table_find(&l[i].shard->index, l[i].hash, &l[i].probe);
        if (l[i].at != SWARM_TABLE_NONE) {
            __builtin_prefetch(swarm_array_at(&l[i].shard->array, l[i].at));
        }
    }
    for (size_t i = 0; i < n; i++) {
        const struct swarm_array *array = &l[i].shard->array;
        while (l[i].at != SWARM_TABLE_NONE &&
               !infohash_eq(&swarm_array_at(array, l[i].at)->info_hash, l[i].info_hash)) {
            l[i].at = swarm_table_next(&l[i].probe);
        }
        *l[i].out = shard_counts(l[i].shard, seed, l[i].info_hash, l[i].at);
    }
    for (size_t i = 0; i < n; i++) {
        if (is_first_of_shard(l, i)) {
            shard_unlock(l[i].shard);
        }
    }
}

void swarms_scrape(struct swarms *s, const struct infohash *hashes, size_t n,
                   struct scrape_counts *out)
{
    struct lookup group[GROUP];
    for (size_t i = 0; n > 1 && i < n; i++) {
        swarms_prefetch(s, &hashes[i], PREFETCH_SHARD);
    }
    for (size_t i = 0; n > 1 && i < n && i < GROUP; i++) {
        swarms_prefetch(s, &hashes[i], PREFETCH_SLOT);
    }
    for (size_t from = 0; from < n; from += GROUP) {
        size_t len = n - from < GROUP ? n - from : GROUP;
        for (size_t i = from; i < from + len; i++) {
            if (i + GROUP < n) {
                swarms_prefetch(s, &hashes[i + GROUP], PREFETCH_SLOT);
            }
            struct lookup l = {
                .shard = shard_of(s, &hashes[i]),
                .info_hash = &hashes[i],
                .out = &out[i],
                .hash = hash_infohash(&s->cfg.seed, &hashes[i]),
            };
            insert(group, i - from, &l);
        }
        look_up(&s->cfg.seed, group, len);
    }
}
