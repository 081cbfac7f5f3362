/* disk.h: the files of torrents. Client shell: does the engine's disk jobs.
 *
 * Safety    a storage is a directory handle of the save path; every name below it is opened part by
 *           part with openat and O_NOFOLLOW, so that no name and no link leads out of it.
 * Read      preadv2 with RWF_NOWAIT inside disk_start when it is in the page cache (then done is
 *           called by the next disk_drain, without the pool); else in the thread pool.
 * Write     pwritev in the thread pool: a run of blocks at once. Files are made sparse and grow to
 *           their length when first written; with allocate they get their space at once.
 * Part file blocks of files that are not wanted (the edges of pieces) are in ".<info-hash>.parts"
 *           in the save path, at their place in the content (sparse); gone when it is not needed.
 * Fences    jobs that change names wait for those before them and hold those behind.
 * Handles   at most DISK_FILES_MAX files are open, the one unused for longest is closed first.
 * Thread    the loop's; work runs in libuv's pool on values of its own.
 */
#ifndef CLIENT_DISK_H
#define CLIENT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/assert.h"
#include "base/err.h"
#include "client/disk_job.h"
#include "client/layout.h"

enum { DISK_FILES_MAX = 512 };

struct disk;

struct disk_stats {
    uint64_t reads_cached; /* answered by RWF_NOWAIT */
    uint64_t reads_pool;
    uint64_t opens, open_hits;
    uint64_t jobs; /* with the pool now */
    /* Work on jobs, whoever did it: of all of them, and the parts that moved or hashed bytes. */
    uint64_t work_ns, read_ns, write_ns, hash_ns;
    uint64_t read_wait_ns;   /* from start to end, of a read: the mean of the last ones */
    uint64_t blocks_cached;  /* of reads_cached */
    uint32_t writing;        /* threads that write now */
    uint32_t n_deletes_held; /* of held[DISK_REMOVE]: with the data */
    /* Jobs that wait for one that changes names, or are that and wait for those before them. */
    uint32_t held[DISK_N_OPS];
};

/* on_done: a job has come back (also from disk_drain), to be given to the engine. */
struct disk *disk_new(uv_loop_t *loop, void (*on_done)(void *ctx, struct disk_job *job), void *ctx);
/* Every job must be back (or was never started). */
void disk_free(struct disk *d);

/* Where a torrent's files are. */
struct disk_storage_opts {
    const char *save_path;            /* absolute; made when it is first written to. Copied */
    const struct layout *layout;      /* borrowed until disk_remove_storage */
    const struct infohash *info_hash; /* names the part file */
    const uint8_t *wanted;            /* a byte a file, NULL: all. Copied */
    bool allocate;                    /* files get their space at once */
};

/* Jobs name it by id. */
void disk_add_storage(struct disk *d, torrent_id id, const struct disk_storage_opts *opts);
/* No job of it may be under way. */
void disk_remove_storage(struct disk *d, torrent_id id);

/* Takes the job until on_done. Never fails: an error is in the job. */
void disk_start(struct disk *d, struct disk_job *job);
/* Calls on_done for jobs that are done already. Returns false when there was none. */
bool disk_drain(struct disk *d);

/* Looks at every storage. */
void disk_stats(const struct disk *d, struct disk_stats *out);

/* Can the save path be used: absolute, inside one of the allowed folders (links resolved; the part
 * that does not exist yet is taken as it is), made if make is set, a folder, and writable?
 * 0, ERR_DENIED, ERR_INVALID or the system's with e. resolved: PATH_MAX bytes. */
MUST_CHECK int disk_check_path(const char *path, const char *const *allowed, size_t n_allowed,
                               bool make, char *resolved, struct err *e);

#endif
