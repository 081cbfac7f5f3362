/* gate.h: what a request may do before anybody has looked at what it asks for.
 */
#ifndef API_GATE_H
#define API_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "api/auth.h"
#include "api/call.h"

/* May it do without a token what api.local_without_token allows? */
bool gate_is_local(const struct api_env *env, const struct http_request *req);

/* The token in its Authorization header, else in its query. */
enum auth_result gate_check(const struct api_env *env, const struct http_request *req,
                            uint64_t now_ms, uint32_t *retry_after_s);

/* From a page of another host that is not in api.cors_origins? */
bool gate_is_foreign_page(const struct api_env *env, const struct http_request *req);

#endif
