#include "proto/metainfo.h"

#include "base/banned.h"

/* Where the encoder writes, or with w NULL only counts. */
struct sink {
    struct wr *w;
    size_t len;
};

static void put(struct sink *s, struct span bytes)
{
    s->len += bytes.n;
    if (s->w != NULL) {
        wr_bytes(s->w, bytes);
    }
}

static void put_int(struct sink *s, uint64_t v)
{
    uint8_t text[24];
    struct wr w = wr_over(text, sizeof text);
    bencode_write_int(&w, (int64_t)v);
    put(s, wr_span(&w));
}

static void put_string(struct sink *s, struct span text)
{
    uint8_t digits[20];
    struct wr w = wr_over(digits, sizeof digits);
    wr_dec(&w, text.n);
    put(s, wr_span(&w));
    put(s, SPAN(":"));
    put(s, text);
}

static void put_text(struct sink *s, struct span key, struct span text)
{
    if (text.n > 0) {
        put_string(s, key);
        put_string(s, text);
    }
}

static void put_trackers(struct sink *s, const struct metainfo_source *src)
{
    const struct metainfo_source_tracker *t = src->trackers;
    if (src->n_trackers == 0) {
        return;
    }
    put_text(s, SPAN("announce"), t[0].url);
    if (src->n_trackers == 1) {
        return;
    }
    put_string(s, SPAN("announce-list"));
    put(s, SPAN("ll"));
    for (size_t i = 0; i < src->n_trackers; i++) {
        if (i > 0 && t[i].tier != t[i - 1].tier) {
            put(s, SPAN("el"));
        }
        put_string(s, t[i].url);
    }
    put(s, SPAN("ee"));
}

static void put_path(struct sink *s, struct span path)
{
    put(s, SPAN("l"));
    while (path.n > 0) {
        put_string(s, span_cut(path, '/', &path));
    }
    put(s, SPAN("e"));
}

static void put_files(struct sink *s, const struct metainfo_source *src)
{
    if (src->n_files == 0) {
        put_string(s, SPAN("length"));
        put_int(s, src->single_len);
        return;
    }
    put_string(s, SPAN("files"));
    put(s, SPAN("l"));
    for (size_t i = 0; i < src->n_files; i++) {
        put(s, SPAN("d"));
        put_string(s, SPAN("length"));
        put_int(s, src->files[i].len);
        put_string(s, SPAN("path"));
        put_path(s, src->files[i].path);
        put(s, SPAN("e"));
    }
    put(s, SPAN("e"));
}

static void put_info(struct sink *s, const struct metainfo_source *src)
{
    put(s, SPAN("d"));
    put_files(s, src);
    put_string(s, SPAN("name"));
    put_string(s, src->name);
    put_string(s, SPAN("piece length"));
    put_int(s, src->piece_len);
    put_string(s, SPAN("pieces"));
    put_string(s, src->pieces);
    if (src->private) {
        put_string(s, SPAN("private"));
        put_int(s, 1);
    }
    put(s, SPAN("e"));
}

static struct metainfo_encoded put_all(struct sink *s, const struct metainfo_source *src)
{
    struct metainfo_encoded done;
    put(s, SPAN("d"));
    put_trackers(s, src);
    put_text(s, SPAN("comment"), src->comment);
    put_text(s, SPAN("created by"), src->created_by);
    if (src->creation_date_s > 0) {
        put_string(s, SPAN("creation date"));
        put_int(s, (uint64_t)src->creation_date_s);
    }
    put_string(s, SPAN("info"));
    done.info_at = s->len;
    put_info(s, src);
    done.info_len = s->len - done.info_at;
    put(s, SPAN("e"));
    done.len = s->len;
    return done;
}

struct metainfo_encoded metainfo_encode(struct wr *w, const struct metainfo_source *src)
{
    return put_all(&(struct sink){.w = w}, src);
}

struct metainfo_encoded metainfo_measure(const struct metainfo_source *src)
{
    return put_all(&(struct sink){.w = NULL}, src);
}

uint32_t metainfo_piece_len_for(uint64_t total_len)
{
    uint32_t piece_len = 16 << 10;
    while (piece_len < 16 << 20 && total_len > (uint64_t)piece_len * 2048) {
        piece_len *= 2;
    }
    return piece_len;
}
