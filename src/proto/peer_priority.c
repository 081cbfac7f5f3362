#include "proto/peer_priority.h"

#include <string.h>

#include "base/assert.h"
#include "proto/crc32c.h"

#include "base/banned.h"

enum {
    NETWORK4_LEN = 2, /* bytes that count in full for addresses of different networks */
    NETWORK6_LEN = 6,
    HOST_MASK = 0x55,
    JOINED_MAX = 32,
};

/* CRC-32C of x and y, n bytes each, the smaller first. */
static uint32_t crc_sorted(const uint8_t *x, const uint8_t *y, size_t n)
{
    uint8_t joined[JOINED_MAX];
    bool in_order = memcmp(x, y, n) <= 0;
    memcpy(joined, in_order ? x : y, n);
    memcpy(joined + n, in_order ? y : x, n);
    return crc32c(span_of(joined, 2 * n));
}

static size_t common_len(const uint8_t *x, const uint8_t *y, size_t n)
{
    size_t i = 0;
    while (i < n && x[i] == y[i]) {
        i++;
    }
    return i;
}

uint32_t peer_priority(const struct endpoint *a, const struct endpoint *b)
{
    ASSERT(a->addr.v6 == b->addr.v6);
    if (addr_eq(&a->addr, &b->addr)) {
        uint8_t x[] = {(uint8_t)(a->port >> 8), (uint8_t)a->port};
        uint8_t y[] = {(uint8_t)(b->port >> 8), (uint8_t)b->port};
        return crc_sorted(x, y, sizeof x);
    }
    size_t n = addr_len(&a->addr);
    size_t network_len = a->addr.v6 ? NETWORK6_LEN : NETWORK4_LEN;
    struct addr x = a->addr;
    struct addr y = b->addr;
    /* Within one network the first byte behind what they share counts in full as well. */
    size_t common = common_len(x.b, y.b, n);
    for (size_t i = common >= network_len ? common + 1 : network_len; i < n; i++) {
        x.b[i] &= HOST_MASK;
        y.b[i] &= HOST_MASK;
    }
    return crc_sorted(x.b, y.b, n);
}
