/* engineio.h: Engine.IO sessions, over polling requests and WebSockets. No I/O, no clock, no
 * globals.
 *
 * Model      a session has a secret name, its sid, and one transport: polling, where a GET hangs
 *            until there is something and a POST brings packets, or a WebSocket. Polling may be
 *            upgraded.
 * Links      a GET that hangs and a WebSocket are pointers of the caller's that are only handed
 *            back. A GET is handed back exactly once, with its answer; a WebSocket that
 *            EIO_OUT_CUT hands back is the caller's to close, and means nothing here any more.
 * Use        one call in, then eio_next_out until it has nothing more; eio_next_deadline_ms.
 * Heartbeat  revision 4: the server pings every ping_interval_ms and waits ping_timeout_ms for the
 *            pong. Revision 3: the client pings; the session ends after both without a packet.
 * Limits     max_sessions; EIO_QUEUE_LEN packets and EIO_QUEUE_BYTES for a client that does not
 *            take them, which ends its session; EIO_PROBE_MS for an upgrade.
 * Source     engine.io-protocol, revisions 3 and 4.
 */
#ifndef API_ENGINEIO_H
#define API_ENGINEIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/engineio_packet.h"
#include "base/assert.h"
#include "base/digest.h"
#include "base/span.h"

enum {
    EIO_SID_LEN = 20,
    EIO_QUEUE_LEN = 4096,
    EIO_QUEUE_BYTES = 32 * 1024 * 1024,
    EIO_PROBE_MS = 10000,
    EIO_NOOP_MS = 100, /* between two releases of a GET that hangs while an upgrade is under way */
};

struct eio_sid {
    char text[EIO_SID_LEN + 1];
};

/* Why a request is refused, as the protocol numbers it. */
enum eio_fault {
    EIO_FAULT_TRANSPORT,
    EIO_FAULT_SID,
    EIO_FAULT_METHOD,
    EIO_FAULT_REQUEST,
    EIO_FAULT_FORBIDDEN,
    EIO_FAULT_VERSION,
    EIO_FAULT_NONE,
};

struct eio_cfg {
    uint32_t ping_interval_ms;
    uint32_t ping_timeout_ms;
    size_t max_payload; /* bytes of packets in an answer; the client is told to keep to it too */
    size_t max_sessions;
    struct siphash_key seed;
};

enum eio_out_type {
    EIO_OUT_ANSWER,  /* link, a GET: 200 with data */
    EIO_OUT_SEND,    /* link, a WebSocket: data */
    EIO_OUT_CUT,     /* link, a WebSocket: close it; bad: its client broke the protocol */
    EIO_OUT_OPENED,  /* a session begins */
    EIO_OUT_MESSAGE, /* data */
    EIO_OUT_CLOSED,  /* a session has ended; why */
};

struct eio_out {
    enum eio_out_type type;
    enum eio_version version;
    struct eio_sid sid;
    void *link;
    bool binary;
    bool bad;
    const char *why;
    struct span data; /* until the next call */
};

struct eio_stats {
    uint64_t polling, websocket; /* sessions open now, by their transport */
    uint64_t opened;             /* ever */
    uint64_t dropped;            /* packets that the client had not taken when its session ended */
};

struct eio;

struct eio *eio_new(const struct eio_cfg *cfg);
void eio_free(struct eio *e); /* sessions end without a word */
size_t eio_count(const struct eio *e);
/* cost O(sessions) */
void eio_stats(const struct eio *e, struct eio_stats *out);
bool eio_knows(const struct eio *e, struct span sid);
/* The WebSockets of a session, its transport or a probe: how many. */
size_t eio_websockets(const struct eio *e, struct span sid, void *out[static 2]);

/* A request without a sid: link is the GET, or the WebSocket. sid is new and nobody can guess it.
 * returns 0, or ERR_LIMIT: max_sessions, and link stays the caller's. */
struct eio_opening {
    struct eio_sid sid;
    enum eio_version version;
    bool websocket;
    void *link;
};
MUST_CHECK int eio_on_open(struct eio *e, const struct eio_opening *opening, uint64_t now_ms);

/* A GET with a sid. With a fault link stays the caller's, who refuses it. */
MUST_CHECK enum eio_fault eio_on_poll(struct eio *e, struct span sid, void *link, uint64_t now_ms);
/* A POST with a sid. octets: its type is application/octet-stream. Without a fault: "ok". */
MUST_CHECK enum eio_fault eio_on_post(struct eio *e, struct span sid, bool octets, struct span body,
                                      uint64_t now_ms);
/* A WebSocket with a sid that eio_knows. */
void eio_on_probe(struct eio *e, struct span sid, void *link, uint64_t now_ms);
/* A message of a WebSocket, and its end. */
void eio_on_frame(struct eio *e, struct span sid, void *link, bool binary, struct span message,
                  uint64_t now_ms);
void eio_on_gone(struct eio *e, struct span sid, const void *link);

/* Nothing for a session that has ended. data is copied. */
void eio_send(struct eio *e, struct span sid, bool binary, struct span data);
/* bad: its client broke the protocol. why is static. */
void eio_close(struct eio *e, struct span sid, bool bad, const char *why);
void eio_close_all(struct eio *e, const char *why);

uint64_t eio_next_deadline_ms(const struct eio *e);
void eio_on_deadline(struct eio *e, uint64_t now_ms);

/* The next thing to do; false when there is none. */
bool eio_next_out(struct eio *e, struct eio_out *out);

#endif
