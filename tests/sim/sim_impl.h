/* sim_impl.h: what the parts of the simulator share. */
#ifndef TESTS_SIM_SIM_IMPL_H
#define TESTS_SIM_SIM_IMPL_H

#include "base/buf.h"
#include "proto/peer_wire.h"
#include "sim/sim.h"

/* ---- sim_wire.c: one direction of a connection, read along ------------------------------------- */

/* A request under way, as the wire shows it. */
struct sim_ask {
    struct wire_block block;
    bool arrived;  /* at whom it asks */
    bool answered; /* the answer is on its way */
    bool canceled;
};

enum { SIM_DOUBTFUL = 64 };

/* A message between its sending and its arrival. */
struct sim_note {
    uint64_t end; /* position in the stream behind it */
    enum wire_type type;
    struct wire_block block;
    uint32_t reqq;
};

struct sim_wire {
    struct sim_node *from, *to;
    struct sim_torrent *t; /* from its handshake on */
    bool handshaken;
    bool had_info;    /* from knew then whether the torrent is private */
    uint64_t written; /* position of what was read along */
    uint8_t *part;    /* a message that came in parts */
    size_t part_len;
    struct wire_block body; /* of a piece message that is being sent */
    uint32_t body_at;       /* == body.len: none is */
    struct sim_note *notes;
    size_t n_notes, first_note, notes_cap;
    /* from asked to for these */
    struct sim_ask *asks;
    size_t n_asks, asks_cap;
    struct wire_block doubtful[SIM_DOUBTFUL];
    size_t n_doubtful;
    /* What `to` knows of `from` */
    uint8_t *have;     /* a bit a piece */
    uint8_t *bitfield; /* sent, not there yet */
    bool choking;      /* known to `to` */
    bool choking_said; /* sent */
    uint32_t reqq;
    uint32_t fast[16];
    size_t n_fast;
    uint32_t fast_said[16];
    size_t n_fast_said;
    bool interested_said;
    uint64_t strict_from; /* requests of `to` behind this position know that it is choked */
    bool pex_said;
};

void sim_wire_init(struct sim_wire *w, struct sim_node *from, struct sim_node *to);
void sim_wire_release(struct sim_wire *w);
/* `from` has sent these bytes. back: the other direction. */
void sim_wire_on_sent(struct sim_wire *w, struct sim_wire *back, struct span bytes);
/* `to` is about to read up to that position. True: it may have learned that it is choked. */
bool sim_wire_on_arrived(struct sim_wire *w, struct sim_wire *back, uint64_t position);
/* Requests that nobody has answered. */
size_t sim_wire_n_open(const struct sim_wire *w);

/* ---- sim_link.c -------------------------------------------------------------------------------- */

enum { SIM_PIPE_LEN = 1 << 17, SIM_CHUNKS = 64 };

struct sim_chunk {
    uint64_t end;
    uint64_t at_us;
};

/* Bytes on the way from one end to the other: sent >= departed >= arrived >= read. */
struct sim_pipe {
    uint8_t *ring; /* SIM_PIPE_LEN */
    uint64_t sent, departed, arrived, read;
    struct sim_chunk chunks[SIM_CHUNKS];
    uint32_t n_chunks, first_chunk;
    struct sim_event event; /* the first chunk arrives, or the end does */
    struct list up_node;    /* in node.uplink */
    struct sim_node *from;
    bool ended;
    uint64_t end_at_ms;
    struct sim_wire wire;
};

struct sim_end {
    struct map_node by_id;
    conn_id id;
    struct sim_node *n; /* NULL: it is closed */
    struct sim_link *link;
    bool connected;
    bool blocked; /* it has more to send than the pipe takes */
    struct sim_event writable;
    struct sim_pipe out;
};

struct sim_link {
    struct list node; /* in sim.links */
    struct sim *s;
    struct sim_end ends[2]; /* the one that connected, the one that accepted */
    struct endpoint remote;
    struct sim_event event; /* connecting, or a reset */
    bool accepted;
    int status; /* of the attempt */
    bool reset;
};

void sim_link_connect(struct sim_node *n, const struct engine_out *out);
void sim_link_send(struct sim_node *n, conn_id conn);
void sim_link_read(struct sim_node *n, conn_id conn);
void sim_link_close(struct sim_node *n, conn_id conn);
/* Those of a node that is down: the other ends see it a little later. */
void sim_link_drop_all(struct sim_node *n);
void sim_link_free_all(struct sim *s);
/* node.uplink_event */
void sim_link_on_uplink(struct sim_event *ev);
/* The index of the node at the other end; 0: there is none (yet). */
uint32_t sim_end_peer(const struct sim_end *end);
struct sim_end *sim_end_find(const struct sim_node *n, conn_id conn);

/* ---- sim_disk.c, sim_tracker.c, sim_store.c ----------------------------------------------------- */

void sim_disk_init(struct sim_member *m);
void sim_disk_release(struct sim_member *m);
void sim_disk_start(struct sim_node *n, struct disk_job *job);
/* What is with the disk is done or not; what is not safe is there or not. The jobs go back to the
 * engine, which is about to be freed. */
void sim_disk_crash(struct sim_node *n);

void sim_tracker_start(struct sim *s);
void sim_tracker_scrape(struct sim_node *n, const struct scrape_request *out);
void sim_tracker_announce(struct sim_node *n, const struct engine_announce *a);
void sim_tracker_crash(struct sim_node *n);

void sim_store_save(struct sim_node *n, torrent_id id, uint64_t version);
void sim_store_crash(struct sim_node *n);
/* Put a member into its engine as the store has it. */
void sim_store_load(struct sim_member *m);
void sim_store_release(struct sim_member *m);

/* ---- sim_check.c -------------------------------------------------------------------------------- */

/* After an input; a look at everything now and then. */
void sim_check_node(struct sim_node *n);
void sim_check_idle(struct sim_node *n);
/* Has this node all of the piece, right, on its disk? */
bool sim_has_piece(const struct sim_member *m, uint32_t piece);

#endif
