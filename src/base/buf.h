/* buf.h: owned bytes that grow up to a limit.
 *
 * Invariants len <= cap <= max. After the first append that would pass max, bad is set, the bytes
 *            stay as they were, and every later append does nothing: check once, at the end.
 * Memory     doubles up to max; released by buf_release, handed over by buf_take.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct buf {
    uint8_t *p;
    size_t len;
    bool bad;
    /* private */
    size_t cap;
    size_t max;
};

void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b);

/* Empty again, memory kept, bad forgotten. */
void buf_clear(struct buf *b);

/* Make room for n more bytes and return where they go; NULL (and bad) when that passes max.
 * The caller then adds what it wrote to b->len. */
uint8_t *buf_reserve(struct buf *b, size_t n);

void buf_add(struct buf *b, struct span s);
void buf_add_byte(struct buf *b, uint8_t c);
void buf_add_str(struct buf *b, const char *s);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_add_u64(struct buf *b, uint64_t v);
void buf_add_hex(struct buf *b, struct span s);

/* Drop the first n bytes (n <= len). */
void buf_consume(struct buf *b, size_t n);

/* The bytes, now the caller's (free()); b is empty again. NULL when nothing was ever added. */
uint8_t *buf_take(struct buf *b, size_t *len);

static inline struct span buf_span(const struct buf *b)
{
    return span_of(b->p, b->len);
}

#endif
