/* The UDP engine: BEP 15 requests in batches from one or a few sockets.
 *
 * Sources  a socket is bound to no address; each datagram carries its source address as control
 *          data (IP_PKTINFO), so that 251 addresses cost no more than one.
 * Path     connect once from each source; then each free slot gets work, is encoded into the
 *          batch and sent; an answer is matched to its slot by transaction id and frees it.
 * Latency  from just before a request is handed to the kernel until its answer is seen here, or
 *          (by_arrival) until the kernel has it: that counts no waiting of this program's own.
 * Waiting  the sockets are polled without sleeping: a wake-up would be paid by the tracker's CPU.
 *          After a short batch a pause lets answers gather, so that the polling does not fight
 *          with the tracker for the socket's lock.
 * Bursts   with a period: sleep until it is over, receive all that has come back, send the next.
 * Loss     a slot without an answer for LOST_AFTER_NS is counted. A connect or a peer of a fill is
 *          sent again, others give way to a new request.
 * Ids      connection ids are renewed each RECONNECT_NS; the old ones serve until then.
 * End      the requests in flight are dropped with their socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "load.h"
#include "process.h"
#include "proto/udp_tracker.h"

#include "base/banned.h"

enum {
    BATCH = 64,
    REQUEST_MAX = 16 + 20 * SCRAPE_MAX,
    REPLY_MAX = 2048,
    SOCKET_BUFFER_LEN = 4 << 20,
    SLOT_BITS = 12,
    SHORT_BATCH = BATCH / 4,
};

#define LOST_AFTER_NS UINT64_C(1000000000)
#define LOSS_CHECK_NS UINT64_C(100000000)
#define RECONNECT_NS  UINT64_C(40000000000)
#define GATHER_NS     UINT64_C(20000)
#define CONTROL_LEN   CMSG_SPACE(sizeof(struct in_pktinfo))

_Static_assert(CMSG_SPACE(sizeof(struct timespec)) <= CONTROL_LEN, "control data of an answer");
_Static_assert(LOAD_WINDOW_MAX <= 1 << SLOT_BITS, "a slot's number fits its transaction id");

struct slot {
    bool in_flight;
    uint8_t action; /* enum udp_action */
    uint32_t transaction_id;
    uint32_t peer; /* announce */
    uint32_t source;
    uint64_t sent_ns;
};

/* One socket with its share of the window. */
struct lane {
    int fd;
    uint32_t n_slots;
    struct slot *slots;
    uint32_t n_free;
    uint32_t *free; /* numbers of slots */
    uint32_t n_ready;
    uint32_t *ready; /* have work, not sent yet */
};

struct batch {
    struct mmsghdr messages[BATCH];
    struct iovec iov[BATCH];
    _Alignas(struct cmsghdr) uint8_t control[BATCH][CONTROL_LEN];
    uint8_t bytes[BATCH][REPLY_MAX];
};

struct engine {
    struct load *load;
    struct sockaddr_in tracker;
    uint32_t sequence;
    uint32_t next_connect; /* next source to connect; = sources: none */
    uint32_t n_connected;
    uint64_t connected_ns;
    uint64_t *connection_ids; /* by source */
    struct lane *lanes;
    struct batch out;
    struct batch in;
};

static void batch_init(struct batch *batch, struct sockaddr_in *to)
{
    for (size_t i = 0; i < BATCH; i++) {
        batch->iov[i] = (struct iovec){batch->bytes[i], REPLY_MAX};
        struct msghdr *header = &batch->messages[i].msg_hdr;
        *header = (struct msghdr){.msg_iov = &batch->iov[i], .msg_iovlen = 1};
        if (to == NULL) {
            continue;
        }
        header->msg_name = to;
        header->msg_namelen = sizeof *to;
        header->msg_control = batch->control[i];
        header->msg_controllen = CONTROL_LEN;
        *CMSG_FIRSTHDR(header) = (struct cmsghdr){.cmsg_level = IPPROTO_IP,
                                                  .cmsg_type = IP_PKTINFO,
                                                  .cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo))};
    }
}

static void batch_set_source(struct batch *batch, size_t i, uint32_t source)
{
    struct in_pktinfo info = {.ipi_spec_dst = population_source_addr(source)};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&batch->messages[i].msg_hdr)), &info, sizeof info);
}

static int lane_open(struct lane *lane, uint32_t n_slots, bool by_arrival, struct err *e)
{
    int len = SOCKET_BUFFER_LEN;
    int on = 1;
    struct sockaddr_in any = {.sin_family = AF_INET};

    lane->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (lane->fd < 0) {
        return err_set_errno(e, errno, "UDP socket");
    }
    /* Capped by net.core.rmem_max without an error; loss would show in the counts. */
    setsockopt(lane->fd, SOL_SOCKET, SO_RCVBUF, &len, sizeof len);
    setsockopt(lane->fd, SOL_SOCKET, SO_SNDBUF, &len, sizeof len);
    if (by_arrival && setsockopt(lane->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0) {
        return err_set_errno(e, errno, "SO_TIMESTAMPNS");
    }
    if (bind(lane->fd, (struct sockaddr *)&any, sizeof any) != 0) {
        return err_set_errno(e, errno, "bind a UDP socket");
    }
    lane->n_slots = n_slots;
    lane->slots = mem_zeroed(n_slots * sizeof *lane->slots);
    lane->free = mem_array(n_slots, sizeof *lane->free);
    lane->ready = mem_array(n_slots, sizeof *lane->ready);
    for (uint32_t i = 0; i < n_slots; i++) {
        lane->free[lane->n_free++] = i;
    }
    return 0;
}

static void lane_close(struct lane *lane)
{
    if (lane->fd >= 0) {
        close(lane->fd);
    }
    free(lane->slots);
    free(lane->free);
    free(lane->ready);
}

/* Give the slot something to ask; false when there is nothing now. */
static bool engine_next_work(struct engine *engine, struct slot *slot)
{
    const struct load_config *config = engine->load->config;
    uint32_t sources = config->population.sources;

    if (engine->next_connect < sources) {
        slot->action = UDP_CONNECT;
        slot->source = engine->next_connect++;
        return true;
    }
    if (engine->n_connected < sources) {
        return false;
    }
    if (config->kind == LOAD_UDP_CONNECT || config->kind == LOAD_UDP_SCRAPE) {
        slot->action = config->kind == LOAD_UDP_CONNECT ? UDP_CONNECT : UDP_SCRAPE;
        slot->source = rng_below(&engine->load->rng, sources);
        return true;
    }
    slot->action = UDP_ANNOUNCE;
    if (!load_next_peer(engine->load, &slot->peer)) {
        return false;
    }
    slot->source = population_source(&config->population, slot->peer);
    return true;
}

static void scrape_encode(struct engine *engine, const struct slot *slot, struct wr *w)
{
    const struct load_config *config = engine->load->config;
    struct infohash hashes[SCRAPE_MAX];

    for (uint32_t i = 0; i < config->hashes; i++) {
        population_hash(&hashes[i], rng_below(&engine->load->rng, config->population.torrents));
    }
    udp_scrape_encode(w, engine->connection_ids[slot->source], slot->transaction_id, hashes,
                      config->hashes);
}

static size_t request_encode(struct engine *engine, const struct slot *slot, uint8_t *out)
{
    const struct load_config *config = engine->load->config;
    struct wr w = wr_over(out, REQUEST_MAX);

    if (slot->action == UDP_CONNECT) {
        udp_connect_encode(&w, slot->transaction_id);
    } else if (slot->action == UDP_SCRAPE) {
        scrape_encode(engine, slot, &w);
    } else {
        struct announce_req req;
        population_announce(&config->population, slot->peer, config->event, config->numwant, &req);
        udp_announce_encode(&w, engine->connection_ids[slot->source], slot->transaction_id,
                            slot->peer, &req, SPAN(""));
    }
    ASSERT(!w.bad);
    return wr_len(&w);
}

/* Give work to free slots. */
static void lane_take_work(struct engine *engine, struct lane *lane)
{
    while (lane->n_free > 0) {
        uint32_t number = lane->free[lane->n_free - 1];
        if (!engine_next_work(engine, &lane->slots[number])) {
            return;
        }
        lane->n_free--;
        lane->ready[lane->n_ready++] = number;
    }
}

/* Send slots that are ready until there are none or the socket is full. */
static int lane_send(struct engine *engine, struct lane *lane, struct err *e)
{
    while (lane->n_ready > 0) {
        unsigned n = lane->n_ready < BATCH ? lane->n_ready : BATCH;
        for (unsigned i = 0; i < n; i++) {
            uint32_t number = lane->ready[lane->n_ready - 1 - i];
            struct slot *slot = &lane->slots[number];
            slot->transaction_id = engine->sequence++ << SLOT_BITS | number;
            engine->out.iov[i].iov_len = request_encode(engine, slot, engine->out.bytes[i]);
            batch_set_source(&engine->out, i, slot->source);
        }
        uint64_t sent_ns = clock_ns();
        int sent = sendmmsg(lane->fd, engine->out.messages, n, MSG_DONTWAIT);
        if (sent < 0) {
            bool full = errno == EAGAIN || errno == ENOBUFS || errno == EINTR;
            return full ? 0 : err_set_errno(e, errno, "send to the tracker");
        }
        for (int i = 0; i < sent; i++) {
            struct slot *slot = &lane->slots[lane->ready[--lane->n_ready]];
            slot->in_flight = true;
            slot->sent_ns = sent_ns;
        }
    }
    return 0;
}

static void on_connect_reply(struct engine *engine, const struct slot *slot, uint64_t connection_id)
{
    if (engine->connection_ids[slot->source] == 0) {
        engine->n_connected++;
    }
    /* 0 means "none yet"; no tracker that draws its ids at random sends it in practice. */
    engine->connection_ids[slot->source] = connection_id;
}

static bool scrape_reply_fits(const struct load_config *config, const struct udp_reply *reply)
{
    return reply->scrape.n == (size_t)config->hashes * 12;
}

static void on_reply(struct engine *engine, struct lane *lane, struct span datagram,
                     uint64_t arrived_ns)
{
    struct load *load = engine->load;
    const struct load_config *config = load->config;
    struct udp_reply reply;
    const char *why = NULL;

    if (udp_reply_decode(&reply, datagram, false, &why) < 0) {
        load->stats.malformed++;
        return;
    }
    uint32_t number = reply.transaction_id & ((1U << SLOT_BITS) - 1);
    struct slot *slot = number < lane->n_slots ? &lane->slots[number] : NULL;
    if (slot == NULL || !slot->in_flight || slot->transaction_id != reply.transaction_id) {
        load->stats.late++;
        return;
    }
    uint64_t latency_ns = arrived_ns > slot->sent_ns ? arrived_ns - slot->sent_ns : 0;
    slot->in_flight = false;
    lane->free[lane->n_free++] = number;
    load->last_answer_ns = load->now_ns;
    load->filled += slot->action == UDP_ANNOUNCE;
    if (reply.action != slot->action) {
        load->stats.failures += reply.action == UDP_ERROR;
        load->stats.malformed += reply.action != UDP_ERROR;
    } else if (slot->action == UDP_CONNECT) {
        on_connect_reply(engine, slot, reply.connection_id);
        if (config->kind == LOAD_UDP_CONNECT) {
            load_answered(load, latency_ns);
        }
    } else if (slot->action == UDP_SCRAPE && !scrape_reply_fits(config, &reply)) {
        load->stats.malformed++;
    } else if (slot->action == UDP_ANNOUNCE &&
               !load_peers(load, slot->peer, reply.announce.peers4)) {
        load->stats.malformed++;
    } else {
        load_answered(load, latency_ns);
    }
}

/* When the kernel had it; ahead_ns: how far its clock for that is ahead of ours. */
static uint64_t arrival_ns(struct msghdr *header, uint64_t ahead_ns)
{
    const struct cmsghdr *c = CMSG_FIRSTHDR(header);
    struct timespec t;
    ASSERT(c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS);
    memcpy(&t, CMSG_DATA(c), sizeof t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec - ahead_ns;
}

/* returns  datagrams received, 0 when none are there. */
static int lane_receive(struct engine *engine, struct lane *lane, struct err *e)
{
    bool by_arrival = engine->load->config->by_arrival;
    for (int i = 0; by_arrival && i < BATCH; i++) {
        engine->in.messages[i].msg_hdr.msg_control = engine->in.control[i];
        engine->in.messages[i].msg_hdr.msg_controllen = CONTROL_LEN;
    }
    int n = recvmmsg(lane->fd, engine->in.messages, BATCH, MSG_DONTWAIT, NULL);
    if (n < 0) {
        bool none = errno == EAGAIN || errno == EINTR;
        return none ? 0 : err_set_errno(e, errno, "receive from the tracker");
    }
    engine->load->now_ns = clock_ns();
    uint64_t ahead_ns = by_arrival ? clock_real_ns() - clock_ns() : 0;
    for (int i = 0; i < n; i++) {
        struct mmsghdr *m = &engine->in.messages[i];
        on_reply(engine, lane, span_of(engine->in.bytes[i], m->msg_len),
                 by_arrival ? arrival_ns(&m->msg_hdr, ahead_ns) : engine->load->now_ns);
    }
    return n;
}

static void lane_find_lost(struct engine *engine, struct lane *lane)
{
    struct load *load = engine->load;

    for (uint32_t i = 0; i < lane->n_slots; i++) {
        struct slot *slot = &lane->slots[i];
        if (!slot->in_flight || load->now_ns < slot->sent_ns + LOST_AFTER_NS) {
            continue;
        }
        slot->in_flight = false;
        load->stats.lost++;
        if (slot->action == UDP_CONNECT || load->config->kind == LOAD_UDP_FILL) {
            lane->ready[lane->n_ready++] = i;
        } else {
            lane->free[lane->n_free++] = i;
        }
    }
}

static void let_answers_gather(uint64_t from_ns)
{
    while (clock_ns() - from_ns < GATHER_NS) {
        continue;
    }
}

static int engine_send(struct engine *engine, struct err *e)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < engine->load->config->sockets; i++) {
        lane_take_work(engine, &engine->lanes[i]);
        rc = lane_send(engine, &engine->lanes[i], e);
    }
    return rc;
}

/* A batch of each lane; returns datagrams received, or a negative code. */
static int engine_receive(struct engine *engine, struct err *e)
{
    int received = 0;

    for (uint32_t i = 0; i < engine->load->config->sockets; i++) {
        int rc = lane_receive(engine, &engine->lanes[i], e);
        if (rc < 0) {
            return rc;
        }
        received += rc;
    }
    return received;
}

/* One turn over all lanes: returns datagrams received, or a negative code. */
static int engine_turn(struct engine *engine, struct err *e)
{
    int rc = engine_send(engine, e);

    return rc < 0 ? rc : engine_receive(engine, e);
}

static void sleep_until_multiple(uint64_t period_ns)
{
    uint64_t until_ns = (clock_ns() / period_ns + 1) * period_ns;
    struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000),
                             .tv_nsec = (long)(until_ns % 1000000000)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
        continue;
    }
}

/* A burst and, before it, the answers to the last one. Returns 0 or a negative code. */
static int engine_burst(struct engine *engine, struct err *e)
{
    struct load *load = engine->load;
    bool behind = false;
    int rc;

    sleep_until_multiple(load->config->period_ns);
    load->now_ns = clock_ns();
    do {
        rc = engine_receive(engine, e);
    } while (rc > 0);
    for (uint32_t i = 0; i < load->config->sockets; i++) {
        behind = behind || engine->lanes[i].n_free < engine->lanes[i].n_slots;
    }
    load->stats.bursts++;
    load->stats.behind += behind;
    return rc < 0 ? rc : engine_send(engine, e);
}

static int engine_run(struct engine *engine, struct err *e)
{
    struct load *load = engine->load;
    uint64_t looked_ns = load->now_ns;

    e->code = 0;
    engine->connected_ns = load->now_ns;
    while (load_goes_on(load, e)) {
        bool bursts = load->config->period_ns > 0;
        int received = bursts ? engine_burst(engine, e) : engine_turn(engine, e);
        if (received < 0) {
            return received;
        }
        if (!bursts && received < SHORT_BATCH) {
            let_answers_gather(load->now_ns);
        }
        if (load->now_ns - looked_ns >= LOSS_CHECK_NS) {
            looked_ns = load->now_ns;
            for (uint32_t i = 0; i < load->config->sockets; i++) {
                lane_find_lost(engine, &engine->lanes[i]);
            }
        }
        if (load->now_ns - engine->connected_ns >= RECONNECT_NS) {
            engine->connected_ns = load->now_ns;
            engine->next_connect = 0;
        }
    }
    return e->code;
}

int load_udp_run(struct load *load, struct err *e)
{
    const struct load_config *config = load->config;
    struct engine *engine = mem_new(struct engine);
    struct sockaddr_storage to;
    int rc = 0;

    engine->load = load;
    endpoint_to_sockaddr(&config->tracker, &to);
    memcpy(&engine->tracker, &to, sizeof engine->tracker);
    engine->connection_ids = mem_zeroed(config->population.sources * sizeof(uint64_t));
    engine->lanes = mem_zeroed(config->sockets * sizeof *engine->lanes);
    batch_init(&engine->out, &engine->tracker);
    batch_init(&engine->in, NULL);
    for (uint32_t i = 0; i < config->sockets; i++) {
        engine->lanes[i].fd = -1;
    }
    for (uint32_t i = 0; i < config->sockets && rc == 0; i++) {
        rc = lane_open(&engine->lanes[i], config->window / config->sockets, config->by_arrival, e);
    }
    if (rc == 0) {
        rc = engine_run(engine, e);
    }
    for (uint32_t i = 0; i < config->sockets; i++) {
        lane_close(&engine->lanes[i]);
    }
    free(engine->lanes);
    free(engine->connection_ids);
    free(engine);
    return rc;
}
