/* Happy path   a handler fills a stream with where it is and gives it to http_stream -> produce is
 *              called until it returns false: '[' first, some rows each time, ']' last.
 * Failures     the client goes: release, nothing else.
 * At the end   release has freed the stream.
 */
#include "api/torrust_streams.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"

#include "base/banned.h"

enum {
    TORRENT_ROWS = 1536, /* at once, because each time a whole shard is looked at */
    ROWS = 64,
    KEY_ROWS = 32,
};

struct stream {
    struct tracker *tracker;
    enum torrust_form form;
    bool begun;
    bool rows_begun;
    uint64_t skip;
    uint64_t left;
    size_t at; /* picked: next hash; torrent: position among the peers */
    struct torrent_cursor cursor;
    struct torrent_row *rows; /* of torrents: TORRENT_ROWS */
    size_t n_rows, next_row;
    struct torrent_row torrent;
    struct peer_filter filter;
    struct infohash last_hash;
    char last_key[ACCESS_KEY_LEN + 1];
    bool has_last;
    struct infohash *picked;
    size_t n_picked;
};

static struct stream *stream_new(const struct call *c, enum torrust_form form)
{
    struct stream *s = mem_new(struct stream);
    s->tracker = c->env->parts.tracker;
    s->form = form;
    s->left = UINT64_MAX;
    return s;
}

static void stream_release(void *ctx)
{
    struct stream *s = ctx;
    free(s->rows);
    free(s->picked);
    free(s);
}

static void begin(struct stream *s, struct buf *out)
{
    if (!s->begun) {
        buf_add_byte(out, '[');
        s->begun = true;
    }
}

static void separate(struct stream *s, struct buf *out)
{
    if (s->rows_begun) {
        buf_add_byte(out, ',');
    }
    s->rows_begun = true;
}

static bool end(struct buf *out, bool more)
{
    if (!more) {
        buf_add_byte(out, ']');
    }
    return more;
}

static size_t cap_of(const struct stream *s, size_t rows)
{
    return s->left < rows ? (size_t)s->left : rows;
}

/* ---- torrents ---------------------------------------------------------------------------- */

static bool produce_torrents(void *ctx, struct buf *out)
{
    struct stream *s = ctx;
    begin(s, out);
    if (s->next_row == s->n_rows && s->left > 0) {
        s->n_rows = tracker_list(s->tracker, &s->cursor, s->rows, cap_of(s, TORRENT_ROWS));
        s->next_row = 0;
        s->left -= s->n_rows;
    }
    for (size_t i = 0; i < ROWS && s->next_row < s->n_rows; i++, s->next_row++) {
        separate(s, out);
        torrust_add_torrent(out, s->form, &s->rows[s->next_row]);
    }
    return end(out, s->next_row < s->n_rows || (s->left > 0 && !s->cursor.done));
}

void torrust_stream_torrents(struct call *c, enum torrust_form form, const struct page *page)
{
    struct stream *s = stream_new(c, form);
    s->cursor.skip = page->offset;
    s->left = page->limit;
    s->rows = mem_array(TORRENT_ROWS, sizeof *s->rows);
    http_stream(c->x, JSON_TYPE, produce_torrents, stream_release, s);
}

static bool produce_picked(void *ctx, struct buf *out)
{
    struct stream *s = ctx;
    struct torrent_row row;
    begin(s, out);
    for (size_t i = 0; i < ROWS && s->at < s->n_picked; i++, s->at++) {
        if (tracker_torrent(s->tracker, &s->picked[s->at], &row) == 0) {
            separate(s, out);
            torrust_add_torrent(out, s->form, &row);
        }
    }
    return end(out, s->at < s->n_picked);
}

void torrust_stream_picked(struct call *c, enum torrust_form form, struct buf *hashes)
{
    struct stream *s = stream_new(c, form);
    size_t len;
    s->picked = (struct infohash *)buf_take(hashes, &len);
    s->n_picked = len / sizeof *s->picked;
    http_stream(c->x, JSON_TYPE, produce_picked, stream_release, s);
}

/* ---- peers ------------------------------------------------------------------------------- */

static bool produce_torrent(void *ctx, struct buf *out)
{
    struct stream *s = ctx;
    struct peer_row rows[ROWS];
    if (!s->begun) {
        torrust_add_torrent_open(out, s->form, &s->torrent);
        buf_add(out, SPAN(",\"peers\":"));
    }
    begin(s, out);
    size_t n = tracker_peers(s->tracker, &s->torrent.info_hash, &s->at, rows, ROWS);
    for (size_t i = 0; i < n; i++) {
        separate(s, out);
        torrust_add_peer(out, s->form, &rows[i]);
    }
    if (n == 0) {
        buf_add(out, SPAN("]}"));
    }
    return n > 0;
}

void torrust_stream_torrent(struct call *c, enum torrust_form form, const struct torrent_row *row)
{
    struct stream *s = stream_new(c, form);
    s->torrent = *row;
    http_stream(c->x, JSON_TYPE, produce_torrent, stream_release, s);
}

static bool produce_found(void *ctx, struct buf *out)
{
    struct stream *s = ctx;
    struct peer_row rows[ROWS];
    begin(s, out);
    size_t n = tracker_find_peers(s->tracker, &s->cursor, &s->filter, rows, ROWS);
    for (size_t i = 0; i < n; i++) {
        separate(s, out);
        torrust_add_found_peer(out, &rows[i]);
    }
    return end(out, !s->cursor.done);
}

void torrust_stream_found_peers(struct call *c, const struct peer_filter *filter)
{
    struct stream *s = stream_new(c, TORRUST_V1);
    s->filter = *filter;
    http_stream(c->x, JSON_TYPE, produce_found, stream_release, s);
}

/* ---- access lists ------------------------------------------------------------------------ */

static bool produce_whitelist(void *ctx, struct buf *out)
{
    struct stream *s = ctx;
    struct infohash rows[ROWS];
    begin(s, out);
    size_t n = tracker_whitelist_list(s->tracker, s->has_last ? &s->last_hash : NULL, rows, ROWS);
    for (size_t i = 0; i < n && s->left > 0; i++) {
        s->last_hash = rows[i];
        s->has_last = true;
        if (s->skip > 0) {
            s->skip--;
            continue;
        }
        separate(s, out);
        buf_add_byte(out, '"');
        buf_add_hex(out, span_of(rows[i].b, sizeof rows[i].b));
        buf_add_byte(out, '"');
        s->left--;
    }
    return end(out, n > 0 && s->left > 0);
}

void torrust_stream_whitelist(struct call *c, const struct page *page)
{
    struct stream *s = stream_new(c, TORRUST_V1);
    s->skip = page->offset;
    s->left = page->limit;
    http_stream(c->x, JSON_TYPE, produce_whitelist, stream_release, s);
}

static bool produce_keys(void *ctx, struct buf *out)
{
    struct stream *s = ctx;
    struct access_key rows[KEY_ROWS];
    begin(s, out);
    size_t n = tracker_key_list(s->tracker, span_str(s->last_key), rows, KEY_ROWS);
    for (size_t i = 0; i < n && s->left > 0; i++) {
        memcpy(s->last_key, rows[i].key, sizeof s->last_key);
        if (s->skip > 0) {
            s->skip--;
            continue;
        }
        separate(s, out);
        torrust_add_listed_key(out, &rows[i]);
        s->left--;
    }
    return end(out, n > 0 && s->left > 0);
}

void torrust_stream_keys(struct call *c, const struct page *page)
{
    struct stream *s = stream_new(c, TORRUST_V1);
    s->skip = page->offset;
    s->left = page->limit;
    http_stream(c->x, JSON_TYPE, produce_keys, stream_release, s);
}
