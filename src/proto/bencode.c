/* Decoding is one loop over tokens. Open containers are frames in an array of BENCODE_DEPTH_MAX;
 * a dictionary's frame knows what must come next:
 *
 *     'd' --> KEY <-- any value --.
 *              |                  |
 *              `-- a string --> VALUE          'e' ends a list anywhere, a dictionary only at KEY
 */
#include "proto/bencode.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/parse.h"

#include "base/banned.h"

enum frame_state { IN_LIST, AT_KEY, AT_VALUE };

struct frame {
    enum frame_state state;
    bool has_key;
    struct span key; /* the last one, for the order */
};

struct scan {
    const uint8_t *p;
    const uint8_t *end;
    const struct bencode_limits *lim;
    bool over; /* end is where the limit is, not where the input ends */
    const char *why;
    size_t items;
    size_t depth;
    struct frame frames[BENCODE_DEPTH_MAX];
};

static int fail(struct scan *s, int code, const char *why)
{
    s->why = why;
    return code;
}

static int cut_short(struct scan *s)
{
    return s->over ? fail(s, ERR_LIMIT, "bencoded value is too long")
                   : fail(s, ERR_MALFORMED, "bencoded value is cut short");
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_leading_zero(const struct scan *s)
{
    return s->end - s->p >= 2 && s->p[0] == '0' && is_digit(s->p[1]);
}

static int scan_int(struct scan *s)
{
    s->p++; /* 'i' */
    bool negative = s->p < s->end && *s->p == '-';
    s->p += negative ? 1 : 0;
    if (s->lim->strict && (is_leading_zero(s) || (negative && s->p < s->end && *s->p == '0'))) {
        return fail(s, ERR_MALFORMED, "bencoded integer is not canonical");
    }
    const uint8_t *first = s->p;
    while (s->p < s->end && is_digit(*s->p)) {
        s->p++;
    }
    if (s->p == s->end) {
        return cut_short(s);
    }
    if (*s->p != 'e' || s->p == first) {
        return fail(s, ERR_MALFORMED, "bencoded integer has something else than digits");
    }
    s->p++;
    return 0;
}

static int scan_string(struct scan *s, struct span *out)
{
    size_t n = 0;
    if (s->lim->strict && is_leading_zero(s)) {
        return fail(s, ERR_MALFORMED, "bencoded string length is not canonical");
    }
    for (; s->p < s->end && is_digit(*s->p); s->p++) {
        if (__builtin_mul_overflow(n, (size_t)10, &n) ||
            __builtin_add_overflow(n, (size_t)(*s->p - '0'), &n) || n > s->lim->string_max) {
            return fail(s, ERR_LIMIT, "bencoded string is too long");
        }
    }
    if (s->p == s->end) {
        return cut_short(s);
    }
    if (*s->p != ':') {
        return fail(s, ERR_MALFORMED, "bencoded string length has something else than digits");
    }
    s->p++;
    if (n > (size_t)(s->end - s->p)) {
        return cut_short(s);
    }
    *out = span_of(s->p, n);
    s->p += n;
    return 0;
}

static bool is_sorted(struct span before, struct span after)
{
    size_t n = before.n < after.n ? before.n : after.n;
    int order = n == 0 ? 0 : memcmp(before.p, after.p, n);
    return order < 0 || (order == 0 && before.n < after.n);
}

static int scan_key(struct scan *s, struct frame *f)
{
    struct span key;
    if (!is_digit(*s->p)) {
        return fail(s, ERR_MALFORMED, "bencoded dictionary has a key that is no string");
    }
    int rc = scan_string(s, &key);
    if (rc < 0) {
        return rc;
    }
    if (s->lim->strict && f->has_key && !is_sorted(f->key, key)) {
        return fail(s, ERR_MALFORMED, "bencoded dictionary is not sorted, or repeats a key");
    }
    f->key = key;
    f->has_key = true;
    f->state = AT_VALUE;
    return 0;
}

static int scan_open(struct scan *s)
{
    if (s->depth == s->lim->depth_max) {
        return fail(s, ERR_LIMIT, "bencoded value is nested too deeply");
    }
    struct frame *f = &s->frames[s->depth++];
    f->state = *s->p == 'd' ? AT_KEY : IN_LIST;
    f->has_key = false;
    s->p++;
    return 0;
}

static int scan_close(struct scan *s)
{
    if (s->frames[s->depth - 1].state == AT_VALUE) {
        return fail(s, ERR_MALFORMED, "bencoded dictionary has a key without a value");
    }
    s->depth--;
    s->p++;
    return 0;
}

/* One token: a string, an integer, or the start or end of a container. */
static int scan_token(struct scan *s)
{
    struct frame *f = s->depth == 0 ? NULL : &s->frames[s->depth - 1];
    struct span text;
    if (s->p == s->end) {
        return cut_short(s);
    }
    if (f != NULL && *s->p == 'e') {
        return scan_close(s);
    }
    if (++s->items > s->lim->items_max) {
        return fail(s, ERR_LIMIT, "bencoded value has too many items");
    }
    if (f != NULL && f->state == AT_KEY) {
        return scan_key(s, f);
    }
    if (f != NULL && f->state == AT_VALUE) {
        f->state = AT_KEY;
    }
    switch (*s->p) {
    case 'i':
        return scan_int(s);
    case 'l':
    case 'd':
        return scan_open(s);
    default:
        return is_digit(*s->p) ? scan_string(s, &text)
                               : fail(s, ERR_MALFORMED, "not a bencoded value");
    }
}

ssize_t bencode_decode(struct bencode *out, struct span in, const struct bencode_limits *lim,
                       const char **why)
{
    struct scan s; /* the frames are filled as they open */
    ASSERT(lim->depth_max <= BENCODE_DEPTH_MAX);
    s.over = in.n > lim->len_max;
    s.p = in.p;
    s.end = in.n == 0 ? in.p : in.p + (s.over ? lim->len_max : in.n);
    s.lim = lim;
    s.items = 0;
    s.depth = 0;
    out->raw = span_of(NULL, 0);
    do {
        int rc = scan_token(&s);
        if (rc < 0) {
            *why = s.why;
            return rc;
        }
    } while (s.depth > 0);
    out->raw = span_of(in.p, (size_t)(s.p - in.p));
    return (ssize_t)out->raw.n;
}

enum bencode_type bencode_type(struct bencode v)
{
    if (v.raw.n == 0) {
        return BENCODE_NONE;
    }
    switch (v.raw.p[0]) {
    case 'i':
        return BENCODE_INT;
    case 'l':
        return BENCODE_LIST;
    case 'd':
        return BENCODE_DICT;
    default:
        return BENCODE_STRING;
    }
}

bool bencode_int(struct bencode v, int64_t *out)
{
    uint64_t u;
    if (bencode_type(v) != BENCODE_INT) {
        return false;
    }
    bool negative = v.raw.p[1] == '-';
    struct span digits = span_sub(v.raw, negative ? 2 : 1, v.raw.n - (negative ? 3 : 2));
    if (!parse_u64(&u, digits, negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX)) {
        return false;
    }
    /* INT64_MIN has no positive twin: go through -(u - 1) - 1. */
    *out = negative && u > 0 ? -(int64_t)(u - 1) - 1 : (int64_t)u;
    return true;
}

bool bencode_string(struct bencode v, struct span *out)
{
    if (bencode_type(v) != BENCODE_STRING) {
        return false;
    }
    (void)span_cut(v.raw, ':', out);
    return true;
}

struct bencode_walk bencode_walk(struct bencode v)
{
    enum bencode_type type = bencode_type(v);
    if (type != BENCODE_LIST && type != BENCODE_DICT) {
        return (struct bencode_walk){.dict = false};
    }
    return (struct bencode_walk){span_sub(v.raw, 1, v.raw.n - 2), type == BENCODE_DICT};
}

/* The length of the token at the start of validated bytes; *depth follows the containers. */
static size_t token_len(struct span s, size_t *depth)
{
    size_t n = 0;
    size_t at;
    switch (s.p[0]) {
    case 'i':
        return span_find(s, 'e') + 1;
    case 'l':
    case 'd':
        ++*depth;
        return 1;
    case 'e':
        --*depth;
        return 1;
    default:
        for (at = 0; is_digit(s.p[at]); at++) {
            n = n * 10 + (size_t)(s.p[at] - '0');
        }
        return at + 1 + n;
    }
}

bool bencode_next(struct bencode_walk *at, struct bencode *item)
{
    size_t n = 0;
    size_t depth = 0;
    if (at->rest.n == 0) {
        return false;
    }
    do {
        n += token_len(span_sub(at->rest, n, at->rest.n), &depth);
    } while (depth > 0);
    item->raw = span_sub(at->rest, 0, n);
    at->rest = span_sub(at->rest, n, at->rest.n);
    return true;
}

bool bencode_next_pair(struct bencode_walk *at, struct span *key, struct bencode *value)
{
    struct bencode name;
    return at->dict && bencode_next(at, &name) && bencode_string(name, key) &&
           bencode_next(at, value);
}

struct bencode bencode_get(struct bencode v, struct span key)
{
    struct bencode_walk at = bencode_walk(v);
    struct bencode value;
    struct span name;
    while (bencode_next_pair(&at, &name, &value)) {
        if (span_eq(name, key)) {
            return value;
        }
    }
    return (struct bencode){{NULL, 0}};
}

bool bencode_get_int(struct bencode v, struct span key, int64_t *out)
{
    return bencode_int(bencode_get(v, key), out);
}

bool bencode_get_string(struct bencode v, struct span key, struct span *out)
{
    return bencode_string(bencode_get(v, key), out);
}
