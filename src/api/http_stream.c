/* Answers that are made while they are sent.
 *
 * http_stream     the exchange waits in ready
 * on_idle         in its turn it produces a slice, which h2o sends
 * ..._on_proceed  h2o has sent it: the exchange is ready again, until its last slice
 *
 * All streams together get a part of each turn of the loop.
 */
#include <sched.h>

#include "api/http_impl.h"
#include "base/mem.h"

#include "base/banned.h"

enum {
    SLICE_LEN = 32 * 1024,   /* bytes of a stream that are sent at once */
    STREAMS_NS = 250 * 1000, /* time for streams in one turn of the loop */
};

void http_stream_release(struct http_exchange *x)
{
    if (x->produce != NULL) {
        x->produce = NULL;
        x->release(x->ctx);
    }
}

static void on_idle(uv_idle_t *idle);

void http_wake(struct http_server *s)
{
    uv_idle_start(&s->idle, on_idle);
}

static void make_ready(struct http_exchange *x)
{
    list_add_tail(&x->server->ready, &x->ready);
    http_wake(x->server);
}

void http_stream_on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    struct http_exchange *x = container_of(generator, struct http_exchange, generator);
    (void)req;
    x->sent_ms = 0;
    buf_clear(&x->out);
    make_ready(x);
}

void http_stream(struct http_exchange *x, const char *content_type, http_produce produce,
                 void (*release)(void *ctx), void *ctx)
{
    if (x->req == NULL || x->answered || x->head) {
        release(ctx);
        if (x->req != NULL && !x->answered) {
            http_set_head(x, 200, content_type);
            h2o_start_response(x->req, &x->generator);
            http_send(x, (h2o_iovec_t){NULL, 0}, H2O_SEND_STATE_FINAL);
        }
        http_exchange_unref(x);
        return;
    }
    x->produce = produce;
    x->release = release;
    x->ctx = ctx;
    http_set_head(x, 200, content_type);
    x->sent_ms = 0;
    if (x->req->version < 0x101) {
        x->req->http1_is_persistent = 0; /* without chunks, the end of the connection is the end */
    }
    h2o_start_response(x->req, &x->generator);
    make_ready(x);
    http_exchange_unref(x);
}

static void run_slice(struct http_exchange *x, uint64_t until_ns)
{
    bool more = true;
    do {
        more = x->produce(x->ctx, &x->out);
    } while (more && !x->broken && x->out.len < SLICE_LEN && uv_hrtime() < until_ns);
    x->broken = x->broken || x->out.bad;
    if (more && !x->broken && x->out.len == 0) {
        make_ready(x);
        return;
    }
    h2o_send_state_t state = x->broken ? H2O_SEND_STATE_ERROR
                             : more    ? H2O_SEND_STATE_IN_PROGRESS
                                       : H2O_SEND_STATE_FINAL;
    if (state != H2O_SEND_STATE_IN_PROGRESS) {
        http_stream_release(x);
    }
    x->sent_ms = uv_now(x->server->loop);
    http_send(x, (h2o_iovec_t){(char *)x->out.p, x->out.len}, state);
}

static void on_idle(uv_idle_t *idle)
{
    struct http_server *s = idle->data;
    uint64_t until_ns = uv_hrtime() + STREAMS_NS;
    http_websockets_flush(s);
    do {
        struct list *first = list_first(&s->ready);
        if (first == NULL) {
            uv_idle_stop(idle);
            break;
        }
        list_remove(first);
        run_slice(container_of(first, struct http_exchange, ready), until_ns);
    } while (uv_hrtime() < until_ns);
    /* Others on this processor, the tracker's workers among them, do not wait for the end of all
     * streams: that costs nothing where there is nobody. */
    (void)sched_yield();
}
