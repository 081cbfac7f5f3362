/* How peers go that nobody stopped: their torrent is forgotten, or the sweep finds them.
 *
 * Nobody waits for a swarm of any size. It is taken out of its shard whole, and what it had is freed
 * without the lock, by the sweep a few blocks a step. Peers that expire are removed one by one, so
 * many a step; so is what lies thinly put together (swarm_memory.h).
 */
#include "tracker/swarm.h"

#include <sched.h>

#include "tracker/swarm_shard.h"

#include "base/banned.h"

enum {
    SWEEP_PEERS = 128,    /* one step looks at so many peers */
    SWEEP_SWARM_COST = 4, /* a swarm costs as much as so many peers */
    BLOCK_COST = 16,      /* and so does a block that is freed or perhaps moved */
    FORGET_BLOCKS = 256,  /* freed at once; a quarter of a millisecond */
};

/* ---- forget ---------------------------------------------------------------------------------- */

/* A thread that has used up its time is stopped wherever it is: in the memory's lock, most likely, for
 * which workers would wait then. So it gives its processor away before that, without the lock. */
static void free_forgotten(struct swarm_memory *memory, struct swarm *gone)
{
    uint32_t n = FORGET_BLOCKS;
    while (!swarm_array_free(memory, gone, &n)) {
        (void)sched_yield();
        n = FORGET_BLOCKS;
    }
}

size_t swarms_forget(struct swarms *s, const struct infohash *hash)
{
    struct shard *sh = shard_of(s, hash);
    struct swarm gone = {.completed = 0};
    size_t n = 0;
    shard_lock(sh);
    uint32_t at = shard_find(sh, hash, hash_infohash(&s->cfg.seed, hash));
    if (at != SWARM_TABLE_NONE) {
        n = shard_take(s, sh, at, &gone);
    }
    shard_unlock(sh);
    free_forgotten(sh->array.memory, &gone);
    return n;
}

/* ---- sweep ----------------------------------------------------------------------------------- */

struct sweep_rule {
    uint32_t cutoff_s;
    swarms_keep keep;
    void *ctx;
};

/* Works on the swarm at position at from where the sweep paused, if it did. Returns false when the
 * budget ended inside it. *gone: the swarm lost its last peer. */
static bool sweep_swarm(struct swarms *s, struct shard *sh, uint32_t at, uint32_t cutoff_s,
                        int *budget, struct swarms_swept *out)
{
    struct sweep *w = &s->sweep;
    struct swarm *m = swarm_array_at(&sh->array, at);
    uint32_t oldest_s = UINT32_MAX;
    bool whole = !(w->paused && infohash_eq(&w->hash, &m->info_hash));
    if (whole) {
        w->family = 0;
        w->peer = UINT32_MAX;
    }
    w->paused = false;
    for (; w->family < 2; w->family++, w->peer = UINT32_MAX) {
        const struct peers *f = &m->family[w->family];
        for (w->peer = min_u32(w->peer, f->n); w->peer > 0; w->peer--) {
            if ((*budget)-- <= 0) {
                w->paused = true;
                w->hash = m->info_hash;
                return false;
            }
            uint32_t seen_s = swarm_array_cold(f, w->family == 1, w->peer - 1)->last_seen_s;
            if (seen_s >= cutoff_s) {
                oldest_s = min_u32(oldest_s, seen_s);
                continue;
            }
            out->expired++;
            if (shard_remove_peer(s, sh, at, w->family == 1, w->peer - 1)) {
                return true;
            }
        }
    }
    /* In a swarm that was swept in pieces, a peer may have been moved past the sweep: the old
     * bound stays, so that the next round looks again. */
    if (whole) {
        m->oldest_s = oldest_s;
    }
    return true;
}

/* Frees what the swarm has that was taken out last. Returns false when the budget ended. */
static bool free_gone(struct sweep *w, int *budget)
{
    if (w->gone_memory != NULL) {
        uint32_t n = *budget > 0 ? (uint32_t)*budget / BLOCK_COST : 0;
        uint32_t before = n;
        bool done = swarm_array_free(w->gone_memory, &w->gone, &n);
        *budget -= (int)(before - n) * BLOCK_COST;
        w->gone_memory = done ? NULL : w->gone_memory;
    }
    return w->gone_memory == NULL;
}

/* Goes through the shard. Returns false when the budget ended. */
static bool sweep_shard(struct swarms *s, struct shard *sh, const struct sweep_rule *rule,
                        int *budget, struct swarms_swept *out)
{
    struct sweep *w = &s->sweep;
    if (!w->inside || w->swarm > sh->array.n) {
        w->swarm = sh->array.n;
        w->inside = true;
    }
    for (; w->swarm > 0; w->swarm--, *budget -= SWEEP_SWARM_COST) {
        uint32_t at = w->swarm - 1;
        const struct swarm *m = swarm_array_at(&sh->array, at);
        if (*budget <= 0 || !free_gone(w, budget)) {
            return false;
        }
        if (rule->keep != NULL && !rule->keep(rule->ctx, &m->info_hash)) {
            out->forgotten += shard_take(s, sh, at, &w->gone);
            w->gone_memory = sh->array.memory;
        } else if (m->oldest_s < rule->cutoff_s &&
                   !sweep_swarm(s, sh, at, rule->cutoff_s, budget, out)) {
            return false;
        }
    }
    return true;
}

/* Goes through the shard once more. What is missed because it was moved meanwhile has its turn in
 * the next round. Returns false when the budget ended. */
static bool settle_shard(struct sweep *w, struct shard *sh, int *budget)
{
    struct swarm_array *array = &sh->array;
    w->swarm = min_u32(w->swarm, array->n);
    for (; w->swarm > 0; w->swarm--, w->unit = UINT32_MAX) {
        uint32_t at = w->swarm - 1;
        w->unit = min_u32(w->unit, swarm_array_units(array, at));
        for (; w->unit > 0; w->unit--, *budget -= BLOCK_COST) {
            if (*budget <= 0) {
                return false;
            }
            swarm_array_settle(array, at, w->unit - 1);
        }
    }
    swarm_table_settle(&sh->index);
    return true;
}

bool swarms_sweep(struct swarms *s, uint32_t cutoff_s, swarms_keep keep, void *ctx,
                  struct swarms_swept *out)
{
    struct sweep *w = &s->sweep;
    struct shard *sh = &s->shard[w->shard];
    struct sweep_rule rule = {cutoff_s, keep, ctx};
    int budget = SWEEP_PEERS;
    if (!free_gone(w, &budget)) {
        return false;
    }
    shard_lock(sh);
    bool done = w->settling || sweep_shard(s, sh, &rule, &budget, out);
    if (done && !w->settling) {
        w->settling = swarm_memory_is_sparse(sh->array.memory);
        w->swarm = sh->array.n;
        w->unit = UINT32_MAX;
    }
    if (w->settling) {
        done = settle_shard(w, sh, &budget);
        w->settling = !done;
    }
    shard_unlock(sh);
    if (!done) {
        return false;
    }
    if (w->shard < SWARM_MEMORIES) { /* each memory once a round, not all in one step */
        swarm_memory_trim(&s->memories[w->shard]);
    }
    w->inside = w->paused = false;
    w->shard = (w->shard + 1) % SWARM_SHARDS;
    return w->shard == 0;
}
