#include "store/embedded_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/span.h"
#include "store/pg_err.h"

#include "base/banned.h"

#define CLUSTER_PATH "/proc/self/fd/3"
#define PID_FILE     "postmaster.pid"
#define SOCKET_FILE  ".s.PGSQL.5432"

enum { PID_FILE_STATUS_LINE = 8, COMPLAINT_LEN = 8192 };

/* ---- where they are ----------------------------------------------------------------------- */

static bool bin_has_both(const char *folder)
{
    static const char *const programs[] = {"initdb", "postgres"};
    for (size_t i = 0; i < 2; i++) {
        char path[PG_BIN_LEN + 16];
        (void)snprintf(path, sizeof path, "%s/%s", folder, programs[i]);
        if (access(path, X_OK) < 0) {
            return false;
        }
    }
    return true;
}

/* Debian's layout: /usr/lib/postgresql/15/bin. */
static bool bin_find_debian(char out[static PG_BIN_LEN], const char *version)
{
    static const char before[] = "/usr/lib/postgresql/";
    uint64_t best = 0;
    glob_t found;
    if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) != 0) {
        return false;
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct span major = span_cut(span_str(found.gl_pathv[i] + sizeof before - 1), '/', NULL);
        uint64_t number;
        if (parse_u64(&number, major, 1000) && number > best &&
            (version[0] == '\0' || span_eq(major, span_str(version))) &&
            strlen(found.gl_pathv[i]) < PG_BIN_LEN && bin_has_both(found.gl_pathv[i])) {
            best = number;
            (void)snprintf(out, PG_BIN_LEN, "%s", found.gl_pathv[i]);
        }
    }
    globfree(&found);
    return best > 0;
}

static bool bin_find_path(char out[static PG_BIN_LEN])
{
    const char *path = getenv("PATH");
    struct span rest = path == NULL ? span_of(NULL, 0) : span_str(path);
    while (rest.n > 0) {
        struct span folder = span_cut(rest, ':', &rest);
        if (folder.n > 0 && folder.n < PG_BIN_LEN) {
            memcpy(out, folder.p, folder.n);
            out[folder.n] = '\0';
            if (bin_has_both(out)) {
                return true;
            }
        }
    }
    return false;
}

int pg_bin_find(char out[static PG_BIN_LEN], const char *version, struct err *e)
{
    if (bin_find_debian(out, version) || bin_find_path(out)) {
        return 0;
    }
    if (version[0] == '\0') {
        return err_set(e, ERR_NOT_FOUND,
                       "PostgreSQL is not installed: apt-get install postgresql, "
                       "or set database.url");
    }
    return err_set(e, ERR_NOT_FOUND,
                   "the embedded database needs PostgreSQL %s: apt-get install postgresql-%s",
                   version, version);
}

/* ---- starting ----------------------------------------------------------------------------- */

/* Small and quiet: this database serves one program. */
#define POSTGRES_SETTINGS                                                                          \
    "-c", "listen_addresses=", "-c", "unix_socket_directories=" CLUSTER_PATH, "-c", "port=5432",   \
        "-c", "unix_socket_permissions=0700", "-c", "shared_buffers=64MB", "-c",                   \
        "max_connections=20", "-c", "huge_pages=off", "-c", "wal_level=minimal", "-c",             \
        "max_wal_senders=0", "-c", "max_wal_size=256MB", "-c", "jit=off", "-c",                    \
        "max_parallel_workers_per_gather=0", "-c", "autovacuum_max_workers=1", "-c",               \
        "logging_collector=off", "-c", "log_destination=stderr", "-c", "log_checkpoints=off",      \
        "-c", "timezone=UTC", "-c", "log_timezone=UTC", "-c", "log_statement=none"

int pg_spawn(uv_process_t *process, uv_loop_t *loop, const struct pg_spawn *spec, struct err *e)
{
    char file[PG_BIN_LEN + 16];
    (void)snprintf(file, sizeof file, "%s/%s", spec->bin,
                   spec->program == PG_INITDB ? "initdb" : "postgres");
    /* By its whole path, from which each of them finds what it was installed with. */
    const char *const initdb_args[] = {file,      "-D", CLUSTER_PATH, "-A",         "trust", "-U",
                                       "rookery", "-E", "UTF8",       "--locale=C", NULL};
    const char *const postgres_args[] = {file, "-D", CLUSTER_PATH, POSTGRES_SETTINGS, NULL};
    /* Nothing of our own environment, which may have PGOPTIONS and the like; messages in English
     * for pg_complaint. */
    static const char *const environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C",
                                              NULL};
    const char *const *args = spec->program == PG_INITDB ? initdb_args : postgres_args;
    uv_stdio_container_t stdio[4] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = spec->out_fd},
        {.flags = UV_INHERIT_FD, .data.fd = spec->out_fd},
        {.flags = UV_INHERIT_FD, .data.fd = spec->dir->fd},
    };
    uv_process_options_t options = {
        .exit_cb = spec->on_exit,
        .file = file,
        .args = (char **)args,       /* libuv does not write to them */
        .env = (char **)environment, /* nor to these */
        .cwd = "/",                  /* ours may be closed to that user */
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = 4,
        .stdio = stdio,
    };
    if (geteuid() == 0) {
        options.flags |= UV_PROCESS_SETUID | UV_PROCESS_SETGID;
        options.uid = spec->dir->uid;
        options.gid = spec->dir->gid;
    }
    int status = uv_spawn(loop, process, &options);
    return status < 0 ? err_set_errno(e, -status, "start %s", file) : 0;
}

/* ---- one that was left behind ------------------------------------------------------------- */

static size_t read_file(int dir_fd, const char *name, char *out, size_t cap)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, cap - 1);
    if (fd >= 0) {
        (void)close(fd);
    }
    out[n < 0 ? 0 : n] = '\0';
    return n < 0 ? 0 : (size_t)n;
}

/* The pid in the first line, and the line with the status; 0 when there is none. */
static pid_t pid_file_read(const struct cluster_dir *dir, bool *ready)
{
    char text[1024];
    uint64_t pid = 0;
    struct span rest = span_of(text, read_file(dir->fd, PID_FILE, text, sizeof text));
    if (!parse_u64(&pid, span_cut(rest, '\n', NULL), INT32_MAX) || pid < 2) {
        return 0;
    }
    struct span line = {NULL, 0};
    for (int i = 0; i < PID_FILE_STATUS_LINE; i++) {
        line = span_cut(rest, '\n', &rest);
    }
    *ready = span_starts_with(line, SPAN("ready"));
    return (pid_t)pid;
}

/* The process that listens on the cluster's socket; 0 when nobody does. */
static pid_t socket_owner(const struct cluster_dir *dir)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct ucred peer = {.pid = 0};
    socklen_t len = sizeof peer;
    (void)snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/" SOCKET_FILE, dir->fd);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return 0;
    }
    if (connect(fd, (const struct sockaddr *)&at, sizeof at) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
        peer.pid = 0;
    }
    (void)close(fd);
    return peer.pid;
}

enum runs { RUNS_ELSEWHERE, RUNS_HERE, RUNS_UNKNOWN };

/* Is it a postgres whose working directory is the cluster? Only a postmaster and its children
 * are. Root in a container may not look into other users' processes; then the socket tells. */
static enum runs runs_on(const struct cluster_dir *dir, pid_t pid)
{
    char path[64], name[32];
    struct stat theirs, ours;
    (void)snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    (void)read_file(AT_FDCWD, path, name, sizeof name);
    (void)snprintf(path, sizeof path, "/proc/%d/cwd", (int)pid);
    if (strcmp(name, "postgres\n") != 0 || fstat(dir->fd, &ours) < 0) {
        return RUNS_ELSEWHERE;
    }
    if (stat(path, &theirs) == 0) {
        return theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino ? RUNS_HERE
                                                                            : RUNS_ELSEWHERE;
    }
    if (errno != EACCES && errno != EPERM) {
        return RUNS_ELSEWHERE; /* gone, or a zombie */
    }
    return socket_owner(dir) == pid ? RUNS_HERE : RUNS_UNKNOWN;
}

static void left_remove_files(const struct cluster_dir *dir, bool pid_file)
{
    if (pid_file) {
        (void)unlinkat(dir->fd, PID_FILE, 0);
    }
    (void)unlinkat(dir->fd, SOCKET_FILE ".lock", 0);
    (void)unlinkat(dir->fd, SOCKET_FILE, 0);
}

int pg_left_find(const struct cluster_dir *dir, pid_t *pid, struct err *e)
{
    bool ready;
    *pid = pid_file_read(dir, &ready);
    /* The descriptor first: what is looked at then is what it stands for, or gone. EINVAL: the
     * number of a thread, which no postmaster has. */
    int pidfd = *pid == 0 ? -1 : pidfd_open(*pid, 0);
    int failed = *pid == 0 ? ESRCH : pidfd < 0 ? errno : 0;
    enum runs runs = failed == 0                           ? runs_on(dir, *pid)
                     : failed == ESRCH || failed == EINVAL ? RUNS_ELSEWHERE
                                                           : RUNS_UNKNOWN;
    if (runs == RUNS_HERE) {
        return pidfd;
    }
    if (pidfd >= 0) {
        (void)close(pidfd);
    }
    if (runs == RUNS_UNKNOWN) {
        return err_set(
            e, ERR_IN_USE,
            "process %d may be a database server on %s/postgres; stop it, or remove " PID_FILE
            " there",
            (int)*pid, dir->data_dir);
    }
    left_remove_files(dir, failed != ESRCH);
    return err_set(e, ERR_NOT_FOUND, "no database server runs there");
}

void pg_left_signal(int pidfd, int signal_number)
{
    (void)pidfd_send_signal(pidfd, signal_number, NULL, 0); /* gone already is fine */
}

bool pg_is_ready(const struct cluster_dir *dir, pid_t pid)
{
    bool ready = false;
    return pid_file_read(dir, &ready) == pid && ready;
}

/* ---- what it said ------------------------------------------------------------------------- */

void pg_complaint(char *out, size_t cap, int fd, off_t offset)
{
    static const char *const tell[] = {"error:", "FATAL:", "PANIC:", "ERROR:"};
    char text[COMPLAINT_LEN];
    ssize_t n = pread(fd, text, sizeof text - 1, offset);
    char *best = NULL, *last = NULL, *next = text;
    text[n < 0 ? 0 : n] = '\0';
    while (next != NULL && best == NULL && *next != '\0') {
        char *line = next;
        char *end = strchr(line, '\n');
        next = end == NULL ? NULL : end + 1;
        if (end != NULL) {
            *end = '\0';
        }
        last = *line != '\0' ? line : last;
        for (size_t i = 0; best == NULL && i < sizeof tell / sizeof *tell; i++) {
            best = strstr(line, tell[i]);
        }
    }
    pg_one_line(out, cap, best != NULL ? best : last != NULL ? last : "it said nothing");
}
