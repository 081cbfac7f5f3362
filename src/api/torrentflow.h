/* torrentflow.h: the TorrentFlow API: one torrent at a time, by its info-hash. */
#ifndef API_TORRENTFLOW_H
#define API_TORRENTFLOW_H

#include "api/call.h"

/* Everything at and below /torrents. */
extern const struct dialect torrentflow_dialect;

#endif
