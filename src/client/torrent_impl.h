/* torrent_impl.h: what the parts of a torrent share. Inside of torrent*.c.
 *
 * Parts     torrent.c: its life; _new: its beginning and end. _check: what is on the disk. _peers: connections and their events.
 *           _download: requests, blocks, pieces. _upload: blocks for others. _choke: who gets them.
 *           _metadata: BEP 9. _files: what is wanted. _pex: BEP 11.
 * Time      engine.now_ms, set by the input that runs.
 */
#ifndef CLIENT_TORRENT_IMPL_H
#define CLIENT_TORRENT_IMPL_H

#include "base/mem.h"
#include "client/engine_impl.h"

enum {
    MISSING_RETRY_MS = 15000,
    DISK_FULL_RETRY_MS = 10000,
};

/* What a DISK_HASH is for; in job->begin. */
enum hash_purpose {
    HASH_CHECK,     /* of a check: is the piece there? */
    HASH_READ_BACK, /* of a piece that was just written */
    HASH_SEED_MODE, /* before a piece is sent for the first time */
};

static inline uint64_t torrent_now(const struct torrent *t)
{
    return t->e->now_ms;
}

static inline struct conn *conn_of(struct list *node)
{
    return container_of(node, struct conn, in_torrent);
}

static inline uint32_t torrent_n_pieces(const struct torrent *t)
{
    return t->layout->geometry.n_pieces;
}

static inline uint64_t torrent_piece_offset(const struct torrent *t, uint32_t piece)
{
    return (uint64_t)piece * t->layout->geometry.piece_len;
}

/* What a peer has, as the picker takes it; empty for a seed, and while it has nothing. */
static inline struct span conn_bitfield(const struct conn *c)
{
    bool known = c->peer.bitfield != NULL && c->t->layout != NULL;
    return known ? span_of(c->peer.bitfield, peer_wire_bitfield_len(torrent_n_pieces(c->t)))
                 : span_of(NULL, 0);
}

/* ---- torrent.c */

/* Stop everything and say why; MISSING is looked at again, DISK waits for somebody. */
void torrent_fail(struct torrent *t, enum torrent_fault fault, const char *text);
/* What a disk job's error means for the torrent. */
void torrent_on_disk_error(struct torrent *t, const struct disk_job *job);
void torrent_set_fault(struct torrent *t, enum torrent_fault fault, const char *text);
/* The content is known: download or seed. */
void torrent_settle(struct torrent *t);
/* The state that pieces and wishes make. */
void torrent_choose_state(struct torrent *t);
/* Everything was downloaded: the trackers are told. */
void torrent_note_complete(struct torrent *t);
/* Trackers and peers from now on; nothing new when it is that already. */
void torrent_go_online(struct torrent *t);
/* The timer, for what comes first. */
void torrent_plan(struct torrent *t);
void torrent_close_all(struct torrent *t, const char *why);
/* Nothing wanted is missing, and what that means was not done yet. */
void torrent_on_finished(struct torrent *t);

/* ---- torrent_new.c */

/* The dictionary, which becomes t's in any case. ERR_MALFORMED with *why. */
int torrent_take_info(struct torrent *t, uint8_t *info, size_t len, const char **why);

/* ---- torrent_check.c */

/* Look at the files, then settle, hash, or fail. */
void torrent_check_begin(struct torrent *t);
/* It does not go on: give the turn to another torrent. */
void torrent_check_stop(struct torrent *t);
/* The same without giving it: t is freed. */
void torrent_check_forget(struct torrent *t);
void torrent_check_on_files(struct torrent *t, const struct disk_job *job);
void torrent_check_on_hash(struct torrent *t, const struct disk_job *job);
/* A recheck waits until no write is under way. */
void torrent_check_go_on(struct torrent *t);

/* ---- torrent_peers.c */

void conn_update_interest(struct conn *c);
void torrent_update_interests(struct torrent *t);
/* Into the picker's counts and torrent.n_seeds. */
void conn_count(struct conn *c);
/* The picker goes: nobody is in its counts any more. */
void torrent_uncount_all(struct torrent *t);

/* ---- torrent_download.c */

/* May peers be asked for blocks? */
bool torrent_may_request(const struct torrent *t);
int conn_on_block(struct conn *c, const struct peer_event *ev, const char **why);
/* Bytes of blocks that are of no use: wasted, and not downloaded. */
void torrent_waste_block(struct torrent *t, uint32_t len, enum engine_waste why);
int conn_on_reject(struct conn *c, const struct wire_block *b, const char **why);
/* All that c was asked for comes to nothing; cancel: and it is told. */
void conn_give_back_all(struct conn *c, bool cancel);
/* Ask the peers that are asked for nothing. */
void torrent_kick(struct torrent *t, enum engine_pick why);
void torrent_refill_all(struct torrent *t, enum engine_pick why);
/* Give what can be written to the disk. */
void torrent_write(struct torrent *t);
void torrent_retry_writes(struct torrent *t);
void torrent_on_written(struct torrent *t, const struct disk_job *job);
void torrent_on_read_back(struct torrent *t, const struct disk_job *job);

/* ---- torrent_upload.c */

void torrent_on_read(struct torrent *t, struct disk_job *job);
void torrent_on_seed_hash(struct torrent *t, struct disk_job *job);
bool torrent_is_super_seeding(const struct torrent *t);
/* Show c another piece. */
void conn_super_show(struct conn *c);
/* c says it has the piece: those who were shown it have passed it on. */
void torrent_super_on_have(struct conn *c, uint32_t piece);
void torrent_super_round(struct torrent *t);
void torrent_seed_mode_end(struct torrent *t);

/* ---- torrent_choke.c */

void conn_set_choking(struct conn *c, bool choking);
/* A slot may be free: it goes to who waits. */
void torrent_fill_slots(struct torrent *t);
void torrent_choke_round(struct torrent *t);

/* ---- torrent_metadata.c */

void conn_on_extensions(struct conn *c);
int conn_on_metadata(struct conn *c, const struct ext_metadata *m, const char **why);
void torrent_metadata_on_deadline(struct torrent *t);

/* ---- torrent_files.c */

/* Priority of each piece; the caller's (free). */
uint8_t *torrent_piece_priorities(const struct torrent *t);
bool torrent_is_finished(const struct torrent *t);
/* Make the picker, or NULL when nothing that is wanted is missing. */
void torrent_make_picker(struct torrent *t);
/* The files are known now: what was asked for before becomes a priority for each of them. */
void torrent_fit_priorities(struct torrent *t);
/* Priorities or order have changed. */
void torrent_wishes_changed(struct torrent *t);
uint8_t torrent_file_priority(const struct torrent *t, uint32_t file);

/* ---- torrent_pex.c */

bool torrent_pex_is_on(const struct torrent *t);
void conn_pex_add(struct conn *c);
void conn_pex_drop(struct conn *c);
/* It has ut_pex. */
void conn_pex_begin(struct conn *c);
void conn_pex_on_deadline(struct conn *c);
void conn_on_pex(struct conn *c, const struct ext_pex *pex);
/* The torrent is private: forget what came by PEX. */
void torrent_pex_forget(struct torrent *t);
bool torrent_add_candidate(struct torrent *t, const struct endpoint *peer,
                           enum candidate_source source, bool seed);

#endif
