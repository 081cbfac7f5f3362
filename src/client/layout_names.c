/* layout_names.c: what a torrent calls its files, made safe.
 *
 * Part      separators are taken out of it ("/tmp/file" is one part and becomes "tmpfile"), bytes
 *           that are no text become '_', and then what is ".", ".." or empty is dropped. What is too
 *           long loses the end of its stem, in whole characters: the extension says what it is.
 * Twins     all paths are sorted with case ignored (ASCII's) and '/' below every other byte: then
 *           twins are neighbours, and behind them comes what lies in a folder of that name. Folders
 *           keep their names. Of the files of one name, which no folder has, the first one that is
 *           stored keeps it; each other one gets a number.
 * Numbers   are counted on for each name, never tried twice, so that 500,000 files of one name are
 *           no more work than 500,000 names. Every number leaves the same room in a long name: names
 *           that would be equal once cut have one counter.
 * Result    depends on the torrent alone: the same files are found again after a restart.
 */
#include "client/layout_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "client/layout.h"

#include "base/banned.h"

enum {
    EXTENSION_MAX = 32,   /* a longer one is only a dot in a name */
    NUMBER_MAX = 13,      /* " (4294967295)" */
    FOLDED_SEPARATOR = 1, /* no part has such a byte */
};

/* The first keyed by a name that was given, the others by a name and how often it was numbered. */
struct taken {
    struct map_node node;
    uint32_t next;
    uint8_t key[];
};

struct twins {
    struct layout_names *n;
    struct span folded;       /* text as it was before anything got a number */
    struct layout_name *said; /* the files then */
    uint32_t *order;          /* of the files, sorted */
    struct map numbered;      /* folded names that were given */
    struct map counters;
    struct buf scratch;
};

/* ---- parts ---------------------------------------------------------------------------------- */

/* Bytes at the start of part that are good in any name. */
static size_t plain_len(struct span part)
{
    size_t n = 0;
    while (n < part.n && part.p[n] >= 0x20 && part.p[n] < 0x7f && part.p[n] != '/' &&
           part.p[n] != '\\') {
        n++;
    }
    return n;
}

static void add_clean(struct buf *b, struct span part)
{
    for (;;) {
        size_t plain = plain_len(part);
        buf_add(b, span_sub(part, 0, plain));
        part = span_sub(part, plain, part.n);
        if (part.n == 0) {
            return;
        }
        size_t n = utf8_sequence_len(part);
        uint8_t c = part.p[0];
        if (n == 0 || c < 0x20 || c == 0x7f) {
            buf_add_byte(b, '_');
            n = 1;
        } else if (c != '/' && c != '\\') {
            buf_add(b, span_sub(part, 0, n));
        }
        part = span_sub(part, n, part.n);
    }
}

/* Bytes of the extension with its dot; 0: it has none. */
static size_t extension_len(struct span part)
{
    const uint8_t *dot = part.n == 0 ? NULL : memrchr(part.p, '.', part.n);
    if (dot == NULL || dot == part.p) {
        return 0;
    }
    size_t len = part.n - (size_t)(dot - part.p);
    return len > EXTENSION_MAX ? 0 : len;
}

/* The longest beginning of whole characters within max bytes. */
static size_t cut_len(struct span text, size_t max)
{
    if (text.n <= max) {
        return text.n;
    }
    while (max > 0 && (text.p[max] & 0xc0) == 0x80) {
        max--;
    }
    return max;
}

/* The part from at on, which is the end of b. */
static void shorten(struct buf *b, size_t at)
{
    struct span part = span_sub(buf_span(b), at, b->len);
    if (part.n <= LAYOUT_PART_MAX) {
        return;
    }
    size_t ext = extension_len(part);
    size_t stem = cut_len(span_sub(part, 0, part.n - ext), LAYOUT_PART_MAX - ext);
    memmove(b->p + at + stem, b->p + b->len - ext, ext);
    b->len = at + stem + ext;
}

/* False when nothing is left of it: then nothing was added. */
static bool add_part(struct buf *b, struct span part)
{
    size_t at = b->len;
    add_clean(b, part);
    struct span clean = span_sub(buf_span(b), at, b->len);
    if (clean.n == 0 || span_eq(clean, SPAN(".")) || span_eq(clean, SPAN(".."))) {
        b->len = at;
        return false;
    }
    shorten(b, at);
    return true;
}

static void add_hash(struct buf *b, const struct infohash *info_hash)
{
    buf_add_hex(b, span_of(info_hash->b, sizeof info_hash->b));
}

/* ---- twins ---------------------------------------------------------------------------------- */

static uint8_t fold(uint8_t c)
{
    if (c == '/') {
        return FOLDED_SEPARATOR;
    }
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static void fold_in_place(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p[i] = fold(p[i]);
    }
}

static int compare(struct span a, struct span b)
{
    int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static struct span folded_path(const struct twins *t, uint32_t file)
{
    return span_sub(t->folded, t->said[file].at, t->said[file].len);
}

static int by_folded_path(const void *a, const void *b, void *twins)
{
    const struct twins *t = twins;
    uint32_t x;
    uint32_t y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    int order = compare(folded_path(t, x), folded_path(t, y));
    if (order == 0 && t->said[x].stored != t->said[y].stored) {
        return t->said[x].stored ? -1 : 1;
    }
    return order != 0 ? order : (x > y) - (x < y);
}

static bool is_inside(struct span path, struct span folder)
{
    return path.n > folder.n && path.p[folder.n] == FOLDED_SEPARATOR &&
           span_starts_with(path, folder);
}

/* Has a file or a folder had this name from the beginning? */
static bool is_said(const struct twins *t, struct span folded)
{
    uint32_t low = 0;
    uint32_t high = t->n->n_files;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (compare(folded_path(t, t->order[mid]), folded) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (low == t->n->n_files) {
        return false;
    }
    struct span found = folded_path(t, t->order[low]);
    return span_eq(found, folded) || is_inside(found, folded);
}

static struct taken *take(struct map *m, struct span key, uint32_t next)
{
    struct taken *taken = mem_zeroed(sizeof *taken + key.n);
    memcpy(taken->key, key.p, key.n);
    taken->next = next;
    map_insert(m, &taken->node, span_of(taken->key, key.n));
    return taken;
}

static void release_taken(struct map *m)
{
    struct map_node *node = map_first(m);
    while (node != NULL) {
        struct map_node *next = map_next(m, node);
        map_remove(m, node);
        free(container_of(node, struct taken, node));
        node = next;
    }
    map_release(m);
}

/* The counter of all names that are stem, a number and ext; it starts with the second file. */
static struct taken *counter_of(struct twins *t, struct span stem, struct span ext)
{
    buf_clear(&t->scratch);
    buf_add(&t->scratch, stem);
    buf_add_byte(&t->scratch, 0);
    buf_add(&t->scratch, ext);
    fold_in_place(t->scratch.p, t->scratch.len);
    struct map_node *node = map_find(&t->counters, buf_span(&t->scratch));
    return node != NULL ? container_of(node, struct taken, node)
                        : take(&t->counters, buf_span(&t->scratch), 2);
}

/* Another name for a file; its path goes behind all others. */
static void give_number(struct twins *t, uint32_t file)
{
    struct buf *text = &t->n->text;
    struct span path = layout_names_path(t->n, file);
    const uint8_t *slash = memrchr(path.p, '/', path.n);
    ASSERT(slash != NULL); /* a torrent of many files has a folder */
    struct span part = span_sub(path, (size_t)(slash - path.p) + 1, path.n);
    size_t ext_len = extension_len(part);
    struct span ext = span_sub(part, part.n - ext_len, ext_len);
    size_t stem_len =
        cut_len(span_sub(part, 0, part.n - ext_len), LAYOUT_PART_MAX - NUMBER_MAX - ext_len);
    /* Copies: text moves when it grows. */
    struct span stem = span_sub(path, 0, path.n - part.n + stem_len);
    struct taken *counter = counter_of(t, stem, ext);
    char *copy = mem_strndup((const char *)path.p, path.n);
    stem.p = (const uint8_t *)copy;
    ext.p = (const uint8_t *)copy + path.n - ext_len;
    size_t at = text->len;
    struct span folded;
    do {
        text->len = at;
        buf_add(text, stem);
        buf_addf(text, " (%u)", counter->next++);
        buf_add(text, ext);
        buf_clear(&t->scratch);
        buf_add(&t->scratch, span_sub(buf_span(text), at, text->len));
        fold_in_place(t->scratch.p, t->scratch.len);
        folded = buf_span(&t->scratch);
    } while (is_said(t, folded) || map_find(&t->numbered, folded) != NULL);
    (void)take(&t->numbered, folded, 0);
    t->n->files[file].at = at;
    t->n->files[file].len = (uint32_t)(text->len - at);
    free(copy);
}

/* Every file but the first of each name, and the first too when a folder has the name. */
static void separate(struct twins *t)
{
    uint32_t n = t->n->n_files;
    for (uint32_t first = 0, end; first < n; first = end) {
        struct span name = folded_path(t, t->order[first]);
        end = first + 1;
        while (end < n && span_eq(folded_path(t, t->order[end]), name)) {
            end++;
        }
        bool is_folder = end < n && is_inside(folded_path(t, t->order[end]), name);
        for (uint32_t i = is_folder ? first : first + 1; i < end; i++) {
            give_number(t, t->order[i]);
        }
    }
}

static void separate_twins(struct layout_names *n)
{
    struct twins t = {.n = n};
    struct siphash_key seed; /* nothing that comes out depends on it */
    digest_random(&seed, sizeof seed);
    map_init(&t.numbered, &seed);
    map_init(&t.counters, &seed);
    buf_init(&t.scratch, SIZE_MAX);
    t.said = mem_array(n->n_files, sizeof *t.said);
    memcpy(t.said, n->files, n->n_files * sizeof *t.said);
    uint8_t *folded = mem_array(n->text.len, 1);
    memcpy(folded, n->text.p, n->text.len);
    fold_in_place(folded, n->text.len);
    t.folded = span_of(folded, n->text.len);
    t.order = mem_array(n->n_files, sizeof *t.order);
    for (uint32_t i = 0; i < n->n_files; i++) {
        t.order[i] = i;
    }
    qsort_r(t.order, n->n_files, sizeof *t.order, by_folded_path, &t);
    separate(&t);
    release_taken(&t.numbered);
    release_taken(&t.counters);
    buf_release(&t.scratch);
    free(t.said);
    free(t.order);
    free(folded);
}

/* ---- all of them ---------------------------------------------------------------------------- */

static void add_path(struct layout_names *n, struct metainfo_file *file,
                     const struct infohash *info_hash)
{
    struct buf *text = &n->text;
    struct span part;
    bool any = false;
    uint8_t *name = buf_reserve(text, n->name_len);
    memcpy(name, text->p, n->name_len);
    text->len += n->name_len;
    while (metainfo_strings_next(&file->path, &part)) {
        buf_add_byte(text, '/');
        if (add_part(text, part)) {
            any = true;
        } else {
            text->len--;
        }
    }
    if (!any) {
        buf_add_byte(text, '/');
        add_hash(text, info_hash);
    }
}

void layout_names_init(struct layout_names *n, const struct metainfo *m,
                       const struct infohash *info_hash)
{
    *n = (struct layout_names){.n_files = 0};
    buf_init(&n->text, SIZE_MAX); /* no name gets longer than the torrent has it */
    if (!add_part(&n->text, m->name)) {
        add_hash(&n->text, info_hash);
    }
    n->name_len = n->text.len;
    n->files = mem_array(m->n_files, sizeof *n->files);
    struct metainfo_files at = metainfo_files(m);
    struct metainfo_file file;
    while (metainfo_files_next(&at, &file)) {
        struct layout_name *f = &n->files[n->n_files++];
        *f = (struct layout_name){.at = m->multi_file ? n->text.len : 0};
        f->stored = (file.attr & (METAINFO_PAD | METAINFO_SYMLINK)) == 0;
        if (m->multi_file) {
            add_path(n, &file, info_hash);
        }
        f->len = (uint32_t)(n->text.len - f->at);
    }
    if (n->n_files > 1) {
        separate_twins(n);
    }
}

void layout_names_release(struct layout_names *n)
{
    buf_release(&n->text);
    free(n->files);
}
