#include "base/pages.h"

#include <stdint.h>
#include <sys/mman.h>

#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define FORBIDS
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FORBIDS
#endif
#endif
#ifdef FORBIDS
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#include "base/banned.h"

void *pages_map(size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        mem_exhausted(len);
    }
    return p;
}

void *pages_map_aligned(size_t len)
{
    uint8_t *p = pages_map(len);
    if (((uintptr_t)p & (len - 1)) != 0) {
        pages_unmap(p, len);
        p = pages_map(2 * len);
        size_t before = -(uintptr_t)p & (len - 1);
        pages_unmap(p, before);
        pages_unmap(p + before + len, len - before);
        p += before;
    }
    /* Fails only where there are none. */
    (void)madvise(p, len, MADV_NOHUGEPAGE);
    return p;
}

void pages_unmap(void *pages, size_t len)
{
    if (len > 0) {
        /* Fails only for what was not mapped by us. */
        (void)munmap(pages, len);
    }
}

void pages_give_back(void *pages, size_t len)
{
    if (len > 0) {
        /* Fails only where memory is locked: then they stay. */
        (void)madvise(pages, len, MADV_DONTNEED);
    }
}

void pages_forbid(void *p, size_t n)
{
    ASAN_POISON_MEMORY_REGION(p, n);
}

void pages_allow(void *p, size_t n)
{
    ASAN_UNPOISON_MEMORY_REGION(p, n);
}
