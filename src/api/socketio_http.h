/* socketio_http.h: /socket.io/ : requests and WebSockets to engineio.h, what comes out of there to
 * socketio.h, and commands to socketio_calls.h. The shell of all of these.
 *
 * Who may    a page of another host never, unless it is in api.cors_origins. Then a token: in the
 *            request, or in the CONNECT of a client of revision 4; or none where
 *            api.local_without_token says so. A sid is as good as the token that opened it.
 * Limits     SIO_SESSIONS_MAX sessions; no strangers while SIO_WAITING_MAX are not connected;
 *            api.max_body bytes a message, SIO_STRANGER_BYTES before the client has shown a token.
 *            Clients are asked to put at most SIO_PAYLOAD_BYTES of packets into one request, and
 *            get no more in an answer; a single packet may be longer.
 */
#ifndef API_SOCKETIO_HTTP_H
#define API_SOCKETIO_HTTP_H

#include <uv.h>

#include "api/call.h"
#include "api/engineio.h"
#include "api/http.h"

enum {
    SIO_SESSIONS_MAX = 512,
    SIO_WAITING_MAX = 128,
    SIO_STRANGER_BYTES = 16384,
    SIO_PAYLOAD_BYTES = 1000000, /* the reference's default */
};

struct sio_http;

/* Why somebody has no session, or none that is connected. */
enum sio_refusal { SIO_REFUSED_LIMIT, SIO_REFUSED_ORIGIN, SIO_REFUSED_TOKEN, SIO_N_REFUSALS };

struct sio_http_stats {
    struct eio_stats engine;
    uint64_t refused[SIO_N_REFUSALS];
};

/* env outlives it; its client and configuration outlive the commands too. */
struct sio_http *sio_http_new(uv_loop_t *loop, const struct api_env *env);
/* Every session ends, and is told so; no new ones. */
void sio_http_stop(struct sio_http *h);
/* Behind sio_http_stop, when no request comes any more. closed exactly once, later. */
void sio_http_close(struct sio_http *h, void (*closed)(void *ctx), void *ctx);

void sio_http_stats(const struct sio_http *h, struct sio_http_stats *out);

bool sio_http_serves(struct span path);
/* As http_admit in http.h. Only the POST of a session is admitted, everything else is answered. */
bool sio_http_admit(struct sio_http *h, const struct http_request *req, struct http_exchange *x,
                    uint64_t *max_len);
/* The handler's call for such a POST. */
void sio_http_on_post(struct sio_http *h, const struct http_request *req, struct http_exchange *x);

#endif
