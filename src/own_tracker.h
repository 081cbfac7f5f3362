/* own_tracker.h: the client's announces to this process's own tracker, by a call. Main loop only.
 *
 * Access    no key is needed. While the tracker's mode asks for a whitelist, the client's torrents
 *           are put on it, in the database as well; they stay on it when the client removes them,
 *           since others may share them.
 */
#ifndef OWN_TRACKER_H
#define OWN_TRACKER_H

#include <stddef.h>

#include "base/ids.h"
#include "client/trackers.h"

struct own_tracker;
struct store;
struct tracker;

/* worker: the index of a handle that nobody else uses. */
struct own_tracker *own_tracker_new(struct tracker *tracker, size_t worker, struct store *store);
void own_tracker_free(struct own_tracker *o);

/* As trackers_own wants it; ctx is the own tracker. */
int own_tracker_announce(void *ctx, const struct announce_req *req, struct announce_reply *reply,
                         struct endpoint *out, size_t cap, const char **why);

/* As trackers_own_scrape wants it. */
void own_tracker_scrape(void *ctx, const struct infohash *hashes, size_t n,
                        struct scrape_counts *out);

/* As client_opts.own_list wants it. */
void own_tracker_list(void *ctx, const struct infohash *hashes, size_t n,
                      void (*listed)(void *listed_ctx, int status), void *listed_ctx);

#endif
