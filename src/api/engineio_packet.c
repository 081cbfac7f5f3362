/* Bytes to packets and back. Lengths come first: none is believed beyond the bytes that are there.
 */
#include "api/engineio_packet.h"

#include "base/base64.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/json.h"

#include "base/banned.h"

enum { SEPARATOR = 0x1e, LENGTH_DIGITS_MAX = 9, LENGTH_END = 0xff };

bool utf16_len(struct span text, size_t *units)
{
    *units = 0;
    for (size_t i = 0, len; i < text.n; i += len) {
        len = utf8_sequence_len(span_sub(text, i, 4));
        if (len == 0) {
            return false;
        }
        *units += len == 4 ? 2 : 1;
    }
    return true;
}

static bool take_type(struct eio_packet *out, uint8_t number)
{
    if (number > EIO_NOOP) {
        return false;
    }
    out->type = (enum eio_type)number;
    return true;
}

/* Nothing else may be binary: what comes back of a ping is text. */
static bool is_message(uint8_t number)
{
    return number == EIO_MESSAGE;
}

static int refuse(const char **why, const char *text)
{
    *why = text;
    return ERR_MALFORMED;
}

static int decode_text(struct eio_packet *out, struct span text, const char **why)
{
    size_t units;
    *out = (struct eio_packet){.data = span_sub(text, 1, text.n)};
    if (text.n == 0) {
        return refuse(why, "an empty packet");
    }
    if (text.p[0] < '0' || !take_type(out, (uint8_t)(text.p[0] - '0'))) {
        return refuse(why, "a packet of no known type");
    }
    return utf16_len(out->data, &units) ? 0 : refuse(why, "a packet that is not UTF-8");
}

/* The bytes of a packet that has a type in front. */
static int decode_typed_bytes(struct eio_packet *out, struct span bytes, const char **why)
{
    if (bytes.n == 0 || !is_message(bytes.p[0])) {
        return refuse(why, "a binary packet that is no message");
    }
    *out = (struct eio_packet){
        .type = EIO_MESSAGE, .binary = true, .data = span_sub(bytes, 1, bytes.n)};
    return 0;
}

int eio_frame_decode(struct eio_packet *out, enum eio_version version, bool binary,
                     struct span message, const char **why)
{
    if (!binary) {
        return decode_text(out, message, why);
    }
    if (version == EIO_V3) {
        return decode_typed_bytes(out, message, why);
    }
    *out = (struct eio_packet){.type = EIO_MESSAGE, .binary = true, .data = message};
    return 0;
}

void eio_frame_encode(struct buf *out, enum eio_version version, const struct eio_packet *packet)
{
    if (!packet->binary) {
        buf_add_byte(out, (uint8_t)('0' + packet->type));
    } else if (version == EIO_V3) {
        buf_add_byte(out, (uint8_t)packet->type);
    }
    buf_add(out, packet->data);
}

/* ---- payloads ---------------------------------------------------------------------------- */

void eio_payload_begin(struct eio_payload *p, enum eio_version version, bool octets,
                       struct span body)
{
    *p = (struct eio_payload){
        .version = version, .octets = octets && version == EIO_V3, .rest = body};
}

/* A packet of a payload in text form: as in a WebSocket, or "b" and base64. */
static int decode_part(struct eio_packet *out, enum eio_version version, struct span part,
                       const char **why)
{
    if (part.n == 0 || part.p[0] != 'b') {
        return decode_text(out, part, why);
    }
    *out = (struct eio_packet){.type = EIO_MESSAGE, .binary = true, .base64 = true};
    out->data = span_sub(part, 1, part.n);
    if (version == EIO_V3) {
        if (out->data.n == 0 || !is_message((uint8_t)(out->data.p[0] - '0'))) {
            return refuse(why, "a binary packet that is no message");
        }
        out->data = span_sub(out->data, 1, out->data.n);
    }
    return 0;
}

static int next_separated(struct eio_payload *p, struct eio_packet *out, const char **why)
{
    size_t at = span_find(p->rest, SEPARATOR);
    struct span part = span_sub(p->rest, 0, at);
    p->over = at == p->rest.n;
    p->rest = span_sub(p->rest, at + 1, p->rest.n);
    return decode_part(out, p->version, part, why);
}

/* The decimal number up to the byte end; digit 0 is zero. False when there is none. */
static bool take_length(struct rd *r, uint8_t zero, uint8_t end, size_t *length)
{
    *length = 0;
    for (size_t digits = 0; digits <= LENGTH_DIGITS_MAX; digits++) {
        uint8_t c = rd_u8(r);
        if (c == end) {
            return digits > 0 && !r->bad;
        }
        if (r->bad || c < zero || c > zero + 9) {
            return false;
        }
        *length = *length * 10 + (size_t)(c - zero);
    }
    return false;
}

/* The bytes of the text's first `units` UTF-16 code units; false when it has fewer, or when a
 * character would be cut. */
static bool take_units(struct rd *r, size_t units, struct span *out)
{
    struct span left = span_of(r->p, rd_left(r));
    size_t at = 0;
    while (units > 0) {
        size_t len = utf8_sequence_len(span_sub(left, at, 4));
        size_t cost = len == 4 ? 2 : 1;
        if (len == 0 || cost > units) {
            return false;
        }
        at += len;
        units -= cost;
    }
    *out = rd_bytes(r, at);
    return true;
}

static int next_counted(struct eio_payload *p, struct eio_packet *out, const char **why)
{
    struct rd r = rd_over(p->rest);
    struct span part = {NULL, 0};
    size_t length;
    if (!take_length(&r, '0', ':', &length) || !take_units(&r, length, &part)) {
        return refuse(why, "a packet of another length than it says");
    }
    p->rest = span_of(r.p, rd_left(&r));
    p->over = p->rest.n == 0;
    return decode_part(out, p->version, part, why);
}

static int next_octets(struct eio_payload *p, struct eio_packet *out, const char **why)
{
    struct rd r = rd_over(p->rest);
    size_t length;
    uint8_t kind = rd_u8(&r);
    if (kind > 1 || !take_length(&r, 0, LENGTH_END, &length)) {
        return refuse(why, "a packet of another length than it says");
    }
    struct span part = rd_bytes(&r, length);
    if (r.bad) {
        return refuse(why, "a packet of another length than it says");
    }
    p->rest = span_of(r.p, rd_left(&r));
    p->over = p->rest.n == 0;
    return kind == 1 ? decode_typed_bytes(out, part, why) : decode_text(out, part, why);
}

int eio_payload_next(struct eio_payload *p, struct eio_packet *out, const char **why)
{
    if (p->over) {
        return 0;
    }
    if (p->n_packets == EIO_PACKETS_MAX) {
        *why = "too many packets in one payload";
        return ERR_LIMIT;
    }
    p->n_packets++;
    int status = p->octets              ? next_octets(p, out, why)
                 : p->version == EIO_V3 ? next_counted(p, out, why)
                                        : next_separated(p, out, why);
    return status < 0 ? status : 1;
}

/* "b4" and base64, "b" and base64, or the packet's digit and its text. */
static void add_part(struct buf *out, enum eio_version version, const struct eio_packet *packet)
{
    if (!packet->binary) {
        eio_frame_encode(out, version, packet);
        return;
    }
    buf_add_byte(out, 'b');
    if (version == EIO_V3) {
        buf_add_byte(out, (uint8_t)('0' + packet->type));
    }
    base64_add(out, packet->data);
}

void eio_payload_add(struct buf *out, enum eio_version version, const struct eio_packet *packet)
{
    size_t units = 0;
    ASSERT(!packet->base64);
    if (version == EIO_V3) {
        if (packet->binary) {
            units = 1 + (packet->data.n + 2) / 3 * 4;
        } else {
            ASSERT(utf16_len(packet->data, &units));
        }
        buf_add_u64(out, units + 1);
        buf_add_byte(out, ':');
    } else if (out->len > 0) {
        buf_add_byte(out, SEPARATOR);
    }
    add_part(out, version, packet);
}

size_t eio_payload_cost(const struct eio_packet *packet)
{
    enum { AROUND = 24 }; /* length, colon, "b4" */
    return AROUND + (packet->binary ? (packet->data.n + 2) / 3 * 4 : packet->data.n);
}
