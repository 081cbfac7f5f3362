/* Happy path   health_answer: the exchange waits -> a round starts unless one runs or the last is
 *              fresh -> each probe and the ping settle -> the last one: the answer is rendered and
 *              kept, all who wait get it, the round's handles close, the round is freed.
 * Failures     what has not settled at the deadline did not answer. The ping's callback may come
 *              later still: it finds its round gone.
 * At the end   no round, nobody waits; closed was called.
 */
#include "api/health.h"

#include <stdlib.h>

#include "api/probe.h"
#include "base/json.h"
#include "base/list.h"
#include "base/mem.h"
#include "store/store.h"

#include "base/banned.h"

enum { ANSWER_MAX = 65536, WAITING_MAX = 1024 };

struct round;

/* Lives until the store calls back, which may be after the round. */
struct ping {
    struct round *round;
};

struct round {
    struct health *health;
    struct ping *ping; /* NULL: settled */
    const char *database_why;
    struct probe *probes;
    size_t n_probes;
    size_t n_unsettled;
    size_t n_closing;
    uv_timer_t deadline;
};

struct waiting {
    struct list link;
    struct http_exchange *x;
};

struct health {
    uv_loop_t *loop;
    const struct api_parts *parts;
    struct round *running;
    size_t n_rounds; /* the running one and those that are closing */
    struct list waiting;
    size_t n_waiting;
    bool has_answer;
    uint64_t answered_ms;
    int status;
    struct buf answer;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* ---- the answer -------------------------------------------------------------------------- */

static void add_detail(struct buf *b, const char *info, const char *binding, const char *why)
{
    buf_add_str(b, "{\"binding\":");
    json_add_string(b, span_str(binding));
    buf_add_str(b, ",\"info\":");
    json_add_string(b, span_str(info));
    buf_add_str(b, why == NULL ? ",\"result\":{\"Ok\":" : ",\"result\":{\"Err\":");
    json_add_string(b, span_str(why == NULL ? "answers" : why));
    buf_add_str(b, "}}");
}

static void render(struct health *h, const struct round *r)
{
    static const char *const infos[] = {[PROBE_UDP] = "UDP tracker",
                                        [PROBE_HTTP] = "HTTP tracker",
                                        [PROBE_HTTPS] = "HTTPS tracker"};
    bool good = r->database_why == NULL;
    for (size_t i = 0; i < r->n_probes; i++) {
        good = good && r->probes[i].why == NULL;
    }
    buf_clear(&h->answer);
    buf_addf(&h->answer, "{\"status\":\"%s\",\"message\":\"\",\"details\":[",
             good ? "Ok" : "Error");
    add_detail(&h->answer, "database", "postgresql", r->database_why);
    for (size_t i = 0; i < r->n_probes; i++) {
        char binding[ENDPOINT_TEXT_LEN];
        buf_add_byte(&h->answer, ',');
        add_detail(&h->answer, infos[r->probes[i].kind], endpoint_format(binding, &r->probes[i].at),
                   r->probes[i].why);
    }
    buf_add_str(&h->answer, "]}");
    h->status = good ? 200 : 503;
}

static void answer_waiting(struct health *h)
{
    LIST_FOREACH_SAFE (node, &h->waiting) {
        struct waiting *w = container_of(node, struct waiting, link);
        list_remove(node);
        http_reply(w->x, h->status, JSON_TYPE, buf_span(&h->answer));
        free(w);
    }
    h->n_waiting = 0;
}

/* ---- a round ----------------------------------------------------------------------------- */

static void health_freed_if_done(struct health *h)
{
    if (h->closing && h->n_rounds == 0) {
        void (*closed)(void *ctx) = h->closed;
        void *ctx = h->closed_ctx;
        buf_release(&h->answer);
        free(h);
        closed(ctx);
    }
}

static void round_closed_one(struct round *r)
{
    struct health *h = r->health;
    if (--r->n_closing == 0) {
        free(r->probes);
        free(r);
        h->n_rounds--;
        health_freed_if_done(h);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    round_closed_one(handle->data);
}

static void on_probe_closed(struct probe *p)
{
    round_closed_one(p->owner);
}

static void round_end(struct round *r)
{
    struct health *h = r->health;
    for (size_t i = 0; i < r->n_probes; i++) {
        if (!r->probes[i].settled) {
            r->probes[i].why = "no answer in time";
        }
    }
    if (r->ping != NULL) {
        r->database_why = "no answer in time";
        r->ping->round = NULL;
        r->ping = NULL;
    }
    h->running = NULL;
    h->has_answer = true;
    h->answered_ms = uv_now(h->loop);
    render(h, r);
    answer_waiting(h);
    r->n_closing = r->n_probes + 1;
    for (size_t i = 0; i < r->n_probes; i++) {
        probe_close(&r->probes[i], on_probe_closed);
    }
    uv_close((uv_handle_t *)&r->deadline, on_timer_closed);
}

static void settled_one(struct round *r)
{
    if (--r->n_unsettled == 0) {
        round_end(r);
    }
}

static void on_probe_settled(struct probe *p)
{
    settled_one(p->owner);
}

static void on_ping(void *ctx, int status, const struct err *e)
{
    struct ping *ping = ctx;
    struct round *r = ping->round;
    (void)e;
    free(ping);
    if (r != NULL) {
        r->ping = NULL;
        r->database_why = status == 0 ? NULL : err_text(status);
        settled_one(r);
    }
}

static void on_deadline(uv_timer_t *timer)
{
    round_end(timer->data);
}

static void add_probes(struct round *r, const struct endpoint_list *list, enum probe_kind kind)
{
    for (size_t i = 0; i < list->n; i++) {
        r->probes[r->n_probes++] = (struct probe){.kind = kind, .at = list->at[i], .owner = r};
    }
}

static void start_ping(struct round *r)
{
    struct ping *ping = mem_new(struct ping);
    ping->round = r;
    int status = store_ping(r->health->parts->store, on_ping, ping);
    if (status < 0) {
        r->database_why = err_text(status);
        free(ping);
        return;
    }
    r->ping = ping;
    r->n_unsettled++;
}

static void start_round(struct health *h)
{
    const struct api_parts *parts = h->parts;
    struct round *r = mem_new(struct round);
    r->health = h;
    r->deadline.data = r;
    r->probes = mem_array(parts->tracker_udp->n + parts->tracker_http->n + 1, sizeof *r->probes);
    add_probes(r, parts->tracker_udp, PROBE_UDP);
    add_probes(r, parts->tracker_http,
               parts->cfg->tracker.tls_certificate[0] == '\0' ? PROBE_HTTP : PROBE_HTTPS);
    h->running = r;
    h->n_rounds++;
    (void)uv_timer_init(h->loop, &r->deadline);
    (void)uv_timer_start(&r->deadline, on_deadline, HEALTH_DEADLINE_MS, 0);
    start_ping(r);
    r->n_unsettled += r->n_probes;
    for (size_t i = 0; i < r->n_probes; i++) {
        probe_start(&r->probes[i], h->loop, on_probe_settled);
    }
    if (r->n_unsettled == 0) {
        round_end(r);
    }
}

/* ---- outside ----------------------------------------------------------------------------- */

struct health *health_new(uv_loop_t *loop, const struct api_parts *parts)
{
    struct health *h = mem_new(struct health);
    h->loop = loop;
    h->parts = parts;
    list_init(&h->waiting);
    buf_init(&h->answer, ANSWER_MAX);
    return h;
}

void health_close(struct health *h, void (*closed)(void *ctx), void *ctx)
{
    h->closing = true;
    h->closed = closed;
    h->closed_ctx = ctx;
    if (h->running != NULL) {
        round_end(h->running);
    }
    health_freed_if_done(h);
}

void health_answer(struct call *c)
{
    struct health *h = c->env->health;
    bool fresh = h->has_answer && uv_now(h->loop) - h->answered_ms < HEALTH_CACHE_MS;
    if (fresh && h->running == NULL) {
        http_reply(c->x, h->status, JSON_TYPE, buf_span(&h->answer));
        return;
    }
    if (h->n_waiting == WAITING_MAX || h->closing) {
        call_fail(c, 503, "too many are asking");
        return;
    }
    struct waiting *w = mem_new(struct waiting);
    w->x = c->x;
    list_add_tail(&h->waiting, &w->link);
    h->n_waiting++;
    if (h->running == NULL) {
        start_round(h);
    }
}

void health_answer_short(struct call *c)
{
    http_reply(c->x, 200, JSON_TYPE, SPAN("{\"status\":\"Ok\"}"));
}
