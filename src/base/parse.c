#include "base/parse.h"

#include "base/ids.h"

#include "base/banned.h"

bool parse_u64(uint64_t *out, struct span s, uint64_t max)
{
    uint64_t v = 0;
    if (s.n == 0) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)s.p[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)digit, &v)) {
            return false;
        }
    }
    if (v > max) {
        return false;
    }
    *out = v;
    return true;
}

long percent_decode(uint8_t *out, size_t cap, struct span in)
{
    size_t n = 0;
    for (size_t i = 0; i < in.n; n++) {
        if (n == cap) {
            return -1;
        }
        if (in.p[i] != '%') {
            out[n] = in.p[i++];
            continue;
        }
        if (!hex_decode(out + n, 1, span_sub(in, i + 1, 2))) {
            return -1;
        }
        i += 3;
    }
    return (long)n;
}

static bool is_alphanumeric(uint8_t c)
{
    uint8_t lower = c | 0x20;
    return (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'z');
}

void percent_encode(struct wr *w, struct span s, struct span signs)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        uint8_t escape[3] = {'%', (uint8_t)hex[c >> 4], (uint8_t)hex[c & 15]};
        bool stays = is_alphanumeric(c) || span_find(signs, c) < signs.n;
        wr_bytes(w, stays ? span_of(&c, 1) : span_of(escape, sizeof escape));
    }
}
