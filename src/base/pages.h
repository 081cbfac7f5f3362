/* pages.h: memory from the kernel itself, in whole pages.
 *
 * Lengths are multiples of PAGE_LEN. Exhaustion aborts, as in mem.h.
 */
#ifndef BASE_PAGES_H
#define BASE_PAGES_H

#include <stddef.h>

enum { PAGE_LEN = 4096 };

/* Zeroed, each page when it is first touched. */
void *pages_map(size_t len) __attribute__((returns_nonnull));
/* Aligned to its length, a power of two; without huge pages. */
void *pages_map_aligned(size_t len) __attribute__((returns_nonnull));
void pages_unmap(void *pages, size_t len);

/* The addresses stay; their pages go, and come back zeroed when they are touched. */
void pages_give_back(void *pages, size_t len);

/* Under AddressSanitizer these bytes may not be touched, or may be again; else nothing. */
void pages_forbid(void *p, size_t n);
void pages_allow(void *p, size_t n);

#endif
