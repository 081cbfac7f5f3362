#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

void mem_exhausted(size_t n)
{
    fprintf(stderr, "rookery: out of memory (%zu bytes)\n", n);
    abort();
}

static void *checked(void *p, size_t n)
{
    if (p == NULL) {
        mem_exhausted(n);
    }
    return p;
}

static size_t product(size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n)) {
        checked(NULL, SIZE_MAX);
    }
    return n == 0 ? 1 : n;
}

void *mem_zeroed(size_t n)
{
    return checked(calloc(1, n == 0 ? 1 : n), n);
}

void *mem_array(size_t count, size_t size)
{
    size_t n = product(count, size);
    return checked(malloc(n), n);
}

void *mem_resize(void *p, size_t count, size_t size)
{
    size_t n = product(count, size);
    return checked(realloc(p, n), n);
}

char *mem_strndup(const char *s, size_t n)
{
    char *copy = checked(malloc(n + 1), n + 1);
    if (n > 0) {
        memcpy(copy, s, n);
    }
    copy[n] = '\0';
    return copy;
}
