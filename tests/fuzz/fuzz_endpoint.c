/* What is parsed and formatted is parsed as the same; a block has its own base in it. */
#include "base/assert.h"
#include "base/endpoint.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of(data, size);
    char s[ENDPOINT_TEXT_LEN];
    struct addr a, a2;
    struct endpoint e, e2;
    struct cidr c;
    if (addr_parse(&a, text)) {
        ASSERT(addr_parse(&a2, span_str(addr_format(s, &a))));
        ASSERT(addr_eq(&a, &a2));
    }
    if (endpoint_parse(&e, text)) {
        ASSERT(endpoint_parse(&e2, span_str(endpoint_format(s, &e))));
        ASSERT(endpoint_eq(&e, &e2));
    }
    if (cidr_parse(&c, text)) {
        ASSERT(c.prefix_len <= 8 * addr_len(&c.base));
        ASSERT(cidr_contains(&c, &c.base));
        c.base.v6 = !c.base.v6;
        ASSERT(!cidr_contains(&c, &(struct addr){.v6 = !c.base.v6}));
    }
    return 0;
}
