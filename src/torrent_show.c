#include "torrent_show.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/json.h"
#include "exit_status.h"
#include "proto/metainfo.h"
#include "terminal.h"

#include "base/banned.h"

enum {
    READ_LEN = 65536,
    LINE_MAX_LEN = 8 << 20, /* longest path and symlink that the limits allow, each byte escaped */
};

/* ---- pieces of both forms ------------------------------------------------------------------- */

/* What is in line goes out; whether that worked is asked once, at the end. */
static void put(struct buf *line)
{
    ASSERT(!line->bad);
    (void)fwrite(line->p, 1, line->len, stdout);
    buf_clear(line);
}

static void add_hash(struct buf *line, const struct metainfo *m)
{
    uint8_t hash[METAINFO_HASH_LEN];
    digest_sha1(hash, m->info);
    buf_add_hex(line, span_of(hash, sizeof hash));
}

static const char *yes_no(bool v)
{
    return v ? "yes" : "no";
}

/* ---- for people ----------------------------------------------------------------------------- */

static void add_label(struct buf *line, const char *label)
{
    buf_addf(line, "%-14s", label);
}

static void put_text(struct buf *line, const char *label, struct span text)
{
    add_label(line, label);
    terminal_add(line, text);
    buf_add_byte(line, '\n');
    put(line);
}

/* "51000 bytes (49.8 KiB)" */
static void add_size(struct buf *line, uint64_t len)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
    double v = (double)len / 1024;
    size_t unit = 0;
    for (; v >= 1024 && unit + 1 < sizeof units / sizeof units[0]; unit++) {
        v /= 1024;
    }
    buf_addf(line, "%" PRIu64 " byte%s", len, len == 1 ? "" : "s");
    if (len >= 1024) {
        buf_addf(line, " (%.4g %s)", v, units[unit]);
    }
}

/* A date that no calendar has is shown as the number that it is. */
static void put_date(struct buf *line, int64_t date_s)
{
    char text[64];
    struct tm tm;
    time_t t = (time_t)date_s;
    if (gmtime_r(&t, &tm) == NULL || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900 ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        (void)snprintf(text, sizeof text, "%" PRId64 " s after 1970", date_s);
    }
    put_text(line, "created", span_str(text));
}

/* Parts with '/' between them; one within a part is escaped, so that it cannot be mistaken. */
static void add_path(struct buf *line, struct metainfo_strings parts)
{
    struct span part;
    for (bool first = true; metainfo_strings_next(&parts, &part); first = false) {
        if (!first) {
            buf_add_byte(line, '/');
        }
        for (struct span rest = part; rest.n > 0;) {
            struct span head = span_cut(rest, '/', &rest);
            terminal_add(line, head);
            if (head.p + head.n < part.p + part.n) {
                buf_add_str(line, "\\x2f");
            }
        }
    }
}

static void put_file(struct buf *line, const struct metainfo_file *file)
{
    buf_addf(line, "%16" PRIu64 "  ", file->len);
    add_path(line, file->path);
    if (file->attr & METAINFO_SYMLINK) {
        buf_add_str(line, " -> ");
        add_path(line, file->symlink);
    }
    if (file->attr & METAINFO_PAD) {
        buf_add_str(line, " (padding)");
    }
    buf_add_byte(line, '\n');
    put(line);
}

static void put_trackers(struct buf *line, const struct metainfo *m)
{
    struct metainfo_trackers trackers = metainfo_trackers(m);
    struct span url;
    uint32_t tier;
    while (metainfo_trackers_next(&trackers, &url, &tier)) {
        char label[32];
        (void)snprintf(label, sizeof label, "tracker %" PRIu32, tier + 1);
        put_text(line, label, url);
    }
}

static void put_people(struct buf *line, const struct metainfo *m)
{
    put_text(line, "name", m->name);
    add_label(line, "info-hash");
    add_hash(line, m);
    buf_add_byte(line, '\n');
    add_label(line, "size");
    add_size(line, m->total_len);
    buf_add_byte(line, '\n');
    add_label(line, "pieces");
    buf_addf(line, "%" PRIu32 " of ", m->n_pieces);
    add_size(line, m->piece_len);
    buf_add_byte(line, '\n');
    put_text(line, "private", span_str(yes_no(m->private)));
    put_text(line, "version", span_str(m->hybrid ? "1, with 2 beside it (hybrid)" : "1"));
    put_trackers(line, m);
    struct metainfo_strings seeds = metainfo_web_seeds(m);
    struct span text;
    while (metainfo_strings_next(&seeds, &text)) {
        put_text(line, "web seed", text);
    }
    if (m->creation_date_s != 0) {
        put_date(line, m->creation_date_s);
    }
    if (m->created_by.n > 0) {
        put_text(line, "created by", m->created_by);
    }
    if (m->comment.n > 0) {
        put_text(line, "comment", m->comment);
    }
    add_label(line, "files");
    buf_addf(line, "%" PRIu32 "\n", m->n_files);
    struct metainfo_files files = metainfo_files(m);
    struct metainfo_file file;
    while (metainfo_files_next(&files, &file)) {
        put_file(line, &file);
    }
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void add_json_list(struct buf *line, struct metainfo_strings list)
{
    struct span text;
    buf_add_byte(line, '[');
    for (bool first = true; metainfo_strings_next(&list, &text); first = false) {
        if (!first) {
            buf_add_byte(line, ',');
        }
        json_add_string(line, text);
    }
    buf_add_byte(line, ']');
}

/* An empty text is null: it cannot be told from one that is not there. */
static void add_json_text(struct buf *line, const char *key, struct span text)
{
    buf_addf(line, ",\"%s\":", key);
    if (text.n > 0) {
        json_add_string(line, text);
    } else {
        buf_add_str(line, "null");
    }
}

static void put_json_trackers(struct buf *line, const struct metainfo *m)
{
    struct metainfo_trackers trackers = metainfo_trackers(m);
    struct span url;
    uint32_t tier;
    uint32_t open = UINT32_MAX; /* the tier whose list was begun */
    buf_add_str(line, ",\"trackers\":[");
    while (metainfo_trackers_next(&trackers, &url, &tier)) {
        if (tier == open) {
            buf_add_byte(line, ',');
        } else {
            buf_add_str(line, open == UINT32_MAX ? "[" : "],[");
        }
        open = tier;
        json_add_string(line, url);
        put(line);
    }
    buf_add_str(line, open == UINT32_MAX ? "]" : "]]");
}

static void put_json_web_seeds(struct buf *line, const struct metainfo *m)
{
    struct metainfo_strings seeds = metainfo_web_seeds(m);
    struct span url;
    buf_add_str(line, ",\"web_seeds\":[");
    for (bool first = true; metainfo_strings_next(&seeds, &url); first = false) {
        buf_add_str(line, first ? "" : ",");
        json_add_string(line, url);
        put(line);
    }
    buf_add_byte(line, ']');
}

static void put_json_file(struct buf *line, const struct metainfo_file *file)
{
    static const struct {
        unsigned bit;
        const char *name;
    } attributes[] = {
        {METAINFO_PAD, "padding"},
        {METAINFO_SYMLINK, "symlink"},
        {METAINFO_EXECUTABLE, "executable"},
        {METAINFO_HIDDEN, "hidden"},
    };
    buf_add_str(line, "{\"path\":");
    add_json_list(line, file->path);
    buf_addf(line, ",\"size\":%" PRIu64 ",\"attributes\":[", file->len);
    const char *between = "";
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        if (file->attr & attributes[i].bit) {
            buf_addf(line, "%s\"%s\"", between, attributes[i].name);
            between = ",";
        }
    }
    buf_add_byte(line, ']');
    if (file->attr & METAINFO_SYMLINK) {
        buf_add_str(line, ",\"target\":");
        add_json_list(line, file->symlink);
    }
    buf_add_byte(line, '}');
    put(line);
}

static void put_json(struct buf *line, const struct metainfo *m)
{
    buf_add_str(line, "{\"name\":");
    json_add_string(line, m->name);
    buf_add_str(line, ",\"info_hash\":\"");
    add_hash(line, m);
    buf_addf(line, "\",\"hybrid\":%s", m->hybrid ? "true" : "false");
    buf_addf(line, ",\"size\":%" PRIu64 ",\"pieces\":%" PRIu32 ",\"piece_length\":%" PRIu32,
             m->total_len, m->n_pieces, m->piece_len);
    buf_addf(line, ",\"private\":%s", m->private ? "true" : "false");
    put_json_trackers(line, m);
    put_json_web_seeds(line, m);
    if (m->creation_date_s != 0) {
        buf_addf(line, ",\"creation_date\":%" PRId64, m->creation_date_s);
    } else {
        buf_add_str(line, ",\"creation_date\":null");
    }
    add_json_text(line, "created_by", m->created_by);
    add_json_text(line, "comment", m->comment);
    buf_addf(line, ",\"multi_file\":%s,\"files\":[", m->multi_file ? "true" : "false");
    struct metainfo_files files = metainfo_files(m);
    struct metainfo_file file;
    for (bool first = true; metainfo_files_next(&files, &file); first = false) {
        buf_add_str(line, first ? "" : ",");
        put_json_file(line, &file);
    }
    buf_add_str(line, "]}\n");
    put(line);
}

/* --------------------------------------------------------------------------------------------- */

/* returns  the bytes read, 0 at the end, below 0 after a complaint. */
static ssize_t read_some(const char *path, int fd, struct buf *bytes)
{
    uint8_t *to = buf_reserve(bytes, READ_LEN);
    ssize_t n;
    if (to == NULL) {
        terminal_complain(path, "larger than any torrent may be");
        return -1;
    }
    do {
        n = read(fd, to, READ_LEN);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        terminal_complain(path, terminal_errno_text(errno));
    } else {
        bytes->len += (size_t)n;
    }
    return n;
}

static bool read_file(const char *path, struct buf *bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        terminal_complain(path, terminal_errno_text(errno));
        return false;
    }
    ssize_t n;
    do {
        n = read_some(path, fd, bytes);
    } while (n > 0);
    (void)close(fd);
    return n == 0;
}

int torrent_show(const char *path, bool json)
{
    const struct metainfo_limits *limits = &metainfo_limits_default;
    struct metainfo m;
    struct buf bytes;
    struct buf line;
    const char *why;
    int status = EXIT_RUNTIME;
    buf_init(&bytes, limits->len_max + 2 * READ_LEN); /* the decoder says what is too large */
    buf_init(&line, LINE_MAX_LEN);
    if (!read_file(path, &bytes)) {
        goto out;
    }
    if (metainfo_decode(&m, buf_span(&bytes), limits, &why) < 0) {
        char text[160];
        (void)snprintf(text, sizeof text, "no torrent that can be used: %s", why);
        terminal_complain(path, text);
        goto out;
    }
    (json ? put_json : put_people)(&line, &m);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        terminal_complain("standard output", "cannot be written to");
        goto out;
    }
    status = EXIT_OK;
out:
    buf_release(&line);
    buf_release(&bytes);
    return status;
}
