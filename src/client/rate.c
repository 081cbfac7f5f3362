/* Meters, buckets and the turns of the limiter.
 *
 * A bucket fills with time and is emptied by what was moved, never by what was promised: a member
 * that gets a turn and has nothing to move costs the others nothing. A grant may be larger than
 * what is in the bucket. The debt is paid before the next grant, so that a limit holds on average
 * while blocks still move in large parts.
 *
 * The grant is what keeps slow limits exact: it is a tenth of a second's worth of the slowest limit
 * on the way, at least GRANT_MIN and at most LIMITER_QUANTUM. A whole block at 1 KiB/s would be
 * sixteen seconds of debt.
 *
 * Turns
 *
 *      limiter.waiting:  torrent A -> torrent B -> torrent C      (only those with members waiting)
 *                           |            |            |
 *                         peers        peers        peers         (in the order they came)
 *
 *   The first torrent whose own bucket is ready gives its first peer a turn and goes to the end of
 *   the line; the peer comes back at the end of its torrent's line when it asks again. A torrent
 *   that is held up by its own limit keeps its place.
 *
 * Invariants
 *   A group is in limiter.waiting exactly while it has members waiting.
 *   A member that has the turn does not wait.
 */
#include "client/rate.h"

#include "base/assert.h"
#include "base/mem.h"

#include "base/banned.h"

enum {
    MS_PER_S = 1000,
    TOKENS_PER_BYTE = 1000,
    METER_SLOTS = RATE_WINDOW_S + 1,
    BURST_PER_S = 10,
    GRANT_MIN = 256,
};

/* More than any line: what is above is treated as this, so that no sum overflows. */
#define BYTES_MAX (UINT64_C(1) << 50)

void rate_meter_add(struct rate_meter *m, uint64_t n, uint64_t now_ms)
{
    uint64_t second = now_ms / MS_PER_S;
    if (m->started_ms == 0 && m->second == 0 && m->slots[0] == 0) {
        m->started_ms = now_ms;
        m->second = second;
    }
    uint64_t passed = second > m->second ? second - m->second : 0;
    for (uint64_t i = 1; i <= passed && i <= METER_SLOTS; i++) {
        m->slots[(m->second + i) % METER_SLOTS] = 0;
    }
    m->second += passed;
    m->slots[m->second % METER_SLOTS] += n;
}

uint64_t rate_meter_bps(const struct rate_meter *m, uint64_t now_ms)
{
    uint64_t second = now_ms / MS_PER_S;
    uint64_t passed = second > m->second ? second - m->second : 0;
    uint64_t sum = 0;
    for (uint64_t back = passed; back <= RATE_WINDOW_S; back++) {
        uint64_t age = back - passed;
        if (age <= m->second) {
            sum += m->slots[(m->second - age) % METER_SLOTS];
        }
    }
    uint64_t window_ms = RATE_WINDOW_S * MS_PER_S + now_ms % MS_PER_S;
    uint64_t known_ms = now_ms > m->started_ms ? now_ms - m->started_ms : 0;
    if (window_ms > known_ms) {
        window_ms = known_ms;
    }
    /* A young meter would make a high rate of a single block. */
    if (window_ms < MS_PER_S) {
        window_ms = MS_PER_S;
    }
    return sum * MS_PER_S / window_ms;
}

static int64_t bucket_cap(const struct bucket *b)
{
    uint64_t bytes = b->rate_bps / BURST_PER_S;
    if (bytes < BUCKET_BURST_MIN) {
        bytes = BUCKET_BURST_MIN;
    }
    return (int64_t)(bytes * TOKENS_PER_BYTE);
}

static void bucket_fill(struct bucket *b, uint64_t now_ms)
{
    if (now_ms <= b->filled_ms) {
        return;
    }
    uint64_t passed_ms = now_ms - b->filled_ms;
    b->filled_ms = now_ms;
    int64_t cap = bucket_cap(b);
    if (b->rate_bps == 0 || b->tokens >= cap) {
        return;
    }
    uint64_t missing = (uint64_t)(cap - b->tokens);
    if (passed_ms > missing / b->rate_bps) {
        b->tokens = cap;
    } else {
        b->tokens += (int64_t)(passed_ms * b->rate_bps);
    }
}

void bucket_set_rate(struct bucket *b, uint64_t rate_bps, uint64_t now_ms)
{
    bool was_limited = b->rate_bps > 0;
    bucket_fill(b, now_ms);
    b->rate_bps = rate_bps < BYTES_MAX ? rate_bps : BYTES_MAX;
    int64_t cap = bucket_cap(b);
    if (!was_limited) {
        b->tokens = 0;
    } else if (b->tokens > cap) {
        b->tokens = cap;
    } else if (b->tokens < -cap) {
        /* Debt of a fast rate would stop a slow one for minutes. */
        b->tokens = -cap;
    }
    b->filled_ms = now_ms;
}

size_t bucket_room(struct bucket *b, uint64_t now_ms)
{
    if (b->rate_bps == 0) {
        return SIZE_MAX;
    }
    bucket_fill(b, now_ms);
    return b->tokens < TOKENS_PER_BYTE ? 0 : (size_t)(b->tokens / TOKENS_PER_BYTE);
}

void bucket_take(struct bucket *b, size_t n, uint64_t now_ms)
{
    if (b->rate_bps == 0) {
        return;
    }
    bucket_fill(b, now_ms);
    int64_t floor = -(int64_t)(BYTES_MAX * TOKENS_PER_BYTE);
    int64_t taken = n < BYTES_MAX ? (int64_t)n * TOKENS_PER_BYTE : -floor;
    b->tokens = b->tokens - taken < floor ? floor : b->tokens - taken;
}

uint64_t bucket_ready_ms(struct bucket *b, uint64_t now_ms)
{
    if (bucket_room(b, now_ms) > 0) {
        return now_ms;
    }
    uint64_t missing = (uint64_t)(TOKENS_PER_BYTE - b->tokens);
    return now_ms + missing / b->rate_bps + (missing % b->rate_bps != 0);
}

/* What may be moved at once when it is allowed at all, debt or not. */
static size_t grant_len(const struct limiter_group *g)
{
    uint64_t slowest = g->limiter->bucket.rate_bps;
    if (slowest == 0 || (g->bucket.rate_bps > 0 && g->bucket.rate_bps < slowest)) {
        slowest = g->bucket.rate_bps;
    }
    uint64_t len = slowest / BURST_PER_S;
    if (slowest == 0 || len > LIMITER_QUANTUM) {
        return LIMITER_QUANTUM;
    }
    return len < GRANT_MIN ? GRANT_MIN : (size_t)len;
}

void limiter_init(struct limiter *l)
{
    *l = (struct limiter){.turn = NULL};
    list_init(&l->waiting);
}

void limiter_group_init(struct limiter_group *g, struct limiter *l)
{
    *g = (struct limiter_group){.limiter = l};
    list_init(&g->waiting);
}

void limiter_group_release(struct limiter_group *g)
{
    ASSERT(list_is_empty(&g->waiting) && !list_is_linked(&g->node));
    ASSERT(g->limiter->turn == NULL || g->limiter->turn->group != g);
}

void limiter_member_init(struct limiter_member *m, struct limiter_group *g)
{
    *m = (struct limiter_member){.group = g};
}

static void stop_waiting(struct limiter_member *m)
{
    list_remove(&m->node);
    if (list_is_empty(&m->group->waiting)) {
        list_remove(&m->group->node);
    }
}

static void end_turn(struct limiter_member *m)
{
    struct limiter *l = m->group->limiter;
    if (l->turn == m) {
        l->turn = NULL;
        l->turn_left = 0;
    }
}

void limiter_member_release(struct limiter_member *m)
{
    end_turn(m);
    if (limiter_is_waiting(m)) {
        stop_waiting(m);
    }
}

size_t limiter_room(struct limiter_member *m, uint64_t now_ms)
{
    struct limiter_group *g = m->group;
    struct limiter *l = g->limiter;
    bool shared_limit = l->bucket.rate_bps > 0;
    if (!shared_limit && g->bucket.rate_bps == 0) {
        return SIZE_MAX;
    }
    if (l->turn == m) {
        return l->turn_left;
    }
    /* Another torrent that waits for its own limit takes nothing from us when there is no other. */
    if (!list_is_empty(shared_limit ? &l->waiting : &g->waiting)) {
        return 0;
    }
    size_t room = bucket_room(&l->bucket, now_ms);
    size_t group_room = bucket_room(&g->bucket, now_ms);
    if (group_room < room) {
        room = group_room;
    }
    size_t grant = grant_len(g);
    return room == 0 || room > grant ? room : grant;
}

void limiter_spend(struct limiter_member *m, size_t n, uint64_t now_ms)
{
    struct limiter *l = m->group->limiter;
    bucket_take(&m->group->bucket, n, now_ms);
    bucket_take(&l->bucket, n, now_ms);
    if (l->turn == m) {
        if (n >= l->turn_left) {
            end_turn(m);
        } else {
            l->turn_left -= n;
        }
    }
}

void limiter_wait(struct limiter_member *m)
{
    if (limiter_is_waiting(m)) {
        return;
    }
    end_turn(m);
    struct limiter_group *g = m->group;
    if (list_is_empty(&g->waiting)) {
        list_add_tail(&g->limiter->waiting, &g->node);
    }
    list_add_tail(&g->waiting, &m->node);
}

bool limiter_is_waiting(const struct limiter_member *m)
{
    return list_is_linked(&m->node);
}

static struct limiter_group *first_ready(struct limiter *l, uint64_t now_ms)
{
    if (list_is_empty(&l->waiting) || bucket_room(&l->bucket, now_ms) == 0) {
        return NULL;
    }
    LIST_FOREACH_SAFE (node, &l->waiting) {
        struct limiter_group *g = container_of(node, struct limiter_group, node);
        if (bucket_room(&g->bucket, now_ms) > 0) {
            return g;
        }
    }
    return NULL;
}

struct limiter_member *limiter_next(struct limiter *l, uint64_t now_ms, size_t *quantum)
{
    l->turn = NULL;
    struct limiter_group *g = first_ready(l, now_ms);
    if (g == NULL) {
        return NULL;
    }
    struct limiter_member *m = container_of(list_first(&g->waiting), struct limiter_member, node);
    stop_waiting(m);
    if (list_is_linked(&g->node)) {
        list_remove(&g->node);
        list_add_tail(&l->waiting, &g->node);
    }
    l->turn = m;
    l->turn_left = grant_len(g);
    *quantum = l->turn_left;
    return m;
}

uint64_t limiter_deadline_ms(struct limiter *l, uint64_t now_ms)
{
    if (list_is_empty(&l->waiting)) {
        return UINT64_MAX;
    }
    uint64_t group_ms = UINT64_MAX;
    LIST_FOREACH_SAFE (node, &l->waiting) {
        struct limiter_group *g = container_of(node, struct limiter_group, node);
        uint64_t ready_ms = bucket_ready_ms(&g->bucket, now_ms);
        if (ready_ms < group_ms) {
            group_ms = ready_ms;
        }
    }
    uint64_t own_ms = bucket_ready_ms(&l->bucket, now_ms);
    return own_ms > group_ms ? own_ms : group_ms;
}
