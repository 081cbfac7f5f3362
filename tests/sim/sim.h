/* sim.h: a swarm in a box: engines, a tracker, links, disks and stores in virtual time.
 *
 * Model     a sim has one clock in milliseconds, one heap of events and one seeded rng: the same
 *           seed gives the same run, to the byte. Nodes are engines at 10.0.x.y:SIM_PORT; members
 *           are torrents of a node, with what its disk and its store have of them.
 * Driving   a node does what a shell does: after every input its outputs are acted upon, then its
 *           deadline is armed. Nothing is answered from inside of an input.
 * Checks    after every input (sim_check.c) and of every message on the wire (sim_wire.c). What is
 *           broken ends the test with the seed, the virtual time and the node.
 * Crash     loses what was not synced, page by page at random, and what was not committed.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/endpoint.h"
#include "base/heap.h"
#include "base/ids.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "client/engine.h"

enum {
    SIM_PORT = 6881,
    SIM_PAGE_LEN = 1 << 14, /* of disks: a block */
    SIM_START_MS = 1000,
};

struct sim;
struct sim_node;

struct sim_event {
    struct heap_node at;
    void (*fire)(struct sim_event *ev);
};

/* What fails: the at-th (from 1) of its kind, all nodes together; at 0: none. */
enum sim_fault_kind {
    SIM_FAULT_DISK,    /* a job that is one of ops, with status */
    SIM_FAULT_LIE,     /* a read that gives wrong bytes */
    SIM_FAULT_CONNECT, /* an attempt, with status */
    SIM_FAULT_SEND,    /* the connection is reset */
    SIM_FAULT_SAVE,
    SIM_FAULT_ANNOUNCE,
    SIM_N_FAULTS,
};

struct sim_fault {
    uint64_t at;
    uint64_t n; /* of its kind so far */
    int status;
    unsigned ops; /* bits of enum disk_op */
};

struct sim_options {
    uint64_t seed;
    uint32_t announce_interval_s; /* 0: 120 */
    uint32_t numwant_max;         /* 0: 100 */
    uint32_t resets_per_million;  /* connections that break, for a million sends */
    uint32_t refusals_percent;    /* attempts that come to nothing */
    bool no_counts;               /* announces are answered without them */
};

struct sim {
    struct sim_options options;
    uint64_t now_ms;
    bool traced;
    struct heap heap;
    struct rng rng;
    struct list nodes;
    struct list torrents;
    struct list links;
    uint32_t n_nodes;
    struct sim_fault faults[SIM_N_FAULTS];
    struct tracker *tracker;
    bool tracker_down;
    uint64_t n_pex; /* messages about PEX on the wire, extension handshakes that name it too */
    uint64_t n_events;
    uint32_t n_events_now; /* in this millisecond */
    uint64_t n_announces;
    uint64_t announce_second; /* the second that runs, and what it and the worst one had */
    uint32_t announces_in_second;
    uint32_t announces_in_second_max;
    uint64_t n_scrapes;
    uint64_t n_scraped; /* hashes in them */
};

struct sim *sim_new(const struct sim_options *options);
/* Every node is stopped and must become idle. */
void sim_stop(struct sim *s);
/* sim_stop, and a last look at everything. */
void sim_end(struct sim *s);

/* The clock goes on by that much. */
void sim_run(struct sim *s, uint64_t for_ms);
/* Until done says so; it fails after max_ms. */
void sim_run_until(struct sim *s, bool (*done)(struct sim *s, void *ctx), void *ctx,
                   uint64_t max_ms);
/* With SIM_TRACE in the environment: a line with the time and the node on stderr. */
void sim_trace(const struct sim *s, const struct sim_node *n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* True when it happened within max_ms. */
bool sim_wait(struct sim *s, bool (*done)(struct sim *s, void *ctx), void *ctx, uint64_t max_ms);
void sim_at(struct sim *s, struct sim_event *ev, uint64_t at_ms);
void sim_cancel(struct sim *s, struct sim_event *ev);
bool sim_fault_hits(struct sim *s, enum sim_fault_kind kind);
/* n: of which node (NULL: none). Does not return. */
_Noreturn void sim_fail(const struct sim *s, const struct sim_node *n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- torrents ------------------------------------------------------------------------------- */

struct sim_content {
    const char *name;
    uint64_t len;
    uint32_t piece_len;
    uint32_t n_files; /* 0: a single file; else files of equal length, the last takes the rest */
    bool private;
};

struct sim_torrent {
    struct list node;
    uint8_t *content;
    uint64_t len;
    uint8_t *file; /* .torrent */
    struct span info;
    struct infohash info_hash;
    struct metainfo meta;
    struct layout *layout;
    uint32_t n_pages;
};

struct sim_torrent *sim_torrent_new(struct sim *s, const struct sim_content *c);
struct sim_torrent *sim_torrent_find(struct sim *s, const struct infohash *hash);
/* Pages of a piece: [first, end). */
void sim_torrent_pages(const struct sim_torrent *t, uint32_t piece, uint32_t *first, uint32_t *end);

/* ---- nodes ---------------------------------------------------------------------------------- */

struct sim_node_spec {
    uint64_t up_bps, down_bps; /* of its line; 0: no limit */
    uint32_t latency_ms;       /* to the middle; 0: 10 */
    uint64_t disk_bps;         /* 0: no limit */
    uint32_t disk_latency_ms;
    uint64_t disk_pages;          /* room for so many; 0: no limit */
    bool lies;                    /* what it reads of its disk has a wrong byte in each block */
    bool closed;                  /* nobody can connect to it */
    bool own_tracker;             /* it announces to that as well (which is the same here) */
    const struct engine_cfg *cfg; /* NULL: the default. seed and clock are set */
};

struct sim_node {
    struct list node;
    struct sim *s;
    uint32_t index;
    struct sim_node_spec spec;
    struct engine_cfg cfg;
    struct endpoint self;
    struct peer_id peer_id;
    struct engine *e; /* NULL: down */
    bool lied;
    bool draining;
    struct map ends; /* struct sim_end by conn_id */
    struct list members;
    struct list jobs, saves, announces, scrapes; /* under way */
    uint32_t n_jobs;
    struct sim_event deadline;
    uint64_t deadline_at_ms; /* the last one, and how many came with no other input between */
    uint64_t deadline_input;
    uint32_t n_deadlines_now;
    uint64_t n_inputs;
    uint64_t checked_ms; /* when all of it was looked at */
    uint32_t n_lives;

    struct list uplink; /* struct sim_pipe with bytes that wait */
    struct sim_event uplink_event;
    uint64_t up_free_us, down_free_us;
    uint64_t sent_len, received_len; /* bytes on the wire */

    uint64_t disk_free_us, disk_last_ms, disk_barrier_ms;
    uint64_t disk_used_pages;
    uint64_t n_no_space;
    uint64_t jobs_len, jobs_len_max; /* bytes to write that are with the disk */
};

struct sim_node *sim_node_new(struct sim *s, const struct sim_node_spec *spec);
/* Power off: nothing is said to anybody. sim_node_start takes it up with what is left. */
void sim_node_crash(struct sim_node *n);
void sim_node_start(struct sim_node *n);
/* After every input. */
void sim_node_drain(struct sim_node *n);

struct sim_add {
    bool seed;      /* its disk has everything */
    bool magnet;    /* it has no metadata */
    bool tracked;   /* by the tracker */
    bool unchecked; /* a seed that is to look at its files */
    unsigned flags;
    uint64_t max_down_bps, max_up_bps;
    uint32_t max_peers, max_uploads;
    struct sim_node *const *peers; /* to begin with */
    size_t n_peers;
    struct span priorities; /* static */
    uint64_t start_delay_ms;
};

/* The pages of a disk. */
enum { PAGE_ABSENT, PAGE_RIGHT, PAGE_OTHER };

/* A torrent of a node. */
struct sim_member {
    struct list node;
    struct sim_node *n;
    struct sim_torrent *t;
    torrent_id id;
    struct sim_add add;
    struct endpoint *peers;
    bool has_info; /* the store has its metadata */
    bool emptied;  /* its files are deleted: the rest of its removal follows */
    bool removed;
    uint8_t *pages; /* as they are read */
    uint8_t *safe;  /* as they are after a crash */
    uint8_t *wanted;
    uint64_t *file_len;
    bool saved_once;
    struct torrent_saved saved; /* in the store */
    uint64_t n_saves;
    uint64_t n_blocks_taken;
};

struct sim_member *sim_add(struct sim_node *n, struct sim_torrent *t, const struct sim_add *add);
struct sim_member *sim_member_of(struct sim_node *n, torrent_id id);
struct torrent_status sim_status(struct sim_member *m);
bool sim_is_complete(struct sim_member *m);
/* All pages are there, and right. */
bool sim_disk_is_right(const struct sim_member *m);
/* sim_run_until: are all members of all nodes complete (of what they want)? */
bool sim_all_complete(struct sim *s, void *ctx);
struct sim_node *sim_node_at(struct sim *s, const struct endpoint *at);

#define SIM_FOREACH_NODE(n, s)                                                                     \
    for (struct sim_node *n = sim_next_node(s, NULL); n != NULL; n = sim_next_node(s, n))
#define SIM_FOREACH_MEMBER(m, n)                                                                   \
    for (struct sim_member *m = sim_next_member(n, NULL); m != NULL; m = sim_next_member(n, m))
struct sim_node *sim_next_node(const struct sim *s, const struct sim_node *after);
struct sim_member *sim_next_member(const struct sim_node *n, const struct sim_member *after);

#endif
