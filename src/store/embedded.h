/* embedded.h: a PostgreSQL cluster of our own, for those who have none.
 *
 * Place     data_dir/postgres, reached by a Unix socket inside it (mode 0700) and by nothing else.
 *           Made with initdb at first start; marked as ours; a directory without the mark is never
 *           touched (ERR_DENIED).
 * User      postgres when we are root, else ourselves.
 * Recovery  a stale pid file, a half-made cluster, or a postmaster left by a killed server are put
 *           right at start. A postmaster that dies while we run is started again (backoff).
 * Paths     the server reaches its directory through a descriptor, so neither the length of the
 *           path nor the permissions of its parents matter.
 */
#ifndef STORE_EMBEDDED_H
#define STORE_EMBEDDED_H

#include <uv.h>

#include "base/assert.h"
#include "base/err.h"

struct embedded;

/* status 0: the postmaster accepts connections. Once. */
typedef void (*embedded_ready)(void *ctx, int status, const struct err *e);

/* Begins; ready comes later, exactly once, also when embedded_stop comes first (ERR_CANCELED).
 * data_dir is borrowed until embedded_stop has called back. */
MUST_CHECK int embedded_start(struct embedded **out, uv_loop_t *loop, const char *data_dir,
                              embedded_ready ready, void *ctx, struct err *e);

/* The libpq connection string; valid until embedded_stop has called back. */
const char *embedded_url(const struct embedded *em);

/* Fast shutdown, after 5 s an immediate one; stopped exactly once, after which em is gone. */
void embedded_stop(struct embedded *em, void (*stopped)(void *ctx), void *ctx);

#endif
