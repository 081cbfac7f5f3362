/* resolve.c
 *
 * Happy path
 *   resolve_start  the name is looked at, getaddrinfo begins in the thread pool
 *   on_resolved    addresses copied -> done(0) -> freed
 *
 * Failures
 *   no such name, no answer         on_resolved: done with the code
 *   canceled before a thread began  on_resolved: done(ERR_CANCELED)
 *   canceled while a thread asks    the thread cannot be stopped: a timer of 0 ms brings
 *                                   done(ERR_CANCELED), and on_resolved frees in silence
 *
 * At the end done has run once. The memory goes when the thread and the timer are both through, so
 * the loop may live a little longer than the user's interest.
 */
#include "net/resolve.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/uv_err.h"

#include "base/banned.h"

enum { HOST_MAX = 253 }; /* bytes of a name, RFC 1035 */

struct resolve {
    uv_getaddrinfo_t req;
    uv_timer_t soon;   /* for a cancel that the thread pool cannot do */
    resolve_done done; /* NULL: was called */
    void *ctx;
    bool asking;
    bool timer_open;
    char host[HOST_MAX + 1];
};

static void free_when_through(struct resolve *r)
{
    if (!r->asking && !r->timer_open) {
        free(r);
    }
}

static void report(struct resolve *r, int status, const struct addr *addrs, size_t n,
                   const struct err *e)
{
    resolve_done done = r->done;
    r->done = NULL;
    if (done != NULL) {
        done(r->ctx, status, addrs, n, e);
    }
}

/* Each address once, in the order of the answer. */
static size_t copy_addrs(struct addr out[static RESOLVE_MAX], const struct addrinfo *list)
{
    size_t n = 0;
    for (; list != NULL && n < RESOLVE_MAX; list = list->ai_next) {
        struct endpoint at;
        if (!endpoint_from_sockaddr(&at, list->ai_addr)) {
            continue;
        }
        size_t i = 0;
        while (i < n && !addr_eq(&out[i], &at.addr)) {
            i++;
        }
        out[i] = at.addr;
        n = i == n ? n + 1 : n;
    }
    return n;
}

static void on_resolved(uv_getaddrinfo_t *req, int uv_status, struct addrinfo *list)
{
    struct resolve *r = container_of(req, struct resolve, req);
    struct addr addrs[RESOLVE_MAX];
    struct err e = {.code = 0};
    int status = err_from_uv(uv_status);
    size_t n = status < 0 ? 0 : copy_addrs(addrs, list);
    uv_freeaddrinfo(list);
    r->asking = false;
    if (status >= 0 && n == 0) {
        status = ERR_NOT_FOUND;
    }
    if (status < 0) {
        status = status == ERR_NOT_FOUND || status == ERR_CANCELED ? status : ERR_UNAVAILABLE;
        (void)err_set(&e, status, "could not resolve \"%s\": %s", r->host,
                      uv_status < 0 ? uv_strerror(uv_status) : "no address");
    }
    report(r, status, addrs, n, &e);
    free_when_through(r);
}

/* A name that the system's resolver may be bothered with. */
static bool is_host(struct span host)
{
    if (host.n == 0 || host.n > HOST_MAX) {
        return false;
    }
    for (size_t i = 0; i < host.n; i++) {
        uint8_t c = host.p[i];
        if (c <= ' ' || c == 0x7f || memchr("/?#@[]%", c, 7) != NULL) {
            return false;
        }
    }
    return true;
}

int resolve_start(struct resolve **out, uv_loop_t *loop, struct span host, resolve_done done,
                  void *ctx)
{
    struct addr literal;
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}; /* each address once */
    if (addr_parse(&literal, host)) {
        hints.ai_flags = AI_NUMERICHOST;
        if (host.p[0] == '[') {
            host = span_sub(host, 1, host.n - 2);
        }
    }
    if (!is_host(host)) {
        return ERR_INVALID;
    }
    struct resolve *r = mem_new(struct resolve);
    memcpy(r->host, host.p, host.n);
    r->done = done;
    r->ctx = ctx;
    int rc = uv_getaddrinfo(loop, &r->req, on_resolved, r->host, NULL, &hints);
    if (rc < 0) { /* not a name by IDNA */
        free(r);
        return ERR_INVALID;
    }
    r->asking = true;
    *out = r;
    return 0;
}

static void on_soon_closed(uv_handle_t *handle)
{
    struct resolve *r = container_of((uv_timer_t *)handle, struct resolve, soon);
    r->timer_open = false;
    free_when_through(r);
}

static void on_soon(uv_timer_t *timer)
{
    struct resolve *r = container_of(timer, struct resolve, soon);
    struct err e;
    int status = err_set(&e, ERR_CANCELED, "look-up of \"%s\" canceled", r->host);
    uv_close((uv_handle_t *)timer, on_soon_closed);
    report(r, status, NULL, 0, &e);
}

void resolve_cancel(struct resolve *r)
{
    if (r->timer_open || uv_cancel((uv_req_t *)&r->req) == 0) {
        return;
    }
    ASSERT(uv_timer_init(r->req.loop, &r->soon) == 0);
    r->timer_open = true;
    ASSERT(uv_timer_start(&r->soon, on_soon, 0, 0) == 0);
}
