/* migrate.h: bring the database to this program's schema.
 *
 * Rules    files of migrations/ in order, each in a transaction of its own, all under one advisory
 *          lock; recorded with the SHA-256 of their text. A recorded checksum that differs, or a
 *          recorded migration that this program does not have, is an error: nothing is changed.
 * Blocks   libpq's blocking calls: for `rookery migrate`, and for a thread-pool job of the server.
 */
#ifndef STORE_MIGRATE_H
#define STORE_MIGRATE_H

#include <stdint.h>

#include "base/assert.h"
#include "base/err.h"

/* Called for each migration that was applied now. */
typedef void (*migrate_applied)(void *ctx, const char *name);

/* url: libpq connection string. wait_s: how long to keep trying to connect (0: once).
 * cancel (may be NULL): set to nonzero by another thread to give up between attempts.
 * returns  the number of migrations applied now (0: nothing to do), or a negative code with e. */
MUST_CHECK int migrate_run(const char *url, uint32_t wait_s, const _Atomic int *cancel,
                           migrate_applied applied, void *ctx, struct err *e);

#endif
