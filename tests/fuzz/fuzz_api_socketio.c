/* A packet that is taken, written again, is the same packet in ASCII; what is taken as JSON is JSON
 * in an array too; and a session that is told anything ends or goes on, and says nothing afterwards. */
#include <stdlib.h>

#include "api/socketio.h"

#include "base/banned.h"

enum { OUT_MAX = 1 << 22, SEPARATOR = 0 };

static void check_packet(struct span text)
{
    struct sio_packet packet;
    struct sio_packet again;
    struct buf once;
    struct buf twice;
    const char *why = NULL;
    if (sio_packet_decode(&packet, text, &why) < 0) {
        ASSERT(why != NULL);
        return;
    }
    buf_init(&once, OUT_MAX);
    buf_init(&twice, OUT_MAX);
    sio_packet_encode(&once, &packet);
    ASSERT(sio_packet_decode(&again, buf_span(&once), &why) == 0);
    ASSERT(again.type == packet.type && again.n_attachments == packet.n_attachments &&
           span_eq(again.id, packet.id) && span_eq(again.nsp, packet.nsp));
    sio_packet_encode(&twice, &again);
    ASSERT(span_eq(buf_span(&once), buf_span(&twice)));
    buf_release(&once);
    buf_release(&twice);
}

static void check_json(struct span text)
{
    struct span element;
    struct span rest;
    struct buf array;
    size_t end = sio_json_end(text);
    buf_init(&array, OUT_MAX);
    buf_addf(&array, "[%.*s,null]", (int)end, (const char *)text.p);
    if (end > 0 && sio_json_end(buf_span(&array)) > 0) { /* else it was as deep as can be */
        ASSERT(sio_array_begin(buf_span(&array), &element, &rest));
        ASSERT(span_eq(element, span_trim(span_sub(text, 0, end))));
        ASSERT(sio_array_next(&element, &rest) && span_eq(element, SPAN("null")));
        ASSERT(!sio_array_next(&element, &rest));
    }
    buf_release(&array);
}

static void tell(struct sio *sio, struct eio *eio, struct span sid, bool binary, struct span said)
{
    struct sio_event event;
    struct eio_out out;
    if (sio_on_message(sio, sid, binary, said, &event, 1) == SIO_WANTS_CONNECT) {
        sio_connect(sio, sid, SPAN("x"));
    }
    while (eio_next_out(eio, &out)) {
        if (out.type == EIO_OUT_CLOSED) {
            sio_on_closed(sio, sid);
            ASSERT(!eio_knows(eio, sid) && !eio_next_out(eio, &out));
        }
    }
}

/* Messages with a zero byte between them; one that begins with 'b' is binary. */
static void check_session(struct span messages)
{
    int link;
    struct eio *eio = eio_new(&(struct eio_cfg){
        .ping_interval_ms = 10, .ping_timeout_ms = 10, .max_payload = 1000, .max_sessions = 1});
    struct sio *sio =
        sio_new(&(struct sio_cfg){.engine = eio, .event = "v1", .max_message = OUT_MAX});
    struct eio_opening opening = {
        .version = EIO_V4, .link = &link, .sid = {"aaaaaaaaaaaaaaaaaaaa"}};
    struct sio_opening socket = {.version = EIO_V4, .sid = opening.sid};
    struct span sid = span_str(opening.sid.text);
    ASSERT(eio_on_open(eio, &opening, 0) == 0);
    sio_on_open(sio, &socket, 0);
    while (messages.n > 0) {
        struct span said = span_cut(messages, SEPARATOR, &messages);
        bool binary = said.n > 0 && said.p[0] == 'b';
        tell(sio, eio, sid, binary, binary ? span_sub(said, 1, said.n) : said);
    }
    sio_free(sio);
    eio_free(eio);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_packet(span_of(data, size));
    check_json(span_of(data, size));
    check_session(span_of(data, size));
    return 0;
}
