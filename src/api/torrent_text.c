/* A word each. */
#include "api/torrent_text.h"

#include "base/banned.h"

const char *torrent_state_text(enum torrent_state state)
{
    switch (state) {
    case TORRENT_QUEUED_CHECK:
        return "queued_for_checking";
    case TORRENT_CHECKING:
        return "checking_files";
    case TORRENT_METADATA:
        return "downloading_metadata";
    case TORRENT_DOWNLOADING:
        return "downloading";
    case TORRENT_FINISHED:
        return "finished";
    case TORRENT_SEEDING:
        return "seeding";
    }
    return "";
}
