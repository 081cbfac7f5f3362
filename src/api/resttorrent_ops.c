/* Happy path   resttorrent_run -> the command's function -> what it names is found -> the client is
 *              asked -> an answer, at once or when the client has done it.
 * Failures     each has a code for programs and a text for people; what is not here while the client
 *              still loads is "later" and not "never".
 * At the end   an op was freed by whoever answered.
 */
#include "api/resttorrent_ops.h"

#include <stdio.h>
#include <strings.h>

#include "api/call.h"
#include "api/hash_param.h"
#include "api/resttorrent_impl.h"
#include "api/resttorrent_json.h"
#include "base/mem.h"

#include "base/banned.h"

enum { MESSAGE_LEN = 64, CODE_LEN = 32 };

struct resttorrent_op *resttorrent_op_new(const struct resttorrent_call *r, session_id session)
{
    struct resttorrent_op *op = mem_new(struct resttorrent_op);
    *op = (struct resttorrent_op){r->client, session, r->done, r->ctx};
    return op;
}

/* ---- answers ------------------------------------------------------------------------------- */

void resttorrent_give(resttorrent_done done, void *ctx, int http_status, struct buf *body)
{
    if (body->bad) {
        buf_clear(body);
        buf_add_byte(body, '{');
        http_status = 500;
        resttorrent_add_failure(body, "internal", SPAN("the answer is too long"));
        buf_add_byte(body, '}');
    }
    const struct resttorrent_answer answer = {.http_status = http_status, .body = buf_span(body)};
    done(ctx, &answer);
    buf_release(body);
}

void resttorrent_begin_success(struct buf *out, size_t max)
{
    buf_init(out, max);
    buf_add_str(out, "{\"status\":\"success\"");
}

void resttorrent_give_success(resttorrent_done done, void *ctx)
{
    struct buf body;
    resttorrent_begin_success(&body, RESTTORRENT_ANSWER_MAX);
    buf_add_byte(&body, '}');
    resttorrent_give(done, ctx, 200, &body);
}

void resttorrent_give_failure(resttorrent_done done, void *ctx, int http_status, const char *code,
                              const char *message)
{
    struct buf body;
    buf_init(&body, RESTTORRENT_ANSWER_MAX);
    buf_add_byte(&body, '{');
    resttorrent_add_failure(&body, code, span_str(message));
    buf_add_byte(&body, '}');
    resttorrent_give(done, ctx, http_status, &body);
}

void resttorrent_refuse(const struct resttorrent_call *r, int http_status, const char *code,
                        const char *message)
{
    resttorrent_give_failure(r->done, r->ctx, http_status, code, message);
}

const char *resttorrent_code_of(int http_status)
{
    switch (http_status) {
    case 401:
    case 403:
        return "access.denied";
    case 404:
        return "path.notfound";
    case 405:
        return "method.notallowed";
    case 413:
        return "body.toolarge";
    case 429:
        return "access.limited";
    case 503:
        return "unavailable";
    default:
        return http_status >= 500 ? "internal" : "param.invalid";
    }
}

void resttorrent_fail(resttorrent_done done, void *ctx, int http_status, struct span message)
{
    struct buf body;
    buf_init(&body, RESTTORRENT_ANSWER_MAX);
    buf_add_byte(&body, '{');
    resttorrent_add_failure(&body, resttorrent_code_of(http_status), message);
    buf_add_byte(&body, '}');
    resttorrent_give(done, ctx, http_status, &body);
}

void resttorrent_give_error(resttorrent_done done, void *ctx, int status, const char *missing)
{
    char code[CODE_LEN];
    char message[MESSAGE_LEN];
    if (status == ERR_NOT_FOUND) {
        (void)snprintf(code, sizeof code, "%s.notfound", missing);
        (void)snprintf(message, sizeof message, "%s not found", missing);
        resttorrent_give_failure(done, ctx, 404, code, message);
    } else {
        int http_status = call_status_of(status);
        resttorrent_give_failure(done, ctx, http_status, resttorrent_code_of(http_status),
                                 err_text(status));
    }
}

/* ---- what a command is about --------------------------------------------------------------- */

bool resttorrent_find_session(const struct resttorrent_call *r, struct client_session *out)
{
    char key[REST_SESSION_KEY_LEN + 1];
    struct span wanted;
    bool given = resttorrent_params_get(r->params, REST_SESSION_ID, &wanted);
    for (session_id id = 0; given && client_session_next(r->client, id, out); id = out->id) {
        resttorrent_session_key(key, out);
        if (wanted.n == REST_SESSION_KEY_LEN &&
            strncasecmp(key, (const char *)wanted.p, wanted.n) == 0) {
            return true;
        }
    }
    if (client_is_loading(r->client)) {
        resttorrent_refuse(r, 503, "unavailable", "the sessions are being loaded");
    } else {
        resttorrent_refuse(r, 404, "session.notfound", "session not found");
    }
    return false;
}

bool resttorrent_find_torrent(const struct resttorrent_call *r, struct resttorrent_found *out)
{
    struct infohash hash;
    struct span text;
    if (!resttorrent_find_session(r, &out->session)) {
        return false;
    }
    (void)resttorrent_params_get(r->params, REST_INFO_HASH, &text);
    if (!hash_param_parse(&hash, text)) {
        resttorrent_refuse(r, 400, "infohash.invalid", "invalid infohash");
        return false;
    }
    int status = client_status(r->client, &hash, &out->status);
    status = status < 0 ? status : client_facts(r->client, &hash, &out->facts);
    if (status == 0 && out->status.session != out->session.id) {
        status = ERR_NOT_FOUND;
    }
    if (status < 0) {
        resttorrent_give_error(r->done, r->ctx, status, "torrent");
    }
    return status == 0;
}

void resttorrent_session_text(char out[static RESTTORRENT_SESSION_KEY_CAP], const struct client *c,
                              uint32_t session)
{
    struct client_session s;
    out[0] = '\0';
    if (client_session_of(c, session, &s) == 0) {
        resttorrent_session_key(out, &s);
    }
}

/* ---- the table ----------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(const struct resttorrent_call *r);
} commands[] = {
    [REST_GET_SESSION_LIST] = {"get_session_list", resttorrent_get_session_list},
    [REST_CREATE_SESSION] = {"create_session", resttorrent_create_session},
    [REST_GET_SESSION] = {"get_session", resttorrent_get_session},
    [REST_DELETE_SESSION] = {"delete_session", resttorrent_delete_session},
    [REST_UPLOAD_TORRENT] = {"upload_torrent", resttorrent_upload_torrent},
    [REST_GET_TORRENT_LIST] = {"get_torrent_list", resttorrent_get_torrent_list},
    [REST_GET_TORRENT] = {"get_torrent", resttorrent_get_torrent},
    [REST_COMMAND_TORRENT] = {"command_torrent", resttorrent_command_torrent},
    [REST_GET_PEERS] = {"get_peers", resttorrent_get_peers},
};

bool resttorrent_command_of(struct span name, enum resttorrent_command *out)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (span_eq(name, span_str(commands[i].name))) {
            *out = (enum resttorrent_command)i;
            return true;
        }
    }
    return false;
}

void resttorrent_run(const struct api_parts *parts, enum resttorrent_command command,
                     const struct resttorrent_params *params, resttorrent_done done, void *ctx)
{
    const struct resttorrent_call r = {parts, parts->client, params, done, ctx};
    if (parts->client == NULL) {
        resttorrent_refuse(&r, 503, "unavailable", "the client is switched off");
        return;
    }
    commands[command].run(&r);
}
