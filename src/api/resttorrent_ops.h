/* resttorrent_ops.h: the commands of the RestTorrent API, for its paths and its messages alike.
 *
 * Answers   a JSON object that begins with '{' and has at least the member status, so that others can
 *           be put in front; with the HTTP status that it means. Long ones come in slices.
 * Callbacks done exactly once, also from inside the call. It may come when the API is closed already:
 *           the client outlives it.
 */
#ifndef API_RESTTORRENT_OPS_H
#define API_RESTTORRENT_OPS_H

#include <stdbool.h>

#include "api/api.h"
#include "api/http.h"
#include "api/resttorrent_params.h"
#include "base/span.h"

enum resttorrent_command {
    REST_GET_SESSION_LIST,
    REST_CREATE_SESSION,
    REST_GET_SESSION,
    REST_DELETE_SESSION,
    REST_UPLOAD_TORRENT,
    REST_GET_TORRENT_LIST,
    REST_GET_TORRENT,
    REST_COMMAND_TORRENT,
    REST_GET_PEERS,
};

/* "get_session_list" and so on. False: there is no such command. */
bool resttorrent_command_of(struct span name, enum resttorrent_command *out);

struct resttorrent_answer {
    int http_status;
    struct span body; /* borrowed for the call; all of it unless there is produce */
    /* As of http_stream: the whole body in slices. Whoever has the answer releases. */
    http_produce produce;
    void (*release)(void *ctx);
    void *ctx;
};
typedef void (*resttorrent_done)(void *ctx, const struct resttorrent_answer *answer);

/* params are borrowed for the call; parts live as long as the API. */
void resttorrent_run(const struct api_parts *parts, enum resttorrent_command command,
                     const struct resttorrent_params *params, resttorrent_done done, void *ctx);

/* A failure that is not a command's, such as parameters that cannot be read. */
void resttorrent_fail(resttorrent_done done, void *ctx, int http_status, struct span message);

/* What the API calls a session of the client: into out, or "" for the default one. For messages about
 * torrents. */
enum { RESTTORRENT_SESSION_KEY_CAP = 33 };
void resttorrent_session_text(char out[static RESTTORRENT_SESSION_KEY_CAP], const struct client *c,
                              uint32_t session);

#endif
