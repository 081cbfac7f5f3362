/* load.h: one run of load against a tracker: what is asked for, how long, and what came back.
 *
 * Model    closed loop: `window` requests are in flight, an answer makes room for the next one. The
 *          engines (load_udp, load_http) send and receive; struct load keeps time and counts.
 * Bursts   with a period (UDP only) the window is sent at once, at each multiple of the period by
 *          the monotonic clock: generators that run side by side wake up together.
 * Phases   warm-up (counts are thrown away), then the measured time. A fill has no warm-up and ends
 *          when every peer of its range has been answered.
 * Limits   IPv4 only; the tracker has to be on loopback, because the peers are.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/endpoint.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/span.h"
#include "histogram.h"
#include "population.h"
#include "proto/announce.h"
#include "tracker/loop_watch.h"

enum load_kind {
    LOAD_UDP_FILL, /* announce every peer of a range once */
    LOAD_UDP_CONNECT,
    LOAD_UDP_ANNOUNCE,
    LOAD_UDP_SCRAPE,
    LOAD_HTTP_KEEPALIVE,  /* announces, `window` connections */
    LOAD_HTTP_CONNECTION, /* announces, a new connection for each */
};

enum { LOAD_WINDOW_MAX = 4096, LOAD_SOCKETS_MAX = 64 };

struct load_config {
    enum load_kind kind;
    struct endpoint tracker;
    struct population population;
    uint32_t fill_first; /* fill: peers fill_first .. fill_first + fill_count - 1 */
    uint32_t fill_count;
    enum announce_event event;
    int32_t numwant;
    uint32_t hashes; /* in one scrape */
    uint32_t window; /* requests in flight, over all sockets */
    uint32_t sockets;
    uint64_t period_ns; /* between two bursts; 0: closed loop */
    uint64_t warmup_ns;
    uint64_t duration_ns;
    pid_t tracker_pid;  /* 0: CPU time and memory are not measured */
    bool by_arrival;    /* UDP: latency ends when the kernel has the answer */
    bool foreign_peers; /* the peers in an answer are made up: do not look at them */
};

struct load_stats {
    uint64_t answers;   /* of the kind that was asked for */
    uint64_t peers;     /* in those */
    uint64_t failures;  /* the tracker refused */
    uint64_t malformed; /* undecodable, or not an answer to what was asked */
    uint64_t late;      /* to a request that was given up before */
    uint64_t lost;      /* no answer in time */
    uint64_t bursts;
    uint64_t behind;        /* of those, had answers missing when the next was due */
    uint64_t closed;        /* keep-alive: the tracker ended the connection behind an answer */
    uint64_t looked_at;     /* answers whose peers were looked at one by one */
    struct peers_seen seen; /* in those */
    struct histogram latency;
    uint64_t pause_us; /* the longest turn of the generator itself ... */
    uint64_t work_us;  /* ... and the longest time in one that it had the processor */
};

struct load {
    const struct load_config *config;
    struct rng rng;
    uint64_t now_ns;
    bool measuring;
    uint64_t measure_from_ns;
    uint64_t measured_ns;
    uint64_t cpu_from_ns;
    uint64_t cpu_ns;         /* of the tracker in the measured time */
    uint64_t last_answer_ns; /* of any kind; the engine keeps it */
    struct loop_watch watch; /* on the generator's own turns */
    uint32_t fill_next;      /* fill: peers handed out */
    uint32_t filled;         /* fill: peers answered, refusals included; the engine keeps it */
    struct load_stats stats;
};

void load_init(struct load *load, const struct load_config *config);

/* Read the clock; false when the run is over, or when the tracker has been silent for 5 s: then e
 * is filled (e->code is 0 otherwise). */
bool load_goes_on(struct load *load, struct err *e);

/* The next peer to announce: of the fill's range (false: none left), else a random one. */
bool load_next_peer(struct load *load, uint32_t *peer);

/* A random one of those with this source address. The population has one for each source. */
uint32_t load_random_peer_of_source(struct load *load, uint32_t source);

/* Count an answer that took this long. */
void load_answered(struct load *load, uint64_t latency_ns);

/* Count and look at the peers of an answered announce; false (malformed) when there are more than
 * were asked for. */
bool load_peers(struct load *load, uint32_t asking_peer, struct span compact);

/* Run the configured kind; 0, or a negative code with e filled. */
int load_udp_run(struct load *load, struct err *e);
int load_http_run(struct load *load, struct err *e);

#endif
