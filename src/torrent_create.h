/* torrent_create.h: `rookery torrent create`: a .torrent, version 1, of a file or a folder. */
#ifndef TORRENT_CREATE_H
#define TORRENT_CREATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TORRENT_PIECE_LEN_MIN = 1 << 14,
    TORRENT_PIECE_LEN_MAX = 1 << 27,
};

struct torrent_create_options {
    const char *path;
    const char *out;             /* replaced when it is there; NULL: NAME.torrent, never replaced */
    const char *const *trackers; /* each a tier of its own */
    size_t n_trackers;
    uint32_t piece_len; /* a power of two within the above; 0: chosen by size */
    bool private;
};

/* Prints the info-hash and the file's name, or says on stderr why not.
 * returns  an enum exit_status. */
int torrent_create(const struct torrent_create_options *opt);

#endif
