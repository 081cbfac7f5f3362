#include "config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"

#include "base/banned.h"

static void print_complaint(void *ctx, const char *text)
{
    (void)ctx;
    fprintf(stderr, "%s\n", text);
}

/* Everything in the file, at most b's limit. */
static int read_all(struct buf *b, const char *path)
{
    enum { STEP = 16384 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "rookery: cannot open configuration %s: %s\n", path, strerror(errno));
        return ERR_NOT_FOUND;
    }
    ssize_t n = 0;
    do {
        uint8_t *to = buf_reserve(b, STEP);
        if (to == NULL) {
            break;
        }
        n = read(fd, to, STEP);
        b->len += n > 0 ? (size_t)n : 0;
    } while (n > 0 || (n < 0 && errno == EINTR));
    int why = errno;
    (void)close(fd);
    if (b->bad) {
        fprintf(stderr, "rookery: configuration %s is larger than %d bytes\n", path,
                CONFIG_FILE_MAX);
        return ERR_LIMIT;
    }
    if (n < 0) {
        fprintf(stderr, "rookery: cannot read configuration %s: %s\n", path, strerror(why));
        return ERR_SYSTEM;
    }
    return 0;
}

int config_file_load(struct config *out, const char *path)
{
    struct buf text;
    int status = 0;
    *out = (struct config){0};
    buf_init(&text, CONFIG_FILE_MAX);
    if (path != NULL) {
        status = read_all(&text, path);
    }
    if (status == 0) {
        status = config_load(out, path == NULL ? "environment" : path, buf_span(&text),
                             (const char *const *)environ, print_complaint, NULL);
    }
    buf_release(&text);
    return status;
}
