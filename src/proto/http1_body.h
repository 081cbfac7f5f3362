/* http1_body.h: where the body of an HTTP/1 request ends, and what is in it. Pure: no I/O, no
 * allocation.
 *
 * Strict   the only transfer coding is chunked, given once and not in HTTP/1.0; a chunk is below
 *          2^60 bytes; lines end with CRLF; no control bytes in extensions and trailers, which
 *          mean nothing here. Else ERR_MALFORMED: two readers that see different ends make one
 *          request of two.
 * Limits   HTTP1_CHUNK_LINE_MAX bytes of a chunk's line, HTTP1_TRAILERS_MAX of all trailers;
 *          beyond: ERR_LIMIT. The length of a body is the caller's to limit.
 * Source   RFC 9112, 6 and 7.1.
 */
#ifndef PROTO_HTTP1_BODY_H
#define PROTO_HTTP1_BODY_H

#include "proto/http1.h"

enum { HTTP1_CHUNK_LINE_MAX = 1024, HTTP1_TRAILERS_MAX = 8192 };

enum http1_body_state {
    HTTP1_BODY_COMPLETE,
    HTTP1_BODY_LENGTH, /* left more bytes of it */
    HTTP1_BODY_SIZE,   /* the rest is of chunked bodies: the digits of a chunk's size, */
    HTTP1_BODY_EXTENSION,
    HTTP1_BODY_LINE_END, /* the LF behind them, */
    HTTP1_BODY_CHUNK,    /* left more bytes of it, */
    HTTP1_BODY_CHUNK_CR,
    HTTP1_BODY_CHUNK_LF,
    HTTP1_BODY_TRAILER, /* behind the last chunk: at the start of a line, */
    HTTP1_BODY_TRAILER_TEXT,
    HTTP1_BODY_TRAILER_LF,
    HTTP1_BODY_LAST_LF,
};

struct http1_body {
    enum http1_body_state state;
    uint64_t left; /* HTTP1_BODY_LENGTH: bytes; a chunk's size or what is left of it */
    /* private */
    size_t line_len; /* of this chunk's line, or of all trailers */
    uint8_t n_digits;
};

/* What comes behind a head; HTTP1_BODY_COMPLETE: nothing. returns 0, or ERR_MALFORMED with a
 * static *why. */
int http1_body_begin(struct http1_body *b, const struct http1_request *req, const char **why);

/* Takes bytes of the body from the front of in.
 *
 * *content  the part of them that is the body's content; a span of in, often empty.
 * returns   how many: 0 when in is empty or b is complete. ERR_MALFORMED or ERR_LIMIT with a static
 *           *why; b is of no use then. Call it again with the rest of in. */
ssize_t http1_body_decode(struct http1_body *b, struct span in, struct span *content,
                          const char **why);

/* A head as http1_request_decode took it (req's spans point into it), in place: without empty lines
 * before it, and without Content-Length, Transfer-Encoding and Expect, so that who reads it next
 * waits for no body. returns the new length; req is of no use any more. */
size_t http1_head_without_body(uint8_t *head, size_t head_len, const struct http1_request *req);

#endif
