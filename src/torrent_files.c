#include "torrent_files.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "proto/metainfo.h"
#include "terminal.h"

#include "base/banned.h"

static int refuse(const char *path, int code, const char *why)
{
    terminal_complain(path, why);
    return code;
}

static bool is_utf8(struct span s)
{
    size_t n = 1;
    for (; s.n > 0 && n > 0; s = span_sub(s, n, s.n)) {
        n = utf8_sequence_len(s);
    }
    return n > 0;
}

static int add_file(struct torrent_files *files, const FTSENT *entry, size_t name_at)
{
    const struct metainfo_limits *limits = &metainfo_limits_default;
    const struct stat *st = entry->fts_statp;
    uint64_t len = (uint64_t)st->st_size;
    if (!is_utf8(span_str(entry->fts_path + name_at))) {
        return refuse(entry->fts_path, ERR_INVALID, "its name is not UTF-8: rename it");
    }
    if (files->n == limits->files_max) {
        return refuse(entry->fts_path, ERR_LIMIT, "more files before it than a torrent may have");
    }
    if (len > limits->total_len_max - files->total_len) {
        return refuse(entry->fts_path, ERR_LIMIT, "makes the torrent larger than one may be");
    }
    if (files->n == files->cap) {
        files->cap = files->cap == 0 ? 16 : files->cap * 2;
        files->at = mem_resize(files->at, files->cap, sizeof files->at[0]);
    }
    files->at[files->n++] = (struct torrent_file){
        .path = mem_strndup(entry->fts_path, strlen(entry->fts_path)),
        .name_at = name_at,
        .len = len,
        .offset = files->total_len,
        .device = st->st_dev,
        .inode = st->st_ino,
        .modified = st->st_mtim,
    };
    files->total_len += len;
    return 0;
}

static int visit(struct torrent_files *files, const FTSENT *entry, size_t name_at)
{
    bool root = entry->fts_level == FTS_ROOTLEVEL;
    switch (entry->fts_info) {
    case FTS_D:
        files->folder = true;
        return 0;
    case FTS_DP:
        return 0;
    case FTS_F:
        return add_file(files, entry, root ? name_at - strlen(files->name) - 1 : name_at);
    case FTS_SL:
    case FTS_SLNONE:
        if (root) {
            return refuse(entry->fts_path, ERR_NOT_FOUND, "a symbolic link to nothing");
        }
        terminal_complain(entry->fts_path, "a symbolic link, left out");
        return 0;
    case FTS_DC:
        return refuse(entry->fts_path, ERR_INVALID, "a folder that contains itself");
    case FTS_DEFAULT:
        return refuse(entry->fts_path, ERR_INVALID,
                      "neither a file nor a folder: a torrent cannot hold it");
    default: /* FTS_DNR, FTS_ERR, FTS_NS; no other is possible with these options of fts_open */
        return refuse(entry->fts_path, err_from_errno(entry->fts_errno),
                      terminal_errno_text(entry->fts_errno));
    }
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int walk(struct torrent_files *files, char *root)
{
    char *roots[] = {root, NULL};
    size_t name_at = strlen(root) + 1;
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, by_name);
    if (fts == NULL) {
        return refuse(root, err_from_errno(errno), terminal_errno_text(errno));
    }
    int status = 0;
    while (status == 0) {
        errno = 0;
        const FTSENT *entry = fts_read(fts);
        if (entry == NULL) {
            if (errno != 0) {
                status = refuse(root, err_from_errno(errno), terminal_errno_text(errno));
            }
            break;
        }
        status = visit(files, entry, name_at);
    }
    (void)fts_close(fts);
    return status;
}

/* The last part of path, which has no '/' at its end; empty when that is none or names nothing. */
static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *last = slash == NULL ? path : slash + 1;
    return strcmp(last, ".") == 0 || strcmp(last, "..") == 0 ? "" : last;
}

int torrent_files_find(struct torrent_files *out, const char *path)
{
    *out = (struct torrent_files){0};
    int status;
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    char *root = mem_strndup(path, len);
    if (last_part(root)[0] == '\0') { /* ".", "..", "/": ask what that is */
        char *real = realpath(path, NULL);
        if (real == NULL) {
            status = refuse(path, err_from_errno(errno), terminal_errno_text(errno));
            goto out;
        }
        free(root);
        root = real;
    }
    out->name = mem_strndup(last_part(root), strlen(last_part(root)));
    if (out->name[0] == '\0') {
        status = refuse(path, ERR_INVALID, "has no name that a torrent could have");
        goto out;
    }
    if (!is_utf8(span_str(out->name))) {
        status = refuse(path, ERR_INVALID, "its name is not UTF-8: rename it");
        goto out;
    }
    status = walk(out, root);
    if (status == 0 && out->total_len == 0) {
        status = refuse(path, ERR_INVALID,
                        out->n == 0 ? "no file in it, and a torrent needs one"
                                    : "nothing but empty files, and a torrent needs a byte");
    }
out:
    free(root);
    return status;
}

void torrent_files_release(struct torrent_files *files)
{
    for (size_t i = 0; i < files->n; i++) {
        free(files->at[i].path);
    }
    free(files->at);
    free(files->name);
    *files = (struct torrent_files){0};
}

bool torrent_file_is(const struct torrent_file *file, const struct stat *now)
{
    return S_ISREG(now->st_mode) && (uint64_t)now->st_size == file->len &&
           now->st_dev == file->device && now->st_ino == file->inode &&
           now->st_mtim.tv_sec == file->modified.tv_sec &&
           now->st_mtim.tv_nsec == file->modified.tv_nsec;
}
