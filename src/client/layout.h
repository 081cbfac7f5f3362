/* layout.h: where the bytes of a torrent are: its pieces over files with names that are safe.
 * Client core, pure.
 *
 * Names     each path is relative, has no empty part, no "." or "..", no '/', NUL or control byte
 *           inside a part, no part over LAYOUT_PART_MAX bytes, is valid UTF-8, and no two files have
 *           the same path when case is ignored, nor is one file's path a folder of another's. What a
 *           torrent says is changed to fit: bad bytes become '_', long parts are cut before their
 *           extension, twins get " (2)" before the extension. A name that leaves nothing becomes the
 *           info-hash in hex.
 * Files     pad files (BEP 47) have a place in the content and none on the disk: they are zeros.
 *           Symlinks are kept in the list (len 0), never made.
 * Multi     paths of a multi-file torrent begin with its name: "multi/sub/b.txt".
 */
#ifndef CLIENT_LAYOUT_H
#define CLIENT_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/ids.h"
#include "proto/metainfo.h"
#include "proto/peer_wire.h"

enum { LAYOUT_PART_MAX = 240 };

struct layout_file {
    uint64_t offset; /* in the content */
    uint64_t len;
    const char *path; /* owned by the layout */
    unsigned attr;    /* bits of enum metainfo_attr */
};

struct layout {
    struct layout_file *files;
    uint32_t n_files; /* all of them, pads and symlinks too */
    bool multi_file;  /* the first part of every path is a folder of the torrent's own */
    const char *name; /* the first part of the paths */
    uint64_t total_len;
    uint64_t pad_len; /* of that, in pad files */
    struct wire_geometry geometry;
};

/* Never fails: m was decoded. The layout is the caller's, free with layout_free. */
struct layout *layout_new(const struct metainfo *m, const struct infohash *info_hash);
void layout_free(struct layout *l);

/* Stored on disk: neither pad nor symlink. */
static inline bool layout_is_stored(const struct layout_file *f)
{
    return (f->attr & (METAINFO_PAD | METAINFO_SYMLINK)) == 0;
}

/* A part of the content that lies within one file. */
struct layout_range {
    uint32_t file;
    uint64_t at; /* in the file */
    uint64_t len;
};

/* Walk over the files that content[offset, offset + len) lies in, empty files left out:
 * struct layout_walk at = layout_walk(l, offset, len); while (layout_walk_next(&at, &range)) ...
 * The range must lie within the content. */
struct layout_walk {
    /* private */
    const struct layout *l;
    uint32_t file;
    uint64_t offset;
    uint64_t left;
};

struct layout_walk layout_walk(const struct layout *l, uint64_t offset, uint64_t len);
bool layout_walk_next(struct layout_walk *at, struct layout_range *out);

/* The first and one past the last piece that a file touches; equal for an empty file. */
void layout_file_pieces(const struct layout *l, uint32_t file, uint32_t *first, uint32_t *end);

#endif
