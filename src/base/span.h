/* span.h: borrowed bytes, passed by value.
 *
 * Model   p points at n readable bytes owned by somebody else; p may be NULL when n is 0.
 * Bytes   any value, no terminating NUL.
 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const uint8_t *p;
    size_t n;
};

/* A span over a string literal, without its NUL. */
#define SPAN(literal) ((struct span){(const uint8_t *)("" literal), sizeof(literal) - 1})

static inline struct span span_of(const void *p, size_t n)
{
    return (struct span){(const uint8_t *)p, n};
}

static inline struct span span_str(const char *s)
{
    return span_of(s, strlen(s));
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool span_starts_with(struct span s, struct span prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

/* The part of s from offset, len bytes long; cut to what s has (never outside of it). */
static inline struct span span_sub(struct span s, size_t offset, size_t len)
{
    if (offset > s.n) {
        offset = s.n;
    }
    if (len > s.n - offset) {
        len = s.n - offset;
    }
    return (struct span){s.p == NULL ? NULL : s.p + offset, len};
}

/* Index of the first byte c in s, or s.n when there is none. */
static inline size_t span_find(struct span s, uint8_t c)
{
    const uint8_t *hit = s.n == 0 ? NULL : memchr(s.p, c, s.n);
    return hit == NULL ? s.n : (size_t)(hit - s.p);
}

/* Cut s at the first byte c: returns what is before it and leaves what is behind it in *rest.
 * Without c: returns s and leaves *rest empty. rest may be NULL. */
static inline struct span span_cut(struct span s, uint8_t c, struct span *rest)
{
    size_t at = span_find(s, c);
    if (rest != NULL) {
        *rest = at < s.n ? span_sub(s, at + 1, s.n) : span_sub(s, s.n, 0);
    }
    return span_sub(s, 0, at);
}

static inline bool byte_is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* s without blanks and line ends at either end. */
static inline struct span span_trim(struct span s)
{
    while (s.n > 0 && byte_is_space(s.p[0])) {
        s = span_sub(s, 1, s.n);
    }
    while (s.n > 0 && byte_is_space(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

#endif
