/* websocket.h: the framing of one WebSocket, the server's side, by libwslay. No I/O.
 *
 * Use       bytes of the client go in by websocket_on_bytes, which hands out whole messages; what
 *           is to be sent comes out by websocket_take. Pings are answered and a close is returned
 *           by itself; a client that breaks the protocol is told so by a close (1002, 1007, 1009).
 * End       websocket_is_over: nothing will come in or go out any more, the connection is to end.
 * Limits    max_message; WEBSOCKET_FRAMES_MAX fragments of a message; WEBSOCKET_QUEUE_LEN frames
 *           and WEBSOCKET_QUEUE_BYTES for a client that does not take them: websocket_on_bytes and
 *           websocket_send are false then, and the connection is to be cut.
 * Source    RFC 6455.
 */
#ifndef API_WEBSOCKET_H
#define API_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/span.h"

enum {
    WEBSOCKET_FRAMES_MAX = 4096,
    WEBSOCKET_QUEUE_LEN = 8192,
    WEBSOCKET_QUEUE_BYTES = 64 * 1024 * 1024,
    WEBSOCKET_KEY_LEN = 24,
    WEBSOCKET_ACCEPT_LEN = 28,
};

enum websocket_code {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_PROTOCOL_ERROR = 1002,
};

struct websocket;

/* message is borrowed for the call, which may send and close, but not free. */
typedef void (*websocket_message)(void *ctx, bool binary, struct span message);

struct websocket *websocket_new(size_t max_message, websocket_message on_message, void *ctx);
void websocket_free(struct websocket *w);
/* For messages whose first byte has not come yet. */
void websocket_set_max_message(struct websocket *w, size_t max_message);

MUST_CHECK bool websocket_on_bytes(struct websocket *w, struct span bytes);
/* data is copied. Nothing after a close. */
MUST_CHECK bool websocket_send(struct websocket *w, bool binary, struct span data);
void websocket_close(struct websocket *w, enum websocket_code code);

/* Adds bytes to be sent to out, as many as it takes. */
void websocket_take(struct websocket *w, struct buf *out);
bool websocket_is_over(const struct websocket *w);

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key; false when that is none. */
MUST_CHECK bool websocket_accept_key(char out[static WEBSOCKET_ACCEPT_LEN + 1], struct span key);

#endif
