/* socketio_watch.h: what has become of torrents since they were looked at last. Pure.
 *
 * Use       a round: watch_see for every torrent there is, then watch_next_gone until there is none
 *           left. The first round after watch_new only learns.
 * Memory    one entry a torrent.
 */
#ifndef API_SOCKETIO_WATCH_H
#define API_SOCKETIO_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/ids.h"

enum { WATCH_SESSION_CAP = 33 };

struct watch_facts {
    struct infohash info_hash;
    char session[WATCH_SESSION_CAP];
    unsigned state; /* any numbers */
    bool has_metadata;
    bool is_complete;
};

enum watch_event {
    WATCH_ADDED = 1 << 0, /* alone */
    WATCH_METADATA = 1 << 1,
    WATCH_FINISHED = 1 << 2,
    WATCH_STATE = 1 << 3,
};

struct watch;

struct watch *watch_new(const struct siphash_key *seed);
void watch_free(struct watch *w);

/* returns bits of enum watch_event. */
unsigned watch_see(struct watch *w, const struct watch_facts *now);
/* A torrent that was not seen in this round, and is forgotten; false ends the round. */
bool watch_next_gone(struct watch *w, struct watch_facts *out);

#endif
