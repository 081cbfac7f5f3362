/* disk_wanted.c: files that were not wanted and are now. A thread of the pool, alone with the
 * torrent.
 *
 * What the part file has of such a file becomes the file: copied under another name in the save
 * path, synced, and renamed. So a file is there with all of its bytes or not at all; after a crash in
 * between, either the part file has them still or they are where they belong. A file that exists has
 * had its bytes all the time (disk_open.c) and is left alone, and one that the part file has nothing
 * of is made by its first write, as any other.
 */
#include "client/disk_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#include "base/banned.h"

/* A copy under way: bytes [begin, end) of the part file. */
struct move {
    const struct layout_file *file;
    uint64_t begin;
    uint64_t end;
    int to;
    bool any; /* a byte that is not zero was copied */
    uint8_t *buffer;
};

static bool is_zero(const uint8_t *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static int write_all(int fd, const uint8_t *p, size_t n, off_t at)
{
    while (n > 0) {
        ssize_t done = pwrite(fd, p, n, at);
        if (done < 0 && errno != EINTR) {
            return -1;
        }
        if (done > 0) {
            p += done;
            n -= (size_t)done;
            at += done;
        }
    }
    return 0;
}

static int copy_extent(struct disk_task *t, struct move *m, uint64_t begin, uint64_t end)
{
    const char *path = t->place.part_name;
    while (begin < end) {
        size_t want = end - begin < DISK_COPY_LEN ? end - begin : DISK_COPY_LEN;
        ssize_t n = pread(t->part.fd, m->buffer, want, (off_t)begin);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return disk_fail(t, errno, path, strlen(path));
        }
        if (n == 0) {
            return 0; /* the part file ends before the file does */
        }
        if (!is_zero(m->buffer, (size_t)n)) {
            m->any = true;
            if (write_all(m->to, m->buffer, (size_t)n, (off_t)(begin - m->begin)) < 0) {
                return disk_fail(t, errno, m->file->path, strlen(m->file->path));
            }
        }
        begin += (uint64_t)n;
    }
    return 0;
}

/* The next bytes of the part file from *begin on that may be other than zero; false: none. */
static bool next_extent(int fd, uint64_t *begin, uint64_t *end, uint64_t last)
{
    off_t data = lseek(fd, (off_t)*begin, SEEK_DATA);
    if (data < 0 && errno == ENXIO) {
        return false;
    }
    if (data >= 0) { /* else the file system cannot say: all of it */
        *begin = (uint64_t)data;
    }
    off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
    *end = hole < 0 || (uint64_t)hole > last ? last : (uint64_t)hole;
    return *begin < last;
}

static int copy(struct disk_task *t, struct move *m)
{
    uint64_t begin = m->begin;
    uint64_t end;
    int rc = 0;
    while (rc == 0 && begin < m->end && next_extent(t->part.fd, &begin, &end, m->end)) {
        rc = copy_extent(t, m, begin, end);
        begin = end;
    }
    return rc;
}

/* The copy is whole: make it the file. */
static int put_in_place(struct disk_task *t, const struct move *m)
{
    const char *path = m->file->path;
    const char *name;
    int rc = disk_grow(t, m->to, path, m->file->len);
    if (rc == 0 && fdatasync(m->to) < 0) {
        rc = disk_fail(t, errno, path, strlen(path));
    }
    if (rc == 0) {
        rc = disk_open_folder(t, path, true, &name);
    }
    if (rc == 0 && renameat(t->root.fd, t->place.moving_name, t->folder.fd, name) < 0) {
        rc = disk_fail_name(t, errno, t->folder.fd, path, strlen(path));
    }
    return rc == 0 ? disk_sync_folders(t, path, NULL) : rc;
}

static int move_file(struct disk_task *t, struct move *m)
{
    const char *moving = t->place.moving_name;
    int rc = disk_open_path(t, moving, DISK_HOW_WRITE | DISK_HOW_MAKE, &m->to);
    if (rc < 0) {
        return rc;
    }
    if (ftruncate(m->to, 0) < 0) { /* of an earlier life */
        rc = disk_fail(t, errno, moving, strlen(moving));
    }
    rc = rc == 0 ? copy(t, m) : rc;
    bool placed = rc == 0 && m->any;
    if (placed) {
        rc = put_in_place(t, m);
    }
    (void)close(m->to);
    if (!placed || rc < 0) {
        (void)unlinkat(t->root.fd, moving, 0);
    } else {
        t->made = true;
        /* Only room is lost when the file system cannot do this. */
        (void)fallocate(t->part.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)m->begin,
                        (off_t)m->file->len);
    }
    return rc;
}

/* ERR_NOT_FOUND: the file does not exist. */
static int exists(struct disk_task *t, const struct layout_file *f)
{
    int fd;
    int rc = disk_open_path(t, f->path, DISK_HOW_READ, &fd);
    if (rc == 0) {
        (void)close(fd);
    }
    return rc;
}

static int move_wanted(struct disk_task *t, bool *all_wanted)
{
    const struct layout *l = t->place.layout;
    struct move m = {.buffer = mem_array(DISK_COPY_LEN, 1)};
    int rc = 0;
    *all_wanted = true;
    for (uint32_t i = 0; i < l->n_files && rc == 0; i++) {
        const struct layout_file *f = &l->files[i];
        uint64_t begin = f->offset;
        uint64_t end;
        if (!layout_is_stored(f) || f->len == 0) {
            continue;
        }
        if (t->j->wanted != NULL && t->j->wanted[i] == 0) {
            *all_wanted = false;
            continue;
        }
        if (!next_extent(t->part.fd, &begin, &end, f->offset + f->len)) {
            continue;
        }
        rc = exists(t, f);
        if (rc == ERR_NOT_FOUND) {
            m.file = f;
            m.begin = f->offset;
            m.end = f->offset + f->len;
            m.any = false;
            rc = move_file(t, &m);
        }
    }
    free(m.buffer);
    return rc;
}

int disk_do_wanted(struct disk_task *t)
{
    bool all_wanted;
    const char *part = t->place.part_name;
    int rc = disk_open_part(t, DISK_HOW_WRITE);
    if (rc == ERR_NOT_FOUND || (rc == ERR_UNAVAILABLE && !t->place.known)) {
        return 0; /* nothing was written yet that is not wanted */
    }
    rc = rc == 0 ? move_wanted(t, &all_wanted) : rc;
    if (rc == 0 && all_wanted && unlinkat(t->root.fd, part, 0) < 0) {
        return disk_fail(t, errno, part, strlen(part));
    }
    if (rc == 0 && all_wanted) {
        t->part_gone = true;
        t->part.opened = false; /* not to be kept */
    }
    return rc;
}
