/* spritzle_session.h: the counters of the client as the spritzle API shows them.
 *
 * Names     those of libtorrent's session statistics, 293; integers.
 */
#ifndef API_SPRITZLE_SESSION_H
#define API_SPRITZLE_SESSION_H

#include "base/buf.h"
#include "client/client.h"

/* Where their values come from. */
struct spritzle_session {
    struct engine_totals totals;
    struct disk_stats disk;
    struct trackers_stats trackers;
    unsigned n_threads; /* of the pool that reads, writes and hashes */
};

void spritzle_session_gather(struct spritzle_session *out, const struct client *c);

/* One flat object. Pure. */
void spritzle_session_add(struct buf *out, const struct spritzle_session *s);

#endif
