/* engine_impl.h: what the parts of the engine share. Inside of engine_*.c, torrent_*.c and resume.c.
 *
 * Who       engine*.c: connections, sessions, outputs, time, limits, the ways in and out. It knows
 *           torrents through the torrent_ calls below. torrent*.c: what a torrent does with its
 *           peers, pieces and files; it reaches out only through conn_, engine_ calls below.
 * Close     conn_close takes a connection out of everything at once (torrent_on_gone is called from
 *           inside), gives CLOSE out, and leaves the memory until the input that runs is done, so
 *           that a caller up the stack may still look at c->gone. Nobody closes inside torrent_on_gone.
 * Freed     a torrent likewise lives to the end of the input after ENGINE_OUT_REMOVED was queued.
 */
#ifndef CLIENT_ENGINE_IMPL_H
#define CLIENT_ENGINE_IMPL_H

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "client/announce_queue.h"
#include "client/announcer.h"
#include "client/candidates.h"
#include "client/choker.h"
#include "client/engine.h"
#include "client/metadata.h"
#include "client/pex.h"
#include "client/picker.h"
#include "client/rate.h"
#include "client/requests.h"

enum { SESSION_OURSELVES_MAX = 8 };

struct session {
    struct list node;
    session_id id;
    struct endpoint *listen;
    size_t n_listen;
    struct peer_id peer_id;
    uint32_t n_torrents;
    uint32_t key; /* of its announces */
    bool has_external4, has_external6;
    struct addr external4, external6;                 /* as trackers see us (BEP 24) */
    struct endpoint ourselves[SESSION_OURSELVES_MAX]; /* candidates that turned out to be us */
    size_t n_ourselves;
};

/* One connection, from the first SYN to its end. */
struct conn {
    conn_id id;
    struct engine *e;
    struct session *session;
    struct torrent *t;      /* NULL: an incoming one that has not said which */
    struct map_node by_id;  /* in engine.conns */
    struct list in_torrent; /* in torrent.conns; not linked while t is NULL */
    struct list out_node;   /* in engine.sendable: SEND is to be given out */
    struct list read_node;  /* in engine.readable: READ is to be given out; or in engine.stalled */
    struct list all_node;   /* in engine.all_conns, or engine.dead */
    struct list stranger_node; /* in engine.strangers: incoming, its handshake is not done */
    struct heap_node timer;
    bool connected;   /* else half open */
    bool ready;       /* counted in torrent.n_connected: both handshakes are done */
    bool gone;        /* conn_close was called: touch nothing but this */
    bool counted;     /* its bitfield is in the picker's counts */
    bool reading_off; /* engine_read_room said 0 and READ was not given out yet */
    enum candidate_source source;
    struct endpoint known_as; /* in torrent.candidates, where it is connected; port 0: not there */
    struct peer peer;
    struct requests requests;
    struct limiter_member down, up;
    size_t down_grant, up_grant; /* bytes that were given by a limiter's turn, and paid for */
    struct rate_meter down_rate, up_rate; /* payload */

    /* The torrent's: */
    struct pex_cursor pex;
    uint64_t turn_len; /* bytes sent since it was unchoked */
    uint64_t unchoked_ms;
    uint64_t idle_since_ms; /* neither of us is interested */
    uint64_t last_block_ms;
    uint32_t reads_len; /* bytes of its uploads that are being read from the disk */
    int8_t trust;
    bool parole;
    bool optimistic;
    bool in_log;           /* pex_log knows it */
    uint32_t super_piece;  /* super-seeding: the piece last shown to it; UINT32_MAX: none */
    uint64_t pex_ms;       /* when a PEX message to it is thought of; 0: never */
    uint64_t asked_ms;     /* it last asked for a block */
    uint32_t n_unasked;    /* blocks nobody asked it for, less those that were */
    uint32_t n_rejects;    /* in a row */
    bool greeted;          /* torrent_on_ready was called and took it */
    bool seed_counted;     /* in torrent.n_seeds, and as a seed in the picker */
    bool timed_out;        /* something that it was asked for was given up */
    bool end_game;         /* there were fewer blocks to ask it for than it could be asked for */
    enum engine_pick pick; /* why it is asked for more at the end of this input */
};

struct announce_run {
    uint64_t id; /* 0: none */
    struct announce_due due;
};

/* A torrent's wish for counts of one of its trackers. */
struct torrent_scrape {
    struct scrape_entry entry;
    struct torrent *t;
    uint32_t tracker; /* of its announcer */
};

/* A torrent's memory while it runs; an idle seed has little. */
struct torrent {
    torrent_id id;
    struct engine *e;
    struct session *session;
    struct infohash info_hash;
    struct map_node by_hash, by_id; /* in engine.by_hash, engine.by_id */
    struct list all_node;           /* in engine.torrents, in the order added */
    struct list connect_node;       /* in engine.connecting: wants peers */
    struct list save_node;          /* in engine.dirty */
    struct list ending_node;        /* in engine.ending: stops for good, or is removed */
    struct list gone_node;          /* in engine.gone: to be freed at the end of this input */
    struct heap_node timer;         /* the earliest of arm_ms, connect_ms, announcer, resume, end */
    uint64_t arm_ms;                /* torrent_arm */
    uint64_t connect_ms;            /* when a candidate may be tried again; UINT64_MAX: not */
    uint64_t end_by_ms;             /* no announce begins after it; 0: it does not end */
    unsigned flags;
    enum torrent_state state;
    enum torrent_fault fault;
    char *fault_text; /* "" is NULL */
    char *name;
    uint8_t *info; /* owned; NULL: no metadata */
    size_t info_len;
    struct metainfo meta;  /* over info */
    struct layout *layout; /* NULL: no metadata */
    struct pieces *pieces;
    struct picker *picker;     /* NULL: no metadata, or nothing more is wanted */
    struct metadata *metadata; /* while it is fetched */
    uint8_t *priorities;       /* a byte a file; NULL: all normal */
    size_t n_priorities;       /* without metadata: as many as were given */
    struct candidates *candidates;
    struct pex_log *pex_log; /* NULL: private, or nobody connected yet */
    struct announcer *announcer;
    struct announce_entry announce_entry;
    struct announce_run announcing;     /* the one under way, of the queue */
    struct announce_run announcing_own; /* to the server's own tracker, beside it */
    struct torrent_scrape scrape,
        scrape_own;    /* in engine.scraper, when announces do not tell counts */
    bool announced;    /* a tracker has named peers */
    bool one_of_many;  /* it was added with a delay: its started can wait */
    struct list conns; /* struct conn */
    uint32_t n_conns, n_connected, n_seeds, n_half_open, n_unchoked;
    uint32_t max_peers;
    uint32_t max_uploads; /* 0: none of its own */
    struct limiter_group down, up;
    struct rate_meter down_rate, up_rate, down_all_rate, up_all_rate;
    struct peer_totals session_totals;
    struct torrent_resume kept; /* totals and times from earlier lives and this one; no spans */
    uint64_t wasted_before;     /* of kept.wasted, in earlier lives */
    uint64_t failed_len;
    uint64_t redundant_len;
    uint32_t n_had;  /* of its pieces, in engine_totals.pieces_had */
    uint64_t run_ms; /* since when active, finished and seeding are counted; 0: not */
    uint64_t last_up_ms, last_down_ms;
    int64_t added_unix_s;
    uint64_t start_delay_ms;
    uint32_t choke_round;
    uint64_t choke_ms;   /* of the next round */
    uint64_t retry_ms;   /* of what failed on the disk; 0: nothing */
    uint32_t check_at;   /* the next piece to hash while checking */
    uint32_t n_jobs;     /* with the disk */
    uint32_t n_checking; /* hash jobs of a check among them */
    bool has_incoming;
    bool removing, remove_data, removed;
    bool stopping;      /* engine_stop */
    bool completed_now; /* it became complete in this life */

    /* resume.c */
    uint64_t version;        /* counts changes worth saving */
    uint64_t saved_version;  /* of what the database has */
    uint64_t saving_version; /* given out; 0: none */
    uint64_t synced_version;
    bool syncing;
    bool new_pieces;      /* since the last sync */
    uint64_t save_ms;     /* when it is due; 0: it is not planned */
    uint8_t *synced_bits; /* the bitfield as it was when the sync began; NULL: none */

    /* torrent*.c alone */
    bool online;       /* the announcer was started */
    bool check_job;    /* a DISK_CHECK is out */
    bool recheck;      /* asked for: everything is hashed, paused or not */
    bool must_hash;    /* the quick look is done; waits for its turn, or hashes */
    bool kick;         /* blocks came free: to be offered to who is asked for none */
    bool retry_job;    /* disk full: one write is out to see if there is space */
    uint32_t n_writes; /* writes, and hashes of what was written, with the disk */
    uint32_t slots;    /* of the choker */
    uint32_t super_at; /* super-seeding: the next piece to show */
    uint32_t n_verified;
    uint8_t *verified;      /* seed mode: pieces that were hashed; else NULL */
    uint64_t wanted_len;    /* bytes of wanted files, without pads */
    struct err *remove_err; /* NULL: that went well */
    int remove_status;
};

struct engine {
    struct engine_cfg cfg;
    uint64_t now_ms;
    struct rng rng;
    struct siphash_key seed;
    struct data_pool *pool;
    struct list sessions;
    struct list torrents;
    struct map by_hash, by_id, conns;
    struct list all_conns;
    struct list dead;      /* closed in this input, to be freed at its end */
    struct list gone;      /* torrents likewise */
    struct list strangers; /* incoming connections without a handshake, oldest first */
    struct list sendable, readable;
    struct list stalled;         /* connections that are not read because the disk is behind */
    struct list connecting;      /* torrents that want peers, in turns */
    struct list connecting_done; /* the same for those that have all they want */
    struct list dirty;           /* torrents to be saved */
    struct list ending;          /* torrents that say goodbye */
    struct heap timers;          /* of torrents */
    struct heap conn_timers;     /* of connections */
    struct limiter down, up;
    struct announce_queue *announces;
    struct scraper *scraper;
    struct engine_totals totals;
    struct engine_out *outs; /* a ring of those with a content */
    size_t n_outs, first_out, outs_cap;
    struct disk_job *free_jobs;
    uint64_t disk_queue_len; /* bytes to write that are with the disk */
    bool disk_full;          /* it passed the limit and did not yet fall far below it */
    uint32_t n_jobs;         /* with the disk */
    uint32_t n_checking;     /* torrents that hash: one at a time */
    uint32_t n_conns, n_half_open;
    uint32_t n_strangers;
    uint32_t n_announces;   /* queued and under way */
    uint64_t connect_us;    /* when the next attempt may begin, in microseconds */
    uint32_t connect_boost; /* attempts that need not wait for that */
    uint32_t connect_turn;  /* counts attempts: each tenth is for a torrent that is done */
    uint64_t limit_ms;      /* when a limiter has a turn to give */
    uint64_t limits_run_ms; /* when turns were given last */
    bool announces_changed; /* the queue may have somebody to begin */
    uint64_t last_id;       /* of connections, torrents and announces */
    bool stopping;
};

/* ---- engine*.c for torrents ------------------------------------------------------------------ */

/* NULL: not here (any more). */
struct conn *engine_conn(const struct engine *e, conn_id id);
struct torrent *engine_torrent(const struct engine *e, torrent_id id);
struct session *engine_session(const struct engine *e, session_id id);

/* A copy goes to the end of the outputs. */
void engine_put(struct engine *e, const struct engine_out *out);
/* Something waits in its sendq, or may be served now: SEND is given out once. */
void conn_wake(struct conn *c);
/* Bytes may be taken again (disk queue shrank): READ for those that were told no. */
void engine_wake_readers(struct engine *e);
/* See above. why: static. failed: it was of no use (counts against the candidate). */
void conn_close(struct conn *c, const char *why, bool failed);
/* The connection's deadline has changed (requests, peer): computed again by conn_rearm. */
void conn_rearm(struct conn *c);
/* Neither has anything for the other (both have all they want): closed, and true. */
bool conn_close_if_redundant(struct conn *c);
/* Ban the address from this torrent and close its connections there. */
void conn_ban(struct conn *c, const char *why);

/* A zeroed job for t; submit gives it out and counts it. When it is back and torrent_on_disk has
 * seen it, the references that are left in bufs are given up and the job is used again. */
struct disk_job *engine_job_new(struct engine *e, struct torrent *t, enum disk_op op);
void engine_job_submit(struct engine *e, struct disk_job *job);
/* What is not given out, or is back. */
void engine_job_recycle(struct engine *e, struct disk_job *job);
bool engine_disk_is_full(const struct engine *e); /* the queue is at its limit */

/* The torrent's own deadline is at_ms at the latest. There is none again when torrent_on_deadline
 * is called. */
void torrent_arm(struct torrent *t, uint64_t at_ms);
/* It wants connections (or no more): it takes turns in engine.connecting. */
void engine_want_peers(struct torrent *t, bool want);
/* The announcer of t has something due, or may have: queue it, arm for its deadline. */
void engine_announce_check(struct torrent *t);
int64_t engine_unix_s(const struct engine *e);
static inline uint64_t engine_n_blocks(uint64_t len)
{
    return (len + WIRE_BLOCK_LEN - 1) / WIRE_BLOCK_LEN;
}
/* What our handshakes of this torrent say. */
void torrent_self(const struct torrent *t, struct peer_self *out);
/* Our own address and port as peers of that family see it, for BEP 40. False: not known. */
bool torrent_own_endpoint(const struct torrent *t, bool v6, struct endpoint *out);

/* ---- engine*.c among themselves ---------------------------------------------------------------- */

enum {
    CONNECT_TIMEOUT_MS = 15000,
    CONNECT_BOOST = 30,     /* attempts at once after a tracker's first answer */
    END_MS = 5000,          /* a stop or a removal waits that long for trackers */
    STRANGERS_PER_ADDR = 8, /* connections of one address without a handshake */
    STRANGERS_MIN = 8,      /* ... of all, however small max_peers is */
    READ_LEN_MAX = 1 << 18, /* bytes that one read may take */
};

/* The time of an input; its end: what has died is freed, the next turn of the limits is known. */
void engine_begin(struct engine *e, uint64_t now_ms);
void engine_end(struct engine *e);

struct conn *conn_new(struct engine *e, struct session *s, const struct endpoint *remote,
                      bool incoming);
/* Its peer, at the beginning of the connection. */
void conn_begin_peer(struct conn *c, bool incoming, const struct endpoint *remote);
/* It belongs to t from now on. */
void conn_join(struct conn *c, struct torrent *t);
/* conn_close; tell: the shell does not know yet. */
void conn_drop(struct conn *c, const char *why, bool failed, bool tell);
/* A connection, or an attempt at one, has ended with that code. */
void engine_count_end(struct engine *e, int why);
/* Our handshake goes out. */
void conn_start(struct conn *c);
void conn_on_deadline(struct conn *c);
/* READ is to be given out for it. */
void conn_wake_reader(struct conn *c);
void conns_free_dead(struct engine *e);

/* One event of a peer. Negative: close it, *why. */
int conn_on_event(struct conn *c, const struct peer_event *ev, const char **why);

void limits_run(struct engine *e);
uint64_t limits_deadline_ms(struct engine *e);

void connect_run(struct engine *e);
uint64_t connect_deadline_ms(const struct engine *e);

void announce_run(struct engine *e);
/* When the announcer has something to say that is not queued or under way. */
uint64_t announce_deadline_ms(const struct torrent *t);
/* What waits is taken back, what is under way is waited for no longer. */
void announce_forget(struct torrent *t);

/* Its announcer has changed: are counts wanted, and from whom? */
void scrape_check(struct torrent *t);
void scrape_forget(struct torrent *t);
void scrape_run(struct engine *e);

/* The torrent's heap node is placed anew. */
void torrent_rearm(struct torrent *t);
/* Is it over? Then it is told, and freed when it is to be removed. */
void engine_check_end(struct torrent *t);
/* 1 when the session does not listen: an announce must have one. */
uint16_t session_port(const struct session *s);

/* ---- torrent*.c for the engine ----------------------------------------------------------------- */

/* Not linked into the engine yet. NULL with *why (ERR_MALFORMED). */
struct torrent *torrent_new(struct engine *e, const struct torrent_add *add, const char **why);
/* No connection, job or announce may be left. */
void torrent_free(struct torrent *t);
/* First thing after it is linked: check, fetch metadata, download or seed; or stay paused. */
void torrent_begin(struct torrent *t);
void torrent_pause(struct torrent *t);   /* also for stop and remove; sets no flag */
void torrent_unpause(struct torrent *t); /* clears a fault as well */
void torrent_recheck(struct torrent *t);
void torrent_remove(struct torrent *t, bool with_data);
void torrent_set_flags(struct torrent *t, unsigned set, unsigned clear);
int torrent_set_priorities(struct torrent *t, struct span priorities);
/* Running, or paused (asked to, faulty, stopping)? */
bool torrent_is_running(const struct torrent *t);
/* Would one more connection be of use, and is it within its limits? */
bool torrent_wants_peers(const struct torrent *t);
/* The handshakes are done: greet, count, first interest. Negative: close, *why. */
int torrent_on_ready(struct conn *c, const char **why);
/* Any other event of a peer that is ready. Negative: close, *why. */
int torrent_on_event(struct conn *c, const struct peer_event *ev, const char **why);
/* c leaves (it may never have become ready): requests and counts are given back. */
void torrent_on_gone(struct conn *c);
/* c's sendq has room: read more of what it asked for. */
void torrent_on_room(struct conn *c);
/* c may be asked for more (after blocks came, or the disk has room again, ...). */
void torrent_refill(struct conn *c, enum engine_pick why);
/* Requests of c that timed out, PEX that is due, and the like. */
void torrent_on_conn_deadline(struct conn *c);
uint64_t torrent_conn_deadline_ms(const struct conn *c);
void torrent_on_disk(struct torrent *t, struct disk_job *job); /* not SYNC, CLOSE of resume.c */
void torrent_on_deadline(struct torrent *t);
/* An answer of a tracker named peers; and what else changes by one (seeds seen). */
void torrent_on_announced(struct torrent *t, const struct announce_result *r);
/* A tracker was told stopped, or cannot be: a paused torrent may owe it to nobody any more. */
void torrent_on_stop_told(struct torrent *t);
/* Bytes of a file that are there. */
uint64_t torrent_file_done(const struct torrent *t, uint32_t file);
uint64_t torrent_wanted_len(const struct torrent *t);
uint64_t torrent_wanted_done_len(const struct torrent *t);
uint64_t torrent_left_len(const struct torrent *t); /* as a tracker is told */
/* More of its pieces are there: engine_totals.pieces_had. */
void torrent_count_had(struct torrent *t);
/* Bring kept.active_s and the like up to now. */
void torrent_count_time(struct torrent *t);

/* ---- resume.c ------------------------------------------------------------------------------------ */

enum { SAVE_INTERVAL_MS = 8000, SAVE_RETRY_MS = 5000 };

/* Something worth keeping has changed; pieces: a piece was finished (needs a sync first). urgent:
 * as soon as possible (pause, complete, stop). */
void resume_touch(struct torrent *t, bool pieces, bool urgent);
uint64_t resume_deadline_ms(const struct torrent *t);
void resume_on_deadline(struct torrent *t);
void resume_on_synced(struct torrent *t, struct disk_job *job);
void resume_on_saved(struct torrent *t, uint64_t version, int status);
/* Nothing to save, nothing being saved. */
bool resume_is_clean(const struct torrent *t);

#endif
