/* socketio.h: Socket.IO on Engine.IO sessions: the namespace "/", events of one name, their
 * acknowledgements, and who has subscribed. No I/O, no clock, no globals.
 *
 * Model      a session of engineio.h is connected from its CONNECT on (protocol 5) or from the
 *            start (protocol 4, whose clients send none). Other namespaces are refused.
 * Sends      go to the engine that is given: drain it after each call.
 * Order      an attachment belongs to the packet right before it; anything else in between closes
 *            the session, as does a packet that is none, or an event before CONNECT. What is valid
 *            and means nothing here is passed over.
 * Limits     SIO_CONNECT_MS without a CONNECT; max_message bytes of a packet with its attachments.
 * Source     socket.io-protocol, revisions 4 and 5.
 */
#ifndef API_SOCKETIO_H
#define API_SOCKETIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/engineio.h"
#include "api/socketio_packet.h"
#include "base/endpoint.h"
#include "base/span.h"

enum { SIO_CONNECT_MS = 45000 };

/* By what right a session may connect. */
enum sio_trust {
    SIO_TRUST_TOKEN, /* it has shown a token */
    SIO_TRUST_LOCAL, /* it needs none, but one that it shows must be right */
    SIO_TRUST_NONE,  /* it has yet to show one */
};

struct sio_cfg {
    struct eio *engine; /* outlives this */
    const char *event;  /* the name of the events that are for us; static, plain letters */
    size_t max_message;
    struct siphash_key seed;
};

enum sio_happening {
    SIO_NOTHING,
    SIO_WANTS_CONNECT, /* to be answered by sio_connect or sio_refuse */
    SIO_COMMAND,       /* an event for us */
};

/* Borrowed until the next call. */
struct sio_event {
    struct addr peer;
    enum sio_trust trust;
    struct span token;    /* SIO_WANTS_CONNECT: JSON, between the quotes; p is NULL: none */
    struct span argument; /* SIO_COMMAND: the first one, as JSON; empty: none */
    struct span id;       /* for sio_answer; empty: no acknowledgement is asked for */
    size_t n_attachments;
    struct span attachments[SIO_ATTACHMENTS_MAX];
};

struct sio;

struct sio *sio_new(const struct sio_cfg *cfg);
void sio_free(struct sio *s);

/* A session of the engine has begun. Protocol 4 is connected at once: not with SIO_TRUST_NONE. */
struct sio_opening {
    struct eio_sid sid;
    enum eio_version version;
    enum sio_trust trust;
    struct addr peer;
};
void sio_on_open(struct sio *s, const struct sio_opening *opening, uint64_t now_ms);
MUST_CHECK enum sio_happening sio_on_message(struct sio *s, struct span sid, bool binary,
                                             struct span data, struct sio_event *out,
                                             uint64_t now_ms);
void sio_on_closed(struct sio *s, struct span sid);

/* socket_id: what the client knows itself by from now on; random. */
void sio_connect(struct sio *s, struct span sid, struct span socket_id);
/* message: for people; plain text. */
void sio_refuse(struct sio *s, struct span sid, const char *message);
bool sio_is_connected(const struct sio *s, struct span sid);
size_t sio_waiting_count(const struct sio *s); /* sessions that are not connected */

/* body, JSON, to one client: as the acknowledgement id, or as an event without. Nothing for one
 * that has gone. */
void sio_answer(struct sio *s, struct span sid, struct span id, struct span body);

void sio_subscribe(struct sio *s, struct span sid);
bool sio_has_subscribers(const struct sio *s);
void sio_push(struct sio *s, struct span body); /* an event to all of them */

uint64_t sio_next_deadline_ms(const struct sio *s);
void sio_on_deadline(struct sio *s, uint64_t now_ms);

#endif
