/* main.c: the command line. Each command is one function; what runs the server is in serve.c. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/digest.h"
#include "config_file.h"
#include "data_dir.h"
#include "exit_status.h"
#include "serve.h"
#include "torrent_command.h"

#include "base/banned.h"

struct options {
    const char *config;
    const char *ready_file;
    bool help;
};

struct command {
    const char *name;
    const char *help;
    bool takes_ready_file;
    int (*run)(const struct options *opt);
};

static const char usage[] = "usage: rookery [serve] [--config FILE] [--ready-file FILE]\n"
                            "       rookery check-config --config FILE\n"
                            "       rookery migrate --config FILE\n"
                            "       rookery torrent create PATH [-a URL]... [-o FILE] ...\n"
                            "       rookery torrent show FILE [--json]\n"
                            "       rookery --version | --help | COMMAND --help\n";

static int run_serve(const struct options *opt)
{
    return serve(opt->config, opt->ready_file);
}

static int run_check_config(const struct options *opt)
{
    struct config cfg;
    if (opt->config == NULL) {
        fprintf(stderr, "rookery: check-config needs --config FILE\n");
        return EXIT_USAGE;
    }
    int status = config_file_load(&cfg, opt->config);
    if (status == 0) {
        printf("%s: ok\n", opt->config);
    }
    config_release(&cfg);
    return status == 0 ? EXIT_OK : EXIT_USAGE;
}

static void print_applied(void *ctx, const char *name)
{
    int *applied = ctx;
    (*applied)++;
    printf("applied %s\n", name);
    (void)fflush(stdout);
}

static int run_migrate(const struct options *opt)
{
    struct config cfg;
    int applied = 0;
    int status = EXIT_USAGE;
    if (config_file_load(&cfg, opt->config) < 0) {
        goto out;
    }
    status = serve_migrate(&cfg, print_applied, &applied);
    if (status == EXIT_OK && applied == 0) {
        puts("nothing to apply");
    }
out:
    config_release(&cfg);
    return status;
}

static const struct command commands[] = {
    {"serve",
     "usage: rookery [serve] [--config FILE] [--ready-file FILE]\n\n"
     "Run in the foreground until SIGTERM or SIGINT; SIGHUP loads whitelist, keys and log level\n"
     "again.\n\n"
     "  --config FILE      YAML; without it every key has its default\n"
     "  --ready-file FILE  written, as JSON with the bound addresses, when everything listens\n",
     true, run_serve},
    {"check-config",
     "usage: rookery check-config --config FILE\n\n"
     "Validate a configuration and the ROOKERY_* environment; print each error as\n"
     "FILE:LINE: KEY: what is wrong. Exit status 2 when there is one.\n",
     false, run_check_config},
    {"migrate",
     "usage: rookery migrate --config FILE\n\n"
     "Apply pending database migrations, print each, exit. The server does the same at start.\n",
     false, run_migrate},
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

/* Fills *opt; false after a complaint when a word or an option is not of the command's. */
static bool parse_options(struct options *opt, const struct command *cmd, int argc, char **argv)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},
        {"ready-file", required_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;
    while ((c = getopt_long(argc, argv, "+c:h", longs, NULL)) != -1) {
        switch (c) {
        case 'c':
            opt->config = optarg;
            break;
        case 'r':
            if (!cmd->takes_ready_file) {
                fprintf(stderr, "rookery: %s takes no --ready-file\n", cmd->name);
                return false;
            }
            opt->ready_file = optarg;
            break;
        case 'h':
            opt->help = true;
            break;
        default: /* getopt_long has named the option */
            return false;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "rookery: %s does not know the word '%s'\n", cmd->name, argv[optind]);
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    const struct command *cmd = &commands[0];
    struct options opt = {0};
    if (digest_start() < 0) {
        fprintf(stderr, "rookery: the system gives no random bytes\n");
        return EXIT_RUNTIME;
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("rookery " ROOKERY_VERSION);
        return EXIT_OK;
    }
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return EXIT_OK;
    }
    if (argc > 1 && strcmp(argv[1], "torrent") == 0) {
        argv[1] = argv[0];
        return torrent_command(argc - 1, argv + 1);
    }
    if (argc > 1 && argv[1][0] != '-') {
        cmd = find_command(argv[1]);
        if (cmd == NULL) {
            fprintf(stderr, "rookery: unknown command '%s'\n%s", argv[1], usage);
            return EXIT_USAGE;
        }
        argv[1] = argv[0];
        argc--;
        argv++;
    }
    if (!parse_options(&opt, cmd, argc, argv)) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (opt.help) {
        fputs(cmd->help, stdout);
        return EXIT_OK;
    }
    return cmd->run(&opt);
}
