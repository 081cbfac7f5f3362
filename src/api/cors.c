#include "api/cors.h"

#include "base/banned.h"

bool cors_allows(const struct string_list *origins, struct span origin)
{
    for (size_t i = 0; i < origins->n; i++) {
        if (span_eq(span_str(origins->at[i]), origin)) {
            return true;
        }
    }
    return false;
}

bool cors_handle(const struct string_list *origins, const struct http_request *req,
                 struct http_exchange *x)
{
    struct span origin;
    struct span method;
    if (origins->n == 0) {
        return false;
    }
    http_add_header(x, "vary", SPAN("origin"));
    if (!http_header(req, "origin", &origin) || !cors_allows(origins, origin)) {
        return false;
    }
    http_add_header(x, "access-control-allow-origin", origin);
    if (req->method != HTTP_OPTIONS ||
        !http_header(req, "access-control-request-method", &method)) {
        http_add_header(x, "access-control-expose-headers", SPAN("location, retry-after"));
        return false;
    }
    http_add_header(x, "access-control-allow-methods", SPAN("GET, HEAD, POST, PUT, DELETE"));
    http_add_header(
        x, "access-control-allow-headers",
        SPAN("authorization, content-type, infohash, deletedata, downrate, uprate, time"));
    http_add_header(x, "access-control-max-age", SPAN("600"));
    http_reply(x, 204, NULL, SPAN(""));
    return true;
}
