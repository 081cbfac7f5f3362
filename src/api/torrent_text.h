/* torrent_text.h: words that several APIs have for the same things. Pure. */
#ifndef API_TORRENT_TEXT_H
#define API_TORRENT_TEXT_H

#include "client/engine.h"

/* "downloading" and the like, as libtorrent's users know them; a pause does not change it. */
const char *torrent_state_text(enum torrent_state state);

#endif
