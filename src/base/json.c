#include "base/json.h"

#include "base/banned.h"

size_t utf8_sequence_len(struct span s)
{
    if (s.n == 0) {
        return 0;
    }
    uint8_t c = s.p[0];
    if (c < 0x80) {
        return 1;
    }
    size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4 || s.n < len) {
        return 0;
    }
    /* The second byte's range excludes overlong forms, surrogates and what is above U+10FFFF. */
    uint8_t low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    uint8_t high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (s.p[1] < low || s.p[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if ((s.p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return len;
}

/* The escaped form of the character at the start of s, in out; *used bytes of s are done. */
static struct span escape(struct span s, uint8_t out[static 8], size_t *used)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t c = s.p[0];
    size_t len = utf8_sequence_len(s);
    *used = len == 0 ? 1 : len;
    if (len == 0) {
        return SPAN("\xef\xbf\xbd");
    }
    if (c == '"' || c == '\\') {
        out[0] = '\\';
        out[1] = c;
        return span_of(out, 2);
    }
    if (c < 0x20 || c == 0x7f) {
        memcpy(out, "\\u00", 4);
        out[4] = (uint8_t)hex[c >> 4];
        out[5] = (uint8_t)hex[c & 15];
        return span_of(out, 6);
    }
    return span_sub(s, 0, len);
}

void json_write_string(struct wr *w, struct span s)
{
    uint8_t tmp[8];
    wr_u8(w, '"');
    for (size_t i = 0, used; i < s.n; i += used) {
        wr_bytes(w, escape(span_sub(s, i, s.n), tmp, &used));
    }
    wr_u8(w, '"');
}

void json_add_string(struct buf *b, struct span s)
{
    uint8_t tmp[8];
    buf_add_byte(b, '"');
    for (size_t i = 0, used; i < s.n; i += used) {
        buf_add(b, escape(span_sub(s, i, s.n), tmp, &used));
    }
    buf_add_byte(b, '"');
}
