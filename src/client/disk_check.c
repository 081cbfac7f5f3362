/* disk_check.c: are the files there, and is what was written safe? A thread of the pool.
 *
 * Check     looks at names and sizes alone. Empty files and those that are not wanted may be missing:
 *           nothing of the content is lost with them. A link or a folder in the place of a file is
 *           an error, as it would be when the file is opened.
 * Sync      opens each file that was written since the last one, as the descriptor it was written
 *           by may be closed: what the system still has to write belongs to the file. When names
 *           were made, the folders from the save path to the file are synced as well, or the file
 *           would be safe and nobody could find it.
 */
#include "client/disk_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

/* ---- check ---------------------------------------------------------------------------------- */

/* ERR_NOT_FOUND: there is no such file. */
static int look_at(struct disk_task *t, const char *path, uint64_t *len)
{
    const char *name;
    struct stat st;
    int rc = disk_stat_file(t, path, &name, &st);
    if (rc < 0) {
        return rc;
    }
    *len = (uint64_t)st.st_size;
    return 0;
}

static int check_file(struct disk_task *t, uint32_t file, uint32_t *first_missing)
{
    const struct layout_file *f = &t->place.layout->files[file];
    uint64_t len = 0;
    if (!layout_is_stored(f) || f->len == 0) {
        return 0;
    }
    int rc = look_at(t, f->path, &len);
    if (rc < 0 && rc != ERR_NOT_FOUND) {
        return rc;
    }
    t->j->any_data |= len > 0;
    if (disk_is_wanted(&t->place, file) && (rc < 0 || len != f->len)) {
        if (t->j->n_missing++ == 0) {
            *first_missing = file;
        }
    }
    return 0;
}

int disk_do_check(struct disk_task *t)
{
    const struct layout *l = t->place.layout;
    uint32_t first_missing = 0;
    uint64_t part_len = 0;
    t->j->any_data = false;
    t->j->n_missing = 0;
    int rc = disk_open_root(t, false);
    for (uint32_t i = 0; i < l->n_files && rc == 0; i++) {
        rc = check_file(t, i, &first_missing);
    }
    if (rc == 0) {
        rc = look_at(t, t->place.part_name, &part_len);
        t->j->any_data |= part_len > 0;
        rc = rc == ERR_NOT_FOUND ? 0 : rc;
    }
    if (rc == 0 && t->j->n_missing > 0) {
        const char *path = l->files[first_missing].path;
        return disk_fail_text(t, ERR_NOT_FOUND, path, strlen(path),
                              "is not there with its right length");
    }
    return rc;
}

/* ---- sync ----------------------------------------------------------------------------------- */

static int sync_fd(struct disk_task *t, int fd, const char *path, size_t len)
{
    /* EINVAL: a file system that has nothing to sync for a folder. */
    if (fsync(fd) < 0 && errno != EINVAL) {
        return disk_fail(t, errno, path, len);
    }
    return 0;
}

/* The folder that the task has walked to. That descriptor is for walking only: opened once more. */
static int sync_folder(struct disk_task *t, const char *path, size_t len)
{
    int fd = openat(t->folder.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return disk_fail(t, errno, path, len);
    }
    int rc = sync_fd(t, fd, path, len);
    (void)close(fd);
    return rc;
}

int disk_sync_folders(struct disk_task *t, const char *path, const char *before)
{
    size_t same = 0; /* both begin with so many bytes */
    while (before != NULL && path[same] != '\0' && path[same] == before[same]) {
        same++;
    }
    int rc = 0;
    for (const char *slash = strchr(path, '/'); slash != NULL && rc == 0;
         slash = strchr(slash + 1, '/')) {
        size_t len = (size_t)(slash - path);
        if (len < same) {
            continue;
        }
        rc = disk_enter_folder(t, path, len, false);
        rc = rc == 0 ? sync_folder(t, path, len) : rc;
    }
    return rc;
}

static int sync_file(struct disk_task *t, const char *path, const char *before)
{
    int fd;
    int rc = disk_open_path(t, path, DISK_HOW_READ, &fd);
    if (rc < 0) {
        return rc;
    }
    t->n_opens++;
    if (fdatasync(fd) < 0) {
        rc = disk_fail(t, errno, path, strlen(path));
    }
    (void)close(fd);
    return rc == 0 && t->sync_names ? disk_sync_folders(t, path, before) : rc;
}

int disk_do_sync(struct disk_task *t)
{
    const struct layout *l = t->place.layout;
    const char *before = NULL;
    if (t->dirty == NULL) {
        return 0;
    }
    int rc = disk_open_root(t, false);
    for (uint32_t i = 0; i <= l->n_files && rc == 0; i++) {
        if ((t->dirty[i / 8] >> (i % 8) & 1) == 0) {
            continue;
        }
        const char *path = i < l->n_files ? l->files[i].path : t->place.part_name;
        rc = sync_file(t, path, before);
        before = path;
    }
    return rc == 0 && t->sync_names ? sync_fd(t, t->root.fd, NULL, 0) : rc;
}
