#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/cursor.h"
#include "base/mem.h"

#include "base/banned.h"

enum { FIRST_CAP = 64 };

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_release(struct buf *b)
{
    free(b->p);
    *b = (struct buf){.max = b->max};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->bad = false;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
    if (b->bad || n > b->max - b->len) {
        b->bad = true;
        return NULL;
    }
    if (n > b->cap - b->len || b->p == NULL) {
        size_t want = b->len + n;
        size_t cap = b->cap > 0 ? b->cap : b->max < FIRST_CAP ? b->max : FIRST_CAP;
        while (cap < want) {
            cap = cap > b->max / 2 ? b->max : cap * 2;
        }
        b->p = mem_resize(b->p, cap, 1);
        b->cap = cap;
    }
    return b->p + b->len;
}

void buf_add(struct buf *b, struct span s)
{
    uint8_t *to = buf_reserve(b, s.n);
    if (to != NULL && s.n > 0) {
        memcpy(to, s.p, s.n);
        b->len += s.n;
    }
}

void buf_add_byte(struct buf *b, uint8_t c)
{
    buf_add(b, span_of(&c, 1));
}

void buf_add_str(struct buf *b, const char *s)
{
    buf_add(b, span_str(s));
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    ASSERT(n >= 0);
    if (b->bad || (size_t)n > b->max - b->len) {
        b->bad = true;
        return;
    }
    /* vsnprintf writes a NUL as well, so one byte more than we keep must fit. */
    char small[256];
    char *text = (size_t)n < sizeof small ? small : mem_array((size_t)n + 1, 1);
    va_start(ap, fmt);
    (void)vsnprintf(text, (size_t)n + 1, fmt, ap);
    va_end(ap);
    buf_add(b, span_of(text, (size_t)n));
    if (text != small) {
        free(text);
    }
}

void buf_add_u64(struct buf *b, uint64_t v)
{
    uint8_t digits[20];
    struct wr w = wr_over(digits, sizeof digits);
    wr_dec(&w, v);
    buf_add(b, wr_span(&w));
}

void buf_add_hex(struct buf *b, struct span s)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t *to = s.n > SIZE_MAX / 2 ? NULL : buf_reserve(b, s.n * 2);
    if (to == NULL) {
        b->bad = true;
        return;
    }
    for (size_t i = 0; i < s.n; i++) {
        to[2 * i] = (uint8_t)digits[s.p[i] >> 4];
        to[2 * i + 1] = (uint8_t)digits[s.p[i] & 15];
    }
    b->len += s.n * 2;
}

void buf_consume(struct buf *b, size_t n)
{
    ASSERT(n <= b->len);
    b->len -= n;
    if (b->len > 0) {
        memmove(b->p, b->p + n, b->len);
    }
}

uint8_t *buf_take(struct buf *b, size_t *len)
{
    uint8_t *p = b->p;
    *len = b->len;
    *b = (struct buf){.max = b->max};
    return p;
}
