#include "api/hash_param.h"

#include "base/banned.h"

enum { BASE32_LEN = 32 };

static int base32_value(uint8_t c)
{
    if (c >= '2' && c <= '7') {
        return c - '2' + 26;
    }
    c |= 0x20;
    return c >= 'a' && c <= 'z' ? c - 'a' : -1;
}

static bool base32_decode(uint8_t out[static 20], struct span s)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t n = 0;
    if (s.n != BASE32_LEN) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        int v = base32_value(s.p[i]);
        if (v < 0) {
            return false;
        }
        bits = bits << 5 | (uint32_t)v;
        n_bits += 5;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[n++] = (uint8_t)(bits >> n_bits);
        }
    }
    return true;
}

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
    if (hex_decode(out->b, sizeof out->b, text) || base32_decode(out->b, text)) {
        return true;
    }
    if (text.n == sizeof out->b) {
        memcpy(out->b, text.p, sizeof out->b);
        return true;
    }
    return latin1_decode(out->b, text);
}
