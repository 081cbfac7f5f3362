#include "tracker/connid.h"

#include <string.h>

#include "base/banned.h"

static uint32_t slot_of(uint64_t now_ms)
{
    return (uint32_t)(now_ms / CONNID_SLOT_MS);
}

static uint64_t make(const struct connid *c, const struct addr *from, uint32_t slot)
{
    uint8_t in[1 + sizeof from->b + sizeof slot];
    in[0] = from->v6;
    memcpy(in + 1, from->b, sizeof from->b);
    memcpy(in + 1 + sizeof from->b, &slot, sizeof slot);
    return (uint64_t)slot << 32 | (uint32_t)digest_siphash(&c->secret, span_of(in, sizeof in));
}

uint64_t connid_make(const struct connid *c, const struct addr *from, uint64_t now_ms)
{
    return make(c, from, slot_of(now_ms));
}

bool connid_check(const struct connid *c, uint64_t id, const struct addr *from, uint64_t now_ms)
{
    uint32_t slot = (uint32_t)(id >> 32);
    /* Unsigned, so that slots may wrap; one from the future is far in the past then. */
    uint32_t age = slot_of(now_ms) - slot;
    return age <= c->lifetime_ms / CONNID_SLOT_MS && id == make(c, from, slot);
}
