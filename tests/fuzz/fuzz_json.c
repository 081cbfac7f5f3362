/* Any bytes become one JSON string (RFC 8259) of valid UTF-8, the same in a buf and in a wr. */
#include "base/assert.h"
#include "base/json.h"

#include "base/banned.h"

static size_t escape_len(struct span s)
{
    static const char simple[] = "\"\\/bfnrt";
    ASSERT(s.n >= 2);
    if (s.p[1] != 'u') {
        ASSERT(s.p[1] != 0 && strchr(simple, s.p[1]) != NULL);
        return 2;
    }
    ASSERT(s.n >= 6 && strspn((const char *)s.p + 2, "0123456789abcdefABCDEF") >= 4);
    return 6;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t out[6 * 4096 + 2];
    struct buf b;
    size = size < 4096 ? size : 4096;
    buf_init(&b, 6 * size + 2);
    json_add_string(&b, span_of(data, size));
    ASSERT(!b.bad && b.len >= 2 && b.p[0] == '"' && b.p[b.len - 1] == '"');
    struct span in = span_sub(buf_span(&b), 1, b.len - 2);
    while (in.n > 0) {
        size_t n = in.p[0] == '\\' ? escape_len(in) : utf8_sequence_len(in);
        ASSERT(n > 0 && in.p[0] >= 0x20 && in.p[0] != '"');
        in = span_sub(in, n, in.n);
    }
    struct wr w = wr_over(out, sizeof out);
    json_write_string(&w, span_of(data, size));
    ASSERT(!w.bad && span_eq(wr_span(&w), buf_span(&b)));
    buf_release(&b);
    return 0;
}
