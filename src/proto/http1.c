/* One pass over the head, line by line. What a byte means depends only on the bytes before it, so
 * a head that arrives in pieces gets the answer of the whole one: 0 until the byte that decides,
 * then always the same. Whatever needs all fields (Host, bodies) is judged at the empty line.
 */
#include "proto/http1.h"

#include "base/err.h"
#include "base/parse.h"

#include "base/banned.h"

enum { NEED_MORE = 0, DONE = 1 };

/* tchar of RFC 9110, 5.6.2. */
static const bool is_token[256] = {
    ['!'] = true, ['#'] = true, ['$'] = true, ['%'] = true, ['&'] = true, ['\''] = true,
    ['*'] = true, ['+'] = true, ['-'] = true, ['.'] = true, ['0'] = true, ['1'] = true,
    ['2'] = true, ['3'] = true, ['4'] = true, ['5'] = true, ['6'] = true, ['7'] = true,
    ['8'] = true, ['9'] = true, ['A'] = true, ['B'] = true, ['C'] = true, ['D'] = true,
    ['E'] = true, ['F'] = true, ['G'] = true, ['H'] = true, ['I'] = true, ['J'] = true,
    ['K'] = true, ['L'] = true, ['M'] = true, ['N'] = true, ['O'] = true, ['P'] = true,
    ['Q'] = true, ['R'] = true, ['S'] = true, ['T'] = true, ['U'] = true, ['V'] = true,
    ['W'] = true, ['X'] = true, ['Y'] = true, ['Z'] = true, ['^'] = true, ['_'] = true,
    ['`'] = true, ['a'] = true, ['b'] = true, ['c'] = true, ['d'] = true, ['e'] = true,
    ['f'] = true, ['g'] = true, ['h'] = true, ['i'] = true, ['j'] = true, ['k'] = true,
    ['l'] = true, ['m'] = true, ['n'] = true, ['o'] = true, ['p'] = true, ['q'] = true,
    ['r'] = true, ['s'] = true, ['t'] = true, ['u'] = true, ['v'] = true, ['w'] = true,
    ['x'] = true, ['y'] = true, ['z'] = true, ['|'] = true, ['~'] = true,
};

/* What the fields said that matters for the message itself. */
struct facts {
    bool host;
    bool close;
    bool keep_alive;
    bool transfer_encoding;
    bool content_length;
    uint64_t body_len;
};

struct scan {
    const uint8_t *p;
    const uint8_t *end;
    const char *why;
};

static int malformed(struct scan *s, const char *why)
{
    s->why = why;
    return ERR_MALFORMED;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static bool is_word(struct span s, struct span lower_case)
{
    if (s.n != lower_case.n) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (lower(s.p[i]) != lower_case.p[i]) {
            return false;
        }
    }
    return true;
}

/* The first byte from p on that is below limit (<= 0x80), or DEL, or end. Eight bytes at a time: a
 * byte's top bit is set where byte - limit borrows, or where byte ^ DEL is zero. */
static const uint8_t *skip_text(const uint8_t *p, const uint8_t *end, uint8_t limit)
{
    const uint64_t ones = UINT64_MAX / 255;
    const uint64_t tops = ones << 7;
    while (end - p >= 8) {
        uint64_t x;
        memcpy(&x, p, 8);
        uint64_t del = x ^ ones * 0x7f;
        if ((((x - ones * limit) & ~x) | ((del - ones) & ~del)) & tops) {
            break;
        }
        p += 8;
    }
    while (p < end && *p >= limit && *p != 0x7f) {
        p++;
    }
    return p;
}

/* At CRLF, or LF alone. */
static int scan_line_end(struct scan *s, const char *why)
{
    if (s->p < s->end && *s->p == '\r') {
        s->p++;
    } else if (s->p < s->end && *s->p != '\n') {
        return malformed(s, why);
    }
    if (s->p == s->end) {
        return NEED_MORE;
    }
    if (*s->p++ != '\n') {
        return malformed(s, "CR without LF");
    }
    return DONE;
}

/* A token and the one byte that must be behind it. */
static int scan_token(struct scan *s, struct span *out, uint8_t behind, const char *why)
{
    const uint8_t *first = s->p;
    while (s->p < s->end && is_token[*s->p]) {
        s->p++;
    }
    if (s->p == s->end) {
        return NEED_MORE;
    }
    if (s->p == first || *s->p != behind) {
        return malformed(s, why);
    }
    *out = span_of(first, (size_t)(s->p - first));
    s->p++;
    return DONE;
}

static void split_target(struct http1_request *out, struct span target)
{
    static const struct span scheme = {(const uint8_t *)"http://", 7};
    if (target.p[0] != '/' && is_word(span_sub(target, 0, scheme.n), scheme)) {
        struct span rest = span_sub(target, scheme.n, target.n);
        size_t authority = 0;
        while (authority < rest.n && rest.p[authority] != '/' && rest.p[authority] != '?') {
            authority++;
        }
        target = span_sub(rest, authority, rest.n);
    }
    out->path = span_cut(target, '?', &out->query);
    if (out->path.n == 0) {
        out->path = SPAN("/"); /* RFC 9112, 3.2.1 */
    }
}

static int scan_version(struct scan *s, uint8_t *minor)
{
    static const uint8_t prefix[] = "HTTP/1.";
    for (size_t i = 0; i < sizeof prefix - 1; i++, s->p++) {
        if (s->p == s->end) {
            return NEED_MORE;
        }
        if (*s->p != prefix[i]) {
            return malformed(s, "version is not HTTP/1.x");
        }
    }
    if (s->p == s->end) {
        return NEED_MORE;
    }
    if (*s->p < '0' || *s->p > '9') {
        return malformed(s, "version is not HTTP/1.x");
    }
    *minor = *s->p++ == '0' ? 0 : 1; /* a higher one is served as 1.1: RFC 9110, 2.5 */
    return scan_line_end(s, "version is not HTTP/1.x");
}

static int scan_request_line(struct scan *s, struct http1_request *out)
{
    struct span method;
    int rc = scan_token(s, &method, ' ', "method is not a token");
    if (rc != DONE) {
        return rc;
    }
    out->method = span_eq(method, SPAN("GET"))    ? HTTP1_GET
                  : span_eq(method, SPAN("HEAD")) ? HTTP1_HEAD
                                                  : HTTP1_OTHER;
    const uint8_t *target = s->p;
    s->p = skip_text(target, s->end, 0x21);
    if (s->p == s->end) {
        return NEED_MORE;
    }
    if (s->p == target || *s->p != ' ') {
        return malformed(s, "request target has a control byte, or no version follows");
    }
    split_target(out, span_of(target, (size_t)(s->p - target)));
    s->p++;
    return scan_version(s, &out->minor);
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static int scan_value(struct scan *s, struct span *out)
{
    while (s->p < s->end && is_blank(*s->p)) {
        s->p++;
    }
    const uint8_t *first = s->p;
    s->p = skip_text(first, s->end, 0x20);
    while (s->p < s->end && *s->p == '\t') {
        s->p = skip_text(s->p + 1, s->end, 0x20);
    }
    const uint8_t *last = s->p;
    int rc = scan_line_end(s, "field value has a control byte");
    while (last > first && is_blank(last[-1])) {
        last--;
    }
    *out = span_of(first, (size_t)(last - first));
    return rc;
}

static struct span trimmed(struct span s)
{
    while (s.n > 0 && is_blank(s.p[0])) {
        s = span_sub(s, 1, s.n);
    }
    while (s.n > 0 && is_blank(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

static void note_connection(struct facts *f, struct span list)
{
    while (list.n > 0) {
        struct span option = trimmed(span_cut(list, ',', &list));
        f->close |= is_word(option, SPAN("close"));
        f->keep_alive |= is_word(option, SPAN("keep-alive"));
    }
}

static int note_content_length(struct scan *s, struct facts *f, struct span value)
{
    uint64_t n;
    if (!parse_u64(&n, value, UINT64_MAX)) {
        return malformed(s, "Content-Length is not a number");
    }
    if (f->content_length && n != f->body_len) {
        return malformed(s, "Content-Length is given twice");
    }
    f->content_length = true;
    f->body_len = n;
    return DONE;
}

/* The few fields that matter here differ in length. */
static int note_field(struct scan *s, struct facts *f, const struct http1_field *field)
{
    switch (field->name.n) {
    case sizeof "host" - 1:
        if (is_word(field->name, SPAN("host"))) {
            if (f->host) {
                return malformed(s, "Host is given twice");
            }
            f->host = true;
        }
        return DONE;
    case sizeof "connection" - 1:
        if (is_word(field->name, SPAN("connection"))) {
            note_connection(f, field->value);
        }
        return DONE;
    case sizeof "content-length" - 1:
        if (is_word(field->name, SPAN("content-length"))) {
            return note_content_length(s, f, field->value);
        }
        return DONE;
    case sizeof "transfer-encoding" - 1:
        f->transfer_encoding |= is_word(field->name, SPAN("transfer-encoding"));
        return DONE;
    default:
        return DONE;
    }
}

static int scan_fields(struct scan *s, struct http1_request *out, struct facts *f)
{
    out->n_fields = 0;
    for (;;) {
        if (s->p == s->end) {
            return NEED_MORE;
        }
        if (*s->p == '\r' || *s->p == '\n') {
            return scan_line_end(s, "CR without LF");
        }
        if (out->n_fields == HTTP1_FIELDS_MAX) {
            s->why = "too many fields";
            return ERR_LIMIT;
        }
        struct http1_field *field = &out->fields[out->n_fields];
        int rc = scan_token(s, &field->name, ':', "field name is not a token with a colon");
        if (rc == DONE) {
            rc = scan_value(s, &field->value);
        }
        if (rc == DONE) {
            rc = note_field(s, f, field);
        }
        if (rc != DONE) {
            return rc;
        }
        out->n_fields++;
    }
}

static int judge(struct scan *s, struct http1_request *out, const struct facts *f)
{
    if (out->minor > 0 && !f->host) {
        return malformed(s, "Host is missing");
    }
    if (f->transfer_encoding && f->content_length) {
        return malformed(s, "Transfer-Encoding and Content-Length are given together");
    }
    out->keep_alive = !f->close && (out->minor > 0 || f->keep_alive);
    out->has_body = f->transfer_encoding || f->body_len > 0;
    return DONE;
}

static int scan_head(struct scan *s, struct http1_request *out)
{
    struct facts facts = {.host = false};
    int rc = DONE;
    while (s->p < s->end && (*s->p == '\r' || *s->p == '\n')) {
        rc = scan_line_end(s, "CR without LF");
        if (rc != DONE) {
            return rc;
        }
    }
    rc = scan_request_line(s, out);
    if (rc == DONE) {
        rc = scan_fields(s, out, &facts);
    }
    return rc == DONE ? judge(s, out, &facts) : rc;
}

ssize_t http1_request_decode(struct http1_request *out, struct span in, const char **why)
{
    struct span head = span_sub(in, 0, HTTP1_HEAD_MAX);
    if (head.n == 0) {
        return 0;
    }
    struct scan s = {.p = head.p, .end = head.p + head.n};
    int rc = scan_head(&s, out);
    if (rc == DONE) {
        return s.p - head.p;
    }
    if (rc == NEED_MORE && head.n == HTTP1_HEAD_MAX) {
        s.why = "request head is too long";
        rc = ERR_LIMIT;
    }
    if (rc < 0) {
        *why = s.why;
    }
    return rc;
}

bool http1_name_is(const struct http1_field *field, const char *lower_case_name)
{
    return is_word(field->name, span_str(lower_case_name));
}

bool http1_next_value(const struct http1_request *req, const char *lower_case_name, size_t *at,
                      struct span *value)
{
    struct span name = span_str(lower_case_name);
    while (*at < req->n_fields) {
        const struct http1_field *field = &req->fields[(*at)++];
        if (is_word(field->name, name)) {
            *value = field->value;
            return true;
        }
    }
    return false;
}

void http1_get_encode(struct wr *w, struct span host, struct span target, bool keep_alive)
{
    const uint8_t *host_end = host.n == 0 ? NULL : host.p + host.n;
    const uint8_t *target_end = target.n == 0 ? NULL : target.p + target.n;
    if (target.n == 0 || skip_text(target.p, target_end, 0x21) != target_end ||
        skip_text(host.p, host_end, 0x21) != host_end) {
        w->bad = true; /* a blank or a line end in here would be another request */
        return;
    }
    wr_bytes(w, SPAN("GET "));
    wr_bytes(w, target);
    wr_bytes(w, SPAN(" HTTP/1.1\r\nHost: "));
    wr_bytes(w, host);
    wr_bytes(w, keep_alive ? SPAN("\r\n\r\n") : SPAN("\r\nConnection: close\r\n\r\n"));
}
