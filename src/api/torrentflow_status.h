/* torrentflow_status.h: a torrent as the TorrentFlow API shows it. Pure.
 *
 * Numbers   bytes, seconds, and seconds since 1970; -1 not known or never, where it can be. progress
 *           is in percent.
 * num_pieces is the total, as total_pieces is; pieces_downloaded says how many are there.
 */
#ifndef API_TORRENTFLOW_STATUS_H
#define API_TORRENTFLOW_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "client/client.h"
#include "client/engine.h"

/* Everything up to the list of files: {"infohash":..., "files":[ */
void torrentflow_status_add_head(struct buf *out, const struct torrent_status *s,
                                 const struct client_facts *facts, const struct layout *layout);
/* Where the list of files is; zero at first. */
struct torrentflow_files {
    uint32_t next;
    bool any; /* one was added */
};
/* At most n more of them; layout NULL: there are none. returns true while there are more. */
bool torrentflow_status_add_files(struct buf *out, const struct layout *layout,
                                  struct torrentflow_files *at, uint32_t n);
/* The end: ]} */
void torrentflow_status_add_tail(struct buf *out);

#endif
