/* torrent_hash.c
 *
 * each thread    claims a run of pieces, reads them front to back and hashes what it reads while it
 *                is still in the cache; claims the next run until there is none
 * main thread    starts them, shows how far they are, waits for all
 * a file fails   the first thread to see it notes which file and why; the others stop at their next
 *                read; the note goes to the caller when all have ended
 *
 * Runs are claimed upwards, so each thread goes through the files in order and has one open.
 */
#include "torrent_hash.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "terminal.h"

#include "base/banned.h"

enum {
    HASH_LEN = 20,
    READ_LEN = 256 * 1024,      /* fits the second-level cache */
    RUN_LEN = 4 * 1024 * 1024,  /* claimed at once, when pieces are smaller */
    REDRAW_NS = 200 * 1000000L, /* below a second */
};

/* What the threads share. */
struct hashing {
    const struct torrent_hash *job;
    uint32_t run; /* pieces claimed at once */
    _Atomic uint64_t next_piece;
    _Atomic uint64_t done_len;
    _Atomic bool failed;
    struct torrent_hash_fault fault; /* written by the one thread that set failed */
};

/* One thread. */
struct reader {
    struct hashing *shared;
    struct digest_stream *sha1;
    uint8_t *buffer;
    size_t file; /* the file at hand */
    int fd;      /* of it; -1: not open */
};

static int fail(struct reader *r, const char *why)
{
    if (!atomic_exchange(&r->shared->failed, true)) {
        r->shared->fault = (struct torrent_hash_fault){
            .path = r->shared->job->files->at[r->file].path,
            .why = why,
        };
    }
    return ERR_SYSTEM;
}

static int check_unchanged(struct reader *r)
{
    struct stat now;
    if (fstat(r->fd, &now) < 0) {
        return fail(r, terminal_errno_text(errno));
    }
    if (!torrent_file_is(&r->shared->job->files->at[r->file], &now)) {
        return fail(r, "changed while it was read");
    }
    return 0;
}

static int open_file(struct reader *r)
{
    const char *path = r->shared->job->files->at[r->file].path;
    int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY;
    /* It may have become a pipe since the walk: do not wait for its other end. A lease on a file
     * (a file server has one) is what refuses that, and is worth waiting for. */
    r->fd = open(path, flags | O_NONBLOCK);
    if (r->fd < 0 && errno == EWOULDBLOCK) {
        r->fd = open(path, flags);
    }
    if (r->fd < 0) {
        return fail(r, terminal_errno_text(errno));
    }
    (void)posix_fadvise(r->fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* only a hint */
    return check_unchanged(r);
}

/* Done with the file at hand, if it is open. */
static int close_file(struct reader *r)
{
    int status = 0;
    if (r->fd >= 0) {
        status = check_unchanged(r);
        (void)close(r->fd);
        r->fd = -1;
    }
    return status;
}

/* Make the file at hand the one that has the byte at offset. */
static int seek(struct reader *r, uint64_t offset)
{
    const struct torrent_file *at = r->shared->job->files->at;
    while (offset - at[r->file].offset >= at[r->file].len) {
        if (close_file(r) < 0) {
            return ERR_SYSTEM;
        }
        r->file++;
    }
    return r->fd < 0 ? open_file(r) : 0;
}

/* Hash the bytes from offset of the content, up to len of them; returns how many it took. */
static ssize_t hash_some(struct reader *r, uint64_t offset, uint64_t len)
{
    struct hashing *shared = r->shared;
    if (atomic_load_explicit(&shared->failed, memory_order_relaxed) || seek(r, offset) < 0) {
        return ERR_SYSTEM;
    }
    const struct torrent_file *file = &shared->job->files->at[r->file];
    uint64_t within = offset - file->offset;
    uint64_t left = file->len - within;
    size_t want = len < left ? (size_t)len : (size_t)left;
    want = want < READ_LEN ? want : READ_LEN;
    ssize_t n;
    do {
        n = pread(r->fd, r->buffer, want, (off_t)within);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return fail(r, terminal_errno_text(errno));
    }
    if (n == 0) {
        return fail(r, "became shorter while it was read");
    }
    digest_stream_add(r->sha1, span_of(r->buffer, (size_t)n));
    atomic_fetch_add_explicit(&shared->done_len, (uint64_t)n, memory_order_relaxed);
    return n;
}

static int hash_piece(struct reader *r, uint64_t piece)
{
    const struct torrent_hash *job = r->shared->job;
    uint64_t offset = piece * job->piece_len;
    uint64_t left = job->files->total_len - offset;
    left = left < job->piece_len ? left : job->piece_len;
    while (left > 0) {
        ssize_t n = hash_some(r, offset, left);
        if (n < 0) {
            return ERR_SYSTEM;
        }
        offset += (uint64_t)n;
        left -= (uint64_t)n;
    }
    digest_stream_end(r->sha1, job->hashes + piece * HASH_LEN);
    return 0;
}

static void *hash_runs(void *arg)
{
    struct hashing *shared = arg;
    uint64_t n_pieces = shared->job->n_pieces;
    struct reader r = {
        .shared = shared,
        .sha1 = digest_stream_new(),
        .buffer = mem_array(READ_LEN, 1),
        .fd = -1,
    };
    int status = 0;
    while (status == 0) {
        uint64_t piece = atomic_fetch_add(&shared->next_piece, shared->run);
        uint64_t end = piece + shared->run < n_pieces ? piece + shared->run : n_pieces;
        if (piece >= n_pieces) {
            break;
        }
        for (; piece < end && status == 0; piece++) {
            status = hash_piece(&r, piece);
        }
    }
    (void)close_file(&r); /* what it finds is in shared->failed */
    free(r.buffer);
    digest_stream_free(r.sha1);
    return NULL;
}

static struct timespec redraw_time(void)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_REALTIME, &at); /* what pthread_timedjoin_np goes by */
    at.tv_nsec += REDRAW_NS;
    if (at.tv_nsec >= 1000000000L) {
        at.tv_nsec -= 1000000000L;
        at.tv_sec++;
    }
    return at;
}

static void wait_for(pthread_t thread, struct hashing *shared)
{
    const struct torrent_hash *job = shared->job;
    int status = ETIMEDOUT;
    while (job->progress != NULL && status == ETIMEDOUT) {
        struct timespec at = redraw_time();
        job->progress(job->ctx, atomic_load(&shared->done_len));
        status = pthread_timedjoin_np(thread, NULL, &at);
    }
    if (status == ETIMEDOUT) {
        status = pthread_join(thread, NULL);
    }
    ASSERT(status == 0);
}

int torrent_hash_run(const struct torrent_hash *job, struct torrent_hash_fault *fault)
{
    struct hashing shared = {
        .job = job,
        .run = job->piece_len < RUN_LEN ? RUN_LEN / job->piece_len : 1,
    };
    pthread_t *threads = mem_array(job->n_threads, sizeof threads[0]);
    unsigned n = 0;
    int status = 0;
    while (n < job->n_threads && status == 0) {
        status = pthread_create(&threads[n], NULL, hash_runs, &shared);
        n += status == 0;
    }
    for (unsigned i = 0; i < n; i++) {
        wait_for(threads[i], &shared);
    }
    free(threads);
    if (n == 0) { /* fewer threads than asked for are only slower */
        *fault = (struct torrent_hash_fault){.why = terminal_errno_text(status)};
        return ERR_SYSTEM;
    }
    *fault = shared.fault;
    return shared.failed ? ERR_SYSTEM : 0;
}
