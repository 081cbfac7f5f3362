/* What the tracker keeps, loaded: whitelist, keys, counts of completed downloads. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/load.h"
#include "store/store_impl.h"

#include "base/banned.h"

enum { ROWS_A_LOOK = 32 };

static bool row_whitelist(void *receiver, const struct span *cells)
{
    const struct store_load *what = receiver;
    struct infohash hash;
    if (cells[0].n != sizeof hash.b) {
        return false;
    }
    memcpy(hash.b, cells[0].p, sizeof hash.b);
    what->on_whitelist(what->ctx, &hash);
    return true;
}

static bool row_key(void *receiver, const struct span *cells)
{
    const struct store_load *what = receiver;
    struct store_key key;
    if (!store_key_from_cells(&key, cells)) {
        return false;
    }
    what->on_key(what->ctx, &key);
    return true;
}

static bool row_completed(void *receiver, const struct span *cells)
{
    const struct store_load *what = receiver;
    struct store_completed count;
    if (!store_completed_from_cells(&count, cells[0], cells[1])) {
        return false;
    }
    what->on_completed(what->ctx, &count);
    return true;
}

static const struct load_step steps[] = {
    {"COPY (SELECT info_hash FROM whitelist) TO STDOUT (FORMAT binary)", 1, row_whitelist},
    {"COPY (SELECT " STORE_KEY_COLUMNS " FROM access_keys) TO STDOUT (FORMAT binary)",
     STORE_KEY_N_COLUMNS, row_key},
    /* The last, because it is not always wanted. */
    {"COPY (SELECT info_hash, completed FROM completed_counts) TO STDOUT (FORMAT binary)", 2,
     row_completed},
};

int store_load(struct store *s, const struct store_load *load)
{
    const size_t n_steps = sizeof steps / sizeof *steps;
    struct store_load *what = mem_new(struct store_load);
    *what = *load;
    const struct load_plan plan = {
        .kind = LOAD_TRACKER,
        .steps = steps,
        .n_steps = load->with_completed ? n_steps : n_steps - 1,
        .rows_a_look = ROWS_A_LOOK,
        .receiver = what,
        .done = load->done,
        .ctx = load->ctx,
    };
    return load_start(s, &plan);
}
