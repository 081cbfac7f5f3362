/* The server on a loopback port, driven with raw sockets. One thread runs the loop for all tests
 * (h2o keeps spare memory in thread-local lists, which are lost with their thread); each test opens
 * and closes a server on it, so that the address sanitizer sees every teardown. */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "unit/api/loop_thread.h"

#include "api/http.h"
#include "base/err.h"

#include "base/banned.h"

enum { STALL_MS = 1000, MAX_BODY = 1000, SLICES = 400, HUGE = 8000, SLICE = 10000 };

struct fixture {
    struct world *world;
    uv_timer_t later;
    struct http_server *server;
    struct http_stats stats;       /* as the server was closed */
    struct http_exchange *waiting; /* of /later and /never */
    uint16_t port;
    bool closed;
    _Atomic int released;  /* streams */
    _Atomic int produced;  /* calls of the producer */
    _Atomic int n_waiting; /* requests that came to /later or /never */
};

struct stream {
    struct fixture *f;
    int left;
};

static bool produce(void *ctx, struct buf *out)
{
    struct stream *s = ctx;
    s->f->produced++;
    s->left--;
    if (s->left % 2 == 0) { /* every second call adds nothing */
        uint8_t *to = buf_reserve(out, SLICE);
        memset(to, 'x', SLICE);
        out->len += SLICE;
    }
    return s->left > 0;
}

static void release(void *ctx)
{
    struct stream *s = ctx;
    s->f->released++;
    free(s);
}

static void on_later(uv_timer_t *timer)
{
    struct fixture *f = timer->data;
    http_reply(f->waiting, 200, "text/plain", SPAN("late"));
    f->waiting = NULL;
}

static void handle_path(struct fixture *f, const struct http_request *r, struct http_exchange *x)
{
    if (span_eq(r->path, SPAN("/stream"))) {
        struct stream *s = calloc(1, sizeof *s);
        *s = (struct stream){f, SLICES};
        http_stream(x, "text/plain", produce, release, s);
    } else if (span_eq(r->path, SPAN("/huge"))) {
        struct stream *s = calloc(1, sizeof *s);
        *s = (struct stream){f, HUGE};
        http_stream(x, "text/plain", produce, release, s);
    } else if (span_eq(r->path, SPAN("/later"))) {
        f->waiting = x;
        f->n_waiting++;
        uv_timer_start(&f->later, on_later, 100, 0);
    } else if (span_eq(r->path, SPAN("/never"))) {
        f->waiting = x;
        f->n_waiting++;
    } else {
        char text[2 * MAX_BODY];
        int n =
            snprintf(text, sizeof text, "%d %.*s ? %.*s body=%zu", (int)r->method, (int)r->path.n,
                     (const char *)r->path.p, (int)r->query.n, (const char *)r->query.p, r->body.n);
        http_add_header(x, "x-test", SPAN("yes"));
        http_reply(x, 200, "text/plain", span_of(text, (size_t)n));
    }
}

/* A body is for those who have an authorization. */
static bool admit(void *ctx, const struct http_request *r, struct http_exchange *x,
                  uint64_t *max_len)
{
    struct span auth;
    (void)ctx;
    *max_len = MAX_BODY;
    if (r->has_body && !http_header(r, "authorization", &auth)) {
        http_reply(x, 401, "text/plain", SPAN("unauthorized"));
        return false;
    }
    return true;
}

static void handler(void *ctx, const struct http_request *r, struct http_exchange *x)
{
    if (r->refused_status != 0) {
        char text[64];
        (void)snprintf(text, sizeof text, "refused %d", r->refused_status);
        http_reply(x, r->refused_status, "text/plain", span_str(text));
        return;
    }
    handle_path(ctx, r, x);
}

static void on_timer_closed(uv_handle_t *timer)
{
    struct fixture *f = timer->data;
    sem_post(&f->world->done);
}

static void on_server_closed(void *ctx)
{
    struct fixture *f = ctx;
    f->closed = true;
    if (f->waiting != NULL) { /* an exchange may outlive its server */
        http_reply(f->waiting, 200, NULL, SPAN("too late"));
    }
    uv_close((uv_handle_t *)&f->later, on_timer_closed);
}

static void do_close(void *ctx)
{
    struct fixture *f = ctx;
    http_stats(f->server, &f->stats);
    http_close(f->server, on_server_closed, f);
}

static void do_open(void *ctx)
{
    struct fixture *f = ctx;
    struct endpoint any = {.port = 0};
    assert_true(endpoint_parse(&any, SPAN("127.0.0.1:0")));
    struct endpoint_list list = {&any, 1};
    struct http_cfg cfg = {.listen = &list,
                           .tls_certificate = "",
                           .tls_key = "",
                           .max_connections = 8,
                           .stall_ms = STALL_MS,
                           .admit = admit,
                           .handler = handler,
                           .ctx = f};
    struct err e;
    if (uv_timer_init(&f->world->loop, &f->later) == 0 &&
        http_open(&f->server, &f->world->loop, &cfg, &e) == 0) {
        f->port = http_addresses(f->server)->at[0].port;
    }
    f->later.data = f;
    sem_post(&f->world->done);
}

static struct fixture *start(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->world = *state;
    order(f->world, do_open, f);
    assert_int_not_equal(f->port, 0);
    return f;
}

static void stop(struct fixture *f)
{
    order(f->world, do_close, f);
    assert_true(f->closed);
    free(f);
}

#define AUTHORIZED "HTTP/1.1\r\nhost: x\r\nauthorization: a\r\n"

static void test_keep_alive_and_pipelining(void **state)
{
    struct fixture *f = start(state);
    int fd = dial(f->port);
    put(fd, "GET /a?b=c HTTP/1.1\r\nhost: x\r\n\r\n");
    expect(fd, "0 /a ? b=c body=0");
    put(fd, "GET /1 HTTP/1.1\r\nhost: x\r\n\r\nPOST /2 HTTP/1.1\r\nhost: x\r\n"
            "authorization: a\r\ncontent-length: 3\r\n\r\nabcGET /later HTTP/1.1\r\nhost: x\r\n\r\n"
            "DELETE /4 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    char text[8192];
    (void)get(fd, text, sizeof text, NULL);
    const char *one = strstr(text, "0 /1 ? ");
    const char *two = strstr(text, "2 /2 ?  body=3");
    const char *three = strstr(text, "\r\n\r\nlate");
    const char *four = strstr(text, "4 /4 ?");
    assert_true(one != NULL && two > one && three > two && four > three);
    close(fd);
    stop(f);
}

static void test_head_has_no_body(void **state)
{
    struct fixture *f = start(state);
    int fd = dial(f->port);
    put(fd, "HEAD /a HTTP/1.1\r\nhost: x\r\n\r\nHEAD /stream HTTP/1.1\r\nhost: x\r\n\r\n"
            "GET /end HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    char text[8192];
    (void)get(fd, text, sizeof text, NULL);
    assert_non_null(strstr(text, "Content-Length: 14"));
    assert_null(strstr(text, "1 /a"));
    assert_null(strstr(text, "xxx"));
    assert_non_null(strstr(text, "0 /end"));
    close(fd);
    assert_int_equal(f->released, 1);
    stop(f);
}

static void test_bodies(void **state)
{
    struct fixture *f = start(state);
    int fd = dial(f->port);
    put(fd, "POST /c " AUTHORIZED "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"
            "4\r\ndefg\r\n0\r\n\r\n");
    expect(fd, "2 /c ?  body=7");
    put(fd, "POST /e " AUTHORIZED "expect: 100-continue\r\ncontent-length: 5\r\n\r\n");
    expect(fd, "100 Continue\r\n\r\n");
    put(fd, "hello");
    expect(fd, "2 /e ?  body=5");
    put(fd, "GET /g HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 0\r\n\r\n");
    char text[8192];
    (void)get(fd, text, sizeof text, "body=0");
    assert_null(strstr(text, "100 Continue"));
    close(fd);
    fd = dial(f->port);
    put(fd, "POST /o HTTP/1.0\r\nauthorization: a\r\nexpect: 100-continue\r\n"
            "content-length: 1\r\n\r\na");
    (void)get(fd, text, sizeof text, NULL);
    assert_null(strstr(text, "100 Continue"));
    assert_non_null(strstr(text, "2 /o ?  body=1"));
    close(fd);
    stop(f);
}

/* However the bytes come in, the requests are the same. */
static void test_requests_in_pieces(void **state)
{
    struct fixture *f = start(state);
    static const char text[] = "\r\nPOST /c " AUTHORIZED "Transfer-Encoding: chunked\r\n\r\n"
                               "3;a=b\r\nabc\r\n1\r\nd\r\n0\r\nt: u\r\n\r\n"
                               "GET /g HTTP/1.1\r\nhost: x\r\n\r\n"
                               "POST /l " AUTHORIZED "content-length: 2\r\n\r\nab"
                               "PUT /end " AUTHORIZED "connection: close\r\n"
                               "content-length: 3\r\n\r\nabc";
    for (size_t step = 1; step < sizeof text; step = step * 3 + 1) {
        int fd = dial(f->port);
        int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        for (size_t at = 0; at < sizeof text - 1; at += step) {
            char piece[sizeof text];
            (void)snprintf(piece, sizeof piece, "%.*s", (int)step, text + at);
            put(fd, piece);
        }
        char answers[8192];
        (void)get(fd, answers, sizeof answers, NULL);
        const char *c = strstr(answers, "2 /c ?  body=4");
        const char *g = strstr(answers, "0 /g ?  body=0");
        const char *l = strstr(answers, "2 /l ?  body=2");
        const char *end = strstr(answers, "3 /end ?  body=3");
        assert_true(c != NULL && g > c && l > g && end > l);
        close(fd);
    }
    stop(f);
}

static void test_a_body_of_the_limit_passes(void **state)
{
    struct fixture *f = start(state);
    char body[MAX_BODY + 3];
    memset(body, 'b', sizeof body);
    body[MAX_BODY] = '\0';
    int fd = dial(f->port);
    put(fd, "POST /l " AUTHORIZED "transfer-encoding: chunked\r\n\r\n3e8\r\n");
    put(fd, body);
    put(fd, "\r\n0\r\n\r\n");
    expect(fd, "2 /l ?  body=1000");
    put(fd, "POST /m HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\nauthorization: a\r\n\r\nb");
    put(fd, body);
    expect(fd, "refused 413");
    close(fd);
    stop(f);
}

/* The refusal must arrive although the client still sends: a reset would destroy it. */
static void test_too_large_is_refused_in_our_words(void **state)
{
    struct fixture *f = start(state);
    static const char *const heads[] = {
        "POST /l HTTP/1.1\r\nhost: x\r\ncontent-length: 800000\r\n", /* no token: 401 first */
        "POST /l HTTP/1.1\r\nhost: x\r\ncontent-length: 800000\r\nauthorization: a\r\n",
        "POST /l HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nauthorization: a\r\n"};
    static const char *const wanted[] = {"HTTP/1.1 401 ", "HTTP/1.1 413 ", "HTTP/1.1 413 "};
    char chunk[8193];
    memset(chunk, 'b', sizeof chunk);
    chunk[sizeof chunk - 1] = '\0';
    for (size_t i = 0; i < 3; i++) {
        int fd = dial(f->port);
        put(fd, heads[i]);
        put(fd, "\r\n");
        for (int n = 0; n < 90; n++) {
            if (i == 2) {
                put(fd, "2000\r\n");
            }
            put(fd, chunk);
            if (i == 2) {
                put(fd, "\r\n");
            }
        }
        expect(fd, wanted[i]);
        expect_end(fd);
    }
    stop(f);
}

/* Nothing of the body is asked for, and nothing in it is a request. */
static void test_a_body_that_is_not_admitted(void **state)
{
    struct fixture *f = start(state);
    static const char *const heads[] = {
        "content-length: 50000000\r\n",
        "content-length: 50000000\r\nexpect: 100-continue\r\n",
        "transfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\nexpect: 100-continue\r\n",
        "content-length: 1\r\nexpect: miracles\r\n",
        "content-length: 1\r\nupgrade: websocket\r\nconnection: upgrade\r\n",
    };
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        char text[8192];
        int fd = dial(f->port);
        put(fd, "POST /p HTTP/1.1\r\nhost: x\r\n");
        put(fd, heads[i]);
        put(fd, "\r\n");
        if (i % 2 == 0) {
            put(fd, "GET /never HTTP/1.1\r\nhost: x\r\n\r\n");
        }
        (void)get(fd, text, sizeof text, NULL);
        assert_ptr_equal(strstr(text, "HTTP/1.1 401 "), text);
        assert_non_null(strstr(text, "Connection: close"));
        assert_non_null(strstr(text, "\r\n\r\nunauthorized"));
        close(fd);
    }
    assert_int_equal(f->n_waiting, 0);
    stop(f);
}

/* Admitted, and refused by what the head says already; or by the body that comes. */
static void test_a_body_that_is_refused(void **state)
{
    struct fixture *f = start(state);
    static const struct {
        const char *fields;
        const char *body;
        const char *wanted;
    } rows[] = {
        {"content-length: 50000000\r\nexpect: 100-continue\r\n", "", "refused 413"},
        {"content-length: 5\r\nexpect: miracles\r\n", "", "refused 417"},
        {"transfer-encoding: chunked\r\n", "x\r\n", "refused 400"},
        {"transfer-encoding: chunked\r\n", "1\r\nab0\r\n\r\n", "refused 400"},
        {"content-length: 5\r\n", "abc", "refused 408"},
        {"transfer-encoding: chunked\r\n", "5\r\nabc", "refused 408"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[8192];
        int fd = dial(f->port);
        put(fd, "POST /p " AUTHORIZED);
        put(fd, rows[i].fields);
        put(fd, "\r\n");
        put(fd, rows[i].body);
        (void)get(fd, text, sizeof text, NULL);
        assert_null(strstr(text, "100 Continue"));
        assert_non_null(strstr(text, rows[i].wanted));
        close(fd);
    }
    stop(f);
}

static void test_broken_heads(void **state)
{
    struct fixture *f = start(state);
    static const char *const rows[] = {
        "nonsense\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "POST /l " AUTHORIZED "content-length: 1x\r\n\r\n",
        "POST /l " AUTHORIZED "content-length: 1\r\ncontent-length: 2\r\n\r\n",
        "POST /l " AUTHORIZED "content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        "POST /l " AUTHORIZED "transfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n",
        "POST /l " AUTHORIZED "transfer-encoding: gzip, chunked\r\n\r\n",
        "POST /l " AUTHORIZED "x: y\r\n content-length: 1\r\n\r\n",
        "POST /l HTTP/1.0\r\nauthorization: a\r\ntransfer-encoding: chunked\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = dial(f->port);
        put(fd, rows[i]);
        put(fd, "GET /never HTTP/1.1\r\nhost: x\r\n\r\n");
        expect(fd, "400 Bad Request");
        expect_end(fd);
    }
    char pad[8193];
    memset(pad, 'x', sizeof pad);
    pad[sizeof pad - 1] = '\0';
    int fd = dial(f->port);
    put(fd, "GET /l HTTP/1.1\r\nhost: x\r\nx: ");
    put(fd, pad);
    expect(fd, "HTTP/1.1 431 ");
    expect_end(fd);
    assert_int_equal(f->n_waiting, 0);
    stop(f);
}

static size_t count(const char *text, size_t n, char c)
{
    size_t hits = 0;
    for (size_t i = 0; i < n; i++) {
        hits += text[i] == c;
    }
    return hits;
}

static void test_stream_to_a_slow_reader(void **state)
{
    struct fixture *f = start(state);
    int fd = dial(f->port);
    put(fd, "GET /stream HTTP/1.1\r\nhost: x\r\n\r\n");
    expect(fd, "chunked");
    /* Nobody reads the stream now, and the server still answers others. */
    int other = dial(f->port);
    put(other, "GET /o HTTP/1.1\r\nhost: x\r\n\r\n");
    expect(other, "0 /o ?");
    close(other);
    size_t cap = 4 << 20;
    char *text = malloc(cap);
    size_t n = get(fd, text, cap, "\r\n0\r\n\r\n");
    assert_true(count(text, n, 'x') > (size_t)(SLICES / 2 - 1) * SLICE);
    put(fd, "GET /next HTTP/1.1\r\nhost: x\r\n\r\n");
    expect(fd, "0 /next ?");
    close(fd);
    /* HTTP/1.0: the end of the connection ends the answer. */
    fd = dial(f->port);
    put(fd, "GET /stream HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    n = get(fd, text, cap, NULL);
    assert_null(strstr(text, "chunked"));
    assert_int_equal(
        count(strstr(text, "\r\n\r\n"), n - (size_t)(strstr(text, "\r\n\r\n") - text), 'x'),
        SLICES / 2 * SLICE);
    close(fd);
    free(text);
    stop(f);
}

static void test_client_that_takes_nothing_is_cut(void **state)
{
    struct fixture *f = start(state);
    int fd = dial(f->port);
    put(fd, "GET /huge HTTP/1.1\r\nhost: x\r\n\r\n"); /* more than the sockets' buffers hold */
    while (f->released == 0) {
        uv_sleep(1);
    }
    assert_true(f->produced < HUGE);
    close(fd);
    order(f->world, do_close, f);
    assert_int_equal(f->stats.stalled_total, 1);
    assert_int_equal(f->stats.requests_total, 1);
    free(f);
}

static void test_a_head_that_does_not_end_is_cut(void **state)
{
    struct fixture *f = start(state);
    int silent = dial(f->port);
    int stuck = dial(f->port);
    int slow = dial(f->port);
    put(stuck, "GET /slow HTTP/1.1\r\nhos");
    put(slow, "GET /slow HTTP/1.1\r\nx: ");
    ssize_t sent = 1;
    for (int i = 0; i < 200 && sent > 0; i++) { /* moving does not help */
        uv_sleep(50);
        sent = send(slow, "x", 1, MSG_NOSIGNAL);
    }
    assert_int_equal(sent, -1);
    expect_end(stuck); /* fails by the socket's own timeout if the server never closes */
    expect_end(silent);
    close(slow);
    stop(f);
}

static void test_a_body_may_take_its_time(void **state)
{
    struct fixture *f = start(state);
    int fd = dial(f->port);
    put(fd, "POST /s " AUTHORIZED "content-length: 10\r\nexpect: 100-continue\r\n\r\n");
    expect(fd, "100 Continue\r\n\r\n");
    for (int i = 0; i < 10; i++) {
        uv_sleep(STALL_MS / 5);
        put(fd, "x");
    }
    expect(fd, "2 /s ?  body=10");
    put(fd, "GET /next HTTP/1.1\r\nhost: x\r\n\r\n");
    expect(fd, "0 /next ?");
    close(fd);
    stop(f);
}

static void test_client_gone_in_a_body(void **state)
{
    struct fixture *f = start(state);
    for (int reset = 0; reset <= 1; reset++) {
        struct linger how = {.l_onoff = reset, .l_linger = 0};
        int fd = dial(f->port);
        put(fd, "POST /s " AUTHORIZED "content-length: 10\r\nexpect: 100-continue\r\n\r\n");
        expect(fd, "100 Continue\r\n\r\n");
        put(fd, "x");
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &how, sizeof how);
        close(fd);
    }
    int fd = dial(f->port);
    put(fd, "GET /ok HTTP/1.1\r\nhost: x\r\n\r\n");
    expect(fd, "0 /ok ?");
    close(fd);
    stop(f);
}

static void test_client_gone_before_the_answer(void **state)
{
    struct fixture *f = start(state);
    int fd = dial(f->port);
    put(fd, "GET /later HTTP/1.1\r\nhost: x\r\n\r\n");
    while (f->n_waiting == 0) {
        uv_sleep(1);
    }
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    fd = dial(f->port);
    put(fd, "GET /ok HTTP/1.1\r\nhost: x\r\n\r\n");
    expect(fd, "0 /ok ?");
    close(fd);
    stop(f);
}

static void test_client_gone_in_a_stream(void **state)
{
    struct fixture *f = start(state);
    int fd = dial(f->port);
    put(fd, "GET /stream HTTP/1.1\r\nhost: x\r\n\r\n");
    expect(fd, "xxxx");
    close(fd);
    while (f->released == 0) {
        uv_sleep(1);
    }
    stop(f);
}

static void test_close_with_everything_open(void **state)
{
    struct fixture *f = start(state);
    int idle = dial(f->port);
    int never = dial(f->port);
    int stream = dial(f->port);
    int half = dial(f->port);
    int body = dial(f->port);
    put(idle, "GET /ok HTTP/1.1\r\nhost: x\r\n\r\n");
    expect(idle, "0 /ok ?");
    put(never, "GET /never HTTP/1.1\r\nhost: x\r\n\r\n");
    put(stream, "GET /stream HTTP/1.1\r\nhost: x\r\n\r\nGET /stream HTTP/1.1\r\nhost: x\r\n\r\n");
    put(half, "GET /half HTTP/1.1\r\n");
    put(body, "POST /half " AUTHORIZED "content-length: 9\r\nexpect: 100-continue\r\n\r\n");
    expect(body, "100 Continue\r\n\r\n");
    while (f->n_waiting == 0 || f->produced == 0) {
        uv_sleep(1);
    }
    stop(f);
    expect(body, "refused 503");
    close(body);
    close(idle);
    close(never);
    close(stream);
    close(half);
}

static void test_connections_over_the_limit_are_closed(void **state)
{
    struct fixture *f = start(state);
    int fds[8];
    for (int i = 0; i < 8; i++) {
        fds[i] = dial(f->port);
        put(fds[i], "GET /ok HTTP/1.1\r\nhost: x\r\n\r\n");
        expect(fds[i], "0 /ok ?");
    }
    int ninth = dial(f->port);
    char text[64];
    assert_int_equal(recv(ninth, text, sizeof text, 0), 0);
    close(ninth);
    for (int i = 0; i < 8; i++) {
        close(fds[i]);
    }
    stop(f);
}

static void test_open_failures(void **state)
{
    struct fixture *f = start(state);
    struct endpoint taken;
    char text[32];
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", f->port);
    assert_true(endpoint_parse(&taken, span_str(text)));
    struct endpoint_list list = {&taken, 1};
    struct http_cfg cfg = {.listen = &list,
                           .tls_certificate = "",
                           .tls_key = "",
                           .max_connections = 8,
                           .stall_ms = STALL_MS,
                           .admit = admit,
                           .handler = handler};
    struct http_server *none = NULL;
    struct err e;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(http_open(&none, &loop, &cfg, &e), ERR_IN_USE);
    assert_non_null(strstr(e.msg, text));
    cfg.tls_certificate = "/nowhere/certificate.pem";
    cfg.tls_key = "/nowhere/key.pem";
    assert_true(http_open(&none, &loop, &cfg, &e) < 0);
    assert_non_null(strstr(e.msg, "/nowhere/certificate.pem"));
    assert_int_equal(uv_loop_close(&loop), 0);
    stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive_and_pipelining),
        cmocka_unit_test(test_head_has_no_body),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_requests_in_pieces),
        cmocka_unit_test(test_a_body_of_the_limit_passes),
        cmocka_unit_test(test_too_large_is_refused_in_our_words),
        cmocka_unit_test(test_a_body_that_is_not_admitted),
        cmocka_unit_test(test_a_body_that_is_refused),
        cmocka_unit_test(test_broken_heads),
        cmocka_unit_test(test_stream_to_a_slow_reader),
        cmocka_unit_test(test_client_that_takes_nothing_is_cut),
        cmocka_unit_test(test_a_head_that_does_not_end_is_cut),
        cmocka_unit_test(test_a_body_may_take_its_time),
        cmocka_unit_test(test_client_gone_before_the_answer),
        cmocka_unit_test(test_client_gone_in_a_stream),
        cmocka_unit_test(test_client_gone_in_a_body),
        cmocka_unit_test(test_close_with_everything_open),
        cmocka_unit_test(test_connections_over_the_limit_are_closed),
        cmocka_unit_test(test_open_failures),
    };
    return cmocka_run_group_tests(tests, world_setup, NULL);
}
