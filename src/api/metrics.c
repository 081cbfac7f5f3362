#include "api/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/metrics_out.h"
#include "store/store.h"
#include "tracker/workers.h"

#include "base/banned.h"

#define LABELS2(name1, value1, name2, value2)                                                      \
    {                                                                                              \
        {                                                                                          \
            {(name1), (value1)},                                                                   \
            {                                                                                      \
                (name2), (value2)                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
#define UDP4         LABELS2("protocol", "udp", "family", "ipv4")
#define UDP6         LABELS2("protocol", "udp", "family", "ipv6")
#define UDP          LABELS2("protocol", "udp", NULL, NULL)
#define TCP4         LABELS2("protocol", "http", "family", "ipv4")
#define TCP6         LABELS2("protocol", "http", "family", "ipv6")
#define TCP          LABELS2("protocol", "http", NULL, NULL)
#define REASON(text) LABELS2("reason", (text), NULL, NULL)
#define NONE         LABELS2(NULL, NULL, NULL, NULL)

static const struct metric_labels none = NONE;

/* Each counter of the tracker once; rows of one metric stand together, the first has the help. */
static const struct {
    const char *metric;
    const char *help;
    struct metric_labels labels;
    enum tracker_counter counter;
} counters[] = {
    {"rookery_connects_total", "UDP connects answered.", UDP4, COUNT_udp4_connects},
    {"rookery_connects_total", NULL, UDP6, COUNT_udp6_connects},
    {"rookery_announces_total", "Announces answered with peers.", UDP4, COUNT_udp4_announces},
    {"rookery_announces_total", NULL, UDP6, COUNT_udp6_announces},
    {"rookery_announces_total", NULL, TCP4, COUNT_http4_announces},
    {"rookery_announces_total", NULL, TCP6, COUNT_http6_announces},
    {"rookery_scrapes_total", "Scrapes answered.", UDP4, COUNT_udp4_scrapes},
    {"rookery_scrapes_total", NULL, UDP6, COUNT_udp6_scrapes},
    {"rookery_scrapes_total", NULL, TCP4, COUNT_http4_scrapes},
    {"rookery_scrapes_total", NULL, TCP6, COUNT_http6_scrapes},
    {"rookery_failures_total", "Requests answered with an error or a failure reason.", UDP4,
     COUNT_udp4_errors},
    {"rookery_failures_total", NULL, UDP6, COUNT_udp6_errors},
    {"rookery_failures_total", NULL, TCP4, COUNT_http4_failures},
    {"rookery_failures_total", NULL, TCP6, COUNT_http6_failures},
    {"rookery_datagrams_received_total", "Datagrams received.", UDP4, COUNT_udp4_requests},
    {"rookery_datagrams_received_total", NULL, UDP6, COUNT_udp6_requests},
    {"rookery_datagrams_sent_total", "Datagrams sent.", UDP4, COUNT_udp4_responses},
    {"rookery_datagrams_sent_total", NULL, UDP6, COUNT_udp6_responses},
    {"rookery_datagrams_unsent_total", "Answers that the kernel did not take.", UDP,
     COUNT_udp_send_failures},
    {"rookery_bad_connection_ids_total", "Requests with a wrong or expired connection id, dropped.",
     UDP, COUNT_udp_bad_connection_id},
    {"rookery_malformed_total", "Requests that could not be parsed.", UDP, COUNT_udp_malformed},
    {"rookery_malformed_total", NULL, TCP, COUNT_http_malformed},
    {"rookery_head_too_large_total", "Requests over the limit of their head.", TCP,
     COUNT_http_head_too_large},
    {"rookery_connections_total", "Connections accepted.", TCP, COUNT_http_connections},
    {"rookery_connections_closed_total", "Connections closed.", TCP, COUNT_http_connections_closed},
    {"rookery_connections_refused_total", "Connections refused because the limit was reached.", TCP,
     COUNT_http_connections_refused},
    {"rookery_connection_timeouts_total", "Connections cut because they were idle or slow.", TCP,
     COUNT_http_timeouts},
    {"rookery_tls_failures_total", "TLS handshakes that failed.", TCP, COUNT_http_tls_failures},
    {"rookery_refused_total", "Requests refused by a rule.", REASON("whitelist"),
     COUNT_refused_whitelist},
    {"rookery_refused_total", NULL, REASON("key"), COUNT_refused_key},
    {"rookery_refused_total", NULL, REASON("limit"), COUNT_refused_limit},
    {"rookery_peers_added_total", "Peers that joined a swarm.", NONE, COUNT_peers_added},
    {"rookery_peers_gone_total", "Peers that left.", REASON("stopped"), COUNT_peers_removed},
    {"rookery_peers_gone_total", NULL, REASON("silent"), COUNT_peers_expired},
    {"rookery_peers_gone_total", NULL, REASON("forgotten"), COUNT_peers_forgotten},
    {"rookery_completed_counted_total", "Completed downloads counted since the start.", NONE,
     COUNT_completed},
    {"rookery_peers_sent_total", "Peers handed out.", NONE, COUNT_peers_sent},
};

static void add_value(struct metrics_out *o, const char *name, const char *kind, const char *help,
                      uint64_t value)
{
    metric_head(o, name, kind, help);
    metric_u64(o, &none, value);
}

static void add_counters(struct metrics_out *o, const struct stats_totals *stats)
{
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        if (counters[i].help != NULL) {
            metric_head(o, counters[i].metric, "counter", counters[i].help);
        }
        metric_u64(o, &counters[i].labels, stats->counters[counters[i].counter]);
    }
}

static double time_bound_s(unsigned bucket)
{
    return 250e-9 * (double)(UINT64_C(1) << bucket);
}

static double gap_bound_s(unsigned bucket)
{
    return (double)stats_gap_bound_us(bucket) / 1e6;
}

/* labels: has a place left, for the bounds. bound_s: of a bucket; the last has none. */
static void add_histogram(struct metrics_out *o, struct metric_labels labels,
                          const uint64_t *buckets, unsigned n, double (*bound_s)(unsigned bucket),
                          double sum_s)
{
    uint64_t sum = 0;
    char value[40];
    char bound[24];
    size_t le = 0;
    while (labels.at[le].name != NULL) {
        le++;
    }
    labels.at[le] = (struct metric_label){"le", bound};
    for (unsigned i = 0; i < n; i++) {
        sum += buckets[i];
        if (i + 1 < n) {
            (void)snprintf(bound, sizeof bound, "%.9g", bound_s(i));
        } else {
            (void)snprintf(bound, sizeof bound, "+Inf");
        }
        (void)snprintf(value, sizeof value, "%" PRIu64, sum);
        metric_part(o, "bucket", &labels, value);
    }
    labels.at[le].name = NULL;
    metric_part(o, "count", &labels, value);
    (void)snprintf(value, sizeof value, "%.9f", sum_s);
    metric_part(o, "sum", &labels, value);
}

static void add_histograms(struct metrics_out *o, const struct stats_totals *stats)
{
    static const struct metric_labels labels[TIMED_COUNT] = {
        [TIMED_UDP_CONNECT] = LABELS2("protocol", "udp", "request", "connect"),
        [TIMED_UDP_ANNOUNCE] = LABELS2("protocol", "udp", "request", "announce"),
        [TIMED_UDP_SCRAPE] = LABELS2("protocol", "udp", "request", "scrape"),
        [TIMED_HTTP_ANNOUNCE] = LABELS2("protocol", "http", "request", "announce"),
        [TIMED_HTTP_SCRAPE] = LABELS2("protocol", "http", "request", "scrape"),
    };
    char help[96];
    (void)snprintf(help, sizeof help, "Time to handle a request, of one in %d.",
                   (int)STATS_SAMPLE_EVERY);
    metric_head(o, "rookery_request_duration_seconds", "histogram", help);
    for (unsigned i = 0; i < TIMED_COUNT; i++) {
        add_histogram(o, labels[i], stats->timed[i].buckets, STATS_BUCKETS, time_bound_s,
                      (double)stats->timed[i].sum_ns / 1e9);
    }
}

static void add_swarms(struct metrics_out *o, const struct tracker_totals *t)
{
    static const struct metric_labels v4 = LABELS2("family", "ipv4", NULL, NULL);
    static const struct metric_labels v6 = LABELS2("family", "ipv6", NULL, NULL);
    add_value(o, "rookery_torrents", "gauge", "Torrents with at least one peer.", t->torrents);
    metric_head(o, "rookery_peers", "gauge", "Peers in all swarms.");
    metric_u64(o, &v4, t->peers4);
    metric_u64(o, &v6, t->peers6);
    add_value(o, "rookery_seeders", "gauge", "Peers that have everything.", t->seeders);
    add_value(o, "rookery_leechers", "gauge", "Peers that do not.", t->leechers);
    add_value(o, "rookery_completed", "gauge", "Completed downloads of all torrents, ever.",
              t->completed);
    add_value(o, "rookery_whitelisted_torrents", "gauge", "Torrents on the whitelist.",
              t->whitelisted);
    add_value(o, "rookery_access_keys", "gauge", "Access keys.", t->keys);
    add_value(o, "rookery_swarm_memory_bytes", "gauge", "Memory of the swarm tables.",
              t->memory_len);
}

static void add_api(struct metrics_out *o, const struct http_stats *http,
                    const struct auth_stats *auth)
{
    add_value(o, "rookery_api_connections", "gauge", "API connections open now.",
              http->connections);
    add_value(o, "rookery_api_connections_total", "counter", "API connections accepted.",
              http->connections_total);
    add_value(o, "rookery_api_connections_refused_total", "counter",
              "API connections refused because the limit was reached.", http->connections_refused);
    add_value(o, "rookery_api_connections_stalled_total", "counter",
              "API connections cut because the client took no answer.", http->stalled_total);
    add_value(o, "rookery_api_requests_total", "counter", "API requests.", http->requests_total);
    add_value(o, "rookery_api_wrong_tokens_total", "counter", "API requests with a wrong token.",
              auth->failures);
    add_value(o, "rookery_api_limited_total", "counter",
              "API requests with a wrong token, of an address that sent too many.", auth->limited);
}

static void add_socketio(struct metrics_out *o, const struct sio_http_stats *s)
{
    static const struct metric_labels polling = LABELS2("transport", "polling", NULL, NULL);
    static const struct metric_labels websocket = LABELS2("transport", "websocket", NULL, NULL);
    static const struct metric_labels refused[SIO_N_REFUSALS] = {
        [SIO_REFUSED_LIMIT] = REASON("limit"),
        [SIO_REFUSED_ORIGIN] = REASON("origin"),
        [SIO_REFUSED_TOKEN] = REASON("token"),
    };
    metric_head(o, "rookery_api_socketio_sessions", "gauge", "Socket.IO sessions open now.");
    metric_u64(o, &polling, s->engine.polling);
    metric_u64(o, &websocket, s->engine.websocket);
    add_value(o, "rookery_api_socketio_sessions_total", "counter", "Socket.IO sessions opened.",
              s->engine.opened);
    metric_head(o, "rookery_api_socketio_refused_total", "counter",
                "Socket.IO requests and connects refused.");
    for (size_t i = 0; i < SIO_N_REFUSALS; i++) {
        metric_u64(o, &refused[i], s->refused[i]);
    }
    add_value(o, "rookery_api_socketio_packets_dropped_total", "counter",
              "Packets that a client had not taken when its session ended.", s->engine.dropped);
}

static void add_gaps(struct metrics_out *o, const struct gap_totals *gaps)
{
    add_histogram(o, none, gaps->buckets, STATS_GAP_BUCKETS, gap_bound_s,
                  (double)gaps->sum_us / 1e6);
}

static void add_turns(struct metrics_out *o, const struct stats_totals *stats)
{
    metric_head(o, "rookery_loop_gap_seconds", "histogram",
                "Turns of the tracker workers' loops by how long they kept the sockets waiting.");
    add_gaps(o, &stats->gaps);
    metric_head(o, "rookery_loop_work_seconds", "histogram",
                "The same turns by how long the worker had a processor in them.");
    add_gaps(o, &stats->own_gaps);
    metric_head(
        o, "rookery_batch_seconds", "histogram",
        "Batches of requests, and slices of the sweep, by how long a worker had a processor "
        "in them, between receiving and sending; waiting for locks is in it.");
    add_gaps(o, &stats->parts);
}

static void add_loop_gaps(struct metrics_out *o, const uint64_t *gaps_us, size_t n)
{
    char number[24];
    struct metric_labels labels = {{{"worker", number}}};
    metric_head(o, "rookery_loop_gap_max_seconds", "gauge",
                "Longest time that a tracker worker did not look at its sockets, in the last one "
                "to two minutes.");
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(number, sizeof number, "%zu", i);
        metric_f64(o, &labels, (double)gaps_us[i] / 1e6);
    }
}

static void add_process(struct metrics_out *o, const struct metrics *m)
{
    struct metric_labels version = {{{"version", m->version}}};
    add_value(o, "rookery_database_up", "gauge", "1 while there is a connection to the database.",
              m->database_up);
    metric_head(o, "rookery_build_info", "gauge", "Always 1; the label says what is running.");
    metric_u64(o, &version, 1);
    add_value(o, "process_resident_memory_bytes", "gauge", "Resident memory.", m->resident_bytes);
    add_value(o, "process_start_time_seconds", "gauge", "When the server started, Unix time.",
              (uint64_t)m->started_unix_s);
    metric_head(o, "process_cpu_seconds_total", "counter", "Processor time used.");
    metric_f64(o, &none, (double)m->cpu_ms / 1e3);
}

void metrics_render(struct buf *out, bool json, const struct metrics *m)
{
    struct metrics_out o;
    metrics_begin(&o, out, json);
    add_swarms(&o, &m->totals);
    add_counters(&o, &m->stats);
    add_histograms(&o, &m->stats);
    if (m->client != NULL) {
        metrics_client_render(&o, m->client);
    }
    add_api(&o, &m->http, &m->auth);
    add_socketio(&o, &m->socketio);
    add_loop_gaps(&o, m->loop_gaps_us, m->n_workers);
    add_turns(&o, &m->stats);
    add_process(&o, m);
    metrics_end(&o);
}

/* ---- gathering --------------------------------------------------------------------------- */

static uint64_t resident_bytes(void)
{
    unsigned long long size = 0;
    unsigned long long resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f != NULL) {
        if (fscanf(f, "%llu %llu", &size, &resident) != 2) {
            resident = 0;
        }
        (void)fclose(f);
    }
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t cpu_ms(void)
{
    struct rusage r;
    if (getrusage(RUSAGE_SELF, &r) != 0) {
        return 0;
    }
    return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000 +
           (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1000;
}

/* The tracker has a handle more than it has loops. */
static size_t loop_gaps(const struct api_parts *parts, uint64_t gaps_us[METRICS_WORKERS_MAX])
{
    size_t n = workers_count(parts->cfg);
    return tracker_loop_gaps(parts->tracker, gaps_us,
                             n < METRICS_WORKERS_MAX ? n : METRICS_WORKERS_MAX);
}

void metrics_answer(struct call *c, bool json)
{
    const struct api_env *env = c->env;
    struct metrics m = {.version = env->parts.version,
                        .started_unix_s = env->started_unix_s,
                        .database_up = store_is_available(env->parts.store),
                        .resident_bytes = resident_bytes(),
                        .cpu_ms = cpu_ms()};
    struct client_metrics client;
    struct buf out;
    if (env->parts.client != NULL) {
        metrics_client_gather(&client, env->parts.client);
        m.client = &client;
    }
    tracker_totals(env->parts.tracker, &m.totals);
    tracker_stats(env->parts.tracker, &m.stats);
    m.n_workers = loop_gaps(&env->parts, m.loop_gaps_us);
    http_stats(env->http, &m.http);
    auth_stats(env->auth, &m.auth);
    sio_http_stats(env->socketio, &m.socketio);
    buf_init(&out, METRICS_MAX);
    metrics_render(&out, json, &m);
    http_reply(c->x, 200, json ? JSON_TYPE : "text/plain; version=0.0.4; charset=utf-8",
               buf_span(&out));
    buf_release(&out);
}
