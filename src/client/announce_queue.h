/* announce_queue.h: no tracker host gets a storm. Client core, pure.
 *
 * Model     torrents that have an announce due wait in a queue of their tracker's host (name and
 *           port). A host has at most ANNOUNCE_HOST_MAX under way, all together
 *           ANNOUNCE_TOTAL_MAX, and begins at most ANNOUNCE_HOST_PER_S a second. Urgent ones (stopped,
 *           completed, forced, the first of a torrent that a user just added) go in front.
 * Hosts     kept while something waits, runs or ran in the last ANNOUNCE_HOST_KEEP_MS, at most
 *           ANNOUNCE_HOSTS_MAX with their counts (for metrics); others share one row, "other".
 */
#ifndef CLIENT_ANNOUNCE_QUEUE_H
#define CLIENT_ANNOUNCE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

enum {
    ANNOUNCE_HOST_MAX = 16,
    ANNOUNCE_TOTAL_MAX = 100,
    ANNOUNCE_HOST_PER_S = 100,
    ANNOUNCE_HOST_KEEP_MS = 3600000,
    ANNOUNCE_HOSTS_MAX = 256,
};

struct announce_queue;
struct announce_host;

/* Embedded in whatever waits: zeroed at first. */
struct announce_entry {
    /* private */
    struct list node;
    struct announce_host *host;
    bool running;
    bool urgent;
};

struct announce_queue *announce_queue_new(uint64_t seed);
void announce_queue_free(struct announce_queue *q);

/* Queue it for the host of url (never NULL: the own tracker needs no queue). Nothing when it waits or runs already (urgent moves it in front). */
void announce_queue_add(struct announce_queue *q, struct announce_entry *entry, const char *url,
                        bool urgent);
/* Whatever its state: out. */
void announce_queue_remove(struct announce_queue *q, struct announce_entry *entry);
/* The next that may begin; it runs from now on. NULL: none now. */
struct announce_entry *announce_queue_next(struct announce_queue *q, uint64_t now_ms);
/* When announce_queue_next may have one that it does not have now; UINT64_MAX: not by time. */
uint64_t announce_queue_deadline_ms(const struct announce_queue *q);
void announce_queue_on_done(struct announce_queue *q, struct announce_entry *entry, bool ok,
                            uint64_t now_ms);

struct announce_host_view {
    const char *host; /* "tracker.example:443" */
    uint32_t n_waiting;
    uint32_t n_running;
    uint64_t n_ok;
    uint64_t n_failed;
};
size_t announce_queue_hosts(const struct announce_queue *q, struct announce_host_view *out,
                            size_t cap);

#endif
