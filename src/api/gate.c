#include "api/gate.h"

#include "api/cors.h"
#include "api/local_access.h"

#include "base/banned.h"

bool gate_is_local(const struct api_env *env, const struct http_request *req)
{
    struct span ignored;
    const struct config *cfg = env->parts.cfg;
    struct local_request r = {
        .peer = req->peer,
        .host = req->host,
        .forwarded = http_header(req, "x-forwarded-for", &ignored) ||
                     http_header(req, "forwarded", &ignored) ||
                     http_header(req, "x-real-ip", &ignored),
    };
    (void)http_header(req, "origin", &r.origin);
    return cfg->api.local_without_token &&
           local_access_allows(&r, &cfg->api.hosts, http_addresses(env->http));
}

enum auth_result gate_check(const struct api_env *env, const struct http_request *req,
                            uint64_t now_ms, uint32_t *retry_after_s)
{
    struct span authorization = {NULL, 0};
    (void)http_header(req, "authorization", &authorization);
    return auth_check(env->auth, authorization, req->query, &req->peer, now_ms, retry_after_s);
}

bool gate_is_foreign_page(const struct api_env *env, const struct http_request *req)
{
    struct span origin;
    return http_header(req, "origin", &origin) &&
           !cors_allows(&env->parts.cfg->api.cors_origins, origin) &&
           !local_access_is_same_origin(origin, req->host);
}
