/* mem.h: memory that is always there.
 *
 * These never return NULL (n > 0): on exhaustion the program aborts with one line, which removes
 * error paths that nobody tests. For sizes of our own choosing only: anything whose size comes
 * from outside goes through buf, which has a limit.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

/* n zeroed bytes. Free with free(). */
void *mem_zeroed(size_t n) __attribute__((malloc, returns_nonnull));

/* count * size bytes, not zeroed; overflow aborts. */
void *mem_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull));

/* Like realloc, to count * size bytes; count * size must not be 0. */
void *mem_resize(void *p, size_t count, size_t size) __attribute__((returns_nonnull));

/* A NUL-terminated copy of n bytes. */
char *mem_strndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));

/* Ends the program with that line: for who gets memory elsewhere. */
void mem_exhausted(size_t n) __attribute__((noreturn));

/* A zeroed object of the type. */
#define mem_new(type) ((type *)mem_zeroed(sizeof(type)))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
