/* embedded_proc.h: PostgreSQL's programs as processes: where they are, how they are started, what
 * one that was left behind is.
 *
 * Directory  a process gets the cluster as descriptor 3 and knows it as /proc/self/fd/3.
 * User       dir->uid and dir->gid when we are root. A session of its own, so that a Ctrl-C at our
 *            terminal does not reach it.
 */
#ifndef STORE_EMBEDDED_PROC_H
#define STORE_EMBEDDED_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <uv.h>

#include "base/assert.h"
#include "base/err.h"
#include "store/embedded_dir.h"

enum { PG_BIN_LEN = 512 };

/* The folder with initdb and postgres: of that major version ("15"), or the newest when version is
 * empty. ERR_NOT_FOUND names the package to install. */
MUST_CHECK int pg_bin_find(char out[static PG_BIN_LEN], const char *version, struct err *e);

enum pg_program { PG_INITDB, PG_POSTGRES };

struct pg_spawn {
    enum pg_program program;
    const char *bin; /* from pg_bin_find */
    const struct cluster_dir *dir;
    int out_fd; /* stdout and stderr of the process */
    uv_exit_cb on_exit;
};

/* process has to be closed in any case, also when this returns an error. */
MUST_CHECK int pg_spawn(uv_process_t *process, uv_loop_t *loop, const struct pg_spawn *spec,
                        struct err *e);

/* A postmaster that runs on this cluster: a pidfd (the caller's) with *pid, or ERR_NOT_FOUND, or
 * ERR_IN_USE when there is a postgres of which we cannot see what it runs on (e filled for both).
 * A pid file that names a process which is something else is removed, because PostgreSQL would
 * believe it; so are the socket and its lock when nothing runs. */
int pg_left_find(const struct cluster_dir *dir, pid_t *pid, struct err *e);
/* Like kill(2), but never the wrong process. */
void pg_left_signal(int pidfd, int signal_number);

/* Does the postmaster pid accept connections? */
bool pg_is_ready(const struct cluster_dir *dir, pid_t pid);

/* The line that tells best what went wrong in fd's text from offset on; out gets one line. */
void pg_complaint(char *out, size_t cap, int fd, off_t offset);

#endif
