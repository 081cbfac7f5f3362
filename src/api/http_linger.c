/* Happy path   linger_add: FIN to the client, poll for bytes -> read and drop -> the client's own
 *              FIN -> close.
 * Failures     any read error ends it as the FIN does; too long or too much ends it with a reset.
 * At the end   n is 0, every descriptor is closed, and emptied was called by the last one.
 */
#include "api/http_linger.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

#include "base/banned.h"

struct straggler {
    struct list link;
    uv_poll_t poll;
    struct linger_set *set;
    uint64_t deadline_ms;
    size_t left; /* bytes still dropped */
    int fd;
};

static void on_closed(uv_handle_t *handle)
{
    struct straggler *l = handle->data;
    struct linger_set *set = l->set;
    close(l->fd);
    free(l);
    set->n--;
    if (set->n == 0) {
        set->emptied(set->ctx);
    }
}

static void end(struct straggler *l)
{
    list_remove(&l->link);
    uv_close((uv_handle_t *)&l->poll, on_closed);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct straggler *l = poll->data;
    uint8_t scratch[16384];
    (void)events;
    ssize_t n = status < 0 ? 0 : recv(l->fd, scratch, sizeof scratch, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0 || (size_t)n >= l->left) {
        end(l);
        return;
    }
    l->left -= (size_t)n;
}

void linger_init(struct linger_set *set, uv_loop_t *loop, void (*emptied)(void *ctx), void *ctx)
{
    *set = (struct linger_set){.loop = loop, .emptied = emptied, .ctx = ctx};
    list_init(&set->all);
}

void linger_add(struct linger_set *set, int fd, uint64_t now_ms)
{
    if (set->n >= LINGER_MAX) {
        close(fd);
        return;
    }
    struct straggler *l = mem_new(struct straggler);
    l->set = set;
    l->fd = fd;
    l->left = LINGER_LEN;
    l->deadline_ms = now_ms + LINGER_MS;
    l->poll.data = l;
    (void)shutdown(fd, SHUT_WR);
    if (uv_poll_init(set->loop, &l->poll, fd) != 0) {
        close(fd);
        free(l);
        return;
    }
    set->n++;
    list_add_tail(&set->all, &l->link);
    if (uv_poll_start(&l->poll, UV_READABLE, on_readable) != 0) {
        end(l);
    }
}

void linger_expire(struct linger_set *set, uint64_t now_ms)
{
    LIST_FOREACH_SAFE (node, &set->all) {
        struct straggler *l = container_of(node, struct straggler, link);
        if (l->deadline_ms <= now_ms) {
            end(l);
        }
    }
}
