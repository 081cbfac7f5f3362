/* serve.h: the server from start to stop. */
#ifndef SERVE_H
#define SERVE_H

#include "base/config.h"
#include "store/migrate.h"

/* Run until SIGTERM or SIGINT. config_path may be NULL (defaults and environment), ready_file too.
 * returns the program's exit status (exit_status.h), after one line on stderr for a failure. */
int serve(const char *config_path, const char *ready_file);

/* Migrate the database and stop again; an embedded one is started for it, which fails while a
 * server runs on the same data_dir. applied(ctx, name) is called, on another thread, for each
 * migration that was pending. returns the program's exit status. */
int serve_migrate(const struct config *cfg, migrate_applied applied, void *ctx);

#endif
