/* stats.h: what the tracker counts. Each worker has its own block and is its only writer; readers
 * add the blocks up. A counter never goes back while the program runs.
 */
#ifndef TRACKER_STATS_H
#define TRACKER_STATS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, help text for /metrics). Those that exist a family end in 4 and 6. */
#define TRACKER_COUNTERS(X)                                                                        \
    X(http4_announces, "HTTP announces answered with peers, IPv4")                                 \
    X(http6_announces, "HTTP announces answered with peers, IPv6")                                 \
    X(http4_scrapes, "HTTP scrapes answered, IPv4")                                                \
    X(http6_scrapes, "HTTP scrapes answered, IPv6")                                                \
    X(http4_failures, "HTTP requests answered with a failure reason, IPv4")                        \
    X(http6_failures, "HTTP requests answered with a failure reason, IPv6")                        \
    X(http_connections, "HTTP connections accepted")                                               \
    X(http_connections_closed, "HTTP connections closed")                                          \
    X(http_connections_refused, "HTTP connections refused because the limit was reached")          \
    X(http_malformed, "HTTP requests that could not be parsed")                                    \
    X(http_head_too_large, "HTTP requests over the limit of their head")                           \
    X(http_timeouts, "HTTP connections cut because they were idle or slow")                        \
    X(http_tls_failures, "TLS handshakes that failed")                                             \
    X(udp4_connects, "UDP connects answered, IPv4")                                                \
    X(udp6_connects, "UDP connects answered, IPv6")                                                \
    X(udp4_announces, "UDP announces answered with peers, IPv4")                                   \
    X(udp6_announces, "UDP announces answered with peers, IPv6")                                   \
    X(udp4_scrapes, "UDP scrapes answered, IPv4")                                                  \
    X(udp6_scrapes, "UDP scrapes answered, IPv6")                                                  \
    X(udp4_errors, "UDP errors sent, IPv4")                                                        \
    X(udp6_errors, "UDP errors sent, IPv6")                                                        \
    X(udp4_requests, "UDP datagrams received, IPv4")                                               \
    X(udp6_requests, "UDP datagrams received, IPv6")                                               \
    X(udp4_responses, "UDP datagrams sent, IPv4")                                                  \
    X(udp6_responses, "UDP datagrams sent, IPv6")                                                  \
    X(udp_bad_connection_id, "UDP requests with a wrong or expired connection id, dropped")        \
    X(udp_malformed, "UDP datagrams that could not be parsed, dropped")                            \
    X(udp_send_failures, "UDP datagrams that the kernel did not take")                             \
    X(refused_whitelist, "Requests refused: torrent not on whitelist")                             \
    X(refused_key, "Requests refused: key missing, unknown or expired")                            \
    X(refused_limit, "Announces refused because a table was full")                                 \
    X(peers_added, "Peers that joined a swarm")                                                    \
    X(peers_removed, "Peers that stopped")                                                         \
    X(peers_expired, "Peers dropped because they were silent for too long")                        \
    X(peers_forgotten, "Peers dropped with their torrent, by the API or off the whitelist")        \
    X(completed, "Completed downloads counted")                                                    \
    X(peers_sent, "Peers handed out in announces")

enum tracker_counter {
#define TRACKER_COUNTER_ENUM(name, help) COUNT_##name,
    TRACKER_COUNTERS(TRACKER_COUNTER_ENUM)
#undef TRACKER_COUNTER_ENUM
        TRACKER_COUNTER_COUNT
};

/* What is timed, one sample in STATS_SAMPLE_EVERY requests; of those answered together, the share of
 * one in the time of all. */
enum tracker_timed {
    TIMED_UDP_CONNECT,
    TIMED_UDP_ANNOUNCE,
    TIMED_UDP_SCRAPE,
    TIMED_HTTP_ANNOUNCE,
    TIMED_HTTP_SCRAPE,
    TIMED_COUNT
};

enum {
    STATS_SAMPLE_EVERY = 64,
    STATS_BUCKETS = 16,     /* bucket i: up to 250 ns * 2^i; the last has no upper bound */
    STATS_GAP_BUCKETS = 20, /* two to a doubling, see stats_gap_bound_us; the last has none */
};

struct histogram {
    _Atomic uint64_t buckets[STATS_BUCKETS];
    _Atomic uint64_t sum_ns;
};

struct gap_histogram {
    _Atomic uint64_t buckets[STATS_GAP_BUCKETS];
    _Atomic uint64_t sum_us;
};

struct stats_block {
    _Alignas(64) _Atomic uint64_t counters[TRACKER_COUNTER_COUNT];
    struct histogram timed[TIMED_COUNT];
    /* The longest turn of the worker's loop: since the window began, and in the one before. */
    _Atomic uint64_t loop_gap_us[2];
    struct gap_histogram gaps;     /* all turns */
    struct gap_histogram own_gaps; /* what of each the worker had the processor for */
    struct gap_histogram parts;    /* batches and slices of the sweep, likewise */
};

/* Plain numbers, added up over all workers. */
struct stats_totals {
    uint64_t counters[TRACKER_COUNTER_COUNT];
    struct {
        uint64_t buckets[STATS_BUCKETS];
        uint64_t sum_ns;
        uint64_t count;
    } timed[TIMED_COUNT];
    struct gap_totals {
        uint64_t buckets[STATS_GAP_BUCKETS];
        uint64_t sum_us;
    } gaps, own_gaps, parts;
};

/* By the block's own worker only: a relaxed load and store, no locked instruction. */
static inline void stats_add(struct stats_block *s, enum tracker_counter counter, uint64_t n)
{
    uint64_t v = atomic_load_explicit(&s->counters[counter], memory_order_relaxed);
    atomic_store_explicit(&s->counters[counter], v + n, memory_order_relaxed);
}

static inline void stats_count(struct stats_block *s, enum tracker_counter counter)
{
    stats_add(s, counter, 1);
}

void stats_time(struct stats_block *s, enum tracker_timed what, uint64_t ns);

/* A turn of the loop took so long without a look at the sockets, and had the processor for own_us
 * of it. By the block's own worker. */
void stats_loop_gap(struct stats_block *s, uint64_t us, uint64_t own_us);
/* So long the worker had the processor for one batch of requests or slice of the sweep. */
void stats_loop_part(struct stats_block *s, uint64_t own_us);
/* Begins a new window, so that a long gap is forgotten after two. By the block's own worker. */
void stats_loop_gap_window(struct stats_block *s);
uint64_t stats_loop_gap_max_us(const struct stats_block *s);
/* The upper bound of a bucket of gaps: 125, 187, 250, 375, 500, 750, 1000, 1500 ... */
uint64_t stats_gap_bound_us(unsigned bucket);

/* Adds s to out, which the caller zeroed before the first. */
void stats_sum(struct stats_totals *out, const struct stats_block *s);

/* "udp4_connects" and the help text of a counter. Static. */
const char *stats_name(enum tracker_counter counter);
const char *stats_help(enum tracker_counter counter);

#endif
