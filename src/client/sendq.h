/* sendq.h: what waits to be sent to one peer: small messages, and blocks without a copy of them.
 * Client core: no I/O.
 *
 * Order     as added; a message is never mixed with another. Blocks that were not begun can be
 *           taken back (choke, cancel).
 * Limit     SENDQ_BYTES_MAX of small messages: a peer that does not read while it makes us answer
 *           is over it, sendq_is_over, and is dropped by the caller. Blocks are limited by whoever
 *           adds them.
 * Memory    none while it is empty.
 */
#ifndef CLIENT_SENDQ_H
#define CLIENT_SENDQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/cursor.h"
#include "base/span.h"
#include "client/data_buf.h"
#include "proto/peer_wire.h"

enum { SENDQ_BYTES_MAX = 1 << 20 };

struct sendq_segment;

/* Zeroed is empty. */
struct sendq {
    size_t len;         /* bytes that wait, all together */
    size_t payload_len; /* of them blocks, without their heads */
    uint64_t n_blocks;  /* blocks that have gone, ever */
    /* private */
    struct sendq_segment *segments; /* a ring */
    size_t cap, first, n;
    uint8_t *bytes; /* of small messages, those in segments one behind the other */
    size_t bytes_cap, bytes_at, bytes_end;
    size_t sent_of_first;
    uint64_t sent; /* bytes that have gone, ever */
    bool over;
};

void sendq_release(struct sendq *q);
bool sendq_is_over(const struct sendq *q);

/* A message, copied. */
void sendq_add(struct sendq *q, struct span message);
/* A piece message: its head and d->p[at, at + b->len), of which a reference is kept. */
void sendq_add_block(struct sendq *q, const struct wire_block *b, struct data_buf *d, uint32_t at);
/* Take back blocks that were not begun: the one that equals b, or all when b is NULL; their number.
 * They are told to `taken` (which may be NULL) for a reject, which it may add at once. */
size_t sendq_take_back(struct sendq *q, const struct wire_block *b,
                       void (*taken)(void *ctx, const struct wire_block *b), void *ctx);

/* The next bytes, at most limit of them in at most cap parts; returns the parts. Borrowed until the
 * next call on q. */
size_t sendq_iov(struct sendq *q, struct iovec *out, size_t cap, size_t limit);
/* n bytes of those have gone; returns how many of them were of blocks (payload). */
size_t sendq_sent(struct sendq *q, size_t n);

#endif
