#include "base/ids.h"

#include "base/banned.h"

void hex_encode(char *out, struct span bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.n; i++) {
        out[2 * i] = digits[bytes.p[i] >> 4];
        out[2 * i + 1] = digits[bytes.p[i] & 15];
    }
    out[2 * bytes.n] = '\0';
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(uint8_t *out, size_t out_len, struct span s)
{
    if (s.n / 2 != out_len || s.n % 2 != 0) {
        return false;
    }
    for (size_t i = 0; i < out_len; i++) {
        int high = hex_value(s.p[2 * i]);
        int low = hex_value(s.p[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static int base32_value(uint8_t c)
{
    if (c >= '2' && c <= '7') {
        return c - '2' + 26;
    }
    c |= 0x20;
    return c >= 'a' && c <= 'z' ? c - 'a' : -1;
}

bool base32_decode(uint8_t *out, size_t out_len, struct span s)
{
    if (out_len % 5 != 0 || s.n % 8 != 0 || s.n / 8 != out_len / 5) {
        return false;
    }
    uint64_t bits = 0;
    for (size_t i = 0; i < s.n; i++) {
        int value = base32_value(s.p[i]);
        if (value < 0) {
            return false;
        }
        bits = bits << 5 | (unsigned)value;
        if (i % 8 == 7) {
            for (size_t k = 0; k < 5; k++) {
                *out++ = (uint8_t)(bits >> (32 - 8 * k));
            }
        }
    }
    return true;
}
