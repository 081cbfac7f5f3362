/* torrent_ops.h: what every API of the client does, free of any dialect.
 *
 * URLs       are fetched first, by the rules of url_policy.h on the address that each hop is really
 *            connected to: 5 redirects, 30 s, api.max_body bytes. What comes back is a .torrent.
 * Callbacks  a call that returns a negative code never calls back; else exactly once, later. They may
 *            come when the API is closed already: client and configuration outlive it.
 */
#ifndef API_TORRENT_OPS_H
#define API_TORRENT_OPS_H

#include <stdbool.h>
#include <stdint.h>

#include "api/api.h"
#include "base/assert.h"
#include "base/ids.h"
#include "base/span.h"
#include "client/client.h"

enum { TORRENT_FETCH_MS = 30000, TORRENT_FETCH_REDIRECTS = 5 };

enum add_fault {
    ADD_OK,
    ADD_BAD_TORRENT, /* what is given, or was fetched, is no torrent or magnet link */
    ADD_BAD_URL,     /* another scheme, or no URL at all */
    ADD_URL_DENIED,  /* api.url_fetch does not allow it */
    ADD_UNREACHABLE, /* nobody answered there in time */
    ADD_NOT_THERE,   /* answered, but not with a torrent */
    ADD_PATH_DENIED, /* outside of client.allowed_dirs */
    ADD_BAD_PATH,    /* cannot be made or used */
    ADD_NO_SESSION,  /* options.session is not there, or leaving */
    ADD_AWAY,        /* database or client: later, perhaps */
    ADD_BROKEN,      /* an error of the server */
};

struct torrent_result {
    enum add_fault fault;
    char why[192]; /* for people; "" when added */
    struct infohash hash;
    bool existed; /* it was here already, and is as it was */
};
typedef void (*torrent_added)(void *ctx, const struct torrent_result *result);

struct torrent_request {
    struct span url;           /* http, https or magnet; counts alone when it is not empty */
    struct span metainfo;      /* else this */
    struct client_add options; /* but for metainfo and magnet */
};

/* Everything is copied. returns 0: done comes later; negative: *refused says why, and it does not. */
MUST_CHECK int torrent_ops_add(const struct api_parts *parts, const struct torrent_request *request,
                               torrent_added done, void *ctx, struct torrent_result *refused);

#endif
