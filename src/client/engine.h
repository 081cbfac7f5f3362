/* engine.h: the BitTorrent client as decisions: bytes, events and the time in; connections, sends,
 * disk jobs, announces and saves out. Client core: no I/O, no clock, no globals.
 *
 * Model     sessions (listening addresses, a peer id) hold torrents, torrents hold peers. One engine
 *           has all of them, with one set of limits and counters.
 * Driving   after every input: while (engine_next_out(e, &out)) do what it says; then arm one timer
 *           to engine_deadline_ms and call engine_on_deadline. The engine never calls back.
 * Time      now_ms is monotonic and never smaller than in the call before.
 * Ids       connections and torrents are numbers that are never used twice: an input about one that
 *           is gone is ignored.
 * Close     engine_stop: every torrent says stopped to its trackers and saves; engine_is_idle when
 *           all is done. engine_free at any time.
 */
#ifndef CLIENT_ENGINE_H
#define CLIENT_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/assert.h"
#include "base/endpoint.h"
#include "base/err.h"
#include "base/ids.h"
#include "base/span.h"
#include "client/announcer.h"
#include "client/candidates.h"
#include "client/disk_job.h"
#include "client/layout.h"
#include "client/peer.h"
#include "client/picker.h"
#include "client/scraper.h"

struct engine;

typedef uint32_t session_id; /* the database's; 0 is the default session */

struct engine_cfg {
    uint32_t max_peers; /* connections, all together */
    uint32_t max_peers_per_torrent;
    uint32_t max_half_open; /* outgoing that are not connected yet */
    uint32_t connects_per_s;
    uint64_t max_down_bps; /* 0: no limit */
    uint64_t max_up_bps;
    size_t max_disk_queue_len; /* bytes given to the disk and not back: beyond, no reading */
    bool pex;
    bool announce_to_own_tracker;
    const char *version; /* "Rookery 0.1.0", static */
    uint64_t seed;
    int64_t unix_ms_at_zero; /* wall clock minus now_ms */
};

/* 2000 and 200 peers, 100 half open, 30 connects a second, no rate limits, 64 MiB of disk queue. */
extern const struct engine_cfg engine_cfg_default;

struct engine *engine_new(const struct engine_cfg *cfg, uint64_t now_ms);
/* Nothing more is said to trackers or saved. Jobs that are out are given back before (buffers in
 * them are the engine's). */
void engine_free(struct engine *e);

/* ---- sessions and torrents ------------------------------------------------------------------ */

struct session_add {
    session_id id;
    const struct endpoint *listen; /* really bound, with their ports; copied */
    size_t n_listen;               /* 0: incoming connections are off */
    struct peer_id peer_id;
};
void engine_add_session(struct engine *e, const struct session_add *add);
/* It must have no torrents. */
void engine_remove_session(struct engine *e, session_id id);

struct torrent_tracker {
    struct span url;
    uint32_t tier;
};

/* A piece under way, as it was saved: bitmap of its written blocks. */
struct torrent_partial {
    uint32_t piece;
    struct span written;
};

/* What is worth keeping of a torrent's life; times are since 1970 or lengths. */
struct torrent_resume {
    bool checked;         /* bitfield is to be believed (else the files are looked at first) */
    struct span bitfield; /* empty: no piece */
    const struct torrent_partial *partials;
    size_t n_partials;
    uint64_t total_down; /* bytes of payload, ever */
    uint64_t total_up;
    uint64_t wasted; /* bytes: not asked for, twice, or of bad pieces */
    uint64_t active_s;
    uint64_t finished_s;
    uint64_t seeding_s;
    int64_t completed_unix_s; /* 0: never */
    int64_t last_seen_complete_unix_s;
    bool stop_pending; /* a stopped event could not be sent: to be made good at the next start */
};

enum torrent_flag {
    TORRENT_PAUSED = 1 << 0,
    TORRENT_SEQUENTIAL = 1 << 1,
    TORRENT_FIRST_LAST = 1 << 2,
    TORRENT_SUPER_SEEDING = 1 << 3,
    TORRENT_UPLOAD_ONLY = 1 << 4, /* asked for: downloads nothing */
    TORRENT_SEED_MODE = 1 << 5,   /* believed complete; a piece is hashed when it is first read */
    TORRENT_NO_PEX = 1 << 6,
    TORRENT_NO_OWN_TRACKER = 1 << 7, /* not announced to the server's own tracker */
    /* Kept for those who ask for them; they change nothing here. */
    TORRENT_AUTO_MANAGED = 1 << 8,
    TORRENT_SHARE_MODE = 1 << 9,
    /* Files that priorities do not reach are not wanted (BEP 53: so), if one of those they name is in
     * the torrent; else there is nothing to choose, and all files are normal. */
    TORRENT_REST_SKIPPED = 1 << 10,
};

/* Everything is copied. */
struct torrent_add {
    struct infohash info_hash;
    session_id session;
    struct span info; /* the info dictionary; empty: to be fetched from peers */
    struct span name; /* shown until the metadata is there */
    const struct torrent_tracker *trackers;
    size_t n_trackers;
    const struct endpoint *peers; /* to begin with (x.pe) */
    size_t n_peers;
    unsigned flags;        /* bits of enum torrent_flag */
    uint64_t max_down_bps; /* 0: none of its own */
    uint64_t max_up_bps;
    uint32_t max_peers;   /* 0: none of its own */
    uint32_t max_uploads; /* unchoked peers; 0: none of its own */
    /* A byte a file, 0..7, as far as it reaches: the rest is normal (TORRENT_REST_SKIPPED: it is not),
     * what is beyond the last file is ignored. Empty: all normal. */
    struct span priorities;
    int64_t added_unix_s;
    const struct torrent_resume *resume; /* NULL: new */
    uint64_t start_delay_ms;             /* announces begin that much later at the soonest */
};

/* Take it in and begin. Its layout (engine_layout) is known to the caller before its first
 * disk job comes out. ERR_EXISTS with *out the one there is; ERR_MALFORMED with *why for the info
 * dictionary (its hash included), priorities or resume that do not fit. */
MUST_CHECK int engine_add_torrent(struct engine *e, const struct torrent_add *add, torrent_id *out,
                                  uint64_t now_ms, const char **why);

/* Stop it, send stopped, close (with_data: delete) its files; ENGINE_OUT_REMOVED at the end. */
void engine_remove_torrent(struct engine *e, torrent_id id, bool with_data, uint64_t now_ms);

/* 0: not here. */
torrent_id engine_find(const struct engine *e, const struct infohash *info_hash);
/* All of them in the order they were added: the first behind `after` (0: from the start); 0: end. */
torrent_id engine_next_torrent(const struct engine *e, torrent_id after);

void engine_pause(struct engine *e, torrent_id id, uint64_t now_ms);
void engine_resume(struct engine *e, torrent_id id, uint64_t now_ms);
/* Hash everything again. */
void engine_recheck(struct engine *e, torrent_id id, uint64_t now_ms);
/* Ask the trackers now. */
void engine_announce(struct engine *e, torrent_id id, uint64_t now_ms);
void engine_set_flags(struct engine *e, torrent_id id, unsigned set, unsigned clear,
                      uint64_t now_ms);
void engine_set_limits(struct engine *e, torrent_id id, uint64_t max_down_bps, uint64_t max_up_bps,
                       uint32_t max_peers, uint64_t now_ms);
/* A byte a file, 0..7. ERR_INVALID: not as many as there are files; without metadata that is none:
 * what was asked for when it was added is forgotten. ERR_NOT_FOUND. */
MUST_CHECK int engine_set_priorities(struct engine *e, torrent_id id, struct span priorities,
                                     uint64_t now_ms);
void engine_set_rates(struct engine *e, uint64_t max_down_bps, uint64_t max_up_bps,
                      uint64_t now_ms);
void engine_add_peer(struct engine *e, torrent_id id, const struct endpoint *peer, uint64_t now_ms);

/* Everything says stopped and is saved; no new connections. */
void engine_stop(struct engine *e, uint64_t now_ms);
/* Nothing is connected, with the disk, being announced or to be saved. */
bool engine_is_idle(const struct engine *e);

/* ---- inputs --------------------------------------------------------------------------------- */

/* Somebody connected to a session's port. Its connection from now on; 0: refused, close it. */
conn_id engine_on_accept(struct engine *e, session_id session, const struct endpoint *remote,
                         uint64_t now_ms);
/* What became of ENGINE_OUT_CONNECT: status 0 or ERR_*. */
void engine_on_connected(struct engine *e, conn_id conn, int status, uint64_t now_ms);
/* How many bytes may be read from it now; 0: not until ENGINE_OUT_READ. Ask before each read. */
size_t engine_read_room(struct engine *e, conn_id conn, uint64_t now_ms);
void engine_on_bytes(struct engine *e, conn_id conn, struct span bytes, uint64_t now_ms);
/* The peer has ended it, or it broke. Not after ENGINE_OUT_CLOSE. */
void engine_on_closed(struct engine *e, conn_id conn, int why, uint64_t now_ms);
/* What is to be sent to it next: parts, borrowed until the next call on e. 0: nothing. */
size_t engine_send_iov(struct engine *e, conn_id conn, struct iovec *out, size_t cap,
                       uint64_t now_ms);
/* n bytes of that have gone. When not all of it did, call again once the socket takes more. */
void engine_on_sent(struct engine *e, conn_id conn, size_t n, uint64_t now_ms);

/* A job is done; it is the engine's again. */
void engine_on_disk(struct engine *e, struct disk_job *job, uint64_t now_ms);

/* What a tracker said. peers: those it named. */
struct announce_result {
    struct announce_outcome outcome;
    const struct endpoint *peers;
    size_t n_peers;
    bool has_external_ip; /* BEP 24 */
    struct addr external_ip;
};
void engine_on_announced(struct engine *e, uint64_t announce, const struct announce_result *result,
                         uint64_t now_ms);
/* The answers are to the hashes of ENGINE_OUT_SCRAPE, in their order. */
void engine_on_scraped(struct engine *e, uint64_t scrape, const struct scrape_result *result,
                       uint64_t now_ms);
/* The state given out with ENGINE_OUT_SAVE is stored (0), or is not (ERR_*: tried again). */
void engine_on_saved(struct engine *e, torrent_id id, uint64_t version, int status,
                     uint64_t now_ms);

/* UINT64_MAX: never. */
uint64_t engine_deadline_ms(const struct engine *e);
void engine_on_deadline(struct engine *e, uint64_t now_ms);

/* ---- outputs -------------------------------------------------------------------------------- */

enum engine_out_kind {
    ENGINE_OUT_CONNECT,  /* conn to remote, from an address of session; engine_on_connected */
    ENGINE_OUT_SEND,     /* conn has something to send: engine_send_iov */
    ENGINE_OUT_READ,     /* conn may be read again: engine_read_room */
    ENGINE_OUT_CLOSE,    /* conn is over; nothing more about it; why is a static text */
    ENGINE_OUT_DISK,     /* job */
    ENGINE_OUT_ANNOUNCE, /* announce: engine_on_announced */
    ENGINE_OUT_SCRAPE,   /* scrape: engine_on_scraped */
    ENGINE_OUT_SAVE,     /* engine_resume_of(torrent) is worth storing: engine_on_saved */
    ENGINE_OUT_METADATA, /* torrent has its info dictionary now: its layout is known */
    ENGINE_OUT_REMOVED,  /* torrent is gone, status: of its files */
};

struct engine_announce {
    uint64_t id;
    session_id session;
    const char *url;         /* NULL: the server's own tracker. Borrowed until the next input */
    struct announce_req req; /* key and from are empty */
    uint32_t key;            /* the client's own random number */
    uint32_t timeout_ms;
};

struct engine_out {
    enum engine_out_kind kind;
    conn_id conn;
    torrent_id torrent;
    session_id session;
    struct endpoint remote;
    struct disk_job *job;
    struct engine_announce announce;
    struct scrape_request scrape;
    uint64_t version; /* SAVE */
    int status;       /* REMOVED */
    struct err err;   /* REMOVED, when status is not 0 */
    const char *why;  /* CLOSE */
};

bool engine_next_out(struct engine *e, struct engine_out *out);

/* ---- views ---------------------------------------------------------------------------------- */

enum torrent_state {
    TORRENT_QUEUED_CHECK,
    TORRENT_CHECKING,
    TORRENT_METADATA, /* fetching it */
    TORRENT_DOWNLOADING,
    TORRENT_FINISHED, /* all that is wanted is there, but not all there is */
    TORRENT_SEEDING,
};
enum { TORRENT_N_STATES = TORRENT_SEEDING + 1 };

/* Why it does not go on; error says it in words. */
enum torrent_fault {
    FAULT_NONE,
    FAULT_DISK_FULL, /* downloading waits, seeding goes on */
    FAULT_MISSING,   /* files or the save path are not there: heals when they are back */
    FAULT_DISK,      /* another error of the disk: until it is resumed */
};

struct torrent_status {
    torrent_id id;
    struct infohash info_hash;
    session_id session;
    enum torrent_state state;
    enum torrent_fault fault;
    unsigned flags;
    const char *name;  /* borrowed; UTF-8 */
    const char *error; /* "" when all is well; of the disk, else of the trackers when all fail */
    bool has_metadata;
    bool private;
    bool has_incoming;                 /* a peer has connected to us */
    double progress;                   /* 0..1, of what is wanted; of checking while it checks */
    uint64_t down_bps, up_bps;         /* payload */
    uint64_t down_all_bps, up_all_bps; /* with everything on the wire */
    uint64_t session_down, session_up; /* payload bytes since this start */
    uint64_t session_down_all, session_up_all;
    uint64_t session_wasted;       /* of wasted, since this start */
    uint64_t total_down, total_up; /* payload bytes ever */
    uint64_t wasted, failed_len;   /* bytes: redundant; of pieces with a bad hash */
    uint64_t redundant_len;        /* bytes of blocks that were of no use, since this start */
    uint64_t total_len, wanted_len, done_len, wanted_done_len;
    uint32_t n_pieces, n_pieces_have, piece_len, n_files;
    uint32_t n_peers, n_seeds; /* connected */
    uint32_t n_half_open;
    uint32_t n_unchoked, n_interested;                                /* by us; in us */
    uint32_t n_candidates, n_candidate_seeds, n_known, n_known_seeds; /* known: with connected */
    int64_t n_complete, n_incomplete, n_downloaded; /* from trackers; -1 not known */
    double copies;                                  /* distributed; -1 not known */
    int64_t added_unix_s, completed_unix_s, last_seen_complete_unix_s; /* 0 never */
    int64_t since_up_s, since_down_s;                                  /* -1 never */
    int64_t since_counts_s; /* n_complete and the like came, by announce or scrape; -1 never */
    uint64_t active_s, finished_s, seeding_s;
    int64_t next_announce_s; /* -1: none planned */
    const char *tracker;     /* the URL that worked last; "" */
    uint64_t max_down_bps, max_up_bps;
    uint32_t max_peers;
    uint32_t max_uploads;
    uint32_t n_uploads; /* slots in use */
    bool unsaved;       /* something of it is to be stored */
};
/* ERR_NOT_FOUND. */
int engine_status(const struct engine *e, torrent_id id, struct torrent_status *out,
                  uint64_t now_ms);

/* NULL without metadata. Borrowed until the torrent is gone. */
const struct layout *engine_layout(const struct engine *e, torrent_id id);
/* False: not here. */
bool engine_info_hash(const struct engine *e, torrent_id id, struct infohash *out);
/* How many torrents that are not finished were added before it; -1: it is finished, or not here. */
int64_t engine_queue_position(const struct engine *e, torrent_id id);
/* The info dictionary; empty without metadata. Borrowed likewise. */
struct span engine_info(const struct engine *e, torrent_id id);
/* Its pieces as a bitfield; false without metadata, or when out_len is not as it must be. */
bool engine_bitfield(const struct engine *e, torrent_id id, uint8_t *out, size_t out_len);
/* In seed mode, the pieces that were hashed, likewise; false in any other. */
bool engine_verified(const struct engine *e, torrent_id id, uint8_t *out, size_t out_len);
/* Bytes that are there of a file, and its priority. */
uint64_t engine_file_done(const struct engine *e, torrent_id id, uint32_t file);
uint8_t engine_file_priority(const struct engine *e, torrent_id id, uint32_t file);
/* A byte a file; empty: all normal. Without metadata what was asked for when it was added. Borrowed
 * until the next input. */
struct span engine_priorities(const struct engine *e, torrent_id id);

/* What is to be stored now. Spans are owned by *room, to be freed with torrent_saved_free. */
struct torrent_saved {
    struct torrent_resume resume;
    unsigned flags;
    uint64_t version;
    /* private */
    uint8_t *bitfield;
    uint8_t *bitmaps;
    struct torrent_partial *partials;
};
int engine_resume_of(const struct engine *e, torrent_id id, struct torrent_saved *out,
                     uint64_t now_ms);
void torrent_saved_free(struct torrent_saved *s);

uint32_t engine_n_trackers(const struct engine *e, torrent_id id);
bool engine_tracker(const struct engine *e, torrent_id id, uint32_t i, struct tracker_view *out);

struct peer_view {
    conn_id conn;
    struct endpoint remote;
    struct peer_id peer_id;
    const char *client; /* from its extension handshake; "" */
    bool incoming, seed, choking, interested, peer_choking, peer_interested, snubbing, optimistic;
    bool upload_only;
    double progress;
    uint64_t down_bps, up_bps;
    struct peer_totals totals;
    uint32_t n_requests, n_uploads; /* we asked; it asked */
    enum candidate_source source;
    struct span bitfield; /* borrowed until the next input; empty for seeds and empty peers */
    uint64_t connected_s;
};
/* Connected peers of a torrent, i counting from 0. False: no such. */
bool engine_peer(const struct engine *e, torrent_id id, size_t i, struct peer_view *out,
                 uint64_t now_ms);

/* Why a block that came was of no use. */
enum engine_waste {
    WASTE_UNKNOWN,   /* nobody asked for it */
    WASTE_TIMED_OUT, /* asked for, but too long ago */
    WASTE_CANCELLED, /* another peer was faster, as it was told */
    WASTE_SEED,      /* there is nothing more to download */
    WASTE_END_GAME,  /* another peer was faster at the same time */
    WASTE_CLOSING,   /* a part of it, when the connection ended */
};
enum { ENGINE_N_WASTES = WASTE_CLOSING + 1, ENGINE_N_SIZES = 18 };

/* What made us look for blocks to ask a peer for. */
enum engine_pick {
    PICK_INCOMING,    /* bytes of it came, or the disk has room again for what it sends */
    PICK_REDUNDANT,   /* it sent a block of no use, or somebody else sent what it was asked for */
    PICK_UNCHOKE,     /* it unchoked us, or allowed a piece */
    PICK_INTERESTING, /* it has more, or more is wanted */
    PICK_REJECT,      /* a request came back: rejected, choked, or its peer is gone */
    PICK_SNUBBED,     /* the same, as nobody answered in time */
    PICK_HASH_FAIL,   /* a bad piece is wanted again */
    PICK_END_GAME,    /* any of these, and all that was left were blocks that others owe */
};
enum { ENGINE_N_PICKS = PICK_END_GAME + 1 };

/* Connections that we have ended or refused, where the reason is counted. */
struct engine_partings {
    uint64_t uninteresting; /* neither has anything for the other, or the torrent does not run */
    uint64_t too_many;      /* peers: refused */
    uint64_t idle;          /* silent, or nobody was interested */
    uint64_t no_handshake;  /* in its time */
};

/* What goes through the sockets. sizes[i]: calls that moved 2^(i+3) bytes and more; the first and the
 * last have those beyond them as well. */
struct engine_io {
    uint64_t calls;
    uint64_t sizes[ENGINE_N_SIZES];
    uint64_t ip_len; /* estimated: headers of full packets, and of those that acknowledge */
};

/* Peers as they are now. */
struct engine_peers_now {
    uint32_t interesting, interested; /* we are in them; they are in us */
    uint32_t unchoking, optimistic;   /* they choke us not; unchoked for luck */
    uint32_t asked, asking;           /* owe us blocks; we owe them blocks */
    uint32_t waits_for_disk,
        reads_from_disk;               /* not read, as the disk is behind; their blocks are */
    uint32_t limited_down, limited_up; /* wait for their turn of a limit */
    uint32_t end_game;                 /* had fewer blocks for us than we wanted to ask for */
    uint32_t connected, incoming;
};

/* Everything that engine counts since it began. */
struct engine_totals {
    uint32_t n_torrents[TORRENT_N_STATES];
    uint32_t n_paused, n_faulty;
    uint32_t n_peers, n_half_open, n_unchoked;
    uint64_t connects, connects_failed, accepts, accepts_refused, closed_by_rule, closed_by_time;
    struct peer_totals wire;
    uint64_t wasted, hash_failures, pieces_passed, banned;
    uint64_t requests_refused; /* of peers: invalid, choked or too many */
    uint64_t disk_reads, disk_writes, disk_read_len, disk_write_len, disk_errors;
    uint64_t disk_queue_len, disk_queue_jobs;
    uint64_t announces_ok, announces_failed;
    uint64_t scrapes_ok, scrapes_failed;

    uint32_t n_running[TORRENT_N_STATES]; /* of n_torrents, neither paused nor faulty */
    uint32_t n_stopped;                   /* paused and not faulty */
    uint32_t n_slots;                     /* of the chokers */
    struct engine_peers_now now;
    struct peer_messages messages;
    struct engine_io in, out;
    uint64_t waste[ENGINE_N_WASTES]; /* bytes */
    uint64_t failed_len;             /* bytes of pieces with a bad hash */
    uint64_t pieces_added, pieces_had;
    uint64_t ticks;
    uint64_t connects_timed_out;
    uint64_t candidates_seen;         /* looked at, to choose whom to connect to */
    uint64_t disconnects;             /* connections that were there, and are over */
    uint64_t broken, broken_incoming; /* of them: by an error of the socket */
    uint64_t ends[ERR_N + 1];         /* by [-ERR_*]: connections, and attempts at one */
    struct engine_partings partings;
    uint64_t picks[ENGINE_N_PICKS];
    struct picker_counts picker;
    uint64_t disk_jobs, blocks_read, blocks_written, blocks_hashed, blocks_read_back;
    uint64_t disk_hashes;                         /* pieces that were read to be hashed */
    uint64_t disk_queue_reads, disk_queue_writes; /* of disk_queue_jobs */
    uint64_t disk_relieved;                       /* times that a full queue had room again */
    uint64_t unwritten_len;                       /* with the disk now */
    uint64_t limited_down_len, limited_up_len;    /* bytes that wait for a turn of a limit now */
    uint64_t memory_len;                          /* of blocks, now */
};
void engine_totals(const struct engine *e, struct engine_totals *out);
struct announce_queue;
const struct announce_queue *engine_announce_queue(const struct engine *e);

#endif
