/* dialects.h: all families of routes, and which of them has a path. Pure. */
#ifndef API_DIALECTS_H
#define API_DIALECTS_H

#include <stddef.h>

#include "api/call.h"
#include "base/span.h"

/* The one whose path it would be, by how it begins; pages_dialect for what is nobody's. */
const struct dialect *dialect_of(struct span path);

/* The i-th row of the table behind it, or NULL: some dialects have several. */
const struct dialect *dialect_at(size_t i);

#endif
