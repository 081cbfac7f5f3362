#include "api/openapi.h"

#include <stdlib.h>

#include "base/mem.h"

#include "base/banned.h"

enum { SLICE_LEN = 32768 };

struct stream {
    size_t at;
};

static bool produce(void *ctx, struct buf *out)
{
    struct stream *s = ctx;
    buf_add(out, span_sub(span_of(openapi_json, openapi_json_len), s->at, SLICE_LEN));
    s->at += SLICE_LEN;
    return s->at < openapi_json_len;
}

void openapi_answer(struct call *c)
{
    http_stream(c->x, JSON_TYPE, produce, free, mem_new(struct stream));
}
