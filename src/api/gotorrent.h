/* gotorrent.h: the GoTorrentServer API: the client by header parameters. */
#ifndef API_GOTORRENT_H
#define API_GOTORRENT_H

#include "api/call.h"

extern const struct dialect gotorrent_dialect;

#endif
