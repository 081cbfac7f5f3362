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

bool torrent_in_upload_mode(const struct torrent_status *s)
{
    bool wanted = (s->flags & TORRENT_UPLOAD_ONLY) != 0 && (s->flags & TORRENT_SHARE_MODE) == 0;
    return wanted || s->fault == FAULT_DISK_FULL;
}
