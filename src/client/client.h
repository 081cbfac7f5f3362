/* client.h: the BitTorrent client as the rest of the program uses it. Client shell: the engine on
 * sockets, disk, trackers and database.
 *
 * Order      a change is stored first; the engine changes after the commit. Nothing that was answered
 *            is lost.
 * Callbacks  a call that returns a negative code never calls back; else exactly once, later, never
 *            from inside the call.
 * Loading    until the stored torrents are in, an add waits for them, and what is not here yet is
 *            ERR_UNAVAILABLE instead of ERR_NOT_FOUND.
 * Thread     main loop only.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/assert.h"
#include "base/config.h"
#include "base/err.h"
#include "client/disk.h"
#include "client/engine.h"
#include "client/trackers.h"

struct client;
struct store;

struct client_opts {
    const struct config *cfg;
    struct store *store;
    const char *version;
    trackers_own own_announce;      /* NULL: no own tracker, or not to be used */
    trackers_own_scrape own_scrape; /* NULL likewise */
    /* Torrents that are to be on the own tracker's whitelist. listed(listed_ctx, status) exactly
     * once, also from inside the call. NULL: there is no whitelist to be on. */
    void (*own_list)(void *ctx, const struct infohash *hashes, size_t n,
                     void (*listed)(void *listed_ctx, int status), void *listed_ctx);
    void *own_ctx;
    const struct endpoint_list *own_udp;
    const struct endpoint_list *own_http;
};

/* Binds client.listen (all or nothing) and begins to load the torrents, which is tried until it
 * succeeds; what needs them waits or is told ERR_UNAVAILABLE until then. */
MUST_CHECK int client_open(struct client **out, uv_loop_t *loop, const struct client_opts *opts,
                           struct err *e);
/* Addresses of peers really bound; owned by the client. */
const struct endpoint_list *client_addresses(const struct client *c);
/* stopped to every tracker (at most CLIENT_STOP_MS), blocks to disk, state to the database; closed
 * exactly once and last. */
enum { CLIENT_STOP_MS = 5000 };
void client_close(struct client *c, void (*closed)(void *ctx), void *ctx);

/* For views; change nothing through it but what client_ has no call for. */
const struct engine *client_engine(const struct client *c);
/* Its engine's time, for views. */
uint64_t client_now_ms(const struct client *c);
struct http_client *client_http(struct client *c);
const struct disk *client_disk(const struct client *c);
void client_trackers_stats(const struct client *c, struct trackers_stats *out);

/* tell(ctx, 0) once the stored torrents are in, or why they are not yet; never from inside the call.
 * False: they are in already, and nothing is told. */
MUST_CHECK bool client_when_loaded(struct client *c, void (*tell)(void *ctx, int status),
                                   void *ctx);

struct client_add {
    session_id session;
    struct span metainfo;  /* a .torrent, or empty with magnet */
    struct span magnet;    /* a link, or empty */
    struct span save_path; /* empty: the default; relative: below that */
    unsigned flags;        /* enum torrent_flag */
    uint64_t max_down_bps;
    uint64_t max_up_bps;
    uint32_t max_peers;          /* 0: none of its own */
    uint32_t max_uploads;        /* peers that may download at the same time; 0: none of its own */
    struct span name;            /* shown until the metadata is there; empty: what magnet says */
    const struct span *trackers; /* behind those that it names, each a tier of its own */
    size_t n_trackers;
    /* A byte a file, 0..7; those it does not reach are normal. Empty: the files that the magnet names
     * (so), else all normal. */
    struct span priorities;
    bool allocate;    /* files get their space at once */
    bool memory_only; /* not stored: gone with the next start */
};

/* The result of an add. existed: it was here, and is as it was. why: static or in the err. */
typedef void (*client_added)(void *ctx, int status, const struct infohash *hash, bool existed,
                             const struct err *e);

/* ERR_MALFORMED, ERR_LIMIT (what is given is not a torrent) and others come with e and no callback.
 * ERR_DENIED (not one of the allowed folders, or not ours to write to) and ERR_INVALID (cannot be
 * used) are of the save path, which is looked at by a thread: they come with the callback, too. */
MUST_CHECK int client_add(struct client *c, const struct client_add *add, client_added done,
                          void *ctx, struct err *e);

typedef void (*client_done)(void *ctx, int status);
/* ERR_NOT_FOUND at once. done after the files are closed (with_data: gone). */
MUST_CHECK int client_remove(struct client *c, const struct infohash *hash, bool with_data,
                             client_done done, void *ctx);
/* What is asked of a torrent. */
struct client_options {
    unsigned flags;                    /* bits of enum torrent_flag */
    uint64_t max_down_bps, max_up_bps; /* 0: none of its own */
    uint32_t max_peers;                /* 0: none of its own */
    struct span priorities;            /* a byte a file, 0..7; empty: all normal */
};
/* ERR_NOT_FOUND. priorities are borrowed until the next call. */
int client_options_of(const struct client *c, const struct infohash *hash,
                      struct client_options *out);
/* What is to be changed of it. NULL, and bits that are in neither: as it is. Share mode downloads
 * nothing: TORRENT_UPLOAD_ONLY begins with TORRENT_SHARE_MODE, and ends with it unless it is set
 * here. */
struct client_change {
    unsigned set, clear; /* of the flags; a bit that is in both is set */
    const uint64_t *max_down_bps, *max_up_bps;
    const uint32_t *max_peers;
    const struct span *priorities;
};
/* Stored, then done. Changes of one torrent, and pauses, are carried out one behind the other, in the
 * order of the calls. TORRENT_SEED_MODE and TORRENT_NO_OWN_TRACKER stay as they are. ERR_NOT_FOUND;
 * ERR_INVALID: priorities that do not fit the files. */
MUST_CHECK int client_set_options(struct client *c, const struct infohash *hash,
                                  const struct client_change *change, client_done done, void *ctx);
/* The same of one flag; to resume ends a fault, too. */
MUST_CHECK int client_set_paused(struct client *c, const struct infohash *hash, bool paused,
                                 client_done done, void *ctx);

/* What the engine does not keep of a torrent. Borrowed until it is removed. */
struct client_facts {
    const char *save_path;
    struct span comment;
    struct span created_by;
    int64_t creation_unix_s;
    bool allocate;
    bool memory_only;
};
/* ERR_NOT_FOUND. */
int client_facts(const struct client *c, const struct infohash *hash, struct client_facts *out);
int client_status(const struct client *c, const struct infohash *hash, struct torrent_status *out);

/* What is stored is not all in yet: what is not here may come. */
bool client_is_loading(const struct client *c);
/* Stored torrents that this start could not use. The log names them; they cannot be added. */
size_t client_count_left_out(const struct client *c);

/* ---- sessions: ports of their own, and the torrents that use them --------------------------- */

enum { CLIENT_SESSIONS_MAX = 256 };

struct client_session_add {
    uint16_t port_first, port_last; /* the first that is free; both 0: any */
    bool memory_only;    /* not stored; its torrents that are will be of the default one */
    struct span options; /* JSON of whoever adds it, given back by client_session_of */
};
typedef void (*client_session_added)(void *ctx, int status, session_id id, const struct err *e);

/* Listens on the hosts of client.listen, TCP and UDP, before anything else. ERR_IN_USE (no port of
 * the range is free) and others come with e and no callback. */
MUST_CHECK int client_session_add(struct client *c, const struct client_session_add *add,
                                  client_session_added done, void *ctx, struct err *e);
/* With its torrents; with_data: and their files. ERR_NOT_FOUND, also for the default one. done after
 * the torrents have ended and the ports are closed. */
MUST_CHECK int client_session_remove(struct client *c, session_id id, bool with_data,
                                     client_done done, void *ctx);

/* Borrowed until it is removed. */
struct client_session {
    session_id id;
    uint16_t port_first, port_last;
    uint16_t port; /* 0: none of them was free at this start */
    bool memory_only;
    struct span options;
};
/* ERR_NOT_FOUND, also for the default one. */
int client_session_of(const struct client *c, session_id id, struct client_session *out);
/* In the order they were added: the one behind after (0: the first). False: there is none. */
bool client_session_next(const struct client *c, session_id after, struct client_session *out);
/* Likewise the torrents of a session; 0: the end. after may be gone meanwhile. */
torrent_id client_session_torrent(const struct client *c, session_id session, torrent_id after);

#endif
