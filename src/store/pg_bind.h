/* pg_bind.h: parameters of a statement in binary form, and the cells of a binary result.
 *
 * Limits   PG_BIND_MAX parameters, PG_BIND_LEN_MAX bytes together; beyond: ERR_LIMIT at pg_send.
 * Source   PostgreSQL documentation, "Frontend/Backend Protocol"; array_send, int8send.
 */
#ifndef STORE_PG_BIND_H
#define STORE_PG_BIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "base/span.h"

enum { PG_BIND_MAX = 32, PG_BIND_LEN_MAX = 64 << 20 };

/* Type numbers that never change (pg_type.dat). */
enum pg_type {
    PG_BOOL = 16,
    PG_BYTEA = 17,
    PG_INT8 = 20,
    PG_TEXT = 25,
    PG_BOOL_ARRAY = 1000,
    PG_BYTEA_ARRAY = 1001,
    PG_TEXT_ARRAY = 1009,
    PG_INT8_ARRAY = 1016
};

struct pg_bind {
    /* private */
    int n;
    Oid types[PG_BIND_MAX];
    size_t at[PG_BIND_MAX]; /* offset into mem */
    bool null[PG_BIND_MAX];
    struct buf mem;
};

void pg_bind_init(struct pg_bind *b);
void pg_bind_release(struct pg_bind *b);

void pg_bind_bytes(struct pg_bind *b, struct span bytes); /* bytea */
void pg_bind_text(struct pg_bind *b, const char *text);
/* Bytes that are no UTF-8 become U+FFFD, and so does NUL, which no text in PostgreSQL can have. */
void pg_bind_clean_text(struct pg_bind *b, struct span text);
/* As it is: the database refuses what is no UTF-8. */
void pg_bind_text_bytes(struct pg_bind *b, struct span text);
void pg_bind_bool(struct pg_bind *b, bool v);
void pg_bind_int8(struct pg_bind *b, int64_t v);
void pg_bind_int8_null(struct pg_bind *b);

/* An array of n items: begin, then exactly n times one of the items. */
void pg_bind_array(struct pg_bind *b, enum pg_type array, enum pg_type item, size_t n);
void pg_bind_item(struct pg_bind *b, struct span value);
void pg_bind_item_int8(struct pg_bind *b, int64_t v);
void pg_bind_item_bool(struct pg_bind *b, bool v);
void pg_bind_item_clean_text(struct pg_bind *b, struct span text);

/* PQsendQueryParams asking for binary results; 0 when libpq refuses, -1 over the limit. */
int pg_bind_send(const struct pg_bind *b, PGconn *pg, const char *sql);

/* A cell; NULL cells are empty. */
struct span pg_cell(const PGresult *res, int row, int column);
/* A bigint cell; 0 when it is NULL or has another length. */
int64_t pg_cell_int8(const PGresult *res, int row, int column);
/* Copies a text cell into out (cap bytes with the NUL); false when it does not fit. */
bool pg_cell_text(char *out, size_t cap, const PGresult *res, int row, int column);

/* An array's cell, one item after the other; an empty array and one that makes no sense have none.
 * bad: it makes no sense. */
struct pg_items {
    size_t n; /* left; never more than there are bytes for */
    bool bad;
    /* private */
    struct rd rd;
};
struct pg_items pg_items_over(struct span cell);
/* Only while n > 0; a NULL is empty. */
struct span pg_items_next(struct pg_items *items);

int64_t pg_int8(struct span bytes);
bool pg_bool(struct span bytes);
bool pg_text(char *out, size_t cap, struct span bytes);

#endif
