/* disk_open.c: from a path of the layout to a descriptor. A thread of the pool.
 *
 * Walk      the save path is opened as the administrator wrote it, links and all. Below it each part
 *           is opened from the folder before it and never through a link, so that nothing which
 *           somebody puts below the save path leads the program out of it.
 * Missing   the save path is made by the first write. Once it has been there, it is not made again
 *           by this: a disk that is not mounted would be filled up beneath its mount point. A
 *           DISK_CHECK looks at it anew.
 * Unwanted  a file that is not wanted is used when it exists (it was wanted once). Else its bytes
 *           are in the part file. Only DISK_WANTED, which runs alone, makes such a file.
 */
#include "client/disk_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

enum { SHOWN_PATH_MAX = 112 }; /* of a path in an error, which has room for a reason as well */

/* ---- errors --------------------------------------------------------------------------------- */

/* The path of what failed; of a long one the end. */
static void show_path(char out[static SHOWN_PATH_MAX + 4], const struct disk_task *t,
                      const char *path, size_t len)
{
    char whole[2 * SHOWN_PATH_MAX + 2];
    const char *root = t->place.save_path;
    size_t root_len = strlen(root);
    size_t root_skip = root_len > SHOWN_PATH_MAX ? root_len - SHOWN_PATH_MAX : 0;
    size_t skip = len > SHOWN_PATH_MAX ? len - SHOWN_PATH_MAX : 0;
    int n = snprintf(whole, sizeof whole, "%s%s%.*s", root + root_skip, len > 0 ? "/" : "",
                     (int)(len - skip), len > 0 ? path + skip : "");
    bool cut = n > SHOWN_PATH_MAX || root_skip > 0;
    const char *from = whole + (n > SHOWN_PATH_MAX ? n - SHOWN_PATH_MAX : 0);
    while (cut && (*from & 0xc0) == 0x80) { /* not in the middle of a character */
        from++;
    }
    (void)snprintf(out, SHOWN_PATH_MAX + 4, "%s%.*s", cut ? "..." : "", SHOWN_PATH_MAX, from);
}

int disk_fail(struct disk_task *t, int errno_value, const char *path, size_t len)
{
    char shown[SHOWN_PATH_MAX + 4];
    show_path(shown, t, path, len);
    return err_set_errno(&t->j->err, errno_value, "%s", shown);
}

int disk_fail_text(struct disk_task *t, int code, const char *path, size_t len, const char *text)
{
    char shown[SHOWN_PATH_MAX + 4];
    show_path(shown, t, path, len);
    return err_set(&t->j->err, code, "%s: %s", shown, text);
}

/* The part of path that ends at len. */
static void last_part(char out[static LAYOUT_PART_MAX + 1], const char *path, size_t len)
{
    const char *slash = memrchr(path, '/', len);
    size_t at = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    ASSERT(len - at <= LAYOUT_PART_MAX);
    memcpy(out, path + at, len - at);
    out[len - at] = '\0';
}

int disk_fail_name(struct disk_task *t, int errno_value, int at, const char *path, size_t len)
{
    char part[LAYOUT_PART_MAX + 1];
    struct stat st;
    last_part(part, path, len);
    if ((errno_value == ENOTDIR || errno_value == ELOOP || errno_value == EISDIR ||
         errno_value == ENXIO) &&
        fstatat(at, part, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISLNK(st.st_mode)) {
            return disk_fail_text(t, ERR_DENIED, path, len,
                                  "is a symbolic link, which is not followed");
        }
        return disk_fail_text(t, ERR_EXISTS, path, len,
                              errno_value == ENOTDIR ? "exists and is not a folder"
                                                     : "exists and is not a file");
    }
    return disk_fail(t, errno_value, path, len);
}

/* ---- folders -------------------------------------------------------------------------------- */

/* May one more file stay open? Then it is the loop's in the end. */
static bool keep(struct disk_task *t)
{
    t->n_opens++;
    if (t->n_kept == t->keep) {
        return false;
    }
    t->n_kept++;
    return true;
}

/* The place that a storage has been in before? */
static int check_device(struct disk_task *t, int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        return disk_fail(t, errno, NULL, 0);
    }
    if (t->place.known && st.st_dev != t->place.device) {
        return disk_fail_text(t, ERR_UNAVAILABLE, NULL, 0,
                              "is on another device than before; is its disk mounted?");
    }
    t->place.device = st.st_dev;
    t->found = true;
    return 0;
}

int disk_open_root(struct disk_task *t, bool make)
{
    if (t->root.fd >= 0) {
        return 0;
    }
    const char *path = t->place.save_path;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && make && !t->place.known) {
        int failed = disk_make_folders(path);
        if (failed != 0) {
            return disk_fail(t, failed, NULL, 0);
        }
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0 && errno == ENOENT) {
        return disk_fail_text(t, ERR_UNAVAILABLE, NULL, 0, "the folder is not there");
    }
    if (fd < 0) {
        return disk_fail(t, errno, NULL, 0);
    }
    int rc = check_device(t, fd);
    if (rc < 0) {
        (void)close(fd);
        return rc;
    }
    t->root.opened = keep(t);
    t->root.fd = fd;
    return 0;
}

static void leave_folder(struct disk_task *t)
{
    if (t->folder.fd >= 0 && t->folder.fd != t->root.fd) {
        (void)close(t->folder.fd);
    }
    t->folder.fd = -1;
}

/* One step, from folder.fd to path[0, len). */
static int enter(struct disk_task *t, const char *path, size_t len, bool make)
{
    const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    char part[LAYOUT_PART_MAX + 1];
    last_part(part, path, len);
    int fd = openat(t->folder.fd, part, flags);
    if (fd < 0 && errno == ENOENT && make) {
        if (mkdirat(t->folder.fd, part, 0777) == 0) {
            t->made = true;
        } else if (errno != EEXIST) {
            return disk_fail(t, errno, path, len);
        }
        fd = openat(t->folder.fd, part, flags);
    }
    if (fd < 0) {
        return disk_fail_name(t, errno, t->folder.fd, path, len);
    }
    leave_folder(t);
    t->folder.fd = fd;
    return 0;
}

static bool is_in_folder(const struct disk_folder *f, const char *path, size_t len)
{
    return f->fd >= 0 && f->len == len && memcmp(f->path, path, len) == 0;
}

int disk_enter_folder(struct disk_task *t, const char *path, size_t len, bool make)
{
    if (is_in_folder(&t->folder, path, len)) {
        return 0;
    }
    int rc = disk_open_root(t, make);
    leave_folder(t);
    t->folder.fd = t->root.fd;
    for (size_t at = 0; rc == 0 && at < len; at++) {
        const char *next = memchr(path + at, '/', len - at);
        at = next == NULL ? len : (size_t)(next - path);
        rc = enter(t, path, at, make);
    }
    if (rc < 0) {
        leave_folder(t);
        return rc;
    }
    t->folder.path = path;
    t->folder.len = len;
    return 0;
}

int disk_open_folder(struct disk_task *t, const char *path, bool make, const char **name)
{
    const char *slash = strrchr(path, '/');
    *name = slash == NULL ? path : slash + 1;
    return disk_enter_folder(t, path, slash == NULL ? 0 : (size_t)(slash - path), make);
}

/* ---- files ---------------------------------------------------------------------------------- */

int disk_stat_file(struct disk_task *t, const char *path, const char **name, struct stat *st)
{
    int rc = disk_open_folder(t, path, false, name);
    if (rc < 0) {
        return rc;
    }
    if (fstatat(t->folder.fd, *name, st, AT_SYMLINK_NOFOLLOW) < 0) {
        return disk_fail(t, errno, path, strlen(path));
    }
    if (!S_ISREG(st->st_mode)) {
        return disk_fail_name(t, S_ISLNK(st->st_mode) ? ELOOP : EISDIR, t->folder.fd, path,
                              strlen(path));
    }
    return 0;
}

int disk_open_path(struct disk_task *t, const char *path, unsigned how, int *fd)
{
    const char *name;
    /* What is no file is not waited for (a pipe), and found out below. */
    int flags = (how & DISK_HOW_WRITE) != 0 ? O_RDWR : O_RDONLY;
    flags |= O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    int rc = disk_open_folder(t, path, (how & DISK_HOW_MAKE) != 0, &name);
    if (rc < 0) {
        return rc;
    }
    *fd = openat(t->folder.fd, name, flags);
    if (*fd < 0 && errno == ENOENT && (how & DISK_HOW_MAKE) != 0) {
        *fd = openat(t->folder.fd, name, flags | O_CREAT, 0666);
        t->made = true;
    }
    if (*fd < 0) {
        return disk_fail_name(t, errno, t->folder.fd, path, strlen(path));
    }
    struct stat st;
    if (fstat(*fd, &st) < 0) {
        rc = disk_fail(t, errno, path, strlen(path));
    } else if (!S_ISREG(st.st_mode)) {
        rc = disk_fail_text(t, ERR_EXISTS, path, strlen(path), "exists and is not a file");
    }
    if (rc < 0) {
        (void)close(*fd);
    }
    return rc;
}

int disk_grow(struct disk_task *t, int fd, const char *path, uint64_t len)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        return disk_fail(t, errno, path, strlen(path));
    }
    if ((uint64_t)st.st_size >= len) {
        return 0;
    }
    int rc = t->place.allocate ? fallocate(fd, 0, 0, (off_t)len) : -1;
    if (t->place.allocate && rc < 0 && errno != EOPNOTSUPP) {
        return disk_fail(t, errno, path, strlen(path));
    }
    if (rc < 0 && ftruncate(fd, (off_t)len) < 0) {
        return disk_fail(t, errno, path, strlen(path));
    }
    return 0;
}

int disk_open_part(struct disk_task *t, unsigned how)
{
    bool writable = (how & DISK_HOW_WRITE) != 0;
    if (t->part.fd >= 0 && (t->part.writable || !writable)) {
        return 0;
    }
    ASSERT(t->part.fd < 0); /* the loop gives a task a descriptor that it can use, or none */
    int rc = disk_open_path(t, t->place.part_name, how, &t->part.fd);
    if (rc < 0) {
        t->part.fd = -1;
        return rc;
    }
    t->part.writable = writable;
    t->part.opened = keep(t);
    return 0;
}

int disk_open_range(struct disk_task *t, struct disk_range *r, unsigned how, int *fd)
{
    if (r->file.fd >= 0) {
        *fd = r->file.fd;
        return 0;
    }
    const struct layout_file *f = &t->place.layout->files[r->at.file];
    bool wanted = disk_is_wanted(&t->place, r->at.file);
    int rc = disk_open_root(t, (how & DISK_HOW_MAKE) != 0);
    if (rc == 0) {
        rc = disk_open_path(t, f->path, wanted ? how : how & ~(unsigned)DISK_HOW_MAKE, fd);
    }
    if (rc == ERR_NOT_FOUND && !wanted) {
        r->in_part = true;
        rc = disk_open_part(t, how);
        *fd = t->part.fd;
        return rc;
    }
    if (rc == 0 && (how & DISK_HOW_WRITE) != 0) {
        rc = disk_grow(t, *fd, f->path, f->len);
        if (rc < 0) {
            (void)close(*fd);
        }
    }
    if (rc == 0) {
        r->file =
            (struct disk_fd){.fd = *fd, .opened = keep(t), .writable = (how & DISK_HOW_WRITE) != 0};
    }
    return rc;
}

static void close_fd(struct disk_fd *f)
{
    if (f->fd >= 0 && f->pinned == NULL && !f->opened) {
        (void)close(f->fd);
        f->fd = -1;
    }
}

void disk_close_range(struct disk_range *r)
{
    close_fd(&r->file);
}

void disk_open_end(struct disk_task *t)
{
    leave_folder(t);
    close_fd(&t->part);
    close_fd(&t->root);
}
