/* resttorrent.h: the RestTorrent API over HTTP. */
#ifndef API_RESTTORRENT_H
#define API_RESTTORRENT_H

#include "api/call.h"

extern const struct dialect resttorrent_dialect;

#endif
