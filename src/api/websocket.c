#include "api/websocket.h"

#include <stdlib.h>

#include <wslay/wslay.h>

#include "base/base64.h"
#include "base/digest.h"
#include "base/mem.h"

#include "base/banned.h"

enum { TAKE_LEN = 16384 };

struct websocket {
    wslay_event_context_ptr wslay;
    websocket_message on_message;
    void *ctx;
    struct span in;   /* in websocket_on_bytes: what is left */
    struct buf *out;  /* in websocket_take */
    size_t n_frames;  /* of the message that is coming in */
    bool overflowing; /* a limit was passed */
    uint16_t
        closing; /* the code of a close that waits behind messages: wslay would send it first */
};

static ssize_t on_recv(wslay_event_context_ptr wslay, uint8_t *to, size_t len, int flags, void *ctx)
{
    struct websocket *w = ctx;
    (void)flags;
    if (w->in.n == 0) {
        wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    struct span part = span_sub(w->in, 0, len);
    memcpy(to, part.p, part.n);
    w->in = span_sub(w->in, part.n, w->in.n);
    return (ssize_t)part.n;
}

static ssize_t on_send(wslay_event_context_ptr wslay, const uint8_t *data, size_t len, int flags,
                       void *ctx)
{
    struct websocket *w = ctx;
    (void)flags;
    if (w->out->len >= TAKE_LEN) {
        wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    size_t n = len < TAKE_LEN ? len : TAKE_LEN;
    buf_add(w->out, span_of(data, n));
    return (ssize_t)n;
}

static void on_frame(wslay_event_context_ptr wslay,
                     const struct wslay_event_on_frame_recv_start_arg *frame, void *ctx)
{
    struct websocket *w = ctx;
    (void)wslay;
    if (!wslay_is_ctrl_frame(frame->opcode)) {
        w->n_frames++;
        w->overflowing = w->overflowing || w->n_frames > WEBSOCKET_FRAMES_MAX;
    }
}

static void on_whole(wslay_event_context_ptr wslay, const struct wslay_event_on_msg_recv_arg *arg,
                     void *ctx)
{
    struct websocket *w = ctx;
    (void)wslay;
    if (!wslay_is_ctrl_frame(arg->opcode)) {
        w->n_frames = 0;
        w->on_message(w->ctx, arg->opcode == WSLAY_BINARY_FRAME,
                      span_of(arg->msg, arg->msg_length));
    }
}

struct websocket *websocket_new(size_t max_message, websocket_message on_message, void *ctx)
{
    static const struct wslay_event_callbacks callbacks = {.recv_callback = on_recv,
                                                           .send_callback = on_send,
                                                           .on_frame_recv_start_callback = on_frame,
                                                           .on_msg_recv_callback = on_whole};
    struct websocket *w = mem_new(struct websocket);
    w->on_message = on_message;
    w->ctx = ctx;
    ASSERT(wslay_event_context_server_init(&w->wslay, &callbacks, w) == 0);
    websocket_set_max_message(w, max_message);
    return w;
}

void websocket_free(struct websocket *w)
{
    wslay_event_context_free(w->wslay);
    free(w);
}

void websocket_set_max_message(struct websocket *w, size_t max_message)
{
    wslay_event_config_set_max_recv_msg_length(w->wslay, max_message);
}

static bool is_within_limits(const struct websocket *w)
{
    return !w->overflowing && wslay_event_get_queued_msg_count(w->wslay) <= WEBSOCKET_QUEUE_LEN &&
           wslay_event_get_queued_msg_length(w->wslay) <= WEBSOCKET_QUEUE_BYTES;
}

/* What comes behind a close of the client is dropped. */
bool websocket_on_bytes(struct websocket *w, struct span bytes)
{
    w->in = bytes;
    int status = wslay_event_want_read(w->wslay) ? wslay_event_recv(w->wslay) : 0;
    w->in = span_of(NULL, 0);
    return status == 0 && is_within_limits(w);
}

bool websocket_send(struct websocket *w, bool binary, struct span data)
{
    const struct wslay_event_msg message = {
        .opcode = binary ? WSLAY_BINARY_FRAME : WSLAY_TEXT_FRAME,
        .msg = data.p,
        .msg_length = data.n,
    };
    int status = w->closing != 0 ? 0 : wslay_event_queue_msg(w->wslay, &message);
    return (status == 0 || status == WSLAY_ERR_NO_MORE_MSG) && is_within_limits(w);
}

void websocket_close(struct websocket *w, enum websocket_code code)
{
    w->closing = w->closing != 0 ? w->closing : (uint16_t)code;
}

static void take(struct websocket *w)
{
    if (wslay_event_want_write(w->wslay) && wslay_event_send(w->wslay) != 0) {
        w->overflowing = true;
    }
}

void websocket_take(struct websocket *w, struct buf *out)
{
    w->out = out;
    take(w);
    if (w->closing != 0 && !wslay_event_want_write(w->wslay)) {
        (void)wslay_event_queue_close(w->wslay, w->closing, NULL, 0); /* fails behind a close */
        take(w);
    }
    w->out = NULL;
}

bool websocket_is_over(const struct websocket *w)
{
    return !wslay_event_want_read(w->wslay) && !wslay_event_want_write(w->wslay);
}

bool websocket_accept_key(char out[static WEBSOCKET_ACCEPT_LEN + 1], struct span key)
{
    uint8_t digest[20];
    struct buf text;
    buf_init(&text, 64);
    bool good = base64_add_decoded(&text, key) && text.len == 16 && key.n == WEBSOCKET_KEY_LEN;
    buf_clear(&text);
    if (good) {
        buf_add(&text, key);
        buf_add_str(&text, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        digest_sha1(digest, buf_span(&text));
        buf_clear(&text);
        base64_add(&text, span_of(digest, sizeof digest));
        ASSERT(text.len == WEBSOCKET_ACCEPT_LEN);
        memcpy(out, text.p, text.len);
        out[text.len] = '\0';
    }
    buf_release(&text);
    return good;
}
