#include "base/base64.h"

#include "base/banned.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char for_urls[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Up to three bytes as up to four letters; returns how many. */
static size_t encode_group(uint8_t out[static 4], struct span group, const char *letters)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < 3; i++) {
        bits = bits << 8 | (i < group.n ? group.p[i] : 0U);
    }
    for (size_t i = 0; i <= group.n; i++) {
        out[i] = (uint8_t)letters[bits >> (18 - 6 * i) & 63];
    }
    return group.n + 1;
}

static void add(struct buf *out, struct span bytes, const char *letters, bool padded)
{
    for (size_t at = 0; at < bytes.n; at += 3) {
        uint8_t group[4] = {'=', '=', '=', '='};
        size_t n = encode_group(group, span_sub(bytes, at, 3), letters);
        buf_add(out, span_of(group, padded ? 4 : n));
    }
}

void base64_add(struct buf *out, struct span bytes)
{
    add(out, bytes, standard, true);
}

void base64url_add(struct buf *out, struct span bytes)
{
    add(out, bytes, for_urls, false);
}

static int value_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Two to four letters as one to three bytes. */
static bool decode_group(struct buf *out, struct span group)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < group.n; i++) {
        int value = value_of(group.p[i]);
        if (value < 0) {
            return false;
        }
        bits |= (uint32_t)value << (18 - 6 * i);
    }
    size_t n = group.n - 1;
    uint8_t bytes[3] = {(uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits};
    if ((bits & (0xffffffU >> (8 * n))) != 0) {
        return false;
    }
    buf_add(out, span_of(bytes, n));
    return true;
}

bool base64_add_decoded(struct buf *out, struct span text)
{
    if (text.n % 4 == 0 && text.n > 0 && text.p[text.n - 1] == '=') {
        text.n -= text.p[text.n - 2] == '=' ? 2 : 1;
    }
    if (text.n % 4 == 1) {
        return false;
    }
    for (size_t at = 0; at < text.n; at += 4) {
        if (!decode_group(out, span_sub(text, at, 4))) {
            return false;
        }
    }
    return !out->bad;
}
