/* workers.c
 *
 * workers_open   probe every address, bind every address for every worker, open all workers, start
 *                their threads; the first thing that fails undoes all of it
 * workers_close  ask all to stop, then wait for each: they drain side by side
 */
#include "tracker/workers.h"

#include <stdlib.h>
#include <unistd.h>

#include <uv.h>

#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/listen.h"
#include "net/tls.h"
#include "tracker/worker.h"

#include "base/banned.h"

struct workers {
    struct worker **at;
    size_t n;
    struct worker_sockets *sockets; /* until the workers have them */
    struct connid connid;
    struct http_slots slots;
    struct tls_server *tls;
    struct endpoint_list udp;
    struct endpoint_list http;
};

size_t workers_count(const struct config *cfg)
{
    if (cfg->tracker.workers > 0) {
        return cfg->tracker.workers;
    }
    unsigned cores = uv_available_parallelism();
    return cores > 0 ? cores : 1;
}

/* ---- sockets ----------------------------------------------------------------------------- */

static const char *key_of(enum listen_kind kind)
{
    return kind == LISTEN_UDP ? "tracker.udp" : "tracker.http";
}

/* Is every address free of others? Asked of all before anything is bound: our own sockets would
 * stand in the way of an address that overlaps, such as a wildcard beside a loopback address. */
static int probe_list(enum listen_kind kind, const struct endpoint_list *list, struct err *e)
{
    for (size_t i = 0; i < list->n; i++) {
        struct listen_spec spec = listen_spec_for(kind, list->at, list->n, i);
        int status = listen_probe(&spec, e);
        if (status < 0 && status != ERR_NOT_FOUND) {
            return err_wrap(e, "%s", key_of(kind));
        }
    }
    return 0;
}

/* One socket a worker. With port 0 the first one's port is for all. */
static int bind_address(struct workers *w, struct listen_spec *spec, struct err *e)
{
    for (size_t k = 0; k < w->n; k++) {
        struct worker_sockets *s = &w->sockets[k];
        int fd = listen_open(spec, e);
        if (fd < 0) {
            return fd;
        }
        if (spec->kind == LISTEN_UDP) {
            s->udp[s->n_udp++] = fd;
        } else {
            s->http[s->n_http++] = fd;
        }
    }
    return 0;
}

static int bind_list(struct workers *w, enum listen_kind kind, const struct endpoint_list *list,
                     struct endpoint_list *bound, struct err *e)
{
    bound->at = mem_zeroed((list->n + 1) * sizeof(struct endpoint));
    for (size_t i = 0; i < list->n; i++) {
        struct listen_spec spec = listen_spec_for(kind, list->at, list->n, i);
        spec.reuse_port = true;
        spec.data_first = true; /* in HTTP and TLS the client speaks first */
        int status = bind_address(w, &spec, e);
        if (status == ERR_NOT_FOUND) {
            log_warn(LOG_TRACKER, "address skipped", KV_STR("key", key_of(kind)),
                     KV_STR("why", e->msg));
            continue;
        }
        if (status < 0) {
            return err_wrap(e, "%s", key_of(kind));
        }
        bound->at[bound->n++] = spec.at;
    }
    return list->n > 0 && bound->n == 0 ? err_wrap(e, "%s", key_of(kind)) : 0;
}

static void make_sockets(struct workers *w, const struct config *cfg)
{
    w->sockets = mem_zeroed(w->n * sizeof(struct worker_sockets));
    for (size_t k = 0; k < w->n; k++) {
        w->sockets[k].udp = mem_array(cfg->tracker.udp.n + 1, sizeof(int));
        w->sockets[k].http = mem_array(cfg->tracker.http.n + 1, sizeof(int));
    }
}

/* n_open workers have taken theirs already. */
static void free_sockets(struct workers *w, size_t n_open)
{
    for (size_t k = 0; w->sockets != NULL && k < w->n; k++) {
        struct worker_sockets *s = &w->sockets[k];
        for (size_t i = 0; k >= n_open && i < s->n_udp; i++) {
            (void)close(s->udp[i]);
        }
        for (size_t i = 0; k >= n_open && i < s->n_http; i++) {
            (void)close(s->http[i]);
        }
        free(s->udp);
        free(s->http);
    }
    free(w->sockets);
    w->sockets = NULL;
}

/* ---- workers ----------------------------------------------------------------------------- */

static int bind_all(struct workers *w, const struct config *cfg, struct err *e)
{
    int status = probe_list(LISTEN_UDP, &cfg->tracker.udp, e);
    if (status == 0) {
        status = probe_list(LISTEN_TCP, &cfg->tracker.http, e);
    }
    if (status == 0) {
        status = bind_list(w, LISTEN_UDP, &cfg->tracker.udp, &w->udp, e);
    }
    if (status == 0) {
        status = bind_list(w, LISTEN_TCP, &cfg->tracker.http, &w->http, e);
    }
    return status;
}

static int load_tls(struct workers *w, const struct config *cfg, struct err *e)
{
    const char *certificate = cfg->tracker.tls_certificate;
    const char *key = cfg->tracker.tls_key;
    if (certificate == NULL || key == NULL || certificate[0] == '\0' || key[0] == '\0') {
        return 0;
    }
    int status = tls_server_new(&w->tls, certificate, key, e);
    return status < 0 ? err_wrap(e, "tracker.tls") : 0;
}

/* Opens and starts worker after worker; *n_open of them have taken their sockets. */
static int start_all(struct workers *w, struct tracker *tracker, const struct config *cfg,
                     size_t *n_open, struct err *e)
{
    for (size_t i = 0; i < w->n; i++) {
        struct worker_options options = {
            .index = i,
            .tracker = tracker,
            .cfg = cfg,
            .connid = &w->connid,
            .tls = w->tls,
            .slots = &w->slots,
        };
        (*n_open)++;
        int status = worker_open(&w->at[i], &options, &w->sockets[i], e);
        if (status < 0) {
            return status;
        }
    }
    /* Only when nothing can fail any more but the threads themselves does the first answer. */
    for (size_t i = 0; i < w->n; i++) {
        int status = worker_start(w->at[i], e);
        if (status < 0) {
            return status;
        }
    }
    return 0;
}

int workers_open(struct workers **out, struct tracker *tracker, const struct config *cfg,
                 struct err *e)
{
    struct workers *w = mem_new(struct workers);
    size_t n_open = 0;
    w->n = workers_count(cfg);
    w->at = mem_zeroed(w->n * sizeof(struct worker *));
    w->slots.max = cfg->tracker.max_connections;
    w->connid.lifetime_ms = cfg->tracker.connection_id_lifetime_s * 1000;
    digest_random(&w->connid.secret, sizeof w->connid.secret);
    make_sockets(w, cfg);
    int status = load_tls(w, cfg, e);
    if (status == 0) {
        status = bind_all(w, cfg, e);
    }
    if (status == 0) {
        status = start_all(w, tracker, cfg, &n_open, e);
    }
    free_sockets(w, n_open);
    if (status < 0) {
        workers_close(w);
        return status;
    }
    *out = w;
    return 0;
}

void workers_close(struct workers *w)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->at[i] != NULL) {
            worker_stop(w->at[i]);
        }
    }
    for (size_t i = 0; i < w->n; i++) {
        if (w->at[i] != NULL) {
            worker_free(w->at[i]);
        }
    }
    tls_server_free(w->tls);
    free(w->udp.at);
    free(w->http.at);
    free(w->at);
    free(w);
}

const struct endpoint_list *workers_udp(const struct workers *w)
{
    return &w->udp;
}

const struct endpoint_list *workers_http(const struct workers *w)
{
    return &w->http;
}
