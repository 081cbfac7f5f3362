/* Every walk through a shard goes from the last position to the first. Removing moves the last into
 * the gap, so what the walk has not reached yet can only come nearer: the lock may be let go in the
 * middle, and nothing that stays is missed. What was moved may be met twice.
 */
#include "tracker/swarm_view.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "tracker/swarm_shard.h"

#include "base/banned.h"

enum {
    SWARMS_A_LOCK = 256,
    PEERS_A_LOCK = 256,
    SWARMS_A_CALL = 8192, /* looked at by one swarm_view_list, and sorted */
    PEERS_A_CALL = 1024,  /* looked at by one swarm_view_find */
    SWARM_COST = 4,       /* looking at a swarm costs as much as so many peers */
    EMPTY_SHARD_COST = 8,
    AHEAD = 4, /* swarms between two steps of a prefetch */
};

/* In *at of swarm_view_peers: the IPv6 peers begin here. */
static const size_t first_v6 = (size_t)1 << 40;

void swarm_view_totals(struct swarms *s, struct tracker_totals *out)
{
    *out = (struct tracker_totals){.memory_len = sizeof *s};
    for (size_t i = 0; i < SWARM_SHARDS; i++) {
        struct shard *sh = &s->shard[i];
        shard_lock(sh);
        out->torrents += sh->array.n;
        out->seeders += sh->seeders;
        out->leechers += sh->peers[0] + sh->peers[1] - sh->seeders;
        out->peers4 += sh->peers[0];
        out->peers6 += sh->peers[1];
        out->completed += sh->completed;
        out->memory_len += (sh->resting.n + sh->untaken.n) * sizeof(struct swarm_count) +
                           swarm_table_len(&sh->resting.index) +
                           swarm_table_len(&sh->untaken.index);
        shard_unlock(sh);
    }
    for (size_t i = 0; i < SWARM_MEMORIES; i++) {
        out->memory_len += swarm_memory_held(&s->memories[i]);
    }
}

int swarm_view_torrent(struct swarms *s, const struct infohash *hash, struct torrent_row *out)
{
    struct shard *sh = shard_of(s, hash);
    shard_lock(sh);
    uint32_t at = shard_find(sh, hash, hash_infohash(&s->cfg.seed, hash));
    if (at != SWARM_TABLE_NONE) {
        *out = (struct torrent_row){*hash, swarm_counts_of(swarm_array_at(&sh->array, at))};
    }
    shard_unlock(sh);
    return at == SWARM_TABLE_NONE ? ERR_NOT_FOUND : 0;
}

/* ---- torrents in order ----------------------------------------------------------------------- */

/* The smallest rows of a shard: up to keep of them, in a buffer of twice as many. */
struct smallest {
    struct torrent_row *rows;
    size_t n;
    size_t keep;
    bool full; /* rows[keep - 1] is a bound: what is above it is not among the smallest */
};

static int compare_rows(const void *x, const void *y)
{
    return memcmp(x, y, sizeof(struct infohash));
}

_Static_assert(offsetof(struct torrent_row, info_hash) == 0, "compare_rows compares the hash");

/* Sorts, drops what is there twice, and cuts. Returns whether anything was cut. */
static bool smallest_settle(struct smallest *b)
{
    size_t n = 0;
    qsort(b->rows, b->n, sizeof *b->rows, compare_rows);
    for (size_t i = 0; i < b->n; i++) {
        if (n == 0 || compare_rows(&b->rows[i], &b->rows[n - 1]) != 0) {
            b->rows[n++] = b->rows[i];
        }
    }
    bool cut = n > b->keep;
    b->n = cut ? b->keep : n;
    b->full = b->full || cut;
    return b->full;
}

static void smallest_add(struct smallest *b, const struct torrent_row *row)
{
    if (b->full && compare_rows(row, &b->rows[b->keep - 1]) > 0) {
        return;
    }
    if (b->n == b->keep * 2) {
        smallest_settle(b);
    }
    b->rows[b->n++] = *row;
}

/* Returns the swarms that were looked at. They are copied under the lock, and sorted outside. */
static size_t collect(struct shard *sh, const struct infohash *after, struct smallest *b)
{
    struct torrent_row rows[SWARMS_A_LOCK];
    size_t looked = 0;
    uint32_t at = UINT32_MAX;
    while (at > 0) {
        size_t n = 0;
        shard_lock(sh);
        at = at < sh->array.n ? at : sh->array.n;
        for (int i = 0; i < SWARMS_A_LOCK && at > 0; i++, looked++) {
            const struct swarm *m = swarm_array_at(&sh->array, --at);
            if (after == NULL || memcmp(&m->info_hash, after, sizeof *after) > 0) {
                rows[n++] = (struct torrent_row){m->info_hash, swarm_counts_of(m)};
            }
        }
        shard_unlock(sh);
        for (size_t i = 0; i < n; i++) {
            smallest_add(b, &rows[i]);
        }
    }
    return looked;
}

static uint32_t shard_count(struct shard *sh)
{
    shard_lock(sh);
    uint32_t n = sh->array.n;
    shard_unlock(sh);
    return n;
}

static void next_shard(struct torrent_cursor *c)
{
    c->inside = false;
    c->shard++;
    c->done = c->shard >= SWARM_SHARDS;
}

/* The rows of the cursor's shard from where it is, at most cap; moves the cursor on. */
static size_t list_shard(struct swarms *s, struct torrent_cursor *c, struct torrent_row *rows,
                         size_t cap, size_t *looked)
{
    struct shard *sh = &s->shard[c->shard];
    uint32_t n_swarms = shard_count(sh);
    *looked += EMPTY_SHARD_COST;
    if (n_swarms == 0 || (!c->inside && c->skip >= n_swarms)) {
        c->skip -= n_swarms;
        next_shard(c);
        return 0;
    }
    size_t skip = c->skip < n_swarms ? (size_t)c->skip : n_swarms;
    struct smallest b = {.keep = cap + skip < n_swarms ? cap + skip : n_swarms};
    b.rows = mem_array(b.keep * 2, sizeof *b.rows);
    *looked += collect(sh, c->inside ? &c->last : NULL, &b);
    bool more = smallest_settle(&b);
    skip = skip < b.n ? skip : b.n;
    size_t n = b.n - skip < cap ? b.n - skip : cap;
    memcpy(rows, b.rows + skip, n * sizeof *rows);
    c->skip -= skip;
    more = more || n < b.n - skip;
    if (more) {
        c->inside = true;
        c->last = b.rows[skip + n - 1].info_hash;
    } else {
        next_shard(c);
    }
    free(b.rows);
    return n;
}

size_t swarm_view_list(struct swarms *s, struct torrent_cursor *cursor, struct torrent_row *rows,
                       size_t cap)
{
    size_t n = 0;
    size_t looked = 0;
    while (!cursor->done && n < cap && looked < SWARMS_A_CALL) {
        if (n > 0 && shard_count(&s->shard[cursor->shard]) > cap - n) {
            break; /* to look at all of them for a part is what the next call does better */
        }
        n += list_shard(s, cursor, rows + n, cap - n, &looked);
    }
    return n;
}

/* ---- peers ----------------------------------------------------------------------------------- */

/* Rows filled under a lock, and the ids of their keys, to be resolved when it is free again. */
struct peer_batch {
    struct peer_row *rows;
    size_t n;
    size_t cap;
    uint32_t key_ids[PEERS_A_LOCK];
    const struct swarm_view_names *names;
};

static void batch_add(struct peer_batch *b, const struct swarm *m, bool v6, uint32_t i)
{
    const struct peers *f = &m->family[v6];
    const struct peer_cold *cold = swarm_array_cold(f, v6, i);
    const uint8_t *hot = swarm_array_hot(f, v6, i);
    b->key_ids[b->n] = cold->key_id;
    b->rows[b->n++] = (struct peer_row){
        .info_hash = m->info_hash,
        .endpoint = v6 ? compact_read6(hot) : compact_read4(hot),
        .peer_id = cold->peer_id,
        .uploaded = cold->uploaded,
        .downloaded = cold->downloaded,
        .left = cold->left,
        .event = (enum announce_event)cold->event,
        .updated_unix_ms = b->names->unix_offset_ms + (int64_t)cold->last_seen_s * 1000,
    };
}

static void batch_name(struct peer_batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        const char *text = b->names->key_text(b->names->ctx, b->key_ids[i]);
        if (text != NULL) {
            memcpy(b->rows[i].key, text, strnlen(text, ACCESS_KEY_LEN));
        }
    }
}

static struct peer_batch batch_of(const struct swarm_view_names *names, struct peer_row *rows,
                                  size_t cap)
{
    return (struct peer_batch){
        .rows = rows,
        .cap = cap < PEERS_A_LOCK ? cap : PEERS_A_LOCK,
        .names = names,
    };
}

static void add_from(struct peer_batch *b, const struct swarm *m, size_t *at)
{
    while (b->n < b->cap && *at < m->family[0].n) {
        batch_add(b, m, false, (uint32_t)(*at)++);
    }
    if (b->n < b->cap && *at < first_v6) {
        *at = first_v6;
    }
    while (b->n < b->cap && *at - first_v6 < m->family[1].n) {
        batch_add(b, m, true, (uint32_t)((*at)++ - first_v6));
    }
}

size_t swarm_view_peers(struct swarms *s, const struct swarm_view_names *names,
                        const struct infohash *hash, size_t *at, struct peer_row *rows, size_t cap)
{
    struct shard *sh = shard_of(s, hash);
    uint32_t h = hash_infohash(&s->cfg.seed, hash);
    size_t n = 0;
    bool more = true;
    while (n < cap && more) {
        struct peer_batch b = batch_of(names, rows + n, cap - n);
        shard_lock(sh);
        uint32_t swarm = shard_find(sh, hash, h);
        if (swarm != SWARM_TABLE_NONE) {
            add_from(&b, swarm_array_at(&sh->array, swarm), at);
        }
        shard_unlock(sh);
        batch_name(&b);
        more = b.n == b.cap;
        n += b.n;
    }
    return n;
}

static bool matches(const struct swarm_view_filter *filter, const struct swarm *m, bool v6,
                    uint32_t i)
{
    const struct peer_filter *want = filter->filter;
    const struct peers *f = &m->family[v6];
    if (want->by_ip && (want->ip.v6 != v6 ||
                        memcmp(swarm_array_hot(f, v6, i), want->ip.b, addr_len(&want->ip)) != 0)) {
        return false;
    }
    const struct peer_cold *cold = swarm_array_cold(f, v6, i);
    if (want->by_peer_id && memcmp(&cold->peer_id, &want->peer_id, sizeof want->peer_id) != 0) {
        return false;
    }
    return !want->by_key || cold->key_id == filter->key_id;
}

/* Both families of a swarm as one row of positions: IPv4 first. */
static void find_in_swarm(struct torrent_cursor *c, const struct swarm *m,
                          const struct swarm_view_filter *filter, struct peer_batch *b, int *budget)
{
    uint64_t n4 = m->family[0].n;
    uint64_t all = n4 + m->family[1].n;
    c->peer = c->peer < all ? c->peer : all;
    for (; c->peer > 0 && *budget > 0 && b->n < b->cap; c->peer--, (*budget)--) {
        bool v6 = c->peer > n4;
        uint32_t i = (uint32_t)(c->peer - 1 - (v6 ? n4 : 0));
        if (matches(filter, m, v6, i)) {
            batch_add(b, m, v6, i);
        }
    }
}

/* The walk is about to look at the swarm below n: what it will read a few swarms later is asked for,
 * in the order in which one leads to the other. */
static void prefetch_below(const struct swarm_array *a, uint32_t n)
{
    if (n > 3 * AHEAD) {
        swarm_array_prefetch_at(a, n - 1 - 3 * AHEAD);
        __builtin_prefetch(swarm_array_at(a, n - 1 - 2 * AHEAD));
        swarm_array_prefetch_peers(&swarm_array_at(a, n - 1 - AHEAD)->family[0]);
        swarm_array_prefetch_peers(&swarm_array_at(a, n - 1 - AHEAD)->family[1]);
    }
}

/* One lock's worth; false when the shard is done. */
static bool find_some(struct shard *sh, struct torrent_cursor *c,
                      const struct swarm_view_filter *filter, struct peer_batch *b, int *looked)
{
    int budget = PEERS_A_LOCK * 2;
    *looked += budget;
    if (!c->inside) {
        c->inside = true;
        c->swarm = UINT32_MAX;
        c->peer = UINT64_MAX;
    }
    if (c->swarm > sh->array.n) {
        c->swarm = sh->array.n;
        c->peer = UINT64_MAX;
    }
    while (c->swarm > 0 && budget > 0 && b->n < b->cap) {
        const struct swarm *m = swarm_array_at(&sh->array, c->swarm - 1);
        if (c->peer != UINT64_MAX && !infohash_eq(&c->last, &m->info_hash)) {
            c->peer = UINT64_MAX; /* another swarm took this position */
        }
        c->last = m->info_hash;
        budget -= SWARM_COST;
        prefetch_below(&sh->array, c->swarm);
        find_in_swarm(c, m, filter, b, &budget);
        if (c->peer == 0) {
            c->peer = UINT64_MAX;
            c->swarm--;
        }
    }
    *looked -= budget;
    return c->swarm > 0;
}

size_t swarm_view_find(struct swarms *s, const struct swarm_view_names *names,
                       struct torrent_cursor *cursor, const struct swarm_view_filter *filter,
                       struct peer_row *rows, size_t cap)
{
    size_t n = 0;
    int looked = 0;
    while (!cursor->done && n < cap && looked < PEERS_A_CALL) {
        struct shard *sh = &s->shard[cursor->shard];
        struct peer_batch b = batch_of(names, rows + n, cap - n);
        shard_lock(sh);
        bool more = find_some(sh, cursor, filter, &b, &looked);
        shard_unlock(sh);
        batch_name(&b);
        n += b.n;
        looked += EMPTY_SHARD_COST;
        if (!more) {
            next_shard(cursor);
        }
    }
    return n;
}
