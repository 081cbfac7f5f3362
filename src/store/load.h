/* load.h: whole tables over a connection of their own, in one snapshot. Inside of this folder only.
 *
 * Slices   a quarter of a millisecond of rows, then others have their turn.
 * One      load of a kind at a time.
 */
#ifndef STORE_LOAD_H
#define STORE_LOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/span.h"
#include "store/store_impl.h"

enum { LOAD_COLUMNS_MAX = 32 };

/* One COPY ... TO STDOUT (FORMAT binary). row gets n_columns cells, a NULL as an empty one, borrowed
 * for the call; false: they make no sense, which ends the load. */
struct load_step {
    const char *sql;
    int n_columns;
    bool (*row)(void *receiver, const struct span *cells);
};

struct load_plan {
    enum load_kind kind;
    const struct load_step *steps; /* static */
    size_t n_steps;
    unsigned rows_a_look; /* after how many rows the clock is looked at */
    void *receiver;       /* for row; free()d at the end, whatever the end */
    store_done done;
    void *ctx; /* for done */
};

/* ERR_UNAVAILABLE, ERR_IN_USE: no callback; receiver is freed. */
MUST_CHECK int load_start(struct store *s, const struct load_plan *plan);

#endif
