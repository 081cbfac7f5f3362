/* disk_remove.c: deleting what a torrent has made. A thread of the pool, alone with the torrent.
 *
 * Files     those of the layout that are stored, the part file and what a move left: what anybody
 *           else has put into the folders stays, and so do the folders it is in.
 * Folders   below the save path, only of a torrent that has one of its own, the deeper ones first. A
 *           folder is removed by the system's own "only if it is empty".
 * Errors    do not stop it; the first one is reported.
 * Not there is as good as removed, but another device in the place of the save path is an error.
 */
#include "client/disk_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#include "base/banned.h"

struct folder {
    const char *path;
    size_t len;
};

static int remove_file(struct disk_task *t, const char *path)
{
    const char *name;
    struct stat st;
    int rc = disk_stat_file(t, path, &name, &st);
    if (rc < 0) {
        return rc;
    }
    return unlinkat(t->folder.fd, name, 0) < 0 ? disk_fail(t, errno, path, strlen(path)) : 0;
}

/* Keeps the job's first error, which is none when something was only not there. */
static void note(struct disk_task *t, int rc, struct err *first)
{
    if (rc < 0 && rc != ERR_NOT_FOUND && first->code == 0) {
        *first = t->j->err;
    }
}

/* A folder and then those around it that it was the last in. */
static int remove_folders(struct disk_task *t, struct folder f)
{
    while (f.len > 0) {
        const char *slash = memrchr(f.path, '/', f.len);
        size_t parent_len = slash == NULL ? 0 : (size_t)(slash - f.path);
        size_t name_at = slash == NULL ? 0 : parent_len + 1;
        char name[LAYOUT_PART_MAX + 1];
        memcpy(name, f.path + name_at, f.len - name_at);
        name[f.len - name_at] = '\0';
        int rc = disk_enter_folder(t, f.path, parent_len, false);
        if (rc < 0 && rc != ERR_NOT_FOUND) {
            return rc;
        }
        if (rc == 0 && unlinkat(t->folder.fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT) {
            bool in_use = errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR;
            return in_use ? 0 : disk_fail(t, errno, f.path, f.len);
        }
        f.len = parent_len;
    }
    return 0;
}

static int longest_first(const void *a, const void *b)
{
    const struct folder *x = a;
    const struct folder *y = b;
    return (x->len < y->len) - (x->len > y->len);
}

static void remove_all_folders(struct disk_task *t, struct err *first)
{
    const struct layout *l = t->place.layout;
    struct folder *folders = mem_array(l->n_files, sizeof *folders);
    size_t n = 0;
    for (uint32_t i = 0; i < l->n_files; i++) {
        const char *path = l->files[i].path;
        size_t len = (size_t)(strrchr(path, '/') - path); /* each file is in a folder here */
        bool again =
            n > 0 && folders[n - 1].len == len && memcmp(folders[n - 1].path, path, len) == 0;
        if (layout_is_stored(&l->files[i]) && !again) {
            folders[n++] = (struct folder){path, len};
        }
    }
    qsort(folders, n, sizeof *folders, longest_first);
    for (size_t i = 0; i < n; i++) {
        note(t, remove_folders(t, folders[i]), first);
    }
    free(folders);
}

int disk_do_remove(struct disk_task *t)
{
    const struct layout *l = t->place.layout;
    struct err first = {.code = 0};
    if (!t->j->with_data) {
        return 0;
    }
    int rc = disk_open_root(t, false);
    if (rc < 0) {
        bool gone = access(t->place.save_path, F_OK) < 0 && errno == ENOENT;
        return gone ? 0 : rc;
    }
    for (uint32_t i = 0; i < l->n_files; i++) {
        if (layout_is_stored(&l->files[i])) {
            note(t, remove_file(t, l->files[i].path), &first);
        }
    }
    note(t, remove_file(t, t->place.part_name), &first);
    note(t, remove_file(t, t->place.moving_name), &first);
    if (l->multi_file) {
        remove_all_folders(t, &first);
    }
    t->j->err = first;
    return first.code;
}
