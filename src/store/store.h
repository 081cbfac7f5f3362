/* store.h: the database as the program sees it. The only folder with SQL and libpq.
 *
 * Model     one connection for commands (pipeline mode, a bounded FIFO), one for LISTEN, and one
 *           opened for each load (COPY). All on the main loop, none ever blocks it.
 * Away      both long-lived connections come back by themselves (backoff 50 ms .. 5 s, jitter).
 *           Commands fail at once with ERR_UNAVAILABLE while there is no connection, and when the
 *           FIFO is full with ERR_LIMIT; those in flight when it breaks fail with ERR_UNAVAILABLE.
 *           Nothing is carried out later.
 * Callbacks exactly once for every accepted call, never from inside the call; rows and texts are
 *           borrowed for the callback. A call that returns a negative code never calls back.
 * Limits    STORE_QUEUE_MAX commands, STORE_TIMEOUT_MS each (then the connection is dropped and
 *           all in flight fail); a statement may run for 8 s.
 * Unknown   a command that fails with ERR_UNAVAILABLE while in flight may have been carried out.
 *           on_reload_needed, once the connections are back, brings memory in line.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/ids.h"
#include "base/span.h"

enum {
    STORE_QUEUE_MAX = 1024,
    STORE_TIMEOUT_MS = 10000,
    STORE_STARTUP_S = 30,
    STORE_CLOSE_MS = 2000,    /* how long store_close waits for what is in flight */
    STORE_BULK_MAX = 1000000, /* rows of one call; beyond: ERR_LIMIT */
};

struct store;

struct store_key {
    char key[33];
    char label[65];
    bool permanent;
    int64_t expires_unix_ms;
    int64_t last_used_unix_s; /* 0: never */
    int64_t created_unix_s;
};

/* What changed in the database. Calls come in the order of the commits: what was changed through
 * this store is reported just before its done callback, what others changed is read again first. */
struct store_watch {
    /* These hashes / keys may have changed: this is what is in the database now. */
    void (*on_whitelist)(void *ctx, const struct infohash *present, size_t n_present,
                         const struct infohash *absent, size_t n_absent);
    void (*on_key)(void *ctx, const struct store_key *present, size_t n_present,
                   const char (*absent)[33], size_t n_absent);
    /* Anything may have changed (a bulk change, or the connection was away): load again. */
    void (*on_reload_needed)(void *ctx);
    /* The database went away or came back. */
    void (*on_available)(void *ctx, bool available);
    void *ctx;
};

struct store_completed {
    struct infohash info_hash;
    uint32_t n;
};

/* url: libpq connection string; host names in it are resolved in the thread pool before each try
 * to connect. Connects in the background; watch is copied. ERR_INVALID with e: not a connection
 * string. */
MUST_CHECK int store_open(struct store **out, uv_loop_t *loop, const char *url,
                          const struct store_watch *watch, struct err *e);
/* Waits for what is in flight (at most STORE_CLOSE_MS, then it fails), cancels a load, closes;
 * on_closed exactly once, after which s is gone. The watch is not called any more. */
void store_close(struct store *s, void (*on_closed)(void *ctx), void *ctx);
/* For who cannot wait any longer: what is in flight and loads under way fail in the next turn. */
void store_give_up(struct store *s);
/* No call of the watch from now on: its context may go before the store does. */
void store_unwatch(struct store *s);
bool store_is_available(const struct store *s);

/* status 0 after the commit; ERR_UNAVAILABLE, ERR_EXISTS (unique constraint), ERR_NO_SPACE,
 * ERR_INVALID (the schema refuses the value), ERR_DATABASE (with e). e is NULL when status is 0. */
typedef void (*store_done)(void *ctx, int status, const struct err *e);
/* n: rows that were really changed. */
typedef void (*store_changed)(void *ctx, int status, size_t n, const struct err *e);

/* A round trip, for /health_check. */
MUST_CHECK int store_ping(struct store *s, store_done done, void *ctx);

/* whitelist.c. hashes are copied. */
MUST_CHECK int store_whitelist_add(struct store *s, const struct infohash *hashes, size_t n,
                                   store_changed done, void *ctx);
MUST_CHECK int store_whitelist_remove(struct store *s, const struct infohash *hash,
                                      store_changed done, void *ctx);

/* keys.c. Adding a key that is there already: ERR_EXISTS. */
MUST_CHECK int store_key_add(struct store *s, const struct store_key *key, store_done done,
                             void *ctx);
MUST_CHECK int store_key_remove(struct store *s, const char *key, store_changed done, void *ctx);
/* One statement; only key and last_used_unix_s count, and only later times are written. */
MUST_CHECK int store_keys_used(struct store *s, const struct store_key *keys, size_t n,
                               store_done done, void *ctx);

/* completed.c: adds the counts to the stored ones in one statement; rows: the new totals.
 *
 * batch   1, 2, 3, ...: one that was stored already is not added again (and gives no totals), so
 *         that after ERR_UNAVAILABLE, which leaves open what became of it, the same counts are sent
 *         again under the same number. After any other failure nothing of it was stored.
 */
typedef void (*store_completed_done)(void *ctx, int status, const struct store_completed *totals,
                                     size_t n, const struct err *e);
MUST_CHECK int store_completed_add(struct store *s, const struct store_completed *counts, size_t n,
                                   uint64_t batch, store_completed_done done, void *ctx);

/* load_tracker.c: everything of the tracker, streamed by COPY over a connection of its own in one
 * snapshot. The row callbacks come in batches over many turns of the loop; done last, with 0 or why
 * it broke (ERR_CANCELED: store_close). One of these at a time: ERR_IN_USE. */
struct store_load {
    void (*on_whitelist)(void *ctx, const struct infohash *hash);
    void (*on_key)(void *ctx, const struct store_key *key);
    void (*on_completed)(void *ctx, const struct store_completed *count);
    store_done done;
    void *ctx;
    bool with_completed;
};
MUST_CHECK int store_load(struct store *s, const struct store_load *load);

#endif
