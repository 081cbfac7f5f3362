/* The head is read from left to right, then the JSON is walked once with a stack of one bit a
 * level: is this an object or an array. No value is built here.
 */
#include "api/socketio_packet.h"

#include "base/cursor.h"
#include "base/err.h"
#include "base/json.h"
#include "base/parse.h"

#include "base/banned.h"

/* ---- JSON -------------------------------------------------------------------------------- */

struct scan {
    struct rd r;
    size_t depth;
    uint64_t objects; /* bit i: level i is an object */
};
_Static_assert(SIO_DEPTH_MAX <= 64, "a bit for each level");

static uint8_t peek(const struct rd *r)
{
    return r->p == r->end ? 0 : *r->p;
}

static void skip_blanks(struct rd *r)
{
    while (r->p != r->end && byte_is_space(*r->p)) {
        r->p++;
    }
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool scan_escape(struct rd *r)
{
    uint8_t c = rd_u8(r);
    if (c != 'u') {
        return c != 0 && strchr("\"\\/bfnrt", c) != NULL;
    }
    for (int i = 0; i < 4; i++) {
        if (!is_hex(rd_u8(r))) {
            return false;
        }
    }
    return true;
}

/* Behind the opening quote. */
static bool scan_string(struct rd *r)
{
    for (;;) {
        uint8_t c = rd_u8(r);
        if (c == '"') {
            return true;
        }
        if (c < 0x20 || (c == '\\' && !scan_escape(r))) { /* 0: the end, too */
            return false;
        }
    }
}

static bool scan_digits(struct rd *r)
{
    bool any = false;
    while (is_digit(peek(r))) {
        r->p++;
        any = true;
    }
    return any;
}

static bool scan_number(struct rd *r)
{
    if (peek(r) == '-') {
        r->p++;
    }
    bool zero = peek(r) == '0';
    const uint8_t *first = r->p;
    if (!scan_digits(r) || (zero && r->p - first > 1)) {
        return false;
    }
    if (peek(r) == '.') {
        r->p++;
        if (!scan_digits(r)) {
            return false;
        }
    }
    if (peek(r) == 'e' || peek(r) == 'E') {
        r->p++;
        if (peek(r) == '+' || peek(r) == '-') {
            r->p++;
        }
        return scan_digits(r);
    }
    return true;
}

static bool scan_scalar(struct rd *r)
{
    static const char *const words[] = {"true", "false", "null"};
    if (peek(r) == '"') {
        r->p++;
        return scan_string(r);
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (span_starts_with(span_of(r->p, rd_left(r)), span_str(words[i]))) {
            r->p += strlen(words[i]);
            return true;
        }
    }
    return scan_number(r);
}

static bool in_object(const struct scan *s)
{
    return (s->objects >> (s->depth - 1) & 1) != 0;
}

/* "name": in front of a value of an object; nothing in an array. */
static bool scan_name(struct scan *s)
{
    if (!in_object(s)) {
        return true;
    }
    skip_blanks(&s->r);
    if (rd_u8(&s->r) != '"' || !scan_string(&s->r)) {
        return false;
    }
    skip_blanks(&s->r);
    return rd_u8(&s->r) == ':';
}

static bool open_level(struct scan *s)
{
    if (s->depth == SIO_DEPTH_MAX) {
        return false;
    }
    uint64_t bit = 1ULL << s->depth++;
    s->objects = rd_u8(&s->r) == '{' ? s->objects | bit : s->objects & ~bit;
    return true;
}

/* One value, or the opening of one that is not empty: *opened then. */
static bool scan_value(struct scan *s, bool *opened)
{
    *opened = false;
    skip_blanks(&s->r);
    if (peek(&s->r) != '{' && peek(&s->r) != '[') {
        return scan_scalar(&s->r);
    }
    if (!open_level(s)) {
        return false;
    }
    skip_blanks(&s->r);
    if (peek(&s->r) == (in_object(s) ? '}' : ']')) {
        s->r.p++;
        s->depth--;
        return true;
    }
    *opened = true;
    return scan_name(s);
}

/* Behind a value: closes what ends here. False when no further value may come. */
static bool scan_behind(struct scan *s)
{
    while (s->depth > 0) {
        skip_blanks(&s->r);
        uint8_t c = rd_u8(&s->r);
        if (c == ',') {
            return scan_name(s);
        }
        if (c != (in_object(s) ? '}' : ']')) {
            return false;
        }
        s->depth--;
    }
    return false;
}

size_t sio_json_end(struct span text)
{
    struct scan s = {.r = rd_over(text)};
    bool opened;
    do {
        if (!scan_value(&s, &opened)) {
            return 0;
        }
    } while (opened || scan_behind(&s));
    return s.depth == 0 && !s.r.bad ? (size_t)(s.r.p - text.p) : 0;
}

static bool take_element(struct span *element, struct span *rest)
{
    size_t end = sio_json_end(*rest);
    if (end == 0) {
        return false;
    }
    *element = span_trim(span_sub(*rest, 0, end));
    *rest = span_sub(*rest, end, rest->n);
    return true;
}

bool sio_array_begin(struct span array, struct span *element, struct span *rest)
{
    *rest = span_sub(span_trim(array), 1, array.n);
    return take_element(element, rest);
}

bool sio_array_next(struct span *element, struct span *rest)
{
    *rest = span_trim(*rest);
    if (rest->n == 0 || rest->p[0] != ',') {
        return false;
    }
    *rest = span_sub(*rest, 1, rest->n);
    return take_element(element, rest);
}

/* ---- packets ----------------------------------------------------------------------------- */

static bool is_binary(enum sio_type type)
{
    return type == SIO_BINARY_EVENT || type == SIO_BINARY_ACK;
}

static struct span take_digits(struct span *rest)
{
    struct span digits = {rest->p, 0};
    while (digits.n < rest->n && is_digit(rest->p[digits.n])) {
        digits.n++;
    }
    *rest = span_sub(*rest, digits.n, rest->n);
    return digits;
}

static const char *take_attachments(struct sio_packet *out, struct span *rest)
{
    struct span digits = take_digits(rest);
    uint64_t n;
    if (rest->n == 0 || rest->p[0] != '-' || !parse_u64(&n, digits, SIO_ATTACHMENTS_MAX)) {
        return "a binary packet needs its number of attachments, which has a limit";
    }
    out->n_attachments = (size_t)n;
    *rest = span_sub(*rest, 1, rest->n);
    return NULL;
}

/* A namespace ends at its comma, or at the end of the packet. */
static const char *take_head(struct sio_packet *out, struct span *rest)
{
    const char *why = is_binary(out->type) ? take_attachments(out, rest) : NULL;
    if (why == NULL && rest->n > 0 && rest->p[0] == '/') {
        out->nsp = span_cut(*rest, ',', rest);
        if (out->nsp.n > SIO_NAMESPACE_MAX) {
            why = "the namespace is too long";
        } else if (out->nsp.n == 1) {
            out->nsp = span_of(NULL, 0);
        }
    }
    out->id = take_digits(rest);
    if (why == NULL && out->id.n > SIO_ID_DIGITS_MAX) {
        why = "the acknowledgement id is too long";
    }
    return why;
}

static const char *check_json(const struct sio_packet *p)
{
    struct span first;
    struct span rest;
    if (p->json.n > 0 && sio_json_end(p->json) != p->json.n) {
        return "the payload is not JSON, or too deep";
    }
    uint8_t kind = p->json.n > 0 ? p->json.p[0] : 0;
    switch (p->type) {
    case SIO_CONNECT:
        return kind == 0 || kind == '{' ? NULL : "the payload of a CONNECT is an object";
    case SIO_DISCONNECT:
        return kind == 0 ? NULL : "a DISCONNECT has no payload";
    case SIO_EVENT:
    case SIO_BINARY_EVENT:
        return kind == '[' && sio_array_begin(p->json, &first, &rest) && first.p[0] == '"'
                   ? NULL
                   : "an event is an array that begins with its name";
    case SIO_ACK:
    case SIO_BINARY_ACK:
        return kind == '[' && p->id.n > 0 ? NULL : "an ACK is an array, and has an id";
    case SIO_ERROR:
        return kind == 0 || kind == '{' || kind == '"' ? NULL : "an error is an object or a string";
    }
    return NULL;
}

int sio_packet_decode(struct sio_packet *out, struct span text, const char **why)
{
    struct span rest = span_sub(text, 1, text.n);
    *out = (struct sio_packet){.type = SIO_CONNECT};
    if (text.n == 0 || text.p[0] < '0' || text.p[0] > '0' + SIO_BINARY_ACK) {
        *why = "a packet of no known type";
        return ERR_MALFORMED;
    }
    out->type = (enum sio_type)(text.p[0] - '0');
    *why = take_head(out, &rest);
    if (*why == NULL) {
        out->json = span_trim(rest);
        *why = check_json(out);
    }
    return *why == NULL ? 0 : ERR_MALFORMED;
}

void sio_packet_encode(struct buf *out, const struct sio_packet *packet)
{
    buf_add_byte(out, (uint8_t)('0' + packet->type));
    if (is_binary(packet->type)) {
        buf_add_u64(out, packet->n_attachments);
        buf_add_byte(out, '-');
    }
    if (packet->nsp.n > 0) {
        buf_add(out, packet->nsp);
        buf_add_byte(out, ',');
    }
    buf_add(out, packet->id);
    sio_add_ascii(out, packet->json);
}

static uint32_t code_point(struct span c)
{
    uint32_t value = c.n == 4 ? c.p[0] & 7U : c.n == 3 ? c.p[0] & 15U : c.p[0] & 31U;
    for (size_t i = 1; i < c.n; i++) {
        value = value << 6 | (c.p[i] & 63U);
    }
    return value;
}

/* One character outside of ASCII, as its escapes. */
static void add_escaped(struct buf *out, struct span character)
{
    uint32_t c = code_point(character);
    if (character.n == 4) {
        c -= 0x10000;
        buf_addf(out, "\\u%04x", 0xd800 | c >> 10);
        c = 0xdc00 | (c & 0x3ff);
    }
    buf_addf(out, "\\u%04x", c);
}

/* Bytes of ASCII at the start of text. Long answers are nothing else: eight at a time. */
static size_t ascii_len(struct span text)
{
    uint64_t eight;
    size_t n = 0;
    while (text.n - n >= sizeof eight) {
        memcpy(&eight, text.p + n, sizeof eight);
        if ((eight & UINT64_C(0x8080808080808080)) != 0) {
            break;
        }
        n += sizeof eight;
    }
    while (n < text.n && text.p[n] < 0x80) {
        n++;
    }
    return n;
}

void sio_add_ascii(struct buf *out, struct span json)
{
    while (json.n > 0) {
        size_t plain = ascii_len(json);
        buf_add(out, span_sub(json, 0, plain));
        json = span_sub(json, plain, json.n);
        size_t len = utf8_sequence_len(json);
        if (len > 0) {
            add_escaped(out, span_sub(json, 0, len));
        } else if (json.n > 0) {
            len = 1;
            buf_add_byte(out, json.p[0]); /* not what it must be, and stays so */
        }
        json = span_sub(json, len, json.n);
    }
}
