/* json_fields.h: the members of a JSON object, one after another. Pure, no allocation, no recursion.
 *
 * Why       next to cJSON: a text may hold any bytes (a whole file), NULs among them, which cJSON ends
 *           a string at; a comma behind the last member is forgiven; what nobody asked for is passed
 *           over without a tree of it.
 * Walk      json_fields_begin, then json_fields_next until it does not return 1. A member that is
 *           there twice comes twice; which one counts is the caller's.
 * Tolerant  of one comma behind the last member or item, and of any byte but '"' and '\' in a string.
 * Limits    JSON_FIELDS_MAX members; JSON_FIELDS_DEPTH of arrays and objects in each other.
 * Source    RFC 8259.
 */
#ifndef API_JSON_FIELDS_H
#define API_JSON_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/span.h"

enum { JSON_FIELDS_MAX = 64, JSON_FIELDS_DEPTH = 32 };

enum json_kind { JSON_STRING, JSON_NUMBER, JSON_TRUE, JSON_FALSE, JSON_NULL, JSON_NESTED };

struct json_fields {
    struct span rest;
    /* private */
    size_t n;
    bool over;
};

struct json_field {
    struct span name; /* as sent, between the quotes */
    enum json_kind kind;
    struct span value; /* a string as sent, between the quotes; else its text */
};

/* text: the whole body. returns 0, or ERR_MALFORMED with *why: no object. */
MUST_CHECK int json_fields_begin(struct json_fields *f, struct span text, const char **why);
/* returns 1 and the next member, 0 at the end, ERR_MALFORMED or ERR_LIMIT with *why. */
MUST_CHECK int json_fields_next(struct json_fields *f, struct json_field *out, const char **why);

/* A name with escapes in it is nobody's. */
bool json_field_is(const struct json_field *f, const char *name);

/* What a string as sent stands for, added to out: escapes become UTF-8 (half of a pair: U+FFFD),
 * all else stays. False when out is full. */
MUST_CHECK bool json_string_decode(struct buf *out, struct span raw);

#endif
