/* client_impl.h: what the parts of the client's shell share. Inside of client_*.c.
 *
 * Parts     client.c: open and close · client_net.c: connections · client_ports.c: what sessions
 *           listen on · client_sessions.c: add, remove · client_out.c: what the engine wants done ·
 *           client_torrents.c, client_add.c, client_path.c: add, remove · client_options.c: flags,
 *           limits, priorities, pause · client_load.c, client_save.c, client_list.c: database.
 * Record    a torrent as the shell knows it, from the moment its add is accepted to the end of its
 *           removal. The engine has it in RECORD_LIVE and RECORD_REMOVING only. It counts in its
 *           session, which ends after its last record.
 */
#ifndef CLIENT_CLIENT_IMPL_H
#define CLIENT_CLIENT_IMPL_H

#include <limits.h>

#include "base/list.h"
#include "base/map.h"
#include "client/client.h"
#include "net/http_client.h"
#include "net/job.h"
#include "net/stream.h"
#include "store/torrents.h"

enum { READ_LEN = 1 << 18, SAVE_BATCH = 256, INFO_RETRY_MS = 5000 };

enum record_state {
    RECORD_ADDING, /* not committed yet */
    RECORD_LIVE,
    RECORD_REMOVING, /* committed */
};

struct session_net;

struct record {
    struct client *c;
    struct session_net *session;
    struct list in_session; /* in session.torrents, while the engine has it */
    struct infohash info_hash;
    struct map_node by_hash; /* in client.records */
    struct map_node by_id;   /* in client.records_by_id, while the engine has it */
    torrent_id id;
    enum record_state state;
    char *save_path;
    uint8_t *texts; /* comment, then created_by */
    uint32_t comment_len;
    uint32_t created_by_len;
    int64_t creation_unix_s;
    bool allocate;
    bool has_storage;
    bool memory_only;           /* the database does not have it */
    bool info_unsaved;          /* metadata came from peers and is not in the database yet */
    bool unlisted;              /* the own tracker's whitelist may not have it */
    struct list waiting;        /* struct add_op: adds of it that came meanwhile */
    struct change *changing;    /* options that are being stored */
    struct remove_op *removing; /* to be answered when the engine has let go of it */
};

/* One port that peers connect to. */
struct port {
    struct list node; /* in session.ports, until it closes */
    struct session_net *session;
    struct stream_listener *listener;
    int udp_fd; /* -1: none */
};

enum session_state {
    SESSION_ADDING, /* not committed yet, and without a number */
    SESSION_LIVE,
    SESSION_REMOVING, /* committed: until its torrents have ended */
    SESSION_CLOSING,  /* in no list any more: until its ports are closed */
};

struct session_net {
    struct list node; /* in client.sessions, but for SESSION_CLOSING */
    struct client *c;
    session_id id;
    enum session_state state;
    uint16_t port_first, port_last; /* as asked for */
    bool memory_only;
    uint8_t *options; /* JSON; options_len bytes */
    size_t options_len;
    struct endpoint_list listen;  /* really bound */
    struct addr source4, source6; /* unspecified: the kernel chooses */
    struct list ports;
    unsigned n_ports;     /* that are not closed yet */
    struct list torrents; /* struct record, as they came into the engine */
    size_t n_records;     /* with those that are not in it */
    unsigned n_leaving;   /* removals of it on their way to the database: nothing is added to it */
    struct session_remove_op *removing; /* to be answered when it is gone */
};

/* A connection of the engine on its socket. */
struct link {
    struct stream stream;
    struct client *c;
    conn_id id;
    struct map_node by_id; /* in client.links; not linked once it closes */
};

struct client {
    uv_loop_t *loop;
    struct client_opts opts;
    struct engine *engine;
    struct disk *disk;
    struct http_client *http;
    struct trackers *trackers;
    uv_timer_t timer;      /* engine_deadline_ms */
    uv_timer_t stop_timer; /* the end of the patience while closing */
    uint64_t armed_ms;     /* of timer; UINT64_MAX: not */
    char *download_dir;
    char *user_agent;
    struct list sessions;
    session_id last_memory_id; /* of the sessions that are not stored */
    struct map links;
    struct map records;
    struct map records_by_id;
    bool draining;
    uint8_t *read_to; /* READ_LEN bytes */

    /* saving */
    torrent_id *unsaved; /* what the engine wants stored */
    uint64_t *unsaved_versions;
    size_t n_unsaved, unsaved_cap;
    bool saving;
    uv_timer_t info_timer;
    uv_timer_t list_timer; /* the whitelist is tried again */

    /* loading */
    uv_timer_t load_timer; /* the next try */
    bool loading;
    struct list held;    /* who waits for the end of it */
    struct map left_out; /* stored, and of no use */

    /* closing */
    void (*closed)(void *ctx);
    void *closed_ctx;
    bool stopped; /* the engine is done, or we do not wait any longer */
    unsigned open_parts;
    unsigned n_calls; /* of the store and the own tracker, that will call back */
    unsigned n_jobs;  /* with the disk */
    unsigned n_links; /* sockets that are not closed yet */
};

/* client.c */
/* Something that closing waits for has ended. */
void client_check_closed(struct client *c);
/* Calls run(ctx) in the next turn of the loop; closing waits for it. */
void client_later(struct client *c, void (*run)(void *ctx), void *ctx);

/* client_out.c: do what the engine wants, until it wants nothing; arm the timer. Call after every
 * input to the engine. */
void client_drain(struct client *c);
void client_on_disk_done(void *ctx, struct disk_job *job);
void client_on_announced(void *ctx, uint64_t announce, const struct announce_result *result);
void client_on_scraped(void *ctx, uint64_t scrape, const struct scrape_result *result);

/* client_ports.c */
/* All of these addresses or none. udp: with the same ports of UDP. */
MUST_CHECK int session_bind(struct session_net *s, const struct endpoint *listen, size_t n,
                            bool udp, struct err *e);
/* On the hosts of client.listen, by what was asked for. ERR_IN_USE: no port is free. */
MUST_CHECK int session_bind_range(struct session_net *s, struct err *e);
void session_unbind(struct session_net *s);
/* The first port that is bound; 0: none. */
uint16_t session_bound_port(const struct session_net *s);

/* client_sessions.c */
struct session_net *session_new(struct client *c, enum session_state state);
/* Goes when its ports are closed. */
void session_close(struct session_net *s);
/* A port of it has closed. */
void session_on_port_closed(struct session_net *s);
/* A record of it is gone. */
void session_on_record_gone(struct session_net *s);
/* One that has its number; NULL: none. */
struct session_net *session_find(const struct client *c, session_id id);
void session_set_options(struct session_net *s, struct span options);
/* Nobody waits any longer for sessions to end. */
void sessions_give_up_removing(struct client *c);
/* At the end of the client, when their ports are closed. */
void sessions_free(struct client *c);

/* client.c: tell the engine of it. */
void session_start(struct session_net *s);

/* client_net.c */
/* A connection that came in by a port of the session. */
void link_accept(struct session_net *s, int fd, const struct endpoint *peer);
void link_connect(struct client *c, const struct engine_out *out);
void link_send(struct client *c, conn_id id);
void link_read(struct client *c, conn_id id);
void link_close(struct client *c, const struct engine_out *out);
void links_close(struct client *c);

/* client_torrents.c */
struct record *record_new(struct session_net *s, const struct infohash *hash);
void record_free(struct record *r);
struct record *record_of_id(const struct client *c, torrent_id id);
struct record *record_of_hash(const struct client *c, const struct infohash *hash);
/* The record of a torrent that can be acted on, or NULL: client_not_here says why. */
struct record *record_live(const struct client *c, const struct infohash *hash);
int client_not_here(const struct client *c);
/* The facts of a row; its texts are copied. */
void record_set_facts(struct record *r, const struct store_torrent *t);
/* Give it to the engine and, with metadata, to the disk. 0 or why not. */
MUST_CHECK int record_start(struct record *r, const struct torrent_add *add, const char **why);
void record_on_metadata(struct record *r);
void record_on_removed(struct record *r, const struct engine_out *out);
/* Nobody waits any longer for files to go: what is left of them stays. */
void records_give_up_removing(struct client *c);

/* client_add.c */
/* Those that wait for the end of the record's add or removal, into out. */
void record_take_waiting(struct record *r, struct list *out);
/* What was removed has gone: the first of those that waited for it begins, and the others wait for
 * that one. */
void client_add_waiting(struct client *c, struct list *waiting);

/* client_path.c */
/* A save path on its way to a thread that looks at it; the caller's until done. */
struct path_check {
    struct job job;
    struct client *c;
    void (*done)(struct path_check *p);
    const char *const *allowed; /* folders; they stay as they are while the client is there */
    size_t n_allowed;
    char path[PATH_MAX];
    char resolved[PATH_MAX];
    int status; /* 0: resolved is there and can be used; ERR_DENIED or ERR_INVALID with err */
    struct err err;
};
/* given: as in struct client_add. ERR_INVALID with e: it is no path, and done is not called. */
MUST_CHECK int path_check_start(struct path_check *p, struct client *c, struct span given,
                                void (*done)(struct path_check *p), struct err *e);

/* client_load.c */
void client_load(struct client *c);
/* To all who wait. */
void client_tell_loaded(struct client *c, int status);
/* Is it stored in a way that nobody understands? */
bool client_leaves_out(const struct client *c, const struct infohash *hash);
void client_forget_left_out(struct client *c);

/* client_list.c */
/* Those that may not be on the own tracker's whitelist. c may be gone behind it. */
void client_list(struct client *c);
/* It could not be put there: again in some seconds. */
void client_list_later(struct record *r);

/* client_save.c */
void client_want_save(struct client *c, torrent_id id, uint64_t version);
void client_save_next(struct client *c);
/* The info dictionary of a magnet: tried until it is stored. */
void client_save_info(struct record *r);

#endif
