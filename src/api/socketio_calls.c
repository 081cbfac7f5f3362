/* Happy path   sio_calls_run reads the message -> the command's function -> on_done -> the answer;
 *              a long one is produced in slices by on_idle, between which the loop runs.
 * Failures     are answers too: no message closes a connection.
 * At the end   every pending was freed by on_done or by on_idle. One that the client of the program
 *              still works on may outlive this: it then has no owner, and only frees itself.
 */
#include "api/socketio_calls.h"

#include <stdlib.h>

#include "api/json_fields.h"
#include "api/resttorrent_ops.h"
#include "api/socketio_packet.h"
#include "base/err.h"
#include "base/json.h"
#include "base/list.h"
#include "base/mem.h"

#include "base/banned.h"

enum {
    T_ID_MAX = 1024,
    COMMAND_MAX = 128,
    ANSWER_MAX = EIO_QUEUE_BYTES / 2,
};

struct sio_calls {
    struct sio_calls_cfg cfg;
    uv_idle_t idle; /* runs while producing is not empty */
    struct list pending;
    struct list producing;
    size_t n_pending;
    bool in_run;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct pending {
    struct list link;        /* in pending or producing */
    struct sio_calls *owner; /* NULL: closed */
    struct eio_sid sid;
    char id[SIO_ID_DIGITS_MAX + 1];
    struct buf answer; /* begins with what is in front of every answer, */
    size_t head_len;   /* which is this long */
    http_produce produce;
    void (*release)(void *ctx);
    void *ctx;
};

/* What every message has. */
struct message {
    struct span t_id;    /* JSON; empty: none */
    struct span command; /* a string, without its quotes; p is NULL: none */
    struct span file;    /* the number of the attachment, in JSON; empty: none */
};

static void pending_free(struct pending *p)
{
    if (list_is_linked(&p->link)) {
        list_remove(&p->link);
    }
    if (p->owner != NULL) {
        p->owner->n_pending--;
    }
    if (p->release != NULL) {
        p->release(p->ctx);
    }
    buf_release(&p->answer);
    free(p);
}

/* ---- answers ----------------------------------------------------------------------------- */

/* An object that goes on where the one before it stopped. */
static struct span body_of(struct span object)
{
    ASSERT(object.n > 0 && object.p[0] == '{');
    return span_sub(object, 1, object.n);
}

static void give_up(struct pending *p)
{
    p->answer.bad = false;
    p->answer.len = p->head_len;
    buf_add_str(&p->answer, "\"status\":\"fail\",\"message\":\"the answer is too long\"}");
}

static void send_answer(struct pending *p)
{
    struct sio_calls *c = p->owner;
    sio_answer(c->cfg.sio, span_of(p->sid.text, EIO_SID_LEN), span_str(p->id),
               buf_span(&p->answer));
    pending_free(p);
    if (!c->in_run) {
        c->cfg.answered(c->cfg.ctx);
    }
}

static void on_idle(uv_idle_t *idle);

static void on_done(void *ctx, const struct resttorrent_answer *answer)
{
    struct pending *p = ctx;
    struct sio_calls *c = p->owner;
    p->produce = answer->produce;
    p->release = answer->produce != NULL ? answer->release : NULL;
    p->ctx = answer->ctx;
    if (c == NULL) {
        pending_free(p);
        return;
    }
    if (p->produce != NULL) {
        list_remove(&p->link);
        list_add_tail(&c->producing, &p->link);
        uv_idle_start(&c->idle, on_idle);
        return;
    }
    buf_add(&p->answer, body_of(answer->body));
    if (p->answer.bad) {
        give_up(p);
    }
    send_answer(p);
}

/* The next slice of p; false when that was the last. Here it is made ASCII: all of a long answer at
 * once would hold up the loop. */
static bool run_slice(struct pending *p)
{
    struct buf slice;
    buf_init(&slice, ANSWER_MAX);
    bool more = p->produce(p->ctx, &slice);
    bool first = p->answer.len == p->head_len && slice.len > 0;
    sio_add_ascii(&p->answer, first ? body_of(buf_span(&slice)) : buf_span(&slice));
    p->answer.bad = p->answer.bad || slice.bad;
    buf_release(&slice);
    return more && !p->answer.bad;
}

static void on_idle(uv_idle_t *idle)
{
    struct sio_calls *c = idle->data;
    struct list *first = list_first(&c->producing);
    if (first == NULL) {
        uv_idle_stop(idle);
        return;
    }
    struct pending *p = container_of(first, struct pending, link);
    list_remove(&p->link);
    list_add_tail(&c->producing, &p->link); /* the others' turn */
    if (!run_slice(p)) {
        if (p->answer.bad) {
            give_up(p);
        }
        send_answer(p);
    }
}

/* ---- messages ---------------------------------------------------------------------------- */

/* A member as it stood in the text: json_fields leaves the quotes of a string out. */
static struct span raw(const struct json_field *field)
{
    return field->kind == JSON_STRING ? span_of(field->value.p - 1, field->value.n + 2)
                                      : field->value;
}

/* The number of the attachment that an object stands for. */
static struct span placeholder(struct span object)
{
    struct json_fields walk;
    struct json_field field;
    const char *why;
    bool marked = false;
    struct span number = {NULL, 0};
    int status = json_fields_begin(&walk, object, &why);
    while (status == 0 && json_fields_next(&walk, &field, &why) == 1) {
        marked = marked || (json_field_is(&field, "_placeholder") && field.kind == JSON_TRUE);
        if (json_field_is(&field, "num") && field.kind == JSON_NUMBER) {
            number = field.value;
        }
    }
    return marked ? number : span_of(NULL, 0);
}

/* returns NULL, or what is wrong with it. */
static const char *read_message(struct message *m, struct span argument)
{
    struct json_fields walk;
    struct json_field field;
    const char *why = NULL;
    *m = (struct message){.command = {NULL, 0}};
    int status = json_fields_begin(&walk, argument, &why);
    while (status == 0 && (status = json_fields_next(&walk, &field, &why)) == 1) {
        if (json_field_is(&field, "t_id")) {
            m->t_id = raw(&field);
        } else if (json_field_is(&field, "command") && field.kind == JSON_STRING) {
            m->command = field.value;
        } else if (json_field_is(&field, "file") && field.kind == JSON_NESTED) {
            m->file = placeholder(field.value);
        }
        status = 0;
    }
    if (status < 0) {
        return why;
    }
    if (m->t_id.n > T_ID_MAX || m->command.n > COMMAND_MAX) {
        m->t_id = m->t_id.n > T_ID_MAX ? span_of(NULL, 0) : m->t_id;
        m->command = span_of(NULL, 0);
        return "t_id or command is too long";
    }
    return m->command.p == NULL ? "command required" : NULL;
}

static struct pending *pending_new(struct sio_calls *c, struct span sid,
                                   const struct sio_event *event, const struct message *m)
{
    struct pending *p = mem_new(struct pending);
    ASSERT(sid.n == EIO_SID_LEN && event->id.n <= SIO_ID_DIGITS_MAX);
    p->owner = c;
    memcpy(p->sid.text, sid.p, sid.n);
    if (event->id.n > 0) {
        memcpy(p->id, event->id.p, event->id.n);
    }
    buf_init(&p->answer, ANSWER_MAX);
    buf_add_str(&p->answer, "{\"t_id\":");
    buf_add(&p->answer, m->t_id.n > 0 ? m->t_id : SPAN("null"));
    if (m->command.p != NULL) {
        buf_add_str(&p->answer, ",\"command\":\"");
        buf_add(&p->answer, m->command);
        buf_add_byte(&p->answer, '"');
    }
    buf_add_byte(&p->answer, ',');
    ASSERT(!p->answer.bad);
    p->head_len = p->answer.len;
    list_add_tail(&c->pending, &p->link);
    c->n_pending++;
    return p;
}

static void fail(struct pending *p, int http_status, const char *message)
{
    resttorrent_fail(on_done, p, http_status, span_str(message));
}

/* returns NULL, or what is wrong with them. */
static const char *read_params(struct resttorrent_params *params, const struct message *m,
                               const struct sio_event *event)
{
    const char *why = NULL;
    if (resttorrent_params_add_json(params, event->argument, &why) < 0) {
        return why;
    }
    if (m->file.n > 0) {
        size_t number = m->file.n == 1 ? (size_t)(m->file.p[0] - '0') : event->n_attachments;
        if (number >= event->n_attachments) {
            return "there is no such attachment";
        }
        if (!resttorrent_params_set(params, REST_FILE, event->attachments[number])) {
            return "the file is too long";
        }
    }
    return NULL;
}

static void subscribe(struct pending *p)
{
    static const struct resttorrent_answer done = {
        .http_status = 200,
        .body = {(const uint8_t *)"{\"status\":\"success\"}",
                 sizeof "{\"status\":\"success\"}" - 1},
    };
    sio_subscribe(p->owner->cfg.sio, span_of(p->sid.text, EIO_SID_LEN));
    on_done(p, &done);
}

static void run_command(struct pending *p, const struct message *m, const struct sio_event *event)
{
    enum resttorrent_command command;
    struct resttorrent_params params;
    if (span_eq(m->command, SPAN("subscribe"))) {
        subscribe(p);
        return;
    }
    if (!resttorrent_command_of(m->command, &command)) {
        fail(p, 400, "unknown command");
        return;
    }
    resttorrent_params_init(&params);
    const char *why = read_params(&params, m, event);
    if (why != NULL) {
        fail(p, 400, why);
    } else {
        resttorrent_run(p->owner->cfg.parts, command, &params, on_done, p);
    }
    resttorrent_params_release(&params);
}

void sio_calls_run(struct sio_calls *c, struct span sid, const struct sio_event *event)
{
    struct message m;
    const char *why = read_message(&m, event->argument);
    struct pending *p = pending_new(c, sid, event, &m);
    c->in_run = true;
    if (why != NULL) {
        fail(p, 400, why);
    } else if (c->n_pending > SIO_CALLS_MAX) {
        fail(p, 503, "too many commands are under way");
    } else {
        run_command(p, &m, event);
    }
    c->in_run = false;
}

/* ---- life -------------------------------------------------------------------------------- */

struct sio_calls *sio_calls_new(const struct sio_calls_cfg *cfg)
{
    struct sio_calls *c = mem_new(struct sio_calls);
    c->cfg = *cfg;
    list_init(&c->pending);
    list_init(&c->producing);
    uv_idle_init(cfg->loop, &c->idle);
    c->idle.data = c;
    return c;
}

static void on_idle_closed(uv_handle_t *handle)
{
    struct sio_calls *c = handle->data;
    void (*closed)(void *ctx) = c->closed;
    void *ctx = c->closed_ctx;
    free(c);
    closed(ctx);
}

void sio_calls_close(struct sio_calls *c, void (*closed)(void *ctx), void *ctx)
{
    c->closed = closed;
    c->closed_ctx = ctx;
    LIST_FOREACH_SAFE (node, &c->producing) {
        pending_free(container_of(node, struct pending, link));
    }
    LIST_FOREACH_SAFE (node, &c->pending) {
        struct pending *p = container_of(node, struct pending, link);
        list_remove(&p->link);
        p->owner = NULL;
    }
    uv_close((uv_handle_t *)&c->idle, on_idle_closed);
}
