/* bencode.h: bencoded values: validate once into a view, then walk it; and an encoder.
 *
 * View     struct bencode borrows the bytes it was decoded from. Only bencode_decode makes views of
 *          foreign bytes; what the functions below hand out lies within them. A zeroed view is "no
 *          value": every function takes it and answers as for a value of the wrong type.
 * Strict   where a hash depends on the bytes: keys sorted and unique, integers and lengths without
 *          leading zeros, no "-0". Tolerant (the default): foreign replies; any order, the first
 *          of a repeated key wins.
 * Cost     decoding is one pass, without recursion or allocation. Walking over a container costs
 *          its bytes once more; looking up a key costs the bytes before it.
 * Source   BEP 3.
 */
#ifndef PROTO_BENCODE_H
#define PROTO_BENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cursor.h"
#include "base/span.h"

enum { BENCODE_DEPTH_MAX = 96 }; /* what a limit may ask for at most */

/* Each must be set; what passes one is ERR_LIMIT. */
struct bencode_limits {
    size_t len_max;    /* bytes of the whole value */
    size_t string_max; /* bytes of one string */
    size_t items_max;  /* strings (keys too), integers, lists and dictionaries together */
    size_t depth_max;  /* lists and dictionaries inside each other, <= BENCODE_DEPTH_MAX */
    bool strict;
};

enum bencode_type { BENCODE_NONE, BENCODE_INT, BENCODE_STRING, BENCODE_LIST, BENCODE_DICT };

struct bencode {
    struct span raw; /* the value's own bytes, as they came */
};

/* Validate the value at the start of in; what is behind it is not looked at.
 *
 * returns  its length in bytes, ERR_MALFORMED (a value cut short, too) or ERR_LIMIT with a static
 *          *why; never 0.
 */
ssize_t bencode_decode(struct bencode *out, struct span in, const struct bencode_limits *lim,
                       const char **why);

enum bencode_type bencode_type(struct bencode v);

/* False, with *out untouched, when v is something else; an integer outside of int64_t, too. */
bool bencode_int(struct bencode v, int64_t *out);
bool bencode_string(struct bencode v, struct span *out);

/* The value of key in a dictionary; no value when v has none, or is no dictionary. */
struct bencode bencode_get(struct bencode v, struct span key);
bool bencode_get_int(struct bencode v, struct span key, int64_t *out);
bool bencode_get_string(struct bencode v, struct span key, struct span *out);

/* A walk over the items of a list or the pairs of a dictionary, in their order:
 * struct bencode_walk at = bencode_walk(v); while (bencode_next(&at, &value)) ... */
struct bencode_walk {
    /* private */
    struct span rest;
    bool dict;
};

/* A walk over anything but a container ends at once. */
struct bencode_walk bencode_walk(struct bencode v);
/* List: the next item. Dictionary: keys and values in turn. False at the end. */
bool bencode_next(struct bencode_walk *at, struct bencode *item);
/* Dictionary only; false at its end, and for a list. */
bool bencode_next_pair(struct bencode_walk *at, struct span *key, struct bencode *value);

/* Encoder. The caller writes the keys of a dictionary sorted, each before its value. */
static inline void bencode_write_int(struct wr *w, int64_t v)
{
    wr_u8(w, 'i');
    if (v < 0) {
        wr_u8(w, '-');
    }
    wr_dec(w, v < 0 ? -(uint64_t)v : (uint64_t)v);
    wr_u8(w, 'e');
}

static inline void bencode_write_string(struct wr *w, struct span s)
{
    wr_dec(w, s.n);
    wr_u8(w, ':');
    wr_bytes(w, s);
}

static inline void bencode_write_list_begin(struct wr *w)
{
    wr_u8(w, 'l');
}

static inline void bencode_write_dict_begin(struct wr *w)
{
    wr_u8(w, 'd');
}

/* Of a list or a dictionary. */
static inline void bencode_write_end(struct wr *w)
{
    wr_u8(w, 'e');
}

#endif
