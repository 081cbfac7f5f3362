#include "ready_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"

#include "base/banned.h"

enum { READY_FILE_MAX = 65536 };

static void add_list(struct buf *b, const char *name, const struct endpoint_list *list)
{
    buf_addf(b, ", \"%s\": [", name);
    for (size_t i = 0; i < list->n; i++) {
        char text[ENDPOINT_TEXT_LEN];
        buf_addf(b, "%s\"%s\"", i == 0 ? "" : ", ", endpoint_format(text, &list->at[i]));
    }
    buf_add_byte(b, ']');
}

void ready_file_remove(const char *path)
{
    if (path != NULL) {
        (void)unlink(path);
    }
}

int ready_file_write(const char *path, const struct ready_addresses *addresses, struct err *e)
{
    static const struct endpoint_list none;
    char temporary[PATH_MAX];
    struct buf b;
    buf_init(&b, READY_FILE_MAX);
    buf_addf(&b, "{\"pid\": %d", (int)getpid());
    add_list(&b, "api", addresses->api);
    add_list(&b, "tracker_http", addresses->tracker_http);
    add_list(&b, "tracker_udp", addresses->tracker_udp);
    add_list(&b, "client", addresses->client != NULL ? addresses->client : &none);
    buf_add_str(&b, ", \"version\": \"" ROOKERY_VERSION "\"}\n");

    int status = 0;
    int fd = -1;
    if (snprintf(temporary, sizeof temporary, "%s.new", path) < (int)sizeof temporary) {
        fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    }
    if (fd < 0 || b.bad || write(fd, b.p, b.len) != (ssize_t)b.len || rename(temporary, path) < 0) {
        status = err_set_errno(e, errno, "cannot write ready file %s", path);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    buf_release(&b);
    return status;
}
