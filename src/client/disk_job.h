/* disk_job.h: what the engine asks of the disk, and what comes back. Client core: plain values.
 *
 * Life      the engine makes a job and gives it out (ENGINE_OUT_DISK); whoever does it fills status,
 *           err and the results, and gives it back with engine_on_disk exactly once, in any order
 *           but one: jobs of a torrent that change names (REMOVE, WANTED) are done after all jobs of
 *           it that were given out before, and before all later ones.
 * Buffers   belong to the engine and stay until the job is back.
 * Errors    status 0 or ERR_*; err names the path ("downloads/a/b.bin: No space left on device").
 */
#ifndef CLIENT_DISK_JOB_H
#define CLIENT_DISK_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "client/layout.h"
#include "client/pieces.h"

typedef uint64_t torrent_id; /* 0: none; never used twice */

enum disk_op {
    DISK_READ,   /* content[offset, offset + len) into bufs[0] (len <= its cap) */
    DISK_WRITE,  /* bufs one behind the other to content[offset, offset + len) */
    DISK_HASH,   /* digest: SHA-1 of content[offset, offset + len), one piece; ERR_NOT_FOUND when a
                    file of it is missing or too short */
    DISK_CHECK,  /* do the files exist with their sizes? any_data, n_missing; ERR_NOT_FOUND when one
                    does not, ERR_UNAVAILABLE when the save path itself is not there */
    DISK_SYNC,   /* everything written so far is on stable storage */
    DISK_REMOVE, /* close the files; with_data: delete them, then folders that this leaves empty
                    inside the torrent's own folder */
    DISK_WANTED, /* wanted[] has changed: what the part file has of files that are wanted now goes
                    where it belongs */
    DISK_CLOSE,  /* close the files (pause): they are opened again by the next job */
};
enum { DISK_N_OPS = DISK_CLOSE + 1 };

struct disk_job {
    enum disk_op op;
    torrent_id torrent;
    uint64_t offset; /* in the content; READ, WRITE, HASH */
    uint32_t len;
    uint32_t n_bufs;
    struct data_buf *bufs[PIECE_RUN_BLOCKS];
    bool with_data;        /* REMOVE */
    const uint8_t *wanted; /* WANTED: a byte a file of the layout; borrowed until it is back */

    int status;
    struct err err;
    uint8_t digest[20];
    bool any_data;
    uint32_t n_missing;

    /* private to the engine */
    conn_id conn;
    uint32_t piece;
    uint32_t begin;
    uint64_t begun_ms;
    struct wire_block *blocks; /* READ: what of it is to be sent to conn */
    uint32_t n_blocks;
    bool marked; /* READ: conn was unchoked; WRITE: it tries if there is space */
    struct disk_job *next;
};

#endif
