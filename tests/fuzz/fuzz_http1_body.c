/* A body in single bytes is the body at once, and ends at the same byte; nothing behind its end is
 * ever taken. A head without its body is the same head, and says nothing of a body. */
#include "base/assert.h"
#include "base/buf.h"
#include "proto/http1_body.h"

#include "base/banned.h"

enum { HEAD_COPY_MAX = HTTP1_HEAD_MAX };

/* Feeds at most step bytes a call. returns bytes taken, or an error. */
static ssize_t take(const struct http1_body *from, struct span in, size_t step, struct buf *content)
{
    struct http1_body b = *from;
    size_t used = 0;
    ssize_t n = 1;
    while (n > 0) {
        struct span part;
        const char *why = NULL;
        struct span rest = span_sub(in, used, step);
        n = http1_body_decode(&b, rest, &part, &why);
        ASSERT((n < 0) == (why != NULL));
        ASSERT(n <= (ssize_t)rest.n && (n < 0 || part.n <= (size_t)n));
        ASSERT(n != 0 || rest.n == 0 || b.state == HTTP1_BODY_COMPLETE);
        if (n >= 0) {
            buf_add(content, part);
            used += (size_t)n;
        }
    }
    return n < 0 ? n : (ssize_t)used;
}

static void check_body(const struct http1_body *b, struct span in)
{
    struct buf whole;
    struct buf bytes;
    buf_init(&whole, in.n + 1);
    buf_init(&bytes, in.n + 1);
    ssize_t n = take(b, in, in.n, &whole);
    ASSERT(take(b, in, 1, &bytes) == n);
    ASSERT(n < 0 || span_eq(buf_span(&whole), buf_span(&bytes)));
    ASSERT(b->state != HTTP1_BODY_COMPLETE || n == 0);
    ASSERT(b->state != HTTP1_BODY_LENGTH || n == (ssize_t)(b->left < in.n ? b->left : in.n));
    buf_release(&whole);
    buf_release(&bytes);
}

static bool is_about_a_body(const struct http1_field *f)
{
    return http1_name_is(f, "content-length") || http1_name_is(f, "transfer-encoding") ||
           http1_name_is(f, "expect");
}

static void check_head(struct span head, const struct http1_request *of_head)
{
    static struct http1_request req, left;
    static uint8_t copy[HEAD_COPY_MAX];
    const char *why = NULL;
    memcpy(copy, head.p, head.n);
    ASSERT(http1_request_decode(&req, span_of(copy, head.n), &why) == (ssize_t)head.n);
    size_t n = http1_head_without_body(copy, head.n, &req);
    ASSERT(http1_request_decode(&left, span_of(copy, n), &why) == (ssize_t)n);
    ASSERT(!left.has_body && left.minor == of_head->minor &&
           left.keep_alive == of_head->keep_alive && span_eq(left.path, of_head->path));
    size_t at = 0;
    for (size_t i = 0; i < of_head->n_fields; i++) {
        const struct http1_field *f = &of_head->fields[i];
        if (!is_about_a_body(f)) {
            ASSERT(span_eq(left.fields[at].name, f->name));
            ASSERT(span_eq(left.fields[at].value, f->value));
            at++;
        }
    }
    ASSERT(left.n_fields == at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http1_request req;
    struct http1_body b;
    const char *why = NULL;
    struct span in = span_of(data, size);
    ssize_t n = http1_request_decode(&req, in, &why);
    if (n <= 0) {
        return 0;
    }
    check_head(span_sub(in, 0, (size_t)n), &req);
    if (http1_body_begin(&b, &req, &why) == 0) {
        ASSERT((b.state != HTTP1_BODY_COMPLETE) == req.has_body);
        check_body(&b, span_sub(in, (size_t)n, size));
    } else {
        ASSERT(req.has_body && why != NULL);
    }
    return 0;
}
