/* cors.h: browsers on other origins (api.cors_origins; compared exactly).
 *
 * Allowed   the answer names the origin; a preflight (OPTIONS) is answered without a token, since
 *           browsers send none with it. Pages may send the header parameters of the GoTorrentServer
 *           API, and see the headers that an answer of ours may say something in.
 * Others    nothing is added, so the browser keeps the answer from the page.
 * Source    Fetch standard, "HTTP-CORS protocol".
 */
#ifndef API_CORS_H
#define API_CORS_H

#include <stdbool.h>

#include "api/http.h"
#include "base/config.h"

/* Is it one of them? */
bool cors_allows(const struct string_list *origins, struct span origin);

/* Adds the headers. returns true when this was a preflight and is answered. */
bool cors_handle(const struct string_list *origins, const struct http_request *req,
                 struct http_exchange *x);

#endif
