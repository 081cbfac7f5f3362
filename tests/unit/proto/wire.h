/* wire.h: input for parser tests: captured bytes, and blocks of exactly the input's size, so that
 * AddressSanitizer sees every read past the end. Include after cmocka.h. */
#ifndef TESTS_PROTO_WIRE_H
#define TESTS_PROTO_WIRE_H

#include <stdio.h>
#include <stdlib.h>

#include "base/span.h"

enum { WIRE_FILE_MAX = 4096 };

/* A copy of s in a block of its own; free() its p. */
static inline struct span exact_copy(struct span s)
{
    uint8_t *p = malloc(s.n == 0 ? 1 : s.n);
    assert_non_null(p);
    if (s.n > 0) {
        memcpy(p, s.p, s.n);
    }
    return span_of(p, s.n);
}

static inline void exact_free(struct span s)
{
    free((void *)(uintptr_t)s.p);
}

/* A file of tests/data/wire; exact_free it. */
static inline struct span wire_file(const char *name)
{
    char path[512];
    uint8_t bytes[WIRE_FILE_MAX];
    (void)snprintf(path, sizeof path, "%s/wire/%s", TEST_DATA_DIR, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(bytes, 1, sizeof bytes, f);
    (void)fclose(f);
    assert_in_range(n, 1, sizeof bytes - 1);
    return exact_copy(span_of(bytes, n));
}

static inline void assert_span(struct span s, const char *text)
{
    assert_int_equal(s.n, strlen(text));
    if (s.n > 0) {
        assert_memory_equal(s.p, text, s.n);
    }
}

#endif
