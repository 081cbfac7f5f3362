/* query.h: values out of a query string. Pure.
 *
 * Form     application/x-www-form-urlencoded: %XX is decoded and '+' is a space.
 * Source   WHATWG URL, section 5.
 */
#ifndef API_QUERY_H
#define API_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum { QUERY_VALUE_MAX = 512 };

/* Walks the pairs: start with *rest = the query. False at the end. Name and value as sent. */
bool query_next(struct span *rest, struct span *name, struct span *value);

/* The last value called name, as sent. False when there is none. */
bool query_raw(struct span query, const char *name, struct span *value);

/* Decodes a value into out; its length, or -1 when it does not fit or is not well-formed. */
long query_decode(uint8_t out[static QUERY_VALUE_MAX], struct span value);

/* The last value called name as a number: false with *out untouched when it is absent or empty,
 * *bad set when it is anything but decimal digits up to max. */
bool query_u64(struct span query, const char *name, uint64_t max, uint64_t *out, bool *bad);

#endif
