#include "store/pg_bind.h"

#include <string.h>

#include "base/assert.h"
#include "base/json.h"

#include "base/banned.h"

static void bind_begin(struct pg_bind *b, enum pg_type type, bool null)
{
    ASSERT(b->n < PG_BIND_MAX);
    b->types[b->n] = (Oid)type;
    b->at[b->n] = b->mem.len;
    b->null[b->n] = null;
    b->n++;
}

static void add_u32(struct buf *mem, uint32_t v)
{
    uint32_t be = __builtin_bswap32(v);
    buf_add(mem, span_of(&be, sizeof be));
}

static void add_i64(struct buf *mem, int64_t v)
{
    uint64_t be = __builtin_bswap64((uint64_t)v);
    buf_add(mem, span_of(&be, sizeof be));
}

void pg_bind_init(struct pg_bind *b)
{
    *b = (struct pg_bind){.n = 0};
    buf_init(&b->mem, PG_BIND_LEN_MAX);
}

void pg_bind_release(struct pg_bind *b)
{
    buf_release(&b->mem);
}

void pg_bind_bytes(struct pg_bind *b, struct span bytes)
{
    bind_begin(b, PG_BYTEA, false);
    buf_add(&b->mem, bytes);
}

void pg_bind_text(struct pg_bind *b, const char *text)
{
    bind_begin(b, PG_TEXT, false);
    buf_add_str(&b->mem, text);
}

static void add_clean_text(struct buf *mem, struct span text)
{
    for (size_t i = 0, len; i < text.n; i += len) {
        struct span rest = span_sub(text, i, text.n);
        len = utf8_sequence_len(rest);
        if (len == 0 || text.p[i] == 0) {
            len = 1;
            buf_add(mem, SPAN("\xef\xbf\xbd"));
        } else {
            buf_add(mem, span_sub(rest, 0, len));
        }
    }
}

void pg_bind_clean_text(struct pg_bind *b, struct span text)
{
    bind_begin(b, PG_TEXT, false);
    add_clean_text(&b->mem, text);
}

void pg_bind_text_bytes(struct pg_bind *b, struct span text)
{
    bind_begin(b, PG_TEXT, false);
    buf_add(&b->mem, text);
}

void pg_bind_bool(struct pg_bind *b, bool v)
{
    bind_begin(b, PG_BOOL, false);
    buf_add_byte(&b->mem, v);
}

void pg_bind_int8(struct pg_bind *b, int64_t v)
{
    bind_begin(b, PG_INT8, false);
    add_i64(&b->mem, v);
}

void pg_bind_int8_null(struct pg_bind *b)
{
    bind_begin(b, PG_INT8, true);
}

void pg_bind_array(struct pg_bind *b, enum pg_type array, enum pg_type item, size_t n)
{
    ASSERT(n < INT32_MAX);
    bind_begin(b, array, false);
    add_u32(&b->mem, n > 0 ? 1 : 0); /* dimensions */
    add_u32(&b->mem, 0);             /* has no NULL */
    add_u32(&b->mem, (uint32_t)item);
    if (n > 0) {
        add_u32(&b->mem, (uint32_t)n);
        add_u32(&b->mem, 1); /* lower bound */
    }
}

void pg_bind_item(struct pg_bind *b, struct span value)
{
    add_u32(&b->mem, (uint32_t)value.n);
    buf_add(&b->mem, value);
}

void pg_bind_item_int8(struct pg_bind *b, int64_t v)
{
    add_u32(&b->mem, 8);
    add_i64(&b->mem, v);
}

void pg_bind_item_bool(struct pg_bind *b, bool v)
{
    add_u32(&b->mem, 1);
    buf_add_byte(&b->mem, v);
}

void pg_bind_item_clean_text(struct pg_bind *b, struct span text)
{
    size_t at = b->mem.len;
    add_u32(&b->mem, 0);
    add_clean_text(&b->mem, text);
    if (!b->mem.bad) {
        uint32_t be = __builtin_bswap32((uint32_t)(b->mem.len - at - 4));
        memcpy(b->mem.p + at, &be, sizeof be);
    }
}

int pg_bind_send(const struct pg_bind *b, PGconn *pg, const char *sql)
{
    const char *values[PG_BIND_MAX];
    int lengths[PG_BIND_MAX];
    int formats[PG_BIND_MAX];
    if (b->mem.bad) {
        return -1;
    }
    for (int i = 0; i < b->n; i++) {
        size_t end = i + 1 < b->n ? b->at[i + 1] : b->mem.len;
        values[i] = b->null[i] ? NULL : b->mem.p == NULL ? "" : (const char *)b->mem.p + b->at[i];
        lengths[i] = (int)(end - b->at[i]);
        formats[i] = 1;
    }
    return PQsendQueryParams(pg, sql, b->n, b->types, values, lengths, formats, 1);
}

struct span pg_cell(const PGresult *res, int row, int column)
{
    return span_of(PQgetvalue(res, row, column), (size_t)PQgetlength(res, row, column));
}

struct pg_items pg_items_over(struct span cell)
{
    struct pg_items items = {.rd = rd_over(cell)};
    uint32_t dimensions = rd_u32(&items.rd);
    (void)rd_bytes(&items.rd, 8); /* has NULLs, type of an item */
    if (dimensions == 1) {
        items.n = rd_u32(&items.rd);
        (void)rd_u32(&items.rd); /* lower bound */
    }
    items.bad = items.rd.bad || dimensions > 1 || items.n > rd_left(&items.rd) / 4;
    items.n = items.bad ? 0 : items.n;
    return items;
}

struct span pg_items_next(struct pg_items *items)
{
    ASSERT(items->n > 0);
    uint32_t len = rd_u32(&items->rd);
    struct span item = len == UINT32_MAX ? span_of(NULL, 0) : rd_bytes(&items->rd, len);
    items->n--;
    items->bad = items->bad || items->rd.bad;
    return item;
}

int64_t pg_int8(struct span bytes)
{
    struct rd r = rd_over(bytes);
    return bytes.n == 8 ? (int64_t)rd_u64(&r) : 0;
}

bool pg_bool(struct span bytes)
{
    return bytes.n == 1 && bytes.p[0] != 0;
}

bool pg_text(char *out, size_t cap, struct span bytes)
{
    if (bytes.n >= cap) {
        return false;
    }
    if (bytes.n > 0) {
        memcpy(out, bytes.p, bytes.n);
    }
    out[bytes.n] = '\0';
    return true;
}

int64_t pg_cell_int8(const PGresult *res, int row, int column)
{
    return pg_int8(pg_cell(res, row, column));
}

bool pg_cell_text(char *out, size_t cap, const PGresult *res, int row, int column)
{
    return pg_text(out, cap, pg_cell(res, row, column));
}
