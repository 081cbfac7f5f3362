/* resttorrent_impl.h: what the parts of resttorrent_ops share. Inside of resttorrent_*.c.
 *
 * Parts     resttorrent_ops.c: answers, what a command is about, the table of commands ·
 *           resttorrent_sessions.c, resttorrent_torrents.c: the commands.
 */
#ifndef API_RESTTORRENT_IMPL_H
#define API_RESTTORRENT_IMPL_H

#include "api/resttorrent_ops.h"
#include "base/buf.h"
#include "client/client.h"

enum { RESTTORRENT_ANSWER_MAX = 1 << 20 };

/* A command on its way. */
struct resttorrent_call {
    const struct api_parts *parts;
    struct client *client;
    const struct resttorrent_params *params;
    resttorrent_done done;
    void *ctx;
};

/* ... and what is left of it when the client works on it. */
struct resttorrent_op {
    struct client *client;
    session_id session;
    resttorrent_done done;
    void *ctx;
};

struct resttorrent_op *resttorrent_op_new(const struct resttorrent_call *r, session_id session);

/* ---- answers ---- */

/* The beginning of an answer of at most max bytes: more members or the last brace are to follow. */
void resttorrent_begin_success(struct buf *out, size_t max);
/* Releases body, too. */
void resttorrent_give(resttorrent_done done, void *ctx, int http_status, struct buf *body);
void resttorrent_give_success(resttorrent_done done, void *ctx);
void resttorrent_give_failure(resttorrent_done done, void *ctx, int http_status, const char *code,
                              const char *message);
/* What the client said no to; missing: the thing that ERR_NOT_FOUND is about. */
void resttorrent_give_error(resttorrent_done done, void *ctx, int status, const char *missing);
void resttorrent_refuse(const struct resttorrent_call *r, int http_status, const char *code,
                        const char *message);
/* The code for a failure that has none of its own. */
const char *resttorrent_code_of(int http_status);

/* ---- what a command is about: false when it was answered ---- */

bool resttorrent_find_session(const struct resttorrent_call *r, struct client_session *out);

struct resttorrent_found {
    struct client_session session;
    struct torrent_status status;
    struct client_facts facts;
};
bool resttorrent_find_torrent(const struct resttorrent_call *r, struct resttorrent_found *out);

/* ---- commands ---- */

void resttorrent_get_session_list(const struct resttorrent_call *r);
void resttorrent_create_session(const struct resttorrent_call *r);
void resttorrent_get_session(const struct resttorrent_call *r);
void resttorrent_delete_session(const struct resttorrent_call *r);
void resttorrent_upload_torrent(const struct resttorrent_call *r);
void resttorrent_get_torrent_list(const struct resttorrent_call *r);
void resttorrent_get_torrent(const struct resttorrent_call *r);
void resttorrent_command_torrent(const struct resttorrent_call *r);
void resttorrent_get_peers(const struct resttorrent_call *r);

#endif
