/* api.h: the admin API on its addresses: HTTP by libh2o, dialects, metrics.
 *
 * Thread   main loop only.
 * Start    api_open binds every address of api.listen or none.
 */
#ifndef API_API_H
#define API_API_H

#include <uv.h>

#include "base/assert.h"
#include "base/config.h"
#include "base/err.h"

struct api;
struct client;
struct persist;
struct store;
struct tracker;

/* What the API works on; all of it outlives the API. */
struct api_parts {
    const struct config *cfg;
    struct tracker *tracker;
    struct store *store;
    struct persist *persist;
    struct client *client;                   /* NULL: client.enabled is false */
    const struct endpoint_list *tracker_udp; /* really bound, for /health_check */
    const struct endpoint_list *tracker_http;
    const char *token_file_token; /* the generated token when cfg has none; else NULL */
    const char *version;
};

MUST_CHECK int api_open(struct api **out, uv_loop_t *loop, const struct api_parts *parts,
                        struct err *e);
/* The addresses really bound; owned by api. */
const struct endpoint_list *api_addresses(const struct api *api);
/* Stops accepting, cuts what is still open after at most 1 s; closed exactly once. */
void api_close(struct api *api, void (*closed)(void *ctx), void *ctx);

#endif
