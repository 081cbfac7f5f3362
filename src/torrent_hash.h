/* torrent_hash.h: the SHA-1 of every piece of files on disk, on several threads.
 *
 * Result   does not depend on the number of threads.
 * Memory   one read buffer a thread, whatever the piece length.
 * Refused  a file that is not any more what the walk found (length, time of change, identity), when
 *          a thread begins with it or is done with it.
 */
#ifndef TORRENT_HASH_H
#define TORRENT_HASH_H

#include <stdint.h>

#include "base/assert.h"
#include "torrent_files.h"

struct torrent_hash {
    const struct torrent_files *files;
    uint32_t piece_len;
    uint32_t n_pieces;
    unsigned n_threads; /* at least 1 */
    uint8_t *hashes;    /* room for n_pieces of 20 bytes */

    /* Called by this thread several times a second until all is hashed; NULL: never. */
    void (*progress)(void *ctx, uint64_t done_len);
    void *ctx;
};

/* What failed; both borrowed. */
struct torrent_hash_fault {
    const char *path; /* of files; NULL: it was no file */
    const char *why;
};

/* returns  0, or ERR_* with *fault. */
MUST_CHECK int torrent_hash_run(const struct torrent_hash *job, struct torrent_hash_fault *fault);

#endif
