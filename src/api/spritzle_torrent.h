/* spritzle_torrent.h: a torrent as the spritzle API shows it. Pure.
 *
 * Numbers   bytes, seconds, and seconds since 1970; -1 not known or never, where it can be.
 * num_pieces says how many are there; pieces has a boolean for each that there is.
 * Parts     the two lists of pieces may be long: the texts around them are head, middle and tail, and
 *           whoever answers puts the lists in between (spritzle_json_bits).
 */
#ifndef API_SPRITZLE_TORRENT_H
#define API_SPRITZLE_TORRENT_H

#include "base/buf.h"
#include "client/client.h"

struct spritzle_torrent {
    struct torrent_status status;
    struct client_facts facts;
    int64_t queue_position; /* -1: it waits for nothing */
};

/* {"seeding_time": ..., "verified_pieces": [ */
void spritzle_torrent_add_head(struct buf *out, const struct spritzle_torrent *t);
/* ], "total_payload_upload": ..., "pieces": [ */
void spritzle_torrent_add_middle(struct buf *out, const struct spritzle_torrent *t);
/* ], "connections_limit": ... } */
void spritzle_torrent_add_tail(struct buf *out, const struct spritzle_torrent *t);

#endif
