/* The commands about sessions. A session's name is 16 random bytes, which the client keeps for us. */
#include <stdlib.h>

#include "api/call.h"
#include "api/resttorrent_impl.h"
#include "api/resttorrent_json.h"
#include "base/digest.h"

#include "base/banned.h"

void resttorrent_get_session_list(const struct resttorrent_call *r)
{
    struct buf body;
    struct client_session s;
    const char *comma = "";
    resttorrent_begin_success(&body, RESTTORRENT_ANSWER_MAX);
    buf_add_str(&body, ",\"sessions\":[");
    for (session_id id = 0; client_session_next(r->client, id, &s); id = s.id) {
        buf_addf(&body, "%s{", comma);
        resttorrent_add_session(&body, &s);
        buf_add_byte(&body, '}');
        comma = ",";
    }
    buf_add_str(&body, "]}");
    resttorrent_give(r->done, r->ctx, 200, &body);
}

void resttorrent_get_session(const struct resttorrent_call *r)
{
    struct buf body;
    struct client_session s;
    if (!resttorrent_find_session(r, &s)) {
        return;
    }
    resttorrent_begin_success(&body, RESTTORRENT_ANSWER_MAX);
    buf_add_byte(&body, ',');
    resttorrent_add_session(&body, &s);
    buf_add_byte(&body, '}');
    resttorrent_give(r->done, r->ctx, 200, &body);
}

static void on_session_added(void *ctx, int status, session_id id, const struct err *e)
{
    struct resttorrent_op *op = ctx;
    struct client_session s;
    struct buf body;
    (void)e;
    status = status < 0 ? status : client_session_of(op->client, id, &s);
    if (status < 0) {
        resttorrent_give_error(op->done, op->ctx, status, "session");
    } else {
        resttorrent_begin_success(&body, RESTTORRENT_ANSWER_MAX);
        buf_add_str(&body, ",\"session\":{");
        resttorrent_add_session(&body, &s);
        buf_add_str(&body, "}}");
        resttorrent_give(op->done, op->ctx, 200, &body);
    }
    free(op);
}

void resttorrent_create_session(const struct resttorrent_call *r)
{
    struct client_session_add add = {.port_first = 0};
    uint8_t random[REST_SESSION_KEY_LEN / 2];
    char key[REST_SESSION_KEY_LEN + 1];
    char options[REST_OPTIONS_CAP];
    struct err e;
    if (!resttorrent_params_ports(r->params, &add.port_first, &add.port_last)) {
        resttorrent_refuse(r, 400, "param.invalid",
                           "port_range must be two ports, low and high, or one");
        return;
    }
    if (!resttorrent_params_flag(r->params, REST_MEMORY_ONLY, true, &add.memory_only)) {
        resttorrent_refuse(r, 400, "param.invalid", "memory_only must be 0 or 1");
        return;
    }
    digest_random(random, sizeof random);
    hex_encode(key, span_of(random, sizeof random));
    resttorrent_options(options, key);
    add.options = span_str(options);
    struct resttorrent_op *op = resttorrent_op_new(r, 0);
    int status = client_session_add(r->client, &add, on_session_added, op, &e);
    if (status == 0) {
        return;
    }
    free(op);
    if (status == ERR_IN_USE) {
        resttorrent_refuse(r, 409, "session.bind", "bind failed address already in use");
    } else {
        int http_status = call_status_of(status);
        resttorrent_refuse(r, http_status, resttorrent_code_of(http_status), e.msg);
    }
}

static void on_session_removed(void *ctx, int status)
{
    struct resttorrent_op *op = ctx;
    if (status < 0) {
        resttorrent_give_error(op->done, op->ctx, status, "session");
    } else {
        resttorrent_give_success(op->done, op->ctx);
    }
    free(op);
}

void resttorrent_delete_session(const struct resttorrent_call *r)
{
    struct client_session s;
    if (!resttorrent_find_session(r, &s)) {
        return;
    }
    struct resttorrent_op *op = resttorrent_op_new(r, s.id);
    int status = client_session_remove(r->client, s.id, false, on_session_removed, op);
    if (status < 0) {
        on_session_removed(op, status);
    }
}
