/* resttorrent_json.h: the objects of the RestTorrent API. Pure.
 *
 * Members   are written without the braces around them and without a comma in front, so that an
 *           answer can hold more; at least one of them, but for a torrent whose fields are none.
 */
#ifndef API_RESTTORRENT_JSON_H
#define API_RESTTORRENT_JSON_H

#include "base/buf.h"
#include "base/span.h"
#include "client/client.h"

enum { REST_SESSION_KEY_LEN = 32 };

/* Bits: which members of a torrent. */
#define REST_ALL_FIELDS (~0U)
/* "infohash,state"; what is none is passed over. */
unsigned resttorrent_fields(struct span list);

void resttorrent_add_torrent(struct buf *out, const struct torrent_status *s,
                             const struct client_facts *facts, unsigned fields);
void resttorrent_add_session(struct buf *out, const struct client_session *s);
void resttorrent_add_peer(struct buf *out, const struct peer_view *peer);
/* status, message and error of a call that failed. */
void resttorrent_add_failure(struct buf *out, const char *code, struct span message);

/* What the client keeps of a session for this API, and what it is called by it: 32 hex digits. A
 * session of somebody else has its number for that. Each with a NUL. */
enum { REST_OPTIONS_CAP = REST_SESSION_KEY_LEN + 16 };
void resttorrent_options(char out[static REST_OPTIONS_CAP],
                         const char key[static REST_SESSION_KEY_LEN + 1]);
void resttorrent_session_key(char out[static REST_SESSION_KEY_LEN + 1],
                             const struct client_session *s);

#endif
