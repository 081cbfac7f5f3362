/* Many jobs at once, of several torrents: what the threads of the pool and the loop share is what
 * they may share, and every job comes back once with what it should bring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/client/disk_fixture.h"

#include "base/banned.h"

enum {
    PIECE_LEN = 1 << 16,
    N_FILES = 40,
    N_TORRENTS = 3,
    N_JOBS = 600,
    N_UNDER_WAY = 24,
};

/* Storage i + 1; their save paths, and so their files, are different ones. */
struct torrent {
    struct layout *layout;
    uint8_t *content;
    uint8_t *wanted[2];
    char save_path[128];
};

struct swarm {
    struct disk_fixture x;
    struct torrent torrents[N_TORRENTS];
    struct rng rng;
    uint32_t n_started;
    uint32_t n_back;
    uint32_t n_fences_back;
};

static void make_torrent(struct swarm *s, uint32_t i)
{
    struct torrent *t = &s->torrents[i];
    struct fixture_file files[N_FILES];
    char paths[N_FILES][32];
    for (uint32_t k = 0; k < N_FILES; k++) {
        (void)snprintf(paths[k], sizeof paths[k], "d%u|f%u", k % 3, k);
        files[k] =
            (struct fixture_file){paths[k], 1 + rng_below(&s->rng, 60000), k % 9 == 8 ? "p" : NULL};
    }
    t->layout = fixture_layout("t", files, N_FILES, PIECE_LEN);
    t->content = mem_zeroed(t->layout->total_len);
    t->wanted[0] = mem_zeroed(N_FILES);
    t->wanted[1] = mem_zeroed(N_FILES);
    for (uint32_t k = 0; k < N_FILES; k++) {
        const struct layout_file *f = &t->layout->files[k];
        t->wanted[0][k] = k % 4 != 1;
        t->wanted[1][k] = k % 4 != 2;
        for (uint64_t at = 0; at < f->len && layout_is_stored(f); at++) {
            t->content[f->offset + at] = (uint8_t)(rng_next(&s->rng) >> 40);
        }
    }
    (void)snprintf(t->save_path, sizeof t->save_path, "%s/%u", s->x.dir, i);
    disk_add_storage(s->x.disk, i + 1,
                     &(struct disk_storage_opts){.save_path = t->save_path,
                                                 .layout = t->layout,
                                                 .info_hash = &fixture_hash,
                                                 .wanted = i == 0 ? NULL : t->wanted[0],
                                                 .allocate = i == 1});
}

static void fill_bufs(struct swarm *s, struct disk_job *j)
{
    const uint8_t *from = s->torrents[j->torrent - 1].content + j->offset;
    for (uint32_t done = 0; done < j->len; done += DATA_BLOCK_LEN) {
        struct data_buf *b = data_new(s->x.pool, DATA_BLOCK_LEN);
        b->len = j->len - done < DATA_BLOCK_LEN ? j->len - done : DATA_BLOCK_LEN;
        memcpy(b->p, from + done, b->len);
        j->bufs[j->n_bufs++] = b;
    }
}

/* A job about one whole piece, or about the torrent. */
static struct disk_job *random_job(struct swarm *s)
{
    struct disk_job *j = mem_new(struct disk_job);
    uint32_t i = rng_below(&s->rng, N_TORRENTS);
    struct torrent *t = &s->torrents[i];
    uint32_t piece = rng_below(&s->rng, t->layout->geometry.n_pieces);
    uint32_t kind = rng_below(&s->rng, 40);
    j->torrent = i + 1;
    j->op = kind < 8    ? DISK_WRITE
            : kind < 24 ? DISK_READ
            : kind < 32 ? DISK_HASH
            : kind < 34 ? DISK_CHECK
            : kind < 36 ? DISK_SYNC
            : kind < 38 ? DISK_WANTED
                        : DISK_CLOSE;
    if (j->op == DISK_WANTED) {
        j->wanted = t->wanted[rng_below(&s->rng, 2)];
    } else if (j->op <= DISK_HASH) {
        j->offset = (uint64_t)piece * PIECE_LEN;
        j->len = peer_wire_piece_len(&t->layout->geometry, piece);
    }
    if (j->op == DISK_READ) {
        j->bufs[j->n_bufs++] = data_new(s->x.pool, DATA_READ_LEN);
    }
    if (j->op == DISK_WRITE) {
        fill_bufs(s, j);
    }
    return j;
}

static void check_back(struct swarm *s, const struct disk_job *j)
{
    const struct torrent *t = &s->torrents[j->torrent - 1];
    uint8_t right[20];
    if (j->status < 0) {
        fail_msg("operation %d: %s", (int)j->op, j->err.msg);
    }
    if (j->op == DISK_READ) {
        assert_memory_equal(j->bufs[0]->p, t->content + j->offset, j->len);
    } else if (j->op == DISK_HASH) {
        digest_sha1(right, span_of(t->content + j->offset, j->len));
        assert_memory_equal(j->digest, right, sizeof right);
    }
}

static void on_swarm_done(void *ctx, struct disk_job *j)
{
    struct swarm *s = ctx;
    check_back(s, j);
    s->n_back++;
    s->n_fences_back += j->op == DISK_WANTED || j->op == DISK_CLOSE;
    fixture_release(j);
    free(j);
    if (s->n_started < N_JOBS) { /* from inside the callback, as the engine's shell may */
        s->n_started++;
        disk_start(s->x.disk, random_job(s));
    }
}

static void turn_until(struct swarm *s, uint32_t n_back)
{
    while (s->n_back < n_back) {
        if (!disk_drain(s->x.disk)) {
            int more = uv_run(&s->x.loop, UV_RUN_ONCE);
            assert_true(more != 0 || s->n_back >= n_back);
        }
    }
}

/* Everything is there before it is read: all pieces of all torrents at once. */
static void write_everything(struct swarm *s)
{
    s->n_started = N_JOBS; /* no others yet */
    uint32_t n = 0;
    for (uint32_t i = 0; i < N_TORRENTS; i++) {
        struct torrent *t = &s->torrents[i];
        for (uint32_t piece = 0; piece < t->layout->geometry.n_pieces; piece++, n++) {
            struct disk_job *j = mem_new(struct disk_job);
            j->op = DISK_WRITE;
            j->torrent = i + 1;
            j->offset = (uint64_t)piece * PIECE_LEN;
            j->len = peer_wire_piece_len(&t->layout->geometry, piece);
            fill_bufs(s, j);
            disk_start(s->x.disk, j);
        }
    }
    turn_until(s, n);
    s->n_back = 0;
    s->n_started = 0;
}

static void jobs_of_all_kinds_at_once(void **state)
{
    struct swarm *s = mem_new(struct swarm);
    struct disk_stats stats;
    (void)state;
    s->rng.state = 7;
    fixture_open(&s->x);
    disk_free(s->x.disk);
    s->x.disk = disk_new(&s->x.loop, on_swarm_done, s);
    for (uint32_t i = 0; i < N_TORRENTS; i++) {
        make_torrent(s, i);
    }
    write_everything(s);
    while (s->n_started < N_UNDER_WAY) {
        s->n_started++;
        disk_start(s->x.disk, random_job(s));
    }
    turn_until(s, N_JOBS);
    assert_int_equal(s->n_back, N_JOBS);
    assert_true(s->n_fences_back > 0);
    disk_stats(s->x.disk, &stats);
    assert_int_equal(stats.jobs, 0);
    assert_true(stats.reads_pool > 0);
    for (uint32_t i = 0; i < N_TORRENTS; i++) {
        disk_remove_storage(s->x.disk, i + 1);
        layout_free(s->torrents[i].layout);
        free(s->torrents[i].content);
        free(s->torrents[i].wanted[0]);
        free(s->torrents[i].wanted[1]);
    }
    fixture_close(&s->x);
    free(s);
}

/* Tasks that find the same file missing make and open it at the same time. */
static void many_open_one_file_at_once(void **state)
{
    enum { N = 32 };
    struct disk_fixture x;
    struct disk_job jobs[N];
    (void)state;
    for (int round = 0; round < 10; round++) {
        fixture_open(&x);
        fixture_add(&x, fixture_single(SPAN("one.bin"), N * DATA_BLOCK_LEN, PIECE_LEN), NULL,
                    round % 2 == 0);
        for (uint32_t i = 0; i < N; i++) {
            jobs[i] = fixture_write_job(&x, i * DATA_BLOCK_LEN, DATA_BLOCK_LEN, DATA_BLOCK_LEN);
            disk_start(x.disk, &jobs[i]);
        }
        fixture_run(&x, N);
        for (uint32_t i = 0; i < N; i++) {
            assert_int_equal(jobs[i].status, 0);
            fixture_release(&jobs[i]);
        }
        assert_int_equal(fixture_hash_status(&x, 0, N * DATA_BLOCK_LEN, NULL), 0);
        assert_int_equal(fixture_len(&x, "one.bin"), N * DATA_BLOCK_LEN);
        fixture_close(&x);
    }
}

static int start(void **state)
{
    (void)state;
    return digest_start();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_of_all_kinds_at_once),
        cmocka_unit_test(many_open_one_file_at_once),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
