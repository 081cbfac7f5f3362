/* The directory of the embedded cluster.
 *
 * Making one: mkdir postgres-new → mark in it → mkdir cluster in it → (initdb, which syncs
 * its files) → mark in cluster, to the disk → rename cluster to data_dir/postgres → postgres-new
 * removed. A crash before the rename leaves a marked postgres-new (or an empty one), which is
 * removed; a crash after it leaves a complete cluster and a postgres-new that is removed as well.
 */
#include "store/embedded_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#define CLUSTER "postgres"
#define NEW     "postgres-new"
#define MARK    "rookery-cluster"

enum { TREE_DEPTH_MAX = 16, TREE_TRIES = 20, LOG_KEEP_LEN = 1 << 20 };

static const char mark_text[] = "This PostgreSQL cluster was made by Rookery and is run by it.\n";

/* ---- removing ----------------------------------------------------------------------------- */

static int tree_remove(int parent_fd, const char *name, int depth);

/* Symbolic links are removed, never followed. */
static int tree_clear(int fd, int depth)
{
    DIR *dir = fdopendir(fd); /* takes fd */
    const struct dirent *entry;
    int status = 0;
    if (dir == NULL) {
        status = -errno;
        (void)close(fd);
        return status;
    }
    while (status == 0 && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            status = tree_remove(dirfd(dir), entry->d_name, depth + 1);
        }
    }
    (void)closedir(dir);
    return status;
}

/* 0 or -errno. */
static int tree_remove(int parent_fd, const char *name, int depth)
{
    if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT) {
        return 0;
    }
    if (errno != EISDIR && errno != EPERM) {
        return -errno;
    }
    if (depth > TREE_DEPTH_MAX) {
        return -ELOOP;
    }
    for (int i = 0;; i++) {
        int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int status = fd < 0 ? -errno : tree_clear(fd, depth);
        if (status < 0) {
            return status == -ENOENT ? 0 : status;
        }
        if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0) {
            return 0;
        }
        /* An initdb that outlived its server may still be writing; it fails soon. */
        if (errno != ENOTEMPTY || i == TREE_TRIES) {
            return -errno;
        }
    }
}

static bool is_marked(int fd)
{
    struct stat st;
    return fstatat(fd, MARK, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

/* The mark goes last, so that a removal that was cut short can be done again. */
static int remove_new(const struct cluster_dir *d, struct err *e)
{
    int fd = openat(d->data_fd, NEW, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : err_set_errno(e, errno, "open %s/" NEW, d->data_dir);
    }
    int status = 0;
    if (is_marked(fd)) {
        status = tree_remove(fd, "cluster", 0);
        (void)unlinkat(fd, MARK, 0);
    }
    (void)close(fd);
    if (status < 0) {
        return err_set_errno(e, -status, "remove %s/" NEW, d->data_dir);
    }
    if (unlinkat(d->data_fd, NEW, AT_REMOVEDIR) < 0) {
        return err_set(e, ERR_DENIED,
                       "%s/" NEW " holds what Rookery did not make; move it away to go on",
                       d->data_dir);
    }
    return 0;
}

/* ---- making ------------------------------------------------------------------------------- */

static int write_mark(int dir_fd, uid_t uid, gid_t gid, struct err *e)
{
    int status = 0;
    int fd = openat(dir_fd, MARK, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno == EEXIST ? 0 : err_set_errno(e, errno, "write " MARK);
    }
    if (write(fd, mark_text, sizeof mark_text - 1) != (ssize_t)sizeof mark_text - 1 ||
        fchown(fd, uid, gid) < 0 || fsync(fd) < 0 || fsync(dir_fd) < 0) {
        status = err_set_errno(e, errno, "write " MARK);
    }
    (void)close(fd);
    return status;
}

static int make_new(struct cluster_dir *d, struct err *e)
{
    int status = 0;
    if (mkdirat(d->data_fd, NEW, 0700) < 0) {
        return err_set_errno(e, errno, "make %s/" NEW, d->data_dir);
    }
    int new_fd = openat(d->data_fd, NEW, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (new_fd < 0) {
        return err_set_errno(e, errno, "open %s/" NEW, d->data_dir);
    }
    status = write_mark(new_fd, geteuid(), getegid(), e);
    if (status == 0 && mkdirat(new_fd, "cluster", 0700) < 0) {
        status = err_set_errno(e, errno, "make %s/" NEW "/cluster", d->data_dir);
    }
    if (status == 0) {
        d->fd = openat(new_fd, "cluster", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (d->fd < 0 || (geteuid() == 0 && fchown(d->fd, d->uid, d->gid) < 0)) {
            status = err_set_errno(e, errno, "open %s/" NEW "/cluster", d->data_dir);
        }
    }
    (void)close(new_fd);
    return status;
}

int cluster_dir_adopt(struct cluster_dir *d, struct err *e)
{
    int status = write_mark(d->fd, d->uid, d->gid, e);
    if (status < 0) {
        return status;
    }
    if (fsync(d->fd) < 0 || renameat(d->data_fd, NEW "/cluster", d->data_fd, CLUSTER) < 0 ||
        fsync(d->data_fd) < 0) {
        return err_set_errno(e, errno, "move the new cluster to %s/" CLUSTER, d->data_dir);
    }
    d->complete = true;
    return remove_new(d, e);
}

/* ---- opening ------------------------------------------------------------------------------ */

static int choose_user(struct cluster_dir *d, struct err *e)
{
    d->uid = geteuid();
    d->gid = getegid();
    if (d->uid != 0) {
        return 0;
    }
    char text[1024];
    struct passwd user;
    struct passwd *found = NULL;
    (void)getpwnam_r("postgres", &user, text, sizeof text, &found);
    if (found == NULL) {
        return err_set(
            e, ERR_NOT_FOUND,
            "there is no user postgres to run PostgreSQL as: apt-get install postgresql");
    }
    d->uid = found->pw_uid;
    d->gid = found->pw_gid;
    return 0;
}

static void read_version(struct cluster_dir *d)
{
    int fd = openat(d->fd, "PG_VERSION", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, d->version, sizeof d->version - 1);
    d->version[n < 0 ? 0 : n] = '\0';
    d->version[strcspn(d->version, "\n")] = '\0';
    if (fd >= 0) {
        (void)close(fd);
    }
}

/* A cluster that is there: it must be ours, and belong to a user that we are or can become. */
static int check_cluster(struct cluster_dir *d, struct err *e)
{
    struct stat st;
    if (!is_marked(d->fd)) {
        return err_set(e, ERR_DENIED,
                       "%s/" CLUSTER " was not made by Rookery (it has no file " MARK
                       "): move it away, or use it through database.url",
                       d->data_dir);
    }
    if (fstat(d->fd, &st) < 0) {
        return err_set_errno(e, errno, "%s/" CLUSTER, d->data_dir);
    }
    if (st.st_uid == 0 || (geteuid() != 0 && st.st_uid != geteuid())) {
        return err_set(e, ERR_DENIED, "%s/" CLUSTER " belongs to user %lu, not to %lu", d->data_dir,
                       (unsigned long)st.st_uid, (unsigned long)d->uid);
    }
    d->uid = st.st_uid;
    d->gid = st.st_gid;
    d->complete = true;
    read_version(d);
    return 0;
}

static int open_or_make(struct cluster_dir *d, struct err *e)
{
    d->fd = openat(d->data_fd, CLUSTER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = d->fd < 0 ? errno : 0;
    if (failed != 0 && failed != ENOENT) {
        return failed == ENOTDIR
                   ? err_set(e, ERR_DENIED, "%s/" CLUSTER " is not a directory", d->data_dir)
                   : err_set_errno(e, failed, "open %s/" CLUSTER, d->data_dir);
    }
    int status = choose_user(d, e);
    if (status == 0 && failed == 0) {
        status = check_cluster(d, e);
    }
    if (status == 0) {
        status = remove_new(d, e);
    }
    if (status == 0 && failed != 0) {
        status = make_new(d, e);
    }
    return status;
}

int cluster_dir_open(struct cluster_dir *d, const char *data_dir, struct err *e)
{
    *d = (struct cluster_dir){.data_dir = data_dir, .data_fd = -1, .fd = -1};
    d->data_fd = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->data_fd < 0) {
        return err_set_errno(e, errno, "open %s", data_dir);
    }
    int status = open_or_make(d, e);
    if (status < 0) {
        cluster_dir_release(d);
    }
    return status;
}

void cluster_dir_release(struct cluster_dir *d)
{
    if (d->fd >= 0) {
        (void)close(d->fd);
    }
    if (d->data_fd >= 0) {
        (void)close(d->data_fd);
    }
    d->fd = d->data_fd = -1;
}

int cluster_dir_open_log(const struct cluster_dir *d, struct err *e)
{
    struct stat st;
    if (fstatat(d->data_fd, "postgres.log", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        st.st_size > LOG_KEEP_LEN) {
        (void)renameat(d->data_fd, "postgres.log", d->data_fd, "postgres.log.1"); /* or go on */
    }
    int fd = openat(d->data_fd, "postgres.log",
                    O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? err_set_errno(e, errno, "open %s/postgres.log", d->data_dir) : fd;
}
