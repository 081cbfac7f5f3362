/* connid.h: UDP connection ids as a function of (secret, address, time). Nothing is stored.
 *
 * Form     upper 32 bits: time slot of CONNID_SLOT_MS; lower 32: SipHash-2-4 over address and slot.
 * Tied     to the address, not to the port: clients behind NAT change ports.
 * Valid    from its slot on for lifetime_ms; an id from the future is not valid.
 * Source   BEP 15.
 */
#ifndef TRACKER_CONNID_H
#define TRACKER_CONNID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/endpoint.h"

enum { CONNID_SLOT_MS = 100 };

struct connid {
    struct siphash_key secret;
    uint32_t lifetime_ms;
};

uint64_t connid_make(const struct connid *c, const struct addr *from, uint64_t now_ms);
bool connid_check(const struct connid *c, uint64_t id, const struct addr *from, uint64_t now_ms);

#endif
