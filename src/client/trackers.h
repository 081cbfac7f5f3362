/* trackers.h: carries announces and scrapes to trackers. Client shell.
 *
 * HTTP(S)   through net/http_client: replies up to 1 MiB, 3 redirects; none from a public tracker to
 *           a loopback or private address.
 * UDP       proto/udp_tracker on one socket a family of a session's address: a connection id is
 *           asked for and kept for a minute; 3 tries (4, 8, 16 s) within the announce's time. The
 *           path and query of the URL go along as BEP 41 data.
 * Own       url NULL: by the function in the options, at once. A URL that leads to this server (its
 *           listening port, and an address of this machine or the configured one) is answered by
 *           the same function, with the event none, so that there is one peer and one completed.
 * Scrape    BEP 48 over HTTP, of the URL that http_scrape_url makes; BEP 15 over UDP, without the
 *           path; of the own tracker by a function too.
 * Names     are resolved in the thread pool, never on the loop.
 * Thread    the loop's.
 */
#ifndef CLIENT_TRACKERS_H
#define CLIENT_TRACKERS_H

#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/endpoint.h"
#include "client/engine.h"

struct http_client;
struct trackers;

/* Announce to the server's own tracker, by a call: req->from is filled. Peers go to out (cap).
 * returns their number, or ERR_DENIED with *why; *reply has interval and counts. */
typedef int (*trackers_own)(void *ctx, const struct announce_req *req, struct announce_reply *reply,
                            struct endpoint *out, size_t cap, const char **why);

/* Its counts of n torrents; zeros where it has none. */
typedef void (*trackers_own_scrape)(void *ctx, const struct infohash *hashes, size_t n,
                                    struct scrape_counts *out);

struct trackers_opts {
    uv_loop_t *loop;
    struct http_client *http; /* borrowed */
    const char *user_agent;
    trackers_own own;               /* NULL: there is none */
    trackers_own_scrape own_scrape; /* likewise */
    void *own_ctx;
    struct addr own_from4; /* as whom the own tracker sees us; unspecified: not at all */
    struct addr own_from6;
    const struct endpoint_list *own_udp; /* its listening addresses; borrowed */
    const struct endpoint_list *own_http;
    /* An answer: to be given to the engine. From inside no call of the user. */
    void (*done)(void *ctx, uint64_t announce, const struct announce_result *result);
    void (*scraped)(void *ctx, uint64_t scrape, const struct scrape_result *result);
    void *ctx;
};

/* Bytes from and to trackers, without those of TCP, UDP, IP and TLS; datagrams that came. */
struct trackers_stats {
    uint64_t sent_len, received_len;
    uint64_t datagrams;
};
void trackers_stats(const struct trackers *t, struct trackers_stats *out);

struct trackers *trackers_new(const struct trackers_opts *opts);
/* source: the session's address to announce from; unspecified: the kernel's choice. a is copied,
 * its URL too. */
void trackers_announce(struct trackers *t, const struct engine_announce *a,
                       const struct addr *source4, const struct addr *source6);
/* Everything of scrape is copied. */
void trackers_scrape(struct trackers *t, const struct scrape_request *scrape,
                     const struct addr *source4, const struct addr *source6);
/* What is under way is given up without an answer; closed exactly once and last. */
void trackers_close(struct trackers *t, void (*closed)(void *ctx), void *ctx);

#endif
