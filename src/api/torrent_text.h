/* torrent_text.h: what several APIs call the same things. Pure. */
#ifndef API_TORRENT_TEXT_H
#define API_TORRENT_TEXT_H

#include "client/engine.h"

/* "downloading" and the like, as libtorrent's users know them; a pause does not change it. */
const char *torrent_state_text(enum torrent_state state);

/* Does it take nothing, because somebody wants that or the disk is full? Share mode, which takes
 * nothing either, is a mode of its own. */
bool torrent_in_upload_mode(const struct torrent_status *s);

#endif
