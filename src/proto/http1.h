/* http1.h: HTTP/1.0 and 1.1 request heads (server side). Pure: no I/O, no allocation.
 *
 * Limits   a head is at most HTTP1_HEAD_MAX bytes and HTTP1_FIELDS_MAX fields; beyond: ERR_LIMIT.
 * Strict   a bare CR, a control byte, a space before the colon, line folding, no Host in 1.1, a
 *          repeated Host, two different Content-Length, Transfer-Encoding together with
 *          Content-Length: ERR_MALFORMED.
 * Lenient  empty lines before the request line are skipped, LF alone ends a line, bytes above 0x7f
 *          are text.
 * Source   RFC 9112, RFC 9110.
 */
#ifndef PROTO_HTTP1_H
#define PROTO_HTTP1_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cursor.h"
#include "base/span.h"

enum { HTTP1_HEAD_MAX = 8192, HTTP1_FIELDS_MAX = 64 };

enum http1_method { HTTP1_GET, HTTP1_HEAD, HTTP1_OTHER };

struct http1_field {
    struct span name;  /* as sent; compare with http1_name_is */
    struct span value; /* without surrounding blanks */
};

struct http1_request {
    enum http1_method method;
    uint8_t minor;     /* HTTP/1.minor: 0 or 1 */
    bool keep_alive;   /* 1.1 unless "close"; 1.0 only with "keep-alive" */
    bool has_body;     /* Content-Length above 0, or Transfer-Encoding */
    struct span path;  /* before "?"; of an absolute-form target the part behind the authority */
    struct span query; /* behind "?", may be empty */
    size_t n_fields;
    struct http1_field fields[HTTP1_FIELDS_MAX];
};

/* returns  bytes of the head with its empty line; 0: more is needed; ERR_MALFORMED or ERR_LIMIT
 *          with a static *why. Never reads behind in.n, never remembers anything between calls. The
 *          answer for a prefix of in is 0 or the answer for in.
 * *out     is defined only when the result is above 0; fields from n_fields on never are. */
ssize_t http1_request_decode(struct http1_request *out, struct span in, const char **why);

bool http1_name_is(const struct http1_field *field, const char *lower_case_name);

/* The next value of a field that may be repeated: start with *at = 0; false when there is no more.
 */
bool http1_next_value(const struct http1_request *req, const char *lower_case_name, size_t *at,
                      struct span *value);

/* A GET request head, for a client. host: "name" or "name:port". A blank or control byte in either,
 * or no target, sets w->bad. */
void http1_get_encode(struct wr *w, struct span host, struct span target, bool keep_alive);

#endif
