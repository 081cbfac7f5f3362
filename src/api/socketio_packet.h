/* socketio_packet.h: Socket.IO packets, protocols 4 and 5, both directions. Pure.
 *
 * Form      <type>[<n attachments>-][<namespace>,][<ack id>][<json>]. The namespace "/" is left
 *           out.
 * JSON      is only looked at here: it is one value of the kind that its type of packet asks for,
 *           not deeper than SIO_DEPTH_MAX, and nothing comes behind it. Whoever parses it then may
 *           use recursion.
 * Binary    attachments are Engine.IO packets of their own, right behind theirs; in the JSON
 *           {"_placeholder":true,"num":0} stands for the first.
 * Limits    SIO_ATTACHMENTS_MAX, SIO_DEPTH_MAX, SIO_NAMESPACE_MAX, SIO_ID_DIGITS_MAX.
 * Source    socket.io-protocol, revisions 4 and 5.
 */
#ifndef API_SOCKETIO_PACKET_H
#define API_SOCKETIO_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/span.h"

enum {
    SIO_ATTACHMENTS_MAX = 8,
    SIO_DEPTH_MAX = 32,
    SIO_NAMESPACE_MAX = 256,
    SIO_ID_DIGITS_MAX = 19,
};

enum sio_type {
    SIO_CONNECT,
    SIO_DISCONNECT,
    SIO_EVENT,
    SIO_ACK,
    SIO_ERROR, /* CONNECT_ERROR in protocol 5 */
    SIO_BINARY_EVENT,
    SIO_BINARY_ACK,
};

struct sio_packet {
    enum sio_type type;
    size_t n_attachments;
    struct span nsp; /* empty: "/". In protocol 4 with its query string, if any */
    struct span id;  /* digits; empty: no acknowledgement is asked for */
    struct span json;
};

/* The text of an Engine.IO message; the spans are borrowed from it.
 * returns 0, ERR_MALFORMED or ERR_LIMIT with *why. */
MUST_CHECK int sio_packet_decode(struct sio_packet *out, struct span text, const char **why);

/* json must be valid; it is written in ASCII, which keeps lengths the same in every way a client
 * may count them. */
void sio_packet_encode(struct buf *out, const struct sio_packet *packet);

/* Where the one JSON value at the start of text ends, or 0: it is none, or it is too deep. */
size_t sio_json_end(struct span text);

/* The first element of an array that sio_json_end takes, and what is behind its comma; false for an
 * empty array. Elements have no blanks around them. */
bool sio_array_begin(struct span array, struct span *element, struct span *rest);
/* The next element; *rest as the call before left it. False at the end. */
bool sio_array_next(struct span *element, struct span *rest);

/* JSON in ASCII: every other character as \uXXXX. json is valid. */
void sio_add_ascii(struct buf *out, struct span json);

#endif
