/* torrent_files.h: the files that a new torrent is made of.
 *
 * Order    by path, part by part, in byte order: whoever walks over the same folder gets the same
 *          torrent.
 * Left out symbolic links, with a line on stderr for each, and folders without a file. A link that
 *          is named on the command line is followed.
 * Refused  pipes, sockets and devices; names that are not UTF-8; nothing but empty files; more than
 *          metainfo_limits_default takes.
 * Errors   are complained about on stderr, with the path; then the code says what kind it was.
 */
#ifndef TORRENT_FILES_H
#define TORRENT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/span.h"

struct torrent_file {
    char *path;      /* to open it by */
    size_t name_at;  /* where the path below the torrent's folder starts in path */
    uint64_t len;    /* this and the rest as the walk found them */
    uint64_t offset; /* of its first byte in the content */
    dev_t device;
    ino_t inode;
    struct timespec modified;
};

struct torrent_files {
    char *name; /* of the torrent: of the file or the folder */
    bool folder;
    struct torrent_file *at;
    size_t n;
    uint64_t total_len;
    /* private */
    size_t cap;
};

/* Walk over path, a file or a folder.
 *
 * returns  0, or ERR_* after a complaint; torrent_files_release in both cases.
 */
MUST_CHECK int torrent_files_find(struct torrent_files *out, const char *path);

void torrent_files_release(struct torrent_files *files);

/* The file's path in the torrent, parts separated by '/'. */
static inline struct span torrent_file_name(const struct torrent_file *file)
{
    return span_str(file->path + file->name_at);
}

/* Is it still the file that the walk found, untouched since? */
bool torrent_file_is(const struct torrent_file *file, const struct stat *now);

#endif
