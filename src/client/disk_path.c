/* disk_path.c: may a save path be used, and making one.
 *
 * A path is compared with the allowed folders after both were resolved: the part of it that exists by
 * the system, links and ".." included; the rest is taken as it is, so it must not go up again, and a
 * link that leads nowhere is refused, as it could lead anywhere later.
 */
#include "client/disk_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

/* The folder that path is in, so that a name made there outlives a power failure. */
static void sync_parent(char *path)
{
    char *slash = strrchr(path, '/');
    char first = slash[1];
    slash[1] = '\0';
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    slash[1] = first;
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
}

int disk_make_folders(const char *path)
{
    char folder[PATH_MAX];
    size_t len = strlen(path);
    if (len >= sizeof folder) {
        return ENAMETOOLONG;
    }
    memcpy(folder, path, len + 1);
    for (size_t at = 1; at <= len; at++) {
        if (path[at] != '/' && path[at] != '\0') {
            continue;
        }
        folder[at] = '\0';
        if (mkdir(folder, 0777) == 0) {
            sync_parent(folder);
        } else if (errno != EEXIST) {
            return errno;
        }
        folder[at] = path[at];
    }
    return 0;
}

/* Puts what does not exist of a path behind what does. false: it goes up, or is too long. */
static bool add_rest(char resolved[static PATH_MAX], const char *rest)
{
    size_t len = strlen(resolved);
    while (*rest != '\0') {
        size_t part = strcspn(rest, "/");
        if (part == 2 && memcmp(rest, "..", 2) == 0) {
            return false;
        }
        if (part > 0 && !(part == 1 && rest[0] == '.')) {
            bool slash = resolved[len - 1] != '/';
            if (part > NAME_MAX || slash + part >= PATH_MAX - len) {
                return false;
            }
            resolved[len] = '/';
            memcpy(resolved + len + slash, rest, part);
            len += slash + part;
            resolved[len] = '\0';
        }
        rest += part + (rest[part] == '/');
    }
    return true;
}

static size_t without_slashes(const char *path, size_t len)
{
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    return len;
}

static size_t parent_len(const char *path, size_t len)
{
    while (len > 1 && path[len - 1] != '/') {
        len--;
    }
    return without_slashes(path, len);
}

/* *exists: how many bytes of resolved exist. */
static int resolve(const char *path, char resolved[static PATH_MAX], size_t *exists, struct err *e)
{
    char head[PATH_MAX];
    struct stat st;
    size_t len = strlen(path);
    if (path[0] != '/' || len >= sizeof head) {
        return err_set(e, ERR_INVALID, "%.120s: must be an absolute path", path);
    }
    memcpy(head, path, len + 1);
    len = without_slashes(head, len);
    head[len] = '\0'; /* lstat would follow a link with one behind it */
    while (realpath(head, resolved) == NULL) {
        if (errno != ENOENT) {
            return err_set_errno(e, errno, "%.120s", path);
        }
        if (lstat(head, &st) == 0) {
            return err_set(e, ERR_DENIED, "%.120s: leads through a link to nothing", path);
        }
        len = parent_len(head, len);
        head[len] = '\0';
    }
    *exists = strlen(resolved);
    if (!add_rest(resolved, path + len)) {
        return err_set(e, ERR_INVALID, "%.120s: goes up from a folder that is not there", path);
    }
    return 0;
}

static bool is_within(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    if (n > 0 && folder[n - 1] == '/') { /* the root */
        n--;
    }
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static bool is_allowed(const char *path, const char *const *allowed, size_t n_allowed)
{
    for (size_t i = 0; i < n_allowed; i++) {
        char folder[PATH_MAX];
        size_t exists;
        if (resolve(allowed[i], folder, &exists, NULL) == 0 && is_within(path, folder)) {
            return true;
        }
    }
    return false;
}

/* A folder that files can be made in. */
static int check_folder(const char *path, struct err *e)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        return err_set_errno(e, errno, "%.120s", path);
    }
    if (!S_ISDIR(st.st_mode)) {
        return err_set(e, ERR_INVALID, "%.120s: is not a folder", path);
    }
    if (faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) < 0) {
        return err_set_errno(e, errno, "%.120s", path);
    }
    return 0;
}

int disk_check_path(const char *path, const char *const *allowed, size_t n_allowed, bool make,
                    char *resolved, struct err *e)
{
    size_t exists;
    int rc = resolve(path, resolved, &exists, e);
    if (rc < 0) {
        return rc;
    }
    if (!is_allowed(resolved, allowed, n_allowed)) {
        return err_set(e, ERR_DENIED, "%.120s: is outside of the allowed folders", path);
    }
    if (make) {
        int failed = disk_make_folders(resolved);
        return failed != 0 ? err_set_errno(e, failed, "%.120s", resolved)
                           : check_folder(resolved, e);
    }
    /* What is not there yet can be made if the folder around it takes names. */
    char behind = resolved[exists];
    resolved[exists] = '\0';
    rc = check_folder(resolved, e);
    resolved[exists] = behind;
    return rc;
}
