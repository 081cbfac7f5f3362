/* What the disk does with real files: where bytes go, what it refuses, and what it leaves behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/client/disk_fixture.h"

#include <signal.h>
#include <sys/resource.h>

#include "base/banned.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { PIECE_LEN = 32768 };

#define PARTS "." FIXTURE_HASH_HEX ".parts"

static const struct fixture_file small_files[] = {
    {"a.bin", 40000, NULL}, {"sub|b.bin", 100, NULL},    {"empty", 0, NULL},
    {".pad|1", 25436, "p"}, {"sub|deep|c", 70000, NULL}, {"last|empty", 0, NULL},
};

static struct disk_fixture x;

static int open_small(void **state)
{
    (void)state;
    fixture_open(&x);
    fixture_add(&x, fixture_layout("t", small_files, COUNT(small_files), PIECE_LEN), NULL, false);
    return 0;
}

static int open_bare(void **state)
{
    (void)state;
    fixture_open(&x);
    return 0;
}

static int close_fixture(void **state)
{
    (void)state;
    fixture_close(&x);
    return 0;
}

static bool says(const struct err *e, const char *text)
{
    return strstr(e->msg, text) != NULL;
}

/* ---- reading and writing --------------------------------------------------------------------- */

static void what_is_written_is_read(void **state)
{
    struct disk_stats stats;
    struct disk_job job;
    (void)state;
    fixture_write_all(&x);
    for (uint64_t at = 0; at < x.layout->total_len; at += 10000) {
        uint64_t left = x.layout->total_len - at;
        uint32_t len = left < 50000 ? (uint32_t)left : 50000;
        assert_int_equal(fixture_read(&x, at, len, NULL), 0);
        assert_int_equal(fixture_hash_status(&x, at, len, NULL), 0);
    }
    assert_int_equal(fixture_len(&x, "t/a.bin"), 40000);
    assert_int_equal(fixture_len(&x, "t/sub/b.bin"), 100);
    assert_int_equal(fixture_len(&x, "t/sub/deep/c"), 70000);
    assert_int_equal(fixture_len(&x, "t/empty"), 0);
    assert_int_equal(fixture_len(&x, "t/last/empty"), 0);
    assert_int_equal(fixture_len(&x, "t/.pad"), -1);
    assert_int_equal(fixture_len(&x, PARTS), -1);
    assert_int_equal(fixture_do_op(&x, DISK_SYNC, &job), 0);
    assert_int_equal(fixture_do_op(&x, DISK_SYNC, &job), 0); /* nothing is left for this one */
    assert_int_equal(fixture_do_op(&x, DISK_CHECK, &job), 0);
    assert_true(job.any_data);
    disk_stats(x.disk, &stats);
    assert_int_equal(stats.jobs, 0);
    assert_true(stats.opens > 0 && stats.open_hits > 0);
}

static void a_file_has_its_length_from_the_first_byte_on(void **state)
{
    (void)state;
    assert_int_equal(fixture_write(&x, 70000, 10, NULL), 0);
    assert_int_equal(fixture_len(&x, "t/sub/deep/c"), 70000);
    assert_int_equal(fixture_len(&x, "t/a.bin"), -1);
    assert_int_equal(fixture_read(&x, 70000, 10, NULL), 0);
}

static void empty_files_come_with_the_byte_before_them(void **state)
{
    static const struct fixture_file files[] = {
        {"e0", 0, NULL}, {"a", 10, NULL}, {"e1", 0, NULL}, {"b", 10, NULL}, {"e2", 0, NULL}};
    (void)state;
    fixture_add(&x, fixture_layout("t", files, COUNT(files), PIECE_LEN), NULL, false);
    assert_int_equal(fixture_write(&x, 1, 8, NULL), 0);
    assert_int_equal(fixture_len(&x, "t/e0"), -1);
    assert_int_equal(fixture_len(&x, "t/e1"), -1);
    assert_int_equal(fixture_write(&x, 0, 1, NULL), 0);
    assert_int_equal(fixture_len(&x, "t/e0"), 0);
    assert_int_equal(fixture_write(&x, 9, 1, NULL), 0);
    assert_int_equal(fixture_len(&x, "t/e1"), 0);
    assert_int_equal(fixture_len(&x, "t/e2"), -1);
    assert_int_equal(fixture_write(&x, 10, 10, NULL), 0);
    assert_int_equal(fixture_len(&x, "t/e2"), 0);
}

static void allocated_files_have_their_space(void **state)
{
    static const struct fixture_file files[] = {{"big", 1 << 20, NULL}};
    struct stat st;
    (void)state;
    fixture_add(&x, fixture_layout("t", files, 1, PIECE_LEN), NULL, true);
    assert_int_equal(fixture_write(&x, 0, 1, NULL), 0);
    assert_int_equal(stat(fixture_path(&x, "t/big"), &st), 0);
    assert_int_equal(st.st_size, 1 << 20);
    assert_true(st.st_blocks * 512 >= 1 << 20);
}

static void what_is_cached_needs_no_thread(void **state)
{
    struct disk_stats before;
    struct disk_stats after;
    (void)state;
    fixture_write_all(&x);
    disk_stats(x.disk, &before);
    assert_int_equal(fixture_read(&x, 1000, 1000, NULL), 0);
    assert_int_equal(fixture_read(&x, 39000, 28000, NULL), 0); /* four files, one a pad */
    disk_stats(x.disk, &after);
    assert_int_equal(after.reads_cached + after.reads_pool,
                     before.reads_cached + before.reads_pool + 2);
    assert_int_equal(after.opens, before.opens); /* they were open */
}

/* Pieces in any order, many small files, odd lengths: the content comes out of it. */
static struct layout *random_layout(struct rng *rng, uint32_t piece_len)
{
    struct buf b;
    uint32_t n_files = 1 + rng_below(rng, 60);
    uint64_t total_len = 1;
    buf_init(&b, SIZE_MAX);
    buf_add_str(&b, "d5:filesl");
    for (uint32_t i = 0; i < n_files; i++) {
        char path[64];
        static const uint32_t most[] = {1, 3, 500, 20000, 200000};
        uint32_t len = rng_below(rng, most[rng_below(rng, COUNT(most))]);
        int n = snprintf(path, sizeof path, "d%u|e%u|f%u", rng_below(rng, 3), rng_below(rng, 3), i);
        fixture_add_file(&b, span_of(path, (size_t)n), len, rng_below(rng, 6) == 0 ? "p" : NULL);
        total_len += len;
    }
    fixture_add_file(&b, SPAN("one"), 1, NULL);
    buf_add_byte(&b, 'e');
    fixture_add_tail(&b, SPAN("random"), piece_len, total_len);
    return fixture_layout_of(&b);
}

static void write_in_any_order(struct rng *rng)
{
    uint32_t n = x.layout->geometry.n_pieces;
    uint32_t *order = mem_array(n, sizeof *order);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = rng_below(rng, i + 1);
        order[i] = order[k];
        order[k] = i;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint64_t offset = (uint64_t)order[i] * x.layout->geometry.piece_len;
        uint32_t len = peer_wire_piece_len(&x.layout->geometry, order[i]);
        struct disk_job job =
            fixture_write_job(&x, offset, len, 1 + rng_below(rng, DATA_BLOCK_LEN));
        assert_int_equal(fixture_do(&x, &job), 0);
        fixture_release(&job);
    }
    free(order);
}

static void random_torrents_come_out_as_they_went_in(void **state)
{
    static const uint32_t piece_lens[] = {100, 16384, 40001, 1 << 19,
                                          PIECE_RUN_LEN - DATA_BLOCK_LEN};
    (void)state;
    for (uint32_t round = 0; round < 10; round++) {
        struct rng rng = {round};
        uint32_t piece_len = piece_lens[round % COUNT(piece_lens)];
        fixture_open(&x);
        struct layout *l = random_layout(&rng, piece_len);
        if (l->geometry.n_pieces > 400) { /* as many jobs as a test has time for */
            layout_free(l);
            rng.state = round;
            l = random_layout(&rng, 16384);
        }
        uint8_t *wanted = mem_array(l->n_files, 1);
        for (uint32_t i = 0; i < l->n_files; i++) {
            wanted[i] = rng_below(&rng, 3) > 0;
        }
        fixture_add(&x, l, round % 2 == 0 ? NULL : wanted, false);
        write_in_any_order(&rng);
        for (int i = 0; i < 60; i++) {
            uint64_t offset = rng_below(&rng, (uint32_t)l->total_len);
            uint64_t most =
                l->total_len - offset < DATA_READ_LEN ? l->total_len - offset : DATA_READ_LEN;
            uint32_t len = 1 + rng_below(&rng, (uint32_t)most);
            assert_int_equal(fixture_read(&x, offset, len, NULL), 0);
        }
        assert_int_equal(fixture_hash_status(&x, 0, (uint32_t)l->total_len, NULL), 0);
        struct disk_job job;
        assert_int_equal(fixture_do_op(&x, DISK_CHECK, &job), 0);
        job = (struct disk_job){.op = DISK_REMOVE, .with_data = true};
        assert_int_equal(fixture_do(&x, &job), 0);
        assert_int_equal(fixture_len(&x, "random"), -1);
        assert_int_equal(fixture_len(&x, PARTS), -1);
        free(wanted);
        fixture_close(&x);
    }
}

static void many_files_are_not_all_open(void **state)
{
    enum { MANY = 1500 };
    struct buf b;
    struct disk_stats stats;
    (void)state;
    buf_init(&b, SIZE_MAX);
    buf_add_str(&b, "d5:filesl");
    for (int i = 0; i < MANY; i++) {
        char path[32];
        int n = snprintf(path, sizeof path, "%d|%d", i % 7, i);
        fixture_add_file(&b, span_of(path, (size_t)n), 10, NULL);
    }
    buf_add_byte(&b, 'e');
    fixture_add_tail(&b, SPAN("t"), PIECE_LEN, MANY * 10);
    fixture_add(&x, fixture_layout_of(&b), NULL, false);
    const struct rlimit few = {DISK_FILES_MAX + 40, 4096};
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){few.rlim_cur, before.rlim_max}), 0);
    fixture_write_all(&x);
    for (uint32_t at = 0; at < MANY * 10; at += 300) {
        assert_int_equal(fixture_read(&x, at, 300, NULL), 0);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    disk_stats(x.disk, &stats);
    assert_true(stats.opens > MANY + DISK_FILES_MAX); /* all of them did not stay open */
    /* The last ones did, in the place of older ones. */
    uint64_t opens = stats.opens;
    assert_int_equal(fixture_read(&x, MANY * 10 - 300, 300, NULL), 0);
    disk_stats(x.disk, &stats);
    assert_int_equal(stats.opens, opens);
    assert_int_equal(fixture_hash_status(&x, 0, MANY * 10, NULL), 0);
}

/* ---- what is missing ------------------------------------------------------------------------- */

static void check_says_what_is_missing(void **state)
{
    struct disk_job job;
    (void)state;
    assert_int_equal(fixture_do_op(&x, DISK_CHECK, &job), ERR_UNAVAILABLE);
    assert_true(says(&job.err, x.save_path));
    assert_false(job.any_data);
    assert_int_equal(fixture_write(&x, 0, 10, NULL), 0);
    assert_int_equal(fixture_do_op(&x, DISK_CHECK, &job), ERR_NOT_FOUND);
    assert_int_equal(job.n_missing, 2);
    assert_true(job.any_data && says(&job.err, "t/sub/b.bin"));
    fixture_write_all(&x);
    assert_int_equal(fixture_do_op(&x, DISK_CHECK, &job), 0);
    assert_int_equal(job.n_missing, 0);
    /* What is gone is noticed although it was open. */
    assert_int_equal(unlink(fixture_path(&x, "t/a.bin")), 0);
    assert_int_equal(unlink(fixture_path(&x, "t/empty")), 0);
    assert_int_equal(fixture_do_op(&x, DISK_CHECK, &job), ERR_NOT_FOUND);
    assert_int_equal(job.n_missing, 1);
    assert_int_equal(truncate(fixture_path(&x, "t/sub/deep/c"), 70001), 0);
    assert_int_equal(fixture_do_op(&x, DISK_CHECK, &job), ERR_NOT_FOUND);
    assert_int_equal(job.n_missing, 2);
}

static void a_missing_or_short_file_is_not_found(void **state)
{
    struct err e;
    struct disk_job job;
    (void)state;
    assert_int_equal(fixture_read(&x, 0, 10, &e), ERR_UNAVAILABLE);
    assert_int_equal(fixture_hash_status(&x, 0, 10, &e), ERR_UNAVAILABLE);
    fixture_write_all(&x);
    assert_int_equal(fixture_do_op(&x, DISK_CLOSE, &job), 0);
    assert_int_equal(truncate(fixture_path(&x, "t/a.bin"), 39999), 0);
    assert_int_equal(unlink(fixture_path(&x, "t/sub/b.bin")), 0);
    assert_int_equal(fixture_read(&x, 0, 39999, NULL), 0);
    assert_int_equal(fixture_read(&x, 39000, 1000, &e), ERR_NOT_FOUND);
    assert_true(says(&e, "t/a.bin: is shorter than it should be"));
    assert_int_equal(fixture_hash_status(&x, 0, PIECE_LEN, NULL), 0);
    assert_int_equal(fixture_hash_status(&x, 0, 2 * PIECE_LEN, &e), ERR_NOT_FOUND);
    assert_int_equal(fixture_hash_status(&x, 40000, 100, &e), ERR_NOT_FOUND);
    assert_true(says(&e, "t/sub/b.bin: No such file or directory"));
}

/* What could not be made safe is tried again by the next sync. */
static void a_sync_says_what_is_not_safe(void **state)
{
    struct disk_job job;
    (void)state;
    fixture_write_all(&x);
    assert_int_equal(unlink(fixture_path(&x, "t/sub/b.bin")), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fixture_do_op(&x, DISK_SYNC, &job), ERR_NOT_FOUND);
        assert_true(says(&job.err, "t/sub/b.bin: No such file or directory"));
    }
    assert_int_equal(fixture_do_op(&x, DISK_CLOSE, &job), 0);
    assert_int_equal(fixture_write(&x, 40000, 100, NULL), 0);
    assert_int_equal(fixture_do_op(&x, DISK_SYNC, &job), 0);
}

/* A save path that was there is not made again: it may be a disk that is not mounted. */
static void a_save_path_that_went_away_is_not_made_again(void **state)
{
    struct err e;
    struct disk_job job;
    char aside[128];
    (void)state;
    fixture_write_all(&x);
    assert_int_equal(fixture_do_op(&x, DISK_CLOSE, &job), 0);
    (void)snprintf(aside, sizeof aside, "%s/aside", x.dir);
    assert_int_equal(rename(x.save_path, aside), 0);
    assert_int_equal(fixture_write(&x, 0, 10, &e), ERR_UNAVAILABLE);
    assert_true(says(&e, "the folder is not there"));
    assert_int_equal(access(x.save_path, F_OK), -1);
    assert_int_equal(fixture_do_op(&x, DISK_CHECK, &job), ERR_UNAVAILABLE);
    assert_int_equal(rename(aside, x.save_path), 0);
    assert_int_equal(fixture_do_op(&x, DISK_CHECK, &job), 0);
    assert_int_equal(fixture_read(&x, 0, 1000, NULL), 0);
}

/* ---- files that are not wanted --------------------------------------------------------------- */

static void edges_of_unwanted_files_are_in_the_part_file(void **state)
{
    const uint8_t only_last[] = {0, 0, 0, 0, 1, 1};
    const uint8_t not_first[] = {0, 1, 1, 1, 1, 1};
    const uint8_t all[] = {1, 1, 1, 1, 1, 1};
    struct disk_job job;
    (void)state;
    fixture_add(&x, fixture_layout("t", small_files, COUNT(small_files), PIECE_LEN), only_last,
                false);
    assert_int_equal(fixture_write(&x, PIECE_LEN, PIECE_LEN, NULL), 0); /* ends in a pad */
    assert_int_equal(fixture_len(&x, "t"), -1);
    assert_true(fixture_len(&x, PARTS) > 0);
    assert_int_equal(fixture_read(&x, PIECE_LEN, PIECE_LEN, NULL), 0);
    assert_int_equal(fixture_hash_status(&x, PIECE_LEN, PIECE_LEN, NULL), 0);
    assert_int_equal(fixture_do_op(&x, DISK_SYNC, &job), 0);

    job = (struct disk_job){.op = DISK_WANTED, .wanted = not_first};
    assert_int_equal(fixture_do(&x, &job), 0);
    assert_int_equal(fixture_len(&x, "t/sub/b.bin"), 100);
    assert_int_equal(fixture_len(&x, "t/a.bin"), -1);
    assert_int_equal(fixture_hash_status(&x, PIECE_LEN, PIECE_LEN, NULL), 0);

    job = (struct disk_job){.op = DISK_WANTED, .wanted = all};
    assert_int_equal(fixture_do(&x, &job), 0);
    assert_int_equal(fixture_len(&x, "t/a.bin"), 40000);
    assert_int_equal(fixture_len(&x, PARTS), -1);
    assert_int_equal(fixture_hash_status(&x, PIECE_LEN, PIECE_LEN, NULL), 0);
    assert_int_equal(fixture_do_op(&x, DISK_SYNC, &job), 0);

    /* Not wanted any more: it exists and stays in use. */
    job = (struct disk_job){.op = DISK_WANTED, .wanted = only_last};
    assert_int_equal(fixture_do(&x, &job), 0);
    fixture_write_all(&x);
    assert_int_equal(fixture_len(&x, PARTS), -1);
    assert_int_equal(fixture_hash_status(&x, 0, (uint32_t)x.layout->total_len, NULL), 0);
}

static void a_wanted_file_without_bytes_is_not_made(void **state)
{
    const uint8_t none[] = {0, 0, 0, 0, 0, 0};
    const uint8_t all[] = {1, 1, 1, 1, 1, 1};
    struct disk_job job;
    (void)state;
    fixture_add(&x, fixture_layout("t", small_files, COUNT(small_files), PIECE_LEN), none, false);
    job = (struct disk_job){.op = DISK_WANTED, .wanted = none};
    assert_int_equal(fixture_do(&x, &job), 0);
    assert_int_equal(access(x.save_path, F_OK), -1);
    assert_int_equal(fixture_write(&x, 40000, 100, NULL), 0); /* b.bin alone */
    job = (struct disk_job){.op = DISK_WANTED, .wanted = all};
    assert_int_equal(fixture_do(&x, &job), 0);
    assert_int_equal(fixture_len(&x, "t/sub/b.bin"), 100);
    assert_int_equal(fixture_len(&x, "t/a.bin"), -1);
    assert_int_equal(fixture_len(&x, "t/sub/deep"), -1);
    assert_int_equal(fixture_read(&x, 40000, 100, NULL), 0);
}

/* A crash while a file was being moved left part of it under the other name. */
static void a_move_that_was_cut_short_begins_anew(void **state)
{
    const uint8_t none[] = {0, 0, 0, 0, 0, 0};
    const uint8_t all[] = {1, 1, 1, 1, 1, 1};
    static char garbage[50000]; /* more than any file has */
    struct disk_job job = {.op = DISK_WANTED, .wanted = all};
    (void)state;
    memset(garbage, 'g', sizeof garbage);
    garbage[sizeof garbage - 1] = '\0';
    fixture_add(&x, fixture_layout("t", small_files, COUNT(small_files), PIECE_LEN), none, false);
    fixture_write_all(&x);
    fixture_put(&x, "." FIXTURE_HASH_HEX ".moving", garbage);
    assert_int_equal(fixture_do(&x, &job), 0);
    assert_int_equal(fixture_len(&x, "." FIXTURE_HASH_HEX ".moving"), -1);
    assert_int_equal(fixture_len(&x, "t/a.bin"), 40000);
    assert_int_equal(fixture_len(&x, "t/sub/b.bin"), 100);
    assert_int_equal(fixture_len(&x, PARTS), -1);
    assert_int_equal(fixture_hash_status(&x, 0, (uint32_t)x.layout->total_len, NULL), 0);
}

/* ---- removing -------------------------------------------------------------------------------- */

static void removing_deletes_its_own_files_alone(void **state)
{
    struct disk_job job = {.op = DISK_REMOVE, .with_data = true};
    (void)state;
    fixture_write_all(&x);
    fixture_put(&x, "t/sub/mine", "not the torrent's");
    fixture_put(&x, "beside", "not the torrent's");
    assert_int_equal(fixture_do(&x, &job), 0);
    assert_true(fixture_len(&x, "t/sub/mine") > 0);
    assert_true(fixture_len(&x, "beside") > 0);
    assert_int_equal(fixture_len(&x, "t/sub/deep"), -1);
    assert_int_equal(fixture_len(&x, "t/last"), -1);
    assert_int_equal(fixture_len(&x, "t/a.bin"), -1);
    assert_int_equal(fixture_len(&x, "t/empty"), -1);
    assert_int_equal(unlink(fixture_path(&x, "t/sub/mine")), 0);
    assert_int_equal(fixture_do(&x, &job), 0); /* once more; now its folder is empty */
    assert_int_equal(fixture_len(&x, "t"), -1);
    assert_int_equal(access(x.save_path, F_OK), 0);
}

static void removing_without_data_leaves_everything(void **state)
{
    struct disk_job job = {.op = DISK_REMOVE};
    (void)state;
    fixture_write_all(&x);
    assert_int_equal(fixture_do(&x, &job), 0);
    assert_int_equal(fixture_len(&x, "t/a.bin"), 40000);
    disk_remove_storage(x.disk, 1);
    disk_add_storage(x.disk, 1,
                     &(struct disk_storage_opts){.save_path = x.save_path,
                                                 .layout = x.layout,
                                                 .info_hash = &fixture_hash,
                                                 .wanted = NULL,
                                                 .allocate = false});
    assert_int_equal(fixture_do_op(&x, DISK_CHECK, &job), 0);
}

static void removing_what_is_not_there_is_no_error(void **state)
{
    struct disk_job job = {.op = DISK_REMOVE, .with_data = true};
    (void)state;
    assert_int_equal(fixture_do(&x, &job), 0);
}

/* ---- links and other things in the way -------------------------------------------------------- */

/* Something outside of the save path that nothing may touch. */
static void make_outside(char path[static 128])
{
    (void)snprintf(path, 128, "%s/outside", x.dir);
    assert_int_equal(mkdir(path, 0777), 0);
    size_t n = strlen(path);
    (void)snprintf(path + n, 128 - n, "/a.bin");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fputs("outside", f) >= 0, 1);
    assert_int_equal(fclose(f), 0);
}

static void check_untouched(const char *path)
{
    char text[16] = "";
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof text, f));
    assert_string_equal(text, "outside");
    assert_int_equal(fclose(f), 0);
}

static void check_every_job_refuses(int code, const char *text)
{
    struct err e;
    struct disk_job job;
    assert_int_equal(fixture_write(&x, 0, 100, &e), code);
    assert_true(says(&e, text));
    assert_int_equal(fixture_read(&x, 0, 100, &e), code);
    assert_true(says(&e, text));
    assert_int_equal(fixture_hash_status(&x, 0, 100, &e), code);
    assert_true(says(&e, text));
    assert_int_equal(fixture_do_op(&x, DISK_CHECK, &job), code);
    assert_true(says(&job.err, text));
    job = (struct disk_job){.op = DISK_REMOVE, .with_data = true};
    assert_int_equal(fixture_do(&x, &job), code);
    assert_true(says(&job.err, text));
}

static void a_link_in_the_place_of_a_file_is_not_followed(void **state)
{
    char outside[128];
    (void)state;
    make_outside(outside);
    assert_int_equal(fixture_write(&x, 40000, 10, NULL), 0); /* makes the folders */
    assert_int_equal(symlink(outside, fixture_path(&x, "t/a.bin")), 0);
    check_every_job_refuses(ERR_DENIED, "t/a.bin: is a symbolic link, which is not followed");
    check_untouched(outside);
    assert_int_equal(access(outside, F_OK), 0);
    assert_int_equal(unlink(fixture_path(&x, "t/a.bin")), 0);
    assert_int_equal(symlink("nowhere", fixture_path(&x, "t/a.bin")), 0);
    check_every_job_refuses(ERR_DENIED, "symbolic link");
    assert_int_equal(fixture_len(&x, "t/nowhere"), -1);
}

static void a_link_in_the_place_of_a_folder_is_not_followed(void **state)
{
    char outside[128];
    (void)state;
    make_outside(outside);
    assert_int_equal(disk_check_path(x.save_path, (const char *const[]){"/"}, 1, true,
                                     (char[PATH_MAX]){0}, NULL),
                     0);
    assert_int_equal(symlink("../../outside", fixture_path(&x, "t")), 0);
    check_every_job_refuses(ERR_DENIED, "here/t: is a symbolic link, which is not followed");
    check_untouched(outside);
}

static void a_link_in_the_place_of_the_part_file_is_not_followed(void **state)
{
    const uint8_t none[] = {0, 0, 0, 0, 0, 0};
    const uint8_t all[] = {1, 1, 1, 1, 1, 1};
    char outside[128];
    struct err e;
    struct disk_job job = {.op = DISK_WANTED, .wanted = all};
    (void)state;
    make_outside(outside);
    fixture_add(&x, fixture_layout("t", small_files, COUNT(small_files), PIECE_LEN), none, false);
    assert_int_equal(fixture_write(&x, 0, 10, NULL), 0);
    assert_int_equal(symlink(outside, fixture_path(&x, "." FIXTURE_HASH_HEX ".moving")), 0);
    assert_int_equal(fixture_do(&x, &job), ERR_DENIED);
    assert_int_equal(fixture_read(&x, 0, 10, NULL), 0); /* where it was before */
    assert_int_equal(fixture_do_op(&x, DISK_CLOSE, &job), 0);
    assert_int_equal(unlink(fixture_path(&x, PARTS)), 0);
    assert_int_equal(symlink(outside, fixture_path(&x, PARTS)), 0);
    assert_int_equal(fixture_write(&x, 0, 10, &e), ERR_DENIED);
    assert_true(says(&e, "symbolic link"));
    check_untouched(outside);
}

static void other_things_in_the_way(void **state)
{
    struct err e;
    (void)state;
    assert_int_equal(disk_check_path(x.save_path, (const char *const[]){"/"}, 1, true,
                                     (char[PATH_MAX]){0}, NULL),
                     0);
    fixture_put(&x, "t", "a file where the folder must be");
    check_every_job_refuses(ERR_EXISTS, "here/t: exists and is not a folder");
    assert_int_equal(unlink(fixture_path(&x, "t")), 0);
    assert_int_equal(mkdir(fixture_path(&x, "t"), 0777), 0);
    assert_int_equal(mkdir(fixture_path(&x, "t/a.bin"), 0777), 0);
    check_every_job_refuses(ERR_EXISTS, "t/a.bin: exists and is not a file");
    assert_int_equal(rmdir(fixture_path(&x, "t/a.bin")), 0);
    (void)mkdir(fixture_path(&x, "t"), 0777); /* the remove above may have taken it */
    assert_int_equal(mkfifo(fixture_path(&x, "t/a.bin"), 0666), 0);
    check_every_job_refuses(ERR_EXISTS, "t/a.bin: exists and is not a file");
    assert_int_equal(fixture_write(&x, 40000, 10, &e), 0); /* the others still work */
}

static void a_write_beyond_the_limit_fails(void **state)
{
    struct err e;
    struct rlimit before;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction handler;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(sigaction(SIGXFSZ, &ignore, &handler), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){30000, before.rlim_max}), 0);
    int status = fixture_write(&x, 0, 40000, &e);
    int small = fixture_write(&x, 40000, 100, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(sigaction(SIGXFSZ, &handler, NULL), 0);
    assert_int_equal(status, ERR_SYSTEM);
    assert_true(says(&e, "t/a.bin: File too large"));
    assert_int_equal(small, 0);
    assert_int_equal(fixture_write(&x, 0, 40000, NULL), 0); /* and again, once there is room */
    assert_int_equal(fixture_hash_status(&x, 0, 40000, NULL), 0);
}

static void a_save_path_that_cannot_be_made_is_named(void **state)
{
    struct err e;
    (void)state;
    char path[80];
    (void)snprintf(path, sizeof path, "%s/save", x.dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(fixture_write(&x, 0, 10, &e), ERR_NOT_FOUND);
    assert_true(says(&e, x.save_path) && says(&e, "Not a directory"));
}

/* A path that does not fit into an error loses its beginning, never the reason. */
static void a_long_path_leaves_room_for_the_reason(void **state)
{
    char path[520];
    struct err e;
    (void)state;
    memset(path, 'd', sizeof path);
    for (size_t i = 0; i + 2 < 200; i += 2) {
        memcpy(path + i, "\xc3\xa4", 2);
    }
    path[200] = '|';
    path[400] = '\0';
    const struct fixture_file files[] = {{path, 10, NULL}};
    fixture_add(&x, fixture_layout("t", files, 1, PIECE_LEN), NULL, false);
    assert_int_equal(fixture_write(&x, 0, 10, NULL), 0);
    struct disk_job job;
    assert_int_equal(fixture_do_op(&x, DISK_CLOSE, &job), 0);
    assert_int_equal(unlink(fixture_path(&x, x.layout->files[0].path)), 0);
    assert_int_equal(fixture_read(&x, 0, 10, &e), ERR_NOT_FOUND);
    assert_true(says(&e, "...ddd") && says(&e, "ddd: No such file or directory"));
}

/* ---- fences ---------------------------------------------------------------------------------- */

static struct disk_job *order[64];
static size_t n_order;

static void note_order(void *ctx, struct disk_job *job)
{
    (void)ctx;
    order[n_order++] = job;
}

static size_t place_of(const struct disk_job *job)
{
    size_t i = 0;
    while (order[i] != job) {
        i++;
    }
    return i;
}

static void fences_keep_their_place(void **state)
{
    enum { BEFORE = 16, AFTER = 12, LEN = 1 << 20 };
    struct disk_job writes[BEFORE];
    struct disk_job close = {.op = DISK_CLOSE, .torrent = 1};
    struct disk_job check = {.op = DISK_CHECK, .torrent = 1};
    struct disk_job remove = {.op = DISK_REMOVE, .torrent = 1, .with_data = true};
    struct disk_job after[AFTER];
    (void)state;
    fixture_add(&x, fixture_single(SPAN("long"), BEFORE * LEN, LEN), NULL, true);
    disk_free(x.disk);
    x.disk = disk_new(&x.loop, note_order, NULL);
    disk_add_storage(x.disk, 1,
                     &(struct disk_storage_opts){.save_path = x.save_path,
                                                 .layout = x.layout,
                                                 .info_hash = &fixture_hash,
                                                 .wanted = NULL,
                                                 .allocate = true});
    n_order = 0;
    for (uint32_t i = 0; i < BEFORE; i++) {
        writes[i] = fixture_write_job(&x, i * (uint64_t)LEN, LEN, DATA_BLOCK_LEN);
        disk_start(x.disk, &writes[i]);
    }
    disk_start(x.disk, &close);
    disk_start(x.disk, &check);
    disk_start(x.disk, &remove);
    for (uint32_t i = 0; i < AFTER; i++) {
        after[i] = (struct disk_job){.op = DISK_HASH, .torrent = 1, .len = 100};
        disk_start(x.disk, &after[i]);
    }
    while (n_order < BEFORE + AFTER + 3) {
        int more = uv_run(&x.loop, UV_RUN_ONCE);
        assert_true(more != 0 || n_order == BEFORE + AFTER + 3);
    }
    for (uint32_t i = 0; i < BEFORE; i++) {
        assert_int_equal(writes[i].status, 0);
        assert_true(place_of(&writes[i]) < place_of(&close));
        fixture_release(&writes[i]);
    }
    assert_int_equal(place_of(&close), BEFORE);
    assert_int_equal(place_of(&check), BEFORE + 1);
    assert_int_equal(place_of(&remove), BEFORE + 2);
    assert_int_equal(remove.status, 0);
    for (uint32_t i = 0; i < AFTER; i++) {
        assert_int_equal(after[i].status, ERR_NOT_FOUND);
    }
}

static int start(void **state)
{
    (void)state;
    return digest_start();
}

#define SMALL(test) cmocka_unit_test_setup_teardown(test, open_small, close_fixture)
#define BARE(test)  cmocka_unit_test_setup_teardown(test, open_bare, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SMALL(what_is_written_is_read),
        SMALL(a_file_has_its_length_from_the_first_byte_on),
        BARE(empty_files_come_with_the_byte_before_them),
        BARE(allocated_files_have_their_space),
        SMALL(what_is_cached_needs_no_thread),
        cmocka_unit_test(random_torrents_come_out_as_they_went_in),
        BARE(many_files_are_not_all_open),
        SMALL(check_says_what_is_missing),
        SMALL(a_missing_or_short_file_is_not_found),
        SMALL(a_sync_says_what_is_not_safe),
        SMALL(a_save_path_that_went_away_is_not_made_again),
        BARE(edges_of_unwanted_files_are_in_the_part_file),
        BARE(a_wanted_file_without_bytes_is_not_made),
        BARE(a_move_that_was_cut_short_begins_anew),
        SMALL(removing_deletes_its_own_files_alone),
        SMALL(removing_without_data_leaves_everything),
        SMALL(removing_what_is_not_there_is_no_error),
        SMALL(a_link_in_the_place_of_a_file_is_not_followed),
        SMALL(a_link_in_the_place_of_a_folder_is_not_followed),
        BARE(a_link_in_the_place_of_the_part_file_is_not_followed),
        SMALL(other_things_in_the_way),
        SMALL(a_write_beyond_the_limit_fails),
        SMALL(a_save_path_that_cannot_be_made_is_named),
        BARE(a_long_path_leaves_room_for_the_reason),
        BARE(fences_keep_their_place),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
