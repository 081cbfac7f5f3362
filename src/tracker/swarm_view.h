/* swarm_view.h: the swarms as lists, for the API. Tracker core.
 *
 * Threads    the main loop, beside the workers: a shard is locked for a few hundred rows at a time,
 *            and sorting happens outside of the lock.
 * Changes    what is there all the time is always listed. What comes or goes meanwhile may be
 *            missed, or seen twice among peers.
 */
#ifndef TRACKER_SWARM_VIEW_H
#define TRACKER_SWARM_VIEW_H

#include <stddef.h>
#include <stdint.h>

#include "tracker/swarm.h"
#include "tracker/tracker.h"

/* Fills all but whitelisted and keys. */
void swarm_view_totals(struct swarms *s, struct tracker_totals *out);
size_t swarm_view_list(struct swarms *s, struct torrent_cursor *cursor, struct torrent_row *rows,
                       size_t cap);
int swarm_view_torrent(struct swarms *s, const struct infohash *hash, struct torrent_row *out);

/* For the key text and the wall clock of a row. key_text returns NULL for a key that is gone. */
struct swarm_view_names {
    const char *(*key_text)(const void *ctx, uint32_t id);
    const void *ctx;
    int64_t unix_offset_ms; /* wall clock minus monotonic clock */
};

size_t swarm_view_peers(struct swarms *s, const struct swarm_view_names *names,
                        const struct infohash *hash, size_t *at, struct peer_row *rows, size_t cap);

/* A filter, with the key as its id. */
struct swarm_view_filter {
    const struct peer_filter *filter;
    uint32_t key_id;
};
size_t swarm_view_find(struct swarms *s, const struct swarm_view_names *names,
                       struct torrent_cursor *cursor, const struct swarm_view_filter *filter,
                       struct peer_row *rows, size_t cap);

#endif
