#include "api/pages.h"

#include "api/health.h"
#include "api/metrics.h"
#include "api/openapi.h"

#include "base/banned.h"

static void get_root(struct call *c)
{
    struct buf out;
    buf_init(&out, 4096);
    buf_addf(&out, "Rookery %s\n\n", c->env->parts.version);
    buf_add_str(&out, "/openapi.json   every route, for people and programs (no token)\n"
                      "/health_check   is everything answering? (no token)\n"
                      "/metrics        counters for Prometheus\n"
                      "/api/...        Torrust tracker API, first form: /api/stats\n"
                      "/api/v1/...     Torrust tracker API, version 3: /api/v1/stats\n"
                      "/torrents/...   TorrentFlow API of the client: POST /torrents\n"
                      "/alldata        GoTorrentServer API of the client\n"
                      "/v1/sessions    RestTorrent API of the client\n"
                      "/socket.io/     RestTorrent by Socket.IO, versions 2 to 4: event v1\n"
                      "/torrent        spritzle API of the client\n\n"
                      "The token goes into ?token= or into the header Authorization: Bearer.\n");
    http_reply(c->x, 200, TEXT_TYPE, buf_span(&out));
    buf_release(&out);
}

static void fail(struct http_exchange *x, int status, struct span reason)
{
    struct buf out;
    buf_init(&out, 4096);
    buf_add(&out, reason);
    buf_add_byte(&out, '\n');
    http_reply(x, status, TEXT_TYPE, buf_span(&out));
    buf_release(&out);
}

static void get_metrics(struct call *c)
{
    metrics_answer(c, false);
}

static const struct route routes[] = {
    {HTTP_GET, "/", ROUTE_OPEN, get_root},
    {HTTP_GET, "/openapi.json", ROUTE_OPEN, openapi_answer},
    {HTTP_GET, "/health_check", ROUTE_OPEN, health_answer},
    {HTTP_GET, "/metrics", ROUTE_TOKEN, get_metrics},
};

const struct dialect pages_dialect = {
    .routes = routes,
    .n_routes = sizeof routes / sizeof routes[0],
    .otherwise = ROUTE_OPEN,
    .fail = fail,
};
