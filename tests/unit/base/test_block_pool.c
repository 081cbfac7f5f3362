/* A pool against a model: blocks keep what was written, never overlap, and pages go back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/block_pool.h"
#include "base/pages.h"
#include "base/rng.h"

#include "base/banned.h"

enum {
    BLOCKS_MAX = 6000,
    N_LENS = 8,
    SLAB_LEN_MAX = 64 * 1024,
};

static const uint32_t lens[N_LENS] = {16, 60, 580, 1024, 4096, 7424, 20000, BLOCK_LEN_MAX};

struct block {
    uint8_t *p;
    unsigned class_at;
    uint8_t fill;
};

struct model {
    struct block_pool pool;
    struct block blocks[BLOCKS_MAX];
    size_t n;
    struct rng rng;
};

static struct model m;

static int begin(void **state)
{
    (void)state;
    memset(&m, 0, sizeof m);
    m.rng.state = 17;
    block_pool_init(&m.pool, lens, N_LENS);
    return 0;
}

static int end(void **state)
{
    (void)state;
    while (m.n > 0) { /* of a test that failed */
        m.n--;
        block_pool_free(&m.pool, m.blocks[m.n].class_at, m.blocks[m.n].p);
    }
    block_pool_release(&m.pool);
    return 0;
}

static void take(unsigned class_at)
{
    struct block *b = &m.blocks[m.n++];
    *b = (struct block){block_pool_alloc(&m.pool, class_at), class_at, (uint8_t)rng_next(&m.rng)};
    memset(b->p, b->fill, lens[class_at]);
}

/* Every byte is as it was written: another block that overlaps has other bytes there. */
static void is_intact(const struct block *b)
{
    for (uint32_t i = 0; i < lens[b->class_at]; i++) {
        assert_int_equal(b->p[i], b->fill);
    }
}

static void give(size_t i)
{
    is_intact(&m.blocks[i]);
    block_pool_free(&m.pool, m.blocks[i].class_at, m.blocks[i].p);
    m.blocks[i] = m.blocks[--m.n];
}

static void settle_all(void)
{
    for (size_t i = 0; i < m.n; i++) {
        struct block *b = &m.blocks[i];
        b->p = block_pool_settle(&m.pool, b->class_at, b->p);
        is_intact(b);
    }
}

static size_t used_len(void)
{
    size_t len = 0;
    for (size_t i = 0; i < m.n; i++) {
        len += lens[m.blocks[i].class_at];
    }
    return len;
}

static int compare_blocks(const void *x, const void *y)
{
    const uint8_t *p = ((const struct block *)x)->p;
    const uint8_t *q = ((const struct block *)y)->p;
    return (p > q) - (p < q);
}

static void nothing_overlaps(void)
{
    qsort(m.blocks, m.n, sizeof m.blocks[0], compare_blocks);
    for (size_t i = 1; i < m.n; i++) {
        const struct block *before = &m.blocks[i - 1];
        assert_true(before->p + lens[before->class_at] <= m.blocks[i].p);
    }
}

static void blocks_are_apart_and_keep_what_is_in_them(void **state)
{
    (void)state;
    for (int turn = 0; turn < 12; turn++) {
        bool up = turn % 3 != 2;
        for (int step = 0; step < 4000; step++) {
            bool take_one = rng_below(&m.rng, 10) < (up ? 7u : 2u);
            if (take_one && m.n < BLOCKS_MAX) {
                take(rng_below(&m.rng, rng_below(&m.rng, N_LENS) + 1)); /* mostly small */
            } else if (m.n > 0) {
                give(rng_below(&m.rng, (uint32_t)m.n));
            }
        }
        nothing_overlaps();
        settle_all();
        nothing_overlaps();
    }
    while (m.n > 0) {
        give(m.n - 1);
    }
    assert_false(block_pool_is_sparse(&m.pool));
}

static void a_block_is_aligned_as_its_length(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        take(3);
        take(4);
        assert_int_equal((uintptr_t)m.blocks[m.n - 2].p % 1024, 0);
        assert_int_equal((uintptr_t)m.blocks[m.n - 1].p % PAGE_LEN, 0);
    }
    while (m.n > 0) {
        give(m.n - 1);
    }
}

/* Nine of ten blocks go at random, which leaves hardly a slab without one. */
static void settling_gives_slabs_back(void **state)
{
    (void)state;
    for (unsigned class_at = 0; class_at < N_LENS; class_at++) {
        while (m.n < BLOCKS_MAX / 2) {
            take(class_at);
        }
        while (m.n > BLOCKS_MAX / 20) {
            give(rng_below(&m.rng, (uint32_t)m.n));
        }
        for (int round = 0; round < 3; round++) {
            settle_all();
        }
        assert_false(block_pool_is_sparse(&m.pool));
        block_pool_trim(&m.pool);
        size_t arenas_len = (size_t)m.pool.n_arenas * PAGE_LEN;
        assert_true(block_pool_held(&m.pool) - arenas_len <= used_len() * 5 / 4 + SLAB_LEN_MAX);
        while (m.n > 0) {
            give(m.n - 1);
        }
    }
}

static size_t resident_pages(uint8_t *const *pages, size_t n)
{
    size_t resident = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char in = 0;
        assert_int_equal(mincore(pages[i], PAGE_LEN, &in), 0);
        resident += in & 1;
    }
    return resident;
}

static void the_kernel_has_the_pages_back(void **state)
{
    enum { PAGES = 2000 };
    static uint8_t *pages[PAGES];
    (void)state;
    for (size_t i = 0; i < PAGES; i++) {
        take(4);
        pages[i] = m.blocks[i].p;
    }
    assert_int_equal(resident_pages(pages, PAGES), PAGES);
    while (m.n > 0) {
        give(m.n - 1);
    }
    assert_int_equal(resident_pages(pages, PAGES), 2);
    block_pool_trim(&m.pool);
    assert_int_equal(resident_pages(pages, PAGES), 0);
}

/* What comes and goes asks the kernel for nothing. */
static void a_slab_waits_with_its_pages(void **state)
{
    uint8_t *pages[3];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        take(4);
        pages[i] = m.blocks[i].p;
    }
    for (int i = 0; i < 10; i++) {
        give(2);
        give(1);
        assert_int_equal(resident_pages(pages, 3), 3);
        take(4);
        take(4);
    }
    while (m.n > 0) {
        give(m.n - 1);
    }
    size_t held = block_pool_held(&m.pool);
    assert_int_equal(resident_pages(pages, 3), 2);
    block_pool_trim(&m.pool);
    assert_int_equal(resident_pages(pages, 3), 0);
    assert_int_equal(block_pool_held(&m.pool), held - 2 * PAGE_LEN);
}

/* From a class whose blocks reach its end to one that leaves some of it over, and back. */
static void a_slab_that_waited_has_the_pages_of_its_class(void **state)
{
    enum { ALL = 8, SOME = 5 };
    uint8_t *pages[ALL];
    (void)state;
    for (int i = 0; i < 3; i++) {
        take(7);
        for (size_t k = 0; k < ALL; k++) {
            pages[k] = m.blocks[0].p + k * PAGE_LEN;
        }
        assert_int_equal(resident_pages(pages, ALL), ALL);
        give(0);
        assert_int_equal(resident_pages(pages, ALL), ALL);
        take(6);
        assert_ptr_equal(m.blocks[0].p, pages[0]);
        assert_int_equal(resident_pages(pages, SOME), SOME);
        assert_int_equal(resident_pages(pages + SOME, ALL - SOME), 0);
        give(0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(blocks_are_apart_and_keep_what_is_in_them, begin, end),
        cmocka_unit_test_setup_teardown(a_block_is_aligned_as_its_length, begin, end),
        cmocka_unit_test_setup_teardown(settling_gives_slabs_back, begin, end),
        cmocka_unit_test_setup_teardown(the_kernel_has_the_pages_back, begin, end),
        cmocka_unit_test_setup_teardown(a_slab_waits_with_its_pages, begin, end),
        cmocka_unit_test_setup_teardown(a_slab_that_waited_has_the_pages_of_its_class, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
