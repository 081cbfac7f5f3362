#include "torrent_command.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/parse.h"
#include "exit_status.h"
#include "terminal.h"
#include "torrent_create.h"
#include "torrent_show.h"

#include "base/banned.h"

static const char usage[] =
    "usage: rookery torrent create PATH [-a URL]... [-o FILE] [--piece-length N] [--private]\n"
    "                              [--version 1|2|hybrid]\n"
    "       rookery torrent show FILE [--json]\n"
    "       rookery torrent create --help | show --help\n";

static const char create_help[] =
    "usage: rookery torrent create PATH [-a URL]... [-o FILE] [--piece-length N] [--private]\n"
    "                              [--version 1|2|hybrid]\n\n"
    "Make a .torrent of a file or a folder; print its info-hash and the name of what was made.\n"
    "Files are ordered by path. Symbolic links are left out, with a line for each; pipes, "
    "sockets,\n"
    "devices, names that are not UTF-8 and files that change meanwhile are refused.\n\n"
    "  -a, --announce URL  a tracker (http, https, udp, ws, wss); each further one is a tier of\n"
    "                      its own\n"
    "  -o, --output FILE   where the torrent goes; replaced when it is there. Without it:\n"
    "                      NAME.torrent in the current folder, which is never replaced\n"
    "  --piece-length N    bytes, a power of two, 16384 to 134217728. Without it: the smallest\n"
    "                      that makes no more than 2048 pieces, but no more than 16777216\n"
    "  --private           peers from its trackers only (BEP 27)\n"
    "  --version 1         of the format; 2 and hybrid are not in this version of Rookery\n";

static const char show_help[] =
    "usage: rookery torrent show FILE [--json]\n\n"
    "Print what is in a .torrent. Control characters are shown as \\xNN.\n\n"
    "  --json  one object, for programs:\n"
    "          name, info_hash (hex), hybrid, size (bytes, padding included), pieces,\n"
    "          piece_length, private, trackers (a list of tiers, each a list of URLs), web_seeds,\n"
    "          creation_date (seconds since 1970), created_by, comment (these three: null when\n"
    "          absent), multi_file, files: each with path (a list of parts, without name when\n"
    "          multi_file), size, attributes (padding, symlink, executable, hidden), and with the\n"
    "          attribute symlink target (a list of parts).\n"
    "          What is not UTF-8 becomes U+FFFD.\n";

/* The one word that is no option; NULL after a complaint. */
static const char *only_word(int argc, char **argv, const char *what)
{
    if (optind == argc) {
        fprintf(stderr, "rookery: %s is missing\n", what);
        return NULL;
    }
    if (optind + 1 < argc) {
        terminal_complain(argv[optind + 1], "one word too many");
        return NULL;
    }
    return argv[optind];
}

/* ---- create --------------------------------------------------------------------------------- */

/* Printable, a scheme that clients know, and a host. */
static bool is_tracker_url(const char *url)
{
    static const char *const schemes[] = {"http://", "https://", "udp://", "ws://", "wss://"};
    struct span s = span_str(url);
    size_t scheme_len = 0;
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (span_starts_with(s, span_str(schemes[i]))) {
            scheme_len = strlen(schemes[i]);
        }
    }
    for (size_t i = 0, n; i < s.n; i += n) {
        n = utf8_sequence_len(span_sub(s, i, s.n));
        if (n == 0 || s.p[i] <= ' ' || s.p[i] == 0x7f) {
            return false;
        }
    }
    return scheme_len > 0 && s.n > scheme_len && strchr("/:?#", s.p[scheme_len]) == NULL;
}

static bool parse_tracker(struct torrent_create_options *opt, const char **trackers,
                          const char *text)
{
    if (!is_tracker_url(text)) {
        terminal_complain(text, "no URL of a tracker: http://, https://, udp://, ws:// or wss://, "
                                "and a host");
        return false;
    }
    trackers[opt->n_trackers++] = text;
    return true;
}

static bool parse_piece_len(struct torrent_create_options *opt, const char *text)
{
    uint64_t n = 0;
    if (!parse_u64(&n, span_str(text), TORRENT_PIECE_LEN_MAX) || n < TORRENT_PIECE_LEN_MIN ||
        (n & (n - 1)) != 0) {
        terminal_complain(text, "no piece length: a power of two, 16384 to 134217728");
        return false;
    }
    opt->piece_len = (uint32_t)n;
    return true;
}

static bool check_version(const char *text)
{
    if (strcmp(text, "1") == 0) {
        return true;
    }
    bool known = strcmp(text, "2") == 0 || strcmp(text, "hybrid") == 0;
    terminal_complain(text, known ? "torrents of this version are not in this version of Rookery"
                                  : "no version of torrents: 1, 2 or hybrid");
    return false;
}

/* Fills *opt, and the argc places of trackers; false after a complaint. */
static bool parse_create(struct torrent_create_options *opt, bool *help, const char **trackers,
                         int argc, char **argv)
{
    static const struct option longs[] = {
        {"announce", required_argument, NULL, 'a'},
        {"output", required_argument, NULL, 'o'},
        {"piece-length", required_argument, NULL, 'l'},
        {"private", no_argument, NULL, 'p'},
        {"version", required_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    bool good = true;
    int c;
    while (good && (c = getopt_long(argc, argv, "a:o:h", longs, NULL)) != -1) {
        switch (c) {
        case 'a':
            good = parse_tracker(opt, trackers, optarg);
            break;
        case 'o':
            opt->out = optarg;
            break;
        case 'l':
            good = parse_piece_len(opt, optarg);
            break;
        case 'p':
            opt->private = true;
            break;
        case 'v':
            good = check_version(optarg);
            break;
        case 'h':
            *help = true;
            return true;
        default: /* getopt_long has named the option */
            good = false;
        }
    }
    opt->path = good ? only_word(argc, argv, "PATH, a file or a folder,") : NULL;
    return opt->path != NULL;
}

static int run_create(int argc, char **argv)
{
    const char **trackers = mem_array((size_t)argc, sizeof trackers[0]);
    struct torrent_create_options opt = {.trackers = trackers};
    bool help = false;
    int status;
    if (!parse_create(&opt, &help, trackers, argc, argv)) {
        status = EXIT_USAGE;
    } else if (help) {
        fputs(create_help, stdout);
        status = EXIT_OK;
    } else {
        status = torrent_create(&opt);
    }
    free(trackers);
    return status;
}

/* ---- show ----------------------------------------------------------------------------------- */

static int run_show(int argc, char **argv)
{
    static const struct option longs[] = {
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    bool json = false;
    int c;
    while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        switch (c) {
        case 'j':
            json = true;
            break;
        case 'h':
            fputs(show_help, stdout);
            return EXIT_OK;
        default:
            return EXIT_USAGE;
        }
    }
    const char *path = only_word(argc, argv, "FILE, a .torrent,");
    return path == NULL ? EXIT_USAGE : torrent_show(path, json);
}

int torrent_command(int argc, char **argv)
{
    if (argc < 2) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        fputs(usage, stdout);
        return EXIT_OK;
    }
    argv[1] = argv[0]; /* what getopt_long names in its complaints */
    if (strcmp(name, "create") == 0) {
        return run_create(argc - 1, argv + 1);
    }
    if (strcmp(name, "show") == 0) {
        return run_show(argc - 1, argv + 1);
    }
    terminal_complain(name, "no command of 'rookery torrent': create or show");
    return EXIT_USAGE;
}
