/* pex.h: telling peers of peers (BEP 11). Client core, pure.
 *
 * Log       a torrent keeps one log of who came and went; each connection remembers how far it was
 *           told. A message has what is new for it, at most 50 added and 50 dropped a family; who
 *           came and went between two messages is in neither.
 * Pace      no more than one message a minute either way; the first of a connection at once and
 *           with everybody who is connected.
 * Never     for a private torrent (the caller sees to it).
 */
#ifndef CLIENT_PEX_H
#define CLIENT_PEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/endpoint.h"
#include "proto/ext.h"

enum {
    PEX_INTERVAL_MS = 60000,
    PEX_LOG_MAX = 1024,     /* events kept; who is further behind is told of all connected again */
    PEX_RECEIVE_MS = 45000, /* messages that come faster are not read */
};

struct pex_log;

struct pex_log *pex_log_new(void);
void pex_log_free(struct pex_log *log);
/* A peer whose listening address we know was connected, flags: enum ext_pex_flag; or has gone. */
void pex_log_added(struct pex_log *log, const struct endpoint *peer, unsigned flags);
void pex_log_dropped(struct pex_log *log, const struct endpoint *peer);

/* How far one connection was told. Zeroed at first. */
struct pex_cursor {
    /* private */
    uint64_t added_seq;   /* told of all that came up to here */
    uint64_t dropped_seq; /* and of all that went */
    uint64_t sent_ms;
    uint64_t received_ms;
    bool sent;
    bool received;
};

/* When the next message to it may go. */
uint64_t pex_due_ms(const struct pex_cursor *at);

/* Room for the lists of a message. */
struct pex_room {
    uint8_t added[EXT_PEX_PEERS_MAX * 6];
    uint8_t added_flags[EXT_PEX_PEERS_MAX];
    uint8_t added6[EXT_PEX_PEERS_MAX * 18];
    uint8_t added6_flags[EXT_PEX_PEERS_MAX];
    uint8_t dropped[EXT_PEX_PEERS_MAX * 6];
    uint8_t dropped6[EXT_PEX_PEERS_MAX * 18];
};

/* What to tell the connection to `to` (left out itself); moves the cursor, the rest waits for the
 * next message. False: nothing, or not due. */
bool pex_message(struct pex_log *log, struct pex_cursor *at, const struct endpoint *to,
                 uint64_t now_ms, struct pex_room *room, struct ext_pex *out);

/* May a message that came now be read? False when it came too soon. */
bool pex_accept(struct pex_cursor *at, uint64_t now_ms);

#endif
