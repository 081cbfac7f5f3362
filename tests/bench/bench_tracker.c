/* A load generator for BitTorrent trackers: one kind of request for a bounded time, one line of
 * JSON.
 *
 * What is in the line: --help. What the figures mean: docs/performance.md.
 */
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/parse.h"
#include "load.h"
#include "process.h"

#include "base/banned.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };
enum { HTTP_WINDOW_MAX = 1000, NS_PER_US = 1000, NS_PER_MS = 1000000 };
enum { PERIOD_MAX_US = 100000 };

static const char usage_text[] =
    "usage: bench_tracker --kind KIND --tracker ADDRESS:PORT [options]\n"
    "       bench_tracker --hashes-of TORRENTS    print their info-hashes, one a line\n"
    "\n"
    "KIND: udp-fill (announce each peer of a range once), udp-connect, udp-announce, udp-scrape,\n"
    "      http-keepalive, http-connection (announces; a new connection for each)\n"
    "\n"
    "  --torrents N (10000)   --peers N (1000000)   --sources N (251)   --seeders PERCENT (25)\n"
    "  --numwant N (30)       --hashes N (50): in one scrape\n"
    "  --first N (0) --count N (0: all): range of a fill\n"
    "  --event none|completed|started|stopped (none)\n"
    "  --window N (128): requests in flight; HTTP: connections\n"
    "  --sockets N (1): UDP sockets that share the window\n"
    "  --period US (0: none): send the window as a burst whenever the clock is at a multiple\n"
    "  --warmup MS (300)      --duration MS (3000)\n"
    "  --pid PID: the tracker, for its CPU time and memory\n"
    "  --cpu N: run on this processor only\n"
    "  --by-arrival: latency of UDP ends when the kernel has the answer; the waiting of this\n"
    "      program, which may share its processor, is not in it\n"
    "  --foreign-peers: the answers' peers are made up, do not look at them\n"
    "\n"
    "Printed: answers, answers_per_s, answers_per_cpu_s (of the tracker), busy (its CPU time by\n"
    "time), mean_peers, p50_us, p99_us, max_us (latency), pause_us and work_us (the longest\n"
    "turn of this program, and the longest time in one that it had the processor: for UDP,\n"
    "which never sleeps, the noise of the machine), failures, malformed, late, lost, closed\n"
    "(keep-alive connections that the tracker ended behind an answer), bursts, behind (bursts\n"
    "whose answers were not all there when the next was due), looked_at (answers whose\n"
    "peers were looked at one by one), self (of those with the asking peer in them), foreign\n"
    "(peers of another torrent in those), resident_before and resident_after (bytes),\n"
    "resident_per_peer (growth in a fill), seconds.\n"
    "Exit status: 0; 1 when the tracker cannot be reached or falls silent; 2 for bad usage.\n";

enum number {
    TORRENTS,
    PEERS,
    SOURCES,
    SEEDERS,
    NUMWANT,
    HASHES,
    FIRST,
    COUNT,
    WINDOW,
    SOCKETS,
    PERIOD,
    WARMUP,
    DURATION,
    PID,
    CPU,
    HASHES_OF,
    N_NUMBERS,
};

struct number_option {
    uint64_t value; /* the default, until another is given */
    uint64_t max;
};

struct arguments {
    struct number_option numbers[N_NUMBERS];
    struct load_config load;
    bool has_kind;
    bool has_tracker;
    bool has_cpu;
};

enum {
    OPTION_KIND = N_NUMBERS,
    OPTION_TRACKER,
    OPTION_EVENT,
    OPTION_BY_ARRIVAL,
    OPTION_FOREIGN_PEERS,
    OPTION_HELP,
};

static const struct option options[] = {
    {"torrents", required_argument, NULL, TORRENTS},
    {"peers", required_argument, NULL, PEERS},
    {"sources", required_argument, NULL, SOURCES},
    {"seeders", required_argument, NULL, SEEDERS},
    {"numwant", required_argument, NULL, NUMWANT},
    {"hashes", required_argument, NULL, HASHES},
    {"first", required_argument, NULL, FIRST},
    {"count", required_argument, NULL, COUNT},
    {"window", required_argument, NULL, WINDOW},
    {"sockets", required_argument, NULL, SOCKETS},
    {"period", required_argument, NULL, PERIOD},
    {"warmup", required_argument, NULL, WARMUP},
    {"duration", required_argument, NULL, DURATION},
    {"pid", required_argument, NULL, PID},
    {"cpu", required_argument, NULL, CPU},
    {"hashes-of", required_argument, NULL, HASHES_OF},
    {"kind", required_argument, NULL, OPTION_KIND},
    {"tracker", required_argument, NULL, OPTION_TRACKER},
    {"event", required_argument, NULL, OPTION_EVENT},
    {"by-arrival", no_argument, NULL, OPTION_BY_ARRIVAL},
    {"foreign-peers", no_argument, NULL, OPTION_FOREIGN_PEERS},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static const struct arguments default_arguments = {
    .numbers =
        {
            [TORRENTS] = {10000, UINT32_MAX},
            [PEERS] = {1000000, UINT32_MAX},
            [SOURCES] = {SOURCES_DEFAULT, SOURCES_MAX},
            [SEEDERS] = {25, 100},
            [NUMWANT] = {30, INT32_MAX},
            [HASHES] = {50, SCRAPE_MAX},
            [FIRST] = {0, UINT32_MAX},
            [COUNT] = {0, UINT32_MAX},
            [WINDOW] = {128, LOAD_WINDOW_MAX},
            [SOCKETS] = {1, LOAD_SOCKETS_MAX},
            [PERIOD] = {0, PERIOD_MAX_US},
            [WARMUP] = {300, 600000},
            [DURATION] = {3000, 600000},
            [PID] = {0, INT32_MAX},
            [CPU] = {0, CPU_SETSIZE - 1},
            [HASHES_OF] = {0, UINT32_MAX},
        },
};

/* Index of text in names, or -1. */
static int name_index(const char *const *names, int n, const char *text)
{
    for (int i = 0; i < n; i++) {
        if (span_eq(span_str(names[i]), span_str(text))) {
            return i;
        }
    }
    return -1;
}

static bool take_option(struct arguments *arguments, int option, const char *text)
{
    static const char *const kinds[] = {"udp-fill",   "udp-connect",    "udp-announce",
                                        "udp-scrape", "http-keepalive", "http-connection"};
    static const char *const events[] = {"none", "completed", "started", "stopped"};
    int index = 0;

    switch (option) {
    case OPTION_KIND:
        index = name_index(kinds, sizeof kinds / sizeof *kinds, text);
        arguments->load.kind = (enum load_kind)index;
        arguments->has_kind = true;
        return index >= 0;
    case OPTION_EVENT:
        index = name_index(events, sizeof events / sizeof *events, text);
        arguments->load.event = (enum announce_event)index;
        return index >= 0;
    case OPTION_TRACKER:
        arguments->has_tracker = true;
        return endpoint_parse(&arguments->load.tracker, span_str(text)) &&
               addr_is_loopback(&arguments->load.tracker.addr) && !arguments->load.tracker.addr.v6;
    case OPTION_BY_ARRIVAL:
        arguments->load.by_arrival = true;
        return true;
    case OPTION_FOREIGN_PEERS:
        arguments->load.foreign_peers = true;
        return true;
    default:
        arguments->has_cpu = arguments->has_cpu || option == CPU;
        return parse_u64(&arguments->numbers[option].value, span_str(text),
                         arguments->numbers[option].max);
    }
}

static struct load_config config_of(const struct arguments *arguments)
{
    const struct number_option *numbers = arguments->numbers;
    struct load_config load = arguments->load;

    load.population = (struct population){
        .torrents = (uint32_t)numbers[TORRENTS].value,
        .peers = (uint32_t)numbers[PEERS].value,
        .sources = (uint32_t)numbers[SOURCES].value,
        .seeders_percent = (uint32_t)numbers[SEEDERS].value,
    };
    load.numwant = (int32_t)numbers[NUMWANT].value;
    load.hashes = (uint32_t)numbers[HASHES].value;
    load.window = (uint32_t)numbers[WINDOW].value;
    load.sockets = (uint32_t)numbers[SOCKETS].value;
    load.period_ns = numbers[PERIOD].value * NS_PER_US;
    load.duration_ns = numbers[DURATION].value * NS_PER_MS;
    load.warmup_ns = load.kind == LOAD_UDP_FILL ? 0 : numbers[WARMUP].value * NS_PER_MS;
    load.tracker_pid = (pid_t)numbers[PID].value;
    load.fill_first = (uint32_t)numbers[FIRST].value;
    load.fill_count = (uint32_t)numbers[COUNT].value;
    if (load.fill_count == 0 && load.fill_first < load.population.peers) {
        load.fill_count = load.population.peers - load.fill_first;
    }
    return load;
}

/* NULL, or why these do not go together. */
static const char *what_is_wrong(const struct arguments *arguments, const struct load_config *load)
{
    const char *why = NULL;
    uint32_t peers = load->population.peers;

    if (!arguments->has_kind || !arguments->has_tracker) {
        return "--kind and --tracker are needed";
    }
    if (!population_check(&load->population, &why)) {
        return why;
    }
    if (load->fill_first >= peers || load->fill_count > peers - load->fill_first) {
        return "--first and --count leave the range of the peers";
    }
    if (load->sockets == 0 || load->window < load->sockets) {
        return "--sockets must be 1 to --window";
    }
    if (load->kind >= LOAD_HTTP_KEEPALIVE && load->window > HTTP_WINDOW_MAX) {
        return "more than 1000 HTTP connections";
    }
    if (load->kind >= LOAD_HTTP_KEEPALIVE && load->period_ns > 0) {
        return "bursts are of datagrams";
    }
    if (load->kind >= LOAD_HTTP_KEEPALIVE && load->by_arrival) {
        return "--by-arrival is for datagrams";
    }
    if (load->kind == LOAD_UDP_SCRAPE && load->hashes == 0) {
        return "a scrape needs a hash";
    }
    return NULL;
}

static int print_hashes(uint32_t torrents)
{
    for (uint32_t i = 0; i < torrents; i++) {
        struct infohash hash;
        char text[HEX20_LEN + 1];
        population_hash(&hash, i);
        hex_encode(text, span_of(hash.b, sizeof hash.b));
        puts(text);
    }
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

static double per(uint64_t value, double by)
{
    return by > 0 ? (double)value / by : 0;
}

static void print_result(const struct load *load, uint64_t resident_before, uint64_t resident_after)
{
    const struct load_stats *stats = &load->stats;
    const struct histogram *latency = &stats->latency;
    double measured_s = (double)load->measured_ns / 1e9;
    double grown = (double)resident_after - (double)resident_before;
    bool fill = load->config->kind == LOAD_UDP_FILL;

    printf("{\"answers\": %" PRIu64 ", \"answers_per_s\": %.0f, \"answers_per_cpu_s\": %.0f, "
           "\"busy\": %.3f, \"mean_peers\": %.3f, ",
           stats->answers, per(stats->answers, measured_s),
           per(stats->answers, (double)load->cpu_ns / 1e9), per(load->cpu_ns, measured_s * 1e9),
           per(stats->peers, (double)stats->answers));
    printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, ",
           (double)histogram_quantile_ns(latency, 0.5) / 1e3,
           (double)histogram_quantile_ns(latency, 0.99) / 1e3, (double)latency->max_ns / 1e3);
    printf("\"pause_us\": %" PRIu64 ", \"work_us\": %" PRIu64 ", ", stats->pause_us,
           stats->work_us);
    printf("\"failures\": %" PRIu64 ", \"malformed\": %" PRIu64 ", \"late\": %" PRIu64
           ", \"lost\": %" PRIu64 ", \"closed\": %" PRIu64 ", \"bursts\": %" PRIu64
           ", \"behind\": %" PRIu64 ", \"looked_at\": %" PRIu64 ", \"self\": %" PRIu32
           ", \"foreign\": %" PRIu32 ", ",
           stats->failures, stats->malformed, stats->late, stats->lost, stats->closed,
           stats->bursts, stats->behind, stats->looked_at, stats->seen.self, stats->seen.foreign);
    printf("\"resident_before\": %" PRIu64 ", \"resident_after\": %" PRIu64
           ", \"resident_per_peer\": %.1f, \"seconds\": %.3f}\n",
           resident_before, resident_after, fill ? grown / (double)load->config->fill_count : 0,
           measured_s);
}

static bool run_on_cpu(uint64_t cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

static int run(const struct load_config *config)
{
    struct load *load = mem_new(struct load);
    struct err e = {.code = 0};

    load_init(load, config);
    uint64_t resident_before = process_resident_bytes(config->tracker_pid);
    int rc = config->kind >= LOAD_HTTP_KEEPALIVE ? load_http_run(load, &e) : load_udp_run(load, &e);
    if (rc == 0 && load->stats.answers == 0) {
        rc = err_set(&e, ERR_UNAVAILABLE, "not one answer from the tracker");
    }
    if (rc < 0) {
        fprintf(stderr, "bench_tracker: %s\n", e.msg);
    } else {
        print_result(load, resident_before, process_resident_bytes(config->tracker_pid));
    }
    free(load);
    return rc == 0 && fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

static int usage_error(const char *why, const char *text)
{
    fprintf(stderr, "bench_tracker: %s%s (--help says more)\n", why, text);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct arguments arguments = default_arguments;

    for (;;) {
        int index = 0;
        int option = getopt_long(argc, argv, "", options, &index);
        if (option == -1) {
            break;
        }
        if (option == OPTION_HELP) {
            fputs(usage_text, stdout);
            return EXIT_OK;
        }
        if (option == '?') {
            return EXIT_USAGE;
        }
        if (!take_option(&arguments, option, optarg)) {
            return usage_error("bad value of --", options[index].name);
        }
    }
    if (optind < argc) {
        return usage_error("unexpected argument ", argv[optind]);
    }
    if (arguments.numbers[HASHES_OF].value > 0) {
        return print_hashes((uint32_t)arguments.numbers[HASHES_OF].value);
    }
    struct load_config config = config_of(&arguments);
    const char *why = what_is_wrong(&arguments, &config);
    if (why != NULL) {
        return usage_error(why, "");
    }
    if (arguments.has_cpu && !run_on_cpu(arguments.numbers[CPU].value)) {
        return usage_error("there is no such processor to run on: ", "--cpu");
    }
    return run(&config);
}
