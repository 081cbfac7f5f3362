#include "store/pg_err.h"

#include <stdbool.h>
#include <string.h>

#include "base/banned.h"

enum { LINE_CAP = 192 };

int err_from_pg(const char *sqlstate)
{
    if (sqlstate == NULL) {
        return ERR_DATABASE;
    }
    if (strcmp(sqlstate, "23505") == 0) {
        return ERR_EXISTS;
    }
    if (strcmp(sqlstate, "23503") == 0) {
        return ERR_NOT_FOUND; /* what the row belongs to */
    }
    if (strcmp(sqlstate, "53100") == 0) {
        return ERR_NO_SPACE;
    }
    if (strncmp(sqlstate, "22", 2) == 0 || strcmp(sqlstate, "23514") == 0) {
        return ERR_INVALID;
    }
    static const char *const passing[] = {"08", "40", "53", "57"};
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++) {
        if (strncmp(sqlstate, passing[i], 2) == 0) {
            return ERR_UNAVAILABLE;
        }
    }
    return ERR_DATABASE;
}

void pg_one_line(char *out, size_t cap, const char *text)
{
    size_t n = 0;
    bool gap = false, broken = false;
    for (const char *p = text; *p != '\0' && n + 4 < cap; p++) {
        if (*p == '\n' || *p == '\t' || *p == '\r' || *p == ' ') {
            gap = true;
            broken = broken || *p == '\n';
            continue;
        }
        if (gap && n > 0) {
            if (broken && out[n - 1] != ':' && out[n - 1] != ';') {
                out[n++] = ';';
            }
            out[n++] = ' ';
        }
        gap = broken = false;
        out[n++] = *p;
    }
    out[n] = '\0';
}

int pg_result_err(const PGresult *res, struct err *e)
{
    char line[LINE_CAP];
    const char *primary = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    pg_one_line(line, sizeof line, primary != NULL ? primary : PQresultErrorMessage(res));
    int code = err_from_pg(PQresultErrorField(res, PG_DIAG_SQLSTATE));
    return err_set(e, code, "%s", line[0] != '\0' ? line : "unexpected answer of the database");
}

int pg_conn_err(const PGconn *pg, struct err *e)
{
    char line[LINE_CAP];
    pg_one_line(line, sizeof line, pg != NULL ? PQerrorMessage(pg) : "out of memory");
    return err_set(e, ERR_UNAVAILABLE, "%s", line[0] != '\0' ? line : "connection lost");
}
