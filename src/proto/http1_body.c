/*            +----------------------------------------------------+
 *            v                                                    |
 *  chunked: SIZE -> (EXTENSION) -> LINE_END -> CHUNK -> CHUNK_CR -> CHUNK_LF
 *                                     |
 *                     last chunk      v
 *                                  TRAILER -> LAST_LF -> COMPLETE
 *                                   ^   v
 *             TRAILER_LF <- TRAILER_TEXT
 *
 *  by length: LENGTH -> COMPLETE
 */
#include "proto/http1_body.h"

#include "base/err.h"
#include "base/parse.h"

#include "base/banned.h"

enum { SIZE_DIGITS_MAX = 15 };

static bool is_framing(const struct http1_field *field)
{
    return http1_name_is(field, "content-length") || http1_name_is(field, "transfer-encoding") ||
           http1_name_is(field, "expect");
}

/* The value of Transfer-Encoding is a token as a field's name is. */
static bool is_chunked(struct span value)
{
    return http1_name_is(&(struct http1_field){.name = value}, "chunked");
}

int http1_body_begin(struct http1_body *b, const struct http1_request *req, const char **why)
{
    struct span value;
    size_t at = 0;
    *b = (struct http1_body){.state = HTTP1_BODY_COMPLETE};
    if (http1_next_value(req, "transfer-encoding", &at, &value)) {
        if (!is_chunked(value) || http1_next_value(req, "transfer-encoding", &at, &value)) {
            *why = "the only Transfer-Encoding known is chunked";
            return ERR_MALFORMED;
        }
        if (req->minor == 0) {
            *why = "Transfer-Encoding in HTTP/1.0";
            return ERR_MALFORMED;
        }
        b->state = HTTP1_BODY_SIZE;
        return 0;
    }
    at = 0;
    if (http1_next_value(req, "content-length", &at, &value) &&
        parse_u64(&b->left, value, UINT64_MAX) && b->left > 0) {
        b->state = HTTP1_BODY_LENGTH;
    }
    return 0;
}

static int malformed(const char **why, const char *text)
{
    *why = text;
    return ERR_MALFORMED;
}

static int hex_value(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool is_text(uint8_t c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* A byte of "1f; name=value" CRLF. */
static int on_line_byte(struct http1_body *b, uint8_t c, const char **why)
{
    int digit = hex_value(c);
    if (b->state == HTTP1_BODY_LINE_END) {
        if (c != '\n') {
            return malformed(why, "a chunk's line does not end with CRLF");
        }
        b->state = b->left > 0 ? HTTP1_BODY_CHUNK : HTTP1_BODY_TRAILER;
        b->line_len = 0;
    } else if (b->state == HTTP1_BODY_SIZE && digit >= 0) {
        if (b->n_digits == SIZE_DIGITS_MAX) {
            return malformed(why, "a chunk's size has too many digits");
        }
        b->n_digits++;
        b->left = b->left << 4 | (uint64_t)digit;
    } else if (b->n_digits == 0) {
        return malformed(why, "a chunk's size is missing");
    } else if (c == '\r') {
        b->state = HTTP1_BODY_LINE_END;
    } else if (b->state == HTTP1_BODY_EXTENSION ? is_text(c) : c == ';' || c == ' ' || c == '\t') {
        b->state = HTTP1_BODY_EXTENSION;
    } else {
        return malformed(why, "a chunk's line is not a size and extensions");
    }
    return 0;
}

/* A byte of the two behind a chunk. */
static int on_chunk_end_byte(struct http1_body *b, uint8_t c, const char **why)
{
    bool cr = b->state == HTTP1_BODY_CHUNK_CR;
    if (c != (cr ? '\r' : '\n')) {
        return malformed(why, "a chunk does not end with CRLF");
    }
    if (cr) {
        b->state = HTTP1_BODY_CHUNK_LF;
    } else {
        *b = (struct http1_body){.state = HTTP1_BODY_SIZE};
    }
    return 0;
}

static int on_trailer_byte(struct http1_body *b, uint8_t c, const char **why)
{
    bool at_lf = b->state == HTTP1_BODY_TRAILER_LF || b->state == HTTP1_BODY_LAST_LF;
    if (at_lf ? c != '\n' : c != '\r' && !is_text(c)) {
        return malformed(why, "a trailer has a control byte or does not end with CRLF");
    }
    switch (b->state) {
    case HTTP1_BODY_TRAILER:
        b->state = c == '\r' ? HTTP1_BODY_LAST_LF : HTTP1_BODY_TRAILER_TEXT;
        break;
    case HTTP1_BODY_TRAILER_TEXT:
        b->state = c == '\r' ? HTTP1_BODY_TRAILER_LF : HTTP1_BODY_TRAILER_TEXT;
        break;
    case HTTP1_BODY_TRAILER_LF:
        b->state = HTTP1_BODY_TRAILER;
        break;
    default:
        b->state = HTTP1_BODY_COMPLETE;
        break;
    }
    return 0;
}

static int on_byte(struct http1_body *b, uint8_t c, const char **why)
{
    bool in_trailers = b->state >= HTTP1_BODY_TRAILER;
    b->line_len++;
    if (b->line_len > (in_trailers ? HTTP1_TRAILERS_MAX : HTTP1_CHUNK_LINE_MAX)) {
        *why = in_trailers ? "the trailers are too long" : "a chunk's line is too long";
        return ERR_LIMIT;
    }
    if (in_trailers) {
        return on_trailer_byte(b, c, why);
    }
    return b->state >= HTTP1_BODY_CHUNK_CR ? on_chunk_end_byte(b, c, why) : on_line_byte(b, c, why);
}

ssize_t http1_body_decode(struct http1_body *b, struct span in, struct span *content,
                          const char **why)
{
    *content = span_sub(in, 0, 0);
    if (b->state == HTTP1_BODY_LENGTH || b->state == HTTP1_BODY_CHUNK) {
        *content = span_sub(in, 0, b->left < in.n ? (size_t)b->left : in.n);
        b->left -= content->n;
        if (b->left == 0) {
            b->state = b->state == HTTP1_BODY_CHUNK ? HTTP1_BODY_CHUNK_CR : HTTP1_BODY_COMPLETE;
        }
        return (ssize_t)content->n;
    }
    size_t used = 0;
    while (used < in.n && b->state != HTTP1_BODY_COMPLETE && b->state != HTTP1_BODY_CHUNK) {
        int rc = on_byte(b, in.p[used], why);
        if (rc < 0) {
            return rc;
        }
        used++;
    }
    return (ssize_t)used;
}

size_t http1_head_without_body(uint8_t *head, size_t head_len, const struct http1_request *req)
{
    size_t first = 0;
    for (size_t i = req->n_fields; i > 0; i--) {
        const struct http1_field *field = &req->fields[i - 1];
        if (is_framing(field)) {
            size_t at = (size_t)(field->name.p - head);
            size_t next = at + span_find(span_of(head + at, head_len - at), '\n') + 1;
            memmove(head + at, head + next, head_len - next);
            head_len -= next - at;
        }
    }
    while (head[first] == '\r' || head[first] == '\n') {
        first++;
    }
    memmove(head, head + first, head_len - first);
    return head_len - first;
}
