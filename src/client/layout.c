/* layout.c: a torrent's content as files. The names are made by layout_names.c.
 *
 * Memory    one allocation: the layout, its files, and behind them the paths. A program that seeds
 *           ten thousand torrents of one file has ten thousand of them.
 * Offsets   never fall from file to file. Several files may share one: all but the last of those are
 *           empty, so that the last file which begins at or before a byte of the content holds it.
 */
#include "client/layout.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/layout_names.h"

#include "base/banned.h"

/* A copy of s with a NUL, at *to, which then is behind it. */
static const char *put_text(char **to, struct span s)
{
    char *text = *to;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    *to += s.n + 1;
    return text;
}

static struct layout *allocate(const struct layout_names *names, bool multi_file, char **text)
{
    size_t n_files = names->n_files;
    size_t len = sizeof(struct layout) + n_files * sizeof(struct layout_file);
    size_t text_at = len;
    len += multi_file ? names->name_len + 1 : 0;
    for (size_t i = 0; i < n_files; i++) {
        len += (size_t)names->files[i].len + 1;
    }
    struct layout *l = mem_zeroed(len);
    l->files = (struct layout_file *)(void *)(l + 1);
    *text = (char *)l + text_at;
    return l;
}

static void fill_files(struct layout *l, const struct metainfo *m, const struct layout_names *names,
                       char **text)
{
    struct metainfo_files at = metainfo_files(m);
    struct metainfo_file file;
    while (metainfo_files_next(&at, &file)) {
        struct layout_file *f = &l->files[l->n_files];
        f->offset = file.offset;
        f->len = file.len;
        f->attr = file.attr;
        f->path = put_text(text, layout_names_path(names, l->n_files));
        l->pad_len += (f->attr & METAINFO_PAD) != 0 ? f->len : 0;
        l->n_files++;
    }
}

struct layout *layout_new(const struct metainfo *m, const struct infohash *info_hash)
{
    struct layout_names names;
    char *text;
    layout_names_init(&names, m, info_hash);
    struct layout *l = allocate(&names, m->multi_file, &text);
    l->multi_file = m->multi_file;
    if (m->multi_file) {
        l->name = put_text(&text, span_sub(buf_span(&names.text), 0, names.name_len));
    }
    fill_files(l, m, &names, &text);
    if (!m->multi_file) {
        l->name = l->files[0].path;
    }
    layout_names_release(&names);
    l->total_len = m->total_len;
    l->geometry.n_pieces = m->n_pieces;
    l->geometry.piece_len = m->piece_len;
    l->geometry.last_piece_len = (uint32_t)((m->total_len - 1) % m->piece_len + 1);
    return l;
}

void layout_free(struct layout *l)
{
    free(l);
}

/* The last file that begins at or before a byte of the content: the one that has the byte. */
static uint32_t file_with(const struct layout *l, uint64_t offset)
{
    uint32_t low = 0; /* files[low] begins there or before, files[high] behind */
    uint32_t high = l->n_files;
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (l->files[mid].offset <= offset) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return low;
}

struct layout_walk layout_walk(const struct layout *l, uint64_t offset, uint64_t len)
{
    ASSERT(offset <= l->total_len && len <= l->total_len - offset);
    return (struct layout_walk){
        .l = l,
        .file = len == 0 ? 0 : file_with(l, offset),
        .offset = offset,
        .left = len,
    };
}

bool layout_walk_next(struct layout_walk *at, struct layout_range *out)
{
    if (at->left == 0) {
        return false;
    }
    while (at->l->files[at->file].len == 0) {
        at->file++;
    }
    const struct layout_file *f = &at->l->files[at->file];
    out->file = at->file;
    out->at = at->offset - f->offset;
    out->len = f->len - out->at;
    if (out->len > at->left) {
        out->len = at->left;
    }
    at->offset += out->len;
    at->left -= out->len;
    at->file++;
    return true;
}

void layout_file_pieces(const struct layout *l, uint32_t file, uint32_t *first, uint32_t *end)
{
    ASSERT(file < l->n_files);
    const struct layout_file *f = &l->files[file];
    uint32_t piece_len = l->geometry.piece_len;
    *first = (uint32_t)(f->offset / piece_len);
    *end = f->len == 0 ? *first : (uint32_t)((f->offset + f->len - 1) / piece_len) + 1;
}
