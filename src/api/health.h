/* health.h: is everything really answering? For GET /health_check, without a token.
 *
 * Asks     the database (a round trip) and every tracker listener (probe.h), all at once, with
 *          HEALTH_DEADLINE_MS for the whole round.
 * Limit    a round starts at most every HEALTH_CACHE_MS and is shared by all who ask meanwhile, so
 *          that the question is no amplifier.
 * Answer   200 {"status":"Ok",...} or 503 {"status":"Error",...}, with a detail for each.
 */
#ifndef API_HEALTH_H
#define API_HEALTH_H

#include <uv.h>

#include "api/api.h"
#include "api/call.h"

enum { HEALTH_DEADLINE_MS = 2000, HEALTH_CACHE_MS = 1000 };

struct health;

/* parts is borrowed and outlives it. */
struct health *health_new(uv_loop_t *loop, const struct api_parts *parts);
/* Who still waits is answered with 503. closed exactly once, after which h is gone. */
void health_close(struct health *h, void (*closed)(void *ctx), void *ctx);

/* Handlers: the full check, and the constant {"status":"Ok"} of the Torrust API. */
void health_answer(struct call *c);
void health_answer_short(struct call *c);

#endif
