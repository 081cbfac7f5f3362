/* torrents.h: the client's torrents in the database: add, remove, change, save, load.
 *
 * Callbacks  as in store.h: done exactly once after the commit (or why not), never from inside.
 * Bytes      info dictionaries, bitfields and texts are copied before the call returns.
 */
#ifndef STORE_TORRENTS_H
#define STORE_TORRENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ids.h"
#include "base/span.h"
#include "store/store.h"

struct store_tracker {
    struct span url;
    uint32_t tier;
};

/* A row, in both directions; what a call does not name is not looked at. */
struct store_torrent {
    struct infohash info_hash;
    uint32_t session; /* 0: the default one */
    struct span info; /* empty: not known yet */
    struct span name; /* of a magnet */
    struct span save_path;
    const struct store_tracker *trackers;
    size_t n_trackers;
    struct span web_seeds; /* URLs joined by '\n' */
    struct span comment;
    struct span created_by;
    int64_t creation_unix_s; /* 0: none */
    uint32_t flags;          /* of client/engine.h */
    bool allocate;
    uint64_t max_down_bps;
    uint64_t max_up_bps;
    uint32_t max_peers;
    uint32_t max_uploads;
    struct span priorities; /* a byte a file, as in client/engine.h; empty: all normal */
    int64_t added_unix_s;

    /* What changes as it runs. */
    bool checked;
    struct span bitfield;
    struct span partials; /* as client/resume encodes them */
    uint64_t total_down;
    uint64_t total_up;
    uint64_t wasted;
    uint64_t active_s;
    uint64_t finished_s;
    uint64_t seeding_s;
    int64_t completed_unix_s;
    int64_t last_seen_complete_unix_s;
    bool stop_pending;
};

/* All of it. ERR_EXISTS: the info-hash is there. */
MUST_CHECK int store_torrent_add(struct store *s, const struct store_torrent *t, store_done done,
                                 void *ctx);
/* n: 0 when it was not there. */
MUST_CHECK int store_torrent_remove(struct store *s, const struct infohash *hash,
                                    store_changed done, void *ctx);
/* n: how many of them were there. At most STORE_TORRENTS_MAX. */
enum { STORE_TORRENTS_MAX = 1 << 20 };
MUST_CHECK int store_torrents_remove(struct store *s, const struct infohash *hashes, size_t n,
                                     store_changed done, void *ctx);
/* The metadata of a magnet has come: info and name. */
MUST_CHECK int store_torrent_set_info(struct store *s, const struct infohash *hash,
                                      struct span info, store_done done, void *ctx);
/* flags, limits and priorities; and stop_pending, which this does not take back. */
MUST_CHECK int store_torrent_set_options(struct store *s, const struct store_torrent *t,
                                         store_changed done, void *ctx);
/* What changes as they run, of many in one statement; those that are gone are left out. */
MUST_CHECK int store_torrents_save(struct store *s, const struct store_torrent *torrents, size_t n,
                                   store_done done, void *ctx);

/* Sessions other than 0. */
struct store_session {
    uint32_t id; /* filled by store_session_add's answer */
    uint16_t port_first;
    uint16_t port_last;
    struct span options; /* JSON, as the API that made it needs it */
};
typedef void (*store_session_done)(void *ctx, int status, uint32_t id, const struct err *e);
MUST_CHECK int store_session_add(struct store *s, const struct store_session *session,
                                 store_session_done done, void *ctx);
/* With its torrents. */
MUST_CHECK int store_session_remove(struct store *s, uint32_t id, store_changed done, void *ctx);

/* Everything, streamed over a connection of its own (in the order added); one of these at a time:
 * ERR_IN_USE, but beside a store_load. Rows come in slices over many turns of the loop; done last.
 * One that makes no sense goes to on_unreadable (why: static), and the others come all the same. */
struct store_torrents_load {
    void (*on_session)(void *ctx, const struct store_session *session);
    void (*on_torrent)(void *ctx, const struct store_torrent *t);
    void (*on_unreadable)(void *ctx, const struct infohash *hash, const char *why);
    store_done done;
    void *ctx;
};
MUST_CHECK int store_torrents_load(struct store *s, const struct store_torrents_load *load);

#endif
