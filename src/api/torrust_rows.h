/* torrust_rows.h: the Torrust APIs' objects as JSON text. Pure.
 *
 * Forms    TORRUST_SEED: /api/..., as the first published document shows them. TORRUST_V1:
 *          /api/v1/..., as version 3 of that tracker sends them.
 * Numbers  are cut to 2^63 - 1: that is what typed clients of these APIs can hold.
 */
#ifndef API_TORRUST_ROWS_H
#define API_TORRUST_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "tracker/stats.h"
#include "tracker/tracker.h"

enum torrust_form { TORRUST_SEED, TORRUST_V1 };

/* {"info_hash":..,"completed":..} */
void torrust_add_torrent(struct buf *b, enum torrust_form form, const struct torrent_row *row);
/* The same without the closing brace, so that more members can follow. */
void torrust_add_torrent_open(struct buf *b, enum torrust_form form, const struct torrent_row *row);

/* One entry of a torrent's "peers": a pair of objects (seed) or one flat object (v1). */
void torrust_add_peer(struct buf *b, enum torrust_form form, const struct peer_row *row);
/* One entry of /api/v1/peers: the flat object with info_hash, ip, port and key. */
void torrust_add_found_peer(struct buf *b, const struct peer_row *row);

/* The answer to a new key; v1 has expiry_time. */
void torrust_add_key(struct buf *b, enum torrust_form form, const struct access_key *key);
/* One entry of /api/v1/keys. */
void torrust_add_listed_key(struct buf *b, const struct access_key *key);

struct torrust_stat {
    const char *name;
    uint64_t value;
};

enum { TORRUST_STATS_MAX = 40 };

/* What /stats shows, in its order. returns how many. */
size_t torrust_stats(struct torrust_stat out[static TORRUST_STATS_MAX], enum torrust_form form,
                     const struct tracker_totals *totals, const struct stats_totals *stats);

#endif
