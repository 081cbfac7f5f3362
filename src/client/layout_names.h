/* layout_names.h: what the files of a torrent are called on the disk. Client core, pure.
 *
 * The rules are those of layout.h; this makes them true. Used by layout.c alone.
 */
#ifndef CLIENT_LAYOUT_NAMES_H
#define CLIENT_LAYOUT_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/ids.h"
#include "base/span.h"
#include "proto/metainfo.h"

struct layout_name {
    size_t at;    /* of the path in text */
    uint32_t len; /* of the path, with the torrent's name in front */
    bool stored;  /* such a file keeps its name before one that is not */
};

struct layout_names {
    struct buf text;
    size_t name_len; /* of the torrent's name, at the start of text */
    struct layout_name *files;
    uint32_t n_files;
};

/* A path for each file of m, in its order. */
void layout_names_init(struct layout_names *n, const struct metainfo *m,
                       const struct infohash *info_hash);
void layout_names_release(struct layout_names *n);

static inline struct span layout_names_path(const struct layout_names *n, uint32_t file)
{
    return span_sub(buf_span(&n->text), n->files[file].at, n->files[file].len);
}

#endif
