/* socketio_calls.h: the commands in events of Socket.IO, answered as an acknowledgement or an
 * event.
 *
 * Message    {"t_id": ..., "command": "...", parameters}; t_id comes back as it was sent. What
 *            RestTorrent's paths can do, and "subscribe".
 * Answers    come in the call or later, also when the client has gone or all of this was closed.
 * Limits     SIO_CALLS_MAX commands under way, of all clients; half of EIO_QUEUE_BYTES of an answer.
 */
#ifndef API_SOCKETIO_CALLS_H
#define API_SOCKETIO_CALLS_H

#include <uv.h>

#include "api/api.h"
#include "api/socketio.h"

enum { SIO_CALLS_MAX = 1024 };

struct sio_calls;

struct sio_calls_cfg {
    uv_loop_t *loop;
    const struct api_parts *parts; /* outlives every answer */
    struct sio *sio;
    void (*answered)(void *ctx); /* something was given to sio outside of sio_calls_run */
    void *ctx;
};

struct sio_calls *sio_calls_new(const struct sio_calls_cfg *cfg);
/* From now on nothing is given to sio. closed exactly once, later. */
void sio_calls_close(struct sio_calls *c, void (*closed)(void *ctx), void *ctx);

/* event: a SIO_COMMAND of the session. */
void sio_calls_run(struct sio_calls *c, struct span sid, const struct sio_event *event);

#endif
