/* crc32c.h: CRC-32C (Castagnoli), for the few bytes of an address (BEP 40, 42).
 *
 * Bit by bit: the inputs have 4 to 32 bytes, a table would cost more than it saves.
 * Source: RFC 3720, appendix B.4.
 */
#ifndef PROTO_CRC32C_H
#define PROTO_CRC32C_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

static inline uint32_t crc32c(struct span s)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < s.n; i++) {
        crc ^= s.p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? UINT32_C(0x82f63b78) : 0);
        }
    }
    return ~crc;
}

#endif
