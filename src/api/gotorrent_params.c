#include "api/gotorrent_params.h"

#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "api/hash_param.h"
#include "api/json_fields.h"
#include "base/base64.h"
#include "base/err.h"
#include "base/json.h"
#include "proto/metainfo.h"

#include "base/banned.h"

static const double RATE_MAX_BPS = 0x1p62;

/* ---- values ------------------------------------------------------------------------------------ */

/* Base64 in the standard alphabet, without what people and programs put around it. */
static void add_plain_base64(struct buf *out, struct span text)
{
    uint8_t *to = buf_reserve(out, text.n);
    size_t n = 0;
    for (size_t i = 0; to != NULL && i < text.n; i++) {
        uint8_t c = text.p[i];
        if (!byte_is_space(c)) {
            to[n++] = c == '-' ? '+' : c == '_' ? '/' : c;
        }
    }
    out->len += n;
}

static bool hash_of_base64(struct infohash *out, struct span text)
{
    bool padded = text.n == 28 && text.p[27] == '=';
    struct buf plain, bytes;
    if (!padded && text.n != 27) {
        return false;
    }
    buf_init(&plain, 28);
    buf_init(&bytes, sizeof out->b);
    add_plain_base64(&plain, text);
    bool good = base64_add_decoded(&bytes, buf_span(&plain)) && bytes.len == sizeof out->b;
    if (good) {
        memcpy(out->b, bytes.p, sizeof out->b);
    }
    buf_release(&plain);
    buf_release(&bytes);
    return good;
}

bool gotorrent_hash_parse(struct infohash *out, struct span text)
{
    return hash_param_parse(out, text) || hash_of_base64(out, text);
}

/* Digits with a point and an exponent: what strtod knows beyond that is no rate. */
static bool is_decimal(struct span s)
{
    bool any = false;
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        bool digit = c >= '0' && c <= '9';
        bool sign = (c == '+' || c == '-') && i > 0 && (s.p[i - 1] | 0x20) == 'e';
        if (!digit && !sign && c != '.' && (c | 0x20) != 'e') {
            return false;
        }
        any = any || digit;
    }
    return any;
}

bool gotorrent_rate_parse(uint64_t *out_bps, struct span text)
{
    char copy[GOTORRENT_RATE_LEN + 1];
    char *end;
    text = span_trim(text);
    if (text.n > GOTORRENT_RATE_LEN || !is_decimal(text)) {
        return false;
    }
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    double kib = strtod(copy, &end);
    if (*end != '\0' || !isfinite(kib)) {
        return false;
    }
    double bps = ceil(kib * 1024);
    *out_bps = (uint64_t)(bps < RATE_MAX_BPS ? bps : RATE_MAX_BPS);
    return true;
}

bool gotorrent_bool_parse(bool *out, struct span text)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true},   {"1", true},  {"yes", true},
                 {"false", false}, {"0", false}, {"no", false}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (text.n == strlen(words[i].word) &&
            strncasecmp((const char *)text.p, words[i].word, text.n) == 0) {
            *out = words[i].value;
            return true;
        }
    }
    return false;
}

/* ---- the body of an add ------------------------------------------------------------------------ */

bool gotorrent_is_text(struct span s)
{
    for (size_t i = 0, len; i < s.n; i += len) {
        len = utf8_sequence_len(span_sub(s, i, s.n));
        if (len == 0 || s.p[i] == 0) {
            return false;
        }
    }
    return true;
}

/* The last one wins; null: as if it were not there. */
static int take_text(struct buf *out, bool *has, const struct json_field *f, const char *wrong,
                     const char **why)
{
    buf_clear(out);
    *has = false;
    if (f->kind == JSON_NULL) {
        return 0;
    }
    if (f->kind != JSON_STRING || !json_string_decode(out, f->value)) {
        *why = wrong;
        return ERR_INVALID;
    }
    *has = out->len > 0;
    return 0;
}

static int take_rate(uint64_t *out_bps, const struct json_field *f, const char *wrong,
                     const char **why)
{
    *out_bps = 0;
    if (f->kind == JSON_NULL) {
        return 0;
    }
    if ((f->kind != JSON_STRING && f->kind != JSON_NUMBER) ||
        !gotorrent_rate_parse(out_bps, f->value)) {
        *why = wrong;
        return ERR_INVALID;
    }
    return 0;
}

/* The first member that will not do is remembered; the text is read to its end all the same, because
 * what is not JSON is not JSON whatever is in it. */
static int take_field(struct gotorrent_add *a, const struct json_field *f, const char *source,
                      const char **why)
{
    if (json_field_is(f, source)) {
        return take_text(&a->source, &a->has_source, f,
                         source[0] == 'u' ? "url is not a text, or too long"
                                          : "file is not a text, or too long",
                         why);
    }
    if (json_field_is(f, "targetdir")) {
        return take_text(&a->targetdir, &a->has_targetdir, f,
                         "targetdir is not a text, or too long", why);
    }
    if (json_field_is(f, "maxdown")) {
        return take_rate(&a->max_down_bps, f, "maxdown is not a rate", why);
    }
    if (json_field_is(f, "maxup")) {
        return take_rate(&a->max_up_bps, f, "maxup is not a rate", why);
    }
    return 0;
}

static int check(const struct gotorrent_add *a, const char *source, const char **why)
{
    if (!a->has_source) {
        *why = source[0] == 'u' ? "url missing" : "file missing";
        return ERR_INVALID;
    }
    if (!a->has_targetdir) {
        *why = "targetdir missing";
        return ERR_INVALID;
    }
    if (!gotorrent_is_text(buf_span(&a->targetdir))) {
        *why = "targetdir is not UTF-8 text";
        return ERR_INVALID;
    }
    return 0;
}

int gotorrent_add_parse(struct gotorrent_add *out, struct span body, const char *source,
                        size_t max_len, const char **why)
{
    struct json_fields walk;
    struct json_field field;
    *out = (struct gotorrent_add){.has_source = false};
    buf_init(&out->source, max_len);
    buf_init(&out->targetdir, GOTORRENT_TEXT_MAX);
    const char *first_why = NULL;
    int status = json_fields_begin(&walk, body, why);
    while (status == 0 && (status = json_fields_next(&walk, &field, why)) == 1) {
        const char *field_why = NULL;
        status = 0;
        if (take_field(out, &field, source, &field_why) < 0 && first_why == NULL) {
            first_why = field_why;
        }
    }
    if (status < 0) {
        return ERR_MALFORMED;
    }
    if (first_why != NULL) {
        *why = first_why;
        return ERR_INVALID;
    }
    return check(out, source, why);
}

void gotorrent_add_release(struct gotorrent_add *a)
{
    buf_release(&a->source);
    buf_release(&a->targetdir);
}

/* ---- a .torrent as a text ---------------------------------------------------------------------- */

static bool is_metainfo(struct span s, const char **why)
{
    struct metainfo m;
    return metainfo_decode(&m, s, &metainfo_limits_default, why) > 0;
}

/* Each code point a byte; false when one is above U+00FF, or it is not UTF-8. */
static bool add_latin1(struct buf *out, struct span text)
{
    uint8_t *to = buf_reserve(out, text.n);
    size_t n = 0;
    if (to == NULL) {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        if (c >= 0x80) {
            if ((c != 0xc2 && c != 0xc3) || i + 1 == text.n || (text.p[i + 1] & 0xc0) != 0x80) {
                return false;
            }
            c = (uint8_t)(c << 6 | (text.p[++i] & 0x3f));
        }
        to[n++] = c;
    }
    out->len += n;
    return true;
}

static bool add_base64(struct buf *out, struct span text)
{
    struct buf plain;
    buf_init(&plain, text.n + 1);
    add_plain_base64(&plain, text);
    bool good = base64_add_decoded(out, buf_span(&plain));
    buf_release(&plain);
    return good;
}

/* Bencode begins with a 'd', its base64 with a "ZD". */
bool gotorrent_metainfo(struct buf *out, struct span text, const char **why)
{
    const char *ignored;
    if (text.n == 0 || text.p[0] != 'd') {
        *why = "neither bencode nor base64";
        return add_base64(out, text) && is_metainfo(buf_span(out), why);
    }
    if (is_metainfo(text, why)) {
        buf_add(out, text);
        return true;
    }
    return add_latin1(out, text) && is_metainfo(buf_span(out), &ignored);
}
