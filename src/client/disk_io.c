/* disk_io.c: reading, writing and hashing a stretch of the content. A thread of the pool.
 *
 * A stretch is a list of ranges, each within one file. They are done in order, each opened when it is
 * its turn, so that a piece over 10,000 files needs no more descriptors than one over two.
 * Pad files are zeros that nobody stores.
 */
#include "client/disk_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/mem.h"
#include "client/data_buf.h"

#include "base/banned.h"

static const struct layout_file *file_of(const struct disk_task *t, const struct disk_range *r)
{
    return &t->place.layout->files[r->at.file];
}

/* What holds the range, for errors. */
static const char *path_of(const struct disk_task *t, const struct disk_range *r)
{
    return r->in_part ? t->place.part_name : file_of(t, r)->path;
}

/* Where the range is in its descriptor: in the part file at its place in the content. */
static off_t place_of(const struct disk_task *t, const struct disk_range *r)
{
    return (off_t)(r->in_part ? file_of(t, r)->offset + r->at.at : r->at.at);
}

/* Bytes [skip, skip + len) of the range into p. */
static int read_range(struct disk_task *t, const struct disk_range *r, int fd, uint64_t skip,
                      struct iovec to)
{
    const char *path = path_of(t, r);
    uint8_t *p = to.iov_base;
    for (size_t done = 0; done < to.iov_len;) {
        ssize_t n = pread(fd, p + done, to.iov_len - done, place_of(t, r) + (off_t)(skip + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return disk_fail(t, errno, path, strlen(path));
        }
        if (n == 0) {
            return disk_fail_text(t, ERR_NOT_FOUND, path, strlen(path),
                                  "is shorter than it should be");
        }
        done += (size_t)n;
    }
    return 0;
}

int disk_do_read(struct disk_task *t)
{
    uint8_t *p = t->j->bufs[0]->p;
    int rc = 0;
    for (uint32_t i = 0; i < t->n_ranges && rc == 0; i++) {
        struct disk_range *r = &t->ranges[i];
        int fd;
        if (!layout_is_stored(file_of(t, r))) {
            memset(p, 0, r->at.len);
        } else if ((rc = disk_open_range(t, r, DISK_HOW_READ, &fd)) == 0) {
            rc = read_range(t, r, fd, 0, (struct iovec){p, r->at.len});
            disk_close_range(r);
        }
        p += r->at.len;
    }
    return rc;
}

/* ---- writing -------------------------------------------------------------------------------- */

/* A place in the bytes of a job's buffers, which lie one behind the other. */
struct source {
    const struct disk_job *j;
    uint32_t buf;
    uint32_t at; /* in it */
};

static void skip_bytes(struct source *s, uint64_t n)
{
    while (n > 0) {
        uint32_t left = s->j->bufs[s->buf]->len - s->at;
        if (n < left) {
            s->at += (uint32_t)n;
            return;
        }
        n -= left;
        s->buf++;
        s->at = 0;
    }
}

/* The next len bytes as parts; they are there. */
static int next_parts(const struct source *s, uint64_t len,
                      struct iovec iov[static PIECE_RUN_BLOCKS])
{
    int n = 0;
    uint32_t at = s->at;
    for (uint32_t i = s->buf; len > 0; i++) {
        struct data_buf *b = s->j->bufs[i];
        uint64_t part = b->len - at < len ? b->len - at : len;
        iov[n++] = (struct iovec){b->p + at, part};
        len -= part;
        at = 0;
    }
    return n;
}

static int write_range(struct disk_task *t, const struct disk_range *r, int fd,
                       struct source *source)
{
    const char *path = path_of(t, r);
    struct iovec iov[PIECE_RUN_BLOCKS];
    for (uint64_t done = 0; done < r->at.len;) {
        int n_iov = next_parts(source, r->at.len - done, iov);
        ssize_t n = pwritev(fd, iov, n_iov, place_of(t, r) + (off_t)done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return disk_fail(t, errno, path, strlen(path));
        }
        done += (uint64_t)n;
        skip_bytes(source, (uint64_t)n);
    }
    return 0;
}

/* Empty files have no byte whose writing would make them: they come with the byte before them, or
 * with the first of all. */
static int make_empty_files(struct disk_task *t)
{
    const struct layout *l = t->place.layout;
    uint64_t begin = t->j->offset;
    uint64_t end = begin + t->j->len;
    int rc = 0;
    for (uint32_t i = begin == 0 ? 0 : t->ranges[0].at.file;
         i < l->n_files && l->files[i].offset <= end && rc == 0; i++) {
        const struct layout_file *f = &l->files[i];
        int fd;
        if (f->len > 0 || !layout_is_stored(f) || !disk_is_wanted(&t->place, i) ||
            (f->offset <= begin && begin > 0)) {
            continue;
        }
        rc = disk_open_path(t, f->path, DISK_HOW_READ | DISK_HOW_MAKE, &fd);
        if (rc == 0) {
            t->n_opens++;
            (void)close(fd);
        }
    }
    return rc;
}

int disk_do_write(struct disk_task *t)
{
    struct source source = {.j = t->j};
    int rc = disk_open_root(t, true);
    for (uint32_t i = 0; i < t->n_ranges && rc == 0; i++) {
        struct disk_range *r = &t->ranges[i];
        int fd;
        if (!layout_is_stored(file_of(t, r))) {
            skip_bytes(&source, r->at.len);
            continue;
        }
        rc = disk_open_range(t, r, DISK_HOW_WRITE | DISK_HOW_MAKE, &fd);
        if (rc == 0) {
            r->written = true; /* some of it, maybe */
            rc = write_range(t, r, fd, &source);
            disk_close_range(r);
        }
    }
    return rc == 0 ? make_empty_files(t) : rc;
}

/* ---- hashing -------------------------------------------------------------------------------- */

/* Timed for a run of up to DISK_COPY_LEN bytes, not for a block. */
static void add_to_digest(struct disk_task *t, struct digest_stream *digest, struct span bytes)
{
    const uint64_t begun_ns = uv_hrtime();
    digest_stream_add(digest, bytes);
    t->hash_ns += uv_hrtime() - begun_ns;
}

static int hash_range(struct disk_task *t, struct disk_range *r, struct digest_stream *digest,
                      uint8_t *buffer)
{
    bool stored = layout_is_stored(file_of(t, r));
    int fd = -1;
    int rc = stored ? disk_open_range(t, r, DISK_HOW_READ, &fd) : 0;
    if (rc < 0) {
        return rc;
    }
    if (!stored) {
        memset(buffer, 0, r->at.len < DISK_COPY_LEN ? r->at.len : DISK_COPY_LEN);
    }
    for (uint64_t done = 0, n; done < r->at.len && rc == 0; done += n) {
        n = r->at.len - done < DISK_COPY_LEN ? r->at.len - done : DISK_COPY_LEN;
        rc = stored ? read_range(t, r, fd, done, (struct iovec){buffer, n}) : 0;
        add_to_digest(t, digest, span_of(buffer, rc == 0 ? n : 0));
    }
    if (stored) {
        disk_close_range(r);
    }
    return rc;
}

int disk_do_hash(struct disk_task *t)
{
    struct digest_stream *digest = digest_stream_new();
    uint8_t *buffer = mem_array(DISK_COPY_LEN, 1);
    int rc = 0;
    for (uint32_t i = 0; i < t->n_ranges && rc == 0; i++) {
        rc = hash_range(t, &t->ranges[i], digest, buffer);
    }
    if (rc == 0) {
        digest_stream_end(digest, t->j->digest);
    }
    free(buffer);
    digest_stream_free(digest);
    return rc;
}
