/* cursor.h: reading and writing big-endian wire formats over given memory.
 *
 * Sticky   reading past the end yields zeros (or an empty span) and sets bad; writing past the end
 *          writes nothing and sets bad. Callers check bad once per message.
 * Order    network byte order throughout.
 */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/span.h"

struct rd {
    const uint8_t *p;
    const uint8_t *end;
    bool bad;
};

struct wr {
    uint8_t *p; /* next byte to write */
    uint8_t *end;
    uint8_t *start;
    bool bad;
};

static inline struct rd rd_over(struct span s)
{
    return (struct rd){s.p, s.p == NULL ? NULL : s.p + s.n, false};
}

static inline size_t rd_left(const struct rd *r)
{
    return (size_t)(r->end - r->p);
}

/* The next n bytes, borrowed; empty and bad when there are fewer. */
static inline struct span rd_bytes(struct rd *r, size_t n)
{
    if (r->bad || n > rd_left(r)) {
        r->bad = true;
        return (struct span){NULL, 0};
    }
    struct span s = {r->p, n};
    r->p = n == 0 ? r->p : r->p + n; /* p may be NULL */
    return s;
}

/* Copy n bytes to out; zeros when there are fewer. */
static inline void rd_copy(struct rd *r, void *out, size_t n)
{
    struct span s = rd_bytes(r, n);
    if (s.n == n && n > 0) {
        memcpy(out, s.p, n);
    } else {
        memset(out, 0, n);
    }
}

static inline uint8_t rd_u8(struct rd *r)
{
    struct span s = rd_bytes(r, 1);
    return s.n == 1 ? s.p[0] : 0;
}

static inline uint16_t rd_u16(struct rd *r)
{
    uint16_t v = 0;
    struct span s = rd_bytes(r, 2);
    if (s.n == 2) {
        memcpy(&v, s.p, 2);
    }
    return __builtin_bswap16(v);
}

static inline uint32_t rd_u32(struct rd *r)
{
    uint32_t v = 0;
    struct span s = rd_bytes(r, 4);
    if (s.n == 4) {
        memcpy(&v, s.p, 4);
    }
    return __builtin_bswap32(v);
}

static inline uint64_t rd_u64(struct rd *r)
{
    uint64_t v = 0;
    struct span s = rd_bytes(r, 8);
    if (s.n == 8) {
        memcpy(&v, s.p, 8);
    }
    return __builtin_bswap64(v);
}

static inline struct wr wr_over(void *p, size_t n)
{
    return (struct wr){p, p == NULL ? NULL : (uint8_t *)p + n, p, false};
}

static inline size_t wr_len(const struct wr *w)
{
    return (size_t)(w->p - w->start);
}

static inline size_t wr_room(const struct wr *w)
{
    return w->bad ? 0 : (size_t)(w->end - w->p);
}

static inline struct span wr_span(const struct wr *w)
{
    return (struct span){w->start, wr_len(w)};
}

/* Room for n bytes that the caller fills at once; NULL and bad when there is none. */
static inline uint8_t *wr_reserve(struct wr *w, size_t n)
{
    if (w->bad || n > (size_t)(w->end - w->p)) {
        w->bad = true;
        return NULL;
    }
    uint8_t *at = w->p;
    w->p = n == 0 ? w->p : w->p + n; /* p may be NULL */
    return at;
}

static inline void wr_bytes(struct wr *w, struct span s)
{
    uint8_t *at = wr_reserve(w, s.n);
    if (at != NULL && s.n > 0) {
        memcpy(at, s.p, s.n);
    }
}

static inline void wr_u8(struct wr *w, uint8_t v)
{
    wr_bytes(w, span_of(&v, 1));
}

static inline void wr_u16(struct wr *w, uint16_t v)
{
    uint16_t be = __builtin_bswap16(v);
    wr_bytes(w, span_of(&be, 2));
}

static inline void wr_u32(struct wr *w, uint32_t v)
{
    uint32_t be = __builtin_bswap32(v);
    wr_bytes(w, span_of(&be, 4));
}

static inline void wr_u64(struct wr *w, uint64_t v)
{
    uint64_t be = __builtin_bswap64(v);
    wr_bytes(w, span_of(&be, 8));
}

/* v in decimal digits. */
static inline void wr_dec(struct wr *w, uint64_t v)
{
    uint8_t digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (uint8_t)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    wr_bytes(w, span_of(digits + at, sizeof digits - at));
}

#endif
