/* auth.h: is a token right, and who tries too many wrong ones.
 *
 * Carriers   Authorization (Bearer, Basic: the password, or the bare token), else ?token= (the last
 *            one). A header that is there counts alone.
 * Compare    SHA-256 of both, in constant time, against every configured token.
 * Limit      more than AUTH_FAILURES wrong tokens of one address (IPv6: one /64) in
 *            AUTH_WINDOW_MS: further failures are AUTH_LIMITED. A right token always works. The
 *            table holds AUTH_ADDRESSES; the one silent for longest makes room.
 */
#ifndef API_AUTH_H
#define API_AUTH_H

#include <stddef.h>
#include <stdint.h>

#include "base/endpoint.h"
#include "base/span.h"

enum { AUTH_FAILURES = 10, AUTH_WINDOW_MS = 10000, AUTH_ADDRESSES = 256 };

struct auth;

enum auth_result {
    AUTH_OK,
    AUTH_MISSING,        /* no token at all */
    AUTH_WRONG,          /* empty or not one of ours */
    AUTH_UNKNOWN_SCHEME, /* an Authorization header of a kind that carries no token */
    AUTH_LIMITED,
};

struct auth_stats {
    uint64_t failures;
    uint64_t limited;
};

struct auth *auth_new(void);
void auth_free(struct auth *a);
void auth_add_token(struct auth *a, struct span token);

/* authorization: the header's value; p is NULL when there is none.
 * retry_after_s: filled for AUTH_LIMITED. */
enum auth_result auth_check(struct auth *a, struct span authorization, struct span query,
                            const struct addr *peer, uint64_t now_ms, uint32_t *retry_after_s);

void auth_stats(const struct auth *a, struct auth_stats *out);

#endif
