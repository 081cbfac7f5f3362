/* store_impl.h: the inside of struct store, for the files of this folder that implement store.h. */
#ifndef STORE_STORE_IMPL_H
#define STORE_STORE_IMPL_H

#include <stdbool.h>

#include <uv.h>

#include "store/pg.h"
#include "store/pg_params.h"
#include "store/store.h"

struct load;

/* What is loaded apart from each other, each by at most one load at a time. */
enum load_kind { LOAD_TRACKER, LOAD_TORRENTS, LOAD_KINDS };

struct store {
    uv_loop_t *loop;
    struct store_watch watch;
    bool watched;
    struct pg_params params;      /* of commands and listener */
    struct pg_params load_params; /* without a limit for one statement */
    struct pg commands;
    struct pg listener;
    bool available; /* commands is up */
    bool listening; /* listener is up and LISTEN was confirmed */
    bool closing;
    char name[33];                  /* of this server in completed_batches */
    struct load *loads[LOAD_KINDS]; /* NULL: none under way */
    uv_timer_t close_timer;
    unsigned open_parts;
    void (*on_closed)(void *ctx);
    void *closed_ctx;
};

/* pg_send on the command connection; ERR_UNAVAILABLE while closing. Releases args. */
MUST_CHECK int store_send(struct store *s, struct pg_cmd *cmd, const char *sql,
                          struct pg_bind *args);

/* To the watch, if there is one. */
void store_tell_reload(struct store *s);
void store_tell_whitelist(struct store *s, const struct infohash *present, size_t n_present,
                          const struct infohash *absent, size_t n_absent);
void store_tell_keys(struct store *s, const struct store_key *present, size_t n_present,
                     const char (*absent)[33], size_t n_absent);

/* A part that store_close waits for is closed. */
void store_part_closed(struct store *s);

/* listen.c: events of the LISTEN connection. */
void listen_on_up(void *ctx);
void listen_on_down(void *ctx, const struct err *e);
void listen_on_notify(void *ctx, const PGnotify *notify);

/* load.c: stop the load under way; its done comes (ERR_CANCELED), then store_part_closed. */
void load_cancel(struct load *l);

/* keys.c: the columns of a key, and a row of them (binary cells; expires NULL: empty). False when
 * a text does not fit, which the schema does not allow. */
#define STORE_KEY_COLUMNS                                                                          \
    "key, label, round(extract(epoch FROM expires_at) * 1000)::int8, "                             \
    "floor(extract(epoch FROM created_at))::int8, "                                                \
    "coalesce(floor(extract(epoch FROM last_used_at))::int8, 0)"
enum { STORE_KEY_N_COLUMNS = 5 };
bool store_key_from_cells(struct store_key *out, const struct span cells[STORE_KEY_N_COLUMNS]);

/* completed.c: a row of completed_counts; false for what the schema does not allow. */
bool store_completed_from_cells(struct store_completed *out, struct span hash, struct span count);

#endif
