/* The kernel's own floor under a tracker: answers of the right shape and size, and nothing else.
 *
 * --udp    datagrams in batches (recvmmsg, sendmmsg), each answered by what BEP 15 asks for: a
 *          connect, an announce reply with as many made-up peers as the request's numwant, a
 *          scrape reply of zeros. It looks at lengths and at two fields, nothing is kept.
 * --http   one epoll loop; whatever ends in an empty line is answered by one fixed body with PEERS
 *          made-up peers. A request head that says "close" is the last of its connection.
 *
 * Path     bind, print the address on one line, answer until killed.
 * Failure  of the listening socket: exit 1 with one line. A client that errs is dropped.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cursor.h"
#include "base/endpoint.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "proto/http_tracker.h"
#include "proto/udp_tracker.h"

#include "base/banned.h"

enum {
    EXIT_USAGE = 2,
    BATCH = 64,
    DATAGRAM_MAX = 2048,
    SOCKET_BUFFER_LEN = 4 << 20,
    UDP_PEERS_MAX = 200,
    HTTP_PEERS_MAX = 200,
    HTTP_PEERS_DEFAULT = 30,
    BACKLOG = 4096,
    EVENTS = 64,
    HEAD_MAX = 4096,
    ANSWER_MAX = 4096,
    INTERVAL_S = 1800,
    SCRAPE_HEAD_LEN = 16, /* before the hashes, BEP 15 */
    SCRAPE_ENTRY_LEN = 12,
    REQUEST_FIELDS_LEN = 16,
    NUMWANT_AT = 92, /* in an announce, BEP 15 */
};

static const char usage_text[] = "usage: bench_echo --udp ADDRESS:PORT\n"
                                 "       bench_echo --http ADDRESS:PORT [PEERS]\n"
                                 "Prints the bound address, then answers until killed.\n";

/* Port 0 in e becomes the real one, which is printed. returns  a socket, or < 0 with *err. */
static int listen_on(const struct endpoint *e, int type, struct err *err)
{
    struct sockaddr_storage ss;
    struct endpoint bound;
    char text[ENDPOINT_TEXT_LEN];
    int on = 1;
    int len = SOCKET_BUFFER_LEN;
    int defer_s = 1;
    int probe = IP_PMTUDISC_PROBE;
    socklen_t ss_len = endpoint_to_sockaddr(e, &ss);

    int fd = socket(ss.ss_family, type | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_set_errno(err, errno, "socket");
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (type != SOCK_DGRAM) { /* connections come with their first bytes */
        setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer_s, sizeof defer_s);
    } else {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &len, sizeof len);
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &len, sizeof len);
        /* never in fragments: no counter to number them */
        setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &probe, sizeof probe);
    }
    if (bind(fd, (struct sockaddr *)&ss, ss_len) != 0 ||
        (type != SOCK_DGRAM && listen(fd, BACKLOG) != 0)) {
        err_set_errno(err, errno, "listen on %s", endpoint_format(text, e));
        close(fd);
        return err->code;
    }
    ss_len = sizeof ss;
    if (getsockname(fd, (struct sockaddr *)&ss, &ss_len) == 0 &&
        endpoint_from_sockaddr(&bound, (struct sockaddr *)&ss)) {
        puts(endpoint_format(text, &bound));
        fflush(stdout);
    }
    return fd;
}

struct echo {
    struct mmsghdr messages[BATCH];
    struct iovec iov[BATCH];
    struct sockaddr_storage from[BATCH];
    uint8_t bytes[BATCH][DATAGRAM_MAX];
    uint8_t peers[UDP_PEERS_MAX * COMPACT4_LEN];
};

/* Turn a request into its answer, in place. returns  bytes of the answer, 0 for none. */
static size_t answer_datagram(const struct echo *echo, uint8_t *bytes, size_t n)
{
    struct rd r = rd_over(span_of(bytes, n));
    struct scrape_counts counts = {1, 1, 1};
    struct wr w = wr_over(bytes, DATAGRAM_MAX);

    rd_u64(&r);
    uint32_t action = rd_u32(&r);
    uint32_t transaction_id = rd_u32(&r);
    if (action == UDP_CONNECT && n >= UDP_CONNECT_LEN) {
        udp_connect_reply_encode(&w, transaction_id, UDP_PROTOCOL_ID);
    } else if (action == UDP_ANNOUNCE && n >= UDP_ANNOUNCE_LEN) {
        rd_bytes(&r, NUMWANT_AT - REQUEST_FIELDS_LEN);
        uint32_t peers = rd_u32(&r);
        peers = peers < UDP_PEERS_MAX ? peers : UDP_PEERS_MAX;
        udp_announce_reply_encode(&w, transaction_id, INTERVAL_S, &counts);
        wr_bytes(&w, span_of(echo->peers, peers * COMPACT4_LEN));
    } else if (action == UDP_SCRAPE && n >= SCRAPE_HEAD_LEN) {
        size_t hashes = (n - SCRAPE_HEAD_LEN) / sizeof(struct infohash);
        udp_scrape_reply_encode(&w, transaction_id, NULL, 0);
        uint8_t *zeros = wr_reserve(&w, hashes * SCRAPE_ENTRY_LEN);
        if (zeros != NULL) {
            memset(zeros, 0, hashes * SCRAPE_ENTRY_LEN);
        }
    }
    return w.bad ? 0 : wr_len(&w);
}

static int echo_udp(int fd, struct err *e)
{
    struct echo *echo = mem_new(struct echo);

    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            echo->iov[i] = (struct iovec){echo->bytes[i], DATAGRAM_MAX};
            echo->messages[i].msg_hdr = (struct msghdr){.msg_name = &echo->from[i],
                                                        .msg_namelen = sizeof echo->from[i],
                                                        .msg_iov = &echo->iov[i],
                                                        .msg_iovlen = 1};
        }
        int n = recvmmsg(fd, echo->messages, BATCH, MSG_WAITFORONE, NULL);
        if (n < 0 && errno != EINTR) {
            err_set_errno(e, errno, "receive");
            break;
        }
        unsigned answers = 0;
        for (int i = 0; i < n; i++) {
            size_t len = answer_datagram(echo, echo->bytes[i], echo->messages[i].msg_len);
            if (len > 0) {
                echo->iov[i].iov_len = len;
                echo->messages[answers++].msg_hdr = echo->messages[i].msg_hdr;
            }
        }
        /* What the socket does not take is lost, as on any network. */
        (void)sendmmsg(fd, echo->messages, answers, 0);
    }
    free(echo);
    return e->code;
}

/* A connection is its descriptor and what it has sent of a head. */
struct client {
    int fd;
    size_t n;
    uint8_t head[HEAD_MAX];
};

struct answers {
    struct span keep_alive;
    struct span close;
};

static struct span answer_make(uint8_t out[static ANSWER_MAX], size_t peers, bool keep_alive)
{
    static const uint8_t zeros[HTTP_PEERS_MAX * COMPACT4_LEN];
    uint8_t body_bytes[ANSWER_MAX];
    struct announce_reply reply = {.interval_s = INTERVAL_S, .counts = {1, 1, 1}};
    struct wr body = wr_over(body_bytes, sizeof body_bytes);
    struct wr w = wr_over(out, ANSWER_MAX);

    reply.peers4 = span_of(zeros, peers * COMPACT4_LEN);
    http_announce_reply_encode(&body, &reply, true);
    wr_bytes(&w, SPAN("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: "));
    wr_dec(&w, wr_len(&body));
    wr_bytes(&w, keep_alive ? SPAN("\r\n\r\n") : SPAN("\r\nConnection: close\r\n\r\n"));
    wr_bytes(&w, wr_span(&body));
    ASSERT(!body.bad && !w.bad);
    return wr_span(&w);
}

/* False: the connection is over. */
static bool client_serve(struct client *client, const struct answers *answers)
{
    ssize_t n = recv(client->fd, client->head + client->n, HEAD_MAX - client->n, MSG_DONTWAIT);

    if (n <= 0) {
        return n < 0 && errno == EAGAIN;
    }
    client->n += (size_t)n;
    if (memmem(client->head, client->n, "\r\n\r\n", 4) == NULL) {
        return client->n < HEAD_MAX;
    }
    bool last = memmem(client->head, client->n, "close", 5) != NULL;
    struct span answer = last ? answers->close : answers->keep_alive;
    client->n = 0;
    int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (last ? MSG_MORE : 0); /* it leaves with the end */
    n = send(client->fd, answer.p, answer.n, flags);
    return !last && n == (ssize_t)answer.n;
}

static void client_free(struct client *client)
{
    close(client->fd);
    free(client);
}

/* One connection a turn: a second accept would mostly find nothing. Its request is there already,
 * and when it is the last one too, epoll never hears of the connection. */
static void client_accept(int listener, int epoll_fd, const struct answers *answers)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    struct client *client = mem_new(struct client);
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = client}};
    client->fd = fd;
    if (!client_serve(client, answers) || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        client_free(client);
    }
}

static int echo_http(int listener, size_t peers, struct err *e)
{
    uint8_t bytes[2][ANSWER_MAX];
    struct answers answers = {answer_make(bytes[0], peers, true),
                              answer_make(bytes[1], peers, false)};
    struct epoll_event events[EVENTS] = {{.events = EPOLLIN}};
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, events) != 0) {
        return err_set_errno(e, errno, "epoll");
    }
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        if (n < 0 && errno != EINTR) {
            return err_set_errno(e, errno, "epoll");
        }
        for (int i = 0; i < n; i++) {
            struct client *client = events[i].data.ptr;
            if (client == NULL) {
                client_accept(listener, epoll_fd, &answers);
            } else if (!client_serve(client, &answers)) {
                client_free(client);
            }
        }
    }
}

int main(int argc, char **argv)
{
    struct endpoint e;
    struct err err = {.code = 0};
    uint64_t peers = HTTP_PEERS_DEFAULT;
    bool udp = argc > 1 && span_eq(span_str(argv[1]), SPAN("--udp"));
    bool http = argc > 1 && span_eq(span_str(argv[1]), SPAN("--http"));

    if (argc < 3 || argc > (http ? 4 : 3) || (!udp && !http) ||
        !endpoint_parse(&e, span_str(argv[2])) || !addr_is_loopback(&e.addr) ||
        (argc == 4 && !parse_u64(&peers, span_str(argv[3]), HTTP_PEERS_MAX))) {
        fputs(usage_text, stderr);
        return EXIT_USAGE;
    }
    int fd = listen_on(&e, udp ? SOCK_DGRAM : SOCK_STREAM | SOCK_NONBLOCK, &err);
    if (fd >= 0 && udp) {
        echo_udp(fd, &err);
    } else if (fd >= 0) {
        echo_http(fd, peers, &err);
    }
    fprintf(stderr, "bench_echo: %s\n", err.msg);
    return EXIT_FAILURE;
}
