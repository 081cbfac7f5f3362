/* Each path is a command of resttorrent_ops.h: its parameters are read from query, body and path, in
 * this order, and what the command answers is the response.
 */
#include "api/resttorrent.h"

#include "api/resttorrent_ops.h"

#include "base/banned.h"

static void on_answer(void *exchange, const struct resttorrent_answer *a)
{
    if (a->produce != NULL) {
        http_stream(exchange, JSON_TYPE, a->produce, a->release, a->ctx);
    } else {
        http_reply(exchange, a->http_status, JSON_TYPE, a->body);
    }
}

static void fail(struct http_exchange *x, int status, struct span reason)
{
    resttorrent_fail(on_answer, x, status, reason);
}

/* What the path says counts, whatever else was sent. */
static bool add_path(struct resttorrent_params *p, const struct call *c, const char **why)
{
    static const enum resttorrent_param which[] = {REST_SESSION_ID, REST_INFO_HASH};
    for (size_t i = 0; i < sizeof which / sizeof which[0]; i++) {
        if (c->params[i].n > 0 && !resttorrent_params_set(p, which[i], c->params[i])) {
            *why = "the path is too long";
            return false;
        }
    }
    return true;
}

static void run(struct call *c, enum resttorrent_command command)
{
    struct resttorrent_params params;
    struct span type = {NULL, 0};
    const char *why = NULL;
    resttorrent_params_init(&params);
    (void)http_header(c->req, "content-type", &type);
    if (resttorrent_params_add_query(&params, c->req->query, &why) < 0 ||
        resttorrent_params_add_body(&params, type, c->req->body, &why) < 0 ||
        !add_path(&params, c, &why)) {
        call_fail(c, 400, "%s", why);
    } else {
        resttorrent_run(&c->env->parts, command, &params, on_answer, c->x);
    }
    resttorrent_params_release(&params);
}

static void get_sessions(struct call *c)
{
    run(c, REST_GET_SESSION_LIST);
}

static void post_session(struct call *c)
{
    run(c, REST_CREATE_SESSION);
}

static void get_session(struct call *c)
{
    run(c, REST_GET_SESSION);
}

static void delete_session(struct call *c)
{
    run(c, REST_DELETE_SESSION);
}

static void post_torrent(struct call *c)
{
    run(c, REST_UPLOAD_TORRENT);
}

static void get_torrents(struct call *c)
{
    run(c, REST_GET_TORRENT_LIST);
}

static void get_torrent(struct call *c)
{
    run(c, REST_GET_TORRENT);
}

static void put_torrent(struct call *c)
{
    run(c, REST_COMMAND_TORRENT);
}

static void get_peers(struct call *c)
{
    run(c, REST_GET_PEERS);
}

static const struct route routes[] = {
    {HTTP_GET, "/v1/sessions", ROUTE_LOCAL, get_sessions},
    {HTTP_POST, "/v1/sessions", ROUTE_LOCAL, post_session},
    {HTTP_GET, "/v1/sessions/:id", ROUTE_LOCAL, get_session},
    {HTTP_DELETE, "/v1/sessions/:id", ROUTE_LOCAL, delete_session},
    {HTTP_POST, "/v1/sessions/:id/torrents", ROUTE_LOCAL, post_torrent},
    {HTTP_GET, "/v1/sessions/:id/torrents", ROUTE_LOCAL, get_torrents},
    {HTTP_GET, "/v1/sessions/:id/torrents/:infohash", ROUTE_LOCAL, get_torrent},
    {HTTP_PUT, "/v1/sessions/:id/torrents/:infohash", ROUTE_LOCAL, put_torrent},
    {HTTP_GET, "/v1/sessions/:id/torrents/:infohash/peers", ROUTE_LOCAL, get_peers},
};

const struct dialect resttorrent_dialect = {
    .routes = routes,
    .n_routes = sizeof routes / sizeof routes[0],
    .otherwise = ROUTE_LOCAL,
    .fail = fail,
};
