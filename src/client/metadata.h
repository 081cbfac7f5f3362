/* metadata.h: fetching an info dictionary from peers (BEP 9). Client core: no I/O.
 *
 * Size      the first peer whose claim is believed sets it (1..size_max); others with another claim
 *           wait until it has proven wrong. A dictionary whose hash is wrong is thrown away, those
 *           who sent it are told by metadata_next_liar (when there is only one, else nobody), and
 *           it begins again with another size or other peers.
 * Requests  METADATA_ASKED_MAX a peer at once, METADATA_TIMEOUT_MS each; silence or a reject keeps a
 *           peer out for METADATA_PAUSE_MS. Whatever changes may make any peer worth asking: ask for
 *           all of them after each input here.
 */
#ifndef CLIENT_METADATA_H
#define CLIENT_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ids.h"
#include "base/span.h"
#include "client/pieces.h"
#include "proto/ext.h"

enum {
    METADATA_LEN_MAX = 32 << 20,
    METADATA_ASKED_MAX = 2,
    METADATA_TIMEOUT_MS = 20000,
    METADATA_PAUSE_MS = 60000,
};

struct metadata;

struct metadata *metadata_new(const struct infohash *info_hash);
void metadata_free(struct metadata *m);

/* A peer that has ut_metadata said how long it is (0: it does not know); it may be asked. */
void metadata_on_peer(struct metadata *m, conn_id peer, uint32_t size);
void metadata_on_gone(struct metadata *m, conn_id peer);

/* The next piece to ask this peer for. False: none now. */
bool metadata_next_request(struct metadata *m, conn_id peer, uint64_t now_ms, uint32_t *piece);

enum metadata_result {
    METADATA_MORE,
    METADATA_DONE,       /* the hash is right: metadata_take */
    METADATA_UNEXPECTED, /* not asked for, or not as agreed: ignored */
    METADATA_BAD,        /* complete and wrong: begun again */
};
enum metadata_result metadata_on_data(struct metadata *m, conn_id peer, uint32_t piece,
                                      uint32_t total_size, struct span data);
void metadata_on_reject(struct metadata *m, conn_id peer, uint32_t piece, uint64_t now_ms);

/* After METADATA_BAD: whom to drop. False: nobody is known to have lied. */
bool metadata_next_liar(struct metadata *m, conn_id *peer);

/* The dictionary, now the caller's (free()). After METADATA_DONE. */
uint8_t *metadata_take(struct metadata *m, size_t *len);

/* Requests that time out are given to others; peers that were kept out may be asked again.
 * UINT64_MAX: none. */
uint64_t metadata_deadline_ms(const struct metadata *m);
void metadata_on_deadline(struct metadata *m, uint64_t now_ms);

/* Pieces that arrived of those there are; 0 of 0 before a size is known. */
void metadata_progress(const struct metadata *m, uint32_t *n_have, uint32_t *n_pieces);

#endif
