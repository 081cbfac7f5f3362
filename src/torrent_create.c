/* torrent_create.c
 *
 * find      the files, in the order that they will have
 * refuse    what cannot be written where it is to go, before hours of hashing
 * draft     the whole torrent with zeros for hashes; decoding it shows that every limit is kept
 * hash      into the draft
 * write     under another name in the same folder, then rename
 *
 * A failure anywhere leaves no file behind, and one that is to be replaced as it was.
 */
#include "torrent_create.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <uv.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/ids.h"
#include "base/mem.h"
#include "exit_status.h"
#include "proto/metainfo.h"
#include "terminal.h"
#include "torrent_files.h"
#include "torrent_hash.h"

#include "base/banned.h"

enum { THREADS_MAX = 256, BAR_WIDTH = 40 };

/* The torrent's bytes, and a view of them. */
struct draft {
    uint8_t *bytes;
    size_t len;
    struct metainfo view;
};

static char *join(const char *a, const char *b)
{
    size_t len = strlen(a) + strlen(b) + 1;
    char *s = mem_array(len, 1);
    (void)snprintf(s, len, "%s%s", a, b);
    return s;
}

/* ---- where it goes -------------------------------------------------------------------------- */

static int refuse_output(const char *out, int code, const char *why)
{
    terminal_complain(out, why);
    return code;
}

/* May a file be made in the folder that out is in? */
static int check_output_folder(const char *out)
{
    const char *slash = strrchr(out, '/');
    char *folder = slash == NULL  ? mem_strndup(".", 1)
                   : slash == out ? mem_strndup("/", 1)
                                  : mem_strndup(out, (size_t)(slash - out));
    int status = 0;
    if (access(folder, W_OK | X_OK) < 0) {
        status = refuse_output(out, err_from_errno(errno), terminal_errno_text(errno));
    }
    free(folder);
    return status;
}

static int check_output(const char *out, bool replace, const struct torrent_files *files)
{
    struct stat st;
    if (lstat(out, &st) < 0) {
        return errno == ENOENT
                   ? check_output_folder(out)
                   : refuse_output(out, err_from_errno(errno), terminal_errno_text(errno));
    }
    if (!replace) {
        return refuse_output(out, ERR_EXISTS, "exists already: replace it with -o, or remove it");
    }
    if (!S_ISREG(st.st_mode)) {
        return refuse_output(out, ERR_EXISTS, "exists already, and is not a regular file");
    }
    for (size_t i = 0; i < files->n; i++) {
        if (files->at[i].device == st.st_dev && files->at[i].inode == st.st_ino) {
            return refuse_output(out, ERR_EXISTS, "is one of the files that go into the torrent");
        }
    }
    return check_output_folder(out);
}

/* returns  0 or an errno value; fd is closed in both cases. */
static int write_and_close(int fd, struct span bytes)
{
    int failed = 0;
    while (bytes.n > 0 && failed == 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n >= 0) {
            bytes = span_sub(bytes, (size_t)n, bytes.n);
        } else if (errno != EINTR) {
            failed = errno;
        }
    }
    if (failed == 0 && fsync(fd) < 0) {
        failed = errno;
    }
    if (close(fd) < 0 && failed == 0) {
        failed = errno;
    }
    return failed;
}

/* Give the complete file its name. */
static int move_in_place(const char *from, const char *to, bool replace)
{
    if (replace) {
        return rename(from, to);
    }
    int status = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    /* Some file systems do not know the flag; that nothing is there was seen before. */
    return status < 0 && errno == EINVAL ? rename(from, to) : status;
}

static int write_output(const char *out, bool replace, struct span bytes)
{
    char suffix[32];
    (void)snprintf(suffix, sizeof suffix, ".%d.new", (int)getpid());
    char *temporary = join(out, suffix);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int failed = fd < 0 ? errno : write_and_close(fd, bytes);
    if (failed == 0 && move_in_place(temporary, out, replace) < 0) {
        failed = errno;
    }
    if (fd >= 0 && failed != 0) {
        (void)unlink(temporary);
    }
    free(temporary);
    return failed == 0 ? 0
                       : refuse_output(out, err_from_errno(failed), terminal_errno_text(failed));
}

/* ---- draft ---------------------------------------------------------------------------------- */

static int refuse_draft(const char *path, const char *why)
{
    char text[128];
    (void)snprintf(text, sizeof text, "makes no good torrent: %s", why);
    terminal_complain(path, text);
    return ERR_LIMIT;
}

/* Encode src and look at it as whoever gets the torrent will. */
static int encode_draft(struct draft *d, const char *path, const struct metainfo_source *src)
{
    const struct metainfo_limits *limits = &metainfo_limits_default;
    const char *why;
    size_t len = metainfo_measure(src).len;
    if (len > limits->len_max) {
        return refuse_draft(path, "too many files or pieces");
    }
    d->bytes = mem_array(len, 1);
    d->len = len;
    struct wr w = wr_over(d->bytes, len);
    (void)metainfo_encode(&w, src);
    ASSERT(!w.bad && wr_len(&w) == len);
    if (metainfo_decode(&d->view, span_of(d->bytes, len), limits, &why) < 0) {
        return refuse_draft(path, why);
    }
    return 0;
}

static int make_draft(struct draft *d, const struct torrent_create_options *opt,
                      const struct torrent_files *files, uint32_t piece_len, uint32_t n_pieces)
{
    size_t n_files = files->folder ? files->n : 0;
    size_t hashes_len = (size_t)n_pieces * METAINFO_HASH_LEN;
    struct metainfo_source_file *listed = mem_array(n_files + 1, sizeof listed[0]);
    struct metainfo_source_tracker *trackers = mem_array(opt->n_trackers + 1, sizeof trackers[0]);
    uint8_t *zeros = mem_zeroed(hashes_len);
    for (size_t i = 0; i < n_files; i++) {
        listed[i].path = torrent_file_name(&files->at[i]);
        listed[i].len = files->at[i].len;
    }
    for (size_t i = 0; i < opt->n_trackers; i++) {
        trackers[i].url = span_str(opt->trackers[i]);
        trackers[i].tier = (uint32_t)i;
    }
    struct metainfo_source src = {
        .name = span_str(files->name),
        .files = listed,
        .n_files = n_files,
        .single_len = files->total_len,
        .piece_len = piece_len,
        .pieces = span_of(zeros, hashes_len),
        .private = opt->private,
        .trackers = trackers,
        .n_trackers = opt->n_trackers,
        .created_by = SPAN("Rookery " ROOKERY_VERSION),
        .creation_date_s = (int64_t)time(NULL),
    };
    int status = encode_draft(d, opt->path, &src);
    free(listed);
    free(trackers);
    free(zeros);
    return status;
}

/* ---- hash ----------------------------------------------------------------------------------- */

struct progress {
    uint64_t total_len;
    struct timespec start;
};

static void draw_progress(void *ctx, uint64_t done_len)
{
    static const char bar[BAR_WIDTH + 1] = "########################################";
    const struct progress *p = ctx;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    double elapsed_s =
        (double)(now.tv_sec - p->start.tv_sec) + (double)(now.tv_nsec - p->start.tv_nsec) / 1e9;
    double done = (double)done_len / (double)p->total_len;
    double rate = elapsed_s > 0.01 ? (double)done_len / 1e6 / elapsed_s : 0;
    fprintf(stderr, "\r%3d %% [%-*.*s] %.0f MB/s   ", (int)(100 * done), BAR_WIDTH,
            (int)(BAR_WIDTH * done), bar, rate);
}

static int hash_draft(struct draft *d, const struct torrent_files *files)
{
    struct progress progress = {.total_len = files->total_len};
    struct torrent_hash_fault fault;
    bool terminal = isatty(STDERR_FILENO);
    unsigned cores = uv_available_parallelism();
    cores = cores < 1 ? 1 : cores > THREADS_MAX ? THREADS_MAX : cores;
    struct torrent_hash job = {
        .files = files,
        .piece_len = d->view.piece_len,
        .n_pieces = d->view.n_pieces,
        .n_threads = cores < d->view.n_pieces ? cores : d->view.n_pieces,
        .hashes = d->bytes + (d->view.pieces.p - d->bytes),
        .progress = terminal ? draw_progress : NULL,
        .ctx = &progress,
    };
    (void)clock_gettime(CLOCK_MONOTONIC, &progress.start);
    int status = torrent_hash_run(&job, &fault);
    if (terminal) {
        fputs("\r\033[K", stderr); /* the line is empty again */
    }
    if (status < 0) {
        terminal_complain(fault.path != NULL ? fault.path : "hashing", fault.why);
    }
    return status;
}

/* --------------------------------------------------------------------------------------------- */

/* How many pieces; 0 after a complaint. */
static uint32_t count_pieces(const struct torrent_create_options *opt, uint64_t total_len,
                             uint32_t piece_len)
{
    uint32_t max = metainfo_limits_default.pieces_max;
    uint64_t n = total_len / piece_len + (total_len % piece_len != 0);
    if (n > max) {
        char text[128];
        (void)snprintf(text, sizeof text,
                       "%" PRIu64 " pieces of %" PRIu32 " bytes are more than %" PRIu32
                       ": give a larger --piece-length",
                       n, piece_len, max);
        terminal_complain(opt->path, text);
        return 0;
    }
    return (uint32_t)n;
}

static int print_result(const struct draft *d, const char *out)
{
    uint8_t hash[METAINFO_HASH_LEN];
    struct buf line;
    digest_sha1(hash, d->view.info);
    buf_init(&line, 2 * sizeof hash + TERMINAL_GROWTH * strlen(out) + sizeof "  \n");
    buf_add_hex(&line, span_of(hash, sizeof hash));
    buf_add_str(&line, "  ");
    terminal_add(&line, span_str(out));
    buf_add_byte(&line, '\n');
    bool printed = fwrite(line.p, 1, line.len, stdout) == line.len && fflush(stdout) == 0;
    int write_errno = errno;
    buf_release(&line);
    if (!printed) {
        terminal_complain("standard output", terminal_errno_text(write_errno));
        return EXIT_RUNTIME;
    }
    return EXIT_OK;
}

int torrent_create(const struct torrent_create_options *opt)
{
    struct torrent_files files;
    struct draft draft = {0};
    bool replace = opt->out != NULL;
    char *out = NULL;
    int status = EXIT_RUNTIME;
    if (torrent_files_find(&files, opt->path) < 0) {
        goto out;
    }
    out = replace ? join(opt->out, "") : join(files.name, ".torrent");
    if (check_output(out, replace, &files) < 0) {
        goto out;
    }
    uint32_t piece_len = opt->piece_len;
    if (piece_len == 0) {
        piece_len = metainfo_piece_len_for(files.total_len);
    }
    uint32_t n_pieces = count_pieces(opt, files.total_len, piece_len);
    if (n_pieces == 0) {
        status = EXIT_USAGE;
        goto out;
    }
    if (make_draft(&draft, opt, &files, piece_len, n_pieces) < 0 ||
        hash_draft(&draft, &files) < 0 ||
        write_output(out, replace, span_of(draft.bytes, draft.len)) < 0) {
        goto out;
    }
    status = print_result(&draft, out);
out:
    free(out);
    free(draft.bytes);
    torrent_files_release(&files);
    return status;
}
