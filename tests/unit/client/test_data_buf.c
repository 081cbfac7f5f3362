/* Counted buffers: references, reuse, and how much is kept. */
#include "client/data_buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "unit/base/dies.h"

#include "base/banned.h"

static void a_buffer_lives_until_the_last_reference(void **state)
{
    struct data_pool *pool = data_pool_new();
    struct data_buf *d = data_new(pool, DATA_BLOCK_LEN);
    (void)state;
    assert_int_equal(d->len, 0);
    assert_int_equal(d->cap, DATA_BLOCK_LEN);
    memset(d->p, 7, d->cap);
    assert_ptr_equal(data_ref(d), d);
    data_unref(d);
    assert_int_equal(data_pool_used(pool), DATA_BLOCK_LEN);
    assert_int_equal(d->p[d->cap - 1], 7);
    data_unref(d);
    assert_int_equal(data_pool_used(pool), 0);
    data_unref(NULL);
    data_pool_free(pool);
}

static void a_freed_buffer_is_used_again_for_its_size(void **state)
{
    struct data_pool *pool = data_pool_new();
    struct data_buf *block = data_new(pool, DATA_BLOCK_LEN);
    struct data_buf *read = data_new(pool, DATA_READ_LEN);
    (void)state;
    assert_int_equal(data_pool_used(pool), DATA_BLOCK_LEN + DATA_READ_LEN);
    block->len = 5;
    data_unref(block);
    data_unref(read);
    struct data_buf *read_again = data_new(pool, DATA_READ_LEN);
    struct data_buf *block_again = data_new(pool, DATA_BLOCK_LEN);
    assert_ptr_equal(read_again, read);
    assert_ptr_equal(block_again, block);
    assert_int_equal(block_again->len, 0);
    data_unref(read_again);
    data_unref(block_again);
    data_pool_free(pool);
}

/* More than is kept goes out and comes back, in both sizes: what is over the limit is freed (the
 * leak checker looks after the rest). */
static void a_burst_is_not_kept(void **state)
{
    enum { N = DATA_KEEP_LEN / DATA_READ_LEN + 8 };
    static struct data_buf *bufs[N];
    struct data_pool *pool = data_pool_new();
    (void)state;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < N; i++) {
            bufs[i] = data_new(pool, i % 4 == 3 ? DATA_BLOCK_LEN : DATA_READ_LEN);
            memset(bufs[i]->p, (int)i, bufs[i]->cap);
        }
        assert_int_equal(data_pool_used(pool),
                         N / 4 * DATA_BLOCK_LEN + (N - N / 4) * DATA_READ_LEN);
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(bufs[i]->p[bufs[i]->cap - 1], i % 256);
            data_unref(bufs[i]);
        }
        assert_int_equal(data_pool_used(pool), 0);
    }
    data_pool_free(pool);
}

static void free_a_pool_in_use(void)
{
    struct data_pool *pool = data_pool_new();
    (void)data_new(pool, DATA_BLOCK_LEN);
    data_pool_free(pool);
}

static void ask_for_another_size(void)
{
    (void)data_new(data_pool_new(), 100);
}

static void bugs_abort(void **state)
{
    (void)state;
    assert_true(dies(free_a_pool_in_use));
    assert_true(dies(ask_for_another_size));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_lives_until_the_last_reference),
        cmocka_unit_test(a_freed_buffer_is_used_again_for_its_size),
        cmocka_unit_test(a_burst_is_not_kept),
        cmocka_unit_test(bugs_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
