#include "data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/mem.h"

#include "base/banned.h"

enum { TOKEN_MIN_LEN = 16, TOKEN_MAX_LEN = 512 };

/* mkdir -p, mode 0755 for what is new. */
static int make_path(const char *path, struct err *e)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part) {
        return err_set(e, ERR_INVALID, "data_dir '%s': not a usable path", path);
    }
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST) {
            return err_set_errno(e, errno, "cannot make data_dir %s", part);
        }
    }
    return 0;
}

static int open_in(const char *dir, const char *name, int flags)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(path, flags | O_CLOEXEC, 0600);
}

int data_dir_open(const char *path, struct err *e)
{
    int status = make_path(path, e);
    if (status < 0) {
        return status;
    }
    int fd = open_in(path, "rookery.lock", O_RDWR | O_CREAT);
    if (fd < 0) {
        return err_set_errno(e, errno, "data_dir %s is not writable", path);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int why = errno;
        (void)close(fd);
        if (why == EWOULDBLOCK) {
            return err_set(e, ERR_IN_USE,
                           "data_dir %s is in use by another rookery; stop it or set another "
                           "data_dir",
                           path);
        }
        return err_set_errno(e, why, "cannot lock data_dir %s", path);
    }
    return fd;
}

/* Written whole under another name first, so that a crash leaves no half a token. */
static int write_token(const char *dir, const char *token, struct err *e)
{
    char from[PATH_MAX];
    char to[PATH_MAX];
    if (snprintf(from, sizeof from, "%s/api-token.new", dir) >= (int)sizeof from ||
        snprintf(to, sizeof to, "%s/api-token", dir) >= (int)sizeof to) {
        return err_set(e, ERR_INVALID, "data_dir %s: the path is too long", dir);
    }
    int fd = open_in(dir, "api-token.new", O_WRONLY | O_CREAT | O_TRUNC);
    bool written = fd >= 0 && dprintf(fd, "%s\n", token) > 0 && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (written && rename(from, to) == 0) {
        return 0;
    }
    return err_set_errno(e, written ? errno : why, "cannot write %s", to);
}

int data_dir_token(const char *path, char **token, struct err *e)
{
    char text[TOKEN_MAX_LEN];
    int fd = open_in(path, "api-token", O_RDONLY);
    if (fd < 0 && errno == ENOENT) {
        digest_random_alnum(text, GENERATED_TOKEN_LEN);
        *token = mem_strndup(text, GENERATED_TOKEN_LEN);
        return write_token(path, text, e);
    }
    if (fd < 0) {
        return err_set_errno(e, errno, "cannot read %s/api-token", path);
    }
    ssize_t n = read(fd, text, sizeof text);
    int why = errno;
    (void)close(fd);
    if (n < 0) {
        return err_set_errno(e, why, "cannot read %s/api-token", path);
    }
    size_t len = span_find(span_of(text, (size_t)n), '\n');
    if (len < TOKEN_MIN_LEN || len == sizeof text) {
        return err_set(e, ERR_INVALID,
                       "%s/api-token: a token has %d to %d characters; remove the file to get a "
                       "new one",
                       path, TOKEN_MIN_LEN, TOKEN_MAX_LEN - 1);
    }
    *token = mem_strndup(text, len);
    return 0;
}
