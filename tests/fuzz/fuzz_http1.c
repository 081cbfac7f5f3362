/* A head that arrives in pieces gets 0 and then the answer of the whole; spans lie within it. */
#include "base/assert.h"
#include "proto/http1.h"

#include "base/banned.h"

static void check_inside(struct span part, struct span head)
{
    ASSERT(part.n == 0 || (part.p >= head.p && part.p + part.n <= head.p + head.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http1_request whole, part;
    const char *why = NULL, *part_why = NULL;
    ssize_t n = http1_request_decode(&whole, span_of(data, size), &why);
    ASSERT(n <= (ssize_t)size && (n < 0) == (why != NULL));
    size_t step = size / 256 + 1;
    for (size_t cut = 0; cut < size; cut += step) {
        ssize_t m = http1_request_decode(&part, span_of(data, cut), &part_why);
        ASSERT(m == 0 || (m == n && why == part_why));
        ASSERT(m == 0 || n < 0 || cut >= (size_t)n);
        ASSERT(m <= 0 || (part.n_fields == whole.n_fields && span_eq(part.query, whole.query)));
    }
    struct span head = span_of(data, n > 0 ? (size_t)n : 0);
    if (n > 0) {
        ASSERT(whole.n_fields <= HTTP1_FIELDS_MAX && whole.path.n > 0 && whole.minor <= 1);
        check_inside(whole.query, head);
        for (size_t i = 0; i < whole.n_fields; i++) {
            ASSERT(whole.fields[i].name.n > 0);
            check_inside(whole.fields[i].name, head);
            check_inside(whole.fields[i].value, head);
        }
    }
    return 0;
}
