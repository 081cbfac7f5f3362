/* form.h: the fields of a form out of a request body. Pure, no allocation, no copies of values.
 *
 * Forms    application/x-www-form-urlencoded and multipart/form-data.
 * Walk     form_begin, then form_next until it does not return 1. A field that is there twice comes
 *          twice; which one counts is the caller's.
 * Limits   FORM_FIELDS_MAX fields; FORM_NAME_MAX bytes of a name, FORM_HEAD_MAX of a part's head.
 * Source   WHATWG URL 5, RFC 7578, RFC 2046 5.1.
 */
#ifndef API_FORM_H
#define API_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/span.h"

enum {
    FORM_FIELDS_MAX = 64,
    FORM_NAME_MAX = 128,
    FORM_HEAD_MAX = 8192,
    FORM_BOUNDARY_MAX = 70,
};

enum form_kind {
    FORM_NONE, /* the content type is another one */
    FORM_URLENCODED,
    FORM_MULTIPART,
};

struct form {
    enum form_kind kind;
    /* private */
    struct span rest;
    uint8_t delimiter[4 + FORM_BOUNDARY_MAX]; /* CRLF, two hyphens, the boundary */
    size_t delimiter_len;
    size_t n_fields;
    bool begun, over;
};

struct form_field {
    struct span name; /* decoded; in name_text. One that is too long is empty */
    struct span value;
    bool encoded;      /* value has %XX and '+': form_add_value decodes it */
    bool has_filename; /* a part that says that it is a file */
    uint8_t name_text[FORM_NAME_MAX];
};

/* content_type: the header's value; empty: there was none. body is borrowed for the walk.
 * returns 0 (also for FORM_NONE), or ERR_MALFORMED with *why: a multipart type without a boundary. */
MUST_CHECK int form_begin(struct form *f, struct span content_type, struct span body,
                          const char **why);

/* returns 1 and the next field, 0 at the end, ERR_MALFORMED or ERR_LIMIT with *why. */
MUST_CHECK int form_next(struct form *f, struct form_field *out, const char **why);

/* The value as it was meant, added to out. False when an escape is broken or out is full. */
MUST_CHECK bool form_add_value(struct buf *out, const struct form_field *field);

#endif
