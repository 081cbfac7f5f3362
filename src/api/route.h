/* route.h: from method and path to a handler, by a table. Pure.
 *
 * Templates  "/api/whitelist/:info_hash": segments are literal or parameters; at most
 *            ROUTE_SEGMENTS_MAX of them.
 * Matching   by whole segments, split before %-decoding, so a value may hold a '/'. Literals win
 *            over parameters. A parameter is never empty. HEAD is served by GET routes; a slash at
 *            the end is tolerated when reading only, so that a script with an empty variable
 *            changes nothing.
 */
#ifndef API_ROUTE_H
#define API_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/http.h"
#include "base/span.h"

enum { ROUTE_SEGMENTS_MAX = 8, ROUTE_PARAMS_MAX = 2, ROUTE_PATH_MAX = 1024 };

enum route_auth {
    ROUTE_TOKEN, /* never without */
    ROUTE_ACT,   /* the same; a GET that changes something: not for HEAD, no slash at its end */
    ROUTE_LOCAL, /* without only as local_access.h allows, and if api.local_without_token is on */
    ROUTE_OPEN,  /* without; but with a body as ROUTE_LOCAL */
};

struct call;

struct route {
    enum http_method method;
    const char *path;
    enum route_auth auth;
    void (*handle)(struct call *c);
};

/* A path in pieces. Its segments and the parameters of a match point into text. */
struct route_path {
    size_t n_segments;
    struct span segments[ROUTE_SEGMENTS_MAX];
    uint8_t text[ROUTE_PATH_MAX];
};

/* False for a path that no route can have: not starting with '/', too long, too many segments.
 * A segment with a broken %-escape stays as it was sent: what it stands for will refuse it. */
bool route_path_split(struct route_path *out, struct span path);

enum route_result { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD };

struct route_match {
    const struct route *route;            /* ROUTE_FOUND */
    struct span params[ROUTE_PARAMS_MAX]; /* decoded, in the order of the template */
    uint32_t allowed;                     /* ROUTE_NO_METHOD: bits 1 << enum http_method */
};

enum route_result route_find(struct route_match *out, const struct route *routes, size_t n,
                             enum http_method method, const struct route_path *path);

/* "GET, HEAD, POST" for a set of methods, into out. */
enum { ROUTE_ALLOW_LEN = 48 };
void route_allow_text(char out[static ROUTE_ALLOW_LEN], uint32_t allowed);

#endif
