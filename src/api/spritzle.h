/* spritzle.h: the spritzle API: the client's session and its torrents. */
#ifndef API_SPRITZLE_H
#define API_SPRITZLE_H

#include "api/call.h"

/* Everything at and below /session and /torrent. */
extern const struct dialect spritzle_dialect;

#endif
