/* serve.c: build the parts in order, run, take them down in reverse order.
 *
 *   DATABASE --> MIGRATE --> LOAD --> RUN
 *       |           |          |       |        a failure, a signal
 *       +-----------+----------+-------+----->  CLOSING --> (loop empty, serve returns)
 *
 * Happy path
 *   1. the configuration is read, data_dir made and locked, the log and the signals set up
 *   2. DATABASE: the embedded cluster is started (skipped with database.url)
 *   3. MIGRATE:  in the thread pool, since libpq's blocking calls are used; waits up to 30 s for
 *                the database to answer
 *   4. LOAD:     whitelist, keys and completed counts are loaded into the tracker
 *   5. RUN:      workers, client and API listen, the ready file is written; the client's torrents
 *                are loaded while everything is up already
 *   6. a signal: CLOSING
 * Failures
 *   each is kept in s->error, ends in CLOSING and in exit status 1, with one line on stderr.
 * Closing
 *   close_next takes down the last part that stands; its callback calls close_next again. When
 *   nothing stands, the signal handles are closed and the loop runs out.
 */
#include "serve.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "api/api.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/client.h"
#include "config_file.h"
#include "data_dir.h"
#include "exit_status.h"
#include "net/job.h"
#include "own_tracker.h"
#include "ready_file.h"
#include "store/embedded.h"
#include "store/store.h"
#include "tracker/persist.h"
#include "tracker/tracker.h"
#include "tracker/worker_clock.h"
#include "tracker/workers.h"

#include "base/banned.h"

enum server_state { STATE_DATABASE, STATE_MIGRATE, STATE_LOAD, STATE_RUN, STATE_CLOSING };

enum { N_SIGNALS = 3, POOL_THREADS_MIN = 4 };

/* Runs in the thread pool; everything it needs is in it. */
struct migration_job {
    struct job job;
    char *url;
    uint32_t wait_s;
    _Atomic int cancel;
    migrate_applied applied;
    void *applied_ctx;
    int status;
    struct err error;
    bool running;
};

struct server {
    uv_loop_t loop;
    const char *config_path;
    const char *ready_file;
    const struct config *cfg;
    enum server_state state;
    bool migrate_only;
    bool failed;
    struct err error; /* why, once failed */

    struct log_sink log;
    uv_signal_t signals[N_SIGNALS];
    int lock_fd;
    char *generated_token; /* NULL when the configuration has tokens */

    struct embedded *embedded;
    struct migration_job migration;
    struct tracker *tracker;
    struct persist *persist;
    struct store *store;
    struct workers *workers;
    struct own_tracker *own_tracker;
    struct client *client;
    struct api *api;
    struct endpoint_list no_addresses;
};

static void close_next(struct server *s);

static void fail(struct server *s, const struct err *e)
{
    if (!s->failed && s->state != STATE_CLOSING) {
        s->failed = true;
        s->error = *e;
    }
    if (s->state != STATE_CLOSING) {
        s->state = STATE_CLOSING;
        close_next(s);
    }
}

/* ---- taking down ------------------------------------------------------------------------- */

static void on_api_closed(void *ctx)
{
    struct server *s = ctx;
    s->api = NULL;
    close_next(s);
}

static void on_client_closed(void *ctx)
{
    struct server *s = ctx;
    s->client = NULL;
    close_next(s);
}

static void on_persist_closed(void *ctx)
{
    struct server *s = ctx;
    s->persist = NULL;
    close_next(s);
}

static void on_store_closed(void *ctx)
{
    struct server *s = ctx;
    s->store = NULL;
    close_next(s);
}

static void on_embedded_stopped(void *ctx)
{
    struct server *s = ctx;
    s->embedded = NULL;
    close_next(s);
}

static void close_signals(struct server *s)
{
    for (size_t i = 0; i < N_SIGNALS; i++) {
        uv_handle_t *handle = (uv_handle_t *)&s->signals[i];
        if (!uv_is_closing(handle)) {
            uv_close(handle, NULL);
        }
    }
}

/* One part a call, in the reverse order of their making. */
static void close_next(struct server *s)
{
    if (s->api != NULL) {
        api_close(s->api, on_api_closed, s);
    } else if (s->client != NULL) {
        client_close(s->client, on_client_closed, s);
    } else if (s->workers != NULL) {
        workers_close(s->workers);
        s->workers = NULL;
        close_next(s);
    } else if (s->persist != NULL) {
        persist_close(s->persist, on_persist_closed, s);
    } else if (s->store != NULL) {
        store_close(s->store, on_store_closed, s);
    } else if (s->migration.running) {
        atomic_store(&s->migration.cancel, 1); /* its end comes back here */
    } else if (s->embedded != NULL) {
        embedded_stop(s->embedded, on_embedded_stopped, s);
    } else {
        close_signals(s);
    }
}

/* ---- building ---------------------------------------------------------------------------- */

static void announce_listeners(const char *what, const struct endpoint_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        char text[ENDPOINT_TEXT_LEN];
        log_info(LOG_MAIN, "listening", KV_STR("for", what),
                 KV_STR("address", endpoint_format(text, &list->at[i])));
    }
}

static int open_api(struct server *s, struct err *e)
{
    const struct api_parts parts = {
        .cfg = s->cfg,
        .tracker = s->tracker,
        .store = s->store,
        .persist = s->persist,
        .client = s->client,
        .tracker_udp = workers_udp(s->workers),
        .tracker_http = workers_http(s->workers),
        .token_file_token = s->generated_token,
        .version = ROOKERY_VERSION,
    };
    return api_open(&s->api, &s->loop, &parts, e);
}

static int open_client(struct server *s, struct err *e)
{
    struct client_opts opts = {
        .cfg = s->cfg,
        .store = s->store,
        .version = ROOKERY_VERSION,
        .own_udp = workers_udp(s->workers),
        .own_http = workers_http(s->workers),
    };
    if (!s->cfg->client.enabled) {
        return 0;
    }
    if (s->cfg->client.announce_to_own_tracker) {
        s->own_tracker = own_tracker_new(s->tracker, workers_count(s->cfg), s->store);
        opts.own_announce = own_tracker_announce;
        opts.own_scrape = own_tracker_scrape;
        opts.own_list = own_tracker_list;
        opts.own_ctx = s->own_tracker;
    }
    return client_open(&s->client, &s->loop, &opts, e);
}

static void on_loaded(void *ctx, int status, const struct err *e)
{
    struct server *s = ctx;
    struct err error;
    if (status < 0) {
        fail(s, e);
        return;
    }
    if (s->state != STATE_LOAD) {
        return; /* closing already */
    }
    if (workers_open(&s->workers, s->tracker, s->cfg, &error) < 0 || open_client(s, &error) < 0 ||
        open_api(s, &error) < 0) {
        fail(s, &error);
        return;
    }
    const struct ready_addresses addresses = {
        .api = api_addresses(s->api),
        .tracker_http = workers_http(s->workers),
        .tracker_udp = workers_udp(s->workers),
        .client = s->client == NULL ? NULL : client_addresses(s->client),
    };
    if (s->ready_file != NULL && ready_file_write(s->ready_file, &addresses, &error) < 0) {
        fail(s, &error);
        return;
    }
    s->state = STATE_RUN;
    announce_listeners("tracker udp", addresses.tracker_udp);
    announce_listeners("tracker http", addresses.tracker_http);
    announce_listeners("api", addresses.api);
    if (addresses.client != NULL) {
        announce_listeners("peers", addresses.client);
    }
    log_info(LOG_MAIN, "ready", KV_STR("version", ROOKERY_VERSION), KV_INT("pid", getpid()),
             KV_INT("workers", workers_count(s->cfg)));
}

static struct tracker_cfg tracker_settings(const struct config *cfg)
{
    struct tracker_cfg t = {
        .mode = (enum tracker_mode)cfg->tracker.mode,
        .announce_interval_s = cfg->tracker.announce_interval_s,
        .min_announce_interval_s = cfg->tracker.min_announce_interval_s,
        .peer_timeout_s = config_peer_timeout_s(cfg),
        .max_numwant = cfg->tracker.max_numwant,
        .max_scrape = cfg->tracker.max_scrape,
        .max_torrents = cfg->tracker.max_torrents,
        .max_peers = cfg->tracker.max_peers,
        .trust_ip_param = cfg->tracker.trust_ip_parameter,
    };
    if (cfg->tracker.has_external_ip) {
        const struct addr *external = &cfg->tracker.external_ip;
        *(external->v6 ? &t.external6 : &t.external4) = *external;
        *(external->v6 ? &t.has_external6 : &t.has_external4) = true;
    }
    digest_random(&t.seed, sizeof t.seed);
    return t;
}

static void load(struct server *s)
{
    struct err e;
    const struct tracker_cfg settings = tracker_settings(s->cfg);
    s->state = STATE_LOAD;
    /* One handle more than there are workers: the client's, which announces from this thread. */
    s->tracker = tracker_new(&settings, workers_count(s->cfg) + 1, worker_clock_now());
    s->persist = persist_new(&s->loop, s->tracker, s->cfg->tracker.persist_completed);
    const struct store_watch watch = persist_watch(s->persist);
    if (store_open(&s->store, &s->loop, s->migration.url, &watch, &e) < 0) {
        fail(s, &e);
        return;
    }
    persist_start(s->persist, s->store, on_loaded, s);
}

static void migrate_in_thread(struct job *job)
{
    struct migration_job *m = container_of(job, struct migration_job, job);
    m->status = migrate_run(m->url, m->wait_s, &m->cancel, m->applied, m->applied_ctx, &m->error);
}

static void on_migrated(struct job *job, int status)
{
    struct server *s = container_of(job, struct server, migration.job);
    ASSERT(status == 0); /* nobody calls job_cancel */
    s->migration.running = false;
    if (s->state == STATE_CLOSING) {
        close_next(s);
    } else if (s->migration.status < 0) {
        fail(s, &s->migration.error);
    } else if (s->migrate_only) {
        s->state = STATE_CLOSING;
        close_next(s);
    } else {
        load(s);
    }
}

static void log_applied(void *ctx, const char *name)
{
    (void)ctx;
    log_info(LOG_STORE, "migration applied", KV_STR("name", name));
}

static void migrate(struct server *s, const char *url)
{
    s->state = STATE_MIGRATE;
    s->migration.url = mem_strndup(url, strlen(url));
    s->migration.wait_s = s->migrate_only ? 0 : STORE_STARTUP_S;
    s->migration.running = true;
    /* Fails only without work. */
    ASSERT(job_start(&s->migration.job, &s->loop, migrate_in_thread, on_migrated) == 0);
}

static void on_embedded_ready(void *ctx, int status, const struct err *e)
{
    struct server *s = ctx;
    if (status < 0) {
        fail(s, e);
    } else if (s->state == STATE_DATABASE) {
        migrate(s, embedded_url(s->embedded));
    }
}

static void start_database(struct server *s)
{
    struct err e;
    s->state = STATE_DATABASE;
    if (s->cfg->database.url[0] != '\0') {
        migrate(s, s->cfg->database.url);
    } else if (embedded_start(&s->embedded, &s->loop, s->cfg->data_dir, on_embedded_ready, s, &e) <
               0) {
        fail(s, &e);
    }
}

/* ---- signals ----------------------------------------------------------------------------- */

static void on_reloaded(void *ctx, int status, const struct err *e)
{
    (void)ctx;
    if (status < 0) {
        log_warn(LOG_MAIN, "reload failed", KV_STR("why", e->msg));
    } else {
        log_info(LOG_MAIN, "whitelist and keys loaded again");
    }
}

static void reload(struct server *s)
{
    struct config fresh;
    if (s->state != STATE_RUN) {
        return;
    }
    if (config_file_load(&fresh, s->config_path) == 0) {
        atomic_store(&s->log.level, (int)fresh.log.level);
    } else {
        log_warn(LOG_MAIN, "configuration has errors, log level unchanged");
    }
    config_release(&fresh);
    int status = persist_reload(s->persist, on_reloaded, s);
    if (status < 0) {
        log_warn(LOG_MAIN, "reload failed", KV_STR("why", err_text(status)));
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct server *s = handle->data;
    if (number == SIGHUP) {
        reload(s);
    } else if (s->state == STATE_CLOSING) {
        _exit(EXIT_RUNTIME); /* the second signal: now */
    } else {
        log_info(LOG_MAIN, "stopping", KV_STR("signal", number == SIGINT ? "SIGINT" : "SIGTERM"));
        s->state = STATE_CLOSING;
        close_next(s);
    }
}

static void watch_signals(struct server *s)
{
    static const int numbers[N_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL); /* a closed socket is an error code, not an end */
    for (size_t i = 0; i < N_SIGNALS; i++) {
        ASSERT(uv_signal_init(&s->loop, &s->signals[i]) == 0);
        s->signals[i].data = s;
        ASSERT(uv_signal_start(&s->signals[i], on_signal, numbers[i]) == 0);
    }
}

/* ---- start and end ----------------------------------------------------------------------- */

static void set_log(struct server *s)
{
    s->log.json = s->cfg->log.json;
    atomic_store(&s->log.level, (int)s->cfg->log.level);
    log_set_sink(&s->log);
}

static void print_failure(const struct server *s)
{
    if (s->cfg->log.json) {
        log_error(LOG_MAIN, s->error.msg);
    } else {
        fprintf(stderr, "rookery: %s\n", s->error.msg);
    }
}

/* As many descriptors as the system lets us have: connections are limited by configuration. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* One pool reads, writes and hashes. */
static void set_threads(const struct config *cfg)
{
    unsigned n = cfg->client.disk_threads;
    if (n == 0) {
        n = uv_available_parallelism();
        n = n < POOL_THREADS_MIN ? POOL_THREADS_MIN : n;
    }
    job_set_threads(n + cfg->client.hash_threads);
}

static int prepare_data_dir(struct server *s)
{
    if (s->migrate_only && s->cfg->database.url[0] != '\0') {
        return 0; /* nothing of it is in the folder, which a running server may hold */
    }
    s->lock_fd = data_dir_open(s->cfg->data_dir, &s->error);
    if (s->lock_fd < 0) {
        return s->lock_fd;
    }
    if (s->migrate_only || s->cfg->api.tokens.n > 0) {
        return 0;
    }
    int status = data_dir_token(s->cfg->data_dir, &s->generated_token, &s->error);
    if (status == 0) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/api-token", s->cfg->data_dir);
        log_info(LOG_MAIN, "the API token is in a file", KV_STR("path", path));
    }
    return status;
}

static int run(struct server *s)
{
    set_log(s);
    raise_descriptor_limit();
    set_threads(s->cfg);
    ready_file_remove(s->ready_file);
    if (prepare_data_dir(s) < 0) {
        s->failed = true;
    } else {
        ASSERT(uv_loop_init(&s->loop) == 0);
        watch_signals(s);
        start_database(s);
        (void)uv_run(&s->loop, UV_RUN_DEFAULT);
        ASSERT(uv_loop_close(&s->loop) == 0);
    }
    if (s->failed) {
        print_failure(s);
    } else if (!s->migrate_only) {
        log_info(LOG_MAIN, "stopped");
    }
    own_tracker_free(s->own_tracker);
    if (s->tracker != NULL) {
        tracker_free(s->tracker);
    }
    if (s->lock_fd >= 0) {
        (void)close(s->lock_fd);
    }
    free(s->generated_token);
    free(s->migration.url);
    log_set_sink(NULL);
    uv_library_shutdown(); /* joins the thread pool, so that its threads clean up behind themselves */
    return s->failed ? EXIT_RUNTIME : EXIT_OK;
}

int serve(const char *config_path, const char *ready_file)
{
    struct config cfg;
    if (config_file_load(&cfg, config_path) < 0) {
        config_release(&cfg);
        return EXIT_USAGE;
    }
    struct server s = {
        .config_path = config_path,
        .ready_file = ready_file,
        .cfg = &cfg,
        .lock_fd = -1,
        .migration.applied = log_applied,
    };
    int status = run(&s);
    config_release(&cfg);
    return status;
}

int serve_migrate(const struct config *cfg, migrate_applied applied, void *ctx)
{
    struct server s = {
        .cfg = cfg,
        .migrate_only = true,
        .lock_fd = -1,
        .migration.applied = applied,
        .migration.applied_ctx = ctx,
    };
    return run(&s);
}
