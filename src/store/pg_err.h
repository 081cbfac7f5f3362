/* pg_err.h: what PostgreSQL and libpq complain about, as our codes and one line of text. */
#ifndef STORE_PG_ERR_H
#define STORE_PG_ERR_H

#include <stddef.h>

#include <libpq-fe.h>

#include "base/err.h"

/* SQLSTATE (five characters, or NULL) to a code: 23505 ERR_EXISTS, 23503 (what the row belongs to is
 * not there) ERR_NOT_FOUND, 53100 ERR_NO_SPACE, what is likely to work a little later (class 08, 40, 53, 57) ERR_UNAVAILABLE, a value that the schema
 * refuses (class 22, 23514) ERR_INVALID, else ERR_DATABASE. */
int err_from_pg(const char *sqlstate);

/* Fills e from a result that is an error; returns the code. */
int pg_result_err(const PGresult *res, struct err *e);

/* Fills e from a connection that failed: ERR_UNAVAILABLE. */
int pg_conn_err(const PGconn *pg, struct err *e);

/* text without line breaks, tabs and outer blanks ("; " between lines), cut to cap. */
void pg_one_line(char *out, size_t cap, const char *text);

#endif
