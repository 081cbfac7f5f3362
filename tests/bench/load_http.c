/* The HTTP engine: announces over keep-alive connections, or over a new connection for each.
 *
 * Path     a connection is bound to a source address and connected; when it is writable the
 *          request goes out in one write; the answer is read until its Content-Length (without
 *          one: until the end of the connection), decoded and counted; then the next request, or
 *          a new connection.
 * Waiting  epoll, edge-triggered, polled without sleeping: a wake-up would be paid by the
 *          tracker's CPU.
 * Closing  a tracker that ends a keep-alive connection behind an answer is connected to again; the
 *          end is counted.
 * Failure  a connection that ends before its first answer, or is silent for LOST_AFTER_NS, counts
 *          as lost and is made anew; no socket, no descriptor, no address: the run fails.
 * End      every connection is closed; an answer on its way is dropped.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "base/parse.h"
#include "load.h"
#include "process.h"
#include "proto/http1.h"
#include "proto/http_tracker.h"

#include "base/banned.h"

enum {
    EVENTS = 64,
    REQUEST_MAX = 1024,
    ANSWER_MAX = 16384,
    PEERS_MAX = 1000,
    HTTP_OK = 200,
};

#define LOST_AFTER_NS UINT64_C(2000000000)
#define LOSS_CHECK_NS UINT64_C(200000000)

struct conn {
    int fd; /* -1: closed */
    uint32_t source;
    uint32_t peer;
    bool requested; /* the request is out, the answer is not complete */
    bool answered;  /* at least once on this connection */
    uint64_t sent_ns;
    size_t n;
    uint8_t in[ANSWER_MAX];
};

struct engine {
    struct load *load;
    struct sockaddr_in tracker;
    char host[ENDPOINT_TEXT_LEN];
    bool keep_alive;
    int epoll_fd;
    uint32_t n_conns;
    struct conn *conns;
};

struct answer {
    unsigned status;
    bool has_length;
    uint64_t body_len;
    struct span head;
    struct span body; /* what is there of it */
};

static struct span line_cut(struct span *rest)
{
    struct span line = span_cut(*rest, '\n', rest);
    return line.n > 0 && line.p[line.n - 1] == '\r' ? span_sub(line, 0, line.n - 1) : line;
}

static bool name_is(struct span name, const char *lower_case)
{
    return name.n == strlen(lower_case) &&
           strncasecmp((const char *)name.p, lower_case, name.n) == 0;
}

/* returns  1: the head is complete; 0: more is needed; ERR_MALFORMED. */
static int answer_head_decode(struct answer *out, struct span in)
{
    const uint8_t *end = in.n == 0 ? NULL : memmem(in.p, in.n, "\r\n\r\n", 4);
    uint64_t status = 0;

    if (end == NULL) {
        return in.n == ANSWER_MAX ? ERR_MALFORMED : 0;
    }
    *out = (struct answer){.head = span_sub(in, 0, (size_t)(end - in.p) + 2)};
    out->body = span_sub(in, out->head.n + 2, in.n);
    struct span rest = out->head;
    struct span line = line_cut(&rest);
    if (!span_starts_with(line, SPAN("HTTP/1.")) ||
        !parse_u64(&status, span_sub(line, 9, 3), 999)) {
        return ERR_MALFORMED;
    }
    out->status = (unsigned)status;
    while (rest.n > 0) {
        struct span value;
        struct span name = span_cut(line_cut(&rest), ':', &value);
        if (!name_is(name, "content-length")) {
            continue;
        }
        while (value.n > 0 && value.p[0] == ' ') {
            value = span_sub(value, 1, value.n);
        }
        if (!parse_u64(&out->body_len, value, ANSWER_MAX)) {
            return ERR_MALFORMED;
        }
        out->has_length = true;
    }
    return 1;
}

static void conn_close(struct conn *conn)
{
    if (conn->fd >= 0) {
        close(conn->fd);
    }
    conn->fd = -1;
    conn->requested = false;
    conn->answered = false;
    conn->n = 0;
}

static int conn_open(struct engine *engine, struct conn *conn, struct err *e)
{
    int on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET};

    from.sin_addr = population_source_addr(conn->source);
    conn->sent_ns = engine->load->now_ns;
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        return err_set_errno(e, errno, "TCP socket");
    }
    /* The port is chosen at connect, so that each source has all ports for this one target. */
    setsockopt(conn->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(conn->fd, (struct sockaddr *)&from, sizeof from) != 0) {
        return err_set_errno(e, errno, "bind a TCP socket");
    }
    if (connect(conn->fd, (struct sockaddr *)&engine->tracker, sizeof engine->tracker) != 0 &&
        errno != EINPROGRESS) {
        return err_set_errno(e, errno, "connect to %s", engine->host);
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data = {.ptr = conn}};
    if (epoll_ctl(engine->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) != 0) {
        return err_set_errno(e, errno, "epoll");
    }
    return 0;
}

static int conn_reopen(struct engine *engine, struct conn *conn, struct err *e)
{
    const struct population *p = &engine->load->config->population;
    uint32_t sources = p->sources < p->peers ? p->sources : p->peers;

    conn_close(conn);
    conn->source = rng_below(&engine->load->rng, sources);
    return conn_open(engine, conn, e);
}

/* HTTP/1.1 keeps a connection unless it is told not to; opentracker only when it is told to. */
static void ask_to_keep(struct wr *request)
{
    static const struct span end = SPAN("\r\n");
    request->p -= end.n;
    wr_bytes(request, SPAN("Connection: keep-alive\r\n\r\n"));
}

/* The request leaves in one write or not at all: the socket's buffer is empty. */
static bool conn_request(struct engine *engine, struct conn *conn)
{
    const struct load_config *config = engine->load->config;
    struct announce_req req;
    uint8_t target_bytes[REQUEST_MAX];
    uint8_t bytes[REQUEST_MAX];
    struct wr target = wr_over(target_bytes, sizeof target_bytes);
    struct wr w = wr_over(bytes, sizeof bytes);

    conn->peer = load_random_peer_of_source(engine->load, conn->source);
    population_announce(&config->population, conn->peer, config->event, config->numwant, &req);
    wr_bytes(&target, SPAN("/announce?"));
    http_announce_encode(&target, &req);
    http1_get_encode(&w, span_str(engine->host), wr_span(&target), engine->keep_alive);
    if (engine->keep_alive) {
        ask_to_keep(&w);
    }
    ASSERT(!target.bad && !w.bad);
    conn->n = 0;
    if (engine->keep_alive) {
        conn->sent_ns = engine->load->now_ns; /* else the time to connect counts too */
    }
    conn->requested = true;
    return send(conn->fd, bytes, wr_len(&w), MSG_NOSIGNAL) == (ssize_t)wr_len(&w);
}

static void on_answer(struct engine *engine, struct conn *conn, const struct answer *answer)
{
    struct load *load = engine->load;
    struct http_reply reply;
    uint8_t room_bytes[PEERS_MAX * COMPACT6_LEN];
    struct wr room = wr_over(room_bytes, sizeof room_bytes);
    struct http_reply_limits limits = {.peers_max = PEERS_MAX};
    const char *why = NULL;

    load->last_answer_ns = load->now_ns;
    if (answer->status != HTTP_OK) {
        load->stats.failures++;
    } else if (http_announce_reply_decode(&reply, answer->body, &room, &limits, &why) < 0) {
        load->stats.malformed++;
    } else if (reply.failed) {
        load->stats.failures++;
    } else if (!load_peers(load, conn->peer, reply.reply.peers4)) {
        load->stats.malformed++;
    } else {
        load_answered(load, load->now_ns - conn->sent_ns);
    }
}

/* Read what is there. returns  1: the answer is complete; 0: not yet; < 0: it will not come. */
static int conn_read(struct conn *conn, struct answer *answer)
{
    bool ended = false;

    while (conn->n < sizeof conn->in) {
        ssize_t n = recv(conn->fd, conn->in + conn->n, sizeof conn->in - conn->n, 0);
        if (n < 0 && errno == EAGAIN) {
            break;
        }
        if (n <= 0) {
            ended = true;
            break;
        }
        conn->n += (size_t)n;
        int rc = answer_head_decode(answer, span_of(conn->in, conn->n));
        if (rc < 0) {
            return rc;
        }
        if (rc > 0 && answer->has_length && answer->body.n >= answer->body_len) {
            return answer->body.n == answer->body_len ? 1 : ERR_MALFORMED;
        }
    }
    if (!ended) {
        return conn->n == sizeof conn->in ? ERR_MALFORMED : 0;
    }
    bool closed_behind_body =
        answer_head_decode(answer, span_of(conn->in, conn->n)) > 0 && !answer->has_length;
    return closed_behind_body ? 1 : ERR_CLOSED;
}

static void count_failure(struct load *load, const struct conn *conn, int code)
{
    if (code == ERR_MALFORMED) {
        load->stats.malformed++;
    } else if (conn->answered) {
        load->stats.closed++;
    } else {
        load->stats.lost++;
    }
}

static int on_event(struct engine *engine, struct conn *conn, uint32_t events, struct err *e)
{
    struct answer answer;
    bool sent = true;

    if (!conn->requested && (events & EPOLLOUT) != 0) {
        sent = conn_request(engine, conn);
    }
    int rc = sent ? conn_read(conn, &answer) : ERR_CLOSED;
    if (rc == 0) {
        return 0;
    }
    if (rc < 0) {
        count_failure(engine->load, conn, rc);
        return conn_reopen(engine, conn, e);
    }
    on_answer(engine, conn, &answer);
    conn->answered = true;
    bool open = answer.has_length && (events & EPOLLRDHUP) == 0;
    if (engine->keep_alive && open && conn_request(engine, conn)) {
        return 0;
    }
    engine->load->stats.closed += engine->keep_alive;
    return conn_reopen(engine, conn, e);
}

static int engine_find_lost(struct engine *engine, struct err *e)
{
    for (uint32_t i = 0; i < engine->n_conns; i++) {
        struct conn *conn = &engine->conns[i];
        if (engine->load->now_ns - conn->sent_ns < LOST_AFTER_NS) {
            continue;
        }
        engine->load->stats.lost++;
        int rc = conn_reopen(engine, conn, e);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int engine_turn(struct engine *engine, struct err *e)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(engine->epoll_fd, events, EVENTS, 0);

    if (n < 0 && errno != EINTR) {
        return err_set_errno(e, errno, "epoll");
    }
    for (int i = 0; i < n; i++) {
        engine->load->now_ns = clock_ns();
        int rc = on_event(engine, events[i].data.ptr, events[i].events, e);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int engine_run(struct engine *engine, struct err *e)
{
    struct load *load = engine->load;
    uint64_t looked_ns = load->now_ns;
    int rc = 0;

    e->code = 0;
    for (uint32_t i = 0; i < engine->n_conns && rc == 0; i++) {
        rc = conn_reopen(engine, &engine->conns[i], e);
    }
    while (rc == 0 && load_goes_on(load, e)) {
        rc = engine_turn(engine, e);
        if (rc == 0 && load->now_ns - looked_ns >= LOSS_CHECK_NS) {
            looked_ns = load->now_ns;
            rc = engine_find_lost(engine, e);
        }
    }
    return rc == 0 ? e->code : rc;
}

int load_http_run(struct load *load, struct err *e)
{
    const struct load_config *config = load->config;
    struct engine engine = {.load = load, .keep_alive = config->kind == LOAD_HTTP_KEEPALIVE};
    struct sockaddr_storage to;

    engine.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (engine.epoll_fd < 0) {
        return err_set_errno(e, errno, "epoll");
    }
    endpoint_to_sockaddr(&config->tracker, &to);
    memcpy(&engine.tracker, &to, sizeof engine.tracker);
    endpoint_format(engine.host, &config->tracker);
    engine.n_conns = config->window;
    engine.conns = mem_zeroed(engine.n_conns * sizeof *engine.conns);
    for (uint32_t i = 0; i < engine.n_conns; i++) {
        engine.conns[i].fd = -1;
    }
    int rc = engine_run(&engine, e);
    for (uint32_t i = 0; i < engine.n_conns; i++) {
        conn_close(&engine.conns[i]);
    }
    free(engine.conns);
    close(engine.epoll_fd);
    return rc;
}
