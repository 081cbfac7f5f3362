/* Both ends come to the same priority, and host bits that are masked do not change it. */
#include "base/assert.h"
#include "proto/compact.h"
#include "proto/peer_priority.h"

#include "base/banned.h"

static void check(struct endpoint a, struct endpoint b)
{
    uint32_t priority = peer_priority(&a, &b);
    size_t last = addr_len(&a.addr) - 1;
    ASSERT(priority == peer_priority(&b, &a));
    if (memcmp(a.addr.b, b.addr.b, last) != 0) {
        a.port ^= 1;
        a.addr.b[last] ^= 0xaa;
        ASSERT(priority == peer_priority(&a, &b));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int v6 = 0; v6 <= 1; v6++) {
        struct span list = span_of(data, size);
        struct endpoint a, b;
        if (compact_next(&list, v6 == 1, &a) && compact_next(&list, v6 == 1, &b) &&
            a.addr.v6 == b.addr.v6) { /* an IPv4-mapped one comes out as IPv4 */
            check(a, b);
        }
    }
    return 0;
}
