/* engineio_packet.h: Engine.IO packets and polling payloads, revisions 3 and 4, both directions.
 * Pure.
 *
 * Packet    a type and data. Only messages (and probes) have data that means something; only a
 *           message may be binary.
 * WebSocket one packet a message. A binary one is the bytes alone (revision 4), or behind the
 *           type's byte (3).
 * Payload   what one polling request or answer carries: packets with 0x1E between them (4), or
 *           each as "<length>:<packet>", the length in UTF-16 code units (3). Binary data is "b"
 *           and base64 (4), "b4" and base64 (3), or in a body of its own kind as
 *           <00|01> <decimal digits, a byte each> <ff> <packet> (3, from browsers).
 * Limits    EIO_PACKETS_MAX in one payload.
 * Source    engine.io-protocol, revisions 3 and 4.
 */
#ifndef API_ENGINEIO_PACKET_H
#define API_ENGINEIO_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/span.h"

enum { EIO_PACKETS_MAX = 4096 };

enum eio_version { EIO_V3 = 3, EIO_V4 = 4 };

enum eio_type {
    EIO_OPEN,
    EIO_CLOSE,
    EIO_PING,
    EIO_PONG,
    EIO_MESSAGE,
    EIO_UPGRADE,
    EIO_NOOP,
};

struct eio_packet {
    enum eio_type type;
    bool binary;
    bool base64; /* decoded only, with binary: data is still base64 */
    struct span data;
};

/* One message of a WebSocket. data is borrowed from it.
 * returns 0, or ERR_MALFORMED with *why. */
MUST_CHECK int eio_frame_decode(struct eio_packet *out, enum eio_version version, bool binary,
                                struct span message, const char **why);

/* The message of a WebSocket for a packet; it is a binary one when the packet is. */
void eio_frame_encode(struct buf *out, enum eio_version version, const struct eio_packet *packet);

/* The packets of one body: eio_payload_begin, then eio_payload_next until it does not return 1. */
struct eio_payload {
    /* private */
    enum eio_version version;
    bool octets;
    bool over;
    size_t n_packets;
    struct span rest;
};

/* octets: the body's type is application/octet-stream. body is borrowed for the walk. */
void eio_payload_begin(struct eio_payload *p, enum eio_version version, bool octets,
                       struct span body);
/* returns 1 and the next packet, 0 at the end, ERR_MALFORMED or ERR_LIMIT with *why. */
MUST_CHECK int eio_payload_next(struct eio_payload *p, struct eio_packet *out, const char **why);

/* Adds a packet to a payload in text form. */
void eio_payload_add(struct buf *out, enum eio_version version, const struct eio_packet *packet);
/* How many bytes that adds at most. */
size_t eio_payload_cost(const struct eio_packet *packet);

/* How long valid UTF-8 is in UTF-16 code units; false when it is not valid. */
bool utf16_len(struct span text, size_t *units);

#endif
