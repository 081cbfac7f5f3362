/* http_client.c: libcurl's multi interface on a uv loop.
 *
 * Happy path
 *   http_get_start     the request waits in line, the report timer is armed
 *   on_report          begins what may begin: a handle from the pool goes into the multi handle
 *   on_socket          libcurl names a socket and what to wait for: a uv_poll of its own
 *   on_poll, on_timer  libcurl works; what it has finished is taken out, done is called, the handle
 *                      goes back to the pool, and the next in line may begin
 *
 * Failures
 *   handle refused, options refused    done(ERR_UNAVAILABLE) by on_report
 *   waited in line for too long        done(ERR_TIMEOUT) by on_report
 *   anything on the way                done with what http_get_response makes of libcurl's result
 *   http_get_cancel, http_client_close done(ERR_CANCELED) by on_report
 *   a socket cannot be watched         the request ends by its timeout
 *
 * So done is only ever called from a callback of the loop, and never from inside libcurl: its own
 * callbacks (socket, timer, allow) touch no request's life.
 *
 * At the end (closed) every done was called, libcurl and all handles are gone. A uv_poll closes
 * behind libcurl's back, which may close the descriptor at once: uv_poll_stop has then unhooked it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/http_client_impl.h"

#include "base/banned.h"

enum {
    WAITING_MAX = 1024,
    POOL_MAX = 16,        /* idle handles; connections are apart */
    CONNECTIONS_MAX = 64, /* idle ones */
    HOST_CONNECTIONS_MAX = 16,
    URL_MAX = 16384,
};

struct http_client {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;  /* libcurl's */
    uv_timer_t report; /* 0 ms: for what must not happen inside a call of the user */
    struct list waiting;
    struct list running;
    struct list ended;
    size_t n_waiting;
    size_t n_running;
    CURL *pool[POOL_MAX];
    size_t n_pool;
    size_t open_handles;
    bool closing;
    bool torn_down;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct socket_watch {
    uv_poll_t poll;
    struct http_client *client;
    curl_socket_t fd;
};

static void on_report(uv_timer_t *timer);

static void arm_report(struct http_client *c)
{
    if (!c->torn_down) {
        (void)uv_timer_start(&c->report, on_report, 0, 0);
    }
}

/* ---- the life of a request ---- */

static void get_free(struct http_get *get)
{
    buf_release(&get->body);
    free(get->url);
    free(get->user_agent);
    free(get->source);
    free(get);
}

static void move_to(struct http_get *get, enum get_state state)
{
    struct http_client *c = get->client;
    struct list *lists[] = {&c->waiting, &c->running, &c->ended};
    if (list_is_linked(&get->node)) {
        list_remove(&get->node);
        c->n_waiting -= get->state == GET_WAITING ? 1 : 0;
        c->n_running -= get->state == GET_RUNNING ? 1 : 0;
    }
    get->state = state;
    list_add_tail(lists[state], &get->node);
    c->n_waiting += state == GET_WAITING ? 1 : 0;
    c->n_running += state == GET_RUNNING ? 1 : 0;
}

static void give_handle_back(struct http_get *get)
{
    struct http_client *c = get->client;
    if (get->easy == NULL) {
        return;
    }
    if (c->n_pool < POOL_MAX && !c->closing) {
        curl_easy_reset(get->easy);
        c->pool[c->n_pool++] = get->easy;
    } else {
        curl_easy_cleanup(get->easy);
    }
    get->easy = NULL;
}

/* Over, without an answer: on_report tells. */
static void end(struct http_get *get, int status)
{
    if (get->state == GET_RUNNING) {
        (void)curl_multi_remove_handle(get->client->multi, get->easy);
    }
    give_handle_back(get);
    get->status = status;
    move_to(get, GET_ENDED);
}

static void begin(struct http_get *get)
{
    struct http_client *c = get->client;
    uint64_t waited_ms = uv_now(c->loop) - get->begin_ms;
    if (waited_ms >= get->opts.timeout_ms) {
        end(get, ERR_TIMEOUT);
        return;
    }
    get->easy = c->n_pool > 0 ? c->pool[--c->n_pool] : curl_easy_init();
    if (get->easy == NULL ||
        http_get_prepare(get, get->opts.timeout_ms - (uint32_t)waited_ms) < 0 ||
        curl_multi_add_handle(c->multi, get->easy) != CURLM_OK) {
        end(get, ERR_UNAVAILABLE);
        return;
    }
    move_to(get, GET_RUNNING);
}

static const char *why_of(int status)
{
    return status == ERR_TIMEOUT    ? "timed out in line"
           : status == ERR_CANCELED ? "canceled"
                                    : "could not begin";
}

static void tear_down(struct http_client *c);

static void on_report(uv_timer_t *timer)
{
    struct http_client *c = container_of(timer, struct http_client, report);
    struct list *node;
    while (c->n_running < HTTP_CLIENT_MAX && (node = list_first(&c->waiting)) != NULL) {
        begin(container_of(node, struct http_get, node));
    }
    while ((node = list_first(&c->ended)) != NULL) {
        struct http_get *get = container_of(node, struct http_get, node);
        struct http_response r = {
            .status = get->status, .content_type = "", .why = why_of(get->status)};
        list_remove(node);
        get->opts.done(get->opts.ctx, &r);
        get_free(get);
    }
    if (c->closing) {
        tear_down(c);
    }
}

/* What libcurl has finished. */
static void take_finished(struct http_client *c)
{
    CURLMsg *msg;
    int n_left;
    while (!c->closing && (msg = curl_multi_info_read(c->multi, &n_left)) != NULL) {
        struct http_get *get = NULL;
        struct http_response r;
        CURLcode result = msg->data.result;
        if (msg->msg != CURLMSG_DONE ||
            curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&get) != CURLE_OK) {
            continue;
        }
        (void)curl_multi_remove_handle(c->multi, get->easy); /* msg is gone with it */
        http_get_response(get, result, &r);
        list_remove(&get->node);
        c->n_running--;
        get->opts.done(get->opts.ctx, &r);
        give_handle_back(get);
        get_free(get);
    }
    if (c->n_waiting > 0) {
        arm_report(c);
    }
}

/* ---- libcurl and the loop ---- */

static void on_handle_closed(struct http_client *c)
{
    c->open_handles--;
    if (c->open_handles == 0) {
        void (*closed)(void *ctx) = c->closed;
        void *ctx = c->closed_ctx;
        free(c);
        if (closed != NULL) {
            closed(ctx);
        }
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_handle_closed(handle->data);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct socket_watch *w = container_of((uv_poll_t *)handle, struct socket_watch, poll);
    struct http_client *c = w->client;
    free(w);
    on_handle_closed(c);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct socket_watch *w = container_of(poll, struct socket_watch, poll);
    struct http_client *c = w->client;
    int n_running;
    int what = status < 0 ? CURL_CSELECT_ERR : 0;
    what |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    what |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    (void)curl_multi_socket_action(c->multi, w->fd, what, &n_running); /* w may be gone */
    take_finished(c);
}

static struct socket_watch *watch(struct http_client *c, curl_socket_t fd)
{
    struct socket_watch *w = mem_new(struct socket_watch);
    w->client = c;
    w->fd = fd;
    if (uv_poll_init_socket(c->loop, &w->poll, fd) < 0) {
        free(w);
        return NULL;
    }
    c->open_handles++;
    (void)curl_multi_assign(c->multi, fd, w);
    return w;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct http_client *c = ctx;
    struct socket_watch *w = socket_ctx;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w != NULL) {
            (void)curl_multi_assign(c->multi, fd, NULL);
            (void)uv_poll_stop(&w->poll);
            uv_close((uv_handle_t *)&w->poll, on_poll_closed);
        }
        return 0;
    }
    w = w != NULL ? w : watch(c, fd);
    int events = what == CURL_POLL_IN    ? UV_READABLE
                 : what == CURL_POLL_OUT ? UV_WRITABLE
                                         : UV_READABLE | UV_WRITABLE;
    if (w != NULL) {
        (void)uv_poll_start(&w->poll, events, on_poll);
    }
    return 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct http_client *c = container_of(timer, struct http_client, timer);
    int n_running;
    (void)curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &n_running);
    take_finished(c);
}

static int on_set_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    struct http_client *c = ctx;
    (void)multi;
    if (timeout_ms < 0) {
        (void)uv_timer_stop(&c->timer);
    } else if (!c->torn_down) {
        (void)uv_timer_start(&c->timer, on_timer, (uint64_t)timeout_ms, 0);
    }
    return 0;
}

/* ---- opening and closing ---- */

static CURLMcode set_multi(struct http_client *c)
{
    CURLM *m = c->multi;
    CURLMcode rc = curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, on_socket);
    rc = rc ? rc : curl_multi_setopt(m, CURLMOPT_SOCKETDATA, c);
    rc = rc ? rc : curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, on_set_timer);
    rc = rc ? rc : curl_multi_setopt(m, CURLMOPT_TIMERDATA, c);
    rc = rc ? rc : curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX);
    return rc ? rc
              : curl_multi_setopt(m, CURLMOPT_MAX_HOST_CONNECTIONS, (long)HOST_CONNECTIONS_MAX);
}

int http_client_open(struct http_client **out, uv_loop_t *loop, struct err *e)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return err_set(e, ERR_SYSTEM, "libcurl does not start");
    }
    struct http_client *c = mem_new(struct http_client);
    c->loop = loop;
    list_init(&c->waiting);
    list_init(&c->running);
    list_init(&c->ended);
    c->multi = curl_multi_init();
    if (c->multi == NULL || set_multi(c) != CURLM_OK) {
        (void)curl_multi_cleanup(c->multi);
        free(c);
        curl_global_cleanup();
        return err_set(e, ERR_SYSTEM, "libcurl does not start");
    }
    ASSERT(uv_timer_init(loop, &c->timer) == 0);
    ASSERT(uv_timer_init(loop, &c->report) == 0);
    c->timer.data = c->report.data = c;
    c->open_handles = 2;
    *out = c;
    return 0;
}

static void tear_down(struct http_client *c)
{
    ASSERT(list_is_empty(&c->running) && list_is_empty(&c->waiting));
    c->torn_down = true;
    while (c->n_pool > 0) {
        curl_easy_cleanup(c->pool[--c->n_pool]);
    }
    (void)curl_multi_cleanup(c->multi); /* takes the sockets out, too */
    curl_global_cleanup();
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
    uv_close((uv_handle_t *)&c->report, on_timer_closed);
}

void http_client_close(struct http_client *c, void (*closed)(void *ctx), void *ctx)
{
    if (c->closing) {
        return;
    }
    c->closing = true;
    c->closed = closed;
    c->closed_ctx = ctx;
    LIST_FOREACH_SAFE (node, &c->running) {
        end(container_of(node, struct http_get, node), ERR_CANCELED);
    }
    LIST_FOREACH_SAFE (waiting, &c->waiting) {
        end(container_of(waiting, struct http_get, node), ERR_CANCELED);
    }
    arm_report(c);
}

static bool is_http_url(const char *url)
{
    char *scheme = NULL;
    if (strlen(url) > URL_MAX) {
        return false;
    }
    CURLU *parsed = curl_url();
    bool ok = parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    curl_url_cleanup(parsed);
    return ok;
}

static char *copy(const char *text)
{
    return text == NULL ? NULL : mem_strndup(text, strlen(text));
}

int http_get_start(struct http_get **out, struct http_client *c, const struct http_get_opts *opts)
{
    ASSERT(opts->done != NULL);
    if (c->closing || c->n_waiting == WAITING_MAX) {
        return ERR_LIMIT;
    }
    if (!is_http_url(opts->url)) {
        return ERR_INVALID;
    }
    struct http_get *get = mem_new(struct http_get);
    get->client = c;
    get->opts = *opts;
    get->url = copy(opts->url);
    get->user_agent = copy(opts->user_agent);
    get->source = copy(opts->source);
    get->begin_ms = uv_now(c->loop);
    buf_init(&get->body, opts->max_len);
    move_to(get, GET_WAITING);
    arm_report(c);
    *out = get;
    return 0;
}

void http_get_cancel(struct http_get *get)
{
    if (get->state != GET_ENDED) {
        end(get, ERR_CANCELED);
        arm_report(get->client);
    }
}
