/* Packets of a payload, written again, are the same packets; so is one frame. The first byte says
 * which revision and kind it is. */
#include <stdlib.h>

#include "api/engineio_packet.h"
#include "base/base64.h"

#include "base/banned.h"

enum { OUT_MAX = 1 << 22 };

/* Adds packet to out with its bytes as they are meant; false when they are no base64. */
static bool rewrite(struct buf *out, enum eio_version version, const struct eio_packet *packet)
{
    struct eio_packet plain = *packet;
    struct buf bytes;
    ASSERT(packet->type == EIO_MESSAGE || !packet->binary);
    buf_init(&bytes, OUT_MAX);
    bool good = !packet->base64 || base64_add_decoded(&bytes, packet->data);
    if (packet->base64) {
        plain.base64 = false;
        plain.data = buf_span(&bytes);
    }
    if (good) {
        size_t before = out->len;
        eio_payload_add(out, version, &plain);
        ASSERT(out->len - before <= eio_payload_cost(&plain));
    }
    buf_release(&bytes);
    return good;
}

/* The text form of in, whatever its form; how many packets it has. */
static size_t rewrite_all(struct buf *out, enum eio_version version, bool octets, struct span in)
{
    struct eio_payload walk;
    struct eio_packet packet;
    const char *why = NULL;
    size_t n = 0;
    int status;
    eio_payload_begin(&walk, version, octets, in);
    while ((status = eio_payload_next(&walk, &packet, &why)) == 1 &&
           rewrite(out, version, &packet)) {
        n++;
    }
    ASSERT(status >= 0 || why != NULL);
    return n;
}

static void check_frame(enum eio_version version, bool binary, struct span in)
{
    struct eio_packet packet;
    struct buf out;
    const char *why = NULL;
    if (eio_frame_decode(&packet, version, binary, in, &why) == 0) {
        buf_init(&out, OUT_MAX);
        eio_frame_encode(&out, version, &packet);
        ASSERT(packet.binary == binary && span_eq(buf_span(&out), in));
        buf_release(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf once;
    struct buf twice;
    uint8_t kind = size > 0 ? data[0] : 0;
    struct span in = span_of(data + (size > 0), size - (size > 0));
    enum eio_version version = (kind & 1) != 0 ? EIO_V3 : EIO_V4;
    buf_init(&once, OUT_MAX);
    buf_init(&twice, OUT_MAX);
    size_t n = rewrite_all(&once, version, (kind & 2) != 0, in);
    if (n > 0) {
        ASSERT(rewrite_all(&twice, version, false, buf_span(&once)) == n);
        ASSERT(span_eq(buf_span(&once), buf_span(&twice)));
    }
    check_frame(version, (kind & 2) != 0, in);
    buf_release(&once);
    buf_release(&twice);
    return 0;
}
