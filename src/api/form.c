/* Two walks behind one door.
 *
 * urlencoded   pairs between '&'; names are decoded into the field, values when asked for.
 * multipart    [text] delimiter head CRLF CRLF value delimiter ... delimiter "--" [text]. The
 *              delimiter begins with CRLF, which belongs to it and not to the value in front of it;
 *              at the very start of a body that CRLF may be missing.
 */
#include "api/form.h"

#include <string.h>
#include <strings.h>

#include "api/query.h"
#include "base/err.h"
#include "base/parse.h"

#include "base/banned.h"

static bool same_word(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || strncasecmp((const char *)a.p, (const char *)b.p, a.n) == 0);
}

static int malformed(const char **why, const char *text)
{
    *why = text;
    return ERR_MALFORMED;
}

/* ---- header values with parameters --------------------------------------------------------- */

/* text behind a first '"': its end there, or text.n. Backslashes are not undone. */
static size_t quoted_end(struct span text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"') {
            return i;
        }
        i += text.p[i] == '\\';
    }
    return text.n;
}

/* The next "; name=value" of *rest; value without its quotes, but with its backslashes. */
static bool next_parameter(struct span *rest, struct span *name, struct span *value)
{
    while (rest->n > 0 && (rest->p[0] == ';' || byte_is_space(rest->p[0]))) {
        *rest = span_sub(*rest, 1, rest->n);
    }
    size_t equals = span_find(*rest, '=');
    if (equals == rest->n) {
        return false;
    }
    *name = span_trim(span_sub(*rest, 0, equals));
    *rest = span_sub(*rest, equals + 1, rest->n);
    if (rest->n > 0 && rest->p[0] == '"') {
        struct span inside = span_sub(*rest, 1, rest->n);
        size_t end = quoted_end(inside);
        *value = span_sub(inside, 0, end);
        *rest = span_sub(inside, end + 1, inside.n);
    } else {
        *value = span_trim(span_cut(*rest, ';', rest));
    }
    return true;
}

/* text without its backslashes into out; the length, or cap + 1 when it does not fit. */
static size_t unquote(uint8_t *out, size_t cap, struct span text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\\' && i + 1 < text.n &&
            (text.p[i + 1] == '"' || text.p[i + 1] == '\\')) {
            i++;
        }
        if (n == cap) {
            return cap + 1;
        }
        out[n++] = text.p[i];
    }
    return n;
}

/* ---- urlencoded ---------------------------------------------------------------------------- */

static uint8_t hex_value(uint8_t c)
{
    return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

static bool is_hex(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* One decoded byte off the front of *text; -1 for a broken escape. */
static int next_byte(struct span *text)
{
    uint8_t c = text->p[0];
    size_t used = 1;
    if (c == '%') {
        if (text->n < 3 || !is_hex(text->p[1]) || !is_hex(text->p[2])) {
            return -1;
        }
        c = (uint8_t)(hex_value(text->p[1]) << 4 | hex_value(text->p[2]));
        used = 3;
    } else if (c == '+') {
        c = ' ';
    }
    *text = span_sub(*text, used, text->n);
    return c;
}

static int urlencoded_next(struct form *f, struct form_field *out, const char **why)
{
    struct span name;
    size_t n = 0;
    if (!query_next(&f->rest, &name, &out->value)) {
        return 0;
    }
    while (name.n > 0 && n <= sizeof out->name_text) {
        int c = next_byte(&name);
        if (c < 0) {
            return malformed(why, "a field name has a broken %-escape");
        }
        if (n < sizeof out->name_text) {
            out->name_text[n] = (uint8_t)c;
        }
        n++;
    }
    out->name = span_of(out->name_text, n > sizeof out->name_text ? 0 : n);
    out->encoded = true;
    return 1;
}

/* ---- multipart ----------------------------------------------------------------------------- */

static size_t find(struct span text, struct span what)
{
    const uint8_t *hit = text.n == 0 ? NULL : memmem(text.p, text.n, what.p, what.n);
    return hit == NULL ? text.n : (size_t)(hit - text.p);
}

/* What follows a delimiter: "--", or blanks and CRLF. False: it was no delimiter after all. */
static bool delimiter_tail(struct span text, bool *last, size_t *len)
{
    size_t i = 0;
    *last = span_starts_with(text, SPAN("--"));
    if (*last) {
        *len = 2;
        return true;
    }
    while (i < text.n && (text.p[i] == ' ' || text.p[i] == '\t')) {
        i++;
    }
    *len = i + 2;
    return span_starts_with(span_sub(text, i, text.n), SPAN("\r\n"));
}

/* Cuts f->rest at the next delimiter: *before is what stood in front of it. */
static bool next_delimiter(struct form *f, struct span *before)
{
    const struct span delimiter = span_of(f->delimiter, f->delimiter_len);
    const struct span bare = span_sub(delimiter, 2, delimiter.n);
    size_t tail = 0;
    if (!f->begun && span_starts_with(f->rest, bare) &&
        delimiter_tail(span_sub(f->rest, bare.n, f->rest.n), &f->over, &tail)) {
        *before = span_sub(f->rest, 0, 0);
        f->rest = span_sub(f->rest, bare.n + tail, f->rest.n);
        return true;
    }
    for (size_t from = 0; from < f->rest.n;) {
        size_t at = from + find(span_sub(f->rest, from, f->rest.n), delimiter);
        if (at < f->rest.n &&
            delimiter_tail(span_sub(f->rest, at + delimiter.n, f->rest.n), &f->over, &tail)) {
            *before = span_sub(f->rest, 0, at);
            f->rest = span_sub(f->rest, at + delimiter.n + tail, f->rest.n);
            return true;
        }
        from = at < f->rest.n ? at + delimiter.n : at;
    }
    return false;
}

/* Content-Disposition: form-data; name="a"; filename="b". False when it has no name. */
static bool read_disposition(struct span value, struct form_field *out)
{
    struct span rest;
    struct span name;
    struct span text;
    bool named = false;
    if (!same_word(span_trim(span_cut(value, ';', &rest)), SPAN("form-data"))) {
        return false;
    }
    while (next_parameter(&rest, &name, &text)) {
        if (same_word(name, SPAN("name"))) {
            size_t n = unquote(out->name_text, sizeof out->name_text, text);
            out->name = span_of(out->name_text, n > sizeof out->name_text ? 0 : n);
            named = true;
        } else if (same_word(name, SPAN("filename")) || same_word(name, SPAN("filename*"))) {
            out->has_filename = true;
        }
    }
    return named;
}

static bool read_head(struct span head, struct form_field *out)
{
    bool named = false;
    while (head.n > 0) {
        size_t end = find(head, SPAN("\r\n"));
        struct span value;
        struct span name = span_cut(span_sub(head, 0, end), ':', &value);
        head = span_sub(head, end + 2, head.n);
        if (same_word(span_trim(name), SPAN("content-disposition"))) {
            named = read_disposition(value, out);
        }
    }
    return named;
}

static int multipart_next(struct form *f, struct form_field *out, const char **why)
{
    struct span skipped;
    struct span part;
    if (!f->begun) {
        if (f->rest.n == 0) {
            return 0;
        }
        if (!next_delimiter(f, &skipped)) {
            return malformed(why, "the body does not begin with the boundary that its type names");
        }
        f->begun = true;
    }
    if (f->over) {
        return 0;
    }
    /* A part without any header begins with the empty line itself. */
    size_t head_len = span_starts_with(f->rest, SPAN("\r\n"))
                          ? 0
                          : find(span_sub(f->rest, 0, FORM_HEAD_MAX), SPAN("\r\n\r\n"));
    struct span head = span_sub(f->rest, 0, head_len);
    if (!read_head(head, out)) {
        return malformed(why, "a part has no Content-Disposition: form-data with a name");
    }
    if (head_len + 4 > f->rest.n ||
        !span_starts_with(span_sub(f->rest, head_len, 4), SPAN("\r\n\r\n"))) {
        return malformed(why, "the head of a part does not end");
    }
    /* The last two bytes of the head's end may be the first of a delimiter: an empty value. */
    f->rest = span_sub(f->rest, head_len + 2, f->rest.n);
    if (!next_delimiter(f, &part)) {
        return malformed(why, "the body ends inside of a part");
    }
    out->value = span_sub(part, 2, part.n);
    return 1;
}

/* ---- public -------------------------------------------------------------------------------- */

static int set_boundary(struct form *f, struct span parameters, const char **why)
{
    struct span name;
    struct span value;
    while (next_parameter(&parameters, &name, &value)) {
        if (!same_word(name, SPAN("boundary"))) {
            continue;
        }
        size_t n = unquote(f->delimiter + 4, FORM_BOUNDARY_MAX, value);
        if (n == 0 || n > FORM_BOUNDARY_MAX) {
            return malformed(why, "the boundary must have 1 to 70 characters");
        }
        memcpy(f->delimiter, "\r\n--", 4);
        f->delimiter_len = 4 + n;
        return 0;
    }
    return malformed(why, "multipart/form-data without a boundary");
}

int form_begin(struct form *f, struct span content_type, struct span body, const char **why)
{
    struct span parameters;
    struct span type = span_trim(span_cut(content_type, ';', &parameters));
    *f = (struct form){.kind = FORM_NONE, .rest = body};
    if (same_word(type, SPAN("application/x-www-form-urlencoded"))) {
        f->kind = FORM_URLENCODED;
    } else if (same_word(type, SPAN("multipart/form-data"))) {
        f->kind = FORM_MULTIPART;
        return set_boundary(f, parameters, why);
    }
    return 0;
}

int form_next(struct form *f, struct form_field *out, const char **why)
{
    int status = 0;
    out->name = out->value = span_of(NULL, 0);
    out->encoded = out->has_filename = false;
    if (f->kind == FORM_URLENCODED) {
        status = urlencoded_next(f, out, why);
    } else if (f->kind == FORM_MULTIPART) {
        status = multipart_next(f, out, why);
    }
    if (status == 1 && ++f->n_fields > FORM_FIELDS_MAX) {
        *why = "the form has more than 64 fields";
        return ERR_LIMIT;
    }
    return status;
}

bool form_add_value(struct buf *out, const struct form_field *field)
{
    struct span rest = field->value;
    if (!field->encoded) {
        buf_add(out, rest);
        return !out->bad;
    }
    while (rest.n > 0 && !out->bad) {
        int c = next_byte(&rest);
        if (c < 0) {
            return false;
        }
        buf_add_byte(out, (uint8_t)c);
    }
    return !out->bad;
}
