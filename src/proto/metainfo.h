/* metainfo.h: .torrent files and info dictionaries, version 1, both directions. Pure.
 *
 * View     struct metainfo borrows the bytes it was decoded from; decoding checks all of them once,
 *          so that nothing that walks over the view later can fail. No allocation.
 * Strict   inside the info dictionary and its files: a known key of the wrong type or out of its
 *          range, a key that is there twice, piece hashes that do not fit the length are refused,
 *          and *why names the key and the rule. The order of keys and leading zeros do not matter:
 *          torrents like that are in use, and their bytes are kept as they are.
 * Tolerant outside of it: an optional key (comment, announce ...) of the wrong type counts as
 *          absent, and of a repeated one the first counts.
 * Names    are any bytes ("..", "/", NUL, not UTF-8), only their length is limited: whoever makes a
 *          file of one, or prints it, cleans it first.
 * Versions hybrid torrents (BEP 52) are taken as version 1; those with version 2 alone are refused.
 * Source   BEP 3, 12 (announce-list), 19 (url-list), 27 (private), 47 (attr), 52 (meta version).
 */
#ifndef PROTO_METAINFO_H
#define PROTO_METAINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cursor.h"
#include "base/span.h"
#include "proto/bencode.h"

enum {
    METAINFO_PIECE_LEN_MAX = 1 << 29,
    METAINFO_HASH_LEN = 20, /* of one piece in pieces */
};

/* Each must be set; what passes one is ERR_LIMIT. */
struct metainfo_limits {
    size_t len_max;   /* bytes of the file, or of the info dictionary alone */
    size_t items_max; /* strings (keys too), integers, lists and dictionaries together */
    size_t depth_max; /* lists and dictionaries inside each other, <= BENCODE_DEPTH_MAX */
    uint32_t pieces_max;
    uint32_t files_max;     /* pad files count */
    uint64_t total_len_max; /* bytes of the content */
    size_t name_len_max;    /* bytes of the name, and of each part of a path */
    size_t path_parts_max;  /* folders and the file's own name */
    size_t urls_max;        /* trackers; and as many web seeds */
    size_t text_len_max;    /* bytes of a URL, of comment, of created by */
};

/* 64 MiB, 8 Mi items, depth 96, 2,097,152 pieces, 500,000 files, 2^50 bytes, names of 1,024 bytes,
 * 64 parts a path, 1,000 URLs, texts of 65,536 bytes. */
extern const struct metainfo_limits metainfo_limits_default;

/* What is absent is an empty span, 0 or false. */
struct metainfo {
    struct span info; /* the info dictionary as it came: its SHA-1 is the info-hash */
    struct span name; /* name.utf-8 where there is one; may be empty */
    struct span pieces;
    uint32_t piece_len; /* 1..METAINFO_PIECE_LEN_MAX */
    uint32_t n_pieces;  /* at least 1; pieces.n is 20 times as much */
    uint32_t n_files;   /* at least 1 */
    uint64_t total_len; /* at least 1, pad files included */
    bool multi_file;    /* name is a folder, even around one file */
    bool private;       /* BEP 27 */
    bool hybrid;        /* version 2 of it exists as well */

    /* Not in an info dictionary alone. */
    struct span announce; /* prefer metainfo_trackers */
    struct span comment;
    struct span created_by;
    int64_t creation_date_s; /* since 1970 */

    /* private */
    struct bencode single; /* the info dictionary, or no value when there is files */
    struct bencode files;
    struct bencode announce_list;
    struct bencode url_list;
};

/* Decode the .torrent at the start of file; what is behind it is not looked at.
 *
 * returns  its length in bytes, ERR_MALFORMED or ERR_LIMIT with a static *why ("piece length must
 *          be 1 to 2^29"); never 0. After an error *out is not to be used.
 * cost     O(length), a few passes over keys and files: 1 ms for 3,000 files.
 */
ssize_t metainfo_decode(struct metainfo *out, struct span file, const struct metainfo_limits *lim,
                        const char **why);

/* The same for an info dictionary alone, as a peer sends it (BEP 9) or a database keeps it. As its
 * hash is over all of its bytes, nothing may be behind it. */
ssize_t metainfo_info_decode(struct metainfo *out, struct span info,
                             const struct metainfo_limits *lim, const char **why);

/* A walk over strings: while (metainfo_strings_next(&at, &text)) ... */
struct metainfo_strings {
    /* private */
    struct bencode one;
    struct bencode_walk many;
    bool skip_empty;
};

bool metainfo_strings_next(struct metainfo_strings *at, struct span *text);

/* BEP 47. A pad file is only zeros, not to be stored or shown. */
enum metainfo_attr {
    METAINFO_PAD = 1 << 0,
    METAINFO_SYMLINK = 1 << 1,
    METAINFO_EXECUTABLE = 1 << 2,
    METAINFO_HIDDEN = 1 << 3,
};

struct metainfo_file {
    uint64_t offset;                 /* of its first byte in the content */
    uint64_t len;                    /* 0 for a symlink */
    unsigned attr;                   /* bits of enum metainfo_attr */
    struct metainfo_strings path;    /* at least one part; the name, when it is the single file */
    struct metainfo_strings symlink; /* where METAINFO_SYMLINK points; may have no part */
};

/* A walk over the files in the order of the content:
 * struct metainfo_files at = metainfo_files(m); while (metainfo_files_next(&at, &file)) ... */
struct metainfo_files {
    /* private */
    struct bencode single;
    struct bencode_walk many;
    uint64_t offset;
};

struct metainfo_files metainfo_files(const struct metainfo *m);
bool metainfo_files_next(struct metainfo_files *at, struct metainfo_file *file);

/* A walk over the trackers, tier by tier; tiers count from 0 without a gap. Those of announce-list,
 * or else announce alone (BEP 12). Empty URLs are left out, any other text is passed on. */
struct metainfo_trackers {
    /* private */
    struct span announce;
    struct bencode_walk tiers;
    struct metainfo_strings urls;
    uint32_t n_tiers; /* that had a URL */
    bool begun;       /* the current one has had a URL */
};

struct metainfo_trackers metainfo_trackers(const struct metainfo *m);
bool metainfo_trackers_next(struct metainfo_trackers *at, struct span *url, uint32_t *tier);

/* url-list (BEP 19), empty ones left out. */
struct metainfo_strings metainfo_web_seeds(const struct metainfo *m);

/* Encoder: what a new torrent is made of. Empty texts and a date of 0 are left out. */
struct metainfo_source_file {
    struct span path; /* below name, parts separated by '/': "sub/b.txt"; not empty */
    uint64_t len;
};

struct metainfo_source_tracker {
    struct span url;
    uint32_t tier; /* neighbours with the same number are one tier */
};

struct metainfo_source {
    struct span name;
    const struct metainfo_source_file *files; /* in the order of the content */
    size_t n_files;                           /* 0: a single file of single_len bytes */
    uint64_t single_len;
    uint32_t piece_len;
    struct span pieces;
    bool private;
    const struct metainfo_source_tracker *trackers;
    size_t n_trackers; /* one: announce only; more: announce is the first of announce-list */
    struct span comment;
    struct span created_by;
    int64_t creation_date_s;
};

struct metainfo_encoded {
    size_t len;
    size_t info_at; /* where in it the info dictionary is, for its hash */
    size_t info_len;
};

/* Write src with its keys sorted. What src says is not checked; w may be bad in the end. */
struct metainfo_encoded metainfo_encode(struct wr *w, const struct metainfo_source *src);

/* What metainfo_encode would write, without doing so: to know how much room it takes. */
struct metainfo_encoded metainfo_measure(const struct metainfo_source *src);

/* A piece length for content of total_len bytes: the smallest power of two, 16 KiB to 16 MiB, that
 * makes no more than 2,048 pieces, or else 16 MiB. */
uint32_t metainfo_piece_len_for(uint64_t total_len);

#endif
