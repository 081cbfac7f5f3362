/* rate.h: how fast bytes flow, and how fast they may. Client core, pure; time comes in.
 *
 * Meter     an average over the last RATE_WINDOW_S whole seconds and the one that runs.
 * Bucket    tokens are bytes. It fills at rate_bps up to a tenth of a second's worth (at least
 *           BUCKET_BURST_MIN) and may be overdrawn by one grant; who overdrew waits until it is
 *           positive. rate_bps 0: no limit.
 * Limiter   one direction: a bucket of the whole engine (or session), under it one a torrent, under
 *           that the peers that want to go on. When bytes are scarce torrents take turns, and
 *           within a torrent its peers do, one quantum each: fair between torrents first.
 */
#ifndef CLIENT_RATE_H
#define CLIENT_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

enum {
    RATE_WINDOW_S = 5,
    BUCKET_BURST_MIN = 1 << 14,
    LIMITER_QUANTUM = 1 << 14, /* bytes of a turn */
};

struct rate_meter {
    /* private */
    uint64_t second; /* of the newest slot */
    uint64_t started_ms;
    uint64_t slots[RATE_WINDOW_S + 1];
};

void rate_meter_add(struct rate_meter *m, uint64_t n, uint64_t now_ms);
uint64_t rate_meter_bps(const struct rate_meter *m, uint64_t now_ms);

struct bucket {
    uint64_t rate_bps; /* 0: no limit; change it with bucket_set_rate */
    /* private */
    int64_t tokens; /* thousandths of a byte: a millisecond of any rate is a whole number of them */
    uint64_t filled_ms;
};

void bucket_set_rate(struct bucket *b, uint64_t rate_bps, uint64_t now_ms);
/* Bytes that may go now: 0 while it is overdrawn or empty, SIZE_MAX without a limit. */
size_t bucket_room(struct bucket *b, uint64_t now_ms);
void bucket_take(struct bucket *b, size_t n, uint64_t now_ms);
/* When room is there again; now_ms when it is. */
uint64_t bucket_ready_ms(struct bucket *b, uint64_t now_ms);

/* The whole of one direction. */
struct limiter {
    struct bucket bucket;
    /* private */
    struct list waiting;         /* struct limiter_group that have members waiting */
    struct limiter_member *turn; /* taken by limiter_next, has turn_left bytes to move */
    size_t turn_left;
};

/* A torrent in it. */
struct limiter_group {
    struct bucket bucket;
    /* private */
    struct limiter *limiter;
    struct list node;
    struct list waiting; /* struct limiter_member */
};

/* A peer in that. Zeroed, then limiter_member_init. */
struct limiter_member {
    /* private */
    struct limiter_group *group;
    struct list node;
};

void limiter_init(struct limiter *l);
void limiter_group_init(struct limiter_group *g, struct limiter *l);
/* No member may wait in it. */
void limiter_group_release(struct limiter_group *g);
void limiter_member_init(struct limiter_member *m, struct limiter_group *g);
void limiter_member_release(struct limiter_member *m); /* also when it waits */

/* Bytes that m may move now. SIZE_MAX: no limit anywhere. 0: m should wait. While others wait in
 * its group or limiter m gets 0 as well, unless it was just taken by limiter_next. */
size_t limiter_room(struct limiter_member *m, uint64_t now_ms);
/* m has moved n bytes. */
void limiter_spend(struct limiter_member *m, size_t n, uint64_t now_ms);
/* Queue m for limiter_next; nothing when it waits already. */
void limiter_wait(struct limiter_member *m);
bool limiter_is_waiting(const struct limiter_member *m);

/* The member whose turn it is, taken out of its queue, with *quantum bytes (1..LIMITER_QUANTUM) for
 * it to move, which it must spend (what it does not use is lost to nobody: only limiter_spend takes
 * tokens). NULL: nobody waits, or nobody may go on yet. */
struct limiter_member *limiter_next(struct limiter *l, uint64_t now_ms, size_t *quantum);
/* When limiter_next may have somebody; UINT64_MAX: nobody waits. */
uint64_t limiter_deadline_ms(struct limiter *l, uint64_t now_ms);

#endif
