/* The same messages come out, and the same frames are answered, however the bytes come in; what is
 * answered is frames as a server sends them, with a close last. A close overtakes what waits, at a
 * moment that depends on how much of a wrong frame was looked at. The first byte says how many bytes
 * come at a time, 0: all. */
#include <stdlib.h>

#include "api/websocket.h"

#include "base/banned.h"

enum { OUT_MAX = 1 << 22, MAX_MESSAGE = 1000 };

struct side {
    struct websocket *w;
    struct buf messages; /* a byte for the kind of each, four for its length */
    struct buf answer;
    bool cut;
};

static void on_message(void *ctx, bool binary, struct span message)
{
    struct side *s = ctx;
    ASSERT(message.n <= MAX_MESSAGE);
    buf_addf(&s->messages, "%c%04zu", binary ? 'b' : 't', message.n);
    buf_add(&s->messages, message);
    s->cut = s->cut || !websocket_send(s->w, binary, message);
}

static void run(struct side *s, struct span in, size_t at_a_time)
{
    size_t before;
    *s = (struct side){.w = websocket_new(MAX_MESSAGE, on_message, s)};
    buf_init(&s->messages, OUT_MAX);
    buf_init(&s->answer, OUT_MAX);
    while (in.n > 0 && !s->cut) {
        struct span part = span_sub(in, 0, at_a_time == 0 ? in.n : at_a_time);
        s->cut = !websocket_on_bytes(s->w, part);
        in = span_sub(in, part.n, in.n);
    }
    do {
        struct buf some;
        buf_init(&some, OUT_MAX);
        websocket_take(s->w, &some);
        before = s->answer.len;
        buf_add(&s->answer, buf_span(&some));
        buf_release(&some);
    } while (s->answer.len > before);
}

static void release(struct side *s)
{
    websocket_free(s->w);
    buf_release(&s->messages);
    buf_release(&s->answer);
}

/* Bytes of the frame at the start of in: whole, not masked, its length in the shortest form. */
static size_t frame_len(struct span in, uint8_t *opcode)
{
    ASSERT(in.n >= 2 && (in.p[0] & 0xf0) == 0x80 && (in.p[1] & 0x80) == 0);
    *opcode = in.p[0] & 0x0f;
    size_t head = in.p[1] == 126 ? 4 : 2;
    ASSERT(in.p[1] != 127 && in.n >= head);
    size_t len = in.p[1] == 126 ? (size_t)(in.p[2] << 8 | in.p[3]) : in.p[1];
    ASSERT((head == 4) == (len > 125) && len <= MAX_MESSAGE && in.n - head >= len);
    return head + len;
}

/* Does it end in a close? */
static bool check_answer(struct span in)
{
    uint8_t opcode = 0;
    while (in.n > 0) {
        in = span_sub(in, frame_len(in, &opcode), in.n);
        ASSERT(opcode == 1 || opcode == 2 || opcode == 10 || (opcode == 8 && in.n == 0));
    }
    return opcode == 8;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data + (size > 0), size - (size > 0));
    struct side whole;
    struct side parts;
    run(&whole, in, 0);
    run(&parts, in, size > 0 ? data[0] : 0);
    ASSERT(whole.cut == parts.cut);
    ASSERT(span_eq(buf_span(&whole.messages), buf_span(&parts.messages)));
    bool closed = check_answer(buf_span(&whole.answer));
    bool closed_too = check_answer(buf_span(&parts.answer));
    ASSERT(closed || closed_too || span_eq(buf_span(&whole.answer), buf_span(&parts.answer)));
    release(&whole);
    release(&parts);
    return 0;
}
