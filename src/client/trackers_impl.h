/* trackers_impl.h: what the parts of trackers share. Private to client/trackers*.c and their test. */
#ifndef CLIENT_TRACKERS_IMPL_H
#define CLIENT_TRACKERS_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/config.h"
#include "base/list.h"
#include "client/trackers.h"
#include "net/http_client.h"
#include "net/resolve.h"
#include "proto/udp_tracker.h"

enum {
    TRACKER_PEERS_MAX = 2000, /* of one answer */
    UDP_TRIES = 3,
    UDP_SOURCES_MAX = 64,
    UDP_HOSTS_MAX = 256, /* whose connection ids are kept */
    UDP_DATAGRAM_MAX = 65536,
};

enum call_state {
    CALL_OWN,    /* the server's own tracker is asked in the next turn */
    CALL_FAILED, /* why is told in the next turn */
    CALL_RESOLVING,
    CALL_HTTP,
    CALL_CONNECTING, /* UDP: a connection id is asked for */
    CALL_ASKING,     /* UDP: for what the call is about */
};

/* Where a URL leads. Spans are borrowed from it. */
struct tracker_url {
    bool udp;
    struct span host;
    uint16_t port;
    struct span path; /* with its query; without what is behind a "#" */
};

/* One announce or scrape under way. */
struct call {
    struct trackers *trackers;
    struct list node;
    enum call_state state;
    uint64_t id;
    char *url; /* NULL: the own one */
    struct tracker_url where;
    struct announce_req req;
    struct infohash *hashes; /* of a scrape; NULL: an announce */
    size_t n_hashes;
    uint32_t key;
    uint64_t deadline_ms;
    struct addr source4;
    struct addr source6;
    bool alias;      /* own, by its URL */
    const char *why; /* CALL_FAILED */
    struct resolve *resolve;

    struct http_get *http;
    bool seen_public; /* a hop was neither loopback nor private */
    bool tried4;      /* both families have a source of their own, and this one failed */

    struct udp_source *source;
    struct endpoint to[RESOLVE_MAX];
    size_t n_to;
    size_t at; /* which of them is asked */
    uint32_t transaction_id;
    unsigned n_tries;
    bool id_was_kept;
    uint64_t retry_ms; /* when the next try is due */
};

/* A UDP socket bound to an address that is announced from. */
struct udp_source {
    struct trackers *trackers;
    struct list node;
    struct addr addr;
    uv_udp_t udp;
};

/* A connection id, as one tracker gave it to one source. */
struct udp_host {
    struct list node; /* the one used longest ago first */
    struct udp_source *source;
    struct endpoint at;
    uint64_t connection_id;
    uint64_t expires_ms;
};

struct trackers {
    struct trackers_opts opts;
    struct list calls;
    struct list sources;
    struct list hosts;
    size_t n_sources;
    size_t n_hosts;
    uv_timer_t timer;
    size_t open_handles;
    struct trackers_stats stats;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
    struct rng rng;
    uint64_t udp_retry_ms[UDP_TRIES];
    struct scrape_answer answers[SCRAPE_MAX]; /* of the scrape that is being told */
    struct endpoint peers[TRACKER_PEERS_MAX]; /* of the answer that is being told */
    uint8_t room[TRACKER_PEERS_MAX * COMPACT6_LEN];
    uint8_t datagram[UDP_DATAGRAM_MAX];
};

/* Tell it and forget it. result->peers may be t->peers. */
void tracker_call_finish(struct call *c, const struct announce_result *result);
/* The same for a scrape. result->answers may be t->answers. */
void tracker_call_finish_scrape(struct call *c, const struct scrape_result *result);
/* There is no answer; refused: why is the tracker's own word. */
void tracker_call_fail(struct call *c, struct span why, bool refused, int32_t retry_in_min);
/* tracker_call_fail in the next turn, for a static text. */
void tracker_call_fail_later(struct call *c, const char *why);
void trackers_arm(struct trackers *t);
/* Peers in wire form behind those that are in t->peers already; returns their new number. */
size_t trackers_add_peers(struct trackers *t, size_t n, struct span wire, bool v6);

void trackers_http_start(struct call *c);
/* May this address be connected to, after those that were asked about before? */
bool tracker_call_allows(struct call *c, const struct addr *addr, bool first);

/* c->to is filled. */
void trackers_udp_start(struct call *c);
void trackers_udp_on_deadline(struct call *c, uint64_t now_ms);
void trackers_udp_close(struct trackers *t);
void trackers_on_handle_closed(struct trackers *t);

#endif
