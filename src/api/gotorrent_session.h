/* gotorrent_session.h: a torrent as the GoTorrentServer API shows it, a part at a time.
 *
 * Parts     names, pieces and numbers are of the moment the session was begun; trackers and peers of
 *           the moment they are written. A torrent that is removed meanwhile has no more of these:
 *           the text stays JSON.
 * Slices    a call adds a bounded number of bytes: a torrent may have two million pieces and two
 *           thousand peers.
 * Units     KiB and KiB per second, with fractions; times RFC 3339, "" for never.
 */
#ifndef API_GOTORRENT_SESSION_H
#define API_GOTORRENT_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "client/client.h"

/* A bitfield on its way out as text. */
struct gotorrent_bits {
    uint8_t *bytes;
    uint32_t n; /* bits */
    uint32_t at;
};

enum gotorrent_part {
    GOTORRENT_HEAD,
    GOTORRENT_PIECES,
    GOTORRENT_BASE64,
    GOTORRENT_TRACKERS,
    GOTORRENT_PEERS,
    GOTORRENT_PEER_PIECES,
    GOTORRENT_TAIL,
};

struct gotorrent_session {
    struct client *client;
    torrent_id id;
    /* private */
    enum gotorrent_part part;
    struct buf head, numbers;
    struct gotorrent_bits pieces;
    struct gotorrent_bits peer_pieces;
    uint64_t peer_down_bps, peer_up_bps;
    uint32_t tracker; /* the next one */
    bool any_tracker;
    size_t peer;  /* where the next one is, if none has gone */
    conn_id last; /* the one before it; 0: none */
};

/* Begin with a torrent. started_unix_s: of this server. False: it is not here, and s holds nothing. */
bool gotorrent_session_begin(struct gotorrent_session *s, struct client *client, torrent_id id,
                             int64_t started_unix_s);
/* The next part. returns true while more is to come; after false s holds nothing. */
bool gotorrent_session_produce(struct gotorrent_session *s, struct buf *out);
/* At any time. */
void gotorrent_session_release(struct gotorrent_session *s);

/* "2024-08-21T14:33:50Z"; "" for 0 and for what no calendar has. */
enum { GOTORRENT_TIME_LEN = 32 };
void gotorrent_time_text(char out[static GOTORRENT_TIME_LEN], int64_t unix_s);
/* A peer's id as text: what is not printable ASCII as %xx. */
enum { GOTORRENT_ID_LEN = 61 };
void gotorrent_id_text(char out[static GOTORRENT_ID_LEN], const struct peer_id *id);
/* The bits from->at.. as '0' and '1', at most max of them; true while there are more. */
bool gotorrent_bits_add(struct buf *out, struct gotorrent_bits *from, uint32_t max);

#endif
