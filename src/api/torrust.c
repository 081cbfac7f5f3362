#include "api/torrust.h"

#include "api/health.h"
#include "api/torrust_calls.h"
#include "base/json.h"

#include "base/banned.h"

static void fail(struct http_exchange *x, int status, struct span reason)
{
    struct buf out;
    buf_init(&out, 4096);
    buf_add(&out, SPAN("{\"status\":\"err\",\"reason\":"));
    json_add_string(&out, reason);
    buf_add_byte(&out, '}');
    http_reply(x, status, JSON_TYPE, buf_span(&out));
    buf_release(&out);
}

static const struct route routes[] = {
    {HTTP_GET, "/api/health_check", ROUTE_OPEN, health_answer_short},
    {HTTP_GET, "/api/stats", ROUTE_TOKEN, torrust_get_stats},
    {HTTP_GET, "/api/torrents", ROUTE_TOKEN, torrust_get_torrents},
    {HTTP_GET, "/api/torrent/:info_hash", ROUTE_TOKEN, torrust_get_torrent},
    {HTTP_GET, "/api/whitelist/reload", ROUTE_TOKEN, torrust_reload_whitelist},
    {HTTP_POST, "/api/whitelist/:info_hash", ROUTE_TOKEN, torrust_post_whitelist},
    {HTTP_DELETE, "/api/whitelist/:info_hash", ROUTE_TOKEN, torrust_delete_whitelist},
    {HTTP_GET, "/api/keys/reload", ROUTE_TOKEN, torrust_reload_keys},
    {HTTP_POST, "/api/key/:seconds_valid_or_key", ROUTE_TOKEN, torrust_post_key},
    {HTTP_DELETE, "/api/key/:seconds_valid_or_key", ROUTE_TOKEN, torrust_delete_key},
};

const struct dialect torrust_dialect = {
    .routes = routes,
    .n_routes = sizeof routes / sizeof routes[0],
    .otherwise = ROUTE_TOKEN,
    .fail = fail,
};
