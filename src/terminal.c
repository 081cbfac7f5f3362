#include "terminal.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

#include "base/banned.h"

/* The code point of a valid sequence of n bytes. */
static uint32_t code_point(const uint8_t *p, size_t n)
{
    static const uint8_t lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = p[0] & lead_bits[n];
    for (size_t i = 1; i < n; i++) {
        c = c << 6 | (p[i] & 0x3f);
    }
    return c;
}

static bool is_safe(uint32_t c)
{
    bool control = c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029;
    bool direction = c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
                     (c >= 0x2066 && c <= 0x2069);
    return !control && !direction;
}

void terminal_add(struct buf *b, struct span text)
{
    for (size_t i = 0, n; i < text.n; i += n) {
        n = utf8_sequence_len(span_sub(text, i, text.n));
        bool valid = n > 0;
        n = valid ? n : 1;
        if (valid && text.p[i] == '\\') {
            buf_add_str(b, "\\\\");
        } else if (valid && is_safe(code_point(text.p + i, n))) {
            buf_add(b, span_sub(text, i, n));
        } else {
            for (size_t k = 0; k < n; k++) {
                buf_addf(b, "\\x%02x", text.p[i + k]);
            }
        }
    }
}

void terminal_complain(const char *path, const char *text)
{
    struct buf line;
    buf_init(&line, TERMINAL_GROWTH * strlen(path) + strlen(text) + sizeof "rookery: : \n");
    buf_add_str(&line, "rookery: ");
    terminal_add(&line, span_str(path));
    buf_add_str(&line, ": ");
    buf_add_str(&line, text);
    buf_add_byte(&line, '\n');
    (void)fwrite(line.p, 1, line.len, stderr);
    buf_release(&line);
}

const char *terminal_errno_text(int errno_value)
{
    const char *text = strerrordesc_np(errno_value);
    return text != NULL ? text : "unknown error";
}
