/* pg_params.h: a connection string taken apart, and how its host names become addresses.
 *
 * Why       libpq resolves host names in the calling thread. The loop must not wait for that, so
 *           names are resolved in the thread pool, and libpq gets hostaddr.
 * Limits    PG_HOSTS_MAX hosts in the string, PG_ADDRS_MAX addresses each.
 */
#ifndef STORE_PG_PARAMS_H
#define STORE_PG_PARAMS_H

#include <stdbool.h>
#include <stddef.h>

#include <libpq-fe.h>
#include <uv.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/err.h"

enum { PG_PARAMS_MAX = 64, PG_HOSTS_MAX = 16, PG_ADDRS_MAX = 4, PG_HOSTS_LEN_MAX = 8192 };

/* What is asked of the server at connect, in NAME=VALUE form for the options keyword. */
#define PG_OPTIONS_COMMANDS "-c statement_timeout=8000 -c idle_in_transaction_session_timeout=60000"
#define PG_OPTIONS_LONG     "-c statement_timeout=0 -c idle_in_transaction_session_timeout=60000"

struct pg_params {
    /* Terminated by NULL, as PQconnectStartParams wants them; owned. */
    char *keywords[PG_PARAMS_MAX + 1];
    char *values[PG_PARAMS_MAX + 1];
    size_t n;
    /* private */
    char *hosts[PG_HOSTS_MAX]; /* to be resolved; n_hosts == 0: nothing to resolve */
    char *ports[PG_HOSTS_MAX];
    size_t n_hosts;
};

/* url: libpq connection string. options: one of PG_OPTIONS_*. ERR_INVALID with e for a string that
 * libpq does not understand; the text never holds what may be a password. */
MUST_CHECK int pg_params_init(struct pg_params *p, const char *url, const char *options,
                              struct err *e);
void pg_params_release(struct pg_params *p);

/* A blocking connect of libpq with these (names are resolved by libpq). */
PGconn *pg_params_connect_blocking(const struct pg_params *p, const char *timeout_s);

/* One look-up of all names of a pg_params. */
struct pg_resolve;
typedef void (*pg_resolve_done)(struct pg_resolve *r, int status, const struct err *e);

struct pg_resolve {
    /* private */
    uv_getaddrinfo_t req;
    uv_loop_t *loop;
    const struct pg_params *params;
    pg_resolve_done done;
    size_t next; /* index into params->hosts */
    bool canceled;
    struct buf host, hostaddr, port; /* comma-separated lists of equal length */
};

/* Begins; done exactly once, never from inside the call. A negative return: no callback. */
MUST_CHECK int pg_resolve_start(struct pg_resolve *r, uv_loop_t *loop, const struct pg_params *p,
                                pg_resolve_done done, struct err *e);
/* done comes soon, with ERR_CANCELED. */
void pg_resolve_cancel(struct pg_resolve *r);
void pg_resolve_release(struct pg_resolve *r);

/* PQconnectStartParams with the addresses that were found (r NULL: nothing to resolve). */
PGconn *pg_params_connect_start(const struct pg_params *p, const struct pg_resolve *r);

#endif
