/* spritzle_impl.h: what the parts of the spritzle API share. Inside of spritzle*.c. */
#ifndef API_SPRITZLE_IMPL_H
#define API_SPRITZLE_IMPL_H

#include <stdbool.h>

#include "api/call.h"
#include "base/ids.h"

#define SPRITZLE_JSON_TYPE "application/json; charset=utf-8"

/* {"status": ..., "reason": ..., "message": ...} */
void spritzle_fail(struct http_exchange *x, int status, struct span reason);
/* False when the call was answered: there is no client. */
bool spritzle_has_client(struct call *c);

/* spritzle_add.c: POST /torrent. */
void spritzle_post_torrent(struct call *c);
/* spritzle_remove.c: DELETE /torrent, DELETE /torrent/:info-hash. */
void spritzle_delete_all(struct call *c);
void spritzle_delete_one(struct call *c);

/* The info-hash of the path. False when the call was answered. */
bool spritzle_take_hash(struct call *c, struct infohash *out);
/* What a call of the client that failed means. */
void spritzle_answer_failure(struct http_exchange *x, int status);
/* A client_done: answers 200 without a body, or a failure. */
void spritzle_answer_done(void *exchange, int status);
/* status: of the call that was given spritzle_answer_done; negative: it will not call back. */
void spritzle_started(struct call *c, int status);

#endif
