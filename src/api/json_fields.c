/* A value is read by its first byte. An array or object inside is passed over with a bit a level that
 * says which of the two it is, and what may come next:
 *
 *   VALUE_OR_END --> AFTER --> (',') VALUE_OR_END          in an array
 *   KEY_OR_END --> (':') VALUE --> AFTER --> (',') KEY_OR_END     in an object
 */
#include "api/json_fields.h"

#include "base/err.h"

#include "base/banned.h"

enum expect { VALUE, VALUE_OR_END, KEY_OR_END, AFTER };

static void skip(struct span *s, size_t n)
{
    *s = span_sub(*s, n, s->n);
}

static void skip_space(struct span *s)
{
    size_t n = 0;
    while (n < s->n && byte_is_space(s->p[n])) {
        n++;
    }
    skip(s, n);
}

static bool take(struct span *s, char c)
{
    if (s->n == 0 || s->p[0] != (uint8_t)c) {
        return false;
    }
    skip(s, 1);
    return true;
}

static bool is_hex(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* Bytes of the escape at the start of s, which is a backslash; 0: it is none. */
static size_t escape_len(struct span s)
{
    if (s.n < 2 || memchr("\"\\/bfnrtu", s.p[1], 9) == NULL) {
        return 0;
    }
    if (s.p[1] != 'u') {
        return 2;
    }
    for (size_t i = 2; i < 6; i++) {
        if (i >= s.n || !is_hex(s.p[i])) {
            return 0;
        }
    }
    return 6;
}

/* A string at the start of s, quotes and all; what is between them goes to *out. */
static bool take_string(struct span *s, struct span *out)
{
    struct span rest = *s;
    if (!take(&rest, '"')) {
        return false;
    }
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '"') {
        size_t len = rest.p[n] == '\\' ? escape_len(span_sub(rest, n, rest.n)) : 1;
        if (len == 0) {
            return false;
        }
        n += len;
    }
    if (n >= rest.n) {
        return false;
    }
    *out = span_sub(rest, 0, n);
    *s = span_sub(rest, n + 1, rest.n);
    return true;
}

static size_t digits(struct span s, size_t at)
{
    size_t n = 0;
    while (at + n < s.n && s.p[at + n] >= '0' && s.p[at + n] <= '9') {
        n++;
    }
    return n;
}

/* Bytes of the number at the start of s; 0: it is none. */
static size_t number_len(struct span s)
{
    size_t at = s.n > 0 && s.p[0] == '-' ? 1 : 0;
    size_t n = digits(s, at);
    if (n == 0 || (n > 1 && s.p[at] == '0')) {
        return 0;
    }
    at += n;
    if (at < s.n && s.p[at] == '.') {
        n = digits(s, at + 1);
        if (n == 0) {
            return 0;
        }
        at += 1 + n;
    }
    if (at < s.n && (s.p[at] | 0x20) == 'e') {
        bool sign = at + 1 < s.n && (s.p[at + 1] == '+' || s.p[at + 1] == '-');
        at += sign ? 2 : 1;
        n = digits(s, at);
        at = n == 0 ? 0 : at + n;
    }
    return at;
}

/* What is neither array nor object. */
static bool take_scalar(struct span *s, struct json_field *out)
{
    static const struct {
        struct span text;
        enum json_kind kind;
    } words[] = {{SPAN("true"), JSON_TRUE}, {SPAN("false"), JSON_FALSE}, {SPAN("null"), JSON_NULL}};
    if (take_string(s, &out->value)) {
        out->kind = JSON_STRING;
        return true;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (span_starts_with(*s, words[i].text)) {
            out->kind = words[i].kind;
            out->value = span_sub(*s, 0, words[i].text.n);
            skip(s, words[i].text.n);
            return true;
        }
    }
    size_t n = number_len(*s);
    out->kind = JSON_NUMBER;
    out->value = span_sub(*s, 0, n);
    skip(s, n);
    return n > 0;
}

/* ---- what nobody looks into ------------------------------------------------------------------ */

/* Where one is among arrays and objects: a bit a level, set in an object. */
struct levels {
    uint64_t objects;
    unsigned n;
    enum expect expect;
};

static bool enter(struct levels *at, struct span *s)
{
    bool object = s->n > 0 && s->p[0] == '{';
    if (!object && (s->n == 0 || s->p[0] != '[')) {
        return false;
    }
    skip(s, 1);
    at->objects = at->objects << 1 | object;
    at->n++;
    at->expect = object ? KEY_OR_END : VALUE_OR_END;
    return true;
}

static bool leave(struct levels *at, struct span *s)
{
    if (!take(s, at->objects & 1 ? '}' : ']')) {
        return false;
    }
    at->objects >>= 1;
    at->n--;
    at->expect = AFTER;
    return true;
}

/* One step further; false: that is not JSON. */
static bool step(struct levels *at, struct span *s)
{
    struct json_field ignored;
    skip_space(s);
    if (at->expect != VALUE && leave(at, s)) {
        return true;
    }
    switch (at->expect) {
    case AFTER:
        at->expect = at->objects & 1 ? KEY_OR_END : VALUE_OR_END;
        return take(s, ',');
    case KEY_OR_END:
        if (!take_string(s, &ignored.name)) {
            return false;
        }
        skip_space(s);
        at->expect = VALUE;
        return take(s, ':');
    case VALUE:
    case VALUE_OR_END:
        break;
    }
    if (enter(at, s)) {
        return true;
    }
    at->expect = AFTER;
    return take_scalar(s, &ignored);
}

/* 1: passed over; 0: it is neither array nor object. */
static int take_nested(struct span *s, struct json_field *out, const char **why)
{
    struct levels at = {.n = 0};
    struct span all = *s;
    if (!enter(&at, s)) {
        return 0;
    }
    while (at.n > 0) {
        if (!step(&at, s)) {
            *why = "the body is not JSON";
            return ERR_MALFORMED;
        }
        if (at.n >= JSON_FIELDS_DEPTH) {
            *why = "the JSON is nested too deep";
            return ERR_LIMIT;
        }
    }
    out->kind = JSON_NESTED;
    out->value = span_sub(all, 0, all.n - s->n);
    return 1;
}

/* ---- the walk ---------------------------------------------------------------------------------- */

int json_fields_begin(struct json_fields *f, struct span text, const char **why)
{
    *f = (struct json_fields){.rest = text};
    skip_space(&f->rest);
    if (take(&f->rest, '{')) {
        return 0;
    }
    *why = "the body is not a JSON object";
    return ERR_MALFORMED;
}

static int broken(const char **why)
{
    *why = "the body is not JSON";
    return ERR_MALFORMED;
}

/* Behind the brace there is nothing. */
static int end(struct json_fields *f, const char **why)
{
    skip_space(&f->rest);
    f->over = true;
    return f->rest.n == 0 ? 0 : broken(why);
}

int json_fields_next(struct json_fields *f, struct json_field *out, const char **why)
{
    if (f->over) {
        return 0;
    }
    skip_space(&f->rest);
    if (f->n > 0 && !take(&f->rest, ',')) {
        return take(&f->rest, '}') ? end(f, why) : broken(why);
    }
    skip_space(&f->rest);
    if (take(&f->rest, '}')) {
        return end(f, why);
    }
    if (f->n == JSON_FIELDS_MAX) {
        *why = "the JSON has too many members";
        return ERR_LIMIT;
    }
    if (!take_string(&f->rest, &out->name)) {
        return broken(why);
    }
    skip_space(&f->rest);
    if (!take(&f->rest, ':')) {
        return broken(why);
    }
    skip_space(&f->rest);
    int status = take_nested(&f->rest, out, why);
    if (status < 0) {
        return status;
    }
    if (status == 0 && !take_scalar(&f->rest, out)) {
        return broken(why);
    }
    f->n++;
    return 1;
}

bool json_field_is(const struct json_field *f, const char *name)
{
    return span_eq(f->name, span_str(name));
}

/* ---- strings ----------------------------------------------------------------------------------- */

static uint32_t hex4(const uint8_t *p)
{
    uint32_t v = 0;
    for (size_t i = 0; i < 4; i++) {
        uint8_t c = p[i];
        v = v << 4 | (c <= '9' ? (uint32_t)(c - '0') : (uint32_t)((c | 0x20) - 'a' + 10));
    }
    return v;
}

static void add_utf8(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_add_byte(out, (uint8_t)c);
        return;
    }
    if (c < 0x800) {
        buf_add_byte(out, (uint8_t)(0xc0 | c >> 6));
    } else if (c < 0x10000) {
        buf_add_byte(out, (uint8_t)(0xe0 | c >> 12));
        buf_add_byte(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
    } else {
        buf_add_byte(out, (uint8_t)(0xf0 | c >> 18));
        buf_add_byte(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
        buf_add_byte(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
    }
    buf_add_byte(out, (uint8_t)(0x80 | (c & 0x3f)));
}

/* The code point of \uXXXX, with the other half of a pair when it follows; *len grows by that. */
static uint32_t code_point(struct span s, size_t *len)
{
    uint32_t c = hex4(s.p + 2);
    bool first = c >= 0xd800 && c < 0xdc00;
    if (first && s.n >= 12 && s.p[6] == '\\' && s.p[7] == 'u' &&
        escape_len(span_sub(s, 6, s.n)) == 6) {
        uint32_t second = hex4(s.p + 8);
        if (second >= 0xdc00 && second < 0xe000) {
            *len = 12;
            return 0x10000 + ((c - 0xd800) << 10 | (second - 0xdc00));
        }
    }
    return c >= 0xd800 && c < 0xe000 ? 0xfffd : c;
}

static uint8_t plain_escape(uint8_t c)
{
    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return c; /* it stands for itself */
    }
}

bool json_string_decode(struct buf *out, struct span raw)
{
    while (raw.n > 0 && !out->bad) {
        size_t len = span_find(raw, '\\');
        if (len > 0) {
            buf_add(out, span_sub(raw, 0, len));
        } else {
            len = escape_len(raw);
            ASSERT(len > 0);
            if (len == 6) {
                add_utf8(out, code_point(raw, &len));
            } else {
                buf_add_byte(out, plain_escape(raw.p[1]));
            }
        }
        skip(&raw, len);
    }
    return !out->bad;
}
