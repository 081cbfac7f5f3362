/* resolve.h: host names to addresses in the thread pool.
 *
 * Literals   "127.0.0.1" and "[::1]" or "::1" need no look-up, but the answer still comes later.
 * Limits     RESOLVE_MAX addresses of an answer.
 */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/assert.h"
#include "base/endpoint.h"
#include "base/err.h"
#include "base/span.h"

enum { RESOLVE_MAX = 16 };

struct resolve;

/* status 0 with n >= 1 addresses (ports are 0) in the order of the system's preference, or
 * ERR_NOT_FOUND, ERR_UNAVAILABLE (try again), ERR_CANCELED, with e. */
typedef void (*resolve_done)(void *ctx, int status, const struct addr *addrs, size_t n,
                             const struct err *e);

/* returns 0, then done exactly once and later; or ERR_INVALID (not a host name) and never. */
MUST_CHECK int resolve_start(struct resolve **out, uv_loop_t *loop, struct span host,
                             resolve_done done, void *ctx);
/* done comes with ERR_CANCELED, soon. */
void resolve_cancel(struct resolve *r);

#endif
