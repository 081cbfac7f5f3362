/* What the disk counts: the time of its work, what it found in memory, what waits, who writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unit/client/disk_fixture.h"

#include "base/banned.h"

enum { CONTENT_LEN = 1 << 20, TORRENT_PIECE_LEN = 1 << 18 };

static struct disk_fixture x;

static int setup(void **state)
{
    static const struct fixture_file files[] = {{"big", CONTENT_LEN, NULL}};
    (void)state;
    fixture_open(&x);
    fixture_add(&x, fixture_layout("t", files, 1, TORRENT_PIECE_LEN), NULL, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_close(&x);
    return 0;
}

static struct disk_stats stats(void)
{
    struct disk_stats s;
    disk_stats(x.disk, &s);
    return s;
}

static void the_time_of_each_kind_of_work(void **state)
{
    struct disk_job job;
    (void)state;
    fixture_write_all(&x);
    struct disk_stats wrote = stats();
    assert_true(wrote.write_ns > 0);
    assert_int_equal(wrote.work_ns, wrote.write_ns);
    assert_int_equal(wrote.read_ns + wrote.hash_ns + wrote.read_wait_ns, 0);

    assert_int_equal(fixture_hash_status(&x, 0, TORRENT_PIECE_LEN, NULL), 0);
    struct disk_stats hashed = stats();
    assert_true(hashed.hash_ns > 0 && hashed.read_ns > 0);
    assert_int_equal(hashed.read_wait_ns, 0); /* nobody asked for that read */
    assert_int_equal(hashed.work_ns, hashed.write_ns + hashed.read_ns + hashed.hash_ns);

    assert_int_equal(fixture_do_op(&x, DISK_CLOSE, &job), 0); /* so that it takes a thread */
    const uint64_t begun_ns = uv_hrtime();
    assert_int_equal(fixture_read(&x, 0, DATA_BLOCK_LEN, NULL), 0);
    const uint64_t all_ns = uv_hrtime() - begun_ns;
    struct disk_stats read = stats();
    assert_int_equal(read.reads_pool, 1);
    assert_true(read.read_ns > hashed.read_ns);
    assert_in_range(read.read_wait_ns, read.read_ns - hashed.read_ns, all_ns);
    assert_int_equal(read.hash_ns, hashed.hash_ns);

    assert_int_equal(fixture_do_op(&x, DISK_SYNC, &job), 0);
    struct disk_stats synced = stats();
    assert_true(synced.work_ns > read.work_ns);
    assert_int_equal(synced.read_ns + synced.write_ns + synced.hash_ns,
                     read.read_ns + read.write_ns + read.hash_ns);
}

/* Of 64 blocks that are all in memory, none or each one is a hit: it depends on the file system. */
static void what_was_in_memory(void **state)
{
    enum { N_BLOCKS = CONTENT_LEN / DATA_BLOCK_LEN };
    (void)state;
    fixture_write_all(&x);
    for (int i = 0; i < N_BLOCKS; i++) {
        assert_int_equal(fixture_read(&x, (uint64_t)i * DATA_BLOCK_LEN, DATA_BLOCK_LEN, NULL), 0);
    }
    struct disk_stats s = stats();
    assert_int_equal(s.reads_cached + s.reads_pool, N_BLOCKS);
    assert_int_equal(s.blocks_cached, s.reads_cached);
    assert_true(s.blocks_cached > 0);
    assert_int_equal(fixture_read(&x, 10, 2 * DATA_BLOCK_LEN - 5, NULL), 0);
    assert_in_range(stats().blocks_cached, s.blocks_cached, s.blocks_cached + 2);
}

static void what_waits_for_names(void **state)
{
    struct disk_job reader = {.op = DISK_READ, .torrent = 1, .len = 100, .n_bufs = 1};
    struct disk_job hash = {.op = DISK_HASH, .torrent = 1, .len = 100};
    struct disk_job wanted = {.op = DISK_WANTED, .torrent = 1, .wanted = (const uint8_t[]){1}};
    struct disk_job sync = {.op = DISK_SYNC, .torrent = 1};
    struct disk_job remove = {.op = DISK_REMOVE, .torrent = 1, .with_data = true};
    static const uint32_t none[DISK_N_OPS];
    (void)state;
    fixture_write_all(&x);
    const size_t n_back = x.n_back;
    reader.bufs[0] = data_new(x.pool, DATA_BLOCK_LEN);
    disk_start(x.disk, &hash);
    assert_memory_equal(stats().held, none, sizeof none);
    disk_start(x.disk, &wanted); /* waits for the hash */
    disk_start(x.disk, &reader);
    disk_start(x.disk, &sync);
    disk_start(x.disk, &remove);
    struct disk_stats s = stats();
    assert_int_equal(s.held[DISK_HASH], 0);
    assert_int_equal(s.held[DISK_WANTED], 1);
    assert_int_equal(s.held[DISK_READ], 1);
    assert_int_equal(s.held[DISK_SYNC], 1);
    assert_int_equal(s.held[DISK_REMOVE], 1);
    assert_int_equal(s.n_deletes_held, 1);
    fixture_run(&x, n_back + 2); /* the hash and WANTED: nothing but the deletion is in the way */
    s = stats();
    assert_int_equal(s.held[DISK_WANTED] + s.held[DISK_READ] + s.held[DISK_SYNC], 0);
    fixture_run(&x, n_back + 5);
    assert_memory_equal(stats().held, none, sizeof none);
    assert_int_equal(stats().n_deletes_held, 0);
    fixture_release(&reader);
}

/* More writes than may run at once, and no fence: that is not what is counted here. */
static void writes_wait_for_each_other(void **state)
{
    enum { N_WRITES = 8, LEN = CONTENT_LEN / N_WRITES };
    struct disk_job jobs[N_WRITES];
    (void)state;
    for (uint32_t i = 0; i < N_WRITES; i++) {
        jobs[i] = fixture_write_job(&x, (uint64_t)i * LEN, LEN, DATA_BLOCK_LEN);
        disk_start(x.disk, &jobs[i]);
    }
    assert_int_equal(stats().held[DISK_WRITE], 0);
    fixture_run(&x, N_WRITES);
    for (uint32_t i = 0; i < N_WRITES; i++) {
        fixture_release(&jobs[i]);
    }
}

/* A thread may have written before we looked, so this goes on until one was seen. */
static void threads_that_write(void **state)
{
    uint32_t seen = 0;
    (void)state;
    assert_int_equal(stats().writing, 0);
    while (seen == 0) {
        struct disk_job job = fixture_write_job(&x, 0, PIECE_RUN_LEN, DATA_BLOCK_LEN);
        const uint64_t patience_ns = uv_hrtime() + UINT64_C(20000000);
        disk_start(x.disk, &job);
        while (seen == 0 && uv_hrtime() < patience_ns) {
            seen = stats().writing;
        }
        fixture_run(&x, x.n_back + 1);
        fixture_release(&job);
    }
    assert_int_equal(seen, 1);
    assert_int_equal(stats().writing, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_time_of_each_kind_of_work, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_in_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(what_waits_for_names, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_wait_for_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(threads_that_write, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
