/* gotorrent_impl.h: what the parts of the GoTorrentServer API share. Inside of gotorrent*.c. */
#ifndef API_GOTORRENT_IMPL_H
#define API_GOTORRENT_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include "api/call.h"
#include "api/query.h"
#include "base/span.h"

/* ---- gotorrent.c */

void gotorrent_fail(struct http_exchange *x, int status, struct span reason);
/* A status alone. */
void gotorrent_answer_done(struct http_exchange *x);
/* False when the call was answered: there is none. */
bool gotorrent_has_client(struct call *c);

/* A parameter's value; in text when it comes from the query. */
struct gotorrent_param {
    struct span value;
    bool from_query;
    uint8_t text[QUERY_VALUE_MAX];
};

/* Header or query. False: it is nowhere. plus: a '+' of the query is one, and no space. */
bool gotorrent_find_param(const struct call *c, const char *name, bool plus,
                          struct gotorrent_param *out);
/* False when the call was answered: an action by its query, and the token not in the header. */
bool gotorrent_check_forged(struct call *c);

/* ---- gotorrent_add.c */

void gotorrent_post_magnet(struct call *c);
void gotorrent_post_file(struct call *c);

#endif
