/* embedded_dir.h: the directory of the embedded cluster: whose it is, how it comes to be.
 *
 * Layout    data_dir/postgres           the cluster; has the file rookery-cluster: our mark
 *           data_dir/postgres-new/      being made: rookery-cluster, and in cluster/ what will be
 *                                       moved to data_dir/postgres when it is complete
 *           data_dir/postgres.log       what the server has to say
 * Crash     at any point: what is there at the next start is complete and marked, or is removed.
 * Foreign   anything without the mark is left alone (ERR_DENIED).
 * Blocks    a few calls on local files, at start only.
 */
#ifndef STORE_EMBEDDED_DIR_H
#define STORE_EMBEDDED_DIR_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/assert.h"
#include "base/err.h"

struct cluster_dir {
    const char *data_dir; /* borrowed from who opened it */
    int data_fd;          /* data_dir; -1 when not open */
    int fd;               /* the cluster, also after it was moved; -1 when not open */
    bool complete;        /* false: initdb has to run, then cluster_dir_adopt */
    uid_t uid;            /* the user that PostgreSQL runs as */
    gid_t gid;
    char version[16]; /* of a complete cluster ("15"), else empty */
};

/* Opens the cluster of data_dir, or makes an empty place for a new one. */
MUST_CHECK int cluster_dir_open(struct cluster_dir *d, const char *data_dir, struct err *e);
/* After initdb: marks the new cluster and moves it where it belongs. */
MUST_CHECK int cluster_dir_adopt(struct cluster_dir *d, struct err *e);
void cluster_dir_release(struct cluster_dir *d);

/* The server's log, to append to; a long one is moved to postgres.log.1 first. */
MUST_CHECK int cluster_dir_open_log(const struct cluster_dir *d, struct err *e);

#endif
