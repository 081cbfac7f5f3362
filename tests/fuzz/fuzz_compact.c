/* Every peer that is read is written as the bytes it came from (an IPv4-mapped one as IPv4). */
#include "base/assert.h"
#include "proto/compact.h"

#include "base/banned.h"

static void round_trip(struct span list, bool v6)
{
    struct endpoint e;
    struct span rest = list;
    while (compact_next(&rest, v6, &e)) {
        uint8_t wire[COMPACT6_LEN];
        size_t n = compact_write(wire, &e);
        ASSERT(n == compact_len(e.addr.v6) && n <= compact_len(v6));
        ASSERT(memcmp(wire, rest.p - n, n) == 0);
    }
    ASSERT(rest.n == list.n % compact_len(v6));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    round_trip(span_of(data, size), false);
    round_trip(span_of(data, size), true);
    return 0;
}
