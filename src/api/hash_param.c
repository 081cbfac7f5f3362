#include "api/hash_param.h"

#include "base/banned.h"

static bool latin1_decode(uint8_t out[static 20], struct span s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; n++) {
        uint8_t c = s.p[i];
        if (n == 20) {
            return false;
        }
        if (c < 0x80) {
            out[n] = c;
            i++;
        } else if ((c == 0xc2 || c == 0xc3) && i + 1 < s.n && (s.p[i + 1] & 0xc0) == 0x80) {
            out[n] = (uint8_t)(c << 6 | (s.p[i + 1] & 0x3f));
            i += 2;
        } else {
            return false;
        }
    }
    return n == 20;
}

bool hash_param_parse(struct infohash *out, struct span text)
{
    if (hex_decode(out->b, sizeof out->b, text) || base32_decode(out->b, sizeof out->b, text)) {
        return true;
    }
    if (text.n == sizeof out->b) {
        memcpy(out->b, text.p, sizeof out->b);
        return true;
    }
    return latin1_decode(out->b, text);
}
