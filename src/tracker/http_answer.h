/* http_answer.h: one HTTP request to the tracker, and the bytes that answer it. No sockets.
 *
 * Model    the caller reads request heads and calls http_answer between tracker_begin and
 *          tracker_end; a whole response, head and body, goes into the writer.
 * Room     http_answerer_room bytes are always enough for one response.
 * Thread   one answerer a worker, on its thread.
 * Source   BEP 3, 7, 23, 31, 48; RFC 9110, 9112.
 */
#ifndef TRACKER_HTTP_ANSWER_H
#define TRACKER_HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/config.h"
#include "base/cursor.h"
#include "base/endpoint.h"
#include "proto/http1.h"
#include "tracker/tracker.h"

struct http_answerer;

/* What the connection does behind the response. */
enum http_after {
    HTTP_KEEP,
    HTTP_CLOSE,
    HTTP_LINGER, /* close, but read on for a while: the peer may still be sending, and to close on
                    its bytes would take the response from it */
};

/* All three are borrowed for the answerer's life. Never fails. */
struct http_answerer *http_answerer_new(struct tracker *tracker, struct tracker_worker *worker,
                                        const struct config *cfg);
void http_answerer_free(struct http_answerer *a);
size_t http_answerer_room(const struct http_answerer *a);

/* from: the connection's address. proxy: it is one of tracker.trust_forwarded_for. */
enum http_after http_answer(struct http_answerer *a, const struct http1_request *req,
                            const struct addr *from, bool proxy, struct wr *out);

/* The response to a head that http1_request_decode refused with code and why. */
enum http_after http_refuse(struct http_answerer *a, int code, const char *why, struct wr *out);

/* ---- announces of many connections, answered together ------------------------------------- */

enum { HTTP_TOGETHER_MAX = 32 };

/* Keeps req when it is an announce that can be answered later. False: it is for http_answer, or
 * HTTP_TOGETHER_MAX are kept. */
bool http_answer_keep(struct http_answerer *a, const struct http1_request *req,
                      const struct addr *from, bool proxy);
/* What is kept happens, in its order, and is not kept any more. Inside begin/end. */
void http_answer_kept(struct http_answerer *a);
/* The response to the i-th that was kept, before the next is. */
enum http_after http_answer_write(struct http_answerer *a, size_t i, struct wr *out);

#endif
