/* disk_impl.h: what the parts of the disk share. For disk*.c only.
 *
 * Loop      struct disk, its storages and the table of open files (disk_files.c) belong to the loop's
 *           thread. A file in use by a task is pinned: it is closed after the task is back.
 * Pool      a task is what a thread of the pool gets: descriptors, ranges, and a view of the storage
 *           (struct disk_place) whose texts stay as they are while a task is under way. What it
 *           opens it leaves in the task, and the loop takes it into the table.
 */
#ifndef CLIENT_DISK_IMPL_H
#define CLIENT_DISK_IMPL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/map.h"
#include "client/disk.h"
#include "net/job.h"

/* In the place of a file's number. */
#define DISK_ROOT UINT32_MAX       /* the save path itself */
#define DISK_PART (UINT32_MAX - 1) /* the part file */

enum {
    DISK_PART_NAME_LEN = 1 + HEX20_LEN + 7, /* ".<info-hash>.parts", ".<info-hash>.moving" */
    DISK_KEEP_MAX = 64,                     /* files that one task leaves open at most */
    DISK_COPY_LEN = 1 << 18,
};

/* A storage as the pool sees it. */
struct disk_place {
    const char *save_path;
    const char *part_name;
    const char *moving_name; /* of a file that DISK_WANTED is making */
    const struct layout *layout;
    const uint8_t *wanted; /* NULL: all */
    bool allocate;
    bool known; /* the save path has been there, on this device */
    dev_t device;
};

/* ---- the loop's thread ----------------------------------------------------------------------- */

struct disk_key {
    uint64_t torrent;
    uint64_t file;
};

/* An open file. */
struct disk_file {
    struct map_node
        node; /* not linked: a newer one is in its place, or it is not to be used again */
    struct disk_key key;
    struct list by_age;     /* while no task has it */
    struct list of_storage; /* while it is in the table */
    uint32_t refs;          /* tasks */
    int fd;
    bool writable;
    bool in_memory; /* reading it never waits for a device */
};

struct disk_storage {
    struct map_node node;
    torrent_id id;
    struct disk_place place; /* for the next task; its texts are these: */
    char *save_path;
    uint8_t *wanted;
    char part_name[DISK_PART_NAME_LEN + 1];
    char moving_name[DISK_PART_NAME_LEN + 1];
    uint8_t *
        dirty; /* a bit a file and one for the part file: written since the last sync; NULL: none */
    bool made; /* names were made since then */
    struct list files;   /* the open ones */
    struct list waiting; /* tasks */
    uint32_t n_running;
    uint32_t n_fences;  /* waiting or running */
    bool fenced;        /* the one that runs holds those behind it */
    uint32_t n_writing; /* that run */
};

struct disk {
    uv_loop_t *loop;
    void (*on_done)(void *ctx, struct disk_job *job);
    void *ctx;
    struct map storages; /* by id */
    struct map files;    /* by torrent and number */
    struct list by_age;  /* open files that no task has, the one unused for longest first */
    uint32_t n_open;
    uint32_t n_reserved; /* tasks may bring that many more */
    int *closing;        /* descriptors that the next task closes */
    size_t n_closing;
    size_t closing_cap;
    struct disk_job **done; /* for disk_drain */
    size_t n_done;
    size_t done_cap;
    struct disk_stats stats;
    atomic_uint n_writing; /* counted by the pool's threads */
};

/* The open file, or NULL; pinned: until disk_files_unpin. */
struct disk_file *disk_files_find(struct disk *d, torrent_id torrent, uint32_t file, bool writable);
struct disk_file *disk_files_pin(struct disk *d, torrent_id torrent, uint32_t file, bool writable);
void disk_files_unpin(struct disk *d, struct disk_file *f);
/* It was used just now. */
void disk_files_touch(struct disk *d, struct disk_file *f);
/* Makes room for up to want more, and returns for how many. Give them back with n_reserved. */
uint32_t disk_files_reserve(struct disk *d, uint32_t want);
/* Takes a descriptor over, of a file that was opened within a reservation. */
void disk_files_put(struct disk *d, struct disk_storage *s, uint32_t file, int fd, bool writable);
/* Nobody finds the storage's files again; they are closed by the next task, or once unpinned. */
void disk_files_forget(struct disk *d, struct disk_storage *s);
/* Closes on this thread what waits for the next task. */
void disk_files_close(struct disk *d);

/* ---- a thread of the pool -------------------------------------------------------------------- */

/* One descriptor in a task. */
struct disk_fd {
    struct disk_file *pinned; /* the loop's */
    int fd;                   /* -1: not open */
    bool opened;              /* by the task; the loop takes it over */
    bool writable;
};

struct disk_range {
    struct layout_range at;
    struct disk_fd file;
    bool in_part; /* it was read from or written to the part file */
    bool written;
};

/* The folder that was walked to last: the next file is often in it too. */
struct disk_folder {
    int fd; /* -1: none; may be the root's */
    const char *path;
    size_t len; /* of the folder in path */
};

struct disk_task {
    struct job job;
    struct list waiting;
    struct disk *d;         /* the loop's, but for n_writing */
    struct disk_storage *s; /* the loop's */
    struct disk_job *j;

    struct disk_place place;
    struct disk_fd root;
    struct disk_fd part;
    struct disk_folder folder;
    int *closing; /* to be closed first */
    size_t n_closing;
    uint32_t keep; /* it may leave that many files open */
    uint32_t n_kept;
    uint8_t *dirty; /* SYNC: the storage's */
    bool sync_names;

    uint64_t start_ns; /* a READ came in */
    uint64_t wait_ns;  /* from then to its end */
    uint64_t work_ns;
    uint64_t hash_ns; /* of work_ns: the digest alone */

    uint32_t n_opens;
    bool found;     /* the save path, on place.device */
    bool made;      /* a name */
    bool part_gone; /* WANTED: it was removed */
    uint32_t n_ranges;
    struct disk_range ranges[];
};

/* What a walk may do. */
enum disk_how {
    DISK_HOW_READ = 0,
    DISK_HOW_WRITE = 1 << 0,
    DISK_HOW_MAKE = 1 << 1, /* what is missing, the save path too */
};

/* disk_open.c. Each returns 0 or ERR_*, then the job's err is filled. */

/* root.fd is open. ERR_UNAVAILABLE: it is not there, or not the one that was there before. */
MUST_CHECK int disk_open_root(struct disk_task *t, bool make);
/* folder.fd is path[0, len); the root when len is 0. ERR_NOT_FOUND: it does not exist. path is
 * borrowed until the task is done. */
MUST_CHECK int disk_enter_folder(struct disk_task *t, const char *path, size_t len, bool make);
/* The same for the folder that path is in; *name is its last part. */
MUST_CHECK int disk_open_folder(struct disk_task *t, const char *path, bool make,
                                const char **name);
/* What is known of a regular file, its folder left open in folder; anything else in its place is
 * refused. *name is the last part of path. */
MUST_CHECK int disk_stat_file(struct disk_task *t, const char *path, const char **name,
                              struct stat *st);
/* A regular file below the root, not to be kept: the caller's. */
MUST_CHECK int disk_open_path(struct disk_task *t, const char *path, unsigned how, int *fd);
/* The descriptor that a range is in, the part file's or its own, long enough when it is written. */
MUST_CHECK int disk_open_range(struct disk_task *t, struct disk_range *r, unsigned how, int *fd);
/* The range is done: closes what the task may not keep. */
void disk_close_range(struct disk_range *r);
MUST_CHECK int disk_open_part(struct disk_task *t, unsigned how);
/* fd gets the length of a file of the torrent if it is shorter. */
MUST_CHECK int disk_grow(struct disk_task *t, int fd, const char *path, uint64_t len);
/* Closes what the task does not hand over. */
void disk_open_end(struct disk_task *t);

/* The job's error: save_path/path[0, len), or the save path alone when len is 0, and a text. */
int disk_fail(struct disk_task *t, int errno_value, const char *path, size_t len);
int disk_fail_text(struct disk_task *t, int code, const char *path, size_t len, const char *text);
/* The same for a name that may not be a link: tells links and wrong types from other errors. */
int disk_fail_name(struct disk_task *t, int errno_value, int at, const char *path, size_t len);

static inline bool disk_is_wanted(const struct disk_place *p, uint32_t file)
{
    return p->wanted == NULL || p->wanted[file] != 0;
}

/* disk_check.c: the folders from the save path to path are on stable storage. before: a path whose
 * folders are already; NULL: none. */
MUST_CHECK int disk_sync_folders(struct disk_task *t, const char *path, const char *before);

/* The work of each kind of job: fills its status. */
int disk_do_read(struct disk_task *t);
int disk_do_write(struct disk_task *t);
int disk_do_hash(struct disk_task *t);
int disk_do_check(struct disk_task *t);
int disk_do_sync(struct disk_task *t);
int disk_do_remove(struct disk_task *t);
int disk_do_wanted(struct disk_task *t);

/* mkdir -p of an absolute path. 0 or an errno value. */
int disk_make_folders(const char *path);

#endif
