/* torrust_streams.h: the long answers of the Torrust APIs, a slice at a time.
 *
 * Each starts a streaming answer on the call's exchange. A producer's call looks at a bounded
 * number of shards or rows, so a million torrents never hold the loop.
 */
#ifndef API_TORRUST_STREAMS_H
#define API_TORRUST_STREAMS_H

#include <stdint.h>

#include "api/call.h"
#include "api/torrust_rows.h"
#include "base/buf.h"
#include "tracker/tracker.h"

struct page {
    uint64_t offset;
    uint64_t limit;
};

void torrust_stream_torrents(struct call *c, enum torrust_form form, const struct page *page);
/* Only these, in this order; unknown ones are left out. Takes over what hashes holds. */
void torrust_stream_picked(struct call *c, enum torrust_form form, struct buf *hashes);
/* One torrent with its peers. */
void torrust_stream_torrent(struct call *c, enum torrust_form form, const struct torrent_row *row);
void torrust_stream_found_peers(struct call *c, const struct peer_filter *filter);
void torrust_stream_whitelist(struct call *c, const struct page *page);
void torrust_stream_keys(struct call *c, const struct page *page);

#endif
