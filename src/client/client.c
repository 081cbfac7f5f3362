/* The client's life.
 *
 *   client_open --> loading --> running --> client_close: stopping --> (idle, or 5 s) --> closing
 *
 * Stopping  the engine says stopped to the trackers, blocks go to disk, state to the database; what
 *           was asked of the database before is answered.
 * Closing   sockets, announces, ports and timers close; what is with the disk or the database comes
 *           back. When nothing is left, closed is called: client_check_closed decides, wherever a
 *           part ends.
 */
#include "client/client.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/mem.h"
#include "client/client_impl.h"
#include "net/local_addr.h"

#include "base/banned.h"

enum { PEER_ID_RANDOM = 12 };

uint64_t client_now_ms(const struct client *c)
{
    return uv_now(c->loop);
}

/* ---- later --------------------------------------------------------------------------------------- */

struct later {
    uv_timer_t timer;
    struct client *c;
    void (*run)(void *ctx);
    void *ctx;
};

static void on_later_closed(uv_handle_t *handle)
{
    struct later *l = container_of((uv_timer_t *)handle, struct later, timer);
    struct client *c = l->c;
    free(l);
    c->n_calls--;
    client_check_closed(c);
}

static void on_later(uv_timer_t *timer)
{
    struct later *l = container_of(timer, struct later, timer);
    l->run(l->ctx);
    uv_close((uv_handle_t *)timer, on_later_closed);
}

void client_later(struct client *c, void (*run)(void *ctx), void *ctx)
{
    struct later *l = mem_new(struct later);
    l->c = c;
    l->run = run;
    l->ctx = ctx;
    ASSERT(uv_timer_init(c->loop, &l->timer) == 0);
    /* Not 0: libuv would call what a timer asks for in the same turn. */
    ASSERT(uv_timer_start(&l->timer, on_later, 1, 0) == 0);
    c->n_calls++;
}

/* ---- closing ------------------------------------------------------------------------------------ */

static void client_free(struct client *c)
{
    engine_free(c->engine);
    for (struct map_node *node = map_first(&c->records); node != NULL;) {
        struct record *r = container_of(node, struct record, by_hash);
        node = map_next(&c->records, node);
        record_free(r);
    }
    sessions_free(c);
    disk_free(c->disk);
    map_release(&c->records);
    map_release(&c->records_by_id);
    map_release(&c->links);
    client_forget_left_out(c);
    free(c->unsaved);
    free(c->unsaved_versions);
    free(c->read_to);
    free(c->download_dir);
    free(c->user_agent);
    free(c);
}

static void on_part_closed(void *ctx)
{
    struct client *c = ctx;
    c->open_parts--;
    client_check_closed(c);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_part_closed(handle->data);
}

static void close_parts(struct client *c)
{
    uv_timer_t *timers[] = {&c->timer, &c->stop_timer, &c->info_timer, &c->list_timer,
                            &c->load_timer};
    c->stopped = true;
    links_close(c);
    LIST_FOREACH_SAFE (node, &c->sessions) {
        session_unbind(container_of(node, struct session_net, node));
    }
    if (c->trackers != NULL) {
        trackers_close(c->trackers, on_part_closed, c);
    }
    for (size_t i = 0; i < sizeof timers / sizeof timers[0]; i++) {
        timers[i]->data = c;
        uv_close((uv_handle_t *)timers[i], on_timer_closed);
    }
}

/* The trackers use the HTTP client until they are closed; then it is the last part. */
static void close_http(struct client *c)
{
    struct http_client *http = c->http;
    c->http = NULL;
    http_client_close(http, on_part_closed, c);
}

void client_check_closed(struct client *c)
{
    if (c->closed == NULL || c->draining) {
        return;
    }
    if (!c->stopped && engine_is_idle(c->engine) && c->n_unsaved == 0 && c->n_calls == 0) {
        close_parts(c);
    }
    if (!c->stopped || c->n_links > 0 || c->n_jobs > 0 || c->n_calls > 0) {
        return;
    }
    if (c->http != NULL && c->open_parts == 1) {
        close_http(c);
    } else if (c->http == NULL && c->open_parts == 0) {
        void (*closed)(void *ctx) = c->closed;
        void *ctx = c->closed_ctx;
        client_free(c);
        closed(ctx);
    }
}

static void on_patience_end(uv_timer_t *timer)
{
    struct client *c = container_of(timer, struct client, stop_timer);
    if (!c->stopped) {
        close_parts(c);
        records_give_up_removing(c);
        sessions_give_up_removing(c);
        store_give_up(c->opts.store);
    }
}

void client_close(struct client *c, void (*closed)(void *ctx), void *ctx)
{
    ASSERT(c->closed == NULL);
    c->closed = closed;
    c->closed_ctx = ctx;
    (void)uv_timer_stop(&c->load_timer);
    (void)uv_timer_start(&c->stop_timer, on_patience_end, CLIENT_STOP_MS, 0);
    client_tell_loaded(c, ERR_CANCELED);
    engine_stop(c->engine, client_now_ms(c));
    client_drain(c);
}

/* ---- opening ------------------------------------------------------------------------------------ */

static struct engine_cfg engine_settings(const struct client *c)
{
    const struct config *cfg = c->opts.cfg;
    struct engine_cfg out = engine_cfg_default;
    struct timespec wall;
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    out.max_peers = cfg->client.max_peers;
    out.max_peers_per_torrent = cfg->client.max_peers_per_torrent;
    out.max_down_bps = cfg->client.max_download_rate_bps;
    out.max_up_bps = cfg->client.max_upload_rate_bps;
    out.pex = cfg->client.pex;
    out.announce_to_own_tracker = c->opts.own_announce != NULL;
    out.version = c->user_agent;
    out.unix_ms_at_zero =
        (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000 - (int64_t)client_now_ms(c);
    digest_random(&out.seed, sizeof out.seed);
    return out;
}

/* BEP 20: -RK, four characters of the version, -, then random. */
static struct peer_id new_peer_id(const char *version)
{
    struct peer_id id;
    char text[8 + PEER_ID_RANDOM + 1] = "-RK0000-";
    size_t at = 3;
    for (const char *c = version; *c != '\0' && at < 7; c++) {
        if (*c >= '0' && *c <= '9') {
            text[at++] = *c;
        }
    }
    digest_random_alnum(text + 8, PEER_ID_RANDOM);
    memcpy(id.b, text, sizeof id.b);
    return id;
}

void session_start(struct session_net *s)
{
    const struct session_add add = {
        .id = s->id,
        .listen = s->listen.at,
        .n_listen = s->listen.n,
        .peer_id = new_peer_id(s->c->opts.version),
    };
    engine_add_session(s->c->engine, &add);
}

/* The default save path, absolute, made when it is not there. */
static int open_download_dir(struct client *c, struct err *e)
{
    char *path = config_download_dir(c->opts.cfg);
    char resolved[PATH_MAX];
    int status = 0;
    if ((mkdir(path, 0755) < 0 && errno != EEXIST) || realpath(path, resolved) == NULL) {
        status = err_set_errno(e, errno, "client.download_dir %s", path);
    } else {
        c->download_dir = mem_strndup(resolved, strlen(resolved));
    }
    free(path);
    return status;
}

/* The address that this machine has, for one that is a wildcard. */
static struct addr own_address(const struct session_net *s, bool v6)
{
    struct addr at = v6 ? s->source6 : s->source4;
    if (addr_is_unspecified(&at) && !local_addr(v6, &at)) {
        at = v6 ? (struct addr){.b = {[15] = 1}, .v6 = true} : (struct addr){.b = {127, 0, 0, 1}};
    }
    return at;
}

/* As whom the own tracker hands us out: the configured external address, else the one that we listen
 * on. It is one, so that we are one peer there: IPv4 when we have both. */
static void own_addresses(const struct client *c, struct trackers_opts *opts)
{
    const struct session_net *s = session_find(c, 0);
    const struct config *cfg = c->opts.cfg;
    bool v6 = s->listen.n > 0;
    opts->own_from6.v6 = true;
    for (size_t i = 0; i < s->listen.n; i++) {
        v6 = v6 && s->listen.at[i].addr.v6;
    }
    if (cfg->tracker.has_external_ip) {
        v6 = cfg->tracker.external_ip.v6;
    }
    *(v6 ? &opts->own_from6 : &opts->own_from4) =
        cfg->tracker.has_external_ip ? cfg->tracker.external_ip : own_address(s, v6);
}

static void open_trackers(struct client *c)
{
    struct trackers_opts opts = {
        .loop = c->loop,
        .http = c->http,
        .user_agent = c->user_agent,
        .own = c->opts.own_announce,
        .own_scrape = c->opts.own_scrape,
        .own_ctx = c->opts.own_ctx,
        .own_udp = c->opts.own_udp,
        .own_http = c->opts.own_http,
        .done = client_on_announced,
        .scraped = client_on_scraped,
        .ctx = c,
    };
    own_addresses(c, &opts);
    c->trackers = trackers_new(&opts);
    c->open_parts++;
}

static void open_timers(struct client *c)
{
    ASSERT(uv_timer_init(c->loop, &c->timer) == 0);
    ASSERT(uv_timer_init(c->loop, &c->stop_timer) == 0);
    ASSERT(uv_timer_init(c->loop, &c->info_timer) == 0);
    ASSERT(uv_timer_init(c->loop, &c->list_timer) == 0);
    ASSERT(uv_timer_init(c->loop, &c->load_timer) == 0);
    c->armed_ms = UINT64_MAX;
    c->open_parts += 5;
}

static void open_maps(struct client *c)
{
    struct siphash_key seed;
    digest_random(&seed, sizeof seed);
    map_init(&c->links, &seed);
    map_init(&c->records, &seed);
    map_init(&c->records_by_id, &seed);
    map_init(&c->left_out, &seed);
    list_init(&c->sessions);
    list_init(&c->held);
}

static void no_one(void *ctx)
{
    (void)ctx;
}

/* The parts that can fail, in order. */
static int open_parts(struct client *c, struct err *e)
{
    const struct endpoint_list *listen = &c->opts.cfg->client.listen;
    int status = open_download_dir(c, e);
    if (status == 0) {
        status = http_client_open(&c->http, c->loop, e);
    }
    if (status < 0) {
        return status;
    }
    c->open_parts++;
    struct session_net *s = session_new(c, SESSION_LIVE);
    status = session_bind(s, listen->at, listen->n, false, e);
    if (status < 0) {
        return status;
    }
    session_start(s);
    open_trackers(c);
    client_load(c);
    return 0;
}

int client_open(struct client **out, uv_loop_t *loop, const struct client_opts *opts, struct err *e)
{
    struct client *c = mem_new(struct client);
    char agent[64];
    c->loop = loop;
    c->opts = *opts;
    (void)snprintf(agent, sizeof agent, "Rookery %s", opts->version);
    c->user_agent = mem_strndup(agent, strlen(agent));
    c->read_to = mem_array(READ_LEN, 1);
    open_maps(c);
    open_timers(c);
    const struct engine_cfg settings = engine_settings(c);
    c->engine = engine_new(&settings, client_now_ms(c));
    c->disk = disk_new(loop, client_on_disk_done, c);
    int status = open_parts(c, e);
    if (status < 0) {
        client_close(c, no_one, NULL); /* it ends by itself, in the next turns of the loop */
        return status;
    }
    *out = c;
    return 0;
}

const struct endpoint_list *client_addresses(const struct client *c)
{
    return &session_find(c, 0)->listen;
}

const struct engine *client_engine(const struct client *c)
{
    return c->engine;
}

struct http_client *client_http(struct client *c)
{
    return c->http;
}

void client_trackers_stats(const struct client *c, struct trackers_stats *out)
{
    *out = (struct trackers_stats){.sent_len = 0};
    if (c->trackers != NULL) {
        trackers_stats(c->trackers, out);
    }
}

const struct disk *client_disk(const struct client *c)
{
    return c->disk;
}
