/* disk_fixture.h: a disk on a real loop with real files in a folder of its own. Header only; include
 * after cmocka.h. */
#ifndef TESTS_DISK_FIXTURE_H
#define TESTS_DISK_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <uv.h>

#include "base/digest.h"
#include "base/mem.h"
#include "base/rng.h"
#include "client/data_buf.h"
#include "client/disk.h"
#include "unit/client/layout_fixture.h"

enum { FIXTURE_PATIENCE_MS = 60000 };

struct disk_fixture {
    uv_loop_t loop;
    uv_timer_t patience;
    struct disk *disk;
    struct data_pool *pool;
    char dir[64];
    char save_path[96]; /* does not exist at first */
    struct layout *layout;
    uint8_t *content; /* what the torrent's bytes should be: zeros in pad files */
    size_t n_back;
    struct disk_job *last;
};

static inline void fixture_on_done(void *ctx, struct disk_job *job)
{
    struct disk_fixture *x = ctx;
    x->n_back++;
    x->last = job;
}

static inline void fixture_on_patience_end(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("%s", "waited too long");
}

static inline void fixture_open(struct disk_fixture *x)
{
    *x = (struct disk_fixture){.n_back = 0};
    (void)snprintf(x->dir, sizeof x->dir, "/tmp/rookery-test-XXXXXX");
    assert_non_null(mkdtemp(x->dir));
    (void)snprintf(x->save_path, sizeof x->save_path, "%s/save/here", x->dir);
    assert_int_equal(uv_loop_init(&x->loop), 0);
    assert_int_equal(uv_timer_init(&x->loop, &x->patience), 0);
    assert_int_equal(uv_timer_start(&x->patience, fixture_on_patience_end, FIXTURE_PATIENCE_MS, 0),
                     0);
    uv_unref((uv_handle_t *)&x->patience);
    x->disk = disk_new(&x->loop, fixture_on_done, x);
    x->pool = data_pool_new();
}

static inline int fixture_remove_one(const char *path, const struct stat *st, int type,
                                     struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void fixture_close(struct disk_fixture *x)
{
    disk_free(x->disk);
    uv_close((uv_handle_t *)&x->patience, NULL);
    (void)uv_run(&x->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&x->loop), 0);
    assert_int_equal(data_pool_used(x->pool), 0);
    data_pool_free(x->pool);
    layout_free(x->layout);
    free(x->content);
    assert_int_equal(nftw(x->dir, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* The torrent of the fixture, id 1, with content that no two bytes repeat for long. */
static inline void fixture_add(struct disk_fixture *x, struct layout *l, const uint8_t *wanted,
                               bool allocate)
{
    struct rng rng = {l->total_len};
    x->layout = l;
    x->content = mem_array(l->total_len, 1);
    for (uint32_t i = 0; i < l->n_files; i++) {
        for (uint64_t k = 0; k < l->files[i].len; k++) {
            uint8_t byte = (uint8_t)(rng_next(&rng) >> 56);
            x->content[l->files[i].offset + k] = layout_is_stored(&l->files[i]) ? byte : 0;
        }
    }
    disk_add_storage(x->disk, 1,
                     &(struct disk_storage_opts){.save_path = x->save_path,
                                                 .layout = l,
                                                 .info_hash = &fixture_hash,
                                                 .wanted = wanted,
                                                 .allocate = allocate});
}

static inline void fixture_run(struct disk_fixture *x, size_t n_back)
{
    while (x->n_back < n_back) {
        if (!disk_drain(x->disk)) {
            int more = uv_run(&x->loop, UV_RUN_ONCE);
            assert_true(more != 0 || x->n_back >= n_back);
        }
    }
}

/* One job from the beginning to its end; returns its status. */
static inline int fixture_do(struct disk_fixture *x, struct disk_job *job)
{
    size_t before = x->n_back;
    job->torrent = 1;
    disk_start(x->disk, job);
    assert_int_equal(x->n_back, before); /* never from inside the call */
    fixture_run(x, before + 1);
    assert_ptr_equal(x->last, job);
    assert_int_equal(job->status == 0, job->err.code == 0);
    return job->status;
}

static inline int fixture_do_op(struct disk_fixture *x, enum disk_op op, struct disk_job *out)
{
    *out = (struct disk_job){.op = op};
    return fixture_do(x, out);
}

/* The content's bytes in blocks that begin at offset, the first one possibly shorter. */
static inline struct disk_job fixture_write_job(struct disk_fixture *x, uint64_t offset,
                                                uint32_t len, uint32_t first_len)
{
    struct disk_job job = {.op = DISK_WRITE, .torrent = 1, .offset = offset, .len = len};
    for (uint32_t done = 0, n; done < len; done += n) {
        n = job.n_bufs == 0 ? first_len : DATA_BLOCK_LEN;
        n = n > len - done ? len - done : n;
        struct data_buf *b = data_new(x->pool, DATA_BLOCK_LEN);
        memcpy(b->p, x->content + offset + done, n);
        b->len = n;
        job.bufs[job.n_bufs++] = b;
    }
    return job;
}

static inline void fixture_release(struct disk_job *job)
{
    for (uint32_t i = 0; i < job->n_bufs; i++) {
        data_unref(job->bufs[i]);
    }
    job->n_bufs = 0;
}

/* Writes content[offset, offset + len), at most a run of blocks. out may be NULL. */
static inline int fixture_write(struct disk_fixture *x, uint64_t offset, uint32_t len,
                                struct err *e)
{
    struct disk_job job = fixture_write_job(x, offset, len, DATA_BLOCK_LEN);
    int status = fixture_do(x, &job);
    if (e != NULL) {
        *e = job.err;
    }
    fixture_release(&job);
    return status;
}

static inline void fixture_write_all(struct disk_fixture *x)
{
    for (uint64_t at = 0; at < x->layout->total_len; at += PIECE_RUN_LEN) {
        uint64_t left = x->layout->total_len - at;
        uint32_t len = left < PIECE_RUN_LEN ? (uint32_t)left : PIECE_RUN_LEN;
        assert_int_equal(fixture_write(x, at, len, NULL), 0);
    }
}

/* Reads that stretch; when it can be read it must be the content. */
static inline int fixture_read(struct disk_fixture *x, uint64_t offset, uint32_t len, struct err *e)
{
    struct disk_job job = {.op = DISK_READ, .offset = offset, .len = len, .n_bufs = 1};
    job.bufs[0] = data_new(x->pool, len <= DATA_BLOCK_LEN ? DATA_BLOCK_LEN : DATA_READ_LEN);
    int status = fixture_do(x, &job);
    if (status == 0) {
        assert_int_equal(job.bufs[0]->len, len);
        assert_memory_equal(job.bufs[0]->p, x->content + offset, len);
    }
    if (e != NULL) {
        *e = job.err;
    }
    fixture_release(&job);
    return status;
}

/* Is the stretch's hash the content's? Its status when it cannot be hashed. */
static inline int fixture_hash_status(struct disk_fixture *x, uint64_t offset, uint32_t len,
                                      struct err *e)
{
    struct disk_job job = {.op = DISK_HASH, .offset = offset, .len = len};
    uint8_t right[20];
    int status = fixture_do(x, &job);
    if (status == 0) {
        digest_sha1(right, span_of(x->content + offset, len));
        assert_memory_equal(job.digest, right, sizeof right);
    }
    if (e != NULL) {
        *e = job.err;
    }
    return status;
}

/* The path of a file below the save path; good until the next call. */
static inline const char *fixture_path(struct disk_fixture *x, const char *name)
{
    static char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", x->save_path, name);
    return path;
}

/* Bytes of a file below the save path, or -1 when there is none. */
static inline int64_t fixture_len(struct disk_fixture *x, const char *name)
{
    struct stat st;
    return lstat(fixture_path(x, name), &st) == 0 ? (int64_t)st.st_size : -1;
}

static inline void fixture_put(struct disk_fixture *x, const char *name, const char *text)
{
    FILE *f = fopen(fixture_path(x, name), "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

#endif
