/* persist.h: between the tracker's memory and the database, on the main loop.
 *
 * Start     loads whitelist, keys and completed counts; started comes once, when they are in.
 * Changes   made through the store or by other processes (store_watch) reach the tracker within a
 *           second; after an outage, and on persist_reload, whitelist and keys are loaded again
 *           beside the running tracker.
 * Counts    completed counts and last uses go to the database every PERSIST_FLUSH_MS in one
 *           statement each; what cannot be stored is tried again. Each completed download is counted
 *           once, also when a connection dies and leaves open whether its batch was stored.
 * Limits    PERSIST_WAITERS_MAX reloads asked for at a time; PERSIST_BATCH rows a statement.
 */
#ifndef TRACKER_PERSIST_H
#define TRACKER_PERSIST_H

#include <stdbool.h>

#include <uv.h>

#include "base/assert.h"
#include "base/err.h"
#include "store/store.h"

struct tracker;
struct persist;

enum {
    PERSIST_FLUSH_MS = 2000,
    PERSIST_CLOSE_MS = 3000,
    PERSIST_WAITERS_MAX = 256,
    PERSIST_BATCH = 1024,
};

typedef void (*persist_done)(void *ctx, int status, const struct err *e);

/* The watch to give to store_open; it may be called before persist_open gets the store. */
struct store_watch persist_watch(struct persist *p);

/* persist_new, then store_open with persist_watch, then persist_start with the store. */
struct persist *persist_new(uv_loop_t *loop, struct tracker *tracker, bool with_completed);
/* Loads; keeps trying while the database is away, until started(0) was called. */
void persist_start(struct persist *p, struct store *store, persist_done started, void *ctx);

/* Load whitelist and keys again (SIGHUP, the API's reload). done (may be NULL) comes once the
 * tracker has them, or with why not. A load under way counts for it only if it began afterwards.
 * ERR_UNAVAILABLE at once while the database is away, ERR_LIMIT for too many at a time. */
MUST_CHECK int persist_reload(struct persist *p, persist_done done, void *ctx);

/* Flushes, then lets go of everything; closed once (at most PERSIST_CLOSE_MS later), after which p
 * is gone and neither tracker nor watch is used any more. Before store_close and tracker_free.
 * Reloads not done yet get ERR_CANCELED. */
void persist_close(struct persist *p, void (*closed)(void *ctx), void *ctx);

#endif
